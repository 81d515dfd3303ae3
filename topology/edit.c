/* SPDX-License-Identifier: MIT */
/*
 * edit - see edit.h.  What two documents have in common at both ends is compared
 * byte by byte; if all the rest lies inside the value of one group, and that
 * value in the new document is a whole JSON value again, then nothing outside of
 * it is read otherwise than before.
 */
#include "topology/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "topology/fill.h"
#include "topology/unsupported.h"

/* levels of the document above a group's value: top, vpcs, a VPC, security_groups */
#define LEVELS_ABOVE 4

struct edit_text {
	struct arena *arena; /* owns */
	struct json_doc doc; /* owns */
};

struct edit {
	struct lab *lab;
	struct security_group *group; /* in the lab */
	struct security_group other;  /* what it isn't now */
	bool in_force;
};

void edit_text_free(struct edit_text *t)
{
	if (!t)
		return;
	json_doc_done(&t->doc);
	(void)arena_free(t->arena);
	free(t);
}

static struct edit_text *text_new(void)
{
	struct edit_text *t = calloc(1, sizeof(*t));

	if (t)
		t->arena = arena_new();
	if (t && !t->arena) {
		free(t);
		return NULL;
	}
	return t;
}

/* ---- where two texts differ ---- */

static size_t common_start(const char *a, const char *b, size_t max)
{
	size_t i = 0;

	while (max - i >= 64 && memcmp(a + i, b + i, 64) == 0)
		i += 64;
	while (i < max && a[i] == b[i])
		i++;
	return i;
}

/* of the "max" bytes before "a" and "b" */
static size_t common_end(const char *a, const char *b, size_t max)
{
	size_t i = 0;

	while (max - i >= 64 && memcmp(a - i - 64, b - i - 64, 64) == 0)
		i += 64;
	while (i < max && a[-(ptrdiff_t)i - 1] == b[-(ptrdiff_t)i - 1])
		i++;
	return i;
}

/* the bytes of "old" that "new" has others for */
static struct json_span changed_span(const char *old, size_t old_size, const char *new, size_t size)
{
	size_t max = old_size < size ? old_size : size;
	size_t start = common_start(old, new, max);
	size_t end = common_end(old + old_size, new + size, max - start);

	return (struct json_span){ start, old_size - end };
}

/* the group in whose value, between its braces, "changed" lies */
static struct security_group *group_around(const struct lab *lab, struct json_span changed)
{
	for (size_t i = 0; i < lab->n_vpcs; i++)
		for (size_t k = 0; k < lab->vpcs[i].n_security_groups; k++) {
			struct security_group *g = &lab->vpcs[i].security_groups[k];

			if (!g->implicit && changed.from > g->span.from &&
			    (changed.to < g->span.to || MUTANT("edit-bounds")))
				return g;
		}
	return NULL;
}

/* ---- reading the group's new value ---- */

static void any_fault(struct json_pos pos, const char *path, const char *code, const char *msg,
		      void *arg)
{
	(void)pos;
	(void)path;
	(void)code;
	(void)msg;
	(void)arg; /* the document is read whole, which tells it all */
}

static void index_groups(struct fill *f)
{
	const struct lab *l = f->lab;

	f->names = NEW(f->r, l->n_vpcs, struct vpc_names);
	for (size_t i = 0; i < l->n_vpcs; i++)
		index_build(f->r, &f->names[i].security_groups, l->vpcs[i].security_groups,
			    l->vpcs[i].n_security_groups, sizeof(struct security_group));
	index_build(f->r, &f->peerings, l->peerings, l->n_peerings, sizeof(*l->peerings));
}

/* the entry "key" of the map "up"; item NULL if there is none */
static struct place entry(const struct place *up, const char *key)
{
	PLACE_EACH(p, up)
		if (strcmp(p.key, key) == 0)
			return p;
	return (struct place){ .up = up };
}

/* a rule was placed by the group's value alone: in the file again.  Rules that the
 * file doesn't name stand where the group does */
static void place_rules(struct sg_rule *v, size_t n, const struct where *group)
{
	for (size_t i = 0; i < n; i++) {
		struct json_pos *pos = &v[i].at.pos;

		if (v[i].at.path == group->path)
			continue;
		if (pos->line == 1)
			pos->column += group->pos.column - 1;
		pos->line += group->pos.line - 1;
	}
}

