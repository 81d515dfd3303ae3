/* SPDX-License-Identifier: MIT */
/* invocation - see invocation.h */
#include "sandbox/invocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "sandbox/functions.h"

static char *new_trace(void)
{
	char id[33], *trace;

	sandboxd_random_id(id);
	return asprintf(&trace, "Root=1-%08llx-%.24s;Parent=%.16s;Sampled=0",
			(unsigned long long)(wall_ms() / 1000), id, id + 8) < 0 ?
		       NULL :
		       trace;
}

struct invocation *invocation_new(const struct func *f, const char *qualifier, const char *id,
				  const void *payload, size_t size, const char *context,
				  const char *trace)
{
	struct invocation *i = calloc(1, sizeof(*i));
	char arn[FUNCTIONS_ARN_SIZE];

	if (!i)
		return NULL;
	if (id)
		(void)snprintf(i->id, sizeof(i->id), "%s", id);
	else
		uuid4(i->id);
	memcpy(i->version, f->version, sizeof(i->version));
	i->size = size;
	i->payload = malloc(size);
	if (i->payload)
		memcpy(i->payload, payload, size);
	functions_arn(f, qualifier, arn);
	i->arn = strdup(arn);
	i->context = strdup(context ? context : "");
	i->trace = trace ? strdup(trace) : new_trace();
	if (i->payload && i->arn && i->context && i->trace)
		return i;
	invocation_free(i);
	return NULL;
}

void invocation_free(struct invocation *i)
{
	if (!i)
		return;
	free(i->payload);
	free(i->context);
	free(i->arn);
	free(i->trace);
	free(i);
}
