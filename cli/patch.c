/* SPDX-License-Identifier: MIT */
/*
 * patch - up of a lab's present document with a merge patch.  What was read is
 * changed only while it is still what the lab is: of two patches at once, the
 * later one is applied again to what the first made.
 */
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/source.h"
#include "lib/util.h"

#define TRIES 100 /* each lost one is another's that was applied */

static int load_patch(const struct cli *c, const char *word, char **ret, struct source_text *patch)
{
	int r = 0;

	if (word[strspn(word, " \t\r\n")] == '{') {
		*ret = strdup(word);
		patch->name = "patch";
		patch->size = strlen(word);
		r = *ret ? 0 : out_no_memory(c);
	} else if (*word == '@' || !strcmp(word, "-")) {
		patch->name = *word == '@' ? word + 1 : word;
		r = source_text(c, patch->name, ret, &patch->size);
	} else {
		r = out_fail_usage(c, "patch: %s: neither JSON ({...}) nor @FILE nor -", word);
	}
	patch->text = *ret;
	return r;
}

static int get_document(struct cli *c, const char *lab, struct httpc_answer *ret)
{
	auto_free char *path = api_lab_path(lab, "/document");
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "GET",
		.path = path,
		.wait_ms = API_WAIT_MS,
	};
	auto_json cJSON *error = NULL;
	int r = path ? api_send(c, &q, ret) : out_no_memory(c);
	char what[120];

	if (r || ret->status == 200)
		return r;
	error = ret->body ? json_parse(ret->body, ret->size, NULL) : NULL;
	(void)snprintf(what, sizeof(what), "patch %s", out_safe(lab));
	return out_fail_api(c, what, ret->status, error);
}

/* CHANGES_STALE: the lab has another document by now */
static int apply(struct cli *c, struct put *p, const struct source_text *patch, cJSON **ret)
{
	struct httpc_answer a = { 0 };
	struct source s = { 0 };
	struct source_text document = { .name = p->lab };
	char base[4096], etag[128];
	int r = get_document(c, p->lab, &a);

	if (!r) {
		bool known = httpc_header(&a, "Vpclab-Base", base, sizeof(base)) == 0;

		document.text = a.body ? a.body : "";
		document.size = a.size;
		r = source_patch(c, &document, known ? base : NULL, patch, &s);
	}
	if (!r && httpc_header(&a, "ETag", etag, sizeof(etag)) < 0)
		r = out_fail(c, ERR_UNAVAILABLE, "patch %s: the answer has no ETag",
			     out_safe(p->lab));
	if (!r) {
		p->s = &s;
		p->match = etag;
		r = changes_put(c, p, ret);
	}
	source_done(&s);
	httpc_answer_done(&a);
	return r;
}

static int patch(struct cli *c, const struct args *a)
{
	struct put p = {
		.lab = a->words[0],
		.verb = "patch",
		.strict = args_has(a, "strict"),
	};
	auto_free char *text = NULL;
	struct source_text with = { 0 };
	cJSON *answer = NULL;
	unsigned i;
	int r;

	if (args_seconds(a, "timeout", 0.001, 86400, UP_TIMEOUT, &p.timeout) < 0)
		return out_fail_usage(c,
				      "patch: --timeout %s: not a number of seconds (0.001..86400)",
				      args_get(a, "timeout"));
	r = load_patch(c, a->words[1], &text, &with);
	if (r)
		return r;
	r = CHANGES_STALE;
	for (i = 0; i < TRIES && r == CHANGES_STALE; i++)
		r = apply(c, &p, &with, &answer);
	if (r == CHANGES_STALE)
		return out_fail(c, ERR_BUSY, "patch %s: others change it all the time",
				out_safe(p.lab));
	return r ? r : changes_tell(c, answer);
}

static const struct arg_opt OPTS[] = {
	{ "timeout", 0, "SECONDS", "until every node is ready (60)" },
	{ "strict", 0, NULL, "warnings, and objects that come up failed, are errors" },
	{ 0 },
};

const struct verb VERB_PATCH = {
	.name = "patch",
	.usage = "LAB JSON|@FILE|-",
	.summary = "change a running lab by a merge patch (RFC 7396) of its document",
	.more = "As up with the patched file: only what differs is touched; null removes a member.",
	.opts = OPTS,
	.min_words = 2,
	.max_words = 2,
	.fn = patch,
};
