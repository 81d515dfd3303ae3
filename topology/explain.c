/* SPDX-License-Identifier: MIT */
/*
 * explain - from a question to the flows it stands for, each walked by itself
 * (explain_walk.c), and what comes out as JSON and words.
 */
#include "topology/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/explain_internal.h"

#define TARGETS_MAX 16 /* a function's interfaces */
#define ALIASES_MAX 8  /* that a resolver follows */

const char *explain_action_name(enum explain_action a)
{
	static const char *const names[] = {
		[EXPLAIN_SEND] = "send",       [EXPLAIN_ALLOW] = "allow",
		[EXPLAIN_ROUTE] = "route",     [EXPLAIN_TRANSLATE] = "translate",
		[EXPLAIN_FORWARD] = "forward", [EXPLAIN_DELIVER] = "deliver",
		[EXPLAIN_DROP] = "drop",       [EXPLAIN_REJECT] = "reject",
	};

	return names[a];
}

/* ---- names in the DNS, as the asker's resolver knows them ---- */

static bool has_name(const struct strings *names, const char *name)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		if (!strcasecmp(names->v[i], name))
			return true;
	return false;
}

/* "ec2-203-0-113-5.compute-1.amazonaws.com", "ip-10-0-1-5.ec2.internal" */
static bool is_aws_name(const struct addr *a, const char *region, bool public, const char *name)
{
	bool first = !strcmp(region, "us-east-1");
	const uint8_t *b = a->b;
	char text[160];

	(void)snprintf(text, sizeof(text), "%s-%u-%u-%u-%u.%s%s%s", public ? "ec2" : "ip", b[0],
		       b[1], b[2], b[3], first ? "" : region,
		       first && public ? "compute-1" :
		       first	       ? "ec2" :
					 ".compute",
		       public ? ".amazonaws.com" : ".internal");
	return !strcasecmp(text, name);
}

static bool has_hostnames(const struct s_vpc *v)
{
	return v->def->enable_dns_support && v->def->enable_dns_hostnames;
}

/* the address of an instance by a name of its; unset: not its name */
static struct addr name_of_instance(const struct store *s, const struct s_instance *in, bool inside,
				    const char *name)
{
	const struct s_eni *e = in->eni;
	struct addr at = inside ? e->private_ips[0] : e->public_ip;
	char internal[160];

	if (addr_is_set(&at) && has_name(&in->def->dns_names, name))
		return at;
	if (addr_is_set(&at) && addr_is_set(&e->public_ip) && has_hostnames(in->vpc) &&
	    is_aws_name(&e->public_ip, s->lab->region, true, name))
		return at;
	if (!inside)
		return (struct addr){ 0 };
	(void)snprintf(internal, sizeof(internal), "%s.%s.internal", in->def->name,
		       in->vpc->def->name);
	if (!strcasecmp(internal, name) ||
	    (has_hostnames(in->vpc) &&
	     is_aws_name(&e->private_ips[0], s->lab->region, false, name)))
		return at;
	return (struct addr){ 0 };
}

/* of several addresses the lowest as text, which is the first that a resolver gives */
static void take_lower(struct addr *best, const struct addr *a)
{
	if (addr_is_set(a) && (!addr_is_set(best) || strcmp(addr_str(a), addr_str(best)) < 0))
		*best = *a;
}

static struct addr resolve_public(const struct store *s, const struct s_vpc *v, const char *name)
{
	struct addr best = { 0 }, a;
	size_t i, k;

	for (i = 0; i < s->n_hosts; i++)
		if (has_name(&s->hosts[i].def->dns_names, name))
			take_lower(&best, &s->hosts[i].def->ip);
	if (addr_is_set(&s->api) && !strcasecmp(s->api_name, name))
		take_lower(&best, &s->api);
	for (i = 0; i < s->n_vpcs; i++)
		for (k = 0; k < s->vpcs[i].n_instances; k++) {
			a = name_of_instance(s, &s->vpcs[i].instances[k], &s->vpcs[i] == v, name);
			take_lower(&best, &a);
		}
	return best;
}

static const struct private_record *private_record(const struct s_vpc *v, const char *name)
{
	size_t i;

	for (i = 0; v && has_hostnames(v) && i < v->def->n_private_zone; i++)
		if (!strcasecmp(v->def->private_zone[i].name, name))
			return &v->def->private_zone[i];
	return NULL;
}

