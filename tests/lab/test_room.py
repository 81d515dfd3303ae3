# SPDX-License-Identifier: MIT
"""Environments without work: how long they stay, and which go first when memory is short."""
import subprocess
import os

import pytest

from product import wait_until

FILL = "head -c %dM /dev/zero > /tmp/x; cat"


def environments(p, lab, function):
    return p.show(lab, "functions/" + function)["environments"]


def functions(**scripts):
    return {name: {"runtime": "exec", "command": ["sh", "-c", script], "memory_size": 512, "timeout": 60}
            for name, script in scripts.items()}


@pytest.mark.mutant("room-idle")
def test_idle_environments_end(product):
    product.up({"version": 1, "lab": "brief", "time_scale": 300, "functions": functions(f="cat")})
    product.up({"version": 1, "lab": "long", "functions": functions(f="cat")})
    for lab in ("brief", "long"):
        product.vpclab("invoke", lab, "f", "--payload", "1", check=0)
        assert environments(product, lab, "f") == 1
    # 300 s by a scale of 300
    wait_until(lambda: environments(product, "brief", "f") == 0, "the end of an idle environment", 10)
    assert environments(product, "long", "f") == 1
    product.vpclab("invoke", "brief", "f", "--payload", "1", check=0)


@pytest.mark.ids("INV-7")
@pytest.mark.mutant("room", "room-order")
def test_the_least_recently_used_go_first(fresh):
    p = fresh
    p.vpclab("daemon", "start", "--memory", "110", check=0)
    p.up({"version": 1, "lab": "room", "functions": functions(
        a=FILL % 40, b=FILL % 40, c=FILL % 40, small="cat", hold=FILL % 120 + " >/dev/null; echo held >&2; sleep 60")})

    def living():
        return {f for f in ("a", "b", "c", "small") if environments(p, "room", f)}

    for f in ("a", "b", "a", "c"):
        p.vpclab("invoke", "room", f, "--payload", "1", check=0)
    assert living() == {"a", "b", "c"}  # 120 MB, but nobody had to be placed since
    p.vpclab("invoke", "room", "small", "--payload", "1", check=0)
    wait_until(lambda: living() == {"a", "c", "small"}, "the end of the least recently used")
    # what is used by one that works isn't taken from it; everybody else goes, and still there is no room
    hold = subprocess.Popen([os.path.join(p.build, "vpclab"), "--run-dir", p.run, "invoke", "room", "hold"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "held" in p.vpclab("logs", "room", "hold").out, "120 MB held")
        p.vpclab("invoke", "room", "small", "--payload", "1", check=0)  # warm: not placed again
        r = p.vpclab("invoke", "room", "b", "--payload", "1")
        assert r.rc != 0 and "TooManyRequestsException" in r.err + r.out, r
        wait_until(lambda: living() == set(), "the end of all that idle")
        assert hold.poll() is None
    finally:
        p.vpclab("down", "room", check=0)
        hold.kill()
        hold.wait()


def test_a_daemon_that_runs_is_as_it_was(fresh):
    fresh.vpclab("daemon", "start", "--idle", "7", check=0)
    assert fresh.vpclab("daemon", "start", "--idle", "8").rc == 5
    fresh.vpclab("daemon", "start", "--idle", "7", check=0)
    for wrong in (("--idle", "0"), ("--idle", "x"), ("--memory", "1")):
        fresh.vpclab("daemon", "stop", check=0)
        r = fresh.vpclab("daemon", "start", *wrong)
        assert r.rc != 0 and "a number from" in r.err, r
