/* SPDX-License-Identifier: MIT */
/*
 * nl_build - from items to rtnetlink messages: the words of a value are read by
 * the nl_parse_*() functions, which know every word or refuse, and libnl-route
 * puts them into messages.  nl.c sends them.
 *
 * A link's messages, in order: create (both ends, in their final namespaces),
 * settings, proxy_delay, up.  Settings can't be had at creation: the kernel
 * ignores IFLA_AF_SPEC and IFLA_IFALIAS there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>

#include "lib/nl_internal.h"
#include "lib/util.h"

#define WORD_MAX 256

static void addr_unref(struct nl_addr **a)
{
	nl_addr_put(*a);
}
#define auto_addr __attribute__((cleanup(addr_unref)))

/* ---- words ---- */

/* the next word of "*s"; false at the end or if it is too long */
static bool next_word(const char **s, char ret[WORD_MAX])
{
	size_t len;

	*s += strspn(*s, " ");
	len = strcspn(*s, " ");
	if (!len || len >= WORD_MAX)
		return false;
	memcpy(ret, *s, len);
	ret[len] = '\0';
	*s += len;
	return true;
}

static bool at_end(const char *s)
{
	return !s[strspn(s, " ")];
}

static int word_to(const char *w, char *ret, size_t size)
{
	if (strlen(w) >= size)
		return -EINVAL;
	strcpy(ret, w);
	return 0;
}

