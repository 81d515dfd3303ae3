/* SPDX-License-Identifier: MIT */
/*
 * env - see env.h.  One function a message of the init, one a timer.  Whatever
 * an init says is checked against what it may say now: an id that isn't its
 * invocation's, or a message out of turn, ends it.
 */
#include "sandbox/env.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/bill.h"
#include "sandbox/front.h"
#include "sandbox/functions.h"
#include "sandbox/logs.h"
#include "sandbox/memory.h"
#include "sandbox/rapi.h"
#include "sandbox/room.h"
#include "sandbox/runtime.h"
#include "sandbox/throttle.h"
#include "sandbox/versions.h"
#include "sandbox/view.h"

#define END_RETRY_MS 20
#define UNREADY "the init phase didn't come to its end"
#define PLACE_MS 120000 /* an answer of netd's: a thousand at once wait for one another */
#define ERROR_TYPE_SIZE 200
/* bytes that a group's peak has grown by: what it maps is looked at again */
#define MEMORY_STEP (1 << 20)

static void thaw(struct env *v);
static void on_timeout(void *arg);
static void set_idle(struct env *v);
static struct cgroup_limits limits_of(const struct env *v, bool init);

static struct sandboxd *sd_of(const struct env *v)
{
	return v->func->slab->sd;
}

/* ---- user ids: one an environment, lowest free first ---- */

static unsigned uid_take(struct sandboxd *sd)
{
	unsigned i;

	for (i = 1; i < SANDBOXD_UIDS; i++)
		if (!(sd->uids[i / 8] & (1U << (i % 8)))) {
			sd->uids[i / 8] |= (uint8_t)(1U << (i % 8));
			return i;
		}
	return 0;
}

static void uid_give(struct sandboxd *sd, unsigned idx)
{
	sd->uids[idx / 8] &= (uint8_t) ~(1U << (idx % 8));
}

/* ---- log ---- */

/* the last LIMIT_LOG_TAIL bytes of this invocation's log */
static void tail_add(struct env *v, const char *s, size_t size)
{
	if (size >= sizeof(v->tail)) {
		memcpy(v->tail, s + size - sizeof(v->tail), sizeof(v->tail));
		v->tail_len = sizeof(v->tail);
		return;
	}
	if (v->tail_len + size > sizeof(v->tail)) {
		size_t drop = v->tail_len + size - sizeof(v->tail);

		memmove(v->tail, v->tail + drop, v->tail_len - drop);
		v->tail_len -= drop;
	}
	memcpy(v->tail + v->tail_len, s, size);
	v->tail_len += size;
}

static void log_text(struct env *v, const char *s, size_t size)
{
	tail_add(v, s, size);
	logs_append(sd_of(v), v->func->slab->name, v->func->name, v->stream, &v->logged, s, size);
}

