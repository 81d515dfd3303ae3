# SPDX-License-Identifier: MIT
"""
Network ACLs: two lists of a subnet, first match, no memory, asked where a packet leaves a subnet and where it enters one.

    one 10.0.1.0/24: a, a2, functions fn, sealed     two 10.0.2.0/24: b     (all of them in a group that allows all)
    public 10.0.9.0/24: web (203.0.113.5), NAT gateway of one (203.0.113.10)     internet: api 198.51.100.10
"""
import json
import socket
import struct

import pytest

from product import having, in_netns, prove_deny, wait_until, without

VPC = ("vpcs", "main")
ACLS = VPC + ("network_acls", )
CODE = "SUBNET_ACL_RESTRICTION"


def entry(number, action, protocol="-1", ports=None, cidr="0.0.0.0/0", **more):
    o = {"rule_number": number, "rule_action": action, "protocol": protocol, "cidr_block": cidr, **more}
    if ports:
        o["from_port"], o["to_port"] = ports
    return o


ALL = [entry(100, "allow")]
EPHEMERAL = (1024, 65535)


def lab():
    both = {"ingress": list(ALL), "egress": list(ALL)}
    return {
        "version": 1, "lab": "acls",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]}}},
        "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"one": {"cidr_block": "10.0.1.0/24", "network_acl": "one", "route_table": "one"},
                        "two": {"cidr_block": "10.0.2.0/24", "network_acl": "two"},
                        "public": {"cidr_block": "10.0.9.0/24", "network_acl": "public", "route_table": "public"}},
            "network_acls": {"one": dict(both), "two": dict(both), "public": dict(both)},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "one": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {
                "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]},
                "shut": {"ingress": [], "egress": []}},
            "instances": {
                "a": {"subnet": "one", "security_groups": ["open"], "serve": ["tcp/80", "udp/80"]},
                "a2": {"subnet": "one", "security_groups": ["open"], "serve": ["tcp/80"]},
                "b": {"subnet": "two", "security_groups": ["open"], "serve": ["tcp/80", "udp/80"]},
                "web": {"subnet": "public", "security_groups": ["open"], "elastic_ip": "203.0.113.5",
                        "serve": ["tcp/80"]},
            },
        }},
        "functions": {
            "fn": {"runtime": "exec", "command": ["cat"], "role": "fn",
                   "vpc_config": {"subnets": ["one"], "security_groups": ["open"]}}},
    }


def with_list(entries, acl, direction, doc=None):
    return having(doc or lab(), entries, *ACLS, acl, direction)


# ---- which entry decides

@pytest.mark.asan
@pytest.mark.ids("NACL-1")
@pytest.mark.mutant("acl-order")
@pytest.mark.parametrize("acl,direction", [("one", "egress"), ("two", "ingress")])
def test_the_lowest_number_decides(product, acl, direction):
    """The order in the file means nothing."""
    late = [entry(110, "deny", "tcp", (80, 80)), entry(100, "allow")]
    early = [entry(100, "allow"), entry(90, "deny", "tcp", (80, 80))]
    got = prove_deny(product, with_list(late, acl, direction), with_list(early, acl, direction), "a", "b", "tcp/80", CODE)
    assert got["dropped"] == {"code": CODE, "component": "network acl main." + acl, "direction": direction}


@pytest.mark.asan
@pytest.mark.ids("NACL-1", "NACL-4")
@pytest.mark.mutant("acl-final")
def test_what_no_entry_allows_is_denied(product):
    """A list of one's own starts empty."""
    other = [entry(100, "allow", "tcp", (443, 443)), entry(110, "allow", cidr="10.0.9.0/24")]
    prove_deny(product, lab(), with_list(other, "two", "ingress"), "a", "b", "tcp/80", CODE)
    prove_deny(product, lab(), having(lab(), {}, *ACLS, "two"), "a", "b", "tcp/80", CODE)


@pytest.mark.ids("NACL-1", "NACL-11")
@pytest.mark.mutant("acl-egress")
def test_the_senders_list(product):
    prove_deny(product, lab(), with_list([entry(1, "deny", cidr="10.0.2.0/24")] + ALL, "one", "egress"), "a", "b",
               "tcp/80", CODE)


