/* SPDX-License-Identifier: MIT */
/*
 * source - a file without patches is sent byte for byte; with patches, what is
 * sent is the merged document printed anew, and a fault is looked up by its path
 * in the patches, last first, then in the file, so that it still points at what
 * a person wrote.
 */
#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/out.h"
#include "lib/mutant.h"
#include "lib/util.h"

struct source_doc {
	char *file; /* owns; "--merge" for JSON on the command line */
	char *text; /* owns */
	size_t size;
	struct json_doc doc;
};

bool source_is_file(const char *word)
{
	size_t len = strlen(word);

	return !strcmp(word, "-") || strchr(word, '/') ||
	       (len > 5 && !strcmp(word + len - 5, ".json"));
}

/* pipes are read to their end; a regular file must not change meanwhile */
static int read_any(const char *file, char **ret, size_t *ret_size)
{
	auto_close int fd = -1;
	struct stat st;
	int r;

	if (!strcmp(file, "-"))
		return read_fd(STDIN_FILENO, LAB_SIZE_MAX, ret, ret_size);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode))
		return read_file(file, LAB_SIZE_MAX, ret, ret_size);
	return read_fd(fd, LAB_SIZE_MAX, ret, ret_size);
}

int source_text(const struct cli *c, const char *file, char **ret, size_t *ret_size)
{
	int r = read_any(file, ret, ret_size);

	if (r == -EFBIG)
		return out_fail(c, ERR_INVALID_LAB, "%s: larger than %d MiB", file,
				LAB_SIZE_MAX >> 20);
	if (r == -EAGAIN)
		return out_fail(c, ERR_INVALID_LAB, "%s: changed while it was read", file);
	if (r < 0)
		return out_fail(c, ERR_INVALID_LAB, "%s: %s", file, strerror(-r));
	return 0;
}

static char *base_of(const char *file)
{
	char *slash, *dir, *base;

	if (!strcmp(file, "-"))
		return realpath(".", NULL);
	dir = strdup(file);
	if (!dir)
		return NULL;
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	base = realpath(slash ? dir : ".", NULL);
	free(dir);
	return base;
}

/* ---- merge patches ---- */

struct collect {
	const struct cli *c;
	const char *file;
	struct json_pos pos;
	char msg[300], path[200];
	bool any;
};

static void first_issue(struct json_pos pos, const char *path, const char *code, const char *msg,
			void *arg)
{
	struct collect *k = arg;

	(void)code;
	if (k->any)
		return;
	k->any = true;
	k->pos = pos;
	(void)snprintf(k->msg, sizeof(k->msg), "%s", msg);
	(void)snprintf(k->path, sizeof(k->path), "%s", path);
}

static int parse_doc(const struct cli *c, struct source_doc *d)
{
	struct collect k = { .c = c, .file = d->file };
	int r = json_doc_parse(d->text, d->size, LAB_DEPTH_MAX, first_issue, &k, &d->doc);

	if (r == -EBADMSG)
		return out_fail(c, ERR_INVALID_LAB, "%s:%u:%u: %s%s%s", d->file, k.pos.line,
				k.pos.column, k.path, *k.path ? ": " : "", k.msg);
	return r < 0 ? out_no_memory(c) : 0;
}

static int parse_patch(const struct cli *c, struct source_doc *d)
{
	int r = parse_doc(c, d);

	if (!r && !cJSON_IsObject(d->doc.root))
		r = out_fail(c, ERR_INVALID_LAB, "%s: a merge patch is an object", d->file);
	return r;
}

static int load_patch(const struct cli *c, const char *word, struct source_doc *d)
{
	int r;

	if (word[strspn(word, " \t\n\r")] == '{') {
		d->file = strdup("--merge");
		d->text = strdup(word);
		d->size = strlen(word);
		if (!d->file || !d->text)
			return out_no_memory(c);
	} else {
		d->file = strdup(word);
		if (!d->file)
			return out_no_memory(c);
		r = source_text(c, word, &d->text, &d->size);
		if (r)
			return r;
	}
	return parse_patch(c, d);
}

static size_t count(const struct args *a, const char *name)
{
	size_t n = 0;

	while (a && args_nth(a, name, n))
		n++;
	return n;
}

/* docs[0] is the file, with room for "n" patches */
static int make_docs(const struct cli *c, size_t n, struct source *s)
{
	s->docs = calloc(n + 1, sizeof(*s->docs));
	if (!s->docs)
		return out_no_memory(c);
	s->n_docs = n + 1;
	s->docs[0].file = strdup(s->file);
	s->docs[0].text = steal_ptr(&s->text);
	s->docs[0].size = s->size;
	return s->docs[0].file ? parse_doc(c, &s->docs[0]) : out_no_memory(c);
}

