# SPDX-License-Identifier: MIT
"""
What a NAT gateway does to packets: limits, idle times, protocols, fragments, sizes, and what it counts.

    public 10.0.1.0/24: NAT gateway (203.0.113.10)      private 10.0.2.0/24, us-east-1a: app, peer
    other 10.0.3.0/24, us-east-1b: far                  api 198.51.100.10, web 198.51.100.20 on the internet
"""
import socket
import struct

import pytest

from product import having, in_netns, wait_until

VPC = ("vpcs", "main")
NAT = (*VPC, "nat_gateways", "nat")
API, WEB = "198.51.100.10", "198.51.100.20"
METRICS = {"ActiveConnectionCount", "BytesInFromDestination", "BytesInFromSource", "BytesOutToDestination",
           "BytesOutToSource", "ConnectionAttemptCount", "ConnectionEstablishedCount", "ErrorPortAllocation",
           "IdleTimeoutCount", "PacketsDropCount", "PacketsInFromDestination", "PacketsInFromSource",
           "PacketsOutToDestination", "PacketsOutToSource"}


def lab(**nat):
    return {
        "version": 1, "lab": "nat",
        "internet": {"hosts": {"api": {"ip": API, "serve": ["tcp/443", "udp/53", "tcp/8080"]},
                               "web": {"ip": WEB, "serve": ["tcp/443"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True, "main_route_table": "private",
            "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.2.0/24"},
                        "other": {"cidr_block": "10.0.3.0/24", "availability_zone": "us-east-1b"}},
            "nat_gateways": {"nat": dict({"subnet": "public", "elastic_ip": "203.0.113.10"}, **nat)},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": {
                "app": {"subnet": "private", "security_groups": ["open"], "serve": ["tcp/80"]},
                "peer": {"subnet": "private", "security_groups": ["open"], "source_dest_check": False},
                "far": {"subnet": "other", "security_groups": ["open"]},
            },
        }},
    }


def gateway(product):
    return product.show("nat", "nat_gateways/main/nat")


def metrics(product):
    return gateway(product)["metrics"]


def inside(product, node, fn, lab="nat"):
    return in_netns(product.netns(lab, node), fn)


def connect(product, node="app", to=(API, 443), timeout=2.0, source=None, lab="nat"):
    """A connection through the gateway, or None in silence."""
    def make():
        s = socket.socket()
        s.settimeout(timeout)
        if source:
            s.bind(source)
        try:
            s.connect(to)
        except socket.timeout:
            s.close()
            return None
        return s
    return inside(product, node, make, lab)


def talk(s, text=b"hello\n"):
    """One message and its echo."""
    s.sendall(text)
    got = b""
    while text not in got:
        more = s.recv(4096)
        assert more, "closed after %r" % got
        got += more


def raw(product, node, packets):
    """Whole IP packets, as they are."""
    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for p in packets:
            s.sendto(p, (socket.inet_ntoa(p[16:20]), 0))
        s.close()
    inside(product, node, send)


def ip(source, target, proto, payload, ident=7, frag=0):
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, frag, 64, proto, 0,
                       socket.inet_aton(source), socket.inet_aton(target)) + payload


def udp(sport, dport, body):
    return struct.pack(">HHHH", sport, dport, 8 + len(body), 0) + body


def echo(ident, body):
    head = struct.pack(">BBHHH", 8, 0, 0, ident, 1)
    return struct.pack(">BBHHH", 8, 0, checksum(head + body), ident, 1) + body


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def private_ip(product, node):
    return product.show("nat", "instances/" + node)["private_ip"]


def rose(product, before):
    after = product.dropped("nat")
    return {c: after[c] - before.get(c, 0) for c in after if after[c] != before.get(c, 0)}


# ---- limits and times

