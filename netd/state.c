/* SPDX-License-Identifier: MIT */
/*
 * state - netd's rows in SQLite (state.h).
 */
#include "netd/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"

/* forward only: a line is never changed once it was released, the next is added */
static const char *const migrations[] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
	"CREATE TABLE labs (name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
	" document BLOB, base TEXT, store TEXT,"
	" new_document BLOB, new_base TEXT, new_store TEXT);",
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
		r = db_each(d, e, take_text, &seed,
			    "SELECT value FROM meta WHERE key = 'seed'", "");
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

int state_intend(struct db *d, const char *lab, int64_t created_ms,
		 const struct state_half *h, struct err *e)
{
	return db_run(d, e,
		      "INSERT INTO labs (name, created, new_document, new_base, new_store)"
		      " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE SET"
		      " new_document = ?3, new_base = ?4, new_store = ?5",
		      "sibss", lab, created_ms, (const void *)h->document, h->size, h->base,
		      h->store);
}

int state_done(struct db *d, const char *lab, struct err *e)
{
	return db_run(d, e,
		      "UPDATE labs SET document = new_document, base = new_base, store = new_store,"
		      " new_document = NULL, new_base = NULL, new_store = NULL"
		      " WHERE name = ? AND new_document IS NOT NULL", "s", lab);
}

int state_undone(struct db *d, const char *lab, struct err *e)
{
	int r = db_run(d, e, "UPDATE labs SET new_document = NULL, new_base = NULL,"
		       " new_store = NULL WHERE name = ? AND document IS NOT NULL", "s", lab);

	if (r < 0)
		return r;
	return db_run(d, e, "DELETE FROM labs WHERE name = ? AND document IS NULL", "s", lab);
}

int state_delete(struct db *d, const char *lab, struct err *e)
{
	return db_run(d, e, "DELETE FROM labs WHERE name = ?", "s", lab);
}

int state_clear(struct db *d, struct err *e)
{
	return db_exec(d, "DELETE FROM labs", e);
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

	return db_each(d, e, row_read, &each,
		       "SELECT name, created, document, base, store,"
		       " new_document, new_base, new_store FROM labs ORDER BY name", "");
}
