/* SPDX-License-Identifier: MIT */
/*
 * bill - what Lambda would charge for: of each function of a lab, how often it was
 * invoked, and for how long at which memory size (BILL-1).  Kept beside its log
 * (logs.h), as RUN/logs/LAB/NAME.bill, so it lives as long as the lab does, through
 * restarts of the daemon and through a function's removal, which doesn't undo a charge.
 * Every REPORT line is counted once.
 */
#ifndef BILL_H
#define BILL_H

#include <stdint.h>

#include "lib/json.h"
#include "sandbox/sandboxd.h"

/* duration and init (0: none) in hundredths of ms, as REPORT prints them -> billed ms:
 * their sum, rounded up; at least 1.  Pure */
uint64_t bill_ms(uint64_t duration, uint64_t init);
/* one invocation.  A failure (a full disk) loses it, and is logged */
void bill_add(const struct sandboxd *sd, const char *lab, const char *function, uint64_t billed_ms,
	      unsigned memory_mb);
/* {FUNCTION:{"requests","billed_ms","gb_seconds"}}, sorted by name; "ret" is the caller's.
 * 0, -errno */
int bill_read(const struct sandboxd *sd, const char *lab, cJSON **ret);

#endif
