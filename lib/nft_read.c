/* SPDX-License-Identifier: MIT */
/*
 * nft_read - what lib/nft asks the kernel: generation, tables, the stamp, the
 * elements of dynamic sets; and the monitor that hears other people's commits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/table.h>

#include "lib/mutant.h"
#include "lib/nft_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

#define DUMP_TRIES 16
#define MONITOR_BUF (1 << 20)

static struct {
	uint32_t *v;
	size_t n;
} ports;

bool nft_port_is_ours(uint32_t port)
{
	size_t i;

	for (i = 0; i < ports.n; i++)
		if (ports.v[i] == port)
			return true;
	return false;
}

int nft_port_add(uint32_t port)
{
	uint32_t *v;

	if (nft_port_is_ours(port))
		return 0;
	v = reallocarray(ports.v, ports.n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	ports.v = v;
	v[ports.n++] = port;
	return 0;
}

/* ---- requests ---- */

struct answer {
	mnl_cb_t fn;
	void *arg;
	bool interrupted;
};

static int data_cb(const struct nlmsghdr *h, void *arg)
{
	struct answer *a = arg;

	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	return a->fn(h, a->arg);
}

/* all of the answer to "seq" */
static int recv_answer(struct nft *s, uint32_t seq, struct answer *a)
{
	static char buf[65536] __attribute__((aligned(8)));
	int r;

	do {
		ssize_t len = recv(mnl_socket_get_fd(s->sock), buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0 && errno == EINTR) {
			r = 1;
			continue;
		}
		if (len < 0)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		/* left over from what was given up before */
		if (((struct nlmsghdr *)buf)->nlmsg_seq != seq) {
			r = 1;
			continue;
		}
		r = mnl_cb_run(buf, (size_t)len, seq, 0, data_cb, a);
		if (r < 0) {
			/* libmnl makes EINTR of an interrupted dump */
			a->interrupted |= errno == EINTR;
			return a->interrupted ? 0 : -errno;
		}
	} while (r > 0);
	return 0;
}

int nft_request(struct nft *s, struct nlmsghdr *h, int (*fn)(const struct nlmsghdr *h, void *arg),
		void (*again)(void *arg), void *arg)
{
	struct answer a = { .fn = fn, .arg = arg };
	int tries, r;

	for (tries = 0; tries < DUMP_TRIES; tries++) {
		a.interrupted = false;
		h->nlmsg_seq = s->seq++;
		r = fault_hit();
		if (!r && mnl_socket_sendto(s->sock, h, h->nlmsg_len) < 0)
			r = -errno;
		if (!r)
			r = recv_answer(s, h->nlmsg_seq, &a);
		if (r || !a.interrupted)
			return r;
		if (again)
			again(arg);
	}
	return -EINTR;
}

/* ---- generation ---- */

static int gen_cb(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == NFTA_GEN_ID) *
		(uint32_t *)arg = ntohl(mnl_attr_get_u32(a));
	return MNL_CB_OK;
}

int nft_gen_read(struct nft *s, uint32_t *ret)
{
	char buf[256] __attribute__((aligned(8)));
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETGEN, AF_UNSPEC, NLM_F_ACK, 0);
	uint32_t gen = 0;
	int r = nft_request(s, h, gen_cb, NULL, &gen);

	if (r)
		return r;
	if (!gen)
		return -ENODATA;
	*ret = gen;
	return 0;
}

/* ---- tables ---- */

struct table_list {
	struct {
		int family;
		char name[NFT_NAME_SIZE];
	} * v;
	size_t n;
	int err;
};

static int table_cb(const struct nlmsghdr *h, void *arg)
{
	struct table_list *l = arg;
	struct nftnl_table *t = nftnl_table_alloc();
	const char *name;
	void *v = reallocarray(l->v, l->n + 1, sizeof(*l->v));

	if (v)
		l->v = v;
	if (!t || !v || nftnl_table_nlmsg_parse(h, t) < 0) {
		l->err = -ENOMEM;
	} else {
		name = nftnl_table_get_str(t, NFTNL_TABLE_NAME);
		l->v[l->n].family = (int)nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY);
		if (strlen(name) < NFT_NAME_SIZE)
			strcpy(l->v[l->n++].name, name);
		else
			l->err = -ENAMETOOLONG;
	}
	if (t)
		nftnl_table_free(t);
	return MNL_CB_OK;
}

static void table_again(void *arg)
{
	struct table_list *l = arg;

	l->n = 0;
}

int nft_tables_each(struct nft *s, int (*fn)(int family, const char *table, void *arg), void *arg)
{
	char buf[256] __attribute__((aligned(8)));
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETTABLE, AF_UNSPEC, NLM_F_DUMP, 0);
	struct table_list l = { 0 };
	size_t i;
	int r = nft_request(s, h, table_cb, table_again, &l);

	if (!r)
		r = l.err;
	for (i = 0; !r && i < l.n; i++)
		r = fn(l.v[i].family, l.v[i].name, arg);
	free(l.v);
	return r;
}

/* ---- elements ---- */

struct elem_list {
	struct nftnl_set *set; /* libnftnl adds what each message brings */
	int err;
};

static int elem_cb(const struct nlmsghdr *h, void *arg)
{
	struct elem_list *l = arg;

	if (nftnl_set_elems_nlmsg_parse(h, l->set) < 0)
		l->err = -ENOMEM;
	return MNL_CB_OK;
}

static void elem_again(void *arg)
{
	struct elem_list *l = arg;

	nftnl_set_free(l->set);
	l->set = nftnl_set_alloc();
	if (!l->set)
		l->err = -ENOMEM;
}

