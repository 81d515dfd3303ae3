/* SPDX-License-Identifier: MIT */
/*
 * run - a command with a lab of its own: a copy comes up, the command runs with
 * the lab's variables, the copy goes, and the command's status is ours.
 *
 * Signals: those that a person types reach the command by itself (it is in our
 * process group), and what it makes of them counts.  Those that are sent to us
 * are passed on; after SIGINT, SIGTERM or SIGHUP the command has GRACE_MS to end,
 * and the status tells of the signal.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "cli/api.h"
#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/copy.h"
#include "cli/env.h"
#include "cli/keeper.h"
#include "cli/out.h"
#include "cli/private.h"
#include "cli/source.h"
#include "lib/util.h"

#define GRACE_MS 10000 /* from a signal that ends the command to SIGKILL, as docker stop has it */

extern char **environ;

struct run {
	struct cli *c;
	struct source source;
	char lab[COPY_NAME_MAX];
	struct private private;
	struct keeper keeper;
	sigset_t before; /* mask that we were started with */
	int signals;	 /* owns */
	int ending;	 /* the signal that ends it; 0: none */
	bool killed;
	struct mono since;
};

static void run_done(struct run *r)
{
	source_done(&r->source);
	auto_close_fn(&r->signals);
}

/* ---- signals ---- */

static int catch_signals(struct run *r)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(caught); i++)
		sigaddset(&set, caught[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &r->before); /* can't fail with these */
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? out_fail(r->c, ERR_INTERNAL, "run: signals: %s", strerror(errno)) :
				0;
}

/* 0: none is there */
static int next_signal(const struct run *r, bool *ret_typed)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	*ret_typed = info.ssi_code == SI_KERNEL;
	return (int)info.ssi_signo;
}

static bool ends(int sig)
{
	return sig == SIGINT || sig == SIGTERM || sig == SIGHUP;
}

/* while the copy comes up: the waiting ends, and with it the verb */
static void on_early(int fd, unsigned what, void *arg)
{
	struct run *r = arg;
	bool typed;
	int sig = next_signal(r, &typed);

	(void)fd;
	(void)what;
	if (ends(sig) || sig == SIGQUIT)
		r->c->interrupted = sig;
}

static void pass_signal(struct run *r)
{
	bool typed;
	int sig = next_signal(r, &typed);

	if (!sig || (typed && sig != SIGHUP))
		return;
	if (!typed)
		(void)keeper_signal(&r->keeper, sig); /* gone: its socket says so, too */
	if (!ends(sig) || r->ending)
		return;
	r->ending = sig;
	r->since = mono_now();
}

/* ---- the copy ---- */

static int bring_up(struct run *r, double timeout)
{
	struct copy_spec spec = { .s = &r->source, .timeout = timeout };
	struct loop_event *early;
	cJSON *answer = NULL;
	int er = api_ready(r->c);

	if (er)
		return er;
	early = loop_fd(r->c->loop, r->signals, LOOP_READ, on_early, r);
	if (!early)
		return out_no_memory(r->c);
	er = copy_up(r->c, &spec, r->lab, &answer);
	loop_event_free(early);
	if (!er)
		out_warnings(r->c, json_get(answer, "warnings"));
	cJSON_Delete(answer);
	return er;
}

/* ours and the lab's; owns; NULL: no memory */
static char **environment(const cJSON *vars)
{
	size_t n = (size_t)cJSON_GetArraySize(vars), i;
	const cJSON *v;
	char **env, **at;

	for (i = 0; environ[i]; i++)
		n++;
	env = calloc(n + 1, sizeof(*env));
	if (!env)
		return NULL;
	at = env;
	cJSON_ArrayForEach(v, vars)
		if (asprintf(at++, "%s=%s", v->string, v->valuestring) < 0)
			goto fail;
	for (i = 0; environ[i]; i++) {
		size_t len = strcspn(environ[i], "=");

		cJSON_ArrayForEach(v, vars)
			if (strlen(v->string) == len && !strncmp(v->string, environ[i], len))
				break;
		if (!v && !(*at++ = strdup(environ[i])))
			goto fail;
	}
	return env;
fail:
	at[-1] = NULL;
	for (at = env; *at; at++)
		free(*at);
	free(env);
	return NULL;
}

/* ---- the command ---- */

static int cant_run(const struct run *r, const char *command, int errnum)
{
	auto_json cJSON *error = cJSON_CreateObject();
	char why[300], what[200];
	int status = errnum == ENOENT ? 127 : errnum == EAGAIN || errnum == ENOMEM ? 125 : 126;

	(void)snprintf(what, sizeof(what), "run %s", out_safe(command));
	(void)snprintf(why, sizeof(why), "%s", strerror(errnum));
	cJSON_AddStringToObject(error, "code", err_code_name(ERR_STATE));
	cJSON_AddStringToObject(error, "message", why);
	cJSON_AddNumberToObject(error, "exit", status);
	return out_fail_api(r->c, what, 500, error);
}

