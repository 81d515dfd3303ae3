/* SPDX-License-Identifier: MIT */
/*
 * serve - see serve.h.
 */
#include "sandbox/serve.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/util.h"
#include "sandbox/bill.h"
#include "sandbox/env.h"
#include "sandbox/front.h"
#include "sandbox/functions.h"
#include "sandbox/held.h"
#include "sandbox/instances.h"
#include "sandbox/invoke.h"
#include "sandbox/limits.h"
#include "sandbox/listen.h"
#include "sandbox/logs.h"
#include "sandbox/prober.h"

#define NETD_MS 60000

static void fail(struct http_req *r, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void fail(struct http_req *r, enum err_code code, const char *fmt, ...)
{
	char text[300];
	struct err e = { 0 };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)err_set(&e, code, 0, "%s", text);
	http_reply_err(r, &e);
}

/* ---- what netd answers, completed ---- */

typedef void (*merge_fn)(struct sandboxd *sd, const char *lab, cJSON *answer);

struct proxied {
	struct sandboxd *sd;
	struct http_req *req;
	char lab[80];
	merge_fn merge; /* NULL: a document, as it came */
};

static void on_answer(struct httpc_answer *a, void *arg)
{
	struct proxied *p = arg;
	cJSON *o = p->merge && a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;
	char base[4096], etag[FRONT_ETAG_SIZE];

	if (o) {
		p->merge(p->sd, p->lab, o);
		http_reply_json(p->req, 200, o);
	} else if (a->status) {
		if (httpc_header(a, "Vpclab-Base", base, sizeof(base)) == 0)
			http_add_header(p->req, "Vpclab-Base", base);
		if (!p->merge && a->status == 200) {
			front_etag(a->body, a->size, etag);
			http_add_header(p->req, "ETag", etag);
		}
		http_reply(p->req, a->status, "application/json", a->body, a->size);
	} else {
		fail(p->req, ERR_UNAVAILABLE, "netd: %s", a->error);
	}
	free(p);
}

static void proxy(struct sandboxd *sd, struct http_req *r, const char *path, const char *lab,
		  merge_fn merge)
{
	struct proxied *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		fail(r, ERR_INTERNAL, "out of memory");
		return;
	}
	p->sd = sd;
	p->req = r;
	p->merge = merge;
	(void)snprintf(p->lab, sizeof(p->lab), "%s", lab);
	rc = httpc_start(sd->httpc, sd->netd, "GET", path, NULL, NULL, 0, NETD_MS, on_answer, p);
	if (rc < 0) {
		fail(r, ERR_UNAVAILABLE, "netd: %s", strerror(-rc));
		free(p);
	}
}

static void set(cJSON *o, const char *name, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, name);
	cJSON_AddItemToObject(o, name, v);
}

static void set_pid(const struct slab *l, cJSON *node)
{
	pid_t pid = instances_pid(l, node->string);

	set(node, "pid", pid ? cJSON_CreateNumber(pid) : cJSON_CreateNull());
}

static const char *state_of(const struct slab *l, const char *netds)
{
	return l->change ? "changing" : l->failed ? "failed" : netds;
}

static void merge_lab(struct sandboxd *sd, const char *name, cJSON *o)
{
	struct slab *l = slab_find(sd, name);
	cJSON *vpc, *node;
	struct func *f;

	if (!l)
		return;
	cJSON_ArrayForEach(vpc, json_get(o, "vpcs"))
		cJSON_ArrayForEach(node, json_get(vpc, "instances"))
			set_pid(l, node);
	cJSON_ArrayForEach(node, json_get(json_get(o, "internet"), "hosts"))
		set_pid(l, node);
	LIST_FOREACH(f, &l->funcs, link) {
		cJSON *fo = cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(o, "functions"), f->name);

		if (fo && f->spec && !f->gone && !f->number)
			functions_show(f, fo);
	}
	set(o, "state", cJSON_CreateString(state_of(l, json_str(o, "state", "up"))));
}

static void merge_list(struct sandboxd *sd, const char *name, cJSON *list)
{
	const struct slab *l;
	cJSON *o;

	(void)name;
	cJSON_ArrayForEach(o, list) {
		l = slab_find(sd, json_str(o, "lab", ""));
		if (l)
			set(o, "state",
			    cJSON_CreateString(state_of(l, json_str(o, "state", "up"))));
	}
	/* what we know and netd doesn't (any more): down removes it */
	LIST_FOREACH(l, &sd->labs, link) {
		bool known = false;

		cJSON_ArrayForEach(o, list)
			known = known || !strcmp(json_str(o, "lab", ""), l->name);
		if (known || !l->document)
			continue;
		o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "lab", l->name);
		cJSON_AddStringToObject(o, "state", l->change ? "changing" : "failed");
		cJSON_AddNumberToObject(o, "vpcs", l->lab ? (double)l->lab->n_vpcs : 0);
		cJSON_AddNumberToObject(o, "nodes", 0);
		cJSON_AddNumberToObject(o, "functions", l->lab ? (double)l->lab->n_functions : 0);
		cJSON_AddNumberToObject(o, "created", (double)l->created_ms);
		cJSON_AddItemToArray(list, o);
	}
}

