# SPDX-License-Identifier: MIT
"""The product under test: one instance in its own run directory, and what a test asks of it.

Nothing here sleeps: what has to happen is waited for by its condition (wait_until).
Captures are packet sockets opened inside a namespace, so they are in force when capture() returns.
"""
import copy
import ctypes
import http.client
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("VPCLAB_BUILD", os.path.join(ROOT, "build"))
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def wait_until(condition, what, timeout=10.0):
    """Polls a condition that no descriptor announces; fails naming it."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("timed out waiting until " + what)
        select.select([], [], [], 0.005)


class Unix(http.client.HTTPConnection):
    """HTTP on a unix socket, kept open from request to request."""

    def __init__(self, path, timeout=600):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def alive(pid):
    """A process that still runs; one that is dead and not yet reaped does not."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def in_netns(path, fn):
    """Runs fn() in the network namespace behind path and comes back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + path)
        try:
            return fn()
        finally:
            if _libc.setns(home, CLONE_NEWNET):
                os._exit(99)
    finally:
        os.close(home)
        os.close(there)


class Packet:
    """An IPv4 packet seen by a capture."""

    def __init__(self, outgoing, data, dev):
        self.outgoing = outgoing
        self.dev = dev
        self.data = data
        ihl = (data[0] & 15) * 4
        self.ttl = data[8]
        self.proto = data[9]
        self.src = socket.inet_ntoa(data[12:16])
        self.dst = socket.inet_ntoa(data[16:20])
        self.sport = self.dport = None
        self.flags = 0
        self.icmp = None
        if self.proto in (6, 17) and len(data) >= ihl + 4:
            self.sport, self.dport = struct.unpack_from(">HH", data, ihl)
        if self.proto == 6 and len(data) >= ihl + 14:
            self.flags = data[ihl + 13]
        if self.proto == 1 and len(data) >= ihl + 2:
            self.icmp = (data[ihl], data[ihl + 1])
        self.payload = data[ihl:]

    def __repr__(self):
        return "%s %s:%s > %s:%s proto %d icmp %s flags %#x" % (
            "out" if self.outgoing else "in", self.src, self.sport, self.dst, self.dport,
            self.proto, self.icmp, self.flags)


class Capture:
    """All IPv4 packets of a namespace from the moment it is made, without loopback."""

    def __init__(self, ns_path):
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC,
                              socket.htons(0x0003))
            s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
            s.setblocking(False)
            return s
        self.sock = in_netns(ns_path, make)

    def packets(self):
        got = []
        while True:
            try:
                data, addr = self.sock.recvfrom(65536)
            except BlockingIOError:
                return got
            dev, proto, kind = addr[0], addr[1], addr[2]
            if dev == "lo" or proto != 0x0800 or len(data) < 20:
                continue
            got.append(Packet(kind == 4, data, dev))

    def close(self):
        self.sock.close()


class Result:
    def __init__(self, args, rc, out, err):
        self.args, self.rc, self.out, self.err = args, rc, out, err

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return "vpclab %s -> %d\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(self.args), self.rc, self.out[-4000:], self.err[-4000:])


class Product:
    """One instance of the product (netd, sandboxd, responder) in a run directory of its own."""

    def __init__(self, build=BUILD, base=None, name=None):
        self.build = build
        self.home = tempfile.mkdtemp(prefix="vpclab-test-", dir=base)
        self.run = os.path.join(self.home, name or "run")
        self.files = os.path.join(self.home, "files")
        os.mkdir(self.files)
        self.serial = 0

    # -- commands
    def vpclab(self, *args, stdin=None, check=None, timeout=60, env=None):
        argv = [os.path.join(self.build, "vpclab"), "--run-dir", self.run, *args]
        p = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout,
                           text=not isinstance(stdin, bytes), cwd=self.home,
                           env=None if env is None else {**os.environ, **env})
        r = Result(args, p.returncode, p.stdout, p.stderr)
        if check is not None and r.rc != check:
            raise AssertionError("expected status %d: %r" % (check, r))
        return r

    def json(self, *args, check=0, **kw):
        r = self.vpclab("-o", "json", *args, check=check, **kw)
        return r.json()

    def file(self, doc, name=None):
        """Writes a lab document to a file, returns its path."""
        self.serial += 1
        path = os.path.join(self.files, name or "lab%d.json" % self.serial)
        with open(path, "w") as f:
            if isinstance(doc, str):
                f.write(doc)
            else:
                json.dump(doc, f, indent=2)
        return path

    def up(self, doc, check=0):
        return self.json("up", doc if isinstance(doc, str) else self.file(doc), check=check)

    def probe(self, lab, source, target, port):
        return self.json("probe", lab, source, target, port)

    def show(self, lab, what=None):
        return self.json("show", lab, *([what] if what else []))

    def netns(self, lab, node):
        """Path of a node's network namespace, for nsenter --net= and in_netns()."""
        for kind in ("instances", ):
            obj = self.vpclab("-o", "json", "show", lab, kind + "/" + node)
            if obj.rc == 0:
                return obj.json()["namespace"]
        return self.show(lab)["internet"]["hosts"][node]["namespace"]

    def named_netns(self, lab, name):
        """Path of a namespace by the product's own name for it, e.g. router.main."""
        return "/proc/%d/root%s/ns/%s/%s" % (self.pid("netd"), self.run, lab, name)

    def capture(self, path):
        return Capture(path)

    # -- daemons
    def pid(self, program):
        with open(os.path.join(self.run, program + ".pid")) as f:
            return int(f.read())

    def start(self):
        self.vpclab("daemon", "start", check=0)
        return self

    def kill(self, program, sig=signal.SIGKILL):
        """Kills a daemon that this instance started, and waits until it is gone."""
        pid = self.pid(program)
        fd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(fd, sig)
            assert select.select([fd], [], [], 10)[0], program + " did not end"
        finally:
            os.close(fd)

    def close(self):
        """Everything down and gone; what is left is a failure of the product."""
        try:
            if os.path.exists(os.path.join(self.run, "sandboxd.sock")):
                self.vpclab("down", "--all")
            self.vpclab("daemon", "stop")
            left = self.vpclab("gc")
            mounts = [m for m in open("/proc/self/mountinfo").read().splitlines()
                      if self.run.replace(" ", "\\040") in m]
            assert not mounts, "mounts left: %s (gc said %r)" % (mounts, left)
            found = self.sanitizer_reports()
            assert not found, "a sanitizer reported: " + found
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def sanitizer_reports(self):
        """What address or undefined sanitizers wrote into the daemons' logs; empty elsewhere."""
        for name in sorted(os.listdir(self.run)) if os.path.isdir(self.run) else []:
            if not name.endswith(".log"):
                continue
            with open(os.path.join(self.run, name), errors="replace") as f:
                text = f.read()
            at = max(text.find("Sanitizer"), text.find("runtime error:"))
            if at >= 0:
                return name + ": " + text[max(0, at - 200):at + 3000]
        return ""

    # -- drop counters
    def dropped(self, lab):
        """{code: packets} over every interface and internet gateway of the lab."""
        total = {}
        for vpc in self.show(lab)["vpcs"].values():
            for o in [*vpc["network_interfaces"].values(), vpc["internet_gateway"]]:
                for code, n in ((o and o["counters"]["dropped"]) or {}).items():
                    total[code] = total.get(code, 0) + n
        return total


