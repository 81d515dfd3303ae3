/* SPDX-License-Identifier: MIT */
/*
 * bpf - see bpf.h.  libpcap is loaded when a filter is asked for: it brings a dozen
 * libraries along, which would cost every start of the command line a fifth more.
 */
#include "lib/bpf.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/filter.h>
#include <pcap/pcap.h>

#include "lib/pcapng.h"
#include "lib/util.h"

#define LIBRARY "libpcap.so.0.8"

struct bpf {
	struct bpf_program p;
};

static struct {
	void *library;
	__typeof__(pcap_open_dead) *open_dead;
	__typeof__(pcap_compile) *compile;
	__typeof__(pcap_geterr) *geterr;
	__typeof__(pcap_close) *close;
	__typeof__(pcap_freecode) *freecode;
	__typeof__(pcap_offline_filter) *offline_filter;
} pcap;

static bool find(const char *name, void *ret)
{
	void *at = dlsym(pcap.library, name);

	memcpy(ret, &at, sizeof(at));
	return at;
}

static int load(void)
{
	if (pcap.library)
		return 0;
	pcap.library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!pcap.library)
		return -ENOPKG;
	if (find("pcap_open_dead", &pcap.open_dead) && find("pcap_compile", &pcap.compile) &&
	    find("pcap_geterr", &pcap.geterr) && find("pcap_close", &pcap.close) &&
	    find("pcap_freecode", &pcap.freecode) &&
	    find("pcap_offline_filter", &pcap.offline_filter))
		return 0;
	dlclose(pcap.library);
	pcap.library = NULL;
	return -ENOPKG;
}

/* the kernel's idea of an instruction and libpcap's are the same bytes */
_Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn), "BPF instructions differ");

int bpf_compile(const char *text, struct bpf **ret, char *why, size_t size)
{
	struct bpf *b;
	pcap_t *dead;
	int r = load();

	if (r)
		return r;
	b = calloc(1, sizeof(*b));
	dead = pcap.open_dead(DLT_EN10MB, PCAPNG_SNAPLEN);
	r = b && dead ? 0 : -ENOMEM;
	if (!r && pcap.compile(dead, &b->p, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		(void)snprintf(why, size, "%s", pcap.geterr(dead));
		r = -EINVAL;
	}
	if (dead)
		pcap.close(dead);
	if (r)
		free(b);
	else
		*ret = b;
	return r;
}

struct bpf *bpf_free(struct bpf *b)
{
	if (b)
		pcap.freecode(&b->p);
	free(b);
	return NULL;
}

int bpf_attach(const struct bpf *b, int fd)
{
	const struct sock_fprog p = {
		.len = (unsigned short)b->p.bf_len,
		.filter = (struct sock_filter *)b->p.bf_insns,
	};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) < 0 ? -errno : 0;
}

bool bpf_matches(const struct bpf *b, const void *frame, size_t size, size_t length)
{
	const struct pcap_pkthdr h = { .caplen = (bpf_u_int32)size, .len = (bpf_u_int32)length };

	return pcap.offline_filter(&b->p, &h, frame) != 0;
}
