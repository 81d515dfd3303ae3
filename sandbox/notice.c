/* SPDX-License-Identifier: MIT */
/*
 * notice - see notice.h.  One request is under way at a time, with all that came meanwhile.
 */
#include "sandbox/notice.h"

#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define NOTICE_MS 10000

static void send_all(struct sandboxd *sd);

static void on_said(struct httpc_answer *a, void *arg)
{
	struct sandboxd *sd = arg;

	if (a->status != 200)
		log_warn("events are lost: netd: %s", a->status ? a->body : a->error);
	sd->noticing = false;
	send_all(sd);
}

static void send_all(struct sandboxd *sd)
{
	const char *const headers[] = { "Content-Type: application/json", NULL };
	auto_json cJSON *body = NULL;
	auto_free char *text = NULL;

	if (sd->noticing || !sd->notices)
		return;
	body = cJSON_CreateObject();
	cJSON_AddItemToObject(body, "events", steal_ptr(&sd->notices));
	text = json_print(body);
	if (text && httpc_start(sd->httpc, sd->netd, "POST", "/v1/events", headers, text,
				strlen(text), NOTICE_MS, on_said, sd) == 0)
		sd->noticing = true;
	else
		log_warn("events are lost: out of memory");
}

/* NULL: what is gone, or has none */
static const char *id_of(const struct slab *l, const char *kind, const char *name)
{
	const cJSON *o = !strcmp(kind, "function") ?
				 json_get(json_get(l->show, "functions"), name) :
				 slab_node(l, name);

	return json_str(o, "id", NULL);
}

void notice(struct slab *l, const char *event, const char *kind, const char *name,
	    const char *detail)
{
	struct sandboxd *sd = l->sd;
	cJSON *o;

	if (MUTANT("notices"))
		return;
	if (!sd->notices)
		sd->notices = cJSON_CreateArray();
	if (cJSON_GetArraySize(sd->notices) >= NOTICES_MAX) {
		log_warn("lab=%s %s %s %s: an event is lost: netd is slow", l->name, event, kind,
			 name);
		return;
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "lab", l->name);
	cJSON_AddStringToObject(o, "event", event);
	cJSON_AddStringToObject(o, "kind", kind);
	cJSON_AddStringToObject(o, "name", name);
	if (id_of(l, kind, name))
		cJSON_AddStringToObject(o, "id", id_of(l, kind, name));
	if (detail)
		cJSON_AddStringToObject(o, "detail", detail);
	cJSON_AddItemToArray(sd->notices, o);
	send_all(sd);
}

void notice_node(struct slab *l, const char *event, const char *node, const char *detail)
{
	notice(l, event, json_str(slab_node(l, node), "kind", "instance"), node, detail);
}

void notice_changes(struct slab *l, const cJSON *changes, int first)
{
	static const char *const events[][2] = { { "create", "created" },
						 { "update", "updated" },
						 { "delete", "deleted" } };
	const cJSON *o;
	size_t i;

	cJSON_ArrayForEach(o, changes) {
		if (first-- > 0)
			continue;
		for (i = 0; i < ARRAY_SIZE(events); i++)
			if (!strcmp(json_str(o, "action", ""), events[i][0]))
				notice(l, events[i][1], json_str(o, "kind", "?"),
				       json_str(o, "name", "?"), json_str(o, "because", NULL));
	}
}

void notice_end(struct sandboxd *sd)
{
	cJSON_Delete(sd->notices);
	sd->notices = NULL;
}
