# SPDX-License-Identifier: MIT
"""What a function's code is made of: folders and .zip files, layers below /opt, variables, the size of /tmp."""
import json
import os
import stat
import threading
import zipfile

import pytest

from product import wait_until

LAB = "packages"


def lab(**functions):
    return {"version": 1, "lab": LAB, "functions": functions}


def shell(text, **more):
    return {"runtime": "exec", "command": ["sh", "-c", text], "timeout": 10, **more}


def folder(product, name, files):
    """A folder below the lab files'; a name that ends in ! is executable."""
    top = os.path.join(product.files, name)
    for path, text in files.items():
        at = os.path.join(top, path.rstrip("!"))
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "w") as f:
            f.write(text)
        os.chmod(at, 0o755 if path.endswith("!") else 0o644)
    return name


def packed(product, name, files):
    with zipfile.ZipFile(os.path.join(product.files, name), "w") as z:
        for path, text in files.items():
            info = zipfile.ZipInfo(path.rstrip("!"))
            info.external_attr = (0o755 if path.endswith("!") else 0o644) << 16
            z.writestr(info, text)
    return name


def said(product, name, payload="1"):
    return product.vpclab("invoke", LAB, name, "--payload", payload, check=0).out


def refused(product, doc):
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 2 and LAB not in [x["lab"] for x in product.json("ls")], r
    return r.err


@pytest.fixture
def layers(product):
    """Three layers: each has a program, a file of its own and one that all have."""
    return [folder(product, "one", {"bin/whose!": "#!/bin/sh\necho one", "same": "one\n", "own1": "1\n", "sub/a": "a\n"}),
            packed(product, "two.zip", {"bin/whose!": "#!/bin/sh\necho two", "same": "two\n", "own2": "2\n", "sub/b": "b\n"}),
            folder(product, "three,a:b", {"same": "three\n", "own3": "3\n"})]


@pytest.mark.ids("PKG-1", "EX-10", "EX-12")
@pytest.mark.mutant("layers-order")
def test_layers_are_merged_in_their_order(product, layers):
    look = "cd /opt; echo $(cat same own* sub/*) $(whose) $(stat -c %a:%u . same) $(touch x 2>&1 | grep -c Read-only)"
    product.up(lab(all=shell(look, layers=layers), turned=shell(look, layers=layers[::-1]), one=shell(look, layers=layers[:1]),
                   none=shell("ls -A /opt | wc -l")))
    assert said(product, "all").split() == ["three", "1", "2", "3", "a", "b", "two", "755:0", "644:0", "1"]
    assert said(product, "turned").split() == ["one", "1", "2", "3", "a", "b", "one", "755:0", "644:0", "1"]
    assert said(product, "one").split() == ["one", "1", "a", "one", "755:0", "644:0", "1"]
    assert said(product, "none").split() == ["0"]


@pytest.mark.ids("PKG-1", "EX-13")
def test_runtimes_look_into_layers(product):
    """Modules of Python and Node.js; a bootstrap, if the code has none."""
    where = folder(product, "modules", {
        "python/fromlayer.py": "who = 'python'\n", "nodejs/node_modules/fromlayer/index.js": "exports.who = 'node'\n",
        "bootstrap!": "#!/bin/sh\n. $LAMBDA_TASK_ROOT/said\ncurl -s -D /tmp/h http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"
                      " >/dev/null\nid=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *//Ip' /tmp/h | tr -d '\\r')\n"
                      "curl -s -d \"\\\"$word\\\"\" http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response\nsleep 100\n"})
    code = folder(product, "asks", {"index.py": "import fromlayer\ndef handler(e, c): return fromlayer.who\n", "said": "word=layer\n",
                                    "index.js": "exports.handler = async () => require('fromlayer').who\n"})
    f = {"code": code, "layers": [where], "handler": "index.handler", "timeout": 10, "memory_size": 512}
    product.up(lab(p={**f, "runtime": "python3.11"}, n={**f, "runtime": "nodejs18.x"}, b={**f, "runtime": "provided.al2023"}))
    assert [json.loads(said(product, x)) for x in "pnb"] == ["python", "node", "layer"]


@pytest.mark.ids("PKG-1")
@pytest.mark.mutant("keep-old-code")
def test_a_layer_is_a_copy(product):
    """An edited one is a change; what runs still has the old one, and copies go with the last that needs them."""
    name = folder(product, "edited", {"word": "old"})
    product.up(lab(f=shell("cat /opt/word", layers=[name]), slow=shell("mkfifo /tmp/go; echo begun >&2; read x </tmp/go; cat /opt/word",
                                                                       layers=[name])))
    assert said(product, "f") == "old"
    got = []
    t = threading.Thread(target=lambda: got.append(said(product, "slow")))
    t.start()
    wait_until(lambda: "begun" in product.vpclab("logs", LAB, "slow").out, "the slow one runs")
    folder(product, "edited", {"word": "new"})
    changed = product.up(lab(f=shell("cat /opt/word", layers=[name]), slow=shell("cat /opt/word", layers=[name])))
    assert {(c["action"], c["name"]) for c in changed["changes"]} == {("update", "f"), ("update", "slow")}
    assert said(product, "f") == "new"
    open_fifo(product)
    t.join(20)
    assert got == ["old"]
    state = os.path.join(product.run, "state", "code")
    assert os.listdir(state)
    product.vpclab("down", LAB, check=0)
    wait_until(lambda: not os.path.exists(state) or not os.listdir(state), "copies are gone")


