# SPDX-License-Identifier: MIT
"""clients/python: the module, and the plugin for pytest, run on sample suites in a pytest of their own."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import xml.etree.ElementTree as xml

import pytest

from product import ROOT, alive, having, wait_until

CLIENT = os.environ.get("VPCLAB_PYTHON", os.path.join(ROOT, "clients", "python"))
sys.path.insert(0, CLIENT)
import vpclab  # noqa: E402

PYTHON = "/usr/bin/python3"
LAB = {
    "version": 1, "lab": "shop",
    "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"]}}},
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"g": {"ingress": [{"protocol": "tcp", "from_port": 80, "to_port": 81,
                                               "cidr_blocks": ["10.0.0.0/16"]}]}},
        "instances": {"a": {"subnet": "one", "security_groups": ["g"]},
                      "b": {"subnet": "one", "security_groups": ["g"], "serve": ["tcp/80"]}},
    }},
    "functions": {"f": {"runtime": "exec", "command": ["cat"]},
                  "fails": {"runtime": "exec", "command": ["sh", "-c", "echo why it fails >&2; exit 3"]}},
    "expect": [
        {"name": "a reaches b", "from": "a", "to": "b", "port": "tcp/80", "result": "open", "seen_as": "a"},
        {"from": "a", "to": "b", "port": "tcp/82", "result": "timeout", "because": "ENI_SG_RULES_MISMATCH"},
        {"to": "b", "port": "tcp/80", "only_from": ["a"]},
        {"invoke": "f", "payload": {"x": [1]}, "returns": {"x": [1]}},
    ],
}
CLOSED = {"vpcs": {"main": {"security_groups": {"g": {"ingress": []}}}}}
WAITS = {"expect": [{"from": "a", "to": "b", "port": "tcp/80", "result": "refused", "within": 120}]}


def client_of(product, **more):
    return vpclab.Client(program=os.path.join(product.build, "vpclab"), run_dir=product.run, **more)


@pytest.fixture
def client(product):
    with client_of(product) as c:
        yield c
    assert product.json("ls") == [], "copies of a closed client stay"


@pytest.fixture
def lab(client):
    with client.copy(LAB) as made:
        yield made


def environment(product):
    """For a process of a test's: it finds the module and the product, and nothing of the pytest that runs us."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "VPCLAB_"))}
    return {**env, "PYTHONPATH": CLIENT, "VPCLAB": os.path.join(product.build, "vpclab"), "VPCLAB_RUN_DIR": product.run,
            "PYTHONDONTWRITEBYTECODE": "1"}


