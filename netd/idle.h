/* SPDX-License-Identifier: MIT */
/*
 * idle - ways of functions (an interface and its egress namespace) that no function uses
 * any more, and when they go: when their eni_linger is over (LN-30), and nobody has a
 * place on them, and no change is under way that may yet be undone (LN-24).
 *
 * Deadlines are in the state, so a daemon that was away lets go what is over when it is
 * back.  A change of sandboxd's holds all (PUT with "hold"), until idle_release().
 */
#ifndef IDLE_H
#define IDLE_H

#include <stdbool.h>

#include "netd/labs.h"

/* after a change, or when a place was given back: lets go what is over, and waits for
 * the next */
void idle_settle(struct netlab *l);
/* the change that held is over */
void idle_release(struct netlab *l);
bool idle_is_due(const struct netlab *l); /* does anything go now? */
void idle_again(struct netlab *l);	  /* a sweep failed: later */
void idle_clear(struct netlab *l);

#endif
