/* SPDX-License-Identifier: MIT */
/*
 * wire - the messages of an init's socket pair (sandboxd at one end, the init
 * at the other), and the plan that an init starts from.  Mechanism: 0 or
 * -errno.
 *
 * A message is a head (u32 size of what follows, u8 type, u8 number of fields,
 * two zero bytes; host order, both ends are one machine) and its fields, each a
 * u32 length and that many bytes.  sandboxd trusts none of it: sizes, types and
 * counts are checked, a fault ends the environment.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_FIELDS_MAX 8
#define WIRE_HEAD 8

enum wire_type {
	/* sandboxd -> init */
	WIRE_INVOKE = 1, /* id, timeout ms, arn, trace id, client context, payload */
	WIRE_RESET,	 /* reason ("timeout", "failure"): end all but the init; the next
			  * invocation starts anew */
	WIRE_SHUTDOWN,	 /* the environment's time is over: tell those who want to know, end */
	WIRE_SIGNAL,	 /* number: to what exec runs */
	/* init -> sandboxd */
	WIRE_READY,	 /* the view is made, privileges are dropped */
	WIRE_FAIL,	 /* step, errno: it could not be made; the init ends */
	WIRE_NEXT,	 /* the runtime asks for the next invocation */
	WIRE_RESPONSE,	 /* id, body */
	WIRE_ERROR,	 /* id, error type, body */
	WIRE_TOO_LARGE,	 /* id: the response is past its limit */
	WIRE_INIT_ERROR, /* error type, body */
	WIRE_EXIT,	 /* wait status: the runtime's process ended; "1": extensions wait to be
			  * reset, else nothing of it runs any more */
	WIRE_EXTENSIONS, /* number of external ones, of internal ones; from the first that
			  * registers on */
	WIRE_CRASH,	 /* error type, body: an extension failed, a reset is waited for */
	WIRE_RESET_DONE,
	WIRE_LOG,	   /* bytes of the function's standard output and error */
	WIRE_STARTED,	   /* exec: pid as sandboxd sees it */
	WIRE_STATUS,	   /* exec: wait status */
	WIRE_STREAM,	   /* id, content type: a response begins, in pieces */
	WIRE_STREAM_PIECE, /* id, bytes */
	WIRE_STREAM_END,   /* id[, error type, its body in base64] */
	WIRE_TYPES	   /* one past the last */
};

struct wire_field {
	const char *data; /* borrows */
	size_t size;
};

struct wire_msg {
	enum wire_type type;
	size_t n;
	struct wire_field field[WIRE_FIELDS_MAX];
};

/* what came and isn't a whole message yet */
struct wire_in {
	char *s; /* owns */
	size_t start, len, cap;
};

/* what has to be sent */
struct wire_out {
	char *s; /* owns */
	size_t start, len, cap;
};

/* reads once from "fd"; bytes read, 0: the other end is closed, -EAGAIN, -errno */
long wire_in_read(struct wire_in *w, int fd);
/* appends bytes, as if they had been read; 0, -ENOMEM */
int wire_in_feed(struct wire_in *w, const void *data, size_t size);
/* 1 and a message (borrows, valid until the next call with "w"), 0: not yet
 * whole, -EBADMSG */
int wire_in_next(struct wire_in *w, struct wire_msg *ret);
void wire_in_done(struct wire_in *w);

/* queues a message; 0, -ENOMEM, -EMSGSIZE */
int wire_put(struct wire_out *w, enum wire_type type, size_t n, const struct wire_field *fields);
/* fields are NUL-terminated strings, NULL ends */
int wire_put_strs(struct wire_out *w, enum wire_type type, ...) __attribute__((sentinel));
/* writes what it can: 0: all is written, 1: more is left, -errno */
int wire_flush(struct wire_out *w, int fd);
void wire_out_done(struct wire_out *w);

static inline struct wire_field wire_bytes(const void *data, size_t size)
{
	return (struct wire_field){ data, size };
}

/* copies a field into "ret" as a string; -EBADMSG: it isn't there, doesn't fit,
 * or has a NUL or control byte in it */
int wire_text(const struct wire_msg *m, size_t idx, char *ret, size_t size);
/* a decimal number; -EBADMSG */
int wire_number(const struct wire_msg *m, size_t idx, long *ret);

/*
 * plan - what an init is to do: lines of a key and two values, each ended by a
 * NUL, in the order in which they are done.  In a sealed memfd.
 */
struct buf;
struct plan_line {
	const char *key, *a, *b; /* borrow from the text; "" where absent */
};

void plan_add(struct buf *b, const char *key, const char *a, const char *value);
void plan_addf(struct buf *b, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* the line at "*pos", which is moved on: 1, 0 at the end, -EBADMSG */
int plan_next(const char *text, size_t size, size_t *pos, struct plan_line *ret);

#endif
