/* SPDX-License-Identifier: MIT */
/*
 * init_env - pid 1 of a function's environment: serves the Runtime API and the Extensions
 * API on the sandbox's loopback (rapi.c, extension.c), starts the extensions and the
 * runtime (provided: one process for all invocations; exec: one an invocation), reaps,
 * carries output, and tells sandboxd in messages what happened.  It has the function's
 * user and filter; what it says is believed no more than the function itself.
 *
 * Output written before an answer reaches sandboxd before the answer: the pipe
 * is emptied first.  While sandboxd doesn't read, the pipe isn't read either.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/init.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/limits.h"
#include "sandbox/rapi.h"

#define RUNTIME_PORT 9001
#define READ_SIZE (64 * 1024)

struct client {
	int fd;			/* owns; -1: free */
	struct rapi_conn *conn; /* owns */
};

/* an invocation that was received; owns its strings */
struct job {
	bool waits; /* not yet given to the runtime */
	char *id, *arn, *trace, *context, *payload;
	size_t size;
	long timeout_ms;
};

/*
 * the end of a life, with extensions (EX-3): first the runtime's, then theirs, then all
 * that is left is killed
 */
struct ending {
	enum { END_NONE, END_RUNTIME, END_EXTENSIONS } stage;
	bool reset; /* else the environment's own */
	const char *reason;
	struct mono began;
	int limit_ms, runtime_ms;
};

struct env {
	struct init *init;
	struct rapi api;
	struct client clients[LIMIT_RUNTIME_CONNS];
	int listen_fd, signal_fd;
	int log_read, log_write; /* the function's standard output and error */
	bool is_exec;
	pid_t runtime; /* 0: none runs */
	struct job job;
	struct extensions ext;
	bool begun; /* the init phase: extensions were started */
	bool told;  /* sandboxd knows that all wait for the next invocation */
	bool up;    /* the init phase is over */
	struct ending end;
	int out_fd;	     /* exec: its standard output; -1 */
	struct buf response; /* exec */
	bool too_large;
};

static void send_msg(struct env *e, enum wire_type type, size_t n, const struct wire_field *f)
{
	/* without memory for what has to be told there is no going on */
	if (wire_put(&e->init->out, type, n, f) < 0)
		_exit(124);
}

static void send_empty(struct env *e, enum wire_type type)
{
	send_msg(e, type, 0, NULL);
}

static void job_clear(struct job *j)
{
	free(j->id);
	free(j->arn);
	free(j->trace);
	free(j->context);
	free(j->payload);
	*j = (struct job){ 0 };
}

/* ---- output ---- */

/* one read; false: nothing there now */
static bool carry_log(struct env *e)
{
	char bytes[16384];
	ssize_t n = read(e->log_read, bytes, sizeof(bytes));
	struct wire_field f = wire_bytes(bytes, n > 0 ? (size_t)n : 0);

	if (n <= 0)
		return false;
	send_msg(e, WIRE_LOG, 1, &f);
	return true;
}

static void drain_log(struct env *e)
{
	while (e->init->out.len < LIMIT_LOG_BACKLOG && carry_log(e))
		;
}

static void carry_response(struct env *e)
{
	char bytes[READ_SIZE];
	ssize_t n;

	while (e->out_fd >= 0 && (n = read(e->out_fd, bytes, sizeof(bytes))) != -1) {
		if (!n) {
			close(e->out_fd);
			e->out_fd = -1;
			return;
		}
		if (e->response.len + (size_t)n > LIMIT_RESPONSE)
			e->too_large = true;
		else
			buf_add(&e->response, bytes, (size_t)n);
	}
}

/* ---- the runtime's processes ---- */

/* in the child: descriptors, then the program; 126, 127 and a line in the log if it can't be */
static void run_child(struct env *e, int in, int out, const char *program)
	__attribute__((noreturn));
static void run_child(struct env *e, int in, int out, const char *program)
{
	struct init *i = e->init;
	sigset_t none;
	char why[300];

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* can't fail */
	if (setsid() < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(e->log_write, 2) < 0 ||
	    chdir(i->cwd) < 0)
		_exit(126);
	environ = i->envp;
	execvp(program, i->argv);
	(void)snprintf(why, sizeof(why), "cannot run %.200s: %s\n", program, strerror(errno));
	if (write(2, why, strlen(why)) < 0)
		_exit(126); /* nobody else to tell */
	_exit(errno == ENOENT ? 127 : 126);
}

