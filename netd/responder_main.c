/* SPDX-License-Identifier: MIT */
/*
 * responder - the process that answers inside labs (responder.h).
 *
 * Started by netd only, as root, with descriptor 3: the listening socket of
 * RUN/responder.sock, and 4: the held lock of RUN/responder.lock, which says as
 * long as this process lives that it does.  It gives up every privilege before
 * it reads its first byte, and then depends on nobody: daemons come and go.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "lib/util.h"
#include "netd/responder.h"

#define LISTEN_FD 3
#define NOBODY 65534

/* the step that failed, or NULL; in this order, for each needs what the next takes away */
static const char *drop_privileges(void)
{
	if (setgroups(0, NULL) < 0)
		return "setgroups";
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0)
		return "setresgid";
	if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return "setresuid";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "no_new_privs";
	/* other processes of this uid have no business in our memory */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return "dumpable";
	return setuid(0) == 0 ? "privileges came back" : NULL;
}

static void stop(int sig, void *arg)
{
	(void)sig;
	loop_stop(arg);
}

static int listener_check(void)
{
	socklen_t size = sizeof(int);
	int type = 0;

	if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		return -ENOTSOCK;
	return fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/*
 * Between its start and the pid file that names it nobody could find us: so long
 * we go with netd ("pid").  Its first connection ends that (responder.c).
 */
static bool parent_bind(const char *pid)
{
	uint64_t n;

	return parse_u64(pid, 1, INT32_MAX, &n) == 0 &&
	       prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == (pid_t)n;
}

int main(int argc, char **argv)
{
	struct loop *l;
	struct responder *r = NULL;
	const char *step;
	int rc = 5;

	log_init("responder", LOG_INFO);
	if (argc != 2 || listener_check() < 0) {
		fprintf(stderr, "responder: is started by netd, with its socket as descriptor %d\n",
			LISTEN_FD);
		return 2;
	}
	step = drop_privileges();
	if (step) {
		log_err("%s: %s", step, strerror(errno));
		return 5;
	}
	/* after the change of identity, which would undo it */
	if (!parent_bind(argv[1]))
		return 5;
	(void)signal(SIGPIPE, SIG_IGN); /* can't fail for this signal */
	l = loop_new();
	if (l)
		r = responder_new(l, LISTEN_FD);
	if (r && loop_signal(l, SIGTERM, stop, l)) {
		log_info("ready pid=%d", (int)getpid());
		rc = loop_run(l) < 0 ? 5 : 0;
	} else {
		log_err("out of memory");
	}
	responder_free(r);
	loop_free(l);
	return rc;
}
