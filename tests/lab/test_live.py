# SPDX-License-Identifier: MIT
"""
why --live: what the kernel tells of one packet and its answer, hop by hop, and that nothing of it stays.

    public 10.0.1.0/24: web (203.0.113.5), NAT gateway (203.0.113.10)
    private 10.0.2.0/24: app, db       api 198.51.100.10 on the internet
"""
import json
import os
import signal
import subprocess

import pytest

from product import Unix, having, wait_until

LAB = "live"


def lab():
    return {
        "version": 1, "lab": LAB,
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.2.0/24", "route_table": "private"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {
                "app": {},
                "db": {"ingress": [{"protocol": "tcp", "from_port": 22, "cidr_blocks": ["10.0.9.0/24"]},
                                   {"protocol": "tcp", "from_port": 5432, "security_groups": ["app"]}]}},
            "instances": {
                "web": {"subnet": "public", "security_groups": ["app"], "elastic_ip": "203.0.113.5", "serve": ["tcp/80"]},
                "app": {"subnet": "private", "private_ips": ["10.0.2.10"], "security_groups": ["app"], "serve": ["tcp/80"]},
                "db": {"subnet": "private", "private_ips": ["10.0.2.20"], "security_groups": ["db"],
                       "dns_names": ["db.example"], "serve": ["tcp/5432", "tcp/22"]}},
        }},
        "roles": {"vpc": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "functions": {"fn": {"runtime": "exec", "command": ["cat"], "role": "vpc",
                             "vpc_config": {"vpc": "main", "subnets": ["private"], "security_groups": ["app"]}}},
    }


def netd(product, path, body):
    c = Unix(os.path.join(product.run, "netd.sock"))
    c.request("POST", "/v1/labs/%s/%s" % (LAB, path), json.dumps(body), {"Content-Type": "application/json"})
    answer = c.getresponse()
    got = answer.status, json.loads(answer.read())
    c.close()
    return got


def traced(product):
    """The namespaces that have a table of traces now."""
    found = []
    for ns in ("router.main", "nat.main.nat", "internet"):
        out = subprocess.run(["nsenter", "--net=" + product.named_netns(LAB, ns), "nft", "list", "tables"],
                             capture_output=True, text=True, check=True).stdout
        if "vpclab_trace" in out:
            found.append(ns)
    return found


def live(product, source, target, port, *more):
    return product.json("why", LAB, source, target, port, "--live", *more)


def way(trail, answer):
    return [h["namespace"] for h in trail["hops"] if h["answer"] == answer]


def ends(hop):
    return hop["in"]["saddr"], hop["in"]["daddr"], hop["out"]["saddr"], hop["out"]["daddr"]


@pytest.mark.asan
@pytest.mark.mutant("trail-translation")
def test_the_way_out_and_back_with_each_translation(product):
    product.up(lab())
    got = live(product, "app", "api", "tcp/443")
    assert got["live"]["result"] == "open" and got["live"]["seen_as"] == "203.0.113.10" and got["agrees"], got
    trail = got["live"]["trail"]
    assert way(trail, False) == ["router.main", "nat.main.nat", "router.main", "internet"]
    assert way(trail, True) == ["internet", "router.main", "nat.main.nat", "router.main"]
    assert trail["delivered_to"].startswith("api.")
    there = [ends(h) for h in trail["hops"] if not h["answer"]]
    nat = there[1][2]
    assert there == [("10.0.2.10", "198.51.100.10", "10.0.2.10", "198.51.100.10"),
                     ("10.0.2.10", "198.51.100.10", nat, "198.51.100.10"),
                     (nat, "198.51.100.10", "203.0.113.10", "198.51.100.10"),
                     ("203.0.113.10", "198.51.100.10", "203.0.113.10", "198.51.100.10")]
    assert nat.startswith("10.0.1.")
    assert all(h["verdict"] == "accept" for h in trail["hops"])
    # the last hop gives the answer back to who asked
    assert ends(trail["hops"][-1])[2:] == ("198.51.100.10", "10.0.2.10")
    assert not traced(product)


