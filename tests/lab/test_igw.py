# SPDX-License-Identifier: MIT
"""
The internet gateway's edges: one a VPC, addresses that don't belong outside, VPCs with public CIDRs, 1500 bytes.

    main 54.10.0.0/16 (publicly routable, as some do): open (elastic 203.0.113.5), bare (none)
    inner 10.0.0.0/16: app behind a private NAT gateway      api 198.51.100.10, private 10.99.0.1 on the internet
"""
import socket
import struct

import pytest

from product import in_netns, prove_deny, having, wait_until

API = "198.51.100.10"


def lab():
    group = {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}}
    return {
        "version": 1, "lab": "igw",
        "internet": {"hosts": {"api": {"ip": API, "serve": ["tcp/443", "udp/53"]},
                               "private": {"ip": "10.99.0.1", "serve": ["tcp/80"]},
                               "shared": {"ip": "100.64.0.9", "serve": ["tcp/80"]}}},
        "vpcs": {
            "main": {
                "cidr_block": "54.10.0.0/16", "internet_gateway": True, "main_route_table": "public",
                "subnets": {"one": {"cidr_block": "54.10.1.0/24"}},
                "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
                "security_groups": group,
                "instances": {
                    "open": {"subnet": "one", "security_groups": ["open"], "elastic_ip": "203.0.113.5",
                             "serve": ["tcp/80", "udp/80"]},
                    "bare": {"subnet": "one", "security_groups": ["open"], "serve": ["tcp/80"]}}},
            "inner": {
                "cidr_block": "10.0.0.0/16", "internet_gateway": True,
                "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                            "app": {"cidr_block": "10.0.2.0/24", "route_table": "private"}},
                "nat_gateways": {"inside": {"subnet": "public", "connectivity_type": "private"}},
                "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                                 "private": {"routes": {"0.0.0.0/0": "nat_gateway:inside"}}},
                "security_groups": group,
                "instances": {"app": {"subnet": "app", "security_groups": ["open"]}}},
        },
    }


def datagram(source, target, port):
    """With a source of one's choice."""
    udp = struct.pack(">HHHH", 4000, port, 12, 0) + b"mine"
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 7, 0, 64, 17, 0, socket.inet_aton(source),
                       socket.inet_aton(target))
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xffff) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xffff) + head[12:] + udp


def forge(product, node, source, target, port):
    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        s.sendto(datagram(source, target, port), (target, 0))
        s.close()
    in_netns(product.netns("igw", node), send)


def dropped(product):
    return product.show("igw")["vpcs"]["main"]["internet_gateway"]["counters"]["dropped"]


@pytest.mark.ids("IGW-1", kind="state")
@pytest.mark.mutant("gateway-of-a-vpc")
@pytest.mark.mutant("gateway-owner")
def test_one_gateway_a_vpc(product):
    """Each VPC's own, which keeps its id, and is taken away and comes back with it; the other's addresses aren't its own."""
    product.up(lab())
    before = {n: v["internet_gateway"]["id"] for n, v in product.show("igw")["vpcs"].items()}
    assert len(set(before.values())) == 2 and all(i.startswith("igw-") for i in before.values())
    product.up(having(lab(), "second gateway", "description"))
    assert {n: v["internet_gateway"]["id"] for n, v in product.show("igw")["vpcs"].items()} == before
    got = product.probe("igw", "api", "54.10.1.5", "tcp/80")
    assert got["result"] == "timeout" and got["dropped"]


@pytest.mark.asan
@pytest.mark.ids("IGW-6")
@pytest.mark.mutant("gateway-private")
@pytest.mark.parametrize("host,code", [("private", "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS"),
                                       ("shared", "IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS")])
