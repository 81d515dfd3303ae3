/* SPDX-License-Identifier: MIT */
/*
 * metrics - see metrics.h.
 */
#include "netd/metrics.h"

#include <string.h>

#include "lib/mutant.h"
#include "lib/nft.h"
#include "lib/util.h"
#include "nat/natmetrics.h"
#include "netd/counts.h"

#define TABLE "ip natgw"

struct metrics {
	uint64_t packets[NATMETRIC_END], bytes[NATMETRIC_END];
	uint64_t dropped, no_port;
	uint64_t established; /* until just before "now" */
	struct ct_census now; /* established and not closed */
};

static void elem(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	struct metrics *m = arg;
	uint32_t number;

	if (size < sizeof(number))
		return;
	memcpy(&number, key, sizeof(number));
	if (number >= NATMETRIC_END)
		return; /* of another version of ours */
	m->packets[number] += packets;
	m->bytes[number] += bytes;
}

static void read_counters(struct netlab *l, const char *ns, struct nft *nft, struct metrics *m)
{
	const struct carried *old;

	memset(m->packets, 0, sizeof(m->packets));
	memset(m->bytes, 0, sizeof(m->bytes));
	(void)nft_each_elem(nft, TABLE, NATMETRICS_SET, elem, m);
	LIST_FOREACH(old, &l->carried, link)
		if (strcmp(old->ns, ns) == 0 && strcmp(old->set, TABLE " " NATMETRICS_SET) == 0)
			elem(old->key, old->size, old->packets, old->bytes, m);
}

static void read_all(struct netlab *l, const struct s_nat *n, struct metrics *m)
{
	struct err ignored = { .code = ERR_NONE };
	struct nft *nft = spaces_nft(l->spaces, n->ns, &ignored);
	int fd = spaces_fd(l->spaces, n->ns, &ignored);
	struct counts c = { NULL, 0, 0, false };

	if (!nft || fd < 0)
		return;
	/* established, tracked, closed, in this order: what opens or closes in between
	 * is never taken for what was idle */
	read_counters(l, n->ns, nft, m);
	m->established = m->packets[NATMETRIC_ESTABLISHED];
	if (ct_count_marked(fd, NATMETRICS_MARK_ESTABLISHED, NATMETRICS_MASK, &m->now) < 0)
		m->established = 0;
	read_counters(l, n->ns, nft, m);
	if (!counts_read(l, n->ns, TABLE, &c, &ignored)) {
		m->no_port = counts_sum(&c, NULL, "ErrorPortAllocation");
		m->dropped = counts_sum(&c, NULL, NULL) + m->packets[NATMETRIC_INVALID];
	}
	counts_done(&c);
}

static uint64_t idle(const struct metrics *m)
{
	uint64_t known = m->packets[NATMETRIC_CLOSED] + m->now.all;

	return m->established > known && !MUTANT("nat-metrics-idle") ? m->established - known : 0;
}

static cJSON *written(const struct metrics *m)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "ActiveConnectionCount", m->now.tcp },
		{ "BytesInFromDestination", m->bytes[NATMETRIC_IN_FROM_DESTINATION] },
		{ "BytesInFromSource", m->bytes[NATMETRIC_IN_FROM_SOURCE] },
		{ "BytesOutToDestination", m->bytes[NATMETRIC_OUT_TO_DESTINATION] },
		{ "BytesOutToSource", m->bytes[NATMETRIC_OUT_TO_SOURCE] },
		{ "ConnectionAttemptCount", m->packets[NATMETRIC_ATTEMPT] },
		{ "ConnectionEstablishedCount", m->packets[NATMETRIC_ESTABLISHED] },
		{ "ErrorPortAllocation", m->no_port },
		{ "IdleTimeoutCount", idle(m) },
		{ "PacketsDropCount", m->dropped },
		{ "PacketsInFromDestination", m->packets[NATMETRIC_IN_FROM_DESTINATION] },
		{ "PacketsInFromSource", m->packets[NATMETRIC_IN_FROM_SOURCE] },
		{ "PacketsOutToDestination", m->packets[NATMETRIC_OUT_TO_DESTINATION] },
		{ "PacketsOutToSource", m->packets[NATMETRIC_OUT_TO_SOURCE] },
	};
	cJSON *o = cJSON_CreateObject();
	size_t i;

	for (i = 0; o && i < ARRAY_SIZE(rows); i++)
		if (!cJSON_AddNumberToObject(o, rows[i].name, (double)rows[i].value)) {
			cJSON_Delete(o);
			return NULL;
		}
	return o;
}

cJSON *metrics_json(struct netlab *l, const struct s_nat *n)
{
	struct metrics m = { 0 };

	if (n->eni)
		read_all(l, n, &m);
	return written(&m);
}
