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
        {"from": "a", "to": "b-1", "port": "tcp/80", "result": "open", "within": 20},
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
    for lease, status in (("x", 400), ("0", 400), ("4194303", 404)):
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


# ---- copies

FOREVER = {"from": "a", "to": "b-1", "port": "tcp/81", "result": "refused", "within": 60}
ROUNDS = int(os.environ.get("VPCLAB_ROUNDS", "3"))


def start(product, *args, **kw):
    return subprocess.Popen([os.path.join(product.build, "vpclab"), "--run-dir", product.run, *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)


def with_expect(*expect):
    return {**LAB, "expect": list(expect)}


def log(product):
    with open(os.path.join(product.run, "sandboxd.log")) as f:
        return f.read()


@pytest.mark.mutant("fresh", "if-match")
def test_preconditions(product):
    connection = Connection(product)
    none = {"If-None-Match": "*"}
    assert connection.ask("PUT", "/v1/labs/one", LAB, none)[0] == 200
    status, answer = connection.ask("PUT", "/v1/labs/one", LAB, none)
    assert status == 412 and answer["code"] == "PreconditionFailed", answer
    connection.request("GET", "/v1/labs/one/document")
    answer = connection.getresponse()
    answer.read()
    match = {"If-Match": answer.getheader("ETag")}
    other = with_expect()
    assert connection.ask("PUT", "/v1/labs/one", other, match)[0] == 200
    assert connection.ask("PUT", "/v1/labs/one", LAB, match)[0] == 412
    assert connection.ask("PUT", "/v1/labs/two", LAB, match)[0] == 412
    assert connection.ask("GET", "/v1/labs/one/document")[1] == other
    assert labs(product) == {"one"}


@pytest.mark.mutant("copy-names")
def test_eight_at_once_and_one_killed(product):
    """Of eight copies of one file, one client dies at a random moment: nothing of it stays, the others never notice."""
    seed = int(os.environ.get("VPCLAB_SEED", random.randrange(1 << 32)))
    dice = random.Random(seed)
    print("VPCLAB_SEED=%d, %d rounds (VPCLAB_ROUNDS)" % (seed, ROUNDS))
    path = product.file(LAB)
    for n in range(ROUNDS):
        after, victim = dice.uniform(0, 1.5), dice.randrange(8)
        clients = [start(product, "-o", "json", "test", path) for _ in range(8)]
        try:
            clients[victim].wait(after)
        except subprocess.TimeoutExpired:
            clients[victim].kill()
        names = set()
        for i, client in enumerate(clients):
            out, err = client.communicate(timeout=60)
            if i == victim and client.returncode == -signal.SIGKILL:
                continue
            assert client.returncode == 0, "round %d: client %d: %s %s" % (n, i, out, err)
            result = json.loads(out)
            assert (result["passed"], result["failed"]) == (2, 0)
            names.add(result["lab"])
        assert len(names) >= 7 and all(len(name) == len("copies-") + 6 for name in names), names
        wait_until(lambda: nothing(product), "round %d: nothing is left" % n, 20)


@pytest.mark.asan
@pytest.mark.mutant("interrupt")
@pytest.mark.parametrize("sig,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_takes_the_copy_down(product, sig, status):
    """By the command itself, before it ends: the lease has nothing to do."""
    before = log(product).count("goes with what held it")
    p = start(product, "test", product.file(with_expect(FOREVER)))
    wait_until(lambda: [x for x in product.json("ls") if x["state"] == "up"], "the copy is up")
    p.send_signal(sig)
    p.communicate(timeout=20)
    assert p.returncode == status and nothing(product)
    assert log(product).count("goes with what held it") == before


@pytest.mark.parametrize("args,left", [(["--keep"], {"copies"}), (["--keep-failed"], set())])
def test_what_is_kept(product, args, left):
    path = product.file(LAB)
    product.vpclab("test", *args, path, check=0)
    assert labs(product) == left
    product.vpclab("test", *args, path, check=0)
    assert len(labs(product)) == 2 * len(left)


def test_a_killed_parent_of_parallel_jobs(product):
    """-j: each job is a process of its own, and goes with the one that was started."""
    folder = os.path.join(product.files, "many")
    os.mkdir(folder)
    for i in range(3):
        with open(os.path.join(folder, "%d.json" % i), "w") as f:
            json.dump(with_expect(FOREVER), f)
    p = start(product, "test", "-j", "3", folder)
    wait_until(lambda: len([x for x in product.json("ls") if x["state"] == "up"]) == 3, "all are up")
    p.kill()
    p.communicate(timeout=20)
    wait_until(lambda: nothing(product), "nothing is left")


def test_errors_of_patches_name_file_and_line(product):
    path = product.file(LAB)
    patch = product.file('{\n "vpcs": {"main": {\n  "cidr_block": "nonsense"}}}', "patch.json")
    r = product.vpclab("test", path, "--merge", patch)
    assert r.rc == 2 and "patch.json:3:" in r.err, r
    r = product.vpclab("test", path, "--merge", '{"vpcs": {"main": {"cidr": 1}}}')
    assert r.rc == 2 and "--merge:1:28: vpcs.main.cidr" in r.err, r
    r = product.vpclab("test", "-", "--lab", "other", "--keep", stdin=json.dumps(LAB), check=0)
    assert labs(product) == {"other"}


# ---- up --bind

@pytest.mark.asan
def test_bind(product):
    path = product.file(LAB)
    one, two = (subprocess.Popen(["sleep", "1000"]) for _ in range(2))
    try:
        product.vpclab("up", path, "--bind", str(one.pid), "--lab", "one", check=0)
        product.vpclab("up", "--bind=%d" % two.pid, path, "--lab", "two", check=0)
        product.vpclab("up", path, check=0)
        one.kill()
        wait_until(lambda: labs(product) == {"copies", "two"}, "the lab of the first is gone")
        assert alive(two.pid) and product.probe("two", "a", "b-1", "tcp/80")["result"] == "open"
    finally:
        for p in (one, two):
            p.kill()
            p.wait()
    wait_until(lambda: labs(product) == {"copies"}, "the other is gone")
    # an update without --bind leaves a lab bound, and a dead process is none
    assert product.vpclab("up", path, "--bind", str(one.pid)).rc == 3
    assert labs(product) == {"copies"}


def test_bind_to_the_caller(product):
    """The shell that runs vpclab, not vpclab itself."""
    shell = subprocess.Popen(["sh", "-c", '"$0" --run-dir "$1" up --bind "$2" && echo up && read x',
                              os.path.join(product.build, "vpclab"), product.run, product.file(LAB)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert "copies is up" in shell.stdout.readline() and shell.stdout.readline() == "up\n"
    assert labs(product) == {"copies"}
    shell.communicate("\n", timeout=10)
    wait_until(lambda: nothing(product), "the lab is gone")
