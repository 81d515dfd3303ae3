# SPDX-License-Identifier: MIT
"""pytest and vpclab: a lab for a test, and a test for every expectation of a lab file.

    @pytest.mark.vpclab("shop.lab.json", scope="module")
    def test_the_database_is_private(lab):
        assert lab.probe("plain", "db", "tcp/5432").result == "timeout"

*.lab.json files are collected: an item an expectation, all of a file tried side by side on one copy.  Who has no
file at hand asks for the fixture "vpclab", the client itself.  README.md is the tour.

What holds is judged by the command line alone ("vpclab test", through vpclab.py); this file only asks and reports.
Labs are leased to the process, so that those of a killed run, or of a killed xdist worker, are gone as well.
"""
from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, List, Mapping, Optional, Tuple, Union

import pytest

import vpclab as api

SCOPES = ("function", "class", "module", "session")
LOG_LINES = 40      # of a failed test's nodes, in its report
PROBES_SHOWN = 12

_client_key: "pytest.StashKey[api.Client]" = pytest.StashKey()
_shared_key: "pytest.StashKey[Dict[str, api.Lab]]" = pytest.StashKey()
_HOW = ("name its file by @pytest.mark.vpclab(\"shop.lab.json\"), by a fixture vpclab_file that returns the path, "
        "or by vpclab_file in pytest's ini file")


# ---- options

def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vpclab", "network labs")
    group.addoption("--vpclab", dest="vpclab_program", metavar="PROGRAM", help="the vpclab command line (default: "
                    "ini vpclab_program, the variable VPCLAB, vpclab of PATH)")
    group.addoption("--vpclab-run-dir", dest="vpclab_run_dir", metavar="DIR", help="run directory of the daemons "
                    "(default: ini vpclab_run_dir, the variable VPCLAB_RUN_DIR, /run/vpclab)")
    group.addoption("--vpclab-no-start", dest="vpclab_no_start", action="store_true", default=False,
                    help="never start the daemons")
    group.addoption("--vpclab-bundle", dest="vpclab_bundle", metavar="DIR", help="where failed expectations leave their "
                    "bundles (default: ini vpclab_bundle, pytest's temporary folder)")
    parser.addini("vpclab_program", "the vpclab command line; relative: to the ini file")
    parser.addini("vpclab_run_dir", "run directory of the daemons; relative: to the ini file")
    parser.addini("vpclab_bundle", "where failed expectations leave their bundles; relative: to the ini file")
    parser.addini("vpclab_file", "lab file of tests that name none; relative: to the ini file")
    parser.addini("vpclab_collect", "globs of the lab files whose expectations are tests", type="args",
                  default=["*.lab.json"])
    parser.addini("vpclab_timeout", "seconds that a lab may take to come up, and its expectations to be tried",
                  default="600")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vpclab(file=None, *, merge=None, scope=None, strict=False): the lab of the fixture "
                            "\"lab\": a file (relative to the test's) or a document, merge patches over it, and how long it "
                            "lives (function, class, module, session); what a nearer mark leaves out a farther one gives")


def _beside_ini(config: pytest.Config, value: str) -> str:
    return os.path.join(config.inipath.parent if config.inipath else config.rootpath, os.path.expanduser(value))


def _setting(config: pytest.Config, name: str) -> Optional[str]:
    """The option (relative to where pytest was called), else the line of the ini file (relative to it), as a path."""
    option, ini = str(config.getoption(name, None) or ""), str(config.getini(name) or "")
    # a bare name of a program is looked up in PATH
    if name == "vpclab_program" and os.sep not in (option or ini):
        return option or ini or None
    if option:
        return os.path.join(config.invocation_params.dir, os.path.expanduser(option))
    return _beside_ini(config, ini) if ini else None


def _timeout(config: pytest.Config) -> float:
    text = str(config.getini("vpclab_timeout"))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 86400:
        raise pytest.UsageError("vpclab_timeout = %s: not a number of seconds (above 0, at most 86400)" % text)
    return seconds


