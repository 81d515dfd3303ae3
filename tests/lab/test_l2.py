# SPDX-License-Identifier: MIT
"""
Layer 2 of a subnet: no broadcast, no foreign MAC, ARP answered by the fabric alone, and nobody hears what is others'.

    one 10.0.1.0/24: a 10.0.1.10, b 10.0.1.11, c 10.0.1.12
"""
import fcntl
import os
import socket
import struct

import pytest

from product import in_netns, wait_until

BROADCAST = b"\xff" * 6
LAB = {
    "version": 1, "lab": "frames",
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16",
        "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
        "instances": {n: {"subnet": "one", "private_ips": ["10.0.1.1%d" % i], "security_groups": ["open"],
                          "serve": ["udp/9000", "tcp/80"]} for i, n in enumerate("abc")},
    }},
}


class Wire:
    """All frames of a node's interface, of others' too, and frames of one's own making."""

    def __init__(self, product, node):
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(0x0003))
            s.bind(("eth0", 0x0003))
            index = socket.if_nametoindex("eth0")
            s.setsockopt(263, 1, struct.pack("iHH8s", index, 1, 0, b""))  # SOL_PACKET, ADD_MEMBERSHIP: promiscuous
            s.setblocking(False)
            return s
        self.sock = in_netns(product.netns("frames", node), make)
        self.mac = fcntl.ioctl(self.sock, 0x8927, struct.pack("256s", b"eth0"))[18:24]

    def send(self, to, kind, body, mac=None):
        self.sock.send(to + (mac or self.mac) + struct.pack(">H", kind) + body)

    def received(self):
        got = []
        while True:
            try:
                data, addr = self.sock.recvfrom(65536)
            except BlockingIOError:
                return got
            if addr[2] != 4:
                got.append(data)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def arp(wire, sender, target, operation=1, to=BROADCAST):
    wire.send(to, 0x0806, struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, wire.mac, socket.inet_aton(sender),
                                      bytes(6), socket.inet_aton(target)))


def arp_frames(frames):
    return [f for f in frames if f[12:14] == b"\x08\x06"]


def router_mac(wire, own):
    """By the answer to an ARP request under the own address."""
    arp(wire, own, "10.0.1.1")
    answers = []
    wait_until(lambda: answers.extend(arp_frames(wire.received())) or answers, "the fabric answers ARP")
    return answers[0][22:28]


def checksum(data):
    s = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    s = (s >> 16) + (s & 0xffff)
    return ~(s + (s >> 16)) & 0xffff


def udp(source, target, port=9000, body=b"mine", sport=4000):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(body), 7, 0, 64, 17, 0, socket.inet_aton(source),
                       socket.inet_aton(target))
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return head + struct.pack(">HHHH", sport, port, 8 + len(body), 0) + body


def udp_ports(frames):
    return [struct.unpack(">HH", f[34:38]) for f in frames if f[12:14] == b"\x08\x00" and f[23] == 17]


QUERY = struct.pack(">HHHHHH", os.getpid() & 0xffff, 0x0100, 1, 0, 0, 0) + b"\x01a\x04main\x08internal\x00\x00\x01\x00\x01"


@pytest.mark.asan
@pytest.mark.ids("L2-1")
@pytest.mark.mutant("broadcast")
def test_broadcast_and_multicast_end_at_the_interface(product):
    """Frames to everybody reach nobody, and the resolver neither; the same datagrams to the router's MAC arrive."""
    product.up(LAB)
    before = product.dropped("frames")

    def bound():  # or the host itself would refuse what is answered
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", 4003))
        return s
    with in_netns(product.netns("frames", "a"), bound), Wire(product, "a") as a, Wire(product, "b") as b, \
            Wire(product, "c") as c:
        router = router_mac(a, "10.0.1.10")
        for to in (BROADCAST, b"\x01\x00\x5e\x00\x00\x01", b"\x33\x33\x00\x00\x00\x01"):
            for target in ("10.0.1.255", "255.255.255.255", "224.0.0.1", "10.0.1.11"):
                a.send(to, 0x0800, udp("10.0.1.10", target))
            a.send(to, 0x0800, udp("10.0.1.10", "10.0.0.2", 53, QUERY, 4001))
        # what follows on the same link shows that all of the above has been dealt with
        a.send(router, 0x0800, udp("10.0.1.10", "10.0.1.11", 9000, b"last", 4002))
        a.send(router, 0x0800, udp("10.0.1.10", "10.0.0.2", 53, QUERY, 4003))
        answers, seen = [], []
        wait_until(lambda: seen.extend(b.received()) or (4002, 9000) in udp_ports(seen), "the datagram to one arrives")
        wait_until(lambda: answers.extend(a.received()) or (53, 4003) in udp_ports(answers), "the resolver answers")
        assert [p for p in udp_ports(seen) if p[1] == 9000] == [(4002, 9000)]
        assert (53, 4001) not in udp_ports(answers), "the resolver answered a broadcast"
        assert c.received() == []
    assert product.dropped("frames") == before, "a reason was given for what never was on its way"


