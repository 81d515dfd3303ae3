/* SPDX-License-Identifier: MIT */
/*
 * invoke - one invocation; the response alone on standard output, as it came.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "cli/cli.h"
#include "cli/invocation.h"
#include "cli/out.h"
#include "lib/eventstream.h"
#include "lib/util.h"

#define PAYLOAD_MAX (16 * 1024 * 1024) /* the daemon answers 413 long before */
#define RETRIES_MAX 20
#define BACKOFF_MS 100 /* doubled each time, as AWS's clients do */

static int load_payload(const struct cli *c, const char *word, char **ret, size_t *ret_size)
{
	int r;

	if (!word || (word[0] != '@' && strcmp(word, "-"))) {
		*ret = strdup(word ? word : "{}");
		*ret_size = *ret ? strlen(*ret) : 0;
		return *ret ? 0 : out_no_memory(c);
	}
	if (word[0] == '@')
		r = read_file(word + 1, PAYLOAD_MAX, ret, ret_size);
	else
		r = read_fd(STDIN_FILENO, PAYLOAD_MAX, ret, ret_size);
	if (r < 0)
		return out_fail_usage(c, "invoke: --payload %s: %s", word, strerror(-r));
	return 0;
}

/* status and x-amz headers, a line each, to standard error */
static void print_headers(const struct httpc_answer *a)
{
	const char *line = a->headers;

	fprintf(stderr, "status: %d\n", a->status);
	while (line && *line) {
		size_t len = strcspn(line, "\r\n");
		auto_buf struct buf b = BUF_INIT;

		if (len > 5 && !strncasecmp(line, "x-amz", 5)) {
			out_escape(&b, line, len, false);
			fprintf(stderr, "%s\n", buf_str(&b));
		}
		line += len + strspn(line + len, "\r\n");
	}
}

static void print_log_text(const char *log)
{
	auto_buf struct buf b = BUF_INIT;

	out_escape(&b, log, strlen(log), true);
	fprintf(stderr, "%s%s", buf_str(&b), b.len && b.s[b.len - 1] != '\n' ? "\n" : "");
}

static void print_log(const struct httpc_answer *a)
{
	auto_free char *log = invocation_log(a);

	if (log)
		print_log_text(log);
}

static int tell_refusal(const struct cli *c, const char *function, const struct httpc_answer *a)
{
	auto_json cJSON *body = a->body ? json_parse(a->body, a->size, NULL) : NULL;
	auto_json cJSON *refusal = cJSON_CreateObject();
	char code[96] = "ServiceException", what[200], why[500];
	const char *message = json_str(body, "message", json_str(body, "Message", NULL));
	char *colon;

	/* "ErrorType:http://..." is how AWS qualifies some */
	(void)httpc_header(a, "x-amzn-ErrorType", code, sizeof(code)); /* stays as it was */
	colon = strchr(code, ':');
	if (colon)
		*colon = '\0';
	(void)snprintf(what, sizeof(what), "invoke %s", out_safe(function));
	(void)snprintf(why, sizeof(why), "%s (%s)", message ? message : "refused", code);
	cJSON_AddStringToObject(refusal, "code", code);
	cJSON_AddStringToObject(refusal, "message", why);
	/* whoever invokes gets 2 for a wrong call of vpclab only */
	cJSON_AddNumberToObject(refusal, "exit",
				err_code_exit(a->status == 404 ? ERR_NO_FUNCTION :
								 ERR_UNAVAILABLE));
	return out_fail_api(c, what, a->status, refusal);
}

static bool is_worth_another(const struct httpc_answer *a)
{
	return a->status == 429 || a->status >= 500;
}

/* full jitter: anything up to the doubled time, so that callers don't come again as one */
static int pause_ms(uint64_t n)
{
	const unsigned most = BACKOFF_MS << (n < 8 ? n : 8);
	unsigned random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return (int)most;
	return (int)(random % most) + 1;
}

static int run(struct cli *c, const struct invocation *i, uint64_t retries,
	       struct httpc_answer *ret)
{
	uint64_t n;
	int r;

	for (n = 0;; n++) {
		r = invocation_run(c, i, ret);
		if (r || n == retries || !is_worth_another(ret))
			return r;
		httpc_answer_done(ret);
		*ret = (struct httpc_answer){ 0 };
		(void)poll(NULL, 0, pause_ms(n));
	}
}

/* ---- a response as it comes ---- */

struct stream {
	struct buf in;
	cJSON *complete;   /* InvokeComplete; owns; NULL: it didn't come */
	const char *fault; /* of the stream, or of standard output; NULL: none */
};

static void stream_done(struct stream *s)
{
	buf_done(&s->in);
	cJSON_Delete(s->complete);
}

static void take_event(struct stream *s, const struct eventstream_event *e)
{
	if (!strcmp(e->type, "PayloadChunk")) {
		if (fwrite(e->payload, 1, e->size, stdout) != e->size || fflush(stdout) != 0)
			s->fault = strerror(errno);
	} else if (!strcmp(e->type, "InvokeComplete") && !s->complete) {
		s->complete = json_parse(e->payload, e->size, NULL);
	}
}

