from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import given
from hypothesis import strategies as st

from app.core.metrics import new_metrics
from streams.engine.broadcast import Broadcast
from streams.engine.fold import TICK_TOPIC, Folded, NewerFormat, Record, wait_label
from streams.engine.folding import Folder, FoldFailed, Gathered
from streams.engine.header import StateHeader, pack_value, unpack_header
from streams.engine.instruments import Instruments
from streams.engine.partitioner import murmur2, partition_of
from streams.engine.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Memory:
    """A store that only reads."""

    def __init__(self, **held: bytes) -> None:
        self.held = {key.encode(): value for key, value in held.items()}
        self.reads: list[bytes] = []

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += keys
        return [self.held.get(key) for key in keys]


class Append:
    """A state is everything that was seen."""

    name = "append"
    topics: tuple[str, ...] = ("in",)
    changelog = "append-changelog"

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        return [record.key for record in records]

    def fold(self, partition: int, records: Sequence[Record], states: Any, now: Any, broadcast: Any) -> Folded:
        made: dict[bytes, bytes | None] = {}
        for record in records:
            if record.value == b"raise":
                raise LookupError
            if record.value == b"newer":
                raise NewerFormat
            made[record.key] = (made.get(record.key, states[record.key]) or b"") + record.value
        return Folded(made, [], [], {"applied": len(records)})


def record(key: bytes, value: bytes, topic: str = "in", offset: int = 0) -> Record:
    return Record(topic, 0, offset, key, value, (), 0)


def stored(state: bytes, due: int = 0, waits: tuple[bytes, ...] = ()) -> bytes:
    return pack_value(StateHeader(1, 1, due, waits).pack(), state)


def folder(tmp_path: Path, slice_: float = 0.005, processor: Append | None = None) -> Folder:
    settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=tmp_path)

    async def partitions(topic: str) -> int:
        return 1

    broadcast = Broadcast(settings, partitions)
    return Folder(processor or Append(), broadcast, Instruments(new_metrics()), lambda: NOW, slice_)


async def test_slices_see_what_earlier_slices_made(tmp_path: Path) -> None:
    class Together(Append):
        """One state, whatever the records are keyed by."""

        def keys(self, records: Sequence[Record]) -> list[bytes]:
            return [b"all"]

        def fold(self, partition: int, records: Sequence[Record], states: Any, now: Any, broadcast: Any) -> Folded:
            return super().fold(
                partition, [msgspec.structs.replace(one, key=b"all") for one in records], states, now, broadcast
            )

    one = folder(tmp_path, 1e-9, Together())
    records = [record(b"k%d" % n, b"%d," % n) for n in range(300)]
    gathered = await one.fold(0, records, Memory())  # type: ignore[arg-type]
    assert gathered.states == {b"all": b"".join(b"%d," % n for n in range(300))}
    assert gathered.counts == {"applied": 300}


async def test_what_a_batch_has_of_one_key_is_folded_at_once_and_in_its_order(tmp_path: Path) -> None:
    folds: list[list[Record]] = []

    class Noting(Append):
        def fold(self, partition: int, records: Sequence[Record], states: Any, now: Any, broadcast: Any) -> Folded:
            folds.append(list(records))
            return super().fold(partition, records, states, now, broadcast)

    one = folder(tmp_path, 1e-9, Noting())
    records = [record(b"k%d" % (n % 30), b"%d," % n) for n in range(300)]
    gathered = await one.fold(0, records, Memory())  # type: ignore[arg-type]
    assert gathered.states == {b"k%d" % key: b"".join(b"%d," % n for n in range(key, 300, 30)) for key in range(30)}
    assert len(folds) > 1
    keys = [key for fold in folds for key in {one.key for one in fold}]
    assert len(keys) == len(set(keys)) == 30


@pytest.mark.parametrize(("each", "fitting"), [(0.000_1, 10_000), (0.01, 100)])
async def test_what_fits_follows_from_how_long_the_batch_before_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: float, fitting: int
) -> None:
    clock = [0.0]

    class Slow(Append):
        """Each record takes its time."""

        def fold(self, partition: int, records: Sequence[Record], states: Any, now: Any, broadcast: Any) -> Folded:
            clock[0] += each * len(records)
            return super().fold(partition, records, states, now, broadcast)

    monkeypatch.setattr("streams.engine.folding.time.perf_counter", lambda: clock[0])
    one = folder(tmp_path, processor=Slow())
    assert one.fitting(1.0) == 2_000
    await one.fold(0, [record(b"k%d" % n, b"") for n in range(300)], Memory())  # type: ignore[arg-type]
    assert one.fitting(1.0) == pytest.approx(fitting, abs=1)


