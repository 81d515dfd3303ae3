/* SPDX-License-Identifier: MIT */
/*
 * loop - the one event loop of a process (libevent_core): descriptors, timers,
 * signals, children by pidfd.  Handlers may free any event, their own too; an
 * event is freed before its descriptor is closed; loop_free() frees what is left.
 */
#ifndef LOOP_H
#define LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct loop_event;
typedef void (*loop_fd_fn)(int fd, unsigned what, void *arg);
typedef void (*loop_timer_fn)(void *arg);
typedef void (*loop_signal_fn)(int sig, void *arg);
/* "status" as of waitpid(); -1: not a child of ours, so nobody can know */
typedef void (*loop_child_fn)(pid_t pid, int status, void *arg);

/* LOOP_HUP: the peer closed or shut down its end; told once */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 };

struct loop *loop_new(void); /* NULL: out of memory */
struct loop *loop_free(struct loop *l);
int loop_run(struct loop *l);		       /* until loop_stop() */
int loop_once(struct loop *l, int timeout_ms); /* -1: no limit; one round */
void loop_stop(struct loop *l);
/* raw event base for lib/http.c and lib/httpc.c only */
void *loop_base(struct loop *l);

/* each: NULL when out of memory; loop_event_free(NULL) is fine, returns NULL */
struct loop_event *loop_fd(struct loop *l, int fd, unsigned what, loop_fd_fn fn, void *arg);
int loop_fd_set(struct loop_event *e, unsigned what); /* change what is awaited; 0: nothing */
struct loop_event *loop_timer(struct loop *l, int64_t ms, loop_timer_fn fn, void *arg); /* once */
struct loop_event *loop_every(struct loop *l, int64_t ms, loop_timer_fn fn, void *arg);
struct loop_event *loop_signal(struct loop *l, int sig, loop_signal_fn fn, void *arg);
/* watches "pidfd" (takes it unless NULL is returned), reaps with waitid(P_PIDFD)
 * and frees itself after "fn" */
struct loop_event *loop_child(struct loop *l, pid_t pid, int pidfd, loop_child_fn fn, void *arg);
struct loop_event *loop_event_free(struct loop_event *e);

#endif
