/* SPDX-License-Identifier: MIT */
/*
 * room - how long environments without work stay, and which go first when memory is
 * short: the least recently used.  The memory is what the kernel charges to living
 * environments, not what their functions might use.
 */
#ifndef ROOM_H
#define ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct env;
struct sandboxd;

/* "idle" (seconds of AWS's time) and "memory" (MB) are what the user asked for, NULL: defaults */
int room_open(struct sandboxd *sd, const char *idle, const char *memory, struct err *e);
void room_close(struct sandboxd *sd);
/* how long an environment of a lab with this time scale stays idle: at least 1 s */
int64_t room_idle_ms(const struct sandboxd *sd, double time_scale);
/* it has no work any more; it has some, or ends */
void room_idle(struct env *v);
void room_busy(struct env *v);
/* ends idle environments until there is room for another; false: there is none */
bool room_make(struct sandboxd *sd);

#endif