async def test_each_key_is_read_once_a_batch(tmp_path: Path) -> None:
    store = Memory(a=stored(b"x"))
    records = [record(b"a", b"1"), record(b"b", b"2")] * 100
    await folder(tmp_path).fold(0, records, store)  # type: ignore[arg-type]
    assert sorted(store.reads) == [b"a", b"b"]


async def test_an_unforeseen_exception_fails_the_fold_and_keeps_its_cause(tmp_path: Path) -> None:
    with pytest.raises(FoldFailed) as caught:
        await folder(tmp_path).fold(0, [record(b"a", b"raise")], Memory())  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, LookupError)


async def test_a_newer_format_is_no_failure_of_the_fold(tmp_path: Path) -> None:
    with pytest.raises(NewerFormat):
        await folder(tmp_path).fold(0, [record(b"a", b"newer")], Memory())  # type: ignore[arg-type]


def changed(gathered: Gathered, store: Memory) -> dict[bytes, tuple[bytes | None, int, tuple[bytes, ...]]]:
    changes = gathered.changes(store, 3, 7)  # type: ignore[arg-type]
    return {c.key: (c.state, c.header.due, c.header.waits) for c in changes}


def test_an_unchanged_state_is_not_written() -> None:
    gathered = Gathered(states={b"a": b"same", b"gone": None})
    assert changed(gathered, Memory(a=stored(b"same", 5))) == {}


def test_a_changed_state_keeps_its_timer_and_waits() -> None:
    gathered = Gathered(states={b"a": b"new"})
    assert changed(gathered, Memory(a=stored(b"old", 5, (b"w",)))) == {b"a": (b"new", 5, (b"w",))}


def test_a_tick_uses_its_timer_up_even_when_the_state_stays() -> None:
    gathered = Gathered()
    gathered.tick([record(b"a", b"", TICK_TOPIC)])
    assert changed(gathered, Memory(a=stored(b"s", 5, (b"w",)))) == {b"a": (b"s", 0, (b"w",))}


def test_a_tick_that_sets_a_new_timer_keeps_the_new_one() -> None:
    gathered = Gathered(timers={b"a": NOW})
    gathered.tick([record(b"a", b"", TICK_TOPIC)])
    assert changed(gathered, Memory(a=stored(b"s", 5))) == {b"a": (b"s", int(NOW.timestamp() * 1000), ())}


def test_a_label_waits_on_after_a_tick_until_the_fold_says_otherwise() -> None:
    store = Memory(a=stored(b"s", 5, (b"t/x", b"t/y")))
    gathered = Gathered()
    gathered.tick([record(b"a", b"t/x", TICK_TOPIC)])
    assert changed(gathered, store) == {}
    gathered.waits[b"a"] = [b"t/y"]
    assert changed(gathered, store) == {b"a": (b"s", 5, (b"t/y",))}


def test_a_tick_for_a_state_that_is_gone_writes_nothing() -> None:
    gathered = Gathered()
    gathered.tick([record(b"a", b"", TICK_TOPIC)])
    assert changed(gathered, Memory()) == {}


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**63), st.integers(0, 2**63), st.lists(st.binary(max_size=40)))
def test_headers_are_read_back_as_written(epoch: int, position: int, due: int, waits: list[bytes]) -> None:
    header = StateHeader(epoch, position, due, tuple(waits))
    assert unpack_header(header.pack()) == header


def test_broadcast_changes_are_told_once_in_order(tmp_path: Path) -> None:
    settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=tmp_path, broadcast_topics=("t",))

    async def partitions(topic: str) -> int:
        return 1

    broadcast = Broadcast(settings, partitions)
    broadcast.put("t", b"a", b"1")
    broadcast.put("t", b"b", b"1")
    seen = broadcast.version
    broadcast.put("t", b"b", b"1")
    assert broadcast.changed_since(seen) == []
    broadcast.put("t", b"a", b"2")
    broadcast.put("t", b"b", None)
    assert broadcast.changed_since(seen) == [wait_label("t", b"a"), wait_label("t", b"b")]
    assert broadcast.values == {"t": {b"a": b"2"}}


@pytest.mark.parametrize(
    ("key", "murmur"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_keys_are_hashed_as_kafkas_java_client_does(key: bytes, murmur: int) -> None:
    """The hashes are those of Kafka's own UtilsTest."""
    assert partition_of(key, 8) == (murmur & 0x7FFFFFFF) % 8


@given(st.binary(max_size=70))
def test_our_hash_is_the_clients_hash(key: bytes) -> None:
    assert murmur2(key) == theirs(key) & 0xFFFFFFFF
