/* SPDX-License-Identifier: MIT */
/*
 * logs - the output of functions and programs.  What is there comes over HTTP;
 * -f gets the files themselves and reads on as they grow.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/door.h"
#include "cli/out.h"
#include "lib/util.h"

#define LINE_MAX_SIZE (64 * 1024) /* a longer line comes in pieces */
#define ASK_AGAIN_MS 500

struct file {
	char *node; /* owns */
	int fd;	    /* owns */
	dev_t dev;
	ino_t ino;
	struct buf line; /* what came since the last newline */
};

struct follow {
	struct file *files; /* owns */
	size_t n;
	int watch_fd;  /* owns */
	bool prefixed; /* several nodes */
};

static void file_done(struct file *file)
{
	free(file->node);
	auto_close_fn(&file->fd);
	buf_done(&file->line);
}

static void follow_done(struct follow *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		file_done(&f->files[i]);
	free(f->files);
	auto_close_fn(&f->watch_fd);
}
#define auto_follow __attribute__((cleanup(follow_done)))

static void print_json_line(const char *node, size_t node_len, const char *s, size_t len)
{
	auto_free char *name = strndup(node, node_len), *line = strndup(s, len), *text = NULL;
	auto_buf struct buf safe = BUF_INIT;
	auto_json cJSON *o = cJSON_CreateObject();

	/* bytes that are no UTF-8 have no place in JSON */
	out_escape(&safe, line ? line : "", line ? strlen(line) : 0, true);
	cJSON_AddStringToObject(o, "node", name ? name : "");
	cJSON_AddStringToObject(o, "line", buf_str(&safe));
	text = json_print(o);
	printf("%s\n", text ? text : "");
}

static void print_line(const struct cli *c, const char *node, bool prefixed, const char *s,
		       size_t len)
{
	auto_buf struct buf b = BUF_INIT;

	if (c->json) {
		print_json_line(node, strlen(node), s, len);
		return;
	}
	if (isatty(STDOUT_FILENO))
		out_escape(&b, s, len, true);
	else
		buf_add(&b, s, len);
	if (prefixed)
		printf("%s%s|%s ", out_color(c->color_out, OUT_DIM), out_safe(node),
		       out_color(c->color_out, OUT_PLAIN));
	fwrite(buf_str(&b), 1, b.len, stdout);
	putchar('\n');
}

/* ---- what is there ---- */

/* lines of several nodes come as "NODE| text" */
static void print_text(const struct cli *c, const char *node, const char *s, size_t size)
{
	const char *end = s + size, *nl, *bar;

	for (; s < end; s = nl + 1) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (!nl)
			nl = end;
		bar = node || !c->json ? NULL : memchr(s, '|', (size_t)(nl - s));
		if (bar)
			print_json_line(s, (size_t)(bar - s), bar + (bar[1] == ' ' ? 2 : 1),
					(size_t)(nl - bar) - (bar[1] == ' ' ? 2 : 1));
		else
			print_line(c, node ? node : "", false, s, (size_t)(nl - s));
	}
}

/* "stream": of a function, "": their names; NULL: all that there is */
static int print_now(struct cli *c, const char *lab, const char *node, const char *stream)
{
	auto_free char *escaped = node ? api_escape(node) : NULL;
	auto_free char *which = stream ? api_escape(stream) : NULL;
	auto_free char *path = api_lab_path(lab, "/logs"), *whole = NULL;
	struct httpc_answer a = { 0 };
	struct api_request q = { .to = DAEMON_SANDBOXD, .method = "GET", .wait_ms = API_WAIT_MS };
	int r;

	if (!path || (node && !escaped) || (stream && !which) ||
	    asprintf(&whole, "%s%s%s%s%s", path, node ? "?node=" : "", node ? escaped : "",
		     !stream ? "" :
		     *stream ? "&stream=" :
			       "&streams=1",
		     stream ? which : "") < 0) {
		whole = NULL;
		return out_no_memory(c);
	}
	q.path = whole;
	r = api_send(c, &q, &a);
	if (!r && a.status != 200) {
		auto_json cJSON *body = a.body ? json_parse(a.body, a.size, NULL) : NULL;
		char what[200];

		(void)snprintf(what, sizeof(what), "logs %s", out_safe(lab));
		r = out_fail_api(c, what, a.status, body);
	} else if (!r && a.body) {
		print_text(c, node, a.body, a.size);
	}
	httpc_answer_done(&a);
	return r ? r : out_done(c);
}

/* ---- what comes ---- */

/* a descriptor whose file is followed already is closed */
static int take_file(const struct cli *c, const char *node, int fd, struct follow *f)
{
	struct file *file;
	char path[40];
	struct stat st;
	size_t i;

	if (fstat(fd, &st) < 0)
		st = (struct stat){ 0 };
	for (i = 0; i < f->n; i++)
		if (f->files[i].ino == st.st_ino && f->files[i].dev == st.st_dev) {
			close(fd);
			return 0;
		}
	file = reallocarray(f->files, f->n + 1, sizeof(*file));
	if (!file) {
		close(fd);
		return out_no_memory(c);
	}
	f->files = file;
	file = &f->files[f->n++];
	*file = (struct file){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino, .node = strdup(node) };
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!file->node)
		return out_no_memory(c);
	/* the magic link leads to the file itself, wherever it is */
	if (inotify_add_watch(f->watch_fd, path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF) < 0)
		return out_fail(c, ERR_STATE, "logs: cannot follow %s: %s", out_safe(node),
				strerror(errno));
	return 0;
}

static int take_files(const struct cli *c, const cJSON *m, const int *fds, size_t n_fds,
		      struct follow *f)
{
	const cJSON *name = json_get(m, "files") ? json_get(m, "files")->child : NULL;
	size_t i;
	int r = 0;