/* 0 or -errno */
static int start(struct env *e, int in, int out, const char *program)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		run_child(e, in, out, program);
	e->runtime = pid;
	return 0;
}

static void init_error(const char *type, const char *body, size_t size, void *arg)
{
	const struct wire_field f[] = { wire_bytes(type, strlen(type)), wire_bytes(body, size) };

	drain_log(arg);
	send_msg(arg, WIRE_INIT_ERROR, 2, f);
}

static void start_failed(struct env *e, const char *type, const char *why)
{
	auto_buf struct buf b = BUF_INIT, text = BUF_INIT;

	if (e->job.id)
		buf_printf(&text, "RequestId: %s ", e->job.id);
	buf_printf(&text, "Error: %s", why);
	buf_printf(&b, "{\"errorType\":\"%s\",\"errorMessage\":", type);
	buf_json(&b, buf_str(&text));
	buf_adds(&b, "}");
	job_clear(&e->job);
	e->api.state = RAPI_FAILED;
	init_error(type, buf_str(&b), b.len, e);
}

/* PKG-2: what the image, or the function's configuration of it, says */
static void start_entry_point(struct env *e)
{
	int r;

	if (!e->init->n_argv) {
		start_failed(e, "Runtime.InvalidEntrypoint", "the image names no program");
		return;
	}
	r = start(e, 0, e->log_write, e->init->argv[0]);
	if (r < 0)
		start_failed(e, "Runtime.Unknown", strerror(-r));
}

/* EX-13 */
static void start_bootstrap(struct env *e)
{
	static const char *const places[] = { "/var/runtime/bootstrap", "/var/task/bootstrap",
					      "/opt/bootstrap" };
	static char *argv[2];
	const char *program = NULL;
	size_t i;
	int r;

	/* a managed runtime is ours, whatever the code brings along; else the code's is */
	for (i = !strcmp(e->init->runtime, "managed") ? 0 :
		 MUTANT("bootstrap-place")	      ? 2 :
							1;
	     i < ARRAY_SIZE(places) && !program; i++)
		if (access(places[i], X_OK) == 0)
			program = places[i];
	if (!program) {
		start_failed(e, "Runtime.InvalidEntrypoint",
			     "Couldn't find valid bootstrap(s): "
			     "[/var/task/bootstrap /opt/bootstrap]");
		return;
	}
	argv[0] = (char *)program;
	e->init->argv = argv;
	r = start(e, 0, e->log_write, program);
	if (r < 0)
		start_failed(e, "Runtime.Unknown", strerror(-r));
}

/* the event: a file of its own, so that nobody has to feed a pipe */
static int event_file(const struct job *j)
{
	auto_close int fd = memfd_create("event", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, j->payload, j->size);
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : steal_fd(&fd);
}

static void start_command(struct env *e)
{
	auto_close int in = event_file(&e->job);
	int out[2], r;

	e->job.waits = false;
	buf_clear(&e->response);
	e->too_large = false;
	if (e->out_fd >= 0)
		close(e->out_fd); /* of an earlier one's, held open by what it left behind */
	e->out_fd = -1;
	r = in < 0 ? in : pipe2(out, O_CLOEXEC) < 0 ? -errno : 0;
	if (r < 0) {
		start_failed(e, "Runtime.Unknown", strerror(-r));
		return;
	}
	r = start(e, in, out[1], e->init->argv[0]);
	close(out[1]);
	e->out_fd = out[0];
	if (r < 0)
		start_failed(e, "Runtime.Unknown", strerror(-r));
	else if (fcntl(e->out_fd, F_SETFL, O_NONBLOCK) < 0)
		_exit(124);
}

/* the init phase: extensions first, the runtime when each of them has registered (EX-1) */
static void begin(struct env *e)
{
	char name[EXTENSION_NAME_MAX + 1] = "", why[400];
	int r;

	if (e->end.stage || e->runtime || e->api.state == RAPI_FAILED)
		return;
	if (!e->begun) {
		e->begun = true;
		r = init_ext_start(e->init, &e->ext, e->log_write, name, sizeof(name));
		if (r < 0) {
			(void)snprintf(why, sizeof(why), "extension %s: %s", name,
				       r == -E2BIG ? "there are more than 10" : strerror(-r));
			start_failed(e, "Extension.LaunchError", why);
			return;
		}
	}
	if (!extension_all_registered(&e->ext))
		return;
	if (!strcmp(e->init->runtime, "image"))
		start_entry_point(e);
	else
		start_bootstrap(e);
}

