# SPDX-License-Identifier: MIT
"""Extensions beside a runtime, the phases of an environment's life and their limits."""
import json
import os
import re
import textwrap
import time

import pytest

from product import wait_until

LAB = "extensions"

# an extension: registers, says in the log what it is told; its behaviour is chosen by files beside it
EXTENSION = """\
    #!/usr/bin/python3 -S
    import http.client, json, os, signal, sys, time
    name = os.path.basename(sys.argv[0])
    plan = json.load(open("/opt/plans/" + name))
    def say(*what):
        print(name, *what, flush=True)
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    def call(method, path, body=None, **headers):
        api.request(method, "/2020-01-01/extension" + path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = api.getresponse()
        return r.status, dict(r.getheaders()), json.loads(r.read() or "null")
    if plan.get("exit_first"):
        sys.exit(plan["exit_first"])
    time.sleep(plan.get("before", 0))
    status, headers, body = call("POST", "/register", json.dumps({"more": [1, {"a": "]"}], "events": plan["events"]}),
                                 Lambda_Extension_Name=name)
    say("registered", status, json.dumps(body))
    me = headers["Lambda-Extension-Identifier"]
    if plan.get("init_error"):
        say("told", call("POST", "/init/error", json.dumps({"errorMessage": "not today", "errorType": "Extension.NotToday"}),
                         Lambda_Extension_Identifier=me, Lambda_Extension_Function_Error_Type="Extension.NotToday")[0])
        time.sleep(60)
    time.sleep(plan.get("init", 0))
    while True:
        status, headers, event = call("GET", "/event/next", Lambda_Extension_Identifier=me)
        at = "early" if event["deadlineMs"] > time.time() * 1000 else "late"
        left = "+%.1f" % (event["deadlineMs"] / 1000 - time.time())
        say("event", event["eventType"], event.get("shutdownReason") or event["invokedFunctionArn"].split(":")[-1], at,
            len(headers["Lambda-Extension-Event-Identifier"]), left)
        if event["eventType"] == "SHUTDOWN":
            time.sleep(plan.get("shutdown", 0))
            say("leaves")
            sys.exit(0)
        if plan.get("crash"):
            sys.exit(plan["crash"])
        if plan.get("exit_error"):
            call("POST", "/exit/error", json.dumps({"errorMessage": "enough", "errorType": "Extension.Enough"}),
                 Lambda_Extension_Identifier=me, Lambda_Extension_Function_Error_Type="Extension.Enough")
            time.sleep(60)
        time.sleep(plan.get("work", 0))
        say("done")
    """
HANDLER = """\
    import http.client, json, os, signal, sys, threading, time
    started = time.time()
    open("/tmp/inits", "a").write("i")
    inits = len(open("/tmp/inits").read())
    def stops(*args):
        print("runtime gets SIGTERM", flush=True)
        time.sleep(float(os.environ.get("STOP_FOR", "0")))
        print("runtime stopped", flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, stops)
    api = lambda: http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    def extension(method, path, body, **headers):
        c = api()
        c.request(method, "/2020-01-01/extension" + path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        return c, r.status, dict(r.getheaders()), json.loads(r.read() or "null")
    tried = []
    def internal():
        tried.append(extension("POST", "/register", '{"events": ["SHUTDOWN"]}', Lambda_Extension_Name="inner")[1:4:2])
        tried.append(extension("POST", "/register", '{"events": ["NONSENSE"]}', Lambda_Extension_Name="inner")[1:4:2])
        tried.append(extension("POST", "/register", '{"events": [}', Lambda_Extension_Name="inner")[1:4:2])
        tried.append(extension("POST", "/register", '{"events": []}')[1:4:2])
        c, status, headers, body = extension("POST", "/register", ' {"events" :[ "INVOKE" ] }', Lambda_Extension_Name="inner",
                                             Lambda_Extension_Accept_Feature="accountId")
        tried.append((status, body))
        me = headers["Lambda-Extension-Identifier"]
        tried.append(extension("POST", "/register", '{"events": []}', Lambda_Extension_Name="inner")[1:4:2])
        tried.append(extension("GET", "/event/next", None)[1:4:2])
        tried.append(extension("GET", "/event/next", None, Lambda_Extension_Identifier="x")[1:4:2])
        tried.append(extension("GET", "/event/next", None, Lambda_Extension_Identifier=me[::-1])[1:4:2])
        tried.append(extension("POST", "/init/error", "{}", Lambda_Extension_Identifier=me)[1:4:2])
        def loop():
            while True:
                c, status, headers, event = extension("GET", "/event/next", None, Lambda_Extension_Identifier=me)
                print("inner event", event["eventType"], flush=True)
        threading.Thread(target=loop, daemon=True).start()
    if os.environ.get("INTERNAL"):
        internal()
    if os.environ.get("FAIL_INIT") and (os.environ["FAIL_INIT"] == "always" or inits < 2):
        sys.exit(int(os.environ.get("FAIL_STATUS", "9")))
    time.sleep(float(os.environ.get("SLOW_INIT", "0")) if inits < 2 else 0)
    kept = bytearray(int(os.environ.get("KEEP", "0")))
    count = 0
    def handler(event, context):
        global count
        count += 1
        if event == "exit":
            os._exit(5)
        if event == "hang":
            time.sleep(60)
        if event == "late":
            c, status, headers, body = extension("POST", "/register", '{"events": []}', Lambda_Extension_Name="tardy")
            return [status, body]
        if event == "eat":
            return len(bytearray(60000000))
        if event == "burn":
            wall, cpu = time.time(), time.process_time()
            while time.time() < wall + 0.5:
                pass
            return (time.process_time() - cpu) / (time.time() - wall)
        return {"count": count, "inits": inits, "tried": tried}
    """


