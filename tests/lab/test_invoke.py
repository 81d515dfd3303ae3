# SPDX-License-Identifier: MIT
"""Functions: the Invoke API, warm reuse, time-outs, crashes, the Runtime API of provided runtimes, logs."""
import base64
import json
import os
import re
import subprocess
import textwrap

import pytest

from product import Unix, having

BOOTSTRAP = textwrap.dedent("""\
    #!/usr/bin/python3 -S
    import http.client, json, os, sys, time
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    count = 0
    def call(method, path, body=None, **headers):
        api.request(method, "/2018-06-01/runtime" + path, body, headers)
        r = api.getresponse()
        return r.status, dict(r.getheaders()), r.read()
    open("/tmp/inits", "a").write("i")
    while True:
        status, headers, body = call("GET", "/invocation/next")
        rid = headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.loads(body)
        count += 1
        what = event.get("do")
        if what == "exit":
            sys.exit(event.get("status", 0))
        if what == "hang":
            time.sleep(60)
        if what == "error":
            call("POST", "/invocation/%s/error" % rid, json.dumps({"errorMessage": "no", "errorType": "Mine.Error",
                 "stackTrace": []}), **{"Lambda-Runtime-Function-Error-Type": "Mine.Error"})
            continue
        if what == "protocol":
            out = [call("POST", "/invocation/nonsense/response", "1"), call("POST", "/invocation/%s/response" % rid, "%s")]
            first = [out[0][0], json.loads(out[0][2])["errorType"]]
            second = call("POST", "/invocation/%s/response" % rid, "again")
            open("/tmp/protocol", "w").write(json.dumps([first, out[1][0], json.loads(out[1][2]), second[0]]))
            continue
        if what == "big":
            call("POST", "/invocation/%s/response" % rid, '"' + "x" * 6291600 + '"')
            continue
        if what == "env":
            result = {k: v for k, v in os.environ.items()}
        elif what == "look":
            result = {"inits": os.path.exists("/tmp/inits") and open("/tmp/inits").read(),
                      "protocol": os.path.exists("/tmp/protocol") and json.load(open("/tmp/protocol")),
                      "uid": os.getuid(), "cwd": os.getcwd(), "pid": os.getpid(),
                      "headers": headers, "root": sorted(os.listdir("/"))}
        else:
            result = {"count": count, "event": event}
        sys.stderr.write("line of the function\\n"); sys.stderr.flush()
        call("POST", "/invocation/%s/response" % rid, json.dumps(result))
    """)


@pytest.fixture(scope="module")
def lab(product):
    code = os.path.join(product.files, "code")
    os.makedirs(code, exist_ok=True)
    with open(os.path.join(code, "bootstrap"), "w") as f:
        f.write(BOOTSTRAP)
    os.chmod(os.path.join(code, "bootstrap"), 0o755)
    return {
        "version": 1, "lab": "invoke",
        "functions": {
            "echo": {"runtime": "exec", "command": ["cat"]},
            "fails": {"runtime": "exec", "command": ["sh", "-c", "echo to stderr >&2; exit 3"]},
            "slow": {"runtime": "exec", "command": ["sleep", "30"], "timeout": 1},
            "py": {"runtime": "provided.al2023", "code": "code", "handler": "x.y", "timeout": 2, "memory_size": 256,
                   "environment": {"MINE": "yes"}},
            "nothing": {"runtime": "exec", "command": ["true"]},
        },
    }


@pytest.fixture
def up(product, lab):
    product.up(lab)
    return product


def call(product, function, body, lab="invoke", path=None, **headers):
    c = Unix(os.path.join(product.run, "sandboxd.sock"))
    c.request("POST", path or "/2015-03-31/functions/%s/invocations" % function, body,
              {"X-Vpclab-Lab": lab, **{k.replace("_", "-"): v for k, v in headers.items()}})
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, {k.lower(): v for k, v in r.getheaders()}, data


