/* SPDX-License-Identifier: MIT */
/*
 * compile_idle - see compile_idle.h.
 */
#include "netd/compile_idle.h"

#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"

/* labels that say that a flow has an element: of its sender, its receiver, of whom has
 * a slot.  They lie behind those of the last slot */
enum { LABEL_SENDS = 2 * (STORE_SLOTS_MAX + 1), LABEL_RECEIVES, LABEL_SLOT };
_Static_assert(LABEL_SLOT < 128, "the kernel has 128 labels");

/* flows that a set has the times of: what needs one more is dropped (CT-8) */
#define FLOWS_MAX 131072
#define NOT_ASSURED "ct status & 0x4 0x0"
#define TWO_EXCHANGES "ct original packets > 1 ct reply packets > 1"

unsigned idle_scaled(const struct s_vpc *v, unsigned aws)
{
	double scaled = aws / v->time_scale;

	return MUTANT("idle-times") ? 7200 : scaled < 1 ? 1 : (unsigned)scaled;
}

/*
 * Half-open and closing TCP has the kernel's times: AWS tells none but that they are
 * much sooner.  What waits for an acknowledgement is established for AWS, and the kernel
 * would have it end after 300 s.
 */
void idle_sysctls(const struct s_vpc *v, struct buf *b)
{
	static const struct {
		const char *timer;
		unsigned aws;
	} timers[] = {
		{ "tcp_timeout_established", STORE_TCP_ESTABLISHED },
		{ "tcp_timeout_max_retrans", STORE_TCP_ESTABLISHED },
		{ "tcp_timeout_unacknowledged", STORE_TCP_ESTABLISHED },
		{ "tcp_timeout_syn_sent", 120 },
		{ "tcp_timeout_syn_recv", 60 },
		{ "tcp_timeout_fin_wait", 120 },
		{ "tcp_timeout_close_wait", 60 },
		{ "tcp_timeout_last_ack", 30 },
		{ "tcp_timeout_time_wait", 120 },
		{ "tcp_timeout_close", 10 },
		{ "udp_timeout", STORE_UDP_STREAM },
		{ "udp_timeout_stream", STORE_UDP_STREAM },
		{ "icmp_timeout", 30 },
		{ "generic_timeout", 600 },
	};
	size_t i;

	/* counts packets, which is how exchanges are told */
	buf_adds(b, "sysctl net.netfilter.nf_conntrack_acct=1");
	for (i = 0; i < ARRAY_SIZE(timers); i++) {
		bool sooner = timers[i].aws < 300 && !strncmp(timers[i].timer, "tcp", 3);

		buf_printf(b, "\nsysctl net.netfilter.nf_conntrack_%s=%u", timers[i].timer,
			   sooner && MUTANT("idle-half-open") ? 7200 :
								idle_scaled(v, timers[i].aws));
	}
}

/* ---- names ---- */

static bool has_own_times(const struct s_combination *c)
{
	if (MUTANT("idle-interface") || (c->slot && MUTANT("idle-middlebox")))
		return false;
	return !s_idle_equal(&c->idle, &store_idle_default);
}

static const char *key(bool answer)
{
	return answer ? "ip daddr . ip saddr . meta l4proto . th dport . th sport" :
			"ip saddr . ip daddr . meta l4proto . th sport . th dport";
}

static void set_name(const struct s_combination *c, bool sends, char ret[IDLE_CHAIN])
{
	if (c->slot)
		(void)fmt_print(ret, IDLE_CHAIN, "slot%u", c->slot);
	else
		(void)fmt_print(ret, IDLE_CHAIN, "%s", sends ? "sends" : "receives");
}

static unsigned own_label(const struct s_combination *c, bool sends)
{
	return c->slot ? LABEL_SLOT : sends ? LABEL_SENDS : LABEL_RECEIVES;
}

void idle_chain(const struct s_combination *c, bool sends, bool answer, char ret[IDLE_CHAIN])
{
	const struct s_idle *t = &c->idle;
	char set[IDLE_CHAIN];

	set_name(c, sends, set);
	if (has_own_times(c))
		(void)fmt_print(ret, IDLE_CHAIN, "%s_%s_%u_%u_%u", set,
				answer ? "answer" : "question", t->tcp_established, t->udp_stream,
				t->udp);
	else
		(void)fmt_print(ret, IDLE_CHAIN, "%s_%s", set, answer ? "answer" : "question");
}

/* ---- chains ---- */

struct memory {
	const struct s_vpc *v;
	const struct s_combination *c;
	bool sends, answer;
	char set[IDLE_CHAIN];
};

static void renew(const struct memory *m, const char *match, unsigned aws, const char *then,
		  struct buf *b)
{
	emit_rule(b, "%supdate @%s { %s timeout %us }%s", match, m->set, key(m->answer),
		  idle_scaled(m->v, aws), then);
}

/* whoever is there has a time that the packet begins anew */
static void own_again(const struct memory *m, struct buf *b)
{
	const struct s_idle *t = &m->c->idle;

	renew(m, "meta l4proto tcp ", t->tcp_established, " accept", b);
	if (!MUTANT("idle-stream"))
		renew(m, TWO_EXCHANGES " ", t->udp_stream, " accept", b);
	renew(m, "", t->udp, " accept", b);
}

