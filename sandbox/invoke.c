/* SPDX-License-Identifier: MIT */
/*
 * invoke - see invoke.h.  Payloads pass as bytes: they are scanned once, because
 * AWS refuses what isn't JSON, and never parsed.
 */
#include "sandbox/invoke.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/async.h"
#include "sandbox/configuration.h"
#include "sandbox/env.h"
#include "sandbox/invocation.h"
#include "sandbox/invoke_stream.h"
#include "sandbox/limits.h"
#include "sandbox/states.h"
#include "sandbox/throttle.h"
#include "sandbox/versions.h"

#define PREFIX "/2015-03-31/functions"
#define PROVISIONED_PREFIX "/2019-09-30/functions/"
#define SUFFIX "/invocations"
#define STREAM_PREFIX "/2021-11-15/functions/"
#define STREAM_SUFFIX "/response-streaming-invocations"
#define JSON_DEPTH_MAX 512

static bool ends_with(const char *path, const char *suffix)
{
	size_t len = strlen(path), n = strlen(suffix);

	return len >= n && !strcmp(path + len - n, suffix);
}

/* INV-5 */
static bool is_stream_path(const char *path)
{
	return !strncmp(path, STREAM_PREFIX, strlen(STREAM_PREFIX)) &&
	       ends_with(path, STREAM_SUFFIX);
}

bool invoke_is_path(const char *path)
{
	size_t len = strlen(PREFIX);

	return (!strncmp(path, PREFIX, len) && (!path[len] || path[len] == '/')) ||
	       !strncmp(path, PROVISIONED_PREFIX, strlen(PROVISIONED_PREFIX)) ||
	       is_stream_path(path);
}

/* ---- answers ---- */

static void add_id(struct http_req *r, const char *id)
{
	char fresh[37];

	if (!id) {
		uuid4(fresh);
		id = fresh;
	}
	http_add_header(r, "x-amzn-RequestId", id);
}

void invoke_refuse(struct http_req *r, int status, const char *type, const char *fmt, ...)
{
	cJSON *o = cJSON_CreateObject();
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_id(r, NULL);
	http_add_header(r, "x-amzn-ErrorType", type);
	cJSON_AddStringToObject(o, "Type", status >= 500 ? "Server" : "User");
	cJSON_AddStringToObject(o, "message", text);
	cJSON_AddStringToObject(o, "Message", text);
	http_reply_json(r, status, o);
}

void invoke_accepted(struct http_req *r, const char *id)
{
	add_id(r, id);
	http_reply(r, 202, NULL, NULL, 0);
}

static void unknown(struct http_req *r)
{
	invoke_refuse(r, 501, "UnsupportedOperation",
		      "%s %s: this build has Invoke, GetFunction, GetFunctionConfiguration, "
		      "ListFunctions, ListVersionsByFunction, ListAliases, GetAlias and "
		      "GetProvisionedConcurrencyConfig",
		      http_method(r), http_path(r));
}

static void refuse_throttled(struct http_req *r, const char *reason)
{
	cJSON *o = cJSON_CreateObject();

	add_id(r, NULL);
	http_add_header(r, "x-amzn-ErrorType", "TooManyRequestsException");
	http_add_header(r, "Retry-After", "1");
	cJSON_AddStringToObject(o, "Reason", reason);
	cJSON_AddStringToObject(o, "Type", "User");
	cJSON_AddStringToObject(o, "message", "Rate Exceeded.");
	cJSON_AddStringToObject(o, "Message", "Rate Exceeded.");
	http_reply_json(r, 429, o);
}

/* ---- JSON ---- */

struct scan {
	const char *at, *end, *why;
};

static void skip_space(struct scan *s)
{
	while (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at)
		s->at++;
}

static bool fault(struct scan *s, const char *why)
{
	s->why = why;
	return false;
}

static bool scan_string(struct scan *s)
{
	for (s->at++; s->at < s->end; s->at++) {
		unsigned char c = (unsigned char)*s->at;

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 0x20)
			return fault(s, "a control character in a string");
		if (c == '\\' && (++s->at == s->end || !strchr("\"\\/bfnrtu", *s->at)))
			return fault(s, "an unknown escape in a string");
	}
	return fault(s, "a string without an end");
}

