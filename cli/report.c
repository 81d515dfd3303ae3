/* SPDX-License-Identifier: MIT */
/*
 * report - text, TAP and JUnit from the same JSON, so that they can't disagree.
 * Names and answers are escaped for each form: they are users' and functions'.
 */
#include "cli/report.h"

#include <string.h>

#include "cli/explained.h"
#include "cli/out.h"
#include "cli/probes.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define INDENT "        "

static bool is_ok(const cJSON *result)
{
	return json_bool(result, "ok", false);
}

static bool is_skipped(const cJSON *result)
{
	return json_bool(result, "skipped", false);
}

void report_count(cJSON *lab)
{
	unsigned passed = 0, failed = 0, skipped = 0;
	const cJSON *r;

	cJSON_ArrayForEach(r, json_get(lab, "results")) {
		if (is_skipped(r))
			skipped++;
		else if (is_ok(r))
			passed++;
		else
			failed++;
	}
	cJSON_AddNumberToObject(lab, "passed", passed);
	cJSON_AddNumberToObject(lab, "failed", failed);
	cJSON_AddNumberToObject(lab, "skipped", skipped);
}

static double sum(const cJSON *labs, const char *member)
{
	const cJSON *lab;
	double n = 0;

	cJSON_ArrayForEach(lab, labs)
		n += json_num(lab, member, 0);
	return n;
}

cJSON *report_json(const cJSON *labs)
{
	static const char *const counts[] = { "passed", "failed", "skipped" };
	cJSON *doc;
	size_t i;

	if (cJSON_GetArraySize(labs) == 1)
		return cJSON_Duplicate(labs->child, true);
	doc = cJSON_CreateObject();
	cJSON_AddItemToObject(doc, "labs", cJSON_Duplicate(labs, true));
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		cJSON_AddNumberToObject(doc, counts[i], sum(labs, counts[i]));
	return doc;
}

/* ---- text ---- */

static void add_safe(struct buf *b, const char *s)
{
	out_escape(b, s, strlen(s), false);
}

static void add_json(struct buf *b, const cJSON *v)
{
	auto_free char *text = v ? json_print(v) : NULL;

	add_safe(b, text ? text : "nothing");
}

/* "a -> db tcp/5432" */
static void add_way(struct buf *b, const cJSON *expected)
{
	const char *invoke = json_str(expected, "invoke", NULL);

	if (invoke) {
		buf_adds(b, "invoke ");
		add_safe(b, invoke);
		return;
	}
	add_safe(b, json_str(expected, "from", "?"));
	buf_adds(b, " -> ");
	add_safe(b, json_str(expected, "to", "?"));
	buf_adds(b, " ");
	add_safe(b, json_str(expected, "port", "?"));
}

/* "open; seen as service", "returns {...}": what was asked for, in words */
static void add_expected(struct buf *b, const cJSON *x)
{
	static const char *const calls[] = { "returns", "matches",  "error", "status",
					     "log",	"outcomes", "times", "parallel" };
	const cJSON *code, *v;
	const char *sep = "";
	size_t i;

	if (json_str(x, "result", NULL))
		buf_adds(b, json_str(x, "result", ""));
	if (json_str(x, "seen_as", NULL)) {
		buf_adds(b, "; seen as ");
		add_safe(b, json_str(x, "seen_as", ""));
	}
	cJSON_ArrayForEach(code, json_get(x, "because")) {
		buf_adds(b, *sep ? sep : "; dropped: ");
		add_safe(b, cJSON_IsString(code) ? code->valuestring : "?");
		sep = " or ";
	}
	sep = "";
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		v = json_get(x, calls[i]);
		if (!v || !json_get(x, "invoke"))
			continue;
		buf_printf(b, "%s%s ", sep, calls[i]);
		add_json(b, v);
		sep = "; ";
	}
}

