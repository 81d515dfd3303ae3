/* SPDX-License-Identifier: MIT */
/*
 * natmetrics - see natmetrics.h.  What comes in is counted before fragments are put
 * together and anything is dropped, what goes out after it was translated.
 */
#include "nat/natmetrics.h"

#include "lib/mutant.h"

#define COUNT(n) "update @" NATMETRICS_SET " { " n " counter }"

const char *natmetrics_count(enum natmetric m)
{
	static const char *const text[NATMETRIC_END] = {
		[NATMETRIC_IN_FROM_SOURCE] = COUNT("0x01"),
		[NATMETRIC_IN_FROM_DESTINATION] = COUNT("0x02"),
		[NATMETRIC_OUT_TO_SOURCE] = COUNT("0x03"),
		[NATMETRIC_OUT_TO_DESTINATION] = COUNT("0x04"),
		[NATMETRIC_ATTEMPT] = COUNT("0x05"),
		[NATMETRIC_ESTABLISHED] = COUNT("0x06"),
		[NATMETRIC_CLOSED] = COUNT("0x07"),
		[NATMETRIC_INVALID] = COUNT("0x08"),
	};

	return text[m];
}

void natmetrics_compile(const struct emit *f, const char *own, struct buf *b)
{
	emit_set(f, NATMETRICS_SET, "type mark; flags dynamic; size 64; counter;");

	emit_chain(b, "type filter hook prerouting priority -460; policy accept;");
	emit_rule(b, "iifname \"eth0\" ip daddr != %s %s accept", own,
		  natmetrics_count(NATMETRIC_IN_FROM_SOURCE));
	emit_rule(b, "iifname \"eth0\" %s", natmetrics_count(NATMETRIC_IN_FROM_DESTINATION));
	emit_chain_end(f, "arriving", b);

	/* what tracking doesn't know goes to a source: the RST after an idle time */
	emit_chain(b, "type filter hook postrouting priority 300; policy accept;");
	if (!MUTANT("nat-metrics-out"))
		emit_rule(b, "oifname \"eth0\" ct direction original ip saddr %s %s accept", own,
			  natmetrics_count(NATMETRIC_OUT_TO_DESTINATION));
	emit_rule(b, "oifname \"eth0\" %s", natmetrics_count(NATMETRIC_OUT_TO_SOURCE));
	emit_chain_end(f, "leaving", b);
}

void natmetrics_connections(struct buf *b)
{
	emit_rule(b,
		  "meta l4proto tcp ct direction reply ct mark & 0x3 0x0 tcp flags & 0x12 0x12 "
		  "%s ct mark set 0x1",
		  natmetrics_count(NATMETRIC_ESTABLISHED));
	emit_rule(b,
		  "meta l4proto != tcp ct state established ct direction reply "
		  "ct mark & 0x3 0x0 %s ct mark set 0x1",
		  natmetrics_count(NATMETRIC_ESTABLISHED));
	emit_rule(b,
		  "meta l4proto tcp ct mark & 0x3 0x1 tcp flags & 0x5 != 0x0 %s "
		  "ct mark set 0x2",
		  natmetrics_count(NATMETRIC_CLOSED));
}
