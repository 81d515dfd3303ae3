/* SPDX-License-Identifier: MIT */
/*
 * flow_field - see flow_field.h.
 */
#include "topology/flow_field.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"

static const struct {
	const char *name;
	unsigned version;
} rows[FLOW_N_FIELDS] = {
#define FLOW_ROW(sym, name, version) { name, version },
	FLOW_FIELDS(FLOW_ROW)
#undef FLOW_ROW
};

const char flow_format_default[] =
	"${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} "
	"${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

const char *flow_field_name(enum flow_field f)
{
	return rows[f].name;
}

int flow_field_find(const char *name, size_t size, enum flow_field *ret)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (strlen(rows[i].name) == size && memcmp(rows[i].name, name, size) == 0) {
			*ret = (enum flow_field)i;
			return 0;
		}
	return -ENOENT;
}

static bool has_field(const struct flow_format *f, enum flow_field x)
{
	size_t i;

	for (i = 0; i < f->n_fields; i++)
		if (f->fields[i] == x)
			return true;
	return false;
}

/* one word of a format */
static int word_parse(const char *word, size_t len, struct flow_format *f)
{
	enum flow_field x;

	if (len < 4 || word[0] != '$' || word[1] != '{' || word[len - 1] != '}')
		return -EINVAL;
	if (flow_field_find(word + 2, len - 3, &x) < 0)
		return -ENOENT;
	if (has_field(f, x) || f->n_fields == FLOW_FIELDS_MAX)
		return -E2BIG;
	f->fields[f->n_fields++] = x;
	if (rows[x].version > f->version && !MUTANT("flow-version"))
		f->version = rows[x].version;
	return 0;
}

int flow_format_parse(const char *text, struct flow_format *ret, size_t *ret_at, size_t *ret_size)
{
	const char *s = text;
	int r;

	*ret = (struct flow_format){ .version = 2 };
	for (;;) {
		size_t len = strcspn(s, " ");

		*ret_at = (size_t)(s - text);
		*ret_size = len;
		r = word_parse(s, len, ret);
		if (r < 0 || !s[len])
			return r;
		s += len + 1;
	}
}
