/* SPDX-License-Identifier: MIT */
/*
 * sigv4 - see sigv4.h.  The steps and their names are AWS's: canonical request,
 * string to sign, signing key, signature.
 */
#include "lib/sigv4.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_LEN 16 /* 20260102T030405Z */
#define SIGNATURE_LEN 64

/* the parts of an Authorization header */
struct parts {
	char key[SIGV4_KEY_SIZE];
	char day[9], region[40], service[40];
	char names[2048]; /* signed headers, with ';' between them */
	char signature[SIGNATURE_LEN + 1];
};

/* ---- the Authorization header ---- */

/* copies up to one of "ends", which it returns; NULL: too long, or empty */
static const char *take(const char *s, const char *ends, char *ret, size_t size)
{
	size_t n = strcspn(s, ends);

	if (!n || n >= size)
		return NULL;
	memcpy(ret, s, n);
	ret[n] = '\0';
	return s + n;
}

static bool take_credential(const char *s, struct parts *p)
{
	char last[20];

	s = take(s, "/", p->key, sizeof(p->key));
	if (s && *s)
		s = take(s + 1, "/", p->day, sizeof(p->day));
	if (s && *s)
		s = take(s + 1, "/", p->region, sizeof(p->region));
	if (s && *s)
		s = take(s + 1, "/", p->service, sizeof(p->service));
	if (s && *s)
		s = take(s + 1, ", ", last, sizeof(last));
	return s && !strcmp(last, "aws4_request");
}

static const char *find(const char *header, const char *name)
{
	const char *at = strstr(header, name);

	return at ? at + strlen(name) : NULL;
}

static bool take_apart(const char *header, struct parts *p)
{
	const char *credential = find(header, "Credential=");
	const char *names = find(header, "SignedHeaders=");
	const char *signature = find(header, "Signature=");

	return !strncmp(header, ALGORITHM " ", strlen(ALGORITHM) + 1) && credential && names &&
	       signature && take_credential(credential, p) &&
	       take(names, ", ", p->names, sizeof(p->names)) &&
	       take(signature, ", ", p->signature, sizeof(p->signature)) &&
	       strlen(p->signature) == SIGNATURE_LEN;
}

void sigv4_key(const struct sigv4_request *q, char ret[SIGV4_KEY_SIZE])
{
	const char *header = q->header("Authorization", q->arg);
	const char *credential = header ? find(header, "Credential=") : NULL;

	if (!credential || !take(credential, "/, ", ret, SIGV4_KEY_SIZE))
		*ret = '\0';
}

/* ---- the canonical request ---- */

