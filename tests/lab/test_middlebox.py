# SPDX-License-Identifier: MIT
"""
Appliances in the way: an edge table on the internet gateway (north-south), routes of whole subnets (east-west).

    web 10.0.1.0/24: web (203.0.113.5)       app 10.0.2.0/24: app
    fw 10.0.9.0/24: box (203.0.113.9; source/dest check off, forwards)      api 198.51.100.10 on the internet
"""
import socket
import struct

import pytest

from product import having, in_netns, prove_deny, wait_until, without

VPC = ("vpcs", "main")
OPEN = {"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}


def lab(edge=None):
    return {
        "version": 1, "lab": "boxes",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": {"route_table": "edge"},
            "subnets": {"web": {"cidr_block": "10.0.1.0/24", "route_table": "web"},
                        "app": {"cidr_block": "10.0.2.0/24", "route_table": "app"},
                        "fw": {"cidr_block": "10.0.9.0/24", "route_table": "fw"}},
            "route_tables": {"edge": {"routes": {"10.0.1.0/24": "instance:box"} if edge is None else edge},
                             "web": {"routes": {"0.0.0.0/0": "instance:box"}},
                             "app": {"routes": {}},
                             "fw": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
            "security_groups": {"open": {"ingress": [OPEN]},
                                "http": {"ingress": [{"protocol": "tcp", "from_port": 80, "to_port": 443,
                                                      "cidr_blocks": ["0.0.0.0/0"]}]},
                                "byref": {"ingress": [{"protocol": "tcp", "from_port": 80,
                                                       "security_groups": ["http"]}]}},
            "instances": {
                "web": {"subnet": "web", "security_groups": ["http"], "elastic_ip": "203.0.113.5",
                        "serve": ["tcp/80", "tcp/81"]},
                "app": {"subnet": "app", "security_groups": ["open"], "serve": ["tcp/80"]},
                "box": {"subnet": "fw", "security_groups": ["open"], "elastic_ip": "203.0.113.9",
                        "source_dest_check": False, "forward": True, "serve": ["tcp/80"]}},
        }},
    }


class Box:
    """What comes into the appliance."""

    def __init__(self, product, node="box"):
        self.capture = product.capture(product.netns("boxes", node))

    def flows(self):
        """(source, destination) of TCP packets that came in."""
        return {(p.src, p.dst) for p in self.capture.packets() if p.proto == 6 and not p.outgoing}

    def close(self):
        self.capture.close()


@pytest.mark.asan
@pytest.mark.ids("RT-13", "RT-11")
@pytest.mark.mutant("edge-table")
def test_in_from_the_internet_by_the_appliance(product):
    """The appliance sees the packet first, with the node's private address, and the answer on its way back."""
    product.up(lab())
    web = product.show("boxes", "instances/web")["private_ip"]
    box = Box(product)
    got = product.probe("boxes", "api", "web", "tcp/80")
    assert (got["result"], got["seen_as"]) == ("open", "198.51.100.10")
    assert box.flows() == {("198.51.100.10", web), (web, "198.51.100.10")}
    # its own address is its own
    assert product.probe("boxes", "api", "box", "tcp/80")["result"] == "open"
    box.flows()
    # out, and the answer back the same way
    got = product.probe("boxes", "web", "api", "tcp/443")
    assert (got["result"], got["seen_as"]) == ("open", "203.0.113.5")
    assert box.flows() == {("198.51.100.10", web), (web, "198.51.100.10")}
    box.close()
    # with nothing in the table all is local: straight to the node
    product.up(having(lab({}), {"0.0.0.0/0": "internet_gateway"}, *VPC, "route_tables", "web", "routes"))
    box = Box(product)
    assert product.probe("boxes", "api", "web", "tcp/80")["result"] == "open"
    assert product.probe("boxes", "web", "api", "tcp/443")["result"] == "open"
    assert box.flows() == set()
    box.close()


