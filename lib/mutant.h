/* SPDX-License-Identifier: MIT */
/*
 * mutant - one build (make MUTANTS=1, in build/mutants/) that leaves one thing
 * out, chosen at run time by the variable VPCLAB_MUTANT, to prove that a test
 * notices.  In every other build MUTANT("...") is the constant false and
 * nothing of it reaches the program.  Every name stands in tests/mutants.tsv
 * with the tests meant to catch it; lint holds the two against each other.
 */
#ifndef MUTANT_H
#define MUTANT_H

#ifdef VPCLAB_MUTANTS
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int mutant_chosen(const char *name)
{
	const char *chosen = getenv("VPCLAB_MUTANT");

	return chosen && strcmp(chosen, name) == 0;
}
#define MUTANT(name) mutant_chosen(name)

/* for a program that gets no variables else */
static inline char *const *mutant_envp(void)
{
	static char text[100], *list[2];
	const char *chosen = getenv("VPCLAB_MUTANT");

	if (chosen) {
		(void)snprintf(text, sizeof(text), "VPCLAB_MUTANT=%s", chosen);
		list[0] = text;
	}
	return list;
}
#define MUTANT_ENVP mutant_envp()
#else
#define MUTANT(name) 0
#define MUTANT_ENVP NULL
#endif

#endif
