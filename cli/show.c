/* SPDX-License-Identifier: MIT */
/*
 * show - the objects of a lab: all of them, those of a kind, or one.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/select.h"
#include "lib/table.h"
#include "lib/util.h"

#define COLUMNS_MAX 12

static void add_cell(struct buf *b, const cJSON *v);

/* a route reads "0.0.0.0/0 > nat_gateway:nat"; of other objects the count says enough */
static void add_object(struct buf *b, const cJSON *v)
{
	const char *destination = json_str(v, "destination", NULL);
	const char *target = json_str(v, "target", "?");
	bool gone = !strcmp(json_str(v, "state", ""), "blackhole") && strcmp(target, "blackhole");

	if (destination)
		buf_printf(b, "%s > %s%s", destination, target, gone ? " (blackhole)" : "");
	else
		buf_printf(b, "%d", cJSON_GetArraySize(v));
}

static void add_list(struct buf *b, const cJSON *v)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, v) {
		if (b->len)
			buf_adds(b, ", ");
		add_cell(b, item);
	}
	if (!cJSON_GetArraySize(v))
		buf_adds(b, "-");
}

static void add_cell(struct buf *b, const cJSON *v)
{
	if (!v || cJSON_IsNull(v))
		buf_adds(b, "-");
	else if (cJSON_IsString(v))
		buf_adds(b, v->valuestring[0] ? v->valuestring : "-");
	else if (cJSON_IsBool(v))
		buf_adds(b, cJSON_IsTrue(v) ? "yes" : "no");
	else if (cJSON_IsNumber(v))
		buf_printf(b, "%.15g", v->valuedouble);
	else if (cJSON_IsArray(v))
		add_list(b, v);
	else
		add_object(b, v);
}

/* "private_ip" -> "PRIVATE IP" */
static void head_of(const char *member, char *ret, size_t size)
{
	size_t i;

	(void)snprintf(ret, size, "%s", member);
	for (i = 0; ret[i]; i++)
		ret[i] = ret[i] == '_' ? ' ' : (char)toupper((unsigned char)ret[i]);
}

static int add_row(struct table *t, const struct select_kind *k, const cJSON *o)
{
	struct buf texts[COLUMNS_MAX] = { 0 };
	const char *cells[COLUMNS_MAX + 1] = { o->string };
	size_t i, state = 0;
	const char *s = json_str(o, "state", "");
	int r;

	for (i = 0; k->columns[i] && i < COLUMNS_MAX - 1; i++) {
		add_cell(&texts[i], json_get(o, k->columns[i]));
		cells[i + 1] = buf_str(&texts[i]);
		if (!strcmp(k->columns[i], "state"))
			state = i + 1;
	}
	r = table_add(t, cells);
	if (state && !r)
		table_color(t, state, !strcasecmp(s, "failed") ? "red" : "green");
	for (i = 0; i < COLUMNS_MAX; i++)
		buf_done(&texts[i]);
	return r;
}

static int print_map(const struct cli *c, const struct select_kind *k, const cJSON *map)
{
	char texts[COLUMNS_MAX][40];
	const char *heads[COLUMNS_MAX + 1] = { "NAME" };
	struct table *t;
	const cJSON *o;
	size_t i;
	int r = 0;

	for (i = 0; k->columns[i] && i < COLUMNS_MAX - 1; i++) {
		head_of(k->columns[i], texts[i], sizeof(texts[i]));
		heads[i + 1] = texts[i];
	}
	heads[i + 1] = NULL;
	t = table_new(heads, c->color_out);
	if (!t)
		return out_no_memory(c);
	cJSON_ArrayForEach(o, map)
		r = r ? r : add_row(t, k, o);
	r = table_print(t, stdout);
	table_free(t);
	return r < 0 ? out_no_memory(c) : 0;
}

