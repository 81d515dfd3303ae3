/* SPDX-License-Identifier: MIT */
/*
 * graph - a lab as a picture's source: VPCs and subnets are boxes, what is in them are
 * nodes, routes are edges from a subnet to where they lead.  Pure.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "lib/buf.h"
#include "topology/lab.h"

enum graph_format { GRAPH_DOT, GRAPH_MERMAID };

/* appends the text of Graphviz or Mermaid; a failure of "b" sticks in it */
void graph_text(const struct lab *lab, enum graph_format format, struct buf *b);

#endif
