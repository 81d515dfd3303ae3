/* SPDX-License-Identifier: MIT */
/*
 * hparse - libhttp-parser's callbacks collect one request at a time (hparse.h).
 * The parser is paused at the end of each message, so that pipelined requests
 * are answered in turn.  Both kinds of body length at once are refused: strict
 * mode of the library doesn't, and the two are how requests are smuggled.
 */
#include "lib/hparse.h"

#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct hparse {
	http_parser parser;
	struct hparse_limits limits;
	struct hparse_stream stream; /* without functions: no body is */
	bool streaming;		     /* this body is */
	struct hparse_request request;
	struct buf name, value; /* of the header under way */
	bool in_value, begun, whole;
	size_t head; /* bytes of the head so far */
	int error;   /* what a callback found; 0: nothing */
};

static void request_clear(struct hparse_request *r)
{
	size_t i;

	for (i = 0; i < r->n_headers; i++) {
		free(r->header[i].name);
		free(r->header[i].value);
	}
	r->n_headers = 0;
	buf_done(&r->target);
	buf_done(&r->body);
	r->method = "";
}

static int fail(struct hparse *p, int error)
{
	p->error = error;
	return -1; /* not 1: that would mean "no body" to the library */
}

static int add_head(struct hparse *p, struct buf *b, const char *at, size_t size)
{
	p->head += size;
	if (p->head > p->limits.head)
		return fail(p, -E2BIG);
	buf_add(b, at, size);
	return b->failed ? fail(p, -ENOMEM) : 0;
}

/* the header under way is whole */
static int end_header(struct hparse *p)
{
	struct hparse_request *r = &p->request;
	struct hparse_header *h;

	if (!p->in_value)
		return 0;
	p->in_value = false;
	if (r->n_headers == HPARSE_HEADERS_MAX)
		return fail(p, -E2BIG);
	h = &r->header[r->n_headers];
	h->name = buf_steal(&p->name);
	h->value = buf_steal(&p->value);
	if (h->name && h->value) {
		r->n_headers++;
		return 0;
	}
	free(h->name);
	free(h->value);
	return fail(p, -ENOMEM);
}

static int on_begin(http_parser *h)
{
	struct hparse *p = h->data;

	p->begun = true;
	return 0;
}

static int on_url(http_parser *h, const char *at, size_t size)
{
	struct hparse *p = h->data;

	return add_head(p, &p->request.target, at, size);
}

static int on_name(http_parser *h, const char *at, size_t size)
{
	struct hparse *p = h->data;

	return end_header(p) ? -1 : add_head(p, &p->name, at, size);
}

static int on_value(http_parser *h, const char *at, size_t size)
{
	struct hparse *p = h->data;

	p->in_value = true;
	return add_head(p, &p->value, at, size);
}

static int on_head(http_parser *h)
{
	struct hparse *p = h->data;
	struct hparse_request *r = &p->request;

	if (end_header(p))
		return -1;
	if (h->upgrade)
		return fail(p, -EBADMSG);
	r->method = http_method_str((enum http_method)h->method);
	if (hparse_header(r, "Transfer-Encoding") && hparse_header(r, "Content-Length"))
		return fail(p, -EBADMSG);
	p->streaming = p->stream.wants && p->stream.wants(r, p->stream.arg);
	if (!p->streaming && h->content_length != (uint64_t)-1 &&
	    h->content_length > p->limits.body)
		return fail(p, -EMSGSIZE);
	return 0;
}

static int on_body(http_parser *h, const char *at, size_t size)
{
	struct hparse *p = h->data;
	struct buf *b = &p->request.body;

	if (p->streaming) {
		p->stream.piece(at, size, p->stream.arg);
		return 0;
	}
	if (size > p->limits.body - b->len)
		return fail(p, -EMSGSIZE);
	buf_add(b, at, size);
	return b->failed ? fail(p, -ENOMEM) : 0;
}

static int on_end(http_parser *h)
{
	struct hparse *p = h->data;

	if (end_header(p)) /* of a trailer */
		return -1;
	p->request.keep_alive = http_should_keep_alive(h);
	p->whole = true;
	p->begun = false;
	http_parser_pause(h, 1);
	return 0;
}

struct hparse *hparse_new(const struct hparse_limits *l)
{
	struct hparse *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->limits = *l;
	p->request.method = "";
	http_parser_init(&p->parser, HTTP_REQUEST);
	p->parser.data = p;
	return p;
}

struct hparse *hparse_free(struct hparse *p)
{
	if (!p)
		return NULL;
	request_clear(&p->request);
	buf_done(&p->name);
	buf_done(&p->value);
	free(p);
	return NULL;
}

void hparse_set_stream(struct hparse *p, const struct hparse_stream *s)
{
	p->stream = *s;
}

int hparse_feed(struct hparse *p, const char *data, size_t size, size_t *ret_used)
{
	static const http_parser_settings settings = {
		.on_message_begin = on_begin,
		.on_url = on_url,
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_head,
		.on_body = on_body,
		.on_message_complete = on_end,
	};
	size_t used;

	*ret_used = 0;
	if (p->error)
		return p->error;
	if (p->whole)
		return 1;
	if (!size) /* to the library that would be the end of the stream */
		return 0;
	used = http_parser_execute(&p->parser, &settings, data, size);
	if (p->error)
		return p->error;
	if (p->whole) {
		*ret_used = used;
		return 1;
	}
	if (HTTP_PARSER_ERRNO(&p->parser) != HPE_OK) {
		p->error = -EBADMSG;
		return p->error;
	}
	*ret_used = used;
	return 0;
}

const struct hparse_request *hparse_request(const struct hparse *p)
{
	return &p->request;
}

void hparse_take(struct hparse *p)
{
	request_clear(&p->request);
	p->whole = false;
	p->head = 0;
	http_parser_pause(&p->parser, 0);
}

bool hparse_midway(const struct hparse *p)
{
	return p->begun && !p->whole;
}

const char *hparse_header(const struct hparse_request *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->n_headers; i++)
		if (!strcasecmp(r->header[i].name, name))
			return r->header[i].value;
	return NULL;
}
