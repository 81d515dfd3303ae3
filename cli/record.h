/* SPDX-License-Identifier: MIT */
/*
 * record - a capture that goes on, written as it comes: lines, objects, or a pcapng file.
 */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include <stdint.h>

#include "cli/cli.h"
#include "lib/bpf.h"

struct record;

/*
 * record_begin() - from its return on every frame of the nodes is held ("words", "n_words",
 * "ret_nodes" as in capture_follow()), and written whenever the command's loop runs: to standard
 * output as lines, with -o json as objects, or to record_file()'s file.
 * 0 and "ret" (owns: record_end()), or exit status, told.
 */
int record_begin(struct cli *c, const char *lab, const char *const *words, size_t n_words,
		 struct record **ret, size_t *ret_nodes);
size_t record_n_namespaces(const struct record *s);
/* only what matches "b" (borrowed until the end); 0 or exit status, told */
int record_filter(struct record *s, const struct bpf *b);
/* into a pcapng file, made now; "-" is standard output, "verb" for messages; 0 or exit status, told */
int record_file(struct record *s, const char *verb, const char *file);
/* SIGINT and SIGTERM end it, and set what ends a request (c->interrupted); 0 or exit status, told */
int record_signals(struct record *s);
/*
 * record_run() - until it is interrupted, "count" frames were written, "seconds" (0: no limit) are
 * over or the lab is gone; what came before is written.  0 or exit status, told.
 */
int record_run(struct record *s, uint64_t count, double seconds);
/* frees; "whole": what waits is written before, and how many there were is said.  Exit status;
 * NULL is fine */
int record_end(struct record *s, bool whole);

#endif