/* ---- our own ---- */

static void get_version(struct http_req *r)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "api", 1);
	cJSON_AddStringToObject(o, "program", "sandboxd");
	cJSON_AddStringToObject(o, "version", VERSION);
	http_reply_json(r, 200, o);
}

static void get_status(const struct sandboxd *sd, struct http_req *r)
{
	static const struct {
		const char *name;
		double value;
	} limits[] = {
		{ "environments", LIMIT_ENVIRONMENTS },
		{ "versions", LIMIT_VERSIONS },
		{ "invocations", LIMIT_INVOCATIONS },
		{ "request_bytes", LIMIT_REQUEST },
		{ "event_hops", LIMIT_EVENT_HOPS },
		{ "response_bytes", LIMIT_RESPONSE },
		{ "stream_bytes", LIMIT_STREAM },
		{ "function_log_bytes", LIMIT_LOG_FILE },
		{ "node_log_bytes", LIMIT_PROGRAM_LOG },
		{ "code_bytes", LIMIT_CODE },
		{ "code_files", LIMIT_CODE_FILES },
		{ "waiting_changes", LIMIT_WAITING },
		{ "probes", LIMIT_PROBES },
		{ "held_connections", LIMIT_HELD },
		{ "execs", LIMIT_EXECS },
		{ "node_processes", LIMIT_NODE_PIDS },
		{ "function_processes", LIMIT_FUNCTION_PIDS },
		{ "connections", HTTP_CONN_MAX },
		{ "door_connections", LIMIT_DOORS },
	};
	cJSON *o = cJSON_CreateObject(), *q;
	size_t i;

	cJSON_AddNumberToObject(o, "pid", (double)getpid());
	cJSON_AddStringToObject(o, "state", sd->ready ? "running" : "starting");
	cJSON_AddNumberToObject(o, "labs", (double)sd->n_labs);
	cJSON_AddNumberToObject(o, "environments", (double)sd->n_envs);
	cJSON_AddNumberToObject(o, "invocations", (double)sd->n_invocations);
	cJSON_AddStringToObject(o, "cgroups", cgroups_describe(sd->cgroups));
	cJSON_AddNumberToObject(o, "idle_seconds", sd->idle_s);
	cJSON_AddNumberToObject(o, "memory_mb", (double)(sd->memory_most >> 20));
	if (*sd->endpoint)
		cJSON_AddStringToObject(o, "endpoint", sd->endpoint);
	else
		cJSON_AddNullToObject(o, "endpoint");
	q = cJSON_AddObjectToObject(o, "limits");
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		cJSON_AddNumberToObject(q, limits[i].name, limits[i].value);
	http_reply_json(r, 200, o);
}

static void get_logs(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	struct slab *l = slab_find(sd, lab);
	const char *node = http_query(r, "node"), *stream = http_query(r, "stream");
	auto_buf struct buf b = BUF_INIT;
	int rc;

	if (!l || !l->lab) {
		fail(r, ERR_NO_LAB, "there is no lab %s", lab);
		return;
	}
	if (node && !instances_programs(l->lab, node) && !lab_function(l->lab, node)) {
		fail(r, ERR_NO_NODE, "lab %s has no node %s", lab, node);
		return;
	}
	if (stream || http_query(r, "streams")) {
		if (!node || !lab_function(l->lab, node)) {
			fail(r, ERR_INVALID_PARAMETER, "streams are a function's");
			return;
		}
		rc = logs_read_streams(l, node, stream, &b);
		if (rc == -ENOENT) {
			fail(r, ERR_NO_NODE, "function %s has no stream %s", node, stream);
			return;
		}
	} else {
		rc = logs_read(l, node, &b);
	}
	if (rc < 0)
		fail(r, ERR_STATE, "logs: %s", strerror(-rc));
	else
		http_reply(r, 200, "text/plain; charset=utf-8", buf_str(&b), b.len);
}

static void get_bill(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	const struct slab *l = slab_find(sd, lab);
	cJSON *functions = NULL, *o;
	int rc;

	if (!l || !l->lab) {
		fail(r, ERR_NO_LAB, "there is no lab %s", lab);
		return;
	}
	rc = bill_read(sd, lab, &functions);
	o = rc == 0 ? cJSON_CreateObject() : NULL;
	if (o) {
		cJSON_AddStringToObject(o, "lab", lab);
		cJSON_AddItemToObject(o, "functions", functions);
		http_reply_json(r, 200, o);
	} else {
		cJSON_Delete(functions);
		fail(r, ERR_STATE, "bill: %s", strerror(rc ? -rc : ENOMEM));
	}
}

