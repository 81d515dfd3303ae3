/* SPDX-License-Identifier: MIT */
/* room - idle environments that go (room.h) */
#include "sandbox/room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/env.h"

#define IDLE_LEAST_MS 1000
#define IDLE_MOST_S 86400
#define MEMORY_LEAST_MB 16
#define MEMORY_MOST_MB (1L << 30)

static int number(const char *option, const char *text, long least, long most, long *ret,
		  struct err *e)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	if (errno || end == text || *end || *ret < least || *ret > most)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "--%s %s: a number from %ld to %ld", option, text, least, most);
	return 0;
}

int room_open(struct sandboxd *sd, const char *idle, const char *memory, struct err *e)
{
	long idle_s = LIMIT_IDLE_S, mb = 0;
	int r = 0;

	if (idle)
		r = number("idle", idle, 1, IDLE_MOST_S, &idle_s, e);
	if (!r && memory)
		r = number("memory", memory, MEMORY_LEAST_MB, MEMORY_MOST_MB, &mb, e);
	if (!r)
		r = cgroup_make(sd->cgroups, "env", NULL, &sd->envs, e);
	if (r)
		return r;
	sd->idle_s = (unsigned)idle_s;
	sd->memory_most = memory ? (uint64_t)mb << 20 :
				   (uint64_t)(LIMIT_MEMORY_SHARE * (double)sysconf(_SC_PHYS_PAGES) *
					      (double)sysconf(_SC_PAGESIZE));
	return 0;
}

void room_close(struct sandboxd *sd)
{
	sd->envs = cgroup_close(sd->envs);
}

int64_t room_idle_ms(const struct sandboxd *sd, double time_scale)
{
	double ms = sd->idle_s * 1000.0 / (MUTANT("room-idle") ? 1 : time_scale);

	return ms < IDLE_LEAST_MS ? IDLE_LEAST_MS : (int64_t)ms;
}

void room_idle(struct env *v)
{
	struct sandboxd *sd = v->func->slab->sd;

	room_busy(v);
	if (MUTANT("room-order"))
		TAILQ_INSERT_HEAD(&sd->idle, v, idle_link);
	else
		TAILQ_INSERT_TAIL(&sd->idle, v, idle_link);
	v->is_idle = true;
}

void room_busy(struct env *v)
{
	if (v->is_idle)
		TAILQ_REMOVE(&v->func->slab->sd->idle, v, idle_link);
	v->is_idle = false;
}

bool room_make(struct sandboxd *sd)
{
	uint64_t used = 0, own;
	struct env *v;
	int r = cgroup_memory(sd->envs, &used);

	/* the group stands from the start to the end: a reading that fails is the host's fault */
	if (r < 0) {
		log_warn("memory of environments: %s", strerror(-r));
		return false;
	}
	while (used > sd->memory_most && !MUTANT("room") && (v = TAILQ_FIRST(&sd->idle))) {
		if (!v->cgroup || cgroup_memory(v->cgroup, &own) < 0)
			own = 0;
		/* what it had is counted as gone: its end is under way */
		used -= own < used ? own : used;
		env_end(v);
	}
	return used <= sd->memory_most || MUTANT("room");
}
