# SPDX-License-Identifier: MIT
"""Managed runtimes: Python and Node.js handlers, as they are written for AWS."""
import json
import os
import re
import textwrap

import pytest

PYTHON = {
    "index.py": """\
        import decimal, json, logging, os, time
        started = time.time()
        count = 0

        def echo(event, context):
            return event

        def counts(event, context):
            global count
            count += 1
            return count

        def look(event, context):
            logging.getLogger().warning("a warning")
            print("printed")
            left = context.get_remaining_time_in_millis()
            return {"name": context.function_name, "version": context.function_version, "memory": context.memory_limit_in_mb,
                    "arn": context.invoked_function_arn, "id": len(context.aws_request_id), "left": 0 < left <= 5000,
                    "group": context.log_group_name, "custom": context.client_context and context.client_context.custom,
                    "execution": os.environ["AWS_EXECUTION_ENV"], "trace": os.environ["_X_AMZN_TRACE_ID"][:5],
                    "cwd": os.getcwd(), "uid": os.getuid() != 0, "decimal": decimal.Decimal("1.5"), "\u00e4": "\u00fc"}

        class Mine(Exception):
            pass

        def raises(event, context):
            raise Mine("no %s" % event["x"])

        def unmarshalled(event, context):
            return {1, 2}

        def none(event, context):
            pass

        def big(event, context):
            return "x" * 6291600

        def hangs(event, context):
            time.sleep(60)

        def ends(event, context):
            os._exit(3)
        """,
    "deep/inner.py": "def handler(event, context):\n    return __name__\n",
    "broken.py": "def handler(:\n",
    "missing.py": "import no_such_module\n",
    "throws.py": "raise ValueError('at import')\n",
}
NODE = {
    "index.js": """\
        let count = 0;
        exports.echo = async (event) => event;
        exports.counts = async () => ++count;
        exports.callback = (event, context, callback) => setTimeout(() => callback(null, { called: event.x }), 5);
        exports.calls_error = (event, context, callback) => callback(new TypeError("by callback"));
        exports.done = (event, context) => context.done(null, "done");
        exports.look = async (event, context) => {
            console.log("logged %d", 7);
            console.error("an\\nerror");
            const left = context.getRemainingTimeInMillis();
            return { name: context.functionName, version: context.functionVersion, memory: context.memoryLimitInMB,
                     arn: context.invokedFunctionArn, id: context.awsRequestId.length, left: 0 < left && left <= 5000,
                     group: context.logGroupName, custom: (context.clientContext && context.clientContext.custom) || null,
                     execution: process.env.AWS_EXECUTION_ENV, trace: process.env._X_AMZN_TRACE_ID.slice(0, 5),
                     cwd: process.cwd(), uid: process.getuid() !== 0, "\u00e4": "\u00fc" };
        };
        class Mine extends Error { constructor(m) { super(m); this.name = "Mine"; } }
        exports.raises = async (event) => { throw new Mine("no " + event.x); };
        exports.throws = (event) => { throw new RangeError("at once"); };
        exports.rejects_text = () => Promise.reject("just text");
        exports.none = async () => {};
        exports.returns_nothing = () => {};
        exports.circular = async () => { const o = {}; o.o = o; return o; };
        exports.big = async () => "x".repeat(6291600);
        exports.hangs = () => new Promise(() => setInterval(() => {}, 1000));
        exports.ends = () => process.exit(3);
        exports.later = async () => { setTimeout(() => { throw new Error("after all"); }, 0); await new Promise((r) => setTimeout(r, 1000)); };
        exports.nested = { deep: { handler: async () => "nested" } };
        exports.text = "no function";
        """,
    "esm.mjs": "export const handler = async (event) => ({ esm: event, top: await Promise.resolve(import.meta.url.slice(-7)) });\n",
    "sub/inner.js": "exports.handler = async () => require('path').basename(__filename);\n",
    "broken.js": "exports.handler = async ( => 1;\n",
    "missing.js": "require('no-such-module');\n",
    "throws.js": "throw new Error('at load');\n",
}
LANGUAGES = {"python": ("python3.11", PYTHON), "nodejs": ("nodejs18.x", NODE)}


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def language(request, product, tmp_path_factory):
    """The name of a language; a folder with its handlers."""
    folder = tmp_path_factory.mktemp(request.param)
    for name, text in LANGUAGES[request.param][1].items():
        os.makedirs(os.path.dirname(folder / name), exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return request.param, str(folder)


def lab(language, *handlers):
    runtime = LANGUAGES[language[0]][0]
    return {"version": 1, "lab": "runtimes", "functions": {
        re.sub(r"[^a-z]", "-", h): {"runtime": runtime, "handler": h, "code": language[1], "timeout": 5, "memory_size": 256}
        for h in handlers}}


def invoke(product, name, payload=None, *args):
    r = product.vpclab("invoke", "runtimes", name, "--payload", json.dumps({} if payload is None else payload), *args)
    return r, json.loads(r.out)


@pytest.mark.ids("EX-4", "EX-12", "RAPI-2", "LOG-1")
@pytest.mark.mutant("memory-files")
def test_events_and_context(product, language):
    product.up(lab(language, "index.echo", "index.counts", "index.look", "index.none"))
    assert invoke(product, "index-echo", {"a": [1, None, "\u00e4"]})[1] == {"a": [1, None, "\u00e4"]}
    assert invoke(product, "index-none")[1] is None
    assert [invoke(product, "index-counts")[1] for _ in range(3)] == [1, 2, 3]
    r, got = invoke(product, "index-look", {}, "--log")
    assert got == {
        "name": "index-look", "version": "$LATEST", "memory": "256", "id": 36, "left": True, "custom": None,
        "arn": "arn:aws:lambda:us-east-1:123456789012:function:index-look", "group": "/aws/lambda/index-look",
        "execution": "AWS_Lambda_" + LANGUAGES[language[0]][0], "trace": "Root=", "cwd": "/var/task", "uid": True,
        **({"decimal": 1.5} if language[0] == "python" else {}), "\u00e4": "\u00fc"}
    # what its program maps is its own, whoever read it first
    used = int(re.search(r"Max Memory Used: (\d+) MB", r.err).group(1))
    assert used > (40 if language[0] == "nodejs" else 14), r.err
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t[0-9a-f-]{36}\t"
    if language[0] == "python":
        assert re.search(r"^\[WARNING\]\t" + stamp + "a warning$", r.err, re.M) and "\nprinted\n" in r.err, r.err
    else:
        assert re.search("^" + stamp + "INFO\tlogged 7$", r.err, re.M), r.err
        assert re.search("^" + stamp + r"ERROR\tan\\x0derror$", r.err, re.M), r.err


@pytest.mark.ids("EX-8", "RAPI-4")
def test_errors_of_the_handler(product, language):
    product.up(lab(language, "index.raises", "index.echo"))
    r, got = invoke(product, "index-raises", {"x": "way"}, "--log")
    assert r.rc == 1 and (got["errorType"], got["errorMessage"]) == ("Mine", "no way")
    trace = got["stackTrace"] if language[0] == "python" else got["trace"]
    assert "index" in trace[0 if language[0] == "python" else 1] and "bootstrap" not in "".join(trace[:2])
    assert ("[ERROR] Mine: no way\nTraceback" if language[0] == "python" else '"errorType":"Mine"') in r.err
    if language[0] == "python":
        assert len(got["requestId"]) == 36
    # the environment goes on
    assert invoke(product, "index-raises", {"x": 2})[1]["errorMessage"] == "no 2"


@pytest.mark.ids("EX-1", "EX-8", "RAPI-1")
def test_handlers_that_cannot_be_loaded(product, language):
    wrong = {"nohandler": "Runtime.MalformedHandlerName",
             "broken.handler": "Runtime.UserCodeSyntaxError", "missing.handler": "Runtime.ImportModuleError",
             "none-such.handler": "Runtime.ImportModuleError", "index.nothing": "Runtime.HandlerNotFound",
             "throws.handler": "ValueError" if language[0] == "python" else "Error"}
    if language[0] == "nodejs":
        wrong["index.text"] = "Runtime.HandlerNotFound"
    product.up(lab(language, *wrong))
    got = {h: invoke(product, re.sub(r"[^a-z]", "-", h))[1]["errorType"] for h in wrong}
    assert got == wrong


@pytest.mark.ids("EX-5", "EX-6", "EX-7", "INV-4")
def test_what_ends_an_environment(product, language):
    doc = lab(language, "index.hangs", "index.ends", "index.big")
    doc["functions"]["index-hangs"]["timeout"] = 1
    product.up(doc)
    assert invoke(product, "index-hangs")[1]["errorType"] == "Sandbox.Timedout"
    got = invoke(product, "index-ends")[1]
    assert got["errorType"] == "Runtime.ExitError" and "exit status 3" in got["errorMessage"]
    assert invoke(product, "index-big")[1]["errorType"] == "Function.ResponseSizeTooLarge"


def test_modules_in_folders(product, language):
    inner = "deep/inner.handler" if language[0] == "python" else "sub/inner.handler"
    product.up(lab(language, inner))
    assert invoke(product, inner.replace("/", "-").replace(".", "-"))[1] == \
        ("deep.inner" if language[0] == "python" else "inner.js")


@pytest.mark.parametrize("language", ["nodejs"], indirect=True)
def test_ways_to_answer_in_node(product, language):
    handlers = ["index.callback", "index.calls_error", "index.done", "index.throws", "index.rejects_text", "index.returns_nothing",
                "index.circular", "index.later", "index.nested.deep.handler", "esm.handler"]
    product.up(lab(language, *handlers))
    names = {h: re.sub(r"[^a-z]", "-", h) for h in handlers}
    got = {h.rsplit(".", 1)[1]: invoke(product, names[h], {"x": 1})[1] for h in handlers if h.startswith("index.") and "nested" not in h}
    assert got["callback"] == {"called": 1} and got["done"] == "done" and got["returns_nothing"] is None
    assert (got["calls_error"]["errorType"], got["calls_error"]["errorMessage"]) == ("TypeError", "by callback")
    assert (got["throws"]["errorType"], got["rejects_text"]["errorMessage"]) == ("RangeError", "just text")
    assert (got["circular"]["errorType"], got["circular"]["errorMessage"]) == ("Error", "Unable to stringify response body")
    assert got["later"]["errorMessage"] == "after all"
    assert invoke(product, names["index.nested.deep.handler"])[1] == "nested"
    assert invoke(product, names["esm.handler"], 5)[1] == {"esm": 5, "top": "esm.mjs"}
