/* SPDX-License-Identifier: MIT */
/*
 * store - the objects of a lab: those that its file makes and those that the
 * service makes for them (network interfaces, egress namespaces, places), with
 * the ids and numbers that they keep for life.  Pure: no kernel, no clock.
 *
 * A store never changes once it is made, but for places and for what is edited in its
 * lab (edit.h): a new document makes a new store beside the old one, which stays valid
 * for undoing.  Both hold their own lab.  What must survive a restart is text
 * (store_save); a store is built again from the document and that text.
 *
 * Everything in a store is in arrays, in the file's order, and lives in the
 * store's arena.  compile (netd/) and netd's "show" read the structs directly.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "topology/alloc.h"
#include "topology/lab.h"

#define ID_SIZE 40
/* Index of the one device of a namespace that isn't numbered (eth0, igw); those of
 * links that come and go begin at twice that.  Not 2: where modules for tunnels are
 * loaded, each new namespace begins with up to ten devices that nobody asked for. */
#define STORE_INDEX 32
#define STORE_API_PORT 80      /* of AWS's endpoint; plain HTTP */
#define STORE_LAMBDA_MAX 500   /* interfaces of functions in a VPC (LN-41) */
#define STORE_PLACES_MAX 16000 /* of one egress namespace, at a time */
/* the upper half of a packet's mark, but for its first bit; one more is nobody's */
#define STORE_COMBINATIONS_MAX 32766
/* interfaces of a VPC whose source/dest check is off: two of 128 labels each, as those
 * whose check is on have together; three are for idle times (netd/compile_idle.c) */
#define STORE_SLOTS_MAX 61

/* kind, its name (interface.md 4, singular) and the prefix of its ids */
#define OBJECT_KINDS(X)                                          \
	X(OBJECT_LAB, "lab", "lab-")                             \
	X(OBJECT_HOST, "host", "host-")                          \
	X(OBJECT_VPC, "vpc", "vpc-")                             \
	X(OBJECT_INTERNET_GATEWAY, "internet_gateway", "igw-")   \
	X(OBJECT_PEERING, "peering", "pcx-")                     \
	X(OBJECT_SUBNET, "subnet", "subnet-")                    \
	X(OBJECT_ROUTE_TABLE, "route_table", "rtb-")             \
	X(OBJECT_NAT_GATEWAY, "nat_gateway", "nat-")             \
	X(OBJECT_SECURITY_GROUP, "security_group", "sg-")        \
	X(OBJECT_NETWORK_ACL, "network_acl", "acl-")             \
	X(OBJECT_INSTANCE, "instance", "i-")                     \
	X(OBJECT_NETWORK_INTERFACE, "network_interface", "eni-") \
	X(OBJECT_FLOW_LOG, "flow_log", "fl-")                    \
	X(OBJECT_FUNCTION, "function", "fn-")

enum object_kind {
#define OBJECT_ENUM(sym, name, prefix) sym,
	OBJECT_KINDS(OBJECT_ENUM)
#undef OBJECT_ENUM
		OBJECT_N_KINDS
};
const char *object_kind_name(enum object_kind k);

enum origin { ORIGIN_FILE, ORIGIN_SERVICE };

struct object {
	enum object_kind kind;
	enum origin origin;
	unsigned incarnation; /* from 1: how many of this name there were */
	const char *name;     /* as in the file, VPC/NAME, or the id */
	const char *id;
	const char *path;			    /* in the file, "" if the service made it */
	const char *state;			    /* "available", "failed", "in-use", ... */
	const char *failure_code, *failure_message; /* NULL */
};

struct edit;
struct s_vpc;
struct s_eni;
struct s_peering;

struct s_subnet {
	struct object o;
	const struct subnet *def;
	struct s_vpc *vpc;
	struct s_table *table;
	struct s_acl *acl;
	unsigned number;    /* 1..250 */
	struct addr router; /* base + 1 */
};

struct s_table {
	struct object o;
	const struct route_table *def;
	struct s_vpc *vpc;
	unsigned number; /* 1..250; kernel table 100 + number */
};

struct s_group {
	struct object o;
	const struct security_group *def;
	struct s_vpc *vpc;
	unsigned number; /* of sets and chains: g<number>_... */
};

#define STORE_TCP_ESTABLISHED 432000
#define STORE_UDP_STREAM 180
#define STORE_UDP 30

/* how long an interface remembers what is idle (CT-6), s of AWS time */
struct s_idle {
	unsigned tcp_established, udp_stream, udp;
};
extern const struct s_idle store_idle_default;
static inline bool s_idle_equal(const struct s_idle *a, const struct s_idle *b)
{
	return a->tcp_established == b->tcp_established && a->udp_stream == b->udp_stream &&
	       a->udp == b->udp;
}