static int parse_num(const char *w, unsigned long max, uint32_t *ret)
{
	bool hex = !strncmp(w, "0x", 2);
	const char *digits = hex ? w + 2 : w;
	unsigned long v;
	char *end;

	if (!*digits ||
	    strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return -EINVAL;
	errno = 0;
	v = strtoul(digits, &end, hex ? 16 : 10);
	if (errno || v > max)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int parse_mac(const char *w, uint8_t ret[6])
{
	static const char hex[] = "0123456789abcdef";
	int i;

	if (strlen(w) != 17)
		return -EINVAL;
	for (i = 0; i < 6; i++) {
		const char *hi = strchr(hex, w[3 * i] | 0x20),
			   *lo = strchr(hex, w[3 * i + 1] | 0x20);

		if (!hi || !lo || !*hi || !*lo || (i < 5 && w[3 * i + 2] != ':'))
			return -EINVAL;
		ret[i] = (uint8_t)((hi - hex) << 4 | (lo - hex));
	}
	return 0;
}

static int parse_ip(const char *w, uint32_t *ret)
{
	return inet_pton(AF_INET, w, ret) == 1 ? 0 : -EINVAL;
}

/* "A/L", "A" or "default" */
static int parse_prefix(const char *w, uint32_t *ret, unsigned *ret_len)
{
	char a[WORD_MAX];
	char *slash;
	uint32_t len = 32;

	if (!strcmp(w, "default")) {
		*ret = 0;
		*ret_len = 0;
		return 0;
	}
	strcpy(a, w);
	slash = strchr(a, '/');
	if (slash) {
		*slash++ = '\0';
		if (parse_num(slash, 32, &len))
			return -EINVAL;
	}
	*ret_len = len;
	return parse_ip(a, ret);
}

/* ---- values ---- */

static int link_word(struct nl_link *l, const char *name, const char *w)
{
	uint32_t v;

	if (!strcmp(name, "index"))
		return parse_num(w, INT32_MAX, &l->index);
	if (!strcmp(name, "peer"))
		return word_to(w, l->peer, sizeof(l->peer));
	if (!strcmp(name, "peer-ns"))
		return word_to(w, l->peer_ns, sizeof(l->peer_ns));
	if (!strcmp(name, "peer-index"))
		return parse_num(w, INT32_MAX, &l->peer_index);
	if (!strcmp(name, "mtu"))
		return parse_num(w, 65535, &l->mtu);
	if (!strcmp(name, "alias"))
		return word_to(w, l->alias, sizeof(l->alias));
	if (!strcmp(name, "peer-alias"))
		return word_to(w, l->peer_alias, sizeof(l->peer_alias));
	if (!strcmp(name, "mac")) {
		l->has_mac = true;
		return parse_mac(w, l->mac);
	}
	if (!strcmp(name, "peer-mac")) {
		l->has_peer_mac = true;
		return parse_mac(w, l->peer_mac);
	}
	if (!strcmp(name, "proxy_arp")) {
		int r = parse_num(w, 1, &v);

		l->proxy_arp = r ? -1 : (int)v;
		return r;
	}
	if (!strcmp(name, "proxy_delay")) {
		l->proxy_delay = true;
		return parse_num(w, 0, &v);
	}
	return -EINVAL;
}

int nl_parse_link(const char *key, const char *val, struct nl_link *ret)
{
	char name[WORD_MAX], w[WORD_MAX];
	struct nl_link l = { .proxy_arp = -1 };

	if (!*key || word_to(key, l.name, sizeof(l.name)))
		return -EINVAL;
	while (next_word(&val, name))
		if (!next_word(&val, w) || link_word(&l, name, w))
			return -EINVAL;
	if (!at_end(val) || !l.peer[0] || !l.peer_ns[0])
		return -EINVAL;
	*ret = l;
	return 0;
}

int nl_parse_addr(const char *key, const char *val, struct nl_addr4 *ret)
{
	char dev[WORD_MAX], w[WORD_MAX];
	struct nl_addr4 a = { 0 };

	if (!next_word(&key, dev) || !next_word(&key, w) || !at_end(key) || !at_end(val) ||
	    !strchr(w, '/') || word_to(dev, a.dev, sizeof(a.dev)) ||
	    parse_prefix(w, &a.addr, &a.len))
		return -EINVAL;
	*ret = a;
	return 0;
}

static int route_type(const char *w)
{
	static const struct {
		const char *name;
		int type;
	} types[] = {
		{ "blackhole", RTN_BLACKHOLE },
		{ "throw", RTN_THROW },
		{ "unreachable", RTN_UNREACHABLE },
		{ "prohibit", RTN_PROHIBIT },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, w))
			return types[i].type;
	return 0;
}

static int route_word(struct nl_route *rt, const char *name, const char **val)
{
	char w[WORD_MAX];
	int type = route_type(name);

	if (type) {
		rt->type = type;
		return 0;
	}
	if (!strcmp(name, "onlink")) {
		rt->onlink = true;
		return 0;
	}
	if (!next_word(val, w))
		return -EINVAL;
	if (!strcmp(name, "via"))
		return parse_ip(w, &rt->via);
	if (!strcmp(name, "src"))
		return parse_ip(w, &rt->src);
	if (!strcmp(name, "dev"))
		return word_to(w, rt->dev, sizeof(rt->dev));
	if (!strcmp(name, "metric"))
		return parse_num(w, UINT32_MAX, &rt->metric);
	if (!strcmp(name, "mtu"))
		return parse_num(w, UINT16_MAX, &rt->mtu);
	if (!strcmp(name, "scope") && !strcmp(w, "link")) {
		rt->scope_link = true;
		return 0;
	}
	return -EINVAL;
}

/* observed twins of one key are told apart by "#N" at its end */
static void cut_twin(char *w)
{
	w[strcspn(w, "#")] = '\0';
}

int nl_parse_route(const char *key, const char *val, struct nl_route *ret)
{
	char table[WORD_MAX], dst[WORD_MAX], name[WORD_MAX];
	struct nl_route rt = { .type = RTN_UNICAST };

	if (!next_word(&key, table) || !next_word(&key, dst) || !at_end(key))
		return -EINVAL;
	cut_twin(dst);
	if (parse_num(table, UINT32_MAX, &rt.table) || !rt.table ||
	    parse_prefix(dst, &rt.dst, &rt.len))
		return -EINVAL;
	while (next_word(&val, name))
		if (route_word(&rt, name, &val))
			return -EINVAL;
	/* a gateway or a type needs no device, anything else does */
	if (!at_end(val) || (rt.type == RTN_UNICAST && !rt.dev[0]) ||
	    (rt.type != RTN_UNICAST && (rt.dev[0] || rt.via || rt.onlink)))
		return -EINVAL;
	*ret = rt;
	return 0;
}

static int rule_mark(struct nl_rule *ru, char *w)
{
	char *slash = strchr(w, '/');

	/* without a mask the kernel takes mark 0 for "any" */
	if (!slash)
		return -EINVAL;
	*slash++ = '\0';
	ru->has_mark = true;
	return parse_num(w, UINT32_MAX, &ru->mark) || parse_num(slash, UINT32_MAX, &ru->mask) ?
		       -EINVAL :
		       0;
}

static int rule_word(struct nl_rule *ru, const char *name, const char **val)
{
	char w[WORD_MAX];

	if (!strcmp(name, "blackhole")) {
		ru->action = FR_ACT_BLACKHOLE;
		return 0;
	}
	if (!next_word(val, w))
		return -EINVAL;
	if (!strcmp(name, "iif"))
		return word_to(w, ru->iif, sizeof(ru->iif));
	if (!strcmp(name, "from"))
		return parse_ip(w, &ru->from);
	if (!strcmp(name, "fwmark"))
		return rule_mark(ru, w);
	if (!strcmp(name, "lookup")) {
		ru->action = FR_ACT_TO_TBL;
		return parse_num(w, UINT32_MAX, &ru->table);
	}
	return -EINVAL;
}

int nl_parse_rule(const char *key, const char *val, struct nl_rule *ret)
{
	char w[WORD_MAX], name[WORD_MAX];
	struct nl_rule ru = { 0 };

	if (!next_word(&key, w) || !at_end(key))
		return -EINVAL;
	cut_twin(w);
	if (parse_num(w, UINT32_MAX, &ru.pref))
		return -EINVAL;
	while (next_word(&val, name))
		if (ru.action || rule_word(&ru, name, &val))
			return -EINVAL;
	if (!at_end(val) || !ru.action || (ru.action == FR_ACT_TO_TBL && !ru.table))
		return -EINVAL;
	*ret = ru;
	return 0;
}

int nl_parse_neigh(const char *key, const char *val, struct nl_neigh *ret)
{
	char dev[WORD_MAX], a[WORD_MAX], name[WORD_MAX], mac[WORD_MAX];
	struct nl_neigh n = { 0 };

	if (!next_word(&key, dev) || !next_word(&key, a) || !at_end(key) ||
	    !next_word(&val, name) || strcmp(name, "lladdr") || !next_word(&val, mac) ||
	    !at_end(val) || word_to(dev, n.dev, sizeof(n.dev)) || parse_ip(a, &n.addr) ||
	    parse_mac(mac, n.mac))
		return -EINVAL;
	*ret = n;
	return 0;
}

/* ---- links ---- */

static int add(struct nl_build *bd, struct nl_msg *m, enum nl_tolerate t)
{
	return nl_batch_add(bd->b, m, bd->step, t);
}

static int link_set_mac(struct rtnl_link *l, const uint8_t mac[6])
{
	struct nl_addr *a = nl_addr_build(AF_LLC, mac, 6);

	if (!a)
		return -ENOMEM;
	rtnl_link_set_addr(l, a); /* takes a reference */
	nl_addr_put(a);
	return 0;
}

static int fill_end(struct rtnl_link *l, const char *name, unsigned index, unsigned mtu,
		    const uint8_t *mac)
{
	rtnl_link_set_name(l, name);
	if (index)
		rtnl_link_set_ifindex(l, (int)index);
	if (mtu)
		rtnl_link_set_mtu(l, mtu);
	/* one queue: each costs memory and time, and nobody counts packets by CPU here */
	rtnl_link_set_num_tx_queues(l, 1);
	rtnl_link_set_num_rx_queues(l, 1);
	return mac ? link_set_mac(l, mac) : 0;
}

static struct nl_msg *msg_link_add(const struct nl_link *l, int peer_fd)
{
	struct rtnl_link *v = rtnl_link_veth_alloc(), *p;
	struct nl_msg *m = NULL;

	if (!v)
		return NULL;
	p = rtnl_link_veth_get_peer(v);
	if (peer_fd >= 0)
		rtnl_link_set_ns_fd(p, peer_fd);
	if (!fill_end(v, l->name, l->index, l->mtu, l->has_mac ? l->mac : NULL) &&
	    !fill_end(p, l->peer, l->peer_index, l->mtu, l->has_peer_mac ? l->peer_mac : NULL) &&
	    rtnl_link_build_add_request(v, NLM_F_CREATE | NLM_F_EXCL, &m) < 0)
		m = NULL;
	rtnl_link_put(p);
	rtnl_link_put(v);
	return m;
}

static struct nl_msg *msg_link(unsigned index, const char *name, unsigned flags)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC,
				 .ifi_index = (int)index,
				 .ifi_flags = flags,
				 .ifi_change = flags };
	struct nl_msg *m = nlmsg_alloc_simple(RTM_SETLINK, 0);

	if (m && (nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
		  (!index && nla_put_string(m, IFLA_IFNAME, name) < 0))) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

/* IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { IPV4_DEVCONF_PROXY_ARP } } } */
static int put_proxy_arp(struct nl_msg *m, uint32_t on)
{
	struct nlattr *spec = nla_nest_start(m, IFLA_AF_SPEC);
	struct nlattr *inet = spec ? nla_nest_start(m, AF_INET) : NULL;
	struct nlattr *conf = inet ? nla_nest_start(m, IFLA_INET_CONF) : NULL;

	if (!conf || nla_put_u32(m, IPV4_DEVCONF_PROXY_ARP, on) < 0)
		return -EMSGSIZE;
	nla_nest_end(m, conf);
	nla_nest_end(m, inet);
	nla_nest_end(m, spec);
	return 0;
}

static int add_link_settings(struct nl_build *bd, const struct nl_link *l)
{
	struct nl_msg *m;

	if (l->proxy_arp < 0 && !l->alias[0])
		return 0;
	m = msg_link(l->index, l->name, 0);
	if (m && ((l->alias[0] && nla_put_string(m, IFLA_IFALIAS, l->alias) < 0) ||
		  (l->proxy_arp >= 0 && put_proxy_arp(m, (uint32_t)l->proxy_arp)))) {
		nlmsg_free(m);
		return -EMSGSIZE;
	}
	return add(bd, m, NL_STRICT);
}

