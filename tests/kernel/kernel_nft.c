/* SPDX-License-Identifier: MIT */
/*
 * lib/nft against nft(8): a program goes into one namespace by nft_commit(), as
 * text into another by `nft -f`, and `nft list ruleset` must show the same.  Then
 * changes, atomicity, the stamp, foreign commits, faults.
 */
#include "tests/kernel/kernel_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/nft.h"
#include "lib/program.h"

#define HASH "0123456789abcdef0123456789abcdef"

static int ns_a = -1, ns_b = -1;
static struct nft *s;

static int setup(void **state)
{
	struct err e = { 0 };

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
	struct err e = { 0 };

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
	struct err e = { 0 };

	assert_ok(commit(from, to, &e), e);
	assert_same(to);
}

/* the sets that the rules below speak of */
static void add_sets(struct program *p)
{
	static const struct {
		const char *name, *val;
	} sets[] = {
		{ "addrs", "type ipv4_addr;" },
		{ "nets", "type ipv4_addr; flags interval;" },
		{ "eni_mark", "type ifname : mark;" },
		{ "src_ok", "type ifname . ipv4_addr;" },
		{ "src_any", "type ifname;" },
		{ "link_macs", "type ether_addr . ifname;" },
		{ "sg_out", "type mark : verdict;" },
		{ "in_v", "type ifname : verdict;" },
		{ "acc", "type ipv4_addr . inet_proto . inet_service; flags interval;" },
		{ "blackholes", "type mark . ipv4_addr;" },
		{ "snat_m", "type ipv4_addr : ipv4_addr;" },
		{ "drops", "type mark . ifname; flags dynamic; size 1024;" },
		{ "notes", "type mark . ifname . ipv4_addr . ipv4_addr . inet_proto . mark; "
			   "flags dynamic,timeout; size 4096;" },
		{ "dnsrate", "type ifname; flags dynamic; size 512;" },
		{ "counts",
		  "type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535;" },
		{ "portset", "type inet_service; flags interval; size 64;" },
		{ "macs", "type ether_addr;" },
		{ "counted", "type ipv4_addr; counter;" },
	};
	static const struct {
		const char *key, *val;
	} elems[] = {
		{ "addrs\t10.0.0.1", "" },
		{ "addrs\t10.0.0.2", "" },
		{ "nets\t10.0.0.0/8", "" },
		{ "nets\t192.168.1.0-192.168.1.77", "" },
		{ "nets\t224.0.0.0/3", "" },
		{ "nets\t11.0.0.0/8", "" },
		{ "nets\t1.2.3.4", "" },
		{ "eni_mark\teni-0123456789a", "0x10203" },
		{ "eni_mark\tigw", "0xffff" },
		{ "src_ok\teni-0123456789a . 10.0.0.1", "" },
		{ "src_any\teni-0123456789a", "" },
		{ "sg_out\t0x10000", "goto g1" },
		{ "sg_out\t0x20000", "jump g2" },
		{ "sg_out\t0x30000", "accept" },
		{ "sg_out\t0x40000", "drop" },
		{ "in_v\teni-0123456789a", "jump g1" },
		{ "in_v\tigw", "return" },
		{ "acc\t10.0.0.0/24 . tcp . 80", "" },
		{ "acc\t10.0.1.0/24 . udp . 1000-2000", "" },
		{ "acc\t0.0.0.0/0 . tcp . 443", "" },
		{ "blackholes\t0x100 . 10.9.9.9", "" },
		{ "snat_m\t10.0.0.1", "198.51.100.1" },
		{ "portset\t80", "" },
		{ "portset\t1000-2000", "" },
		{ "portset\t65535", "" },
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
	"ether saddr . iifname != @link_macs drop",
	"meta mark set 0xfffe0000",
	"meta mark set mark & 0xffff00ff | 0xfe00",
	"meta mark set numgen inc mod 3 offset 65536",
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
	"ct label 5 accept",
	"ct direction reply ct label 127 accept",
	"ct label set 64",
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
	"update @notes { 0x3 . iifname . ip saddr . ip daddr . meta l4proto . th ports timeout 30s "
	"}",
	"update @drops { 0x3 . iifname counter } drop",
	"meta mark . ip daddr @blackholes drop",
	"ip saddr set 10.0.0.2",
	"iifname { \"igw\", \"pcx-*\" } accept",
	"oifname != { \"igw\", \"pcx-*\" } drop",
	"tcp flags & 0x4 != 0x4 accept",
	"tcp flags & 0x4 0x4 accept",
	"meta mark & 0xff 0x12 accept",
	"icmp type 3 icmp code 4 accept",
	"ip saddr 10.0.0.1/32 accept",
	"ip saddr 0.0.0.0/0 accept",
	"ip daddr 224.0.0.0/3 drop",
	"th dport 1024-65535 accept",
	"meta mark & 0x0000ff00 . ip daddr @blackholes drop",
	"ip daddr != { 10.0.0.1, 10.0.0.2 } drop",
	"ct mark set iifname map @eni_mark",
	"add @counts { ip daddr . meta l4proto . th dport counter ct count over 5 }",
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
	return nat		    ? "type nat hook postrouting priority srcnat; policy accept;" :
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
	print_error("%s\n  ours: %.*s\n  nft:  %.*s\n", form, (int)strcspn(ours + i, "\n"),
		    ours + i, (int)strcspn(theirs + i, "\n"), theirs + i);
}

static bool form_differs(const char *form, bool nat, struct program *from)
{
	auto_buf struct buf a = BUF_INIT, b = BUF_INIT;
	struct program p;
	struct err e = { 0 };
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

/* sets and chains come in the order in which they were made: each line gets its
 * block's name and its number in front, and all are sorted */
#define NORMAL                                                                   \
	" | awk '/^table/ { t = $2 $3 } /^\t(set|map|chain)/ { b = $2; n = 0 } " \
	"NF && !/^}/ { printf \"%s %s %03d %s\\n\", t, b, n++, $0 }' | sort"

static void list_normal(int ns, struct buf *ret)
{
	test_in(ns, ret, "nft list ruleset 2>&1 | sed '/^table ip vpclab {/,/^}/d'" NORMAL);
}

static void parse(const char *text, struct program *ret)
{
	struct err e = { 0 };

	assert_ok(program_parse(text, ret, &e), e);
}

static void assert_same_normal(const struct program *p)
{
	auto_buf struct buf a = BUF_INIT, b = BUF_INIT;

	list_nft(p, &b);
	list_normal(ns_a, &a);
	list_normal(ns_b, &b);
	assert_string_equal(buf_str(&a), buf_str(&b));
}

#define HEAD "ns x {\n\tns :\n\ttable ip vpc:\n"
#define SETS                                                                             \
	"\tset ip vpc members: type ipv4_addr;\n"                                        \
	"\tset ip vpc nets: type ipv4_addr; flags interval;\n"                           \
	"\tset ip vpc sg: type ipv4_addr . inet_proto . inet_service; flags interval;\n" \
	"\tset ip vpc out: type mark : verdict;\n"                                       \
	"\tset ip vpc marks: type ifname : mark;\n"
#define BASE                                                                                  \
	"\tchain ip vpc forward:|\n\t\ttype filter hook forward priority -20; policy drop;\n" \
	"\t\tct state established,related accept\n\t\tmeta mark & 0xffff0000 vmap @out\n"

/* each goes into the kernel as the difference from the one before */
static const char *const changes[] = {
	HEAD SETS BASE "\tchain ip vpc c1: counter drop\n"
		       "\telem ip vpc out\\t0x10000: goto c1\n\telem ip vpc members\\t10.0.0.1:\n"
		       "\telem ip vpc nets\\t10.0.0.0/8:\n\telem ip vpc nets\\t11.0.0.0/8:\n"
		       "\telem ip vpc marks\\teth0: 0x1\n}\n",
	/* elements come, go and change */
	HEAD SETS BASE "\tchain ip vpc c1: counter drop\n"
		       "\telem ip vpc out\\t0x10000: accept\n\telem ip vpc members\\t10.0.0.2:\n"
		       "\telem ip vpc nets\\t11.0.0.0/8:\n\telem ip vpc nets\\t192.168.0.0/16:\n"
		       "\telem ip vpc marks\\teth0: 0x2\n"
		       "\telem ip vpc sg\\t10.0.0.0/24 . tcp . 80-90:\n}\n",
	/* a chain goes, one comes with what jumps to it, one changes */
	HEAD SETS BASE
	"\t\tip saddr @members drop\n\tchain ip vpc c2:|\n"
	"\t\tip saddr . meta l4proto . th dport @sg accept\n\t\tjump g\n\tchain ip vpc g: return\n"
	"\telem ip vpc out\\t0x20000: goto c2\n\telem ip vpc members\\t10.0.0.2:\n"
	"\telem ip vpc marks\\teth0: 0x2\n"
	"\telem ip vpc sg\\t10.0.0.0/24 . tcp . 80-90:\n}\n",
	/* a base chain's policy changes */
	HEAD SETS
	"\tchain ip vpc forward:|\n\t\ttype filter hook forward priority -20; policy accept;\n"
	"\t\tmeta mark & 0xffff0000 vmap @out\n"
	"\tchain ip vpc c2:|\n"
	"\t\tip saddr . meta l4proto . th dport @sg accept\n\t\tjump g\n\tchain ip vpc g: return\n"
	"\telem ip vpc out\\t0x20000: goto c2\n"
	"\telem ip vpc sg\\t10.0.0.0/24 . tcp . 80-90:\n}\n",
	/* a set's definition changes; its users and other elements do not */
	HEAD
	"\tset ip vpc members: type ipv4_addr;\n"
	"\tset ip vpc nets: type ipv4_addr; flags interval;\n"
	"\tset ip vpc sg: type ipv4_addr . inet_proto . inet_service; flags interval; size 100;\n"
	"\tset ip vpc out: type mark : verdict; size 64;\n"
	"\tset ip vpc marks: type ifname : mark;\n"
	"\tchain ip vpc forward:|\n\t\ttype filter hook forward priority -20; policy accept;\n"
	"\t\tmeta mark & 0xffff0000 vmap @out\n"
	"\tchain ip vpc c2:|\n"
	"\t\tip saddr . meta l4proto . th dport @sg accept\n\t\tjump g\n\tchain ip vpc g: return\n"
	"\telem ip vpc out\\t0x20000: goto c2\n"
	"\telem ip vpc sg\\t10.0.0.0/24 . tcp . 80-90:\n}\n",
	/* another table, this one goes */
	"ns x {\n\tns :\n\ttable ip other:\n\tchain ip other c: accept\n}\n",
	"ns x {\n\tns :\n}\n",
};

static void test_changes(void **state)
{
	struct program from, to;
	struct err e = { 0 };
	size_t i;

	(void)state;
	program_init(&from);
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		parse(changes[i], &to);
		if (commit(&from, &to, &e))
			fail_msg("change %zu: %s", i, e.msg);
		assert_same_normal(&to);
		assert_int_equal(nft_adoptable(s, HASH), 1);
		program_done(&from);
		from = to;
	}
	/* and all the way back */
	for (i = ARRAY_SIZE(changes); i-- > 0;) {
		parse(changes[i], &to);
		if (commit(&from, &to, &e))
			fail_msg("back to %zu: %s", i, e.msg);
		assert_same_normal(&to);
		program_done(&from);
		from = to;
	}
	program_done(&from);
}

/* whatever fails, nothing of the transaction is left, and the item is named */
static void test_whole_or_not(void **state)
{
	static const struct {
		const char *text, *named;
	} bad[] = {
		{ HEAD SETS BASE "\tchain ip vpc c9: jump nowhere\n}\n", "c9" },
		{ HEAD SETS BASE "\telem ip vpc out\\t0x20000: drop\n"
				 "\telem ip vpc out\\t0x30000: goto nowhere\n}\n",
		  "0x30000" },
		{ HEAD SETS BASE "\tchain ip vpc c9: colour red\n}\n", "colour" },
		{ HEAD SETS BASE "\telem ip vpc members\\t10.0.0.256:\n}\n", "10.0.0.256" },
		{ HEAD SETS BASE "\tset ip vpc odd: type ipv4_addr . shoe;\n}\n", "odd" },
		{ HEAD SETS BASE "\telem ip vpc sg\\t10.0.0.0/24 . tcp . 80-90:\n"
				 "\telem ip vpc sg\\t10.0.0.0/24 . tcp . 85-95:\n}\n",
		  ". 8" },
		{ HEAD SETS BASE
		  "\tchain ip vpc a: jump b\n\tchain ip vpc b: jump a\n"
		  "\tchain ip vpc z:|\n\t\ttype filter hook input priority 0; policy accept;\n"
		  "\t\tjump a\n}\n",
		  "x: " },
	};
	auto_buf struct buf before = BUF_INIT, after = BUF_INIT;
	struct program none, good, p;
	struct err e;
	size_t i;

	(void)state;
	program_init(&none);
	parse(HEAD SETS BASE "\telem ip vpc members\\t10.0.0.1:\n}\n", &good);
	assert_int_equal(commit(&none, &good, &e), 0);
	test_in(ns_a, &before, "nft -s list ruleset");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		parse(bad[i].text, &p);
		memset(&e, 0, sizeof(e));
		assert_true(commit(&good, &p, &e) < 0);
		if (!strstr(e.msg, bad[i].named))
			fail_msg("\"%s\" isn't in: %s", bad[i].named, e.msg);
		test_in(ns_a, &after, "nft -s list ruleset");
		assert_string_equal(buf_str(&before), buf_str(&after));
		program_done(&p);
	}
	/* and the namespace is as usable as before */
	assert_int_equal(nft_adoptable(s, HASH), 1);
	assert_int_equal(commit(&good, &good, &e), 0);
	program_done(&good);
}

