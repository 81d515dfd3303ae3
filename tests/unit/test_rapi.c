/* SPDX-License-Identifier: MIT */
/*
 * Tests of sandbox/rapi.c and lib/hparse.c: RAPI-1 to RAPI-4, states, limits,
 * requests that come in pieces, together, or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/limits.h"
#include "sandbox/rapi.h"

#define NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
#define BASE "POST /2018-06-01/runtime/"
#define TAIL " HTTP/1.1\r\nHost: x\r\n"

struct fixture {
	struct rapi api;
	struct rapi_conn *c;
	unsigned next, too_large;
	struct buf body, type, id;
};

static void note(struct fixture *f, const char *id, const char *type, const char *body, size_t size)
{
	buf_clear(&f->id);
	buf_clear(&f->type);
	buf_clear(&f->body);
	buf_adds(&f->id, id);
	buf_adds(&f->type, type);
	buf_add(&f->body, body, size);
}

static void on_next(void *arg)
{
	((struct fixture *)arg)->next++;
}

static void on_response(const char *id, const char *body, size_t size, void *arg)
{
	note(arg, id, "response", body, size);
}

static void on_error(const char *id, const char *type, const char *body, size_t size, void *arg)
{
	note(arg, id, type, body, size);
}

static void on_init_error(const char *type, const char *body, size_t size, void *arg)
{
	note(arg, "init", type, body, size);
}

static void on_too_large(const char *id, void *arg)
{
	struct fixture *f = arg;

	f->too_large++;
	note(f, id, "", "", 0);
}

static void on_stream(const char *id, const char *content_type, void *arg)
{
	note(arg, id, content_type, "", 0);
}

static void on_stream_piece(const char *id, const char *data, size_t size, void *arg)
{
	struct fixture *f = arg;

	assert_string_equal(f->id.s, id);
	buf_add(&f->body, data, size);
}

static void on_stream_end(const char *id, const char *type, const char *body, void *arg)
{
	struct fixture *f = arg;

	assert_string_equal(f->id.s, id);
	buf_clear(&f->type);
	buf_adds(&f->type, type ? type : "whole");
	buf_adds(&f->type, body);
}

static const struct rapi_ops ops = {
	.next = on_next,
	.response = on_response,
	.error = on_error,
	.init_error = on_init_error,
	.too_large = on_too_large,
	.stream = on_stream,
	.stream_piece = on_stream_piece,
	.stream_end = on_stream_end,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	rapi_init(&f->api, &ops, f);
	f->c = rapi_conn_new(&f->api);
	assert_non_null(f->c);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rapi_conn_free(f->c);
	buf_done(&f->body);
	buf_done(&f->type);
	buf_done(&f->id);
	free(f);
	return 0;
}

/* feeds "text", expects the answer to begin with "status" and to hold "part" */
static void expect(struct fixture *f, const char *text, const char *status, const char *part)
{
	buf_clear(&f->c->out);
	rapi_conn_feed(f->c, text, strlen(text));
	if (strncmp(buf_str(&f->c->out), status, strlen(status)) != 0 ||
	    !strstr(buf_str(&f->c->out), part))
		fail_msg("%s\n---\n%s", text, buf_str(&f->c->out));
}

static void give(struct fixture *f, const char *id)
{
	struct rapi_invocation i = {
		.id = id,
		.arn = "arn:x",
		.trace_id = "Root=1",
		.client_context = "",
		.deadline_ms = 1234567890123,
		.payload = "{\"a\":1}",
		.size = 7,
	};

	assert_int_equal(rapi_invoke(&f->api, &i), 0);
}

