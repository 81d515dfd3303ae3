/* SPDX-License-Identifier: MIT */
/*
 * reach - see reach.h: the table.
 */
#include "topology/reach.h"

#include "lib/util.h"

static const struct reach_drop drops[] = {
#define REACH_ROW(sym, number, code, direction, field) \
	{ number, code, direction, field,              \
	  (direction)[0] == 'e' ? "drop_" code "_out" : "drop_" code "_in" },
	REACH_DROPS(REACH_ROW)
#undef REACH_ROW
};

const struct reach_drop *reach_drop(unsigned number)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(drops); i++)
		if (drops[i].number == number)
			return &drops[i];
	return NULL;
}
