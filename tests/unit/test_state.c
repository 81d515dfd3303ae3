/* SPDX-License-Identifier: MIT */
/*
 * netd's rows: what is current and intended of a lab after each step, texts that
 * nobody has any more, and a state directory of the first schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/util.h"
#include "netd/state.h"

struct fixture {
	char dir[32];
	struct db *db;
	struct err e;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/test_state.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(state_open(f->dir, &f->db, &f->e), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	db_close(f->db);
	rm_rf(f->dir);
	free(f);
	return 0;
}

static int print_row(const char *lab, int64_t created_ms, const struct state_half *current,
		     const struct state_half *intended, void *arg)
{
	const struct state_half *h[] = { current, intended };
	struct buf *b = arg;

	buf_printf(b, "%s %lld", lab, (long long)created_ms);
	for (size_t i = 0; i < ARRAY_SIZE(h); i++)
		if (h[i]->document)
			buf_printf(b, " %.*s/%s/%s", (int)h[i]->size, h[i]->document,
				   h[i]->base ? h[i]->base : "-", h[i]->store);
		else
			buf_adds(b, " none");
	buf_adds(b, "\n");
	return 0;
}

static int print_count(const struct db_row *r, void *arg)
{
	buf_printf(arg, "%d texts\n", (int)db_col_int(r, 0));
	return 0;
}

static void expect(struct fixture *f, const char *text)
{
	auto_buf struct buf b = BUF_INIT;

	assert_int_equal(state_each(f->db, print_row, &b, &f->e), 0);
	assert_int_equal(db_each(f->db, &f->e, print_count, &b,
				 "SELECT (SELECT count(*) FROM documents) +"
				 " (SELECT count(*) FROM stores)",
				 ""),
			 0);
	assert_string_equal(buf_str(&b), text);
}

static void intend(struct fixture *f, const char *lab, const char *document, const char *base,
		   const char *store)
{
	const struct state_half h = { document, strlen(document), base, store };

	assert_int_equal(state_intend(f->db, lab, 7, &h, &f->e), 0);
}

static void steps(void **state)
{
	struct fixture *f = *state;

	intend(f, "a", "one", NULL, "s1");
	expect(f, "a 7 none one/-/s1\n2 texts\n");
	assert_int_equal(state_done(f->db, "a", &f->e), 0);
	expect(f, "a 7 one/-/s1 none\n2 texts\n");
	intend(f, "a", "two", "base", "s1"); /* the store is written once */
	expect(f, "a 7 one/-/s1 two/base/s1\n3 texts\n");
	assert_int_equal(state_undone(f->db, "a", &f->e), 0);
	intend(f, "a", "rules", NULL, NULL); /* the store stays, without being told again */
	expect(f, "a 7 one/-/s1 rules/-/s1\n3 texts\n");
	assert_int_equal(state_undone(f->db, "a", &f->e), 0);
	expect(f, "a 7 one/-/s1 none\n2 texts\n");
	expect(f, "a 7 one/-/s1 none\n2 texts\n");
	intend(f, "b", "bee", NULL, "s1");
	intend(f, "a", "two", "base", "s2");
	expect(f, "a 7 one/-/s1 two/base/s2\nb 7 none bee/-/s1\n6 texts\n");
	assert_int_equal(state_done(f->db, "a", &f->e), 0);
	assert_int_equal(state_done(f->db, "a", &f->e), 0); /* nothing is intended: nothing */
	assert_int_equal(state_undone(f->db, "b", &f->e), 0);
	expect(f, "a 7 two/base/s2 none\n2 texts\n");
	assert_int_equal(state_delete(f->db, "a", &f->e), 0);
	expect(f, "0 texts\n");
	intend(f, "c", "see", NULL, "s");
	assert_int_equal(state_clear(f->db, &f->e), 0);
	expect(f, "0 texts\n");
}

/* what netd would be killed in the middle of is intended again at its start */
static void intended_twice(void **state)
{
	struct fixture *f = *state;

	intend(f, "a", "one", NULL, "s1");
	intend(f, "a", "two", NULL, "s2");
	assert_int_equal(state_done(f->db, "a", &f->e), 0);
	expect(f, "a 7 two/-/s2 none\n2 texts\n");
}

static void first_schema(void **state)
{
	static const char *const old[] = {
		"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
		"CREATE TABLE labs (name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
		" document BLOB, base TEXT, store TEXT,"
		" new_document BLOB, new_base TEXT, new_store TEXT);",
	};
	struct fixture *f = *state;
	char path[64];

	db_close(f->db);
	rm_rf(f->dir);
	assert_int_equal(mkdir_p(f->dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/netd.db", f->dir);
	assert_int_equal(db_open(path, old, 1, &f->db, &f->e), 0);
	assert_int_equal(
		db_exec(f->db,
			"INSERT INTO labs VALUES ('a', 1, 'A', 'x', 's', NULL, NULL, NULL);"
			"INSERT INTO labs VALUES ('b', 2, 'B', NULL, 't', 'C', 'y', 'u');"
			"INSERT INTO labs VALUES ('c', 3, NULL, NULL, NULL, 'D', 'z', 'v')",
			&f->e),
		0);
	db_close(f->db);
	assert_int_equal(state_open(f->dir, &f->db, &f->e), 0);
	expect(f, "a 1 A/x/s none\nb 2 B/-/t C/y/u\nc 3 none D/z/v\n8 texts\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(steps, setup, teardown),
		cmocka_unit_test_setup_teardown(intended_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(first_schema, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
