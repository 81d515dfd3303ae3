# SPDX-License-Identifier: MIT
"""
Internet gateway (1:1, only for who has a public address) and NAT gateway.

    public 10.0.1.0/24: web (elastic 203.0.113.5), bare (none), NAT gateway (203.0.113.10)
    private 10.0.2.0/24: app       api 198.51.100.10 on the internet
"""
import socket

import pytest

from product import having, in_netns, prove_deny, without

VPC = ("vpcs", "main")


def lab():
    return {
        "version": 1, "lab": "gateways",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53", "tcp/8080"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.2.0/24", "route_table": "private"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {
                "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]},
                "byref": {"ingress": [{"protocol": "tcp", "from_port": 80, "security_groups": ["open"]}]}},
            "instances": {
                "web": {"subnet": "public", "security_groups": ["open"], "elastic_ip": "203.0.113.5",
                        "serve": ["tcp/80", "udp/80"]},
                "bare": {"subnet": "public", "security_groups": ["open"], "serve": ["tcp/80"]},
                "app": {"subnet": "private", "security_groups": ["open"], "serve": ["tcp/80"]},
                "guarded": {"subnet": "public", "security_groups": ["byref"], "elastic_ip": "203.0.113.6",
                            "serve": ["tcp/80"]},
            },
        }},
    }


@pytest.mark.asan
@pytest.mark.ids("IGW-2", "IGW-5", "ENI-11")
@pytest.mark.mutant("gateway-map")
def test_one_to_one(product):
    """Out and in by the elastic address, ports untouched; the host never sees it on its interface."""
    product.up(lab())
    out = product.probe("gateways", "web", "api", "tcp/443")
    assert (out["result"], out["seen_as"]) == ("open", "203.0.113.5")
    into = product.probe("gateways", "api", "web", "tcp/80")
    assert (into["result"], into["seen_as"]) == ("open", "198.51.100.10")
    addresses = product.vpclab("exec", "gateways", "web", "--", "ip", "-4", "-o", "addr", "show", "dev", "eth0").out
    assert "10.0.1." in addresses and "203.0.113.5" not in addresses


@pytest.mark.ids("IGW-2")
@pytest.mark.mutant("gateway-map")
def test_source_port_is_kept_by_the_gateway(product):
    product.up(lab())
    seen = product.capture(product.netns("gateways", "api"))

    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", 4567))
        s.settimeout(5)
        s.sendto(b"x", ("198.51.100.10", 53))
        s.recv(1500)
        s.close()
    in_netns(product.netns("gateways", "web"), send)
    ports = {p.sport for p in seen.packets() if p.dport == 53}
    seen.close()
    assert ports == {4567}


