"""Brings stores up to the end of their changelog: polled batches straight into write batches."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from app.core import consumers
from streams.engine.header import (
    EPOCH_KEY,
    HEADER,
    NO_WANTS,
    RANK,
    SEEN_KEY,
    WANTS,
    StateHeader,
    pack_value,
    packed_of,
    unpack_header,
)
from streams.engine.lean import without_wrapping
from streams.engine.store import Change

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence

    from streams.engine.instruments import Instruments
    from streams.engine.settings import WorkerSettings
    from streams.engine.store import Store

_log = structlog.get_logger(__name__)
_UNKNOWN = StateHeader(0, 0).pack()
_EPOCH = struct.Struct(">I")
_MARKERS = frozenset((EPOCH_KEY, SEEN_KEY))
_POLL_RECORDS = 2_000


@contextlib.asynccontextmanager
async def reading(settings: WorkerSettings, purpose: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Provide a started consumer without a group; it is stopped whatever happens.

    Its records name neither topic nor partition.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        client_id=f"{settings.name}-{purpose}",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=int(settings.fetch_max_wait * 1000),
        max_partition_fetch_bytes=settings.catch_up_fetch_size,
        **settings.security,
    )
    try:
        await consumer.start()
        without_wrapping(consumer)
        yield consumer
    finally:
        await consumers.stop(consumer)


def apply(store: Store, records: Iterable[Any], position: int) -> None:
    """Write changelog *records* into *store*, whose changelog position becomes *position*.

    A worker that lost its partition and woke up late may have appended states behind a newer owner's claim: a record
    of a lower epoch than one before it counts for nothing, as to the owner himself, and per key the one of the higher
    (epoch, source position) stays. Such keys are kept in `store.outlived`: compaction would drop the newer record, so
    the next owner writes it again, or that there is none.
    """
    highest, seen = _EPOCH.pack(store.epoch), None
    records = list(records)
    keys = list({record.key for record in records})
    held = {key: packed_of(value) for key, value in zip(keys, store.get_many(keys), strict=True) if value is not None}
    newest: dict[bytes, tuple[bytes, bytes | None]] = {}
    outlived: set[bytes] = set()
    for record in records:
        key, headers = record.key, record.headers
        packed = headers[0][1] if headers and headers[0][0] == HEADER else _packed(headers)
        epoch = packed[:4]
        highest = max(highest, epoch)
        if key in _MARKERS:
            seen = record.value if key == SEEN_KEY and epoch == highest else seen
            continue
        known = newest[key][0] if key in newest else held.get(key)
        if epoch == highest and (known is None or packed[RANK] >= known[RANK]):
            newest[key] = packed, record.value
            outlived.discard(key)
        else:
            outlived.add(key)
    plain, changes = _sorted(newest, held)
    (epoch_now,) = _EPOCH.unpack(highest)
    store.write(changes, position, epoch_now, plain=plain, outlived=outlived, seen=seen)


def _sorted(
    newest: Mapping[bytes, tuple[bytes, bytes | None]], held: Mapping[bytes, bytes]
) -> tuple[list[tuple[bytes, bytes]], list[Change]]:
    """Return stored values that move no entry of an index, of which nothing needs unpacking, and the other changes."""
    plain, changes = [], []
    for key, (packed, state) in newest.items():
        before = held.get(key)
        if state is not None and packed[WANTS] == (NO_WANTS if before is None else before[WANTS]):
            plain.append((key, pack_value(packed, state)))
        else:
            old = None if before is None else unpack_header(before)
            changes.append(Change(key, old, unpack_header(packed), packed, state))
    return plain, changes


def _packed(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the engine's header wherever it is; it is the first where the engine wrote the record."""
    return next((value for name, value in headers if name == HEADER), _UNKNOWN)


