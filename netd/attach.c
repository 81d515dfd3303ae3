/* SPDX-License-Identifier: MIT */
/*
 * attach - places for sandboxes (attach.h).
 *
 * Three kinds of jobs: a claim takes a ready place (nothing to do in the kernel)
 * or makes one; a fill makes what is missing; a group of places given back is
 * dropped.  Each changes the lab's program by the items of its places only, so
 * that its cost doesn't depend on the size of the lab.
 */
#include "netd/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "netd/claims.h"
#include "netd/compile.h"
#include "netd/idle.h"
#include "netd/jobs.h"

#define GROUP_MS 20 /* what is given back meanwhile goes together */
#define AGAIN_MS 1000

/* ---- the list ---- */

static void attachment_free(struct attachment *a)
{
	LIST_REMOVE(a, link);
	free(a->ns);
	free(a->function);
	free(a->subnet);
	free(a->token);
	free(a);
}

static struct attachment *attachment_find(const struct netlab *l, const char *ns)
{
	struct attachment *a;

	LIST_FOREACH(a, &l->attachments, link)
		if (strcmp(a->ns, ns) == 0)
			return a;
	return NULL;
}

static bool copy_text(char **ret, const char *s)
{
	*ret = s ? strdup(s) : NULL;
	return !s || *ret;
}

static struct attachment *attachment_add(struct netlab *l, const char *ns, const char *function,
					 const char *subnet, const char *token)
{
	struct attachment *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	LIST_INSERT_HEAD(&l->attachments, a, link);
	if (!copy_text(&a->ns, ns) || !copy_text(&a->function, function) ||
	    !copy_text(&a->subnet, subnet) || !copy_text(&a->token, token)) {
		attachment_free(a);
		return NULL;
	}
	return a;
}

static struct s_place *place_find(const struct store *s, const char *ns, struct s_egress **ret)
{
	struct s_egress *g = store_egress_of_place(s, ns);
	unsigned number = g ? store_place_number(g, ns) : 0;
	size_t i;

	for (i = 0; number && i < g->n_places; i++)
		if (g->places[i]->number == number) {
			*ret = g;
			return g->places[i];
		}
	return NULL;
}

static void add_text(cJSON *o, const char *name, const char *s)
{
	if (s)
		cJSON_AddStringToObject(o, name, s);
	else
		cJSON_AddNullToObject(o, name);
}

cJSON *attach_list(const struct netlab *l)
{
	cJSON *list = cJSON_CreateArray();
	const struct attachment *a;

	LIST_FOREACH(a, &l->attachments, link) {
		auto_free char *path = ns_path(l->netd->dir.run, (int)getpid(), l->name, a->ns);
		cJSON *o = cJSON_CreateObject();

		if (a->doomed) {
			cJSON_Delete(o);
			continue;
		}
		if (!path || !o || !cJSON_AddItemToArray(list, o)) {
			cJSON_Delete(o);
			cJSON_Delete(list);
			return NULL;
		}
		add_text(o, "attachment", a->ns);
		add_text(o, "function", a->function);
		add_text(o, "subnet", a->subnet);
		add_text(o, "token", a->token);
		add_text(o, "namespace", path);
	}
	return list;
}

/* ---- programs ---- */

static int want_place(struct job *j, const struct s_egress *g, const struct s_place *pl, bool there,
		      struct err *e)
{
	struct program p, none = { 0 };
	int r = compile_place(g, pl, &p, e);

	if (r < 0)
		return r;
	r = there ? program_replace(&j->want, &none, &p) : program_replace(&j->want, &p, &none);
	program_done(&p);
	return r < 0 ? err_set(e, ERR_INTERNAL, ENOMEM, "out of memory") : 0;
}

/* ---- filling ---- */

struct made {
	const char *egress; /* borrows from the store, which no other job changes meanwhile */
	unsigned number;
};

struct fill {
	struct job job;
	struct made *made; /* owns */
	size_t n, cap;
};

