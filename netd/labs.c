/* SPDX-License-Identifier: MIT */
/*
 * labs - documents, state rows and the jobs between them (labs.h).
 */
#include "netd/labs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "netd/attach.h"
#include "netd/compile.h"
#include "netd/events.h"
#include "netd/flows.h"
#include "netd/forget.h"
#include "netd/idle.h"
#include "netd/jobs.h"
#include "netd/observe.h"
#include "netd/state.h"
#include "netd/trace.h"
#include "netd/zone.h"
#include "topology/edit.h"
#include "topology/lab.h"

/* ---- the table ---- */

static struct netlab *netlab_free(struct netlab *l)
{
	if (!l)
		return NULL;
	trace_stop(l);
	flows_close(l, false);
	attach_clear(l);
	idle_clear(l);
	observe_clear(l);
	job_left_clear(l);
	loop_event_free(l->tick);
	spaces_free(l->spaces);
	program_done(&l->want);
	program_done(&l->actual);
	store_free(l->store);
	free(l->document);
	free(l->base);
	free(l->name);
	free(l);
	return NULL;
}

static struct netlab *lab_get(const struct netd *d, const char *name)
{
	struct netlab *l;

	LIST_FOREACH(l, &d->labs, link)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}

static struct netlab *lab_new(struct netd *d, const char *name, struct err *e)
{
	struct netlab *l;

	if (d->n_labs >= NETD_LABS_MAX) {
		err_set(e, ERR_LIMIT, EMFILE, "there are %d labs already", NETD_LABS_MAX);
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return NULL;
	}
	l->netd = d;
	TAILQ_INIT(&l->waiting);
	program_init(&l->want);
	program_init(&l->actual);
	l->name = strdup(name);
	l->spaces = spaces_new(d->loop, name, observe_foreign, l);
	if (!l->name || !l->spaces || program_seal(&l->want, e) < 0 ||
	    program_seal(&l->actual, e) < 0) {
		err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return netlab_free(l);
	}
	LIST_INSERT_HEAD(&d->labs, l, link);
	d->n_labs++;
	return l;
}

void lab_settle(struct netlab *l)
{
	if (l->store || l->job || l->failed || !TAILQ_EMPTY(&l->waiting))
		return;
	LIST_REMOVE(l, link);
	l->netd->n_labs--;
	netlab_free(l);
}

struct netlab *labs_find(const struct netd *d, const char *lab, struct err *e)
{
	struct netlab *l = lab_get(d, lab);

	if (l && (l->store || l->failed))
		return l;
	err_set(e, ERR_NO_LAB, ENOENT, "there is no lab \"%s\"", lab);
	return NULL;
}

const char *lab_state(const struct netlab *l)
{
	return l->job && !l->job->ops->background ? "changing" : l->failed ? "failed" : "up";
}

static size_t n_nodes(const struct store *s)
{
	size_t n = s->n_hosts, i;

	for (i = 0; i < s->n_vpcs; i++)
		n += s->vpcs[i].n_instances;
	return n;
}

cJSON *labs_list(const struct netd *d)
{
	cJSON *list = cJSON_CreateArray();
	const struct netlab *l;

	LIST_FOREACH(l, &d->labs, link) {
		const struct store *s = l->store;
		cJSON *o = cJSON_CreateObject();

		if (!o || !cJSON_AddItemToArray(list, o)) {
			cJSON_Delete(o);
			cJSON_Delete(list);
			return NULL;
		}
		cJSON_AddStringToObject(o, "lab", l->name);
		cJSON_AddStringToObject(o, "state", lab_state(l));
		cJSON_AddNumberToObject(o, "vpcs", s ? (double)s->n_vpcs : 0);
		cJSON_AddNumberToObject(o, "nodes", s ? (double)(n_nodes(s) + s->n_functions) : 0);
		cJSON_AddNumberToObject(o, "functions", s ? (double)s->n_functions : 0);
		cJSON_AddNumberToObject(o, "created", (double)l->created_ms);
	}
	return list;
}

size_t labs_sockets(const struct netd *d)
{
	const struct netlab *l;
	size_t n = 0, i;

	LIST_FOREACH(l, &d->labs, link)
		for (i = 0; i < l->want.n; i++)
			n += l->want.items[i].kind == ITEM_SOCK;
	return n;
}

