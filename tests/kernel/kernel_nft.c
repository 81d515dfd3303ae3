/* SPDX-License-Identifier: MIT */
/*
 * lib/nft against nft(8): a program goes into one namespace by nft_commit(), as
 * text into another by `nft -f`, and `nft list ruleset` must show the same.  Then
 * changes, atomicity, the stamp, foreign commits, faults.
 */
#include "tests/kernel/kernel_test.h"

#include <fcntl.h>

#include "lib/nft.h"
#include "lib/program.h"

#define HASH "0123456789abcdef0123456789abcdef"

static int ns_a = -1, ns_b = -1;
static struct nft *s;

static int setup(void **state)
{
	struct err e = {0};

	(void)state;
	assert_ok(ns_home_enter(test_run, &e), e);
	ns_a = test_ns("a", "");
	ns_b = test_ns("b", "");
	assert_ok(nft_open(ns_a, &s, &e), e);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	s = nft_close(s);
	close(ns_a);
	close(ns_b);
	assert_int_equal(ns_drop_lab("t"), 0);
	return 0;
}

static void seal(struct program *p)
{
	struct err e = {0};

	assert_ok(program_seal(p, &e), e);
}

static int commit(const struct program *from, const struct program *to, struct err *e)
{
	auto_free struct step *steps = NULL;
	size_t n;

	assert_int_equal(program_diff(from, to, &steps, &n), 0);
	return nft_commit(s, steps, n, to, "x", HASH, e);
}

/* what nft(8) shows of namespace "a", without our stamp */
static void list_ours(struct buf *ret)
{
	test_in(ns_a, ret, "nft list ruleset 2>&1 | sed '/^table ip vpclab {/,/^}/d'");
}

/* what it shows of the same program loaded by itself */
static void list_nft(const struct program *p, struct buf *ret)
{
	auto_buf struct buf script = BUF_INIT, cmd = BUF_INIT;
	char path[] = "/tmp/vpclab-nft.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	buf_adds(&script, "flush ruleset\n");
	program_print_nft(p, "x", &script);
	assert_int_equal(write_all(fd, script.s, script.len), 0);
	close(fd);
	buf_printf(&cmd, "nft -f %s 2>&1 && nft list ruleset", path);
	if (test_in(ns_b, ret, buf_str(&cmd)))
		fail_msg("nft -f: %s\n%s", buf_str(ret), buf_str(&script));
	unlink(path);
}

static void assert_same(const struct program *p)
{
	auto_buf struct buf a = BUF_INIT, b = BUF_INIT;

	list_ours(&a);
	list_nft(p, &b);
	assert_string_equal(buf_str(&a), buf_str(&b));
}

static void commit_and_compare(const struct program *from, const struct program *to)
{
	struct err e = {0};

	assert_ok(commit(from, to, &e), e);
	assert_same(to);
}

/* the sets that the rules below speak of */
static void add_sets(struct program *p)
{
	static const struct { const char *name, *val; } sets[] = {
		{ "addrs", "type ipv4_addr;" },
		{ "nets", "type ipv4_addr; flags interval;" },
		{ "eni_mark", "type ifname : mark;" },
		{ "src_ok", "type ifname . ipv4_addr;" },
		{ "src_any", "type ifname;" },
		{ "sg_out", "type mark : verdict;" },
		{ "in_v", "type ifname : verdict;" },
		{ "acc", "type ipv4_addr . inet_proto . inet_service; flags interval;" },
		{ "blackholes", "type mark . ipv4_addr;" },
		{ "snat_m", "type ipv4_addr : ipv4_addr;" },
		{ "drops", "type mark . ifname; flags dynamic; size 1024;" },
		{ "notes", "type mark . ifname . ipv4_addr . ipv4_addr . inet_proto . mark; "
			"flags dynamic,timeout; size 4096;" },
		{ "dnsrate", "type ifname; flags dynamic; size 512;" },
		{ "counts", "type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535;" },
		{ "portset", "type inet_service; flags interval; size 64;" },
		{ "macs", "type ether_addr;" },
		{ "counted", "type ipv4_addr; counter;" },
	};
	static const struct { const char *key, *val; } elems[] = {
		{ "addrs\t10.0.0.1", "" }, { "addrs\t10.0.0.2", "" },
		{ "nets\t10.0.0.0/8", "" }, { "nets\t192.168.1.0-192.168.1.77", "" },
		{ "nets\t224.0.0.0/3", "" }, { "nets\t11.0.0.0/8", "" }, { "nets\t1.2.3.4", "" },
		{ "eni_mark\teni-0123456789a", "0x10203" }, { "eni_mark\tigw", "0xffff" },
		{ "src_ok\teni-0123456789a . 10.0.0.1", "" },
		{ "src_any\teni-0123456789a", "" },
		{ "sg_out\t0x10000", "goto g1" }, { "sg_out\t0x20000", "jump g2" },
		{ "sg_out\t0x30000", "accept" }, { "sg_out\t0x40000", "drop" },
		{ "in_v\teni-0123456789a", "jump g1" }, { "in_v\tigw", "return" },
		{ "acc\t10.0.0.0/24 . tcp . 80", "" },
		{ "acc\t10.0.1.0/24 . udp . 1000-2000", "" },
		{ "acc\t0.0.0.0/0 . tcp . 443", "" },
		{ "blackholes\t0x100 . 10.9.9.9", "" },
		{ "snat_m\t10.0.0.1", "198.51.100.1" },
		{ "portset\t80", "" }, { "portset\t1000-2000", "" }, { "portset\t65535", "" },
		{ "macs\t02:00:00:00:00:01", "" },
		{ "counted\t10.1.1.1", "" },
	};
	size_t i;

	program_add(p, "x", ITEM_NS, "", "");
	program_add(p, "x", ITEM_TABLE, "ip vpc", "");
	for (i = 0; i < ARRAY_SIZE(sets); i++) {
		char key[64];

		snprintf(key, sizeof(key), "ip vpc %s", sets[i].name);
		program_add(p, "x", ITEM_SET, key, sets[i].val);
	}
	for (i = 0; i < ARRAY_SIZE(elems); i++) {
		char key[128];

		snprintf(key, sizeof(key), "ip vpc %s", elems[i].key);
		program_add(p, "x", ITEM_ELEM, key, elems[i].val);
	}
	program_add(p, "x", ITEM_CHAIN, "ip vpc g1", "counter drop");
	program_add(p, "x", ITEM_CHAIN, "ip vpc g2", "return");
}

