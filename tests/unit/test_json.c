/* SPDX-License-Identifier: MIT */
/*
 * test_json - lib/json.c: what it refuses and where it points; positions joined
 * to values; paths; merge patches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/util.h"

struct seen {
	unsigned n, line, column;
	char path[200], code[32], msg[200];
};

/* keeps the first issue, counts all */
static void note(struct json_pos pos, const char *path, const char *code, const char *msg,
		 void *arg)
{
	struct seen *s = arg;

	if (s->n++)
		return;
	s->line = pos.line;
	s->column = pos.column;
	snprintf(s->path, sizeof(s->path), "%s", path);
	snprintf(s->code, sizeof(s->code), "%s", code);
	snprintf(s->msg, sizeof(s->msg), "%s", msg);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *path, *code;
	} cases[] = {
		/* what cJSON lets through */
		{ "{\"a\":01}", 1, 7, "a", "json-syntax" },
		{ "{\"a\":-01}", 1, 8, "a", "json-syntax" },
		{ "{\"a\":1.}", 1, 8, "a", "json-syntax" },
		{ "{\"a\":1e}", 1, 8, "a", "json-syntax" },
		{ "[9007199254740992]", 1, 2, "[0]", "json-number" },
		{ "[9007199254740993]", 1, 2, "[0]", "json-number" },
		{ "[-9007199254740993]", 1, 2, "[0]", "json-number" },
		{ "[1, 1e999]", 1, 5, "[1]", "json-number" },
		{ "[0.1111111111111111111111111111111111111111111111111111111111111111]", 1, 2,
		  "[0]", "json-number" },
		{ "{\"x\":\"\\u0000x\"}", 1, 8, "x", "json-nul" },
		{ "\"a\nb\"", 1, 3, "", "json-syntax" },
		{ "\"a\tb\"", 1, 3, "", "json-syntax" },
		{ "[\"\xff\"]", 1, 3, "[0]", "json-utf8" },
		{ "[\"\xc0\xaf\"]", 1, 3, "[0]", "json-utf8" },
		{ "[\"\xed\xa0\x80\"]", 1, 3, "[0]", "json-utf8" },
		/* what it refuses itself */
		{ "\"\\ud800\"", 1, 8, "", "json-syntax" },
		{ "\"\\ud800\\u0041\"", 1, 8, "", "json-syntax" },
		{ "\"\\udc00\"", 1, 8, "", "json-syntax" },
		{ "\"\\x\"", 1, 3, "", "json-syntax" },
		{ "\"\\u12g4\"", 1, 3, "", "json-syntax" },
		{ "[1,]", 1, 4, "[1]", "json-syntax" },
		{ "{\"a\":1,}", 1, 8, "", "json-syntax" },
		{ "nul", 1, 1, "", "json-syntax" },
		{ "True", 1, 1, "", "json-syntax" },
		{ "NaN", 1, 1, "", "json-syntax" },
		{ "+1", 1, 1, "", "json-syntax" },
		{ ".5", 1, 1, "", "json-syntax" },
		{ "-", 1, 2, "", "json-syntax" },
		{ "{} {}", 1, 4, "", "json-syntax" },
		{ "truex", 1, 5, "", "json-syntax" },
		{ "", 1, 1, "", "json-syntax" },
		{ " \n ", 2, 2, "", "json-syntax" },
		{ "{", 1, 2, "", "json-syntax" },
		{ "{\"a\"", 1, 5, "a", "json-syntax" },
		{ "{\"a\":", 1, 6, "a", "json-syntax" },
		{ "{a:1}", 1, 2, "", "json-syntax" },
		{ "{'a':1}", 1, 2, "", "json-syntax" },
		{ "[\"abc", 1, 6, "[0]", "json-syntax" },
		{ "[1 2]", 1, 4, "", "json-syntax" },
		{ "// no\n1", 1, 1, "", "json-syntax" },
		{ "\xef\xbb\xbf{}", 1, 1, "", "json-syntax" },
		{ "\f1", 1, 1, "", "json-syntax" },
		/* lines, and columns in code points */
		{ "{\n  \"a\": {\r\n\t\"b\": 01 } }", 3, 8, "a.b", "json-syntax" },
		{ "[\"\xc3\xa9\xf0\x9f\x98\x80\", x]", 1, 8, "[1]", "json-syntax" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seen s = { 0 };
		struct json_doc doc;

		assert_int_equal(json_doc_parse(cases[i].text, strlen(cases[i].text), 64, note, &s,
						&doc),
				 -EBADMSG);
		assert_int_equal(s.n, 1);
		if (s.line != cases[i].line || s.column != cases[i].column ||
		    strcmp(s.path, cases[i].path) || strcmp(s.code, cases[i].code))
			fail_msg("%s: %u:%u: %s: %s (%s)", cases[i].text, s.line, s.column, s.path,
				 s.msg, s.code);
		assert_null(doc.root);
	}
}

