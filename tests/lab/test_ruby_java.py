# SPDX-License-Identifier: MIT
"""Ruby and Java handlers, as they are written for AWS; and a host that lacks a language."""
import json
import os
import re
import subprocess
import textwrap

import pytest

from product import BUILD

RUBY = {
    "index.rb": """\
        require "logger"
        $count = 0

        def echo(event:, context:) = event

        def counts(event:, context:) = $count += 1

        def look(event:, context:)
          puts "printed"
          Logger.new($stdout).warn("a warning")
          { name: context.function_name, version: context.function_version, memory: context.memory_limit_in_mb,
            arn: context.invoked_function_arn, id: context.aws_request_id.size, left: context.get_remaining_time_in_millis.between?(1, 20_000),
            group: context.log_group_name, custom: context.client_context && context.client_context["custom"],
            execution: ENV["AWS_EXECUTION_ENV"], trace: ENV["_X_AMZN_TRACE_ID"][0, 5], cwd: Dir.pwd, uid: Process.uid != 0 }
        end

        class Mine < StandardError; end

        def raises(event:, context:) = inner(event["x"])

        def inner(x) = raise(Mine, "no #{x}")

        def none(event:, context:) = nil

        def big(event:, context:) = "x" * 6_291_600

        def ends(event:, context:) = exit!(3)
        """,
    "deep/inner.rb": "module Deep\n  class K\n    def self.run(event:, context:) = __FILE__\n  end\nend\n",
    "broken.rb": "def handler(\n",
    "missing.rb": "require 'no_such_library'\n",
    "throws.rb": "raise ArgumentError, 'at load'\n",
}
JAVA = """\
    package app;

    import com.amazonaws.services.lambda.runtime.*;
    import java.io.*;
    import java.util.*;

    public class Main implements RequestHandler<Map<String, Object>, Object> {
        private static int count;

        public static class Order {
            private String name;
            private List<Item> items = new ArrayList<>();
            private Kind kind;
            public String getName() { return name; }
            public void setName(String s) { name = s; }
            public List<Item> getItems() { return items; }
            public void setItems(List<Item> l) { items = l; }
            public Kind getKind() { return kind; }
            public void setKind(Kind k) { kind = k; }
        }

        public enum Kind { SMALL, LARGE }

        public static class Item {
            public int n;
            public double price;
        }

        public static class Mine extends RuntimeException {
            Mine(String message, Throwable cause) { super(message, cause); }
        }

        public Object handleRequest(Map<String, Object> event, Context context) { return event; }

        public int counts() { return ++count; }

        public Order pojo(Order o, Context context) {
            Item more = new Item();
            more.n = o.getItems().get(0).n + 1;
            o.getItems().add(more);
            return o;
        }

        public static String text(String s) { return s + "!"; }

        public void none(Object o) { }

        public void stream(InputStream in, OutputStream out, Context context) throws IOException {
            byte[] all = in.readAllBytes();
            out.write(("{\\"bytes\\":" + all.length + "}").getBytes());
        }

        public Map<String, Object> look(Object o, Context c) {
            Map<String, Object> m = new TreeMap<>();
            System.out.println("printed");
            c.getLogger().log("logged\\n");
            m.put("name", c.getFunctionName());
            m.put("version", c.getFunctionVersion());
            m.put("memory", String.valueOf(c.getMemoryLimitInMB()));
            m.put("arn", c.getInvokedFunctionArn());
            m.put("id", c.getAwsRequestId().length());
            m.put("left", c.getRemainingTimeInMillis() > 0 && c.getRemainingTimeInMillis() <= 20000);
            m.put("group", c.getLogGroupName());
            m.put("custom", c.getClientContext() == null ? null : c.getClientContext().getCustom());
            m.put("execution", System.getenv("AWS_EXECUTION_ENV"));
            m.put("trace", System.getProperty("com.amazonaws.xray.traceHeader").substring(0, 5));
            m.put("cwd", new File("").getAbsolutePath());
            return m;
        }

        public String raises(Map<String, Object> event) { throw new Mine("no " + event.get("x"), new IOException("because")); }

        public String ends() { Runtime.getRuntime().halt(3); return null; }
    }
    """
