/* SPDX-License-Identifier: MIT */
/*
 * code - functions' code, copied by digest into STATE/code/DIGEST when a lab is
 * put: what runs is never the folder that somebody edits.  A copy is made aside
 * and renamed, so a folder by that name is whole.
 */
#ifndef CODE_H
#define CODE_H

#include <stdint.h>

#include "lib/err.h"

/* the real path of "path", counted from "base" (may be NULL) if it is relative; caller frees */
int code_path(const char *base, const char *path, char **ret, struct err *e);
/* "path" (folder or .zip; relative: to "base") -> its copy below "state";
 * "ret" gets the digest, 64 hex characters */
int code_take(const char *state, const char *base, const char *path, char ret[65], struct err *e);
/* STATE/code/DIGEST, where a copy is; caller frees, NULL without memory */
char *code_place(const char *state, const char *digest);
/* STATE/code itself is there: 0, or "e" */
int code_folder(const char *state, struct err *e);
/* an empty folder beside "place" to make a copy in, whatever an attempt before this one left
 * there; 0 and its path, caller frees */
int code_aside(const char *place, int mode, char **ret, struct err *e);
/* what became whole in "part" ("r" 0) goes to "place", anything else away; returns "r", or "e" */
int code_settle(const char *part, const char *place, int r, struct err *e);
/* bytes of a copy's files; 0 or -errno */
int code_bytes(const char *state, const char *digest, uint64_t *ret);
/* removes copies for which "is_used" says false */
void code_sweep(const char *state, int (*is_used)(const char *digest, void *arg), void *arg);

#endif
