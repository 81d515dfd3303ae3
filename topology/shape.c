/* SPDX-License-Identifier: MIT */
/*
 * shape - holds a file against the table of members (members.c): types, unknown
 * and missing members, ranges, words and forms.  Everything that needs more than
 * one value is left to the passes that fill the lab.
 *
 * Codes: SerializationException (type), ValidationException (range, word, form),
 * MissingParameter, UnknownParameter.  Only this file uses them.
 */
#include "topology/shape.h"

#include <string.h>

#include "topology/format.h"
#include "topology/read.h"
#include "topology/unsupported.h"

const struct member *shape_member(const struct shape *s, const char *key)
{
	for (const struct member *m = s->members; m->name; m++)
		if (m->name[0] == key[0] && strcmp(m->name, key) == 0)
			return m;
	return NULL;
}

static bool takes_type(const struct shape *s, const cJSON *item)
{
	switch (s->kind) {
	case SHAPE_ANY:
		return true;
	case SHAPE_BOOL:
		return cJSON_IsBool(item);
	case SHAPE_INT:
	case SHAPE_NUM:
		return cJSON_IsNumber(item);
	case SHAPE_STR:
		return cJSON_IsString(item);
	case SHAPE_LIST:
		return cJSON_IsArray(item);
	case SHAPE_MAP:
	case SHAPE_OBJ:
	case SHAPE_CHOICE:
		return cJSON_IsObject(item);
	case SHAPE_EITHER:
		return shape_resolve(s, item) != NULL;
	}
	return false;
}

const struct shape *shape_resolve(const struct shape *s, const cJSON *item)
{
	size_t i;

	if (s->kind == SHAPE_EITHER) {
		for (i = 0; s->alternatives[i]; i++)
			if (takes_type(s->alternatives[i], item))
				return shape_resolve(s->alternatives[i], item);
		return NULL;
	}
	if (s->kind == SHAPE_CHOICE) {
		if (!cJSON_IsObject(item))
			return NULL;
		for (i = 0; s->tags[i]; i++)
			if (cJSON_GetObjectItemCaseSensitive(item, s->tags[i]))
				break;
		return shape_resolve(s->alternatives[i], item);
	}
	return takes_type(s, item) ? s : NULL;
}

/* ---- words for messages ---- */

static const char *words_list(struct reader *r, const char *const *words)
{
	const char *s = "";

	for (size_t i = 0; words[i]; i++)
		s = arena_printf(r, r->issue_arena, "%s%s%s", s, i ? ", " : "", words[i]);
	return s;
}

static const char *members_list(struct reader *r, const struct shape *s)
{
	const char *text = "";

	for (const struct member *m = s->members; m->name; m++)
		text = arena_printf(r, r->issue_arena, "%s%s%s", text, m == s->members ? "" : ", ",
				    m->name);
	return text;
}

static const char *what_it_is(const cJSON *item)
{
	if (cJSON_IsBool(item))
		return "true or false";
	if (cJSON_IsNumber(item))
		return "a number";
	if (cJSON_IsString(item))
		return "a text";
	if (cJSON_IsArray(item))
		return "a list";
	return cJSON_IsObject(item) ? "an object" : "null";
}

static const char *what_it_ought(struct reader *r, const struct shape *s)
{
	const char *text = "";

	switch (s->kind) {
	case SHAPE_BOOL:
		return "true or false";
	case SHAPE_INT:
		return arena_printf(r, r->issue_arena, "a whole number %.15g..%.15g", s->min,
				    s->max);
	case SHAPE_NUM:
		return arena_printf(r, r->issue_arena, "a number %.15g..%.15g", s->min, s->max);
	case SHAPE_STR:
		if (s->words)
			return arena_printf(r, r->issue_arena, "one of %s",
					    words_list(r, s->words));
		return s->format ? s->format->title : "a text";
	case SHAPE_LIST:
		return "a list";
	case SHAPE_EITHER:
		for (size_t i = 0; s->alternatives[i]; i++)
			text = arena_printf(r, r->issue_arena, "%s%s%s", text, i ? ", or " : "",
					    what_it_ought(r, s->alternatives[i]));
		return text;
	case SHAPE_MAP:
	case SHAPE_OBJ:
	case SHAPE_CHOICE:
		return "an object";
	case SHAPE_ANY:
		break;
	}
	return "anything";
}

/* ---- the checks ---- */

static void check_type(struct reader *r, const struct place *p)
{
	fault(r, FAMILY_TYPE, p, "SerializationException", "%s where there ought to be %s",
	      what_it_is(p->item), what_it_ought(r, p->shape));
}

static void check_number(struct reader *r, const struct place *p)
{
	const struct shape *s = p->shape;
	double v = p->item->valuedouble;

	if (v < s->min || v > s->max)
		fault(r, FAMILY_RANGE, p, "ValidationException",
		      "%.15g is out of range (%.15g..%.15g)", v, s->min, s->max);
	else if (s->kind == SHAPE_INT && v != (double)(long)v)
		fault(r, FAMILY_TYPE, p, "SerializationException",
		      "%.15g isn't a whole number (%.15g..%.15g)", v, s->min, s->max);
}

