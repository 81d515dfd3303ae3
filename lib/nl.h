/* SPDX-License-Identifier: MIT */
/*
 * nl - rtnetlink: carries steps of a program into a namespace in slices, dumps
 * a namespace back into items, and tells of changes that others made.
 * Messages are built by libnl-route; sending (up to 128 in one sendmsg, an ACK
 * each, the kernel's own sentence kept) is ours.
 */
#ifndef NL_H
#define NL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/program.h"

#define NL_SLICE_MAX 128

struct nl; /* one namespace's request socket and its map of link name -> index */
int nl_open(int ns_fd, struct nl **ret, struct err *e);
struct nl *nl_free(struct nl *s); /* (libnl has an nl_close() of its own) */
/* tells the index of a link that someone else made (a peer, say); later addresses,
 * routes and neighbours on "name" need no dump.  0 or -ENOMEM */
int nl_learn(struct nl *s, const char *name, int index);
/* deletes the stock rules 32766 and 32767 ("rules none" of an ns item) */
int nl_rules_none(struct nl *s, struct err *e);

/* gives the fd of a namespace by its program name, for a link's peer; borrowed */
typedef int (*nl_ns_fd_fn)(const char *ns, void *arg);

/*
 * nl_apply() - carries out "steps" (of kinds link, addr, route, rule, neigh, all
 * of this namespace) in order, in slices.  Link add brings both ends up in the
 * given order: create, settings, up.  (The peer's end is set up by its own
 * namespace's socket "peer" lookups: nl_peer_fn.)
 * Returns the number of steps the kernel acknowledged; if smaller than "n", the
 * failing one is steps[return] and "e" holds the kernel's sentence.  Steps after
 * a failing one in the same slice may have been done too: "done[i]" says so for
 * each.  Adding what exists equal, and deleting what is gone, is success.
 * Replacing a link makes it anew unless it is still the right one between the
 * right ends: then its settings are written again and it is brought up.
 */
typedef struct nl *(*nl_peer_fn)(const char *ns, void *arg);
size_t nl_apply(struct nl *s, const struct step *steps, size_t n, bool *done, nl_ns_fd_fn ns_fd,
		nl_peer_fn peer, void *arg, struct err *e);

/* deletes links by name in one group request (IFLA_GROUP); gone is success */
int nl_delete_links(struct nl *s, const char *const *names, size_t n);

/*
 * nl_observe() - dumps links (veth only), addresses (IPv4, also of lo except
 * 127/8), routes (tables 1..65535 but local and kernel-made ones), rules (all
 * but pref 0) and permanent neighbours into "ret" as items of namespace "ns".
 * A link's value holds what can be read here: "index N mac XX mtu N alias TEXT
 * up 0|1 peer-index M"; nl_link_matches() compares it with a program's value.
 * Retries interrupted dumps.
 */
int nl_observe(struct nl *s, const char *ns, struct program *ret, struct err *e);
/* equal in all that can be read, and up */
bool nl_link_matches(const char *observed_val, const char *program_val);
struct nl_counters {
	unsigned long long rx_packets, rx_bytes, tx_packets, tx_bytes;
};
int nl_link_counters(struct nl *s, const char *name, struct nl_counters *ret);

/* a socket that hears of changes in the namespace (link, addr, route, rule,
 * neigh); readable when something came.  nl_monitor_read() drains it: 1 if
 * anything was not caused by our own request sockets (of any nl in this
 * process) or ENOBUFS, 0 if all was ours, -errno */
int nl_monitor_open(int ns_fd);
void nl_monitor_close(int fd);
int nl_monitor_read(int fd);

#endif
