/* SPDX-License-Identifier: MIT */
/*
 * front - see front.h.  A change is a chain of steps, each the answer of netd or
 * a look by a timer; what a step needs later stands in "struct change".  The
 * timer is for what the kernel doesn't announce: that a program listens.
 */
#include "sandbox/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/async.h"
#include "sandbox/endpoint.h"
#include "sandbox/env.h"
#include "sandbox/exec.h"
#include "sandbox/follow.h"
#include "sandbox/functions.h"
#include "sandbox/held.h"
#include "sandbox/instances.h"
#include "sandbox/lease.h"
#include "sandbox/limits.h"
#include "sandbox/logs.h"
#include "sandbox/notice.h"
#include "sandbox/prober.h"
#include "sandbox/rows.h"
#include "sandbox/versions.h"
#include "topology/edit.h"

#define LOOK_MS 5	  /* between looks at what has to become ready */
#define NETD_MS 120000	  /* an answer of netd's */
#define NETD_AGAIN_MS 200 /* a restart waits for netd */
#define END_MS 10000	  /* programs and environments to be gone */

enum change_kind { CHANGE_PUT, CHANGE_DELETE, CHANGE_ADOPT };

struct change {
	STAILQ_ENTRY(change) link;
	struct slab *slab;
	enum change_kind kind;
	struct http_req *req;  /* NULL: nobody waits */
	char *document, *base; /* own */
	size_t size;
	struct lab *lab;		 /* owns until it is in force */
	struct edit *edit;		 /* owns; or what changes in the lab in force */
	char (*codes)[65];		 /* owns */
	cJSON *warnings;		 /* owns */
	struct publication *publication; /* owns */
	cJSON *answer;			 /* netd's; owns */
	cJSON *old_show;		 /* owns */
	bool strict, cancelled, undoing, redo;
	double timeout_ms;
	struct mono began, step_began;
	struct loop_event *tick;
	struct err err;	     /* why it is undone */
	struct lease *lease; /* the lab's, once it is in force; owns; NULL: none asked for */
	bool expired;	     /* CHANGE_DELETE because the lab's lease was over */
	bool fresh;	     /* only where there is no lab of the name (If-None-Match: *) */
	size_t n_events;     /* accepted ones that were dropped with it */
	char *if_match;	     /* the document it is meant to change (front_etag()); owns */
};

static void change_start(struct change *c);
static void delete_start(struct change *c);
static void undo(struct change *c);
static void ask_show(struct change *c);

/* ---- labs ---- */

static struct slab *slab_new(struct sandboxd *sd, const char *name, int64_t created_ms)
{
	struct slab *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->sd = sd;
	l->name = strdup(name);
	if (!l->name) {
		free(l);
		return NULL;
	}
	l->created_ms = created_ms;
	LIST_INIT(&l->funcs);
	LIST_INIT(&l->nodes);
	STAILQ_INIT(&l->waiting);
	LIST_INSERT_HEAD(&sd->labs, l, link);
	sd->n_labs++;
	return l;
}

static void slab_free(struct slab *l)
{
	LIST_REMOVE(l, link);
	l->sd->n_labs--;
	endpoint_close(l);
	lease_free(l->lease);
	lab_free(l->lab);
	cJSON_Delete(l->show);
	free(l->document);
	free(l->base);
	free(l->name);
	free(l);
}

/* ---- changes ---- */

static struct change *change_new(struct slab *l, enum change_kind kind, struct http_req *r)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->slab = l;
	c->kind = kind;
	c->req = r;
	c->began = mono_now();
	c->timeout_ms = LIMIT_READY_MS;
	return c;
}

static void change_free(struct change *c)
{
	loop_event_free(c->tick);
	lease_free(c->lease);
	free(c->if_match);
	free(c->document);
	free(c->base);
	lab_free(c->lab);
	edit_free(c->edit);
	free(c->codes);
	publication_free(c->publication);
	cJSON_Delete(c->warnings);
	cJSON_Delete(c->answer);
	cJSON_Delete(c->old_show);
	free(c);
}

/* the lab that the change leads to; of an edit, the one in force: nodes and functions
 * are the same */
static const struct lab *change_lab(const struct change *c)
{
	return c->lab ? c->lab : c->slab->lab;
}

static void check_restored(struct sandboxd *sd)
{
	const struct slab *l;

	if (sd->ready)
		return;
	/* a change that is done again may wait for programs: nobody waits for that */
	LIST_FOREACH(l, &sd->labs, link)
		if (l->change && l->change->kind != CHANGE_PUT)
			return;
	sd->ready = true;
}

static void run_change(struct slab *l, struct change *c)
{
	l->change = c;
	c->step_began = mono_now();
	if (c->kind == CHANGE_DELETE)
		delete_start(c);
	else if (c->kind == CHANGE_ADOPT)
		ask_show(c);
	else
		change_start(c);
}

static void on_released(struct httpc_answer *a, void *arg)
{
	(void)a; /* the next change lets them go, or the end of the lab */
	(void)arg;
}

