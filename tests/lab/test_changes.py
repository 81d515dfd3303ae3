# SPDX-License-Identifier: MIT
"""
A changed lab touches only what differs, whole or not at all; a restart adopts; drift is repaired.
"""
import json
import os
import signal
import socket
import subprocess

import pytest

from product import ROOT, Unix, having, in_netns, wait_until, without


def lab():
    return {
        "version": 1, "lab": "changes",
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16",
            "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
            "security_groups": {"g": {"ingress": [
                {"protocol": "tcp", "from_port": 80, "cidr_blocks": ["10.0.0.0/16"]}]}},
            "instances": {"a": {"subnet": "one", "security_groups": ["g"], "serve": ["tcp/80"]},
                          "b": {"subnet": "one", "security_groups": ["g"], "serve": ["tcp/80"]}},
        }},
    }


G = ("vpcs", "main", "security_groups", "g")


def nsenter(path, *argv):
    return subprocess.run(["nsenter", "--net=" + path, *argv], capture_output=True, text=True, check=True).stdout


def namespace_state(path):
    """An independent dump of one namespace, without counters, handles and dynamic sets."""
    one = {}
    for what in (["link"], ["addr"], ["route", "show", "table", "all"], ["rule"],
                 ["neigh", "show", "nud", "permanent"]):
        rows = json.loads(nsenter(path, "ip", "-j", "-4", *what) or "[]")
        for row in rows:
            for key in ("stats", "stats64", "operstate", "flags", "link_index"):
                row.pop(key, None)
            row.get("addr_info", []).sort(key=lambda a: a["local"])
        one[what[0]] = sorted(json.dumps(r, sort_keys=True) for r in rows)
    kept = []
    for entry in json.loads(nsenter(path, "nft", "-j", "list", "ruleset"))["nftables"]:
        (kind, body), = entry.items()
        if kind == "metainfo" or body.get("name") in ("stamp",):
            continue
        body.pop("handle", None)
        # what packets put there has a counter or a time-out; not every nft(8) prints the flag "dynamic"
        if any(isinstance(e, dict) and "elem" in e for e in body.get("elem", [])):
            body.pop("elem")
        kept.append(json.dumps({kind: body}, sort_keys=True))
    one["nft"] = sorted(kept)
    return one


def kernel_state(product, name):
    """namespace_state() of every namespace of a lab."""
    top = "/proc/%d/root%s/ns/%s" % (product.pid("netd"), product.run, name)
    if not os.path.isdir(top):
        return {}
    return {ns: namespace_state(os.path.join(top, ns)) for ns in sorted(os.listdir(top))}


@pytest.mark.asan
def test_the_same_file_changes_nothing(product):
    assert product.up(lab())["changed"] is True
    again = product.up(lab())
    assert again["changed"] is False and again["changes"] == []
    assert product.vpclab("plan", "--exit-code", product.file(lab())).rc == 0


@pytest.mark.asan
def test_a_change_touches_only_what_differs(product):
    """A connection that the change doesn't concern lives on; interfaces keep their ids and links."""
    product.up(lab())
    held = in_netns(product.netns("changes", "a"), lambda: socket.create_connection(
        (product_ip(product, "b"), 80), 5))
    held.settimeout(5)
    held.recv(200)
    before = product.show("changes", "network_interfaces")
    state = kernel_state(product, "changes")
    doc = having(lab(), {"ingress": [], "egress": []}, "vpcs", "main", "security_groups", "new")
    doc["vpcs"]["main"]["instances"]["c"] = {"subnet": "one", "security_groups": ["new"]}
    changes = {(c["action"], c["kind"], c["name"]) for c in product.up(doc)["changes"]}
    assert ("create", "instance", "c") in changes and ("create", "security_group", "main/new") in changes
    assert not [c for c in changes if c[2] in ("a", "b")], changes
    held.sendall(b"still\n")
    assert b"still" in held.recv(200)
    held.close()
    after = product.show("changes", "network_interfaces")
    assert {k: v["router_interface"] for k, v in before.items()}.items() <= \
        {k: v["router_interface"] for k, v in after.items()}.items()
    product.up(lab())
    assert kernel_state(product, "changes") == state


