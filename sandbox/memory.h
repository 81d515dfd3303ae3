/* SPDX-License-Identifier: MIT */
/*
 * memory - how much memory an environment has used, as AWS reports it.
 *
 * The kernel charges a page of a file to the group that touched it first, and a
 * runtime's program and libraries were touched by somebody else long ago: node's
 * 60 MB look like 9.  An environment of AWS's has its machine to itself.  So the
 * pages of files that its processes map and that others were charged for are added
 * to its group's peak: those of the largest process, because the others mostly map
 * the same.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

#include "lib/cgroup.h"

/* bytes of files that a process of "g" has mapped and that aren't charged to it; 0 where
 * the kernel doesn't tell.  Reads a file a process: not for each invocation */
uint64_t memory_of_others(struct cgroup *g);

#endif
