/* SPDX-License-Identifier: MIT */
/*
 * prober - see prober.h.  A job has sources (namespaces to open sockets in),
 * probes, and parts: one flow each, the product of a probe's sources and
 * addresses.  A part goes
 *
 *   WAIT (for its source's place) -> RESOLVE (a name, by the source's own
 *   resolver) -> CONNECT -> READ (the server's line) -> result
 *                   | silence
 *                   +-> CHECK (does the port answer from inside the node?)
 *                   +-> DROPS (netd: what dropped it)
 *
 * and every part's own timer bounds each step.
 */
#include "sandbox/prober.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <resolv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "sandbox/front.h"
#include "sandbox/instances.h"
#include "sandbox/limits.h"
#include "sandbox/neighbours.h"
#include "sandbox/traces.h"
#include "sandbox/view.h"

#define TIMEOUT_MS 1000
#define CHECK_MS 1000
#define RESOLVE_MS 2000
#define RESOLVE_TRIES 2
#define FLOWS_MAX 1000	  /* of one question to netd */
#define PLACES_AT_ONCE 16 /* asked for; netd lets 64 changes of a lab wait, whosever they are */
#define ICMP_PAYLOAD "vpclab"

enum step { STEP_WAIT, STEP_RESOLVE, STEP_CONNECT, STEP_READ, STEP_CHECK, STEP_DROPS, STEP_DONE };

/* where sockets are opened: a node's namespace, or a function's place */
struct source {
	SLIST_ENTRY(source) link;
	struct job *job;
	char *name;	  /* owns; node or function */
	char *subnet;	  /* owns; of a function's place; NULL */
	char *ns;	  /* owns; path; NULL: not known yet */
	char *attachment; /* owns */
	char *error;	  /* owns; why there is no place */
	bool is_function, asked;
	int fd; /* -1: not open */
};

struct probe;

struct part {
	STAILQ_ENTRY(part) link;
	struct probe *probe;
	struct source *source;
	enum step step;
	struct addr to;
	bool reads;	       /* the target's built-in server says whom it saw */
	const char *target;    /* node whose address it is; borrows from the lab; NULL */
	const char *interface; /* of a function as target: borrows from show; NULL */
	int fd;		       /* owns; -1 */
	struct loop_event *event, *timer;
	struct mono began;
	double took_ms;
	uint16_t sport, icmp_id;
	struct addr saddr;
	unsigned tries;
	struct buf line;
	const char *result;
	char seen_as[ADDR_TEXT_SIZE], seen_by[64], detail[200];
	cJSON *dropped; /* owns */
	cJSON *trail;	/* owns; NULL: not traced */
	char error[200];
	enum err_code error_code;
};

struct probe {
	struct job *job;
	char *from, *to;     /* own */
	const char *address; /* "private", "public", NULL; a literal */
	char port_text[24];
	struct port port;
	double timeout_ms;
	STAILQ_HEAD(, part) parts;
	size_t n_parts;
	char error[300];
	enum err_code error_code; /* ERR_NONE: its parts tell */
};

struct job {
	LIST_ENTRY(job) link;
	struct sandboxd *sd;
	struct slab *slab;
	struct http_req *req;
	SLIST_HEAD(, source) sources;
	struct probe *probes; /* owns */
	size_t n_probes, n_parts, n_open;
	struct loop_event *drops_timer, *end_timer;
	bool asking;		    /* netd for drops */
	size_t n_asked;		    /* requests to netd under way */
	size_t n_places;	    /* of them, for places */
	uint64_t refused;	    /* neighbours, before it began */
	bool traced;		    /* the kernel is to tell which rules the packets meet */
	char trace[TRACES_ID_SIZE]; /* netd's id of it while it runs */
};

/* all that are under way */
static LIST_HEAD(, job) jobs = LIST_HEAD_INITIALIZER(jobs);

struct asked { /* one question for drops */
	struct job *job;
	struct part *parts[FLOWS_MAX];
	size_t n;
};

static void part_done(struct part *t, const char *result);
static void part_connect(struct part *t);

static void explain(struct part *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void explain(struct part *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->detail, sizeof(t->detail), fmt, ap);
	va_end(ap);
}

static int probe_fail(struct probe *p, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int probe_fail(struct probe *p, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->error, sizeof(p->error), fmt, ap);
	va_end(ap);
	p->error_code = code;
	return -1;
}

/* ---- who and where: the lab's nodes by name and address ---- */

static const char *instance_vpc(const struct slab *l, const char *name)
{
	const struct instance *i = lab_instance(l->lab, name);
	const struct function *f = i ? NULL : lab_function(l->lab, name);

	return i ? i->vpc->name : f && f->vpc ? f->vpc->name : NULL;
}

static bool has_public(const cJSON *o, const char *text)
{
	const cJSON *ip;

	cJSON_ArrayForEach(ip, json_get(o, "addresses"))
		if (cJSON_IsString(ip) && !strcmp(ip->valuestring, text))
			return true;
	return false;
}

/* the node that has an address, as "from" would reach it; NULL: none */
static const char *node_of_address(const struct slab *l, const char *from, const struct addr *a)
{
	const char *text = addr_str(a), *vpc_name = instance_vpc(l, from);
	const cJSON *vpc, *o;
	size_t i;

	for (i = 0; i < l->lab->n_hosts; i++)
		if (addr_equal(&l->lab->hosts[i].ip, a))
			return l->lab->hosts[i].name;
	cJSON_ArrayForEach(vpc, json_get(l->show, "vpcs"))
		cJSON_ArrayForEach(o, json_get(vpc, "instances"))
			if (has_public(o, text) || (vpc_name && !strcmp(vpc->string, vpc_name) &&
						    json_get(json_get(o, "addresses"), text)))
				return o->string;
	return NULL;
}

