# SPDX-License-Identifier: MIT
"""
AWS's published runtime client for Node.js (npm's aws-lambda-ric, unchanged) and ours run the same handlers; payloads, function
errors and log lines are the same but for request ids, times and figures.

What may differ, and is taken out before comparing: frames of a stack that are the client's own or Node's; the path of the client
where Node names it (require's "Require stack"); the line "Executing ..." that AWS's starts with; the status that a client ends
with after an error of its init phase (129 and 1); the runtime's name in INIT_START, since one runs as provided.al2023.
A handler marked for streaming in a way that isn't known ends AWS's with a ReferenceError of its own, ours with the error
that it means to tell (Runtime.MalformedStreamingHandler): no test compares that.
"""
import base64
import concurrent.futures
import json
import os
import re
import shutil

import pytest

from product import ROOT

RIC = os.path.join(ROOT, "build/npm/node_modules/aws-lambda-ric")
HANDLERS = os.path.join(ROOT, "tests/clients/handlers")
MORE = {
    "broken.js": "exports.handler = async ( => 1;\n",
    "missing.js": "require('no-such-module');\n",
    "throws.js": "throw Object.assign(new TypeError('at load'), { code: 'E_LOAD', more: [1] });\n",
    "throws_text.js": "throw 'text';\n",
    "esm.mjs": "export const handler = async (event) => ({ esm: event, top: await Promise.resolve(import.meta.url.slice(-7)) });\n",
    "default.mjs": "export default { handler: async () => 1 };\n",
    "common.cjs": "exports.handler = async () => require('path').basename(__filename);\n",
    "module/package.json": '{"type": "module"}\n',
    "module/inner.js": "export const handler = async () => 'a module by its package';\n",
    "node_modules/pack/index.js": "exports.handler = async () => 'a package';\n",
}
LOADED = ["nohandler", "index.nothing", "index.text", "index.nested.deep.handler", "index.", "../index.handler", "broken.handler",
          "missing.handler", "none-such.handler", "throws.handler", "throws_text.handler", "esm.handler", "default.handler", "common.handler",
          "module/inner.handler", "pack.handler"]


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A folder with all handlers, and with AWS's client beside them."""
    if not os.path.exists(os.path.join(RIC, "dist/rapid-client.node")):
        pytest.skip("aws-lambda-ric isn't in build/npm: make deps could not get it from npm, or not build it (build/npm/ric.log)")
    code = tmp_path_factory.mktemp("code")
    for name in os.listdir(HANDLERS):
        shutil.copy(os.path.join(HANDLERS, name), code)
    for name, text in MORE.items():
        os.makedirs(os.path.dirname(code / name), exist_ok=True)
        (code / name).write_text(text)
    for part in ("bin", "dist"):
        shutil.copytree(os.path.join(RIC, part), code / "ric" / part)
    (code / "bootstrap").write_text("#!/bin/sh\nexec /usr/bin/node /var/task/ric/bin/index.mjs \"$_HANDLER\"\n")
    os.chmod(code / "bootstrap", 0o755)
    return str(code)


@pytest.fixture()
def labs(product, code):
    """Two labs whose functions differ in nothing but the client."""
    for lab, runtime in (("ours", "nodejs18.x"), ("awss", "provided.al2023")):
        functions = {h: {"runtime": runtime, "handler": h, "code": code, "timeout": 20, "memory_size": 512}
                     for h in ["index.handler", "stream.handler", *LOADED]}
        product.up({"version": 1, "lab": lab, "functions": {name_of(h): f for h, f in functions.items()}})
    return "ours", "awss"


def name_of(handler):
    return re.sub(r"[^a-z]", "-", handler.replace("../", "above-").rstrip("."))


def is_clients(line):
    return re.search(r"/var/runtime/|/var/task/ric/|\bnode:|at process\.|at new Promise|at Array\.|at listOnTimeout", line)


