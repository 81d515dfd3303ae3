/* SPDX-License-Identifier: MIT */
/*
 * http - a JSON-over-HTTP server on a listening unix socket (libmicrohttpd,
 * external epoll in our loop), and the client (libcurl).
 *
 * Every request is gathered whole (limits below), handed to one handler and
 * stays suspended until http_reply() answers it, at once or later.  Requests
 * with both Content-Length and Transfer-Encoding are refused with 400.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/json.h"
#include "lib/loop.h"

#define HTTP_HEADER_MAX (64 * 1024)	 /* bytes a request's head may have; 431 past it */
#define HTTP_BODY_MAX (17 * 1024 * 1024) /* 16 MiB lab file and room; 413 past it */
#define HTTP_CONN_MAX 4096

struct http_server;
struct http_req;

typedef void (*http_fn)(struct http_req *r, void *arg);
typedef void (*http_gone_fn)(struct http_req *r, void *arg);

/* "listen_fd" is taken; NULL: out of memory or MHD refused */
struct http_server *http_server_new(struct loop *l, int listen_fd, http_fn fn, void *arg);
/* the same, of at most "n_conns" connections */
struct http_server *http_server_new_few(struct loop *l, int listen_fd, unsigned n_conns, http_fn fn,
					void *arg);
struct http_server *http_server_free(struct http_server *s);

/* of a request; strings borrow, valid until http_reply() */
const char *http_method(const struct http_req *r);
const char *http_path(const struct http_req *r);		    /* decoded, without query */
const char *http_query(const struct http_req *r, const char *name); /* NULL: absent */
/* both as they were sent, still percent-encoded; the query without '?', "" if none */
const char *http_raw_path(const struct http_req *r);
const char *http_raw_query(const struct http_req *r);
const char *http_header(const struct http_req *r, const char *name); /* NULL: absent */
const void *http_body(const struct http_req *r, size_t *ret_size);
int http_peer(const struct http_req *r, pid_t *ret_pid, uid_t *ret_uid); /* SO_PEERCRED */
/* told when the client's connection goes while the request waits for its answer
 * (EPOLLRDHUP); the request must still be answered (nothing is sent) */
void http_on_gone(struct http_req *r, http_gone_fn fn, void *arg);
/*
 * http_hold() - the connection of "r" is kept open however long nothing is sent
 * on it, and "fn" is told once when it goes (the client closed or shut down its
 * end, or is no more); not when the server itself ends it.  Several holds of one
 * connection are fine.  0 and "ret" (owned by the caller, http_hold_free() at any
 * time, in "fn" too), -ENOTCONN when it has gone already, -ENOMEM.
 */
struct http_hold;
typedef void (*http_hold_fn)(void *arg);
int http_hold(struct http_req *r, http_hold_fn fn, void *arg, struct http_hold **ret);
struct http_hold *http_hold_free(struct http_hold *h); /* NULL is fine; returns NULL */
/* one segment of the path: http_segment("/v1/labs/x", 2) copies "x"; -ENOENT past the end */
int http_segment(const struct http_req *r, unsigned idx, char *ret, size_t size);

/* a header of the answer to come; one that can't be sent (CR, LF, ...) makes that a 500 */
void http_add_header(struct http_req *r, const char *name, const char *value);
/* answers; each frees the request */
void http_reply(struct http_req *r, int status, const char *content_type, const void *body,
		size_t size);					/* copies */
void http_reply_json(struct http_req *r, int status, cJSON *v); /* takes v */
void http_reply_err(struct http_req *r, const struct err *e);	/* {"code","message","path"} */

/*
 * An answer in pieces (chunked).  http_stream_start() answers, and "r" is no more the
 * caller's; the stream is, until http_stream_end().  What is written is kept until the
 * client has taken it: http_stream_waits() bytes.  "room" is told whenever it has taken
 * some, or has gone; then what is written is thrown away.  NULL: out of memory, and "r"
 * is answered with 500.
 */
struct http_stream;
typedef void (*http_room_fn)(void *arg);
struct http_stream *http_stream_start(struct http_req *r, int status, const char *content_type,
				      http_room_fn room, void *arg);
void http_stream_write(struct http_stream *s, const void *data, size_t size); /* copies */
size_t http_stream_waits(const struct http_stream *s);
/* no more comes; "whole" false: the client is to see that it was broken off */
void http_stream_end(struct http_stream *s, bool whole);

/* ---- client ---- */
struct httpc_answer {
	int status; /* HTTP status; 0: transport failed, see error */
	char error[200];
	char *headers; /* owns: raw header lines */
	char *body;    /* owns; NUL-terminated */
	size_t size;
};
void httpc_answer_done(struct httpc_answer *a);
/* copies one header's value; -ENOENT */
int httpc_header(const struct httpc_answer *a, const char *name, char *ret, size_t size);

/* blocking, for the command line.  "sock": path of the unix socket (any
 * length: connected through /proc/self/fd); "headers": NULL or NULL-terminated
 * "Name: value" list; "timeout_ms" 0: none.  0 or -errno (-ECONNREFUSED,
 * -ENOENT: no daemon; -ETIMEDOUT; -EPERM) */
int httpc_call(const char *sock, const char *method, const char *path, const char *const *headers,
	       const void *body, size_t size, int64_t timeout_ms, struct httpc_answer *ret);

/* the same on the loop (curl_multi_socket_action); "fn" gets an answer that it
 * may steal from; never called from inside httpc_start(), nor for what is still
 * under way at httpc_free() */
typedef void (*httpc_fn)(struct httpc_answer *a, void *arg);
struct httpc;
struct httpc *httpc_new(struct loop *l);
struct httpc *httpc_free(struct httpc *c);
int httpc_start(struct httpc *c, const char *sock, const char *method, const char *path,
		const char *const *headers, const void *body, size_t size, int64_t timeout_ms,
		httpc_fn fn, void *arg);
/* the same, but "piece" (NULL: none) gets the body of an answer of status 2xx as it
 * comes, and "fn" one without a body; a piece that "piece" returns false for is the
 * last, and the answer an error */
typedef bool (*httpc_piece_fn)(const char *data, size_t size, void *arg);
int httpc_start_pieces(struct httpc *c, const char *sock, const char *method, const char *path,
		       const char *const *headers, const void *body, size_t size,
		       int64_t timeout_ms, httpc_piece_fn piece, void *piece_arg, httpc_fn fn,
		       void *arg);

/* a server of AWS's, anywhere */
struct httpc_aws {
	const char *url;     /* http://HOST... */
	const char *address; /* of HOST; no name is ever looked up */
	int ns_fd;	     /* the network namespace to go from; -1: the caller's */
	const char *region, *service, *key_id, *secret; /* what the request is signed with */
};
/* POSTs a form (a copy of "body"), signed (AWS Signature Version 4); "fn" as of httpc_start() */
int httpc_post_aws(struct httpc *c, const struct httpc_aws *to, const void *body, size_t size,
		   int64_t timeout_ms, httpc_fn fn, void *arg);

#endif
