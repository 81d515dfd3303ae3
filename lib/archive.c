/* SPDX-License-Identifier: MIT */
/*
 * archive - see archive.h.  Bytes are counted while they are unpacked: what a
 * zip file says about itself is no limit.
 */
#include "lib/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define BLOCK_SIZE 65536
#define SECURE                                                               \
	(ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT | \
	 ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

struct unpacking {
	struct archive *in, *out;
	const char *zip; /* absolute */
	uint64_t left, files_left;
	struct err *e;
};

static int fault(const struct unpacking *u, const char *what, struct archive *a)
{
	const char *why = archive_error_string(a);

	return err_set(u->e, ERR_INVALID_PARAMETER, EBADMSG, "%s: %s: %s", u->zip, what,
		       why ? why : "unknown error");
}

static int too_large(const struct unpacking *u, const char *what)
{
	return err_set(u->e, ERR_INVALID_PARAMETER, EFBIG, "%s: %s", u->zip, what);
}

static int copy_blocks(struct unpacking *u)
{
	const void *block;
	size_t size;
	la_int64_t at;
	int r;

	while ((r = archive_read_data_block(u->in, &block, &size, &at)) == ARCHIVE_OK) {
		if (size > u->left)
			return too_large(u, "its unpacked size is past the limit");
		u->left -= size;
		if (archive_write_data_block(u->out, block, size, at) < ARCHIVE_OK)
			return fault(u, "unpack", u->out);
	}
	return r == ARCHIVE_EOF ? 0 : fault(u, "read", u->in);
}

/* below the folder, owned by root, without special bits */
static int clean_entry(const struct unpacking *u, struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);
	bool executable = archive_entry_perm(entry) & 0111;

	if (!name || !name[0] || (name[0] == '/' && !MUTANT("zip-paths")))
		return err_set(u->e, ERR_INVALID_PARAMETER, EINVAL, "%s: %s: not a path below it",
			       u->zip, name ? name : "?");
	if (archive_entry_filetype(entry) != AE_IFREG &&
	    archive_entry_filetype(entry) != AE_IFDIR && archive_entry_filetype(entry) != AE_IFLNK)
		return err_set(u->e, ERR_INVALID_PARAMETER, EINVAL,
			       "%s: %s: neither file, folder "
			       "nor link",
			       u->zip, name);
	if (archive_entry_hardlink(entry))
		return err_set(u->e, ERR_INVALID_PARAMETER, EINVAL, "%s: %s: a hard link", u->zip,
			       name);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_perm(
		entry, archive_entry_filetype(entry) == AE_IFDIR || executable ? 0755 : 0644);
	return 0;
}

