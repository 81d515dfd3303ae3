/* SPDX-License-Identifier: MIT */
/*
 * schema - prints the table of members as JSON Schema 2020-12, for editors.
 * topology/schema.json is this output, and a test keeps it so.  What needs more
 * than a value's shape (references, address arithmetic) isn't in it.
 */
#include "topology/shape.h"

#include <stdio.h>
#include <string.h>

#include "topology/lab.h"

#define SCHEMA_ID "https://vpclab.example/schema/lab.json"

static cJSON *describe(const struct shape *s, cJSON *defs);

/* every helper takes an object that may be NULL, and gives NULL without memory:
 * the result is checked once, at the end, by counting nothing but "ok" */
static bool put(cJSON *o, const char *key, cJSON *value)
{
	if (o && value && cJSON_AddItemToObject(o, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static cJSON *text_list(const char *const *words)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && words[i]; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(words[i]));
	return list;
}

static bool put_text(cJSON *o, const char *key, const char *text)
{
	return put(o, key, cJSON_CreateString(text));
}

static bool put_bounds(cJSON *o, const struct shape *s, const char *least, const char *most)
{
	bool ok = true;

	if (s->min > 0)
		ok = put(o, least, cJSON_CreateNumber(s->min));
	if (s->max > 0)
		ok = put(o, most, cJSON_CreateNumber(s->max)) && ok;
	return ok;
}

static bool put_text_shape(cJSON *o, const struct shape *s)
{
	bool ok = put_text(o, "type", "string");

	if (s->words)
		ok = put(o, "enum", text_list(s->words)) && ok;
	if (s->format)
		ok = put_text(o, "pattern", s->format->pattern) && ok;
	return put_bounds(o, s, "minLength", "maxLength") && ok;
}

static bool put_number_shape(cJSON *o, const struct shape *s)
{
	return put_text(o, "type", s->kind == SHAPE_INT ? "integer" : "number") &&
	       put(o, "minimum", cJSON_CreateNumber(s->min)) &&
	       put(o, "maximum", cJSON_CreateNumber(s->max));
}

static bool put_map_shape(cJSON *o, const struct shape *s, cJSON *defs)
{
	cJSON *comment = cJSON_CreateObject(), *names = cJSON_CreateObject();
	cJSON *either = cJSON_AddArrayToObject(names, "anyOf"), *one = cJSON_CreateObject();
	bool ok = put_text(o, "type", "object");

	/* a comment is no entry of the map */
	ok = put(comment, "$comment", cJSON_CreateTrue()) && put(o, "properties", comment) && ok;
	ok = put(o, "additionalProperties", describe(s->of, defs)) && ok;
	if (!s->format) {
		cJSON_Delete(names);
		cJSON_Delete(one);
		return ok;
	}
	ok = put_text(one, "pattern", s->format->pattern) && cJSON_AddItemToArray(either, one) &&
	     ok;
	one = cJSON_CreateObject();
	ok = put_text(one, "const", "$comment") && cJSON_AddItemToArray(either, one) && ok;
	return put(o, "propertyNames", names) && ok;
}

static cJSON *default_value(const struct member *m)
{
	const struct shape *s = m->shape;

	if (m->def_str)
		return cJSON_CreateString(m->def_str);
	if (s->kind == SHAPE_EITHER)
		s = s->alternatives[0];
	return s->kind == SHAPE_BOOL ? cJSON_CreateBool(m->def_num != 0) :
				       cJSON_CreateNumber(m->def_num);
}

static cJSON *describe_member(const struct member *m, cJSON *defs)
{
	cJSON *o = describe(m->shape, defs);
	bool ok = put_text(o, "description", m->doc);

	if (m->has_def)
		ok = put(o, "default", default_value(m)) && ok;
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}

/* {"required":[key]} for each */
static cJSON *required_each(const char *const *keys)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && keys[i]; i++) {
		const char *const one[] = { keys[i], NULL };
		cJSON *o = cJSON_CreateObject();

		(void)put(o, "required", text_list(one));
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

static bool put_object_shape(cJSON *o, const struct shape *s, cJSON *defs)
{
	cJSON *members = cJSON_CreateObject(), *required = cJSON_CreateArray();
	bool ok = put_text(o, "title", s->name) && put_text(o, "type", "object");

	ok = put(members, "$comment", cJSON_CreateTrue()) && ok;
	for (const struct member *m = s->members; m->name; m++) {
		ok = put(members, m->name, describe_member(m, defs)) && ok;
		if (m->required)
			cJSON_AddItemToArray(required, cJSON_CreateString(m->name));
	}
	ok = put(o, "properties", members) && put(o, "additionalProperties", cJSON_CreateFalse()) &&
	     ok;
	if (cJSON_GetArraySize(required))
		ok = put(o, "required", required) && ok;
	else
		cJSON_Delete(required);
	if (s->any_of)
		ok = put(o, "anyOf", required_each(s->any_of)) && ok;
	return ok;
}

static cJSON *alternatives(const struct shape *s, cJSON *defs)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && s->alternatives[i]; i++)
		cJSON_AddItemToArray(list, describe(s->alternatives[i], defs));
	return list;
}

