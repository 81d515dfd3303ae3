/* SPDX-License-Identifier: MIT */
/*
 * eventstream - see eventstream.h.
 */
#include "lib/eventstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "lib/mutant.h"

#define PRELUDE 12
#define TRAILER 4
#define TYPE_STRING 7 /* of a header's value */

static uint32_t sum(const void *data, size_t size)
{
	return (uint32_t)crc32(0, data, (uInt)size);
}

static void put_u32(struct buf *b, uint32_t v)
{
	const uint32_t be = htonl(v);

	buf_add(b, &be, sizeof(be));
}

static uint32_t get_u32(const char *s)
{
	uint32_t be;

	memcpy(&be, s, sizeof(be));
	return ntohl(be);
}

static void put_header(struct buf *b, const char *name, const char *value)
{
	const unsigned char n = (unsigned char)strlen(name), type = TYPE_STRING;
	const uint16_t size = htons((uint16_t)strlen(value));

	buf_add(b, &n, 1);
	buf_adds(b, name);
	buf_add(b, &type, 1);
	buf_add(b, &size, sizeof(size));
	buf_adds(b, value);
}

void eventstream_put(struct buf *b, const char *event_type, const char *content_type,
		     const void *payload, size_t size)
{
	auto_buf struct buf headers = BUF_INIT;
	size_t from = b->len;

	put_header(&headers, ":event-type", event_type);
	put_header(&headers, ":content-type", content_type);
	put_header(&headers, ":message-type", "event");
	if (headers.failed) {
		b->failed = true;
		return;
	}
	put_u32(b, (uint32_t)(PRELUDE + headers.len + size + TRAILER));
	put_u32(b, (uint32_t)headers.len);
	if (!b->failed)
		put_u32(b, sum(b->s + from, 8));
	buf_add(b, headers.s, headers.len);
	buf_add(b, payload, size);
	if (!b->failed)
		put_u32(b, sum(b->s + from, b->len - from) ^ (MUTANT("stream-crc") ? 1 : 0));
}

/* the headers' strings, of which ":event-type" is kept; other types of values have no
 * place in answers of Lambda's */
static int read_headers(const char *s, size_t size, struct eventstream_event *ret)
{
	const char *end = s + size;

	ret->type[0] = '\0';
	while (s < end) {
		size_t n = (unsigned char)*s++, n_value;
		const char *name = s;

		if ((size_t)(end - s) < n + 3 || s[n] != TYPE_STRING)
			return -EBADMSG;
		s += n + 1;
		n_value = (size_t)(unsigned char)s[0] << 8 | (unsigned char)s[1];
		s += 2;
		if ((size_t)(end - s) < n_value)
			return -EBADMSG;
		if (n == 11 && !memcmp(name, ":event-type", n))
			(void)snprintf(ret->type, sizeof(ret->type), "%.*s", (int)n_value, s);
		s += n_value;
	}
	return 0;
}

int eventstream_next(const char *data, size_t size, size_t *ret_used, struct eventstream_event *ret)
{
	size_t total, headers;
	int r;

	if (size < PRELUDE)
		return 0;
	total = get_u32(data);
	headers = get_u32(data + 4);
	if (sum(data, 8) != get_u32(data + 8))
		return -EBADMSG;
	if (total > EVENTSTREAM_MAX)
		return -EMSGSIZE;
	if (total < PRELUDE + TRAILER || headers > total - PRELUDE - TRAILER)
		return -EBADMSG;
	if (size < total)
		return 0;
	if (sum(data, total - TRAILER) != get_u32(data + total - TRAILER))
		return -EBADMSG;
	r = read_headers(data + PRELUDE, headers, ret);
	if (r < 0)
		return r;
	ret->payload = data + PRELUDE + headers;
	ret->size = total - PRELUDE - headers - TRAILER;
	*ret_used = total;
	return 1;
}
