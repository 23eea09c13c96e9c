"""The waiting commands of one connection: collapsed per entity, taken by priority, one at a time per entity. Pure.

Each command waits in the lane of its capability; creates and appends that nobody can have made yet have a lane of their
own, since they can go together in one request.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from schemas.commands import BACKFILL, Capability, Command

Lane = tuple[Capability, bool]
_LOOKED_AT = 100
"""Commands that do not suit a batch and are passed over for it; more stand too far apart."""


class Stored(Command, frozen=True, omit_defaults=True, kw_only=True):
    """A command as it is kept for the next owner."""

    place: int = 0
    """Where it stands among those of its entity: not always where it came, nor where a log of rows has it."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One command with its place in the queue and its tries."""

    command: Command
    arrived: int
    later: Command | None = None
    """What was asked for under the same id while this was under way."""
    tries: int = 0
    not_before: float = 0.0
    first_tried: float = 0.0
    probes: int = 0
    """How often the platform was asked in vain since the last lost reply."""
    alone: bool = False
    """Not in a batch again: the last one failed as a whole."""

    @property
    def lane(self) -> Lane:
        """Return the capability, and whether the command may go together with others."""
        command = self.command
        fresh = command.kind != "set" and command.presence == "absent" and not command.bound_id
        return command.capability, fresh and not self.alone


def _as_sure(command: Command, unsent: Command) -> Command:
    """Return *command* as sure of its object's absence as the one it replaces, which never left.

    Who planned it could not know that nothing was sent.
    """
    if unsent.presence != "absent" or command.presence != "unknown":
        return command
    return msgspec.structs.replace(command, presence="absent")


def _asked_again(known: Waiting, command: Command, *, fixed: bool) -> Waiting:
    """Return *known* as asking for *command*; what is *fixed* goes first as it is, and only who wants it is new."""
    if not fixed:
        return msgspec.structs.replace(known, command=_as_sure(command, known.command), later=None)
    sent = msgspec.structs.replace(known.command, flow=command.flow)
    return msgspec.structs.replace(known, command=sent, later=None if command.digest == sent.digest else command)


