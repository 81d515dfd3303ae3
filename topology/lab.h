/* SPDX-License-Identifier: MIT */
/*
 * lab - a lab file, parsed and checked: the typed form that everything else
 * reads (interface.md 1.1, 1.2).  Pure: no kernel, no daemon, no clock.
 *
 * All memory of a lab is one arena: pointers in it borrow from the lab and are
 * valid until lab_free().  Arrays keep the file's order.  References are
 * resolved pointers.  Every object that a person wrote has "pos" and "path".
 * A lab doesn't change but for what is edited in place (edit.h); what stands
 * behind an edited group keeps the "pos" it had before.
 */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/json.h"
#include "topology/flow_field.h"

#define LAB_SIZE_MAX (16 * 1024 * 1024)
#define LAB_DEPTH_MAX 64
/* link-local services: no route leads into it, and no packet is forwarded to it (RT-6) */
#define LAB_NO_ROUTES "169.254.168.0/22"
#define LAB_SUBNETS_MAX 250	     /* subnets, and route tables, of a VPC */
#define LAB_ZONE_INTERFACES_MAX 5000 /* AWS's quota (ENI-16) */
#define SCENARIO_STEPS_MAX 1000	     /* of one scenario */
#define SCENARIO_CONNECTIONS_MAX 64  /* that one scenario opens */
#define SCENARIO_ADVANCE_MAX 600     /* s of real time that one step may wait */
/* bytes of all the documents that a file's patches make: each is read whole, by
 * the daemons too */
#define SCENARIO_PATCHED_MAX LAB_SIZE_MAX
#define LAB_CASES_MAX 20000 /* test cases that the expectations make */

struct where {
	struct json_pos pos;
	const char *path; /* vpcs.main.subnets.app */
};

struct strings {
	const char **v;
	size_t n;
};

/* "tcp/443"; proto IPPROTO_TCP, _UDP, _ICMP; http/P is tcp with http set */
struct port {
	uint8_t proto;
	uint16_t port;
	bool http;
};

struct env_var {
	const char *name, *value;
};

struct node_file {
	const char *path, *text;
};

/* programs of a node: interface.md "programs of a node" */
struct programs {
	struct port *serve;
	size_t n_serve;
	struct strings command; /* n 0: none */
	struct env_var *environment;
	size_t n_environment;
	const char *user;	       /* "root" */
	const char *working_directory; /* "/" */
	struct node_file *files;
	size_t n_files;
	struct port *ready;
	size_t n_ready;
	double ready_timeout; /* s */
};

struct host { /* of the lab's internet */
	const char *name;
	struct where at;
	struct addr ip;
	struct strings dns_names;
	struct programs programs;
};

struct role {
	const char *name;
	struct where at;
	struct strings managed_policies, actions;
};

enum route_target {
	TARGET_LOCAL,
	TARGET_INTERNET_GATEWAY,
	TARGET_NAT_GATEWAY,
	TARGET_PEERING,
	TARGET_INSTANCE,
	TARGET_NETWORK_INTERFACE,
	TARGET_BLACKHOLE
};

struct route {
	struct where at;
	struct prefix destination;
	enum route_target target;
	const char *target_name; /* as written; "" for the gateways without name */
	const struct nat_gateway *nat_gateway;
	const struct peering *peering;
	const struct instance *instance;
	const struct network_interface *network_interface;
};

/* the value of an object that can be read by itself (edit.h) */
struct value_text {
	struct json_span span; /* in the document; empty: the file doesn't name the object */
	struct edit_text *own; /* what it lives in since an edit; NULL: the lab's arena */
};

struct route_table {
	const char *name; /* "" for the implicit main one */
	struct where at;
	struct route *routes; /* without the implicit local ones */
	size_t n_routes;
	struct value_text value;
};

struct sg_rule {
	struct where at;
	int protocol;		/* 0..255; -1 all */
	int from_port, to_port; /* ICMP: type, code; -1 any; unused for others */
	struct prefix *cidr_blocks;
	size_t n_cidr_blocks;
	const struct security_group **security_groups; /* of this VPC, or of a peer's */
	const struct peering **via; /* beside security_groups: NULL for this VPC's */
	size_t n_security_groups;
	bool self;
	const char *description; /* "" */
};

struct security_group {
	const char *name;
	struct where at;
	const struct vpc *vpc;
	const char *description;
	struct sg_rule *ingress, *egress;
	size_t n_ingress, n_egress;
	bool implicit; /* "default" that the file doesn't name */
	struct value_text value;
};

