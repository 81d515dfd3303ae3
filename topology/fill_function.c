/* SPDX-License-Identifier: MIT */
/*
 * fill_function - functions: runtime, environment (EX-12), role (LN-33..35),
 * attachment to a VPC (LN-9, LN-38), concurrency and destinations.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/fill.h"
#include "topology/format.h"

#define ENVIRONMENT_MAX 4096 /* bytes, as AWS measures: the map as JSON */
#define ASYNC_RETRIES 2	     /* AS-1 */
#define ASYNC_AGE_S 21600    /* AS-2 */
#define UNRESERVED_MIN 100   /* concurrency that stays for everybody (CC-2) */

/* ---- runtime ---- */

/* what an image brings by itself, AWS refuses beside it */
static void image_rules(struct fill *f, const struct place *p)
{
	static const char *const others[] = { "command", "code", "layers", "handler" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct place other = place_member(p, others[i]);

		if (other.item && !MUTANT("image-rules"))
			fault(f->r, FAMILY_TYPE, &other, "InvalidParameterValueException",
			      "\"%s\" doesn't go with an image (allowed: image_config)", others[i]);
	}
}

static void fill_image(struct fill *f, const struct place *p, struct function *fn)
{
	struct place config = place_member(p, "image_config");

	fn->image = read_str(p, "image");
	fn->image_config.working_directory = "";
	if (!config.item)
		return;
	fn->image_config.entry_point = read_strings(f->r, &config, "entry_point");
	fn->image_config.command = read_strings(f->r, &config, "command");
	fn->image_config.has_entry_point = place_member(&config, "entry_point").item != NULL;
	fn->image_config.has_command = place_member(&config, "command").item != NULL;
	if (place_member(&config, "working_directory").item)
		fn->image_config.working_directory = read_str(&config, "working_directory");
}

static void runtime_rules(struct fill *f, const struct place *p, const struct function *fn)
{
	struct place command = place_member(p, "command");
	bool is_exec;

	if (!fn->runtime || !*fn->runtime)
		return;
	if (*fn->image) {
		image_rules(f, p);
		return;
	}
	if (place_member(p, "image_config").item)
		fault(f->r, FAMILY_TYPE, p, "InvalidParameterValueException",
		      "\"image\" is missing (image_config says what to change of one)");
	is_exec = strcmp(fn->runtime, "exec") == 0;
	if (is_exec && !command.item)
		fault(f->r, FAMILY_TYPE, p, "InvalidParameterValueException",
		      "\"command\" is missing (runtime exec runs it)");
	else if (is_exec && fn->command.n && !fn->command.v[0][0])
		fault(f->r, FAMILY_RANGE, &command, "InvalidParameterValueException",
		      "the program's name is empty (allowed: a path, or a name in PATH)");
	if (is_exec)
		return;
	if (command.item)
		fault(f->r, FAMILY_TYPE, &command, "InvalidParameterValueException",
		      "\"command\" goes with runtime exec only (here: %s)", fn->runtime);
	if (!*fn->code)
		fault(f->r, FAMILY_TYPE, p, "InvalidParameterValueException",
		      "\"code\" is missing (runtime %s needs a folder or .zip)", fn->runtime);
	if (!*fn->handler && format_runtime.match(fn->runtime) &&
	    strncmp(fn->runtime, "provided", 8) != 0)
		fault(f->r, FAMILY_TYPE, p, "InvalidParameterValueException",
		      "\"handler\" is missing (runtime %s calls it: MODULE.FUNCTION)", fn->runtime);
}

/* ---- environment ---- */

static bool is_reserved(const char *name)
{
	static const char *const reserved[] = {
		"_HANDLER",
		"_X_AMZN_TRACE_ID",
		"AWS_ACCESS_KEY",
		"AWS_ACCESS_KEY_ID",
		"AWS_DEFAULT_REGION",
		"AWS_EXECUTION_ENV",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
		"AWS_LAMBDA_FUNCTION_NAME",
		"AWS_LAMBDA_FUNCTION_VERSION",
		"AWS_LAMBDA_INITIALIZATION_TYPE",
		"AWS_LAMBDA_LOG_GROUP_NAME",
		"AWS_LAMBDA_LOG_STREAM_NAME",
		"AWS_LAMBDA_METADATA_API",
		"AWS_LAMBDA_METADATA_TOKEN",
		"AWS_LAMBDA_RUNTIME_API",
		"AWS_REGION",
		"AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN",
		"LAMBDA_RUNTIME_DIR",
		"LAMBDA_TASK_ROOT",
	};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(reserved[i], name) == 0)
			return true;
	return false;
}