static void test_nul_byte(void **state)
{
	struct seen s = { 0 };
	struct json_doc doc;

	(void)state;
	assert_int_equal(json_doc_parse("[\"a\0b\"]", 7, 64, note, &s, &doc), -EBADMSG);
	assert_int_equal(s.column, 4);
	assert_int_equal(json_doc_parse("1\0", 2, 64, NULL, NULL, &doc), -EBADMSG);
}

static void test_accepted(void **state)
{
	static const char *const cases[] = {
		"0",
		"-0",
		"-0.5e-3",
		"1E+2",
		"9007199254740991",
		"1e308",
		"\"\"",
		"[]",
		"{}",
		"[[],{}]",
		" \t\r\n{ \"\" : null } \n",
		"\"\\u00e9\\ud83d\\ude00\\/\\b\"",
		"\"\x7f\xf4\x8f\xbf\xbf\"",
		"{\"A\":1,\"a\":2}",
		"true",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char why[200];
		auto_json cJSON *v = json_parse(cases[i], strlen(cases[i]), why);

		if (!v)
			fail_msg("%s: %s", cases[i], why);
	}
}

static void test_not_terminated(void **state)
{
	/* of its own allocation, so that a sanitizer sees a byte read too far */
	char *text = malloc(3);
	cJSON *v;

	(void)state;
	memcpy(text, "123", 3);
	v = json_parse(text, 3, NULL);
	assert_non_null(v);
	assert_int_equal((int)v->valuedouble, 123);
	cJSON_Delete(v);
	memcpy(text, "tru", 3);
	assert_null(json_parse(text, 3, NULL));
	memcpy(text, "\"\\u", 3);
	assert_null(json_parse(text, 3, NULL));
	free(text);
}

static void test_duplicates(void **state)
{
	static const char text[] =
		"{\n \"a\": 1,\n \"b\": {\"x\": 1, \"\\u0078\": 2},\n \"a\": 3\n}";
	struct seen s = { 0 };
	struct json_doc doc;

	(void)state;
	assert_int_equal(json_doc_parse(text, strlen(text), 64, note, &s, &doc), -EBADMSG);
	assert_int_equal(s.n, 2);
	/* escapes are another spelling of the same key */
	assert_string_equal(s.path, "b.x");
	assert_string_equal(s.code, "duplicate-key");
	assert_int_equal(s.line, 3);
	assert_int_equal(s.column, 26);
	/* the rest is still read, the first wins, positions still fit */
	assert_non_null(doc.root);
	assert_int_equal((int)json_num(doc.root, "a", 0), 1);
	assert_int_equal(json_doc_pos(&doc, json_get(json_get(doc.root, "b"), "x")).column, 13);
	json_doc_done(&doc);
}

static void test_many_keys(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct seen s = { 0 };
	struct json_doc doc;

	(void)state;
	buf_adds(&b, "{");
	for (int i = 0; i < 50000; i++)
		buf_printf(&b, "\"key-%d\":{},", i);
	buf_adds(&b, "\"key-49999\":0}");
	assert_int_equal(json_doc_parse(buf_str(&b), b.len, 64, note, &s, &doc), -EBADMSG);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.path, "key-49999");
	assert_int_equal(s.column, b.len - 1);
	json_doc_done(&doc);
}

static void nest(struct buf *b, const char *open, const char *shut, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_adds(b, open);
	buf_adds(b, "1");
	for (unsigned i = 0; i < n; i++)
		buf_adds(b, shut);
}

static void test_depth(void **state)
{
	auto_buf struct buf just = BUF_INIT, deep = BUF_INIT;
	struct seen s = { 0 };
	struct json_doc doc;

	(void)state;
	nest(&just, "[", "]", 64);
	assert_int_equal(json_doc_parse(buf_str(&just), just.len, 64, note, &s, &doc), 0);
	json_doc_done(&doc);
	nest(&deep, "{\"a\":", "}", 65);
	assert_int_equal(json_doc_parse(buf_str(&deep), deep.len, 64, note, &s, &doc), -EBADMSG);
	assert_string_equal(s.code, "json-depth");
	assert_int_equal(s.column, 64 * 5 + 1);
	/* a million levels are a fault like any other */
	buf_clear(&deep);
	nest(&deep, "[", "", 1000000);
	assert_null(json_parse(buf_str(&deep), deep.len, NULL));
}

static void test_positions(void **state)
{
	static const char text[] =
		"{ \"a\": [1,\n  {\"b\": \"\xc3\xa9\", \"c\": null}], \"d\": true }";
	struct json_doc doc;
	const cJSON *a, *o;
	struct json_pos pos;

	(void)state;
	assert_int_equal(json_doc_parse(text, strlen(text), 64, NULL, NULL, &doc), 0);
	pos = json_doc_pos(&doc, doc.root);
	assert_true(pos.line == 1 && pos.column == 1);
	a = json_get(doc.root, "a");
	pos = json_doc_pos(&doc, a);
	assert_true(pos.line == 1 && pos.column == 8);
	o = a->child->next;
	pos = json_doc_pos(&doc, o);
	assert_true(pos.line == 2 && pos.column == 3);
	pos = json_doc_pos(&doc, json_get(o, "c"));
	assert_true(pos.line == 2 && pos.column == 19);
	pos = json_doc_pos(&doc, json_get(doc.root, "d"));
	assert_true(pos.line == 2 && pos.column == 32);
	/* not of this document: its start */
	pos = json_doc_pos(&doc, NULL);
	assert_true(pos.line == 1 && pos.column == 1);
	json_doc_done(&doc);
	json_doc_done(&doc);
}