/* does the built-in server of the node say whom it saw on this port? */
static bool is_served(const struct programs *p, const struct port *port)
{
	size_t i;

	for (i = 0; p && i < p->n_serve; i++)
		if (p->serve[i].proto == port->proto && p->serve[i].port == port->port)
			return true;
	return false;
}

static bool is_http(const struct programs *p, const struct port *port)
{
	size_t i;

	for (i = 0; p && i < p->n_serve; i++)
		if (p->serve[i].proto == port->proto && p->serve[i].port == port->port)
			return p->serve[i].http;
	return false;
}

static const struct programs *target_programs(const struct part *t)
{
	return t->target ? instances_programs(t->probe->job->slab->lab, t->target) : NULL;
}

/* ---- ends ---- */

static void part_close(struct part *t)
{
	t->event = loop_event_free(t->event);
	t->timer = loop_event_free(t->timer);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static void part_free(struct part *t)
{
	part_close(t);
	buf_done(&t->line);
	cJSON_Delete(t->dropped);
	cJSON_Delete(t->trail);
	free(t);
}

static void on_detached(struct httpc_answer *a, void *arg)
{
	(void)a; /* the lab's end takes it along */
	(void)arg;
}

static void source_free(struct source *s)
{
	struct job *j = s->job;
	auto_free char *path = NULL;

	if (s->fd >= 0)
		close(s->fd);
	if (s->attachment &&
	    asprintf(&path, "/v1/labs/%s/attachments/%s", j->slab->name, s->attachment) < 0)
		path = NULL;
	if (path)
		(void)httpc_start(j->sd->httpc, j->sd->netd, "DELETE", path, NULL, NULL, 0, 10000,
				  on_detached, NULL); /* as above */
	free(s->name);
	free(s->subnet);
	free(s->ns);
	free(s->attachment);
	free(s->error);
	free(s);
}

static void job_free(struct job *j)
{
	struct slab *l = j->slab;
	struct source *s;
	struct part *t;
	size_t i;

	for (i = 0; i < j->n_probes; i++) {
		while ((t = STAILQ_FIRST(&j->probes[i].parts))) {
			STAILQ_REMOVE_HEAD(&j->probes[i].parts, link);
			part_free(t);
		}
		free(j->probes[i].from);
		free(j->probes[i].to);
	}
	while ((s = SLIST_FIRST(&j->sources))) {
		SLIST_REMOVE_HEAD(&j->sources, link);
		source_free(s);
	}
	LIST_REMOVE(j, link);
	loop_event_free(j->drops_timer);
	loop_event_free(j->end_timer);
	free(j->probes);
	free(j);
	l->n_users--;
	front_env_gone(l);
}

/* ---- the answer ---- */

static void add_text(cJSON *o, const char *name, const char *s)
{
	cJSON_AddItemToObject(o, name, s && *s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

static cJSON *error_json(enum err_code code, const char *message)
{
	cJSON *o = cJSON_CreateObject(), *in = cJSON_AddObjectToObject(o, "error");

	cJSON_AddStringToObject(in, "code", err_code_name(code));
	cJSON_AddStringToObject(in, "message", message);
	return o;
}

static cJSON *part_json(struct part *t)
{
	struct probe *p = t->probe;
	cJSON *o;

	if (t->error_code != ERR_NONE)
		return error_json(t->error_code, t->error);
	o = cJSON_CreateObject();
	add_text(o, "from", p->from);
	add_text(o, "to", p->to);
	add_text(o, "port", p->port_text);
	add_text(o, "result", t->result);
	add_text(o, "seen_as", t->seen_as);
	add_text(o, "seen_by", t->seen_by);
	cJSON_AddItemToObject(o, "dropped", t->dropped ? t->dropped : cJSON_CreateNull());
	t->dropped = NULL;
	cJSON_AddNumberToObject(o, "took_ms", t->took_ms);
	add_text(o, "address", addr_is_set(&t->to) ? addr_str(&t->to) : NULL);
	add_text(o, "detail", t->detail);
	if (t->trail)
		cJSON_AddItemToObject(o, "trail", t->trail);
	t->trail = NULL;
	return o;
}

static void add_interface(cJSON *o, const struct part *t)
{
	char text[200];
	const char *from = t->source->subnet, *to = t->interface;

	(void)snprintf(text, sizeof(text), "%s%s%s", from ? from : "", from && to ? " to " : "",
		       to ? to : "");
	add_text(o, "interface", text);
}

/* several parts: the result that all have, or "mixed" */
static cJSON *probe_json(struct probe *p)
{
	struct part *t = STAILQ_FIRST(&p->parts);
	const char *result = NULL;
	cJSON *o, *list, *part;
	double took = 0;

	if (p->error_code != ERR_NONE)
		return error_json(p->error_code, p->error);
	if (p->n_parts == 1)
		return part_json(t);
	o = cJSON_CreateObject();
	list = cJSON_CreateArray();
	STAILQ_FOREACH(t, &p->parts, link) {
		if (!result)
			result = t->result;
		else if (t->result && strcmp(result, t->result) != 0)
			result = "mixed";
		took = t->took_ms > took ? t->took_ms : took;
		part = part_json(t);
		add_interface(part, t);
		cJSON_AddItemToArray(list, part);
	}
	add_text(o, "from", p->from);
	add_text(o, "to", p->to);
	add_text(o, "port", p->port_text);
	add_text(o, "result", result);
	add_text(o, "seen_as", NULL);
	add_text(o, "seen_by", NULL);
	add_text(o, "dropped", NULL);
	cJSON_AddNumberToObject(o, "took_ms", took);
	cJSON_AddItemToObject(o, "parts", list);
	return o;
}

static void on_job_end(void *arg)
{
	struct job *j = arg;
	cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "results");
	size_t i;

	j->end_timer = loop_event_free(j->end_timer);
	for (i = 0; i < j->n_probes; i++)
		cJSON_AddItemToArray(list, probe_json(&j->probes[i]));
	http_reply_json(j->req, 200, o);
	job_free(j);
}

static void end_trace(struct job *j);

/* never from inside a handler of a part: it may still look at its job */
static void job_check(struct job *j)
{
	if (j->n_open || j->n_asked || j->end_timer)
		return;
	if (j->trace[0])
		end_trace(j);
	else
		j->end_timer = loop_timer(j->sd->loop, 0, on_job_end, j);
}

static void part_end(struct part *t)
{
	part_close(t);
	t->step = STEP_DONE;
	t->probe->job->n_open--;
	job_check(t->probe->job);
}

static void part_fail(struct part *t, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void part_fail(struct part *t, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->error, sizeof(t->error), fmt, ap);
	va_end(ap);
	t->error_code = code;
	part_end(t);
}

/* ---- what dropped it ---- */

/* silence that no rule accounts for proves nothing if the host had no room for
 * neighbours meanwhile */
static void nothing_noted(struct part *t, bool crowded)
{
	if (!crowded || strcmp(t->result, "timeout") != 0)
		return;
	t->result = "inconclusive";
	explain(t, "the host's table of neighbours ran full meanwhile "
		   "(net.ipv4.neigh.default.gc_thresh3)");
}

static void on_drops(struct httpc_answer *a, void *arg)
{
	struct asked *q = arg;
	struct job *j = q->job;
	auto_json cJSON *o = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;
	const cJSON *d = json_get(o, "drops") ? json_get(o, "drops")->child : NULL;
	const bool crowded = neighbours_refused() > j->refused;
	size_t i;

	for (i = 0; i < q->n; i++, d = d ? d->next : NULL) {
		if (cJSON_IsObject(d))
			q->parts[i]->dropped = cJSON_Duplicate(d, true);
		else if (!o && !q->parts[i]->detail[0])
			explain(q->parts[i], "netd doesn't tell what dropped it: %.120s",
				a->status ? a->body : a->error);
		if (!q->parts[i]->dropped)
			nothing_noted(q->parts[i], crowded);
		part_end(q->parts[i]);
	}
	j->n_asked--;
	free(q);
	job_check(j);
}

static cJSON *flow_json(const struct part *t)
{
	static const char *const names[] = {
		[IPPROTO_TCP] = "tcp", [IPPROTO_UDP] = "udp", [IPPROTO_ICMP] = "icmp"
	};
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "namespace", t->source->ns);
	cJSON_AddStringToObject(o, "protocol", names[t->probe->port.proto]);
	cJSON_AddStringToObject(o, "saddr", addr_str(&t->saddr));
	/* connection tracking knows an echo by its id */
	cJSON_AddNumberToObject(o, "sport",
				t->probe->port.proto == IPPROTO_ICMP ? t->icmp_id : t->sport);
	cJSON_AddStringToObject(o, "daddr", addr_str(&t->to));
	cJSON_AddNumberToObject(o, "dport", t->probe->port.port);
	return o;
}

/* ---- what the kernel tells of it ---- */

/* of a part that never sent anything there is nothing to tell */
static bool has_flow(const struct part *t)
{
	return t->source->ns && addr_is_set(&t->saddr) && addr_is_set(&t->to);
}

static void on_trace_ended(const cJSON *trails, const char *error, void *arg)
{
	struct job *j = arg;
	const cJSON *trail = trails ? trails->child : NULL;
	struct part *t;
	size_t i;

	for (i = 0; i < j->n_probes; i++)
		STAILQ_FOREACH(t, &j->probes[i].parts, link) {
			if (!has_flow(t))
				continue;
			if (trail)
				t->trail = cJSON_Duplicate(trail, true);
			else if (!t->detail[0])
				explain(t, "not traced: %.150s", error ? error : "no answer");
			trail = trail ? trail->next : NULL;
		}
	j->n_asked--;
	job_check(j);
}

static void end_trace(struct job *j)
{
	cJSON *flows = cJSON_CreateArray();
	char id[TRACES_ID_SIZE];
	struct part *t;
	size_t i;

	for (i = 0; i < j->n_probes; i++)
		STAILQ_FOREACH(t, &j->probes[i].parts, link)
			if (has_flow(t))
				cJSON_AddItemToArray(flows, flow_json(t));
	memcpy(id, j->trace, sizeof(id));
	j->trace[0] = '\0';
	j->n_asked++;
	traces_end(j->sd, j->slab->name, id, flows, on_trace_ended, j);
}

static void ask_drops(struct job *j, struct asked *q)
{
	auto_json cJSON *o = cJSON_CreateObject();
	cJSON *flows = cJSON_AddArrayToObject(o, "flows");
	auto_free char *text = NULL, *path = NULL;
	struct httpc_answer none = { .error = "out of memory" };
	size_t i;

	q->job = j;
	for (i = 0; i < q->n; i++)
		cJSON_AddItemToArray(flows, flow_json(q->parts[i]));
	text = json_print(o);
	if (asprintf(&path, "/v1/labs/%s/drops", j->slab->name) < 0)
		path = NULL;
	j->n_asked++;
	if (!text || !path ||
	    httpc_start(j->sd->httpc, j->sd->netd, "POST", path, NULL, text, strlen(text), 10000,
			on_drops, q) < 0)
		on_drops(&none, q);
}

/* all parts that fell silent in this round, in one question */
static void on_drops_timer(void *arg)
{
	struct job *j = arg;
	struct asked *q = NULL;
	struct part *t;
	size_t i;

	j->drops_timer = loop_event_free(j->drops_timer);
	for (i = 0; i < j->n_probes; i++)
		STAILQ_FOREACH(t, &j->probes[i].parts, link) {
			if (t->step != STEP_DROPS || t->tries == 99)
				continue;
			if (!q)
				q = calloc(1, sizeof(*q));
			if (!q) {
				part_end(t);
				continue;
			}
			t->tries = 99; /* asked */
			q->parts[q->n++] = t;
			if (q->n == FLOWS_MAX) {
				ask_drops(j, q);
				q = NULL;
			}
		}
	if (q)
		ask_drops(j, q);
}

static void want_drops(struct part *t)
{
	struct job *j = t->probe->job;

	part_close(t);
	t->step = STEP_DROPS;
	t->tries = 0;
	if (!j->drops_timer)
		j->drops_timer = loop_timer(j->sd->loop, 0, on_drops_timer, j);
	if (!j->drops_timer)
		part_end(t);
}

/* ---- does the port answer from inside the node? ---- */

static void check_over(struct part *t, bool answered)
{
	if (!answered && !MUTANT("inconclusive")) {
		t->result = "inconclusive";
		explain(t, "%s doesn't answer on %s from inside either", t->target,
			t->probe->port_text);
	}
	want_drops(t);
}

static void on_check(int fd, unsigned what, void *arg)
{
	struct part *t = arg;
	int error = 0;
	socklen_t size = sizeof(error);
	char byte[512];

	(void)what;
	if (t->probe->port.proto == IPPROTO_UDP)
		check_over(t, recv(fd, byte, sizeof(byte), MSG_DONTWAIT) >= 0);
	else
		check_over(t, getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error);
}

static void on_check_late(void *arg)
{
	check_over(arg, false);
}

/* an address of the target's own: what it listens on, reached without leaving it */
static int own_address(const struct part *t, struct addr *ret)
{
	const cJSON *o = slab_node(t->probe->job->slab, t->target);
	const char *ip = json_str(o, "private_ip", json_str(o, "ip", ""));

	return addr_parse(ip, ret);
}

static int open_socket(int ns_fd, const struct port *port)
{
	const int type = port->proto == IPPROTO_TCP ? SOCK_STREAM :
			 port->proto == IPPROTO_UDP ? SOCK_DGRAM :
						      SOCK_RAW;
	int fd, one = 1;

	fd = ns_socket(ns_fd, AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, port->proto);
	if (fd < 0)
		return fd;
	/* errors that ICMP brings are told at once, not after the last retry */
	if (setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

static int connect_to(int fd, const struct addr *a, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(addr_to_v4(a)) };

	return connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ? -errno : 0;
}

static void part_check(struct part *t)
{
	struct job *j = t->probe->job;
	const struct programs *p = target_programs(t);
	auto_close int ns_fd = -1;
	struct addr own;
	int r;

	part_close(t);
	if (!p || t->probe->port.proto == IPPROTO_ICMP || !programs_serve(p, &t->probe->port) ||
	    own_address(t, &own) < 0) {
		want_drops(t);
		return;
	}
	t->step = STEP_CHECK;
	ns_fd = sandboxd_open_ns(j->sd, json_str(slab_node(j->slab, t->target), "namespace", ""));
	t->fd = ns_fd < 0 ? ns_fd : open_socket(ns_fd, &t->probe->port);
	if (t->fd < 0) {
		check_over(t, false);
		return;
	}
	r = connect_to(t->fd, &own, t->probe->port.port);
	if (t->probe->port.proto == IPPROTO_UDP && !r && send(t->fd, "vpclab\n", 7, 0) < 0)
		r = -errno;
	t->event = r && r != -EINPROGRESS ?
			   NULL :
			   loop_fd(j->sd->loop, t->fd,
				   t->probe->port.proto == IPPROTO_UDP ? LOOP_READ : LOOP_WRITE,
				   on_check, t);
	t->timer = loop_timer(j->sd->loop, CHECK_MS, on_check_late, t);
	if (!t->event || !t->timer)
		check_over(t, false);
}

/* ---- results ---- */

static void part_done(struct part *t, const char *result)
{
	t->result = result;
	t->took_ms = mono_ms_since(t->began);
	if (!strcmp(result, "timeout"))
		part_check(t);
	else
		part_end(t);
}

static void on_silence(void *arg)
{
	struct part *t = arg;

	if (t->step == STEP_READ)
		explain(t, "connected, but the server's line did not come");
	part_done(t, "timeout");
}

static void by_error(struct part *t, int error)
{
	if (error == ECONNREFUSED)
		part_done(t, "refused");
	else if (error == ETIMEDOUT)
		part_done(t, "timeout");
	else {
		explain(t, "%s", strerror(error));
		part_done(t, "unreachable");
	}
}

/* {"node","from","port"}, or what isn't one of our servers' */
static void take_line(struct part *t, const char *s, size_t size)
{
	auto_json cJSON *o = json_parse(s, size, NULL);

	(void)snprintf(t->seen_as, sizeof(t->seen_as), "%s", json_str(o, "from", ""));
	(void)snprintf(t->seen_by, sizeof(t->seen_by), "%s", json_str(o, "node", ""));
}

/* the JSON line in what was read so far: false if it isn't whole */
static bool find_line(struct part *t, bool ended)
{
	const char *s = buf_str(&t->line), *nl;

	if (t->line.len > 5 && !strncmp(s, "HTTP/", 5)) {
		s = strstr(s, "\r\n\r\n");
		if (!s)
			return false;
		s += 4;
	}
	nl = strchr(s, '\n');
	if (!nl && !ended)
		return false;
	take_line(t, s, nl ? (size_t)(nl - s) : strlen(s));
	return true;
}

static void on_line(int fd, unsigned what, void *arg)
{
	struct part *t = arg;
	char bytes[2048];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		by_error(t, errno);
		return;
	}
	buf_add(&t->line, bytes, (size_t)n);
	if (find_line(t, n == 0) || t->line.len > 16384)
		part_done(t, "open");
}

static void restart_timer(struct part *t, double ms, loop_timer_fn fn)
{
	t->timer = loop_event_free(t->timer);
	t->timer = loop_timer(t->probe->job->sd->loop, ms < 1 ? 1 : (int64_t)ms, fn, t);
	if (!t->timer)
		part_fail(t, ERR_INTERNAL, "out of memory");
}

static void begin_reading(struct part *t)
{
	static const char get[] = "GET / HTTP/1.0\r\nHost: vpclab\r\n\r\n";

	t->step = STEP_READ;
	t->event = loop_event_free(t->event);
	if (is_http(target_programs(t), &t->probe->port) &&
	    send(t->fd, get, strlen(get), MSG_NOSIGNAL) < 0) {
		by_error(t, errno);
		return;
	}
	t->event = loop_fd(t->probe->job->sd->loop, t->fd, LOOP_READ, on_line, t);
	if (!t->event)
		part_fail(t, ERR_INTERNAL, "out of memory");
	else
		restart_timer(t, t->probe->timeout_ms, on_silence);
}

static void on_connected(int fd, unsigned what, void *arg)
{
	struct part *t = arg;
	int error = 0;
	socklen_t size = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error)
		by_error(t, error);
	else if (t->reads)
		begin_reading(t);
	else
		part_done(t, "open");
}

