/* SPDX-License-Identifier: MIT */
/*
 * test_edit - a document that changes one group's rules leads to the same lab,
 * operations and program whether it is read alone or whole; and whatever changes
 * more, or is at fault, is left to the whole reading.
 */
#include <errno.h>

#include "tests/unit/model.h"
#include "topology/edit.h"

/* "text" with other bytes in place of "span" */
static char *spliced(const char *text, struct json_span span, const char *value)
{
	char *s;

	assert_true(asprintf(&s, "%.*s%s%s", (int)span.from, text, value, text + span.to) > 0);
	return s;
}

static int read_edit(struct store *s, const char *old, const char *new, struct edit **ret)
{
	return edit_read(s->owned, old, strlen(old), new, strlen(new), ret);
}

/* ---- the same as the whole ---- */

/* places count from the group's: what stands behind an edit keeps those it had */
static void assert_same_rules(const struct where *g, const struct sg_rule *a, size_t n_a,
			      const struct where *twin, const struct sg_rule *b, size_t n_b)
{
	assert_int_equal(n_a, n_b);
	for (size_t i = 0; i < n_a; i++) {
		bool one_line = a[i].at.pos.line == g->pos.line;

		assert_string_equal(a[i].at.path, b[i].at.path);
		assert_int_equal(a[i].at.pos.line - g->pos.line, b[i].at.pos.line - twin->pos.line);
		assert_int_equal(a[i].at.pos.column - (one_line ? g->pos.column : 0),
				 b[i].at.pos.column - (one_line ? twin->pos.column : 0));
	}
}

static void assert_same_ops(const struct ops *a, const struct ops *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_int_equal(a->v[i].action, b->v[i].action);
		assert_int_equal(a->v[i].kind, b->v[i].kind);
		assert_string_equal(a->v[i].name, b->v[i].name);
		assert_string_equal(a->v[i].id, b->v[i].id);
		assert_string_equal(a->v[i].because, b->v[i].because);
	}
}

/* "part": the lab's program, carried on by the group's items alone */
static void assert_same_program(const struct store *s, const struct store *whole,
				const struct program *part, const char *ns)
{
	struct program a = program_of(s), b = program_of(whole);
	char *by_edit = text_of(&a), *by_whole = text_of(&b), *by_part = text_of(part);
	char hash_part[33], hash_whole[33];

	program_nft_hash(part, ns, hash_part);
	program_nft_hash(&b, ns, hash_whole);
	assert_string_equal(hash_part, hash_whole);
	assert_string_equal(by_edit, by_whole);
	assert_string_equal(by_part, by_whole);
	assert_diff_leads(part, &b);
	free(by_edit);
	free(by_whole);
	free(by_part);
	program_done(&a);
	program_done(&b);
}

/* swaps the edit in, holding it against the whole reading of "new" */
static void check_edit(struct store *s, const char *old, const char *new, struct edit *x)
{
	const struct s_group *g = store_group_of(s, edit_group(x));
	struct store *before = store_of(NULL, old, NULL), *whole;
	struct program part = program_of(s), was, is;
	const struct security_group *twin;
	struct ops by_edit, by_whole;
	struct err e = { 0 };
	char hash[33];

	program_nft_hash(&part, g->vpc->ns, hash); /* known from here on, and carried on */
	whole = store_of(before, new, &by_whole);
	assert_int_equal(compile_group(g, &was, &e), 0);
	edit_swap(x);
	assert_int_equal(compile_group(g, &is, &e), 0);
	assert_int_equal(program_replace(&part, &was, &is), 0);
	assert_same_program(s, whole, &part, g->vpc->ns);
	assert_int_equal(store_edit_ops(s, x, &by_edit, &e), 0);
	assert_same_ops(&by_edit, &by_whole);
	twin = vpc_security_group(lab_vpc(whole->lab, g->vpc->def->name), g->def->name);
	assert_same_rules(&g->def->at, g->def->ingress, g->def->n_ingress, &twin->at, twin->ingress,
			  twin->n_ingress);
	assert_same_rules(&g->def->at, g->def->egress, g->def->n_egress, &twin->at, twin->egress,
			  twin->n_egress);
	ops_done(&by_edit);
	ops_done(&by_whole);
	program_done(&was);
	program_done(&is);
	program_done(&part);
	store_free(whole);
	store_free(before);
}

