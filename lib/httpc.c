/* SPDX-License-Identifier: MIT */
/*
 * httpc - the client of http.h: libcurl, blocking for the command line and on
 * the loop (curl_multi_socket_action) for daemons.
 *
 * A socket's path may be longer than an address holds: its directory is opened
 * and kept open until the answer is there, and libcurl connects to
 * /proc/self/fd/N/NAME.  Every request has a connection of its own: libcurl
 * repeats a request whose reused connection turns out dead, and ours must not
 * happen twice; and the number N may mean another directory the next time.
 */
#include "lib/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/ns.h"
#include "lib/util.h"

#define ANSWER_HEAD_MAX (256 * 1024)
#define ANSWER_BODY_MAX (512UL * 1024 * 1024)

/* one request */
struct call {
	LIST_ENTRY(call) link;
	CURL *easy;
	struct curl_slist *headers;
	int dir_fd;
	int ns_fd; /* owns; -1 */
	struct curl_slist *resolve;
	struct buf head, body;
	bool too_large;
	char error[CURL_ERROR_SIZE];
	httpc_piece_fn piece; /* NULL: the body is gathered */
	void *piece_arg;
	httpc_fn fn;
	void *arg;
};

struct httpc {
	struct loop *loop;
	CURLM *multi;
	struct loop_event *timer;
	unsigned depth; /* inside answers' functions */
	bool dead;	/* freed from inside one */
	LIST_HEAD(, call) calls;
};

void httpc_answer_done(struct httpc_answer *a)
{
	free(a->headers);
	free(a->body);
	*a = (struct httpc_answer){ 0 };
}

int httpc_header(const struct httpc_answer *a, const char *name, char *ret, size_t size)
{
	const char *line = a->headers;
	size_t n = strlen(name);

	while (line && *line) {
		size_t len = strcspn(line, "\r\n");

		if (len > n && line[n] == ':' && strncasecmp(line, name, n) == 0) {
			const char *v = line + n + 1;
			size_t v_len = len - n - 1;

			for (; v_len && (*v == ' ' || *v == '\t'); v_len--)
				v++;
			for (; v_len && (v[v_len - 1] == ' ' || v[v_len - 1] == '\t'); v_len--)
				;
			if (v_len >= size)
				return -ENAMETOOLONG;
			memcpy(ret, v, v_len);
			ret[v_len] = '\0';
			return 0;
		}
		line += len;
		line += strspn(line, "\r\n");
	}
	return -ENOENT;
}

/* ---- one request ---- */

static void call_done(struct call *c)
{
	if (c->easy)
		curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	curl_slist_free_all(c->resolve);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	if (c->ns_fd >= 0)
		close(c->ns_fd);
	buf_done(&c->head);
	buf_done(&c->body);
}

static size_t gather(struct call *c, struct buf *b, size_t max, const char *data, size_t n)
{
	if (b->len + n > max) {
		c->too_large = true;
		return 0;
	}
	buf_add(b, data, n);
	return buf_error(b) < 0 ? 0 : n;
}

static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
	struct call *c = arg;

	/* a new status line: what came before belonged to "100 Continue" */
	if (size * n >= 5 && memcmp(data, "HTTP/", 5) == 0)
		buf_clear(&c->head);
	return gather(c, &c->head, ANSWER_HEAD_MAX, data, size * n);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	long status = 0;

	if (c->piece)
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return c->piece(data, size * n, c->piece_arg) ? size * n : 0;
	return gather(c, &c->body, ANSWER_BODY_MAX, data, size * n);
}

static int add_header(struct call *c, const char *line)
{
	struct curl_slist *l = curl_slist_append(c->headers, line);

	if (!l)
		return -ENOMEM;
	c->headers = l;
	return 0;
}

static int set_headers(struct call *c, const char *const *headers, bool has_body)
{
	bool typed = false;
	int r;

	for (; headers && *headers; headers++) {
		if (strpbrk(*headers, "\r\n"))
			return -EINVAL;
		if (strncasecmp(*headers, "content-type:", 13) == 0)
			typed = true;
		r = add_header(c, *headers);
		if (r < 0)
			return r;
	}
	/* libcurl would call a body a form */
	r = has_body && !typed ? add_header(c, "Content-Type: application/json") : 0;
	if (r < 0)
		return r;
	return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers) ? -ENOMEM : 0;
}

