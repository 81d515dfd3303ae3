/* SPDX-License-Identifier: MIT */
/*
 * natgw - see natgw.h.  Packets of the inside come in by eth0, are forwarded and
 * leave by eth0; answers are translated back before the route is looked up.
 * What isn't an answer has the gateway's own address and ends in the input hook.
 *
 *	arriving	prerouting, before defragmentation: counts (natmetrics.h)
 *	fragments	the same: of UDP only
 *	clamp		forward: what a SYN says of its sender's segments
 *	transit		forward: established, RST for what was forgotten, protocols,
 *			sources, and the limit a destination
 *	post		source translation
 *	leaving		counts
 */
#include "nat/natgw.h"

#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "nat/emit.h"
#include "nat/natmetrics.h"

#define FRAG_NEEDED "icmp type 3 icmp code 4 accept"
#define TIME_EXCEEDED "icmp type 11 accept"
#define MTU_NAT 8500
#define MSS_NAT (MTU_NAT - 40)

/* s that tracking keeps a connection in a state; "whole": for as long as it may be
 * idle, else the kernel's own time, unless that is longer (0: whole) */
static const struct {
	const char *state;
	unsigned kernel;
} timers[] = {
	{ "tcp_timeout_established", 0 },
	{ "tcp_timeout_fin_wait", 0 },
	{ "tcp_timeout_close_wait", 0 },
	{ "tcp_timeout_max_retrans", 0 },
	{ "tcp_timeout_unacknowledged", 0 },
	{ "tcp_timeout_syn_sent", 120 },
	{ "tcp_timeout_syn_recv", 60 },
	{ "tcp_timeout_last_ack", 30 },
	{ "tcp_timeout_time_wait", 120 },
	{ "tcp_timeout_close", 10 },
	{ "udp_timeout", 0 },
	{ "udp_timeout_stream", 0 },
	{ "icmp_timeout", 0 },
};

static void namespace_item(const struct store *s, const struct s_nat *n, struct program *p)
{
	double scaled = n->def->idle_timeout / s->lab->time_scale;
	unsigned idle = scaled < 1 ? 1 : (unsigned)scaled;
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	if (MUTANT("nat-idle"))
		idle = 350;
	/* loose 0: a packet in the middle of a forgotten connection is invalid, and
	 * so gets its RST, instead of starting the connection anew (NAT-5) */
	buf_adds(&b, "role nat_gateway\n" EMIT_FORWARDS "\nrules none\n"
		     "sysctl net.netfilter.nf_conntrack_tcp_loose=0\n"
		     "sysctl net.netfilter.nf_conntrack_tcp_be_liberal=1");
	for (i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		unsigned t = timers[i].kernel && timers[i].kernel < idle ? timers[i].kernel : idle;

		buf_printf(&b, "\nsysctl net.netfilter.nf_conntrack_%s=%u", timers[i].state, t);
	}
	if (buf_error(&b))
		p->failed = true;
	program_add(p, n->ns, ITEM_NS, "", buf_str(&b));
	emit_edge_rules(n->ns, p);
}

/* a list, as nft(8) writes it */
static void input(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	if (MUTANT("nat-unasked")) {
		emit_chain(b, "type filter hook input priority 0; policy accept;");
		emit_chain_end(f, "in", b);
		return;
	}
	emit_chain(b, "type filter hook input priority 0; policy drop;");
	emit_rule(b, "iifname \"lo\" accept");
	emit_rule(b, "goto %s comment \"%s: nothing comes in unasked\"",
		  emit_drop(DROP_NO_POSSIBLE_DESTINATION), n->o.id);
	emit_chain_end(f, "in", b);
}

static void output(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	if (MUTANT("output-policy") || MUTANT("nat-unasked")) {
		emit_chain(b, "type filter hook output priority 0; policy accept;");
	} else {
		emit_chain(b, "type filter hook output priority 0; policy drop;");
		emit_rule(b, "tcp flags & 0x4 0x4 accept comment \"%s: idle too long\"", n->o.id);
		emit_rule(b, FRAG_NEEDED);
		if (!MUTANT("nat-hop"))
			emit_rule(b, TIME_EXCEEDED);
	}
	emit_chain_end(f, "out", b);
}

