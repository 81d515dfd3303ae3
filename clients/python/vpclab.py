# SPDX-License-Identifier: MIT
"""Network labs like an AWS VPC from Python: brings labs up, probes, patches, invokes, takes them down.

    import vpclab

    client = vpclab.Client()
    with client.copy("shop.lab.json", merge={"time_scale": 60}) as lab:
        lab.expect("inside", "api", "tcp/443", "open", seen_as="203.0.113.10")
        assert lab.probe("sealed", "api", "tcp/443").because == "NO_ROUTE_TO_DESTINATION"
        assert lab.invoke("inside", {"a": 1}).payload == {"a": 1}

Two doors lead into the product, and this module owns neither's rules.  Labs, probes, invocations, logs and
commands go to sandboxd over its sockets.  Expectations and objects go through the command line ("vpclab test",
"vpclab show"), because what holds, and what a report says, is decided there and nowhere else.

A lab of copy() is leased: it goes with the connection that brought it up, so also when this process is killed.
Nothing waits without end: every call has a time-out, and a child of fork(2) holds no lease.
Only the standard library is used.  An object may be used from several threads, a lab's changes then queue.
"""
from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import os
import secrets
import selectors
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import weakref
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union, cast

__all__ = [
    "Client", "CommandResult", "Change", "Changes", "Dropped", "ExpectationFailed", "InvalidLab", "Invocation",
    "Issue", "Lab", "NotFound", "Outcome", "Probe", "Process", "Unavailable", "Unsupported", "VpclabError",
    "VpclabTimeout", "merge_patch",
]
__version__ = "0.1.0"

Json = Any
Document = Union[str, "os.PathLike[str]", Mapping[str, Any]]
Merge = Union[None, Mapping[str, Any], Sequence[Mapping[str, Any]]]
Names = Union[str, Sequence[str]]

CALL_TIMEOUT = 60.0             # what has no time-out of its own
PATIENCE = 60.0                 # beyond a daemon's own limit: queue and undo
MESSAGE_MAX = 256 * 1024        # of sandboxd.fd; a longer command is refused by it
OUTPUT_MAX = 64 * 1024 * 1024   # bytes of one stream of a command that are kept
INLINE_MAX = 64 * 1024          # of a patch that is a word of a command line
SOCKET_PATH_MAX = 107           # of sun_path


# ---- errors

def __tracebackhide__(excinfo: Any) -> bool:
    """pytest shows where the test called, not our own frames, unless the mistake is ours."""
    return excinfo is not None and isinstance(excinfo.value, (VpclabError, ExpectationFailed))


@dataclasses.dataclass(frozen=True)
class Issue:
    """One fault of a lab file: where, and what is wrong."""

    file: str
    line: Optional[int]
    column: Optional[int]
    path: str
    message: str
    code: Optional[str]

    def __str__(self) -> str:
        where = "%s:%s:%s: " % (self.file, self.line, self.column) if self.file else ""
        return where + ("%s: " % self.path if self.path else "") + self.message


