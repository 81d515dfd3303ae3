/* SPDX-License-Identifier: MIT */
/*
 * table - columns of text for people (libsmartcols): widths that fit the
 * terminal, colours, and every control byte of a cell escaped.  The caller has
 * run setlocale(LC_ALL, ""), or letters beyond ASCII are escaped, too.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table;

/* columns named by "heads" (NULL-terminated); a head that starts with '>' is
 * aligned to the right; "color": escape sequences are wanted; NULL: no memory */
struct table *table_new(const char *const *heads, bool color);
struct table *table_free(struct table *t);
/* one line; "cells" has as many as the table has columns, NULL is printed as
 * "-"; copies.  0, -ENOMEM (sticks until table_print()) */
int table_add(struct table *t, const char *const *cells);
/* colours the last line's cell "col": "red", "green", "yellow", "bold" */
void table_color(struct table *t, size_t col, const char *color);
/* 0 or -errno; an empty table prints its head only when "f" is a terminal */
int table_print(struct table *t, FILE *f);

#endif