/* in a namespace proxy_delay has no default: each device starts with 0.8 s */
static struct nl_msg *msg_proxy_delay(unsigned index)
{
	struct ndtmsg ndt = { .ndtm_family = AF_INET };
	struct nl_msg *m = nlmsg_alloc_simple(RTM_SETNEIGHTBL, 0);
	struct nlattr *parms;

	if (!m)
		return NULL;
	if (nlmsg_append(m, &ndt, sizeof(ndt), NLMSG_ALIGNTO) < 0 ||
	    nla_put_string(m, NDTA_NAME, "arp_cache") < 0)
		goto fail;
	parms = nla_nest_start(m, NDTA_PARMS);
	if (!parms || nla_put_u32(m, NDTPA_IFINDEX, index) < 0 ||
	    nla_put_u64(m, NDTPA_PROXY_DELAY, 0) < 0)
		goto fail;
	nla_nest_end(m, parms);
	return m;
fail:
	nlmsg_free(m);
	return NULL;
}

static int build_link(struct nl_build *bd, const struct item *it)
{
	struct nl_link l;
	int fd = -1;
	int r = nl_parse_link(it->key, it->val, &l);

	if (r || !l.index || !l.peer_index) /* fixed ones, so that a slice can name them */
		return -EINVAL;
	if (strcmp(l.peer_ns, it->ns)) {
		fd = bd->ns_fd(l.peer_ns, bd->arg);
		if (fd < 0)
			return fd;
	}
	r = add(bd, msg_link_add(&l, fd), NL_EXISTS_IF_SAME);
	if (!r)
		r = add_link_settings(bd, &l);
	if (!r && l.proxy_delay)
		r = add(bd, msg_proxy_delay(l.index), NL_STRICT);
	if (!r)
		r = add(bd, msg_link(l.index, l.name, IFF_UP), NL_STRICT);
	if (!r)
		r = nl_learn(bd->s, l.name, (int)l.index);
	nl_own_link(bd->s->ns, l.index, l.mtu, l.mac);
	return r;
}

