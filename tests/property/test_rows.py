"""What owners leave to each other: whatever a stopped one sends late, however often it is read, compacted or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from app.connectors.rows import Rows
from app.core import topics
from tests.property.virtual_time import run

NAMES = ("a/invoice", "b/invoice", "c/payment")
Headers = Iterable[tuple[str, bytes]]


class Entry(NamedTuple):
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Log:
    """One partition of each topic, as a bus gives and takes it."""

    partitions = 1

    def __init__(self) -> None:
        self.topics: dict[str, list[Entry]] = {}

    async def entries(self, topic: str, partitions: Iterable[int]) -> AsyncIterator[Entry]:
        del partitions
        for entry in list(self.topics.get(topic, ())):
            yield entry

    async def send(self, topic: str, key: bytes, value: bytes | None, *, partition: int, headers: Headers = ()) -> int:
        del partition
        entries = self.topics.setdefault(topic, [])
        entries.append(Entry(key, value, tuple(headers)))
        return len(entries) - 1

    def compact(self) -> None:
        """Keep the newest of each key, in its place."""
        for entries in self.topics.values():
            newest = {entry.key: place for place, entry in enumerate(entries)}
            entries[:] = [entry for place, entry in enumerate(entries) if newest[entry.key] == place]


class Held(dict[str, bytes]):
    hold = dict[str, bytes].__setitem__
    held = dict[str, bytes].get

    def drop(self, key: str) -> None:
        self.pop(key, None)


async def began(log: Log, now: float = 0.0) -> tuple[Rows, Held]:
    rows, held = Rows(log, "books", lambda: now), Held()  # type: ignore[arg-type]
    await rows.begin(held)
    return rows, held


async def test_what_a_stopped_owner_sends_behind_its_successors_back_does_not_count_although_nobody_wrote_it_before() -> (
    None
):
    log = Log()
    first, _ = await began(log)
    await first.put(topics.JOURNAL, "a/invoice", b"1")
    second, held = await began(log)
    assert held == {"a/invoice": b"1"}
    await first.put(topics.JOURNAL, "b/invoice", b"never sent")
    third, held = await began(log)
    assert held == {"a/invoice": b"1"}
    assert (second.epoch, third.epoch) == (first.epoch + 1, first.epoch + 2)


async def test_an_owner_after_whom_the_journal_was_lost_is_newer_than_all_before_it() -> None:
    """What they left elsewhere stays, in the inbox, in events, in order-states: below it, the new owner were a late one."""
    log = Log()
    for minute in (0, 1, 1, 2):
        last, _ = await began(log, minute * 60.0)
    await last.put(topics.INBOX, "a/invoice", b"1")
    del log.topics[topics.JOURNAL]
    owner, held = await began(log, 5 * 60.0)
    assert held == {}
    assert owner.epoch > last.epoch
    await owner.put(topics.INBOX, "a/invoice", b"2")
    assert await owner.left(topics.INBOX) == {"a/invoice": b"2"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "late", "delete", "compact", "owner"]), st.sampled_from(NAMES)), max_size=30
    )
)
def test_each_owner_finds_what_the_ones_before_it_left_and_nothing_that_came_late(acts: list[tuple[str, str]]) -> None:
    async def play() -> None:
        log = Log()
        owners, left = [(await began(log))[0]], dict[str, bytes]()
        for number, (act, name) in enumerate(acts):
            value = str(number).encode()
            if act == "write":
                await owners[-1].put(topics.JOURNAL, name, value)
                left[name] = value
            elif act == "delete":
                await owners[-1].put(topics.JOURNAL, name, None)
                left.pop(name, None)
            elif act == "late" and len(owners) > 1:
                await owners[number % (len(owners) - 1)].put(topics.JOURNAL, name, value)
            elif act in {"owner", "compact"}:
                owner, held = await began(log)
                assert held == left
                owners.append(owner)
                if act == "compact":  # what came late was undone by then: else it may be all that is left
                    log.compact()
        assert (await began(log))[1] == left

    run(play())
