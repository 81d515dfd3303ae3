# SPDX-License-Identifier: MIT
"""The command line: exit statuses, JSON, reports, exec, and what is wrong said plainly."""
import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as xml

import pytest

from product import ROOT, alive, having, wait_until

LAB = {
    "version": 1, "lab": "cli",
    "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"]}}},
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"g": {"ingress": [{"protocol": "tcp", "from_port": 80, "to_port": 81,
                                               "cidr_blocks": ["10.0.0.0/16"]}]}},
        "instances": {"a": {"subnet": "one", "security_groups": ["g"]},
                      "b": {"subnet": "one", "security_groups": ["g"], "serve": ["tcp/80"]}},
    }},
    "functions": {"f": {"runtime": "exec", "command": ["cat"]}},
    "expect": [
        {"name": "a reaches b", "from": "a", "to": "b", "port": "tcp/80", "result": "open", "seen_as": "a"},
        {"from": "a", "to": "b", "port": "tcp/81", "result": "refused"},
        {"from": "a", "to": "b", "port": "tcp/82", "result": "timeout", "because": "ENI_SG_RULES_MISMATCH"},
        {"to": "b", "port": "tcp/80", "only_from": ["a"]},
        {"invoke": "f", "payload": {"x": [1]}, "returns": {"x": [1]}},
    ],
}


@pytest.mark.asan
def test_all_held(product):
    r = product.vpclab("test", product.file(LAB))
    assert r.rc == 0 and "a reaches b" in r.out, r
    assert product.json("ls") == []


def test_a_failed_expectation_is_enough_to_fix_it(product):
    doc = having(LAB, [{"name": "b is closed", "from": "a", "to": "b", "port": "tcp/80", "result": "timeout"}], "expect")
    r = product.vpclab("test", product.file(doc), check=1)
    assert re.search(r"not ok +b is closed +a -> b tcp/80", r.out)
    assert re.search(r"expected +timeout", r.out) and re.search(r"got +open in [0-9.]+ ms; b saw 10\.0\.1\.", r.out)
    assert re.search(r"again +vpclab probe cli-[0-9a-f]{6} a b tcp/80", r.out), r.out


@pytest.mark.parametrize("expect,why", [
    ({"from": "a", "to": "b", "port": "tcp/80", "result": "open", "seen_as": "10.9.9.9"}, "seen_as"),
    ({"from": "a", "to": "b", "port": "tcp/82", "result": "timeout", "because": "NO_ROUTE_TO_DESTINATION"}, "because"),
    ({"to": "b", "port": "tcp/80", "only_from": []}, "only_from"),
    ({"invoke": "f", "payload": 1, "returns": 2}, "returns"),
    ({"invoke": "f", "payload": {"a": 1}, "matches": {"a": 2}}, "matches"),
    ({"invoke": "f", "payload": 1, "error": "Runtime.ExitError"}, "error"),
])
def test_expectations_can_fail(product, expect, why):
    doc = having(LAB, [expect], "expect")
    got = product.json("test", product.file(doc), check=1)
    assert got["failed"] >= 1, why


@pytest.mark.asan
def test_formats_agree(product):
    doc = having(LAB, LAB["expect"] + [{"name": "wrong <&>", "from": "a", "to": "b", "port": "tcp/80",
                                        "result": "refused"}], "expect")
    path = product.file(doc)
    out = {f: product.vpclab("test", "--format", f, path, check=1).out for f in ("json", "tap", "junit", "text")}
    got = json.loads(out["json"])
    assert (got["passed"], got["failed"]) == (len(got["results"]) - 1, 1)
    tap = out["tap"].splitlines()
    assert tap[0] == "TAP version 14" and tap[1] == "1..%d" % len(got["results"])
    assert len([t for t in tap if t.startswith("ok ")]) == got["passed"]
    assert len([t for t in tap if t.startswith("not ok ")]) == 1
    suite = next(xml.fromstring(out["junit"]).iter("testsuite"))
    assert int(suite.get("tests")) == len(got["results"]) and int(suite.get("failures")) == 1
    assert len(list(suite.iter("failure"))) == 1


