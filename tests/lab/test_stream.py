# SPDX-License-Identifier: MIT
"""Responses that come in pieces: the Runtime API's streaming mode, and InvokeWithResponseStream."""
import json
import os
import shutil
import subprocess
import time

import pytest
from botocore.eventstream import EventStreamBuffer

from product import ROOT, Product, Unix

NPM = os.path.join(ROOT, "build", "npm")
CLIENTS = os.path.join(ROOT, "tests", "clients")


@pytest.fixture(scope="module")
def listening(tmp_path_factory):
    p = Product()
    code = tmp_path_factory.mktemp("code")
    subprocess.run(["cc", "-static", "-O1", "-D_GNU_SOURCE", "-o", code / "bootstrap", os.path.join(CLIENTS, "stream.c")], check=True)
    shutil.copy(os.path.join(CLIENTS, "handlers", "stream.js"), code)
    p.lab = {"version": 1, "lab": "stream", "functions": {
        "c": {"runtime": "provided.al2023", "code": str(code), "timeout": 15, "memory_size": 1769},
        "short": {"runtime": "provided.al2023", "code": str(code), "timeout": 1, "memory_size": 512},
        "node": {"runtime": "nodejs20.x", "handler": "stream.handler", "code": str(code), "timeout": 15, "memory_size": 1769},
        "whole": {"runtime": "exec", "command": ["cat"]},
        "fails": {"runtime": "exec", "command": ["false"]}}}
    try:
        p.vpclab("daemon", "start", "--listen", "127.0.0.1:0", check=0)
        p.up(p.lab)
        yield p
    finally:
        p.close()


def stream(p, function, event, **headers):
    """([(seconds since the request, event type, payload)], headers of the answer); every CRC was checked."""
    c = Unix(os.path.join(p.run, "sandboxd.sock"))
    began = time.monotonic()
    c.request("POST", "/2021-11-15/functions/%s/response-streaming-invocations" % function, json.dumps(event),
              {"X-Vpclab-Lab": "stream", "Content-Type": "application/json", **headers})
    r = c.getresponse()
    assert r.status == 200, r.read()
    buffer, got = EventStreamBuffer(), []
    while True:
        data = r.read1(65536)
        if not data:
            break
        buffer.add_data(data)
        got += [(time.monotonic() - began, e.headers[":event-type"], e.payload) for e in buffer]
    return got, r.headers


def text_of(got):
    return b"".join(payload for _, kind, payload in got if kind == "PayloadChunk").decode()


def complete_of(got):
    assert [kind for _, kind, _ in got].index("InvokeComplete") == len(got) - 1
    return json.loads(got[-1][2])


@pytest.mark.ids("INV-5", "RAPI-5", "EX-13")
@pytest.mark.mutant("stream-crc", "stream-pieces")
def test_pieces_come_as_they_are_written(listening):
    got, headers = stream(listening, "short", "hangs 3")
    first, last = got[0], got[-1]
    assert first[1:] == ("PayloadChunk", b"xxx") and last[0] - first[0] > 0.5, got
    assert complete_of(got)["ErrorCode"] == "Sandbox.Timedout"
    assert headers["Content-Type"] == "application/vnd.amazon.eventstream" and headers["X-Amz-Executed-Version"] == "$LATEST"
    got, _ = stream(listening, "node", {"case": "whole"}, **{"X-Amz-Log-Type": "Tail"})
    assert text_of(got) == "one two three" and set(complete_of(got)) == {"LogResult"}
    assert complete_of(stream(listening, "node", {"case": "empty"})[0]) == {}


@pytest.mark.ids("RAPI-5", "INV-5")
@pytest.mark.mutant("stream-trailers")
def test_an_error_in_the_middle(listening):
    got, _ = stream(listening, "c", "error 4")
    assert text_of(got) == "xxxx"
    assert complete_of(got) == {"ErrorCode": "Function.Mine", "ErrorDetails": '{"errorType":"Function.Mine","errorMessage":"m"}'}
    # whoever wants it whole gets the error alone
    r = listening.vpclab("invoke", "stream", "c", "--payload", '"error 4"')
    assert r.rc == 1 and json.loads(r.out) == {"errorType": "Function.Mine", "errorMessage": "m"}
    got, _ = stream(listening, "node", {"case": "throws_later"})
    assert text_of(got) == "some " and complete_of(got)["ErrorCode"] == "RangeError"
    assert json.loads(complete_of(got)["ErrorDetails"])["errorMessage"] == "in the middle"