class Inbox:
    """Newest set of an entity and capability wins; creates and appends never collapse, but one id waits once."""

    def __init__(self, may_leave: Callable[[Command], bool] = lambda _command: True) -> None:
        """*may_leave* holds a command back while it says no; tell `begin_anew` when it may say yes again."""
        self._may_leave = may_leave
        self._waiting: dict[str, Waiting] = {}
        self._queues: dict[str, dict[str, None]] = {}
        self._lanes: dict[Lane, list[tuple[int, int, str]]] = {}
        self._later: list[tuple[float, int, str]] = []
        self._held: set[str] = set()
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, command: str) -> bool:
        return command in self._waiting

    def add(self, command: Command, fixed: Callable[[str], bool] = lambda _command: False) -> list[Command]:
        """Put *command* in and return the commands that it supersedes.

        What is *fixed* (in flight, or its intent is written) is neither replaced nor superseded. A set has the place of
        what it supersedes, what an earlier owner kept the one that it had there, and anything else is last.
        """
        superseded = self._superseded(command, fixed)
        known = self._waiting.get(command.id)
        if known is None:
            place = command.place if isinstance(command, Stored) else 0
            self._line_in(command, self._waiting[superseded[0].id].arrived if superseded else place)
        elif known.command.entity == command.entity:
            self._waiting[command.id] = _asked_again(known, command, fixed=fixed(command.id))
            self._offer(command.entity)
        for old in superseded:
            self.remove(old.id)
        return superseded

    def stored(self, command: Command) -> Stored:
        """Return *command* as it is to be kept, with the place that it was given."""
        waiting = self._waiting.get(command.id)
        known = msgspec.structs.asdict(command)
        return Stored(**{**known, "place": 0 if waiting is None else waiting.arrived})

    def _line_in(self, command: Command, place: int) -> None:
        """Put *command* where *place* is in its entity's queue, last without one.

        What waits behind a set was planned to come after it: money goes on a document that shows the last total.
        """
        arrived = place or self._arrivals + 1
        self._arrivals = max(self._arrivals, arrived)
        self._waiting[command.id] = Waiting(command=command, arrived=arrived)
        queue = self._queues.setdefault(command.entity, {})
        behind = [id_ for id_ in queue if self._waiting[id_].arrived > arrived]
        queue[command.id] = None
        for id_ in behind:  # to the end, in their order
            del queue[id_]
            queue[id_] = None
        self._offer(command.entity)

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
        known = self._waiting.get(waiting.command.id)
        if known is not None:
            self._waiting[waiting.command.id] = msgspec.structs.replace(waiting, later=known.later)
            self._offer(waiting.command.entity)

    def ask_later(self, command: str) -> bool:
        """Put what was asked for meanwhile in the place of a command that was answered; False if nothing was."""
        waiting = self._waiting.get(command)
        if waiting is None or waiting.later is None:
            return False
        self._waiting[command] = Waiting(command=waiting.later, arrived=waiting.arrived)
        self._offer(waiting.command.entity)
        return True

    def _head(self, entity: str) -> Waiting:
        """Return the first of an entity that may leave; where none may, the first."""
        queue = (self._waiting[id_] for id_ in self._queues[entity])
        first = next(queue)
        if self._may_leave(first.command):
            return first
        return next((waiting for waiting in queue if self._may_leave(waiting.command)), first)

    def _offer(self, entity: str) -> None:
        if entity in self._held:
            return
        head = self._head(entity)
        if head.not_before > 0:
            heapq.heappush(self._later, (head.not_before, head.arrived, head.command.id))
        else:
            self._line_up(head)

    def _line_up(self, waiting: Waiting) -> None:
        entry = (waiting.command.priority, waiting.arrived, waiting.command.id)
        heapq.heappush(self._lanes.setdefault(waiting.lane, []), entry)

    def take(
        self, now: float, may: Callable[[Lane], bool] = lambda _lane: True, least: int = BACKFILL
    ) -> Waiting | None:
        """Return the command to write next from the lanes that *may* go, None when none is as urgent as *least*.

        By priority, then arrival; its entity is held until it is released.
        """
        self._wake(now)
        first = [(self._lanes[lane][0], lane) for lane in list(self._lanes) if self._clean(lane, now) and may(lane)]
        if not first or min(first)[0][0] > least:
            return None
        (_, _, id_), lane = min(first)
        heapq.heappop(self._lanes[lane])
        return self._hold(id_)

    def take_like(self, first: Waiting, now: float, most: int, suits: Callable[[Waiting], bool]) -> list[Waiting]:
        """Return up to *most* more from the lane of *first* that *suit* the same request; their entities are held."""
        lane = first.lane
        found: list[Waiting] = []
        aside: list[tuple[int, int, str]] = []
        while len(found) < most and len(aside) < _LOOKED_AT and self._clean(lane, now):
            entry = heapq.heappop(self._lanes[lane])
            if suits(self._waiting[entry[2]]):
                found.append(self._hold(entry[2]))
            else:
                aside.append(entry)
        for entry in aside:
            heapq.heappush(self._lanes.setdefault(lane, []), entry)
        return found

    def release(self, entity: str) -> None:
        """Let the next command of *entity* go."""
        self._held.discard(entity)
        if entity in self._queues:
            self._offer(entity)

    def depth(self, lane: Lane) -> int:
        """Return about how many commands could go now in *lane*: those that were replaced may count twice."""
        return len(self._lanes.get(lane, ()))

    def _hold(self, command: str) -> Waiting:
        waiting = self._waiting[command]
        self._held.add(waiting.command.entity)
        return waiting

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            waiting = self._waiting.get(heapq.heappop(self._later)[2])
            if waiting is not None and waiting.not_before <= now:
                self._line_up(waiting)

    def _clean(self, lane: Lane, now: float) -> bool:
        """Drop what is out of date at the top of a lane; tell whether somebody is left."""
        heap = self._lanes.get(lane)
        while heap:
            waiting = self._waiting.get(heap[0][2])
            if waiting is not None and waiting.lane == lane and self._may_go(waiting):
                if waiting.not_before <= now:
                    return True
                heapq.heappush(self._later, (waiting.not_before, waiting.arrived, waiting.command.id))
            heapq.heappop(heap)
        self._lanes.pop(lane, None)
        return False

    def _may_go(self, waiting: Waiting) -> bool:
        entity = waiting.command.entity
        return entity not in self._held and self._head(entity) == waiting and self._may_leave(waiting.command)

    def next_at(self) -> float | None:
        """Return when the earliest postponed command may be tried."""
        return self._later[0][0] if self._later else None

    def begin_anew(self, flow: str | None = None) -> None:
        """Let what was put off or held (of *flow*, else all) go now, its time to be tried counted from now on."""
        for waiting in list(self._waiting.values()):
            if flow is None or waiting.command.flow == flow:
                self.change(msgspec.structs.replace(waiting, not_before=0.0, first_tried=0.0))

    def look_again(self) -> None:
        """Let what stands behind writes that may not leave any more have its turn."""
        for entity in list(self._queues):
            self._offer(entity)

    def commands(self) -> list[Command]:
        """Return everything that waits."""
        return [waiting.command for waiting in self._waiting.values()]