@pytest.mark.parametrize("args,status", [
    (["check", "/nonexistent/x.json"], 2), (["nonsense"], 2), (["check"], 2), (["up", "--nonsense"], 2),
    (["show", "nosuch"], 3), (["test", "nosuch"], 3), (["invoke", "nosuch", "f"], 3), (["probe", "nosuch", "a", "b", "tcp/80"], 3),
    (["down", "nosuch"], 3), (["version"], 0), (["help"], 0), (["ls"], 0), (["graph", "x"], 3),
])
def test_exit_statuses(product, args, status):
    r = product.vpclab(*args)
    assert r.rc == status, r
    if status:
        assert r.out == "" and r.err.startswith("vpclab: "), r


@pytest.mark.asan
def test_statuses_on_a_lab(product):
    product.up(LAB)
    for args, status in ((["show", "cli", "nonsense"], 2), (["show", "cli", "instances/zz"], 3),
                         (["probe", "cli", "a", "zz", "tcp/80"], 3), (["probe", "cli", "a", "b", "tcp/80", "--expect", "open"], 0),
                         (["probe", "cli", "a", "b", "tcp/80", "--expect", "refused"], 1),
                         (["invoke", "cli", "zz"], 3), (["test", "cli", "--filter", "zzz"], 3), (["test", "cli"], 0)):
        r = product.vpclab(*args)
        assert r.rc == status, r
    r = product.vpclab("-o", "json", "probe", "cli", "a", "zz", "tcp/80")
    assert r.out == "" and json.loads(r.err)["error"]["exit"] == 3


@pytest.mark.asan
def test_exec(product):
    product.up(LAB)
    r = product.vpclab("exec", "cli", "a", "--", "sh", "-c", "cat; hostname; echo err >&2; exit 7", stdin="in\n")
    assert (r.rc, r.out, r.err) == (7, "in\na\n", "err\n")
    assert product.vpclab("exec", "cli", "a", "--", "/no/such").rc == 127
    assert product.vpclab("exec", "cli", "a", "--", "/etc/passwd").rc == 126
    assert product.vpclab("exec", "cli", "a", "--", "sh", "-c", "kill -9 $$").rc == 137
    assert product.vpclab("exec", "--timeout", "0.3", "cli", "a", "--", "sleep", "60").rc == 124
    assert "10.0.1." in product.vpclab("exec", "cli", "router:main", "--", "ip", "route", "show", "table", "50").out
    assert product.vpclab("exec", "cli", "internet", "--", "true").rc == 0
    assert "192.0.2.10" not in product.vpclab("exec", "cli", "f", "--", "ip", "addr").out
    assert product.vpclab("exec", "cli", "zz", "--", "true").rc == 3


@pytest.mark.asan
def test_instance_programs(product):
    doc = having(LAB, {
        "subnet": "one", "security_groups": ["g"], "environment": {"WHO": "me"}, "files": {"/tmp/page": "hello"},
        "command": ["/usr/bin/python3", "-c",
                    "import os, socket; print('up', os.environ['WHO'], open('/tmp/page').read(), flush=True)\n"
                    "s = socket.create_server(('', 81))\n"
                    "while True:\n c = s.accept()[0]; c.sendall(b'hi'); c.close()"],
        "ready": ["tcp/81"]}, "vpcs", "main", "instances", "b")
    del doc["expect"]
    product.up(doc)
    assert product.probe("cli", "a", "b", "tcp/81")["result"] == "open"
    assert "up me hello" in product.vpclab("logs", "cli", "b").out
    pid = product.show("cli", "instances/b")["pid"]
    assert pid and alive(pid)
    product.vpclab("down", "cli", check=0)
    assert not alive(pid)


def test_a_program_that_never_is_ready(product):
    doc = having(LAB, {"subnet": "one", "command": ["sleep", "1000"], "ready": ["tcp/81"], "ready_timeout": 0.5},
                 "vpcs", "main", "instances", "b")
    del doc["expect"]
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 5 and "b" in r.err and "tcp/81" in r.err, r
    assert product.json("ls") == []


