/* SPDX-License-Identifier: MIT */
/*
 * test_db - lib/db.c: migrations, a newer file, full disks, parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/db.h"
#include "lib/sock.h"
#include "lib/util.h"

static const char *const migrations[] = {
	"CREATE TABLE t(k TEXT PRIMARY KEY, n INTEGER, b BLOB)",
	"ALTER TABLE t ADD COLUMN more TEXT; CREATE TABLE u(x)",
	"CREATE TABLE broken(",
};

static char dir[] = "/tmp/test_db.XXXXXX";
static char *path;

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rm_rf(dir);
}

static int new_file(void **state)
{
	static unsigned n;
	char name[32];

	(void)state;
	snprintf(name, sizeof(name), "%u.sqlite", n++);
	path = rundir_file(dir, name);
	return path ? 0 : -1;
}

static int free_file(void **state)
{
	(void)state;
	free(path);
	return 0;
}

static struct db *must_open(size_t n)
{
	struct err e = { 0 };
	struct db *d = NULL;

	if (db_open(path, migrations, n, &d, &e) < 0)
		fail_msg("%s", e.msg);
	return d;
}

static int take_int(const struct db_row *r, void *arg)
{
	*(int64_t *)arg = db_col_int(r, 0);
	return 0;
}

static int64_t number(struct db *d, const char *sql)
{
	struct err e = { 0 };
	int64_t n = -1;

	if (db_each(d, &e, take_int, &n, sql, "") < 0)
		fail_msg("%s", e.msg);
	return n;
}

static void migrated(void **state)
{
	struct err e = { 0 };
	struct db *d = must_open(1), *bad = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(number(d, "PRAGMA user_version"), 1);
	assert_int_equal(number(d, "PRAGMA synchronous"), 2);
	assert_int_equal(db_run(d, &e, "INSERT INTO t(k,n) VALUES(?,?)", "si", "a", (int64_t)5), 0);
	db_close(d);
	d = must_open(2);
	assert_int_equal(number(d, "PRAGMA user_version"), 2);
	assert_int_equal(number(d, "SELECT n FROM t WHERE more IS NULL"), 5);
	db_close(d);
	/* one that fails leaves the file as it was before it */
	assert_true(db_open(path, migrations, 3, &bad, &e) < 0);
	assert_int_equal(e.code, ERR_STATE);
	assert_non_null(strstr(e.msg, "migration 3"));
	assert_null(bad);
	d = must_open(2);
	assert_int_equal(number(d, "PRAGMA user_version"), 2);
	db_close(d);
}

static void newer_is_refused(void **state)
{
	auto_free char *before = NULL, *after = NULL;
	size_t n, m;
	struct err e = { 0 };
	struct db *d = must_open(2);

	(void)state;
	db_close(d);
	d = NULL;
	assert_int_equal(read_file(path, 1 << 20, &before, &n), 0);
	assert_int_equal(db_open(path, migrations, 1, &d, &e), -EPROTONOSUPPORT);
	assert_int_equal(e.code, ERR_STATE);
	assert_non_null(strstr(e.msg, "newer version"));
	assert_null(d);
	assert_int_equal(read_file(path, 1 << 20, &after, &m), 0);
	assert_int_equal(n, m);
	assert_memory_equal(before, after, n);
}

static void not_a_database(void **state)
{
	char text[4096];
	struct err e = { 0 };
	struct db *d = NULL;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(write_file_atomic(path, text, sizeof(text), 0600), 0);
	assert_int_equal(db_open(path, migrations, 1, &d, &e), -EUCLEAN);
	assert_int_equal(e.code, ERR_STATE);
	assert_non_null(strstr(e.msg, path));
	assert_true(db_open("/proc/1/nowhere/x", migrations, 1, &d, &e) < 0);
	assert_non_null(strstr(e.msg, "/proc/1/nowhere/x"));
	assert_true(db_open(dir, migrations, 1, &d, &e) < 0);
}

static int take_row(const struct db_row *r, void *arg)
{
	unsigned *n = arg;
	size_t size;

	if (++*n == 1) {
		assert_string_equal(db_col_text(r, 0), "it's");
		assert_int_equal(db_col_int(r, 1), INT64_MIN);
		assert_memory_equal(db_col_blob(r, 2, &size), "a\0b", 3);
		assert_int_equal(size, 3);
		return 0;
	}
	assert_null(db_col_text(r, 1));
	db_col_blob(r, 2, &size);
	assert_int_equal(size, 0);
	return *n == 2 ? 42 : 0;
}