/* everything but this process ends, and what it held open goes */
static void end_all(struct env *e)
{
	size_t i;

	(void)kill(-1, SIGKILL); /* ESRCH: there is nobody */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	e->runtime = 0;
	for (i = 0; i < LIMIT_RUNTIME_CONNS; i++) {
		struct client *c = &e->clients[i];

		if (c->fd < 0)
			continue;
		c->conn = rapi_conn_free(c->conn);
		close(c->fd);
		c->fd = -1;
	}
	if (e->out_fd >= 0)
		close(e->out_fd);
	e->out_fd = -1;
	job_clear(&e->job);
	rapi_reset(&e->api);
	extension_reset(&e->ext);
	e->begun = e->told = e->up = false;
	e->end = (struct ending){ 0 };
	drain_log(e);
}

static void tell_exit(struct env *e, int status)
{
	char number[16];
	struct wire_field f;

	end_all(e);
	f = wire_bytes(number, (size_t)snprintf(number, sizeof(number), "%d", status));
	send_msg(e, WIRE_EXIT, 1, &f);
	if (e->is_exec)
		send_empty(e, WIRE_NEXT);
}

static void command_ended(struct env *e, int status)
{
	struct wire_field f[2];

	e->runtime = 0;
	carry_response(e);
	if (status) {
		tell_exit(e, status);
		return;
	}
	drain_log(e);
	f[0] = wire_bytes(e->job.id, strlen(e->job.id));
	f[1] = wire_bytes(buf_str(&e->response), e->response.len);
	send_msg(e, e->too_large ? WIRE_TOO_LARGE : WIRE_RESPONSE, e->too_large ? 1 : 2, f);
	buf_done(&e->response);
	job_clear(&e->job);
	send_empty(e, WIRE_NEXT);
}

/* ---- extensions ---- */

/* one of them failed: the environment is no good any more, and waits for its reset */
static void extension_failed(struct env *e, const char *type, const char *body, size_t size)
{
	const struct wire_field f[] = { wire_bytes(type, strlen(type)), wire_bytes(body, size) };

	if (e->api.state == RAPI_FAILED || e->end.stage || MUTANT("extension-crash"))
		return;
	e->api.state = RAPI_FAILED;
	drain_log(e);
	send_msg(e, e->up ? WIRE_CRASH : WIRE_INIT_ERROR, 2, f);
}

static void extension_fault(struct env *e, const char *type, const char *why)
{
	const char *id = e->job.id ? e->job.id : e->api.id;
	auto_buf struct buf b = BUF_INIT, text = BUF_INIT;

	if (*id)
		buf_printf(&text, "RequestId: %s ", id);
	buf_printf(&text, "Error: %s", why);
	buf_adds(&b, "{\"errorType\":");
	buf_json(&b, type);
	buf_adds(&b, ",\"errorMessage\":");
	buf_json(&b, buf_str(&text));
	buf_adds(&b, "}");
	extension_failed(e, type, buf_str(&b), b.len);
}

