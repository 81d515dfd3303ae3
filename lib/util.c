/* SPDX-License-Identifier: MIT */
/*
 * util - time, digests, numbers, whole files; see util.h.
 */
#include "lib/util.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <linux/openat2.h>

struct mono mono_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (struct mono){ (int64_t)t.tv_sec * 1000000000 + t.tv_nsec };
}

double mono_ms_since(struct mono start)
{
	return (double)(mono_now().ns - start.ns) / 1e6;
}

int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	}
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int read_fd(int fd, size_t max, char **ret, size_t *ret_size)
{
	auto_free char *s = NULL;
	size_t len = 0, cap = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= cap) {
			char *more;

			cap = cap ? cap * 2 : 4096;
			more = realloc(s, cap);
			if (!more)
				return -ENOMEM;
			s = more;
		}
		n = read(fd, s + len, cap - len - 1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!n)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	s[len] = 0;
	*ret = steal_ptr(&s);
	if (ret_size)
		*ret_size = len;
	return 0;
}

int read_file(const char *path, size_t max, char **ret, size_t *ret_size)
{
	auto_free char *s = NULL;
	auto_close int fd = -1;
	struct stat before, after;
	size_t size = 0;
	int r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &before) < 0)
		return -errno;
	if (S_ISDIR(before.st_mode))
		return -EISDIR;
	r = read_fd(fd, max, &s, &size);
	if (r < 0)
		return r;
	if (fstat(fd, &after) < 0)
		return -errno;
	if (S_ISREG(before.st_mode) &&
	    (before.st_size != after.st_size || (size_t)after.st_size != size ||
	     before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
	     before.st_mtim.tv_nsec != after.st_mtim.tv_nsec) &&
	    after.st_size + before.st_size > 0)
		return -EAGAIN;
	*ret = steal_ptr(&s);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int write_file_atomic(const char *path, const void *data, size_t size, int mode)
{
	auto_free char *part = NULL;
	auto_close int fd = -1;
	int r;

	if (asprintf(&part, "%s.part", path) < 0) {
		part = NULL;
		return -ENOMEM;
	}
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, size);
	if (r == 0 && (fchmod(fd, (mode_t)mode) < 0 || fsync(fd) < 0 || rename(part, path) < 0))
		r = -errno;
	if (r < 0)
		unlink(part);
	return r;
}

static int make_dir(const char *path, int mode)
{
	struct stat st;

	if (mkdir(path, (mode_t)mode) == 0)
		return 0;
	if (errno != EEXIST || stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int mkdir_p(const char *path, int mode)
{
	auto_free char *copy = strdup(path);
	int r;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++) {
		if (*p != '/' || p == copy)
			continue;
		*p = 0;
		r = make_dir(copy, mode);
		if (r < 0)
			return r;
		*p = '/';
	}
	return make_dir(copy, mode);
}

/*
 * rm_rf - what is removed was written by programs that we don't trust: folders
 * nested deeper than any path is long, links to elsewhere, mounts.  So each step
 * is relative to a descriptor, never follows a link, never enters a mount, and a
 * folder RM_DEPTH levels down is first renamed into the top one, whose entries
 * are gone through until nothing was renamed: depth costs neither descriptors
 * nor stack.
 */
#define RM_DEPTH 32

struct removal {
	int top;	  /* borrowed; the folder that is removed */
	unsigned n_moved; /* since the present round began */
	unsigned serial;  /* names of moved folders */
};

static int rm_in(struct removal *m, int dir, unsigned depth);

/* opens a folder in "dir" unless it is a link or the root of a mount: -EXDEV */
static int open_below(int dir, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve =
					RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int rm_move_up(struct removal *m, int dir, const char *name)
{
	char to[32];

	do {
		snprintf(to, sizeof(to), ".rm-%u", m->serial++);
		if (renameat2(dir, name, m->top, to, RENAME_NOREPLACE) == 0) {
			m->n_moved++;
			return 0;
		}
	} while (errno == EEXIST);
	return -errno;
}

static int rm_entry(struct removal *m, int dir, const char *name, unsigned depth)
{
	auto_close int fd = -1;
	int r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	if (depth >= RM_DEPTH)
		return rm_move_up(m, dir, name);
	fd = open_below(dir, name);
	if (fd < 0)
		return steal_fd(&fd);
	r = rm_in(m, fd, depth + 1);
	if (r < 0)
		return r;
	return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* removes all entries of "dir"; the first failure is told, the others go on */
static int rm_in(struct removal *m, int dir, unsigned depth)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3), first = 0, r;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		r = -errno;
		if (copy >= 0)
			close(copy);
		return r;
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = rm_entry(m, dir, e->d_name, depth);
		if (r < 0 && !first)
			first = r;
	}
	closedir(d);
	return first;
}

int rm_rf(const char *path)
{
	struct removal m = { 0 };
	auto_close int fd = -1;
	int r;

	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	m.top = fd;
	do {
		m.n_moved = 0;
		if (lseek(fd, 0, SEEK_SET) < 0)
			return -errno;
		r = rm_in(&m, fd, 1);
	} while (r == 0 && m.n_moved);
	if (r < 0)
		return r;
	return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}

void uuid4(char ret[37])
{
	uint8_t b[16];

	/* never short of so few bytes, and no error is left for it */
	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(ret, 37,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
}
