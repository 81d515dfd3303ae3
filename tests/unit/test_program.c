/* SPDX-License-Identifier: MIT */
/*
 * test_program - lib/program.c and program_diff.c: the set of items, its text, the
 * log of what was acknowledged, and the order of steps.
 */
#include <errno.h>

#include "tests/unit/model.h"

static const char *const small =
	"ns a {\n"
	"\tns :|\n"
	"\t\trole node\n"
	"\t\tsysctl x=1\n"
	"\taddr eth0 10.0.0.1/24:\n"
	"\troute 254 0.0.0.0/0: via 10.0.0.254 dev eth0 onlink\n"
	"\tsock tcp 0.0.0.0 80: serve a\n"
	"}\n"
	"ns r {\n"
	"\tns : role router\n"
	"\tlink l1: index 5 peer eth0 peer-ns a peer-index 2 mac 02:00:00:00:00:01 "
	"peer-mac 02:00:00:00:00:02 mtu 9001 alias l\n"
	"\troute 50 10.0.0.1/32: dev l1 scope link\n"
	"\trule 10: iif lo fwmark 0x0/0xffffffff lookup 50\n"
	"\tneigh l1 10.0.0.1: lladdr 02:00:00:00:00:02\n"
	"\ttable ip t:\n"
	"\tset ip t m: type mark : verdict;\n"
	"\tset ip t s: type ipv4_addr;\n"
	"\tchain ip t base:|\n"
	"\t\ttype filter hook forward priority 0; policy drop;\n"
	"\t\tip saddr @s accept comment \"x: y\"\n"
	"\t\tmeta mark vmap @m\n"
	"\tchain ip t other: drop\n"
	"\telem ip t m\\t0x1: goto other\n"
	"\telem ip t s\\t10.0.0.1:\n"
	"}\n";

static struct program parse(const char *text)
{
	struct err e = { 0 };
	struct program p;
	int r = program_parse(text, &p, &e);

	if (r)
		print_error("%s\n", e.msg);
	assert_int_equal(r, 0);
	return p;
}

/* "small" with a piece replaced; caller frees */
static char *changed(const char *old, const char *new)
{
	const char *at = strstr(small, old);
	char *r;

	assert_non_null(at);
	assert_true(asprintf(&r, "%.*s%s%s", (int)(at - small), small, new, at + strlen(old)) > 0);
	return r;
}

static void test_text_and_back(void **state)
{
	struct program p = parse(small), q;
	char *text = text_of(&p);

	(void)state;
	assert_string_equal(text, small);
	free(text);
	program_done(&p);
	program_init(&p);
	program_add(&p, "x", ITEM_ELEM, "k\tv\\w", "one\n\ntwo\n");
	program_add(&p, "x", ITEM_CHAIN, "c", "back\\slash\ttab");
	program_add(&p, "x", ITEM_CHAIN, "d", "\nfirst");
	assert_int_equal(program_seal(&p, NULL), 0);
	text = text_of(&p);
	q = parse(text);
	free(text);
	assert_int_equal(q.n, 3);
	assert_string_equal(program_find(&q, "x", ITEM_ELEM, "k\tv\\w")->val, "one\n\ntwo\n");
	assert_string_equal(program_find(&q, "x", ITEM_CHAIN, "c")->val, "back\\slash\ttab");
	assert_string_equal(program_find(&q, "x", ITEM_CHAIN, "d")->val, "\nfirst");
	program_done(&p);
	program_done(&q);
}

static void test_bad_text(void **state)
{
	static const char *const bad[] = {
		"x",
		"\tns : y\n",
		"ns a {\n\tfoo x: y\n}\n",
		"ns a {\n\tlink\n}\n",
		"ns a {\n\taddr x\\q: y\n}\n",
		"ns a {\n\taddr x: y\n\taddr x: z\n}\n",
		"ns a {\n\taddr x: y\\\n}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		struct program p;

		assert_true(program_parse(bad[i], &p, &e) < 0);
		assert_true(e.msg[0]);
	}
}