@pytest.fixture(scope="module", autouse=True)
def files(product):
    def write(path, text, mode=0o644):
        path = os.path.join(product.files, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(textwrap.dedent(text))
        os.chmod(path, mode)
    write("code/index.py", HANDLER)
    return write


def layer(files, name, mode=0o755, **extensions):
    """A layer with extensions of these plans."""
    for e, plan in extensions.items():
        files("%s/extensions/%s" % (name, e), EXTENSION, mode)
        files("%s/plans/%s" % (name, e), json.dumps(plan))
    return name


def function(*layers, **more):
    return {"runtime": "python3.11", "handler": "index.handler", "code": "code", "layers": list(layers), "timeout": 10, "memory_size": 1769,
            **more}


def up(product, f, **more):
    # a lab of its own: nothing of another's environments, and its log begins anew
    product.vpclab("down", LAB)
    return product.up({"version": 1, "lab": LAB, "functions": {"f": f}, **more})


def invoke(product, payload=None):
    return json.loads(product.vpclab("invoke", LAB, "f", "--payload", json.dumps(payload)).out)


def log(product, pattern=""):
    return [line for line in product.vpclab("logs", LAB, "f").out.splitlines() if re.search(pattern, line)]


def logged(product, pattern, n=1):
    return wait_until(lambda: len(found := log(product, pattern)) >= n and found, "the log has %d of %s" % (n, pattern))


def leave(product, f):
    """Another document's: idle environments of the old one leave."""
    product.up({"version": 1, "lab": LAB, "functions": {"f": {**f, "environment": {**f.get("environment", {}), "NEXT": "1"}}}})


@pytest.mark.ids("RAPI-6", "EX-1", "EX-4")
@pytest.mark.mutant("extension-ready")
def test_external_extensions(product, files):
    """They register before the runtime starts, are told of each invocation they asked for, and the answer doesn't wait for them."""
    f = function(layer(files, "two", both={"events": ["INVOKE", "SHUTDOWN"], "work": 0.3, "init": 0.2}, quiet={"events": []}))
    up(product, f)
    assert invoke(product)["count"] == 1
    assert invoke(product)["count"] == 2 or len(log(product, "^INIT_START")) == 2
    logged(product, "^both done", 2)
    logged(product, "^REPORT", 2)
    lines = log(product)
    text = "\n".join(lines)
    for name, events in ("both", "INVOKE, SHUTDOWN"), ("quiet", ""):
        assert "EXTENSION\tName: %s\tState: Ready\tEvents: [%s]" % (name, events) in text
        assert '%s registered 200 {"functionName": "f", "functionVersion": "$LATEST", "handler": "index.handler"}' % name in text
    assert len(log(product, r"^both event INVOKE f early 36 \+")) == 2 and not log(product, "^quiet event")
    # the function's duration has the extension's work in it; the first init its init
    durations = [float(re.search(r"\tDuration: ([0-9.]+) ms", line).group(1)) for line in log(product, "^REPORT")]
    assert all(d >= 290 for d in durations), durations
    assert float(re.search(r"Init Duration: ([0-9.]+)", text).group(1)) >= 200
    at = {w: next(i for i, line in enumerate(lines) if line.startswith(w)) for w in ("both done", "REPORT", "both event INVOKE")}
    assert at["both event INVOKE"] < at["both done"] < at["REPORT"]


@pytest.mark.ids("EX-3")
@pytest.mark.mutant("extension-shutdown")
def test_the_shutdown_phase(product, files):
    """SIGTERM to the runtime, then SHUTDOWN to who asked for it, with what is left of 2000 ms; else an end at once."""
    f = function(layer(files, "bye", told={"events": ["SHUTDOWN"], "shutdown": 0.2}, untold={"events": ["INVOKE"]}))
    up(product, f)
    assert invoke(product)["count"] == 1
    leave(product, f)
    logged(product, "^told leaves")
    lines = log(product, "^runtime|^told event|^told leaves|^untold event S")
    assert [re.sub(r"\+(1|2\.0).*", "1", line) for line in lines] == [
        "runtime gets SIGTERM", "runtime stopped", "told event SHUTDOWN spindown early 36 1", "told leaves"], lines
    wait_until(lambda: product.show(LAB)["functions"]["f"]["environments"] == 0, "it is gone")
    # without extensions there is no such phase
    f = function()
    up(product, f)
    assert invoke(product)["count"] == 1
    leave(product, f)
    assert invoke(product)["count"] == 1
    assert not log(product, "SIGTERM")


@pytest.mark.ids("EX-3")
@pytest.mark.mutant("extension-shutdown-limit")
def test_limits_of_the_shutdown_phase(product, files):
    """300 ms of the runtime's, 2000 ms in all: who takes longer is killed."""
    f = function(layer(files, "slowbye", told={"events": ["SHUTDOWN"], "shutdown": 30}), environment={"STOP_FOR": "30"})
    up(product, f)
    assert invoke(product)["count"] == 1
    leave(product, f)
    began = time.monotonic()
    event = logged(product, "^told event SHUTDOWN spindown")[0]
    assert 0.8 < float(event.rsplit("+", 1)[1]) <= 1.7, event
    pids = environment_pids()
    assert pids
    wait_until(lambda: not environment_pids(), "it was killed", 15)
    assert time.monotonic() - began >= 1.5
    assert not log(product, "^told leaves|^runtime stopped")


def environment_pids():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid) as e, open("/proc/%s/cmdline" % pid) as c:
                if "AWS_LAMBDA_FUNCTION_NAME=f\0" in e.read() and "/opt/extensions/told" in c.read():
                    found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.ids("EX-3", "EX-5", "EX-2")