/* another value of a group: some with a rule that isn't valid, lines apart or not */
static char *random_value(struct random *r, unsigned n_groups)
{
	struct buf b = BUF_INIT;
	char *s;

	buf_adds(&b, rnd(r, 2) ? "{" : "{\n  ");
	random_rules(&b, r, "ingress", n_groups);
	if (rnd(r, 3)) {
		buf_adds(&b, rnd(r, 2) ? "," : ",\n\n\t\"$comment\": \"rules {\",\n");
		random_rules(&b, r, "egress", n_groups);
	}
	if (!rnd(r, 6))
		buf_adds(&b, ",\"ingres\":[]");
	buf_adds(&b, "}");
	s = buf_steal(&b);
	assert_non_null(s);
	return s;
}

/* the number of edits that were kept */
static unsigned many_edits(uint64_t seed)
{
	struct random r = { seed * 0x9e3779b97f4a7c15u + 7 };
	char *text = random_lab(seed);
	struct store *s = store_of(NULL, text, NULL);
	unsigned kept = 0;

	for (unsigned round = 0; round < 12; round++) {
		const struct vpc *v = &s->lab->vpcs[rnd(&r, (unsigned)s->lab->n_vpcs)];
		unsigned n = (unsigned)v->n_security_groups - 1; /* the last is implicit */
		auto_free char *value = random_value(&r, n);
		char *next = spliced(text, v->security_groups[rnd(&r, n)].span, value);
		struct issues issues;
		struct lab *whole = lab_parse(next, strlen(next), "", NULL, &issues);
		struct edit *x = NULL;
		int err = read_edit(s, text, next, &x);

		if (!whole || issues.n_warnings || s->lab->n_warnings || !strcmp(text, next))
			assert_int_equal(err, -ENOENT);
		else
			assert_int_equal(err, 0);
		lab_free(whole);
		issues_done(&issues);
		if (!err)
			check_edit(s, text, next, x);
		if (!err && rnd(&r, 3)) {
			edit_keep(x);
			free(text);
			text = steal_ptr(&next);
			kept++;
		} else {
			x = edit_free(x);
		}
		free(next);
	}
	store_free(s);
	free(text);
	return kept;
}

static void test_as_the_whole(void **state)
{
	unsigned kept = 0;

	(void)state;
	for (uint64_t seed = 1; seed < 60; seed++)
		kept += many_edits(seed);
	assert_true(kept > 100);
}

/* ---- more than rules ---- */

#define RULE(port) "{\"protocol\":\"tcp\",\"from_port\":" port ",\"cidr_blocks\":[\"10.0.0.0/8\"]}"
#define LAB(x, y, more)                                                                 \
	"{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"v\":{\"cidr_block\":\"10.0.0.0/16\"," \
	"\"subnets\":{\"s\":{\"cidr_block\":\"10.0.1.0/24\"}},\"security_groups\":{"    \
	"\"x\":" x ",\"y\":" y "}" more "}}}"
#define X "{\"ingress\":[" RULE("80") "]}"

