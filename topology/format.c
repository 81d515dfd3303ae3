/* SPDX-License-Identifier: MIT */
/*
 * format - see format.h.  The functions are written out and not compiled from
 * the patterns: a lab of a thousand objects is checked in a few milliseconds,
 * and regcomp() on {0,62} alone would take longer.
 */
#include "topology/format.h"

#include <stdlib.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define ALNUM LOWER UPPER DIGIT

/* 1..65535 without leading zeros */
#define PORT_PATTERN                                                    \
	"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}" \
	"|655[0-2][0-9]|6553[0-5])"

/* one of "first", then only "rest", "max" characters at most */
static bool spelled(const char *s, const char *first, const char *rest, size_t max)
{
	size_t len = strlen(s);

	return len && len <= max && strchr(first, s[0]) && strspn(s, rest) == len;
}

static const char *after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

static bool is_port(const char *s)
{
	return spelled(s, "123456789", DIGIT, 5) && strtoul(s, NULL, 10) <= 65535;
}

static bool match_name(const char *s)
{
	return spelled(s, ALNUM, ALNUM "_-", 63);
}

static bool match_lab(const char *s)
{
	return spelled(s, LOWER, LOWER DIGIT "-", 31);
}

/* xx-word[-word]-digits */
static bool match_region(const char *s)
{
	size_t n = strspn(s, LOWER), words = 0;

	if (n != 2)
		return false;
	for (s += n; *s == '-' && (n = strspn(s + 1, LOWER)) != 0; words++)
		s += 1 + n;
	if (!words || *s != '-')
		return false;
	n = strspn(s + 1, DIGIT);
	return n >= 1 && n <= 2 && !s[1 + n];
}

static bool match_serve(const char *s)
{
	const char *p = after(s, "tcp/");

	p = p ? p : after(s, "udp/");
	p = p ? p : after(s, "http/");
	return p && is_port(p);
}

static bool match_ready(const char *s)
{
	const char *p = after(s, "tcp/");

	return p && is_port(p);
}

static bool match_port(const char *s)
{
	const char *p = after(s, "tcp/");

	p = p ? p : after(s, "udp/");
	return strcmp(s, "icmp") == 0 || (p && is_port(p));
}

static bool match_variable(const char *s)
{
	return spelled(s, LOWER UPPER "_", ALNUM "_", 4096);
}

static bool match_user(const char *s)
{
	return spelled(s, ALNUM "_", ALNUM "_.-", 32);
}

/* absolute, without empty, "." or ".." components */
static bool match_path(const char *s, bool folder)
{
	if (folder && strcmp(s, "/") == 0)
		return true;
	if (s[0] != '/')
		return false;
	while (*s == '/') {
		size_t n = strcspn(++s, "/");

		if (!n || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
	}
	return true;
}

static bool match_folder(const char *s)
{
	return match_path(s, true);
}

static bool match_file(const char *s)
{
	return match_path(s, false);
}

static bool match_file_name(const char *s)
{
	return spelled(s, ALNUM "_", ALNUM "_.-", 200);
}

/* labels of letters, digits, - and _, not at their ends for -; case is nothing */
static bool match_dns(const char *s)
{
	if (strlen(s) > 253)
		return false;
	for (;;) {
		size_t n = strspn(s, ALNUM "_-");

		if (!n || n > 63 || s[0] == '-' || s[n - 1] == '-')
			return false;
		if (!s[n])
			return true;
		if (s[n] != '.')
			return false;
		s += n + 1;
	}
}

static bool match_action(const char *s)
{
	size_t n = strspn(s, ALNUM "-");

	if (strcmp(s, "*") == 0)
		return true;
	return n && s[n] == ':' && s[n + 1] && strspn(s + n + 1, ALNUM "*?") == strlen(s + n + 1);
}

static bool match_protocol(const char *s)
{
	static const char *const words[] = { "tcp", "udp", "icmp", "icmpv6", "all", "-1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	if (strcmp(s, "0") == 0)
		return true;
	return spelled(s, "123456789", DIGIT, 3) && strtoul(s, NULL, 10) <= 255;
}

static bool match_runtime(const char *s)
{
	static const char *const stems[] = { "provided", "nodejs", "python", "java",
					     "ruby",	 "dotnet", "go" };

	if (strcmp(s, "exec") == 0)
		return true;
	for (size_t i = 0; i < sizeof(stems) / sizeof(stems[0]); i++) {
		const char *rest = after(s, stems[i]);

		if (rest && strspn(rest, ALNUM ".-") == strlen(rest))
			return true;
	}
	return false;
}

const struct format format_name = {
	"a name: letters, digits, _ and -, at most 63, the first a letter or digit",
	"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", match_name
};
const struct format format_lab = {
	"lower-case letters, digits and -, at most 31, the first a letter",
	"^[a-z][a-z0-9-]{0,30}$", match_lab
};
const struct format format_region = { "a region such as us-east-1",
				      "^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$", match_region };
const struct format format_serve = { "tcp/P, udp/P or http/P with P 1..65535",
				     "^(tcp|udp|http)/" PORT_PATTERN "$", match_serve };
const struct format format_ready = { "tcp/P with P 1..65535", "^tcp/" PORT_PATTERN "$",
				     match_ready };
const struct format format_port = { "tcp/N or udp/N with N 1..65535, or icmp",
				    "^(icmp|(tcp|udp)/" PORT_PATTERN ")$", match_port };
const struct format format_variable = {
	"a variable's name: letters, digits and _, the first not a digit",
	"^[A-Za-z_][A-Za-z0-9_]{0,4095}$", match_variable
};
const struct format format_user = { "a user's name or number", "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$",
				    match_user };
const struct format format_folder = { "an absolute path without . and ..",
				      "^(/|(/(?!\\.\\.?(/|$))[^/]+)+)$", match_folder };
const struct format format_file = { "an absolute path without . and ..",
				    "^(/(?!\\.\\.?(/|$))[^/]+)+$", match_file };
const struct format format_file_name = {
	"a file name: letters, digits, _ . and -, the first not . or -",
	"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$", match_file_name
};
const struct format format_dns = {
	"a DNS name: labels of letters, digits, _ and - with dots between",
	"^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
	"(\\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$",
	match_dns
};
const struct format format_action = {
	"an IAM action such as ec2:CreateNetworkInterface; * and ? are wildcards",
	"^(\\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$", match_action
};
const struct format format_protocol = {
	"tcp, udp, icmp, a number 0..255, or -1 or all",
	"^(tcp|udp|icmp|icmpv6|all|-1|[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])$",
	match_protocol
};
const struct format format_runtime = {
	"exec, provided*, nodejs*, python*, java* or ruby*",
	"^(exec|(provided|nodejs|python|java|ruby|dotnet|go)[A-Za-z0-9.-]*)$", match_runtime
};
