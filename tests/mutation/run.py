"""Try the mutants that mutmut makes of the core, each in a fork of one process that has collected the tests.

mutmut itself starts pytest anew for each mutant, which takes far longer than the few tests until one fails. Mutants,
the record of which test calls which function, and the place of the verdicts are mutmut's. A second run tries what has
no verdict yet, and again what no test noticed; names or patterns as arguments choose some. `make mutation` runs it.
"""

from __future__ import annotations

import gc
import json
import math
import mmap
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mutmut.__main__ import collect_or_load_stats, create_mutants
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths
from mutmut.utils.format_utils import mangled_name_from_mutant_name
from mutmut.workers.isolation import get_mutant_runner

MUTANTS = Path("mutants").absolute()
_UNNOTICED, _KILLED, _NO_TESTS = 0, 1, 33
_OPEN = {None, _UNNOTICED, _NO_TESTS}
_FIRST = "tests/unit/"
_NOBODY, _EVERYBODY = "", "fail"  # what mutmut's mutated functions take for no mutant, and for all failing
_WAIT, _TIMES = 5.0, 5
"""Seconds of a processor that a test may take under a mutant, and how often what it took otherwise: it may loop."""
_MEMORY = 4 << 30  # or it may fill a list without end
_REMEMBERED, _KEEP = 8, 30.0
_Mutant = tuple[Path, str]
"""Where its verdict is kept, and its name."""


class Trial(NamedTuple):
    """A mutant being tried: where its verdict goes, the tests in order, and which of them failed."""

    name: str
    meta: Path
    tests: Sequence[pytest.Item]
    failed: mmap.mmap


