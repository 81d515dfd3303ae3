/* SPDX-License-Identifier: MIT */
/*
 * store_internal - shared by store.c (look-ups, places), store_build.c (a document
 * becomes objects) with store_peering.c, store_eni.c and store_addr.c, store_compare.c (what
 * changed) and store_text.c (saving).
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include "topology/pool.h"
#include "topology/store.h"

/* last incarnation of each "KIND\tNAME" ever used; value: the number as a pointer */
struct store_past {
	struct strmap map;
};

struct store_index {
	struct strmap by_name; /* "KIND\tNAME" -> struct object */
	struct strmap by_id;   /* id -> struct object */
	struct strmap lambda;  /* "SUBNET-ID SG-ID,SG-ID" -> struct s_egress */
	struct strmap notes;   /* id -> text that is kept for life (descriptions) */
	struct object **list;  /* the file's objects, in the order of creation */
	size_t n, cap;
};

/* "KIND\tNAME" of an object, into "ret" */
const char *store_key(char ret[160], enum object_kind kind, const char *name);

/*
 * What changed of an object: members that can't be changed in place, else those
 * that can.  "" where nothing did.
 */
struct change {
	char fixed[160], free_[240];
};
void change_note(char *text, size_t size, const char *member);
void compare_vpc(const struct vpc *a, const struct vpc *b, struct change *ret);
void compare_subnet(const struct subnet *a, const struct subnet *b, struct change *ret);
void compare_table(const struct route_table *a, const struct route_table *b, struct change *ret);
void compare_group(const struct security_group *a, const struct security_group *b,
		   struct change *ret);
void compare_acl(const struct network_acl *a, const struct network_acl *b, struct change *ret);
void compare_nat(const struct nat_gateway *a, const struct nat_gateway *b, struct change *ret);
/* "primary": the address that the old instance has */
void compare_instance(const struct instance *a, const struct instance *b,
		      const struct addr *primary, struct change *ret);
void compare_interface(const struct network_interface *a, const struct network_interface *b,
		       const struct addr *primary, struct change *ret);
void compare_flow_log(const struct flow_log *a, const struct flow_log *b, struct change *ret);
void compare_host(const struct host *a, const struct host *b, struct change *ret);
void compare_lab(const struct lab *a, const struct lab *b, struct change *ret);

/*
 * Builds the store of "lab".  "old": the store before (NULL: none).  "saved":
 * instead of "old", the alloc, past, notes and idle ways of a saved store.
 */
struct saved {
	struct alloc *alloc;
	struct store_past *past;
	struct strmap *notes;
	struct strmap *idle; /* key of an egress ("service": default mode) -> its end as text */
	const char *seed;
};
int store_build(const struct store *old, const struct saved *saved, const struct lab *lab,
		const char *seed, const struct store_keep *keep, struct store **ret,
		struct ops *ops, struct err *e);

/* ---- inside the building of one ---- */

struct build {
	const struct store *old;
	const struct saved *saved;
	const struct lab *lab;
	struct store_keep keep;
	struct store *s;
	struct pool *pool;
	struct ops *ops;
	struct err *e;
	struct strmap combinations;		   /* "VPC-ID SG-ID,..." -> struct s_combination */
	const char *scope, *scope_what, *scope_id; /* the name of a scope made last */
	bool failed;				   /* out of memory, seen at the end */
};

int build_no_memory(struct build *b);
/* a fault of what stands at "path" of the file */
int build_fail_at(struct build *b, const char *path, enum err_code code, int errnum,
		  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* what failed, as AWS makes it, for the warnings */
void build_warn(struct build *b, const struct object *o);
const struct alloc *build_old_alloc(const struct build *b);	      /* NULL: none */
const struct store_past *build_old_past(const struct build *b);	      /* NULL: none */
unsigned build_past_get(const struct store_past *p, const char *key); /* 0: never was */
/* prefix and 17 hex: hash of the seed, the lab, kind, key and incarnation */
const char *build_make_id(struct build *b, enum object_kind kind, const char *key,
			  unsigned incarnation);
const char *build_id_hex(const char *id); /* what follows the prefix */
const char *build_mac_of(struct build *b, const char *first, const char *hex);
void build_index_object(struct build *b, struct object *o);
struct object build_object_head(struct build *b, enum object_kind kind, const char *vpc,
				const char *name, const char *path);
/*
 * Gives an object its incarnation and id.  "old": its predecessor; "c": how it
 * differs from it.  A saved store's objects are what they were.
 */
void build_object_make(struct build *b, struct object *o, const char *key, const struct object *old,
		       const struct change *c);
/* store_peering.c: after all VPCs */
int build_peerings(struct build *b);
/* the objects of a replaced VPC or subnet are replaced, too */
void build_note_parent(struct change *c, const struct object *parent, const struct object *old);
/* store_flow_log.c */
void build_flow_logs(struct build *b, struct s_vpc *v);
/* store_eni.c, in this order: of a VPC's nodes; of functions; numbers */
int build_enis(struct build *b, struct s_vpc *v);
int build_functions(struct build *b);
int build_combinations(struct build *b, struct s_vpc *v);
/* the way of functions with this subnet and these groups, shared by all of them (LN-8),
 * made unless it is there; "name", "path": of the first; NULL: no memory */
struct s_egress *build_lambda_egress(struct build *b, struct s_subnet *sn,
				     const struct security_group *const *groups, size_t n,
				     const char *name, const char *path);
struct s_egress *build_service_egress(struct build *b);
/* store_idle.c: after all functions, the ways that none of them has any more */
int build_idle(struct build *b);
/* store_addr.c */
int build_addresses(struct build *b);
int build_indexes(struct build *b);

void place_init(const struct s_egress *g, struct s_place *p, unsigned number);

#endif
