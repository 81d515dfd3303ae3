/* SPDX-License-Identifier: MIT */
/*
 * throttle - may a function be invoked now?  Concurrency of the account and what is
 * reserved of it (CC-1, CC-2), requests a second, and how fast environments may grow
 * in number (CC-1).  Buckets are pure: the time is the caller's.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_RAMP 1000	/* environments that a function may add at once ... */
#define THROTTLE_RAMP_MS 10000	/* ... and again in so long, refilled continuously */
#define THROTTLE_RATE_FACTOR 10 /* requests a second for each of its concurrency */

struct bucket {
	double left;
	int64_t at_ms;
	bool begun; /* a new one is full */
};

/* takes one of at most "most", which come back within "ms"; false: there is none.
 * Nothing is carried over beyond "most"; a clock that went back refills nothing */
bool bucket_take(struct bucket *b, double most, double ms, int64_t now_ms);

struct func;
/* INV-7: NULL, or the reason why not now; counts the request */
const char *throttle_request(struct func *f, int64_t now_ms);
/* may it have one more environment already? */
bool throttle_environment(struct func *f, int64_t now_ms);

#endif
