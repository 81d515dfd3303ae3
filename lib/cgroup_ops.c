/* SPDX-License-Identifier: MIT */
/*
 * cgroup_ops - what cgroup v1 and v2 do differently: file names, words, order.
 * Rules of use are in cgroup.c, which knows no file name.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cgroup_int.h"
#include "lib/util.h"

/* short periods spread a small share evenly; the kernel takes no quota below 1 ms
 * and no period above 1 s */
#define PERIOD_US 20000
#define QUOTA_MIN_US 1000
#define PERIOD_MAX_US 1000000

int cgroup_write(int dir, const char *name, const char *text)
{
	auto_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_read(int dir, const char *name, char *ret, size_t size)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t r = read(fd, ret + n, size - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
		if (n == size)
			return -EFBIG;
	}
	ret[n] = '\0';
	return 0;
}

static int write_number(int dir, const char *name, uint64_t n, const char *none)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return cgroup_write(dir, name, n ? text : none);
}

static int read_number(int dir, const char *name, uint64_t *ret)
{
	char text[64];
	int r = cgroup_read(dir, name, text, sizeof(text));

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return parse_u64(text, 0, UINT64_MAX, ret);
}

/* "key N" on a line of its own */
static int read_key(int dir, const char *name, const char *key, uint64_t *ret)
{
	char text[8192], *line = text, *next;
	size_t n = strlen(key);
	int r = cgroup_read(dir, name, text, sizeof(text));

	if (r < 0)
		return r;
	for (; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (strncmp(line, key, n) == 0 && line[n] == ' ')
			return parse_u64(line + n + 1, 0, UINT64_MAX, ret);
	}
	return -ENODATA;
}

/* quota and period for "cpus" > 0 */
static void quota(double cpus, unsigned *ret_quota, unsigned *ret_period)
{
	double period = PERIOD_US;

	if (cpus * period < QUOTA_MIN_US)
		period = QUOTA_MIN_US / cpus;
	if (period > PERIOD_MAX_US)
		period = PERIOD_MAX_US;
	*ret_period = (unsigned)period;
	*ret_quota = (unsigned)(cpus * period + 0.5);
	if (*ret_quota < QUOTA_MIN_US)
		*ret_quota = QUOTA_MIN_US;
}

/* ---- v1 ---- */

static int v1_set_memory(int dir, uint64_t bytes)
{
	static const char both[] = "memory.memsw.limit_in_bytes";
	int r, s;

	r = write_number(dir, "memory.limit_in_bytes", bytes, "-1");
	/* memory alone is never above memory and swap: raising starts with the sum */
	s = write_number(dir, both, bytes, "-1");
	if (r == -EINVAL && s == 0)
		r = write_number(dir, "memory.limit_in_bytes", bytes, "-1");
	return r < 0 ? r : s == -ENOENT ? 0 : s; /* no such file: no swap accounting */
}

static int v1_set_cpu(int dir, double cpus)
{
	unsigned q, period;
	int r;

	if (cpus <= 0)
		return cgroup_write(dir, "cpu.cfs_quota_us", "-1");
	quota(cpus, &q, &period);
	r = write_number(dir, "cpu.cfs_period_us", period, "");
	return r < 0 ? r : write_number(dir, "cpu.cfs_quota_us", q, "");
}

static int set_pids(int dir, uint64_t n)
{
	return write_number(dir, "pids.max", n, "max");
}

static int v1_is_frozen(int dir)
{
	char text[32];
	int r = cgroup_read(dir, "freezer.state", text, sizeof(text));

	return r < 0 ? r : strncmp(text, "FROZEN", 6) == 0;
}

static int v1_kill(int dir)
{
	(void)dir;
	return -ENOSYS;
}

static int v1_memory(int dir, uint64_t *ret)
{
	return read_number(dir, "memory.usage_in_bytes", ret);
}

static int v1_memory_peak(int dir, uint64_t *ret)
{
	return read_number(dir, "memory.max_usage_in_bytes", ret);
}

static int v1_memory_mapped(int dir, uint64_t *ret)
{
	return read_key(dir, "memory.stat", "mapped_file", ret);
}

static int v1_oom_kills(int dir, uint64_t *ret)
{
	return read_key(dir, "memory.oom_control", "oom_kill", ret);
}

const struct cgroup_ops cgroup_v1 = {
	.version = 1,
	.file = { "memory.limit_in_bytes", "cpu.cfs_quota_us", "pids.max", "freezer.state" },
	.set_memory = v1_set_memory,
	.set_cpu = v1_set_cpu,
	.set_pids = set_pids,
	.freeze_on = "FROZEN",
	.freeze_off = "THAWED",
	.is_frozen = v1_is_frozen,
	.kill = v1_kill,
	.memory = v1_memory,
	.memory_peak = v1_memory_peak,
	.memory_mapped = v1_memory_mapped,
	.oom_kills = v1_oom_kills,
};

/* ---- v2 ---- */

static int v2_set_memory(int dir, uint64_t bytes)
{
	int r = write_number(dir, "memory.max", bytes, "max");
	int s = cgroup_write(dir, "memory.swap.max", bytes ? "0" : "max");

	return r < 0 ? r : s == -ENOENT ? 0 : s;
}

static int v2_set_cpu(int dir, double cpus)
{
	char text[48] = "max";
	unsigned q, period;

	if (cpus > 0) {
		quota(cpus, &q, &period);
		snprintf(text, sizeof(text), "%u %u", q, period);
	}
	return cgroup_write(dir, "cpu.max", text);
}

static int v2_is_frozen(int dir)
{
	uint64_t n;
	int r = read_key(dir, "cgroup.events", "frozen", &n);

	return r < 0 ? r : n == 1;
}

static int v2_kill(int dir)
{
	int r = cgroup_write(dir, "cgroup.kill", "1");

	return r == -ENOENT ? -ENOSYS : r; /* before Linux 5.14 */
}

static int v2_memory(int dir, uint64_t *ret)
{
	return read_number(dir, "memory.current", ret);
}

static int v2_memory_peak(int dir, uint64_t *ret)
{
	return read_number(dir, "memory.peak", ret);
}

static int v2_memory_mapped(int dir, uint64_t *ret)
{
	return read_key(dir, "memory.stat", "file_mapped", ret);
}

static int v2_oom_kills(int dir, uint64_t *ret)
{
	return read_key(dir, "memory.events", "oom_kill", ret);
}

const struct cgroup_ops cgroup_v2 = {
	.version = 2,
	.file = { "memory.max", "cpu.max", "pids.max", "cgroup.freeze" },
	.set_memory = v2_set_memory,
	.set_cpu = v2_set_cpu,
	.set_pids = set_pids,
	.freeze_on = "1",
	.freeze_off = "0",
	.is_frozen = v2_is_frozen,
	.kill = v2_kill,
	.memory = v2_memory,
	.memory_peak = v2_memory_peak,
	.memory_mapped = v2_memory_mapped,
	.oom_kills = v2_oom_kills,
};
