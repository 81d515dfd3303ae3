/* SPDX-License-Identifier: MIT */
/*
 * invocation - requests to the Invoke API.  Many of the same run on the loop, a
 * number of them at once, each on a connection of its own.
 */
#include "cli/invocation.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/out.h"
#include "lib/loop.h"
#include "lib/util.h"

#define WAIT_MS 1000000 /* a function's 900 s, and its start */
#define HEADERS_MAX 6

struct call {			 /* an invocation made ready for HTTP */
	char *path, *lab, *type; /* own */
	const char *headers[HEADERS_MAX];
};

static void call_done(struct call *k)
{
	free(k->path);
	free(k->lab);
	free(k->type);
}
#define auto_call __attribute__((cleanup(call_done)))

static char *make_path(const struct invocation *i)
{
	auto_free char *f = api_escape(i->function);
	auto_free char *q = i->qualifier ? api_escape(i->qualifier) : NULL;
	char *path;

	if (!f || (i->qualifier && !q) ||
	    asprintf(&path,
		     i->piece ? "/2021-11-15/functions/%s/response-streaming-invocations%s%s" :
				"/2015-03-31/functions/%s/invocations%s%s",
		     f, q ? "?Qualifier=" : "", q ? q : "") < 0)
		return NULL;
	return path;
}

static int make_call(const struct cli *c, const struct invocation *i, struct call *k)
{
	size_t n = 0;

	k->path = make_path(i);
	if (asprintf(&k->lab, "X-Vpclab-Lab: %s", i->lab) < 0)
		k->lab = NULL;
	if (i->type && asprintf(&k->type, "X-Amz-Invocation-Type: %s", i->type) < 0)
		k->type = NULL;
	if (!k->path || !k->lab || (i->type && !k->type))
		return out_no_memory(c);
	if (strpbrk(k->lab, "\r\n"))
		return out_fail(c, ERR_NO_LAB, "invoke: %s: not a name of a lab", i->lab);
	k->headers[n++] = "Content-Type: application/json";
	k->headers[n++] = k->lab;
	if (k->type)
		k->headers[n++] = k->type;
	if (i->tail)
		k->headers[n++] = "X-Amz-Log-Type: Tail";
	k->headers[n] = NULL;
	return 0;
}

int invocation_run(struct cli *c, const struct invocation *i, struct httpc_answer *ret)
{
	auto_call struct call k = { 0 };
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "POST",
		.body = i->payload,
		.size = i->size,
		.wait_ms = WAIT_MS,
		.headers = k.headers,
		.piece = i->piece,
		.piece_arg = i->piece_arg,
	};
	int r = make_call(c, i, &k);

	q.path = k.path;
	return r ? r : api_send(c, &q, ret);
}

/* ---- many ---- */

struct many;
struct slot {
	struct many *m;
	size_t idx;
	struct mono start;
};

struct many {
	struct httpc_answer *answers;
	double *ms;
	size_t running, ended;
};

static void on_answer(struct httpc_answer *a, void *arg)
{
	struct slot *s = arg;

	s->m->answers[s->idx] = *a;
	*a = (struct httpc_answer){ 0 };
	s->m->ms[s->idx] = mono_ms_since(s->start);
	s->m->running--;
	s->m->ended++;
}

static int run_slots(struct cli *c, const struct invocation *i, const struct call *k,
		     const char *sock, struct slot *slots, size_t n, size_t parallel)
{
	struct many *m = slots[0].m;
	size_t next = 0;
	int r = 0;

	while (m->ended < n && !c->interrupted) {
		while (next < n && m->running < parallel) {
			slots[next].start = mono_now();
			m->running++;
			r = httpc_start(c->httpc, sock, "POST", k->path, k->headers, i->payload,
					i->size, WAIT_MS, on_answer, &slots[next++]);
			if (r < 0)
				return out_fail(c, ERR_UNAVAILABLE, "invoke: %s", strerror(-r));
		}
		r = loop_once(c->loop, -1);
		if (r < 0)
			return out_fail(c, ERR_INTERNAL, "event loop: %s", strerror(-r));
	}
	return m->ended < n ? 128 + c->interrupted : 0;
}

int invocation_run_many(struct cli *c, const struct invocation *i, size_t n, size_t parallel,
			struct httpc_answer *ret, double *ret_ms)
{
	auto_free char *sock = daemon_sock(c, DAEMON_SANDBOXD);
	auto_free struct slot *slots = calloc(n, sizeof(*slots));
	struct many m = { .answers = ret, .ms = ret_ms };
	auto_call struct call k = { 0 };
	size_t j;
	int r;

	if (!sock || !slots)
		return out_no_memory(c);
	for (j = 0; j < n; j++)
		slots[j] = (struct slot){ .m = &m, .idx = j };
	r = make_call(c, i, &k);
	if (!r)
		r = api_ready(c);
	if (!r)
		r = run_slots(c, i, &k, sock, slots, n, parallel);
	if (r) /* what is under way points into the slots */
		c->httpc = httpc_free(c->httpc);
	return r;
}

char *invocation_log(const struct httpc_answer *a)
{
	char text[8192];
	size_t size;

	if (httpc_header(a, "X-Amz-Log-Result", text, sizeof(text)) < 0)
		return NULL;
	return base64_decode(text, strlen(text), &size);
}
