/* SPDX-License-Identifier: MIT */
/*
 * completion - scripts for shells, which ask __complete what may come next.  That
 * is read off the tables that the verbs are parsed by: their options, and the
 * words of their usage.  So a verb completes as soon as it has an entry in main.c.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/source.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/sock.h"
#include "lib/util.h"

#define TOKEN_SIZE 64

/* dist/vpclab.bash and dist/vpclab.zsh, as they are (the Makefile knows of both) */
extern const char completion_bash[], completion_zsh[];
__asm__(".section .rodata\n"
	".hidden completion_bash\n.globl completion_bash\ncompletion_bash:\n"
	".incbin \"dist/vpclab.bash\"\n.byte 0\n"
	".hidden completion_zsh\n.globl completion_zsh\ncompletion_zsh:\n"
	".incbin \"dist/vpclab.zsh\"\n.byte 0\n"
	".previous\n");

/* ---- the line so far ---- */

struct line {
	struct cli *c;
	const struct verb *verb;	/* NULL: none yet */
	const struct arg_opt *awaiting; /* the option whose value the last word is */
	const char *words[8];		/* of the verb; later ones are only counted */
	size_t n_words;
	bool command;	    /* what follows is somebody else's command line */
	const char *last;   /* the word at the cursor, "" */
	const char *prefix; /* "--format=" where the last word is that and a value */
	size_t prefix_len;
	bool files; /* names of files are candidates, too */
};

static const struct arg_opt *find_in(const struct arg_opt *o, const char *name, size_t len,
				     char letter)
{
	for (; o && o->name; o++)
		if (letter ? o->letter == letter :
			     strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	return NULL;
}

/* "letter" or "name" */
static const struct arg_opt *find_option(const struct line *l, const char *name, size_t len,
					 char letter)
{
	const struct arg_opt *o = find_in(ARG_GLOBALS, name, len, letter);

	return o || !l->verb ? o : find_in(l->verb->opts, name, len, letter);
}

/* what is asked for labs is asked there */
static void take_value(struct line *l, const struct arg_opt *o, const char *value)
{
	char *path;

	if (strcmp(o->name, "run-dir") && strcmp(o->name, "state-dir"))
		return;
	path = !strcmp(o->name, "run-dir") ? rundir_default(value) :
					     rundir_default_state(l->c->run, value);
	if (!path)
		return;
	if (!strcmp(o->name, "run-dir")) {
		free(l->c->run);
		l->c->run = path;
	} else {
		free(l->c->state);
		l->c->state = path;
	}
}

static void read_option(struct line *l, const char *word)
{
	const char *name = word + 2, *equals = strchr(word, '=');
	const struct arg_opt *o;

	if (word[1] == '-') {
		o = find_option(l, name, equals ? (size_t)(equals - name) : strlen(name), 0);
		if (o && equals)
			take_value(l, o, equals + 1);
		if (equals)
			return;
	} else {
		o = find_option(l, "", 0, word[1]);
		if (word[2])
			return; /* -ojson, -qv */
	}
	if (o && o->arg && o->arg[0] != '[')
		l->awaiting = o;
}

static void read_word(struct line *l, const char *word)
{
	if (l->awaiting) {
		take_value(l, l->awaiting, word);
		l->awaiting = NULL;
	} else if (l->command) {
		return;
	} else if (!strcmp(word, "--")) {
		l->command = true;
	} else if (word[0] == '-' && word[1]) {
		read_option(l, word);
	} else if (!l->verb) {
		l->verb = verb_find(word);
	} else {
		if (l->n_words < ARRAY_SIZE(l->words))
			l->words[l->n_words] = word;
		l->n_words++;
		l->command = l->verb->command_after && l->n_words > l->verb->command_after;
	}
}

/* ---- candidates ---- */

static void offer(const struct line *l, const char *word, const char *about)
{
	if (strncmp(word, l->last, strlen(l->last)) != 0)
		return;
	printf("%.*s%s\t%s\n", (int)l->prefix_len, l->prefix ? l->prefix : "", word,
	       about ? about : "");
}

__attribute__((format(printf, 3, 4))) static void offerf(const struct line *l, const char *about,
							 const char *fmt, ...)
{
	char word[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(word, sizeof(word), fmt, ap);
	va_end(ap);
	offer(l, word, about);
}

static void offer_keys(const struct line *l, const cJSON *map, const char *about)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, map)
		offer(l, item->string, about);
}

