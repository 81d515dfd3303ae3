/* SPDX-License-Identifier: MIT */
/*
 * env - what a program needs to know of a lab, as environment variables.
 */
#ifndef CLI_ENV_H
#define CLI_ENV_H

#include "cli/cli.h"
#include "lib/json.h"

/*
 * env_variables() - "ret" (owned by the caller) is {NAME: value} in the order to
 * print: the lab and where its daemons are, credentials that name the lab in a
 * signed request, addresses of nodes.  0 or exit status, told.
 */
int env_variables(struct cli *c, const char *lab, cJSON **ret);
/* pure, for tests: "PREFIX_NODE" as a shell takes it (upper case, '-' as '_') */
void env_name(char *ret, size_t size, const char *prefix, const char *node);
/* pure: appends "s" as one word of a POSIX shell */
struct buf;
void env_quote(struct buf *b, const char *s);

#endif
