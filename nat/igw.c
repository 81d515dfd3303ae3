/* SPDX-License-Identifier: MIT */
/*
 * igw - see igw.h.  The chains, in a packet's order:
 *
 *	from_igw	prerouting, from the link: only to a public address that
 *			somebody has, from no address that the internet hasn't
 *	pre_nat		public -> private
 *	gateway		forward, to the link, after the sender's groups and list
 *	post_nat	private -> public
 *	post_guard	what tracking found invalid wasn't translated and ends here
 */
#include "nat/igw.h"

#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"

static void link_items(const struct s_vpc *v, struct program *p)
{
	char key[80];

	program_addf(p, v->ns, ITEM_LINK, "igw",
		     "index %d peer %s peer-ns internet peer-index %u mac %s peer-mac %s mtu %d "
		     "alias %s proxy_arp 0 peer-alias %s",
		     STORE_INDEX, v->igw_link, v->igw_index, v->igw_mac, v->internet_mac,
		     MUTANT("gateway-mtu") ? MTU_VPC : MTU_INTERNET, v->igw.id, v->igw.id);
	program_addf(p, v->ns, ITEM_NEIGH, "igw " GATEWAY_INTERNET, "lladdr %s", v->internet_mac);
	(void)fmt_print(key, sizeof(key), "%s " GATEWAY_ROUTER, v->igw_link);
	program_addf(p, "internet", ITEM_NEIGH, key, "lladdr %s", v->igw_mac);
}

static void address_items(const struct s_vpc *v, const struct s_eni *e, size_t i,
			  const struct emit *f)
{
	const char *public = addr_str(eni_public_ip(e, i));
	const char *private = addr_str(&e->private_ips[i]);
	char key[80];

	(void)fmt_print(key, sizeof(key), "254 %s/32", public);
	program_addf(f->p, "internet", ITEM_ROUTE, key, "via " GATEWAY_ROUTER " dev %s onlink",
		     v->igw_link);
	emit_elem(f, "eips", "", "%s", public);
	emit_elem(f, "eip_priv", "", "%s", private);
	if (MUTANT("gateway-map"))
		return;
	emit_elem(f, "eip_dnat", private, "%s", public);
	emit_elem(f, "eip_snat", public, "%s", private);
}

/* of what is attached: else there is nobody to reach */
static void eni_addresses(const struct s_vpc *v, const struct s_eni *e, const struct emit *f)
{
	size_t i;

	for (i = 0; e->ns && i < e->n_private_ips; i++)
		if (addr_is_set(eni_public_ip(e, i)) && !(i && MUTANT("secondary-public")))
			address_items(v, e, i, f);
}

static void from_igw(const struct s_vpc *v, unsigned mark, const struct emit *f, struct buf *b)
{
	static const char *const bogons[] = { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
					      "224.0.0.0/3" };
	static const char *const rfc1918[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" };
	const struct prefix *block;
	size_t i;

	emit_chain(b, "");
	emit_rule(b, "meta mark set 0x%x comment \"from a gateway: %s, no subnet\"", mark,
		  v->def->edge_route_table ? "its own table" : "no table");
	if (!MUTANT("gateway-owner"))
		emit_rule(b, "ip daddr != @eips goto %s comment \"%s: nobody's public address\"",
			  emit_drop(DROP_IGW_NOBODY), v->igw.id);
	for (i = 0; i < 3 && !MUTANT("gateway-private"); i++)
		emit_rule(b, "ip saddr %s goto %s comment \"%s\"", rfc1918[i],
			  emit_drop(DROP_IGW_FROM_RFC1918), v->igw.id);
	emit_rule(b, "ip saddr 100.64.0.0/10 goto %s comment \"%s\"",
		  emit_drop(DROP_IGW_FROM_RFC6598), v->igw.id);
	for (i = 0; i < 4; i++)
		emit_rule(b, "ip saddr %s goto %s comment \"%s\"", bogons[i],
			  emit_drop(DROP_GATEWAY_SPOOFED), v->igw.id);
	for (i = 0; (block = vpc_cidr(v->def, i)) && !MUTANT("gateway-spoofed") &&
		    !(i && MUTANT("secondary-spoof"));
	     i++)
		emit_rule(b, "ip saddr %s goto %s comment \"%s: an address of %s\"",
			  prefix_str(block), emit_drop(DROP_GATEWAY_SPOOFED), v->igw.id, v->o.id);
	emit_rule(b, "ct zone set 1");
	emit_rule(b, "accept");
	emit_chain_end(f, "from_igw", b);
}

static void to_igw(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	static const char *const rfc1918[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" };
	size_t i;

	/* after the sender's groups (-20) and its subnet's list (-15), as on AWS:
	 * what they drop is theirs */
	emit_chain(b, "type filter hook forward priority -13; policy accept;");
	for (i = 0; i < 3 && !MUTANT("gateway-private"); i++)
		emit_rule(b, "oifname \"igw\" ip daddr %s goto %s comment \"%s\"", rfc1918[i],
			  emit_drop(DROP_IGW_TO_RFC1918), v->igw.id);
	if (!MUTANT("cells-igw-shared"))
		emit_rule(b, "oifname \"igw\" ip daddr 100.64.0.0/10 goto %s comment \"%s\"",
			  emit_drop(DROP_IGW_TO_RFC6598), v->igw.id);
	if (!MUTANT("gateway-egress"))
		emit_rule(b,
			  "oifname \"igw\" ip saddr != @eip_priv goto %s "
			  "comment \"%s: no public address\"",
			  emit_drop(DROP_IGW_NO_PUBLIC_IP), v->igw.id);
	emit_chain_end(f, "gateway", b);
}

static void translation(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	emit_chain(b, "type nat hook prerouting priority -100; policy accept;");
	emit_rule(b, "iifname \"igw\" dnat to ip daddr map @eip_dnat comment \"%s\"", v->igw.id);
	emit_chain_end(f, "pre_nat", b);
	emit_chain(b, "type nat hook postrouting priority 100; policy accept;");
	emit_rule(b, "oifname \"igw\" snat to ip saddr map @eip_snat comment \"%s\"", v->igw.id);
	emit_chain_end(f, "post_nat", b);
	emit_chain(b, "type filter hook postrouting priority 300; policy accept;");
	emit_rule(b, "oifname \"igw\" ip saddr != @eips drop comment \"%s: not translated\"",
		  v->igw.id);
	emit_chain_end(f, "post_guard", b);
}

void igw_compile(const struct s_vpc *v, unsigned mark, const struct emit *f)
{
	static const enum reach_drop_number drops[] = {
		DROP_IGW_NOBODY,       DROP_IGW_FROM_RFC1918, DROP_IGW_FROM_RFC6598,
		DROP_GATEWAY_SPOOFED,  DROP_IGW_TO_RFC1918,   DROP_IGW_TO_RFC6598,
		DROP_IGW_NO_PUBLIC_IP,
	};
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	if (!v->igw.id)
		return;
	link_items(v, f->p);
	emit_set(f, "eips", "type ipv4_addr;");
	emit_set(f, "eip_priv", "type ipv4_addr;");
	emit_set(f, "eip_dnat", "type ipv4_addr : ipv4_addr;");
	emit_set(f, "eip_snat", "type ipv4_addr : ipv4_addr;");
	for (i = 0; i < v->n_enis; i++)
		eni_addresses(v, v->enis[i], f);
	emit_drop_chains(f, drops, sizeof(drops) / sizeof(drops[0]));
	from_igw(v, mark, f, &b);
	to_igw(v, f, &b);
	translation(v, f, &b);
}
