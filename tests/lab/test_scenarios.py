# SPDX-License-Identifier: MIT
"""
Connections that are opened, kept, and asked what became of them.

    one 10.0.1.0/24: a, b (group b: tcp and udp 80 and tcp 90 from one /24)    two 10.0.2.0/24: c
    public 10.0.9.0/24: the NAT gateway of two                                  internet: api 198.51.100.10
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from product import wait_until

FROM_ONE = [{"protocol": p, "from_port": n, "cidr_blocks": ["10.0.1.0/24"]}
            for p, n in (("tcp", 80), ("udp", 80), ("tcp", 90), ("udp", 91))]

# what the built-in server doesn't do, chosen by the name in the first message
PROGRAM = """
import os, signal, socket, struct, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 90))
s.listen(16)
while True:
    c, who = s.accept()
    if os.fork():
        c.close()
        continue
    s.close()
    text = c.recv(1000).decode()
    name = text.split()[1]
    if name == "reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if name == "mute":
        signal.pause()
    if name == "talk":
        c.sendall(b"220 hello\\n")
        signal.pause()
    os._exit(0)
"""


def lab():
    return {
        "version": 1, "lab": "times",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"],
                                       "dns_names": ["api.example.com"]}}},
        "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"one": {"cidr_block": "10.0.1.0/24"},
                        "two": {"cidr_block": "10.0.2.0/24", "route_table": "nat"},
                        "public": {"cidr_block": "10.0.9.0/24", "route_table": "public"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "nat": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {"b": {"ingress": FROM_ONE}, "a": {}},
            "instances": {
                "a": {"subnet": "one", "security_groups": ["a"]},
                "b": {"subnet": "one", "security_groups": ["b"], "serve": ["tcp/80", "udp/80"],
                      "command": ["python3", "-c", PROGRAM], "ready": ["tcp/90"]},
                "c": {"subnet": "two", "security_groups": ["a"]},
            },
        }},
        "functions": {"fn": {"runtime": "exec", "command": ["cat"], "role": "fn",
                             "vpc_config": {"subnets": ["two"], "security_groups": ["a"]}}},
    }


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(product, method, rest, body=None, lab="times"):
    """A request to sandboxd by this process, which so owns what it opens."""
    c = Unix(os.path.join(product.run, "sandboxd.sock"))
    c.request(method, "/v1/labs/%s/connections%s" % (lab, rest), json.dumps(body or {}))
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text)


def hold(product, name, source, target, port):
    status, o = ask(product, "POST", "", {"connection": name, "from": source, "to": target, "port": port})
    assert status == 200, o
    return o


def state(product, name, timeout=0.5):
    status, o = ask(product, "POST", "/" + name, {"timeout": timeout})
    assert status == 200, o
    return o


# ---- held connections

@pytest.mark.asan
@pytest.mark.mutant("held-silent")
@pytest.mark.parametrize("port", ["tcp/80", "udp/80"])
def test_held_is_alive_or_silent(product, port):
    """The twin of alive is a network that carries nothing more: no route back, no echo."""
    product.up(lab())
    got = hold(product, "old", "a", "b", port)
    assert got["result"] == "open" and got["seen_as"] == product.show("times", "instances/a")["private_ip"]
    assert state(product, "old")["result"] == "alive"
    ns = product.netns("times", "b")
    drop = ["nsenter", "--net=" + ns, "nft"]
    subprocess.run([*drop, "add table ip t; add chain ip t i { type filter hook input priority 0; policy drop; }"],
                   check=True)
    assert state(product, "old")["result"] == "silent"
    subprocess.run([*drop, "delete table ip t"], check=True)
    assert state(product, "old", 5)["result"] == "alive"


@pytest.mark.asan
@pytest.mark.mutant("held-reset", "held-closed")
def test_held_tells_how_it_ended(product):
    product.up(lab())
    for name, want in (("reset", "reset"), ("closed", "closed"), ("mute", "silent"), ("talk", "alive")):
        assert hold(product, name, "a", "b", "tcp/90")["result"] == "open"
        got = state(product, name)
        assert got["result"] == want, got
        assert state(product, name)["result"] == ("silent" if name == "talk" else want)
    assert "took the message" in state(product, "mute")["detail"]
    # nobody listens: ICMP port unreachable answers for a UDP flow
    assert hold(product, "none", "a", "b", "udp/91")["result"] == "refused"
    assert [c["connection"] for c in ask(product, "GET", "")[1]] == ["talk", "mute", "closed", "reset"]


def test_held_is_kept_only_if_it_opened(product):
    product.up(lab())
    got = hold(product, "x", "c", "b", "tcp/80")
    assert got["result"] == "timeout" and got["dropped"]["code"] == "ENI_SG_RULES_MISMATCH", got
    assert hold(product, "x", "a", "b", "tcp/99")["result"] in ("refused", "timeout")
    assert ask(product, "POST", "/x")[0] == 404
    for body in ({"connection": "x y", "from": "a", "to": "b", "port": "tcp/80"},
                 {"connection": "x", "from": "a", "to": "b", "port": "icmp"},
                 {"connection": "x", "from": "a", "to": "fn", "port": "tcp/80"},
                 {"connection": "x", "from": "a", "to": "b", "port": "tcp/80", "timeout": 61},
                 {}):
        assert ask(product, "POST", "", body)[0] == 400, body
    assert ask(product, "POST", "", {"connection": "x", "from": "q", "to": "b", "port": "tcp/80"})[0] == 404
    got = hold(product, "x", "a", "b", "tcp/80")
    assert got["result"] == "open", got
    assert ask(product, "POST", "", {"connection": "x", "from": "a", "to": "b", "port": "tcp/80"})[0] == 409
    assert ask(product, "DELETE", "/x")[0] == 200
    assert ask(product, "GET", "")[1] == []


def test_held_from_a_function_and_by_name(product):
    product.up(lab())
    got = hold(product, "out", "fn", "api.example.com", "tcp/443")
    assert got["result"] == "open" and got["seen_as"] == "203.0.113.10"
    assert state(product, "out")["result"] == "alive"
    ask(product, "DELETE", "/out")


@pytest.mark.asan
def test_held_goes_with_its_client_and_its_lab(product):
    product.up(lab())
    code = "import sys; sys.path.insert(0, %r); from test_scenarios import *\n" \
           "from types import SimpleNamespace as N\n" \
           "print(hold(N(run=%r), 'theirs', 'fn', 'api', 'tcp/443')['result'], flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-B", "-c", code % (os.path.dirname(__file__), product.run)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        got = hold(product, "ours", "a", "b", "tcp/80")
        assert got["result"] == "open", got
        assert len(ask(product, "GET", "")[1]) == 2
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    wait_until(lambda: [c["connection"] for c in ask(product, "GET", "")[1]] == ["ours"], "theirs is gone")
    product.vpclab("down", "times", check=0)
    assert ask(product, "GET", "")[0] == 404
    # a namesake begins with none
    product.up(lab())
    assert ask(product, "GET", "")[1] == []
