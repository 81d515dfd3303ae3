/* SPDX-License-Identifier: MIT */
/*
 * bench_floor - the kernel's own price of a lab: as many namespaces, veth pairs,
 * addresses, routes, rules, neighbours, set elements and nft rules as the
 * arguments say, by raw netlink messages in batches, with no policy, no state and
 * no checks.  Prints the milliseconds that making them took.
 *
 * usage: bench_floor NAMESPACES LINKS ADDRESSES ROUTES RULES NEIGHBOURS ELEMENTS NFT_RULES
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <libnftnl/batch.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_NS 4096
#define BATCH (256 * 1024)

static struct mnl_socket *route[MAX_NS], *nft[MAX_NS];
static int spaces[MAX_NS];
static char batch[BATCH];
static size_t used;
static unsigned in_batch, seq;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct nlmsghdr *begin(int type, int flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(batch + used);

	h->nlmsg_type = (uint16_t)type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	h->nlmsg_seq = ++seq;
	return h;
}

/* sends the batch to one namespace and reads its acknowledgements */
static void flush(int ns)
{
	char buf[65536];

	if (!in_batch)
		return;
	if (mnl_socket_sendto(route[ns], batch, used) < 0)
		die("send");
	while (in_batch) {
		ssize_t n = mnl_socket_recvfrom(route[ns], buf, sizeof(buf));
		struct nlmsghdr *h = (struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0)
			die("receive");
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type == NLMSG_ERROR && in_batch) {
				if (e->error && e->error != -EEXIST) {
					errno = -e->error;
					die("kernel");
				}
				in_batch--;
			}
		}
	}
	used = 0;
}

static void end(int ns, struct nlmsghdr *h)
{
	used += NLMSG_ALIGN(h->nlmsg_len);
	if (++in_batch == 100)
		flush(ns);
}

static void make_space(int i)
{
	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	spaces[i] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	route[i] = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	nft[i] = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (spaces[i] < 0 || !route[i] || !nft[i] || mnl_socket_bind(route[i], 0, 0) < 0 ||
	    mnl_socket_bind(nft[i], 0, 0) < 0)
		die("namespace");
	struct nlmsghdr *h = begin(RTM_NEWLINK, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_index = 1;
	m->ifi_flags = m->ifi_change = IFF_UP;
	end(i, h);
	flush(i);
}

static void make_link(int from, int to, int n)
{
	char name[16];
	struct nlmsghdr *h = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m)), *peer;
	struct nlattr *info, *data, *pair;

	(void)m;
	snprintf(name, sizeof(name), "a%d", n);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(h, IFLA_NUM_RX_QUEUES, 1);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	pair = mnl_attr_nest_start(h, VETH_INFO_PEER);
	peer = mnl_nlmsg_put_extra_header(h, sizeof(*peer));
	(void)peer;
	snprintf(name, sizeof(name), "b%d", n);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)spaces[to]);
	mnl_attr_nest_end(h, pair);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(from, h);
}

/* a veth goes up only once its peer is there */
static void link_up(int ns, char end_, int n)
{
	char name[16];
	struct nlmsghdr *h = begin(RTM_NEWLINK, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_flags = m->ifi_change = IFF_UP;
	snprintf(name, sizeof(name), "%c%d", end_, n);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	end(ns, h);
}

static void make_address(int ns, int n)
{
	struct nlmsghdr *h = begin(RTM_NEWADDR, NLM_F_CREATE);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifa_family = AF_INET;
	m->ifa_prefixlen = 32;
	m->ifa_index = 1;
	mnl_attr_put_u32(h, IFA_LOCAL, htonl(0x0a000000u + (uint32_t)n));
	end(ns, h);
}

static void make_route(int ns, int n)
{
	struct nlmsghdr *h = begin(RTM_NEWROUTE, NLM_F_CREATE);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = AF_INET;
	m->rtm_dst_len = 32;
	m->rtm_table = 50;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = RT_SCOPE_LINK;
	m->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(h, RTA_DST, htonl(0x0b000000u + (uint32_t)n));
	mnl_attr_put_u32(h, RTA_OIF, 1);
	end(ns, h);
}

static void make_rule(int ns, int n)
{
	struct nlmsghdr *h = begin(RTM_NEWRULE, NLM_F_CREATE);
	struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->family = AF_INET;
	m->table = 50;
	m->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(h, FRA_PRIORITY, 100u + (uint32_t)n);
	mnl_attr_put_u32(h, FRA_FWMARK, (uint32_t)n);
	end(ns, h);
}

static void make_neighbour(int ns, int n)
{
	static const unsigned char mac[6] = { 2, 0, 0, 0, 0, 9 };
	struct nlmsghdr *h = begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ndm_family = AF_INET;
	m->ndm_ifindex = 1;
	m->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(h, NDA_DST, htonl(0x0c000000u + (uint32_t)n));
	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	end(ns, h);
}

static uint32_t nft_seq;

static struct nlmsghdr *nft_begin(struct nftnl_batch *b, int type, int flags)
{
	return nftnl_nlmsg_build_hdr(nftnl_batch_buffer(b), (uint16_t)type, NFPROTO_IPV4,
				     (uint16_t)flags, nft_seq++);
}

static void nft_rule(struct nftnl_batch *b)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nftnl_expr *e = nftnl_expr_alloc("meta");

	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, "t");
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, "c");
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, e);
	e = nftnl_expr_alloc("lookup");
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, "s");
	nftnl_rule_add_expr(r, e);
	nftnl_rule_nlmsg_build_payload(nft_begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND),
				       r);
	nftnl_batch_update(b);
	nftnl_rule_free(r);
}

