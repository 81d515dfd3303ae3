/* SPDX-License-Identifier: MIT */
/*
 * capture_verb - "vpclab capture": the frames of nodes as they come, a line each or
 * into a pcapng file, until it is interrupted, or enough, or the lab goes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "cli/record.h"
#include "lib/bpf.h"
#include "lib/mutant.h"
#include "lib/util.h"

/* what follows the last node is the filter */
static int read_filter(const struct cli *c, const struct args *a, size_t n_nodes, struct bpf **ret)
{
	auto_buf struct buf text = BUF_INIT;
	char why[300] = "";
	size_t i;
	int r;

	if (!n_nodes)
		return out_fail(c, ERR_NO_NODE, "capture: lab %s has no node %s",
				out_safe(a->words[0]), out_safe(a->words[1]));
	for (i = 1 + n_nodes; i < a->n_words; i++)
		buf_printf(&text, "%s%s", text.len ? " " : "", a->words[i]);
	if (buf_error(&text))
		return out_no_memory(c);
	if (!text.len || MUTANT("capture-filter"))
		return 0;
	r = bpf_compile(buf_str(&text), ret, why, sizeof(why));
	if (r == -EINVAL)
		return out_fail_usage(c, "capture: %s: neither nodes of lab %s nor a filter: %s",
				      out_safe(buf_str(&text)), out_safe(a->words[0]), why);
	if (r == -ENOPKG)
		return out_fail(c, ERR_UNSUPPORTED,
				"capture: filters need libpcap (Debian's package libpcap0.8)");
	return r ? out_no_memory(c) : 0;
}

static int capture(struct cli *c, const struct args *a)
{
	const char *file = args_get(a, "write");
	struct record *s = NULL;
	struct bpf *filter = NULL;
	double seconds = 0;
	uint64_t count;
	size_t n_nodes = 0;
	int r, end;

	if (args_number(a, "count", 1, UINT64_MAX, UINT64_MAX, &count) < 0)
		return out_fail_usage(c, "capture: -c %s: not a number", args_get(a, "count"));
	if (args_seconds(a, "timeout", 0.01, 1e6, 0, &seconds) < 0)
		return out_fail_usage(c, "capture: --timeout %s: not a number of seconds",
				      args_get(a, "timeout"));
	r = record_begin(c, a->words[0], a->words + 1, a->n_words - 1, &s, &n_nodes);
	if (!r)
		r = read_filter(c, a, n_nodes, &filter);
	if (!r && filter)
		r = record_filter(s, filter);
	if (!r && file)
		r = record_file(s, "capture", file);
	if (!r)
		r = record_signals(s);
	if (!r && !c->quiet)
		fprintf(stderr, "capturing in %zu namespace%s\n", record_n_namespaces(s),
			record_n_namespaces(s) > 1 ? "s" : "");
	if (!r)
		r = record_run(s, count, seconds);
	end = record_end(s, !r);
	bpf_free(filter);
	return r ? r : end;
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
