/* SPDX-License-Identifier: MIT */
/*
 * nft_ct - connection tracking of a namespace: what a flow was translated to, and
 * forgetting an address that changes hands.  libnetfilter_conntrack knows the
 * attributes; requests go over a socket of our own in the namespace, opened for
 * each call, since calls are rare.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netfilter/nfnetlink_conntrack.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>

#include "lib/buf.h"
#include "lib/nft.h"
#include "lib/ns.h"
#include "lib/util.h"

#define CT_BUF (1 << 22) /* a dump of many entries */
#define DUMP_TRIES 16
#define ICMP_ECHO_REQUEST 8

static void ct_unref(struct nf_conntrack **ct)
{
	if (*ct)
		nfct_destroy(*ct);
}
#define auto_ct __attribute__((cleanup(ct_unref)))

static int ct_open(int ns_fd)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	int size = CT_BUF, r;
	auto_close int fd = ns_socket(ns_fd, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		r = -errno;
		return r;
	}
	return steal_fd(&fd);
}

static struct nlmsghdr *ct_hdr(char *buf, int type, int flags, uint32_t seq)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = seq;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = AF_INET;
	g->version = NFNETLINK_V0;
	return h;
}

static int ct_send(int fd, const struct nlmsghdr *h)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };

	return sendto(fd, h, h->nlmsg_len, 0, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static int ct_recv(int fd, uint32_t seq, mnl_cb_t fn, void *arg)
{
	static char buf[65536] __attribute__((aligned(8)));
	int r;

	do {
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		r = mnl_cb_run(buf, (size_t)len, seq, 0, fn, arg);
		if (r < 0)
			return -errno;
	} while (r > 0);
	return 0;
}

/* ---- one flow ---- */

static int parse_cb(const struct nlmsghdr *h, void *arg)
{
	return nfct_nlmsg_parse(h, arg) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static struct nf_conntrack *tuple_of(const struct nft_flow *f, uint16_t zone)
{
	struct nf_conntrack *ct = nfct_new();

	if (!ct)
		return NULL;
	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, AF_INET);
	nfct_set_attr_u32(ct, ATTR_ORIG_IPV4_SRC, htonl(f->saddr));
	nfct_set_attr_u32(ct, ATTR_ORIG_IPV4_DST, htonl(f->daddr));
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, f->proto);
	if (f->proto == IPPROTO_ICMP) {
		nfct_set_attr_u8(ct, ATTR_ICMP_TYPE, ICMP_ECHO_REQUEST);
		nfct_set_attr_u8(ct, ATTR_ICMP_CODE, 0);
		nfct_set_attr_u16(ct, ATTR_ICMP_ID, htons(f->sport));
	} else {
		nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, htons(f->sport));
		nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, htons(f->dport));
	}
	if (zone)
		nfct_set_attr_u16(ct, ATTR_ZONE, zone);
	return ct;
}

static int ct_get(int fd, const struct nft_flow *in, uint16_t zone, struct nf_conntrack *ret)
{
	auto_ct struct nf_conntrack *q = tuple_of(in, zone);
	char buf[1024] __attribute__((aligned(8)));
	struct nlmsghdr *h = ct_hdr(buf, IPCTNL_MSG_CT_GET, NLM_F_ACK, zone + 1u);
	int r;

	if (!q || nfct_nlmsg_build(h, q) < 0)
		return -ENOMEM;
	r = ct_send(fd, h);
	return r ? r : ct_recv(fd, h->nlmsg_seq, parse_cb, ret);
}

static uint16_t port_of(const struct nf_conntrack *ct, enum nf_conntrack_attr a)
{
	return ntohs(nfct_get_attr_u16(ct, a));
}

static uint32_t addr_of(const struct nf_conntrack *ct, enum nf_conntrack_attr a)
{
	return ntohl(nfct_get_attr_u32(ct, a));
}

