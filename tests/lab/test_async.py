# SPDX-License-Identifier: MIT
"""Asynchronous invocation: what is kept, when it runs again, and where its outcome goes."""
import collections
import http.server
import json
import os
import subprocess
import threading
import urllib.parse

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from product import in_netns, wait_until
from test_invoke import call

OK = {"runtime": "exec", "command": ["cat"]}
BAD = {"runtime": "exec", "command": ["sh", "-c", "cat >/dev/null; echo tried >&2; exit 3"]}
SCALE = 600     # a minute is 0.1 s


def lines(product, name, lab="async"):
    try:
        with open(os.path.join(product.run, "state", "labs", lab, name)) as f:
            return [json.loads(line) for line in f]
    except FileNotFoundError:
        return []


def send(product, function, event, lab="async"):
    status, headers, body = call(product, function, json.dumps(event).encode(), lab, X_Amz_Invocation_Type="Event")
    assert (status, body) == (202, b""), (status, body)
    return headers["x-amzn-requestid"]


def drained(product, *functions, lab="async"):
    wait_until(lambda: not any(product.show(lab, "functions/" + f)["queued_events"] for f in functions), "an empty queue", 30)


def up(product, functions, **more):
    return product.up({"version": 1, "lab": "async", "time_scale": SCALE, "functions": functions, **more})