@pytest.mark.ids("NACL-1", "NACL-11")
@pytest.mark.mutant("acl-ingress")
def test_the_receivers_list(product):
    prove_deny(product, lab(), with_list([entry(1, "deny", cidr="10.0.1.0/24")] + ALL, "two", "ingress"), "a", "b",
               "tcp/80", CODE)


@pytest.mark.asan
@pytest.mark.ids("NACL-2")
@pytest.mark.mutant("acl-same-subnet")
def test_never_inside_a_subnet(product):
    """A list that denies all leaves neighbours alone, and nobody else."""
    shut = having(lab(), {}, *ACLS, "one")
    product.up(shut)
    assert product.probe("acls", "a", "a2", "tcp/80")["result"] == "open"
    assert product.probe("acls", "fn", "a2", "tcp/80")["result"] == "open"
    got = product.probe("acls", "a", "10.0.1.200", "tcp/80")
    assert got["dropped"]["code"] == "UNKNOWN_DESTINATION", "an address of the subnet that nobody has: %r" % got
    prove_deny(product, lab(), shut, "b", "a", "tcp/80", CODE)


# ---- no memory

@pytest.mark.asan
@pytest.mark.ids("NACL-3")
@pytest.mark.mutant("acl-stateless")
@pytest.mark.parametrize("acl,direction", [("two", "egress"), ("one", "ingress")])
def test_answers_need_a_rule(product, acl, direction):
    """The SYN arrives and its SYN-ACK is dropped."""
    product.up(with_list([entry(1, "allow", "tcp", EPHEMERAL)], acl, direction))
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "open"
    product.up(with_list([entry(1, "allow", "tcp", (1, 1023))], acl, direction))
    at_b, at_a = (product.capture(product.netns("acls", n)) for n in ("b", "a"))
    got = product.probe("acls", "a", "b", "tcp/80")
    assert (got["result"], got["dropped"]) == ("timeout", {
        "code": CODE, "component": "network acl main." + acl, "direction": direction})
    packets = at_b.packets()
    assert [p for p in packets if not p.outgoing and p.flags == 2] and [p for p in packets if p.outgoing and p.flags == 18]
    assert not [p for p in at_a.packets() if not p.outgoing]
    at_a.close()
    at_b.close()


def open_connection(product, source, target, port=80):
    """A connection that is past the server's first line; told() sends over it and says whether the echo came."""
    def make():
        s = socket.socket()
        s.settimeout(5)
        s.connect((target, port))
        return s
    s = in_netns(product.netns("acls", source), make)
    buf = b""
    while not buf.endswith(b"\n"):
        buf += s.recv(4096)
    return s


def told(s, text, timeout=1.0):
    s.settimeout(timeout)
    s.sendall(text)
    try:
        return s.recv(100)
    except TimeoutError:
        return None


@pytest.mark.asan
@pytest.mark.ids("NACL-12", "CT-9")
@pytest.mark.mutant("acl-stateless")
@pytest.mark.parametrize("acl,direction,ports", [("one", "egress", (80, 80)), ("two", "ingress", (80, 80)),
                                                 ("two", "egress", EPHEMERAL), ("one", "ingress", EPHEMERAL)])
def test_a_change_cuts_what_is_open(product, acl, direction, ports):
    """Either direction of it, at once; and lifted, it heals, for nothing else was touched."""
    product.up(lab())
    s = open_connection(product, "a", product.show("acls", "instances/b")["private_ip"])
    assert told(s, b"one") == b"one"
    changed = product.up(with_list([entry(1, "deny", "tcp", ports)] + ALL, acl, direction))
    assert [(c["action"], c["kind"], c["because"]) for c in changed["changes"]] == [
        ("update", "network_acl", direction + " changed")]
    before = product.dropped("acls")
    assert told(s, b"two") is None
    rose = {c: n - before.get(c, 0) for c, n in product.dropped("acls").items() if n != before.get(c, 0)}
    assert set(rose) == {CODE}
    product.up(lab())
    s.settimeout(10)
    assert s.recv(100) == b"two"
    s.close()


# ---- protocols