@pytest.mark.mutant("merge-over-a-lab")
def test_other_expectations_are_tried_on_a_lab_that_runs(product):
    product.up(LAB)
    other = {"from": "a", "to": "b", "port": "tcp/80", "result": "open"}
    got = product.json("test", "cli", "--merge", json.dumps({"expect": [other]}))
    assert [x["name"] for x in got["results"]] == ["a -> b tcp/80 open"]
    got = product.json("test", "cli", "--merge", json.dumps({"expect": [dict(other, result="refused")], "scenarios": None}),
                       check=1)
    assert got["failed"] == 1
    r = product.vpclab("test", "cli", "--merge", '{"expect": [\n {"from": "zz", "to": "b", "port": "tcp/80", "result": "open"}]}',
                       check=2)
    assert "--merge:2:11: expect[0].from: " in r.err, r
    # the lab isn't changed, so nothing but expectations can be brought
    for more in ({"vpcs": {}}, {"expect": [other], "functions": None}):
        r = product.vpclab("test", "cli", "--merge", json.dumps(more), check=2)
        assert "nothing else" in r.err, r
    got = product.json("test", "cli")
    assert got["failed"] == 0 and len(got["results"]) > 4, "the document's own are as they were: %r" % got


@pytest.mark.parametrize("sig,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_copy_goes_with_its_client(product, sig, status):
    doc = having(LAB, [{"from": "a", "to": "b", "port": "tcp/80", "result": "refused", "within": 60}], "expect")
    p = subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "test", product.file(doc)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: [x for x in product.json("ls") if x["state"] == "up"], "the copy is up")
    p.send_signal(sig)
    p.communicate(timeout=20)
    assert p.returncode == status
    wait_until(lambda: product.json("ls") == [], "the copy is gone")


def test_a_copy_goes_when_its_client_is_killed(product):
    doc = having(LAB, [{"from": "a", "to": "b", "port": "tcp/80", "result": "refused", "within": 60}], "expect")
    p = subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "test", product.file(doc)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: [x for x in product.json("ls") if x["state"] == "up"], "the copy is up")
    p.kill()
    p.communicate(timeout=20)
    wait_until(lambda: product.json("ls") == [], "the copy is gone")


def test_init_makes_a_file_that_holds(product):
    text = product.vpclab("init", "starter", check=0).out
    path = os.path.join(product.home, "starter.json")
    if not os.path.exists(path):
        path = product.file(text)
    assert product.vpclab("test", path).rc == 0


def test_doctor_finds_this_host_fit(product):
    r = product.vpclab("-o", "json", "doctor", check=0)
    assert json.loads(r.out)


@pytest.mark.parametrize("name", ["three-modes", "two-tier", "overlapping", "closed-world"])
@pytest.mark.asan
def test_examples_hold(product, name):
    path = os.path.join(ROOT, "topology", "examples", name + ".json")
    assert product.vpclab("check", "--strict" if name == "overlapping" else "-q", path).rc == 0
    got = product.json("test", path)
    assert got["failed"] == 0 and got["passed"] >= 4, got


def test_events_tell_what_changes(product):
    product.up(LAB)
    p = subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "-o", "json", "events", "cli"],
                         stdout=subprocess.PIPE, text=True)
    first = json.loads(p.stdout.readline())
    assert first["lab"] == "cli" and first["event"] == "created" and first["seq"] >= 1
    p.kill()
    p.communicate()


def test_unknown_member_points_at_its_line(product):
    text = json.dumps(LAB, indent=1).replace('"serve"', '"serves"')
    path = product.file(text)
    r = product.vpclab("check", path)
    assert r.rc == 2
    line = 1 + text[:text.index('"serves"')].count("\n")
    assert "%s:%d:" % (path, line) in r.out + r.err
    got = json.loads(product.vpclab("-o", "json", "check", path).out)
    assert got["valid"] is False and got["errors"][0]["line"] == line


def test_unsupported_is_refused_by_name(product):
    doc = having(LAB, {"f": {"runtime": "dotnet8", "code": "x", "handler": "y"}}, "functions")
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 4 and "functions.f.runtime: a runtime other than exec" in r.err, r
    assert product.json("ls") == []


