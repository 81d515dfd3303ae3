# SPDX-License-Identifier: MIT
"""
What interfaces remember of flows: untracked ones end with their rule, tracked ones live on, and each interface has its
own memory.

    one 10.0.1.0/24: a, c                two 10.0.2.0/24: b, function fn      mid 10.0.3.0/24: box (forwards)
    public 10.0.9.0/24: d (elastic), NAT gateway of private 10.0.4.0/24: e    api 198.51.100.10 on the internet
"""
import subprocess

import pytest

from held import alive, hold, state
from product import having

ALL = {"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}
GROUPS = ("vpcs", "main", "security_groups")
TABLES = ("vpcs", "main", "route_tables")
LAB = "tracking"


def tcp(port, *cidrs):
    return {"protocol": "tcp", "from_port": port, "to_port": port, "cidr_blocks": list(cidrs)}


def lab():
    return {
        "version": 1, "lab": LAB,
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/443"]}}},
        "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"one": {"cidr_block": "10.0.1.0/24", "route_table": "one"},
                        "two": {"cidr_block": "10.0.2.0/24", "route_table": "two"},
                        "mid": {"cidr_block": "10.0.3.0/24", "route_table": "mid"},
                        "private": {"cidr_block": "10.0.4.0/24", "route_table": "private"},
                        "public": {"cidr_block": "10.0.9.0/24", "route_table": "public"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"one": {"routes": {}}, "two": {"routes": {}}, "mid": {"routes": {}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}},
                             "public": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
            "security_groups": {
                "a": {"egress": [tcp(80, "10.0.0.0/16"), {"protocol": "udp", "from_port": 80,
                                                          "cidr_blocks": ["10.0.0.0/16"]}]},
                "b": {"ingress": [tcp(80, "0.0.0.0/0")]}, "box": {"egress": []},
                "out": {"ingress": [dict(ALL)], "egress": [dict(ALL)]}},
            "instances": {
                "a": {"subnet": "one", "security_groups": ["a"]},
                "c": {"subnet": "one", "security_groups": ["out"]},
                "b": {"subnet": "two", "security_groups": ["b"], "serve": ["tcp/80", "udp/80"]},
                "box": {"subnet": "mid", "security_groups": ["box"], "source_dest_check": False, "forward": True},
                "d": {"subnet": "public", "security_groups": ["out"], "elastic_ip": "203.0.113.11"},
                "e": {"subnet": "private", "security_groups": ["out"]}},
        }},
        "functions": {"fn": {"runtime": "exec", "command": ["cat"], "role": "fn",
                             "vpc_config": {"subnets": ["two"], "security_groups": ["out"]}}},
    }


def group(doc, name, **sides):
    for side, rules in sides.items():
        doc = having(doc, rules, *GROUPS, name, side)
    return doc


def refused(product, source, target, port):
    got = product.probe(LAB, source, target, port)
    assert got["result"] == "timeout" and got["dropped"]["code"] in ("ENI_SG_RULES_MISMATCH", "SG_HAS_NO_RULES"), got


@pytest.mark.asan
@pytest.mark.ids("CT-1", "CT-2", "SG-12")
@pytest.mark.mutant("untracked")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_untracked_flow_ends_with_its_rule(product, protocol):
    """Open to all, and every answer may leave: nothing is remembered.  Told by the other gate, too: a's own flow is
    tracked at a all the while."""
    rule = {**tcp(80, "0.0.0.0/0"), "protocol": protocol}
    opened = group(lab(), "b", ingress=[rule])
    product.up(opened)
    hold(product, LAB, "old", "a", "b", protocol + "/80")
    assert alive(product, LAB, "old")
    before = product.dropped(LAB)
    product.up(group(lab(), "b", ingress=[]))
    assert state(product, LAB, "old") == "silent"
    after = product.dropped(LAB)
    assert {c for c in after if after[c] > before.get(c, 0)} == {"SG_HAS_NO_RULES"}
    product.up(opened)
    assert alive(product, LAB, "old")


@pytest.mark.asan
@pytest.mark.ids("CT-1", "CT-2")
@pytest.mark.mutant("untracked")
def test_an_untracked_flow_ends_with_the_senders_rule(product):
    product.up(group(lab(), "b", ingress=[tcp(80, "10.0.0.0/16")]))
    hold(product, LAB, "old", "c", "b", "tcp/80")
    product.up(group(lab(), "out", egress=[]))
    assert state(product, LAB, "old") == "silent"
    product.up(lab())
    assert alive(product, LAB, "old")


