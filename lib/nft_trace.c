/* SPDX-License-Identifier: MIT */
/*
 * nft_trace - what the kernel tells of packets that a rule marked with "meta nftrace
 * set 1": each rule that matched, each policy, with the packet's headers at the
 * beginning of each base chain; and the handles by which it names rules.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/trace.h>

#include "lib/nft_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

#define TRACE_BUF (4 << 20) /* what a burst may need before it is read */
#define IP_HEADER_MIN 20
#define ICMP_ID_END 6

int nft_trace_open(int ns_fd)
{
	return nft_listen(ns_fd, NFNLGRP_NFTRACE, TRACE_BUF);
}

static uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)be16_at(p) << 16 | be16_at(p + 2);
}

/* an echo has its id where others have the source's port, both ways */
static void read_ports(const uint8_t *th, uint32_t size, struct nft_flow *ret)
{
	if ((ret->proto == IPPROTO_TCP || ret->proto == IPPROTO_UDP) && size >= 4) {
		ret->sport = be16_at(th);
		ret->dport = be16_at(th + 2);
	} else if (ret->proto == IPPROTO_ICMP && size >= ICMP_ID_END) {
		ret->sport = be16_at(th + 4);
	}
}

static void read_headers(const struct nftnl_trace *t, struct nft_trace_step *ret)
{
	uint32_t size;
	const uint8_t *h = nftnl_trace_get_data(t, NFTNL_TRACE_NETWORK_HEADER, &size);

	if (!h || size < IP_HEADER_MIN)
		return;
	ret->has_flow = true;
	ret->flow = (struct nft_flow){
		.proto = h[9],
		.saddr = be32_at(h + 12),
		.daddr = be32_at(h + 16),
	};
	h = nftnl_trace_get_data(t, NFTNL_TRACE_TRANSPORT_HEADER, &size);
	if (h)
		read_ports(h, size, &ret->flow);
	if (nftnl_trace_is_set(t, NFTNL_TRACE_IIF))
		ret->iif = nftnl_trace_get_u32(t, NFTNL_TRACE_IIF);
	if (nftnl_trace_is_set(t, NFTNL_TRACE_OIF))
		ret->oif = nftnl_trace_get_u32(t, NFTNL_TRACE_OIF);
}

static void read_verdict(const struct nftnl_trace *t, struct nft_trace_step *ret)
{
	const bool policy = ret->kind == NFT_TRACE_POLICY;
	const int v =
		(int)nftnl_trace_get_u32(t, policy ? NFTNL_TRACE_POLICY : NFTNL_TRACE_VERDICT);
	const char *to = nftnl_trace_is_set(t, NFTNL_TRACE_JUMP_TARGET) ?
				 nftnl_trace_get_str(t, NFTNL_TRACE_JUMP_TARGET) :
				 "";
	const char *word = v == NF_ACCEPT    ? "accept" :
			   v == NF_DROP	     ? "drop" :
			   v == NFT_JUMP     ? "jump " :
			   v == NFT_GOTO     ? "goto " :
			   v == NFT_RETURN   ? "return" :
			   v == NFT_CONTINUE ? "continue" :
					       "other";

	(void)snprintf(ret->verdict, sizeof(ret->verdict), "%s%s", word,
		       v == NFT_JUMP || v == NFT_GOTO ? to : "");
}

static int step_of(const struct nlmsghdr *h, struct nft_trace_step *ret)
{
	struct nftnl_trace *t = nftnl_trace_alloc();
	int r = 0;

	if (!t)
		return -ENOMEM;
	memset(ret, 0, sizeof(*ret));
	if (nftnl_trace_nlmsg_parse(h, t) < 0 || !nftnl_trace_is_set(t, NFTNL_TRACE_ID) ||
	    !nftnl_trace_is_set(t, NFTNL_TRACE_TABLE) ||
	    !nftnl_trace_is_set(t, NFTNL_TRACE_CHAIN)) {
		r = -ENOMSG;
	} else {
		const uint32_t type = nftnl_trace_get_u32(t, NFTNL_TRACE_TYPE);

		ret->id = nftnl_trace_get_u32(t, NFTNL_TRACE_ID);
		ret->kind = type == NFT_TRACETYPE_POLICY ? NFT_TRACE_POLICY :
			    type == NFT_TRACETYPE_RETURN ? NFT_TRACE_RETURN :
							   NFT_TRACE_RULE;
		(void)snprintf(ret->table, sizeof(ret->table), "%s",
			       nftnl_trace_get_str(t, NFTNL_TRACE_TABLE));
		(void)snprintf(ret->chain, sizeof(ret->chain), "%s",
			       nftnl_trace_get_str(t, NFTNL_TRACE_CHAIN));
		if (nftnl_trace_is_set(t, NFTNL_TRACE_RULE_HANDLE))
			ret->handle = nftnl_trace_get_u64(t, NFTNL_TRACE_RULE_HANDLE);
		read_headers(t, ret);
		read_verdict(t, ret);
	}
	nftnl_trace_free(t);
	return r;
}

