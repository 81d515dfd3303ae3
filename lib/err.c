/* SPDX-License-Identifier: MIT */
/*
 * err - filling, wrapping and naming errors; the table is in err.h.
 */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int http, exit;
} codes[] = {
#define ERR_ROW(sym, name, http, exit) [sym] = { name, http, exit },
	ERR_CODES(ERR_ROW)
#undef ERR_ROW
};
#define N_CODES (sizeof(codes) / sizeof(codes[0]))

int err_set(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
{
	va_list ap;

	if (errnum < 0)
		errnum = -errnum;
	if (!errnum)
		errnum = EINVAL;
	if (!e)
		return -errnum;
	e->code = code;
	e->errnum = errnum;
	e->path[0] = 0;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return -errnum;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char inner[sizeof(e->msg)];
	size_t len, room;
	va_list ap;
	int n;

	if (!e)
		return -EINVAL;
	memcpy(inner, e->msg, sizeof(inner));
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n + 2 < sizeof(e->msg)) {
		memcpy(e->msg + n, ": ", 3);
		room = sizeof(e->msg) - (size_t)n - 3;
		len = strnlen(inner, room);
		memcpy(e->msg + n + 2, inner, len);
		e->msg[(size_t)n + 2 + len] = 0;
	}
	return -e->errnum;
}

void err_path(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return;
	va_start(ap, fmt);
	vsnprintf(e->path, sizeof(e->path), fmt, ap);
	va_end(ap);
}

const char *err_code_name(enum err_code code)
{
	return (size_t)code < N_CODES ? codes[code].name : codes[ERR_INTERNAL].name;
}

int err_code_http(enum err_code code)
{
	return (size_t)code < N_CODES ? codes[code].http : 500;
}

int err_code_exit(enum err_code code)
{
	return (size_t)code < N_CODES ? codes[code].exit : 5;
}

enum err_code err_code_from_name(const char *name)
{
	for (size_t i = 1; i < N_CODES; i++)
		if (name && !strcmp(codes[i].name, name))
			return (enum err_code)i;
	return ERR_INTERNAL;
}
