# SPDX-License-Identifier: MIT
"""
A running lab of three-modes as a script that people would write: ip -batch, nft -f, echo into /proc/sys (run_bench).

Script(p, lab) reads what "up" made, namespace by namespace; run() makes it again under names of its own, checks that
it behaves alike, takes it down, and returns the milliseconds that making it took, exec to exit of one sh. The script
stops at the first command that fails, and so does the bench. What it is spared: the set "notes" of dropped packets,
which nft(8) can print but not read back, the aliases of links, the processes in the namespaces, our records of it all.
"""
import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import time

from product import CLONE_NEWNET, Capture, in_netns, wait_until

_libc = ctypes.CDLL(None, use_errno=True)
API, DB = ("198.51.100.10", 443), ("10.0.4.4", 5432)
SERVICE, NAT = "192.0.2.10", "203.0.113.10"
# function: as whom it arrives at the api (None: it doesn't), and whether it reaches the database
ALIKE = {"plain": (SERVICE, False), "inside": (NAT, True), "twin": (NAT, True), "greeter": (NAT, True),
         "sealed": (None, True), "misplaced": (None, True), "muted": (None, False)}
_serial = 0


def run(*argv, text=None):
    """A tool's output; its failure is ours. On a signal nothing that it started goes on."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as p:
        try:
            out, err = p.communicate(text)
        except BaseException:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
            raise
    if p.returncode or err:
        raise AssertionError("%s -> %d: %s" % (" ".join(argv), p.returncode, err))
    return out


def new_netns():
    """A descriptor of a network namespace that nobody else has."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if _libc.setns(home, CLONE_NEWNET):
            os._exit(99)
        return fd
    finally:
        os.close(home)


def settle():
    """
    Waits until the kernel has taken down the namespaces dropped so far, which would hold up whoever is measured next:
    they end in turn, so a last one is dropped behind them, and its link's other end seen to go.
    """
    keeper, dying = new_netns(), new_netns()
    path = "/proc/%d/fd/%d" % (os.getpid(), keeper)
    try:
        run("nsenter", "--net=" + path, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns",
            "/proc/%d/fd/%d" % (os.getpid(), dying))
        os.close(dying)
        wait_until(lambda: "near" not in in_netns(path, lambda: [n for _, n in socket.if_nameindex()]),
                   "dropped namespaces are gone")
    finally:
        os.close(keeper)


def spaces(p, lab):
    top = "/proc/%d/root%s/ns/%s" % (p.pid("netd"), p.run, lab)
    return top, sorted(os.listdir(top))


# -- reading a lab

def sysctls():
    """Those that a lab sets: {file below /proc/sys/net: value} of the namespace that we are in."""
    got = {}
    for folder in ("ipv4", "ipv4/conf/all", "ipv4/conf/default", "ipv6/conf/all", "ipv6/conf/default", "netfilter"):
        for name in os.listdir("/proc/sys/net/" + folder) if os.path.isdir("/proc/sys/net/" + folder) else []:
            path = "/proc/sys/net/%s/%s" % (folder, name)
            wanted = name == "ip_forward" if folder == "ipv4" else name == "disable_ipv6" if "ipv6" in folder else \
                name not in ("forwarding", "nf_conntrack_count")
            if wanted and os.path.isfile(path) and os.stat(path).st_mode & 0o200:
                with open(path) as f:
                    got[folder + "/" + name] = f.read().strip()
    return got


def devices():
    """What a device has that it wouldn't have by itself: its own sysctls that differ from the namespace's default."""
    got = []
    for dev in os.listdir("/proc/sys/net/ipv4/conf"):
        if dev in ("all", "default", "lo"):
            continue
        for name in os.listdir("/proc/sys/net/ipv4/conf/" + dev):
            values = []
            for who in (dev, "default"):
                with open("/proc/sys/net/ipv4/conf/%s/%s" % (who, name)) as f:
                    values.append(f.read().strip())
            if values[0] != values[1]:
                got.append(("ipv4/conf/%s/%s" % (dev, name), values[0]))
        with open("/proc/sys/net/ipv4/neigh/%s/proxy_delay" % dev) as f:
            value = f.read().strip()
        if value != "80":
            got.append(("ipv4/neigh/%s/proxy_delay" % dev, value))
    return got


def settings(path):
    """[(file, value)] that makes a new namespace's sysctls this one's; ip_forward first, since it resets others."""
    fresh = new_netns()
    try:
        stock = in_netns("/proc/self/fd/%d" % fresh, sysctls)
    finally:
        os.close(fresh)
    ours = [(k, v) for k, v in in_netns(path, sysctls).items() if stock.get(k) != v]
    return sorted(ours, key=lambda kv: (kv[0] != "ipv4/ip_forward", kv[0])) + sorted(in_netns(path, devices))