static void extension_ended(struct env *e, pid_t pid, int status)
{
	char why[80];
	size_t i;

	for (i = 0; i < e->ext.n && e->ext.v[i].pid != pid; i++)
		;
	if (i == e->ext.n)
		return;
	e->ext.v[i].pid = 0;
	if (WIFSIGNALED(status))
		(void)snprintf(why, sizeof(why), "signal: %s",
			       WTERMSIG(status) == SIGKILL ? "killed" :
							     strsignal(WTERMSIG(status)));
	else
		(void)snprintf(why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	extension_fault(e, "Extension.Crash", why);
}

static void on_failed(const char *name, bool init, const char *type, const char *body, size_t size,
		      void *arg)
{
	char why[200];

	if (size) {
		extension_failed(arg, type, body, size);
		return;
	}
	(void)snprintf(why, sizeof(why), "extension %.128s: %s error", name,
		       init ? "init" : "exit");
	extension_fault(arg, type, why);
}

static const char *on_variable(const char *name, void *arg)
{
	const struct env *e = arg;
	size_t len = strlen(name), i;

	for (i = 0; i < e->init->n_envp; i++)
		if (!strncmp(e->init->envp[i], name, len) && e->init->envp[i][len] == '=')
			return e->init->envp[i] + len + 1;
	return "";
}

static void log_extension(struct env *e, const struct extension *x)
{
	auto_buf struct buf b = BUF_INIT;
	struct wire_field f;

	buf_printf(&b, "EXTENSION\tName: %s\tState: %s\tEvents: [%s%s%s]\n", x->name,
		   extension_state_name(x), x->events & EXT_INVOKE ? "INVOKE" : "",
		   x->events == (EXT_INVOKE | EXT_SHUTDOWN) ? ", " : "",
		   x->events & EXT_SHUTDOWN ? "SHUTDOWN" : "");
	f = wire_bytes(buf_str(&b), b.len);
	send_msg(e, WIRE_LOG, 1, &f);
}

static void tell_extensions(struct env *e)
{
	char external[16], internal[16];
	size_t i, n = 0;
	struct wire_field f[2];

	for (i = 0; i < e->ext.n; i++)
		n += e->ext.v[i].external;
	f[0] = wire_bytes(external, (size_t)snprintf(external, sizeof(external), "%zu", n));
	f[1] = wire_bytes(internal,
			  (size_t)snprintf(internal, sizeof(internal), "%zu", e->ext.n - n));
	send_msg(e, WIRE_EXTENSIONS, 2, f);
}

/* runtime and extensions all wait: the phase is over, init or invoke (EX-1, EX-2) */
static void check_ready(struct env *e)
{
	size_t i;

	if (e->told || e->end.stage || e->api.state != RAPI_WAITING ||
	    !extension_all_ready(&e->ext))
		return;
	drain_log(e);
	for (i = 0; i < e->ext.n && !e->up; i++)
		log_extension(e, &e->ext.v[i]);
	e->told = e->up = true;
	send_empty(e, WIRE_NEXT);
}

static void on_moved(void *arg)
{
	struct env *e = arg;

	tell_extensions(e);
	if (e->begun)
		begin(e);
	check_ready(e);
}

static const struct extension_ops extension_ops = {
	.moved = on_moved,
	.variable = on_variable,
	.failed = on_failed,
};

/* ---- the end, with extensions ---- */

static void end_now(struct env *e)
{
	bool reset = e->end.reset;

	end_all(e);
	if (reset) {
		send_empty(e, WIRE_RESET_DONE);
		return;
	}
	init_flush(e->init);
	_exit(0);
}

static int end_left_ms(const struct env *e, int limit_ms)
{
	int left = limit_ms - (int)mono_ms_since(e->end.began);

	return left > 0 ? left : 0;
}

static bool any_external(const struct env *e)
{
	size_t i;

	for (i = 0; i < e->ext.n; i++)
		if (e->ext.v[i].pid)
			return true;
	return false;
}

/* the runtime's time is over, or it has ended by itself: the extensions' turn */
static void end_extensions(struct env *e)
{
	size_t i;

	if (e->runtime)
		(void)kill(-e->runtime, SIGKILL); /* it may have ended */
	e->end.stage = END_EXTENSIONS;
	for (i = 0; i < e->ext.n; i++)
		if (e->ext.v[i].pid && !(e->ext.v[i].events & EXT_SHUTDOWN))
			(void)kill(-e->ext.v[i].pid, SIGKILL);
	if (extension_shutdown(&e->ext, e->end.reason,
			       wall_ms() + end_left_ms(e, e->end.limit_ms)) < 0)
		end_now(e);
}

static void end_step(struct env *e)
{
	if (e->end.stage == END_RUNTIME && (!e->runtime || !end_left_ms(e, e->end.runtime_ms)))
		end_extensions(e);
	if (e->end.stage == END_EXTENSIONS &&
	    (!any_external(e) || !end_left_ms(e, e->end.limit_ms)))
		end_now(e);
}

/* EX-3 */
static void end_begin(struct env *e, const char *reason, bool reset)
{
	bool external = any_external(e);

	if (e->end.stage) {
		e->end.reset = reset;
		return;
	}
	e->end = (struct ending){
		.stage = END_RUNTIME,
		.reset = reset,
		.reason = reason,
		.began = mono_now(),
		.limit_ms = MUTANT("extension-shutdown-limit") ? 60000 :
			    external			       ? LIMIT_SHUTDOWN_MS :
								 LIMIT_SHUTDOWN_INTERNAL_MS,
		.runtime_ms = external ? LIMIT_SHUTDOWN_RUNTIME_MS : LIMIT_SHUTDOWN_INTERNAL_MS,
	};
	if (!e->ext.n || MUTANT("extension-shutdown"))
		end_now(e);
	else if (reset || !e->runtime)
		end_extensions(e); /* after a failure the runtime isn't asked */
	else
		(void)kill(e->runtime, SIGTERM); /* not reaped: still this one */
	end_step(e);
}

static void runtime_ended(struct env *e, int status)
{
	char number[16];
	struct wire_field f[2];

	if (!e->ext.n) {
		tell_exit(e, status);
		return;
	}
	e->runtime = 0;
	if (e->end.stage || e->api.state == RAPI_FAILED)
		return;
	/* extensions are told of it by the reset */
	e->api.state = RAPI_FAILED;
	drain_log(e);
	f[0] = wire_bytes(number, (size_t)snprintf(number, sizeof(number), "%d", status));
	f[1] = wire_bytes("1", 1);
	send_msg(e, WIRE_EXIT, 2, f);
}

static void reap(struct env *e)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(e->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != e->runtime)
			extension_ended(e, pid, status);
		else if (e->is_exec)
			command_ended(e, status);
		else
			runtime_ended(e, status);
	}
	end_step(e);
}

