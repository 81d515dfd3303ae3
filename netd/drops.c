/* SPDX-License-Identifier: MIT */
/*
 * drops - what dropped a packet (drops.h).
 *
 * All notes of the lab are read once for a question and sorted by tuple.  A
 * flow is then looked for as it was sent, turned round (its answer), and as what
 * it became on its way: an egress namespace or a NAT gateway knows by connection
 * tracking what it made of it (it let the packet through, so the connection is
 * confirmed there); an internet gateway's 1:1 maps are the store's.  A packet
 * that was dropped left no connection where it was dropped: hence the notes.
 */
#include "netd/drops.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/nft.h"
#include "lib/util.h"
#include "netd/jobs.h"
#include "topology/reach.h"

#define KEY_SIZE 36	/* reason, interface, two addresses, protocol, ports */
#define VARIANTS_MAX 16 /* of one flow */

struct note {
	struct nft_flow flow;
	uint64_t left_ms; /* until it is forgotten: the newest has most */
	uint32_t number;
	char link[16];
	const char *ns; /* borrows from the store */
};

struct notes {
	struct note *v; /* owns */
	size_t n, cap;
	bool failed;
	const char *ns; /* that is being read */
};

/* ---- notes ---- */

static int flow_cmp(const struct nft_flow *a, const struct nft_flow *b)
{
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->saddr != b->saddr)
		return a->saddr < b->saddr ? -1 : 1;
	if (a->daddr != b->daddr)
		return a->daddr < b->daddr ? -1 : 1;
	if (a->sport != b->sport)
		return a->sport < b->sport ? -1 : 1;
	return a->dport == b->dport ? 0 : a->dport < b->dport ? -1 : 1;
}

static int note_cmp(const void *a, const void *b)
{
	return flow_cmp(&((const struct note *)a)->flow, &((const struct note *)b)->flow);
}

/* of one flow the newest note first: an older one may be of before a change */
static int note_order(const void *a, const void *b)
{
	const struct note *x = a, *y = b;
	int r = note_cmp(a, b);

	return r ? r : x->left_ms > y->left_ms ? -1 : x->left_ms < y->left_ms;
}

/* ICMP has type, code and checksum where ports would be: the type tells a question
 * from an answer, the checksum changes on the way */