/* how many places are to be made; nothing begins on a way that no function uses */
static size_t n_missing(const struct s_egress *g)
{
	size_t n = 0, i;

	for (i = 0; i < g->n_places; i++)
		n += !g->places[i]->token;
	return g->idle || n >= ATTACH_READY ? 0 : ATTACH_READY - n;
}

static int fill_one(struct fill *f, struct s_egress *g, struct err *e)
{
	struct s_place *pl;
	int r;

	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 8;
		struct made *v = reallocarray(f->made, cap, sizeof(*v));

		if (!v)
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		f->made = v;
		f->cap = cap;
	}
	r = store_place_add(f->job.lab->store, g->ns, NULL, &pl);
	if (r < 0)
		return err_set(e, ERR_LIMIT, -r, "%s: another place: %s", g->ns, strerror(-r));
	f->made[f->n++] = (struct made){ g->ns, pl->number };
	return want_place(&f->job, g, pl, true, e);
}

static int fill_begin(struct job *j, struct err *e)
{
	struct fill *f = (struct fill *)j;
	struct netlab *l = j->lab;
	size_t i, k;
	int r;

	l->fill_waits = false;
	if (!l->store)
		return 0;
	r = job_want_begin(j, e);
	for (i = 0; r == 0 && i < l->store->n_egresses; i++) {
		struct s_egress *g = l->store->egresses[i];

		for (k = n_missing(g); r == 0 && k > 0; k--)
			r = fill_one(f, g, e);
	}
	return r < 0 ? r : f->n > 0;
}

static void fill_end(struct job *j, const struct err *e)
{
	struct fill *f = (struct fill *)j;

	j->lab->fill_waits = false;
	if (e && e->code != ERR_CANCELLED)
		log_warn("lab=%s no places kept ready: %s", j->lab->name, e->msg);
	while (e && f->n-- > 0)
		(void)store_place_remove(j->lab->store, f->made[f->n].egress,
					 f->made[f->n].number); /* there: it was added here */
	free(f->made);
	free(f);
}

static const struct job_ops fill_ops = {
	.begin = fill_begin,
	.end = fill_end,
	.background = true,
};

static void fill_submit(struct netlab *l)
{
	struct fill *f;
	size_t i, missing = 0;

	for (i = 0; i < l->store->n_egresses; i++)
		missing += n_missing(l->store->egresses[i]);
	if (missing == 0 || l->fill_waits)
		return;
	f = calloc(1, sizeof(*f));
	if (!f)
		return; /* a claim makes what it needs */
	l->fill_waits = true;
	job_submit(l, &f->job, &fill_ops);
}

/* ---- claiming ---- */

struct claim {
	struct job job;
	char *function, *subnet, *wants, *token; /* own */
	struct s_egress *egress;		 /* borrow from the store while the job runs */
	struct s_place *place;
	bool made;
	labs_fn fn;
	void *arg;
};

static struct s_egress *egress_of(const struct s_function *f, const char *subnet)
{
	size_t i;

	for (i = 0; i < f->n_egresses; i++) {
		const struct s_eni *eni = f->egresses[i]->eni;

		if (!subnet || (eni && strcmp(eni->subnet->def->name, subnet) == 0))
			return f->egresses[i];
	}
	return NULL;
}

static int claim_find(struct claim *c, struct err *e)
{
	struct store *s = c->job.lab->store;
	const struct s_function *f = s ? store_function(s, c->function) : NULL;

	if (!s)
		return err_set(e, ERR_NO_LAB, ENOENT, "there is no lab \"%s\"", c->job.lab->name);
	c->egress = c->wants ? store_egress(s, c->wants) : NULL;
	if (c->egress)
		return 0;
	if (c->wants)
		return err_set(e, ERR_NO_OBJECT, ENOENT, "lab %s has no egress \"%s\"",
			       c->job.lab->name, c->wants);
	if (!f)
		return err_set(e, ERR_NO_FUNCTION, ENOENT, "lab %s has no function \"%s\"",
			       c->job.lab->name, c->function);
	if (f->o.failure_code)
		return err_set(e, ERR_BUSY, EBUSY, "function %s has failed (%s): %s", c->function,
			       f->o.failure_code, f->o.failure_message);
	c->egress = egress_of(f, c->subnet);
	if (!c->egress)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "function %s has no subnet \"%s\"",
			       c->function, c->subnet ? c->subnet : "");
	return 0;
}

