/* SPDX-License-Identifier: MIT */
/*
 * hparse - the requests of one HTTP/1.1 connection out of its bytes
 * (libhttp-parser, the only place that includes it).  No memory but the
 * request's own; used by the init of environments, which is static and faces
 * code that nobody trusts.
 */
#ifndef HPARSE_H
#define HPARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

#define HPARSE_HEADERS_MAX 100

struct hparse_header {
	char *name, *value; /* own */
};

struct hparse_limits {
	size_t head; /* bytes of request line and headers: 431 past it */
	size_t body; /* bytes of a body: 413 past it */
};

/* one request, whole */
struct hparse_request {
	const char *method; /* borrows, "GET" */
	struct buf target;  /* path and query as they came */
	struct hparse_header header[HPARSE_HEADERS_MAX];
	size_t n_headers;
	struct buf body;
	bool keep_alive;
};

struct hparse;

/*
 * A body that is taken as it comes: "wants" is asked when the head is there, and
 * says whether "piece" gets the body, which is neither gathered nor limited then.
 * Trailers are among the headers once the request is whole.
 */
struct hparse_stream {
	bool (*wants)(const struct hparse_request *r, void *arg);
	void (*piece)(const char *data, size_t size, void *arg);
	void *arg;
};

struct hparse *hparse_new(const struct hparse_limits *l); /* NULL: no memory */
struct hparse *hparse_free(struct hparse *p);
void hparse_set_stream(struct hparse *p, const struct hparse_stream *s); /* copies */
/*
 * hparse_feed() - takes bytes up to the end of one request: "ret_used" of
 * "size" were taken (feed the rest again after hparse_take()).
 * 1: a request is whole; 0: more is needed; -EBADMSG: no HTTP; -EMSGSIZE: the
 * body is past its limit; -E2BIG: the head is; -ENOMEM.
 */
int hparse_feed(struct hparse *p, const char *data, size_t size, size_t *ret_used);
/* the request that is whole, or under way (borrows) */
const struct hparse_request *hparse_request(const struct hparse *p);
/* forgets it; the next one may come */
void hparse_take(struct hparse *p);
/* a request has begun and isn't whole */
bool hparse_midway(const struct hparse *p);
/* value of a header, letter case ignored; NULL: absent */
const char *hparse_header(const struct hparse_request *r, const char *name);

#endif
