/* SPDX-License-Identifier: MIT */
/*
 * args - getopt_long over one table made of the common options and a verb's
 * own.  Words are gathered in their order (the leading '-' of the option
 * string), so options may stand anywhere before a "--".
 */
#include "cli/args.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"

#define GLOBALS_MAX 12
#define LONG_BASE 256 /* value of the first option without a letter */

const struct arg_opt ARG_GLOBALS[] = {
	{ "run-dir", 0, "DIR", "sockets, logs and namespaces (/run/vpclab)" },
	{ "state-dir", 0, "DIR", "what survives a reboot (/var/lib/vpclab, or DIR/state)" },
	{ "output", 'o', "text|json", "how results are printed" },
	{ "quiet", 'q', NULL, "less: no progress, no word about success" },
	{ "verbose", 'v', NULL, "more" },
	{ "color", 0, "auto|always|never", "colours" },
	{ "no-start", 0, NULL, "don't start the daemons" },
	{ "help", 'h', NULL, "what the command takes" },
	{ 0 },
};

struct parser {
	const struct arg_opt *all[GLOBALS_MAX + ARG_OPTS_MAX];
	size_t n;
	struct option longs[GLOBALS_MAX + ARG_OPTS_MAX + 1];
	char letters[2 + 3 * (GLOBALS_MAX + ARG_OPTS_MAX) + 1];
	struct args *ret;
	char *why;
	size_t why_size;
	bool bad;
};

static int has_arg(const struct arg_opt *o)
{
	if (!o->arg)
		return no_argument;
	return o->arg[0] == '[' ? optional_argument : required_argument;
}

static void add_options(struct parser *p, const struct arg_opt *o)
{
	for (; o && o->name && p->n < ARRAY_SIZE(p->all); o++) {
		char *s = p->letters + strlen(p->letters);

		p->longs[p->n] = (struct option){
			.name = o->name,
			.has_arg = has_arg(o),
			.val = o->letter ? o->letter : LONG_BASE + (int)p->n,
		};
		p->all[p->n++] = o;
		if (!o->letter)
			continue;
		*s++ = o->letter;
		if (o->arg)
			*s++ = ':';
		if (has_arg(o) == optional_argument)
			*s++ = ':';
		*s = '\0';
	}
}

static const struct arg_opt *by_value(const struct parser *p, int val)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->longs[i].val == val)
			return p->all[i];
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void mistake(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	if (p->bad)
		return;
	p->bad = true;
	va_start(ap, fmt);
	(void)vsnprintf(p->why, p->why_size, fmt, ap);
	va_end(ap);
}

static void bad_option(struct parser *p, int c, char **argv)
{
	const struct arg_opt *o = optopt ? by_value(p, optopt) : NULL;
	const char *word = argv[optind - 1];

	if (c == ':' || (o && o->arg && o->arg[0] != '['))
		mistake(p, "--%s needs %s", o ? o->name : "?", o ? o->arg : "a value");
	else if (o)
		mistake(p, "--%s takes no value", o->name);
	else if (optopt)
		mistake(p, "unknown option -%c", optopt);
	else
		mistake(p, "unknown or ambiguous option %s", word);
}

/* "--bind 12" is "--bind=12": getopt takes the latter alone */
static const char *number_after(const struct arg_opt *o, int argc, char **argv)
{
	const char *next = optind < argc ? argv[optind] : "";

	if (!o || has_arg(o) != optional_argument || !*next || next[strspn(next, "0123456789")])
		return NULL;
	optind++;
	return next;
}

static void add_value(struct args *a, const struct arg_opt *o, const char *value)
{
	a->values[a->n_values++] = (struct arg_value){ o, value ? value : "" };
}

static int start(struct parser *p, const struct arg_spec *spec, int argc, struct args *ret)
{
	*ret = (struct args){ 0 };
	/* every argument is one word, or at most one letter a byte: count those */
	ret->words = calloc((size_t)argc + 1, sizeof(*ret->words));
	ret->values = NULL;
	if (!ret->words)
		return -ENOMEM;
	/* '+': stop at the first word; '-': words come in order as value 1 */
	strcpy(p->letters, spec->verb ? "-:" : "+:");
	add_options(p, ARG_GLOBALS);
	add_options(p, spec->opts);
	return 0;
}