def _client(config: pytest.Config) -> api.Client:
    """One a process, made when the first test asks."""
    if _client_key not in config.stash:
        config.stash[_client_key] = api.Client(program=_setting(config, "vpclab_program"),
                                               run_dir=_setting(config, "vpclab_run_dir"),
                                               start=not config.getoption("vpclab_no_start"))
    return config.stash[_client_key]


def pytest_unconfigure(config: pytest.Config) -> None:
    client = config.stash.get(_client_key, None)
    if client:
        client.close()


def _bundles(config: pytest.Config, nodeid: str) -> str:
    """Folder for the bundles of a test; made when there is one."""
    folder = _setting(config, "vpclab_bundle")
    if not folder:
        factory = getattr(config, "_tmp_path_factory")     # the fixture's; collected files have no fixtures
        folder = os.path.join(factory.getbasetemp(), "vpclab")
    return os.path.join(folder, re.sub(r"[^A-Za-z0-9_.-]+", "-", nodeid).strip("-.")[-150:])


# ---- which lab

@dataclasses.dataclass
class _Wish:
    source: Union[str, Mapping[str, Any]]
    merge: List[Mapping[str, Any]]
    scope: str
    strict: bool
    base: str

    def key(self) -> str:
        return json.dumps([self.source, self.merge, self.strict, self.base], sort_keys=True, default=str)


def _mark(file: Union[None, str, "os.PathLike[str]", Mapping[str, Any]] = None, *,
          merge: Union[None, Mapping[str, Any], List[Mapping[str, Any]], Tuple[Mapping[str, Any], ...]] = None,
          scope: Optional[str] = None, strict: Optional[bool] = None,
          ) -> Tuple[Union[None, str, "os.PathLike[str]", Mapping[str, Any]], List[Mapping[str, Any]], Optional[str],
                     Optional[bool]]:
    """The arguments of a mark, checked as a call."""
    if scope is not None and scope not in SCOPES:
        pytest.fail("pytest.mark.vpclab: scope %r: one of %s" % (scope, ", ".join(SCOPES)), pytrace=False)
    patches = [merge] if isinstance(merge, Mapping) else list(merge or [])
    return file, patches, scope, strict


def _wish(request: pytest.FixtureRequest, default: Optional[str]) -> _Wish:
    folder = str(request.path.parent)
    file: Union[None, str, "os.PathLike[str]", Mapping[str, Any]] = None
    merge: List[Mapping[str, Any]] = []
    scope: Optional[str] = None
    strict: Optional[bool] = None
    # from the nearest on: patches of nearer marks go over those of farther ones, up to the mark that names a file
    for mark in request.node.iter_markers("vpclab"):
        try:
            m_file, m_merge, m_scope, m_strict = _mark(*mark.args, **mark.kwargs)
        except TypeError as e:
            pytest.fail("pytest.mark.vpclab: %s" % str(e).replace("_mark()", "the mark"), pytrace=False)
        merge = m_merge + merge
        scope = scope or m_scope
        strict = m_strict if strict is None else strict
        if m_file is not None:
            file = m_file
            break
    if file is None:
        file = default
    if file is None:
        pytest.fail("%s asks for a lab, and there is none: %s" % (request.node.nodeid, _HOW), pytrace=False)
    source: Union[str, Mapping[str, Any]]
    if isinstance(file, (str, os.PathLike)):
        source = os.path.join(folder, os.path.expanduser(os.fspath(file)))
    else:
        source = file
    return _Wish(source, merge, scope or "function", bool(strict), folder)


# ---- fixtures

@pytest.fixture(scope="session")
def vpclab(pytestconfig: pytest.Config) -> api.Client:
    """The client: vpclab.copy(file, merge=...) brings up labs besides, gone at the end of the session at the latest."""
    return _client(pytestconfig)


@pytest.fixture
def vpclab_file(pytestconfig: pytest.Config) -> Optional[str]:
    """The lab file of tests whose mark names none; meant to be overridden.  A relative path counts from the test's."""
    ini = str(pytestconfig.getini("vpclab_file") or "")
    return _beside_ini(pytestconfig, ini) if ini else None


