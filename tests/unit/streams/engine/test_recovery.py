from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.metrics import new_metrics
from streams.engine import recovery
from streams.engine.header import EPOCH_KEY, HEADER, StateHeader, state_of
from streams.engine.instruments import Instruments
from streams.engine.recovery import apply, restore
from streams.engine.settings import WorkerSettings
from streams.engine.store import Store, StoreOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Logged(NamedTuple):
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def logged(key: bytes, value: bytes | None, epoch: int, position: int = 0, due: int = 0) -> Logged:
    return Logged(key, value, ((HEADER, StateHeader(epoch, position, due).pack()),))


@pytest.fixture
def options(tmp_path: Path) -> StoreOptions:
    return StoreOptions(WorkerSettings(bootstrap="", group="", name="w", data_dir=tmp_path))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("stores")
    options = StoreOptions(WorkerSettings(bootstrap="", group="", name="w", data_dir=folder))
    opened: list[Store] = []

    def make() -> Store:
        opened.append(Store(folder / str(len(opened)), options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def held(store: Store, key: bytes) -> bytes | None:
    return state_of(store.get_many([key])[0])


def test_the_last_record_of_a_key_wins(stores: Any) -> None:
    store = stores()
    apply(store, [logged(b"k", b"1", 1, 1), logged(b"k", b"2", 1, 2)], 2)
    assert (held(store, b"k"), store.position) == (b"2", 2)


def test_an_older_epoch_behind_a_newer_one_is_ignored_within_and_across_batches(stores: Any) -> None:
    store = stores()
    apply(store, [logged(b"k", b"new", 2, 1), logged(b"k", b"old", 1, 9)], 2)
    apply(store, [logged(b"k", b"old", 1, 9)], 3)
    assert held(store, b"k") == b"new"


@pytest.mark.parametrize("before", [None, b"first"])
@pytest.mark.parametrize("apart", [False, True])
def test_what_is_written_behind_a_claim_by_somebody_older_counts_for_nothing(
    stores: Any, before: bytes | None, *, apart: bool
) -> None:
    """The owner who claimed does not know it: to him the key has the state from before, or none."""
    store = stores()
    known = [] if before is None else [logged(b"k", before, 1, 1)]
    claim, late = logged(EPOCH_KEY, b"w2", 2), logged(b"k", b"late", 1, 9)
    for records in [[*known, claim], [late]] if apart else [[*known, claim, late]]:
        apply(store, records, store.position + len(records))
    assert (held(store, b"k"), store.outlived) == (before, {b"k"})


def test_an_older_position_of_the_same_epoch_is_ignored(stores: Any) -> None:
    store = stores()
    apply(store, [logged(b"k", b"new", 1, 9), logged(b"k", b"late retry", 1, 5)], 2)
    assert held(store, b"k") == b"new"


def test_what_a_late_writer_hid_is_known_after_a_restart_until_it_is_written_anew(
    tmp_path: Path, options: StoreOptions
) -> None:
    """A standby that restarts has passed the late record: nothing but its disk can tell its next owner."""
    store = Store(tmp_path / "db", options)
    apply(store, [logged(b"k", b"new", 2, 1), logged(b"l", b"new", 2, 2), logged(b"k", b"old", 1, 9)], 3)
    apply(store, [logged(b"l", b"old", 1, 9)], 4)
    store.close()
    again = Store(tmp_path / "db", options)
    assert again.outlived == {b"k", b"l"}
    apply(again, [logged(b"k", b"anew", 3, 1)], 5)
    again.close()
    last = Store(tmp_path / "db", options)
    assert (last.outlived, held(last, b"k"), held(last, b"l")) == ({b"l"}, b"anew", b"new")
    last.reset()
    assert last.outlived == set()
    last.close()


def test_a_tombstone_deletes(stores: Any) -> None:
    store = stores()
    apply(store, [logged(b"k", b"1", 1, 1), logged(b"k", None, 1, 2)], 2)
    assert held(store, b"k") is None


def test_an_epoch_marker_raises_the_epoch_and_is_no_state(stores: Any) -> None:
    store = stores()
    apply(store, [logged(EPOCH_KEY, b"w1", 7)], 1)
    assert (store.epoch, list(store.items())) == (7, [])


def test_timers_are_rebuilt_from_headers(stores: Any) -> None:
    store = stores()
    apply(store, [logged(b"k", b"1", 1, 1, due=50), logged(b"k", b"2", 1, 2, due=90)], 2)
    assert store.due(60, 10) == []
    assert store.due(90, 10) == [b"k"]


class Loaded:
    """A store that notes whether it is being filled."""

    position, loading = 0, False

    def begin_load(self) -> None:
        self.loading = True

    def end_load(self) -> None:
        self.loading = False


class Silent:
    """A consumer of a changelog of ten records that gives none."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def assign(self, places: list[TopicPartition]) -> None:
        self.places = places

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 10)

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        pass

    async def getmany(self, **_how: Any) -> dict[Any, Any]:
        self.asked.set()
        await asyncio.Event().wait()
        return {}


async def test_a_recovery_that_is_cut_off_leaves_no_store_as_one_that_is_being_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer, store, place = Silent(), Loaded(), TopicPartition("changelog", 0)

    @asynccontextmanager
    async def reading(*_how: Any) -> AsyncIterator[Silent]:
        yield consumer

    async def restored() -> None:
        instruments = Instruments(new_metrics())
        worker = WorkerSettings(bootstrap="", group="", name="w", data_dir=Path())
        _ = [tp async for tp in restore(worker, {place: store}, instruments)]  # type: ignore[dict-item]

    monkeypatch.setattr(recovery, "reading", reading)
    task = asyncio.create_task(restored())
    await consumer.asked.wait()
    assert store.loading
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not store.loading


records = st.lists(
    st.builds(
        logged,
        st.sampled_from([b"a", b"b", b"c"]),
        st.binary(max_size=4),
        st.integers(1, 3),
        st.integers(0, 5),
        st.integers(0, 9),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(records, st.integers(1, 7))
def test_how_the_log_is_cut_into_polls_does_not_matter(stores: Any, log: list[Logged], size: int) -> None:
    whole, cut = stores(), stores()
    apply(whole, log, len(log))
    for start in range(0, len(log), size):
        apply(cut, log[start : start + size], start + size)
    assert whole.digest() == cut.digest()
    assert whole.due(99, 10) == cut.due(99, 10)
    assert whole.outlived == cut.outlived