static int unpack_all(struct unpacking *u)
{
	struct archive_entry *entry;
	int r;

	while ((r = archive_read_next_header(u->in, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (!u->files_left--)
			return too_large(u, "it has too many files");
		r = clean_entry(u, entry);
		if (r < 0)
			return r;
		if (archive_write_header(u->out, entry) < ARCHIVE_OK)
			return fault(u, "unpack", u->out);
		r = copy_blocks(u);
		if (r < 0)
			return r;
		if (archive_write_finish_entry(u->out) < ARCHIVE_OK)
			return fault(u, "unpack", u->out);
	}
	return r == ARCHIVE_EOF ? 0 : fault(u, "read", u->in);
}

static int run(struct unpacking *u)
{
	if (archive_read_support_format_zip(u->in) < ARCHIVE_OK ||
	    archive_read_support_format_tar(u->in) < ARCHIVE_OK ||
	    archive_read_open_filename(u->in, u->zip, BLOCK_SIZE) != ARCHIVE_OK)
		return fault(u, "open", u->in);
	if (archive_write_disk_set_options(
		    u->out, ARCHIVE_EXTRACT_PERM | (MUTANT("zip-paths") ? 0 : SECURE)) < ARCHIVE_OK)
		return fault(u, "set up", u->out);
	return unpack_all(u);
}

/* ---- layers of images ---- */

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

/* "./a/b/" and "/a/b" are "a/b"; NULL: it leads out of the layer */
static char *inside(const char *name)
{
	size_t len;
	char *s;

	while (!strncmp(name, "./", 2) || *name == '/')
		name += *name == '/' ? 1 : 2;
	if (!strcmp(name, "."))
		name++;
	len = strlen(name);
	if (!strcmp(name, "..") || !strncmp(name, "../", 3) || strstr(name, "/../") ||
	    (len > 2 && !strcmp(name + len - 3, "/..")))
		return NULL;
	s = strdup(name);
	while (s && len && s[len - 1] == '/')
		s[--len] = '\0';
	return s;
}

static int escapes(const struct unpacking *u, const char *name)
{
	return err_set(u->e, ERR_INVALID_PARAMETER, EINVAL, "%s: %s: not a path below it", u->zip,
		       name);
}

/* the folder is there and of this layer: the mark goes on it, wherever links lead */
static int make_opaque(const struct unpacking *u, const char *folder)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	auto_close int fd =
		(int)syscall(SYS_openat2, AT_FDCWD, *folder ? folder : ".", &how, sizeof(how));

	if (fd < 0)
		return err_set(u->e, ERR_INVALID_PARAMETER, errno, "%s: %s: %s", u->zip, folder,
			       strerror(errno));
	if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_set(u->e, ERR_HOST, errno,
			       "the state folder's file system can't hold whiteouts of images: %s",
			       strerror(errno));
	return 0;
}

static int add_opaque(struct buf *opaque, const char *name, const char *base)
{
	buf_add(opaque, name, base > name ? (size_t)(base - name - 1) : 0);
	buf_add(opaque, "", 1);
	return opaque->failed ? -ENOMEM : 0;
}

/* 1: to be unpacked, 0: left out */
static int layer_entry(const struct unpacking *u, struct archive_entry *entry, struct buf *opaque)
{
	const char *said = archive_entry_pathname(entry), *link = archive_entry_hardlink(entry);
	auto_free char *name = said ? inside(said) : NULL, *target = link ? inside(link) : NULL;
	char *base;

	if (!name || (link && !target))
		return escapes(u, name ? link : said ? said : "?");
	if (!*name)
		return 0; /* the root itself */
	base = strrchr(name, '/');
	base = base ? base + 1 : name;
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_perm(entry, archive_entry_perm(entry) & 0777);
	if (!strcmp(base, OPAQUE) && !MUTANT("image-opaque"))
		return add_opaque(opaque, name, base);
	if (!strncmp(base, WHITEOUT, strlen(WHITEOUT)) && !MUTANT("image-whiteout")) {
		memmove(base, base + strlen(WHITEOUT), strlen(base + strlen(WHITEOUT)) + 1);
		if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
			return escapes(u, said);
		archive_entry_set_filetype(entry, AE_IFCHR);
		archive_entry_set_rdev(entry, 0);
		archive_entry_set_size(entry, 0);
		archive_entry_set_pathname(entry, name);
		return 1;
	}
	archive_entry_set_pathname(entry, name);
	if (link) {
		archive_entry_set_hardlink(entry, target);
		return 1;
	}
	return archive_entry_filetype(entry) == AE_IFREG ||
	       archive_entry_filetype(entry) == AE_IFDIR ||
	       archive_entry_filetype(entry) == AE_IFLNK;
}

static int unpack_layer(struct unpacking *u)
{
	auto_buf struct buf opaque = BUF_INIT;
	struct archive_entry *entry;
	const char *folder;
	int r, keep;

	while ((r = archive_read_next_header(u->in, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (!u->files_left--)
			return too_large(u, "it has too many files");
		keep = layer_entry(u, entry, &opaque);
		if (keep < 0)
			return keep == -ENOMEM ?
				       err_set(u->e, ERR_INTERNAL, ENOMEM, "out of memory") :
				       keep;
		if (!keep)
			continue;
		if (archive_write_header(u->out, entry) < ARCHIVE_WARN)
			return fault(u, archive_entry_pathname(entry), u->out);
		if (archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry)) {
			r = copy_blocks(u);
			if (r < 0)
				return r;
		}
		if (archive_write_finish_entry(u->out) < ARCHIVE_WARN)
			return fault(u, "unpack", u->out);
	}
	if (r != ARCHIVE_EOF)
		return fault(u, "read", u->in);
	/* folders get their modes and times now; marks come last */
	if (archive_write_close(u->out) < ARCHIVE_WARN)
		return fault(u, "unpack", u->out);
	r = 0;
	for (folder = opaque.s; folder && folder < opaque.s + opaque.len && !r;
	     folder += strlen(folder) + 1)
		r = make_opaque(u, folder);
	return r;
}

static int run_layer(struct unpacking *u)
{
	if (archive_read_support_format_tar(u->in) < ARCHIVE_OK ||
	    archive_read_support_format_empty(u->in) < ARCHIVE_OK ||
	    archive_read_support_filter_gzip(u->in) < ARCHIVE_OK ||
	    archive_read_support_filter_zstd(u->in) < ARCHIVE_OK ||
	    archive_read_open_filename(u->in, u->zip, BLOCK_SIZE) != ARCHIVE_OK)
		return fault(u, "open", u->in);
	if (archive_write_disk_set_options(u->out, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_OWNER |
							   (MUTANT("image-paths") ? 0 : SECURE)) <
	    ARCHIVE_OK)
		return fault(u, "set up", u->out);
	return unpack_layer(u);
}

static int unpack_in(struct unpacking *u, const char *dir, int (*how)(struct unpacking *u))
{
	/* paths are relative to the folder: the library's check for links goes over every
	 * part of a path, and a folder above it may well be reached by one */
	auto_close int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	u->in = archive_read_new();
	u->out = archive_write_disk_new();
	if (!u->in || !u->out)
		r = err_set(u->e, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (back < 0 || chdir(dir) < 0)
		r = err_set(u->e, ERR_STATE, errno, "%s: %s", dir, strerror(errno));
	else
		r = how(u);
	/* what it still has to do, it does in the folder */
	if (u->in)
		archive_read_free(u->in);
	if (u->out)
		archive_write_free(u->out);
	if (back >= 0 && fchdir(back) < 0 && !r)
		r = err_set(u->e, ERR_STATE, errno, "go back from %s: %s", dir, strerror(errno));
	return r;
}

int archive_unpack_layer(const char *tar, const char *dir, uint64_t *left, uint64_t max_files,
			 struct err *e)
{
	struct unpacking u = { .zip = tar, .left = *left, .files_left = max_files, .e = e };
	int r = unpack_in(&u, dir, run_layer);

	*left = u.left;
	return r;
}

int archive_unpack(const char *zip, const char *dir, uint64_t max_bytes, uint64_t max_files,
		   struct err *e)
{
	struct unpacking u = { .zip = zip, .left = max_bytes, .files_left = max_files, .e = e };

	return unpack_in(&u, dir, run);
}
