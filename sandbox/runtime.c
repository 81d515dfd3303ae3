/* SPDX-License-Identifier: MIT */
/*
 * runtime - see runtime.h.
 */
#include "sandbox/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/wire.h"

static const struct managed {
	const char *prefix, *folder, *interpreter, *package;
} managed[] = {
	{ "nodejs", "nodejs", "/usr/bin/node", "nodejs" },
	{ "python", "python", "/usr/bin/python3", "python3" },
};

static const struct managed *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(managed); i++)
		if (!strncmp(name, managed[i].prefix, strlen(managed[i].prefix)))
			return &managed[i];
	return NULL;
}

bool runtime_is_managed(const char *name)
{
	return find(name) != NULL;
}

/* caller frees; NULL: it isn't there */
static char *folder_of(const struct managed *m)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "runtimes/%s", m->folder);
	return proc_beside(name);
}

static int check_one(const struct function *f, const struct managed *m, struct err *e)
{
	auto_free char *folder = folder_of(m);
	int r;

	if (folder && access(m->interpreter, X_OK) == 0)
		return 0;
	if (folder)
		r = err_set(e, ERR_HOST, ENOENT, "runtime %s needs %s: apt install %s", f->runtime,
			    m->interpreter, m->package);
	else
		r = err_set(e, ERR_HOST, ENOENT, "runtime %s: runtimes/%s isn't beside sandboxd",
			    f->runtime, m->folder);
	err_path(e, "functions.%s.runtime", f->name);
	return r;
}

int runtime_check(const struct lab *l, struct err *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < l->n_functions && !r; i++) {
		const struct managed *m = find(l->functions[i].runtime);

		if (m)
			r = check_one(&l->functions[i], m, e);
	}
	return r;
}

void runtime_view(struct buf *b, const char *name)
{
	const struct managed *m = find(name);
	auto_free char *folder = m ? folder_of(m) : NULL;

	if (folder)
		plan_add(b, "ro", "/var/runtime", folder);
	else if (m)
		b->failed = true;
}

void runtime_environment(struct buf *b, const char *name)
{
	const struct managed *m = find(name);

	if (!m)
		return;
	plan_addf(b, "env", "AWS_EXECUTION_ENV=AWS_Lambda_%s", name);
	/* where layers are looked into */
	if (!strcmp(m->folder, "nodejs"))
		plan_addf(b, "env",
			  "NODE_PATH=/opt/nodejs/node%.*s/node_modules:/opt/nodejs/node_modules:"
			  "/var/runtime/node_modules:/var/runtime:/var/task",
			  (int)strspn(name + strlen(m->prefix), "0123456789"),
			  name + strlen(m->prefix));
	else if (!strcmp(m->folder, "python"))
		plan_add(b, "env", "PYTHONPATH=/var/runtime", NULL);
}