/* "text" becomes the merged document */
static int merge_docs(const struct cli *c, struct source *s)
{
	auto_json cJSON *merged = cJSON_Duplicate(s->docs[0].doc.root, true);
	size_t i;

	for (i = 1; i < s->n_docs && merged; i++) {
		cJSON *next = json_merge_patch(merged, s->docs[i].doc.root);

		cJSON_Delete(merged);
		merged = next;
	}
	s->text = merged ? json_print(merged) : NULL;
	if (!s->text)
		return out_no_memory(c);
	s->size = strlen(s->text);
	return 0;
}

static int merge(const struct cli *c, const struct args *a, struct source *s)
{
	size_t n = count(a, "merge"), i;
	int r = make_docs(c, n, s);

	for (i = 1; i <= n && !r; i++)
		r = load_patch(c, args_nth(a, "merge", i - 1), &s->docs[i]);
	return r ? r : merge_docs(c, s);
}

const cJSON *source_find(const cJSON *root, const char *path, size_t *ret_depth, bool *ret_whole)
{
	const cJSON *at = root, *child;
	char here[1024] = "", next[1024];
	size_t depth = 0, i, len, want = strlen(path);

	/* the path is spelled again from each member's name, and followed as long
	 * as it begins that way: no second reader of the path's own syntax */
	while (strcmp(here, path)) {
		const cJSON *found = NULL;

		i = 0;
		cJSON_ArrayForEach(child, at) {
			if (cJSON_IsArray(at))
				json_path_index(next, sizeof(next), here, i++);
			else
				json_path_member(next, sizeof(next), here, child->string);
			len = strlen(next);
			if (len <= want && !strncmp(next, path, len) &&
			    (!path[len] || path[len] == '.' || path[len] == '[')) {
				found = child;
				break;
			}
		}
		if (!found)
			break;
		at = found;
		depth++;
		strcpy(here, next);
	}
	*ret_depth = depth;
	*ret_whole = !strcmp(here, path);
	return at;
}

void source_place(const struct source *s, const char *path, const char **ret_file,
		  struct json_pos *ret_pos)
{
	size_t best = 0, best_depth = 0, d, depth;
	const cJSON *at;
	bool best_whole = false, whole;

	if (!s->n_docs && s->lab) {
		at = source_find(s->lab->doc.root, path, &depth, &whole);
		*ret_file = s->file;
		if (whole)
			*ret_pos = json_doc_pos(&s->lab->doc, at);
	}
	if (!s->n_docs)
		return;
	at = s->docs[0].doc.root;
	for (d = 0; d < s->n_docs; d++) {
		const cJSON *v = source_find(s->docs[d].doc.root, path, &depth, &whole);

		/* the last patch that has the value wins, else who comes nearest to it */
		if ((whole && (d > 0 || !best_whole)) || (!best_whole && depth > best_depth)) {
			best = d;
			best_depth = depth;
			best_whole = whole && depth > 0;
			at = v;
		}
	}
	if (MUTANT("merge-place"))
		best = 0;
	*ret_file = s->docs[best].file;
	*ret_pos = json_doc_pos(&s->docs[best].doc, at);
}

static void place(const struct source *s, struct issue *i)
{
	source_place(s, i->path, &i->file, &i->pos);
}

static void place_all(struct source *s)
{
	size_t i;

	if (!s->n_docs)
		return;
	for (i = 0; i < s->issues.n_errors; i++)
		place(s, &s->issues.errors[i]);
	for (i = 0; i < s->issues.n_warnings; i++)
		place(s, &s->issues.warnings[i]);
}

/* ---- */

static int check_name(const struct cli *c, const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < len; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') &&
		    !(i && ((name[i] >= '0' && name[i] <= '9') || name[i] == '-')))
			break;
	if (!len || i < len || len > 31)
		return out_fail_usage(c, "--lab %s: not a name of a lab ([a-z][a-z0-9-]{0,30})",
				      name);
	return 0;
}

static void parse(struct source *s, const char *name)
{
	lab_free(s->lab);
	issues_done(&s->issues);
	s->issues = (struct issues){ 0 };
	s->lab = lab_parse(s->text, s->size, s->file, name, &s->issues);
	place_all(s);
}

int source_open(const struct cli *c, const char *file, const struct args *a, struct source *ret)
{
	const char *name = a ? args_get(a, "lab") : NULL;
	int r;

	*ret = (struct source){ .file = strdup(file) };
	if (!ret->file)
		return out_no_memory(c);
	r = name ? check_name(c, name) : 0;
	if (!r)
		r = source_text(c, file, &ret->text, &ret->size);
	if (!r) {
		ret->base = base_of(file);
		if (!ret->base)
			r = out_fail(c, ERR_INVALID_LAB, "%s: its folder: %s", file,
				     strerror(errno));
	}
	if (!r && a && args_has(a, "merge"))
		r = merge(c, a, ret);
	if (r)
		return r;
	parse(ret, name);
	return 0;
}

static int refuse(const struct cli *c, const struct source *s)
{
	if (!s->lab)
		return out_fail_issues(c, s->file, &s->issues);
	return 0;
}