@pytest.mark.asan
@pytest.mark.ids("NAT-4")
@pytest.mark.mutant("nat-limit")
def test_connections_to_one_destination_have_a_limit(product):
    """The fourth of three is silence and counted; another port and another host still work, and a place that is free again."""
    product.up(lab(max_connections_per_destination=3))
    held = [connect(product, node) for node in ("app", "app", "far")]
    for s in held:
        talk(s)
    got = product.probe("nat", "app", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "ErrorPortAllocation")
    assert metrics(product)["ErrorPortAllocation"] > 0
    assert product.probe("nat", "app", "api", "tcp/8080")["result"] == "open"
    assert product.probe("nat", "far", "web", "tcp/443")["result"] == "open"
    for s in held:
        talk(s)
    held.pop().close()
    assert product.probe("nat", "app", "api", "tcp/443")["result"] == "open"
    # one more, by an update that leaves what is open alone
    product.up(lab(max_connections_per_destination=4))
    for s in held:
        talk(s)
        s.close()


@pytest.mark.asan
@pytest.mark.ids("NAT-5", "NAT-23")
@pytest.mark.mutant("nat-idle")
@pytest.mark.mutant("nat-reset")
@pytest.mark.mutant("nat-metrics-idle")
def test_idle_for_too_long(product):
    """Nothing is sent when the time is over; what comes next from the inside gets a RST, and nothing goes out."""
    doc = having(lab(idle_timeout=350), 350, "time_scale")
    product.up(doc)
    s = connect(product)
    talk(s)
    assert metrics(product)["IdleTimeoutCount"] == 0
    here, there = product.capture(product.netns("nat", "app")), product.capture(product.netns("nat", "api"))
    wait_until(lambda: metrics(product)["ActiveConnectionCount"] == 0, "the gateway has forgotten the connection")
    assert not [p for p in here.packets() if not p.outgoing] and not there.packets()
    s.sendall(b"still there?\n")
    with pytest.raises(ConnectionResetError):
        s.recv(100)
    back = [p for p in here.packets() if not p.outgoing]
    assert [(p.src, p.flags & 4) for p in back] == [(API, 4)] and not there.packets()
    assert metrics(product)["IdleTimeoutCount"] == 1
    for c in (here, there, s):
        c.close()


@pytest.mark.ids("NAT-5")
@pytest.mark.mutant("nat-idle")
def test_idle_timeout_is_the_files(product):
    """By itself, without time_scale; and a change concerns what is open, from its next packet on."""
    product.up(lab(idle_timeout=2))
    s = connect(product)
    talk(s)
    wait_until(lambda: metrics(product)["ActiveConnectionCount"] == 0, "two seconds are over")
    s.sendall(b"x\n")
    with pytest.raises(ConnectionResetError):
        s.recv(100)
    s.close()
    got = product.up(lab(idle_timeout=350))
    assert [(c["action"], c["kind"]) for c in got["changes"]] == [("update", "nat_gateway")]
    s = connect(product)
    talk(s)
    table = product.vpclab("exec", "nat", "nat_gateway:main/nat", "--", "cat",
                           "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established").out
    assert int(table) == 350
    s.close()


# ---- what it lets through

@pytest.mark.asan
@pytest.mark.ids("NAT-3")
@pytest.mark.mutant("nat-ports")
def test_ports_are_from_1024_on(product):
    product.up(lab())
    seen = product.capture(product.netns("nat", "api"))
    for node in ("app", "peer"):
        s = connect(product, node, source=("", 500))
        talk(s)
        s.close()
    ports = {p.sport for p in seen.packets() if p.flags & 0x12 == 2}
    seen.close()
    assert len(ports) == 2 and all(p >= 1024 for p in ports), ports


@pytest.mark.asan
@pytest.mark.ids("NAT-7")
@pytest.mark.mutant("nat-protocols")
def test_three_protocols_only(product):
    product.up(lab())
    app = private_ip(product, "app")
    seen = product.capture(product.netns("nat", "api"))
    before = product.dropped("nat")
    raw(product, "app", [ip(app, API, 47, b"\0" * 20), ip(app, API, 50, b"\1" * 20), ip(app, API, 132, b"\1" * 20)])
    for port in ("tcp/443", "udp/53", "icmp"):
        got = product.probe("nat", "app", "api", port)
        assert got["result"] == "open" and got["seen_as"] in ("203.0.113.10", None), port
    packets = seen.packets()
    seen.close()
    assert {p.proto for p in packets if not p.outgoing} == {1, 6, 17}
    assert rose(product, before) == {"PROTOCOL_RESTRICTION": 3}


