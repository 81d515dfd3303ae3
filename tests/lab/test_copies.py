# SPDX-License-Identifier: MIT
"""Labs that can't collide or leak: copies under names of their own, and leases, by which a lab goes with its client."""
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys

import pytest

from product import alive, wait_until

LAB = {
    "version": 1, "lab": "copies",
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16",
        "subnets": {"s": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"open": {"ingress": [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["0.0.0.0/0"]}]}},
        "instances": {
            "a": {"subnet": "s"},
            "b-1": {"subnet": "s", "security_groups": ["open"], "serve": ["tcp/80"]},
        }}},
    "expect": [
        {"from": "a", "to": "b-1", "port": "tcp/80", "result": "open"},
        {"from": "a", "to": "b-1", "port": "tcp/81", "result": "timeout"},
    ],
}


def labs(product):
    return {lab["lab"] for lab in product.json("ls")}


def nothing(product):
    """No lab, no namespace, no process of a node is left."""
    return not labs(product) and not namespaces(product) and not os.listdir(os.path.join(product.run, "nodes"))


def namespaces(product):
    top = "/proc/%d/root%s/ns" % (product.pid("netd"), product.run)
    return [n for lab in os.listdir(top) for n in os.listdir(os.path.join(top, lab))] if os.path.isdir(top) else []


class Connection(http.client.HTTPConnection):
    """To sandboxd's socket, kept open."""

    def __init__(self, product):
        super().__init__("vpclab")
        self.path = os.path.join(product.run, "sandboxd.sock")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def ask(self, method, path, doc=None, headers=()):
        self.request(method, path, None if doc is None else json.dumps(doc), dict(headers))
        answer = self.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


# ---- leases

@pytest.mark.asan
@pytest.mark.mutant("lease-connection")
def test_a_lab_goes_with_its_connection(product):
    """The process lives on, and holds another lab on another connection: that one stays."""
    one, other = Connection(product), Connection(product)
    for connection, name in ((one, "one"), (one, "same"), (other, "other")):
        status, answer = connection.ask("PUT", "/v1/labs/%s?lease=connection" % name, LAB)
        assert status == 200, answer
    assert one.ask("GET", "/version")[0] == 200
    assert labs(product) == {"one", "same", "other"}
    one.close()
    wait_until(lambda: labs(product) == {"other"}, "the labs of the closed connection are gone")
    assert product.probe("other", "a", "b-1", "tcp/80")["result"] == "open"
    other.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: nothing(product), "the other is gone, too")


def test_without_a_lease_a_closed_connection_is_nothing(product):
    connection = Connection(product)
    assert connection.ask("PUT", "/v1/labs/stays", LAB)[0] == 200
    assert connection.ask("PUT", "/v1/labs/held?lease=connection", LAB)[0] == 200
    connection.close()
    wait_until(lambda: "held" not in labs(product), "the held one is gone")
    assert product.probe("stays", "a", "b-1", "tcp/80")["result"] == "open"


@pytest.mark.asan
def test_a_connection_that_goes_while_its_lab_comes_up(product):
    """Nobody waits for a program that is never ready."""
    doc = json.loads(json.dumps(LAB))
    doc["vpcs"]["main"]["instances"]["b-1"] = {
        "subnet": "s", "command": ["sleep", "1000"], "ready": ["tcp/80"], "ready_timeout": 600}
    connection = Connection(product)
    connection.request("PUT", "/v1/labs/early?lease=connection&timeout=600", json.dumps(doc))
    wait_until(lambda: "early" in labs(product), "it is on its way")
    connection.close()
    wait_until(lambda: nothing(product), "it is gone", 20)


def test_a_newer_lease_takes_the_place_of_the_old(product):
    old, new = Connection(product), Connection(product)
    assert old.ask("PUT", "/v1/labs/held?lease=connection", LAB)[0] == 200
    assert new.ask("PUT", "/v1/labs/held?lease=connection", LAB)[0] == 200
    assert old.ask("PUT", "/v1/labs/mark?lease=connection", LAB)[0] == 200
    old.close()
    wait_until(lambda: labs(product) == {"held"}, "what the old connection holds is gone")
    new.close()
    wait_until(lambda: nothing(product), "it is gone")


def test_a_lease_that_makes_no_sense(product):
    connection = Connection(product)
    for lease, status in (("x", 400), ("0", 400), ("4194303", 409)):
        assert connection.ask("PUT", "/v1/labs/none?lease=" + lease, LAB)[0] == status, lease
    assert not labs(product)


@pytest.mark.mutant("lease")
def test_leases_after_a_restart(fresh):
    """sandboxd's own death ends connections, and no lab: then the process is what counts."""
    fresh.start()
    holder = subprocess.Popen([sys.executable, "-c", """if 1:
        import json, socket, sys
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        body = sys.argv[2].encode()
        s.sendall(b"PUT /v1/labs/held?lease=connection HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body))
        s.sendall(body)
        print(s.recv(20).decode(), flush=True)
        sys.stdin.read()
        """, os.path.join(fresh.run, "sandboxd.sock"), json.dumps(LAB)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert " 200 " in holder.stdout.readline()
    fresh.kill("sandboxd")
    fresh.vpclab("daemon", "start", check=0)
    assert fresh.probe("held", "a", "b-1", "tcp/80")["result"] == "open"
    holder.kill()
    holder.wait()
    wait_until(lambda: nothing(fresh), "the lab is gone")
