/* SPDX-License-Identifier: MIT */
/*
 * api - requests to netd (api.h).
 */
#include "netd/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "netd/attach.h"
#include "netd/drops.h"
#include "netd/events.h"
#include "netd/flow_table.h"
#include "netd/flows.h"
#include "netd/idle.h"
#include "netd/inspect.h"
#include "netd/jobs.h"
#include "netd/labs.h"
#include "netd/responder.h"
#include "netd/show.h"
#include "netd/trace.h"
#include "topology/explain.h"

#define NAME_SIZE 64 /* a lab's, an attachment's; longer ones aren't any */
#define WAIT_MAX_MS 60000

/* ---- answers ---- */

/* {"code","message","path"} and the members of "more" (taken; NULL: none) */
static void reply_err(struct http_req *r, const struct err *e, cJSON *more)
{
	cJSON *o = more;

	if (!o) {
		http_reply_err(r, e);
		return;
	}
	cJSON_AddStringToObject(o, "code", err_code_name(e->code));
	cJSON_AddStringToObject(o, "message", e->msg);
	cJSON_AddStringToObject(o, "path", e->path);
	http_reply_json(r, err_code_http(e->code), o);
}

static void reply_json(struct http_req *r, cJSON *o)
{
	struct err e = { .code = ERR_NONE };

	if (o) {
		http_reply_json(r, 200, o);
		return;
	}
	err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
	http_reply_err(r, &e);
}

/* labs_fn; "arg" is the request */
static void done(const struct err *e, cJSON *answer, void *arg)
{
	if (e)
		reply_err(arg, e, answer);
	else
		reply_json(arg, answer);
}

/* the JSON object in the body; NULL: answered with what is wrong */
static cJSON *body_object(struct http_req *r)
{
	struct err e = { .code = ERR_NONE };
	char why[200] = "";
	size_t size;
	const char *text = http_body(r, &size);
	cJSON *o = json_parse(text, size, why);

	if (cJSON_IsObject(o))
		return o;
	cJSON_Delete(o);
	err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "the body: %s",
		*why ? why : "not a JSON object");
	http_reply_err(r, &e);
	return NULL;
}

/* members of "o" that aren't in "known" (NULL-terminated) are refused by name */
static bool only_known(struct http_req *r, const cJSON *o, const char *const *known)
{
	struct err e = { .code = ERR_NONE };
	const cJSON *at;
	size_t i;

	cJSON_ArrayForEach(at, o) {
		for (i = 0; known[i] && strcmp(at->string, known[i]) != 0; i++)
			;
		if (known[i])
			continue;
		err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "unknown member \"%s\"", at->string);
		err_path(&e, "%s", at->string);
		http_reply_err(r, &e);
		return false;
	}
	return true;
}

static struct netlab *lab_of(struct netd *d, struct http_req *r, const char *name)
{
	struct err e = { .code = ERR_NONE };
	struct netlab *l = labs_find(d, name, &e);

	if (!l)
		http_reply_err(r, &e);
	return l;
}

/* ---- handlers: "a", "b" are the path's variable parts ---- */

static void get_version(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	cJSON *o = cJSON_CreateObject();

	(void)d, (void)a, (void)b;
	cJSON_AddNumberToObject(o, "api", 1);
	cJSON_AddStringToObject(o, "program", "netd");
	cJSON_AddStringToObject(o, "version", VERSION);
	reply_json(r, o);
}

