/* SPDX-License-Identifier: MIT */
/*
 * env - see env.h.  What AWS's clients take as an endpoint is among the variables
 * only if sandboxd listens on a port (--listen); a client that can use a socket finds
 * it in VPCLAB_SOCKET.
 */
#include "cli/env.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/out.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define NAME_SIZE 128 /* a node's name has at most 63 characters */

void env_name(char *ret, size_t size, const char *prefix, const char *node)
{
	int n = snprintf(ret, size, "%s_", prefix);
	char *at = ret + n;

	(void)snprintf(at, size - (size_t)n, "%s", node);
	for (; *at; at++)
		*at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
}

void env_quote(struct buf *b, const char *s)
{
	buf_adds(b, "'");
	for (; *s; s++)
		if (*s == '\'' && !MUTANT("env-quotes"))
			buf_adds(b, "'\\''");
		else
			buf_add(b, s, 1);
	buf_adds(b, "'");
}

/* ---- the variables ---- */

static void set(cJSON *vars, const char *name, const char *value)
{
	cJSON_AddStringToObject(vars, name, value);
}

/* names that differ in letter case, or in '-' and '_', would be one variable */
static bool is_ambiguous(const cJSON *nodes, const cJSON *node)
{
	char mine[NAME_SIZE], other[NAME_SIZE];
	const cJSON *n;

	env_name(mine, sizeof(mine), "", node->string);
	cJSON_ArrayForEach(n, nodes) {
		env_name(other, sizeof(other), "", n->string);
		if (n != node && !strcmp(mine, other))
			return true;
	}
	return false;
}

static void add_addresses(const struct cli *c, const cJSON *nodes, cJSON *vars)
{
	static const struct {
		const char *member, *prefix;
	} kinds[] = {
		{ "private_ip", "VPCLAB_PRIVATE_IP" },
		{ "public_ip", "VPCLAB_PUBLIC_IP" },
	};
	char name[NAME_SIZE];
	const char *address;
	const cJSON *node;
	size_t i;

	cJSON_ArrayForEach(node, nodes) {
		if (is_ambiguous(nodes, node)) {
			out_warn(c,
				 "env: %s has no variables: another node's would have the "
				 "same name",
				 out_safe(node->string));
			continue;
		}
		for (i = 0; i < ARRAY_SIZE(kinds); i++) {
			address = json_str(node, kinds[i].member, NULL);
			env_name(name, sizeof(name), kinds[i].prefix, node->string);
			if (address && !MUTANT("env-addresses"))
				set(vars, name, address);
		}
	}
}

/* every node that has addresses of its own; items are references */
static cJSON *all_nodes(const cJSON *show)
{
	cJSON *nodes = cJSON_CreateObject();
	cJSON *vpc, *node;

	cJSON_ArrayForEach(vpc, json_get(show, "vpcs"))
		cJSON_ArrayForEach(node, json_get(vpc, "instances"))
			cJSON_AddItemReferenceToObject(nodes, node->string, node);
	cJSON_ArrayForEach(node, json_get(json_get(show, "internet"), "hosts"))
		cJSON_AddItemReferenceToObject(nodes, node->string, node);
	return nodes;
}

int env_variables(struct cli *c, const char *lab, cJSON **ret)
{
	auto_free char *path = api_lab_path(lab, "");
	auto_free char *sock = daemon_sock(c, DAEMON_SANDBOXD);
	auto_json cJSON *show = NULL, *nodes = NULL, *credentials = NULL;
	auto_free char *more = api_lab_path(lab, "/credentials");
	const char *endpoint;
	cJSON *vars;
	char what[120];
	int r;

	(void)snprintf(what, sizeof(what), "env %s", out_safe(lab));
	r = sock && more ? api_get(c, what, path, &show) : out_no_memory(c);
	if (!r)
		r = api_get(c, what, more, &credentials);
	if (r)
		return r;
	vars = cJSON_CreateObject();
	nodes = all_nodes(show);
	set(vars, "VPCLAB_LAB", lab);
	set(vars, "VPCLAB_RUN_DIR", c->run);
	set(vars, "VPCLAB_SOCKET", sock);
	endpoint = json_str(credentials, "endpoint", NULL);
	if (endpoint)
		set(vars, "AWS_ENDPOINT_URL", endpoint);
	/* a signed request names its lab by the key; the token takes the place of one for
	 * a real account */
	set(vars, "AWS_ACCESS_KEY_ID", json_str(credentials, "access_key_id", ""));
	set(vars, "AWS_SECRET_ACCESS_KEY", json_str(credentials, "secret_access_key", ""));
	set(vars, "AWS_SESSION_TOKEN", "vpclab");
	/* or clients ask the host's own metadata service for other credentials */
	set(vars, "AWS_EC2_METADATA_DISABLED", "true");
	set(vars, "AWS_REGION", json_str(show, "region", ""));
	set(vars, "AWS_DEFAULT_REGION", json_str(show, "region", ""));
	add_addresses(c, nodes, vars);
	*ret = vars;
	return 0;
}

/* ---- the verb ---- */

static int env(struct cli *c, const struct args *a)
{
	auto_buf struct buf b = BUF_INIT;
	cJSON *vars = NULL;
	const cJSON *v;
	int r = env_variables(c, a->words[0], &vars);

	if (r)
		return r;
	if (c->json)
		return out_json(c, vars);
	cJSON_ArrayForEach(v, vars) {
		buf_printf(&b, "export %s=", v->string);
		env_quote(&b, v->valuestring);
		buf_adds(&b, "\n");
	}
	cJSON_Delete(vars);
	if (buf_error(&b))
		return out_no_memory(c);
	fwrite(buf_str(&b), 1, b.len, stdout);
	return out_done(c);
}

const struct verb VERB_ENV = {
	.name = "env",
	.usage = "LAB",
	.summary = "shell variables: where the daemons are, credentials, addresses of nodes",
	.more = "eval \"$(vpclab env LAB)\"",
	.min_words = 1,
	.max_words = 1,
	.fn = env,
};