/*
 * A distinct set of groups that some interface has, with what its tracking of
 * connections is like.  An interface that takes packets of others (no source/dest
 * check) sees a flow twice in one router, so it has a combination of its own,
 * with a slot: its own place in what tracking remembers of a flow.
 */
struct s_combination {
	unsigned number; /* 1..STORE_COMBINATIONS_MAX */
	unsigned slot;	 /* 1..STORE_SLOTS_MAX; 0: that of all whose packets are their own */
	struct s_idle idle;
	bool always;			/* tracks whatever the rules are (CT-5) */
	const char *owner;		/* the name that its numbers are kept by */
	const struct object *middlebox; /* the one interface that has a slot; NULL */
	struct s_group **groups;	/* sorted by number */
	size_t n_groups;
};

struct s_acl {
	struct object o;
	const struct network_acl *def;
	struct s_vpc *vpc;
	unsigned number; /* of chains: a<number>_... */
};

enum eni_type { ENI_INTERFACE, ENI_NAT_GATEWAY, ENI_LAMBDA };
const char *eni_type_name(enum eni_type t); /* "interface", ... */

struct s_public {
	struct addr addr;
	const char *id; /* eipalloc-... */
};

struct s_eni {
	struct object o; /* of the file's own: VPC/NAME; of others: the id */
	enum eni_type type;
	const struct network_interface *def; /* the file's own; NULL: made for its owner */
	struct s_vpc *vpc;
	struct s_subnet *subnet;
	const struct s_combination *combination; /* NULL: NAT gateway's */
	struct s_group **groups;		 /* of the combination */
	size_t n_groups;
	struct addr *private_ips; /* first: primary */
	size_t n_private_ips;
	struct addr public_ip;		    /* of the primary; unset if none */
	const char *public_ip_id;	    /* eipalloc-...; NULL for an address of a launch */
	struct s_public *secondary_publics; /* beside private_ips, [0] unset; NULL: none */
	struct s_idle idle;
	bool source_dest_check;
	const char *description;
	const char *mac, *router_mac; /* "02:..." */
	const char *router_interface; /* link in the router's namespace */
	unsigned device_index;	      /* of an attached one: 0 the instance's own */
	const char *device;	      /* link in "ns": eth0 */
	const char *ns;		      /* where the workload's end is; NULL: attached to nothing */
	unsigned router_index, index; /* interface indexes */
	/* instance, NAT gateway; NULL: shared by functions, or attached to nothing */
	const struct object *owner;
};
/* the public address of private_ips[i]; unset if it has none */
const struct addr *eni_public_ip(const struct s_eni *e, size_t i);
bool eni_is_public(const struct s_eni *e); /* one of its addresses has a public one */
/* whom the internet gateway makes of one of its private addresses, and the other way
 * round; unset: there is no such pair */
const struct addr *eni_public_of(const struct s_eni *e, const struct addr *private_ip);
const struct addr *eni_private_of(const struct s_eni *e, const struct addr *public_ip);

struct s_nat {
	struct object o;
	const struct nat_gateway *def;
	struct s_vpc *vpc;
	struct s_eni *eni; /* NULL when it failed */
	const char *ns;
};

struct s_flow_log {
	struct object o;
	const struct flow_log *def;
	struct s_vpc *vpc;
};

struct s_instance {
	struct object o;
	const struct instance *def;
	struct s_vpc *vpc;
	struct s_eni *eni;   /* primary */
	struct s_eni **enis; /* all, by device index */
	size_t n_enis;
	const char *ns;
};

struct s_host {
	struct object o;
	const struct host *def;
	const char *ns, *link; /* link in "internet"; eth0 in "ns" */
	const char *mac, *router_mac;
	unsigned router_index;
};

/* a place for a sandbox: namespace "EGRESS.pN" */
struct s_place {
	unsigned number; /* 1..16000: sb-N, 169.254.64.0 + N */
	char ns[80];
	char mac[18], egress_mac[18];
	char *token; /* owns; NULL: ready, taken by nobody */
};

struct s_egress {
	const char *ns;		      /* "service", "egress.1a2b3c4d" */
	struct s_eni *eni;	      /* NULL: default mode, uplink is the internet */
	struct addr address;	      /* whom the world sees: ENI's or service_ip */
	const char *mac, *router_mac; /* of the uplink */
	unsigned router_index;	      /* of "svc" in the internet namespace */
	struct s_place **places;      /* owns each */
	size_t n_places, cap_places;
	unsigned last_place;
	const char *key;  /* "SUBNET-ID SG-ID,SG-ID"; NULL: default mode */
	bool idle;	  /* no function uses it any more; the interface lingers (LN-30) */
	int64_t until_ms; /* of an idle one: when it goes, wall clock */
};

