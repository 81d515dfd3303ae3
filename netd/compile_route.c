/* SPDX-License-Identifier: MIT */
/*
 * compile_route - what comes before and beside the tables of subnets.
 *
 * Neighbours: a subnet's own hosts meet without its table (RT-10), so that a route
 * for the subnet's CIDR steers nobody inside it.  Here each packet crosses the
 * router, and what goes to the sender's own subnet changes the table in its mark
 * to one that no rule knows: table 50, which has every interface's address, is
 * next.  One look-up in one set, however many subnets, tables and routes there are.
 *
 * The gateway's own table (RT-13): what comes from the internet has its number in
 * the mark, beside the subnet 255, and is routed once its address is the private
 * one.  An appliance so gets it first, with the addresses that the node behind it
 * will see.  It needs a public address itself, and what goes out of the addresses
 * that are led to it must come by it, too: AWS's two rules about such tables.
 * That a packet passes the router twice unchanged is no matter: the pass of the
 * gateway is tracked in a zone of its own (nat/igw.h).
 *
 * Interval sets are named by their content, so that a change fills a fresh one.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "netd/boxes.h"
#include "netd/compile.h"

/* a set of these elements, a line each */
static void content_set(const struct emit *f, const char *what, const char *type,
			const struct buf *lines, char ret[40])
{
	const char *line = buf_str(lines);
	char hash[9];

	if (buf_error(lines))
		f->p->failed = true;
	hash_hex(hash, 8, "%s", line);
	(void)fmt_print(ret, 40, "%s_%s", what, hash);
	emit_set(f, ret, type);
	while (*line) {
		size_t n = strcspn(line, "\n");

		emit_elem(f, ret, "", "%.*s", (int)n, line);
		line += n + 1;
	}
}

void compile_neighbours(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	auto_buf struct buf lines = BUF_INIT;
	char name[40];
	size_t i;

	if (!v->n_subnets || MUTANT("neighbours"))
		return;
	for (i = 0; i < v->n_subnets; i++)
		buf_printf(&lines, "0x%08x . %s\n", v->subnets[i].number,
			   prefix_str(&v->subnets[i].def->cidr_block));
	content_set(f, "neighbours", "type mark . ipv4_addr; flags interval;", &lines, name);
	emit_rule(b,
		  "meta mark & 0xff . ip daddr @%s meta mark set mark & 0xffff00ff | 0xfe00 "
		  "comment \"a neighbour: no table is asked\"",
		  name);
}

/* ---- the gateway's own table ---- */

static const struct s_table *edge_of(const struct s_vpc *v)
{
	return v->def->edge_route_table ? store_table_of(v, v->def->edge_route_table) : NULL;
}

unsigned compile_edge_mark(const struct s_vpc *v)
{
	const struct s_table *t = edge_of(v);

	return t && !MUTANT("edge-table") ? t->number << 8 | 0xff : 0xffff;
}

/* what each route of the table takes for an appliance: "redirected" are all of these
 * addresses, "via" each with the link that it must come by */
static void redirections(const struct s_vpc *v, const struct s_table *t, const struct emit *f,
			 struct buf *redirected, struct buf *via)
{
	size_t n = t->def->n_routes, i, k, n_seg;
	const size_t n_all = n + 1 + v->def->n_secondary_cidr_blocks;
	auto_free struct lpm_route *routes = calloc(n_all, sizeof(*routes));
	const struct prefix *block;

	if (!routes) {
		f->p->failed = true;
		return;
	}
	for (i = 0; i < n; i++)
		routes[i] = (struct lpm_route){ t->def->routes[i].destination, (int)i + 1 };
	for (i = 0; (block = vpc_cidr(v->def, i)); i++)
		if (!route_table_names(t->def, block))
			routes[n++] = (struct lpm_route){ *block, 0 };
	for (i = 0; i < t->def->n_routes; i++) {
		const struct s_eni *e = store_route_eni(v, &t->def->routes[i]);
		auto_free struct range *seg = NULL;

		if (!e)
			continue;
		if (lpm_segments(routes, n, (int)i + 1, &seg, &n_seg)) {
			f->p->failed = true;
			return;
		}
		for (k = 0; k < n_seg; k++) {
			range_print(&seg[k], redirected);
			buf_adds(redirected, "\n");
			buf_printf(via, "%s . ", e->router_interface);
			range_print(&seg[k], via);
			buf_adds(via, "\n");
		}
	}
}

static void appliances_without_address(const struct s_vpc *v, const struct s_table *t,
				       const struct emit *f)
{
	size_t i;

	emit_set(f, "edge_private", "type ifname;");
	for (i = 0; i < t->def->n_routes; i++) {
		const struct s_eni *e = store_route_eni(v, &t->def->routes[i]);

		if (e && !eni_is_public(e))
			emit_elem(f, "edge_private", "", "%s", e->router_interface);
	}
}

void compile_edge_guard(const struct s_vpc *v, struct buf *b)
{
	if (edge_of(v) && !MUTANT("edge-public-address"))
		emit_rule(b,
			  "iifname \"igw\" oifname @edge_private goto %s "
			  "comment \"%s: an appliance without a public address\"",
			  emit_drop(DROP_EDGE_NO_PUBLIC_IP), v->igw.id);
}

void compile_edge(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	static const enum reach_drop_number drops[] = {
		DROP_EDGE_NO_PUBLIC_IP,
		DROP_EDGE_REDIRECTION,
	};
	const struct s_table *t = edge_of(v);
	auto_buf struct buf redirected = BUF_INIT, via = BUF_INIT;
	char all[40], by[40];

	if (!t)
		return;
	emit_drop_chains(f, drops, 2);
	appliances_without_address(v, t, f);
	/* after translation (-100), by which the address is the private one */
	emit_chain(b, "type filter hook prerouting priority -90; policy accept;");
	if (!MUTANT("cells-edge-lost"))
		emit_rule(b, "iifname \"igw\" fib daddr . mark oif missing fib daddr type != local "
			     "goto no_route");
	emit_chain_end(f, "lost_edge", b);

	redirections(v, t, f, &redirected, &via);
	if (!redirected.len || MUTANT("edge-redirection"))
		return;
	content_set(f, "redirected", "type ipv4_addr; flags interval;", &redirected, all);
	content_set(f, "redirect_via", "type ifname . ipv4_addr; flags interval;", &via, by);
	/* after the sender's groups and its subnet's list, before the gateway's own checks */
	emit_chain(b, "type filter hook forward priority -14; policy accept;");
	emit_rule(b,
		  "oifname \"igw\" ip saddr @%s iifname . ip saddr != @%s goto %s comment \"%s\"",
		  all, by, emit_drop(DROP_EDGE_REDIRECTION), t->o.id);
	emit_chain_end(f, "redirection", b);
}
