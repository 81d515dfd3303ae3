/* SPDX-License-Identifier: MIT */
/*
 * idle - see idle.h.
 */
#include "netd/idle.h"

#include "lib/log.h"
#include "lib/util.h"

#define AGAIN_MS 1000

static bool is_over(const struct netlab *l, const struct s_egress *g, int64_t now)
{
	return g->idle && !l->hold && g->until_ms <= now && !store_egress_is_busy(g);
}

bool idle_is_due(const struct netlab *l)
{
	int64_t now = wall_ms();
	size_t i;

	for (i = 0; l->store && i < l->store->n_egresses; i++)
		if (is_over(l, l->store->egresses[i], now))
			return true;
	return false;
}

static void on_due(void *arg)
{
	struct netlab *l = arg;

	l->idle_timer = loop_event_free(l->idle_timer);
	idle_settle(l);
}

static void arm(struct netlab *l, int64_t ms)
{
	l->idle_timer = loop_event_free(l->idle_timer);
	l->idle_timer = loop_timer(l->netd->loop, ms, on_due, l);
	if (!l->idle_timer)
		log_warn("lab=%s out of memory: interfaces linger until the next change", l->name);
}

void idle_settle(struct netlab *l)
{
	int64_t now = wall_ms(), until = l->store ? store_idle_until(l->store, now) : 0;

	l->idle_timer = loop_event_free(l->idle_timer);
	if (idle_is_due(l))
		lab_sweep(l);
	else if (until)
		arm(l, until - now);
}

void idle_again(struct netlab *l)
{
	arm(l, AGAIN_MS);
}

void idle_release(struct netlab *l)
{
	l->hold = false;
	idle_settle(l);
}

void idle_clear(struct netlab *l)
{
	l->idle_timer = loop_event_free(l->idle_timer);
	l->hold = false;
}
