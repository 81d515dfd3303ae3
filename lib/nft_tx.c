/* SPDX-License-Identifier: MIT */
/*
 * nft_tx - one transaction: messages into a batch, the batch into the kernel, the
 * answer back to the item that it is about.  What the messages say is nft_put.c's,
 * which of them, and in which order, nft.c's.
 *
 * The kernel answers only what it refuses, and before sendmsg() returns; silence
 * is success.  Where answers were lost, the generation tells what happened.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <libnftnl/batch.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "lib/nft_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

/*
 * Must be larger than the largest message, an element list of just under 64 KiB:
 * nftnl_batch_update() drops a message that doesn't fit without a word.
 */
#define PAGE_SIZE_NFT (128 * 1024)

void nft_tx_fail(struct nft_tx *t, int r)
{
	if (t->err)
		return;
	t->err = r;
	err_set(t->e, r == -ENOMEM ? ERR_INTERNAL : ERR_KERNEL, -r, "%s: %s \"%.150s\": %s", t->ns,
		t->now ? item_kind_name(t->now->kind) : "nft", t->now ? t->now->key : "",
		strerror(-r));
}

static int remember(struct nft_tx *t)
{
	if (t->n_made == t->cap_made) {
		size_t cap = t->cap_made ? t->cap_made * 2 : 64;
		struct nft_made *m = reallocarray(t->made, cap, sizeof(*m));

		if (!m)
			return -ENOMEM;
		t->made = m;
		t->cap_made = cap;
	}
	t->made[t->n_made++] = (struct nft_made){ .it = t->now, .rule = t->now_rule };
	return 0;
}

struct nlmsghdr *nft_tx_hdr(struct nft_tx *t, uint16_t type, int family, uint16_t flags)
{
	if (remember(t))
		nft_tx_fail(t, -ENOMEM);
	return nftnl_nlmsg_build_hdr(nftnl_batch_buffer(t->b), type, (uint16_t)family, flags,
				     t->s->seq++);
}

void nft_tx_put(struct nft_tx *t)
{
	int r = fault_hit();

	if (r)
		nft_tx_fail(t, r);
	if (nftnl_batch_update(t->b) < 0)
		nft_tx_fail(t, -ENOMEM);
}

/* ---- sending ---- */

void nft_tx_begin(struct nft_tx *t, uint32_t gen)
{
	struct nlmsghdr *h;

	t->b = nftnl_batch_alloc(PAGE_SIZE_NFT, PAGE_SIZE_NFT);
	if (!t->b) {
		nft_tx_fail(t, -ENOMEM);
		return;
	}
	t->first_seq = t->s->seq;
	if (remember(t))
		nft_tx_fail(t, -ENOMEM);
	h = nftnl_batch_begin(nftnl_batch_buffer(t->b), t->s->seq++);
	mnl_attr_put_u32(h, NFNL_BATCH_GENID, htonl(gen));
	nft_tx_put(t);
}

void nft_tx_end(struct nft_tx *t)
{
	if (t->err)
		return;
	nftnl_batch_end(nftnl_batch_buffer(t->b), t->s->seq++);
	nft_tx_put(t);
}

static int error_cb(const struct nlmsghdr *h, void *arg)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);
	struct nft_tx *t = arg;
	const struct nlattr *a;
	size_t at = sizeof(*err);

	if (h->nlmsg_seq - t->first_seq > t->n_made)
		return MNL_CB_OK; /* an answer to something earlier */
	if (!err->error || (t->failed.err && t->failed.seq <= h->nlmsg_seq))
		return MNL_CB_OK;
	t->failed.seq = h->nlmsg_seq;
	t->failed.err = err->error;
	t->failed.at = 0;
	t->failed.sentence[0] = '\0';
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		at += err->msg.nlmsg_len - sizeof(err->msg);
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || h->nlmsg_len < NLMSG_HDRLEN + at)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, at)
	{
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
			snprintf(t->failed.sentence, NFT_SENTENCE_SIZE, "%.*s",
				 (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == NLMSGERR_ATTR_OFFS)
			t->failed.at = mnl_attr_get_u32(a);
	}
	return MNL_CB_OK;
}

static int buffers(int fd, size_t total)
{
	/* the answers may be as many as the messages, and each is larger than it looks */
	int size = (int)(total * 4 + (1 << 18));

	return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
			       setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ?
		       -errno :
		       0;
}

