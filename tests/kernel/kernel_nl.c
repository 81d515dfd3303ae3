/* SPDX-License-Identifier: MIT */
/* lib/nl in real namespaces: what ip(8) shows after steps, what comes back by
 * observing, what is tolerated and what isn't, whose changes are news */
#include "tests/kernel/kernel_test.h"

#include "lib/nl.h"
#include "lib/program.h"

#define SYSCTLS                                                                    \
	"net.ipv6.conf.all.disable_ipv6=1\nnet.ipv6.conf.default.disable_ipv6=1\n" \
	"net.ipv4.ip_forward=1\n"

static int ns_r = -1, ns_w = -1;
static struct nl *r, *w;

static int fd_of(const char *ns, void *arg)
{
	(void)arg;
	return !strcmp(ns, "w") ? ns_w : !strcmp(ns, "r") ? ns_r : -ENOENT;
}

static struct nl *nl_of(const char *ns, void *arg)
{
	(void)arg;
	return !strcmp(ns, "w") ? w : !strcmp(ns, "r") ? r : NULL;
}

static int setup(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_ok(ns_home_enter(test_run, &e), e);
	ns_r = test_ns("r", SYSCTLS);
	ns_w = test_ns("w", SYSCTLS);
	assert_ok(nl_open(ns_r, &r, &e), e);
	assert_ok(nl_open(ns_w, &w, &e), e);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	r = nl_free(r);
	w = nl_free(w);
	close(ns_r);
	close(ns_w);
	assert_int_equal(ns_drop_lab("t"), 0);
	return 0;
}

#define ADD(kind, key, val)                                       \
	{                                                         \
		.op = STEP_ADD, .phase = 3, .new = &(struct item) \
		{                                                 \
			ITEM_##kind, "r", key, val                \
		}                                                 \
	}
#define ADD_W(kind, key, val)                                     \
	{                                                         \
		.op = STEP_ADD, .phase = 3, .new = &(struct item) \
		{                                                 \
			ITEM_##kind, "w", key, val                \
		}                                                 \
	}
#define DEL(kind, key, val)                                       \
	{                                                         \
		.op = STEP_DEL, .phase = 5, .old = &(struct item) \
		{                                                 \
			ITEM_##kind, "r", key, val                \
		}                                                 \
	}
