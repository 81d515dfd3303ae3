/* SPDX-License-Identifier: MIT */
/*
 * state - netd's rows in SQLite (state.h).
 */
#include "netd/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/mutant.h"
#include "lib/util.h"

#define EVENTS_TAKEN 1000000000

/* forward only: a line is never changed once it was released, the next is added */
static const char *const migrations[] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
	"CREATE TABLE labs (name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
	" document BLOB, base TEXT, store TEXT,"
	" new_document BLOB, new_base TEXT, new_store TEXT);",
	/* SQLite writes whole rows: what is long gets rows of its own, written once */
	"CREATE TABLE documents (id INTEGER PRIMARY KEY, document BLOB NOT NULL, base TEXT);"
	"CREATE TABLE stores (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
	"INSERT INTO documents SELECT 2 * rowid, document, base FROM labs"
	" WHERE document IS NOT NULL;"
	"INSERT INTO documents SELECT 2 * rowid + 1, new_document, new_base FROM labs"
	" WHERE new_document IS NOT NULL;"
	"INSERT INTO stores SELECT 2 * rowid, store FROM labs WHERE store IS NOT NULL;"
	"INSERT INTO stores SELECT 2 * rowid + 1, new_store FROM labs"
	" WHERE new_store IS NOT NULL;"
	"ALTER TABLE labs RENAME TO old;"
	"CREATE TABLE labs (name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
	" document INTEGER, store INTEGER, new_document INTEGER, new_store INTEGER);"
	"INSERT INTO labs SELECT name, created,"
	" iif(document IS NULL, NULL, 2 * rowid), iif(store IS NULL, NULL, 2 * rowid),"
	" iif(new_document IS NULL, NULL, 2 * rowid + 1),"
	" iif(new_store IS NULL, NULL, 2 * rowid + 1) FROM old;"
	"DROP TABLE old;",
};

int state_open(const char *dir, struct db **ret, struct err *e)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/netd.db", dir) < 0) {
		path = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	return db_open(path, migrations, ARRAY_SIZE(migrations), ret, e);
}

static int take_text(const struct db_row *r, void *arg)
{
	char **ret = arg;
	const char *s = db_col_text(r, 0);

	*ret = s ? strdup(s) : NULL;
	return *ret ? 0 : -ENOMEM;
}

static char *new_seed(void)
{
	uint8_t raw[16];
	char *hex = malloc(2 * sizeof(raw) + 1);
	size_t i;

	if (!hex || getrandom(raw, sizeof(raw), 0) != sizeof(raw)) {
		free(hex);
		return NULL;
	}
	for (i = 0; i < sizeof(raw); i++)
		snprintf(hex + 2 * i, 3, "%02x", raw[i]);
	return hex;
}

int state_seed(struct db *d, const char *wish, char **ret, struct err *e)
{
	auto_free char *seed = NULL;
	int r;

	if (wish) {
		seed = strdup(wish);
	} else {
		r = db_each(d, e, take_text, &seed, "SELECT value FROM meta WHERE key = 'seed'",
			    "");
		if (r < 0)
			return r;
		if (seed) {
			*ret = steal_ptr(&seed);
			return 0;
		}
		seed = new_seed();
	}
	if (!seed)
		return err_set(e, ERR_INTERNAL, ENOMEM, "no seed: out of memory");
	r = db_run(d, e, "INSERT OR REPLACE INTO meta VALUES ('seed', ?)", "s", seed);
	if (r < 0)
		return r;
	*ret = steal_ptr(&seed);
	return 0;
}

static int take_number(const struct db_row *r, void *arg)
{
	*(uint64_t *)arg = (uint64_t)db_col_int(r, 0);
	return 0;
}

int state_events_end(struct db *d, uint64_t last, struct err *e)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64, last);
	return db_run(d, e, "INSERT OR REPLACE INTO meta VALUES ('events', ?)", "s", text);
}

int state_events(struct db *d, uint64_t *ret_last, struct err *e)
{
	int r;

	*ret_last = 0;
	r = db_each(d, e, take_number, ret_last,
		    "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'events'", "");
	if (r < 0 || MUTANT("events-restart"))
		return r;
	return state_events_end(d, *ret_last + EVENTS_TAKEN, e);
}

/* ends a transaction: all of it, or with "r" the failure in "e" and nothing */
static int finish(struct db *d, int r, struct err *e)
{
	struct err ignored = { .code = ERR_NONE };

	if (r == 0)
		r = db_exec(d, "COMMIT", e);
	if (r < 0)
		(void)db_exec(d, "ROLLBACK", &ignored); /* the first failure is told */
	return r;
}