static void log_line(struct env *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void log_line(struct env *v, const char *fmt, ...)
{
	char line[600];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* a function that left its line unfinished keeps it to itself */
	if (v->tail_len && v->tail[v->tail_len - 1] != '\n')
		log_text(v, "\n", 1);
	log_text(v, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* MB; never more than it may use */
static unsigned memory_used(struct env *v)
{
	uint64_t peak = 0, mb;

	if (v->cgroup)
		(void)cgroup_memory_peak(v->cgroup, &peak); /* 0 where the kernel doesn't tell */
	if (v->cgroup && !v->exec && (!v->peak || peak > v->peak + MEMORY_STEP)) {
		v->peak = peak;
		v->others = memory_of_others(v->cgroup);
	}
	mb = (peak + v->others + (1 << 20) - 1) >> 20;
	return mb < v->memory_mb ? (unsigned)mb : v->memory_mb;
}

/* hundredths of a millisecond, as they are printed: what is billed follows from the line */
static uint64_t hundredths(double ms)
{
	return (uint64_t)llround(ms * 100);
}

/* LOG-1, BILL-1; "error": NULL, or its type */
static void log_report(struct env *v, const char *id, const char *error, bool timeout)
{
	uint64_t took = v->phase_invoke ? hundredths(mono_ms_since(v->inv_started)) : 0;
	uint64_t init_took = v->init_ms > 0 ? hundredths(v->init_ms) : 0;
	uint64_t billed = bill_ms(took, init_took);
	char init[64] = "", status[160] = "", type[64];

	if (v->init_ms >= 0)
		(void)snprintf(init, sizeof(init), "Init Duration: %.2f ms\t",
			       (double)init_took / 100);
	if (timeout)
		(void)snprintf(status, sizeof(status), "Status: timeout");
	else if (error)
		(void)snprintf(status, sizeof(status), "Status: error\tError Type: %s",
			       rapi_error_type(error, type, sizeof(type)));
	if (!MUTANT("log-end"))
		log_line(v, "END RequestId: %s\n", id);
	log_line(v,
		 "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %" PRIu64 " ms\t"
		 "Memory Size: %u MB\tMax Memory Used: %u MB\t%s%s\n",
		 id, (double)took / 100, billed, v->memory_mb, memory_used(v), init, status);
	bill_add(sd_of(v), v->func->slab->name, v->func->name, billed, v->memory_mb);
	v->init_ms = -1;
}

/* extensions have done their part of the last invocation, which counts in its duration */
static void log_late(struct env *v, bool timeout)
{
	if (!v->late.due)
		return;
	v->late.due = false;
	log_report(v, v->late.id, v->late.error[0] ? v->late.error : NULL, timeout);
	v->phase_invoke = false;
	v->tail_len = 0;
}

/* ---- messages ---- */

static void flush(struct env *v)
{
	int r;

	if (v->pair < 0)
		return;
	r = wire_flush(&v->out, v->pair);
	if (r < 0)
		env_end(v);
	else
		(void)loop_fd_set(v->pair_event,
				  (v->paused ? 0 : LOOP_READ) | (r ? LOOP_WRITE : 0));
}

void env_pause(struct env *v, bool on)
{
	if (v->paused == on)
		return;
	v->paused = on;
	flush(v);
}

static void send_invocation(struct env *v)
{
	const struct invocation *i = v->inv;
	char ms[16];
	struct wire_field f[6] = {
		wire_bytes(i->id, strlen(i->id)),	    wire_bytes(ms, 0),
		wire_bytes(i->arn, strlen(i->arn)),	    wire_bytes(i->trace, strlen(i->trace)),
		wire_bytes(i->context, strlen(i->context)), wire_bytes(i->payload, i->size),
	};

	f[1].size = (size_t)snprintf(ms, sizeof(ms), "%u", v->timeout_s * 1000);
	if (wire_put(&v->out, WIRE_INVOKE, 6, f) < 0) {
		env_end(v);
		return;
	}
	flush(v);
}

/* ---- the end of an invocation ---- */

/* of the function's time */
static int64_t left_ms(const struct env *v)
{
	int64_t left = (int64_t)v->timeout_s * 1000 - (int64_t)mono_ms_since(v->inv_started);

	return left > 0 ? left : 0;
}

static void finish(struct env *v, struct env_result *r)
{
	struct invocation *i = v->inv;

	v->timer = loop_event_free(v->timer);
	if (v->state == ENV_FINISHING && (v->n_external || v->n_internal)) {
		/* the caller needn't wait for them; what is left of the function's time they have */
		v->late.due = true;
		memcpy(v->late.id, i->id, sizeof(v->late.id));
		(void)snprintf(v->late.error, sizeof(v->late.error), "%s",
			       r->error ? r->error : "");
		if (!MUTANT("extension-time"))
			v->timer = loop_timer(sd_of(v)->loop, left_ms(v), on_timeout, v);
	} else {
		log_report(v, i->id, r->error, r->timeout);
		v->phase_invoke = false;
	}
	r->log_tail = v->tail;
	r->log_size = v->tail_len;
	v->inv = NULL;
	i->env = NULL;
	v->streams = false;
	v->func->n_running--;
	v->func->slab->n_running--;
	sd_of(v)->n_invocations--;
	i->done(i, r);
	v->tail_len = 0;
	buf_done(&v->gathered);
	env_pause(v, false);
}

static void finish_error(struct env *v, const char *type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void finish_error(struct env *v, const char *type, const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT;
	char text[300];
	struct env_result r = { .error = type };
	va_list ap;
	int n;

	n = snprintf(text, sizeof(text), "RequestId: %s Error: ", v->inv->id);
	va_start(ap, fmt);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	buf_adds(&b, "{\"errorType\":");
	buf_json(&b, type);
	buf_adds(&b, ",\"errorMessage\":");
	buf_json(&b, text);
	buf_adds(&b, "}");
	r.timeout = !strcmp(type, "Sandbox.Timedout");
	r.body = buf_str(&b);
	r.size = b.len;
	finish(v, &r);
}

/* the init phase is over, however it ended: from now on the function has its share of
 * the CPU and no more.  false: the environment ends, because it can't be limited */
static bool end_init(struct env *v)
{
	const struct cgroup_limits limits = limits_of(v, false);
	struct err e = { 0 };

	if (!v->cold)
		return true;
	v->cold = false;
	if (cgroup_set_limits(v->cgroup, &limits, &e) == 0)
		return true;
	log_err("lab=%s function=%s %s", v->func->slab->name, v->func->name, e.msg);
	env_end(v);
	return false;
}

static void on_reset_late(void *arg)
{
	struct env *v = arg;

	v->timer = loop_event_free(v->timer);
	env_end(v);
}

/* EX-5: all processes go, /tmp stays; the next invocation starts the runtime anew */
static void reset(struct env *v, const char *reason)
{
	v->timer = loop_event_free(v->timer);
	log_late(v, false);
	v->rerun = true;
	v->n_external = v->n_internal = 0;
	if (MUTANT("shutdown-reason"))
		reason = strcmp(reason, "timeout") ? "timeout" : "failure";
	if (!end_init(v))
		return;
	v->state = ENV_RESETTING;
	if (wire_put_strs(&v->out, WIRE_RESET, reason, NULL) < 0) {
		env_end(v);
		return;
	}
	v->timer = loop_timer(sd_of(v)->loop, LIMIT_RESET_MS, on_reset_late, v);
	flush(v);
}

/* EX-2, EX-6 */
static void on_timeout(void *arg)
{
	struct env *v = arg;

	v->timer = loop_event_free(v->timer);
	if (v->inv) {
		log_line(v, "%s Task timed out after %u.00 seconds\n", v->inv->id, v->timeout_s);
		finish_error(v, MUTANT("timed-out") ? "Runtime.ExitError" : "Sandbox.Timedout",
			     "Task timed out after %u.00 seconds", v->timeout_s);
	} else if (v->late.due) {
		log_line(v, "%s Task timed out after %u.00 seconds\n", v->late.id, v->timeout_s);
		log_late(v, true);
	}
	reset(v, "timeout");
}

/* the function's own time begins */
static void begin_invocation(struct env *v)
{
	v->phase_invoke = true;
	v->inv_started = mono_now();
	v->timer = loop_event_free(v->timer);
	v->timer = loop_timer(sd_of(v)->loop, (int64_t)v->timeout_s * 1000, on_timeout, v);
	log_line(v, "START RequestId: %s Version: %s\n", v->inv->id, v->func->version);
}

/* the init phase of what is kept ready failed, and nobody waits for it to be tried again;
 * false: it is another case */
static bool end_unready(struct env *v, const char *why)
{
	if (!v->provisioned || !v->cold || v->inv)
		return false;
	versions_init_failed(v->func, why);
	env_end(v);
	return true;
}

/* EX-1: what nobody waits for has longer */
static int64_t init_limit_ms(const struct env *v)
{
	int64_t ms = (int64_t)v->timeout_s * 1000;

	if (!v->provisioned)
		return LIMIT_INIT_MS;
	return ms > LIMIT_PROVISIONED_INIT_MS ? ms : LIMIT_PROVISIONED_INIT_MS;
}

/* EX-1: an init phase past its limit is run again under the function's time-out */
static void on_init_timeout(void *arg)
{
	struct env *v = arg;

	v->timer = loop_event_free(v->timer);
	log_line(v, "INIT_REPORT Init Duration: %" PRId64 ".00 ms\tPhase: init\tStatus: timeout\n",
		 init_limit_ms(v));
	v->init_ms = -1;
	if (!end_unready(v, UNREADY))
		reset(v, "timeout");
}

/* ---- the end of its time ---- */

static void on_leave_late(void *arg)
{
	struct env *v = arg;

	v->timer = loop_event_free(v->timer);
	env_end(v);
}

/* EX-3: without extensions it ends at once, with some when they are through or out of time */
static void leave(struct env *v)
{
	if (v->state == ENV_LEAVING || v->state == ENV_ENDING)
		return;
	if (!v->n_external && !v->n_internal) {
		env_end(v);
		return;
	}
	v->timer = loop_event_free(v->timer);
	room_busy(v);
	thaw(v);
	if (v->state == ENV_ENDING)
		return;
	v->state = ENV_LEAVING;
	v->timer = loop_timer(sd_of(v)->loop, LIMIT_RESET_MS, on_leave_late, v);
	if (!v->timer || wire_put_strs(&v->out, WIRE_SHUTDOWN, NULL) < 0)
		env_end(v);
	else
		flush(v);
}

/* ---- freezing ---- */

static void on_freeze(void *arg)
{
	struct env *v = arg;

	v->freeze = loop_event_free(v->freeze);
	if (v->state == ENV_IDLE && cgroup_freeze(v->cgroup) == 0)
		v->frozen = true;
}

static void on_idle_long(void *arg)
{
	struct env *v = arg;

	v->timer = loop_event_free(v->timer);
	leave(v);
}

static void thaw(struct env *v)
{
	v->freeze = loop_event_free(v->freeze);
	if (!v->frozen)
		return;
	v->frozen = false;
	if (cgroup_thaw(v->cgroup) < 0)
		env_end(v);
}

static void set_idle(struct env *v)
{
	struct sandboxd *sd = sd_of(v);

	v->state = ENV_IDLE;
	if (v->stale || v->func->gone) {
		leave(v);
		return;
	}
	v->timer = loop_event_free(v->timer);
	if (!v->provisioned || MUTANT("provisioned-idle"))
		v->timer = loop_timer(sd->loop, room_idle_ms(sd, v->func->slab->lab->time_scale),
				      on_idle_long, v);
	v->freeze = loop_event_free(v->freeze);
	v->freeze = loop_timer(sd->loop, LIMIT_FREEZE_MS, on_freeze, v);
	if (!v->provisioned)
		room_idle(v);
}

/* ---- what the init tells ---- */

static void on_next(struct env *v)
{
	if (v->cold) {
		v->init_ms = v->provisioned && !MUTANT("provisioned-init") ?
				     -1 :
				     mono_ms_since(v->started);
		if (!end_init(v))
			return;
	}
	v->rerun = false;
	log_late(v, false);
	if (v->state == ENV_STARTING || v->state == ENV_FINISHING) {
		if (v->inv && !v->phase_invoke) {
			v->state = ENV_RUNNING;
			begin_invocation(v);
		} else if (!v->inv) {
			set_idle(v);
		}
	}
}

/* does the message name the invocation that runs? */
static bool is_ours(const struct env *v, const struct wire_msg *m)
{
	return v->inv && m->n && m->field[0].size == strlen(v->inv->id) &&
	       !memcmp(m->field[0].data, v->inv->id, m->field[0].size);
}

static int on_response(struct env *v, const struct wire_msg *m)
{
	struct env_result r = { 0 };

	if (m->n != 2 || !is_ours(v, m))
		return v->inv ? -EBADMSG : 0; /* too late: it has timed out */
	r.body = m->field[1].data;
	r.size = m->field[1].size;
	v->state = ENV_FINISHING;
	finish(v, &r);
	return 0;
}

/* what a runtime calls its error; it need not say */
static void error_type(const struct wire_msg *m, size_t field, char ret[ERROR_TYPE_SIZE])
{
	if (wire_text(m, field, ret, ERROR_TYPE_SIZE) < 0 || !ret[0])
		(void)snprintf(ret, ERROR_TYPE_SIZE, "Runtime.Unknown");
}

static int on_error(struct env *v, const struct wire_msg *m)
{
	struct env_result r = { 0 };
	char type[ERROR_TYPE_SIZE];

	if (m->n != 3 || !is_ours(v, m))
		return v->inv ? -EBADMSG : 0;
	error_type(m, 1, type);
	r.error = type;
	r.body = m->field[2].data;
	r.size = m->field[2].size;
	v->state = ENV_FINISHING;
	finish(v, &r);
	return 0;
}

static int finish_too_large(struct env *v, uint64_t limit)
{
	char body[200];
	struct env_result r = { .error = "Function.ResponseSizeTooLarge", .body = body };

	r.size = (size_t)snprintf(body, sizeof(body),
				  "{\"errorType\":\"%s\",\"errorMessage\":"
				  "\"Response payload size exceeded maximum allowed payload size "
				  "(%" PRIu64 " bytes).\"}",
				  r.error, limit);
	v->state = ENV_FINISHING;
	finish(v, &r);
	return 0;
}

static int on_too_large(struct env *v, const struct wire_msg *m)
{
	if (!is_ours(v, m))
		return v->inv ? -EBADMSG : 0;
	return finish_too_large(v, LIMIT_RESPONSE);
}

/* ---- responses in pieces (RAPI-5, INV-5) ---- */

static int on_stream(struct env *v, const struct wire_msg *m)
{
	if (m->n != 2 || !is_ours(v, m) || v->streams)
		return v->inv ? -EBADMSG : 0;
	v->streams = true;
	v->n_streamed = 0;
	return 0;
}

static int on_stream_piece(struct env *v, const struct wire_msg *m)
{
	const uint64_t limit = v->inv && v->inv->piece ? LIMIT_STREAM : LIMIT_RESPONSE;

	if (m->n != 2 || !is_ours(v, m) || !v->streams)
		return v->inv ? -EBADMSG : 0;
	v->n_streamed += m->field[1].size;
	if (v->n_streamed > limit && !MUTANT("stream-limit"))
		return finish_too_large(v, limit);
	if (v->inv->piece && !MUTANT("stream-pieces"))
		v->inv->piece(v->inv, m->field[1].data, m->field[1].size);
	else
		buf_add(&v->gathered, m->field[1].data, m->field[1].size);
	return 0;
}

static int on_stream_end(struct env *v, const struct wire_msg *m)
{
	auto_buf struct buf body = BUF_INIT;
	auto_free char *told = NULL;
	struct env_result r = { 0 };
	char type[ERROR_TYPE_SIZE];

	if ((m->n != 1 && m->n != 3) || !is_ours(v, m) || !v->streams)
		return v->inv ? -EBADMSG : 0;
	v->state = ENV_FINISHING;
	if (m->n == 3) {
		error_type(m, 1, type);
		r.error = type;
		told = base64_decode(m->field[2].data, m->field[2].size, &r.size);
		if (!told || !r.size) {
			buf_adds(&body, "{\"errorType\":");
			buf_json(&body, type);
			buf_adds(&body,
				 ",\"errorMessage\":\"The response ended before it was whole\"}");
			r.size = body.len;
		}
		r.body = body.len ? body.s : told;
	} else {
		r.streamed = true;
		r.body = buf_str(&v->gathered);
		r.size = v->gathered.len;
	}
	finish(v, &r);
	return 0;
}

static int on_init_error(struct env *v, const struct wire_msg *m)
{
	struct env_result r = { 0 };
	char type[ERROR_TYPE_SIZE];

	if (m->n != 2)
		return -EBADMSG;
	error_type(m, 0, type);
	log_line(v,
		 "INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: error\tError Type: %s\n",
		 mono_ms_since(v->started), v->rerun ? "invoke" : "init", type);
	v->init_ms = -1;
	r.error = type;
	r.body = m->field[1].data;
	r.size = m->field[1].size;
	if (end_unready(v, type))
		return 0;
	/* the first time it is tried again, within the invocation (EX-1) */
	if (v->inv && (!v->cold || MUTANT("init-again")))
		finish(v, &r);
	reset(v, "failure");
	return 0;
}

static int on_extensions(struct env *v, const struct wire_msg *m)
{
	return wire_number(m, 0, &v->n_external) < 0 || wire_number(m, 1, &v->n_internal) < 0 ?
		       -EBADMSG :
		       0;
}

static int on_crash(struct env *v, const struct wire_msg *m)
{
	struct env_result r = { 0 };
	char type[ERROR_TYPE_SIZE];

	if (m->n != 2 || wire_text(m, 0, type, sizeof(type)) < 0)
		return -EBADMSG;
	r.error = type;
	r.body = m->field[1].data;
	r.size = m->field[1].size;
	if (v->inv)
		finish(v, &r);
	if (v->state != ENV_LEAVING && v->state != ENV_RESETTING)
		reset(v, "failure");
	return 0;
}

/* EX-7 */
static int on_exit_(struct env *v, const struct wire_msg *m)
{
	bool first = v->cold && v->inv && !v->exec && !MUTANT("init-again");
	bool wait = m->n > 1; /* its extensions are told by a reset */
	long status;

	if (wire_number(m, 0, &status) < 0)
		return -EBADMSG;
	/* of what is being reset: the invocation that waits for that isn't its */
	if (v->state == ENV_LEAVING || v->state == ENV_RESETTING)
		return 0;
	if (end_unready(v, "Runtime.ExitError"))
		return 0;
	if (!end_init(v))
		return 0;
	if (first) {
		/* EX-1: tried again, within the invocation */
		log_line(v,
			 "INIT_REPORT Init Duration: %.2f ms\tPhase: init\tStatus: error\t"
			 "Error Type: Runtime.ExitError\n",
			 mono_ms_since(v->started));
		v->init_ms = -1;
	}
	if (v->inv && (first || v->state == ENV_FINISHING)) {
		/* or: the one before was its last, this one starts it anew */
		if (wait) {
			reset(v, "failure");
			return 0;
		}
		v->rerun = true;
		v->state = ENV_RUNNING;
		begin_invocation(v);
		send_invocation(v);
		return 0;
	}
	if (v->inv && WIFSIGNALED((int)status))
		finish_error(v, "Runtime.ExitError", "Runtime exited with error: signal: %s",
			     WTERMSIG((int)status) == SIGKILL ? "killed" :
								strsignal(WTERMSIG((int)status)));
	else if (v->inv && WEXITSTATUS((int)status))
		finish_error(v, "Runtime.ExitError", "Runtime exited with error: exit status %d",
			     WEXITSTATUS((int)status));
	else if (v->inv)
		finish_error(v, "Runtime.ExitError", "Runtime exited without providing a reason");
	if (wait) {
		reset(v, "failure");
		return 0;
	}
	v->rerun = true;
	set_idle(v);
	return 0;
}

static void on_reset_done(struct env *v)
{
	if (v->state != ENV_RESETTING)
		return;
	v->timer = loop_event_free(v->timer);
	if (!v->inv) {
		set_idle(v);
		return;
	}
	/* its init phase was too long: again, in the function's own time */
	v->state = ENV_RUNNING;
	begin_invocation(v);
	send_invocation(v);
}

static int on_fail(struct env *v, const struct wire_msg *m)
{
	char step[200];
	long errnum = 0;

	if (wire_text(m, 0, step, sizeof(step)) < 0 || wire_number(m, 1, &errnum) < 0)
		return -EBADMSG;
	log_err("lab=%s function=%s an environment could not be made: %s: %s", v->func->slab->name,
		v->func->name, step, strerror((int)errnum));
	if (v->inv)
		finish_error(v, "Sandbox.Failure", "the environment could not be made: %s: %s",
			     step, strerror((int)errnum));
	return -ECANCELED;
}

static int take(struct env *v, const struct wire_msg *m)
{
	switch ((int)m->type) {
	case WIRE_READY:
		return 0;
	case WIRE_FAIL:
		return on_fail(v, m);
	case WIRE_NEXT:
		on_next(v);
		return 0;
	case WIRE_RESPONSE:
		return on_response(v, m);
	case WIRE_ERROR:
		return on_error(v, m);
	case WIRE_TOO_LARGE:
		return on_too_large(v, m);
	case WIRE_INIT_ERROR:
		return on_init_error(v, m);
	case WIRE_EXIT:
		return on_exit_(v, m);
	case WIRE_EXTENSIONS:
		return on_extensions(v, m);
	case WIRE_CRASH:
		return on_crash(v, m);
	case WIRE_RESET_DONE:
		on_reset_done(v);
		return 0;
	case WIRE_STREAM:
		return on_stream(v, m);
	case WIRE_STREAM_PIECE:
		return on_stream_piece(v, m);
	case WIRE_STREAM_END:
		return on_stream_end(v, m);
	case WIRE_LOG:
		if (m->n == 1)
			log_text(v, m->field[0].data, m->field[0].size);
		return 0;
	default:
		return -EBADMSG;
	}
}

static void on_pair(int fd, unsigned what, void *arg)
{
	struct env *v = arg;
	struct wire_msg m;
	long n;
	int r = 0;

	if (what & LOOP_WRITE)
		flush(v);
	if (v->state == ENV_ENDING || !(what & (LOOP_READ | LOOP_HUP)))
		return;
	n = wire_in_read(&v->in, fd);
	if (n == -EAGAIN)
		return;
	while (n > 0 && v->state != ENV_ENDING && (r = wire_in_next(&v->in, &m)) > 0)
		if (take(v, &m) < 0) {
			r = -EBADMSG;
			break;
		}
	if (v->state != ENV_ENDING && (n <= 0 || r < 0))
		env_end(v);
}

/* ---- the end of an environment ---- */

static void env_unlink(struct env *v)
{
	struct slab *l = v->func->slab;

	LIST_REMOVE(v, link);
	uid_give(l->sd, v->uid_idx);
	l->sd->n_envs--;
	loop_event_free(v->timer);
	loop_event_free(v->freeze);
	loop_event_free(v->end_timer);
	buf_done(&v->gathered);
	cgroup_close(v->cgroup);
	free(v->attachment);
	free(v->subnet);
	free(v);
}

static void env_free(struct env *v)
{
	struct func *f = v->func;

	room_busy(v);
	env_unlink(v);
	functions_env_gone(f);
}

static void on_detached(struct httpc_answer *a, void *arg)
{
	(void)a; /* netd forgets it with the lab, or the next sandboxd gives it back */
	(void)arg;
}

static void detach(struct env *v)
{
	struct sandboxd *sd = sd_of(v);
	auto_free char *path = NULL;

	if (!v->attachment)
		return;
	if (asprintf(&path, "/v1/labs/%s/attachments/%s", v->func->slab->name, v->attachment) < 0) {
		path = NULL;
		return;
	}
	(void)httpc_start(sd->httpc, sd->netd, "DELETE", path, NULL, NULL, 0, PLACE_MS, on_detached,
			  NULL); /* as above */
}

/* until the last process is gone its user id stays taken */
static void try_remove(void *arg)
{
	struct env *v = arg;

	v->end_timer = loop_event_free(v->end_timer);
	if (v->child_event || (v->cgroup && cgroup_remove(v->cgroup, 0) == -EBUSY)) {
		if (v->cgroup)
			(void)cgroup_kill(v->cgroup); /* what forked meanwhile */
		v->end_timer = loop_timer(sd_of(v)->loop, END_RETRY_MS, try_remove, v);
		if (v->end_timer)
			return;
	}
	detach(v);
	env_free(v);
}

static void on_child(pid_t pid, int status, void *arg)
{
	struct env *v = arg;

	(void)pid;
	(void)status;
	v->child_event = NULL;
	if (v->state != ENV_ENDING)
		env_end(v);
	if (v->end_timer) {
		loop_event_free(v->end_timer);
		v->end_timer = NULL;
		try_remove(v);
	}
}

static void close_pair(struct env *v)
{
	v->pair_event = loop_event_free(v->pair_event);
	if (v->pair >= 0)
		close(v->pair);
	v->pair = -1;
	wire_in_done(&v->in);
	wire_out_done(&v->out);
}

void env_end(struct env *v)
{
	if (v->state == ENV_ENDING)
		return;
	v->state = ENV_ENDING;
	room_busy(v);
	if (v->provisioned && v->cold && !v->stale && !v->func->gone &&
	    !*v->func->provisioned_failed)
		versions_init_failed(v->func, UNREADY);
	v->timer = loop_event_free(v->timer);
	v->freeze = loop_event_free(v->freeze);
	if (v->inv)
		finish_error(v, "Runtime.ExitError", "Runtime exited with error: signal: killed");
	close_pair(v);
	if (v->cgroup)
		(void)cgroup_kill(v->cgroup);
	/* never from inside the caller: it may still look at "v" */
	v->end_timer = loop_timer(sd_of(v)->loop, 0, try_remove, v);
}

/* ---- the beginning ---- */

static void add_plan(struct buf *b, const struct env *v)
{
	const struct function *s = v->func->spec;
	size_t i;

	plan_add(b, "role", "function", NULL);
	plan_add(b, "runtime",
		 v->exec			? "exec" :
		 s->image[0]			? "image" :
		 runtime_is_managed(s->runtime) ? "managed" :
						  "provided",
		 NULL);
	view_function(b, v->func, sd_of(v)->uid_base + v->uid_idx);
	functions_environment(b, v->func, v->stream, v->provisioned);
	for (i = 0; v->exec && i < s->command.n; i++)
		plan_add(b, "arg", s->command.v[i], NULL);
}

/* EX-9: 1769 MB are one CPU.  "init": the init phase has as much CPU as there is, as
 * on AWS: a share of 7 % would stretch milliseconds over periods of the scheduler */
static struct cgroup_limits limits_of(const struct env *v, bool init)
{
	return (struct cgroup_limits){
		.memory = MUTANT("function-memory") ? 0 : (uint64_t)v->memory_mb << 20,
		.cpus = init || MUTANT("cpu-share") ? 0 : v->memory_mb / 1769.0,
		.pids = LIMIT_FUNCTION_PIDS,
	};
}

static int make_cgroup(struct env *v, struct err *e)
{
	const struct cgroup_limits limits = limits_of(v, true);
	char path[48];

	(void)snprintf(path, sizeof(path), "env/%s", v->name);
	return cgroup_make(sd_of(v)->cgroups, path, &limits, &v->cgroup, e);
}

static int spawn(struct env *v, int ns_fd, struct err *e)
{
	static char *const argv[] = { (char *)"vpclab-init", NULL };
	struct sandboxd *sd = sd_of(v);
	auto_buf struct buf b = BUF_INIT;
	auto_close int plan = -1, far = -1;
	int join[CGROUP_JOIN_MAX], pair[2], pidfd, r;
	size_t n_join = 0;

	add_plan(&b, v);
	plan = b.failed ? -ENOMEM : proc_memfd("plan", b.s, b.len);
	if (plan < 0)
		return err_set(e, ERR_INTERNAL, -plan, "plan: %s", strerror(-plan));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, ERR_INTERNAL, errno, "socket pair: %s", strerror(errno));
	v->pair = pair[0];
	far = pair[1];
	r = make_cgroup(v, e);
	if (r < 0)
		return r;
	r = cgroup_join_fds(v->cgroup, join, &n_join);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "cgroup: %s", strerror(-r));
	{
		const int fds[] = { -1, -1, -1, plan, far, sd->filters[JAIL_FUNCTION], ns_fd };
		struct proc_spec spec = {
			.exec_fd = sd->init_fd,
			.argv = argv,
			.envp = MUTANT_ENVP,
			.fds = fds,
			.n_fds = ARRAY_SIZE(fds),
			.cgroup_fds = join,
			.n_cgroup_fds = n_join,
			.clone_flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
			.session = true,
		};

		r = proc_spawn(&spec, &v->pid, &pidfd, e);
	}
	cgroup_join_done(join, n_join);
	if (r < 0)
		return r;
	v->child_event = loop_child(sd->loop, v->pid, pidfd, on_child, v);
	v->pair_event = loop_fd(sd->loop, v->pair, LOOP_READ, on_pair, v);
	if (!v->child_event || !v->pair_event)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

static void start(struct env *v, const cJSON *place)
{
	auto_close int ns_fd = -1;
	struct err e = { 0 };

	v->attachment = strdup(json_str(place, "attachment", ""));
	ns_fd = sandboxd_open_ns(sd_of(v), json_str(place, "namespace", ""));
	if (!v->attachment || ns_fd < 0) {
		log_err("lab=%s function=%s place %s: %s", v->func->slab->name, v->func->name,
			json_str(place, "namespace", "?"), strerror(ns_fd < 0 ? -ns_fd : ENOMEM));
		env_end(v);
		return;
	}
	v->state = ENV_STARTING;
	if (spawn(v, ns_fd, &e) < 0) {
		log_err("lab=%s function=%s %s", v->func->slab->name, v->func->name, e.msg);
		env_end(v);
		return;
	}
	if (!v->exec && !MUTANT("init-limit"))
		v->timer = loop_timer(sd_of(v)->loop, init_limit_ms(v), on_init_timeout, v);
	if (v->inv)
		send_invocation(v);
}

static void on_place(struct httpc_answer *a, void *arg)
{
	struct env *v = arg;
	auto_json cJSON *place = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;

	if (!place) {
		log_err("lab=%s function=%s no place: netd: %s", v->func->slab->name, v->func->name,
			a->status ? a->body : a->error);
		v->state = ENV_STARTING;
		env_end(v);
		return;
	}
	if (v->func->gone || (v->stale && !v->inv)) {
		v->attachment = strdup(json_str(place, "attachment", ""));
		v->state = ENV_STARTING;
		env_end(v);
		return;
	}
	start(v, place);
}

/* the function's way in its subnet as it is in force, whatever a change is making of it
 * meanwhile (LN-24); NULL: not known */
static const char *way_of(const struct env *v)
{
	const cJSON *p;

	cJSON_ArrayForEach(p, v->func->places)
		if (!strcmp(json_str(p, "subnet", ""), v->subnet ? v->subnet : ""))
			return json_str(p, "egress", NULL);
	return NULL;
}

static int ask_place(struct env *v, struct err *e)
{
	struct sandboxd *sd = sd_of(v);
	auto_buf struct buf b = BUF_INIT;
	auto_free char *path = NULL;
	int r;

	if (asprintf(&path, "/v1/labs/%s/attachments", v->func->slab->name) < 0) {
		path = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	buf_adds(&b, "{\"function\":");
	buf_json(&b, v->func->name);
	buf_adds(&b, ",\"subnet\":");
	buf_json(&b, v->subnet);
	if (v->func->slab->held && way_of(v)) {
		buf_adds(&b, ",\"egress\":");
		buf_json(&b, way_of(v));
	}
	buf_printf(&b, ",\"token\":\"%s\"}", v->name);
	if (b.failed)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = httpc_start(sd->httpc, sd->netd, "POST", path, NULL, b.s, b.len, PLACE_MS, on_place, v);
	return r < 0 ? err_set(e, ERR_UNAVAILABLE, -r, "netd: %s", strerror(-r)) : 0;
}

/* environments of a function with several subnets take turns */
static int choose_subnet(struct env *v)
{
	struct func *f = v->func;

	if (!f->spec->n_subnets)
		return 0;
	v->subnet = strdup(f->spec->subnets[f->next_subnet++ % f->spec->n_subnets]->name);
	return v->subnet ? 0 : -ENOMEM;
}

static struct env *env_new(struct func *f, struct err *e)
{
	struct sandboxd *sd = f->slab->sd;
	struct env *v;

	if (!room_make(sd)) {
		(void)err_set(e, ERR_LIMIT, 0, "environments use all memory that they may");
		return NULL;
	}
	if (sd->n_envs >= LIMIT_ENVIRONMENTS) {
		(void)err_set(e, ERR_LIMIT, 0, "%d environments are the limit", LIMIT_ENVIRONMENTS);
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v) {
		(void)err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return NULL;
	}
	v->func = f;
	v->pair = -1;
	v->cold = true;
	v->init_ms = -1;
	v->exec = !strcmp(f->spec->runtime, "exec");
	v->timeout_s = f->spec->timeout;
	v->memory_mb = f->spec->memory_size;
	memcpy(v->code, f->code, sizeof(v->code));
	v->started = mono_now();
	sandboxd_random_id(v->name);
	log_stream_name(f->version, v->name, v->stream);
	v->uid_idx = uid_take(sd);
	sd->n_envs++;
	LIST_INSERT_HEAD(&f->envs, v, link);
	if (choose_subnet(v) < 0 || !v->uid_idx) {
		(void)err_set(e, ERR_LIMIT, ENOMEM, "no user id, or out of memory");
		env_free(v);
		return NULL;
	}
	if (ask_place(v, e) < 0) {
		env_free(v);
		return NULL;
	}
	return v;
}

/* ---- invocations ---- */

static struct env *choose(struct func *f)
{
	struct env *v, *soon = NULL, *idle = NULL;

	LIST_FOREACH(v, &f->envs, link) {
		if (v->stale || v->inv)
			continue;
		/* what is kept ready comes first */
		if (v->state == ENV_IDLE && (v->provisioned || !f->provisioned))
			return v;
		if (v->state == ENV_IDLE) {
			idle = v;
			continue;
		}
		/* while extensions work nobody knows how long */
		if ((v->state == ENV_FINISHING && !v->late.due) || v->state == ENV_RESETTING)
			soon = v;
	}
	return idle ? idle : soon;
}

static void give(struct env *v, struct invocation *i)
{
	struct func *f = v->func;

	room_busy(v);
	v->inv = i;
	i->env = v;
	v->tail_len = 0;
	f->n_running++;
	f->slab->n_running++;
	f->slab->sd->n_invocations++;
	if (v->cold) {
		log_line(v, "INIT_START Runtime Version: %s\n", f->spec->runtime);
		return; /* it goes with the start */
	}
	if (v->state == ENV_RESETTING)
		return; /* with the end of the reset */
	thaw(v);
	if (v->state == ENV_IDLE) {
		v->state = ENV_RUNNING;
		begin_invocation(v);
	} else {
		/* FINISHING: its time begins when the runtime asks for it */
		v->timer = loop_event_free(v->timer);
		v->timer = loop_timer(sd_of(v)->loop, (int64_t)v->timeout_s * 1000, on_timeout, v);
	}
	if (v->state != ENV_ENDING)
		send_invocation(v);
}

int env_invoke(struct func *f, struct invocation *i, struct err *e)
{
	struct env *v = choose(f);

	if (!v && !throttle_environment(f, wall_ms()))
		return err_set(e, ERR_LIMIT, 0, "%s: environments are added too fast", f->name);
	if (!v)
		v = env_new(f, e);
	if (!v)
		return -e->errnum ? -e->errnum : -EAGAIN;
	give(v, i);
	return 0;
}

static bool stays(const struct env *v)
{
	return v->state != ENV_ENDING && v->state != ENV_LEAVING && !v->stale;
}

int env_provision(struct func *f, struct err *e)
{
	struct env *v = env_new(f, e);

	if (!v)
		return -e->errnum ? -e->errnum : -EAGAIN;
	v->provisioned = true;
	log_line(v, "INIT_START Runtime Version: %s\n", f->spec->runtime);
	v->tail_len = 0;
	return 0;
}

void env_unprovision(struct func *f)
{
	struct env *v, *found = NULL;

	LIST_FOREACH(v, &f->envs, link)
		if (v->provisioned && stays(v) && (!found || v->state == ENV_IDLE))
			found = v;
	if (!found)
		return;
	found->stale = true;
	if (found->state == ENV_IDLE)
		leave(found);
}

size_t env_provisioned(const struct func *f)
{
	const struct env *v;
	size_t n = 0;

	LIST_FOREACH(v, &f->envs, link)
		n += v->provisioned && stays(v);
	return n;
}

size_t env_ready(const struct func *f)
{
	const struct env *v;
	size_t n = 0;

	LIST_FOREACH(v, &f->envs, link)
		n += v->provisioned && !v->cold && stays(v);
	return n;
}

void env_drop_all(struct func *f, bool now)
{
	struct env *v;

	LIST_FOREACH(v, &f->envs, link) {
		v->stale = true;
		if (v->state == ENV_ATTACHING) {
			/* netd's answer is on the way, and ends it */
			if (now && v->inv)
				finish_error(v, "Sandbox.Failure", "the function was removed");
			continue;
		}
		if (now)
			env_end(v);
		else if (!v->inv && v->state == ENV_IDLE)
			leave(v);
	}
}

void env_release(struct func *f)
{
	struct env *v;

	while ((v = LIST_FIRST(&f->envs))) {
		if (v->inv)
			finish_error(v, "Sandbox.Failure", "sandboxd is being stopped");
		loop_event_free(v->child_event);
		close_pair(v);
		env_unlink(v);
	}
}

size_t env_count(const struct func *f)
{
	const struct env *v;
	size_t n = 0;

	LIST_FOREACH(v, &f->envs, link)
		n += stays(v);
	return n;
}

bool env_any(const struct slab *l)
{
	const struct func *f;

	LIST_FOREACH(f, &l->funcs, link)
		if (!LIST_EMPTY(&f->envs))
			return true;
	return false;
}

static int clean_one(const char *name, void *arg)
{
	struct sandboxd *sd = arg;
	struct cgroup *g = NULL;
	char path[300];

	(void)snprintf(path, sizeof(path), "env/%s", name);
	if (cgroup_find(sd->cgroups, path, &g) == 0) {
		(void)cgroup_kill(g);
		(void)cgroup_remove(g, 2000); /* else gc's */
		cgroup_close(g);
	}
	return 0;
}

void env_clean(struct sandboxd *sd)
{
	(void)cgroup_each(sd->cgroups, "env", clean_one, sd);
}
