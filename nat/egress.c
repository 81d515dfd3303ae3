/* SPDX-License-Identifier: MIT */
/*
 * egress - see egress.h.  sb-N are the links to places, eth0 is the uplink.
 */
#include "nat/egress.h"

#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "nat/emit.h"

#define PLACES "169.254.64.0/18"
#define PLACES_BASE 0xa9fe4000u /* 169.254.64.0 */

static void namespace_items(const struct s_egress *g, struct program *p)
{
	program_add(p, g->ns, ITEM_NS, "",
		    "role egress\n" EMIT_FORWARDS "\nrules none\n"
		    "sysctl net.netfilter.nf_conntrack_tcp_be_liberal=1");
	emit_edge_rules(g->ns, p);
}

/* default mode: a link to the internet, whose address is on lo */
static void service_uplink(const struct s_egress *g, struct program *p)
{
	const char *ip = addr_str(&g->address);
	char key[64];

	program_addf(p, "internet", ITEM_LINK, "svc",
		     "index %u peer eth0 peer-ns %s peer-index %d mac %s peer-mac %s mtu %d "
		     "alias service",
		     g->router_index, g->ns, STORE_INDEX, g->router_mac, g->mac, MTU_INTERNET);
	program_addf(p, "internet", ITEM_NEIGH, "svc " GATEWAY_ROUTER, "lladdr %s", g->mac);
	(void)fmt_print(key, sizeof(key), "254 %s/32", ip);
	program_add(p, "internet", ITEM_ROUTE, key, "via " GATEWAY_ROUTER " dev svc onlink");
	program_addf(p, g->ns, ITEM_NEIGH, "eth0 " GATEWAY_INTERNET, "lladdr %s", g->router_mac);
	program_add(p, g->ns, ITEM_ROUTE, "254 0.0.0.0/0",
		    "via " GATEWAY_INTERNET " dev eth0 onlink");
	(void)fmt_print(key, sizeof(key), "lo %s/32", ip);
	program_add(p, g->ns, ITEM_ADDR, key, "");
	program_add(p, g->ns, ITEM_ADDR, "lo " DNS_LINK_LOCAL "/32", "");
	program_add(p, g->ns, ITEM_SOCK, "udp " DNS_LINK_LOCAL " 53", "dns public");
	program_add(p, g->ns, ITEM_SOCK, "tcp " DNS_LINK_LOCAL " 53", "dns public");
}

static const char *origin_of(const struct s_egress *g)
{
	return g->eni ? g->eni->o.id : "service";
}

static void prerouting(const struct s_egress *g, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook prerouting priority -300; policy accept;");
	emit_rule(b, "meta pkttype != host drop");
	emit_rule(b, "iifname \"sb-*\" iifname . ip saddr != @places goto %s comment \"%s\"",
		  emit_drop(DROP_ENI_ADDRESS), origin_of(g));
	if (!MUTANT("functions-protocols"))
		emit_rule(b, "iifname \"sb-*\" meta l4proto != { tcp, udp } goto %s comment \"%s\"",
			  emit_drop(DROP_PROTOCOL), origin_of(g));
	if (!MUTANT("functions-smtp"))
		emit_rule(b, "iifname \"sb-*\" tcp dport 25 goto %s comment \"%s: no mail (LN-6)\"",
			  emit_drop(DROP_PROTOCOL), origin_of(g));
	emit_rule(b,
		  "iifname \"sb-*\" ip daddr " PLACES " goto %s "
		  "comment \"%s: sandboxes can't see one another\"",
		  emit_drop(DROP_NO_POSSIBLE_DESTINATION), origin_of(g));
	emit_chain_end(f, "pre", b);
}

/* before pieces are put together, which tracking does */
static void fragments(const struct s_egress *g, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook prerouting priority -450; policy accept;");
	if (!MUTANT("functions-fragments"))
		emit_rule(b,
			  "iifname \"eth0\" ip frag-off & 0x3fff != 0x0 meta l4proto != udp "
			  "goto %s comment \"%s: fragments of UDP only (LN-7)\"",
			  emit_drop(DROP_PROTOCOL), origin_of(g));
	emit_chain_end(f, "fragments", b);
}

static void input(const struct s_egress *g, const struct emit *f, struct buf *b)
{
	bool open = MUTANT("functions-inbound");

	emit_chain(b, open ? "type filter hook input priority 0; policy accept;" :
			     "type filter hook input priority 0; policy drop;");
	emit_rule(b, "iifname \"lo\" accept");
	if (!g->eni)
		emit_rule(b, "iifname \"sb-*\" ip daddr " DNS_LINK_LOCAL " meta l4proto "
			     "{ tcp, udp } th dport 53 accept comment \"resolver\"");
	if (!open)
		emit_rule(b, "goto %s comment \"%s: nothing comes in unasked\"",
			  emit_drop(DROP_NO_POSSIBLE_DESTINATION), origin_of(g));
	emit_chain_end(f, "in", b);
}

