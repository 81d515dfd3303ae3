/* SPDX-License-Identifier: MIT */
/*
 * async - see async.h.
 *
 * In memory an event is small: its payload is read from the disk when it runs.  A
 * write that fails (a full disk) is tried again until it succeeds; what it would have
 * led to waits, nothing is lost.
 */
#include "sandbox/async.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/http.h"
#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/async_deliver.h"
#include "sandbox/async_policy.h"
#include "sandbox/async_rows.h"
#include "sandbox/env.h"
#include "sandbox/functions.h"
#include "sandbox/invocation.h"
#include "sandbox/invoke.h"
#include "sandbox/limits.h"
#include "sandbox/states.h"
#include "sandbox/throttle.h"
#include "sandbox/versions.h"

#define LATER_MS 100	      /* until a lab that changes, or a full disk, is looked at again */
#define DELIVERY_FIRST_MS 250 /* doubled with each failure */
#define DELIVERY_LAST_MS 60000
#define BORN_MAX 3 /* a failure's destination and dead letter, and room */

struct event {
	TAILQ_ENTRY(event) link, wait_link;
	struct slab *slab;
	char *function; /* owns */
	int64_t id, accepted_ms, due_ms;
	unsigned attempts, waits, hops;
	bool waiting; /* due, but enough of its function run */
	bool running, gone;
	unsigned writes; /* that name it */
	struct loop_event *timer;
	char request[37];
};

struct delivery {
	TAILQ_ENTRY(delivery) link;
	struct slab *slab;
	char *function, *target; /* own */
	enum destination_kind kind;
	int64_t id, begun_ms;
	unsigned tries;
	bool under_way, gone;
	unsigned writes;
	struct loop_event *timer;
	struct deliver_post post;
};

/* what an event leads to */
struct born {
	struct event *event; /* either of them */
	struct delivery *delivery;
	struct buf body;
};

enum write_kind { WRITE_ADD, WRITE_AGAIN, WRITE_FINISH, WRITE_DELIVERED };

struct write {
	STAILQ_ENTRY(write) link;
	enum write_kind kind;
	struct event *event;
	struct delivery *delivery;
	struct http_req *req;	     /* ADD: to be answered; the payload is its body */
	const struct write *copy_of; /* ADD: the one whose payload it has */
	struct born born[BORN_MAX];
	size_t n_born;
};
STAILQ_HEAD(writes, write);

struct async_queue {
	struct sandboxd *sd;
	TAILQ_HEAD(, event) events, waiting;
	TAILQ_HEAD(, delivery) deliveries;
	struct writes writes;
	struct loop_event *flush;
	int64_t last_id;
	size_t n_events;
	bool closing;
};

static void event_schedule(struct event *v);
static void delivery_schedule(struct delivery *d, int64_t ms);
static void write_add(struct async_queue *a, struct write *w);

/* tests: VPCLAB_KILL=STAGE:N ends the daemon the N-th time it comes by */
static void kill_point(const char *stage)
{
#ifdef VPCLAB_TESTING
	static unsigned passed;
	const char *wish = getenv("VPCLAB_KILL");
	size_t n = strlen(stage);

	if (wish && !strncmp(wish, stage, n) && wish[n] == ':' &&
	    ++passed == (unsigned)atoi(wish + n + 1))
		(void)kill(getpid(), SIGKILL);
#else
	(void)stage;
#endif
}

static struct async_queue *async_of(const struct slab *l)
{
	return l->sd->async;
}

/* ---- in memory ---- */

static struct event *event_new(struct slab *l, const char *function, const char *request)
{
	struct event *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->function = strdup(function);
	if (!v->function) {
		free(v);
		return NULL;
	}
	v->slab = l;
	v->accepted_ms = v->due_ms = wall_ms();
	if (request)
		(void)snprintf(v->request, sizeof(v->request), "%s", request);
	else
		uuid4(v->request);
	v->id = ++async_of(l)->last_id;
	TAILQ_INSERT_TAIL(&async_of(l)->events, v, link);
	async_of(l)->n_events++;
	return v;
}

static void event_unlink(struct async_queue *a, struct event *v)
{
	v->timer = loop_event_free(v->timer);
	if (v->waiting)
		TAILQ_REMOVE(&a->waiting, v, wait_link);
	v->waiting = false;
	if (!v->gone) {
		TAILQ_REMOVE(&a->events, v, link);
		a->n_events--;
	}
	v->gone = true;
}

