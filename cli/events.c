/* SPDX-License-Identifier: MIT */
/*
 * events - what netd's ring holds, then what comes, one JSON object a line.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "lib/util.h"

#define POLL_MS 30000

/* whole lines, as they came; control bytes are escaped in JSON but for those
 * above 0x7f, which a terminal may obey */
static int print(const struct cli *c, const struct httpc_answer *a)
{
	auto_buf struct buf b = BUF_INIT;

	if (isatty(STDOUT_FILENO))
		out_escape(&b, a->body, a->size, true);
	else
		buf_add(&b, a->body, a->size);
	if (buf_error(&b))
		return out_no_memory(c);
	fwrite(buf_str(&b), 1, b.len, stdout);
	return out_done(c);
}

/* the number after which the next request asks: the header, else the last line's */
static uint64_t next_after(const struct httpc_answer *a, uint64_t after)
{
	char text[32];
	uint64_t seq;
	const char *line = a->body, *end;

	if (httpc_header(a, "Vpclab-Seq", text, sizeof(text)) == 0 &&
	    parse_u64(text, 0, UINT64_MAX, &seq) == 0)
		return seq;
	while (line && (end = strchr(line, '\n'))) {
		auto_json cJSON *o = json_parse(line, (size_t)(end - line), NULL);

		after = o ? (uint64_t)json_num(o, "seq", (double)after) : after;
		line = end + 1;
	}
	return after;
}

static void tell_lost(const struct cli *c, const struct httpc_answer *a)
{
	char text[32];

	if (httpc_header(a, "Vpclab-Lost", text, sizeof(text)) == 0)
		out_warn(c, "events: %s events are lost: they came faster than they were read",
			 text);
}

static int poll_once(struct cli *c, const char *lab, uint64_t *after)
{
	auto_free char *escaped = lab ? api_escape(lab) : NULL;
	auto_free char *path = NULL;
	struct httpc_answer a = { 0 };
	struct api_request q = { .to = DAEMON_NETD, .method = "GET", .wait_ms = POLL_MS * 2 };
	int r;

	if ((lab && !escaped) ||
	    asprintf(&path, "/v1/events?after=%llu&wait=%d%s%s", (unsigned long long)*after,
		     POLL_MS, lab ? "&lab=" : "", lab ? escaped : "") < 0) {
		path = NULL;
		return out_no_memory(c);
	}
	q.path = path;
	r = api_send(c, &q, &a);
	if (!r && a.status != 200) {
		auto_json cJSON *body = a.body ? json_parse(a.body, a.size, NULL) : NULL;

		r = out_fail_api(c, "events", a.status, body);
	}
	if (!r)
		tell_lost(c, &a);
	if (!r && a.size)
		r = print(c, &a);
	if (!r)
		*after = next_after(&a, *after);
	httpc_answer_done(&a);
	return r;
}

static int events(struct cli *c, const struct args *a)
{
	uint64_t after;
	int r;

	if (args_number(a, "after", 0, UINT64_MAX, 0, &after) < 0)
		return out_fail_usage(c, "events: --after %s: not a number", args_get(a, "after"));
	do
		r = poll_once(c, a->n_words ? a->words[0] : NULL, &after);
	while (!r);
	return r;
}

static const struct arg_opt OPTS[] = {
	{ "after", 0, "N", "only what has a greater \"seq\" (0)" },
	{ 0 },
};

const struct verb VERB_EVENTS = {
	.name = "events",
	.usage = "[LAB]",
	.summary = "what changes, one JSON object a line, until it is interrupted",
	.opts = OPTS,
	.max_words = 1,
	.fn = events,
};
