/* SPDX-License-Identifier: MIT */
/*
 * store_text - what of a store must survive, as lines of text: the seed,
 * incarnations, notes, idle ways and numbers.  Everything else follows from the document.
 *
 *	seed TEXT
 *	past KIND\tNAME\tINCARNATION
 *	note ID\tTEXT
 *	idle KEY\tUNTIL
 *	alloc SCOPE\tOWNER\tVALUE
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "topology/store_internal.h"

static void save_past(const char *key, void *value, void *arg)
{
	buf_printf(arg, "past %s\t%u\n", key, (unsigned)(uintptr_t)value);
}

static void save_note(const char *key, void *value, void *arg)
{
	buf_printf(arg, "note %s\t%s\n", key, (const char *)value);
}

void store_save(const struct store *s, struct buf *b)
{
	auto_buf struct buf numbers = BUF_INIT;
	const char *line;
	size_t i;

	buf_printf(b, "seed %s\n", s->seed);
	strmap_each(&s->past->map, save_past, b);
	strmap_each(&s->index->notes, save_note, b);
	for (i = 0; i < s->n_egresses; i++) {
		const struct s_egress *g = s->egresses[i];

		if (g->idle)
			buf_printf(b, "idle %s\t%" PRId64 "\n", g->key ? g->key : g->ns,
				   g->until_ms);
	}
	alloc_print(s->alloc, &numbers);
	if (buf_error(&numbers))
		b->failed = true;
	for (line = buf_str(&numbers); *line;) {
		size_t n = strcspn(line, "\n");

		buf_adds(b, "alloc ");
		buf_add(b, line, n + 1);
		line += n + 1;
	}
}

static int load_past(struct saved *s, char *line)
{
	char *tab = strrchr(line, '\t');
	uint64_t n;

	if (!tab || parse_u64(tab + 1, 1, UINT32_MAX, &n))
		return -EINVAL;
	*tab = '\0';
	strmap_put(&s->past->map, line, (void *)(uintptr_t)n);
	return 0;
}

static int load_pair(struct strmap *map, char *line)
{
	char *tab = strchr(line, '\t');

	if (!tab)
		return -EINVAL;
	*tab = '\0';
	strmap_put(map, line, tab + 1);
	return 0;
}

/* "line" lives as long as "s" */
static int load_line(struct saved *s, char *line)
{
	if (!strncmp(line, "seed ", 5)) {
		s->seed = line + 5;
		return 0;
	}
	if (!strncmp(line, "past ", 5))
		return load_past(s, line + 5);
	if (!strncmp(line, "note ", 5))
		return load_pair(s->notes, line + 5);
	if (!strncmp(line, "idle ", 5))
		return load_pair(s->idle, line + 5);
	if (!strncmp(line, "alloc ", 6))
		return alloc_parse_line(s->alloc, line + 6);
	return -EINVAL;
}

static int load_lines(struct saved *s, char *text)
{
	char *save = NULL, *line;
	int r = 0;

	for (line = strtok_r(text, "\n", &save); line && !r; line = strtok_r(NULL, "\n", &save))
		r = load_line(s, line);
	if (!r && !s->seed)
		r = -EINVAL;
	return r;
}

int store_load(struct lab *lab, const char *text, struct store **ret, struct err *e)
{
	auto_free char *copy = strdup(text);
	struct store_past past = { 0 };
	struct strmap notes = { 0 }, idle = { 0 };
	struct saved saved = {
		.past = &past,
		.notes = &notes,
		.idle = &idle,
		.alloc = alloc_new(),
	};
	int r = -ENOMEM;

	if (copy && saved.alloc)
		r = load_lines(&saved, copy);
	if (r == -ENOMEM || past.map.failed || notes.failed || idle.failed)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "store: out of memory");
	else if (r)
		r = err_set(e, ERR_STATE, EINVAL, "the saved state of lab %s is damaged",
			    lab->name);
	else
		r = store_build(NULL, &saved, lab, saved.seed, NULL, ret, NULL, e);
	if (!r)
		(*ret)->owned = lab;
	alloc_free(saved.alloc);
	strmap_done(&past.map);
	strmap_done(&notes);
	strmap_done(&idle);
	return r;
}
