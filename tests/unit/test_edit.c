/* SPDX-License-Identifier: MIT */
/*
 * test_edit - a document that changes one group's rules, one list's entries or one
 * table's routes leads to the same lab,
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

struct parts {
	const char *at; /* of a group, list or table, and of its n parts, "size" apart */
	const struct where *object;
	size_t n, size;
};

/* places count from the object's: what stands behind an edit keeps those it had */
static void assert_same_places(struct parts a, struct parts b)
{
	assert_int_equal(a.n, b.n);
	for (size_t i = 0; i < a.n; i++) {
		const struct where *x = (const void *)(a.at + i * a.size);
		const struct where *y = (const void *)(b.at + i * b.size);
		bool one_line = x->pos.line == a.object->pos.line;

		assert_string_equal(x->path, y->path);
		assert_int_equal(x->pos.line - a.object->pos.line,
				 y->pos.line - b.object->pos.line);
		assert_int_equal(x->pos.column - (one_line ? a.object->pos.column : 0),
				 y->pos.column - (one_line ? b.object->pos.column : 0));
	}
}

#define PARTS(o, v)                                                                          \
	(struct parts)                                                                       \
	{                                                                                    \
		(const char *)(o)->v + ((o)->n_##v ? offsetof(__typeof__(*(o)->v), at) : 0), \
			&(o)->at, (o)->n_##v, sizeof(*(o)->v)                                \
	}

static void assert_same_object(const struct edit *x, const struct store *whole)
{
	const struct vpc *v = edit_vpc(x), *twin = lab_vpc(whole->lab, v->name);
	const struct security_group *g = edit_object(x), *g2;
	const struct network_acl *a = edit_object(x), *a2;
	const struct route_table *t = edit_object(x), *t2;

	switch (edit_kind(x)) {
	case EDIT_GROUP:
		g2 = &twin->security_groups[g - v->security_groups];
		assert_same_places(PARTS(g, ingress), PARTS(g2, ingress));
		assert_same_places(PARTS(g, egress), PARTS(g2, egress));
		break;
	case EDIT_ACL:
		a2 = &twin->network_acls[a - v->network_acls];
		assert_same_places(PARTS(a, ingress), PARTS(a2, ingress));
		assert_same_places(PARTS(a, egress), PARTS(a2, egress));
		break;
	case EDIT_TABLE:
		t2 = &twin->route_tables[t - v->route_tables];
		assert_same_places(PARTS(t, routes), PARTS(t2, routes));
		break;
	case EDIT_N_KINDS:
		break;
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
	const char *ns = store_vpc_of(s, edit_vpc(x))->ns;
	struct store *before = store_of(NULL, old, NULL), *whole;
	struct program part = program_of(s), was, is;
	struct ops by_edit, by_whole;
	struct err e = { 0 };
	char hash[33];

	program_nft_hash(&part, ns, hash); /* known from here on, and carried on */
	whole = store_of(before, new, &by_whole);
	assert_int_equal(compile_edit(s, x, &was, &e), 0);
	edit_swap(x);
	assert_int_equal(compile_edit(s, x, &is, &e), 0);
	assert_int_equal(program_replace(&part, &was, &is), 0);
	assert_same_program(s, whole, &part, ns);
	assert_int_equal(store_edit_ops(s, x, &by_edit, &e), 0);
	assert_same_ops(&by_edit, &by_whole);
	assert_same_object(x, whole);
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

static void random_entries(struct buf *b, struct random *r, const char *name)
{
	static const char *const what[] = {
		"\"protocol\":\"-1\"",
		"\"protocol\":\"tcp\",\"from_port\":80,\"to_port\":90",
		"\"protocol\":\"udp\",\"from_port\":53",
		"\"protocol\":\"icmp\",\"icmp_type\":8",
	};
	unsigned n = rnd(r, 4);

	buf_printf(b, "\"%s\":[", name);
	for (unsigned i = 0; i < n; i++)
		buf_printf(b,
			   "{\"rule_number\":%u,\"rule_action\":\"%s\",%s,"
			   "\"cidr_block\":\"10.%u.0.0/16\"},\n",
			   i * 10 + rnd(r, 12), rnd(r, 2) ? "allow" : "deny",
			   what[rnd(r, ARRAY_SIZE(what))], rnd(r, 3));
	buf_printf(b,
		   "{\"rule_number\":%u,\"rule_action\":\"allow\",\"protocol\":\"-1\","
		   "\"cidr_block\":\"0.0.0.0/0\"}]",
		   100 + rnd(r, 2));
}

static void random_list(struct buf *b, struct random *r)
{
	buf_adds(b, rnd(r, 2) ? "{" : "{\n\t");
	random_entries(b, r, "ingress");
	buf_adds(b, rnd(r, 6) ? ",\n" : ",\"tag\":1,");
	random_entries(b, r, "egress");
	buf_adds(b, "}");
}

static void random_routes(struct buf *b, struct random *r, const struct vpc *v)
{
	const char *in = v->n_instances ? v->instances[rnd(r, (unsigned)v->n_instances)].name : "";
	const char *nat = v->n_nat_gateways ? "nat_gateway:n" : "blackhole";
	unsigned n = rnd(r, 4);

	buf_adds(b, rnd(r, 2) ? "{\"routes\":{" : "{\n  \"routes\":\n{");
	for (unsigned i = 0; i < n; i++) {
		buf_printf(b, "\"192.168.%u.0/2%u\":\"", i, 4 + rnd(r, 3));
		switch (rnd(r, v->n_instances ? 4 : 3)) {
		case 0:
			buf_adds(b, v->internet_gateway ? "internet_gateway" : "blackhole");
			break;
		case 1:
			buf_adds(b, nat);
			break;
		case 2:
			buf_adds(b, "blackhole");
			break;
		default:
			buf_printf(b, "instance:%s", in);
			break;
		}
		buf_adds(b, "\",");
	}
	buf_printf(b, "\"0.0.0.0/0\":\"%s\"}}",
		   v->internet_gateway && rnd(r, 2) ? "internet_gateway" : nat);
}

/* what an edit of the kind may make of one of the VPC's; "ret": where that stands */
static char *random_edit(struct random *r, const struct vpc *v, enum edit_kind kind,
			 struct json_span *ret)
{
	struct buf b = BUF_INIT;
	unsigned n = (unsigned)v->n_security_groups - 1; /* the last is implicit */
	char *s;

	switch (kind) {
	case EDIT_GROUP:
		*ret = v->security_groups[rnd(r, n)].value.span;
		return random_value(r, n);
	case EDIT_ACL:
		*ret = v->network_acls[rnd(r, 2)].value.span;
		random_list(&b, r);
		break;
	case EDIT_TABLE:
	case EDIT_N_KINDS:
		*ret = v->route_tables[rnd(r, 2)].value.span;
		random_routes(&b, r, v);
		break;
	}
	s = buf_steal(&b);
	assert_non_null(s);
	return s;
}

/* a random lab with lists of its own */
static char *random_lab_with_lists(struct random *r, uint64_t seed)
{
	static const char before[] = ",\"route_tables\":{";
	auto_free char *lab = random_lab(seed);
	struct buf b = BUF_INIT;
	const char *at = lab, *next;
	char *s;

	for (; (next = strstr(at, before)); at = next + strlen(before)) {
		buf_printf(&b, "%.*s,\"network_acls\":{\"a\":", (int)(next - at), at);
		random_list(&b, r);
		buf_adds(&b, ",\"default\":");
		random_list(&b, r);
		buf_printf(&b, "}%s", before);
	}
	buf_adds(&b, at);
	s = buf_steal(&b);
	assert_non_null(s);
	return s;
}

/* counts the edits of each kind that were kept */
static void many_edits(uint64_t seed, unsigned kept[EDIT_N_KINDS])
{
	struct random r = { seed * 0x9e3779b97f4a7c15u + 7 };
	char *text = random_lab_with_lists(&r, seed);
	struct issues found;
	struct lab *valid = lab_parse(text, strlen(text), "", NULL, &found);
	struct store *s;

	issues_done(&found);
	if (!valid) { /* an entry's member that isn't one */
		free(text);
		return;
	}
	lab_free(valid);
	s = store_of(NULL, text, NULL);
	for (unsigned round = 0; round < 12; round++) {
		const struct vpc *v = &s->lab->vpcs[rnd(&r, (unsigned)s->lab->n_vpcs)];
		enum edit_kind kind = (enum edit_kind)rnd(&r, EDIT_N_KINDS);
		struct json_span span = { 0 };
		auto_free char *value = random_edit(&r, v, kind, &span);
		char *next = spliced(text, span, value);
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
			kept[kind]++;
		} else {
			x = edit_free(x);
		}
		free(next);
	}
	store_free(s);
	free(text);
}

static void test_as_the_whole(void **state)
{
	unsigned kept[EDIT_N_KINDS] = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed < 150; seed++)
		many_edits(seed, kept);
	for (size_t i = 0; i < EDIT_N_KINDS; i++)
		if (kept[i] < 50)
			fail_msg("only %u edits of kind %zu were kept", kept[i], i);
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

/* what a gateway's own table says is in more than the table */
static void test_a_table_of_the_edge_is_read_whole(void **state)
{
#define EDGE(to)                                                                            \
	"{\"lab\":\"t\",\"vpcs\":{\"v\":{\"cidr_block\":\"10.0.0.0/16\","                   \
	"\"internet_gateway\":{\"route_table\":\"e\"},\"route_tables\":{\"e\":{\"routes\":" \
	"{\"10.0.0.0/16\":\"" to "\"}}}}}}"
	struct store *s = store_of(NULL, EDGE("local"), NULL);
	struct edit *x = NULL;

	(void)state;
	assert_int_equal(read_edit(s, EDGE("local"), EDGE("blackhole"), &x), -ENOENT);
	store_free(s);
#undef EDGE
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
		cmocka_unit_test(test_a_table_of_the_edge_is_read_whole),
		cmocka_unit_test(test_a_lab_with_scenarios_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