def plain_rules(text):
    """What nft(8) can read back: without the notes of dropped packets, a set whose key it can't name."""
    text = re.sub(r"\n?\tset notes {.*?\n\t}\n", "", text, flags=re.S)
    return "".join(line + "\n" for line in text.splitlines() if "@notes" not in line)


def rules(enter):
    """Rules of routing; ip(8) prints the mark 0 without its mask, and takes a mark 0 without a mask as any mark."""
    lines, stock = [], {"0", "32766", "32767"}
    for x in enter("ip", "-4", "rule").splitlines():
        pref, rest = x.split(":", 1)
        if pref in stock:
            stock.discard(pref)
            continue
        rest = re.sub(r"\bfwmark 0 ", "fwmark 0/0xffffffff ", rest.replace("from all ", "") + " ")
        lines.append("rule add pref %s %s" % (pref, rest.replace("[detached] ", "").strip()))
    return lines + ["rule del pref " + pref for pref in sorted(stock)]


def routes(enter):
    return ["route add " + re.sub(r"\b(linkdown|dead)\b", "", x).strip()
            for x in enter("ip", "-4", "route", "show", "table", "all").splitlines()
            if "table local" not in x and "proto kernel" not in x]


def addresses(enter):
    """(device, address/length) of all but the loopback's own."""
    return [(x["ifname"], "%s/%d" % (a["local"], a["prefixlen"])) for x in json.loads(enter("ip", "-j", "-4", "addr"))
            for a in x.get("addr_info", []) if not a["local"].startswith("127.")]


def neighbours(enter):
    return [x for x in json.loads(enter("ip", "-j", "-4", "neigh")) if "PERMANENT" in x.get("state", [])]


def enterer(path):
    return lambda *argv: run("nsenter", "--net=" + path, *argv)


def shape_of(p, lab):
    """Numbers of namespaces, links, addresses, routes, rules, neighbours, and nft elements and rules."""
    top, names = spaces(p, lab)
    total = [len(names), 0, 0, 0, 0, 0, 0, 0]
    for name in names:
        enter = enterer(os.path.join(top, name))
        total[1] += len([x for x in json.loads(enter("ip", "-j", "link")) if x["ifname"] != "lo"])
        total[2] += len(addresses(enter))
        total[3] += len(routes(enter))
        total[4] += len([x for x in rules(enter) if " add " in x])
        total[5] += len(neighbours(enter))
        for x in json.loads(enter("nft", "-j", "list", "ruleset"))["nftables"]:
            total[6] += len(x.get("set", x.get("map", {})).get("elem", []))
            total[7] += "rule" in x
    total[1] //= 2
    return total


def pairs(ends):
    """[((namespace, link), (namespace, link))]: the two ends of each veth pair."""
    found, seen = [], set()
    for a, x in ends:
        for b, y in ends:
            # they name each other's index, but indexes repeat from namespace to namespace: so the addresses are
            # the same but for the first octet, too, or one's alias is the name of the place that the other is in
            near = x["address"][3:] == y["address"][3:] or a in y.get("ifalias", "") or b in x.get("ifalias", "")
            if a < b and near and x["link_index"] == y["ifindex"] and y["link_index"] == x["ifindex"] and \
                    not {(a, x["ifindex"]), (b, y["ifindex"])} & seen:
                seen |= {(a, x["ifindex"]), (b, y["ifindex"])}
                found.append(((a, x), (b, y)))
                break
    assert len(seen) == len(ends), "ends of links without their peers: %r" % [
        (a, x["ifname"]) for a, x in ends if (a, x["ifindex"]) not in seen]
    return found


