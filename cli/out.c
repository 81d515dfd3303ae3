/* SPDX-License-Identifier: MIT */
/*
 * out - all that vpclab prints besides its results' own layout.  Escaping works
 * on code points: what is no letter, or moves the cursor, is shown as bytes.
 */
#include "cli/out.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "lib/util.h"

#define SAFE_SIZE 512

/* bytes of the UTF-8 sequence at "s"; 0 where it is broken */
static size_t letter_at(const unsigned char *s, size_t size, unsigned *ret)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80 ? 1 : *s >= 0xf0 && *s < 0xf5 ? 4 : *s >= 0xe0 ? 3 : 2, i;
	unsigned c = *s & (n == 1 ? 0x7f : 0xff >> (n + 1));

	if (*s >= 0xf5 || (*s >= 0x80 && *s < 0xc2) || n > size)
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff))
		return 0;
	*ret = c;
	return n;
}

/* a letter that moves the cursor, or the reader's eye, instead of being read */
static bool is_harmful(unsigned c, bool lines)
{
	if (c == '\n' || c == '\t')
		return !lines;
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x61c ||
	       c == 0x2028 || c == 0x2029 || (c & 0xfffe) == 0xfffe;
}

void out_escape(struct buf *b, const char *s, size_t size, bool lines)
{
	const unsigned char *p = (const unsigned char *)s;

	while (size) {
		unsigned c = 0;
		size_t n = letter_at(p, size, &c), i;

		if (n && !is_harmful(c, lines)) {
			buf_add(b, p, n);
		} else {
			n = n ? n : 1;
			for (i = 0; i < n; i++)
				buf_printf(b, "\\x%02x", p[i]);
		}
		p += n;
		size -= n;
	}
}

const char *out_safe(const char *s)
{
	static char texts[8][SAFE_SIZE];
	static unsigned next;
	char *t = texts[next++ % ARRAY_SIZE(texts)];
	auto_buf struct buf b = BUF_INIT;

	out_escape(&b, s ? s : "-", strlen(s ? s : "-"), false);
	(void)snprintf(t, SAFE_SIZE, "%s", buf_error(&b) ? "?" : buf_str(&b));
	return t;
}

const char *out_color(bool wanted, enum out_color color)
{
	static const char *const codes[] = {
		[OUT_PLAIN] = "\x1b[0m",   [OUT_RED] = "\x1b[31m", [OUT_GREEN] = "\x1b[32m",
		[OUT_YELLOW] = "\x1b[33m", [OUT_BOLD] = "\x1b[1m", [OUT_DIM] = "\x1b[2m",
	};

	return wanted ? codes[color] : "";
}

const char *out_ms(double ms)
{
	static char texts[8][32];
	static unsigned next;
	char *t = texts[next++ % ARRAY_SIZE(texts)];

	if (ms < 10)
		(void)snprintf(t, sizeof(texts[0]), "%.1f ms", ms);
	else if (ms < 1000)
		(void)snprintf(t, sizeof(texts[0]), "%.0f ms", ms);
	else
		(void)snprintf(t, sizeof(texts[0]), "%.1f s", ms / 1000);
	return t;
}

/* ---- failures ---- */

static cJSON *failure(const char *code, const char *message, const char *path, int status)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "code", code);
	cJSON_AddStringToObject(o, "message", message);
	if (path && *path)
		cJSON_AddStringToObject(o, "path", path);
	else
		cJSON_AddNullToObject(o, "path");
	cJSON_AddNumberToObject(o, "exit", status);
	return o;
}

/* takes "o" */
static void print_failure(cJSON *o)
{
	auto_json cJSON *doc = cJSON_CreateObject();
	auto_free char *text = NULL;

	cJSON_AddItemToObject(doc, "error", o);
	text = json_print(doc);
	fprintf(stderr, "%s\n", text ? text : "{\"error\":{\"code\":\"InternalError\"}}");
}

static int tell(const struct cli *c, const char *code, const char *message, const char *path,
		int status)
{
	auto_buf struct buf b = BUF_INIT;

	out_progress(c, "%s", "");
	if (c->json) {
		print_failure(failure(code, message, path, status));
		return status;
	}
	out_escape(&b, message, strlen(message), true);
	if (path && *path && !strstr(message, path)) {
		buf_adds(&b, " (");
		out_escape(&b, path, strlen(path), false);
		buf_adds(&b, ")");
	}
	fprintf(stderr, "%svpclab:%s %s\n", out_color(c->color_err, OUT_RED),
		out_color(c->color_err, OUT_PLAIN), buf_str(&b));
	return status;
}