@pytest.mark.mutant("shutdown-reason")
@pytest.mark.parametrize("event,reason,error", [("hang", "timeout", "Sandbox.Timedout"), ("exit", "failure", "Runtime.ExitError")])
def test_extensions_are_told_of_a_reset(product, files, event, reason, error):
    f = function(layer(files, "reset", told={"events": ["SHUTDOWN"]}), timeout=2)
    up(product, f)
    assert invoke(product)["inits"] == 1
    assert invoke(product, event)["errorType"] == error
    logged(product, "^told event SHUTDOWN %s early" % reason)
    # /tmp is kept, all else begins anew
    got = invoke(product)
    assert (got["inits"], got["count"]) == (2, 1)
    assert len(log(product, "^told registered")) == 2 and len(log(product, "^told leaves")) == 1 and not log(product, "SIGTERM")


@pytest.mark.ids("EX-2", "RAPI-6")
@pytest.mark.mutant("extension-time")
def test_the_functions_time_is_its_extensions_too(product, files):
    f = function(layer(files, "works", works={"events": ["INVOKE", "SHUTDOWN"], "work": 30}), timeout=1)
    up(product, f)
    assert invoke(product)["count"] == 1    # whoever asked needn't wait
    logged(product, "Task timed out after 1.00 seconds")
    assert re.search(r"\tDuration: 1[0-9]{3}\.[0-9]+ ms.*Status: timeout", logged(product, "^REPORT")[0])


@pytest.mark.ids("RAPI-6")
@pytest.mark.mutant("internal-shutdown")
def test_an_internal_extension(product, files):
    up(product, function(environment={"INTERNAL": "1"}))
    tried = invoke(product)["tried"]
    assert [(s, b.get("errorType")) for s, b in tried] == [
        (403, "ShutdownEventNotSupportedForInternalExtension"), (403, "Extension.InvalidEventType"), (403, "InvalidRequestFormat"),
        (403, "Extension.InvalidExtensionName"), (200, None), (403, "Extension.InvalidExtensionState"),
        (403, "Extension.MissingExtensionIdentifier"), (403, "Extension.InvalidExtensionIdentifier"),
        (403, "Extension.UnknownExtensionIdentifier"), (403, "Extension.MissingHeader")]
    assert tried[4][1] == {"functionName": "f", "functionVersion": "$LATEST", "handler": "index.handler", "accountId": "123456789012"}
    logged(product, "^inner event INVOKE")
    status, body = invoke(product, "late")
    assert (status, body["errorType"]) == (403, "Extension.RegistrationClosed")