/* a fault is told at the end, once: the rest is taken and thrown away */
static bool on_piece(const char *data, size_t size, void *arg)
{
	struct eventstream_event e;
	struct stream *s = arg;
	size_t at = 0, used;
	int r = 0;

	if (s->fault)
		return true;
	buf_add(&s->in, data, size);
	if (buf_error(&s->in) < 0) {
		s->fault = strerror(ENOMEM);
		return true;
	}
	while (!s->fault && (r = eventstream_next(s->in.s + at, s->in.len - at, &used, &e)) > 0) {
		take_event(s, &e);
		at += used;
	}
	if (r < 0)
		s->fault = "not an event stream, or a damaged one";
	s->in.len -= at;
	memmove(s->in.s, s->in.s + at, s->in.len);
	return true;
}

static int end_stream(const struct cli *c, const struct args *a, const struct stream *s,
		      const struct httpc_answer *got)
{
	const char *log = json_str(s->complete, "LogResult", ""), *code;
	auto_free char *text = NULL;
	size_t size;

	if (args_has(a, "header"))
		print_headers(got);
	text = *log ? base64_decode(log, strlen(log), &size) : NULL;
	if (text)
		print_log_text(text);
	if (!s->complete)
		return out_fail(c, ERR_UNAVAILABLE, "invoke %s: the response broke off",
				out_safe(a->words[1]));
	code = json_str(s->complete, "ErrorCode", NULL);
	if (!code)
		return out_done(c);
	fprintf(stderr, "vpclab: invoke %s: %s: ", out_safe(a->words[1]), out_safe(code));
	print_log_text(json_str(s->complete, "ErrorDetails", ""));
	return EXIT_FAILED;
}

static int print(const struct cli *c, const struct args *a, const struct httpc_answer *got)
{
	char value[100];
	int r;

	if (args_has(a, "header"))
		print_headers(got);
	if (args_has(a, "log"))
		print_log(got);
	if (got->status < 200 || got->status > 299)
		return tell_refusal(c, a->words[1], got);
	if (got->size && fwrite(got->body, 1, got->size, stdout) != got->size)
		return out_fail(c, ERR_STATE, "standard output: %s", strerror(errno));
	/* a shell's next prompt, not a byte more in a pipe */
	if (got->size && isatty(STDOUT_FILENO) && got->body[got->size - 1] != '\n')
		printf("\n");
	r = out_done(c);
	if (!r && httpc_header(got, "X-Amz-Function-Error", value, sizeof(value)) == 0)
		r = EXIT_FAILED;
	return r;
}

static int invoke(struct cli *c, const struct args *a)
{
	__attribute__((cleanup(stream_done))) struct stream stream = { 0 };
	auto_free char *payload = NULL;
	struct httpc_answer got = { 0 };
	struct invocation i = {
		.lab = a->words[0],
		.function = a->words[1],
		.qualifier = args_get(a, "qualifier"),
		.type = args_has(a, "event") ? "Event" : NULL,
		.tail = args_has(a, "log"),
	};
	uint64_t retries;
	int r;

	if (args_number(a, "retries", 0, RETRIES_MAX, 0, &retries) < 0)
		return out_fail_usage(c, "invoke: --retries %s: not a number (0..%d)",
				      args_get(a, "retries"), RETRIES_MAX);
	r = load_payload(c, args_get(a, "payload"), &payload, &i.size);
	if (r)
		return r;
	i.payload = payload;
	if (args_has(a, "stream")) {
		i.piece = on_piece;
		i.piece_arg = &stream;
	}
	r = run(c, &i, retries, &got);
	if (!r && stream.fault)
		r = out_fail(c, ERR_STATE, "invoke %s: %s", out_safe(a->words[1]), stream.fault);
	else if (!r && i.piece && got.status >= 200 && got.status <= 299)
		r = end_stream(c, a, &stream, &got);
	else if (!r)
		r = print(c, a, &got);
	httpc_answer_done(&got);
	return r;
}

static const struct arg_opt OPTS[] = {
	{ "payload", 0, "JSON|@FILE|-", "the event ({})" },
	{ "event", 0, NULL, "asynchronously: it is kept, and nobody waits for it" },
	{ "qualifier", 0, "Q", "version or alias" },
	{ "stream", 0, NULL, "prints the response as it comes" },
	{ "log", 0, NULL, "the log's tail, to standard error" },
	{ "header", 0, NULL, "status and x-amz- headers, to standard error" },
	{ "retries", 0, "N", "tries again when throttled, and on 5xx (0)" },
	{ 0 },
};

const struct verb VERB_INVOKE = {
	.name = "invoke",
	.usage = "LAB FUNCTION",
	.summary = "one invocation; the response as it came; 1 on a function error",
	.opts = OPTS,
	.min_words = 2,
	.max_words = 2,
	.fn = invoke,
};
