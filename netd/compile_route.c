/* SPDX-License-Identifier: MIT */
/*
 * compile_route - what route tables aren't asked for.
 *
 * Neighbours: a subnet's own hosts meet without its table (RT-10), so that a route
 * for the subnet's CIDR steers nobody inside it.  Here each packet crosses the
 * router, and what goes to the sender's own subnet changes the table in its mark
 * to one that no rule knows: table 50, which has every interface's address, is
 * next.  One look-up in one set, however many subnets, tables and routes there are.
 */
#include "lib/fmt.h"
#include "lib/mutant.h"
#include "netd/compile.h"

void compile_neighbours(const struct s_vpc *v, const struct emit *f)
{
	size_t i;

	emit_set(f, "neighbours", "type mark . ipv4_addr; flags interval;");
	for (i = 0; i < v->n_subnets; i++)
		emit_elem(f, "neighbours", "", "0x%08x . %s", v->subnets[i].number,
			  prefix_str(&v->subnets[i].def->cidr_block));
}

void compile_neighbour_rule(struct buf *b)
{
	if (!MUTANT("neighbours"))
		emit_rule(b, "meta mark & 0xff . ip daddr @neighbours meta mark set mark & "
			     "0xffff00ff | 0xfe00 comment \"a neighbour: no table is asked\"");
}
