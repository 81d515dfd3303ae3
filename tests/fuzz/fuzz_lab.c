/* SPDX-License-Identifier: MIT */
/*
 * fuzz_lab - any bytes as a lab file: a lab, or at least one fault, never both;
 * every fault has a place and words; the verdict prints as JSON; look-ups in a
 * lab that came through find what is in it; no expectation is without a case.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/expect.h"
#include "topology/lab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_issues(const struct issue *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!v[i].pos.line || !v[i].pos.column || !*v[i].msg || !*v[i].code ||
		    (i && v[i].pos.line < v[i - 1].pos.line))
			abort();
}

static void check_cases(const struct lab *l)
{
	struct expect_case *cases;
	size_t n, seen = 0;

	if (expect_cases(l, NULL, &cases, &n) < 0 || n > LAB_CASES_MAX)
		abort();
	for (size_t i = 0; i < n; i++)
		seen += !i || cases[i].x != cases[i - 1].x;
	if (seen != l->n_expects)
		abort();
	expect_cases_free(cases, n);
}

static void check_lab(const struct lab *l)
{
	for (size_t i = 0; i < l->n_vpcs; i++)
		if (lab_vpc(l, l->vpcs[i].name) != &l->vpcs[i] || !l->vpcs[i].main_route_table ||
		    !vpc_security_group(&l->vpcs[i], "default"))
			abort();
	for (size_t i = 0; i < l->n_functions; i++)
		if (lab_function(l, l->functions[i].name) != &l->functions[i])
			abort();
	check_cases(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct issues issues;
	struct lab *lab = lab_parse((const char *)data, size, "-", NULL, &issues);
	cJSON *json = issues_json(&issues);

	if (!json || !lab != (issues.n_errors > 0) || !lab != (issues_exit(&issues) != 0))
		abort();
	check_issues(issues.errors, issues.n_errors);
	check_issues(issues.warnings, issues.n_warnings);
	if (lab)
		check_lab(lab);
	cJSON_Delete(json);
	issues_done(&issues);
	(void)lab_free(lab);
	return 0;
}
