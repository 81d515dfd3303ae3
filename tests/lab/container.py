# SPDX-License-Identifier: MIT
"""A place like the inside of "docker run --privileged debian:12", without docker.

The root is this host's system below an overlay (nothing written stays), with /proc, /sys, /dev, /run and /tmp of its
own, in mount, pid, network, uts, ipc and cgroup namespaces of its own, in a control group of its own, without systemd.
"""
import os
import re
import subprocess
import tempfile

CGROUP = re.compile(r"^(?:\S+ ){4}(\S+) .* - (cgroup2?) \S+ (\S+)$")
PRIVILEGED = frozenset()

# /mnt is everywhere, and covered in the container's mount namespace only: no folder has to be made on the host
SETUP = """set -eu
mount -t tmpfs -o mode=755 container /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs %(sys)s sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=1777 tmpfs tmp
%(run)s
mkdir -p var/lib/vpclab
%(cgroups)s
%(binds)s
mkdir -p old
pivot_root . old
umount -l /old
%(proc)s
cd /
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec %(drop)s sh -c "$SCRIPT"
"""


def host_hierarchies():
    """[(mount point, type, options)] of the control group file systems that this host has."""
    with open("/proc/self/mountinfo") as f:
        found = [CGROUP.match(line.strip()) for line in f]
    return [m.groups() for m in found if m]


class Container:
    """less: what a plain "docker run" takes away; of "cgroup" (read-only), "nocgroup", "proc" (/proc/sys read-only),
    "caps" (no capability but docker's own), "run" (no tmpfs on /run)."""

    def __init__(self, folders=(), less=PRIVILEGED):
        self.folders, self.less = folders, set(less)
        self.groups = []

    def _cgroups(self):
        if "nocgroup" in self.less:
            return ""
        ro = "ro" if "cgroup" in self.less else "rw"
        lines = []
        for point, kind, options in host_hierarchies():
            inside = point.lstrip("/")
            words = [w for w in options.split(",") if w not in ("rw", "ro")]
            if inside != "sys/fs/cgroup":
                if not lines:
                    lines.append("mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup")
                lines.append("mkdir -p " + inside)
            if kind == "cgroup2":
                lines.append("mount -t cgroup2 -o %s cgroup2 %s" % (ro, inside))
            else:
                name = [w for w in words if w != "xattr" and "release_agent" not in w]
                lines.append("mount -t cgroup -o %s,%s cgroup %s" % (ro, ",".join(name), inside))
        return "\n".join(lines)

    def _enter_groups(self):
        for point, kind, _ in host_hierarchies():
            group = os.path.join(point, "vpclab-container-%d" % os.getpid())
            try:
                os.mkdir(group)
            except FileExistsError:
                pass
            self.groups.append(group)
            for name in ("cpuset.cpus", "cpuset.mems"):  # v1's start empty, and then nobody can join
                if kind == "cgroup" and os.path.exists(os.path.join(group, name)):
                    with open(os.path.join(point, name)) as src, open(os.path.join(group, name), "w") as dst:
                        dst.write(src.read())

    def _leave_groups(self):
        for group in self.groups:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        self.groups = []

    def run(self, script, timeout=120, check=None):
        """Runs a shell script as the container's pid 1's child; its processes end with it."""
        self._enter_groups()
        groups = list(self.groups)
        binds = ["mkdir -p .%s && mount --bind %s .%s && mount -o remount,bind,ro .%s" % (f, f, f, f)
                 for f in self.folders]
        drop = ""
        if "caps" in self.less:
            docker = ("chown,dac_override,fsetid,fowner,mknod,net_raw,setgid,setuid,setfcap,setpcap,"
                      "net_bind_service,sys_chroot,kill,audit_write").split(",")
            keep = ",".join("+" + c for c in docker)
            drop = "setpriv --bounding-set=-all,%s --inh-caps=-all" % keep
        setup = SETUP % {
            "sys": "" if "caps" not in self.less else "-o ro",
            "run": "" if "run" in self.less else "mount -t tmpfs -o mode=755 tmpfs run",
            "cgroups": self._cgroups(), "binds": "\n".join(binds), "drop": drop,
            "proc": "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
                    if "proc" in self.less else ""}

        def enter():
            for group in groups:
                with open(os.path.join(group, "cgroup.procs"), "w") as f:
                    f.write("0")

        try:
            with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
                status = subprocess.run(
                    ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup",
                     "--propagation", "private", "sh", "-c", setup], preexec_fn=enter, stdin=subprocess.DEVNULL,
                    stdout=out, stderr=err, timeout=timeout, env={**os.environ, "SCRIPT": script}).returncode
                out.seek(0)
                err.seek(0)
                done = subprocess.CompletedProcess(script, status, out.read(), err.read())
        finally:
            self._leave_groups()
        assert check is None or done.returncode == check, "status %d, not %d: %s\n%s\n%s" % (
            done.returncode, check, script, done.stdout[-4000:], done.stderr[-4000:])
        return done
