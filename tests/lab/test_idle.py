# SPDX-License-Identifier: MIT
"""
How long interfaces remember what is idle, at a twentieth of AWS's times: UDP of one exchange 1 s, of several 9 s, TCP 6 hours.

    one 10.0.1.0/24: client, hasty (60 s of TCP)     mid 10.0.3.0/24: box (forwards)
    two 10.0.2.0/24: server, short (60 s of TCP and of several exchanges), long (60 s of one exchange)

Clients let in nothing, and servers let out nothing, and in only as long as their door is open: whatever passes then is
remembered, and what isn't is told by its drop.  The packets are said by sockets of the tests' own in the nodes' namespaces.
"""
import ctypes
import json
import select
import socket
import struct
import subprocess

import pytest

from held import Door
from product import having, in_netns, wait_until

LAB = "idle"
SO_ATTACH_FILTER = 26
BOTH = [{"protocol": p, "from_port": 0, "to_port": 65535, "cidr_blocks": ["10.0.0.0/16"]} for p in ("tcp", "udp")]
MINUTE = {"tcp_established_timeout": 60, "udp_stream_timeout": 60}


def lab(open_=True, scale=20):
    inside = {"ingress": list(BOTH) if open_ else [], "egress": []}
    return {
        "version": 1, "lab": LAB, "time_scale": scale,
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16",
            "subnets": {"one": {"cidr_block": "10.0.1.0/24", "route_table": "one"}, "two": {"cidr_block": "10.0.2.0/24"},
                        "mid": {"cidr_block": "10.0.3.0/24"}},
            "route_tables": {"one": {"routes": {}}},
            "security_groups": {"client": {"egress": list(BOTH)}, "server": inside,
                                "box": {"ingress": list(BOTH) if open_ else [], "egress": list(BOTH)}},
            "instances": {
                "client": {"subnet": "one", "security_groups": ["client"]},
                "hasty": {"subnet": "one", "security_groups": ["client"], "connection_tracking": MINUTE},
                "server": {"subnet": "two", "security_groups": ["server"]},
                "short": {"subnet": "two", "security_groups": ["server"], "connection_tracking": MINUTE},
                "long": {"subnet": "two", "security_groups": ["server"], "connection_tracking": {"udp_timeout": 60}},
                "box": {"subnet": "mid", "security_groups": ["box"], "source_dest_check": False, "forward": True},
            },
        }},
    }


def via_box(open_, **more):
    doc = having(lab(open_), {"10.0.2.0/24": "instance:box"}, "vpcs", "main", "route_tables", "one", "routes")
    doc = having(doc, {"ingress": list(BOTH), "egress": []}, "vpcs", "main", "security_groups", "server")
    doc["vpcs"]["main"]["instances"]["box"].update(more)
    return doc


@pytest.fixture(autouse=True)
def shut(product):
    """Every test closes what it opened; the doors are open again for the next one."""
    yield
    for end in End.all:
        end.sock.close()
    End.all.clear()


def dropped(product):
    """product.dropped(LAB) without a process, whose time would be a good part of those that are tested."""
    door = Door(product.run + "/netd.sock")
    door.request("GET", "/v1/labs/" + LAB)
    shown = json.loads(door.getresponse().read())
    door.close()
    total = {}
    for e in shown["vpcs"]["main"]["network_interfaces"].values():
        for code, n in e["counters"]["dropped"].items():
            total[code] = total.get(code, 0) + n
    return total


class End:
    """A socket of a node's; it listens, is connected, or says datagrams."""
    all = []

    def __init__(self, product, node, kind, protocol=0):
        self.address = product.show(LAB, "instances/" + node)["private_ip"]
        self.sock = in_netns(product.netns(LAB, node), lambda: socket.socket(socket.AF_INET, kind, protocol))
        End.all.append(self)


class Flow:
    """Two ends that talk, packet by packet."""
    port = 5000

    def __init__(self, product, client, server):
        self.product, Flow.port = product, Flow.port + 1
        self.port, self.n = Flow.port, 0
        self.open(client, server)

    def passes(self, source, target):
        """Does it come?  If not, a group dropped it, and nothing else did."""
        self.n += 1
        said = b"%d\n" % self.n
        before = dropped(self.product)
        source.send(said)

        def outcome():
            came = select.select([target], [], [], 0.05)[0]
            after = {} if came else dropped(self.product)
            return came or {c for c in after if after[c] > before.get(c, 0)}
        got = wait_until(outcome, "the packet comes or is dropped")
        if isinstance(got, set):
            assert got <= {"SG_HAS_NO_RULES", "ENI_SG_RULES_MISMATCH"}, got
            assert not select.select([target], [], [], 0)[0]
            return False
        while not target.recv(100).endswith(said):
            pass
        return True

    def question(self):
        return self.passes(self.client, self.server)

    def answer(self):
        return self.passes(self.server, self.client)

    def exchange(self):
        return self.question() and self.answer()

    def memories(self):
        """Which sets of the router's have a time of it."""
        found = set()
        for name in ("sends", "receives", "slot1"):
            r = subprocess.run(["nsenter", "--net=" + self.product.named_netns(LAB, "router.main"),
                                "nft", "list", "set", "ip", "vpc", name], capture_output=True, text=True)
            if r.returncode == 0 and ". %d" % self.port in r.stdout:
                found.add(name)
        return found


