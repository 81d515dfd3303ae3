/* SPDX-License-Identifier: MIT */
/*
 * Every program of tests/golden, as compile makes them of whole labs: the tables of
 * each of its namespaces go into one namespace by lib/nft, and as text into another
 * by `nft -f`; `nft list ruleset` must show the same.
 */
#include "tests/kernel/kernel_test.h"

#include <glob.h>
#include <limits.h>

#include "lib/nft.h"
#include "lib/program.h"

#define HASH "0123456789abcdef0123456789abcdef"

/*
 * Sets and chains come in the order in which they were made: each line gets its
 * block's name and its number in front, and all are sorted.  Rules that note
 * ports or count flows aren't in nft(8)'s text, which has no words for them; nor
 * is the family of packets, which it takes in tables of two families only.
 */
#define NORMAL                                                                                 \
	"nft list ruleset 2>&1 | sed '/^table ip vpclab {/,/^}/d' | grep -v -e '@th,0,32' -e " \
	"'update @flows' -e 'meta nfproto @' | "                                               \
	"awk '/^table/ { t = $2 $3 } /^\t(set|map|chain)/ { b = $2; n = 0 } "                  \
	"NF && !/^}/ { printf \"%s %s %03d %s\\n\", t, b, n++, $0 }' | sort"

/* build/MODE/tests/kernel_golden -> tests/golden */
static void golden_folder(char ret[PATH_MAX + 16])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int i;

	assert_true(n > 0);
	self[n] = '\0';
	for (i = 0; i < 4; i++) {
		char *slash = strrchr(self, '/');

		assert_non_null(slash);
		*slash = '\0';
	}
	snprintf(ret, PATH_MAX + 16, "%s/tests/golden", self);
}

static void load_text(int ns, const struct program *p, const char *name)
{
	auto_buf struct buf script = BUF_INIT, cmd = BUF_INIT, out = BUF_INIT;
	char path[] = "/tmp/vpclab-nft.XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	program_print_nft(p, name, &script);
	assert_int_equal(write_all(fd, script.s, script.len), 0);
	close(fd);
	buf_printf(&cmd, "sed '/meta nfproto @/d' %s | nft -f - 2>&1", path);
	r = test_in(ns, &out, buf_str(&cmd));
	unlink(path);
	if (r)
		fail_msg("%s: %s", name, buf_str(&out));
}

static void compare(const struct program *p, const char *file, const char *name)
{
	auto_buf struct buf ours = BUF_INIT, theirs = BUF_INIT;
	int a = test_ns("a", ""), b = test_ns("b", "");
	struct nft *s;
	struct err e = { 0 };

	assert_ok(nft_open(a, &s, &e), e);
	if (nft_replace(s, p, name, HASH, &e))
		fail_msg("%s: %s", file, e.msg);
	load_text(b, p, name);
	test_in(a, &ours, NORMAL);
	test_in(b, &theirs, NORMAL);
	if (strcmp(buf_str(&ours), buf_str(&theirs)))
		fail_msg("%s, %s:\n--- ours\n%s--- nft\n%s", file, name, buf_str(&ours),
			 buf_str(&theirs));
	nft_close(s);
	close(a);
	close(b);
	assert_int_equal(ns_drop_lab("t"), 0);
}

static size_t compare_all(const struct program *p, const char *file)
{
	size_t i, from, to, n = 0;

	for (i = 0; i < p->n; i++) {
		if (p->items[i].kind != ITEM_NS)
			continue;
		program_range(p, p->items[i].ns, ITEM_TABLE, &from, &to);
		if (from == to)
			continue;
		compare(p, file, p->items[i].ns);
		n++;
	}
	return n;
}

static void test_goldens(void **state)
{
	char folder[PATH_MAX + 16], pattern[PATH_MAX + 32];
	size_t i, n = 0;
	struct err e = { 0 };
	glob_t g;

	(void)state;
	golden_folder(folder);
	snprintf(pattern, sizeof(pattern), "%s/*.program", folder);
	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	assert_ok(ns_home_enter(test_run, &e), e);
	for (i = 0; i < g.gl_pathc; i++) {
		auto_free char *text = NULL;
		struct program p;
		size_t size;

		assert_int_equal(read_file(g.gl_pathv[i], 1 << 24, &text, &size), 0);
		assert_ok(program_parse(text, &p, &e), e);
		n += compare_all(&p, g.gl_pathv[i]);
		program_done(&p);
	}
	printf("# %zu namespaces of %zu programs\n", n, g.gl_pathc);
	assert_true(n > 0);
	globfree(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
	};
	int ret;

	test_setup();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	test_cleanup();
	return ret;
}