static bool scan_number(struct scan *s)
{
	const char *digits;

	if (*s->at == '-')
		s->at++;
	digits = s->at;
	while (s->at < s->end && isdigit((unsigned char)*s->at))
		s->at++;
	if (s->at == digits || (*digits == '0' && s->at > digits + 1))
		return fault(s, "not a number");
	if (s->at < s->end && *s->at == '.') {
		digits = ++s->at;
		while (s->at < s->end && isdigit((unsigned char)*s->at))
			s->at++;
		if (s->at == digits)
			return fault(s, "not a number");
	}
	if (s->at < s->end && (*s->at | 32) == 'e') {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		digits = s->at;
		while (s->at < s->end && isdigit((unsigned char)*s->at))
			s->at++;
		if (s->at == digits)
			return fault(s, "not a number");
	}
	return true;
}

static bool scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - s->at) >= n && !memcmp(s->at, words[i], n)) {
			s->at += n;
			return true;
		}
	}
	return fault(s, "not a value");
}

static bool scan_scalar(struct scan *s)
{
	if (*s->at == '"')
		return scan_string(s);
	if (*s->at == '-' || isdigit((unsigned char)*s->at))
		return scan_number(s);
	return scan_word(s);
}

/* "key": before a member of an object */
static bool scan_key(struct scan *s)
{
	skip_space(s);
	if (s->at == s->end || *s->at != '"')
		return fault(s, "a member without a name");
	if (!scan_string(s))
		return false;
	skip_space(s);
	if (s->at == s->end || *s->at != ':')
		return fault(s, "a member without a colon");
	s->at++;
	return true;
}

static bool scan_value(struct scan *s)
{
	char open[JSON_DEPTH_MAX];
	size_t depth = 0;

	for (;;) {
		skip_space(s);
		if (s->at == s->end)
			return fault(s, "it ends too early");
		if (*s->at == '{' || *s->at == '[') {
			if (depth == JSON_DEPTH_MAX)
				return fault(s, "too many levels");
			open[depth++] = *s->at++;
			skip_space(s);
			if (s->at == s->end || *s->at != open[depth - 1] + 2) {
				if (open[depth - 1] == '{' && !scan_key(s))
					return false;
				continue;
			}
		} else if (!scan_scalar(s)) {
			return false;
		}
		/* what may follow a value; '{' + 2 is '}', '[' + 2 is ']' */
		for (skip_space(s); depth && s->at < s->end && *s->at == open[depth - 1] + 2;
		     skip_space(s)) {
			s->at++;
			depth--;
		}
		if (!depth)
			return true;
		if (s->at == s->end)
			return fault(s, "it ends too early");
		if (*s->at++ != ',')
			return fault(s, "a comma or an end is missing");
		if (open[depth - 1] == '{' && !scan_key(s))
			return false;
	}
}

bool invoke_is_json(const char *text, size_t size, const char **why)
{
	struct scan s = { .at = text, .end = text + size };

	if (!scan_value(&s)) {
		*why = s.why;
		return false;
	}
	skip_space(&s);
	*why = "something follows the value";
	return s.at == s.end;
}

/* ---- what is asked for ---- */

struct target {
	struct slab *slab;
	struct func *func;
	char lab[80], name[160], qualifier[130];
};

/* X-Vpclab-Lab, or the access key id of a signed request */
static void lab_name(const struct http_req *r, char *ret, size_t size)
{
	const char *name = http_header(r, "X-Vpclab-Lab"), *auth;

	*ret = '\0';
	if (!name) {
		auth = http_header(r, "Authorization");
		name = auth ? strstr(auth, "Credential=") : NULL;
		if (!name)
			return;
		name += strlen("Credential=");
	}
	(void)snprintf(ret, size, "%.*s", (int)strcspn(name, "/, "), name);
}