static int send_batch(struct nft_tx *t)
{
	int fd = mnl_socket_get_fd(t->s->sock), n = nftnl_batch_iovec_len(t->b), i, r;
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	auto_free struct iovec *iov = calloc((size_t)n, sizeof(*iov));
	struct msghdr m = {
		.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = iov, .msg_iovlen = (size_t)n
	};
	size_t total = 0;

	if (!iov)
		return -ENOMEM;
	nftnl_batch_iovec(t->b, iov, (uint32_t)n);
	for (i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (total > INT32_MAX / 8)
		return -EMSGSIZE;
	r = buffers(fd, total);
	return r ? r : sendmsg(fd, &m, 0) < 0 ? -errno : 0;
}

static int drain(struct nft_tx *t)
{
	static char buf[65536] __attribute__((aligned(8)));
	static mnl_cb_t cbs[NLMSG_MIN_TYPE] = { [NLMSG_ERROR] = error_cb };

	/* all of it is there: the kernel answers before sendmsg() returns */
	for (;;) {
		ssize_t len = recv(mnl_socket_get_fd(t->s->sock), buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (mnl_cb_run2(buf, (size_t)len, 0, 0, NULL, t, cbs, NLMSG_MIN_TYPE) < 0)
			return -errno;
	}
}

/* the message that was refused, as it was sent */
static const struct nlmsghdr *failed_message(struct nft_tx *t, struct iovec *iov, int n)
{
	int i;

	nftnl_batch_iovec(t->b, iov, (uint32_t)n);
	for (i = 0; i < n; i++) {
		const struct nlmsghdr *h = iov[i].iov_base;
		int left = (int)iov[i].iov_len;

		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			if (h->nlmsg_seq == t->failed.seq)
				return h;
	}
	return NULL;
}

/* the key of the element at "at" of an element list */
static const struct nlattr *failed_key(const struct nlmsghdr *h, uint32_t at)
{
	const struct nlattr *list, *elem, *a, *v;

	mnl_attr_for_each(list, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(elem, list)
		{
			if ((size_t)((const char *)elem - (const char *)h) != at)
				continue;
			mnl_attr_for_each_nested(a, elem) if (mnl_attr_get_type(a) ==
							      NFTA_SET_ELEM_KEY)
				mnl_attr_for_each_nested(v, a) return v;
		}
	}
	return NULL;
}

/* of the elements that one message brought, the one that was refused, if it can be told */
static const struct item *failed_elem(struct nft_tx *t, const struct item *first)
{
	int n = nftnl_batch_iovec_len(t->b);
	auto_free struct iovec *iov = calloc((size_t)n, sizeof(*iov));
	size_t len = strcspn(first->key, "\t"), i, to;
	auto_free char *set_key = strndup(first->key, len);
	const struct nlmsghdr *h = iov && set_key ? failed_message(t, iov, n) : NULL;
	const struct nlattr *key = h && t->failed.at ? failed_key(h, t->failed.at) : NULL;
	const struct item *set = key ? program_find(t->all, t->ns, ITEM_SET, set_key) : NULL;
	struct nft_spec spec;
	uint8_t k[NFT_KEY_MAX];

	if (!set || nft_spec_parse(set->val, &spec) || mnl_attr_get_payload_len(key) > sizeof(k))
		return NULL;
	program_range(t->all, t->ns, ITEM_ELEM, &i, &to);
	for (; i < to; i++) {
		const struct item *it = &t->all->items[i];

		if (strncmp(it->key, first->key, len + 1) ||
		    nft_elem_key(&spec, it->key + len + 1, k))
			continue;
		if (!memcmp(k, mnl_attr_get_payload(key), mnl_attr_get_payload_len(key)))
			return it;
	}
	return NULL;
}

/* names what the kernel refused */
static int refused(struct nft_tx *t)
{
	size_t i = t->failed.seq - t->first_seq;
	const struct nft_made *m = i < t->n_made ? &t->made[i] : NULL;
	const struct item *it = m ? m->it : NULL, *elem;
	const char *said = t->failed.sentence;
	int r = t->failed.err;
	size_t len;

	if (r == -ERESTART || (r == -EAGAIN && !i))
		return err_set(t->e, ERR_KERNEL, ESTALE, "%s: nftables were changed by another",
			       t->ns);
	if (!it)
		return err_set(t->e, ERR_KERNEL, -r, "%s: nftables: %s%s%s", t->ns, strerror(-r),
			       *said ? ": " : "", said);
	elem = it->kind == ITEM_ELEM ? failed_elem(t, it) : NULL;
	/* an element of its set, but nobody knows which */
	len = it->kind == ITEM_ELEM && !elem ? strcspn(it->key, "\t") : strlen(it->key);
	if (elem) {
		it = elem;
		len = strlen(it->key);
	}
	return err_set(t->e, ERR_KERNEL, -r, "%s: %s \"%.*s\"%s%.*s: %s%s%.100s", t->ns,
		       item_kind_name(it->kind), len < 120 ? (int)len : 120, it->key,
		       m->rule ? ": " : "", m->rule ? (int)strcspn(m->rule, "\n") : 0,
		       m->rule ? m->rule : "", strerror(-r), *said ? ": " : "", said);
}

/* answers were lost: the generation tells whether the commit was made */
static int was_made(struct nft_tx *t, uint32_t gen)
{
	uint32_t now;
	int r = nft_gen_read(t->s, &now);

	return r ? r : now == gen ? 0 : -ENOBUFS;
}

/* sends what was built; t->s->gen is the new generation on success */
int nft_tx_commit(struct nft_tx *t, uint32_t gen)
{
	int r = t->err;

	if (!r) {
		r = send_batch(t);
		if (!r)
			r = drain(t);
		if (r == -ENOBUFS && !t->failed.err)
			r = was_made(t, gen);
		if (r)
			err_set(t->e, ERR_KERNEL, -r, "%s: nftables: %s", t->ns, strerror(-r));
		else if (t->failed.err)
			r = refused(t);
		else
			t->s->gen = gen;
	}
	if (t->b)
		nftnl_batch_free(t->b);
	free(t->made);
	return r;
}
