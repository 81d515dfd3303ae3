/* SPDX-License-Identifier: MIT */
/*
 * configuration - a function in AWS's words, as GetFunction and its like answer.
 */
#ifndef CONFIGURATION_H
#define CONFIGURATION_H

#include "lib/json.h"
#include "sandbox/sandboxd.h"

/* FunctionConfiguration; owns; "f" has its spec; "qualifier": asked for, "" if none was */
cJSON *configuration_of(const struct func *f, const char *qualifier);
/* what GetFunction tells besides the configuration goes into "o" */
void configuration_more(const struct func *f, cJSON *o);

#endif
