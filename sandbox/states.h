/* SPDX-License-Identifier: MIT */
/*
 * states - how a function stands, in AWS's words (LN-22..28).
 *
 *   Pending     the change that brings it isn't through: nothing can be invoked
 *   Active      it can; while an update is InProgress by its old code and way, and
 *               after one that Failed, too
 *   Failed      its network couldn't be made; netd tells why
 *
 * "up" is a create or an update of each function that it changes, and returns when
 * they are Active and Successful; only others see what is between.
 */
#ifndef STATES_H
#define STATES_H

#include "lib/err.h"
#include "lib/json.h"
#include "sandbox/sandboxd.h"

#define STATES_PENDING_MS 360000 /* AWS time; a later change ends one that takes longer (LN-32) */

/* of a published version: netd keeps the network of $LATEST */
#define STATES_OTHER_NETWORK "InvalidConfiguration"

/* NULL: nothing to say; strings borrow from "f" */
struct func_state {
	const char *state, *code, *reason;
	const char *update, *update_code, *update_reason;
};
struct func_state states_of(const struct func *f);

/* what netd shows of the function ("o", borrowed; NULL: nothing) after a change */
void states_take(struct func *f, const cJSON *o);
/* the update that was under way failed; what was before holds (LN-24) */
void states_fail_update(struct func *f, const struct err *why);
/* into a FunctionConfiguration */
void states_configuration(const struct func *f, cJSON *o);
/* can't be invoked as it stands: HTTP status, with AWS's type and message; 0: it can */
int states_refusal(const struct func *f, const char **ret_type, char *text, size_t size);

#endif