static void fragments(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook prerouting priority -450; policy accept;");
	if (!MUTANT("nat-fragments"))
		emit_rule(b,
			  "ip frag-off & 0x3fff != 0x0 meta l4proto != udp goto %s "
			  "comment \"%s: fragments of UDP only\"",
			  emit_drop(DROP_PROTOCOL), n->o.id);
	emit_chain_end(f, "fragments", b);

	emit_chain(b, "type filter hook forward priority -150; policy accept;");
	if (!MUTANT("nat-mss"))
		emit_rule(b,
			  "meta l4proto tcp tcp flags & 0x2 0x2 tcp option maxseg size set %d "
			  "comment \"%s\"",
			  MSS_NAT, n->o.id);
	emit_chain_end(f, "clamp", b);
}

static void sources(const struct s_nat *n, struct buf *b)
{
	const struct vpc *v = n->vpc->def;
	auto_buf struct buf list = BUF_INIT;
	size_t i;

	emit_list_add(&list, prefix_str(&v->cidr_block));
	for (i = 0; i < v->n_secondary_cidr_blocks && !MUTANT("cells-nat-blocks"); i++)
		emit_list_add(&list, prefix_str(&v->secondary_cidr_blocks[i]));
	emit_rule(b, "ip saddr != %s goto %s comment \"%s: not of %s\"", emit_list_end(&list),
		  emit_drop(DROP_NGW_SOURCE), n->o.id, n->vpc->o.id);
	if (buf_error(&list))
		b->failed = true;
}

/* what a further address is called in names of sets: where it stands in its subnet, so that
 * it stays when others come and go */
static unsigned number_of(const struct s_nat *n, size_t i)
{
	struct addr base = prefix_first(&n->eni->subnet->def->cidr_block);

	return addr_to_v4(&n->eni->private_ips[i]) - addr_to_v4(&base);
}

/*
 * The number of connections is an element's of a set that goes by the limit: what an
 * element counts with is fixed when it is made.  Not "over N ... drop": an element that
 * finds no room must not let its connection pass.
 *
 * Each address has sets of its own, the first one's without a number: they outlive changes
 * of the others.
 */
static void limit_sets(const struct s_nat *n, size_t i, const struct emit *f, char ports[60],
		       char pings[60])
{
	unsigned max = n->def->max_connections_per_destination;
	char number[16] = "";

	if (i)
		(void)fmt_print(number, sizeof(number), "_at_%u", number_of(n, i));
	(void)fmt_print(ports, 60, "connections_%u%s", max, number);
	(void)fmt_print(pings, 60, "pings_%u%s", max, number);
	emit_set(f, ports,
		 "type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535;");
	emit_set(f, pings, "type ipv4_addr; flags dynamic; size 65535;");
}

static void limit_rules(const struct s_nat *n, const char *ports, const char *pings, struct buf *b)
{
	unsigned max = n->def->max_connections_per_destination;

	if (MUTANT("nat-limit")) {
		emit_rule(b, "accept");
		return;
	}
	emit_rule(b,
		  "meta l4proto { tcp, udp } add @%s { ip daddr . meta l4proto . th dport "
		  "ct count %u } accept",
		  ports, max);
	emit_rule(b, "meta l4proto icmp add @%s { ip daddr ct count %u } accept", pings, max);
}

/* a chain that accepts what finds room at the address, and returns else */
static void address_chain(const struct s_nat *n, size_t i, const struct emit *f)
{
	auto_buf struct buf b = BUF_INIT;
	char ports[60], pings[60], name[24];

	limit_sets(n, i, f, ports, pings);
	emit_chain(&b, "");
	limit_rules(n, ports, pings, &b);
	(void)fmt_print(name, sizeof(name), "at_%u", number_of(n, i));
	emit_chain_end(f, name, &b);
}

/* marks: whose turn it was, for translation to know */
#define TURN_BASE 0x10000

/* New connections take the addresses in turn.  One whose turn finds no room is dropped, also
 * when another address has some: the kernel counts by adding, so that a connection that went
 * on to the next address would be in this one's list for as long as it lives, and be counted
 * twice.  What is sent again has another turn.  What has begun has its address, and is counted
 * there. */