static void test_faults(void **state)
{
	auto_buf struct buf before = BUF_INIT, after = BUF_INIT;
	struct program none, p, q;
	unsigned long n;
	struct err e = { 0 };
	int r;

	(void)state;
	program_init(&none);
	parse(changes[0], &p);
	parse(changes[2], &q);
	assert_int_equal(commit(&none, &p, &e), 0);
	test_in(ns_a, &before, "nft -s list ruleset");
	for (n = 1;; n++) {
		fault_set(n);
		r = commit(&p, &q, &e);
		if (!r)
			break;
		assert_int_equal(r, -EIO);
		test_in(ns_a, &after, "nft -s list ruleset");
		assert_string_equal(buf_str(&before), buf_str(&after));
	}
	fault_set(0);
	if (fault_count())
		assert_true(n > 15);
	assert_same_normal(&q);
	program_done(&p);
	program_done(&q);
}

static void test_stamp_and_strangers(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct program none, p;
	struct nft *again;
	struct err e = { 0 };
	int fd;

	(void)state;
	program_init(&none);
	parse(changes[0], &p);
	fd = nft_monitor_open(ns_a);
	assert_true(fd >= 0);
	assert_int_equal(nft_adoptable(s, HASH), 0);
	assert_ok(commit(&none, &p, &e), e);
	assert_int_equal(nft_monitor_read(fd), 0);
	assert_int_equal(nft_adoptable(s, HASH), 1);
	assert_int_equal(nft_adoptable(s, "ffffffffffffffffffffffffffffffff"), 0);
	/* who comes later finds the stamp */
	assert_ok(nft_open(ns_a, &again, &e), e);
	assert_int_equal(nft_adoptable(again, HASH), 1);
	nft_close(again);
	assert_int_equal(test_in(ns_a, &b,
				 "nft add table inet stranger; "
				 "nft flush chain ip vpc forward"),
			 0);
	assert_int_equal(nft_monitor_read(fd), 1);
	assert_int_equal(nft_monitor_read(fd), 0);
	assert_int_equal(nft_adoptable(s, HASH), 0);
	assert_int_equal(commit(&none, &p, &e), -ESTALE);
	assert_ok(nft_replace(s, &p, "x", HASH, &e), e);
	assert_same_normal(&p);
	assert_int_equal(nft_adoptable(s, HASH), 1);
	assert_int_equal(nft_monitor_read(fd), 0);
	close(fd);
	program_done(&p);
}

