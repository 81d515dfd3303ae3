/* SPDX-License-Identifier: MIT */
/*
 * explain_walk - one packet's way through the lab and its answer's way back.
 *
 *   SEND -> EGRESS (functions) -> FROM_ENI (router) -> ENI (node, NAT gateway, egress)
 *        \-> INTERNET <-> FROM_IGW (router) -> ENI
 *   FROM_ENI -> FROM_PEERING (the peer's router) -> ENI
 *
 * Each step either moves the packet to the next place or ends the walk.  Translators
 * keep what they did in w->memory, from which the answer finds its way, interfaces
 * which flows they track in w->gates (explain_track.c); routes and checks are asked
 * anew.  A packet that turns in a circle ends as
 * a real one does, by its TTL.
 */
#include "topology/explain_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"

/* ---- hops ---- */

static struct explain_hop *hop_add(struct walk *w, enum explain_action action, const char *kind,
				   const char *component, const struct where *at)
{
	static struct explain_hop spare; /* what is written after a failure goes nowhere */
	struct explain_part *t = w->part;

	if (t->n_hops == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		struct explain_hop *v = reallocarray(t->hops, cap, sizeof(*v));

		if (!v) {
			w->failed = true;
			return &spare;
		}
		t->hops = v;
		w->cap = cap;
	}
	t->hops[t->n_hops] = (struct explain_hop){
		.component = component,
		.kind = kind,
		.action = action,
		.answer = w->p.answer,
		.at = at && at->pos.line ? at : NULL,
	};
	return &t->hops[t->n_hops++];
}

struct explain_hop *walk_hop(struct walk *w, enum explain_action action, const char *kind,
			     const char *component, const struct where *at, const char *fmt, ...)
{
	struct explain_hop *h = hop_add(w, action, kind, component, at);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(h->rule, sizeof(h->rule), fmt, ap);
	va_end(ap);
	return h;
}

static void stop(struct walk *w, const char *result)
{
	w->part->result = result;
	w->part->decided = (ssize_t)w->part->n_hops - 1;
	w->place = PLACE_END;
}

void walk_stop(struct walk *w, enum reach_drop_number drop, const char *kind, const char *component,
	       const struct where *at, const char *fmt, ...)
{
	struct explain_hop *h = hop_add(w, EXPLAIN_DROP, kind, component, at);
	const struct reach_drop *d = drop ? reach_drop(drop) : NULL;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(h->rule, sizeof(h->rule), fmt, ap);
	va_end(ap);
	h->code = d ? d->code : NULL;
	h->direction = d ? d->direction : NULL;
	stop(w, "timeout");
}

/* no code of AWS's: a thing that only packets and their kernels know */
#define NO_CODE ((enum reach_drop_number)0)

/* ---- memory ---- */

static void remember(struct walk *w, const void *where, unsigned zone, const struct addr *new_src)
{
	if (w->p.answer || w->n_memory == WALK_MEMORY)
		return;
	w->memory[w->n_memory++] = (struct memory){ where, zone, w->p.src, w->p.dst, *new_src };
}

const struct addr *walk_asked(const struct packet *p)
{
	return addr_is_set(&p->about) ? &p->about : &p->src;
}

/* the last time that it passed: an error from a circle goes all its rounds back */
const struct memory *walk_remembers(const struct walk *w, const void *where, unsigned zone)
{
	size_t i;

	for (i = w->p.answer ? w->n_memory : 0; i-- > 0;) {
		const struct memory *m = &w->memory[i];

		if (m->where == where && m->zone == zone &&
		    addr_equal(&m->dst, walk_asked(&w->p)) && addr_equal(&m->new_src, &w->p.dst))
			return m;
	}
	return NULL;
}

/* the answer has been led back there */
static void forget(struct walk *w, const struct memory *m)
{
	w->memory[m - w->memory].where = NULL;
}

/* ---- small questions ---- */

static bool in_block(const struct addr *a, uint32_t base, unsigned len)
{
	return (addr_to_v4(a) ^ base) >> (32 - len) == 0;
}

static bool is_loopback(const struct addr *a)
{
	return in_block(a, 0x7f000000, 8);
}

static bool is_link_local_resolver(const struct addr *a)
{
	return addr_to_v4(a) == 0xa9fea9fd; /* 169.254.169.253 */
}

static bool eni_has(const struct s_eni *e, const struct addr *a)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_equal(&e->private_ips[i], a))
			return true;
	return false;
}

static bool is_dns(const struct packet *p)
{
	return (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP) && p->dport == 53;
}

static const struct s_instance *instance_of(const struct s_eni *e)
{
	return e->owner && e->owner->kind == OBJECT_INSTANCE ? (const void *)e->owner : NULL;
}

