/* SPDX-License-Identifier: MIT */
/*
 * zone - a view's names from the store (zone.h).  Records are collected, sorted
 * and joined by name: several nodes may share one.
 */
#include "netd/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"

enum record_kind { RECORD_A, RECORD_CNAME, RECORD_PTR };
static const char *const member[] = { "a", "cname", "ptr" };

struct record {
	char *name, *value; /* own */
	enum record_kind kind;
	bool private; /* of the VPC's private zone: nobody else's of that name count */
};

struct records {
	struct record *v;
	size_t n, cap;
	bool failed;
};

static void record_add(struct records *z, enum record_kind kind, const char *name,
		       const char *value)
{
	struct record *v = z->v;

	if (z->n == z->cap) {
		size_t cap = z->cap ? 2 * z->cap : 64;

		v = reallocarray(z->v, cap, sizeof(*v));
		if (!v) {
			z->failed = true;
			return;
		}
		z->v = v;
		z->cap = cap;
	}
	v[z->n].kind = kind;
	v[z->n].private = false;
	v[z->n].name = strdup(name);
	v[z->n].value = strdup(value);
	if (!v[z->n].name || !v[z->n].value)
		z->failed = true;
	z->n++;
}

static void add_all(struct records *z, const struct strings *names, const char *value)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		record_add(z, RECORD_A, names->v[i], value);
}

/* 10.0.1.5 -> "10-0-1-5" */
static const char *dashed(const struct addr *a, char ret[ADDR_TEXT_SIZE])
{
	char *p;

	addr_format(a, ret, ADDR_TEXT_SIZE);
	for (p = ret; *p; p++)
		if (*p == '.')
			*p = '-';
	return ret;
}

static void public_name(const struct addr *a, const char *region, char *ret, size_t size)
{
	char at[ADDR_TEXT_SIZE];

	if (strcmp(region, "us-east-1") == 0)
		snprintf(ret, size, "ec2-%s.compute-1.amazonaws.com", dashed(a, at));
	else
		snprintf(ret, size, "ec2-%s.%s.compute.amazonaws.com", dashed(a, at), region);
}

static void private_name(const struct addr *a, const char *region, char *ret, size_t size)
{
	char at[ADDR_TEXT_SIZE];

	if (strcmp(region, "us-east-1") == 0)
		snprintf(ret, size, "ip-%s.ec2.internal", dashed(a, at));
	else
		snprintf(ret, size, "ip-%s.%s.compute.internal", dashed(a, at), region);
}

static bool has_hostnames(const struct s_vpc *v)
{
	return MUTANT("dns-hostnames") ||
	       (v->def->enable_dns_support && v->def->enable_dns_hostnames);
}

/* what everybody may ask for; "inside": from the instance's own VPC */
static void add_public(struct records *z, const struct store *s, const struct s_instance *in,
		       bool inside)
{
	const struct addr *pub = in->eni ? &in->eni->public_ip : NULL;
	const struct addr *priv = in->eni && in->eni->n_private_ips ? in->eni->private_ips : NULL;
	const struct addr *at = inside && !MUTANT("dns-views") ? priv : pub;
	char name[160];

	if (!at || !addr_is_set(at))
		return;
	add_all(z, &in->def->dns_names, addr_str(at));
	if (!has_hostnames(in->vpc) || !addr_is_set(pub))
		return;
	public_name(pub, s->lab->region, name, sizeof(name));
	record_add(z, RECORD_A, name, addr_str(at));
}

static void add_reverse(struct records *z, const struct addr *a, const char *name)
{
	char at[64];

	snprintf(at, sizeof(at), "%u.%u.%u.%u.in-addr.arpa", a->b[3], a->b[2], a->b[1], a->b[0]);
	record_add(z, RECORD_PTR, at, name);
}

static void add_private(struct records *z, const struct store *s, const struct s_instance *in)
{
	char name[160], aws[160];
	const struct addr *a;

	if (!in->eni || in->eni->n_private_ips == 0)
		return;
	a = in->eni->private_ips;
	snprintf(name, sizeof(name), "%s.%s.internal", in->def->name, in->vpc->def->name);
	record_add(z, RECORD_A, name, addr_str(a));
	if (!has_hostnames(in->vpc)) {
		add_reverse(z, a, name);
		return;
	}
	private_name(a, s->lab->region, aws, sizeof(aws));
	record_add(z, RECORD_A, aws, addr_str(a));
	add_reverse(z, a, aws);
}

static void add_zone(struct records *z, const struct vpc *def)
{
	size_t i;

	for (i = 0; i < def->n_private_zone; i++) {
		const struct private_record *r = &def->private_zone[i];

		record_add(z, r->cname ? RECORD_CNAME : RECORD_A, r->name,
			   r->cname ? r->cname : addr_str(&r->addr));
		if (!z->failed)
			z->v[z->n - 1].private = true;
	}
}

static int record_cmp(const void *va, const void *vb)
{
	const struct record *a = va, *b = vb;
	int d = strcasecmp(a->name, b->name);

	if (d == 0)
		d = (int)a->kind - (int)b->kind;
	return d ? d : strcmp(a->value, b->value);
}

/* of one name: all its addresses, its first alias, its first reverse name; only those
 * of the private zone where that has the name */
