# SPDX-License-Identifier: MIT
"""
How functions hang on the network: shared interfaces, one way only, TCP and UDP only.

    private 10.0.1.0/24 (NAT)   public 10.0.9.0/24   sealed 10.0.3.0/24      api 198.51.100.10
"""
import json
import socket
import struct

import pytest

import test_nat
from held import hold
from product import FunctionLinks, having, in_netns, prove_deny, wait_until, without

ALL = {"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}


def function(subnet, group="fn", **more):
    return {"runtime": "exec", "command": ["cat"], "role": "fn",
            "vpc_config": {"subnets": [subnet] if isinstance(subnet, str) else subnet,
                           "security_groups": [group]}, **more}


def lab():
    return {
        "version": 1, "lab": "functions",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53", "tcp/80"]}}},
        "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"public": {"cidr_block": "10.0.9.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.1.0/24", "route_table": "private"},
                        "sealed": {"cidr_block": "10.0.3.0/24"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {
                "fn": {"ingress": [dict(ALL)]}, "fn2": {"egress": [dict(ALL)]},
                "db": {"ingress": [{"protocol": "tcp", "from_port": 5432, "security_groups": ["fn"]}]},
                "open": {"ingress": [dict(ALL)]}},
            "instances": {"db": {"subnet": "sealed", "security_groups": ["db"], "serve": ["tcp/5432"]},
                          "host": {"subnet": "private", "security_groups": ["open"],
                                   "serve": ["tcp/80", "udp/80"]}},
        }},
        "functions": {"plain": {"runtime": "exec", "command": ["cat"]},
                      "a": function("private"), "b": function("private"), "c": function("private", "fn2"),
                      "misplaced": function("public"), "sealed": function("sealed")},
    }


def lambda_interfaces(product):
    return {v["id"]: v for v in product.show("functions", "network_interfaces").values()
            if v["interface_type"] == "lambda"}


@pytest.mark.ids("LN-8", "LN-10", "M-4", "M-8")
@pytest.mark.mutant("function-source")
def test_one_interface_a_subnet_and_group_set(product):
    product.up(lab())
    enis = lambda_interfaces(product)
    assert len(enis) == 4, enis   # (private, fn), (private, fn2), (public, fn), (sealed, fn)
    functions = product.show("functions", "functions")
    assert functions["a"]["network_interfaces"] == functions["b"]["network_interfaces"]
    assert functions["a"]["network_interfaces"] != functions["c"]["network_interfaces"]
    assert functions["plain"]["network_interfaces"] == []
    seen = {f: product.probe("functions", f, "host", "tcp/80")["seen_as"] for f in "abc"}
    assert seen["a"] == seen["b"] != seen["c"]
    assert seen["a"] == enis[functions["a"]["network_interfaces"][0]]["private_ip"]


@pytest.mark.asan
@pytest.mark.ids("LN-12", "M-5")
@pytest.mark.mutant("references")
def test_database_lets_in_the_functions_group(product):
    outsider = having(lab(), ["fn2"], "functions", "sealed", "vpc_config", "security_groups")
    prove_deny(product, lab(), outsider, "sealed", "db", "tcp/5432", "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("LN-12", "M-5")
@pytest.mark.mutant("egress-gate")
def test_groups_of_a_function_filter_what_it_sends(product):
    closed = having(lab(), {"ingress": [dict(ALL)], "egress": []}, "vpcs", "main", "security_groups", "fn")
    prove_deny(product, lab(), closed, "a", "host", "tcp/80", "SG_HAS_NO_RULES")


@pytest.mark.ids("LN-3", "M-1")
@pytest.mark.mutant("gateway-map")
@pytest.mark.ids("LN-2")
def test_public_subnet_is_no_way_out(product):
    product.up(lab())
    for port in ("tcp/443", "udp/53"):
        got = product.probe("functions", "misplaced", "api", port)
        assert (got["result"], got["dropped"]["code"]) == ("timeout", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
    moved = having(lab(), ["private"], "functions", "misplaced", "vpc_config", "subnets")
    product.up(moved)
    assert product.probe("functions", "misplaced", "api", "tcp/443")["seen_as"] == "203.0.113.10"


@pytest.mark.asan
@pytest.mark.ids("LN-1", "M-2", "M-3")
@pytest.mark.mutant("function-source")
def test_default_mode(product):
    product.up(lab())
    got = product.probe("functions", "plain", "api", "tcp/443")
    assert (got["result"], got["seen_as"]) == ("open", "192.0.2.10")
    got = product.probe("functions", "plain", "db", "tcp/5432")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "UNKNOWN_DESTINATION")


@pytest.mark.asan
@pytest.mark.ids("LN-5", "M-6")
@pytest.mark.mutant("functions-inbound")
@pytest.mark.parametrize("source,target", [("host", "a"), ("api", "plain")])
@pytest.mark.parametrize("port", ["tcp/80", "udp/80", "icmp"])
def test_nobody_opens_a_connection_to_a_function(product, source, target, port):
    """Though its group allows everything in."""
    product.up(lab())
    got = product.probe("functions", source, target, port)
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "NO_POSSIBLE_DESTINATION")


