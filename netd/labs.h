/* SPDX-License-Identifier: MIT */
/*
 * labs - the labs of this daemon, and how each goes from one document to the
 * next.
 *
 *   PUT       parse, new store, state row (intended), jobs.c carries it into the
 *             kernel, state row (current); on failure everything as before
 *   DELETE    cancels what runs, then drops the lab in whatever state it is
 *   restart   labs_adopt(): what is in the kernel is taken as it is where it is
 *             what ought to be
 *
 * A lab that has neither store nor job doesn't exist: it is freed when the last
 * job has ended.
 */
#ifndef LABS_H
#define LABS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/json.h"
#include "lib/program.h"
#include "netd/netd.h"
#include "netd/spaces.h"
#include "topology/store.h"

struct flows;
struct job;
struct trace;

/* a namespace in which somebody else changed something */
struct dirty {
	LIST_ENTRY(dirty) link;
	char *ns; /* owns */
	bool nft, other;
};

/* a link that its far end's namespace takes along when the kernel gets to it */
struct left {
	LIST_ENTRY(left) link;
	char *ns, *name; /* own */
};

/* a claimed place */
struct attachment {
	LIST_ENTRY(attachment) link;
	char *ns;			 /* of the place; its name outside; owns */
	char *function, *subnet, *token; /* own; NULL: not known (any more) */
	bool doomed;			 /* given back; goes with the next group */
};

/* counts of dynamic sets that a replaced ruleset had */
struct carried {
	LIST_ENTRY(carried) link;
	char *ns, *set; /* own */
	uint8_t key[64];
	size_t size;
	uint64_t packets, bytes;
};

struct netlab {
	LIST_ENTRY(netlab) link;
	struct netd *netd;
	char *name; /* owns */
	int64_t created_ms;
	char *document; /* owns; NULL while the first PUT is under way */
	size_t size;
	char *base;	       /* owns; NULL if none */
	struct store *store;   /* owns; in force; NULL: there is no such lab (yet) */
	struct program want;   /* compiled from it */
	struct program actual; /* acknowledged by the kernel */
	struct spaces *spaces;
	bool failed; /* the kernel isn't as it ought to be; repaired again and again */

	/* jobs.c */
	struct job *job; /* that runs; NULL: none */
	TAILQ_HEAD(, job) waiting;
	size_t n_waiting;
	bool ending; /* a job's end is being told */
	struct loop_event *tick;
	LIST_HEAD(, left) left;
	struct loop_event *left_timer;

	/* observe.c */
	LIST_HEAD(, dirty) dirty;
	struct loop_event *dirty_timer;
	bool repair_waits;
	LIST_HEAD(, carried) carried;

	struct trace *trace; /* trace.c; NULL: none runs */
	struct flows *flows; /* NULL: no flow log yet */
	bool flows_lost;     /* what was counted before this daemon knew of them */

	/* idle.c */
	bool hold; /* a change of sandboxd's is under way: no way of a function goes */
	bool sweep_waits;
	struct loop_event *idle_timer;

	/* attach.c */
	LIST_HEAD(, attachment) attachments;
	struct loop_event *doom_timer;
	bool fill_waits;
};

/* what a request gets: "answer" is the callee's (also with an error, for what
 * the error's own members don't hold; NULL: nothing) */
typedef void (*labs_fn)(const struct err *e, cJSON *answer, void *arg);

/* all of them in the state; before the loop runs.  A lab that can't be adopted is
 * logged and listed as failed; negative: the state itself can't be read */
int labs_adopt(struct netd *d, struct err *e);
/* responder_link_fn: gives it every lab's sockets and names; "arg" is the netd */
void labs_responder_new(void *arg);
/* frees; the kernel keeps all */
void labs_close(struct netd *d);

/* "document" and "base" (NULL: none) are copied; "hold": ways that functions had before
 * stay until idle_release(); "fn" is called once, maybe at once */
void labs_put(struct netd *d, const char *lab, const char *document, size_t size, const char *base,
	      bool hold, labs_fn fn, void *arg);
void labs_delete(struct netd *d, const char *lab, labs_fn fn, void *arg);
/* what a PUT would do; nothing is done */
int labs_plan(struct netd *d, const char *lab, const char *document, size_t size, cJSON **ret,
	      struct err *e);
cJSON *labs_list(const struct netd *d);	   /* GET /v1/labs; NULL: no memory */
size_t labs_sockets(const struct netd *d); /* that the responder answers on */
/* one that exists; NULL and ERR_NO_LAB */
struct netlab *labs_find(const struct netd *d, const char *lab, struct err *e);
const char *lab_state(const struct netlab *l); /* "up", "changing", "failed" */

/* ---- for the modules that make jobs ---- */

/* the lab's document once more, without the ways of functions whose time is over */
void lab_sweep(struct netlab *l);
/* what ought to be by "s"; program_init()s "ret" */
int lab_compile(const struct netlab *l, const struct store *s, struct program *ret, struct err *e);
/* frees a lab that is none any more */
void lab_settle(struct netlab *l);

#endif