/* NAME, NAME:QUALIFIER, or an ARN of either */
static void split_name(const char *whole, struct target *t)
{
	const char *arn = strstr(whole, ":function:"), *colon;

	if (arn)
		whole = arn + strlen(":function:");
	colon = strchr(whole, ':');
	(void)snprintf(t->name, sizeof(t->name), "%.*s",
		       (int)(colon ? (size_t)(colon - whole) : strlen(whole)), whole);
	if (colon)
		(void)snprintf(t->qualifier, sizeof(t->qualifier), "%s", colon + 1);
}

/* answers itself where there is nothing to invoke; "invoked": an alias may stand for no
 * qualifier */
static bool find_target(struct sandboxd *sd, struct http_req *r, const char *lab, bool invoked,
			struct target *t)
{
	const char *q = http_query(r, "Qualifier");
	char whole[300], region[64] = "us-east-1";
	const char *counts = NULL;

	if (lab)
		(void)snprintf(t->lab, sizeof(t->lab), "%s", lab);
	else
		lab_name(r, t->lab, sizeof(t->lab));
	if (http_segment(r, 2, whole, sizeof(whole)) < 0 || !t->lab[0]) {
		invoke_refuse(r, 400, "InvalidParameterValueException",
			      "The lab is named by the header X-Vpclab-Lab");
		return false;
	}
	split_name(whole, t);
	if (q)
		(void)snprintf(t->qualifier, sizeof(t->qualifier), "%s", q);
	t->slab = slab_find(sd, t->lab);
	t->func = t->slab && !t->slab->going ?
			  versions_find(t->slab, t->name, t->qualifier, &counts) :
			  NULL;
	if (counts && counts != t->qualifier && invoked)
		(void)snprintf(t->qualifier, sizeof(t->qualifier), "%s", counts);
	else if (t->func && !t->qualifier[0])
		t->func = func_find(t->slab, t->name);
	if (t->func)
		(void)snprintf(region, sizeof(region), "%s", t->func->lab->region);
	else if (t->slab && t->slab->lab)
		(void)snprintf(region, sizeof(region), "%s", t->slab->lab->region);
	if (t->func)
		return true;
	invoke_refuse(r, 404, "ResourceNotFoundException",
		      "Function not found: arn:aws:lambda:%s:%s:function:%s:%s", region, ACCOUNT,
		      t->name, *t->qualifier ? t->qualifier : "$LATEST");
	return false;
}

/* ---- limits ---- */

/* what the runtime gets as a header: JSON on one line; caller frees.  false: it isn't JSON */
static bool decode_context(const char *text, char **ret)
{
	const char *why;
	size_t size, i;

	*ret = base64_decode(text, strlen(text), &size);
	if (!*ret || !invoke_is_json(*ret, size, &why))
		return false;
	/* outside of strings, where JSON has none, these are spaces */
	for (i = 0; i < size; i++)
		if (strchr("\r\n\t", (*ret)[i]))
			(*ret)[i] = ' ';
	return true;
}

static bool check_payload(struct http_req *r)
{
	const char *type = http_header(r, "Content-Type"), *why = "";
	const char *context = http_header(r, "X-Amz-Client-Context");
	const char *kind = http_header(r, "X-Amz-Invocation-Type");
	const bool event = kind && !strcmp(kind, "Event") && !MUTANT("async-limit");
	const size_t most = event ? LIMIT_EVENT : LIMIT_REQUEST;
	auto_free char *decoded = NULL;
	size_t size;
	const char *body = http_body(r, &size);

	if (size > most && !MUTANT("request-limit")) {
		invoke_refuse(r, 413, "RequestEntityTooLargeException",
			      "Request must be smaller than %zu "
			      "bytes for the InvokeFunction operation",
			      most);
		return false;
	}
	/* curl's own choice is no statement about the content */
	if (type && !strcasestr(type, "json") && !strcasestr(type, "octet-stream") &&
	    strcasecmp(type, "application/x-www-form-urlencoded") != 0 && !MUTANT("media-type")) {
		invoke_refuse(r, 415, "UnsupportedMediaTypeException", "Unsupported Media Type");
		return false;
	}
	if (context && strlen(context) > LIMIT_CONTEXT && !MUTANT("context-limit")) {
		invoke_refuse(r, 400, "InvalidParameterValueException",
			      "Client context must be no more than %d bytes when base64-encoded",
			      LIMIT_CONTEXT);
		return false;
	}
	if (context && !decode_context(context, &decoded)) {
		invoke_refuse(r, 400, "InvalidRequestContentException",
			      "Client context must be a valid Base64-encoded JSON object.");
		return false;
	}
	if (size && !invoke_is_json(body, size, &why) && !MUTANT("request-json")) {
		invoke_refuse(r, 400, "InvalidRequestContentException",
			      "Could not parse request body into json: %s", why);
		return false;
	}
	return true;
}

