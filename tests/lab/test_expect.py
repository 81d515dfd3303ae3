# SPDX-License-Identifier: MIT
"""Expectations with lists and selectors: each cell is held against packets of its own, many at once."""
import json
import os
import subprocess

import pytest

from product import ROOT, having, wait_until

# listens until somebody sends something
SERVER = """
import socket, time
s = socket.create_server(('', 90))
while True:
    c = s.accept()[0]
    if c.recv(1):
        break
s.close()
c.close()
time.sleep(10 ** 6)
"""
CLIENT = """
import socket
c = socket.create_connection(('once.main.internal', 90))
c.sendall(b'x')
assert c.recv(1) == b''
"""
LAB = {
    "version": 1, "lab": "cells",
    "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]}}},
    "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "internet_gateway": True,
        "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                    "private": {"cidr_block": "10.0.2.0/24", "route_table": "private"},
                    "sealed": {"cidr_block": "10.0.3.0/24"}},
        "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                         "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
        "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
        "security_groups": {
            "web": {},
            "db": {"ingress": [{"protocol": "tcp", "from_port": 5432, "security_groups": ["web"]}]},
            "shut": {"ingress": [{"protocol": "tcp", "from_port": 1, "cidr_blocks": ["0.0.0.0/0"]}]},
            "mute": {"egress": []}},
        "instances": {
            "web1": {"subnet": "private", "security_groups": ["web"]},
            "web2": {"subnet": "public", "security_groups": ["web"]},
            "db": {"subnet": "sealed", "security_groups": ["db"], "serve": ["tcp/5432"]},
            "loner": {"subnet": "sealed"},
            "mute": {"subnet": "private", "security_groups": ["mute"]},
            "shut": {"subnet": "public", "security_groups": ["shut"], "elastic_ip": "203.0.113.20"}}}},
    "functions": {
        "plain": {"runtime": "exec", "command": ["cat"]},
        "fn": {"runtime": "exec", "command": ["cat"], "role": "fn",
               "vpc_config": {"subnets": ["private", "sealed"], "security_groups": ["web"]}}},
    "expect": [
        {"name": "the web reaches the database, nobody else", "to": "db", "port": "tcp/5432",
         "only_from": ["security_group:main/web"],
         "because": ["ENI_SG_RULES_MISMATCH", "SG_HAS_NO_RULES", "UNKNOWN_DESTINATION",
                     "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "NO_POSSIBLE_DESTINATION",
                     "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"]},
    ],
}
ALLOWED = ["web1", "web2", "fn"]
DENIED = ["api", "loner", "mute", "shut", "plain"]


def lab(expects):
    return having(LAB, expects, "expect")


def results(product, doc, check=0):
    """A copy of the lab, tested: {name: result}."""
    got = product.json("test", product.file(doc), check=check)
    return {r["name"]: r for r in got["results"]}


@pytest.mark.asan
def test_a_closed_world_is_a_case_a_node(product):
    title = LAB["expect"][0]["name"] + ": %s -> db tcp/5432 %s"
    got = results(product, LAB)
    assert set(got) == {title % (n, "open") for n in ALLOWED} | {title % (n, "closed") for n in DENIED}
    assert all(r["ok"] for r in got.values()), got
    # what was asked of one is asked of it alone: without the rule those fail that it let in, and nobody else
    shut = having(LAB, [], "vpcs", "main", "security_groups", "db", "ingress")
    got = results(product, shut, check=1)
    assert {n for n, r in got.items() if not r["ok"]} == {title % (n, "open") for n in ALLOWED}
    # and with one for all of the VPC those fail that nobody named
    wide = having(LAB, [{"protocol": "tcp", "from_port": 5432, "cidr_blocks": ["10.0.0.0/16"]}],
                  "vpcs", "main", "security_groups", "db", "ingress")
    got = results(product, wide, check=1)
    assert {n for n, r in got.items() if not r["ok"]} == {title % (n, "closed") for n in ("loner", "shut")}


