/* SPDX-License-Identifier: MIT */
/*
 * init - a lab file to start from: a database that only a function reaches, and
 * a function that sees the internet through a NAT gateway.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "lib/util.h"

static const char STARTER[] =
	"{\n"
	"  \"$comment\": \"Try: vpclab check FILE, vpclab test FILE, vpclab up FILE, vpclab show "
	"%1$s\",\n"
	"  \"version\": 1,\n"
	"  \"lab\": \"%1$s\",\n"
	"  \"internet\": {\n"
	"    \"$comment\": \"The lab's own internet; it has no way out to the real one.\",\n"
	"    \"hosts\": {\n"
	"      \"api\": { \"ip\": \"198.51.100.10\", \"serve\": [\"tcp/443\"] }\n"
	"    }\n"
	"  },\n"
	"  \"roles\": {\n"
	"    \"fn\": { \"managed_policies\": [\"AWSLambdaVPCAccessExecutionRole\"] }\n"
	"  },\n"
	"  \"vpcs\": {\n"
	"    \"main\": {\n"
	"      \"cidr_block\": \"10.0.0.0/16\",\n"
	"      \"internet_gateway\": true,\n"
	"      \"subnets\": {\n"
	"        \"public\":  { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"public\" },\n"
	"        \"private\": { \"cidr_block\": \"10.0.2.0/24\", \"route_table\": \"private\" }\n"
	"      },\n"
	"      \"nat_gateways\": {\n"
	"        \"nat\": { \"subnet\": \"public\", \"elastic_ip\": \"203.0.113.10\" }\n"
	"      },\n"
	"      \"route_tables\": {\n"
	"        \"public\":  { \"routes\": { \"0.0.0.0/0\": \"internet_gateway\" } },\n"
	"        \"private\": { \"routes\": { \"0.0.0.0/0\": \"nat_gateway:nat\" } }\n"
	"      },\n"
	"      \"security_groups\": {\n"
	"        \"fn\": { \"egress\": [ { \"protocol\": \"-1\", \"cidr_blocks\": [\"0.0.0.0/0\"] "
	"} ] },\n"
	"        \"db\": {\n"
	"          \"ingress\": [ { \"protocol\": \"tcp\", \"from_port\": 5432, "
	"\"security_groups\": [\"fn\"] } ]\n"
	"        }\n"
	"      },\n"
	"      \"instances\": {\n"
	"        \"$comment\": \"serve: the built-in server, which says whom it saw\",\n"
	"        \"db\": { \"subnet\": \"private\", \"security_groups\": [\"db\"], \"serve\": "
	"[\"tcp/5432\"] }\n"
	"      }\n"
	"    }\n"
	"  },\n"
	"  \"functions\": {\n"
	"    \"$comment\": \"exec: the event on standard input, the response on standard "
	"output\",\n"
	"    \"inside\":  { \"runtime\": \"exec\", \"command\": [\"cat\"], \"role\": \"fn\",\n"
	"                 \"vpc_config\": { \"subnets\": [\"private\"], \"security_groups\": "
	"[\"fn\"] } },\n"
	"    \"outside\": { \"runtime\": \"exec\", \"command\": [\"cat\"] }\n"
	"  },\n"
	"  \"expect\": [\n"
	"    { \"name\": \"the function in the VPC reaches the database\",\n"
	"      \"from\": \"inside\", \"to\": \"db\", \"port\": \"tcp/5432\", \"result\": \"open\" "
	"},\n"
	"    { \"name\": \"it sees the internet as the NAT gateway\",\n"
	"      \"from\": \"inside\", \"to\": \"api\", \"port\": \"tcp/443\", \"result\": "
	"\"open\",\n"
	"      \"seen_as\": \"nat_gateway:main/nat\" },\n"
	"    { \"name\": \"a function outside any VPC doesn't reach the database\",\n"
	"      \"from\": \"outside\", \"to\": \"db\", \"port\": \"tcp/5432\", \"result\": "
	"\"timeout\" },\n"
	"    { \"name\": \"nobody else does\",\n"
	"      \"to\": \"db\", \"port\": \"tcp/5432\", \"only_from\": [\"inside\"] },\n"
	"    { \"name\": \"the function answers\",\n"
	"      \"invoke\": \"inside\", \"payload\": { \"hello\": \"lab\" }, \"returns\": { "
	"\"hello\": \"lab\" } }\n"
	"  ]\n"
	"}\n";

static bool is_name(const char *s)
{
	size_t i;

	if (!(s[0] >= 'a' && s[0] <= 'z') || strlen(s) > 31)
		return false;
	for (i = 0; s[i]; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') && s[i] != '-')
			return false;
	return true;
}

static int write_new(const struct cli *c, const char *name, const char *text, size_t size)
{
	auto_free char *file = NULL;
	auto_close int fd = -1;
	int r;

	if (asprintf(&file, "%s.json", name) < 0) {
		file = NULL;
		return out_no_memory(c);
	}
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return out_fail(c, ERR_STATE, "init: %s: %s", file, strerror(errno));
	r = write_all(fd, text, size);
	if (r < 0) {
		(void)unlink(file); /* half a file helps nobody */
		return out_fail(c, ERR_STATE, "init: %s: %s", file, strerror(-r));
	}
	if (!c->quiet)
		fprintf(stderr, "vpclab: wrote %s: try vpclab test %s\n", file, file);
	return 0;
}

static int init(struct cli *c, const struct args *a)
{
	const char *name = a->n_words ? a->words[0] : "starter";
	auto_buf struct buf b = BUF_INIT;

	if (!is_name(name))
		return out_fail_usage(c, "init: %s: not a name of a lab ([a-z][a-z0-9-]{0,30})",
				      name);
	buf_printf(&b, STARTER, name);
	if (buf_error(&b))
		return out_no_memory(c);
	if (a->n_words)
		return write_new(c, name, buf_str(&b), b.len);
	fwrite(b.s, 1, b.len, stdout);
	return out_done(c);
}

const struct verb VERB_INIT = {
	.name = "init",
	.usage = "[NAME]",
	.summary = "a lab file to start from: to NAME.json, or to standard output",
	.max_words = 1,
	.fn = init,
};