@pytest.mark.asan
@pytest.mark.ids("NACL-6")
@pytest.mark.mutant("acl-icmp")
def test_icmp_by_type_and_code(product):
    """An echo needs its request one way and its reply the other; code -1 is any."""
    def only(type_, code):
        return with_list([entry(1, "allow", "icmp", icmp_type=type_, icmp_code=code)], "two", "ingress")
    prove_deny(product, only(8, 0), only(13, -1), "a", "b", "icmp", CODE)
    prove_deny(product, only(8, -1), only(8, 1), "a", "b", "icmp", CODE)
    prove_deny(product, only(-1, -1), only(0, -1), "a", "b", "icmp", CODE)


def raw(product, source, target, protocol, payload):
    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
        s.sendto(payload, (target, 0))
        s.close()
    in_netns(product.netns("acls", source), send)


@pytest.mark.ids("NACL-6")
@pytest.mark.mutant("acl-protocol")
@pytest.mark.parametrize("protocol,denied", [(47, 50), (58, 47), (253, 58)])
def test_protocols_by_number(product, protocol, denied):
    """Ports are ignored with them, and a packet of another number isn't taken for it."""
    product.up(with_list([entry(1, "allow", protocol, (7, 7))], "two", "ingress"))
    target = product.show("acls", "instances/b")["private_ip"]
    at_b = product.capture(product.netns("acls", "b"))
    before = product.dropped("acls").get(CODE, 0)
    raw(product, "a", target, denied, b"\0" * 32)
    raw(product, "a", target, protocol, b"\0" * 32)
    seen = []
    wait_until(lambda: seen.extend(at_b.packets()) or [p for p in seen if p.proto == protocol], "it arrives")
    assert {p.proto for p in seen if not p.outgoing} == {protocol}
    assert product.dropped("acls")[CODE] == before + 1
    at_b.close()


@pytest.mark.ids("NACL-6")
@pytest.mark.mutant("acl-protocol")
def test_all_protocols_ignore_ports(product):
    product.up(with_list([entry(1, "allow", "-1", (443, 443))], "two", "ingress"))
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "open"
    assert product.probe("acls", "a", "b", "icmp")["result"] == "open"
    product.up(with_list([entry(1, "allow", "tcp", (443, 443))], "two", "ingress"))
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "timeout"


@pytest.mark.ids("NACL-6")
@pytest.mark.mutant("acl-final")
def test_fragments_are_asked_as_one(product):
    """Only the first has ports; the rest of what is allowed passes, the rest of what is denied doesn't."""
    both = with_list([entry(1, "allow", "udp", (80, 80))], "two", "ingress")
    product.up(both)
    target = product.show("acls", "instances/b")["private_ip"]
    at_b = product.capture(product.netns("acls", "b"))

    def send(port):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(b"x" * 20000, (target, port))
        s.close()
    in_netns(product.netns("acls", "a"), lambda: send(81))
    in_netns(product.netns("acls", "a"), lambda: send(80))
    seen = []

    def whole():
        seen.extend(p for p in at_b.packets() if p.proto == 17 and not p.outgoing)
        return sum(len(p.payload) for p in seen) >= 20008
    wait_until(whole, "all of the datagram is there")
    first = [p for p in seen if not struct.unpack_from(">H", p.data, 6)[0] & 0x1fff]
    assert len(seen) > 1 and [p.dport for p in first] == [80]
    assert len({p.data[4:6] for p in seen}) == 1, "fragments of one datagram alone"
    at_b.close()


# ---- whose a drop is

@pytest.mark.ids("NACL-11")
@pytest.mark.mutant("acl-priority")
def test_the_list_comes_before_the_receivers_groups(product):
    shut = having(lab(), ["shut"], *VPC, "instances", "b", "security_groups")
    product.up(shut)
    assert product.probe("acls", "a", "b", "tcp/80")["dropped"]["code"] == "SG_HAS_NO_RULES"
    product.up(with_list([], "two", "ingress", shut))
    assert product.probe("acls", "a", "b", "tcp/80")["dropped"]["code"] == CODE