/* AWS: [a-zA-Z]([a-zA-Z0-9_])+ */
static bool variable_name_ok(const char *s)
{
	const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return s[0] && strchr(letters, s[0]) && s[1] &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
		       strlen(s);
}

/* length of a text as JSON, quotes included */
static size_t json_length(const char *s)
{
	size_t n = 2;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\' || (c >= '\b' && c <= '\r' && c != '\v'))
			n += 2;
		else
			n += c < 0x20 ? 6 : 1;
	}
	return n;
}

static void fill_environment(struct fill *f, const struct place *p, struct function *fn)
{
	struct place map = place_member(p, "environment");
	size_t measured = 2;

	if (!cJSON_IsObject(map.item))
		return;
	fn->environment = NEW(f->r, place_n_children(&map), struct env_var);
	PLACE_EACH(v, &map) {
		const char *value = place_str(&v);

		if (is_reserved(v.key))
			fault(f->r, FAMILY_NAME, &v, "InvalidParameterValueException",
			      "Lambda was unable to configure your environment variables because "
			      "the environment variables you have provided contains reserved keys "
			      "that are currently not supported for modification. Reserved keys "
			      "used in this request: %s",
			      v.key);
		else if (!variable_name_ok(v.key))
			fault(f->r, FAMILY_NAME, &v, "InvalidParameterValueException",
			      "\"%s\" has the wrong form (allowed: letters, digits and _, at least "
			      "two, the first a letter)",
			      v.key);
		if (!value)
			continue;
		measured += json_length(v.key) + json_length(value) + 1 + (fn->n_environment > 0);
		fn->environment[fn->n_environment++] = (struct env_var){ v.key, value };
	}
	if (measured > ENVIRONMENT_MAX)
		fault(f->r, FAMILY_RANGE, &map, "InvalidParameterValueException",
		      "Lambda was unable to configure your environment variables because the "
		      "environment variables you have provided exceeded the 4KB limit. "
		      "(%zu bytes as JSON; allowed: %d)",
		      measured, ENVIRONMENT_MAX);
}

/* ---- role: may Lambda make interfaces for it? ---- */

static const char *const eni_actions[] = {
	"CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets",
	"DeleteNetworkInterface", "AssignPrivateIpAddresses",  "UnassignPrivateIpAddresses",
};

static void role_rules(struct fill *f, const struct place *p, const struct function *fn)
{
	struct place role = place_member(p, "role");

	if (role.item && !fn->role)
		return; /* dangling, and reported */
	if (!fn->role) {
		fault(f->r, FAMILY_ROLE, p, "InvalidParameterValueException",
		      "The provided execution role does not have permissions to call "
		      "CreateNetworkInterface on EC2 (\"role\" is missing: a function with a "
		      "vpc_config needs one, e.g. with AWSLambdaVPCAccessExecutionRole)");
		return;
	}
	for (size_t i = 0; i < sizeof(eni_actions) / sizeof(eni_actions[0]); i++) {
		if (fill_role_allows(fn->role, TEXT(f->r, "ec2:%s", eni_actions[i])))
			continue;
		fault(f->r, FAMILY_ROLE, &role, "InvalidParameterValueException",
		      "The provided execution role does not have permissions to call %s on EC2 "
		      "(roles.%s; AWSLambdaVPCAccessExecutionRole allows it)",
		      eni_actions[i], fn->role->name);
		return;
	}
}

/* ---- attachment ---- */

/* LN-38's message around EC2's */
static const void *lambda_reference(struct fill *f, const struct place *p,
				    const struct index *names, const char *call,
				    const char *ec2_code, const char *what, const char *vpc)
{
	const char *name = place_str(p);
	const void *found = name ? index_find(names, name) : NULL;

	if (name && *name && !found)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValueException",
		      "Error occurred while %s. EC2 Error Code: %s. EC2 Error Message: The %s '%s' "
		      "does not exist (VPC %s has: %s)",
		      call, ec2_code, what, name, vpc, index_list(f->r, names));
	return found;
}

