/* SPDX-License-Identifier: MIT */
/*
 * follow - see follow.h.
 */
#include "sandbox/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/capture.h"

struct follow {
	LIST_ENTRY(follow) link;
	struct sandboxd *sd;
	char *lab;    /* owns */
	cJSON *nodes; /* owns; NULL: every node */
	cJSON *open;  /* owns; names of the namespaces whose sockets were told */
	follow_fn fn;
	void *arg;
};

static bool has(const cJSON *list, const char *name)
{
	const cJSON *o;

	cJSON_ArrayForEach(o, list)
		if (!strcmp(o->valuestring, name))
			return true;
	return false;
}

/* each once: functions share egress namespaces */
static cJSON *wanted(const struct follow *f, const cJSON *show)
{
	auto_json cJSON *all = cJSON_CreateArray();
	cJSON *list = cJSON_CreateArray();
	const cJSON *o;

	if (!f->nodes)
		capture_all_names(show, all);
	cJSON_ArrayForEach(o, f->nodes)
		(void)capture_names(show, o->valuestring, all); /* it may be gone for now */
	cJSON_ArrayForEach(o, all)
		if (!has(list, o->valuestring))
			cJSON_AddItemToArray(list, cJSON_CreateString(o->valuestring));
	return list;
}

/* tells sockets of "names" (<= CAPTURES_MAX); takes it */
static int tell_some(struct follow *f, cJSON *names, int more, cJSON *o, struct err *e)
{
	int fds[CAPTURES_MAX], r = 0;
	const cJSON *name;
	size_t n = 0;

	if (cJSON_GetArraySize(names))
		r = capture_open(f->sd, f->lab, names, fds, &n, e);
	if (r) {
		cJSON_Delete(names);
		cJSON_Delete(o);
		return r;
	}
	cJSON_ArrayForEach(name, names)
		cJSON_AddItemToArray(f->open, cJSON_CreateString(name->valuestring));
	cJSON_AddItemToObject(o, "captures", names);
	if (more)
		cJSON_AddTrueToObject(o, "more");
	f->fn(o, fds, n, f->arg);
	while (n)
		close(fds[--n]);
	return 0;
}

/* sockets of what isn't open yet; "nodes" >= 0 is told with the last */
static int tell_new(struct follow *f, const cJSON *show, int nodes, struct err *e)
{
	auto_json cJSON *list = wanted(f, show), *fresh = cJSON_CreateArray();
	const cJSON *name;
	int left, r = 0;

	cJSON_ArrayForEach(name, list)
		if (!has(f->open, name->valuestring))
			cJSON_AddItemToArray(fresh, cJSON_CreateString(name->valuestring));
	left = cJSON_GetArraySize(fresh);
	if (!left && nodes < 0)
		return 0;
	if (cJSON_GetArraySize(f->open) + left > FOLLOW_NAMESPACES_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "at most %d namespaces are captured at a time",
			       FOLLOW_NAMESPACES_MAX);
	do {
		cJSON *some = cJSON_CreateArray(), *o = cJSON_CreateObject();
		int i;

		for (i = 0; i < CAPTURES_MAX && left > 0; i++, left--)
			cJSON_AddItemToArray(some, cJSON_DetachItemFromArray(fresh, 0));
		if (!left && nodes >= 0)
			cJSON_AddNumberToObject(o, "nodes", nodes);
		r = tell_some(f, some, left, o, e);
	} while (!r && left > 0);
	return r;
}

static int read_nodes(struct follow *f, const cJSON *nodes, const cJSON *show, struct err *e)
{
	const cJSON *word;

	cJSON_ArrayForEach(word, nodes) {
		auto_json cJSON *list = cJSON_CreateArray();

		if (!cJSON_IsString(word))
			return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "nodes: a list of words");
		if (capture_names(show, word->valuestring, list) < 0)
			break;
		cJSON_AddItemToArray(f->nodes, cJSON_Duplicate(word, true));
	}
	return 0;
}

int follow_new(struct sandboxd *sd, const char *lab, const cJSON *nodes, follow_fn fn, void *arg,
	       struct follow **ret, struct err *e)
{
	const struct slab *l = slab_find(sd, lab);
	struct follow *f = calloc(1, sizeof(*f));
	int r = 0;

	if (!f)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	f->sd = sd;
	f->lab = strdup(lab);
	f->open = cJSON_CreateArray();
	f->nodes = nodes ? cJSON_CreateArray() : NULL;
	f->fn = fn;
	f->arg = arg;
	LIST_INSERT_HEAD(&sd->follows, f, link);
	if (!f->lab || !f->open || (nodes && !f->nodes))
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (!r && nodes)
		r = read_nodes(f, nodes, l ? l->show : NULL, e);
	if (!r)
		r = tell_new(f, l ? l->show : NULL, cJSON_GetArraySize(f->nodes), e);
	if (r)
		follow_free(f);
	else
		*ret = f;
	return r;
}

struct follow *follow_free(struct follow *f)
{
	if (!f)
		return NULL;
	LIST_REMOVE(f, link);
	cJSON_Delete(f->nodes);
	cJSON_Delete(f->open);
	free(f->lab);
	free(f);
	return NULL;
}

static void tell_missed(struct follow *f, const cJSON *show, const struct err *e)
{
	auto_json cJSON *list = wanted(f, show);
	cJSON *o = cJSON_CreateObject(), *missed = cJSON_AddArrayToObject(o, "missed");
	const cJSON *name;

	cJSON_ArrayForEach(name, list)
		if (!has(f->open, name->valuestring))
			cJSON_AddItemToArray(missed, cJSON_CreateString(name->valuestring));
	cJSON_AddStringToObject(o, "message", e->msg);
	f->fn(o, NULL, 0, f->arg);
}

void follow_changed(const struct sandboxd *sd, const char *lab, const cJSON *show)
{
	struct follow *f;

	LIST_FOREACH(f, &sd->follows, link) {
		struct err e = { 0 };

		if (!strcmp(f->lab, lab) && !MUTANT("capture-follow") &&
		    tell_new(f, show, -1, &e) < 0)
			tell_missed(f, show, &e);
	}
}

void follow_settled(const struct sandboxd *sd, const char *lab, const cJSON *show)
{
	struct follow *f;

	LIST_FOREACH(f, &sd->follows, link) {
		auto_json cJSON *list = NULL, *o = NULL;
		cJSON *gone, *name, *next;

		if (strcmp(f->lab, lab) != 0)
			continue;
		list = wanted(f, show);
		o = cJSON_CreateObject();
		gone = cJSON_AddArrayToObject(o, "gone");
		for (name = f->open->child; name; name = next) {
			next = name->next;
			if (!has(list, name->valuestring))
				cJSON_AddItemToArray(gone,
						     cJSON_DetachItemViaPointer(f->open, name));
		}
		if (cJSON_GetArraySize(gone))
			f->fn(steal_ptr(&o), NULL, 0, f->arg);
	}
}
