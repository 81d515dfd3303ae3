/* SPDX-License-Identifier: MIT */
/*
 * memory - see memory.h.
 */
#include "sandbox/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"

#define STATUS_MAX 16384

/* RssFile of /proc/PID/status, bytes; 0: it is gone */
static uint64_t mapped_files(pid_t pid)
{
	auto_free char *text = NULL;
	char path[40];
	const char *line;
	size_t size;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (read_file(path, STATUS_MAX, &text, &size) < 0)
		return 0;
	line = strstr(text, "\nRssFile:");
	return line ? strtoull(line + strlen("\nRssFile:"), NULL, 10) * 1024 : 0;
}

uint64_t memory_of_others(struct cgroup *g)
{
	auto_free pid_t *pids = NULL;
	uint64_t most = 0, own = 0;
	size_t n = 0, i;

	if (MUTANT("memory-files") || cgroup_pids(g, &pids, &n) < 0)
		return 0;
	for (i = 0; i < n; i++) {
		uint64_t mapped = mapped_files(pids[i]);

		most = mapped > most ? mapped : most;
	}
	if (cgroup_memory_mapped(g, &own) < 0)
		own = 0;
	return most > own ? most - own : 0;
}