/* what the change replaced goes, but for what still runs there */
static void release_ways(struct slab *l)
{
	auto_free char *path = NULL;

	if (!l->held)
		return;
	l->held = false;
	if (asprintf(&path, "/v1/labs/%s/hold", l->name) < 0) {
		path = NULL;
		return;
	}
	(void)httpc_start(l->sd->httpc, l->sd->netd, "DELETE", path, NULL, NULL, 0, NETD_MS,
			  on_released, NULL); /* as above */
}

/* the change is over: the next one has its turn, or a lab without a document goes */
static void change_end(struct change *c)
{
	struct slab *l = c->slab;
	struct sandboxd *sd = l->sd;
	struct change *next = STAILQ_FIRST(&l->waiting);

	l->change = NULL;
	if (c->err.code == ERR_NONE)
		(void)err_set(&c->err, ERR_INTERNAL, 0, "the change didn't come to its end");
	functions_settle(l, &c->err);
	release_ways(l);
	change_free(c);
	functions_sweep(sd);
	if (next) {
		STAILQ_REMOVE_HEAD(&l->waiting, link);
		l->n_waiting--;
		run_change(l, next);
	} else if (!l->document && !env_any(l) && !instances_any(l) && !l->n_users) {
		slab_free(l);
	}
	check_restored(sd);
}

static void change_enqueue(struct change *c)
{
	struct slab *l = c->slab;

	if (!l->change) {
		run_change(l, c);
		return;
	}
	STAILQ_INSERT_TAIL(&l->waiting, c, link);
	l->n_waiting++;
}

/* answers with what netd said, or with "e" */
static void reply_err(struct change *c, const struct err *e)
{
	if (c->req)
		http_reply_err(c->req, e);
	else
		log_err("lab=%s %s", c->slab->name, e->msg);
	c->req = NULL;
}

static void reply_netd(struct change *c, const struct httpc_answer *a)
{
	struct err e = { 0 };

	if (!a->status) {
		(void)err_set(&e, ERR_UNAVAILABLE, 0, "netd: %s", a->error);
		reply_err(c, &e);
		return;
	}
	if (c->req)
		http_reply(c->req, a->status, "application/json", a->body, a->size);
	else
		log_err("lab=%s netd: %s", c->slab->name, a->body);
	c->req = NULL;
}

/* a request to netd about the change's lab; -errno is answered by the caller */
static int ask(struct change *c, const char *method, const char *suffix, const char *document,
	       size_t size, const char *base, httpc_fn fn)
{
	struct sandboxd *sd = c->slab->sd;
	auto_free char *path = NULL, *header = NULL;
	const char *headers[2] = { NULL, NULL };

	if (asprintf(&path, "/v1/labs/%s%s", c->slab->name, suffix) < 0 ||
	    (base && asprintf(&header, "Vpclab-Base: %s", base) < 0))
		return -ENOMEM;
	headers[0] = header;
	return httpc_start(sd->httpc, sd->netd, method, path, headers, document, size, NETD_MS, fn,
			   c);
}

/* ---- leases: the lab goes with a process or a connection ---- */

/* whoever asked is gone before its lab was there */
static void on_change_expired(void *arg)
{
	struct change *c = arg;

	c->cancelled = true;
}

static void on_expired(void *arg)
{
	struct slab *l = arg;
	struct change *c;

	l->lease = lease_free(l->lease);
	log_info("lab=%s goes with what held it", l->name);
	c = change_new(l, CHANGE_DELETE, NULL);
	if (!c) {
		log_err("lab=%s out of memory: it stays, down removes it", l->name);
		return;
	}
	c->expired = true;
	/* nobody waits for what comes up, unless it brings a lease of its own */
	if (l->change && !l->change->lease)
		l->change->cancelled = true;
	change_enqueue(c);
}

static void take_lease(struct slab *l, struct lease *lease)
{
	char text[64];
	struct err e = { 0 };

	lease_free(l->lease);
	l->lease = lease;
	lease_text(lease, text, sizeof(text));
	if (rows_lease(l->sd->db, l->name, text, &e) < 0)
		log_warn("lab=%s %s: after a restart of sandboxd it stays", l->name, e.msg);
	lease_settle(lease);
	lease_watch(lease, on_expired, l);
	if (lease_is_over(lease))
		on_expired(l);
}

/* ---- PUT: done ---- */

static cJSON *changes_of(struct change *c)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(c->answer, "changes");

	return cJSON_IsArray(list) ? list : cJSON_AddArrayToObject(c->answer, "changes");
}

static void set(cJSON *o, const char *name, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, name);
	cJSON_AddItemToObject(o, name, v);
}

static void reply_done(struct change *c)
{
	cJSON *list;

	if (!c->req)
		return;
	list = changes_of(c);
	set(c->answer, "changed", cJSON_CreateBool(cJSON_GetArraySize(list) > 0));
	set(c->answer, "took_ms", cJSON_CreateNumber(mono_ms_since(c->began)));
	if (!json_get(c->answer, "warnings"))
		cJSON_AddItemToObject(c->answer, "warnings", steal_ptr(&c->warnings));
	versions_warn(c->slab, cJSON_GetObjectItemCaseSensitive(c->answer, "warnings"));
	http_reply_json(c->req, 200, c->answer);
	c->answer = NULL;
	c->req = NULL;
}