@pytest.mark.asan
@pytest.mark.ids("L2-2")
@pytest.mark.mutant("mac-spoofing")
def test_a_foreign_mac_is_dropped(product):
    product.up(LAB)
    before = product.dropped("frames")
    with Wire(product, "a") as a, Wire(product, "b") as b, Wire(product, "c") as c:
        router = router_mac(a, "10.0.1.10")
        for sport, mac in ((4001, b"\x02\x00\x00\x00\x00\x01"), (4002, c.mac), (4003, router), (4004, None)):
            a.send(router, 0x0800, udp("10.0.1.10", "10.0.1.11", sport=sport), mac)
        seen = []
        wait_until(lambda: seen.extend(b.received()) or (4004, 9000) in udp_ports(seen), "the own MAC's arrives")
        assert [p for p in udp_ports(seen) if p[1] == 9000] == [(4004, 9000)]
    after = product.dropped("frames")
    assert {k: after[k] - before.get(k, 0) for k in after} == {"ENI_ADDRESS_RESTRICTION": 3}


@pytest.mark.asan
@pytest.mark.ids("L2-3")
@pytest.mark.mutant("arp-guard")
def test_arp_is_answered_only_to_who_asks_as_itself(product):
    """A request under a neighbour's address gets no answer, and gratuitous ARP moves nothing."""
    product.up(LAB)
    with Wire(product, "a") as a, Wire(product, "b") as b, Wire(product, "c") as c:
        for operation in (1, 2):
            arp(c, "10.0.1.11", "10.0.1.11", operation)  # gratuitous: "10.0.1.11 is at c"
            arp(c, "10.0.1.11", "10.0.1.10", operation)
            arp(c, "10.0.1.1", "10.0.1.10", operation)   # as the router
        arp(c, "10.0.1.12", "10.0.1.10")                 # the last one under its own address
        answers = []
        wait_until(lambda: answers.extend(arp_frames(c.received())) or answers, "the fabric answers ARP")
        assert {(f[28:32], f[38:42]) for f in answers} == {(socket.inet_aton("10.0.1.10"), socket.inet_aton("10.0.1.12"))}
        assert a.received() == [] and b.received() == [], "others heard the ARP of c"
        assert product.probe("frames", "a", "b", "tcp/80")["result"] == "open"
        assert not [f for f in c.received() if f[12:14] == b"\x08\x00"], "the address moved to c"


@pytest.mark.asan
@pytest.mark.ids("L2-3", "L2-4")
@pytest.mark.mutant("permanent-neighbours")
def test_nobody_hears_what_is_others(product):
    """c listens to everything while a talks to b: nothing; and b gets a's packets alone, no question of the fabric's."""
    product.up(LAB)
    with Wire(product, "a") as a, Wire(product, "b") as b, Wire(product, "c") as c:
        assert product.probe("frames", "a", "b", "tcp/80")["result"] == "open"
        assert product.probe("frames", "a", "b", "icmp")["result"] == "open"
        seen = b.received()
        assert [f for f in seen if f[12:14] == b"\x08\x00"], "b hears what is its own"
        # asked by b itself, for its answers; the fabric knows where b is and asks nobody
        assert [f for f in arp_frames(seen) if f[20:22] == b"\x00\x01"] == []
        assert [f for f in arp_frames(a.received()) if f[20:22] == b"\x00\x01"] == []
        assert c.received() == []
        # a dead address: the fabric answers for it, asks nobody, and c hears nothing of that either
        assert product.probe("frames", "a", "10.0.1.77", "tcp/80")["result"] == "timeout"
        assert c.received() == []
