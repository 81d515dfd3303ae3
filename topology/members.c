/* SPDX-License-Identifier: MIT */
/*
 * members - the table itself: every member of a lab file with its type, range,
 * default and a line for editors, in the manual's order.  See shape.h for who
 * reads it.  A "0" as upper bound of a list or text means none.
 */
#include "topology/shape.h"

#include "topology/format.h"
#include "topology/lab.h"

#define BOOL (&(const struct shape){ .kind = SHAPE_BOOL })
#define ANY (&(const struct shape){ .kind = SHAPE_ANY })
#define STR (&(const struct shape){ .kind = SHAPE_STR })
#define STR1 (&(const struct shape){ .kind = SHAPE_STR, .min = 1 })
#define FORM(f) (&(const struct shape){ .kind = SHAPE_STR, .format = &(f) })
#define WORDS(...)                                 \
	(&(const struct shape){ .kind = SHAPE_STR, \
				.words = (const char *const[]){ __VA_ARGS__, NULL } })
#define INT(lo, hi) (&(const struct shape){ .kind = SHAPE_INT, .min = (lo), .max = (hi) })
#define NUM(lo, hi) (&(const struct shape){ .kind = SHAPE_NUM, .min = (lo), .max = (hi) })
#define LIST(elem, lo, hi) \
	(&(const struct shape){ .kind = SHAPE_LIST, .of = (elem), .min = (lo), .max = (hi) })
#define MAP(value) \
	(&(const struct shape){ .kind = SHAPE_MAP, .of = (value), .format = &format_name })
#define MAP_OF(value, f) (&(const struct shape){ .kind = SHAPE_MAP, .of = (value), .format = (f) })
#define EITHER(...)                                   \
	(&(const struct shape){ .kind = SHAPE_EITHER, \
				.alternatives =       \
					(const struct shape *const[]){ __VA_ARGS__, NULL } })
#define OBJ(title, ...)                                                                \
	{                                                                              \
		.kind = SHAPE_OBJ, .name = (title), .members = (const struct member[]) \
		{                                                                      \
			__VA_ARGS__,                                                   \
			{                                                              \
				.name = NULL                                           \
			}                                                              \
		}                                                                      \
	}

#define REQ(n, s, d)                                                    \
	{                                                               \
		.name = (n), .shape = (s), .required = true, .doc = (d) \
	}
#define OPT(n, s, d)                                  \
	{                                             \
		.name = (n), .shape = (s), .doc = (d) \
	}
#define DEF(n, s, v, d)                                                                \
	{                                                                              \
		.name = (n), .shape = (s), .has_def = true, .def_num = (v), .doc = (d) \
	}
#define SAY(n, s, v, d)                                                                \
	{                                                                              \
		.name = (n), .shape = (s), .has_def = true, .def_str = (v), .doc = (d) \
	}

#define DAY 86400

/* the programs of a node, in instances and hosts alike */
#define PROGRAMS                                                                                 \
	OPT("serve", LIST(FORM(format_serve), 0, 0),                                             \
	    "ports that the built-in server answers: tcp/P, udp/P, http/P"),                     \
		OPT("command", LIST(STR, 1, 0), "a program (argv), restarted when it ends"),     \
		OPT("environment", MAP_OF(STR, &format_variable), "environment of the program"), \
		SAY("user", FORM(format_user), "root", "who the program runs as"),               \
		SAY("working_directory", FORM(format_folder), "/", "where the program starts"),  \
		OPT("files", MAP_OF(STR, &format_file),                                          \
		    "files written before the program starts"),                                  \
		OPT("ready", LIST(FORM(format_ready), 0, 0),                                     \
		    "ports (tcp/P) that must listen before the node counts as ready"),           \
		DEF("ready_timeout", NUM(0.1, 3600), 30, "seconds to wait for them")

static const struct shape shape_host =
	OBJ("host", REQ("ip", STR1, "its public IPv4 address"),
	    OPT("dns_names", LIST(FORM(format_dns), 0, 0), "names that resolve to it everywhere"),
	    PROGRAMS);

static const struct shape shape_internet = OBJ(
	"internet", OPT("hosts", MAP(&shape_host), "hosts of the lab's own internet"),
	SAY("service_ip", STR1, "192.0.2.10", "who functions outside any VPC are"),
	SAY("address_pool", STR1, "198.18.0.0/15", "where automatic public addresses come from"));

