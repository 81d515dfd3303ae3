/* SPDX-License-Identifier: MIT */
/*
 * db - SQLite, WAL, synchronous=full, PRAGMA user_version migrations.
 */
#ifndef DB_H
#define DB_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct db;
struct db_stmt;

/* opens or makes "path"; runs migrations[user_version..n-1] each in a
 * transaction; a newer user_version is ERR_STATE ("made by a newer version") */
int db_open(const char *path, const char *const *migrations, size_t n, struct db **ret,
	    struct err *e);
struct db *db_close(struct db *d);
int db_exec(struct db *d, const char *sql, struct err *e);
/*
 * db_run() - "types" has a letter a parameter: s (const char *, NULL: null),
 * i (int64_t), b (const void *, size_t).  For a statement without rows.
 */
int db_run(struct db *d, struct err *e, const char *sql, const char *types, ...);
/* rows: "fn" for each; a non-zero return ends it and is returned */
struct db_row;
const char *db_col_text(const struct db_row *r, int col); /* borrows; NULL: null */
const void *db_col_blob(const struct db_row *r, int col, size_t *ret_size);
int64_t db_col_int(const struct db_row *r, int col);
typedef int (*db_row_fn)(const struct db_row *r, void *arg);
int db_each(struct db *d, struct err *e, db_row_fn fn, void *arg, const char *sql,
	    const char *types, ...);

#endif