static bool join(cJSON *zone, const struct record *r, size_t n)
{
	cJSON *o = cJSON_AddObjectToObject(zone, r[0].name);
	cJSON *list = NULL;
	bool private = false;
	size_t i;

	for (i = 0; i < n; i++)
	private |= r[i].private;
	for (i = 0; o && i < n; i++) {
		if (r[i].private != private)
			continue;
		if (i > 0 && r[i - 1].private == private && record_cmp(&r[i - 1], &r[i]) == 0)
			continue;
		if (r[i].kind != RECORD_A) {
			if (!json_get(o, member[r[i].kind]) &&
			    !cJSON_AddStringToObject(o, member[r[i].kind], r[i].value))
				return false;
			continue;
		}
		if (!list)
			list = cJSON_AddArrayToObject(o, member[RECORD_A]);
		if (!list || !cJSON_AddItemToArray(list, cJSON_CreateString(r[i].value)))
			return false;
	}
	return o;
}

static cJSON *join_all(const struct record *r, size_t n)
{
	cJSON *zone = cJSON_CreateObject();
	size_t i, k;

	for (i = 0; zone && i < n; i = k) {
		for (k = i + 1; k < n && strcasecmp(r[i].name, r[k].name) == 0; k++)
			;
		if (!join(zone, r + i, k - i)) {
			cJSON_Delete(zone);
			return NULL;
		}
	}
	return zone;
}

static bool same_strings(const struct strings *a, const struct strings *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	return addr_is_set(a) == addr_is_set(b) && (!addr_is_set(a) || addr_equal(a, b));
}

static bool same_instance(const struct s_instance *a, const struct s_instance *b)
{
	if (strcmp(a->def->name, b->def->name) != 0 ||
	    !same_strings(&a->def->dns_names, &b->def->dns_names) || !a->eni != !b->eni)
		return false;
	return !a->eni ||
	       (same_addr(&a->eni->public_ip, &b->eni->public_ip) && a->eni->n_private_ips &&
		b->eni->n_private_ips && same_addr(a->eni->private_ips, b->eni->private_ips));
}

static bool same_vpc(const struct s_vpc *a, const struct s_vpc *b)
{
	size_t i;

	/* records of a private zone are few and rare: a view with any is made anew */
	if (strcmp(a->def->name, b->def->name) != 0 || strcmp(a->ns, b->ns) != 0 ||
	    strcmp(a->o.id, b->o.id) != 0 ||
	    a->def->enable_dns_support != b->def->enable_dns_support ||
	    a->def->enable_dns_hostnames != b->def->enable_dns_hostnames ||
	    a->def->n_private_zone || b->def->n_private_zone || a->n_instances != b->n_instances)
		return false;
	for (i = 0; i < a->n_instances; i++)
		if (!same_instance(&a->instances[i], &b->instances[i]))
			return false;
	return true;
}

bool zone_same(const struct store *a, const struct store *b)
{
	size_t i;

	if (strcmp(a->lab->region, b->lab->region) != 0 || !same_addr(&a->api, &b->api) ||
	    a->n_hosts != b->n_hosts || a->n_vpcs != b->n_vpcs)
		return false;
	for (i = 0; i < a->n_hosts; i++)
		if (!same_strings(&a->hosts[i].def->dns_names, &b->hosts[i].def->dns_names) ||
		    strcmp(a->hosts[i].ns, b->hosts[i].ns) != 0 ||
		    !addr_equal(&a->hosts[i].def->ip, &b->hosts[i].def->ip))
			return false;
	for (i = 0; i < a->n_vpcs; i++)
		if (!same_vpc(&a->vpcs[i], &b->vpcs[i]))
			return false;
	if (a->n_egresses != b->n_egresses) /* each has a view */
		return false;
	for (i = 0; i < a->n_egresses; i++)
		if (strcmp(a->egresses[i]->ns, b->egresses[i]->ns) != 0)
			return false;
	return true;
}

cJSON *zone_make(const struct store *s, const struct s_vpc *v)
{
	struct records z = { NULL, 0, 0, false };
	cJSON *ret = NULL;
	size_t i, k;

	for (i = 0; i < s->n_hosts; i++)
		add_all(&z, &s->hosts[i].def->dns_names, addr_str(&s->hosts[i].def->ip));
	if (addr_is_set(&s->api))
		record_add(&z, RECORD_A, s->api_name, addr_str(&s->api));
	for (i = 0; i < s->n_vpcs; i++)
		for (k = 0; k < s->vpcs[i].n_instances; k++)
			add_public(&z, s, &s->vpcs[i].instances[k], &s->vpcs[i] == v);
	if (!v && s->n_vpcs && MUTANT("default-resolver"))
		v = &s->vpcs[0];
	for (k = 0; v && k < v->n_instances; k++)
		add_private(&z, s, &v->instances[k]);
	if (v && has_hostnames(v) && !MUTANT("private-zone"))
		add_zone(&z, v->def);
	if (!z.failed && z.n > 0)
		qsort(z.v, z.n, sizeof(*z.v), record_cmp);
	if (!z.failed)
		ret = join_all(z.v, z.n);
	for (i = 0; i < z.n; i++) {
		free(z.v[i].name);
		free(z.v[i].value);
	}
	free(z.v);
	return ret;
}
