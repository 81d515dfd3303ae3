/* SPDX-License-Identifier: MIT */
/*
 * lab_check - reads lab files and prints a JSON verdict a line: what "vpclab
 * check -o json" says of one, for scripts that hold thousands of small files
 * against the parser.  --lines prints issues as text; --schema prints the
 * schema that the parser's table gives; without files, every line of standard
 * input is a document.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "topology/lab.h"
#include "topology/shape.h"

static bool as_lines;

static int print_lines(const struct issues *issues)
{
	for (size_t i = 0; i < issues->n_errors + issues->n_warnings; i++) {
		bool error = i < issues->n_errors;
		auto_free char *line = issue_line(error ? &issues->errors[i] :
							  &issues->warnings[i - issues->n_errors]);

		if (!line)
			return -1;
		printf("%s%s\n", error ? "" : "warning: ", line);
	}
	return 0;
}

static int print_json(const struct issues *issues)
{
	auto_json cJSON *o = issues_json(issues);
	auto_free char *text = NULL;

	if (!o || !cJSON_AddNumberToObject(o, "exit", issues_exit(issues)))
		return -1;
	text = json_print(o);
	return text && puts(text) >= 0 ? 0 : -1;
}

static int verdict(const char *text, size_t size, const char *file)
{
	struct issues issues;
	struct lab *lab = lab_parse(text, size, file, NULL, &issues);
	int err = as_lines ? print_lines(&issues) : print_json(&issues);

	issues_done(&issues);
	(void)lab_free(lab);
	return err;
}

static int print_schema(void)
{
	auto_json cJSON *schema = shape_schema();
	auto_free char *text = schema ? cJSON_Print(schema) : NULL;

	return text && puts(text) >= 0 ? 0 : -1;
}

static int each_line(void)
{
	auto_free char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) > 0)
		if (verdict(line, (size_t)n, "-") < 0)
			return -1;
	return 0;
}

static int each_file(char **files)
{
	for (; *files; files++) {
		auto_free char *text = NULL;
		size_t size;

		if (read_file(*files, LAB_SIZE_MAX + 1, &text, &size) < 0) {
			fprintf(stderr, "lab_check: %s: can't be read\n", *files);
			return -1;
		}
		if (verdict(text, size, *files) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int err;

	if (argc > 1 && strcmp(argv[1], "--schema") == 0)
		return print_schema() < 0;
	as_lines = argc > 1 && strcmp(argv[1], "--lines") == 0;
	err = argc > 1 + as_lines ? each_file(argv + 1 + as_lines) : each_line();
	return err < 0;
}