def product_ip(product, node):
    return product.show("changes", "instances/" + node)["private_ip"]


def test_plan_says_what_up_does(product):
    product.up(lab())
    doc = having(lab(), [], *G, "ingress")
    planned = product.json("plan", product.file(doc))
    r = product.vpclab("plan", "--exit-code", product.file(doc))
    assert r.rc == 1 and planned["changed"]
    done = product.up(doc)
    strip = [{k: c[k] for k in ("action", "kind", "name")} for c in planned["changes"]]
    assert strip == [{k: c[k] for k in ("action", "kind", "name")} for c in done["changes"]]
    assert strip == [{"action": "update", "kind": "security_group", "name": "main/g"}]


def rules(*ports):
    return having(lab(), [{"protocol": "tcp", "from_port": port, "cidr_blocks": ["10.0.0.0/16"]}
                          for port in ports], *G, "ingress")


@pytest.mark.asan
def test_rules_edited_alone_are_those_of_the_whole_file(product):
    """Other rules of one group are read and compiled alone; the same file laid out otherwise is read whole,
    finds nothing to do, and so does a restart."""
    product.up(rules(80))
    ids = {k: v["id"] for k, v in product.show("changes", "instances").items()}
    for ports in ((), (22, 80), (443,), (22, 443, 8080), (80,)):
        changes = product.up(rules(*ports))["changes"]
        assert [(c["action"], c["kind"], c["name"]) for c in changes] == [("update", "security_group", "main/g")]
        state = kernel_state(product, "changes")
        whole = product.up(product.file(json.dumps(rules(*ports))))
        assert whole["changes"] == [] and kernel_state(product, "changes") == state
        product.up(rules(*ports))
        product.vpclab("daemon", "stop", check=0)
        product.start()
        assert product.up(rules(*ports))["changed"] is False and kernel_state(product, "changes") == state
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"
    assert product.probe("changes", "a", "b", "tcp/443")["result"] == "timeout"
    assert ids == {k: v["id"] for k, v in product.show("changes", "instances").items()}


def test_rules_that_are_wrong_change_nothing(product):
    product.up(rules(80))
    state = kernel_state(product, "changes")
    doc = having(rules(80), [{"protocol": "tcp", "from_port": 80, "security_groups": ["nobody"]}], *G, "ingress")
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 2 and "nobody" in r.err, r
    assert kernel_state(product, "changes") == state
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"


@pytest.mark.asan
def test_revoking_spares_tracked_connections(product):
    product.up(lab())
    held = in_netns(product.netns("changes", "a"), lambda: socket.create_connection(
        (product_ip(product, "b"), 80), 5))
    held.settimeout(5)
    held.recv(200)
    product.up(having(lab(), [], *G, "ingress"))
    held.sendall(b"more\n")
    assert b"more" in held.recv(200)
    held.close()
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "timeout"


@pytest.mark.asan
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_adopts(product, how):
    """Nothing is made again: the kernel's state is the same, and connections live on."""
    product.up(lab())
    held = in_netns(product.netns("changes", "a"), lambda: socket.create_connection(
        (product_ip(product, "b"), 80), 5))
    held.settimeout(5)
    held.recv(200)
    state = kernel_state(product, "changes")
    shown = product.show("changes", "instances")
    for program in ("netd", "sandboxd"):
        product.kill(program, how)
    held.sendall(b"alone\n")
    assert b"alone" in held.recv(200)
    product.start()
    assert kernel_state(product, "changes") == state
    again = product.show("changes", "instances")
    assert {k: v["id"] for k, v in again.items()} == {k: v["id"] for k, v in shown.items()}
    held.sendall(b"adopted\n")
    assert b"adopted" in held.recv(200)
    held.close()
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"
    assert product.up(lab())["changed"] is False


DRIFT = {
    "route": ["ip", "route", "flush", "table", "50"],
    "rule": ["ip", "rule", "del", "pref", "30001"],
    "address": ["ip", "addr", "del", "10.0.0.2/32", "dev", "lo"],
    "nft": ["nft", "flush", "ruleset"],
    "chain": ["nft", "add", "rule", "ip", "vpc", "guard", "accept"],
}


