"""The journal on disk answers as a plain dictionary of rows would, and its memory does not follow its size."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sinks.delivery.journal import Journal
from sinks.delivery.row import MEMBER, Row, may_have_done, row_key

COMMANDS = ("a", "b", "c", "d")
BATCHES = ("ab", "bcd")
LOCKS = ("", "customer:jo@example.com", "customer:al@example.com")
STATES = st.sampled_from(["intent", "uncertain", "confirmed", "not_done", "settled"])
_MIB = 1024 * 1024


def _key(row: Row) -> str:
    return row_key(row.command, row.step)


class Plain:
    """What a journal answers, by going through all rows there are."""

    def __init__(self) -> None:
        self.all: dict[str, Row] = {}

    def rows(self, command: str) -> list[Row]:
        return sorted((row for row in self.all.values() if command in {row.command, *row.members}), key=_key)

    def unresolved(self, command: str) -> list[Row]:
        own = self.all.get(row_key(command, MEMBER))
        batches = own is None or own.is_open
        return [row for row in self.rows(command) if (may_have_done(row) and batches if row.members else row.is_open)]

    def outdated(self, before: float, waiting: str) -> list[str]:
        mine = {row.command for row in self.all.values() if not row.members}
        old = {
            one
            for one in mine
            if one != waiting and not self.unresolved(one) and max(row.at for row in self.rows(one)) < before
        }
        batches = [row for row in self.all.values() if row.members]
        gone = [row for row in batches if row.at < before and old.issuperset(row.members)]
        ended = old.difference(*(row.members for row in batches if row not in gone))
        own = [row for row in self.all.values() if not row.members and row.command in ended]
        return [*sorted(map(_key, gone)), *sorted(map(_key, own))]


class JournalMachine(RuleBasedStateMachine):
    """Rows come, change and go in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.journal, self.plain = Journal(), Plain()

    @rule(
        command=st.sampled_from(COMMANDS),
        step=st.sampled_from(["invoice", "customer", MEMBER]),
        state=STATES,
        at=st.integers(0, 9),
        lock=st.sampled_from(LOCKS),
    )
    def write(self, command: str, step: str, state: str, at: int, lock: str) -> None:
        self._put(Row(command=command, step=step, epoch=1, state=state, at=float(at), lock=lock, reply="eA=="))  # type: ignore[arg-type]

    @rule(batch=st.sampled_from(BATCHES), state=STATES, at=st.integers(0, 9))
    def write_together(self, batch: str, state: str, at: int) -> None:
        self._put(Row(command=batch, step="invoices", epoch=1, state=state, at=float(at), members=tuple(batch)))  # type: ignore[arg-type]

    def _put(self, row: Row) -> None:
        self.journal.put(row)
        self.plain.all[_key(row)] = row

    @rule(
        command=st.sampled_from((*COMMANDS, *BATCHES)),
        step=st.sampled_from(["invoice", "customer", "invoices", MEMBER]),
    )
    def drop(self, command: str, step: str) -> None:
        self.journal.drop(row_key(command, step))
        self.plain.all.pop(row_key(command, step), None)

    @rule(command=st.sampled_from(COMMANDS))
    def forget(self, command: str) -> None:
        keys = [_key(row) for row in self.plain.rows(command) if not row.members]
        assert self.journal.forget(command) == keys
        for key in keys:
            del self.plain.all[key]

    @rule(before=st.integers(1, 10), waiting=st.sampled_from(("", *COMMANDS)))
    def tidy(self, before: int, waiting: str) -> None:
        assert self.journal.outdated(before, lambda command: command == waiting) == self.plain.outdated(before, waiting)

    @invariant()
    def they_agree(self) -> None:
        assert len(self.journal) == len(self.plain.all)
        for command in (*COMMANDS, *BATCHES):
            rows = self.plain.rows(command)
            assert self.journal.rows(command) == rows
            assert self.journal.unresolved(command) == self.plain.unresolved(command)
            settled = [row for row in rows if row.state == "settled"]
            assert self.journal.doubtful(command) == [*self.plain.unresolved(command), *settled]
            assert self.journal.get(command, MEMBER) == self.plain.all.get(row_key(command, MEMBER))
        for lock in LOCKS:
            held = sorted((row for row in self.plain.all.values() if lock and row.lock == lock), key=_key)
            assert self.journal.locked_by(lock, "a") == [row for row in held if row.command != "a"]


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux alone tells a process' memory there.")
def test_the_memory_of_a_journal_does_not_follow_its_size() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def row(number: int) -> Row:
        return Row(command=f"{number:032x}", step="invoice", epoch=1, state="confirmed", at=number, reply="eA==" * 700)

    journal = Journal(map(row, range(3_000)))
    before = resident()
    for number in range(3_000, 20_000):
        journal.put(row(number))
    assert resident() - before < 10 * _MIB  # of 50
    assert journal.get(f"{7:032x}", "invoice") == row(7)


def test_a_journal_may_be_collected_in_any_thread() -> None:
    """Python collects where it happens to be, in a worker of a thread pool too."""
    journals = [Journal()]
    failures: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, failures.append
    try:
        thread = threading.Thread(target=journals.clear)
        thread.start()
        thread.join()
        gc.collect()
    finally:
        sys.unraisablehook = before
    assert failures == []
