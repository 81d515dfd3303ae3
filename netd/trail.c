/* SPDX-License-Identifier: MIT */
/*
 * trail - see trail.h.  Packets are matched first come, first served: what is sent
 * again after a time-out is a later packet of the same tuple.
 */
#include "netd/trail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define TABLE (NFT_TRACE_TABLE + 3)

/* ---- the log ---- */

static bool is_ours(const struct nft_trace_step *s, const char *chain)
{
	return !strcmp(s->table, TABLE) && (!chain || !strcmp(s->chain, chain));
}

static bool begins(const struct nft_trace_step *s)
{
	return s->has_flow && s->kind == NFT_TRACE_RULE &&
	       (is_ours(s, TRAIL_IN) || is_ours(s, TRAIL_MADE));
}

/* ids are used again soon: the newest of that number is meant */
static struct trail_packet *packet_of(struct trail_log *l, const char *ns, uint32_t id)
{
	size_t i;

	for (i = l->n; i-- > 0;)
		if (l->v[i].id == id && !strcmp(l->v[i].ns, ns))
			return &l->v[i];
	return NULL;
}

static struct trail_packet *packet_new(struct trail_log *l, const char *ns, uint32_t id)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct trail_packet *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return NULL;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct trail_packet){ .ns = ns, .id = id };
	return &l->v[l->n++];
}

int trail_add(struct trail_log *l, const char *ns, const struct nft_trace_step *s)
{
	struct trail_packet *p;

	if (l->n_steps == TRAIL_STEPS_MAX || (begins(s) && l->n == TRAIL_PACKETS_MAX)) {
		l->lost = true;
		return 0;
	}
	p = begins(s) ? packet_new(l, ns, s->id) : packet_of(l, ns, s->id);
	if (!p)
		return begins(s) ? -ENOMEM : 0; /* marked by somebody else's rule */
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 32;
		struct nft_trace_step *v = reallocarray(p->steps, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->steps = v;
		p->cap = cap;
	}
	p->steps[p->n++] = *s;
	l->n_steps++;
	return 0;
}

void trail_done(struct trail_log *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i].steps);
	free(l->v);
	*l = (struct trail_log){ 0 };
}

/* ---- links ---- */

struct end {
	char ns[128], dev[32];
	uint32_t index;
};

static uint32_t number_arg(const char *val, const char *name)
{
	char text[24];
	uint64_t n;

	return item_arg(val, name, text, sizeof(text)) == 0 &&
			       parse_u64(text, 0, UINT32_MAX, &n) == 0 ?
		       (uint32_t)n :
		       0;
}

static bool read_ends(const struct item *it, struct end *near, struct end *far)
{
	(void)snprintf(near->ns, sizeof(near->ns), "%s", it->ns);
	(void)snprintf(near->dev, sizeof(near->dev), "%s", it->key);
	near->index = number_arg(it->val, "index");
	far->index = number_arg(it->val, "peer-index");
	return item_arg(it->val, "peer", far->dev, sizeof(far->dev)) == 0 &&
	       item_arg(it->val, "peer-ns", far->ns, sizeof(far->ns)) == 0;
}

/* the link with the number "index" in "ns", from there */
static bool link_at(const struct program *p, const char *ns, uint32_t index, struct end *near,
		    struct end *far)
{
	struct end a, b;
	size_t i;

	for (i = 0; index && i < p->n; i++) {
		if (p->items[i].kind != ITEM_LINK || !read_ends(&p->items[i], &a, &b))
			continue;
		if (a.index == index && !strcmp(a.ns, ns)) {
			*near = a;
			*far = b;
			return true;
		}
		if (b.index == index && !strcmp(b.ns, ns)) {
			*near = b;
			*far = a;
			return true;
		}
	}
	return false;
}

/* ---- one packet in one namespace ---- */

static const struct nft_trace_step *step_in(const struct trail_packet *p, const char *chain)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (is_ours(&p->steps[i], chain) && p->steps[i].has_flow)
			return &p->steps[i];
	return NULL;
}

