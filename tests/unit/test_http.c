/* SPDX-License-Identifier: MIT */
/*
 * test_http - lib/http.c against raw bytes, and lib/httpc.c against lib/http.c,
 * all on one loop in this process, over a unix socket in a directory of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/http.h"
#include "lib/sock.h"
#include "lib/util.h"

#define WAIT_MS 20000

static char dir[] = "/tmp/test_http.XXXXXX";
static char *sock_path;
static struct loop *loop;
static struct http_server *server;

/* what the handler saw, and whom it keeps waiting */
static struct {
	unsigned calls;
	struct http_req *waiting[8];
	unsigned n_waiting;
	unsigned gone, ended;
	struct http_hold *hold;
	size_t body_size;
	pid_t pid;
} seen;

static void told_gone(struct http_req *r, void *arg)
{
	(void)arg;
	seen.gone++;
	http_reply(r, 200, "text/plain", "late", 4);
	seen.n_waiting--;
}

static void told_end(void *arg)
{
	(void)arg;
	seen.ended++;
}

static void reply_echo(struct http_req *r)
{
	size_t size;
	const void *body = http_body(r, &size);

	http_add_header(r, "X-Method", http_method(r));
	http_reply(r, 200, "application/octet-stream", body, size);
}

static void reply_parts(struct http_req *r)
{
	char text[600], a[64] = "", b[64] = "";
	const char *q = http_query(r, "q"), *h = http_header(r, "X-One");
	int ra = http_segment(r, 1, a, sizeof(a)), rb = http_segment(r, 2, b, sizeof(b));

	snprintf(text, sizeof(text), "path=%s q=%s h=%s a=%s/%d b=%s/%d", http_path(r),
		 q ? q : "(none)", h ? h : "(none)", a, ra, b, rb);
	http_reply(r, 200, "text/plain", text, strlen(text));
}

static void reply_error(struct http_req *r)
{
	struct err e = { 0 };

	err_set(&e, ERR_DEPENDENCY, EBUSY, "has \"things\"");
	err_path(&e, "vpcs.main");
	http_reply_err(r, &e);
}

static void handler(struct http_req *r, void *arg)
{
	const char *p = http_path(r);

	assert_ptr_equal(arg, &seen);
	seen.calls++;
	http_body(r, &seen.body_size);
	http_peer(r, &seen.pid, NULL);
	if (strcmp(p, "/echo") == 0) {
		reply_echo(r);
	} else if (strncmp(p, "/parts", 6) == 0) {
		reply_parts(r);
	} else if (strcmp(p, "/error") == 0) {
		reply_error(r);
	} else if (strcmp(p, "/inject") == 0) {
		http_add_header(r, "X-A", http_query(r, "v"));
		http_reply(r, 200, "text/plain", "ok", 2);
	} else if (strcmp(p, "/watch") == 0) {
		seen.waiting[seen.n_waiting++] = r;
		http_on_gone(r, told_gone, NULL);
	} else if (strcmp(p, "/hold") == 0) {
		assert_int_equal(http_hold(r, told_end, NULL, &seen.hold), 0);
		if (http_query(r, "wait"))
			seen.waiting[seen.n_waiting++] = r;
		else
			http_reply(r, 200, "text/plain", "held", 4);
	} else if (strcmp(p, "/wait") == 0) {
		seen.waiting[seen.n_waiting++] = r;
	} else {
		http_reply_json(r, 404, cJSON_CreateString("no"));
	}
}

static int setup(void **state)
{
	int fd;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	loop = loop_new();
	if (!loop)
		return -1;
	fd = sock_listen(sock_path, SOCK_STREAM, 0600, (gid_t)-1);
	if (fd < 0)
		return -1;
	server = http_server_new(loop, fd, handler, &seen);
	return server ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	server = http_server_free(server);
	loop = loop_free(loop);
	return 0;
}

static int connect_client(void)
{
	int fd = sock_connect(sock_path, SOCK_STREAM);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* sends all of it, turning the loop while the socket is full; false: broken pipe */
static bool put(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
		loop_once(loop, 0);
	}
	return true;
}

static void say(int fd, const char *text)
{
	assert_true(put(fd, text, strlen(text)));
}

