/* SPDX-License-Identifier: MIT */
/*
 * bundle - see bundle.h.  netd is asked for what a namespace holds and sandboxd for
 * sockets to capture with; nothing here enters a namespace or runs a program.
 */
#include "cli/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/capture.h"
#include "cli/out.h"
#include "cli/probes.h"
#include "cli/report.h"
#include "cli/why.h"
#include "lib/mutant.h"
#include "lib/sock.h"
#include "lib/util.h"

#define SLUG_MAX 60
#define LOG_TAIL (1 << 20) /* bytes of a daemon's log */

struct bundle {
	struct cli *c;
	const char *lab;
	const cJSON *result;
	char *folder; /* owns */
};

/* ---- files ---- */

static int write_in(const struct bundle *b, const char *folder, const char *name, const void *data,
		    size_t size)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	int r;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return out_no_memory(b->c);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	r = fd < 0 ? -errno : write_all(fd, data, size);
	return r < 0 ? out_fail(b->c, ERR_STATE, "test: --bundle: %s: %s", path, strerror(-r)) : 0;
}

static int write_text(const struct bundle *b, const char *folder, const char *name, const char *s)
{
	return write_in(b, folder, name, s, strlen(s));
}

static int write_json(const struct bundle *b, const char *name, const cJSON *v)
{
	auto_free char *text = v ? json_print(v) : NULL;
	auto_buf struct buf out = BUF_INIT;

	buf_adds(&out, text ? text : "null");
	buf_adds(&out, "\n");
	return buf_error(&out) ? out_no_memory(b->c) :
				 write_in(b, b->folder, name, buf_str(&out), out.len);
}

static int make_folder(const struct cli *c, const char *path)
{
	int r = mkdir_p(path, 0777);

	return r < 0 ? out_fail(c, ERR_STATE, "test: --bundle: %s: %s", path, strerror(-r)) : 0;
}

int bundle_open(const struct cli *c, const char *dir)
{
	int r = mkdir_p(dir, 0777);

	if (!r && access(dir, W_OK | X_OK) < 0)
		r = -errno;
	return r < 0 ? out_fail_usage(c, "test: --bundle %s: %s", dir, strerror(-r)) : 0;
}

/* "plain can't reach the database" -> "plain-can-t-reach-the-database" */
static void slug(const char *name, char ret[SLUG_MAX + 1])
{
	size_t n = 0;

	for (; *name && n < SLUG_MAX; name++) {
		bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			     (*name >= '0' && *name <= '9') || *name == '.' || *name == '_';

		if (plain && (n || *name != '.'))
			ret[n++] = *name;
		else if (n && ret[n - 1] != '-')
			ret[n++] = '-';
	}
	while (n && ret[n - 1] == '-')
		n--;
	ret[n] = '\0';
}

/* ---- what is written ---- */

static int write_report(const struct bundle *b)
{
	auto_json cJSON *one = cJSON_CreateObject();
	auto_buf struct buf text = BUF_INIT;
	int r;

	cJSON_AddStringToObject(one, "lab", b->lab);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(one, "results"),
			     cJSON_Duplicate(b->result, true));
	report_text(one, false, true, &text);
	r = buf_error(&text) ? out_no_memory(b->c) :
			       write_in(b, b->folder, "report.txt", buf_str(&text), text.len);
	return r ? r : write_json(b, "result.json", b->result);
}

/* the namespaces on the way of every flow of the failure, each once */
static cJSON *namespaces_of(const cJSON *result)
{
	cJSON *list = cJSON_CreateArray();
	const cJSON *part, *name, *had;

	cJSON_ArrayForEach(part, json_get(result, "why"))
		cJSON_ArrayForEach(name, json_get(part, "namespaces")) {
			cJSON_ArrayForEach(had, list)
				if (!strcmp(had->valuestring, name->valuestring))
					break;
			if (!had && cJSON_GetArraySize(list) < CAPTURE_NAMESPACES_MAX)
				cJSON_AddItemToArray(list, cJSON_Duplicate(name, true));
		}
	return list;
}

static int probe_again(const struct bundle *b, const cJSON *namespaces)
{
	auto_json cJSON *probes = cJSON_CreateArray(), *results = NULL;
	auto_buf struct buf file = BUF_INIT;
	struct capture *k = NULL;
	int r = capture_begin(b->c, b->lab, namespaces, &k);

	if (r)
		return r;
	cJSON_AddItemToArray(probes, why_question(json_get(b->result, "expected")));
	r = probes_run(b->c, b->lab, probes, &results);
	if (!r)
		r = capture_end(b->c, k, json_str(b->result, "name", NULL), &file);
	capture_free(k);
	if (!r)
		r = write_json(b, "probe.json", results->child);
	if (!r)
		r = write_in(b, b->folder, "capture.pcapng", file.s, file.len);
	return r ? r : write_json(b, "why.json", json_get(b->result, "why"));
}

static int write_drops(const struct bundle *b, const char *folder, const cJSON *drops)
{
	auto_buf struct buf text = BUF_INIT;
	const cJSON *row;

	cJSON_ArrayForEach(row, drops)
		buf_printf(&text, "%-50s %-16s %.0f\n", json_str(row, "code", "?"),
			   json_str(row, "interface", "?"), json_num(row, "packets", 0));
	return buf_error(&text) ? out_no_memory(b->c) :
				  write_in(b, folder, "drops", buf_str(&text), text.len);
}

