/* SPDX-License-Identifier: MIT */
/*
 * http - the server of http.h: libmicrohttpd with its epoll descriptor in our
 * loop.  The client is lib/httpc.c.
 *
 * A request's life:
 *
 *   uri_seen()  the request is made, with its target as it was sent
 *   access_cb() 1st call: the head is checked; a refusal is noted
 *               then a call for each piece of body, gathered or thrown away
 *               last call: refused -> error; else the handler runs.  Did it
 *               answer -> the answer is queued; else the connection is
 *               suspended, and the call comes again once http_reply() resumed it
 *   completed() libmicrohttpd lets go of the request
 *
 * A request is freed when both sides are done with it: the handler's (it has
 * answered) and libmicrohttpd's (completed()).  What libmicrohttpd 0.9.75 asks
 * for: after a resume, and whenever it has work left, MHD_run() must be called
 * again by us (kick()); and it doesn't look at a suspended connection, so we
 * watch its descriptor for a client that goes away.
 *
 * A connection that something hangs on (http_hold()) has no idle limit, and its
 * end is heard in whichever way it is seen: by libmicrohttpd while nothing is
 * asked, by our watch while a request waits.
 */
#include "lib/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/sock.h"
#include "lib/util.h"

/* the pool holds the head, what libmicrohttpd notes of it and the answer's head;
 * past it libmicrohttpd refuses by itself, with 431 too */
#define POOL_SIZE (2 * HTTP_HEADER_MAX)
/* a body that is too large is still read up to here, so that a client that only
 * sends sees the refusal and not a broken pipe */
#define DRAIN_MAX (4ULL * HTTP_BODY_MAX)
/* bytes of bodies being gathered, all connections together */
#define BODIES_MAX (256ULL * 1024 * 1024)
/* a connection without a byte in either direction; a waiting request has no limit */
#define IDLE_SECONDS 120U
#define IDLE_CHECK_MS 15000
#define STREAM_BLOCK (32 * 1024) /* of an answer in pieces, at a time */

struct header {
	char *name, *value; /* own */
};

/* a connection's, as long as it lives: libmicrohttpd's "socket context" */
struct conn {
	struct http_server *server;
	struct MHD_Connection *mhd;
	LIST_HEAD(, http_hold) holds;
};

struct http_hold {
	LIST_ENTRY(http_hold) link;
	struct conn *conn; /* NULL: it has gone */
	http_hold_fn fn;
	void *arg;
};

struct http_req {
	LIST_ENTRY(http_req) link;
	struct http_server *server; /* NULL once the server is gone */
	struct MHD_Connection *conn;
	const char *method;
	char *raw;	 /* path as it was sent, owns */
	char *raw_query; /* behind it, owns */
	char *path;	 /* decoded, owns */
	struct buf body;
	uint64_t n_body; /* bytes that came, kept or not */
	int refused;	 /* status to refuse with; 0: none */
	enum err_code refused_code;
	const char *refused_msg;
	bool begun;		       /* the head was seen */
	bool called;		       /* the handler was */
	bool answered;		       /* http_reply() was called: its side is done */
	bool parked;		       /* suspended */
	bool let_go;		       /* libmicrohttpd is done */
	bool bad_header;	       /* http_add_header() got one that can't be sent */
	struct MHD_Response *response; /* NULL although answered: out of memory */
	int status;
	struct header *headers;
	size_t n_headers;
	http_gone_fn gone;
	void *gone_arg;
	struct loop_event *hup;
	struct http_stream *stream; /* that answers it; borrows */
};

struct http_stream {
	struct http_req *req; /* NULL: libmicrohttpd is done with it */
	struct buf out;	      /* what the client hasn't taken, from "at" */
	size_t at;
	http_room_fn room;
	void *arg;
	bool ended, broken;
	bool suspended; /* until something is written, or it ends */
	bool held;	/* by the caller */
	bool sending;	/* libmicrohttpd holds it */
};