static const struct vpc *config_vpc(struct fill *f, const struct place *config)
{
	struct place p = place_member(config, "vpc");

	if (p.item)
		return fill_reference(f, &p, &f->vpcs, "VPC", "the lab", "InvalidVpcID.NotFound");
	if (f->lab->n_vpcs == 1)
		return &f->lab->vpcs[0];
	fault(f->r, FAMILY_REFERENCE, config, "InvalidParameterValueException",
	      f->lab->n_vpcs ? "\"vpc\" is missing: the lab has more than one (%s)" :
			       "the lab has no VPC (%s)",
	      index_list(f->r, &f->vpcs));
	return NULL;
}

static void config_subnets(struct fill *f, const struct place *config, struct function *fn)
{
	struct place list = place_member(config, "subnets");
	size_t most = 16; /* the shape's limit; more is its fault */

	if (!cJSON_IsArray(list.item))
		return;
	fn->subnets = NEW(f->r, most, const struct subnet *);
	PLACE_EACH(p, &list) {
		const struct subnet *s;
		size_t i = 0;

		s = lambda_reference(f, &p, &fill_names(f, fn->vpc)->subnets, "DescribeSubnets",
				     "InvalidSubnetID.NotFound", "subnet ID", fn->vpc->name);
		while (i < fn->n_subnets && fn->subnets[i] != s)
			i++;
		if (s && i < fn->n_subnets)
			fault(f->r, FAMILY_DUPLICATE, &p, "InvalidParameterValueException",
			      "the subnet %s is named twice", s->name);
		else if (s && fn->n_subnets < most)
			fn->subnets[fn->n_subnets++] = s;
	}
}

static void config_groups(struct fill *f, const struct place *config, struct function *fn)
{
	struct place list = place_member(config, "security_groups");
	size_t most = 16;

	if (!cJSON_IsArray(list.item))
		return;
	fn->security_groups = NEW(f->r, most, const struct security_group *);
	PLACE_EACH(p, &list) {
		const struct security_group *g;
		size_t i = 0;

		g = lambda_reference(f, &p, &fill_names(f, fn->vpc)->security_groups,
				     "DescribeSecurityGroups", "InvalidGroup.NotFound",
				     "security group", fn->vpc->name);
		while (i < fn->n_security_groups && fn->security_groups[i] != g)
			i++;
		if (g && i < fn->n_security_groups)
			fault(f->r, FAMILY_DUPLICATE, &p, "InvalidParameterValueException",
			      "the group %s is named twice", g->name);
		else if (g && fn->n_security_groups < most)
			fn->security_groups[fn->n_security_groups++] = g;
	}
}

static void fill_vpc_config(struct fill *f, const struct place *p, struct function *fn)
{
	struct place config = place_member(p, "vpc_config");
	struct place subnets = place_member(&config, "subnets");
	struct place groups = place_member(&config, "security_groups");
	size_t n_subnets = place_n_children(&subnets), n_groups = place_n_children(&groups);

	if (!cJSON_IsArray(subnets.item) || !cJSON_IsArray(groups.item) ||
	    (!n_subnets && !n_groups))
		return;
	if (!n_subnets || !n_groups) {
		fault(f->r, FAMILY_RANGE, n_subnets ? &groups : &subnets,
		      "InvalidParameterValueException",
		      "one of subnets and security_groups is empty (allowed: both given, or both "
		      "empty for no VPC)");
		return;
	}
	fn->vpc = config_vpc(f, &config);
	if (fn->vpc) {
		config_subnets(f, &config, fn);
		config_groups(f, &config, fn);
	}
	role_rules(f, p, fn);
}

/* ---- destinations, concurrency ---- */

/* http: only what answers inside the lab, or is allowed by the daemon's --allow-endpoint; a
 * topic's URL ends with its ARN (AS-4) */
static void check_url(struct fill *f, const struct place *p, const struct destination *d)
{
	const char *host = d->name, *path;

	if (strncmp(host, "http://", 7) == 0) {
		path = strchr(host + 7, '/');
		if (path && path > host + 7 && path[1] &&
		    (d->kind == DESTINATION_SQS || strncmp(path, "/arn:", 5) == 0) &&
		    strcspn(host, " \t\r\n\"<>\\?#") == strlen(host))
			return;
	}
	fault(f->r, FAMILY_RANGE, p, "InvalidParameterValueException",
	      "\"%s\" is no URL of a %s (allowed: http://HOST[:PORT]/%s)", d->name,
	      d->kind == DESTINATION_SQS ? "queue" : "topic",
	      d->kind == DESTINATION_SQS ? "ACCOUNT/QUEUE" : "arn:aws:sns:REGION:ACCOUNT:TOPIC");
}

