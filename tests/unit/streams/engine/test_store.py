from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from streams.engine.fold import count_label
from streams.engine.header import StateHeader, header_of, split_value, state_of
from streams.engine.settings import WorkerSettings
from streams.engine.store import Change, Store, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def options(tmp_path: Path) -> StoreOptions:
    return StoreOptions(WorkerSettings(bootstrap="", group="", name="w", data_dir=tmp_path))


@pytest.fixture
def store(tmp_path: Path, options: StoreOptions) -> Iterator[Store]:
    made = Store(tmp_path / "db", options)
    yield made
    made.close()


def put(store: Store, key: bytes, state: bytes | None, due: int = 0, waits: tuple[bytes, ...] = ()) -> None:
    header = StateHeader(1, 1, due, waits)
    (old,) = store.get_many([key])
    before = header_of(old) if old is not None else None
    store.write([Change(key, before, header, header.pack(), state)], store.position + 1, 1)


def test_a_written_state_is_read_back_with_its_header(store: Store) -> None:
    put(store, b"k", b"state", 5, (b"a", b"b"))
    (value,) = store.get_many([b"k"])
    assert value is not None
    assert split_value(value) == (StateHeader(1, 1, 5, (b"a", b"b")), b"state")


def test_position_and_epoch_survive_reopening(tmp_path: Path, options: StoreOptions) -> None:
    store = Store(tmp_path / "db", options)
    store.write([], 41, 7)
    store.close()
    again = Store(tmp_path / "db", options)
    assert (again.position, again.epoch) == (41, 7)
    again.close()


_CRASH = """
import os, sys
from pathlib import Path
from streams.engine.header import StateHeader
from streams.engine.settings import WorkerSettings
from streams.engine.store import Change, Store, StoreOptions
folder = Path(sys.argv[1])
store = Store(folder, StoreOptions(WorkerSettings(bootstrap="", group="", name="w", data_dir=folder)))
for n in range(1, 9):
    header = StateHeader(1, n, due=n)
    store.write([Change(key, None, header, header.pack(), b"%d" % n) for key in (b"k", b"k%d" % n)], n, 1)
    if n == 5:
        store.current(1_000.0)
os._exit(9)
"""


def test_a_crash_loses_the_last_writes_and_never_some_between(tmp_path: Path, options: StoreOptions) -> None:
    """Until where the changelog is in it a store says truly: the rest is read from there again."""
    crashed = subprocess.run([sys.executable, "-c", _CRASH, str(tmp_path / "db")], check=False)
    store = Store(tmp_path / "db", options)
    states = {key: state_of(value) for key, value in store.items()}
    assert (crashed.returncode, store.current_at) == (9, 1_000.0)
    assert store.position >= 5
    assert states == {b"k": b"%d" % store.position} | {b"k%d" % n: b"%d" % n for n in range(1, store.position + 1)}
    assert set(store.due(99, 99)) == states.keys()
    store.close()


def test_a_store_is_outdated_by_when_all_of_the_changelog_was_in_it(store: Store) -> None:
    assert not store.outdated(since=1_000.0), "an empty one has nothing that could be out of date"
    put(store, b"k", b"state")
    assert store.outdated(since=1_000.0)
    store.current(1_000.0)
    assert (store.outdated(since=1_000.0), store.outdated(since=1_001.0)) == (False, True)
    assert (store.current(1_009.0, every=10.0), store.current(1_010.0, every=10.0)) == (False, True)
    assert store.current_at == 1_010.0


def test_a_reopened_store_keeps_the_shared_cache(tmp_path: Path, options: StoreOptions) -> None:
    for _ in range(2):
        store = Store(tmp_path / "db", options)
        assert store._db.property_int_value("rocksdb.block-cache-capacity") == options.capacity
        store.close()


def test_a_closed_store_can_be_opened_again_in_the_same_process(tmp_path: Path, options: StoreOptions) -> None:
    Store(tmp_path / "db", options).close()
    Store(tmp_path / "db", options).close()


def test_due_keys_come_earliest_first_and_only_when_their_time_has_come(store: Store) -> None:
    for key, due in ((b"c", 30), (b"a", 10), (b"b", 20)):
        put(store, key, b"s", due)
    assert store.due(9, 10) == []
    assert store.due(25, 10) == [b"a", b"b"]
    assert store.due(25, 1) == [b"a"]


