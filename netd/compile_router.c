/* SPDX-License-Identifier: MIT */
/*
 * compile_router - the router of a VPC: where all policy is.
 *
 * A packet's way: pre (mark of its interface, neighbours, source check), tracking, lost (what
 * has no route, after the sender's groups and list), route look-up by mark, then in the
 * forward hook guard -30, sender's groups -20, its subnet's list -15, gateway and peering -13
 * (nat/igw.c, compile_peering.c), the mark of the receiver's interface -12, its subnet's list -10,
 * destination check -5, receiver's groups 0.  AWS's order decides whose the drop is:
 * groups, then the list, then routes and gateways.
 *
 * Mark 0 never is a packet's: ARP's look-ups and the router's own answers have it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "nat/emit.h"
#include "nat/igw.h"
#include "netd/boxes.h"
#include "netd/compile.h"
#include "netd/compile_idle.h"

/* ---- routing ---- */

static void namespace_items(const struct s_vpc *v, struct program *p)
{
	auto_buf struct buf b = BUF_INIT;
	char key[64];

	/* proxy_arp comes from "default", so that attaching an interface never enters
	 * this namespace; the gateway's link switches it off for itself */
	buf_adds(&b, "role router\n" EMIT_FORWARDS "\nrules none\n"
		     "sysctl net.ipv4.conf.default.proxy_arp=1\n"
		     "sysctl net.netfilter.nf_conntrack_tcp_be_liberal=1\n");
	idle_sysctls(v, &b);
	if (buf_error(&b))
		p->failed = true;
	program_add(p, v->ns, ITEM_NS, "", buf_str(&b));
	(void)fmt_print(key, sizeof(key), "lo %s/32", addr_str(&v->resolver));
	program_add(p, v->ns, ITEM_ADDR, key, "");
	program_add(p, v->ns, ITEM_ADDR, "lo " DNS_LINK_LOCAL "/32", "");
	program_add(p, v->ns, ITEM_RULE, "10", "iif lo fwmark 0x0/0xffffffff lookup 50");
	program_add(p, v->ns, ITEM_RULE, "11", "iif lo fwmark 0x0/0xffffffff blackhole");
	program_add(p, v->ns, ITEM_RULE, "20", "fwmark 0x0/0xffffffff lookup 50");
	program_add(p, v->ns, ITEM_RULE, "21", "fwmark 0x0/0xffffffff lookup 51");
	program_add(p, v->ns, ITEM_RULE, "30000", "lookup 50");
	program_add(p, v->ns, ITEM_RULE, "30001", "blackhole");
	/* ARP for any address but the asker's own is answered */
	program_add(p, v->ns, ITEM_ROUTE, "51 0.0.0.0/0", "dev lo scope link");
}

/* the next hop of a route; "blackhole" if its target is gone */
static void route_val(const struct s_vpc *v, const struct route *r, char *ret, size_t size)
{
	const struct s_eni *e = store_route_eni(v, r);

	if (!store_route_active(v, r) || (r->target == TARGET_PEERING && MUTANT("peering-route")))
		(void)fmt_print(ret, size, "blackhole");
	else if (r->target == TARGET_LOCAL)
		(void)fmt_print(ret, size, "throw");
	else if (r->target == TARGET_INTERNET_GATEWAY)
		(void)fmt_print(ret, size, "via " GATEWAY_INTERNET " dev igw onlink");
	else if (r->target == TARGET_PEERING)
		(void)fmt_print(ret, size, "via " GATEWAY_INTERNET " dev %s onlink",
				store_peer_of(v, r->peering)->peering->link);
	else if (e)
		(void)fmt_print(ret, size, "via %s dev %s onlink", addr_str(&e->private_ips[0]),
				e->router_interface);
}

