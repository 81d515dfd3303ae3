/* SPDX-License-Identifier: MIT */
/*
 * code - see code.h.  The digest of a folder is over its sorted names, kinds,
 * execute bits and contents; owners and times don't count.
 */
#include "sandbox/code.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/limits.h"

#define FOLDER "code" /* below the state folder */

/* walks a folder twice: first for the digest, then to copy */
struct walk {
	const char *from, *to; /* to NULL: digest only */
	struct buf lines;
	size_t bytes, files;
	struct err *e;
};

static int fault(const struct walk *w, const char *path, int errnum)
{
	return err_set(w->e, ERR_INVALID_PARAMETER, errnum, "code %s: %s", path,
		       errnum == EAGAIN ? "it changed while it was read" : strerror(errnum));
}

static int take_file(struct walk *w, const FTSENT *f, const char *name)
{
	auto_free char *data = NULL, *to = NULL;
	bool executable = f->fts_statp->st_mode & 0111;
	auto_close int fd = -1;
	char hex[65];
	size_t size;
	int r = read_file(f->fts_path, LIMIT_CODE, &data, &size);

	if (r < 0)
		return fault(w, f->fts_path, -r);
	w->bytes += size;
	if (w->bytes > LIMIT_CODE)
		return err_set(w->e, ERR_INVALID_PARAMETER, EFBIG,
			       "code %s: Unzipped size must be smaller "
			       "than %d bytes",
			       w->from, LIMIT_CODE);
	if (!w->to) {
		sha256_hex(data, size, hex);
		buf_printf(&w->lines, "f%d %s %s\n", executable, hex, name);
		return 0;
	}
	if (asprintf(&to, "%s%s", w->to, name) < 0) {
		to = NULL;
		return fault(w, f->fts_path, ENOMEM);
	}
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : write_all(fd, data, size);
	if (!r && fchmod(fd, executable ? 0755 : 0644) < 0)
		r = -errno;
	return r ? err_set(w->e, ERR_STATE, -r, "%s: %s", to, strerror(-r)) : 0;
}

static int take_link(struct walk *w, const FTSENT *f, const char *name)
{
	auto_free char *to = NULL;
	char target[4096];
	ssize_t n = readlink(f->fts_path, target, sizeof(target) - 1);

	if (n < 0)
		return fault(w, f->fts_path, errno);
	target[n] = '\0';
	if (!w->to) {
		buf_printf(&w->lines, "l %s %s\n", target, name);
		return 0;
	}
	if (asprintf(&to, "%s%s", w->to, name) < 0) {
		to = NULL;
		return fault(w, f->fts_path, ENOMEM);
	}
	return symlink(target, to) < 0 ? fault(w, to, errno) : 0;
}

static int take_folder(struct walk *w, const FTSENT *f, const char *name)
{
	auto_free char *to = NULL;

	if (!w->to) {
		buf_printf(&w->lines, "d %s\n", name);
		return 0;
	}
	if (asprintf(&to, "%s%s", w->to, name) < 0) {
		to = NULL;
		return fault(w, f->fts_path, ENOMEM);
	}
	/* its top is there */
	if ((mkdir(to, 0755) < 0 && errno != EEXIST) || chmod(to, 0755) < 0)
		return fault(w, to, errno);
	return 0;
}