/* every service but S3 has the path encoded once more than it is sent */
static void add_path(struct buf *b, const char *path)
{
	static const char plain[] = "-._~/";

	for (; *path; path++)
		if (isalnum((unsigned char)*path) || strchr(plain, *path))
			buf_add(b, path, 1);
		else
			buf_printf(b, "%%%02X", (unsigned char)*path);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* by name; a name without a value gets an empty one */
static int add_query(struct buf *b, const char *query)
{
	auto_free char *text = strdup(query);
	char *list[64], *save = NULL, *one;
	size_t n = 0, i;

	if (!text)
		return -ENOMEM;
	for (one = strtok_r(text, "&", &save); one; one = strtok_r(NULL, "&", &save)) {
		if (n == ARRAY_SIZE(list))
			return -E2BIG;
		list[n++] = one;
	}
	qsort(list, n, sizeof(*list), by_text);
	for (i = 0; i < n; i++)
		buf_printf(b, "%s%s%s", i ? "&" : "", list[i], strchr(list[i], '=') ? "" : "=");
	return 0;
}

/* without spaces around it, and one for many inside */
static void add_value(struct buf *b, const char *value)
{
	bool space = false, any = false;

	for (; *value; value++) {
		if (*value == ' ' || *value == '\t') {
			space = any;
			continue;
		}
		if (space)
			buf_adds(b, " ");
		space = false;
		any = true;
		buf_add(b, value, 1);
	}
}

/* false: a header that is signed isn't there, or one that must be isn't signed */
static bool add_headers(struct buf *b, const struct sigv4_request *q, const struct parts *p)
{
	char names[sizeof(p->names)], *save = NULL, *name;
	bool host = false, date = false;
	size_t n = 0;

	memcpy(names, p->names, sizeof(names));
	for (name = strtok_r(names, ";", &save); name; name = strtok_r(NULL, ";", &save)) {
		const char *value = q->header(name, q->arg);

		if (!value || ++n > SIGV4_HEADERS_MAX)
			return false;
		host = host || !strcmp(name, "host");
		date = date || !strcmp(name, "x-amz-date") || !strcmp(name, "date");
		buf_printf(b, "%s:", name);
		add_value(b, value);
		buf_adds(b, "\n");
	}
	return host && date;
}

/* its digest; 0, an enum sigv4_result, -ENOMEM */
static int canonical(const struct sigv4_request *q, const struct parts *p, char ret[65])
{
	auto_buf struct buf b = BUF_INIT;
	const char *said = q->header("x-amz-content-sha256", q->arg);
	char payload[65];
	int r;

	sha256_hex(q->body, q->size, payload);
	if (said && strcmp(said, payload) != 0)
		return SIGV4_MISMATCH;
	buf_printf(&b, "%s\n", q->method);
	add_path(&b, q->path);
	buf_adds(&b, "\n");
	r = add_query(&b, q->query);
	if (r == -E2BIG)
		return SIGV4_MALFORMED;
	buf_adds(&b, "\n");
	if (!r && !add_headers(&b, q, p))
		return SIGV4_MALFORMED;
	buf_printf(&b, "\n%s\n%s", p->names, payload);
	if (r || buf_error(&b) < 0)
		return -ENOMEM;
	sha256_hex(buf_str(&b), b.len, ret);
	return 0;
}

/* ---- the signature ---- */

static void derive(const struct parts *p, const char *secret, const char *to_sign, char ret[65])
{
	const char *const steps[] = { p->day, p->region, p->service, "aws4_request", to_sign };
	char first[4 + 128];
	uint8_t d[32];
	size_t i;

	(void)snprintf(first, sizeof(first), "AWS4%s", secret);
	hmac_sha256(first, strlen(first), steps[0], strlen(steps[0]), d);
	for (i = 1; i < ARRAY_SIZE(steps); i++)
		hmac_sha256(d, sizeof(d), steps[i], strlen(steps[i]), d);
	hex32(d, ret);
}

/* how long it takes tells nothing about where they differ */
static bool is_equal(const char *a, const char *b, size_t n)
{
	unsigned char differs = 0;
	size_t i;

	for (i = 0; i < n; i++)
		differs |= (unsigned char)(a[i] ^ b[i]);
	return !differs;
}

/* "20260102T030405Z"; false: it isn't one */
static bool read_date(const char *s, int64_t *ret)
{
	struct tm tm = { 0 };
	const char *end;

	if (!s || strlen(s) != DATE_LEN)
		return false;
	end = strptime(s, "%Y%m%dT%H%M%SZ", &tm);
	if (!end || *end)
		return false;
	*ret = timegm(&tm);
	return true;
}

int sigv4_check(const struct sigv4_request *q, const char *region, const char *service,
		const char *secret, int64_t now_s)
{
	const char *header = q->header("Authorization", q->arg);
	const char *date = q->header("x-amz-date", q->arg);
	auto_buf struct buf to_sign = BUF_INIT;
	struct parts p = { 0 };
	char digest[65], signature[65];
	int64_t at = 0;
	int r;

	if (!header)
		return SIGV4_NONE;
	if (!take_apart(header, &p) || !read_date(date, &at) || strncmp(date, p.day, 8) != 0)
		return SIGV4_MALFORMED;
	if (strcmp(p.region, region) != 0 || strcmp(p.service, service) != 0)
		return SIGV4_SCOPE;
	if (at > now_s + SIGV4_SKEW_S || at < now_s - SIGV4_SKEW_S)
		return SIGV4_EXPIRED;
	r = canonical(q, &p, digest);
	if (r)
		return r;
	buf_printf(&to_sign, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", date, p.day, p.region,
		   p.service, digest);
	if (buf_error(&to_sign) < 0)
		return -ENOMEM;
	derive(&p, secret, buf_str(&to_sign), signature);
	if (!is_equal(signature, p.signature, SIGNATURE_LEN) && !MUTANT("sigv4"))
		return SIGV4_MISMATCH;
	return SIGV4_OK;
}

void sigv4_secret(const void *key, size_t size, const char *what, char ret[SIGV4_SECRET_SIZE])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t d[64];
	size_t i;

	hmac_sha256(key, size, what, strlen(what), d);
	hmac_sha256(key, size, d, 32, d + 32);
	for (i = 0; i < SIGV4_SECRET_SIZE - 1; i++)
		ret[i] = digits[d[i] % (sizeof(digits) - 1)];
	ret[i] = '\0';
}