static void get_status(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const struct {
		const char *name;
		double value;
	} limits[] = {
		{ "labs", NETD_LABS_MAX },
		{ "waiting_changes", NETD_WAITING_MAX },
		{ "attachments_per_egress", NETD_ATTACHMENTS_MAX },
		{ "events", NETD_EVENTS_MAX },
		{ "event_polls", NETD_POLLS_MAX },
		{ "drops_flows", NETD_FLOWS_MAX },
		{ "flow_elements_per_vpc", FLOW_SET_SIZE },
		{ "flow_records_per_interval", FLOW_RECORDS_MAX },
		{ "flow_lines_per_lab", FLOW_LINES_MAX },
		{ "flow_file_bytes", FLOW_FILE_MAX },
		{ "why_questions", EXPLAIN_QUESTIONS_MAX },
		{ "lab_bytes", LAB_SIZE_MAX },
		{ "subnets_per_vpc", LAB_SUBNETS_MAX },
		{ "connections", HTTP_CONN_MAX },
		{ "responder_connections", RESPONDER_CONNS_MAX },
	};
	cJSON *o = cJSON_CreateObject(), *p, *q;
	size_t i;

	(void)a, (void)b;
	cJSON_AddNumberToObject(o, "pid", (double)getpid());
	cJSON_AddStringToObject(o, "state", "running");
	p = cJSON_AddObjectToObject(o, "responder");
	cJSON_AddNumberToObject(p, "pid", (double)responder_link_pid(d->responder));
	cJSON_AddStringToObject(p, "state", responder_link_pid(d->responder) ? "running" : "down");
	cJSON_AddNumberToObject(p, "sockets", (double)labs_sockets(d));
	cJSON_AddNumberToObject(o, "labs", (double)d->n_labs);
	q = cJSON_AddObjectToObject(o, "limits");
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		cJSON_AddNumberToObject(q, limits[i].name, limits[i].value);
	reply_json(r, o);
}

static void get_labs(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	(void)a, (void)b;
	reply_json(r, labs_list(d));
}

static void put_lab(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	size_t size;
	const char *text = http_body(r, &size);

	(void)b;
	labs_put(d, a, text, size, http_header(r, "Vpclab-Base"), http_query(r, "hold"), done, r);
}

static void release_held(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);

	(void)b;
	if (!l)
		return;
	idle_release(l);
	reply_json(r, cJSON_CreateObject());
}

static void plan_lab(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct err e = { .code = ERR_NONE };
	cJSON *answer = NULL;
	size_t size;
	const char *text = http_body(r, &size);

	(void)b;
	if (labs_plan(d, a, text, size, &answer, &e) < 0)
		reply_err(r, &e, answer);
	else
		reply_json(r, answer);
}

static void get_lab(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	cJSON *o;

	(void)b;
	if (!l)
		return;
	o = show_lab(l, &e);
	if (o)
		reply_json(r, o);
	else
		http_reply_err(r, &e);
}

static void get_document(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);

	(void)b;
	if (!l)
		return;
	if (l->base)
		http_add_header(r, "Vpclab-Base", l->base);
	http_reply(r, 200, "application/json", l->document ? l->document : "", l->size);
}

static void delete_lab(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	(void)b;
	labs_delete(d, a, done, r);
}

static void claim_attachment(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const char *const known[] = { "function", "subnet", "token", "egress", NULL };
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	auto_json cJSON *o = l ? body_object(r) : NULL;
	const char *function, *token;

	(void)b;
	if (!o || !only_known(r, o, known))
		return;
	function = json_str(o, "function", NULL);
	token = json_str(o, "token", NULL);
	if (!function || !token) {
		err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "function and token are required");
		http_reply_err(r, &e);
		return;
	}
	attach_claim(l, function, json_str(o, "subnet", NULL), json_str(o, "egress", NULL), token,
		     done, r);
}

static void get_attachments(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);

	(void)b;
	if (l)
		reply_json(r, attach_list(l));
}

static void release_attachment(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);

	if (l)
		attach_release(l, b, done, r);
}

static void find_drops(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const char *const known[] = { "flows", NULL };
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	auto_json cJSON *o = l ? body_object(r) : NULL;
	cJSON *answer;

	(void)b;
	if (!o || !only_known(r, o, known))
		return;
	if (drops_find(l, json_get(o, "flows"), &answer, &e) < 0)
		http_reply_err(r, &e);
	else
		reply_json(r, answer);
}

static void begin_trace(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const char *const known[] = { "protocol", "port", "addresses", "timeout", NULL };
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	auto_json cJSON *o = l ? body_object(r) : NULL;
	cJSON *answer;

	(void)b;
	if (!o || !only_known(r, o, known))
		return;
	if (trace_begin(l, o, &answer, &e) < 0)
		http_reply_err(r, &e);
	else
		reply_json(r, answer);
}

