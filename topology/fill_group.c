/* SPDX-License-Identifier: MIT */
/*
 * fill_group - security groups (SG-2, 3, 8, 11, 13, 15, 16) and network ACLs
 * (NACL-4, 6, 10): rules, defaults, duplicates.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/mutant.h"
#include "topology/fill.h"

#define SG_RULES_MAX 60 /* a direction; each CIDR and reference counts (SG-13) */
/* NACL-9, a direction: AWS's highest quota is 40 with the final deny, its default 20 */
#define ACL_ENTRIES_MAX 39
#define ACL_ENTRIES_DEFAULT 19
#define ACLS_MAX 200 /* of a VPC, with the default one */

/* ---- ports, or type and code ---- */

struct port_range {
	int from, to;
};

static bool has_ports(int protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static bool given(const struct place *rule, const char *key, int *ret)
{
	struct place p = place_member(rule, key);

	if (!cJSON_IsNumber(p.item))
		return false;
	*ret = (int)read_num(rule, key);
	return true;
}

/* tcp, udp: both ends of the range */
static struct port_range read_ports(struct fill *f, const struct place *rule)
{
	struct port_range pr = { -1, -1 };
	struct place from = place_member(rule, "from_port"), to = place_member(rule, "to_port");

	if (!from.item) {
		fault(f->r, FAMILY_TYPE, rule, "InvalidParameterValue",
		      "\"from_port\" is missing (tcp and udp need it)");
		return pr;
	}
	if (!given(rule, "from_port", &pr.from))
		return pr;
	pr.to = pr.from;
	(void)given(rule, "to_port", &pr.to); /* from_port is the default */
	if (pr.from < 0)
		fault(f->r, FAMILY_RANGE, &from, "InvalidParameterValue",
		      "%d is no port (allowed: 0..65535)", pr.from);
	else if (pr.to < 0)
		fault(f->r, FAMILY_RANGE, &to, "InvalidParameterValue",
		      "%d is no port (allowed: 0..65535)", pr.to);
	else if (pr.to < pr.from)
		fault(f->r, FAMILY_RANGE, &to, "InvalidParameterValue",
		      "to_port %d is below from_port %d (allowed: %d..65535)", pr.to, pr.from,
		      pr.from);
	return pr;
}

/* ICMP: type and code; SG-8: type -1 requires code -1 */
static struct port_range read_icmp(struct fill *f, const struct place *rule, const char *type_key,
				   const char *code_key)
{
	struct port_range pr = { -1, -1 };
	struct place type = place_member(rule, type_key), code = place_member(rule, code_key);

	(void)given(rule, type_key, &pr.from); /* -1, any, is the default */
	(void)given(rule, code_key, &pr.to);
	if (pr.from > 255)
		fault(f->r, FAMILY_RANGE, &type, "InvalidParameterValue",
		      "%d is no ICMP type (allowed: -1..255)", pr.from);
	if (pr.to > 255)
		fault(f->r, FAMILY_RANGE, &code, "InvalidParameterValue",
		      "%d is no ICMP code (allowed: -1..255)", pr.to);
	if (pr.from == -1 && pr.to != -1)
		fault(f->r, FAMILY_RANGE, &code, "InvalidParameterValue",
		      "ICMP code %d with every type (allowed with type -1: -1)", pr.to);
	return pr;
}

static struct port_range rule_ports(struct fill *f, const struct place *rule, int protocol)
{
	struct place from = place_member(rule, "from_port");

	if (has_ports(protocol))
		return read_ports(f, rule);
	if (protocol == IPPROTO_ICMP)
		return read_icmp(f, rule, "from_port", "to_port");
	if (protocol != PROTOCOL_UNREADABLE && cJSON_IsNumber(from.item) &&
	    from.item->valuedouble > 0)
		hint(f->r, &from, "sg-rule-ports-ignored",
		     "ports mean nothing with this protocol: the rule is for all of it");
	return (struct port_range){ -1, -1 };
}

/* ---- security group rules ---- */

/* "G", or "P/G": a group of the VPC on the other side of peering P */
static const struct security_group *referenced_group(struct fill *f, const struct place *p,
						     const struct vpc *v,
						     const struct peering **ret_via)
{
	const char *s = place_str(p), *slash = s ? strchr(s, '/') : NULL;
	const struct peering *via;
	const struct security_group *g;
	const struct vpc *peer;

	*ret_via = NULL;
	if (!slash)
		return fill_reference(f, p, &fill_names(f, v)->security_groups, "security group",
				      fill_vpc_title(f, v), "InvalidGroup.NotFound");
	via = index_find(&f->peerings, TEXT(f->r, "%.*s", (int)(slash - s), s));
	if (!via || (via->requester != v && via->accepter != v)) {
		fault(f->r, FAMILY_REFERENCE, p, "InvalidGroup.NotFound",
		      "VPC %s has no peering '%.*s' (P/G: peering, then its other VPC's group)",
		      v->name, (int)(slash - s), s);
		return NULL;
	}
	peer = via->requester == v ? via->accepter : via->requester;
	if (!peer)
		return NULL;
	g = index_find(&fill_names(f, peer)->security_groups, slash + 1);
	if (!g)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidGroup.NotFound",
		      "the security group '%s' does not exist (VPC %s has: %s)", slash + 1,
		      peer->name, index_list(f->r, &fill_names(f, peer)->security_groups));
	else if (!via->auto_accept)
		hint(f->r, p, "sg-rule-stale",
		     "peering %s is pending: the reference matches nobody until it is accepted "
		     "(SG-11)",
		     via->name);
	*ret_via = via;
	return g;
}

