# SPDX-License-Identifier: MIT
"""
Address plan: several blocks of one VPC, what is local in each of them, whose an address is.

    main 10.0.0.0/16: one 10.0.1.0/24 (a)     10.1.0.0/16: two 10.1.1.0/24 (b)     203.0.112.0/24: three (c)
"""
import socket
import struct

import pytest

from product import having, in_netns, prove_deny, without

VPC = ("vpcs", "main")
OPEN = {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}


def lab():
    return {
        "version": 1, "lab": "blocks",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "secondary_cidr_blocks": ["10.1.0.0/16", "203.0.112.0/24"],
            "internet_gateway": True,
            "subnets": {"one": {"cidr_block": "10.0.1.0/24", "route_table": "out"},
                        "two": {"cidr_block": "10.1.1.0/24"},
                        "three": {"cidr_block": "203.0.112.0/26"}},
            "route_tables": {"out": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
            "security_groups": {"open": dict(OPEN)},
            "instances": {
                "a": {"subnet": "one", "security_groups": ["open"], "serve": ["tcp/80"], "elastic_ip": "203.0.113.5"},
                "b": {"subnet": "two", "security_groups": ["open"], "serve": ["tcp/80"]},
                "c": {"subnet": "three", "security_groups": ["open"], "serve": ["tcp/80"]},
            },
        }},
    }


def without_blocks():
    doc = without(without(lab(), *VPC, "secondary_cidr_blocks"), *VPC, "subnets", "two")
    doc = without(without(doc, *VPC, "subnets", "three"), *VPC, "instances", "b")
    return without(doc, *VPC, "instances", "c")


def query(server):
    """Does a resolver answer there? Asked from the namespace that the caller is in."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.5)
    name = b"".join(struct.pack("B", len(x)) + x for x in (b"a", b"main", b"internal")) + b"\0"
    try:
        s.sendto(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1), (server, 53))
        return len(s.recv(512)) > 12
    except socket.timeout:
        return False
    finally:
        s.close()


@pytest.mark.asan
@pytest.mark.ids("VPC-7")
@pytest.mark.mutant("secondary-local", "explain-local-blocks")
def test_each_block_is_local_in_every_table(product):
    """Between all blocks both ways, and an address that nobody has is local, too: no way out is tried."""
    product.up(lab())
    for source in "abc":
        for target in "abc":
            assert product.probe("blocks", source, target, "tcp/80")["result"] == "open", source + target
            assert product.json("why", "blocks", source, target, "tcp/80")["result"] == "open", source + target
    for address in ("10.0.9.9", "10.1.9.9", "203.0.112.99"):
        got = product.probe("blocks", "a", address, "tcp/80")
        assert (got["result"], got["dropped"]["code"]) == ("timeout", "UNKNOWN_DESTINATION"), address
        said = product.json("why", "blocks", "a", address, "tcp/80")
        assert (said["result"], said["decided_by"]["code"]) == ("timeout", "UNKNOWN_DESTINATION"), address
    got = product.probe("blocks", "b", "10.2.0.9", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "NO_ROUTE_TO_DESTINATION")
    for table in product.show("blocks", "route_tables").values():
        assert [r["destination"] for r in table["routes"] if r["target"] == "local"] == [
            "10.0.0.0/16", "10.1.0.0/16", "203.0.112.0/24"]


@pytest.mark.ids("VPC-5", "VPC-7", "VPC-4")
@pytest.mark.mutant("block-over-route")
def test_a_block_joins_a_vpc_that_runs(product):
    """Connections live on; a block as wide as a route, or wider, must wait until the route is gone."""
    product.up(without_blocks())
    listener = in_netns(product.netns("blocks", "a"), lambda: socket.create_server(("10.0.1.4", 7000)))
    held = in_netns(product.netns("blocks", "api"), lambda: socket.create_connection(("203.0.113.5", 7000), 5))
    there, _ = listener.accept()
    before = product.show("blocks", "instances/a")["id"]
    for destination in ("10.1.0.0/16", "10.1.7.0/24"):
        other = having(without_blocks(), "instance:a", *VPC, "route_tables", "out", "routes", destination)
        product.up(other)
        joined = having(other, ["10.1.0.0/16"], *VPC, "secondary_cidr_blocks")
        joined["vpcs"]["main"]["subnets"]["seven"] = {"cidr_block": "10.1.7.0/24"}
        refused = product.vpclab("-o", "json", "up", product.file(joined))
        assert refused.rc == 2 and '"InvalidVpc.Range"' in refused.err and destination in refused.err, refused
        assert product.show("blocks", "vpcs/main")["secondary_cidr_blocks"] == []
    got = product.up(having(without_blocks(), ["10.1.0.0/16"], *VPC, "secondary_cidr_blocks"))
    assert [(c["action"], c["kind"], c["because"]) for c in got["changes"]] == [
        ("update", "vpc", "secondary_cidr_blocks changed"), ("update", "route_table", "routes changed")]
    assert product.show("blocks", "instances/a")["id"] == before
    product.up(lab())
    assert product.probe("blocks", "a", "b", "tcp/80")["result"] == "open"
    held.sendall(b"x")
    there.settimeout(5)
    assert there.recv(1) == b"x"
    for s in (held, there, listener):
        s.close()


@pytest.mark.ids("VPC-4", kind="state")
@pytest.mark.mutant("primary-block")
def test_the_primary_block_is_the_vpc(product):
    """It can't be resized: another one is another VPC."""
    product.up(without_blocks())
    wider = having(without_blocks(), "10.0.0.0/17", *VPC, "cidr_block")
    plan = product.json("plan", product.file(wider))
    assert [(c["action"], c["because"]) for c in plan["changes"] if c["kind"] == "vpc"] == [
        ("replace", "cidr_block changed")]


