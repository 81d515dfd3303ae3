# SPDX-License-Identifier: MIT
"""
Scenarios: things over time, each on a copy of the lab; and the connections that they hold.

    one 10.0.1.0/24: a, b (group b: tcp and udp 80 and tcp 90 from one /24)    two 10.0.2.0/24: c
    public 10.0.9.0/24: the NAT gateway of two                                  internet: api 198.51.100.10
"""
import json
import os
import signal
import subprocess
import sys

import pytest

from product import ROOT, Unix, wait_until

EXAMPLE = os.path.join(ROOT, "topology", "examples", "over-time.json")
FROM_ONE = [{"protocol": p, "from_port": n, "cidr_blocks": ["10.0.1.0/24"]}
            for p, n in (("tcp", 80), ("udp", 80), ("tcp", 90), ("udp", 91))]

# what the built-in server doesn't do, chosen by the name in the first message
PROGRAM = """
import os, signal, socket, struct, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 90))
s.listen(16)
while True:
    c, who = s.accept()
    if os.fork():
        c.close()
        continue
    s.close()
    text = c.recv(1000).decode()
    name = text.split()[1]
    if name == "reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if name == "mute":
        signal.pause()
    if name == "talk":
        c.sendall(b"220 hello\\n")
        signal.pause()
    os._exit(0)
"""


def lab():
    return {
        "version": 1, "lab": "times",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"],
                                       "dns_names": ["api.example.com"]}}},
        "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"one": {"cidr_block": "10.0.1.0/24"},
                        "two": {"cidr_block": "10.0.2.0/24", "route_table": "nat"},
                        "public": {"cidr_block": "10.0.9.0/24", "route_table": "public"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "nat": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {"b": {"ingress": FROM_ONE}, "a": {}},
            "instances": {
                "a": {"subnet": "one", "security_groups": ["a"]},
                "b": {"subnet": "one", "security_groups": ["b"], "serve": ["tcp/80", "udp/80"],
                      "command": ["python3", "-c", PROGRAM], "ready": ["tcp/90"]},
                "c": {"subnet": "two", "security_groups": ["a"]},
            },
        }},
        "functions": {"fn": {"runtime": "exec", "command": ["cat"], "role": "fn",
                             "vpc_config": {"subnets": ["two"], "security_groups": ["a"]}}},
    }


def ask(product, method, rest, body=None, lab="times"):
    """A request to sandboxd by this process, which so owns what it opens."""
    c = Unix(os.path.join(product.run, "sandboxd.sock"))
    c.request(method, "/v1/labs/%s/connections%s" % (lab, rest), json.dumps(body or {}))
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text)


def hold(product, name, source, target, port):
    status, o = ask(product, "POST", "", {"connection": name, "from": source, "to": target, "port": port})
    assert status == 200, o
    return o


def state(product, name, timeout=0.5):
    status, o = ask(product, "POST", "/" + name, {"timeout": timeout})
    assert status == 200, o
    return o


# ---- held connections

@pytest.mark.asan
@pytest.mark.mutant("held-silent")
@pytest.mark.parametrize("port", ["tcp/80", "udp/80"])
def test_held_is_alive_or_silent(product, port):
    """The twin of alive is a network that carries nothing more: no route back, no echo."""
    product.up(lab())
    got = hold(product, "old", "a", "b", port)
    assert got["result"] == "open" and got["seen_as"] == product.show("times", "instances/a")["private_ip"]
    assert state(product, "old")["result"] == "alive"
    ns = product.netns("times", "b")
    drop = ["nsenter", "--net=" + ns, "nft"]
    subprocess.run([*drop, "add table ip t; add chain ip t i { type filter hook input priority 0; policy drop; }"],
                   check=True)
    assert state(product, "old")["result"] == "silent"
    subprocess.run([*drop, "delete table ip t"], check=True)
    assert state(product, "old", 5)["result"] == "alive"