#define REPLACE(kind, key, from, to)                                                        \
	{                                                                                   \
		.op = STEP_REPLACE, .phase = 3,                                             \
		.old = &(struct item){ ITEM_##kind, "r", key, from }, .new = &(struct item) \
		{                                                                           \
			ITEM_##kind, "r", key, to                                           \
		}                                                                           \
	}

#define LINK "eni-0123456789a"
#define LINK_VAL                                                                                   \
	"index 1001 peer eth0 peer-ns w peer-index 2 mac 02:00:00:00:00:01 "                       \
	"peer-mac 02:00:00:00:00:02 mtu 9001 alias eni-0123456789abcdef0 proxy_arp 1 proxy_delay " \
	"0"

static size_t apply(struct nl *s, const struct step *steps, size_t n, struct err *e)
{
	bool done[300];
	size_t i, ret;

	assert_true(n <= ARRAY_SIZE(done));
	ret = nl_apply(s, steps, n, done, fd_of, nl_of, NULL, e);
	for (i = 0; i < ret; i++)
		assert_true(done[i]);
	return ret;
}

static void apply_all(struct nl *s, const struct step *steps, size_t n)
{
	struct err e = { 0 };

	if (apply(s, steps, n, &e) != n)
		fail_msg("%s", e.msg);
}
#define APPLY(s, steps) apply_all(s, steps, ARRAY_SIZE(steps))

static const struct step mix[] = {
	ADD(LINK, LINK, LINK_VAL),
	ADD(ADDR, "lo 10.0.0.2/32", ""),
	ADD(ADDR, LINK " 10.9.0.1/24", ""),
	ADD(NEIGH, LINK " 10.0.1.5", "lladdr 02:00:00:00:00:02"),
	ADD(RULE, "10", "iif lo fwmark 0x0/0xffffffff lookup 50"),
	ADD(RULE, "11", "iif lo fwmark 0x0/0xffffffff blackhole"),
	ADD(RULE, "101", "fwmark 0x100/0xff00 lookup 101"),
	ADD(RULE, "30000", "lookup 50"),
	ADD(RULE, "30001", "blackhole"),
	ADD(ROUTE, "50 10.0.1.5/32", "dev " LINK " scope link"),
	ADD(ROUTE, "51 0.0.0.0/0", "dev lo scope link"),
	ADD(ROUTE, "101 10.0.0.0/16", "throw"),
	ADD(ROUTE, "101 10.1.0.0/16", "blackhole"),
	ADD(ROUTE, "101 0.0.0.0/0", "via 169.254.0.2 dev " LINK " onlink"),
	ADD(ROUTE, "7001 10.7.0.0/16", "via 169.254.0.2 dev " LINK " onlink src 10.0.0.2 mtu 1400"),
};

static void in_workload(void)
{
	const struct step steps[] = {
		ADD_W(ADDR, "eth0 10.0.1.5/24", ""),
		ADD_W(ROUTE, "254 0.0.0.0/0", "via 10.0.1.1 dev eth0"),
	};

	APPLY(w, steps);
}

static void test_mix(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct err e = { 0 };

	(void)state;
	assert_ok(nl_rules_none(r, &e), e);
	APPLY(r, mix);
	in_workload();
	assert_int_equal(test_in(ns_r, &b, "ip -d link show " LINK), 0);
	assert_has(&b, "1001: " LINK "@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 9001");
	assert_has(&b, "link/ether 02:00:00:00:00:01");
	assert_has(&b, "numtxqueues 1");
	assert_has(&b, "numrxqueues 1");
	assert_has(&b, "alias eni-0123456789abcdef0");
	test_in(ns_w, &b, "ip -d link show eth0; ip addr; ip route");
	assert_has(&b, "2: eth0@if1001: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 9001");
	assert_has(&b, "link/ether 02:00:00:00:00:02");
	assert_has(&b, "inet 10.0.1.5/24");
	assert_has(&b, "default via 10.0.1.1 dev eth0");
	test_in(ns_r, &b, "ip rule");
	assert_string_equal(buf_str(&b), "0:\tfrom all lookup local\n"
					 "10:\tfrom all fwmark 0 iif lo lookup 50\n"
					 "11:\tfrom all fwmark 0 iif lo blackhole\n"
					 "101:\tfrom all fwmark 0x100/0xff00 lookup 101\n"
					 "30000:\tfrom all lookup 50\n"
					 "30001:\tfrom all blackhole\n");
	test_in(ns_r, &b,
		"ip route show table 101; ip route show table 7001; ip neigh; "
		"cat /proc/sys/net/ipv4/conf/" LINK "/proxy_arp "
		"/proc/sys/net/ipv4/neigh/" LINK "/proxy_delay");
	assert_has(&b, "default via 169.254.0.2 dev " LINK " onlink");
	assert_has(&b, "throw 10.0.0.0/16");
	assert_has(&b, "blackhole 10.1.0.0/16");
	assert_has(&b, "10.7.0.0/16 via 169.254.0.2 dev " LINK " src 10.0.0.2 onlink mtu 1400");
	assert_has(&b, "10.0.1.5 dev " LINK " lladdr 02:00:00:00:00:02 PERMANENT");
	assert_has(&b, "\n1\n0\n");
}

/* what was made is what comes back, word for word; links as they can be read */
static void test_observe(void **state)
{
	struct program seen, meant;
	auto_buf struct buf a = BUF_INIT, b = BUF_INIT;
	const struct item *link;
	struct err e = { 0 };
	size_t i;

	(void)state;
	test_mix(state);
	program_init(&meant);
	for (i = 1; i < ARRAY_SIZE(mix); i++)
		program_add(&meant, "r", mix[i].new->kind, mix[i].new->key, mix[i].new->val);
	assert_ok(nl_observe(r, "r", &seen, &e), e);
	link = program_find(&seen, "r", ITEM_LINK, LINK);
	assert_non_null(link);
	assert_true(nl_link_matches(link->val, LINK_VAL));
	program_add(&meant, "r", ITEM_LINK, LINK, link->val);
	assert_ok(program_seal(&meant, &e), e);
	program_print(&seen, &a);
	program_print(&meant, &b);
	assert_string_equal(buf_str(&a), buf_str(&b));
	program_done(&seen);
	program_done(&meant);
}

static void test_again_is_success(void **state)
{
	auto_buf struct buf a = BUF_INIT, b = BUF_INIT;

	(void)state;
	APPLY(r, mix);
	test_in(ns_r, &a, "ip -d link; ip addr; ip rule; ip route show table all; ip neigh");
	APPLY(r, mix);
	test_in(ns_r, &b, "ip -d link; ip addr; ip rule; ip route show table all; ip neigh");
	assert_string_equal(buf_str(&a), buf_str(&b));
}

static void test_other_link_of_that_name(void **state)
{
	const struct step other[] = {
		ADD(LINK, LINK,
		    "index 1001 peer eth1 peer-ns w peer-index 3 "
		    "mac 02:00:00:00:00:09 mtu 1500"),
	};
	struct err e = { 0 };

	(void)state;
	APPLY(r, mix);
	assert_int_equal(apply(r, other, 1, &e), 0);
	assert_int_equal(e.errnum, EEXIST);
	assert_non_null(strstr(e.msg, LINK));
}

static void test_delete(void **state)
{
	const struct step dels[] = {
		DEL(ROUTE, "101 0.0.0.0/0", "via 169.254.0.2 dev " LINK " onlink"),
		DEL(ROUTE, "101 10.1.0.0/16", "blackhole"),
		DEL(RULE, "101", "fwmark 0x100/0xff00 lookup 101"),
		DEL(NEIGH, LINK " 10.0.1.5", "lladdr 02:00:00:00:00:02"),
		DEL(ADDR, "lo 10.0.0.2/32", ""),
		DEL(LINK, LINK, LINK_VAL),
	};
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	APPLY(r, mix);
	APPLY(r, dels);
	test_in(ns_r, &b, "ip link; ip addr; ip rule; ip route show table 101; ip neigh");
	assert_has_not(&b, LINK);
	assert_has_not(&b, "fwmark 0x100");
	assert_has_not(&b, "10.0.0.2");
	assert_has(&b, "throw 10.0.0.0/16");
	/* gone is gone */
	APPLY(r, dels);
}

static void test_replace(void **state)
{
	const struct step steps[] = {
		REPLACE(ROUTE, "101 0.0.0.0/0", "via 169.254.0.2 dev " LINK " onlink", "blackhole"),
		REPLACE(RULE, "101", "fwmark 0x100/0xff00 lookup 101",
			"fwmark 0x200/0xff00 lookup 102"),
		REPLACE(NEIGH, LINK " 10.0.1.5", "lladdr 02:00:00:00:00:02",
			"lladdr 02:00:00:00:00:03"),
		REPLACE(LINK, LINK, LINK_VAL,
			"index 1001 peer eth0 peer-ns w peer-index 2 "
			"mac 02:00:00:00:00:0a peer-mac 02:00:00:00:00:0b mtu 1500"),
	};
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	APPLY(r, mix);
	APPLY(r, steps);
	test_in(ns_r, &b, "ip rule; ip route show table 101; ip link");
	assert_has(&b, "blackhole default");
	assert_has(&b, "101:\tfrom all fwmark 0x200/0xff00 lookup 102");
	assert_has_not(&b, "fwmark 0x100");
	assert_has(&b, "02:00:00:00:00:0a");
	assert_has(&b, "mtu 1500");
}

/* a link that someone took down or renamed in words is put right, not made anew */
static void test_repair(void **state)
{
	const struct step repair[] = {
		REPLACE(LINK, LINK, LINK_VAL " differs", LINK_VAL),
		ADD(ROUTE, "50 10.0.1.5/32", "dev " LINK " scope link"),
	};
	auto_buf struct buf b = BUF_INIT;
	struct program seen;
	struct err e = { 0 };

	(void)state;
	APPLY(r, mix);
	in_workload();
	test_in(ns_r, &b, "ip link set " LINK " down alias else; ip -n x link 2>&1");
	assert_ok(nl_observe(r, "r", &seen, &e), e);
	assert_false(nl_link_matches(program_find(&seen, "r", ITEM_LINK, LINK)->val, LINK_VAL));
	program_done(&seen);
	APPLY(r, repair);
	assert_ok(nl_observe(r, "r", &seen, &e), e);
	assert_true(nl_link_matches(program_find(&seen, "r", ITEM_LINK, LINK)->val, LINK_VAL));
	assert_non_null(program_find(&seen, "r", ITEM_ROUTE, "50 10.0.1.5/32"));
	program_done(&seen);
	/* its far end was never touched */
	test_in(ns_w, &b, "ip addr; ip route");
	assert_has(&b, "inet 10.0.1.5/24");
	assert_has(&b, "default via 10.0.1.1");
	/* an end that sits elsewhere is not the link that was meant */
	test_in(ns_w, &b, "ip link set eth0 down; ip link set eth0 name gone");
	APPLY(r, repair);
	test_in(ns_w, &b, "ip -br addr");
	assert_has(&b, "eth0@");
	assert_has_not(&b, "10.0.1.5");
	assert_has_not(&b, "gone");
}

static void test_kernels_sentence(void **state)
{
	const struct step steps[] = {
		ADD(LINK, LINK, LINK_VAL),
		ADD(ROUTE, "254 10.3.0.0/16", "via 192.0.2.1 dev " LINK),
		ADD(ROUTE, "254 10.4.0.0/16", "blackhole"),
	};
	bool done[3];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(nl_apply(r, steps, 3, done, fd_of, nl_of, NULL, &e), 1);
	assert_true(done[0]);
	assert_false(done[1]);
	assert_true(done[2]);
	assert_non_null(strstr(e.msg, "10.3.0.0/16"));
	assert_non_null(strstr(e.msg, "Nexthop has invalid gateway"));
}

static void test_refused_words(void **state)
{
	const struct step bad[] = {
		ADD(ROUTE, "254 10.3.0.0/16", "via 192.0.2.1 dev lo nexthop"),
		ADD(RULE, "5", "fwmark 0x0 lookup 7"),
		ADD(NEIGH, "lo 10.0.0.1", "lladdr 02:00:00:00:00"),
		ADD(ADDR, "lo 10.0.0.1", ""),
		ADD(LINK, "x", "index 5 peer y peer-ns w peer-index 6 colour red"),
	};
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&e, 0, sizeof(e));
		assert_int_equal(apply(r, &bad[i], 1, &e), 0);
		assert_int_equal(e.errnum, EINVAL);
	}
}