class Script:
    """The script of one running lab; TAG stands for what makes a run's names its own."""

    def __init__(self, p, lab):
        top, self.names = spaces(p, lab)
        ends, body, up = [], [], {}
        for name in self.names:
            ends += [(name, x) for x in json.loads(enterer(os.path.join(top, name))("ip", "-j", "-d", "link"))
                     if x["ifname"] != "lo"]
        head = ["set -e", "ip -batch - <<'END_IP'", *("netns add TAG" + n for n in self.names)]
        for (a, x), (b, y) in pairs(ends):
            head.append("link add %s mtu %d address %s numtxqueues 1 numrxqueues 1 netns TAG%s type veth "
                        "peer name %s mtu %d address %s numtxqueues 1 numrxqueues 1 netns TAG%s" % (
                            x["ifname"], x["mtu"], x["address"], a, y["ifname"], y["mtu"], y["address"], b))
            up.setdefault(a, []).append("link set %s up" % x["ifname"])
            up.setdefault(b, []).append("link set %s up" % y["ifname"])
        for name in self.names:
            body += self.space(name, os.path.join(top, name), up.get(name, []))
        self.text = "\n".join(head + ["END_IP"] + body) + "\n"
        self.places = self.places_of(p.show(lab)["functions"])

    @staticmethod
    def space(name, path, up):
        """The lines that fill one namespace, in a shell inside it."""
        enter = enterer(path)
        lines = ["nsenter --net=/run/netns/TAG%s sh -e <<'END_SPACE'" % name]
        lines += ["echo '%s' >/proc/sys/net/%s" % (v, k) for k, v in settings(path)]
        ruleset = plain_rules(enter("nft", "list", "ruleset"))
        if ruleset:
            lines += ["nft -f - <<'END_NFT'", ruleset.rstrip(), "END_NFT"]
        lines += ["ip -batch - <<'END_IP'", "link set lo up", *up]
        lines += ["addr add %s dev %s" % (a, dev) for dev, a in addresses(enter)]
        lines += ["neigh add %s lladdr %s dev %s nud permanent" % (x["dst"], x["lladdr"], x["dev"])
                  for x in neighbours(enter)]
        return lines + routes(enter) + rules(enter) + ["END_IP", "END_SPACE"]

    def places_of(self, functions):
        """A namespace for each function: a place that its egress namespace keeps ready."""
        free, got = list(self.names), {}
        for f in ALIKE:
            prefix = functions[f]["places"][0]["egress"] + ".p"
            got[f] = next(n for n in free if n.startswith(prefix))
            free.remove(got[f])
        return got

    def run(self):
        global _serial
        _serial += 1
        tag = "vpclab-bench-%d-%d-" % (os.getpid(), _serial)
        text = self.text.replace("TAG", tag)
        try:
            start = time.monotonic()
            run("sh", text=text)
            took = (time.monotonic() - start) * 1000
            self.check(tag)
            return took
        finally:
            remove(tag)

    def check(self, tag):
        """Each function's place does what ALIKE says and nothing else; what isn't to arrive is sent first."""
        def ns(name):
            return "/run/netns/" + tag + next(n for n in self.names if n == name or n.startswith(name + "."))
        order = sorted(ALIKE, key=lambda f: (ALIKE[f][0] is not None) + ALIKE[f][1])
        clients, captures = [], [Capture(ns("api")), Capture(ns("db"))]
        servers = [in_netns(ns(name), lambda a=a: socket.create_server(a)) for name, a in (("api", API), ("db", DB))]
        try:
            for f in order:
                for target in (API, DB):
                    c = in_netns("/run/netns/" + tag + self.places[f], socket.socket)
                    clients.append((f, target, c))
                    c.setblocking(False)
                    c.connect_ex(target)
            wanted = [sorted(a for a, _ in ALIKE.values() if a), [None] * sum(db for _, db in ALIKE.values())]
            came = [self.accepted(s, len(w)) for s, w in zip(servers, wanted)]
            assert sorted(came[0]) == wanted[0], "at the api arrived: %r" % came[0]
            assert not {SERVICE, NAT} & set(came[1]), "at the database arrived: %r" % came[1]
            for f, target, c in clients:
                self.connected(f, c, ALIKE[f][0] is not None if target == API else ALIKE[f][1])
            for capture, who in zip(captures, came):
                strangers = {x.src for x in capture.packets() if not x.outgoing} - set(who)
                assert not strangers, "packets of the sealed arrived: %r" % strangers
        finally:
            for s in servers + captures + [c for _, _, c in clients]:
                s.close()

    @staticmethod
    def accepted(server, n):
        """The addresses of n connections as they come, and of none after."""
        got = []
        while select.select([server], [], [], 2 if len(got) < n else 0)[0]:
            c, peer = server.accept()
            c.close()
            got.append(peer[0])
        assert len(got) == n, "expected %d connections, came: %r" % (n, got)
        return got

    @staticmethod
    def connected(f, c, wanted):
        try:
            c.getpeername()
            is_so = True
        except OSError:
            is_so = False
        assert is_so == wanted, "%s: connected %r, expected %r" % (f, is_so, wanted)


def remove(tag):
    """Takes away the namespaces whose names begin so, whatever signal arrives meanwhile."""
    before = [(s, signal.signal(s, signal.SIG_IGN)) for s in (signal.SIGINT, signal.SIGTERM)]
    try:
        left = [n for n in os.listdir("/run/netns") if n.startswith(tag)] if os.path.isdir("/run/netns") else []
        if left:
            run("ip", "-batch", "-", text="".join("netns del %s\n" % n for n in left))
    finally:
        for s, handler in before:
            signal.signal(s, handler)


def remove_leftovers():
    """Of runs that were killed: their process is no more."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        m = re.match(r"vpclab-bench-(\d+)-", name)
        if m and not os.path.exists("/proc/" + m[1]) and os.path.exists("/run/netns/" + name):
            remove(m[0])
