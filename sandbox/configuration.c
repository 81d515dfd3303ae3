/* SPDX-License-Identifier: MIT */
/*
 * configuration - see configuration.h.
 */
#include "sandbox/configuration.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/functions.h"
#include "sandbox/states.h"

static void text(cJSON *o, const char *name, const char *value)
{
	cJSON_AddStringToObject(o, name, value);
}

__attribute__((format(printf, 3, 4))) static void textf(cJSON *o, const char *name, const char *fmt,
							...)
{
	char value[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	text(o, name, value);
}

/* an object's id in netd's show */
static const char *id_of(const struct func *f, const char *kind, const char *name)
{
	const cJSON *vpc = json_get(json_get(f->slab->show, "vpcs"), f->spec->vpc->name);

	return json_str(json_get(json_get(vpc, kind), name), "id", "");
}

static cJSON *vpc_config(const struct func *f)
{
	cJSON *o = cJSON_CreateObject(), *subnets, *groups;
	size_t i;

	subnets = cJSON_AddArrayToObject(o, "SubnetIds");
	groups = cJSON_AddArrayToObject(o, "SecurityGroupIds");
	for (i = 0; i < f->spec->n_subnets; i++)
		cJSON_AddItemToArray(subnets, cJSON_CreateString(id_of(f, "subnets",
								       f->spec->subnets[i]->name)));
	for (i = 0; i < f->spec->n_security_groups; i++)
		cJSON_AddItemToArray(groups,
				     cJSON_CreateString(id_of(f, "security_groups",
							      f->spec->security_groups[i]->name)));
	if (!MUTANT("vpc-config"))
		text(o, "VpcId",
		     json_str(json_get(json_get(f->slab->show, "vpcs"), f->spec->vpc->name), "id",
			      ""));
	cJSON_AddFalseToObject(o, "Ipv6AllowedForDualStack");
	return o;
}

/* 2026-01-02T03:04:05.678+0000 */
static void modified(const struct func *f, cJSON *o)
{
	time_t s = (time_t)(f->modified_ms / 1000);
	char at[40] = "";
	struct tm tm;

	if (gmtime_r(&s, &tm))
		(void)strftime(at, sizeof(at), "%FT%T", &tm);
	textf(o, "LastModified", "%s.%03d+0000", at, (int)(f->modified_ms % 1000));
}

static void environment(const struct function *s, cJSON *o)
{
	cJSON *vars;
	size_t i;

	if (!s->n_environment)
		return;
	vars = cJSON_AddObjectToObject(cJSON_AddObjectToObject(o, "Environment"), "Variables");
	for (i = 0; i < s->n_environment; i++)
		text(vars, s->environment[i].name, s->environment[i].value);
}

/* of the code as it was copied; what has no code is known by its command */
static void code_digest(const struct func *f, cJSON *o)
{
	const char *hex = *f->code ? f->code : f->digest;
	auto_free char *encoded = NULL;
	uint8_t d[32];
	size_t i;
	unsigned byte;

	for (i = 0; i < sizeof(d); i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return;
		d[i] = (uint8_t)byte;
	}
	encoded = base64(d, sizeof(d));
	if (encoded)
		text(o, "CodeSha256", encoded);
}

cJSON *configuration_of(const struct func *f, const char *qualifier)
{
	const struct function *s = f->spec;
	char arn[FUNCTIONS_ARN_SIZE];
	cJSON *o = cJSON_CreateObject();

	text(o, "FunctionName", s->name);
	functions_arn(f, qualifier, arn);
	text(o, "FunctionArn", arn);
	/* an image says itself what it runs */
	if (!s->image[0])
		text(o, "Runtime", s->runtime);
	textf(o, "Role", "arn:aws:iam::" ACCOUNT ":role/%s", s->role ? s->role->name : "lambda");
	if (!s->image[0])
		text(o, "Handler", s->handler);
	text(o, "Description", "");
	cJSON_AddNumberToObject(o, "Timeout", s->timeout);
	cJSON_AddNumberToObject(o, "MemorySize", s->memory_size);
	modified(f, o);
	code_digest(f, o);
	text(o, "Version", f->version);
	if (s->vpc)
		cJSON_AddItemToObject(o, "VpcConfig", vpc_config(f));
	environment(s, o);
	text(o, "PackageType", MUTANT("package-type") || !s->image[0] ? "Zip" : "Image");
	cJSON_AddNumberToObject(cJSON_AddObjectToObject(o, "EphemeralStorage"), "Size",
				s->ephemeral_storage);
	states_configuration(f, o);
	return o;
}

void configuration_more(const struct func *f, cJSON *o)
{
	long reserved = f->spec->reserved_concurrent_executions;

	if (reserved >= 0)
		cJSON_AddNumberToObject(cJSON_AddObjectToObject(o, "Concurrency"),
					"ReservedConcurrentExecutions", (double)reserved);
}