async def restore(
    settings: WorkerSettings, stores: Mapping[TopicPartition, Store], instruments: Instruments
) -> AsyncGenerator[TopicPartition, None]:
    """Yield each changelog partition as soon as its store holds everything up to the end found at the start."""
    async with reading(settings, "restore") as consumer:
        remaining = await _begin(consumer, stores, instruments)
        for tp in [tp for tp, end in remaining.items() if stores[tp].position >= end]:
            del remaining[tp]
            consumer.pause(tp)
            stores[tp].current(time.time(), settings.flush_interval)
            yield tp
        for tp in remaining:
            stores[tp].begin_load()
        try:
            while remaining:
                for tp in await _advance(consumer, stores, remaining, instruments):
                    consumer.pause(tp)
                    stores[tp].current(time.time())
                    yield tp
        finally:
            for tp in remaining:
                stores[tp].end_load()


async def _begin(
    consumer: AIOKafkaConsumer, stores: Mapping[TopicPartition, Store], instruments: Instruments
) -> dict[TopicPartition, int]:
    consumer.assign(list(stores))
    ends = await consumer.end_offsets(list(stores))
    begins = await consumer.beginning_offsets(list(stores))
    for tp, store in stores.items():
        if store.position > ends[tp]:
            _log.error("changelog.behind_store", topic=tp.topic, partition=tp.partition, stored=store.position)
            instruments.persisted_above_end.inc()
            store.reset()
        consumer.seek(tp, max(store.position, begins[tp]))
        _show(instruments, tp, ends[tp] - store.position)
    return dict(ends)


async def _advance(
    consumer: AIOKafkaConsumer,
    stores: Mapping[TopicPartition, Store],
    remaining: dict[TopicPartition, int],
    instruments: Instruments,
) -> list[TopicPartition]:
    polled = await consumer.getmany(timeout_ms=500, max_records=_POLL_RECORDS)
    for tp, records in polled.items():
        apply(stores[tp], records, records[-1].offset + 1)
        instruments.recovered.inc(len(records))
        await asyncio.sleep(0)
    done = []
    for tp, end in list(remaining.items()):
        position = await consumer.position(tp)  # compaction leaves holes: the last record may lie before the end
        _show(instruments, tp, end - position)
        if position >= end:
            stores[tp].write([], position, stores[tp].epoch)
            stores[tp].end_load()
            del remaining[tp]
            done.append(tp)
    return done


def _show(instruments: Instruments, tp: TopicPartition, remaining: int) -> None:
    instruments.recovery_remaining.labels(tp.topic, str(tp.partition)).set(max(0, remaining))


class Standby:
    """Follows changelog partitions that another worker owns, so that taking over is quick."""

    def __init__(self, settings: WorkerSettings, stores: Mapping[TopicPartition, Store]) -> None:
        self._settings = settings
        self._stores = stores
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        if self._stores:
            self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following; the stores stay open."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _follow(self) -> None:
        while True:
            try:
                await self._tail()
            except KafkaError as error:
                _log.warning("standby.interrupted", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _tail(self) -> None:
        async with reading(self._settings, "standby") as consumer:
            consumer.assign(list(self._stores))
            begins = await consumer.beginning_offsets(list(self._stores))
            for tp, store in self._stores.items():
                consumer.seek(tp, max(store.position, begins[tp]))
            while True:
                try:
                    polled = await consumer.getmany(timeout_ms=500, max_records=_POLL_RECORDS)
                except OffsetOutOfRangeError as error:
                    for tp in error.args[0]:
                        self._stores[tp].reset()
                    raise
                for tp, records in polled.items():
                    apply(self._stores[tp], records, records[-1].offset + 1)
                    await asyncio.sleep(0)
                self._keep_current(consumer)

    def _keep_current(self, consumer: AIOKafkaConsumer) -> None:
        now = time.time()
        for tp, store in self._stores.items():
            end = consumer.highwater(tp)
            if end is not None and store.position >= end and store.current(now, self._settings.flush_interval):
                return


async def read_range(settings: WorkerSettings, tp: TopicPartition, start: int, end: int) -> list[Any]:
    """Return the records of *tp* from *start* up to but without *end*."""
    async with reading(settings, "gap") as consumer:
        consumer.assign([tp])
        consumer.seek(tp, start)
        found: list[Any] = []
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(record for record in records if record.offset < end)
        return found