/* ends one that took something away: long texts that no lab has any more go, too */
static int finish_swept(struct db *d, int r, struct err *e)
{
	if (r == 0)
		r = db_run(d, e,
			   "DELETE FROM documents WHERE NOT EXISTS (SELECT 1 FROM labs"
			   " WHERE documents.id IN (labs.document, labs.new_document))",
			   "");
	if (r == 0)
		r = db_run(d, e,
			   "DELETE FROM stores WHERE NOT EXISTS (SELECT 1 FROM labs"
			   " WHERE stores.id IN (labs.store, labs.new_store))",
			   "");
	return finish(d, r, e);
}

/* a store that stays as it is, as in most edits, isn't written again */
static int intend(struct db *d, const char *lab, int64_t created_ms, const struct state_half *h,
		  struct err *e)
{
	int r = db_run(d, e, "INSERT INTO documents (document, base) VALUES (?, ?)", "bs",
		       (const void *)h->document, h->size, h->base);

	if (r == 0)
		r = db_run(
			d, e,
			"INSERT INTO labs (name, created, new_document)"
			" VALUES (?, ?, last_insert_rowid()) ON CONFLICT (name) DO UPDATE"
			" SET new_document = excluded.new_document, new_store ="
			" (SELECT id FROM stores WHERE id = store AND (?3 IS NULL OR text = ?3))",
			"sis", lab, created_ms, h->store);
	if (r == 0 && h->store)
		r = db_run(d, e,
			   "INSERT INTO stores (text) SELECT ? FROM labs"
			   " WHERE name = ? AND new_store IS NULL",
			   "ss", h->store, lab);
	if (r == 0 && h->store)
		r = db_run(d, e,
			   "UPDATE labs SET new_store = last_insert_rowid()"
			   " WHERE name = ? AND new_store IS NULL",
			   "s", lab);
	return r;
}

int state_intend(struct db *d, const char *lab, int64_t created_ms, const struct state_half *h,
		 struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	return r < 0 ? r : finish(d, intend(d, lab, created_ms, h, e), e);
}

int state_done(struct db *d, const char *lab, struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	if (r < 0)
		return r;
	r = db_run(d, e,
		   "UPDATE labs SET document = new_document, store = new_store,"
		   " new_document = NULL, new_store = NULL"
		   " WHERE name = ? AND new_document IS NOT NULL",
		   "s", lab);
	return finish_swept(d, r, e);
}

int state_undone(struct db *d, const char *lab, struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	if (r < 0)
		return r;
	r = db_run(d, e,
		   "UPDATE labs SET new_document = NULL, new_store = NULL"
		   " WHERE name = ? AND document IS NOT NULL",
		   "s", lab);
	if (r == 0)
		r = db_run(d, e, "DELETE FROM labs WHERE name = ? AND document IS NULL", "s", lab);
	return finish_swept(d, r, e);
}

int state_delete(struct db *d, const char *lab, struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	if (r < 0)
		return r;
	return finish_swept(d, db_run(d, e, "DELETE FROM labs WHERE name = ?", "s", lab), e);
}

int state_clear(struct db *d, struct err *e)
{
	int r = db_exec(d, "BEGIN IMMEDIATE", e);

	return r < 0 ? r : finish_swept(d, db_exec(d, "DELETE FROM labs", e), e);
}

struct each {
	state_row_fn fn;
	void *arg;
};

static void half_read(const struct db_row *r, int col, struct state_half *ret)
{
	ret->document = db_col_blob(r, col, &ret->size);
	ret->base = db_col_text(r, col + 1);
	ret->store = db_col_text(r, col + 2);
	if (!ret->store)
		ret->document = NULL; /* a blob that is null reads as an empty one */
}

static int row_read(const struct db_row *r, void *arg)
{
	const struct each *each = arg;
	struct state_half current, intended;

	half_read(r, 2, &current);
	half_read(r, 5, &intended);
	return each->fn(db_col_text(r, 0), db_col_int(r, 1), &current, &intended, each->arg);
}

int state_each(struct db *d, state_row_fn fn, void *arg, struct err *e)
{
	struct each each = { fn, arg };

	return db_each(
		d, e, row_read, &each,
		"SELECT name, created, d.document, d.base, s.text, n.document, n.base, t.text"
		" FROM labs LEFT JOIN documents d ON d.id = labs.document"
		" LEFT JOIN stores s ON s.id = store"
		" LEFT JOIN documents n ON n.id = new_document"
		" LEFT JOIN stores t ON t.id = new_store ORDER BY name",
		"");
}