/* a private zone comes before all others, and its aliases may lead to them */
static struct addr resolve(const struct store *s, const struct s_vpc *v, const char *name)
{
	const struct private_record *r = private_record(v, name);
	unsigned links;

	for (links = 0; r && r->cname && links < ALIASES_MAX; links++) {
		name = r->cname;
		r = private_record(v, name);
	}
	return !r ? resolve_public(s, v, name) : r->cname ? (struct addr){ 0 } : r->addr;
}

/* ---- who asks, and for whom ---- */

struct sources {
	struct asker v[TARGETS_MAX];
	const char *subnet[TARGETS_MAX]; /* of a function's interface; NULL */
	size_t n;
};

struct targets {
	struct addr v[TARGETS_MAX];
	const char *interface[TARGETS_MAX]; /* NULL */
	size_t n;
};

static int failed(const struct s_function *f, struct err *e)
{
	return err_set(e, ERR_NO_NODE, ENOENT, "%s has no network (%s): %s", f->o.name,
		       f->o.failure_code, f->o.failure_message);
}

static int function_sources(const struct s_function *f, const char *subnet, struct sources *ret,
			    struct err *e)
{
	size_t i;

	if (f->o.failure_code)
		return failed(f, e);
	for (i = 0; i < f->n_egresses && ret->n < TARGETS_MAX; i++) {
		const char *name = f->def->n_subnets ? f->def->subnets[i]->name : NULL;

		if (subnet && (!name || strcmp(subnet, name) != 0))
			continue;
		ret->subnet[ret->n] = name;
		ret->v[ret->n++] = (struct asker){ .function = f, .egress = f->egresses[i] };
	}
	return ret->n ? 0 :
			err_set(e, ERR_NO_NODE, ENOENT, "%s isn't in a subnet %s", f->o.name,
				subnet ? subnet : "at all");
}

static int find_sources(const struct store *s, const char *from, struct sources *ret, struct err *e)
{
	size_t len = strcspn(from, "@");
	auto_free char *name = strndup(from, len);
	const struct s_function *f;

	if (!name)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	f = store_function(s, name);
	if (f)
		return function_sources(f, from[len] ? from + len + 1 : NULL, ret, e);
	ret->n = 1;
	ret->v[0] =
		(struct asker){ .instance = store_instance(s, from), .host = store_host(s, from) };
	if (ret->v[0].instance || ret->v[0].host)
		return 0;
	return err_set(e, ERR_NO_NODE, ENOENT, "lab %s has no node %s", s->lab->name, from);
}

static int instance_target(const struct explain_question *q, const struct s_instance *in,
			   bool from_host, struct targets *ret, struct err *e)
{
	bool has_public = addr_is_set(&in->eni->public_ip);
	bool wanted = q->address ? !strcmp(q->address, "public") : from_host && has_public;

	if (wanted && !has_public)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "%s has no public address",
			       in->o.name);
	ret->v[0] = wanted ? in->eni->public_ip : in->eni->private_ips[0];
	ret->n = 1;
	return 0;
}

static const struct s_vpc *vpc_of(const struct asker *o)
{
	return o->instance		   ? o->instance->vpc :
	       o->egress && o->egress->eni ? o->egress->eni->vpc :
					     NULL;
}

static int name_target(const struct store *s, const struct explain_question *q,
		       const struct asker *from, struct targets *ret, struct err *e)
{
	const struct s_vpc *v = vpc_of(from);

	ret->n = 1;
	if (addr_parse(q->to, &ret->v[0]) == 0)
		return 0;
	if (from->host)
		return err_set(e, ERR_NO_NODE, ENOENT,
			       "%s: no such node, and hosts of the internet have no resolver",
			       q->to);
	if (v && !v->def->enable_dns_support)
		return err_set(e, ERR_NO_NODE, ENOENT, "%s: %s's resolver doesn't answer", q->to,
			       q->from);
	ret->v[0] = resolve(s, v, q->to);
	if (addr_is_set(&ret->v[0]))
		return 0;
	return err_set(e, ERR_NO_NODE, ENOENT,
		       "%s: no such node, and %s's resolver knows no such name", q->to, q->from);
}

