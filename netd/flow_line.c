/* SPDX-License-Identifier: MIT */
/*
 * flow_line - see flow_line.h.
 */
#include "netd/flow_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/fmt.h"
#include "lib/mutant.h"

static const char *text_or_dash(const char *s)
{
	return s && *s ? s : "-";
}

static void print_addr(uint32_t a, struct buf *b)
{
	struct addr x = addr_v4(a);

	buf_adds(b, addr_str(&x));
}

/* FL-6: on its own side an interface shows its primary address, whatever the packet has */
static uint32_t shown(const struct flow_line *l, bool source)
{
	uint32_t real = source ? l->count->saddr : l->count->daddr;
	bool own = flow_kind_is_egress(l->count->kind) == source;

	return own && !MUTANT("flow-primary") ? l->eni->primary : real;
}

/* FL-9; ingress has none, nor what leads nowhere */
static void print_path(enum flow_kind k, struct buf *b)
{
	unsigned way = k & ~1u;

	if (way == FLOW_KIND_OUT_VPC && !MUTANT("flow-path"))
		buf_adds(b, "1");
	else if (way == FLOW_KIND_OUT_PEERING)
		buf_adds(b, "4");
	else if (way == FLOW_KIND_OUT_IGW)
		buf_adds(b, "8");
	else
		buf_adds(b, "-");
}

/* what only a line about packets has; the others have "-" there */
static void print_count_field(const struct flow_line *l, enum flow_field f, struct buf *b)
{
	const struct flow_count *c = l->count;

	switch (f) {
	case FLOW_SRCADDR:
		print_addr(shown(l, true), b);
		break;
	case FLOW_DSTADDR:
		print_addr(shown(l, false), b);
		break;
	case FLOW_PKT_SRCADDR:
		print_addr(c->saddr, b);
		break;
	case FLOW_PKT_DSTADDR:
		print_addr(c->daddr, b);
		break;
	case FLOW_SRCPORT:
		buf_printf(b, "%u", c->sport);
		break;
	case FLOW_DSTPORT:
		buf_printf(b, "%u", c->dport);
		break;
	case FLOW_PROTOCOL:
		buf_printf(b, "%u", c->proto);
		break;
	case FLOW_PACKETS:
		buf_printf(b, "%" PRIu64, c->packets);
		break;
	case FLOW_BYTES:
		buf_printf(b, "%" PRIu64, c->bytes);
		break;
	case FLOW_ACTION:
		buf_adds(b, c->kind & 1 ? "REJECT" : "ACCEPT");
		break;
	case FLOW_TCP_FLAGS:
		buf_printf(b, "%u", c->tcp_flags);
		break;
	case FLOW_TYPE:
		buf_adds(b, "IPv4");
		break;
	case FLOW_FLOW_DIRECTION:
		buf_adds(b, flow_kind_is_egress(c->kind) ? "egress" : "ingress");
		break;
	case FLOW_TRAFFIC_PATH:
		print_path(c->kind, b);
		break;
	default:
		buf_adds(b, "-");
	}
}

static void print_field(const struct flow_line *l, enum flow_field f, struct buf *b)
{
	switch (f) {
	case FLOW_VERSION:
		buf_printf(b, "%u", l->format->version);
		break;
	case FLOW_ACCOUNT_ID:
		buf_adds(b, MUTANT("flow-account") ? "-" : FLOW_ACCOUNT_ID_TEXT);
		break;
	case FLOW_INTERFACE_ID:
		buf_adds(b, l->eni->id);
		break;
	case FLOW_START:
		buf_printf(b, "%" PRId64, l->start_ms / 1000);
		break;
	case FLOW_END:
		buf_printf(b, "%" PRId64, l->end_ms / 1000);
		break;
	case FLOW_LOG_STATUS:
		buf_adds(b, l->status);
		break;
	case FLOW_VPC_ID:
		buf_adds(b, l->eni->vpc);
		break;
	case FLOW_SUBNET_ID:
		buf_adds(b, l->eni->subnet);
		break;
	case FLOW_INSTANCE_ID:
		buf_adds(b, text_or_dash(l->eni->instance));
		break;
	case FLOW_REGION:
		buf_adds(b, l->region);
		break;
	case FLOW_AZ_ID:
		buf_adds(b, l->eni->az_id);
		break;
	default:
		if (l->count)
			print_count_field(l, f, b);
		else
			buf_adds(b, "-");
	}
}

void flow_line_print(const struct flow_line *l, struct buf *b)
{
	size_t i;

	for (i = 0; i < l->format->n_fields; i++) {
		if (i)
			buf_adds(b, " ");
		print_field(l, l->format->fields[i], b);
	}
}

/* AWS's short names: "us-gov-west-1" is usgw1, "ap-southeast-2" apse2 */
void flow_az_id(const char *region, const char *zone, char *ret, size_t size)
{
	static const char *const two[] = { "northeast", "northwest", "southeast", "southwest" };
	const char *letter = zone + strlen(zone);
	auto_buf struct buf b = BUF_INIT;
	const char *s = region;
	size_t i, n = strcspn(s, "-");

	buf_add(&b, s, n);
	for (s += n; *s; s += n) {
		s++;
		n = strcspn(s, "-");
		for (i = 0; i < sizeof(two) / sizeof(two[0]); i++)
			if (strlen(two[i]) == n && !memcmp(s, two[i], n))
				break;
		if (i < sizeof(two) / sizeof(two[0]))
			buf_printf(&b, "%c%c", two[i][0], two[i][5]);
		else
			buf_printf(&b, "%c", *s);
	}
	(void)fmt_print(ret, size, "%s-az%d", buf_str(&b),
			letter > zone ? letter[-1] - 'a' + 1 : 0);
}