#define MANY 200

static void test_many(void **state)
{
	static struct item items[MANY * 2];
	static char keys[MANY * 2][40], vals[MANY][160];
	struct step steps[MANY * 2] = { 0 };
	const char *names[MANY];
	auto_buf struct buf b = BUF_INIT;
	struct mono t = mono_now();
	struct nl_counters c;
	bool done[MANY * 2];
	struct err e = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		snprintf(keys[i], sizeof(keys[i]), "sb-%zu", i);
		snprintf(vals[i], sizeof(vals[i]),
			 "index %zu peer p%zu peer-ns w peer-index %zu "
			 "mac 02:00:00:00:01:%02zx peer-mac 02:00:00:00:02:%02zx mtu 9001",
			 2000 + i, i, 3000 + i, i, i);
		snprintf(keys[MANY + i], sizeof(keys[i]), "50 10.2.0.%zu/32", i);
		items[i] = (struct item){ ITEM_LINK, "r", keys[i], vals[i] };
		items[MANY + i] =
			(struct item){ ITEM_ROUTE, "r", keys[MANY + i], "dev sb-7 scope link" };
		steps[i].new = &items[i];
		steps[MANY + i].new = &items[MANY + i];
		names[i] = keys[i];
	}
	if (nl_apply(r, steps, MANY * 2, done, fd_of, nl_of, NULL, &e) != MANY * 2)
		fail_msg("%s", e.msg);
	printf("# %d links, %d routes: %.1f ms\n", MANY, MANY, mono_ms_since(t));
	test_in(ns_r, &b, "ip -o link | grep -c 'sb-.*state UP'; ip route show table 50 | wc -l");
	assert_string_equal(buf_str(&b), "200\n200\n");
	assert_int_equal(nl_link_counters(r, "sb-7", &c), 0);
	assert_int_equal(nl_link_counters(r, "sb-7777", &c), -ENODEV);
	t = mono_now();
	assert_int_equal(nl_delete_links(r, names, MANY), 0);
	printf("# deleted: %.1f ms\n", mono_ms_since(t));
	test_in(ns_r, &b, "ip -o link | grep -c sb-");
	assert_string_equal(buf_str(&b), "0\n");
	assert_int_equal(nl_delete_links(r, names, 1), 0);
}