@pytest.mark.asan
def test_list_names_what_runs_and_filter_picks_of_it(product):
    path = product.file(LAB)
    text = product.vpclab("test", "--list", path, check=0).out
    assert all("%s -> db" % n in text for n in ALLOWED + DENIED), text
    got = product.json("test", path, "--filter", "*: web? -> db *")
    assert [r["name"].split(": ")[1] for r in got["results"]] == ["web1 -> db tcp/5432 open", "web2 -> db tcp/5432 open"]
    product.vpclab("test", path, "--filter", "* -> nobody *", check=3)


@pytest.mark.asan
def test_selectors_pick_interfaces_of_a_function(product):
    got = results(product, lab([
        {"from": "subnet:main/sealed", "to": "api", "port": "tcp/443", "result": "timeout",
         "because": "NO_ROUTE_TO_DESTINATION"},
        {"from": ["subnet:main/private", "!mute"], "to": "api", "port": ["tcp/443", "udp/53"], "result": "open",
         "seen_as": "nat_gateway:main/nat"}]))
    assert list(got) == ["db -> api tcp/443 timeout", "loner -> api tcp/443 timeout", "fn@sealed -> api tcp/443 timeout",
                         "web1 -> api tcp/443 open", "web1 -> api udp/53 open", "fn@private -> api tcp/443 open",
                         "fn@private -> api udp/53 open"]
    assert all(r["ok"] for r in got.values()), got
    # whole, it holds in neither: its interfaces lead to different places
    got = results(product, lab([{"from": "security_group:main/web", "to": "api", "port": "tcp/443", "result": "open"}]), 1)
    assert not got["fn -> api tcp/443 open"]["ok"] and got["web1 -> api tcp/443 open"]["ok"]
    assert got["fn -> api tcp/443 open"]["message"] == "sealed: timeout instead of open"


@pytest.mark.asan
def test_nobody_reaches_a_function(product):
    got = results(product, lab([
        {"from": ["loner", "api", "plain"], "to": "fn@sealed", "port": "tcp/80", "result": "timeout"},
        {"from": ["loner"], "to": "fn", "port": "tcp/80", "result": "timeout"},
        {"from": "loner", "to": "subnet:main/sealed", "port": ["tcp/5432"], "result": "timeout"}]))
    assert all(r["ok"] for r in got.values()), got
    assert got["loner -> fn@sealed tcp/80 timeout"]["got"]["dropped"]["code"] == "SG_HAS_NO_RULES"
    assert len(got["loner -> fn tcp/80 timeout"]["got"]["parts"]) == 2
    assert "loner -> fn@sealed tcp/5432 timeout" in got and "loner -> loner tcp/5432 timeout" not in got


@pytest.mark.asan
def test_the_address_where_nobody_chose_the_pair(product):
    got = results(product, lab([
        {"from": "*", "to": ["vpc:main", "!fn"], "port": "tcp/9", "result": "timeout"}]))
    assert all(r["ok"] for r in got.values()), got
    assert got["api -> shut tcp/9 timeout"]["got"]["address"] == "203.0.113.20"
    assert got["api -> db tcp/9 timeout"]["got"]["address"].startswith("10.0.3.")
    # who names both gets told
    got = results(product, lab([{"from": ["api"], "to": ["shut", "db"], "port": "tcp/9", "result": "timeout"}]), 1)
    assert got["api -> shut tcp/9 timeout"]["ok"]
    assert got["api -> db tcp/9 timeout"]["message"] == "db has no public address"


