/* SPDX-License-Identifier: MIT */
/*
 * log_streams - see log_streams.h.
 */
#include "sandbox/log_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/util.h"

#define INDEX_MAX (16 << 20)

static char *index_path(const char *path)
{
	char *s;

	return asprintf(&s, "%s.streams", path) < 0 ? NULL : s;
}

void log_stream_name(const char *version, const char *id, char ret[LOG_STREAM_SIZE])
{
	char day[16] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(day, sizeof(day), "%Y/%m/%d", &tm);
	(void)snprintf(ret, LOG_STREAM_SIZE, "%s/[%s]%s", day, version, id);
}

void log_streams_mark(const char *path, off_t at, const char *stream)
{
	auto_free char *index = index_path(path);
	auto_close int fd = -1;
	char line[LOG_STREAM_SIZE + 24];
	int n = snprintf(line, sizeof(line), "%lld %s\n", (long long)at, stream);

	if (index)
		fd = open(index, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd >= 0)
		(void)write_all(fd, line, (size_t)n); /* said in the header */
}

void log_streams_move(const char *path, const char *to)
{
	auto_free char *from = index_path(path), *there = index_path(to);

	if (from && there)
		(void)rename(from, there); /* there may be none */
}

void log_streams_remove(const char *path)
{
	auto_free char *index = index_path(path);

	if (index)
		(void)unlink(index); /* as above */
}

/* ---- reading ---- */

struct stretch {
	long long from, to; /* bytes of the log */
	char stream[LOG_STREAM_SIZE];
};

struct stretches {
	struct stretch *v; /* owns */
	size_t n;
};

static void stretches_done(struct stretches *s)
{
	free(s->v);
}
#define auto_stretches __attribute__((cleanup(stretches_done)))

/* a line that was torn, or lies before the one before it, is none */
static void take_line(struct stretches *s, char *line)
{
	char *end;
	const long long at = strtoll(line, &end, 10);

	if (end == line || *end != ' ' || !end[1] || strlen(end + 1) >= LOG_STREAM_SIZE ||
	    strchr(end + 1, ' ') || (s->n && at < s->v[s->n - 1].from))
		return;
	if (s->n)
		s->v[s->n - 1].to = at;
	s->v[s->n].from = at;
	(void)snprintf(s->v[s->n++].stream, LOG_STREAM_SIZE, "%s", end + 1);
}

static int read_index(const char *path, off_t log_size, struct stretches *ret)
{
	auto_free char *index = index_path(path), *text = NULL;
	auto_close int fd = index ? open(index, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	size_t size, n = 0, i;
	char *line, *nl;
	int r;

	if (fd < 0)
		return index ? -errno : -ENOMEM;
	r = read_fd(fd, INDEX_MAX, &text, &size);
	if (r < 0)
		return r;
	for (i = 0; i < size; i++)
		n += text[i] == '\n';
	ret->v = calloc(n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (line = text; (nl = memchr(line, '\n', size - (size_t)(line - text))); line = nl + 1) {
		*nl = '\0';
		take_line(ret, line);
	}
	if (ret->n)
		ret->v[ret->n - 1].to = log_size;
	return 0;
}

static bool is_known(const struct stretches *s, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (!strcmp(s->v[k].stream, s->v[i].stream))
			return true;
	return false;
}

int log_streams_list(const char *path, struct buf *b)
{
	auto_stretches struct stretches s = { 0 };
	int r = read_index(path, 0, &s);
	size_t i;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (i = 0; i < s.n; i++)
		if (!is_known(&s, i))
			buf_printf(b, "%s\n", s.v[i].stream);
	return buf_error(b);
}

static bool is_named(const char *stream, const char *name)
{
	const char *id = strchr(stream, ']');

	return MUTANT("log-streams") || !strcmp(stream, name) || (id && !strcmp(id + 1, name));
}

static int add_stretch(int fd, const struct stretch *s, struct buf *b)
{
	char bytes[16384];
	long long at = s->from;

	while (at < s->to) {
		size_t want = s->to - at < (long long)sizeof(bytes) ? (size_t)(s->to - at) :
								      sizeof(bytes);
		ssize_t n = pread(fd, bytes, want, at);

		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_add(b, bytes, (size_t)n);
		at += n;
	}
	return buf_error(b);
}

int log_streams_read(const char *path, const char *stream, size_t most, struct buf *b)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_stretches struct stretches s = { 0 };
	struct stat st;
	long long total = 0;
	bool found = false;
	size_t i;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = read_index(path, st.st_size, &s);
	if (r < 0)
		return r;
	for (i = 0; i < s.n; i++)
		if (is_named(s.v[i].stream, stream)) {
			found = true;
			total += s.v[i].to - s.v[i].from;
		}
	for (i = 0; i < s.n && !r; i++) {
		if (!is_named(s.v[i].stream, stream))
			continue;
		/* its end is what is wanted */
		if (total > (long long)most) {
			const long long over = total - (long long)most;
			const long long size = s.v[i].to - s.v[i].from;

			s.v[i].from += over < size ? over : size;
			total -= over < size ? over : size;
		}
		r = add_stretch(fd, &s.v[i], b);
	}
	return r ? r : found ? 0 : -ENOENT;
}
