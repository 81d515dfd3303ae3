/* SPDX-License-Identifier: MIT */
/*
 * compile_track - see compile_track.h.
 */
#include "netd/compile_track.h"

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "netd/compile_idle.h"

/* ---- which rules leave flows untracked ---- */

static bool from_everybody(const struct sg_rule *r)
{
	size_t i;

	for (i = 0; i < r->n_cidr_blocks; i++)
		if (!r->cidr_blocks[i].len)
			return true;
	return false;
}

bool track_is_open(const struct sg_rule *r)
{
	bool ports = r->protocol == IPPROTO_TCP || r->protocol == IPPROTO_UDP;

	return (r->protocol < 0 || ports) && from_everybody(r);
}

/* does a direction of the groups let all answers of the protocol pass? */
static bool answers_pass(const struct s_combination *c, bool ingress, int protocol)
{
	size_t i, k;

	if (MUTANT("open-answers"))
		return true;
	for (i = 0; i < c->n_groups; i++) {
		const struct security_group *g = c->groups[i]->def;
		const struct sg_rule *rules = ingress ? g->ingress : g->egress;
		size_t n = ingress ? g->n_ingress : g->n_egress;

		for (k = 0; k < n; k++)
			if (from_everybody(&rules[k]) &&
			    (rules[k].protocol < 0 ||
			     (rules[k].protocol == protocol && rules[k].from_port == 0 &&
			      rules[k].to_port == 65535)))
				return true;
	}
	return false;
}

static bool has_open_rules(const struct s_group *g, bool ingress)
{
	const struct sg_rule *rules = ingress ? g->def->ingress : g->def->egress;
	size_t n = ingress ? g->def->n_ingress : g->def->n_egress, i;

	for (i = 0; i < n; i++)
		if (track_is_open(&rules[i]))
			return true;
	return false;
}

/* a match of the protocols of which all answers pass in this direction; NULL: none */
static const char *answers_match(const struct s_combination *c, bool ingress)
{
	bool tcp = answers_pass(c, ingress, IPPROTO_TCP);
	bool udp = answers_pass(c, ingress, IPPROTO_UDP);

	if (tcp && udp)
		return "meta l4proto { tcp, udp }";
	return tcp ? "meta l4proto tcp" : udp ? "meta l4proto udp" : NULL;
}

static void untracked(const struct s_combination *c, bool ingress, struct buf *b)
{
	const char *flows = answers_match(c, !ingress), *answers = answers_match(c, ingress);
	const char *far = MUTANT("always-tracked") ? "" :
			  ingress		   ? "iifname != @always_tracked " :
						     "oifname != @always_tracked ";
	size_t i;

	if ((c->always && !MUTANT("always-tracked")) || MUTANT("untracked"))
		return;
	/* else the answers, which leave by a rule as well, would have it tracked */
	if (answers)
		emit_rule(b, "ct direction reply %s %saccept comment \"untracked\"", answers, far);
	for (i = 0; flows && i < c->n_groups; i++)
		if (has_open_rules(c->groups[i], ingress))
			emit_rule(b, "%s %sjump g%u_%s_open comment \"%s %s\"", flows, far,
				  c->groups[i]->number, ingress ? "in" : "out", c->groups[i]->o.id,
				  c->groups[i]->o.name);
}

/* ---- labels ---- */

/* in which role an interface whose packets are its own remembers what its gate lets
 * pass: the sender's egress sees questions, its ingress their answers */
static bool as_sender(bool ingress, bool reply)
{
	return ingress == reply;
}

static unsigned label_of(const struct s_combination *c, bool ingress, bool reply)
{
	unsigned slot = MUTANT("state-per-interface") ? 0 : c->slot;

	return 2 * slot + as_sender(ingress, reply);
}

static void known(const struct s_combination *c, bool ingress, bool reply, struct buf *b)
{
	char chain[IDLE_CHAIN];

	idle_chain(c, as_sender(ingress, reply), reply, chain);
	emit_rule(b, "ct direction %s ct label %u jump %s", reply ? "reply" : "original",
		  label_of(c, ingress, reply), chain);
}

void track_known(const struct s_combination *c, bool ingress, struct buf *b)
{
	if (MUTANT("related"))
		emit_rule(b, "ct state related drop");
	known(c, ingress, false, b);
	known(c, ingress, true, b);
	untracked(c, ingress, b);
	emit_rule(b, "meta mark set mark & 0x7fffffff | " MARK_TRACK);
}

static void set_labels(const struct s_vpc *v, const struct s_combination *c, bool ingress,
		       struct buf *b)
{
	int reply;

	for (reply = 0; reply < 2 && !MUTANT("tracked"); reply++) {
		emit_rule(b, "ct direction %s ct label set %u", reply ? "reply" : "original",
			  label_of(c, ingress, reply));
		idle_begin(v, c, as_sender(ingress, reply), reply, b);
	}
}

void track_own(const struct s_vpc *v, const struct s_combination *c, bool ingress,
	       const struct emit *f, struct buf *b)
{
	const char *suffix = ingress ? "in" : "out";
	char name[32], verdict[48];

	if (!c->slot && s_idle_equal(&c->idle, &store_idle_default))
		return;
	emit_chain(b, "");
	set_labels(v, c, ingress, b);
	(void)fmt_print(name, sizeof(name), "c%u_%s_track", c->number, suffix);
	emit_chain_end(f, name, b);
	(void)fmt_print(verdict, sizeof(verdict), "goto %s", name);
	emit_elem(f, ingress ? "tracks_in" : "tracks_out", verdict, "0x%x", c->number << 16);
}