def test_each_cell_waits_for_itself(product):
    """within: those that hold at once are asked once; those that a change lets in are asked until then."""
    expects = [{"from": ["web1", "loner"], "to": "db", "port": "tcp/5432", "result": "open", "within": 20}]
    product.up(lab(expects))
    before = product.dropped("cells").get("ENI_SG_RULES_MISMATCH", 0)
    argv = [os.path.join(product.build, "vpclab"), "--run-dir", product.run, "-o", "json", "test", "cells"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
        wait_until(lambda: product.dropped("cells").get("ENI_SG_RULES_MISMATCH", 0) > before, "the loner was denied")
        product.up(having(lab(expects), [{"protocol": "tcp", "from_port": 5432, "cidr_blocks": ["10.0.0.0/16"]}],
                          "vpcs", "main", "security_groups", "db", "ingress"))
        out = p.communicate(timeout=40)[0]
    assert p.returncode == 0, out
    tries = {r["name"]: r["tries"] for r in json.loads(out)["results"]}
    assert tries["web1 -> db tcp/5432 open"] == 1 and tries["loner -> db tcp/5432 open"] > 1, tries


def test_silence_of_a_dead_server_proves_nothing(product):
    doc = lab([{"from": ["loner", "mute"], "to": "once", "port": "tcp/90", "result": "timeout"}])
    doc["vpcs"]["main"]["security_groups"]["once"] = {
        "ingress": [{"protocol": "tcp", "from_port": 90, "security_groups": ["web"]}]}
    doc["vpcs"]["main"]["instances"]["once"] = {"subnet": "sealed", "security_groups": ["once"], "ready": ["tcp/90"],
                                                "command": ["/usr/bin/python3", "-c", SERVER]}
    product.up(doc)
    got = product.json("test", "cells")
    assert got["failed"] == 0, got
    product.vpclab("exec", "cells", "web1", "--", "/usr/bin/python3", "-c", CLIENT, check=0)
    got = product.json("test", "cells", check=1)
    assert [r["got"]["result"] for r in got["results"]] == ["inconclusive", "inconclusive"], got


@pytest.mark.parametrize("merge,fails", [
    # who is added later is asked without being named
    ({"instances": {"newcomer": {"subnet": "data"}}}, set()),
    ({"instances": {"newcomer": {"subnet": "data", "security_groups": ["app"]}}}, set()),
    # and every hole is found, whoever it lets through
    ({"security_groups": {"bystander": {}, "db": {"ingress": [
        {"protocol": "tcp", "from_port": 5432, "security_groups": ["app", "bystander"]},
        {"protocol": "tcp", "from_port": 5432, "self": True}]}},
      "instances": {"bystander": {"security_groups": ["bystander"]}}},
     {"bystander -> primary tcp/5432 closed", "bystander -> replica tcp/5432 closed"}),
    ({"security_groups": {"db": {"ingress": [{"protocol": "tcp", "from_port": 5432, "security_groups": ["app"]}]}}},
     {"primary -> replica tcp/5432 open", "replica -> primary tcp/5432 open"}),
])
def test_the_example_notices(product, merge, fails):
    path = os.path.join(ROOT, "topology", "examples", "closed-world.json")
    got = product.json("test", path, "--merge", json.dumps({"vpcs": {"shop": merge}}), "--filter", "*tcp/5432*",
                       check=1 if fails else 0)
    names = {r["name"].split(": ")[1]: r["ok"] for r in got["results"]}
    assert {n for n, ok in names.items() if not ok} == fails
    if not fails:
        reaches = "security_groups" in merge["instances"]["newcomer"]
        assert "newcomer -> primary tcp/5432 %s" % ("open" if reaches else "closed") in names


# ---- many at once

def crowd():
    """Five sources whose packets die in five places, ten hosts, four ports: 200 flows."""
    sources = {
        "norules": {"subnet": "out", "security_groups": ["none"]},
        "narrow": {"subnet": "out", "security_groups": ["narrow"]},
        "noroute": {"subnet": "in", "security_groups": ["any"]},
        "noaddr": {"subnet": "out", "security_groups": ["any"]},
        "hole": {"subnet": "hole", "security_groups": ["any"]}}
    reasons = {
        "norules": ("SG_HAS_NO_RULES", "security group main.none"),
        "narrow": ("ENI_SG_RULES_MISMATCH", "security group main.narrow"),
        "noroute": ("NO_ROUTE_TO_DESTINATION", "route table "),
        "noaddr": ("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "internet gateway main"),
        "hole": ("BAD_STATE_ROUTE", "route table main.hole")}
    ports = ["tcp/80", "tcp/81", "udp/53", "icmp"]
    doc = {
        "version": 1, "lab": "crowd",
        "internet": {"hosts": {"h%d" % i: {"ip": "198.51.100.%d" % (10 + i), "serve": ports[:3]} for i in range(10)}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"out": {"cidr_block": "10.0.1.0/24", "route_table": "out"},
                        "in": {"cidr_block": "10.0.2.0/24"},
                        "hole": {"cidr_block": "10.0.3.0/24", "route_table": "hole"}},
            "route_tables": {"out": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "hole": {"routes": {"0.0.0.0/0": "blackhole"}}},
            "security_groups": {
                "any": {}, "none": {"egress": []},
                "narrow": {"egress": [{"protocol": "tcp", "from_port": 1, "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": sources}},
        "expect": [{"from": s, "to": "!vpc:main", "port": ports, "result": "timeout", "because": code}
                   for s, (code, _) in reasons.items()]}
    return doc, reasons


@pytest.mark.asan
def test_each_of_two_hundred_learns_what_dropped_its_packet(product):
    doc, reasons = crowd()
    got = results(product, doc)
    assert len(got) == 200
    for name, r in got.items():
        code, component = reasons[name.split()[0]]
        assert r["ok"] and r["got"]["dropped"]["code"] == code, r
        assert r["got"]["dropped"]["component"].startswith(component), r
    # the twin: with a public address, a route and a rule they are open, and nothing is said to have dropped them
    for s in doc["vpcs"]["main"]["instances"].values():
        s.update(subnet="out", security_groups=["any"], associate_public_ip_address=True)
    doc["expect"] = [{"from": "vpc:main", "to": ["*", "!vpc:main"], "port": ["tcp/80", "tcp/81", "udp/53", "icmp"],
                      "result": "open"}]
    got = results(product, doc)
    assert len(got) == 200 and all(r["ok"] and r["got"]["dropped"] is None for r in got.values())


def test_more_functions_than_changes_may_wait(product):
    """Each function needs a place of its own, and netd lets 64 changes of a lab wait."""
    doc = {"version": 1, "lab": "functions", "roles": LAB["roles"], "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "subnets": {"s": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"f": {}, "g": {"ingress": [{"protocol": "tcp", "from_port": 80, "security_groups": ["f"]}]}},
        "instances": {"i": {"subnet": "s", "security_groups": ["g"], "serve": ["tcp/80"]}}}},
        "functions": {"f%d" % n: {"runtime": "exec", "command": ["cat"], "role": "fn",
                                  "vpc_config": {"subnets": ["s"], "security_groups": ["f"]}} for n in range(70)},
        "expect": [{"from": "security_group:main/f", "to": "i", "port": "tcp/80", "result": "open"},
                   {"from": "security_group:main/f", "to": "i", "port": "udp/80", "result": "timeout",
                    "because": "ENI_SG_RULES_MISMATCH"}]}
    got = results(product, doc)
    assert len(got) == 140 and all(r["ok"] for r in got.values()), got


@pytest.mark.mutant("newest-note")
def test_an_older_drop_of_the_same_flow_is_not_told(product):
    """An echo has no ports, so flows of two probes are one; the kernel keeps notes of both for 30 seconds."""
    doc = lab([])
    any_, none = [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}], []
    for egress, code in ((any_, "ENI_SG_RULES_MISMATCH"), (none, "SG_HAS_NO_RULES"), (any_, "ENI_SG_RULES_MISMATCH"),
                         (none, "SG_HAS_NO_RULES")):
        product.up(having(doc, egress, "vpcs", "main", "security_groups", "mute", "egress"))
        assert product.probe("cells", "mute", "db", "icmp")["dropped"]["code"] == code


@pytest.mark.parametrize("port", ["tcp/80", "udp/80", "icmp"])
@pytest.mark.asan
def test_a_drop_behind_a_translation_is_found(product, port):
    product.up(LAB)
    got = product.json("probe", "cells", "web1", "203.0.113.20", port)
    assert got["result"] == "timeout" and got["dropped"] == {
        "code": "ENI_SG_RULES_MISMATCH", "component": "security group main.shut", "direction": "ingress"}, got
    opened = having(LAB, [{"protocol": "-1", "cidr_blocks": ["203.0.113.10/32"]}],
                    "vpcs", "main", "security_groups", "shut", "ingress")
    product.up(opened)
    got = product.json("probe", "cells", "web1", "203.0.113.20", port)
    assert got["result"] == ("open" if port == "icmp" else "refused") and got["dropped"] is None, got
