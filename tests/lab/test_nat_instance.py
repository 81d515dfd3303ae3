# SPDX-License-Identifier: MIT
"""
A NAT instance: an ordinary instance that masquerades; and what becomes of connections when routes change to a gateway.

    public 10.0.1.0/24: box (elastic 203.0.113.20), NAT gateway (203.0.113.10)      private 10.0.2.0/24: app
    api 198.51.100.10 on the internet
"""
import json
import os
import socket

import pytest

from product import Unix, having, in_netns, prove_deny

VPC = ("vpcs", "main")
BOX = (*VPC, "instances", "box")


def lab():
    return {
        "version": 1, "lab": "box",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True, "main_route_table": "private",
            "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.2.0/24"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "instance:box"}}},
            "security_groups": {
                "app": {},
                "box": {"ingress": [{"protocol": "-1", "cidr_blocks": ["10.0.2.0/24"]}]},
                "udp": {"ingress": [{"protocol": "udp", "from_port": 0, "to_port": 65535, "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": {
                "app": {"subnet": "private", "security_groups": ["app"]},
                "box": {"subnet": "public", "security_groups": ["box"], "elastic_ip": "203.0.113.20",
                        "source_dest_check": False, "nat_instance": True}},
        }},
    }


@pytest.mark.asan
@pytest.mark.ids("NATI-1")
@pytest.mark.mutant("nat-instance")
@pytest.mark.mutant("explain-nat-instance")
def test_an_instance_that_masquerades(product):
    """Out in the instance's name, as the model says, and nothing with its source/dest check on."""
    product.up(lab())
    for port in ("tcp/443", "udp/53", "icmp"):
        got = product.probe("box", "app", "api", port)
        assert got["result"] == "open" and got["seen_as"] in ("203.0.113.20", None), got
    says = product.json("why", "box", "app", "api", "tcp/443")
    assert says["result"] == "open"
    assert ("translate", "box", "from " + product.show("box", "instances/box")["private_ip"]) in [
        (h["action"], h["component"], h["rule"]) for h in says["hops"]], says
    prove_deny(product, lab(), having(lab(), True, *BOX, "source_dest_check"), "app", "api", "tcp/443",
               "ENI_SOURCE_DEST_CHECK_RESTRICTION")


@pytest.mark.ids("NATI-1")
@pytest.mark.mutant("ingress-gate")
def test_its_groups_apply(product):
    prove_deny(product, lab(), having(lab(), ["udp"], *BOX, "security_groups"), "app", "api", "tcp/443",
               "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("NATI-1")
@pytest.mark.mutant("nat-instance")
def test_it_passes_fragments_of_pings(product):
    """What a NAT gateway doesn't (NAT-10)."""
    product.up(lab())
    got = product.vpclab("exec", "box", "app", "--", "ping", "-c", "1", "-W", "5", "-s", "10000", "198.51.100.10")
    assert got.rc == 0, got


def test_answers_whose_question_took_another_way(product):
    """It takes what follows a handshake for something new, as any Linux does, and sends it on in its own name."""
    doc = having(lab(), {"routes": {"10.0.2.0/24": "instance:box"}}, *VPC, "route_tables", "far")
    doc = having(doc, {"cidr_block": "10.0.3.0/24", "route_table": "far"}, *VPC, "subnets", "far")
    doc = having(doc, {"subnet": "far", "security_groups": ["far"], "serve": ["tcp/80", "udp/53"]}, *VPC, "instances", "far")
    everything = [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]
    doc = having(doc, {"ingress": everything}, *VPC, "security_groups", "far")
    doc = having(doc, {"ingress": everything}, *VPC, "security_groups", "box")
    doc = having(doc, {"subnet": "private", "security_groups": ["far"]}, *VPC, "instances", "app")
    product.up(doc)
    for port, result in (("tcp/80", "timeout"), ("udp/53", "timeout"), ("tcp/9", "refused"), ("icmp", "open")):
        assert product.json("why", "box", "app", "far", port)["result"] == result, port
        assert product.probe("box", "app", "far", port)["result"] == result, port
    product.up(having(doc, {}, *VPC, "route_tables", "far", "routes"))
    assert product.probe("box", "app", "far", "tcp/80")["result"] == "open"


@pytest.mark.ids("NAT-24")
@pytest.mark.mutant("nat-reset")
def test_a_route_that_changes_to_a_gateway_ends_connections(product):
    """The gateway doesn't know what the instance translated: a RST.  What is new goes out in its name."""
    product.up(lab())
    s = connect(product)
    product.up(having(lab(), {"0.0.0.0/0": "nat_gateway:nat"}, *VPC, "route_tables", "private", "routes"))
    s.sendall(b"x\n")
    with pytest.raises(ConnectionResetError):
        s.recv(100)
    s.close()
    assert product.probe("box", "app", "api", "tcp/443")["seen_as"] == "203.0.113.10"


@pytest.mark.ids("NAT-24", "NAT-19")
@pytest.mark.mutant("gateway-map")
def test_an_elastic_address_that_goes_ends_connections(product):
    """The gateway gets another one; the old one is the user's, and an instance may have it."""
    doc = having(lab(), {"0.0.0.0/0": "nat_gateway:nat"}, *VPC, "route_tables", "private", "routes")
    product.up(doc)
    s = connect(product)
    product.up(having(doc, "203.0.113.11", *VPC, "nat_gateways", "nat", "elastic_ip"))
    s.settimeout(1)
    s.sendall(b"x\n")
    with pytest.raises((socket.timeout, ConnectionResetError)):
        s.recv(100)
    s.close()
    assert product.probe("box", "app", "api", "tcp/443")["seen_as"] == "203.0.113.11"


def events(product):
    """{(event, kind, name, id)} of the lab."""
    c = Unix(os.path.join(product.run, "netd.sock"))
    c.request("GET", "/v1/events?after=0&wait=0&lab=box")
    lines = c.getresponse().read().splitlines()
    c.close()
    return {(e["event"], e["kind"], e["name"], e["id"]) for e in map(json.loads, lines)}


@pytest.mark.ids("NAT-19", "NAT-17", "NAT-20")
@pytest.mark.mutant("blackhole")
@pytest.mark.mutant("nat-interface")
def test_a_gateway_that_goes(product):
    """Its interface tells whose it is and goes with it; routes stay and lead nowhere; its address may be another's."""
    doc = having(lab(), {"0.0.0.0/0": "nat_gateway:nat"}, *VPC, "route_tables", "private", "routes")
    product.up(doc)
    nat = product.show("box", "nat_gateways/main/nat")
    eni = product.show("box", "network_interfaces")["main/" + nat["network_interface_id"]]
    assert nat["state"] == "available" and nat["failure_code"] is None
    assert (eni["interface_type"], eni["description"]) == ("nat_gateway", "Interface for NAT Gateway " + nat["id"])
    assert eni["security_groups"] == [] and not eni["source_dest_check"]
    assert product.probe("box", "app", "api", "tcp/443")["seen_as"] == "203.0.113.10"
    assert ("created", "nat_gateway", "main/nat", nat["id"]) in events(product)
    gone = having(having(doc, {}, *VPC, "nat_gateways"), {"0.0.0.0/0": "blackhole"}, *VPC, "route_tables", "private",
                  "routes")
    product.up(having(gone, "203.0.113.10", *BOX, "elastic_ip"))
    got = product.probe("box", "app", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")
    assert product.probe("box", "box", "api", "tcp/443")["seen_as"] == "203.0.113.10"
    assert "main/" + eni["id"] not in product.show("box", "network_interfaces")
    # pending and deleting are over with the change; what is deleted is told, and listed no more
    assert ("deleted", "nat_gateway", "main/nat", nat["id"]) in events(product)
    assert product.show("box", "nat_gateways") == {}


@pytest.mark.ids("NAT-17", "NAT-18")
@pytest.mark.mutant("nat-without-gateway")
def test_a_gateway_that_fails(product):
    """It comes up failed, with AWS's reason; routes to it lead nowhere; with an internet gateway it is another one."""
    doc = having(lab(), {"0.0.0.0/0": "nat_gateway:nat"}, *VPC, "route_tables", "private", "routes")
    without = having(having(doc, False, *VPC, "internet_gateway"), {}, *VPC, "route_tables", "public", "routes")
    del without["vpcs"]["main"]["instances"]["box"]["elastic_ip"]
    got = product.up(without)
    assert "Gateway.NotAttached" in [w["code"] for w in got["warnings"]]
    nat = product.show("box", "nat_gateways/main/nat")
    assert (nat["state"], nat["failure_code"]) == ("failed", "Gateway.NotAttached")
    assert nat["failure_message"] == "Network %s has no Internet gateway attached" % product.show("box")["vpcs"]["main"]["id"]
    assert product.show("box", "route_tables/main/private")["routes"][1]["state"] == "blackhole"
    got = product.probe("box", "app", "198.51.100.10", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")
    product.up(doc)
    now = product.show("box", "nat_gateways/main/nat")
    assert now["state"] == "available" and now["id"] != nat["id"]
    assert product.probe("box", "app", "api", "tcp/443")["result"] == "open"


def connect(product):
    """From app to api, and an echo."""
    def make():
        s = socket.socket()
        s.settimeout(5)
        s.connect(("198.51.100.10", 443))
        return s
    s = in_netns(product.netns("box", "app"), make)
    s.sendall(b"hello\n")
    got = b""
    while b"hello\n" not in got:
        got += s.recv(4096)
    return s