@pytest.mark.asan
@pytest.mark.mutant("held-reset", "held-closed")
def test_held_tells_how_it_ended(product):
    product.up(lab())
    for name, want in (("reset", "reset"), ("closed", "closed"), ("mute", "silent"), ("talk", "alive")):
        assert hold(product, name, "a", "b", "tcp/90")["result"] == "open"
        got = state(product, name)
        assert got["result"] == want, got
        assert state(product, name)["result"] == ("silent" if name == "talk" else want)
    assert "took the message" in state(product, "mute")["detail"]
    # nobody listens: ICMP port unreachable answers for a UDP flow
    assert hold(product, "none", "a", "b", "udp/91")["result"] == "refused"
    assert [c["connection"] for c in ask(product, "GET", "")[1]] == ["talk", "mute", "closed", "reset"]


def test_held_is_kept_only_if_it_opened(product):
    product.up(lab())
    got = hold(product, "x", "c", "b", "tcp/80")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "ENI_SG_RULES_MISMATCH", got
    assert hold(product, "x", "a", "b", "tcp/99")["result"] in ("refused", "timeout")
    assert ask(product, "POST", "/x")[0] == 404
    for body in ({"connection": "x y", "from": "a", "to": "b", "port": "tcp/80"},
                 {"connection": "x", "from": "a", "to": "b", "port": "icmp"},
                 {"connection": "x", "from": "a", "to": "fn", "port": "tcp/80"},
                 {"connection": "x", "from": "a", "to": "b", "port": "tcp/80", "timeout": 61},
                 {}):
        assert ask(product, "POST", "", body)[0] == 400, body
    assert ask(product, "POST", "", {"connection": "x", "from": "q", "to": "b", "port": "tcp/80"})[0] == 404
    got = hold(product, "x", "a", "b", "tcp/80")
    assert got["result"] == "open", got
    assert ask(product, "POST", "", {"connection": "x", "from": "a", "to": "b", "port": "tcp/80"})[0] == 409
    assert ask(product, "DELETE", "/x")[0] == 200
    assert ask(product, "GET", "")[1] == []


def test_held_from_a_function_and_by_name(product):
    product.up(lab())
    got = hold(product, "out", "fn", "api.example.com", "tcp/443")
    assert got["result"] == "open" and got["seen_as"] == "203.0.113.10"
    assert state(product, "out")["result"] == "alive"
    ask(product, "DELETE", "/out")


@pytest.mark.asan
def test_held_goes_with_its_client_and_its_lab(product):
    product.up(lab())
    code = "import sys; sys.path.insert(0, %r); from test_scenarios import *\n" \
           "from types import SimpleNamespace as N\n" \
           "print(hold(N(run=%r), 'theirs', 'fn', 'api', 'tcp/443')['result'], flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-B", "-c", code % (os.path.dirname(__file__), product.run)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        got = hold(product, "ours", "a", "b", "tcp/80")
        assert got["result"] == "open", got
        assert len(ask(product, "GET", "")[1]) == 2
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    wait_until(lambda: [c["connection"] for c in ask(product, "GET", "")[1]] == ["ours"], "theirs is gone")
    product.vpclab("down", "times", check=0)
    assert ask(product, "GET", "")[0] == 404
    # a namesake begins with none
    product.up(lab())
    assert ask(product, "GET", "")[1] == []


# ---- scenarios

def groups(ingress):
    return {"patch": {"vpcs": {"main": {"security_groups": {"b": {"ingress": ingress}}}}}}


def route(target):
    return {"patch": {"vpcs": {"main": {"route_tables": {"nat": {"routes": {"0.0.0.0/0": target}}}}}}}


CONNECT = {"connect": "x", "from": "a", "to": "b", "port": "tcp/80"}
OPEN = {"from": "a", "to": "b", "port": "tcp/80", "result": "open"}
CLOSED = {"from": "a", "to": "b", "port": "tcp/80", "result": "timeout", "because": "SG_HAS_NO_RULES"}
OUT = {"connect": "x", "from": "c", "to": "api", "port": "tcp/443"}


def is_x(result):
    return {"connection": "x", "result": result}


def over_time(**scenarios):
    return {**lab(), "scenarios": {name.replace("_", "-"): steps for name, steps in scenarios.items()}}


