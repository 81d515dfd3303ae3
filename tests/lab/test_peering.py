# SPDX-License-Identifier: MIT
"""
Peerings: what passes between two VPCs and what doesn't, references to groups across one, and what becomes of them when
the peering goes.
"""
import copy
import json
import socket

import pytest

from product import having, in_netns, prove_deny, wait_until, without

ALL = [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]


def vpc(n, nodes, routes, **more):
    """VPC number n with one subnet; nodes are its instances' names."""
    o = {"cidr_block": "10.%d.0.0/16" % n, "main_route_table": "m",
         "subnets": {"s%d" % n: {"cidr_block": "10.%d.1.0/24" % n}},
         "route_tables": {"m": {"routes": routes}},
         "security_groups": {"open": {"ingress": ALL}},
         "instances": {name: {"subnet": "s%d" % n, "security_groups": ["open"], "serve": ["tcp/80", "udp/53"],
                              "private_ips": ["10.%d.1.%d" % (n, 10 + i)]} for i, name in enumerate(nodes)}}
    o.update(more)
    return o


def lab(name="peers"):
    """a - b - c in a row: a and c have no peering of their own."""
    return {
        "version": 1, "lab": name,
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"], "dns_names": ["api.example.com"]}}},
        "vpcs": {
            "a": vpc(1, ["a1", "a2"], {"10.2.0.0/16": "peering:ab", "10.3.0.0/16": "peering:ab"}),
            "b": vpc(2, ["b1", "b2"], {"10.1.0.0/16": "peering:ab", "10.3.0.0/16": "peering:bc"}),
            "c": vpc(3, ["c1"], {"10.2.0.0/16": "peering:bc", "10.1.0.0/16": "peering:bc"})},
        "peerings": {"ab": {"requester": "a", "accepter": "b"}, "bc": {"requester": "c", "accepter": "b"}}}


def routes(doc, of):
    return doc["vpcs"][of]["route_tables"]["m"]["routes"]


def dropped_at(product, doc, link_of, side):
    return product.show(doc["lab"], "peerings/" + link_of)["counters"][side]["dropped"]


@pytest.mark.asan
@pytest.mark.ids("PCX-2", "PCX-5")
@pytest.mark.mutant("peering-route")
@pytest.mark.parametrize("port", ["tcp/80", "udp/53", "icmp"])
def test_both_ways_with_source_addresses_kept(product, port):
    """The other twin has no peering, and so no route."""
    product.up(lab())
    for source, target, seen in (("a1", "b1", "10.1.1.10"), ("b1", "a1", "10.2.1.10"), ("c1", "b2", "10.3.1.10")):
        got = product.probe("peers", source, target, port)
        assert got["result"] == "open", got
        assert port == "icmp" or got["seen_as"] == seen, got
    shown = product.show("peers", "peerings/ab")
    assert shown["id"].startswith("pcx-") and shown["state"] == "active" and shown["kind"] == "peering"
    assert (shown["requester"], shown["accepter"]) == ("a", "b")


@pytest.mark.ids("PCX-2")
@pytest.mark.mutant("peering-pending")
def test_pending_carries_nothing(product):
    """Its routes are blackholes; accepting it keeps its id, and what was accepted can't be pending again."""
    pending = having(lab(), False, "peerings", "ab", "auto_accept")
    prove_deny(product, lab(), pending, "a1", "b1", "tcp/80", "BAD_STATE_ROUTE")
    active = product.show("peers", "peerings/ab")["id"]
    assert [c["action"] for c in product.up(pending)["changes"] if c["kind"] == "peering"] == ["replace"]
    shown = product.show("peers", "peerings/ab")
    assert shown["state"] == "pending-acceptance" and shown["id"] != active
    states = {r["destination"]: r["state"] for r in product.show("peers", "route_tables/a/m")["routes"]}
    assert states["10.2.0.0/16"] == "blackhole" and states["10.1.0.0/16"] == "active"
    assert [c["action"] for c in product.up(lab())["changes"] if c["kind"] == "peering"] == ["update"]
    assert product.show("peers", "peerings/ab")["id"] == shown["id"]
    assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"


