/* SPDX-License-Identifier: MIT */
/*
 * record - see record.h.
 */
#include "cli/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/capture.h"
#include "cli/out.h"
#include "cli/packet.h"
#include "lib/loop.h"
#include "lib/mutant.h"
#include "lib/pcapng.h"
#include "lib/util.h"

#define ALIVE_MS 1000 /* how often the lab is asked for */

struct record {
	struct cli *c;
	char *lab; /* owns */
	struct capture *k;
	int out;       /* -1: lines on standard output */
	uint64_t left; /* frames still wanted */
	uint64_t n;
	int status;	 /* why nothing can be written any more; told */
	bool over, look; /* the time is up; is the lab still there? */
	struct loop_event *frames, *alive, *end, *interrupt, *term;
};

/* ---- what is written ---- */

static int write_out(const struct cli *c, int fd, const struct buf *b)
{
	int r = buf_error(b) ? -ENOMEM : write_all(fd, buf_str(b), b->len);

	return r < 0 ? out_fail(c, ERR_STATE, "capture: writing: %s", strerror(-r)) : 0;
}

int record_file(struct record *s, const char *verb, const char *file)
{
	auto_buf struct buf b = BUF_INIT;

	if (!strcmp(file, "-") && isatty(STDOUT_FILENO))
		return out_fail_usage(s->c, "%s: -: standard output is a terminal", verb);
	s->out = strcmp(file, "-") ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) :
				     STDOUT_FILENO;
	if (s->out < 0)
		return out_fail(s->c, ERR_STATE, "%s: %s: %s", verb, out_safe(file),
				strerror(errno));
	pcapng_begin(&b, s->lab);
	return write_out(s->c, s->out, &b);
}

static void add_time(uint64_t ns, struct buf *b)
{
	const time_t t = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (localtime_r(&t, &tm))
		buf_printf(b, "%02d:%02d:%02d.%06u ", tm.tm_hour, tm.tm_min, tm.tm_sec,
			   (unsigned)(ns % 1000000000u / 1000));
}

static void add_line(const struct capture_frame *f, struct buf *b)
{
	add_time(f->ns, b);
	buf_printf(b, "%s/%s %s ", f->ns_name, f->interface, f->outgoing ? "out" : "in");
	packet_words(f->bytes, f->size, b);
	buf_adds(b, "\n");
}

static void add_object(const struct capture_frame *f, struct buf *b)
{
	auto_json cJSON *o = cJSON_CreateObject();
	auto_buf struct buf words = BUF_INIT;
	auto_free char *text = NULL;

	packet_words(f->bytes, f->size, &words);
	cJSON_AddNumberToObject(o, "time", (double)(f->ns / 1000) / 1000);
	cJSON_AddStringToObject(o, "namespace", f->ns_name);
	cJSON_AddStringToObject(o, "interface", f->interface);
	cJSON_AddStringToObject(o, "direction", f->outgoing ? "out" : "in");
	cJSON_AddNumberToObject(o, "length", (double)f->length);
	cJSON_AddStringToObject(o, "packet", buf_str(&words));
	text = json_print(o);
	buf_printf(b, "%s\n", text ? text : "");
}

static int write_frames(struct record *s)
{
	const size_t have = capture_n_frames(s->k);
	const size_t n = have < s->left ? have : (size_t)s->left;
	auto_buf struct buf b = BUF_INIT;
	size_t i;
	int r;

	if (s->out >= 0) {
		capture_put(s->k, n, &b);
		r = write_out(s->c, s->out, &b);
	} else {
		for (i = 0; i < n; i++) {
			const struct capture_frame f = capture_frame(s->k, i);

			if (s->c->json)
				add_object(&f, &b);
			else
				add_line(&f, &b);
		}
		fwrite(buf_str(&b), 1, b.len, stdout);
		r = buf_error(&b) ? out_no_memory(s->c) : out_done(s->c);
	}
	s->n += n;
	s->left -= n;
	return r;
}

/* ---- the time in between ---- */

static void on_frames(int fd, unsigned what, void *arg)
{
	struct record *s = arg;

	(void)fd, (void)what;
	if (!s->left)
		return;
	s->status = capture_read(s->c, s->k);
	if (!s->status)
		s->status = write_frames(s);
	/* told once: a full disk isn't told of with every packet */
	if (s->status || !s->left)
		s->frames = loop_event_free(s->frames);
}

