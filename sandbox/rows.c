/* SPDX-License-Identifier: MIT */
/*
 * rows - see rows.h.
 */
#include "sandbox/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/util.h"

static const char *const migrations[] = {
	"create table labs (lab text primary key, created integer not null,"
	" document blob, base text, codes text,"
	" intended blob, intended_base text, intended_codes text,"
	" deleting integer not null default 0, lease text)",
};

int rows_open(const char *dir, struct db **ret, struct err *e)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/sandboxd.db", dir) < 0) {
		path = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	return db_open(path, migrations, ARRAY_SIZE(migrations), ret, e);
}

int rows_intend(struct db *d, const char *lab, int64_t created_ms, const struct rows_doc *doc,
		struct err *e)
{
	return db_run(d, e,
		      "insert into labs (lab, created, intended, intended_base, "
		      "intended_codes) values (?, ?, ?, ?, ?) on conflict (lab) do update set "
		      "intended = excluded.intended, intended_base = excluded.intended_base, "
		      "intended_codes = excluded.intended_codes",
		      "sibss", lab, created_ms, doc->text, doc->size, doc->base, doc->codes);
}

int rows_done(struct db *d, const char *lab, struct err *e)
{
	return db_run(d, e,
		      "update labs set document = intended, base = intended_base, "
		      "codes = intended_codes, intended = null, intended_base = null, "
		      "intended_codes = null where lab = ? and intended is not null",
		      "s", lab);
}

int rows_undone(struct db *d, const char *lab, struct err *e)
{
	int r = db_run(d, e, "delete from labs where lab = ? and document is null", "s", lab);

	return r ? r :
		   db_run(d, e,
			  "update labs set intended = null, intended_base = null, "
			  "intended_codes = null where lab = ?",
			  "s", lab);
}

int rows_lease(struct db *d, const char *lab, const char *lease, struct err *e)
{
	return db_run(d, e, "update labs set lease = ? where lab = ?", "ss", lease, lab);
}

int rows_deleting(struct db *d, const char *lab, struct err *e)
{
	return db_run(d, e, "update labs set deleting = 1 where lab = ?", "s", lab);
}

int rows_delete(struct db *d, const char *lab, struct err *e)
{
	return db_run(d, e, "delete from labs where lab = ?", "s", lab);
}

struct each {
	rows_row_fn fn;
	void *arg;
};

/* a document is never empty: an empty column is none */
static const char *document(const struct db_row *r, int col, size_t *ret_size)
{
	const char *text = db_col_blob(r, col, ret_size);

	return *ret_size ? text : NULL;
}

static int on_row(const struct db_row *r, void *arg)
{
	const struct each *each = arg;
	struct rows_doc current = { 0 }, intended = { 0 };

	current.text = document(r, 2, &current.size);
	current.base = db_col_text(r, 3);
	current.codes = db_col_text(r, 4);
	intended.text = document(r, 5, &intended.size);
	intended.base = db_col_text(r, 6);
	intended.codes = db_col_text(r, 7);
	return each->fn(db_col_text(r, 0), db_col_int(r, 1), &current, &intended,
			db_col_int(r, 8) != 0, db_col_text(r, 9), each->arg);
}

int rows_each(struct db *d, rows_row_fn fn, void *arg, struct err *e)
{
	struct each each = { fn, arg };

	return db_each(d, e, on_row, &each,
		       "select lab, created, document, base, codes, intended, "
		       "intended_base, intended_codes, deleting, lease from labs order by lab",
		       "");
}
