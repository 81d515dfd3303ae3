/* SPDX-License-Identifier: MIT */
/*
 * emit - see emit.h.
 */
#include "nat/emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"

void emit_edge_rules(const char *ns, struct program *p)
{
	program_add(p, ns, ITEM_RULE, "29999", "lookup 254");
	program_add(p, ns, ITEM_RULE, "30000", "blackhole");
}

void emit_table(const struct emit *f)
{
	program_add(f->p, f->ns, ITEM_TABLE, f->table, "");
}

static void key_of(const struct emit *f, const char *name, char *ret, size_t size)
{
	int n = fmt_print(ret, size, "%s %s", f->table, name);

	if (n < 0 || (size_t)n >= size)
		f->p->failed = true; /* names are ours and short */
}

void emit_set(const struct emit *f, const char *name, const char *val)
{
	char key[160];

	key_of(f, name, key, sizeof(key));
	program_add(f->p, f->ns, ITEM_SET, key, val);
}

void emit_elem(const struct emit *f, const char *set, const char *val, const char *key_fmt, ...)
{
	char key[256];
	va_list ap;
	int n, k;

	n = fmt_print(key, sizeof(key), "%s %s\t", f->table, set);
	va_start(ap, key_fmt);
	k = fmt_vprint(key + n, sizeof(key) - (size_t)n, key_fmt, ap);
	va_end(ap);
	if (k < 0 || (size_t)(n + k) >= sizeof(key))
		f->p->failed = true;
	program_add(f->p, f->ns, ITEM_ELEM, key, val);
}

void emit_chain(struct buf *b, const char *hook)
{
	buf_clear(b);
	buf_adds(b, hook);
}

void emit_rule(struct buf *b, const char *fmt, ...)
{
	char line[600];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vprint(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		b->failed = true; /* half a rule is a wider rule */
	if (b->len)
		buf_adds(b, "\n");
	buf_adds(b, line);
}

void emit_chain_end(const struct emit *f, const char *name, struct buf *b)
{
	char key[160];

	key_of(f, name, key, sizeof(key));
	if (buf_error(b))
		f->p->failed = true;
	program_add(f->p, f->ns, ITEM_CHAIN, key, buf_str(b));
	buf_clear(b);
}

void emit_eni_link(const struct s_eni *e, struct program *p)
{
	program_addf(p, e->vpc->ns, ITEM_LINK, e->router_interface,
		     "index %u peer %s peer-ns %s peer-index %u mac %s peer-mac %s mtu %d "
		     "alias %s proxy_delay 0 peer-alias %s",
		     e->router_index, e->device, e->ns, e->index, e->router_mac, e->mac,
		     MUTANT("vpc-mtu") ? MTU_INTERNET : MTU_VPC, e->o.id, e->o.id);
}

void emit_uplink(const struct s_eni *e, unsigned mtu, struct program *p)
{
	const char *gateway;
	char key[80], source[32] = "", limit[16] = "";
	size_t i;

	emit_eni_link(e, p);
	for (i = 0; i < e->n_private_ips; i++) {
		(void)fmt_print(key, sizeof(key), "%s %s/32", e->device,
				addr_str(&e->private_ips[i]));
		program_add(p, e->ns, ITEM_ADDR, key, "");
	}
	gateway = addr_str(&e->subnet->router);
	(void)fmt_print(key, sizeof(key), "%s %s", e->device, gateway);
	program_addf(p, e->ns, ITEM_NEIGH, key, "lladdr %s", e->router_mac);
	if (mtu)
		(void)fmt_print(limit, sizeof(limit), " mtu %u", mtu);
	if (e->n_private_ips > 1)
		(void)fmt_print(source, sizeof(source), " src %s", addr_str(&e->private_ips[0]));
	program_addf(p, e->ns, ITEM_ROUTE, "254 0.0.0.0/0", "via %s dev %s onlink%s%s", gateway,
		     e->device, source, limit);
}

const char *emit_drop(enum reach_drop_number n)
{
	return reach_drop(n)->chain;
}

/* the first rules may not match (a fragment has no ports, a set may be full); the
 * last always drops */
void emit_drop_chain(const struct emit *f, enum reach_drop_number n, const char *first)
{
	const struct reach_drop *d = reach_drop(n);
	auto_buf struct buf b = BUF_INIT;

	emit_chain(&b, "");
	if (first)
		emit_rule(&b, "%s", first);
	emit_rule(&b, "update @drops { 0x%02x . %s counter }", d->number, d->field);
	emit_rule(&b,
		  "update @notes { 0x%02x . %s . ip saddr . ip daddr . meta l4proto . "
		  "th ports timeout 30s }",
		  d->number, d->field);
	emit_rule(&b, "drop comment \"%s, %s\"", d->code, d->direction);
	emit_chain_end(f, d->chain, &b);
}

void emit_drop_sets(const struct emit *f)
{
	emit_set(f, "drops", "type mark . ifname; flags dynamic; size 65536; counter;");
	emit_set(f, "notes",
		 "type mark . ifname . ipv4_addr . ipv4_addr . inet_proto . mark; "
		 "flags dynamic,timeout; size 65536;");
}

void emit_drop_chains(const struct emit *f, const enum reach_drop_number *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		emit_drop_chain(f, numbers[i], NULL);
}

void emit_list_add(struct buf *b, const char *item)
{
	buf_printf(b, "%s%s", b->len ? ", " : "", item);
}

const char *emit_list_end(struct buf *b)
{
	auto_buf struct buf one = BUF_INIT;

	/* a list of one is that one, also to nft(8) */
	if (!strchr(buf_str(b), ','))
		return buf_str(b);
	buf_adds(&one, buf_str(b));
	buf_clear(b);
	buf_printf(b, "{ %s }", buf_str(&one));
	if (buf_error(&one))
		b->failed = true;
	return buf_str(b);
}
