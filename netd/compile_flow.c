/* SPDX-License-Identifier: MIT */
/*
 * compile_flow - what a router counts for flow logs: a set with a counter for each
 * flow of an interface that is logged, written where the verdict of groups and list
 * is known.  Nothing on a packet's way waits for anybody (FL-12): netd reads the set
 * now and then, while another one is written (flow_kind.h).
 *
 *	flow_out	forward -14	left its interface, groups and list agreed
 *	flow_in		forward 20	enters its interface, list and groups agreed
 *	flow_lost	prerouting	as flow_out, of what has no route
 *	flow_rej_*	from the chains of drops, where a group or a list refused
 *
 * flow_accept and flow_reject hold the interfaces that some log wants to know that of,
 * so that others pay for one look-up, and a VPC without logs for nothing.
 *
 * An element's key: TCP flags, what happened (flow_kind.h), interface, addresses,
 * protocol, ports.  Packets without FIN, SYN and RST share one element, whatever else
 * they carry (FL-8); what has no ports has zeros (FL-13).  Elements that are idle go
 * by themselves, long after they ought to have been read.
 */
#include <stdlib.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "nat/emit.h"
#include "netd/compile.h"
#include "netd/flow_kind.h"

#define LINK_LOCAL "169.254.169.0/24" /* services' addresses, FL-11 */

static unsigned set_size(void)
{
#ifdef VPCLAB_TESTING
	const char *s = getenv("VPCLAB_FLOW_SET_SIZE"); /* a test fills it */

	if (s)
		return (unsigned)strtoul(s, NULL, 10);
#endif
	return FLOW_SET_SIZE;
}

#define FLOW_HEAD "ip saddr . ip daddr . meta l4proto"

static void count_ports(const char *set, enum flow_kind kind, const char *link, const char *match,
			const char *flags, struct buf *b)
{
	emit_rule(b,
		  "%s update @%s { %s . 0x%02x . %s . " FLOW_HEAD
		  " . th ports timeout %ds counter } return",
		  match, set, flags, kind, link, FLOW_IDLE_S);
}

/* a flow's element, whatever its protocol; the last rule is reached when the set is
 * full, so that the log says that something is missing (FL-10) */
static void count_into(enum flow_kind kind, unsigned set, struct buf *b)
{
	const char *link = flow_kind_is_egress(kind) ? "iifname" : "oifname";
	char name[24];

	(void)fmt_print(name, sizeof(name), FLOW_SETS, set);
	/* datagrams first: they pay a rule of two comparisons less, streams one more */
	count_ports(name, kind, link, "meta l4proto udp", "0x0", b);
	if (!MUTANT("flow-tcp-flags"))
		count_ports(name, kind, link, "tcp flags fin,syn,rst", "tcp flags", b);
	count_ports(name, kind, link, "meta l4proto tcp", "0x0", b);
	emit_rule(b,
		  "meta l4proto != { tcp, udp } update @%s { 0x0 . 0x%02x . %s . " FLOW_HEAD
		  " . %s timeout %ds counter } return",
		  name, kind, link, MUTANT("flow-icmp-ports") ? "th ports" : "0x0", FLOW_IDLE_S);
	(void)fmt_print(name, sizeof(name), FLOW_SKIPS, set);
	emit_rule(b, "update @%s { %s counter }", name, link);
}

static void count(const struct emit *f, enum flow_kind kind, const char *chain, struct buf *b)
{
	char second[40];

	(void)fmt_print(second, sizeof(second), "%s_second", chain);
	emit_chain(b, "");
	emit_rule(b, "meta nfproto @" FLOW_SECOND " goto %s", second);
	count_into(kind, 1, b);
	emit_chain_end(f, chain, b);
	emit_chain(b, "");
	count_into(kind, 2, b);
	emit_chain_end(f, second, b);
}

/* by which way an egress packet goes: FL-9's traffic-path.  What was accepted for another
 * interface didn't get here (gates). */
static void ways(const struct emit *f, bool reject, const char *chain, struct buf *b)
{
	const char *s = reject ? "rej" : "acc";

	emit_chain(b, "");
	if (reject)
		emit_rule(b, "oifname \"eni-*\" goto flow_%s_vpc", s);
	emit_rule(b, "oifname \"igw\" goto flow_%s_igw", s);
	emit_rule(b, "oifname \"pcx-*\" goto flow_%s_pcx", s);
	emit_rule(b, "goto flow_%s_lost", s);
	emit_chain_end(f, chain, b);
}