@pytest.mark.asan
@pytest.mark.ids("PCX-3")
@pytest.mark.mutant("peering-route")
def test_needs_a_route_on_both_sides(product):
    """With none: no route at the sender.  With one: the SYN arrives, and its answer has no way back."""
    doc = lab()
    del routes(doc, "b")["10.1.0.0/16"]
    prove_deny(product, lab(), without(lab(), "vpcs", "a", "route_tables", "m", "routes", "10.2.0.0/16"), "a1", "b1",
               "tcp/80", "NO_ROUTE_TO_DESTINATION")
    warned = product.up(doc)["warnings"]
    assert [w["code"] for w in warned] == ["peering-one-sided-route"]
    at_b, at_a = product.capture(product.netns("peers", "b1")), product.capture(product.netns("peers", "a1"))
    got = product.probe("peers", "a1", "b1", "tcp/80")
    assert got["result"] == "timeout"
    assert (got["dropped"]["code"], got["dropped"]["direction"]) == ("NO_ROUTE_TO_DESTINATION", "egress")
    assert "route table b.m" in got["dropped"]["component"]
    seen = at_b.packets()
    assert [p for p in seen if not p.outgoing and p.dport == 80 and p.flags == 2], seen
    assert [p for p in seen if p.outgoing and p.sport == 80 and p.flags == 18], seen
    assert not [p for p in at_a.packets() if not p.outgoing]
    at_a.close()
    at_b.close()


@pytest.mark.asan
@pytest.mark.ids("PCX-4")
@pytest.mark.mutant("peering-blocks")
def test_not_transitive(product):
    """a and c both have routes by b: a's router refuses to give c's address to the peering with b."""
    doc = lab()
    product.up(doc)
    assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"
    assert product.probe("peers", "b1", "c1", "tcp/80")["result"] == "open"
    at_c, at_b = product.capture(product.netns("peers", "c1")), product.capture(product.named_netns("peers", "router.b"))
    before = product.dropped("peers")
    got = product.probe("peers", "a1", "c1", "tcp/80")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", got
    assert got["dropped"]["component"] == "peering ab"
    assert product.dropped("peers")["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"] > \
        before.get("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", 0)
    assert not at_c.packets() and not at_b.packets()
    at_c.close()
    at_b.close()
    # with a peering of its own it is another matter
    doc["peerings"]["ac"] = {"requester": "a", "accepter": "c"}
    routes(doc, "a")["10.3.0.0/16"] = "peering:ac"
    routes(doc, "c")["10.1.0.0/16"] = "peering:ac"
    product.up(doc)
    assert product.probe("peers", "a1", "c1", "tcp/80")["seen_as"] == "10.1.1.10"


@pytest.mark.ids("PCX-4", "NAT-13")
@pytest.mark.mutant("peering-blocks")
@pytest.mark.parametrize("way", ["internet_gateway", "nat_gateway:nat", "instance:b2"])
def test_no_use_of_the_peers_ways_out(product, way):
    """Neither its internet gateway, nor its NAT gateway, nor an appliance of its."""
    doc = lab()
    b = doc["vpcs"]["b"]
    b["internet_gateway"] = True
    b["subnets"]["public"] = {"cidr_block": "10.2.9.0/24", "route_table": "p"}
    b["route_tables"]["p"] = {"routes": {"0.0.0.0/0": "internet_gateway", "10.1.0.0/16": "peering:ab"}}
    b["nat_gateways"] = {"nat": {"subnet": "public", "elastic_ip": "203.0.113.9"}}
    b["instances"]["b1"]["elastic_ip"] = "203.0.113.10"
    b["instances"]["b2"].update(forward=True, source_dest_check=False, elastic_ip="203.0.113.11")
    routes(doc, "b")["0.0.0.0/0"] = way
    routes(doc, "a")["0.0.0.0/0"] = "peering:ab"
    product.up(doc)
    if not way.startswith("instance"):
        assert product.probe("peers", "b1", "api", "tcp/443")["result"] == "open"
    got = product.probe("peers", "a1", "api", "tcp/443")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", got


