# SPDX-License-Identifier: MIT
"""The examples of README.md and the manuals: what they say is what the product prints.

An example is a "```console" block of README or a literal display in a manual's EXAMPLES whose first line starts with a
prompt ("# " for root's, "$ " for everybody's); what follows a command, up to the next prompt, is what it printed.
Ids, times, process numbers and what else differs from run to run is levelled on both sides by normal().

usage: tour.py FILE...     runs the examples (root) and writes what they print now into the files
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT_RUN = "/run/vpclab"

LEVEL = [(re.compile(pattern, re.M), to) for pattern, to in (
    (r"\d+ +\d+\.\d{6}$", "N N.N"),  # what vpclab bill counts
    (r"\d+\.\d{6}", "N.N"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\b([a-z]+)-[0-9a-f]{8,17}\b", r"\1-ID"),
    (r"\b([a-z-]+)-[0-9a-f]{6}\b", r"\1-COPY"),
    (r"\.[0-9a-f]{8}\b", ".ID"),
    (r"\b\d+(\.\d+)? (ms|s|MB)\b", r"N \2"),
    (r'"(time|took_ms)":[0-9.]+', r'"\1":N'),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
    (r"/proc/\d+/", "/proc/PID/"),
    (r"\(pid \d+\)", "(pid PID)"),
    (r"eth0@if\d+", "eth0@ifN"),
    (r"^(netd|sandboxd|responder) +\d+", r"\1 PID"),
    (r"^(kernel +ok +)\S+", r"\1RELEASE"),
    (r"(Duration: )[0-9.]+", r"\1N"),
    (r"[ \t]+", " "),
    (r" $", ""),
)]


def normal(text):
    for pattern, to in LEVEL:
        text = pattern.sub(to, text)
    return text.strip("\n")


def plain(line):
    """A line of mdoc(7) source as it is shown."""
    return re.sub(r"^\\&", "", line).replace("\\-", "-").replace("\\e", "\\")


def source(line, is_command):
    """The other way round."""
    line = line.replace("\\", "\\e")
    if is_command:
        line = line.replace("-", "\\-")
    return "\\&" + line if line[:1] in (".", "'") else line


class Example:
    def __init__(self, command, at):
        self.command, self.printed = command, []
        self.first = self.end = at  # lines of the file that hold what it printed


def examples(path):
    """The examples of a file, in its order."""
    manual = not path.endswith(".md")
    found, inside = [], False
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    for n, line in enumerate(lines):
        if line.startswith(".Bd -literal" if manual else "```console"):
            inside = True
        elif line.startswith(".Ed" if manual else "```"):
            inside = False
        elif inside:
            text = plain(line) if manual else line
            if text.startswith(("# ", "$ ")):
                found.append(Example(text[2:], n + 1))
            elif found and found[-1].end == n:
                found[-1].printed.append(text)
                found[-1].end = n + 1
    return found


class Stage:
    """Where examples run: a run directory and a folder of their own; the paths are printed as those of the default."""

    def __init__(self, build, home):
        self.home, self.run_dir = home, os.path.join(home, "run")
        self.folder = os.path.join(home, "folder")
        os.mkdir(self.folder)
        os.symlink(os.path.join(ROOT, "topology"), os.path.join(self.folder, "topology"))
        self.env = {**os.environ, "PATH": build + ":" + os.environ["PATH"], "VPCLAB_RUN_DIR": self.run_dir,
                    "TERM": "dumb", "LC_ALL": "C.UTF-8"}

    def run(self, command, timeout=60):
        with tempfile.TemporaryFile("w+", errors="replace") as out:  # a daemon may keep a pipe open
            subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                           stdout=out, stderr=subprocess.STDOUT, timeout=timeout)
            out.seek(0)
            return out.read().replace(self.run_dir, DEFAULT_RUN)

    def ready(self, path):
        """A manual's examples find shop.json and its lab, as vpclab-init(1) and vpclab-up(1) leave them."""
        if not path.endswith(".md"):
            if not os.path.exists(os.path.join(self.folder, "shop.json")):
                self.run("vpclab -q init shop")
            self.run("vpclab -q down shop; vpclab -q up shop.json")

    def close(self):
        self.run("vpclab down --all; vpclab daemon stop; vpclab gc")


def update(stage, path):
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    stage.ready(path)
    shift = 0
    for e in examples(path):
        printed = [line.rstrip() for line in stage.run(e.command).strip("\n").split("\n")]
        if path.endswith(".md"):
            new = printed
        else:
            new = [source(line, False) for line in printed]
        if printed == [""]:
            new = []
        lines[e.first + shift:e.end + shift] = new
        shift += len(new) - (e.end - e.first)
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def main():
    for path in sys.argv[1:]:
        home = tempfile.mkdtemp(prefix="vpclab-tour-")
        stage = Stage(os.path.join(ROOT, "build"), home)
        try:
            update(stage, path)
        finally:
            stage.close()
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