static void rule_peers(struct fill *f, const struct place *p, const struct vpc *v,
		       struct sg_rule *rule)
{
	struct place cidrs = place_member(p, "cidr_blocks");
	struct place groups = place_member(p, "security_groups");
	size_t n = place_n_children(&groups);

	rule->cidr_blocks = NEW(f->r, place_n_children(&cidrs), struct prefix);
	PLACE_EACH(c, &cidrs)
		if (fill_cidr(f, &c, &rule->cidr_blocks[rule->n_cidr_blocks]))
			rule->n_cidr_blocks++;
	rule->security_groups = NEW(f->r, n, const struct security_group *);
	rule->via = NEW(f->r, n, const struct peering *);
	PLACE_EACH(g, &groups) {
		size_t i = rule->n_security_groups;

		rule->security_groups[i] = referenced_group(f, &g, v, &rule->via[i]);
		rule->n_security_groups += rule->security_groups[i] != NULL;
	}
	rule->self = read_bool(p, "self");
	if (cJSON_IsObject(p->item) &&
	    (cidrs.item || groups.item || place_member(p, "self").item) &&
	    !place_n_children(&cidrs) && !place_n_children(&groups) && !rule->self)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidPermission.Malformed",
		      "the rule is about nobody (one or more of cidr_blocks, security_groups, "
		      "self)");
}

static void fill_sg_rule(struct fill *f, const struct place *p, const struct vpc *v,
			 struct sg_rule *rule)
{
	struct port_range ports;

	rule->at = place_where(f->r, p);
	rule->protocol = fill_protocol(p);
	if (rule->protocol == IPPROTO_ICMPV6) {
		struct place protocol = place_member(p, "protocol");

		refuse(f->r, &protocol, "icmpv6: IPv6 isn't supported");
	}
	ports = rule_ports(f, p, rule->protocol);
	rule->from_port = ports.from;
	rule->to_port = ports.to;
	rule_peers(f, p, v, rule);
	rule->description = read_str(p, "description");
}

/* ---- duplicates (SG-16), limits (SG-13) ---- */

/* one peer of one rule: what AWS counts as a rule */
struct flat_rule {
	const struct sg_rule *rule;
	struct prefix cidr; /* unset: a group */
	const struct security_group *group;
};

