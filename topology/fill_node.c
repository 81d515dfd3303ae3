/* SPDX-License-Identifier: MIT */
/*
 * fill_node - internet hosts, instances, further network interfaces, and the
 * programs that run in nodes.
 */
#include <stdlib.h>
#include <string.h>

#include "topology/fill.h"

/* ---- programs ---- */

static void fill_ports(struct fill *f, const struct place *node, const char *key, struct port **ret,
		       size_t *ret_n)
{
	struct place list = place_member(node, key);
	size_t n = 0;

	*ret = NEW(f->r, place_n_children(&list), struct port);
	PLACE_EACH(p, &list) {
		const char *s = place_str(&p);
		struct port port;
		bool taken = false;

		if (!s || port_parse(s, &port) < 0 || port.proto == IPPROTO_ICMP)
			continue; /* the shape's fault */
		/* http/80 is tcp/80, too; beyond the first few it is the file's affair */
		for (size_t i = 0; i < n && i < 1024; i++)
			taken |= (*ret)[i].proto == port.proto && (*ret)[i].port == port.port;
		if (taken)
			fault(f->r, FAMILY_DUPLICATE, &p, "InvalidParameterValue",
			      "%s is listed already (a port is served once)", s);
		else
			(*ret)[n++] = port;
	}
	*ret_n = n;
}

static void fill_variables(struct fill *f, const struct place *map, struct env_var **ret,
			   size_t *ret_n)
{
	size_t n = 0;

	*ret = NEW(f->r, place_n_children(map), struct env_var);
	PLACE_EACH(p, map)
		if (place_str(&p))
			(*ret)[n++] = (struct env_var){ p.key, place_str(&p) };
	*ret_n = n;
}

void fill_programs(struct fill *f, const struct place *node, struct programs *p)
{
	struct place environment = place_member(node, "environment");
	struct place files = place_member(node, "files");
	struct place command = place_member(node, "command");

	fill_ports(f, node, "serve", &p->serve, &p->n_serve);
	fill_ports(f, node, "ready", &p->ready, &p->n_ready);
	p->command = read_strings(f->r, node, "command");
	if (p->command.n && !p->command.v[0][0])
		fault(f->r, FAMILY_RANGE, &command, "InvalidParameterValue",
		      "the program's name is empty (allowed: a path, or a name in PATH)");
	if (cJSON_IsObject(environment.item))
		fill_variables(f, &environment, &p->environment, &p->n_environment);
	p->user = read_str(node, "user");
	p->working_directory = read_str(node, "working_directory");
	p->ready_timeout = read_num(node, "ready_timeout");
	if (!cJSON_IsObject(files.item))
		return;
	p->files = NEW(f->r, place_n_children(&files), struct node_file);
	PLACE_EACH(file, &files)
		if (place_str(&file))
			p->files[p->n_files++] = (struct node_file){ file.key, place_str(&file) };
}

/* ---- the lab's internet ---- */

/* an address that a host of the internet can have at all */
static bool host_address_fits(struct fill *f, const struct place *p, const struct addr *a)
{
	if (fill_is_public(a))
		return true;
	if (addr_is_rfc1918(a) || addr_is_rfc6598(a)) {
		hint(f->r, p, "internet-host-private-address",
		     "%s is a private address: an internet gateway drops what goes to or comes "
		     "from it (IGW-6)",
		     addr_str(a));
		return true;
	}
	fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
	      "%s can't be a host's address (allowed: a unicast IPv4 address)", addr_str(a));
	return false;
}

static void fill_host(struct fill *f, const struct place *p, struct host *h)
{
	struct place ip = place_member(p, "ip");

	if (fill_address(f, &ip, &h->ip) && host_address_fits(f, &ip, &h->ip))
		fill_claim(f, &ip, NULL, &h->ip, "InvalidIPAddress.InUse");
	h->dns_names = read_strings(f->r, p, "dns_names");
	fill_programs(f, p, &h->programs);
}

static void fill_pool(struct fill *f, const struct place *internet)
{
	struct place p = place_member(internet, "address_pool");
	struct prefix *pool = &f->lab->address_pool;
	struct addr last;

	if (!cJSON_IsString(p.item) || !*p.item->valuestring) {
		(void)prefix_parse(read_str(internet, "address_pool"), pool, NULL); /* ours */
		return;
	}
	if (!fill_cidr(f, &p, pool))
		return;
	last = prefix_last(pool);
	if (pool->len < 8 || pool->len > 30)
		fault(f->r, FAMILY_CIDR, &p, "InvalidParameterValue",
		      "%s is no pool of addresses (allowed: a block size between a /8 and a /30)",
		      prefix_str(pool));
	else if (!fill_is_public(&pool->addr) || !fill_is_public(&last))
		fault(f->r, FAMILY_CIDR, &p, "InvalidParameterValue",
		      "%s isn't public (allowed: a block of public addresses)", prefix_str(pool));
}