/* LN-23, LN-40 */
static bool check_state(struct http_req *r, const struct func *f)
{
	const char *type = NULL;
	char text[400];
	int status = states_refusal(f, &type, text, sizeof(text));

	if (status)
		invoke_refuse(r, status, type, "%s", text);
	return !status;
}

/* ---- the answer ---- */

static void on_done(struct invocation *i, const struct env_result *res)
{
	struct http_req *r = i->req;
	auto_free char *log = i->tail ? base64(res->log_tail, res->log_size) : NULL;

	add_id(r, i->id);
	if (!MUTANT("executed-version"))
		http_add_header(r, "X-Amz-Executed-Version", i->version);
	if (res->error && !MUTANT("function-error"))
		http_add_header(r, "X-Amz-Function-Error", "Unhandled");
	if (log)
		http_add_header(r, "X-Amz-Log-Result", log);
	if (res->size)
		http_reply(r, 200, "application/json", res->body, res->size);
	else
		http_reply(r, 200, "application/json", "null", 4);
	invocation_free(i);
}

static struct invocation *asked_for(const struct target *t, struct http_req *r)
{
	const char *context = http_header(r, "X-Amz-Client-Context");
	const char *tail = http_header(r, "X-Amz-Log-Type");
	const char *trace = http_header(r, "X-Amzn-Trace-Id");
	auto_free char *decoded = NULL;
	struct invocation *i;
	const void *body;
	size_t size;

	body = http_body(r, &size);
	/* no payload is an empty event */
	if (!size) {
		body = "{}";
		size = 2;
	}
	if (context && !decode_context(context, &decoded))
		return NULL;
	i = invocation_new(t->func, t->qualifier, NULL, body, size, decoded,
			   trace && strlen(trace) < 256 ? trace : NULL);
	if (!i)
		return NULL;
	i->req = r;
	i->done = on_done;
	i->tail = tail && !strcasecmp(tail, "Tail");
	return i;
}

static void run(struct sandboxd *sd, struct http_req *r, const struct target *t, bool stream)
{
	const char *reason = throttle_request(t->func, wall_ms());
	struct invocation *i;
	struct err e = { 0 };

	if (reason) {
		refuse_throttled(r, reason);
		return;
	}
	if (sd->n_invocations >= LIMIT_INVOCATIONS) {
		refuse_throttled(r, "CallerRateLimitExceeded");
		return;
	}
	i = asked_for(t, r);
	if (i && stream && invoke_stream_prepare(i, sd->loop) < 0) {
		invocation_free(i);
		i = NULL;
	}
	if (!i) {
		invoke_refuse(r, 500, "ServiceException", "Out of memory");
		return;
	}
	if (env_invoke(t->func, i, &e) < 0) {
		invoke_stream_cancel(i);
		invocation_free(i);
		if (e.code == ERR_LIMIT)
			refuse_throttled(r, "ConcurrentInvocationLimitExceeded");
		else
			invoke_refuse(r, 500, "ServiceException", "%s", e.msg);
	}
}

/* ---- reading ---- */