static void count_cb(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	size_t *n = arg;

	(void)key;
	(void)packets;
	(void)bytes;
	assert_int_equal(size, 4);
	(*n)++;
}

#define MANY 20000

/* element lists of more than one message */
static void test_many(void **state)
{
	struct program none, p;
	struct mono t;
	size_t i, n = 0;
	struct err e = { 0 };

	(void)state;
	program_init(&none);
	program_init(&p);
	program_add(&p, "x", ITEM_TABLE, "ip vpc", "");
	program_add(&p, "x", ITEM_SET, "ip vpc m", "type ipv4_addr;");
	program_add(&p, "x", ITEM_SET, "ip vpc n", "type ipv4_addr; flags interval;");
	for (i = 0; i < MANY; i++) {
		char key[64];

		snprintf(key, sizeof(key), "ip vpc m\t10.%zu.%zu.%zu", i >> 16, i >> 8 & 255,
			 i & 255);
		program_add(&p, "x", ITEM_ELEM, key, "");
		snprintf(key, sizeof(key), "ip vpc n\t10.%zu.%zu.%zu/31", i >> 15, i >> 7 & 255,
			 i << 1 & 255);
		program_add(&p, "x", ITEM_ELEM, key, "");
	}
	seal(&p);
	t = mono_now();
	assert_ok(commit(&none, &p, &e), e);
	printf("# %d elements: %.1f ms\n", 2 * MANY, mono_ms_since(t));
	assert_int_equal(nft_each_elem(s, "ip vpc", "m", count_cb, &n), 0);
	assert_int_equal(n, MANY);
	assert_int_equal(nft_each_elem(s, "ip vpc", "n", count_cb, &n), 0);
	assert_in_range(n, 3 * MANY, 3 * MANY + 1);
	assert_int_equal(nft_each_elem(s, "ip vpc", "none", count_cb, &n), -ENOENT);
	t = mono_now();
	assert_ok(commit(&p, &none, &e), e);
	printf("# gone: %.1f ms\n", mono_ms_since(t));
	program_done(&p);
}

