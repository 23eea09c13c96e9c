"""Everything private or undocumented of Faust, mode and aiokafka that streams/engine relies on.

The engine pins faust-streaming exactly; on a bump this file says first what moved.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator, OffsetCommitRequest
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import default_records
from faust.app.base import App, BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver
from mode import Service
from mode.threads import MethodQueue

from streams.engine.host import create_host
from streams.engine.settings import WorkerSettings


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_versions_are_those_the_engine_was_written_for() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("mode-streaming").startswith("0.7.")
    assert version("aiokafka").startswith("0.14.")
    assert version("rocksdict") == "0.3.29"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (driver.AIOKafkaConsumerThread._create_worker_consumer, ["self", "transport"]),
        (driver.AIOKafkaConsumerThread.on_start, ["self"]),
        (driver.AIOKafkaConsumerThread._ensure_consumer, ["self"]),
        (
            driver.AIOKafkaConsumerThread._fetch_records,
            ["self", "consumer", "active_partitions", "timeout", "max_records"],
        ),
        (base.ConsumerThread.on_partitions_assigned, ["self", "assigned", "generation_id"]),
        (driver.Consumer._new_consumer_thread, ["self"]),
        (base.Consumer._drain_messages, ["self", "fetcher"]),
        (base.Consumer.commit, ["self", "topics", "start_new_transaction"]),
        (base.Consumer.wait_empty, ["self"]),
        (base.Consumer.verify_all_partitions_active, ["self"]),
        (base.Consumer.resume_flow, ["self"]),
        (base.ThreadDelegateConsumer._getmany, ["self", "active_partitions", "timeout"]),
        (driver.ensure_aiokafka_TP, ["tp"]),
        (TableManager.on_start, ["self"]),
        (TableManager.on_stop, ["self"]),
        (TableManager.on_partitions_revoked, ["self", "revoked"]),
        (TableManager.on_rebalance, ["self", "assigned", "revoked", "newly_assigned", "generation_id"]),
        (TableManager.wait_until_recovery_completed, ["self"]),
        (PartitionAssignor.assigned_actives, ["self"]),
        (PartitionAssignor.assigned_standbys, ["self"]),
        (faust.App._new_transport, ["self"]),
        (faust.App.on_rebalance_start, ["self"]),
        (faust.App.on_rebalance_return, ["self"]),
        (faust.App.on_rebalance_end, ["self"]),
        (GroupCoordinator._do_heartbeat, ["self"]),
        (BatchBuilder.append, ["self", "timestamp", "key", "value", "headers"]),
        (aiokafka.AIOKafkaProducer.send_batch, ["self", "batch", "topic", "partition"]),
    ],
)
def test_what_the_engine_overrides_or_calls_has_the_expected_parameters(function: Any, expected: list[str]) -> None:
    assert parameters(function) == expected


def test_a_consumer_of_aiokafka_keeps_its_fetch_wait_where_the_host_sets_it() -> None:
    source = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "self._fetch_max_wait_ms = fetch_max_wait_ms" in source
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source


def test_a_consumer_of_aiokafka_reads_what_was_committed_where_the_host_asks_for_it() -> None:
    source = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "self._isolation_level = isolation_level" in source
    assert "isolation_level=self._isolation_level" in source
    assert 'isolation_level == "read_committed"' in inspect.getsource(fetcher)


def test_what_a_fetcher_fetched_passes_the_place_where_its_records_are_left_unwrapped() -> None:
    source = inspect.getsource(Fetcher)
    assert "self._records = collections.OrderedDict()" in source
    assert "self._records[tp] = FetchResult(" in source
    assert source.count("self._records = ") == 1
    assert "self._partition_records = partition_records" in inspect.getsource(fetcher.FetchResult)
    assert "consumer_record = self._consumer_record(tp, record)" in inspect.getsource(fetcher.PartitionRecords)
    assert parameters(fetcher.PartitionRecords._consumer_record) == ["self", "tp", "record"]
    assert {"offset", "key", "value", "headers", "timestamp"} <= set(dir(default_records.DefaultRecord))


def test_the_coordinator_heartbeats_through_the_method_the_host_listens_to() -> None:
    assert "await self._do_heartbeat()" in inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert "self.generation = " in inspect.getsource(GroupCoordinator)


def test_a_commit_says_the_generation_which_is_below_0_once_the_broker_does_not_know_the_member() -> None:
    assert "self.generation," in inspect.getsource(GroupCoordinator._do_commit_offsets)
    assert "if not offsets:\n            return" in inspect.getsource(GroupCoordinator._do_commit_offsets)
    assert "self.generation = OffsetCommitRequest.DEFAULT_GENERATION_ID" in inspect.getsource(
        GroupCoordinator.reset_generation
    )
    assert OffsetCommitRequest.DEFAULT_GENERATION_ID == -1


def test_a_fetch_context_resets_the_idle_time_after_which_a_consumer_would_leave() -> None:
    source = inspect.getsource(SubscriptionState.fetch_context)
    assert "_last_fetch_ended = time.monotonic()" in source
    assert "_subscription" in aiokafka.AIOKafkaConsumer.__init__.__code__.co_names


def test_a_rebalance_tells_the_app_first_then_revokes_waits_and_assigns() -> None:
    listener = inspect.getsource(driver.ConsumerRebalanceListener)
    revoked = inspect.getsource(faust.App._on_partitions_revoked)
    assigned = inspect.getsource(faust.App._on_partitions_assigned)
    assert "thread.app.on_rebalance_start()" in listener
    assert "self.tables.on_partitions_revoked" in revoked
    assert "self._consumer_wait_empty" in revoked
    assert "self.tables.on_rebalance" in assigned
    assert "self.app.on_rebalance_return()" in inspect.getsource(base.Consumer.on_partitions_assigned)


def test_a_fetch_takes_records_only_when_it_returns_so_that_ending_it_loses_none() -> None:
    fetched = inspect.getsource(Fetcher.fetched_records)
    taking, waiting = fetched.split("if drained or not timeout:")
    assert "await self._subscriptions.wait_for_assignment()" in taking.split("drained = {}")[0]
    assert "await" not in taking.split("drained = {}")[1]
    assert waiting.count("await") == 1


def test_the_fetcher_runs_the_drain_loop_and_the_commit_timer_calls_commit() -> None:
    assert "consumer._drain_messages(self)" in inspect.getsource(base.Fetcher)
    assert "await self.commit()" in inspect.getsource(base.Consumer._commit_handler.fun)


def test_the_assignor_of_the_app_is_used_when_there_are_changelogs() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "has_changelog_tables" in source
    assert "self.app.assignor" in source


def test_the_conductor_subscribes_only_after_the_tables_are_registered() -> None:
    assert {"_tables_finalized", "_tables_registered", "_changelogs"} <= set(TableManager.__init__.__code__.co_names)
    assert isinstance(vars(TableManager)["changelog_topics"], property)


def test_a_boot_strategy_can_leave_the_producer_out() -> None:
    assert vars(faust.App)["BootStrategy"] is BootStrategy
    assert vars(BootStrategy)["enable_kafka_producer"] is None
    assert "enable_kafka_producer" in inspect.getsource(BootStrategy._should_enable_kafka_producer)


def test_services_have_the_flags_that_the_worker_watches() -> None:
    flags: dict[str, Any] = dict(vars(Service))
    assert isinstance(flags["should_stop"], property)
    assert isinstance(flags["crash_reason"], property)
    assert "_stopped" in inspect.getsource(flags["should_stop"].fget)  # type: ignore[arg-type]  # it has one


def test_the_consumer_knows_whether_its_flow_is_on_and_what_ends_it() -> None:
    assert base.Consumer.flow_active is True
    assert driver.Consumer.consumer_stopped_errors
    assert "self.consumer_stopped_errors" in inspect.getsource(base.Consumer._drain_messages)
    assert "self.flow_active = True" in inspect.getsource(base.Consumer.resume_flow)
    assert "self.flow_active = False" in inspect.getsource(base.Consumer.stop_flow)


def test_what_runs_in_the_consumers_thread_is_handed_over_and_awaited() -> None:
    assert parameters(driver.AIOKafkaConsumerThread.call_thread) == ["self", "fun", "args", "kwargs"]
    assert "self.method_queue.call(" in inspect.getsource(driver.AIOKafkaConsumerThread.call_thread)
    assert "self.loop.call_soon_threadsafe(" in inspect.getsource(MethodQueue.call)  # RuntimeError once it is closed
    assert "loop=self.loop, beacon=self.beacon" in inspect.getsource(driver.Consumer._new_consumer_thread)


def test_the_consumer_is_in_its_thread_and_keeps_its_coordinator() -> None:
    assert "self._coordinator" in inspect.getsource(aiokafka.AIOKafkaConsumer.start)
    assert "self._consumer = " in inspect.getsource(driver.AIOKafkaConsumerThread)


def test_a_failure_to_join_ends_the_coordinators_task_and_is_its_exception() -> None:
    assert "self._coordination_task = " in inspect.getsource(GroupCoordinator.__init__)
    assert "raise kafka_exc from exc" in inspect.getsource(GroupCoordinator._coordination_routine)


def test_the_app_owns_a_fetcher_that_recovery_starts_and_that_stops() -> None:
    assert "_fetcher" in vars(App)
    assert "self.transport.Fetcher" in inspect.getsource(App)
    assert parameters(base.Fetcher.maybe_start) == parameters(base.Fetcher.stop) == ["self"]
    assert "._fetcher.maybe_start()" in inspect.getsource(Recovery)


def test_tables_are_a_mapping_with_one_changelog_each() -> None:
    assert callable(TableManager.values)
    assert isinstance(vars(Collection)["changelog_topic"], property)


def test_nobody_brings_the_second_rocksdb_package() -> None:
    """Both at once: rocksdict wins, but Faust's lock retry waits for the exception of the other one."""
    assert "faust-streaming-rocksdb" not in {found.metadata["Name"] for found in distributions()}


