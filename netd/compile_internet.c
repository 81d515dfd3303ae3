/* SPDX-License-Identifier: MIT */
/*
 * compile_internet - the lab's internet: a namespace that routes between gateways,
 * the service and hosts, each host in a namespace of its own, with no way out to
 * the real one.
 */
#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "nat/emit.h"
#include "netd/compile.h"

static void host_items(const struct s_host *h, struct program *p)
{
	const char *ip = addr_str(&h->def->ip);
	char key[80];

	program_addf(p, "internet", ITEM_LINK, h->link,
		     "index %u peer eth0 peer-ns %s peer-index %d mac %s peer-mac %s mtu %d "
		     "alias %s peer-alias %s",
		     h->router_index, h->ns, STORE_INDEX, h->router_mac, h->mac, MTU_INTERNET,
		     h->o.id, h->o.id);
	(void)fmt_print(key, sizeof(key), "%s " GATEWAY_ROUTER, h->link);
	program_addf(p, "internet", ITEM_NEIGH, key, "lladdr %s", h->mac);
	(void)fmt_print(key, sizeof(key), "254 %s/32", ip);
	program_addf(p, "internet", ITEM_ROUTE, key, "via " GATEWAY_ROUTER " dev %s onlink",
		     h->link);

	program_add(p, h->ns, ITEM_NS, "", "role node\n" EMIT_NODE);
	(void)fmt_print(key, sizeof(key), "eth0 %s/32", ip);
	program_add(p, h->ns, ITEM_ADDR, key, "");
	program_addf(p, h->ns, ITEM_NEIGH, "eth0 " GATEWAY_INTERNET, "lladdr %s", h->router_mac);
	program_add(p, h->ns, ITEM_ROUTE, "254 0.0.0.0/0",
		    "via " GATEWAY_INTERNET " dev eth0 onlink");
}

static void api_items(const struct store *s, struct program *p)
{
	char key[40];

	(void)fmt_print(key, sizeof(key), "lo %s/32", addr_str(&s->api));
	program_add(p, "internet", ITEM_ADDR, key, "");
}

static void chains(const struct store *s, const struct emit *f, struct buf *b)
{
	const char *api = addr_is_set(&s->api) ? addr_str(&s->api) : NULL;

	emit_chain(b, "type filter hook prerouting priority -300; policy accept;");
	emit_rule(b, "meta pkttype != host drop");
	if (!MUTANT("cells-internet-lost"))
		emit_rule(b,
			  "fib daddr . mark oif missing fib daddr type != local goto %s "
			  "comment \"nobody's address\"",
			  emit_drop(DROP_UNKNOWN_DESTINATION));
	emit_chain_end(f, "pre", b);
	emit_chain(b, "type filter hook input priority 0; policy drop;");
	emit_rule(b, "iifname \"lo\" accept");
	if (api)
		emit_rule(b, "ip daddr %s meta l4proto tcp accept comment \"%s\"", api,
			  s->api_name);
	emit_chain_end(f, "in", b);
	if (MUTANT("output-policy")) {
		emit_chain(b, "type filter hook output priority 0; policy accept;");
	} else {
		emit_chain(b, "type filter hook output priority 0; policy drop;");
		emit_rule(b, "oifname \"lo\" accept");
		if (api)
			emit_rule(b, "ip saddr %s meta l4proto tcp accept", api);
	}
	emit_chain_end(f, "out", b);
}

void compile_internet(const struct store *s, struct program *p)
{
	static const enum reach_drop_number drops[] = { DROP_UNKNOWN_DESTINATION };
	struct emit f = { p, "internet", "ip internet" };
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	program_add(p, "internet", ITEM_NS, "", "role internet\n" EMIT_FORWARDS "\nrules none");
	emit_edge_rules("internet", p);
	emit_table(&f);
	emit_drop_sets(&f);
	emit_drop_chains(&f, drops, ARRAY_SIZE(drops));
	chains(s, &f, &b);
	if (addr_is_set(&s->api))
		api_items(s, p);
	for (i = 0; i < s->n_hosts; i++)
		host_items(&s->hosts[i], p);
}