@pytest.mark.asan
@pytest.mark.ids("IGW-3")
@pytest.mark.mutant("gateway-map")
def test_no_public_address_no_way_out(product):
    with_one = having(lab(), "203.0.113.7", *VPC, "instances", "bare", "elastic_ip")
    prove_deny(product, with_one, lab(), "bare", "api", "tcp/443", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")


@pytest.mark.ids("IGW-5")
def test_an_address_without_owner(product):
    """Ingress only to a public address of an interface: one that is taken away is not reached."""
    product.up(lab())
    assert product.probe("gateways", "api", "203.0.113.5", "tcp/80")["result"] == "open"
    product.up(without(lab(), *VPC, "instances", "web", "elastic_ip"))
    assert product.probe("gateways", "api", "203.0.113.5", "tcp/80")["result"] == "timeout"


@pytest.mark.ids("IGW-4")
@pytest.mark.mutant("gateway-map")
def test_public_address_in_a_private_subnet(product):
    """The SYN arrives; the answer follows the private table to the NAT gateway and is lost."""
    doc = having(lab(), "203.0.113.8", *VPC, "instances", "app", "elastic_ip")
    product.up(doc)
    at = product.capture(product.netns("gateways", "app"))
    got = product.probe("gateways", "api", "app", "tcp/80")
    packets = at.packets()
    at.close()
    assert got["result"] == "timeout"
    assert [p for p in packets if not p.outgoing and p.dport == 80], "the SYN should arrive"


@pytest.mark.ids("IGW-6")
@pytest.mark.mutant("gateway-private")
@pytest.mark.parametrize("address,code", [
    ("10.9.9.9", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
    ("192.168.1.1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
    ("100.64.1.1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS")])
def test_private_destinations_are_rejected(product, address, code):
    product.up(lab())
    got = product.probe("gateways", "web", address, "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", code)


@pytest.mark.asan
@pytest.mark.ids("IGW-10", "SG-10")
@pytest.mark.mutant("gateway-map")
def test_hairpin_by_public_addresses(product):
    """Two hosts of one VPC by public address: each sees the other's, so group references fail."""
    product.up(lab())
    got = product.json("probe", "gateways", "web", "203.0.113.6", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "SG_REFERENCES_NOT_PRESERVED")
    assert product.probe("gateways", "web", "guarded", "tcp/80")["result"] == "open"
    product.up(having(lab(), ["open"], *VPC, "instances", "guarded", "security_groups"))
    got = product.probe("gateways", "web", "203.0.113.6", "tcp/80")
    assert (got["result"], got["seen_as"]) == ("open", "203.0.113.5")


@pytest.mark.asan
@pytest.mark.ids("NAT-2", "NAT-3", "NAT-14")
@pytest.mark.mutant("nat-source")
def test_nat_translates_twice(product):
    """To its private address inside the VPC, to the elastic one beyond the gateway; ports remapped."""
    product.up(lab())
    outside = product.capture(product.netns("gateways", "api"))
    router = product.capture(product.named_netns("gateways", "router.main"))
    got = product.probe("gateways", "app", "api", "tcp/443")
    assert (got["result"], got["seen_as"]) == ("open", "203.0.113.10")
    nat = product.show("gateways", "nat_gateways/main/nat")["private_ip"]
    syns = [p for p in outside.packets() if p.flags & 0x12 == 2]
    assert {p.src for p in syns} == {"203.0.113.10"} and all(1024 <= p.sport for p in syns)
    legs = {p.src for p in router.packets() if p.flags & 0x12 == 2}
    assert nat in legs, legs
    outside.close()
    router.close()


@pytest.mark.asan
@pytest.mark.ids("NAT-6", "NAT-8")
@pytest.mark.mutant("nat-unasked")
@pytest.mark.parametrize("port", ["tcp/80", "udp/53", "icmp"])
def test_nat_takes_nothing_unasked(product, port):
    product.up(lab())
    app = product.capture(product.netns("gateways", "app"))
    for source, address in (("api", "203.0.113.10"),
                            ("app", product.show("gateways", "nat_gateways/main/nat")["private_ip"])):
        got = product.probe("gateways", source, address, port)
        assert (got["result"], got["dropped"]["code"]) == ("timeout", "NO_POSSIBLE_DESTINATION"), source
    assert not [p for p in app.packets() if p.src == "198.51.100.10"]
    app.close()


@pytest.mark.ids("NAT-1")
@pytest.mark.mutant("nat-source")
def test_nat_in_a_private_subnet_is_no_way_out(product):
    """A gateway that sits where no route leads to the internet gateway."""
    doc = having(lab(), "lost", *VPC, "subnets", "public", "route_table")
    doc = having(doc, {"routes": {}}, *VPC, "route_tables", "lost")
    product.up(doc)
    got = product.probe("gateways", "app", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "NO_ROUTE_TO_DESTINATION")


@pytest.mark.ids("NAT-9")
@pytest.mark.mutant("output-policy")
@pytest.mark.mutant("nat-hop")
def test_only_the_nat_gateway_is_a_visible_hop(product):
    """Time-outs in transit: the NAT gateway answers with its private address, routers are silent."""
    product.up(lab())
    nat = product.show("gateways", "nat_gateways/main/nat")["private_ip"]
    here = product.capture(product.netns("gateways", "app"))

    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for ttl in range(1, 6):
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            s.sendto(b"x", ("198.51.100.10", 33434 + ttl))
        s.close()
    in_netns(product.netns("gateways", "app"), send)
    assert product.probe("gateways", "app", "api", "tcp/443")["result"] == "open"
    senders = {p.src for p in here.packets() if p.icmp and p.icmp[0] == 11}
    here.close()
    assert senders == {nat}


def test_exec_in_gateways(product):
    product.up(lab())
    nat = product.show("gateways", "nat_gateways/main/nat")["private_ip"]
    assert nat in product.vpclab("exec", "gateways", "nat_gateway:main/nat", "--", "ip", "addr", check=0).out
    assert "203.0.113.5" in product.vpclab("exec", "gateways", "internet", "--", "ip", "route", check=0).out
    assert product.vpclab("exec", "gateways", "router:nosuch", "--", "true").rc == 3