static const struct shape shape_role =
	OBJ("role", OPT("managed_policies", LIST(STR1, 0, 0), "managed policies, by name or ARN"),
	    OPT("actions", LIST(FORM(format_action), 0, 0), "IAM actions it allows"));

static const struct shape shape_edge =
	OBJ("edge", REQ("route_table", STR1, "the gateway's own (edge) route table"));

static const struct shape shape_subnet =
	OBJ("subnet", REQ("cidr_block", STR1, "its CIDR, /16 to /28, inside the VPC's"),
	    OPT("availability_zone", STR1, "default: the region's zone a"),
	    OPT("route_table", STR1, "default: the VPC's main one"),
	    OPT("network_acl", STR1, "default: the VPC's default one"),
	    DEF("map_public_ip_on_launch", BOOL, false, "instances get a public address"));

static const struct shape shape_route_table =
	OBJ("route_table",
	    OPT("routes", MAP_OF(STR1, NULL),
		"destination CIDR: local, internet_gateway, "
		"nat_gateway:N, peering:P, instance:I, network_interface:E or blackhole"));

static const struct shape shape_nat_gateway =
	OBJ("nat_gateway", REQ("subnet", STR1, "where it stands"),
	    SAY("connectivity_type", WORDS("public", "private"), "public",
		"private: no elastic address"),
	    OPT("elastic_ip", STR1, "its public address, or auto (the default)"),
	    OPT("secondary_elastic_ips", LIST(STR1, 0, 7), "more of them"),
	    OPT("private_ip", STR1, "default: the lowest free one"),
	    DEF("max_connections_per_destination", INT(1, 55000), 55000,
		"simultaneous connections to one destination"),
	    DEF("idle_timeout", NUM(1, DAY), 350,
		"seconds after which an idle connection is forgotten"));

static const struct shape shape_sg_rule = {
	.kind = SHAPE_OBJ,
	.name = "security_group_rule",
	.any_of = (const char *const[]){ "cidr_blocks", "security_groups", "self", NULL },
	.members =
		(const struct member[]){ REQ("protocol",
					     EITHER(FORM(format_protocol), INT(-1, 255)),
					     "tcp, udp, icmp, a number, or -1 or all"),
					 OPT("from_port", INT(-1, 65535),
					     "required for tcp and udp; ICMP: the type, -1 any"),
					 OPT("to_port", INT(-1, 65535),
					     "default: from_port; ICMP: the code, -1 any"),
					 OPT("cidr_blocks", LIST(STR1, 0, 0), "peers by address"),
					 OPT("security_groups", LIST(STR1, 0, 0),
					     "peers by group; P/G across peering P"),
					 DEF("self", BOOL, false, "members of this group"),
					 SAY("description", STR, "", "what the rule is for"),
					 { .name = NULL } }
};

static const struct shape shape_security_group = OBJ(
	"security_group", SAY("description", STR, "", "what the group is for"),
	OPT("ingress", LIST(&shape_sg_rule, 0, 0), "default: none"),
	OPT("egress", LIST(&shape_sg_rule, 0, 0), "default: one rule that allows all; []: none"));

static const struct shape shape_acl_entry =
	OBJ("network_acl_entry",
	    REQ("rule_number", INT(1, 32766), "the lowest that matches decides"),
	    REQ("rule_action", WORDS("allow", "deny"), "what it does"),
	    REQ("protocol", EITHER(FORM(format_protocol), INT(-1, 255)),
		"tcp, udp, icmp, a number, or -1 or all"),
	    REQ("cidr_block", STR1, "the peer"),
	    OPT("from_port", INT(0, 65535), "required for tcp and udp"),
	    OPT("to_port", INT(0, 65535), "default: from_port"),
	    DEF("icmp_type", INT(-1, 255), -1, "-1: any"),
	    DEF("icmp_code", INT(-1, 255), -1, "-1: any"));

static const struct shape shape_network_acl =
	OBJ("network_acl",
	    OPT("ingress", LIST(&shape_acl_entry, 0, 0), "what may enter the subnet"),
	    OPT("egress", LIST(&shape_acl_entry, 0, 0), "what may leave it"));

static const struct shape shape_tracking =
	OBJ("connection_tracking",
	    OPT("tcp_established_timeout", INT(60, 432000), "seconds; default: 432000"),
	    OPT("udp_stream_timeout", INT(60, 180), "seconds; default: 180"),
	    OPT("udp_timeout", INT(30, 60), "seconds; default: 30"));

