# SPDX-License-Identifier: MIT
"""Each check of doctor fails where the thing is missing: taken away for real where that can be done (a system call
refused by a filter, a mount, a limit, a capability), by a failing kernel request in testing builds elsewhere."""
import ctypes
import json
import os
import resource
import struct
import subprocess

import pytest

from container import Container
from product import BUILD, ROOT

TESTING = os.path.join(ROOT, "build", "testing")
_libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"pidfd_open": 434, "close_range": 436, "openat2": 437, "memfd_create": 319, "seccomp": 317,
         "inotify_init1": 294, "uname": 63, "pivot_root": 155, "membarrier": 324}
ENOSYS = 38


def refuse(*calls):
    """A function for preexec_fn: these system calls fail with ENOSYS from then on (x86-64)."""
    program = [(0x20, 0, 0, 0)]  # the call's number
    for number in calls:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | ENOSYS)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    code = b"".join(struct.pack("HBBI", *i) for i in program)

    class Prog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
    prog = Prog(len(program), code)

    def install():
        if _libc.prctl(22, 2, ctypes.byref(prog), 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
    return install


def doctor(tmp_path, preexec=None, build=BUILD, env=None, args=()):
    p = subprocess.run([os.path.join(build, "vpclab"), "--run-dir", str(tmp_path / "run"), *args, "-o", "json",
                        "doctor"], capture_output=True, text=True, preexec_fn=preexec,
                       env={**os.environ, **(env or {})})
    doc = json.loads(p.stdout)
    return {c["name"]: c for c in doc["checks"]}, p.returncode, doc["ok"]


def names():
    """Of all checks, as the program has them."""
    text = "".join(open(os.path.join(ROOT, "cli", f)).read() for f in ("doctor_host.c", "doctor_net.c"))
    table = text.split("DOCTOR_HOST[] = {")[1].split("};")[0] + text.split("DOCTOR_NET[] = {")[1].split("};")[0]
    return [line.split('"')[1] for line in table.splitlines() if line.startswith('\t{ "')]


def lacks(got, name):
    checks, status, ok = got
    assert checks[name]["state"] == "missing", checks[name]
    assert checks[name]["why"] and checks[name]["fix"] and checks[name]["detail"], checks[name]
    if checks[name]["needed"]:
        assert status == 4 and ok is False


def test_this_host_lacks_nothing(tmp_path):
    """And nothing that was tried is left behind."""
    checks, status, ok = doctor(tmp_path)
    assert status == 0 and ok is True
    assert list(checks) == names()
    assert all(c["state"] == "ok" and c["fix"] is None and c["why"] for c in checks.values() if c["needed"]), checks
    assert not list(tmp_path.iterdir())


def test_text_says_why_and_how(tmp_path):
    p = subprocess.run([os.path.join(BUILD, "vpclab"), "--run-dir", str(tmp_path / "run"), "doctor"], text=True,
                       capture_output=True, preexec_fn=refuse(CALLS["memfd_create"]))
    assert p.returncode == 4
    assert "\nmemfd sealing\n  why  " in p.stdout and "\n  get  a kernel with CONFIG_MEMFD_CREATE" in p.stdout


@pytest.mark.parametrize("name,call", [
    ("pidfd", "pidfd_open"), ("close_range", "close_range"), ("openat2", "openat2"), ("memfd sealing", "memfd_create"),
    ("seccomp", "seccomp"), ("inotify", "inotify_init1"), ("kernel", "uname"), ("roots of sandboxes", "pivot_root"),
    ("membarrier", "membarrier")])
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls are x86-64's")
def test_a_call_that_the_kernel_lacks(tmp_path, name, call):
    lacks(doctor(tmp_path, refuse(CALLS[call])), name)


@pytest.mark.parametrize("name", ["links and routing", "nftables sets", "nftables maps", "nftables notes",
                                  "nftables conntrack zones", "nftables fib", "nftables nat",
                                  "nftables connection limits", "nftables reject"])
def test_a_kernel_request_that_fails(tmp_path, name):
    """Only that check, so each looks for itself."""
    got = doctor(tmp_path, build=TESTING, env={"VPCLAB_DOCTOR_FAULT": name})
    lacks(got, name)
    assert [n for n, c in got[0].items() if c["state"] != "ok" and c["needed"]] == [name]


def test_limits(tmp_path):
    lacks(doctor(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))), "open files")