/* opens the socket's directory and names the socket through it */
static int set_socket(struct call *c, const char *sock)
{
	const char *slash = strrchr(sock, '/');
	auto_free char *dir = NULL;
	char name[108];
	int n;

	dir = slash ? strndup(sock, slash == sock ? 1 : (size_t)(slash - sock)) : strdup(".");
	if (!dir)
		return -ENOMEM;
	c->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (c->dir_fd < 0)
		return -errno;
	n = snprintf(name, sizeof(name), "/proc/self/fd/%d/%s", c->dir_fd,
		     slash ? slash + 1 : sock);
	if (n < 0 || (size_t)n >= sizeof(name))
		return -ENAMETOOLONG;
	return curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, name) ? -ENOMEM : 0;
}

static int set_url(struct call *c, const char *path)
{
	auto_buf struct buf url = BUF_INIT;

	if (*path != '/' || strpbrk(path, " \r\n\t"))
		return -EINVAL;
	buf_adds(&url, "http://localhost");
	buf_adds(&url, path);
	if (buf_error(&url) < 0)
		return -ENOMEM;
	return curl_easy_setopt(c->easy, CURLOPT_URL, buf_str(&url)) ? -ENOMEM : 0;
}

static int set_body(struct call *c, const char *method, const void *body, size_t size, bool copy)
{
	bool sends = size || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
	CURLcode r = CURLE_OK;

	if (strcmp(method, "HEAD") == 0)
		return curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L) ? -ENOMEM : 0;
	if (sends) {
		/* the size first: a copy is made of as much */
		r = curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
		if (!r)
			r = curl_easy_setopt(c->easy,
					     copy ? CURLOPT_COPYPOSTFIELDS : CURLOPT_POSTFIELDS,
					     size ? body : "");
	}
	if (!r)
		r = curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, method);
	return r ? -ENOMEM : 0;
}

static int set_options(struct call *c, int64_t timeout_ms)
{
	CURL *h = c->easy;

	/* none of a user's environment: no proxy, no netrc, no redirect elsewhere */
	if (curl_easy_setopt(h, CURLOPT_PROXY, "") || curl_easy_setopt(h, CURLOPT_NOPROXY, "*") ||
	    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http") ||
	    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
	    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) ||
	    curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L) ||
	    curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L) ||
	    curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L) ||
	    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error) ||
	    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_head) ||
	    curl_easy_setopt(h, CURLOPT_HEADERDATA, c) ||
	    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body) ||
	    curl_easy_setopt(h, CURLOPT_WRITEDATA, c) || curl_easy_setopt(h, CURLOPT_PRIVATE, c))
		return -EINVAL;
	/* a limit of no more than a millisecond is still a limit */
	if (timeout_ms > 0 && curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)timeout_ms))
		return -EINVAL;
	return 0;
}

static int call_new(struct call *c, int64_t timeout_ms)
{
	static bool ready;

	*c = (struct call){ .dir_fd = -1, .ns_fd = -1 };
	if (!ready) {
		if (curl_global_init(CURL_GLOBAL_NOTHING))
			return -ENOMEM;
		ready = true;
	}
	c->easy = curl_easy_init();
	return c->easy ? set_options(c, timeout_ms) : -ENOMEM;
}

static int call_init(struct call *c, const char *sock, const char *method, const char *path,
		     const char *const *headers, const void *body, size_t size, bool copy,
		     int64_t timeout_ms)
{
	int r;

	r = call_new(c, timeout_ms);
	if (r >= 0)
		r = set_socket(c, sock);
	if (r >= 0)
		r = set_url(c, path);
	if (r >= 0)
		r = set_body(c, method, body, size, copy);
	if (r >= 0)
		r = set_headers(c, headers, size > 0);
	return r;
}

