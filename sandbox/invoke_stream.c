/* SPDX-License-Identifier: MIT */
/*
 * invoke_stream - see invoke_stream.h.
 */
#include "sandbox/invoke_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/eventstream.h"
#include "lib/http.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/invocation.h"

#define CHUNK (1024 * 1024) /* of a response that came whole */

struct invoke_stream {
	struct invocation *inv;
	struct loop *loop;
	struct http_stream *http; /* NULL: not begun, or it could not */
	struct loop_event *timer; /* until more may be sent; owns */
	struct mono began;
	double sent; /* bytes */
	bool begun;
};

/* ms until what was sent is within the rate; <= 0: it is */
static double ahead_ms(const struct invoke_stream *s)
{
	double allowed = LIMIT_STREAM_BURST + LIMIT_STREAM_RATE * mono_ms_since(s->began) / 1000;

	return MUTANT("stream-rate") ? 0 : (s->sent - allowed) * 1000 / LIMIT_STREAM_RATE;
}

static void on_timer(void *arg);

static void hold_back(struct invoke_stream *s)
{
	size_t waits = s->http ? http_stream_waits(s->http) : 0;
	double ms = ahead_ms(s);

	if (ms > 0 && !s->timer)
		s->timer = loop_timer(s->loop, (int64_t)ms + 1, on_timer, s);
	if (s->inv->env)
		env_pause(s->inv->env, (ms > 0 && s->timer) || waits > LIMIT_STREAM_WAITS);
}

static void on_timer(void *arg)
{
	struct invoke_stream *s = arg;

	s->timer = loop_event_free(s->timer);
	hold_back(s);
}

static void on_room(void *arg)
{
	hold_back(arg);
}

static void begin(struct invoke_stream *s)
{
	struct http_req *r = s->inv->req;

	if (s->begun)
		return;
	s->begun = true;
	s->began = mono_now();
	http_add_header(r, "x-amzn-RequestId", s->inv->id);
	http_add_header(r, "X-Amz-Executed-Version", s->inv->version);
	s->http = http_stream_start(r, 200, "application/vnd.amazon.eventstream", on_room, s);
}

static void put(struct invoke_stream *s, const char *type, const char *content_type,
		const void *data, size_t size)
{
	auto_buf struct buf b = BUF_INIT;

	if (!s->http)
		return;
	eventstream_put(&b, type, content_type, data, size);
	if (!b.failed)
		http_stream_write(s->http, b.s, b.len);
	else
		http_stream_end(steal_ptr(&s->http), false);
}

static void on_piece(struct invocation *i, const void *data, size_t size)
{
	struct invoke_stream *s = i->stream;

	begin(s);
	put(s, "PayloadChunk", "application/octet-stream", data, size);
	s->sent += (double)size;
	hold_back(s);
}

/* a response that came whole */
static void put_whole(struct invoke_stream *s, const struct env_result *r)
{
	size_t at, n;

	if (!r->size && !s->sent && !r->streamed)
		put(s, "PayloadChunk", "application/octet-stream", "null", 4);
	for (at = 0; at < r->size; at += n) {
		n = r->size - at < CHUNK ? r->size - at : CHUNK;
		put(s, "PayloadChunk", "application/octet-stream", r->body + at, n);
	}
}

static void on_done(struct invocation *i, const struct env_result *r)
{
	auto_free char *log = i->tail ? base64(r->log_tail, r->log_size) : NULL;
	struct invoke_stream *s = i->stream;
	auto_buf struct buf b = BUF_INIT;

	begin(s);
	s->timer = loop_event_free(s->timer);
	if (!r->error)
		put_whole(s, r);
	buf_adds(&b, "{");
	if (r->error) {
		auto_free char *details = strndup(r->body ? r->body : "", r->size);

		buf_adds(&b, "\"ErrorCode\":");
		buf_json(&b, r->error);
		buf_adds(&b, ",\"ErrorDetails\":");
		buf_json(&b, details);
	}
	if (log)
		buf_printf(&b, "%s\"LogResult\":\"%s\"", r->error ? "," : "", log);
	buf_adds(&b, "}");
	put(s, "InvokeComplete", "application/json", buf_str(&b), b.len);
	if (s->http)
		http_stream_end(s->http, !b.failed);
	invocation_free(i);
	free(s);
}

int invoke_stream_prepare(struct invocation *i, struct loop *loop)
{
	struct invoke_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct invoke_stream){ .inv = i, .loop = loop };
	i->stream = s;
	i->piece = on_piece;
	i->done = on_done;
	return 0;
}

void invoke_stream_cancel(struct invocation *i)
{
	free(i->stream);
	i->stream = NULL;
}