struct s_function {
	struct object o;
	const struct function *def;
	struct s_egress **egresses; /* one a subnet, in the file's order; or the service's */
	size_t n_egresses;
};

/* one side of a peering */
struct s_peer {
	const struct s_peering *peering;
	struct s_vpc *vpc, *other;
	const char *mac;
	unsigned index; /* of the link's end in this VPC's router; 0 while not active */
};

struct s_peering {
	struct object o; /* state "active" or "pending-acceptance" */
	const struct peering *def;
	bool active;	       /* carries packets (PCX-2) */
	const char *link;      /* its name in both routers: "pcx-" and 11 hex of the id */
	struct s_peer ends[2]; /* the requester's, the accepter's */
};

struct s_vpc {
	struct object o;
	const struct vpc *def;
	double time_scale;    /* the lab's */
	const char *ns;	      /* router.NAME */
	struct addr resolver; /* base + 2 */
	struct object igw;    /* id NULL: none */
	const char *igw_link; /* its end in the internet namespace: igw-XXXXXXXX */
	const char *igw_mac, *internet_mac;
	unsigned igw_index; /* there */
	struct s_subnet *subnets;
	size_t n_subnets;
	struct s_table *tables;
	size_t n_tables;
	struct s_group *groups;
	size_t n_groups;
	struct s_acl *acls;
	size_t n_acls;
	struct s_nat *nats;
	size_t n_nats;
	struct s_instance *instances;
	size_t n_instances;
	struct s_eni **network_interfaces; /* beside the parsed ones */
	size_t n_network_interfaces;
	struct s_flow_log *flow_logs;
	size_t n_flow_logs;
	struct s_eni **enis; /* all of the VPC */
	size_t n_enis, cap_enis;
	struct s_peer **peers; /* its sides of peerings, in the file's order */
	size_t n_peers;
	struct s_combination **combinations;
	size_t n_combinations, cap_combinations;
};

struct store {
	const struct lab *lab;
	struct lab *owned; /* the same, if the store frees it */
	const char *seed;
	const char *id; /* of the lab */
	struct s_host *hosts;
	size_t n_hosts;
	struct s_vpc *vpcs;
	size_t n_vpcs;
	struct s_peering *peerings;
	size_t n_peerings;
	struct s_egress **egresses; /* in the order of the functions that need them */
	size_t n_egresses, cap_egresses;
	struct s_function *functions;
	size_t n_functions;
	struct addr api; /* of AWS's own endpoint on the internet (LN-45); unset: no functions */
	const char *api_name; /* "lambda.us-east-1.amazonaws.com" */
	struct alloc *alloc;
	struct store_past *past; /* incarnations of all names ever used */
	struct store_index *index;
	void *arena;
};

enum op_action { OP_CREATE, OP_UPDATE, OP_REPLACE, OP_DELETE };
const char *op_action_name(enum op_action a);

/* one operation; "name" and "id" are of the new object, or of the deleted one */
struct op {
	enum op_action action;
	enum object_kind kind;
	const char *name, *id;
	const char *because; /* "cidr_block changed", "" */
};

/* what AWS accepts and fails later (kind 2 of wrong), for "warnings" */
struct store_warning {
	const char *path, *code, *msg;
};

struct ops {
	struct op *v;
	size_t n, cap;
	struct store_warning *warnings;
	size_t n_warnings, cap_warnings;
	void *arena; /* owns all text */
};
void ops_done(struct ops *o);

/*
 * What keeps the ways of functions that no function uses any more, besides the lab's
 * eni_linger (LN-30) and the places on them that somebody has: what was begun there may
 * end there.  Only those that linger keep their subnet and groups (ERR_DEPENDENCY).
 */
struct store_keep {
	int64_t now_ms; /* wall clock; whose time is over goes */
	bool hold;	/* a change is under way that may yet be undone: all of them */
};
/* when the next idle way goes that is there at "after_ms"; 0: none does by itself */
int64_t store_idle_until(const struct store *s, int64_t after_ms);
bool store_egress_is_busy(const struct s_egress *g); /* somebody has a place on it */

/*
 * store_plan() - which operations lead from "old" (NULL: nothing) to the
 * document "new".  Creations and changes come in the order in which things
 * depend on one another, deletions last and in the reverse one.  Functions
 * and roles are not netd's and not in it.
 * Returns 0; ERR_NO_ADDRESS, ERR_ADDRESS_IN_USE, ERR_LIMIT, ERR_DEPENDENCY with the path.
 */
int store_plan(const struct store *old, const struct lab *new, const char *seed,
	       const struct store_keep *keep, struct ops *ret, struct err *e);
/*
 * store_commit() - makes the new store.  "lab" is the store's then (also when
 * this fails it is not freed).  "ret_ops" (may be NULL): as store_plan()'s.
 * Places of egress namespaces that stay are copied; "old" is left alone.
 */