static const char *const forms[] = {
	"meta pkttype != host counter drop",
	"meta mark set iifname map @eni_mark",
	"meta mark 0 counter drop",
	"mark 0x12 accept",
	"meta mark set 0xfffe0000",
	"iifname \"eni-*\" goto g1",
	"iifname igw accept",
	"oifname != \"eni-*\" drop",
	"iifname . ip saddr != @src_ok iifname != @src_any counter drop comment \"spoofed source\"",
	"meta mark & 0xffff0000 vmap @sg_out",
	"iifname vmap @in_v",
	"meta mark & 0xff00 == 0xff00 accept",
	"meta mark & 0xff00 != 0x100 accept",
	"ip saddr . meta l4proto . th dport @acc counter accept",
	"ip daddr @nets drop",
	"ip saddr 10.0.0.0/8 drop",
	"ip saddr != 10.0.0.0/9 drop",
	"ip daddr 10.0.0.1-10.0.0.9 accept",
	"ip daddr != 10.0.0.1-10.0.0.9 accept",
	"ip daddr { 10.0.0.2, 169.254.169.253 } meta l4proto { tcp, udp } th dport 53 jump g2",
	"ip daddr { 10.0.0.0/8, 192.168.0.0/16 } accept",
	"iifname { \"eth0\", \"lo\" } accept",
	"th dport { 22, 80, 1000-2000 } accept",
	"th sport 53 accept",
	"tcp dport 443 accept",
	"tcp dport 1024-65535 accept",
	"tcp dport != 22 accept",
	"udp dport 53 accept",
	"tcp flags & rst == 0 counter accept",
	"tcp flags rst counter accept",
	"tcp flags & (syn|ack) == syn drop",
	"icmp type destination-unreachable icmp code frag-needed counter accept",
	"icmp type echo-request accept",
	"icmp type { echo-request, echo-reply } accept",
	"ip protocol icmp accept",
	"meta l4proto tcp th dport 80 accept",
	"meta l4proto != { tcp, udp } drop",
	"ct state established,related accept",
	"ct state invalid drop",
	"ct state != new accept",
	"ct direction original accept",
	"ct status dnat accept",
	"ct mark 0x5 accept",
	"ct mark set 0x5",
	"ct zone set 1",
	"fib daddr . mark oif missing counter drop",
	"fib daddr . mark oif exists accept",
	"fib daddr . mark oifname \"igw\" ct zone set 1",
	"fib daddr type != local accept",
	"fib daddr type local accept",
	"ip frag-off & 0x1fff != 0 drop",
	"ct state invalid tcp flags & rst == 0 counter reject with tcp reset",
	"reject with icmp type host-unreachable",
	"reject with icmp admin-prohibited",
	"limit rate over 10/second burst 20 packets drop",
	"limit rate 5/minute burst 5 packets accept",
	"ct count over 100 drop",
	"add @dnsrate { iifname limit rate over 1024/second burst 1024 packets } counter drop",
	"add @counts { ip daddr . meta l4proto . th dport ct count over 55000 } counter drop",
	"update @notes { 0x3 . iifname . ip saddr . ip daddr . meta l4proto . th ports timeout 30s }",
	"update @drops { 0x3 . iifname counter } drop",
	"meta mark . ip daddr @blackholes drop",
	"ip saddr set 10.0.0.2",
	"jump g1",
	"return",
};