/* it is in force, and "up" returns when what is kept ready is ready, or can't be */
static void on_provisioned(void *arg)
{
	struct change *c = arg;

	if (!versions_are_ready(c->slab) && !c->cancelled &&
	    mono_ms_since(c->began) <= c->timeout_ms)
		return;
	c->tick = loop_event_free(c->tick);
	reply_done(c);
	change_end(c);
}

static void commit(struct change *c)
{
	struct slab *l = c->slab;
	struct lab *old = l->lab;
	struct err e = { 0 };
	int n_changes;

	if (c->kind == CHANGE_PUT && !c->edit &&
	    versions_prepare(l, c->lab, c->codes, c->document, c->size, &c->publication, &e) < 0) {
		c->err = e;
		undo(c);
		return;
	}
	if (c->kind == CHANGE_PUT && versions_commit(l, c->publication, &e) < 0) {
		c->err = e;
		undo(c);
		return;
	}
	/* from here on nothing can fail: what can't be undone comes now */
	if (c->edit) {
		edit_swap(c->edit);
		edit_keep(steal_ptr(&c->edit));
	}
	if (c->lab)
		l->lab = steal_ptr(&c->lab);
	if (c->document) {
		free(l->document);
		free(l->base);
		l->document = steal_ptr(&c->document);
		l->size = c->size;
		l->base = steal_ptr(&c->base);
	}
	l->failed = false;
	n_changes = c->answer ? cJSON_GetArraySize(changes_of(c)) : 0;
	if (functions_apply(l, c->codes, c->answer ? changes_of(c) : NULL) < 0)
		log_err("lab=%s out of memory: some functions can't be invoked", l->name);
	versions_link(c->publication, c->answer ? changes_of(c) : NULL);
	/* netd tells of its own */
	if (c->answer)
		notice_changes(l, changes_of(c), n_changes);
	endpoint_settle(l);
	/* what still runs the old way sends there: the next change tells */
	if (!l->held)
		follow_settled(l->sd, l->name, l->show);
	instances_prune(l, l->lab);
	instances_sweep_folders(l);
	if (old != l->lab)
		lab_free(old);
	if (c->lease)
		take_lease(l, steal_ptr(&c->lease));
	if (versions_settle(l) && c->kind == CHANGE_PUT) {
		c->tick = loop_every(l->sd->loop, LOOK_MS, on_provisioned, c);
		if (c->tick)
			return;
	}
	reply_done(c);
	change_end(c);
}

static void on_look(void *arg)
{
	struct change *c = arg;
	struct slab *l = c->slab;
	char why[500] = "";
	int r = instances_ready(l, change_lab(c), why, sizeof(why));

	if (c->cancelled)
		(void)err_set(&c->err, ERR_CANCELLED, ECANCELED, "a later request comes first");
	else if (r < 0)
		(void)err_set(&c->err, r == -ETIMEDOUT ? ERR_TIMEOUT : ERR_INTERNAL, -r,
			      r == -ETIMEDOUT ?
				      "not ready within its ready_timeout: waiting for %s" :
				      "%s",
			      why);
	else if (r == 0 && mono_ms_since(c->began) > c->timeout_ms)
		(void)err_set(&c->err, ERR_TIMEOUT, ETIMEDOUT,
			      "not ready after %.3g s: waiting for %s", c->timeout_ms / 1000, why);
	if (c->err.code == ERR_NONE && r == 0)
		return;
	c->tick = loop_event_free(c->tick);
	if (c->err.code == ERR_NONE || c->kind == CHANGE_ADOPT)
		commit(c); /* after a restart programs that don't come up change nothing */
	else
		undo(c);
}

static void begin_looking(struct change *c)
{
	c->step_began = mono_now();
	c->tick = loop_every(c->slab->sd->loop, LOOK_MS, on_look, c);
	if (!c->tick) {
		(void)err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
		undo(c);
		return;
	}
	on_look(c);
}

/* ---- restart: what runs is taken up ---- */

static void on_dropped(struct httpc_answer *a, void *arg)
{
	(void)a; /* gone already is as good */
	(void)arg;
}

static void on_attachments(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;
	struct sandboxd *sd = c->slab->sd;
	auto_json cJSON *list = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;
	const cJSON *one;

	cJSON_ArrayForEach(one, list) {
		auto_free char *path = NULL;

		if (asprintf(&path, "/v1/labs/%s/attachments/%s", c->slab->name,
			     json_str(one, "attachment", "")) < 0)
			path = NULL;
		if (path)
			(void)httpc_start(sd->httpc, sd->netd, "DELETE", path, NULL, NULL, 0,
					  NETD_MS, on_dropped, NULL); /* as above */
	}
	instances_adopt(c->slab);
	instances_apply(c->slab, c->slab->lab);
	begin_looking(c);
}

