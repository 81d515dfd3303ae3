/* SPDX-License-Identifier: MIT */
/*
 * resolver - DNS answers from a table of names (resolver.h).
 *
 * Messages are taken apart by libresolv, which checks every length; answers are
 * built with dn_comp().  Names are compared in lower case and in presentation
 * form, so a label with a dot or a control byte in it ("\." and "\003" there)
 * just isn't found.  A name above one that exists exists too, without data
 * (RFC 8020): entries for those are made when the zone is read.
 */
#include "netd/resolver.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/json.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define CNAMES_MAX 8 /* links followed; the rest of a loop isn't answered */
#define OPT_SIZE 11  /* bytes of the EDNS record we send */

struct entry {
	char *name;  /* owns; lower case; NULL: free slot */
	uint32_t *a; /* owns; network order */
	size_t n_a;
	char *cname, *ptr; /* own; NULL if none */
};

struct zone {
	struct entry *slots; /* open addressing, at most half full */
	size_t n_slots, n;
};

static size_t name_hash(const char *name)
{
	uint64_t h = 14695981039346656037u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211u;
	return h ^ h >> 29;
}

static struct entry *zone_slot(const struct zone *z, const char *name)
{
	size_t i = name_hash(name);

	for (;; i++) {
		struct entry *e = &z->slots[i & (z->n_slots - 1)];

		if (!e->name || strcmp(e->name, name) == 0)
			return e;
	}
}

static bool zone_grow(struct zone *z)
{
	struct zone wider = { .n_slots = z->n_slots ? z->n_slots * 2 : 64, .n = z->n };
	size_t i;

	wider.slots = calloc(wider.n_slots, sizeof(*wider.slots));
	if (!wider.slots)
		return false;
	for (i = 0; i < z->n_slots; i++)
		if (z->slots[i].name)
			*zone_slot(&wider, z->slots[i].name) = z->slots[i];
	free(z->slots);
	*z = wider;
	return true;
}

/* the entry of a lower-case name, made if need be; NULL: too many, or no memory */
static struct entry *zone_entry(struct zone *z, const char *name)
{
	struct entry *e;

	if (2 * (z->n + 1) > z->n_slots && !zone_grow(z))
		return NULL;
	e = zone_slot(z, name);
	if (e->name)
		return e;
	if (z->n >= RESOLVER_NAMES_MAX)
		return NULL;
	e->name = strdup(name);
	if (!e->name)
		return NULL;
	z->n++;
	return e;
}

static const struct entry *zone_find(const struct zone *z, const char *name)
{
	const struct entry *e = z->n_slots ? zone_slot(z, name) : NULL;

	return e && e->name ? e : NULL;
}

/* lower case, without the final dot; false: longer than a name can be */
static bool name_fold(const char *name, char ret[NS_MAXDNAME])
{
	size_t i, len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len >= NS_MAXDNAME)
		return false;
	for (i = 0; i < len; i++)
		ret[i] = (char)tolower((unsigned char)name[i]);
	ret[len] = '\0';
	return true;
}

static bool entry_fill_a(struct entry *e, const cJSON *list)
{
	const cJSON *at;
	size_t n = 0;

	cJSON_ArrayForEach(at, list)
		n++;
	if (n == 0 || e->a)
		return true;
	e->a = calloc(n, sizeof(*e->a));
	if (!e->a)
		return false;
	cJSON_ArrayForEach(at, list) {
		struct addr a;

		if (!cJSON_IsString(at) || addr_parse(at->valuestring, &a) < 0 ||
		    a.family != AF_INET)
			return false;
		e->a[e->n_a++] = htonl(addr_to_v4(&a));
	}
	return true;
}

static bool entry_fill_name(char **ret, const char *name)
{
	char folded[NS_MAXDNAME];

	if (!name || *ret)
		return true;
	if (!name_fold(name, folded))
		return false;
	*ret = strdup(folded);
	return *ret;
}

static bool zone_add(struct zone *z, const char *name, const cJSON *records)
{
	char folded[NS_MAXDNAME];
	struct entry *e;
	const char *up;

	if (!name_fold(name, folded))
		return false;
	e = zone_entry(z, folded);
	if (!e || !entry_fill_a(e, json_get(records, "a")) ||
	    !entry_fill_name(&e->cname, json_str(records, "cname", NULL)) ||
	    !entry_fill_name(&e->ptr, json_str(records, "ptr", NULL)))
		return false;
	for (up = strchr(folded, '.'); up; up = strchr(up + 1, '.'))
		if (!zone_entry(z, up + 1))
			return false;
	return true;
}

struct zone *zone_parse(const char *text, size_t size)
{
	auto_json cJSON *doc = json_parse(text, size, NULL);
	struct zone *z;
	const cJSON *at;

