/* SPDX-License-Identifier: MIT */
/*
 * traces - see traces.h.
 */
#include "sandbox/traces.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define WAIT_MS 10000
/* netd's own limit: places, names and the silence itself have to fit */
#define SECONDS (2.5 * TRACES_TIMEOUT_MAX / 1000)

struct asked {
	traces_begun_fn begun;
	traces_ended_fn ended;
	void *arg;
};

static void on_answer(struct httpc_answer *a, void *arg)
{
	struct asked *q = arg;
	auto_json cJSON *o = a->body ? json_parse(a->body, a->size, NULL) : NULL;
	const char *error = a->status == 200 ? NULL :
			    a->status	     ? json_str(o, "message", "netd refuses") :
					       a->error;
	const struct asked copy = *q;

	free(q);
	if (copy.begun)
		copy.begun(error ? NULL : json_str(o, "trace", ""), error, copy.arg);
	else
		copy.ended(error ? NULL : json_get(o, "trails"), error, copy.arg);
}

/* takes "body" */
static void ask(struct sandboxd *sd, char *path, cJSON *body, const struct asked *what)
{
	struct httpc_answer none = { .error = "out of memory" };
	struct asked *q = malloc(sizeof(*q));
	auto_free char *text = json_print(body);

	cJSON_Delete(body);
	if (!q) {
		if (what->begun)
			what->begun(NULL, none.error, what->arg);
		else
			what->ended(NULL, none.error, what->arg);
		return;
	}
	*q = *what;
	if (!path || !text ||
	    httpc_start(sd->httpc, sd->netd, "POST", path, NULL, text, strlen(text), WAIT_MS,
			on_answer, q) < 0)
		on_answer(&none, q);
}

void traces_begin(struct sandboxd *sd, const char *lab, const struct port *port, cJSON *addresses,
		  traces_begun_fn fn, void *arg)
{
	cJSON *o = cJSON_CreateObject();
	auto_free char *path = NULL;

	cJSON_AddStringToObject(o, "protocol",
				port->proto == IPPROTO_TCP ? "tcp" :
				port->proto == IPPROTO_UDP ? "udp" :
							     "icmp");
	cJSON_AddNumberToObject(o, "port", port->port);
	cJSON_AddItemToObject(o, "addresses", addresses);
	cJSON_AddNumberToObject(o, "timeout", SECONDS);
	if (asprintf(&path, "/v1/labs/%s/traces", lab) < 0)
		path = NULL;
	ask(sd, path, o, &(struct asked){ .begun = fn, .arg = arg });
}

void traces_end(struct sandboxd *sd, const char *lab, const char *id, cJSON *flows,
		traces_ended_fn fn, void *arg)
{
	cJSON *o = cJSON_CreateObject();
	auto_free char *path = NULL;

	cJSON_AddItemToObject(o, "flows", flows);
	if (asprintf(&path, "/v1/labs/%s/traces/%s", lab, id) < 0)
		path = NULL;
	ask(sd, path, o, &(struct asked){ .ended = fn, .arg = arg });
}