static void offer_verbs(const struct line *l)
{
	const struct verb *v;
	size_t i;

	for (i = 0; (v = verb_nth(i)); i++)
		offer(l, v->name, v->summary);
}

static void offer_options_of(const struct line *l, const struct arg_opt *o)
{
	char letter[] = "-x";

	for (; o && o->name; o++) {
		offerf(l, o->help, "--%s", o->name);
		letter[1] = o->letter;
		if (o->letter && !strcmp(l->last, letter))
			offer(l, letter, o->help);
	}
}

static void offer_labs(const struct line *l)
{
	auto_json cJSON *labs = NULL;
	const cJSON *lab;

	if (api_get(l->c, "labs", "/v1/labs", &labs))
		return;
	cJSON_ArrayForEach(lab, labs)
		offer(l, json_str(lab, "lab", ""), json_str(lab, "state", ""));
}

static cJSON *show(const struct line *l)
{
	auto_free char *path = NULL;
	cJSON *lab = NULL;

	if (!l->n_words || source_is_file(l->words[0]))
		return NULL;
	path = api_lab_path(l->words[0], "");
	return api_get(l->c, "show", path, &lab) ? NULL : lab;
}

/* exec's further places */
static void offer_places(const struct line *l, const cJSON *lab)
{
	const cJSON *vpc, *nat;

	offer(l, "internet", "the lab's internet");
	cJSON_ArrayForEach(vpc, json_get(lab, "vpcs")) {
		offerf(l, "router of a VPC", "router:%s", vpc->string);
		cJSON_ArrayForEach(nat, json_get(vpc, "nat_gateways"))
			offerf(l, "NAT gateway", "nat_gateway:%s/%s", vpc->string, nat->string);
	}
}

static void offer_nodes(const struct line *l)
{
	auto_json cJSON *lab = show(l);
	const cJSON *vpc;

	cJSON_ArrayForEach(vpc, json_get(lab, "vpcs"))
		if (!MUTANT("completion-nodes"))
			offer_keys(l, json_get(vpc, "instances"), "instance");
	offer_keys(l, json_get(lab, "functions"), "function");
	offer_keys(l, json_get(json_get(lab, "internet"), "hosts"), "internet host");
	if (l->verb && !strcmp(l->verb->name, "exec"))
		offer_places(l, lab);
}

static void offer_functions(const struct line *l)
{
	auto_json cJSON *lab = show(l);

	offer_keys(l, json_get(lab, "functions"), "function");
}

/* KIND, or KIND/NAME once there is a kind */
static void offer_kinds(const struct line *l)
{
	static const char *const kinds[] = {
		"vpcs",		"subnets",	"route_tables",	      "security_groups",
		"network_acls", "nat_gateways", "network_interfaces", "flow_logs",
		"instances"
	};
	auto_json cJSON *lab = NULL;
	const char *slash = strchr(l->last, '/');
	const cJSON *vpc, *o;
	char kind[TOKEN_SIZE];
	size_t i;

	if (!slash) {
		for (i = 0; i < ARRAY_SIZE(kinds); i++)
			offer(l, kinds[i], "");
		offer(l, "functions", "");
		return;
	}
	lab = show(l);
	(void)snprintf(kind, sizeof(kind), "%.*s", (int)(slash - l->last), l->last);
	cJSON_ArrayForEach(o, json_get(lab, kind))
		offerf(l, "", "%s/%s", kind, o->string);
	cJSON_ArrayForEach(vpc, json_get(lab, "vpcs"))
		cJSON_ArrayForEach(o, json_get(vpc, kind))
			if (strcmp(kind, "instances") != 0)
				offerf(l, "", "%s/%s/%s", kind, vpc->string, o->string);
			else
				offerf(l, "", "%s/%s", kind, o->string); /* nodes are bare */
}

static void offer_flow_logs(const struct line *l)
{
	auto_json cJSON *lab = show(l);
	const cJSON *vpc, *o;

	cJSON_ArrayForEach(vpc, json_get(lab, "vpcs"))
		cJSON_ArrayForEach(o, json_get(vpc, "flow_logs"))
			offer(l, json_str(o, "name", o->string), json_str(o, "resource", ""));
}

static void offer_ports(const struct line *l)
{
	offer(l, "tcp/", "");
	offer(l, "udp/", "");
	offer(l, "icmp", "");
}

