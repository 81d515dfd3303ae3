/* SPDX-License-Identifier: MIT */
/* test_rows - what sandboxd keeps: halves of rows, and what a first version kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/util.h"
#include "sandbox/rows.h"

struct fixture {
	char dir[40];
	struct db *db;
	struct err e;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/vpclab-rows-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(rows_open(f->dir, &f->db, &f->e), 0);
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

static void print_doc(struct buf *b, const struct rows_doc *d)
{
	if (d->text)
		buf_printf(b, " %.*s/%s/%s", (int)d->size, d->text, d->base ? d->base : "-",
			   d->codes ? d->codes : "-");
	else
		buf_adds(b, " none");
}

static int print_row(const char *lab, int64_t created_ms, const struct rows_doc *current,
		     const struct rows_doc *intended, bool deleting, const char *lease, void *arg)
{
	struct buf *b = arg;

	buf_printf(b, "%s %d", lab, (int)created_ms);
	print_doc(b, current);
	print_doc(b, intended);
	buf_printf(b, "%s %s\n", deleting ? " deleting" : "", lease ? lease : "-");
	return 0;
}

static int print_count(const struct db_row *r, void *arg)
{
	buf_printf(arg, "%d documents\n", (int)db_col_int(r, 0));
	return 0;
}

static void expect(struct fixture *f, const char *text)
{
	auto_buf struct buf b = BUF_INIT;

	assert_int_equal(rows_each(f->db, print_row, &b, &f->e), 0);
	assert_int_equal(
		db_each(f->db, &f->e, print_count, &b, "select count(*) from documents", ""), 0);
	assert_string_equal(buf_str(&b), text);
}

static void intend(struct fixture *f, const char *lab, const char *text, const char *base)
{
	const struct rows_doc doc = { text, strlen(text), base, "c" };

	assert_int_equal(rows_intend(f->db, lab, 7, &doc, &f->e), 0);
}

static void steps(void **state)
{
	struct fixture *f = *state;

	intend(f, "a", "one", NULL);
	expect(f, "a 7 none one/-/c -\n1 documents\n");
	assert_int_equal(rows_done(f->db, "a", NULL, &f->e), 0);
	intend(f, "a", "two", "base");
	expect(f, "a 7 one/-/c two/base/c -\n2 documents\n");
	assert_int_equal(rows_undone(f->db, "a", &f->e), 0);
	expect(f, "a 7 one/-/c none -\n1 documents\n");
	intend(f, "a", "two", "base");
	intend(f, "a", "three", "base"); /* a restart intends again */
	assert_int_equal(rows_done(f->db, "a", NULL, &f->e), 0);
	assert_int_equal(rows_done(f->db, "a", NULL, &f->e), 0); /* nothing is intended: nothing */
	assert_int_equal(rows_lease(f->db, "a", "12 34", &f->e), 0);
	intend(f, "b", "bee", NULL);
	expect(f, "a 7 three/base/c none 12 34\nb 7 none bee/-/c -\n2 documents\n");
	assert_int_equal(rows_undone(f->db, "b", &f->e), 0);
	assert_int_equal(rows_deleting(f->db, "a", &f->e), 0);
	expect(f, "a 7 three/base/c none deleting 12 34\n1 documents\n");
	assert_int_equal(rows_delete(f->db, "a", &f->e), 0);
	expect(f, "0 documents\n");
}

static void first_schema(void **state)
{
	static const char *const old[] = {
		"create table labs (lab text primary key, created integer not null,"
		" document blob, base text, codes text,"
		" intended blob, intended_base text, intended_codes text,"
		" deleting integer not null default 0, lease text)",
	};
	struct fixture *f = *state;
	char path[64];

	db_close(f->db);
	rm_rf(f->dir);
	assert_int_equal(mkdir_p(f->dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/sandboxd.db", f->dir);
	assert_int_equal(db_open(path, old, 1, &f->db, &f->e), 0);
	assert_int_equal(
		db_exec(f->db,
			"insert into labs values ('a', 1, 'A', 'x', 'c', null, null, null, 1, 'l');"
			"insert into labs values ('b', 2, 'B', null, 'c', 'C', 'y', 'd', 0, null);"
			"insert into labs values ('c', 3, null, null, null, 'D', 'z', 'e', 0, "
			"null)",
			&f->e),
		0);
	db_close(f->db);
	assert_int_equal(rows_open(f->dir, &f->db, &f->e), 0);
	expect(f, "a 1 A/x/c none deleting l\nb 2 B/-/c C/y/d -\nc 3 none D/z/e -\n4 documents\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(steps, setup, teardown),
		cmocka_unit_test_setup_teardown(first_schema, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