@pytest.mark.asan
@pytest.mark.ids("NAT-7", "NAT-2")
@pytest.mark.mutant("nat-source")
def test_pings_of_two_with_one_id(product):
    """Equal ids of two nodes are told apart on the way back."""
    product.up(lab())
    seen = product.capture(product.netns("nat", "api"))
    here = [product.capture(product.netns("nat", n)) for n in ("app", "far")]
    for n in ("app", "far"):
        raw(product, n, [ip(private_ip(product, n), API, 1, echo(77, n.encode()))])
    for c, n in zip(here, ("app", "far")):
        got = []
        wait_until(lambda c=c, got=got: got.extend(p for p in c.packets() if p.icmp == (0, 0)) or got, "an echo")
        assert [p.payload[4:6] + p.payload[8:] for p in got] == [struct.pack(">H", 77) + n.encode()]
        c.close()
    asked = [p for p in seen.packets() if p.icmp == (8, 0)]
    seen.close()
    assert {p.src for p in asked} == {"203.0.113.10"} and len({p.payload[4:6] for p in asked}) == 2


@pytest.mark.asan
@pytest.mark.ids("NAT-10")
@pytest.mark.mutant("nat-fragments")
def test_fragments_of_udp_only(product):
    product.up(lab())
    app = private_ip(product, "app")
    seen = product.capture(product.netns("nat", "api"))
    before = product.dropped("nat")

    def datagram():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(5)
        s.sendto(b"u" * 12000, (API, 53))
        got = s.recv(65536)
        s.close()
        return got
    assert b"u" * 1000 in inside(product, "app", datagram)
    assert rose(product, before) == {}
    ping = echo(5, b"p" * 1400)
    syn = struct.pack(">HHIIBBHHH", 4000, 443, 1, 0, 0x50, 2, 1000, 0, 0) + b"t" * 1004
    for proto, whole in ((1, ping), (6, syn)):
        raw(product, "app", [ip(app, API, proto, whole[:1000], frag=0x2000), ip(app, API, proto, whole[1000:], frag=125)])
    # the same question in one piece
    raw(product, "app", [ip(app, API, 1, ping, ident=9)])
    asked = []
    wait_until(lambda: asked.extend(p for p in seen.packets() if p.icmp == (8, 0)) or asked, "the whole ping")
    assert len(asked) == 1 and not [p for p in seen.packets() if p.sport == 4000]
    seen.close()
    assert rose(product, before) == {"PROTOCOL_RESTRICTION": 4}


def told_mtu(product, size):
    """What a datagram of so many bytes, IP header included, that must not be cut gets for an answer: (who, MTU)."""
    here = product.capture(product.netns("nat", "app"))

    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER, PROBE: DF, whatever the kernel has been told
        s.sendto(b"x" * (size - 28), (API, 53))
        s.close()
    inside(product, "app", send)
    got = []
    wait_until(lambda: got.extend(p for p in here.packets() if p.icmp == (3, 4)) or got, "fragmentation needed")
    here.close()
    return got[0].src, struct.unpack(">H", got[0].payload[6:8])[0]


@pytest.mark.asan
@pytest.mark.ids("NAT-11")
@pytest.mark.mutant("nat-mtu")
def test_mtu_of_8500(product):
    """What doesn't fit is told by the gateway; what doesn't fit the internet, by the router, and it finds its way back."""
    product.up(lab())
    assert told_mtu(product, 8501) == (gateway(product)["private_ip"], 8500)
    assert told_mtu(product, 8500) == ("10.0.1.1", 1500)


@pytest.mark.asan
@pytest.mark.ids("NAT-11")
@pytest.mark.mutant("nat-mss")
def test_segments_are_clamped(product):
    product.up(lab())
    here, there = product.capture(product.netns("nat", "app")), product.capture(product.netns("nat", "api"))
    assert product.probe("nat", "app", "api", "tcp/443")["result"] == "open"

    def sizes(c):
        return {struct.unpack(">H", p.payload[22:24])[0] for p in c.packets()
                if p.flags & 0x12 == 2 and p.payload[20:22] == b"\x02\x04"}
    assert (sizes(here), sizes(there)) == ({8961}, {8460})
    here.close()
    there.close()