@pytest.mark.parametrize("node", ["a", "prog", "f", "internet"])
def test_exec_gives_a_terminal_with_a_name(product, node):
    doc = having(LAB, {"subnet": "one", "command": ["sleep", "1000"]}, "vpcs", "main", "instances", "prog")
    product.up(doc)
    master, slave = os.openpty()
    try:
        with open(os.path.join(product.home, "typed"), "w+b") as typed:
            p = subprocess.run([os.path.join(product.build, "vpclab"), "--run-dir", product.run, "exec", "cli", node,
                                "-t", "--", "sh", "-c", "tty && test -t 0 -a -t 1 -a -t 2 && echo x > /dev/tty"],
                               stdin=slave, stdout=typed, stderr=typed, timeout=30)
            typed.seek(0)
            got = typed.read().decode()
        assert p.returncode == 0 and got.startswith("/dev/") and got.endswith("x\r\n"), got
    finally:
        os.close(master)
        os.close(slave)
    # and nobody else of the node has it
    if node != "internet":
        product.vpclab("exec", "cli", node, "--", "sh", "-c", "test ! -c /dev/console", check=0)


@pytest.mark.asan
def test_errors_in_json_say_the_exit_status_and_the_code(product):
    product.up(LAB)
    for n in range(10):
        r = product.vpclab("-o", "json", "exec", "cli", "b", "--", "/nonexistent", check=127)
        assert json.loads(r.err)["error"]["exit"] == 127, r
    r = product.vpclab("-o", "json", "invoke", "cli", "f", "--payload", "{bad", check=5)
    error = json.loads(r.err)["error"]
    assert (error["code"], error["exit"]) == ("InvalidRequestContentException", 5), r


@pytest.mark.asan
def test_events_have_milliseconds_and_null(product):
    product.up(LAB)
    argv = [os.path.join(product.build, "vpclab"), "--run-dir", product.run, "events", "cli"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as p:
        try:
            first = json.loads(p.stdout.readline())
        finally:
            p.kill()
    assert list(first) == ["seq", "time", "lab", "event", "kind", "name", "id", "detail"]
    assert isinstance(first["time"], int) and first["time"] > 1.6e12 and first["detail"] is None, first


@pytest.mark.parametrize("node", ["b", "prog", "internet", "router:main"])
def test_no_socket_leads_past_the_lab(product, node):
    product.up(having(LAB, {"subnet": "one", "command": ["sleep", "1000"]}, "vpcs", "main", "instances", "prog"))
    code = """
import errno, socket
for family in (40, 31, 42):     # vsock, bluetooth, qipcrtr: no network namespace holds them
    for kind in (1, 2, 5):
        try:
            socket.socket(family, kind).close()
        except OSError as e:
            assert e.errno == errno.EAFNOSUPPORT, (family, e)
        else:
            raise SystemExit("family %d is open" % family)
socket.socket(17, 3, 0).close()     # what the node's own network has is its own
"""
    product.vpclab("exec", "cli", node, "--", "/usr/bin/python3", "-c", code, check=0)


def test_check_goes_on_behind_a_file_that_cant_be_read(product):
    good, bad = product.file(LAB), product.file({"version": 1, "lab": "UPPER"})
    r = product.vpclab("check", "/nonexistent.json", good, bad, check=2)
    assert good + ": valid" in r.out and "/nonexistent.json: No such file" in r.err and bad + ":" in r.err, r
    r = product.vpclab("-o", "json", "check", "/nonexistent.json", good, check=2)
    assert r.out == "" and json.loads(r.err)["error"]["exit"] == 2, r


def test_a_command_that_forks_without_end_is_bounded(product):
    product.up(LAB)
    code = """
import _thread, threading
threading.stack_size(32768)     # threads count as processes do, and are cheaper
n, end = 0, _thread.allocate_lock()
end.acquire()
try:
    while n < 9000:
        _thread.start_new_thread(end.acquire, ())
        n += 1
except RuntimeError:
    pass
print(n, flush=True)
__import__("os")._exit(0)
"""
    r = product.vpclab("exec", "cli", "b", "--", "/usr/bin/python3", "-c", code)
    assert r.rc == 0 and 8000 < int(r.out) < 8192, r
