"""What every test may ask for."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from app.core.errors import ConfigError
from tests.distribution import Distribution, in_order
from tests.kafka import provided

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
_WAITING = ("e2e", "kafka")
"""Marks of tests that wait for processes which share two processors with other tests."""
_FINAL = ("tests/chaos", "tests/integration/engine", "tests/property")
"""What proves that nothing is lost or doubled gets no second try; see docs/decisions/0010."""
_SECOND_TRIES = 3
_REPEATING = (
    "tests/property",
    "tests/simulator",
    "tests/platforms/hubspot/test_hubspot_owner.py",
    "tests/platforms/quickbooks_online/test_faults.py",
)
"""What runs the same lines thousands of times: measuring them takes as long as the tests, and tells what unit tests tell."""
KAFKA = pytest.StashKey[dict[str, str]]()
settings.register_profile("shared processors", deadline=None)  # how long an example took tells who else was busy
settings.load_profile("shared processors")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Distribution | None:
    """Distribute as tests/distribution.py says, unless `--dist` asks for something else."""
    return Distribution(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give a second try to what waits for processes, and put what takes longest first where workers share the tests."""
    trying = config.pluginmanager.hasplugin("rerunfailures")
    for item in items:
        waits = any(map(item.get_closest_marker, _WAITING))
        if trying and waits and not item.nodeid.startswith(_FINAL):
            item.add_marker(pytest.mark.flaky(reruns=1))
        if waits or item.nodeid.startswith(_REPEATING):
            item.add_marker(pytest.mark.no_cover)  # the processes that such tests wait for are not measured either
    if hasattr(config, "workerinput"):
        items[:] = in_order(items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which more than a few tests needed their second try."""
    if len(_tried_again(session.config)) > _SECOND_TRIES and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it where a second try made a run pass, or too many did not."""
    if again := _tried_again(config):
        terminalreporter.section("second tries")
        terminalreporter.line(f"{len(again)} of at most {_SECOND_TRIES}: each is a race to be found and mended.")
        for report in again:
            terminalreporter.line(f"{report.nodeid}\n{report.longreprtext}")


def _tried_again(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return [] if reporter is None else reporter.stats.get("rerun", [])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Start one Kafka for all workers, and stop it when the last of them has ended."""
    folder = Path(tempfile.mkdtemp(prefix="o2c-tests-"))
    stack = contextlib.ExitStack()
    config.add_cleanup(stack.close)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        config.stash[KAFKA] = {"bootstrap": stack.enter_context(provided(folder))}
    except ConfigError as error:
        stack.pop_all()  # leaves the log that the error names
        config.stash[KAFKA] = {"error": str(error)}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where that Kafka is."""
    node.workerinput["kafka"] = node.config.stash[KAFKA]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the read-only material beside the project; skips where only the project was cloned."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not present")
    return folder


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the bootstrap servers of one real Kafka for the whole run."""
    if shared := getattr(request.config, "workerinput", {}).get("kafka"):
        if "error" in shared:
            pytest.fail(shared["error"])
        yield shared["bootstrap"]
        return
    with provided(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap
