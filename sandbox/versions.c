/* SPDX-License-Identifier: MIT */
/*
 * versions - see versions.h.
 */
#include "sandbox/versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/configuration.h"
#include "sandbox/env.h"
#include "sandbox/functions.h"
#include "sandbox/limits.h"
#include "sandbox/rows.h"
#include "sandbox/states.h"
#include "sandbox/throttle.h"

/* a document that versions were published from, parsed once for all of them */
struct version_doc {
	unsigned refs;
	struct lab *lab; /* owns */
};

struct publication {
	struct slab *slab;
	struct func **v; /* owns those that are left */
	size_t n;
	const char **gone; /* borrow from the slab's functions */
	size_t n_gone;
};

/* ---- looking up ---- */

static struct func *find_number(const struct slab *l, const char *name, unsigned number)
{
	struct func *f;

	LIST_FOREACH(f, &l->funcs, link)
		if (!f->gone && f->number == number && !strcmp(f->name, name))
			return f;
	return NULL;
}

static struct func *find_last(const struct slab *l, const char *name)
{
	struct func *f, *last = NULL;

	LIST_FOREACH(f, &l->funcs, link)
		if (!f->gone && f->number && !strcmp(f->name, name) &&
		    (!last || f->number > last->number))
			last = f;
	return last;
}

/* what an alias of the function leads to; NULL: there is no such alias */
static const char *alias_version(const struct func *f, const char *alias, char ret[12])
{
	const struct func *last;
	size_t i;

	for (i = 0; i < f->spec->n_aliases; i++)
		if (!strcmp(f->spec->aliases[i].name, alias))
			return f->spec->aliases[i].function_version;
	if (strcmp(alias, LIVE_ALIAS) != 0 || !f->spec->provisioned_concurrent_executions)
		return NULL;
	last = find_last(f->slab, f->name);
	if (!last)
		return NULL;
	memcpy(ret, last->version, sizeof(last->version));
	return ret;
}

struct func *versions_find(const struct slab *l, const char *name, const char *qualifier,
			   const char **ret_qualifier)
{
	struct func *f = func_find(l, name);
	const char *version;
	char number[12];

	if (f && f->spec && !*qualifier && f->spec->provisioned_concurrent_executions &&
	    f->phase != FUNC_PENDING && !MUTANT("live-alias"))
		qualifier = LIVE_ALIAS;
	if (ret_qualifier)
		*ret_qualifier = qualifier;
	/* while it is pending it answers for its versions, which aren't settled yet */
	if (!f || !f->spec || !*qualifier || !strcmp(qualifier, "$LATEST") ||
	    f->phase == FUNC_PENDING)
		return f;
	if (strspn(qualifier, "0123456789") != strlen(qualifier)) {
		version = alias_version(f, qualifier, number);
		if (!version)
			return NULL;
		if (!strcmp(version, "$LATEST") || MUTANT("alias-version"))
			return f;
	} else {
		version = qualifier;
	}
	return *version == '0' ? NULL : find_number(l, name, (unsigned)strtoul(version, NULL, 10));
}

struct func *versions_find_whole(const struct slab *l, const char *whole)
{
	const char *colon = strchr(whole, ':');
	char name[80];

	if (!colon)
		return versions_find(l, whole, "", NULL);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(colon - whole), whole);
	return versions_find(l, name, colon + 1, NULL);
}

/* ---- publishing ---- */

void version_doc_put(struct version_doc *d)
{
	if (!d || --d->refs)
		return;
	lab_free(d->lab);
	free(d);
}

/* with one reference, the caller's; NULL: can't be read */
static struct version_doc *doc_new(const char *lab, const char *text, size_t size)
{
	struct version_doc *d = calloc(1, sizeof(*d));
	struct issues issues = { 0 };

	if (!d)
		return NULL;
	d->refs = 1;
	d->lab = lab_parse(text, size, "-", lab, &issues);
	issues_done(&issues);
	if (!d->lab) {
		version_doc_put(d);
		return NULL;
	}
	return d;
}

