/* SPDX-License-Identifier: MIT */
/* async_policy - see async_policy.h */
#include "sandbox/async_policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/invoke.h"

#define RETRY_MS 60000	       /* after the first attempt, twice that after the second (AS-1) */
#define BACKOFF_FIRST_MS 1000  /* AS-2 */
#define BACKOFF_LAST_MS 300000 /* AS-2 */
#define LETTER_MESSAGE_MAX 1024

/* AWS's milliseconds on this lab's clock */
static int64_t scaled(double ms, const struct async_limits *l)
{
	double real = ms / l->time_scale;

	return real < 1 ? 1 : (int64_t)real;
}

static int64_t backoff_ms(unsigned waits)
{
	int64_t ms = BACKOFF_FIRST_MS;

	while (--waits && ms < BACKOFF_LAST_MS)
		ms *= 2;
	return ms < BACKOFF_LAST_MS ? ms : BACKOFF_LAST_MS;
}

enum async_verdict async_judge(const struct async_event *v, const struct async_limits *l,
			       enum async_outcome o, int64_t now_ms, int64_t *ret_ms)
{
	int64_t delay;

	if (o == ASYNC_SUCCESS)
		return ASYNC_DONE;
	if (o == ASYNC_ZERO)
		return ASYNC_REFUSED;
	if (o == ASYNC_FUNCTION_ERROR && v->attempts > l->retries && !MUTANT("async-retries"))
		return ASYNC_EXHAUSTED;
	delay = o == ASYNC_NOT_NOW	   ? backoff_ms(v->waits ? v->waits : 1) :
		MUTANT("async-first-wait") ? 2 * RETRY_MS :
					     RETRY_MS * (v->attempts > 1 ? 2 : 1);
	*ret_ms = now_ms + scaled((double)delay, l);
	/* it would be too old by then */
	if (*ret_ms - v->accepted_ms > scaled(l->age_s * 1000.0, l) && !MUTANT("async-age"))
		return ASYNC_TOO_OLD;
	return ASYNC_AGAIN;
}

const char *async_condition(enum async_verdict v)
{
	static const char *const names[] = {
		[ASYNC_AGAIN] = NULL,
		[ASYNC_DONE] = "Success",
		[ASYNC_EXHAUSTED] = "RetriesExhausted",
		[ASYNC_TOO_OLD] = "EventAgeExceeded",
		[ASYNC_REFUSED] = "ZeroReservedConcurrency",
	};

	return names[v];
}

bool async_is_doubled(double rate, uint64_t n)
{
	return (uint64_t)(rate * (double)n) > (uint64_t)(rate * (double)(n - 1));
}

/* ---- documents ---- */

void async_put_json(struct buf *b, const char *text, size_t size)
{
	const char *why, *end = text + size, *from;

	if (!size) {
		buf_adds(b, "null");
		return;
	}
	if (!invoke_is_json(text, size, &why)) {
		auto_free char *copy = strndup(text, size);

		if (copy)
			buf_json(b, copy);
		else
			b->failed = true;
		return;
	}
	/* no string of JSON holds a line's end: what there is lies between values */
	while (text < end) {
		for (from = text; text < end && *text != '\n' && *text != '\r'; text++)
			;
		buf_add(b, from, (size_t)(text - from));
		while (text < end && (*text == '\n' || *text == '\r'))
			text++;
	}
}

static void put_time(struct buf *b, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&s, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(b, "\"%s.%03dZ\"", text, (int)(ms % 1000));
}

void async_put_record(struct buf *b, const struct async_record *r)
{
	buf_adds(b, "{\"version\":\"1.0\",\"timestamp\":");
	put_time(b, r->now_ms);
	buf_adds(b, ",\"requestContext\":{\"requestId\":");
	buf_json(b, r->id);
	buf_adds(b, ",\"functionArn\":");
	buf_json(b, r->arn);
	buf_printf(b, ",\"condition\":\"%s\",\"approximateInvokeCount\":%u},\"requestPayload\":",
		   async_condition(r->verdict), r->attempts);
	async_put_json(b, r->payload, r->size);
	if (r->has_response) {
		buf_printf(b,
			   ",\"responseContext\":{\"statusCode\":200,"
			   "\"executedVersion\":\"%s\"%s},\"responsePayload\":",
			   r->version, r->failed ? ",\"functionError\":\"Unhandled\"" : "");
		async_put_json(b, r->response, r->response_size);
	}
	buf_adds(b, "}");
}

void async_letter(struct async_letter *ret, const struct async_record *r)
{
	auto_json cJSON *o =
		r->response_size ? json_parse(r->response, r->response_size, NULL) : NULL;

	*ret = (struct async_letter){ .id = r->id, .code = r->has_response ? 200 : 429 };
	(void)snprintf(ret->message, LETTER_MESSAGE_MAX + 1, "%s",
		       json_str(o, "errorMessage", r->has_response ? "" : "Rate Exceeded."));
}

void async_put_letter(struct buf *b, const struct async_letter *l, const char *payload, size_t size)
{
	buf_adds(b, "{\"attributes\":{\"RequestID\":");
	buf_json(b, l->id);
	buf_printf(b, ",\"ErrorCode\":%d,\"ErrorMessage\":", l->code);
	buf_json(b, l->message);
	buf_adds(b, "},\"message\":");
	async_put_json(b, payload, size);
	buf_adds(b, "}");
}

static void put_escaped(struct buf *b, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (isalnum(c) || (c && strchr("-_.~", c)))
			buf_add(b, text + i, 1);
		else
			buf_printf(b, "%%%02X", c);
	}
}

static void put_field(struct buf *b, const char *name, const char *text, size_t size)
{
	buf_printf(b, "&%s=", name);
	put_escaped(b, text, size);
}

/* "prefix": as each of the two calls names them */
static void put_attributes(struct buf *b, const char *prefix, const struct async_letter *l)
{
	char code[16];
	struct {
		const char *name, *type, *value;
	} all[] = {
		{ "RequestID", "String", l->id },
		{ "ErrorCode", "Number", code },
		/* an attribute is never empty */
		{ "ErrorMessage", "String", *l->message ? l->message : " " },
	};

	(void)snprintf(code, sizeof(code), "%d", l->code);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		buf_printf(b, "&%s.%zu.Name=%s&%s.%zu.Value.DataType=%s", prefix, i + 1,
			   all[i].name, prefix, i + 1, all[i].type);
		buf_printf(b, "&%s.%zu.Value.StringValue=", prefix, i + 1);
		put_escaped(b, all[i].value, strlen(all[i].value));
	}
}

void async_put_sqs(struct buf *b, const char *url, const char *message, size_t size,
		   const struct async_letter *letter)
{
	buf_adds(b, "Action=SendMessage&Version=2012-11-05");
	put_field(b, "QueueUrl", url, strlen(url));
	put_field(b, "MessageBody", message, size);
	if (letter)
		put_attributes(b, "MessageAttribute", letter);
}

void async_put_sns(struct buf *b, const char *arn, const char *message, size_t size,
		   const struct async_letter *letter)
{
	buf_adds(b, "Action=Publish&Version=2010-03-31");
	put_field(b, "TopicArn", arn, strlen(arn));
	put_field(b, "Message", message, size);
	if (letter)
		put_attributes(b, "MessageAttributes.entry", letter);
}
