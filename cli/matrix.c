/* SPDX-License-Identifier: MIT */
/*
 * matrix - who reaches whom on which port: each node against each port that another
 * serves, by the model, and with --measure by a probe as well.
 */
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/explained.h"
#include "cli/out.h"
#include "cli/probes.h"
#include "cli/source.h"
#include "cli/why.h"
#include "lib/table.h"
#include "lib/util.h"

#define CELLS_MAX 100000

struct matrix {
	struct cli *c;
	const struct args *args;
	struct source s;			       /* owns */
	cJSON *nodes, *questions, *answers, *measured; /* own; measured NULL: not asked for */
};

static void matrix_done(struct matrix *m)
{
	cJSON_Delete(m->nodes);
	cJSON_Delete(m->questions);
	cJSON_Delete(m->answers);
	cJSON_Delete(m->measured);
	source_done(&m->s);
}

/* ---- which cells there are ---- */

static void add_cell(struct matrix *m, const char *from, const char *to, const struct port *p)
{
	cJSON *q = cJSON_CreateObject();
	char port[24];

	(void)snprintf(port, sizeof(port), "%s/%u",
		       p->http		       ? "http" :
		       p->proto == IPPROTO_TCP ? "tcp" :
						 "udp",
		       p->port);
	cJSON_AddStringToObject(q, "from", from);
	cJSON_AddStringToObject(q, "to", to);
	cJSON_AddStringToObject(q, "port", port);
	cJSON_AddItemToArray(m->questions, q);
}

static bool is_listed(const struct port *v, size_t n, const struct port *p)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (v[i].proto == p->proto && v[i].port == p->port)
			return true;
	return false;
}

static int add_target(struct matrix *m, const char *to, const struct programs *p)
{
	const cJSON *from;
	size_t i;

	cJSON_ArrayForEach(from, m->nodes) {
		if (!strcmp(from->valuestring, to))
			continue;
		for (i = 0; i < p->n_serve; i++)
			add_cell(m, from->valuestring, to, &p->serve[i]);
		for (i = 0; i < p->n_ready; i++)
			if (!is_listed(p->serve, p->n_serve, &p->ready[i]))
				add_cell(m, from->valuestring, to, &p->ready[i]);
	}
	return cJSON_GetArraySize(m->questions) > CELLS_MAX ?
		       out_fail(m->c, ERR_LIMIT, "matrix: more than %d cells", CELLS_MAX) :
		       0;
}

static int make_cells(struct matrix *m)
{
	const struct lab *l = m->s.lab;
	size_t i, k;
	int r = 0;

	m->nodes = cJSON_CreateArray();
	m->questions = cJSON_CreateArray();
	for (i = 0; i < l->n_vpcs; i++)
		for (k = 0; k < l->vpcs[i].n_instances; k++)
			cJSON_AddItemToArray(m->nodes,
					     cJSON_CreateString(l->vpcs[i].instances[k].name));
	for (i = 0; i < l->n_hosts; i++)
		cJSON_AddItemToArray(m->nodes, cJSON_CreateString(l->hosts[i].name));
	for (i = 0; i < l->n_functions; i++)
		cJSON_AddItemToArray(m->nodes, cJSON_CreateString(l->functions[i].name));
	/* nothing opens a connection to a function, so none is a target */
	for (i = 0; i < l->n_vpcs && !r; i++)
		for (k = 0; k < l->vpcs[i].n_instances && !r; k++)
			r = add_target(m, l->vpcs[i].instances[k].name,
				       &l->vpcs[i].instances[k].programs);
	for (i = 0; i < l->n_hosts && !r; i++)
		r = add_target(m, l->hosts[i].name, &l->hosts[i].programs);
	return r;
}

/* ---- what comes out ---- */

static const char *result_of(const cJSON *answer)
{
	return json_str(answer, "result", answer ? "error" : NULL);
}

static bool differs(const cJSON *says, const cJSON *got)
{
	const char *a = json_str(says, "seen_as", NULL), *b = json_str(got, "seen_as", NULL);

	if (json_bool(says, "varies", false))
		return false; /* whichever it is, the model says so */
	return strcmp(result_of(says), result_of(got)) != 0 ||
	       (a && b && !explained_may_see(says, b));
}

/* what decides a cell, by REACH-1; of several flows the first that is stopped */
static const char *code_of(const cJSON *answer, const char *member)
{
	const char *code = json_str(json_get(answer, member), "code", NULL);
	const cJSON *part;

	cJSON_ArrayForEach(part, json_get(answer, "parts"))
		if (!code)
			code = json_str(json_get(part, member), "code", NULL);
	return code;
}