def without(doc, *path):
    """A copy of doc with the member at path taken out."""
    d = copy.deepcopy(doc)
    o = d
    for k in path[:-1]:
        o = o[k]
    del o[path[-1]]
    return d


def having(doc, value, *path):
    """A copy of doc with the member at path set to value."""
    d = copy.deepcopy(doc)
    o = d
    for k in path[:-1]:
        o = o[k]
    o[path[-1]] = value
    return d


class FunctionLinks:
    """What reaches a function's sandboxes: what their egress namespaces send into the links of places, which is
    captured where it leaves, since a place lives no longer than its probe."""

    def __init__(self, product, lab):
        top = product.named_netns(lab, "")
        self.captures = []
        for ns in os.listdir(top):
            if (ns == "service" or ns.startswith("egress.")) and ".p" not in ns:
                try:
                    self.captures.append(Capture(top + ns))
                except FileNotFoundError:
                    pass    # the namespace of a way that is being released

    def received(self):
        # a link that is gone by now has no name any more
        return [p for c in self.captures for p in c.packets() if p.outgoing and (not p.dev or p.dev.startswith("sb-"))]

    def close(self):
        for c in self.captures:
            c.close()


class NodeLink:
    """What reaches a node."""

    def __init__(self, product, lab, node):
        self.capture = product.capture(product.netns(lab, node))

    def received(self):
        return [p for p in self.capture.packets() if not p.outgoing]

    def close(self):
        self.capture.close()


def prove_deny(product, allowed, denied, source, target, port, code, lab=None):
    """
    The proof of a deny: with the one rule present the probe is open, before and after; without it
    - the probe times out, and the stated code dropped it,
    - a capture at the sender (of a function: at the links of its places) shows nothing that came back,
    - a capture at the target shows none of the flow,
    - the counter of the stated reason rose, and no other did.
    """
    lab = lab or allowed["lab"]
    product.up(allowed)
    number = int(port.split("/")[1]) if "/" in port else None
    early = product.capture(product.netns(lab, target))
    first = product.probe(lab, source, target, port)
    assert first["result"] == "open", "with the rule: %r" % first
    product.up(denied)
    at_target = product.capture(product.netns(lab, target))
    function = source in allowed.get("functions", {})
    at_source = FunctionLinks(product, lab) if function else NodeLink(product, lab, source)
    # the allowed connection may still be closing: its last packets are no part of the denied flow
    closing = {p.sport if p.dport == number else p.dport for p in early.packets() if number}
    early.close()
    before = product.dropped(lab)
    got = product.probe(lab, source, target, port)
    after = product.dropped(lab)
    assert got["result"] == "timeout", "without the rule: %r" % got
    assert got["dropped"] and got["dropped"]["code"] == code, "dropped by: %r" % got
    arrived = [p for p in at_target.packets() if not p.outgoing and
               ((p.dport == number and p.sport not in closing) if number else p.proto == 1)]
    assert not arrived, "reached the target: %r" % arrived
    back = [p for p in at_source.received() if not (number and p.dport in closing)]
    assert not back, "came back to the sender: %r" % back
    at_source.close()
    at_target.close()
    rose = {c: after.get(c, 0) - before.get(c, 0) for c in set(after) | set(before)}
    rose = {c: n for c, n in rose.items() if n}
    assert set(rose) == {code}, "counters that rose: %r" % rose
    product.up(allowed)
    if function:
        at_source = FunctionLinks(product, lab)
    last = product.probe(lab, source, target, port)
    assert last["result"] == "open", "with the rule again: %r" % last
    if function: # the capture that showed silence shows answers where there are some
        assert at_source.received(), "the links of places show nothing of an open probe"
        at_source.close()
    return got