@pytest.mark.asan
@pytest.mark.ids("AS-1", "AS-4", "INV-2", "INV-3")
@pytest.mark.mutant("async-retries", "async-dead-letter")
def test_success_and_failure(product):
    up(product, {
        "ok": {**OK, "async": {"on_success": "file:done", "on_failure": "file:failed"}},
        "bad": {**BAD, "async": {"on_success": "file:done", "on_failure": "file:failed"}, "dead_letter": "file:dead"},
        "once": {**BAD, "async": {"maximum_retry_attempts": 0, "on_failure": "file:once"}},
    })
    good = send(product, "ok", {"a": [1, 2]})
    bad = send(product, "bad", {"b": "x\ny"})
    once = send(product, "once", 1)
    drained(product, "ok", "bad", "once")
    done, failed, dead = (lines(product, n) for n in ("done", "failed", "dead"))
    assert len(done) == len(failed) == len(dead) == 1
    assert done[0]["version"] == "1.0" and done[0]["timestamp"].endswith("Z")
    assert done[0]["requestContext"] == {"requestId": good, "condition": "Success", "approximateInvokeCount": 1,
                                         "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:ok:$LATEST"}
    assert done[0]["requestPayload"] == done[0]["responsePayload"] == {"a": [1, 2]}
    assert done[0]["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    context = failed[0]["requestContext"]
    assert (context["requestId"], context["condition"], context["approximateInvokeCount"]) == (bad, "RetriesExhausted", 3)
    assert failed[0]["responseContext"]["functionError"] == "Unhandled"
    assert failed[0]["responsePayload"]["errorType"] == "Runtime.ExitError" and failed[0]["requestPayload"] == {"b": "x\ny"}
    assert dead[0]["message"] == {"b": "x\ny"} and dead[0]["attributes"]["RequestID"] == bad
    assert dead[0]["attributes"]["ErrorCode"] == 200 and "exited" in dead[0]["attributes"]["ErrorMessage"]
    assert lines(product, "once")[0]["requestContext"]["approximateInvokeCount"] == 1
    # three attempts of one request, the second after a minute, the third after two more
    log = product.vpclab("logs", "async", "bad").out
    assert log.count("START RequestId: %s " % bad) == 3, log
    assert product.vpclab("logs", "async", "once").out.count("START RequestId: %s " % once) == 1


@pytest.mark.ids("AS-2", "AS-7", "AS-4")
@pytest.mark.mutant("async-age", "async-zero")
def test_what_cannot_run_waits_and_grows_old(product):
    # a minute of age is 6 s by a scale of 10
    up(product, {
        "zero": {**OK, "reserved_concurrent_executions": 0, "async": {"on_failure": "file:zero"}},
        "old": {**BAD, "async": {"maximum_event_age_in_seconds": 60, "on_failure": "file:old"}},
    }, concurrent_executions=1000)
    zero = send(product, "zero", {})
    old = send(product, "old", {})
    drained(product, "zero", "old")
    record, = lines(product, "zero")
    assert record["requestContext"]["requestId"] == zero and record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0 and "responseContext" not in record
    # its next attempt, a minute later, would be too late
    record, = lines(product, "old")
    assert record["requestContext"]["requestId"] == old and record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 1


@pytest.mark.ids("AS-2")
def test_a_throttled_event_waits_for_its_turn(product):
    up(product, {"f": {"runtime": "exec", "command": ["sh", "-c", "sleep 0.3; cat"], "timeout": 30,
                       "reserved_concurrent_executions": 1, "async": {"on_success": "file:turns"}}})
    ids = [send(product, "f", n) for n in range(4)]
    drained(product, "f")
    records = lines(product, "turns")
    assert sorted(r["requestContext"]["requestId"] for r in records) == sorted(ids)
    # waiting is no attempt
    assert {r["requestContext"]["approximateInvokeCount"] for r in records} == {1}
    assert product.vpclab("logs", "async", "f").out.count("START RequestId") == 4


@pytest.mark.ids("AS-4", "AS-8")
@pytest.mark.mutant("async-old-code")
def test_to_another_function_and_by_todays_code(product):
    doc = {"first": {**OK, "async": {"on_success": "function:second"}},
           "second": {**OK, "async": {"on_success": "file:second"}},
           "late": {**BAD, "async": {"on_success": "file:late"}}}
    product.up({"version": 1, "lab": "async", "time_scale": 60, "functions": doc})
    rid = send(product, "first", {"n": 1})
    late = send(product, "late", {"n": 2})
    wait_until(lambda: lines(product, "second"), "the record of the second")
    record, = lines(product, "second")
    assert record["requestPayload"]["requestContext"]["requestId"] == rid and record["requestPayload"]["requestPayload"] == {"n": 1}
    # its first attempt failed; the next one, after a minute, finds the code of then
    wait_until(lambda: "END RequestId: " + late in product.vpclab("logs", "async", "late").out, "the first attempt")
    doc["late"] = {**doc["late"], **OK}
    product.up({"version": 1, "lab": "async", "time_scale": 60, "functions": doc})
    drained(product, "late")
    record, = lines(product, "late")
    assert record["requestContext"]["requestId"] == late and record["requestContext"]["approximateInvokeCount"] == 2


@pytest.mark.ids("AS-3")
@pytest.mark.mutant("async-twice")
def test_twice_on_purpose(product):
    up(product, {"half": {**OK, "async": {"duplicate_rate": 0.5, "on_success": "file:half"}},
                 "none": {**OK, "async": {"on_success": "file:none"}}})
    half, none = ([send(product, f, n) for n in range(6)] for f in ("half", "none"))
    drained(product, "half", "none")
    for ids, name, twice in ((half, "half", 3), (none, "none", 0)):
        counts = collections.Counter(r["requestContext"]["requestId"] for r in lines(product, name))
        assert set(counts) == set(ids) and sorted(counts.values()) == [1] * (6 - twice) + [2] * twice, name


@pytest.mark.ids("INV-4", "INV-2")
@pytest.mark.mutant("async-limit")
def test_limits_and_the_command(product):
    up(product, {"f": {**OK, "async": {"on_success": "file:big"}}})
    most = b'"' + b"x" * (1048576 - 2) + b'"'
    assert call(product, "f", most, "async", X_Amz_Invocation_Type="Event")[0] == 202
    status, headers, body = call(product, "f", most + b" ", "async", X_Amz_Invocation_Type="Event")
    assert status == 413 and "Request must be smaller than 1048576 bytes" in body.decode()
    assert call(product, "f", most + b" ", "async")[0] == 200
    assert call(product, "f", b"{no", "async", X_Amz_Invocation_Type="Event")[0] == 400
    r = product.vpclab("invoke", "async", "f", "--event", "--payload", '{"by": "hand"}', "--header", check=0)
    assert r.out == "" and "status: 202" in r.err
    drained(product, "f")
    assert [len(str(x["requestPayload"])) for x in lines(product, "big")] in ([1048574, 14], [14, 1048574])


class Endpoint:
    """SQS and SNS as far as a message needs them, on a host of the lab; a request counts if its signature is right."""

    def __init__(self, netns, address, port, secret, fails=0):
        self.messages, self.wrong, self.fails, self.secret = [], [], fails, secret
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.fails:
                    outer.fails -= 1
                    self.send_response(503)
                elif outer.signed(self, body):
                    outer.messages.append((self.path, dict(urllib.parse.parse_qsl(body.decode()))))
                    self.send_response(200)
                else:
                    outer.wrong.append(dict(self.headers))
                    self.send_response(403)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                del args

        self.server = in_netns(netns, lambda: http.server.ThreadingHTTPServer((address, port), Handler))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def signed(self, request, body):
        given = request.headers["Authorization"]
        scope = given.split("Credential=")[1].split(",")[0].split("/")
        names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        check = AWSRequest(method="POST", url="http://%s%s" % (request.headers["Host"], request.path), data=body,
                           headers={n: request.headers[n] for n in names})
        check.context["timestamp"] = request.headers["X-Amz-Date"]
        auth = SigV4Auth(Credentials(scope[0], self.secret), scope[4 - 1], scope[2])
        text = auth.string_to_sign(check, auth.canonical_request(check))
        return auth.signature(text, check) == given.split("Signature=")[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.ids("AS-4", "AS-6")
@pytest.mark.mutant("async-dead-letter")
def test_queues_and_topics_of_the_labs_internet(product):
    queue, topic = "http://queues.example.com:9324/123456789012/q", "arn:aws:sns:us-east-1:123456789012:t"
    up(product, {
        "ok": {**OK, "async": {"on_success": "sqs:" + queue}},
        "bad": {**BAD, "async": {"maximum_retry_attempts": 0, "on_failure": "sns:http://198.51.100.7:9324/" + topic},
                "dead_letter": "sqs:" + queue},
        "nowhere": {**OK, "async": {"on_success": "sqs:http://127.0.0.1:1/1/q", "maximum_event_age_in_seconds": 60}},
    }, internet={"hosts": {"aws": {"ip": "198.51.100.7", "dns_names": ["queues.example.com"]}}})
    secret = dict(line.replace("export ", "").split("=", 1) for line in
                  product.vpclab("env", "async", check=0).out.splitlines() if "=" in line)["AWS_SECRET_ACCESS_KEY"].strip("'\"")
    endpoint = Endpoint(product.netns("async", "aws"), "198.51.100.7", 9324, secret, fails=1)
    try:
        good, bad = send(product, "ok", {"a": 1}), send(product, "bad", {"b": 2})
        send(product, "nowhere", {})
        drained(product, "ok", "bad")
        assert not endpoint.wrong, endpoint.wrong
        by = {(m["Action"], path): m for path, m in endpoint.messages}
        assert len(endpoint.messages) == 3, endpoint.messages
        records = [m for p, m in endpoint.messages if m["Action"] == "SendMessage" and "MessageAttribute.1.Name" not in m]
        assert json.loads(records[0]["MessageBody"])["requestContext"]["requestId"] == good
        assert records[0]["QueueUrl"] == queue
        publish = by["Publish", "/"]
        assert publish["TopicArn"] == topic and json.loads(publish["Message"])["requestContext"]["requestId"] == bad
        letter, = [m for p, m in endpoint.messages if "MessageAttribute.1.Name" in m]
        assert json.loads(letter["MessageBody"]) == {"b": 2}
        attributes = {letter["MessageAttribute.%d.Name" % i]: (letter["MessageAttribute.%d.Value.DataType" % i],
                                                               letter["MessageAttribute.%d.Value.StringValue" % i])
                      for i in (1, 2, 3)}
        assert attributes["RequestID"] == ("String", bad) and attributes["ErrorCode"] == ("Number", "200")
        assert "exited" in attributes["ErrorMessage"][1]
    finally:
        endpoint.close()
    # what is no host of the lab is never asked: not even the machine's own loopback
    drained(product, "nowhere")
    with open(os.path.join(product.run, "sandboxd.log")) as f:
        assert "127.0.0.1 is no host of the lab's internet" in f.read()


@pytest.mark.ids("AS-1")
@pytest.mark.mutant("async-lost")
def test_events_survive_a_restart(product):
    up(product, {"f": {**BAD, "async": {"on_failure": "file:survivors"}}})
    product.vpclab("down", "async", check=0)
    product.up({"version": 1, "lab": "async", "time_scale": 60,
                "functions": {"f": {**BAD, "async": {"on_failure": "file:survivors"}}}})
    rid = send(product, "f", {"n": 1})
    wait_until(lambda: "END RequestId: " + rid in product.vpclab("logs", "async", "f").out, "the first attempt")
    product.kill("sandboxd")
    product.vpclab("daemon", "start", check=0)
    assert product.show("async", "functions/f")["queued_events"] == 1
    drained(product, "f")
    record, = lines(product, "survivors")
    assert record["requestContext"]["requestId"] == rid and record["requestContext"]["approximateInvokeCount"] == 3


@pytest.mark.mutant("async-hops")
def test_a_circle_ends(product):
    """Functions that are each other's destination: no more than 16 events come from one."""
    up(product, {f: {"runtime": "exec", "command": ["true"], "async": {"on_success": "function:" + g}}
                 for f, g in (("ping", "pong"), ("pong", "ping"))})
    send(product, "ping", {})

    def runs():
        return sum(product.vpclab("logs", "async", f).out.count("START RequestId") for f in ("ping", "pong"))
    wait_until(lambda: runs() >= 17, "it went round", 30)
    for _ in range(2):  # an event is in neither queue while it is looked at
        drained(product, "ping", "pong")
    assert runs() == 17


@pytest.mark.mutant("async-file-age")
def test_a_full_disk_loses_nothing(product):
    """There is no room where the lab's files are, for longer than an event may grow old: its line comes when there is."""
    folder = os.path.join(product.run, "state", "labs", "async")
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    try:
        up(product, {"f": {**OK, "async": {"maximum_event_age_in_seconds": 60, "on_success": "file:full"}}})
        with open(os.path.join(folder, "junk"), "wb", 0) as f:
            with pytest.raises(OSError):
                while True:
                    f.write(b"x" * 4096)
        send(product, "f", "y" * 5000)
        wait_until(lambda: failures(product) >= 2, "it was tried twice")
        os.unlink(os.path.join(folder, "junk"))
        drained(product, "f")
        assert [r["requestPayload"] for r in lines(product, "full")] == ["y" * 5000]
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def failures(product):
    with open(os.path.join(product.run, "sandboxd.log"), errors="replace") as f:
        return f.read().count("delivery to full failed: No space left on device")


@pytest.mark.mutant("async-torn")
def test_a_torn_line(product):
    """What a kill or a loss of power left of a line is cut off before the next one."""
    up(product, {"f": {**OK, "async": {"on_success": "file:torn"}}})
    send(product, "f", 1)
    drained(product, "f")
    with open(os.path.join(product.run, "state", "labs", "async", "torn"), "a") as f:
        f.write('{"version":"1.0","times')
    send(product, "f", 2)
    drained(product, "f")
    assert [r["requestPayload"] for r in lines(product, "torn")] == [1, 2]


@pytest.mark.mutant("async-dropped")
def test_down_says_what_it_drops(product):
    product.up({"version": 1, "lab": "async", "functions": {"f": BAD}})
    rid = send(product, "f", {})
    wait_until(lambda: "END RequestId: " + rid in product.vpclab("logs", "async", "f").out, "the first attempt")
    down = product.vpclab("down", "async", check=0)
    assert "1 accepted event is dropped" in down.err, down