static void keep_type(struct nft_flow *f)
{
	if (f->proto == IPPROTO_ICMP)
		f->sport >>= 8;
	else if (f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP)
		f->sport = 0;
	if (f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP)
		f->dport = 0;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void note_read(const void *key, size_t size, uint64_t left_ms, void *arg)
{
	const uint8_t *k = key;
	struct notes *s = arg;
	struct note *t;

	if (size < KEY_SIZE)
		return;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct note *v = reallocarray(s->v, cap, sizeof(*v));

		if (!v) {
			s->failed = true;
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	t = &s->v[s->n++];
	memset(t, 0, sizeof(*t));
	t->ns = s->ns;
	t->left_ms = left_ms;
	memcpy(&t->number, k, sizeof(t->number));
	memcpy(t->link, k + 4, sizeof(t->link) - 1);
	t->flow.saddr = be32(k + 20);
	t->flow.daddr = be32(k + 24);
	t->flow.proto = k[28];
	t->flow.sport = (uint16_t)(k[32] << 8 | k[33]);
	t->flow.dport = (uint16_t)(k[34] << 8 | k[35]);
	keep_type(&t->flow);
}

static int notes_of(struct netlab *l, const char *ns, const char *table, struct notes *s,
		    struct err *e)
{
	struct nft *nft;
	int r;

	if (!program_find(&l->actual, ns, ITEM_NS, ""))
		return 0;
	nft = spaces_nft(l->spaces, ns, e);
	if (!nft)
		return -EIO;
	s->ns = ns;
	r = nft_each_expiring(nft, table, "notes", note_read, s);
	if (r == -ENOENT)
		return 0; /* nothing is dropped there */
	return r < 0 ? err_set(e, ERR_KERNEL, -r, "%s: reading the notes: %s", ns, strerror(-r)) :
		       0;
}

static int notes_all(struct netlab *l, struct notes *s, struct err *e)
{
	const struct store *st = l->store;
	size_t i, k;
	int r = notes_of(l, "internet", "ip internet", s, e);

	for (i = 0; r == 0 && i < st->n_vpcs; i++) {
		const struct s_vpc *v = &st->vpcs[i];

		r = notes_of(l, v->ns, "ip vpc", s, e);
		for (k = 0; r == 0 && k < v->n_nats; k++)
			if (v->nats[k].eni)
				r = notes_of(l, v->nats[k].ns, "ip natgw", s, e);
	}
	for (i = 0; r == 0 && i < st->n_egresses; i++)
		r = notes_of(l, st->egresses[i]->ns, "ip egress", s, e);
	if (r == 0 && s->failed)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (r == 0 && s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), MUTANT("newest-note") ? note_cmp : note_order);
	return r;
}

/* the newest note of a flow; "answer": it is one's way back */
static const struct note *note_find(const struct notes *s, const struct nft_flow *f, bool answer)
{
	struct note want = { .flow = *f };
	const struct note *t;

	if (f->proto == IPPROTO_ICMP) {
		want.flow.sport = answer ? ICMP_ECHOREPLY : ICMP_ECHO;
		want.flow.dport = 0;
	}
	t = s->n ? bsearch(&want, s->v, s->n, sizeof(*s->v), note_cmp) : NULL;
	while (t && t > s->v && note_cmp(t - 1, t) == 0)
		t--;
	return t;
}

/* ---- what a flow becomes ---- */

struct variant {
	struct nft_flow flow;
	const struct s_vpc *vpc; /* where it is then; NULL: outside any */
};

struct variants {
	struct variant v[VARIANTS_MAX];
	size_t n;
};

static void variant_add(struct variants *s, const struct nft_flow *f, const struct s_vpc *vpc)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].vpc == vpc && flow_cmp(&s->v[i].flow, f) == 0)
			return;
	if (s->n < VARIANTS_MAX)
		s->v[s->n++] = (struct variant){ *f, vpc };
}

static void translate(struct netlab *l, const char *ns, const struct variant *v,
		      const struct s_vpc *vpc, struct variants *s)
{
	struct err ignored = { .code = ERR_NONE };
	int fd = spaces_fd(l->spaces, ns, &ignored);
	struct nft_flow out;

	/* not tracked there: it never came through */
	if (fd >= 0 && ct_translate(fd, &v->flow, &out) == 0)
		variant_add(s, &out, vpc);
}

/* by the gateways' maps: out of its VPC, or into the one that has the address */
static void through_gateways(const struct store *st, const struct variant *v, struct variants *s)
{
	struct addr a = addr_v4(v->flow.saddr), b = addr_v4(v->flow.daddr);
	const struct s_eni *e = v->vpc ? store_eni_by_private(v->vpc, &a) : NULL;
	struct nft_flow f = v->flow;

	if (e && addr_is_set(eni_public_of(e, &a))) {
		f.saddr = addr_to_v4(eni_public_of(e, &a));
		variant_add(s, &f, NULL);
	}
	e = v->vpc ? NULL : store_eni_by_public(st, &b);
	if (e) {
		f = v->flow;
		f.daddr = addr_to_v4(eni_private_of(e, &b));
		variant_add(s, &f, e->vpc);
	}
	/* from inside a VPC to a public address, its own too */
	if (v->vpc && store_eni_by_public(st, &b))
		variant_add(s, &v->flow, NULL);
}

