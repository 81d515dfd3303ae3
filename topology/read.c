/* SPDX-License-Identifier: MIT */
/*
 * read - arenas, places, faults and plain values: the tools of every pass over
 * a lab file.  See read.h for how they fit.
 */
#include "topology/read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"

#define CHUNK_SIZE ((size_t)32 * 1024)

/* longer ones are cut: names and values of a file may be megabytes, and faults many */
#define PATH_MAX_TEXT ((size_t)1024)
#define KEY_MAX_TEXT 200
#define ISSUE_MAX_TEXT ((size_t)2048)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char mem[];
};

struct arena {
	struct chunk *chunks; /* the first one has room */
	struct index nodes;
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

struct arena *arena_free(struct arena *a)
{
	if (!a)
		return NULL;
	for (struct chunk *c = a->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
	return NULL;
}

static struct chunk *chunk_new(struct arena *a, size_t size)
{
	size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
	struct chunk *c = calloc(1, sizeof(*c) + room);

	if (!c)
		return NULL;
	c->size = room;
	c->next = a->chunks;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct reader *r, struct arena *a, size_t n, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct chunk *c = a->chunks;
	size_t want;
	void *p;

	if (__builtin_mul_overflow(n, size, &want) || want > SIZE_MAX / 2)
		longjmp(r->no_memory, 1);
	want = (want + align - 1) / align * align;
	if (!want)
		want = align;
	if (!c || c->size - c->used < want)
		c = chunk_new(a, want);
	if (!c)
		longjmp(r->no_memory, 1);
	p = c->mem + c->used;
	c->used += want;
	return p;
}

__attribute__((format(printf, 3, 0))) static char *arena_vprintf(struct reader *r, struct arena *a,
								 const char *fmt, va_list ap)
{
	va_list again;
	char *s;
	int n;

	va_copy(again, ap);
	n = fmt_vprint(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		longjmp(r->no_memory, 1);
	s = arena_alloc(r, a, (size_t)n + 1, 1);
	(void)fmt_vprint(s, (size_t)n + 1, fmt, ap); /* measured above */
	return s;
}

char *arena_printf(struct reader *r, struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = arena_vprintf(r, a, fmt, ap);
	va_end(ap);
	return s;
}

void arena_set_nodes(struct arena *a, const struct index *nodes)
{
	a->nodes = *nodes;
}

const struct index *arena_nodes(const struct arena *a)
{
	return &a->nodes;
}

/* ---- places ---- */

static const struct shape any = { .kind = SHAPE_ANY };

static const struct shape *settle(const struct shape *s, const cJSON *item)
{
	const struct shape *found = item ? shape_resolve(s, item) : NULL;

	return found ? found : s;
}

struct place place_top(const cJSON *root)
{
	return (struct place){ .item = root, .shape = &shape_lab };
}

struct place place_member(const struct place *o, const char *key)
{
	const struct member *m = o->shape->kind == SHAPE_OBJ ? shape_member(o->shape, key) : NULL;
	const cJSON *item =
		cJSON_IsObject(o->item) ? cJSON_GetObjectItemCaseSensitive(o->item, key) : NULL;

	return (struct place){
		.up = o,
		.item = item,
		.key = key,
		.member = m,
		.shape = settle(m ? m->shape : &any, item),
	};
}

/* puts the child itself into a place whose "up" is set */
static void place_put(struct place *p, const cJSON *child)
{
	const struct shape *up = p->up->shape;
	bool in_object = cJSON_IsObject(p->up->item);

	/* a comment may stand in every object, and is no entry of a map */
	while (child && in_object && strcmp(child->string, "$comment") == 0)
		child = child->next;
	p->item = child;
	if (!child)
		return;
	p->key = in_object ? child->string : NULL;
	p->member = in_object && up->kind == SHAPE_OBJ ? shape_member(up, p->key) : NULL;
	if (p->member)
		p->shape = settle(p->member->shape, child);
	else
		p->shape = up->of ? settle(up->of, child) : &any;
}

struct place place_first(const struct place *o)
{
	struct place p = { .up = o, .shape = &any };

	if (cJSON_IsObject(o->item) || cJSON_IsArray(o->item))
		place_put(&p, o->item->child);
	return p;
}

void place_next(struct place *p)
{
	p->idx++;
	place_put(p, p->item->next);
}

size_t place_n_children(const struct place *o)
{
	size_t n = 0;

	PLACE_EACH(child, o)
		n++;
	return n;
}

/* a key no longer than a path has room for; cut between characters */
static const char *short_key(const char *key, char ret[KEY_MAX_TEXT + 4])
{
	size_t len = strnlen(key, KEY_MAX_TEXT + 1);

	if (len <= KEY_MAX_TEXT)
		return key;
	for (len = KEY_MAX_TEXT; len && ((unsigned char)key[len] & 0xc0) == 0x80;)
		len--;
	memcpy(ret, key, len);
	memcpy(ret + len, "...", sizeof("..."));
	return ret;
}

static const char *place_path(struct reader *r, struct arena *a, const struct place *p)
{
	char text[KEY_MAX_TEXT + 4], *s;
	const char *up, *key;
	size_t size;

	if (!p->up)
		return "";
	up = place_path(r, a, p->up);
	key = p->key ? short_key(p->key, text) : "";
	/* an escaped character takes at most six, quotes and brackets four */
	size = strlen(up) + 6 * strlen(key) + 32;
	if (size > PATH_MAX_TEXT)
		size = PATH_MAX_TEXT;
	s = arena_alloc(r, a, size, 1);
	if (p->key)
		return json_path_member(s, size, up, key);
	return json_path_index(s, size, up, p->idx);
}

/* a missing member is told at its object */
static struct json_pos place_pos(const struct reader *r, const struct place *p)
{
	while (!p->item && p->up)
		p = p->up;
	return json_doc_pos(&r->lab->doc, p->item);
}

struct where place_where(struct reader *r, const struct place *p)
{
	return (struct where){
		.pos = place_pos(r, p),
		.path = place_path(r, r->arena, p),
	};
}

/* ---- faults and warnings ---- */

/* a mutant build leaves one validator out */
static bool left_out(enum family family)
{
	switch (family) {
	case FAMILY_CIDR:
		return MUTANT("validate-cidr");
	case FAMILY_REFERENCE:
		return MUTANT("validate-reference");
	case FAMILY_UNKNOWN_MEMBER:
		return MUTANT("validate-unknown-member");
	case FAMILY_TYPE:
		return MUTANT("validate-type");
	case FAMILY_RANGE:
		return MUTANT("validate-range");
	case FAMILY_DUPLICATE:
		return MUTANT("validate-duplicate");
	case FAMILY_OVERLAP:
		return MUTANT("validate-overlap");
	case FAMILY_ROLE:
		return MUTANT("validate-role");
	case FAMILY_NAME:
		return MUTANT("validate-name");
	case FAMILY_UNSUPPORTED:
		return MUTANT("validate-unsupported");
	case FAMILY_SCENARIO:
		return MUTANT("validate-scenario");
	case FAMILY_FILE:
		break;
	}
	return false;
}

static struct issue *issue_slot(struct reader *r, struct issue **v, size_t *n, size_t *cap)
{
	if (*n >= LAB_ISSUES_MAX)
		return NULL;
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 16;
		struct issue *bigger = arena_alloc(r, r->issue_arena, more, sizeof(**v));

		if (*n)
			memcpy(bigger, *v, *n * sizeof(**v));
		*v = bigger;
		*cap = more;
	}
	return &(*v)[(*n)++];
}

/* a file's text goes to terminals and logs: on one line, without control characters */
static const char *printable(struct reader *r, const char *s)
{
	size_t n = 0;
	char *out, *to;

	for (const char *c = s; *c; c++)
		n += (unsigned char)*c < 0x20 || *c == 0x7f || (unsigned char)*c == 0xc2;
	out = to = arena_alloc(r, r->issue_arena, strlen(s) + 6 * n + 1, 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];

		/* U+0080..9f are controls as well */
		if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			c = (unsigned char)*++s;
		else if (c >= 0x20 && c != 0x7f) {
			*to++ = *s;
			continue;
		}
		to += sprintf(to, "\\u%04x", c);
	}
	return out;
}

__attribute__((format(printf, 2, 0))) static const char *issue_text(struct reader *r,
								    const char *fmt, va_list ap)
{
	char text[ISSUE_MAX_TEXT];
	size_t end = ISSUE_MAX_TEXT - sizeof("...");

	if (vsnprintf(text, sizeof(text), fmt, ap) >= (int)sizeof(text)) {
		while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
			end--; /* not through a character */
		strcpy(text + end, "...");
	}
	return printable(r, text);
}

__attribute__((format(printf, 7, 0))) static void issue_fill(struct reader *r, struct issue *slot,
							     struct json_pos pos, const char *path,
							     const char *code, int exit_status,
							     const char *fmt, va_list ap)
{
	struct arena *a = r->issue_arena;

	*slot = (struct issue){
		.file = r->file,
		.pos = pos,
		.path = printable(r, path),
		.code = arena_printf(r, a, "%s", code),
		.exit = exit_status,
		.msg = "",
	};
	slot->msg = issue_text(r, fmt, ap);
}

__attribute__((format(printf, 6, 0))) static void add_error(struct reader *r, enum family family,
							    struct json_pos pos, const char *path,
							    const char *code, const char *fmt,
							    va_list ap)
{
	struct issues *i = r->issues;
	struct issue *slot;

	if (left_out(family))
		return;
	slot = issue_slot(r, &i->errors, &i->n_errors, &r->cap_errors);
	if (slot)
		issue_fill(r, slot, pos, path, code, family == FAMILY_UNSUPPORTED ? 4 : 2, fmt, ap);
}

void fault_at(struct reader *r, enum family family, struct json_pos pos, const char *path,
	      const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_error(r, family, pos, path, code, fmt, ap);
	va_end(ap);
}

void fault(struct reader *r, enum family family, const struct place *p, const char *code,
	   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_error(r, family, place_pos(r, p), place_path(r, r->issue_arena, p), code, fmt, ap);
	va_end(ap);
}

void refuse(struct reader *r, const struct place *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_error(r, FAMILY_UNSUPPORTED, place_pos(r, p), place_path(r, r->issue_arena, p),
		  "UnsupportedOperation", fmt, ap);
	va_end(ap);
}

void hint(struct reader *r, const struct place *p, const char *code, const char *fmt, ...)
{
	struct issues *i = r->issues;
	struct issue *slot = issue_slot(r, &i->warnings, &i->n_warnings, &r->cap_warnings);
	va_list ap;

	if (!slot)
		return;
	va_start(ap, fmt);
	issue_fill(r, slot, place_pos(r, p), place_path(r, r->issue_arena, p), code, 0, fmt, ap);
	va_end(ap);
}

/* ---- values ---- */

const char *place_str(const struct place *p)
{
	return cJSON_IsString(p->item) ? p->item->valuestring : NULL;
}

bool place_num(const struct place *p, double *ret)
{
	if (!cJSON_IsNumber(p->item))
		return false;
	*ret = p->item->valuedouble;
	return true;
}

const char *read_str(const struct place *o, const char *key)
{
	struct place p = place_member(o, key);
	const char *s = place_str(&p);

	return s ? s : p.member ? p.member->def_str : NULL;
}

/* only what the shape pass accepts: a default is better than a wild number */
double read_num(const struct place *o, const char *key)
{
	struct place p = place_member(o, key);
	double v;

	if (place_num(&p, &v) && v >= p.shape->min && v <= p.shape->max &&
	    (p.shape->kind != SHAPE_INT || v == (double)(long)v))
		return v;
	return p.member ? p.member->def_num : 0;
}

bool read_bool(const struct place *o, const char *key)
{
	struct place p = place_member(o, key);

	if (cJSON_IsBool(p.item))
		return cJSON_IsTrue(p.item);
	return p.member && p.member->def_num != 0;
}

struct strings read_strings(struct reader *r, const struct place *o, const char *key)
{
	struct place list = place_member(o, key);
	struct strings ret = { 0 };