@pytest.mark.asan
@pytest.mark.parametrize("what", sorted(DRIFT))
def test_drift_is_repaired_within_a_second(product, what):
    product.up(lab())
    state = kernel_state(product, "changes")
    path = product.named_netns("changes", "router.main")
    seq = last_seq(product)
    nsenter(path, *DRIFT[what])
    wait_until(lambda: kernel_state(product, "changes") == state, "the router is as before", 1.0 + 1.0)
    wait_until(lambda: {"drift", "repaired"} <= {e["event"] for e in events(product, seq)}, "the events are there")
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"


def events(product, after=0):
    c = Unix(os.path.join(product.run, "netd.sock"))
    c.request("GET", "/v1/events?after=%d&wait=0" % after)
    body = c.getresponse().read().decode()
    c.close()
    return [json.loads(line) for line in body.splitlines() if line]


def last_seq(product):
    got = events(product)
    return got[-1]["seq"] if got else 0


def test_replaced_instance_is_another_one(product):
    product.up(lab())
    old = product.show("changes", "instances/a")
    doc = having(lab(), {"cidr_block": "10.0.2.0/24"}, "vpcs", "main", "subnets", "two")
    doc = having(doc, "two", "vpcs", "main", "instances", "a", "subnet")
    actions = {(c["action"], c["kind"], c["name"]) for c in product.up(doc)["changes"]}
    assert ("replace", "instance", "a") in actions
    new = product.show("changes", "instances/a")
    assert new["id"] != old["id"] and new["private_ip"].startswith("10.0.2.")
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"


def test_addresses_are_kept_for_life(product):
    product.up(lab())
    b = product_ip(product, "b")
    product.up(without(lab(), "vpcs", "main", "instances", "a"))
    assert product_ip(product, "b") == b
    product.up(lab())
    assert product_ip(product, "b") == b


ROLES = {
    "router.": ["ip", "route", "flush", "table", "101"],
    "nat.": ["ip", "route", "del", "default"],
    "egress.": ["nft", "flush", "ruleset"],
    "service": ["nft", "add", "rule", "ip", "egress", "transit", "accept"],
    "internet": ["ip", "route", "del", "203.0.113.10"],
}


@pytest.mark.parametrize("role", sorted(ROLES))
def test_drift_in_every_kind_of_namespace(product, role):
    """Routers, NAT gateways, egress and internet namespaces are put right; traffic flows as before."""
    with open(os.path.join(ROOT, "topology", "examples", "three-modes.json")) as f:
        doc = having(json.load(f), "drift-" + role.strip("."), "lab")
    product.up(doc)
    name = doc["lab"]
    top = "/proc/%d/root%s/ns/%s" % (product.pid("netd"), product.run, name)
    wait_until(lambda: product.probe(name, "inside", "api", "tcp/443")["result"] == "open", "the lab works")
    ns = next(n for n in sorted(os.listdir(top)) if n.startswith(role) and ".p" not in n)

    def state():
        """Without the links of places: those that probes had are still going."""
        now = namespace_state(os.path.join(top, ns))
        return {what: [row for row in rows if what == "nft" or "sb-" not in row] for what, rows in now.items()}
    before = state()
    seq = last_seq(product)
    nsenter(os.path.join(top, ns), *ROLES[role])
    wait_until(lambda: {"drift", "repaired"} <= {e["event"] for e in events(product, seq)}, "the events are there", 2)
    try:
        wait_until(lambda: state() == before, ns + " is as before", 2)
    except AssertionError:
        assert state() == before, [(row, "gone" if row in before[what] else "new") for what, rows in state().items()
                                   for row in set(rows) ^ set(before[what])]
    for source, seen in (("inside", "203.0.113.10"), ("plain", "192.0.2.10")):
        got = product.probe(name, source, "api", "tcp/443")
        assert (got["result"], got["seen_as"]) == ("open", seen)
    assert product.probe(name, "sealed", "api", "tcp/443")["result"] == "timeout"