@pytest.mark.asan
def test_a_deny_in_a_group_and_the_rule_that_allows(product):
    path = product.file(lab(), "live.json")
    product.up(path)
    got = live(product, "app", "db", "tcp/22")
    hop = got["live"]["trail"]["hops"][-1]
    assert got["live"]["result"] == "timeout" and got["agrees"], got
    assert got["decided_by"]["code"] == got["live"]["dropped"]["code"] == "ENI_SG_RULES_MISMATCH"
    assert (hop["namespace"], hop["verdict"]) == ("router.main", "drop")
    assert hop["rules"][-1]["chain"] == "drop_ENI_SG_RULES_MISMATCH_in" and hop["rules"][-1]["verdict"] == "drop"
    assert got["live"]["trail"]["delivered_to"] is None
    # its twin: the rule that lets it in is named with its place in the file
    got = live(product, "app", "db", "tcp/5432")
    assert got["live"]["result"] == "open" and got["agrees"], got
    hop = [h for h in got["live"]["trail"]["hops"] if not h["answer"]][-1]
    rule = [r for r in hop["rules"] if r["verdict"] == "accept" and "tcp dport 5432" in (r["rule"] or "")][0]
    assert rule["path"] == "vpcs.main.security_groups.db.ingress[1]"
    line = open(path).read().splitlines()[rule["line"] - 1]
    assert "{" in line
    assert (rule["line"], rule["column"]) == (got["allowed_by"]["line"], got["allowed_by"]["column"])
    text = product.vpclab("why", LAB, "app", "db", "tcp/5432", "--live", check=0).out
    assert "measured  open" in text and "delivered to db." in text and "the model agrees" in text
    assert "(live:%d:%d)" % (rule["line"], rule["column"]) in text


def test_functions_names_and_echoes(product):
    """A function's place, a target by its name, a protocol without ports, what the gateway makes of an address."""
    product.up(lab())
    got = live(product, "fn", "db", "tcp/5432")
    hops = got["live"]["trail"]["hops"]
    assert got["agrees"] and hops[0]["namespace"].startswith("egress.")
    assert ends(hops[0])[0].startswith("169.254.") and ends(hops[0])[2].startswith("10.0.2.")
    got = live(product, "app", "db.example", "tcp/5432")
    assert got["live"]["result"] == "open" and way(got["live"]["trail"], False) == ["router.main"], got
    got = live(product, "web", "api", "icmp")
    assert got["live"]["result"] == "open" and way(got["live"]["trail"], True) == ["internet", "router.main"], got
    got = live(product, "api", "web", "tcp/81")
    hop = got["live"]["trail"]["hops"][-1]
    assert hop["verdict"] == "drop" and hop["in"]["daddr"] == "203.0.113.5"
    got = live(product, "app", "api", "udp/53")
    assert got["live"]["result"] == "open" and got["agrees"], got


@pytest.mark.mutant("trace-stays")
def test_a_killed_client_leaves_nothing(product):
    product.up(lab())
    before = product.show(LAB)
    p = subprocess.Popen([os.path.join(product.build, "vpclab"), "--run-dir", product.run, "why", LAB, "app", "db",
                          "tcp/22", "--live", "--timeout", "5"], stdout=subprocess.DEVNULL)
    wait_until(lambda: traced(product), "the packet is being traced")
    p.send_signal(signal.SIGKILL)
    p.wait()
    wait_until(lambda: not traced(product), "nothing of the trace is left", 30)
    # nobody took it for a change of somebody else's
    events = [e for e in product.vpclab("-o", "json", "probe", LAB, "app", "db", "tcp/5432", check=0).out.splitlines()]
    assert events and product.show(LAB)["state"] == before["state"]


