/* SPDX-License-Identifier: MIT */
/*
 * read - what the files that read a lab file share; private to topology/.
 *
 * A lab file is read in passes over the cJSON tree: its shape is held against
 * the table of members (shape.h), objects are declared (so that references
 * have something to point at), filled, and then checked against one another.
 * Each pass walks "places": a place knows the value, its parent place and its
 * entry in the table, so that a fault found anywhere can name line, column and
 * path, and a default comes from the same table as the schema's.
 *
 * A fault never stops a pass: readers give a default for what has the wrong
 * type (the shape pass has reported it), and NULL for what points at nothing.
 * Only running out of memory does, by a jump back to lab_parse(): everything
 * lives in two arenas, so nothing is lost on the way.
 */
#ifndef READ_H
#define READ_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "topology/lab.h"
#include "topology/shape.h"

/* a file can't make us hold more faults than this; the last one says so */
#define LAB_ISSUES_MAX 10000

/* which validator found a fault; a mutant build leaves one of them out */
enum family {
	FAMILY_CIDR,
	FAMILY_REFERENCE,
	FAMILY_UNKNOWN_MEMBER,
	FAMILY_TYPE,
	FAMILY_RANGE,
	FAMILY_DUPLICATE,
	FAMILY_OVERLAP,
	FAMILY_ROLE,
	FAMILY_NAME,
	FAMILY_UNSUPPORTED,
	FAMILY_SCENARIO,
	FAMILY_FILE /* what no lab can be read without: syntax, size, depth */
};

/* where something stands in the file */
struct place {
	const struct place *up;	     /* NULL: the top */
	const cJSON *item;	     /* NULL: absent */
	const char *key;	     /* NULL: an element of a list, or the top */
	size_t idx;		     /* of a list's element */
	const struct shape *shape;   /* what may stand here; never NULL */
	const struct member *member; /* of an object's shape; NULL in maps and lists */
};

/* names of one kind within one scope, sorted for look-up */
struct index {
	struct index_entry {
		const char *name;
		const void *object;
	} * v;
	size_t n;
};

/* what owns a name in the lab-wide space of nodes */
enum node_kind { NODE_HOST, NODE_INSTANCE, NODE_FUNCTION };

struct node_ref {
	enum node_kind kind;
	const char *name;
	const struct where *at;
	const void *object; /* struct host, instance, function */
};

struct arena;

struct reader {
	struct lab *lab;
	struct arena *arena; /* the lab's */
	struct arena *issue_arena;
	struct issues *issues;
	size_t cap_errors, cap_warnings;
	const char *file;
	const char *name; /* in place of the file's "lab", or NULL */
	jmp_buf no_memory;
	struct index nodes; /* of struct node_ref */
};

/* ---- memory: zeroed; never NULL (jumps to lab_parse() instead) ---- */
struct arena *arena_new(void); /* NULL if there is no memory */
struct arena *arena_free(struct arena *a);
void *arena_alloc(struct reader *r, struct arena *a, size_t n, size_t size);
char *arena_printf(struct reader *r, struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define NEW(r, n, type) ((type *)arena_alloc(r, (r)->arena, n, sizeof(type)))
#define TEXT(r, ...) arena_printf(r, (r)->arena, __VA_ARGS__)
/* the lab's own index of its nodes, kept in its arena for look-ups later */
void arena_set_nodes(struct arena *a, const struct index *nodes);
const struct index *arena_nodes(const struct arena *a);

/* ---- places ---- */
struct place place_top(const cJSON *root);
struct place place_member(const struct place *o, const char *key);
struct place place_first(const struct place *o); /* of a map or list; item NULL: none */
void place_next(struct place *p);
size_t place_n_children(const struct place *o);
#define PLACE_EACH(child, parent) \
	for (struct place child = place_first(parent); child.item; place_next(&child))
struct where place_where(struct reader *r, const struct place *p);

/* ---- faults and warnings ---- */
void fault(struct reader *r, enum family family, const struct place *p, const char *code,
	   const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void fault_at(struct reader *r, enum family family, struct json_pos pos, const char *path,
	      const char *code, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* exit 4, with the name of what isn't supported */
void refuse(struct reader *r, const struct place *p, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void hint(struct reader *r, const struct place *p, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void issues_sort(struct issues *i);

/* ---- values; of another type counts as absent, absent gives the table's default ---- */
const char *read_str(const struct place *o, const char *key); /* may be NULL */
double read_num(const struct place *o, const char *key);
bool read_bool(const struct place *o, const char *key);
const char *place_str(const struct place *p); /* NULL if it isn't a string */
bool place_num(const struct place *p, double *ret);
struct strings read_strings(struct reader *r, const struct place *o, const char *key);

/* ---- names ---- */
void index_build(struct reader *r, struct index *ix, const void *array, size_t n,
		 size_t size); /* structs that start with "const char *name" */
void index_sort(struct index *ix);
const void *index_find(const struct index *ix, const char *name);
/* "a, b, c" (the first few, and how many more), or "none" */
const char *index_list(struct reader *r, const struct index *ix);

#endif