/* false: a fault or a warning */
static bool fill(struct reader *r, const struct place *p, struct security_group *g)
{
	struct fill f = { .r = r, .lab = r->lab };

	index_groups(&f);
	shape_check(r, p);
	unsupported_check_below(r, p, "vpcs/*/security_groups/*");
	if (r->issues->n_errors || r->issues->n_warnings)
		return false;
	g->n_ingress = g->n_egress = 0;
	fill_security_group(&f, p, g);
	return (!r->issues->n_errors && !r->issues->n_warnings) || MUTANT("edit-faults");
}

/*
 * Reads the value in "t" into the group itself, since rules may speak of it; the
 * caller takes it out again.  Jumps are caught here: nothing the caller changes
 * is in a register.
 */
static int read_value(const struct lab *lab, struct edit_text *t, struct security_group *g)
{
	struct lab view = *lab;
	struct issues issues = { 0 };
	struct reader r = { .lab = &view, .arena = t->arena, .file = "", .issues = &issues };
	struct place top = place_top(lab->doc.root), vpcs, vpc, groups, p;
	volatile int err = -ENOMEM;

	view.doc = t->doc;
	r.issue_arena = arena_new();
	if (r.issue_arena && !setjmp(r.no_memory)) {
		vpcs = place_member(&top, "vpcs");
		vpc = entry(&vpcs, g->vpc->name);
		groups = place_member(&vpc, "security_groups");
		p = entry(&groups, g->name);
		p.item = t->doc.root;
		err = fill(&r, &p, g) ? 0 : -ENOENT;
	}
	(void)arena_free(r.issue_arena);
	return err;
}

int edit_read(struct lab *lab, const char *old, size_t old_size, const char *new, size_t size,
	      struct edit **ret)
{
	struct security_group *g, before;
	struct json_span span;
	struct edit_text *t;
	struct edit *x;
	int r;

	/* what patches of scenarios make of the new rules is known by reading it whole */
	if (lab->n_warnings || lab->n_scenarios || size > LAB_SIZE_MAX)
		return -ENOENT;
	g = group_around(lab, changed_span(old, old_size, new, size));
	if (!g)
		return -ENOENT;
	span = (struct json_span){ g->span.from, g->span.to + size - old_size };
	x = calloc(1, sizeof(*x));
	t = text_new();
	r = x && t ? json_doc_parse(new + span.from, span.to - span.from,
				    LAB_DEPTH_MAX - LEVELS_ABOVE, any_fault, NULL, &t->doc) :
		     -ENOMEM;
	before = *g;
	if (r == 0)
		r = read_value(lab, t, g);
	if (r == 0 && strcmp(g->description, before.description) != 0)
		r = -ENOENT; /* what can't be changed makes another group of it */
	if (r < 0) {
		*g = before;
		edit_text_free(t);
		free(x);
		return r == -EBADMSG ? -ENOENT : r;
	}
	place_rules(g->ingress, g->n_ingress, &g->at);
	place_rules(g->egress, g->n_egress, &g->at);
	*x = (struct edit){ .lab = lab, .group = g, .other = *g };
	x->other.span = span;
	x->other.own = t;
	*g = before;
	*ret = x;
	return 0;
}

/* ---- in and out ---- */

static void shift_spans(const struct lab *lab, size_t behind, size_t by)
{
	for (size_t i = 0; i < lab->n_vpcs; i++)
		for (size_t k = 0; k < lab->vpcs[i].n_security_groups; k++) {
			struct json_span *s = &lab->vpcs[i].security_groups[k].span;

			if (s->from <= behind)
				continue;
			s->from += by; /* modulo: "by" may be below 0 */
			s->to += by;
		}
}

void edit_swap(struct edit *x)
{
	struct security_group now = *x->group;

	shift_spans(x->lab, now.span.from, x->other.span.to - now.span.to);
	*x->group = x->other;
	x->other = now;
	x->in_force = !x->in_force;
}

void edit_keep(struct edit *x)
{
	edit_text_free(x->other.own);
	free(x);
}

struct edit *edit_free(struct edit *x)
{
	if (!x)
		return NULL;
	if (x->in_force)
		edit_swap(x);
	edit_keep(x);
	return NULL;
}

const struct security_group *edit_group(const struct edit *x)
{
	return x->group;
}

const struct security_group *edit_other(const struct edit *x)
{
	return &x->other;
}