int nl_build_peer(struct nl_batch *b, size_t step, const struct nl_link *l)
{
	struct nl_msg *m = msg_link(l->peer_index, l->peer, IFF_UP);

	if (m && l->peer_alias[0] && nla_put_string(m, IFLA_IFALIAS, l->peer_alias) < 0) {
		nlmsg_free(m);
		return -EMSGSIZE;
	}
	return nl_batch_add(b, m, step, NL_STRICT);
}

/* ---- addresses, neighbours ---- */

static struct nl_addr *addr4(uint32_t a, unsigned len)
{
	struct nl_addr *ret = nl_addr_build(AF_INET, &a, sizeof(a));

	if (ret)
		nl_addr_set_prefixlen(ret, (int)len);
	return ret;
}

/* the device of an item: its index; 0 if it is being deleted and gone already */
static int dev_index(struct nl_build *bd, const char *dev, bool del)
{
	int r = nl_index(bd->s, dev);

	return r == -ENODEV && del ? 0 : r;
}

static int build_addr(struct nl_build *bd, const struct item *it, bool del)
{
	auto_addr struct nl_addr *local = NULL;
	struct rtnl_addr *ra;
	struct nl_msg *m = NULL;
	struct nl_addr4 a;
	int idx, r = nl_parse_addr(it->key, it->val, &a);

	if (r)
		return r;
	idx = dev_index(bd, a.dev, del);
	if (idx <= 0)
		return idx;
	local = addr4(a.addr, a.len);
	ra = rtnl_addr_alloc();
	if (local && ra) {
		rtnl_addr_set_ifindex(ra, idx);
		rtnl_addr_set_local(ra, local); /* takes a reference, and the length */
		if ((del ? rtnl_addr_build_delete_request(ra, 0, &m) :
			   rtnl_addr_build_add_request(ra, NLM_F_CREATE | NLM_F_EXCL, &m)) < 0)
			m = NULL;
	}
	rtnl_addr_put(ra);
	return add(bd, m, del ? NL_GONE : NL_EXISTS);
}

static int build_neigh(struct nl_build *bd, const struct item *it, bool del)
{
	auto_addr struct nl_addr *dst = NULL, *ll = NULL;
	struct rtnl_neigh *rn;
	struct nl_msg *m = NULL;
	struct nl_neigh n;
	int idx, r = nl_parse_neigh(it->key, it->val, &n);

	if (r)
		return r;
	idx = dev_index(bd, n.dev, del);
	if (idx <= 0)
		return idx;
	dst = addr4(n.addr, 32);
	ll = nl_addr_build(AF_LLC, n.mac, 6);
	rn = rtnl_neigh_alloc();
	if (dst && ll && rn) {
		rtnl_neigh_set_family(rn, AF_INET);
		rtnl_neigh_set_ifindex(rn, idx);
		rtnl_neigh_set_dst(rn, dst);
		if (!del)
			rtnl_neigh_set_lladdr(rn, ll);
		rtnl_neigh_set_state(rn, NUD_PERMANENT);
		if ((del ? rtnl_neigh_build_delete_request(rn, 0, &m) :
			   rtnl_neigh_build_add_request(rn, NLM_F_CREATE | NLM_F_REPLACE, &m)) < 0)
			m = NULL;
	}
	if (rn)
		rtnl_neigh_put(rn);
	return add(bd, m, del ? NL_GONE : NL_STRICT);
}