static const char *const nat_forms[] = {
	"ct direction original meta l4proto { tcp, udp } snat to 10.0.0.5:1024-65535",
	"meta l4proto icmp snat to 10.0.0.5",
	"oifname \"igw\" snat to ip saddr map @snat_m",
	"meta l4proto tcp snat to 10.0.0.5:1024-65535 fully-random",
};

static const char *hook_of(const char *form, bool nat)
{
	return nat ? "type nat hook postrouting priority srcnat; policy accept;" :
		strstr(form, "fib ") ? "type filter hook prerouting priority raw; policy drop;" :
		"type filter hook forward priority -20; policy drop;";
}

/* the first line in which two listings differ */
static void print_difference(const char *form, const char *ours, const char *theirs)
{
	size_t i = 0;

	while (ours[i] && ours[i] == theirs[i])
		i++;
	while (i && ours[i - 1] != '\n')
		i--;
	print_error("%s\n  ours: %.*s\n  nft:  %.*s\n", form, (int)strcspn(ours + i, "\n"), ours + i,
		    (int)strcspn(theirs + i, "\n"), theirs + i);
}

static bool form_differs(const char *form, bool nat, struct program *from)
{
	auto_buf struct buf a = BUF_INIT, b = BUF_INIT;
	struct program p;
	struct err e = {0};
	bool differs = true;

	program_init(&p);
	add_sets(&p);
	program_addf(&p, "x", ITEM_CHAIN, "ip vpc test", "%s\n%s", hook_of(form, nat), form);
	seal(&p);
	if (commit(from, &p, &e)) {
		print_error("%s\n  %s\n", form, e.msg);
		program_done(&p);
		return true;
	}
	list_ours(&a);
	/* nft(8) can't read this one: it takes no constant beside raw bytes of a packet */
	if (!strstr(form, "th ports")) {
		list_nft(&p, &b);
		differs = strcmp(buf_str(&a), buf_str(&b));
	} else {
		differs = !strstr(buf_str(&a), "ip daddr . meta l4proto . @th,0,32 timeout 30s }");
	}
	if (differs)
		print_difference(form, buf_str(&a), buf_str(&b));
	program_done(from);
	*from = p;
	return differs;
}

/* every form by itself, so that a difference names it */
static void test_forms(void **state)
{
	struct program p;
	size_t i, bad = 0;

	(void)state;
	program_init(&p);
	for (i = 0; i < ARRAY_SIZE(forms); i++)
		bad += form_differs(forms[i], false, &p);
	for (i = 0; i < ARRAY_SIZE(nat_forms); i++)
		bad += form_differs(nat_forms[i], true, &p);
	program_done(&p);
	assert_int_equal(bad, 0);
}

/* a base chain of each kind, and the table for ARP */
static void test_tables(void **state)
{
	struct program none, p;

	(void)state;
	program_init(&none);
	program_init(&p);
	add_sets(&p);
	program_add(&p, "x", ITEM_CHAIN, "ip vpc pre_raw",
		    "type filter hook prerouting priority raw; policy drop;\n"
		    "iifname \"eni-*\" goto from_eni\niifname \"lo\" accept");
	program_add(&p, "x", ITEM_CHAIN, "ip vpc from_eni", "meta mark set iifname map @eni_mark");
	program_add(&p, "x", ITEM_CHAIN, "ip vpc pre_nat",
		    "type nat hook prerouting priority dstnat;\n"
		    "iifname \"igw\" dnat to ip daddr map @snat_m");
	program_add(&p, "x", ITEM_CHAIN, "ip vpc post",
		    "type filter hook postrouting priority 300; policy accept;");
	program_add(&p, "x", ITEM_CHAIN, "ip vpc out",
		    "type filter hook output priority 0; policy drop;");
	program_add(&p, "x", ITEM_TABLE, "arp vpcarp", "");
	program_add(&p, "x", ITEM_SET, "arp vpcarp own", "type ifname . ipv4_addr;");
	program_add(&p, "x", ITEM_ELEM, "arp vpcarp own\teni-0123456789a . 10.0.0.1", "");
	program_add(&p, "x", ITEM_CHAIN, "arp vpcarp in",
		    "type filter hook input priority filter; policy drop;\n"
		    "arp operation request iifname . arp saddr ip @own accept");
	seal(&p);
	commit_and_compare(&none, &p);
	program_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
	};
	int ret;

	test_setup();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	test_cleanup();
	return ret;
}
