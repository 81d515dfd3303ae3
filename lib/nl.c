/* SPDX-License-Identifier: MIT */
/*
 * nl - the rtnetlink socket: slices out, answers in, names to indices.
 *
 * A slice is up to 128 requests in one sendmsg(), each with NLM_F_ACK.  The
 * kernel works on them before sendmsg() returns and goes on after a failing one;
 * every answer is then in the receive buffer, which is made large enough for
 * them.  So nothing here ever waits: an answer that isn't there is lost, and its
 * step counts as failed.
 *
 * libnl makes the messages and takes attributes apart; sending isn't left to it,
 * because it waits for each answer and drops the kernel's own sentence.
 */
#include "lib/nl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "lib/nl_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

/* a request is copied whole into one socket buffer: 128 links are some 60 KiB */
#define SEND_BUF (1 << 20)
/* an answer takes about 1 KiB of accounting; a dump of one part 32 KiB */
#define RECV_BUF (1 << 20)
#define DUMP_TRIES 16
#define LINK_GROUP 0x7670636c /* "vpcl": a group no one else uses in our namespaces */

/* what recv() fills: the kernel makes dump parts of at most 32 KiB */
static char rbuf[65536] __attribute__((aligned(NLMSG_ALIGNTO)));

/* port ids of our request sockets; the kernel numbers them by namespace, but
 * mostly by process id, so there are few different ones */
static struct {
	uint32_t *v;
	size_t n;
} ports;

static int port_add(uint32_t port)
{
	uint32_t *v;

	if (nl_port_is_ours(port))
		return 0;
	v = reallocarray(ports.v, ports.n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	ports.v = v;
	v[ports.n++] = port;
	return 0;
}

bool nl_port_is_ours(uint32_t port)
{
	size_t i;

	for (i = 0; i < ports.n; i++)
		if (ports.v[i] == port)
			return true;
	return false;
}

uint32_t nl_next_seq(struct nl *s)
{
	return ++s->seq ? s->seq : ++s->seq;
}

static int sock_setup(int fd)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(sa);
	int one = 1, snd = SEND_BUF, rcv = RECV_BUF;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &snd, sizeof(snd)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcv, sizeof(rcv)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    getsockname(fd, (struct sockaddr *)&sa, &len))
		return -errno;
	return port_add(sa.nl_pid);
}