def test_another_user(tmp_path):
    tmp_path.chmod(0o777)
    checks, status, ok = doctor(tmp_path, lambda: os.setuid(65534))
    assert status == 4 and not ok
    assert checks["root"]["state"] == "missing" and checks["capabilities"]["state"] == "missing"
    assert checks["links and routing"]["state"] == "unknown"


def test_programs(tmp_path):
    """vpclab alone, without what it starts."""
    lone = tmp_path / "lone"
    lone.mkdir()
    subprocess.run(["cp", os.path.join(BUILD, "vpclab"), lone], check=True)
    got = doctor(tmp_path, build=str(lone))
    lacks(got, "programs")
    assert got[0]["programs"]["detail"] == "no netd, sandboxd, responder, vpclab-init"


@pytest.mark.parametrize("name,script", [
    ("proc", "umount /proc && mount -t tmpfs tmpfs /proc"),
    ("devices", "umount /dev/null && rm /dev/null"),
    ("run directory", "mount -t tmpfs -o ro tmpfs /run"),
    ("run directory", "mount -t tmpfs -o size=4k tmpfs /run"),
    ("state directory", "mount -t tmpfs -o ro tmpfs /var/lib/vpclab"),
    ("state directory", "mount -t tmpfs -o size=4k tmpfs /var/lib/vpclab"),
    ("namespace limits", "umount /proc/sys/user 2>/dev/null; mount -t tmpfs tmpfs /proc/sys/user &&"
                         " for k in net mnt pid uts ipc cgroup; do echo 8 >/proc/sys/user/max_${k}_namespaces; done"),
    ("capabilities", "exec setpriv --bounding-set=-net_raw --inh-caps=-net_raw -- sh -c \"$DOCTOR\""),
    ("raw sockets", "exec setpriv --bounding-set=-net_raw --inh-caps=-net_raw -- sh -c \"$DOCTOR\""),
    ("pinned namespaces", "mount -t tmpfs -o ro tmpfs /run"),
    ("overlay", "mount -t tmpfs -o ro tmpfs /run"),
    ("cgroups", "umount -R /sys/fs/cgroup"),
    ("sysctls of namespaces", "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"),
    ("sysctls of tracking", "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"),
    ("tools", "PATH=/nowhere; mount -t tmpfs tmpfs /sbin; /bin/rm -f /usr/sbin/nft"),
])
def test_surroundings(name, script):
    """Each in a place of its own, from which that thing was taken."""
    doc = "%s/vpclab -o json doctor" % BUILD
    p = Container([BUILD]).run("export DOCTOR='%s'\n%s\neval \"$DOCTOR\"" % (doc, script))
    assert p.stdout, p
    got = json.loads(p.stdout)
    lacks(({c["name"]: c for c in got["checks"]}, p.returncode, got["ok"]), name)


def test_neighbours(tmp_path):
    """The limit is the host's own: another file lies over it, in a mount namespace of the check's own."""
    p = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /proc/sys/net/ipv4/neigh/default &&"
                        " echo 512 >/proc/sys/net/ipv4/neigh/default/gc_thresh3 &&"
                        " exec %s/vpclab --run-dir %s -o json doctor" % (BUILD, tmp_path / "run")],
                       capture_output=True, text=True, timeout=120)
    got = json.loads(p.stdout)
    lacks(({c["name"]: c for c in got["checks"]}, p.returncode, got["ok"]), "neighbours")


def test_namespaces():
    """Where they are refused, the check says so, or that it could not be tried."""
    p = Container([BUILD], ("caps",)).run("%s/vpclab -o json doctor" % BUILD)
    got = {c["name"]: c for c in json.loads(p.stdout)["checks"]}
    assert p.returncode == 4 and got["namespaces"]["state"] == "unknown"
    assert got["namespaces"]["detail"].startswith("not tried: namespaces: Operation not permitted"), got["namespaces"]
