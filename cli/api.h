/* SPDX-License-Identifier: MIT */
/*
 * api - a request to a daemon and its answer.  Requests run on a loop, so that a
 * verb that must clean up (test) hears a signal while it waits.
 */
#ifndef CLI_API_H
#define CLI_API_H

#include <stdint.h>

#include "cli/cli.h"
#include "cli/daemons.h"
#include "lib/http.h"
#include "lib/json.h"

#define API_WAIT_MS 120000 /* for what takes no time-out of its own */

struct api_request {
	enum daemon to;
	const char *method, *path;  /* path with its query, escaped */
	const char *const *headers; /* NULL, or NULL-terminated "Name: value" */
	const void *body;
	size_t size;
	int64_t wait_ms;      /* 0: without end */
	httpc_piece_fn piece; /* httpc_start_pieces()'s; NULL: the answer has it all */
	void *piece_arg;
	int expected; /* a status (412) that api_json() doesn't tell: API_EXPECTED; 0: none */
};

/* both daemons are there, the loop too; done by the calls below, too */
int api_ready(struct cli *c);
/*
 * api_send() - starts the daemons where needed, asks and waits.  0: "ret" has an
 * answer, of whatever HTTP status (httpc_answer_done()); else it was told, and
 * the exit status is returned (128 + N after signal N).
 */
int api_send(struct cli *c, const struct api_request *q, struct httpc_answer *ret);
/* the same, and anything but a JSON answer of status 2xx is told as
 * "what: why"; "ret" owns; may be NULL */
#define API_EXPECTED (-1)
int api_json(struct cli *c, const char *what, const struct api_request *q, cJSON **ret);
/* GET "path" of sandboxd */
int api_get(struct cli *c, const char *what, const char *path, cJSON **ret);
/* "/v1/labs/LAB/rest" with LAB escaped; caller frees; NULL: no memory */
char *api_lab_path(const char *lab, const char *rest);
/* one segment or value of a path, percent-escaped; caller frees */
char *api_escape(const char *s);
void api_done(struct cli *c);

#endif