struct acl_entry {
	struct where at;
	int rule_number;
	bool allow;
	int protocol;
	struct prefix cidr_block;
	int from_port, to_port, icmp_type, icmp_code;
};

struct network_acl {
	const char *name;
	struct where at;
	struct acl_entry *ingress, *egress; /* sorted by rule_number */
	size_t n_ingress, n_egress;
	bool implicit;
	struct value_text value;
};

struct subnet {
	const char *name;
	struct where at;
	const struct vpc *vpc;
	struct prefix cidr_block;
	const char *availability_zone;
	const struct route_table *route_table; /* explicit, else the main one */
	bool explicit_route_table;
	const struct network_acl *network_acl;
	bool map_public_ip_on_launch;
};

struct elastic { /* an elastic address wish */
	bool set;
	bool automatic; /* "auto" */
	struct addr addr;
};

struct nat_gateway {
	const char *name;
	struct where at;
	const struct vpc *vpc;
	const struct subnet *subnet;
	bool private_connectivity;
	struct elastic elastic_ip;
	struct elastic *secondary_elastic_ips;
	size_t n_secondary_elastic_ips;
	struct addr private_ip; /* unset: automatic */
	unsigned max_connections_per_destination;
	double idle_timeout; /* s of AWS time, before time_scale */
	bool no_room;	     /* its subnet hasn't addresses enough left: it will fail (NAT-18) */
};

struct tracking { /* s; 0: default */
	unsigned tcp_established_timeout, udp_stream_timeout, udp_timeout;
};

struct instance {
	const char *name;
	struct where at;
	const struct vpc *vpc;
	const struct subnet *subnet;
	struct addr *private_ips; /* n 0: automatic */
	size_t n_private_ips;
	const struct security_group **security_groups; /* [default] filled in */
	size_t n_security_groups;
	bool associate_public_ip_address; /* the subnet's flag filled in */
	bool inherits_public_ip_address;  /* it was */
	struct elastic elastic_ip;
	bool source_dest_check, forward, nat_instance;
	struct strings dns_names;
	struct tracking connection_tracking;
	struct programs programs;
};

struct network_interface {
	const char *name;
	struct where at;
	const struct vpc *vpc;
	const struct subnet *subnet;
	struct addr *private_ips;
	size_t n_private_ips;
	const struct security_group **security_groups;
	size_t n_security_groups;
	bool source_dest_check;
	const struct instance *attach_to; /* NULL: unattached */
	int device_index;
	struct {
		struct addr private_ip;
		struct elastic eip;
	} * elastic_ips;
	size_t n_elastic_ips;
	struct tracking connection_tracking;
};

struct private_record {
	const char *name;
	struct addr addr;
	const char *cname; /* NULL if an address */
};

enum flow_traffic { FLOW_ALL, FLOW_ACCEPT, FLOW_REJECT };

enum flow_resource {
	FLOW_OF_VPC,
	FLOW_OF_SUBNET,
	FLOW_OF_INSTANCE,
	FLOW_OF_INTERFACE,
	FLOW_OF_NAT_GATEWAY,
	FLOW_OF_FUNCTION
};

struct flow_log {
	const char *name;
	struct where at;
	const struct vpc *vpc;
	const char *resource; /* as written */
	enum flow_resource kind;
	const void *object; /* struct subnet, instance, ... by "kind"; NULL: the VPC */
	enum flow_traffic traffic_type;
	unsigned max_aggregation_interval; /* s of AWS time, before time_scale */
	const char *log_format;		   /* as written, or AWS's default */
	struct flow_format format;
	const char *destination; /* a file's name; NULL: none */
};

struct vpc {
	const char *name;
	struct where at;
	struct prefix cidr_block;
	struct prefix *secondary_cidr_blocks;
	size_t n_secondary_cidr_blocks;
	bool internet_gateway;
	const struct route_table *edge_route_table; /* NULL */
	bool enable_dns_support, enable_dns_hostnames;
	const struct route_table *main_route_table; /* never NULL */
	struct subnet *subnets;
	size_t n_subnets;
	struct route_table *route_tables; /* an implicit main one is last */
	size_t n_route_tables;
	struct nat_gateway *nat_gateways;
	size_t n_nat_gateways;
	struct security_group *security_groups; /* an implicit default is last */
	size_t n_security_groups;
	struct network_acl *network_acls; /* an implicit default is last */
	size_t n_network_acls;
	struct instance *instances;
	size_t n_instances;
	struct network_interface *network_interfaces;
	size_t n_network_interfaces;
	struct private_record *private_zone;
	size_t n_private_zone;
	struct flow_log *flow_logs;
	size_t n_flow_logs;
};