struct http_server {
	struct loop *loop;
	struct MHD_Daemon *mhd;
	int kick_fd; /* eventfd: MHD_run() is wanted */
	struct loop_event *kick_ev, *epoll_ev, *idle_ev;
	http_fn fn;
	void *arg;
	uint64_t n_bodies;
	LIST_HEAD(, http_req) reqs;
	bool ending; /* connections that close now are closed by us */
};

static void kick(struct http_server *s)
{
	uint64_t one = 1;

	/* fails only when its counter is full: then it is readable already */
	(void)!write(s->kick_fd, &one, sizeof(one));
}

static void run(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(s->mhd);
	if (MHD_get_timeout(s->mhd, &ms) == MHD_YES && ms == 0)
		kick(s);
}

static void on_epoll(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	run(arg);
}

static void on_kick(int fd, unsigned what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof(n)); /* non-blocking, nothing to learn */
	run(arg);
}

static void on_idle(void *arg)
{
	run(arg);
}

/* ---- answers in pieces ---- */

static void stream_free(struct http_stream *s)
{
	if (s->held || s->sending)
		return;
	buf_done(&s->out);
	free(s);
}

/* the request is over, whole or not */
static void stream_lost(struct http_stream *s)
{
	if (!s)
		return;
	s->req = NULL;
	buf_done(&s->out);
	s->at = 0;
	if (s->held && !s->ended)
		s->room(s->arg);
}

static void stream_let_go(void *arg)
{
	struct http_stream *s = arg;

	s->sending = false;
	stream_free(s);
}

static ssize_t stream_read(void *arg, uint64_t pos, char *ret, size_t size)
{
	struct http_stream *s = arg;
	size_t n = s->out.len - s->at;

	(void)pos;
	if (!n && s->ended)
		return s->broken ? MHD_CONTENT_READER_END_WITH_ERROR :
				   MHD_CONTENT_READER_END_OF_STREAM;
	if (!n) {
		s->suspended = true;
		MHD_suspend_connection(s->req->conn);
		return 0;
	}
	n = n < size ? n : size;
	memcpy(ret, s->out.s + s->at, n);
	s->at += n;
	if (s->at == s->out.len) {
		buf_clear(&s->out);
		s->at = 0;
	}
	if (s->held && !s->ended)
		s->room(s->arg);
	return (ssize_t)n;
}

static void stream_wake(struct http_stream *s)
{
	if (!s->suspended || !s->req)
		return;
	s->suspended = false;
	MHD_resume_connection(s->req->conn);
	kick(s->req->server);
}

void http_stream_write(struct http_stream *s, const void *data, size_t size)
{
	if (!s->req || !size || s->broken)
		return;
	/* what was taken goes once it is the larger half */
	if (s->at > s->out.len / 2) {
		s->out.len -= s->at;
		memmove(s->out.s, s->out.s + s->at, s->out.len);
		s->at = 0;
	}
	buf_add(&s->out, data, size);
	if (buf_error(&s->out) < 0) {
		buf_done(&s->out);
		s->at = 0;
		s->ended = s->broken = true;
	}
	stream_wake(s);
}

size_t http_stream_waits(const struct http_stream *s)
{
	return s->out.len - s->at;
}

void http_stream_end(struct http_stream *s, bool whole)
{
	s->ended = true;
	s->broken = s->broken || !whole;
	s->held = false;
	stream_wake(s);
	stream_free(s);
}

/* ---- requests ---- */

static void req_free(struct http_req *r)
{
	size_t i;

	if (!r->let_go || (r->called && !r->answered))
		return;
	loop_event_free(r->hup);
	if (r->response)
		MHD_destroy_response(r->response);
	for (i = 0; i < r->n_headers; i++) {
		free(r->headers[i].name);
		free(r->headers[i].value);
	}
	free(r->headers);
	free(r->raw);
	free(r->raw_query);
	free(r->path);
	buf_done(&r->body);
	free(r);
}

static void req_drop_body(struct http_req *r)
{
	if (r->server)
		r->server->n_bodies -= r->body.len;
	buf_done(&r->body);
	r->body = BUF_INIT;
}