/* ---- the Runtime API ---- */

static void give(struct env *e)
{
	struct job *j = &e->job;
	struct rapi_invocation inv = {
		.id = j->id,
		.arn = j->arn,
		.trace_id = j->trace,
		.client_context = j->context,
		.deadline_ms = wall_ms() + j->timeout_ms,
		.payload = j->payload,
		.size = j->size,
	};

	e->told = false;
	if (extension_invoke(&e->ext, &inv) < 0 || rapi_invoke(&e->api, &inv) < 0)
		_exit(124);
	job_clear(j);
}

static void on_next(void *arg)
{
	struct env *e = arg;

	e->ext.closed = true;
	check_ready(e);
}

static void on_response(const char *id, const char *body, size_t size, void *arg)
{
	const struct wire_field f[] = { wire_bytes(id, strlen(id)), wire_bytes(body, size) };

	drain_log(arg);
	send_msg(arg, WIRE_RESPONSE, 2, f);
}

static void on_error(const char *id, const char *type, const char *body, size_t size, void *arg)
{
	const struct wire_field f[] = { wire_bytes(id, strlen(id)), wire_bytes(type, strlen(type)),
					wire_bytes(body, size) };

	drain_log(arg);
	send_msg(arg, WIRE_ERROR, 3, f);
}

static void on_too_large(const char *id, void *arg)
{
	const struct wire_field f = wire_bytes(id, strlen(id));

	drain_log(arg);
	send_msg(arg, WIRE_TOO_LARGE, 1, &f);
}

static void on_stream(const char *id, const char *content_type, void *arg)
{
	const struct wire_field f[] = { wire_bytes(id, strlen(id)),
					wire_bytes(content_type, strlen(content_type)) };

	drain_log(arg);
	send_msg(arg, WIRE_STREAM, 2, f);
}

static void on_stream_piece(const char *id, const char *data, size_t size, void *arg)
{
	const struct wire_field f[] = { wire_bytes(id, strlen(id)), wire_bytes(data, size) };

	send_msg(arg, WIRE_STREAM_PIECE, 2, f);
}

static void on_stream_end(const char *id, const char *type, const char *body, void *arg)
{
	const struct wire_field f[] = { wire_bytes(id, strlen(id)),
					wire_bytes(type ? type : "", type ? strlen(type) : 0),
					wire_bytes(body, strlen(body)) };

	drain_log(arg);
	send_msg(arg, WIRE_STREAM_END, type ? 3 : 1, f);
}