def plain(o):
    """JSON without the frames that are no function's."""
    if isinstance(o, dict):
        return {k: [f for f in v if not is_clients(f)] if k in ("trace", "stack", "stackTrace") and isinstance(v, list) else plain(v)
                for k, v in o.items()}
    return [plain(v) for v in o] if isinstance(o, list) else o


def plain_line(line):
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
    line = re.sub(r"\b\d+(\.\d+)? (ms|MB)\b", r"N \2", line)
    line = line.replace("/var/task/ric/dist/index.mjs", "/var/runtime/index.mjs").replace("provided.al2023", "nodejs18.x")
    m = re.match(r"(.*?\t)(\{\".*\})$", line)
    if m:
        return m.group(1) + json.dumps(plain(json.loads(m.group(2))), sort_keys=True)
    # an error that was printed, its frames between carriage returns
    return "\r".join(part for part in line.split("\r") if not is_clients(part) or not part.strip().startswith("at "))


def run(product, lab, handler, event):
    r = product.vpclab("invoke", lab, name_of(handler), "--payload", json.dumps(event), "--log", "--header")
    head = dict(line.lower().split(": ", 1)[0:1] + line.split(": ", 1)[1:] for line in r.err.splitlines() if line.startswith(("X-Amz", "status")))
    assert "x-amz-log-result" in head, r
    return {"payload": r.out if len(r.out) < 10000 else len(r.out), "error": head.get("x-amz-function-error"), "rc": r.rc,
            "log": base64.b64decode(head["x-amz-log-result"]).decode(errors="replace").split("\n")}


def compared(got):
    try:
        payload = plain(json.loads(got["payload"]))
    except (TypeError, ValueError):
        payload = got["payload"]
    payload = json.loads(plain_line(json.dumps(payload)))
    return {**got, "payload": payload, "log": [plain_line(line) for line in got["log"] if "Executing '" not in line]}


def both(product, labs, handler, events):
    def of(lab):
        return [compared(run(product, lab, handler, e)) for e in events]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(of, labs))


def same(events, ours, theirs):
    different = [{"case": e, "ours": {k: a[k] for k in a if a[k] != b[k]}, "aws's": {k: b[k] for k in b if a[k] != b[k]}}
                 for e, a, b in zip(events, ours, theirs) if a != b]
    assert not different, json.dumps(different, indent=1)


def names(file):
    with open(os.path.join(HANDLERS, file)) as f:
        return re.findall(r"^\t(\w+): ", f.read().split("const cases = {")[1].split("\n};")[0], re.M)


@pytest.mark.ids("RAPI-1", "RAPI-2", "RAPI-4", "EX-7", "EX-8", "LOG-1")
def test_handlers_are_the_same_under_both_clients(product, labs):
    events = [{"case": c} for c in names("index.js")]
    assert len(events) > 30
    ours, theirs = both(product, labs, "index.handler", events)
    same(events, ours, theirs)
    got = {e["case"]: t for e, t in zip(events, theirs)}
    # and what they say is something
    assert got["echo"]["payload"] == {"case": "echo"} and got["throws"]["payload"]["errorType"] == "RangeError"
    assert got["exits_after"]["payload"] == "was sent" and got["uncaught"]["payload"]["errorType"] == "Mine"
    assert any("before the answer" in line for line in got["callback_waits"]["log"])


@pytest.mark.ids("EX-1", "EX-8", "RAPI-1")
def test_what_cannot_be_loaded_is_the_same_under_both_clients(product, labs):
    def of(handler):
        return [compared(run(product, lab, handler, {})) for lab in labs]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        got = list(pool.map(of, LOADED))
    same(LOADED, [g[0] for g in got], [g[1] for g in got])


@pytest.mark.ids("RAPI-5")
def test_streams_are_the_same_under_both_clients(product, labs):
    events = [{"case": c} for c in names("stream.js")]
    ours, theirs = both(product, labs, "stream.handler", events)
    same(events, ours, theirs)
    got = {e["case"]: t for e, t in zip(events, theirs)}
    assert got["whole"]["payload"] == "one two three" and got["pipe"]["payload"] == "abc"
