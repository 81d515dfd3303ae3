/* SPDX-License-Identifier: MIT */
/*
 * db - SQLite behind five calls (db.h).
 *
 * One connection, one writer: WAL so that a reader never waits, synchronous=full
 * so that what was answered survives a loss of power.  Statements are compiled
 * once and kept, by their text.  A statement that fails in a transaction leaves
 * the transaction to its owner, except where SQLite has rolled it back already
 * (a full disk); ROLLBACK is therefore fine when none is open.
 */
#include "lib/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/util.h"

#define CACHE_MAX 64

struct db {
	sqlite3 *h;
	char *path; /* owns */
	struct {
		sqlite3_stmt *stmt;
		bool busy; /* its rows are being read */
	} cache[CACHE_MAX];
	unsigned n_cache, next; /* next: to be replaced when all are taken */
};

struct db_row {
	sqlite3_stmt *stmt;
};

static int db_err(struct db *d, struct err *e, const char *what)
{
	int rc = sqlite3_extended_errcode(d->h);
	enum err_code code = ERR_STATE;
	int errnum;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		errnum = ENOSPC;
		break;
	case SQLITE_NOMEM:
		errnum = ENOMEM;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		errnum = EBUSY;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		errnum = EROFS;
		break;
	case SQLITE_CANTOPEN:
		errnum = ENOENT;
		break;
	case SQLITE_CONSTRAINT:
		errnum = EEXIST;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		errnum = EUCLEAN;
		break;
	default:
		errnum = EIO;
	}
	/* a short write (quota, file size limit) is an I/O error to SQLite */
	if ((rc & 0xff) == SQLITE_IOERR) {
		int os = sqlite3_system_errno(d->h);

		if (os == ENOSPC || os == EDQUOT || os == EFBIG)
			errnum = ENOSPC;
	}
	return err_set(e, code, errnum, "state %s: %s: %s", d->path, what,
		       errnum == ENOSPC ? "the disk is full" : sqlite3_errmsg(d->h));
}

static int run_text(struct db *d, const char *sql)
{
	int rc = sqlite3_exec(d->h, sql, NULL, NULL, NULL);

	if (rc == SQLITE_ERROR && strcmp(sql, "ROLLBACK") == 0 && sqlite3_get_autocommit(d->h))
		return SQLITE_OK; /* SQLite did it by itself */
	return rc;
}

/* the words of a statement up to its first space, for messages */
static const char *verb(const char *sql, char ret[24])
{
	size_t n = strcspn(sql, " \t\n;");

	if (n > 23)
		n = 23;
	memcpy(ret, sql, n);
	ret[n] = '\0';
	return ret;
}

int db_exec(struct db *d, const char *sql, struct err *e)
{
	char v[24];

	return run_text(d, sql) == SQLITE_OK ? 0 : db_err(d, e, verb(sql, v));
}

static int user_version(struct db *d, int64_t *ret, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(d->h, "PRAGMA user_version", -1, &s, NULL) != SQLITE_OK ||
	    sqlite3_step(s) != SQLITE_ROW)
		r = db_err(d, e, "read version");
	else
		*ret = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r;
}

static int migrate_one(struct db *d, const char *sql, size_t version, struct err *e)
{
	char set[64];
	int r;

	snprintf(set, sizeof(set), "PRAGMA user_version=%zu", version);
	if (run_text(d, "BEGIN IMMEDIATE") == SQLITE_OK && run_text(d, sql) == SQLITE_OK &&
	    run_text(d, set) == SQLITE_OK && run_text(d, "COMMIT") == SQLITE_OK)
		return 0;
	snprintf(set, sizeof(set), "migration %zu", version);
	r = db_err(d, e, set);
	run_text(d, "ROLLBACK"); /* the first failure is the one to tell */
	return r;
}