static const struct rapi_ops api_ops = {
	.next = on_next,
	.response = on_response,
	.error = on_error,
	.init_error = init_error,
	.too_large = on_too_large,
	.stream = on_stream,
	.stream_piece = on_stream_piece,
	.stream_end = on_stream_end,
};

static void client_drop(struct client *c)
{
	c->conn = rapi_conn_free(c->conn);
	close(c->fd);
	c->fd = -1;
}

/* writes what there is; false: the client was dropped */
static bool client_flush(struct client *c)
{
	struct buf *b = &c->conn->out;
	ssize_t n;

	while (b->len) {
		n = send(c->fd, b->s, b->len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			client_drop(c);
			return false;
		}
		b->len -= (size_t)n;
		memmove(b->s, b->s + n, b->len);
	}
	if (b->cap > LIMIT_LOG_BACKLOG)
		buf_done(b);
	if (!c->conn->close)
		return true;
	client_drop(c);
	return false;
}

static void client_read(struct client *c)
{
	static char bytes[READ_SIZE];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		rapi_conn_feed(c->conn, bytes, (size_t)n);
	else
		rapi_conn_end(c->conn);
}

static void client_accept(struct env *e)
{
	int fd = accept4(e->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
	size_t i;

	if (fd < 0)
		return;
	for (i = 0; i < LIMIT_RUNTIME_CONNS && e->clients[i].fd >= 0; i++)
		;
	if (i == LIMIT_RUNTIME_CONNS) {
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only latency */
	e->clients[i].conn = rapi_conn_new(&e->api);
	if (e->clients[i].conn)
		e->clients[i].fd = fd;
	else
		close(fd);
}

/* ---- messages ---- */

static char *copy_field(const struct wire_msg *m, size_t idx)
{
	char *s = malloc(m->field[idx].size + 1);

	if (!s)
		_exit(124);
	if (m->field[idx].size)
		memcpy(s, m->field[idx].data, m->field[idx].size);
	s[m->field[idx].size] = '\0';
	return s;
}

static void take_invocation(struct env *e, const struct wire_msg *m)
{
	struct job *j = &e->job;

	if (m->n != 6)
		_exit(123);
	job_clear(j);
	j->waits = true;
	j->id = copy_field(m, 0);
	if (wire_number(m, 1, &j->timeout_ms) < 0)
		_exit(123);
	j->arn = copy_field(m, 2);
	j->trace = copy_field(m, 3);
	j->context = copy_field(m, 4);
	j->payload = copy_field(m, 5);
	j->size = m->field[5].size;
}

static void take_messages(struct env *e)
{
	struct wire_msg m;
	long n = wire_in_read(&e->init->in, INIT_FD_PAIR);
	int r;

	if (n == 0 || (n < 0 && n != -EAGAIN))
		_exit(0); /* sandboxd let go: all ends here */
	while ((r = wire_in_next(&e->init->in, &m)) > 0) {
		if (m.type == WIRE_INVOKE) {
			take_invocation(e, &m);
		} else if (m.type == WIRE_RESET) {
			bool late = m.n && m.field[0].size == 7 &&
				    !memcmp(m.field[0].data, "timeout", 7);

			end_begin(e, late ? "timeout" : "failure", true);
		} else if (m.type == WIRE_SHUTDOWN) {
			end_begin(e, "spindown", false);
		}
	}
	if (r < 0)
		_exit(123);
}

/* what an invocation that waits needs next */
static void move_on(struct env *e)
{
	if (!e->job.waits)
		return;
	if (e->is_exec) {
		if (!e->runtime)
			start_command(e);
	} else if (!e->runtime) {
		/* what failed to start waits for its reset */
		begin(e);
	} else if (e->told && !e->end.stage && e->api.state == RAPI_WAITING) {
		give(e);
	}
}

/* ---- the loop ---- */

enum {
	P_PAIR,
	P_SIGNAL,
	P_LISTEN,
	P_LOG,
	P_OUT,
	P_CLIENTS,
	N_POLL = P_CLIENTS + LIMIT_RUNTIME_CONNS
};

static void wait_for_anything(struct env *e, struct pollfd p[N_POLL])
{
	bool full = e->init->out.len >= LIMIT_LOG_BACKLOG;
	int ms = -1;
	size_t i;

	p[P_PAIR] = (struct pollfd){ .fd = INIT_FD_PAIR,
				     .events = POLLIN | (e->init->out.len ? POLLOUT : 0) };
	p[P_SIGNAL] = (struct pollfd){ .fd = e->signal_fd, .events = POLLIN };
	p[P_LISTEN] = (struct pollfd){ .fd = e->listen_fd, .events = POLLIN };
	p[P_LOG] = (struct pollfd){ .fd = full ? -1 : e->log_read, .events = POLLIN };
	p[P_OUT] = (struct pollfd){ .fd = e->out_fd, .events = POLLIN };
	for (i = 0; i < LIMIT_RUNTIME_CONNS; i++) {
		const struct client *c = &e->clients[i];

		/* who waits in "next" is read from, too: its end must be noticed */
		p[P_CLIENTS + i] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
		/* sandboxd can't take more of the response now */
		if (c->fd >= 0 && c->conn->streaming && full)
			p[P_CLIENTS + i].events = 0;
		if (c->fd >= 0 && c->conn->out.len)
			p[P_CLIENTS + i].events |= POLLOUT;
	}
	if (e->end.stage)
		ms = end_left_ms(e,
				 e->end.stage == END_RUNTIME ? e->end.runtime_ms : e->end.limit_ms);
	while (poll(p, N_POLL, ms) < 0)
		if (errno != EINTR)
			_exit(124);
}

static void serve_clients(struct env *e, const struct pollfd p[N_POLL])
{
	size_t i;

	for (i = 0; i < LIMIT_RUNTIME_CONNS; i++)
		if (p[P_CLIENTS + i].fd >= 0 && p[P_CLIENTS + i].fd == e->clients[i].fd &&
		    p[P_CLIENTS + i].revents & (POLLIN | POLLHUP | POLLERR))
			client_read(&e->clients[i]);
	move_on(e);
	for (i = 0; i < LIMIT_RUNTIME_CONNS; i++)
		if (e->clients[i].fd >= 0)
			(void)client_flush(&e->clients[i]);
}

static void serve(struct env *e)
{
	struct pollfd p[N_POLL];

	for (;;) {
		wait_for_anything(e, p);
		if (p[P_PAIR].revents & (POLLIN | POLLHUP | POLLERR))
			take_messages(e);
		if (p[P_LOG].revents)
			(void)carry_log(e);
		if (p[P_OUT].revents)
			carry_response(e);
		if (p[P_LISTEN].revents)
			client_accept(e);
		serve_clients(e, p);
		/* ends are seen last: what was written before them has been read */
		if (p[P_SIGNAL].revents)
			reap(e);
		end_step(e);
		move_on(e);
		if (wire_flush(&e->init->out, INIT_FD_PAIR) < 0)
			_exit(0);
	}
}

static int open_door(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(RUNTIME_PORT),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, LIMIT_RUNTIME_CONNS) < 0)
		return -errno;
	return fd;
}

