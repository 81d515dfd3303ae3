/* SPDX-License-Identifier: MIT */
/*
 * inspect - see inspect.h.  Rules aren't read back: the text is the program's, and
 * the stamp that each transaction leaves in the kernel tells whether it is what
 * is there.
 */
#include "netd/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/util.h"
#include "netd/counts.h"
#include "netd/jobs.h"

/* "ip vpc": the table of the namespace that filters, whose drops are counted; NULL */
static const char *counting_table(const struct program *p, const char *ns, char ret[80])
{
	size_t i, from, to;

	program_range(p, ns, ITEM_TABLE, &from, &to);
	for (i = from; i < to; i++) {
		(void)snprintf(ret, 80, "%s drops", p->items[i].key);
		if (!program_find(p, ns, ITEM_SET, ret))
			continue;
		(void)snprintf(ret, 80, "%s", p->items[i].key);
		return ret;
	}
	return NULL;
}

static int add_text(cJSON *o, const char *name, const struct buf *b, struct err *e)
{
	if (buf_error(b) || !cJSON_AddStringToObject(o, name, buf_str(b)))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

static int add_rules(struct netlab *l, const char *ns, cJSON *o, struct err *e)
{
	auto_buf struct buf b = BUF_INIT;
	size_t from, to;
	struct nft *nft;
	char hash[33];
	int r;

	program_range(&l->actual, ns, ITEM_TABLE, &from, &to);
	if (from == to) {
		cJSON_AddNullToObject(o, "rules_in_force");
		return add_text(o, "rules", &b, e);
	}
	nft = spaces_nft(l->spaces, ns, e);
	if (!nft)
		return -EIO;
	program_nft_hash(&l->actual, ns, hash);
	r = nft_adoptable(nft, hash);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "%s: reading the stamp: %s", ns, strerror(-r));
	cJSON_AddBoolToObject(o, "rules_in_force", r == 1);
	program_print_nft(&l->actual, ns, &b);
	return add_text(o, "rules", &b, e);
}

static int add_network(struct netlab *l, const char *ns, cJSON *o, struct err *e)
{
	struct nl *nl = spaces_nl(l->spaces, ns, e);
	auto_buf struct buf b = BUF_INIT;
	struct program seen;
	int r;

	if (!nl)
		return -EIO;
	program_init(&seen);
	r = nl_observe(nl, ns, &seen, e);
	if (!r)
		r = program_seal(&seen, e);
	if (!r) {
		program_print(&seen, &b);
		r = add_text(o, "network", &b, e);
	}
	program_done(&seen);
	return r;
}

static int add_drops(struct netlab *l, const char *ns, cJSON *o, struct err *e)
{
	cJSON *list = cJSON_AddArrayToObject(o, "drops"), *row;
	char table[80];
	struct counts c;
	size_t i;
	int r;

	if (!counting_table(&l->actual, ns, table))
		return 0;
	r = counts_read(l, ns, table, &c, e);
	if (r < 0)
		return r;
	for (i = 0; i < c.n; i++) {
		row = cJSON_CreateObject();
		cJSON_AddStringToObject(row, "code", c.v[i].code);
		cJSON_AddStringToObject(row, "interface", c.v[i].link);
		cJSON_AddNumberToObject(row, "packets", (double)c.v[i].packets);
		cJSON_AddItemToArray(list, row);
	}
	counts_done(&c);
	return 0;
}

static int add_connections(struct netlab *l, const char *ns, cJSON *o, struct err *e)
{
	auto_buf struct buf b = BUF_INIT;
	int fd = spaces_fd(l->spaces, ns, e), r;

	if (fd < 0)
		return fd;
	r = ct_print(fd, INSPECT_CONNECTIONS_MAX, &b);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "%s: reading connections: %s", ns, strerror(-r));
	return add_text(o, "connections", &b, e);
}

int inspect_namespace(struct netlab *l, const char *ns, cJSON **ret, struct err *e)
{
	auto_json cJSON *o = cJSON_CreateObject();
	int r;

	if (program_sync(&l->actual) < 0 || !o)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (!program_find(&l->actual, ns, ITEM_NS, ""))
		return err_set(e, ERR_NO_OBJECT, ENOENT, "lab %s has no namespace %s", l->name, ns);
	job_faults_pause();
	cJSON_AddStringToObject(o, "namespace", ns);
	r = add_rules(l, ns, o, e);
	if (!r)
		r = add_drops(l, ns, o, e);
	if (!r)
		r = add_network(l, ns, o, e);
	if (!r)
		r = add_connections(l, ns, o, e);
	job_faults_resume();
	if (!l->job)
		spaces_trim(l->spaces);
	if (!r)
		*ret = steal_ptr(&o);
	return r;
}
