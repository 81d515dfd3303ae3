/* SPDX-License-Identifier: MIT */
/*
 * Tests of lib/sigv4.c: the example of AWS's own documentation, and what must not
 * pass: a request that was changed anywhere, another secret, region, service or day.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "lib/sigv4.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW 1440938160 /* 2015-08-30T12:36:00Z */
#define CREDENTIAL "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request"
#define SIGNATURE "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
#define AUTHORIZATION                             \
	"AWS4-HMAC-SHA256 Credential=" CREDENTIAL \
	", SignedHeaders=content-type;host;x-amz-date, Signature=" SIGNATURE

struct headers {
	const char *authorization, *host, *date, *type, *payload;
};

static const char *header(const char *name, void *arg)
{
	const struct headers *h = arg;

	if (!strcasecmp(name, "authorization"))
		return h->authorization;
	if (!strcasecmp(name, "host"))
		return h->host;
	if (!strcasecmp(name, "x-amz-date"))
		return h->date;
	if (!strcasecmp(name, "x-amz-content-sha256"))
		return h->payload;
	return !strcasecmp(name, "content-type") ? h->type : NULL;
}

static struct headers good(void)
{
	return (struct headers){
		.authorization = AUTHORIZATION,
		.host = "iam.amazonaws.com",
		.date = "20150830T123600Z",
		.type = "application/x-www-form-urlencoded; charset=utf-8",
	};
}

static struct sigv4_request request(struct headers *h)
{
	return (struct sigv4_request){
		.method = "GET",
		.path = "/",
		.query = "Action=ListUsers&Version=2010-05-08",
		.header = header,
		.arg = h,
		.body = "",
	};
}

static int check(struct headers *h)
{
	struct sigv4_request q = request(h);

	return sigv4_check(&q, "us-east-1", "iam", SECRET, NOW);
}

static void aws_own_example(void **state)
{
	struct headers h = good();
	struct sigv4_request q = request(&h);
	char key[SIGV4_KEY_SIZE];

	(void)state;
	assert_int_equal(check(&h), SIGV4_OK);
	sigv4_key(&q, key);
	assert_string_equal(key, "AKIDEXAMPLE");
	/* in whichever order the parameters come, and however wide a value is written */
	q.query = "Version=2010-05-08&Action=ListUsers";
	h.type = "  application/x-www-form-urlencoded;   charset=utf-8 ";
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW), SIGV4_OK);
}

static void whatever_is_changed(void **state)
{
	struct headers h = good();
	struct sigv4_request q = request(&h);

	(void)state;
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET "x", NOW), SIGV4_MISMATCH);
	q.method = "POST";
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW), SIGV4_MISMATCH);
	q = request(&h);
	q.path = "/x";
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW), SIGV4_MISMATCH);
	q = request(&h);
	q.query = "Action=ListUsers";
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW), SIGV4_MISMATCH);
	q = request(&h);
	q.body = "x";
	q.size = 1;
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW), SIGV4_MISMATCH);
	h.host = "iam.amazonaws.org";
	assert_int_equal(check(&h), SIGV4_MISMATCH);
	h = good();
	h.payload = "00";
	assert_int_equal(check(&h), SIGV4_MISMATCH);
}

static void scope_and_time(void **state)
{
	struct headers h = good();
	struct sigv4_request q = request(&h);

	(void)state;
	assert_int_equal(sigv4_check(&q, "eu-west-1", "iam", SECRET, NOW), SIGV4_SCOPE);
	assert_int_equal(sigv4_check(&q, "us-east-1", "lambda", SECRET, NOW), SIGV4_SCOPE);
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW + SIGV4_SKEW_S), SIGV4_OK);
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW + SIGV4_SKEW_S + 1),
			 SIGV4_EXPIRED);
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW - SIGV4_SKEW_S - 1),
			 SIGV4_EXPIRED);
	/* the day of the credential is the date's */
	h.date = "20150831T123600Z";
	assert_int_equal(sigv4_check(&q, "us-east-1", "iam", SECRET, NOW + 86400), SIGV4_MALFORMED);
}

static void what_is_no_signature(void **state)
{
	static const char *const wrong[] = {
		"",
		"Bearer x",
		"AWS4-HMAC-SHA256",
		"AWS4-HMAC-SHA256 Credential=a",
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam, "
		"SignedHeaders=host;x-amz-date, Signature=" SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=" CREDENTIAL
		", SignedHeaders=host;x-amz-date, Signature=00",
		/* what must be signed isn't, or what is signed isn't there */
		"AWS4-HMAC-SHA256 Credential=" CREDENTIAL
		", SignedHeaders=host, Signature=" SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=" CREDENTIAL
		", SignedHeaders=x-amz-date, Signature=" SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=" CREDENTIAL
		", SignedHeaders=host;x-amz-date;x-none, Signature=" SIGNATURE,
	};
	struct headers h = good();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		h.authorization = wrong[i];
		if (check(&h) != SIGV4_MALFORMED)
			fail_msg("%s", wrong[i]);
	}
	h = good();
	h.date = NULL;
	assert_int_equal(check(&h), SIGV4_MALFORMED);
	h.date = "20150830T1236";
	assert_int_equal(check(&h), SIGV4_MALFORMED);
	h.authorization = NULL;
	assert_int_equal(check(&h), SIGV4_NONE);
}

static void secrets_differ(void **state)
{
	char a[SIGV4_SECRET_SIZE], b[SIGV4_SECRET_SIZE], c[SIGV4_SECRET_SIZE];

	(void)state;
	sigv4_secret("key", 3, "shop 1", a);
	sigv4_secret("key", 3, "shop 1", b);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), SIGV4_SECRET_SIZE - 1);
	sigv4_secret("key", 3, "shop 2", c);
	assert_string_not_equal(a, c);
	sigv4_secret("kez", 3, "shop 1", c);
	assert_string_not_equal(a, c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aws_own_example), cmocka_unit_test(whatever_is_changed),
		cmocka_unit_test(scope_and_time),  cmocka_unit_test(what_is_no_signature),
		cmocka_unit_test(secrets_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