int nl_open(int ns_fd, struct nl **ret, struct err *e)
{
	struct nl *s = calloc(1, sizeof(*s));
	struct stat st;
	int r = 0;

	if (!s)
		return err_set(e, ERR_INTERNAL, ENOMEM, "route socket: out of memory");
	s->fd = fault_hit();
	if (!s->fd)
		s->fd = ns_socket(ns_fd, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (s->fd < 0)
		r = s->fd;
	else if (fstat(ns_fd, &st))
		r = -errno;
	else
		r = sock_setup(s->fd);
	if (r) {
		nl_free(s);
		return err_set(e, ERR_KERNEL, -r, "route socket: %s", strerror(-r));
	}
	s->ns = st.st_ino;
	*ret = s;
	return 0;
}

struct nl *nl_free(struct nl *s)
{
	if (!s)
		return NULL;
	if (!nl_is_watched(s->ns))
		nl_disown_ns(s->ns);
	if (s->fd >= 0)
		close(s->fd);
	free(s->names);
	free(s);
	return NULL;
}

/* ---- names ---- */

static size_t *bucket_of(struct nl *s, const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return &s->bucket[h % NL_MAP_BUCKETS];
}

static struct nl_name *name_find(struct nl *s, const char *name)
{
	size_t i;

	for (i = *bucket_of(s, name); i; i = s->names[i - 1].next)
		if (!strcmp(s->names[i - 1].name, name))
			return &s->names[i - 1];
	return NULL;
}

int nl_learn(struct nl *s, const char *name, int index)
{
	struct nl_name *n = name_find(s, name);
	size_t *bucket;

	if (n) {
		n->index = index;
		return 0;
	}
	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	if (s->n_names == s->cap_names) {
		size_t cap = s->cap_names ? s->cap_names * 2 : 16;

		n = reallocarray(s->names, cap, sizeof(*n));
		if (!n)
			return -ENOMEM;
		s->names = n;
		s->cap_names = cap;
	}
	bucket = bucket_of(s, name);
	n = &s->names[s->n_names++];
	*n = (struct nl_name){ .index = index, .next = *bucket };
	strcpy(n->name, name);
	*bucket = s->n_names;
	return 0;
}

void nl_forget_name(struct nl *s, const char *name)
{
	struct nl_name *n = name_find(s, name);

	if (n)
		n->index = 0;
}

void nl_forget_all(struct nl *s)
{
	s->n_names = 0;
	memset(s->bucket, 0, sizeof(s->bucket));
}

const char *nl_name_of(struct nl *s, int index)
{
	size_t i;

	for (i = 0; i < s->n_names; i++)
		if (s->names[i].index == index)
			return s->names[i].name;
	return NULL;
}

static int learn_cb(struct nlmsghdr *h, void *arg)
{
	struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *name;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	name = nlmsg_find_attr(h, sizeof(*ifi), IFLA_IFNAME);
	return name ? nl_learn(arg, nla_get_string(name), ifi->ifi_index) : 0;
}

struct nl_msg *nl_msg_link_by_name(int type, int flags, const char *name)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m = nlmsg_alloc_simple(type, flags);

	if (!m)
		return NULL;
	if (nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
	    nla_put_string(m, IFLA_IFNAME, name) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

int nl_index_known(struct nl *s, const char *name)
{
	struct nl_name *n = name_find(s, name);

	return n && n->index ? n->index : -ENODEV;
}

int nl_index(struct nl *s, const char *name)
{
	int r = nl_index_known(s, name);

	if (r > 0)
		return r;
	r = nl_request(s, nl_msg_link_by_name(RTM_GETLINK, 0, name), learn_cb, NULL, s);
	return r ? r : nl_index_known(s, name);
}

/* ---- sending ---- */

void nl_batch_clear(struct nl_batch *b)
{
	while (b->n)
		nlmsg_free(b->slot[--b->n].msg);
	b->sentence[0] = '\0';
}

int nl_batch_add(struct nl_batch *b, struct nl_msg *msg, size_t step, enum nl_tolerate t)
{
	if (!msg)
		return -ENOMEM;
	if (b->n == NL_SLICE_MAX) {
		nlmsg_free(msg);
		return -E2BIG;
	}
	b->slot[b->n++] =
		(struct nl_slot){ .msg = msg, .step = step, .tolerate = t, .err = -EINPROGRESS };
	return 0;
}

static int send_iov(struct nl *s, struct iovec *iov, size_t n)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	struct msghdr mh = {
		.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = iov, .msg_iovlen = n
	};

	return sendmsg(s->fd, &mh, 0) < 0 ? -errno : 0;
}

/* the kernel's own words behind an error, "" if none */
static void read_sentence(const struct nlmsghdr *h, char *ret, size_t size)
{
	const struct nlmsgerr *err = nlmsg_data(h);
	size_t at = NLMSG_HDRLEN + sizeof(*err);
	struct nlattr *a;

	*ret = '\0';
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		at += NLMSG_ALIGN(err->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (at >= h->nlmsg_len)
		return;
	a = nla_find((const struct nlattr *)((const char *)h + at), (int)(h->nlmsg_len - at),
		     NLMSGERR_ATTR_MSG);
	if (a)
		snprintf(ret, size, "%.*s", (int)nla_len(a), (const char *)nla_data(a));
}

static bool means_gone(int err)
{
	return err == -ENODEV || err == -ENOENT || err == -ESRCH || err == -EADDRNOTAVAIL ||
	       err == -ENXIO;
}

static int tolerated(const struct nl_slot *slot, int err)
{
	if (slot->tolerate == NL_EXISTS && err == -EEXIST)
		return 0;
	if (slot->tolerate == NL_GONE && means_gone(err))
		return 0;
	return err;
}

static void take_answer(struct nl_batch *b, const struct nlmsghdr *h, uint32_t first)
{
	const struct nlmsgerr *err = nlmsg_data(h);
	size_t i = h->nlmsg_seq - first;
	struct nl_slot *slot;
	bool failed_before = false;
	size_t k;

	if (h->nlmsg_type != NLMSG_ERROR || i >= b->n)
		return;
	slot = &b->slot[i];
	slot->err = tolerated(slot, err->error);
	if (!slot->err)
		return;
	for (k = 0; k < i; k++)
		failed_before |= b->slot[k].err != 0;
	if (!failed_before)
		read_sentence(h, b->sentence, sizeof(b->sentence));
}

static int recv_answers(struct nl *s, struct nl_batch *b, uint32_t first, size_t want)
{
	while (want) {
		ssize_t len = recv(s->fd, rbuf, sizeof(rbuf), MSG_DONTWAIT);
		int left = (int)len;
		struct nlmsghdr *h;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		for (h = (struct nlmsghdr *)rbuf; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first >= b->n)
				continue; /* an answer to what was given up before */
			take_answer(b, h, first);
			want--;
		}
	}
	return 0;
}

int nl_batch_send(struct nl *s, struct nl_batch *b)
{
	struct iovec iov[NL_SLICE_MAX];
	uint32_t first;
	size_t i, n = 0;
	int r;

	if (!b->n)
		return 0;
	b->sentence[0] = '\0';
	if (s->seq > UINT32_MAX - 2 * NL_SLICE_MAX)
		s->seq = 0;
	first = s->seq + 1;
	for (i = 0; i < b->n; i++) {
		struct nlmsghdr *h = nlmsg_hdr(b->slot[i].msg);

		h->nlmsg_seq = nl_next_seq(s);
		h->nlmsg_pid = 0;
		h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
		b->slot[i].err = fault_hit();
		if (b->slot[i].err)
			continue; /* as the kernel would: the others go on */
		b->slot[i].err = -EINPROGRESS;
		iov[n++] = (struct iovec){ .iov_base = h, .iov_len = h->nlmsg_len };
	}
	r = n ? send_iov(s, iov, n) : 0;
	if (!r)
		r = recv_answers(s, b, first, n);
	for (i = 0; i < b->n; i++)
		if (b->slot[i].err == -EINPROGRESS)
			b->slot[i].err = r ? r : -ENOBUFS;
	return r;
}

/* ---- one request ---- */

struct answer {
	nl_answer_fn fn;
	void *arg;
	bool dump, done, interrupted;
	uint32_t seq;
	int err;
};

static void take_message(struct answer *a, struct nlmsghdr *h)
{
	if (h->nlmsg_seq != a->seq)
		return;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	if (h->nlmsg_type == NLMSG_DONE) {
		int *err = nlmsg_data(h);

		/* a dump that failed says so in its last message */
		if (nlmsg_datalen(h) >= (int)sizeof(*err) && *err < 0)
			a->err = *err;
		a->done = true;
	} else if (h->nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr *err = nlmsg_data(h);

		if (err->error)
			a->err = err->error;
		a->done = true;
	} else if (a->fn && !a->err) {
		a->err = a->fn(h, a->arg);
	}
}

static int recv_answer(struct nl *s, struct answer *a)
{
	while (!a->done) {
		ssize_t len = recv(s->fd, rbuf, sizeof(rbuf), MSG_DONTWAIT | MSG_TRUNC);
		int left = (int)len;
		struct nlmsghdr *h;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		if ((size_t)len > sizeof(rbuf))
			return -EMSGSIZE;
		for (h = (struct nlmsghdr *)rbuf; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
			take_message(a, h);
	}
	return a->err;
}

int nl_request(struct nl *s, struct nl_msg *msg, nl_answer_fn fn, void (*again)(void *arg),
	       void *arg)
{
	struct answer a = { .fn = fn, .arg = arg };
	struct nlmsghdr *h;
	struct iovec iov;
	int r, tries;

	if (!msg)
		return -ENOMEM;
	h = nlmsg_hdr(msg);
	a.dump = h->nlmsg_flags & NLM_F_ROOT;
	for (tries = 0; tries < DUMP_TRIES; tries++) {
		a.seq = h->nlmsg_seq = nl_next_seq(s);
		a.done = a.interrupted = false;
		a.err = 0;
		h->nlmsg_pid = 0;
		h->nlmsg_flags |= NLM_F_REQUEST | (a.dump ? 0 : NLM_F_ACK);
		iov = (struct iovec){ .iov_base = h, .iov_len = h->nlmsg_len };
		r = fault_hit();
		if (!r)
			r = send_iov(s, &iov, 1);
		if (!r)
			r = recv_answer(s, &a);
		if (r || !a.interrupted)
			break;
		if (again)
			again(arg);
		r = -EINTR;
	}
	nlmsg_free(msg);
	return r;
}

/* ---- steps ---- */

static bool is_link_del(const struct step *st)
{
	return st->op == STEP_DEL && st->old->kind == ITEM_LINK;
}

static bool is_link_add(const struct step *st)
{
	return st->op != STEP_DEL && st->new->kind == ITEM_LINK;
}

static const struct item *step_item(const struct step *st)
{
	return st->op == STEP_DEL ? st->old : st->new;
}

static int say(const struct step *st, int r, const char *sentence, struct err *e)
{
	static const char *const verbs[] = { "add", "replace", "delete" };
	const struct item *it = step_item(st);

	return err_set(e, ERR_KERNEL, -r, "%s: %s %s \"%.80s\": %s%s%.150s", it->ns, verbs[st->op],
		       item_kind_name(it->kind), it->key, strerror(-r), *sentence ? ": " : "",
		       sentence);
}

struct apply {
	struct nl *s;
	const struct step *steps;
	size_t n;
	bool *done;
	nl_ns_fd_fn ns_fd;
	nl_peer_fn peer;
	void *arg;
	struct err *e;
	struct nl_batch own, far;
	size_t failed; /* first failing step; n if none */
};

static void fail_at(struct apply *a, size_t i, int r, const char *sentence)
{
	a->done[i] = false;
	if (i >= a->failed)
		return;
	a->failed = i;
	say(&a->steps[i], r, sentence, a->e);
}

static struct nl *peer_of(struct apply *a, const struct item *it, const struct nl_link *l)
{
	return strcmp(l->peer_ns, it->ns) ? a->peer(l->peer_ns, a->arg) : a->s;
}

/* is the far end where it ought to be?  Its namespace may be a new one of the same
 * name, while the old one, and with it this link, is kept alive by a process */
static int far_end_same(struct apply *a, const struct item *it)
{
	auto_buf struct buf b = BUF_INIT;
	char index[16] = "", peer_index[16] = "";
	struct nl_link l;
	struct nl *peer;
	int r = nl_parse_link(it->key, it->val, &l);

	if (r)
		return r;
	peer = peer_of(a, it, &l);
	if (!peer)
		return -ENOENT;
	r = nl_observe_link(peer, l.peer, &b);
	if (r || buf_error(&b))
		return r == -ENODEV ? -EEXIST : r ? r : -ENOMEM;
	(void)item_arg(buf_str(&b), "index", index, sizeof(index));
	(void)item_arg(buf_str(&b), "peer-index", peer_index, sizeof(peer_index));
	return strtoul(index, NULL, 10) == l.peer_index &&
			       strtoul(peer_index, NULL, 10) == l.index ?
		       0 :
		       -EEXIST;
}

/* a link that is there already is fine if it is the one that was meant; 0, -EEXIST
 * if it isn't, other errors */
static int same_link(struct apply *a, const struct item *it)
{
	auto_buf struct buf b = BUF_INIT;
	int r = nl_observe_link(a->s, it->key, &b);

	if (r || buf_error(&b))
		return r == -ENODEV ? -EEXIST : r ? r : -ENOMEM;
	/* it may be down: the messages that go with it see to that */
	return nl_link_same(buf_str(&b), it->val) ? far_end_same(a, it) : -EEXIST;
}

static void settle(struct apply *a, struct nl_batch *b)
{
	size_t i;

	for (i = 0; i < b->n; i++) {
		struct nl_slot *slot = &b->slot[i];

		if (slot->tolerate == NL_EXISTS_IF_SAME && slot->err == -EEXIST)
			slot->err = same_link(a, step_item(&a->steps[slot->step]));
		if (slot->err)
			fail_at(a, slot->step, slot->err, b->sentence);
	}
}

/* the far ends of the links made by steps [from, to), each by its own socket */
static void flush_far(struct apply *a, struct nl *peer)
{
	if (peer && a->far.n) {
		(void)nl_batch_send(peer, &a->far); /* every slot has its result */
		settle(a, &a->far);
	}
	nl_batch_clear(&a->far);
}

static int add_far(struct apply *a, size_t i, struct nl **last)
{
	const struct item *it = a->steps[i].new;
	struct nl_link l;
	struct nl *peer;
	int r = nl_parse_link(it->key, it->val, &l);

	if (r)
		return r;
	peer = peer_of(a, it, &l);
	if (!peer)
		return -ENOENT;
	if (peer != *last || a->far.n + 2 > NL_SLICE_MAX)
		flush_far(a, *last);
	*last = peer;
	r = nl_learn(peer, l.peer, (int)l.peer_index);
	nl_own_link(peer->ns, l.peer_index, l.mtu, l.peer_mac);
	return r ? r : nl_build_peer(&a->far, i, &l);
}

static void apply_far(struct apply *a, size_t from, size_t to)
{
	struct nl *last = NULL;
	size_t i;
	int r;

	for (i = from; i < to; i++) {
		if (!is_link_add(&a->steps[i]) || !a->done[i])
			continue;
		r = add_far(a, i, &last);
		if (r)
			fail_at(a, i, r, "the far end's namespace");
	}
	flush_far(a, last);
}

/* a run of link deletions from "i" on; returns its end */
static size_t apply_link_dels(struct apply *a, size_t i)
{
	const char *names[NL_SLICE_MAX] = { 0 };
	size_t n = 0, k;
	int r;

	while (i + n < a->n && n < ARRAY_SIZE(names) && is_link_del(&a->steps[i + n])) {
		names[n] = a->steps[i + n].old->key;
		n++;
	}
	r = nl_delete_links(a->s, names, n);
	for (k = i; k < i + n; k++) {
		a->done[k] = true;
		if (r)
			fail_at(a, k, r, "");
	}
	return i + n;
}

/* one slice from "i" on; returns its end */
static size_t apply_slice(struct apply *a, size_t i)
{
	struct nl_build bd = { .s = a->s, .b = &a->own, .ns_fd = a->ns_fd, .arg = a->arg };
	size_t from = i;
	struct err e;
	int r = 0;

	for (; i < a->n && a->own.n + NL_MSGS_PER_STEP <= NL_SLICE_MAX; i++) {
		const struct step *st = &a->steps[i];

		if (is_link_del(st) || (i > from && is_link_add(st) && st->op == STEP_REPLACE))
			break;
		bd.step = i;
		r = nl_build_step(&bd, st, &e);
		if (r)
			break;
		a->done[i] = true;
	}
	(void)nl_batch_send(a->s, &a->own); /* every slot has its result */
	settle(a, &a->own);
	nl_batch_clear(&a->own);
	apply_far(a, from, i);
	if (r && i < a->failed) {
		a->failed = i;
		if (a->e)
			*a->e = e;
	}
	return i;
}

/* before a link is replaced: deletes it, unless it is the right one */
static int make_room(struct apply *a, const struct item *it)
{
	int r = same_link(a, it);

	return r == -EEXIST ? nl_delete_links(a->s, &it->key, 1) : r;
}

size_t nl_apply(struct nl *s, const struct step *steps, size_t n, bool *done, nl_ns_fd_fn ns_fd,
		nl_peer_fn peer, void *arg, struct err *e)
{
	struct apply *a = calloc(1, sizeof(*a));
	size_t i = 0, ret;

	memset(done, 0, n * sizeof(*done));
	if (!a) {
		if (n)
			err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return 0;
	}
	*a = (struct apply){ .s = s,
			     .steps = steps,
			     .n = n,
			     .done = done,
			     .ns_fd = ns_fd,
			     .peer = peer,
			     .arg = arg,
			     .e = e,
			     .failed = n };
	while (i < n && a->failed == n) {
		if (is_link_del(&steps[i])) {
			i = apply_link_dels(a, i);
			continue;
		}
		if (is_link_add(&steps[i]) && steps[i].op == STEP_REPLACE) {
			int r = make_room(a, steps[i].new);

			if (r) {
				fail_at(a, i, r, "");
				break;
			}
		}
		i = apply_slice(a, i);
	}
	ret = a->failed;
	free(a);
	return ret;
}

/* ---- deleting links ---- */

static struct nl_msg *msg_group_set(const char *name)
{
	struct nl_msg *m = nl_msg_link_by_name(RTM_SETLINK, 0, name);

	if (m && nla_put_u32(m, IFLA_GROUP, LINK_GROUP) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

static struct nl_msg *msg_group_del(void)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m = nlmsg_alloc_simple(RTM_DELLINK, 0);

	if (m && (nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
		  nla_put_u32(m, IFLA_GROUP, LINK_GROUP) < 0)) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

static int batch_result(struct nl *s, struct nl_batch *b)
{
	int r = nl_batch_send(s, b);
	size_t i;

	for (i = 0; !r && i < b->n; i++)
		r = b->slot[i].err;
	return r;
}

/* one veth costs 15 ms, a group of 100 some 0.5 ms each: the kernel waits for
 * all packet users once a request, not once a device */
int nl_delete_links(struct nl *s, const char *const *names, size_t n)
{
	struct nl_batch *b = calloc(1, sizeof(*b));
	size_t i = 0;
	int r = 0;

	if (!b)
		return -ENOMEM;
	while (!r && i < n) {
		nl_batch_clear(b);
		for (; !r && i < n && b->n < NL_SLICE_MAX; i++) {
			r = nl_batch_add(b, msg_group_set(names[i]), i, NL_GONE);
			nl_forget_name(s, names[i]);
		}
		if (!r)
			r = batch_result(s, b);
	}
	nl_batch_clear(b);
	if (!r && n)
		r = nl_batch_add(b, msg_group_del(), 0, NL_GONE);
	if (!r)
		r = batch_result(s, b);
	nl_batch_clear(b);
	free(b);
	return r;
}

/* ---- counters ---- */

static int counters_cb(struct nlmsghdr *h, void *arg)
{
	struct nl_counters *ret = arg;
	struct rtnl_link_stats64 st;
	struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	a = nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_STATS64);
	if (!a)
		return -ENODATA;
	/* attributes are aligned to 4 bytes only; older kernels know fewer fields */
	memset(&st, 0, sizeof(st));
	nla_memcpy(&st, a, sizeof(st));
	*ret = (struct nl_counters){ .rx_packets = st.rx_packets,
				     .rx_bytes = st.rx_bytes,
				     .tx_packets = st.tx_packets,
				     .tx_bytes = st.tx_bytes };
	return 0;
}

int nl_link_counters(struct nl *s, const char *name, struct nl_counters *ret)
{
	struct nl_counters c = { 0 };
	int r = nl_request(s, nl_msg_link_by_name(RTM_GETLINK, 0, name), counters_cb, NULL, &c);

	if (!r)
		*ret = c;
	return r;
}
