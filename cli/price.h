/* SPDX-License-Identifier: MIT */
/*
 * price - what a number of requests and GB-seconds costs in a month (BILL-2): AWS's
 * published prices of x86 in us-east-1, the first tier.  Pure.
 */
#ifndef PRICE_H
#define PRICE_H

#define PRICE_REQUEST 0.0000002	      /* USD */
#define PRICE_GB_SECOND 0.0000166667  /* USD */
#define PRICE_FREE_REQUESTS 1000000.0 /* a month */
#define PRICE_FREE_GB_SECONDS 400000.0

struct price {
	double free_requests, free_gb_seconds; /* that the free tier takes away */
	double requests, duration, total;      /* USD */
	double total_without_free_tier;	       /* USD */
};

struct price price_make(double requests, double gb_seconds);

#endif