static bool flat_equal(const struct flat_rule *a, const struct flat_rule *b)
{
	return a->rule->protocol == b->rule->protocol && a->rule->from_port == b->rule->from_port &&
	       a->rule->to_port == b->rule->to_port && a->group == b->group &&
	       (a->group || prefix_equal(&a->cidr, &b->cidr));
}

static size_t flatten(const struct security_group *g, const struct sg_rule *rule,
		      struct flat_rule *ret, size_t max)
{
	size_t n = 0;

	/* what can't be read equals nothing */
	if (rule->protocol == PROTOCOL_UNREADABLE ||
	    (has_ports(rule->protocol) && (rule->from_port < 0 || rule->to_port < 0)))
		return 0;
	for (size_t i = 0; i < rule->n_cidr_blocks && n < max; i++)
		ret[n++] = (struct flat_rule){ .rule = rule, .cidr = rule->cidr_blocks[i] };
	for (size_t i = 0; i < rule->n_security_groups && n < max; i++)
		ret[n++] = (struct flat_rule){ .rule = rule, .group = rule->security_groups[i] };
	if (rule->self && n < max)
		ret[n++] = (struct flat_rule){ .rule = rule, .group = g };
	return n;
}

static void check_rules(struct fill *f, const struct place *list, const struct security_group *g,
			const struct sg_rule *rules, size_t n_rules)
{
	struct flat_rule flat[SG_RULES_MAX];
	size_t n = 0, total = 0;

	for (size_t i = 0; i < n_rules; i++)
		total += rules[i].n_cidr_blocks + rules[i].n_security_groups + rules[i].self;
	if (total > SG_RULES_MAX) {
		fault(f->r, FAMILY_RANGE, list, "RulesPerSecurityGroupLimitExceeded",
		      "The maximum number of rules per security group has been reached: %zu "
		      "(allowed: %d a direction; each CIDR and each group counts)",
		      total, SG_RULES_MAX);
		return;
	}
	for (size_t i = 0; i < n_rules; i++) {
		size_t from = n;

		n += flatten(g, &rules[i], flat + n, SG_RULES_MAX - n);
		for (size_t a = from; a < n; a++)
			for (size_t b = 0; b < a; b++)
				if (flat_equal(&flat[a], &flat[b])) {
					fault_at(f->r, FAMILY_DUPLICATE, rules[i].at.pos,
						 rules[i].at.path, "InvalidPermission.Duplicate",
						 "the rule for %s already exists (%s)",
						 flat[a].group ? flat[a].group->name :
								 prefix_str(&flat[a].cidr),
						 flat[b].rule->at.path);
					break;
				}
	}
}

/* ---- groups ---- */

static struct sg_rule *rule_for_all(struct fill *f, const struct where *at)
{
	struct sg_rule *rule = NEW(f->r, 1, struct sg_rule);

	*rule = (struct sg_rule){
		.at = *at, .protocol = -1, .from_port = -1, .to_port = -1, .description = ""
	};
	return rule;
}

/* the way out that a group has unless the file says otherwise (SG-2) */
static void egress_default(struct fill *f, struct security_group *g)
{
	g->egress = rule_for_all(f, &g->at);
	g->egress->cidr_blocks = NEW(f->r, 1, struct prefix);
	g->egress->cidr_blocks[0] = (struct prefix){ .addr = addr_v4(0) };
	g->egress->n_cidr_blocks = 1;
	g->n_egress = 1;
}

/* the default group's way in (SG-3) */
static void ingress_default(struct fill *f, struct security_group *g)
{
	g->ingress = rule_for_all(f, &g->at);
	g->ingress->self = true;
	g->n_ingress = MUTANT("implicit-default") ? 0 : 1;
}

static void fill_rules(struct fill *f, const struct place *list, const struct security_group *g,
		       struct sg_rule **ret, size_t *ret_n)
{
	size_t n = place_n_children(list), i = 0;
	struct sg_rule *rules = NEW(f->r, n, struct sg_rule);

