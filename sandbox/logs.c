/* SPDX-License-Identifier: MIT */
/*
 * logs - see logs.h.
 */
#include "sandbox/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"
#include "sandbox/limits.h"

char *logs_path(const struct sandboxd *sd, const char *lab, const char *name)
{
	char *path;

	return asprintf(&path, "%s/logs/%s/%s.log", sd->dir.run, lab, name) < 0 ? NULL : path;
}

char *logs_folder(const struct sandboxd *sd, const char *lab)
{
	char *path;

	return asprintf(&path, "%s/logs/%s", sd->dir.run, lab) < 0 ? NULL : path;
}

int logs_open(const struct sandboxd *sd, const char *lab, const char *name)
{
	auto_free char *folder = logs_folder(sd, lab), *path = logs_path(sd, lab, name);
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd, r;

	if (!folder || !path)
		return -ENOMEM;
	fd = open(path, flags, 0640);
	if (fd >= 0)
		return fd;
	r = errno == ENOENT ? mkdir_p(folder, 0755) : -errno;
	if (r < 0)
		return r;
	fd = open(path, flags, 0640);
	return fd < 0 ? -errno : fd;
}

static void turn_over(const struct sandboxd *sd, const char *lab, const char *name)
{
	auto_free char *path = logs_path(sd, lab, name), *old = NULL;

	if (!path || asprintf(&old, "%s.1", path) < 0) {
		old = NULL;
		return;
	}
	if (rename(path, old) == 0) /* else it grows on, and is tried again */
		log_streams_move(path, old);
}

void logs_append(const struct sandboxd *sd, const char *lab, const char *name, const char *stream,
		 struct log_place *at, const char *data, size_t size)
{
	auto_close int fd = logs_open(sd, lab, name);
	struct stat st;

	if (fd < 0 || !size || fstat(fd, &st) < 0)
		return;
	if (st.st_size + (off_t)size > LIMIT_LOG_FILE) {
		turn_over(sd, lab, name);
		close(fd);
		fd = logs_open(sd, lab, name);
		if (fd < 0 || fstat(fd, &st) < 0)
			return;
	}
	if (at->ino != st.st_ino || at->end != st.st_size) {
		auto_free char *path = logs_path(sd, lab, name);

		if (path)
			log_streams_mark(path, st.st_size, stream);
	}
	*at = (struct log_place){ st.st_ino, st.st_size + (off_t)size };
	(void)write_all(fd, data, size); /* said in the header */
}

void logs_bound(const struct sandboxd *sd)
{
	const struct slab *l;

	LIST_FOREACH(l, &sd->labs, link) {
		auto_free char *folder = logs_folder(sd, l->name);
		DIR *d = folder ? opendir(folder) : NULL;
		struct dirent *e;
		struct stat st;
		int fd;

		while (d && (e = readdir(d))) {
			if (e->d_type != DT_REG ||
			    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			    st.st_size <= LIMIT_PROGRAM_LOG)
				continue;
			fd = openat(dirfd(d), e->d_name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0)
				continue;
			/* its writers append: they go on at the new end */
			if (ftruncate(fd, 0) == 0)
				(void)!write(fd, "(log emptied: it was full)\n", 27);
			close(fd);
		}
		if (d)
			closedir(d);
	}
}

void logs_remove_lab(const struct sandboxd *sd, const char *lab)
{
	auto_free char *folder = logs_folder(sd, lab);

	if (folder)
		(void)rm_rf(folder); /* what stays is gc's */
}

void logs_remove(const struct sandboxd *sd, const char *lab, const char *name)
{
	auto_free char *path = logs_path(sd, lab, name), *old = NULL;

	if (path && asprintf(&old, "%s.1", path) < 0)
		old = NULL;
	if (path) {
		(void)unlink(path); /* there may be none */
		log_streams_remove(path);
	}
	if (old) {
		(void)unlink(old);
		log_streams_remove(old);
	}
}

/* the end of a file, from the start of a line */
static int read_end(const char *path, char **ret, size_t *ret_size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	char *nl;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > LIMIT_LOG_ANSWER && lseek(fd, st.st_size - LIMIT_LOG_ANSWER, SEEK_SET) < 0)
		return -errno;
	/* twice: it may grow while it is read */
	r = read_fd(fd, 2 * LIMIT_LOG_ANSWER, ret, ret_size);
	if (r < 0 || st.st_size <= LIMIT_LOG_ANSWER)
		return r;
	nl = memchr(*ret, '\n', *ret_size);
	if (nl) {
		*ret_size -= (size_t)(nl + 1 - *ret);
		memmove(*ret, nl + 1, *ret_size);
	}
	return 0;
}

static int add_log(const struct slab *l, const char *node, bool prefixed, struct buf *b)
{
	auto_free char *path = logs_path(l->sd, l->name, node), *text = NULL;
	const char *s, *end, *nl;
	size_t size;
	int r = path ? read_end(path, &text, &size) : -ENOMEM;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!prefixed) {
		buf_add(b, text, size);
		return buf_error(b);
	}
	for (s = text, end = text + size; s < end; s = nl + 1) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (!nl)
			nl = end;
		buf_printf(b, "%s| ", node);
		buf_add(b, s, (size_t)(nl - s));
		buf_adds(b, "\n");
	}
	return buf_error(b);
}

int logs_read(const struct slab *l, const char *node, struct buf *b)
{
	const struct lab *lab = l->lab;
	size_t i, j;
	int r = 0;

	if (node)
		return add_log(l, node, false, b);
	for (i = 0; i < lab->n_hosts && !r; i++)
		r = add_log(l, lab->hosts[i].name, true, b);
	for (i = 0; i < lab->n_vpcs; i++)
		for (j = 0; j < lab->vpcs[i].n_instances && !r; j++)
			r = add_log(l, lab->vpcs[i].instances[j].name, true, b);
	for (i = 0; i < lab->n_functions && !r; i++)
		r = add_log(l, lab->functions[i].name, true, b);
	return r;
}

int logs_read_streams(const struct slab *l, const char *function, const char *stream, struct buf *b)
{
	auto_free char *path = logs_path(l->sd, l->name, function);

	if (!path)
		return -ENOMEM;
	return stream ? log_streams_read(path, stream, LIMIT_LOG_ANSWER, b) :
			log_streams_list(path, b);
}