	for (i = 0; i < n_fds; i++, name = name ? name->next : NULL) {
		if (r)
			close(fds[i]);
		else
			r = take_file(c, cJSON_IsString(name) ? name->valuestring : "?", fds[i], f);
	}
	return r;
}

/* asks for the files that there are now; "again": a lab that is gone is the end,
 * which is told by -1 and not an error */
static int ask(struct cli *c, const char *lab, const char *node, bool again, struct follow *f)
{
	auto_json cJSON *m = NULL;
	cJSON *q = cJSON_CreateObject();
	int fds[DOOR_FDS_MAX], r;
	size_t n = DOOR_FDS_MAX;
	auto_close int door = -1;
	char what[200];

	cJSON_AddStringToObject(q, "op", "logs");
	cJSON_AddStringToObject(q, "lab", lab);
	if (node)
		cJSON_AddStringToObject(q, "node", node);
	(void)snprintf(what, sizeof(what), "logs %s", out_safe(lab));
	r = door_open(c, &door);
	if (r) {
		cJSON_Delete(q);
		return r;
	}
	r = door_send(c, door, q, NULL, 0);
	if (!r)
		r = door_receive(c, door, &m, fds, &n);
	if (r < 0)
		return out_fail(c, ERR_UNAVAILABLE, "%s: sandboxd is gone", what);
	if (!r && json_get(m, "error"))
		return again ? -1 : door_fail(c, what, json_get(m, "error"));
	return r ? r : take_files(c, m, fds, n, f);
}

static void print_whole_lines(const struct cli *c, const struct follow *f, struct file *file)
{
	char *nl, *s = file->line.s;
	size_t left = file->line.len;

	while (left && (nl = memchr(s, '\n', left))) {
		print_line(c, file->node, f->prefixed, s, (size_t)(nl - s));
		left -= (size_t)(nl + 1 - s);
		s = nl + 1;
	}
	if (left >= LINE_MAX_SIZE) {
		print_line(c, file->node, f->prefixed, s, left);
		left = 0;
	}
	if (file->line.s)
		memmove(file->line.s, s, left);
	file->line.len = left;
}

/* all that the file holds now; false: it was deleted, nothing more can come */
static bool read_on(const struct cli *c, const struct follow *f, struct file *file)
{
	char bytes[16384];
	struct stat st;
	bool alive = fstat(file->fd, &st) == 0 && st.st_nlink > 0;
	ssize_t n;

	/* emptied: what was written since begins at its start */
	if (alive && st.st_size < lseek(file->fd, 0, SEEK_CUR))
		(void)lseek(file->fd, 0, SEEK_SET);
	while ((n = read(file->fd, bytes, sizeof(bytes))) > 0) {
		buf_add(&file->line, bytes, (size_t)n);
		print_whole_lines(c, f, file);
	}
	if (!alive && file->line.len)
		print_line(c, file->node, f->prefixed, file->line.s, file->line.len);
	return alive;
}

static void read_all(const struct cli *c, struct follow *f)
{
	size_t i = 0;

	while (i < f->n) {
		if (read_on(c, f, &f->files[i])) {
			i++;
			continue;
		}
		file_done(&f->files[i]);
		memmove(&f->files[i], &f->files[i + 1], (f->n - i - 1) * sizeof(*f->files));
		f->n--;
	}
}

/* logs are turned over and nodes come and go: from time to time the files are
 * asked for anew.  What was renamed is read to its end before */
static int follow(struct cli *c, const char *lab, const char *node)
{
	auto_follow struct follow f = { .prefixed = !node };
	struct mono asked = mono_now();
	struct pollfd p;
	char drain[8192];
	int r;

	f.watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f.watch_fd < 0)
		return out_fail(c, ERR_STATE, "logs: inotify: %s", strerror(errno));
	r = ask(c, lab, node, false, &f);
	c->no_start = true; /* a daemon that goes is no reason to start another */
	p = (struct pollfd){ .fd = f.watch_fd, .events = POLLIN };
	while (!r) {
		/* emptied before reading, so that nothing written later is missed */
		while (read(f.watch_fd, drain, sizeof(drain)) > 0)
			;
		read_all(c, &f);
		r = out_done(c);
		if (!r && poll(&p, 1, ASK_AGAIN_MS) < 0 && errno != EINTR)
			r = out_fail(c, ERR_INTERNAL, "logs: poll: %s", strerror(errno));
		if (!r && mono_ms_since(asked) >= ASK_AGAIN_MS) {
			asked = mono_now();
			r = ask(c, lab, node, true, &f);
		}
	}
	read_all(c, &f);
	return r < 0 ? out_done(c) : r;
}

static int logs(struct cli *c, const struct args *a)
{
	const char *node = a->n_words > 1 ? a->words[1] : NULL;

	const char *stream = args_has(a, "streams") ? "" : args_get(a, "stream");

	if (stream && (!node || args_has(a, "follow")))
		return out_fail_usage(c, "logs: streams are a function's, and not followed");
	if (args_has(a, "follow"))
		return follow(c, a->words[0], node);
	return print_now(c, a->words[0], node, stream);
}

static const struct arg_opt OPTS[] = {
	{ "follow", 'f', NULL, "go on with what comes, until the lab goes" },
	{ "stream", 0, "S", "what one environment of a function wrote" },
	{ "streams", 0, NULL, "the names of a function's streams" },
	{ 0 },
};

const struct verb VERB_LOGS = {
	.name = "logs",
	.usage = "LAB [NODE]",
	.summary = "output of functions and of programs in nodes",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 2,
	.fn = logs,
};