	if (!cJSON_IsObject(doc))
		return NULL;
	z = calloc(1, sizeof(*z));
	if (!z)
		return NULL;
	cJSON_ArrayForEach(at, doc)
		if (!zone_add(z, at->string, at))
			return zone_free(z);
	return z;
}

struct zone *zone_free(struct zone *z)
{
	size_t i;

	if (!z)
		return NULL;
	for (i = 0; i < z->n_slots; i++) {
		free(z->slots[i].name);
		free(z->slots[i].a);
		free(z->slots[i].cname);
		free(z->slots[i].ptr);
	}
	free(z->slots);
	free(z);
	return NULL;
}

/* ---- a query ---- */

struct query {
	char name[NS_MAXDNAME]; /* lower case */
	int type, class;
	size_t question_size; /* bytes after the header */
	bool edns;
	unsigned edns_version;
	size_t limit; /* bytes of an answer by datagram */
};

/* the question's raw size; 0 if its name is cut or compressed (there is nothing
 * before it that it could honestly point to) */
static size_t question_size(const uint8_t *query, size_t size)
{
	size_t at = NS_HFIXEDSZ;

	while (at < size && query[at]) {
		if (query[at] & NS_CMPRSFLGS)
			return 0;
		at += query[at] + 1u;
	}
	at += 1 + NS_QFIXEDSZ;
	return at <= size ? at - NS_HFIXEDSZ : 0;
}

static bool query_opt(ns_msg *msg, struct query *q)
{
	int i;

	for (i = 0; i < ns_msg_count(*msg, ns_s_ar); i++) {
		ns_rr rr;

		if (ns_parserr(msg, ns_s_ar, i, &rr) < 0)
			return false;
		if (ns_rr_type(rr) != ns_t_opt)
			continue;
		if (q->edns) /* RFC 6891: at most one */
			return false;
		q->edns = true;
		q->edns_version = ns_rr_ttl(rr) >> 16 & 0xff;
		q->limit = (unsigned)ns_rr_class(rr);
		if (q->limit < RESOLVER_UDP_SIZE)
			q->limit = RESOLVER_UDP_SIZE;
		if (q->limit > RESOLVER_EDNS_SIZE)
			q->limit = RESOLVER_EDNS_SIZE;
	}
	return true;
}

/* NOERROR, or the error that the message deserves */
static int query_parse(const uint8_t *query, size_t size, struct query *q)
{
	ns_msg msg;
	ns_rr rr;

	if (ns_initparse(query, (int)size, &msg) < 0)
		return ns_r_formerr;
	if (ns_msg_getflag(msg, ns_f_opcode) != ns_o_query)
		return ns_r_notimpl;
	if (ns_msg_count(msg, ns_s_qd) != 1 || ns_parserr(&msg, ns_s_qd, 0, &rr) < 0)
		return ns_r_formerr;
	q->question_size = question_size(query, size);
	if (q->question_size == 0 || !query_opt(&msg, q))
		return ns_r_formerr;
	q->type = ns_rr_type(rr);
	q->class = ns_rr_class(rr);
	if (!name_fold(ns_rr_name(rr), q->name))
		q->name[0] = '\0'; /* the root: no name of ours */
	if ((!ns_msg_getflag(msg, ns_f_rd) && !MUTANT("dns-recursion")) || q->class != ns_c_in)
		return ns_r_refused; /* DNS-9 */
	return ns_r_noerror;
}

/* ---- an answer ---- */

struct answer {
	uint8_t *buf;
	size_t at, room;
	const uint8_t *names[32]; /* dn_comp()'s table */
	unsigned n;		  /* records */
	bool cut;		  /* something didn't fit */
};

/* owner, type, class, time to live, and room for the length of what follows */
static uint8_t *answer_head(struct answer *a, const char *owner, unsigned type)
{
	int len = dn_comp(owner, a->buf + a->at, (int)(a->room - a->at), (unsigned char **)a->names,
			  (unsigned char **)a->names + ARRAY_SIZE(a->names));
	uint8_t *p;

	if (len < 0 || a->at + (size_t)len + NS_RRFIXEDSZ > a->room) {
		a->cut = true;
		return NULL;
	}
	p = a->buf + a->at + len;
	ns_put16(type, p);
	ns_put16(ns_c_in, p + 2);
	ns_put32(RESOLVER_TTL, p + 4);
	return p + NS_RRFIXEDSZ;
}

static void answer_end(struct answer *a, uint8_t *data, size_t size)
{
	ns_put16((unsigned)size, data - NS_INT16SZ);
	a->at = (size_t)(data - a->buf) + size;
	a->n++;
}

