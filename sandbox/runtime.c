/* SPDX-License-Identifier: MIT */
/*
 * runtime - see runtime.h.
 */
#include "sandbox/runtime.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/wire.h"

static const struct managed {
	const char *prefix, *interpreter, *package;
	const char *program;  /* what it starts from, in its folder */
	const char *settings; /* its own below /etc, a pattern; NULL: none */
	const char *unbuilt;  /* why "program" may not be there */
} managed[] = {
	{ "nodejs", "/usr/bin/node", "nodejs", "index.mjs", NULL, NULL },
	{ "python", "/usr/bin/python3", "python3", "bootstrap", NULL, NULL },
	{ "ruby", "/usr/bin/ruby", "ruby", "bootstrap", NULL, NULL },
	{ "java", "/usr/bin/java", "default-jre-headless", "runtime.jar", "/etc/java-*-openjdk",
	  "it was built without javac: apt install default-jdk-headless, and build again" },
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

	(void)snprintf(name, sizeof(name), "runtimes/%s", m->prefix);
	return proc_beside(name);
}

static int check_one(const struct function *f, const struct managed *m, struct err *e)
{
	auto_free char *folder = folder_of(m), *program = NULL;
	int r;

	if (folder && asprintf(&program, "%s/%s", folder, m->program) < 0) {
		program = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (access(m->interpreter, X_OK) < 0)
		r = err_set(e, ERR_HOST, ENOENT, "runtime %s needs %s: apt install %s", f->runtime,
			    m->interpreter, m->package);
	else if (!program || access(program, R_OK) < 0)
		r = err_set(e, ERR_HOST, ENOENT,
			    "runtime %s: runtimes/%s/%s isn't beside sandboxd%s%s", f->runtime,
			    m->prefix, m->program, m->unbuilt ? "; " : "",
			    m->unbuilt ? m->unbuilt : "");
	else
		return 0;
	err_path(e, "functions.%s.runtime", f->name);
	return r;
}

int runtime_check(const struct lab *l, struct err *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < l->n_functions && !r; i++) {
		const struct managed *m = find(l->functions[i].runtime);

		if (m && !l->functions[i].image[0])
			r = check_one(&l->functions[i], m, e);
	}
	return r;
}

static void add_settings(struct buf *b, const char *pattern)
{
	glob_t found;
	size_t i;

	if (glob(pattern, 0, NULL, &found) != 0)
		return; /* a host's interpreter may keep them with itself */
	for (i = 0; i < found.gl_pathc; i++)
		plan_add(b, "ro", found.gl_pathv[i], found.gl_pathv[i]);
	globfree(&found);
}

void runtime_view(struct buf *b, const char *name)
{
	const struct managed *m = find(name);
	auto_free char *folder = m ? folder_of(m) : NULL;

	if (!m)
		return;
	if (!folder) {
		b->failed = true;
		return;
	}
	plan_add(b, "ro", "/var/runtime", folder);
	if (m->settings)
		add_settings(b, m->settings);
}

void runtime_environment(struct buf *b, const char *name)
{
	const struct managed *m = find(name);

	if (!m)
		return;
	plan_addf(b, "env", "AWS_EXECUTION_ENV=AWS_Lambda_%s", name);
	/* where layers are looked into */
	if (!strcmp(m->prefix, "nodejs"))
		plan_addf(b, "env",
			  "NODE_PATH=/opt/nodejs/node%.*s/node_modules:/opt/nodejs/node_modules:"
			  "/var/runtime/node_modules:/var/runtime:/var/task",
			  (int)strspn(name + strlen(m->prefix), "0123456789"),
			  name + strlen(m->prefix));
	else if (!strcmp(m->prefix, "python"))
		plan_add(b, "env", "PYTHONPATH=/var/runtime", NULL);
}
