/* SPDX-License-Identifier: MIT */
/*
 * archive - unpacking a zip file or tar archive (libarchive), the way untrusted ones must be:
 * no absolute paths, no "..", nothing through symbolic links, bounded in bytes
 * and files.
 */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/*
 * archive_unpack() - "zip" (an absolute path; a zip file or a tar archive) into the folder
 * "dir" (there, empty); files become root's, 0644 or 0755.
 * ERR_INVALID_PARAMETER for a file that can't be unpacked or is past a limit.
 */
int archive_unpack(const char *zip, const char *dir, uint64_t max_bytes, uint64_t max_files,
		   struct err *e);

/*
 * archive_unpack_layer() - a layer of a container image (a tar archive, plain, gzip or zstd)
 * into "dir" (there, empty), in overlayfs' words: ".wh.NAME" becomes a character device 0:0
 * and ".wh..wh..opq" an attribute of its folder.  Devices, sockets and pipes are left out;
 * files become root's, without special bits.  "left": bytes that may be unpacked, counted
 * down.  Errors as above; ERR_HOST where the file system can't hold whiteouts.
 */
int archive_unpack_layer(const char *tar, const char *dir, uint64_t *left, uint64_t max_files,
			 struct err *e);

#endif
