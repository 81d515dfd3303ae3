/* SPDX-License-Identifier: MIT */
/*
 * reach - see reach.h: the table.
 */
#include "topology/reach.h"

enum { /* places in the table */
#define REACH_PLACE(sym, number, code, direction, field) PLACE_##sym,
       REACH_DROPS(REACH_PLACE)
#undef REACH_PLACE
};

static const struct reach_drop drops[] = {
#define REACH_ROW(sym, number, code, direction, field) \
	{ number, code, direction, field,              \
	  (direction)[0] == 'e' ? "drop_" code "_out" : "drop_" code "_in" },
	REACH_DROPS(REACH_ROW)
#undef REACH_ROW
};

const struct reach_drop *reach_drop(unsigned number)
{
	switch (number) {
#define REACH_CASE(sym, number, code, direction, field) \
	case number:                                    \
		return &drops[PLACE_##sym];
		REACH_DROPS(REACH_CASE)
#undef REACH_CASE
	}
	return NULL;
}