static void test_monitor(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	static const char *const foreign[] = {
		"ip link set " LINK " mtu 1400",
		"ip link set " LINK " down",
		"ip addr add 10.5.5.5/32 dev lo",
		"ip rule add pref 5 lookup 5",
		"ip route add blackhole 10.77.0.0/16",
		"ip neigh add 10.0.1.6 lladdr 02:00:00:00:00:05 dev " LINK,
		"ip link del " LINK,
	};
	int fd;
	size_t i;

	(void)state;
	fd = nl_monitor_open(ns_r);
	assert_true(fd >= 0);
	APPLY(r, mix);
	in_workload();
	assert_int_equal(nl_monitor_read(fd), 0);
	assert_int_equal(test_in(ns_w, &b, "ip link set eth0 down; ip link set eth0 up"), 0);
	assert_int_equal(nl_monitor_read(fd), 0);
	for (i = 0; i < ARRAY_SIZE(foreign); i++) {
		if (test_in(ns_r, &b, foreign[i]))
			fail_msg("%s", foreign[i]);
		if (nl_monitor_read(fd) != 1)
			fail_msg("not news: %s", foreign[i]);
		assert_int_equal(nl_monitor_read(fd), 0);
	}
	close(fd);
}

/* the n-th request fails: that step and no other is reported, the rest is acknowledged */
static void test_faults(void **state)
{
	bool done[ARRAY_SIZE(mix)];
	unsigned long n;
	struct err e;
	size_t ret;

	(void)state;
	for (n = 1;; n++) {
		memset(&e, 0, sizeof(e));
		fault_set(n);
		ret = nl_apply(r, mix, ARRAY_SIZE(mix), done, fd_of, nl_of, NULL, &e);
		if (ret == ARRAY_SIZE(mix))
			break;
		if (e.errnum != EIO)
			fail_msg("request %lu: %s", n, e.msg);
		assert_false(done[ret]);
	}
	fault_set(0);
	/* 4 for the link, 2 to look whether the one that is there is it, 1 for the far
	 * end, 1 each for the others; a build without faults has none */
	if (fault_count())
		assert_int_equal(n, ARRAY_SIZE(mix) - 1 + 4 + 2 + 1 + 1);
	APPLY(r, mix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_is_success, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_link_of_that_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repair, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernels_sentence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_monitor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
	};
	int ret;

	test_setup();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	test_cleanup();
	return ret;
}