static void answer_addr(struct answer *a, const char *owner, uint32_t addr)
{
	uint8_t *p = answer_head(a, owner, ns_t_a);

	if (!p)
		return;
	if (p + sizeof(addr) > a->buf + a->room) {
		a->cut = true;
		return;
	}
	memcpy(p, &addr, sizeof(addr));
	answer_end(a, p, sizeof(addr));
}

static void answer_name(struct answer *a, const char *owner, unsigned type, const char *name)
{
	uint8_t *p = answer_head(a, owner, type);
	int len;

	if (!p)
		return;
	len = dn_comp(name, p, (int)(a->buf + a->room - p), (unsigned char **)a->names,
		      (unsigned char **)a->names + ARRAY_SIZE(a->names));
	if (len < 0) {
		a->cut = true;
		return;
	}
	answer_end(a, p, (size_t)len);
}

/* fills the records; returns the code: of a chain of aliases, that of its end */
static int answer_records(struct answer *a, const struct zone *z, const struct query *q)
{
	const struct entry *e = zone_find(z, q->name);
	unsigned links;
	size_t i;

	for (links = 0; e && e->cname && q->type != ns_t_cname; links++) {
		if (links == CNAMES_MAX)
			return ns_r_servfail;
		answer_name(a, e->name, ns_t_cname, e->cname);
		e = zone_find(z, e->cname);
	}
	if (!e)
		return ns_r_nxdomain;
	if (q->type == ns_t_a)
		for (i = 0; i < e->n_a && !a->cut; i++)
			answer_addr(a, e->name, e->a[i]);
	else if (q->type == ns_t_cname && e->cname)
		answer_name(a, e->name, ns_t_cname, e->cname);
	else if (q->type == ns_t_ptr && e->ptr)
		answer_name(a, e->name, ns_t_ptr, e->ptr);
	return ns_r_noerror;
}

/* RFC 6891: who sends one gets one; "bad" is BADVERS's upper bits */
static void answer_opt(struct answer *a, bool bad)
{
	uint8_t *p = a->buf + a->at;

	memset(p, 0, OPT_SIZE);
	ns_put16(ns_t_opt, p + 1);
	ns_put16(RESOLVER_EDNS_SIZE, p + 3);
	p[5] = bad ? ns_r_badvers >> 4 : 0;
	a->at += OPT_SIZE;
}

static void put_header(uint8_t *h, const uint8_t *query, int rcode, bool cut)
{
	bool rd = query[2] & 0x01;
	unsigned opcode = query[2] & 0x78u;

	h[0] = query[0];
	h[1] = query[1];
	h[2] = (uint8_t)(0x80u | opcode | (cut ? 0x02u : 0) | (rd ? 0x01u : 0));
	h[3] = (uint8_t)(0x80u | ((unsigned)rcode & 0x0fu)); /* recursion is to be had */
	memset(h + 4, 0, NS_HFIXEDSZ - 4);
}

size_t resolver_answer(const struct zone *z, const uint8_t *query, size_t size, bool stream,
		       uint8_t *ret, size_t room)
{
	struct query q = { .limit = RESOLVER_UDP_SIZE };
	struct answer a = { .buf = ret, .at = NS_HFIXEDSZ };
	bool bad_version;
	int rcode;

	if (size < NS_HFIXEDSZ || query[2] & 0x80)
		return 0;
	rcode = query_parse(query, size, &q);
	if (rcode == ns_r_formerr || rcode == ns_r_notimpl) {
		put_header(ret, query, rcode, false);
		return NS_HFIXEDSZ;
	}
	a.room = stream ? room : q.limit < room ? q.limit : room;
	if (q.edns)
		a.room -= OPT_SIZE;
	memcpy(ret + a.at, query + a.at, q.question_size);
	a.at += q.question_size;
	a.names[0] = ret;
	a.names[1] = ret + NS_HFIXEDSZ; /* the question: what follows points there */
	bad_version = q.edns && q.edns_version != 0;
	if (rcode == ns_r_noerror && !bad_version)
		rcode = z ? answer_records(&a, z, &q) : ns_r_servfail;
	if (a.cut && stream)
		rcode = ns_r_servfail;
	if (a.cut || rcode == ns_r_servfail) { /* whole or not at all: the client asks again */
		a.at = NS_HFIXEDSZ + q.question_size;
		a.n = 0;
	}
	put_header(ret, query, rcode, a.cut && !stream);
	ns_put16(1, ret + 4);
	ns_put16(a.n, ret + 6);
	ns_put16(q.edns ? 1 : 0, ret + 10);
	if (q.edns)
		answer_opt(&a, bad_version);
	return a.at;
}