static int status_of(const struct run *r, int status)
{
	if (r->ending)
		return 128 + r->ending;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int patience(struct run *r)
{
	double left = GRACE_MS - mono_ms_since(r->since);

	if (!r->ending || r->killed)
		return -1;
	if (left > 0)
		return (int)left + 1;
	r->killed = true;
	(void)keeper_signal(&r->keeper, SIGKILL); /* as above */
	return -1;
}

static int wait_for(struct run *r, const char *command)
{
	struct pollfd p[2] = { { .fd = r->keeper.sock, .events = POLLIN },
			       { .fd = r->signals, .events = POLLIN } };
	struct keeper_event ev;

	for (;;) {
		if (poll(p, ARRAY_SIZE(p), patience(r)) < 0 && errno != EINTR)
			return out_fail(r->c, ERR_INTERNAL, "run: poll: %s", strerror(errno));
		if (p[1].revents)
			pass_signal(r);
		if (!p[0].revents)
			continue;
		if (keeper_read(&r->keeper, &ev) < 0) {
			(void)out_fail(r->c, ERR_STATE, "run: its keeper was killed");
			return EXIT_CANT_RUN;
		}
		return ev.what == KEEPER_FAILED ? cant_run(r, command, ev.value) :
						  status_of(r, ev.value);
	}
}

static int run_command(struct run *r, char *const *argv)
{
	auto_json cJSON *vars = NULL;
	struct keeper_spec spec = {
		.argv = argv,
		.mask = &r->before,
		.abandoned = r->private.run ? private_abandoned : NULL,
		.arg = &r->private,
	};
	char **env, **at;
	int er = env_variables(r->c, r->lab, &vars);

	if (er)
		return er;
	env = environment(vars);
	if (!env)
		return out_no_memory(r->c);
	spec.envp = env;
	out_progress(r->c, "%s", "");
	er = keeper_start(&spec, &r->keeper);
	for (at = env; *at; at++)
		free(*at);
	free(env);
	if (er == -EOPNOTSUPP)
		return out_fail(r->c, ERR_HOST,
				"run: this kernel doesn't tell a process's children "
				"(CONFIG_PROC_CHILDREN)");
	if (er < 0) {
		(void)out_fail(r->c, ERR_STATE, "run: %s", strerror(-er));
		return EXIT_CANT_RUN;
	}
	return wait_for(r, argv[0]);
}

static int run_all(struct run *r, const struct args *a, double timeout)
{
	int er = catch_signals(r), down = 0;

	if (!er && args_has(a, "private"))
		er = private_open(r->c, &r->private);
	if (!er)
		er = bring_up(r, timeout);
	if (!er)
		er = run_command(r, a->rest);
	/* the command's status wins: it is what is asked for */
	if (*r->lab)
		down = copy_down(r->c, r->lab);
	if (r->private.run)
		down = private_close(&r->private) ? EXIT_OPERATION : down;
	keeper_dismiss(&r->keeper);
	return er ? er : down;
}

static int run(struct cli *c, const struct args *a)
{
	struct run r = { .c = c, .keeper.sock = -1, .signals = -1 };
	double timeout;
	int er = 0;

	if (!source_is_file(a->words[0]))
		er = out_fail_usage(c,
				    "run: %s: not a FILE: it has no '/' and does not end in .json",
				    a->words[0]);
	else if (args_seconds(a, "timeout", 0.001, 86400, UP_TIMEOUT, &timeout) < 0)
		er = out_fail_usage(c, "run: --timeout %s: not a number of seconds (0.001..86400)",
				    args_get(a, "timeout"));
	if (!er)
		er = source_load(c, a->words[0], a, &r.source);
	if (!er)
		er = run_all(&r, a, timeout);
	run_done(&r);
	return er;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "timeout", 0, "SECONDS", "until every node is ready (60)" },
	{ "strict", 0, NULL, "warnings are errors" },
	{ "private", 0, NULL, "in an instance of its own, with its own daemons" },
	{ 0 },
};

const struct verb VERB_RUN = {
	.name = "run",
	.usage = "FILE -- CMD...",
	.summary = "run a command with a copy of a lab; exits with its status",
	.more = "CMD has the variables that vpclab env prints. Nothing of it outlives the copy.\n"
		"125: could not run it, 126: not executable, 127: not found,\n"
		"128+N: killed by signal N.",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.command_after = 1,
	.fn = run,
};
