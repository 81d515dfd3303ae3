/* SPDX-License-Identifier: MIT */
/*
 * kernel_test - what root tests of ns, nl and nft share: a run directory of
 * their own below a mount namespace of their own, so that the host sees nothing
 * and all is gone with the process; and the output of a command as text.
 */
#ifndef KERNEL_TEST_H
#define KERNEL_TEST_H

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/ns.h"
#include "lib/util.h"

#define SKIP 77

static char test_run[64];

static inline void test_setup(void)
{
	if (geteuid()) {
		printf("1..0 # SKIP needs root\n");
		exit(SKIP);
	}
	strcpy(test_run, "/tmp/vpclab-test.XXXXXX");
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(test_run)) {
		perror("test_setup");
		exit(1);
	}
}

/* once everything is dropped again */
static inline void test_cleanup(void)
{
	struct err e;

	if (ns_home_remove(test_run, &e))
		fprintf(stderr, "%s\n", e.msg);
	rmdir(test_run);
}

static inline int test_ns(const char *name, const char *sysctls)
{
	struct err e = { 0 };
	int fd = -1;

	if (ns_create("t", name, sysctls, &fd, &e))
		fail_msg("%s", e.msg);
	return fd;
}

struct test_cmd {
	const char *cmd;
	struct buf *out;
};

static inline int test_cmd_cb(void *arg)
{
	struct test_cmd *c = arg;
	char buf[4096];
	size_t n;
	FILE *f = popen(c->cmd, "re");

	if (!f)
		return -1;
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		buf_add(c->out, buf, n);
	return pclose(f);
}

/* runs "cmd" in the namespace; returns its wait status, its output in "out" */
static inline int test_in(int ns_fd, struct buf *out, const char *cmd)
{
	struct test_cmd c = { .cmd = cmd, .out = out };

	buf_clear(out);
	return ns_do(ns_fd, test_cmd_cb, &c);
}

#define assert_ok(call, e)                                  \
	do {                                                \
		if (call)                                   \
			fail_msg("%s: %s", #call, (e).msg); \
	} while (0)

#define assert_has(b, text)                                              \
	do {                                                             \
		if (!strstr(buf_str(b), text))                           \
			fail_msg("no \"%s\" in:\n%s", text, buf_str(b)); \
	} while (0)

#define assert_has_not(b, text)                                       \
	do {                                                          \
		if (strstr(buf_str(b), text))                         \
			fail_msg("\"%s\" in:\n%s", text, buf_str(b)); \
	} while (0)

#endif