/* the connection goes: what the handler still holds has nothing behind it */
static void req_detach(struct http_req *r)
{
	r->hup = loop_event_free(r->hup);
	stream_lost(r->stream);
	r->stream = NULL;
	req_drop_body(r);
	LIST_REMOVE(r, link);
	r->server = NULL;
	r->conn = NULL;
	r->method = "";
	r->let_go = true;
	req_free(r);
}

static void *uri_seen(void *cls, const char *uri, struct MHD_Connection *conn)
{
	struct http_req *r = calloc(1, sizeof(*r));
	size_t n = strcspn(uri, "?");

	if (!r)
		return NULL;
	r->raw = strndup(uri, n);
	r->raw_query = strdup(uri[n] ? uri + n + 1 : "");
	if (!r->raw || !r->raw_query) {
		free(r->raw);
		free(r->raw_query);
		free(r);
		return NULL;
	}
	r->server = cls;
	r->conn = conn;
	LIST_INSERT_HEAD(&r->server->reqs, r, link);
	return r;
}

static void completed(void *cls, struct MHD_Connection *conn, void **con_cls,
		      enum MHD_RequestTerminationCode why)
{
	struct http_req *r = *con_cls;

	(void)cls;
	(void)conn;
	(void)why;
	*con_cls = NULL;
	if (r)
		req_detach(r);
}

/* ---- what hangs on a connection ---- */

static void holds_end(struct conn *k)
{
	struct http_hold *h;

	while ((h = LIST_FIRST(&k->holds))) {
		LIST_REMOVE(h, link);
		h->conn = NULL;
		if (!k->server->ending)
			h->fn(h->arg);
	}
}

static void conn_changed(void *cls, struct MHD_Connection *conn, void **conn_arg,
			 enum MHD_ConnectionNotificationCode what)
{
	struct conn *k = *conn_arg;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		k = calloc(1, sizeof(*k));
		if (k)
			*k = (struct conn){ .server = cls, .mhd = conn };
		*conn_arg = k; /* NULL: nothing can hang on it */
		return;
	}
	if (k)
		holds_end(k);
	free(k);
	*conn_arg = NULL;
	/* at its limit libmicrohttpd stops listening, and listens again not when a
	 * connection ends but in the MHD_run() after that */
	kick(cls);
}

static struct conn *conn_of(const struct http_req *r)
{
	const union MHD_ConnectionInfo *info;