static const struct shape shape_instance = OBJ(
	"instance", REQ("subnet", STR1, "where it stands"),
	OPT("private_ips", LIST(STR1, 1, 50), "the first is the primary one; default: automatic"),
	OPT("security_groups", LIST(STR1, 1, 16), "default: [default]"),
	OPT("associate_public_ip_address", BOOL, "default: the subnet's flag"),
	OPT("elastic_ip", STR1, "a public address of its own, or auto"),
	DEF("source_dest_check", BOOL, true, "drop what is neither from nor to its own addresses"),
	DEF("forward", BOOL, false, "IP forwarding inside"),
	DEF("nat_instance", BOOL, false, "masquerade inside"),
	OPT("dns_names", LIST(FORM(format_dns), 0, 0), "more names in its VPC's resolver"),
	OPT("connection_tracking", &shape_tracking, "idle times of what it keeps open"), PROGRAMS);

static const struct shape shape_network_interface = OBJ(
	"network_interface", REQ("subnet", STR1, "where it stands"),
	OPT("private_ips", LIST(STR1, 1, 50), "the first is the primary one; default: automatic"),
	OPT("security_groups", LIST(STR1, 1, 16), "default: [default]"),
	OPT("elastic_ips", MAP_OF(STR1, NULL), "private address: public address, or auto"),
	DEF("source_dest_check", BOOL, true, "drop what is neither from nor to its own addresses"),
	OPT("connection_tracking", &shape_tracking, "idle times of what it keeps open"),
	OPT("attach_to", STR1, "an instance"),
	OPT("device_index", INT(1, 64), "which of the instance's interfaces"));

static const struct shape shape_flow_log =
	OBJ("flow_log",
	    REQ("resource", STR1,
		"vpc, subnet:S, instance:I, network_interface:E, nat_gateway:N, function:F"),
	    SAY("traffic_type", WORDS("ALL", "ACCEPT", "REJECT"), "ALL", "what is recorded"),
	    DEF("max_aggregation_interval", INT(60, 600), 600, "seconds: 600 or 60"),
	    OPT("log_format", STR1, "AWS's ${field} ..."),
	    OPT("destination", FORM(format_file_name), "file name below the lab's state folder"));

static const struct shape shape_vpc =
	OBJ("vpc", REQ("cidr_block", STR1, "its CIDR, /16 to /28"),
	    OPT("secondary_cidr_blocks", LIST(STR1, 0, 49), "more of them"),
	    DEF("internet_gateway", EITHER(BOOL, &shape_edge), false,
		"true, or an object that names an edge route table"),
	    DEF("enable_dns_support", BOOL, true, "the resolver answers"),
	    DEF("enable_dns_hostnames", BOOL, false, "AWS's own host names resolve"),
	    OPT("main_route_table", STR1, "default: an implicit one with the local route only"),
	    OPT("subnets", MAP(&shape_subnet), "subnets"),
	    OPT("route_tables", MAP(&shape_route_table), "route tables"),
	    OPT("nat_gateways", MAP(&shape_nat_gateway), "NAT gateways"),
	    OPT("security_groups", MAP(&shape_security_group),
		"security groups; default always exists"),
	    OPT("network_acls", MAP(&shape_network_acl), "network ACLs; default always exists"),
	    OPT("instances", MAP(&shape_instance), "instances"),
	    OPT("network_interfaces", MAP(&shape_network_interface), "further network interfaces"),
	    OPT("private_zone", MAP_OF(STR1, &format_dns), "name: address or CNAME:name"),
	    OPT("flow_logs", MAP(&shape_flow_log), "flow logs"));

static const struct shape shape_peering =
	OBJ("peering", REQ("requester", STR1, "a VPC"), REQ("accepter", STR1, "another VPC"),
	    DEF("auto_accept", BOOL, true, "false: stays pending and carries nothing"));

static const struct shape shape_vpc_config =
	OBJ("vpc_config", OPT("vpc", STR1, "default: the only one"),
	    REQ("subnets", LIST(STR1, 0, 16), "1 to 16 of them; none, with no groups, for no VPC"),
	    REQ("security_groups", LIST(STR1, 0, 5), "1 to 5 of them"));

