/* SPDX-License-Identifier: MIT */
/*
 * select - one table says where each kind stands in the document and what a
 * table of it shows.
 */
#include "cli/select.h"

#include <stdio.h>
#include <string.h>

#include "lib/util.h"

#define COLUMNS(...)              \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

const struct select_kind SELECT_KINDS[] = {
	{ "hosts", IN_INTERNET, COLUMNS("id", "ip", "dns_names", "state") },
	{ "vpcs", IN_TOP, COLUMNS("id", "cidr_block", "state") },
	{ "subnets", IN_VPC,
	  COLUMNS("id", "cidr_block", "availability_zone", "route_table", "network_acl", "state") },
	{ "route_tables", IN_VPC, COLUMNS("id", "routes", "state") },
	{ "nat_gateways", IN_VPC,
	  COLUMNS("id", "private_ip", "public_ip", "subnet", "state", "failure_code") },
	{ "security_groups", IN_VPC, COLUMNS("id", "description", "state") },
	{ "network_acls", IN_VPC, COLUMNS("id", "subnets", "state") },
	{ "flow_logs", IN_VPC,
	  COLUMNS("id", "resource", "traffic_type", "max_aggregation_interval", "destination",
		  "records", "state") },
	{ "instances", IN_VPC_BARE,
	  COLUMNS("id", "private_ip", "public_ip", "subnet", "vpc", "security_groups", "pid",
		  "state") },
	{ "network_interfaces", IN_VPC,
	  COLUMNS("id", "private_ip", "public_ip", "subnet", "interface_type", "router_interface",
		  "status") },
	{ "peerings", IN_TOP, COLUMNS("id", "requester", "accepter", "state") },
	{ "functions", IN_TOP,
	  COLUMNS("id", "runtime", "version", "network_interfaces", "environments", "state",
		  "state_reason_code") },
	{ "roles", IN_TOP, COLUMNS("id", "state") },
	{ 0 },
};

static const struct select_kind *kind_of(const char *word, size_t len)
{
	const struct select_kind *k;

	for (k = SELECT_KINDS; k->name; k++)
		if (strlen(k->name) == len && !strncmp(k->name, word, len))
			return k;
	return NULL;
}

static int add_copies(cJSON *to, const cJSON *map, const char *vpc)
{
	const cJSON *o;
	cJSON *copy;

	cJSON_ArrayForEach(o, map) {
		auto_free char *key = NULL;

		if (asprintf(&key, "%s%s%s", vpc ? vpc : "", vpc ? "/" : "", o->string) < 0) {
			key = NULL;
			return -1;
		}
		copy = cJSON_Duplicate(o, true);
		if (!copy || !cJSON_AddItemToObject(to, key, copy)) {
			cJSON_Delete(copy);
			return -1;
		}
	}
	return 0;
}

/* every object of the kind, by its key; NULL: no memory */
static cJSON *map_of(const cJSON *show, const struct select_kind *k)
{
	cJSON *map = cJSON_CreateObject();
	const cJSON *vpc;
	int r = 0;

	if (!map)
		return NULL;
	if (k->where == IN_TOP)
		r = add_copies(map, json_get(show, k->name), NULL);
	else if (k->where == IN_INTERNET)
		r = add_copies(map, json_get(json_get(show, "internet"), k->name), NULL);
	else
		cJSON_ArrayForEach(vpc, json_get(show, "vpcs"))
			r |= add_copies(map, json_get(vpc, k->name),
					k->where == IN_VPC ? vpc->string : NULL);
	if (r) {
		cJSON_Delete(map);
		return NULL;
	}
	return map;
}

/* by the whole key; else by what follows the '/', where only one VPC has it */
static enum select_status pick(cJSON *map, const struct select_kind *k, const char *name,
			       cJSON **ret)
{
	cJSON *o, *found = cJSON_GetObjectItemCaseSensitive(map, name);

	if (!found && k->where == IN_VPC && !strchr(name, '/')) {
		cJSON_ArrayForEach(o, map) {
			if (strcmp(strchr(o->string, '/') + 1, name))
				continue;
			if (found)
				return SELECT_AMBIGUOUS;
			found = o;
		}
	}
	if (!found)
		return SELECT_NONE;
	*ret = cJSON_DetachItemViaPointer(map, found);
	return SELECT_OK;
}

enum select_status select_objects(const cJSON *show, const char *word,
				  const struct select_kind **ret_kind, cJSON **ret, bool *ret_one)
{
	const char *slash = strchr(word, '/');
	const struct select_kind *k = kind_of(word, slash ? (size_t)(slash - word) : strlen(word));
	enum select_status s = SELECT_OK;
	cJSON *map;

	if (!k)
		return SELECT_UNKNOWN_KIND;
	*ret_kind = k;
	map = map_of(show, k);
	if (!map)
		return SELECT_MEMORY;
	*ret_one = slash != NULL;
	if (!slash) {
		*ret = map;
		return SELECT_OK;
	}
	s = pick(map, k, slash + 1, ret);
	cJSON_Delete(map);
	return s;
}
