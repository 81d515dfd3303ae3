/* SPDX-License-Identifier: MIT */
/*
 * pick - the nodes that the words of an expectation stand for (interface.md
 * 1.2); private to topology/.
 *
 *	NODE, FUNCTION@SUBNET	that node, that interface of a function
 *	*			every node of the lab
 *	vpc:V			instances and functions of a VPC
 *	subnet:V/S		instances in a subnet, and functions' interfaces in it
 *	security_group:V/G	members of a group
 *	!WORD			not those; with no other word: everybody but those
 *
 * A list is the union of its words without what the words with "!" name,
 * wherever they stand.  Nodes come in the order of the words, those of a
 * selector in the file's order.  A word that stands for nobody is a fault:
 * an expectation about nobody would hold whatever happens.
 */
#ifndef PICK_H
#define PICK_H

#include "topology/fill.h"

enum pick_role {
	PICK_SOURCES,
	PICK_TARGETS /* also addresses and DNS names */
};

/* "*", "!...", "vpc:...": not just a name */
bool pick_is_selector(const char *s);

/*
 * pick_endpoints() - whom "p", a word or a list of words, stands for; faults are
 * reported at the word.  "ret_rest": all other nodes and, of functions picked in
 * part, the other interfaces; NULL: not wanted.  Nothing is expanded once the
 * lab has more cases than LAB_CASES_MAX: what is returned is empty then.
 */
struct endpoints pick_endpoints(struct fill *f, const struct place *p, enum pick_role role,
				struct endpoints *ret_rest);

#endif