/* the way a packet of this direction leaves: the other direction, turned round */
static void leaves(const struct nf_conntrack *ct, const struct nft_flow *in, struct nft_flow *ret)
{
	bool orig = addr_of(ct, ATTR_ORIG_IPV4_SRC) == in->saddr &&
		    addr_of(ct, ATTR_ORIG_IPV4_DST) == in->daddr &&
		    (in->proto == IPPROTO_ICMP || (port_of(ct, ATTR_ORIG_PORT_SRC) == in->sport &&
						   port_of(ct, ATTR_ORIG_PORT_DST) == in->dport));

	*ret = *in;
	ret->saddr = addr_of(ct, orig ? ATTR_REPL_IPV4_DST : ATTR_ORIG_IPV4_DST);
	ret->daddr = addr_of(ct, orig ? ATTR_REPL_IPV4_SRC : ATTR_ORIG_IPV4_SRC);
	if (in->proto == IPPROTO_ICMP)
		return;
	ret->sport = port_of(ct, orig ? ATTR_REPL_PORT_DST : ATTR_ORIG_PORT_DST);
	ret->dport = port_of(ct, orig ? ATTR_REPL_PORT_SRC : ATTR_ORIG_PORT_SRC);
}

int ct_translate(int ns_fd, const struct nft_flow *in, struct nft_flow *ret)
{
	auto_close int fd = ct_open(ns_fd);
	uint16_t zone;
	int r = fd;

	if (fd < 0)
		return fd;
	for (zone = 0; zone < 2; zone++) {
		auto_ct struct nf_conntrack *ct = nfct_new();

		if (!ct)
			return -ENOMEM;
		r = ct_get(fd, in, zone, ct);
		if (!r) {
			leaves(ct, in, ret);
			return 0;
		}
		if (r != -ENOENT)
			return r;
	}
	return r;
}

/* ---- forgetting ---- */

struct found {
	uint32_t addr; /* network order */
	struct nf_conntrack **v;
	size_t n;
	int err;
};

static bool has_addr(const struct nf_conntrack *ct, uint32_t addr)
{
	return nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_SRC) == addr ||
	       nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_DST) == addr ||
	       nfct_get_attr_u32(ct, ATTR_REPL_IPV4_SRC) == addr ||
	       nfct_get_attr_u32(ct, ATTR_REPL_IPV4_DST) == addr;
}

static int find_cb(const struct nlmsghdr *h, void *arg)
{
	struct found *f = arg;
	auto_ct struct nf_conntrack *ct = nfct_new();
	struct nf_conntrack **v;

	if (!ct || nfct_nlmsg_parse(h, ct) < 0) {
		f->err = -ENOMEM;
		return MNL_CB_OK;
	}
	if (!has_addr(ct, f->addr))
		return MNL_CB_OK;
	v = reallocarray(f->v, f->n + 1, sizeof(*v));
	if (!v) {
		f->err = -ENOMEM;
		return MNL_CB_OK;
	}
	f->v = v;
	v[f->n++] = steal_ptr(&ct);
	return MNL_CB_OK;
}

static void found_done(struct found *f)
{
	while (f->n)
		nfct_destroy(f->v[--f->n]);
	free(f->v);
	f->v = NULL;
}

/* ---- printing ---- */

struct printing {
	struct buf *b;
	size_t n, max, at; /* at: the length of "b" before */
	int err;
};

static int print_cb(const struct nlmsghdr *h, void *arg)
{
	struct printing *p = arg;
	auto_ct struct nf_conntrack *ct = nfct_new();
	char line[1024];

	if (!ct || nfct_nlmsg_parse(h, ct) < 0) {
		p->err = -ENOMEM;
		return MNL_CB_OK;
	}
	if (p->n++ < p->max) {
		(void)nfct_snprintf(line, sizeof(line), ct, NFCT_T_UNKNOWN, NFCT_O_DEFAULT, 0);
		buf_printf(p->b, "%s\n", line);
	} else if (p->n == p->max + 1) {
		buf_adds(p->b, "# and others\n");
	}
	return MNL_CB_OK;
}

