/* SPDX-License-Identifier: MIT */
/*
 * doctor - tries what the product needs of this host, each need in a child of
 * its own, and says how to get what is missing.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "lib/json.h"
#include "lib/table.h"
#include "lib/util.h"

enum state { STATE_OK, STATE_MISSING, STATE_UNKNOWN };
static const char *const STATES[] = { "ok", "missing", "unknown" };

struct finding {
	enum state state;
	char detail[DOCTOR_DETAIL];
};

/* never returns */
static void child_main(const struct doctor_check *k, int fd)
{
	char detail[DOCTOR_DETAIL] = "";
	int r = 0;

	if (k->needs_root && unshare(CLONE_NEWNET) < 0) {
		r = -errno;
		(void)snprintf(detail, sizeof(detail), "network namespace: %s", strerror(-r));
	}
	if (!r)
		r = k->fn(detail, sizeof(detail));
	if (write_all(fd, detail, strlen(detail)) < 0)
		r = -EIO;
	_exit(r < 0 ? 1 : 0);
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
		child_main(k, fds[1]);
	}
	close(fds[1]);
	while (pid > 0 && len < sizeof(f->detail) - 1 &&
	       (n = read(fds[0], f->detail + len, sizeof(f->detail) - 1 - len)) > 0)
		len += (size_t)n;
	f->detail[len] = '\0';
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return out_fail(c, ERR_INTERNAL, "doctor: child: %s", strerror(errno));
	f->state = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? STATE_OK : STATE_MISSING;
	if (WIFSIGNALED(status))
		(void)snprintf(f->detail, sizeof(f->detail), "ended by signal %d",
			       WTERMSIG(status));
	return 0;
}

static cJSON *json_of(const struct doctor_check *k, const struct finding *f)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", k->name);
	cJSON_AddStringToObject(o, "state", STATES[f->state]);
	cJSON_AddBoolToObject(o, "needed", !k->optional);
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

static int print(const struct cli *c, const cJSON *checks)
{
	static const char *const heads[] = { "NEED", "STATE", "FOUND", NULL };
	struct table *t = table_new(heads, c->color_out);
	const cJSON *k;
	int r;

	if (!t)
		return out_no_memory(c);
	cJSON_ArrayForEach(k, checks) {
		const char *state = json_str(k, "state", "?");
		const char *cells[] = { json_str(k, "name", "?"), state,
					json_str(k, "detail", NULL) };

		(void)table_add(t, cells); /* table_print() tells */
		table_color(t, 1, !strcmp(state, "ok") ? "green" : "red");
	}
	r = table_print(t, stdout);
	table_free(t);
	if (r < 0)
		return out_no_memory(c);
	cJSON_ArrayForEach(k, checks)
		if (json_str(k, "fix", NULL))
			printf("%s: %s\n", json_str(k, "name", "?"), json_str(k, "fix", ""));
	return out_done(c);
}

static int doctor(struct cli *c, const struct args *a)
{
	const struct doctor_check *k;
	cJSON *checks = cJSON_CreateArray(), *doc;
	bool missing = false;
	int r = 0;

	(void)a;
	for (k = DOCTOR_CHECKS; k->name && !r; k++) {
		struct finding f = { 0 };

		out_progress(c, "trying %s ...", k->name);
		r = try(c, k, &f);
		missing = missing || (f.state != STATE_OK && !k->optional);
		cJSON_AddItemToArray(checks, json_of(k, &f));
	}
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
