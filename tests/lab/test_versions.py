# SPDX-License-Identifier: MIT
"""Published versions, aliases, and environments that are kept ready."""
import concurrent.futures
import json
import os
import re
import signal

import pytest

from gate import BLOCK, Gate
from product import Unix, having, wait_until
from test_async import drained, lines
from test_invoke import call

LAB = "versions"
SHOW = """
import os, sys, time

time.sleep(float(os.environ.get("INIT", "0")))
if os.environ.get("FAIL"):
    raise ValueError("no start")
calls = 0

def handler(event, context):
    global calls
    calls += 1
    return {"text": os.environ["TEXT"], "version": context.function_version, "arn": context.invoked_function_arn,
            "variable": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
            "stream": context.log_stream_name, "calls": calls}
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "show.py").write_text(SHOW)

    def function(text="one", **more):
        environment = {"TEXT": text, **more.pop("environment", {})}
        return {"runtime": "python3.11", "handler": "show.handler", "code": str(tmp_path), "environment": environment,
                "memory_size": 1769, "timeout": 30, **more}
    return function


def lab(functions, **more):
    return {"version": 1, "lab": LAB, "functions": functions, **more}


def invoke(product, function, qualifier=None):
    """The response, and the version that the header names."""
    path = "/2015-03-31/functions/%s/invocations" % function + ("?Qualifier=" + qualifier.replace("$", "%24") if qualifier else "")
    status, headers, body = call(product, function, b"{}", LAB, path=path)
    assert status == 200 and "x-amz-function-error" not in headers, (status, body)
    return json.loads(body), headers["x-amz-executed-version"]


def get(product, path):
    c = Unix(os.path.join(product.run, "sandboxd.sock"))
    c.request("GET", path, headers={"X-Vpclab-Lab": LAB})
    answer = c.getresponse()
    return answer.status, json.loads(answer.read())


def reports(product, function):
    return [line for line in product.vpclab("logs", LAB, function, check=0).out.splitlines() if line.startswith("REPORT")]


@pytest.mark.asan
@pytest.mark.ids("INV-3")
@pytest.mark.mutant("publish-always", "alias-version", "keep-old-code")
def test_a_version_stays_as_it_was(product, code, tmp_path):
    first = code(publish=True, aliases={"prod": {"function_version": "1"}})
    got = product.up(lab({"f": first}))
    assert [(c["action"], c["kind"], c["name"]) for c in got["changes"] if c["kind"] == "function_version"] == \
        [("create", "function_version", "f:1")]
    assert product.up(lab({"f": first}))["changed"] is False
    # code and configuration change, the alias doesn't
    (tmp_path / "show.py").write_text(SHOW.replace('"calls": calls', '"calls": -1'))
    second = code("two", publish=True, aliases={"prod": {"function_version": "1"}})
    plan = product.json("plan", product.file(lab({"f": second})))["changes"]
    assert ("create", "f:2") in [(c["action"], c["name"]) for c in plan]
    product.up(lab({"f": second}))
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    for qualifier, text, version, name in ((None, "two", "$LATEST", arn), ("$LATEST", "two", "$LATEST", arn + ":$LATEST"),
                                           ("1", "one", "1", arn + ":1"), ("2", "two", "2", arn + ":2"),
                                           ("prod", "one", "1", arn + ":prod")):
        body, header = invoke(product, "f", qualifier)
        assert (body["text"], body["version"], body["variable"], header, body["arn"]) == (text, version, version, version, name)
        assert "/[%s]" % version in body["stream"] and (body["calls"] == -1) == (text == "two")
    assert invoke(product, "f:prod")[1] == "1" and invoke(product, arn + ":2")[1] == "2"
    shown = product.show(LAB, "functions/f")
    assert sorted(shown["versions"]) == ["1", "2"] and shown["aliases"] == {"prod": "1"} and shown["version"] == "$LATEST"


@pytest.mark.ids("INV-6")
@pytest.mark.mutant("alias-check")
def test_what_was_not_published_is_not_found(product, code):
    product.up(lab({"f": code(publish=True), "plain": code()}))
    for name, qualifier in (("f", "2"), ("f", "0"), ("f", "prod"), ("plain", "1"), ("plain", "live")):
        status, headers, body = call(product, name, b"{}", LAB,
                                     path="/2015-03-31/functions/%s/invocations?Qualifier=%s" % (name, qualifier))
        assert status == 404 and headers["x-amzn-errortype"] == "ResourceNotFoundException"
        assert json.loads(body)["Message"] == \
            "Function not found: arn:aws:lambda:us-east-1:123456789012:function:%s:%s" % (name, qualifier)
    assert product.vpclab("invoke", LAB, "f", "--qualifier", "2").rc == 3
    # an alias of what isn't there: nothing changes
    doc = lab({"f": code("two", publish=True, aliases={"next": {"function_version": "3"}}), "plain": code()})
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 2 and "functions.f.aliases.next.function_version" in r.err and "function:f:3" in r.err, r
    assert sorted(product.show(LAB, "functions/f")["versions"]) == ["1"]
    assert invoke(product, "f")[0]["text"] == "one"
    # and of the version that the same change publishes
    doc["functions"]["f"]["aliases"]["next"]["function_version"] = "2"
    product.up(doc)
    assert invoke(product, "f", "next")[0]["text"] == "two"


@pytest.mark.asan
@pytest.mark.mutant("versions-restore")
def test_versions_outlive_the_daemon(product, code):
    product.up(lab({"f": code(publish=True), "ready": code("r", provisioned_concurrent_executions=1)}))
    product.up(lab({"f": code("two", publish=True), "ready": code("r", provisioned_concurrent_executions=1)}))
    os.kill(product.pid("sandboxd"), signal.SIGKILL)
    product.vpclab("daemon", "start", check=0)
    assert [invoke(product, "f", q)[0]["text"] for q in ("1", "2")] == ["one", "two"]
    wait_until(lambda: product.show(LAB, "functions/ready")["versions"]["1"]["provisioned_concurrency"]["status"] == "READY",
               "it is ready again")
    # a function that goes takes its versions along, and begins anew
    product.up(lab({"ready": code("r")}))
    product.up(lab({"f": code("three", publish=True), "ready": code("r")}))
    assert invoke(product, "f", "1")[0]["text"] == "three"
    assert product.show(LAB, "functions/ready")["versions"]["1"]["environments"] == 0


def test_what_the_api_tells_of_them(product, code):
    product.up(lab({"f": code(publish=True, provisioned_concurrent_executions=1, aliases={"old": {"function_version": "1"}})}))
    product.up(lab({"f": code("two", provisioned_concurrent_executions=1, aliases={"old": {"function_version": "1"}})}))
    top = "/2015-03-31/functions/f"
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert [v["Version"] for v in get(product, top + "/versions")[1]["Versions"]] == ["$LATEST", "1", "2"]
    assert {a["Name"]: a["FunctionVersion"] for a in get(product, top + "/aliases")[1]["Aliases"]} == {"old": "1", "live": "2"}
    assert get(product, top + "/aliases/old")[1]["AliasArn"] == arn + ":old"
    assert get(product, top + "/aliases/new")[0] == 404
    got = get(product, top + "?Qualifier=old")[1]["Configuration"]
    assert (got["Version"], got["FunctionArn"]) == ("1", arn + ":old")
    assert got["Environment"]["Variables"]["TEXT"] == "one"
    assert get(product, top + "/configuration")[1]["Version"] == "$LATEST"
    config = get(product, "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=live")[1]
    assert config["Status"] == "READY" and config["AllocatedProvisionedConcurrentExecutions"] == 1
    assert get(product, "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1")[0] == 404


def test_events_go_to_the_version_that_was_asked_for(product, code):
    more = {"async": {"on_success": "file:done"}, "publish": True, "aliases": {"prod": {"function_version": "1"}}}
    product.up(lab({"f": code(**more)}))
    product.up(lab({"f": code("two", **more)}))
    for qualifier in ("1", "2", "prod", "$LATEST"):
        status, headers, body = call(product, "f", b"{}", LAB, X_Amz_Invocation_Type="Event",
                                     path="/2015-03-31/functions/f/invocations?Qualifier=" + qualifier.replace("$", "%24"))
        assert status == 202
    drained(product, "f", lab=LAB)
    got = {r["requestContext"]["functionArn"].rsplit(":", 1)[1]: r for r in lines(product, "done", LAB)}
    assert {q: r["responsePayload"]["text"] for q, r in got.items()} == {"1": "one", "2": "two", "prod": "one", "$LATEST": "two"}
    assert got["prod"]["responseContext"]["executedVersion"] == "1"


@pytest.mark.asan
@pytest.mark.mutant("version-network")
def test_a_version_has_the_functions_network_or_none(product, code):
    doc = lab({"f": code(publish=True, role="vpc", vpc_config={"subnets": ["one"], "security_groups": ["fn"]})}, **{
        "roles": {"vpc": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {"main": {"cidr_block": "10.0.0.0/16", "security_groups": {"fn": {}},
                          "subnets": {"one": {"cidr_block": "10.0.1.0/24"}, "two": {"cidr_block": "10.0.2.0/24"}}}}})
    product.up(doc)
    product.up(having(doc, "two", "functions", "f", "environment", "TEXT"))
    assert invoke(product, "f", "1")[0]["text"] == "one"
    product.up(having(doc, ["two"], "functions", "f", "vpc_config", "subnets"))
    status, headers, body = call(product, "f", b"{}", LAB, path="/2015-03-31/functions/f/invocations?Qualifier=1")
    assert status == 501 and headers["x-amzn-errortype"] == "UnsupportedOperation"
    assert "published with another vpc_config" in json.loads(body)["Message"]
    assert invoke(product, "f", "3")[1] == "3"


# ---- provisioned concurrency

@pytest.mark.asan
@pytest.mark.ids("CC-3", kind="state")
@pytest.mark.mutant("provisioned", "provisioned-init", "live-alias")
def test_no_init_in_the_report_of_what_is_kept_ready(product, code):
    """A function with an init of 400 ms shows it in its first report, and one that is kept ready in none."""
    slow = {"environment": {"INIT": "0.4"}}
    product.up(lab({"cold": code(**slow), "ready": code("r", provisioned_concurrent_executions=2, **slow)}))
    assert product.show(LAB, "functions/ready")["versions"]["1"]["provisioned_concurrency"] == \
        {"requested": 2, "ready": 2, "status": "READY"}
    for function in ("cold", "ready"):
        for _ in range(2):
            invoke(product, function)
    got = [re.findall(r"Init Duration: ([\d.]+) ms", r) for r in reports(product, "cold")]
    assert len(got[0]) == 1 and float(got[0][0]) >= 400 and got[1] == []
    assert len(reports(product, "ready")) == 2 and not [r for r in reports(product, "ready") if "Init Duration" in r]
    body, version = invoke(product, "ready")
    assert (version, body["type"], body["arn"].rsplit(":", 1)[1]) == ("1", "provisioned-concurrency", "live")
    body, version = invoke(product, "ready", "$LATEST")
    assert (version, body["type"]) == ("$LATEST", "on-demand")


@pytest.mark.ids("CC-3", "INV-7", kind="state")
@pytest.mark.mutant("concurrency")
def test_beyond_what_is_kept_ready(product):
    """Two ready and one reserved besides: the third is a cold one, the fourth refused; and with none besides $LATEST is."""
    block = {"runtime": "exec", "command": ["bash", "-c", BLOCK], "timeout": 600}
    doc = lab({"f": {**block, "provisioned_concurrent_executions": 2, "reserved_concurrent_executions": 3}},
              internet={"hosts": {"gate": {"ip": "198.51.100.10"}}})
    product.up(doc)
    gate = Gate(product, LAB)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        try:
            answers = [pool.submit(call, product, "f", b"1\n", LAB) for _ in range(3)]
            wait_until(lambda: gate.blocked() == 3, "three handlers block", 30)
            status, headers, body = call(product, "f", b"1\n", LAB)
            assert (status, json.loads(body)["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
            gate.let_go()
            assert [a.result()[0] for a in answers] == [200] * 3
        finally:
            gate.close()
    product.up(having(doc, 2, "functions", "f", "reserved_concurrent_executions"))
    status, headers, body = call(product, "f", b"1\n", LAB, path="/2015-03-31/functions/f/invocations?Qualifier=%24LATEST")
    assert (status, json.loads(body)["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    assert call(product, "f", b"1\n", LAB, path="/2015-03-31/functions/f/invocations?Qualifier=live")[0] == 200


@pytest.mark.ids("CC-3", "EX-1", kind="state")
@pytest.mark.mutant("provisioned-failed")
def test_what_can_not_be_made_ready_is_told(product, code):
    """The change is in force, the function runs on demand, and its error is the runtime's own."""
    doc = lab({"f": code(provisioned_concurrent_executions=1, environment={"FAIL": "1"})})
    got = product.json("up", product.file(doc), "--timeout", "10")
    warning = [w for w in got["warnings"] if w["code"] == "FUNCTION_ERROR_INIT_FAILURE"]
    assert len(warning) == 1 and warning[0]["path"] == "functions.f.provisioned_concurrent_executions"
    assert product.show(LAB, "functions/f")["versions"]["1"]["provisioned_concurrency"]["status"] == "FAILED"
    config = get(product, "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=live")[1]
    assert (config["Status"], config["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    status, headers, body = call(product, "f", b"{}", LAB)
    assert headers["x-amz-function-error"] == "Unhandled" and json.loads(body)["errorType"] == "ValueError"
    assert "FUNCTION_ERROR_INIT_FAILURE" not in json.dumps(product.up(lab({"f": code(provisioned_concurrent_executions=1)})))
    assert invoke(product, "f")[0]["type"] == "provisioned-concurrency"


@pytest.mark.ids("CC-3", kind="state")
@pytest.mark.mutant("provisioned-idle")
def test_what_is_kept_ready_is_not_idle_for_too_long(product, code):
    """Others end after 300 s, here one."""
    product.up(lab({"cold": code(), "ready": code("r", provisioned_concurrent_executions=1)}, time_scale=300))
    invoke(product, "ready")
    invoke(product, "cold")
    wait_until(lambda: product.show(LAB, "functions/cold")["environments"] == 0, "the other one is gone")
    assert invoke(product, "ready")[0]["calls"] == 2 and invoke(product, "cold")[0]["calls"] == 1
    # and goes when it isn't asked for any more
    product.up(lab({"cold": code(), "ready": code("r")}, time_scale=300))
    wait_until(lambda: product.show(LAB, "functions/ready")["versions"]["1"]["environments"] == 0, "it is gone")
    assert invoke(product, "ready")[1] == "$LATEST"


# ---- streams of the log

@pytest.mark.asan
@pytest.mark.ids("LOG-1", kind="state")
@pytest.mark.mutant("log-streams")
def test_a_stream_is_an_environments(product, code):
    """Each has its own lines, whole, whatever others write between; the log has all of them."""
    product.up(lab({"f": code(publish=True)}))
    for qualifier in ("1", "$LATEST", "1", "$LATEST"):
        invoke(product, "f", qualifier)
    names = product.vpclab("logs", LAB, "f", "--streams", check=0).out.splitlines()
    assert len(names) == 2 and invoke(product, "f", "1")[0]["stream"] == names[0] and "/[$LATEST]" in names[1]
    whole = product.vpclab("logs", LAB, "f", check=0).out
    one, other = (product.vpclab("logs", LAB, "f", "--stream", name, check=0).out for name in names)
    assert tuple(s.count("START RequestId") for s in (one, other)) == (3, 2) and len(one) + len(other) == len(whole)
    assert set(re.findall(r"Version: (\S+)", one)) == {"1", "python3.11"}
    assert product.vpclab("logs", LAB, "f", "--stream", names[1].split("]")[1], check=0).out == other
    assert product.vpclab("logs", LAB, "f", "--stream", "nope").rc == 3
    assert product.vpclab("logs", LAB, "--streams").rc == 2