/* a table with one set, one forward chain, and the elements and rules asked for */
static void make_nft(int ns, int elements, int rules)
{
	struct nftnl_batch *b = nftnl_batch_alloc(128 * 1024, 128 * 1024);
	struct nftnl_table *t = nftnl_table_alloc();
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elems_iter *it;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct iovec iov[64];

	nft_seq = 1;
	nftnl_batch_begin(nftnl_batch_buffer(b), nft_seq++);
	nftnl_batch_update(b);
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, "t");
	nftnl_table_nlmsg_build_payload(nft_begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE), t);
	nftnl_batch_update(b);
	nftnl_set_set_str(s, NFTNL_SET_TABLE, "t");
	nftnl_set_set_str(s, NFTNL_SET_NAME, "s");
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_IPV4);
	nftnl_set_set_u32(s, NFTNL_SET_ID, 1);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, 19);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, 4);
	nftnl_set_nlmsg_build_payload(nft_begin(b, NFT_MSG_NEWSET, NLM_F_CREATE), s);
	nftnl_batch_update(b);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, "t");
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, "c");
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, NF_INET_FORWARD);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, 0);
	nftnl_chain_nlmsg_build_payload(nft_begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE), c);
	nftnl_batch_update(b);
	for (int i = 0; i < elements; i++) {
		struct nftnl_set_elem *e = nftnl_set_elem_alloc();
		uint32_t key = (uint32_t)i;

		nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, &key, 4);
		nftnl_set_elem_add(s, e);
	}
	it = nftnl_set_elems_iter_create(s);
	for (int more = elements > 0; more > 0;) {
		more = nftnl_set_elems_nlmsg_build_payload_iter(
			nft_begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE), it);
		nftnl_batch_update(b);
	}
	nftnl_set_elems_iter_destroy(it);
	for (int i = 0; i < rules; i++)
		nft_rule(b);
	nftnl_batch_end(nftnl_batch_buffer(b), nft_seq++);
	nftnl_batch_update(b);
	int n = nftnl_batch_iovec_len(b);

	nftnl_batch_iovec(b, iov, (uint32_t)n);
	struct msghdr m = { .msg_name = &kernel,
			    .msg_namelen = sizeof(kernel),
			    .msg_iov = iov,
			    .msg_iovlen = (size_t)n };
	char answer[8192];

	if (sendmsg(mnl_socket_get_fd(nft[ns]), &m, 0) < 0)
		die("nft");
	if (recv(mnl_socket_get_fd(nft[ns]), answer, sizeof(answer), MSG_DONTWAIT) > 0) {
		fprintf(stderr, "nft refused the batch\n");
		exit(1);
	}
	nftnl_set_free(s);
	nftnl_chain_free(c);
	nftnl_table_free(t);
	nftnl_batch_free(b);
}

int main(int argc, char **argv)
{
	int n[8], at = 0;
	double start = now();

	if (argc != 9)
		return 2;
	for (int i = 0; i < 8; i++)
		n[i] = atoi(argv[i + 1]);
	if (n[0] < 1 || n[0] > MAX_NS)
		return 2;
	for (int i = 0; i < n[0]; i++)
		make_space(i);
	for (int i = 0; i < n[0]; i++)
		make_nft(i, n[6] / n[0] + (i < n[6] % n[0]), n[7] / n[0] + (i < n[7] % n[0]));
	static void (*const makers[])(int, int) = { make_address, make_route, make_rule,
						    make_neighbour };
	static const int counts[] = { 2, 3, 4, 5 };

	for (int i = 0; i < n[1]; i++) {
		make_link(0, (i + 1) % n[0], i);
		link_up(0, 'a', i);
	}
	flush(0);
	for (int i = 0; i < n[1]; i++) {
		link_up((i + 1) % n[0], 'b', i);
		flush((i + 1) % n[0]);
	}
	for (int i = 0; i < n[0]; i++) {
		for (size_t k = 0; k < 4; k++) {
			int share = n[counts[k]] / n[0] + (i < n[counts[k]] % n[0]);

			for (int j = 0; j < share; j++)
				makers[k](i, at++);
		}
		flush(i);
	}
	printf("%.3f\n", now() - start);
	return 0;
}
