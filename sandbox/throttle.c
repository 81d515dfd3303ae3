/* SPDX-License-Identifier: MIT */
/*
 * throttle - see throttle.h.
 */
#include "sandbox/throttle.h"

#include "lib/mutant.h"
#include "sandbox/sandboxd.h"

bool bucket_take(struct bucket *b, double most, double ms, int64_t now_ms)
{
	int64_t passed = now_ms - b->at_ms;

	if (!b->begun)
		b->left = most;
	else if (passed > 0)
		b->left += most * (double)passed / ms;
	if (b->left > most)
		b->left = most;
	b->begun = true;
	b->at_ms = now_ms;
	if (b->left < 1)
		return false;
	b->left -= 1;
	return true;
}

static bool is_reserved(const struct func *f)
{
	return f->spec->reserved_concurrent_executions >= 0;
}

/* what runs in environments that weren't kept ready for it (CC-3) */
static long spilled(const struct func *f)
{
	return f->n_running > f->provisioned ? (long)(f->n_running - f->provisioned) : 0;
}

/* of $LATEST and all versions, which share what is the function's */
static long spilled_of_all(const struct func *of, long *ret_provisioned)
{
	const struct func *g;
	long running = 0;

	*ret_provisioned = 0;
	LIST_FOREACH(g, &of->slab->funcs, link)
		if (g->latest == of) {
			running += spilled(g);
			*ret_provisioned += (long)g->provisioned;
		}
	return running;
}

/* what the functions without a reservation share, and how much of it runs */
static long unreserved(const struct slab *l, long *ret_running)
{
	const struct lab *lab = l->lab;
	long most = (long)lab->concurrent_executions, running = 0;
	const struct func *g;
	size_t i;

	for (i = 0; i < lab->n_functions; i++)
		if (lab->functions[i].reserved_concurrent_executions > 0)
			most -= lab->functions[i].reserved_concurrent_executions;
	LIST_FOREACH(g, &l->funcs, link) {
		if (g->latest && is_reserved(g->latest))
			continue;
		running += spilled(g);
		most -= (long)g->provisioned;
	}
	*ret_running = running;
	return most;
}

const char *throttle_request(struct func *f, int64_t now_ms)
{
	struct func *whole = f->latest;
	long ready, running = spilled_of_all(whole, &ready);
	long most = whole->spec->reserved_concurrent_executions - ready;

	if (!is_reserved(whole))
		most = unreserved(f->slab, &running);
	if (f->n_running >= f->provisioned && running >= most && !MUTANT("concurrency"))
		return is_reserved(whole) ? "ReservedFunctionConcurrentInvocationLimitExceeded" :
					    "ConcurrentInvocationLimitExceeded";
	if (!bucket_take(&whole->requests, (double)(most + ready) * THROTTLE_RATE_FACTOR, 1000,
			 now_ms) &&
	    !MUTANT("request-rate"))
		return is_reserved(whole) ? "ReservedFunctionInvocationRateLimitExceeded" :
					    "FunctionInvocationRateLimitExceeded";
	return NULL;
}

bool throttle_environment(struct func *f, int64_t now_ms)
{
	return bucket_take(&f->latest->ramp, THROTTLE_RAMP, THROTTLE_RAMP_MS, now_ms);
}