@pytest.mark.ids("VPC-10", "VPC-7")
@pytest.mark.mutant("dns-exemption")
def test_only_the_primary_block_has_a_resolver(product):
    product.up(lab())
    for node in "abc":
        ns = product.netns("blocks", node)
        assert in_netns(ns, lambda: query("10.0.0.2")), node
        for silent in ("10.0.1.2", "10.1.0.2", "10.1.1.2", "203.0.112.2"):
            assert not in_netns(ns, lambda at=silent: query(at)), node + silent


@pytest.mark.ids("VPC-7", "IGW-7", "IGW-8")
@pytest.mark.mutant("secondary-spoof")
def test_no_source_of_any_block_comes_in(product):
    """A host of the internet with an address of a secondary block: public, and yet the VPC's own."""
    liar = having(lab(), {"ip": "203.0.112.77"}, "internet", "hosts", "liar")
    outside = having(without_blocks(), {"ip": "203.0.112.77"}, "internet", "hosts", "liar")
    for doc, result in ((outside, "open"), (liar, "timeout"), (outside, "open")):
        product.up(doc)
        seen = product.capture(product.netns("blocks", "a"))
        got = product.probe("blocks", "liar", "a", "tcp/80")
        said = product.json("why", "blocks", "liar", "a", "tcp/80")
        assert (got["result"], said["result"]) == (result, result)
        assert bool([p for p in seen.packets() if p.src == "203.0.112.77"]) == (result == "open")
        seen.close()
        if result == "timeout":
            assert got["dropped"]["code"] == said["decided_by"]["code"] == "GATEWAY_REJECTS_SPOOFED_TRAFFIC"
    product.up(liar)
    got = product.probe("blocks", "api", "203.0.112.4", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "UNKNOWN_DESTINATION")


@pytest.mark.ids("VPC-2", kind="state")
@pytest.mark.mutant("host-bits")
def test_host_bits_are_cleared(product):
    doc = having(lab(), ["10.1.200.7/16", "203.0.112.9/24"], *VPC, "secondary_cidr_blocks")
    doc = having(doc, "10.1.1.77/24", *VPC, "subnets", "two", "cidr_block")
    checked = product.json("check", product.file(doc))
    assert sorted(w["path"] for w in checked["warnings"] if w["code"] == "cidr-host-bits") == [
        "vpcs.main.secondary_cidr_blocks[0]", "vpcs.main.secondary_cidr_blocks[1]",
        "vpcs.main.subnets.two.cidr_block"]
    product.up(doc)
    assert product.show("blocks", "subnets/main/two")["cidr_block"] == "10.1.1.0/24"
    assert product.show("blocks", "vpcs/main")["secondary_cidr_blocks"] == ["10.1.0.0/16", "203.0.112.0/24"]
    assert product.probe("blocks", "a", "b", "tcp/80")["result"] == "open"