@pytest.mark.ids("PCX-5")
@pytest.mark.mutant("peering-route")
def test_nobody_looks_whether_the_answers_way_leads_back(product):
    """Two peers of b with equal blocks: b's one route for both leads to the other, who gets the answer."""
    doc = lab()
    doc["vpcs"]["twin"] = vpc(1, ["t1"], {"10.2.0.0/16": "peering:tb"})
    doc["vpcs"]["twin"]["subnets"] = {"s1": {"cidr_block": "10.1.1.0/24"}}
    doc["peerings"]["tb"] = {"requester": "twin", "accepter": "b"}
    product.up(doc)
    assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"
    at_b, at_a = product.capture(product.netns("peers", "b1")), product.capture(product.netns("peers", "a1"))
    assert product.probe("peers", "t1", "b1", "tcp/80")["result"] == "timeout"
    assert [p for p in at_b.packets() if not p.outgoing and p.dport == 80]
    assert [p for p in at_a.packets() if not p.outgoing and p.sport == 80]
    at_a.close()
    at_b.close()


@pytest.mark.ids("PCX-4")
@pytest.mark.mutant("peering-blocks")
def test_only_its_own_addresses_leave_a_vpc(product):
    """What an appliance forwards for somebody else can't pass, though its own source check is off."""
    doc = lab()
    c = doc["vpcs"]["c"]
    c["internet_gateway"] = True
    c["instances"]["c1"].update(source_dest_check=False, forward=True)
    product.up(doc)
    assert product.probe("peers", "c1", "b1", "tcp/80")["result"] == "open"
    before = product.dropped("peers")
    at_b = product.capture(product.netns("peers", "b1"))
    send = ("import socket,struct; s=socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_RAW); "
            "s.sendto(struct.pack('>BBHHHBBH4s4s',0x45,0,28,1,0,64,17,0,socket.inet_aton('192.0.2.77'),"
            "socket.inet_aton('10.2.1.10'))+struct.pack('>HHHH',4000,53,8,0),('10.2.1.10',0))")
    product.vpclab("exec", "peers", "c1", "--", "/usr/bin/python3", "-c", send, check=0)
    code = "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"
    wait_until(lambda: product.dropped("peers").get(code, 0) == before.get(code, 0) + 1, "it is counted")
    assert not [p for p in at_b.packets() if p.src == "192.0.2.77"]
    at_b.close()


@pytest.mark.ids("DNS-8", "DNS-5", "PCX-4")
@pytest.mark.mutant("dns-peer")
def test_a_peers_resolver_cannot_be_asked(product):
    """Nor do its private names resolve here; a public one is a public address."""
    product.up(lab())
    got = product.probe("peers", "a1", "10.2.0.2", "udp/53")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "NO_POSSIBLE_DESTINATION", got
    ask = ("import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(1); "
           "s.sendto(bytes.fromhex('004d0100000100000000000003617069076578616d706c6503636f6d0000010001'),('%s',53)); "
           "print(s.recv(600)[-4:].hex())")
    own = product.vpclab("exec", "peers", "a1", "--", "/usr/bin/python3", "-c", ask % "10.1.0.2", check=0)
    assert own.out.strip() == "c633640a"
    assert product.vpclab("exec", "peers", "a1", "--", "/usr/bin/python3", "-c", ask % "10.2.0.2", check=1).err


# ---- groups across ----

