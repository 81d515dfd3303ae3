/* SPDX-License-Identifier: MIT */
/*
 * select - what "show LAB KIND/NAME" means, on the document that "show LAB"
 * prints (interface.md 4).  Pure.
 */
#ifndef CLI_SELECT_H
#define CLI_SELECT_H

#include "lib/json.h"

enum select_status { SELECT_OK, SELECT_UNKNOWN_KIND, SELECT_NONE, SELECT_AMBIGUOUS, SELECT_MEMORY };

struct select_kind {
	const char *name;					 /* the file's plural: "subnets" */
	enum { IN_TOP, IN_INTERNET, IN_VPC, IN_VPC_BARE } where; /* IN_VPC: keyed VPC/NAME */
	const char *const *columns; /* members that a table shows, NULL-terminated */
};

extern const struct select_kind SELECT_KINDS[]; /* ends with a NULL name */

/* "word" is KIND or KIND/NAME.  "ret_kind" is set but with SELECT_UNKNOWN_KIND;
 * "ret" (owns): a map by name, or one object; "ret_one": the latter */
enum select_status select_objects(const cJSON *show, const char *word,
				  const struct select_kind **ret_kind, cJSON **ret, bool *ret_one);

#endif