static void on_again(void *arg)
{
	struct change *c = arg;

	c->tick = loop_event_free(c->tick);
	ask_show(c);
}

/* ---- PUT: the network stands ---- */

static void on_put_again(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;

	if (a->status == 200) {
		ask_show(c);
		return;
	}
	c->slab->failed = true;
	(void)err_set(&c->err, ERR_UNAVAILABLE, 0, "netd doesn't take its document again: %s",
		      a->status ? a->body : a->error);
	undo(c);
}

static void on_show(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;
	struct slab *l = c->slab;
	cJSON *show = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;

	if (!show && c->kind == CHANGE_ADOPT && !c->cancelled && a->status == 404) {
		/* netd's state was lost, or removed by gc: it gets the document again */
		if (ask(c, "PUT", "", l->document, l->size, l->base, on_put_again) == 0)
			return;
	} else if (!show && c->kind == CHANGE_ADOPT && !c->cancelled) {
		/* netd isn't up yet, or still builds the lab again */
		c->tick = loop_timer(l->sd->loop, NETD_AGAIN_MS, on_again, c);
		if (c->tick)
			return;
	}
	if (!show) {
		(void)err_set(&c->err, ERR_UNAVAILABLE, 0, "netd: %s",
			      a->status ? a->body : a->error);
		undo(c);
		return;
	}
	cJSON_Delete(c->old_show);
	c->old_show = l->show;
	l->show = show;
	if (c->kind == CHANGE_ADOPT) {
		if (ask(c, "GET", "/attachments", NULL, 0, NULL, on_attachments) < 0)
			begin_looking(c);
		return;
	}
	follow_changed(l->sd, l->name, show);
	instances_apply(l, c->lab);
	begin_looking(c);
}

static void ask_show(struct change *c)
{
	int r = ask(c, "GET", "", NULL, 0, NULL, on_show);

	if (r < 0) {
		(void)err_set(&c->err, ERR_INTERNAL, -r, "netd: %s", strerror(-r));
		undo(c);
	}
}

static void forget_intent(struct change *c)
{
	struct err e = { 0 };

	if (c->kind == CHANGE_PUT && rows_undone(c->slab->sd->db, c->slab->name, &e) < 0)
		log_err("lab=%s %s", c->slab->name, e.msg);
}

/*
 * What netd shows of the lab is the same to us when only rules changed: nodes,
 * interfaces and places are where they were.  It is a document as large as the
 * lab, with counters read from the kernel, so it is not asked for without need.
 */
static bool only_rules(const struct change *c)
{
	static const char *const kinds[] = { "security_group", "route_table", "network_acl" };
	const cJSON *changes = json_get(c->answer, "changes"), *o;
	const struct lab *old = c->slab->lab;
	const struct func *f;
	const cJSON *was, *is;
	size_t i;

	if (c->edit)
		return true;
	/* a way that failed may be there now */
	LIST_FOREACH(f, &c->slab->funcs, link)
		if (*f->failed.code)
			return false;
	if (c->redo || !c->slab->show || !old || !cJSON_GetArraySize(changes))
		return false;
	was = json_get(old->doc.root, "functions");
	is = json_get(c->lab->doc.root, "functions");
	if ((was || is) && !(was && is && json_equal(was, is)))
		return false;
	cJSON_ArrayForEach(o, changes) {
		const char *kind = json_str(o, "kind", "");

		for (i = 0; i < ARRAY_SIZE(kinds) && strcmp(kind, kinds[i]); i++)
			;
		if (i == ARRAY_SIZE(kinds) || strcmp(json_str(o, "action", ""), "update"))
			return false;
	}
	return true;
}

/* netd's error, for whom the change failed */
static void why_of(const struct httpc_answer *a, struct err *e)
{
	auto_json cJSON *o = a->status ? json_parse(a->body, a->size, NULL) : NULL;

	(void)err_set(e, err_code_from_name(json_str(o, "code", "")), 0, "%s",
		      json_str(o, "message", a->error));
}

static void on_put(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;

	if (a->status == 200)
		c->answer = json_parse(a->body, a->size, NULL);
	if (c->answer && only_rules(c)) {
		if (c->lab)
			instances_apply(c->slab, c->lab);
		begin_looking(c);
		return;
	}
	if (c->answer) {
		ask_show(c);
		return;
	}
	/* netd changed nothing, or undid it itself */
	why_of(a, &c->err);
	forget_intent(c);
	reply_netd(c, a);
	if (c->redo && c->slab->lab) {
		/* a restart: what was in force before is */
		functions_settle(c->slab, &c->err);
		c->kind = CHANGE_ADOPT;
		c->lab = lab_free(c->lab);
		ask_show(c);
		return;
	}
	change_end(c);
}

/* digests, a line each */
static char *codes_text(const struct lab *lab, char (*codes)[65])
{
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < lab->n_functions; i++)
		buf_printf(&b, "%s\n", codes[i]);
	return buf_steal(&b);
}