def referring(side="ingress"):
    """b's web takes what members of a's clients send, and nobody else."""
    doc = lab()
    doc["vpcs"]["a"]["security_groups"]["clients"] = {}
    doc["vpcs"]["a"]["instances"]["a1"]["security_groups"] = ["open", "clients"]
    doc["vpcs"]["b"]["security_groups"]["web"] = {
        "ingress": [{"protocol": "tcp", "from_port": 80, "security_groups": ["ab/clients"]}]}
    doc["vpcs"]["b"]["instances"]["b1"]["security_groups"] = ["web"]
    return doc


@pytest.mark.asan
@pytest.mark.ids("SG-11", "PCX-5")
@pytest.mark.mutant("peering-references")
def test_reference_across_is_by_membership(product):
    doc = referring()
    out = having(doc, ["open"], "vpcs", "a", "instances", "a1", "security_groups")
    prove_deny(product, doc, out, "a1", "b1", "tcp/80", "ENI_SG_RULES_MISMATCH")
    assert product.probe("peers", "a2", "b1", "tcp/80")["dropped"]["code"] == "ENI_SG_RULES_MISMATCH"
    both = having(doc, ["clients"], "vpcs", "a", "instances", "a2", "security_groups")
    assert [(c["kind"], c["name"]) for c in product.up(both)["changes"]] == [("instance", "a2")]
    assert product.probe("peers", "a2", "b1", "tcp/80")["result"] == "open"


@pytest.mark.ids("SG-11")
@pytest.mark.mutant("peering-references")
def test_reference_across_in_egress(product):
    doc = lab()
    doc["vpcs"]["b"]["security_groups"]["web"] = {"ingress": ALL}
    doc["vpcs"]["b"]["instances"]["b1"]["security_groups"] = ["web"]
    doc["vpcs"]["a"]["security_groups"]["clients"] = {
        "egress": [{"protocol": "tcp", "from_port": 80, "security_groups": ["ab/web"]}]}
    doc["vpcs"]["a"]["instances"]["a1"]["security_groups"] = ["clients"]
    out = having(doc, ["open"], "vpcs", "b", "instances", "b1", "security_groups")
    prove_deny(product, doc, out, "a1", "b1", "tcp/80", "ENI_SG_RULES_MISMATCH")
    assert product.probe("peers", "a1", "b2", "tcp/80")["dropped"]["direction"] == "egress"


@pytest.mark.ids("SG-11")
@pytest.mark.mutant("peering-stale")
def test_stale_rule_stays_and_matches_nobody(product):
    """The peering ends: the rule is kept and told to be stale; a new peering makes it good again."""
    def in_force():
        return product.vpclab("exec", "peers", "router:b", "--", "nft", "list", "table", "ip", "vpc", check=0).out
    doc = referring()
    pending = having(doc, False, "peerings", "ab", "auto_accept")
    product.up(doc)
    assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open" and "ab/clients" in in_force()
    changes = product.up(pending)["changes"]
    assert [(c["action"], c["kind"]) for c in changes] == [("replace", "peering")]
    rule = product.show("peers", "security_groups/b/web")["ingress"][0]
    assert rule["security_groups"] == rule["stale_security_groups"] == ["ab/clients"]
    assert "ab/clients" not in in_force()
    product.up(doc)
    rule = product.show("peers", "security_groups/b/web")["ingress"][0]
    assert rule["stale_security_groups"] == []
    assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"


@pytest.mark.ids("SG-11")
@pytest.mark.mutant("peering-reference-link")
def test_reference_across_is_of_that_peering_only(product):
    """A twin of a has the same addresses and another peering: its packets aren't a's members'."""
    doc = referring()
    doc["vpcs"]["twin"] = vpc(1, ["t1"], {"10.2.0.0/16": "peering:tb"})
    doc["vpcs"]["twin"]["subnets"] = {"s1": {"cidr_block": "10.1.1.0/24"}}
    doc["peerings"]["tb"] = {"requester": "twin", "accepter": "b"}
    product.up(doc)
    assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"
    got = product.probe("peers", "t1", "b1", "tcp/80")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "ENI_SG_RULES_MISMATCH", got