static void add_got(struct buf *b, const cJSON *result)
{
	const cJSON *got = json_get(result, "got");
	auto_buf struct buf words = BUF_INIT;

	if (!json_get(json_get(result, "expected"), "invoke")) {
		probe_words(got, &words);
		add_safe(b, buf_str(&words));
		return;
	}
	if (json_get(got, "outcomes")) {
		buf_adds(b, "outcomes ");
		add_json(b, json_get(got, "outcomes"));
		return;
	}
	buf_printf(b, "status %.0f", json_num(got, "status", 0));
	if (json_str(got, "error", NULL)) {
		buf_adds(b, ", error ");
		add_safe(b, json_str(got, "error", ""));
	}
	buf_adds(b, ", response ");
	add_json(b, json_get(got, "response"));
}

/* as a shell takes it */
static void add_quoted(struct buf *b, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_./:@,+";

	if (*s && s[strspn(s, plain)] == '\0') {
		buf_adds(b, s);
		return;
	}
	buf_adds(b, "'");
	while (*s) {
		size_t n = strcspn(s, "'");

		out_escape(b, s, n, false);
		s += n;
		if (*s == '\'') {
			buf_adds(b, "'\\''");
			s++;
		}
	}
	buf_adds(b, "'");
}

static void add_again(struct buf *b, const cJSON *lab, const cJSON *result)
{
	static const char *const words[] = { "from", "to", "port" };
	const cJSON *x = json_get(result, "expected");
	const char *invoke = json_str(x, "invoke", NULL);
	const char *scenario = json_str(result, "scenario", NULL);
	auto_free char *payload = NULL;
	size_t i;

	/* a step makes sense after those before it, and on a copy of its own */
	if (scenario) {
		buf_adds(b, "vpclab test ");
		add_quoted(b, json_str(result, "file", "?"));
		buf_printf(b, " --filter 'scenario %s'", scenario);
		return;
	}
	buf_printf(b, "vpclab %s ", invoke ? "invoke" : "probe");
	add_quoted(b, json_str(lab, "lab", "?"));
	if (invoke) {
		buf_adds(b, " ");
		add_quoted(b, invoke);
		payload = json_get(x, "payload") ? json_print(json_get(x, "payload")) : NULL;
		if (payload) {
			buf_adds(b, " --payload ");
			add_quoted(b, payload);
		}
		return;
	}
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		buf_adds(b, " ");
		add_quoted(b, json_str(x, words[i], "?"));
	}
	if (json_str(x, "address", NULL))
		buf_printf(b, " --address %s", json_str(x, "address", ""));
}

static void add_parts(struct buf *b, const cJSON *result)
{
	const cJSON *part;

	cJSON_ArrayForEach(part, json_get(json_get(result, "got"), "parts")) {
		auto_buf struct buf words = BUF_INIT;

		probe_words(part, &words);
		buf_adds(b, INDENT "  from    ");
		add_safe(b, json_str(part, "interface", "?"));
		buf_adds(b, ": ");
		add_safe(b, buf_str(&words));
		buf_adds(b, "\n");
	}
}

/* what was measured of the flow that "part" explains: one of several, or the one */
static const cJSON *got_of_part(const cJSON *result, const cJSON *part)
{
	const cJSON *got = json_get(result, "got"), *one;

	cJSON_ArrayForEach(one, json_get(got, "parts"))
		if (!strcmp(json_str(one, "interface", ""), json_str(part, "interface", "")))
			return one;
	return got;
}

/* "denied", "allowed": the model's deciding line, and where packets say otherwise,
 * that they do: it is not hidden that one of the two is wrong */
static void part_lines(const cJSON *result, const cJSON *part, struct buf *ret_path,
		       const char **ret_word, struct buf *ret_rule, struct buf *ret_model)
{
	const char *got = json_str(got_of_part(result, part), "result", "");
	const char *says = json_str(part, "result", "");
	const char *interface = json_str(part, "interface", NULL);

	if (interface)
		buf_printf(ret_path, "%s: ", interface);
	if (!MUTANT("report-path"))
		buf_adds(ret_path, json_str(part, "path", ""));
	*ret_word = explained_deciding(part, ret_rule);
	if (MUTANT("report-rule"))
		buf_clear(ret_rule);
	if (strcmp(got, says) && strcmp(got, "inconclusive"))
		buf_printf(ret_model, "says %s%s; what was measured differs", says,
			   json_bool(part, "assumed", false) ? ", as far as the file tells" : "");
}

