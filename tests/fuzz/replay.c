/* SPDX-License-Identifier: MIT */
/*
 * replay - a plain main for a fuzz target: every file of its corpus, and the
 * empty input, once, as TAP.  A find becomes a file there and stays tested with
 * any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n;

static int replay(const char *path)
{
	auto_free char *data = NULL;
	uint8_t *exact;
	size_t size;

	if (read_file(path, 16 << 20, &data, &size) < 0)
		return -1;
	/* without the NUL behind it, so that a sanitizer sees a byte read too far */
	exact = malloc(size ? size : 1);
	if (!exact)
		return -1;
	for (size_t i = 0; i < size; i++)
		exact[i] = (uint8_t)data[i];
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	printf("ok %u - %s\n", ++n, path);
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return alphasort(a, b);
}

int main(void)
{
	struct dirent **names = NULL;
	int count = scandir(CORPUS, &names, NULL, by_name), bad = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("ok %u - the empty input\n", ++n);
	for (int i = 0; i < count; i++) {
		char path[512];
		struct stat st;

		snprintf(path, sizeof(path), CORPUS "/%s", names[i]->d_name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && replay(path) < 0) {
			printf("not ok %u - %s\n", ++n, path);
			bad++;
		}
		free(names[i]);
	}
	free(names);
	printf("1..%u\n", n);
	return bad ? 1 : 0;
}
