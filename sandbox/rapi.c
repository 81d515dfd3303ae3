/* SPDX-License-Identifier: MIT */
/*
 * rapi - requests of the Runtime API, one connection at a time in order, and
 * what each may do in which state (rapi.h).
 */
#include "sandbox/rapi.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hparse.h"
#include "lib/mutant.h"
#include "sandbox/extension.h"
#include "sandbox/limits.h"

#define BASE "/2018-06-01/runtime/"
#define EXTENSIONS "/2020-01-01/extension/"

static const char *const state_names[] = {
	[RAPI_STARTING] = "Started",   [RAPI_WAITING] = "Ready",    [RAPI_RUNNING] = "Running",
	[RAPI_ANSWERED] = "Responded", [RAPI_FAILED] = "InitError", [RAPI_STREAMING] = "Responding",
};

void rapi_init(struct rapi *a, const struct rapi_ops *ops, void *arg)
{
	*a = (struct rapi){ .state = RAPI_STARTING, .ops = ops, .arg = arg };
}

void rapi_reset(struct rapi *a)
{
	a->state = RAPI_STARTING;
	a->id[0] = '\0';
	a->parked = NULL;
}

/* ---- answers ---- */

static void answer(struct rapi_conn *c, const char *status, const char *body)
{
	buf_printf(&c->out,
		   "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
		   "Content-Length: %zu\r\n%s\r\n%s",
		   status, strlen(body), c->close ? "Connection: close\r\n" : "", body);
}

void rapi_answer_error(struct rapi_conn *c, const char *status, const char *type,
		       const char *message)
{
	auto_buf struct buf b = BUF_INIT;

	buf_adds(&b, "{\"errorMessage\":");
	buf_json(&b, message);
	buf_adds(&b, ",\"errorType\":");
	buf_json(&b, type);
	buf_adds(&b, "}\n");
	answer(c, status, buf_str(&b));
}

static void answer_state(struct rapi_conn *c, const char *wanted)
{
	char message[160];

	(void)snprintf(message, sizeof(message),
		       "State transition from %s to %s failed for "
		       "runtime. Error: State transition is not allowed",
		       state_names[c->api->state], wanted);
	rapi_answer_error(c, "403 Forbidden", "InvalidStateTransition", message);
}

void rapi_answer_accepted(struct rapi_conn *c)
{
	answer(c, MUTANT("rapi-accepted") ? "200 OK" : "202 Accepted", "{\"status\":\"OK\"}\n");
}

/* ---- error types ---- */

/* (Runtime|Function).Xxx */
static bool is_known_form(const char *type)
{
	const char *s = strchr(type, '.');
	size_t n = s ? (size_t)(s - type) : 0;

	if (!(n == 7 && !strncmp(type, "Runtime", 7)) && !(n == 8 && !strncmp(type, "Function", 8)))
		return false;
	if (!isupper((unsigned char)*++s))
		return false;
	while (isalpha((unsigned char)*s))
		s++;
	return !*s;
}

const char *rapi_error_type(const char *type, char *ret, size_t size)
{
	if (!type || !is_known_form(type))
		type = type && !strncmp(type, "Function.", 9) ? "Function.Unknown" :
								"Runtime.Unknown";
	(void)snprintf(ret, size, "%s", type);
	return ret;
}

static const char *error_type_of(const struct hparse_request *r)
{
	const char *type = hparse_header(r, "Lambda-Runtime-Function-Error-Type");

	return type ? type : "";
}

/* ---- operations ---- */

static void do_next(struct rapi_conn *c)
{
	struct rapi *a = c->api;

	if (a->state != RAPI_STARTING && a->state != RAPI_ANSWERED) {
		answer_state(c, "Ready");
		return;
	}
	a->state = RAPI_WAITING;
	a->parked = c;
	c->waits = true;
	a->ops->next(a->arg);
}