@pytest.mark.ids("RAPI-6", "EX-1")
@pytest.mark.mutant("extension-crash")
@pytest.mark.parametrize("plan,error,message", [
    ({"events": [], "exit_first": 3}, "Extension.Crash", "exit status 3"),
    ({"events": ["INVOKE"], "crash": 4}, "Extension.Crash", "exit status 4"),
    ({"events": [], "init_error": True}, "Extension.NotToday", "not today"),
    ({"events": ["INVOKE"], "exit_error": True}, "Extension.Enough", "enough")])
def test_an_extension_that_fails(product, files, plan, error, message):
    # the handler waits, so that an invocation runs when the extension fails
    up(product, function(layer(files, "fails", fails=plan), timeout=8))
    got = invoke(product, "hang")
    assert got["errorType"] == error and message in got["errorMessage"], got
    up(product, function(layer(files, "works2", fails={"events": ["INVOKE"]}), timeout=8))
    assert invoke(product)["count"] == 1


@pytest.mark.ids("RAPI-6", "EX-1")
@pytest.mark.mutant("extensions-limit")
def test_at_most_ten_and_each_can_be_run(product, files):
    ten = {"e%d" % i: {"events": []} for i in range(10)}
    up(product, function(layer(files, "eleven", **ten, last={"events": []})))
    got = invoke(product)
    assert got["errorType"] == "Extension.LaunchError" and "more than 10" in got["errorMessage"], got
    up(product, function(layer(files, "plain", mode=0o644, no={"events": []})))
    got = invoke(product)
    assert got["errorType"] == "Extension.LaunchError" and "no: Permission denied" in got["errorMessage"], got
    up(product, function(layer(files, "ten", **ten)))
    assert invoke(product)["count"] == 1


@pytest.mark.ids("EX-1")
@pytest.mark.mutant("init-again")
def test_a_failed_init_is_tried_again_in_the_invocation(product):
    up(product, function(environment={"FAIL_INIT": "once"}))
    assert invoke(product) == {"count": 1, "inits": 2, "tried": []}
    assert [re.sub(r"[0-9.]+ ms", "", line) for line in log(product, "^INIT_REPORT")] == [
        "INIT_REPORT Init Duration: \tPhase: init\tStatus: error\tError Type: Runtime.ExitError"]
    assert not log(product, "^REPORT.*Init Duration")
    up(product, function(environment={"FAIL_INIT": "always"}))
    got = invoke(product)
    assert got["errorType"] == "Runtime.ExitError" and "exit status 9" in got["errorMessage"]


@pytest.mark.ids("EX-1")
@pytest.mark.mutant("init-limit")
def test_an_init_has_ten_seconds(product):
    """What takes longer is stopped, and begins anew in the function's own time."""
    up(product, function(environment={"SLOW_INIT": "11"}))
    assert invoke(product)["inits"] == 2
    assert "Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout" in log(product, "^INIT_REPORT")[0]


@pytest.mark.ids("EX-7", "EX-9")
@pytest.mark.mutant("function-memory")
def test_more_memory_than_it_has(product):
    """The kernel ends it: AWS's words, and the next invocation begins anew."""
    # most of it in the init, which has all of a processor
    up(product, function(memory_size=128, environment={"KEEP": "80000000"}, timeout=30))
    assert invoke(product)["inits"] == 1
    got = invoke(product, "eat")
    assert re.fullmatch(r"RequestId: [0-9a-f-]{36} Error: Runtime exited with error: signal: killed", got["errorMessage"]), got
    assert got["errorType"] == "Runtime.ExitError"
    report = log(product, "^REPORT")[-1]
    assert "Memory Size: 128 MB\tMax Memory Used: 128 MB\t" in report and "Status: error\tError Type: Runtime.ExitError" in report
    assert invoke(product)["inits"] == 2


@pytest.mark.ids("EX-9")
@pytest.mark.mutant("cpu-share")
def test_processor_by_memory(product):
    """128 MB have 7 % of one; 1769 MB all of it, if nobody else wants it."""
    up(product, function(memory_size=128))
    invoke(product)
    assert invoke(product, "burn") < 0.25
    up(product, function(memory_size=1769))
    invoke(product)
    wait_until(lambda: invoke(product, "burn") > 0.3, "it gets more", 30)
