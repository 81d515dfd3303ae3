/* SPDX-License-Identifier: MIT */
/*
 * metrics - a NAT gateway's metrics as CloudWatch names them (NAT-23): its counters
 * (nat/natmetrics.h), its drops, and what tracking still knows.  Since it was made; a
 * replaced ruleset takes nothing away.  Bytes are those of IP packets, and a packet that
 * the kernel put together from several (TCP, fragments of UDP on their way out) is one.
 */
#ifndef METRICS_H
#define METRICS_H

#include "netd/labs.h"

/* {"ActiveConnectionCount": n, ...}, all 14; of a gateway that failed, and of a namespace
 * that can't be read now, zeros.  Owns; NULL: no memory */
cJSON *metrics_json(struct netlab *l, const struct s_nat *n);

#endif
