/* SPDX-License-Identifier: MIT */
/*
 * capture_verb - "vpclab capture": the frames of nodes as they come, a line each or
 * into a pcapng file, until it is interrupted, or enough, or the lab goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/capture.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/packet.h"
#include "lib/bpf.h"
#include "lib/loop.h"
#include "lib/mutant.h"
#include "lib/pcapng.h"
#include "lib/util.h"

#define ALIVE_MS 1000 /* how often the lab is asked for */

struct session {
	struct cli *c;
	const char *lab;
	struct capture *k;
	struct bpf *filter;
	int out;       /* -1: lines on standard output */
	uint64_t left; /* frames still wanted */
	uint64_t n;
	bool over, look; /* the time is up; is the lab still there? */
	struct loop_event *events[CAPTURE_NAMESPACES_MAX];
	struct loop_event *alive, *end, *interrupt, *term;
};

/* ---- nodes ---- */

/* a node's namespace as netd calls it, appended to "list"; 0, -ENOENT */
static int add_path(cJSON *list, const cJSON *object)
{
	const char *path = json_str(object, "namespace", NULL);
	const char *name = path ? strrchr(path, '/') : NULL;

	if (!name)
		return -ENOENT;
	cJSON_AddItemToArray(list, cJSON_CreateString(name + 1));
	return 0;
}

/* what a function's sandboxes send passes its egress namespaces, whichever places they have */
static int add_function(cJSON *list, const cJSON *f)
{
	const cJSON *place;
	int r = -ENOENT;

	cJSON_ArrayForEach(place, json_get(f, "places")) {
		const char *egress = json_str(place, "egress", NULL);

		if (!egress)
			continue;
		cJSON_AddItemToArray(list, cJSON_CreateString(egress));
		r = 0;
	}
	return r;
}

static int add_gateway(cJSON *list, const cJSON *show, const char *name)
{
	size_t len = strcspn(name, "/");
	const cJSON *vpc;

	cJSON_ArrayForEach(vpc, json_get(show, "vpcs"))
		if (name[len] && strlen(vpc->string) == len && !strncmp(vpc->string, name, len))
			return add_path(list,
					json_get(json_get(vpc, "nat_gateways"), name + len + 1));
	return -ENOENT;
}

static int add_node(cJSON *list, const cJSON *show, const char *node)
{
	const cJSON *internet = json_get(show, "internet"), *vpc, *o;

	if (!strcmp(node, "internet"))
		return add_path(list, internet);
	if (!strncmp(node, "router:", 7))
		return add_path(list, json_get(json_get(show, "vpcs"), node + 7));
	if (!strncmp(node, "nat_gateway:", 12))
		return add_gateway(list, show, node + 12);
	cJSON_ArrayForEach(vpc, json_get(show, "vpcs")) {
		o = json_get(json_get(vpc, "instances"), node);
		if (o)
			return add_path(list, o);
	}
	o = json_get(json_get(show, "functions"), node);
	if (o)
		return add_function(list, o);
	return add_path(list, json_get(json_get(internet, "hosts"), node));
}

/* each once: functions share egress namespaces */
static void drop_twins(cJSON *list)
{
	int i, k;

	for (i = 0; i < cJSON_GetArraySize(list); i++)
		for (k = cJSON_GetArraySize(list) - 1; k > i; k--)
			if (!strcmp(cJSON_GetArrayItem(list, i)->valuestring,
				    cJSON_GetArrayItem(list, k)->valuestring))
				cJSON_DeleteItemFromArray(list, k);
}

/* nodes from the second word on; what follows the last of them is the filter */
static int read_words(struct cli *c, const struct args *a, const cJSON *show, cJSON *list,
		      struct buf *filter)
{
	size_t i, k;

	for (i = 1; i < a->n_words && add_node(list, show, a->words[i]) == 0; i++)
		;
	if (i == 1)
		return out_fail(c, ERR_NO_NODE, "capture: lab %s has no node %s",
				out_safe(a->words[0]), out_safe(a->words[1]));
	drop_twins(list);
	if (cJSON_GetArraySize(list) > CAPTURE_NAMESPACES_MAX)
		return out_fail(c, ERR_LIMIT, "capture: at most %d namespaces",
				CAPTURE_NAMESPACES_MAX);
	for (k = i; k < a->n_words; k++)
		buf_printf(filter, "%s%s", k > i ? " " : "", a->words[k]);
	return buf_error(filter) ? out_no_memory(c) : 0;
}

static int compile(struct session *s, const struct args *a, const char *text)
{
	char why[300] = "";
	int r;

	if (!*text || MUTANT("capture-filter"))
		return 0;
	r = bpf_compile(text, &s->filter, why, sizeof(why));
	if (r == -EINVAL)
		return out_fail_usage(s->c, "capture: %s: neither nodes of lab %s nor a filter: %s",
				      out_safe(text), out_safe(a->words[0]), why);
	if (r == -ENOPKG)
		return out_fail(s->c, ERR_UNSUPPORTED,
				"capture: filters need libpcap (Debian's package libpcap0.8)");
	return r ? out_no_memory(s->c) : 0;
}

/* ---- what is written ---- */