/* the one of an instance's interfaces that has the address; NULL: none */
static const struct s_eni *own_eni(const struct s_instance *in, const struct addr *a)
{
	size_t i;

	for (i = 0; i < in->n_enis; i++)
		if (eni_has(in->enis[i], a))
			return in->enis[i];
	return NULL;
}

/* by which interface an instance sends what isn't bound to one: to a subnet that it has
 * an interface in by that, all else by its own first */
static const struct s_eni *way_out(const struct s_instance *in, const struct addr *dst)
{
	size_t i;

	for (i = 0; i < in->n_enis; i++)
		if (prefix_has(&in->enis[i]->subnet->def->cidr_block, dst))
			return in->enis[i];
	return in->eni;
}

static const struct s_nat *nat_of(const struct s_eni *e)
{
	size_t i;

	for (i = 0; i < e->vpc->n_nats; i++)
		if (e->vpc->nats[i].eni == e)
			return &e->vpc->nats[i];
	return NULL;
}

static const struct s_egress *egress_of(const struct store *s, const struct s_eni *e)
{
	size_t i;

	for (i = 0; i < s->n_egresses; i++)
		if (s->egresses[i]->eni == e)
			return s->egresses[i];
	return NULL;
}

/* one of those that share the interface */
static const struct s_function *function_of(const struct store *s, const struct s_egress *g)
{
	size_t i, k;

	for (i = 0; i < s->n_functions; i++)
		for (k = 0; k < s->functions[i].n_egresses; k++)
			if (s->functions[i].egresses[k] == g)
				return &s->functions[i];
	return NULL;
}

const char *eni_kind(const struct s_eni *e)
{
	return e->def			  ? "network_interface" :
	       e->type == ENI_INTERFACE	  ? "instance" :
	       e->type == ENI_NAT_GATEWAY ? "nat_gateway" :
					    "function";
}

const char *eni_name(const struct store *s, const struct s_eni *e)
{
	const struct s_function *f;

	if (e->def)
		return e->o.name;
	if (e->owner)
		return e->owner->name;
	f = function_of(s, egress_of(s, e));
	return f ? f->o.name : e->o.id;
}

const struct where *eni_where(const struct store *s, const struct s_eni *e)
{
	const struct s_function *f;

	if (e->def)
		return &e->def->at;
	if (e->type == ENI_INTERFACE)
		return &instance_of(e)->def->at;
	if (e->type == ENI_NAT_GATEWAY)
		return &nat_of(e)->def->at;
	f = function_of(s, egress_of(s, e));
	return f ? &f->def->at : NULL;
}

/* ---- arriving ---- */

/* the question is where it wanted to be: from here on it is the answer that walks */
static void deliver(struct walk *w, const char *kind, const char *name, const struct where *at,
		    const struct programs *programs)
{
	bool served = programs && programs_serve(programs, &w->q->port);
	struct addr src = w->p.src;

	w->part->seen_as = src;
	w->refusing = w->p.proto != IPPROTO_ICMP && !served;
	w->part->assumed = w->refusing && programs && programs->command.n > 0;
	walk_hop(w, EXPLAIN_DELIVER, kind, name, at, "%s",
		 w->p.proto == IPPROTO_ICMP ? "answers" :
		 served			    ? "serves it" :
		 w->part->assumed	    ? "as far as the file tells, nobody listens" :
					      "nobody listens");
	w->p = (struct packet){
		.src = w->p.dst,
		.dst = src,
		.proto = w->p.proto,
		.sport = w->p.dport,
		.dport = w->p.sport,
		.ttl = WALK_TTL,
		.answer = true,
	};
	w->place = PLACE_SEND;
}

static void arrive(struct walk *w)
{
	if (w->renamed) {
		walk_stop(w, NO_CODE, "instance", w->renamed->o.name, &w->renamed->def->at,
			  "an answer to a question that didn't pass here leaves in its own name");
		return;
	}
	w->part->result = w->rejected >= 0 ? "unreachable" : w->refusing ? "refused" : "open";
	w->part->decided = w->rejected;
	w->place = PLACE_END;
}

/* a resolver is at home in its router or egress and answers there */
static void deliver_dns(struct walk *w, const char *kind, const char *name)
{
	w->part->seen_as = w->p.src;
	walk_hop(w, EXPLAIN_DELIVER, kind, name, NULL, "resolver");
	arrive(w);
}

/* false: its time is over */
static bool forward_ttl(struct walk *w, const char *kind, const char *name, const struct where *at)
{
	if (w->p.ttl > 1) {
		w->p.ttl--;
		return true;
	}
	walk_stop(w, NO_CODE, kind, name, at, "it goes round in a circle");
	return false;
}

/* who forwards and tells of what grew old, which is an answer that has its own way to
 * go, by "out" */