def test_a_moved_timer_leaves_nothing_behind(store: Store) -> None:
    put(store, b"k", b"s", 10)
    put(store, b"k", b"s", 50)
    assert store.due(20, 10) == []
    assert store.due(60, 10) == [b"k"]
    put(store, b"k", b"s", 0)
    assert store.due(60, 10) == []


def test_a_timer_set_before_the_earliest_known_is_not_missed(store: Store) -> None:
    put(store, b"late", b"s", 100)
    assert store.due(50, 10) == []
    put(store, b"early", b"s", 20)
    assert store.due(50, 10) == [b"early"]


def test_the_timer_index_is_found_again_after_reopening(tmp_path: Path, options: StoreOptions) -> None:
    store = Store(tmp_path / "db", options)
    put(store, b"k", b"s", 10)
    store.close()
    again = Store(tmp_path / "db", options)
    assert again.due(10, 10) == [b"k"]
    again.close()


def test_a_deleted_state_has_no_timer_and_waits_for_nothing(store: Store) -> None:
    put(store, b"k", b"s", 10, (b"label",))
    put(store, b"k", None, 10, (b"label",))
    assert store.get_many([b"k"]) == [None]
    assert store.due(99, 10) == []
    assert store.waiting(b"label") == []


def test_waiting_keys_are_found_by_label_only(store: Store) -> None:
    put(store, b"k1", b"s", 0, (b"t/a", b"t/ab"))
    put(store, b"k2", b"s", 0, (b"t/ab",))
    assert store.waiting(b"t/a") == [b"k1"]
    assert store.waiting(b"t/ab") == [b"k1", b"k2"]
    put(store, b"k1", b"s", 0, (b"t/a",))
    assert store.waiting(b"t/ab") == [b"k2"]


def test_the_digest_ignores_order_and_writer_but_not_content(tmp_path: Path, options: StoreOptions) -> None:
    one, two = Store(tmp_path / "1", options), Store(tmp_path / "2", options)
    for key in (b"a", b"b", b"c"):
        put(one, key, b"s" + key, 5)
    for key in (b"c", b"a", b"b"):
        header = StateHeader(9, 9, 5)
        two.write([Change(key, None, header, header.pack(), b"s" + key)], 1, 9)
    assert one.digest() == two.digest()
    put(two, b"a", b"sa", 6)
    assert one.digest() != two.digest()
    one.close()
    two.close()


def test_reset_forgets_everything(store: Store) -> None:
    put(store, b"k", b"s", 10)
    store.reset()
    assert (store.position, store.epoch, store.get_many([b"k"]), store.due(99, 1)) == (0, 0, [None], [])


def test_counted_states_are_counted_until_they_change_or_go(tmp_path: Path, options: StoreOptions) -> None:
    store, late, odd = Store(tmp_path / "db", options), count_label("parked", "late"), count_label("parked", "odd")
    put(store, b"k1", b"s", 0, (late, b"topic/x"))
    put(store, b"k2", b"s", 0, (late, odd))
    put(store, b"k2", b"t", 5, (late, odd))
    assert store.counted == {late: 2, odd: 1}
    store.close()
    again = Store(tmp_path / "db", options)
    assert again.counted == {late: 2, odd: 1}
    put(again, b"k2", b"t", 5, (odd,))
    put(again, b"k1", None)
    assert +again.counted == {odd: 1}
    again.reset()
    assert again.counted == {}
    again.close()


def files(store: Store) -> int:
    return len(list(store.path.glob("*.sst")))


def test_files_lie_unsorted_while_a_store_is_filled_and_are_sorted_afterwards(store: Store) -> None:
    store.begin_load()
    for at in range(10):
        put(store, b"k%d" % at, b"state")
        store.current(at)
    assert files(store) == 10
    store.end_load()
    deadline = time.monotonic() + 30
    while files(store) > 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert files(store) <= 4
    assert [state_of(value) for value in store.get_many([b"k%d" % at for at in range(10)])] == [b"state"] * 10