/* rules that somebody changed by hand a moment ago are told for what they are */
static int write_rules(const struct bundle *b, const char *folder, const cJSON *o)
{
	auto_buf struct buf text = BUF_INIT;

	if (cJSON_IsFalse(json_get(o, "rules_in_force")))
		buf_adds(&text, "# not what the kernel has: somebody else changed these rules\n");
	buf_adds(&text, json_str(o, "rules", ""));
	return buf_error(&text) ? out_no_memory(b->c) :
				  write_in(b, folder, "rules.nft", buf_str(&text), text.len);
}

static int write_namespace(const struct bundle *b, const char *ns)
{
	auto_free char *escaped = api_escape(ns), *rest = NULL, *path = NULL, *folder = NULL;
	auto_json cJSON *o = NULL;
	struct api_request q = { .to = DAEMON_NETD, .method = "GET", .wait_ms = API_WAIT_MS };
	char what[200];
	int r;

	if (!escaped || asprintf(&rest, "/namespace?name=%s", escaped) < 0)
		rest = NULL;
	path = rest ? api_lab_path(b->lab, rest) : NULL;
	if (asprintf(&folder, "%s/%s", b->folder, ns) < 0)
		folder = NULL;
	if (!path || !folder)
		return out_no_memory(b->c);
	q.path = path;
	(void)snprintf(what, sizeof(what), "namespace %s", out_safe(ns));
	r = api_json(b->c, what, &q, &o);
	if (!r)
		r = make_folder(b->c, folder);
	if (!r)
		r = write_rules(b, folder, o);
	if (!r)
		r = write_text(b, folder, "network", json_str(o, "network", ""));
	if (!r)
		r = write_drops(b, folder, json_get(o, "drops"));
	return r ? r : write_text(b, folder, "connections", json_str(o, "connections", ""));
}

/* ---- logs ---- */

/* the end of a daemon's log, from the beginning of a line */
static int write_daemon_log(const struct bundle *b, const char *name)
{
	auto_free char *path = rundir_file(b->c->run, name), *text = NULL;
	auto_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	off_t from = 0;
	size_t size = 0, skip = 0;
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;

	if (!r && st.st_size > LOG_TAIL)
		from = lseek(fd, st.st_size - LOG_TAIL, SEEK_SET);
	if (!r)
		r = from < 0 ? -errno : read_fd(fd, 2 * LOG_TAIL, &text, &size);
	/* a daemon of a service manager logs there, and a log may be root's alone */
	if (r == -ENOENT || r == -EACCES) {
		out_warn(b->c, "%s isn't in the bundle: %s", path, strerror(-r));
		return 0;
	}
	if (r < 0)
		return out_fail(b->c, ERR_STATE, "test: --bundle: %s: %s", path ? path : name,
				strerror(-r));
	while (from && skip < size && text[skip++] != '\n')
		;
	return write_in(b, b->folder, name, text + skip, size - skip);
}

static int write_node_logs(const struct bundle *b)
{
	auto_free char *path = api_lab_path(b->lab, "/logs");
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "GET",
		.path = path,
		.wait_ms = API_WAIT_MS,
	};
	struct httpc_answer a = { 0 };
	int r = path ? api_send(b->c, &q, &a) : out_no_memory(b->c);

	if (r)
		return r;
	if (a.status == 200)
		r = write_in(b, b->folder, "nodes.log", a.body ? a.body : "", a.size);
	else
		r = out_fail(b->c, ERR_UNAVAILABLE, "logs %s: status %d", out_safe(b->lab),
			     a.status);
	httpc_answer_done(&a);
	return r;
}

static int write_logs(const struct bundle *b)
{
	static const char *const logs[] = { "netd.log", "sandboxd.log", "responder.log" };
	size_t i;
	int r = write_node_logs(b);

	if (MUTANT("bundle-logs"))
		return r;
	for (i = 0; i < ARRAY_SIZE(logs) && !r; i++)
		r = write_daemon_log(b, logs[i]);
	return r;
}

/* ---- one failure, and all ---- */

static int write_one(struct bundle *b)
{
	auto_json cJSON *namespaces = namespaces_of(b->result);
	const cJSON *ns;
	int r = make_folder(b->c, b->folder);

	if (!r && namespaces->child && !MUTANT("bundle-capture"))
		r = probe_again(b, namespaces);
	cJSON_ArrayForEach(ns, namespaces)
		if (!r)
			r = write_namespace(b, ns->valuestring);
	if (!r)
		r = write_logs(b);
	return r ? r : write_report(b);
}

int bundle_write(struct cli *c, const char *dir, const char *lab, cJSON *results)
{
	struct bundle b = { .c = c, .lab = lab };
	char name[SLUG_MAX + 1];
	int n = 0, r = 0;
	cJSON *result;

	cJSON_ArrayForEach(result, results) {
		bool failed = !json_bool(result, "ok", false);

		n += failed;
		if (!failed || json_get(result, "bundle"))
			continue;
		if (n > BUNDLES_MAX) {
			out_warn(c, "%s: only the first %d failures have a bundle", lab,
				 BUNDLES_MAX);
			return 0;
		}
		slug(json_str(result, "name", "?"), name);
		if (asprintf(&b.folder, "%s/%s/%02d-%s", dir, lab, n, name) < 0)
			return out_no_memory(c);
		out_progress(c, "%s: bundle %d ...", out_safe(lab), n);
		b.result = result;
		r = write_one(&b);
		if (!r)
			cJSON_AddStringToObject(result, "bundle", b.folder);
		free(b.folder);
		if (r)
			return r;
	}
	return r;
}