static int take_entry(struct walk *w, const FTSENT *f)
{
	const char *name = f->fts_path + strlen(w->from);

	if (++w->files > LIMIT_CODE_FILES)
		return err_set(w->e, ERR_INVALID_PARAMETER, EFBIG, "code %s: more than %d files",
			       w->from, LIMIT_CODE_FILES);
	switch (f->fts_info) {
	case FTS_F:
		return take_file(w, f, name);
	case FTS_SL:
	case FTS_SLNONE:
		return take_link(w, f, name);
	case FTS_D:
		return take_folder(w, f, name);
	case FTS_DP:
		return 0;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return fault(w, f->fts_path, f->fts_errno);
	default:
		return err_set(w->e, ERR_INVALID_PARAMETER, EINVAL,
			       "code %s: neither file, folder nor link", f->fts_path);
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int walk(struct walk *w)
{
	char *paths[] = { (char *)w->from, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	FTSENT *f;
	int r = 0;

	if (!fts)
		return fault(w, w->from, errno);
	w->bytes = w->files = 0;
	while (!r && (f = fts_read(fts)))
		r = take_entry(w, f);
	fts_close(fts);
	return r;
}

static int digest_folder(const char *from, char ret[65], struct err *e)
{
	struct walk w = { .from = from, .e = e };
	int r = walk(&w);

	if (!r && w.lines.failed)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (!r)
		sha256_hex(buf_str(&w.lines), w.lines.len, ret);
	buf_done(&w.lines);
	return r;
}

static int digest_zip(const char *from, char ret[65], struct err *e)
{
	auto_free char *data = NULL;
	size_t size;
	int r = read_file(from, LIMIT_CODE, &data, &size);

	if (r < 0)
		return err_set(e, ERR_INVALID_PARAMETER, -r, "code %s: %s", from, strerror(-r));
	sha256_hex(data, size, ret);
	return 0;
}

/* "dir": made by this, empty */
static int copy(const char *from, const char *dir, bool folder, const char *digest, struct err *e)
{
	struct walk w = { .from = from, .to = dir, .e = e };
	char again[65];
	int r;

	if (!folder) {
		r = archive_unpack(from, dir, LIMIT_CODE, LIMIT_CODE_FILES, e);
		return r < 0 ? err_wrap(e, "code") : 0;
	}
	r = walk(&w);
	/* what was copied is what was digested, or it changed in between */
	if (!r)
		r = digest_folder(dir, again, e);
	if (!r && strcmp(again, digest) != 0)
		r = fault(&w, from, EAGAIN);
	return r;
}

char *code_place(const char *state, const char *digest)
{
	char *path;

	return asprintf(&path, "%s/" FOLDER "/%s", state, digest) < 0 ? NULL : path;
}

int code_folder(const char *state, struct err *e)
{
	auto_free char *all = code_place(state, "");
	int r = all ? mkdir_p(all, 0755) : -ENOMEM;

	return r < 0 ? err_set(e, ERR_STATE, -r, "%s/" FOLDER ": %s", state, strerror(-r)) : 0;
}

int code_aside(const char *place, int mode, char **ret, struct err *e)
{
	auto_free char *part = NULL;
	int r;

	if (asprintf(&part, "%s.part", place) < 0) {
		part = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = rm_rf(part);
	if (!r && mkdir(part, (mode_t)mode) < 0)
		r = -errno;
	if (r < 0)
		return err_set(e, ERR_STATE, -r, "%s: %s", part, strerror(-r));
	*ret = steal_ptr(&part);
	return 0;
}

int code_settle(const char *part, const char *place, int r, struct err *e)
{
	if (!r && rename(part, place) < 0)
		r = err_set(e, ERR_STATE, errno, "%s: %s", place, strerror(errno));
	if (r < 0)
		(void)rm_rf(part); /* or by the next attempt */
	return r;
}

static int make_copy(const char *state, const char *from, bool folder, const char *digest,
		     struct err *e)
{
	auto_free char *done = code_place(state, digest), *part = NULL;
	int r;

	if (!done)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (access(done, F_OK) == 0)
		return 0;
	r = code_folder(state, e);
	if (!r)
		r = code_aside(done, 0755, &part, e);
	return r ? r : code_settle(part, done, copy(from, part, folder, digest, e), e);
}

int code_path(const char *base, const char *path, char **ret, struct err *e)
{
	auto_free char *whole = NULL;

	if (path[0] != '/' && (!base || base[0] != '/'))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "code %s: a relative path, and "
			       "the request names no folder (header Vpclab-Base)",
			       path);
	if (asprintf(&whole, "%s%s%s", path[0] == '/' ? "" : base, path[0] == '/' ? "" : "/",
		     path) < 0) {
		whole = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*ret = realpath(whole, NULL);
	return *ret ? 0 :
		      err_set(e, ERR_INVALID_PARAMETER, errno, "code %s: %s", whole,
			      strerror(errno));
}

int code_take(const char *state, const char *base, const char *path, char ret[65], struct err *e)
{
	auto_free char *from = NULL;
	struct stat st;
	bool folder;
	int r = code_path(base, path, &from, e);

	if (r < 0)
		return r;
	if (stat(from, &st) < 0)
		return err_set(e, ERR_INVALID_PARAMETER, errno, "code %s: %s", from,
			       strerror(errno));
	folder = S_ISDIR(st.st_mode);
	if (!folder && !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "code %s: neither a folder nor a "
			       ".zip file",
			       from);
	if (!folder && st.st_size > LIMIT_ZIP && !MUTANT("zip-size"))
		return err_set(e, ERR_INVALID_PARAMETER, EFBIG,
			       "code %s: it has %lld bytes (allowed: %d, AWS's limit of a direct "
			       "upload; as a folder: %d)",
			       from, (long long)st.st_size, LIMIT_ZIP, LIMIT_CODE);
	r = folder ? digest_folder(from, ret, e) : digest_zip(from, ret, e);
	return r ? r : make_copy(state, from, folder, ret, e);
}

int code_bytes(const char *state, const char *digest, uint64_t *ret)
{
	auto_free char *path = code_place(state, digest);
	char *paths[] = { path, NULL };
	FTSENT *f;
	FTS *fts;

	*ret = 0;
	if (!path)
		return -ENOMEM;
	fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!fts)
		return -errno;
	errno = 0;
	while ((f = fts_read(fts)))
		if (f->fts_info == FTS_F)
			*ret += (uint64_t)f->fts_statp->st_size;
	fts_close(fts);
	return 0;
}

void code_sweep(const char *state, int (*is_used)(const char *digest, void *arg), void *arg)
{
	auto_free char *all = code_place(state, "");
	DIR *dir = all ? opendir(all) : NULL;
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		auto_free char *path = NULL;

		if (d->d_name[0] == '.' || is_used(d->d_name, arg))
			continue;
		if (asprintf(&path, "%s/%s", all, d->d_name) < 0)
			path = NULL;
		if (path)
			(void)rm_rf(path); /* the next sweep tries again */
	}
	if (dir)
		closedir(dir);
	if (all)
		(void)rmdir(all); /* only if nothing is left in it */
}
