# SPDX-License-Identifier: MIT
"""
The function service's figures.

- cold: a static C function, first invocation of a function that never ran; beside it the bare clone3 and exec of a
  static program with the same namespaces (bench_spawn), by turns
- warm: the same function, 1, 8 and 64 callers at a time (bench_invoke): p50 and answers a second
- what an idle environment costs: memory that the kernel charges to it
- 1,000 "exec" environments (100 of Node and of Python) blocked in the handler at one moment, each on a connection
  to a host of the lab; the next invocation gets 429; all are then let go, and every answer is its own
"""
import os
import statistics
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.path.join(ROOT, "build", "tests")

from gate import BLOCK, held  # noqa: E402
from test_invoke import call  # noqa: E402

PYTHON = """
import json, socket
def handler(event, context):
    s = socket.create_connection(("198.51.100.10", 80))
    s.sendall(b"x")
    s.recv(1)
    return event
"""
NODE = """
const net = require("net");
exports.handler = (event) => new Promise((resolve, reject) => {
  const s = net.connect(80, "198.51.100.10", () => s.write("x"));
  s.on("data", () => { s.destroy(); resolve(event); });
  s.on("error", reject);
});
"""


def folder(p, name, file, text):
    path = os.path.join(p.files, name)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, file), "w") as f:
        f.write(text)
    return name


def static_code(p):
    path = os.path.join(p.files, "static-c")
    if not os.path.isdir(path):
        os.mkdir(path)
        subprocess.run(["cc", "-O2", "-static", "-o", os.path.join(path, "bootstrap"),
                        os.path.join(HERE, "static_function.c")], check=True)
        subprocess.run(["cc", "-O2", "-static", "-x", "c", "-o", os.path.join(path, "hello"), "-"],
                       input=b"#include <unistd.h>\nint main(void) { return write(1, \"x\", 1) != 1; }", check=True)
    return "static-c"


def cold(p, quick, row, ratio):
    n = 20 if quick else 200
    code = static_code(p)
    p.up({"version": 1, "lab": "cold", "functions": {
        "f%d" % i: {"runtime": "provided.al2023", "code": code, "timeout": 10} for i in range(n)}})
    ours, floor = [], []
    for i in range(n):
        start = time.monotonic()
        status, headers, body = call(p, "f%d" % i, b"{}", lab="cold")
        ours.append((time.monotonic() - start) * 1000)
        assert (status, body) == (200, b"{}") and "x-amz-function-error" not in headers, body
        out = subprocess.run([os.path.join(TOOLS, "bench_spawn"), "1", os.path.join(p.files, code, "hello")],
                             capture_output=True, check=True).stdout
        floor.append(float(out) / 1000)
    p.vpclab("down", "cold", check=0)
    a = row("invoke, static C function, cold", ours, 30)
    b = row("clone3 and exec with the same namespaces", floor)
    ratio("cold start over the floor", a, b)


def warm(p, quick, add):
    p.up({"version": 1, "lab": "warm", "functions": {
        "f": {"runtime": "provided.al2023", "code": static_code(p), "timeout": 10, "memory_size": 1769}}})
    tool = [os.path.join(TOOLS, "bench_invoke"), os.path.join(p.run, "sandboxd.sock"), "warm", "f"]
    subprocess.run([*tool, "64", "3"], check=True, stdout=subprocess.DEVNULL)  # makes the environments
    for callers in (1, 8, 64):
        best = []
        for _ in range(3):
            out = subprocess.run([*tool, str(callers), "1" if quick else "3"], capture_output=True, text=True)
            assert out.returncode == 0, out
            best.append([float(x) for x in out.stdout.split()])
        p50, rate = (statistics.median(b[i] for b in best) for i in (0, 1))
        add("invoke, warm, %d callers" % callers, p50 / 1000, "ms", 1 if callers == 1 else None, "%.0f a second" % rate)
    p.vpclab("down", "warm", check=0)


def charged(p):
    """{environment: bytes} that the kernel charges, by cgroup."""
    found = {}
    for line in open(os.path.join(p.run, "cgroups")):
        root = line.strip().split()[-1]
        for name in ("memory.usage_in_bytes", "memory.current"):
            top = os.path.join(root, "env")
            for env in os.listdir(top) if os.path.isdir(top) else []:
                try:
                    with open(os.path.join(top, env, name)) as f:
                        found[env] = int(f.read())
                except OSError:
                    continue
    return found


def idle_memory(p, quick, add):
    n = 5 if quick else 20
    kinds = {
        "exec (cat)": {"runtime": "exec", "command": ["cat"]},
        "static C": {"runtime": "provided.al2023", "code": static_code(p)},
        "Python": {"runtime": "python3.11", "code": folder(p, "py-idle", "f.py", "def handler(e, c):\n    return e\n"),
                   "handler": "f.handler", "timeout": 30},
        "Node": {"runtime": "nodejs18.x", "handler": "f.handler", "timeout": 30,
                 "code": folder(p, "node-idle", "f.js", "exports.handler = async (e) => e;")},
    }
    for kind, function in kinds.items():
        p.up({"version": 1, "lab": "idle", "functions": {"f%d" % i: {"memory_size": 512, **function} for i in range(n)}})
        for i in range(n):
            assert call(p, "f%d" % i, b"{}", lab="idle")[0] == 200
        sizes = list(charged(p).values())
        assert len(sizes) == n, sizes
        add("memory of an idle environment, " + kind, statistics.median(sizes) / 2 ** 20, "MB", None, "n %d" % n)
        p.vpclab("down", "idle", check=0)


def thousand(p, quick, add):
    few = 20 if quick else 100
    kinds = [
        ("exec", {"runtime": "exec", "command": ["bash", "-c", BLOCK]}, 100 if quick else 1000),
        ("Python", {"runtime": "python3.11", "memory_size": 1769, "handler": "f.handler",
                    "code": folder(p, "py", "f.py", PYTHON)}, few),
        ("Node", {"runtime": "nodejs18.x", "memory_size": 1769, "handler": "f.handler",
                  "code": folder(p, "node", "f.js", NODE)}, few),
    ]
    for name, function, n in kinds:
        took = held(p, function, n)
        add("%d environments at once, %s: until all block" % (n, name), took, "s", None, "all answers right, one more: 429")


def functions(p, quick, add, row, ratio):
    cold(p, quick, row, ratio)
    warm(p, quick, add)
    idle_memory(p, quick, add)
    thousand(p, quick, add)