static void a_life(void **state)
{
	struct fixture *f = *state;

	expect(f, NEXT, "", "");
	assert_int_equal(f->next, 1);
	assert_int_equal(f->c->out.len, 0);
	give(f, "id-1");
	assert_non_null(strstr(buf_str(&f->c->out), "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(buf_str(&f->c->out), "Lambda-Runtime-Aws-Request-Id: id-1\r\n"));
	assert_non_null(
		strstr(buf_str(&f->c->out), "Lambda-Runtime-Deadline-Ms: 1234567890123\r\n"));
	assert_non_null(
		strstr(buf_str(&f->c->out), "Lambda-Runtime-Invoked-Function-Arn: arn:x\r\n"));
	assert_non_null(strstr(buf_str(&f->c->out), "Lambda-Runtime-Trace-Id: Root=1\r\n"));
	assert_null(strstr(buf_str(&f->c->out), "Client-Context"));
	assert_non_null(strstr(buf_str(&f->c->out), "\r\n\r\n{\"a\":1}"));
	expect(f, BASE "invocation/id-1/response" TAIL "Content-Length: 4\r\n\r\ntrue",
	       "HTTP/1.1 202", "{\"status\":\"OK\"}");
	assert_string_equal(f->body.s, "true");
	expect(f, BASE "invocation/id-1/response" TAIL "Content-Length: 4\r\n\r\ntrue",
	       "HTTP/1.1 400", "\"InvalidRequestID\"");
	expect(f, NEXT, "", "");
	assert_int_equal(f->next, 2);
	give(f, "id-2");
	expect(f, BASE "invocation/id-1/response" TAIL "Content-Length: 0\r\n\r\n", "HTTP/1.1 400",
	       "Invalid request ID");
	expect(f,
	       BASE
	       "invocation/id-2/error" TAIL
	       "Lambda-Runtime-Function-Error-Type: Function.Oops\r\nContent-Length: 2\r\n\r\n{}",
	       "HTTP/1.1 202", "OK");
	assert_string_equal(f->type.s, "Function.Oops");
}

static void wrong_order(void **state)
{
	struct fixture *f = *state;

	expect(f, BASE "invocation/x/response" TAIL "Content-Length: 0\r\n\r\n", "HTTP/1.1 403",
	       "\"InvalidStateTransition\"");
	expect(f, BASE "invocation/x/error" TAIL "Content-Length: 0\r\n\r\n", "HTTP/1.1 403",
	       "\"InvalidStateTransition\"");
	expect(f, NEXT, "", "");
	give(f, "i");
	expect(f, NEXT, "HTTP/1.1 403", "InvalidStateTransition");
	expect(f, BASE "init/error" TAIL "Content-Length: 0\r\n\r\n", "HTTP/1.1 403",
	       "InvalidStateTransition");
}

static void init_error(void **state)
{
	struct fixture *f = *state;

	expect(f,
	       BASE
	       "init/error" TAIL
	       "Lambda-Runtime-Function-Error-Type: Runtime.Bad\r\nContent-Length: 3\r\n\r\n{ }",
	       "HTTP/1.1 202", "OK");
	assert_string_equal(f->type.s, "Runtime.Bad");
	assert_string_equal(f->body.s, "{ }");
	expect(f, NEXT, "HTTP/1.1 403", "InvalidStateTransition");
	rapi_reset(&f->api);
	expect(f, NEXT, "", "");
	assert_int_equal(f->next, 1);
}

static void pieces_and_pipelines(void **state)
{
	static const char text[] =
		NEXT BASE "invocation/i/response" TAIL
			  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" NEXT;
	struct fixture *f = *state;
	size_t i;

	/* all at once: the second waits for the first */
	rapi_conn_feed(f->c, text, strlen(text));
	assert_int_equal(f->next, 1);
	give(f, "i");
	assert_string_equal(f->body.s, "abcde");
	assert_int_equal(f->next, 2);
	/* byte by byte */
	rapi_conn_free(f->c);
	rapi_init(&f->api, &ops, f);
	f->c = rapi_conn_new(&f->api);
	buf_clear(&f->body);
	for (i = 0; i < strlen(text); i++) {
		rapi_conn_feed(f->c, text + i, 1);
		if (f->api.state == RAPI_WAITING && !f->body.len)
			give(f, "i");
	}
	assert_string_equal(f->body.s, "abcde");
	assert_int_equal(f->next, 4);
}

static void too_large(void **state)
{
	struct fixture *f = *state;

	expect(f, NEXT, "", "");
	give(f, "i");
	expect(f, BASE "invocation/i/response" TAIL "Content-Length: 6291557\r\n\r\n",
	       "HTTP/1.1 413", "Exceeded maximum allowed payload size (6291556 bytes).");
	assert_true(f->c->close);
	assert_int_equal(f->too_large, 1);
	assert_string_equal(f->id.s, "i");
}

#define STREAM                                                                                   \
	BASE "invocation/i/response" TAIL "Lambda-Runtime-Function-Response-Mode: streaming\r\n" \
	     "Transfer-Encoding: chunked\r\n\r\n"

/* RAPI-5 */
static void streams(void **state)
{
	struct fixture *f = *state;

	expect(f, NEXT, "", "");
	give(f, "i");
	expect(f, STREAM "3\r\nabc\r\n", "", "");
	assert_int_equal(f->api.state, RAPI_STREAMING);
	assert_string_equal(f->body.s, "abc");
	expect(f, "1\r\nd\r\n0\r\n\r\n", "HTTP/1.1 202", "OK");
	assert_string_equal(f->body.s, "abcd");
	assert_string_equal(f->type.s, "whole");
	expect(f, NEXT, "", "");
	give(f, "i");
	expect(f,
	       STREAM "1\r\nx\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Mine\r\n"
		      "Lambda-Runtime-Function-Error-Body: e30=\r\n\r\n",
	       "HTTP/1.1 202", "OK");
	assert_string_equal(f->type.s, "Function.Minee30=");
	expect(f, NEXT, "", "");
	give(f, "i");
	expect(f, STREAM "3\r\nab", "", "");
	rapi_conn_end(f->c);
	assert_string_equal(f->type.s, "Runtime.TruncatedResponse");
	assert_int_equal(f->api.state, RAPI_ANSWERED);
}

static void truncated(void **state)
{
	struct fixture *f = *state;

	expect(f, NEXT, "", "");
	give(f, "i");
	expect(f, BASE "invocation/i/response" TAIL "Content-Length: 10\r\n\r\nabc", "", "");
	buf_clear(&f->c->out);
	rapi_conn_end(f->c);
	assert_non_null(strstr(buf_str(&f->c->out), "HTTP/1.1 400"));
	assert_non_null(strstr(buf_str(&f->c->out), "TruncatedHTTPRequest"));
	assert_int_equal(f->api.state, RAPI_RUNNING);
}

static void nonsense(void **state)
{
	static const struct {
		const char *text, *status;
	} cases[] = {
		{ "hello\r\n\r\n", "HTTP/1.1 400" },
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404" },
		{ "GET /2018-06-01/runtime/invocation/ HTTP/1.1\r\nHost: x\r\n\r\n",
		  "HTTP/1.1 404" },
		{ "POST /2018-06-01/runtime/invocation/next HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
		  "HTTP/1.1 405" },
		{ "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 3\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  "HTTP/1.1 400" },
		{ "CONNECT x:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 400" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rapi_conn_free(f->c);
		rapi_init(&f->api, &ops, f);
		f->c = rapi_conn_new(&f->api);
		expect(f, cases[i].text, cases[i].status, "");
	}
}

static void large_head(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT;

	buf_adds(&b, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nX: ");
	while (b.len < LIMIT_HEAD + 100)
		buf_adds(&b, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	buf_adds(&b, "\r\n\r\n");
	expect(f, b.s, "HTTP/1.1 431", "");
	buf_done(&b);
}

/* who waits may go: another connection asks */
static void parked_goes(void **state)
{
	struct fixture *f = *state;

	expect(f, NEXT, "", "");
	assert_int_equal(f->api.state, RAPI_WAITING);
	rapi_conn_free(f->c);
	assert_int_equal(f->api.state, RAPI_STARTING);
	f->c = rapi_conn_new(&f->api);
	expect(f, NEXT, "", "");
	assert_int_equal(f->next, 2);
}

static void error_types(void **state)
{
	static const char *const cases[][2] = {
		{ "Runtime.ExitError", "Runtime.ExitError" }, { "Function.Bad", "Function.Bad" },
		{ "Function.bad", "Function.Unknown" },	      { "Function.", "Function.Unknown" },
		{ "TypeError", "Runtime.Unknown" },	      { "", "Runtime.Unknown" },
		{ "Runtime.X-Y", "Runtime.Unknown" },
	};
	char got[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(rapi_error_type(cases[i][0], got, sizeof(got)), cases[i][1]);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_life),     T(wrong_order), T(init_error),  T(pieces_and_pipelines),
		T(too_large),  T(streams),     T(truncated),   T(nonsense),
		T(large_head), T(parked_goes), T(error_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
