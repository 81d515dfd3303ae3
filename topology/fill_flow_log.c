/* SPDX-License-Identifier: MIT */
/*
 * fill_flow_log - flow logs of a VPC (FL-1 to FL-4): what is logged, how often, in
 * which format.
 */
#include <errno.h>
#include <string.h>

#include "topology/fill.h"

/* of one VPC, subnet or network interface: AWS's quota */
#define FLOW_LOGS_OF_ONE 2

static void resource(struct fill *f, const struct place *p, const struct vpc *v, struct flow_log *l)
{
	const struct vpc_names *names = fill_names(f, v);
	const struct {
		const char *prefix, *what;
		enum flow_resource kind;
		const struct index *names;
	} kinds[] = {
		{ "subnet:", "subnet", FLOW_OF_SUBNET, &names->subnets },
		{ "instance:", "instance", FLOW_OF_INSTANCE, &names->instances },
		{ "network_interface:", "network interface", FLOW_OF_INTERFACE,
		  &names->network_interfaces },
		{ "nat_gateway:", "NAT gateway", FLOW_OF_NAT_GATEWAY, &names->nat_gateways },
		{ "function:", "function", FLOW_OF_FUNCTION, &f->functions },
	};
	const char *s = place_str(p);

	l->resource = s ? s : "vpc";
	if (!s || !*s || strcmp(s, "vpc") == 0)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(s, kinds[i].prefix, len) != 0)
			continue;
		l->kind = kinds[i].kind;
		l->object = index_find(kinds[i].names, s + len);
		if (!l->object)
			fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
			      "the %s '%s' does not exist (there is: %s)", kinds[i].what, s + len,
			      index_list(f->r, kinds[i].names));
		return;
	}
	fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
	      "\"%s\" is no resource (allowed: vpc, subnet:S, instance:I, network_interface:E, "
	      "nat_gateway:N, function:F)",
	      s);
}

static void format(struct fill *f, const struct place *p, struct flow_log *l)
{
	const char *s = place_str(p);
	size_t at, size;
	int r;

	l->log_format = s && *s ? s : flow_format_default;
	r = flow_format_parse(l->log_format, &l->format, &at, &size);
	if (r == -ENOENT)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
		      "Unknown fields provided in LogFormat: '%.*s'", (int)size,
		      l->log_format + at);
	else if (r == -E2BIG)
		fault(f->r, FAMILY_DUPLICATE, p, "InvalidParameterValue",
		      "the field '%.*s' is there twice", (int)size, l->log_format + at);
	else if (r < 0)
		fault(f->r, FAMILY_NAME, p, "InvalidParameterValue",
		      "\"%.*s\" isn't a field of a log format (allowed: ${field} ${field} ..., "
		      "with "
		      "one blank between them)",
		      (int)size, l->log_format + at);
}

static enum flow_traffic traffic(const char *s)
{
	return s && strcmp(s, "ACCEPT") == 0 ? FLOW_ACCEPT :
	       s && strcmp(s, "REJECT") == 0 ? FLOW_REJECT :
					       FLOW_ALL;
}

static bool same_configuration(const struct flow_log *a, const struct flow_log *b)
{
	return a->traffic_type == b->traffic_type &&
	       strcmp(a->destination ? a->destination : "", b->destination ? b->destination : "") ==
		       0;
}

/* of those before it, which have the same resource */
static void among_others(struct fill *f, const struct place *p, const struct vpc *v,
			 const struct flow_log *l)
{
	size_t n = 0;

	for (const struct flow_log *o = v->flow_logs; o < l; o++) {
		if (strcmp(o->resource, l->resource) != 0)
			continue;
		n++;
		if (same_configuration(o, l))
			fault(f->r, FAMILY_DUPLICATE, p, "FlowLogAlreadyExists",
			      "Error. There is an existing Flow Log with the same configuration "
			      "and "
			      "log destination (%s)",
			      o->name);
	}
	if (n >= FLOW_LOGS_OF_ONE)
		fault(f->r, FAMILY_RANGE, p, "FlowLogsLimitExceeded",
		      "%s has %d flow logs already (allowed: %d)", l->resource, FLOW_LOGS_OF_ONE,
		      FLOW_LOGS_OF_ONE);
}

static void fill_one(struct fill *f, const struct place *p, struct vpc *v, struct flow_log *l)
{
	struct place whose = place_member(p, "resource");
	struct place interval = place_member(p, "max_aggregation_interval");
	struct place log_format = place_member(p, "log_format");
	double s = read_num(p, "max_aggregation_interval");
	double given;

	l->vpc = v;
	resource(f, &whose, v, l);
	l->traffic_type = traffic(read_str(p, "traffic_type"));
	l->max_aggregation_interval = (unsigned)s;
	if (place_num(&interval, &given) && s >= 60 && s <= 600 && s != 60 && s != 600)
		fault(f->r, FAMILY_RANGE, &interval, "InvalidParameterValue",
		      "%.15g isn't an aggregation interval (allowed: 60, 600)", s);
	format(f, &log_format, l);
	l->destination = read_str(p, "destination");
	among_others(f, p, v, l);
}

void fill_flow_logs(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "flow_logs");
	size_t i = 0;

	PLACE_EACH(p, &map)
		if (i < v->n_flow_logs)
			fill_one(f, &p, v, &v->flow_logs[i++]);
}

static void check_one(struct fill *f, const struct place *p, const struct vpc *v,
		      const struct flow_log *l)
{
	const struct function *fn = l->kind == FLOW_OF_FUNCTION ? l->object : NULL;
	struct place whose = place_member(p, "resource");

	if (fn && fn->vpc != v)
		fault(f->r, FAMILY_REFERENCE, &whose, "InvalidParameterValue",
		      "the function '%s' has no network interface in VPC %s", fn->name, v->name);
}

void check_flow_logs(struct fill *f, const struct place *top)
{
	struct place vpcs = place_member(top, "vpcs");
	size_t i = 0;

	PLACE_EACH(p, &vpcs) {
		struct place map = place_member(&p, "flow_logs");
		size_t k = 0;

		if (i == f->lab->n_vpcs)
			break;
		PLACE_EACH(one, &map)
			if (k < f->lab->vpcs[i].n_flow_logs) {
				check_one(f, &one, &f->lab->vpcs[i], &f->lab->vpcs[i].flow_logs[k]);
				k++;
			}
		i++;
	}
}