@pytest.mark.mutant("trace-timer")
def test_a_trace_that_nobody_ends_ends_itself(product):
    product.up(lab())
    status, begun = netd(product, "traces", {"protocol": "tcp", "port": 5432, "addresses": ["10.0.2.20"], "timeout": 0.3})
    assert status == 200, begun
    status, error = netd(product, "traces", {"protocol": "tcp", "port": 80})
    assert status != 200 and "another trace" in error["message"]
    wait_until(lambda: not traced(product), "the trace is over")
    status, error = netd(product, "traces/" + begun["trace"], {"flows": []})
    assert status == 404, error
    assert live(product, "app", "db", "tcp/5432")["agrees"]


def test_a_change_meanwhile(product):
    """Rules that change while a trace runs are those that it tells of; the table goes all the same."""
    product.up(lab())
    status, begun = netd(product, "traces", {"protocol": "tcp", "port": 22, "addresses": ["10.0.2.20"], "timeout": 30})
    assert status == 200, begun
    product.up(having(lab(), [{"protocol": "tcp", "from_port": 22, "cidr_blocks": ["10.0.2.0/24"]}],
                      "vpcs", "main", "security_groups", "db", "ingress"))
    assert product.probe(LAB, "app", "db", "tcp/22")["result"] == "open"
    status, _ = netd(product, "traces/" + begun["trace"], {"flows": []})
    assert status == 200 and not traced(product)


@pytest.mark.mutant("trace-adopted")
def test_a_killed_daemon_leaves_nothing(fresh):
    fresh.start()
    fresh.up(lab())
    status, begun = netd(fresh, "traces", {"protocol": "tcp", "port": 5432, "timeout": 60})
    assert status == 200 and traced(fresh), begun
    fresh.kill("netd")
    fresh.start()
    assert not traced(fresh)
    assert live(fresh, "app", "db", "tcp/5432")["agrees"]


def test_what_is_refused(product):
    product.up(lab())
    path = product.file(lab())
    assert product.vpclab("why", path, "app", "db", "tcp/22", "--live").rc == 2
    assert product.vpclab("why", LAB, "app", "db", "tcp/22", "--timeout", "1").rc == 2
    assert product.vpclab("why", LAB, "app", "db", "tcp/22", "--live", "--timeout", "21").rc == 2
    assert product.vpclab("why", LAB, "app", "nobody.example", "tcp/22", "--live").rc == 3
    for body in ({"protocol": "sctp"}, {"protocol": "tcp", "port": 70000}, {"protocol": "tcp", "port": 1, "timeout": 61},
                 {"protocol": "tcp", "port": 1, "addresses": ["x"]}, {"protocol": "tcp", "ports": 1}):
        assert netd(product, "traces", body)[0] == 400, body
    assert not traced(product)


@pytest.mark.mutant("trace-many")
def test_a_lab_of_many_vpcs_has_no_holes_in_the_way(product):
    vpcs = {}
    for i in range(66):
        vpcs["v%d" % i] = {
            "cidr_block": "10.%d.0.0/16" % i, "internet_gateway": True, "main_route_table": "out",
            "subnets": {"s": {"cidr_block": "10.%d.1.0/24" % i}},
            "route_tables": {"out": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
            "security_groups": {"web": {"ingress": [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["0.0.0.0/0"]}]}}}
    for i in (0, 9):    # the last one by name
        vpcs["v%d" % i]["instances"] = {"n%d" % i: {"subnet": "s", "security_groups": ["web"], "serve": ["tcp/80"],
                                                    "elastic_ip": "203.0.113.%d" % (i + 1)}}
    product.up({"version": 1, "lab": LAB, "vpcs": vpcs})
    for source, target in (("n0", "n9"), ("n9", "n0")):
        got = live(product, source, target, "tcp/80", "--address", "public")
        assert got["live"]["result"] == "open" and got["agrees"], got
        assert way(got["live"]["trail"], False) == ["router.v" + source[1:], "internet", "router.v" + target[1:]]
    text = product.vpclab("why", LAB, "n0", "n9", "tcp/80", "--live", "--address", "public", check=0).out
    assert "g1_out       accept comment" in text and "goto from_eni" not in text