/* what libcurl says as -errno; the kernel's own where there is one */
static int result_errno(struct call *c, CURLcode code)
{
	long os = 0;

	switch ((int)code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_WRITE_ERROR:
		return c->too_large ? -EFBIG : -ENOMEM;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os);
		return os == EACCES ? -EPERM : os > 0 ? -(int)os : -ECONNREFUSED;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

static void answer_error(struct httpc_answer *a, int r, const char *text)
{
	*a = (struct httpc_answer){ 0 };
	snprintf(a->error, sizeof(a->error), "%.199s", text && *text ? text : strerror(-r));
}

static int call_answer(struct call *c, CURLcode code, struct httpc_answer *ret)
{
	long status = 0;
	int r = result_errno(c, code);

	if (r < 0) {
		const char *text = *c->error ? c->error : curl_easy_strerror(code);

		/* libcurl speaks of its own means then; the kernel's word says more */
		if (r == -EFBIG || r == -ECONNREFUSED || r == -ENOENT || r == -EPERM)
			text = NULL;
		answer_error(ret, r, text);
		return r;
	}
	*ret = (struct httpc_answer){ 0 };
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	ret->size = c->body.len;
	ret->headers = buf_steal(&c->head);
	ret->body = buf_steal(&c->body);
	if (!ret->headers || !ret->body) {
		httpc_answer_done(ret);
		answer_error(ret, -ENOMEM, NULL);
		return -ENOMEM;
	}
	ret->status = (int)status;
	return 0;
}

int httpc_call(const char *sock, const char *method, const char *path, const char *const *headers,
	       const void *body, size_t size, int64_t timeout_ms, struct httpc_answer *ret)
{
	struct call c;
	int r;

	r = call_init(&c, sock, method, path, headers, body, size, false, timeout_ms);
	if (r < 0) {
		if (r == -EACCES)
			r = -EPERM;
		answer_error(ret, r, NULL);
	} else {
		r = call_answer(&c, curl_easy_perform(c.easy), ret);
	}
	call_done(&c);
	return r;
}

/* ---- on the loop ---- */

static struct httpc *httpc_destroy(struct httpc *c)
{
	struct call *k;

	while ((k = LIST_FIRST(&c->calls))) {
		LIST_REMOVE(k, link);
		curl_multi_remove_handle(c->multi, k->easy);
		call_done(k);
		free(k);
	}
	if (c->multi)
		curl_multi_cleanup(c->multi);
	loop_event_free(c->timer);
	free(c);
	return NULL;
}

/* hands out the answers that are there; "c" may be gone afterwards */
static void finish(struct httpc *c)
{
	CURLMsg *m;
	int left;

	c->depth++;
	while (!c->dead && (m = curl_multi_info_read(c->multi, &left))) {
		CURLcode code = m->data.result;
		struct httpc_answer a;
		struct call *k = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&k);
		LIST_REMOVE(k, link);
		curl_multi_remove_handle(c->multi, k->easy);
		call_answer(k, code, &a);
		k->fn(&a, k->arg);
		httpc_answer_done(&a);
		call_done(k);
		free(k);
	}
	if (--c->depth == 0 && c->dead)
		httpc_destroy(c);
}

static void act(struct httpc *c, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(c->multi, fd, mask, &running);
	finish(c);
}

static void on_io(int fd, unsigned what, void *arg)
{
	act(arg, fd,
	    (what & LOOP_READ ? CURL_CSELECT_IN : 0) | (what & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *arg)
{
	struct httpc *c = arg;

	c->timer = loop_event_free(c->timer);
	act(c, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *m, long ms, void *arg)
{
	struct httpc *c = arg;

	(void)m;
	c->timer = loop_event_free(c->timer);
	if (ms < 0)
		return 0;
	c->timer = loop_timer(c->loop, ms, on_timer, c);
	return c->timer ? 0 : -1;
}

static int set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct loop_event *e = socket_arg;
	struct httpc *c = arg;
	unsigned want;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		loop_event_free(e);
		return 0;
	}
	want = (what != CURL_POLL_OUT ? LOOP_READ : 0) | (what != CURL_POLL_IN ? LOOP_WRITE : 0);
	if (e)
		return loop_fd_set(e, want) < 0 ? -1 : 0;
	e = loop_fd(c->loop, fd, want, on_io, c);
	if (!e)
		return -1;
	return curl_multi_assign(c->multi, fd, e) ? -1 : 0;
}

struct httpc *httpc_new(struct loop *l)
{
	struct httpc *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->loop = l;
	LIST_INIT(&c->calls);
	c->multi = curl_multi_init();
	if (!c->multi || curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_watch) ||
	    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) ||
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer) ||
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c))
		return httpc_destroy(c);
	return c;
}

