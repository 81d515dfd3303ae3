/* SPDX-License-Identifier: MIT */
/*
 * store_compare - what a person changed of an object, member by member, and
 * whether AWS could change that in place.  References compare by name: that the
 * thing behind a name is another one now is store_build.c's affair.
 */
#include <stdio.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "topology/store_internal.h"

void change_note(char *text, size_t size, const char *member)
{
	size_t n = strlen(text);

	(void)fmt_print(text + n, size - n, "%s%s", n ? ", " : "", member);
}

static void fixed(struct change *c, bool differs, const char *member)
{
	if (differs)
		change_note(c->fixed, sizeof(c->fixed), member);
}

static void free_(struct change *c, bool differs, const char *member)
{
	if (differs)
		change_note(c->free_, sizeof(c->free_), member);
}

static bool same_name(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

static bool same_strings(const struct strings *a, const struct strings *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool same_prefixes(const struct prefix *a, size_t n_a, const struct prefix *b, size_t n_b)
{
	size_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (!prefix_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool same_elastic(const struct elastic *a, const struct elastic *b)
{
	if (a->set != b->set || a->automatic != b->automatic)
		return false;
	return !a->set || a->automatic || addr_equal(&a->addr, &b->addr);
}

static bool same_ports(const struct port *a, size_t n_a, const struct port *b, size_t n_b)
{
	size_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (a[i].proto != b[i].proto || a[i].port != b[i].port || a[i].http != b[i].http)
			return false;
	return true;
}

static bool same_environment(const struct programs *a, const struct programs *b)
{
	size_t i;

	if (a->n_environment != b->n_environment)
		return false;
	for (i = 0; i < a->n_environment; i++)
		if (strcmp(a->environment[i].name, b->environment[i].name) ||
		    strcmp(a->environment[i].value, b->environment[i].value))
			return false;
	return true;
}

static bool same_files(const struct programs *a, const struct programs *b)
{
	size_t i;

	if (a->n_files != b->n_files)
		return false;
	for (i = 0; i < a->n_files; i++)
		if (strcmp(a->files[i].path, b->files[i].path) ||
		    strcmp(a->files[i].text, b->files[i].text))
			return false;
	return true;
}

static void compare_programs(const struct programs *a, const struct programs *b, struct change *c)
{
	free_(c, !same_ports(a->serve, a->n_serve, b->serve, b->n_serve), "serve");
	free_(c, !same_strings(&a->command, &b->command), "command");
	free_(c, !same_environment(a, b), "environment");
	free_(c, !same_name(a->user, b->user), "user");
	free_(c, !same_name(a->working_directory, b->working_directory), "working_directory");
	free_(c, !same_files(a, b), "files");
	free_(c, !same_ports(a->ready, a->n_ready, b->ready, b->n_ready), "ready");
	free_(c, a->ready_timeout != b->ready_timeout, "ready_timeout");
}

void compare_lab(const struct lab *a, const struct lab *b, struct change *ret)
{
	free_(ret, !same_name(a->region, b->region), "region");
	free_(ret, a->time_scale != b->time_scale, "time_scale");
	free_(ret, a->eni_linger != b->eni_linger, "eni_linger");
	free_(ret, !addr_equal(&a->service_ip, &b->service_ip), "internet.service_ip");
	free_(ret, !prefix_equal(&a->address_pool, &b->address_pool), "internet.address_pool");
}

void compare_host(const struct host *a, const struct host *b, struct change *ret)
{
	fixed(ret, !addr_equal(&a->ip, &b->ip), "ip");
	free_(ret, !same_strings(&a->dns_names, &b->dns_names), "dns_names");
	compare_programs(&a->programs, &b->programs, ret);
}

static bool same_edge(const struct vpc *a, const struct vpc *b)
{
	const struct route_table *x = a->edge_route_table, *y = b->edge_route_table;

	return MUTANT("edge-compare") || (x && y ? same_name(x->name, y->name) : x == y);
}

static bool same_zone(const struct vpc *a, const struct vpc *b)
{
	size_t i;

	if (a->n_private_zone != b->n_private_zone)
		return false;
	for (i = 0; i < a->n_private_zone; i++) {
		const struct private_record *x = &a->private_zone[i], *y = &b->private_zone[i];

		if (strcmp(x->name, y->name) || !same_name(x->cname, y->cname) ||
		    !addr_equal(&x->addr, &y->addr))
			return false;
	}
	return true;
}

void compare_vpc(const struct vpc *a, const struct vpc *b, struct change *ret)
{
	fixed(ret, !prefix_equal(&a->cidr_block, &b->cidr_block) && !MUTANT("primary-block"),
	      "cidr_block");
	free_(ret,
	      !same_prefixes(a->secondary_cidr_blocks, a->n_secondary_cidr_blocks,
			     b->secondary_cidr_blocks, b->n_secondary_cidr_blocks),
	      "secondary_cidr_blocks");
	free_(ret, a->internet_gateway != b->internet_gateway || !same_edge(a, b),
	      "internet_gateway");
	free_(ret, !same_zone(a, b), "private_zone");
	free_(ret, a->enable_dns_support != b->enable_dns_support, "enable_dns_support");
	free_(ret, a->enable_dns_hostnames != b->enable_dns_hostnames, "enable_dns_hostnames");
	free_(ret, !same_name(a->main_route_table->name, b->main_route_table->name),
	      "main_route_table");
}

void compare_subnet(const struct subnet *a, const struct subnet *b, struct change *ret)
{
	fixed(ret, !prefix_equal(&a->cidr_block, &b->cidr_block), "cidr_block");
	fixed(ret, !same_name(a->availability_zone, b->availability_zone), "availability_zone");
	free_(ret, !same_name(a->route_table->name, b->route_table->name), "route_table");
	free_(ret, !same_name(a->network_acl->name, b->network_acl->name), "network_acl");
	free_(ret, a->map_public_ip_on_launch != b->map_public_ip_on_launch,
	      "map_public_ip_on_launch");
}

static bool same_route(const struct route *a, const struct route *b)
{
	return prefix_equal(&a->destination, &b->destination) && a->target == b->target &&
	       same_name(a->target_name, b->target_name);
}

static bool table_has(const struct route_table *t, const struct route *r)
{
	size_t i;

	for (i = 0; i < t->n_routes; i++)
		if (same_route(&t->routes[i], r))
			return true;
	return false;
}

/* a table is a map: the order of its routes is nothing */
static bool same_routes(const struct route_table *a, const struct route_table *b)
{
	size_t i;

	if (a->n_routes != b->n_routes)
		return false;
	for (i = 0; i < a->n_routes; i++)
		if (!same_route(&a->routes[i], &b->routes[i]) && !table_has(b, &a->routes[i]))
			return false;
	return true;
}

void compare_table(const struct route_table *a, const struct route_table *b, struct change *ret)
{
	free_(ret, !same_routes(a, b), "routes");
}

static bool same_groups(const struct security_group *const *a, size_t n_a,
			const struct security_group *const *b, size_t n_b)
{
	size_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (strcmp(a[i]->name, b[i]->name) || strcmp(a[i]->vpc->name, b[i]->vpc->name))
			return false;
	return true;
}

static bool same_sg_rule(const struct sg_rule *a, const struct sg_rule *b)
{
	return a->protocol == b->protocol && a->from_port == b->from_port &&
	       a->to_port == b->to_port && a->self == b->self &&
	       same_name(a->description, b->description) &&
	       same_prefixes(a->cidr_blocks, a->n_cidr_blocks, b->cidr_blocks, b->n_cidr_blocks) &&
	       same_groups(a->security_groups, a->n_security_groups, b->security_groups,
			   b->n_security_groups);
}

static bool same_sg_rules(const struct sg_rule *a, size_t n_a, const struct sg_rule *b, size_t n_b)
{
	size_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (!same_sg_rule(&a[i], &b[i]))
			return false;
	return true;
}

void compare_group(const struct security_group *a, const struct security_group *b,
		   struct change *ret)
{
	fixed(ret, !same_name(a->description, b->description), "description");
	free_(ret, !same_sg_rules(a->ingress, a->n_ingress, b->ingress, b->n_ingress), "ingress");
	free_(ret, !same_sg_rules(a->egress, a->n_egress, b->egress, b->n_egress), "egress");
}

static bool same_acl_entries(const struct acl_entry *a, size_t n_a, const struct acl_entry *b,
			     size_t n_b)
{
	size_t i;

	if (n_a != n_b)
		return false;
	for (i = 0; i < n_a; i++)
		if (a[i].rule_number != b[i].rule_number || a[i].allow != b[i].allow ||
		    a[i].protocol != b[i].protocol || a[i].from_port != b[i].from_port ||
		    a[i].to_port != b[i].to_port || a[i].icmp_type != b[i].icmp_type ||
		    a[i].icmp_code != b[i].icmp_code ||
		    !prefix_equal(&a[i].cidr_block, &b[i].cidr_block))
			return false;
	return true;
}

void compare_acl(const struct network_acl *a, const struct network_acl *b, struct change *ret)
{
	free_(ret, !same_acl_entries(a->ingress, a->n_ingress, b->ingress, b->n_ingress),
	      "ingress");
	free_(ret, !same_acl_entries(a->egress, a->n_egress, b->egress, b->n_egress), "egress");
}

static bool same_elastic_list(const struct elastic *a, size_t n_a, const struct elastic *b,
			      size_t n_b)
{
	size_t i;

	for (i = 0; i < n_a && i < n_b; i++)
		if (!same_elastic(&a[i], &b[i]))
			return false;
	return n_a == n_b;
}

void compare_nat(const struct nat_gateway *a, const struct nat_gateway *b, struct change *ret)
{
	fixed(ret, !same_name(a->subnet->name, b->subnet->name), "subnet");
	fixed(ret, a->private_connectivity != b->private_connectivity, "connectivity_type");
	fixed(ret, !same_elastic(&a->elastic_ip, &b->elastic_ip), "elastic_ip");
	fixed(ret, !addr_equal(&a->private_ip, &b->private_ip), "private_ip");
	free_(ret,
	      !same_elastic_list(a->secondary_elastic_ips, a->n_secondary_elastic_ips,
				 b->secondary_elastic_ips, b->n_secondary_elastic_ips),
	      "secondary_elastic_ips");
	free_(ret, a->max_connections_per_destination != b->max_connections_per_destination,
	      "max_connections_per_destination");
	free_(ret, a->idle_timeout != b->idle_timeout, "idle_timeout");
}

/* automatic addresses that become fixed as they are, or the reverse, are no change */
static bool same_primary(const struct addr *b, size_t n_b, const struct addr *primary)
{
	return !n_b || addr_equal(&b[0], primary);
}

static bool same_secondaries(const struct addr *a, size_t n_a, const struct addr *b, size_t n_b)
{
	size_t i;

	if ((n_a > 1 || n_b > 1) && n_a != n_b)
		return false;
	for (i = 1; i < n_a; i++)
		if (!addr_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool same_elastics(const struct network_interface *a, const struct network_interface *b)
{
	size_t i;

	if (a->n_elastic_ips != b->n_elastic_ips)
		return false;
	for (i = 0; i < a->n_elastic_ips; i++)
		if (!addr_equal(&a->elastic_ips[i].private_ip, &b->elastic_ips[i].private_ip) ||
		    !same_elastic(&a->elastic_ips[i].eip, &b->elastic_ips[i].eip))
			return false;
	return true;
}

static bool same_tracking(const struct tracking *a, const struct tracking *b)
{
	return a->tcp_established_timeout == b->tcp_established_timeout &&
	       a->udp_stream_timeout == b->udp_stream_timeout && a->udp_timeout == b->udp_timeout;
}

void compare_interface(const struct network_interface *a, const struct network_interface *b,
		       const struct addr *primary, struct change *ret)
{
	fixed(ret, !same_name(a->subnet->name, b->subnet->name), "subnet");
	fixed(ret, !same_primary(b->private_ips, b->n_private_ips, primary), "private_ips");
	free_(ret,
	      !same_secondaries(a->private_ips, a->n_private_ips, b->private_ips, b->n_private_ips),
	      "private_ips");
	free_(ret,
	      !same_groups(a->security_groups, a->n_security_groups, b->security_groups,
			   b->n_security_groups),
	      "security_groups");
	free_(ret, !same_elastics(a, b), "elastic_ips");
	free_(ret, a->source_dest_check != b->source_dest_check, "source_dest_check");
	free_(ret, !same_tracking(&a->connection_tracking, &b->connection_tracking),
	      "connection_tracking");
	free_(ret,
	      !same_name(a->attach_to ? a->attach_to->name : NULL,
			 b->attach_to ? b->attach_to->name : NULL),
	      "attach_to");
	free_(ret, a->device_index != b->device_index, "device_index");
}

void compare_instance(const struct instance *a, const struct instance *b,
		      const struct addr *primary, struct change *ret)
{
	fixed(ret, !same_name(a->vpc->name, b->vpc->name), "vpc");
	fixed(ret, !same_name(a->subnet->name, b->subnet->name), "subnet");
	fixed(ret, !same_primary(b->private_ips, b->n_private_ips, primary), "private_ips");
	free_(ret,
	      !same_secondaries(a->private_ips, a->n_private_ips, b->private_ips, b->n_private_ips),
	      "private_ips");
	free_(ret,
	      !same_groups(a->security_groups, a->n_security_groups, b->security_groups,
			   b->n_security_groups),
	      "security_groups");
	/* what a subnet says later doesn't apply to who is there (ENI-10) */
	free_(ret,
	      !(a->inherits_public_ip_address && b->inherits_public_ip_address) &&
		      a->associate_public_ip_address != b->associate_public_ip_address,
	      "associate_public_ip_address");
	free_(ret, !same_elastic(&a->elastic_ip, &b->elastic_ip), "elastic_ip");
	free_(ret, a->source_dest_check != b->source_dest_check, "source_dest_check");
	free_(ret, !same_tracking(&a->connection_tracking, &b->connection_tracking),
	      "connection_tracking");
	free_(ret, a->forward != b->forward, "forward");
	free_(ret, a->nat_instance != b->nat_instance, "nat_instance");
	free_(ret, !same_strings(&a->dns_names, &b->dns_names), "dns_names");
	compare_programs(&a->programs, &b->programs, ret);
}