static void test_paths(void **state)
{
	char p[64];

	(void)state;
	assert_string_equal(json_path_member(p, sizeof(p), "", "vpcs"), "vpcs");
	assert_string_equal(json_path_member(p, sizeof(p), "vpcs", "main"), "vpcs.main");
	assert_string_equal(json_path_member(p, sizeof(p), "routes", "0.0.0.0/0"),
			    "routes[\"0.0.0.0/0\"]");
	assert_string_equal(json_path_member(p, sizeof(p), "", "a.b"), "[\"a.b\"]");
	assert_string_equal(json_path_member(p, sizeof(p), "x", ""), "x[\"\"]");
	assert_string_equal(json_path_member(p, sizeof(p), "x", "\x1b[2J"), "x[\"\\u001b[2J\"]");
	assert_string_equal(json_path_index(p, sizeof(p), "a.b", 3), "a.b[3]");
	/* in place, and cut where there is no room */
	assert_string_equal(json_path_member(p, sizeof(p), json_path_index(p, sizeof(p), "a", 0),
					     "b"),
			    "a[0].b");
	assert_string_equal(json_path_member(p, 8, "abcdef", "ghi"), "abcdef.");
}

static void test_long_path(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct json_doc doc;

	(void)state;
	for (int i = 0; i < 20; i++) {
		buf_adds(&b, "{\"");
		for (int k = 0; k < 100; k++)
			buf_adds(&b, "k");
		buf_adds(&b, "\":");
	}
	buf_adds(&b, "[0, 1]");
	for (int i = 0; i < 20; i++)
		buf_adds(&b, "}");
	assert_int_equal(json_doc_parse(buf_str(&b), b.len, 64, NULL, NULL, &doc), 0);
	json_doc_done(&doc);
}

static void test_members(void **state)
{
	static const char text[] = "{\"s\":\"x\",\"n\":2.5,\"t\":true,\"z\":null}";
	auto_json cJSON *o = json_parse(text, strlen(text), NULL);

	(void)state;
	assert_string_equal(json_str(o, "s", "d"), "x");
	assert_string_equal(json_str(o, "S", "d"), "d");
	assert_string_equal(json_str(o, "n", "d"), "d");
	assert_null(json_str(o, "none", NULL));
	assert_true(json_num(o, "n", 0) == 2.5);
	assert_true(json_num(o, "s", 7) == 7);
	assert_true(json_bool(o, "t", false));
	assert_false(json_bool(o, "n", false));
	assert_true(cJSON_IsNull(json_get(o, "z")));
	assert_null(json_get(NULL, "s"));
}

static void test_why(void **state)
{
	char why[200];

	(void)state;
	assert_null(json_parse("{\"a\":{\"b\":tru}}", 15, why));
	assert_non_null(strstr(why, "line 1 column 11: a.b: "));
}

/* the examples of RFC 7396, appendix A */
static void test_merge_patch(void **state)
{
	static const char *const cases[][3] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		  "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
		{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
		{ "{\"a\":\"foo\"}", "null", "null" },
		{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
		{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
		/* a patched member keeps its place, so that the file's order stays */
		{ "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":4}", "{\"a\":4,\"b\":2,\"c\":3}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_json cJSON *target = json_parse(cases[i][0], strlen(cases[i][0]), NULL);
		auto_json cJSON *patch = json_parse(cases[i][1], strlen(cases[i][1]), NULL);
		auto_json cJSON *merged = json_merge_patch(target, patch);
		auto_free char *text = json_print(merged), *before = json_print(target);

		assert_string_equal(text, cases[i][2]);
		assert_string_equal(before, cases[i][0]);
	}
}

static void test_equal(void **state)
{
	static const char one[] = "{\"x\":[1,{\"y\":null}],\"z\":\"s\"}";
	static const char two[] = "{\"z\":\"s\",\"x\":[1,{\"y\":null}]}";
	static const char three[] = "{\"z\":\"s\",\"x\":[1,{\"Y\":null}]}";
	auto_json cJSON *a = json_parse(one, strlen(one), NULL);
	auto_json cJSON *b = json_parse(two, strlen(two), NULL);
	auto_json cJSON *c = json_parse(three, strlen(three), NULL);

	(void)state;
	assert_true(json_equal(a, b));
	assert_false(json_equal(a, c));
	assert_false(json_equal(a, a->child));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),	    cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_accepted),    cmocka_unit_test(test_not_terminated),
		cmocka_unit_test(test_duplicates),  cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_depth),	    cmocka_unit_test(test_positions),
		cmocka_unit_test(test_paths),	    cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_members),	    cmocka_unit_test(test_why),
		cmocka_unit_test(test_merge_patch), cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