/* one alternative of a usage's or an option's word */
static void offer_token(struct line *l, const char *token)
{
	static const struct {
		const char *token;
		void (*fn)(const struct line *l);
	} known[] = {
		{ "LAB", offer_labs },	 { "NODE", offer_nodes },	  { "FROM", offer_nodes },
		{ "TO", offer_nodes },	 { "FUNCTION", offer_functions }, { "KIND", offer_kinds },
		{ "PORT", offer_ports }, { "COMMAND", offer_verbs },	  { "L", offer_flow_logs },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(token, known[i].token))
			known[i].fn(l);
	if (!strcmp(token, "FILE") || !strcmp(token, "DIR") || !strcmp(token, "@FILE"))
		l->files = true;
	if (islower((unsigned char)*token))
		offer(l, token, "");
}

/* "FILE|DIR|LAB...", "[KIND[/NAME]]" */
static void offer_word(struct line *l, const char *word, size_t len)
{
	char copy[TOKEN_SIZE], *at, *token, *rest;

	(void)snprintf(copy, sizeof(copy), "%.*s", (int)len, word);
	rest = *copy == '[' ? copy + 1 : copy;
	while ((token = strsep(&rest, "|"))) {
		at = strpbrk(token, "[].");
		if (at)
			*at = '\0';
		offer_token(l, token);
	}
}

/* the word of the usage that the last one is */
static void offer_position(struct line *l)
{
	const char *at = l->verb->usage;
	size_t i = 0, len = 0;

	for (; *at; at += len + (at[len] == ' ')) {
		len = strcspn(at, " ");
		/* what follows "--" or '|' is a command, an option instead */
		if ((len == 2 && !strncmp(at, "--", 2)) || (len == 1 && *at == '|'))
			return;
		if (i == l->n_words || (len > 3 && !strncmp(at + len - 3, "...", 3))) {
			offer_word(l, at, len);
			return;
		}
		i++;
	}
}

static void offer_value(struct line *l, const struct arg_opt *o)
{
	if (!strcmp(o->name, "expect"))
		offer_word(l, "open|refused|timeout|unreachable", 32);
	else if (!strcmp(o->name, "address"))
		offer_word(l, "private|public", 14);
	else
		offer_word(l, o->arg, strlen(o->arg));
}

static void offer_all(struct line *l)
{
	const char *equals = strchr(l->last, '=');
	const struct arg_opt *o;

	if (l->command) {
		l->files = true;
	} else if (l->awaiting) {
		offer_value(l, l->awaiting);
	} else if (!strncmp(l->last, "--", 2) && equals) {
		o = find_option(l, l->last + 2, (size_t)(equals - l->last) - 2, 0);
		l->prefix = l->last;
		l->prefix_len = (size_t)(equals - l->last) + 1;
		l->last = equals + 1;
		if (o && o->arg)
			offer_value(l, o);
	} else if (*l->last == '-') {
		offer_options_of(l, l->verb ? l->verb->opts : NULL);
		offer_options_of(l, ARG_GLOBALS);
	} else if (!l->verb) {
		offer_verbs(l);
	} else {
		offer_position(l);
	}
	if (l->files)
		printf(":files\n");
}

static int complete(struct cli *c, const struct args *a)
{
	struct line l = { .c = c, .last = "" };
	char *const *word;

	c->no_start = true; /* a key is no reason to start anything */
	for (word = a->rest; word && *word; word++) {
		if (word[1])
			read_word(&l, *word);
		else
			l.last = *word;
	}
	offer_all(&l);
	return out_done(c);
}

/* ---- the scripts ---- */

static int completion(struct cli *c, const struct args *a)
{
	const char *shell = a->words[0];

	if (strcmp(shell, "bash") != 0 && strcmp(shell, "zsh") != 0)
		return out_fail_usage(c, "completion: %s: bash or zsh", shell);
	fputs(!strcmp(shell, "bash") ? completion_bash : completion_zsh, stdout);
	return out_done(c);
}

const struct verb VERB_COMPLETION = {
	.name = "completion",
	.usage = "bash|zsh",
	.summary = "completion for a shell, with names of labs and nodes",
	.more = "bash: source <(vpclab completion bash)\n"
		"zsh:  source <(vpclab completion zsh), after compinit",
	.min_words = 1,
	.max_words = 1,
	.fn = completion,
};

const struct verb VERB_COMPLETE = {
	.name = "__complete",
	.usage = "-- WORD...",
	.summary = "what may take the place of the last word; for the scripts above",
	.command_after = SIZE_MAX,
	.fn = complete,
};
