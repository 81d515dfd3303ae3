/* SPDX-License-Identifier: MIT */
/*
 * door - RUN/sandboxd.fd: messages with descriptors (exec, logs -f), which HTTP
 * can't carry.
 */
#ifndef CLI_DOOR_H
#define CLI_DOOR_H

#include "cli/cli.h"
#include "lib/json.h"

#define DOOR_MESSAGE_MAX (256 * 1024)
#define DOOR_FDS_MAX 253

/* a connection (starts the daemons where needed); 0 and "ret_fd", or exit
 * status, told */
int door_open(struct cli *c, int *ret_fd);
/* takes "v"; descriptors are passed, and stay the caller's */
int door_send(const struct cli *c, int fd, cJSON *v, const int *fds, size_t n_fds);
/*
 * door_receive() - one message and its descriptors ("n_fds" in: room, out:
 * number; owns; both NULL: none are awaited).  0 and "ret" (owns); -1 when the
 * other end is closed (nothing was told); else an exit status, told.
 */
int door_receive(const struct cli *c, int fd, cJSON **ret, int *fds, size_t *n_fds);
/* {"error":{code,message,exit}} told; its exit status */
int door_fail(const struct cli *c, const char *what, const cJSON *error);

#endif
