/* SPDX-License-Identifier: MIT */
/*
 * store_idle - ways of functions that no function uses any more, and what keeps them:
 * the lab's eni_linger (LN-30), a change that may yet be undone (LN-24), or places that
 * somebody has on them.
 *
 * While an interface lingers it has its address, and its subnet and groups can't go.
 * A way that only somebody's places keep goes with its subnet or a group of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/store_internal.h"

#define GROUPS_MAX 16 /* of a function, as the parser counts */

bool store_egress_is_busy(const struct s_egress *g)
{
	size_t i;

	for (i = 0; i < g->n_places; i++)
		if (g->places[i]->token)
			return true;
	return false;
}

int64_t store_idle_until(const struct store *s, int64_t after_ms)
{
	int64_t first = 0;
	size_t i;

	for (i = 0; i < s->n_egresses; i++) {
		const struct s_egress *g = s->egresses[i];

		if (g->idle && g->until_ms > after_ms && (!first || g->until_ms < first))
			first = g->until_ms;
	}
	return first;
}

/* an object of the key that is gone: as EC2 says it when it can't go */
static int in_the_way(struct build *b, const char *id)
{
	const struct object *o = b->old ? store_by_id(b->old, id) : NULL;
	bool subnet = !strncmp(id, "subnet-", 7);

	return build_fail_at(b, o ? o->path : "", ERR_DEPENDENCY, EBUSY,
			     subnet ? "The subnet '%s' has dependencies and cannot be deleted. "
				      "(%s: a function's interface lingers there, eni_linger)" :
				      "resource %s has a dependent object (%s: a function's "
				      "interface that has it lingers, eni_linger)",
			     id, o ? o->name : id);
}

/* what a key names, in the new store; the first id that is gone goes to "ret_gone" */
static bool resolve(struct build *b, const char *key, struct s_subnet **ret,
		    const struct security_group **groups, size_t *ret_n, const char **ret_gone)
{
	auto_free char *text = strdup(key);
	char *save = NULL, *id;

	*ret = NULL;
	*ret_n = 0;
	b->failed |= !text;
	for (id = text ? strtok_r(text, " ,", &save) : NULL; id; id = strtok_r(NULL, " ,", &save)) {
		const struct object *o = store_by_id(b->s, id);

		if (!o) {
			*ret_gone = pool_strdup(b->pool, id);
			return false;
		}
		/* an object is the first member of its struct, and structs are writable */
		if (!*ret)
			*ret = (struct s_subnet *)(uintptr_t)o;
		else if (*ret_n < GROUPS_MAX)
			groups[(*ret_n)++] = ((const struct s_group *)(const void *)o)->def;
	}
	return *ret;
}

/* "until_ms" 0: it doesn't linger */
static int keep_way(struct build *b, const char *key, const char *name, int64_t until_ms)
{
	const struct security_group *groups[GROUPS_MAX];
	struct s_egress *g;
	struct s_subnet *sn;
	const char *gone = NULL;
	size_t n;

	if (!key) {
		g = build_service_egress(b);
	} else if (resolve(b, key, &sn, groups, &n, &gone)) {
		g = build_lambda_egress(b, sn, groups, n, name, sn->o.path);
	} else if (until_ms && gone && !MUTANT("linger-dependency")) {
		return in_the_way(b, gone);
	} else {
		return 0;
	}
	if (!g)
		return build_no_memory(b);
	g->idle = true;
	g->until_ms = until_ms;
	return 0;
}

/* when an interface that is used no more goes; 0: it doesn't linger (any more) */
static int64_t lingers_until(const struct build *b, const struct s_egress *g)
{
	int64_t until = g->until_ms;

	if (!g->eni || b->lab->eni_linger <= 0 || MUTANT("linger"))
		return 0;
	if (!until)
		until = b->keep.now_ms + (int64_t)(b->lab->eni_linger * 1000 / b->lab->time_scale) +
			1;
	return until > b->keep.now_ms || MUTANT("linger-end") ? until : 0;
}

static bool is_used(const struct build *b, const struct s_egress *g)
{
	return g->key ? strmap_get(&b->s->index->lambda, g->key) != NULL :
			store_egress(b->s, g->ns) != NULL;
}

struct saved_idle {
	struct build *b;
	int r;
};

static void keep_saved(const char *key, void *value, void *arg)
{
	struct saved_idle *s = arg;
	const char *until = value;

	if (!s->r)
		s->r = keep_way(s->b, strcmp(key, "service") != 0 ? key : NULL, "",
				strtoll(until, NULL, 10));
}

int build_idle(struct build *b)
{
	struct saved_idle saved = { b, 0 };
	size_t i;
	int r = 0;

	if (b->saved)
		strmap_each(b->saved->idle, keep_saved, &saved);
	for (i = 0; b->old && i < b->old->n_egresses && !r; i++) {
		const struct s_egress *g = b->old->egresses[i];
		int64_t until = lingers_until(b, g);

		if (!is_used(b, g) && (until || b->keep.hold || store_egress_is_busy(g)))
			r = keep_way(b, g->key, g->eni ? g->eni->o.name : "", until);
	}
	return saved.r ? saved.r : r;
}