def run(product, doc, *words, check=None, **kw):
    r = product.vpclab("-o", "json", "test", *words, doc if isinstance(doc, str) else product.file(doc), check=check,
                       **kw)
    assert r.rc in (0, 1), r
    return r.rc, r.json()["results"]


def told(results):
    """[(step, ok, skipped)] of the results that are of scenarios."""
    return [(r["step"], r["ok"], r["skipped"]) for r in results if "scenario" in r]


@pytest.mark.ids("CT-3", "NAT-5", "SG-12")
@pytest.mark.mutant("scenario-advance")
def test_the_example_holds(product):
    rc, results = run(product, EXAMPLE, "-j", "2", timeout=120)
    assert rc == 0, [r for r in results if not r["ok"]]
    assert {r["scenario"] for r in results if "scenario" in r} == set(json.load(open(EXAMPLE))["scenarios"])
    assert product.json("ls") == []


@pytest.mark.ids("CT-3")
@pytest.mark.mutant("scenario-connection", "scenario-patch", "scenario-expect")
@pytest.mark.parametrize("steps, failed", [
    ([CONNECT, groups([]), is_x("alive"), CLOSED, groups(FROM_ONE), OPEN], None),
    ([CONNECT, groups([]), is_x("silent")], 3),
    ([CONNECT, is_x("reset")], 2),
    ([CONNECT, groups([]), OPEN], 3),
    ([CONNECT, groups(FROM_ONE), CLOSED], 3),
], ids=["holds", "silent", "reset", "open", "closed"])
def test_a_revoked_rule(product, steps, failed):
    """Tracked connections live on, new ones don't; and each step that says otherwise fails."""
    rc, results = run(product, over_time(rule=steps))
    assert [s for s, ok, _ in told(results) if not ok] == ([failed] if failed else []), results
    assert rc == (1 if failed else 0)


@pytest.mark.ids("NAT-19")
@pytest.mark.parametrize("source", ["c", "fn"])
def test_a_route_that_goes_and_comes_back(product, source):
    """What was lost meanwhile is sent again by TCP and no proof of silence: alive again."""
    out = {**OUT, "from": source}
    rc, results = run(product, over_time(route=[out, is_x("alive"), route("blackhole"), is_x("silent"),
                                                is_x("silent"), route("nat_gateway:nat"), is_x("alive")]))
    assert rc == 0, [r for r in results if not r["ok"]]
    rc, results = run(product, over_time(route=[out, route("blackhole"), is_x("alive")]))
    assert told(results)[-1] == (3, False, False), results
    assert results[-1]["got"]["dropped"]["code"] == "BAD_STATE_ROUTE", results[-1]


@pytest.mark.mutant("scenario-connect", "scenario-ends")
def test_the_first_failed_step_ends_a_scenario(product):
    doc = over_time(shut=[groups([]), CONNECT, OPEN, {"advance": 300}], other=[OPEN])
    path = product.file(doc)
    sides = [os.path.join(product.home, "r." + kind) for kind in ("tap", "xml")]
    r = product.vpclab("--color", "never", "test", path, "--tap", sides[0], "--junit", sides[1], check=1)
    rc, results = run(product, path)
    shut = [x for x in results if x.get("scenario") == "shut"]
    assert told(shut) == [(1, True, False), (2, False, False), (3, True, True), (4, True, True)]
    assert shut[1]["message"] == "timeout instead of open"
    assert {x["message"] for x in shut[2:]} == {"step 2 failed"}
    assert [x["ok"] for x in results if x.get("scenario") == "other"] == [True]
    assert shut[1]["name"] == "scenario shut: step 2 connect x: a -> b tcp/80"
    assert "not ok  scenario shut: step 2 connect x: a -> b tcp/80\n" in r.out
    assert "again     vpclab test %s --filter 'scenario shut'\n" % path in r.out
    assert "skipped scenario shut: step 4 advance 300 s   step 2 failed\n" in r.out
    tap, xml = (open(side).read() for side in sides)
    assert "ok 4 - scenario shut: step 4 advance 300 s # SKIP step 2 failed\n" in tap
    assert '<skipped message="step 2 failed"/>' in xml and 'failures="1"' in xml
    assert product.json("ls") == []


