/* SPDX-License-Identifier: MIT */
/*
 * sigv4 - is a request signed as AWS Signature Version 4 asks, in its Authorization
 * header?  Pure: it knows requests as text and no socket.  What is checked: the form
 * of the credential, that host and date are signed, the date, the payload's digest
 * and the signature (compared in constant time).  Not taken: presigned queries and
 * chunked signatures, which clients of Lambda don't send.
 */
#ifndef SIGV4_H
#define SIGV4_H

#include <stddef.h>
#include <stdint.h>

#define SIGV4_SKEW_S 900     /* s that a request's clock may differ from ours */
#define SIGV4_KEY_SIZE 130   /* of an access key id, with its NUL */
#define SIGV4_SECRET_SIZE 41 /* of a secret that sigv4_secret() makes, with its NUL */
#define SIGV4_HEADERS_MAX 64 /* that one request may sign */

enum sigv4_result {
	SIGV4_OK,
	SIGV4_NONE,	 /* the request isn't signed at all */
	SIGV4_MALFORMED, /* the Authorization header, or what it needs, is no signature */
	SIGV4_EXPIRED,	 /* its date is too far from now */
	SIGV4_SCOPE,	 /* signed for another region or service */
	SIGV4_MISMATCH	 /* another secret, or the request was changed on its way */
};

/* a header's value, NULL: absent */
typedef const char *(*sigv4_header_fn)(const char *name, void *arg);

/* a request as it was sent; all borrow */
struct sigv4_request {
	const char *method;
	const char *path;  /* still percent-encoded */
	const char *query; /* still percent-encoded, without '?'; "" */
	sigv4_header_fn header;
	void *arg;
	const void *body;
	size_t size;
};

/*
 * sigv4_key() - the access key id that a request says it is signed with, "" if it
 * isn't signed.  Nothing of it is proven yet.
 */
void sigv4_key(const struct sigv4_request *q, char ret[SIGV4_KEY_SIZE]);
/*
 * sigv4_check() - "region", "service": what it must be signed for; "secret": of its
 * key; "now_s": seconds since the epoch.  -ENOMEM besides an enum sigv4_result.
 */
int sigv4_check(const struct sigv4_request *q, const char *region, const char *service,
		const char *secret, int64_t now_s);
/* a secret of 40 letters and digits, from the "key" of whoever gives it out and what
 * it is for; the same for the same */
void sigv4_secret(const void *key, size_t size, const char *what, char ret[SIGV4_SECRET_SIZE]);

#endif
