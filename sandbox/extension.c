/* SPDX-License-Identifier: MIT */
/*
 * extension - see extension.h.
 */
#include "sandbox/extension.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/hparse.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/rapi.h"

#define REGISTER_MAX 4096 /* bytes of a registration */

static const char *const state_names[] = {
	[EXT_STARTED] = "Started", [EXT_REGISTERED] = "Registered", [EXT_READY] = "Ready",
	[EXT_RUNNING] = "Running", [EXT_FAILED] = "Failed",
};

void extension_init(struct extensions *x, const struct extension_ops *ops, void *arg)
{
	*x = (struct extensions){ .ops = ops, .arg = arg };
}

void extension_reset(struct extensions *x)
{
	*x = (struct extensions){ .ops = x->ops, .arg = x->arg };
}

const char *extension_state_name(const struct extension *e)
{
	return state_names[e->state];
}

static struct extension *find(struct extensions *x, const char *name)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (!strcmp(x->v[i].name, name))
			return &x->v[i];
	return NULL;
}

static struct extension *add(struct extensions *x, const char *name, bool external)
{
	struct extension *e;

	if (x->n == EXTENSIONS_MAX || strlen(name) > EXTENSION_NAME_MAX)
		return NULL;
	e = &x->v[x->n++];
	*e = (struct extension){ .external = external };
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	return e;
}

struct extension *extension_add(struct extensions *x, const char *name)
{
	return add(x, name, true);
}

/* ---- answers ---- */

static void refuse(struct rapi_conn *c, const char *type, const char *text, const char *about)
{
	char message[300];

	(void)snprintf(message, sizeof(message), "%s%.128s", text, about);
	rapi_answer_error(c, "403 Forbidden", type, message);
}

static void refuse_state(struct rapi_conn *c, const struct extension *e, const char *wanted)
{
	char message[300];

	(void)snprintf(message, sizeof(message),
		       "State transition from %s to %s failed for extension %s. Error: State "
		       "transition is not allowed",
		       state_names[e->state], wanted, e->name);
	rapi_answer_error(c, "403 Forbidden", "Extension.InvalidExtensionState", message);
}

/* an event for who waits; it runs from now on */
static int tell(struct extension *e, const struct buf *event)
{
	struct rapi_conn *c = e->parked;
	char id[37];

	uuid4(id);
	buf_printf(&c->out,
		   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Lambda-Extension-Event-Identifier: %s\r\n%sContent-Length: %zu\r\n\r\n",
		   id, c->close ? "Connection: close\r\n" : "", event->len);
	buf_add(&c->out, event->s, event->len);
	e->parked = NULL;
	e->state = EXT_RUNNING;
	rapi_unpark(c);
	return c->out.failed ? -ENOMEM : 0;
}

static int tell_shutdown(const struct extensions *x, struct extension *e)
{
	auto_buf struct buf b = BUF_INIT;

	buf_printf(&b,
		   "{\"eventType\":\"SHUTDOWN\",\"shutdownReason\":\"%s\",\"deadlineMs\":%" PRId64
		   "}",
		   x->reason, x->deadline_ms);
	e->shutdown_due = false;
	return b.failed ? -ENOMEM : tell(e, &b);
}

/* ---- operations ---- */

/*
 * The registration's JSON: cJSON isn't in the static init, and all that is wanted of it is
 * which of two words stand in one list.  Each function moves "*s" behind what it read;
 * false: it isn't JSON.
 */
static void skip_space(const char **s)
{
	*s += strspn(*s, " \t\r\n");
}

/* a string, unescaped only as far as our words need; "ret": its text, cut at "size" */
static bool read_string(const char **s, char *ret, size_t size)
{
	size_t n = 0;

	if (*(*s)++ != '"')
		return false;
	for (; **s != '"'; (*s)++) {
		if ((unsigned char)**s < 0x20)
			return false;
		if (**s == '\\' && (unsigned char)*++*s < 0x20)
			return false;
		if (n + 1 < size)
			ret[n++] = **s;
	}
	ret[n] = '\0';
	(*s)++;
	return true;
}

/* any value but the list of events: brackets that close in order are looked at, no more */
static bool skip_value(const char **s)
{
	char open[32], word[8];
	size_t depth = 0;

	do {
		skip_space(s);
		if (**s == '"') {
			if (!read_string(s, word, sizeof(word)))
				return false;
		} else if (**s == '{' || **s == '[') {
			if (depth == sizeof(open))
				return false;
			open[depth++] = *(*s)++ == '{' ? '}' : ']';
		} else if (depth && **s == open[depth - 1]) {
			depth--;
			(*s)++;
		} else if (depth && (**s == ',' || **s == ':')) {
			(*s)++;
		} else {
			size_t n = strspn(*s, "+-.0123456789aeflnrstuE");

			if (!n)
				return false;
			*s += n;
		}
	} while (depth);
	return true;
}

