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

#include "lib/fmt.h"

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
	size_t had = b->cap - b->len;
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	/* mostly it fits; what doesn't is cut away and printed again */
	n = fmt_vprint(b->s ? b->s + b->len : NULL, b->s ? had : 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->failed = true;
	else if (!b->failed && (size_t)n < had) {
		b->len += (size_t)n;
	} else if (room(b, (size_t)n)) {
		fmt_vprint(b->s + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	if (b->s)
		b->s[b->len] = 0;
}

size_t utf8_len(const void *s, size_t size)
{
	static const unsigned min[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = s;
	size_t n;
	unsigned v;

	if (!size)
		return 0;
	n = *p < 0x80		? 1 :
	    (*p & 0xe0) == 0xc0 ? 2 :
	    (*p & 0xf0) == 0xe0 ? 3 :
	    (*p & 0xf8) == 0xf0 ? 4 :
				  0;
	if (n <= 1 || size < n)
		return n == 1;
	v = *p & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	/* neither longer than needed, nor past Unicode, nor half a surrogate pair */
	return v < min[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : n;
}

void buf_json(struct buf *b, const char *s)
{
	size_t left = s ? strlen(s) : 0;

	if (!s) {
		buf_adds(b, "null");
		return;
	}
	buf_adds(b, "\"");
	while (left) {
		unsigned char c = (unsigned char)*s;
		size_t n = utf8_len(s, left);

		if (!n) {
			buf_adds(b, "\\ufffd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			buf_printf(b, "\\%c", c);
		} else if (c == '\n') {
			buf_adds(b, "\\n");
		} else if (c == '\t') {
			buf_adds(b, "\\t");
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(b, "\\u%04x", c);
		} else if (n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0) {
			buf_printf(b, "\\u%04x", (unsigned char)s[1]); /* C1: terminals obey */
		} else {
			buf_add(b, s, n);
		}
		s += n;
		left -= n;
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
