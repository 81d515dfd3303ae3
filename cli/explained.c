/* SPDX-License-Identifier: MIT */
/*
 * explained - names are written as measured drops have them: "security group
 * main.db".
 */
#include "cli/explained.h"

#include <string.h>

#include "lib/util.h"

static void add_replaced(struct buf *b, const char *s, char from, char to)
{
	for (; *s; s++) {
		char c = *s == from ? to : *s;

		buf_add(b, &c, 1);
	}
}

static void add_place(struct buf *b, const cJSON *o)
{
	const char *file = json_str(o, "file", NULL);

	if (json_num(o, "line", 0) < 1)
		return;
	buf_printf(b, " (%s%s%.0f:%.0f)", file ? file : "line ", file ? ":" : "",
		   json_num(o, "line", 0), json_num(o, "column", 0));
}

void explained_rule(const cJSON *o, struct buf *b)
{
	const char *code = json_str(o, "code", NULL), *kind = json_str(o, "kind", "?");
	const char *component = json_str(o, "component", "?");
	const char *detail = json_str(o, "detail", json_str(o, "rule", ""));
	const char *colon =
		!strncmp(detail, "ingress rule", 12) || !strncmp(detail, "egress rule", 11) ?
			strchr(detail, ':') :
			NULL;

	if (code)
		buf_printf(b, "%s: ", code);
	add_replaced(b, kind, '_', ' ');
	if (strcmp(kind, component)) {
		buf_adds(b, " ");
		add_replaced(b, component, '/', '.');
	}
	if (colon) {
		buf_adds(b, ", ");
		buf_add(b, detail, (size_t)(colon - detail));
		detail = colon + 2;
	}
	add_place(b, o);
	if (*detail)
		buf_printf(b, ": %s", detail);
	if (json_bool(o, "answer", false))
		buf_adds(b, " (of the answer)");
}

const char *explained_deciding(const cJSON *part, struct buf *b)
{
	const cJSON *denied = json_get(part, "decided_by"), *allowed = json_get(part, "allowed_by");

	if (cJSON_IsObject(denied)) {
		explained_rule(denied, b);
		return "denied";
	}
	if (cJSON_IsObject(allowed)) {
		explained_rule(allowed, b);
		return "allowed";
	}
	return NULL;
}

bool explained_may_see(const cJSON *part, const char *seen)
{
	const cJSON *alias;

	if (!strcmp(json_str(part, "seen_as", ""), seen))
		return true;
	cJSON_ArrayForEach(alias, json_get(part, "aliases"))
		if (cJSON_IsString(alias) && !strcmp(alias->valuestring, seen))
			return true;
	return false;
}

cJSON *explained_parts(const cJSON *answer)
{
	const cJSON *parts = json_get(answer, "parts");
	cJSON *list;

	if (cJSON_IsArray(parts))
		return cJSON_Duplicate(parts, true);
	list = cJSON_CreateArray();
	cJSON_AddItemToArray(list, cJSON_Duplicate(answer, true));
	return list;
}