static void print_member(const cJSON *v, int depth)
{
	auto_buf struct buf b = BUF_INIT;
	const cJSON *m;

	printf("%*s%s: ", depth * 2, "", out_safe(v->string ? v->string : "-"));
	if (cJSON_IsObject(v) && v->child) {
		printf("\n");
		cJSON_ArrayForEach(m, v)
			print_member(m, depth + 1);
		return;
	}
	if (cJSON_IsArray(v) && cJSON_IsObject(v->child) && !json_get(v->child, "destination")) {
		printf("\n");
		cJSON_ArrayForEach(m, v) {
			auto_free char *text = json_print(m);

			printf("%*s%s\n", depth * 2 + 2, "", out_safe(text));
		}
		return;
	}
	add_cell(&b, v);
	printf("%s\n", out_safe(buf_str(&b)));
}

static void print_object(const cJSON *o)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, o)
		print_member(m, 0);
}

static int print_all(const struct cli *c, const cJSON *show)
{
	const struct select_kind *k, *same;
	bool one, first = true;
	int r = 0;

	for (k = SELECT_KINDS; k->name && !r; k++) {
		cJSON *map = NULL;

		if (select_objects(show, k->name, &same, &map, &one) != SELECT_OK)
			return out_no_memory(c);
		if (cJSON_GetArraySize(map)) {
			printf("%s%s%s%s\n", first ? "" : "\n", out_color(c->color_out, OUT_BOLD),
			       k->name, out_color(c->color_out, OUT_PLAIN));
			first = false;
			r = print_map(c, k, map);
		}
		cJSON_Delete(map);
	}
	return r ? r : out_done(c);
}

static int tell_status(const struct cli *c, enum select_status s, const char *lab, const char *word)
{
	auto_buf struct buf b = BUF_INIT;
	const struct select_kind *k;

	switch (s) {
	case SELECT_UNKNOWN_KIND:
		for (k = SELECT_KINDS; k->name; k++)
			buf_printf(&b, "%s%s", b.len ? ", " : "", k->name);
		return out_fail_usage(c, "show: %s: no such kind (%s)", word, buf_str(&b));
	case SELECT_NONE:
		return out_fail(c, ERR_NO_OBJECT, "show: lab %s has no %s", lab, word);
	case SELECT_AMBIGUOUS:
		return out_fail(c, ERR_NO_OBJECT,
				"show: %s: more than one VPC has it: name it as "
				"VPC/NAME",
				word);
	default:
		return out_no_memory(c);
	}
}

static int print_some(const struct cli *c, const cJSON *show, const char *lab, const char *word)
{
	const struct select_kind *k = NULL;
	cJSON *got = NULL;
	bool one = false;
	enum select_status s = select_objects(show, word, &k, &got, &one);
	int r;

	if (s != SELECT_OK)
		return tell_status(c, s, lab, word);
	if (c->json)
		return out_json(c, got);
	if (one)
		print_object(got);
	r = one ? 0 : print_map(c, k, got);
	cJSON_Delete(got);
	return r ? r : out_done(c);
}

/* a wrong KIND is a mistake of the command, whatever the lab holds */
static int check_kind(const struct cli *c, const char *lab, const char *word)
{
	const struct select_kind *k;
	cJSON *none = NULL;
	bool one;
	enum select_status s = select_objects(NULL, word, &k, &none, &one);

	cJSON_Delete(none);
	return s == SELECT_UNKNOWN_KIND ? tell_status(c, s, lab, word) : 0;
}

static int show(struct cli *c, const struct args *a)
{
	auto_free char *path = api_lab_path(a->words[0], "");
	cJSON *doc = NULL;
	char what[120];
	int r = a->n_words > 1 ? check_kind(c, a->words[0], a->words[1]) : 0;

	(void)snprintf(what, sizeof(what), "show %s", out_safe(a->words[0]));
	if (!r)
		r = api_get(c, what, path, &doc);
	if (r)
		return r;
	if (a->n_words == 1 && c->json)
		return out_json(c, doc);
	if (a->n_words == 1)
		r = print_all(c, doc);
	else
		r = print_some(c, doc, a->words[0], a->words[1]);
	cJSON_Delete(doc);
	return r;
}

const struct verb VERB_SHOW = {
	.name = "show",
	.usage = "LAB [KIND[/NAME]]",
	.summary = "the objects of a lab",
	.more = "KIND is the lab file's plural (subnets, instances, functions, ...); what lives in "
		"a\n"
		"VPC is named VPC/NAME, or NAME where only one VPC has it.",
	.min_words = 1,
	.max_words = 2,
	.fn = show,
};