RUNTIMES = {"ruby": "ruby3.2", "java": "java17"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{language: folder of code}"""
    ruby, java = tmp_path_factory.mktemp("ruby"), tmp_path_factory.mktemp("java")
    for name, text in RUBY.items():
        os.makedirs(os.path.dirname(ruby / name), exist_ok=True)
        (ruby / name).write_text(textwrap.dedent(text))
    (java / "Main.java").write_text(textwrap.dedent(JAVA))
    subprocess.run(["javac", "-cp", os.path.join(BUILD, "runtimes/java/runtime.jar"), "-d", java, java / "Main.java"], check=True)
    return {"ruby": str(ruby), "java": str(java)}


def name_of(handler):
    return re.sub(r"[^a-z]", "-", handler.lower())


def up(product, folders, language, *handlers):
    return product.up({"version": 1, "lab": "langs", "functions": {
        name_of(h): {"runtime": RUNTIMES[language], "handler": h, "code": folders[language], "timeout": 20, "memory_size": 512} for h in handlers}})


def invoke(product, handler, payload=None, *args):
    r = product.vpclab("invoke", "langs", name_of(handler), "--payload", json.dumps({} if payload is None else payload), *args)
    return r, json.loads(r.out)


def looks(got, name, execution, **more):
    assert got == {"name": name, "version": "$LATEST", "memory": "512", "id": 36, "left": True, "custom": None, "trace": "Root=",
                   "arn": "arn:aws:lambda:us-east-1:123456789012:function:" + name, "group": "/aws/lambda/" + name,
                   "execution": "AWS_Lambda_" + execution, "cwd": "/var/task", **more}


@pytest.mark.ids("EX-1", "EX-4", "EX-7", "EX-8", "EX-12", "RAPI-2", "RAPI-4", "INV-4")
@pytest.mark.mutant("function-error")
def test_ruby(product, folders):
    handlers = ["echo", "counts", "look", "raises", "none", "big", "ends"]
    wrong = {"index": "Init<ArgumentError>", "broken.handler": "Init<SyntaxError>", "missing.handler": "Init<LoadError>",
             "none-such.handler": "Init<LoadError>", "index.nothing": "Init<NameError>", "throws.handler": "Init<ArgumentError>"}
    up(product, folders, "ruby", *("index." + h for h in handlers), "deep/inner.Deep::K.run", *wrong)
    assert invoke(product, "index.echo", {"a": [1, None, "\u00e4"]})[1] == {"a": [1, None, "\u00e4"]}
    assert invoke(product, "index.none")[1] is None
    assert [invoke(product, "index.counts")[1] for _ in range(2)] == [1, 2]
    assert invoke(product, "deep/inner.Deep::K.run")[1] == "/var/task/deep/inner.rb"
    r, got = invoke(product, "index.look", {}, "--log")
    looks(got, "index-look", "ruby3.2", uid=True)
    assert "\nprinted\n" in r.err and re.search(r"^W, \[.*\]  WARN [0-9a-f-]{36} -- : a warning$", r.err, re.M), r.err
    r, got = invoke(product, "index.raises", {"x": "way"}, "--log")
    assert r.rc == 1 and got == {"errorMessage": "no way", "errorType": "Function<Mine>", "stackTrace": [
        "/var/task/index.rb:21:in `inner'", "/var/task/index.rb:19:in `raises'"]}
    assert "Error raised from handler method\n{\n" in r.err
    assert invoke(product, "index.big")[1]["errorType"] == "Function.ResponseSizeTooLarge"
    assert invoke(product, "index.ends")[1]["errorMessage"].endswith("exit status 3")
    assert {h: invoke(product, h)[1]["errorType"] for h in wrong} == wrong


@pytest.mark.ids("EX-1", "EX-4", "EX-7", "EX-8", "EX-12", "RAPI-2", "RAPI-4")
def test_java(product, folders):
    methods = ["handleRequest", "counts", "pojo", "text", "none", "stream", "look", "raises", "ends"]
    wrong = {"app.Nothing::x": "java.lang.ClassNotFoundException", "app.Main::nothing": "java.lang.NoSuchMethodException"}
    up(product, folders, "java", *("app.Main::" + m for m in methods), "app.Main", *wrong)
    of = {m: "app.Main::" + m for m in methods}
    event = {"a": [1, None, "\u00e4", 1.5, 12345678901], "b": {"c": True}}
    assert invoke(product, of["handleRequest"], event)[1] == event and invoke(product, "app.Main", event)[1] == event
    assert [invoke(product, of["counts"])[1] for _ in range(2)] == [1, 2]
    assert invoke(product, of["pojo"], {"name": "n", "kind": "LARGE", "items": [{"n": 4, "price": 1}], "other": 1})[1] == {
        "name": "n", "kind": "LARGE", "items": [{"n": 4, "price": 1.0}, {"n": 5, "price": 0.0}]}
    assert invoke(product, of["text"], "\u00e4\n")[1] == "\u00e4\n!" and invoke(product, of["none"])[1] is None
    assert invoke(product, of["stream"], [1, 2])[1] == {"bytes": 6}
    r, got = invoke(product, of["look"], {}, "--log")
    looks(got, "app-main--look", "java17")
    assert "\nprinted\nlogged\n" in r.err
    r, got = invoke(product, of["raises"], {"x": "way"}, "--log")
    assert r.rc == 1 and (got["errorType"], got["errorMessage"], got["cause"]["errorType"]) == ("app.Main$Mine", "no way", "java.io.IOException")
    assert len(got["stackTrace"]) == 1 and got["stackTrace"][0].startswith("app.Main.raises(Main.java:")
    assert "no way: app.Main$Mine\n\tat app.Main.raises" in r.err and "Caused by: because: java.io.IOException\n" in r.err
    got = invoke(product, of["text"], [1])[1]
    assert got["errorMessage"] == "An error occurred during JSON parsing" and got["cause"]
    assert invoke(product, of["ends"])[1]["errorMessage"].endswith("exit status 3")
    assert {h: invoke(product, h)[1]["errorType"] for h in wrong} == wrong


def test_what_the_host_lacks_is_named(product):
    """An instance that sees a host without the interpreters."""
    for runtime, program, package in (("ruby3.2", "/usr/bin/ruby", "ruby"), ("java17", "/usr/bin/java", "default-jre-headless"),
                                      ("nodejs20.x", "/usr/bin/node", "nodejs")):
        doc = {"version": 1, "lab": "lacks", "functions": {"f": {"runtime": runtime, "handler": "a.b", "code": product.files}}}
        script = "mount --bind /dev/null $(readlink -f %s) && exec \"$@\"" % program
        run = os.path.join(product.home, "lack" + program[-2:])
        argv = [os.path.join(BUILD, "vpclab"), "--run-dir", run]
        p = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *argv, "up", product.file(doc)], capture_output=True, text=True)
        subprocess.run([*argv, "daemon", "stop"], capture_output=True)
        assert p.returncode == 4, p
        assert "runtime %s needs %s: apt install %s (functions.f.runtime)" % (runtime, program, package) in p.stderr, p.stderr
