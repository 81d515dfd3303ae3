/* SPDX-License-Identifier: MIT */
/*
 * issues - what is done with the faults and warnings of a file: their order,
 * the exit status, the JSON that "check" prints, a line of text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/read.h"

static int issue_cmp(const void *a, const void *b)
{
	const struct issue *x = a, *y = b;

	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	if (x->pos.column != y->pos.column)
		return x->pos.column < y->pos.column ? -1 : 1;
	/* of one place: what is invalid before what isn't supported; then, so
	 * that the order never hangs on the passes', by text */
	if (x->exit != y->exit)
		return x->exit < y->exit ? -1 : 1;
	return strcmp(x->msg, y->msg);
}

void issues_sort(struct issues *i)
{
	if (i->n_errors)
		qsort(i->errors, i->n_errors, sizeof(*i->errors), issue_cmp);
	if (i->n_warnings)
		qsort(i->warnings, i->n_warnings, sizeof(*i->warnings), issue_cmp);
}

void issues_done(struct issues *i)
{
	(void)arena_free(i->arena);
	*i = (struct issues){ 0 };
}

int issues_exit(const struct issues *i)
{
	int status = 0;

	for (size_t n = 0; n < i->n_errors; n++) {
		if (i->errors[n].exit == 2)
			return 2;
		status = i->errors[n].exit;
	}
	return status;
}

char *issue_line(const struct issue *i)
{
	char *s;
	int n = asprintf(&s, "%s:%u:%u: %s%s%s", i->file, i->pos.line, i->pos.column, i->path,
			 *i->path ? ": " : "", i->msg);

	return n < 0 ? NULL : s;
}

static cJSON *issue_json(const struct issue *i)
{
	cJSON *o = cJSON_CreateObject();

	if (o && cJSON_AddStringToObject(o, "file", i->file) &&
	    cJSON_AddNumberToObject(o, "line", i->pos.line) &&
	    cJSON_AddNumberToObject(o, "column", i->pos.column) &&
	    cJSON_AddStringToObject(o, "path", i->path) &&
	    cJSON_AddStringToObject(o, "message", i->msg) &&
	    cJSON_AddStringToObject(o, "code", i->code))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static bool add_list(cJSON *o, const char *key, const struct issue *v, size_t n)
{
	cJSON *list = cJSON_AddArrayToObject(o, key);

	for (size_t i = 0; list && i < n; i++) {
		cJSON *one = issue_json(&v[i]);

		if (!one || !cJSON_AddItemToArray(list, one)) {
			cJSON_Delete(one);
			return false;
		}
	}
	return list != NULL;
}

cJSON *issues_json(const struct issues *i)
{
	cJSON *o = cJSON_CreateObject();

	if (o && cJSON_AddBoolToObject(o, "valid", i->n_errors == 0) &&
	    add_list(o, "errors", i->errors, i->n_errors) &&
	    add_list(o, "warnings", i->warnings, i->n_warnings))
		return o;
	cJSON_Delete(o);
	return NULL;
}
