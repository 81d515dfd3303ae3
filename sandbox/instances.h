/* SPDX-License-Identifier: MIT */
/*
 * instances - programs of nodes (instances and internet hosts with a
 * "command"), each below an init that needs no daemon.  What runs is known by
 * RUN/nodes/LAB/NAME/init: pid, start time, digest of the programs, namespace;
 * after a restart a process is taken up again only if all of it fits.
 */
#ifndef INSTANCES_H
#define INSTANCES_H

#include "lib/util.h"
#include "lib/util.h"
#include "sandbox/sandboxd.h"
#include "sandbox/wire.h"

struct node {
	LIST_ENTRY(node) link;
	struct slab *slab;
	char *name;		  /* owns */
	char *ns;		  /* path of its namespace; owns; "" */
	char digest[65];	  /* of what runs; "": nothing */
	pid_t pid;		  /* of its init; 0: nothing runs */
	struct loop_event *child; /* NULL: nothing runs */
	struct cgroup *cgroup;	  /* owns; NULL */
	int pair;		  /* until the init said that it is ready; -1 */
	struct loop_event *pair_event;
	struct wire_in in;
	bool stopping;
	bool started; /* the init is ready */
	struct mono since;
	const struct programs *want; /* borrows from the lab that is or becomes in force;
					 * NULL: it goes */
	char want_digest[65];
	char error[400]; /* why it didn't start; "" */
};

/* makes nodes' programs those of "lab": new ones start, changed ones are stopped
 * and start again, others live on.  Nodes without programs in "lab" stay until
 * instances_prune() */
void instances_apply(struct slab *l, const struct lab *lab);
/* ends programs of nodes that "lab" (NULL: no lab) has no programs for */
void instances_prune(struct slab *l, const struct lab *lab);
/* 1: all that "lab" wants runs and is ready; 0: not yet ("why" names it, and what
 * it waits for); -errno: it failed, or a ready_timeout is over */
int instances_ready(struct slab *l, const struct lab *lab, char *why, size_t size);
bool instances_any(const struct slab *l);
/* takes up what an earlier daemon started */
void instances_adopt(struct slab *l);
/* pid of the init; 0: none */
pid_t instances_pid(const struct slab *l, const char *name);
struct node *instances_find(const struct slab *l, const char *name);
/* programs of a node by name; NULL: no such node */
const struct programs *instances_programs(const struct lab *lab, const char *name);
/* folders of nodes that the document doesn't have any more go */
void instances_sweep_folders(const struct slab *l);
void instances_remove_folders(const struct slab *l);
/* the daemon ends: lets go of everything, programs run on */
void instances_release(struct slab *l);
/* does the network of process "pid" listen on the port? */
bool instances_listens(pid_t pid, const struct port *p);

#endif