def test_the_hot_path_uses_nothing_of_faust_that_loses_events() -> None:
    forbidden = {"agent", "take", "noack_take", "group_by", "through", "GlobalTable", "tumbling", "hopping", "Record"}
    for path in ENGINE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not {name for name in called if name.startswith(("app.", "faust.")) and name.split(".")[1] in forbidden}


def test_the_host_is_set_up_as_the_guarantees_demand(tmp_path: Path) -> None:
    settings = WorkerSettings(bootstrap="127.0.0.1:1", group="g", name="w", data_dir=tmp_path)
    app = create_host(settings, [], {})
    conf = app.conf
    assert "AT_LEAST_ONCE" in repr(conf.processing_guarantee)
    assert (conf.topic_allow_declare, conf.topic_disable_leader) == (False, True)
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.consumer_group_instance_id == "w"
    assert conf.broker_session_timeout <= conf.broker_request_timeout
    assert conf.stream_wait_empty
    assert not conf.web_tables_enabled
    assert not conf.web_router_enabled
    assert not conf.cython_optimizations


# ------------------------------------------------------------------------------- that nothing touched is left out here

HERE = Path(__file__)
ENGINE = sorted(
    path for folder in ("engine", "processors") for path in (HERE.parents[2] / "streams" / folder).glob("*.py")
)
FOREIGN = ("aiokafka", "faust", "mode")


