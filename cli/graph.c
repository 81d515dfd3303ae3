/* SPDX-License-Identifier: MIT */
/*
 * graph - a picture of a lab or a file: the source is topology/graph.c's, and Graphviz
 * draws it.
 */
#include "topology/graph.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "cli/source.h"
#include "lib/proc.h"
#include "lib/util.h"

#define DRAW_MS 60000		/* the largest labs take seconds */
#define PICTURE_MAX (256 << 20) /* bytes */

static const char *graphviz(void)
{
	static const char *const paths[] = { "/usr/bin/dot", "/usr/local/bin/dot" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

/* both ends are files: whoever writes never waits for whoever reads */
static int draw(const struct cli *c, const struct buf *source)
{
	const char *path = graphviz();
	char *const argv[] = { (char *)"dot", (char *)"-Tsvg", NULL };
	auto_close int in = proc_memfd("graph", source->s, source->len);
	auto_close int out = memfd_create("picture", MFD_CLOEXEC), pidfd = -1;
	const int fds[] = { in, out, STDERR_FILENO };
	const struct proc_spec spec = { .path = path, .argv = argv, .fds = fds, .n_fds = 3 };
	auto_free char *text = NULL;
	struct err e = { 0 };
	size_t size = 0;
	int r, status = 0;
	pid_t pid;

	if (!path)
		return out_fail(c, ERR_UNSUPPORTED,
				"graph: --format svg needs Graphviz (Debian's package graphviz); "
				"mermaid and dot don't");
	if (in < 0 || out < 0)
		return out_no_memory(c);
	if (proc_spawn(&spec, &pid, &pidfd, &e) < 0)
		return out_fail_err(c, &e);
	r = proc_wait(pidfd, DRAW_MS, &status);
	if (r == -ETIMEDOUT) {
		(void)proc_signal(pidfd, SIGKILL); /* gone is fine, too */
		(void)proc_wait(pidfd, -1, NULL);
		return out_fail(c, ERR_STATE,
				"graph: Graphviz took longer than %d s: try --format dot",
				DRAW_MS / 1000);
	}
	if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return out_fail(c, ERR_STATE, "graph: %s failed", path);
	r = lseek(out, 0, SEEK_SET) < 0 ? -errno : read_fd(out, PICTURE_MAX, &text, &size);
	if (r < 0)
		return out_fail(c, ERR_STATE, "graph: %s", strerror(-r));
	fwrite(text, 1, size, stdout);
	return out_done(c);
}

static int print(const struct cli *c, const struct lab *lab, const char *format)
{
	const bool mermaid = !strcmp(format, "mermaid");
	auto_buf struct buf b = BUF_INIT;

	graph_text(lab, mermaid ? GRAPH_MERMAID : GRAPH_DOT, &b);
	if (buf_error(&b))
		return out_no_memory(c);
	if (!strcmp(format, "svg"))
		return draw(c, &b);
	fwrite(b.s, 1, b.len, stdout);
	return out_done(c);
}

static int graph(struct cli *c, const struct args *a)
{
	const char *format = args_has(a, "format") ? args_get(a, "format") : "svg";
	struct source s = { 0 };
	int r;

	if (strcmp(format, "svg") != 0 && strcmp(format, "mermaid") != 0 &&
	    strcmp(format, "dot") != 0)
		return out_fail_usage(c, "graph: --format %s: svg, mermaid or dot", format);
	if (source_is_file(a->words[0]))
		r = source_load(c, a->words[0], a, &s);
	else if (args_has(a, "lab") || args_has(a, "merge"))
		r = out_fail_usage(c, "graph: --lab and --merge go with a FILE");
	else
		r = source_of_lab(c, "graph", a->words[0], a, &s);
	if (!r)
		r = print(c, s.lab, format);
	source_done(&s);
	return r;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "format", 0, "FORMAT", "svg (by Graphviz), mermaid or dot" },
	{ 0 },
};

const struct verb VERB_GRAPH = {
	.name = "graph",
	.usage = "LAB|FILE",
	.summary = "a picture: VPCs, subnets, what is in them, and where routes lead",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.fn = graph,
};