/* may this id be answered now?  Answers itself if not */
static bool check_id(struct rapi_conn *c, const char *id, size_t len, const char *wanted)
{
	struct rapi *a = c->api;

	if (!a->id[0] || a->state == RAPI_STREAMING) {
		answer_state(c, wanted);
		return false;
	}
	if (!MUTANT("rapi-id") &&
	    (a->state != RAPI_RUNNING || strlen(a->id) != len || strncmp(a->id, id, len) != 0)) {
		rapi_answer_error(c, "400 Bad Request", "InvalidRequestID", "Invalid request ID");
		return false;
	}
	return true;
}

/* RAPI-5 */
static void end_stream(struct rapi_conn *c, const struct hparse_request *r)
{
	const char *type = hparse_header(r, "Lambda-Runtime-Function-Error-Type");
	const char *body = hparse_header(r, "Lambda-Runtime-Function-Error-Body");
	struct rapi *a = c->api;

	c->streaming = false;
	a->state = RAPI_ANSWERED;
	rapi_answer_accepted(c);
	if (MUTANT("stream-trailers"))
		type = NULL;
	a->ops->stream_end(a->id, type, body ? body : "", a->arg);
}

/* who answers in pieces goes away in the middle of them */
static void break_stream(struct rapi_conn *c)
{
	struct rapi *a = c->api;

	if (!c->streaming)
		return;
	c->streaming = false;
	if (a->state != RAPI_STREAMING || MUTANT("stream-breaks"))
		return;
	a->state = RAPI_ANSWERED;
	a->ops->stream_end(a->id, "Runtime.TruncatedResponse", "", a->arg);
}

static void do_response(struct rapi_conn *c, const struct hparse_request *r, const char *id,
			size_t len)
{
	const char *mode = hparse_header(r, "Lambda-Runtime-Function-Response-Mode");
	struct rapi *a = c->api;

	if (c->streaming) {
		end_stream(c, r);
		return;
	}
	if (!check_id(c, id, len, "InvocationResponse"))
		return;
	if (mode && strcmp(mode, "streaming") != 0) {
		rapi_answer_error(c, "400 Bad Request", "InvalidFunctionResponseMode",
				  "Invalid function response mode");
		return;
	}
	a->state = RAPI_ANSWERED;
	rapi_answer_accepted(c);
	a->ops->response(a->id, buf_str(&r->body), r->body.len, a->arg);
}

static void do_error(struct rapi_conn *c, const struct hparse_request *r, const char *id,
		     size_t len)
{
	struct rapi *a = c->api;

	if (!check_id(c, id, len, "InvocationErrorResponse"))
		return;
	a->state = RAPI_ANSWERED;
	rapi_answer_accepted(c);
	a->ops->error(a->id, error_type_of(r), buf_str(&r->body), r->body.len, a->arg);
}

static void do_init_error(struct rapi_conn *c, const struct hparse_request *r)
{
	struct rapi *a = c->api;

	if (a->state != RAPI_STARTING) {
		answer_state(c, "InitError");
		return;
	}
	a->state = RAPI_FAILED;
	rapi_answer_accepted(c);
	a->ops->init_error(error_type_of(r), buf_str(&r->body), r->body.len, a->arg);
}

static bool is_method(struct rapi_conn *c, const struct hparse_request *r, const char *method)
{
	if (!strcmp(r->method, method))
		return true;
	rapi_answer_error(c, "405 Method Not Allowed", "MethodNotAllowed", "Method not allowed");
	return false;
}

/* "invocation/ID/response": the id's place; NULL: another path */
static const char *path_id(const char *path, const char *verb, size_t *ret_len)
{
	const char *id = path + strlen("invocation/"), *end;

	if (strncmp(path, "invocation/", strlen("invocation/")) != 0)
		return NULL;
	end = strchr(id, '/');
	if (!end || strcmp(end + 1, verb) != 0)
		return NULL;
	*ret_len = (size_t)(end - id);
	return id;
}