def _bring_up(request: pytest.FixtureRequest, client: api.Client, w: _Wish) -> api.Lab:
    return client.copy(w.source, merge=w.merge, strict=w.strict, timeout=_timeout(request.config),
                       base=w.base if isinstance(w.source, Mapping) else None)


def _owner(request: pytest.FixtureRequest, scope: str) -> pytest.Collector:
    kind: Any = {"class": pytest.Class, "module": pytest.Module, "session": pytest.Session}[scope]
    node = request.node.getparent(kind)
    if node is None:
        pytest.fail("%s: scope=%r, and the test is in no %s" % (request.node.nodeid, scope, scope), pytrace=False)
    owner: pytest.Collector = node
    return owner


def _shared(request: pytest.FixtureRequest, client: api.Client, w: _Wish) -> api.Lab:
    """The lab of this wish that the class, module or session has already; else one that goes with it."""
    owner = _owner(request, w.scope)
    labs: Dict[str, api.Lab] = owner.stash.get(_shared_key, {})
    owner.stash[_shared_key] = labs
    key = w.key()
    if key not in labs:
        lab = _bring_up(request, client, w)
        labs[key] = lab

        def end() -> None:
            if labs.get(key) is lab:
                del labs[key]
            lab.down()
        owner.addfinalizer(end)
    return labs[key]


@pytest.fixture
def lab(request: pytest.FixtureRequest, vpclab: api.Client, vpclab_file: Optional[str]) -> Iterator[api.Lab]:
    """A copy of the lab that the test's mark names: its own, or shared in the mark's scope.

    A shared one has the document that it was brought up with again before each test, whatever the last one patched.
    """
    w = _wish(request, vpclab_file)
    try:
        found = _bring_up(request, vpclab, w) if w.scope == "function" else _shared(request, vpclab, w)
    except api.VpclabError as e:
        what = "a document of its own" if isinstance(w.source, Mapping) else w.source
        raise pytest.fail.Exception("the lab didn't come up: %s%s\n%s" % (what, ", with a merge" if w.merge else "", e),
                                    pytrace=False) from None
    found.bundles = _bundles(request.config, request.node.nodeid)
    found.probed = []
    try:
        yield found
    finally:
        if w.scope == "function":
            found.down()
        else:
            _give_back(request, w, found)


def _give_back(request: pytest.FixtureRequest, w: _Wish, used: api.Lab) -> None:
    """As it was, for the next test; else the next one gets another."""
    try:
        used.restore()
    except api.VpclabError as e:
        _owner(request, w.scope).stash[_shared_key].pop(w.key(), None)
        used.down()
        if not isinstance(e, api.NotFound):     # a test may take its lab down
            raise


# ---- lab files as tests

def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Optional["LabFile"]:
    if not any(file_path.match(glob) for glob in parent.config.getini("vpclab_collect")):
        return None
    made: LabFile = LabFile.from_parent(parent, path=file_path)
    return made


