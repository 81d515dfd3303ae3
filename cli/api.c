/* SPDX-License-Identifier: MIT */
/*
 * api - one request at a time, on a loop of the command's own: waiting ends with
 * the answer, or with a signal that a verb (test) has asked to hear.
 */
#include "cli/api.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "cli/out.h"
#include "lib/buf.h"
#include "lib/util.h"

struct waiting {
	bool answered;
	struct httpc_answer answer;
};

int api_ready(struct cli *c)
{
	if (c->httpc)
		return 0;
	if (!c->loop)
		c->loop = loop_new();
	c->httpc = c->loop ? httpc_new(c->loop) : NULL;
	return c->httpc ? 0 : out_no_memory(c);
}

void api_done(struct cli *c)
{
	c->httpc = httpc_free(c->httpc);
	c->loop = loop_free(c->loop);
}

static void take_answer(struct httpc_answer *a, void *arg)
{
	struct waiting *w = arg;

	w->answered = true;
	w->answer = *a;
	*a = (struct httpc_answer){ 0 };
}

/* requests that are under way hold pointers to their callers: they go with the
 * client, and the next request makes another */
static int interrupted(struct cli *c)
{
	c->httpc = httpc_free(c->httpc);
	return 128 + c->interrupted;
}

int api_send(struct cli *c, const struct api_request *q, struct httpc_answer *ret)
{
	auto_free char *sock = daemon_sock(c, q->to);
	struct waiting w = { 0 };
	int r;

	r = c->checked ? 0 : daemons_need(c);
	if (!r)
		r = sock ? api_ready(c) : out_no_memory(c);
	if (r)
		return r;
	c->checked = true;
	r = httpc_start_pieces(c->httpc, sock, q->method, q->path, q->headers, q->body, q->size,
			       q->wait_ms, q->piece, q->piece_arg, take_answer, &w);
	if (r < 0)
		return out_fail(c, ERR_UNAVAILABLE, "%s: %s", daemon_name(q->to), strerror(-r));
	while (!w.answered && !c->interrupted) {
		r = loop_once(c->loop, -1);
		if (r < 0) {
			c->httpc = httpc_free(c->httpc);
			return out_fail(c, ERR_INTERNAL, "event loop: %s", strerror(-r));
		}
	}
	if (!w.answered)
		return interrupted(c);
	if (!w.answer.status) {
		r = out_fail(c, ERR_UNAVAILABLE, "%s: no answer: %s", daemon_name(q->to),
			     w.answer.error);
		httpc_answer_done(&w.answer);
		return r;
	}
	*ret = w.answer;
	return 0;
}

int api_json(struct cli *c, const char *what, const struct api_request *q, cJSON **ret)
{
	struct httpc_answer a = { 0 };
	cJSON *v = NULL;
	char why[200] = "empty";
	int r = api_send(c, q, &a);

	if (r)
		return r;
	if (q->expected && a.status == q->expected) {
		httpc_answer_done(&a);
		return API_EXPECTED;
	}
	if (a.body && a.size)
		v = json_parse(a.body, a.size, why);
	if (a.status < 200 || a.status > 299)
		r = out_fail_api(c, what, a.status, v);
	else if (!v && ret)
		r = out_fail(c, ERR_UNAVAILABLE, "%s: the answer is no JSON: %s", what, why);
	httpc_answer_done(&a);
	if (!r && ret)
		*ret = v;
	else
		cJSON_Delete(v);
	return r;
}

int api_get(struct cli *c, const char *what, const char *path, cJSON **ret)
{
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "GET",
		.path = path,
		.wait_ms = API_WAIT_MS,
	};

	return path ? api_json(c, what, &q, ret) : out_no_memory(c);
}

char *api_escape(const char *s)
{
	auto_buf struct buf b = BUF_INIT;

	for (; *s; s++)
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			buf_add(&b, s, 1);
		else
			buf_printf(&b, "%%%02X", (unsigned char)*s);
	return buf_steal(&b);
}

char *api_lab_path(const char *lab, const char *rest)
{
	auto_free char *escaped = api_escape(lab);
	char *path;

	if (!escaped || asprintf(&path, "/v1/labs/%s%s", escaped, rest) < 0)
		return NULL;
	return path;
}
