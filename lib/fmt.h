/* SPDX-License-Identifier: MIT */
/*
 * fmt - snprintf() for what is printed by the ten thousand: names, keys and
 * values of items.  glibc's sets up a stream for each call, which is most of
 * what a short text costs.
 */
#ifndef FMT_H
#define FMT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * As vsnprintf(): the length of the whole text, of which "ret" holds what fits
 * and a NUL.  %s, %c, %d, %u, %x with width, zeros, precision of texts, l, ll
 * and z are done here; a format with anything else is vsnprintf()'s.
 */
int fmt_vprint(char *ret, size_t size, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));
int fmt_print(char *ret, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