@pytest.mark.ids("RT-13", "RT-4")
@pytest.mark.mutant("edge-table")
def test_all_of_the_vpc_by_the_appliance(product):
    """The gateway table's own local route led to the appliance, and back."""
    doc = having(lab({"10.0.0.0/16": "instance:box"}), "203.0.113.6", *VPC, "instances", "app", "elastic_ip")
    doc = having(doc, {"0.0.0.0/0": "instance:box"}, *VPC, "route_tables", "app", "routes")
    product.up(doc)
    for node in ("web", "app"):
        ip = product.show("boxes", "instances/" + node)["private_ip"]
        box = Box(product)
        assert product.probe("boxes", "api", node, "tcp/80")["result"] == "open"
        assert ("198.51.100.10", ip) in box.flows()
        box.close()
    product.up(having(doc, {}, *VPC, "route_tables", "edge", "routes"))
    box = Box(product)
    assert product.probe("boxes", "api", "app", "tcp/80")["result"] == "open"
    assert {d for _, d in box.flows()} == {"198.51.100.10"}, "answers alone go by the appliance"
    box.close()


@pytest.mark.asan
@pytest.mark.ids("RT-13")
@pytest.mark.mutant("edge-public-address")
def test_an_appliance_behind_the_gateway_needs_a_public_address(product):
    prove_deny(product, lab(), without(lab(), *VPC, "instances", "box", "elastic_ip"), "api", "web", "tcp/80",
               "INGRESS_RTB_NO_PUBLIC_IP")


@pytest.mark.asan
@pytest.mark.ids("RT-13", "RT-11")
@pytest.mark.mutant("edge-redirection")
def test_what_is_led_to_an_appliance_goes_out_by_it(product):
    """A subnet that the gateway's table leads to an appliance can't go out past it, whatever its own table says."""
    direct = having(lab(), {"0.0.0.0/0": "internet_gateway"}, *VPC, "route_tables", "web", "routes")
    prove_deny(product, lab(), direct, "web", "api", "tcp/443", "INGRESS_RTB_TRAFFIC_REDIRECTION")
    product.up(direct)
    got = product.probe("boxes", "api", "web", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "INGRESS_RTB_TRAFFIC_REDIRECTION")
    why = product.json("why", "boxes", "api", "web", "tcp/80")
    assert why["decided_by"]["code"] == "INGRESS_RTB_TRAFFIC_REDIRECTION"
    assert why["decided_by"]["component"] == "main/edge", why


@pytest.mark.asan
@pytest.mark.ids("RT-13", "RT-8")
@pytest.mark.mutant("blackhole")
def test_a_hole_in_the_gateways_table(product):
    hole = lab({"10.0.1.0/24": "blackhole"})
    prove_deny(product, lab(), hole, "api", "web", "tcp/80", "BAD_STATE_ROUTE")
    product.up(hole)
    assert product.probe("boxes", "api", "box", "tcp/80")["result"] == "open"


@pytest.mark.ids("RT-13", kind="state")
@pytest.mark.mutant("edge-compare")
def test_the_gateways_table_comes_and_goes(product):
    """plan and show tell of it; taking it away touches the gateway, nothing else."""
    product.up(lab())
    assert product.show("boxes")["vpcs"]["main"]["internet_gateway"]["route_table"] == "edge"
    plain = having(lab(), True, *VPC, "internet_gateway")
    changes = product.up(plain)["changes"]
    assert [(c["action"], c["kind"], c["because"]) for c in changes] == [("update", "vpc", "internet_gateway changed")]
    assert product.show("boxes")["vpcs"]["main"]["internet_gateway"]["route_table"] is None
    box = Box(product)
    assert product.probe("boxes", "api", "web", "tcp/80")["result"] == "open"
    assert {d for _, d in box.flows()} == {"198.51.100.10"}, "answers alone go by the appliance"
    box.close()


@pytest.mark.asan
@pytest.mark.ids("RT-4", "RT-11", "ENI-9")
@pytest.mark.mutant("source-dest-check")
def test_both_ways_by_an_appliance_between_subnets(product):
    """East-west: each subnet's table leads to the appliance; addresses stay, but a group by name isn't known behind it."""
    doc = having(lab({}), {"10.0.2.0/24": "instance:box"}, *VPC, "route_tables", "web", "routes")
    doc = having(doc, {"10.0.1.0/24": "instance:box"}, *VPC, "route_tables", "app", "routes")
    product.up(having(doc, ["byref"], *VPC, "instances", "app", "security_groups"))
    got = product.probe("boxes", "web", "app", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "SG_REFERENCES_NOT_PRESERVED")
    product.up(doc)
    web, app = (product.show("boxes", "instances/" + n)["private_ip"] for n in ("web", "app"))
    box = Box(product)
    got = product.probe("boxes", "web", "app", "tcp/80")
    assert (got["result"], got["seen_as"]) == ("open", web)
    assert box.flows() == {(web, app), (app, web)}
    box.close()
    # asymmetric: the answer goes past the appliance, which doesn't mind
    product.up(having(doc, {}, *VPC, "route_tables", "app", "routes"))
    box = Box(product)
    assert product.probe("boxes", "web", "app", "tcp/80")["result"] == "open"
    assert box.flows() == {(web, app)}
    box.close()
    checked = having(doc, True, *VPC, "instances", "box", "source_dest_check")
    prove_deny(product, doc, checked, "web", "app", "tcp/80", "ENI_SOURCE_DEST_CHECK_RESTRICTION")


