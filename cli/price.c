/* SPDX-License-Identifier: MIT */
/*
 * price - see price.h.
 */
#include "cli/price.h"

#include "lib/mutant.h"

static double least(double a, double b)
{
	return a < b ? a : b;
}

struct price price_make(double requests, double gb_seconds)
{
	struct price b = { .free_requests = least(requests, PRICE_FREE_REQUESTS),
			   .free_gb_seconds = least(gb_seconds, PRICE_FREE_GB_SECONDS) };

	if (MUTANT("bill-free-tier"))
		b.free_requests = b.free_gb_seconds = 0;
	b.requests = (requests - b.free_requests) * PRICE_REQUEST;
	b.duration = (gb_seconds - b.free_gb_seconds) * PRICE_GB_SECOND;
	b.total = b.requests + b.duration;
	b.total_without_free_tier = requests * PRICE_REQUEST + gb_seconds * PRICE_GB_SECOND;
	return b;
}
