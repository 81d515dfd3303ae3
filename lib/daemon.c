/* SPDX-License-Identifier: MIT */
/*
 * daemon - options, descriptors and group of a daemon.
 */
#include "lib/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/util.h"

#define FILES_MAX (1024 * 1024) /* a namespace needs up to five, an environment three */

enum {
	OPT_RUN = 256,
	OPT_STATE,
	OPT_GROUP,
	OPT_GC,
	OPT_FOREGROUND,
	OPT_VERSION,
	OPT_HELP,
	OPT_OWN
};

static const struct option common[] = {
	{ "run-dir", required_argument, NULL, OPT_RUN },
	{ "state-dir", required_argument, NULL, OPT_STATE },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "gc", no_argument, NULL, OPT_GC },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
};

int daemon_options(int argc, char **argv, const char *program, const char *usage,
		   struct daemon_own *own, struct daemon_options *o)
{
	struct option longs[ARRAY_SIZE(common) + DAEMON_OWN_MAX + 1] = { 0 };
	int c, i;

	memcpy(longs, common, sizeof(common));
	for (i = 0; own[i].name && i < DAEMON_OWN_MAX; i++)
		longs[(int)ARRAY_SIZE(common) + i] =
			(struct option){ own[i].name, required_argument, NULL, OPT_OWN + i };
	while ((c = getopt_long(argc, argv, "vh", longs, NULL)) != -1)
		switch (c) {
		case OPT_RUN:
			o->run = optarg;
			break;
		case OPT_STATE:
			o->state = optarg;
			break;
		case OPT_GROUP:
			o->group = optarg;
			break;
		case OPT_GC:
			o->gc = true;
			break;
		case OPT_FOREGROUND:
			break;
		case 'v':
			o->level = o->level < LOG_DEBUG ? LOG_DEBUG : LOG_TRACE;
			break;
		case OPT_VERSION:
			printf("%s %s\n", program, VERSION);
			return 0;
		case 'h':
		case OPT_HELP:
			fputs(usage, stdout);
			return 0;
		default:
			if (c < OPT_OWN)
				return 2;
			own[c - OPT_OWN].value = optarg;
		}
	if (optind < argc) {
		fprintf(stderr, "%s: %s: takes no arguments (see --help)\n", program, argv[optind]);
		return 2;
	}
	return -1;
}

void daemon_files_raise(void)
{
	struct rlimit most = { FILES_MAX, FILES_MAX }, have;

	if (setrlimit(RLIMIT_NOFILE, &most) == 0 || getrlimit(RLIMIT_NOFILE, &have) < 0)
		return;
	have.rlim_cur = have.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &have) < 0)
		log_warn("ignoring: no more than the usual number of descriptors: %s",
			 strerror(errno));
}

void daemon_memory_keep(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

int daemon_group(const char *name, gid_t *ret, struct err *e)
{
	const struct group *g;

	*ret = (gid_t)-1;
	if (!name)
		return 0;
	errno = 0;
	g = getgrnam(name);
	if (!g)
		return err_set(e, ERR_INVALID_PARAMETER, errno ? errno : ENOENT,
			       "there is no group \"%s\"", name);
	*ret = g->gr_gid;
	return 0;
}