static struct func *version_new(struct slab *l, struct version_doc *d, const char *name,
				unsigned number, const char *code, const char *digest,
				int64_t published_ms)
{
	const struct function *s = lab_function(d->lab, name);
	struct func *f = s ? functions_new(l, name) : NULL;

	if (!f)
		return NULL;
	f->lab = d->lab;
	f->spec = s;
	f->doc = d;
	d->refs++;
	f->number = number;
	(void)snprintf(f->version, sizeof(f->version), "%u", number);
	(void)snprintf(f->code, sizeof(f->code), "%s", code);
	(void)snprintf(f->digest, sizeof(f->digest), "%s", digest);
	f->modified_ms = published_ms;
	return f;
}

struct publication *publication_free(struct publication *p)
{
	size_t i;

	for (i = 0; p && i < p->n; i++)
		functions_free(p->v[i]);
	if (p) {
		free(p->v);
		free(p->gone);
	}
	free(p);
	return NULL;
}

unsigned versions_next(const struct slab *l, const struct function *s, const char *digest)
{
	const struct func *last = l ? find_last(l, s->name) : NULL;

	if (!s->publish && !s->provisioned_concurrent_executions)
		return 0;
	if (last && !strcmp(last->digest, digest) && !MUTANT("publish-always"))
		return 0;
	return last ? last->number + 1 : 1;
}

static int add_new(struct publication *p, const struct lab *lab, char (*codes)[65],
		   const char *document, size_t size, struct err *e)
{
	struct version_doc *d = NULL;
	int64_t now = wall_ms();
	char hex[65];
	unsigned number;
	size_t i;
	int r = 0;

	for (i = 0; i < lab->n_functions && !r; i++) {
		const struct function *s = &lab->functions[i];

		r = functions_digest(p->slab, s, codes[i], hex);
		if (r)
			break;
		number = versions_next(p->slab, s, hex);
		if (!number)
			continue;
		if (!d)
			d = doc_new(p->slab->name, document, size);
		p->v[p->n] =
			d ? version_new(p->slab, d, s->name, number, codes[i], hex, now) : NULL;
		if (p->v[p->n])
			p->n++;
		else
			r = -ENOMEM;
	}
	version_doc_put(d);
	return r ? err_set(e, ERR_INTERNAL, ENOMEM, "out of memory") : 0;
}

/* is the version there, or does "p" publish it? */
static bool is_there(const struct publication *p, const char *name, unsigned number)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->v[i]->number == number && !strcmp(p->v[i]->name, name))
			return true;
	return find_number(p->slab, name, number) != NULL;
}

static int check_aliases(const struct publication *p, const struct lab *lab, struct err *e)
{
	size_t i, k;

	for (i = 0; i < lab->n_functions; i++)
		for (k = 0; k < lab->functions[i].n_aliases; k++) {
			const struct function *s = &lab->functions[i];
			const struct function_alias *a = &s->aliases[k];

			if (!strcmp(a->function_version, "$LATEST") || MUTANT("alias-check") ||
			    is_there(p, s->name, (unsigned)strtoul(a->function_version, NULL, 10)))
				continue;
			return err_set(e, ERR_INVALID_LAB, ENOENT,
				       "functions.%s.aliases.%s.function_version: Function not "
				       "found: arn:aws:lambda:%s:" ACCOUNT
				       ":function:%s:%s (no such "
				       "version was published; publish makes one of each change)",
				       s->name, a->name, lab->region, s->name, a->function_version);
		}
	return 0;
}

static int count_versions(const struct publication *p, struct err *e)
{
	const struct func *f;
	size_t n = p->n;

	LIST_FOREACH(f, &p->slab->funcs, link)
		n += f->number && !f->gone;
	return n <= LIMIT_VERSIONS ?
		       0 :
		       err_set(e, ERR_LIMIT, 0, "a lab keeps at most %d published versions",
			       LIMIT_VERSIONS);
}

