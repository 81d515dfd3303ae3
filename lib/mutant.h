/* SPDX-License-Identifier: MIT */
/*
 * mutant - builds that each leave one thing out, to prove that a test notices.
 * "make MUTANT=nat-source" defines MUTANT_NAME; elsewhere MUTANT("...") is the
 * constant false and nothing of it reaches the program.  Every name is listed,
 * with the tests meant to catch it, in tests/mutants.tsv.
 */
#ifndef MUTANT_H
#define MUTANT_H

#ifdef MUTANT_NAME
#include <string.h>
#define MUTANT(name) (strcmp(MUTANT_NAME, name) == 0)
#else
#define MUTANT(name) 0
#endif

#endif
