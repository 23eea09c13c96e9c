"""The waiting commands of one connection: collapsed per entity, taken by priority, one at a time per entity. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from schemas.commands import Command


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One command with its place in the queue and its tries."""

    command: Command
    arrived: int
    tries: int = 0
    not_before: float = 0.0
    first_tried: float = 0.0
    probes: int = 0
    """How often the platform was asked in vain since the last lost reply."""
    alone: bool = False
    """Not in a batch again: the last one failed as a whole."""


class Inbox:
    """Newest set of an entity and capability wins; creates and appends never collapse, but one id waits once."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._queues: dict[str, dict[str, None]] = {}
        self._due: list[tuple[int, int, str]] = []
        self._later: list[tuple[float, int, str]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, command: str) -> bool:
        return command in self._waiting

    def add(self, command: Command, fixed: Callable[[str], bool] = lambda _command: False) -> list[Command]:
        """Put *command* in and return the commands that it supersedes.

        What is *fixed* (in flight, or its intent is written) is neither replaced nor superseded.
        """
        superseded = self._superseded(command, fixed)
        for old in superseded:
            self.remove(old.id)
        known = self._waiting.get(command.id)
        if known is None:
            self._arrivals += 1
            self._waiting[command.id] = Waiting(command=command, arrived=self._arrivals)
            self._queues.setdefault(command.entity, {})[command.id] = None
            self._offer(command.entity)
        elif not fixed(command.id) and known.command.entity == command.entity:
            self._waiting[command.id] = msgspec.structs.replace(known, command=command)
            self._offer(command.entity)
        return superseded

    def _superseded(self, command: Command, fixed: Callable[[str], bool]) -> list[Command]:
        if command.kind != "set":
            return []
        queued = [self._waiting[id_].command for id_ in self._queues.get(command.entity, ())]
        return [
            old
            for old in queued
            if old.kind == "set" and old.capability == command.capability and old.id != command.id and not fixed(old.id)
        ]

    def remove(self, command: str) -> None:
        """Forget a command that has its result."""
        waiting = self._waiting.pop(command, None)
        if waiting is None:
            return
        entity = waiting.command.entity
        queue = self._queues[entity]
        del queue[command]
        if queue:
            self._offer(entity)
        else:
            del self._queues[entity]

    def change(self, waiting: Waiting) -> None:
        """Remember another try."""
        if waiting.command.id in self._waiting:
            self._waiting[waiting.command.id] = waiting
            self._offer(waiting.command.entity)

    def _head(self, entity: str) -> Waiting:
        return self._waiting[next(iter(self._queues[entity]))]

    def _offer(self, entity: str) -> None:
        head = self._head(entity)
        if head.not_before > 0:
            heapq.heappush(self._later, (head.not_before, head.arrived, head.command.id))
        else:
            heapq.heappush(self._due, (head.command.priority, head.arrived, head.command.id))

    def ready(
        self, now: float, locked: frozenset[str], suits: Callable[[Waiting], bool] = lambda _waiting: True
    ) -> Waiting | None:
        """Return the command to write next, None when none may go: by priority, then arrival; per entity in order."""
        while self._later and self._later[0][0] <= now:
            _, arrived, id_ = heapq.heappop(self._later)
            if (waiting := self._waiting.get(id_)) is not None:
                heapq.heappush(self._due, (waiting.command.priority, arrived, id_))
        aside: list[tuple[int, int, str]] = []
        found: Waiting | None = None
        while self._due and found is None:
            entry = heapq.heappop(self._due)
            waiting = self._waiting.get(entry[2])
            if waiting is None or waiting.not_before > now or self._head(waiting.command.entity) != waiting:
                continue
            aside.append(entry)
            if waiting.command.entity not in locked:
                if not suits(waiting):
                    break
                found = waiting
        for entry in aside:
            heapq.heappush(self._due, entry)
        return found

    def next_at(self) -> float | None:
        """Return when the earliest postponed command may be tried."""
        return self._later[0][0] if self._later else None

    def begin_anew(self) -> None:
        """Let everything that was put off go now, its time to be tried counted from now on."""
        for waiting in list(self._waiting.values()):
            self.change(msgspec.structs.replace(waiting, not_before=0.0, first_tried=0.0))

    def commands(self) -> list[Command]:
        """Return everything that waits."""
        return [waiting.command for waiting in self._waiting.values()]