/* frees it once nobody has it any more */
static void event_release(struct event *v)
{
	if (!v->gone || v->running || v->writes)
		return;
	free(v->function);
	free(v);
}

static struct delivery *delivery_new(struct slab *l, const char *function,
				     const struct destination *to)
{
	struct delivery *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->function = strdup(function);
	d->target = strdup(to->name);
	if (!d->function || !d->target) {
		free(d->function);
		free(d->target);
		free(d);
		return NULL;
	}
	d->slab = l;
	d->kind = to->kind;
	d->begun_ms = wall_ms();
	d->id = ++async_of(l)->last_id;
	TAILQ_INSERT_TAIL(&async_of(l)->deliveries, d, link);
	return d;
}

static void delivery_unlink(struct async_queue *a, struct delivery *d)
{
	d->timer = loop_event_free(d->timer);
	if (!d->gone)
		TAILQ_REMOVE(&a->deliveries, d, link);
	d->gone = true;
}

static void delivery_release(struct delivery *d)
{
	if (!d->gone || d->under_way || d->writes)
		return;
	free(d->function);
	free(d->target);
	free(d);
}

/* ---- to disk ---- */

static struct event_row row_of(const struct event *v)
{
	return (struct event_row){
		.id = v->id,
		.lab = v->slab->name,
		.function = v->function,
		.request = v->request,
		.accepted_ms = v->accepted_ms,
		.due_ms = v->due_ms,
		.attempts = v->attempts,
		.hops = v->hops,
	};
}

static int put_born(struct db *db, const struct born *b, struct err *e)
{
	const struct delivery *d = b->delivery;
	struct delivery_row row;

	if (b->event) {
		const struct event_row v = row_of(b->event);

		return async_rows_add(db, &v, buf_str(&b->body), b->body.len, e);
	}
	row = (struct delivery_row){ d->id,	d->slab->name, d->function,
				     d->target, d->kind,       d->begun_ms };
	return async_rows_deliver(db, &row, buf_str(&b->body), b->body.len, e);
}

static bool is_void(const struct write *w)
{
	return w->event ? w->event->gone : w->delivery->gone;
}

static int write_run(struct db *db, const struct write *w, struct err *e)
{
	struct event_row row;
	const void *body;
	size_t i, size;
	int r = 0;

	/* its lab went, and its rows with it */
	if (is_void(w))
		return 0;
	if (w->event)
		row = row_of(w->event);
	switch (w->kind) {
	case WRITE_ADD:
		body = http_body((w->copy_of ? w->copy_of : w)->req, &size);
		return body && size ? async_rows_add(db, &row, body, size, e) :
				      async_rows_add(db, &row, "{}", 2, e);
	case WRITE_AGAIN:
		return async_rows_again(db, &row, e);
	case WRITE_FINISH:
		for (i = 0; i < w->n_born && !r; i++)
			r = put_born(db, &w->born[i], e);
		return r ? r : async_rows_drop(db, w->event->id, e);
	case WRITE_DELIVERED:
		return async_rows_delivered(db, w->delivery->id, e);
	}
	return 0;
}

static int transaction(struct db *db, const struct writes *all, struct err *e)
{
	struct err ignored = { 0 };
	const struct write *w;
	int r = db_exec(db, "BEGIN IMMEDIATE", e);

	if (r)
		return r;
	STAILQ_FOREACH(w, all, link) {
		r = write_run(db, w, e);
		if (r)
			break;
	}
	if (!r)
		r = db_exec(db, "COMMIT", e);
	if (r)
		(void)db_exec(db, "ROLLBACK", &ignored); /* the first failure is told */
	return r;
}

static void write_free(struct write *w)
{
	for (size_t i = 0; i < w->n_born; i++)
		buf_done(&w->born[i].body);
	if (w->event) {
		w->event->writes--;
		event_release(w->event);
	}
	if (w->delivery) {
		w->delivery->writes--;
		delivery_release(w->delivery);
	}
	free(w);
}

/* it is on disk; or, of an event that isn't accepted yet, it can't be brought there */
static void write_done(struct async_queue *a, struct write *w, const struct err *e)
{
	bool gone = is_void(w);
	size_t i;

	switch (w->kind) {
	case WRITE_ADD:
		if (!e)
			kill_point("answer");
		/* the second of a doubled one has nobody to tell */
		if (w->req && e)
			invoke_refuse(w->req, 500, "ServiceException",
				      "The event can't be kept: %s", e->msg);
		else if (w->req)
			invoke_accepted(w->req, w->event->request);
		if (e)
			event_unlink(a, w->event);
		else if (!gone)
			event_schedule(w->event);
		break;
	case WRITE_AGAIN:
		kill_point("retry");
		if (!gone)
			event_schedule(w->event);
		break;
	case WRITE_FINISH:
		kill_point("finish");
		for (i = 0; i < w->n_born; i++) {
			if (w->born[i].event && !w->born[i].event->gone)
				event_schedule(w->born[i].event);
			if (w->born[i].delivery && !w->born[i].delivery->gone)
				delivery_schedule(w->born[i].delivery, 0);
		}
		event_unlink(a, w->event);
		break;
	case WRITE_DELIVERED:
		delivery_unlink(a, w->delivery);
		break;
	}
	write_free(w);
}

static void flush(void *arg)
{
	struct async_queue *a = arg;
	struct writes now = STAILQ_HEAD_INITIALIZER(now);
	struct err e = { 0 };
	struct write *w;
	int r;

	a->flush = loop_event_free(a->flush);
	STAILQ_CONCAT(&now, &a->writes);
	if (STAILQ_EMPTY(&now))
		return;
	kill_point("accept");
	r = transaction(a->sd->db, &now, &e);
	if (r)
		log_warn("events can't be written: %s", e.msg);
	while ((w = STAILQ_FIRST(&now))) {
		STAILQ_REMOVE_HEAD(&now, link);
		if (!r)
			write_done(a, w, NULL);
		else if (w->kind == WRITE_ADD)
			write_done(a, w, &e);
		else
			STAILQ_INSERT_TAIL(&a->writes, w, link);
	}
	if (!STAILQ_EMPTY(&a->writes) && !a->flush && !a->closing)
		a->flush = loop_timer(a->sd->loop, r ? LATER_MS : 0, flush, a);
}

static void write_add(struct async_queue *a, struct write *w)
{
	if (w->event)
		w->event->writes++;
	if (w->delivery)
		w->delivery->writes++;
	STAILQ_INSERT_TAIL(&a->writes, w, link);
	/* without a timer the next one to come takes it along */
	if (!a->flush)
		a->flush = loop_timer(a->sd->loop, 0, flush, a);
}

/* ---- what an event leads to ---- */

static struct write *write_new(enum write_kind kind, struct event *v, struct delivery *d)
{
	struct write *w = calloc(1, sizeof(*w));

	if (w) {
		w->kind = kind;
		w->event = v;
		w->delivery = d;
	}
	return w;
}

/* "letter": a dead letter, else a record */
static int bear(struct write *w, struct slab *l, const struct destination *to,
		const struct async_record *rec, bool letter)
{
	struct born *b = &w->born[w->n_born];
	struct async_letter attributes;
	auto_buf struct buf text = BUF_INIT;
	const char *topic;

	if (!to->kind)
		return 0;
	/* functions that are each other's destination end, as AWS ends them */
	if (to->kind == DESTINATION_FUNCTION && w->event->hops >= LIMIT_EVENT_HOPS &&
	    !MUTANT("async-hops")) {
		log_warn("lab=%s function=%s event=%s isn't sent on to %s: it comes from %d others",
			 l->name, w->event->function, w->event->request, to->name,
			 LIMIT_EVENT_HOPS);
		return 0;
	}
	async_letter(&attributes, rec);
	if (letter)
		async_put_json(&text, rec->payload, rec->size);
	else
		async_put_record(&text, rec);
	if (to->kind == DESTINATION_FUNCTION)
		b->event = event_new(l, to->name, NULL);
	else
		b->delivery = delivery_new(l, w->event->function, to);
	if (!b->event && !b->delivery)
		return -ENOMEM;
	if (b->event)
		b->event->hops = w->event->hops + 1;
	w->n_born++;
	switch (to->kind) {
	case DESTINATION_SQS:
		async_put_sqs(&b->body, to->name, buf_str(&text), text.len,
			      letter ? &attributes : NULL);
		break;
	case DESTINATION_SNS:
		topic = strstr(to->name, "/arn:");
		async_put_sns(&b->body, topic ? topic + 1 : "", buf_str(&text), text.len,
			      letter ? &attributes : NULL);
		break;
	case DESTINATION_FILE:
		if (letter) {
			async_put_letter(&b->body, &attributes, rec->payload, rec->size);
			break;
		}
		/* fall through */
	default:
		buf_add(&b->body, buf_str(&text), text.len);
	}
	return buf_error(&text) < 0 ? -ENOMEM : buf_error(&b->body);
}

static void unbear(struct async_queue *a, struct write *w)
{
	for (size_t i = 0; i < w->n_born; i++) {
		if (w->born[i].event) {
			event_unlink(a, w->born[i].event);
			event_release(w->born[i].event);
		}
		if (w->born[i].delivery) {
			delivery_unlink(a, w->born[i].delivery);
			delivery_release(w->born[i].delivery);
		}
		buf_done(&w->born[i].body);
	}
	free(w);
}

static void event_later(struct event *v, int64_t ms);

static void event_finish(struct event *v, const struct function *s, const struct async_record *rec)
{
	struct async_queue *a = async_of(v->slab);
	struct write *w = write_new(WRITE_FINISH, v, NULL);
	int r = w ? 0 : -ENOMEM;

	/* without "s" the function is no more, and nobody to be told */
	if (!r && s && rec->verdict == ASYNC_DONE)
		r = bear(w, v->slab, &s->async.on_success, rec, false);
	else if (!r && s) {
		r = bear(w, v->slab, &s->async.on_failure, rec, false);
		if (!r && !MUTANT("async-dead-letter"))
			r = bear(w, v->slab, &s->dead_letter, rec, true);
	}
	if (!r) {
		write_add(a, w);
		return;
	}
	if (w)
		unbear(a, w);
	event_later(v, LATER_MS); /* out of memory: it runs again */
}

/* as it was asked for */
static const char *qualifier_of(const struct event *v)
{
	const char *colon = strchr(v->function, ':');

	return colon ? colon + 1 : "$LATEST";
}

static void conclude(struct event *v, const struct func *f, enum async_outcome o,
		     const char *response, size_t size)
{
	const struct slab *l = v->slab;
	/* what it says of events is the function's own, whatever version runs them */
	const struct function *s = f->latest->spec;
	const struct async_limits limits = { s->async.maximum_retry_attempts,
					     s->async.maximum_event_age, l->lab->time_scale };
	struct async_event event;
	auto_buf struct buf payload = BUF_INIT;
	struct err e = { 0 };
	char arn[FUNCTIONS_ARN_SIZE];
	int64_t now = wall_ms();
	struct async_record rec = {
		.id = v->request,
		.arn = arn,
		.version = f->version,
		.now_ms = now,
		.has_response = o == ASYNC_SUCCESS || o == ASYNC_FUNCTION_ERROR,
		.failed = o == ASYNC_FUNCTION_ERROR,
		.response = response,
		.response_size = size,
	};
	struct write *w;

	if (rec.has_response)
		v->attempts++;
	v->waits = o == ASYNC_NOT_NOW ? v->waits + 1 : 0;
	event = (struct async_event){ v->accepted_ms, v->attempts, v->waits };
	rec.verdict = async_judge(&event, &limits, o, now, &v->due_ms);
	rec.attempts = v->attempts;
	if (rec.verdict == ASYNC_AGAIN && !rec.has_response) {
		event_schedule(v); /* nothing of it has changed that the disk needs to know */
		return;
	}
	if (rec.verdict == ASYNC_AGAIN) {
		w = write_new(WRITE_AGAIN, v, NULL);
		if (w)
			write_add(async_of(l), w);
		else
			event_schedule(v);
		return;
	}
	if (async_rows_payload(l->sd->db, v->id, &payload, &e) < 0) {
		log_warn("lab=%s event=%s %s", l->name, v->request, e.msg);
		event_later(v, LATER_MS);
		return;
	}
	rec.payload = buf_str(&payload);
	rec.size = payload.len;
	functions_arn(f, qualifier_of(v), arn);
	event_finish(v, s, &rec);
}

/* ---- running ---- */

/* of the function, whatever the qualifier? */
static bool is_of(const char *whole, const char *function)
{
	size_t n = strlen(function);

	return !strncmp(whole, function, n) && (!whole[n] || whole[n] == ':');
}

