# SPDX-License-Identifier: MIT
"""
How long interfaces remember what is idle, at a twentieth of AWS's times: UDP of one exchange 1 s, of several 9 s, TCP 6 hours.

    one 10.0.1.0/24: client, hasty (60 s of TCP), patient (60 s of one exchange, a day of TCP)
    mid 10.0.3.0/24: box (forwards)
    two 10.0.2.0/24: server, short (60 s of TCP and of several exchanges), long (60 s of one exchange)

Clients let in nothing and servers let out nothing, and box takes questions only: so answers pass for as long as all on their way
remember, and who doesn't is told by its drop.  The packets are said by sockets of the tests' own in the nodes' namespaces.
"""
import ctypes
import json
import select
import socket
import struct
import subprocess

import pytest

from product import Unix, having, in_netns, wait_until

LAB = "idle"
SO_ATTACH_FILTER = 26
BOTH = [{"protocol": p, "from_port": 5000, "to_port": 5999, "cidr_blocks": ["10.0.0.0/16"]} for p in ("tcp", "udp")]
MINUTE = {"tcp_established_timeout": 60, "udp_stream_timeout": 60}


def lab(open_=True, scale=20):
    inside = {"ingress": list(BOTH) if open_ else [], "egress": []}
    return {
        "version": 1, "lab": LAB, "time_scale": scale,
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16",
            "subnets": {"one": {"cidr_block": "10.0.1.0/24", "route_table": "one"},
                        "two": {"cidr_block": "10.0.2.0/24", "route_table": "two"},
                        "mid": {"cidr_block": "10.0.3.0/24"}},
            "route_tables": {"one": {"routes": {}}, "two": {"routes": {}}},
            "security_groups": {"client": {"egress": [{"protocol": "-1", "cidr_blocks": ["10.0.0.0/16"]}]},
                                "server": inside,
                                "box": {"ingress": list(BOTH), "egress": list(BOTH)}},
            "instances": {
                "client": {"subnet": "one", "security_groups": ["client"]},
                "hasty": {"subnet": "one", "security_groups": ["client"], "connection_tracking": MINUTE},
                "patient": {"subnet": "one", "security_groups": ["client"],
                            "connection_tracking": {"udp_timeout": 60, "tcp_established_timeout": 86400}},
                "server": {"subnet": "two", "security_groups": ["server"]},
                "short": {"subnet": "two", "security_groups": ["server"], "connection_tracking": MINUTE},
                "long": {"subnet": "two", "security_groups": ["server"], "connection_tracking": {"udp_timeout": 60}},
                "box": {"subnet": "mid", "security_groups": ["box"], "source_dest_check": False, "forward": True},
            },
        }},
    }


def via_box(**more):
    doc = having(lab(), {"10.0.2.0/24": "instance:box"}, "vpcs", "main", "route_tables", "one", "routes")
    doc = having(doc, {"10.0.1.0/24": "instance:box"}, "vpcs", "main", "route_tables", "two", "routes")
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
    door = Unix(product.run + "/netd.sock")
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
        for one, other, own, port in ((a, b, self.port + 10000, self.port), (b, a, self.port, self.port + 10000)):
            one.sock.bind((one.address, own))
            one.sock.connect((other.address, port))


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
    """30 s and 180 s: when the first time is over, the answers of the one flow are lost."""
    product.up(lab())
    one, several = Udp(product, "client", "server"), Udp(product, "client", "server")
    assert several.exchange() and several.exchange()
    assert one.exchange()
    wait_until(lambda: not one.memories(), "it is idle for 30 s")
    assert several.answer()
    assert not one.answer()
    assert one.exchange(), "it begins anew"


@pytest.mark.asan
@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-interface")
def test_each_interface_has_its_own_time_of_tcp(product):
    """One end forgets, the other does not; whoever may ask begins anew."""
    product.up(lab())
    kept, lost, asked = Tcp(product, "client", "server"), Tcp(product, "client", "short"), Tcp(product, "hasty", "server")
    assert lost.memories() == {"receives"} and asked.memories() == {"sends"} and not kept.memories()
    assert kept.exchange() and lost.exchange() and asked.exchange()
    wait_until(lambda: not lost.memories() and not asked.memories(), "both are idle for 60 s")
    assert kept.answer()
    assert not lost.answer()
    assert not asked.answer()
    # hasty's egress lets it ask, and server remembers all the while
    assert asked.question()
    assert asked.memories() == {"sends"}


@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-interface")
def test_each_interface_has_its_own_times_of_udp(product):
    """One exchange: 60 s in place of 30.  Several: 60 s in place of 180."""
    product.up(lab())
    one, longer = Udp(product, "client", "server"), Udp(product, "patient", "long")
    several, shorter = Udp(product, "client", "server"), Udp(product, "client", "short")
    assert several.exchange() and several.exchange() and shorter.exchange() and shorter.exchange()
    assert one.exchange() and longer.exchange()
    wait_until(lambda: not one.memories(), "one exchange is idle for 30 s")
    assert longer.answer()
    assert not one.answer()
    wait_until(lambda: not shorter.memories(), "several are idle for 60 s")
    assert several.answer()
    assert not shorter.answer()


@pytest.mark.ids("CT-6")
@pytest.mark.mutant("idle-middlebox")
def test_a_middlebox_has_times_of_its_own(product):
    """The ends remember for 180 s, box as long or for 60 s."""
    product.up(via_box())
    flow, one = Udp(product, "client", "server"), Udp(product, "client", "short")
    assert all(f.exchange() for f in (one, one, flow, flow))
    wait_until(lambda: not one.memories(), "60 s are over")
    assert flow.answer()
    product.up(via_box(connection_tracking={"udp_stream_timeout": 60}))
    flow = Udp(product, "client", "server")
    assert flow.exchange() and flow.exchange()
    wait_until(lambda: "slot1" not in flow.memories(), "60 s are over for box")
    assert not flow.answer()


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


# ---- a full table

@pytest.mark.ids("CT-8")
@pytest.mark.mutant("tracking-full")
def test_a_full_table_drops_what_needs_an_entry(product):
    """131,072 flows whose time an interface of the VPC holds as their sender: one more is dropped, while those that are remembered
    pass, and TCP of an interface with default times, which needs no place there."""
    product.up(lab())
    kept, code = Tcp(product, "patient", "server"), "conntrack_allowance_exceeded"
    flood, address = End(product, "patient", socket.SOCK_RAW, socket.IPPROTO_TCP), kept.server.getsockname()[0]
    assert not dropped(product).get(code)
    for n in range(132000):
        flood.sock.sendto(segment(1024 + n % 44000, 1000 + n // 44000, 0x02, flood.address, address), (address, 0))
    full = dropped(product).get(code, 0)
    assert 132000 - 131072 <= full < 1000, dropped(product)
    late = Udp(product, "client", "server")
    late.client.send(b"x")
    wait_until(lambda: dropped(product)[code] == full + 1, "it is dropped")
    assert not select.select([late.server], [], [], 0)[0]
    assert kept.exchange()
    assert Tcp(product, "client", "server").exchange()