@pytest.mark.asan
@pytest.mark.ids("INV-1", "INV-2", "INV-3")
def test_the_answer_as_it_came(up):
    status, headers, body = call(up, "echo", b'{"a": [1, 2.50]}')
    assert (status, body) == (200, b'{"a": [1, 2.50]}')
    assert headers["x-amz-executed-version"] == "$LATEST" and "x-amz-function-error" not in headers
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-amzn-requestid"])
    assert call(up, "nothing", b"{}")[2] == b"null"
    assert call(up, "echo", b"{}", X_Amz_Invocation_Type="DryRun")[0] == 204


@pytest.mark.ids("INV-3", "LOG-1")
def test_log_tail(up):
    status, headers, body = call(up, "py", b"{}", X_Amz_Log_Type="Tail")
    log = base64.b64decode(headers["x-amz-log-result"]).decode()
    rid = headers["x-amzn-requestid"]
    assert "START RequestId: %s Version: $LATEST\n" % rid in log
    assert "line of the function\n" in log and "END RequestId: %s\n" % rid in log
    assert re.search(r"REPORT RequestId: %s\tDuration: [0-9.]+ ms\tBilled Duration: [0-9]+ ms\tMemory Size: 256 MB\t"
                     r"Max Memory Used: [0-9]+ MB\t" % rid, log), log


@pytest.mark.ids("INV-4", "INV-6")
def test_what_is_refused(up):
    status, headers, body = call(up, "echo", b"{nonsense")
    assert status == 400 and headers["x-amzn-errortype"].startswith("InvalidRequestContentException")
    assert json.loads(body)["Message" if "Message" in json.loads(body) else "message"].startswith(
        "Could not parse request body into json")
    status, headers, body = call(up, "missing", b"{}")
    assert status == 404 and headers["x-amzn-errortype"].startswith("ResourceNotFoundException")
    assert "Function not found: arn:aws:lambda:us-east-1:123456789012:function:missing" in body.decode()
    status, headers, body = call(up, "echo", b'"' + b"x" * 6291456 + b'"')
    assert status == 413 and headers["x-amzn-errortype"].startswith("RequestEntityTooLargeException")
    assert call(up, "echo", b"{}", lab="nosuch")[0] == 404


@pytest.mark.asan
@pytest.mark.ids("EX-6", "EX-2")
@pytest.mark.mutant("timed-out")
def test_time_out(up):
    status, headers, body = call(up, "slow", b"{}")
    got = json.loads(body)
    assert status == 200 and headers["x-amz-function-error"] == "Unhandled"
    assert got == {"errorType": "Sandbox.Timedout", "errorMessage":
                   "RequestId: %s Error: Task timed out after 1.00 seconds" % headers["x-amzn-requestid"]}


@pytest.mark.ids("EX-7")
def test_exec_status_is_a_function_error(up):
    status, headers, body = call(up, "fails", b"{}")
    assert headers["x-amz-function-error"] == "Unhandled"
    assert json.loads(body) == {"errorType": "Runtime.ExitError", "errorMessage":
                                "RequestId: %s Error: Runtime exited with error: exit status 3" %
                                headers["x-amzn-requestid"]}
    assert "to stderr" in up.vpclab("logs", "invoke", "fails").out
    r = up.vpclab("invoke", "invoke", "fails")
    assert r.rc == 1 and json.loads(r.out)["errorType"] == "Runtime.ExitError"


@pytest.mark.asan
@pytest.mark.ids("EX-4", "EX-13", "RAPI-1", "RAPI-2")
@pytest.mark.mutant("bootstrap-place", "rapi-deadline")
def test_warm_reuse(product, lab):
    product.up(having(lab, "warm", "lab"))
    counts = [json.loads(call(product, "py", b'{"n": %d}' % n, lab="warm")[2])["count"] for n in range(3)]
    assert counts == [1, 2, 3]
    look = json.loads(call(product, "py", b'{"do": "look"}', lab="warm")[2])
    assert look["inits"] == "i" and look["cwd"] == "/var/task" and look["uid"] != 0
    h = {k.lower(): v for k, v in look["headers"].items()}
    assert h["lambda-runtime-invoked-function-arn"] == "arn:aws:lambda:us-east-1:123456789012:function:py"
    assert int(h["lambda-runtime-deadline-ms"]) > 1600000000000 and h["content-type"] == "application/json"