static bool forward_tells(struct walk *w, const struct s_eni *out, const char *kind,
			  const char *name, const struct where *at)
{
	const struct packet old = w->p;

	if (old.ttl > 1 || old.answer)
		return forward_ttl(w, kind, name, at);
	walk_hop(w, EXPLAIN_REJECT, kind, name, at, "it goes round in a circle: time exceeded");
	w->rejected = (ssize_t)w->part->n_hops - 1;
	w->p = (struct packet){
		.src = out->private_ips[0],
		.dst = old.src,
		.about = old.dst,
		.proto = IPPROTO_ICMP,
		.ttl = WALK_TTL,
		.answer = true,
	};
	w->eni = out;
	w->place = PLACE_FROM_ENI;
	if (MUTANT("explain-error-way"))
		arrive(w);
	return false;
}

/* ---- nodes ---- */

static void node_sends(struct walk *w, const char *kind, const char *name, const struct where *at,
		       bool own, const struct programs *programs)
{
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_SEND, kind, name, at, "to %s", addr_str(&w->p.dst));
	if (own || is_loopback(&w->p.dst)) {
		if (w->p.answer)
			arrive(w);
		else
			deliver(w, kind, name, at, programs);
		return;
	}
	w->place = w->eni ? PLACE_FROM_ENI : PLACE_INTERNET;
}

static void sandbox_sends(struct walk *w)
{
	const struct s_egress *g = w->from.egress;
	const struct s_function *f = w->from.function;
	const char *name = f->o.name;

	walk_hop(w, EXPLAIN_SEND, "function", name, &f->def->at, "to %s", addr_str(&w->p.dst));
	if (is_loopback(&w->p.dst)) {
		w->refusing = w->p.proto != IPPROTO_ICMP;
		w->part->seen_as = w->p.dst;
		arrive(w);
		return;
	}
	if (w->p.proto != IPPROTO_TCP && w->p.proto != IPPROTO_UDP) {
		walk_stop(w, DROP_PROTOCOL, "function", name, &f->def->at,
			  "functions send TCP and UDP only");
		return;
	}
	if (w->p.proto == IPPROTO_TCP && w->p.dport == 25) {
		walk_stop(w, DROP_PROTOCOL, "function", name, &f->def->at,
			  "functions send no mail: TCP port 25 is blocked");
		return;
	}
	if (!g->eni && is_link_local_resolver(&w->p.dst) && is_dns(&w->p)) {
		deliver_dns(w, "service", "service");
		return;
	}
	if (addr_equal(&w->p.dst, &g->address) || in_block(&w->p.dst, 0xa9fe4000, 18) ||
	    (!g->eni && is_link_local_resolver(&w->p.dst))) {
		walk_stop(w, DROP_NO_POSSIBLE_DESTINATION, "function", name, &f->def->at,
			  "nothing opens a connection to a function");
		return;
	}
	if (!forward_ttl(w, "function", name, &f->def->at))
		return;
	remember(w, g, 0, &g->address);
	walk_hop(w, EXPLAIN_TRANSLATE, g->eni ? "network_interface" : "service",
		 g->eni ? g->eni->o.id : "service", NULL, "from %s", addr_str(&g->address));
	w->p.src = g->address;
	w->eni = g->eni;
	w->place = g->eni ? PLACE_FROM_ENI : PLACE_INTERNET;
}

static void at_send(struct walk *w)
{
	const struct s_instance *in = w->eni ? instance_of(w->eni) : NULL;

	if (!w->p.answer && w->from.function) {
		sandbox_sends(w);
	} else if (in) {
		/* an answer leaves by the interface whose address it bears */
		if (w->p.answer)
			w->eni = own_eni(in, &w->p.src);
		node_sends(w, "instance", in->o.name, &in->def->at, own_eni(in, &w->p.dst) != NULL,
			   &in->def->programs);
	} else {
		node_sends(w, "host", w->host->o.name, &w->host->def->at,
			   addr_equal(&w->host->def->ip, &w->p.dst), &w->host->def->programs);
	}
}

/* the interface and the address that an instance's question goes out with */
void walk_from_instance(struct walk *w, const struct s_instance *in)
{
	w->eni = way_out(in, &w->p.dst);
	w->p.src = own_eni(in, &w->p.dst) ? w->p.dst : w->eni->private_ips[0];
}

/* what a function sent comes back; nothing else gets in */
static void at_egress(struct walk *w)
{
	const struct s_egress *g = w->egress;
	const struct s_function *f = function_of(w->s, g);
	const char *kind = g->eni ? "function" : "service";
	const char *name = g->eni ? eni_name(w->s, g->eni) : "service";

	if (walk_remembers(w, g, 0) && g == w->from.egress)
		arrive(w);
	else
		walk_stop(w, DROP_NO_POSSIBLE_DESTINATION, kind, name, f ? &f->def->at : NULL,
			  "nothing opens a connection to a function");
}