static void test_seal(void **state)
{
	struct err e = { 0 };
	struct program p;
	size_t from, to;

	(void)state;
	program_init(&p);
	program_add(&p, "b", ITEM_LINK, "l", "x");
	program_add(&p, "a", ITEM_SOCK, "s", "x");
	program_addf(&p, "a", ITEM_NS, "", "%0*d", 2000, 7);
	program_add(&p, "b", ITEM_LINK, "l", "x");
	assert_int_equal(program_seal(&p, &e), 0);
	assert_int_equal(p.n, 3);
	assert_string_equal(p.items[0].ns, "a");
	assert_int_equal(strlen(program_find(&p, "a", ITEM_NS, "")->val), 2000);
	assert_null(program_find(&p, "a", ITEM_LINK, "l"));
	program_range(&p, "a", ITEM_N_KINDS, &from, &to);
	assert_int_equal(to - from, 2);
	program_range(&p, "b", ITEM_LINK, &from, &to);
	assert_int_equal(from, 2);
	assert_int_equal(to, 3);
	program_range(&p, "ab", ITEM_N_KINDS, &from, &to);
	assert_int_equal(from, to);
	program_add(&p, "b", ITEM_LINK, "l", "y");
	assert_int_equal(program_seal(&p, &e), -EEXIST);
	assert_non_null(strstr(e.msg, "b link l"));
	program_done(&p);
}

static void test_set_and_unset(void **state)
{
	struct program p = parse(small);
	struct item it = { .kind = ITEM_ADDR, .ns = "a", .key = "eth0 10.0.0.2/24", .val = "" };
	char key[32];

	(void)state;
	assert_int_equal(program_set(&p, &it), 0);
	assert_non_null(program_find(&p, "a", ITEM_ADDR, "eth0 10.0.0.2/24"));
	program_unset(&p, "a", ITEM_ADDR, "eth0 10.0.0.2/24");
	program_unset(&p, "a", ITEM_ADDR, "never was");
	assert_null(program_find(&p, "a", ITEM_ADDR, "eth0 10.0.0.2/24"));
	it.val = "1";
	program_set(&p, &it);
	program_unset(&p, "a", ITEM_ADDR, it.key);
	it.val = "2";
	program_set(&p, &it);
	assert_string_equal(program_find(&p, "a", ITEM_ADDR, it.key)->val, "2");
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(key, sizeof(key), "eth0 %d", 4999 - i);
		it.key = key;
		program_set(&p, &it);
	}
	assert_non_null(program_find(&p, "a", ITEM_ADDR, "eth0 4711"));
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(key, sizeof(key), "eth0 %d", i);
		program_unset(&p, "a", ITEM_ADDR, key);
	}
	program_unset(&p, "a", ITEM_ADDR, "eth0 10.0.0.2/24");
	char *text = text_of(&p);
	assert_string_equal(text, small);
	free(text);
	program_done(&p);
}

static bool has(const struct program *p, const char *ns, enum item_kind kind, const char *key)
{
	return program_find(p, ns, kind, key) != NULL;
}

static void test_what_goes_along(void **state)
{
	struct item it = { .kind = ITEM_ELEM, .ns = "r", .key = "ip t s\t10.0.0.9", .val = "" };
	struct program p = parse(small);

	(void)state;
	/* a set takes its elements, but not those that came after */
	program_unset(&p, "r", ITEM_SET, "ip t s");
	program_set(&p, &it);
	assert_false(has(&p, "r", ITEM_ELEM, "ip t s\t10.0.0.1"));
	assert_true(has(&p, "r", ITEM_ELEM, "ip t s\t10.0.0.9"));
	assert_true(has(&p, "r", ITEM_ELEM, "ip t m\t0x1"));
	program_unset(&p, "r", ITEM_TABLE, "ip t");
	assert_false(has(&p, "r", ITEM_ELEM, "ip t m\t0x1"));
	assert_false(has(&p, "r", ITEM_CHAIN, "ip t base"));
	assert_false(has(&p, "r", ITEM_SET, "ip t m"));
	/* a link takes what hangs on both ends */
	program_unset(&p, "r", ITEM_LINK, "l1");
	assert_false(has(&p, "r", ITEM_ROUTE, "50 10.0.0.1/32"));
	assert_false(has(&p, "r", ITEM_NEIGH, "l1 10.0.0.1"));
	assert_false(has(&p, "a", ITEM_ADDR, "eth0 10.0.0.1/24"));
	assert_false(has(&p, "a", ITEM_ROUTE, "254 0.0.0.0/0"));
	assert_true(has(&p, "r", ITEM_RULE, "10"));
	program_done(&p);

	/* a namespace takes the links into it, and what hangs on their other ends */
	p = parse(small);
	program_unset_ns(&p, "a");
	assert_false(has(&p, "a", ITEM_NS, ""));
	assert_false(has(&p, "a", ITEM_SOCK, "tcp 0.0.0.0 80"));
	assert_false(has(&p, "r", ITEM_LINK, "l1"));
	assert_false(has(&p, "r", ITEM_NEIGH, "l1 10.0.0.1"));
	assert_true(has(&p, "r", ITEM_NS, ""));
	program_unset_ns(&p, "r");
	program_sync(&p);
	assert_int_equal(p.n, 0);
	program_done(&p);

	/* a link made again in the same breath keeps nothing of the old one's */
	p = parse(small);
	it = *program_find(&p, "r", ITEM_LINK, "l1");
	program_unset(&p, "r", ITEM_LINK, "l1");
	program_set(&p, &it);
	assert_true(has(&p, "r", ITEM_LINK, "l1"));
	assert_false(has(&p, "a", ITEM_ADDR, "eth0 10.0.0.1/24"));
	program_done(&p);
}

