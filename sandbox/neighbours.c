/* SPDX-License-Identifier: MIT */
/*
 * neighbours - see neighbours.h.  The file has a line of names, then one of
 * hexadecimal counters for each processor.
 */
#include "sandbox/neighbours.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define FILE_SIZE_MAX (256 * 1024) /* of thousands of processors */

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/* which column has the name; -1: none */
static int column_of(const char *line, const char *name)
{
	size_t len;
	int i = 0;

	for (line = skip_blanks(line); *line && *line != '\n';
	     line = skip_blanks(line + len), i++) {
		len = strcspn(line, " \t\n");
		if (len == strlen(name) && strncmp(line, name, len) == 0)
			return i;
	}
	return -1;
}

static uint64_t column_value(const char *line, int column)
{
	for (line = skip_blanks(line); *line && *line != '\n'; column--) {
		if (column == 0)
			return strtoull(line, NULL, 16);
		line = skip_blanks(line + strcspn(line, " \t\n"));
	}
	return 0;
}

uint64_t neighbours_parse(const char *text)
{
	int column = column_of(text, "table_fulls");
	uint64_t sum = 0;

	if (column < 0)
		return 0;
	while ((text = strchr(text, '\n')))
		sum += column_value(++text, column);
	return sum;
}

uint64_t neighbours_refused(void)
{
	auto_free char *text = NULL;
	size_t size;

	return read_file("/proc/net/stat/arp_cache", FILE_SIZE_MAX, &text, &size) < 0 ?
		       0 :
		       neighbours_parse(text);
}