static void add_line(struct buf *b, const char *label, const struct buf *words)
{
	if (!words->len)
		return;
	buf_printf(b, INDENT "%-10s", label);
	add_safe(b, buf_str(words));
	buf_adds(b, "\n");
}

static void add_why(struct buf *b, const cJSON *result)
{
	const cJSON *part;

	cJSON_ArrayForEach(part, json_get(result, "why")) {
		auto_buf struct buf path = BUF_INIT, rule = BUF_INIT, model = BUF_INIT;
		const char *word;

		part_lines(result, part, &path, &word, &rule, &model);
		add_line(b, "path", &path);
		add_line(b, "model", &model);
		add_line(b, word ? word : "", &rule);
	}
}

/* the lines below a failed case; also what JUnit and TAP carry */
static void add_details(struct buf *b, const cJSON *lab, const cJSON *result)
{
	const cJSON *x = json_get(result, "expected");
	double tries = json_num(result, "tries", 1);

	buf_adds(b, INDENT "expected  ");
	add_expected(b, x);
	buf_adds(b, "\n" INDENT "got       ");
	add_got(b, result);
	buf_adds(b, "\n");
	add_parts(b, result);
	if (tries > 1)
		buf_printf(b, INDENT "tries     %.0f in %s\n", tries,
			   out_ms(json_num(result, "took_ms", 0)));
	add_why(b, result);
	if (json_str(result, "bundle", NULL)) {
		buf_adds(b, INDENT "bundle    ");
		add_safe(b, json_str(result, "bundle", ""));
		buf_adds(b, "\n");
	}
	buf_adds(b, INDENT "again     ");
	if (!MUTANT("report-again"))
		add_again(b, lab, result);
	buf_adds(b, "\n");
}

static void add_case(struct buf *b, const cJSON *lab, const cJSON *result, bool color)
{
	bool ok = is_ok(result), skipped = is_skipped(result);
	double tries = json_num(result, "tries", 1);

	buf_adds(b, out_color(color, skipped ? OUT_YELLOW : ok ? OUT_GREEN : OUT_RED));
	buf_adds(b, skipped ? "skipped" : ok ? "ok     " : "not ok ");
	buf_adds(b, out_color(color, OUT_PLAIN));
	buf_adds(b, " ");
	add_safe(b, json_str(result, "name", "?"));
	if (json_bool(result, "named", false)) {
		buf_adds(b, "   ");
		add_way(b, json_get(result, "expected"));
	}
	if (skipped && json_str(result, "message", NULL)) {
		buf_adds(b, "   ");
		add_safe(b, json_str(result, "message", ""));
	}
	if (ok && !skipped && tries > 1)
		buf_printf(b, "   (%.0f tries)", tries);
	buf_adds(b, "\n");
	if (!ok && !skipped)
		add_details(b, lab, result);
}

void report_text(const cJSON *lab, bool color, bool quiet, struct buf *b)
{
	const cJSON *r;

	cJSON_ArrayForEach(r, json_get(lab, "results"))
		if (!quiet || !is_ok(r))
			add_case(b, lab, r, color);
	if (quiet)
		return;
	add_safe(b, json_str(lab, "lab", "?"));
	buf_printf(b, ": %.0f passed, %.0f failed, %.0f skipped in %s\n",
		   json_num(lab, "passed", 0), json_num(lab, "failed", 0),
		   json_num(lab, "skipped", 0), out_ms(json_num(lab, "took_ms", 0)));
}

/* ---- TAP ---- */

