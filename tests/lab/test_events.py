# SPDX-License-Identifier: MIT
"""
events: what the ring holds and then what comes, of both daemons; numbers that rise over restarts; a ring and answers
of bounded size, and a reader that is told what it missed.
"""
import json
import os
import pty
import signal
import subprocess

import pytest

from product import Unix, wait_until

LAB = {
    "version": 1, "lab": "events",
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16",
        "subnets": {"a": {"cidr_block": "10.0.1.0/24"}},
        "instances": {"x": {"subnet": "a", "command": ["/bin/sleep", "1000"]}},
    }},
    "functions": {"f": {"runtime": "exec", "command": ["cat"]}},
}
RING = 10000


def ask(product, after=0, lab=None, method="GET", body=None):
    """(headers, lines, size) of one poll that doesn't wait."""
    c = Unix(os.path.join(product.run, "netd.sock"))
    path = "/v1/events" if body else "/v1/events?after=%d&wait=0%s" % (after, "&lab=" + lab if lab else "")
    c.request(method, path, body=body)
    r = c.getresponse()
    data = r.read()
    c.close()
    assert r.status == 200, data
    return r.headers, [json.loads(line) for line in data.splitlines()], len(data)


def post(product, n, detail="", lab="other"):
    for _ in range(n // 100):
        one = {"lab": lab, "event": "test", "kind": "lab", "name": lab, "detail": detail}
        ask(product, method="POST", body=json.dumps({"events": [one] * 100}))


def last(product):
    seq, lines = 0, True
    while lines:
        headers, lines, _ = ask(product, seq)
        seq = int(headers["Vpclab-Seq"])
    return seq


def seen(product, after):
    return {(e["event"], e["kind"], e["name"]) for e in ask(product, after, "events")[1]}


@pytest.mark.asan
@pytest.mark.mutant("notices")
def test_both_daemons_tell_what_changes(product):
    product.up(LAB)
    wait_until(lambda: {("created", "lab", "events"), ("created", "instance", "x"), ("created", "function", "f")} <=
               seen(product, 0), "the lab's objects are told of")
    made = [e for e in ask(product, 0, "events")[1] if e["kind"] == "function"]
    assert made[-1]["id"] == product.show("events", "functions/f")["id"]
    after = last(product)
    change = {"functions": {"f": {"environment": {"AB": "1"}}},
              "vpcs": {"main": {"instances": {"x": {"command": ["/bin/sleep", "2000"]}}}}}
    product.vpclab("patch", "events", json.dumps(change), check=0)
    wait_until(lambda: {("updated", "function", "f"), ("restarted", "instance", "x")} <= seen(product, after),
               "sandboxd's events are there")
    after = last(product)
    os.kill(product.show("events", "instances/x")["pid"], signal.SIGKILL)
    wait_until(lambda: ("failed", "instance", "x") in seen(product, after), "the end of an init is told")


@pytest.mark.mutant("events-reply", "events-lost")
def test_answers_are_small_and_what_is_lost_is_told(product):
    product.up(LAB)
    after = last(product)
    post(product, RING + 500, "x" * 500)
    headers, lines, size = ask(product, after)
    assert headers["Vpclab-Lost"] == "500" and lines[0]["seq"] == after + 501
    assert size < (1 << 20) + 2000 and int(headers["Vpclab-Seq"]) == lines[-1]["seq"]
    n = 0
    while lines:
        assert [e["seq"] for e in lines] == list(range(lines[0]["seq"], lines[-1]["seq"] + 1))
        n += len(lines)
        headers, lines, size = ask(product, int(headers["Vpclab-Seq"]))
        assert "Vpclab-Lost" not in headers
    assert n == RING
    # another lab's events are none of this one's
    assert not ask(product, after, "events")[1]


def test_a_slow_reader_is_told_what_it_missed(product):
    product.up(LAB)
    argv = [os.path.join(product.build, "vpclab"), "--run-dir", product.run, "events", "--after", str(last(product))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        try:
            post(product, 2 * RING, "x" * 500)    # far more than a pipe and an answer hold
            product.vpclab("down", "events", check=0)
            end = last(product)
            seqs = [0]
            while seqs[-1] < end:
                seqs.append(json.loads(p.stdout.readline())["seq"])
            assert seqs == sorted(seqs) and len(seqs) > RING
        finally:
            p.send_signal(signal.SIGINT)
        assert "events are lost" in p.stderr.read()


def test_a_terminal_gets_no_control_bytes(product):
    product.up(LAB)
    after = last(product)
    post(product, 100, "\x9b2J\x1b[2J")
    master, slave = pty.openpty()
    argv = [os.path.join(product.build, "vpclab"), "--run-dir", product.run, "events", "--after", str(after)]
    with subprocess.Popen(argv, stdout=slave) as p:
        os.close(slave)
        text = b""
        while text.count(b"\n") < 100:
            text += os.read(master, 4096)
        p.kill()
    os.close(master)
    assert b"\x9b" not in text and b"\x1b" not in text and b"2J" in text


@pytest.mark.mutant("events-restart")
def test_numbers_rise_over_restarts_and_labs_are_there(fresh):
    fresh.start()
    fresh.up(LAB)
    argv = [os.path.join(fresh.build, "vpclab"), "--run-dir", fresh.run, "--no-start", "events", "events"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        p.stdout.readline()
        before = last(fresh)
        fresh.kill("netd")
        _, err = p.communicate(timeout=20)
        assert p.returncode == 5 and "netd" in err
    fresh.start()
    got = ask(fresh, before)[1]
    assert [(e["event"], e["name"]) for e in got if e["kind"] == "lab"] == [("adopted", "events")]
    assert got[0]["seq"] > before
    # a daemon that was told to end leaves no gap
    before = last(fresh)
    fresh.kill("netd", signal.SIGTERM)
    fresh.start()
    assert ask(fresh, before)[1][0]["seq"] == before + 1