int source_load(const struct cli *c, const char *file, const struct args *a, struct source *ret)
{
	auto_json cJSON *warnings = NULL;
	int r = source_open(c, file, a, ret);

	if (!r)
		r = refuse(c, ret);
	if (r || !a || !args_has(a, "strict") || !ret->issues.n_warnings)
		return r;
	warnings = source_warnings(ret);
	out_warnings(c, warnings);
	return out_fail(c, ERR_INVALID_LAB,
			"%s: it has warnings, and --strict makes errors of "
			"them",
			file);
}

static int only_questions(const struct cli *c, const struct source *s)
{
	static const char *const questions[] = { "expect", "scenarios", "$comment" };
	const cJSON *member;
	size_t i, j;

	for (i = 1; i < s->n_docs && !MUTANT("merge-over-a-lab"); i++)
		cJSON_ArrayForEach(member, s->docs[i].doc.root) {
			for (j = 0; j < ARRAY_SIZE(questions); j++)
				if (!strcmp(member->string, questions[j]))
					break;
			if (j == ARRAY_SIZE(questions))
				return out_fail_usage(c,
						      "%s: %s: over a lab that runs --merge brings "
						      "\"expect\" and \"scenarios\", nothing else",
						      s->docs[i].file, out_safe(member->string));
		}
	return 0;
}

int source_load_lab(const struct cli *c, const char *lab, const char *text, size_t size,
		    const struct args *a, struct source *ret)
{
	int r = 0;

	*ret = (struct source){
		.file = strdup(lab),
		.text = strndup(text, size),
		.size = size,
	};
	if (!ret->file || !ret->text)
		return out_no_memory(c);
	if (args_has(a, "merge"))
		r = merge(c, a, ret);
	if (!r)
		r = only_questions(c, ret);
	if (r)
		return r;
	parse(ret, lab);
	return refuse(c, ret);
}

int source_of_lab(struct cli *c, const char *verb, const char *lab, const struct args *a,
		  struct source *ret)
{
	auto_free char *path = api_lab_path(lab, "/document");
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "GET",
		.path = path,
		.wait_ms = API_WAIT_MS,
	};
	struct httpc_answer answer = { 0 };
	int r = path ? api_send(c, &q, &answer) : out_no_memory(c);
	char what[120], base[4096];

	*ret = (struct source){ 0 };
	if (r)
		return r;
	(void)snprintf(what, sizeof(what), "%s %s", verb, out_safe(lab));
	if (answer.status != 200) {
		auto_json cJSON *body =
			answer.body ? json_parse(answer.body, answer.size, NULL) : NULL;

		r = out_fail_api(c, what, answer.status, body);
	} else {
		r = source_load_lab(c, lab, answer.body ? answer.body : "", answer.size, a, ret);
	}
	/* copies of it are made by its scenarios */
	if (!r && httpc_header(&answer, "Vpclab-Base", base, sizeof(base)) == 0)
		ret->base = strdup(base);
	httpc_answer_done(&answer);
	return r;
}

/* the name is where it is reached: not part of what it is */
static int refuse_rename(const struct cli *c, const struct source_doc *patch)
{
	const cJSON *lab = json_get(patch->doc.root, "lab");
	struct json_pos pos;

	if (!lab)
		return 0;
	pos = json_doc_pos(&patch->doc, lab);
	return out_fail(c, ERR_INVALID_LAB, "%s:%u:%u: lab: a lab that is up keeps its name",
			patch->file, pos.line, pos.column);
}

int source_patch(const struct cli *c, const struct source_text *document, const char *base,
		 const struct source_text *patch, struct source *ret)
{
	struct source_doc *d;
	int r;

	*ret = (struct source){
		.file = strdup(document->name),
		.text = strdup(document->text),
		.size = document->size,
		.base = base ? strdup(base) : NULL,
	};
	if (!ret->file || !ret->text || (base && !ret->base))
		return out_no_memory(c);
	r = make_docs(c, 1, ret);
	if (r)
		return r;
	d = &ret->docs[1];
	d->file = strdup(patch->name);
	d->text = strdup(patch->text);
	d->size = patch->size;
	r = d->file && d->text ? parse_patch(c, d) : out_no_memory(c);
	if (!r)
		r = refuse_rename(c, d);
	if (!r)
		r = merge_docs(c, ret);
	if (r)
		return r;
	parse(ret, document->name);
	return refuse(c, ret);
}

void source_done(struct source *s)
{
	size_t i;

	lab_free(s->lab);
	issues_done(&s->issues);
	for (i = 0; i < s->n_docs; i++) {
		json_doc_done(&s->docs[i].doc);
		free(s->docs[i].file);
		free(s->docs[i].text);
	}
	free(s->docs);
	free(s->file);
	free(s->text);
	free(s->base);
	*s = (struct source){ 0 };
}

cJSON *source_warnings(const struct source *s)
{
	cJSON *doc = issues_json(&s->issues), *w;

	w = doc ? cJSON_DetachItemFromObjectCaseSensitive(doc, "warnings") : NULL;
	cJSON_Delete(doc);
	return w;
}