@pytest.mark.ids("EX-5", "EX-7")
@pytest.mark.parametrize("event,error", [
    ({"do": "exit", "status": 7}, "Runtime exited with error: exit status 7"),
    ({"do": "exit"}, "Runtime exited without providing a reason"),
    ({"do": "hang"}, "Task timed out after 2.00 seconds")])
def test_a_crash_resets_the_environment(product, lab, event, error):
    """Processes gone, counter back to 1, /tmp kept, init again inside the invoke."""
    product.up(having(lab, "crash", "lab"))
    assert json.loads(call(product, "py", b"{}", lab="crash")[2])["count"] == 1
    status, headers, body = call(product, "py", json.dumps(event), lab="crash")
    assert status == 200 and headers["x-amz-function-error"] == "Unhandled" and error in json.loads(body)["errorMessage"]
    assert json.loads(call(product, "py", b"{}", lab="crash")[2])["count"] == 1
    assert json.loads(call(product, "py", b'{"do": "look"}', lab="crash")[2])["inits"] == "ii"
    product.vpclab("down", "crash", check=0)


@pytest.mark.asan
@pytest.mark.ids("RAPI-1", "RAPI-3", "RAPI-4", "INV-2", "INV-4")
@pytest.mark.mutant("rapi-accepted", "rapi-id", "function-error")
def test_runtime_api_errors(product, lab):
    product.up(having(lab, "rapi", "lab"))
    status, headers, body = call(product, "py", b'{"do": "error"}', lab="rapi")
    assert headers["x-amz-function-error"] == "Unhandled"
    assert json.loads(body)["errorType"] == "Mine.Error" and json.loads(body)["errorMessage"] == "no"
    call(product, "py", b'{"do": "protocol"}', lab="rapi")
    look = json.loads(call(product, "py", b'{"do": "look"}', lab="rapi")[2])
    assert look["protocol"] == [[400, "InvalidRequestID"], 202, {"status": "OK"}, 400]
    status, headers, body = call(product, "py", b'{"do": "big"}', lab="rapi")
    assert json.loads(body)["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.ids("EX-12")
def test_environment_variables(up):
    env = json.loads(call(up, "py", b'{"do": "env"}')[2])
    assert env["MINE"] == "yes" and env["_HANDLER"] == "x.y" and env["AWS_REGION"] == "us-east-1"
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == "py" and env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert env["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST" and env["LAMBDA_TASK_ROOT"] == "/var/task"
    assert env["TZ"] == ":UTC" and "AWS_EXECUTION_ENV" not in env and "_X_AMZN_TRACE_ID" not in env


@pytest.mark.ids("EX-4")
def test_concurrent_calls_get_environments_of_their_own(up):
    runs = [subprocess.Popen([up.build + "/vpclab", "--run-dir", up.run, "invoke", "invoke", "echo", "--payload",
                              '{"n": %d}' % n], stdout=subprocess.PIPE, text=True) for n in range(8)]
    assert [json.loads(r.communicate(timeout=30)[0]) for r in runs] == [{"n": n} for n in range(8)]


def test_an_edited_folder_is_a_change(product, lab):
    product.up(having(lab, "edit", "lab"))
    assert json.loads(call(product, "py", b"{}", lab="edit")[2])["count"] == 1
    assert product.up(having(lab, "edit", "lab"))["changed"] is False
    path = os.path.join(product.files, "code", "bootstrap")
    try:
        with open(path, "a") as f:
            f.write("# edited\n")
        done = product.up(having(lab, "edit", "lab"))
        assert [(c["action"], c["kind"], c["name"]) for c in done["changes"]] == [("update", "function", "py")]
        assert json.loads(call(product, "py", b"{}", lab="edit")[2])["count"] == 1
    finally:
        with open(path, "w") as f:
            f.write(BOOTSTRAP)


def test_a_function_sees_little_of_the_host(product, lab):
    doc = having(lab, {"spy": {"runtime": "exec", "timeout": 10, "command": [
        "/usr/bin/python3", "-c", textwrap.dedent("""\
            import json, os, socket, ctypes
            got = {"procs": len([p for p in os.listdir("/proc") if p.isdigit()]), "uid": os.getuid()}
            for path in ("/root", "/home", "/etc/shadow", "/run"):
                try: got[path] = bool(os.listdir(path) if os.path.isdir(path) else open(path).read())
                except OSError: got[path] = False
            for name, what in (("write", lambda: open("/usr/x", "w")), ("task", lambda: open("/var/task/x", "w")),
                               ("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
                               ("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
                               ("tmp", lambda: open("/tmp/x", "w"))):
                try: what(); got[name] = True
                except OSError: got[name] = False
            libc = ctypes.CDLL(None, use_errno=True)
            got["userns"] = libc.unshare(0x10000000) == 0
            got["mount"] = libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0
            caps = [l.split()[1] for l in open("/proc/self/status") if l.startswith(("CapEff", "CapPrm", "CapBnd"))]
            got["caps"] = sum(int(c, 16) for c in caps)
            print(json.dumps(got))""")]}}, "functions")
    product.up(having(doc, "spy", "lab"))
    got = json.loads(call(product, "spy", b"{}", lab="spy")[2])
    assert got.pop("uid") >= 0x60000000 and got.pop("procs") < 5 and got.pop("tmp") is True
    assert not any(got.values()), got


def test_memory_limit_ends_the_environment(product, lab):
    doc = having(lab, {"hog": {"runtime": "exec", "memory_size": 128, "timeout": 20, "command": [
        "/usr/bin/python3", "-c", "x = bytearray(600 << 20); print(1)"]},
        "echo": {"runtime": "exec", "command": ["cat"]}}, "functions")
    product.up(having(doc, "hog", "lab"))
    status, headers, body = call(product, "hog", b"{}", lab="hog")
    assert headers.get("x-amz-function-error") == "Unhandled", body
    assert call(product, "echo", b"1", lab="hog")[2] == b"1"


@pytest.mark.asan
def test_code_from_a_zip(product, lab):
    import stat
    import zipfile
    path = os.path.join(product.files, "code.zip")
    with zipfile.ZipFile(path, "w") as z:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = (stat.S_IFREG | 0o755) << 16
        z.writestr(entry, BOOTSTRAP)
    doc = having(having(lab, "zipped", "lab"), "code.zip", "functions", "py", "code")
    product.up(doc)
    assert json.loads(call(product, "py", b"{}", lab="zipped")[2])["count"] == 1
    product.vpclab("down", "zipped", check=0)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("../escape", "x")
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 2 and "code.zip" in r.err + "code.zip", r
    assert not [x for x in product.json("ls") if x["lab"] == "zipped"]
    assert not os.path.exists(os.path.join(product.files, "escape"))


def test_code_that_is_not_there(product, lab):
    r = product.vpclab("up", product.file(having(having(lab, "none", "lab"), "nowhere", "functions", "py", "code")))
    assert r.rc == 2 and "nowhere" in r.err, r


REFUSES = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/9001
body='{"errorType":"Mine.Own","errorMessage":"not today"}'
printf 'POST /2018-06-01/runtime/init/error HTTP/1.1\\r\\nHost: x\\r\\nLambda-Runtime-Function-Error-Type: Mine.Own\\r\\n' >&3
printf 'Content-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s' ${#body} "$body" >&3
read -r line <&3
exit 1
"""


@pytest.mark.ids("EX-1", "RAPI-1")
@pytest.mark.mutant("init-again")
def test_a_runtime_that_says_why_and_goes_at_once(product, tmp_path):
    """Its error is the function's, not its end, which comes while it is being reset: of forty about two were told so."""
    (tmp_path / "bootstrap").write_text(REFUSES)
    (tmp_path / "bootstrap").chmod(0o755)
    names = ["f%d" % i for i in range(20)]
    product.up({"version": 1, "lab": "invoke", "functions": {
        name: {"runtime": "provided", "code": str(tmp_path), "memory_size": 1769} for name in names}})
    for name in names * 2:
        status, headers, body = call(product, name, b"{}")
        assert json.loads(body) == {"errorType": "Mine.Own", "errorMessage": "not today"}
    log = product.vpclab("logs", "invoke", "f0").out
    assert log.count("Phase: init\tStatus: error\tError Type: Mine.Own") == 1
    assert log.count("Phase: invoke\tStatus: error\tError Type: Mine.Own") == 2