/* 0; -EINVAL: no list of words; -ENOTSUP: a word that we don't know */
static int read_list(const char **s, unsigned *ret)
{
	int r = 0;
	char word[16];

	if (*(*s)++ != '[')
		return -EINVAL;
	skip_space(s);
	if (**s == ']') {
		(*s)++;
		return 0;
	}
	do {
		skip_space(s);
		if (!read_string(s, word, sizeof(word)))
			return -EINVAL;
		if (!strcmp(word, "INVOKE"))
			*ret |= EXT_INVOKE;
		else if (!strcmp(word, "SHUTDOWN"))
			*ret |= EXT_SHUTDOWN;
		else
			r = -ENOTSUP;
		skip_space(s);
	} while (*(*s)++ == ',');
	return (*s)[-1] == ']' ? r : -EINVAL;
}

static int read_events(const struct buf *body, unsigned *ret)
{
	const char *s = buf_str(body);
	int r = 0, fault;
	char name[16];

	*ret = 0;
	skip_space(&s);
	if (body->len > REGISTER_MAX || *s++ != '{')
		return -EINVAL;
	skip_space(&s);
	if (*s == '}')
		return 0;
	do {
		skip_space(&s);
		if (!read_string(&s, name, sizeof(name)))
			return -EINVAL;
		skip_space(&s);
		if (*s++ != ':')
			return -EINVAL;
		skip_space(&s);
		if (strcmp(name, "events") != 0) {
			if (!skip_value(&s))
				return -EINVAL;
		} else {
			fault = read_list(&s, ret);
			if (fault == -EINVAL)
				return fault;
			r = fault ? fault : r;
		}
		skip_space(&s);
	} while (*s++ == ',');
	return s[-1] == '}' ? r : -EINVAL;
}

static void answer_registered(const struct extensions *x, struct rapi_conn *c,
			      const struct extension *e, bool account)
{
	auto_buf struct buf b = BUF_INIT;

	buf_adds(&b, "{\"functionName\":");
	buf_json(&b, x->ops->variable("AWS_LAMBDA_FUNCTION_NAME", x->arg));
	buf_adds(&b, ",\"functionVersion\":");
	buf_json(&b, x->ops->variable("AWS_LAMBDA_FUNCTION_VERSION", x->arg));
	buf_adds(&b, ",\"handler\":");
	buf_json(&b, x->ops->variable("_HANDLER", x->arg));
	if (account)
		buf_adds(&b, ",\"accountId\":\"123456789012\"");
	buf_adds(&b, "}");
	buf_printf(&c->out,
		   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Lambda-Extension-Identifier: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
		   e->id, c->close ? "Connection: close\r\n" : "", b.len, buf_str(&b));
}

static void do_register(struct extensions *x, struct rapi_conn *c, const struct hparse_request *r)
{
	const char *name = hparse_header(r, "Lambda-Extension-Name");
	const char *feature = hparse_header(r, "Lambda-Extension-Accept-Feature");
	struct extension *e;
	unsigned events;
	int fault = read_events(&r->body, &events);

	if (!name || !*name) {
		refuse(c, "Extension.InvalidExtensionName", "Empty extension name", "");
		return;
	}
	if (fault) {
		refuse(c, fault == -ENOTSUP ? "Extension.InvalidEventType" : "InvalidRequestFormat",
		       fault == -ENOTSUP ? "Invalid event type" : "Not a registration", "");
		return;
	}
	e = find(x, name);
	if (e && e->state != EXT_STARTED) {
		refuse_state(c, e, "Registered");
		return;
	}
	if (!e && x->closed) {
		refuse(c, "Extension.RegistrationClosed", "Extension registration closed already",
		       "");
		return;
	}
	if (!e && events & EXT_SHUTDOWN && !MUTANT("internal-shutdown")) {
		refuse(c, "ShutdownEventNotSupportedForInternalExtension",
		       "Shutdown event is not supported for internal extension ", name);
		return;
	}
	if (!e)
		e = add(x, name, false);
	if (!e) {
		refuse(c, "Extension.TooManyExtensions", "Extension limit (10) reached", "");
		return;
	}
	uuid4(e->id);
	e->events = events;
	e->state = EXT_REGISTERED;
	answer_registered(x, c, e, feature && strstr(feature, "accountId"));
	x->ops->moved(x->arg);
}