def open_fifo(product):
    """Writes into the pipe that the one environment waits at, by its process' root."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            path = "/proc/%s/root/tmp/go" % pid
            with open("/proc/%s/environ" % pid) as f:
                mine = "AWS_LAMBDA_FUNCTION_NAME=slow\0" in f.read()
            if mine and stat.S_ISFIFO(os.stat(path).st_mode):
                with open(path, "w") as f:
                    f.write("x\n")
                return
        except OSError:
            continue
    raise AssertionError("no environment waits")


@pytest.mark.ids("PKG-1")
@pytest.mark.mutant("layers-size")
def test_code_and_layers_have_one_size(product):
    """262144000 bytes; files with holes are as good as full ones."""
    folder(product, "half", {"hole": ""})
    os.truncate(os.path.join(product.files, "half", "hole"), 131072000)
    folder(product, "byte", {"one": "1"})
    assert ("Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is "
            "262144001 bytes. (functions.f.layers)") in refused(product, lab(f=shell("true", code="half", layers=["half", "byte"])))
    product.up(lab(f=shell("stat -c %s /var/task/hole /opt/hole", code="half", layers=["half"])))
    assert said(product, "f").split() == ["131072000", "131072000"]
    product.vpclab("down", LAB, check=0)


@pytest.mark.ids("PKG-1")
@pytest.mark.mutant("zip-size")
def test_a_zip_file_is_bounded_by_itself(product):
    path = os.path.join(product.files, "wide.zip")
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("x", "x")
    head = os.path.getsize(path)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("x", b"x" * (52428800 - head + 1))
    assert os.path.getsize(path) == 52428800
    product.up(lab(f=shell("stat -c %s /var/task/x", code="wide.zip")))
    assert int(said(product, "f")) == 52428800 - head + 1
    product.vpclab("down", LAB, check=0)
    with zipfile.ZipFile(path, "a") as z:
        z.comment = b"x"
    assert os.path.getsize(path) == 52428801
    assert "code %s: it has 52428801 bytes (allowed: 52428800, " % path in refused(
        product, lab(f=shell("true", code="wide.zip")))


@pytest.mark.ids("PKG-1")
@pytest.mark.mutant("zip-paths")
@pytest.mark.parametrize("path", ["../out", "/files/out", "a/../../out", "link/out"])
def test_no_path_of_a_zip_file_leaves_it(product, path):
    name = os.path.join(product.files, "evil.zip")
    with zipfile.ZipFile(name, "w") as z:
        if path.startswith("link/"):
            link = zipfile.ZipInfo("link")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            z.writestr(link, product.files)
        z.writestr(path if path[0] != "/" else product.home + path, "x")
    for member in "code", "layers":
        assert "functions.f.%s" % member in refused(product, lab(f=shell("true", **{
            member: "evil.zip" if member == "code" else ["evil.zip"]})))
    code = os.path.join(product.run, "state", "code")
    assert not any(os.path.exists(os.path.join(at, "out")) for at in (product.files, code, os.path.dirname(code)))
    packed(product, "evil.zip", {"a/b": "x"})
    product.up(lab(f=shell("cat a/b", code="evil.zip")))
    assert said(product, "f") == "x"
    product.vpclab("down", LAB, check=0)


@pytest.mark.ids("EX-12")
@pytest.mark.mutant("own-variables")
def test_variables_of_the_functions_own(product):
    """They take the place of those that AWS lets go."""
    show = shell('echo "$MINE|$PATH|$TZ|$AWS_LAMBDA_FUNCTION_NAME|$LAMBDA_TASK_ROOT"')
    product.up(lab(f={**show, "environment": {"MINE": "a b", "PATH": "/opt/bin:/bin:/usr/bin", "TZ": "Europe/Rome"}}, g=show))
    assert said(product, "f") == "a b|/opt/bin:/bin:/usr/bin|Europe/Rome|f|/var/task\n"
    assert said(product, "g") == "|/usr/local/bin:/usr/bin:/bin:/opt/bin:/usr/sbin:/sbin|:UTC|g|/var/task\n"


@pytest.mark.ids("EX-10")
@pytest.mark.mutant("function-disk")
def test_the_size_of_tmp(product):
    """ENOSPC at the configured size, and not before; nothing else can be written."""
    fill = "dd if=/dev/zero of=/tmp/a bs=1M count=%d 2>&1 | grep -c 'No space'; df -m --output=size /tmp | tail -1; " \
           "touch /var/task/x 2>&1 | grep -c Read-only; pwd; id -un"
    product.up(lab(f=shell(fill % 513, memory_size=2048), twin=shell(fill % 511, memory_size=2048),
                   big=shell(fill % 513, memory_size=2048, ephemeral_storage=600)))
    assert said(product, "f").split() == ["1", "512", "1", "/var/task", "sbx_user1051"]
    assert said(product, "twin").split() == ["0", "512", "1", "/var/task", "sbx_user1051"]
    assert said(product, "big").split() == ["0", "600", "1", "/var/task", "sbx_user1051"]
    product.vpclab("down", LAB, check=0)