static void parameters(void **state)
{
	static const char insert[] = "INSERT INTO t(k,n,b) VALUES(?,?,?)";
	struct db *d = must_open(1);
	struct err e = { 0 };
	unsigned n = 0;

	(void)state;
	assert_int_equal(db_run(d, &e, insert, "sib", "it's", INT64_MIN, "a\0b", (size_t)3), 0);
	assert_int_equal(db_run(d, &e, insert, "ssb", "null", NULL, NULL, (size_t)0), 0);
	assert_int_equal(db_run(d, &e, insert, "ssb", "third", NULL, NULL, (size_t)0), 0);
	assert_int_equal(db_each(d, &e, take_row, &n, "SELECT k,n,b FROM t ORDER BY rowid", ""),
			 42);
	assert_int_equal(n, 2);
	/* what it was stopped in can be used again */
	n = 0;
	assert_int_equal(db_each(d, &e, take_row, &n, "SELECT k,n,b FROM t ORDER BY rowid", ""),
			 42);
	assert_int_equal(db_run(d, &e, insert, "ssb", "null", NULL, NULL, (size_t)0), -EEXIST);
	assert_true(db_run(d, &e, "INSERT INTO absent VALUES(1)", "") < 0);
	assert_non_null(strstr(e.msg, "no such table"));
	assert_int_equal(db_run(d, &e, insert, "q"), -EINVAL);
	assert_int_equal(db_run(d, &e, insert, "ssss", "a", "b", "c", "d"), -EINVAL);
	assert_int_equal(number(d, "SELECT count(*) FROM t"), 3);
	db_close(d);
}

static int count_nested(const struct db_row *r, void *arg)
{
	(void)r;
	assert_int_equal(number(arg, "SELECT count(*) FROM t"), 2);
	return 0;
}

/* the same statement inside its own rows, and more statements than are kept */
static void many_statements(void **state)
{
	struct db *d = must_open(1);
	struct err e = { 0 };
	char sql[64];
	int i;

	(void)state;
	assert_int_equal(db_run(d, &e, "INSERT INTO t(k) VALUES('a'),('b')", ""), 0);
	assert_int_equal(db_each(d, &e, count_nested, d, "SELECT count(*) FROM t", ""), 0);
	for (i = 0; i < 200; i++) {
		snprintf(sql, sizeof(sql), "SELECT %d+count(*) FROM t", i);
		assert_int_equal(number(d, sql), i + 2);
	}
	db_close(d);
}

static void fill(struct db *d, struct err *e)
{
	static char big[64 * 1024];
	int r = 0, i;

	assert_int_equal(db_exec(d, "BEGIN IMMEDIATE", e), 0);
	for (i = 0; i < 100 && r == 0; i++)
		r = db_run(d, e, "INSERT INTO t(k,b) VALUES(?,?)", "ib", (int64_t)i, big,
			   sizeof(big));
	if (r == 0)
		r = db_exec(d, "COMMIT", e);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(e->code, ERR_STATE);
	assert_non_null(strstr(e->msg, "the disk is full"));
	assert_int_equal(db_exec(d, "ROLLBACK", e), 0);
	assert_int_equal(number(d, "SELECT count(*) FROM t"), 1);
}

/* nothing half done, and room again is enough to go on */
static void full_disk(void **state)
{
	struct rlimit limit, old;
	struct err e = { 0 };
	struct db *d = must_open(1);

	(void)state;
	assert_int_equal(db_run(d, &e, "INSERT INTO t(k) VALUES('first')", ""), 0);
	assert_int_equal(number(d, "PRAGMA max_page_count=64"), 64);
	fill(d, &e);
	number(d, "PRAGMA max_page_count=1000000");
	assert_int_equal(db_run(d, &e, "INSERT INTO t(k) VALUES('second')", ""), 0);
	assert_int_equal(db_run(d, &e, "DELETE FROM t WHERE k='second'", ""), 0);
	/* now the file system says so */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){ 256 * 1024, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	fill(d, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(db_run(d, &e, "INSERT INTO t(k) VALUES('second')", ""), 0);
	db_close(d);
	d = must_open(1);
	assert_int_equal(number(d, "SELECT count(*) FROM t"), 2);
	db_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(migrated, new_file, free_file),
		cmocka_unit_test_setup_teardown(newer_is_refused, new_file, free_file),
		cmocka_unit_test_setup_teardown(not_a_database, new_file, free_file),
		cmocka_unit_test_setup_teardown(parameters, new_file, free_file),
		cmocka_unit_test_setup_teardown(many_statements, new_file, free_file),
		cmocka_unit_test_setup_teardown(full_disk, new_file, free_file),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