def names_from(tree: ast.Module) -> set[str]:
    """Return what a module imports from Faust, mode or aiokafka."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FOREIGN:
            found |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name for alias in node.names if alias.name.split(".")[0] in FOREIGN}
    return found


def root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def own(node: ast.AST) -> set[str]:
    """Return the names that a class or module of ours defines: methods, class variables, attributes it sets itself."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(part.name)
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            found.add(part.target.id)
        if isinstance(part, (ast.Attribute, ast.Name)) and isinstance(part.ctx, ast.Store):
            found.add(part.attr if isinstance(part, ast.Attribute) else part.id)
    return found


def overridden(path: Path, node: ast.ClassDef) -> set[str]:
    """Return the methods of a class of ours that a base of Faust's has as well."""
    made = getattr(importlib.import_module(f"streams.{path.parent.name}.{path.stem}"), node.name)
    bases = [base for base in made.__mro__ if base.__module__.split(".")[0] in FOREIGN]
    named = {part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))}
    named |= {target.id for part in node.body if isinstance(part, ast.Assign) for target in part.targets}  # type: ignore[attr-defined]  # plain names
    return {name for name in named if any(hasattr(base, name) for base in bases)}


def inherited(node: ast.ClassDef) -> set[str]:
    """Return what a class that derives from Faust's uses of itself and does not define."""
    used = {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self"
    }
    return used - own(node)


def touched(path: Path) -> Iterator[str]:
    """Yield every name of Faust, mode or aiokafka that *path* overrides, inherits, or reaches although it is private."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    foreign = names_from(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(root(base) in foreign for base in node.bases):
            yield from inherited(node)
            yield from overridden(path, node)
        if (
            isinstance(node, ast.Attribute)
            and re.match("_[a-z]", node.attr)
            and root(node.value) not in ("self", "cls")
        ):
            yield node.attr


def held_here() -> set[str]:
    """Return every name that the tests above look at, as an attribute or within a string."""
    text = HERE.read_text(encoding="utf-8").partition("# ----")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"\w+", node.value))
    return found


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_every_internal_that_the_engine_touches_is_looked_at_here(path: Path) -> None:
    of_python = {"_exit", "_replace"}
    assert set(touched(path)) - held_here() - of_python == set()


def test_the_search_finds_what_the_host_is_known_to_touch() -> None:
    (host,) = [path for path in ENGINE if path.stem == "host"]
    assert {"_coordinator", "_do_heartbeat", "_drain_messages", "_fetch_max_wait_ms"} <= set(touched(host))