static int set_up(struct env *e)
{
	sigset_t chld;
	int log[2];
	size_t i;

	for (i = 0; i < LIMIT_RUNTIME_CONNS; i++)
		e->clients[i].fd = -1;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &chld, NULL) < 0 || pipe2(log, O_CLOEXEC) < 0)
		return -errno;
	e->log_read = log[0];
	e->log_write = log[1];
	e->signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (e->signal_fd < 0 || fcntl(e->log_read, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(INIT_FD_PAIR, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	e->listen_fd = open_door();
	return e->listen_fd < 0 ? e->listen_fd : 0;
}

void init_env(struct init *i)
{
	static struct env e;
	int r;

	e = (struct env){ .init = i, .out_fd = -1, .is_exec = !strcmp(i->runtime, "exec") };
	rapi_init(&e.api, &api_ops, &e);
	extension_init(&e.ext, &extension_ops, &e);
	e.api.extensions = &e.ext;
	i->step = "open the Runtime API";
	r = set_up(&e);
	if (!r)
		r = init_drop(i);
	if (r < 0)
		init_fail(i, i->step, -r);
	send_empty(&e, WIRE_READY);
	/* the invocation that it is made for is there by now, and names errors */
	take_messages(&e);
	if (e.is_exec)
		send_empty(&e, WIRE_NEXT);
	else
		begin(&e);
	serve(&e);
	_exit(0);
}