static void check_text(struct reader *r, const struct place *p)
{
	const struct shape *s = p->shape;
	const char *v = p->item->valuestring;

	if (s->min > 0 && !*v) {
		fault(r, FAMILY_RANGE, p, "ValidationException", "is empty (allowed: a text)");
	} else if (s->words) {
		for (size_t i = 0; s->words[i]; i++)
			if (strcmp(s->words[i], v) == 0)
				return;
		fault(r, FAMILY_RANGE, p, "ValidationException",
		      "\"%s\" is no such word (allowed: %s)", v, words_list(r, s->words));
	} else if (s->format && !s->format->match(v)) {
		fault(r, FAMILY_NAME, p, "ValidationException",
		      "\"%s\" has the wrong form (allowed: %s)", v, s->format->title);
	}
}

static void check_list(struct reader *r, const struct place *p)
{
	const struct shape *s = p->shape;
	size_t n = place_n_children(p);

	if ((double)n < s->min)
		fault(r, FAMILY_RANGE, p, "ValidationException",
		      "%zu elements are too few (allowed: %.15g or more)", n, s->min);
	if (s->max > 0 && (double)n > s->max)
		fault(r, FAMILY_RANGE, p, "ValidationException",
		      "%zu elements are too many (allowed: %.15g..%.15g)", n, s->min, s->max);
	PLACE_EACH(child, p)
		shape_check(r, &child);
}

static void check_map(struct reader *r, const struct place *p)
{
	PLACE_EACH(child, p) {
		if (p->shape->format && !p->shape->format->match(child.key))
			fault(r, FAMILY_NAME, &child, "ValidationException",
			      "\"%s\" has the wrong form (allowed: %s)", child.key,
			      p->shape->format->title);
		shape_check(r, &child);
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* edit distance of short words; anything long is far away */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[48];

	if (lb + 1 > sizeof(row) / sizeof(row[0]) || la > 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t above = row[j];

			row[j] = least(least(row[j - 1], above) + 1,
				       diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}

static const char *nearest_member(const struct shape *s, const char *key)
{
	const char *best = NULL;
	size_t best_far = 1 + strlen(key) / 3;

	for (const struct member *m = s->members; m->name; m++) {
		size_t far = distance(key, m->name);

		if (far <= best_far && (!best || far < best_far)) {
			best = m->name;
			best_far = far;
		}
	}
	return best;
}

static void unknown_member(struct reader *r, const struct place *p)
{
	const struct shape *s = p->up->shape;
	const char *near;

	if (r->issues->n_errors >= LAB_ISSUES_MAX || unsupported_word(r, p))
		return;
	near = nearest_member(s, p->key);
	if (near)
		fault(r, FAMILY_UNKNOWN_MEMBER, p, "UnknownParameter",
		      "there is no such member; did you mean \"%s\"? (allowed: %s)", near,
		      members_list(r, s));
	else
		fault(r, FAMILY_UNKNOWN_MEMBER, p, "UnknownParameter",
		      "there is no such member (allowed: %s)", members_list(r, s));
}

static void check_object(struct reader *r, const struct place *p)
{
	const struct shape *s = p->shape;
	bool any = !s->any_of;

	PLACE_EACH(child, p) {
		if (child.member)
			shape_check(r, &child);
		else
			unknown_member(r, &child);
	}
	for (const struct member *m = s->members; m->name; m++)
		if (m->required && !cJSON_GetObjectItemCaseSensitive(p->item, m->name))
			fault(r, FAMILY_TYPE, p, "MissingParameter", "\"%s\" is missing (%s)",
			      m->name, m->doc);
	for (size_t i = 0; !any && s->any_of[i]; i++)
		any = cJSON_GetObjectItemCaseSensitive(p->item, s->any_of[i]) != NULL;
	if (!any)
		fault(r, FAMILY_TYPE, p, "MissingParameter", "one of %s is missing",
		      words_list(r, s->any_of));
}

void shape_check(struct reader *r, const struct place *p)
{
	const struct shape *s = shape_resolve(p->shape, p->item);

	if (!s) {
		check_type(r, p);
		return;
	}
	switch (s->kind) {
	case SHAPE_INT:
	case SHAPE_NUM:
		check_number(r, p);
		break;
	case SHAPE_STR:
		check_text(r, p);
		break;
	case SHAPE_LIST:
		check_list(r, p);
		break;
	case SHAPE_MAP:
		check_map(r, p);
		break;
	case SHAPE_OBJ:
		check_object(r, p);
		break;
	case SHAPE_ANY:
	case SHAPE_BOOL:
	case SHAPE_EITHER: /* resolved above */
	case SHAPE_CHOICE:
		break;
	}
}