class Trials:
    """A pytest plugin: instead of running the tests once, it runs them once per mutant."""

    def __init__(self, patterns: Sequence[str], at_once: int) -> None:
        self._patterns, self._at_once = patterns, at_once
        stats = json.loads((MUTANTS / "mutmut-stats.json").read_text(encoding="utf-8"))
        self._reach: dict[str, list[str]] = stats["tests_by_mangled_function_name"]
        self._seconds: dict[str, float] = stats["duration_by_test"]
        self._killers: dict[str, list[str]] = defaultdict(list)
        self._kept: dict[Path, Any] = {
            meta: json.loads(meta.read_text(encoding="utf-8")) for meta in sorted(MUTANTS.rglob("*.py.meta"))
        }
        self._running: dict[int, Trial] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Let the unit tests judge all mutants, and the rest of the tests those that are left."""
        gc.collect()
        gc.freeze()
        self._check(session)
        chosen = list(self._chosen())
        for meta, name in chosen:
            self._kept[meta]["exit_code_by_key"][name] = None
        units = {item.nodeid: item for item in session.items if item.nodeid.startswith(_FIRST)}
        others = {item.nodeid: item for item in session.items if item.nodeid not in units}
        self._round(chosen, units, session)
        left = [(meta, name) for meta, name in chosen if self._kept[meta]["exit_code_by_key"][name] in _OPEN]
        self._round(left, others, session)
        return True

    def _round(self, chosen: Sequence[_Mutant], known: dict[str, pytest.Item], session: pytest.Session) -> None:
        """Try each with those of the known tests that call its function; keep the verdicts twice a minute."""
        told = time.monotonic()
        for number, (meta, name) in enumerate(chosen, start=1):
            tests = [known[test] for test in self._order(name) if test in known]
            verdicts = self._kept[meta]["exit_code_by_key"]
            if tests:
                if len(self._running) == self._at_once:
                    self._wait()
                self._start(Trial(name, meta, tests, mmap.mmap(-1, 4)), session)
            elif verdicts[name] is None:
                verdicts[name] = _NO_TESTS
            if time.monotonic() >= told + _KEEP:
                self._keep()
                print(f"{number} of {len(chosen)}", time.strftime("%H:%M:%S"), flush=True)
                told = time.monotonic()
        while self._running:
            self._wait()
        self._keep()

    def _check(self, session: pytest.Session) -> None:
        """Fail unless all tests pass without a mutant, and some fail when every mutated function does."""
        for name, expected in ((_NOBODY, _UNNOTICED), (_EVERYBODY, _KILLED)):
            self._start(Trial(name, MUTANTS, session.items, mmap.mmap(-1, 4)), session)
            pid, status = os.wait()
            trial = self._running.pop(pid)
            if os.waitstatus_to_exitcode(status) != expected:
                failed = trial.tests[int.from_bytes(trial.failed[:])].nodeid
                sys.exit(f"mutant {name!r}: the tests end with {status}, at {failed}; nothing can be tried like this")

    def _chosen(self) -> Iterator[_Mutant]:
        for meta, kept in self._kept.items():
            for name, verdict in kept["exit_code_by_key"].items():
                if not self._patterns:
                    wanted = verdict in _OPEN
                else:
                    wanted = any(fnmatch(name, pattern) for pattern in self._patterns)
                if wanted:
                    yield meta, name

    def _order(self, name: str) -> list[str]:
        """Return the tests that call the function: first those that noticed its last mutants, then the quickest."""
        function = mangled_name_from_mutant_name(name)
        first = self._killers[function]
        rest = sorted(set(self._reach.get(function, ())) - set(first), key=lambda test: (self._seconds[test], test))
        return [*first, *rest]

    def _start(self, trial: Trial, session: pytest.Session) -> None:
        child = os.fork()
        if child == 0:
            os._exit(self._tried(trial, session))
        self._running[child] = trial

    def _wait(self) -> None:
        child, status = os.wait()
        name, meta, tests, failed = self._running.pop(child)
        verdict = os.waitstatus_to_exitcode(status)
        self._kept[meta]["exit_code_by_key"][name] = verdict
        if verdict == _KILLED:
            killers = self._killers[mangled_name_from_mutant_name(name)]
            test = tests[int.from_bytes(failed[:])].nodeid
            if test in killers:
                killers.remove(test)
            killers.insert(0, test)
            del killers[_REMEMBERED:]
        failed.close()

    def _keep(self) -> None:
        for meta, kept in self._kept.items():
            meta.write_text(json.dumps(kept, indent=4), encoding="utf-8")

    def _tried(self, trial: Trial, session: pytest.Session) -> int:
        """In the child: return 1 as soon as a test fails under the mutant, 0 when none does."""
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        set_mutant_under_test(trial.name)
        try:
            for number, item in enumerate(trial.tests):
                trial.failed[:] = number.to_bytes(4)
                limit = math.ceil(time.process_time() + _WAIT + _TIMES * self._seconds[item.nodeid])
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                following = trial.tests[number + 1] if number + 1 < len(trial.tests) else None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    return _KILLED
        except BaseException:  # noqa: BLE001 - whatever a mutant makes of pytest itself, it was noticed
            return _KILLED
        return _UNNOTICED


def _prepare() -> None:
    """Let mutmut make the mutants and record which test calls which function, as far as that is not done already."""
    MUTANTS.mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    create_mutants(1)
    collect_or_load_stats(get_mutant_runner(1), apply_config_invalidation=True)


def main() -> int:
    """Prepare in a child, so that here the tests are collected once and nothing ran before; then try."""
    set_mutant_under_test("mutant_generation")
    child = os.fork()
    if child == 0:
        _prepare()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        return os.waitstatus_to_exitcode(status)
    settings = config()
    set_mutant_under_test(_NOBODY)
    setup_source_paths()
    os.chdir(MUTANTS)
    arguments = ["--rootdir=.", "--tb=no", "--assert=plain", "-x", "-q", *settings.pytest_add_cli_args]
    chosen = settings.pytest_add_cli_args_test_selection
    return int(pytest.main([*arguments, *chosen], plugins=[Trials(sys.argv[1:], os.cpu_count() or 1)]))


if __name__ == "__main__":
    sys.exit(main())