/* another of the same function that waits for its turn */
static void wake(struct async_queue *a, const struct slab *l, const char *function)
{
	struct event *v;

	TAILQ_FOREACH(v, &a->waiting, wait_link)
		if (v->slab == l && is_of(v->function, function)) {
			TAILQ_REMOVE(&a->waiting, v, wait_link);
			v->waiting = false;
			event_later(v, 0);
			return;
		}
}

static void on_result(struct invocation *i, const struct env_result *res)
{
	struct event *v = i->arg;
	struct slab *l = v->slab;
	struct async_queue *a;
	struct func *f;

	invocation_free(i);
	v->running = false;
	if (v->gone) {
		event_release(v); /* its lab went: "slab" may be no more */
		return;
	}
	a = async_of(l);
	/* the daemon's own end is no fault of the function's: the next one runs it again */
	if (a->closing || l->sd->stopping)
		return;
	kill_point("result");
	f = versions_find_whole(l, v->function);
	if (!f || !l->lab) {
		event_later(v, LATER_MS);
		return;
	}
	f->n_async -= f->n_async > 0; /* it may have been made anew meanwhile */
	conclude(v, f,
		 !res->error				? ASYNC_SUCCESS :
		 !strcmp(res->error, "Sandbox.Failure") ? ASYNC_NOT_NOW :
							  ASYNC_FUNCTION_ERROR,
		 res->body, res->size);
	wake(a, l, f->name);
}

static struct invocation *event_invocation(struct event *v, const struct func *f)
{
	auto_buf struct buf payload = BUF_INIT;
	struct invocation *i;
	struct err e = { 0 };

	if (async_rows_payload(f->slab->sd->db, v->id, &payload, &e) < 0) {
		log_warn("lab=%s event=%s %s", f->slab->name, v->request, e.msg);
		return NULL;
	}
	/* the same id for all attempts (AS-1) */
	i = invocation_new(f, strchr(v->function, ':') ? qualifier_of(v) : "", v->request,
			   buf_str(&payload), payload.len, NULL, NULL);
	if (!i)
		return NULL;
	i->arg = v;
	i->done = on_result;
	return i;
}

static bool may_run(struct func *f)
{
	const char *type;
	char text[300];

	return !states_refusal(f, &type, text, sizeof(text)) && !throttle_request(f, wall_ms()) &&
	       f->slab->sd->n_invocations < LIMIT_INVOCATIONS;
}

static void event_run(struct event *v, struct func *f)
{
	struct invocation *i;
	struct err e = { 0 };

	if (f->spec->reserved_concurrent_executions == 0 && !MUTANT("async-zero")) {
		conclude(v, f, ASYNC_ZERO, NULL, 0);
		return;
	}
	if (f->n_async >= LIMIT_ASYNC) {
		v->waiting = true;
		TAILQ_INSERT_TAIL(&async_of(v->slab)->waiting, v, wait_link);
		return;
	}
	i = may_run(f) ? event_invocation(v, f) : NULL;
	if (!i) {
		conclude(v, f, ASYNC_NOT_NOW, NULL, 0);
		return;
	}
	v->running = true;
	f->n_async++;
	if (env_invoke(f, i, &e) < 0) {
		v->running = false;
		f->n_async--;
		invocation_free(i);
		conclude(v, f, ASYNC_NOT_NOW, NULL, 0);
		return;
	}
	kill_point("dispatch");
}

static void on_due(void *arg)
{
	struct event *v = arg;
	struct slab *l = v->slab;
	struct func *f;

	v->timer = loop_event_free(v->timer);
	kill_point("queue");
	if (!l->lab || l->failed) {
		event_later(v, LATER_MS);
		return;
	}
	f = versions_find_whole(l, v->function);
	if (f && !f->gone && f->spec)
		event_run(v, f);
	else if (l->change || !l->sd->ready)
		event_later(v, LATER_MS); /* it may be one that is being made, or taken up */
	else
		event_finish(v, NULL, NULL);
}

static void event_later(struct event *v, int64_t ms)
{
	v->timer = loop_event_free(v->timer);
	v->timer = loop_timer(v->slab->sd->loop, ms, on_due, v);
	if (!v->timer)
		log_err("event=%s out of memory: it waits for the next start", v->request);
}

static void event_schedule(struct event *v)
{
	int64_t ms = v->due_ms - wall_ms();

	event_later(v, ms > 0 ? ms : 0);
}

/* ---- delivering ---- */

