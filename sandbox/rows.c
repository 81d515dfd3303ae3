/* SPDX-License-Identifier: MIT */
/*
 * rows - see rows.h.
 */
#include "sandbox/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"
#include "sandbox/async_rows.h"

static const char *const migrations[] = {
	"create table labs (lab text primary key, created integer not null,"
	" document blob, base text, codes text,"
	" intended blob, intended_base text, intended_codes text,"
	" deleting integer not null default 0, lease text)",
	/* SQLite writes whole rows: what is long gets a row of its own, written once */
	"create table documents (id integer primary key, text blob not null, base text,"
	" codes text);"
	"insert into documents select 2 * rowid, document, base, codes from labs"
	" where document is not null;"
	"insert into documents select 2 * rowid + 1, intended, intended_base, intended_codes"
	" from labs where intended is not null;"
	"alter table labs rename to old;"
	"create table labs (lab text primary key, created integer not null, document integer,"
	" intended integer, deleting integer not null default 0, lease text);"
	"insert into labs select lab, created, iif(document is null, null, 2 * rowid),"
	" iif(intended is null, null, 2 * rowid + 1), deleting, lease from old;"
	"drop table old",
	"create table keys (name text primary key, value blob not null)",
	"create table events (id integer primary key, lab text not null, function text not null,"
	" request text not null, accepted integer not null, due integer not null,"
	" attempts integer not null, payload blob not null);"
	"create index events_lab on events (lab);"
	"create table deliveries (id integer primary key, lab text not null,"
	" function text not null, kind integer not null, target text not null,"
	" begun integer not null, body blob not null);"
	"create index deliveries_lab on deliveries (lab)",
	"create table versions (lab text not null, function text not null,"
	" version integer not null, document integer not null, code text not null,"
	" digest text not null, published integer not null,"
	" primary key (lab, function, version))",
	"alter table events add column hops integer not null default 0",
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

/* ends what began with BEGIN: all of it, or with "r" the failure in "e" and nothing;
 * documents that no lab has any more go */
static int finish(struct db *d, int r, struct err *e)
{
	struct err ignored = { 0 };

	if (!r)
		r = db_run(d, e,
			   "delete from documents where not exists (select 1 from labs"
			   " where documents.id in (labs.document, labs.intended))"
			   " and id not in (select document from versions)",
			   "");
	if (!r)
		r = db_exec(d, "COMMIT", e);
	if (r)
		(void)db_exec(d, "ROLLBACK", &ignored); /* the first failure is told */
	return r;
}

int rows_intend(struct db *d, const char *lab, int64_t created_ms, const struct rows_doc *doc,
		struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	if (r)
		return r;
	r = db_run(d, e, "insert into documents (text, base, codes) values (?, ?, ?)", "bss",
		   (const void *)doc->text, doc->size, doc->base, doc->codes);
	if (!r)
		r = db_run(d, e,
			   "insert into labs (lab, created, intended)"
			   " values (?, ?, last_insert_rowid()) on conflict (lab) do update"
			   " set intended = excluded.intended",
			   "si", lab, created_ms);
	return finish(d, r, e);
}

int rows_done(struct db *d, const char *lab, const struct rows_versions *versions, struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);
	size_t i;

	if (r)
		return r;
	r = db_run(d, e,
		   "update labs set document = intended, intended = null"
		   " where lab = ? and intended is not null",
		   "s", lab);
	for (i = 0; versions && i < versions->n_gone && !r; i++)
		r = db_run(d, e, "delete from versions where lab = ? and function = ?", "ss", lab,
			   versions->gone[i]);
	for (i = 0; versions && i < versions->n && !r; i++) {
		const struct rows_version *v = &versions->v[i];

		r = db_run(
			d, e,
			"insert into versions (lab, function, version, document, code, digest,"
			" published) select lab, ?, ?, document, ?, ?, ? from labs where lab = ?",
			"sissis", v->function, (int64_t)v->number, v->code, v->digest,
			v->published_ms, lab);
	}
	return finish(d, r, e);
}

struct each_version {
	rows_version_fn fn;
	void *arg;
};

static int on_version(const struct db_row *r, void *arg)
{
	const struct each_version *each = arg;
	size_t size;
	const char *text = db_col_blob(r, 5, &size);
	const struct rows_version v = { db_col_text(r, 0), (unsigned)db_col_int(r, 1),
					db_col_text(r, 2), db_col_text(r, 3), db_col_int(r, 6) };

	return each->fn(&v, db_col_int(r, 4), text, size, each->arg);
}

int rows_versions_each(struct db *d, const char *lab, rows_version_fn fn, void *arg, struct err *e)
{
	struct each_version each = { fn, arg };

	return db_each(d, e, on_version, &each,
		       "select function, version, code, digest, document, text, published"
		       " from versions join documents on id = document where lab = ?"
		       " order by document, function, version",
		       "s", lab);
}

int rows_undone(struct db *d, const char *lab, struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	if (r)
		return r;
	r = db_run(d, e, "delete from labs where lab = ? and document is null", "s", lab);
	if (!r)
		r = db_run(d, e, "update labs set intended = null where lab = ?", "s", lab);
	return finish(d, r, e);
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
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	if (r)
		return r;
	r = async_rows_forget(d, lab, e);
	if (!r)
		r = db_run(d, e, "delete from versions where lab = ?", "s", lab);
	if (!r)
		r = db_run(d, e, "delete from labs where lab = ?", "s", lab);
	return finish(d, r, e);
}

static int on_key(const struct db_row *r, void *arg)
{
	size_t size;
	const void *value = db_col_blob(r, 0, &size);

	if (size == ROWS_KEY_SIZE)
		memcpy(arg, value, size);
	return size == ROWS_KEY_SIZE ? 0 : -EBADMSG;
}

int rows_key(struct db *d, uint8_t ret[ROWS_KEY_SIZE], struct err *e)
{
	uint8_t fresh[ROWS_KEY_SIZE];
	int r;

	if (getrandom(fresh, sizeof(fresh), 0) != sizeof(fresh))
		return err_set(e, ERR_INTERNAL, errno, "getrandom: %s", strerror(errno));
	r = db_run(d, e, "insert into keys (name, value) values ('labs', ?) on conflict do nothing",
		   "b", (const void *)fresh, sizeof(fresh));
	return r ? r : db_each(d, e, on_key, ret, "select value from keys where name = 'labs'", "");
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
		       "select lab, created, d.text, d.base, d.codes, n.text, n.base, n.codes,"
		       " deleting, lease from labs left join documents d on d.id = document"
		       " left join documents n on n.id = intended order by lab",
		       "");
}