static int room_for_values(struct args *ret, int argc, char **argv)
{
	size_t n = 1;
	int i;

	for (i = 1; i < argc; i++)
		n += strlen(argv[i]) + 1;
	ret->values = calloc(n, sizeof(*ret->values));
	return ret->values ? 0 : -ENOMEM;
}

static void check_words(struct parser *p, const struct arg_spec *spec)
{
	const struct args *a = p->ret;

	if (a->n_words < spec->min_words)
		mistake(p, "something is missing: vpclab %s %s", spec->verb, spec->usage);
	else if (a->n_words > spec->max_words)
		mistake(p, "too many words, from '%s' on: vpclab %s%s%s", a->words[spec->max_words],
			spec->verb, spec->usage[0] ? " " : "", spec->usage);
	else if (a->rest && !spec->command_after)
		mistake(p, "nothing may follow '--': vpclab %s %s", spec->verb, spec->usage);
	else if (spec->command_after && (!a->rest || !a->rest[0]))
		mistake(p, "no command given: vpclab %s %s", spec->verb, spec->usage);
}

int args_parse(const struct arg_spec *spec, int argc, char **argv, struct args *ret, int *ret_used,
	       char *ret_why, size_t size)
{
	struct parser p = { .ret = ret, .why = ret_why, .why_size = size };
	int c;

	if (start(&p, spec, argc, ret) < 0 || room_for_values(ret, argc, argv) < 0)
		return -ENOMEM;
	optind = 0; /* GNU: start anew */
	opterr = 0;
	while ((c = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
		if (c == 1) {
			if (spec->command_after && ret->n_words == spec->command_after) {
				ret->rest = argv + optind - 1;
				break;
			}
			ret->words[ret->n_words++] = optarg;
		} else if (c == '?' || c == ':') {
			bad_option(&p, c, argv);
		} else {
			const struct arg_opt *o = by_value(&p, c);

			add_value(ret, o, optarg ? optarg : number_after(o, argc, argv));
		}
	}
	if (ret_used)
		*ret_used = optind;
	if (spec->verb) {
		if (c == -1 && optind > 0 && !strcmp(argv[optind - 1], "--"))
			ret->rest = argv + optind;
		if (!args_has(ret, "help"))
			check_words(&p, spec);
	}
	return p.bad ? -EINVAL : 0;
}

void args_done(struct args *a)
{
	free(a->words);
	free(a->values);
	*a = (struct args){ 0 };
}

const char *args_get(const struct args *a, const char *name)
{
	size_t i;

	for (i = a->n_values; i-- > 0;)
		if (!strcmp(a->values[i].opt->name, name))
			return a->values[i].value;
	return NULL;
}

bool args_has(const struct args *a, const char *name)
{
	return args_get(a, name) != NULL;
}

const char *args_nth(const struct args *a, const char *name, size_t idx)
{
	size_t i;

	for (i = 0; i < a->n_values; i++)
		if (!strcmp(a->values[i].opt->name, name) && idx-- == 0)
			return a->values[i].value;
	return NULL;
}

int args_number(const struct args *a, const char *name, uint64_t min, uint64_t max, uint64_t def,
		uint64_t *ret)
{
	const char *s = args_get(a, name);

	if (!s) {
		*ret = def;
		return 0;
	}
	return parse_u64(s, min, max, ret) < 0 ? -EINVAL : 0;
}

int parse_seconds(const char *s, double min, double max, double *ret)
{
	char *end;
	double v;

	/* strtod takes more than a number of seconds: hex, inf, nan, blanks */
	if (!*s || s[strspn(s, "0123456789.")])
		return -EINVAL;
	errno = 0;
	v = strtod(s, &end);
	if (errno || *end || !isfinite(v) || v < min || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

int args_seconds(const struct args *a, const char *name, double min, double max, double def,
		 double *ret)
{
	const char *s = args_get(a, name);

	if (!s) {
		*ret = def;
		return 0;
	}
	return parse_seconds(s, min, max, ret);
}
