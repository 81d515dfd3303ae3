/* SPDX-License-Identifier: MIT */
/*
 * test_util - lib/util.c and lib/log.c: numbers, digests, whole files, trees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"

static char folder[] = "/tmp/test_util.XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rm_rf(folder);
}

/* FOLDER/name, one of two static buffers */
static const char *in(const char *name)
{
	static char path[2][300];
	static unsigned next;
	char *p = path[next++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

static void test_parse_u64(void **state)
{
	uint64_t v = 42;

	(void)state;
	assert_int_equal(parse_u64("0", 0, 10, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	v = 42;
	assert_int_equal(parse_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_u64("99999999999999999999999", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_u64("11", 0, 10, &v), -ERANGE);
	assert_int_equal(parse_u64("0", 1, 10, &v), -ERANGE);
	assert_int_equal(parse_u64("", 0, 10, &v), -EINVAL);
	assert_int_equal(parse_u64("-1", 0, 10, &v), -EINVAL);
	assert_int_equal(parse_u64("+1", 0, 10, &v), -EINVAL);
	assert_int_equal(parse_u64(" 1", 0, 10, &v), -EINVAL);
	assert_int_equal(parse_u64("1x", 0, 10, &v), -EINVAL);
	assert_int_equal(parse_u64("0x1", 0, 10, &v), -EINVAL);
	assert_int_equal(v, 42);
}

static void test_digest(void **state)
{
	char hex[65], cut[9], big[3001], a[65], b[65];

	(void)state;
	sha256_hex("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_hex(cut, 8, "%s%c", "ab", 'c');
	assert_string_equal(cut, "ba7816bf");
	/* texts that differ only far behind */
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	hash_hex(a, 64, "%sa", big);
	hash_hex(b, 64, "%sb", big);
	assert_string_not_equal(a, b);
}

static void test_clock(void **state)
{
	struct mono start = mono_now();

	(void)state;
	assert_true(mono_ms_since(start) >= 0);
	assert_true(mono_ms_since(start) < 60000);
	assert_true(wall_ms() > 1600000000000);
}

static void test_steal(void **state)
{
	int fd = 5;
	char *p = folder;

	(void)state;
	assert_int_equal(steal_fd(&fd), 5);
	assert_int_equal(fd, -1);
	assert_ptr_equal(steal_ptr(&p), folder);
	assert_null(p);
}

static void test_files(void **state)
{
	auto_free char *s = NULL, *again = NULL, *none = NULL;
	struct stat st;
	size_t size;

	(void)state;
	assert_int_equal(write_file_atomic(in("f"), "a\0b", 3, 0640), 0);
	assert_int_equal(read_file(in("f"), 3, &s, &size), 0);
	assert_int_equal(size, 3);
	assert_memory_equal(s, "a\0b", 4);
	assert_int_equal(stat(in("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(read_file(in("f"), 2, &none, NULL), -EFBIG);
	assert_int_equal(write_file_atomic(in("f"), "", 0, 0600), 0);
	assert_int_equal(read_file(in("f"), 10, &again, &size), 0);
	assert_int_equal(size, 0);
	assert_string_equal(again, "");
	assert_int_equal(access(in("f.part"), F_OK), -1);
	assert_int_equal(read_file(in("none"), 10, &none, NULL), -ENOENT);
	assert_int_equal(read_file(folder, 10, &none, NULL), -EISDIR);
	assert_int_equal(write_file_atomic(in("none/f"), "", 0, 0600), -ENOENT);
	assert_null(none);
}

static void test_full_disk(void **state)
{
	auto_close int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, "x", 1), -ENOSPC);
}

static void test_proc_file(void **state)
{
	auto_free char *s = NULL;
	size_t size;

	(void)state;
	/* says it has 0 bytes */
	assert_int_equal(read_file("/proc/self/status", 1 << 20, &s, &size), 0);
	assert_true(size > 100);
}

static void test_mkdir_p(void **state)
{
	auto_close int fd = -1;
	struct stat st;

	(void)state;
	assert_int_equal(mkdir_p(in("a/b//c/"), 0700), 0);
	assert_int_equal(mkdir_p(in("a/b/c"), 0700), 0);
	assert_int_equal(stat(in("a/b/c"), &st), 0);
	fd = open(in("a/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(mkdir_p(in("a/file"), 0700), -ENOTDIR);
	assert_int_equal(mkdir_p(in("a/file/x"), 0700), -ENOTDIR);
	assert_int_equal(mkdir_p("", 0700), -ENOENT);
	assert_int_equal(mkdir_p("/", 0700), 0);
}

static void test_rm_rf(void **state)
{
	auto_close int fd = -1;

	(void)state;
	assert_int_equal(mkdir_p(in("tree/a/b"), 0700), 0);
	assert_int_equal(mkdir_p(in("kept/inner"), 0700), 0);
	assert_int_equal(symlink(in("kept"), in("tree/a/link")), 0);
	assert_int_equal(symlink("nowhere", in("tree/dangling")), 0);
	assert_int_equal(mkfifo(in("tree/fifo"), 0600), 0);
	assert_int_equal(rm_rf(in("tree")), 0);
	assert_int_equal(access(in("tree"), F_OK), -1);
	assert_int_equal(access(in("kept/inner"), F_OK), 0);
	assert_int_equal(rm_rf(in("tree")), 0);
	/* a link as the argument is removed, not followed */
	assert_int_equal(symlink(in("kept"), in("link")), 0);
	assert_int_equal(rm_rf(in("link")), 0);
	assert_int_equal(access(in("kept/inner"), F_OK), 0);
	fd = open(in("single"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(rm_rf(in("single")), 0);
	assert_int_equal(access(in("single"), F_OK), -1);
}

/* as a hostile program leaves it: far deeper than a path can say */
static void test_rm_deep(void **state)
{
	char name[201];
	int dir;

	(void)state;
	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(mkdir_p(in("deep"), 0700), 0);
	dir = open(in("deep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 300; i++) {
		int next;

		assert_int_equal(mkdirat(dir, name, 0700), 0);
		assert_int_equal(mkdirat(dir, "beside", 0700), 0);
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(dir);
		dir = next;
	}
	close(dir);
	assert_int_equal(rm_rf(in("deep")), 0);
	assert_int_equal(access(in("deep"), F_OK), -1);
}

static void test_log(void **state)
{
	auto_free char *s = NULL;
	int err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(dup2(pipes[1], STDERR_FILENO), STDERR_FILENO);
	log_init("test", LOG_INFO);
	log_warn("lab=%s\nlevel=err", "\x1b[31m\"x\"");
	log_debug("not this");
	assert_int_equal(dup2(err, STDERR_FILENO), STDERR_FILENO);
	close(err);
	close(pipes[1]);
	assert_int_equal(read_fd(pipes[0], 1000, &s, NULL), 0);
	close(pipes[0]);
	assert_string_equal(s,
			    "level=warn mod=test msg=\"lab=\\u001b[31m\\\"x\\\"\\nlevel=err\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_u64), cmocka_unit_test(test_digest),
		cmocka_unit_test(test_clock),	  cmocka_unit_test(test_steal),
		cmocka_unit_test(test_files),	  cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_proc_file), cmocka_unit_test(test_mkdir_p),
		cmocka_unit_test(test_rm_rf),	  cmocka_unit_test(test_rm_deep),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests_name("util", tests, setup, teardown);
}
