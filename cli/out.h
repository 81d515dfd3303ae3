/* SPDX-License-Identifier: MIT */
/*
 * out - the manners of the command line: results to standard output; errors as
 * "vpclab: what: why", warnings and progress to standard error.  With -o json a
 * failure is one JSON document there, and warnings are left to the result.
 * Whatever users named reaches a terminal only escaped.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <stdio.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "topology/lab.h"

/* appends "s" with control bytes, broken UTF-8 and bidirectional controls as
 * \xNN; '\n' and '\t' too unless "lines" */
void out_escape(struct buf *b, const char *s, size_t size, bool lines);
/* one of 8 static buffers, cut to its size; for printf's arguments */
const char *out_safe(const char *s);

/* each tells why on standard error and returns the exit status */
int out_fail(const struct cli *c, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int out_fail_err(const struct cli *c, const struct err *e);
int out_fail_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int out_no_memory(const struct cli *c);
/* "what": the operation, e.g. "up shop"; "answer": a daemon's {"code","message",
 * "path"[,"errors","warnings"]}, may be NULL; "status": of HTTP */
int out_fail_api(const struct cli *c, const char *what, int status, const cJSON *answer);
/* the faults of a lab file, and its warnings */
int out_fail_issues(const struct cli *c, const char *file, const struct issues *i);

/* warnings as interface.md 4 writes them; nothing with -o json or -q */
void out_warnings(const struct cli *c, const cJSON *warnings);
void out_warn(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* one line that the next one replaces; "" takes it away */
void out_progress(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* one document and a newline; takes "v"; exit status (5 if it can't be written) */
int out_json(const struct cli *c, cJSON *v);
/* flushes standard output: 0, or 5 and why */
int out_done(const struct cli *c);

/* escape sequences, or "" where colours aren't wanted */
enum out_color { OUT_PLAIN, OUT_RED, OUT_GREEN, OUT_YELLOW, OUT_BOLD, OUT_DIM };
const char *out_color(bool wanted, enum out_color color);

/* "0.4 ms", "82 ms", "1.2 s"; one of 8 static buffers */
const char *out_ms(double ms);

#endif