/* reads up to "until" (NULL: the end of the stream) */
static char *get(int fd, const char *until)
{
	struct mono start = mono_now();
	struct buf b = BUF_INIT;
	char piece[65536];

	while (!until || !strstr(buf_str(&b), until)) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);

		if (n > 0)
			buf_add(&b, piece, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			break;
		else
			loop_once(loop, 10);
		assert_true(mono_ms_since(start) < WAIT_MS);
	}
	return buf_steal(&b);
}

static char *exchange(const char *text)
{
	int fd = connect_client();
	char *ret;

	put(fd, text, strlen(text));
	ret = get(fd, NULL);
	close(fd);
	return ret;
}

static void assert_answer(const char *request, const char *status, const char *part)
{
	auto_free char *a = exchange(request);

	if (strncmp(a, "HTTP/1.1 ", 9) != 0 || strncmp(a + 9, status, strlen(status)) != 0)
		fail_msg("expected %s, got: %s", status, a);
	if (part && !strstr(a, part))
		fail_msg("no \"%s\" in: %s", part, a);
}

#define END " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void answers(void **state)
{
	(void)state;
	assert_answer("GET /nowhere" END "\r\n", "404", "\"no\"");
	assert_answer("GET /error" END "\r\n", "409",
		      "{\"code\":\"DependencyViolation\",\"message\":\"has \\\"things\\\"\","
		      "\"path\":\"vpcs.main\"}");
	assert_int_equal(seen.pid, getpid());
	assert_answer("POST /echo" END "Content-Length: 5\r\n\r\nhello", "200", "\r\n\r\nhello");
	assert_answer("POST /echo" END "Transfer-Encoding: chunked\r\n\r\n"
		      "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
		      "200", "\r\n\r\nhello");
	assert_answer("DELETE /echo" END "\r\n", "200", "X-Method: DELETE");
}

static void targets(void **state)
{
	(void)state;
	assert_answer("GET /parts/a%2Fb/c%20d?q=1%202&z" END "X-One: v\r\n\r\n", "200",
		      "path=/parts/a/b/c d q=1 2 h=v a=a/b/0 b=c d/0");
	assert_answer("GET /parts?q" END "\r\n", "200", "q= h=(none) a=/-2 b=/-2");
	assert_answer("GET /parts/?r=1" END "\r\n", "200", "q=(none) h=(none) a=/0 b=/-2");
	assert_answer(
		"GET /parts/0123456789012345678901234567890123456789012345678901234567890123" END
		"\r\n",
		"200", "a=/-36");
}

