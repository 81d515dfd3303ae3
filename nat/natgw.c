/* SPDX-License-Identifier: MIT */
/*
 * natgw - see natgw.h.  Packets of the inside come in by eth0, are forwarded and
 * leave by eth0; answers are translated back before the route is looked up.
 * What isn't an answer has the gateway's own address and ends in the input hook.
 */
#include "nat/natgw.h"

#include "lib/mutant.h"
#include "nat/emit.h"

#define FRAG_NEEDED "icmp type 3 icmp code 4 accept"
#define TIME_EXCEEDED "icmp type 11 accept"

static void namespace_item(const struct store *s, const struct s_nat *n, struct program *p)
{
	double scaled = n->def->idle_timeout / s->lab->time_scale;
	unsigned idle = scaled < 1 ? 1 : (unsigned)scaled;

	/* loose 0: a packet in the middle of a forgotten connection is invalid, and
	 * so gets its RST, instead of starting the connection anew (NAT-5) */
	program_addf(p, n->ns, ITEM_NS, "",
		     "role nat_gateway\n" EMIT_FORWARDS "\nrules none\n"
		     "sysctl net.netfilter.nf_conntrack_tcp_loose=0\n"
		     "sysctl net.netfilter.nf_conntrack_tcp_be_liberal=1\n"
		     "sysctl net.netfilter.nf_conntrack_tcp_timeout_established=%u\n"
		     "sysctl net.netfilter.nf_conntrack_udp_timeout=%u\n"
		     "sysctl net.netfilter.nf_conntrack_udp_timeout_stream=%u",
		     idle, idle, idle);
	emit_edge_rules(n->ns, p);
}

static void input(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook input priority 0; policy drop;");
	emit_rule(b, "iifname \"lo\" accept");
	emit_rule(b, "goto %s comment \"%s: nothing comes in unasked\"",
		  emit_drop(DROP_NO_POSSIBLE_DESTINATION), n->o.id);
	emit_chain_end(f, "in", b);
}

static void output(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	if (MUTANT("output-policy")) {
		emit_chain(b, "type filter hook output priority 0; policy accept;");
	} else {
		emit_chain(b, "type filter hook output priority 0; policy drop;");
		emit_rule(b, "tcp flags & 0x4 0x4 accept comment \"%s: idle too long\"", n->o.id);
		emit_rule(b, FRAG_NEEDED);
		emit_rule(b, TIME_EXCEEDED);
	}
	emit_chain_end(f, "out", b);
}

static void forward(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook forward priority 0; policy drop;");
	emit_rule(b, "ct state established,related accept");
	emit_rule(b, "ct state invalid tcp flags & 0x4 != 0x4 reject with tcp reset");
	emit_rule(b, "ct state invalid drop");
	emit_rule(b, "meta l4proto != { tcp, udp, icmp } goto %s comment \"%s\"",
		  emit_drop(DROP_PROTOCOL), n->o.id);
	emit_rule(b,
		  "meta l4proto { tcp, udp } add @connections { ip daddr . meta l4proto . "
		  "th dport ct count over %u } goto %s comment \"%s\"",
		  n->def->max_connections_per_destination, emit_drop(DROP_PORT_ALLOCATION),
		  n->o.id);
	emit_rule(b, "accept");
	emit_chain_end(f, "transit", b);
}

static void translation(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	const char *ip = addr_str(&n->eni->private_ips[0]);

	emit_chain(b, "type nat hook postrouting priority 100; policy accept;");
	if (!MUTANT("nat-source")) {
		emit_rule(b,
			  "oifname \"eth0\" meta l4proto { tcp, udp } snat to %s:1024-65535 "
			  "comment \"%s\"",
			  ip, n->o.id);
		emit_rule(b, "oifname \"eth0\" meta l4proto icmp snat to %s comment \"%s\"", ip,
			  n->o.id);
	}
	emit_chain_end(f, "post", b);
}

void natgw_compile(const struct store *s, const struct s_nat *n, struct program *p)
{
	static const enum reach_drop_number drops[] = {
		DROP_NO_POSSIBLE_DESTINATION,
		DROP_PROTOCOL,
		DROP_PORT_ALLOCATION,
	};
	struct emit f = { p, n->ns, "ip natgw" };
	auto_buf struct buf b = BUF_INIT;

	if (!n->eni)
		return;
	namespace_item(s, n, p);
	emit_uplink(n->eni, p);
	emit_table(&f);
	emit_set(&f, "connections",
		 "type ipv4_addr . inet_proto . inet_service; flags dynamic; "
		 "size 65535;");
	emit_drop_sets(&f);
	emit_drop_chains(&f, drops, sizeof(drops) / sizeof(drops[0]));
	input(n, &f, &b);
	output(n, &f, &b);
	forward(n, &f, &b);
	translation(n, &f, &b);
}
