/* SPDX-License-Identifier: MIT */
/*
 * shape - the table of what may stand where in a lab file; private to topology/.
 *
 * One tree of static descriptors (members.c) drives everything that depends on
 * a value's shape alone: shape.c holds a file against it, schema.c prints it as
 * JSON Schema, and readers take their defaults from it.  What needs more than
 * the value itself - references, address arithmetic - is written out elsewhere.
 */
#ifndef SHAPE_H
#define SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/json.h"

enum shape_kind {
	SHAPE_ANY,
	SHAPE_BOOL,
	SHAPE_INT,
	SHAPE_NUM,
	SHAPE_STR,
	SHAPE_LIST,   /* "of" each element, min..max elements */
	SHAPE_MAP,    /* "of" each value; keys by "format" */
	SHAPE_OBJ,    /* "members" */
	SHAPE_EITHER, /* "alternatives", told apart by their JSON type */
	SHAPE_CHOICE  /* "alternatives" that are objects, told apart by a member */
};

/* a text's form: the pattern is the schema's, the function ours; tests hold
 * them against each other */
struct format {
	const char *title;   /* "a name ([A-Za-z0-9]...)" */
	const char *pattern; /* ECMA 262 */
	bool (*match)(const char *s);
};

struct shape {
	enum shape_kind kind;
	const char *name;	     /* of the schema's $defs; NULL: inline */
	double min, max;	     /* of a number; elements of a list; characters of a text */
	const char *const *words;    /* all that a text may be; NULL-terminated */
	const struct format *format; /* of a text, or of a map's keys */
	const struct shape *of;
	const struct member *members;		 /* ends with a NULL name */
	const char *const *any_of;		 /* members of which one must be there, or NULL */
	const struct shape *const *alternatives; /* NULL-terminated */
	const char *const *tags;		 /* of a choice: the member that tells, beside
					 * alternatives; the last alternative has none */
};

struct member {
	const char *name;
	const struct shape *shape;
	bool required;
	bool has_def;
	double def_num;	     /* of a number or a truth value */
	const char *def_str; /* of a text */
	const char *doc;
};

extern const struct shape shape_lab;

/* the entry for "key" among an object's members; NULL if there is none */
const struct member *shape_member(const struct shape *s, const char *key);
/* the alternative that "item" is meant to be, through any depth of choices;
 * NULL if none takes its type */
const struct shape *shape_resolve(const struct shape *s, const cJSON *item);
/* the file's format as JSON Schema 2020-12; caller owns, NULL without memory */
cJSON *shape_schema(void);

struct reader;
struct place;
/* every fault of shape below "p" */
void shape_check(struct reader *r, const struct place *p);

#endif
