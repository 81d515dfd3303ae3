/* SPDX-License-Identifier: MIT */
/*
 * bill - see bill.h.  A file is one line of three numbers, always as long, that is
 * written over in one call: a daemon that is killed leaves the old one or the new one.
 */
#include "sandbox/bill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/logs.h"

#define SUFFIX ".bill"
#define LINE_SIZE 63 /* three numbers of 20 digits, with what is between them */

struct tally {
	uint64_t requests, billed_ms, mb_ms;
};

uint64_t bill_ms(uint64_t duration, uint64_t init)
{
	uint64_t ms = (duration + (MUTANT("bill-init") ? 0 : init) + 99) / 100;

	return ms ? ms : 1;
}

/* a file that is new, or was cut off by a full disk, says nothing */
static int tally_read(int fd, struct tally *ret)
{
	char line[LINE_SIZE + 1];
	ssize_t n = pread(fd, line, LINE_SIZE, 0);

	*ret = (struct tally){ 0 };
	if (n < 0)
		return -errno;
	line[n] = '\0';
	if (n == LINE_SIZE && sscanf(line, "%20" SCNu64 " %20" SCNu64 " %20" SCNu64, &ret->requests,
				     &ret->billed_ms, &ret->mb_ms) == 3)
		return 0;
	*ret = (struct tally){ 0 };
	return 0;
}

static int tally_write(int fd, const struct tally *t)
{
	char line[LINE_SIZE + 1];
	ssize_t n;

	(void)snprintf(line, sizeof(line), "%20" PRIu64 " %20" PRIu64 " %20" PRIu64 "\n",
		       t->requests, t->billed_ms, t->mb_ms);
	n = pwrite(fd, line, LINE_SIZE, 0);
	return n < 0 ? -errno : n == LINE_SIZE ? 0 : -ENOSPC;
}

void bill_add(const struct sandboxd *sd, const char *lab, const char *function, uint64_t billed_ms,
	      unsigned memory_mb)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct tally t;
	int r;

	if (asprintf(&path, "%s/logs/%s/%s" SUFFIX, sd->dir.run, lab, function) < 0) {
		path = NULL;
		return;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	r = fd < 0 ? -errno : tally_read(fd, &t);
	if (r == 0) {
		t.requests++;
		t.billed_ms += billed_ms;
		t.mb_ms += billed_ms * (MUTANT("bill-memory") ? 128 : memory_mb);
		r = tally_write(fd, &t);
	}
	if (r < 0)
		log_warn("%s: %s", path, strerror(-r));
}

static int add_function(cJSON *o, int folder, const char *file)
{
	auto_free char *name = strndup(file, strlen(file) - strlen(SUFFIX));
	auto_close int fd = openat(folder, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct tally t;
	cJSON *f;
	int r = fd < 0 ? -errno : tally_read(fd, &t);

	if (r < 0)
		return r;
	f = name ? cJSON_AddObjectToObject(o, name) : NULL;
	return f && cJSON_AddNumberToObject(f, "requests", (double)t.requests) &&
			       cJSON_AddNumberToObject(f, "billed_ms", (double)t.billed_ms) &&
			       cJSON_AddNumberToObject(f, "gb_seconds",
						       (double)t.mb_ms / 1024 / 1000) ?
		       0 :
		       -ENOMEM;
}

static int is_bill(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return len > strlen(SUFFIX) && !strcmp(d->d_name + len - strlen(SUFFIX), SUFFIX);
}

int bill_read(const struct sandboxd *sd, const char *lab, cJSON **ret)
{
	auto_json cJSON *o = cJSON_CreateObject();
	auto_free char *path = logs_folder(sd, lab);
	auto_close int folder = -1;
	struct dirent **files = NULL;
	int n, i, r = 0;

	if (!o || !path)
		return -ENOMEM;
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	n = folder < 0 ? 0 : scandir(path, &files, is_bill, alphasort);
	if (folder < 0 && errno != ENOENT)
		return -errno;
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		if (r == 0)
			r = add_function(o, folder, files[i]->d_name);
		free(files[i]);
	}
	free(files);
	if (r == 0)
		*ret = steal_ptr(&o);
	return r;
}