static int claim_begin(struct job *j, struct err *e)
{
	struct claim *c = (struct claim *)j;
	struct store *s = j->lab->store;
	int r = claim_find(c, e);

	if (r < 0)
		return r;
	r = store_place_take(s, c->egress->ns, c->token, &c->place);
	if (r == 0)
		return 0;
	r = store_place_add(s, c->egress->ns, c->token, &c->place);
	if (r < 0)
		return err_set(e, r == -ENOSPC ? ERR_LIMIT : ERR_INTERNAL, -r, "a place on %s: %s",
			       c->egress->ns, strerror(-r));
	c->made = true;
	r = job_want_begin(j, e);
	if (r == 0)
		r = want_place(j, c->egress, c->place, true, e);
	return r < 0 ? r : 1;
}

static cJSON *claim_json(const struct claim *c)
{
	const struct netlab *l = c->job.lab;
	auto_free char *path = ns_path(l->netd->dir.run, (int)getpid(), l->name, c->place->ns);
	cJSON *o = path ? cJSON_CreateObject() : NULL;

	if (!o)
		return NULL;
	add_text(o, "attachment", c->place->ns);
	add_text(o, "namespace", path);
	add_text(o, "address", addr_str(&c->egress->address));
	add_text(o, "network_interface", c->egress->eni ? c->egress->eni->o.id : NULL);
	return o;
}

static void claim_free(struct claim *c)
{
	free(c->function);
	free(c->subnet);
	free(c->wants);
	free(c->token);
	free(c);
}

static void claim_end(struct job *j, const struct err *e)
{
	struct claim *c = (struct claim *)j;
	struct err none = { .code = ERR_NONE };
	cJSON *answer = NULL;

	if (e) {
		if (c->made)
			(void)store_place_remove(j->lab->store, c->egress->ns, c->place->number);
	} else {
		const char *subnet = c->egress->eni ? c->egress->eni->subnet->def->name : NULL;

		struct netlab *l = j->lab;
		int r = claims_taken(l->netd->claims, l->name, c->place->ns, c->function, subnet,
				     c->token);

		if (r == 0 && attachment_add(l, c->place->ns, c->function, subnet, c->token))
			answer = claim_json(c);
		if (!answer) {
			r = r < 0 ? r : -ENOMEM;
			err_set(&none, ERR_STATE, -r, "place %s: %s", c->place->ns, strerror(-r));
			e = &none;
		}
		fill_submit(j->lab);
	}
	c->fn(e, answer, c->arg);
	claim_free(c);
}

static const struct job_ops claim_ops = { .begin = claim_begin, .end = claim_end };

void attach_claim(struct netlab *l, const char *function, const char *subnet, const char *egress,
		  const char *token, labs_fn fn, void *arg)
{
	struct err e = { .code = ERR_NONE };
	struct claim *c = calloc(1, sizeof(*c));

	if (!c || !copy_text(&c->function, function) || !copy_text(&c->subnet, subnet) ||
	    !copy_text(&c->wants, egress) || !copy_text(&c->token, token)) {
		err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		fn(&e, NULL, arg);
		if (c)
			claim_free(c);
		return;
	}
	c->fn = fn;
	c->arg = arg;
	job_submit(l, &c->job, &claim_ops);
}

/* ---- giving back ---- */

static void doom_due(void *arg);

static void doom_arm(struct netlab *l, int64_t ms)
{
	if (!l->doom_timer)
		l->doom_timer = loop_timer(l->netd->loop, ms, doom_due, l);
}

static int drop_begin(struct job *j, struct err *e)
{
	struct netlab *l = j->lab;
	struct attachment *a;
	size_t n = 0;
	int r;

	if (!l->store)
		return 0;
	r = job_want_begin(j, e);
	LIST_FOREACH(a, &l->attachments, link) {
		struct s_egress *g;
		struct s_place *pl = a->doomed ? place_find(l->store, a->ns, &g) : NULL;

		if (r == 0 && pl) {
			r = want_place(j, g, pl, false, e);
			n++;
		}
	}
	return r < 0 ? r : n > 0;
}