def test_private_sources_are_rejected(product, host, code):
    product.up(lab())
    seen = product.capture(product.netns("igw", "open"))
    got = product.probe("igw", host, "203.0.113.5", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", code)
    assert product.probe("igw", "api", "203.0.113.5", "tcp/80")["result"] == "open"
    assert {p.src for p in seen.packets() if not p.outgoing} == {API}
    seen.close()


@pytest.mark.asan
@pytest.mark.ids("IGW-7")
@pytest.mark.mutant("gateway-spoofed")
def test_addresses_of_the_vpc_are_rejected_from_outside(product):
    product.up(lab())
    neighbour = product.show("igw", "instances/bare")["private_ip"]
    seen = product.capture(product.netns("igw", "open"))
    forge(product, "api", neighbour, "203.0.113.5", 80)
    forge(product, "api", "127.0.0.1", "203.0.113.5", 80)
    forge(product, "api", API, "203.0.113.5", 80)
    got = []
    wait_until(lambda: got.extend(p for p in seen.packets() if not p.outgoing) or got, "what isn't forged")
    seen.close()
    assert {p.src for p in got} == {API}
    # a kernel takes no loopback address off a wire at all
    assert dropped(product).get("GATEWAY_REJECTS_SPOOFED_TRAFFIC", 0) >= 1


@pytest.mark.asan
@pytest.mark.ids("IGW-8", "IGW-3")
@pytest.mark.mutant("gateway-egress")
def test_public_cidr_is_translated_like_any(product):
    """A publicly routable private address is none that the internet knows."""
    with_one = having(lab(), "203.0.113.7", "vpcs", "main", "instances", "bare", "elastic_ip")
    prove_deny(product, with_one, lab(), "bare", "api", "tcp/443", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
    got = product.probe("igw", "open", "api", "tcp/443")
    assert (got["result"], got["seen_as"]) == ("open", "203.0.113.5")


@pytest.mark.asan
@pytest.mark.ids("IGW-8", "IGW-5")
@pytest.mark.mutant("gateway-owner")
def test_public_cidr_is_not_reached_from_outside(product):
    """Not even by somebody who puts the packet on the gateway's own link."""
    product.up(lab())
    private = product.show("igw", "instances/open")["private_ip"]
    assert product.probe("igw", "api", private, "tcp/80")["result"] == "timeout"
    link = "igw-" + product.show("igw")["vpcs"]["main"]["internet_gateway"]["id"][4:12]
    neighbours = product.vpclab("exec", "igw", "internet", "--", "ip", "neigh", "show", "dev", link).out
    mac = bytes.fromhex(neighbours.split("lladdr ")[1].split()[0].replace(":", ""))
    seen = product.capture(product.netns("igw", "open"))

    def send():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        for target in (private, "203.0.113.5"):
            s.sendto(datagram(API, target, 80), (link, 0x0800, 0, 0, mac))
        s.close()
    in_netns(product.named_netns("igw", "internet"), send)
    got = []
    wait_until(lambda: got.extend(p for p in seen.packets() if p.dport == 80) or got, "what goes to the public address")
    seen.close()
    assert len(got) == 1, got
    assert dropped(product)["IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"] == 1


@pytest.mark.asan
@pytest.mark.ids("NAT-1", "IGW-3")
@pytest.mark.mutant("gateway-egress")
def test_a_private_nat_gateway_is_no_way_out(product):
    product.up(lab())
    got = product.probe("igw", "app", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
    public = having(lab(), {"inside": {"subnet": "public"}}, "vpcs", "inner", "nat_gateways")
    product.up(public)
    assert product.probe("igw", "app", "api", "tcp/443")["result"] == "open"


@pytest.mark.asan
@pytest.mark.ids("IGW-11", "L2-6")
@pytest.mark.mutant("gateway-mtu")
def test_mtu_of_1500(product):
    """What mustn't be cut is told by the subnet's router; what may be is cut, and comes whole."""
    product.up(lab())
    here, there = product.capture(product.netns("igw", "open")), product.capture(product.netns("igw", "api"))

    def send(size, discover):
        def go():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.IPPROTO_IP, 10, discover)  # IP_MTU_DISCOVER
            s.sendto(b"x" * (size - 28), (API, 53))
            s.close()
        in_netns(product.netns("igw", "open"), go)
    send(1501, 3)
    told = []
    wait_until(lambda: told.extend(p for p in here.packets() if p.icmp == (3, 4)) or told, "fragmentation needed")
    assert [(p.src, struct.unpack(">H", p.payload[6:8])[0]) for p in told] == [("54.10.1.1", 1500)]
    send(1500, 3)
    send(3000, 0)
    got = []
    wait_until(lambda: got.extend(p for p in there.packets() if not p.outgoing and p.proto == 17) or len(got) >= 3, "all parts")
    assert max(len(p.data) for p in got) == 1500 and len(got[0].data) == 1500
    here.close()
    there.close()
