/* SPDX-License-Identifier: MIT */
/*
 * doctor_net - what the network of labs needs, each tried with the code that
 * netd uses (lib/nl, lib/nft), so that what doctor finds is what it will find.
 * A check starts in an empty network namespace that goes with its process.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "lib/nft.h"
#include "lib/nl.h"
#include "lib/program.h"
#include "lib/util.h"

struct pair {
	struct nl *here, *there;
	int there_fd;
};

static int peer_fd(const char *ns, void *arg)
{
	(void)ns;
	return ((struct pair *)arg)->there_fd;
}

static struct nl *peer_nl(const char *ns, void *arg)
{
	(void)ns;
	return ((struct pair *)arg)->there;
}

static int own_netns(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* carries "p"'s items of namespace "a" out in this namespace; the other end of
 * its links is in a second one */
static int apply_links(const struct program *p, struct pair *pair, struct err *e)
{
	struct step steps[16];
	bool done[16];
	size_t i, n = 0;

	for (i = 0; i < p->n && n < ARRAY_SIZE(steps); i++)
		steps[n++] = (struct step){ .op = STEP_ADD, .phase = 3, .new = &p->items[i] };
	return nl_apply(pair->here, steps, n, done, peer_fd, peer_nl, pair, e) == n ?
		       0 :
		       -(e->errnum ? e->errnum : EIO);
}

static int try_links(const struct program *p, struct err *e)
{
	auto_close int here = own_netns();
	struct pair pair = { .there_fd = -1 };
	int r;

	if (here < 0 || unshare(CLONE_NEWNET) < 0)
		return err_set(e, ERR_HOST, errno, "network namespace: %s", strerror(errno));
	pair.there_fd = own_netns();
	r = nl_open(here, &pair.here, e);
	if (!r)
		r = nl_open(pair.there_fd, &pair.there, e);
	if (!r)
		r = apply_links(p, &pair, e);
	nl_free(pair.here);
	nl_free(pair.there);
	if (pair.there_fd >= 0)
		close(pair.there_fd);
	return r;
}

static int check_links(struct doctor *d)
{
	struct program p;
	struct err e = { 0 };
	int r;

	/* in the order of their making: a program's own order is by name */
	program_init(&p);
	program_add(&p, "a", ITEM_LINK, "eni0",
		    "index 2 peer eth0 peer-ns b peer-index 2 "
		    "mac 02:00:00:00:00:01 peer-mac 02:00:00:00:00:02 mtu 9001 alias doctor");
	program_add(&p, "a", ITEM_ROUTE, "50 10.0.0.2/32", "dev eni0 scope link");
	program_add(&p, "a", ITEM_ROUTE, "101 10.0.0.0/16", "throw");
	program_add(&p, "a", ITEM_ROUTE, "101 0.0.0.0/0", "blackhole");
	program_add(&p, "a", ITEM_RULE, "100", "fwmark 0x100/0xff00 lookup 101");
	r = p.failed ? -ENOMEM : try_links(&p, &e);
	program_done(&p);
	return r < 0 ? doctor_broken(d, &e) : doctor_found(d, "veth, fwmark rules, throw routes");
}

/* one transaction with table "ip doctor", what "fill" adds, in this namespace */
static int try_nft(struct doctor *d, void (*fill)(struct program *p))
{
	auto_close int fd = own_netns();
	struct program p;
	struct nft *s = NULL;
	struct err e = { 0 };
	char hash[33];
	int r;

	program_init(&p);
	program_add(&p, "a", ITEM_TABLE, "ip vpclab", "");
	fill(&p);
	r = fd < 0 ? fd : program_seal(&p, &e);
	if (!r)
		r = nft_open(fd, &s, &e);
	if (!r) {
		program_nft_hash(&p, "a", hash);
		r = nft_replace(s, &p, "a", hash, &e);
	}
	nft_close(s);
	program_done(&p);
	return r < 0 ? doctor_broken(d, &e) : 0;
}

