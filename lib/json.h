/* SPDX-License-Identifier: MIT */
/*
 * json - strict reading with positions, over cJSON; and writing, which is
 * cJSON's own API (the only place that includes it).
 *
 * A scanner runs first: it refuses what cJSON lets through (duplicate keys,
 * 01, 1., numbers past a double, \u0000, raw control bytes, invalid UTF-8) and
 * records where each value stands; then cJSON parses, and positions are joined
 * to its items.  Look members up with cJSON_GetObjectItemCaseSensitive only.
 */
#ifndef JSON_H
#define JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct json_pos {
	unsigned line, column; /* from 1; columns are code points */
};

/* the bytes of a value in its text, from "from" up to "to" */
struct json_span {
	size_t from, to;
};

/* called for every syntax error or duplicate key; "path" like vpcs.main or
 * a[0].b or routes["0.0.0.0/0"]; "code" is a short slug ("json-syntax",
 * "duplicate-key", "json-depth", ...) */
typedef void (*json_issue_fn)(struct json_pos pos, const char *path, const char *code,
			      const char *msg, void *arg);

struct json_doc {
	cJSON *root;	    /* owns */
	struct json_at *at; /* positions, sorted by item */
	size_t n_at;
};

/*
 * json_doc_parse() - parses "text" ("size" bytes, not NUL-terminated).
 * "max_depth": the top value is 1.  Duplicate keys are reported and the parse
 * goes on (the first wins); any other fault ends it.
 * Returns 0, -EBADMSG when any issue was reported ("ret" is then still filled
 * if only duplicates were found, else zeroed), -ENOMEM.  json_doc_done() frees.
 */
int json_doc_parse(const char *text, size_t size, unsigned max_depth, json_issue_fn issue,
		   void *arg, struct json_doc *ret);
void json_doc_done(struct json_doc *doc);
struct json_pos json_doc_pos(const struct json_doc *doc, const cJSON *item);
/* false, and "ret" untouched: the item isn't of this document */
bool json_doc_span(const struct json_doc *doc, const cJSON *item, struct json_span *ret);

/* plain parse with the same strictness, without positions: for bodies of
 * requests and answers; NULL on any fault, "ret_why" (may be NULL, size >= 200) */
cJSON *json_parse(const char *text, size_t size, char *ret_why);

/* "k" appended to "path" by the rules above; returns "ret" */
char *json_path_member(char *ret, size_t size, const char *path, const char *key);
char *json_path_index(char *ret, size_t size, const char *path, size_t index);

/* reading members; absent or of another type gives the default */
const char *json_str(const cJSON *o, const char *key, const char *def);
double json_num(const cJSON *o, const char *key, double def);
bool json_bool(const cJSON *o, const char *key, bool def);
const cJSON *json_get(const cJSON *o, const char *key); /* NULL if absent */
char *json_print(const cJSON *v);			/* compact; owns (free) */
bool json_equal(const cJSON *a, const cJSON *b);	/* member order is nothing */
/* RFC 7396; returns the merged value (owns), leaves both arguments alone */
cJSON *json_merge_patch(const cJSON *target, const cJSON *patch);
static inline void auto_json_fn(cJSON **v)
{
	cJSON_Delete(*v);
}
#define auto_json __attribute__((cleanup(auto_json_fn)))

#endif