void fill_internet(struct fill *f, const struct place *top)
{
	struct place internet = place_member(top, "internet");
	struct place ip = place_member(&internet, "service_ip");
	struct place hosts = place_member(&internet, "hosts");
	struct addr *service = &f->lab->service_ip;
	size_t i = 0;

	/* an absent "internet" has no members of its own: borrow the table's defaults */
	if (!cJSON_IsObject(internet.item))
		internet = (struct place){ .up = top,
					   .key = "internet",
					   .shape = shape_member(top->shape, "internet")->shape };
	fill_pool(f, &internet);
	if (!cJSON_IsString(ip.item) || !*ip.item->valuestring)
		(void)addr_parse(read_str(&internet, "service_ip"), service); /* ours */
	else if (fill_address(f, &ip, service) && !fill_is_public(service))
		fault(f->r, FAMILY_CIDR, &ip, "InvalidParameterValue",
		      "%s can't be the service's address (allowed: a public IPv4 address)",
		      addr_str(service));
	fill_claim(f, &ip, NULL, service, "InvalidIPAddress.InUse");
	PLACE_EACH(p, &hosts)
		if (i < f->lab->n_hosts)
			fill_host(f, &p, &f->lab->hosts[i++]);
}

/* ---- instances ---- */

static void fill_private_ips(struct fill *f, const struct place *o, const struct subnet *subnet,
			     struct addr **ret, size_t *ret_n)
{
	struct place list = place_member(o, "private_ips");
	size_t n = 0;

	*ret = NEW(f->r, place_n_children(&list), struct addr);
	PLACE_EACH(p, &list)
		if (fill_private_address(f, &p, subnet, &(*ret)[n]))
			n++;
	*ret_n = n;
}

static struct tracking fill_tracking(const struct place *o)
{
	struct place p = place_member(o, "connection_tracking");

	return (struct tracking){
		.tcp_established_timeout = (unsigned)read_num(&p, "tcp_established_timeout"),
		.udp_stream_timeout = (unsigned)read_num(&p, "udp_stream_timeout"),
		.udp_timeout = (unsigned)read_num(&p, "udp_timeout"),
	};
}

/* a public address needs a gateway that translates it */
static void public_rules(struct fill *f, const struct place *p, const struct vpc *v,
			 const struct instance *in)
{
	struct place wish = place_member(p, "associate_public_ip_address");
	struct place elastic = place_member(p, "elastic_ip");

	if (v->internet_gateway)
		return;
	if (in->elastic_ip.set)
		fault(f->r, FAMILY_REFERENCE, &elastic, "Gateway.NotAttached",
		      "Network %s is not attached to any internet gateway "
		      "(set internet_gateway to true)",
		      v->name);
	else if (in->associate_public_ip_address)
		hint(f->r, wish.item ? &wish : p, "public-address-without-igw",
		     "VPC %s has no internet gateway: nothing reaches the public address", v->name);
}

static void fill_instance(struct fill *f, const struct place *p, const struct vpc *v,
			  struct instance *in)
{
	struct place subnet = place_member(p, "subnet"), elastic = place_member(p, "elastic_ip");
	struct place groups = place_member(p, "security_groups");
	struct place wish = place_member(p, "associate_public_ip_address");

	in->vpc = v;
	in->subnet = fill_reference(f, &subnet, &fill_names(f, v)->subnets, "subnet",
				    fill_vpc_title(f, v), "InvalidSubnetID.NotFound");
	fill_private_ips(f, p, in->subnet, &in->private_ips, &in->n_private_ips);
	fill_groups(f, &groups, v, &in->security_groups, &in->n_security_groups);
	in->associate_public_ip_address = cJSON_IsBool(wish.item) ?
						  cJSON_IsTrue(wish.item) :
						  in->subnet && in->subnet->map_public_ip_on_launch;
	in->inherits_public_ip_address = !cJSON_IsBool(wish.item);
	in->elastic_ip = fill_elastic(f, &elastic);
	public_rules(f, p, v, in);
	in->source_dest_check = read_bool(p, "source_dest_check");
	in->forward = read_bool(p, "forward");
	in->nat_instance = read_bool(p, "nat_instance");
	in->dns_names = read_strings(f->r, p, "dns_names");
	in->connection_tracking = fill_tracking(p);
	fill_programs(f, p, &in->programs);
}

