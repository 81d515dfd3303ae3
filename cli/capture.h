/* SPDX-License-Identifier: MIT */
/*
 * capture - frames of a lab's namespaces, by packet sockets that sandboxd hands out.
 */
#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/json.h"

#define CAPTURE_NAMESPACES_MAX 64
#define CAPTURE_BYTES_MAX (64 << 20) /* of frames that are kept; more is an error */

struct capture;

/* from its return on, every frame in "namespaces" (an array of names) is held; 0 and
 * "ret" (owns: capture_free()), or exit status, told */
int capture_begin(struct cli *c, const char *lab, const cJSON *namespaces, struct capture **ret);
/* what came so far, in the order of its time, as a pcapng file; 0 or exit status */
int capture_end(const struct cli *c, struct capture *k, const char *comment, struct buf *ret);
struct capture *capture_free(struct capture *k);

#endif