static int find_targets(const struct store *s, const struct explain_question *q,
			const struct asker *from, struct targets *ret, struct err *e)
{
	const struct s_instance *in = store_instance(s, q->to);
	const struct s_function *f = store_function(s, q->to);
	const struct s_host *h = store_host(s, q->to);
	size_t i;

	if (in)
		return instance_target(q, in, from->host, ret, e);
	if (!f && !h)
		return name_target(s, q, from, ret, e);
	if (f && f->o.failure_code)
		return failed(f, e);
	ret->n = h ? 1 : 0;
	if (h)
		ret->v[0] = h->def->ip;
	for (i = 0; f && i < f->n_egresses && i < TARGETS_MAX; i++) {
		ret->interface[ret->n] = f->egresses[i]->eni ? f->egresses[i]->eni->o.id : NULL;
		ret->v[ret->n++] = f->egresses[i]->address;
	}
	return 0;
}

/* ---- one flow ---- */

/* "choice": which of its addresses a NAT gateway gives; "ret_n": how many there were */
static int walk_once(const struct store *s, const struct explain_question *q,
		     const struct asker *from, const struct addr *to, size_t choice,
		     struct explain_part *part, size_t *ret_n, struct err *e)
{
	auto_free struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	w->s = s;
	w->q = q;
	w->from = *from;
	w->part = part;
	w->place = PLACE_SEND;
	w->rejected = -1;
	w->host = from->host;
	w->choice = choice;
	w->n_choices = 1;
	w->p = (struct packet){
		/* 169.254.64.1: a sandbox's */
		.src = from->host ? from->host->def->ip : addr_v4(0xa9fe4001),
		.dst = *to,
		.proto = q->port.proto,
		.sport = q->port.proto == IPPROTO_ICMP ? 0 : WALK_EPHEMERAL,
		.dport = q->port.port,
		.ttl = WALK_TTL,
	};
	if (from->instance)
		walk_from_instance(w, from->instance);
	part->to = *to;
	part->decided = part->allowed = -1;
	walk_run(w);
	*ret_n = w->n_choices;
	return w->failed ? err_set(e, ERR_INTERNAL, ENOMEM, "out of memory, or of hops") : 0;
}

static void add_alias(struct explain_part *p, const struct addr *a)
{
	size_t i;

	if (!addr_is_set(a) || addr_equal(a, &p->seen_as) || p->n_aliases == EXPLAIN_ALIASES_MAX)
		return;
	for (i = 0; i < p->n_aliases; i++)
		if (addr_equal(a, &p->aliases[i]))
			return;
	p->aliases[p->n_aliases++] = *a;
}

/* one of two flows that differ in a NAT gateway's address is told: what doesn't work */
static void merge(struct explain_part *p, struct explain_part *other)
{
	bool differs = strcmp(p->result, other->result) != 0;
	struct explain_part was = *p;
	size_t i;

	if (!differs || strcmp(p->result, "open") != 0) {
		add_alias(p, &other->seen_as);
		free(other->hops);
	} else {
		(void)snprintf(other->interface, sizeof(other->interface), "%s", p->interface);
		*p = *other;
		add_alias(p, &was.seen_as);
		for (i = 0; i < was.n_aliases; i++)
			add_alias(p, &was.aliases[i]);
		free(was.hops);
	}
	p->varies = was.varies || differs;
}

/* a walk for each address that a NAT gateway may give */
static int walk_part(const struct store *s, const struct explain_question *q,
		     const struct asker *from, const struct addr *to, struct explain_part *part,
		     struct err *e)
{
	size_t n, i, ignored;
	int r = walk_once(s, q, from, to, 0, part, &n, e);

	for (i = 1; i < n && !r && !MUTANT("explain-aliases"); i++) {
		struct explain_part other = { 0 };

		r = walk_once(s, q, from, to, i, &other, &ignored, e);
		if (r)
			free(other.hops);
		else
			merge(part, &other);
	}
	return r;
}

static int add_parts(const struct store *s, const struct explain_question *q,
		     const struct sources *from, const struct targets *to, struct explain *ret,
		     struct err *e)
{
	size_t i, k;
	int r = 0;