static void table_items(const struct s_vpc *v, const struct s_table *t, struct program *p)
{
	const struct prefix *block;
	char key[64], val[80];
	size_t i;

	(void)fmt_print(key, sizeof(key), "%u", 100 + t->number);
	program_addf(p, v->ns, ITEM_RULE, key, "fwmark 0x%x/0xff00 lookup %u", t->number << 8,
		     100 + t->number);
	/* "local" is a throw: longest prefix decides between it and the others, and
	 * what it wins goes on to table 50 */
	for (i = 0; (block = vpc_cidr(v->def, i)); i++) {
		if (route_table_names(t->def, block) && !MUTANT("local-route"))
			continue;
		if (i && MUTANT("secondary-local"))
			continue;
		(void)fmt_print(key, sizeof(key), "%u %s", 100 + t->number, prefix_str(block));
		program_add(p, v->ns, ITEM_ROUTE, key, "throw");
	}
	(void)fmt_print(key, sizeof(key), "%u " LAB_NO_ROUTES, 100 + t->number);
	if (!MUTANT("no-routes"))
		program_add(p, v->ns, ITEM_ROUTE, key, "blackhole");
	for (i = 0; i < t->def->n_routes; i++) {
		const struct route *r = &t->def->routes[i];

		route_val(v, r, val, sizeof(val));
		if (MUTANT("blackhole") && !store_route_active(v, r))
			continue;
		if (MUTANT("local-route") && prefix_equal(&r->destination, &v->def->cidr_block))
			continue;
		(void)fmt_print(key, sizeof(key), "%u %s", 100 + t->number,
				prefix_str(&r->destination));
		program_add(p, v->ns, ITEM_ROUTE, key, val);
	}
}

/* ---- interfaces ---- */

static unsigned mark_of(const struct s_eni *e)
{
	bool own = e->subnet->def->explicit_route_table || !MUTANT("main-table");
	unsigned table = own ? e->subnet->table->number : 0;

	return (e->combination ? e->combination->number : 0) << 16 | table << 8 | e->subnet->number;
}

static void eni_items(const struct s_eni *e, const struct emit *f, const struct emit *arp)
{
	char key[80], mark[16];
	const char *dev = e->router_interface;
	size_t i;

	/* attached to nothing: nobody sends from it, and its addresses are nobody's */
	if (!e->ns)
		return;
	/* a NAT gateway's and a function's link is made with their namespaces */
	if (e->type == ENI_INTERFACE)
		emit_eni_link(e, f->p);
	(void)fmt_print(mark, sizeof(mark), "0x%08x", mark_of(e));
	emit_elem(f, "eni_mark", mark, "%s", dev);
	emit_elem(f, "src_mac", "", "%s . %s", e->mac, dev);
	if (!e->source_dest_check)
		emit_elem(f, "src_any", "", "%s", dev);
	for (i = 0; i < e->n_private_ips; i++) {
		const char *a = addr_str(&e->private_ips[i]);

		if (i && MUTANT("secondary-addresses"))
			break;
		(void)fmt_print(key, sizeof(key), "50 %s/32", a);
		program_addf(f->p, f->ns, ITEM_ROUTE, key, "dev %s scope link", dev);
		(void)fmt_print(key, sizeof(key), "%s %s", dev, a);
		if (!MUTANT("permanent-neighbours"))
			program_addf(f->p, f->ns, ITEM_NEIGH, key, "lladdr %s", e->mac);
		emit_elem(f, "src_ok", "", "%s . %s", dev, a);
		emit_elem(arp, "own", "", "%s . %s", dev, a);
	}
}

/* ---- chains ---- */

static void prerouting(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook prerouting priority -300; policy drop;");
	if (!MUTANT("broadcast"))
		emit_rule(b, "meta pkttype != host drop comment \"no broadcast, no multicast\"");
	emit_rule(b, "iifname \"eni-*\" goto from_eni");
	if (v->igw.id)
		emit_rule(b, "iifname \"igw\" goto from_igw comment \"%s\"", v->igw.id);
	if (compile_has_peering(v))
		emit_rule(b, "iifname \"pcx-*\" goto from_peering");
	emit_rule(b, "iifname \"lo\" accept");
	emit_chain_end(f, "pre", b);

	emit_chain(b, "");
	emit_rule(b, "meta mark set iifname map @eni_mark");
	emit_rule(b, "meta mark 0x0 drop comment \"an interface that is no more\"");
	compile_neighbours(v, f, b);
	if (!MUTANT("mac-spoofing"))
		emit_rule(b,
			  "ether saddr . iifname != @src_mac goto %s "
			  "comment \"%s: not its MAC\"",
			  emit_drop(DROP_ENI_ADDRESS), v->o.id);
	if (!MUTANT("anti-spoofing"))
		emit_rule(b,
			  "iifname . ip saddr != @src_ok iifname != @src_any goto %s "
			  "comment \"%s: not its address\"",
			  emit_drop(DROP_ENI_ADDRESS), v->o.id);
	if (v->igw.id)
		emit_rule(b, "fib daddr . mark oifname \"igw\" ct zone set 1 comment \"%s\"",
			  v->igw.id);
	emit_rule(b, "accept");
	emit_chain_end(f, "from_eni", b);
}