static void counters(const struct emit *f, struct buf *b)
{
	static const struct {
		enum flow_kind kind;
		const char *chain;
	} all[] = {
		{ FLOW_KIND_IN, "flow_acc_in" },
		{ FLOW_KIND_IN_REJECT, "flow_rej_in" },
		{ FLOW_KIND_OUT_VPC, "flow_acc_vpc" },
		{ FLOW_KIND_OUT_IGW, "flow_acc_igw" },
		{ FLOW_KIND_OUT_PEERING, "flow_acc_pcx" },
		{ FLOW_KIND_OUT_LOST, "flow_acc_lost" },
		{ FLOW_KIND_OUT_VPC_REJECT, "flow_rej_vpc" },
		{ FLOW_KIND_OUT_IGW_REJECT, "flow_rej_igw" },
		{ FLOW_KIND_OUT_PEERING_REJECT, "flow_rej_pcx" },
		{ FLOW_KIND_OUT_LOST_REJECT, "flow_rej_lost" },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		count(f, all[i].kind, all[i].chain, b);
	ways(f, false, "flow_acc_out", b);
	ways(f, true, "flow_rej_out", b);
}

/* does some log want to know of what is accepted at every interface? */
static bool all_logged(const struct s_vpc *v)
{
	size_t i;

	for (i = 0; i < v->n_flow_logs; i++)
		if (v->flow_logs[i].def->kind == FLOW_OF_VPC &&
		    v->flow_logs[i].def->traffic_type != FLOW_REJECT)
			return true;
	return false;
}

/* Most packets go from interface to interface, and are looked at once for that.
 * Comparisons cost a packet less than sets: where every interface is logged, and since
 * of what flow_never has only link-local addresses get as far as this (routers' are the
 * router's own), and none of them to an interface. */
static void gates(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	const char *never = MUTANT("flow-never") ? "" : "ip daddr != " LINK_LOCAL " ";
	const char *of = all_logged(v) ? "\"eni-*\"" : "@flow_accept";

	emit_chain(b, "type filter hook forward priority -14; policy accept;");
	if (!MUTANT("flow-egress")) {
		emit_rule(b, "iifname %s oifname \"eni-*\" goto flow_acc_vpc", of);
		emit_rule(b, "iifname %s %sgoto flow_acc_out", of, never);
	}
	emit_chain_end(f, "flow_out", b);
	emit_chain(b, MUTANT("flow-before-groups") ?
			      "type filter hook forward priority -6; policy accept;" :
			      "type filter hook forward priority 20; policy accept;");
	if (!MUTANT("flow-ingress"))
		emit_rule(b, "oifname %s goto flow_acc_in", of);
	emit_chain_end(f, "flow_in", b);
}

/* FL-11: the time server, Windows licences, the resolver, instance metadata; and the
 * subnets' routers */
static void never_logged(const struct s_vpc *v, const struct emit *f)
{
	static const char *const link_local[] = { "169.254.169.123", "169.254.169.250",
						  "169.254.169.251", "169.254.169.253",
						  "169.254.169.254" };
	size_t i;

	emit_set(f, "flow_never", "type ipv4_addr;");
	if (MUTANT("flow-never"))
		return;
	for (i = 0; i < sizeof(link_local) / sizeof(link_local[0]); i++)
		emit_elem(f, "flow_never", "", "%s", link_local[i]);
	for (i = 0; i < v->n_subnets; i++)
		emit_elem(f, "flow_never", "", "%s", addr_str(&v->subnets[i].router));
}

/* the interfaces that some log is about, by what it wants to know */
static void logged(const struct store *s, const struct s_vpc *v, const struct emit *f)
{
	size_t i, k;

	emit_set(f, "flow_accept", "type ifname;");
	emit_set(f, "flow_reject", "type ifname;");
	for (i = 0; i < v->n_enis; i++)
		for (k = 0; k < v->n_flow_logs; k++) {
			const struct s_flow_log *l = &v->flow_logs[k];

			if (!store_flow_log_covers(s, l, v->enis[i]))
				continue;
			if (l->def->traffic_type != FLOW_REJECT)
				emit_elem(f, "flow_accept", "", "%s", v->enis[i]->router_interface);
			if (l->def->traffic_type != FLOW_ACCEPT)
				emit_elem(f, "flow_reject", "", "%s", v->enis[i]->router_interface);
		}
}

void compile_flows(const struct store *s, const struct s_vpc *v, struct program *p)
{
	struct emit f = { p, v->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;
	char spec[160], name[24];
	unsigned i;

	if (!v->n_flow_logs && !MUTANT("flow-no-logs"))
		return;
	(void)fmt_print(
		spec, sizeof(spec),
		"type tcp_flag . mark . ifname . ipv4_addr . ipv4_addr . inet_proto . mark; "
		"flags dynamic,timeout; size %u; counter;",
		set_size());
	emit_set(&f, FLOW_SECOND, "type nf_proto;");
	for (i = 1; i <= 2; i++) {
		(void)fmt_print(name, sizeof(name), FLOW_SETS, i);
		emit_set(&f, name, spec);
		(void)fmt_print(name, sizeof(name), FLOW_SKIPS, i);
		emit_set(&f, name, "type ifname; flags dynamic; size 65536; counter;");
	}
	never_logged(v, &f);
	logged(s, v, &f);
	counters(&f, &b);
	gates(v, &f, &b);
}

/* FL-5: a group's or a list's refusal is a REJECT, whatever else drops a packet isn't */
static const char *reject_chain(const struct s_vpc *v, enum reach_drop_number n)
{
	if (!v->n_flow_logs || MUTANT("flow-reject"))
		return NULL;
	switch (n) {
	case DROP_SG_EGRESS:
	case DROP_SG_NONE_EGRESS:
	case DROP_ACL_EGRESS:
		return "iifname @flow_reject ip daddr != @flow_never jump flow_rej_out";
	case DROP_SG_INGRESS:
	case DROP_SG_NONE_INGRESS:
	case DROP_ACL_INGRESS:
		return "oifname @flow_reject jump flow_rej_in";
	default:
		return NULL;
	}
}

void compile_drop_chains(const struct s_vpc *v, const struct emit *f,
			 const enum reach_drop_number *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		emit_drop_chain(f, numbers[i], reject_chain(v, numbers[i]));
}