static void expand(struct netlab *l, const struct variant *at, struct variants *s)
{
	const struct variant v = *at; /* "s" grows */
	size_t i;

	for (i = 0; v.vpc && i < v.vpc->n_nats; i++)
		if (v.vpc->nats[i].eni)
			translate(l, v.vpc->nats[i].ns, &v, v.vpc, s);
	for (i = 0; v.vpc && i < v.vpc->n_instances; i++)
		if (v.vpc->instances[i].def->nat_instance)
			translate(l, v.vpc->instances[i].ns, &v, v.vpc, s);
	through_gateways(l->store, &v, s);
}

static const struct s_vpc *vpc_of_ns(const struct store *st, const char *ns)
{
	size_t i, k;

	for (i = 0; i < st->n_vpcs; i++) {
		const struct s_vpc *v = &st->vpcs[i];

		if (strcmp(v->ns, ns) == 0)
			return v;
		for (k = 0; k < v->n_instances; k++)
			if (strcmp(v->instances[k].ns, ns) == 0)
				return v;
		for (k = 0; k < v->n_nats; k++)
			if (strcmp(v->nats[k].ns, ns) == 0)
				return v;
	}
	return NULL;
}

static const struct note *search(struct netlab *l, const char *ns, const struct nft_flow *f,
				 const struct notes *notes)
{
	const struct s_egress *g = store_egress_of_place(l->store, ns);
	struct variants s = { .n = 0 };
	size_t i;

	variant_add(&s, f, g ? NULL : vpc_of_ns(l->store, ns));
	if (g)
		translate(l, g->ns, &s.v[0], g->eni ? g->eni->vpc : NULL, &s);
	for (i = 0; i < s.n; i++) {
		const struct nft_flow *at = &s.v[i].flow;
		const struct nft_flow back = { at->proto, at->daddr, at->saddr, at->dport,
					       at->sport };
		const struct note *t = note_find(notes, at, false);

		if (!t)
			t = note_find(notes, &back, true);
		if (t)
			return t;
		expand(l, &s.v[i], &s);
	}
	return NULL;
}

/* ---- who that is ---- */

static const struct s_nat *nat_of_ns(const struct store *st, const char *ns)
{
	size_t i, k;

	for (i = 0; i < st->n_vpcs; i++)
		for (k = 0; k < st->vpcs[i].n_nats; k++)
			if (strcmp(st->vpcs[i].nats[k].ns, ns) == 0)
				return &st->vpcs[i].nats[k];
	return NULL;
}

/* "main/db" -> "main.db" */
static const char *dotted(const char *name)
{
	static char ret[4][160];
	static unsigned next;
	char *s = ret[next++ % 4], *slash;

	snprintf(s, sizeof(ret[0]), "%s", name);
	slash = strchr(s, '/');
	if (slash)
		*slash = '.';
	return s;
}

static void groups_text(const struct s_eni *e, struct buf *b)
{
	size_t i;

	buf_adds(b, "security group ");
	for (i = 0; i < e->n_groups; i++)
		buf_printf(b, "%s%s", i ? ", " : "", dotted(e->groups[i]->o.name));
}

static void eni_text(const struct s_eni *e, struct buf *b)
{
	if (!e->owner)
		buf_printf(b, "network interface %s", e->o.id);
	else if (strchr(e->owner->name, '/'))
		buf_printf(b, "network interface %s", dotted(e->owner->name));
	else
		buf_printf(b, "network interface %s.%s", e->vpc->def->name, e->owner->name);
}

static const struct route *longest(const struct s_table *t, const struct addr *to)
{
	const struct route *best = NULL;
	size_t i;

	for (i = 0; i < t->def->n_routes; i++)
		if (prefix_has(&t->def->routes[i].destination, to) &&
		    (!best || t->def->routes[i].destination.len > best->destination.len))
			best = &t->def->routes[i];
	return best;
}