/* who has a role may send only what it allows; a file is ours, and nobody's permission */
static void destination_role(struct fill *f, const struct place *p, const struct role *role,
			     const struct destination *d)
{
	static const struct {
		const char *action, *call;
	} needs[] = {
		[DESTINATION_NONE] = { NULL, NULL },
		[DESTINATION_FUNCTION] = { "lambda:InvokeFunction", "InvokeFunction on Lambda" },
		[DESTINATION_FILE] = { NULL, NULL },
		[DESTINATION_SQS] = { "sqs:SendMessage", "SendMessage on SQS" },
		[DESTINATION_SNS] = { "sns:Publish", "Publish on SNS" },
	};
	const char *action = needs[d->kind].action;

	if (!role || !action || fill_role_allows(role, action) ||
	    MUTANT("validate-destination-role"))
		return;
	fault(f->r, FAMILY_ROLE, p, "InvalidParameterValueException",
	      "The provided execution role does not have permissions to call %s "
	      "(roles.%s; the action is %s)",
	      needs[d->kind].call, role->name, action);
}

static void destination(struct fill *f, const struct place *p, const struct role *role,
			struct destination *ret)
{
	static const struct {
		const char *prefix;
		enum destination_kind kind;
	} kinds[] = {
		{ "function:", DESTINATION_FUNCTION },
		{ "file:", DESTINATION_FILE },
		{ "sqs:", DESTINATION_SQS },
		{ "sns:", DESTINATION_SNS },
	};
	const char *s = place_str(p);

	if (!s || !*s)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && !ret->kind; i++)
		if (strncmp(s, kinds[i].prefix, strlen(kinds[i].prefix)) == 0 &&
		    s[strlen(kinds[i].prefix)])
			*ret = (struct destination){ kinds[i].kind, s + strlen(kinds[i].prefix) };
	switch (ret->kind) {
	case DESTINATION_NONE:
		fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValueException",
		      "\"%s\" is no destination (allowed: function:F, file:NAME, sqs:URL, sns:URL)",
		      s);
		break;
	case DESTINATION_FUNCTION:
		if (!lab_function(f->lab, ret->name))
			fault(f->r, FAMILY_REFERENCE, p, "ResourceNotFoundException",
			      "the function '%s' does not exist", ret->name);
		break;
	case DESTINATION_FILE:
		if (!format_file_name.match(ret->name))
			fault(f->r, FAMILY_RANGE, p, "InvalidParameterValueException",
			      "\"%s\" (allowed: %s)", ret->name, format_file_name.title);
		break;
	case DESTINATION_SQS:
	case DESTINATION_SNS:
		check_url(f, p, ret);
		break;
	}
	destination_role(f, p, role, ret);
}

static void fill_async(struct fill *f, const struct place *p, struct function *fn)
{
	struct place async = place_member(p, "async");
	struct place success = place_member(&async, "on_success");
	struct place failure = place_member(&async, "on_failure");
	struct place dead = place_member(p, "dead_letter");
	bool given = cJSON_IsObject(async.item);

	fn->async.maximum_retry_attempts =
		given ? (unsigned)read_num(&async, "maximum_retry_attempts") : ASYNC_RETRIES;
	fn->async.maximum_event_age =
		given ? (unsigned)read_num(&async, "maximum_event_age_in_seconds") : ASYNC_AGE_S;
	fn->async.duplicate_rate = given ? read_num(&async, "duplicate_rate") : 0;
	destination(f, &success, fn->role, &fn->async.on_success);
	destination(f, &failure, fn->role, &fn->async.on_failure);
	destination(f, &dead, fn->role, &fn->dead_letter);
}

static void fill_concurrency(struct fill *f, const struct place *p, struct function *fn)
{
	struct place reserved = place_member(p, "reserved_concurrent_executions");
	struct place ready = place_member(p, "provisioned_concurrent_executions");

	fn->reserved_concurrent_executions =
		cJSON_IsNumber(reserved.item) ?
			(long)read_num(p, "reserved_concurrent_executions") :
			-1;
	fn->provisioned_concurrent_executions =
		(long)read_num(p, "provisioned_concurrent_executions");
	fn->publish = read_bool(p, "publish");
	if (fn->reserved_concurrent_executions >= 0 &&
	    fn->provisioned_concurrent_executions > fn->reserved_concurrent_executions)
		fault(f->r, FAMILY_RANGE, &ready, "InvalidParameterValueException",
		      "Requested Provisioned Concurrency should not be greater than the "
		      "reservedConcurrentExecution for function (allowed: 0..%ld)",
		      fn->reserved_concurrent_executions);
}

