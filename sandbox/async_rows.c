/* SPDX-License-Identifier: MIT */
/* async_rows - see async_rows.h; the tables are made in rows.c */
#include "sandbox/async_rows.h"

#include <errno.h>

int async_rows_add(struct db *d, const struct event_row *v, const void *payload, size_t size,
		   struct err *e)
{
	return db_run(d, e,
		      "insert into events (id, lab, function, request, accepted, due, attempts,"
		      " hops, payload) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		      "isssiiiib", v->id, v->lab, v->function, v->request, v->accepted_ms,
		      v->due_ms, (int64_t)v->attempts, (int64_t)v->hops, payload, size);
}

int async_rows_again(struct db *d, const struct event_row *v, struct err *e)
{
	return db_run(d, e, "update events set attempts = ?, due = ? where id = ?", "iii",
		      (int64_t)v->attempts, v->due_ms, v->id);
}

int async_rows_drop(struct db *d, int64_t id, struct err *e)
{
	return db_run(d, e, "delete from events where id = ?", "i", id);
}

int async_rows_deliver(struct db *d, const struct delivery_row *v, const void *body, size_t size,
		       struct err *e)
{
	return db_run(d, e,
		      "insert into deliveries (id, lab, function, kind, target, begun, body)"
		      " values (?, ?, ?, ?, ?, ?, ?)",
		      "issisib", v->id, v->lab, v->function, (int64_t)v->kind, v->target,
		      v->begun_ms, body, size);
}

int async_rows_delivered(struct db *d, int64_t id, struct err *e)
{
	return db_run(d, e, "delete from deliveries where id = ?", "i", id);
}

int async_rows_forget(struct db *d, const char *lab, struct err *e)
{
	int r = db_run(d, e, "delete from events where lab = ?", "s", lab);

	return r ? r : db_run(d, e, "delete from deliveries where lab = ?", "s", lab);
}

int async_rows_sweep(struct db *d, struct err *e)
{
	int r = db_run(d, e, "delete from events where lab not in (select lab from labs)", "");

	return r ? r :
		   db_run(d, e, "delete from deliveries where lab not in (select lab from labs)",
			  "");
}

struct blob {
	struct buf *ret;
	int found;
};

static int on_blob(const struct db_row *r, void *arg)
{
	struct blob *b = arg;
	size_t size;
	const void *data = db_col_blob(r, 0, &size);

	buf_add(b->ret, data, size);
	b->found = 1;
	return buf_error(b->ret);
}

static int blob(struct db *d, const char *sql, int64_t id, struct buf *ret, struct err *e)
{
	struct blob b = { ret, 0 };
	int r = db_each(d, e, on_blob, &b, sql, "i", id);

	return r ? r : b.found ? 0 : err_set(e, ERR_STATE, ENOENT, "an event's row is gone");
}

int async_rows_payload(struct db *d, int64_t id, struct buf *ret, struct err *e)
{
	return blob(d, "select payload from events where id = ?", id, ret, e);
}

int async_rows_body(struct db *d, int64_t id, struct buf *ret, struct err *e)
{
	return blob(d, "select body from deliveries where id = ?", id, ret, e);
}

struct each {
	int (*event)(const struct event_row *v, void *arg);
	int (*delivery)(const struct delivery_row *v, void *arg);
	void *arg;
};

static int on_event(const struct db_row *r, void *arg)
{
	const struct each *each = arg;
	struct event_row v = {
		.id = db_col_int(r, 0),
		.lab = db_col_text(r, 1),
		.function = db_col_text(r, 2),
		.request = db_col_text(r, 3),
		.accepted_ms = db_col_int(r, 4),
		.due_ms = db_col_int(r, 5),
		.attempts = (unsigned)db_col_int(r, 6),
		.hops = (unsigned)db_col_int(r, 7),
	};

	return each->event(&v, each->arg);
}

static int on_delivery(const struct db_row *r, void *arg)
{
	const struct each *each = arg;
	struct delivery_row v = {
		.id = db_col_int(r, 0),
		.lab = db_col_text(r, 1),
		.function = db_col_text(r, 2),
		.kind = (enum destination_kind)db_col_int(r, 3),
		.target = db_col_text(r, 4),
		.begun_ms = db_col_int(r, 5),
	};

	return each->delivery(&v, each->arg);
}

int async_rows_each(struct db *d, int (*event)(const struct event_row *v, void *arg),
		    int (*delivery)(const struct delivery_row *v, void *arg), void *arg,
		    struct err *e)
{
	struct each each = { event, delivery, arg };
	int r = db_each(d, e, on_event, &each,
			"select id, lab, function, request, accepted, due, attempts, hops"
			" from events order by id",
			"");

	return r ? r :
		   db_each(d, e, on_delivery, &each,
			   "select id, lab, function, kind, target, begun from deliveries"
			   " order by id",
			   "");
}