static const struct shape shape_image_config =
	OBJ("image_config", OPT("entry_point", LIST(STR, 0, 0), "in place of the image's"),
	    OPT("command", LIST(STR, 0, 0), "in place of the image's"),
	    OPT("working_directory", FORM(format_folder), "in place of the image's"));

static const struct shape shape_alias =
	OBJ("alias", REQ("function_version", STR1, "a published version, or $LATEST"));

static const struct shape shape_async =
	OBJ("async", DEF("maximum_retry_attempts", INT(0, 2), 2, "after a function error"),
	    DEF("maximum_event_age_in_seconds", INT(60, 21600), 21600, "how long an event is kept"),
	    OPT("on_success", STR1, "function:F, file:NAME, sqs:URL or sns:URL"),
	    OPT("on_failure", STR1, "function:F, file:NAME, sqs:URL or sns:URL"),
	    DEF("duplicate_rate", NUM(0, 1), 0, "share of events delivered twice"));

static const struct shape shape_function =
	OBJ("function",
	    REQ("runtime", FORM(format_runtime), "exec, provided*, nodejs*, python*, java*, ruby*"),
	    OPT("command", LIST(STR, 1, 0), "exec: argv; event on stdin, response on stdout"),
	    SAY("handler", STR, "", "file.function"),
	    SAY("code", STR1, "", "folder or .zip; relative to the lab file's folder"),
	    OPT("layers", LIST(STR1, 0, 5), "folders or .zip files"),
	    SAY("image", STR1, "", "OCI layout folder or archive"),
	    OPT("image_config", &shape_image_config, "what to change of the image's own"),
	    DEF("timeout", INT(1, 900), 3, "seconds"),
	    DEF("memory_size", INT(128, 10240), 128, "MB"),
	    DEF("ephemeral_storage", INT(512, 10240), 512, "MB of /tmp"),
	    OPT("environment", MAP_OF(STR, NULL), "4 KB in all; not Lambda's own names"),
	    OPT("role", STR1, "its execution role"),
	    OPT("vpc_config", &shape_vpc_config, "the VPC it is attached to"),
	    OPT("reserved_concurrent_executions", INT(0, 1000000), "guarantee and cap"),
	    DEF("provisioned_concurrent_executions", INT(0, 1000000), 0, "kept ready"),
	    DEF("publish", BOOL, false, "publish a version"),
	    OPT("aliases", MAP(&shape_alias), "names of versions"),
	    OPT("async", &shape_async, "asynchronous invocation"),
	    OPT("dead_letter", STR1, "function:F, file:NAME, sqs:URL or sns:URL"));

#define NAME_OR_LIST EITHER(STR1, LIST(STR1, 1, 0))
#define PORT_OR_LIST EITHER(FORM(format_port), LIST(FORM(format_port), 1, 0))
#define PROBE                                                                                  \
	REQ("to", NAME_OR_LIST, "as from; also an address or a DNS name"),                     \
		REQ("port", PORT_OR_LIST, "tcp/N, udp/N or icmp, or a list: each"),            \
		OPT("seen_as", STR1,                                                           \
		    "who the target saw: address, CIDR, node, nat_gateway:V/N or service"),    \
		OPT("because", NAME_OR_LIST,                                                   \
		    "what dropped it: a REACH-1 code, or a list of them"),                     \
		OPT("address", WORDS("private", "public"), "which of the target's addresses"), \
		OPT("name", STR1, "title in reports"),                                         \
		DEF("timeout", NUM(0.01, 60), 1, "seconds of silence that count"),             \
		DEF("within", NUM(0, 3600), 0, "seconds to keep trying until it holds")

static const struct shape shape_reach = OBJ(
	"expect_reachability",
	REQ("from", NAME_OR_LIST,
	    "a node, FUNCTION@SUBNET, *, vpc:V, subnet:V/S, security_group:V/G, or a list; !WORD "
	    "takes out"),
	PROBE,
	REQ("result", WORDS("open", "refused", "timeout", "unreachable"), "what a probe finds"));

static const struct shape shape_only_from =
	OBJ("expect_only_from",
	    REQ("only_from", LIST(STR1, 0, 0),
		"words as in from: who reaches it; every other node must not"),
	    PROBE);

static const struct shape shape_outcomes =
	OBJ("outcomes", OPT("ok", INT(0, 1000000), "how many succeed"),
	    OPT("throttled", INT(0, 1000000), "how many are throttled"));