static const char *suite_of(const cJSON *lab)
{
	return json_str(lab, "suite", json_str(lab, "lab", "?"));
}

/* a description ends at '#', and '\' is what escapes it */
static void add_tap_name(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '#' || *s == '\\')
			buf_adds(b, "\\");
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			buf_adds(b, " ");
		else
			buf_add(b, s, 1);
	}
}

/* a JSON string of escaped text is a YAML string, too */
static void add_yaml(struct buf *b, const char *key, const char *text)
{
	auto_buf struct buf safe = BUF_INIT;

	out_escape(&safe, text, strlen(text), true);
	buf_printf(b, "  %s: ", key);
	buf_json(b, buf_str(&safe));
	buf_adds(b, "\n");
}

/* of several flows a line each */
static void add_tap_why(struct buf *b, const cJSON *result)
{
	auto_buf struct buf paths = BUF_INIT, denied = BUF_INIT, allowed = BUF_INIT,
			    models = BUF_INIT;
	const cJSON *part;

	cJSON_ArrayForEach(part, json_get(result, "why")) {
		auto_buf struct buf path = BUF_INIT, rule = BUF_INIT, model = BUF_INIT;
		const char *word;
		struct buf *to;

		part_lines(result, part, &path, &word, &rule, &model);
		to = word && !strcmp(word, "denied") ? &denied : &allowed;
		buf_printf(&paths, "%s%s", paths.len ? "\n" : "", buf_str(&path));
		if (rule.len)
			buf_printf(to, "%s%s", to->len ? "\n" : "", buf_str(&rule));
		if (model.len)
			buf_printf(&models, "%s%s", models.len ? "\n" : "", buf_str(&model));
	}
	if (paths.len)
		add_yaml(b, "path", buf_str(&paths));
	if (models.len)
		add_yaml(b, "model", buf_str(&models));
	if (denied.len)
		add_yaml(b, "denied", buf_str(&denied));
	if (allowed.len)
		add_yaml(b, "allowed", buf_str(&allowed));
}

static void add_tap_details(struct buf *b, const cJSON *lab, const cJSON *result)
{
	auto_buf struct buf expected = BUF_INIT, got = BUF_INIT, again = BUF_INIT;

	add_expected(&expected, json_get(result, "expected"));
	add_got(&got, result);
	add_again(&again, lab, result);
	buf_adds(b, "  ---\n");
	add_yaml(b, "message", json_str(result, "message", "failed"));
	add_yaml(b, "expected", buf_str(&expected));
	add_yaml(b, "got", buf_str(&got));
	add_tap_why(b, result);
	if (json_str(result, "bundle", NULL))
		add_yaml(b, "bundle", json_str(result, "bundle", ""));
	add_yaml(b, "again", buf_str(&again));
	buf_printf(b, "  duration_ms: %.3f\n  ...\n", json_num(result, "took_ms", 0));
}

void report_tap(const cJSON *labs, struct buf *b)
{
	bool several = cJSON_GetArraySize(labs) > 1;
	const cJSON *lab, *r;
	unsigned n = 0;

	cJSON_ArrayForEach(lab, labs)
		n += (unsigned)cJSON_GetArraySize(json_get(lab, "results"));
	buf_printf(b, "TAP version 14\n1..%u\n", n);
	n = 0;
	cJSON_ArrayForEach(lab, labs)
		cJSON_ArrayForEach(r, json_get(lab, "results")) {
			buf_printf(b, "%s %u - ",
				   is_ok(r) || MUTANT("report-tap") ? "ok" : "not ok", ++n);
			if (several) {
				add_tap_name(b, suite_of(lab));
				buf_adds(b, ": ");
			}
			add_tap_name(b, json_str(r, "name", "?"));
			if (is_skipped(r)) {
				buf_adds(b, json_str(r, "message", NULL) ? " # SKIP " : " # SKIP");
				add_tap_name(b, json_str(r, "message", ""));
			}
			buf_adds(b, "\n");
			if (!is_ok(r))
				add_tap_details(b, lab, r);
		}
}

