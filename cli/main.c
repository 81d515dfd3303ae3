/* SPDX-License-Identifier: MIT */
/*
 * main - the table of verbs, the options that all of them take, and the way
 * from a word to its verb.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "lib/sock.h"
#include "lib/util.h"

/* in the order of the manual */
static const struct verb *const HERE[] = {
	&VERB_CHECK,  &VERB_PLAN,	&VERB_UP,      &VERB_PATCH, &VERB_TEST,	  &VERB_RUN,
	&VERB_DOWN,   &VERB_LS,		&VERB_SHOW,    &VERB_EXEC,  &VERB_PROBE,  &VERB_WHY,
	&VERB_MATRIX, &VERB_INVOKE,	&VERB_LOGS,    &VERB_BILL,  &VERB_FLOWS,  &VERB_CAPTURE,
	&VERB_GRAPH,  &VERB_EVENTS,	&VERB_ENV,     &VERB_GC,    &VERB_DOCTOR, &VERB_DAEMON,
	&VERB_INIT,   &VERB_COMPLETION, &VERB_VERSION, &VERB_HELP,
};

const struct verb *verb_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(HERE); i++)
		if (!strcmp(HERE[i]->name, name))
			return HERE[i];
	/* the scripts of completion, not a person, call this one: it is in no list */
	return strcmp(name, VERB_COMPLETE.name) ? NULL : &VERB_COMPLETE;
}

const struct verb *verb_nth(size_t n)
{
	return n < ARRAY_SIZE(HERE) ? HERE[n] : NULL;
}

static void verb_list(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(HERE); i++)
		printf("  %-10s %s\n", HERE[i]->name, HERE[i]->summary);
}

static void print_options(const struct arg_opt *o)
{
	char left[64];

	for (; o && o->name; o++) {
		const char *sep = !o->arg ? "" : o->arg[0] == '[' ? "" : " ";

		if (o->letter)
			(void)snprintf(left, sizeof(left), "-%c, --%s%s%s", o->letter, o->name, sep,
				       o->arg ? o->arg : "");
		else
			(void)snprintf(left, sizeof(left), "    --%s%s%s", o->name, sep,
				       o->arg ? o->arg : "");
		printf("  %-30s %s\n", left, o->help);
	}
}

void verb_help(const struct verb *v)
{
	if (!v) {
		printf("vpclab [OPTION...] COMMAND: network labs like a VPC, on this host\n\n");
		verb_list();
		printf("\nOptions of every command (vpclab help COMMAND names its own):\n");
		print_options(ARG_GLOBALS);
		return;
	}
	printf("vpclab %s%s%s\n  %s\n", v->name, v->usage[0] ? " " : "", v->usage, v->summary);
	if (v->more)
		printf("\n%s\n", v->more);
	if (v->opts) {
		printf("\nOptions:\n");
		print_options(v->opts);
	}
}

/* a descriptor opened later must never become a standard one */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR); /* not CLOEXEC: what we start needs them, too */
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void want_color(const char *when, bool *ret_out, bool *ret_err)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	bool able = !(no && *no) && term && strcmp(term, "dumb");

	if (when && strcmp(when, "auto")) {
		*ret_out = *ret_err = !strcmp(when, "always");
		return;
	}
	*ret_out = able && isatty(STDOUT_FILENO);
	*ret_err = able && isatty(STDERR_FILENO);
}

/* options that stand before the verb ("first") or after it ("a", which wins) */
static const char *option(const struct args *first, const struct args *a, const char *name)
{
	const char *v = a ? args_get(a, name) : NULL;

	return v ? v : args_get(first, name);
}

static int set_up(struct cli *c, const struct args *first, const struct args *a)
{
	const char *output = option(first, a, "output"), *color = option(first, a, "color");

	c->json = output && !strcmp(output, "json");
	c->quiet = option(first, a, "quiet");
	c->verbose = option(first, a, "verbose");
	c->no_start = option(first, a, "no-start");
	want_color(color, &c->color_out, &c->color_err);
	c->progress = isatty(STDERR_FILENO) && !c->quiet;
	if (output && !c->json && strcmp(output, "text"))
		return out_fail_usage(c, "-o %s: text or json", output);
	if (color && strcmp(color, "auto") && strcmp(color, "always") && strcmp(color, "never"))
		return out_fail_usage(c, "--color %s: auto, always or never", color);
	c->run = rundir_default(option(first, a, "run-dir"));
	c->state = c->run ? rundir_default_state(c->run, option(first, a, "state-dir")) : NULL;
	return c->state ? 0 : out_no_memory(c);
}

static int run_verb(struct cli *c, const struct verb *v, int argc, char **argv,
		    const struct args *first)
{
	struct arg_spec spec = {
		.verb = v->name,
		.opts = v->opts,
		.usage = v->usage,
		.min_words = v->min_words,
		.max_words = v->max_words,
		.command_after = v->command_after,
	};
	struct args a;
	char why[300];
	int r = args_parse(&spec, argc, argv, &a, NULL, why, sizeof(why)), set;

	/* the way of telling comes before what is told */
	set = r == -ENOMEM ? out_no_memory(c) : set_up(c, first, &a);
	if (set) {
		r = set;
	} else if (r == -EINVAL) {
		r = out_fail_usage(c, "%s: %s", v->name, why);
	} else if (args_has(&a, "help")) {
		verb_help(v);
		r = out_done(c);
	} else {
		r = v->fn(c, &a);
	}
	args_done(&a);
	return r;
}

static int refuse_word(const struct cli *c, const char *word)
{
	return out_fail_usage(c, "%s: no such command (vpclab help lists them)", word);
}

static bool wants_json(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], "-ojson") || !strcmp(argv[i], "--output=json") ||
		    ((!strcmp(argv[i], "-o") || !strcmp(argv[i], "--output")) && argv[i + 1] &&
		     !strcmp(argv[i + 1], "json")))
			return true;
	return false;
}

static int dispatch(struct cli *c, int argc, char **argv, const struct args *first, int used)
{
	const struct verb *v = used < argc ? verb_find(argv[used]) : NULL;

	if (v)
		return run_verb(c, v, argc - used, argv + used, first);
	if (used < argc) {
		c->json = wants_json(argc, argv);
		return refuse_word(c, argv[used]);
	}
	if (args_has(first, "help")) {
		verb_help(NULL);
		return out_done(c);
	}
	(void)set_up(c, first, NULL);
	return out_fail_usage(c, "no command given (vpclab help lists them)");
}

int main(int argc, char **argv)
{
	static const struct arg_spec before = { .max_words = SIZE_MAX, .usage = "" };
	struct cli c = { 0 };
	struct args first;
	char why[300];
	int used, r;

	fill_standard_fds();
	(void)setlocale(LC_ALL, ""); /* "C" does, with letters escaped in tables */
	(void)setlocale(LC_NUMERIC, "C");
	if (argc > 1 && !strcmp(argv[1], "--version"))
		argv[1] = (char *)"version";
	r = args_parse(&before, argc, argv, &first, &used, why, sizeof(why));
	if (r == -ENOMEM) {
		r = out_no_memory(&c);
	} else if (r < 0) {
		c.json = wants_json(argc, argv);
		r = out_fail_usage(&c, "%s", why);
	} else {
		r = dispatch(&c, argc, argv, &first, used);
	}
	args_done(&first);
	api_done(&c);
	free(c.run);
	free(c.state);
	return r;
}