class Udp(Flow):
    def open(self, client, server):
        a, b = (End(self.product, node, socket.SOCK_DGRAM) for node in (client, server))
        self.client, self.server = a.sock, b.sock
        for one, other in ((a, b), (b, a)):
            one.sock.bind((one.address, self.port))
            one.sock.connect((other.address, self.port))


class Tcp(Flow):
    def open(self, client, server):
        a, b = (End(self.product, node, socket.SOCK_STREAM) for node in (client, server))
        b.sock.bind((b.address, self.port))
        b.sock.listen()
        b.sock.settimeout(5)
        a.sock.settimeout(5)
        a.sock.connect((b.address, self.port))
        self.client, self.server = a.sock, b.sock.accept()[0]
        self.accepted = End.__new__(End)
        self.accepted.sock = self.server
        End.all.append(self.accepted)
        assert self.exchange()


def entry(product, protocol, port):
    """Is there a flow to the port in the router's tracking?"""
    def read():
        with open("/proc/thread-self/net/nf_conntrack") as f:
            return [line for line in f if " %s " % protocol in line and (port is None or "dport=%d " % port in line)]
    return in_netns(product.named_netns(LAB, "router.main"), read)


@pytest.mark.asan
@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-times", "idle-stream")
def test_one_exchange_is_forgotten_before_several(product):
    """30 s and 180 s: when the first time is over, neither a question nor an answer of the one flow passes."""
    product.up(lab())
    one, several = Udp(product, "client", "server"), Udp(product, "client", "server")
    assert one.exchange()
    product.up(lab(open_=False))
    assert one.exchange() is True, "two exchanges in all: no rule is asked"
    one = Udp(product, "client", "server")
    product.up(lab())
    assert one.exchange() and several.exchange() and several.exchange()
    product.up(lab(open_=False))
    assert several.exchange()
    wait_until(lambda: not one.memories(), "it is idle for 30 s")
    assert not one.question()
    assert not one.answer()
    assert several.answer() and several.question()


@pytest.mark.asan
@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-interface")
def test_each_interface_has_its_own_time_of_tcp(product):
    """One end forgets, the other does not; whoever may ask begins anew."""
    product.up(lab())
    kept, lost, asked = Tcp(product, "client", "server"), Tcp(product, "client", "short"), Tcp(product, "hasty", "server")
    product.up(lab(open_=False))
    assert kept.exchange() and lost.exchange() and asked.exchange()
    assert lost.memories() == {"receives"} and asked.memories() == {"sends"} and not kept.memories()
    wait_until(lambda: not lost.memories() and not asked.memories(), "both are idle for 60 s")
    assert kept.answer() and kept.question()
    assert not lost.question()
    assert not asked.answer()
    # hasty's egress lets it ask, and server remembers all the while
    assert asked.question()
    assert asked.memories() == {"sends"}


@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-interface")
def test_each_interface_has_its_own_times_of_udp(product):
    product.up(lab())
    flows = {(node, n): Udp(product, "client", node) for node in ("server", "short", "long") for n in (1, 2)}
    for (_, n), flow in flows.items():
        assert all(flow.exchange() for _ in range(n))
    product.up(lab(open_=False))
    assert flows["server", 2].exchange() and flows["short", 2].exchange()
    assert flows["server", 1].question() and flows["long", 1].question()
    wait_until(lambda: not flows["server", 1].memories(), "one exchange is idle for 30 s")
    assert flows["long", 1].memories() == {"receives"}
    assert flows["long", 1].question()
    assert not flows["server", 1].question()
    wait_until(lambda: not flows["short", 2].memories(), "several are idle for 60 s")
    assert flows["server", 2].question()
    assert not flows["short", 2].question()


@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-middlebox")
def test_a_middlebox_has_times_of_its_own(product):
    """It sees the questions; the answers go straight."""
    longer = {"connection_tracking": {"udp_timeout": 60}}
    product.up(via_box(True, **longer))
    flow = Udp(product, "client", "server")
    assert flow.exchange()
    assert "slot1" in flow.memories()
    product.up(via_box(False, **longer))
    assert flow.question()
    wait_until(lambda: "sends" not in flow.memories(), "the client hasn't heard of it for 30 s")
    assert flow.question()
    wait_until(lambda: "slot1" not in flow.memories(), "nor box for 60 s")
    assert not flow.question()


@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-before")
def test_other_times_cut_nothing(product):
    """What was open lives on, and has the new time from its next packet on."""
    product.up(lab())
    flow = Tcp(product, "client", "server")
    shorter = having(lab(open_=False), MINUTE, "vpcs", "main", "instances", "server", "connection_tracking")
    got = product.up(shorter)
    assert ("update", "instance", "server") in {(c["action"], c["kind"], c["name"]) for c in got["changes"]}, got
    assert flow.exchange()
    assert flow.memories() == {"receives"}
    wait_until(lambda: not flow.memories(), "it is idle for 60 s")
    assert not flow.question()
    product.up(lab())