static void list(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	cJSON *o = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(o, "Functions");
	const struct slab *l;
	struct target t = { 0 };
	const struct func *f;
	size_t i;

	if (!lab)
		lab_name(r, t.lab, sizeof(t.lab));
	l = slab_find(sd, lab ? lab : t.lab);
	/* in the file's order */
	for (i = 0; l && l->lab && i < l->lab->n_functions; i++) {
		f = func_find(l, l->lab->functions[i].name);
		if (f && f->spec && !f->gone)
			cJSON_AddItemToArray(all, configuration_of(f, ""));
	}
	if (l)
		LIST_FOREACH(f, &l->funcs, link)
			if (f->phase == FUNC_PENDING)
				cJSON_AddItemToArray(all, configuration_of(f, ""));
	add_id(r, NULL);
	http_reply_json(r, 200, o);
}

typedef cJSON *(*part_fn)(const struct target *t, struct http_req *r);

static cJSON *get_function(const struct target *t, struct http_req *r)
{
	cJSON *o = cJSON_CreateObject();

	(void)r;
	cJSON_AddItemToObject(o, "Configuration", configuration_of(t->func, t->qualifier));
	configuration_more(t->func, o);
	return o;
}

static cJSON *get_configuration(const struct target *t, struct http_req *r)
{
	(void)r;
	return configuration_of(t->func, t->qualifier);
}

static cJSON *get_versions(const struct target *t, struct http_req *r)
{
	(void)r;
	return versions_list(t->func);
}

static cJSON *get_aliases(const struct target *t, struct http_req *r)
{
	char name[130] = "";

	return http_segment(r, 4, name, sizeof(name)) == 0 && *name ?
		       versions_alias(t->func, name) :
		       versions_aliases(t->func);
}

static cJSON *get_provisioned(const struct target *t, struct http_req *r)
{
	(void)r;
	return versions_provisioned(t->func);
}

static part_fn find_part(const char *part)
{
	static const struct {
		const char *name;
		part_fn fn;
	} all[] = {
		{ "configuration", get_configuration },
		{ "versions", get_versions },
		{ "aliases", get_aliases },
		{ "provisioned-concurrency", get_provisioned },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(all[i].name, part))
			return all[i].fn;
	return NULL;
}

/* GET functions/, functions/NAME, functions/NAME/configuration and so on */
static void get(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	char part[40] = "", name[300] = "";
	struct target t = { 0 };
	int n = http_segment(r, 2, name, sizeof(name));
	part_fn more;
	cJSON *o;

	if (n == -ENOENT || (!n && !*name)) {
		list(sd, r, lab);
		return;
	}
	more = http_segment(r, 3, part, sizeof(part)) == 0 ? find_part(part) : get_function;
	if (!more) {
		unknown(r);
		return;
	}
	if (!find_target(sd, r, lab, false, &t))
		return;
	o = more(&t, r);
	if (!o) {
		invoke_refuse(r, 404, "ResourceNotFoundException", "%s of %s: there is none", part,
			      t.name);
		return;
	}
	add_id(r, NULL);
	http_reply_json(r, 200, o);
}

void invoke_handle(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	const char *path = http_path(r), *type = http_header(r, "X-Amz-Invocation-Type");
	const bool stream = is_stream_path(path);
	struct target t = { 0 };

	if (!strcmp(http_method(r), "GET")) {
		get(sd, r, lab);
		return;
	}
	if (!stream && !ends_with(path, SUFFIX)) {
		unknown(r);
		return;
	}
	if (strcmp(http_method(r), "POST") != 0) {
		invoke_refuse(r, 405, "MethodNotAllowed", "%s: Invoke is a POST", http_method(r));
		return;
	}
	if (!find_target(sd, r, lab, true, &t) || !check_payload(r) || !check_state(r, t.func))
		return;
	if (type && !strcmp(type, "DryRun") && !MUTANT("dry-run")) {
		add_id(r, NULL);
		http_reply(r, 204, NULL, NULL, 0);
	} else if (type && !strcmp(type, "Event") && !stream) {
		async_accept(t.func, t.qualifier, r);
	} else if (type && strcmp(type, "RequestResponse") != 0) {
		invoke_refuse(r, 400, "InvalidParameterValueException",
			      "X-Amz-Invocation-Type %s: "
			      "RequestResponse, Event or DryRun",
			      type);
	} else {
		run(sd, r, &t, stream);
	}
}
