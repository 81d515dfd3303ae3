/* SPDX-License-Identifier: MIT */
/*
 * responder_link - netd's end of the responder (responder_link.h).
 *
 * One request at a time on a blocking SOCK_SEQPACKET connection with a time
 * limit: the responder answers within microseconds, or it is taken for dead,
 * killed and replaced.  It is one of ours as long as RUN/responder.lock is held:
 * the lock is made here, inherited by it, and by nobody else.
 *
 * Whoever it is that ends a responder, the pidfd tells it; the next one is
 * started from the loop, and responder_link_fn has the labs hand over again.
 */
#include "netd/responder_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/ns.h"
#include "lib/proc.h"
#include "lib/sock.h"
#include "lib/util.h"
#include "netd/responder.h"

#define ANSWER_MS 5000 /* past it, it is taken for dead */
#define BACKLOG 1024
#define RESTART_MS 200 /* between attempts to start one */
#define KEYS_PER_MESSAGE 500

struct responder_link {
	struct loop *loop;
	char *run; /* owns */
	pid_t pid;
	int pidfd;	   /* ours; the loop has one of its own */
	int sock;	   /* -1: none */
	bool same_version; /* of the responder that answered last */
	struct loop_event *child, *retry;
	responder_link_fn fn;
	void *arg;
};

/* ---- requests ---- */

static int link_revive(struct responder_link *k, struct err *e);
static void link_lost(struct responder_link *k);

/* one message and its answer; "ret_fd" (may be NULL) takes the answer's descriptor.
 * -EPIPE and the like: nobody answers; -EPROTO: it refuses, "e" says why */
static int exchange(struct responder_link *k, const char *text, const int *fds, size_t n_fds,
		    int *ret_fd, struct err *e)
{
	auto_json cJSON *answer = NULL;
	auto_close int fd = -1;
	char buf[1024];
	size_t n_got = 1;
	ssize_t n;

	n = sock_send_fds(k->sock, text, strlen(text), fds, n_fds);
	if (n >= 0)
		n = sock_recv_fds(k->sock, buf, sizeof(buf), &fd, &n_got);
	if (n <= 0)
		return n ? (int)n : -EPIPE;
	answer = json_parse(buf, (size_t)n, NULL);
	k->same_version = strcmp(json_str(answer, "version", VERSION), VERSION) == 0;
	if (!json_bool(answer, "ok", false))
		return err_set(e, ERR_UNAVAILABLE, EPROTO, "responder: %s",
			       json_str(answer, "error", "an answer that is none"));
	if (ret_fd)
		*ret_fd = steal_fd(&fd);
	return 0;
}

/* a responder that doesn't answer is replaced at once, and asked again */
static int link_call(struct responder_link *k, const char *text, const int *fds, size_t n_fds,
		     int *ret_fd, struct err *e)
{
	int tries, r = 0;

	for (tries = 0; tries < 2; tries++) {
		if (k->sock < 0) {
			r = link_revive(k, e);
			if (r < 0)
				return r;
		}
		r = exchange(k, text, fds, n_fds, ret_fd, e);
		if (r == 0 || r == -EPROTO)
			return r;
		link_lost(k);
	}
	return err_set(e, ERR_UNAVAILABLE, -r, "responder: %s", strerror(-r));
}

char *responder_link_key(const struct item *it)
{
	char *key;

	return asprintf(&key, "%s %s %s", it->ns, it->key, it->val) < 0 ? NULL : key;
}

static void add_quoted(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "\"%s\":", name);
	buf_json(b, value);
}

/* ---- sockets ---- */

/* an item in parts */
struct wish {
	char proto[8], addr[64], kind[16], name[256];
	unsigned port;
};

static int wish_parse(const struct item *it, struct wish *w)
{
	if (sscanf(it->key, "%7s %63s %u", w->proto, w->addr, &w->port) != 3 || w->port > 65535)
		return -EINVAL;
	return sscanf(it->val, "%15s %255s", w->kind, w->name) == 2 ? 0 : -EINVAL;
}

