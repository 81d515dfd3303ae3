/* SPDX-License-Identifier: MIT */
/*
 * env - the lives of execution environments.
 *
 *   ATTACHING -> STARTING -> IDLE <-> RUNNING -> FINISHING -> IDLE
 *                              ^          | crash, time-out
 *                              +- RESETTING (processes gone, /tmp kept)
 *
 * Attaching: netd is asked for a place.  Starting: the init makes its view and
 * the runtime its init phase; an invocation may be given from the beginning.
 * Finishing: answered, but the runtime, or an extension, hasn't asked for the next
 * one yet.  Leaving: extensions are told of the end; nothing is given to it any more.
 * Frozen after LIMIT_FREEZE_MS of IDLE.  An environment whose init ends, for
 * whatever reason, is dropped: its cgroup is killed, its place given back.
 */
#ifndef ENV_H
#define ENV_H

#include "lib/buf.h"
#include "sandbox/limits.h"
#include "sandbox/log_streams.h"
#include "lib/util.h"
#include "sandbox/sandboxd.h"
#include "sandbox/wire.h"

enum env_state {
	ENV_ATTACHING,
	ENV_STARTING,
	ENV_IDLE,
	ENV_RUNNING,
	ENV_FINISHING,
	ENV_RESETTING,
	ENV_LEAVING,
	ENV_ENDING
};

/* how an invocation ended; strings borrow */
struct env_result {
	const char *error; /* NULL: a response; else the type, "Sandbox.Timedout" */
	bool timeout;
	bool streamed; /* the response came in pieces; "body" has it if nobody took them */
	const char *body;
	size_t size;
	const char *log_tail; /* last LIMIT_LOG_TAIL bytes */
	size_t log_size;
};

struct env;
struct invocation;
typedef void (*env_done_fn)(struct invocation *i, const struct env_result *r);

/* one invocation; owns its strings; made by invoke.c */
struct invocation {
	char id[37];
	char *payload, *context, *arn, *trace;
	char version[12]; /* that runs it */
	size_t size;
	struct http_req *req;
	bool tail;
	env_done_fn done; /* told once; frees */
	void *arg;	  /* of who made it, if not a request */
	/* told of a response that comes in pieces, before "done"; NULL: it is gathered,
	 * and "done" has it whole */
	void (*piece)(struct invocation *i, const void *data, size_t size);
	void *stream;	 /* of who set "piece" */
	struct env *env; /* that runs it; borrows */
};

struct env {
	LIST_ENTRY(env) link;
	TAILQ_ENTRY(env) idle_link; /* while "is_idle": room.c's list */
	struct func *func;
	enum env_state state;
	bool cold;	  /* its first init phase isn't over */
	bool rerun;	  /* the runtime starts again, inside an invocation */
	bool stale;	  /* made for what the function was before */
	bool provisioned; /* kept ready (versions.h) */
	bool is_idle;
	bool frozen, exec;	      /* exec: a process an invocation */
	char name[33];		      /* of its cgroup, and token of its place */
	char stream[LOG_STREAM_SIZE]; /* of its log */
	struct log_place logged;
	char *attachment; /* owns; NULL: none yet */
	char *subnet;	  /* owns; NULL: default mode */
	char code[65];	  /* digest of the package that it sees */
	unsigned uid_idx;
	unsigned timeout_s, memory_mb; /* as the function was when it was made */
	pid_t pid;
	int pair;
	struct wire_in in;
	struct wire_out out;
	struct cgroup *cgroup;
	struct loop_event *pair_event, *child_event, *timer, *freeze, *end_timer;
	struct invocation *inv;
	struct mono started; /* of the init phase */
	struct mono inv_started;
	double init_ms;		     /* of the cold start; < 0: not reported */
	bool phase_invoke;	     /* the function's time runs */
	long n_external, n_internal; /* extensions, as the init says */
	struct {
		bool due; /* extensions still work on it: its report is written after them */
		char id[37], error[64];
	} late;
	uint64_t peak, others; /* bytes: its group's peak when memory_of_others() was asked last */
	bool streams;	       /* the response comes in pieces */
	bool paused;	       /* and nobody can take more now */
	uint64_t n_streamed;   /* bytes of it */
	struct buf gathered;   /* for an invocation that takes no pieces */
	char tail[LIMIT_LOG_TAIL];
	size_t tail_len;
};

/* gives an invocation to an environment of "f": an idle one, one about to be
 * idle, or a new one.  0 (takes "i"); or "e", where "i" stays the caller's */
int env_invoke(struct func *f, struct invocation *i, struct err *e);
/* holds back the pieces of a response until "on" is false again: nothing is read
 * from the environment meanwhile */
void env_pause(struct env *v, bool on);
/* ends all environments of "f" that are idle, others when they are idle; "now":
 * all at once, invocations fail */
void env_drop_all(struct func *f, bool now);
/* the daemon ends: invocations fail, environments' memory goes; their processes
 * are left to env_clean() */
void env_release(struct func *f);
/* begins an environment that nobody waits for and that stays; 0, or "e" */
int env_provision(struct func *f, struct err *e);
/* one of those is as others from now on; what isn't used goes */
void env_unprovision(struct func *f);
size_t env_provisioned(const struct func *f);
/* of those, whose init phase is over */
size_t env_ready(const struct func *f);
size_t env_count(const struct func *f);
/* ends an environment; an invocation of its fails */
void env_end(struct env *v);
/* before anything else: groups of an earlier daemon's environments are killed */
void env_clean(struct sandboxd *sd);
/* is any process of "l"'s environments still there? */
bool env_any(const struct slab *l);

#endif
