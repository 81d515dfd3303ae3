# SPDX-License-Identifier: MIT
"""Labs that can't collide or leak: copies under names of their own, and leases, by which a lab goes with its client."""
import json
import os
import random
import signal
import socket
import subprocess
import sys

import pytest

from product import Product, Unix, alive, wait_until

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


class Connection(Unix):
    """To sandboxd's socket."""

    def __init__(self, product):
        super().__init__(os.path.join(product.run, "sandboxd.sock"))

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


# ---- run, env

def tree(marker):
    """pids of the sleeps that carry the marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if f.read().split(b"\0")[:2] == [b"sleep", marker.encode()] and alive(int(pid)):
                    found.append(int(pid))
        except OSError:
            continue
    return found


# children that left their parent, their group, their session
FAMILY = ('sleep "$1" & setsid sleep "$1" & (setsid sleep "$1" &) ; '
          'echo "$VPCLAB_LAB $VPCLAB_RUN_DIR"; read line; exit 7')


def family(product, *options):
    """A run whose command has children; (its process, their marker, the copy's name, its run directory)."""
    marker = "1000.%06d" % random.randrange(10 ** 6)
    p = start(product, "run", *options, product.file(LAB), "--", "sh", "-c", FAMILY, "sh", marker,
              stdin=subprocess.PIPE, start_new_session=True)
    lab, run = p.stdout.readline().split()
    wait_until(lambda: len(tree(marker)) == 3, "the family is there")
    return p, marker, lab, run


def keeper(p):
    with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
        pids = [int(pid) for pid in f.read().split()]
    [found] = [pid for pid in pids if open("/proc/%d/comm" % pid).read().strip() == "vpclab-keeper"]
    return found


@pytest.mark.asan
@pytest.mark.parametrize("command,status", [
    (["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["no-such-program"], 127),
    (["/etc/passwd"], 126), (["vpclab-nonsense/"], 127)])
def test_run_gives_the_commands_status(product, command, status):
    r = product.vpclab("run", product.file(LAB), "--", *command)
    assert r.rc == status and r.out == "" and nothing(product), r


def test_run_passes_everything_through(product):
    r = product.vpclab("run", "--lab", "mine", product.file(LAB), "--", "sh", "-c", """
        cat; echo "$VPCLAB_LAB $VPCLAB_PRIVATE_IP_A $VPCLAB_PRIVATE_IP_B_1 $AWS_ACCESS_KEY_ID" >&2
        "$0" -o json probe "$VPCLAB_LAB" a b-1 tcp/80 >&2
        """, os.path.join(product.build, "vpclab"), stdin="word\n", check=0)
    first, probe = r.err.splitlines()
    lab, a, b, key = first.split()
    assert r.out == "word\n" and lab.startswith("mine-") and key == lab and a != b
    assert json.loads(probe)["result"] == "open"


def test_what_a_command_leaves_goes_with_its_copy(product):
    p, marker, lab, _ = family(product)
    assert labs(product) == {lab}
    p.communicate("go\n", timeout=30)
    assert p.returncode == 7 and not tree(marker) and nothing(product)


@pytest.mark.asan
@pytest.mark.mutant("keeper")
@pytest.mark.parametrize("group", [False, True])
def test_a_killed_run_takes_its_command_along(product, group):
    """kill -9, of vpclab alone or of its whole process group."""
    p, marker, lab, _ = family(product)
    guard = keeper(p)
    if group:
        os.killpg(p.pid, signal.SIGKILL)
    else:
        p.kill()
    p.wait(30)
    try:
        wait_until(lambda: not tree(marker), "all of its command is gone")
    finally:
        for pid in tree(marker):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: nothing(product) and not alive(guard), "the copy and the keeper are gone")


def test_a_killed_keeper_takes_the_command_along(product):
    """Not what the command has started: nobody is left who knows of it."""
    p, marker, lab, _ = family(product)
    with open("/proc/%d/task/%d/children" % (keeper(p), keeper(p))) as f:
        command = int(f.read().split()[0])
    os.kill(keeper(p), signal.SIGKILL)
    assert p.wait(30) == 125 and not alive(command) and nothing(product)
    for pid in tree(marker):
        os.kill(pid, signal.SIGKILL)
    assert "keeper" in p.communicate()[1]


@pytest.mark.parametrize("sig,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_run(product, sig, status):
    """It is passed on; what the command still has to say is heard, and the status tells of the signal."""
    p = start(product, "run", product.file(LAB), "--", "sh", "-c",
              "trap 'echo caught; exit 3' INT TERM HUP; echo ready; while :; do sleep 0.1; done")
    assert p.stdout.readline() == "ready\n"
    p.send_signal(sig)
    out, err = p.communicate(timeout=30)
    assert (p.returncode, out) == (status, "caught\n") and nothing(product), err


def test_a_command_that_wont_end_is_killed(product):
    p = start(product, "run", product.file(LAB), "--", "sh", "-c",
              "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    p.communicate(timeout=30)
    assert p.returncode == 143 and nothing(product)


def test_a_typed_interrupt_is_the_commands(product):
    """^C reaches the command by its terminal, once, and what it makes of it counts."""
    ours, theirs = os.openpty()
    p = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, os, sys, termios\nos.setsid()\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
         "os.execv(sys.argv[1], sys.argv[1:])",
         os.path.join(product.build, "vpclab"), "--run-dir", product.run, "run", product.file(LAB), "--",
         sys.executable, "-u", "-c", "import signal, sys\nn = []\nsignal.signal(2, lambda *_: n.append(print('caught')))\n"
         "print('ready')\nsys.stdin.readline()\nsys.exit(40 + len(n))"],
        stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""

    def until(word):
        nonlocal seen
        while word not in seen:
            seen += os.read(ours, 4096)
    until(b"ready")
    os.write(ours, b"\x03")
    until(b"caught")
    assert p.poll() is None and labs(product)
    os.write(ours, b"end\n")
    assert p.wait(30) == 41
    os.close(ours)
    assert nothing(product)


def test_a_signal_while_the_copy_comes_up(product):
    doc = json.loads(json.dumps(LAB))
    doc["vpcs"]["main"]["instances"]["b-1"] = {
        "subnet": "s", "command": ["sleep", "1000"], "ready": ["tcp/80"], "ready_timeout": 600}
    p = start(product, "run", product.file(doc), "--timeout", "600", "--", "touch", product.files + "/ran")
    wait_until(lambda: labs(product), "it is on its way")
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=30)
    assert p.returncode == 130 and nothing(product) and not os.path.exists(product.files + "/ran")


def instances(product):
    return [n for n in os.listdir(product.home) if n.startswith("run-")]


@pytest.mark.parametrize("how", ["ends", "killed", "killed with its keeper"])
def test_a_private_instance(product, how):
    """Daemons, folders, labs of its own: gone in the end, the instance beside it untouched."""
    product.up(LAB)
    p, marker, lab, run = family(product, "--private")
    assert run != product.run and os.path.basename(run) in instances(product) and labs(product) == {"copies"}
    daemons = []
    for name in ("netd", "sandboxd"):
        with open(os.path.join(run, name + ".pid")) as f:
            daemons.append(int(f.read()))
    assert all(alive(pid) for pid in daemons)
    product.vpclab("--run-dir", run, "up", product.file(LAB), check=0)
    if how == "ends":
        p.communicate("go\n", timeout=60)
        assert p.returncode == 7 and not instances(product)
    elif how == "killed":
        p.kill()
        p.communicate(timeout=60)
    else:
        # stopped first, or either would see the other's end
        guard = keeper(p)
        os.kill(p.pid, signal.SIGSTOP)
        os.kill(guard, signal.SIGKILL)
        p.kill()
        p.wait(60)
        for pid in tree(marker):
            os.kill(pid, signal.SIGKILL)    # what no one is left to end
        assert all(alive(pid) for pid in daemons)
        product.vpclab("gc")
    wait_until(lambda: not instances(product) and not any(alive(pid) for pid in daemons), "the instance is gone", 30)
    assert not tree(marker)
    mounts = open("/proc/self/mountinfo").read()
    assert run not in mounts
    assert product.probe("copies", "a", "b-1", "tcp/80")["result"] == "open"


def test_env(product):
    doc = json.loads(json.dumps(LAB))
    doc["internet"] = {"hosts": {"api": {"ip": "198.51.100.10"}, "b_1": {"ip": "198.51.100.11"}}}
    product.up(doc)
    variables = product.json("env", "copies")
    assert variables["VPCLAB_PRIVATE_IP_A"] == "10.0.1.4" and variables["VPCLAB_PUBLIC_IP_API"] == "198.51.100.10"
    assert not [name for name in variables if "B_1" in name]    # of two nodes, so of none
    r = product.vpclab("env", "copies", check=0)
    assert "b_1" in r.err and "b-1" in r.err
    got = subprocess.run(["sh", "-c", 'eval "$1"; env -0', "sh", r.out], capture_output=True, check=True, text=True).stdout
    got = dict(line.split("=", 1) for line in got.split("\0") if line)
    assert {name: got[name] for name in variables} == variables
    assert product.vpclab("env", "none").rc == 3


def test_env_quotes(tmp_path):
    """Whatever the run directory is called, a shell reads back the same."""
    p = Product(base=str(tmp_path), name="it's $HOME `id` \"x\" \\ \n;")
    try:
        p.start()
        p.up(LAB)
        text = p.vpclab("env", "copies", check=0).out
        got = subprocess.run(["sh", "-c", 'eval "$1"; printf %s "$VPCLAB_RUN_DIR"', "sh", text],
                             capture_output=True, check=True, text=True).stdout
        assert got == p.run
    finally:
        p.close()


# ---- patch

def group(**rule):
    return {"vpcs": {"main": {"security_groups": {"open": {"ingress": [
        {"protocol": "tcp", "from_port": 80, "cidr_blocks": ["0.0.0.0/0"], **rule}]}}}}}


def test_patch(product):
    product.up(LAB)
    answer = product.json("patch", "copies", json.dumps(group(from_port=81)))
    assert answer["lab"] == "copies" and answer["changed"] and len(answer["changes"]) == 1
    assert (answer["changes"][0]["action"], answer["changes"][0]["kind"]) == ("update", "security_group")
    assert product.probe("copies", "a", "b-1", "tcp/80")["result"] == "timeout"
    path = product.file(group(), "back.json")
    assert product.vpclab("patch", "copies", "@" + path, check=0).out.startswith("copies is up: 1 updated in ")
    assert product.probe("copies", "a", "b-1", "tcp/80")["result"] == "open"
    product.vpclab("patch", "copies", "-", stdin='{"vpcs": {"main": {"instances": {"a": null}}}, "expect": null}', check=0)
    assert list(product.show("copies", "instances")) == ["b-1"]
    assert not product.json("patch", "copies", "{}")["changed"]


@pytest.mark.parametrize("words,status,says", [
    (["none", "{}"], 3, "none"), (["copies", "x"], 2, "neither"), (["copies", "@/nowhere"], 2, "/nowhere"),
    (["copies", '{"a": '], 2, "patch:1:"), (["copies", '{"lab": "b"}'], 2, "patch:1:9: lab"),
    (["copies", '{"vpcs":\n {"main": {"cidr_block": "x"}}}'], 2, "patch:2:26: vpcs.main.cidr_block")])
def test_patches_that_are_wrong(product, words, status, says):
    product.up(LAB)
    r = product.vpclab("patch", *words)
    assert r.rc == status and says in r.err, r
    assert product.probe("copies", "a", "b-1", "tcp/80")["result"] == "open"


@pytest.mark.mutant("if-match")
def test_patches_at_once(product):
    """Ten, each adding an instance of its own: all are there in the end."""
    product.up(LAB)
    clients = [start(product, "patch", "copies", json.dumps({"vpcs": {"main": {"instances": {"n%d" % i: {"subnet": "s"}}}}}))
               for i in range(10)]
    for client in clients:
        _, err = client.communicate(timeout=60)
        assert client.returncode == 0, err
    assert set(product.show("copies", "instances")) == {"a", "b-1"} | {"n%d" % i for i in range(10)}


# ---- completion

LINES = [
    ("vpclab pat", ["patch"], None),
    ("vpclab test --form", ["--format"], None),
    ("vpclab test --format=j", ["junit", "json"], "--format="),
    ("vpclab --run-dir {run} down co", ["copies"], None),
    ("vpclab --run-dir {run} probe copies a b", ["b-1"], None),
    ("vpclab --run-dir {run} exec copies router:", ["main"], "router:"),
    ("vpclab --run-dir {run} show copies subnets/", ["subnets/main/s"], None),
    ("vpclab --run-dir {run} env no", [], None),
    ("vpclab completion ", ["bash", "zsh"], None),
]


BASH = """
    [ -z "$2" ] || . /usr/share/bash-completion/bash_completion
    . <("$0" completion bash)
    COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
    # what readline makes of a line: ':' and '=' are words, too
    mapfile -t COMP_WORDS < <(/usr/bin/python3 -c '
import re, sys
words = re.findall(r"[:=]+|[^\\s:=]+", sys.argv[1])
print("\\n".join(words + ([""] if sys.argv[1][-1] == " " else [])))' "$1")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _vpclab "$0" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\\n' "${COMPREPLY[@]}"
    """


def test_completion_in_bash(product):
    """The script as it is printed, with bash-completion's functions and, where no word has ':' or '=', without."""
    product.up(LAB)
    program = os.path.join(product.build, "vpclab")
    for line, words, prefix in LINES:
        line = line.format(run=product.run).replace("vpclab", program, 1)
        for library in ("x", "") if prefix is None else ("x", ):
            r = subprocess.run(["bash", "--norc", "-c", BASH, program, line, library], capture_output=True, text=True)
            assert r.stdout.split() == words, (line, library, r)


def test_completion_in_zsh(product):
    """At a terminal: the one candidate is put in."""
    product.up(LAB)
    ours, theirs = os.openpty()
    shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                             env={**os.environ, "TERM": "dumb", "PATH": product.build + ":" + os.environ["PATH"]})
    os.close(theirs)

    def until(word):
        seen = b""
        while word not in seen:
            seen += os.read(ours, 4096)
        return seen.decode(errors="replace")
    try:
        os.write(ours, b"unsetopt zle_bracketed_paste beep; PS1=; autoload -Uz compinit; compinit -u -D; "
                       b"source <(vpclab completion zsh); echo re''ady\n")
        until(b"ready")
        for line, words, prefix in LINES:
            if len(words) != 1:
                continue
            line = line.format(run=product.run)
            # completed, then made words of echo's
            os.write(ours, line.encode() + b"\t\x01echo 'is' \x05; echo d''one\n")
            text = until(b"done\r\n")
            assert "is " + line.rsplit(" ", 1)[0] + " " + (prefix or "") + words[0] in text, text
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def test_completion_starts_nothing(fresh):
    r = subprocess.run([os.path.join(fresh.build, "vpclab"), "__complete", "--", "--run-dir", fresh.run, "down", ""],
                       capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout == "" and not os.path.exists(os.path.join(fresh.run, "netd.pid"))