static void on_datagram(int fd, unsigned what, void *arg)
{
	struct part *t = arg;
	char bytes[2048];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		by_error(t, errno);
		return;
	}
	if (t->reads)
		take_line(t, bytes,
			  strcspn(bytes, "\n") < (size_t)n ? strcspn(bytes, "\n") : (size_t)n);
	part_done(t, "open");
}

/* ---- ICMP ---- */

struct echo {
	struct icmphdr head;
	char payload[sizeof(ICMP_PAYLOAD)];
};

static uint16_t checksum(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (size & 1)
		sum += (uint32_t)p[size - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void on_echo(int fd, unsigned what, void *arg)
{
	struct part *t = arg;
	uint8_t bytes[2048];
	struct icmphdr h;
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	size_t head;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		by_error(t, errno);
		return;
	}
	head = (size_t)(bytes[0] & 15) * 4;
	if ((size_t)n < head + sizeof(h))
		return;
	memcpy(&h, bytes + head, sizeof(h));
	if (h.type == ICMP_ECHOREPLY && h.un.echo.id == htons(t->icmp_id))
		part_done(t, "open");
}

static int send_echo(struct part *t)
{
	struct echo e = { .head = { .type = ICMP_ECHO }, .payload = ICMP_PAYLOAD };

	t->icmp_id = (uint16_t)++t->probe->job->sd->seq;
	e.head.un.echo.id = htons(t->icmp_id);
	e.head.un.echo.sequence = htons(1);
	e.head.checksum = htons(checksum(&e, sizeof(e)));
	return send(t->fd, &e, sizeof(e), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* ---- sending ---- */

static void remember_source(struct part *t)
{
	struct sockaddr_in sin = { 0 };
	socklen_t size = sizeof(sin);

	if (getsockname(t->fd, (struct sockaddr *)&sin, &size) < 0)
		return; /* drops aren't found then */
	t->saddr = addr_v4(ntohl(sin.sin_addr.s_addr));
	t->sport = t->probe->port.proto == IPPROTO_ICMP ? 0 : ntohs(sin.sin_port);
}

static void part_connect(struct part *t)
{
	const struct port *port = &t->probe->port;
	loop_fd_fn fn = port->proto == IPPROTO_TCP ? on_connected :
			port->proto == IPPROTO_UDP ? on_datagram :
						     on_echo;
	int r;

	t->step = STEP_CONNECT;
	t->began = mono_now();
	t->fd = open_socket(t->source->fd, port);
	if (t->fd < 0) {
		part_fail(t, ERR_KERNEL, "socket in %s: %s", t->source->name, strerror(-t->fd));
		return;
	}
	r = connect_to(t->fd, &t->to, port->port);
	if (!r || r == -EINPROGRESS)
		remember_source(t);
	if (!r && port->proto == IPPROTO_UDP && send(t->fd, "vpclab\n", 7, MSG_NOSIGNAL) < 0)
		r = -errno;
	if (!r && port->proto == IPPROTO_ICMP)
		r = send_echo(t);
	if (r == -EPERM)
		r = 0; /* a filter in the node itself: silence */
	if (r && r != -EINPROGRESS) {
		by_error(t, -r);
		return;
	}
	t->event = loop_fd(t->probe->job->sd->loop, t->fd,
			   port->proto == IPPROTO_TCP ? LOOP_WRITE : LOOP_READ, fn, t);
	if (!t->event)
		part_fail(t, ERR_INTERNAL, "out of memory");
	else
		restart_timer(t, t->probe->timeout_ms, on_silence);
}

static void part_address_known(struct part *t)
{
	struct slab *l = t->probe->job->slab;

	if (!t->target)
		t->target = node_of_address(l, t->source->name, &t->to);
	t->reads = t->target && is_served(instances_programs(l->lab, t->target), &t->probe->port);
	part_connect(t);
}

/* ---- names ---- */

static void send_query(struct part *t);

static void on_query_late(void *arg)
{
	struct part *t = arg;

	part_close(t);
	if (++t->tries < RESOLVE_TRIES) {
		send_query(t);
		return;
	}
	part_fail(t, ERR_NO_NODE, "%s: %s's resolver doesn't answer", t->probe->to,
		  t->source->name);
}

static void on_reply(int fd, unsigned what, void *arg)
{
	struct part *t = arg;
	uint8_t bytes[4096];
	ns_msg m;
	ns_rr rr;
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	int i;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		on_query_late(t);
		return;
	}
	part_close(t);
	if (ns_initparse(bytes, (int)n, &m) < 0) {
		part_fail(t, ERR_NO_NODE, "%s: not an answer of a resolver", t->probe->to);
		return;
	}
	for (i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		uint32_t ip;

		if (ns_parserr(&m, ns_s_an, i, &rr) < 0 || ns_rr_type(rr) != ns_t_a ||
		    ns_rr_rdlen(rr) != 4)
			continue;
		memcpy(&ip, ns_rr_rdata(rr), sizeof(ip));
		t->to = addr_v4(ntohl(ip));
		t->tries = 0;
		part_address_known(t);
		return;
	}
	part_fail(t, ERR_NO_NODE, "%s: no such node, and %s's resolver knows no such name",
		  t->probe->to, t->source->name);
}

static void send_query(struct part *t)
{
	static const struct port dns = { .proto = IPPROTO_UDP, .port = 53 };
	struct addr resolver;
	uint8_t query[512];
	int n, r = 0;

	t->step = STEP_RESOLVE;
	n = res_mkquery(ns_o_query, t->probe->to, ns_c_in, ns_t_a, NULL, 0, NULL, query,
			sizeof(query));
	if (n < 0 || addr_parse(VIEW_RESOLVER, &resolver) < 0) {
		part_fail(t, ERR_INVALID_PARAMETER, "%s: neither a node nor a name", t->probe->to);
		return;
	}
	t->fd = open_socket(t->source->fd, &dns);
	if (t->fd >= 0)
		r = connect_to(t->fd, &resolver, 53);
	if (t->fd < 0 || r < 0 || send(t->fd, query, (size_t)n, MSG_NOSIGNAL) < 0) {
		part_close(t);
		part_fail(t, ERR_NO_NODE, "%s: %s has no way to its resolver", t->probe->to,
			  t->source->name);
		return;
	}
	t->event = loop_fd(t->probe->job->sd->loop, t->fd, LOOP_READ, on_reply, t);
	if (!t->event)
		part_fail(t, ERR_INTERNAL, "out of memory");
	else
		restart_timer(t, RESOLVE_MS, on_query_late);
}

/* ---- sources ---- */

static void part_begin(struct part *t)
{
	struct source *s = t->source;

	if (s->error) {
		part_fail(t, ERR_UNAVAILABLE, "%s", s->error);
		return;
	}
	if (s->fd < 0)
		s->fd = sandboxd_open_ns(s->job->sd, s->ns);
	if (s->fd < 0)
		part_fail(t, ERR_STATE, "%s: %s", s->ns, strerror(-s->fd));
	else if (addr_is_set(&t->to))
		part_address_known(t);
	else if (lab_host(s->job->slab->lab, s->name))
		part_fail(t, ERR_NO_NODE,
			  "%s: no such node, and hosts of the internet have no resolver",
			  t->probe->to);
	else
		send_query(t);
}

static void begin_waiting(struct source *s)
{
	struct job *j = s->job;
	struct part *t;
	size_t i;

	for (i = 0; i < j->n_probes; i++)
		STAILQ_FOREACH(t, &j->probes[i].parts, link)
			if (t->source == s && t->step == STEP_WAIT)
				part_begin(t);
}

static void ask_places(struct job *j);

static void on_place(struct httpc_answer *a, void *arg)
{
	struct source *s = arg;
	struct job *j = s->job;
	auto_json cJSON *o = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;

	j->n_asked--;
	j->n_places--;
	if (o) {
		s->ns = strdup(json_str(o, "namespace", ""));
		s->attachment = strdup(json_str(o, "attachment", ""));
	}
	if ((!s->ns || !s->attachment) && asprintf(&s->error, "%s: no place: netd: %.150s", s->name,
						   a->status ? a->body : a->error) < 0)
		s->error = strdup("no place");
	begin_waiting(s);
	ask_places(j);
	job_check(j);
}

static int ask_place(struct source *s)
{
	struct job *j = s->job;
	auto_json cJSON *o = cJSON_CreateObject();
	auto_free char *text = NULL, *path = NULL;
	char token[40], id[33];
	int r;

	sandboxd_random_id(id);
	(void)snprintf(token, sizeof(token), "probe-%s", id);
	cJSON_AddStringToObject(o, "function", s->name);
	cJSON_AddItemToObject(o, "subnet",
			      s->subnet ? cJSON_CreateString(s->subnet) : cJSON_CreateNull());
	cJSON_AddStringToObject(o, "token", token);
	text = json_print(o);
	if (!text || asprintf(&path, "/v1/labs/%s/attachments", j->slab->name) < 0)
		return -ENOMEM;
	r = httpc_start(j->sd->httpc, j->sd->netd, "POST", path, NULL, text, strlen(text), 10000,
			on_place, s);
	if (!r) {
		j->n_asked++;
		j->n_places++;
	}
	return r;
}

/* of those functions that have none, as many as may be asked for */
static void ask_places(struct job *j)
{
	struct source *s;

	SLIST_FOREACH(s, &j->sources, link) {
		if (!j->n_open || j->n_places == PLACES_AT_ONCE)
			return;
		if (!s->is_function || s->asked)
			continue;
		s->asked = true;
		if (ask_place(s) == 0)
			continue;
		s->error = strdup("no place: netd can't be asked");
		begin_waiting(s);
	}
}

static struct source *source_for(struct job *j, const char *name, const char *subnet)
{
	struct source *s;

	SLIST_FOREACH(s, &j->sources, link)
		if (!strcmp(s->name, name) && !s->subnet == !subnet &&
		    (!subnet || !strcmp(s->subnet, subnet)))
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->job = j;
	s->fd = -1;
	s->name = strdup(name);
	s->subnet = subnet ? strdup(subnet) : NULL;
	SLIST_INSERT_HEAD(&j->sources, s, link);
	return s->name && (!subnet || s->subnet) ? s : NULL;
}

/* ---- making parts ---- */

struct target {
	struct addr addr;	      /* unset: a name to resolve */
	const char *node, *interface; /* NULL */
};

#define TARGETS_MAX 16

static int add_part(struct probe *p, struct source *s, const struct target *to)
{
	struct part *t;

	if (p->job->n_parts >= LIMIT_PROBE_PARTS)
		return probe_fail(p, ERR_LIMIT, "%d flows are the limit of one request",
				  LIMIT_PROBE_PARTS);
	t = calloc(1, sizeof(*t));
	if (!t)
		return probe_fail(p, ERR_INTERNAL, "out of memory");
	t->probe = p;
	t->source = s;
	t->fd = -1;
	t->to = to->addr;
	t->target = to->node;
	t->interface = to->interface;
	STAILQ_INSERT_TAIL(&p->parts, t, link);
	p->n_parts++;
	p->job->n_parts++;
	p->job->n_open++;
	return 0;
}

/* "subnet": of one of its interfaces alone; NULL: of all */
static int function_targets(struct probe *p, const struct function *f, const char *subnet,
			    struct target *ret, size_t *n)
{
	const struct slab *l = p->job->slab;
	const cJSON *place,
		*places = json_get(json_get(json_get(l->show, "functions"), f->name), "places");

	cJSON_ArrayForEach(place, places) {
		if (*n == TARGETS_MAX)
			break;
		if (subnet && strcmp(json_str(place, "subnet", ""), subnet) != 0)
			continue;
		if (addr_parse(json_str(place, "address", ""), &ret[*n].addr) < 0)
			ret[*n].addr = l->lab->service_ip;
		ret[*n].interface = json_str(place, "network_interface", NULL);
		(*n)++;
	}
	if (!*n && subnet)
		return probe_fail(p, ERR_NO_NODE, "%s isn't in a subnet %s", f->name, subnet);
	if (!*n)
		ret[(*n)++] = (struct target){ .addr = l->lab->service_ip };
	return 0;
}

static int instance_target(struct probe *p, const struct instance *i, struct target *ret)
{
	const struct slab *l = p->job->slab;
	const cJSON *o = slab_node(l, i->name);
	const char *public = json_str(o, "public_ip", NULL);
	bool wanted =
		p->address ? !strcmp(p->address, "public") : lab_host(l->lab, p->from) && public;

	ret->node = i->name;
	if (wanted && !public)
		return probe_fail(p, ERR_INVALID_PARAMETER, "%s has no public address", i->name);
	if (addr_parse(wanted ? public : json_str(o, "private_ip", ""), &ret->addr) < 0)
		return probe_fail(p, ERR_STATE, "%s has no address", i->name);
	return 0;
}

static int find_targets(struct probe *p, struct target *ret, size_t *n)
{
	const struct lab *lab = p->job->slab->lab;
	const struct instance *i = lab_instance(lab, p->to);
	const struct host *h = lab_host(lab, p->to);
	size_t len = strcspn(p->to, "@");
	auto_free char *name = strndup(p->to, len);
	const struct function *f = name ? lab_function(lab, name) : NULL;

	*n = 0;
	if (f)
		return function_targets(p, f, p->to[len] ? p->to + len + 1 : NULL, ret, n);
	*n = 1;
	if (i)
		return instance_target(p, i, &ret[0]);
	if (h)
		ret[0] = (struct target){ .addr = h->ip, .node = h->name };
	else if (addr_parse(p->to, &ret[0].addr) < 0)
		ret[0].addr = (struct addr){ 0 };
	return 0;
}

static int add_from(struct probe *p, const char *name, const char *subnet, bool function,
		    const struct target *to, size_t n_to)
{
	struct source *s = source_for(p->job, name, subnet);
	size_t i;

	if (!s)
		return probe_fail(p, ERR_INTERNAL, "out of memory");
	s->is_function = function;
	if (!function && !s->ns) {
		s->ns = strdup(json_str(slab_node(p->job->slab, name), "namespace", ""));
		if (!s->ns)
			return probe_fail(p, ERR_INTERNAL, "out of memory");
	}
	for (i = 0; i < n_to; i++)
		if (add_part(p, s, &to[i]) < 0)
			return -1;
	return 0;
}

/* "fn", "fn@subnet" */
static int add_function(struct probe *p, const struct function *f, const char *subnet,
			const struct target *to, size_t n_to)
{
	size_t i;
	bool found = false;

	if (!f->n_subnets) {
		if (subnet)
			return probe_fail(p, ERR_NO_NODE, "%s isn't in a VPC: it has no subnet %s",
					  f->name, subnet);
		return add_from(p, f->name, NULL, true, to, n_to);
	}
	for (i = 0; i < f->n_subnets; i++) {
		if (subnet && strcmp(subnet, f->subnets[i]->name) != 0)
			continue;
		found = true;
		if (add_from(p, f->name, f->subnets[i]->name, true, to, n_to) < 0)
			return -1;
	}
	return found ? 0 : probe_fail(p, ERR_NO_NODE, "%s isn't in a subnet %s", f->name, subnet);
}

static int make_parts(struct probe *p)
{
	const struct lab *lab = p->job->slab->lab;
	struct target to[TARGETS_MAX] = { 0 };
	size_t n_to, len = strcspn(p->from, "@");
	auto_free char *name = strndup(p->from, len);
	const struct function *f = name ? lab_function(lab, name) : NULL;

	if (find_targets(p, to, &n_to) < 0)
		return -1;
	if (f)
		return add_function(p, f, p->from[len] ? p->from + len + 1 : NULL, to, n_to);
	if (!lab_instance(lab, p->from) && !lab_host(lab, p->from))
		return probe_fail(p, ERR_NO_NODE, "lab %s has no node %s", p->job->slab->name,
				  p->from);
	return add_from(p, p->from, NULL, false, to, n_to);
}

/* ---- the request ---- */

static int read_probe(struct probe *p, const cJSON *o)
{
	const char *address = json_str(o, "address", NULL), *port = json_str(o, "port", "");

	p->from = strdup(json_str(o, "from", ""));
	p->to = strdup(json_str(o, "to", ""));
	if (!p->from || !p->to)
		return probe_fail(p, ERR_INTERNAL, "out of memory");
	(void)snprintf(p->port_text, sizeof(p->port_text), "%.20s", port);
	if (port_parse(port, &p->port) < 0)
		return probe_fail(p, ERR_INVALID_PARAMETER, "port %.40s: tcp/N, udp/N or icmp",
				  port);
	if (address && strcmp(address, "private") != 0 && strcmp(address, "public") != 0)
		return probe_fail(p, ERR_INVALID_PARAMETER, "address %.40s: private or public",
				  address);
	p->address = !address ? NULL : !strcmp(address, "public") ? "public" : "private";
	p->timeout_ms = json_num(o, "timeout", TIMEOUT_MS / 1000.0) * 1000;
	if (!(p->timeout_ms > 0 && p->timeout_ms <= 900000))
		return probe_fail(p, ERR_INVALID_PARAMETER, "timeout: seconds above 0, up to 900");
	if (!*p->from || !*p->to)
		return probe_fail(p, ERR_INVALID_PARAMETER, "from and to are required");
	return make_parts(p);
}

static void drop_parts(struct probe *p)
{
	struct part *t;

	while ((t = STAILQ_FIRST(&p->parts))) {
		STAILQ_REMOVE_HEAD(&p->parts, link);
		p->job->n_open--;
		p->job->n_parts--;
		part_free(t);
	}
	p->n_parts = 0;
}

static void job_go(struct job *j)
{
	struct source *s;

	j->refused = neighbours_refused();
	SLIST_FOREACH(s, &j->sources, link)
		if (!s->is_function)
			begin_waiting(s);
	ask_places(j);
	job_check(j);
}

static void on_trace_begun(const char *id, const char *error, void *arg)
{
	struct job *j = arg;
	struct part *t;
	size_t i;

	j->n_asked--;
	if (id) {
		(void)snprintf(j->trace, sizeof(j->trace), "%s", id);
		job_go(j);
		return;
	}
	for (i = 0; i < j->n_probes; i++)
		STAILQ_FOREACH(t, &j->probes[i].parts, link)
			part_fail(t, ERR_STATE, "the kernel doesn't trace it: %.150s", error);
	job_check(j);
}

/* a name's address isn't known yet: then any address with that port is traced */
static cJSON *traced_addresses(const struct job *j)
{
	cJSON *list = cJSON_CreateArray();
	const struct part *t;
	size_t i;

	for (i = 0; i < j->n_probes; i++)
		STAILQ_FOREACH(t, &j->probes[i].parts, link) {
			if (!addr_is_set(&t->to)) {
				cJSON_Delete(list);
				return cJSON_CreateArray();
			}
			cJSON_AddItemToArray(list, cJSON_CreateString(addr_str(&t->to)));
		}
	return list;
}

static void job_start(struct job *j)
{
	if (!j->traced || !j->n_open) {
		job_go(j);
		return;
	}
	j->n_asked++;
	traces_begin(j->sd, j->slab->name, &j->probes[0].port, traced_addresses(j), on_trace_begun,
		     j);
}

static struct job *job_new(struct sandboxd *sd, struct slab *l, const cJSON *list)
{
	struct job *j = calloc(1, sizeof(*j));
	const cJSON *o;

	if (!j)
		return NULL;
	j->sd = sd;
	j->slab = l;
	SLIST_INIT(&j->sources);
	j->probes = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*j->probes));
	if (!j->probes) {
		free(j);
		return NULL;
	}
	l->n_users++;
	LIST_INSERT_HEAD(&jobs, j, link);
	cJSON_ArrayForEach(o, list) {
		struct probe *p = &j->probes[j->n_probes++];

		p->job = j;
		STAILQ_INIT(&p->parts);
		if (read_probe(p, o) < 0)
			drop_parts(p);
	}
	return j;
}