@pytest.mark.asan
@pytest.mark.mutant("middlebox-reset")
def test_a_refusal_comes_back_by_the_appliance(product):
    """The kernel forgets a flow whose first answer is a RST, which then has the appliance's way before it; others end there."""
    doc = having(lab({}), {"10.0.2.0/24": "instance:box"}, *VPC, "route_tables", "web", "routes")
    doc = having(doc, {"10.0.1.0/24": "instance:box"}, *VPC, "route_tables", "app", "routes")
    # neither asks for anything, so only what is remembered of the flow lets the answer pass
    doc = having(doc, ["quiet"], *VPC, "instances", "web", "security_groups")
    doc = having(doc, {"egress": [OPEN]}, *VPC, "security_groups", "quiet")
    product.up(having(doc, {"ingress": [OPEN], "egress": [{"protocol": "tcp", "from_port": 80, "to_port": 99,
                                                           "cidr_blocks": ["0.0.0.0/0"]}]},
                      *VPC, "security_groups", "open"))
    box = Box(product)
    for _ in range(2):
        assert product.probe("boxes", "web", "app", "tcp/90")["result"] == "refused"
    web, app = (product.show("boxes", "instances/" + n)["private_ip"] for n in ("web", "app"))
    assert box.flows() == {(web, app), (app, web)}
    # a RST that nobody asked for
    at_web = product.capture(product.netns("boxes", "web"))
    before = product.dropped("boxes")

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
            raw.sendto(struct.pack(">HHIIBBHHH", 90, 85, 1, 1, 5 << 4, 0x14, 1024, 0, 0), (web, 0))
    in_netns(product.netns("boxes", "app"), send)
    wait_until(lambda: product.dropped("boxes").get("SG_HAS_NO_RULES", 0) == before.get("SG_HAS_NO_RULES", 0) + 1,
               "the RST is dropped")
    assert box.flows() == {(app, web)} and not [p for p in at_web.packets() if not p.outgoing]
    box.close()
    at_web.close()


@pytest.mark.ids("RT-11")
@pytest.mark.mutant("ingress-gate")
def test_an_appliances_own_groups_hold(product):
    """What passes an appliance passes its groups, in and out."""
    doc = having(lab({}), {"10.0.2.0/24": "instance:box"}, *VPC, "route_tables", "web", "routes")
    narrow = having(doc, {"ingress": [{"protocol": "tcp", "from_port": 22, "cidr_blocks": ["0.0.0.0/0"]}]},
                    *VPC, "security_groups", "narrow")
    narrow = having(narrow, ["narrow"], *VPC, "instances", "box", "security_groups")
    prove_deny(product, doc, narrow, "web", "app", "tcp/80", "ENI_SG_RULES_MISMATCH")


@pytest.mark.mutant("explain-error-way")
def test_what_goes_round_in_a_circle(product):
    """The appliance tells the sender that it grew old, by a packet which has its own way to go; the model knows."""
    product.up(having(lab(), {"0.0.0.0/0": "instance:box"}, *VPC, "route_tables", "fw", "routes"))
    # straight back to the sender, then into the circle
    for result in ("unreachable", "timeout"):
        for port in ("tcp/443", "udp/443", "icmp"):
            got = product.probe("boxes", "web", "api", port)
            assert (got["result"], got["dropped"]) == (result, None), got
            says = product.json("why", "boxes", "web", "api", port)
            assert (says["result"], says["decided_by"]["component"]) == (result, "box"), says
        circle = {"0.0.0.0/0": "instance:box", "10.0.1.0/24": "instance:box"}
        product.up(having(lab(), circle, *VPC, "route_tables", "fw", "routes"))
