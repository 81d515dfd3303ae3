/* SPDX-License-Identifier: MIT */
/*
 * buf - the growing string; see buf.h for the sticky failure.
 */
#include "lib/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool room(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 64;
	char *s;

	if (b->failed)
		return false;
	if (more >= SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return false;
	}
	if (b->cap > b->len + more)
		return true;
	while (cap <= b->len + more)
		cap *= 2;
	s = realloc(b->s, cap);
	if (!s) {
		b->failed = true;
		return false;
	}
	b->s = s;
	b->cap = cap;
	b->s[b->len] = 0;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t size)
{
	if (!room(b, size))
		return;
	if (size)
		memcpy(b->s + b->len, data, size);
	b->len += size;
	b->s[b->len] = 0;
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->failed = true;
	else if (room(b, (size_t)n)) {
		vsnprintf(b->s + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void buf_json(struct buf *b, const char *s)
{
	if (!s) {
		buf_adds(b, "null");
		return;
	}
	buf_adds(b, "\"");
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\u%04x", c);
		else
			buf_add(b, s, 1);
	}
	buf_adds(b, "\"");
}

char *buf_steal(struct buf *b)
{
	char *s = NULL;

	if (!b->failed && room(b, 0)) {
		s = b->s;
		b->s = NULL;
	}
	buf_done(b);
	return s;
}

const char *buf_str(const struct buf *b)
{
	return b->s ? b->s : "";
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->s)
		b->s[0] = 0;
}

void buf_done(struct buf *b)
{
	free(b->s);
	*b = BUF_INIT;
}

int buf_error(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}
