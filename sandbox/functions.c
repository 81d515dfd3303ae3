/* SPDX-License-Identifier: MIT */
/*
 * functions - see functions.h.
 */
#include "sandbox/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/code.h"
#include "sandbox/async.h"
#include "sandbox/env.h"
#include "sandbox/front.h"
#include "sandbox/listen.h"
#include "sandbox/logs.h"
#include "sandbox/notice.h"
#include "sandbox/package.h"
#include "sandbox/runtime.h"
#include "sandbox/states.h"
#include "sandbox/versions.h"
#include "sandbox/view.h"
#include "sandbox/wire.h"

int functions_prepare(const struct sandboxd *sd, const struct lab *lab, const char *base,
		      char (**ret)[65], struct err *e)
{
	char(*codes)[65] = calloc(lab->n_functions + 1, sizeof(*codes));
	size_t i;
	int r = 0;

	if (!codes)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = runtime_check(lab, e);
	for (i = 0; i < lab->n_functions && !r; i++)
		r = package_take(sd->dir.state, base, &lab->functions[i], codes[i], e);
	if (r < 0) {
		free(codes);
		return r;
	}
	*ret = codes;
	return 0;
}

/* ---- what makes new environments needed ---- */

static void add_strings(struct buf *b, const struct strings *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		buf_printf(b, "%zu:%s ", strlen(s->v[i]), s->v[i]);
	buf_adds(b, "\n");
}

static void add_network(struct buf *b, const struct slab *l, const struct function *s)
{
	const cJSON *o = json_get(json_get(l->show, "functions"), s->name), *id;
	size_t i;

	for (i = 0; i < s->n_subnets; i++)
		buf_printf(b, "%s/%s ", s->vpc->name, s->subnets[i]->name);
	buf_adds(b, "\n");
	for (i = 0; i < s->n_security_groups; i++)
		buf_printf(b, "%s ", s->security_groups[i]->name);
	buf_adds(b, "\n");
	cJSON_ArrayForEach(id, json_get(o, "network_interfaces"))
		if (cJSON_IsString(id))
			buf_printf(b, "%s ", id->valuestring);
}

int functions_digest(const struct slab *l, const struct function *s, const char *code, char ret[65])
{
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	buf_printf(&b, "%s\n%s\n%s\n%u %u %u\n", s->runtime, s->handler, code, s->timeout,
		   s->memory_size, s->ephemeral_storage);
	add_strings(&b, &s->command);
	buf_printf(&b, "%d%d %s\n", s->image_config.has_entry_point, s->image_config.has_command,
		   s->image_config.working_directory);
	add_strings(&b, &s->image_config.entry_point);
	add_strings(&b, &s->image_config.command);
	for (i = 0; i < s->n_environment; i++)
		buf_printf(&b, "%s=%zu:%s\n", s->environment[i].name,
			   strlen(s->environment[i].value), s->environment[i].value);
	add_network(&b, l, s);
	if (b.failed)
		return -ENOMEM;
	sha256_hex(b.s, b.len, ret);
	return 0;
}

/* ---- changing ---- */

void functions_tell(cJSON *changes, const char *action, const char *kind, const char *name)
{
	const cJSON *c;
	cJSON *o;

	/* netd tells of the network half of a function by itself */
	cJSON_ArrayForEach(c, changes)
		if (!strcmp(json_str(c, "kind", ""), kind) &&
		    !strcmp(json_str(c, "name", ""), name))
			return;
	if (!changes)
		return;
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "action", action);
	cJSON_AddStringToObject(o, "kind", kind);
	cJSON_AddStringToObject(o, "name", name);
	cJSON_AddNullToObject(o, "id");
	cJSON_AddNullToObject(o, "because");
	cJSON_AddItemToArray(changes, o);
}

static void tell(cJSON *changes, const char *action, const char *name)
{
	functions_tell(changes, action, "function", name);
}

struct func *functions_new(struct slab *l, const char *name)
{
	struct func *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->name = strdup(name);
	if (!f->name) {
		free(f);
		return NULL;
	}
	f->slab = l;
	(void)snprintf(f->version, sizeof(f->version), "$LATEST");
	LIST_INIT(&f->envs);
	return f;
}