/* by its link, or by the address that the sender asked for */
static void peering_text(const struct s_vpc *v, const struct note *t, struct buf *b)
{
	const struct s_peer *s = store_peer_by_link(v, t->link);
	const struct s_eni *e = store_eni_by_link(v, t->link);
	const struct addr to = addr_v4(t->flow.daddr);
	const struct route *r = e ? longest(e->subnet->table, &to) : NULL;

	if (s || (r && r->peering))
		buf_printf(b, "peering %s", s ? s->peering->o.name : r->peering->name);
	else
		buf_printf(b, "vpc %s", v->def->name);
}

/* inside a router: the interface that was noted says whose rules it were */
static void router_text(const struct s_vpc *v, const struct note *t, struct buf *b)
{
	const struct s_eni *e = store_eni_by_link(v, t->link);
	const struct network_acl *acl = e ? e->subnet->def->network_acl : NULL;

	switch ((enum reach_drop_number)t->number) {
	case DROP_NO_ROUTE:
	case DROP_BAD_STATE_ROUTE:
	case DROP_EDGE_REDIRECTION:
		if (t->number != DROP_EDGE_REDIRECTION && e) {
			buf_printf(b, "route table %s", dotted(e->subnet->table->o.name));
			return;
		}
		if (v->def->edge_route_table) {
			buf_printf(b, "route table %s.%s", v->def->name,
				   v->def->edge_route_table->name);
			return;
		}
		break;
	case DROP_SG_EGRESS:
	case DROP_SG_INGRESS:
	case DROP_SG_NONE_EGRESS:
	case DROP_SG_NONE_INGRESS:
	case DROP_SG_REFERENCE_EGRESS:
	case DROP_SG_REFERENCE_INGRESS:
		if (e && e->n_groups > 0) {
			groups_text(e, b);
			return;
		}
		break;
	case DROP_ACL_EGRESS:
	case DROP_ACL_INGRESS:
		if (acl) {
			buf_printf(b, "network acl %s.%s", v->def->name, acl->name);
			return;
		}
		break;
	case DROP_ENI_ADDRESS:
	case DROP_SOURCE_DEST_CHECK:
	case DROP_PROTOCOL:
	case DROP_EDGE_NO_PUBLIC_IP:
	case DROP_TRACKING_FULL_EGRESS:
	case DROP_TRACKING_FULL_INGRESS:
		if (e) {
			eni_text(e, b);
			return;
		}
		break;
	case DROP_IGW_NO_PUBLIC_IP:
	case DROP_IGW_NOBODY:
	case DROP_IGW_TO_RFC1918:
	case DROP_IGW_TO_RFC6598:
	case DROP_IGW_FROM_RFC1918:
	case DROP_IGW_FROM_RFC6598:
	case DROP_GATEWAY_SPOOFED:
		buf_printf(b, "internet gateway %s", v->def->name);
		return;
	case DROP_PEERING_EGRESS:
	case DROP_PEERING_INGRESS:
		peering_text(v, t, b);
		return;
	case DROP_UNKNOWN_DESTINATION:
	case DROP_NO_POSSIBLE_DESTINATION:
	case DROP_PORT_ALLOCATION:
	case DROP_NGW_SOURCE:
	case DROP_LINK_LOCAL_RATE:
		break;
	}
	buf_printf(b, "vpc %s", v->def->name);
}

static void component_text(const struct store *st, const struct note *t, struct buf *b)
{
	const struct s_egress *g = store_egress(st, t->ns);
	const struct s_nat *n = nat_of_ns(st, t->ns);
	const struct s_vpc *v = vpc_of_ns(st, t->ns);

	if (g && g->eni)
		eni_text(g->eni, b);
	else if (g)
		buf_adds(b, "service");
	else if (n)
		buf_printf(b, "nat gateway %s", dotted(n->o.name));
	else if (v)
		router_text(v, t, b);
	else
		buf_adds(b, "internet");
}