static void bad_requests(void **state)
{
	(void)state;
	assert_answer("GET /parts/a%00b" END "\r\n", "400", "percent-encoding");
	assert_answer("GET /parts/%zz" END "\r\n", "400", "percent-encoding");
	assert_answer("GET /parts/%4" END "\r\n", "400", "percent-encoding");
	assert_answer("OPTIONS *" END "\r\n", "400", NULL);
	assert_answer("POST /echo" END "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "0\r\n\r\n",
		      "400", "more than one");
	assert_answer("POST /echo" END "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
		      "0\r\n\r\n",
		      "400", NULL);
	assert_answer("POST /echo" END "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		      "400", NULL);
	assert_answer("POST /echo" END "Transfer-Encoding: gzip\r\n\r\n", "400", NULL);
	assert_answer("POST /echo" END "Content-Length: -1\r\n\r\n", "400", NULL);
	assert_answer("POST /echo" END "Content-Length: 5x\r\n\r\nhello", "400", NULL);
	assert_answer("GET /echo HTTP/1.1\r\n\r\n", "400", NULL);
	assert_int_equal(seen.calls, 0);
	/* whatever a client makes of its bytes, the server goes on */
	free(exchange("\r\n\r\n\r\nGARBAGE\r\n\r\n"));
	assert_answer("GET /error" END "\r\n", "409", NULL);
}

static char *with_header(size_t size)
{
	auto_buf struct buf b = BUF_INIT;

	buf_adds(&b, "GET /echo" END "X-Big: ");
	while (b.len < size)
		buf_adds(&b, "aaaaaaaaaaaaaaaa");
	buf_adds(&b, "\r\n\r\n");
	return buf_steal(&b);
}

static void heads_have_a_limit(void **state)
{
	auto_free char *fits = with_header(HTTP_HEADER_MAX - 1024);
	auto_free char *over = with_header(HTTP_HEADER_MAX + 1024);
	auto_free char *far = with_header(HTTP_HEADER_MAX * 4);

	(void)state;
	assert_answer(fits, "200", NULL);
	assert_answer(over, "431", "the request's head has more than 65536 bytes");
	assert_answer(far, "431", NULL);
	assert_int_equal(seen.calls, 1);
}

static char *send_body(size_t size, const char *more, const char *framing)
{
	static char zeros[1 << 20];
	int fd = connect_client();
	char head[256];
	char *ret;

	snprintf(head, sizeof(head), "POST /echo" END "%s%s\r\n", framing, more);
	put(fd, head, strlen(head));
	while (size) {
		size_t n = size < sizeof(zeros) ? size : sizeof(zeros);

		if (!put(fd, zeros, n))
			break;
		size -= n;
	}
	ret = get(fd, NULL);
	close(fd);
	return ret;
}

static void bodies_have_a_limit(void **state)
{
	char framing[64];
	char *a;

	(void)state;
	snprintf(framing, sizeof(framing), "Content-Length: %d\r\n", HTTP_BODY_MAX);
	a = send_body(HTTP_BODY_MAX, "", framing);
	assert_memory_equal(a, "HTTP/1.1 200", 12);
	free(a);
	assert_int_equal(seen.body_size, HTTP_BODY_MAX);
	/* the client that sends it all, and nothing else, sees why */
	snprintf(framing, sizeof(framing), "Content-Length: %d\r\n", HTTP_BODY_MAX + 1);
	a = send_body(HTTP_BODY_MAX + 1, "", framing);
	assert_memory_equal(a, "HTTP/1.1 413", 12);
	assert_non_null(strstr(a, "RequestEntityTooLargeException"));
	free(a);
	/* who asks first is told first */
	a = send_body(0, "Expect: 100-continue\r\n", framing);
	assert_memory_equal(a, "HTTP/1.1 413", 12);
	free(a);
	a = send_body(0, "", "Content-Length: 1000000000000\r\n");
	assert_memory_equal(a, "HTTP/1.1 413", 12);
	free(a);
	assert_int_equal(seen.calls, 1);
}

static void headers_are_not_injected(void **state)
{
	(void)state;
	assert_answer("GET /inject?v=plain" END "\r\n", "200", "X-A: plain\r\n");
	assert_answer("GET /inject?v=a%0d%0aSet-Cookie:%20b" END "\r\n", "500", "InternalError");
	assert_answer("GET /inject?v=a%0ab" END "\r\n", "500", NULL);
}

static void wait_for(const unsigned *value, unsigned want)
{
	struct mono start = mono_now();

	while (*value != want) {
		loop_once(loop, 10);
		assert_true(mono_ms_since(start) < WAIT_MS);
	}
}

static void answered_later(void **state)
{
	int fd[3];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = connect_client();
		say(fd[i], "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	wait_for(&seen.n_waiting, 3);
	/* in another order than they came, and twice on one connection */
	for (i = ARRAY_SIZE(fd); i-- > 0;)
		http_reply(seen.waiting[i], 200, "text/plain", "now", 3);
	seen.n_waiting = 0;
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		auto_free char *a = get(fd[i], "\r\n\r\nnow");

		assert_non_null(strstr(a, "200 OK"));
	}
	say(fd[0], "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	http_reply(seen.waiting[0], 200, "text/plain", "again", 5);
	free(get(fd[0], "\r\n\r\nagain"));
	for (i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static void client_gone_while_waiting(void **state)
{
	int fd = connect_client();

	(void)state;
	say(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	assert_int_equal(seen.gone, 0);
	close(fd);
	wait_for(&seen.gone, 1);
	assert_int_equal(seen.n_waiting, 0);
	/* gone with an unread answer in its queue: an error, not an end, to the kernel */
	fd = connect_client();
	say(fd, "GET /error HTTP/1.1\r\nHost: x\r\n\r\nGET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	close(fd);
	wait_for(&seen.gone, 2);
	/* a request that is answered is not told of */
	fd = connect_client();
	say(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	http_reply(seen.waiting[0], 200, "text/plain", "in time", 7);
	close(fd);
	assert_answer("GET /error" END "\r\n", "409", NULL);
	assert_int_equal(seen.gone, 2);
}

/* told once of a connection's end: idle, in a request, and not when it is let go of */
static void connection_held(void **state)
{
	int fd = connect_client();

	(void)state;
	say(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\nGET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	assert_int_equal(seen.ended, 0);
	close(fd);
	wait_for(&seen.ended, 1);
	assert_int_equal(seen.gone, 1);
	seen.hold = http_hold_free(seen.hold);

	fd = connect_client();
	say(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.calls, 3);
	close(fd);
	wait_for(&seen.ended, 2);
	seen.hold = http_hold_free(seen.hold);

	/* the request that asks for it: heard before its answer */
	fd = connect_client();
	say(fd, "GET /hold?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	close(fd);
	wait_for(&seen.ended, 3);
	http_reply(seen.waiting[--seen.n_waiting], 200, "text/plain", "late", 4);
	seen.hold = http_hold_free(seen.hold);

	fd = connect_client();
	say(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.calls, 5);
	seen.hold = http_hold_free(seen.hold);
	close(fd);
	assert_answer("GET /error" END "\r\n", "409", NULL);
	assert_int_equal(seen.ended, 3);
}

static void server_gone_while_waiting(void **state)
{
	int fd = connect_client();
	auto_free char *a = NULL;

	(void)state;
	say(fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for(&seen.n_waiting, 1);
	server = http_server_free(server);
	assert_null(http_header(seen.waiting[0], "Host"));
	http_reply(seen.waiting[0], 200, "text/plain", "too late", 8);
	a = get(fd, NULL);
	assert_memory_equal(a, "HTTP/1.1 503", 12);
	close(fd);
}

/* at its limit it stops accepting, and goes on as soon as a connection ends,
 * though nothing else happens then */
static void connections_have_a_limit(void **state)
{
	static int fd[HTTP_CONN_MAX + 20];
	struct mono start = mono_now();
	struct rlimit limit;
	unsigned i;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 2 * HTTP_CONN_MAX + 100)
		skip();
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = connect_client();
		say(fd[i], "GET /error HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	wait_for(&seen.calls, HTTP_CONN_MAX);
	for (i = 0; i < 10; i++)
		loop_once(loop, 0);
	assert_int_equal(seen.calls, HTTP_CONN_MAX);
	for (i = 0; i < 20; i++) {
		close(fd[i]);
		wait_for(&seen.calls, HTTP_CONN_MAX + i + 1);
	}
	for (; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	assert_true(mono_ms_since(start) < 60000);
}

/* ---- client ---- */

static struct {
	unsigned n;
	int status[4];
	size_t size;
	char error[200];
	struct httpc *free_this;
} got;

static void on_answer(struct httpc_answer *a, void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	got.status[i] = a->status;
	got.size = a->size;
	snprintf(got.error, sizeof(got.error), "%s", a->error);
	got.n++;
	if (got.free_this)
		got.free_this = httpc_free(got.free_this);
}

static void client_on_the_loop(void **state)
{
	static char big[3 << 20];
	static const char *const headers[] = { "X-One: two", NULL };
	static const char *const bad[] = { "X: a\r\nY: b", NULL };
	auto_free char *missing = rundir_file(dir, "missing");
	struct httpc *c = httpc_new(loop);

	(void)state;
	memset(&got, 0, sizeof(got));
	assert_non_null(c);
	memset(big, 'x', sizeof(big));
	assert_int_equal(httpc_start(c, sock_path, "GET", "/parts/a", headers, NULL, 0, 0,
				     on_answer, (void *)0),
			 0);
	assert_int_equal(httpc_start(c, sock_path, "PUT", "/echo", NULL, big, sizeof(big), 0,
				     on_answer, (void *)1),
			 0);
	assert_int_equal(got.n, 0);
	wait_for(&got.n, 2);
	assert_int_equal(got.status[0], 200);
	assert_int_equal(got.status[1], 200);
	assert_int_equal(httpc_start(c, sock_path, "GET", "/wait", NULL, NULL, 0, 20, on_answer,
				     (void *)2),
			 0);
	wait_for(&got.n, 3);
	assert_int_equal(got.status[2], 0);
	assert_string_not_equal(got.error, "");
	http_reply(seen.waiting[0], 200, NULL, NULL, 0);
	assert_int_equal(
		httpc_start(c, missing, "GET", "/", NULL, NULL, 0, 0, on_answer, (void *)3), 0);
	wait_for(&got.n, 4);
	assert_int_equal(got.status[3], 0);
	assert_int_equal(httpc_start(c, sock_path, "GET", "/", bad, NULL, 0, 0, on_answer, NULL),
			 -EINVAL);
	/* freed from inside an answer's function, with another one under way */
	assert_int_equal(httpc_start(c, sock_path, "GET", "/error", NULL, NULL, 0, 0, on_answer,
				     (void *)0),
			 0);
	assert_int_equal(httpc_start(c, sock_path, "GET", "/wait", NULL, NULL, 0, 0, on_answer,
				     (void *)0),
			 0);
	got.free_this = c;
	wait_for(&got.n, 5);
	assert_int_equal(got.status[0], 409);
	http_server_free(server);
	server = NULL;
	if (seen.n_waiting == 2)
		http_reply(seen.waiting[1], 200, NULL, NULL, 0);
}

/* the blocking client needs a server in another process */
static void client_blocking(void **state)
{
	auto_free char *missing = rundir_file(dir, "missing");
	auto_free char *nowhere = rundir_file(dir, "no/where");
	struct httpc_answer a;
	char type[64];
	pid_t pid;
	int status;

	(void)state;
	server = http_server_free(server);
	loop = loop_free(loop);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setup(NULL) < 0)
			_exit(1);
		while (seen.calls < 2)
			loop_once(loop, -1);
		loop_once(loop, 0);
		teardown(NULL);
		_exit(0);
	}
	/* no proxy of the environment is asked */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	/* until it listens: its path is stale, then gone, then there */
	for (;;) {
		int r = httpc_call(sock_path, "POST", "/echo", NULL, "abc", 3, 0, &a);

		if (r != -ECONNREFUSED && r != -ENOENT)
			break;
		httpc_answer_done(&a);
	}
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "abc");
	assert_int_equal(httpc_header(&a, "content-type", type, sizeof(type)), 0);
	assert_string_equal(type, "application/octet-stream");
	assert_int_equal(httpc_header(&a, "X-Nothing", type, sizeof(type)), -ENOENT);
	assert_int_equal(httpc_header(&a, "content-type", type, 4), -ENAMETOOLONG);
	httpc_answer_done(&a);
	assert_int_equal(httpc_call(sock_path, "GET", "/error", NULL, NULL, 0, 0, &a), 0);
	assert_int_equal(a.status, 409);
	httpc_answer_done(&a);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(httpc_call(sock_path, "GET", "/", NULL, NULL, 0, 0, &a), -ECONNREFUSED);
	assert_int_equal(a.status, 0);
	httpc_answer_done(&a);
	assert_int_equal(httpc_call(missing, "GET", "/", NULL, NULL, 0, 0, &a), -ENOENT);
	httpc_answer_done(&a);
	assert_int_equal(httpc_call(nowhere, "GET", "/", NULL, NULL, 0, 0, &a), -ENOENT);
	httpc_answer_done(&a);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

/* one directory with a long name and spaces for all: the long way is the usual way */
static int make_dir(void **state)
{
	static const char part[] = "a directory with spaces and a name that goes on and on";
	auto_buf struct buf b = BUF_INIT;
	int i;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	buf_adds(&b, dir);
	for (i = 0; i < 4; i++)
		buf_printf(&b, "/%s", part);
	if (buf_error(&b) < 0 || mkdir_p(b.s, 0700) < 0)
		return -1;
	sock_path = rundir_file(b.s, "http.sock");
	return sock_path ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	free(sock_path);
	return rm_rf(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(targets, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(heads_have_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(bodies_have_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(headers_are_not_injected, setup, teardown),
		cmocka_unit_test_setup_teardown(answered_later, setup, teardown),
		cmocka_unit_test_setup_teardown(client_gone_while_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(connection_held, setup, teardown),
		cmocka_unit_test_setup_teardown(server_gone_while_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_have_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(client_on_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(client_blocking, setup, teardown),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
