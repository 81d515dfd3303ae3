/* SPDX-License-Identifier: MIT */
/*
 * nl_observe - a namespace dumped back into items, in the words that nl_build
 * reads, so that a difference between both is a difference in the kernel.
 *
 * Two objects may have one key here though never in a program (two rules of one
 * preference, say, the second made by hand): the later ones get "#2", "#3" behind
 * the key, and a step that deletes such an item finds its object by the value.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "lib/nl_internal.h"
#include "lib/util.h"

#define TABLE_MAX 65535

struct observe {
	struct nl *s;
	const char *ns;
	struct program part; /* of the dump under way */
};

static const char *ip_str(uint32_t a, char ret[INET_ADDRSTRLEN])
{
	inet_ntop(AF_INET, &a, ret, INET_ADDRSTRLEN);
	return ret;
}

static void mac_str(const void *mac, char ret[18])
{
	const uint8_t *m = mac;

	snprintf(ret, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* ---- links ---- */

static bool is_veth(struct nlattr *info)
{
	struct nlattr *tb[IFLA_INFO_MAX + 1];

	if (!info || nla_parse_nested(tb, IFLA_INFO_MAX, info, NULL) < 0)
		return false;
	return tb[IFLA_INFO_KIND] && !nla_strcmp(tb[IFLA_INFO_KIND], "veth");
}

static void link_val(struct buf *b, const struct ifinfomsg *ifi, struct nlattr **tb)
{
	char mac[18] = "";

	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == 6)
		mac_str(nla_data(tb[IFLA_ADDRESS]), mac);
	buf_printf(b, "index %d mac %s mtu %u", ifi->ifi_index, mac,
		   tb[IFLA_MTU] ? nla_get_u32(tb[IFLA_MTU]) : 0);
	if (tb[IFLA_IFALIAS])
		buf_printf(b, " alias %s", nla_get_string(tb[IFLA_IFALIAS]));
	buf_printf(b, " up %d peer-index %u", !!(ifi->ifi_flags & IFF_UP),
		   tb[IFLA_LINK] ? nla_get_u32(tb[IFLA_LINK]) : 0);
}

static int link_cb(struct nlmsghdr *h, void *arg)
{
	struct observe *o = arg;
	struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1];
	auto_buf struct buf b = BUF_INIT;
	int r;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (nlmsg_parse(h, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;
	r = nl_learn(o->s, nla_get_string(tb[IFLA_IFNAME]), ifi->ifi_index);
	if (r || !is_veth(tb[IFLA_LINKINFO]))
		return r;
	link_val(&b, ifi, tb);
	program_add(&o->part, o->ns, ITEM_LINK, nla_get_string(tb[IFLA_IFNAME]), buf_str(&b));
	return buf_error(&b);
}

static int one_link_cb(struct nlmsghdr *h, void *arg)
{
	struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1];

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (nlmsg_parse(h, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0)
		return -EBADMSG;
	if (!is_veth(tb[IFLA_LINKINFO]))
		return -ENODEV;
	link_val(arg, ifi, tb);
	return 0;
}

int nl_observe_link(struct nl *s, const char *name, struct buf *ret)
{
	return nl_request(s, nl_msg_link_by_name(RTM_GETLINK, 0, name), one_link_cb, NULL, ret);
}

static bool same_arg(const char *a, const char *b, const char *name)
{
	char x[256] = "", y[256] = "";

	(void)item_arg(a, name, x, sizeof(x)); /* absent is "" */
	(void)item_arg(b, name, y, sizeof(y));
	return !strcmp(x, y);
}

bool nl_link_same(const char *observed_val, const char *program_val)
{
	/* the alias isn't here: it is set again by whoever finds the link */
	static const char *const names[] = { "index", "mac", "mtu", "peer-index" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!same_arg(observed_val, program_val, names[i]))
			return false;
	return true;
}

bool nl_link_matches(const char *observed_val, const char *program_val)
{
	char up[8] = "1";

	(void)item_arg(observed_val, "up", up, sizeof(up));
	return !strcmp(up, "1") && same_arg(observed_val, program_val, "alias") &&
	       nl_link_same(observed_val, program_val);
}

/* ---- addresses ---- */

static int addr_cb(struct nlmsghdr *h, void *arg)
{
	struct observe *o = arg;
	struct ifaddrmsg *ifa = nlmsg_data(h);
	struct nlattr *tb[IFA_MAX + 1];
	char a[INET_ADDRSTRLEN], key[64];
	const char *dev;
	uint32_t ip;

	if (h->nlmsg_type != RTM_NEWADDR || ifa->ifa_family != AF_INET)
		return 0;
	if (nlmsg_parse(h, sizeof(*ifa), tb, IFA_MAX, NULL) < 0 || !tb[IFA_LOCAL])
		return -EBADMSG;
	dev = nl_name_of(o->s, (int)ifa->ifa_index);
	ip = nla_get_u32(tb[IFA_LOCAL]);
	if (!dev || (!strcmp(dev, "lo") && ntohl(ip) >> 24 == 127))
		return 0;
	snprintf(key, sizeof(key), "%s %s/%u", dev, ip_str(ip, a), ifa->ifa_prefixlen);
	program_add(&o->part, o->ns, ITEM_ADDR, key, "");
	return 0;
}

/* ---- routes ---- */

static const char *route_type_name(unsigned type)
{
	switch (type) {
	case RTN_BLACKHOLE:
		return "blackhole";
	case RTN_THROW:
		return "throw";
	case RTN_UNREACHABLE:
		return "unreachable";
	case RTN_PROHIBIT:
		return "prohibit";
	default:
		return NULL;
	}
}

/* other metrics are nobody's of ours: named, so that the route differs */
static void route_metrics(struct buf *b, struct nlattr *nest)
{
	struct nlattr *tb[RTAX_MAX + 1];
	int i;

	if (!nest || nla_parse_nested(tb, RTAX_MAX, nest, NULL) < 0)
		return;
	for (i = 1; i <= RTAX_MAX; i++)
		if (tb[i] && i == RTAX_MTU)
			buf_printf(b, " mtu %u", nla_get_u32(tb[i]));
		else if (tb[i])
			buf_printf(b, " metrics %d", i);
}

static void route_val(struct observe *o, struct buf *b, const struct rtmsg *rt, struct nlattr **tb)
{
	const char *type = route_type_name(rt->rtm_type);
	char a[INET_ADDRSTRLEN];

	if (type) {
		buf_adds(b, type);
	} else if (tb[RTA_OIF]) {
		const char *dev = nl_name_of(o->s, (int)nla_get_u32(tb[RTA_OIF]));

		if (tb[RTA_GATEWAY])
			buf_printf(b, "via %s ", ip_str(nla_get_u32(tb[RTA_GATEWAY]), a));
		buf_printf(b, "dev %s", dev ? dev : "?");
		if (rt->rtm_flags & RTNH_F_ONLINK)
			buf_adds(b, " onlink");
		if (rt->rtm_scope == RT_SCOPE_LINK)
			buf_adds(b, " scope link");
	} else {
		buf_printf(b, "type %u", rt->rtm_type); /* multipath, say: never ours */
	}
	if (tb[RTA_PREFSRC])
		buf_printf(b, " src %s", ip_str(nla_get_u32(tb[RTA_PREFSRC]), a));
	if (tb[RTA_PRIORITY])
		buf_printf(b, " metric %u", nla_get_u32(tb[RTA_PRIORITY]));
	route_metrics(b, tb[RTA_METRICS]);
}

static int route_cb(struct nlmsghdr *h, void *arg)
{
	struct observe *o = arg;
	struct rtmsg *rt = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1];
	auto_buf struct buf b = BUF_INIT;
	char a[INET_ADDRSTRLEN];
	char key[64];
	uint32_t table, dst;

	if (h->nlmsg_type != RTM_NEWROUTE || rt->rtm_family != AF_INET)
		return 0;
	if (nlmsg_parse(h, sizeof(*rt), tb, RTA_MAX, NULL) < 0)
		return -EBADMSG;
	table = tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : rt->rtm_table;
	if (table == RT_TABLE_LOCAL || table > TABLE_MAX || rt->rtm_protocol == RTPROT_KERNEL ||
	    (rt->rtm_flags & RTM_F_CLONED))
		return 0;
	dst = tb[RTA_DST] ? nla_get_u32(tb[RTA_DST]) : 0;
	snprintf(key, sizeof(key), "%u %s/%u", table, ip_str(dst, a), rt->rtm_dst_len);
	route_val(o, &b, rt, tb);
	program_add(&o->part, o->ns, ITEM_ROUTE, key, buf_str(&b));
	return buf_error(&b);
}

/* ---- rules ---- */

static int rule_cb(struct nlmsghdr *h, void *arg)
{
	struct observe *o = arg;
	struct fib_rule_hdr *frh = nlmsg_data(h);
	struct nlattr *tb[FRA_MAX + 1];
	auto_buf struct buf b = BUF_INIT;
	char key[16], from[INET_ADDRSTRLEN];
	uint32_t pref, mark, mask;

	if (h->nlmsg_type != RTM_NEWRULE || frh->family != AF_INET)
		return 0;
	if (nlmsg_parse(h, sizeof(*frh), tb, FRA_MAX, NULL) < 0)
		return -EBADMSG;
	pref = tb[FRA_PRIORITY] ? nla_get_u32(tb[FRA_PRIORITY]) : 0;
	if (!pref)
		return 0;
	if (tb[FRA_SRC] && frh->src_len == 32)
		buf_printf(&b, "from %s ", ip_str(nla_get_u32(tb[FRA_SRC]), from));
	if (tb[FRA_IIFNAME])
		buf_printf(&b, "iif %s ", nla_get_string(tb[FRA_IIFNAME]));
	mark = tb[FRA_FWMARK] ? nla_get_u32(tb[FRA_FWMARK]) : 0;
	mask = tb[FRA_FWMASK] ? nla_get_u32(tb[FRA_FWMASK]) : 0;
	if (tb[FRA_FWMARK] || mask)
		buf_printf(&b, "fwmark 0x%x/0x%x ", mark, mask);
	if (frh->action == FR_ACT_TO_TBL)
		buf_printf(&b, "lookup %u",
			   tb[FRA_TABLE] ? nla_get_u32(tb[FRA_TABLE]) : frh->table);
	else if (frh->action == FR_ACT_BLACKHOLE)
		buf_adds(&b, "blackhole");
	else
		buf_printf(&b, "action %u", frh->action);
	snprintf(key, sizeof(key), "%u", pref);
	program_add(&o->part, o->ns, ITEM_RULE, key, buf_str(&b));
	return buf_error(&b);
}

/* ---- neighbours ---- */

static int neigh_cb(struct nlmsghdr *h, void *arg)
{
	struct observe *o = arg;
	struct ndmsg *nd = nlmsg_data(h);
	struct nlattr *tb[NDA_MAX + 1];
	char a[INET_ADDRSTRLEN], key[64], mac[18];
	const char *dev;

	if (h->nlmsg_type != RTM_NEWNEIGH || nd->ndm_family != AF_INET ||
	    !(nd->ndm_state & NUD_PERMANENT))
		return 0;
	if (nlmsg_parse(h, sizeof(*nd), tb, NDA_MAX, NULL) < 0 || !tb[NDA_DST])
		return -EBADMSG;
	dev = nl_name_of(o->s, nd->ndm_ifindex);
	if (!dev || !tb[NDA_LLADDR] || nla_len(tb[NDA_LLADDR]) != 6)
		return 0;
	mac_str(nla_data(tb[NDA_LLADDR]), mac);
	snprintf(key, sizeof(key), "%s %s", dev, ip_str(nla_get_u32(tb[NDA_DST]), a));
	program_addf(&o->part, o->ns, ITEM_NEIGH, key, "lladdr %s", mac);
	return 0;
}

/* ---- all ---- */

static void again(void *arg)
{
	struct observe *o = arg;

	program_done(&o->part);
	program_init(&o->part);
}

static struct nl_msg *msg_dump(int type, const void *body, size_t size)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_DUMP);

	if (m && nlmsg_append(m, (void *)(uintptr_t)body, size, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

/* moves what a dump brought into "all"; twins of one key, which the kernel tells
 * of in a row, get a number */
static void take_part(struct observe *o, struct program *all)
{
	struct program *p = &o->part;
	unsigned twins = 1;
	char key[128];
	size_t i;

	for (i = 0; i < p->n; i++) {
		const struct item *it = &p->items[i];

		twins = i && !strcmp(p->items[i - 1].key, it->key) ? twins + 1 : 1;
		snprintf(key, sizeof(key), "%s#%u", it->key, twins);
		program_add(all, it->ns, it->kind, twins > 1 ? key : it->key, it->val);
	}
	all->failed |= p->failed;
}

static int dump(struct observe *o, int type, const void *body, size_t size, nl_answer_fn fn,
		struct program *all)
{
	int r;

	program_init(&o->part);
	r = nl_request(o->s, msg_dump(type, body, size), fn, again, o);
	if (!r)
		take_part(o, all);
	program_done(&o->part);
	return r;
}

static int observe_all(struct observe *o, struct program *all)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct ifaddrmsg ifa = { .ifa_family = AF_INET };
	struct rtmsg rt = { .rtm_family = AF_INET };
	struct fib_rule_hdr frh = { .family = AF_INET };
	struct ndmsg nd = { .ndm_family = AF_INET };
	int r;

	/* links first: the other dumps speak of devices by index */
	nl_forget_all(o->s);
	r = dump(o, RTM_GETLINK, &ifi, sizeof(ifi), link_cb, all);
	if (!r)
		r = dump(o, RTM_GETADDR, &ifa, sizeof(ifa), addr_cb, all);
	if (!r)
		r = dump(o, RTM_GETROUTE, &rt, sizeof(rt), route_cb, all);
	if (!r)
		r = dump(o, RTM_GETRULE, &frh, sizeof(frh), rule_cb, all);
	if (!r)
		r = dump(o, RTM_GETNEIGH, &nd, sizeof(nd), neigh_cb, all);
	return r;
}

int nl_observe(struct nl *s, const char *ns, struct program *ret, struct err *e)
{
	struct observe o = { .s = s, .ns = ns };
	struct program all;
	int r;

	program_init(&all);
	r = observe_all(&o, &all);
	r = r ? err_set(e, ERR_KERNEL, -r, "%s: reading it back: %s", ns, strerror(-r)) :
		program_seal(&all, e);
	if (r) {
		program_done(&all);
		return r;
	}
	*ret = all;
	return 0;
}
