/* SPDX-License-Identifier: MIT */
/*
 * show - a lab as "vpclab show" prints it (interface.md, 4): the objects of the
 * store, and what the kernel has counted for them.
 */
#ifndef SHOW_H
#define SHOW_H

#include "netd/labs.h"

/* the whole document; the caller owns it; NULL: "e" */
cJSON *show_lab(struct netlab *l, struct err *e);

#endif
