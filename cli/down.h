/* SPDX-License-Identifier: MIT */
/*
 * down - removing a lab, also for test, whose copies go when it ends.
 */
#ifndef CLI_DOWN_H
#define CLI_DOWN_H

#include "cli/cli.h"

/* 0 or exit status, told (3: there is no such lab) */
int down_lab(struct cli *c, const char *lab);
/* every lab of the run directory; 0 or the first failure's exit status, told */
int down_everything(struct cli *c);

#endif