static int write_out(const struct session *s, const struct buf *b)
{
	int r = buf_error(b) ? -ENOMEM : write_all(s->out, buf_str(b), b->len);

	return r < 0 ? out_fail(s->c, ERR_STATE, "capture: writing: %s", strerror(-r)) : 0;
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

static int tell(struct session *s)
{
	const size_t have = capture_n_frames(s->k);
	const size_t n = have < s->left ? have : (size_t)s->left;
	auto_buf struct buf b = BUF_INIT;
	size_t i;
	int r;

	if (s->out >= 0) {
		capture_put(s->k, n, &b);
		r = write_out(s, &b);
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

static void on_frame(int fd, unsigned what, void *arg)
{
	(void)fd, (void)what, (void)arg; /* read by whoever runs the loop */
}

static void on_end(void *arg)
{
	((struct session *)arg)->over = true;
}

static void on_signal(int sig, void *arg)
{
	(void)sig;
	on_end(arg); /* what was captured is whole, however it ends */
}

static void on_alive(void *arg)
{
	((struct session *)arg)->look = true;
}

/* our sockets would keep the namespaces of a lab that is down */
static int still_there(struct session *s)
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
	return r;
}

static int listen_all(struct session *s, double seconds)
{
	size_t n, i;
	const int *fds = capture_fds(s->k, &n);
	bool failed = false;

	for (i = 0; i < n; i++) {
		s->events[i] = loop_fd(s->c->loop, fds[i], LOOP_READ, on_frame, s);
		failed |= !s->events[i];
	}
	s->alive = loop_every(s->c->loop, ALIVE_MS, on_alive, s);
	if (seconds > 0)
		s->end = loop_timer(s->c->loop, (int64_t)(seconds * 1000), on_end, s);
	s->interrupt = loop_signal(s->c->loop, SIGINT, on_signal, s);
	s->term = loop_signal(s->c->loop, SIGTERM, on_signal, s);
	failed |= !s->alive || !s->interrupt || !s->term || (seconds > 0 && !s->end);
	return failed ? out_no_memory(s->c) : 0;
}

static int run(struct session *s)
{
	int r = 0;

	while (!r && s->left && !s->over) {
		r = loop_once(s->c->loop, -1);
		if (r < 0)
			return out_fail(s->c, ERR_INTERNAL, "event loop: %s", strerror(-r));
		r = capture_read(s->c, s->k);
		if (!r)
			r = tell(s);
		if (!r && s->look)
			r = still_there(s);
	}
	/* what came before the end belongs to it */
	if (!r && s->left)
		r = capture_read(s->c, s->k);
	return !r && s->left ? tell(s) : r;
}

static void session_done(struct session *s)
{
	size_t i;

	for (i = 0; i < CAPTURE_NAMESPACES_MAX; i++)
		loop_event_free(s->events[i]);
	loop_event_free(s->alive);
	loop_event_free(s->end);
	loop_event_free(s->interrupt);
	loop_event_free(s->term);
	if (s->out > STDERR_FILENO)
		close(s->out);
	capture_free(s->k);
	bpf_free(s->filter);
}

/* ---- the verb ---- */

static int open_file(struct session *s, const char *file)
{
	auto_buf struct buf b = BUF_INIT;

	if (!file)
		return 0;
	s->out = strcmp(file, "-") ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) :
				     STDOUT_FILENO;
	if (s->out < 0)
		return out_fail(s->c, ERR_STATE, "capture: %s: %s", out_safe(file),
				strerror(errno));
	if (s->out == STDOUT_FILENO && isatty(STDOUT_FILENO))
		return out_fail_usage(s->c, "capture: -w -: standard output is a terminal");
	pcapng_begin(&b, s->lab);
	return write_out(s, &b);
}

static int begin(struct session *s, const struct args *a, cJSON *list, double seconds)
{
	int r = capture_begin(s->c, s->lab, list, &s->k);

	if (!r && s->filter)
		r = capture_filter(s->c, s->k, s->filter);
	if (!r)
		r = open_file(s, args_get(a, "write"));
	return r ? r : listen_all(s, seconds);
}

static int capture(struct cli *c, const struct args *a)
{
	struct session s = { .c = c, .lab = a->words[0], .out = -1 };
	auto_free char *path = api_lab_path(a->words[0], "");
	auto_json cJSON *show = NULL, *list = cJSON_CreateArray();
	auto_buf struct buf filter = BUF_INIT;
	double seconds = 0;
	int r;

	if (args_number(a, "count", 1, UINT64_MAX, UINT64_MAX, &s.left) < 0)
		return out_fail_usage(c, "capture: -c %s: not a number", args_get(a, "count"));
	if (args_seconds(a, "timeout", 0.01, 1e6, 0, &seconds) < 0)
		return out_fail_usage(c, "capture: --timeout %s: not a number of seconds",
				      args_get(a, "timeout"));
	r = path ? api_get(c, "capture", path, &show) : out_no_memory(c);
	if (!r)
		r = read_words(c, a, show, list, &filter);
	if (!r)
		r = compile(&s, a, buf_str(&filter));
	if (!r)
		r = begin(&s, a, list, seconds);
	if (!r && !c->quiet)
		fprintf(stderr, "capturing in %d namespace%s\n", cJSON_GetArraySize(list),
			cJSON_GetArraySize(list) > 1 ? "s" : "");
	if (!r)
		r = run(&s);
	if (!r && !c->quiet)
		fprintf(stderr, "%llu captured, %llu dropped by the kernel\n",
			(unsigned long long)s.n, (unsigned long long)capture_dropped(s.k));
	session_done(&s);
	return r;
}

static const struct arg_opt OPTS[] = {
	{ "write", 'w', "FILE", "a pcapng file instead of lines; - is standard output" },
	{ "count", 'c', "N", "ends after N packets" },
	{ "timeout", 0, "SECONDS", "ends after that time" },
	{ 0 },
};

const struct verb VERB_CAPTURE = {
	.name = "capture",
	.usage = "LAB NODE... [FILTER]",
	.summary = "packets of nodes, routers and gateways as they come; FILTER as tcpdump's",
	.opts = OPTS,
	.min_words = 2,
	.max_words = SIZE_MAX,
	.fn = capture,
};