/* ---- JUnit ---- */

static void add_xml(struct buf *b, const char *s)
{
	auto_buf struct buf safe = BUF_INIT;
	const char *p;

	/* XML has no way to write most control characters at all */
	out_escape(&safe, s, strlen(s), true);
	for (p = buf_str(&safe); *p; p++)
		switch (*p) {
		case '&':
			buf_adds(b, "&amp;");
			break;
		case '<':
			buf_adds(b, "&lt;");
			break;
		case '>':
			buf_adds(b, "&gt;");
			break;
		case '"':
			buf_adds(b, "&quot;");
			break;
		case '\n':
			buf_adds(b, "&#10;");
			break;
		case '\t':
			buf_adds(b, "&#9;");
			break;
		default:
			buf_add(b, p, 1);
		}
}

static void add_attribute(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, " %s=\"", name);
	add_xml(b, value);
	buf_adds(b, "\"");
}

static void add_counts(struct buf *b, const cJSON *lab)
{
	double passed = json_num(lab, "passed", 0), failed = json_num(lab, "failed", 0);
	double skipped = json_num(lab, "skipped", 0);

	buf_printf(b,
		   " tests=\"%.0f\" failures=\"%.0f\" errors=\"0\" skipped=\"%.0f\" "
		   "time=\"%.3f\"",
		   passed + failed + skipped, failed, skipped, json_num(lab, "took_ms", 0) / 1000);
}

static void add_testcase(struct buf *b, const cJSON *lab, const cJSON *r)
{
	auto_buf struct buf details = BUF_INIT;

	buf_adds(b, "    <testcase");
	if (!MUTANT("report-junit"))
		add_attribute(b, "name", json_str(r, "name", "?"));
	add_attribute(b, "classname", suite_of(lab));
	buf_printf(b, " time=\"%.3f\"", json_num(r, "took_ms", 0) / 1000);
	if (is_skipped(r)) {
		buf_adds(b, "><skipped");
		if (json_str(r, "message", NULL))
			add_attribute(b, "message", json_str(r, "message", ""));
		buf_adds(b, "/></testcase>\n");
		return;
	}
	if (is_ok(r)) {
		buf_adds(b, "/>\n");
		return;
	}
	buf_adds(b, "><failure");
	add_attribute(b, "message", json_str(r, "message", "failed"));
	add_attribute(b, "type", "expectation");
	buf_adds(b, ">");
	add_details(&details, lab, r);
	add_xml(b, buf_str(&details));
	buf_adds(b, "</failure></testcase>\n");
}

/* The order of children and most attributes are Ant's, whose schema is the strictest
 * (and lets <testsuites> have no attribute at all); Jenkins's takes that, too. */
static void add_suite(struct buf *b, const cJSON *lab, unsigned id)
{
	const cJSON *r;

	buf_adds(b, "  <testsuite");
	add_attribute(b, "name", suite_of(lab));
	add_attribute(b, "package", suite_of(lab));
	buf_printf(b, " id=\"%u\"", id);
	add_attribute(b, "timestamp", json_str(lab, "started", "1970-01-01T00:00:00"));
	add_attribute(b, "hostname", json_str(lab, "host", "localhost"));
	add_counts(b, lab);
	buf_adds(b, ">\n    <properties><property name=\"lab\"");
	add_attribute(b, "value", json_str(lab, "lab", "?"));
	buf_adds(b, "/></properties>\n");
	cJSON_ArrayForEach(r, json_get(lab, "results"))
		add_testcase(b, lab, r);
	buf_adds(b, "    <system-out/>\n    <system-err/>\n  </testsuite>\n");
}

void report_junit(const cJSON *labs, struct buf *b)
{
	const cJSON *lab;
	unsigned id = 0;

	buf_adds(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
	cJSON_ArrayForEach(lab, labs)
		add_suite(b, lab, id++);
	buf_adds(b, "</testsuites>\n");
}
