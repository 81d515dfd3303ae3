/* SPDX-License-Identifier: MIT */
/*
 * wire - framing of the init's socket pair and the text of its plan (wire.h).
 */
#include "sandbox/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "sandbox/limits.h"

#define READ_SIZE (64 * 1024)
#define KEEP_SIZE (256 * 1024) /* a larger buffer is given back once it is empty */

static int grow(char **s, size_t *cap, size_t need)
{
	size_t n = *cap ? *cap : 4096;
	char *more;

	if (need <= *cap)
		return 0;
	while (n < need)
		n *= 2;
	more = realloc(*s, n);
	if (!more)
		return -ENOMEM;
	*s = more;
	*cap = n;
	return 0;
}

/* moves what is left to the front, so that room is at the end */
static void compact(char *s, size_t *start, size_t *len)
{
	if (!*start)
		return;
	memmove(s, s + *start, *len);
	*start = 0;
}

long wire_in_read(struct wire_in *w, int fd)
{
	ssize_t n;
	int r;

	compact(w->s, &w->start, &w->len);
	r = grow(&w->s, &w->cap, w->len + READ_SIZE);
	if (r < 0)
		return r;
	do
		n = read(fd, w->s + w->len, w->cap - w->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	w->len += (size_t)n;
	return n;
}

int wire_in_feed(struct wire_in *w, const void *data, size_t size)
{
	int r;

	if (!size)
		return 0;
	compact(w->s, &w->start, &w->len);
	r = grow(&w->s, &w->cap, w->len + size);
	if (r < 0)
		return r;
	memcpy(w->s + w->len, data, size);
	w->len += size;
	return 0;
}

static int split(const char *p, size_t size, struct wire_msg *m)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		uint32_t len;

		if (size < sizeof(len))
			return -EBADMSG;
		memcpy(&len, p, sizeof(len));
		p += sizeof(len);
		size -= sizeof(len);
		if (len > size)
			return -EBADMSG;
		m->field[i] = wire_bytes(p, len);
		p += len;
		size -= len;
	}
	return size ? -EBADMSG : 0;
}

int wire_in_next(struct wire_in *w, struct wire_msg *ret)
{
	struct wire_msg m = { 0 };
	const uint8_t *head;
	uint32_t size;
	int r;

	if (w->len < WIRE_HEAD)
		return 0;
	head = (const uint8_t *)w->s + w->start;
	memcpy(&size, head, sizeof(size));
	if (size > LIMIT_MESSAGE || !head[4] || head[4] >= WIRE_TYPES ||
	    head[5] > WIRE_FIELDS_MAX || head[6] || head[7])
		return -EBADMSG;
	if (w->len < WIRE_HEAD + (size_t)size)
		return 0;
	m.type = head[4];
	m.n = head[5];
	r = split(w->s + w->start + WIRE_HEAD, size, &m);
	if (r < 0)
		return r;
	w->start += WIRE_HEAD + size;
	w->len -= WIRE_HEAD + size;
	*ret = m;
	return 1;
}

void wire_in_done(struct wire_in *w)
{
	free(w->s);
	*w = (struct wire_in){ 0 };
}

int wire_put(struct wire_out *w, enum wire_type type, size_t n, const struct wire_field *fields)
{
	uint8_t head[WIRE_HEAD] = { 0 };
	size_t i, size = 0;
	uint32_t u;
	int r;

	if (n > WIRE_FIELDS_MAX)
		return -EMSGSIZE;
	for (i = 0; i < n; i++) {
		if (fields[i].size > LIMIT_MESSAGE)
			return -EMSGSIZE;
		size += sizeof(u) + fields[i].size;
	}
	if (size > LIMIT_MESSAGE)
		return -EMSGSIZE;
	compact(w->s, &w->start, &w->len);
	r = grow(&w->s, &w->cap, w->len + WIRE_HEAD + size);
	if (r < 0)
		return r;
	u = (uint32_t)size;
	memcpy(head, &u, sizeof(u));
	head[4] = (uint8_t)type;
	head[5] = (uint8_t)n;
	memcpy(w->s + w->len, head, WIRE_HEAD);
	w->len += WIRE_HEAD;
	for (i = 0; i < n; i++) {
		u = (uint32_t)fields[i].size;
		memcpy(w->s + w->len, &u, sizeof(u));
		w->len += sizeof(u);
		if (u)
			memcpy(w->s + w->len, fields[i].data, u);
		w->len += u;
	}
	return 0;
}

int wire_put_strs(struct wire_out *w, enum wire_type type, ...)
{
	struct wire_field f[WIRE_FIELDS_MAX];
	const char *s;
	size_t n = 0;
	va_list ap;

	va_start(ap, type);
	while (n < WIRE_FIELDS_MAX && (s = va_arg(ap, const char *)))
		f[n++] = wire_bytes(s, strlen(s));
	va_end(ap);
	return wire_put(w, type, n, f);
}

int wire_flush(struct wire_out *w, int fd)
{
	while (w->len) {
		ssize_t n = send(fd, w->s + w->start, w->len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		w->start += (size_t)n;
		w->len -= (size_t)n;
	}
	w->start = 0;
	if (w->cap > KEEP_SIZE)
		wire_out_done(w);
	return 0;
}

void wire_out_done(struct wire_out *w)
{
	free(w->s);
	*w = (struct wire_out){ 0 };
}

int wire_text(const struct wire_msg *m, size_t idx, char *ret, size_t size)
{
	const struct wire_field *f = &m->field[idx];
	size_t i;

	if (idx >= m->n || f->size >= size)
		return -EBADMSG;
	for (i = 0; i < f->size; i++)
		if ((unsigned char)f->data[i] < 0x20 || f->data[i] == 0x7f)
			return -EBADMSG;
	memcpy(ret, f->data, f->size);
	ret[f->size] = '\0';
	return 0;
}

int wire_number(const struct wire_msg *m, size_t idx, long *ret)
{
	char text[24], *end;
	long v;

	if (wire_text(m, idx, text, sizeof(text)) < 0 || !text[0] || text[0] == ' ')
		return -EBADMSG;
	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || *end)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void plan_add(struct buf *b, const char *key, const char *a, const char *value)
{
	buf_add(b, key, strlen(key) + 1);
	buf_add(b, a ? a : "", (a ? strlen(a) : 0) + 1);
	buf_add(b, value ? value : "", (value ? strlen(value) : 0) + 1);
}

void plan_addf(struct buf *b, const char *key, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		b->failed = true;
	}
	va_end(ap);
	if (text)
		plan_add(b, key, text, NULL);
	free(text);
}

int plan_next(const char *text, size_t size, size_t *pos, struct plan_line *ret)
{
	const char *part[3];
	size_t at = *pos;
	int i;

	if (at == size)
		return 0;
	for (i = 0; i < 3; i++) {
		const char *end = at < size ? memchr(text + at, '\0', size - at) : NULL;

		if (!end)
			return -EBADMSG;
		part[i] = text + at;
		at = (size_t)(end - text) + 1;
	}
	*pos = at;
	*ret = (struct plan_line){ part[0], part[1], part[2] };
	return 1;
}
