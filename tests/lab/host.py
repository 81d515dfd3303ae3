# SPDX-License-Identifier: MIT
"""A picture of the host that the product must leave as it found it."""
import os
import subprocess


def _run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _sysctls():
    got = {}
    for base, _, names in os.walk("/proc/sys/net"):
        for name in names:
            path = os.path.join(base, name)
            try:
                with open(path) as f:
                    got[path] = f.read()
            except OSError:
                continue
    return got


def _cgroups():
    """Folders of each hierarchy that carry the product's name."""
    got = []
    for top in sorted(os.listdir("/sys/fs/cgroup")):
        path = os.path.join("/sys/fs/cgroup", top)
        if not os.path.isdir(path):
            continue
        for name in sorted(os.listdir(path)):
            if name.startswith("vpclab") or top.startswith("vpclab"):
                got.append(os.path.join(path, name))
    return got


def processes(names=("netd", "sandboxd", "responder", "vpclab-init")):
    """pids of the product's programs."""
    got = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open("/proc/%s/comm" % pid) as f:
                if f.read().strip() in names:
                    with open("/proc/%s/cmdline" % pid, "rb") as c:
                        line = c.read().replace(b"\0", b" ").decode().strip()
                    if line:    # a dead one that nobody has reaped yet has none
                        got.append((int(pid), line))
        except OSError:
            continue
    return got


# Counters and what the kernel changes by itself are no part of the picture.
_VOLATILE = ("nf_conntrack_count", "/route/flush", "/neigh/", "tcp_mem", "udp_mem")


def snapshot():
    sysctls = {k: v for k, v in _sysctls().items() if not any(v_ in k for v_ in _VOLATILE)}
    return {
        "links": _run("ip", "-o", "link"),
        "addresses": _run("ip", "-o", "addr"),
        "routes": _run("ip", "route", "show", "table", "all"),
        "rules": _run("ip", "rule"),
        "nft": _run("nft", "list", "ruleset"),
        "netns": _run("ip", "netns"),
        "sysctls": sysctls,
        "mounts": open("/proc/self/mountinfo").read(),
        "cgroups": _cgroups(),
    }


def difference(before, after):
    """Names and values of what changed; empty if nothing did."""
    got = {}
    for key in before:
        if before[key] != after[key]:
            if isinstance(before[key], dict):
                got[key] = {k: (before[key].get(k), after[key].get(k))
                            for k in set(before[key]) | set(after[key])
                            if before[key].get(k) != after[key].get(k)}
            else:
                got[key] = (before[key], after[key])
    return got
