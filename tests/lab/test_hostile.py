# SPDX-License-Identifier: MIT
"""Isolation: a hostile program tries each way out of a function's sandbox, and none leads anywhere (SECURITY.md).

The same program first runs as root outside of any sandbox, in namespaces of its own: an attempt that doesn't
get there either proves nothing by failing in a sandbox."""
import concurrent.futures
import json
import os
import subprocess
import tempfile

import pytest

from product import alive, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
HOSTILE = os.path.join(os.path.dirname(HERE), "hostile")

# What this kernel, machine or container may lack; everything else must be reached by root.
MAY_LACK = {
    "raise_limit": "CAP_SYS_RESOURCE", "open_sysrq": "a kernel with SysRq", "crypto_socket": "AF_ALG",
    "hypervisor_socket": "AF_VSOCK", "express_socket": "AF_XDP", "load_module": "a kernel with modules",
    "unload_module": "a kernel with modules", "load_kernel": "kexec", "ports": "iopl", "old_calls": "32-bit calls",
    "old_x32": "x32 calls", "io_uring": "io_uring", "user_faults": "userfaultfd", "newest_calls": "a kernel that new",
    "watch_events": "perf events", "devices": "devices of the host", "swap_on": "swap", "accounting": "accounting",
    "real_time": "a share of real time", "kernel_addresses": "kernel symbols", "packet_socket_old": "SOCK_PACKET",
    "user_namespace": "user namespaces", "user_namespace_by_clone": "user namespaces",
    "user_namespace_by_clone3": "user namespaces", "open_sys": "a writable /sys", "open_cgroup": "a writable cgroup",
    "queue_of_others": "POSIX queues", "watch_all_files": "fanotify", "set_clock": "CAP_SYS_TIME",
    "read_log": "CAP_SYSLOG", "type_ahead_high": "TIOCSTI", "session_keyring": "a keyring of the session",
}
ALONE = ("much_memory", "much_shared_memory", "much_disk")


@pytest.fixture(scope="module")
def program(product):
    folder = os.path.join(product.files, "code")
    os.makedirs(folder)
    path = os.path.join(folder, "hostile")
    subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", path, os.path.join(HOSTILE, "hostile.c")],
                   check=True)
    return path


@pytest.fixture(scope="module")
def canary():
    """A file of the host's that anybody who sees it may write; not below /tmp, which attempts cover."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="vpclab-test-") as folder:
        path = os.path.join(folder, "canary")
        with open(path, "w") as f:
            f.write("sings")
        os.chmod(path, 0o666)
        os.chmod(folder, 0o755)
        yield path


def outside(product, program, canary, only=None):
    top = os.path.join(product.home, "top")
    os.makedirs(top, exist_ok=True)
    r = subprocess.run(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--net", "--uts", "--ipc",
                        "--cgroup", "sh", os.path.join(HOSTILE, "scratch.sh"), top, program, product.run, canary,
                        *(["only=" + only] if only else [])],
                       capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r
    return json.loads(r.stdout)


@pytest.fixture(scope="module")
def reached(product, program, canary):
    """What root reaches outside; what it can't for lack of the thing itself is told."""
    found = outside(product, program, canary)
    lacking = {name: a["how"] for name, a in found.items() if a["result"] != "reached"}
    for name, how in lacking.items():
        print("not shown here, for root gets %s: %s (needs %s)" % (how or "nothing", name, MAY_LACK.get(name)))
    assert set(lacking) <= set(MAY_LACK), {n: h for n, h in lacking.items() if n not in MAY_LACK}
    return set(found) - set(lacking)


@pytest.fixture(scope="module")
def bystander():
    """A process of the host's that nothing may touch."""
    p = subprocess.Popen(["sleep", "300"])
    yield p.pid
    assert p.poll() is None, "a process outside died"
    p.kill()
    p.wait()


def tries(product, canary, bystander, *more):
    return ["/var/task/hostile", "try", "canary=" + canary, "run=" + product.run, "pid=%d" % bystander, "port=7777", *more]


@pytest.fixture
def lab(product, program, canary, bystander):
    def function(*more, memory=1769):
        return {"runtime": "exec", "code": "code", "timeout": 60, "memory_size": memory,
                "command": tries(product, canary, bystander, *more)}

    doc = {
        "version": 1, "lab": "hostile",
        "functions": {
            "hostile": function(),
            "victim": {"runtime": "exec", "code": "code", "timeout": 60, "environment": {"SECRET": "vpclab-hostile-victim"},
                       "command": ["sh", "-c", "sleep 60 | /var/task/hostile victim 7777"]},
            "echo": {"runtime": "exec", "command": ["cat"]},
            "much_memory": function("only=much_memory", memory=512),
            "much_shared_memory": function("only=much_shared_memory", memory=512),
            "much_disk": function("only=much_disk", memory=1024),
        },
    }
    product.up(doc)
    with open(canary) as f:
        assert f.read() == "sings"
    daemons = [product.pid(d) for d in ("netd", "sandboxd")]
    yield product
    assert daemons == [product.pid(d) for d in ("netd", "sandboxd")] and all(alive(p) for p in daemons)
    with open(canary) as f:
        assert f.read() == "sings"
    assert product.vpclab("invoke", "hostile", "echo", "--payload", "[1]", check=0).out.strip() == "[1]"


@pytest.mark.ids("EX-11", "LN-6")
@pytest.mark.mutant("filter-list", "filter-arguments")
def test_no_way_leads_out(lab, reached):
    victim = subprocess.Popen([os.path.join(lab.build, "vpclab"), "--run-dir", lab.run, "invoke", "hostile", "victim"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "ready" in lab.vpclab("logs", "hostile", "victim").out, "the victim")
        found = lab.json("invoke", "hostile", "hostile")
        assert victim.poll() is None, "the victim ended"
    finally:
        victim.kill()
        victim.wait()
    assert set(found) >= reached and len(reached) >= 60, sorted(reached - set(found))
    through = {n: a for n, a in found.items() if a["result"] == "reached"}
    assert not through, through
    unknown = {n for n in reached if found[n]["result"] != "refused"}
    assert not unknown, unknown


@pytest.mark.mutant("function-memory", "function-disk")
def test_what_is_used_up_is_its_own(lab, program, canary):
    for what in ALONE:
        assert outside(lab, program, canary, what)[what]["result"] == "reached", what
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = pool.map(lambda what: lab.vpclab("invoke", "hostile", what), ALONE)
    for what, r in zip(ALONE, answers):
        # told that there is no more, or killed, perhaps with its whole environment
        if r.rc == 0:
            answer = r.json()[what]
            assert answer["result"] == "refused", (what, answer)
            assert answer["how"] == ("ENOSPC" if what == "much_disk" else "signal 9"), (what, answer)
        else:
            assert what != "much_disk" and '"Runtime.' in r.out, (what, r)