@pytest.mark.asan
@pytest.mark.ids("LN-6")
@pytest.mark.mutant("functions-protocols")
def test_only_tcp_and_udp(product):
    product.up(lab())
    for f in ("a", "plain"):
        got = product.probe("functions", f, "api", "icmp")
        assert (got["result"], got["dropped"]["code"]) == ("timeout", "PROTOCOL_RESTRICTION"), f
    assert product.probe("functions", "a", "api", "udp/53")["result"] == "open"


@pytest.mark.ids("LN-6")
@pytest.mark.mutant("functions-smtp")
@pytest.mark.parametrize("function", ["a", "plain"])
def test_functions_send_no_mail(product, function):
    """Its neighbour, an instance behind the same NAT gateway, may."""
    doc = having(lab(), ["tcp/443", "tcp/25"], "internet", "hosts", "api", "serve")
    product.up(doc)
    got = product.probe("functions", function, "api", "tcp/25")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "PROTOCOL_RESTRICTION"), got
    assert product.probe("functions", function, "api", "tcp/443")["result"] == "open"
    assert product.probe("functions", "host", "api", "tcp/25")["result"] == "open"


def segment(after, body):
    """The TCP segment that follows one that was seen, with a body of its own."""
    source, target = (socket.inet_aton(a) for a in (after.src, after.dst))
    sport, dport, seq, ack = struct.unpack_from(">HHII", after.payload)
    seq += len(after.payload) - (after.payload[12] >> 4) * 4
    head = struct.pack(">HHIIBBH", sport, dport, seq & 0xffffffff, ack, 0x50, 0x18, 1000)
    pseudo = source + target + struct.pack(">BBH", 0, 6, 20 + len(body))
    return head + struct.pack(">HH", test_nat.checksum(pseudo + head + b"\0" * 4 + body), 0) + body


