# SPDX-License-Identifier: MIT
"""AWS's own clients, unmodified, with nothing set but what "vpclab env" prints: boto3, the aws command line, the JavaScript SDK."""
import datetime
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import urllib.parse

import pytest

from product import ROOT, Product

NPM = os.path.join(ROOT, "build", "npm")
LAB = {
    "version": 1, "lab": "clients", "region": "eu-west-1",
    "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
    "vpcs": {"main": {"cidr_block": "10.0.0.0/16", "subnets": {"s": {"cidr_block": "10.0.1.0/24"}}}},
    "functions": {
        "echo": {"runtime": "exec", "command": ["sh", "-c", "echo a line >&2; cat"], "memory_size": 192,
                 "environment": {"STAGE": "test"}, "role": "fn",
                 "vpc_config": {"subnets": ["s"], "security_groups": ["default"]}},
        "fails": {"runtime": "exec", "command": ["false"]},
        "odd_name-1": {"runtime": "exec", "command": ["cat"]},
    },
}
PYTHON = """\
import base64, json, boto3, botocore
c = boto3.client("lambda", endpoint_url=__import__("os").environ["AWS_ENDPOINT_URL"],
                 config=botocore.config.Config(retries={"max_attempts": 0}))
r = c.invoke(FunctionName="echo", Payload=json.dumps({"a": "\\u00e4"}).encode(), LogType="Tail")
f = c.invoke(FunctionName="fails")
def refused(**k):
    try:
        c.invoke(**k)
    except botocore.exceptions.ClientError as e:
        return {"name": e.response["Error"]["Code"], "status": e.response["ResponseMetadata"]["HTTPStatusCode"],
                "message": e.response["Error"]["Message"]}
print(json.dumps({
    "echo": json.loads(r["Payload"].read()), "status": r["StatusCode"], "version": r["ExecutedVersion"],
    "log": base64.b64decode(r["LogResult"]).decode(), "failed": f["FunctionError"],
    "error": json.loads(f["Payload"].read())["errorType"],
    "dry": c.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"],
    "got": c.get_function(FunctionName="echo")["Configuration"]["FunctionArn"],
    "memory": c.get_function_configuration(FunctionName="arn:aws:lambda:eu-west-1:123456789012:function:echo")["MemorySize"],
    "list": [x["FunctionName"] for x in c.list_functions()["Functions"]],
    "none": refused(FunctionName="none"), "bad": refused(FunctionName="echo", Payload=b"{")}))
"""


@pytest.fixture(scope="module")
def listening():
    p = Product()
    try:
        p.vpclab("daemon", "start", "--listen", "127.0.0.1:0", check=0)
        yield p
    finally:
        p.close()


@pytest.fixture
def variables(listening):
    listening.up(LAB)
    yield listening.json("env", "clients")
    listening.vpclab("down", "--all")