void functions_free(struct func *f)
{
	cJSON_Delete(f->places);
	version_doc_put(f->doc);
	free(f->name);
	free(f);
}

static struct func *func_new(struct slab *l, const char *name)
{
	struct func *f = functions_new(l, name);

	if (f) {
		f->latest = f;
		LIST_INSERT_HEAD(&l->funcs, f, link);
	}
	return f;
}

static void func_free(struct func *f)
{
	LIST_REMOVE(f, link);
	functions_free(f);
}

static void func_go(struct func *f, bool now)
{
	f->gone = true;
	f->latest = NULL;
	f->spec = NULL;
	f->provisioned = 0;
	env_drop_all(f, now);
	if (LIST_EMPTY(&f->envs))
		func_free(f);
}

void functions_env_gone(struct func *f)
{
	struct slab *l = f->slab;

	if (f->gone && LIST_EMPTY(&f->envs)) {
		func_free(f);
		front_env_gone(l);
	} else {
		versions_env_gone(f);
	}
}

/* what is in force at once: of concurrency and of events */
static void settings_of(const struct function *s, char ret[17])
{
	const struct async *a = &s->async;
	const struct destination *const d[] = { &a->on_success, &a->on_failure, &s->dead_letter };

	hash_hex(ret, 16, "%ld %u %u %g %d %s %d %s %d %s", s->reserved_concurrent_executions,
		 a->maximum_retry_attempts, a->maximum_event_age, a->duplicate_rate, d[0]->kind,
		 d[0]->name ? d[0]->name : "", d[1]->kind, d[1]->name ? d[1]->name : "", d[2]->kind,
		 d[2]->name ? d[2]->name : "");
}

/* settings change nothing of the environments that are there */
static bool is_changed(const struct func *f, const struct function *s, const char *hex)
{
	char settings[17];

	settings_of(s, settings);
	return strcmp(hex, f->digest) != 0 ||
	       (strcmp(f->settings, settings) != 0 && !MUTANT("concurrency-change"));
}

static int apply_one(struct slab *l, const struct function *s, const char *code, cJSON *changes)
{
	struct func *f = func_find(l, s->name);
	bool fresh = !f || f->phase == FUNC_PENDING;
	char hex[65];

	if (!f)
		f = func_new(l, s->name);
	if (!f)
		return -ENOMEM;
	f->spec = s;
	f->lab = l->lab;
	if (f->phase == FUNC_UPDATING)
		f->update_failed = (struct func_failure){ 0 };
	f->phase = FUNC_SETTLED;
	states_take(f, json_get(json_get(l->show, "functions"), s->name));
	if (functions_digest(l, s, code, hex) < 0)
		return -ENOMEM;
	if (fresh)
		tell(changes, "create", s->name);
	else if (is_changed(f, s, hex))
		tell(changes, "update", s->name);
	settings_of(s, f->settings);
	if (!fresh && strcmp(hex, f->digest) != 0 && !MUTANT("async-old-code"))
		env_drop_all(f, false);
	if (strcmp(hex, f->digest) != 0)
		f->modified_ms = wall_ms();
	memcpy(f->digest, hex, sizeof(hex));
	memcpy(f->code, code, sizeof(f->code));
	return 0;
}

static bool begin_one(struct slab *l, const struct lab *lab, size_t i, const char *code)
{
	const struct function *s = &lab->functions[i];
	struct func *f = func_find(l, s->name);
	char hex[65];

	if (!f) {
		/* without memory it is there when the change is through, or not at all */
		f = func_new(l, s->name);
		if (f) {
			f->lab = lab;
			f->spec = s;
			f->phase = FUNC_PENDING;
			f->modified_ms = wall_ms();
		}
		return false;
	}
	if (functions_digest(l, s, code, hex) == 0 && !is_changed(f, s, hex))
		return false;
	f->phase = FUNC_UPDATING;
	return true;
}

bool functions_begin(struct slab *l, const struct lab *lab, char (*codes)[65])
{
	const struct func *f;
	bool needed = false;
	size_t i;

	for (i = 0; i < lab->n_functions; i++)
		needed |= begin_one(l, lab, i, codes[i]);
	LIST_FOREACH(f, &l->funcs, link)
		needed |= !f->gone && !lab_function(lab, f->name);
	return needed;
}

