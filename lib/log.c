/* SPDX-License-Identifier: MIT */
/*
 * log - one line a call, written at once, escaped.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/util.h"

static const char *module = "vpclab";
static enum log_level max_level = LOG_INFO;
static const char *const names[] = { "err", "warn", "info", "debug", "trace" };

void log_init(const char *mod, enum log_level max)
{
	module = mod;
	max_level = max;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT;
	char text[1024];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&b, "level=%s mod=%s msg=", names[level], module);
	buf_json(&b, text);
	buf_adds(&b, "\n");
	if (!buf_error(&b))
		(void)write_all(STDERR_FILENO, buf_str(&b), b.len); /* nowhere to report it */
}
