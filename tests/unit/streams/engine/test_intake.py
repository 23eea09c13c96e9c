"""How much may wait for a partition: so many records, and so many bytes of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from app.core.metrics import new_metrics
from streams.engine.batch_path import PartitionPath
from streams.engine.fold import Record
from streams.engine.instruments import Instruments
from streams.engine.settings import WorkerSettings
from streams.engine.store import Store, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOPIC = "orders"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=tmp_path)
    found = Store(tmp_path / "db", StoreOptions(settings))
    yield found
    found.close()


def path(store: Store, folder: Path, *, share: float, **limits: int) -> PartitionPath:
    settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=folder, **limits)  # type: ignore[arg-type]
    around: Any = SimpleNamespace(
        settings=settings, shipper=None, guard=None, cpu=asyncio.Lock(), instruments=Instruments(new_metrics()),
        broadcast=SimpleNamespace(version=0, values={}), now=lambda: datetime.now(UTC),
    )  # fmt: skip
    processor: Any = SimpleNamespace(name="orders", topics=(TOPIC,), changelog="orders-changelog")
    made = PartitionPath(
        processor, 0, partitions=1, store=store, generation=1, committed={TOPIC: 0}, around=around, share=share
    )
    made.state = "running"
    return made


def told(first: int, count: int, size: int) -> list[Record]:
    return [Record(TOPIC, 0, at, b"k", b"x" * size, (), 0) for at in range(first, first + count)]


@pytest.mark.parametrize(("share", "fitting"), [(1.0, 10), (0.5, 5)])
def test_no_more_is_fetched_than_a_partitions_share_of_the_bytes(
    store: Store, tmp_path: Path, share: float, fitting: int
) -> None:
    waits = path(store, tmp_path, share=share, max_waiting_bytes=10_000)
    waits.offer(told(0, fitting - 1, 1_000))
    assert waits.hungry
    waits.offer(told(fitting - 1, 1, 1_000))
    assert not waits.hungry


def test_what_was_taken_makes_room_and_what_was_dropped_took_none(store: Store, tmp_path: Path) -> None:
    waits = path(store, tmp_path, share=1.0, max_waiting_bytes=1_500)
    waits.offer(told(0, 1, 1_000))
    waits.offer(told(0, 1, 1_000))  # read again, and dropped
    told_hungry = [waits.hungry]
    waits.offer(told(1, 1, 1_000))
    told_hungry.append(waits.hungry)
    assert len(waits._next()[0]) == 2
    told_hungry.append(waits.hungry)
    assert told_hungry == [True, False, True]


def test_of_more_records_than_a_batch_takes_the_rest_keeps_its_room(store: Store, tmp_path: Path) -> None:
    waits = path(store, tmp_path, share=1.0, max_batch=1_000, max_waiting_bytes=1_500)
    waits.offer(told(0, 1_500, 1))
    assert (len(waits._next()[0]), waits.hungry) == (1_000, True)
    waits.offer(told(1_500, 1, 999))
    told_hungry = [waits.hungry]
    waits.offer(told(1_501, 1, 1))
    told_hungry.append(waits.hungry)
    assert told_hungry == [True, False]