static void on_end(void *arg)
{
	((struct record *)arg)->over = true;
}

static void on_signal(int sig, void *arg)
{
	struct record *s = arg;

	s->c->interrupted = sig;
	on_end(s); /* what was captured is whole, however it ends */
}

static void on_alive(void *arg)
{
	((struct record *)arg)->look = true;
}

/* our sockets would keep the namespaces of a lab that is down */
static int still_there(struct record *s)
{
	auto_free char *path = api_lab_path(s->lab, "/attachments");
	struct api_request q = {
		.to = DAEMON_NETD, .method = "GET", .path = path, .wait_ms = 10000
	};
	struct httpc_answer a = { 0 };
	int r = path ? api_send(s->c, &q, &a) : out_no_memory(s->c);

	s->look = false;
	if (!r && a.status == 404 && !MUTANT("capture-stays"))
		s->over = true;
	httpc_answer_done(&a);
	return s->over ? 0 : r;
}

int record_begin(struct cli *c, const char *lab, const char *const *words, size_t n_words,
		 struct record **ret, size_t *ret_nodes)
{
	struct record *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return out_no_memory(c);
	*s = (struct record){ .c = c, .lab = strdup(lab), .out = -1, .left = UINT64_MAX };
	r = s->lab ? api_ready(c) : out_no_memory(c);
	if (!r)
		r = capture_follow(c, lab, words, n_words, &s->k, ret_nodes);
	if (!r) {
		s->frames = loop_fd(c->loop, capture_fd(s->k), LOOP_READ, on_frames, s);
		r = s->frames ? 0 : out_no_memory(c);
	}
	if (r)
		(void)record_end(s, false);
	else
		*ret = s;
	return r;
}

size_t record_n_namespaces(const struct record *s)
{
	return capture_n_namespaces(s->k);
}

int record_filter(struct record *s, const struct bpf *b)
{
	return capture_filter(s->c, s->k, b);
}

int record_signals(struct record *s)
{
	s->interrupt = loop_signal(s->c->loop, SIGINT, on_signal, s);
	s->term = loop_signal(s->c->loop, SIGTERM, on_signal, s);
	return s->interrupt && s->term ? 0 : out_no_memory(s->c);
}

/* what came before the end belongs to it */
static int write_rest(struct record *s)
{
	int r;

	do {
		r = s->left ? capture_read(s->c, s->k) : 0;
		if (!r && s->left)
			r = write_frames(s);
	} while (!r && s->left && capture_more(s->k));
	return r;
}

int record_run(struct record *s, uint64_t count, double seconds)
{
	int r = 0;

	s->left = count > s->n ? count - s->n : 0;
	s->alive = loop_every(s->c->loop, ALIVE_MS, on_alive, s);
	if (seconds > 0)
		s->end = loop_timer(s->c->loop, (int64_t)(seconds * 1000), on_end, s);
	if (!s->alive || (seconds > 0 && !s->end))
		return out_no_memory(s->c);
	while (!r && !s->status && s->left && !s->over) {
		r = loop_once(s->c->loop, -1);
		if (r < 0)
			return out_fail(s->c, ERR_INTERNAL, "event loop: %s", strerror(-r));
		r = s->look && !s->over ? still_there(s) : 0;
	}
	/* netd is gone: what was sent before isn't */
	if (r && !s->status)
		(void)write_rest(s); /* one failure is told */
	return r ? r : s->status;
}

int record_end(struct record *s, bool whole)
{
	int r = 0;

	if (!s)
		return 0;
	if (whole && !s->status)
		r = write_rest(s);
	if (!r && whole && !s->c->quiet)
		fprintf(stderr, "%llu captured, %llu dropped by the kernel\n",
			(unsigned long long)s->n, (unsigned long long)capture_dropped(s->k));
	loop_event_free(s->frames);
	loop_event_free(s->alive);
	loop_event_free(s->end);
	loop_event_free(s->interrupt);
	loop_event_free(s->term);
	if (s->out > STDERR_FILENO)
		close(s->out);
	capture_free(s->k);
	free(s->lab);
	free(s);
	return r;
}