static void on_delivery(void *arg);

static void delivery_schedule(struct delivery *d, int64_t ms)
{
	d->timer = loop_event_free(d->timer);
	d->timer = loop_timer(d->slab->sd->loop, ms, on_delivery, d);
	if (!d->timer)
		log_err("lab=%s out of memory: a delivery waits for the next start", d->slab->name);
}

static void delivery_over(struct delivery *d)
{
	struct write *w = write_new(WRITE_DELIVERED, NULL, d);

	if (w)
		write_add(async_of(d->slab), w);
	else
		delivery_schedule(d, LATER_MS); /* once more, rather than never */
}

/* a queue or topic that can't be reached is given up when the event itself would be too old; a
 * file never: its disk is the host's, and what was accepted mustn't get lost on it */
static void delivery_failed(struct delivery *d, const char *why)
{
	const struct func *f = versions_find_whole(d->slab, d->function);
	double age_ms = f && f->spec ? f->spec->async.maximum_event_age * 1000.0 : 0;
	int64_t ms = DELIVERY_FIRST_MS << (d->tries < 8 ? d->tries : 8);

	d->tries++;
	log_warn("lab=%s function=%s delivery to %s failed: %s", d->slab->name, d->function,
		 d->target, why);
	if ((d->kind != DESTINATION_FILE || MUTANT("async-file-age")) && d->slab->lab &&
	    (double)(wall_ms() - d->begun_ms) * d->slab->lab->time_scale > age_ms) {
		log_err("lab=%s function=%s delivery to %s is given up", d->slab->name, d->function,
			d->target);
		delivery_over(d);
		return;
	}
	delivery_schedule(d, ms < DELIVERY_LAST_MS ? ms : DELIVERY_LAST_MS);
}

static void on_answer(bool ok, const char *why, void *arg)
{
	struct delivery *d = arg;

	d->under_way = false;
	if (d->gone) {
		delivery_release(d);
		return;
	}
	if (async_of(d->slab)->closing)
		return;
	kill_point("deliver");
	if (ok)
		delivery_over(d);
	else
		delivery_failed(d, why);
}

static void on_delivery(void *arg)
{
	struct delivery *d = arg;
	struct slab *l = d->slab;
	auto_buf struct buf body = BUF_INIT;
	auto_free char *url = NULL;
	const char *topic;
	struct err e = { 0 };
	int r;

	d->timer = loop_event_free(d->timer);
	if (!l->lab || !l->show) {
		delivery_schedule(d, LATER_MS);
		return;
	}
	if (async_rows_body(l->sd->db, d->id, &body, &e) < 0) {
		delivery_failed(d, e.msg);
		return;
	}
	if (d->kind == DESTINATION_FILE) {
		r = deliver_file(l->sd, l->name, d->target, buf_str(&body), body.len);
		kill_point("deliver");
		if (r < 0)
			delivery_failed(d, strerror(-r));
		else
			delivery_over(d);
		return;
	}
	/* a topic's name is in the form, its service at the root */
	topic = d->kind == DESTINATION_SNS ? strstr(d->target, "/arn:") : NULL;
	if (asprintf(&url, "%.*s", topic ? (int)(topic - d->target) + 1 : (int)strlen(d->target),
		     d->target) < 0) {
		url = NULL;
		delivery_failed(d, strerror(ENOMEM));
		return;
	}
	d->under_way = true;
	r = deliver_post(l, url, d->kind == DESTINATION_SQS ? "sqs" : "sns", buf_str(&body),
			 body.len, on_answer, d, &d->post, &e);
	if (r < 0) {
		d->under_way = false;
		delivery_failed(d, e.msg);
	}
}

/* ---- from outside ---- */

