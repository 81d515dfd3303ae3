/* SPDX-License-Identifier: MIT */
/*
 * doctor - tries what the product needs of this host, each need in a child of
 * its own, and says why it is needed and how to get what is missing.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "lib/json.h"
#include "lib/mutant.h"
#include "lib/ns.h"
#include "lib/table.h"
#include "lib/util.h"

enum state { STATE_OK, STATE_MISSING, STATE_UNKNOWN };
static const char *const STATES[] = { "ok", "missing", "unknown" };

enum { CHILD_OK, CHILD_MISSING, CHILD_NOT_TRIED };

struct finding {
	enum state state;
	char detail[DOCTOR_DETAIL];
};

/* ---- what checks say ---- */

int doctor_found(struct doctor *d, const char *text)
{
	(void)snprintf(d->detail, sizeof(d->detail), "%s", text);
	return 0;
}

int doctor_broken(struct doctor *d, const struct err *e)
{
	(void)doctor_found(d, e->msg);
	return e->errnum ? -e->errnum : -EIO;
}

int doctor_result(struct doctor *d, const char *what, int r)
{
	if (r >= 0)
		return 0;
	(void)snprintf(d->detail, sizeof(d->detail), "%s: %s", what, strerror(-r));
	return r;
}

int doctor_failed(struct doctor *d, const char *what)
{
	return doctor_result(d, what, -errno);
}

/* ---- one check ---- */

/* tests: the first kernel request of the named check fails */
static void inject(const struct doctor_check *k)
{
#ifdef VPCLAB_TESTING
	const char *name = getenv("VPCLAB_DOCTOR_FAULT");

	if (name && !strcmp(name, k->name))
		fault_set(1);
#else
	(void)k;
#endif
}

/* what a check mounts and makes must not be seen outside, nor outlive it */
static int seclude(struct doctor *d)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return doctor_failed(d, "not tried: namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return doctor_failed(d, "not tried: private mounts");
	return 0;
}

static void child_main(const struct cli *c, const struct doctor_check *k, int fd)
	__attribute__((noreturn));

static void child_main(const struct cli *c, const struct doctor_check *k, int fd)
{
	struct doctor d = { .run = c->run, .state = c->state };
	int status = CHILD_NOT_TRIED;

	if (!k->needs_root || seclude(&d) == 0) {
		inject(k);
		status = k->fn(&d) < 0 ? CHILD_MISSING : CHILD_OK;
	}
	if (write_all(fd, d.detail, strlen(d.detail)) < 0)
		status = CHILD_MISSING;
	_exit(status);
}

static void judge(int status, struct finding *f)
{
	if (WIFSIGNALED(status))
		(void)snprintf(f->detail, sizeof(f->detail), "ended by signal %d",
			       WTERMSIG(status));
	f->state = !WIFEXITED(status)			  ? STATE_MISSING :
		   WEXITSTATUS(status) == CHILD_OK	  ? STATE_OK :
		   WEXITSTATUS(status) == CHILD_NOT_TRIED ? STATE_UNKNOWN :
							    STATE_MISSING;
}

static int try(const struct cli *c, const struct doctor_check *k, struct finding *f)
{
	int fds[2], status = 0;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (k->needs_root && geteuid() != 0) {
		*f = (struct finding){ .state = STATE_UNKNOWN, .detail = "needs root to be tried" };
		return 0;
	}
	fflush(stdout);
	if (pipe(fds) < 0)
		return out_fail(c, ERR_INTERNAL, "doctor: pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child_main(c, k, fds[1]);
	}
	close(fds[1]);
	while (pid > 0 && len < sizeof(f->detail) - 1 &&
	       (n = read(fds[0], f->detail + len, sizeof(f->detail) - 1 - len)) > 0)
		len += (size_t)n;
	f->detail[len] = '\0';
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return out_fail(c, ERR_INTERNAL, "doctor: child: %s", strerror(errno));
	judge(status, f);
	return 0;
}

/* ---- the report ---- */

static cJSON *json_of(const struct doctor_check *k, const struct finding *f)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", k->name);
	cJSON_AddStringToObject(o, "state", STATES[f->state]);
	cJSON_AddBoolToObject(o, "needed", !k->optional);
	cJSON_AddStringToObject(o, "why", k->why);
	if (*f->detail)
		cJSON_AddStringToObject(o, "detail", f->detail);
	else
		cJSON_AddNullToObject(o, "detail");
	if (f->state == STATE_MISSING)
		cJSON_AddStringToObject(o, "fix", k->fix);
	else
		cJSON_AddNullToObject(o, "fix");
	return o;
}

static const char *color_of(const cJSON *k)
{
	if (!strcmp(json_str(k, "state", "?"), "ok"))
		return "green";
	return cJSON_IsTrue(json_get(k, "needed")) ? "red" : "yellow";
}

static void print_missing(const cJSON *checks)
{
	const cJSON *k;

	cJSON_ArrayForEach(k, checks)
		if (json_str(k, "fix", NULL))
			printf("\n%s%s\n  why  %s\n  get  %s\n", json_str(k, "name", "?"),
			       cJSON_IsTrue(json_get(k, "needed")) ? "" : " (not needed)",
			       json_str(k, "why", ""), json_str(k, "fix", ""));
}

static int print(const struct cli *c, const cJSON *checks)
{
	static const char *const heads[] = { "NEED", "STATE", "FOUND", NULL };
	struct table *t = table_new(heads, c->color_out);
	const cJSON *k;
	int r;

	if (!t)
		return out_no_memory(c);
	cJSON_ArrayForEach(k, checks) {
		const char *cells[] = { json_str(k, "name", "?"), json_str(k, "state", "?"),
					json_str(k, "detail", NULL) };

		(void)table_add(t, cells); /* table_print() tells */
		table_color(t, 1, color_of(k));
	}
	r = table_print(t, stdout);
	table_free(t);
	if (r < 0)
		return out_no_memory(c);
	print_missing(checks);
	return out_done(c);
}

static int try_all(const struct cli *c, const struct doctor_check *k, cJSON *checks,
		   bool *ret_missing)
{
	int r = 0;

	for (; k->name && !r; k++) {
		struct finding f = { 0 };

		out_progress(c, "trying %s ...", k->name);
		r = try(c, k, &f);
		if (f.state != STATE_OK && !k->optional && !MUTANT("doctor-verdict"))
			*ret_missing = true;
		cJSON_AddItemToArray(checks, json_of(k, &f));
	}
	return r;
}

static int doctor(struct cli *c, const struct args *a)
{
	cJSON *checks = cJSON_CreateArray(), *doc;
	bool missing = false;
	int r;

	(void)a;
	r = try_all(c, DOCTOR_HOST, checks, &missing);
	r = r ? r : try_all(c, DOCTOR_NET, checks, &missing);
	out_progress(c, "%s", "");
	if (!r && c->json) {
		doc = cJSON_CreateObject();
		cJSON_AddBoolToObject(doc, "ok", !missing);
		cJSON_AddItemToObject(doc, "checks", checks);
		r = out_json(c, doc);
	} else {
		r = r ? r : print(c, checks);
		cJSON_Delete(checks);
	}
	return r ? r : missing ? EXIT_UNSUPPORTED : 0;
}

const struct verb VERB_DOCTOR = {
	.name = "doctor",
	.usage = "",
	.summary = "what this host lacks, with how to get it; 4 if anything needed is missing",
	.fn = doctor,
};