void fill_instances(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "instances");
	size_t i = 0;

	PLACE_EACH(p, &map)
		if (i < v->n_instances)
			fill_instance(f, &p, v, &v->instances[i++]);
}

/* ---- further interfaces ---- */

static bool has_address(const struct network_interface *e, const struct addr *a)
{
	for (size_t i = 0; i < e->n_private_ips; i++)
		if (addr_equal(&e->private_ips[i], a))
			return true;
	return false;
}

/* one elastic address for each private one that the file gives (ENI-1) */
static void interface_elastics(struct fill *f, const struct place *p, const struct vpc *v,
			       struct network_interface *e)
{
	struct place map = place_member(p, "elastic_ips");
	size_t n = 0;

	e->elastic_ips =
		arena_alloc(f->r, f->r->arena, place_n_children(&map), sizeof(*e->elastic_ips));
	PLACE_EACH(el, &map) {
		struct addr *a = &e->elastic_ips[n].private_ip;

		if (!el.key || !fill_address_text(f, &el, el.key, a))
			continue;
		if (!has_address(e, a))
			fault(f->r, FAMILY_REFERENCE, &el, "InvalidParameterValue",
			      "%s isn't an address of the interface (allowed: one of its "
			      "private_ips)",
			      el.key);
		else if (!v->internet_gateway)
			fault(f->r, FAMILY_REFERENCE, &el, "Gateway.NotAttached",
			      "Network %s is not attached to any internet gateway "
			      "(set internet_gateway to true)",
			      v->name);
		e->elastic_ips[n++].eip = fill_elastic(f, &el);
	}
	e->n_elastic_ips = n;
}

static bool index_is_taken(const struct vpc *v, const struct network_interface *e)
{
	for (const struct network_interface *o = v->network_interfaces; o < e; o++)
		if (e->device_index && o->attach_to == e->attach_to &&
		    o->device_index == e->device_index)
			return true;
	return false;
}

/* ENI-2, and what an attachment needs */
static void interface_attachment(struct fill *f, const struct place *p, const struct vpc *v,
				 struct network_interface *e)
{
	struct place attach = place_member(p, "attach_to"), index = place_member(p, "device_index");
	const struct subnet *there;

	e->attach_to = fill_reference(f, &attach, &fill_names(f, v)->instances, "instance",
				      fill_vpc_title(f, v), "InvalidInstanceID.NotFound");
	e->device_index = (int)read_num(p, "device_index");
	if (!attach.item) {
		if (index.item)
			fault(f->r, FAMILY_REFERENCE, &index, "InvalidParameterCombination",
			      "a device index of no instance (give attach_to, too)");
		return;
	}
	if (!index.item) {
		fault(f->r, FAMILY_TYPE, p, "MissingParameter",
		      "\"device_index\" is missing (which of the instance's interfaces it is: 1 "
		      "to 64)");
		return;
	}
	if (!e->attach_to)
		return;
	if (index_is_taken(v, e))
		fault(f->r, FAMILY_DUPLICATE, &index, "InvalidParameterValue",
		      "Instance '%s' already has an interface attached at device index '%d'.",
		      e->attach_to->name, e->device_index);
	there = e->attach_to->subnet;
	if (there && e->subnet &&
	    strcmp(there->availability_zone, e->subnet->availability_zone) != 0)
		fault(f->r, FAMILY_REFERENCE, &attach, "InvalidParameterValue",
		      "You may not attach a network interface to an instance if they are not in "
		      "the same availability zone (%s is in %s, the interface in %s)",
		      e->attach_to->name, there->availability_zone, e->subnet->availability_zone);
}

static void fill_interface(struct fill *f, const struct place *p, const struct vpc *v,
			   struct network_interface *e)
{
	struct place subnet = place_member(p, "subnet");
	struct place groups = place_member(p, "security_groups");

	e->vpc = v;
	e->subnet = fill_reference(f, &subnet, &fill_names(f, v)->subnets, "subnet",
				   fill_vpc_title(f, v), "InvalidSubnetID.NotFound");
	fill_private_ips(f, p, e->subnet, &e->private_ips, &e->n_private_ips);
	fill_groups(f, &groups, v, &e->security_groups, &e->n_security_groups);
	e->source_dest_check = read_bool(p, "source_dest_check");
	e->connection_tracking = fill_tracking(p);
	interface_attachment(f, p, v, e);
	interface_elastics(f, p, v, e);
}

