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
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

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
	    archive_read_open_filename(u->in, u->zip, BLOCK_SIZE) != ARCHIVE_OK)
		return fault(u, "open", u->in);
	if (archive_write_disk_set_options(
		    u->out, ARCHIVE_EXTRACT_PERM | (MUTANT("zip-paths") ? 0 : SECURE)) < ARCHIVE_OK)
		return fault(u, "set up", u->out);
	return unpack_all(u);
}

int archive_unpack(const char *zip, const char *dir, uint64_t max_bytes, uint64_t max_files,
		   struct err *e)
{
	struct unpacking u = {
		.in = archive_read_new(),
		.out = archive_write_disk_new(),
		.zip = zip,
		.left = max_bytes,
		.files_left = max_files,
		.e = e,
	};
	/* paths are relative to the folder: the library's check for links goes over every
	 * part of a path, and a folder above it may well be reached by one */
	auto_close int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (!u.in || !u.out)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (back < 0 || chdir(dir) < 0)
		r = err_set(e, ERR_STATE, errno, "%s: %s", dir, strerror(errno));
	else
		r = run(&u);
	if (back >= 0 && fchdir(back) < 0 && !r)
		r = err_set(e, ERR_STATE, errno, "go back from %s: %s", dir, strerror(errno));
	if (u.in)
		archive_read_free(u.in);
	if (u.out)
		archive_write_free(u.out);
	return r;
}