static int intend(struct change *c, struct err *e)
{
	auto_free char *codes = NULL;
	struct rows_doc doc = { c->document, c->size, c->base, NULL };
	int r = 0;

	if (!c->codes)
		r = functions_prepare(c->slab->sd, change_lab(c), c->base, &c->codes, e);
	if (r < 0)
		return r;
	codes = codes_text(change_lab(c), c->codes);
	if (!codes)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	doc.codes = codes;
	return rows_intend(c->slab->sd->db, c->slab->name, c->slab->created_ms, &doc, e);
}

void front_etag(const char *document, size_t size, char ret[FRONT_ETAG_SIZE])
{
	char hex[65];

	sha256_hex(document, size, hex);
	(void)snprintf(ret, FRONT_ETAG_SIZE, "\"%.32s\"", hex);
}

/* looked at when its turn has come: what was asked before it counts */
static int preconditions(const struct change *c, struct err *e)
{
	const struct slab *l = c->slab;
	char now[FRONT_ETAG_SIZE] = "";

	if (c->lease && lease_is_over(c->lease))
		return err_set(e, ERR_CANCELLED, ECANCELED, "its lease is over");
	if (c->fresh && l->document && !MUTANT("fresh"))
		return err_set(e, ERR_PRECONDITION, EEXIST, "there is a lab %s", l->name);
	if (!c->if_match)
		return 0;
	if (l->document)
		front_etag(l->document, l->size, now);
	if (strcmp(c->if_match, now) != 0 && !MUTANT("if-match"))
		return err_set(e, ERR_PRECONDITION, ESTALE, "%s has changed meanwhile", l->name);
	return 0;
}

static void change_start(struct change *c)
{
	struct err e = { 0 };
	int r = preconditions(c, &e);

	if (!r)
		r = intend(c, &e);
	if (!r) {
		c->slab->held = !c->edit && functions_begin(c->slab, c->lab, c->codes) &&
				!MUTANT("update-hold");
		r = ask(c, "PUT", c->slab->held ? "?hold=1" : "", c->document, c->size, c->base,
			on_put);
		if (!r)
			return;
		(void)err_set(&e, ERR_INTERNAL, -r, "netd: %s", strerror(-r));
		forget_intent(c);
	}
	c->err = e;
	reply_err(c, &e);
	change_end(c);
}

/* ---- undoing ---- */

static void undone(struct change *c)
{
	forget_intent(c);
	reply_err(c, &c->err);
	change_end(c);
}

/* the old network stands again, or couldn't be had */
static void on_old_show(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;
	struct slab *l = c->slab;
	cJSON *show = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;

	if (show) {
		cJSON_Delete(l->show);
		l->show = show;
	}
	follow_changed(l->sd, l->name, l->show);
	/* programs as they were; those that only the new document had go */
	instances_apply(l, l->lab);
	instances_prune(l, l->lab);
	undone(c);
}

static void on_old(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;

	if (a->status != 200) {
		c->slab->failed = true;
		log_err("lab=%s the old document could not be restored: %s", c->slab->name,
			a->status ? a->body : a->error);
	}
	if (ask(c, "GET", "", NULL, 0, NULL, on_old_show) < 0)
		undone(c);
}

static void on_deleted_again(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;

	if (a->status != 200 && a->status != 404)
		log_err("lab=%s what was made of it could not be removed: %s", c->slab->name,
			a->status ? a->body : a->error);
	instances_remove_folders(c->slab);
	logs_remove_lab(c->slab->sd, c->slab->name);
	undone(c);
}

static void on_ending_new(void *arg)
{
	struct change *c = arg;

	if (instances_any(c->slab) && mono_ms_since(c->step_began) < END_MS)
		return;
	c->tick = loop_event_free(c->tick);
	if (ask(c, "DELETE", "", NULL, 0, NULL, on_deleted_again) < 0)
		undone(c);
}

static void undo(struct change *c)
{
	struct slab *l = c->slab;
	int r = 0;

	c->undoing = true;
	c->step_began = mono_now();
	if (c->kind == CHANGE_ADOPT) {
		log_err("lab=%s %s", l->name, c->err.msg);
		change_end(c);
	} else if (l->lab) {
		r = ask(c, "PUT", "", l->document, l->size, l->base, on_old);
	} else {
		instances_prune(l, NULL);
		c->tick = loop_every(l->sd->loop, LOOK_MS, on_ending_new, c);
		r = c->tick ? 0 : -ENOMEM;
	}
	if (r < 0)
		undone(c);
}

/* ---- DELETE ---- */

static void on_ended(void *arg)
{
	struct change *c = arg;
	struct slab *l = c->slab;
	struct err e = { 0 };
	cJSON *o;

	/* probes and commands look at the document: no limit for them, they were ended */
	if (l->n_users ||
	    ((instances_any(l) || env_any(l)) && mono_ms_since(c->step_began) < END_MS))
		return;
	c->tick = loop_event_free(c->tick);
	instances_remove_folders(l);
	logs_remove_lab(l->sd, l->name);
	l->going = false;
	if (rows_delete(l->sd->db, l->name, &e) < 0) {
		reply_err(c, &e);
		change_end(c);
		return;
	}
	l->lab = lab_free(l->lab);
	free(l->document);
	l->document = NULL;
	cJSON_Delete(l->show);
	l->show = NULL;
	l->lease = lease_free(l->lease);
	if (c->req) {
		o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "lab", l->name);
		cJSON_AddBoolToObject(o, "deleted", true);
		cJSON_AddNumberToObject(o, "events_dropped", (double)c->n_events);
		http_reply_json(c->req, 200, o);
		c->req = NULL;
	}
	change_end(c);
}

