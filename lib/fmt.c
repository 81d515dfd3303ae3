/* SPDX-License-Identifier: MIT */
/*
 * fmt - see fmt.h.
 */
#include "lib/fmt.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

struct out {
	char *at, *end; /* end: where the NUL goes at the latest */
	size_t len;
};

struct spec {
	char pad, conv;
	size_t width;
	int precision; /* -1: none */
	enum { SIZE_INT, SIZE_LONG, SIZE_LONG_LONG, SIZE_Z } size;
};

static void put(struct out *o, const char *s, size_t n)
{
	size_t room = (size_t)(o->end - o->at);

	o->len += n;
	if (room > n)
		room = n;
	memcpy(o->at, s, room);
	o->at += room;
}

static void put_pad(struct out *o, char pad, size_t width, size_t n)
{
	for (; width > n; width--)
		put(o, &pad, 1);
}

static void put_text(struct out *o, const struct spec *sp, const char *s)
{
	size_t n = sp->precision < 0 ? strlen(s) : strnlen(s, (size_t)sp->precision);

	put_pad(o, ' ', sp->width, n);
	put(o, s, n);
}

static void put_number(struct out *o, const struct spec *sp, uint64_t v, bool negative)
{
	unsigned base = sp->conv == 'x' ? 16 : 10;
	char text[24], *s = text + sizeof(text);
	size_t n;

	do
		*--s = "0123456789abcdef"[v % base];
	while (v /= base);
	n = (size_t)(text + sizeof(text) - s) + negative;
	if (sp->pad == ' ')
		put_pad(o, ' ', sp->width, n);
	if (negative)
		put(o, "-", 1);
	if (sp->pad == '0')
		put_pad(o, '0', sp->width, n);
	put(o, s, n - negative);
}

/* one conversion behind its percent sign: its end, NULL if it isn't for us */
static const char *spec_read(const char *f, struct spec *sp, bool *ret_star)
{
	*sp = (struct spec){ .pad = ' ', .precision = -1, .conv = *f };
	*ret_star = false;
	if (*f == 's' || *f == 'u') /* most are */
		return f + 1;
	if (*f == '0')
		sp->pad = *f++;
	while (*f >= '0' && *f <= '9' && sp->width < 1000)
		sp->width = sp->width * 10 + (size_t)(*f++ - '0');
	if (f[0] == '.' && f[1] == '*') {
		*ret_star = true;
		f += 2;
	} else if (*f == '.') {
		for (f++, sp->precision = 0; *f >= '0' && *f <= '9' && sp->precision < 1000; f++)
			sp->precision = sp->precision * 10 + (*f - '0');
	}
	if (*f == 'z') {
		sp->size = SIZE_Z;
		f++;
	} else if (*f == 'l') {
		sp->size = f[1] == 'l' ? SIZE_LONG_LONG : SIZE_LONG;
		f += 1 + (f[1] == 'l');
	}
	sp->conv = *f;
	if (*f != 's' && *f != 'u' && *f != 'x' && *f != 'd' && *f != 'c' && *f != '%')
		return NULL;
	if (*f != 's' && (sp->precision >= 0 || *ret_star))
		return NULL;
	if ((*f == 's' || *f == 'c' || *f == '%') && (sp->size != SIZE_INT || sp->pad == '0'))
		return NULL;
	return f + 1;
}

static uint64_t arg_unsigned(const struct spec *sp, va_list *ap)
{
	switch (sp->size) {
	case SIZE_LONG:
		return va_arg(*ap, unsigned long);
	case SIZE_LONG_LONG:
		return va_arg(*ap, unsigned long long);
	case SIZE_Z:
		return va_arg(*ap, size_t);
	case SIZE_INT:
		break;
	}
	return va_arg(*ap, unsigned);
}

static int64_t arg_signed(const struct spec *sp, va_list *ap)
{
	switch (sp->size) {
	case SIZE_LONG:
		return va_arg(*ap, long);
	case SIZE_LONG_LONG:
		return va_arg(*ap, long long);
	case SIZE_Z:
		return va_arg(*ap, ssize_t);
	case SIZE_INT:
		break;
	}
	return va_arg(*ap, int);
}

static void put_arg(struct out *o, struct spec *sp, va_list *ap)
{
	const char *s;
	int64_t v;
	char c;

	switch (sp->conv) {
	case 's':
		s = va_arg(*ap, const char *);
		put_text(o, sp, s ? s : "(null)");
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		put_pad(o, ' ', sp->width, 1);
		put(o, &c, 1);
		break;
	case 'd':
		v = arg_signed(sp, ap);
		put_number(o, sp, v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0);
		break;
	case '%':
		put(o, "%", 1);
		break;
	default:
		put_number(o, sp, arg_unsigned(sp, ap), false);
		break;
	}
}

int fmt_vprint(char *ret, size_t size, const char *format, va_list ap)
{
	char none;
	struct out o = { &none, &none, 0 };
	struct spec sp;
	const char *f;
	va_list args;
	size_t n;
	bool star;

	if (size) {
		o.at = ret;
		o.end = ret + size - 1;
	}
	va_copy(args, ap);
	for (f = format; f && *f;) {
		for (n = 0; f[n] && f[n] != '%'; n++)
			;
		if (n) {
			put(&o, f, n);
			f += n;
		} else if ((f = spec_read(f + 1, &sp, &star))) {
			if (star)
				sp.precision = va_arg(args, int);
			put_arg(&o, &sp, &args);
		}
	}
	va_end(args);
	if (!f)
		return vsnprintf(ret, size, format, ap);
	*o.at = '\0';
	return o.len > INT_MAX ? -1 : (int)o.len;
}

int fmt_print(char *ret, size_t size, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = fmt_vprint(ret, size, format, ap);
	va_end(ap);
	return n;
}