	PLACE_EACH(p, list)
		fill_sg_rule(f, &p, g->vpc, &rules[i++]);
	check_rules(f, list, g, rules, n);
	*ret = rules;
	*ret_n = n;
}

void fill_security_group(struct fill *f, const struct place *p, struct security_group *g)
{
	struct place ingress = place_member(p, "ingress"), egress = place_member(p, "egress");

	g->description = read_str(p, "description");
	if (cJSON_IsArray(ingress.item))
		fill_rules(f, &ingress, g, &g->ingress, &g->n_ingress);
	else if (strcmp(g->name, "default") == 0)
		ingress_default(f, g);
	if (cJSON_IsArray(egress.item))
		fill_rules(f, &egress, g, &g->egress, &g->n_egress);
	else
		egress_default(f, g);
}

static int name_cmp(const void *a, const void *b)
{
	const struct security_group *x = *(const struct security_group *const *)a;
	const struct security_group *y = *(const struct security_group *const *)b;
	int r = strcasecmp(x->name, y->name);

	return r ? r : (x > y) - (x < y);
}

/* SG-15 */
static void group_names(struct fill *f, const struct vpc *v)
{
	const struct security_group **sorted =
		NEW(f->r, v->n_security_groups, const struct security_group *);

	for (size_t i = 0; i < v->n_security_groups; i++) {
		const struct security_group *g = sorted[i] = &v->security_groups[i];

		if (strncasecmp(g->name, "sg-", 3) == 0)
			fault_at(f->r, FAMILY_NAME, g->at.pos, g->at.path, "InvalidParameterValue",
				 "Value (%s) for parameter GroupName is invalid. Group names may "
				 "not be in the format sg-*.",
				 g->name);
	}
	qsort(sorted, v->n_security_groups, sizeof(const struct security_group *), name_cmp);
	for (size_t i = 1; i < v->n_security_groups; i++) {
		const struct security_group *a = sorted[i - 1], *b = sorted[i];

		if (strcasecmp(a->name, b->name) != 0 || strcmp(a->name, b->name) == 0)
			continue;
		if (b->implicit) { /* the file's one is at fault */
			b = a;
			a = sorted[i];
		}
		fault_at(f->r, FAMILY_DUPLICATE, b->at.pos, b->at.path, "InvalidGroup.Duplicate",
			 "The security group '%s' already exists for VPC '%s' (names differ "
			 "beyond letter case)",
			 a->name, v->name);
	}
}

void fill_security_groups(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "security_groups");
	size_t i = 0;

	for (size_t n = 0; n < v->n_security_groups; n++) {
		v->security_groups[n].vpc = v;
		v->security_groups[n].description = "";
	}
	PLACE_EACH(p, &map)
		if (i < v->n_security_groups && !v->security_groups[i].implicit) {
			(void)json_doc_span(&f->lab->doc, p.item,
					    &v->security_groups[i].value.span);
			fill_security_group(f, &p, &v->security_groups[i++]);
		}
	if (i < v->n_security_groups && v->security_groups[i].implicit) {
		ingress_default(f, &v->security_groups[i]);
		egress_default(f, &v->security_groups[i]);
	}
	group_names(f, v);
}

/* ---- network ACLs ---- */

static void fill_entry(struct fill *f, const struct place *p, struct acl_entry *e)
{
	struct place cidr = place_member(p, "cidr_block"), from = place_member(p, "from_port");
	struct port_range ports = { -1, -1 }, icmp = { -1, -1 };
	const char *action = read_str(p, "rule_action");

	e->at = place_where(f->r, p);
	e->rule_number = (int)read_num(p, "rule_number");
	e->allow = action && strcmp(action, "allow") == 0;
	e->protocol = fill_protocol(p);
	(void)fill_cidr(f, &cidr, &e->cidr_block); /* reported there */
	if (has_ports(e->protocol))
		ports = read_ports(f, p);
	else if (e->protocol == IPPROTO_ICMP)
		icmp = read_icmp(f, p, "icmp_type", "icmp_code");
	else if (e->protocol != PROTOCOL_UNREADABLE && cJSON_IsNumber(from.item) &&
		 from.item->valuedouble > 0)
		hint(f->r, &from, "acl-entry-ports-ignored",
		     "ports mean nothing with this protocol: the entry is for all of it");
	e->from_port = ports.from;
	e->to_port = ports.to;
	e->icmp_type = icmp.from;
	e->icmp_code = icmp.to;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->rule_number != y->rule_number)
		return x->rule_number < y->rule_number ? -1 : 1;
	if (x->at.pos.line != y->at.pos.line)
		return x->at.pos.line < y->at.pos.line ? -1 : 1;
	return (x->at.pos.column > y->at.pos.column) - (x->at.pos.column < y->at.pos.column);
}

