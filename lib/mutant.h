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
#include <stdlib.h>
#include <string.h>

static inline int mutant_chosen(const char *name)
{
	const char *chosen = getenv("VPCLAB_MUTANT");

	return chosen && strcmp(chosen, name) == 0;
}
#define MUTANT(name) mutant_chosen(name)
#else
#define MUTANT(name) 0
#endif

#endif
