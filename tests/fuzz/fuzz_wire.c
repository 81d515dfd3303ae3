/* SPDX-License-Identifier: MIT */
/*
 * fuzz_wire - the init's message pair and plan (sandbox/wire.c) with any bytes,
 * cut anywhere: fields lie inside what was fed, cutting changes nothing, and
 * what is taken apart and put together again is the same.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const struct wire_msg *m)
{
	struct wire_out out = { 0 };
	struct wire_in in = { 0 };
	struct wire_msg again;
	char text[64];
	long number;
	size_t i;

	if (!m->type || m->type >= WIRE_TYPES || m->n > WIRE_FIELDS_MAX)
		abort();
	for (i = 0; i < WIRE_FIELDS_MAX; i++) {
		if (wire_text(m, i, text, sizeof(text)) == 0 && strlen(text) != m->field[i].size)
			abort();
		(void)wire_number(m, i, &number);
	}
	if (wire_put(&out, m->type, m->n, m->field) < 0 ||
	    wire_in_feed(&in, out.s + out.start, out.len) < 0 || wire_in_next(&in, &again) != 1 ||
	    again.n != m->n || again.type != m->type)
		abort();
	for (i = 0; i < m->n; i++)
		if (again.field[i].size != m->field[i].size ||
		    memcmp(again.field[i].data, m->field[i].data, m->field[i].size) != 0)
			abort();
	wire_in_done(&in);
	wire_out_done(&out);
}

/* returns the number of messages, or -1 at a fault */
static int run(const uint8_t *data, size_t size, size_t step)
{
	struct wire_in in = { 0 };
	struct wire_msg m;
	int n = 0, r = 0;

	while (size && r >= 0) {
		size_t len = step < size ? step : size;

		if (wire_in_feed(&in, data, len) < 0)
			abort();
		data += len;
		size -= len;
		while ((r = wire_in_next(&in, &m)) > 0) {
			check_fields(&m);
			n++;
		}
	}
	wire_in_done(&in);
	return r < 0 ? -1 : n;
}

static void check_plan(const char *text, size_t size)
{
	struct plan_line l;
	size_t pos = 0, before = 0;
	int r;

	while ((r = plan_next(text, size, &pos, &l)) > 0) {
		if (pos <= before || pos > size || strlen(l.key) + strlen(l.a) + strlen(l.b) > size)
			abort();
		before = pos;
	}
	if (r < 0 && r != -EBADMSG)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int whole = run(data, size, size ? size : 1);

	if (run(data, size, 7) != whole)
		abort();
	check_plan((const char *)data, size);
	return 0;
}