/* a kernel takes no packet that bears its own address and comes from outside */
static bool is_own_again(struct walk *w, const char *kind, const char *name, const struct where *at)
{
	const struct s_instance *in = instance_of(w->eni);

	if (!(in ? own_eni(in, &w->p.src) != NULL : eni_has(w->eni, &w->p.src)))
		return false;
	walk_stop(w, NO_CODE, kind, name, at, "what it sent itself comes back to it");
	return true;
}

static bool in_vpc(const struct vpc *v, const struct addr *a)
{
	size_t i;

	for (i = 0; i < v->n_secondary_cidr_blocks; i++)
		if (prefix_has(&v->secondary_cidr_blocks[i], a))
			return true;
	return prefix_has(&v->cidr_block, a);
}

static void at_nat(struct walk *w, const struct s_nat *n)
{
	const struct memory *m = walk_remembers(w, n, 0);
	const struct where *at = &n->def->at;
	const struct addr *own = &n->eni->private_ips[w->choice % n->eni->n_private_ips];

	if (is_own_again(w, "nat_gateway", n->o.name, at))
		return;
	if (m) {
		if (!forward_tells(w, n->eni, "nat_gateway", n->o.name, at))
			return;
		w->p.dst = m->src;
		forget(w, m);
	} else if (eni_has(n->eni, &w->p.dst)) {
		walk_stop(w, DROP_NO_POSSIBLE_DESTINATION, "nat_gateway", n->o.name, at,
			  "nothing comes in unasked");
		return;
	} else if (!in_vpc(n->vpc->def, &w->p.src)) {
		walk_stop(w, DROP_NGW_SOURCE, "nat_gateway", n->o.name, at, "%s isn't of VPC %s",
			  addr_str(&w->p.src), n->vpc->o.name);
		return;
	} else if (w->p.answer) {
		walk_stop(w, NO_CODE, "nat_gateway", n->o.name, at,
			  "an answer to a question that didn't pass here");
		return;
	} else {
		if (!forward_tells(w, n->eni, "nat_gateway", n->o.name, at))
			return;
		remember(w, n, 0, own);
		if (w->n_choices < n->eni->n_private_ips)
			w->n_choices = n->eni->n_private_ips;
		walk_hop(w, EXPLAIN_TRANSLATE, "nat_gateway", n->o.name, at, "from %s",
			 addr_str(own));
		w->p.src = *own;
	}
	w->eni = n->eni;
	w->place = PLACE_FROM_ENI;
}

/* an instance that masquerades what it forwards.  Of an answer whose question took
 * another way its tracking makes nothing, but for a datagram and for what follows a
 * handshake: they look like something new, and go on in the instance's own name, which
 * the asker doesn't know */
static void masquerade(struct walk *w, const struct s_instance *in)
{
	const struct addr *own = &in->eni->private_ips[0];
	const struct where *at = &in->def->at;

	if (!w->p.answer) {
		remember(w, in, 0, own);
		if (!MUTANT("explain-nat-instance")) {
			walk_hop(w, EXPLAIN_TRANSLATE, "instance", in->o.name, at, "from %s",
				 addr_str(own));
			w->p.src = *own;
		}
	} else if (w->p.proto != IPPROTO_ICMP && !w->refusing) {
		w->renamed = in;
		if (w->p.proto == IPPROTO_UDP)
			w->p.src = *own;
	}
}

static void at_instance(struct walk *w, const struct s_instance *in)
{
	const struct memory *m = in->def->nat_instance ? walk_remembers(w, in, 0) : NULL;
	const struct where *at = &in->def->at;

	if (is_own_again(w, "instance", in->o.name, at))
		return;
	if (m) {
		if (!forward_tells(w, way_out(in, &w->p.src), "instance", in->o.name, at))
			return;
		w->p.dst = m->src;
		forget(w, m);
		w->eni = way_out(in, &w->p.dst);
		w->place = PLACE_FROM_ENI;
		return;
	}
	if (own_eni(in, &w->p.dst)) {
		if (!w->p.answer)
			deliver(w, "instance", in->o.name, at, &in->def->programs);
		else if (in == w->from.instance)
			arrive(w);
		else
			walk_stop(w, NO_CODE, "instance", in->o.name, at,
				  "an answer to a question that it didn't ask");
		return;
	}
	if (!in->def->forward && !in->def->nat_instance) {
		walk_stop(w, NO_CODE, "instance", in->o.name, at, "it doesn't forward");
		return;
	}
	if (!forward_tells(w, way_out(in, &w->p.src), "instance", in->o.name, at))
		return;
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_FORWARD, "instance", in->o.name, at, "to %s",
			 addr_str(&w->p.dst));
	w->eni = way_out(in, &w->p.dst);
	w->place = PLACE_FROM_ENI;
	if (in->def->nat_instance && w->eni == in->eni)
		masquerade(w, in);
}