#define FORWARD "type filter hook forward priority 0; policy drop;\n"
#define FILTER(p, rule) program_add(p, "a", ITEM_CHAIN, "ip vpclab forward", FORWARD rule)

static void fill_sets(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab rules",
		    "type inet_proto . inet_service . ipv4_addr; flags interval;");
	program_add(p, "a", ITEM_ELEM, "ip vpclab rules\ttcp . 80-90 . 10.0.0.0/8", "");
	FILTER(p, "meta l4proto . th dport . ip saddr @rules accept");
}

static void fill_maps(struct program *p)
{
	program_add(p, "a", ITEM_CHAIN, "ip vpclab one", "accept");
	program_add(p, "a", ITEM_SET, "ip vpclab marks", "type ifname : mark;");
	program_add(p, "a", ITEM_SET, "ip vpclab jumps", "type mark : verdict;");
	program_add(p, "a", ITEM_ELEM, "ip vpclab marks\teni0", "0x10101");
	program_add(p, "a", ITEM_ELEM, "ip vpclab jumps\t0x10000", "goto one");
	FILTER(p, "meta mark set iifname map @marks\nmeta mark & 0xffff0000 vmap @jumps");
}

static void fill_zones(struct program *p)
{
	program_add(p, "a", ITEM_CHAIN, "ip vpclab raw",
		    "type filter hook prerouting priority -300; policy accept;\n"
		    "iifname igw ct zone set 1");
	FILTER(p, "ct state established,related accept");
}

static void fill_fib(struct program *p)
{
	program_add(p, "a", ITEM_CHAIN, "ip vpclab pre",
		    "type filter hook prerouting priority -150; policy accept;\n"
		    "fib daddr type local accept");
}

static void fill_nat(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab out", "type ipv4_addr : ipv4_addr;");
	program_add(p, "a", ITEM_ELEM, "ip vpclab out\t10.0.0.1", "203.0.113.1");
	program_add(p, "a", ITEM_CHAIN, "ip vpclab post",
		    "type nat hook postrouting priority 100; policy accept;\n"
		    "oifname igw snat to ip saddr map @out");
}

static void fill_count(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab conns",
		    "type ipv4_addr . inet_proto . inet_service; flags dynamic; size 1024;");
	FILTER(p, "ct state new add @conns { ip daddr . meta l4proto . th dport "
		  "ct count over 55000 } drop\n"
		  "meta mark set numgen inc mod 2 offset 65536");
}

static void fill_notes(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab notes",
		    "type ipv4_addr . ipv4_addr; flags dynamic,timeout; size 1024; timeout 30s; "
		    "counter;");
	FILTER(p, "update @notes { ip saddr . ip daddr counter } drop");
}

static void fill_reject(struct program *p)
{
	FILTER(p, "meta l4proto tcp reject with tcp reset");
}

static int check_sets(struct doctor *d)
{
	return try_nft(d, fill_sets);
}

static int check_maps(struct doctor *d)
{
	return try_nft(d, fill_maps);
}

static int check_zones(struct doctor *d)
{
	return try_nft(d, fill_zones);
}

static int check_fib(struct doctor *d)
{
	return try_nft(d, fill_fib);
}

static int check_nat(struct doctor *d)
{
	return try_nft(d, fill_nat);
}

static int check_count(struct doctor *d)
{
	return try_nft(d, fill_count);
}

static int check_notes(struct doctor *d)
{
	return try_nft(d, fill_notes);
}

static int check_reject(struct doctor *d)
{
	return try_nft(d, fill_reject);
}

static int check_conntrack(struct doctor *d)
{
	auto_close int fd = own_netns();

	return doctor_result(d, "ctnetlink", fd < 0 ? fd : ct_forget(fd, 0x0a000001));
}

