/* SPDX-License-Identifier: MIT */
/*
 * bundle - for each failure a folder with all that tells why: the failed probe is
 * sent once more while every namespace on its way is captured, and what these
 * hold afterwards is written down.
 *
 *   DIR/LAB/NN-NAME/report.txt, result.json
 *                   probe.json, capture.pcapng, why.json         (of a probe)
 *                   NAMESPACE/rules.nft, network, drops, connections
 *                   nodes.log, netd.log, sandboxd.log, responder.log
 */
#ifndef CLI_BUNDLE_H
#define CLI_BUNDLE_H

#include "cli/cli.h"
#include "lib/json.h"

#define BUNDLES_MAX 100 /* of one lab; later failures have none, which is told */

/* makes DIR, so that a wrong name is told before anything runs; 0 or exit status */
int bundle_open(const struct cli *c, const char *dir);
/*
 * bundle_write() - of each failure among "results" (of "lab", which is up) that has
 * none yet; the folder is left in its "bundle".  0 or exit status, told.
 */
int bundle_write(struct cli *c, const char *dir, const char *lab, cJSON *results);

#endif