static void at_eni(struct walk *w)
{
	const struct s_nat *n = nat_of(w->eni);
	const struct s_instance *in = instance_of(w->eni);

	w->egress = n || in ? NULL : egress_of(w->s, w->eni);
	if (n)
		at_nat(w, n);
	else if (in)
		at_instance(w, in);
	else
		at_egress(w);
}

static void at_host(struct walk *w)
{
	const struct s_host *h = w->host;

	w->eni = NULL;
	if (!w->p.answer)
		deliver(w, "host", h->o.name, &h->def->at, &h->def->programs);
	else if (h == w->from.host)
		arrive(w);
	else
		walk_stop(w, NO_CODE, "host", h->o.name, &h->def->at,
			  "an answer to a question that it didn't ask");
}

/* ---- the internet ---- */

static const struct s_host *host_by_ip(const struct store *s, const struct addr *a)
{
	size_t i;

	for (i = 0; i < s->n_hosts; i++)
		if (addr_equal(&s->hosts[i].def->ip, a))
			return &s->hosts[i];
	return NULL;
}

static const struct s_egress *service_of(const struct store *s)
{
	for (size_t i = 0; i < s->n_egresses; i++)
		if (!s->egresses[i]->eni)
			return s->egresses[i];
	return NULL;
}

/* AWS's own endpoint (LN-45): the internet's namespace has it itself */
static void at_api(struct walk *w)
{
	struct port port = { .proto = IPPROTO_TCP, .port = STORE_API_PORT };
	const struct programs api = { .serve = &port, .n_serve = 1 };

	if (w->p.proto != IPPROTO_TCP || w->p.answer) {
		walk_stop(w, NO_CODE, "internet", w->s->api_name, NULL, "it speaks HTTP only");
		return;
	}
	deliver(w, "internet", w->s->api_name, NULL, &api);
	w->eni = NULL;
	w->place = PLACE_INTERNET;
}

static void at_internet(struct walk *w)
{
	const struct s_egress *service = service_of(w->s);
	const struct s_eni *e = store_eni_by_public(w->s, &w->p.dst);

	w->host = host_by_ip(w->s, &w->p.dst);
	w->egress = service && addr_equal(&service->address, &w->p.dst) ? service : NULL;
	if (addr_is_set(&w->s->api) && addr_equal(&w->s->api, &w->p.dst)) {
		at_api(w);
		return;
	}
	if (!w->host && !w->egress && !e) {
		walk_stop(w, DROP_UNKNOWN_DESTINATION, "internet", "internet", NULL,
			  "nobody there has %s", addr_str(&w->p.dst));
		return;
	}
	if (!forward_ttl(w, "internet", "internet", NULL))
		return;
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_FORWARD, "internet", "internet", NULL, "to %s",
			 addr_str(&w->p.dst));
	if (w->host) {
		w->place = PLACE_HOST;
	} else if (w->egress) {
		w->place = PLACE_EGRESS;
	} else {
		w->vpc = e->vpc;
		w->eni = e;
		w->place = PLACE_FROM_IGW;
	}
}

/* ---- the router ---- */

static const char *table_name(const struct s_table *t)
{
	return t->def->name[0] ? t->o.name : t->vpc->o.name;
}

static const struct where *table_where(const struct s_table *t)
{
	return t->def->at.pos.line ? &t->def->at : &t->vpc->def->at;
}

static void route_hop(struct walk *w, const struct s_table *t, const struct route *r)
{
	char target[100];

	if (w->p.answer)
		return;
	if (r)
		walk_hop(w, EXPLAIN_ROUTE, "route_table", table_name(t), &r->at, "%s -> %s",
			 prefix_str(&r->destination),
			 route_target_words(r, target, sizeof(target)));
	else
		walk_hop(w, EXPLAIN_ROUTE, "route_table", table_name(t), table_where(t),
			 "%s -> local", prefix_str(vpc_cidr_of(t->vpc->def, &w->p.dst)));
}

/* within a subnet no table is asked (RT-10) */
static void neighbour_hop(struct walk *w, const struct s_subnet *s)
{
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_FORWARD, "subnet", s->o.name, &s->def->at,
			 "%s is a neighbour: no route table is asked", addr_str(&w->p.dst));
}

/* what the gateway's own table leads to an appliance must come from there, too */
static bool edge_lets_out(struct walk *w, const struct s_vpc *v)
{
	const struct s_table *t =
		v->def->edge_route_table ? store_table_of(v, v->def->edge_route_table) : NULL;
	const struct s_eni *via;
	const struct route *r;
	char target[100];

	if (!t || gate_route(t, &w->p.src, &r, &via) != ROUTE_ENI || via == w->eni ||
	    MUTANT("explain-edge"))
		return true;
	walk_stop(w, DROP_EDGE_REDIRECTION, "route_table", table_name(t), &r->at,
		  "%s -> %s: what goes out of there must come by it, too",
		  prefix_str(&r->destination), route_target_words(r, target, sizeof(target)));
	return false;
}