static void add_text(cJSON *o, const char *name, const char *s)
{
	cJSON_AddItemToObject(o, name, s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

static cJSON *document(struct matrix *m, unsigned *ret_disagreements)
{
	cJSON *o = cJSON_CreateObject(), *cells, *cell;
	const cJSON *q, *says = m->answers->child, *got = m->measured ? m->measured->child : NULL;

	*ret_disagreements = 0;
	cJSON_AddItemToObject(o, "nodes", cJSON_Duplicate(m->nodes, true));
	cells = cJSON_AddArrayToObject(o, "cells");
	cJSON_ArrayForEach(q, m->questions) {
		cell = cJSON_Duplicate(q, true);
		add_text(cell, "expected", result_of(says));
		add_text(cell, "measured", result_of(got));
		add_text(cell, "seen_as", json_str(got ? got : says, "seen_as", NULL));
		add_text(cell, "code", code_of(says, "decided_by"));
		add_text(cell, "dropped", code_of(got, "dropped"));
		cJSON_AddItemToArray(cells, cell);
		cJSON_AddBoolToObject(cell, "differs", got && differs(says, got));
		*ret_disagreements += got && differs(says, got);
		says = says->next;
		got = got ? got->next : NULL;
	}
	cJSON_AddNumberToObject(o, "disagreements", *ret_disagreements);
	return o;
}

static const char *color_of(const char *result)
{
	return !strcmp(result, "open") ? "green" : !strcmp(result, "timeout") ? "red" : "yellow";
}

/* each is a fault of ours, or of what somebody did inside a node */
static void print_disagreements(const cJSON *doc, unsigned n)
{
	const cJSON *cell;

	cJSON_ArrayForEach(cell, json_get(doc, "cells")) {
		const char *code = json_str(cell, "code", NULL);
		const char *dropped = json_str(cell, "dropped", NULL);

		if (json_bool(cell, "differs", false))
			printf("differs  %s -> %s %s: model %s%s%s%s, packets %s%s%s%s\n",
			       json_str(cell, "from", "?"), json_str(cell, "to", "?"),
			       json_str(cell, "port", "?"), json_str(cell, "expected", "?"),
			       code ? " (" : "", code ? code : "", code ? ")" : "",
			       json_str(cell, "measured", "?"), dropped ? " (" : "",
			       dropped ? dropped : "", dropped ? ")" : "");
	}
	printf("%u disagreements\n", n);
}

static int print(const struct cli *c, const cJSON *doc, bool measured, unsigned disagreements)
{
	static const char *const heads[] = { "FROM",	"TO",	    "PORT", "EXPECTED",
					     "SEEN AS", "MEASURED", NULL };
	struct table *t = table_new(heads, c->color_out);
	const cJSON *cell;
	int r;

	if (!t)
		return out_no_memory(c);
	cJSON_ArrayForEach(cell, json_get(doc, "cells")) {
		const char *cells[] = {
			json_str(cell, "from", "?"),	 json_str(cell, "to", "?"),
			json_str(cell, "port", "?"),	 json_str(cell, "expected", "?"),
			json_str(cell, "seen_as", NULL), json_str(cell, "measured", NULL)
		};

		if (table_add(t, cells) < 0)
			break; /* table_print() tells */
		table_color(t, 3, color_of(cells[3]));
		if (cells[5])
			table_color(t, 5,
				    strcmp(cells[5], cells[3]) ? "yellow" : color_of(cells[5]));
	}
	r = table_print(t, stdout);
	table_free(t);
	if (r < 0)
		return out_no_memory(c);
	if (measured)
		print_disagreements(doc, disagreements);
	return out_done(c);
}

/* ---- the verb ---- */

static int load(struct matrix *m)
{
	const char *word = m->args->words[0];

	if (source_is_file(word) && args_has(m->args, "measure"))
		return out_fail_usage(m->c, "matrix: --measure goes with a LAB, which runs");
	if (args_has(m->args, "exit-code") && !args_has(m->args, "measure"))
		return out_fail_usage(m->c, "matrix: --exit-code goes with --measure");
	if (source_is_file(word))
		return source_load(m->c, word, m->args, &m->s);
	if (args_has(m->args, "lab") || args_has(m->args, "merge"))
		return out_fail_usage(m->c, "matrix: --lab and --merge go with a FILE");
	return source_of_lab(m->c, "matrix", word, m->args, &m->s);
}

static int ask(struct matrix *m)
{
	const char *word = m->args->words[0];
	int r;

	if (source_is_file(word))
		return why_file(m->c, &m->s, m->questions, &m->answers);
	r = why_lab(m->c, word, m->questions, &m->answers);
	if (!r && args_has(m->args, "measure"))
		r = probes_run(m->c, word, m->questions, &m->measured);
	return r;
}

static int matrix(struct cli *c, const struct args *a)
{
	struct matrix m = { .c = c, .args = a };
	unsigned disagreements = 0;
	cJSON *doc = NULL;
	int r = load(&m);

	if (!r)
		r = make_cells(&m);
	if (!r)
		r = ask(&m);
	if (!r) {
		doc = document(&m, &disagreements);
		r = c->json ? out_json(c, cJSON_Duplicate(doc, true)) :
			      print(c, doc, m.measured != NULL, disagreements);
	}
	cJSON_Delete(doc);
	matrix_done(&m);
	return r ? r : args_has(a, "exit-code") && disagreements ? EXIT_FAILED : 0;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "measure", 0, NULL, "probe each cell, too" },
	{ "exit-code", 0, NULL, "1 if model and probes disagree anywhere" },
	{ 0 },
};

const struct verb VERB_MATRIX = {
	.name = "matrix",
	.usage = "LAB|FILE",
	.summary = "who reaches whom on which port, by the model",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.fn = matrix,
};