static const struct {
	const char *what, *text;
	int err;
} CASES[] = {
	{ "a port", LAB("{\"ingress\":[" RULE("81") "]}", X, ""), 0 },
	{ "no rules", LAB("{\"ingress\":[]}", X, ""), 0 },
	{ "egress too", LAB("{\"ingress\":[" RULE("80") "],\"egress\":[]}", X, ""), 0 },
	{ "the other group", LAB(X, "{\"ingress\":[{\"protocol\":\"-1\",\"self\":true}]}", ""), 0 },
	{ "a reference",
	  LAB(X, "{\"ingress\":[{\"protocol\":\"-1\",\"security_groups\":[\"x\"]}]}", ""), 0 },
	{ "nothing", LAB(X, X, ""), -ENOENT },
	{ "both groups", LAB("{\"ingress\":[]}", "{\"ingress\":[]}", ""), -ENOENT },
	{ "a name", "{\"version\":1,\"lab\":\"u\"}", -ENOENT },
	{ "a description", LAB("{\"ingress\":[" RULE("80") "],\"description\":\"d\"}", X, ""),
	  -ENOENT },
	{ "an instance", LAB(X, X, ",\"instances\":{\"i\":{\"subnet\":\"s\"}}"), -ENOENT },
	{ "one more group", LAB(X, X ",\"z\":" X, ""), -ENOENT },
	{ "one more inside", LAB("{\"ingress\":[" RULE("80") "]},\"z\":{\"ingress\":[]}", X, ""),
	  -ENOENT },
	{ "no value any more", LAB("{\"ingress\":[" RULE("80") "}", X, ""), -ENOENT },
	{ "an unknown member", LAB("{\"ingress\":[" RULE("80") "],\"i\":1}", X, ""), -ENOENT },
	{ "a group that isn't there",
	  LAB("{\"ingress\":[{\"protocol\":\"-1\",\"security_groups\":[\"z\"]}]}", X, ""),
	  -ENOENT },
	{ "a rule twice", LAB("{\"ingress\":[" RULE("80") "," RULE("80") "]}", X, ""), -ENOENT },
	{ "a key twice", LAB("{\"ingress\":[" RULE("80") "],\"ingress\":[]}", X, ""), -ENOENT },
	{ "a warning",
	  LAB("{\"ingress\":[{\"protocol\":\"-1\",\"from_port\":1,\"self\":true}]}", X, ""),
	  -ENOENT },
	{ "a CIDR with host bits",
	  LAB("{\"ingress\":[{\"protocol\":\"-1\",\"cidr_blocks\":[\"10.0.0.1/8\"]}]}", X, ""),
	  -ENOENT },
};

static void test_which_are_edits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct store *s = store_of(NULL, LAB(X, X, ""), NULL);
		struct program before = program_of(s), after;
		struct edit *x = NULL;
		int err = read_edit(s, LAB(X, X, ""), CASES[i].text, &x);

		if (err != CASES[i].err)
			fail_msg("%s: %d, not %d", CASES[i].what, err, CASES[i].err);
		if (!err)
			check_edit(s, LAB(X, X, ""), CASES[i].text, x);
		x = edit_free(x);
		/* one that isn't kept leaves nothing */
		after = program_of(s);
		assert_int_equal(before.n, after.n);
		assert_int_equal(assert_diff_leads(&before, &after), 0);
		program_done(&before);
		program_done(&after);
		store_free(s);
	}
}

/* their patches stand on the rules */
static void test_a_lab_with_scenarios_is_read_whole(void **state)
{
#define OVER_TIME(x)                                                      \
	"{\"lab\":\"t\",\"vpcs\":{\"v\":{\"cidr_block\":\"10.0.0.0/16\"," \
	"\"security_groups\":{\"x\":" x "}}},\"scenarios\":{\"s\":[{\"patch\":{}}]}}"
	struct store *s = store_of(NULL, OVER_TIME(X), NULL);
	struct edit *x = NULL;

	(void)state;
	assert_int_equal(read_edit(s, OVER_TIME(X), OVER_TIME("{\"ingress\":[]}"), &x), -ENOENT);
	store_free(s);
#undef OVER_TIME
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_whole),
		cmocka_unit_test(test_which_are_edits),
		cmocka_unit_test(test_a_lab_with_scenarios_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