static void end_trace(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const char *const known[] = { "flows", NULL };
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	auto_json cJSON *o = l ? body_object(r) : NULL;
	cJSON *answer;

	if (!o || !only_known(r, o, known))
		return;
	if (trace_end(l, b, json_get(o, "flows"), &answer, &e) < 0)
		http_reply_err(r, &e);
	else
		reply_json(r, answer);
}

static void explain_lab(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const char *const known[] = { "questions", NULL };
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	auto_json cJSON *o = l ? body_object(r) : NULL;
	const cJSON *questions;
	cJSON *answer, *list;

	(void)b;
	if (!o || !only_known(r, o, known))
		return;
	questions = json_get(o, "questions");
	if (!cJSON_IsArray(questions))
		err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "questions: an array is required");
	else if (cJSON_GetArraySize(questions) > EXPLAIN_QUESTIONS_MAX)
		err_set(&e, ERR_LIMIT, E2BIG, "questions: at most %d", EXPLAIN_QUESTIONS_MAX);
	else if (!l->store)
		err_set(&e, ERR_STATE, EIO, "lab %s could not be brought back", l->name);
	if (e.code != ERR_NONE) {
		http_reply_err(r, &e);
		return;
	}
	answer = cJSON_CreateObject();
	list = explain_answers(l->store, questions);
	if (!list || !cJSON_AddItemToObject(answer, "answers", list)) {
		cJSON_Delete(list);
		cJSON_Delete(answer);
		answer = NULL;
	}
	reply_json(r, answer);
}

static void get_namespace(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);
	const char *ns = l ? http_query(r, "name") : NULL;
	struct err e = { .code = ERR_NONE };
	cJSON *o;

	(void)b;
	if (!l)
		return;
	if (inspect_namespace(l, ns ? ns : "", &o, &e) < 0)
		http_reply_err(r, &e);
	else
		reply_json(r, o);
}

static bool query_number(struct http_req *r, const char *name, uint64_t max, uint64_t *ret)
{
	const char *s = http_query(r, name);
	struct err e = { .code = ERR_NONE };

	*ret = 0;
	if (!s || parse_u64(s, 0, max, ret) == 0)
		return true;
	err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "%s: not a number up to %llu", name,
		(unsigned long long)max);
	http_reply_err(r, &e);
	return false;
}

static void get_events(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct err e = { .code = ERR_NONE };
	uint64_t after, wait;

	(void)a, (void)b;
	if (!query_number(r, "after", UINT64_MAX, &after) ||
	    !query_number(r, "wait", WAIT_MAX_MS, &wait))
		return;
	if (events_poll(d->events, r, after, http_query(r, "lab"), (int64_t)wait, &e) < 0)
		http_reply_err(r, &e);
}

static void get_flows(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	struct netlab *l = lab_of(d, r, a);
	struct err e = { .code = ERR_NONE };
	uint64_t after, wait, close;

	(void)b;
	if (!l || !query_number(r, "after", UINT64_MAX, &after) ||
	    !query_number(r, "wait", WAIT_MAX_MS, &wait) || !query_number(r, "close", 1, &close))
		return;
	if (flows_answer(l, r, http_query(r, "log"), after, close, (int64_t)wait, &e) < 0)
		http_reply_err(r, &e);
}

static void post_events(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	static const char *const known[] = { "events", NULL };
	static const char *const members[] = {
		"lab", "event", "kind", "name", "id", "detail", NULL
	};
	auto_json cJSON *body = body_object(r);
	struct err e = { .code = ERR_NONE };
	const cJSON *o;

	(void)a, (void)b;
	if (!body || !only_known(r, body, known))
		return;
	cJSON_ArrayForEach(o, json_get(body, "events")) {
		if (!only_known(r, o, members))
			return;
		if (!json_str(o, "event", NULL)) {
			err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "event is required");
			http_reply_err(r, &e);
			return;
		}
	}
	cJSON_ArrayForEach(o, json_get(body, "events"))
		events_add(d->events, json_str(o, "lab", NULL), json_str(o, "event", NULL),
			   json_str(o, "kind", NULL), json_str(o, "name", NULL),
			   json_str(o, "id", NULL), json_str(o, "detail", NULL));
	reply_json(r, cJSON_CreateObject());
}