void prober_end_lab(const struct slab *l)
{
	struct part *t;
	struct job *j;
	size_t i;

	LIST_FOREACH(j, &jobs, link) {
		if (j->slab != l)
			continue;
		for (i = 0; i < j->n_probes; i++)
			STAILQ_FOREACH(t, &j->probes[i].parts, link)
				if (t->step < STEP_DROPS)
					part_fail(t, ERR_CANCELLED, "the lab is being deleted");
	}
}

void prober_handle(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	struct slab *l = slab_find(sd, lab);
	struct err e = { 0 };
	char why[200] = "";
	size_t size;
	const char *body = http_body(r, &size);
	auto_json cJSON *o = json_parse(body, size, why);
	const cJSON *list = json_get(o, "probes");
	const bool traced = json_bool(o, "trace", false);
	struct job *j = NULL;

	if (!l || !l->lab || !l->show || l->going)
		(void)err_set(&e, ERR_NO_LAB, ENOENT, "there is no lab %s", lab);
	else if (!cJSON_IsArray(list))
		(void)err_set(&e, ERR_INVALID_PARAMETER, EINVAL, "the body: %s",
			      why[0] ? why : "{\"probes\":[...]}");
	else if (cJSON_GetArraySize(list) > LIMIT_PROBES)
		(void)err_set(&e, ERR_LIMIT, 0, "%d probes are the limit of one request",
			      LIMIT_PROBES);
	else if (traced && (cJSON_GetArraySize(list) != 1 ||
			    json_num(list->child, "timeout", 1) * 1000 > TRACES_TIMEOUT_MAX))
		(void)err_set(&e, ERR_INVALID_PARAMETER, EINVAL,
			      "trace: one probe, with a timeout of at most %d s",
			      TRACES_TIMEOUT_MAX / 1000);
	else if (!(j = job_new(sd, l, list)))
		(void)err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (!j) {
		http_reply_err(r, &e);
		return;
	}
	j->req = r;
	j->traced = traced;
	job_start(j);
}