/* those that routers, egress and NAT gateways set; they exist once tracking does */
static int check_ct_sysctls(struct doctor *d)
{
	static const char *const names[] = { "tcp_loose", "tcp_be_liberal",
					     "tcp_timeout_established", "udp_timeout",
					     "udp_timeout_stream" };
	char path[80];
	size_t i;
	int r = try_nft(d, fill_zones);

	for (i = 0; i < ARRAY_SIZE(names) && !r; i++) {
		auto_close int fd = -1;

		(void)snprintf(path, sizeof(path), "/proc/sys/net/netfilter/nf_conntrack_%s",
			       names[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		r = fd < 0 ? doctor_failed(d, path) : 0;
	}
	return r;
}

static int check_sysctls(struct doctor *d)
{
	static const char *const paths[] = { "/proc/sys/net/ipv4/ip_forward",
					     "/proc/sys/net/ipv4/conf/default/proxy_arp",
					     "/proc/sys/net/ipv4/conf/default/rp_filter",
					     "/proc/sys/net/ipv4/icmp_ratemask" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		auto_close int fd = open(paths[i], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "1", 1) != 1)
			return doctor_failed(d, paths[i]);
	}
	return 0;
}

static int check_raw(struct doctor *d)
{
	auto_close int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	return fd < 0 ? doctor_failed(d, "raw socket") : 0;
}

const struct doctor_check DOCTOR_NET[] = {
	{ "sysctls of namespaces", "routers forward and answer ARP; namespaces set that themselves",
	  "a writable /proc/sys (containers: --privileged)", true, .fn = check_sysctls },
	{ "links and routing",
	  "every interface is a veth pair, every route table one of the kernel's",
	  DOCTOR_KERNEL("CONFIG_VETH and CONFIG_IP_MULTIPLE_TABLES"), true, .fn = check_links },
	{ "raw sockets", "probes of icmp", "CAP_NET_RAW (containers: --privileged)", true,
	  .fn = check_raw },
	{ "nftables sets", "security groups' rules are elements of sets",
	  DOCTOR_KERNEL("CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"), true, .fn = check_sets },
	{ "nftables maps", "interfaces are mapped to their groups, tables and subnets",
	  DOCTOR_KERNEL("CONFIG_NF_TABLES"), true, .fn = check_maps },
	{ "nftables notes", "why a packet was dropped is noted in sets with a time-out",
	  DOCTOR_KERNEL("CONFIG_NF_TABLES"), true, .fn = check_notes },
	{ "nftables conntrack zones", "security groups are stateful; gateways are tracked apart",
	  DOCTOR_KERNEL("CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_ZONES"), true, .fn = check_zones },
	{ "nftables fib", "what routing would drop is found before it does",
	  DOCTOR_KERNEL("CONFIG_NFT_FIB_IPV4"), true, .fn = check_fib },
	{ "nftables nat", "internet and NAT gateways translate addresses",
	  DOCTOR_KERNEL("CONFIG_NFT_NAT"), true, .fn = check_nat },
	{ "nftables connection limits",
	  "a NAT gateway has 55,000 connections a destination and address, and takes turns",
	  DOCTOR_KERNEL("CONFIG_NFT_CONNLIMIT and CONFIG_NFT_NUMGEN"), true, .fn = check_count },
	{ "nftables reject", "a NAT gateway resets connections that were idle too long",
	  DOCTOR_KERNEL("CONFIG_NFT_REJECT"), true, .fn = check_reject },
	{ "connection tracking", "connections of addresses that change hands are forgotten",
	  DOCTOR_KERNEL("CONFIG_NF_CT_NETLINK"), true, .fn = check_conntrack },
	{ "sysctls of tracking", "a NAT gateway's idle times, and what it thinks of lost packets",
	  DOCTOR_KERNEL("CONFIG_NF_CONNTRACK") ", and a writable /proc/sys", true,
	  .fn = check_ct_sysctls },
	{ 0 },
};
