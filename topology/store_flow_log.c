/* SPDX-License-Identifier: MIT */
/*
 * store_flow_log - flow logs as objects, and which interfaces each is about.  AWS
 * can't edit one (FL-1), so whatever differs makes another.
 */
#include <stdio.h>
#include <string.h>

#include "lib/mutant.h"
#include "topology/store_internal.h"

static void differs(struct change *c, bool yes, const char *member)
{
	if (yes)
		change_note(MUTANT("flow-log-edit") ? c->free_ : c->fixed,
			    MUTANT("flow-log-edit") ? sizeof(c->free_) : sizeof(c->fixed), member);
}

void compare_flow_log(const struct flow_log *a, const struct flow_log *b, struct change *ret)
{
	differs(ret, strcmp(a->resource, b->resource) != 0, "resource");
	differs(ret, a->traffic_type != b->traffic_type, "traffic_type");
	differs(ret, a->max_aggregation_interval != b->max_aggregation_interval,
		"max_aggregation_interval");
	differs(ret, strcmp(a->log_format, b->log_format) != 0, "log_format");
	differs(ret,
		strcmp(a->destination ? a->destination : "",
		       b->destination ? b->destination : "") != 0,
		"destination");
}

static const struct s_flow_log *old_log(const struct s_vpc *v, const char *name)
{
	size_t i;

	for (i = 0; v && i < v->n_flow_logs; i++)
		if (strcmp(v->flow_logs[i].def->name, name) == 0)
			return &v->flow_logs[i];
	return NULL;
}

void build_flow_logs(struct build *b, struct s_vpc *v)
{
	const struct s_vpc *before = b->old ? store_vpc(b->old, v->def->name) : NULL;
	size_t i;

	for (i = 0; i < v->n_flow_logs; i++) {
		const struct flow_log *def = &v->def->flow_logs[i];
		const struct s_flow_log *old = old_log(before, def->name);
		struct s_flow_log *l = &v->flow_logs[i];
		struct change c = { 0 };

		l->def = def;
		l->vpc = v;
		l->o = build_object_head(b, OBJECT_FLOW_LOG, v->def->name, def->name, def->at.path);
		l->o.state = "active";
		if (old) {
			compare_flow_log(old->def, def, &c);
			build_note_parent(&c, &v->o, &before->o);
		}
		build_object_make(b, &l->o, l->o.name, old ? &old->o : NULL, &c);
	}
}

static bool of_function(const struct store *s, const struct function *def, const struct s_eni *e)
{
	const struct s_function *f = store_function(s, def->name);
	size_t i;

	for (i = 0; f && i < f->n_egresses; i++)
		if (f->egresses[i]->eni == e)
			return true;
	return false;
}

static const struct s_eni *interface_of(const struct s_vpc *v, const struct network_interface *def)
{
	return v->network_interfaces[def - v->def->network_interfaces];
}

bool store_flow_log_covers(const struct store *s, const struct s_flow_log *l, const struct s_eni *e)
{
	const void *object = l->def->object;

	if (e->vpc != l->vpc)
		return false;
	switch (l->def->kind) {
	case FLOW_OF_VPC:
		return true;
	case FLOW_OF_SUBNET:
		return e->subnet->def == object;
	case FLOW_OF_INSTANCE:
		return e->owner && e->owner == &store_instance_of(s, object)->o;
	case FLOW_OF_NAT_GATEWAY:
		return e->owner && e->owner == &store_nat_of(l->vpc, object)->o;
	case FLOW_OF_FUNCTION:
		return of_function(s, object, e);
	case FLOW_OF_INTERFACE:
		return e == interface_of(l->vpc, object);
	}
	return false;
}