#ifdef VPCLAB_TESTING
static void get_fault(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	cJSON *o = cJSON_CreateObject();

	(void)d, (void)a, (void)b;
	cJSON_AddNumberToObject(o, "count", (double)job_faults_count());
	reply_json(r, o);
}

static void post_fault(struct netd *d, struct http_req *r, const char *a, const char *b)
{
	auto_json cJSON *o = body_object(r);

	(void)d, (void)a, (void)b;
	if (!o)
		return;
	job_faults_set((unsigned long)json_num(o, "n", 0));
	reply_json(r, cJSON_CreateObject());
}
#endif

/* ---- the table ---- */

/* "*": one segment, handed to the handler */
static const struct {
	const char *method, *path;
	void (*fn)(struct netd *d, struct http_req *r, const char *a, const char *b);
} routes[] = {
	{ "GET", "/version", get_version },
	{ "GET", "/v1/status", get_status },
	{ "GET", "/v1/labs", get_labs },
	{ "PUT", "/v1/labs/*", put_lab },
	{ "GET", "/v1/labs/*", get_lab },
	{ "DELETE", "/v1/labs/*", delete_lab },
	{ "POST", "/v1/labs/*/plan", plan_lab },
	{ "GET", "/v1/labs/*/document", get_document },
	{ "DELETE", "/v1/labs/*/hold", release_held },
	{ "POST", "/v1/labs/*/attachments", claim_attachment },
	{ "GET", "/v1/labs/*/attachments", get_attachments },
	{ "DELETE", "/v1/labs/*/attachments/*", release_attachment },
	{ "POST", "/v1/labs/*/drops", find_drops },
	{ "POST", "/v1/labs/*/traces", begin_trace },
	{ "POST", "/v1/labs/*/traces/*", end_trace },
	{ "POST", "/v1/labs/*/why", explain_lab },
	{ "GET", "/v1/labs/*/flows", get_flows },
	{ "GET", "/v1/labs/*/namespace", get_namespace },
	{ "GET", "/v1/events", get_events },
	{ "POST", "/v1/events", post_events },
#ifdef VPCLAB_TESTING
	{ "GET", "/v1/testing/fault", get_fault },
	{ "POST", "/v1/testing/fault", post_fault },
#endif
};

/* names of labs and attachments: nothing that could lead out of a folder */
static bool is_name(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    s[i]))
			return false;
	return i > 0 && i < NAME_SIZE && s[0] != '.' && s[0] != '-';
}

static bool path_matches(const char *path, const char *pattern, char var[2][NAME_SIZE])
{
	size_t n_var = 0;

	for (; *pattern; pattern++) {
		size_t len;

		if (*pattern != '*') {
			if (*path++ != *pattern)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		if (len == 0 || len >= NAME_SIZE)
			return false;
		memcpy(var[n_var], path, len);
		var[n_var][len] = '\0';
		if (!is_name(var[n_var++]))
			return false;
		path += len;
	}
	return *path == '\0';
}

void api_handle(struct http_req *r, void *arg)
{
	char var[2][NAME_SIZE] = { "", "" };
	struct err e = { .code = ERR_NONE };
	bool known = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(routes); i++) {
		if (!path_matches(http_path(r), routes[i].path, var))
			continue;
		known = true;
		if (strcmp(http_method(r), routes[i].method) == 0) {
			routes[i].fn(arg, r, var[0], var[1]);
			return;
		}
	}
	if (known)
		err_set(&e, ERR_METHOD, EINVAL, "%s doesn't know %s", http_path(r), http_method(r));
	else
		err_set(&e, ERR_NO_ROUTE, ENOENT, "there is no %s", http_path(r));
	http_reply_err(r, &e);
}
