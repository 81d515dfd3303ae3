/* SPDX-License-Identifier: MIT */
/*
 * fill_scenario - things over time (interface.md 1.1, "scenarios").  What a step
 * may name depends on the patches before it, so those are applied here, in
 * order, each result is read as the lab it is, and the steps that follow are
 * held against that one.
 *
 * The copy that a scenario runs on has neither expectations nor scenarios: a
 * patch may take away what they need.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/fill.h"

/* a lab that is wrong by itself would be told again by each of its patches */
static bool lab_is_wrong(const struct reader *r)
{
	static const char *const apart[] = { "scenarios", "expect" };

	for (size_t i = 0; i < r->issues->n_errors; i++) {
		const char *path = r->issues->errors[i].path;
		bool other = true;

		for (size_t j = 0; j < sizeof(apart) / sizeof(apart[0]); j++) {
			size_t len = strlen(apart[j]);

			if (strncmp(path, apart[j], len) == 0 && strchr(".[", path[len]))
				other = false;
		}
		if (other)
			return true;
	}
	return false;
}

struct filling {
	struct fill *f; /* the file's own reader, with the names in force */
	struct scenario *s;
	const cJSON *document; /* in force; NULL: nobody knows */
	bool wrong;	       /* the file, besides its scenarios */
	size_t *n_patched_bytes;
	size_t n_connections;
	const char *connections[SCENARIO_CONNECTIONS_MAX];
};

/* ---- connections ---- */

static bool is_open(const struct filling *g, const char *name)
{
	for (size_t i = 0; i < g->n_connections; i++)
		if (strcmp(g->connections[i], name) == 0)
			return true;
	return false;
}

static const char *open_ones(const struct filling *g)
{
	const char *s = "";

	for (size_t i = 0; i < g->n_connections; i++)
		s = TEXT(g->f->r, "%s%s%s", s, i ? ", " : "", g->connections[i]);
	return g->n_connections ? s : "none";
}

static void open_name(struct filling *g, const struct place *p, const char *name)
{
	if (is_open(g, name))
		fault(g->f->r, FAMILY_SCENARIO, p, "InvalidParameterValue",
		      "the connection %s is opened twice (allowed: another name)", name);
	else if (g->n_connections == SCENARIO_CONNECTIONS_MAX)
		fault(g->f->r, FAMILY_SCENARIO, p, "LimitExceeded",
		      "a scenario opens %d connections at most", SCENARIO_CONNECTIONS_MAX);
	else
		g->connections[g->n_connections++] = name;
}

/* one flow is kept, so there is one source and one target */
static void one_flow(struct filling *g, const struct place *x, const struct scenario_step *s)
{
	struct place from = place_member(x, "from"), to = place_member(x, "to");
	struct place port = place_member(x, "port");
	const char *at = s->from ? strchr(s->from, '@') : NULL;
	const struct node_ref *node;
	struct port p;

	if (s->port_text && port_parse(s->port_text, &p) == 0 && p.proto == IPPROTO_ICMP)
		fault(g->f->r, FAMILY_SCENARIO, &port, "InvalidParameterValue",
		      "icmp has no connections (allowed: tcp/N, udp/N)");
	for (int i = 0; i < 2; i++) {
		const char *word = i ? s->to : s->from;

		if (word && (strchr("*!", word[0]) || strchr(word, ':')))
			fault(g->f->r, FAMILY_SCENARIO, i ? &to : &from, "InvalidParameterValue",
			      "\"%s\" isn't one node (a connection has one source and one target)",
			      word);
	}
	if (!g->document)
		return;
	node = s->to ? index_find(&g->f->r->nodes, s->to) : NULL;
	if (node && node->kind == NODE_FUNCTION)
		fault(g->f->r, FAMILY_SCENARIO, &to, "InvalidParameterValue",
		      "nobody opens a connection to the function %s", s->to);
	node = s->from && !at ? index_find(&g->f->r->nodes, s->from) : NULL;
	if (node && node->kind == NODE_FUNCTION &&
	    ((const struct function *)node->object)->n_subnets > 1)
		fault(g->f->r, FAMILY_SCENARIO, &from, "InvalidParameterValue",
		      "%s has interfaces in several subnets (allowed: FUNCTION@SUBNET)", s->from);
}

static void fill_connect(struct filling *g, const struct place *x, struct scenario_step *s)
{
	struct place name = place_member(x, "connect");
	struct expect same = { 0 };

	s->connection = place_str(&name);
	s->from = read_str(x, "from");
	s->to = read_str(x, "to");
	s->port_text = read_str(x, "port");
	if (s->connection)
		open_name(g, &name, s->connection);
	/* who "from" and "to" may be is what an expectation says */
	if (g->document)
		fill_expect(g->f, x, &same);
	one_flow(g, x, s);
}