class VpclabError(Exception):
    """What the product refused or failed to do, in its own words.

    code     its name: AWS's where AWS has one ("InvalidNode.NotFound")
    message  why
    path     the member of the lab file at fault ("vpcs.main.subnets.app"), or None
    exit     the status that the command line gives for it, where it is known
    errors   every fault of an invalid lab file, in the file's order
    """

    def __init__(self, message: str, *, code: str = "InternalError", path: Optional[str] = None,
                 exit: Optional[int] = None, errors: Sequence[Issue] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.path = path or None
        self.exit = exit
        self.errors = tuple(errors)

    @property
    def line(self) -> Optional[int]:
        """Line of the first fault of a lab file."""
        return self.errors[0].line if self.errors else None

    def __str__(self) -> str:
        if self.errors:
            return "\n".join(str(e) for e in self.errors)
        where = " (%s)" % self.path if self.path and self.path not in self.message else ""
        return "%s%s [%s]" % (self.message, where, self.code)


class InvalidLab(VpclabError):
    """The lab file, or an expectation, is wrong: nothing was done."""


class NotFound(VpclabError):
    """There is no such lab, node, function or object."""


class Unsupported(VpclabError):
    """This host or build can't do it, and says so instead of doing less."""


class Unavailable(VpclabError):
    """The daemons, or the vpclab program, can't be reached, or the caller may not."""


class VpclabTimeout(VpclabError, TimeoutError):
    """It took longer than the caller was ready to wait; "stdout" and "stderr": of a command, so far."""

    stdout: Union[str, bytes] = ""
    stderr: Union[str, bytes] = ""


class ExpectationFailed(AssertionError):
    """Packets say otherwise.  str() is vpclab's report; "outcomes" are those that failed."""

    def __init__(self, outcomes: Sequence["Outcome"], bundle: Optional[str] = None) -> None:
        self.outcomes = tuple(outcomes)
        self.bundle = bundle
        super().__init__(self.report)

    @property
    def report(self) -> str:
        lines = [o.report for o in self.outcomes]
        if self.bundle:
            lines.append("        bundle    " + self.bundle)
        return "\n".join(lines)

    def __str__(self) -> str:
        return "an expectation failed\n" + self.report


def _issues(items: Json, name: str = "") -> List[Issue]:
    """"name": of the file that was sent; "": it was made here, and its lines are nobody's."""
    found = []
    for i in items or []:
        file, line, column = str(i.get("file") or ""), i.get("line"), i.get("column")
        if file == "-":
            file = name
        elif file == "--merge" or file.startswith("/proc/self/fd/"):
            file = ""
        if not file:
            line = column = None
        found.append(Issue(file, line, column, i.get("path") or "", i.get("message") or "", i.get("code")))
    return found


def _error(o: Mapping[str, Any], what: str, status: int = 0, name: str = "") -> VpclabError:
    """The exception for an error object of a daemon (with its HTTP status) or of the command line (with "exit")."""
    code = str(o.get("code") or o.get("Type") or "ServiceUnavailable")
    message = str(o.get("message") or o.get("Message") or "status %d" % status)
    number = o.get("exit")
    errors = _issues(o.get("errors"), name)
    if errors:
        message = str(errors[0])
    kind = VpclabError
    if errors or code == "InvalidLab":
        kind = InvalidLab
    if code in ("UnsupportedOperation", "Unsupported") or status == 501 or number == 4:
        kind = Unsupported
    elif status == 404 or number == 3 or code.endswith(".NotFound"):
        kind = NotFound
    elif status == 503 or code == "ServiceUnavailable":
        kind = Unavailable
    return kind("%s: %s" % (what, message) if what else message, code=code, path=o.get("path"),
                exit=number if isinstance(number, int) else None, errors=errors)


# ---- results

@dataclasses.dataclass(frozen=True)
class Dropped:
    """What dropped a packet, as the kernel's counters have it."""

    code: str
    component: Optional[str] = None
    direction: Optional[str] = None

    def __str__(self) -> str:
        where = ", ".join(w for w in (self.component, self.direction) if w)
        return self.code + (" (%s)" % where if where else "")


@dataclasses.dataclass(frozen=True, repr=False)
class Probe:
    """One probe: "result" is open, refused, timeout, unreachable or inconclusive."""

    from_: str
    to: str
    port: str
    result: str
    seen_as: Optional[str]
    dropped: Optional[Dropped]
    took_ms: float
    seen_by: Optional[str] = None
    detail: Optional[str] = None
    interface: Optional[str] = None
    parts: Tuple["Probe", ...] = ()

    @property
    def because(self) -> Optional[str]:
        """The code of what dropped it, or None."""
        return self.dropped.code if self.dropped else None

    @property
    def is_open(self) -> bool:
        return self.result == "open"

    def __repr__(self) -> str:
        text = "%s -> %s %s: %s in %.1f ms" % (self.from_, self.to, self.port, self.result, self.took_ms)
        if self.seen_as:
            text += "; %s saw %s" % (self.seen_by or self.to, self.seen_as)
        if self.dropped:
            text += "; dropped: %s" % self.dropped
        if self.detail:
            text += "; %s" % self.detail
        return "<%s>" % text

    @classmethod
    def _of(cls, o: Mapping[str, Any], whole: Optional[Mapping[str, Any]] = None) -> "Probe":
        whole = whole or o
        d = o.get("dropped")
        return cls(
            from_=str(o.get("from") or whole.get("from")), to=str(o.get("to") or whole.get("to")),
            port=str(o.get("port") or whole.get("port")), result=str(o.get("result")), seen_as=o.get("seen_as"),
            dropped=Dropped(str(d.get("code")), d.get("component"), d.get("direction")) if d else None,
            took_ms=float(o.get("took_ms") or 0), seen_by=o.get("seen_by"), detail=o.get("detail"),
            interface=o.get("interface"), parts=tuple(cls._of(p, o) for p in o.get("parts") or ()))


@dataclasses.dataclass(frozen=True, repr=False)
class Outcome:
    """An expectation that was tried; "report" is vpclab's text about it."""

    name: str
    ok: bool
    skipped: bool
    expected: Mapping[str, Any]
    got: Optional[Mapping[str, Any]]
    message: Optional[str]
    tries: int
    took_ms: float
    why: Json
    report: str

    def __repr__(self) -> str:
        return "<%s %s>" % ("ok" if self.ok else "not ok", self.name)


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of one object of the lab file: create, update, replace or delete."""

    action: str
    kind: str
    name: str
    id: Optional[str]
    because: Optional[str]


@dataclasses.dataclass(frozen=True)
class Changes:
    """What bringing a lab up, or a patch, did."""

    lab: str
    changed: bool
    changes: Tuple[Change, ...]
    warnings: Tuple[Issue, ...]
    took_ms: float

    @classmethod
    def _of(cls, o: Mapping[str, Any], name: str) -> "Changes":
        return cls(str(o.get("lab")), bool(o.get("changed")),
                   tuple(Change(str(c.get("action")), str(c.get("kind")), str(c.get("name")), c.get("id"),
                                c.get("because")) for c in o.get("changes") or ()),
                   tuple(_issues(o.get("warnings"), name)), float(o.get("took_ms") or 0))


@dataclasses.dataclass(frozen=True, repr=False)
class Invocation:
    """The answer of a function.  "payload" is its JSON (None if it isn't any), "body" the bytes as they came."""

    function: str
    status: int
    payload: Json
    body: bytes
    function_error: Optional[str]
    log: Optional[str]
    request_id: Optional[str]
    version: Optional[str]

    @property
    def ok(self) -> bool:
        return self.function_error is None

    @property
    def error_type(self) -> Optional[str]:
        """errorType of a function error, or None."""
        if self.ok or not isinstance(self.payload, dict):
            return None
        return cast(Optional[str], self.payload.get("errorType"))

    def __repr__(self) -> str:
        head = "%s: %s" % (self.function, self.status)
        if not self.ok:
            head += " function error " + str(self.error_type or self.function_error)
        return "<%s %s>" % (head, self.body[:200].decode("utf-8", "replace"))


@dataclasses.dataclass(frozen=True, repr=False)
class CommandResult:
    """A command that ran in a node: "status" is its own (128 + N: killed by signal N)."""

    node: str
    argv: Tuple[str, ...]
    status: int
    stdout: Any
    stderr: Any

    def check(self) -> "CommandResult":
        """Itself, or VpclabError if the status isn't 0."""
        if self.status:
            raise VpclabError("%s: %s: status %d\n%s" % (self.node, " ".join(self.argv), self.status, self.stderr),
                              code="CommandFailed", exit=self.status)
        return self

    def __repr__(self) -> str:
        return "<%s: %s -> %d stdout=%.200r stderr=%.200r>" % (self.node, " ".join(self.argv), self.status,
                                                               self.stdout, self.stderr)


# ---- sockets

def _connect(path: str, kind: int, timeout: float) -> socket.socket:
    """A connected unix socket.  A path longer than sun_path is reached through its folder's descriptor."""
    s = socket.socket(socket.AF_UNIX, kind)
    folder = -1
    try:
        s.settimeout(timeout)
        if len(os.fsencode(path)) > SOCKET_PATH_MAX:
            folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
            path = "/proc/self/fd/%d/%s" % (folder, os.path.basename(path))
        s.connect(path)
        return s
    except BaseException:
        s.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("vpclab", timeout=timeout)
        self._path = path
        self._limit = timeout

    def connect(self) -> None:
        self.sock = _connect(self._path, socket.SOCK_STREAM, self._limit)


@dataclasses.dataclass
class _Answer:
    status: int
    headers: "http.client.HTTPMessage"
    body: bytes

    def json(self) -> Json:
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


# A child of fork(2) would keep its parent's labs alive by holding the connections open.
_leases: "weakref.WeakSet[_Connection]" = weakref.WeakSet()


def _forget_leases() -> None:
    for connection in list(_leases):
        connection.close()
    _leases.clear()


os.register_at_fork(after_in_child=_forget_leases)


def merge_patch(document: Json, patch: Json) -> Json:
    """RFC 7396: "document" with "patch" applied; neither is changed."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _patches(merge: Merge) -> List[Mapping[str, Any]]:
    if merge is None:
        return []
    if isinstance(merge, Mapping):
        return [merge]
    return list(merge)


# ---- the product

class Client:
    """One instance of the product: its run directory, and the vpclab program that belongs to it.

    program    of the command line; default: $VPCLAB, else "vpclab" of $PATH
    run_dir    default: $VPCLAB_RUN_DIR, else /run/vpclab
    state_dir  default: the program's own, which follows the run directory
    start      daemons that don't run are started, which root alone can
    """

    def __init__(self, *, program: Optional[str] = None, run_dir: Union[None, str, "os.PathLike[str]"] = None,
                 state_dir: Union[None, str, "os.PathLike[str]"] = None, start: bool = True) -> None:
        self._program = program or os.environ.get("VPCLAB") or "vpclab"
        self.run_dir = os.path.abspath(os.fspath(run_dir or os.environ.get("VPCLAB_RUN_DIR") or "/run/vpclab"))
        self.state_dir = os.path.abspath(os.fspath(state_dir)) if state_dir else None
        self.start = start
        self._labs: Dict[str, Lab] = {}     # copies that are up

    def __repr__(self) -> str:
        return "<vpclab.Client %s>" % self.run_dir

    @property
    def program(self) -> str:
        """The path of the vpclab program; Unavailable says how to name it."""
        found = shutil.which(self._program)
        if not found:
            raise Unavailable("%s: there is no such program: build vpclab and name build/vpclab by the variable VPCLAB "
                              "(with pytest also by --vpclab, or vpclab_program in the ini file)" % self._program,
                              code="ServiceUnavailable")
        return found

    # -- the command line

    def command(self, *args: str, timeout: float = CALL_TIMEOUT) -> Json:
        """What "vpclab -o json ARGS" prints: its JSON, or a list where it prints one object a line."""
        text, _ = self._command(list(args), timeout)
        try:
            return json.loads(text)
        except ValueError:
            return [json.loads(line) for line in text.splitlines() if line.strip()]

    def _command(self, args: Sequence[str], timeout: float, *, held: Sequence[int] = (0,), name: str = "",
                 fds: Sequence[int] = ()) -> Tuple[str, int]:
        """Runs it; standard output and status, which is one of "held", else the error is raised."""
        argv = [self.program, "-o", "json", "--run-dir", self.run_dir]
        if self.state_dir:
            argv += ["--state-dir", self.state_dir]
        if not self.start:
            argv.append("--no-start")
        try:
            p = subprocess.run([*argv, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                               pass_fds=tuple(fds))
        except subprocess.TimeoutExpired:
            raise VpclabTimeout("vpclab %s: took longer than %g s" % (args[0], timeout), code="Timeout") from None
        except OSError as e:
            raise Unavailable("%s: %s" % (argv[0], e.strerror), code="ServiceUnavailable") from None
        out, err = p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")
        if p.returncode in held:
            return out, p.returncode
        for line in reversed(err.splitlines()):
            try:
                o = json.loads(line)["error"]
            except (ValueError, KeyError, TypeError):
                continue
            raise _error(o, "", name=name)
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            errors = json.loads(out).get("errors")      # of check, which prints them as its result
            if errors:
                code = "UnsupportedOperation" if p.returncode == 4 else "InvalidLab"
                error = _error({"code": code, "message": errors[0].get("message"), "path": errors[0].get("path"),
                                "exit": p.returncode, "errors": errors}, "", name=name)
                raise error
        raise VpclabError("vpclab %s: status %d: %s" % (args[0], p.returncode, err.strip() or "nothing was said"),
                          code="CommandFailed", exit=p.returncode)

    def start_daemons(self) -> None:
        """Starts the daemons of this run directory unless they run; root alone can."""
        self._command(["daemon", "start"], CALL_TIMEOUT)

    def _reach(self, path: str, kind: int, timeout: float) -> socket.socket:
        """Connects; daemons that aren't there are started as the command line starts them."""
        for may_start in (self.start, False):
            try:
                return _connect(path, kind, timeout)
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                if may_start and os.geteuid() == 0:
                    self.start_daemons()
                    continue
                hint = "only root can start them: sudo %s --run-dir %s daemon start" % (self._program, self.run_dir)
                if os.geteuid() == 0:
                    hint = "they may not be started here" if not self.start else "they did not stay"
                raise Unavailable("%s: no daemon runs there, and %s" % (self.run_dir, hint),
                                  code="ServiceUnavailable") from None
            except PermissionError:
                raise Unavailable("%s: not permitted: run as root, or join the group that the daemons were started with "
                                  "(vpclab daemon start --group NAME)" % path, code="UnauthorizedOperation") from None
            except OSError as e:
                raise Unavailable("%s: %s" % (path, e), code="ServiceUnavailable") from None
        raise AssertionError("unreachable")

    # -- HTTP

    def _open(self, timeout: float) -> _Connection:
        path = os.path.join(self.run_dir, "sandboxd.sock")
        connection = _Connection(path, timeout)
        connection.sock = self._reach(path, socket.SOCK_STREAM, timeout)
        return connection

    def _send(self, connection: _Connection, what: str, method: str, path: str, body: Optional[bytes] = None,
              headers: Optional[Mapping[str, str]] = None) -> _Answer:
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return _Answer(response.status, response.headers, response.read())
        except socket.timeout:
            raise VpclabTimeout("%s: no answer within %g s" % (what, connection.timeout or 0), code="Timeout") from None
        except (OSError, http.client.HTTPException) as e:
            raise Unavailable("%s: sandboxd: %s" % (what, e or type(e).__name__), code="ServiceUnavailable") from None

    def _request(self, what: str, method: str, path: str, body: Optional[bytes] = None,
                 headers: Optional[Mapping[str, str]] = None, timeout: float = CALL_TIMEOUT) -> _Answer:
        with contextlib.closing(self._open(timeout)) as connection:
            return self._send(connection, what, method, path, body, headers)

    @staticmethod
    def _check(a: _Answer, what: str, name: str = "") -> Json:
        o = a.json()
        if 200 <= a.status <= 299 and o is not None:
            return o
        raise _error(o if isinstance(o, dict) else {}, what, a.status, name)

    def _json(self, what: str, method: str, path: str, body: Json = None, timeout: float = CALL_TIMEOUT) -> Json:
        text = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if text is not None else {}
        return self._check(self._request(what, method, path, text, headers, timeout), what)

    def version(self) -> Dict[str, Json]:
        return cast(Dict[str, Json], self._json("version", "GET", "/version"))

    def labs(self) -> List[Dict[str, Json]]:
        """What "vpclab ls" lists."""
        return cast(List[Dict[str, Json]], self._json("ls", "GET", "/v1/labs"))

    # -- labs

    def lab(self, name: str) -> "Lab":
        """A lab that is up already, by whomever; nothing of it ends with us."""
        self._json("show %s" % name, "GET", _lab_path(name))
        return Lab(self, name)

    def copy(self, source: Document, *, merge: Merge = None, base: Union[None, str, "os.PathLike[str]"] = None,
             strict: bool = False, timeout: float = CALL_TIMEOUT) -> "Lab":
        """Brings up a copy of its own name (LAB-8 hex) that goes when it is closed, or with this process.

        source  a lab file, or a document as a dict
        merge   a merge patch (RFC 7396) over it, or several
        base    folder that a document's relative paths count from (a file's: its own); default: the current one
        timeout until every node is ready
        """
        return self._up(source, None, merge, base, strict, timeout, True)

    def up(self, source: Document, *, name: Optional[str] = None, merge: Merge = None,
           base: Union[None, str, "os.PathLike[str]"] = None, strict: bool = False,
           timeout: float = CALL_TIMEOUT) -> "Lab":
        """As "vpclab up": under its own name (or "name"), and it stays until it is taken down."""
        return self._up(source, name, merge, base, strict, timeout, False)

    def names(self, source: Union[str, "os.PathLike[str]"]) -> List[str]:
        """The names of a lab file's expectations, a case each, as they would be tried; needs no daemon."""
        path = _file_word(source)
        try:
            text, _ = self._command(["test", "--list", path], CALL_TIMEOUT)
        except NotFound:
            return []
        return cast(List[str], json.loads(text))

    def _load(self, source: Document, merge: Merge, base: Union[None, str, "os.PathLike[str]"],
              ) -> Tuple[bytes, str, str, str]:
        """Text of the document, its lab's name, its folder, and what to call it in errors."""
        patches = _patches(merge)
        document: Json
        if isinstance(source, Mapping):
            document, name, folder = source, "", os.path.abspath(os.fspath(base or os.getcwd()))
        else:
            word = _file_word(source)
            try:
                with open(word, "rb") as f:
                    text = f.read()
            except OSError as e:
                raise InvalidLab("%s: %s" % (word, e.strerror), code="InvalidLab", exit=2) from None
            name, folder = word, os.path.abspath(os.fspath(base or os.path.dirname(word)))
            if patches:
                # what is wrong is told with the line of the file or patch, which only the command line keeps
                merges = [w for p in patches for w in ("--merge", json.dumps(p))]
                self._command(["check", *merges, word], CALL_TIMEOUT)
            try:
                document = json.loads(text)
            except ValueError:
                document = {}       # the daemon says where it is wrong
            if not patches:
                lab = document.get("lab") if isinstance(document, dict) else None
                return text, lab if isinstance(lab, str) else "lab", folder, name
        for p in patches:
            document = merge_patch(document, p)
        lab = document.get("lab")
        return json.dumps(document).encode(), lab if isinstance(lab, str) else "lab", folder, name

    def _up(self, source: Document, name: Optional[str], merge: Merge, base: Union[None, str, "os.PathLike[str]"],
            strict: bool, timeout: float, leased: bool) -> "Lab":
        text, own, folder, file = self._load(source, merge, base)
        if name is None:
            name = "%s-%s" % (own, secrets.token_hex(4)) if leased else own
        lab = Lab(self, name)
        lab._put(text, folder, file, strict=strict, timeout=timeout, leased=leased)
        lab._original = (text, folder)
        if leased:
            self._labs[name] = lab
        return lab

    def close(self) -> None:
        """Takes down the copies that this client brought up and that are still there."""
        failed = None
        for lab in list(self._labs.values()):
            try:
                lab.down()
            except VpclabError as e:
                failed = failed or e
        if failed:
            raise failed

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _file_word(source: Union[str, "os.PathLike[str]"]) -> str:
    """A path that the command line takes for a file, not for a lab's name."""
    return os.path.abspath(os.fspath(source))


def _lab_path(name: str, rest: str = "") -> str:
    return "/v1/labs/%s%s" % (urllib.parse.quote(name, safe=""), rest)


# ---- a lab

class Lab:
    """A lab that is up; Client.copy(), up() and lab() make it.  As a context it is taken down at the end."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.changes: Optional[Changes] = None      # of bringing it up, and of the last patch
        self.probed: List[Probe] = []               # the last ones, for reports
        self.bundles: Optional[str] = None          # folder below which failures leave their bundle
        self._original: Optional[Tuple[bytes, str]] = None
        self._lease: Optional[_Connection] = None
        self._lock = threading.RLock()
        self._down = False

    def __repr__(self) -> str:
        return "<vpclab.Lab %s%s>" % (self.name, " (down)" if self._down else "")

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # -- the whole

    def _put(self, text: bytes, folder: str, file: str = "", *, strict: bool = False, timeout: float = CALL_TIMEOUT,
             leased: bool = False) -> Changes:
        query = "?timeout=%g%s%s" % (timeout, "&strict=1" if strict else "", "&lease=connection" if leased else "")
        headers = {"Content-Type": "application/json", "Vpclab-Base": folder}
        what = "up %s" % self.name
        connection = self.client._open(timeout + PATIENCE)
        try:
            a = self.client._send(connection, what, "PUT", _lab_path(self.name, query), text, headers)
            self.changes = Changes._of(self.client._check(a, what, file), file)
        except BaseException:
            connection.close()
            if leased:
                # whether it is up isn't known when the answer was given up: it must not stay
                with contextlib.suppress(VpclabError):
                    self.client._request(what, "DELETE", _lab_path(self.name))
            raise
        if leased:
            self._lease = connection
            _leases.add(connection)
        else:
            connection.close()
        return self.changes

    def down(self) -> None:
        """Takes it down; whatever state it is in, and also when it is gone already."""
        with self._lock:
            if self._down:
                return
            what = "down %s" % self.name
            a = self.client._request(what, "DELETE", _lab_path(self.name), timeout=CALL_TIMEOUT + PATIENCE)
            if a.status != 404:
                self.client._check(a, what)
            self._down = True
            self.client._labs.pop(self.name, None)
            if self._lease:
                _leases.discard(self._lease)
                self._lease.close()
                self._lease = None

    def _document(self) -> Tuple[bytes, str]:
        what = "document of %s" % self.name
        a = self.client._request(what, "GET", _lab_path(self.name, "/document"))
        self.client._check(a, what)
        return a.body, str(a.headers.get("Vpclab-Base") or "/")

    def document(self) -> Dict[str, Json]:
        """Its lab file, as it is in force."""
        return cast(Dict[str, Json], json.loads(self._document()[0]))

    def patch(self, patch: Mapping[str, Any], *, strict: bool = False, timeout: float = CALL_TIMEOUT) -> Changes:
        """A merge patch (RFC 7396) over its document; only what differs is touched, or nothing on failure."""
        with self._lock:
            text, folder = self._document()
            return self._put(json.dumps(merge_patch(json.loads(text), patch)).encode(), folder, strict=strict,
                             timeout=timeout)

    @contextlib.contextmanager
    def patched(self, patch: Mapping[str, Any], *, strict: bool = False,
                timeout: float = CALL_TIMEOUT) -> Iterator[Changes]:
        """patch(), and the document as it was before at the end."""
        text, folder = self._document()
        changes = self.patch(patch, strict=strict, timeout=timeout)
        try:
            yield changes
        finally:
            with self._lock:
                self._put(text, folder, timeout=timeout)

    def restore(self) -> bool:
        """The document as it was brought up with is in force again; True if it wasn't."""
        if self._original is None:
            raise VpclabError("%s: was not brought up here: what it was like isn't known" % self.name, code="IncorrectState")
        with self._lock:
            if self._document() == self._original:
                return False
            self._put(*self._original)
            return True

    # -- probes and expectations

    def probe(self, from_: str, to: str, port: str, *, address: Optional[str] = None,
              timeout: Optional[float] = None) -> Probe:
        """One probe, as "vpclab probe": whether "from_" reaches "port" (tcp/N, udp/N, icmp) of "to", and as whom.

        address  which of the target's: "private" or "public"
        timeout  silence that counts (1 s)
        """
        spec: Dict[str, Json] = {"from": from_, "to": to, "port": port}
        if address is not None:
            spec["address"] = address
        if timeout is not None:
            spec["timeout"] = timeout
        return self.probes([spec])[0]

    def probes(self, probes: Iterable[Union[Tuple[str, str, str], Mapping[str, Any]]]) -> List[Probe]:
        """Many at once, so that their time-outs overlap: (from, to, port), or {"from","to","port",...}."""
        specs = [dict(p) if isinstance(p, Mapping) else dict(zip(("from", "to", "port"), p)) for p in probes]
        longest = max([float(s.get("timeout") or 1) for s in specs] or [0])
        what = "probe %s" % self.name
        answer = self.client._json(what, "POST", _lab_path(self.name, "/probes"), {"probes": specs}, longest + PATIENCE)
        found = []
        for o in answer["results"]:
            if o.get("error"):
                raise _error(o["error"], what)
            found.append(Probe._of(o))
        self.probed = (self.probed + found)[-50:]
        return found

    def expect(self, from_: Names, to: Names, port: Names, result: str = "open", *, because: Optional[Names] = None,
               seen_as: Optional[str] = None, address: Optional[str] = None, within: Optional[float] = None,
               timeout: Optional[float] = None, name: Optional[str] = None) -> List[Outcome]:
        """An expectation of a lab file, as vpclab-lab(5) has it; ExpectationFailed carries the report."""
        x: Dict[str, Json] = {"from": from_, "to": to, "port": port, "result": result, "because": because,
                              "seen_as": seen_as, "address": address, "within": within, "timeout": timeout, "name": name}
        return self.expect_all([{k: v for k, v in x.items() if v is not None}])

    def expect_only_from(self, sources: Sequence[str], to: Names, port: Names, **more: Json) -> List[Outcome]:
        """Each of "sources" gets through to "to", and nobody else of the lab."""
        return self.expect_all([{"to": to, "port": port, "only_from": list(sources), **more}])

    def expect_invoke(self, function: str, payload: Json = None, **more: Json) -> List[Outcome]:
        """An invocation and what it must give: returns=, matches=, error=, status=, log=, outcomes=, times=, ..."""
        x: Dict[str, Json] = {"invoke": function, **more}
        if payload is not None:
            x["payload"] = payload
        return self.expect_all([x])

    def expect_all(self, expectations: Iterable[Mapping[str, Any]]) -> List[Outcome]:
        """Many, written as in a lab file's "expect" and tried side by side; all that failed are in one report."""
        tried, bundle = self.try_all(expectations)
        failed = [o for o in tried if not o.ok]
        if failed:
            raise ExpectationFailed(failed, bundle)
        return tried

    def try_all(self, expectations: Optional[Iterable[Mapping[str, Any]]] = None, *, only: Optional[str] = None,
                timeout: float = 600.0) -> Tuple[List[Outcome], Optional[str]]:
        """"vpclab test" of this lab: outcomes, and the folder of the bundle (None: nothing failed, or none was asked for).

        expectations  None: those of its document
        only          the case of that name alone
        """
        args = ["test", self.name, "--format", "text"]
        with contextlib.ExitStack() as stack:
            results = _memory(stack, b"")
            fds = [results]
            args += ["--json", "/proc/self/fd/%d" % results]
            if expectations is not None:
                patch = json.dumps({"expect": list(expectations), "scenarios": None})
                if len(patch) > INLINE_MAX:
                    fds.append(_memory(stack, patch.encode()))
                    patch = "/proc/self/fd/%d" % fds[-1]
                args += ["--merge", patch]
            if only is not None:
                args += ["--filter", "".join("\\" + c if c in "*?[]\\" else c for c in only)]
            bundle = self._bundle_folder()
            if bundle:
                args += ["--bundle", bundle]
            text, _ = self.client._command(args, timeout, held=(0, 1), name="expect", fds=fds)
            size = os.fstat(results).st_size
            doc = json.loads(os.pread(results, size, 0))
        has = bundle if bundle and os.path.isdir(bundle) and os.listdir(bundle) else None
        if bundle and not has and os.path.isdir(bundle):
            os.rmdir(bundle)
        return _outcomes(doc, text), has

    def _bundle_folder(self) -> Optional[str]:
        """A name below "bundles" that nobody has yet."""
        if not self.bundles:
            return None
        os.makedirs(self.bundles, exist_ok=True)
        n = 1
        while os.path.exists(os.path.join(self.bundles, str(n))):
            n += 1
        return os.path.join(self.bundles, str(n))

    # -- functions and nodes

    def invoke(self, function: str, payload: Json = None, *, raw: Optional[bytes] = None, qualifier: Optional[str] = None,
               type: Optional[str] = None, log: bool = False, timeout: float = 120.0) -> Invocation:
        """One invocation.  A function's own error is an answer; what the service refuses is raised (code: AWS's).

        payload  the event, as JSON ({} if None); raw: the event's bytes instead
        log      the log's tail with it
        """
        headers = {"X-Vpclab-Lab": self.name, "Content-Type": "application/json"}
        if type:
            headers["X-Amz-Invocation-Type"] = type
        if log:
            headers["X-Amz-Log-Type"] = "Tail"
        path = "/2015-03-31/functions/%s/invocations" % urllib.parse.quote(function, safe="")
        if qualifier:
            path += "?Qualifier=" + urllib.parse.quote(qualifier, safe="")
        body = raw if raw is not None else json.dumps({} if payload is None else payload).encode()
        what = "invoke %s" % function
        a = self.client._request(what, "POST", path, body, headers, timeout)
        if not 200 <= a.status <= 299:
            o = a.json()
            o = dict(o) if isinstance(o, dict) else {}
            # "ErrorType:http://..." is how AWS qualifies some
            o["code"] = (a.headers.get("x-amzn-ErrorType") or o.get("code") or "ServiceException").split(":")[0]
            raise _error(o, what, a.status)
        tail = a.headers.get("X-Amz-Log-Result")
        return Invocation(function, a.status, a.json(), a.body, a.headers.get("X-Amz-Function-Error"),
                          base64.b64decode(tail).decode("utf-8", "replace") if tail else None,
                          a.headers.get("x-amzn-RequestId"), a.headers.get("X-Amz-Executed-Version"))

    def exec(self, node: str, *argv: str, input: Union[None, str, bytes] = None, env: Optional[Mapping[str, str]] = None,
             timeout: float = CALL_TIMEOUT, check: bool = False, text: bool = True) -> CommandResult:
        """Runs a command in a node (also "router:V", "nat_gateway:V/N", "internet"), as subprocess.run() would.

        input  its standard input (nothing)
        check  a status other than 0 is raised; text: its output is str, not bytes
        At the time-out all of it is killed, and VpclabTimeout has what it printed.
        """
        with contextlib.ExitStack() as stack:
            given = _memory(stack, input.encode() if isinstance(input, str) else input or b"")
            out_read, out_write = _pipe(stack)
            err_read, err_write = _pipe(stack)
            p = stack.enter_context(self.spawn(node, *argv, env=env, stdin=given, stdout=out_write, stderr=err_write,
                                               timeout=timeout))
            os.close(out_write)
            os.close(err_write)
            out, err = bytearray(), bytearray()
            ended = _collect(p, {out_read: out, err_read: err}, time.monotonic() + timeout)
            printed: List[Union[str, bytes]] = [b.decode("utf-8", "replace") if text else bytes(b) for b in (out, err)]
            if not ended:
                e = VpclabTimeout("exec %s: %s: took longer than %g s, and was killed" % (node, " ".join(argv), timeout),
                                  code="Timeout", exit=124)
                e.stdout, e.stderr = printed
                raise e
            r = CommandResult(node, argv, p.wait(0), *printed)
        return r.check() if check else r

    def spawn(self, node: str, *argv: str, env: Optional[Mapping[str, str]] = None, stdin: Optional[int] = None,
              stdout: Optional[int] = None, stderr: Optional[int] = None, tty: bool = False,
              timeout: float = CALL_TIMEOUT) -> "Process":
        """Starts a command in a node that runs until it ends, or the Process is closed.

        stdin, stdout, stderr  descriptors (borrowed); None: /dev/null
        timeout                until it has started
        """
        if not argv:
            raise ValueError("exec: no command")
        request = {"op": "exec", "lab": self.name, "node": node, "argv": list(argv), "env": dict(env or {}), "tty": tty}
        message = json.dumps(request).encode()
        if len(message) > MESSAGE_MAX:
            raise VpclabError("exec %s: the command is too long (%d bytes of %d)" % (node, len(message), MESSAGE_MAX),
                              code="RequestEntityTooLarge")
        door = self.client._reach(os.path.join(self.client.run_dir, "sandboxd.fd"), socket.SOCK_SEQPACKET, timeout)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_MAX)
            socket.send_fds(door, [message], [null if fd is None else fd for fd in (stdin, stdout, stderr)])
        except OSError as e:
            door.close()
            raise Unavailable("exec %s: sandboxd: %s" % (node, e), code="ServiceUnavailable") from None
        finally:
            os.close(null)
        p = Process(door, node, argv)
        try:
            p._start(timeout)
        except BaseException:
            p.close()
            raise
        return p

    def logs(self, node: Optional[str] = None) -> str:
        """What functions and instances printed; of all nodes: lines begin with "NODE| "."""
        what = "logs %s" % self.name
        query = "/logs" + ("?node=" + urllib.parse.quote(node, safe="") if node else "")
        a = self.client._request(what, "GET", _lab_path(self.name, query))
        if a.status != 200:
            self.client._check(a, what)
        return a.body.decode("utf-8", "replace")

    def flows(self, log: Optional[str] = None, *, now: bool = True, timeout: float = CALL_TIMEOUT) -> List[Dict[str, Json]]:
        """Records of its flow logs, or of one ("L", "VPC/L"): an object each, fields' names with "_", numbers as int,
        None for what is missing. now: the intervals end first, so that all that has happened is in it."""
        args = ["flows", self.name, *([log] if log else []), *(["--now"] if now else [])]
        text, _ = self.client._command(args, timeout)
        return [json.loads(line) for line in text.splitlines()]

    def bill(self) -> Dict[str, Json]:
        """What its functions would have cost: "functions", "requests", "gb_seconds", "total", ..., as "vpclab bill"."""
        o: Dict[str, Json] = self.command("bill")
        return o

    def show(self, what: Optional[str] = None) -> Json:
        """Its objects: all, those of a kind ("instances"), or one ("instances/db"), as "vpclab show"."""
        return self.client.command("show", self.name, *([what] if what else []))

    def command(self, verb: str, *args: str, timeout: float = CALL_TIMEOUT) -> Json:
        """What "vpclab -o json VERB LAB ARGS" prints: lab.command("why", "inside", "db", "tcp/5432")."""
        return self.client.command(verb, self.name, *args, timeout=timeout)


class Process:
    """A command that runs in a node.  Closing it, or the end of this process, kills all of it."""

    def __init__(self, door: socket.socket, node: str, argv: Sequence[str]) -> None:
        self.node = node
        self.argv = tuple(argv)
        self.pid: Optional[int] = None      # on the host
        self.status: Optional[int] = None
        self._door = door

    def __repr__(self) -> str:
        return "<vpclab.Process %s: %s%s>" % (self.node, " ".join(self.argv),
                                              "" if self.status is None else " -> %d" % self.status)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._door.fileno()

    def _hear(self) -> None:
        """One message of sandboxd's."""
        what = "exec %s" % self.node
        try:
            text = self._door.recv(MESSAGE_MAX)
        except socket.timeout:
            raise VpclabTimeout("%s: %s: still runs" % (what, " ".join(self.argv)), code="Timeout") from None
        except OSError as e:
            raise Unavailable("%s: sandboxd: %s" % (what, e), code="ServiceUnavailable") from None
        if not text:
            raise Unavailable("%s: sandboxd is gone%s" % (what, ", the status is lost" if self.pid else ""),
                              code="ServiceUnavailable")
        m = json.loads(text)
        if m.get("error"):
            raise _error(m["error"], what)
        self.pid = m.get("started", self.pid)
        self.status = m.get("status", self.status)

    def _start(self, timeout: float) -> None:
        self._door.settimeout(timeout)
        while self.pid is None and self.status is None:
            self._hear()

    def poll(self) -> Optional[int]:
        """Its status, or None while it runs."""
        try:
            return self.wait(0)
        except VpclabTimeout:
            return None

    def wait(self, timeout: float = CALL_TIMEOUT) -> int:
        """Its status; VpclabTimeout if it runs on."""
        end = time.monotonic() + timeout
        while self.status is None:
            # 0 would make the socket non-blocking, which fails otherwise
            self._door.settimeout(max(end - time.monotonic(), 1e-4))
            self._hear()
        return self.status

    def send_signal(self, number: int) -> None:
        if self.status is None:
            self._door.send(json.dumps({"signal": int(number)}).encode())

    def close(self) -> None:
        """Kills what still runs of it."""
        self._door.close()


def _memory(stack: contextlib.ExitStack, content: bytes) -> int:
    """A file without a name, at its beginning; nothing of it can be left behind."""
    fd = os.memfd_create("vpclab")
    stack.callback(os.close, fd)
    at = 0
    while at < len(content):
        at += os.pwrite(fd, content[at:], at)
    return fd


def _pipe(stack: contextlib.ExitStack) -> Tuple[int, int]:
    """The read end is the stack's, the write end the caller's."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(write, True)
    stack.callback(os.close, read)
    return read, write


def _collect(p: Process, streams: Dict[int, bytearray], end: float) -> bool:
    """Reads until the command has ended; what it left running may hold its pipes open.  False: past "end"."""
    with selectors.DefaultSelector() as selector:
        selector.register(p, selectors.EVENT_READ)
        for fd in streams:
            selector.register(fd, selectors.EVENT_READ)
        while p.status is None:
            left = end - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(left):
                if key.fileobj is p:
                    p._hear()
                elif not _read(key.fd, streams[key.fd]):
                    selector.unregister(key.fd)
        for fd, kept in streams.items():
            while fd in selector.get_map() and _read(fd, kept, last=True):
                pass
    return True


def _read(fd: int, kept: bytearray, last: bool = False) -> bool:
    """False: nothing more comes (with "last": nothing more is there)."""
    try:
        piece = os.read(fd, 65536)
    except BlockingIOError:
        return not last
    if len(kept) + len(piece) > OUTPUT_MAX:
        raise VpclabError("exec: printed more than %d MiB" % (OUTPUT_MAX >> 20), code="RequestEntityTooLarge")
    kept += piece
    return bool(piece)


def _outcomes(doc: Mapping[str, Any], text: str) -> List[Outcome]:
    """Results of "vpclab test", each with its part of the text: a line that isn't indented begins one."""
    blocks: List[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(("ok  ", "not ok  ", "skipped ")):
            blocks.append(line)
            inside = True
        elif inside and line.startswith(" "):
            blocks[-1] += "\n" + line
        else:
            inside = False
    results = doc.get("results") or []
    if len(blocks) != len(results):
        raise VpclabError("vpclab test: %d results, but a report of %d: another version?\n%s" %
                          (len(results), len(blocks), text))
    return [Outcome(name=str(r.get("name")), ok=bool(r.get("ok")), skipped=bool(r.get("skipped")),
                    expected=r.get("expected") or {}, got=r.get("got"), message=r.get("message"),
                    tries=int(r.get("tries") or 0), took_ms=float(r.get("took_ms") or 0), why=r.get("why"), report=block)
            for r, block in zip(results, blocks)]