	if (!cJSON_IsArray(list.item))
		return ret;
	ret.v = NEW(r, place_n_children(&list), const char *);
	PLACE_EACH(p, &list)
		if (place_str(&p))
			ret.v[ret.n++] = place_str(&p);
	return ret;
}

/* ---- names ---- */

static int entry_cmp(const void *a, const void *b)
{
	const struct index_entry *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	/* equal names: the first of the file wins look-ups */
	return r ? r : (x->object > y->object) - (x->object < y->object);
}

void index_build(struct reader *r, struct index *ix, const void *array, size_t n, size_t size)
{
	ix->v = NEW(r, n, struct index_entry);
	ix->n = n;
	for (size_t i = 0; i < n; i++) {
		const void *object = (const char *)array + i * size;

		ix->v[i].object = object;
		memcpy(&ix->v[i].name, object, sizeof(ix->v[i].name));
	}
	index_sort(ix);
}

void index_sort(struct index *ix)
{
	if (ix->n)
		qsort(ix->v, ix->n, sizeof(*ix->v), entry_cmp);
}

const void *index_find(const struct index *ix, const char *name)
{
	size_t lo = 0, hi = ix->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(ix->v[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ix->n && strcmp(ix->v[lo].name, name) == 0 ? ix->v[lo].object : NULL;
}

const char *index_list(struct reader *r, const struct index *ix)
{
	const size_t most = 8;
	const char *s = "";

	if (!ix->n)
		return "none";
	for (size_t i = 0; i < ix->n && i < most; i++) {
		size_t len = strnlen(ix->v[i].name, 63);

		/* names that have the wrong form are in it, too: not through a character */
		while (len && ((unsigned char)ix->v[i].name[len] & 0xc0) == 0x80)
			len--;
		s = arena_printf(r, r->issue_arena, "%s%s%.*s", s, i ? ", " : "", (int)len,
				 ix->v[i].name);
	}
	if (ix->n > most)
		s = arena_printf(r, r->issue_arena, "%s and %zu more", s, ix->n - most);
	return s;
}