@pytest.mark.ids("NACL-11")
@pytest.mark.mutant("acl-priority")
def test_the_list_comes_after_the_senders_groups(product):
    shut = having(with_list([], "one", "egress"), ["shut"], *VPC, "instances", "a", "security_groups")
    product.up(shut)
    assert product.probe("acls", "a", "b", "tcp/80")["dropped"]["code"] == "SG_HAS_NO_RULES"
    product.up(with_list([], "one", "egress"))
    assert product.probe("acls", "a", "b", "tcp/80")["dropped"]["code"] == CODE


@pytest.mark.ids("NACL-11")
@pytest.mark.mutant("acl-lost")
def test_the_list_comes_before_the_route(product):
    """What has no route is still the list's, if the list denies it."""
    product.up(lab())
    assert product.probe("acls", "b", "api", "tcp/443")["dropped"]["code"] == "NO_ROUTE_TO_DESTINATION"
    product.up(with_list([entry(1, "deny", cidr="198.51.100.0/24")] + ALL, "two", "egress"))
    assert product.probe("acls", "b", "api", "tcp/443")["dropped"]["code"] == CODE


# ---- everything else that crosses

@pytest.mark.asan
@pytest.mark.ids("NACL-8", "DNS-7")
@pytest.mark.mutant("dns-exemption")
@pytest.mark.parametrize("server", ["10.0.0.2", "169.254.169.253"])
def test_the_resolver_is_exempt(product, server):
    product.up(having(lab(), {}, *ACLS, "one"))
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01b\x04main\x08internal\x00\x00\x01\x00\x01"

    def ask():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(5)
        s.sendto(query, (server, 53))
        answer = s.recv(512)
        s.close()
        return answer
    answer = in_netns(product.netns("acls", "a"), ask)
    assert answer[-4:] == socket.inet_aton(product.show("acls", "instances/b")["private_ip"])
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "timeout"


@pytest.mark.asan
@pytest.mark.ids("NAT-12")
@pytest.mark.mutant("acl-egress", "acl-ingress")
@pytest.mark.parametrize("direction,peer", [("ingress", "10.0.1.0/24"), ("egress", "198.51.100.0/24")])
def test_a_nat_gateway_stands_behind_its_subnets_list(product, direction, peer):
    """What it gets from inside and what it sends out, as well as what the list of the private subnet says."""
    prove_deny(product, lab(), with_list([entry(1, "deny", cidr=peer)] + ALL, "public", direction), "a", "api", "tcp/443",
               CODE)


@pytest.mark.ids("NAT-12")
@pytest.mark.mutant("acl-stateless")
@pytest.mark.parametrize("direction,peer", [("ingress", "198.51.100.0/24"), ("egress", "10.0.1.0/24")])
def test_answers_through_a_nat_gateway(product, direction, peer):
    """Back it is the same list, twice again; and the function's subnet has a list, too."""
    product.up(lab())
    for node in ("a", "fn"):
        assert product.probe("acls", node, "api", "tcp/443")["result"] == "open"
    product.up(with_list([entry(1, "deny", cidr=peer)] + ALL, "public", direction))
    at_api = product.capture(product.netns("acls", "api"))
    for node in ("a", "fn"):
        got = product.probe("acls", node, "api", "tcp/443")
        assert (got["result"], got["dropped"]["code"], got["dropped"]["component"], got["dropped"]["direction"]) == (
            "timeout", CODE, "network acl main.public", direction)
    assert len({p.sport for p in at_api.packets() if not p.outgoing and p.flags == 2}) == 2, "both SYNs arrived"
    at_api.close()


@pytest.mark.ids("IGW-5", "NACL-2")
@pytest.mark.mutant("acl-ingress")
def test_from_the_internet_it_is_the_private_address(product):
    """The list sees the real sender; a packet from a gateway enters the subnet."""
    prove_deny(product, lab(), with_list([entry(1, "deny", cidr="198.51.100.0/24")] + ALL, "public", "ingress"), "api",
               "web", "tcp/80", CODE)