/* if it has the first tag then the first alternative, else ... */
static cJSON *choice_from(const struct shape *s, size_t i, cJSON *defs)
{
	const char *const one[] = { s->tags[i], NULL };
	cJSON *o, *has;

	if (!s->tags[i])
		return describe(s->alternatives[i], defs);
	o = cJSON_CreateObject();
	has = cJSON_CreateObject();
	if (put(has, "required", text_list(one)) && put(o, "if", has) &&
	    put(o, "then", describe(s->alternatives[i], defs)) &&
	    put(o, "else", choice_from(s, i + 1, defs)))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *describe_inline(const struct shape *s, cJSON *defs)
{
	cJSON *o = s->kind == SHAPE_CHOICE ? choice_from(s, 0, defs) : cJSON_CreateObject();
	bool ok = o != NULL;

	switch (s->kind) {
	case SHAPE_ANY:
		break;
	case SHAPE_BOOL:
		ok = put_text(o, "type", "boolean");
		break;
	case SHAPE_INT:
	case SHAPE_NUM:
		ok = put_number_shape(o, s);
		break;
	case SHAPE_STR:
		ok = put_text_shape(o, s);
		break;
	case SHAPE_LIST:
		ok = put_text(o, "type", "array") && put(o, "items", describe(s->of, defs)) &&
		     put_bounds(o, s, "minItems", "maxItems");
		break;
	case SHAPE_MAP:
		ok = put_map_shape(o, s, defs);
		break;
	case SHAPE_OBJ:
		ok = put_object_shape(o, s, defs);
		break;
	case SHAPE_EITHER:
		ok = put(o, "anyOf", alternatives(s, defs));
		break;
	case SHAPE_CHOICE:
		ok = put_text(o, "type", "object");
		break;
	}
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}

/* a shape with a name stands once, in $defs */
static cJSON *describe(const struct shape *s, cJSON *defs)
{
	char ref[80];
	cJSON *o;

	if (!s->name)
		return describe_inline(s, defs);
	if (!cJSON_GetObjectItemCaseSensitive(defs, s->name) &&
	    !put(defs, s->name, describe_inline(s, defs)))
		return NULL;
	(void)snprintf(ref, sizeof(ref), "#/$defs/%s", s->name); /* our own names */
	o = cJSON_CreateObject();
	if (put_text(o, "$ref", ref))
		return o;
	cJSON_Delete(o);
	return NULL;
}

cJSON *shape_schema(void)
{
	cJSON *o = cJSON_CreateObject(), *defs = cJSON_CreateObject();
	bool ok = put_text(o, "$schema", "https://json-schema.org/draft/2020-12/schema") &&
		  put_text(o, "$id", SCHEMA_ID) && put_text(o, "title", "vpclab lab file");
	cJSON *top = describe(&shape_lab, defs);

	ok = ok && put_text(o, "$ref", "#/$defs/lab") && top;
	cJSON_Delete(top);
	ok = put(o, "$defs", defs) && ok;
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}
