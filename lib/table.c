/* SPDX-License-Identifier: MIT */
/*
 * table - libsmartcols' door.  Cells are copied; the library pads, cuts to the
 * terminal's width and escapes control bytes.
 */
#include "lib/table.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"

struct table {
	struct libscols_table *tb;
	struct libscols_line *last;
	size_t n_cols;
	bool failed;
};

static int add_column(struct table *t, const char *head)
{
	int flags = 0;

	if (*head == '>') {
		flags = SCOLS_FL_RIGHT;
		head++;
	}
	t->n_cols++;
	return scols_table_new_column(t->tb, head, 0, flags) ? 0 : -ENOMEM;
}

struct table *table_new(const char *const *heads, bool color)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tb = scols_new_table();
	if (!t->tb)
		return table_free(t);
	(void)scols_table_enable_colors(t->tb, color); /* plain text serves as well */
	for (; *heads; heads++)
		if (add_column(t, *heads) < 0)
			return table_free(t);
	return t;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	scols_unref_table(t->tb);
	free(t);
	return NULL;
}

int table_add(struct table *t, const char *const *cells)
{
	size_t i;

	t->last = scols_table_new_line(t->tb, NULL);
	if (!t->last)
		goto fail;
	for (i = 0; i < t->n_cols; i++)
		if (scols_line_set_data(t->last, i, cells[i] ? cells[i] : "-") < 0)
			goto fail;
	return 0;
fail:
	t->failed = true;
	return -ENOMEM;
}

void table_color(struct table *t, size_t col, const char *color)
{
	struct libscols_cell *cell = t->last ? scols_line_get_cell(t->last, col) : NULL;

	if (cell)
		(void)scols_cell_set_color(cell, color); /* only a look */
}

int table_print(struct table *t, FILE *f)
{
	int r;

	if (t->failed)
		return -ENOMEM;
	if (scols_table_is_empty(t->tb) && !isatty(fileno(f)))
		return 0;
	scols_table_set_stream(t->tb, f);
	/* a pipe has no width: nothing is cut there */
	if (!isatty(fileno(f)))
		(void)scols_table_set_termforce(t->tb, SCOLS_TERMFORCE_NEVER);
	r = scols_print_table(t->tb);
	return r < 0 ? r : 0;
}