struct opening {
	const struct item *const *items;
	size_t n, done;
	int fds[RESPONDER_FDS_MAX];
	int error;
};

static int open_one(const struct item *it)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	auto_close int fd = -1;
	struct addr a;
	struct wish w;
	bool stream;
	int on = 1;

	if (wish_parse(it, &w) < 0 || addr_parse(w.addr, &a) < 0 || a.family != AF_INET)
		return -EINVAL;
	stream = strcmp(w.proto, "tcp") == 0;
	fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	sa.sin_port = htons((uint16_t)w.port);
	sa.sin_addr.s_addr = htonl(addr_to_v4(&a));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (stream && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || (stream && listen(fd, BACKLOG) < 0))
		return -errno;
	return steal_fd(&fd);
}

static int open_all(void *arg)
{
	struct opening *o = arg;

	for (o->done = 0; o->done < o->n; o->done++) {
		int fd = fault_hit();

		if (fd == 0)
			fd = open_one(o->items[o->done]);
		if (fd < 0) {
			o->error = fd;
			break;
		}
		o->fds[o->done] = fd;
	}
	return 0;
}

static char *add_message(const char *lab, const struct item *const *items, size_t n)
{
	struct buf b = BUF_INIT;
	size_t i;

	buf_adds(&b, "{\"op\":\"add\",");
	add_quoted(&b, "lab", lab);
	buf_adds(&b, ",\"socks\":[");
	for (i = 0; i < n; i++) {
		auto_free char *key = responder_link_key(items[i]);
		struct wish w;

		if (!key || wish_parse(items[i], &w) < 0) {
			buf_done(&b);
			return NULL;
		}
		buf_adds(&b, i ? ",{" : "{");
		add_quoted(&b, "key", key);
		buf_printf(&b, ",\"kind\":\"%s\",\"proto\":\"%s\",\"port\":%u,", w.kind, w.proto,
			   w.port);
		if (strcmp(w.kind, "dns") == 0) /* a VPC may be called "public" */
			add_quoted(&b, "view", items[i]->ns);
		else
			add_quoted(&b, "node", w.name);
		buf_adds(&b, "}");
	}
	buf_adds(&b, "]}");
	return buf_steal(&b);
}

/* at most RESPONDER_FDS_MAX */
static size_t add_some(struct responder_link *k, const char *lab, int ns_fd,
		       const struct item *const *items, size_t n, struct err *e)
{
	struct opening o = { .items = items, .n = n };
	auto_free char *text = NULL;
	size_t i;
	int r;

	r = ns_do(ns_fd, open_all, &o);
	if (r < 0 || o.done == 0) {
		r = r < 0 ? r : o.error;
		err_set(e, ERR_KERNEL, -r, "%s: socket %s: %s", items[0]->ns, items[0]->key,
			strerror(-r));
		return 0;
	}
	text = add_message(lab, items, o.done);
	if (!text)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	else
		r = link_call(k, text, o.fds, o.done, NULL, e);
	for (i = 0; i < o.done; i++)
		close(o.fds[i]);
	if (r < 0)
		return 0;
	if (o.done < n)
		err_set(e, ERR_KERNEL, -o.error, "%s: socket %s: %s", items[o.done]->ns,
			items[o.done]->key, strerror(-o.error));
	return o.done;
}

size_t responder_link_add(struct responder_link *k, const char *lab, int ns_fd,
			  const struct item *const *items, size_t n, struct err *e)
{
	size_t done = 0;

	while (done < n) {
		size_t now = n - done < RESPONDER_FDS_MAX ? n - done : RESPONDER_FDS_MAX;
		size_t got = add_some(k, lab, ns_fd, items + done, now, e);

		done += got;
		if (got < now)
			break;
	}
	return done;
}

int responder_link_del_keys(struct responder_link *k, const char *lab, const cJSON *keys,
			    struct err *e)
{
	const cJSON *at = keys ? keys->child : NULL;