int versions_prepare(struct slab *l, const struct lab *lab, char (*codes)[65], const char *document,
		     size_t size, struct publication **ret, struct err *e)
{
	struct publication *p = calloc(1, sizeof(*p));
	const struct func *f;
	size_t n = 0;
	int r;

	LIST_FOREACH(f, &l->funcs, link)
		n++;
	if (p) {
		p->slab = l;
		p->v = calloc(lab->n_functions + 1, sizeof(*p->v));
		p->gone = calloc(n + 1, sizeof(*p->gone));
	}
	if (!p || !p->v || !p->gone) {
		publication_free(p);
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	LIST_FOREACH(f, &l->funcs, link)
		if (f->number && !f->gone && !lab_function(lab, f->name))
			p->gone[p->n_gone++] = f->name;
	r = add_new(p, lab, codes, document, size, e);
	if (!r)
		r = check_aliases(p, lab, e);
	if (!r)
		r = count_versions(p, e);
	if (r) {
		publication_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int versions_commit(struct slab *l, const struct publication *p, struct err *e)
{
	struct rows_versions rows = { 0 };
	size_t i;
	int r;

	if (p) {
		rows.gone = p->gone;
		rows.n_gone = p->n_gone;
		rows.v = calloc(p->n + 1, sizeof(*rows.v));
		if (!rows.v)
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		for (i = 0; i < p->n; i++)
			rows.v[i] = (struct rows_version){ p->v[i]->name, p->v[i]->number,
							   p->v[i]->code, p->v[i]->digest,
							   p->v[i]->modified_ms };
		rows.n = p->n;
	}
	r = rows_done(l->sd->db, l->name, &rows, e);
	free(rows.v);
	return r;
}

void versions_link(struct publication *p, cJSON *changes)
{
	char name[100];

	for (; p && p->n; p->n--) {
		struct func *f = p->v[p->n - 1];

		LIST_INSERT_HEAD(&p->slab->funcs, f, link);
		(void)snprintf(name, sizeof(name), "%s:%s", f->name, f->version);
		functions_tell(changes, "create", "function_version", name);
	}
}

struct restoring {
	struct slab *slab;
	int64_t row;
	struct version_doc *doc; /* of "row"; a reference; NULL: can't be read, or none yet */
};

static int restore_one(const struct rows_version *v, int64_t row, const char *text, size_t size,
		       void *arg)
{
	struct restoring *r = arg;
	struct func *f = NULL;

	if (!r->doc || r->row != row) {
		version_doc_put(r->doc);
		r->doc = doc_new(r->slab->name, text, size);
	}
	r->row = row;
	if (r->doc)
		f = version_new(r->slab, r->doc, v->function, v->number, v->code, v->digest,
				v->published_ms);
	if (f) {
		LIST_INSERT_HEAD(&r->slab->funcs, f, link);
		return 0;
	}
	log_err("lab=%s function=%s version %u can't be read any more", r->slab->name, v->function,
		v->number);
	return 0;
}

int versions_restore(struct slab *l, struct err *e)
{
	struct restoring r = { .slab = l };
	int er;

	if (MUTANT("versions-restore"))
		return 0;
	er = rows_versions_each(l->sd->db, l->name, restore_one, &r, e);
	version_doc_put(r.doc);
	return er;
}

/* ---- the network ---- */

static bool same_network(const struct function *a, const struct function *b)
{
	size_t i;

	if (!a->vpc != !b->vpc || a->n_subnets != b->n_subnets ||
	    a->n_security_groups != b->n_security_groups ||
	    (a->vpc && strcmp(a->vpc->name, b->vpc->name) != 0))
		return false;
	for (i = 0; i < a->n_subnets; i++)
		if (strcmp(a->subnets[i]->name, b->subnets[i]->name) != 0)
			return false;
	for (i = 0; i < a->n_security_groups; i++)
		if (strcmp(a->security_groups[i]->name, b->security_groups[i]->name) != 0)
			return false;
	return true;
}

static void settle_network(struct func *f, const struct func *latest)
{
	states_take(f, json_get(json_get(f->slab->show, "functions"), f->name));
	if (same_network(f->spec, latest->spec) || MUTANT("version-network"))
		return;
	(void)snprintf(f->failed.code, sizeof(f->failed.code), STATES_OTHER_NETWORK);
	(void)snprintf(f->failed.reason, sizeof(f->failed.reason),
		       "Version %s of %s was published with another vpc_config than the function "
		       "has now; this build keeps one network a function",
		       f->version, f->name);
}

/* ---- what is kept ready ---- */

/* begins those that are missing, and lets go of those that are too many */
static void top_up(struct func *f)
{
	struct err e = { 0 };
	size_t n = env_provisioned(f);

	for (; n > f->provisioned; n--)
		env_unprovision(f);
	for (; n < f->provisioned && !*f->provisioned_failed; n++)
		if (!throttle_environment(f, wall_ms()))
			versions_init_failed(f, "environments are added too fast");
		else if (env_provision(f, &e) < 0)
			versions_init_failed(f, e.msg);
}

bool versions_settle(struct slab *l)
{
	struct func *f;
	bool waiting = false;

	LIST_FOREACH(f, &l->funcs, link) {
		struct func *latest = f->number && !f->gone ? func_find(l, f->name) : NULL;
		const struct func *live = NULL;

		if (!latest || !latest->spec)
			continue;
		f->latest = latest;
		settle_network(f, latest);
		if (latest->spec->provisioned_concurrent_executions && !*f->failed.code)
			live = versions_find(l, f->name, LIVE_ALIAS, NULL);
		f->provisioned = live == f && !MUTANT("provisioned") ?
					 (size_t)latest->spec->provisioned_concurrent_executions :
					 0;
		*f->provisioned_failed = '\0';
		top_up(f);
		waiting |= env_ready(f) < f->provisioned;
	}
	return waiting;
}

bool versions_are_ready(const struct slab *l)
{
	const struct func *f;

	LIST_FOREACH(f, &l->funcs, link)
		if (!f->gone && env_ready(f) < f->provisioned && !*f->provisioned_failed)
			return false;
	return true;
}

void versions_env_gone(struct func *f)
{
	if (f->provisioned && !f->gone && !f->slab->going && !f->slab->sd->stopping)
		top_up(f);
}

void versions_init_failed(struct func *f, const char *why)
{
	if (!MUTANT("provisioned-failed"))
		(void)snprintf(f->provisioned_failed, sizeof(f->provisioned_failed), "%s", why);
	log_warn("lab=%s function=%s:%s provisioned concurrency: %s", f->slab->name, f->name,
		 f->version, why);
}

void versions_warn(const struct slab *l, cJSON *warnings)
{
	const struct func *f;
	char text[500];
	cJSON *o;

	LIST_FOREACH(f, &l->funcs, link) {
		if (f->gone || !*f->provisioned_failed)
			continue;
		o = cJSON_CreateObject();
		(void)snprintf(text, sizeof(text), "functions.%s.provisioned_concurrent_executions",
			       f->name);
		cJSON_AddStringToObject(o, "path", text);
		(void)snprintf(text, sizeof(text), "version %s: %s", f->version,
			       f->provisioned_failed);
		cJSON_AddStringToObject(o, "message", text);
		cJSON_AddStringToObject(o, "code", "FUNCTION_ERROR_INIT_FAILURE");
		cJSON_AddItemToArray(warnings, o);
	}
}

/* ---- showing ---- */

static const char *provisioned_status(const struct func *f)
{
	return *f->provisioned_failed	     ? "FAILED" :
	       env_ready(f) < f->provisioned ? "IN_PROGRESS" :
					       "READY";
}

static cJSON *provisioned_of(const struct func *f)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "requested", (double)f->provisioned);
	cJSON_AddNumberToObject(o, "ready", (double)env_ready(f));
	cJSON_AddStringToObject(o, "status", provisioned_status(f));
	return o;
}

void versions_show(const struct func *f, cJSON *o)
{
	cJSON *all = cJSON_CreateObject(), *aliases = cJSON_CreateObject(), *v;
	unsigned last = 0, n;
	const struct func *g = find_last(f->slab, f->name);
	char number[12];
	size_t i;

	if (g)
		last = g->number;
	for (n = 1; n <= last; n++) {
		g = find_number(f->slab, f->name, n);
		if (!g)
			continue;
		v = cJSON_AddObjectToObject(all, g->version);
		cJSON_AddStringToObject(v, "state", states_of(g).state);
		cJSON_AddNumberToObject(v, "environments", (double)env_count(g));
		if (g->provisioned)
			cJSON_AddItemToObject(v, "provisioned_concurrency", provisioned_of(g));
	}
	for (i = 0; i < f->spec->n_aliases; i++)
		cJSON_AddStringToObject(aliases, f->spec->aliases[i].name,
					f->spec->aliases[i].function_version);
	if (!json_get(aliases, LIVE_ALIAS) && alias_version(f, LIVE_ALIAS, number))
		cJSON_AddStringToObject(aliases, LIVE_ALIAS, number);
	cJSON_AddItemToObject(o, "versions", all);
	cJSON_AddItemToObject(o, "aliases", aliases);
}

cJSON *versions_list(const struct func *f)
{
	cJSON *o = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(o, "Versions");
	const struct func *g = find_last(f->slab, f->name);
	unsigned last = g ? g->number : 0, n;

	cJSON_AddItemToArray(all, configuration_of(f, "$LATEST"));
	for (n = 1; n <= last; n++) {
		g = find_number(f->slab, f->name, n);
		if (g)
			cJSON_AddItemToArray(all, configuration_of(g, g->version));
	}
	return o;
}

cJSON *versions_alias(const struct func *f, const char *name)
{
	char number[12], arn[FUNCTIONS_ARN_SIZE];
	const char *version = alias_version(f, name, number);
	cJSON *o;

	if (!version)
		return NULL;
	o = cJSON_CreateObject();
	functions_arn(f, name, arn);
	cJSON_AddStringToObject(o, "AliasArn", arn);
	cJSON_AddStringToObject(o, "Name", name);
	cJSON_AddStringToObject(o, "FunctionVersion", version);
	cJSON_AddStringToObject(o, "Description", "");
	return o;
}

cJSON *versions_aliases(const struct func *f)
{
	cJSON *o = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(o, "Aliases"), *live;
	bool told = false;
	size_t i;

	for (i = 0; i < f->spec->n_aliases; i++) {
		told |= !strcmp(f->spec->aliases[i].name, LIVE_ALIAS);
		cJSON_AddItemToArray(all, versions_alias(f, f->spec->aliases[i].name));
	}
	live = told ? NULL : versions_alias(f, LIVE_ALIAS);
	if (live)
		cJSON_AddItemToArray(all, live);
	return o;
}

cJSON *versions_provisioned(const struct func *f)
{
	double ready = (double)env_ready(f);
	cJSON *o;

	if (!f->provisioned)
		return NULL;
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "RequestedProvisionedConcurrentExecutions",
				(double)f->provisioned);
	cJSON_AddNumberToObject(o, "AvailableProvisionedConcurrentExecutions",
				ready > (double)f->n_running ? ready - (double)f->n_running : 0);
	cJSON_AddNumberToObject(o, "AllocatedProvisionedConcurrentExecutions", ready);
	cJSON_AddStringToObject(o, "Status", provisioned_status(f));
	if (*f->provisioned_failed)
		cJSON_AddStringToObject(o, "StatusReason", "FUNCTION_ERROR_INIT_FAILURE");
	return o;
}