@pytest.mark.ids("LN-13", "NACL-3")
@pytest.mark.mutant("acl-egress", "acl-stateless")
def test_functions_stand_behind_their_subnets_list(product):
    prove_deny(product, lab(), with_list([entry(1, "deny", "tcp", (80, 80))] + ALL, "one", "egress"), "fn", "b", "tcp/80",
               CODE)
    product.up(with_list([entry(1, "deny", "tcp", EPHEMERAL)] + ALL, "one", "ingress"))
    got = product.probe("acls", "fn", "b", "tcp/80")
    assert (got["result"], got["dropped"]["direction"]) == ("timeout", "ingress")
    assert json.loads(product.vpclab("invoke", "acls", "fn", "--payload", '{"a": 1}', check=0).out) == {"a": 1}


# ---- objects

def list_of(product, name, direction):
    return [(e["rule_number"], e["rule_action"], e["protocol"], e["cidr_block"])
            for e in product.show("acls", "network_acls/main/" + name)[direction]]


@pytest.mark.asan
@pytest.mark.ids("NACL-4", "NACL-5", "VPC-16", kind="state")
@pytest.mark.mutant("acl-show")
def test_the_default_list(product):
    """A subnet that names none has it; it can be replaced, not taken away."""
    plain = without(without(lab(), *VPC, "subnets", "two", "network_acl"), *ACLS, "two")
    product.up(plain)
    shown = product.show("acls", "network_acls/main/default")
    assert shown["is_default"] and shown["subnets"] == ["two"] and shown["id"].startswith("acl-")
    final = (32767, "deny", "-1", "0.0.0.0/0")
    for direction in ("ingress", "egress"):
        assert list_of(product, "default", direction) == [(100, "allow", "-1", "0.0.0.0/0"), final]
    again = product.up(having(plain, {"ingress": [entry(7, "allow", "tcp", (80, 80))]}, *ACLS, "default"))
    assert [(c["action"], c["name"]) for c in again["changes"]] == [("update", "main/default")]
    assert list_of(product, "default", "ingress") == [(7, "allow", "tcp", "0.0.0.0/0"), final]
    assert list_of(product, "default", "egress") == [final]
    assert product.show("acls", "network_acls/main/default")["id"] == shown["id"]


@pytest.mark.ids("NACL-5")
@pytest.mark.mutant("acl-final")
def test_a_list_let_go_falls_back_to_the_default(product):
    """Another list for a subnet is one small change: connections that it doesn't concern live on."""
    shut = having(lab(), {}, *ACLS, "two")
    product.up(shut)
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "timeout"
    s = open_connection(product, "a", product.show("acls", "instances/a2")["private_ip"])
    changed = product.up(without(shut, *VPC, "subnets", "two", "network_acl"))
    assert [(c["action"], c["kind"], c["because"]) for c in changed["changes"]] == [
        ("update", "subnet", "network_acl changed")]
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "open"
    product.up(shut)
    assert product.probe("acls", "a", "b", "tcp/80")["result"] == "timeout"
    assert told(s, b"still") == b"still"
    s.close()


@pytest.mark.ids("NACL-1", kind="state")
@pytest.mark.mutant("acl-show")
def test_entries_are_shown_in_their_order(product):
    product.up(with_list([entry(300, "deny"), entry(20, "allow", "icmp", icmp_type=8), entry(100, "allow", 47)], "two",
                         "ingress"))
    assert [e[:3] for e in list_of(product, "two", "ingress")] == [
        (20, "allow", "icmp"), (100, "allow", "47"), (300, "deny", "-1"), (32767, "deny", "-1")]
    row = product.vpclab("show", "acls", "network_acls", check=0).out.splitlines()
    assert any(line.split()[0] == "main/two" or line.split()[0] == "two" for line in row)


def test_why_names_the_entry_and_its_line(product):
    doc = with_list([entry(1, "deny", "tcp", (80, 80))] + ALL, "two", "ingress")
    path = product.file(doc)
    with open(path) as f:
        line = next(n for n, text in enumerate(f, 1) if '"rule_number": 1,' in text) - 1
    got = product.json("why", path, "a", "b", "tcp/80")
    assert (got["decided_by"]["code"], got["decided_by"]["component"]) == (CODE, "main/two")
    assert got["decided_by"]["line"] == line
    assert got["decided_by"]["detail"] == "ingress rule 1 denies tcp 80 from 0.0.0.0/0"
    product.up(doc)
    assert product.json("why", "acls", "b", "a", "tcp/80")["result"] == "open"
