/* SPDX-License-Identifier: MIT */
/*
 * jobs - one change of a lab at a time (jobs.h).
 */
#include "netd/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/nl.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "netd/observe.h"

#define LEFT_MS 1000 /* what a dropped namespace leaves behind goes by then */
#define FEW_STEPS 16

static void job_next(struct netlab *l);

/* ---- faults of test builds ---- */

static struct {
	unsigned long at; /* of the requests counted; 0: none */
	unsigned long paused_at, uncounted;
	unsigned depth;
} faults;

unsigned long job_faults_count(void)
{
	return fault_count() - faults.uncounted;
}

void job_faults_set(unsigned long n)
{
	faults.at = n ? job_faults_count() + n : 0;
	fault_set(n);
}

void job_faults_pause(void)
{
	if (faults.depth++ > 0)
		return;
	faults.paused_at = fault_count();
	fault_set(0);
}

void job_faults_resume(void)
{
	if (--faults.depth > 0)
		return;
	faults.uncounted += fault_count() - faults.paused_at;
	if (faults.at > job_faults_count())
		fault_set(faults.at - job_faults_count());
}

/* ---- links that go with their far end ---- */

static void left_free(struct left *f)
{
	LIST_REMOVE(f, link);
	free(f->ns);
	free(f->name);
	free(f);
}

void job_left_clear(struct netlab *l)
{
	l->left_timer = loop_event_free(l->left_timer);
	while (!LIST_EMPTY(&l->left))
		left_free(LIST_FIRST(&l->left));
}

bool job_link_is_left(const struct netlab *l, const char *ns, const char *name)
{
	const struct left *f;

	LIST_FOREACH(f, &l->left, link)
		if (strcmp(f->name, name) == 0 && strcmp(f->ns, ns) == 0)
			return true;
	return false;
}

/* deletes the links of "ns" that are still there, in a group: alone, each costs 15 ms */
static void left_delete(struct netlab *l, const char *ns_borrowed)
{
	struct err e = { .code = ERR_NONE };
	auto_free char *ns = strdup(ns_borrowed);
	struct left *f, *next;
	const char **names;
	struct nl *nl;
	size_t n = 0;
	int r;

	LIST_FOREACH(f, &l->left, link)
		n++;
	names = calloc(n, sizeof(*names));
	if (!ns || !names) {
		free(names);
		return; /* they go by themselves in the end */
	}
	n = 0;
	LIST_FOREACH(f, &l->left, link)
		if (strcmp(f->ns, ns) == 0 && !program_find(&l->want, ns, ITEM_LINK, f->name))
			names[n++] = f->name;
	job_faults_pause(); /* a failure here is no failure of the change that runs */
	nl = program_find(&l->want, ns, ITEM_NS, "") ? spaces_nl(l->spaces, ns, &e) : NULL;
	r = nl && n > 0 ? nl_delete_links(nl, names, n) : 0;
	spaces_trim(l->spaces);
	job_faults_resume();
	if (r < 0)
		log_warn("lab=%s ns=%s links of dropped namespaces stay for now: %s", l->name, ns,
			 strerror(-r));
	free(names);
	for (f = LIST_FIRST(&l->left); f; f = next) {
		next = LIST_NEXT(f, link);
		if (strcmp(f->ns, ns) == 0)
			left_free(f);
	}
}

static void left_due(void *arg)
{
	struct netlab *l = arg;

	l->left_timer = loop_event_free(l->left_timer);
	if (l->job) { /* its sockets are in use */
		l->left_timer = loop_timer(l->netd->loop, LEFT_MS, left_due, l);
		return;
	}
	while (!LIST_EMPTY(&l->left))
		left_delete(l, LIST_FIRST(&l->left)->ns);
}

static void left_note(const char *ns, const char *link, void *arg)
{
	struct netlab *l = arg;
	struct left *f = calloc(1, sizeof(*f));

	if (f) {
		f->ns = strdup(ns);
		f->name = strdup(link);
	}
	if (!f || !f->ns || !f->name) {
		if (f) {
			free(f->ns);
			free(f->name);
		}
		free(f);
		return; /* it goes by itself in the end */
	}
	LIST_INSERT_HEAD(&l->left, f, link);
	if (!l->left_timer)
		l->left_timer = loop_timer(l->netd->loop, LEFT_MS, left_due, l);
}

/* a name that is wanted again can't wait for its namesake to go by itself */
static void left_make_room(struct netlab *l, const struct program *want)
{
	struct left *f, *next;

	for (f = LIST_FIRST(&l->left); f; f = next) {
		next = LIST_NEXT(f, link);
		if (program_find(want, f->ns, ITEM_LINK, f->name)) {
			left_delete(l, f->ns);
			next = LIST_FIRST(&l->left);
		}
	}
}

/* ---- a job ---- */

static void job_finish(struct netlab *l, const struct err *e)
{
	struct job *j = l->job;

	l->tick = loop_event_free(l->tick);
	j->apply = apply_free(j->apply);
	l->job = NULL;
	if (!e && j->want.n > 0) {
		program_done(&l->want);
		l->want = j->want;
		program_init(&j->want);
	}
	program_done(&j->want);
	l->ending = true; /* what "end" submits waits for the caller's job_next() */
	j->ops->end(j, e);
	l->ending = false;
	spaces_trim(l->spaces); /* now: "end" has those watched that shall stay open */
	observe_rearm(l);
}