/* ENI-10: nobody can ask for an automatic address for an instance with several */
static void launch_rules(struct fill *f, const struct place *vpc, const struct vpc *v)
{
	struct place map = place_member(vpc, "instances");
	size_t i = 0;

	PLACE_EACH(p, &map) {
		struct place wish = place_member(&p, "associate_public_ip_address");
		const struct instance *in = &v->instances[i];

		if (i++ == v->n_instances)
			break;
		if (in->vpc && cJSON_IsTrue(wish.item) && instance_n_interfaces(in) > 1)
			fault(f->r, FAMILY_REFERENCE, &wish, "InvalidParameterCombination",
			      "The associatePublicIPAddress parameter cannot be specified when "
			      "launching with multiple network interfaces. (give elastic_ip)");
	}
}

/* VPC-9: five addresses of a subnet are never anybody's */
static void take_room(struct fill *f, const struct place *p, const struct vpc *v,
		      const struct subnet *s, size_t n, uint64_t *used)
{
	uint64_t room;

	if (!s || !addr_is_set(&s->cidr_block.addr))
		return;
	room = prefix_n_addrs(&s->cidr_block) - 5;
	used[s - v->subnets] += n ? n : 1;
	if (used[s - v->subnets] > room)
		fault(f->r, FAMILY_CIDR, p, "InsufficientFreeAddressesInSubnet",
		      "subnet %s (%s) has no address left (it has room for %llu)", s->name,
		      prefix_str(&s->cidr_block), (unsigned long long)room);
}

/* NAT gateways come first, so that one that works isn't failed by who joins its subnet;
 * for them it is no fault, but what AWS lets fail later */
static void nats_room(struct fill *f, const struct place *vpc, struct vpc *v, uint64_t *used)
{
	struct place map = place_member(vpc, "nat_gateways");
	size_t i = 0;

	PLACE_EACH(p, &map) {
		struct nat_gateway *g = &v->nat_gateways[i];
		uint64_t *taken, n;

		if (i++ == v->n_nat_gateways)
			break;
		if (!g->subnet || !addr_is_set(&g->subnet->cidr_block.addr) ||
		    (!g->private_connectivity && !v->internet_gateway))
			continue;
		taken = &used[g->subnet - v->subnets];
		n = 1 + g->n_secondary_elastic_ips;
		if (*taken + n <= prefix_n_addrs(&g->subnet->cidr_block) - 5) {
			*taken += n;
			continue;
		}
		g->no_room = true;
		hint(f->r, &p, "nat-without-room",
		     "subnet %s (%s) has no %llu free addresses left: the NAT gateway will be "
		     "failed (InsufficientFreeAddressesInSubnet)",
		     g->subnet->name, prefix_str(&g->subnet->cidr_block), (unsigned long long)n);
	}
}

static void check_room(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place instances = place_member(vpc, "instances");
	struct place interfaces = place_member(vpc, "network_interfaces");
	uint64_t *used = NEW(f->r, v->n_subnets, uint64_t);
	size_t i = 0, k = 0;

	nats_room(f, vpc, v, used);
	PLACE_EACH(p, &instances) {
		if (i == v->n_instances)
			break;
		take_room(f, &p, v, v->instances[i].subnet, v->instances[i].n_private_ips, used);
		i++;
	}
	PLACE_EACH(p, &interfaces) {
		const struct network_interface *e = &v->network_interfaces[k];

		if (k++ == v->n_network_interfaces)
			break;
		take_room(f, &p, v, e->subnet, e->n_private_ips, used);
	}
}

/* LN-43: what a file calls so would be taken for one of those */
static bool is_interface_id(const char *name)
{
	return !strncmp(name, "eni-", 4) && strlen(name) == 21 &&
	       strspn(name + 4, "0123456789abcdef") == 17;
}

void fill_network_interfaces(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "network_interfaces");
	size_t i = 0;

	PLACE_EACH(p, &map) {
		if (is_interface_id(p.key))
			fault(f->r, FAMILY_NAME, &p, "OperationNotPermitted",
			      "You are not allowed to manage 'ela-attach' attachments. (%s is the "
			      "form of ids: interfaces that the service made for functions are "
			      "nobody else's to attach or delete)",
			      p.key);
		if (i < v->n_network_interfaces)
			fill_interface(f, &p, v, &v->network_interfaces[i++]);
	}
	launch_rules(f, vpc, v);
	check_room(f, vpc, v);
}