@pytest.mark.asan
@pytest.mark.ids("CT-3", "SG-12", "SG-6")
@pytest.mark.mutant("tracked")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_tracked_flow_outlives_its_rule(product, protocol):
    """The rule isn't open to all: what is open stays, new connections are refused."""
    product.up(group(lab(), "b", ingress=[{**tcp(80, "10.0.1.0/24"), "protocol": protocol}]))
    hold(product, LAB, "old", "a", "b", protocol + "/80")
    product.up(group(lab(), "b", ingress=[]))
    assert alive(product, LAB, "old")
    refused(product, "a", "b", protocol + "/80")
    product.up(group(lab(), "b", ingress=[], egress=[]))
    assert alive(product, LAB, "old")


@pytest.mark.ids("CT-1")
@pytest.mark.mutant("open-answers")
@pytest.mark.parametrize("egress", [[], [{"protocol": "tcp", "from_port": 1024, "to_port": 65535,
                                          "cidr_blocks": ["0.0.0.0/0"]}],
                                    [{"protocol": "udp", "from_port": 0, "to_port": 65535,
                                      "cidr_blocks": ["0.0.0.0/0"]}],
                                    [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/1", "128.0.0.0/1"]}]],
                         ids=["none", "some", "udp", "halves"])
def test_open_to_all_is_tracked_unless_all_answers_may_leave(product, egress):
    product.up(group(lab(), "b", egress=egress))
    hold(product, LAB, "old", "a", "b", "tcp/80")
    product.up(group(lab(), "b", ingress=[], egress=egress))
    assert alive(product, LAB, "old")
    refused(product, "a", "b", "tcp/80")


@pytest.mark.ids("CT-1")
@pytest.mark.mutant("untracked")
def test_all_answers_of_one_protocol(product):
    egress = [{"protocol": "tcp", "from_port": 0, "to_port": 65535, "cidr_blocks": ["0.0.0.0/0"]}]
    both = [tcp(80, "0.0.0.0/0"), {**tcp(80, "0.0.0.0/0"), "protocol": "udp"}]
    product.up(group(lab(), "b", ingress=both, egress=egress))
    hold(product, LAB, "t", "a", "b", "tcp/80")
    hold(product, LAB, "u", "a", "b", "udp/80")
    product.up(group(lab(), "b", ingress=[], egress=egress))
    assert state(product, LAB, "t") == "silent"
    assert alive(product, LAB, "u")


@pytest.mark.ids("CT-4")
@pytest.mark.mutant("open-answers")
def test_without_all_answers_open_flows_are_tracked_from_then_on(product):
    product.up(lab())
    hold(product, LAB, "old", "a", "b", "tcp/80")
    product.up(group(lab(), "b", egress=[]))
    assert alive(product, LAB, "old")
    product.up(group(lab(), "b", ingress=[], egress=[]))
    assert alive(product, LAB, "old")
    refused(product, "a", "b", "tcp/80")


@pytest.mark.asan
@pytest.mark.ids("CT-5", "LN-14", "NAT-15")
@pytest.mark.mutant("always-tracked")
@pytest.mark.parametrize("source", ["fn", "e"])
def test_functions_and_nat_gateways_are_always_tracked(product, source):
    """With rules that would leave any other flow untracked, as d's through the internet gateway alone."""
    doc = having(lab(), ["private"], "functions", "fn", "vpc_config", "subnets")
    product.up(doc)
    hold(product, LAB, "nat", source, "api", "tcp/443")
    hold(product, LAB, "direct", "d", "api", "tcp/443")
    product.up(group(doc, "out", egress=[]))
    assert state(product, LAB, "direct") == "silent"
    assert alive(product, LAB, "nat")
    refused(product, source, "api", "tcp/443")


PING = """
import os, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(float(sys.argv[2]))
def echo(n):
    body = struct.pack(">BBHHH", 8, 0, 0, 4711, n) + b"x" * 8
    total = sum(struct.unpack(">8H", body))
    total = (total >> 16) + (total & 0xffff)
    s.sendto(body[:2] + struct.pack(">H", ~total & 0xffff) + body[4:], (sys.argv[1], 0))
    try:
        while True:
            got = s.recv(200)[20:]
            if got[0] == 0 and struct.unpack(">HH", got[4:8]) == (4711, n):
                return "answer"
    except TimeoutError:
        return "silence"
n = 0
for line in sys.stdin:
    n += 1
    print(echo(n), flush=True)
"""


class Ping:
    """Echo requests of one identifier, which are one flow; one for each answer() that is asked for."""

    def __init__(self, product, node, address):
        self.p = subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "exec", LAB, node, "--",
                                   "/usr/bin/python3", "-c", PING, address, "1"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)

    def answer(self):
        self.p.stdin.write("go\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def close(self):
        self.p.stdin.close()
        self.p.wait(10)


@pytest.mark.ids("CT-1", "SG-6")
@pytest.mark.mutant("tracked")
def test_icmp_is_always_tracked(product):
    opened = group(lab(), "b", ingress=[dict(ALL)])
    product.up(opened)
    address = product.show(LAB, "instances/b")["private_ip"]
    ping = Ping(product, "c", address)
    assert ping.answer() == "answer"
    product.up(group(lab(), "b", ingress=[], egress=[]))
    assert ping.answer() == "answer"
    ping.close()
    refused(product, "c", "b", "icmp")


# ---- each interface by itself

def asymmetric(**sides):
    """From a to b straight, from b to a through box."""
    doc = having(lab(), {"10.0.1.0/24": "instance:box"}, *TABLES, "two", "routes")
    return group(group(doc, "b", ingress=[tcp(80, "10.0.1.0/24")]), "box", **sides)


@pytest.mark.asan
@pytest.mark.ids("CT-1", "SG-5", "SG-6")
@pytest.mark.mutant("state-per-interface")
@pytest.mark.parametrize("which", ["ingress", "egress"])
def test_a_middlebox_has_a_memory_of_its_own(product, which):
    """It sees answers only: though both ends know the flow, its groups have to let them pass, in and out."""
    answers = [{"protocol": "tcp", "from_port": 1024, "to_port": 65535, "cidr_blocks": ["10.0.0.0/16"]}]
    passes = asymmetric(ingress=answers, egress=answers)
    product.up(passes)
    box = product.capture(product.netns(LAB, "box"))
    assert product.probe(LAB, "a", "b", "tcp/80")["result"] == "open"
    seen = box.packets()
    assert [p for p in seen if p.sport == 80] and not [p for p in seen if p.dport == 80], seen
    box.close()
    product.up(group(passes, "box", **{which: []}))
    at_a = product.capture(product.netns(LAB, "a"))
    at_b = product.capture(product.netns(LAB, "b"))
    before = product.dropped(LAB)
    got = product.probe(LAB, "a", "b", "tcp/80")
    after = product.dropped(LAB)
    assert got["result"] == "timeout" and got["dropped"]["code"] == "SG_HAS_NO_RULES", got
    assert got["dropped"]["direction"] == which
    assert not [p for p in at_a.packets() if not p.outgoing and p.sport == 80]
    assert [p for p in at_b.packets() if p.outgoing and p.sport == 80], "b answers"
    assert {c for c in after if after[c] > before.get(c, 0)} == {"SG_HAS_NO_RULES"}
    at_a.close()
    at_b.close()
    product.up(passes)
    assert product.probe(LAB, "a", "b", "tcp/80")["result"] == "open"


@pytest.mark.ids("CT-3", "SG-6")
@pytest.mark.mutant("tracked", "state-per-interface")
def test_a_middlebox_on_both_ways(product):
    """In and out are two decisions: without egress rules nothing leaves it, though it came in by one; and what it has
    let pass both ways outlives its rules."""
    rules = [tcp(80, "10.0.0.0/16")]
    doc = having(asymmetric(ingress=rules, egress=rules), {"10.0.2.0/24": "instance:box"}, *TABLES, "one", "routes")
    product.up(group(doc, "box", egress=[]))
    got = product.probe(LAB, "a", "b", "tcp/80")
    assert (got["result"], got["dropped"]["code"], got["dropped"]["direction"]) == \
        ("timeout", "SG_HAS_NO_RULES", "egress"), got
    product.up(doc)
    hold(product, LAB, "old", "a", "b", "tcp/80")
    product.up(group(doc, "box", ingress=[], egress=[]))
    assert alive(product, LAB, "old")
    refused(product, "a", "b", "tcp/80")


@pytest.mark.ids("SG-6")
@pytest.mark.mutant("crossing", "crossing-slots")
@pytest.mark.parametrize("check", [True, False])
def test_answers_past_a_middlebox_before_the_gateway(product, check):
    """
    Out through box and the internet gateway, back straight: the sender remembers what it sent, and nothing else; also one
    that may be a middlebox itself, with a memory of its own.
    """
    doc = having(lab(), {"0.0.0.0/0": "instance:box"}, *TABLES, "one", "routes")
    doc = having(doc, {"0.0.0.0/0": "internet_gateway"}, *TABLES, "mid", "routes")
    doc = having(doc, "203.0.113.12", "vpcs", "main", "instances", "a", "elastic_ip")
    doc = having(doc, ["tcp/80"], "vpcs", "main", "instances", "a", "serve")
    doc = having(doc, check, "vpcs", "main", "instances", "a", "source_dest_check")
    https = [tcp(443, "0.0.0.0/0")]
    doc = group(group(doc, "box", ingress=https, egress=https), "a", ingress=[], egress=https)
    product.up(doc)
    assert product.probe(LAB, "a", "api", "tcp/443")["seen_as"] == "203.0.113.12"
    refused(product, "api", "a", "tcp/80")


@pytest.mark.ids("SG-1")
def test_editing_one_group_touches_that_group(product):
    """Whether flows are tracked is part of the same small change."""
    product.up(lab())
    for ingress, egress in (([tcp(80, "10.0.1.0/24")], [dict(ALL)]), ([tcp(80, "0.0.0.0/0")], []),
                            ([tcp(80, "0.0.0.0/0")], [dict(ALL)])):
        got = product.up(group(lab(), "b", ingress=ingress, egress=egress))
        assert [(c["action"], c["kind"]) for c in got["changes"]] == [("update", "security_group")], got
        assert product.probe(LAB, "a", "b", "tcp/80")["result"] == "open"


def test_slots_have_a_limit(product):
    doc = lab()
    doc["vpcs"]["main"]["subnets"]["wide"] = {"cidr_block": "10.0.16.0/20"}
    for i in range(62):
        doc["vpcs"]["main"]["instances"]["m%d" % i] = {"subnet": "wide", "source_dest_check": False}
    r = product.vpclab("plan", product.file(doc))
    assert r.rc != 0 and "more than 61 interfaces" in r.err + r.out, r


# ---- references, which hold for a member's own interface and private address

def by_reference(rules):
    """From a to b and back through box, which lets all pass."""
    doc = having(lab(), {"10.0.1.0/24": "instance:box"}, *TABLES, "two", "routes")
    doc = having(doc, {"10.0.2.0/24": "instance:box"}, *TABLES, "one", "routes")
    return group(group(doc, "box", ingress=[dict(ALL)], egress=[dict(ALL)]), "b", ingress=rules)


@pytest.mark.asan
@pytest.mark.ids("SG-10")
@pytest.mark.mutant("references-preserved")
def test_a_middlebox_loses_references(product):
    reference = [{"protocol": "tcp", "from_port": 80, "security_groups": ["a"]}]
    product.up(by_reference([tcp(80, "10.0.1.0/24")]))
    assert product.probe(LAB, "a", "b", "tcp/80")["result"] == "open"
    product.up(by_reference(reference))
    at_b = product.capture(product.netns(LAB, "b"))
    before = product.dropped(LAB)
    got = product.probe(LAB, "a", "b", "tcp/80")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "SG_REFERENCES_NOT_PRESERVED", got
    after = product.dropped(LAB)
    assert {c for c in after if after[c] > before.get(c, 0)} == {"SG_REFERENCES_NOT_PRESERVED"}
    assert not [p for p in at_b.packets() if not p.outgoing and p.dport == 80]
    at_b.close()
    model = product.json("why", LAB, "a", "b", "tcp/80", check=None)
    assert model["decided_by"]["code"] == "SG_REFERENCES_NOT_PRESERVED", model
    product.up(group(lab(), "b", ingress=reference))
    assert product.probe(LAB, "a", "b", "tcp/80")["result"] == "open"


@pytest.mark.ids("SG-10")
@pytest.mark.mutant("references-public")
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_public_address_loses_references(product, direction):
    """Two instances with elastic addresses, each a member of the group that a rule of the other names."""
    doc = having(lab(), {"subnet": "public", "security_groups": ["b"], "elastic_ip": "203.0.113.12",
                         "serve": ["tcp/80"]}, "vpcs", "main", "instances", "f")
    doc = having(doc, ["tcp/80"], "vpcs", "main", "instances", "d", "serve")
    rule = {"protocol": "tcp", "from_port": 80, "security_groups": ["b" if direction == "egress" else "out"]}
    if direction == "egress":
        doc = group(group(doc, "out", egress=[rule]), "b", ingress=[tcp(80, "0.0.0.0/0")])
    else:
        doc = group(doc, "b", ingress=[rule])
    product.up(doc)
    private = product.show(LAB, "instances/f")["private_ip"]
    assert product.probe(LAB, "d", private, "tcp/80")["result"] == "open"
    got = product.probe(LAB, "d", "203.0.113.12", "tcp/80")
    assert got["result"] == "timeout", got
    assert (got["dropped"]["code"], got["dropped"]["direction"]) == ("SG_REFERENCES_NOT_PRESERVED", direction), got
