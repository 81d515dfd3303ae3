# SPDX-License-Identifier: MIT
"""What the Invoke API takes and gives besides the payload: client context, qualifier, the log's tail, refusals by kind."""
import base64
import json
import os

import pytest

from product import Unix

HANDLER = """\
def handler(event, context):
    c = context.client_context
    return c and {"custom": c.custom, "env": c.env, "title": c.client.app_title}
"""


@pytest.fixture
def up(product, tmp_path):
    (tmp_path / "a.py").write_text(HANDLER)
    product.up({"version": 1, "lab": "api", "functions": {
        "py": {"runtime": "python3.11", "handler": "a.handler", "code": str(tmp_path), "timeout": 10, "memory_size": 512},
        "talks": {"runtime": "exec", "command": ["sh", "-c", "seq 1 4000 >&2; echo 1"], "timeout": 10},
        "echo": {"runtime": "exec", "command": ["cat"]}}})
    return product


def call(product, function, body=b"{}", query="", **headers):
    c = Unix(os.path.join(product.run, "sandboxd.sock"))
    c.request("POST", "/2015-03-31/functions/%s/invocations%s" % (function, query), body,
              {"X-Vpclab-Lab": "api", **{k.replace("_", "-"): v for k, v in headers.items()}})
    r = c.getresponse()
    return r.status, r.headers, r.read()


def refused(answer):
    status, headers, body = answer
    return status, headers["x-amzn-ErrorType"], json.loads(body)["message"]


@pytest.mark.ids("INV-1", "INV-2", "INV-3", "INV-4", "INV-6", "INV-8", "RAPI-2")
@pytest.mark.mutant("client-context", "context-limit", "request-limit", "request-json", "dry-run", "executed-version", "media-type")
def test_what_comes_with_a_request(up):
    said = json.dumps({"custom": {"a": "b"}, "env": {"c": "d"}, "client": {"app_title": "t"}})
    status, headers, body = call(up, "py", X_Amz_Client_Context=base64.b64encode(said.encode()).decode())
    assert json.loads(body) == {"custom": {"a": "b"}, "env": {"c": "d"}, "title": "t"}
    assert status == 200 and headers["X-Amz-Executed-Version"] == "$LATEST" and "X-Amz-Log-Result" not in headers
    assert json.loads(call(up, "py")[2]) is None
    long = refused(call(up, "echo", X_Amz_Client_Context="a" * 3584))
    assert refused(call(up, "echo", X_Amz_Client_Context="e30"))[:2] == (400, "InvalidRequestContentException")
    assert long[:2] == (400, "InvalidParameterValueException") and "3583" in long[2]
    # qualifiers; the unknown is not found, by its name and qualifier
    assert call(up, "echo", b"1", "?Qualifier=$LATEST")[2] == b"1" and call(up, "echo:$LATEST", b"1")[2] == b"1"
    assert refused(call(up, "echo", b"1", "?Qualifier=7")) == (
        404, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:123456789012:function:echo:7")
    assert call(up, "echo", X_Amz_Invocation_Type="DryRun")[0] == 204
    assert refused(call(up, "echo", X_Amz_Invocation_Type="Odd"))[:2] == (400, "InvalidParameterValueException")
    assert refused(call(up, "echo", b"{"))[:2] == (400, "InvalidRequestContentException")
    assert refused(call(up, "echo", Content_Type="text/xml"))[:2] == (415, "UnsupportedMediaTypeException")
    assert refused(call(up, "echo", b'"' + b"x" * 6291455 + b'"')) == (
        413, "RequestEntityTooLargeException", "Request must be smaller than 6291456 bytes for the InvokeFunction operation")
    assert call(up, "echo", b'"' + b"x" * 6291454 + b'"')[0] == 200


@pytest.mark.ids("INV-3", "LOG-1")
@pytest.mark.mutant("log-end")
def test_the_logs_tail(up):
    headers = call(up, "talks", X_Amz_Log_Type="Tail")[1]
    log = base64.b64decode(headers["X-Amz-Log-Result"]).decode()
    rid = headers["x-amzn-RequestId"]
    assert len(log) == 4096 and "\n4000\nEND RequestId: %s\nREPORT RequestId: %s\t" % (rid, rid) in log
    assert "X-Amz-Log-Result" not in call(up, "talks")[1]