static void own_times(const struct memory *m, const char *again, struct buf *b)
{
	unsigned label = own_label(m->c, m->sends);

	emit_rule(b, "meta l4proto != { tcp, udp } accept");
	emit_rule(b, "%s @%s goto %s", key(m->answer), m->set, again);
	emit_rule(b, "meta l4proto tcp " NOT_ASSURED " goto %s", again);
	if (MUTANT("idle-before"))
		return;
	emit_rule(b, "ct label %u return", label);
	emit_rule(b, "ct label set %u", label);
	emit_rule(b, "goto %s", again);
}

/* two exchanges live by the kernel's timer: an element is of no use any more, but for
 * the packet that is the second answer, which had one */
static void default_times(const struct memory *m, const char *again, struct buf *b)
{
	emit_rule(b, "meta l4proto != udp accept");
	emit_rule(b, "%s @%s goto %s", key(m->answer), m->set, again);
	if (!MUTANT("idle-stream"))
		emit_rule(b, "ct original packets > %u ct reply packets > %u accept",
			  m->answer ? 1 : 2, m->answer ? 2 : 1);
}

static void default_again(const struct memory *m, struct buf *b)
{
	if (!MUTANT("idle-stream"))
		emit_rule(b, TWO_EXCHANGES " accept");
	renew(m, "", m->c->idle.udp, " accept", b);
}

static void memory_chains(const struct s_vpc *v, const struct s_combination *c, bool sends,
			  bool answer, const struct emit *f, struct buf *b)
{
	struct memory m = { .v = v, .c = c, .sends = sends, .answer = answer };
	char name[IDLE_CHAIN], again[IDLE_CHAIN + 8];

	set_name(c, sends, m.set);
	idle_chain(c, sends, answer, name);
	(void)fmt_print(again, sizeof(again), "%s_again", name);
	emit_chain(b, "");
	if (has_own_times(c))
		own_times(&m, again, b);
	else
		default_times(&m, again, b);
	emit_chain_end(f, name, b);
	emit_chain(b, "");
	if (has_own_times(c))
		own_again(&m, b);
	else
		default_again(&m, b);
	emit_chain_end(f, again, b);
}

/* of one protocol; what finds the set full breaks off its rule, and meets the next */
static void begin(const struct memory *m, const char *protocol, unsigned aws, struct buf *b)
{
	bool ingress = m->sends == m->answer;
	char match[64];

	(void)fmt_print(match, sizeof(match), "meta l4proto %s ct direction %s ", protocol,
			m->answer ? "reply" : "original");
	renew(m, match, aws, " return", b);
	if (!MUTANT("tracking-full"))
		emit_rule(b, "%sgoto %s", match,
			  emit_drop(ingress ? DROP_TRACKING_FULL_INGRESS :
					      DROP_TRACKING_FULL_EGRESS));
}

void idle_begin(const struct s_vpc *v, const struct s_combination *c, bool sends, bool answer,
		struct buf *b)
{
	struct memory m = { .v = v, .c = c, .sends = sends, .answer = answer };

	set_name(c, sends, m.set);
	if (has_own_times(c)) {
		emit_rule(b, "ct direction %s ct label set %u", answer ? "reply" : "original",
			  own_label(c, sends));
		begin(&m, "tcp", c->idle.tcp_established, b);
	}
	begin(&m, "udp", c->idle.udp, b);
}

static void add_set(const struct s_combination *c, bool sends, const struct emit *f)
{
	char set[IDLE_CHAIN], type[160];

	set_name(c, sends, set);
	(void)fmt_print(type, sizeof(type),
			"type ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service; "
			"flags dynamic,timeout; size %u;",
			FLOWS_MAX);
	emit_set(f, set, type);
}

/* chains are of times and not of groups: those of another combination are equal */
static bool is_first(const struct s_vpc *v, size_t i)
{
	const struct s_combination *c = v->combinations[i];
	size_t k;

	for (k = 0; k < i && !c->slot; k++)
		if (!v->combinations[k]->slot && s_idle_equal(&v->combinations[k]->idle, &c->idle))
			return false;
	return has_own_times(c) || c->slot;
}

void idle_compile(const struct s_vpc *v, const struct emit *f)
{
	const struct s_combination all = { .idle = store_idle_default };
	auto_buf struct buf b = BUF_INIT;
	size_t i;
	int k;

	add_set(&all, true, f);
	add_set(&all, false, f);
	for (k = 0; k < 4; k++)
		memory_chains(v, &all, k & 1, k & 2, f, &b);
	for (i = 0; i < v->n_combinations; i++) {
		const struct s_combination *c = v->combinations[i];

		if (!is_first(v, i))
			continue;
		if (c->slot)
			add_set(c, false, f);
		for (k = 0; k < 4; k++)
			if (!c->slot || k & 1)
				memory_chains(v, c, k & 1, k & 2, f, &b);
	}
}
