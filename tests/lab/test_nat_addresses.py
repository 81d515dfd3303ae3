# SPDX-License-Identifier: MIT
"""
A NAT gateway with several addresses: each has its own 55,000 connections a destination, new ones take them in turn.

    public 10.0.1.0/24: NAT gateway (203.0.113.10, .11, .12)      private 10.0.2.0/24: app
    api 198.51.100.10, web 198.51.100.20 on the internet
"""
import collections
import socket

import pytest

import test_nat
from product import having, in_netns, wait_until
from test_nat import API, WEB, talk

VPC = ("vpcs", "main")
NAT = (*VPC, "nat_gateways", "nat")
FIRST, SECOND, THIRD = "203.0.113.10", "203.0.113.11", "203.0.113.12"


def lab(*more, **nat):
    return {
        "version": 1, "lab": "many",
        "internet": {"hosts": {"api": {"ip": API, "serve": ["tcp/443", "udp/53", "tcp/8080"]},
                               "web": {"ip": WEB, "serve": ["tcp/443"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.2.0/24", "route_table": "private"}},
            "nat_gateways": {"nat": dict({"subnet": "public", "elastic_ip": FIRST,
                                          "secondary_elastic_ips": list(more)}, **nat)},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "instances": {"app": {"subnet": "private"}},
        }},
    }


def connect(product, to=(API, 443), timeout=1.0):
    """A connection through the gateway, and an echo; None in silence."""
    s = test_nat.connect(product, to=to, timeout=timeout, lab="many")
    if s:
        talk(s)
    return s


def turns(product, n):
    """The one connection that finds room in n turns."""
    tries = [connect(product, timeout=0.2) for _ in range(n)]
    assert sum(s is not None for s in tries) == 1
    return next(s for s in tries if s)


def seen(product, capture):
    """{source: its connections that have begun}, of what has come in since the last time."""
    syns = {(p.src, p.sport) for p in capture.packets() if p.flags & 0x12 == 2 and not p.outgoing}
    return dict(collections.Counter(src for src, _ in syns))


def gateway(product):
    return product.show("many", "nat_gateways/main/nat")


@pytest.mark.asan
@pytest.mark.ids("NAT-4", "NAT-23")
@pytest.mark.mutant("nat-secondary")
@pytest.mark.mutant("nat-turns")
@pytest.mark.mutant("nat-limit")
def test_each_address_has_its_own_connections(product):
    """Two of each of three are taken in turn; the seventh is silence and counted; each that ends makes room at its own."""
    product.up(lab(SECOND, THIRD, max_connections_per_destination=2))
    at = product.capture(product.netns("many", "api"))
    held = [connect(product) for _ in range(6)]
    assert all(held) and seen(product, at) == {FIRST: 2, SECOND: 2, THIRD: 2}
    assert gateway(product)["metrics"]["ErrorPortAllocation"] == 0
    got = product.probe("many", "app", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "ErrorPortAllocation")
    assert gateway(product)["metrics"]["ErrorPortAllocation"] > 0 and not seen(product, at)
    # others go on: another port, another host, and what is open
    assert product.probe("many", "app", "api", "tcp/8080")["result"] == "open"
    assert product.probe("many", "app", "web", "tcp/443")["result"] == "open"
    for s in held:
        talk(s)
    seen(product, at)
    # there is room at one address only, whose turn comes within three; and however often, there is never less
    for n in (0, 4, 4, 1, 0, 2):
        open_ = gateway(product)["metrics"]["ActiveConnectionCount"]
        held[n].close()
        wait_until(lambda: gateway(product)["metrics"]["ActiveConnectionCount"] < open_, "its end has come through")
        held[n] = turns(product, 3)
        assert list(seen(product, at).values()) == [1]
    for s in held:
        s.close()
    at.close()


@pytest.mark.ids("NAT-4")
@pytest.mark.mutant("nat-secondary")
@pytest.mark.mutant("nat-begun")
def test_datagrams_of_one_flow_stay(product):
    """All of a flow's packets have the address of the first, also where no answer comes, and count once."""
    product.up(lab(SECOND, max_connections_per_destination=1))
    at = product.capture(product.netns("many", "api"))

    silent = in_netns(product.netns("many", "api"), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    silent.bind((API, 5353))
    silent.settimeout(5)

    def send():
        for _ in range(2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for n in range(5):
                    s.sendto(b"%d" % n, (API, 5353))
    in_netns(product.netns("many", "app"), send)
    flows = collections.Counter(silent.recvfrom(100)[1] for _ in range(10))
    silent.close()
    assert sum(p.dport == 5353 and not p.outgoing for p in at.packets()) == 10
    at.close()
    assert sorted((src, n) for (src, _), n in flows.items()) == [(FIRST, 5), (SECOND, 5)]
    assert gateway(product)["metrics"]["ErrorPortAllocation"] == 0


@pytest.mark.asan
@pytest.mark.ids("NAT-4", "NAT-24")
@pytest.mark.mutant("nat-secondary")
def test_addresses_come_and_go(product):
    """One more makes room at once and leaves what is open alone; one that goes ends what went by it, and nothing else."""
    product.up(lab(SECOND, max_connections_per_destination=1))
    one, two = connect(product), connect(product)
    assert one and two and connect(product, timeout=0.3) is None
    before = gateway(product)
    assert len(before["secondary_private_ips"]) == 1 and before["secondary_public_ips"] == [SECOND]
    # in front of the other in the list: addresses stay whose they are
    got = product.up(lab(THIRD, SECOND, max_connections_per_destination=1))
    assert [(c["action"], c["kind"]) for c in got["changes"]] == [("update", "nat_gateway")]
    after = gateway(product)
    assert after["secondary_public_ips"] == [THIRD, SECOND] and after["id"] == before["id"]
    assert after["secondary_private_ips"][1:] == before["secondary_private_ips"]
    at = product.capture(product.netns("many", "api"))
    three = turns(product, 3)
    assert seen(product, at) == {THIRD: 1} and connect(product, timeout=0.3) is None
    for s in (one, two, three):
        talk(s)
    by = {p.src: p.sport for p in at.packets() if not p.outgoing and p.src in (FIRST, SECOND)}
    at.close()
    assert set(by) == {FIRST, SECOND}
    eni = product.show("many", "network_interfaces")["main/" + after["network_interface_id"]]
    assert set(eni["public_ips"].values()) == {FIRST, SECOND, THIRD}
    # the second one goes; an instance may have it
    product.up(having(having(lab(THIRD, max_connections_per_destination=1), SECOND, *VPC, "instances", "app", "elastic_ip"),
                      "public", *VPC, "subnets", "private", "route_table"))
    product.up(lab(THIRD, max_connections_per_destination=1))
    alive = 0
    for s in (one, two, three):
        s.settimeout(1)
        try:
            talk(s)
            alive += 1
        except OSError:
            pass
        s.close()
    assert alive == 2 and gateway(product)["secondary_public_ips"] == [THIRD]
    assert product.show("many", "route_tables/main/private")["routes"][1]["state"] == "active"


@pytest.mark.ids("NAT-4")
@pytest.mark.mutant("explain-aliases")
@pytest.mark.mutant("nat-secondary")
def test_why_names_all_of_them(product):
    """The model tells whom the target may see, tests may ask for the gateway, and automatic addresses are the pool's."""
    product.up(lab("auto", "auto"))
    nat = gateway(product)
    public = {FIRST, *nat["secondary_public_ips"]}
    assert len(public) == 3 and len({nat["private_ip"], *nat["secondary_private_ips"]}) == 3
    says = product.json("why", "many", "app", "api", "tcp/443")
    assert {says["seen_as"], *says["aliases"]} == public and not says["varies"]
    assert "seen as %s or " % FIRST in product.vpclab("why", "many", "app", "api", "tcp/443").out
    assert {product.probe("many", "app", "api", "tcp/443")["seen_as"] for _ in range(3)} == public
    checked = having(lab("auto", "auto"), [{"from": "app", "to": "api", "port": "tcp/443", "result": "open",
                                            "seen_as": "nat_gateway:main/nat"}] * 3, "expect")
    product.up(checked)
    product.vpclab("test", "many")
    assert product.json("matrix", "many", "--measure")["disagreements"] == 0
    # nothing comes in unasked by any of them, and pings leave by each
    for address in sorted(public):
        assert product.probe("many", "api", address, "tcp/80")["dropped"]["code"] == "NO_POSSIBLE_DESTINATION"
    at = product.capture(product.netns("many", "api"))
    for _ in range(3):
        assert product.probe("many", "app", "api", "icmp")["result"] == "open"
    assert {p.src for p in at.packets() if p.icmp == (8, 0)} == public
    at.close()


@pytest.mark.ids("NAT-4")
@pytest.mark.mutant("explain-aliases")
def test_an_address_that_a_partner_forgot(product):
    """A group that knows only one of them: every other connection fails, and the model says that it varies."""
    doc = lab(SECOND)
    doc["vpcs"]["far"] = {
        "cidr_block": "10.9.0.0/16", "internet_gateway": True,
        "subnets": {"s": {"cidr_block": "10.9.1.0/24", "route_table": "t"}},
        "route_tables": {"t": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
        "security_groups": {"partner": {"ingress": [{"protocol": "tcp", "from_port": 443, "to_port": 443,
                                                     "cidr_blocks": [FIRST + "/32"]}]}},
        "instances": {"partner": {"subnet": "s", "elastic_ip": "203.0.113.50", "security_groups": ["partner"],
                                  "serve": ["tcp/443"]}}}
    product.up(doc)
    says = product.json("why", "many", "app", "203.0.113.50", "tcp/443")
    assert (says["result"], says["varies"], says["decided_by"]["code"]) == ("timeout", True, "ENI_SG_RULES_MISMATCH")
    got = [product.probe("many", "app", "203.0.113.50", "tcp/443") for _ in range(2)]
    assert sorted(g["result"] for g in got) == ["open", "timeout"]
    assert {g["dropped"]["code"] for g in got if g["dropped"]} == {"ENI_SG_RULES_MISMATCH"}
    assert "another of the NAT gateway's" in product.vpclab("why", "many", "app", "203.0.113.50", "tcp/443").out


@pytest.mark.ids("NAT-17", "NAT-18")
@pytest.mark.mutant("nat-without-room")
def test_a_subnet_without_room_for_all(product):
    """It comes up failed, with AWS's reason; routes to it lead nowhere, and with fewer addresses it is another one."""
    early = {"subnet": "public", "secondary_elastic_ips": ["auto"] * 7}
    doc = having(having(lab(SECOND, THIRD, "auto"), "10.0.1.0/28", *VPC, "subnets", "public", "cidr_block"),
                 {"early": early, "nat": lab(SECOND, THIRD, "auto")["vpcs"]["main"]["nat_gateways"]["nat"]},
                 *VPC, "nat_gateways")
    got = product.up(doc)
    assert "InsufficientFreeAddressesInSubnet" in [w["code"] for w in got["warnings"]]
    nat = gateway(product)
    assert (nat["state"], nat["failure_code"]) == ("failed", "InsufficientFreeAddressesInSubnet")
    assert nat["failure_message"] == "Subnet has insufficient free addresses to create this NAT gateway"
    assert nat["private_ip"] is None and nat["secondary_private_ips"] == []
    assert product.show("many", "nat_gateways/main/early")["state"] == "available"
    got = product.probe("many", "app", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")
    assert product.json("why", "many", "app", "api", "tcp/443")["decided_by"]["code"] == "BAD_STATE_ROUTE"
    # the same again is no change; two fewer find room
    assert product.up(doc)["changes"] == []
    got = product.up(having(doc, [SECOND], *NAT, "secondary_elastic_ips"))
    assert [(c["action"], c["kind"]) for c in got["changes"]] == [("replace", "nat_gateway")]
    now = gateway(product)
    assert now["state"] == "available" and now["id"] != nat["id"]
    assert product.probe("many", "app", "api", "tcp/443")["result"] == "open"