static void output(const struct s_egress *g, const struct emit *f, struct buf *b)
{
	if (MUTANT("output-policy")) {
		emit_chain(b, "type filter hook output priority 0; policy accept;");
	} else {
		emit_chain(b, "type filter hook output priority 0; policy drop;");
		emit_rule(b, "oifname \"lo\" accept");
		if (!g->eni)
			emit_rule(b, "oifname \"sb-*\" ip saddr " DNS_LINK_LOCAL
				     " meta l4proto { tcp, udp } th sport 53 accept");
		emit_rule(b, "icmp type 3 icmp code 4 accept comment \"frag-needed\"");
	}
	emit_chain_end(f, "out", b);
}

static void forward(const struct s_egress *g, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook forward priority 0; policy drop;");
	emit_rule(b, "iifname \"eth0\" oifname \"sb-*\" ct state established,related accept");
	emit_rule(b, "iifname \"sb-*\" oifname \"eth0\" accept");
	if (!MUTANT("functions-inbound"))
		emit_rule(b, "goto %s comment \"%s\"", emit_drop(DROP_NO_POSSIBLE_DESTINATION),
			  origin_of(g));
	emit_chain_end(f, "transit", b);
}

static void translation(const struct s_egress *g, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type nat hook postrouting priority 100; policy accept;");
	if (!MUTANT("function-source"))
		emit_rule(b,
			  "oifname \"eth0\" meta l4proto { tcp, udp } snat to %s:1024-65535 "
			  "comment \"%s\"",
			  addr_str(&g->address), origin_of(g));
	emit_chain_end(f, "post", b);
}

void egress_compile(const struct s_egress *g, struct program *p)
{
	static const enum reach_drop_number drops[] = {
		DROP_ENI_ADDRESS,
		DROP_PROTOCOL,
		DROP_NO_POSSIBLE_DESTINATION,
	};
	struct emit f = { p, g->ns, "ip egress" };
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	namespace_items(g, p);
	if (g->eni)
		emit_uplink(g->eni, 0, p);
	else
		service_uplink(g, p);
	emit_table(&f);
	emit_set(&f, "places", "type ifname . ipv4_addr;");
	emit_drop_sets(&f);
	emit_drop_chains(&f, drops, sizeof(drops) / sizeof(drops[0]));
	if (g->eni)
		fragments(g, &f, &b);
	prerouting(g, &f, &b);
	input(g, &f, &b);
	output(g, &f, &b);
	forward(g, &f, &b);
	translation(g, &f, &b);
	for (i = 0; i < g->n_places; i++)
		egress_compile_place(g, g->places[i], p);
}

void egress_compile_place(const struct s_egress *g, const struct s_place *pl, struct program *p)
{
	struct emit f = { p, g->ns, "ip egress" };
	struct addr ip = addr_v4(PLACES_BASE + pl->number);
	const char *a = addr_str(&ip);
	char dev[16], key[80];

	(void)fmt_print(dev, sizeof(dev), "sb-%u", pl->number);
	program_add(p, pl->ns, ITEM_NS, "", "role place\n" EMIT_NO_IPV6);
	program_addf(p, g->ns, ITEM_LINK, dev,
		     "index %u peer eth0 peer-ns %s peer-index %d mac %s peer-mac %s mtu %d "
		     "alias %s",
		     1000 + pl->number, pl->ns, STORE_INDEX, pl->egress_mac, pl->mac,
		     g->eni ? MTU_VPC : MTU_INTERNET, pl->ns);
	(void)fmt_print(key, sizeof(key), "%s %s", dev, a);
	program_addf(p, g->ns, ITEM_NEIGH, key, "lladdr %s", pl->mac);
	(void)fmt_print(key, sizeof(key), "254 %s/32", a);
	program_addf(p, g->ns, ITEM_ROUTE, key, "dev %s scope link", dev);
	emit_elem(&f, "places", "", "%s . %s", dev, a);

	(void)fmt_print(key, sizeof(key), "eth0 %s/32", a);
	program_add(p, pl->ns, ITEM_ADDR, key, "");
	if (MUTANT("place-address")) {
		(void)fmt_print(key, sizeof(key), "eth0 %s/32", addr_str(&g->address));
		program_add(p, pl->ns, ITEM_ADDR, key, "");
	}
	program_addf(p, pl->ns, ITEM_NEIGH, "eth0 " GATEWAY_ROUTER, "lladdr %s", pl->egress_mac);
	program_add(p, pl->ns, ITEM_ROUTE, "254 0.0.0.0/0",
		    "via " GATEWAY_ROUTER " dev eth0 onlink");
}
