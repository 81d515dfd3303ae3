# SPDX-License-Identifier: MIT
"""Handlers that block until a test lets them go: how many environments work at one moment."""
import concurrent.futures
import json
import socket
import time

from product import in_netns, wait_until
from test_invoke import call

# of an "exec" function; others connect to the same host
BLOCK = "read -r event; exec 3<>/dev/tcp/198.51.100.10/80; printf x >&3; read -r -n 1 -u 3 _; printf %s \"$event\""


class Gate:
    """A server on a host of the lab that answers nobody until it is told to: its connections are handlers that block."""

    def __init__(self, p, lab):
        def make():
            s = socket.create_server(("", 80), backlog=2048)
            s.setblocking(False)
            return s
        self.server = in_netns(p.netns(lab, "gate"), make)
        self.open = []

    def blocked(self):
        while True:
            try:
                self.open.append(self.server.accept()[0])
            except BlockingIOError:
                return len(self.open)

    def let_go(self):
        for s in self.open:
            s.sendall(b"y")

    def close(self):
        for s in [*self.open, self.server]:
            s.close()


def held(p, function, n):
    """n invocations block in the handler at one moment; one more gets 429; each answer is its own.  Seconds until then."""
    p.up({"version": 1, "lab": "held", "concurrent_executions": n, "functions": {"f": {"timeout": 600, **function}},
          "internet": {"hosts": {"gate": {"ip": "198.51.100.10"}}}})
    gate = Gate(p, "held")
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        answers = [pool.submit(call, p, "f", json.dumps({"n": i}).encode() + b"\n", "held") for i in range(n)]
        try:
            wait_until(lambda: gate.blocked() == n or any(a.done() for a in answers), "%d handlers that block" % n, 300)
            assert gate.blocked() == n, [a.result() for a in answers if a.done()][:3]
            took = time.monotonic() - start
            status, headers, body = call(p, "f", b"{}", "held")
            assert status == 429 and json.loads(body)["Reason"] == "ConcurrentInvocationLimitExceeded", body
            gate.let_go()
            for i, a in enumerate(answers):
                status, headers, body = a.result()
                assert (status, json.loads(body)) == (200, {"n": i}) and "x-amz-function-error" not in headers, (i, body)
        finally:
            gate.close()  # whoever blocks still ends with an error
    p.vpclab("down", "held", check=0, timeout=300)
    return took