static int migrate(struct db *d, const char *const *migrations, size_t n, struct err *e)
{
	int64_t v = 0;
	int r;

	r = user_version(d, &v, e);
	if (r < 0)
		return r;
	if (v < 0 || (uint64_t)v > n)
		return err_set(e, ERR_STATE, EPROTONOSUPPORT,
			       "state %s was made by a newer version (schema %lld, this is %zu)",
			       d->path, (long long)v, n);
	for (; (size_t)v < n; v++) {
		r = migrate_one(d, migrations[v], (size_t)v + 1, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* made by us with its rights: SQLite gives new files those of the umask */
static int make_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		int r = -errno;

		return err_set(e,
			       r == -EACCES || r == -EPERM || r == -EROFS ? ERR_DENIED : ERR_STATE,
			       -r, "state %s: %s", path, strerror(-r));
	}
	close(fd);
	return 0;
}

static int setup(struct db *d, const char *const *migrations, size_t n, struct err *e)
{
	int64_t v = 0;
	int r;

	sqlite3_extended_result_codes(d->h, 1);
	sqlite3_busy_timeout(d->h, 5000);
	if (sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK)
		return db_err(d, e, "open");
	/* before anything is changed: a newer version's file stays as it is */
	r = user_version(d, &v, e);
	if (r < 0)
		return r;
	if ((uint64_t)v > n)
		return migrate(d, migrations, n, e);
	if (run_text(d, "PRAGMA journal_mode=WAL") != SQLITE_OK ||
	    run_text(d, "PRAGMA synchronous=FULL") != SQLITE_OK ||
	    run_text(d, "PRAGMA foreign_keys=ON") != SQLITE_OK ||
	    run_text(d, "PRAGMA trusted_schema=OFF") != SQLITE_OK)
		return db_err(d, e, "open");
	return migrate(d, migrations, n, e);
}

int db_open(const char *path, const char *const *migrations, size_t n, struct db **ret,
	    struct err *e)
{
	struct db *d;
	int r;

	r = make_file(path, e);
	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	d->path = strdup(path);
	if (!d->path) {
		free(d);
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (sqlite3_open_v2(path, &d->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		r = d->h ? db_err(d, e, "open") : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	else
		r = setup(d, migrations, n, e);
	if (r < 0) {
		db_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct db *db_close(struct db *d)
{
	unsigned i;

	if (!d)
		return NULL;
	for (i = 0; i < d->n_cache; i++)
		sqlite3_finalize(d->cache[i].stmt);
	sqlite3_close(d->h);
	free(d->path);
	free(d);
	return NULL;
}

/* ---- statements ---- */

/* gives back a statement that came from get_stmt() */
static void put_stmt(struct db *d, sqlite3_stmt *s)
{
	unsigned i;

	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	for (i = 0; i < d->n_cache; i++)
		if (d->cache[i].stmt == s) {
			d->cache[i].busy = false;
			return;
		}
	sqlite3_finalize(s);
}

static void keep_stmt(struct db *d, sqlite3_stmt *s)
{
	unsigned i = d->n_cache;

	if (d->n_cache < CACHE_MAX) {
		d->n_cache++;
	} else {
		i = d->next++ % CACHE_MAX;
		if (d->cache[i].busy)
			return; /* put_stmt() finalizes it */
		sqlite3_finalize(d->cache[i].stmt);
	}
	d->cache[i].stmt = s;
	d->cache[i].busy = true;
}

static int get_stmt(struct db *d, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	sqlite3_stmt *s = NULL;
	unsigned i;
	char v[24];

	for (i = 0; i < d->n_cache; i++)
		if (!d->cache[i].busy && strcmp(sqlite3_sql(d->cache[i].stmt), sql) == 0) {
			d->cache[i].busy = true;
			*ret = d->cache[i].stmt;
			return 0;
		}
	if (sqlite3_prepare_v3(d->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
		return db_err(d, e, verb(sql, v));
	keep_stmt(d, s);
	*ret = s;
	return 0;
}

static int bind(sqlite3_stmt *s, const char *types, va_list ap)
{
	int i, rc = SQLITE_OK;

	for (i = 1; *types && rc == SQLITE_OK; types++, i++) {
		const void *p;

		switch (*types) {
		case 's':
			p = va_arg(ap, const char *);
			rc = p ? sqlite3_bind_text(s, i, p, -1, SQLITE_TRANSIENT) :
				 sqlite3_bind_null(s, i);
			break;
		case 'i':
			rc = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
			break;
		case 'b':
			p = va_arg(ap, const void *);
			rc = sqlite3_bind_blob64(s, i, p ? p : "", va_arg(ap, size_t),
						 SQLITE_TRANSIENT);
			break;
		default:
			rc = SQLITE_MISUSE;
		}
	}
	return rc;
}

static int each(struct db *d, struct err *e, db_row_fn fn, void *arg, const char *sql,
		const char *types, va_list ap)
{
	sqlite3_stmt *s = NULL;
	char v[24];
	int r, rc;

	r = get_stmt(d, sql, &s, e);
	if (r < 0)
		return r;
	rc = bind(s, types ? types : "", ap);
	if (rc == SQLITE_MISUSE || rc == SQLITE_RANGE)
		r = err_set(e, ERR_INTERNAL, EINVAL, "state: bad parameters of \"%s\"", sql);
	else if (rc != SQLITE_OK)
		r = db_err(d, e, verb(sql, v));
	while (r == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct db_row row = { s };

		if (fn)
			r = fn(&row, arg);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = db_err(d, e, verb(sql, v));
	put_stmt(d, s);
	return r;
}

int db_run(struct db *d, struct err *e, const char *sql, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = each(d, e, NULL, NULL, sql, types, ap);
	va_end(ap);
	return r;
}

int db_each(struct db *d, struct err *e, db_row_fn fn, void *arg, const char *sql,
	    const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = each(d, e, fn, arg, sql, types, ap);
	va_end(ap);
	return r;
}

const char *db_col_text(const struct db_row *r, int col)
{
	return (const char *)sqlite3_column_text(r->stmt, col);
}

const void *db_col_blob(const struct db_row *r, int col, size_t *ret_size)
{
	const void *p = sqlite3_column_blob(r->stmt, col);

	*ret_size = (size_t)sqlite3_column_bytes(r->stmt, col);
	return p ? p : "";
}

int64_t db_col_int(const struct db_row *r, int col)
{
	return sqlite3_column_int64(r->stmt, col);
}
