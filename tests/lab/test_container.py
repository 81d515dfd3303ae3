# SPDX-License-Identifier: MIT
"""README's "In a container": what docker run --privileged gives is enough, and where it gives less doctor says what."""
import json
import os

import pytest

from container import Container
from product import BUILD, ROOT

EXAMPLES = os.path.join(ROOT, "topology", "examples")


def doctor(script="", less=(), program="vpclab"):
    """{name: check} of doctor in a container, and its status."""
    r = Container([BUILD, EXAMPLES], less).run(script + "\n%s/%s -o json doctor" % (BUILD, program))
    return {c["name"]: c for c in json.loads(r.stdout)["checks"]}, r.returncode


def missing(checks):
    return sorted(n for n, c in checks.items() if c["state"] == "missing" and c["needed"])


def test_a_lab_in_a_container():
    """Three-modes holds, and nothing of it is left in the container's mounts and groups."""
    r = Container([BUILD, EXAMPLES]).run("""set -e
        cd /tmp; PATH=%s:$PATH
        vpclab -q doctor >doctor.txt
        vpclab -o json test %s/three-modes.json >result.json
        vpclab daemon stop && vpclab gc
        ! grep -E '/run/vpclab|nsfs' /proc/self/mountinfo || exit 1
        ! find /sys/fs/cgroup -name 'vpclab-[0-9a-f]*' | grep . || exit 1
        cat result.json""" % (BUILD, EXAMPLES), check=0)
    got = json.loads(r.stdout)
    assert got["failed"] == 0 and got["passed"] >= 40, got


@pytest.mark.parametrize("less,names", [
    (("cgroup",), ["cgroups"]),
    (("nocgroup",), ["cgroups"]),
    (("proc",), ["sysctls of namespaces", "sysctls of tracking"]),
], ids=lambda v: "-".join(v) if isinstance(v, tuple) else "")
def test_what_a_container_lacks_is_named(less, names):
    """And a lab there is refused, with nothing left, rather than brought up by half."""
    checks, status = doctor(less=less)
    assert status == 4 and missing(checks) == names, checks
    assert all(checks[n]["fix"] and checks[n]["why"] and checks[n]["detail"] for n in names)
    r = Container([BUILD, EXAMPLES], less).run("""
        %(build)s/vpclab test %(examples)s/two-tier.json; echo "status $?"
        %(build)s/vpclab --no-start -o json ls
        %(build)s/vpclab daemon stop; %(build)s/vpclab gc
        grep -c nsfs /proc/self/mountinfo""" % {"build": BUILD, "examples": EXAMPLES})
    assert "status 4" in r.stdout or "status 5" in r.stdout, r
    assert r.stdout.strip().endswith("\n0"), r


def test_without_privileged():
    """Capabilities are missing; what can't be tried without them is unknown, not accused."""
    checks, status = doctor(less=("caps", "cgroup", "proc"))
    assert status == 4
    assert "capabilities" in missing(checks)
    assert "sys_admin" in checks["capabilities"]["detail"] and "net_admin" in checks["capabilities"]["detail"]
    assert "--privileged" in checks["capabilities"]["fix"]
    assert checks["nftables nat"]["state"] == "unknown" and checks["nftables nat"]["fix"] is None


def test_without_a_tmpfs_on_run():
    """README: the root's overlay does as well."""
    r = Container([BUILD, EXAMPLES], ("run",)).run("%s/vpclab doctor >&2 && %s/vpclab -o json test %s/two-tier.json" % (
        BUILD, BUILD, EXAMPLES), check=0)
    assert json.loads(r.stdout)["failed"] == 0


def test_installed_files_in_a_container(tmp_path):
    """What "make install" puts below /usr finds its daemons from there."""
    import subprocess
    subprocess.run(["make", "-s", "-C", ROOT, "install", "PREFIX=/usr", "DESTDIR=%s" % tmp_path], check=True,
                   stdout=subprocess.DEVNULL)
    r = Container([str(tmp_path)]).run("""set -e
        cp -a %s/. /
        cd /tmp; vpclab init shop; vpclab -o json test shop.json; vpclab daemon stop; vpclab gc""" % tmp_path, check=0)
    assert json.loads(r.stdout)["failed"] == 0