/* the steps as "PHASE+NS KIND KEY;" (+ add, = replace, - delete) */
static char *steps_text(const char *from, const char *to)
{
	struct program p = parse(from), q = parse(to);
	struct buf b = BUF_INIT;
	struct step *s;
	size_t n;

	assert_int_equal(program_diff(&p, &q, &s, &n), 0);
	for (size_t i = 0; i < n; i++) {
		const struct item *it = s[i].new ? s[i].new : s[i].old;

		buf_printf(&b, "%u%c%s %s %s;", s[i].phase, "+=-"[s[i].op], it -> ns,
			   item_kind_name(it->kind), it -> key);
	}
	free(s);
	assert_diff_leads(&p, &q);
	assert_diff_leads(&q, &p);
	program_done(&p);
	program_done(&q);
	return buf_steal(&b);
}

static void check_steps(const char *old, const char *new, const char *want)
{
	char *to = changed(old, new), *got = steps_text(small, to);

	assert_string_equal(got, want);
	free(to);
	free(got);
}

static void test_order_of_steps(void **state)
{
	char *all, *none;

	(void)state;
	all = steps_text("", small);
	assert_string_equal(all, "1+a ns ;1+r ns ;"
				 "2+r table ip t;2+r set ip t m;2+r set ip t s;"
				 "2+r chain ip t base;2+r chain ip t other;"
				 "2+r elem ip t m\t0x1;2+r elem ip t s\t10.0.0.1;"
				 "3+r link l1;3+a addr eth0 10.0.0.1/24;3+a route 254 0.0.0.0/0;"
				 "3+r neigh l1 10.0.0.1;3+r rule 10;3+r route 50 10.0.0.1/32;"
				 "4+a sock tcp 0.0.0.0 80;");
	none = steps_text(small, "");
	assert_string_equal(none, "5-a sock tcp 0.0.0.0 80;6-a ns ;6-r ns ;");
	free(all);
	free(none);
	check_steps("\trule 10", "\trule 11", "3+r rule 11;5-r rule 10;");
	check_steps("sysctl x=1", "sysctl x=2", "1=a ns ;");
	check_steps("dev l1 scope link", "blackhole", "3=r route 50 10.0.0.1/32;");
}

static void test_links_made_again(void **state)
{
	(void)state;
	check_steps("mtu 9001", "mtu 1500",
		    "3-r link l1;3+r link l1;3+a addr eth0 10.0.0.1/24;3+a route 254 0.0.0.0/0;"
		    "3+r neigh l1 10.0.0.1;3+r route 50 10.0.0.1/32;");
	/* another name, the same far end: the old one is in the way */
	char *to = changed("link l1: index 5", "link l2: index 6"), *at, *got;

	while ((at = strstr(to, "l1 ")))
		at[1] = '2';
	got = steps_text(small, to);
	assert_string_equal(got, "3-r link l1;3+r link l2;3+a addr eth0 10.0.0.1/24;"
				 "3+a route 254 0.0.0.0/0;3+r neigh l2 10.0.0.1;"
				 "3+r route 50 10.0.0.1/32;");
	free(to);
	free(got);
}