/* ---- routes ---- */

static int route_nexthop(struct nl_build *bd, struct rtnl_route *r, const struct nl_route *rt)
{
	struct rtnl_nexthop *nh;
	int idx = nl_index(bd->s, rt->dev);

	if (idx < 0)
		return idx;
	nh = rtnl_route_nh_alloc();
	if (!nh)
		return -ENOMEM;
	rtnl_route_nh_set_ifindex(nh, idx);
	if (rt->via) {
		auto_addr struct nl_addr *via = addr4(rt->via, 32);

		if (!via) {
			rtnl_route_nh_free(nh);
			return -ENOMEM;
		}
		rtnl_route_nh_set_gateway(nh, via); /* takes a reference */
	}
	if (rt->onlink) {
		rtnl_route_nh_set_flags(nh, RTNH_F_ONLINK);
		rtnl_route_set_flags(r, RTNH_F_ONLINK);
	}
	rtnl_route_add_nexthop(r, nh); /* owns it */
	return 0;
}

static int fill_route(struct nl_build *bd, struct rtnl_route *r, const struct nl_route *rt,
		      bool del)
{
	auto_addr struct nl_addr *dst = addr4(rt->dst, rt->len);
	auto_addr struct nl_addr *src = NULL;

	if (!dst)
		return -ENOMEM;
	rtnl_route_set_family(r, AF_INET);
	rtnl_route_set_table(r, rt->table);
	rtnl_route_set_dst(r, dst);
	if (rt->metric)
		rtnl_route_set_priority(r, rt->metric);
	if (del) {
		/* table, destination and metric are the key: whatever is there goes */
		rtnl_route_set_scope(r, RT_SCOPE_NOWHERE);
		rtnl_route_set_type(r, RTN_UNSPEC);
		rtnl_route_set_protocol(r, RTPROT_UNSPEC);
		return 0;
	}
	rtnl_route_set_type(r, (uint8_t)rt->type);
	rtnl_route_set_protocol(r, RTPROT_BOOT);
	rtnl_route_set_scope(r, rt->scope_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	if (rt->src) {
		src = addr4(rt->src, 32);
		if (!src)
			return -ENOMEM;
		rtnl_route_set_pref_src(r, src);
	}
	if (rt->mtu && rtnl_route_set_metric(r, RTAX_MTU, rt->mtu) < 0)
		return -ENOMEM;
	return rt->type == RTN_UNICAST ? route_nexthop(bd, r, rt) : 0;
}

static int build_route(struct nl_build *bd, const struct item *it, bool del)
{
	struct rtnl_route *rr;
	struct nl_msg *m = NULL;
	struct nl_route rt;
	int r = nl_parse_route(it->key, it->val, &rt);

	if (r)
		return r;
	rr = rtnl_route_alloc();
	if (!rr)
		return -ENOMEM;
	r = fill_route(bd, rr, &rt, del);
	if (!r && (del ? rtnl_route_build_del_request(rr, 0, &m) :
			 rtnl_route_build_add_request(rr, NLM_F_CREATE | NLM_F_REPLACE, &m)) < 0)
		m = NULL;
	rtnl_route_put(rr);
	return r ? r : add(bd, m, del ? NL_GONE : NL_STRICT);
}

/* ---- rules ---- */

static int rule_from(struct rtnl_rule *r, uint32_t from)
{
	struct nl_addr *a = nl_addr_build(AF_INET, &from, sizeof(from));
	int e = a ? rtnl_rule_set_src(r, a) : -NLE_NOMEM; /* takes a reference */

	if (a)
		nl_addr_put(a);
	return e;
}

static struct nl_msg *msg_rule(const struct nl_rule *ru, bool del)
{
	struct rtnl_rule *r = rtnl_rule_alloc();
	struct nl_msg *m = NULL;

	if (!r)
		return NULL;
	rtnl_rule_set_family(r, AF_INET);
	rtnl_rule_set_prio(r, ru->pref);
	rtnl_rule_set_action(r, (uint8_t)ru->action);
	if (ru->table)
		rtnl_rule_set_table(r, ru->table);
	if (ru->has_mark) {
		rtnl_rule_set_mark(r, ru->mark);
		rtnl_rule_set_mask(r, ru->mask);
	}
	if ((!ru->iif[0] || !rtnl_rule_set_iif(r, ru->iif)) &&
	    (!ru->from || !rule_from(r, ru->from)) &&
	    (del ? rtnl_rule_build_delete_request(r, 0, &m) :
		   rtnl_rule_build_add_request(r, NLM_F_CREATE | NLM_F_EXCL, &m)) < 0)
		m = NULL;
	rtnl_rule_put(r);
	return m;
}

static int build_rule(struct nl_build *bd, const struct item *it, bool del)
{
	struct nl_rule ru;
	int r = nl_parse_rule(it->key, it->val, &ru);

	return r ? r : add(bd, msg_rule(&ru, del), del ? NL_GONE : NL_EXISTS);
}

int nl_rules_none(struct nl *s, struct err *e)
{
	static const struct nl_rule stock[] = {
		{ .pref = 32766, .action = FR_ACT_TO_TBL, .table = RT_TABLE_MAIN },
		{ .pref = 32767, .action = FR_ACT_TO_TBL, .table = RT_TABLE_DEFAULT },
	};
	struct nl_batch *b = calloc(1, sizeof(*b));
	size_t i;
	int r = b ? 0 : -ENOMEM;

	for (i = 0; !r && i < ARRAY_SIZE(stock); i++)
		r = nl_batch_add(b, msg_rule(&stock[i], true), i, NL_GONE);
	if (!r)
		r = nl_batch_send(s, b);
	for (i = 0; !r && i < ARRAY_SIZE(stock); i++)
		r = b->slot[i].err;
	if (b)
		nl_batch_clear(b);
	free(b);
	return r ? err_set(e, ERR_KERNEL, -r, "stock rules: %s", strerror(-r)) : 0;
}

/* ---- steps ---- */

static int build_item(struct nl_build *bd, const struct item *it, bool del)
{
	switch (it->kind) {
	case ITEM_LINK:
		return del ? -EINVAL : build_link(bd, it);
	case ITEM_ADDR:
		return build_addr(bd, it, del);
	case ITEM_ROUTE:
		return build_route(bd, it, del);
	case ITEM_RULE:
		return build_rule(bd, it, del);
	case ITEM_NEIGH:
		return build_neigh(bd, it, del);
	case ITEM_NS:
	case ITEM_TABLE:
	case ITEM_SET:
	case ITEM_CHAIN:
	case ITEM_ELEM:
	case ITEM_SOCK:
	case ITEM_N_KINDS:
	default:
		return -EINVAL;
	}
}

int nl_build_step(struct nl_build *bd, const struct step *st, struct err *e)
{
	const struct item *it = st->op == STEP_DEL ? st->old : st->new;
	size_t n = bd->b->n;
	int r = build_item(bd, it, st->op == STEP_DEL);

	/* the new rule first: in between both hold, never neither */
	if (!r && st->op == STEP_REPLACE && it->kind == ITEM_RULE)
		r = build_item(bd, st->old, true);
	if (!r)
		return 0;
	/* nothing of a step that can't be built whole is sent */
	while (bd->b->n > n)
		nlmsg_free(bd->b->slot[--bd->b->n].msg);
	return err_set(e, r == -ENOMEM ? ERR_INTERNAL : ERR_KERNEL, -r,
		       "%s: %s \"%.80s\": \"%.150s\": %s", it->ns, item_kind_name(it->kind),
		       it->key, it->val, strerror(-r));
}