int lab_compile(const struct netlab *l, const struct store *s, struct program *ret, struct err *e)
{
	int r = compile(s, ret, e);

	return r < 0 ? err_wrap(e, "%s", l->name) : 0;
}

/* ---- names that the resolvers know ---- */

/* a view belongs to the VPC in whose router it answers; elsewhere it is public */
static int view_send(struct netlab *l, const struct store *s, const struct item *it, struct err *e)
{
	auto_json cJSON *zone = NULL;
	const struct s_vpc *v = NULL;
	size_t i;

	for (i = 0; i < s->n_vpcs; i++)
		if (strcmp(s->vpcs[i].ns, it->ns) == 0)
			v = &s->vpcs[i];
	zone = zone_make(s, v);
	if (!zone)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return responder_link_view(l->netd->responder, l->name, it->ns, zone, e);
}

/* one view for each namespace with a resolver in it */
static int views_send(struct netlab *l, const struct store *s, const struct program *want,
		      struct err *e)
{
	const char *sent = "";
	size_t i;

	for (i = 0; i < want->n; i++) {
		const struct item *it = &want->items[i];
		int r;

		if (it->kind != ITEM_SOCK || strncmp(it->val, "dns ", 4) != 0 ||
		    strcmp(sent, it->ns) == 0) /* sorted by namespace */
			continue;
		sent = it->ns;
		r = view_send(l, s, it, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- changes as JSON ---- */

static bool add_op(cJSON *list, const struct op *op)
{
	cJSON *o = cJSON_CreateObject();

	if (!o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		return false;
	}
	return cJSON_AddStringToObject(o, "action", op_action_name(op->action)) &&
	       cJSON_AddStringToObject(o, "kind", object_kind_name(op->kind)) &&
	       cJSON_AddStringToObject(o, "name", op->name) &&
	       (op->id ? cJSON_AddStringToObject(o, "id", op->id) :
			 cJSON_AddNullToObject(o, "id")) &&
	       cJSON_AddStringToObject(o, "because", op->because ? op->because : "");
}

static bool add_warning(cJSON *list, const struct store_warning *w)
{
	cJSON *o = cJSON_CreateObject();

	if (!o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		return false;
	}
	return cJSON_AddNullToObject(o, "file") && cJSON_AddNullToObject(o, "line") &&
	       cJSON_AddNullToObject(o, "column") && cJSON_AddStringToObject(o, "path", w->path) &&
	       cJSON_AddStringToObject(o, "message", w->msg) &&
	       cJSON_AddStringToObject(o, "code", w->code);
}

/* "warnings": of the parser, taken (NULL: none) */
static cJSON *change_json(const char *lab, bool changed, const struct ops *ops, cJSON *warnings,
			  struct mono start)
{
	cJSON *a = cJSON_CreateObject();
	cJSON *list = cJSON_CreateArray();
	bool ok = a && list;
	size_t i;

	if (!warnings)
		warnings = cJSON_CreateArray();
	for (i = 0; ok && ops && i < ops->n; i++)
		ok = add_op(list, &ops->v[i]);
	for (i = 0; ok && ops && i < ops->n_warnings; i++)
		ok = add_warning(warnings, &ops->warnings[i]);
	cJSON_AddStringToObject(a, "lab", lab);
	cJSON_AddBoolToObject(a, "changed", changed);
	cJSON_AddItemToObject(a, "changes", list);
	cJSON_AddItemToObject(a, "warnings", warnings);
	cJSON_AddNumberToObject(a, "took_ms", mono_ms_since(start));
	if (!ok) {
		cJSON_Delete(a);
		return NULL;
	}
	return a;
}

/* parses; on failure "e", and "ret_issues" has {"errors","warnings"}; else its warnings */
static struct lab *parse(const char *document, size_t size, const char *name, cJSON **ret_issues,
			 struct err *e)
{
	struct issues issues = { 0 };
	struct lab *lab = lab_parse(document, size, name, name, &issues);
	auto_json cJSON *all = issues_json(&issues);
	const struct issue *first = issues.errors;

	if (lab) {
		*ret_issues = cJSON_DetachItemFromObjectCaseSensitive(all, "warnings");
	} else {
		cJSON_DeleteItemFromObjectCaseSensitive(all, "valid");
		*ret_issues = all;
		all = NULL;
		err_set(e, issues_exit(&issues) == 4 ? ERR_UNSUPPORTED : ERR_INVALID_LAB, EINVAL,
			"%s%s", first ? first->msg : "the document can't be read",
			issues.n_errors > 1 ? " (and more)" : "");
		if (first)
			err_path(e, "%s", first->path);
	}
	issues_done(&issues);
	return lab;
}

int labs_plan(struct netd *d, const char *name, const char *document, size_t size, cJSON **ret,
	      struct err *e)
{
	const struct netlab *l = lab_get(d, name);
	struct mono start = mono_now();
	const struct store_keep keep = { .now_ms = wall_ms() };
	struct ops ops = { 0 };
	cJSON *issues = NULL;
	struct lab *lab = parse(document, size, name, &issues, e);
	int r;

	if (!lab) {
		*ret = issues;
		return -EINVAL;
	}
	*ret = NULL;
	r = store_plan(l ? l->store : NULL, lab, d->seed, &keep, &ops, e);
	if (r == 0) {
		*ret = change_json(name, ops.n > 0 || !l || !l->store, &ops, steal_ptr(&issues),
				   start);
		ops_done(&ops);
		if (!*ret)
			r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	cJSON_Delete(issues);
	lab_free(lab);
	return r;
}

/* ---- PUT ---- */

struct put {
	struct job job;
	char *document; /* owns */
	size_t size;
	char *base; /* owns */
	struct mono start;
	struct store *store; /* owns: the new one */
	struct edit *edit;   /* owns; or what changes in the old one */
	struct ops ops;
	cJSON *issues; /* owns: the parser's warnings, or all if it refuses */
	bool intended; /* the state has it */
	bool hold, sweep;
	labs_fn fn;
	void *arg;
};

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static int put_intend(struct put *p, struct err *e)
{
	struct netlab *l = p->job.lab;
	auto_buf struct buf text = BUF_INIT;
	struct state_half h = { p->document, p->size, p->base, NULL };
	int r;

	if (p->store) {
		store_save(p->store, &text);
		if (buf_error(&text))
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		h.store = buf_str(&text);
	}
	if (!l->store)
		l->created_ms = wall_ms();
	r = state_intend(l->netd->db, l->name, l->created_ms, &h, e);
	p->intended = r == 0;
	return r;
}

/* what the object of the edit is compiled to, before and after it */
static int want_edit(struct put *p, struct err *e)
{
	const struct store *s = p->job.lab->store;
	struct program old = { 0 }, new = { 0 };
	int r = job_want_begin(&p->job, e);

	if (r == 0)
		r = compile_edit(s, p->edit, &old, e);
	if (r == 0) {
		edit_swap(p->edit);
		r = compile_edit(s, p->edit, &new, e);
	}
	if (r == 0 && program_replace(&p->job.want, &old, &new) < 0)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	program_done(&old);
	program_done(&new);
	return r;
}

/* a document that is an edit: 1, as put_begin(); 0: it's more than that */
static int put_begin_edit(struct put *p, struct err *e)
{
	struct netlab *l = p->job.lab;
	int r;

	if (!l->store || l->failed || !same_text(p->base, l->base))
		return 0;
	r = edit_read(l->store->owned, l->document, l->size, p->document, p->size, &p->edit);
	if (r < 0)
		return r == -ENOENT ? 0 : err_set(e, ERR_INTERNAL, -r, "out of memory");
	r = want_edit(p, e);
	if (r == 0)
		r = store_edit_ops(l->store, p->edit, &p->ops, e);
	if (r == 0)
		r = put_intend(p, e);
	return r < 0 ? r : 1;
}

/* does something go that flow logs may have counts of? */
static bool takes_counts_away(const struct ops *ops)
{
	size_t i;

	for (i = 0; i < ops->n; i++)
		if (ops->v[i].action == OP_DELETE || ops->v[i].action == OP_REPLACE)
			return true;
	return false;
}

static bool changes_nothing(const struct put *p)
{
	const struct netlab *l = p->job.lab;

	return !p->sweep && l->store && !l->failed && p->size == l->size &&
	       memcmp(p->document, l->document, p->size) == 0 && same_text(p->base, l->base);
}

static int put_begin_whole(struct put *p, struct err *e)
{
	struct job *j = &p->job;
	struct netlab *l = j->lab;
	const struct store_keep keep = {
		.now_ms = wall_ms(),
		.hold = p->hold || (p->sweep && l->hold),
	};
	struct lab *lab = parse(p->document, p->size, l->name, &p->issues, e);
	int r;

	if (!lab)
		return -EINVAL;
	if (changes_nothing(p)) {
		lab_free(lab);
		return 0;
	}
	r = store_commit(l->store, lab, l->netd->seed, &keep, &p->store, &p->ops, e);
	if (r < 0) {
		lab_free(lab);
		return r;
	}
	r = flows_check(p->store, e);
	if (r == 0)
		r = lab_compile(l, p->store, &j->want, e);
	if (r == 0)
		r = put_intend(p, e);
	if (r == 0 && l->flows && takes_counts_away(&p->ops))
		flows_drain(l);
	/* a responder that is new gets them by a job of its own */
	if (r == 0 && !(l->store && !l->failed && zone_same(l->store, p->store)))
		r = views_send(l, p->store, &j->want, e);
	return r < 0 ? r : 1;
}

static int put_begin(struct job *j, struct err *e)
{
	struct put *p = (struct put *)j;
	int r = put_begin_edit(p, e);

	return r ? r : put_begin_whole(p, e);
}

static int put_commit(struct job *j, struct err *e)
{
	return state_done(j->lab->netd->db, j->lab->name, e);
}

static void put_free(struct put *p)
{
	store_free(p->store);
	edit_free(p->edit);
	ops_done(&p->ops);
	cJSON_Delete(p->issues);
	free(p->document);
	free(p->base);
	free(p);
}

static void put_tell_events(const struct put *p, bool fresh)
{
	static const char *const event[] = {
		[OP_CREATE] = "created",
		[OP_UPDATE] = "updated",
		[OP_REPLACE] = "replaced",
		[OP_DELETE] = "deleted",
	};
	struct netlab *l = p->job.lab;
	size_t i;

	for (i = 0; i < p->ops.n; i++) {
		const struct op *op = &p->ops.v[i];

		events_add(l->netd->events, l->name, event[op->action], object_kind_name(op->kind),
			   op->name, op->id, op->because);
	}
	events_add(l->netd->events, l->name, fresh ? "created" : "updated", "lab", l->name,
		   l->store->id, NULL);
}

static void put_take_store(struct put *p)
{
	struct netlab *l = p->job.lab;
	struct err e = { .code = ERR_NONE };

	if (l->store)
		forget_moved(l, l->store, p->store);
	store_free(l->store);
	l->store = steal_ptr(&p->store);
	flows_settle(l, false);
	if (observe_watch(l, &e) < 0)
		log_warn("lab=%s foreign changes will not be noticed: %s", l->name, e.msg);
}

/* the lab is what the job made */
static void put_take(struct put *p)
{
	struct netlab *l = p->job.lab;
	bool fresh = !l->store;

	if (p->edit)
		edit_keep(steal_ptr(&p->edit));
	else
		put_take_store(p);
	free(l->document);
	l->document = steal_ptr(&p->document);
	l->size = p->size;
	free(l->base);
	l->base = steal_ptr(&p->base);
	put_tell_events(p, fresh);
	log_info("lab=%s %s changes=%zu took_ms=%.1f", l->name, fresh ? "created" : "updated",
		 p->ops.n, mono_ms_since(p->start));
	if (!p->sweep)
		l->hold = p->hold;
	attach_settle(l);
	idle_settle(l);
}

static void put_give_up(struct put *p, const struct err *why)
{
	struct netlab *l = p->job.lab;
	struct err e = { .code = ERR_NONE };

	if (!p->intended)
		return;
	if (state_undone(l->netd->db, l->name, &e) < 0)
		log_err("lab=%s a change given up stays in the state: %s", l->name, e.msg);
	if (why->code == ERR_CANCELLED)
		return; /* what is there is dropped by who cancelled it */
	if (l->store && !p->edit && views_send(l, l->store, &l->want, &e) < 0)
		log_warn("lab=%s names of a change given up stay: %s", l->name, e.msg);
	if (!l->store && (responder_link_drop_lab(l->netd->responder, l->name, &e) < 0 ||
			  ns_drop_lab(l->name) < 0))
		log_err("lab=%s something of a lab that didn't come up stays until gc", l->name);
	if (!l->store)
		l->failed = false;
}

static void put_end(struct job *j, const struct err *e)
{
	struct put *p = (struct put *)j;
	struct err none = { .code = ERR_NONE };
	cJSON *answer;

	if (e) {
		put_give_up(p, e);
		/* what the parser found wrong; mere warnings don't concern a failure */
		p->fn(e, cJSON_IsObject(p->issues) ? steal_ptr(&p->issues) : NULL, p->arg);
		put_free(p);
		return;
	}
	answer = change_json(j->lab->name, p->ops.n > 0 || (p->store && !j->lab->store), &p->ops,
			     steal_ptr(&p->issues), p->start);
	if (!answer)
		err_set(&none, ERR_INTERNAL, ENOMEM, "done, but no memory to say so");
	if (p->store || p->edit)
		put_take(p);
	p->fn(answer ? NULL : &none, answer, p->arg);
	put_free(p);
}

static const struct job_ops put_ops = {
	.begin = put_begin,
	.commit = put_commit,
	.end = put_end,
};

void labs_put(struct netd *d, const char *name, const char *document, size_t size, const char *base,
	      bool hold, labs_fn fn, void *arg)
{
	struct err e = { .code = ERR_NONE };
	struct put *p = calloc(1, sizeof(*p));
	struct netlab *l = lab_get(d, name);

	if (p) {
		p->start = mono_now();
		p->fn = fn;
		p->arg = arg;
		p->size = size;
		p->hold = hold;
		p->document = malloc(size + 1);
		p->base = base ? strdup(base) : NULL;
	}
	if (!p || !p->document || (base && !p->base)) {
		err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		fn(&e, NULL, arg);
		if (p)
			put_free(p);
		return;
	}
	memcpy(p->document, document, size);
	p->document[size] = '\0';
	if (!l)
		l = lab_new(d, name, &e);
	if (!l) {
		fn(&e, NULL, arg);
		put_free(p);
		return;
	}
	job_submit(l, &p->job, &put_ops);
}

/* ---- what no function uses any more ---- */

static int sweep_begin(struct job *j, struct err *e)
{
	struct put *p = (struct put *)j;
	struct netlab *l = j->lab;

	l->sweep_waits = false;
	if (!l->store || l->failed || !idle_is_due(l))
		return 0;
	p->size = l->size;
	p->document = malloc(l->size + 1);
	p->base = l->base ? strdup(l->base) : NULL;
	if (!p->document || (l->base && !p->base))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	memcpy(p->document, l->document, l->size + 1);
	return put_begin_whole(p, e);
}

static void sweep_end(struct job *j, const struct err *e)
{
	struct put *p = (struct put *)j;
	struct netlab *l = j->lab;

	l->sweep_waits = false;
	if (e) {
		put_give_up(p, e);
		if (e->code != ERR_CANCELLED) {
			log_warn("lab=%s ways of functions stay for now: %s", l->name, e->msg);
			idle_again(l);
		}
	} else if (p->store) {
		put_take(p);
	}
	put_free(p);
}

static const struct job_ops sweep_ops = {
	.begin = sweep_begin,
	.commit = put_commit,
	.end = sweep_end,
	.background = true,
};

void lab_sweep(struct netlab *l)
{
	struct put *p = l->sweep_waits ? NULL : calloc(1, sizeof(*p));

	if (!p) {
		if (!l->sweep_waits)
			idle_again(l);
		return;
	}
	p->start = mono_now();
	p->sweep = true;
	l->sweep_waits = true;
	job_submit(l, &p->job, &sweep_ops);
}

/* ---- DELETE ---- */

struct delete
{
	struct job job;
	labs_fn fn;
	void *arg;
};

static int delete_begin(struct job *j, struct err *e)
{
	struct netlab *l = j->lab;
	struct err ignored = { .code = ERR_NONE };
	size_t i;
	int r;

	if (!l->store && !l->failed)
		return err_set(e, ERR_NO_LAB, ENOENT, "there is no lab \"%s\"", l->name);
	r = state_delete(l->netd->db, l->name, e);
	if (r < 0)
		return r;
	/* sockets would keep namespaces alive; a dead responder has none */
	trace_stop(l);
	(void)responder_link_drop_lab(l->netd->responder, l->name, &ignored);
	for (i = 0; i < l->want.n; i++)
		if (l->want.items[i].kind == ITEM_SOCK)
			program_unset(&l->actual, l->want.items[i].ns, ITEM_SOCK,
				      l->want.items[i].key);
	flows_close(l, true);
	spaces_free(l->spaces);
	l->spaces = spaces_new(l->netd->loop, l->name, observe_foreign, l);
	if (!l->spaces || program_seal(&j->want, e) < 0)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return 1;
}

/* also what no program knows of: pins of a change that was cancelled half way */
static int delete_rest(struct netlab *l, struct err *e)
{
	int r = ns_drop_lab(l->name);

	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "namespaces of %s: %s", l->name, strerror(-r));
	return 0;
}

static void delete_end(struct job *j, const struct err *e)
{
	struct delete *x = (struct delete *)j;
	struct netlab *l = j->lab;
	struct err rest = { .code = ERR_NONE };
	cJSON *answer = NULL;

	if (!e || e->code == ERR_KERNEL) /* whatever failed: in any state it goes */
		e = delete_rest(l, &rest) < 0 ? &rest : NULL;
	if (!e) {
		attach_clear(l);
		idle_clear(l);
		observe_clear(l);
		job_left_clear(l);
		events_add(l->netd->events, l->name, "deleted", "lab", l->name,
			   l->store ? l->store->id : NULL, NULL);
		log_info("lab=%s deleted", l->name);
		l->store = store_free(l->store);
		l->failed = false;
		program_done(&l->actual);
		program_init(&l->actual);
		(void)program_seal(&l->actual, &rest); /* an empty one needs no memory */
		program_done(&l->want);
		program_init(&l->want);
		(void)program_seal(&l->want, &rest);
		answer = cJSON_CreateObject();
		cJSON_AddStringToObject(answer, "lab", l->name);
		cJSON_AddBoolToObject(answer, "deleted", true);
	}
	x->fn(e, answer, x->arg);
	free(x);
}

static const struct job_ops delete_ops = {
	.begin = delete_begin,
	.end = delete_end,
	.no_undo = true,
};

void labs_delete(struct netd *d, const char *name, labs_fn fn, void *arg)
{
	struct err e = { .code = ERR_NONE };
	struct netlab *l = lab_get(d, name);
	struct delete *x;

	if (!l) {
		err_set(&e, ERR_NO_LAB, ENOENT, "there is no lab \"%s\"", name);
		fn(&e, NULL, arg);
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x) {
		err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
		fn(&e, NULL, arg);
		return;
	}
	x->fn = fn;
	x->arg = arg;
	err_set(&e, ERR_CANCELLED, ECANCELED, "the lab is being deleted");
	l->failed |= l->job && !l->store; /* half made: there is something to drop */
	job_cancel_all(l, &e);
	job_submit(l, &x->job, &delete_ops);
}

/* ---- start-up ---- */

struct row {
	SLIST_ENTRY(row) link;
	char *lab, *document[2], *base[2], *store[2]; /* own; intended, current */
	size_t size[2];
	int64_t created_ms;
};
SLIST_HEAD(rows, row);

static void row_free(struct row *w)
{
	int i;

	for (i = 0; i < 2; i++) {
		free(w->document[i]);
		free(w->base[i]);
		free(w->store[i]);
	}
	free(w->lab);
	free(w);
}

static bool half_copy(struct row *w, int i, const struct state_half *h)
{
	if (!h->document || !h->store)
		return true;
	w->document[i] = malloc(h->size + 1);
	w->base[i] = h->base ? strdup(h->base) : NULL;
	w->store[i] = strdup(h->store);
	w->size[i] = h->size;
	if (!w->document[i] || !w->store[i] || (h->base && !w->base[i]))
		return false;
	memcpy(w->document[i], h->document, h->size);
	w->document[i][h->size] = '\0';
	return true;
}

static int row_take(const char *lab, int64_t created_ms, const struct state_half *current,
		    const struct state_half *intended, void *arg)
{
	struct rows *rows = arg;
	struct row *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	SLIST_INSERT_HEAD(rows, w, link);
	w->created_ms = created_ms;
	w->lab = strdup(lab);
	return w->lab && half_copy(w, 0, intended) && half_copy(w, 1, current) ? 0 : -ENOMEM;
}

struct adopt {
	struct job job;
	struct store *store; /* owns */
	struct err e;
	int result;
};

struct found {
	struct netlab *l;
	struct store *s;
	struct err *e;
};

static int place_found(const char *ns, void *arg)
{
	const struct found *f = arg;

	return attach_found(f->l, f->s, ns, f->e);
}

static int adopt_begin(struct job *j, struct err *e)
{
	struct adopt *a = (struct adopt *)j;
	struct netlab *l = j->lab;
	struct found found = { l, a->store, e };
	int r = ns_each(l->name, place_found, &found);

	if (r < 0)
		return e->code ? r : err_set(e, ERR_KERNEL, -r, "namespaces: %s", strerror(-r));
	r = lab_compile(l, a->store, &j->want, e);
	if (r == 0)
		r = observe_lab(l, &j->want, e);
	if (r == 0)
		r = views_send(l, a->store, &j->want, e);
	return r < 0 ? r : 1;
}

static void adopt_end(struct job *j, const struct err *e)
{
	struct adopt *a = (struct adopt *)j;

	a->result = 0;
	if (e) {
		a->e = *e;
		a->result = -(e->errnum ? e->errnum : EIO);
	}
}

static const struct job_ops adopt_ops = {
	.begin = adopt_begin,
	.end = adopt_end,
	.background = true,
	.no_undo = true,
};

static int adopt_half(struct netlab *l, struct row *w, int i, struct err *e)
{
	struct adopt a = { .store = NULL };
	auto_json cJSON *issues = NULL;
	struct lab *lab;
	int r;

	lab = parse(w->document[i], w->size[i], l->name, &issues, e);
	if (!lab)
		return -EINVAL;
	r = store_load(lab, w->store[i], &a.store, e);
	if (r < 0) {
		lab_free(lab);
		return r;
	}
	job_run(l, &a.job, &adopt_ops);
	if (a.result < 0 && i == 0) {
		store_free(a.store);
		*e = a.e;
		return a.result;
	}
	l->store = a.store;
	l->document = steal_ptr(&w->document[i]);
	l->size = w->size[i];
	l->base = steal_ptr(&w->base[i]);
	if (a.result < 0)
		*e = a.e;
	return a.result;
}

/* "intended" first: who asked for it may have been told that it holds */
static int adopt_row(struct netlab *l, struct row *w, struct err *e)
{
	struct err ignored = { .code = ERR_NONE };
	int r = -ENOENT;

	if (w->document[0]) {
		r = adopt_half(l, w, 0, e);
		if (r == 0)
			return state_done(l->netd->db, l->name, e);
		log_warn("lab=%s the change that was under way can't be done, going back: %s",
			 l->name, e->msg);
		if (state_undone(l->netd->db, l->name, &ignored) < 0)
			log_err("lab=%s %s", l->name, ignored.msg);
	}
	if (!w->document[1])
		return r;
	program_done(&l->actual);
	program_init(&l->actual);
	r = program_seal(&l->actual, e);
	return r < 0 ? r : adopt_half(l, w, 1, e);
}

static void adopt_lab(struct netd *d, struct row *w)
{
	struct err e = { .code = ERR_NONE };
	struct netlab *l = lab_new(d, w->lab, &e);

	if (!l) {
		log_err("lab=%s can't be adopted: %s", w->lab, e.msg);
		return;
	}
	l->created_ms = w->created_ms;
	if (adopt_row(l, w, &e) < 0) {
		log_err("lab=%s can't be adopted: %s", w->lab, e.msg);
		events_add(d->events, l->name, "failed", "lab", l->name, NULL, e.msg);
		l->failed = l->store || !ns_drop_lab(l->name);
		if (!l->store)
			l->failed = false;
	} else {
		log_info("lab=%s adopted", l->name);
		/* the ring is empty: it says what is there */
		events_add(d->events, l->name, "adopted", "lab", l->name, l->store->id, NULL);
	}
	if (l->store && observe_watch(l, &e) < 0)
		log_warn("lab=%s foreign changes will not be noticed: %s", l->name, e.msg);
	if (l->store) {
		flows_settle(l, true);
		attach_settle(l);
		idle_settle(l);
	}
	job_kick(l);
}

/* pinned, but in no row: a first change that never came to its end */
static int stray_lab(const char *name, void *arg)
{
	struct netd *d = arg;
	struct err e = { .code = ERR_NONE };

	if (lab_get(d, name))
		return 0;
	log_warn("lab=%s is in no state row, dropping what is left of it", name);
	if (responder_link_drop_lab(d->responder, name, &e) < 0)
		log_warn("lab=%s %s", name, e.msg);
	return ns_drop_lab(name);
}

int labs_adopt(struct netd *d, struct err *e)
{
	struct rows rows = SLIST_HEAD_INITIALIZER(rows);
	struct row *w;
	int r = state_each(d->db, row_take, &rows, e);

	if (r < 0 && !e->code)
		err_set(e, ERR_INTERNAL, -r, "reading the state: %s", strerror(-r));
	while ((w = SLIST_FIRST(&rows))) {
		SLIST_REMOVE_HEAD(&rows, link);
		if (r == 0)
			adopt_lab(d, w);
		row_free(w);
	}
	if (r == 0) {
		r = ns_each(NULL, stray_lab, d);
		if (r < 0)
			err_set(e, ERR_KERNEL, -r, "namespaces: %s", strerror(-r));
	}
	return r;
}

void labs_close(struct netd *d)
{
	struct err e = { .code = ERR_NONE };

	err_set(&e, ERR_CANCELLED, ESHUTDOWN, "netd is stopping");
	while (!LIST_EMPTY(&d->labs)) {
		struct netlab *l = LIST_FIRST(&d->labs);

		job_cancel_all(l, &e);
		LIST_REMOVE(l, link);
		d->n_labs--;
		netlab_free(l);
	}
}

/* ---- a responder that is new knows nothing ---- */

struct resend {
	struct job job;
};

static int resend_begin(struct job *j, struct err *e)
{
	struct netlab *l = j->lab;
	size_t i;
	int r;

	if (!l->store)
		return 0;
	r = responder_link_drop_lab(l->netd->responder, l->name, e);
	if (r == 0)
		r = views_send(l, l->store, &l->want, e);
	if (r < 0)
		return r;
	for (i = 0; i < l->want.n; i++)
		if (l->want.items[i].kind == ITEM_SOCK)
			program_unset(&l->actual, l->want.items[i].ns, ITEM_SOCK,
				      l->want.items[i].key);
	return program_copy(&l->want, &j->want) < 0 ?
		       err_set(e, ERR_INTERNAL, ENOMEM, "out of memory") :
		       1;
}

static void resend_end(struct job *j, const struct err *e)
{
	if (e && e->code != ERR_CANCELLED)
		log_err("lab=%s servers and resolvers are down: %s", j->lab->name, e->msg);
	free(j);
}

static const struct job_ops resend_ops = {
	.begin = resend_begin,
	.end = resend_end,
	.background = true,
	.no_undo = true,
};

void labs_responder_new(void *arg)
{
	struct netd *d = arg;
	struct netlab *l, *next;

	events_add(d->events, NULL, "restarted", "responder", "responder", NULL, NULL);
	for (l = LIST_FIRST(&d->labs); l; l = next) {
		struct resend *x = calloc(1, sizeof(*x));

		next = LIST_NEXT(l, link);
		if (x)
			job_submit(l, &x->job, &resend_ops);
		else
			log_err("lab=%s servers and resolvers are down: out of memory", l->name);
	}
}