/* whose identifier a request has; answers itself if nobody's */
static struct extension *identify(struct extensions *x, struct rapi_conn *c,
				  const struct hparse_request *r)
{
	const char *id = hparse_header(r, "Lambda-Extension-Identifier");
	size_t i;

	if (!id || !*id) {
		refuse(c, "Extension.MissingExtensionIdentifier",
		       "Missing Lambda-Extension-Identifier header", "");
		return NULL;
	}
	if (strlen(id) != 36) {
		refuse(c, "Extension.InvalidExtensionIdentifier",
		       "Invalid Lambda-Extension-Identifier", "");
		return NULL;
	}
	for (i = 0; i < x->n; i++)
		if (!strcmp(x->v[i].id, id))
			return &x->v[i];
	refuse(c, "Extension.UnknownExtensionIdentifier", "Unknown extension ", id);
	return NULL;
}

static void do_next(struct extensions *x, struct rapi_conn *c, const struct hparse_request *r)
{
	struct extension *e = identify(x, c, r);

	if (!e)
		return;
	if (e->state != EXT_REGISTERED && e->state != EXT_RUNNING) {
		refuse_state(c, e, "Ready");
		return;
	}
	e->state = EXT_READY;
	e->parked = c;
	rapi_park(c);
	/* without memory it isn't told, and ends at the deadline */
	if (e->shutdown_due)
		(void)tell_shutdown(x, e);
	else
		x->ops->moved(x->arg);
}

static void do_failed(struct extensions *x, struct rapi_conn *c, const struct hparse_request *r,
		      bool init)
{
	const char *type = hparse_header(r, "Lambda-Extension-Function-Error-Type");
	struct extension *e = identify(x, c, r);

	if (!e)
		return;
	if (!type || !*type) {
		refuse(c, "Extension.MissingHeader",
		       "Lambda-Extension-Function-Error-Type not found", "");
		return;
	}
	if (e->state == EXT_FAILED || (init && e->state != EXT_REGISTERED)) {
		refuse_state(c, e, init ? "InitError" : "ExitError");
		return;
	}
	e->state = EXT_FAILED;
	rapi_answer_accepted(c);
	x->ops->failed(e->name, init, type, buf_str(&r->body), r->body.len, x->arg);
}

void extension_request(struct extensions *x, struct rapi_conn *c, const struct hparse_request *r,
		       const char *path)
{
	bool next = !strcmp(path, "event/next");

	if (!next && strcmp(path, "register") != 0 && strcmp(path, "init/error") != 0 &&
	    strcmp(path, "exit/error") != 0)
		rapi_answer_error(c, "404 Not Found", "NotFound", "No such operation");
	else if (strcmp(r->method, next ? "GET" : "POST") != 0)
		rapi_answer_error(c, "405 Method Not Allowed", "MethodNotAllowed",
				  "Method not allowed");
	else if (next)
		do_next(x, c, r);
	else if (!strcmp(path, "register"))
		do_register(x, c, r);
	else
		do_failed(x, c, r, path[0] == 'i');
}

void extension_forget(struct extensions *x, const struct rapi_conn *c)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (x->v[i].parked == c) {
			x->v[i].parked = NULL;
			x->v[i].state = EXT_RUNNING;
		}
}

/* ---- phases ---- */

bool extension_all_registered(const struct extensions *x)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (x->v[i].external && x->v[i].state == EXT_STARTED)
			return false;
	return true;
}

bool extension_all_ready(const struct extensions *x)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (x->v[i].state != EXT_READY)
			return MUTANT("extension-ready");
	return true;
}

int extension_invoke(struct extensions *x, const struct rapi_invocation *inv)
{
	auto_buf struct buf b = BUF_INIT;
	size_t i;
	int r = 0;

	buf_printf(&b, "{\"eventType\":\"INVOKE\",\"deadlineMs\":%" PRId64 ",\"requestId\":",
		   inv->deadline_ms);
	buf_json(&b, inv->id);
	buf_adds(&b, ",\"invokedFunctionArn\":");
	buf_json(&b, inv->arn);
	buf_adds(&b, ",\"tracing\":{\"type\":\"X-Amzn-Trace-Id\",\"value\":");
	buf_json(&b, inv->trace_id);
	buf_adds(&b, "}}");
	if (b.failed)
		return -ENOMEM;
	for (i = 0; i < x->n && !r; i++)
		if (x->v[i].parked && x->v[i].events & EXT_INVOKE)
			r = tell(&x->v[i], &b);
	return r;
}

int extension_shutdown(struct extensions *x, const char *reason, int64_t deadline_ms)
{
	size_t i;
	int r = 0;

	x->reason = reason;
	x->deadline_ms = deadline_ms;
	for (i = 0; i < x->n && !r; i++) {
		struct extension *e = &x->v[i];

		if (!(e->events & EXT_SHUTDOWN))
			continue;
		if (e->parked)
			r = tell_shutdown(x, e);
		else
			e->shutdown_due = true;
	}
	return r;
}
