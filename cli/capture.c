/* SPDX-License-Identifier: MIT */
/*
 * capture - see capture.h.  The kernel holds frames with their times until they are
 * read here: all at once of one probe, some at a time of a stream.
 */
#include "cli/capture.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "cli/door.h"
#include "cli/out.h"
#include "lib/bpf.h"
#include "lib/pcapng.h"
#include "lib/util.h"

#define DOOR UINT64_MAX	      /* of epoll's numbers, else a socket's */
#define ROUND_BYTES (8 << 20) /* of a stream that are read before they are written */

struct frame {
	uint64_t ns; /* since the epoch */
	size_t at, size, length, order;
	unsigned device;
	bool outgoing;
};

/* a device of a namespace; an interface of the file */
struct device {
	size_t socket;
	int index;
	char name[IF_NAMESIZE];
};

struct capture {
	int *fds; /* owns; -1: its namespace is gone */
	size_t n_fds, n_open;
	int wait, door;	      /* epoll; what tells of more, -1: nothing does */
	cJSON *names;	      /* owns; of the namespaces, as "fds" */
	struct frame *frames; /* own, as the next */
	struct device *devices;
	size_t n_frames, cap_frames, n_devices;
	size_t n_put; /* of the devices: the file has them */
	struct buf bytes;
	bool more;		  /* of the stream: there is more than a round */
	uint64_t dropped;	  /* by sockets that are closed */
	const struct bpf *filter; /* borrows; NULL */
};

static uint64_t dropped_by(int fd)
{
	struct tpacket_stats st;
	socklen_t size = sizeof(st);

	return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &size) == 0 ? st.tp_drops : 0;
}

struct capture *capture_free(struct capture *k)
{
	size_t i;

	for (i = 0; k && i < k->n_fds; i++)
		if (k->fds[i] >= 0)
			close(k->fds[i]);
	if (k) {
		if (k->door >= 0)
			close(k->door);
		if (k->wait >= 0)
			close(k->wait);
		cJSON_Delete(k->names);
		free(k->fds);
		free(k->frames);
		free(k->devices);
		buf_done(&k->bytes);
	}
	free(k);
	return NULL;
}

static struct capture *capture_new(void)
{
	struct capture *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->door = -1;
	k->names = cJSON_CreateArray();
	k->wait = epoll_create1(EPOLL_CLOEXEC);
	return k->names && k->wait >= 0 ? k : capture_free(k);
}

static int wait_for(const struct capture *k, int fd, uint64_t number)
{
	struct epoll_event v = { .events = EPOLLIN, .data.u64 = number };

	return epoll_ctl(k->wait, EPOLL_CTL_ADD, fd, &v) < 0 ? -errno : 0;
}

/* takes the sockets, also where it fails */
static int add_sockets(const struct cli *c, struct capture *k, const cJSON *names, const int *fds,
		       size_t n)
{
	int *v = reallocarray(k->fds, k->n_fds + n + 1, sizeof(*v)), r = 0;
	const cJSON *name = names ? names->child : NULL;
	size_t i;

	if (v)
		k->fds = v;
	for (i = 0; i < n; i++) {
		if (!v || !name || r) {
			close(fds[i]);
			continue;
		}
		if (k->filter)
			r = bpf_attach(k->filter, fds[i]);
		if (!r)
			r = wait_for(k, fds[i], k->n_fds);
		v[k->n_fds++] = fds[i];
		k->n_open++;
		cJSON_AddItemToArray(k->names, cJSON_Duplicate(name, true));
		name = name->next;
	}
	if (!v)
		return out_no_memory(c);
	if ((size_t)cJSON_GetArraySize(names) != n)
		return out_fail(c, ERR_UNAVAILABLE, "capture: %zu of %d sockets came", n,
				cJSON_GetArraySize(names));
	return r ? out_fail(c, ERR_KERNEL, "capture: %s", strerror(-r)) : 0;
}

