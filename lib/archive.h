/* SPDX-License-Identifier: MIT */
/*
 * archive - unpacking a zip file (libarchive), the way untrusted ones must be:
 * no absolute paths, no "..", nothing through symbolic links, bounded in bytes
 * and files.
 */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/* "zip" (an absolute path) into the folder "dir" (there, empty); files become root's, 0644 or 0755.
 * ERR_INVALID_PARAMETER for a file that can't be unpacked or is past a limit */
int archive_unpack(const char *zip, const char *dir, uint64_t max_bytes, uint64_t max_files,
		   struct err *e);

#endif