struct peering {
	const char *name;
	struct where at;
	const struct vpc *requester, *accepter;
	bool auto_accept;
};

/* where an event's outcome goes (AS-4, AS-6) */
enum destination_kind {
	DESTINATION_NONE,
	DESTINATION_FUNCTION,
	DESTINATION_FILE,
	DESTINATION_SQS,
	DESTINATION_SNS
};

struct destination {
	enum destination_kind kind;
	const char *name; /* a function, a file below the lab's state folder, or a URL */
};

/* asynchronous invocation */
struct async {
	unsigned maximum_retry_attempts;
	unsigned maximum_event_age; /* s */
	double duplicate_rate;	    /* 0..1 */
	struct destination on_success, on_failure;
};

#define LIVE_ALIAS "live" /* of a function with provisioned concurrency */

/* a name of a version */
struct function_alias {
	const char *name, *function_version; /* "$LATEST", or a number */
};

struct function {
	const char *name;
	struct where at;
	const char *runtime; /* "exec", "provided.al2023", ... */
	struct strings command;
	const char *handler; /* "" */
	const char *code;    /* "" ; relative: to the base folder */
	struct strings layers;
	const char *image; /* "" */
	struct {
		struct strings entry_point, command;
		bool has_entry_point, has_command; /* given, if only as [] */
		const char *working_directory;	   /* "" */
	} image_config;
	unsigned timeout;	    /* s */
	unsigned memory_size;	    /* MB */
	unsigned ephemeral_storage; /* MB */
	struct env_var *environment;
	size_t n_environment;
	const struct role *role; /* NULL */
	const struct vpc *vpc;	 /* NULL: default mode */
	const struct subnet **subnets;
	size_t n_subnets;
	const struct security_group **security_groups;
	size_t n_security_groups;
	long reserved_concurrent_executions;	/* -1: none */
	long provisioned_concurrent_executions; /* 0 */
	bool publish;
	struct function_alias *aliases;
	size_t n_aliases;
	struct async async;
	struct destination dead_letter;
};

/* an end of a probe */
struct endpoint {
	const char *text; /* NODE, FUNCTION@SUBNET; of a target also an address or DNS name */
	const char *node; /* NULL: an address or a DNS name */
	bool selected;	  /* by a selector, not by its name */
};

struct endpoints {
	struct endpoint *v;
	size_t n;
};

struct expect_port {
	const char *text; /* "tcp/443", "icmp" */
	struct port port;
};

/* each source, target and port make a test case: from x to x ports get "result",
 * rest x to x ports get neither open nor refused */
struct expect {
	const char *name; /* NULL: none given */
	struct where at;
	/* reachability; n 0 for an invocation */
	struct endpoints from; /* with only_from: those that it names */
	struct endpoints rest; /* only_from: everybody else */
	struct endpoints to;
	struct expect_port *ports;
	size_t n_ports;
	bool has_only_from;
	bool product;		/* written with a list or a selector */
	const char *result;	/* "open" ...; with only_from "open" */
	const char *seen_as;	/* NULL */
	struct strings because; /* n 0: none */
	const char *address;	/* "private", "public" or NULL */
	double timeout, within; /* s */
	/* invocation */
	const char *invoke;   /* NULL */
	const cJSON *payload; /* borrowed; NULL: absent ({}), like the next four */
	const cJSON *returns, *matches, *outcomes;
	const char *type, *qualifier; /* NULL */
	const char *error;	      /* errorType */
	long status;		      /* 0: none */
	const char *log;
	unsigned times, parallel; /* 1, 1 */
	/* a record of a flow log; NULL: another expectation */
	const cJSON *flow;  /* fields' names with "_", and "flow_log" */
	const char *action; /* "ACCEPT", "REJECT" */
};

enum scenario_kind {
	SCENARIO_EXPECT,
	SCENARIO_CONNECT,
	SCENARIO_CONNECTION,
	SCENARIO_PATCH,
	SCENARIO_ADVANCE
};

struct scenario_step {
	enum scenario_kind kind;
	struct where at;
	const struct lab *lab; /* in force at the step, a patch of its own included */
	struct expect expect;
	const char *connection; /* connect, connection: its name */
	const char *from, *to;	/* connect: NODE or FUNCTION@SUBNET; node, address, name */
	const char *port_text;	/* connect */
	const char *result;	/* connection: "alive", "reset", "closed", "silent" */
	const cJSON *patch;	/* borrowed */
	double advance;		/* s of AWS time */
};

struct scenario {
	const char *name;
	struct where at;
	struct scenario_step *steps;
	size_t n_steps;
};