static void on_deleted(struct httpc_answer *a, void *arg)
{
	struct change *c = arg;

	/* what netd doesn't know is as good as deleted, if we knew it */
	if (a->status != 200 && !(a->status == 404 && c->slab->document)) {
		c->slab->going = false;
		reply_netd(c, a);
		change_end(c);
		return;
	}
	c->step_began = mono_now();
	c->tick = loop_every(c->slab->sd->loop, LOOK_MS, on_ended, c);
	on_ended(c);
}

static void delete_start(struct change *c)
{
	struct slab *l = c->slab;
	struct err e = { 0 };
	int r;

	/* meanwhile it was removed, or has a new lease */
	if (c->expired && (!l->document || l->lease)) {
		change_end(c);
		return;
	}
	r = rows_deleting(l->sd->db, l->name, &e);
	if (!r) {
		l->going = true;
		exec_end_lab(l);
		prober_end_lab(l);
		held_end_lab(l);
		c->n_events = async_end_lab(l) * !MUTANT("async-dropped");
		endpoint_close(l);
		functions_remove(l);
		instances_prune(l, NULL);
		r = ask(c, "DELETE", "", NULL, 0, NULL, on_deleted);
		if (!r)
			return;
		(void)err_set(&e, ERR_INTERNAL, -r, "netd: %s", strerror(-r));
	}
	reply_err(c, &e);
	change_end(c);
}

void front_env_gone(struct slab *l)
{
	/* a lab that is going looks by itself; one that failed to begin goes here */
	if (!l->change && !l->document && !env_any(l) && !instances_any(l) && !l->n_users)
		slab_free(l);
}

/* ---- requests ---- */

static void reply_invalid(struct http_req *r, const struct issues *i)
{
	cJSON *o = issues_json(i);
	auto_free char *line = i->n_errors ? issue_line(&i->errors[0]) : NULL;
	bool unsupported = issues_exit(i) == 4;

	cJSON_AddStringToObject(o, "code", unsupported ? "UnsupportedOperation" : "InvalidLab");
	cJSON_AddStringToObject(o, "message", line ? line : "invalid");
	cJSON_AddStringToObject(o, "path", i->n_errors ? i->errors[0].path : "");
	http_reply_json(r, unsupported ? 501 : 400, o);
}

static cJSON *take_warnings(const struct issues *i)
{
	cJSON *o = issues_json(i);
	cJSON *w = cJSON_DetachItemFromObjectCaseSensitive(o, "warnings");

	cJSON_Delete(o);
	return w ? w : cJSON_CreateArray();
}

/* the request's document, parsed; NULL: answered */
static struct lab *parse(struct http_req *r, const char *name, cJSON **ret_warnings)
{
	struct issues issues = { 0 };
	struct err e = { 0 };
	struct lab *lab;
	size_t size;
	const char *body = http_body(r, &size);

	lab = lab_parse(body, size, "-", name, &issues);
	if (!lab) {
		reply_invalid(r, &issues);
	} else if (issues.n_warnings && http_query(r, "strict") &&
		   strcmp(http_query(r, "strict"), "0") != 0) {
		auto_free char *line = issue_line(&issues.warnings[0]);

		(void)err_set(&e, ERR_INVALID_LAB, EINVAL, "a warning, and --strict: %s",
			      line ? line : "?");
		http_reply_err(r, &e);
		lab = lab_free(lab);
	} else {
		*ret_warnings = take_warnings(&issues);
	}
	issues_done(&issues);
	return lab;
}

static int read_put(struct http_req *r, struct change *c, struct err *e)
{
	const char *base = http_header(r, "Vpclab-Base"), *timeout = http_query(r, "timeout");
	const char *match = http_header(r, "If-Match"), *none = http_header(r, "If-None-Match");
	size_t size;
	const char *body = http_body(r, &size);
	char *end;
	int er;

	if (timeout) {
		c->timeout_ms = strtod(timeout, &end) * 1000;
		if (*end || !(c->timeout_ms > 0 && c->timeout_ms <= 1e9))
			return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
				       "timeout=%s: seconds above 0", timeout);
	}
	if (none && strcmp(none, "*") != 0)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "If-None-Match: only * is known");
	c->fresh = none;
	c->size = size;
	c->document = malloc(size + 1);
	c->base = base ? strdup(base) : NULL;
	c->if_match = match ? strdup(match) : NULL;
	if (!c->document || (base && !c->base) || (match && !c->if_match))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	memcpy(c->document, body, size);
	c->document[size] = '\0';
	er = lease_new(c->slab->sd->loop, r, &c->lease, e);
	if (!er && c->lease)
		lease_watch(c->lease, on_change_expired, c);
	return er;
}