void functions_settle(struct slab *l, const struct err *why)
{
	struct func *f, *next;

	for (f = LIST_FIRST(&l->funcs); f; f = next) {
		next = LIST_NEXT(f, link);
		if (f->phase == FUNC_PENDING) {
			func_go(f, true);
			continue;
		}
		if (f->phase == FUNC_UPDATING) {
			states_fail_update(f, why);
			if (*f->update_failed.code)
				notice(l, "failed", "function", f->name, why->msg);
		}
		f->phase = FUNC_SETTLED;
	}
}

bool functions_pending_long(const struct slab *l, double ms)
{
	const struct func *f;

	LIST_FOREACH(f, &l->funcs, link)
		if (f->phase == FUNC_PENDING && !MUTANT("pending-long"))
			return ms > STATES_PENDING_MS / f->lab->time_scale;
	return false;
}

int functions_apply(struct slab *l, char (*codes)[65], cJSON *changes)
{
	struct func *f, *next;
	size_t i;
	int r = 0;

	for (i = 0; i < l->lab->n_functions; i++)
		if (apply_one(l, &l->lab->functions[i], codes[i], changes) < 0)
			r = -ENOMEM;
	for (f = LIST_FIRST(&l->funcs); f; f = next) {
		next = LIST_NEXT(f, link);
		if (f->gone || lab_function(l->lab, f->name))
			continue;
		if (f->number) {
			func_go(f, false);
			continue;
		}
		tell(changes, "delete", f->name);
		logs_remove(l->sd, l->name, f->name);
		func_go(f, false);
	}
	return r;
}

/* what is new is published too, where that is asked for */
static void plan_version(const struct slab *l, const struct function *s, const char *digest,
			 cJSON *changes)
{
	unsigned number = versions_next(l, s, digest);
	char name[100];

	if (!number)
		return;
	(void)snprintf(name, sizeof(name), "%s:%u", s->name, number);
	functions_tell(changes, "create", "function_version", name);
}

void functions_plan(const struct slab *l, const struct lab *next, char (*codes)[65], cJSON *changes)
{
	const struct func *f;
	char hex[65];
	size_t i;

	for (i = 0; i < next->n_functions; i++) {
		f = l ? func_find(l, next->functions[i].name) : NULL;
		if (!f)
			tell(changes, "create", next->functions[i].name);
		else if (functions_digest(l, &next->functions[i], codes[i], hex) == 0 &&
			 is_changed(f, &next->functions[i], hex))
			tell(changes, "update", f->name);
		plan_version(l, &next->functions[i], f ? hex : "", changes);
	}
	if (l)
		LIST_FOREACH(f, &l->funcs, link)
			if (!f->gone && !f->number && !lab_function(next, f->name))
				tell(changes, "delete", f->name);
}

void functions_remove(struct slab *l)
{
	struct func *f, *next;

	for (f = LIST_FIRST(&l->funcs); f; f = next) {
		next = LIST_NEXT(f, link);
		func_go(f, true);
	}
}

void functions_release(struct slab *l)
{
	struct func *f;

	while ((f = LIST_FIRST(&l->funcs))) {
		env_release(f);
		func_free(f);
	}
}

/* ---- variables ---- */

void functions_arn(const struct func *f, const char *qualifier, char ret[FUNCTIONS_ARN_SIZE])
{
	(void)snprintf(ret, FUNCTIONS_ARN_SIZE, "arn:aws:lambda:%s:%s:function:%s%s%s",
		       f->lab->region, ACCOUNT, f->name, *qualifier ? ":" : "", qualifier);
}