@pytest.mark.ids("CT-6", kind="state")
@pytest.mark.mutant("show-idle")
def test_show_tells_the_times(product):
    product.up(lab())
    shown = {e["owner"]: e["connection_tracking"] for e in product.show(LAB, "network_interfaces").values()}
    ids = {n: product.show(LAB, "instances/" + n)["id"] for n in ("server", "short", "long")}
    default = {"tcp_established_timeout": 432000, "udp_stream_timeout": 180, "udp_timeout": 30}
    assert shown[ids["server"]] == default
    assert shown[ids["short"]] == {**default, **MINUTE}
    assert shown[ids["long"]] == {**default, "udp_timeout": 60}


# ---- half-open

def segment(sport, dport, flags, source, target):
    head = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 1000, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack(">BBH", 0, 6, len(head))
    total = sum(struct.unpack(">%dH" % ((len(pseudo) + len(head)) // 2), pseudo + head))
    total = (total >> 16) + (total & 0xffff)
    total = (total >> 16) + (total & 0xffff)
    return head[:16] + struct.pack(">H", ~total & 0xffff) + head[18:]


@pytest.mark.ids("CT-10")
@pytest.mark.mutant("idle-half-open")
def test_half_open_connections_are_forgotten_sooner(product):
    """Nobody answers a SYN; an answer in time passes, one that comes later is nobody's, while what is established lives."""
    product.up(lab(scale=120))
    kept = Tcp(product, "client", "server")
    ends = {n: End(product, n, socket.SOCK_RAW, socket.IPPROTO_TCP) for n in ("client", "server")}
    a, b = ends["client"], ends["server"]
    late, early = Flow.port + 1, Flow.port + 2
    Flow.port += 2
    for port in (late, early):
        deaf = End(product, "server", socket.SOCK_STREAM)
        # a listener that takes nothing: no SYN-ACK, and no RST either
        nothing = struct.pack("HBBI", 6, 0, 0, 0)
        buffer = ctypes.create_string_buffer(nothing)
        deaf.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(buffer)))
        deaf.sock.bind((b.address, port))
        deaf.sock.listen()
    at_client = product.capture(product.netns(LAB, "client"))

    def answered(port):
        before = dropped(product)
        b.sock.sendto(segment(port, port, 0x12, b.address, a.address), (a.address, 0))

        def outcome():
            came = [p for p in at_client.packets() if not p.outgoing and p.sport == port]
            after = dropped(product)
            return came or {c for c in after if after[c] > before.get(c, 0)}
        got = wait_until(outcome, "the SYN-ACK comes or is dropped")
        assert isinstance(got, list) or got == {"SG_HAS_NO_RULES"}, got
        return isinstance(got, list)
    for port in (late, early):
        a.sock.sendto(segment(port, port, 0x02, a.address, b.address), (b.address, 0))
        wait_until(lambda port=port: entry(product, "tcp", port), "the SYN is tracked")
    assert answered(early)
    wait_until(lambda: not entry(product, "tcp", late), "120 s are over")
    assert not answered(late)
    assert kept.answer() and kept.question()
    at_client.close()


# ---- other protocols

@pytest.mark.ids("CT-7")
@pytest.mark.mutant("idle-times", "tracked")
def test_other_protocols_are_tracked_by_address(product):
    """Protocol 253: an answer passes for 600 s, from whom was asked and in that protocol."""
    doc = lab(scale=600)
    any_ = [{"protocol": str(n), "cidr_blocks": ["10.0.0.0/16"]} for n in (253, 254)]
    doc = having(doc, {"egress": any_}, "vpcs", "main", "security_groups", "client")
    doc = having(doc, {"ingress": any_, "egress": []}, "vpcs", "main", "security_groups", "server")
    product.up(doc)
    ends = {(n, p): End(product, n, socket.SOCK_RAW, p) for n in ("client", "server", "short") for p in (253, 254)}

    def passes(source, target, protocol):
        one, other = ends[source, protocol], ends[target, protocol]
        before = dropped(product)
        one.sock.sendto(b"x", (other.address, 0))

        def outcome():
            came = select.select([other.sock], [], [], 0.05)[0]
            after = {} if came else dropped(product)
            return came or {c for c in after if after[c] > before.get(c, 0)}
        got = wait_until(outcome, "the packet comes or is dropped")
        if isinstance(got, set):
            assert got == {"SG_HAS_NO_RULES"}, got
            return False
        other.sock.recv(100)
        return True
    assert not passes("server", "client", 253)
    assert passes("client", "server", 253)
    assert passes("server", "client", 253)
    assert not passes("server", "client", 254)
    assert not passes("short", "client", 253)
    wait_until(lambda: not entry(product, "unknown", None), "600 s are over")
    assert not passes("server", "client", 253)
    assert passes("client", "server", 253)
    assert passes("server", "client", 253)