int store_commit(const struct store *old, struct lab *lab, const char *seed,
		 const struct store_keep *keep, struct store **ret, struct ops *ret_ops,
		 struct err *e);
struct store *store_free(struct store *s);
/*
 * store_edit_ops() - the operations of an edit that is swapped in (edit.h) to the
 * store's lab; the store itself has nothing of it to change.  0 and "ret", as
 * store_plan()'s; ERR_INTERNAL without memory.
 */
int store_edit_ops(const struct store *s, const struct edit *x, struct ops *ret, struct err *e);

/* what must survive, as text; and the store again from document and text.
 * "lab" as with store_commit() */
void store_save(const struct store *s, struct buf *b);
int store_load(struct lab *lab, const char *text, struct store **ret, struct err *e);

/*
 * Places.  _add makes one ("token" NULL: a ready one), _take gives a ready one
 * to "token", _put makes one again that was found in the kernel.  -ENOENT: no
 * such egress or place, none ready; -ENOSPC; -EEXIST.
 */
int store_place_add(struct store *s, const char *egress, const char *token, struct s_place **ret);
int store_place_take(struct store *s, const char *egress, const char *token, struct s_place **ret);
int store_place_put(struct store *s, const char *egress, unsigned number, const char *token,
		    struct s_place **ret);
int store_place_remove(struct store *s, const char *egress, unsigned number);
/* number in the name of a place's namespace ("service.p3") of this egress; 0: none */
unsigned store_place_number(const struct s_egress *g, const char *ns);

/*
 * store_forgotten() - addresses that changed hands or went from "old" to "new": what
 * connection tracking remembers of them there would send a new owner's packets to
 * the old one.  "ns" borrows from "old".  "ret" is allocated; 0, -ENOMEM
 */
struct store_forgotten {
	const char *ns; /* a router or NAT gateway that "new" still has */
	struct addr addr;
};
int store_forgotten(const struct store *old, const struct store *new, struct store_forgotten **ret,
		    size_t *ret_n);

/* look-ups; NULL if there is none */
struct s_egress *store_egress(const struct store *s, const char *ns);
struct s_egress *store_egress_of_place(const struct store *s, const char *ns);
const struct object *store_find(const struct store *s, enum object_kind kind, const char *name);
const struct object *store_by_id(const struct store *s, const char *id);
struct s_instance *store_instance(const struct store *s, const char *name);
struct s_host *store_host(const struct store *s, const char *name);
struct s_function *store_function(const struct store *s, const char *name);
struct s_vpc *store_vpc(const struct store *s, const char *name);
/* from parsed objects to the store's (constant time) */
struct s_vpc *store_vpc_of(const struct store *s, const struct vpc *def);
struct s_subnet *store_subnet_of(const struct store *s, const struct subnet *def);
struct s_table *store_table_of(const struct s_vpc *v, const struct route_table *def);
struct s_acl *store_acl_of(const struct s_vpc *v, const struct network_acl *def);
struct s_group *store_group_of(const struct store *s, const struct security_group *def);
struct s_instance *store_instance_of(const struct store *s, const struct instance *def);
struct s_nat *store_nat_of(const struct s_vpc *v, const struct nat_gateway *def);
/* a VPC's side of a peering; NULL: it isn't one of its own */
const struct s_peer *store_peer_of(const struct s_vpc *v, const struct peering *def);
/* the same by the link in its router; NULL: no active peering has it */
const struct s_peer *store_peer_by_link(const struct s_vpc *v, const char *link);

/* the namespace of a node ("db", "router:main", "nat_gateway:main/nat", "internet");
 * NULL if it has none of its own (functions: their places have) */
const char *store_namespace(const struct store *s, const char *node);
struct s_eni *store_interface_of(const struct s_vpc *v, const struct network_interface *def);
/* interface, by private address in a VPC, or by public address anywhere (of those that
 * are attached: nothing else is reached by one); NULL */
struct s_eni *store_eni_by_private(const struct s_vpc *v, const struct addr *a);
struct s_eni *store_eni_by_public(const struct store *s, const struct addr *a);
struct s_eni *store_eni_by_link(const struct s_vpc *v, const char *router_interface);

/* are the packets of the interface what the flow log is about? */
bool store_flow_log_covers(const struct store *s, const struct s_flow_log *l,
			   const struct s_eni *e);

/* where a route of a table leads now: "active", or "blackhole" because its target
 * is gone or failed */
bool store_route_active(const struct s_vpc *v, const struct route *r);
/* the interface that it leads to; NULL if it isn't active, or leads to none */
const struct s_eni *store_route_eni(const struct s_vpc *v, const struct route *r);

#endif