	while (at) {
		auto_buf struct buf b = BUF_INIT;
		int n, r;

		buf_adds(&b, "{\"op\":\"del\",");
		add_quoted(&b, "lab", lab);
		buf_adds(&b, ",\"keys\":[");
		for (n = 0; at && n < KEYS_PER_MESSAGE; at = at->next, n++) {
			buf_adds(&b, n ? "," : "");
			buf_json(&b, at->valuestring);
		}
		buf_adds(&b, "]}");
		if (buf_error(&b))
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		r = link_call(k, buf_str(&b), NULL, 0, NULL, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int responder_link_del(struct responder_link *k, const char *lab, const struct item *const *items,
		       size_t n, struct err *e)
{
	auto_json cJSON *keys = cJSON_CreateArray();
	size_t i;

	for (i = 0; keys && i < n; i++) {
		auto_free char *key = responder_link_key(items[i]);

		if (!key || !cJSON_AddItemToArray(keys, cJSON_CreateString(key)))
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (!keys)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return responder_link_del_keys(k, lab, keys, e);
}

int responder_link_drop_lab(struct responder_link *k, const char *lab, struct err *e)
{
	auto_buf struct buf b = BUF_INIT;

	buf_adds(&b, "{\"op\":\"dels\",");
	add_quoted(&b, "lab", lab);
	buf_adds(&b, "}");
	if (buf_error(&b))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return link_call(k, buf_str(&b), NULL, 0, NULL, e);
}

int responder_link_view(struct responder_link *k, const char *lab, const char *view,
			const cJSON *zone, struct err *e)
{
	auto_free char *text = json_print(zone);
	auto_buf struct buf b = BUF_INIT;
	auto_close int fd = -1;

	buf_adds(&b, "{\"op\":\"view\",");
	add_quoted(&b, "lab", lab);
	buf_adds(&b, ",");
	add_quoted(&b, "view", view);
	buf_adds(&b, "}");
	if (!text || buf_error(&b))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	fd = proc_memfd("zone", text, strlen(text));
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, -fd, "memfd: %s", strerror(-fd));
	return link_call(k, buf_str(&b), &fd, 1, NULL, e);
}

#define LIST_MESSAGE "{\"op\":\"list\"}"

int responder_link_list(struct responder_link *k, cJSON **ret, struct err *e)
{
	auto_close int fd = -1;
	auto_free char *text = NULL;
	size_t size;
	int r;

	r = link_call(k, LIST_MESSAGE, NULL, 0, &fd, e);
	if (r < 0)
		return r;
	r = fd < 0 || lseek(fd, 0, SEEK_SET) < 0 ? -EBADMSG :
						   read_fd(fd, RESPONDER_ZONE_MAX, &text, &size);
	if (r < 0)
		return err_set(e, ERR_UNAVAILABLE, -r, "responder: list: %s", strerror(-r));
	*ret = json_parse(text, size, NULL);
	return *ret ? 0 : err_set(e, ERR_UNAVAILABLE, EPROTO, "responder: list: no JSON");
}

/* ---- its life ---- */

static char *run_path(const struct responder_link *k, const char *name)
{
	return rundir_file(k->run, name);
}

/* a descriptor of the lock file, held; -EAGAIN: somebody holds it */
static int lock_take(const struct responder_link *k)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_free char *path = run_path(k, "responder.lock");
	auto_close int fd = -1;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lk) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* waits for the end of a process that may not be a child of ours */
static int wait_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n = poll(&p, 1, ANSWER_MS);

	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	(void)proc_wait(pidfd, 0, NULL); /* reaps it if it is one */
	return 0;
}

int responder_link_kill(const char *run)
{
	pid_t pid = rundir_pid(run, "responder");
	auto_close int pidfd = -1;
	int i;

	if (pid == 0)
		return 0;
	pidfd = proc_open(pid);
	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	/* asked again with the pidfd at hand: while the lock is held the pid is its holder's */
	if (rundir_pid(run, "responder") != pid)
		return 0;
	i = proc_signal(pidfd, SIGKILL);
	if (i < 0)
		return i == -ESRCH ? 0 : i;
	return wait_gone(pidfd);
}

static void child_gone(pid_t pid, int status, void *arg);

/* the program beside our own, opened so that it can be run whatever our rights
 * to its folder become */
static int program_open(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - sizeof("responder"));
	char *slash;
	int fd;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	strcpy(slash + 1, "responder");
	fd = open(self, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int log_open(const struct responder_link *k)
{
	auto_free char *path = run_path(k, "responder.log");
	int fd;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int pid_write(const struct responder_link *k, pid_t pid)
{
	auto_free char *path = run_path(k, "responder.pid");
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)pid);

	return path ? write_file_atomic(path, text, (size_t)n, 0644) : -ENOMEM;
}

static int link_start(struct responder_link *k, struct err *e)
{
	char own[16]; /* our pid: until it is connected, the responder goes with us */
	char *const argv[] = { (char *)"responder", own, NULL };
	auto_free char *path = run_path(k, "responder.sock");
	auto_close int lock = -1, listen_fd = -1, exe = -1, log = -1;
	struct proc_spec spec = { .argv = argv, .session = true };
	int fds[5], r;

	snprintf(own, sizeof(own), "%d", (int)getpid());
	lock = lock_take(k);
	if (lock < 0)
		return err_set(e, ERR_UNAVAILABLE, -lock, "%s/responder.lock: %s", k->run,
			       strerror(-lock));
	listen_fd = path ? sock_listen(path, SOCK_SEQPACKET, 0600, (gid_t)-1) : -ENOMEM;
	if (listen_fd < 0)
		return err_set(e, ERR_UNAVAILABLE, -listen_fd, "%s: %s", path ? path : k->run,
			       strerror(-listen_fd));
	exe = program_open();
	log = log_open(k);
	if (exe < 0 || log < 0) {
		r = exe < 0 ? exe : log;
		return err_set(e, ERR_UNAVAILABLE, -r, "%s: %s",
			       exe < 0 ? "the program responder beside netd" : "responder.log",
			       strerror(-r));
	}
	fds[0] = -1;
	fds[1] = -1;
	fds[2] = log;
	fds[3] = listen_fd;
	fds[4] = lock;
	spec.exec_fd = exe;
	spec.fds = fds;
	spec.n_fds = ARRAY_SIZE(fds);
	r = proc_spawn(&spec, &k->pid, &k->pidfd, e);
	if (r < 0)
		return err_wrap(e, "responder");
	r = pid_write(k, k->pid);
	if (r < 0)
		return err_set(e, ERR_UNAVAILABLE, -r, "responder.pid: %s", strerror(-r));
	return 0;
}

static int link_connect(struct responder_link *k)
{
	auto_free char *path = run_path(k, "responder.sock");
	struct timeval limit = { ANSWER_MS / 1000, 0 };
	auto_close int fd = -1;

	if (!path)
		return -ENOMEM;
	fd = sock_connect(path, SOCK_SEQPACKET);
	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	k->sock = steal_fd(&fd);
	return 0;
}

/* the loop tells when it ends; its own descriptor, for it closes that */
static int link_watch(struct responder_link *k, struct err *e)
{
	int fd = fcntl(k->pidfd, F_DUPFD_CLOEXEC, 3);

	if (fd >= 0)
		k->child = loop_child(k->loop, k->pid, fd, child_gone, k);
	if (k->child)
		return 0;
	if (fd >= 0)
		close(fd);
	return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

/* one that runs already, of this very version: between two there may be another
 * protocol.  -ENOENT: none that will do */
static int link_find(struct responder_link *k)
{
	struct err e = { .code = ERR_NONE };

	k->pid = rundir_pid(k->run, "responder");
	if (k->pid == 0)
		return -ENOENT;
	k->pidfd = proc_open(k->pid);
	if (k->pidfd < 0 || link_connect(k) < 0)
		return -ENOENT;
	return exchange(k, LIST_MESSAGE, NULL, 0, NULL, &e) < 0 || !k->same_version ? -ENOENT : 0;
}

static void link_forget(struct responder_link *k)
{
	k->child = loop_event_free(k->child);
	if (k->sock >= 0)
		close(k->sock);
	if (k->pidfd >= 0)
		close(k->pidfd);
	k->sock = -1;
	k->pidfd = -1;
	k->pid = 0;
}

static int link_up(struct responder_link *k, struct err *e)
{
	int r;

	if (link_find(k) == 0)
		return link_watch(k, e);
	link_forget(k);
	r = responder_link_kill(k->run); /* one that doesn't answer */
	if (r < 0)
		return err_set(e, ERR_UNAVAILABLE, -r, "the old responder doesn't end: %s",
			       strerror(-r));
	r = link_start(k, e);
	if (r == 0)
		r = link_connect(k) < 0 ? err_set(e, ERR_UNAVAILABLE, ECONNREFUSED,
						  "responder.sock: no connection") :
					  0;
	if (r == 0)
		r = link_watch(k, e);
	if (r < 0) {
		if (k->pidfd >= 0)
			(void)proc_signal(k->pidfd, SIGKILL);
		link_forget(k);
	}
	return r;
}

static void link_again(void *arg)
{
	struct responder_link *k = arg;
	struct err e = { .code = ERR_NONE };

	k->retry = loop_event_free(k->retry);
	if (k->sock < 0 && link_up(k, &e) < 0) {
		log_warn("%s; trying again", e.msg);
		k->retry = loop_timer(k->loop, RESTART_MS, link_again, k);
		return;
	}
	log_info("responder started again pid=%d", (int)k->pid);
	k->fn(k->arg);
}

/* from the loop, so that no caller is told in the middle of its work */
static void tell_later(struct responder_link *k)
{
	loop_event_free(k->retry);
	k->retry = loop_timer(k->loop, 0, link_again, k);
}

static void child_gone(pid_t pid, int status, void *arg)
{
	struct responder_link *k = arg;

	(void)status;
	log_warn("the responder has ended, starting another pid=%d", (int)pid);
	k->child = NULL; /* frees itself */
	link_forget(k);
	tell_later(k);
}

static void link_lost(struct responder_link *k)
{
	log_warn("the responder doesn't answer, starting another pid=%d", (int)k->pid);
	if (k->pidfd >= 0 && proc_signal(k->pidfd, SIGKILL) == 0)
		(void)wait_gone(k->pidfd); /* link_up() says so if it stays */
	link_forget(k);
}

static int link_revive(struct responder_link *k, struct err *e)
{
	int r = link_up(k, e);

	tell_later(k);
	return r;
}

int responder_link_open(struct loop *l, const char *run, responder_link_fn fn, void *arg,
			struct responder_link **ret, struct err *e)
{
	struct responder_link *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	k->loop = l;
	k->sock = -1;
	k->pidfd = -1;
	k->fn = fn;
	k->arg = arg;
	k->run = strdup(run);
	r = k->run ? link_up(k, e) : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0) {
		responder_link_close(k);
		return r;
	}
	*ret = k;
	return 0;
}

struct responder_link *responder_link_close(struct responder_link *k)
{
	if (!k)
		return NULL;
	loop_event_free(k->retry);
	link_forget(k);
	free(k->run);
	free(k);
	return NULL;
}

void responder_link_stop(struct responder_link *k)
{
	static const char *const files[] = { "responder.sock", "responder.pid", "responder.lock",
					     "responder.log" };
	size_t i;

	k->retry = loop_event_free(k->retry);
	k->child = loop_event_free(k->child);
	if (k->pidfd >= 0 && proc_signal(k->pidfd, SIGTERM) == 0)
		(void)wait_gone(k->pidfd); /* gc finds what stays */
	link_forget(k);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *path = run_path(k, files[i]);

		if (path)
			(void)unlink(path);
	}
}

pid_t responder_link_pid(const struct responder_link *k)
{
	return k->pid;
}
