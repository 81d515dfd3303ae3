/* SPDX-License-Identifier: MIT */
/*
 * store_internal - shared by store.c (look-ups, places), store_build.c (a document
 * becomes objects), store_compare.c (what changed) and store_text.c (saving).
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
void compare_host(const struct host *a, const struct host *b, struct change *ret);
void compare_lab(const struct lab *a, const struct lab *b, struct change *ret);

/*
 * Builds the store of "lab".  "old": the store before (NULL: none).  "saved":
 * instead of "old", the alloc, past and notes of a saved store.
 */
struct saved {
	struct alloc *alloc;
	struct store_past *past;
	struct strmap *notes;
	const char *seed;
};
int store_build(const struct store *old, const struct saved *saved, const struct lab *lab,
		const char *seed, struct store **ret, struct ops *ops, struct err *e);

void place_init(const struct s_egress *g, struct s_place *p, unsigned number);

#endif