static void get_credentials(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	const struct slab *l = slab_find(sd, lab);

	if (l && l->lab)
		listen_credentials(l, r);
	else
		fail(r, ERR_NO_LAB, "there is no lab %s", lab);
}

/* ---- routes ---- */

static bool is_lab_name(const char *s)
{
	return *s && strlen(s) < 64 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

static void serve_lab(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	const char *method = http_method(r);
	char path[120];

	if (!strcmp(method, "PUT")) {
		front_put(sd, r, lab);
	} else if (!strcmp(method, "DELETE")) {
		front_delete(sd, r, lab);
	} else if (!strcmp(method, "GET")) {
		(void)snprintf(path, sizeof(path), "/v1/labs/%s", lab);
		proxy(sd, r, path, lab, merge_lab);
	} else {
		fail(r, ERR_METHOD, "%s %s", method, http_path(r));
	}
}

static void serve_lab_part(struct sandboxd *sd, struct http_req *r, const char *lab,
			   const char *part)
{
	const char *method = http_method(r);
	bool get = !strcmp(method, "GET"), post = !strcmp(method, "POST");
	char path[160];

	if (!strcmp(part, "plan") && post) {
		front_plan(sd, r, lab);
	} else if (!strcmp(part, "probes") && post) {
		prober_handle(sd, r, lab);
	} else if (!strcmp(part, "logs") && get) {
		get_logs(sd, r, lab);
	} else if (!strcmp(part, "bill") && get) {
		get_bill(sd, r, lab);
	} else if (!strcmp(part, "credentials") && get) {
		get_credentials(sd, r, lab);
	} else if (!strcmp(part, "document") && get) {
		(void)snprintf(path, sizeof(path), "/v1/labs/%s/document", lab);
		proxy(sd, r, path, lab, NULL);
	} else if (!strcmp(part, "plan") || !strcmp(part, "probes") || !strcmp(part, "logs") ||
		   !strcmp(part, "document") || !strcmp(part, "credentials") ||
		   !strcmp(part, "bill")) {
		fail(r, ERR_METHOD, "%s %s", method, http_path(r));
	} else {
		fail(r, ERR_NO_ROUTE, "%s %s: there is no such operation", method, http_path(r));
	}
}

static void serve_connections(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	const char *method = http_method(r);

	if (!strcmp(method, "POST"))
		held_open(sd, r, lab);
	else if (!strcmp(method, "GET"))
		held_list(sd, r, lab);
	else
		fail(r, ERR_METHOD, "%s %s", method, http_path(r));
}

static void serve_connection(struct sandboxd *sd, struct http_req *r, const char *lab,
			     const char *name)
{
	const char *method = http_method(r);

	if (!strcmp(method, "POST"))
		held_check(sd, r, lab, name);
	else if (!strcmp(method, "DELETE"))
		held_close(sd, r, lab, name);
	else
		fail(r, ERR_METHOD, "%s %s", method, http_path(r));
}

void serve_request(struct http_req *r, void *arg)
{
	struct sandboxd *sd = arg;
	const char *path = http_path(r), *method = http_method(r);
	char lab[80] = "", part[40] = "", name[80] = "", more[8];

	if (invoke_is_path(path)) {
		invoke_handle(sd, r, NULL);
		return;
	}
	if (!strcmp(path, "/version") && !strcmp(method, "GET")) {
		get_version(r);
	} else if (!strcmp(path, "/v1/status") && !strcmp(method, "GET")) {
		get_status(sd, r);
	} else if (!strcmp(path, "/v1/labs") && !strcmp(method, "GET")) {
		proxy(sd, r, "/v1/labs", "", merge_list);
	} else if (strncmp(path, "/v1/labs/", 9) != 0 ||
		   http_segment(r, 5, more, sizeof(more)) != -ENOENT) {
		fail(r, ERR_NO_ROUTE, "%s %s: there is no such operation", method, path);
	} else if (http_segment(r, 2, lab, sizeof(lab)) < 0 || !is_lab_name(lab)) {
		fail(r, ERR_NO_LAB, "there is no such lab");
	} else if (http_segment(r, 3, part, sizeof(part)) == -ENOENT) {
		serve_lab(sd, r, lab);
	} else if (http_segment(r, 4, name, sizeof(name)) == -ENOENT) {
		if (!strcmp(part, "connections"))
			serve_connections(sd, r, lab);
		else
			serve_lab_part(sd, r, lab, part);
	} else if (!strcmp(part, "connections")) {
		serve_connection(sd, r, lab, name);
	} else {
		fail(r, ERR_NO_ROUTE, "%s %s: there is no such operation", method, path);
	}
}
