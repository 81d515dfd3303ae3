/* SPDX-License-Identifier: MIT */
/*
 * unsupported - one table of what this build parses and checks but doesn't
 * enforce yet, and one of AWS's words that the product doesn't have.  Both end
 * with exit 4 and a name, never in silence.  A feature that gets enforced loses
 * its line here, and nothing else has to change.
 */
#include "topology/unsupported.h"

#include <fnmatch.h>
#include <string.h>

#include "lib/util.h"
#include "topology/format.h"
#include "topology/read.h"

/* ---- AWS's words ---- */

static const struct {
	const char *pattern; /* fnmatch(3) on a member's name */
	const char *what;
} words[] = {
	{ "*ipv6*", "IPv6" },
	{ "private_dns64*", "IPv6" },
	{ "enable_dns64", "IPv6" },
	{ "egress_only_*gateway*", "egress-only internet gateways" },
	{ "*endpoint*", "VPC endpoints" },
	{ "*transit_gateway*", "transit gateways" },
	{ "vpn_*", "VPN gateways" },
	{ "customer_gateway*", "VPN gateways" },
	{ "propagating_vgws", "VPN gateways" },
	{ "carrier_gateway*", "carrier gateways" },
	{ "local_gateway*", "local gateways" },
	{ "outpost*", "outposts" },
	{ "*prefix_list*", "prefix lists" },
	{ "dhcp_options*", "DHCP option sets" },
	{ "*dhcp_option_set*", "DHCP option sets" },
	{ "instance_tenancy", "tenancy" },
	{ "*ipam*", "IPAM" },
	{ "availability_mode", "regional NAT gateways" },
	{ "*load_balancer*", "load balancers" },
	{ "network_firewall*", "network firewalls" },
	{ "traffic_mirror*", "traffic mirroring" },
	{ "enable_network_address_usage_metrics", "address usage metrics" },
	{ "tags", "tags" },
	{ "tags_all", "tags" },
	{ "timeouts", "Terraform's timeouts" },
	{ "depends_on", "Terraform's depends_on" },
	{ "event_source_mappings", "event source mappings" },
	{ "snap_start", "SnapStart" },
	{ "tracing_config", "X-Ray tracing" },
	{ "file_system_config*", "file systems" },
	{ "kms_key_arn", "encryption keys" },
	{ "code_signing_config*", "code signing" },
	{ "architectures", "architectures" },
	{ "logging_config", "logging configuration" },
	{ "function_url*", "function URLs" },
};

bool unsupported_word(struct reader *r, const struct place *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (fnmatch(words[i].pattern, p->key, 0) != 0)
			continue;
		refuse(r, p, "%s isn't supported (%s)", p->key, words[i].what);
		return true;
	}
	return false;
}

/* ---- what waits for a later build ---- */

static bool starts_with(const cJSON *item, const char *prefix)
{
	return cJSON_IsString(item) && strncmp(item->valuestring, prefix, strlen(prefix)) == 0;
}

static bool other_runtime(const cJSON *item)
{
	return cJSON_IsString(item) && format_runtime.match(item->valuestring) &&
	       (starts_with(item, "dotnet") || starts_with(item, "go"));
}

/*
 * "path": members by name, "*" for every entry of a map or list.
 * "when": refused only if it says so; NULL: always.
 */
static const struct {
	const char *path;
	bool (*when)(const cJSON *item);
	const char *what;
} table[] = {
	{ "functions/*/runtime", other_runtime,
	  "a runtime other than exec, provided*, nodejs*, python*, java* and ruby*" },
};

/* follows "path" from "p" into every value it names */
static void follow(struct reader *r, const struct place *p, const char *path, size_t row)
{
	size_t len = strcspn(path, "/");
	const char *rest = path[len] ? path + len + 1 : NULL;
	bool each = len == 1 && path[0] == '*';

	PLACE_EACH(child, p) {
		if (!each && (!child.key || strncmp(child.key, path, len) != 0 || child.key[len]))
			continue;
		if (rest)
			follow(r, &child, rest, row);
		else if (!table[row].when || table[row].when(child.item))
			refuse(r, &child, "%s: not supported by this build", table[row].what);
	}
}

void unsupported_check_below(struct reader *r, const struct place *p, const char *path)
{
	size_t len = strlen(path);

	for (size_t row = 0; row < ARRAY_SIZE(table); row++)
		if (strncmp(table[row].path, path, len) == 0 && table[row].path[len] == '/')
			follow(r, p, table[row].path + len + 1, row);
}

void unsupported_check(struct reader *r, const struct place *top)
{
	for (size_t row = 0; row < ARRAY_SIZE(table); row++) {
		follow(r, top, table[row].path, row);
		/* a step of a scenario may be an expectation */
		if (strncmp(table[row].path, "expect/", 7) == 0)
			follow(r, top, TEXT(r, "scenarios/*%s", table[row].path + 6), row);
	}
}