static void fill_connection(struct filling *g, const struct place *x, struct scenario_step *s)
{
	struct place name = place_member(x, "connection");

	s->connection = place_str(&name);
	s->result = read_str(x, "result");
	if (s->connection && !is_open(g, s->connection))
		fault(g->f->r, FAMILY_SCENARIO, &name, "InvalidParameterValue",
		      "no step before this one opens the connection %s (open: %s)", s->connection,
		      open_ones(g));
}

/* ---- patches ---- */

static bool members_allowed(struct filling *g, const struct place *patch)
{
	static const struct {
		const char *member, *why;
	} fixed[] = {
		{ "lab", "a copy has a name of its own" },
		{ "expect", "a copy has none: expectations are steps" },
		{ "scenarios", "a copy has none" },
	};
	bool allowed = true;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		struct place p = place_member(patch, fixed[i].member);

		if (!p.item)
			continue;
		fault(g->f->r, FAMILY_SCENARIO, &p, "InvalidParameterValue",
		      "a patch can't change \"%s\" (%s)", fixed[i].member, fixed[i].why);
		allowed = false;
	}
	return allowed;
}

static void tell(struct filling *g, const struct place *patch, const struct issues *issues)
{
	for (size_t i = 0; i < issues->n_errors; i++) {
		const struct issue *e = &issues->errors[i];

		if (e->exit == 4)
			refuse(g->f->r, patch, "makes of %s: %s", *e->path ? e->path : "the lab",
			       e->msg);
		else
			fault(g->f->r, FAMILY_SCENARIO, patch, e->code, "makes of %s: %s",
			      *e->path ? e->path : "the lab", e->msg);
	}
}

/* no jump on the way: nothing here would be freed */
static struct lab *read_patched(const cJSON *document, const cJSON *patch, size_t room,
				struct issues *ret_issues, struct fill *ret_names, size_t *ret_size)
{
	cJSON *merged = json_merge_patch(document, patch);
	char *text = merged ? json_print(merged) : NULL;
	struct lab *lab = NULL;

	*ret_issues = (struct issues){ 0 };
	*ret_size = text ? strlen(text) : 0;
	if (text && *ret_size <= room)
		lab = lab_read(text, *ret_size, "-", NULL, ret_issues, ret_names);
	cJSON_Delete(merged);
	free(text);
	return lab;
}

static void put_in_force(struct filling *g, struct lab *lab, const struct fill *names)
{
	struct reader *r = g->f->r;
	size_t n_cases = g->f->n_cases;

	r->lab->patched[r->lab->n_patched++] = lab;
	r->nodes = *arena_nodes(lab->arena);
	*g->f = *names;
	g->f->r = r;
	g->f->n_cases = n_cases;
	g->document = lab->doc.root;
}

static void apply(struct filling *g, const struct place *patch)
{
	struct reader *r = g->f->r;
	size_t room = SCENARIO_PATCHED_MAX - *g->n_patched_bytes, size;
	struct issues issues;
	struct fill names;
	struct lab *lab = read_patched(g->document, patch->item, room, &issues, &names, &size);

	g->document = NULL;
	if (lab) {
		*g->n_patched_bytes += size;
		put_in_force(g, lab, &names);
	} else if (!size) {
		longjmp(r->no_memory, 1);
	} else if (size > room) {
		fault(r, FAMILY_SCENARIO, patch, "LimitExceeded",
		      "the labs that the patches of this file make are larger than %d MiB together",
		      SCENARIO_PATCHED_MAX >> 20);
	} else {
		tell(g, patch, &issues);
	}
	issues_done(&issues);
}

static void fill_patch(struct filling *g, const struct place *x, struct scenario_step *s)
{
	struct place patch = place_member(x, "patch");

	s->patch = patch.item;
	if (!cJSON_IsObject(patch.item) || !members_allowed(g, &patch) || g->wrong)
		g->document = NULL;
	else if (g->document)
		apply(g, &patch);
}

/* ---- time ---- */

static void fill_advance(struct filling *g, const struct place *x, struct scenario_step *s)
{
	struct place p = place_member(x, "advance");
	double scale = g->f->lab->time_scale;

	s->advance = read_num(x, "advance");
	if (g->document && s->advance / scale > SCENARIO_ADVANCE_MAX)
		fault(g->f->r, FAMILY_SCENARIO, &p, "InvalidParameterValue",
		      "%.15g s of AWS time are %.15g s of real time at time_scale %.15g (allowed: "
		      "up to %d s of real time; a greater time_scale makes it less)",
		      s->advance, s->advance / scale, scale, SCENARIO_ADVANCE_MAX);
}

/* ---- steps ---- */

static void fill_step(struct filling *g, const struct place *x, struct scenario_step *s)
{
	s->at = place_where(g->f->r, x);
	s->kind = SCENARIO_EXPECT;
	if (place_member(x, "connect").item) {
		s->kind = SCENARIO_CONNECT;
		fill_connect(g, x, s);
	} else if (place_member(x, "connection").item) {
		s->kind = SCENARIO_CONNECTION;
		fill_connection(g, x, s);
	} else if (place_member(x, "patch").item) {
		s->kind = SCENARIO_PATCH;
		fill_patch(g, x, s);
	} else if (place_member(x, "advance").item) {
		s->kind = SCENARIO_ADVANCE;
		fill_advance(g, x, s);
	} else if (g->document && cJSON_IsObject(x->item)) {
		fill_expect(g->f, x, &s->expect);
	}
	s->lab = g->f->lab;
}