class LabFile(pytest.File):
    """A lab file: one copy for all its items, brought up by the first and taken down after the last."""

    _lab: Optional[api.Lab] = None
    _tried: Optional[Dict[Tuple[str, int], api.Outcome]] = None
    _bundle: Optional[str] = None
    _broken: Optional[api.VpclabError] = None

    def collect(self) -> Iterator["LabItem"]:
        try:
            names = _client(self.config).names(self.path)
        except api.VpclabError as e:
            raise self.CollectError(str(e)) from None
        seen: Dict[str, int] = {}
        self._all = len(names)
        for name in names:
            seen[name] = seen.get(name, 0) + 1
            title = name if seen[name] == 1 else "%s (%d)" % (name, seen[name])
            # "::" divides the parts of a node's id
            yield LabItem.from_parent(self, name=re.sub(r"[\x00-\x1f\x7f]", "?", title.replace("::", ":")), case=name,
                                      nth=seen[name])

    def copy(self) -> api.Lab:
        if self._broken:
            raise self._broken
        if self._lab is None:
            try:
                self._lab = _client(self.config).copy(self.path, timeout=_timeout(self.config))
            except api.VpclabError as e:
                self._broken = e        # what failed for the first item isn't tried for each
                raise
        return self._lab

    def teardown(self) -> None:
        down, self._lab, self._tried = self._lab, None, None
        if down:
            down.down()
        super().teardown()

    def outcome(self, item: "LabItem") -> Tuple[api.Outcome, Optional[str]]:
        """All that were selected are tried at once, so that their time-outs overlap; else only what is asked for."""
        # an item that is run again is tried again
        if self._tried is not None and (item.case, item.nth) in self._tried:
            return self._pick(self._tried, item), self._bundle
        held = self.copy()
        held.bundles = _bundles(self.config, self.nodeid)
        every = self._tried is None and sum(i.parent is self for i in self.session.items) == self._all
        outcomes, bundle = held.try_all(only=None if every else item.case, timeout=_timeout(self.config))
        seen: Dict[str, int] = {}
        tried = {}
        for o in outcomes:
            seen[o.name] = seen.get(o.name, 0) + 1
            tried[(o.name, seen[o.name])] = o
        if every:
            self._tried, self._bundle = tried, bundle
        return self._pick(tried, item), bundle

    def _pick(self, tried: Dict[Tuple[str, int], api.Outcome], item: "LabItem") -> api.Outcome:
        if (item.case, item.nth) not in tried:
            raise api.VpclabError("%s: no result for %s: was the file changed while it was tested?" % (self.path, item.case))
        return tried.pop((item.case, item.nth))


class LabItem(pytest.Item):
    """An expectation of a lab file."""

    def __init__(self, *, case: str, nth: int, **more: Any) -> None:
        super().__init__(**more)
        self.case = case
        self.nth = nth
        # with --dist loadgroup one worker gets the file, and brings it up once
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(name=str(self.path)))

    def setup(self) -> None:
        self._file().copy()

    def runtest(self) -> None:
        __tracebackhide__ = True
        o, bundle = self._file().outcome(self)
        self.user_properties.append(("vpclab_took_ms", o.took_ms))
        if o.skipped:
            pytest.skip(o.message or "skipped by vpclab test")
        if not o.ok:
            raise api.ExpectationFailed([o], bundle)

    def _file(self) -> LabFile:
        assert isinstance(self.parent, LabFile)
        return self.parent

    def repr_failure(self, excinfo: "pytest.ExceptionInfo[BaseException]", style: Any = None) -> Any:
        if isinstance(excinfo.value, api.ExpectationFailed):
            return excinfo.value.report
        if isinstance(excinfo.value, api.VpclabError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> Tuple[Path, Optional[int], str]:
        return self.path, None, self.name


# ---- what a failure shows

def _tail(text: str) -> str:
    lines = text.rstrip("\n").splitlines()
    left = len(lines) - LOG_LINES
    return "\n".join((["... %d lines before" % left] if left > 0 else []) + lines[-LOG_LINES:])


def _sections(used: api.Lab) -> Iterator[Tuple[str, str]]:
    yield "vpclab lab", "\n".join([used.name] + ["    " + repr(p)[1:-1] for p in used.probed[-PROBES_SHOWN:]])
    try:
        log = _tail(used.logs())
    except api.VpclabError as e:
        log = "could not be read: %s" % e
    if log:
        yield "vpclab logs", log


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc] # untyped in some versions
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if call.when != "call" or not report.failed:
        return
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, api.ExpectationFailed) and error.bundle:
        item.user_properties.append(("vpclab_bundle", error.bundle))    # of the report on the teardown: JUnit's
        report.user_properties.append(("vpclab_bundle", error.bundle))
        files = sorted(str(p.relative_to(error.bundle)) for p in Path(error.bundle).rglob("*") if p.is_file())
        report.sections.append(("vpclab bundle", "\n".join([error.bundle] + ["    " + f for f in files])))
    used = getattr(item, "funcargs", {}).get("lab")
    if isinstance(used, api.Lab):
        report.sections.extend(_sections(used))