void async_accept(struct func *f, const char *qualifier, struct http_req *r)
{
	char function[FUNCTIONS_ARN_SIZE];
	struct async_queue *a = async_of(f->slab);
	bool twice = async_is_doubled(f->spec->async.duplicate_rate, ++f->n_accepted) ||
		     MUTANT("async-twice");
	struct write *first, *second;
	struct event *v;

	if (a->n_events >= LIMIT_EVENTS) {
		invoke_refuse(r, 429, "TooManyRequestsException", "%d events wait already",
			      LIMIT_EVENTS);
		return;
	}
	(void)snprintf(function, sizeof(function), "%s%s%s", f->name, *qualifier ? ":" : "",
		       qualifier);
	v = event_new(f->slab, function, NULL);
	first = v ? write_new(WRITE_ADD, v, NULL) : NULL;
	if (!first) {
		if (v) {
			event_unlink(a, v);
			event_release(v);
		}
		invoke_refuse(r, 500, "ServiceException", "Out of memory");
		return;
	}
	first->req = r;
	/* AS-3: before the one that answers, which ends the request with its payload */
	if (twice && (v = event_new(f->slab, function, v->request))) {
		second = write_new(WRITE_ADD, v, NULL);
		if (second) {
			second->copy_of = first;
			write_add(a, second);
		} else {
			event_unlink(a, v);
			event_release(v);
		}
	}
	write_add(a, first);
}

size_t async_end_lab(struct slab *l)
{
	struct async_queue *a = async_of(l);
	struct event *v, *next;
	struct delivery *d, *after;
	size_t n = 0;

	if (!a)
		return 0;
	for (v = TAILQ_FIRST(&a->events); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->slab != l)
			continue;
		n++;
		event_unlink(a, v);
		event_release(v);
	}
	for (d = TAILQ_FIRST(&a->deliveries); d; d = after) {
		after = TAILQ_NEXT(d, link);
		if (d->slab != l)
			continue;
		n++;
		delivery_unlink(a, d);
		delivery_release(d);
	}
	return n;
}

size_t async_count(const struct func *f)
{
	const struct async_queue *a = async_of(f->slab);
	const struct event *v;
	const struct delivery *d;
	size_t n = 0;

	if (!a)
		return 0;
	TAILQ_FOREACH(v, &a->events, link)
		n += v->slab == f->slab && is_of(v->function, f->name);
	TAILQ_FOREACH(d, &a->deliveries, link)
		n += d->slab == f->slab && is_of(d->function, f->name);
	return n;
}

static int take_event(const struct event_row *row, void *arg)
{
	struct async_queue *a = arg;
	struct slab *l = slab_find(a->sd, row->lab);
	struct event *v;

	if (row->id > a->last_id)
		a->last_id = row->id;
	if (!l || MUTANT("async-lost"))
		return 0;
	v = event_new(l, row->function, row->request);
	if (!v)
		return -ENOMEM;
	v->id = row->id;
	v->accepted_ms = row->accepted_ms;
	v->due_ms = row->due_ms;
	v->attempts = row->attempts;
	v->hops = row->hops;
	event_schedule(v);
	return 0;
}

static int take_delivery(const struct delivery_row *row, void *arg)
{
	struct async_queue *a = arg;
	struct slab *l = slab_find(a->sd, row->lab);
	const struct destination to = { row->kind, row->target };
	struct delivery *d;

	if (row->id > a->last_id)
		a->last_id = row->id;
	if (!l)
		return 0;
	d = delivery_new(l, row->function, &to);
	if (!d)
		return -ENOMEM;
	d->id = row->id;
	d->begun_ms = row->begun_ms;
	delivery_schedule(d, 0);
	return 0;
}

int async_open(struct sandboxd *sd, struct err *e)
{
	struct async_queue *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	a->sd = sd;
	TAILQ_INIT(&a->events);
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->deliveries);
	STAILQ_INIT(&a->writes);
	sd->async = a;
	r = async_rows_sweep(sd->db, e);
	if (!r)
		r = async_rows_each(sd->db, take_event, take_delivery, a, e);
	if (r && !e->code)
		r = err_set(e, ERR_INTERNAL, -r, "events: %s", strerror(-r));
	return r;
}

void async_close(struct sandboxd *sd)
{
	struct async_queue *a = sd->async;
	struct delivery *d;
	struct write *w;
	struct event *v;

	if (!a)
		return;
	a->closing = true;
	flush(a);
	/* what couldn't be written is as the disk has it */
	while ((w = STAILQ_FIRST(&a->writes))) {
		STAILQ_REMOVE_HEAD(&a->writes, link);
		write_free(w);
	}
	a->flush = loop_event_free(a->flush);
	while ((v = TAILQ_FIRST(&a->events))) {
		event_unlink(a, v);
		event_release(v); /* one that runs goes with its environment */
	}
	while ((d = TAILQ_FIRST(&a->deliveries))) {
		d->under_way = false; /* no answer comes any more */
		delivery_unlink(a, d);
		delivery_release(d);
	}
}