static void fill_entries(struct fill *f, const struct place *acl, const char *key,
			 struct acl_entry **ret, size_t *ret_n)
{
	struct place list = place_member(acl, key);
	size_t n = place_n_children(&list), i = 0;
	struct acl_entry *v = NEW(f->r, n, struct acl_entry);

	if (n > ACL_ENTRIES_MAX)
		fault(f->r, FAMILY_RANGE, &list, "NetworkAclEntryLimitExceeded",
		      "%zu entries and the final deny (allowed: %d a direction)", n,
		      ACL_ENTRIES_MAX + 1);
	else if (n > ACL_ENTRIES_DEFAULT)
		hint(f->r, &list, "acl-raised-quota",
		     "%zu entries and the final deny: AWS allows %d a direction unless its quota "
		     "is raised (NACL-9)",
		     n, ACL_ENTRIES_DEFAULT + 1);
	PLACE_EACH(p, &list)
		fill_entry(f, &p, &v[i++]);
	if (n)
		qsort(v, n, sizeof(*v), entry_cmp);
	for (i = 1; i < n; i++)
		if (v[i].rule_number && v[i].rule_number == v[i - 1].rule_number)
			fault_at(f->r, FAMILY_DUPLICATE, v[i].at.pos, v[i].at.path,
				 "NetworkAclEntryAlreadyExists",
				 "The network acl entry identified by %d already exists (%s)",
				 v[i].rule_number, v[i - 1].at.path);
	*ret = v;
	*ret_n = n;
}

static void entry_for_all(struct fill *f, const struct network_acl *a, struct acl_entry **ret,
			  size_t *ret_n)
{
	*ret = NEW(f->r, 1, struct acl_entry);
	**ret = (struct acl_entry){ .at = a->at,
				    .rule_number = 100,
				    .allow = true,
				    .protocol = -1,
				    .cidr_block = { .addr = addr_v4(0) },
				    .from_port = -1,
				    .to_port = -1,
				    .icmp_type = -1,
				    .icmp_code = -1 };
	*ret_n = 1;
}

void fill_network_acl(struct fill *f, const struct place *p, struct network_acl *a)
{
	fill_entries(f, p, "ingress", &a->ingress, &a->n_ingress);
	fill_entries(f, p, "egress", &a->egress, &a->n_egress);
}

void fill_network_acls(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "network_acls");
	size_t i = 0;

	if (v->n_network_acls > ACLS_MAX)
		fault(f->r, FAMILY_RANGE, &map, "NetworkAclLimitExceeded",
		      "%zu network ACLs with the default one (allowed: %d in a VPC)",
		      v->n_network_acls, ACLS_MAX);
	PLACE_EACH(p, &map) {
		struct network_acl *a = &v->network_acls[i];

		if (i == v->n_network_acls || a->implicit)
			break;
		(void)json_doc_span(&f->lab->doc, p.item, &a->value.span);
		fill_network_acl(f, &p, a);
		i++;
	}
	for (; i < v->n_network_acls; i++) {
		struct network_acl *a = &v->network_acls[i];

		entry_for_all(f, a, &a->ingress, &a->n_ingress);
		entry_for_all(f, a, &a->egress, &a->n_egress);
	}
}
