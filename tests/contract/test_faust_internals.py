"""Everything private or undocumented of Faust, mode and aiokafka that streams/engine relies on.

The engine pins faust-streaming exactly; on a bump this file says first what moved.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.app.base import BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver
from mode import Service


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


def test_the_coordinator_heartbeats_through_the_method_the_host_listens_to() -> None:
    assert "await self._do_heartbeat()" in inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert "self.generation = " in inspect.getsource(GroupCoordinator)


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
    assert vars(BootStrategy)["enable_kafka_producer"] is None
    assert "enable_kafka_producer" in inspect.getsource(BootStrategy._should_enable_kafka_producer)


def test_services_have_the_flags_that_the_worker_watches() -> None:
    flags: dict[str, Any] = dict(vars(Service))
    assert isinstance(flags["should_stop"], property)
    assert isinstance(flags["crash_reason"], property)
    assert "_stopped" in inspect.getsource(flags["should_stop"].fget)  # type: ignore[arg-type]  # it has one