int ct_print(int ns_fd, size_t max, struct buf *b)
{
	struct printing p = { .b = b, .max = max, .at = b->len };
	char text[256] __attribute__((aligned(8)));
	auto_close int fd = ct_open(ns_fd);
	uint32_t seq;
	int r = fd < 0 ? fd : -EINTR;

	for (seq = 1; seq <= DUMP_TRIES && r == -EINTR; seq++) {
		struct nlmsghdr *h = ct_hdr(text, IPCTNL_MSG_CT_GET, NLM_F_DUMP, seq);

		/* a dump that was interrupted begins anew */
		if (b->s)
			b->s[b->len = p.at] = '\0';
		p.n = 0;
		r = ct_send(fd, h);
		if (!r)
			r = ct_recv(fd, seq, print_cb, &p);
	}
	return r ? r : p.err ? p.err : buf_error(b);
}

/* ---- counting ---- */

struct counting {
	struct ct_census c;
	int err;
};

static int count_cb(const struct nlmsghdr *h, void *arg)
{
	struct counting *n = arg;
	auto_ct struct nf_conntrack *ct = nfct_new();

	if (!ct || nfct_nlmsg_parse(h, ct) < 0) {
		n->err = -ENOMEM;
		return MNL_CB_OK;
	}
	n->c.all++;
	n->c.tcp += nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO) == IPPROTO_TCP;
	return MNL_CB_OK;
}

int ct_count_marked(int ns_fd, uint32_t mark, uint32_t mask, struct ct_census *ret)
{
	char buf[256] __attribute__((aligned(8)));
	auto_close int fd = ct_open(ns_fd);
	struct counting n = { 0 };
	uint32_t seq;
	int r = fd < 0 ? fd : -EINTR;

	for (seq = 1; seq <= DUMP_TRIES && r == -EINTR; seq++) {
		struct nlmsghdr *h = ct_hdr(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, seq);

		n = (struct counting){ 0 };
		mnl_attr_put_u32(h, CTA_MARK, htonl(mark));
		mnl_attr_put_u32(h, CTA_MARK_MASK, htonl(mask));
		r = ct_send(fd, h);
		if (!r)
			r = ct_recv(fd, seq, count_cb, &n);
	}
	if (r || n.err)
		return r ? r : n.err;
	*ret = n.c;
	return 0;
}

/* ---- forgetting: all of them, one by one ---- */

/* a dump that was interrupted may have missed one: again, from the start */
static int find_all(int fd, struct found *f)
{
	char buf[256] __attribute__((aligned(8)));
	uint32_t seq;
	int r = -EINTR;

	for (seq = 1; seq <= DUMP_TRIES && r == -EINTR; seq++) {
		struct nlmsghdr *h = ct_hdr(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, seq);

		found_done(f);
		r = ct_send(fd, h);
		if (!r)
			r = ct_recv(fd, seq, find_cb, f);
	}
	return r ? r : f->err;
}

static int ct_delete(int fd, const struct nf_conntrack *ct, uint32_t seq)
{
	char buf[2048] __attribute__((aligned(8)));
	struct nlmsghdr *h = ct_hdr(buf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, seq);
	auto_ct struct nf_conntrack *q = nfct_new();
	int r;

	if (!q)
		return -ENOMEM;
	/* the tuple, the zone, and the id: not a younger entry of the same tuple */
	nfct_copy(q, ct, NFCT_CP_ORIG);
	if (nfct_attr_is_set(ct, ATTR_ZONE))
		nfct_copy_attr(q, ct, ATTR_ZONE);
	nfct_copy_attr(q, ct, ATTR_ID);
	if (nfct_nlmsg_build(h, q) < 0)
		return -ENOMEM;
	r = ct_send(fd, h);
	if (!r)
		r = ct_recv(fd, seq, NULL, NULL);
	return r == -ENOENT ? 0 : r; /* ended by itself */
}

int ct_forget(int ns_fd, uint32_t addr)
{
	struct found f = { .addr = htonl(addr) };
	auto_close int fd = ct_open(ns_fd);
	size_t i;
	int r;

	if (fd < 0)
		return fd;
	r = find_all(fd, &f);
	for (i = 0; !r && i < f.n; i++)
		r = ct_delete(fd, f.v[i], (uint32_t)(DUMP_TRIES + 1 + i));
	found_done(&f);
	return r;
}