static int read_message(const struct nlmsghdr *h, nft_trace_fn fn, void *arg)
{
	struct nft_trace_step s;
	int r;

	if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE))
		return 0;
	r = step_of(h, &s);
	if (r == -ENOMSG)
		return 0; /* not of a chain: nothing of ours */
	return r ? r : fn(&s, arg);
}

int nft_trace_read(int fd, nft_trace_fn fn, void *arg)
{
	static char buf[65536] __attribute__((aligned(8)));
	const struct nlmsghdr *h;
	int lost = 0;

	for (;;) {
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		int left = (int)len, r;

		if (len < 0 && errno == EAGAIN)
			return lost;
		if (len < 0 && errno == ENOBUFS)
			lost = 1;
		else if (len < 0 && errno != EINTR)
			return -errno;
		for (h = (struct nlmsghdr *)buf; len > 0 && mnl_nlmsg_ok(h, left);
		     h = mnl_nlmsg_next(h, &left)) {
			r = read_message(h, fn, arg);
			if (r < 0)
				return r;
		}
	}
}

/* ---- rules by their handles ---- */

struct handles {
	struct nft_handle *v;
	size_t n, cap;
	int err;
};

static void handles_again(void *arg)
{
	((struct handles *)arg)->n = 0;
}

/* rules of a chain come in its order, one after the other */
static void take_handle(struct handles *l, const struct nftnl_rule *x)
{
	const char *table = nftnl_rule_get_str(x, NFTNL_RULE_TABLE);
	const char *chain = nftnl_rule_get_str(x, NFTNL_RULE_CHAIN);
	struct nft_handle *last = l->n ? &l->v[l->n - 1] : NULL, *to;
	struct nft_handle h = { .handle = nftnl_rule_get_u64(x, NFTNL_RULE_HANDLE) };

	if (!table || !chain || strlen(chain) >= sizeof(h.chain) ||
	    strlen(table) >= sizeof(h.table)) {
		l->err = -EPROTO;
		return;
	}
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;

		to = reallocarray(l->v, cap, sizeof(*to));
		if (!to) {
			l->err = -ENOMEM;
			return;
		}
		l->v = to;
		l->cap = cap;
		last = l->n ? &l->v[l->n - 1] : NULL;
	}
	strcpy(h.table, table);
	strcpy(h.chain, chain);
	if (last && !strcmp(last->chain, chain) && !strcmp(last->table, table))
		h.index = last->index + 1;
	l->v[l->n++] = h;
}

static int handle_cb(const struct nlmsghdr *h, void *arg)
{
	struct handles *l = arg;
	struct nftnl_rule *x = nftnl_rule_alloc();

	if (!x || nftnl_rule_nlmsg_parse(h, x) < 0)
		l->err = -ENOMEM;
	else
		take_handle(l, x);
	if (x)
		nftnl_rule_free(x);
	return MNL_CB_OK;
}

int nft_handles(struct nft *s, struct nft_handle **ret, size_t *ret_n)
{
	char buf[256] __attribute__((aligned(8)));
	struct nlmsghdr *h =
		nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_IPV4, NLM_F_DUMP, 0);
	struct handles l = { 0 };
	int r = nft_request(s, h, handle_cb, handles_again, &l);

	if (!r)
		r = l.err;
	if (r) {
		free(l.v);
		return r;
	}
	*ret = l.v;
	*ret_n = l.n;
	return 0;
}