@pytest.mark.asan
@pytest.mark.ids("NAT-13")
@pytest.mark.mutant("nat-sources")
def test_sources_of_its_vpc_only(product):
    """An address of elsewhere, from an interface that may send it; nor is it told of a connection that isn't there."""
    product.up(lab())
    seen = product.capture(product.netns("nat", "api"))
    before = product.dropped("nat")
    for source in ("172.31.0.5", "192.0.2.77"):
        raw(product, "peer", [ip(source, API, 17, udp(4000, 53, b"x"))])
    raw(product, "peer", [ip("172.31.0.5", API, 6, struct.pack(">HHIIBBHHH", 4000, 443, 1, 1, 0x50, 0x10, 999, 0, 0))])
    raw(product, "peer", [ip(private_ip(product, "peer"), API, 17, udp(4001, 53, b"y"))])
    got = []
    wait_until(lambda: got.extend(p for p in seen.packets() if p.dport == 53) or got, "what is its own")
    seen.close()
    assert [p.payload[8:] for p in got] == [b"y"]
    assert rose(product, before) == {"NGW_REQUIRES_SOURCE_IN_VPC": 3}


@pytest.mark.ids("NAT-16")
@pytest.mark.mutant("nat-source")
def test_subnets_of_other_zones_may_use_it(product):
    product.up(lab())
    zones = {n: s["availability_zone"] for n, s in product.show("nat")["vpcs"]["main"]["subnets"].items()}
    assert zones["public"] != zones["other"]
    got = product.probe("nat", "far", "api", "tcp/443")
    assert (got["result"], got["seen_as"]) == ("open", "203.0.113.10")


# ---- what it counts

@pytest.mark.asan
@pytest.mark.ids("NAT-23")
@pytest.mark.mutant("nat-metrics-out")
def test_metrics_are_those_of_the_traffic(product):
    """All that the nodes at both ends sent and got, to the byte; refused, unanswered, open and closed connections."""
    product.up(lab())
    assert {n for n, v in metrics(product).items() if v == 0} == METRICS
    here, there = product.capture(product.netns("nat", "app")), product.capture(product.netns("nat", "api"))
    kept, closed = connect(product), connect(product)
    for s in (kept, closed):
        talk(s)
    closed.close()
    with pytest.raises(ConnectionRefusedError):
        connect(product, to=(API, 9))

    def datagrams():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(5)
        for n in (1, 100, 1000):
            s.sendto(b"d" * n, (API, 53))
            s.recv(2000)
        s.close()
    inside(product, "app", datagrams)
    raw(product, "app", [ip(private_ip(product, "app"), API, 47, b"\0" * 20)])
    wait_until(lambda: metrics(product)["PacketsDropCount"] == 1, "GRE is dropped")
    a, b = [], []

    def count(packets, outgoing):
        mine = [p for p in packets if p.outgoing == outgoing and p.proto in (6, 17)]
        return len(mine), sum(len(p.data) for p in mine)

    def agree():
        """The last packets of the closed connection may still be on their way."""
        got = metrics(product)
        a.extend(here.packets())
        b.extend(there.packets())
        n, size = count(a, True)
        return [(got["Packets" + m], got["Bytes" + m]) for m in
                ("InFromSource", "OutToSource", "OutToDestination", "InFromDestination")] == [
            (n + 1, size + 40), count(a, False), count(b, False), count(b, True)]
    wait_until(agree, "the gateway has counted what the captures have")
    got = metrics(product)
    assert (got["ConnectionAttemptCount"], got["ConnectionEstablishedCount"]) == (4, 3), got
    assert (got["ActiveConnectionCount"], got["PacketsDropCount"]) == (1, 1)
    assert (got["ErrorPortAllocation"], got["IdleTimeoutCount"]) == (0, 0)
    for c in (here, there, kept):
        c.close()