/*
 * What leaves by the internet gateway is tracked apart (zone 1), so a flow that a
 * middlebox passes on to it is another one there.  Its answers may go straight to
 * who sent it, whose interface has to know: what it remembers of the flow's first
 * half is handed over to the second, in a set for each slot that a sender may have.
 * Only what goes to a middlebox or comes from it gets to these chains.
 */
#define FLOW "ip saddr . ip daddr . meta l4proto . th sport . th dport"
#define FLOW_SET "type ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service; "

static void crossing_of(unsigned slot, const struct emit *f, struct buf *note, struct buf *out)
{
	const struct s_combination c = { .slot = slot };
	unsigned sends = label_of(&c, false, false);
	char set[32];

	(void)fmt_print(set, sizeof(set), slot ? "crossing_%u" : "crossing", slot);
	emit_set(f, set, FLOW_SET "flags dynamic,timeout; size 65536;");
	emit_rule(note, "ct label %u update @%s { " FLOW " timeout 30s }", sends, set);
	emit_rule(out, FLOW " @%s ct label set %u", set, sends);
}

static bool is_middlebox(const struct s_eni *e)
{
	return e->combination && e->combination->slot;
}

static bool has_middlebox(const struct s_vpc *v)
{
	size_t i;

	for (i = 0; i < v->n_enis; i++)
		if (is_middlebox(v->enis[i]))
			return true;
	return false;
}

static void middleboxes(const struct s_vpc *v, const struct emit *f)
{
	size_t i;

	emit_set(f, "middleboxes", "type ifname;");
	for (i = 0; i < v->n_enis; i++)
		if (is_middlebox(v->enis[i]))
			emit_elem(f, "middleboxes", "", "%s", v->enis[i]->router_interface);
}

/*
 * A RST that is a flow's first answer ends it for the kernel at once, so that the
 * same one isn't known any more when a middlebox hands it on.  What the groups let
 * through to a middlebox is remembered for as long as that may take.
 */
static void reset_note(const struct s_vpc *v, struct buf *b)
{
	if (has_middlebox(v) && !MUTANT("middlebox-reset"))
		emit_rule(b, "tcp flags rst oifname @middleboxes ct direction reply "
			     "update @resets { " FLOW " timeout 2s }");
}

void track_reset(const struct s_vpc *v, struct buf *b)
{
	if (has_middlebox(v))
		emit_rule(b, "tcp flags rst iifname @middleboxes " FLOW " @resets accept "
			     "comment \"a RST that a middlebox hands on\"");
}

static void crossings(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	auto_buf struct buf out = BUF_INIT;
	size_t i;

	emit_chain(b, "");
	emit_chain(&out, "");
	crossing_of(0, f, b, &out);
	for (i = 0; i < v->n_combinations && !MUTANT("crossing-slots"); i++)
		if (v->combinations[i]->slot)
			crossing_of(v->combinations[i]->slot, f, b, &out);
	emit_chain_end(f, "crossing_note", b);
	emit_chain_end(f, "crossing_out", &out);
}

static void middlebox_crossing(struct buf *b)
{
	if (MUTANT("crossing"))
		return;
	emit_rule(b, "oifname @middleboxes ct direction original jump crossing_note");
	emit_rule(b, "iifname @middleboxes oifname \"igw\" jump crossing_out");
}

static void behind_gate(const struct s_vpc *v, bool ingress, const struct emit *f, struct buf *b)
{
	const struct s_combination all = { .idle = store_idle_default };
	const char *suffix = ingress ? "in" : "out";
	char name[32];

	(void)fmt_print(name, sizeof(name), "tracks_%s", suffix);
	emit_set(f, name, "type mark : verdict;");
	emit_chain(b, "");
	/* an ICMP error that a rule lets pass makes no tracked flow of what it tells of */
	emit_rule(b, "ct state related return");
	emit_rule(b, "meta mark & " MARK_COMBINATION " vmap @%s", name);
	set_labels(v, &all, ingress, b);
	(void)fmt_print(name, sizeof(name), "track_%s", suffix);
	emit_chain_end(f, name, b);

	emit_chain(b, ingress ? "type filter hook forward priority 1; policy accept;" :
				"type filter hook forward priority -19; policy accept;");
	emit_rule(b, "%s \"eni-*\" meta mark & " MARK_TRACK " " MARK_TRACK " jump track_%s",
		  ingress ? "oifname" : "iifname", suffix);
	if (v->igw.id && !ingress)
		middlebox_crossing(b);
	if (ingress)
		reset_note(v, b);
	emit_chain_end(f, ingress ? "sg_ingress_track" : "sg_egress_track", b);
}

void track_compile(const struct s_vpc *v, const struct emit *f)
{
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	if (v->igw.id || has_middlebox(v))
		middleboxes(v, f);
	if (has_middlebox(v))
		emit_set(f, "resets", FLOW_SET "flags dynamic,timeout; size 65536;");
	if (v->igw.id)
		crossings(v, f, &b);
	behind_gate(v, true, f, &b);
	behind_gate(v, false, f, &b);
	idle_compile(v, f);
	emit_set(f, "always_tracked", "type ifname;");
	for (i = 0; i < v->n_enis; i++)
		if (v->enis[i]->type != ENI_INTERFACE)
			emit_elem(f, "always_tracked", "", "%s", v->enis[i]->router_interface);
}
