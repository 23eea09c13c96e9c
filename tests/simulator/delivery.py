"""A small honest model of the delivery loop: inbox, journal, uncertain, settle, probe, stale; crashes keep the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Literal

import msgspec

from schemas.commands import Command, Outcome, Pair, Result
from schemas.events import ChangeEvent
from schemas.projection import project
from tests.simulator.fakes import Doc, FakePlatform

SETTLE = timedelta(seconds=180)
Fault = Literal["", "before", "after", "slow", "crash"]


@dataclass
class Row:
    """What is on disk about one write."""

    state: Literal["uncertain", "confirmed"]
    at: datetime
    doc: str = ""
    probes: int = 0


@dataclass
class Delivery:
    """The owner of one connection."""

    platform: FakePlatform
    dice: Random
    emit: Callable[[ChangeEvent | Result], None]
    faults: tuple[Fault, ...] = ("",)
    """One is drawn for every mutating call."""
    slow: timedelta = timedelta(seconds=120)
    epoch: int = 1
    offset: int = 0
    seq: int = 0
    down: str = ""
    outage: int = 0
    muted: bool = False
    """Keep what comes: a quota that is used up."""
    in_turn: bool = False
    """Deliver what an entity is told in its order, one at a time, as the real inbox does."""
    inbox: dict[str, Command] = field(default_factory=dict)
    journal: dict[str, Row] = field(default_factory=dict)
    later: dict[str, datetime] = field(default_factory=dict)
    committing: list[tuple[datetime, Command]] = field(default_factory=list)
    probes: int = 0

    def accept(self, command: Command) -> None:
        if command.kind == "set":
            same = [
                old for old in self.inbox.values()
                if old.kind == "set" and (old.entity, old.capability) == (command.entity, command.capability)
                and old.id not in self.journal
            ]  # fmt: skip
            for old in same:
                if old.id != command.id:
                    self._answer(old, "superseded")
        self.inbox[command.id] = command

    def work(self, now: datetime) -> bool:
        """Do one thing; False when nothing can be done at *now*."""
        for at, command in list(self.committing):
            if at <= now:
                self.committing.remove((at, command))
                doc = self.platform.apply(command, at)
                doc.made_at = at
                return True
        heads = {one.entity: one for one in reversed(self.inbox.values())}.values()
        ready = [one for one in (heads if self.in_turn else self.inbox.values()) if self.later.get(one.id, now) <= now]
        if not ready or self.muted:
            return False
        self._deliver(self.dice.choice(ready), now)
        return True

    def next_at(self) -> list[datetime]:
        times = [self.later[one] for one in self.inbox if one in self.later]
        return ([] if self.muted else times) + [at for at, _ in self.committing]

    def crash(self) -> None:
        """Another worker takes over: memory is lost, inbox and journal are not."""
        self.epoch, self.offset, self.seq = self.epoch + 1, 0, 0

    def _deliver(self, command: Command, now: datetime) -> None:
        if self.down:
            self._answer(command, "deferred", self.down)
            return
        if command.capability in self.platform.refuses:
            self._answer(command, "rejected", "The period is closed.")
            return
        row = self.journal.get(command.id)
        if row is not None and row.state == "confirmed":
            self._confirm(command, self.platform.docs[row.doc], found=True)
        elif row is not None:
            self._settle(command, row, now)
        elif command.kind != "set" and command.presence == "unknown" and (found := self._probe(command, now)):
            self._confirm(command, found, found=True)
        elif command.kind == "set" and self._stale(command):
            pass
        elif not self.platform.takes(command):
            self._answer(command, "rejected", "The invoice takes no more.")
        elif self.platform.refused(command):
            self._answer(command, "stale", "It was paid meanwhile.")
        else:
            self._send(command, now)

    def _probe(self, command: Command, now: datetime) -> Doc | None:
        self.probes += 1
        return self.platform.find(command.mark, now)

    def _settle(self, command: Command, row: Row, now: datetime) -> None:
        found = self._probe(command, now) if command.kind != "set" else None
        if command.kind == "set" and self._stale(command):
            return
        if found is not None:
            self._confirm(command, found, found=True)
        elif now < row.at + SETTLE:
            self.later[command.id] = row.at + SETTLE
        elif row.probes < 1:
            row.probes += 1
            self.later[command.id] = now + timedelta(seconds=1)
        else:
            self._send(command, now)

    def _stale(self, command: Command) -> bool:
        doc = self.platform.docs.get(command.bound_id)
        if doc is None or doc.gone:
            self._answer(command, "stale", "The object is gone.")
            return True
        there = project(doc.facts)
        moved = {
            name: there[name] for name, pair in command.base.items()
            if name in there and there[name] not in {pair.made, command.fields.get(name)}
        }  # fmt: skip
        if moved:
            self._show(doc, command)
            self._answer(command, "stale", "Edited there meanwhile.", shown=moved)
        return bool(moved)

    def _send(self, command: Command, now: datetime) -> None:
        fault = self.dice.choice(self.faults)
        if command.kind == "set" and fault == "slow":
            fault = ""
        if fault == "":
            self._confirm(command, self.platform.apply(command, now))
            return
        if fault in {"after", "crash"}:
            self.platform.apply(command, now)
        if fault == "slow":
            self.committing.append((now + self.slow, command))
        self.journal[command.id] = Row("uncertain", now)
        self.later[command.id] = now + timedelta(seconds=1)
        if fault == "crash":
            self.crash()

    def _show(self, doc: Doc, command: Command) -> None:
        self.seq += 1
        shown = self.platform.event(doc, (self.epoch, self.seq), order=command.order)
        self.emit(msgspec.structs.replace(shown, origin="write"))

    def read(self, doc: Doc) -> None:
        """Look at a document, as a sweep or a hint does."""
        self.seq += 1
        self.emit(self.platform.event(doc, (self.epoch, self.seq)))

    def _confirm(self, command: Command, doc: Doc, *, found: bool = False) -> None:
        """Answer; what was found may be of an earlier wish: it counts as sent as it shows."""
        self.journal[command.id] = Row("confirmed", doc.made_at, doc.id)
        self._show(doc, command)
        self._answer(command, "confirmed", doc=doc, found=found)

    def _answer(
        self, command: Command, outcome: Outcome, reason: str = "", *, doc: Doc | None = None,
        shown: dict[str, str] | None = None, found: bool = False,
    ) -> None:  # fmt: skip
        self.offset += 1
        made = project(doc.facts) if doc is not None else {}
        if command.kind == "set":
            self.journal.pop(command.id, None)
        self.inbox.pop(command.id, None)
        self.later.pop(command.id, None)
        self.emit(
            Result(
                command=command.id, order=command.order, write=command.write, tenant=command.tenant,
                connection=command.connection, account=command.account, capability=command.capability, outcome=outcome,
                canonical=command.canonical,
                digest=command.digest, generation=command.generation,
                bound=self.platform.ref(doc) if doc is not None and command.kind != "set" else None,
                made={
                    name: Pair(made[name] if found else sent, made[name]) for name, sent in command.fields.items()
                    if name in made and (not found or name != "lines" or made[name] == sent)
                },
                shown=shown or {}, reason=reason, outage=self.outage,
                look=(self.epoch, self.seq) if outcome == "confirmed" else (0, 0), epoch=self.epoch, offset=self.offset,
            )
        )  # fmt: skip