static int elems_read(struct nft *s, const struct nft_table_name *t, const char *set,
		      struct nftnl_set **ret)
{
	char buf[1024] __attribute__((aligned(8)));
	struct nlmsghdr *h =
		nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, (uint16_t)t->family, NLM_F_DUMP, 0);
	struct elem_list l = { .set = nftnl_set_alloc() };
	int r;

	if (!l.set)
		return -ENOMEM;
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, t->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
	r = nft_request(s, h, elem_cb, elem_again, &l);
	if (!r)
		r = l.err;
	if (r) {
		if (l.set)
			nftnl_set_free(l.set);
		return r;
	}
	*ret = l.set;
	return 0;
}

struct counter {
	uint64_t packets, bytes;
};

static int counter_cb(struct nftnl_expr *x, void *arg)
{
	struct counter *c = arg;

	if (!strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "counter")) {
		c->packets = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
		c->bytes = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_BYTES);
	}
	return 0;
}

struct each {
	nft_elem_fn fn;
	void *arg;
};

static int each_cb(struct nftnl_set_elem *el, void *arg)
{
	struct each *ea = arg;
	struct counter c = { 0 };
	uint32_t size;
	const void *key = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &size);

	if (!key)
		return 0;
	/* one expression or several, both are lists to libnftnl */
	nftnl_set_elem_expr_foreach(el, counter_cb, &c);
	ea->fn(key, size, c.packets, c.bytes, ea->arg);
	return 0;
}

static int each(struct nft *s, const char *family_table, const char *set,
		int (*cb)(struct nftnl_set_elem *el, void *arg), void *arg)
{
	struct nft_table_name t;
	char rest[NFT_NAME_SIZE];
	struct nftnl_set *l;
	int r = nft_name_parse(family_table, &t, rest, NULL);

	if (r || *rest || strlen(set) >= NFT_NAME_SIZE)
		return -EINVAL;
	r = elems_read(s, &t, set, &l);
	if (r)
		return r;
	nftnl_set_elem_foreach(l, cb, arg);
	nftnl_set_free(l);
	return 0;
}

int nft_each_elem(struct nft *s, const char *family_table, const char *set, nft_elem_fn fn,
		  void *arg)
{
	struct each ea = { .fn = fn, .arg = arg };

	return each(s, family_table, set, each_cb, &ea);
}

struct expiring {
	nft_expiring_fn fn;
	void *arg;
};

static int expiring_cb(struct nftnl_set_elem *el, void *arg)
{
	struct expiring *x = arg;
	uint32_t size;
	const void *key = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &size);

	if (key)
		x->fn(key, size,
		      nftnl_set_elem_is_set(el, NFTNL_SET_ELEM_EXPIRATION) ?
			      nftnl_set_elem_get_u64(el, NFTNL_SET_ELEM_EXPIRATION) :
			      0,
		      x->arg);
	return 0;
}

int nft_each_expiring(struct nft *s, const char *family_table, const char *set, nft_expiring_fn fn,
		      void *arg)
{
	struct expiring x = { .fn = fn, .arg = arg };

	return each(s, family_table, set, expiring_cb, &x);
}

/* ---- the stamp ---- */

struct stamp {
	uint8_t want[20];
	bool found;
};

static void stamp_cb(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	struct stamp *st = arg;

	(void)packets;
	(void)bytes;
	if (size == sizeof(st->want) && !memcmp(key, st->want, size))
		st->found = true;
}

/* a trace that nobody ended: whoever began it is no more */
static int trace_cb(int family, const char *table, void *arg)
{
	if (family == NFPROTO_IPV4 && !strcmp(table, TRACE_TABLE))
		*(bool *)arg = true;
	return 0;
}

int nft_adoptable(struct nft *s, const char *hash)
{
	struct stamp st = { 0 };
	bool traced = false;
	uint32_t gen;
	int r;

	if (strlen(hash) != 32)
		return -EINVAL;
	r = nft_gen_read(s, &gen);
	if (r)
		return r;
	nft_stamp_key(hash, gen, st.want);
	r = nft_each_elem(s, "ip " STAMP_TABLE, STAMP_SET, stamp_cb, &st);
	if (r == -ENOENT || (!r && !st.found))
		return 0;
	if (!r && !MUTANT("trace-adopted"))
		r = nft_tables_each(s, trace_cb, &traced);
	if (r)
		return r;
	if (traced)
		return 0;
	s->gen = gen;
	return 1;
}

/* ---- the monitor ---- */

int nft_listen(int ns_fd, unsigned group, int size)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = 1u << (group - 1) };
	auto_close int fd =
		ns_socket(ns_fd, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_NETFILTER);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return -errno;
	return steal_fd(&fd);
}

int nft_monitor_open(int ns_fd)
{
	return nft_listen(ns_fd, NFNLGRP_NFTABLES, MONITOR_BUF);
}

/* Elements that rules add are told of by the kernel itself (port 0), and so are those
 * that time out; commits carry the port of whoever made them. */
static bool is_foreign(const struct nlmsghdr *h)
{
	return h->nlmsg_type >= NLMSG_MIN_TYPE && h->nlmsg_pid && !nft_port_is_ours(h->nlmsg_pid);
}

int nft_monitor_read(int fd)
{
	static char buf[65536] __attribute__((aligned(8)));
	const struct nlmsghdr *h;
	int foreign = 0;

	for (;;) {
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		int left = (int)len;

		if (len < 0 && errno == EAGAIN)
			return foreign;
		if (len < 0 && errno == ENOBUFS)
			foreign = 1;
		else if (len < 0 && errno != EINTR)
			return -errno;
		for (h = (struct nlmsghdr *)buf; len > 0 && mnl_nlmsg_ok(h, left);
		     h = mnl_nlmsg_next(h, &left))
			foreign |= is_foreign(h);
	}
}