	if (!r->conn)
		return NULL;
	info = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

/* 0: none; libmicrohttpd refuses only options that it doesn't know */
static void limit_idle(struct conn *k, unsigned seconds)
{
	(void)MHD_set_connection_option(k->mhd, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

static bool is_held(const struct http_req *r)
{
	const struct conn *k = conn_of(r);

	return k && !LIST_EMPTY(&k->holds);
}

static void refuse(struct http_req *r, int status, enum err_code code, const char *msg)
{
	if (r->refused)
		return;
	r->refused = status;
	r->refused_code = code;
	r->refused_msg = msg;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX decoded; NULL with -EINVAL on a bad one or a NUL byte */
static int unescape(const char *s, size_t n, char **ret)
{
	char *out = malloc(n + 1), *o = out;
	size_t i;

	if (!out)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		int hi, lo;

		if (s[i] != '%') {
			*o++ = s[i];
			continue;
		}
		hi = i + 2 < n ? hex_digit(s[i + 1]) : -1;
		lo = hi >= 0 ? hex_digit(s[i + 2]) : -1;
		if (lo < 0 || (hi == 0 && lo == 0)) {
			free(out);
			return -EINVAL;
		}
		*o++ = (char)(hi << 4 | lo);
		i += 2;
	}
	*o = '\0';
	*ret = out;
	return 0;
}

struct framing {
	unsigned n_length, n_encoding;
	const char *length, *encoding;
	bool wants_continue;
};

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind, const char *key,
				  const char *value)
{
	struct framing *f = cls;

	(void)kind;
	if (strcasecmp(key, "content-length") == 0) {
		f->n_length++;
		f->length = value ? value : "";
	} else if (strcasecmp(key, "transfer-encoding") == 0) {
		f->n_encoding++;
		f->encoding = value ? value : "";
	} else if (strcasecmp(key, "expect") == 0) {
		f->wants_continue = true;
	}
	return MHD_YES;
}

/* notes a refusal; true: it must be answered now, before the body */
static bool check_head(struct http_req *r)
{
	const union MHD_ConnectionInfo *info;
	struct framing f = { 0 };
	uint64_t length = 0;
	int er;

	MHD_get_connection_values(r->conn, MHD_HEADER_KIND, see_header, &f);
	/* two ways of telling the length: a proxy before us may have taken the other */
	if (f.n_length + f.n_encoding > 1) {
		refuse(r, 400, ERR_INVALID_PARAMETER,
		       "more than one Content-Length or Transfer-Encoding");
		return true;
	}
	if (f.encoding && strcasecmp(f.encoding, "chunked") != 0) {
		refuse(r, 400, ERR_INVALID_PARAMETER, "Transfer-Encoding: only chunked is known");
		return true;
	}
	if (f.length && parse_u64(f.length, 0, INT64_MAX, &length) < 0) {
		refuse(r, 400, ERR_INVALID_PARAMETER, "Content-Length is not a number");
		return true;
	}
	info = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (info && info->header_size > HTTP_HEADER_MAX)
		refuse(r, 431, ERR_TOO_LARGE, "the request's head has more than 65536 bytes");
	if (*r->raw != '/')
		refuse(r, 400, ERR_INVALID_PARAMETER, "the request's target is not a path");
	er = unescape(r->raw, strlen(r->raw), &r->path);
	if (er == -EINVAL)
		refuse(r, 400, ERR_INVALID_PARAMETER, "bad percent-encoding in the path");
	else if (er < 0)
		refuse(r, 503, ERR_UNAVAILABLE, "out of memory");
	if (length > HTTP_BODY_MAX)
		refuse(r, 413, ERR_TOO_LARGE, "the body has more than 17825792 bytes");
	return r->refused && (f.wants_continue || length > DRAIN_MAX);
}

static enum MHD_Result queue_answer(struct http_req *r)
{
	enum MHD_Result ok;

	if (!r->response)
		return MHD_NO; /* out of memory: the connection closes */
	ok = MHD_queue_response(r->conn, (unsigned)r->status, r->response);
	MHD_destroy_response(r->response);
	r->response = NULL;
	return ok;
}

static struct MHD_Response *response_json(char *text)
{
	struct MHD_Response *m;

	if (!text)
		return NULL;
	m = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!m) {
		free(text);
		return NULL;
	}
	if (MHD_add_response_header(m, "Content-Type", "application/json") != MHD_YES) {
		MHD_destroy_response(m);
		return NULL;
	}
	return m;
}

static char *err_text(enum err_code code, const char *msg, const char *path)
{
	auto_buf struct buf b = BUF_INIT;

	buf_adds(&b, "{\"code\":");
	buf_json(&b, err_code_name(code));
	buf_adds(&b, ",\"message\":");
	buf_json(&b, msg);
	buf_adds(&b, ",\"path\":");
	buf_json(&b, path);
	buf_adds(&b, "}");
	return buf_steal(&b);
}

static enum MHD_Result queue_refusal(struct http_req *r)
{
	r->status = r->refused;
	r->response = response_json(err_text(r->refused_code, r->refused_msg, ""));
	return queue_answer(r);
}

static enum MHD_Result take_body(struct http_req *r, const char *data, size_t *size)
{
	r->n_body += *size;
	if (r->n_body > DRAIN_MAX)
		return MHD_NO;
	if (r->n_body > HTTP_BODY_MAX)
		refuse(r, 413, ERR_TOO_LARGE, "the body has more than 17825792 bytes");
	else if (r->server->n_bodies + *size > BODIES_MAX)
		refuse(r, 503, ERR_UNAVAILABLE, "too many requests with large bodies at once");
	if (r->refused) {
		req_drop_body(r);
	} else {
		size_t before = r->body.len;

		buf_add(&r->body, data, *size);
		r->server->n_bodies += r->body.len - before;
		if (buf_error(&r->body) < 0) {
			refuse(r, 503, ERR_UNAVAILABLE, "out of memory");
			req_drop_body(r);
		}
	}
	*size = 0;
	return MHD_YES;
}

static void on_hup(int fd, unsigned what, void *arg)
{
	struct http_req *r = arg;
	struct conn *k = conn_of(r);
	http_gone_fn fn;

	(void)fd;
	(void)what;
	r->hup = loop_event_free(r->hup);
	/* may answer the request, which then has nobody to tell any more */
	if (k)
		holds_end(k);
	fn = r->gone;
	r->gone = NULL;
	if (fn)
		fn(r, r->gone_arg);
}

static int conn_fd(const struct http_req *r)
{
	const union MHD_ConnectionInfo *info;

	if (!r->conn)
		return -1;
	info = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info ? info->connect_fd : -1;
}

static void watch(struct http_req *r)
{
	int fd = conn_fd(r);

	if ((!r->gone && !is_held(r)) || !r->parked || r->hup || fd < 0)
		return;
	/* without memory for it a client's going is noticed when it is answered */
	r->hup = loop_fd(r->server->loop, fd, LOOP_HUP, on_hup, r);
}

static enum MHD_Result call_handler(struct http_req *r)
{
	struct http_server *s = r->server;

