/* SPDX-License-Identifier: MIT */
/*
 * async_policy - what becomes of an event (AS-1, AS-2, AS-7), and the documents that tell of it
 * (AS-4, AS-6).  Pure: times are the caller's, in milliseconds of the wall clock.
 */
#ifndef ASYNC_POLICY_H
#define ASYNC_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

/* how an attempt went */
enum async_outcome {
	ASYNC_SUCCESS,
	ASYNC_FUNCTION_ERROR, /* counts as an attempt */
	ASYNC_NOT_NOW,	      /* throttled, or a fault of ours: only the age ends it */
	ASYNC_ZERO	      /* reserved concurrency is 0 */
};

enum async_verdict {
	ASYNC_AGAIN,
	ASYNC_DONE,	 /* condition Success */
	ASYNC_EXHAUSTED, /* RetriesExhausted */
	ASYNC_TOO_OLD,	 /* EventAgeExceeded */
	ASYNC_REFUSED	 /* ZeroReservedConcurrency */
};

struct async_event {
	int64_t accepted_ms;
	unsigned attempts; /* that ended, with the one just made */
	unsigned waits;	   /* ASYNC_NOT_NOW in a row, with this one */
};

struct async_limits {
	unsigned retries; /* after a function error */
	unsigned age_s;	  /* of AWS's time */
	double time_scale;
};

/* what is to be done; ASYNC_AGAIN: at "ret_ms" */
enum async_verdict async_judge(const struct async_event *v, const struct async_limits *l,
			       enum async_outcome o, int64_t now_ms, int64_t *ret_ms);
/* AWS's name of what a record tells; NULL for ASYNC_AGAIN */
const char *async_condition(enum async_verdict v);
/* is it the "rate"'s turn?  "n" counts events from 1: of any number of events as many are doubled
 * as the rate says */
bool async_is_doubled(double rate, uint64_t n);

struct async_record {
	const char *id, *arn, *version;
	enum async_verdict verdict;
	unsigned attempts;
	int64_t now_ms;
	const char *payload; /* JSON */
	size_t size;
	bool has_response;
	bool failed;	      /* the response is a function error */
	const char *response; /* NULL, or whatever the function said */
	size_t response_size;
};

/* AS-4: the record for a destination, on one line */
void async_put_record(struct buf *b, const struct async_record *r);
/* JSON on one line; what isn't JSON becomes a string, nothing null */
void async_put_json(struct buf *b, const char *text, size_t size);

struct async_letter { /* AS-6: attributes of a dead letter */
	const char *id;
	int code;
	char message[1025];
};
void async_letter(struct async_letter *ret, const struct async_record *r);
/* ours for files: {"attributes": {...}, "message": EVENT} */
void async_put_letter(struct buf *b, const struct async_letter *l, const char *payload,
		      size_t size);
/* bodies of SQS's SendMessage and SNS's Publish; "letter" NULL: no attributes */
void async_put_sqs(struct buf *b, const char *url, const char *message, size_t size,
		   const struct async_letter *letter);
void async_put_sns(struct buf *b, const char *arn, const char *message, size_t size,
		   const struct async_letter *letter);

#endif