class Suite:
    """A folder with tests, and pytest run in it."""

    def __init__(self, product, **files):
        self.product = product
        self.folder = os.path.join(product.home, "suite%d" % time.monotonic_ns())
        os.mkdir(self.folder)
        for name, content in files.items():
            self.write(name, content)

    def write(self, name, content):
        path = os.path.join(self.folder, name.replace("__", "."))
        with open(path, "w") as f:
            f.write(json.dumps(content, indent=1) if isinstance(content, dict) else textwrap.dedent(content))
        return path

    def argv(self, *args):
        return [PYTHON, "-m", "pytest", "-p", "pytest_vpclab", "-p", "no:cacheprovider", "--basetemp",
                os.path.join(self.folder, "temp"), "--junit-xml", os.path.join(self.folder, "junit.xml"), *args]

    def start(self, *args):
        """In a session of its own, so that a signal can be sent as a terminal does, to all of it."""
        return subprocess.Popen(self.argv(*args), cwd=self.folder, env=environment(self.product), start_new_session=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *args, status=0, **env):
        p = subprocess.run(self.argv(*args), cwd=self.folder, env={**environment(self.product), **env}, timeout=110,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.out = p.stdout + p.stderr
        assert p.returncode == status, self.out
        return self

    def results(self):
        """{name: passed, failed, error or skipped}"""
        found = {}
        for case in xml.parse(os.path.join(self.folder, "junit.xml")).getroot().iter("testcase"):
            kinds = [k for k in ("failure", "error", "skipped") if case.find(k) is not None]
            found[case.get("name")] = {"failure": "failed"}.get(kinds[0], kinds[0]) if kinds else "passed"
        return found


# ---- the module

def test_probes_are_typed(lab):
    allowed, denied = lab.probe("a", "b", "tcp/80"), lab.probe("a", "b", "tcp/82")
    assert (allowed.result, allowed.is_open, allowed.dropped, allowed.because) == ("open", True, None, None)
    assert re.match(r"10\.0\.1\.\d+$", allowed.seen_as) and 0 < allowed.took_ms < 1000
    assert (denied.result, denied.because, denied.dropped.code) == ("timeout", "ENI_SG_RULES_MISMATCH", "ENI_SG_RULES_MISMATCH")
    assert denied.dropped.direction == "ingress" and denied.took_ms >= 1000 and denied.seen_as is None
    # what an assertion that fails prints
    assert re.match(r"<a -> b tcp/82: timeout in 1\d{3}\.\d ms; dropped: ENI_SG_RULES_MISMATCH \(.*\)>$", repr(denied))
    start = time.monotonic()
    many = lab.probes([("a", "b", "tcp/%d" % n) for n in range(82, 92)] + [{"from": "a", "to": "b", "port": "tcp/80"}])
    assert [p.result for p in many] == ["timeout"] * 10 + ["open"] and time.monotonic() - start < 8, "side by side"


def test_a_shorter_silence_counts(lab):
    p = lab.probe("a", "b", "tcp/82", timeout=0.2)
    assert p.result == "timeout" and 200 <= p.took_ms < 1000


def test_expectations_are_judged_by_the_command_line(lab):
    assert [o.ok for o in lab.expect("a", "b", "tcp/80", seen_as="a", name="a -> b")] == [True]
    lab.expect("a", "b", "tcp/82", "timeout", because="ENI_SG_RULES_MISMATCH")
    assert len(lab.expect_only_from(["a"], "b", "tcp/80")) == 4     # a, and api and both functions that mustn't
    lab.expect_invoke("f", {"x": 1}, returns={"x": 1})
    lab.expect_invoke("fails", error="Runtime.ExitError")
    with pytest.raises(vpclab.ExpectationFailed) as e:
        lab.expect("a", "b", "tcp/82", name="b is open")
    assert isinstance(e.value, AssertionError) and len(e.value.outcomes) == 1
    text = str(e.value)
    assert re.search(r"^not ok  b is open +a -> b tcp/82$", text, re.M), text
    assert re.search(r"^        expected  open$", text, re.M) and "dropped: ENI_SG_RULES_MISMATCH" in text, text
    assert re.search(r"^        again     vpclab probe %s a b tcp/82$" % lab.name, text, re.M), text
    with pytest.raises(vpclab.ExpectationFailed):
        lab.expect("a", "b", "tcp/82", "timeout", because="NO_ROUTE_TO_DESTINATION")
    with pytest.raises(vpclab.ExpectationFailed):
        lab.expect_only_from([], "b", "tcp/80")


def test_one_report_has_all_that_failed(lab):
    good = {"from": "a", "to": "b", "port": "tcp/80", "result": "open"}
    many = [dict(good, name="held %d" % n + "x" * 400) for n in range(200)]     # more than a word of a command line holds
    bad = [dict(good, result="refused", name="[1] first *"), dict(good, result="timeout", name="second")]
    with pytest.raises(vpclab.ExpectationFailed) as e:
        lab.expect_all(many[:100] + bad + many[100:])
    assert [o.name for o in e.value.outcomes] == ["[1] first *", "second"]
    assert [r.splitlines()[0].split("   ")[0] for r in e.value.report.split("\n") if not r.startswith(" ")] == [
        "not ok  [1] first *", "not ok  second"]
    assert e.value.outcomes[0].expected["result"] == "refused" and e.value.outcomes[0].got["result"] == "open"
    assert len(lab.try_all(None, only="a reaches b")[0]) == 1, "one of the document's own"


def test_patch_and_back(lab):
    assert lab.probe("a", "b", "tcp/80").is_open
    with lab.patched(CLOSED) as changes:
        assert changes.changed and [(c.action, c.kind, c.name) for c in changes.changes] == [
            ("update", "security_group", "main/g")]
        assert lab.probe("a", "b", "tcp/80").because == "SG_HAS_NO_RULES"
    assert lab.probe("a", "b", "tcp/80").is_open and not lab.restore()
    lab.patch(CLOSED)
    assert lab.document()["vpcs"]["main"]["security_groups"]["g"] == {"ingress": []}
    assert lab.restore() and lab.probe("a", "b", "tcp/80").is_open and not lab.restore()
    with pytest.raises(vpclab.InvalidLab) as e:
        lab.patch({"vpcs": {"main": {"subnets": {"one": {"cidr_block": "10.9.0.0/24"}}}}})
    assert e.value.path == "vpcs.main.subnets.one.cidr_block" and "outside" in str(e.value)
    assert lab.probe("a", "b", "tcp/80").is_open, "a patch that fails changes nothing"


def test_changes_queue(lab):
    """Patches from several threads: none is lost, for each is over the document that the last one left."""
    def add(n):
        lab.patch({"vpcs": {"main": {"security_groups": {"n%d" % n: {"ingress": []}}}}})
    threads = [threading.Thread(target=add, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert set(lab.document()["vpcs"]["main"]["security_groups"]) == {"g"} | {"n%d" % n for n in range(6)}


def test_show_and_logs(lab):
    assert lab.show("instances/b")["private_ip"] == lab.show("instances")["b"]["private_ip"]
    assert lab.show()["lab"] == lab.name and lab.command("show", "functions/f")["name"] == "f"
    lab.invoke("fails")
    assert "why it fails" in lab.logs("fails") and "fails| " in lab.logs()
    for ask in (lambda: lab.show("instances/zz"), lambda: lab.logs("zz"), lambda: lab.probe("a", "zz", "tcp/1"),
                lambda: lab.exec("zz", "true"), lambda: lab.invoke("zz"), lambda: lab.client.lab("nosuch")):
        with pytest.raises(vpclab.NotFound):
            ask()


@pytest.mark.mutant("python-flows-now")
def test_flows_and_bill(lab):
    """Records until now; one record is a list, too; an unknown log is NotFound."""
    with lab.patched({"vpcs": {"main": {"flow_logs": {"a": {"resource": "instance:a"}, "b": {"resource": "instance:b"}}}}}):
        assert lab.probe("a", "b", "tcp/80").result in ("open", "refused", "timeout")
        got = lab.flows("a")
        assert {r["flow_log"] for r in got} == {"main/a"} and {r["flow_log"] for r in lab.flows()} == {"main/a", "main/b"}
        assert [r for r in got if r["log_status"] == "OK" and r["protocol"] == 6 and r["dstport"] == 80], got
        assert len(lab.flows("main/a", now=False)) >= len(got)
        with pytest.raises(vpclab.NotFound):
            lab.flows("c")
    lab.invoke("f", {})
    assert lab.bill()["functions"]["f"]["requests"] == lab.bill()["requests"] >= 1


def test_invoke(lab):
    r = lab.invoke("f", {"a": [1, None, "ü"]})
    assert r.ok and r.payload == {"a": [1, None, "ü"]} and r.status == 200 and r.request_id and r.error_type is None
    assert lab.invoke("f").payload == {} and lab.invoke("f", raw=b"[1,2]").body == b"[1,2]"
    r = lab.invoke("fails", log=True)
    assert not r.ok and r.error_type == "Runtime.ExitError" and "why it fails" in r.log and "Runtime.ExitError" in repr(r)
    with pytest.raises(vpclab.VpclabError) as e:
        lab.invoke("f", raw=b"{bad")
    assert e.value.code == "InvalidRequestContentException"


def test_exec(lab):
    r = lab.exec("a", "sh", "-c", "cat; hostname; echo $WHO >&2; exit 7", input="in\n", env={"WHO": "me"})
    assert (r.status, r.stdout, r.stderr) == (7, "in\na\n", "me\n")
    with pytest.raises(vpclab.VpclabError, match="status 7"):
        r.check()
    assert lab.exec("a", "cat", check=True).stdout == "", "nothing on standard input"
    both = lab.exec("a", PYTHON, "-c", "import sys\nfor i in range(2000): print('o' * 999); print('e' * 999, file=sys.stderr)")
    assert (len(both.stdout), len(both.stderr)) == (2000000, 2000000)
    big = os.urandom(3000000)
    assert lab.exec("a", "cat", input=big, text=False).stdout == big
    assert lab.exec("a", "sh", "-c", "kill -9 $$").status == 137
    assert "10.0.1." in lab.exec("router:main", "ip", "route", "show", "table", "50").stdout
    for argv, status in ((("/no/such",), 127), (("/etc/passwd",), 126)):
        with pytest.raises(vpclab.VpclabError) as e:
            lab.exec("a", *argv)
        assert e.value.exit == status
    with pytest.raises(vpclab.VpclabError) as e:
        lab.exec("a", "true", "x" * vpclab.MESSAGE_MAX)
    assert e.value.code == "RequestEntityTooLarge"


def test_exec_ends_in_time(lab):
    start = time.monotonic()
    with pytest.raises(vpclab.VpclabTimeout) as e:
        lab.exec("a", "sh", "-c", "echo so far; sleep 1000 & echo $! ; wait", timeout=1.0)
    assert time.monotonic() - start < 20 and e.value.stdout.startswith("so far\n") and isinstance(e.value, TimeoutError)
    wait_until(lambda: lab.exec("a", "pgrep", "-x", "sleep").status == 1, "what it started is gone")
    # what a command leaves behind on purpose holds its pipes open, and isn't waited for
    start = time.monotonic()
    assert lab.exec("a", "sh", "-c", "setsid sleep 1000 & echo done").stdout == "done\n"
    assert time.monotonic() - start < 20


def test_a_process_of_ones_own(lab):
    read, write = os.pipe()
    with lab.spawn("b", PYTHON, "-c", "import socket\ns = socket.create_server(('', 81))\nprint('up', flush=True)\n"
                   "while True: s.accept()[0].close()", stdout=write) as p:
        os.close(write)
        with os.fdopen(read) as out:
            assert out.readline() == "up\n" and alive(p.pid) and p.poll() is None
            assert lab.probe("a", "b", "tcp/81").result == "open"
            with pytest.raises(vpclab.VpclabTimeout):
                p.wait(0.05)
            p.send_signal(signal.SIGTERM)
            assert p.wait(20) == 128 + signal.SIGTERM and p.poll() == 128 + signal.SIGTERM
    assert lab.probe("a", "b", "tcp/81").result == "refused"
    with lab.spawn("b", "sleep", "1000") as p:
        pid = p.pid
    wait_until(lambda: not alive(pid), "it goes with its Process")


def test_errors_of_a_file_name_its_lines(product, client):
    text = json.dumps(LAB, indent=1)
    path = product.file(text.replace('"10.0.1.0/24"', '"10.1.0.0/24"').replace('"cat"', '7'))
    with pytest.raises(vpclab.InvalidLab) as e:
        client.copy(path)
    line = 1 + text[:text.index('"10.0.1.0/24"')].count("\n")
    assert (e.value.code, e.value.path, e.value.line) == ("InvalidLab", "vpcs.main.subnets.one.cidr_block", line)
    assert [i.path for i in e.value.errors] == ["vpcs.main.subnets.one.cidr_block", "functions.f.command[0]"]
    assert str(e.value).startswith("%s:%d:" % (path, line)), e.value
    # a merge is the caller's: the line of what stands in the file stays, of what doesn't there is none
    with pytest.raises(vpclab.InvalidLab) as e:
        client.copy(path, merge={"functions": {"f": {"runtime": "nonsense"}}})
    assert e.value.errors[0].file == path and e.value.line == line
    assert [i.line for i in e.value.errors if i.path == "functions.f.runtime"] == [None]
    with pytest.raises(vpclab.InvalidLab, match="No such file"):
        client.copy("/nonexistent.json")
    with pytest.raises(vpclab.InvalidLab):
        client.copy(product.file('{"version": 1, "lab": "x", "lab": "y"}'), merge={"description": "x"})
    with pytest.raises(vpclab.Unsupported) as e:
        client.copy(having(LAB, True, "vpcs", "main", "instances", "a", "ipv6_addresses"))
    assert "ipv6_addresses" in str(e.value)
    with pytest.raises(vpclab.VpclabError) as e:
        client.copy(having(LAB, {"subnet": "one", "command": ["sleep", "1000"], "ready": ["tcp/9"]}, "vpcs", "main",
                           "instances", "c"), timeout=0.5)
    assert "tcp/9" in str(e.value)
    with pytest.raises(vpclab.InvalidLab, match=r"^expect\[0\]\.port: "):
        with client.copy(LAB) as made:
            made.expect("a", "b", "tcp/99999")
    assert client.names(product.file(LAB))[0] == "a reaches b"


def test_copies_dont_meet(product, client):
    first, second = client.copy(product.file(LAB)), client.copy(product.file(LAB), merge=[CLOSED, {"description": "x"}])
    assert first.name != second.name and first.name.startswith("shop-")
    assert first.probe("a", "b", "tcp/80").is_open and not second.probe("a", "b", "tcp/80").is_open
    assert {x["lab"] for x in client.labs()} == {first.name, second.name}
    first.down()
    first.down()
    assert [x["lab"] for x in product.json("ls")] == [second.name]


def test_a_lab_that_stays(product, client):
    stays = client.up(product.file(LAB), name="mine")
    client.close()
    again = client_of(product).lab("mine")
    assert again.probe("a", "b", "tcp/80").is_open and stays.name == "mine"
    with pytest.raises(vpclab.VpclabError):
        again.restore()
    again.down()


def test_daemons_are_started_as_the_command_line_does(fresh):
    with pytest.raises(vpclab.Unavailable, match="no daemon runs there"):
        client_of(fresh, start=False).labs()
    with pytest.raises(vpclab.Unavailable, match="vpclab_program"):
        vpclab.Client(program="/nonexistent/vpclab", run_dir=fresh.run).labs()
    with client_of(fresh) as c, c.copy(LAB) as lab:
        assert lab.probe("a", "b", "tcp/80").is_open
        # sandboxd dies and is started again: the lab was adopted
        fresh.kill("sandboxd")
        assert lab.probe("a", "b", "tcp/80").is_open
    assert fresh.json("ls") == []
    assert os.path.exists(os.path.join(fresh.run, "netd.sock"))


def test_who_may_not_is_told(product):
    code = """
import os, vpclab
os.setgid(65534); os.setuid(65534)
try:
    vpclab.Client().labs()
except vpclab.Unavailable as e:
    print(e.code, e)
"""
    p = subprocess.run([PYTHON, "-c", code], env=environment(product), capture_output=True, text=True, timeout=60)
    assert p.stdout.startswith("UnauthorizedOperation") or "only root" in p.stdout, p


# ---- leases

HOLDER = """
import os, signal, sys, time, vpclab
c = vpclab.Client()
labs = [c.copy(sys.argv[1]) for _ in range(2)]
if len(sys.argv) > 2 and not os.fork():
    signal.pause()
print(os.getpid(), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("forks", [False, True])
def test_labs_go_with_a_killed_process(product, forks):
    with subprocess.Popen([PYTHON, "-c", HOLDER, product.file(LAB), *(["fork"] if forks else [])], env=environment(product),
                          stdout=subprocess.PIPE, text=True, start_new_session=True) as p:
        try:
            pid = int(p.stdout.readline())
            assert len(product.json("ls")) == 2
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: product.json("ls") == [], "both are gone")
        finally:
            os.killpg(p.pid, signal.SIGKILL)    # the child of its fork


# ---- the plugin

PASSING = """
    import pytest

    pytestmark = pytest.mark.vpclab("shop.lab.json")


    def test_reach(lab):
        assert lab.probe("a", "b", "tcp/80").seen_as
        lab.expect("a", "b", "tcp/82", "timeout", because="ENI_SG_RULES_MISMATCH")


    @pytest.mark.vpclab(merge={"vpcs": {"main": {"security_groups": {"g": {"ingress": []}}}}})
    def test_a_nearer_mark_adds_to_a_farther_one(lab):
        lab.expect("a", "b", "tcp/80", "timeout", because="SG_HAS_NO_RULES")


    @pytest.mark.parametrize("result", ["refused", pytest.param("open", marks=pytest.mark.vpclab(
        merge={"vpcs": {"main": {"instances": {"b": {"serve": ["tcp/80", "tcp/81"]}}}}}))])
    def test_parameters_have_labs(lab, result):
        lab.expect("a", "b", "tcp/81", result)


    @pytest.mark.vpclab({"version": 1, "lab": "tiny", "functions": {"f": {"runtime": "exec", "command": ["cat"]}}})
    def test_a_document_of_ones_own(lab, vpclab):
        assert lab.invoke("f", [1]).payload == [1] and lab.name.startswith("tiny-")
        with vpclab.copy("shop.lab.json") as other:
            assert other.probe("a", "b", "tcp/80").is_open
"""


def test_a_suite_that_passes(product):
    s = Suite(product, shop__lab__json=LAB, test_shop__py=PASSING).run("-v")
    assert s.results() == {
        "a reaches b": "passed", "a -> b tcp/82 timeout": "passed", "a -> b tcp/80 open": "passed",
        "api -> b tcp/80 closed": "passed", "f -> b tcp/80 closed": "passed", "fails -> b tcp/80 closed": "passed",
        "invoke f": "passed", "test_reach": "passed", "test_a_nearer_mark_adds_to_a_farther_one": "passed",
        "test_parameters_have_labs[refused]": "passed", "test_parameters_have_labs[open]": "passed",
        "test_a_document_of_ones_own": "passed"}
    assert product.json("ls") == []


FAILING = """
    import pytest

    pytestmark = pytest.mark.vpclab("shop.lab.json")


    def test_expect(lab):
        lab.expect("a", "b", "tcp/82")


    def test_probe(lab):
        lab.invoke("fails")
        assert lab.probe("a", "b", "tcp/82").result == "open"


    @pytest.mark.vpclab(merge={"vpcs": {"main": {"subnets": 7}}})
    def test_an_invalid_merge(lab):
        pass


    @pytest.mark.vpclab(scope="galaxy")
    def test_a_wrong_mark(lab):
        pass


    @pytest.mark.vpclab(nonsense=1)
    def test_an_unknown_argument(lab):
        pass
"""


def test_a_suite_that_fails_says_why(product):
    wrong = dict(LAB, expect=[{"name": "open", "from": "a", "to": "b", "port": "tcp/82", "result": "open"},
                              {"name": "held", "from": "a", "to": "b", "port": "tcp/80", "result": "open"},
                              {"name": "held", "from": "a", "to": "b", "port": "tcp/80", "result": "refused"}])
    s = Suite(product, shop__lab__json=wrong, test_shop__py=FAILING, test_none__py="def test_no_file(lab):\n    pass\n",
              broken__lab__json='{\n "version": 1,\n "lab": "UPPER"}').run("-rA", "--continue-on-collection-errors", status=1)
    got = s.results()
    assert (got.pop("open"), got.pop("held"), got.pop("held (2)")) == ("failed", "passed", "failed"), got
    assert {n: r for n, r in got.items() if n.startswith("test_")} == {
        "test_expect": "failed", "test_probe": "failed", "test_an_invalid_merge": "error", "test_a_wrong_mark": "error",
        "test_an_unknown_argument": "error", "test_no_file": "error"}
    # the report of the command line, below a test of one's own and below a line of the file
    assert re.search(r"^E +not ok  a -> b tcp/82 open\nE +expected  open\nE +got       timeout in .*dropped: ENI_SG_RULES_MISMATCH",
                     s.out, re.M), s.out
    assert re.search(r"^not ok  open +a -> b tcp/82\n        expected  open\n        got       timeout", s.out, re.M), s.out
    # an assertion about a probe: the probe, and what the nodes printed, stand below it
    assert re.search(r"^    a -> b tcp/82: timeout in .*; dropped: ENI_SG_RULES_MISMATCH", s.out, re.M), s.out
    assert "fails| why it fails" in s.out
    # no frame of ours between the test's line and the message
    assert "vpclab.py:" not in s.out and "pytest_vpclab.py:" not in s.out, s.out
    for message in ("vpcs.main.subnets: ", "scope 'galaxy': one of function, class, module, session",
                    "unexpected keyword argument 'nonsense'", "name its file by @pytest.mark.vpclab",
                    "broken.lab.json:3:9: lab: "):
        assert message in s.out, message + "\n" + s.out
    assert product.json("ls") == []


def test_bundles_are_attached(product):
    """A failure of a file's line and one of a test have a folder each, which the report lists and JUnit names."""
    s = Suite(product, shop__lab__json=having(LAB, [{"from": "a", "to": "b", "port": "tcp/80", "result": "refused"}], "expect"), test_shop__py="""
        import pytest

        @pytest.mark.vpclab("shop.lab.json")
        def test_expect(lab):
            lab.expect("a", "b", "tcp/80", "refused")

        @pytest.mark.vpclab("shop.lab.json")
        def test_held(lab):
            lab.expect("a", "b", "tcp/80", "open")
            """)
    s.run("--vpclab-bundle", "bundles", status=1)
    assert s.out.count("/capture.pcapng") == 2 and s.out.count("vpclab bundle") == 2, s.out
    found = [os.path.join(d, f) for d, _, files in os.walk(os.path.join(s.folder, "bundles")) for f in files]
    assert sum(f.endswith("/capture.pcapng") for f in found) == 2 and all(os.path.getsize(f) for f in found
                                                                        if f.endswith(".pcapng")), found
    properties = [p.get("value") for p in xml.parse(os.path.join(s.folder, "junit.xml")).getroot().iter("property")
                  if p.get("name") == "vpclab_bundle"]
    assert len(properties) == 2 and all(os.path.isdir(p) for p in properties), properties


def test_settings(product):
    s = Suite(product, test_shop__py="def test(lab):\n    lab.expect('a', 'b', 'tcp/80')\n", pytest__ini="""\
        [pytest]
        vpclab_program = tools/vpclab
        vpclab_run_dir = %s
        vpclab_file = labs/the-shop.json
        vpclab_collect = labs/*-shop.json
        """ % product.run)
    os.mkdir(os.path.join(s.folder, "labs"))
    os.mkdir(os.path.join(s.folder, "tools"))
    os.symlink(os.path.join(product.build, "vpclab"), os.path.join(s.folder, "tools", "vpclab"))
    s.write("labs/the-shop.json", LAB)
    s.write("labs/other.lab.json", "not collected")
    s.run(VPCLAB="/nonexistent", VPCLAB_RUN_DIR="/nonexistent/run")
    assert len(s.results()) == 8, s.out
    # no file, no daemon needed: a suite without labs is none of ours
    s = Suite(product, test_plain__py="def test():\n    pass\n").run(VPCLAB="/nonexistent", VPCLAB_RUN_DIR="/nonexistent")
    s = Suite(product, shop__lab__json=LAB).run("--vpclab-run-dir", os.path.join(product.home, "no"), "--vpclab-no-start", status=1)
    assert set(s.results().values()) == {"error"} and "no daemon runs there" in s.out
    s = Suite(product, shop__lab__json=LAB).run("--vpclab", "/nonexistent", status=2)
    assert "there is no such program" in s.out, s.out


SHARED = """
    import pytest

    NAMES = []


    @pytest.fixture
    def vpclab_file():
        return "shop.lab.json"


    @pytest.mark.vpclab(scope="module")
    class TestShared:
        def test_patches(self, lab):
            NAMES.append(lab.name)
            lab.patch({"vpcs": {"main": {"security_groups": {"g": {"ingress": []}}}}})
            lab.expect("a", "b", "tcp/80", "timeout")

        def test_finds_it_as_it_was(self, lab):
            assert lab.name == NAMES[0]
            lab.expect("a", "b", "tcp/80", "open")

        def test_takes_it_down(self, lab):
            lab.down()

        def test_gets_another(self, lab):
            assert lab.name != NAMES[0]
            lab.expect("a", "b", "tcp/80", "open")

        @pytest.mark.vpclab(scope="function")
        def test_has_its_own(self, lab, vpclab):
            assert len(vpclab.labs()) == 2

        @pytest.mark.vpclab(scope="session")
        def test_of_the_session(self, lab, vpclab):
            assert len(vpclab.labs()) == 2

        @pytest.mark.vpclab(merge={"description": "x"}, scope="session")
        def test_another_wish(self, lab, vpclab):
            assert len(vpclab.labs()) == 3
"""


def test_shared_labs(product):
    s = Suite(product, shop__lab__json=LAB, test_a__py=SHARED, test_b__py="""
        import pytest

        @pytest.mark.vpclab("shop.lab.json", scope="session")
        def test_of_the_session(lab, vpclab):
            assert len(vpclab.labs()) == 2     # the module's is gone, the session's two are there

        def test_the_last(vpclab):
            assert len(vpclab.labs()) == 2
        """).run("-p", "no:randomly", "test_a.py", "test_b.py")
    assert set(s.results().values()) == {"passed"} and product.json("ls") == []


def test_unselected_expectations_are_not_tried(product):
    doc = having(LAB, LAB["expect"] + WAITS["expect"], "expect")
    s = Suite(product, shop__lab__json=doc).run("-k", "reaches or invoke")      # else it would take two minutes
    assert s.results() == {"a reaches b": "passed", "invoke f": "passed"}
    s.run("shop.lab.json::a reaches b")
    assert s.results() == {"a reaches b": "passed"}


@pytest.mark.parametrize("dist", ["load", "loadgroup"])
def test_four_workers(product, dist):
    tests = "".join("\n\n    def test_%d(lab):\n        lab.expect('a', 'b', 'tcp/80')\n"
                    "        lab.patch({'description': 'x'})\n" % n for n in range(8))
    s = Suite(product, shop__lab__json=LAB, test_shop__py="""
    import pytest

    pytestmark = pytest.mark.vpclab("shop.lab.json", scope="session")
    """ + tests).run("-n", "4", "--dist", dist)
    assert len(s.results()) == 15 and set(s.results().values()) == {"passed"}, s.out
    assert product.json("ls") == []


HANGS = """
    import pytest

    pytestmark = pytest.mark.vpclab("shop.lab.json")


    @pytest.mark.parametrize("n", range(8))
    def test(lab, n):
        open("up.%d" % n, "w").close()
        lab.exec("a", "sleep", "1000", timeout=1000)
"""


def hanging(product, *args, n=1):
    """A pytest whose tests wait in their labs."""
    s = Suite(product, shop__lab__json=LAB, test_shop__py=HANGS)
    p = s.start("test_shop.py", *args)
    wait_until(lambda: sum(f.startswith("up.") for f in os.listdir(s.folder)) == n, "%d labs are up" % n, timeout=60)
    return s, p


@pytest.mark.parametrize("args,n", [([], 1), (["-n", "4"], 4)])
def test_a_killed_pytest_leaves_nothing(product, args, n):
    s, p = hanging(product, *args, n=n)
    assert len(product.json("ls")) == n
    p.kill()        # with xdist: the controller alone; its workers end when they hear nothing more
    wait_until(lambda: product.json("ls") == [], "the labs are gone", timeout=30)
    p.communicate(timeout=30)


@pytest.mark.parametrize("args,n", [([], 1), (["-n", "2"], 2)])
def test_an_interrupted_pytest_takes_its_labs_down(product, args, n):
    s, p = hanging(product, *args, n=n)
    os.killpg(p.pid, signal.SIGINT)
    out, _ = p.communicate(timeout=60)
    assert p.returncode == 2, out
    wait_until(lambda: product.json("ls") == [], "the labs are gone", timeout=30)


def test_a_killed_worker_leaves_nothing(product):
    s, p = hanging(product, "-n", "2", n=2)
    with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
        workers = [int(w) for w in f.read().split()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    # its lab goes, and the test that another worker runs instead brings up one more
    wait_until(lambda: sum(f.startswith("up.") for f in os.listdir(s.folder)) == 3, "a worker took its place", timeout=60)
    wait_until(lambda: len(product.json("ls")) == 2, "two labs are up")
    os.killpg(p.pid, signal.SIGKILL)
    p.communicate(timeout=30)
    wait_until(lambda: product.json("ls") == [], "the labs are gone", timeout=30)


def test_the_tour_of_the_readme(product):
    with open(os.path.join(CLIENT, "README.md")) as f:
        text = f.read()
    tests = next(block for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) if "def test_" in block)
    with open(os.path.join(ROOT, "topology", "examples", "three-modes.json")) as f:
        s = Suite(product, test_modes__py=tests, **{"three-modes__lab__json": f.read()}).run()
    got = s.results()
    assert set(got.values()) == {"passed"} and sum(n.startswith("test_") for n in got) == tests.count("def test_") == 5
    # and the failure that it shows
    shown = re.search(r"^E +not ok  sealed.*?^```", text, re.M | re.S).group(0).splitlines()[:-2]
    s.write("test_modes.py", tests.replace(', "timeout", because="NO_ROUTE_TO_DESTINATION"', ""))
    s.run("-k", "sealed_subnet", status=1)

    def normal(line):
        return re.sub(r"-[0-9a-f]{8,17}\b", "-ID", re.sub(r"[0-9.]+ m?s", "1 s", line))
    for line in shown:
        assert normal(line) in normal(s.out), line + "\n" + s.out


# ---- installing

def test_pip_installs_it(product):
    source = os.path.join(product.home, "source")
    shutil.copytree(CLIENT, source)
    venv = os.path.join(product.home, "venv")
    python = os.path.join(venv, "bin", "python")
    for argv in ([PYTHON, "-m", "venv", "--system-site-packages", "--without-pip", venv],
                 [python, "-m", "pip", "install", "--no-build-isolation", "--no-index", "--disable-pip-version-check", source]):
        p = subprocess.run(argv, capture_output=True, text=True, timeout=110, cwd=product.home)
        assert p.returncode == 0, p.stdout + p.stderr
    s = Suite(product, shop__lab__json=LAB, test_shop__py=PASSING)
    env = environment(product)
    del env["PYTHONPATH"]
    p = subprocess.run([python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-k", "reaches or test_reach",
                        "--basetemp", os.path.join(s.folder, "temp")], cwd=s.folder, env=env, capture_output=True, text=True,
                       timeout=110)
    assert p.returncode == 0 and "2 passed" in p.stdout, p.stdout + p.stderr
    p = subprocess.run([python, "-c", "import vpclab; print(vpclab.__file__)"], env=env, capture_output=True, text=True)
    assert p.stdout.startswith(venv), p
    shutil.rmtree(venv)