/* one message with sockets; -1: the other end is closed, untold */
static int take_sockets(const struct cli *c, int door, struct capture *k, cJSON **ret)
{
	auto_json cJSON *answer = NULL;
	int fds[DOOR_FDS_MAX], r;
	size_t n = ARRAY_SIZE(fds);

	r = door_receive(c, door, &answer, fds, &n);
	if (r)
		return r;
	if (json_get(answer, "error"))
		return door_fail(c, "capture", json_get(answer, "error"));
	r = add_sockets(c, k, json_get(answer, "captures"), fds, n);
	if (!r && ret)
		*ret = steal_ptr(&answer);
	return r;
}

static int ended(const struct cli *c, int r)
{
	return r < 0 ? out_fail(c, ERR_UNAVAILABLE, "capture: sandboxd: no answer") : r;
}

int capture_begin(struct cli *c, const char *lab, const cJSON *namespaces, struct capture **ret)
{
	struct capture *k = capture_new();
	cJSON *q = cJSON_CreateObject();
	auto_close int door = -1;
	int r;

	if (!k) {
		cJSON_Delete(q);
		return out_no_memory(c);
	}
	cJSON_AddStringToObject(q, "op", "capture");
	cJSON_AddStringToObject(q, "lab", lab);
	cJSON_AddItemToObject(q, "namespaces", cJSON_Duplicate(namespaces, true));
	r = door_open(c, &door);
	if (r)
		cJSON_Delete(q);
	else
		r = door_send(c, door, q, NULL, 0);
	if (!r)
		r = ended(c, take_sockets(c, door, k, NULL));
	if (r)
		capture_free(k);
	else
		*ret = k;
	return r;
}

/* a socket a namespace: more than what a shell's limit allows, less than what root may */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l); /* else what is too many is told */
	}
}

static cJSON *follow_request(const char *lab, const char *const *words, size_t n_words)
{
	cJSON *q = cJSON_CreateObject(), *nodes;
	size_t i;

	cJSON_AddStringToObject(q, "op", "capture");
	cJSON_AddStringToObject(q, "lab", lab);
	nodes = words ? cJSON_AddArrayToObject(q, "nodes") : NULL;
	if (!words)
		cJSON_AddTrueToObject(q, "all");
	for (i = 0; words && i < n_words; i++)
		cJSON_AddItemToArray(nodes, cJSON_CreateString(words[i]));
	return q;
}

int capture_follow(struct cli *c, const char *lab, const char *const *words, size_t n_words,
		   struct capture **ret, size_t *ret_nodes)
{
	struct capture *k = capture_new();
	bool more = true;
	int r;

	if (!k)
		return out_no_memory(c);
	raise_limit();
	r = door_open(c, &k->door);
	if (!r)
		r = door_send(c, k->door, follow_request(lab, words, n_words), NULL, 0);
	while (!r && more) {
		auto_json cJSON *answer = NULL;

		r = ended(c, take_sockets(c, k->door, k, &answer));
		more = json_bool(answer, "more", false);
		*ret_nodes = (size_t)json_num(answer, "nodes", 0);
	}
	if (!r && wait_for(k, k->door, DOOR) < 0)
		r = out_no_memory(c);
	if (r)
		capture_free(k);
	else
		*ret = k;
	return r;
}

/* ---- reading ---- */

static const char *namespace_of(const struct capture *k, size_t socket)
{
	const cJSON *name = cJSON_GetArrayItem(k->names, (int)socket);

	return cJSON_IsString(name) ? name->valuestring : "?";
}

