/* SPDX-License-Identifier: MIT */
/*
 * nft_dump - see nft.h: a set that is read in pieces.
 *
 * Messages are walked by hand: libmnl ends a dump at the first message that says that
 * something was committed meanwhile, which is no concern of a set that the commit left
 * alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>

#include "lib/mutant.h"
#include "lib/nft_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

struct nft_dump {
	struct mnl_socket *sock; /* owns */
	uint32_t seq;
	bool under_way;
};

int nft_dump_open(int ns_fd, struct nft_dump **ret)
{
	struct nft_dump *d = calloc(1, sizeof(*d));
	int fd = d ? ns_socket(ns_fd, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) : -ENOMEM;

	if (fd < 0) {
		free(d);
		return fd;
	}
	d->sock = mnl_socket_fdopen(fd);
	if (!d->sock)
		close(fd);
	if (!d->sock || mnl_socket_bind(d->sock, 0, MNL_SOCKET_AUTOPID)) {
		nft_dump_close(d);
		return -ENOMEM;
	}
	d->seq = 1;
	*ret = d;
	return 0;
}

struct nft_dump *nft_dump_close(struct nft_dump *d)
{
	if (!d)
		return NULL;
	if (d->sock)
		mnl_socket_close(d->sock);
	free(d);
	return NULL;
}

int nft_dump_fd(const struct nft_dump *d)
{
	return mnl_socket_get_fd(d->sock);
}

int nft_dump_start(struct nft_dump *d, const char *family_table, const char *set)
{
	char buf[1024] __attribute__((aligned(8))), rest[NFT_NAME_SIZE];
	struct nft_table_name t;
	struct nlmsghdr *h;
	int r = nft_name_parse(family_table, &t, rest, NULL);

	if (r || *rest || strlen(set) >= NFT_NAME_SIZE || d->under_way)
		return -EINVAL;
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, (uint16_t)t.family, NLM_F_DUMP,
				  ++d->seq);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, t.table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
	if (mnl_socket_sendto(d->sock, h, h->nlmsg_len) < 0)
		return -errno;
	d->under_way = true;
	return 0;
}

struct found {
	nft_dump_fn fn;
	void *arg;
	uint64_t packets, bytes; /* of the element at hand */
};

static int counter_cb(struct nftnl_expr *x, void *arg)
{
	struct found *t = arg;

	if (!strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "counter")) {
		t->packets = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
		t->bytes = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_BYTES);
	}
	return 0;
}

static int elem_cb(struct nftnl_set_elem *el, void *arg)
{
	struct found *t = arg;
	uint64_t left = 0;
	uint32_t size;
	const void *key = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &size);

	t->packets = t->bytes = 0;
	nftnl_set_elem_expr_foreach(el, counter_cb, t);
	if (nftnl_set_elem_is_set(el, NFTNL_SET_ELEM_EXPIRATION))
		left = nftnl_set_elem_get_u64(el, NFTNL_SET_ELEM_EXPIRATION);
	if (key && t->packets)
		t->fn(key, size, left, t->packets, t->bytes, t->arg);
	return 0;
}

static int elems_find(const struct nlmsghdr *h, struct found *t)
{
	struct nftnl_set *set = nftnl_set_alloc();
	int r = set && nftnl_set_elems_nlmsg_parse(h, set) == 0 ? 0 : -ENOMEM;

	if (!r)
		nftnl_set_elem_foreach(set, elem_cb, t);
	if (set)
		nftnl_set_free(set);
	return r;
}

/* 1: go on; 0: that was the end */
static int message_read(struct nft_dump *d, const struct nlmsghdr *h, struct found *t)
{
	const int *error = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_seq != d->seq)
		return 1; /* left over */
	if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE)
		return mnl_nlmsg_get_payload_len(h) >= sizeof(*error) ? *error : 0;
	if (h->nlmsg_type == NLMSG_OVERRUN)
		return -ENOBUFS;
	return elems_find(h, t) < 0 ? -ENOMEM : 1;
}

int nft_dump_read(struct nft_dump *d, nft_dump_fn fn, void *arg)
{
	static char buf[65536] __attribute__((aligned(8)));
	struct found t = { .fn = fn, .arg = arg };
	const struct nlmsghdr *h = (struct nlmsghdr *)buf;
	ssize_t len = recv(mnl_socket_get_fd(d->sock), buf, sizeof(buf), MSG_DONTWAIT);
	int left = (int)len, r = 1;

	if (!d->under_way)
		return -EINVAL;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (len < 0)
		r = -errno;
	for (; r > 0 && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
		r = message_read(d, h, &t);
	if (r > 0 && MUTANT("flow-drain"))
		r = 0;
	d->under_way = r > 0;
	return r;
}

int nft_settle(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0) < 0 ? -errno : 0;
}