static const struct shape shape_invoke = {
	.kind = SHAPE_OBJ,
	.name = "expect_invocation",
	.any_of = (const char *const[]){ "returns", "matches", "error", "status", "log", "outcomes",
					 NULL },
	.members = (const struct member[]){ REQ("invoke", STR1, "a function"),
					    OPT("payload", ANY, "the event; default: {}"),
					    OPT("type", WORDS("RequestResponse", "Event", "DryRun"),
						"default: RequestResponse"),
					    OPT("qualifier", STR1, "a version or alias"),
					    DEF("times", INT(1, 100000), 1, "how many invocations"),
					    DEF("parallel", INT(1, 1000), 1, "how many at once"),
					    OPT("returns", ANY, "the response is equal to this"),
					    OPT("matches", MAP_OF(ANY, NULL),
						"every member given is equal in the response"),
					    OPT("error", STR1, "errorType of the function error"),
					    OPT("status", INT(100, 599), "HTTP status"),
					    OPT("log", STR1, "a line of the log contains this"),
					    OPT("outcomes", &shape_outcomes, "how many ended how"),
					    OPT("name", STR1, "title in reports"),
					    { .name = NULL } }
};

static const struct shape shape_flow = OBJ(
	"expect_flow",
	REQ("flow", MAP_OF(EITHER(STR, NUM(0, 4294967295)), NULL), "fields of a flow-log record"),
	REQ("action", WORDS("ACCEPT", "REJECT"), "what became of it"),
	OPT("name", STR1, "title in reports"),
	DEF("within", NUM(0, 3600), 0, "seconds to keep trying until it holds"));

static const struct shape shape_expect = {
	.kind = SHAPE_CHOICE,
	.name = "expect",
	.tags = (const char *const[]){ "invoke", "flow", "only_from", NULL },
	.alternatives = (const struct shape *const[]){ &shape_invoke, &shape_flow, &shape_only_from,
						       &shape_reach, NULL }
};

static const struct shape shape_connect =
	OBJ("step_connect", REQ("connect", FORM(format_name), "a name for the connection"),
	    REQ("from", STR1, "a node"), REQ("to", STR1, "a node, an address or a DNS name"),
	    REQ("port", FORM(format_port), "tcp/N or udp/N"));

static const struct shape shape_connection =
	OBJ("step_connection", REQ("connection", FORM(format_name), "an open connection"),
	    REQ("result", WORDS("alive", "reset", "closed", "silent"), "what became of it"));

static const struct shape shape_patch =
	OBJ("step_patch", REQ("patch", MAP_OF(ANY, NULL), "a merge patch on the lab file"));

static const struct shape shape_advance =
	OBJ("step_advance", REQ("advance", NUM(0, 366.0 * DAY), "seconds of AWS time"));

static const struct shape shape_step = { .kind = SHAPE_CHOICE,
					 .name = "step",
					 .tags = (const char *const[]){ "connect", "connection",
									"patch", "advance", NULL },
					 .alternatives = (const struct shape *const[]){
						 &shape_connect, &shape_connection, &shape_patch,
						 &shape_advance, &shape_expect, NULL } };

const struct shape shape_lab =
	OBJ("lab", OPT("$schema", STR, "the schema, for editors"),
	    DEF("version", INT(1, 1), 1, "of this format"),
	    REQ("lab", FORM(format_lab), "the lab's name"),
	    SAY("description", STR, "", "what it is for"),
	    SAY("region", FORM(format_region), "us-east-1", "for names and zones"),
	    DEF("time_scale", NUM(1, 100000), 1, "divides AWS's idle and retry times"),
	    DEF("concurrent_executions", INT(1, 1000000), 1000, "of all functions together"),
	    DEF("eni_linger", NUM(0, DAY), 0, "seconds a function's interface outlives its use"),
	    OPT("internet", &shape_internet, "the lab's own internet"),
	    OPT("roles", MAP(&shape_role), "execution roles"), OPT("vpcs", MAP(&shape_vpc), "VPCs"),
	    OPT("peerings", MAP(&shape_peering), "peerings between VPCs"),
	    OPT("functions", MAP(&shape_function), "functions"),
	    OPT("expect", LIST(&shape_expect, 0, 0), "what must hold"),
	    OPT("scenarios", MAP(LIST(&shape_step, 0, SCENARIO_STEPS_MAX)),
		"things over time, each on a copy"));
