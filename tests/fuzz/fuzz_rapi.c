/* SPDX-License-Identifier: MIT */
/*
 * fuzz_rapi - the Runtime API of an init (sandbox/rapi.c, lib/hparse.c) with any
 * bytes on two connections, cut anywhere: what comes out is HTTP, the states
 * follow one another, and every invocation is answered at most once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/rapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct rapi *api;
	unsigned given, answered, next;
};

static void on_next(void *arg)
{
	struct seen *s = arg;

	s->next++;
	if (s->api->state != RAPI_WAITING || !s->api->parked)
		abort();
}

static void on_answer(struct seen *s, const char *id)
{
	if (strncmp(id, "id-", 3) != 0 || ++s->answered > s->given)
		abort();
}

static void on_response(const char *id, const char *body, size_t size, void *arg)
{
	if (strlen(body) > size)
		abort();
	on_answer(arg, id);
}

static void on_error(const char *id, const char *type, const char *body, size_t size, void *arg)
{
	char name[64];

	if (!strchr(rapi_error_type(type, name, sizeof(name)), '.') || strlen(body) > size)
		abort();
	on_answer(arg, id);
}

static void on_init_error(const char *type, const char *body, size_t size, void *arg)
{
	const struct seen *s = arg;

	(void)type;
	if (strlen(body) > size || s->next)
		abort();
}

static void on_too_large(const char *id, void *arg)
{
	on_answer(arg, id);
}

static void on_stream(const char *id, const char *content_type, void *arg)
{
	const struct seen *s = arg;

	if (s->api->state != RAPI_STREAMING || strncmp(id, "id-", 3) != 0 || !content_type)
		abort();
}

static void on_stream_piece(const char *id, const char *data, size_t size, void *arg)
{
	const struct seen *s = arg;

	(void)id;
	if (s->api->state != RAPI_STREAMING || !data || !size)
		abort();
}

static void on_stream_end(const char *id, const char *type, const char *body, void *arg)
{
	(void)type;
	if (!body)
		abort();
	on_answer(arg, id);
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

static void check_out(struct rapi_conn *c)
{
	if (c->out.len && strncmp(c->out.s, "HTTP/1.1 ", 9) != 0)
		abort();
	buf_clear(&c->out);
}

static void give(struct seen *s)
{
	struct rapi_invocation i = {
		.id = "id-1",
		.arn = "arn",
		.trace_id = "t",
		.payload = "{}",
		.size = 2,
	};

	if (s->api->state != RAPI_WAITING)
		return;
	s->given++;
	if (rapi_invoke(s->api, &i) < 0)
		abort();
}

/* first byte of a piece: connection (1 bit), length (7 bits) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rapi api;
	struct seen seen = { .api = &api };
	struct rapi_conn *conn[2];
	size_t i;

	rapi_init(&api, &ops, &seen);
	for (i = 0; i < 2; i++) {
		conn[i] = rapi_conn_new(&api);
		if (!conn[i])
			abort();
	}
	while (size) {
		size_t which = *data & 1, len = *data >> 1;

		data++;
		size--;
		len = len < size ? len : size;
		rapi_conn_feed(conn[which], (const char *)data, len);
		check_out(conn[which]);
		give(&seen);
		check_out(conn[0]);
		check_out(conn[1]);
		data += len;
		size -= len;
	}
	for (i = 0; i < 2; i++) {
		rapi_conn_end(conn[i]);
		check_out(conn[i]);
		rapi_conn_free(conn[i]);
	}
	return 0;
}