@pytest.mark.ids("RAPI-5")
@pytest.mark.mutant("stream-breaks")
def test_a_response_that_breaks_off_is_an_error(listening):
    got, _ = stream(listening, "c", "breaks 2")
    assert text_of(got) == "xx" and complete_of(got)["ErrorCode"] == "Runtime.TruncatedResponse"
    # the environment goes on
    assert text_of(stream(listening, "c", "pieces 2 2")[0]) == "xxxx"
    assert listening.vpclab("invoke", "stream", "c", "--payload", '"mode"', check=0).out == '"400"'


@pytest.mark.ids("INV-4", "INV-5")
@pytest.mark.mutant("stream-limit", "stream-rate")
def test_how_much_and_how_fast(listening):
    began = time.monotonic()
    got, _ = stream(listening, "c", "pieces 8 1048576")
    took = time.monotonic() - began
    assert len(text_of(got)) == 8 << 20 and complete_of(got) == {}
    assert took > 0.9, "2 MB past the first 6 MB in %.2f s" % took
    # gathered, it may have no more than any other
    r = listening.vpclab("invoke", "stream", "c", "--payload", '"pieces 7 1048576"')
    assert json.loads(r.out)["errorType"] == "Function.ResponseSizeTooLarge"
    assert listening.vpclab("invoke", "stream", "c", "--payload", '"pieces 5 2"', check=0).out == "x" * 10


@pytest.mark.ids("INV-5")
def test_functions_that_answer_whole(listening):
    got, _ = stream(listening, "whole", {"a": 1})
    assert text_of(got) == '{"a": 1}' and complete_of(got) == {}
    got, _ = stream(listening, "fails", {})
    assert text_of(got) == "" and complete_of(got)["ErrorCode"] == "Runtime.ExitError"
    r = listening.vpclab("invoke", "stream", "none", "--stream")
    assert r.rc == 3 and "Function not found" in r.err


@pytest.mark.ids("INV-5")
def test_the_command_line_prints_as_it_comes(listening):
    r = listening.vpclab("invoke", "stream", "node", "--stream", "--log", "--payload", '{"case": "whole"}', check=0)
    assert r.out == "one two three" and "START RequestId" in r.err
    r = listening.vpclab("invoke", "stream", "node", "--stream", "--payload", '{"case": "throws_later"}', check=1)
    assert r.out == "some " and "vpclab: invoke node: RangeError: {" in r.err
    p = subprocess.Popen([os.path.join(listening.build, "vpclab"), "--run-dir", listening.run, "invoke", "stream", "short", "--stream",
                          "--payload", '"hangs 3"'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(3) == b"xxx" and p.poll() is None
    assert b"Sandbox.Timedout" in p.communicate()[1] and p.returncode == 1


@pytest.mark.ids("INV-5")
def test_javascript(listening):
    if not os.path.isdir(os.path.join(NPM, "node_modules", "@aws-sdk", "client-lambda")):
        pytest.skip("the JavaScript SDK comes from npm, which 'make deps' could not reach")
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "NPM_FOLDER": NPM, **listening.json("env", "stream")}
    p = subprocess.run(["/usr/bin/node", os.path.join(CLIENTS, "stream.mjs"), 'node={"case":"pipe"}', 'c="error 2"'], env=env,
                       capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    whole, failed = json.loads(p.stdout)
    assert (whole["status"], whole["version"], whole["text"], whole["code"], whole["log"]) == (200, "$LATEST", "abc", None, "START")
    assert (failed["text"], failed["code"]) == ("xx", "Function.Mine") and "errorMessage" in failed["details"]
