# SPDX-License-Identifier: MIT
"""Forged sources die at the interface, and nothing but the host's own addresses is delivered to it."""
import socket
import struct

import pytest

from product import having, in_netns

LAB = {
    "version": 1, "lab": "spoof",
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16",
        "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
        "instances": {n: {"subnet": "one", "private_ips": ["10.0.1.1%d" % i], "security_groups": ["open"],
                          "serve": ["udp/9000", "tcp/80"]} for i, n in enumerate("abc")},
    }},
}


def forge(source, target, port=9000):
    """One UDP datagram with a source address of one's choice."""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    udp = struct.pack(">HHHH", 4000, port, 12, 0) + b"mine"
    s.sendto(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 7, 0, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(target)) + udp, (target, 0))
    s.close()


@pytest.mark.asan
@pytest.mark.ids("L2-2")
@pytest.mark.mutant("anti-spoofing")
@pytest.mark.parametrize("source", ["10.0.1.12", "10.0.1.99", "198.51.100.7"])
def test_forged_source_is_dropped(product, source):
    """A neighbour's address, an unused one and a foreign one; the own address passes, before and after."""
    product.up(LAB)
    a, b = product.netns("spoof", "a"), product.netns("spoof", "b")
    seen = product.capture(b)
    before = product.dropped("spoof")
    for address in ("10.0.1.10", source, "10.0.1.10"):
        in_netns(a, lambda sent=address: forge(sent, "10.0.1.11"))
    assert product.probe("spoof", "a", "b", "tcp/80")["result"] == "open"
    sources = [p.src for p in seen.packets() if p.dport == 9000 and not p.outgoing]
    after = product.dropped("spoof")
    seen.close()
    assert sources == ["10.0.1.10", "10.0.1.10"]
    rose = {c: after[c] - before.get(c, 0) for c in after if after[c] != before.get(c, 0)}
    assert rose == {"ENI_ADDRESS_RESTRICTION": 1}


@pytest.mark.ids("ENI-9", "L2-2")
@pytest.mark.mutant("source-dest-check")
def test_check_switched_off_lets_both_through(product):
    product.up(having(LAB, False, "vpcs", "main", "instances", "a", "source_dest_check"))
    seen = product.capture(product.netns("spoof", "b"))
    in_netns(product.netns("spoof", "a"), lambda: forge("10.0.1.99", "10.0.1.11"))
    assert product.probe("spoof", "a", "b", "tcp/80")["result"] == "open"
    assert [p.src for p in seen.packets() if p.dport == 9000] == ["10.0.1.99"]
    seen.close()


@pytest.mark.ids("L2-1", "L2-3")
def test_no_broadcast_and_no_one_elses_frames(product):
    product.up(LAB)
    others = [product.capture(product.netns("spoof", n)) for n in "bc"]

    def shout():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in ("10.0.1.255", "255.255.255.255", "224.0.0.1"):
            s.sendto(b"x", (address, 9000))
        s.close()
    in_netns(product.netns("spoof", "a"), shout)
    assert product.probe("spoof", "a", "b", "tcp/80")["result"] == "open"
    got = [[p for p in c.packets() if p.dport == 9000] for c in others]
    for c in others:
        c.close()
    assert got == [[], []]
