/* SPDX-License-Identifier: MIT */
/*
 * capture - frames of a lab's namespaces, by packet sockets that sandboxd hands out.
 */
#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include <stdint.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/json.h"

#define CAPTURE_NAMESPACES_MAX 64    /* of capture_begin() */
#define CAPTURE_BYTES_MAX (64 << 20) /* of frames that are kept; more is an error */

struct capture;

/* from its return on, every frame in "namespaces" (an array of names) is held; 0 and
 * "ret" (owns: capture_free()), or exit status, told */
int capture_begin(struct cli *c, const char *lab, const cJSON *namespaces, struct capture **ret);
/*
 * capture_follow() - the same of nodes, and of namespaces that they get later, before anything
 * in those begins.  "words" are read as nodes until one is none of the lab's, "ret_nodes" says
 * how many were; NULL: every node, of a lab that need not be there yet.  capture_read() takes up
 * what comes.  0 and "ret" as above, or exit status, told.
 */
int capture_follow(struct cli *c, const char *lab, const char *const *words, size_t n_words,
		   struct capture **ret, size_t *ret_nodes);
size_t capture_n_namespaces(const struct capture *k);
/* only what matches comes from now on, and of what is held already only that is kept;
 * "b" is borrowed until the end.  0 or exit status */
struct bpf;
int capture_filter(const struct cli *c, struct capture *k, const struct bpf *b);
/* readable as long as frames wait; borrowed */
int capture_fd(const struct capture *k);

/*
 * For streams: capture_read() takes what has come, in the order of its time, or some of it; capture_put()
 * then appends it to a pcapng file that pcapng_begin() began, with interfaces as they
 * appear; capture_frame() gives each, and the next capture_read() forgets them.
 */
struct capture_frame {
	uint64_t ns;	       /* since the epoch */
	const char *ns_name;   /* of the namespace; borrowed */
	const char *interface; /* borrowed */
	bool outgoing;
	const void *bytes; /* borrowed */
	size_t size, length;
};
int capture_read(const struct cli *c, struct capture *k);
bool capture_more(const struct capture *k); /* the last one left some */
size_t capture_n_frames(const struct capture *k);
struct capture_frame capture_frame(const struct capture *k, size_t n);
/* at most "max" of the frames */
void capture_put(struct capture *k, size_t max, struct buf *b);
/* what the kernel had no room for, all sockets together, since the last call */
uint64_t capture_dropped(const struct capture *k);

/* what came so far, in the order of its time, as a pcapng file; 0 or exit status */
int capture_end(const struct cli *c, struct capture *k, const char *comment, struct buf *ret);
struct capture *capture_free(struct capture *k);

#endif