struct lab {
	const char *name, *description, *region;
	double time_scale;
	unsigned concurrent_executions;
	double eni_linger; /* s */
	struct addr service_ip;
	struct prefix address_pool;
	struct host *hosts;
	size_t n_hosts;
	struct role *roles;
	size_t n_roles;
	struct vpc *vpcs;
	size_t n_vpcs;
	struct peering *peerings;
	size_t n_peerings;
	struct function *functions;
	size_t n_functions;
	struct expect *expects;
	size_t n_expects;
	size_t n_warnings; /* that the document has */
	struct scenario *scenarios;
	size_t n_scenarios;
	cJSON *bare;	      /* owns; the document of a scenario's copy: without expectations and
		      * scenarios; NULL without scenarios */
	struct lab **patched; /* owns them; what patches of scenarios make of it */
	size_t n_patched;
	struct json_doc doc; /* owns; cJSON values above borrow from it */
	void *arena;	     /* owns */
};

/* one fault or warning of a file */
struct issue {
	const char *file;
	struct json_pos pos;
	const char *path; /* "" for the top */
	const char *msg;  /* "10.1.0.0/24 is outside the VPC's 10.0.0.0/16" */
	const char *code; /* "InvalidSubnet.Range", or a warning's slug */
	int exit;	  /* 2 invalid, 4 not supported by this build */
};

struct issues {
	struct issue *errors, *warnings; /* in the file's order */
	size_t n_errors, n_warnings;
	void *arena; /* owns all text */
};

/*
 * lab_parse() - reads and checks a whole lab file; every fault is in "ret_issues"
 * (always filled, issues_done() frees), in the file's order.
 * "file": name for messages ("-" for standard input).  "name": takes the place
 * of the file's "lab" (NULL: not; not bound by its length).
 * Returns the lab (owns; lab_free()), or NULL when there was an error.
 */
struct lab *lab_parse(const char *text, size_t size, const char *file, const char *name,
		      struct issues *ret_issues);
struct lab *lab_free(struct lab *lab);
void issues_done(struct issues *i);
/* exit status for the errors: 2 if any is invalid, else 4 if any is
 * unsupported, else 0 */
int issues_exit(const struct issues *i);
/* "FILE:LINE:COLUMN: PATH: what is wrong"; caller frees, NULL without memory */
char *issue_line(const struct issue *i);
/* {"valid","errors":[...],"warnings":[...]} (interface.md 4, check); caller owns */
cJSON *issues_json(const struct issues *i);

/* look-ups; NULL if there is none */
const struct vpc *lab_vpc(const struct lab *l, const char *name);
const struct host *lab_host(const struct lab *l, const char *name);
const struct instance *lab_instance(const struct lab *l, const char *name);
const struct function *lab_function(const struct lab *l, const char *name);
const struct subnet *vpc_subnet(const struct vpc *v, const char *name);
const struct security_group *vpc_security_group(const struct vpc *v, const char *name);
const struct nat_gateway *vpc_nat_gateway(const struct vpc *v, const char *name);
const struct route_table *vpc_route_table(const struct vpc *v, const char *name);
/* does a route of the file's have just this destination? (RT-4: the local route, led
 * elsewhere) */
bool route_table_names(const struct route_table *t, const struct prefix *destination);
const struct network_interface *vpc_network_interface(const struct vpc *v, const char *name);
/* a VPC's blocks: 0 the primary one, then the secondary ones; NULL past the last */
const struct prefix *vpc_cidr(const struct vpc *v, size_t i);
/* the one of them that an address lies in; NULL: none */
const struct prefix *vpc_cidr_of(const struct vpc *v, const struct addr *a);
/* how many interfaces an instance has: its own and those that are attached to it */
size_t instance_n_interfaces(const struct instance *in);
/* where a route leads, as a file writes it ("nat_gateway:nat"), into "ret", which it
 * returns */
const char *route_target_words(const struct route *r, char *ret, size_t size);
/* does this node's built-in server or declared "ready" list answer the port? */
bool programs_serve(const struct programs *p, const struct port *port);
/* "tcp/443", "http/80", "icmp"; 0, -EINVAL */
int port_parse(const char *s, struct port *ret);
/* a title for a report: "connect c: a -> b tcp/443", "advance 60 s", or an
 * expectation's; caller frees, NULL without memory */
char *scenario_step_title(const struct scenario_step *s);
/* REACH-1 codes known to the product */
bool reach_code_known(const char *code);

/* the document with "patches" (RFC 7396) merged over it is cli's affair */

#endif