static void handle(struct rapi_conn *c, const struct hparse_request *r)
{
	const char *path = buf_str(&r->target), *id;
	size_t len;

	c->close = !r->keep_alive;
	if (c->api->extensions && !strncmp(path, EXTENSIONS, strlen(EXTENSIONS))) {
		extension_request(c->api->extensions, c, r, path + strlen(EXTENSIONS));
		return;
	}
	if (strncmp(path, BASE, strlen(BASE)) != 0) {
		rapi_answer_error(c, "404 Not Found", "NotFound", "No such operation");
		return;
	}
	path += strlen(BASE);
	if (!strcmp(path, "invocation/next")) {
		if (is_method(c, r, "GET"))
			do_next(c);
	} else if (!strcmp(path, "init/error")) {
		if (is_method(c, r, "POST"))
			do_init_error(c, r);
	} else if ((id = path_id(path, "response", &len))) {
		if (is_method(c, r, "POST"))
			do_response(c, r, id, len);
	} else if ((id = path_id(path, "error", &len))) {
		if (is_method(c, r, "POST"))
			do_error(c, r, id, len);
	} else {
		rapi_answer_error(c, "404 Not Found", "NotFound", "No such operation");
	}
}

/* ---- connections ---- */

/* anything else comes whole, and is refused or not by then */
static bool wants_stream(const struct hparse_request *r, void *arg)
{
	const char *mode = hparse_header(r, "Lambda-Runtime-Function-Response-Mode");
	const char *type = hparse_header(r, "Content-Type");
	const char *path = buf_str(&r->target), *id;
	struct rapi_conn *c = arg;
	struct rapi *a = c->api;
	size_t len;

	if (!mode || strcmp(mode, "streaming") != 0 || strcmp(r->method, "POST") != 0 ||
	    strncmp(path, BASE, strlen(BASE)) != 0)
		return false;
	id = path_id(path + strlen(BASE), "response", &len);
	if (!id || a->state != RAPI_RUNNING || strlen(a->id) != len || strncmp(a->id, id, len) != 0)
		return false;
	a->state = RAPI_STREAMING;
	c->streaming = true;
	a->ops->stream(a->id, type ? type : "", a->arg);
	return true;
}

static void on_piece(const char *data, size_t size, void *arg)
{
	struct rapi_conn *c = arg;

	/* after a reset there is nobody to tell */
	if (c->streaming)
		c->api->ops->stream_piece(c->api->id, data, size, c->api->arg);
}

struct rapi_conn *rapi_conn_new(struct rapi *a)
{
	static const struct hparse_limits limits = { LIMIT_HEAD, LIMIT_RESPONSE };
	struct rapi_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->api = a;
	c->parser = hparse_new(&limits);
	if (!c->parser) {
		free(c);
		return NULL;
	}
	hparse_set_stream(c->parser, &(struct hparse_stream){ wants_stream, on_piece, c });
	return c;
}

struct rapi_conn *rapi_conn_free(struct rapi_conn *c)
{
	if (!c)
		return NULL;
	break_stream(c);
	if (c->api->parked == c) {
		/* it went away while it waited: it may ask again */
		c->api->parked = NULL;
		if (c->api->state == RAPI_WAITING)
			c->api->state = c->api->id[0] ? RAPI_ANSWERED : RAPI_STARTING;
	}
	if (c->api->extensions)
		extension_forget(c->api->extensions, c);
	hparse_free(c->parser);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
	return NULL;
}

/* the body was past the limit: of a response that ends the invocation */
static void too_large(struct rapi_conn *c)
{
	const struct hparse_request *r = hparse_request(c->parser);
	const char *path = buf_str(&r->target);
	struct rapi *a = c->api;
	char message[100];
	const char *id;
	size_t len;

	(void)snprintf(message, sizeof(message),
		       "Exceeded maximum allowed payload size (%d bytes).", LIMIT_RESPONSE);
	rapi_answer_error(c, "413 Request Entity Too Large", "RequestEntityTooLarge", message);
	if (strncmp(path, BASE, strlen(BASE)) != 0)
		return;
	id = path_id(path + strlen(BASE), "response", &len);
	if (id && a->state == RAPI_RUNNING && strlen(a->id) == len && !strncmp(a->id, id, len)) {
		a->state = RAPI_ANSWERED;
		a->ops->too_large(a->id, a->arg);
	}
}

