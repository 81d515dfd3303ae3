/* SPDX-License-Identifier: MIT */
/*
 * gc - what run --private needs of the verb.
 */
#ifndef CLI_GC_H
#define CLI_GC_H

#include "cli/cli.h"

/* removes what the daemons of "c"'s run directory, which are gone, left; 0 or exit
 * status, told */
int gc_run(const struct cli *c);

#endif