def run(variables, *argv, check=0):
    """A program that knows nothing but those variables: no files of the user's, no proxy."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "NPM_FOLDER": NPM, **variables}
    p = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert p.returncode == check, p.stdout + p.stderr
    return p.stdout if check == 0 else p.stderr


def answers(got):
    assert "a line" in got.pop("log")
    assert got == {
        "echo": {"a": "ä"}, "status": 200, "version": "$LATEST", "failed": "Unhandled", "error": "Runtime.ExitError",
        "dry": 204, "got": "arn:aws:lambda:eu-west-1:123456789012:function:echo", "memory": 192,
        "list": ["echo", "fails", "odd_name-1"],
        "none": {"name": "ResourceNotFoundException", "status": 404,
                 "message": "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:none:$LATEST"},
        "bad": {"name": "InvalidRequestContentException", "status": 400, "message": got["bad"]["message"]}}
    assert got["bad"]["message"].startswith("Could not parse request body into json: ")


@pytest.mark.ids("INV-1", "INV-2", "INV-3", "INV-6")
def test_boto3(variables):
    answers(json.loads(run(variables, "/usr/bin/python3", "-c", PYTHON)))


@pytest.mark.ids("INV-1", "INV-2", "INV-3", "INV-6")
def test_javascript(variables):
    if not os.path.isdir(os.path.join(NPM, "node_modules", "@aws-sdk", "client-lambda")):
        pytest.skip("the JavaScript SDK comes from npm, which 'make deps' could not reach")
    answers(json.loads(run(variables, "/usr/bin/node", os.path.join(ROOT, "tests", "clients", "invoke.mjs"))))


@pytest.mark.ids("INV-1", "INV-2", "INV-3", "INV-6")
def test_aws_command_line(variables, tmp_path):
    aws = ["/usr/bin/aws", "--endpoint-url", variables["AWS_ENDPOINT_URL"], "--no-cli-pager", "lambda"]
    out = str(tmp_path / "out")
    got = json.loads(run(variables, *aws, "invoke", "--function-name", "echo", "--payload", '{"a":"ä"}', "--cli-binary-format",
                         "raw-in-base64-out", out))
    with open(out) as f:
        assert json.load(f) == {"a": "ä"}
    assert got == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    err = run(variables, *aws, "invoke", "--function-name", "none", out, check=254)
    assert "(ResourceNotFoundException)" in err and "function:none:$LATEST" in err
    got = json.loads(run(variables, *aws, "get-function", "--function-name", "echo"))["Configuration"]
    assert got["Environment"] == {"Variables": {"STAGE": "test"}} and got["VpcConfig"]["SubnetIds"][0].startswith("subnet-")
    assert got["VpcConfig"]["VpcId"].startswith("vpc-") and got["State"] == "Active" and got["Timeout"] == 3


# ---- who isn't let in

def signed(variables, method, path, body=b"", query="", age=0, secret=None, region=None, service="lambda", change=None):
    """A request signed as AWS describes it, by our own hand, so that each part can be wrong."""
    endpoint = urllib.parse.urlsplit(variables["AWS_ENDPOINT_URL"])
    at = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age)).strftime("%Y%m%dT%H%M%SZ")
    region = region or variables["AWS_REGION"]
    scope = "%s/%s/%s/aws4_request" % (at[:8], region, service)
    canonical = "\n".join([method, urllib.parse.quote(path, safe="/-_.~"), query, "host:" + endpoint.netloc, "x-amz-date:" + at,
                           "", "host;x-amz-date", hashlib.sha256(body).hexdigest()])
    key = ("AWS4" + (secret or variables["AWS_SECRET_ACCESS_KEY"])).encode()
    for word in [at[:8], region, service, "aws4_request"]:
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (at, scope, hashlib.sha256(canonical.encode()).hexdigest())
    headers = {"X-Amz-Date": at, "Authorization": "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-date, Signature=%s"
               % (variables["AWS_ACCESS_KEY_ID"], scope, hmac.new(key, text.encode(), hashlib.sha256).hexdigest())}
    c = http.client.HTTPConnection(endpoint.hostname, endpoint.port, timeout=30)
    c.request(method, path + ("?" + query if query else ""), change if change is not None else body, headers)
    r = c.getresponse()
    return r.status, r.getheader("x-amzn-ErrorType"), r.read()


INVOKE = "/2015-03-31/functions/echo/invocations"


@pytest.mark.mutant("sigv4")
@pytest.mark.parametrize("wrong,error", [
    ({}, None),
    ({"secret": "x" * 40}, "InvalidSignatureException"),
    ({"change": b"[2]"}, "InvalidSignatureException"),
    ({"age": 1200}, "InvalidSignatureException"),
    ({"region": "us-east-1"}, "InvalidSignatureException"),
    ({"service": "s3"}, "InvalidSignatureException"),
], ids=["right", "secret", "body", "old", "region", "service"])
def test_who_signs_wrongly_is_nobody(variables, wrong, error):
    status, kind, body = signed(variables, "POST", INVOKE, b"[1]", **wrong)
    assert (status, kind, body if not error else None) == ((403, error, None) if error else (200, None, b"[1]"))


def test_an_escaped_name_is_signed_as_it_is_sent(variables):
    assert signed(variables, "POST", "/2015-03-31/functions/odd%5Fname-1%3A%24LATEST/invocations", b"7")[::2] == (200, b"7")
    assert signed(variables, "POST", INVOKE, b"7", query="Qualifier=%24LATEST")[::2] == (200, b"7")


def test_a_port_is_no_door_for_anything_else(listening, variables):
    """Neither without a signature, nor with one that is good for Lambda; no header names another lab."""
    endpoint = urllib.parse.urlsplit(variables["AWS_ENDPOINT_URL"])
    for method, path, headers, error in [
            ("POST", INVOKE, {}, "MissingAuthenticationTokenException"),
            ("POST", INVOKE, {"X-Vpclab-Lab": "clients"}, "MissingAuthenticationTokenException"),
            ("DELETE", "/v1/labs/clients", {}, "MissingAuthenticationTokenException"),
            ("POST", INVOKE, {"Authorization": "Bearer x"}, "IncompleteSignatureException"),
            ("POST", INVOKE, {"Authorization": "AWS4-HMAC-SHA256 Credential=none/x/y/z/aws4_request"}, "UnrecognizedClientException")]:
        c = http.client.HTTPConnection(endpoint.hostname, endpoint.port, timeout=30)
        c.request(method, path, "1", headers)
        r = c.getresponse()
        assert (r.status, r.getheader("x-amzn-ErrorType")) == (403, error), r.read()
    assert signed(variables, "DELETE", "/v1/labs/clients")[:2] == (404, "UnknownOperationException")
    assert listening.show("clients")["lab"] == "clients"


def test_a_lab_that_is_made_again_has_another_secret(listening, variables):
    first = variables["AWS_SECRET_ACCESS_KEY"]
    listening.vpclab("daemon", "stop", check=0)
    listening.vpclab("daemon", "start", "--listen", endpoint_of(variables), check=0)
    assert listening.json("env", "clients")["AWS_SECRET_ACCESS_KEY"] == first     # a restart is nothing
    listening.vpclab("down", "clients", check=0)
    assert signed(variables, "POST", INVOKE, b"1")[1] == "UnrecognizedClientException"
    listening.up(LAB)
    assert listening.json("env", "clients")["AWS_SECRET_ACCESS_KEY"] != first
    assert signed(variables, "POST", INVOKE, b"1")[1] == "InvalidSignatureException"


def endpoint_of(variables):
    return urllib.parse.urlsplit(variables["AWS_ENDPOINT_URL"]).netloc


def test_what_is_refused(fresh):
    for where, says in [("0.0.0.0:0", "loopback"), ("10.0.0.1:80", "loopback"), ("nonsense", "ADDRESS:PORT"),
                        ("127.0.0.1:x", "ADDRESS:PORT")]:
        r = fresh.vpclab("daemon", "start", "--listen", where)
        assert r.rc == 5 and says in r.err, r.err
    fresh.start()
    r = fresh.vpclab("daemon", "start", "--listen", "127.0.0.1:0")
    assert r.rc == 5 and "stop it first" in r.err
    fresh.up(LAB)
    assert "AWS_ENDPOINT_URL" not in fresh.json("env", "clients")
