/* SPDX-License-Identifier: MIT */
/*
 * capture - see capture.h.  The kernel holds frames with their times until they are
 * read here, all at once: what is captured is one probe, not a stream.
 */
#include "cli/capture.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "cli/door.h"
#include "cli/out.h"
#include "lib/bpf.h"
#include "lib/pcapng.h"
#include "lib/util.h"

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
	int fds[CAPTURE_NAMESPACES_MAX];
	size_t n_fds;
	cJSON *names;	      /* owns */
	struct frame *frames; /* own, as the next */
	struct device *devices;
	size_t n_frames, cap_frames, n_devices;
	size_t n_put; /* of the devices: the file has them */
	struct buf bytes;
	const struct bpf *filter; /* borrows; NULL */
};

struct capture *capture_free(struct capture *k)
{
	size_t i;

	for (i = 0; k && i < k->n_fds; i++)
		close(k->fds[i]);
	if (k) {
		cJSON_Delete(k->names);
		free(k->frames);
		free(k->devices);
		buf_done(&k->bytes);
	}
	free(k);
	return NULL;
}

static int take_answer(const struct cli *c, int door, struct capture *k)
{
	auto_json cJSON *answer = NULL;
	int r;

	k->n_fds = CAPTURE_NAMESPACES_MAX;
	r = door_receive(c, door, &answer, k->fds, &k->n_fds);
	if (r) {
		k->n_fds = 0;
		return r < 0 ? out_fail(c, ERR_UNAVAILABLE, "capture: sandboxd: no answer") : r;
	}
	if (json_get(answer, "error"))
		return door_fail(c, "capture", json_get(answer, "error"));
	if (k->n_fds != (size_t)cJSON_GetArraySize(k->names))
		return out_fail(c, ERR_UNAVAILABLE, "capture: %zu of %d sockets came", k->n_fds,
				cJSON_GetArraySize(k->names));
	return 0;
}

int capture_begin(struct cli *c, const char *lab, const cJSON *namespaces, struct capture **ret)
{
	struct capture *k = calloc(1, sizeof(*k));
	cJSON *q = cJSON_CreateObject();
	auto_close int door = -1;
	int r;

	if (!k) {
		cJSON_Delete(q);
		return out_no_memory(c);
	}
	k->names = cJSON_Duplicate(namespaces, true);
	cJSON_AddStringToObject(q, "op", "capture");
	cJSON_AddStringToObject(q, "lab", lab);
	cJSON_AddItemToObject(q, "namespaces", cJSON_Duplicate(namespaces, true));
	r = door_open(c, &door);
	if (r)
		cJSON_Delete(q);
	else
		r = door_send(c, door, q, NULL, 0);
	if (!r)
		r = take_answer(c, door, k);
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
	if (k->bytes.len + f->size > CAPTURE_BYTES_MAX)
		return -EFBIG;
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
		r = bpf_attach(b, k->fds[i]);
	k->filter = b;
	return r ? out_fail(c, ERR_KERNEL, "capture: the filter: %s", strerror(-r)) : 0;
}

const int *capture_fds(const struct capture *k, size_t *ret_n)
{
	*ret_n = k->n_fds;
	return k->fds;
}

int capture_read(const struct cli *c, struct capture *k)
{
	size_t i;
	int r = 1;

	k->n_frames = 0;
	buf_clear(&k->bytes);
	for (i = 0; i < k->n_fds && r >= 0; i++)
		while ((r = read_frame(k, i)) > 0)
			;
	if (r < 0)
		return out_fail(c, ERR_STATE, "capture: %s", strerror(-r));
	if (k->n_frames)
		qsort(k->frames, k->n_frames, sizeof(*k->frames), frame_cmp);
	return 0;
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
	struct tpacket_stats st;
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < k->n_fds; i++) {
		socklen_t size = sizeof(st);

		if (getsockopt(k->fds[i], SOL_PACKET, PACKET_STATISTICS, &st, &size) == 0)
			n += st.tp_drops;
	}
	return n;
}

int capture_end(const struct cli *c, struct capture *k, const char *comment, struct buf *ret)
{
	int r = capture_read(c, k);

	if (r)
		return r;
	pcapng_begin(ret, comment);
	capture_put(k, SIZE_MAX, ret);
	return buf_error(ret) ? out_no_memory(c) : 0;
}
