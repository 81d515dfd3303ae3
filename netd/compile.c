/* SPDX-License-Identifier: MIT */
/*
 * compile - see compile.h: the whole, and the namespaces of nodes.
 */
#include "netd/compile.h"

#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "nat/egress.h"
#include "nat/emit.h"
#include "nat/natgw.h"

/* ---- nodes ---- */

static void sockets(const char *ns, const char *node, const struct programs *pr, struct program *p)
{
	char key[64];
	size_t i;

	for (i = 0; i < pr->n_serve; i++) {
		const struct port *port = &pr->serve[i];

		(void)fmt_print(key, sizeof(key), "%s 0.0.0.0 %u",
				port->proto == IPPROTO_UDP ? "udp" : "tcp", port->port);
		program_addf(p, ns, ITEM_SOCK, key, "%s %s", port->http ? "http" : "serve", node);
	}
}

/* an instance that masquerades (nat_instance) does so by itself, as one would set
 * it up by hand */
static void masquerade(const struct s_instance *in, struct program *p)
{
	struct emit f = { p, in->ns, "ip nat_instance" };
	const char *ip = addr_str(&in->eni->private_ips[0]);
	auto_buf struct buf b = BUF_INIT;

	emit_table(&f);
	emit_chain(&b, "type nat hook postrouting priority 100; policy accept;");
	if (!MUTANT("nat-instance"))
		emit_rule(&b, "oifname \"eth0\" ip saddr != %s snat to %s comment \"%s\"", ip, ip,
			  in->o.id);
	emit_chain_end(&f, "post", &b);
}

static void instance(const struct s_instance *in, struct program *p)
{
	bool forwards = in->def->forward || in->def->nat_instance;

	program_addf(p, in->ns, ITEM_NS, "", "role node\n%s", forwards ? EMIT_FORWARDS : EMIT_NODE);
	compile_devices(in, p);
	if (in->def->nat_instance)
		masquerade(in, p);
	sockets(in->ns, in->def->name, &in->def->programs, p);
}

void compile_nodes(const struct store *s, struct program *p)
{
	size_t v, i;

	for (v = 0; v < s->n_vpcs; v++)
		for (i = 0; i < s->vpcs[v].n_instances; i++)
			instance(&s->vpcs[v].instances[i], p);
	for (i = 0; i < s->n_hosts; i++)
		sockets(s->hosts[i].ns, s->hosts[i].def->name, &s->hosts[i].def->programs, p);
}

/* ---- the whole ---- */

static int seal(struct program *p, struct program *ret, struct err *e)
{
	int r = program_seal(p, e);

	if (r) {
		program_done(p);
		return r;
	}
	*ret = *p;
	return 0;
}

int compile(const struct store *s, struct program *ret, struct err *e)
{
	struct program p;
	size_t v, i;

	program_init(&p);
	compile_internet(s, &p);
	for (v = 0; v < s->n_vpcs; v++) {
		compile_router(&s->vpcs[v], &p);
		compile_flows(s, &s->vpcs[v], &p);
		for (i = 0; i < s->vpcs[v].n_nats; i++)
			natgw_compile(s, &s->vpcs[v].nats[i], &p);
	}
	for (i = 0; i < s->n_egresses; i++)
		egress_compile(s->egresses[i], &p);
	compile_nodes(s, &p);
	return seal(&p, ret, e);
}

int compile_place(const struct s_egress *g, const struct s_place *pl, struct program *ret,
		  struct err *e)
{
	struct program p;

	program_init(&p);
	egress_compile_place(g, pl, &p);
	return seal(&p, ret, e);
}

int compile_edit(const struct store *s, const struct edit *x, struct program *ret, struct err *e)
{
	const struct s_vpc *v = store_vpc_of(s, edit_vpc(x));
	const void *def = edit_object(x);
	struct program p;

	program_init(&p);
	switch (edit_kind(x)) {
	case EDIT_GROUP:
		compile_group_items(store_group_of(s, def), &p);
		break;
	case EDIT_ACL:
		compile_acl_items(store_acl_of(v, def), &p);
		break;
	case EDIT_TABLE:
		compile_table_items(store_table_of(v, def), &p);
		break;
	case EDIT_N_KINDS:
		break;
	}
	return seal(&p, ret, e);
}
