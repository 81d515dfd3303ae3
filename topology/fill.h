/* SPDX-License-Identifier: MIT */
/*
 * fill - the passes that turn a file's objects into a lab; private to topology/.
 *
 *	declare_lab()	arrays and names of everything, so that references resolve
 *	fill_*()	members, defaults, references, rules of one object
 *	check_*()	rules between objects, warnings
 *
 * All of them report and go on.  A reference to nothing is NULL and an address
 * that can't be read is unset (family 0) from then on: later rules skip those.
 */
#ifndef FILL_H
#define FILL_H

#include "topology/read.h"

/* names of a VPC's objects, beside struct vpc */
struct vpc_names {
	struct index subnets, route_tables, nat_gateways, security_groups, network_acls, instances,
		network_interfaces;
};

/* an address that only one may have */
struct claim {
	const struct vpc *vpc; /* NULL: public */
	struct addr addr;
	struct where at;
	const char *code; /* of the fault of who comes second */
};

struct fill {
	struct reader *r;
	struct lab *lab;
	struct index vpcs, roles, peerings, functions;
	struct node_ref *node_refs; /* what r->nodes is an index of, in the file's order */
	size_t n_node_refs;
	struct vpc_names *names; /* beside lab->vpcs */
	struct claim *claims;
	size_t n_claims, cap_claims;
	uint32_t *picked; /* of each node, by pick.c; NULL: not yet */
	size_t n_cases;	  /* that expectations make, so far */
};

static inline const struct vpc_names *fill_names(const struct fill *f, const struct vpc *v)
{
	return &f->names[v - f->lab->vpcs];
}

/* ---- lab.c ---- */
/* lab_parse(); "ret_fill": the names of the lab that was read, valid as long as
 * it is, with no reader.  For documents that patches make. */
struct lab *lab_read(const char *text, size_t size, const char *file, const char *name,
		     struct issues *ret_issues, struct fill *ret_fill);

/* ---- declare.c ---- */
void declare_lab(struct fill *f, const struct place *top);

/* ---- fill.c: values that several objects have ---- */
/* what "p" names in "names"; absent or unknown: NULL (and a fault).  "what":
 * "subnet"; "whose": "VPC main"; "code": AWS's */
const void *fill_reference(struct fill *f, const struct place *p, const struct index *names,
			   const char *what, const char *whose, const char *code);
const char *fill_vpc_title(struct fill *f, const struct vpc *v); /* "VPC main" */
/* false, and unset: absent, or not an address (and a fault) */
bool fill_address(struct fill *f, const struct place *p, struct addr *ret);
bool fill_address_text(struct fill *f, const struct place *p, const char *s, struct addr *ret);
bool fill_cidr(struct fill *f, const struct place *p, struct prefix *ret);
bool fill_cidr_text(struct fill *f, const struct place *p, const char *s, struct prefix *ret);
/* "auto" or a public address, claimed */
struct elastic fill_elastic(struct fill *f, const struct place *p);
void fill_claim(struct fill *f, const struct place *p, const struct vpc *vpc,
		const struct addr *addr, const char *code);
/* a private address that must be free to take in "subnet" (VPC-11), claimed */
bool fill_private_address(struct fill *f, const struct place *p, const struct subnet *subnet,
			  struct addr *ret);
/* can't be anybody's public address: private, shared, loopback, multicast, ... */
bool fill_is_public(const struct addr *a);
#define PROTOCOL_UNREADABLE (-2)
int fill_protocol(const struct place *rule); /* -1 all; 0..255 */
void fill_groups(struct fill *f, const struct place *list, const struct vpc *v,
		 const struct security_group ***ret, size_t *ret_n);

/* ---- one file an object ---- */
void fill_internet(struct fill *f, const struct place *top);
void fill_roles(struct fill *f, const struct place *top);
bool fill_role_allows(const struct role *role, const char *action);
void fill_peerings(struct fill *f, const struct place *top);
void fill_vpcs(struct fill *f, const struct place *top);
void fill_route_tables(struct fill *f, const struct place *vpc, struct vpc *v);
/* one, that the file names; "t" has name and place */
void fill_route_table(struct fill *f, const struct place *p, const struct vpc *v,
		      struct route_table *t);
void fill_security_groups(struct fill *f, const struct place *vpc, struct vpc *v);
/* one, that the file names; "g" has name, place and VPC */
void fill_security_group(struct fill *f, const struct place *p, struct security_group *g);
/* the entries of one, that the file names */
void fill_network_acl(struct fill *f, const struct place *p, struct network_acl *a);
void fill_network_acls(struct fill *f, const struct place *vpc, struct vpc *v);
void fill_instances(struct fill *f, const struct place *vpc, struct vpc *v);
void fill_network_interfaces(struct fill *f, const struct place *vpc, struct vpc *v);
void fill_flow_logs(struct fill *f, const struct place *vpc, struct vpc *v);
void fill_programs(struct fill *f, const struct place *node, struct programs *p);
void fill_functions(struct fill *f, const struct place *top);
void fill_expects(struct fill *f, const struct place *top);
void fill_expect(struct fill *f, const struct place *x, struct expect *e);
/* last of all: it looks at what else is wrong with the file */
void fill_scenarios(struct fill *f, const struct place *top);

/* ---- between objects ---- */
void check_node_names(struct fill *f);
void check_claims(struct fill *f);
void check_peerings(struct fill *f, const struct place *top);
void check_flow_logs(struct fill *f, const struct place *top); /* functions are read */
/* how many a zone may have */
void check_quotas(struct fill *f, const struct place *top);
void check_warnings(struct fill *f, const struct place *top);

#endif
