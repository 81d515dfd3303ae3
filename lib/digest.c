/* SPDX-License-Identifier: MIT */
/*
 * digest - SHA-256 by libcrypto, XXH3 by libxxhash (util.h); apart from util.c, so that the static
 * init of sandboxes doesn't carry a library along that it never calls.
 */
#include "lib/util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/fmt.h"

void sha256(const void *data, size_t size, uint8_t ret[32])
{
	SHA256(data, size, ret);
}

void hex32(const uint8_t d[32], char ret[65])
{
	for (size_t i = 0; i < 32; i++) {
		ret[2 * i] = "0123456789abcdef"[d[i] >> 4];
		ret[2 * i + 1] = "0123456789abcdef"[d[i] & 15];
	}
	ret[64] = 0;
}

void sha256_hex(const void *data, size_t size, char ret[65])
{
	uint8_t d[32];

	sha256(data, size, d);
	hex32(d, ret);
}

int sha256_file(const char *path, char ret[65])
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t block[65536], d[32];
	ssize_t n = -1;
	int r = fd < 0 ? -errno : 0;

	if (!r && (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)))
		r = -ENOMEM;
	while (!r && (n = read(fd, block, sizeof(block))) > 0)
		if (!EVP_DigestUpdate(ctx, block, (size_t)n))
			r = -ENOMEM;
	if (!r && n < 0)
		r = -errno;
	if (!r && !EVP_DigestFinal_ex(ctx, d, NULL))
		r = -ENOMEM;
	EVP_MD_CTX_free(ctx);
	if (!r)
		hex32(d, ret);
	return r;
}

void hmac_sha256(const void *key, size_t n_key, const void *data, size_t size, uint8_t ret[32])
{
	uint8_t d[32];
	unsigned n = sizeof(d);

	/* fails only for lengths that no key of ours has */
	HMAC(EVP_sha256(), key, (int)n_key, data, size, d, &n);
	memcpy(ret, d, sizeof(d));
}

char *base64(const void *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = malloc(size / 3 * 4 + 5), *o = out;
	const unsigned char *s = data;
	size_t i;

	if (!out)
		return NULL;
	for (i = 0; i < size; i += 3) {
		unsigned v = (unsigned)s[i] << 16;

		if (i + 1 < size)
			v |= (unsigned)s[i + 1] << 8;
		if (i + 2 < size)
			v |= s[i + 2];
		*o++ = digits[v >> 18];
		*o++ = digits[v >> 12 & 63];
		*o++ = i + 1 < size ? digits[v >> 6 & 63] : '=';
		*o++ = i + 2 < size ? digits[v & 63] : '=';
	}
	*o = '\0';
	return out;
}

char *base64_decode(const char *s, size_t size, size_t *ret_size)
{
	unsigned char *out;
	int n;

	if (size % 4 || size > INT_MAX)
		return NULL;
	out = malloc(size / 4 * 3 + 1);
	if (!out)
		return NULL;
	n = size ? EVP_DecodeBlock(out, (const unsigned char *)s, (int)size) : 0;
	if (n < 0) {
		free(out);
		return NULL;
	}
	/* padding was decoded, too */
	if (size && s[size - 1] == '=')
		n -= s[size - 2] == '=' ? 2 : 1;
	out[n] = '\0';
	*ret_size = (size_t)n;
	return (char *)out;
}

uint64_t hash64(const void *data, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, size, seed);
}

void hash128(const void *data, size_t size, uint64_t seed, uint64_t ret[2])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(data, size, seed);

	ret[0] = h.high64;
	ret[1] = h.low64;
}

void hash_hex(char *ret, size_t n, const char *fmt, ...)
{
	char text[1024], hex[65], *big = NULL;
	va_list ap, again;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len >= (int)sizeof(text)) {
		big = malloc((size_t)len + 1);
		if (big)
			fmt_vprint(big, (size_t)len + 1, fmt, again);
		else
			len = sizeof(text) - 1;
	}
	va_end(again);
	sha256_hex(big ? big : text, len < 0 ? 0 : (size_t)len, hex);
	free(big);
	memcpy(ret, hex, n);
	ret[n] = 0;
}