/* "$LATEST", or the number of a version, of which only a change knows whether it is there */
static bool version_ok(const char *s)
{
	return MUTANT("validate-versions") || !strcmp(s, "$LATEST") ||
	       (s[0] >= '1' && s[0] <= '9' && strlen(s) < 9 &&
		strspn(s, "0123456789") == strlen(s));
}

static void fill_aliases(struct fill *f, const struct place *p, struct function *fn)
{
	struct place map = place_member(p, "aliases");

	if (!cJSON_IsObject(map.item))
		return;
	fn->aliases = NEW(f->r, place_n_children(&map), struct function_alias);
	PLACE_EACH(v, &map) {
		const char *version = read_str(&v, "function_version");
		struct place at = place_member(&v, "function_version");

		if (strspn(v.key, "0123456789") == strlen(v.key))
			fault(f->r, FAMILY_NAME, &v, "InvalidParameterValueException",
			      "\"%s\" would be the number of a version (allowed: a name that isn't "
			      "digits alone)",
			      v.key);
		if (!version || !*version)
			continue;
		if (!version_ok(version))
			fault(f->r, FAMILY_RANGE, &at, "InvalidParameterValueException",
			      "\"%s\" is no version (allowed: $LATEST, or a number from 1)",
			      version);
		else if (!strcmp(v.key, LIVE_ALIAS) && fn->provisioned_concurrent_executions &&
			 !strcmp(version, "$LATEST"))
			fault(f->r, FAMILY_TYPE, &at, "InvalidParameterValueException",
			      "Provisioned Concurrency Configs cannot be applied to unpublished "
			      "function versions.");
		fn->aliases[fn->n_aliases++] = (struct function_alias){ v.key, version };
	}
}

static void check_reserved(struct fill *f, const struct place *functions)
{
	long left = (long)f->lab->concurrent_executions;
	size_t i = 0;

	PLACE_EACH(p, functions) {
		struct place at = place_member(&p, "reserved_concurrent_executions");
		const struct function *fn;
		long wish;

		if (i == f->lab->n_functions)
			break;
		fn = &f->lab->functions[i++];
		wish = fn->reserved_concurrent_executions;
		/* what is kept ready is nobody else's either */
		if (wish < 0) {
			at = place_member(&p, "provisioned_concurrent_executions");
			wish = fn->provisioned_concurrent_executions;
		}
		if (wish <= 0)
			continue;
		left -= wish;
		if (left < UNRESERVED_MIN) {
			fault(f->r, FAMILY_RANGE, &at, "InvalidParameterValueException",
			      "Specified ReservedConcurrentExecutions for function decreases "
			      "account's UnreservedConcurrentExecution below its minimum value of "
			      "[%d].",
			      UNRESERVED_MIN);
			return;
		}
	}
}

/* ---- the whole ---- */

static void fill_function(struct fill *f, const struct place *p, struct function *fn)
{
	struct place role = place_member(p, "role");

	fn->runtime = read_str(p, "runtime");
	fn->command = read_strings(f->r, p, "command");
	fn->handler = read_str(p, "handler");
	fn->code = read_str(p, "code");
	fn->layers = read_strings(f->r, p, "layers");
	fill_image(f, p, fn);
	fn->timeout = (unsigned)read_num(p, "timeout");
	fn->memory_size = (unsigned)read_num(p, "memory_size");
	fn->ephemeral_storage = (unsigned)read_num(p, "ephemeral_storage");
	fn->role = fill_reference(f, &role, &f->roles, "role", "the lab",
				  "InvalidParameterValueException");
	runtime_rules(f, p, fn);
	fill_environment(f, p, fn);
	fill_vpc_config(f, p, fn);
	fill_concurrency(f, p, fn);
	fill_aliases(f, p, fn);
	fill_async(f, p, fn);
}

void fill_functions(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "functions");
	size_t i = 0;

	PLACE_EACH(p, &map)
		if (i < f->lab->n_functions)
			fill_function(f, &p, &f->lab->functions[i++]);
	check_reserved(f, &map);
}
