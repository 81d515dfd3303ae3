/* SPDX-License-Identifier: MIT */
/*
 * nl_monitor - tells whether someone else changed a namespace.
 *
 * Whose doing a notification is, is told by its port id: ours are known.  Where
 * the kernel itself speaks (port 0), three echoes of our own deeds are passed
 * over: a link that looks as we made it (its carrier came up), routes that the
 * kernel keeps by itself, and neighbours that it learnt.  All else, and lost
 * messages, means: look again.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "lib/nl_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

#define MONITOR_BUF (1 << 20)

struct own_link {
	ino_t ns;
	unsigned index, mtu;
	uint8_t mac[6];
};

static struct own_link *links;
static size_t n_links, cap_links;
/* namespaces with a monitor: it may hear of our links after the socket that made
 * them is closed */
static ino_t *watched;
static size_t n_watched;

static struct own_link *own_find(ino_t ns, unsigned index)
{
	size_t i;

	for (i = 0; i < n_links; i++)
		if (links[i].ns == ns && links[i].index == index)
			return &links[i];
	return NULL;
}

void nl_own_link(ino_t ns, unsigned index, unsigned mtu, const uint8_t mac[6])
{
	struct own_link *l = own_find(ns, index);

	if (!l && n_links == cap_links) {
		size_t cap = cap_links ? cap_links * 2 : 64;

		l = reallocarray(links, cap, sizeof(*l));
		if (!l)
			return; /* costs no more than a look too many */
		links = l;
		cap_links = cap;
		l = NULL;
	}
	if (!l)
		l = &links[n_links++];
	*l = (struct own_link){ .ns = ns, .index = index, .mtu = mtu };
	memcpy(l->mac, mac, sizeof(l->mac));
}

void nl_disown_ns(ino_t ns)
{
	size_t i, n = 0;

	for (i = 0; i < n_links; i++)
		if (links[i].ns != ns)
			links[n++] = links[i];
	n_links = n;
	if (!n) {
		free(links);
		links = NULL;
		cap_links = 0;
	}
}

bool nl_is_watched(ino_t ns)
{
	size_t i;

	for (i = 0; i < n_watched; i++)
		if (watched[i] == ns)
			return true;
	return false;
}

static void watch(int ns_fd)
{
	struct stat st;
	ino_t *v;

	if (fstat(ns_fd, &st) || nl_is_watched(st.st_ino))
		return;
	v = reallocarray(watched, n_watched + 1, sizeof(*v));
	if (!v)
		return; /* costs no more than a look too many */
	watched = v;
	watched[n_watched++] = st.st_ino;
}

static void unwatch(ino_t ns)
{
	size_t i;

	for (i = 0; i < n_watched; i++)
		if (watched[i] == ns)
			watched[i--] = watched[--n_watched];
	if (!n_watched) {
		free(watched);
		watched = NULL;
	}
}

int nl_monitor_open(int ns_fd)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
					       RTMGRP_IPV4_ROUTE | 1u << (RTNLGRP_IPV4_RULE - 1) |
					       RTMGRP_NEIGH };
	int size = MONITOR_BUF, r;
	auto_close int fd = ns_socket(ns_fd, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		r = -errno;
		return r;
	}
	watch(ns_fd);
	return steal_fd(&fd);
}

/* the namespace of a socket, 0 if the kernel won't tell */
static ino_t socket_ns(int fd)
{
	auto_close int ns = ioctl(fd, SIOCGSKNS);
	struct stat st;

	return ns >= 0 && !fstat(ns, &st) ? st.st_ino : 0;
}

void nl_monitor_close(int fd)
{
	ino_t ns = socket_ns(fd);

	unwatch(ns);
	nl_disown_ns(ns);
	close(fd);
}

static bool as_we_made_it(int fd, struct nlmsghdr *h)
{
	struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *mtu = nlmsg_find_attr(h, sizeof(*ifi), IFLA_MTU);
	struct nlattr *mac = nlmsg_find_attr(h, sizeof(*ifi), IFLA_ADDRESS);
	struct own_link *l = own_find(socket_ns(fd), (unsigned)ifi->ifi_index);

	if (!l || !mtu || !mac || nla_len(mac) != sizeof(l->mac))
		return false;
	return (!l->mtu || nla_get_u32(mtu) == l->mtu) && !memcmp(nla_data(mac), l->mac, 6);
}

static bool is_lo(const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = nlmsg_data(h);

	return ifi->ifi_flags & IFF_LOOPBACK && ifi->ifi_flags & IFF_UP;
}

/* the kernel's own message: is it news? */
static bool kernel_news(int fd, struct nlmsghdr *h)
{
	const struct rtmsg *rt = nlmsg_data(h);
	const struct ndmsg *nd = nlmsg_data(h);

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
		return !is_lo(h) && !as_we_made_it(fd, h);
	case RTM_NEWROUTE:
		return rt->rtm_protocol != RTPROT_KERNEL;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return nd->ndm_state & NUD_PERMANENT;
	default:
		return true;
	}
}

static bool is_news(int fd, struct nlmsghdr *h)
{
	if (h->nlmsg_type < NLMSG_MIN_TYPE)
		return false;
	if (!h->nlmsg_pid)
		return kernel_news(fd, h);
	return !nl_port_is_ours(h->nlmsg_pid);
}

int nl_monitor_read(int fd)
{
	static char buf[65536] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h;
	int news = 0;

	for (;;) {
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		int left = (int)len;

		if (len < 0 && errno == EAGAIN)
			return news;
		if (len < 0 && errno == ENOBUFS)
			news = 1;
		else if (len < 0 && errno != EINTR)
			return -errno;
		for (h = (struct nlmsghdr *)buf; len > 0 && nlmsg_ok(h, left);
		     h = nlmsg_next(h, &left))
			news |= is_news(fd, h);
	}
}
