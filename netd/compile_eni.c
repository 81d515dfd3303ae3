/* SPDX-License-Identifier: MIT */
/*
 * compile_eni - interfaces of instances, as the instance's own kernel sees them.
 *
 * One interface is what any host has: an address, its subnet, a way out.  With several,
 * the main table still decides where the node's own packets go: to the subnet of an
 * interface by it, all else by eth0.  What is answered must leave where it came in,
 * or its source isn't the interface's and dies there; so each address has a rule, as
 * AWS's own systems set it up, that leads what bears it to a table of its interface.
 *
 * Secondary addresses are /32: the kernel then takes the primary one for what the node
 * sends, whatever the order in which they came.
 */
#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "nat/emit.h"
#include "netd/compile.h"

#define DEVICE_TABLE 10000 /* + device index */
#define ADDRESS_RULE 1000  /* + 100 * device index + which of its addresses */

static void device(const struct s_instance *in, const struct s_eni *e, struct program *p)
{
	char key[80];
	size_t i;

	for (i = 0; i < e->n_private_ips; i++) {
		(void)fmt_print(key, sizeof(key), "%s %s/%u", e->device,
				addr_str(&e->private_ips[i]),
				i ? 32U : e->subnet->def->cidr_block.len);
		program_add(p, in->ns, ITEM_ADDR, key, "");
	}
	if (!e->device_index)
		program_addf(p, in->ns, ITEM_ROUTE, "254 0.0.0.0/0", "via %s dev %s onlink",
			     addr_str(&e->subnet->router), e->device);
}

static void own_table(const struct s_instance *in, const struct s_eni *e, struct program *p)
{
	unsigned table = DEVICE_TABLE + e->device_index;
	char key[80];
	size_t i;

	(void)fmt_print(key, sizeof(key), "%u 0.0.0.0/0", table);
	program_addf(p, in->ns, ITEM_ROUTE, key, "via %s dev %s onlink",
		     addr_str(&e->subnet->router), e->device);
	(void)fmt_print(key, sizeof(key), "%u %s", table, prefix_str(&e->subnet->def->cidr_block));
	program_addf(p, in->ns, ITEM_ROUTE, key, "dev %s scope link", e->device);
	for (i = 0; i < e->n_private_ips; i++) {
		(void)fmt_print(key, sizeof(key), "%zu",
				ADDRESS_RULE + 100 * (size_t)e->device_index + i);
		program_addf(p, in->ns, ITEM_RULE, key, "from %s lookup %u",
			     addr_str(&e->private_ips[i]), table);
	}
}

void compile_devices(const struct s_instance *in, struct program *p)
{
	size_t i;

	for (i = 0; i < in->n_enis; i++)
		device(in, in->enis[i], p);
	if (in->n_enis < 2 || MUTANT("address-rules"))
		return;
	for (i = 0; i < in->n_enis; i++)
		own_table(in, in->enis[i], p);
}