static bool was_dropped(const struct trail_packet *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->steps[i].kind != NFT_TRACE_RETURN && !strcmp(p->steps[i].verdict, "drop"))
			return true;
	return false;
}

static const char *verdict_of(const struct trail_packet *p)
{
	return was_dropped(p)		? "drop" :
	       step_in(p, TRAIL_LEAVE)	? "accept" :
	       step_in(p, TRAIL_ARRIVE) ? "local" :
					  "routing";
}

static bool same_flow(const struct nft_flow *a, const struct nft_flow *b)
{
	return a->proto == b->proto && a->saddr == b->saddr && a->daddr == b->daddr &&
	       a->sport == b->sport && a->dport == b->dport;
}

/* an echo's id stands where it stood */
static struct nft_flow turned(const struct nft_flow *f)
{
	struct nft_flow r = { f->proto, f->daddr, f->saddr, f->dport, f->sport };

	if (f->proto == 1) {
		r.sport = f->sport;
		r.dport = 0;
	}
	return r;
}

/* the first packet of the tuple that came out of "from", or, "made", began there */
static struct trail_packet *next_packet(struct trail_log *l, const struct program *p,
					const char *from, uint32_t oif, bool made,
					const struct nft_flow *f)
{
	struct end near, far;
	size_t i;

	for (i = 0; i < l->n; i++) {
		struct trail_packet *at = &l->v[i];

		if (at->used || !same_flow(&at->steps[0].flow, f))
			continue;
		if (made && !at->steps[0].iif && !strcmp(at->ns, from))
			return at;
		if (!made && link_at(p, at->ns, at->steps[0].iif, &near, &far) &&
		    !strcmp(far.ns, from) && (!oif || far.index == oif))
			return at;
	}
	return NULL;
}

/* ---- JSON ---- */

static cJSON *flow_json(const struct nft_flow *f)
{
	const struct addr s = addr_v4(f->saddr), d = addr_v4(f->daddr);
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "saddr", addr_str(&s));
	cJSON_AddNumberToObject(o, "sport", f->sport);
	cJSON_AddStringToObject(o, "daddr", addr_str(&d));
	cJSON_AddNumberToObject(o, "dport", f->dport);
	return o;
}

