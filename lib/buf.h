/* SPDX-License-Identifier: MIT */
/*
 * buf - a growing, NUL-terminated string.  An allocation failure sticks: later
 * calls do nothing and buf_error() tells, so builders stay straight-line.
 */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *s; /* owns; NULL while empty */
	size_t len;
	size_t cap;
	bool failed;
};

#define auto_buf __attribute__((cleanup(buf_done)))
#define BUF_INIT ((struct buf){ 0 })

void buf_add(struct buf *b, const void *data, size_t size);
void buf_adds(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* as a quoted JSON string, control characters escaped, what isn't UTF-8 as U+FFFD; NULL: null */
void buf_json(struct buf *b, const char *s);
char *buf_steal(struct buf *b);		  /* owns; "" if empty; NULL if failed */
const char *buf_str(const struct buf *b); /* borrows; "" if empty */
void buf_clear(struct buf *b);
void buf_done(struct buf *b);
int buf_error(const struct buf *b); /* 0 or -ENOMEM */

/* bytes of the well-formed UTF-8 sequence that "s" ("size" bytes) begins with; 0: none */
size_t utf8_len(const void *s, size_t size);

#endif