int out_fail(const struct cli *c, enum err_code code, const char *fmt, ...)
{
	char msg[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return tell(c, err_code_name(code), msg, NULL, err_code_exit(code));
}

int out_fail_usage(const struct cli *c, const char *fmt, ...)
{
	char msg[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return tell(c, "Usage", msg, NULL, EXIT_USAGE);
}

int out_fail_err(const struct cli *c, const struct err *e)
{
	return tell(c, err_code_name(e->code), e->msg, e->path, err_code_exit(e->code));
}

int out_no_memory(const struct cli *c)
{
	return out_fail(c, ERR_INTERNAL, "out of memory");
}

/* the exit status that fits an answer: by its code, else by its status */
static int api_exit(const char *code, int status)
{
	enum err_code known = err_code_from_name(code);

	if (known != ERR_INTERNAL && known != ERR_NONE)
		return err_code_exit(known);
	switch (status) {
	case 400:
		return EXIT_USAGE;
	case 404:
		return EXIT_NOTHING;
	case 501:
		return EXIT_UNSUPPORTED;
	default:
		return EXIT_OPERATION;
	}
}

static void print_issue(const struct cli *c, const cJSON *w, const char *word, enum out_color color)
{
	const char *file = json_str(w, "file", ""), *path = json_str(w, "path", "");
	const char *code = json_str(w, "code", "");
	bool warning = color == OUT_YELLOW;
	auto_buf struct buf b = BUF_INIT;

	if (*file) {
		out_escape(&b, file, strlen(file), false);
		buf_printf(&b, ":%.0f:%.0f: ", json_num(w, "line", 0), json_num(w, "column", 0));
	} else {
		buf_adds(&b, "vpclab: ");
	}
	if (*path) {
		out_escape(&b, path, strlen(path), false);
		buf_adds(&b, ": ");
	}
	buf_adds(&b, out_color(c->color_err, color));
	buf_adds(&b, word);
	buf_adds(&b, out_color(c->color_err, OUT_PLAIN));
	out_escape(&b, json_str(w, "message", ""), strlen(json_str(w, "message", "")), true);
	if (warning && *code) {
		buf_adds(&b, " [");
		out_escape(&b, code, strlen(code), false);
		buf_adds(&b, "]");
	}
	fprintf(stderr, "%s\n", buf_str(&b));
}

static void print_issues(const struct cli *c, const cJSON *errors, const cJSON *warnings)
{
	const cJSON *w;

	cJSON_ArrayForEach(w, errors)
		print_issue(c, w, "", OUT_RED);
	cJSON_ArrayForEach(w, warnings)
		print_issue(c, w, "warning: ", OUT_YELLOW);
}

static void print_json_issues(const char *code, const char *msg, const char *path, int status,
			      const cJSON *errors, const cJSON *warnings)
{
	cJSON *o = failure(code, msg, path, status);

	if (errors)
		cJSON_AddItemToObject(o, "errors", cJSON_Duplicate(errors, true));
	if (warnings)
		cJSON_AddItemToObject(o, "warnings", cJSON_Duplicate(warnings, true));
	print_failure(o);
}

int out_fail_api(const struct cli *c, const char *what, int status, const cJSON *answer)
{
	const cJSON *errors = json_get(answer, "errors");
	const char *code = json_str(answer, "code", json_str(answer, "Type", "ServiceUnavailable"));
	const char *message = json_str(answer, "message", json_str(answer, "Message", NULL));
	char msg[1024];
	double wanted = json_num(answer, "exit", 0);
	int exit = wanted >= 1 && wanted <= 255 ? (int)wanted : api_exit(code, status);

	if (message)
		(void)snprintf(msg, sizeof(msg), "%s: %s", what, message);
	else
		(void)snprintf(msg, sizeof(msg), "%s: the daemon answered with status %d", what,
			       status);
	if (!cJSON_GetArraySize(errors))
		return tell(c, code, msg, json_str(answer, "path", ""), exit);
	out_progress(c, "%s", "");
	if (c->json)
		print_json_issues(code, msg, json_str(answer, "path", ""), exit, errors,
				  json_get(answer, "warnings"));
	else
		print_issues(c, errors, c->quiet ? NULL : json_get(answer, "warnings"));
	return exit;
}

int out_fail_issues(const struct cli *c, const char *file, const struct issues *i)
{
	auto_json cJSON *doc = issues_json(i);
	int status = issues_exit(i);
	char msg[300];

	if (!doc)
		return out_no_memory(c);
	out_progress(c, "%s", "");
	if (!c->json) {
		print_issues(c, json_get(doc, "errors"),
			     c->quiet ? NULL : json_get(doc, "warnings"));
		return status;
	}
	(void)snprintf(msg, sizeof(msg), "%s: %s", out_safe(file),
		       i->n_errors ? i->errors[0].msg : "");
	print_json_issues(status == EXIT_UNSUPPORTED ? "UnsupportedOperation" : "InvalidLab", msg,
			  i->n_errors ? i->errors[0].path : NULL, status, json_get(doc, "errors"),
			  json_get(doc, "warnings"));
	return status;
}

/* ---- warnings, progress, results ---- */

void out_warnings(const struct cli *c, const cJSON *warnings)
{
	if (c->json || c->quiet)
		return;
	out_progress(c, "%s", "");
	print_issues(c, NULL, warnings);
}

void out_warn(const struct cli *c, const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT;
	char msg[1024];
	va_list ap;

	if (c->json || c->quiet)
		return;
	out_progress(c, "%s", "");
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	out_escape(&b, msg, strlen(msg), false);
	fprintf(stderr, "vpclab: %swarning:%s %s\n", out_color(c->color_err, OUT_YELLOW),
		out_color(c->color_err, OUT_PLAIN), buf_str(&b));
}

void out_progress(const struct cli *c, const char *fmt, ...)
{
	static bool shown;
	char msg[160];
	va_list ap;

	if (!c->progress)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (*msg || shown)
		fprintf(stderr, "\r%s\x1b[K", out_safe(msg));
	shown = *msg;
	fflush(stderr);
}

int out_done(const struct cli *c)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return out_fail(c, ERR_STATE, "standard output: %s", strerror(errno));
}

int out_json(const struct cli *c, cJSON *v)
{
	auto_json cJSON *own = v;
	auto_free char *text = v ? json_print(own) : NULL;

	if (!text)
		return out_no_memory(c);
	out_progress(c, "%s", "");
	printf("%s\n", text);
	return out_done(c);
}
