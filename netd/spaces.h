/* SPDX-License-Identifier: MIT */
/*
 * spaces - a lab's namespaces as netd has them open: the descriptor, the request
 * sockets that belong there, and, where what others change is repaired, the
 * sockets that hear of it.
 *
 * Sockets are opened when first asked for and closed again after each change
 * (spaces_trim()), or a thousand instances would hold thousands of descriptors
 * for nothing.
 */
#ifndef SPACES_H
#define SPACES_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/loop.h"
#include "lib/nft.h"
#include "lib/nl.h"

struct spaces;

/* someone else changed something in "ns": "nft" its tables, else the rest */
typedef void (*spaces_foreign_fn)(const char *ns, bool nft, void *arg);

/* "lab" is copied; NULL: out of memory */
struct spaces *spaces_new(struct loop *l, const char *lab, spaces_foreign_fn fn, void *arg);
/* closes everything; the namespaces stay */
struct spaces *spaces_free(struct spaces *s);

/*
 * spaces_create() - makes and pins namespace "ns" from its item's value (sysctls,
 * rules, role).  spaces_settings() writes again the sysctls of "val" that "old"
 * doesn't have.  spaces_drop() closes and unpins: gone is success.
 */
int spaces_create(struct spaces *s, const char *ns, const char *val, struct err *e);
int spaces_settings(struct spaces *s, const char *ns, const char *old, const char *val,
		    struct err *e);
int spaces_drop(struct spaces *s, const char *ns, struct err *e);

/* borrowed, valid until spaces_trim() or spaces_drop(); negative or NULL: "e" */
int spaces_fd(struct spaces *s, const char *ns, struct err *e);
struct nl *spaces_nl(struct spaces *s, const char *ns, struct err *e);
struct nft *spaces_nft(struct spaces *s, const char *ns, struct err *e);

/* hears of foreign changes from now on; once a namespace; 0 or -errno in "e" */
int spaces_watch(struct spaces *s, const char *ns, struct err *e);
/* closes route sockets (each change begins knowing nothing, so what it does
 * doesn't depend on what went before), and namespaces that aren't watched */
void spaces_trim(struct spaces *s);

/* does a namespace with this item value have what others change repaired? */
bool spaces_is_managed(const char *val);

#endif
