/* SPDX-License-Identifier: MIT */
/*
 * compile - from the store to the program: all that ought to exist.  Pure.
 *
 * A file a kind of namespace: compile_router.c (with compile_sg.c for the groups,
 * compile_acl.c for the lists, compile_route.c for what comes before and beside tables,
 * compile_flow.c for what flow logs count),
 * compile_internet.c, compile_node.c; nat/natgw.c, nat/egress.c and nat/igw.c for
 * what translates addresses.  boxes.c has the arithmetic.
 */
#ifndef COMPILE_H
#define COMPILE_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/program.h"
#include "nat/emit.h"
#include "topology/edit.h"
#include "topology/store.h"

/*
 * compile() - the whole lab, sealed.  "ret" is initialised here; the caller
 * program_done()s it on success.  ERR_UNSUPPORTED names what this build can't
 * enforce (the parser refuses it first; this is the second lock).
 */
int compile(const struct store *s, struct program *ret, struct err *e);

/*
 * compile_place() - only the items of one place: its namespace, its link and
 * what its egress namespace holds for it.  They are a part of compile()'s, so
 * that attaching one place needn't compile a lab: diff from nothing to these
 * adds it, from these to nothing removes it.
 */
int compile_place(const struct s_egress *g, const struct s_place *pl, struct program *ret,
		  struct err *e);

/*
 * compile_edit() - only the items that the value of an edit decides, as it is in the
 * lab now: a group's chains and sets, and the chains of the combinations that it is in;
 * the two chains of a list; a table's routes, and what the VPC's tables say of lost
 * packets.  A part of compile()'s, so that an edit needn't compile a lab.
 */
int compile_edit(const struct store *s, const struct edit *x, struct program *ret, struct err *e);

/* parts, for compile.c and tests */
void compile_router(const struct s_vpc *v, struct program *p);
void compile_groups(const struct s_vpc *v, struct program *p);
/*
 * compile_route.c.  compile_neighbours(): the set of who is whose neighbour, and the rule
 * that asks it, into the chain in "b".  compile_edge(): what the gateway's own route table
 * (RT-13) needs besides the kernel's table, nothing without one; "b" is for its use.
 * compile_edge_guard(): its rule in the chain of the guard.
 */
void compile_neighbours(const struct s_vpc *v, const struct emit *f, struct buf *b);
void compile_edge(const struct s_vpc *v, const struct emit *f, struct buf *b);
void compile_edge_guard(const struct s_vpc *v, struct buf *b);
/* the mark of what comes from the internet gateway */
unsigned compile_edge_mark(const struct s_vpc *v);
void compile_group_items(const struct s_group *g, struct program *p);
void compile_flows(const struct store *s, const struct s_vpc *v, struct program *p);
/* chains of drops that tell flow logs, if the VPC has some */
void compile_drop_chains(const struct s_vpc *v, const struct emit *f,
			 const enum reach_drop_number *numbers, size_t n);
void compile_acls(const struct s_vpc *v, struct program *p);
void compile_acl_items(const struct s_acl *a, struct program *p);
void compile_table_items(const struct s_table *t, struct program *p);
/* compile_peering.c: of one router */
void compile_peerings(const struct s_vpc *v, struct program *p);
bool compile_has_peering(const struct s_vpc *v); /* an active one */
void compile_internet(const struct store *s, struct program *p);
void compile_nodes(const struct store *s, struct program *p);
/* addresses, routes and rules of an instance's interfaces, in its namespace */
void compile_devices(const struct s_instance *in, struct program *p);

#define COMPILE_SET 64 /* bytes of a set's name */

/*
 * compile_far_group() - the set of addresses that members of "far", a group of the
 * other side of "via", have: in the router of "g", whose rules speak of it and to
 * which it belongs, so that an edit of the rules makes it or takes it away.  False
 * (and nothing made): the peering isn't active.  "ret": the set's name.
 */
bool compile_far_group(const struct s_group *g, const struct peering *via,
		       const struct security_group *far, const struct emit *f,
		       char ret[COMPILE_SET]);

#endif