static void addresses(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	size_t n_ips = MUTANT("nat-secondary") ? 1 : n->eni->n_private_ips, i;

	if (!MUTANT("nat-begun"))
		emit_rule(b, "ct status & 0x8 0x8 accept");
	if (!MUTANT("nat-turns")) {
		emit_rule(b, "meta mark set numgen inc mod %zu offset %u", n_ips, TURN_BASE);
		for (i = 0; i < n_ips; i++)
			emit_rule(b, "meta mark 0x%zx jump at_%u", TURN_BASE + i, number_of(n, i));
	}
	for (i = 0; i < n->eni->n_private_ips; i++)
		address_chain(n, i, f);
}

static void limit(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	char ports[60], pings[60];

	if (n->eni->n_private_ips > 1) {
		addresses(n, f, b);
	} else {
		limit_sets(n, 0, f, ports, pings);
		limit_rules(n, ports, pings, b);
	}
	if (!MUTANT("nat-limit"))
		emit_rule(b, "goto %s comment \"%s\"", emit_drop(DROP_PORT_ALLOCATION), n->o.id);
}

static void forward(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type filter hook forward priority 0; policy drop;");
	if (!MUTANT("nat-protocols"))
		emit_rule(b, "meta l4proto != { tcp, udp, icmp } goto %s comment \"%s\"",
			  emit_drop(DROP_PROTOCOL), n->o.id);
	natmetrics_connections(b);
	emit_rule(b, "ct state established,related accept");
	/* before the RST, which is for those that it works for */
	if (!MUTANT("nat-sources"))
		sources(n, b);
	if (!MUTANT("nat-reset"))
		emit_rule(b, "ct state invalid tcp flags & 0x4 != 0x4 reject with tcp reset");
	emit_rule(b, "ct state invalid %s drop", natmetrics_count(NATMETRIC_INVALID));
	emit_rule(b, "ct status & 0x8 0x0 %s", natmetrics_count(NATMETRIC_ATTEMPT));
	limit(n, f, b);
	emit_chain_end(f, "transit", b);
}

static void translate_to(const struct s_nat *n, size_t i, struct buf *b)
{
	const char *ip = addr_str(&n->eni->private_ips[i]);
	char mark[32] = "";

	if (n->eni->n_private_ips > 1)
		(void)fmt_print(mark, sizeof(mark), "meta mark 0x%zx ", TURN_BASE + i);
	emit_rule(b,
		  "oifname \"eth0\" %smeta l4proto { tcp, udp } snat to %s%s "
		  "comment \"%s\"",
		  mark, ip, MUTANT("nat-ports") ? "" : ":1024-65535", n->o.id);
	emit_rule(b, "oifname \"eth0\" %smeta l4proto icmp snat to %s comment \"%s\"", mark, ip,
		  n->o.id);
}

static void translation(const struct s_nat *n, const struct emit *f, struct buf *b)
{
	size_t i;

	emit_chain(b, "type nat hook postrouting priority 100; policy accept;");
	for (i = 0; i < n->eni->n_private_ips && !MUTANT("nat-source"); i++)
		translate_to(n, i, b);
	emit_chain_end(f, "post", b);
}

void natgw_compile(const struct store *s, const struct s_nat *n, struct program *p)
{
	static const enum reach_drop_number drops[] = {
		DROP_NO_POSSIBLE_DESTINATION,
		DROP_PROTOCOL,
		DROP_PORT_ALLOCATION,
		DROP_NGW_SOURCE,
	};
	struct emit f = { p, n->ns, "ip natgw" };
	auto_buf struct buf b = BUF_INIT, own = BUF_INIT;
	size_t i;

	if (!n->eni)
		return;
	namespace_item(s, n, p);
	emit_uplink(n->eni, MUTANT("nat-mtu") ? 0 : MTU_NAT, p);
	emit_table(&f);
	emit_drop_sets(&f);
	emit_drop_chains(&f, drops, sizeof(drops) / sizeof(drops[0]));
	for (i = 0; i < n->eni->n_private_ips; i++)
		emit_list_add(&own, addr_str(&n->eni->private_ips[i]));
	natmetrics_compile(&f, emit_list_end(&own), &b);
	if (buf_error(&own))
		p->failed = true;
	input(n, &f, &b);
	output(n, &f, &b);
	fragments(n, &f, &b);
	forward(n, &f, &b);
	translation(n, &f, &b);
}