/* ---- packets ---- */

struct seen {
	uint32_t code;
	char dev[16];
	uint32_t saddr, daddr;
	uint8_t proto;
	uint16_t sport, dport;
	uint64_t packets;
	size_t n;
};

static void note_cb(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	const uint8_t *k = key;
	struct seen *x = arg;

	(void)bytes;
	assert_true(size == 36 || size == 20);
	memcpy(&x->code, k, 4);
	memcpy(x->dev, k + 4, 16);
	x->packets += packets;
	x->n++;
	if (size == 20)
		return;
	memcpy(&x->saddr, k + 20, 4);
	memcpy(&x->daddr, k + 24, 4);
	x->proto = k[28];
	memcpy(&x->sport, k + 32, 2);
	memcpy(&x->dport, k + 34, 2);
}

static int send_udp(void *arg)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_port = htons(5555),
				    .sin_addr.s_addr = htonl(0x0a000001) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(53),
				  .sin_addr.s_addr = htonl(*(uint32_t *)arg) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	r = fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
			    sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1 ?
		    -errno :
		    0;
	close(fd);
	return r;
}

/* what a probe reads: who dropped it, by which interface, and its 5-tuple */
static void test_notes(void **state)
{
	static const char text[] =
		HEAD "\tset ip vpc drops: type mark . ifname; flags dynamic; size 64; counter;\n"
		     "\tset ip vpc notes: type mark . ifname . ipv4_addr . ipv4_addr . inet_proto "
		     ". mark; "
		     "flags dynamic,timeout; size 64; timeout 30s;\n"
		     "\tchain ip vpc in:|\n\t\ttype filter hook input priority 0; policy accept;\n"
		     "\t\tudp dport 53 goto d3\n"
		     "\tchain ip vpc d3:|\n\t\tupdate @drops { 0x03 . iifname counter }\n"
		     "\t\tupdate @notes { 0x03 . iifname . ip saddr . ip daddr . meta l4proto . th "
		     "ports }\n"
		     "\t\tdrop comment \"denied\"\n}\n";
	auto_buf struct buf b = BUF_INIT;
	struct program none, p;
	struct seen drops = { 0 }, notes = { 0 };
	uint32_t to = 0x0a000002;
	struct err e = { 0 };
	int i;

	(void)state;
	program_init(&none);
	parse(text, &p);
	assert_ok(commit(&none, &p, &e), e);
	assert_int_equal(test_in(ns_a, &b,
				 "ip addr add 10.0.0.1/32 dev lo; "
				 "ip addr add 10.0.0.2/32 dev lo"),
			 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(ns_do(ns_a, send_udp, &to), 0);
	assert_int_equal(nft_each_elem(s, "ip vpc", "drops", note_cb, &drops), 0);
	assert_int_equal(drops.n, 1);
	assert_int_equal(drops.code, 3);
	assert_string_equal(drops.dev, "lo");
	assert_int_equal(drops.packets, 3);
	assert_int_equal(nft_each_elem(s, "ip vpc", "notes", note_cb, &notes), 0);
	assert_int_equal(notes.n, 1);
	assert_int_equal(notes.code, 3);
	assert_int_equal(ntohl(notes.saddr), 0x0a000001);
	assert_int_equal(ntohl(notes.daddr), 0x0a000002);
	assert_int_equal(notes.proto, IPPROTO_UDP);
	assert_int_equal(ntohs(notes.sport), 5555);
	assert_int_equal(ntohs(notes.dport), 53);
	/* elements that packets make are nobody's commit */
	assert_int_equal(nft_adoptable(s, HASH), 1);
	program_done(&p);
}

static void codes_cb(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	uint32_t code;

	(void)size;
	(void)packets;
	(void)bytes;
	memcpy(&code, key, sizeof(code));
	*(uint32_t *)arg |= code;
}

/* a name in a list with wildcards is compared from its first letter on */
static void test_wildcards(void **state)
{
	static const char text[] = HEAD
		"\tset ip vpc hits: type mark . ifname; flags dynamic; size 64; counter;\n"
		"\tchain ip vpc in:|\n\t\ttype filter hook input priority 0; policy accept;\n"
		"\t\tiifname { \"eth0\", \"l*\" } update @hits { 0x1 . iifname counter }\n"
		"\t\tiifname { \"l\", \"lop*\", \"o*\" } update @hits { 0x2 . iifname counter }\n"
		"\t\tiifname { \"lo\", \"x*\" } update @hits { 0x4 . iifname counter }\n"
		"\t\tiifname != { \"a*\", \"lo\" } update @hits { 0x8 . iifname counter }\n"
		"\t\tiifname \"l*\" update @hits { 0x10 . iifname counter }\n"
		"\t\tiifname \"lo*\" iifname != \"loo*\" update @hits { 0x20 . iifname counter }\n"
		"}\n";
	auto_buf struct buf b = BUF_INIT;
	struct program none, p;
	uint32_t to = 0x0a000002, codes = 0;
	struct err e = { 0 };

	(void)state;
	program_init(&none);
	parse(text, &p);
	assert_ok(commit(&none, &p, &e), e);
	assert_int_equal(test_in(ns_a, &b,
				 "ip addr add 10.0.0.1/32 dev lo; ip addr add 10.0.0.2/32 dev lo"),
			 0);
	assert_int_equal(ns_do(ns_a, send_udp, &to), 0);
	assert_int_equal(nft_each_elem(s, "ip vpc", "hits", codes_cb, &codes), 0);
	assert_int_equal(codes, 0x35);
	program_done(&p);
}

static void test_tracking(void **state)
{
	static const char text[] = HEAD
		"\tset ip vpc m: type ipv4_addr : ipv4_addr;\n"
		"\telem ip vpc m\\t10.9.9.9: 10.0.0.2\n"
		"\tchain ip vpc zone:|\n\t\ttype filter hook output priority -300; policy accept;\n"
		"\t\tip daddr 10.8.8.8 ct zone set 1\n"
		"\tchain ip vpc nat:|\n\t\ttype nat hook output priority -100; policy accept;\n"
		"\t\tdnat to ip daddr map @m\n\t\tip daddr 10.8.8.8 dnat to 10.0.0.2:54\n}\n";
	auto_buf struct buf b = BUF_INIT;
	struct nft_flow in = { .proto = IPPROTO_UDP,
			       .saddr = 0x0a000001,
			       .daddr = 0x0a090909,
			       .sport = 5555,
			       .dport = 53 };
	struct nft_flow back = { .proto = IPPROTO_UDP,
				 .saddr = 0x0a000002,
				 .daddr = 0x0a000001,
				 .sport = 53,
				 .dport = 5555 };
	struct nft_flow ret;
	struct program none, p;
	uint32_t to = 0x0a090909, zoned = 0x0a080808;
	auto_buf struct buf all = BUF_INIT, one = BUF_INIT;
	struct err e = { 0 };

	(void)state;
	program_init(&none);
	parse(text, &p);
	assert_ok(commit(&none, &p, &e), e);
	assert_int_equal(test_in(ns_a, &b,
				 "ip addr add 10.0.0.1/32 dev lo; "
				 "ip addr add 10.0.0.2/32 dev lo; ip route add 10.8.0.0/15 dev lo"),
			 0);
	assert_int_equal(ct_translate(ns_a, &in, &ret), -ENOENT);
	assert_int_equal(ns_do(ns_a, send_udp, &to), 0);
	assert_int_equal(ns_do(ns_a, send_udp, &zoned), 0);
	assert_int_equal(ct_translate(ns_a, &in, &ret), 0);
	assert_int_equal(ret.saddr, 0x0a000001);
	assert_int_equal(ret.daddr, 0x0a000002);
	assert_int_equal(ret.sport, 5555);
	assert_int_equal(ret.dport, 53);
	assert_int_equal(ct_translate(ns_a, &back, &ret), 0);
	assert_int_equal(ret.saddr, 0x0a090909);
	assert_int_equal(ret.daddr, 0x0a000001);
	in.daddr = zoned;
	assert_int_equal(ct_translate(ns_a, &in, &ret), 0);
	assert_int_equal(ret.daddr, 0x0a000002);
	assert_int_equal(ret.dport, 54);
	assert_int_equal(ct_print(ns_a, 10, &all), 0);
	assert_non_null(strstr(buf_str(&all), "src=10.0.0.1 dst=10.9.9.9 sport=5555 dport=53"));
	assert_non_null(strstr(buf_str(&all), "zone="));
	assert_null(strstr(buf_str(&all), "others"));
	assert_int_equal(ct_print(ns_a, 1, &one), 0);
	assert_non_null(strstr(buf_str(&one), "\n# and others\n"));
	assert_int_equal(ct_forget(ns_a, 0x0a070707), 0);
	assert_int_equal(ct_translate(ns_a, &in, &ret), 0);
	assert_int_equal(ct_forget(ns_a, zoned), 0);
	assert_int_equal(ct_translate(ns_a, &in, &ret), -ENOENT);
	in.daddr = to;
	assert_int_equal(ct_translate(ns_a, &in, &ret), 0);
	assert_int_equal(ct_forget(ns_a, 0x0a000002), 0);
	assert_int_equal(ct_translate(ns_a, &in, &ret), -ENOENT);
	program_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_or_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stamp_and_strangers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wildcards, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tracking, setup, teardown),
	};
	int ret;

	test_setup();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	test_cleanup();
	return ret;
}