def test_edit_of_a_rule_that_refers_across(product):
    """The short way of an edit makes and takes away the set of the other side's members."""
    doc = referring()
    one = copy.deepcopy(doc)
    one["vpcs"]["b"]["security_groups"]["web"]["ingress"] = [{"protocol": "tcp", "from_port": 80, "self": True}]
    product.up(one)
    for _ in range(2):
        assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "timeout"
        assert [c["kind"] for c in product.up(doc)["changes"]] == ["security_group"]
        assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"
        product.up(one)


# ---- changes ----

def test_a_peering_comes_and_goes_under_traffic(product):
    """What the change doesn't concern lives on: a connection between b and c, while ab comes and goes."""
    doc = lab()
    gone = without(doc, "peerings", "ab")
    del routes(gone, "b")["10.1.0.0/16"]
    gone["vpcs"]["a"]["route_tables"]["m"]["routes"] = {}
    product.up(gone)

    def dial():
        s = socket.create_connection(("10.2.1.10", 80), 3)
        s.settimeout(3)
        return s
    s = in_netns(product.netns("peers", "c1"), dial)
    assert json.loads(s.makefile().readline())["from"] == "10.3.1.10"
    for _ in range(3):
        product.up(doc)
        assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open"
        product.up(gone)
        assert product.probe("peers", "a1", "b1", "tcp/80")["result"] == "timeout"
        s.sendall(b"still\n")
        assert s.recv(100) == b"still\n"
    s.close()
    for v in ("a", "b"):
        links = product.vpclab("exec", "peers", "router:" + v, "--", "ip", "-o", "link", check=0).out
        assert links.count(": pcx-") == (1 if v == "b" else 0), links


def test_the_link_is_repaired(product):
    product.up(lab())
    link = product.show("peers", "peerings/ab")["router_interface"]
    seq = product.vpclab("exec", "peers", "router:b", "--", "ip", "link", "del", link, check=0)
    assert seq.rc == 0
    wait_until(lambda: product.probe("peers", "a1", "b1", "tcp/80")["result"] == "open", "the link is back")


@pytest.mark.ids("L2-5")
@pytest.mark.mutant("peering-mtu")
def test_9001_bytes_pass(product):
    """With don't-fragment set: a peering in one Region has a VPC's MTU."""
    product.up(lab())
    out = product.vpclab("exec", "peers", "a1", "--", "ping", "-c1", "-W2", "-Mdo", "-s", str(9001 - 28), "10.2.1.10")
    assert out.rc == 0, out
    assert product.vpclab("exec", "peers", "a1", "--", "ping", "-c1", "-W1", "-Mdo", "-s", str(9002 - 28),
                          "10.2.1.10").rc != 0


@pytest.mark.ids("PCX-3", "PCX-4", kind="state")
@pytest.mark.mutant("explain-peering")
def test_why_names_the_peering_and_the_route(product):
    doc = lab()
    path = product.file(doc)
    says = product.json("why", path, "a1", "b1", "tcp/80")
    assert says["result"] == "open" and says["path"] == "a1 > peering ab > b1", says["path"]
    hops = {h["kind"]: h for h in says["hops"] if not h["answer"]}
    assert hops["peering"]["component"] == "ab" and hops["peering"]["line"]
    assert hops["route_table"]["rule"] == "10.2.0.0/16 -> peering:ab"
    says = product.json("why", path, "a1", "c1", "tcp/80")
    assert says["decided_by"]["code"] == "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"
    assert says["decided_by"]["component"] == "ab"
    del routes(doc, "b")["10.1.0.0/16"]
    says = product.json("why", product.file(doc), "a1", "b1", "tcp/80")
    assert says["decided_by"]["code"] == "NO_ROUTE_TO_DESTINATION" and says["decided_by"]["answer"]
    assert says["decided_by"]["component"] == "b/m" and says["decided_by"]["line"]
