/* SPDX-License-Identifier: MIT */
/*
 * bench_spawn - the floor of a cold start: clone3 with the namespaces that an
 * execution environment has, and exec of the same static program, until its first
 * bytes arrive.  No cgroup, no view of files, no network but an empty namespace.
 *
 * usage: bench_spawn ROUNDS PROGRAM [ARGUMENT...]; a line of microseconds a round
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS |
					    CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP,
				   .exit_signal = SIGCHLD };
	char first;

	for (int n = argc > 2 ? atoi(argv[1]) : 0; n > 0; n--) {
		double begin = now_us();
		int out[2];
		long pid;

		if (pipe2(out, O_CLOEXEC) < 0)
			return 1;
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid < 0) {
			fprintf(stderr, "clone3: %s\n", strerror(errno));
			return 1;
		}
		if (!pid) {
			dup2(out[1], 1);
			execv(argv[2], argv + 2);
			_exit(127);
		}
		close(out[1]);
		if (read(out[0], &first, 1) != 1)
			return 1;
		printf("%.1f\n", now_us() - begin);
		close(out[0]);
		kill((pid_t)pid, SIGKILL);
		waitpid((pid_t)pid, NULL, 0);
	}
	return 0;
}
