/* SPDX-License-Identifier: MIT */
/*
 * util - cleanup attributes, time as a type, digests (digest.c), small checked helpers.
 */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void auto_close_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void auto_free_fn(void *p)
{
	free(*(void **)p);
}
static inline void auto_fclose_fn(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define auto_close __attribute__((cleanup(auto_close_fn)))
#define auto_free __attribute__((cleanup(auto_free_fn)))
#define auto_fclose __attribute__((cleanup(auto_fclose_fn)))

static inline int steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}
static inline void *steal_ptr_(void *pp)
{
	void *r = *(void **)pp;

	*(void **)pp = NULL;
	return r;
}
#define steal_ptr(pp) ((__typeof__(*(pp)))steal_ptr_(pp))

/* CLOCK_MONOTONIC, nanoseconds: never a bare integer in interfaces */
struct mono {
	int64_t ns;
};
struct mono mono_now(void);
double mono_ms_since(struct mono start); /* milliseconds, fractional */
int64_t wall_ms(void);			 /* wall clock, for stamps only */

/* parses a decimal integer that fills "s" wholly; 0, -EINVAL or -ERANGE */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* SHA-256 by libcrypto; "ret" takes 32 bytes / 64 hex characters and NUL */
void sha256(const void *data, size_t size, uint8_t ret[32]);
/* of a file, however large; 0 or -errno */
int sha256_file(const char *path, char ret[65]);
void sha256_hex(const void *data, size_t size, char ret[65]);
void hex32(const uint8_t d[32], char ret[65]); /* lower case */
/* with padding; caller frees, NULL without memory */
char *base64(const void *data, size_t size);
/* the other way; NUL-terminated, caller frees; NULL: no base64, or no memory */
char *base64_decode(const char *s, size_t size, size_t *ret_size);
/* "ret" may be "key" or "data" */
void hmac_sha256(const void *key, size_t n_key, const void *data, size_t size, uint8_t ret[32]);
/* XXH3: quick, and no protection from who chooses the data */
uint64_t hash64(const void *data, size_t size, uint64_t seed);
void hash128(const void *data, size_t size, uint64_t seed, uint64_t ret[2]);
/* "n" (<= 64) first hex characters of the digest of the printed text, and NUL */
void hash_hex(char *ret, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* a random UUID, version 4 */
void uuid4(char ret[37]);

/* reads a whole file (or pipe; <= "max" bytes); result is NUL-terminated,
 * caller frees; -EFBIG past "max", -EAGAIN when it changed while it was read */
int read_file(const char *path, size_t max, char **ret, size_t *ret_size);
int read_fd(int fd, size_t max, char **ret, size_t *ret_size);
/* write, fsync, rename: the file has the old or the new content, never a part */
int write_file_atomic(const char *path, const void *data, size_t size, int mode);
int write_all(int fd, const void *data, size_t size);
int mkdir_p(const char *path, int mode);
/* a file or a tree, gone or not there: 0; never enters a mount, never follows a link, and
 * no depth of folders is too much for it */
int rm_rf(const char *path);

#endif