	for (i = 0; i < from->n && !r; i++)
		for (k = 0; k < to->n && !r; k++) {
			struct explain_part *p = &ret->parts[ret->n_parts++];
			const char *a = from->subnet[i], *b = to->interface[k];

			(void)snprintf(p->interface, sizeof(p->interface), "%s%s%s", a ? a : "",
				       a && b ? " to " : "", b ? b : "");
			r = walk_part(s, q, &from->v[i], &to->v[k], p, e);
			if (r)
				break;
			if (!ret->result)
				ret->result = p->result;
			else if (strcmp(ret->result, p->result) != 0)
				ret->result = "mixed";
		}
	return r;
}

int explain_ask(const struct store *s, const struct explain_question *q, struct explain *ret,
		struct err *e)
{
	struct sources from = { 0 };
	struct targets to = { 0 };
	struct explain x = { 0 };
	int r = find_sources(s, q->from, &from, e);

	if (!r)
		r = find_targets(s, q, &from.v[0], &to, e);
	if (r)
		return r;
	x.parts = calloc(from.n * to.n, sizeof(*x.parts));
	if (!x.parts)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = add_parts(s, q, &from, &to, &x, e);
	if (r)
		explain_done(&x);
	else
		*ret = x;
	return r;
}

void explain_done(struct explain *x)
{
	size_t i;

	for (i = 0; i < x->n_parts; i++)
		free(x->parts[i].hops);
	free(x->parts);
	*x = (struct explain){ 0 };
}

/* ---- words ---- */

static const char *path_word(const struct explain_hop *h)
{
	static const char *const kinds[] = { "function", "instance", "host",
					     "service",	 "internet", "vpc" };
	size_t i;

	if (!strcmp(h->kind, "internet_gateway"))
		return "igw ";
	if (!strcmp(h->kind, "nat_gateway"))
		return "nat ";
	if (!strcmp(h->kind, "peering"))
		return "peering ";
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(h->kind, kinds[i]))
			return "";
	return NULL;
}

void explain_path(const struct explain_part *p, struct buf *b)
{
	const struct explain_hop *last = NULL;
	size_t i;

	for (i = 0; i < p->n_hops && !p->hops[i].answer; i++) {
		const struct explain_hop *h = &p->hops[i];
		const char *word = path_word(h);

		/* what stops it and what it passes may be two hops of one thing */
		if (!word || (h->action == EXPLAIN_DROP && !strcmp(h->kind, "vpc")) ||
		    (last && !strcmp(last->kind, h->kind) &&
		     !strcmp(last->component, h->component)))
			continue;
		buf_printf(b, "%s%s%s", last ? " > " : "", word, h->component);
		last = h;
	}
}

/* ---- JSON ---- */