	r->called = true;
	s->fn(r, s->arg);
	if (r->answered)
		return queue_answer(r);
	MHD_suspend_connection(r->conn);
	r->parked = true;
	watch(r);
	return MHD_YES;
}

static enum MHD_Result access_cb(void *cls, struct MHD_Connection *conn, const char *url,
				 const char *method, const char *version, const char *data,
				 size_t *size, void **con_cls)
{
	struct http_req *r = *con_cls;

	(void)cls;
	(void)conn;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO; /* uri_seen() found no memory */
	if (!r->begun) {
		r->begun = true;
		r->method = method;
		return check_head(r) ? queue_refusal(r) : MHD_YES;
	}
	if (*size)
		return take_body(r, data, size);
	if (r->refused)
		return queue_refusal(r);
	if (!r->called)
		return call_handler(r);
	return r->answered ? queue_answer(r) : MHD_YES;
}

const char *http_method(const struct http_req *r)
{
	return r->method;
}

const char *http_path(const struct http_req *r)
{
	return r->path;
}

const char *http_raw_path(const struct http_req *r)
{
	return r->raw;
}

const char *http_raw_query(const struct http_req *r)
{
	return r->raw_query;
}

static const char *lookup(const struct http_req *r, enum MHD_ValueKind kind, const char *name)
{
	const char *value = NULL;
	size_t size;

	if (!r->conn)
		return NULL;
	if (MHD_lookup_connection_value_n(r->conn, kind, name, strlen(name), &value, &size) !=
	    MHD_YES)
		return NULL;
	return value ? value : "";
}

const char *http_query(const struct http_req *r, const char *name)
{
	return lookup(r, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_req *r, const char *name)
{
	return lookup(r, MHD_HEADER_KIND, name);
}

const void *http_body(const struct http_req *r, size_t *ret_size)
{
	*ret_size = r->body.len;
	return buf_str(&r->body);
}

int http_peer(const struct http_req *r, pid_t *ret_pid, uid_t *ret_uid)
{
	int fd = conn_fd(r);

	return fd < 0 ? -ENOTCONN : sock_peer(fd, ret_pid, ret_uid);
}

void http_on_gone(struct http_req *r, http_gone_fn fn, void *arg)
{
	r->gone = fn;
	r->gone_arg = arg;
	if (!fn)
		r->hup = loop_event_free(r->hup);
	else if (r->server)
		watch(r);
}

int http_hold(struct http_req *r, http_hold_fn fn, void *arg, struct http_hold **ret)
{
	struct conn *k = conn_of(r);
	struct http_hold *h;

	if (!r->conn)
		return -ENOTCONN;
	h = calloc(1, sizeof(*h));
	if (!k || !h) {
		free(h);
		return -ENOMEM;
	}
	*h = (struct http_hold){ .conn = k, .fn = fn, .arg = arg };
	LIST_INSERT_HEAD(&k->holds, h, link);
	limit_idle(k, 0);
	watch(r);
	*ret = h;
	return 0;
}

struct http_hold *http_hold_free(struct http_hold *h)
{
	struct conn *k = h ? h->conn : NULL;

	if (k) {
		LIST_REMOVE(h, link);
		if (LIST_EMPTY(&k->holds))
			limit_idle(k, IDLE_SECONDS);
	}
	free(h);
	return NULL;
}

int http_segment(const struct http_req *r, unsigned idx, char *ret, size_t size)
{
	const char *s = r->raw;
	auto_free char *text = NULL;
	size_t n;
	int er;

	/* cut before decoding, so that %2F stays inside its segment */
	for (;; s += n) {
		if (*s != '/')
			return -ENOENT;
		s++;
		n = strcspn(s, "/");
		if (idx-- == 0)
			break;
	}
	er = unescape(s, n, &text);
	if (er < 0)
		return er;
	n = strlen(text);
	if (n >= size)
		return -ENAMETOOLONG;
	memcpy(ret, text, n + 1);
	return 0;
}

/* ---- answers ---- */

static bool name_is_token(const char *s)
{
	static const char rest[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++)
		if (!(*s >= '0' && *s <= '9') && !((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z') &&
		    !strchr(rest, *s))
			return false;
	return true;
}

static bool value_is_plain(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

void http_add_header(struct http_req *r, const char *name, const char *value)
{
	char *n, *v;
	void *p;

	if (!name_is_token(name) || !value_is_plain(value)) {
		r->bad_header = true;
		return;
	}
	p = reallocarray(r->headers, r->n_headers + 1, sizeof(*r->headers));
	if (!p) {
		r->bad_header = true;
		return;
	}
	r->headers = p;
	n = strdup(name);
	v = strdup(value);
	if (!n || !v) {
		free(n);
		free(v);
		r->bad_header = true;
		return;
	}
	r->headers[r->n_headers].name = n;
	r->headers[r->n_headers++].value = v;
}

static int response_add(struct http_req *r, struct MHD_Response *m, const char *type)
{
	size_t i;

	if (r->bad_header)
		return -EINVAL;
	if (type && MHD_add_response_header(m, "Content-Type", type) != MHD_YES)
		return -EINVAL;
	for (i = 0; i < r->n_headers; i++)
		if (MHD_add_response_header(m, r->headers[i].name, r->headers[i].value) != MHD_YES)
			return -EINVAL;
	return 0;
}

/* takes "m" (NULL: out of memory) and lets go of the request */
static void answer(struct http_req *r, int status, const char *type, struct MHD_Response *m)
{
	assert(!r->answered);
	if (m && response_add(r, m, type) < 0) {
		/* an answer without a header that belongs to it would be another answer */
		MHD_destroy_response(m);
		status = 500;
		m = response_json(
			err_text(ERR_INTERNAL, "a header of the answer can't be sent", ""));
	}
	r->answered = true;
	r->status = status;
	r->response = m;
	r->gone = NULL;
	r->hup = loop_event_free(r->hup);
	if (r->let_go) {
		req_free(r);
		return;
	}
	if (r->parked) {
		r->parked = false;
		MHD_resume_connection(r->conn);
		kick(r->server);
	}
}

void http_reply(struct http_req *r, int status, const char *content_type, const void *body,
		size_t size)
{
	/* libmicrohttpd takes no const: with MUST_COPY it only reads */
	void *data = size ? (void *)(uintptr_t)body : (void *)(uintptr_t) "";

	answer(r, status, content_type,
	       MHD_create_response_from_buffer(size, data, MHD_RESPMEM_MUST_COPY));
}

void http_reply_json(struct http_req *r, int status, cJSON *v)
{
	char *text = v ? json_print(v) : NULL;

	cJSON_Delete(v);
	answer(r, status, NULL, response_json(text));
}

void http_reply_err(struct http_req *r, const struct err *e)
{
	answer(r, err_code_http(e->code), NULL, response_json(err_text(e->code, e->msg, e->path)));
}

struct http_stream *http_stream_start(struct http_req *r, int status, const char *content_type,
				      http_room_fn room, void *arg)
{
	struct http_stream *s = calloc(1, sizeof(*s));
	struct MHD_Response *m = NULL;

	if (s) {
		*s = (struct http_stream){ .room = room, .arg = arg, .held = true };
		m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read,
						      s, stream_let_go);
	}
	if (!m) {
		free(s);
		answer(r, 500, NULL, NULL);
		return NULL;
	}
	s->sending = true;
	if (!r->let_go) {
		s->req = r;
		r->stream = s;
	}
	answer(r, status, content_type, m);
	return s;
}

/* ---- server ---- */

static struct MHD_Daemon *mhd_start(struct http_server *s, int listen_fd, unsigned n_conns)
{
	struct MHD_Daemon *d;

	/* clang-format off: an option a line */
	d = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, access_cb, s,
			     MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
			     n_conns, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_SIZE,
			     MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
			     MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, uri_seen,
			     s, MHD_OPTION_NOTIFY_COMPLETED, completed, s,
			     MHD_OPTION_NOTIFY_CONNECTION, conn_changed, s, MHD_OPTION_END);
	/* clang-format on */
	/* it may or may not have closed the descriptor; nothing else ran meanwhile */
	if (!d && fcntl(listen_fd, F_GETFD) >= 0)
		close(listen_fd);
	return d;
}

struct http_server *http_server_new_few(struct loop *l, int listen_fd, unsigned n_conns, http_fn fn,
					void *arg)
{
	struct http_server *s = calloc(1, sizeof(*s));
	const union MHD_DaemonInfo *info;

	if (!s) {
		close(listen_fd);
		return NULL;
	}
	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	LIST_INIT(&s->reqs);
	s->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->kick_fd < 0) {
		close(listen_fd);
		return http_server_free(s);
	}
	s->mhd = mhd_start(s, listen_fd, n_conns);
	if (!s->mhd)
		return http_server_free(s);
	info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return http_server_free(s);
	s->epoll_ev = loop_fd(l, info->epoll_fd, LOOP_READ, on_epoll, s);
	s->kick_ev = loop_fd(l, s->kick_fd, LOOP_READ, on_kick, s);
	s->idle_ev = loop_every(l, IDLE_CHECK_MS, on_idle, s);
	if (!s->epoll_ev || !s->kick_ev || !s->idle_ev)
		return http_server_free(s);
	return s;
}

struct http_server *http_server_new(struct loop *l, int listen_fd, http_fn fn, void *arg)
{
	return http_server_new_few(l, listen_fd, HTTP_CONN_MAX, fn, arg);
}

struct http_server *http_server_free(struct http_server *s)
{
	struct http_req *r;
	bool resumed = false;

	if (!s)
		return NULL;
	s->ending = true;
	loop_event_free(s->epoll_ev);
	loop_event_free(s->kick_ev);
	loop_event_free(s->idle_ev);
	/* stopping with a suspended connection is a panic of libmicrohttpd */
	LIST_FOREACH(r, &s->reqs, link) {
		r->hup = loop_event_free(r->hup);
		r->gone = NULL;
		if (r->stream && r->stream->suspended) {
			r->stream->ended = r->stream->broken = true;
			r->stream->suspended = false;
			MHD_resume_connection(r->conn);
			resumed = true;
		}
		if (!r->parked)
			continue;
		r->parked = false;
		refuse(r, 503, ERR_UNAVAILABLE, "the daemon is stopping");
		MHD_resume_connection(r->conn);
		resumed = true;
	}
	if (resumed)
		MHD_run(s->mhd);
	if (s->mhd)
		MHD_stop_daemon(s->mhd); /* completed() for each; closes listen_fd */
	if (s->kick_fd >= 0)
		close(s->kick_fd);
	free(s);
	return NULL;
}