static void fill_scenario(struct filling *g, const struct place *p)
{
	struct fill home = *g->f;
	struct index nodes = g->f->r->nodes;
	size_t n = place_n_children(p);

	g->s->name = p->key;
	g->s->at = place_where(g->f->r, p);
	if (!cJSON_IsArray(p->item) || n > SCENARIO_STEPS_MAX)
		return; /* the shape's fault */
	g->s->steps = NEW(g->f->r, n, struct scenario_step);
	PLACE_EACH(x, p)
		fill_step(g, &x, &g->s->steps[g->s->n_steps++]);
	home.n_cases = g->f->n_cases;
	*g->f = home;
	g->f->r->nodes = nodes;
}

static size_t count_patches(const struct place *map)
{
	size_t n = 0;

	PLACE_EACH(p, map)
		PLACE_EACH(x, &p)
			n += place_member(&x, "patch").item != NULL;
	return n;
}

void fill_scenarios(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "scenarios");
	bool wrong = lab_is_wrong(f->r);
	size_t n_patched_bytes = 0;
	struct lab *lab = f->lab;

	if (!cJSON_IsObject(map.item) || !map.item->child)
		return;
	/* with the lab, where a jump can't lose it */
	lab->bare = cJSON_Duplicate(top->item, true);
	if (!lab->bare)
		longjmp(f->r->no_memory, 1);
	cJSON_DeleteItemFromObjectCaseSensitive(lab->bare, "expect");
	cJSON_DeleteItemFromObjectCaseSensitive(lab->bare, "scenarios");
	lab->patched = NEW(f->r, count_patches(&map), struct lab *);
	lab->scenarios = NEW(f->r, place_n_children(&map), struct scenario);
	PLACE_EACH(p, &map) {
		struct filling g = {
			.f = f,
			.s = &lab->scenarios[lab->n_scenarios++],
			.document = lab->bare,
			.wrong = wrong,
			.n_patched_bytes = &n_patched_bytes,
		};

		fill_scenario(&g, &p);
	}
}

/* ---- titles ---- */

/* NULL: none, or several */
static const cJSON *only_member(const cJSON *o)
{
	const cJSON *child, *only = NULL;

	if (!cJSON_IsObject(o))
		return NULL;
	cJSON_ArrayForEach(child, o) {
		if (strcmp(child->string, "$comment") == 0)
			continue;
		if (only)
			return NULL;
		only = child;
	}
	return only;
}

/* "vpcs.main.security_groups.db": as far as a patch has one member only */
static char *patch_title(const cJSON *patch)
{
	char path[200] = "", next[200];

	while ((patch = only_member(patch))) {
		(void)json_path_member(next, sizeof(next), path, patch->string);
		memcpy(path, next, sizeof(path));
	}
	return *path ? strdup(path) : strdup("the lab");
}

/* one of several cases stands for all: each has a title of its own in a report */
static char *expectation_title(const struct expect *x)
{
	size_t n_cases = x->from.n * x->to.n * x->n_ports;
	char *text;
	int n;

	if (x->name)
		return strdup(x->name);
	if (x->invoke)
		n = asprintf(&text, "invoke %s", x->invoke);
	else if (x->flow)
		n = asprintf(&text, "a flow is recorded as %s", x->action);
	else if (x->has_only_from)
		n = asprintf(&text, "only some reach %s %s", x->to.v[0].text, x->ports[0].text);
	else if (n_cases == 1)
		n = asprintf(&text, "%s -> %s %s %s", x->from.v[0].text, x->to.v[0].text,
			     x->ports[0].text, x->result);
	else
		n = asprintf(&text, "%s -> %s %s %s, and %zu more", x->from.v[0].text,
			     x->to.v[0].text, x->ports[0].text, x->result, n_cases - 1);
	return n < 0 ? NULL : text;
}

char *scenario_step_title(const struct scenario_step *s)
{
	char *path, *text = NULL;
	int n = -1;

	switch (s->kind) {
	case SCENARIO_CONNECT:
		n = asprintf(&text, "connect %s: %s -> %s %s", s->connection, s->from, s->to,
			     s->port_text);
		break;
	case SCENARIO_CONNECTION:
		n = asprintf(&text, "connection %s is %s", s->connection, s->result);
		break;
	case SCENARIO_PATCH:
		path = patch_title(s->patch);
		n = path ? asprintf(&text, "patch %s", path) : -1;
		free(path);
		break;
	case SCENARIO_ADVANCE:
		n = asprintf(&text, "advance %.15g s", s->advance);
		break;
	case SCENARIO_EXPECT:
		return expectation_title(&s->expect);
	}
	return n < 0 ? NULL : text;
}