static void add_text(cJSON *o, const char *name, const char *s)
{
	cJSON_AddItemToObject(o, name, s && *s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

static void add_place(cJSON *o, const struct where *at)
{
	if (at) {
		cJSON_AddNumberToObject(o, "line", at->pos.line);
		cJSON_AddNumberToObject(o, "column", at->pos.column);
		cJSON_AddStringToObject(o, "path", at->path);
		return;
	}
	cJSON_AddNullToObject(o, "line");
	cJSON_AddNullToObject(o, "column");
	cJSON_AddNullToObject(o, "path");
}

static cJSON *hop_json(const struct explain_hop *h)
{
	cJSON *o = cJSON_CreateObject();

	add_text(o, "component", h->component);
	add_text(o, "kind", h->kind);
	add_text(o, "action", explain_action_name(h->action));
	add_text(o, "rule", h->rule);
	add_text(o, "code", h->code);
	cJSON_AddBoolToObject(o, "answer", h->answer);
	add_place(o, h->at);
	return o;
}

static cJSON *deciding_json(const struct explain_hop *h)
{
	cJSON *o = cJSON_CreateObject();

	add_text(o, "code", h->code);
	add_text(o, "component", h->component);
	add_text(o, "kind", h->kind);
	add_text(o, "detail", h->rule);
	add_text(o, "direction", h->direction);
	cJSON_AddBoolToObject(o, "answer", h->answer);
	add_place(o, h->at);
	return o;
}

static void add_deciding(cJSON *o, const char *name, const struct explain_part *p, ssize_t i)
{
	cJSON_AddItemToObject(o, name, i >= 0 ? deciding_json(&p->hops[i]) : cJSON_CreateNull());
}

static void add_part(cJSON *o, const struct explain_part *p)
{
	auto_buf struct buf path = BUF_INIT;
	cJSON *list;
	size_t i;

	add_text(o, "result", p->result);
	add_text(o, "address", addr_str(&p->to));
	add_text(o, "seen_as", addr_is_set(&p->seen_as) ? addr_str(&p->seen_as) : NULL);
	list = cJSON_AddArrayToObject(o, "aliases");
	for (i = 0; i < p->n_aliases; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(addr_str(&p->aliases[i])));
	cJSON_AddBoolToObject(o, "varies", p->varies);
	cJSON_AddBoolToObject(o, "assumed", p->assumed);
	add_deciding(o, "decided_by", p, p->decided);
	add_deciding(o, "allowed_by", p, p->allowed);
	explain_path(p, &path);
	add_text(o, "path", buf_str(&path));
	list = cJSON_AddArrayToObject(o, "namespaces");
	for (i = 0; i < p->n_namespaces; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(p->namespaces[i]));
	list = cJSON_AddArrayToObject(o, "hops");
	for (i = 0; i < p->n_hops; i++)
		cJSON_AddItemToArray(list, hop_json(&p->hops[i]));
}

/* "tcp/443", "http/80", "icmp" */
static void add_port(cJSON *o, const struct port *p)
{
	const char *name = p->http ? "http" : p->proto == IPPROTO_TCP ? "tcp" : "udp";
	char text[24] = "icmp";

	if (p->proto != IPPROTO_ICMP)
		(void)snprintf(text, sizeof(text), "%s/%u", name, p->port);
	cJSON_AddStringToObject(o, "port", text);
}

cJSON *explain_json(const struct explain_question *q, const struct explain *x)
{
	cJSON *o = cJSON_CreateObject(), *list, *part;
	size_t i;

	add_text(o, "from", q->from);
	add_text(o, "to", q->to);
	add_port(o, &q->port);
	if (x->n_parts == 1) {
		add_part(o, &x->parts[0]);
		return o;
	}
	add_text(o, "result", x->result);
	cJSON_AddNullToObject(o, "decided_by");
	cJSON_AddArrayToObject(o, "hops");
	list = cJSON_AddArrayToObject(o, "parts");
	for (i = 0; i < x->n_parts; i++) {
		part = cJSON_CreateObject();
		add_text(part, "interface", x->parts[i].interface);
		add_part(part, &x->parts[i]);
		cJSON_AddItemToArray(list, part);
	}
	return o;
}

/* ---- questions in JSON ---- */

static int read_question(const cJSON *o, struct explain_question *ret, struct err *e)
{
	const char *port = json_str(o, "port", "");

	*ret = (struct explain_question){
		.from = json_str(o, "from", ""),
		.to = json_str(o, "to", ""),
		.address = json_str(o, "address", NULL),
	};
	if (!*ret->from || !*ret->to)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "from and to are required");
	if (port_parse(port, &ret->port) < 0)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "port %.40s: tcp/N, udp/N or icmp",
			       port);
	if (ret->address && strcmp(ret->address, "private") && strcmp(ret->address, "public"))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "address %.40s: private or public",
			       ret->address);
	return 0;
}

static cJSON *answer(const struct store *s, const cJSON *question)
{
	struct explain_question q;
	struct err e = { 0 };
	struct explain x = { 0 };
	cJSON *o, *error;

	if (!read_question(question, &q, &e) && !explain_ask(s, &q, &x, &e)) {
		o = explain_json(&q, &x);
		explain_done(&x);
		return o;
	}
	o = cJSON_CreateObject();
	error = cJSON_AddObjectToObject(o, "error");
	cJSON_AddStringToObject(error, "code", err_code_name(e.code));
	cJSON_AddStringToObject(error, "message", e.msg);
	return o;
}

cJSON *explain_answers(const struct store *s, const cJSON *questions)
{
	cJSON *list = cJSON_CreateArray();
	const cJSON *q;

	cJSON_ArrayForEach(q, questions)
		if (!cJSON_AddItemToArray(list, answer(s, q))) {
			cJSON_Delete(list);
			return NULL;
		}
	return list;
}