#define LOST "iifname \"eni-*\" fib daddr . mark oif missing fib daddr type != local"

/* what routing will drop in silence gets its reason; the sender's groups and its
 * subnet's list come first, whose "accept" ends only their own base chain */
static void lost(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook prerouting priority -150; policy accept;");
	emit_rule(b, LOST " goto groups_out");
	emit_chain_end(f, "lost_groups", b);
	emit_chain(b, "type filter hook prerouting priority -149; policy accept;");
	if (!MUTANT("acl-lost"))
		emit_rule(b, LOST " goto lists_lost");
	emit_chain_end(f, "lost_lists", b);
	emit_chain(b, "type filter hook prerouting priority -148; policy accept;");
	if (v->n_flow_logs)
		emit_rule(b, "iifname @flow_accept ip daddr != @flow_never " LOST
			     " jump flow_acc_out");
	if (!MUTANT("lost"))
		emit_rule(b, LOST " goto no_route");
	emit_chain_end(f, "lost", b);
}

/* the addresses that a table gives to routes whose target is gone */
static void bad_routes(const struct s_vpc *v, const struct s_table *t, const struct emit *f,
		       struct buf *b)
{
	const struct prefix *block;
	size_t n = t->def->n_routes, n_blocks = v->def->n_secondary_cidr_blocks + 1, i, n_bad;
	auto_free struct lpm_route *routes = calloc(n + n_blocks, sizeof(*routes));
	auto_free struct range *bad = NULL;
	auto_buf struct buf text = BUF_INIT;
	char name[40], hash[9];

	if (!routes) {
		f->p->failed = true;
		return;
	}
	for (i = 0; i < n; i++)
		routes[i] = (struct lpm_route){ t->def->routes[i].destination,
						!store_route_active(v, &t->def->routes[i]) };
	for (i = 0; (block = vpc_cidr(v->def, i)); i++)
		if (!route_table_names(t->def, block))
			routes[n++] = (struct lpm_route){ *block, 0 };
	if (lpm_segments(routes, n, 1, &bad, &n_bad)) {
		f->p->failed = true;
		return;
	}
	if (!n_bad || MUTANT("cells-bad-route"))
		return;
	for (i = 0; i < n_bad; i++) {
		range_print(&bad[i], &text);
		buf_adds(&text, " ");
	}
	hash_hex(hash, 8, "%s", buf_str(&text));
	(void)fmt_print(name, sizeof(name), "bad%u_%s", t->number, hash);
	emit_set(f, name, "type ipv4_addr; flags interval;");
	for (i = 0; i < n_bad; i++) {
		buf_clear(&text);
		range_print(&bad[i], &text);
		emit_elem(f, name, "", "%s", buf_str(&text));
	}
	if (buf_error(&text))
		f->p->failed = true;
	emit_rule(b, "meta mark & 0xff00 0x%x ip daddr @%s goto %s comment \"%s\"", t->number << 8,
		  name, emit_drop(DROP_BAD_STATE_ROUTE), t->o.id);
}