void functions_environment(struct buf *b, const struct func *f, const char *stream,
			   bool provisioned)
{
	const struct function *s = f->spec;
	const struct lab *lab = f->lab;
	char secret[SIGV4_SECRET_SIZE];
	size_t i;

	/* the sandbox's own loopback: its network has no part in it (LN-15) */
	plan_add(b, "env",
		 MUTANT("runtime-api-way") ? "AWS_LAMBDA_RUNTIME_API=169.254.169.253:9001" :
					     "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
		 NULL);
	plan_addf(b, "env", "AWS_LAMBDA_FUNCTION_VERSION=%s", f->version);
	plan_addf(b, "env", "AWS_LAMBDA_INITIALIZATION_TYPE=%s",
		  provisioned ? "provisioned-concurrency" : "on-demand");
	plan_add(b, "env", "LAMBDA_TASK_ROOT=/var/task", NULL);
	plan_add(b, "env", "LAMBDA_RUNTIME_DIR=/var/runtime", NULL);
	plan_add(b, "env", "TZ=:UTC", NULL);
	plan_add(b, "env", "LANG=en_US.UTF-8", NULL);
	plan_add(b, "env", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin:/usr/sbin:/sbin", NULL);
	plan_add(b, "env",
		 "LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:"
		 "/var/task:/var/task/lib:/opt/lib",
		 NULL);
	/* SDKs that look for it speak HTTP to the lab's endpoint; AWS's is HTTPS */
	plan_addf(b, "env", "AWS_ENDPOINT_URL_LAMBDA=http://lambda.%s.amazonaws.com", lab->region);
	plan_addf(b, "env", "AWS_REGION=%s", lab->region);
	plan_addf(b, "env", "AWS_DEFAULT_REGION=%s", lab->region);
	plan_addf(b, "env", "AWS_LAMBDA_FUNCTION_NAME=%s", s->name);
	plan_addf(b, "env", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%u", s->memory_size);
	plan_addf(b, "env", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/%s", s->name);
	plan_addf(b, "env", "AWS_LAMBDA_LOG_STREAM_NAME=%s", stream);
	/* clients of AWS refuse to work without; the key names the lab */
	listen_secret(f->slab, secret);
	plan_addf(b, "env", "AWS_ACCESS_KEY_ID=%s", f->slab->name);
	plan_addf(b, "env", "AWS_SECRET_ACCESS_KEY=%s", secret);
	plan_add(b, "env", "AWS_SESSION_TOKEN=vpclab", NULL);
	plan_addf(b, "env", "_HANDLER=%s", s->handler);
	if (s->image[0])
		view_image(b, f);
	else
		runtime_environment(b, s->runtime);
	for (i = 0; i < s->n_environment && !MUTANT("own-variables"); i++)
		plan_addf(b, "env", "%s=%s", s->environment[i].name, s->environment[i].value);
}

/* ---- looking ---- */

static void set(cJSON *o, const char *name, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, name);
	cJSON_AddItemToObject(o, name, v);
}

static cJSON *text_or_null(const char *s)
{
	return s ? cJSON_CreateString(s) : cJSON_CreateNull();
}

void functions_show(const struct func *f, cJSON *o)
{
	struct func_state s = states_of(f);

	set(o, "state", text_or_null(s.state));
	set(o, "state_reason_code", text_or_null(s.code));
	set(o, "state_reason", text_or_null(s.reason));
	set(o, "last_update_status", text_or_null(s.update));
	set(o, "last_update_status_reason_code", text_or_null(s.update_code));
	set(o, "last_update_status_reason", text_or_null(s.update_reason));
	set(o, "version", cJSON_CreateString(f->version));
	versions_show(f, o);
	set(o, "queued_events", cJSON_CreateNumber((double)async_count(f)));
	set(o, "environments", cJSON_CreateNumber((double)env_count(f)));
	set(o, "runtime", cJSON_CreateString(f->spec->runtime));
}

/* of a function, and of its environments that run what it was before */
static void keep(const struct func *f, struct buf *b)
{
	const char *state = f->slab->sd->dir.state;
	const struct env *v;

	package_keep(state, f->code, b);
	LIST_FOREACH(v, &f->envs, link)
		if (strcmp(v->code, f->code) != 0 && !MUTANT("keep-old-code"))
			package_keep(state, v->code, b);
}

static int is_used(const char *name, void *arg)
{
	const struct buf *kept = arg;

	return strstr(kept->s, name) != NULL;
}

void functions_sweep(const struct sandboxd *sd)
{
	auto_buf struct buf kept = BUF_INIT;
	const struct slab *l;
	const struct func *f;

	LIST_FOREACH(l, &sd->labs, link) {
		if (l->change)
			return; /* its new code is no function's yet */
		LIST_FOREACH(f, &l->funcs, link)
			keep(f, &kept);
	}
	buf_adds(&kept, "\n");
	if (!kept.failed)
		code_sweep(sd->dir.state, is_used, &kept);
}
