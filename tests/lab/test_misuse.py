# SPDX-License-Identifier: MIT
"""What may go wrong around the product: each gets a clear error, and nothing changed."""
import os
import subprocess

import pytest

from product import Product, having
from test_changes import kernel_state, lab


def test_a_second_daemon_on_one_run_directory(product):
    product.up(lab())
    for program in ("netd", "sandboxd"):
        r = subprocess.run([os.path.join(product.build, program), "--run-dir", product.run], capture_output=True,
                           text=True, timeout=20)
        assert r.returncode == 5 and str(product.pid(program)) in r.stderr, r
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"


def test_a_run_directory_that_is_not_writable(fresh):
    r = fresh.vpclab("--run-dir", "/proc/nowhere", "ls")
    assert r.rc == 5 and "/proc/nowhere" in r.err, r


def test_no_permission(product):
    product.up(lab())
    r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                        os.path.join(product.build, "vpclab"), "--run-dir", product.run, "ls"],
                       capture_output=True, text=True)
    assert r.returncode == 5 and "ermi" in r.stderr, r


def test_without_daemons_and_without_starting_them(fresh):
    r = fresh.vpclab("ls", "--no-start")
    assert r.rc in (0, 5), r
    r = fresh.vpclab("show", "x", "--no-start")
    assert r.rc in (3, 5) and r.err.startswith("vpclab: "), r
    assert not os.path.exists(os.path.join(fresh.run, "netd.sock"))


def test_a_full_disk_changes_nothing():
    """The state directory is a file system of 1 MiB that something else fills."""
    p = Product()
    state = os.path.join(p.home, "state")
    os.mkdir(state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", state], check=True)
    try:
        p.vpclab("--state-dir", state, "daemon", "start", check=0)
        p.vpclab("--state-dir", state, "up", p.file(lab()), check=0)
        before = kernel_state(p, "changes")
        filler = os.open(os.path.join(state, "filler"), os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(filler, b"x" * 4096):
                pass
        except OSError:
            pass
        os.close(filler)
        doc = lab()
        doc["vpcs"]["main"]["instances"].update(
            {"x%d" % i: {"subnet": "one", "files": {"/tmp/big": "y" * 20000}} for i in range(100)})
        r = p.vpclab("--state-dir", state, "up", p.file(doc))
        assert r.rc == 5 and ("full" in r.err or "space" in r.err), r
        assert kernel_state(p, "changes") == before
        assert p.probe("changes", "a", "b", "tcp/80")["result"] == "open"
        os.unlink(os.path.join(state, "filler"))
        p.vpclab("--state-dir", state, "up", p.file(having(lab(), "changes", "lab")), check=0)
    finally:
        try:
            p.vpclab("--state-dir", state, "down", "--all")
            p.vpclab("--state-dir", state, "daemon", "stop")
            p.vpclab("--state-dir", state, "gc")
        finally:
            subprocess.run(["umount", state], check=True)
            p.close()


def test_a_broken_file(product):
    for text in ("", "{", "[]", "null", '{"version": 1}', "\x00", '{"version": 2, "lab": "x"}'):
        r = product.vpclab("up", product.file(text))
        assert r.rc == 2 and r.err, (text, r)
    assert product.json("ls") == []


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_change_that_fails_leaves_the_old_lab(product, n):
    """A node of the new file never gets ready: the lab is as it was."""
    product.up(lab())
    before = kernel_state(product, "changes")
    doc = having(lab(), {"subnet": "one", "command": ["sleep", "100"], "ready": ["tcp/1"], "ready_timeout": 0.3},
                 "vpcs", "main", "instances", "late%d" % n)
    r = product.vpclab("up", product.file(doc))
    assert r.rc == 5 and "late%d" % n in r.err, r
    assert kernel_state(product, "changes") == before
    assert product.probe("changes", "a", "b", "tcp/80")["result"] == "open"
