/* SPDX-License-Identifier: MIT */
/*
 * init - a lab file to start from, cli/starter.json under the name that is asked
 * for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "lib/util.h"

/* a lab file of its own, so that tests and editors read it as it is; the Makefile knows of it */
__asm__(".pushsection .rodata\n"
	"starter_begin: .incbin \"cli/starter.json\"\n"
	"starter_end: .byte 0\n"
	".popsection\n");
extern const char starter_begin[], starter_end[];

#define STARTER_NAME "starter" /* of the lab, wherever it is named there */

static void fill(struct buf *b, const char *name)
{
	const char *at = starter_begin, *hit;

	while ((hit = strstr(at, STARTER_NAME))) {
		buf_add(b, at, (size_t)(hit - at));
		buf_adds(b, name);
		at = hit + strlen(STARTER_NAME);
	}
	buf_add(b, at, (size_t)(starter_end - at));
}

static bool is_name(const char *s)
{
	size_t i;

	if (!(s[0] >= 'a' && s[0] <= 'z') || strlen(s) > 31)
		return false;
	for (i = 0; s[i]; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') && s[i] != '-')
			return false;
	return true;
}

static int write_new(const struct cli *c, const char *name, const char *text, size_t size)
{
	auto_free char *file = NULL;
	auto_close int fd = -1;
	int r;

	if (asprintf(&file, "%s.json", name) < 0) {
		file = NULL;
		return out_no_memory(c);
	}
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return out_fail(c, ERR_STATE, "init: %s: %s", file, strerror(errno));
	r = write_all(fd, text, size);
	if (r < 0) {
		(void)unlink(file); /* half a file helps nobody */
		return out_fail(c, ERR_STATE, "init: %s: %s", file, strerror(-r));
	}
	if (!c->quiet)
		fprintf(stderr, "vpclab: wrote %s: try vpclab test %s\n", file, file);
	return 0;
}

static int init(struct cli *c, const struct args *a)
{
	const char *name = a->n_words ? a->words[0] : STARTER_NAME;
	auto_buf struct buf b = BUF_INIT;

	if (!is_name(name))
		return out_fail_usage(c, "init: %s: not a name of a lab ([a-z][a-z0-9-]{0,30})",
				      name);
	fill(&b, name);
	if (buf_error(&b))
		return out_no_memory(c);
	if (a->n_words)
		return write_new(c, name, buf_str(&b), b.len);
	fwrite(b.s, 1, b.len, stdout);
	return out_done(c);
}

const struct verb VERB_INIT = {
	.name = "init",
	.usage = "[NAME]",
	.summary = "a lab file to start from: to NAME.json, or to standard output",
	.max_words = 1,
	.fn = init,
};