static cJSON *note_json(const struct store *st, const struct note *t)
{
	const struct reach_drop *why = t ? reach_drop(t->number) : NULL;
	auto_buf struct buf b = BUF_INIT;
	cJSON *o;

	if (!why)
		return cJSON_CreateNull();
	component_text(st, t, &b);
	o = cJSON_CreateObject();
	if (!o || buf_error(&b) || !cJSON_AddStringToObject(o, "code", why->code) ||
	    !cJSON_AddStringToObject(o, "component", buf_str(&b)) ||
	    !cJSON_AddStringToObject(o, "direction", why->direction)) {
		cJSON_Delete(o);
		return NULL;
	}
	return o;
}

/* ---- questions ---- */

static int port_read(const cJSON *o, const char *name, uint16_t *ret)
{
	double n = json_num(o, name, 0);

	if (n < 0 || n > 65535)
		return -EINVAL;
	*ret = (uint16_t)n;
	return 0;
}

/* "tcp", "udp", "icmp" */
int drops_flow_read(const cJSON *o, struct nft_flow *ret, const char **ret_ns)
{
	const char *proto = json_str(o, "protocol", ""), *ns = json_str(o, "namespace", NULL);
	struct addr s, d;

	memset(ret, 0, sizeof(*ret));
	if (!ns || addr_parse(json_str(o, "saddr", ""), &s) < 0 || s.family != AF_INET ||
	    addr_parse(json_str(o, "daddr", ""), &d) < 0 || d.family != AF_INET ||
	    port_read(o, "sport", &ret->sport) < 0 || port_read(o, "dport", &ret->dport) < 0)
		return -EINVAL;
	ret->proto = strcmp(proto, "tcp") == 0	? IPPROTO_TCP :
		     strcmp(proto, "udp") == 0	? IPPROTO_UDP :
		     strcmp(proto, "icmp") == 0 ? IPPROTO_ICMP :
						  0;
	ret->saddr = addr_to_v4(&s);
	ret->daddr = addr_to_v4(&d);
	*ret_ns = strrchr(ns, '/') ? strrchr(ns, '/') + 1 : ns;
	return ret->proto ? 0 : -EINVAL;
}

static int answer_all(struct netlab *l, const cJSON *flows, const struct notes *notes, cJSON *list,
		      struct err *e)
{
	const cJSON *at;
	int i = 0;

	cJSON_ArrayForEach(at, flows) {
		struct nft_flow f;
		const char *ns;
		cJSON *o;

		if (drops_flow_read(at, &f, &ns) < 0) {
			err_set(e, ERR_INVALID_PARAMETER, EINVAL,
				"namespace, protocol (tcp, udp,"
				" icmp), saddr, daddr and ports are required");
			err_path(e, "flows[%d]", i);
			return -EINVAL;
		}
		o = note_json(l->store, search(l, ns, &f, notes));
		if (!o || !cJSON_AddItemToArray(list, o)) {
			cJSON_Delete(o);
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		}
		i++;
	}
	return 0;
}

int drops_find(struct netlab *l, const cJSON *flows, cJSON **ret, struct err *e)
{
	struct notes notes = { NULL, 0, 0, false, NULL };
	auto_json cJSON *answer = cJSON_CreateObject();
	cJSON *list = answer ? cJSON_AddArrayToObject(answer, "drops") : NULL;
	int r;

	if (!cJSON_IsArray(flows))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "flows: an array is required");
	if (cJSON_GetArraySize(flows) > NETD_FLOWS_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "flows: at most %d", NETD_FLOWS_MAX);
	if (!l->store)
		return err_set(e, ERR_STATE, EIO, "lab %s could not be brought back", l->name);
	if (!list)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	job_faults_pause();
	r = notes_all(l, &notes, e);
	if (r == 0)
		r = answer_all(l, flows, &notes, list, e);
	job_faults_resume();
	if (!l->job)
		spaces_trim(l->spaces);
	free(notes.v);
	if (r == 0)
		*ret = steal_ptr(&answer);
	return r;
}
