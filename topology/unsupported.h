/* SPDX-License-Identifier: MIT */
/*
 * unsupported - what this build refuses by name (exit 4); private to topology/.
 */
#ifndef UNSUPPORTED_H
#define UNSUPPORTED_H

#include <stdbool.h>

struct reader;
struct place;

/* is this unknown member a word of AWS's that isn't supported?  Then it is
 * refused by name, and true is returned */
bool unsupported_word(struct reader *r, const struct place *p);
/* refuses every use of what the build doesn't enforce yet; "top": the file */
void unsupported_check(struct reader *r, const struct place *top);
/* the same below one value; "path" is its place in the table's words, which have a star
 * for every entry of a map or list */
void unsupported_check_below(struct reader *r, const struct place *p, const char *path);

#endif
