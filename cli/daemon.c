/* SPDX-License-Identifier: MIT */
/*
 * daemon - start, stop and status of the daemons of this run directory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/daemons.h"
#include "cli/out.h"
#include "lib/sock.h"
#include "lib/table.h"
#include "lib/util.h"

/* GET /v1/status; NULL: it doesn't answer */
static cJSON *status_of(const struct cli *c, enum daemon d)
{
	auto_free char *sock = daemon_sock(c, d);
	struct httpc_answer a = { 0 };
	cJSON *v = NULL;

	if (sock && httpc_call(sock, "GET", "/v1/status", NULL, NULL, 0, 10000, &a) == 0 &&
	    a.status == 200 && a.body)
		v = json_parse(a.body, a.size, NULL);
	httpc_answer_done(&a);
	return v;
}

static void add_pid(cJSON *o, pid_t pid)
{
	if (pid)
		cJSON_AddNumberToObject(o, "pid", pid);
	else
		cJSON_AddNullToObject(o, "pid");
}

/* what it says of itself; else what its lock says of it */
static void add_daemon(const struct cli *c, cJSON *doc, const char *name, cJSON *said)
{
	pid_t pid = rundir_pid(c->run, name);

	if (!said) {
		said = cJSON_CreateObject();
		add_pid(said, pid);
		/* nobody but netd asks the responder: its lock is all there is to go by */
		cJSON_AddStringToObject(said, "state",
					!pid			   ? "stopped" :
					!strcmp(name, "responder") ? "running" :
								     "not answering");
	}
	cJSON_AddItemToObject(doc, name, said);
}

static cJSON *gather(const struct cli *c)
{
	cJSON *netd = status_of(c, DAEMON_NETD), *sandboxd = status_of(c, DAEMON_SANDBOXD);
	cJSON *responder = cJSON_DetachItemFromObjectCaseSensitive(netd, "responder");
	cJSON *limits = cJSON_DetachItemFromObjectCaseSensitive(netd, "limits");
	cJSON *more = cJSON_DetachItemFromObjectCaseSensitive(sandboxd, "limits"), *item;
	cJSON *doc = cJSON_CreateObject();

	if (!limits)
		limits = cJSON_CreateObject();
	while (more && more->child) {
		item = cJSON_DetachItemViaPointer(more, more->child);
		if (json_get(limits, item->string))
			cJSON_Delete(item); /* netd's word stands */
		else
			cJSON_AddItemToObject(limits, item->string, item);
	}
	cJSON_Delete(more);
	/* sandboxd's status may carry netd's responder as well */
	cJSON_DeleteItemFromObjectCaseSensitive(sandboxd, "responder");
	add_daemon(c, doc, "netd", netd);
	add_daemon(c, doc, "sandboxd", sandboxd);
	add_daemon(c, doc, "responder", responder);
	cJSON_AddItemToObject(doc, "limits", limits);
	return doc;
}

static int status(const struct cli *c)
{
	static const char *const names[] = { "netd", "sandboxd", "responder" };
	static const char *const heads[] = { "DAEMON", ">PID", "STATE", NULL };
	cJSON *doc = gather(c);
	struct table *t;
	char pid[24];
	size_t i;
	int r;

	if (c->json)
		return out_json(c, doc);
	t = table_new(heads, c->color_out);
	for (i = 0; t && i < ARRAY_SIZE(names); i++) {
		const cJSON *o = json_get(doc, names[i]);
		const char *cells[] = { names[i], pid, json_str(o, "state", "?") };

		(void)snprintf(pid, sizeof(pid), "%.0f", json_num(o, "pid", 0));
		if (!strcmp(pid, "0"))
			cells[1] = NULL;
		(void)table_add(t, cells); /* table_print() tells */
		table_color(t, 2, !strcmp(cells[2], "running") ? "green" : "yellow");
	}
	r = t ? table_print(t, stdout) : -1;
	table_free(t);
	cJSON_Delete(doc);
	return r < 0 ? out_no_memory(c) : out_done(c);
}

static bool is_other(const char *wish, double have)
{
	return wish && strtod(wish, NULL) != have;
}

static int start(struct cli *c, const struct args *a)
{
	struct daemon_wishes w = { args_get(a, "group"), args_get(a, "listen"), args_get(a, "idle"),
				   args_get(a, "memory"), args_get(a, "allow-endpoint") };
	int r = daemons_start(c, &w);
	auto_json cJSON *said = r ? NULL : status_of(c, DAEMON_SANDBOXD);
	const char *other;

	if (!said)
		return r;
	/* one that ran before is as it was */
	other = w.listen && !json_str(said, "endpoint", NULL)	    ? "without --listen" :
		is_other(w.idle, json_num(said, "idle_seconds", 0)) ? "with another --idle" :
		is_other(w.memory, json_num(said, "memory_mb", 0))  ? "with another --memory" :
								      NULL;
	return other ? out_fail(c, ERR_BUSY,
				"daemon start: sandboxd runs %s: stop it first (labs stay up)",
				other) :
		       r;
}

static int daemon_verb(struct cli *c, const struct args *a)
{
	const char *what = a->words[0];
	int r;

	if (!strcmp(what, "status"))
		return status(c);
	if (!strcmp(what, "start"))
		r = start(c, a);
	else if (!strcmp(what, "stop"))
		r = daemons_stop(c);
	else
		return out_fail_usage(c, "daemon: %s: start, stop or status", what);
	if (!r && c->json)
		r = out_json(c, gather(c));
	return r;
}

static const struct arg_opt OPTS[] = {
	{ "group", 0, "NAME", "start: this group may use the sockets, which is as good as root" },
	{ "listen", 0, "A:PORT",
	  "start: Lambda's API on a port of the loopback, for AWS's clients" },
	{ "idle", 0, "SECONDS", "start: of AWS's time that idle environments live (300)" },
	{ "allow-endpoint", 0, "A:PORT,...",
	  "start: where queues and topics may be outside of labs" },
	{ "memory", 0, "MB", "start: of all environments, then idle ones go (80 % of the host's)" },
	{ 0 },
};

const struct verb VERB_DAEMON = {
	.name = "daemon",
	.usage = "start|stop|status",
	.summary = "the daemons of this run directory; labs stay up when they stop",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.fn = daemon_verb,
};