@pytest.mark.ids("VPC-9", "VPC-12", kind="state")
@pytest.mark.mutant("five-reserved")
def test_addresses_of_a_subnet(product):
    """Five are nobody's, the rest are given from the lowest on, and show counts what is left."""
    doc = having(lab(), {"cidr_block": "10.0.2.0/28"}, *VPC, "subnets", "small")
    for i in range(11):
        doc = having(doc, {"subnet": "small"}, *VPC, "instances", "n%d" % i)
    product.up(doc)
    shown = product.show("blocks")["vpcs"]["main"]
    assert [shown["instances"]["n%d" % i]["private_ip"] for i in range(11)] == [
        "10.0.2.%d" % i for i in range(4, 15)]
    free = {n: s["available_ip_address_count"] for n, s in shown["subnets"].items()}
    assert free == {"one": 250, "two": 250, "three": 58, "small": 0}
    more = product.vpclab("-o", "json", "up", product.file(having(doc, {"subnet": "small"}, *VPC, "instances", "n11")))
    assert more.rc == 2 and "InsufficientFreeAddressesInSubnet" in more.err


@pytest.mark.ids("VPC-16", kind="state")
@pytest.mark.mutant("implicit-default")
def test_what_a_new_vpc_has(product):
    product.up({"version": 1, "lab": "blocks", "vpcs": {"main": {"cidr_block": "10.0.0.0/16"}}})
    vpc = product.show("blocks")["vpcs"]["main"]
    assert vpc["internet_gateway"] is None and vpc["subnets"] == {} and vpc["secondary_cidr_blocks"] == []
    table, = vpc["route_tables"].values()
    assert table["main"] and [(r["destination"], r["target"], r["state"]) for r in table["routes"]] == [
        ("10.0.0.0/16", "local", "active")]
    acl, = vpc["network_acls"].values()
    assert acl["name"] == "main/default"
    for side in ("ingress", "egress"):
        first, = [e for e in acl[side] if e["rule_number"] == 100]
        assert (first["rule_action"], first["protocol"], first["cidr_block"]) == ("allow", "-1", "0.0.0.0/0")
    group, = vpc["security_groups"].values()
    assert group["name"] == "main/default" and len(group["ingress"]) == 1 and group["ingress"][0]["self"]
    assert [r["cidr_blocks"] for r in group["egress"]] == [["0.0.0.0/0"]]


@pytest.mark.ids("VPC-18", "ENI-10")
@pytest.mark.mutant("launch-address")
def test_a_subnet_gives_no_public_address_unless_told_so(product):
    """The flag counts when an instance comes: later it concerns new ones only."""
    doc = lab()
    doc["vpcs"]["main"]["instances"]["d"] = {"subnet": "one", "security_groups": ["open"]}
    given = having(doc, True, *VPC, "instances", "d", "associate_public_ip_address")
    prove_deny(product, given, doc, "d", "api", "tcp/443", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")


@pytest.mark.ids("ENI-10")
@pytest.mark.mutant("launch-later")
def test_the_flag_of_a_subnet_counts_at_the_launch(product):
    doc = lab()
    doc["vpcs"]["main"]["instances"]["d"] = {"subnet": "one", "security_groups": ["open"]}
    product.up(doc)
    flag = having(doc, True, *VPC, "subnets", "one", "map_public_ip_on_launch")
    flag["vpcs"]["main"]["instances"]["e"] = {"subnet": "one", "security_groups": ["open"]}
    product.up(flag)
    got = product.probe("blocks", "d", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
    e = product.show("blocks", "instances/e")["public_ip"]
    assert product.probe("blocks", "e", "api", "tcp/443")["seen_as"] == e
    # and what was given stays when the flag goes, also across a restart of the daemon
    product.up(without(flag, *VPC, "subnets", "one", "map_public_ip_on_launch"))
    assert product.probe("blocks", "e", "api", "tcp/443")["seen_as"] == e
    product.kill("netd")
    product.start()
    assert product.probe("blocks", "e", "api", "tcp/443")["seen_as"] == e


@pytest.mark.ids("VPC-19")
@pytest.mark.mutant("gateway-map")
def test_public_is_what_a_table_says(product):
    """The same host with the same public address, by a table with a route to the gateway and by one without."""
    prove_deny(product, lab(), without(lab(), *VPC, "subnets", "one", "route_table"), "a", "api", "tcp/443",
               "NO_ROUTE_TO_DESTINATION")