@pytest.mark.ids("LN-7")
@pytest.mark.mutant("functions-fragments")
def test_fragments_of_tcp_do_not_come_in(product):
    """A segment of an open connection, in two pieces; a datagram in two; and the same segment whole."""
    product.up(lab())
    host = product.netns("functions", "host")
    address = product.show("functions", "instances/host")["private_ip"]
    tcp = in_netns(host, lambda: socket.create_server((address, 7000)))
    tcp.settimeout(5)
    sent = product.capture(host)
    hold(product, "functions", "c", "a", "host", "tcp/7000")
    end = tcp.accept()[0]
    end.sendall(b"one\n")
    links, said = FunctionLinks(product, "functions"), []
    wait_until(lambda: said.extend(p for p in sent.packets() if p.outgoing and p.payload.endswith(b"one\n")) or said,
               "the segment is seen")
    whole = segment(said[0], b"x" * 1000)

    def say(*pieces):
        with in_netns(host, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as s:
            for p in pieces:
                s.sendto(p, (said[0].dst, 0))

    def piece(payload, frag=0):
        return test_nat.ip(address, said[0].dst, 6, payload, frag=frag)
    before = product.dropped("functions")

    def dropped():
        after = product.dropped("functions")
        return {c: after[c] - before.get(c, 0) for c in after if after[c] != before.get(c, 0)}
    say(piece(whole[:512], 0x2000), piece(whole[512:], 64))
    wait_until(lambda: dropped() == {"PROTOCOL_RESTRICTION": 2}, "both pieces are dropped, and said so")
    assert not [p for p in links.received() if b"xxxx" in p.data]
    say(piece(whole))
    got = []
    wait_until(lambda: got.extend(p for p in links.received() if b"xxxx" in p.data) or got, "the whole segment comes")
    assert dropped() == {"PROTOCOL_RESTRICTION": 2}
    for c in (links, sent, end, tcp):
        c.close()


KEEPER = """
import socket, sys
kept = []

def handler(event, context):
    if not kept:
        kept.append(socket.create_connection(("198.51.100.10", 443), 2))
        kept[0].recv(1000)
    try:
        kept[0].sendall(b"hello\\n")
        return kept[0].recv(1000).decode()
    except OSError as e:
        return type(e).__name__
"""


@pytest.mark.ids("LN-4", "NAT-5")
@pytest.mark.mutant("nat-reset", "gateway-map")
def test_a_socket_kept_across_invocations_dies_of_the_gateways_idle_time(product, tmp_path):
    """From the private subnet the internet is behind the gateway: a kept socket serves the next invocation, and after its
    idle time it is reset.  From a public subnet there is no internet at all, gateway or not."""
    (tmp_path / "keeper.py").write_text(KEEPER)
    doc = having(lab(), 2, "vpcs", "main", "nat_gateways", "nat", "idle_timeout")
    for name, subnet in (("keeper", "private"), ("outside", "public")):
        doc["functions"][name] = {**without(function(subnet), "command"), "runtime": "python3.11", "handler": "keeper.handler",
                                  "code": str(tmp_path), "timeout": 20}
    product.up(doc)

    def invoke(name):
        return json.loads(product.vpclab("invoke", "functions", name, check=None).out)
    assert invoke("keeper") == "hello\n"
    wait_until(lambda: product.show("functions", "nat_gateways/main/nat")["metrics"]["ActiveConnectionCount"] == 0,
               "the gateway has forgotten the connection")
    assert invoke("keeper") == "ConnectionResetError"
    assert invoke("outside")["errorType"] == "TimeoutError"


@pytest.mark.asan
@pytest.mark.ids("LN-15", "M-7")
@pytest.mark.mutant("runtime-api-way")
def test_sealed_function_is_invoked_and_logs(product, tmp_path):
    """No route, no egress rule, a list that denies all: invocation, Runtime API, answer and log never use a VPC path."""
    doc = having(lab(), {"egress": []}, "vpcs", "main", "security_groups", "fn")
    doc = having(doc, {"none": {"ingress": [], "egress": []}}, "vpcs", "main", "network_acls")
    doc = having(doc, "none", "vpcs", "main", "subnets", "sealed", "network_acl")
    (tmp_path / "index.py").write_text("def handler(event, context):\n    print('said')\n    return event\n")
    doc["functions"]["asks"] = {**doc["functions"]["sealed"], "runtime": "python3.11", "handler": "index.handler",
                                "code": str(tmp_path), "timeout": 5, "memory_size": 256}
    doc["functions"]["asks"].pop("command")
    doc["functions"]["sealed"]["command"] = ["sh", "-c", "echo heard >&2; cat"]
    product.up(doc)
    before = product.dropped("functions")
    r = product.vpclab("invoke", "functions", "sealed", "--payload", '{"a": 1}', check=0)
    assert r.out == '{"a": 1}'
    assert "heard" in product.vpclab("logs", "functions", "sealed", check=0).out
    assert product.vpclab("invoke", "functions", "asks", "--payload", '{"b": 2}', check=0).out == '{"b": 2}'
    assert "said" in product.vpclab("logs", "functions", "asks", check=0).out
    assert product.dropped("functions") == before
    assert product.probe("functions", "sealed", "api", "tcp/443")["result"] == "timeout"


@pytest.mark.ids("LN-9")
@pytest.mark.mutant("function-source")
def test_a_function_with_two_subnets_has_two_paths(product):
    doc = having(lab(), ["private", "sealed"], "functions", "a", "vpc_config", "subnets")
    product.up(doc)
    assert len(product.show("functions", "functions/a")["network_interfaces"]) == 2
    assert product.probe("functions", "a@private", "api", "tcp/443")["result"] == "open"
    assert product.probe("functions", "a@sealed", "api", "tcp/443")["result"] == "timeout"


@pytest.mark.ids("LN-10")
@pytest.mark.mutant("function-source")
def test_functions_share_an_interface_without_colliding(product):
    """Two places that use the same local port at once reach one server, seen with two ports."""
    product.up(lab())
    script = ("import socket; s = socket.socket(); s.bind(('', 5555)); s.settimeout(5); "
              "s.connect(('%s', 80)); print(s.recv(200).decode(), flush=True); input()")
    address = product.show("functions", "instances/host")["private_ip"]
    import json
    import subprocess
    runs = [subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "exec", "functions", f, "--",
                              "/usr/bin/python3", "-c", script % address], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True) for f in "ab"]
    lines = [json.loads(r.stdout.readline()) for r in runs]
    for r in runs:
        r.communicate("\n", timeout=10)
    assert lines[0]["from"] == lines[1]["from"] and lines[0]["port"] != lines[1]["port"], lines


@pytest.mark.ids("LN-21")
@pytest.mark.mutant("place-address")
def test_the_interfaces_address_is_not_seen_inside(product):
    product.up(lab())
    eni = lambda_interfaces(product)[product.show("functions", "functions/a")["network_interfaces"][0]]
    inside = product.vpclab("exec", "functions", "a", "--", "ip", "-4", "-o", "addr", check=0).out
    assert eni["private_ip"] not in inside and "169.254." in inside


@pytest.mark.ids("LN-33", "LN-35")
def test_a_role_that_may_not_make_interfaces(product):
    r = product.vpclab("check", product.file(without(lab(), "functions", "a", "role")))
    assert r.rc == 2 and "CreateNetworkInterface" in r.out + r.err