static void refuse(struct rapi_conn *c, int fault)
{
	c->close = true;
	buf_done(&c->in);
	break_stream(c);
	if (fault == -EMSGSIZE)
		too_large(c);
	else if (fault == -E2BIG)
		rapi_answer_error(c, "431 Request Header Fields Too Large",
				  "RequestHeaderFieldsTooLarge", "The request's head is too large");
	else if (fault == -ENOMEM)
		rapi_answer_error(c, "503 Service Unavailable", "OutOfMemory", "Out of memory");
	else
		rapi_answer_error(c, "400 Bad Request", "InvalidRequest", "Not an HTTP request");
}

/* takes requests until one is parked, or the bytes end; returns bytes taken */
static size_t take_requests(struct rapi_conn *c, const char *data, size_t size)
{
	size_t used, at = 0;
	int r;

	while (!c->close && !c->waits) {
		r = hparse_feed(c->parser, data + at, size - at, &used);
		at += used;
		if (r < 0) {
			refuse(c, r);
			return size;
		}
		if (!r)
			return size;
		handle(c, hparse_request(c->parser));
		hparse_take(c->parser);
		if (at == size)
			break;
	}
	return at;
}

void rapi_conn_feed(struct rapi_conn *c, const char *data, size_t size)
{
	auto_buf struct buf all = BUF_INIT;
	size_t used;

	if (c->close)
		return;
	if (c->in.len + size > LIMIT_MESSAGE) {
		refuse(c, -E2BIG);
		return;
	}
	if (c->in.len) {
		all = c->in;
		c->in = BUF_INIT;
		buf_add(&all, data, size);
		if (all.failed) {
			refuse(c, -ENOMEM);
			return;
		}
		data = all.s;
		size = all.len;
	}
	used = take_requests(c, data, size);
	if (used < size && !c->close)
		buf_add(&c->in, data + used, size - used);
}

void rapi_conn_end(struct rapi_conn *c)
{
	break_stream(c);
	if (hparse_midway(c->parser) && !c->close) {
		c->close = true;
		rapi_answer_error(c, "400 Bad Request", "TruncatedHTTPRequest",
				  "HTTP request was truncated");
	}
	c->close = true;
}

void rapi_park(struct rapi_conn *c)
{
	c->waits = true;
}

void rapi_unpark(struct rapi_conn *c)
{
	c->waits = false;
	if (c->in.len)
		rapi_conn_feed(c, "", 0);
}

/* ---- invocations ---- */

int rapi_invoke(struct rapi *a, const struct rapi_invocation *i)
{
	struct rapi_conn *c = a->parked;
	struct buf *b;

	if (a->state != RAPI_WAITING || !c)
		return -EINVAL;
	b = &c->out;
	buf_printf(b,
		   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Lambda-Runtime-Aws-Request-Id: %s\r\n"
		   "Lambda-Runtime-Deadline-Ms: %" PRId64 "\r\n"
		   "Lambda-Runtime-Invoked-Function-Arn: %s\r\n"
		   "Lambda-Runtime-Trace-Id: %s\r\n",
		   i->id, MUTANT("rapi-deadline") ? 0 : i->deadline_ms, i->arn, i->trace_id);
	if (i->client_context && *i->client_context && !MUTANT("client-context"))
		buf_printf(b, "Lambda-Runtime-Client-Context: %s\r\n", i->client_context);
	if (c->close)
		buf_adds(b, "Connection: close\r\n");
	buf_printf(b, "Content-Length: %zu\r\n\r\n", i->size);
	buf_add(b, i->payload, i->size);
	if (b->failed)
		return -ENOMEM;
	(void)snprintf(a->id, sizeof(a->id), "%s", i->id);
	a->state = RAPI_RUNNING;
	a->parked = NULL;
	rapi_unpark(c);
	return 0;
}