/* the lab, made if there is none, with room for one more change; NULL: answered */
static struct slab *lab_for(struct sandboxd *sd, struct http_req *r, const char *name)
{
	struct slab *l = slab_find(sd, name);
	struct err e = { 0 };

	if (l && l->n_waiting >= LIMIT_WAITING) {
		(void)err_set(&e, ERR_LIMIT, 0, "%s: %d changes wait already", name, LIMIT_WAITING);
		http_reply_err(r, &e);
		return NULL;
	}
	if (!l)
		l = slab_new(sd, name, wall_ms());
	if (!l) {
		(void)err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		http_reply_err(r, &e);
	}
	return l;
}

/* other rules of one group of a lab that nothing else changes; NULL: more than that */
static struct edit *read_edit(const struct sandboxd *sd, struct http_req *r, const char *name)
{
	const struct slab *l = slab_find(sd, name);
	const char *base = http_header(r, "Vpclab-Base");
	struct edit *x = NULL;
	size_t size;
	const char *body = http_body(r, &size);

	if (!l || !l->lab || !l->document || !l->show || l->change || l->failed || l->going ||
	    strcmp(base ? base : "", l->base ? l->base : "") != 0)
		return NULL;
	/* without memory, reading it whole tells */
	return edit_read(l->lab, l->document, l->size, body, size, &x) == 0 ? x : NULL;
}

void front_put(struct sandboxd *sd, struct http_req *r, const char *name)
{
	struct edit *edit = read_edit(sd, r, name);
	cJSON *warnings = NULL;
	struct lab *lab = edit ? NULL : parse(r, name, &warnings);
	struct slab *l = edit || lab ? lab_for(sd, r, name) : NULL;
	struct err e = { 0 };
	struct change *c = l ? change_new(l, CHANGE_PUT, r) : NULL;

	if (!c || read_put(r, c, &e) < 0) {
		if (l && !c)
			(void)err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		if (l)
			http_reply_err(r, &e);
		edit_free(edit);
		lab_free(lab);
		cJSON_Delete(warnings);
		if (c)
			change_free(c);
		if (l)
			front_env_gone(l);
		return;
	}
	c->edit = edit;
	c->lab = lab;
	c->warnings = edit ? cJSON_CreateArray() : warnings;
	/* what a restart does again is what nobody waits for any more; and LN-32 */
	if (l->change &&
	    (l->change->redo || functions_pending_long(l, mono_ms_since(l->change->began))))
		l->change->cancelled = true;
	change_enqueue(c);
}

void front_delete(struct sandboxd *sd, struct http_req *r, const char *name)
{
	struct slab *l = lab_for(sd, r, name);
	struct change *c;
	struct err e = { 0 };

	if (!l)
		return;
	c = change_new(l, CHANGE_DELETE, r);
	if (!c) {
		(void)err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		http_reply_err(r, &e);
		front_env_gone(l);
		return;
	}
	if (l->change)
		l->change->cancelled = true;
	change_enqueue(c);
}

/* ---- plan ---- */

struct planning {
	struct sandboxd *sd;
	struct http_req *req;
	struct lab *lab;   /* owns */
	char (*codes)[65]; /* owns */
	char *name;	   /* owns */
};

static void planning_free(struct planning *p)
{
	lab_free(p->lab);
	free(p->codes);
	free(p->name);
	free(p);
}

static void on_plan(struct httpc_answer *a, void *arg)
{
	struct planning *p = arg;
	cJSON *answer = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL, *list;
	struct err e = { 0 };

	if (answer) {
		list = cJSON_GetObjectItemCaseSensitive(answer, "changes");
		functions_plan(slab_find(p->sd, p->name), p->lab, p->codes, list);
		set(answer, "changed", cJSON_CreateBool(cJSON_GetArraySize(list) > 0));
		http_reply_json(p->req, 200, answer);
	} else if (a->status) {
		http_reply(p->req, a->status, "application/json", a->body, a->size);
	} else {
		(void)err_set(&e, ERR_UNAVAILABLE, 0, "netd: %s", a->error);
		http_reply_err(p->req, &e);
	}
	functions_sweep(p->sd);
	planning_free(p);
}

static int plan_start(struct planning *p, struct err *e)
{
	const char *base = http_header(p->req, "Vpclab-Base");
	auto_free char *path = NULL, *header = NULL;
	const char *headers[2] = { NULL, NULL };
	size_t size;
	const char *body = http_body(p->req, &size);
	int r = functions_prepare(p->sd, p->lab, base, &p->codes, e);

	if (r < 0)
		return r;
	if (asprintf(&path, "/v1/labs/%s/plan", p->name) < 0 ||
	    (base && asprintf(&header, "Vpclab-Base: %s", base) < 0))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	headers[0] = header;
	r = httpc_start(p->sd->httpc, p->sd->netd, "POST", path, headers, body, size, NETD_MS,
			on_plan, p);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "netd: %s", strerror(-r)) : 0;
}