/* what the internet gateway refuses to carry out */
static bool gateway_takes(struct walk *w, const struct s_vpc *v)
{
	const struct where *at = &v->def->at;
	const struct s_eni *e = store_eni_by_private(v, &w->p.src);

	if (addr_is_rfc1918(&w->p.dst))
		walk_stop(w, DROP_IGW_TO_RFC1918, "internet_gateway", v->o.name, at,
			  "%s is a private address", addr_str(&w->p.dst));
	else if (addr_is_rfc6598(&w->p.dst))
		walk_stop(w, DROP_IGW_TO_RFC6598, "internet_gateway", v->o.name, at,
			  "%s is a shared address", addr_str(&w->p.dst));
	else if ((!e || !addr_is_set(eni_public_of(e, &w->p.src))) &&
		 !MUTANT("explain-public-address"))
		walk_stop(w, DROP_IGW_NO_PUBLIC_IP, "internet_gateway", v->o.name,
			  e ? eni_where(w->s, e) : at, "%s has no public address",
			  e ? eni_name(w->s, e) : addr_str(&w->p.src));
	return w->place != PLACE_END;
}

static void leave_by_igw(struct walk *w, const struct s_vpc *v)
{
	const struct s_eni *e;
	struct addr public;

	if (!edge_lets_out(w, v) || !gateway_takes(w, v))
		return;
	e = store_eni_by_private(v, &w->p.src);
	public = *eni_public_of(e, &w->p.src);
	if (w->p.answer && !walk_remembers(w, v, 1)) {
		walk_stop(w, NO_CODE, "internet_gateway", v->o.name, &v->def->at,
			  "an answer to a question that didn't pass here");
		return;
	}
	remember(w, v, 1, &public);
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_TRANSLATE, "internet_gateway", v->o.name, &v->def->at,
			 "from %s", addr_str(&public));
	w->p.src = public;
	/* what an ICMP error tells of is translated as its own addresses are */
	e = addr_is_set(&w->p.about) ? store_eni_by_private(v, &w->p.about) : NULL;
	if (e && addr_is_set(eni_public_of(e, &w->p.about)))
		w->p.about = *eni_public_of(e, &w->p.about);
	w->place = PLACE_INTERNET;
}

/* "in": the interface it comes from, NULL: a gateway */
static void leave_by_eni(struct walk *w, const struct s_vpc *v, const struct s_eni *in,
			 const struct s_eni *out, unsigned zone)
{
	if ((!in || out->subnet != in->subnet) && !gate_list(w, out->subnet, true))
		return;
	if (out->source_dest_check && !eni_has(out, &w->p.dst)) {
		walk_stop(w, DROP_SOURCE_DEST_CHECK, eni_kind(out), eni_name(w->s, out),
			  eni_where(w->s, out), "its source/dest check is on, and %s isn't its own",
			  addr_str(&w->p.dst));
		return;
	}
	if (!gate_groups(w, out, true, zone, in))
		return;
	if (zone)
		remember(w, v, zone, &w->p.src);
	w->eni = out;
	w->place = PLACE_ENI;
}

/* to another subnet, to a gateway, or to where nobody is: not to an address of the
 * subnet's own that nobody has */
static bool leaves_subnet(const struct s_subnet *s, const struct addr *dst, enum route_kind kind,
			  const struct s_eni *out)
{
	if (MUTANT("explain-acl-same-subnet"))
		return true;
	return out		 ? out->subnet != s :
	       kind == ROUTE_IGW ? true :
				   !prefix_has(&s->def->cidr_block, dst);
}

static void leave_by_peering(struct walk *w, const struct s_peer *from)
{
	const struct s_peering *p = from->peering;

	if (!peering_takes(w, from))
		return;
	remember(w, from->vpc, 0, &w->p.src);
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_FORWARD, "peering", p->o.name, &p->def->at, "to VPC %s",
			 from->other->o.name);
	w->peer = &p->ends[from == &p->ends[0]];
	w->vpc = from->other;
	w->place = PLACE_FROM_PEERING;
}

/* the interface that answers at a private address; NULL: none, or it is attached to
 * nothing */
static const struct s_eni *who_has(const struct s_vpc *v, const struct addr *a)
{
	const struct s_eni *e = store_eni_by_private(v, a);

	return e && (e->ns || MUTANT("explain-unattached")) ? e : NULL;
}