static void add_text(cJSON *o, const char *name, const char *s)
{
	cJSON_AddItemToObject(o, name, s && *s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

/* "sg-0123, ingress rule 2: ...": the object, and the rule's place in it */
static void add_object(cJSON *o, const struct store *st, const char *rule)
{
	const char *at = strstr(rule, "comment \""), *side;
	const struct object *x;
	char id[ID_SIZE], path[400];
	size_t len;
	unsigned n;

	at = at ? at + strlen("comment \"") : "";
	len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
	(void)snprintf(id, sizeof(id), "%.*s", (int)(len < sizeof(id) ? len : 0), at);
	x = *id ? store_by_id(st, id) : NULL;
	add_text(o, "id", x ? id : NULL);
	if (!x || !*x->path) {
		add_text(o, "path", NULL);
		return;
	}
	at += len;
	side = !strncmp(at, ", ingress rule ", 15) ? "ingress" :
	       !strncmp(at, ", egress rule ", 14)  ? "egress" :
						     NULL;
	if (side && sscanf(at + strcspn(at, "0123456789"), "%u", &n) == 1 && n > 0)
		(void)snprintf(path, sizeof(path), "%s.%s[%u]", x->path, side, n - 1);
	else
		(void)snprintf(path, sizeof(path), "%s", x->path);
	add_text(o, "path", path);
}

static cJSON *step_json(const struct trail_ask *q, const char *ns, const struct nft_trace_step *s)
{
	auto_buf struct buf text = BUF_INIT;
	cJSON *o = cJSON_CreateObject();

	add_text(o, "table", s->table);
	add_text(o, "chain", s->chain);
	if (s->kind == NFT_TRACE_POLICY)
		buf_printf(&text, "policy %s", s->verdict);
	else if (!s->handle || !q->rule(ns, s, &text, q->arg))
		buf_clear(&text);
	add_text(o, "rule", buf_str(&text));
	add_text(o, "verdict", s->verdict);
	add_object(o, q->store, buf_str(&text));
	return o;
}

static cJSON *hop_json(const struct trail_ask *q, const struct trail_packet *p, bool answer)
{
	const struct nft_trace_step *first = &p->steps[0], *out = step_in(p, TRAIL_LEAVE);
	const struct program *prog = q->program;
	cJSON *o = cJSON_CreateObject(), *list;
	struct end near, far;
	size_t i;

	add_text(o, "namespace", p->ns);
	cJSON_AddBoolToObject(o, "answer", answer);
	add_text(o, "interface_in",
		 link_at(prog, p->ns, first->iif, &near, &far) ? near.dev : NULL);
	add_text(o, "interface_out",
		 out && link_at(prog, p->ns, out->oif, &near, &far) ? near.dev : NULL);
	cJSON_AddItemToObject(o, "in", flow_json(&first->flow));
	cJSON_AddItemToObject(o, "out", out ? flow_json(&out->flow) : cJSON_CreateNull());
	list = cJSON_AddArrayToObject(o, "rules");
	for (i = 0; i < p->n; i++)
		if (!is_ours(&p->steps[i], NULL) && p->steps[i].kind != NFT_TRACE_RETURN)
			cJSON_AddItemToArray(list, step_json(q, p->ns, &p->steps[i]));
	add_text(o, "verdict", verdict_of(p));
	return o;
}

/* ---- the way ---- */

struct walker {
	char ns[128]; /* where it is now */
	struct nft_flow flow;
	uint32_t oif;
	bool here; /* it ended in "ns" itself */
};

/* one packet from hop to hop; "made": it begins in w->ns itself */
static void follow(struct trail_log *l, const struct trail_ask *q, struct walker *w, bool made,
		   bool answer, cJSON *hops)
{
	const struct nft_trace_step *out;
	struct trail_packet *p;
	struct end near, far;
	size_t n;

	for (n = 0; n < TRAIL_HOPS_MAX; n++) {
		p = next_packet(l, q->program, w->ns, w->oif, made, &w->flow);
		if (!p)
			return;
		p->used = true;
		made = false;
		cJSON_AddItemToArray(hops, hop_json(q, p, answer));
		out = step_in(p, TRAIL_LEAVE);
		if (out && !MUTANT("trail-translation"))
			w->flow = out->flow;
		(void)snprintf(w->ns, sizeof(w->ns), "%s", p->ns);
		w->here = true;
		if (strcmp(verdict_of(p), "accept") != 0 ||
		    !link_at(q->program, p->ns, out->oif, &near, &far))
			return;
		w->oif = near.index;
		w->here = false;
	}
}

/* where it came to, once nothing traced is left of its way: the far end of its last link */
static void arrived_at(const struct trail_ask *q, const struct walker *w, char *ret, size_t size)
{
	struct end near, far;

	if (!w->here && w->oif && link_at(q->program, w->ns, w->oif, &near, &far))
		(void)snprintf(ret, size, "%s", far.ns);
	else
		(void)snprintf(ret, size, "%s", w->ns);
}

cJSON *trail_follow(struct trail_log *l, const struct trail_ask *q, const char *ns,
		    const struct nft_flow *flow)
{
	cJSON *o = cJSON_CreateObject(), *hops = cJSON_AddArrayToObject(o, "hops");
	struct walker w = { .flow = *flow };
	char end[128];

	(void)snprintf(w.ns, sizeof(w.ns), "%s", ns);
	follow(l, q, &w, false, false, hops);
	arrived_at(q, &w, end, sizeof(end));
	add_text(o, "delivered_to", hops && hops->child && !w.here ? end : NULL);
	cJSON_AddBoolToObject(o, "lost", l->lost);
	/* the answer begins where it ended: in a node, or made by a gateway itself */
	if (hops && hops->child) {
		const bool made = w.here;

		w.flow = turned(&w.flow);
		w.oif = 0;
		(void)snprintf(w.ns, sizeof(w.ns), "%s", end);
		follow(l, q, &w, made, true, hops);
	}
	return o;
}