static int apply_to(struct netlab *l, const struct program *want, struct err *e)
{
	const struct apply_target t = {
		.lab = l->name,
		.spaces = l->spaces,
		.responder = l->netd->responder,
		.actual = &l->actual,
		.want = want,
		.left = left_note,
		.arg = l,
	};

	size_t n;
	int r;

	l->job->apply = apply_free(l->job->apply);
	r = apply_new(&t, &l->job->apply, e);
	if (r == 0) {
		(void)apply_steps(l->job->apply, &n);
		log_debug("lab=%s %s steps=%zu", l->name, l->job->undoing ? "undo" : "apply", n);
	}
	return r;
}

/* the undoing failed, too: what is there isn't what ought to be */
static void job_stuck(struct netlab *l, const struct err *e)
{
	struct err both = l->job->why;

	log_err("lab=%s undoing a change failed: %s", l->name, e->msg);
	err_wrap(&both, "and undoing it failed (%.150s), after", e->msg);
	l->failed = true;
	observe_mark_all(l);
	job_finish(l, &both);
}

static void job_undo(struct netlab *l, const struct err *why)
{
	struct job *j = l->job;
	struct err e = { .code = ERR_NONE };

	j->undoing = true;
	j->why = *why;
	if (apply_to(l, &l->want, &e) < 0)
		job_stuck(l, &e);
}

/* what the kernel has is what was wanted: the copy has no traces of the way there; a
 * short way leaves too few to be worth a copy */
static void actual_compact(struct netlab *l, const struct program *want)
{
	struct program copy;
	size_t n;

	(void)apply_steps(l->job->apply, &n);
	if (n <= FEW_STEPS && !program_is_worn(&l->actual))
		return;
	if (program_copy(want, &copy) < 0)
		return; /* "actual" is right as it is */
	program_done(&l->actual);
	l->actual = copy;
}

static void job_done(struct netlab *l)
{
	struct job *j = l->job;
	struct err e = { .code = ERR_NONE };

	actual_compact(l, j->undoing ? &l->want : &j->want);
	if (j->undoing) {
		job_finish(l, &j->why);
	} else if (j->ops->commit && j->ops->commit(j, &e) < 0) {
		job_undo(l, &e);
	} else {
		l->failed = false;
		job_finish(l, NULL);
	}
}

/* one slice; true: the job goes on */
static bool job_slice(struct netlab *l)
{
	struct job *j = l->job;
	struct err e = { .code = ERR_NONE };
	int r;

	if (j->ops->background)
		job_faults_pause();
	r = apply_slice(j->apply, &e);
	if (j->ops->background)
		job_faults_resume();
	if (r == 0)
		job_done(l);
	else if (r < 0 && j->ops->no_undo)
		job_finish(l, &e);
	else if (r < 0 && j->undoing)
		job_stuck(l, &e);
	else if (r < 0)
		job_undo(l, &e);
	return l->job == j;
}

static void job_tick(void *arg)
{
	struct netlab *l = arg;

	l->tick = loop_event_free(l->tick);
	if (job_slice(l)) {
		l->tick = loop_timer(l->netd->loop, 0, job_tick, l);
		if (l->tick)
			return;
		while (job_slice(l)) /* without memory for a timer: to the end at once */
			;
	}
	job_next(l);
}

/* true: it has something to apply, "l->job" runs */
static bool job_begin(struct netlab *l, struct job *j)
{
	struct err e = { .code = ERR_NONE };
	int r;

	l->job = j;
	r = j->ops->begin(j, &e);
	if (r > 0) {
		left_make_room(l, &j->want);
		r = apply_to(l, &j->want, &e);
		if (r == 0)
			return true;
	}
	job_finish(l, r < 0 ? &e : NULL);
	return false;
}

static void job_next(struct netlab *l)
{
	while (!l->job) {
		struct job *j = TAILQ_FIRST(&l->waiting);

		if (!j) {
			lab_settle(l);
			return;
		}
		TAILQ_REMOVE(&l->waiting, j, link);
		l->n_waiting--;
		if (job_begin(l, j))
			job_tick(l);
		else
			continue;
		return;
	}
}

int job_want_begin(struct job *j, struct err *e)
{
	program_done(&j->want);
	if (program_copy(&j->lab->want, &j->want) < 0) {
		program_init(&j->want);
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	return 0;
}

static void job_init(struct netlab *l, struct job *j, const struct job_ops *ops)
{
	j->lab = l;
	j->ops = ops;
	j->apply = NULL;
	j->undoing = false;
	program_init(&j->want);
}

void job_submit(struct netlab *l, struct job *j, const struct job_ops *ops)
{
	struct err e = { .code = ERR_NONE };

	job_init(l, j, ops);
	if (l->n_waiting >= NETD_WAITING_MAX && !ops->background) {
		err_set(&e, ERR_LIMIT, EAGAIN, "%s: %d changes wait already", l->name,
			NETD_WAITING_MAX);
		ops->end(j, &e);
		return;
	}
	TAILQ_INSERT_TAIL(&l->waiting, j, link);
	l->n_waiting++;
	if (!l->ending)
		job_next(l);
}

void job_kick(struct netlab *l)
{
	job_next(l);
}

void job_run(struct netlab *l, struct job *j, const struct job_ops *ops)
{
	job_init(l, j, ops);
	if (job_begin(l, j))
		while (job_slice(l))
			;
}

void job_cancel_all(struct netlab *l, const struct err *why)
{
	struct job *j;

	while ((j = TAILQ_FIRST(&l->waiting))) {
		TAILQ_REMOVE(&l->waiting, j, link);
		l->n_waiting--;
		program_done(&j->want);
		j->ops->end(j, why);
	}
	if (l->job)
		job_finish(l, why);
}