struct httpc *httpc_free(struct httpc *c)
{
	if (!c)
		return NULL;
	if (c->depth) {
		c->dead = true; /* finish() is below us and ends it */
		return NULL;
	}
	return httpc_destroy(c);
}

/* hands "k" over to the loop, or frees it; "r": what making it came to */
static int begin(struct httpc *c, struct call *k, int r, httpc_fn fn, void *arg)
{
	if (r >= 0 && curl_multi_add_handle(c->multi, k->easy))
		r = -ENOMEM;
	if (r < 0) {
		call_done(k);
		free(k);
		return r == -EACCES ? -EPERM : r;
	}
	k->fn = fn;
	k->arg = arg;
	LIST_INSERT_HEAD(&c->calls, k, link);
	return 0;
}

int httpc_start(struct httpc *c, const char *sock, const char *method, const char *path,
		const char *const *headers, const void *body, size_t size, int64_t timeout_ms,
		httpc_fn fn, void *arg)
{
	return httpc_start_pieces(c, sock, method, path, headers, body, size, timeout_ms, NULL,
				  NULL, fn, arg);
}

int httpc_start_pieces(struct httpc *c, const char *sock, const char *method, const char *path,
		       const char *const *headers, const void *body, size_t size,
		       int64_t timeout_ms, httpc_piece_fn piece, void *piece_arg, httpc_fn fn,
		       void *arg)
{
	struct call *k = malloc(sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	r = call_init(k, sock, method, path, headers, body, size, true, timeout_ms);
	k->piece = piece;
	k->piece_arg = piece_arg;
	return begin(c, k, r, fn, arg);
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct call *c = arg;
	int fd = ns_socket(c->ns_fd, a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int set_aws(struct call *c, const struct httpc_aws *to)
{
	auto_buf struct buf name = BUF_INIT, user = BUF_INIT, sign = BUF_INIT;
	size_t len = strlen("http://"), host = len + strcspn(to->url + len, "/");

	if (to->ns_fd >= 0) {
		c->ns_fd = fcntl(to->ns_fd, F_DUPFD_CLOEXEC, 0);
		if (c->ns_fd < 0)
			return -errno;
		if (curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) ||
		    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETDATA, c))
			return -ENOMEM;
	}
	/* HOST:PORT of the URL is connected to as this address, whatever HOST is */
	buf_printf(&name, "%.*s%s:%s", (int)(host - len), to->url + len,
		   memchr(to->url + len, ':', host - len) ? "" : ":80", to->address);
	buf_printf(&sign, "aws:amz:%s:%s", to->region, to->service);
	buf_printf(&user, "%s:%s", to->key_id, to->secret);
	if (buf_error(&name) < 0 || buf_error(&sign) < 0 || buf_error(&user) < 0)
		return -ENOMEM;
	c->resolve = curl_slist_append(NULL, buf_str(&name));
	if (!c->resolve || curl_easy_setopt(c->easy, CURLOPT_RESOLVE, c->resolve) ||
	    curl_easy_setopt(c->easy, CURLOPT_URL, to->url) ||
	    curl_easy_setopt(c->easy, CURLOPT_AWS_SIGV4, buf_str(&sign)) ||
	    curl_easy_setopt(c->easy, CURLOPT_USERPWD, buf_str(&user)))
		return -ENOMEM;
	return 0;
}

int httpc_post_aws(struct httpc *c, const struct httpc_aws *to, const void *body, size_t size,
		   int64_t timeout_ms, httpc_fn fn, void *arg)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded",
					       NULL };
	struct call *k = malloc(sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	r = call_new(k, timeout_ms);
	if (r >= 0)
		r = set_aws(k, to);
	if (r >= 0)
		r = set_body(k, "POST", body, size, true);
	if (r >= 0)
		r = set_headers(k, headers, true);
	return begin(c, k, r, fn, arg);
}