def test_a_patch_that_the_daemons_refuse_fails_its_step(product):
    never = {"subnet": "one", "command": ["sleep", "inf"], "ready": ["tcp/1"], "ready_timeout": 0.2}
    patch = {"patch": {"vpcs": {"main": {"instances": {"d": never}}}}}
    rc, results = run(product, over_time(late=[CONNECT, patch, OPEN]))
    assert rc == 1 and told(results) == [(1, True, False), (2, False, False), (3, True, True)]
    assert "d" in results[1]["message"] and "tcp/1" in results[1]["message"], results[1]
    # the twin: a node that a patch brings is there for the steps after it
    rc, results = run(product, over_time(new=[
        {"patch": {"vpcs": {"main": {"instances": {"d": {"subnet": "one", "security_groups": ["a"]}}}}}},
        {**OPEN, "from": "d"}, {"to": "b", "port": "udp/80", "only_from": ["a", "d"]}]))
    assert rc == 0, results
    assert [r["name"] for r in results if r["step"] == 3][:2] == [
        "scenario new: step 3 a -> b udp/80 open", "scenario new: step 3 d -> b udp/80 open"]


def test_a_lab_that_runs_is_left_alone(product):
    """Its scenarios run on copies, too."""
    doc = over_time(rule=[CONNECT, groups([]), is_x("alive"), CLOSED])
    product.up(doc)
    before = product.show("times")
    hold(product, "mine", "a", "b", "tcp/80")
    rc, results = run(product, "times")
    assert rc == 0 and len(told(results)) == 4, results
    after = product.show("times")
    assert before["vpcs"]["main"]["security_groups"] == after["vpcs"]["main"]["security_groups"]
    assert [x["lab"] for x in product.json("ls")] == ["times"]
    assert state(product, "mine")["result"] == "alive"
    assert product.probe("times", "a", "b", "tcp/80")["result"] == "open"


def names(product):
    return sorted(x["lab"] for x in product.json("ls"))


def test_side_by_side_and_gone_however_it_ends(product):
    path = product.file(over_time(one=[{"advance": 500}], two=[{"advance": 500}]))
    for sig, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        p = subprocess.Popen([os.path.join(product.build, "vpclab"), "--run-dir", product.run, "test", "-j", "2",
                              "--filter", "scenario *", path], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: len(names(product)) == 2, "both copies are there", 30)
        finally:
            p.send_signal(sig)
            assert p.wait() == status
        wait_until(lambda: names(product) == [], "the copies are gone", 30)


def test_which_scenarios(product):
    doc = {**over_time(a=[OPEN, {"to": "b", "port": "udp/80", "only_from": ["a"]}], b=[CONNECT, is_x("alive")]),
           "expect": [OPEN]}
    path = product.file(doc)
    every = product.vpclab("test", "--list", path, check=0).out.splitlines()
    assert every[:3] == ["a -> b tcp/80 open", "scenario a: step 1 a -> b tcp/80 open",
                         "scenario a: step 2 a -> b udp/80 open"]
    assert every[-2:] == ["scenario b: step 1 connect x: a -> b tcp/80", "scenario b: step 2 connection x is alive"]
    # a scenario is a whole: one step's name brings all
    rc, results = run(product, path, "--filter", "scenario b: step 2 *")
    assert rc == 0 and [r["step"] for r in results] == [1, 2]
    rc, results = run(product, path, "--skip", "scenario b")
    assert told(results)[-2:] == [(1, True, True), (2, True, True)]
    rc, results = run(product, path, "--repeat", "2", "--filter", "scenario b")
    assert [r["name"][-8:] for r in results] == ["(1 of 2)"] * 2 + ["(2 of 2)"] * 2


def test_a_copy_that_failed_can_stay(product):
    path = product.file(over_time(shut=[groups([]), OPEN], fine=[OPEN]))
    r = product.vpclab("test", "--keep-failed", path, check=1)
    kept = names(product)
    assert len(kept) == 1 and "%s stays up (scenario shut)" % kept[0] in r.err
    assert product.probe(kept[0], "a", "b", "tcp/80")["result"] == "timeout"
