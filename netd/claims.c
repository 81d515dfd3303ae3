/* SPDX-License-Identifier: MIT */
/*
 * claims - the file of claimed places (claims.h).
 *
 * It only grows while netd runs, by some 150 bytes a claim; when it is read at
 * the next start, what still matters is written to a new one.
 */
#include "netd/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/sock.h"
#include "lib/util.h"

#define FILE_NAME "netd.claims"
#define FILE_MAX (64 * 1024 * 1024)

struct claims {
	int fd;
	bool known;
	cJSON *old; /* owns: {LAB: {PLACE: {...}}} as read at the start */
};

static cJSON *old_lab(cJSON *old, const char *lab)
{
	cJSON *o = cJSON_GetObjectItemCaseSensitive(old, lab);

	return o ? o : cJSON_AddObjectToObject(old, lab);
}

/* a line that is cut or malformed (the last one, if any) was never answered */
static int take_line(cJSON *old, const char *line, size_t len)
{
	cJSON *o = json_parse(line, len, NULL), *in;
	const char *lab = json_str(o, "lab", NULL), *place = json_str(o, "place", NULL);

	if (!lab || !place) {
		cJSON_Delete(o);
		return 0;
	}
	in = old_lab(old, lab);
	if (!in) {
		cJSON_Delete(o);
		return -ENOMEM;
	}
	cJSON_DeleteItemFromObjectCaseSensitive(in, place);
	if (cJSON_AddItemToObject(in, place, o))
		return 0;
	cJSON_Delete(o);
	return -ENOMEM;
}

static int read_lines(struct claims *c, const char *path)
{
	auto_free char *text = NULL;
	size_t size, at = 0;
	int r = read_file(path, FILE_MAX, &text, &size);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r == -ENOMEM ? r : 0; /* not known, then */
	while (r == 0 && at < size) {
		size_t len = strcspn(text + at, "\n");

		r = take_line(c->old, text + at, len);
		at += len + 1;
	}
	c->known = r == 0;
	return r;
}

static int rewrite(const struct claims *c, const char *path)
{
	auto_buf struct buf b = BUF_INIT;
	const cJSON *lab, *place;

	cJSON_ArrayForEach(lab, c->old)
		cJSON_ArrayForEach(place, lab) {
			auto_free char *text = json_print(place);

			if (!text)
				return -ENOMEM;
			buf_printf(&b, "%s\n", text);
		}
	if (buf_error(&b))
		return -ENOMEM;
	return write_file_atomic(path, buf_str(&b), b.len, 0600);
}

int claims_open(const char *run, struct claims **ret, struct err *e)
{
	auto_free char *path = rundir_file(run, FILE_NAME);
	struct claims *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (c) {
		c->fd = -1;
		c->old = cJSON_CreateObject();
	}
	if (path && c && c->old)
		r = read_lines(c, path);
	if (r == 0)
		r = rewrite(c, path);
	if (r == 0) {
		c->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
		r = c->fd < 0 ? -errno : 0;
	}
	if (r < 0) {
		claims_close(c);
		return err_set(e, r == -ENOMEM ? ERR_INTERNAL : ERR_STATE, -r,
			       "%s/" FILE_NAME ": %s", run, strerror(-r));
	}
	*ret = c;
	return 0;
}

struct claims *claims_close(struct claims *c)
{
	if (!c)
		return NULL;
	if (c->fd >= 0)
		close(c->fd);
	cJSON_Delete(c->old);
	free(c);
	return NULL;
}

void claims_remove(const char *run)
{
	auto_free char *path = rundir_file(run, FILE_NAME);

	if (path)
		(void)unlink(path); /* one that isn't there is what we want */
}

const cJSON *claims_find(const struct claims *c, const char *lab, const char *place)
{
	return json_get(json_get(c->old, lab), place);
}

bool claims_is_known(const struct claims *c)
{
	return c->known;
}

static void add_text(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%s\"%s\":", b->len ? "," : "{", name);
	buf_json(b, value);
}

static int append(struct claims *c, struct buf *b)
{
	buf_adds(b, "}\n");
	return buf_error(b) ? -ENOMEM : write_all(c->fd, b->s, b->len);
}

int claims_taken(struct claims *c, const char *lab, const char *place, const char *function,
		 const char *subnet, const char *token)
{
	auto_buf struct buf b = BUF_INIT;

	add_text(&b, "lab", lab);
	add_text(&b, "place", place);
	add_text(&b, "function", function);
	add_text(&b, "subnet", subnet);
	add_text(&b, "token", token);
	return append(c, &b);
}

int claims_released(struct claims *c, const char *lab, const char *place)
{
	auto_buf struct buf b = BUF_INIT;

	add_text(&b, "lab", lab);
	add_text(&b, "place", place);
	buf_adds(&b, ",\"released\":true");
	return append(c, &b);
}