static void no_route(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	const struct prefix *block;
	size_t i;

	emit_chain(b, "");
	emit_rule(b, "ip daddr " LAB_NO_ROUTES " goto %s comment \"no route leads there\"",
		  emit_drop(DROP_NO_ROUTE));
	for (i = 0; i < v->n_tables; i++)
		bad_routes(v, &v->tables[i], f, b);
	for (i = 0; (block = vpc_cidr(v->def, i)); i++)
		emit_rule(b, "ip daddr %s goto %s comment \"%s: nobody has the address\"",
			  prefix_str(block), emit_drop(DROP_UNKNOWN_DESTINATION), v->o.id);
	emit_rule(b, "goto %s", emit_drop(DROP_NO_ROUTE));
	emit_chain_end(f, "no_route", b);
}

void compile_table_items(const struct s_table *t, struct program *p)
{
	struct emit f = { p, t->vpc->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;

	table_items(t->vpc, t, p);
	no_route(t->vpc, &f, &b);
}

static void forward(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook forward priority -30; policy drop;");
	if (v->igw.id)
		emit_rule(b, "iifname \"igw\" oifname \"igw\" drop comment \"no edge to edge\"");
	compile_edge_guard(v, b);
	if (compile_has_peering(v)) {
		emit_rule(b, "iifname { \"pcx-*\", \"igw\" } oifname { \"pcx-*\", \"igw\" } drop "
			     "comment \"no edge to edge\"");
		emit_rule(b, "oifname \"pcx-*\" accept");
	}
	emit_rule(b, "oifname \"eni-*\" accept");
	if (v->igw.id)
		emit_rule(b, "oifname \"igw\" accept");
	emit_chain_end(f, "guard", b);

	emit_chain(b, "type filter hook forward priority -12; policy accept;");
	/* a number that no combination has, should the interface be no more */
	emit_rule(b, "oifname \"eni-*\" meta mark set 0xffffffff");
	emit_rule(b, "oifname \"eni-*\" meta mark set oifname map @eni_mark");
	emit_chain_end(f, "receiver", b);

	emit_chain(b, "type filter hook forward priority -5; policy accept;");
	if (!MUTANT("source-dest-check"))
		emit_rule(b,
			  "oifname \"eni-*\" oifname . ip daddr != @src_ok "
			  "oifname != @src_any goto %s comment \"%s: not its address\"",
			  emit_drop(DROP_SOURCE_DEST_CHECK), v->o.id);
	emit_chain_end(f, "destination", b);
}

static void resolver(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	const char *ip = addr_str(&v->resolver);

	emit_chain(b, "type filter hook input priority 0; policy drop;");
	emit_rule(b, "iifname \"lo\" accept");
	if ((v->def->enable_dns_support || MUTANT("dns-support")) && !MUTANT("dns-exemption"))
		emit_rule(b,
			  "%sip daddr { %s, " DNS_LINK_LOCAL " } "
			  "meta l4proto { tcp, udp } th dport 53 goto dns_in "
			  "comment \"%s: no group and no list decides\"",
			  MUTANT("dns-peer") ? "" : "iifname \"eni-*\" ", ip, v->o.id);
	emit_rule(b, "goto %s", emit_drop(DROP_NO_POSSIBLE_DESTINATION));
	emit_chain_end(f, "in", b);

	emit_set(f, "dns_rate", "type ifname; flags dynamic; size 8192;");
	emit_chain(b, "");
	/* the name is that of the counter which AWS's interfaces have for it (DNS-6) */
	if (!MUTANT("dns-rate"))
		emit_rule(b,
			  "add @dns_rate { iifname limit rate over 1024/second burst 1024 "
			  "packets } goto %s",
			  emit_drop(DROP_LINK_LOCAL_RATE));
	emit_rule(b, "accept");
	emit_chain_end(f, "dns_in", b);
}

/* the router is silent, whatever the cause: only its resolver answers, and what
 * tells a sender of a smaller MTU, in the name of its subnet's router (L2-6) */
static void output(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	size_t i;

	emit_set(f, "routers", "type mark : ipv4_addr;");
	for (i = 0; i < v->n_subnets; i++)
		emit_elem(f, "routers", addr_str(&v->subnets[i].router), "0x%x",
			  v->subnets[i].number);
	emit_chain(b, "");
	emit_rule(b, "meta mark set oifname map @eni_mark");
	emit_rule(b, MUTANT("frag-sender") ?
			     "accept" :
			     "ip saddr set meta mark & 0xff map @routers accept "
			     "comment \"fragmentation needed, says its subnet's router\"");
	emit_chain_end(f, "frag_needed", b);

	if (MUTANT("output-policy")) {
		emit_chain(b, "type filter hook output priority 0; policy accept;");
		emit_chain_end(f, "out", b);
		return;
	}
	emit_chain(b, "type filter hook output priority 0; policy drop;");
	emit_rule(b, "oifname \"lo\" accept");
	emit_rule(b,
		  "ip saddr { %s, " DNS_LINK_LOCAL " } meta l4proto { tcp, udp } th sport 53 "
		  "accept",
		  addr_str(&v->resolver));
	emit_rule(b, "icmp type 3 icmp code 4 goto frag_needed");
	emit_chain_end(f, "out", b);
}

static void arp_guard(const struct emit *arp, struct buf *b)
{
	emit_table(arp);
	emit_set(arp, "own", "type ifname . ipv4_addr;");
	emit_chain(b, MUTANT("arp-guard") ? "type filter hook input priority 0; policy accept;" :
					    "type filter hook input priority 0; policy drop;");
	emit_rule(b, "arp operation request iifname . arp saddr ip @own accept");
	emit_chain_end(arp, "in", b);
}

static void dns_sockets(const struct s_vpc *v, struct program *p)
{
	char key[64];

	if (!v->def->enable_dns_support && !MUTANT("dns-support"))
		return;
	(void)fmt_print(key, sizeof(key), "udp %s 53", addr_str(&v->resolver));
	program_addf(p, v->ns, ITEM_SOCK, key, "dns %s", v->def->name);
	(void)fmt_print(key, sizeof(key), "tcp %s 53", addr_str(&v->resolver));
	program_addf(p, v->ns, ITEM_SOCK, key, "dns %s", v->def->name);
	program_addf(p, v->ns, ITEM_SOCK, "udp " DNS_LINK_LOCAL " 53", "dns %s", v->def->name);
	program_addf(p, v->ns, ITEM_SOCK, "tcp " DNS_LINK_LOCAL " 53", "dns %s", v->def->name);
}

void compile_router(const struct s_vpc *v, struct program *p)
{
	static const enum reach_drop_number drops[] = {
		DROP_NO_ROUTE,
		DROP_BAD_STATE_ROUTE,
		DROP_UNKNOWN_DESTINATION,
		DROP_ENI_ADDRESS,
		DROP_SOURCE_DEST_CHECK,
		DROP_SG_EGRESS,
		DROP_SG_INGRESS,
		DROP_SG_NONE_EGRESS,
		DROP_SG_NONE_INGRESS,
		DROP_NO_POSSIBLE_DESTINATION,
		DROP_LINK_LOCAL_RATE,
		DROP_TRACKING_FULL_EGRESS,
		DROP_TRACKING_FULL_INGRESS,
	};
	struct emit f = { p, v->ns, "ip vpc" }, arp = { p, v->ns, "arp vpc" };
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	namespace_items(v, p);
	emit_table(&f);
	emit_set(&f, "eni_mark", "type ifname : mark;");
	emit_set(&f, "src_ok", "type ifname . ipv4_addr;");
	emit_set(&f, "src_any", "type ifname;");
	emit_set(&f, "src_mac", "type ether_addr . ifname;");
	emit_drop_sets(&f);
	compile_drop_chains(v, &f, drops, ARRAY_SIZE(drops));
	arp_guard(&arp, &b);
	for (i = 0; i < v->n_tables; i++)
		table_items(v, &v->tables[i], p);
	for (i = 0; i < v->n_enis; i++)
		eni_items(v->enis[i], &f, &arp);
	prerouting(v, &f, &b);
	lost(v, &f, &b);
	no_route(v, &f, &b);
	forward(v, &f, &b);
	resolver(v, &f, &b);
	output(v, &f, &b);
	igw_compile(v, compile_edge_mark(v), &f);
	compile_edge(v, &f, &b);
	compile_peerings(v, p);
	compile_groups(v, p);
	compile_acls(v, p);
	dns_sockets(v, p);
}