/* what routing can't place, after the sender's groups and list have had their say */
static void lost(struct walk *w, const struct s_vpc *v, const struct s_table *t,
		 enum route_kind kind, const struct route *r)
{
	const struct s_eni *e = store_eni_by_private(v, &w->p.dst);
	char target[100];

	if (kind == ROUTE_BAD)
		walk_stop(w, DROP_BAD_STATE_ROUTE, "route_table", table_name(t), &r->at,
			  "%s -> %s leads nowhere", prefix_str(&r->destination),
			  route_target_words(r, target, sizeof(target)));
	else if (kind == ROUTE_LOCAL && e && !e->ns)
		walk_stop(w, DROP_UNKNOWN_DESTINATION, eni_kind(e), eni_name(w->s, e),
			  eni_where(w->s, e), "%s is attached to nothing", addr_str(&w->p.dst));
	else if (kind == ROUTE_LOCAL)
		walk_stop(w, DROP_UNKNOWN_DESTINATION, "vpc", v->o.name, &v->def->at,
			  "nobody has %s", addr_str(&w->p.dst));
	else
		walk_stop(w, DROP_NO_ROUTE, "route_table", table_name(t), table_where(t),
			  "no route for %s", addr_str(&w->p.dst));
}

static void at_from_eni(struct walk *w)
{
	const struct s_eni *in = w->eni, *out = NULL;
	const struct s_vpc *v = in->vpc;
	const struct s_table *t = in->subnet->table;
	const struct route *r = NULL;
	enum route_kind kind;
	bool neighbour;
	unsigned zone;

	w->peer = NULL;
	if (in->source_dest_check && !eni_has(in, &w->p.src)) {
		walk_stop(w, DROP_ENI_ADDRESS, eni_kind(in), eni_name(w->s, in),
			  eni_where(w->s, in), "its source/dest check is on, and %s isn't its own",
			  addr_str(&w->p.src));
		return;
	}
	if (addr_equal(&w->p.dst, &v->resolver) || is_link_local_resolver(&w->p.dst)) {
		if (v->def->enable_dns_support && is_dns(&w->p))
			deliver_dns(w, "vpc", v->o.name);
		else
			walk_stop(w, DROP_NO_POSSIBLE_DESTINATION, "vpc", v->o.name, &v->def->at,
				  "the resolver answers port 53 only, if it does");
		return;
	}
	neighbour = prefix_has(&in->subnet->def->cidr_block, &w->p.dst) &&
		    !MUTANT("explain-neighbours");
	kind = neighbour ? ROUTE_LOCAL : gate_route(t, &w->p.dst, &r, &out);
	if (kind == ROUTE_LOCAL)
		out = who_has(v, &w->p.dst);
	if (out || kind == ROUTE_IGW || kind == ROUTE_PEERING)
		if (!forward_ttl(w, "vpc", v->o.name, &v->def->at))
			return;
	zone = kind == ROUTE_IGW ? 1 : 0;
	if (!gate_groups(w, in, false, zone, out))
		return;
	if (leaves_subnet(in->subnet, &w->p.dst, kind, out) && !gate_list(w, in->subnet, false))
		return;
	if (!out && kind != ROUTE_IGW && kind != ROUTE_PEERING) {
		lost(w, v, t, kind, r);
		return;
	}
	if (neighbour)
		neighbour_hop(w, in->subnet);
	else
		route_hop(w, t, r);
	if (kind == ROUTE_IGW)
		leave_by_igw(w, v);
	else if (kind == ROUTE_PEERING)
		leave_by_peering(w, store_peer_of(v, r->peering));
	else
		leave_by_eni(w, v, in, out, 0);
}

static bool gateway_lets_in(struct walk *w, const struct s_vpc *v)
{
	static const struct {
		uint32_t base;
		unsigned len;
	} bogons[] = { { 0, 8 }, { 0x7f000000, 8 }, { 0xa9fe0000, 16 }, { 0xe0000000, 3 } };
	enum reach_drop_number drop = NO_CODE;
	size_t i;

	for (i = 0; i < sizeof(bogons) / sizeof(bogons[0]); i++)
		if (in_block(&w->p.src, bogons[i].base, bogons[i].len))
			drop = DROP_GATEWAY_SPOOFED;
	if (vpc_cidr_of(v->def, &w->p.src))
		drop = DROP_GATEWAY_SPOOFED;
	if (addr_is_rfc6598(&w->p.src))
		drop = DROP_IGW_FROM_RFC6598;
	if (addr_is_rfc1918(&w->p.src))
		drop = DROP_IGW_FROM_RFC1918;
	if (drop)
		walk_stop(w, drop, "internet_gateway", v->o.name, &v->def->at,
			  "%s isn't an address of the internet", addr_str(&w->p.src));
	return !drop;
}