/* the socket still is in its namespace, so it is asked what the device is called there */
static int device_of(struct capture *k, size_t socket, int index, unsigned *ret)
{
	struct ifreq q = { .ifr_ifindex = index };
	struct device *v;
	size_t i;

	for (i = 0; i < k->n_devices; i++)
		if (k->devices[i].socket == socket && k->devices[i].index == index) {
			*ret = (unsigned)i;
			return 0;
		}
	v = reallocarray(k->devices, k->n_devices + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	k->devices = v;
	v[k->n_devices] = (struct device){ .socket = socket, .index = index };
	/* one that is no more has its number for a name */
	if (ioctl(k->fds[socket], SIOCGIFNAME, &q) < 0)
		(void)snprintf(q.ifr_name, sizeof(q.ifr_name), "if%d", index);
	(void)snprintf(v[k->n_devices].name, sizeof(v->name), "%s", q.ifr_name);
	*ret = (unsigned)k->n_devices++;
	return 0;
}

static uint64_t time_of(struct msghdr *m)
{
	struct timespec t = { 0 };
	struct cmsghdr *h;

	for (h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&t, CMSG_DATA(h), sizeof(t));
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 1: a frame, 0: none is left; -errno */
static int read_frame(struct capture *k, size_t socket)
{
	static char bytes[PCAPNG_SNAPLEN];
	char control[256] __attribute__((aligned(8)));
	struct sockaddr_ll from = { 0 };
	struct iovec v = { bytes, sizeof(bytes) };
	struct msghdr m = { .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(k->fds[socket], &m, MSG_DONTWAIT | MSG_TRUNC);
	struct frame *f;
	int r;

	if (n >= 0 && k->filter &&
	    !bpf_matches(k->filter, bytes, (size_t)n > sizeof(bytes) ? sizeof(bytes) : (size_t)n,
			 (size_t)n))
		return 1;
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == EINTR || errno == ENETDOWN ? 1 : -errno;
	if (k->n_frames == k->cap_frames) {
		size_t cap = k->cap_frames ? 2 * k->cap_frames : 256;

		f = reallocarray(k->frames, cap, sizeof(*f));
		if (!f)
			return -ENOMEM;
		k->frames = f;
		k->cap_frames = cap;
	}
	f = &k->frames[k->n_frames];
	*f = (struct frame){
		.ns = time_of(&m),
		.at = k->bytes.len,
		.length = (size_t)n,
		.size = (size_t)n > sizeof(bytes) ? sizeof(bytes) : (size_t)n,
		.order = k->n_frames,
		.outgoing = from.sll_pkttype == PACKET_OUTGOING,
	};
	r = device_of(k, socket, from.sll_ifindex, &f->device);
	if (r)
		return r;
	buf_add(&k->bytes, bytes, f->size);
	k->n_frames++;
	return buf_error(&k->bytes) ? -ENOMEM : 1;
}

static int frame_cmp(const void *va, const void *vb)
{
	const struct frame *a = va, *b = vb;

	if (a->ns != b->ns)
		return a->ns < b->ns ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

int capture_filter(const struct cli *c, struct capture *k, const struct bpf *b)
{
	size_t i;
	int r = 0;

	for (i = 0; i < k->n_fds && !r; i++)
		r = k->fds[i] < 0 ? 0 : bpf_attach(b, k->fds[i]);
	k->filter = b;
	return r ? out_fail(c, ERR_KERNEL, "capture: the filter: %s", strerror(-r)) : 0;
}

int capture_fd(const struct capture *k)
{
	return k->wait;
}

size_t capture_n_namespaces(const struct capture *k)
{
	return k->n_open;
}

/* what is left of a namespace that is gone; frames that wait are read before */
static void drop_socket(struct capture *k, const char *name)
{
	size_t i;
	int r;

	for (i = 0; i < k->n_fds; i++) {
		if (k->fds[i] < 0 || strcmp(namespace_of(k, i), name) != 0)
			continue;
		do
			r = read_frame(k, i);
		while (r > 0 && k->bytes.len < CAPTURE_BYTES_MAX);
		k->dropped += dropped_by(k->fds[i]);
		close(k->fds[i]);
		k->fds[i] = -1;
		k->n_open--;
	}
}

static void drop_door(struct capture *k)
{
	close(k->door);
	k->door = -1;
}

static int take_message(const struct cli *c, struct capture *k)
{
	auto_json cJSON *m = NULL;
	const cJSON *name;
	int r = take_sockets(c, k->door, k, &m);

	if (r)
		drop_door(k);
	if (r < 0) {
		out_warn(c, "capture: sandboxd is gone: what comes into the lab from now on isn't "
			    "captured");
		return 0;
	}
	cJSON_ArrayForEach(name, json_get(m, "gone"))
		drop_socket(k, cJSON_IsString(name) ? name->valuestring : "");
	cJSON_ArrayForEach(name, json_get(m, "missed"))
		out_warn(c, "capture: %s isn't captured: %s",
			 out_safe(cJSON_IsString(name) ? name->valuestring : "?"),
			 json_str(m, "message", "?"));
	return r;
}

/* all that waits at one socket, or as much as a round has room for; 0 or -errno */
static int read_socket(struct capture *k, size_t socket, size_t most)
{
	int r = 1;

	while (r > 0 && k->bytes.len < most)
		r = k->fds[socket] < 0 ? 0 : read_frame(k, socket);
	k->more |= r > 0;
	return r < 0 ? r : 0;
}

/* 0 or exit status, told */
static int read_ready(const struct cli *c, struct capture *k, size_t most)
{
	struct epoll_event v[64];
	int n, i, r = 0;

	do {
		n = epoll_wait(k->wait, v, ARRAY_SIZE(v), 0);
		for (i = 0; i < n && !r; i++)
			if (v[i].data.u64 == DOOR) {
				r = k->door < 0 ? 0 : take_message(c, k);
			} else {
				r = read_socket(k, (size_t)v[i].data.u64, most);
				if (r)
					r = out_fail(c, ERR_STATE, "capture: %s", strerror(-r));
			}
	} while (!r && n > 0 && !k->more);
	return r;
}

static int read_round(const struct cli *c, struct capture *k, size_t most)
{
	int r;

	k->n_frames = 0;
	k->more = false;
	buf_clear(&k->bytes);
	r = read_ready(c, k, most);
	if (k->n_frames)
		qsort(k->frames, k->n_frames, sizeof(*k->frames), frame_cmp);
	return r;
}

int capture_read(const struct cli *c, struct capture *k)
{
	return read_round(c, k, ROUND_BYTES);
}

bool capture_more(const struct capture *k)
{
	return k->more;
}

size_t capture_n_frames(const struct capture *k)
{
	return k->n_frames;
}

struct capture_frame capture_frame(const struct capture *k, size_t n)
{
	const struct frame *f = &k->frames[n];
	const struct device *v = &k->devices[f->device];

	return (struct capture_frame){
		.ns = f->ns,
		.ns_name = namespace_of(k, v->socket),
		.interface = v->name,
		.outgoing = f->outgoing,
		.bytes = k->bytes.s + f->at,
		.size = f->size,
		.length = f->length,
	};
}

void capture_put(struct capture *k, size_t max, struct buf *b)
{
	size_t i;

	for (; k->n_put < k->n_devices; k->n_put++) {
		const struct device *v = &k->devices[k->n_put];
		auto_buf struct buf name = BUF_INIT;

		buf_printf(&name, "%s/%s", namespace_of(k, v->socket), v->name);
		pcapng_interface(b, buf_str(&name), NULL);
	}
	for (i = 0; i < k->n_frames && i < max; i++) {
		const struct frame *f = &k->frames[i];

		pcapng_packet(b, f->device, f->ns, f->outgoing, k->bytes.s + f->at, f->size,
			      f->length);
	}
}

uint64_t capture_dropped(const struct capture *k)
{
	uint64_t n = k->dropped;
	size_t i;

	for (i = 0; i < k->n_fds; i++)
		if (k->fds[i] >= 0)
			n += dropped_by(k->fds[i]);
	return n;
}

int capture_end(const struct cli *c, struct capture *k, const char *comment, struct buf *ret)
{
	int r = read_round(c, k, CAPTURE_BYTES_MAX);

	if (!r && k->more)
		r = out_fail(c, ERR_STATE, "capture: more than %d MiB", CAPTURE_BYTES_MAX >> 20);
	if (r)
		return r;
	pcapng_begin(ret, comment);
	capture_put(k, SIZE_MAX, ret);
	return buf_error(ret) ? out_no_memory(c) : 0;
}