static void test_sets_made_again(void **state)
{
	(void)state;
	check_steps("set ip t s: type ipv4_addr;", "set ip t s: type ipv4_addr; flags interval;",
		    "2=r set ip t s;2=r chain ip t base;2+r elem ip t s\t10.0.0.1;");
	check_steps("\telem ip t s\\t10.0.0.1:\n", "\telem ip t s\\t10.0.0.2:\n",
		    "2-r elem ip t s\t10.0.0.1;2+r elem ip t s\t10.0.0.2;");
	check_steps("0x1: goto other", "0x1: drop", "2=r elem ip t m\t0x1;");
}

static void test_hash_is_of_the_rules(void **state)
{
	struct program p = parse(small);
	struct item it = { .kind = ITEM_ROUTE, .ns = "r", .key = "1 0.0.0.0/0", .val = "throw" };
	char one[33], two[33];

	(void)state;
	program_nft_hash(&p, "r", one);
	assert_int_equal(strlen(one), 32);
	program_set(&p, &it);
	program_nft_hash(&p, "r", two);
	assert_string_equal(one, two);
	program_unset(&p, "r", ITEM_ELEM, "ip t m\t0x1");
	program_nft_hash(&p, "r", two);
	assert_string_not_equal(one, two);
	program_done(&p);
}

/* changed again and again, a program doesn't grow: a copy leaves what was replaced */
static void test_worn_texts(void **state)
{
	struct program p = parse(small), q;
	char val[1024];
	struct item it = { .kind = ITEM_ROUTE, .ns = "r", .key = "1 0.0.0.0/0", .val = val };

	(void)state;
	memset(val, 'x', sizeof(val));
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(val, sizeof(val), "%01000u", i);
		program_set(&p, &it);
		assert_int_equal(program_sync(&p), 0);
	}
	assert_true(program_is_worn(&p));
	assert_int_equal(program_copy(&p, &q), 0);
	assert_false(program_is_worn(&q));
	assert_int_equal(p.n, q.n);
	for (size_t i = 0; i < p.n; i++) {
		assert_string_equal(p.items[i].ns, q.items[i].ns);
		assert_int_equal(p.items[i].kind, q.items[i].kind);
		assert_string_equal(p.items[i].key, q.items[i].key);
		assert_string_equal(p.items[i].val, q.items[i].val);
	}
	program_done(&p);
	program_done(&q);
}

static void test_print_nft(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct program p = parse(small);

	(void)state;
	program_print_nft(&p, "r", &b);
	assert_string_equal(buf_str(&b), "table ip t {\n"
					 "\tmap m {\n"
					 "\t\ttype mark : verdict\n"
					 "\t\telements = { 0x1 : goto other }\n"
					 "\t}\n"
					 "\tset s {\n"
					 "\t\ttype ipv4_addr\n"
					 "\t\telements = { 10.0.0.1 }\n"
					 "\t}\n"
					 "\tchain base {\n"
					 "\t\ttype filter hook forward priority 0; policy drop;\n"
					 "\t\tip saddr @s accept comment \"x: y\"\n"
					 "\t\tmeta mark vmap @m\n"
					 "\t}\n"
					 "\tchain other {\n"
					 "\t\tdrop\n"
					 "\t}\n"
					 "}\n");
	program_done(&p);
}

static void test_item_arg(void **state)
{
	char w[8];

	(void)state;
	assert_int_equal(item_arg("mtu 9001 mac x", "mac", w, sizeof(w)), 0);
	assert_string_equal(w, "x");
	assert_int_equal(item_arg("mtu 9001 mac x", "mtu", w, sizeof(w)), 0);
	assert_string_equal(w, "9001");
	assert_int_equal(item_arg("mtu 9001 mac x", "ma", w, sizeof(w)), -ENOENT);
	assert_int_equal(item_arg("mtu 9001 mac", "mac", w, sizeof(w)), -ENOENT);
	assert_int_equal(item_arg("mac 123456789", "mac", w, sizeof(w)), -ERANGE);
	assert_int_equal(item_arg("", "mac", w, sizeof(w)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_and_back),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_set_and_unset),
		cmocka_unit_test(test_what_goes_along),
		cmocka_unit_test(test_order_of_steps),
		cmocka_unit_test(test_links_made_again),
		cmocka_unit_test(test_sets_made_again),
		cmocka_unit_test(test_hash_is_of_the_rules),
		cmocka_unit_test(test_worn_texts),
		cmocka_unit_test(test_print_nft),
		cmocka_unit_test(test_item_arg),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