/* where the gateway's own table leads what came in; NULL: it stopped there */
static const struct s_eni *edge_route(struct walk *w, const struct s_vpc *v)
{
	const struct s_table *t = store_table_of(v, v->def->edge_route_table);
	const struct route *r;
	const struct s_eni *out;
	enum route_kind kind = gate_route(t, &w->p.dst, &r, &out);

	if (kind == ROUTE_LOCAL)
		out = who_has(v, &w->p.dst);
	if (!out) {
		lost(w, v, t, kind, r);
		return NULL;
	}
	route_hop(w, t, r);
	if (kind == ROUTE_LOCAL || eni_is_public(out) || MUTANT("explain-edge"))
		return out;
	walk_stop(w, DROP_EDGE_NO_PUBLIC_IP, eni_kind(out), eni_name(w->s, out),
		  eni_where(w->s, out),
		  "an appliance behind the internet gateway needs a public address");
	return NULL;
}

/* w->eni has the public address that the packet goes to */
static void at_from_igw(struct walk *w)
{
	const struct s_vpc *v = w->vpc;
	const struct s_eni *e = w->eni;
	const struct memory *m = walk_remembers(w, v, 1);

	w->peer = NULL;
	if (!gateway_lets_in(w, v))
		return;
	if (w->p.answer && !m) {
		walk_stop(w, NO_CODE, "internet_gateway", v->o.name, &v->def->at,
			  "an answer to a question that didn't pass here");
		return;
	}
	if (!w->p.answer)
		walk_hop(w, EXPLAIN_TRANSLATE, "internet_gateway", v->o.name, &v->def->at, "to %s",
			 addr_str(eni_private_of(e, &w->p.dst)));
	w->p.dst = m ? m->src : *eni_private_of(e, &w->p.dst);
	if (v->def->edge_route_table) {
		e = edge_route(w, v);
		if (!e)
			return;
	}
	if (!forward_ttl(w, "internet_gateway", v->o.name, &v->def->at))
		return;
	leave_by_eni(w, v, NULL, e, 1);
}

static void at_from_peering(struct walk *w)
{
	const struct s_vpc *v = w->vpc;
	const struct s_eni *out = who_has(v, &w->p.dst);

	if (addr_equal(&w->p.dst, &v->resolver)) {
		walk_stop(w, DROP_NO_POSSIBLE_DESTINATION, "vpc", v->o.name, &v->def->at,
			  "a peer's resolver can't be asked");
		return;
	}
	if (!out) {
		walk_stop(w, DROP_UNKNOWN_DESTINATION, "vpc", v->o.name, &v->def->at,
			  "nobody has %s", addr_str(&w->p.dst));
		return;
	}
	if (!forward_ttl(w, "vpc", v->o.name, &v->def->at))
		return;
	leave_by_eni(w, v, NULL, out, 0);
}

/* the namespace where the next step is made */
static const char *namespace_of(const struct walk *w)
{
	switch (w->place) {
	case PLACE_SEND:
		return !w->p.answer && w->from.egress ? w->from.egress->ns :
		       w->eni			      ? w->eni->ns :
							w->host->ns;
	case PLACE_EGRESS:
		return w->egress->ns;
	case PLACE_FROM_ENI:
		return w->eni->vpc->ns;
	case PLACE_FROM_IGW:
	case PLACE_FROM_PEERING:
		return w->vpc->ns;
	case PLACE_INTERNET:
		return "internet";
	case PLACE_ENI:
		return w->eni->ns;
	case PLACE_HOST:
		return w->host->ns;
	case PLACE_END:
		break;
	}
	return NULL;
}

static void visit(struct walk *w)
{
	struct explain_part *t = w->part;
	const char *ns = namespace_of(w);
	size_t i;

	for (i = 0; ns && i < t->n_namespaces; i++)
		if (!strcmp(t->namespaces[i], ns))
			return;
	if (ns && t->n_namespaces < EXPLAIN_NAMESPACES_MAX)
		t->namespaces[t->n_namespaces++] = ns;
}

void walk_run(struct walk *w)
{
	while (w->place != PLACE_END && !w->failed) {
		if (w->part->n_hops >= EXPLAIN_HOPS_MAX) {
			w->failed = true;
			return;
		}
		visit(w);
		switch (w->place) {
		case PLACE_SEND:
			at_send(w);
			break;
		case PLACE_EGRESS:
			at_egress(w);
			break;
		case PLACE_FROM_ENI:
			at_from_eni(w);
			break;
		case PLACE_FROM_IGW:
			at_from_igw(w);
			break;
		case PLACE_FROM_PEERING:
			at_from_peering(w);
			break;
		case PLACE_INTERNET:
			at_internet(w);
			break;
		case PLACE_ENI:
			at_eni(w);
			break;
		case PLACE_HOST:
			at_host(w);
			break;
		case PLACE_END:
			break;
		}
	}
}