static void drop_end(struct job *j, const struct err *e)
{
	struct netlab *l = j->lab;
	struct attachment *a, *next;

	if (e && e->code != ERR_CANCELLED) {
		log_warn("lab=%s places given back stay for now: %s", l->name, e->msg);
		doom_arm(l, AGAIN_MS);
	}
	for (a = e ? NULL : LIST_FIRST(&l->attachments); a; a = next) {
		struct s_egress *g;
		struct s_place *pl = a->doomed && l->store ? place_find(l->store, a->ns, &g) : NULL;

		next = LIST_NEXT(a, link);
		/* what was given back while this ran is still in the program */
		if (pl && !program_find(&l->want, a->ns, ITEM_NS, "")) {
			(void)store_place_remove(l->store, g->ns, pl->number); /* just found */
			attachment_free(a);
		} else if (a->doomed && pl) {
			doom_arm(l, GROUP_MS);
		}
	}
	free(j);
	idle_settle(l);
}

static const struct job_ops drop_ops = {
	.begin = drop_begin,
	.end = drop_end,
	.background = true,
};

static void doom_due(void *arg)
{
	struct netlab *l = arg;
	struct job *j = calloc(1, sizeof(*j));

	l->doom_timer = loop_event_free(l->doom_timer);
	if (j)
		job_submit(l, j, &drop_ops);
	else
		doom_arm(l, AGAIN_MS);
}

void attach_release(struct netlab *l, const char *attachment, labs_fn fn, void *arg)
{
	struct attachment *a = attachment_find(l, attachment);
	struct err e = { .code = ERR_NONE };
	int r;

	if (!a || a->doomed) {
		err_set(&e, ERR_NO_OBJECT, ENOENT, "lab %s has no attachment \"%s\"", l->name,
			attachment);
		fn(&e, NULL, arg);
		return;
	}
	r = claims_released(l->netd->claims, l->name, attachment);
	if (r < 0) {
		err_set(&e, ERR_STATE, -r, "place %s: %s", attachment, strerror(-r));
		fn(&e, NULL, arg);
		return;
	}
	a->doomed = true;
	doom_arm(l, GROUP_MS);
	fn(NULL, cJSON_CreateObject(), arg);
}

/* ---- life of the lab ---- */

int attach_found(struct netlab *l, struct store *s, const char *ns, struct err *e)
{
	struct s_egress *g = store_egress_of_place(s, ns);
	unsigned number = g ? store_place_number(g, ns) : 0;
	const cJSON *was = claims_find(l->netd->claims, l->name, ns);
	bool ready = !was && claims_is_known(l->netd->claims);
	struct attachment *a;
	struct s_place *pl;
	int r;

	if (!number)
		return 0;
	r = store_place_put(s, g->ns, number, ready ? NULL : json_str(was, "token", ""), &pl);
	if (r < 0 && r != -EEXIST)
		return err_set(e, ERR_INTERNAL, -r, "%s: %s", ns, strerror(-r));
	if (ready || attachment_find(l, ns))
		return 0;
	a = attachment_add(l, ns, json_str(was, "function", NULL),
			   g->eni ? g->eni->subnet->def->name : NULL, json_str(was, "token", NULL));
	if (!a)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	a->doomed = json_bool(was, "released", false);
	if (a->doomed)
		doom_arm(l, GROUP_MS);
	return 0;
}

void attach_settle(struct netlab *l)
{
	struct attachment *a, *next;

	for (a = LIST_FIRST(&l->attachments); a; a = next) {
		struct s_egress *g;

		next = LIST_NEXT(a, link);
		if (!place_find(l->store, a->ns, &g))
			attachment_free(a);
	}
	fill_submit(l);
}

void attach_clear(struct netlab *l)
{
	l->doom_timer = loop_event_free(l->doom_timer);
	while (!LIST_EMPTY(&l->attachments))
		attachment_free(LIST_FIRST(&l->attachments));
}