void front_plan(struct sandboxd *sd, struct http_req *r, const char *name)
{
	struct planning *p;
	cJSON *warnings = NULL;
	struct err e = { 0 };
	struct lab *lab = parse(r, name, &warnings);

	cJSON_Delete(warnings);
	if (!lab)
		return;
	p = calloc(1, sizeof(*p));
	if (p)
		*p = (struct planning){ sd, r, lab, NULL, strdup(name) };
	if (!p || !p->name) {
		(void)err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		http_reply_err(r, &e);
		if (p)
			planning_free(p);
		else
			lab_free(lab);
		return;
	}
	if (plan_start(p, &e) < 0) {
		http_reply_err(r, &e);
		planning_free(p);
	}
}

/* ---- restart ---- */

static struct lab *parse_row(const char *name, const struct rows_doc *d)
{
	struct issues issues = { 0 };
	struct lab *lab = d->text ? lab_parse(d->text, d->size, "-", name, &issues) : NULL;

	issues_done(&issues);
	return lab;
}

static char (*parse_codes(const struct lab *lab, const char *text))[65]
{
	char(*codes)[65] = calloc(lab->n_functions + 1, sizeof(*codes));
	size_t i, len;

	for (i = 0; codes && text && i < lab->n_functions && *text; i++) {
		len = strcspn(text, "\n");
		if (len < sizeof(*codes))
			memcpy(codes[i], text, len);
		text += len + (text[len] == '\n');
	}
	return codes;
}

static int copy_doc(const struct rows_doc *d, char **ret, size_t *ret_size, char **ret_base)
{
	*ret = malloc(d->size + 1);
	*ret_base = d->base ? strdup(d->base) : NULL;
	if (!*ret || (d->base && !*ret_base))
		return -ENOMEM;
	memcpy(*ret, d->text, d->size);
	(*ret)[d->size] = '\0';
	*ret_size = d->size;
	return 0;
}

static int restore_row(const char *name, int64_t created_ms, const struct rows_doc *current,
		       const struct rows_doc *intended, bool deleting, const char *lease, void *arg)
{
	struct slab *l = slab_new(arg, name, created_ms);
	struct change *c = NULL;
	int r;

	if (!l)
		return -ENOMEM;
	l->lab = parse_row(name, current);
	if (l->lab && copy_doc(current, &l->document, &l->size, &l->base) < 0)
		return -ENOMEM;
	r = lease_restore(l->sd->loop, lease, &l->lease);
	if (r < 0 && r != -ESRCH)
		return r;
	if (l->lease)
		lease_watch(l->lease, on_expired, l);
	deleting = deleting || r == -ESRCH;
	c = change_new(l,
		       deleting	      ? CHANGE_DELETE :
		       intended->text ? CHANGE_PUT :
					CHANGE_ADOPT,
		       NULL);
	if (!c)
		return -ENOMEM;
	l->change = c; /* run when all rows have been read */
	if (c->kind == CHANGE_PUT) {
		c->redo = true;
		c->lab = parse_row(name, intended);
		c->codes = c->lab ? parse_codes(c->lab, intended->codes) : NULL;
		if (!c->codes || copy_doc(intended, &c->document, &c->size, &c->base) < 0)
			return -ENOMEM;
	} else if (c->kind == CHANGE_ADOPT) {
		if (!l->lab) {
			log_err("lab=%s its document can't be read any more: down removes it",
				name);
			l->failed = true;
			l->change = NULL;
			change_free(c);
			return 0;
		}
		c->codes = parse_codes(l->lab, current->codes);
		if (!c->codes)
			return -ENOMEM;
	}
	return 0;
}

int front_restore(struct sandboxd *sd, struct err *e)
{
	struct slab *l, *next;
	int r = rows_each(sd->db, restore_row, sd, e);

	LIST_FOREACH(l, &sd->labs, link)
		if (!r)
			r = versions_restore(l, e);
	if (r < 0)
		return r == -ENOMEM ? err_set(e, ERR_INTERNAL, ENOMEM, "out of memory") : r;
	for (l = LIST_FIRST(&sd->labs); l; l = next) {
		next = LIST_NEXT(l, link);
		/* what the old document's programs run as is known before it changes */
		if (l->change && l->change->kind == CHANGE_PUT && l->lab)
			instances_adopt(l);
		if (l->change)
			run_change(l, l->change);
	}
	check_restored(sd);
	return 0;
}

void front_release(struct sandboxd *sd)
{
	struct err e = { 0 };
	struct slab *l;
	struct change *c;

	(void)err_set(&e, ERR_UNAVAILABLE, 0, "sandboxd is being stopped");
	while ((l = LIST_FIRST(&sd->labs))) {
		functions_release(l);
		instances_release(l);
		while ((c = STAILQ_FIRST(&l->waiting))) {
			STAILQ_REMOVE_HEAD(&l->waiting, link);
			reply_err(c, &e);
			change_free(c);
		}
		if (l->change) {
			reply_err(l->change, &e);
			change_free(l->change);
		}
		slab_free(l);
	}
}
