"""The waiting commands of one connection: collapsed per entity, taken by priority, one at a time per entity. Pure."""

from __future__ import annotations

from collections.abc import Iterator

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


class Inbox:
    """Newest set of an entity and capability wins; creates and appends never collapse, but one id waits once."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, command: str) -> bool:
        return command in self._waiting

    def add(self, command: Command, busy: frozenset[str] = frozenset()) -> list[Command]:
        """Put *command* in and return the commands that it supersedes; what is in flight (*busy*) is left alone."""
        self._arrivals += 1
        superseded = list(self._superseded(command, busy))
        for old in superseded:
            del self._waiting[old.id]
        known = self._waiting.get(command.id)
        arrived = known.arrived if known else self._arrivals
        if known is None or command.id not in busy:
            kept = known or Waiting(command=command, arrived=arrived)
            self._waiting[command.id] = msgspec.structs.replace(kept, command=command)
        return superseded

    def _superseded(self, command: Command, busy: frozenset[str]) -> Iterator[Command]:
        if command.kind != "set":
            return
        for waiting in self._waiting.values():
            old = waiting.command
            same = old.kind == "set" and old.entity == command.entity and old.capability == command.capability
            if same and old.id != command.id and old.id not in busy:
                yield old

    def remove(self, command: str) -> None:
        """Forget a command that has its result."""
        self._waiting.pop(command, None)

    def change(self, waiting: Waiting) -> None:
        """Remember another try."""
        if waiting.command.id in self._waiting:
            self._waiting[waiting.command.id] = waiting

    def ready(self, now: float, locked: frozenset[str]) -> Waiting | None:
        """Return the command to write next, None when none may go: by priority, then arrival; per entity in order."""
        heads: dict[str, Waiting] = {}
        for waiting in self._waiting.values():
            entity = waiting.command.entity
            head = heads.get(entity)
            if head is None or waiting.arrived < head.arrived:
                heads[entity] = waiting
        free = [head for entity, head in heads.items() if entity not in locked and head.not_before <= now]
        return min(free, key=lambda head: (head.command.priority, head.arrived), default=None)

    def next_at(self) -> float | None:
        """Return when the earliest waiting command may be tried."""
        return min((waiting.not_before for waiting in self._waiting.values()), default=None)

    def commands(self) -> list[Command]:
        """Return everything that waits."""
        return [waiting.command for waiting in self._waiting.values()]
