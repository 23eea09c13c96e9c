"""What comes of a command: one result, and what the system shows now as a change event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from schemas.commands import Command, Outcome, Pair, Result
from schemas.events import Anchor, ChangeEvent, Version, allocated
from schemas.facts import Credit, Facts, Payment, Shipment
from schemas.projection import project
from schemas.refs import ObjectRef
from sinks.base import Sink, Written
from sinks.delivery.circuit import Circuit
from sinks.delivery.inbox import Inbox
from sinks.delivery.ports import Ledger
from sinks.delivery.writing import Told, Writing

_NOT_MADE = frozenset(("deferred", "rejected", "stale", "unsupported"))
"""After these nothing shows the streams what was asked for meanwhile and is missing: that is answered by itself."""
_SETTLES = frozenset(("confirmed", "rejected"))
"""After these nobody waits to learn what an earlier try did: it was found out, or a person was told to look."""


class Answers:
    """Publishes results; a command leaves the inbox only when its result is acknowledged."""

    def __init__(
        self,
        sink: Sink,
        ledger: Ledger,
        writing: Writing,
        inbox: Inbox,
        circuit: Circuit,
        *,
        epoch: int,
        count: Callable[[Command, Outcome], None],
        unseen: Callable[[ObjectRef], None],
    ) -> None:
        """Stamp results with *epoch*; *count* hears of every one.

        *unseen* hears of each object that was written without the platform showing it.
        """
        self._unseen = unseen
        self._sink, self._ledger, self._writing, self._inbox = sink, ledger, writing, inbox
        self._circuit, self._epoch, self._count = circuit, epoch, count

    def next_look(self) -> int:
        """Return the number of the look that begins (a read) or ended (a write) now."""
        return self._writing.next_look()

    async def confirm(
        self,
        command: Command,
        written: Written,
        *,
        asked: bool = False,
        faithful: bool = True,
        told: Told | None = None,
    ) -> None:
        """Publish what the write came to.

        *asked*: a probe found it; not *faithful*: the bytes were those of an earlier try. Neither says what was sent.
        *told* is when the write ended, where it may have been told before: then this is the same result again.
        """
        events = self._events(command, written, told)
        made = made_of(command, written, sent=faithful and not asked and not written.adopted)
        number = told or Told(self._epoch, events[-1].version.seq if events else self.next_look(), 0)
        look = (number.epoch, number.look)
        await self.give(command, "confirmed", "", written=written, made=made, look=look, events=events, told=told)

    async def outdated(self, command: Command, written: Written, changed: Mapping[str, str]) -> None:
        """Publish that the object shows other values, *changed*, than the write rests on."""
        reason = f"{', '.join(sorted(changed))} was edited there meanwhile."
        await self.give(command, "stale", reason, shown=changed, events=self._events(command, written))

    def _events(self, command: Command, written: Written, told: Told | None = None) -> list[ChangeEvent]:
        events = []
        for shown in (written, *written.also):
            epoch, seq = (self._epoch, self.next_look()) if told is None else (told.epoch, told.look)
            if shown.facts is None:
                self._unseen(self._ref(shown))
                continue
            event = ChangeEvent(
                tenant=command.tenant,
                object=self._ref(shown),
                facts=shown.facts,
                version=Version(native=shown.native, read=True, epoch=epoch, seq=seq),
                anchors=shown.anchors or self._allocated(shown.facts),
                mirror_of=shown.mark or (command.mark if shown is written and command.kind != "set" else None),
                origin="write",
                order=command.order,
                trace=command.trace,
                told_at=command.told_at,
            )
            events.append(event)
        return events

    def _ref(self, written: Written) -> ObjectRef:
        return ObjectRef(self._sink.connection.name, self._sink.connection.account, written.type, written.id)

    def _allocated(self, facts: Facts) -> tuple[Anchor, ...]:
        """Hang money on the documents that it went to, as a read does: the two looks must be equal."""
        parts = facts.allocations if isinstance(facts, Payment | Credit) else ()
        return allocated(self._sink.connection.name, self._sink.connection.account, parts)

    async def give(
        self,
        command: Command,
        outcome: Outcome,
        reason: str,
        *,
        written: Written | None = None,
        made: Mapping[str, Pair] | None = None,
        look: tuple[int, int] = (0, 0),
        shown: Mapping[str, str] | None = None,
        keep_rows: bool = False,
        events: Sequence[ChangeEvent] = (),
        told: Told | None = None,
    ) -> None:
        """Publish the one result of *command* with what the system shows (*events*), then forget the command."""
        result = Result(
            command=command.id,
            order=command.order,
            write=command.write,
            tenant=command.tenant,
            connection=command.connection,
            account=command.account,
            capability=command.capability,
            outcome=outcome,
            canonical=command.canonical,
            digest=command.digest,
            generation=command.generation,
            bound=None if written is None or command.kind == "set" else self._ref(written),
            made=dict(made or {}),
            shown=dict(shown or {}),
            reason=reason,
            outage=self._circuit.number if outcome == "deferred" else 0,
            look=look,
            epoch=self._epoch if told is None else told.epoch,
            offset=self._writing.next_offset() if told is None else told.stamp,
            trace=command.trace,
            told_at=command.told_at,
            source=command.source,
            events=tuple(events),
        )
        await self._ledger.publish_result(result)
        if outcome == "superseded" and command.id in self._inbox:  # it came again meanwhile, and waits
            return
        if command.kind != "set" and outcome in _SETTLES:  # before it is forgotten: else in doubt for ever
            await self._writing.settle(command.id)
        if outcome not in _NOT_MADE or not self._inbox.ask_later(command.id):
            self._inbox.remove(command.id)
            await self._ledger.drop_command(command.id)
        if command.kind == "set" and not keep_rows:
            await self._writing.forget(command.id)
        self._count(command, outcome)


def took_effect(command: Command, fields: Mapping[str, str]) -> bool:
    """Tell whether a lost set shows: one field is as wanted, and none still as before; a system may word the others."""
    wanted = {name: command.fields[name] for name in command.changes if name in command.fields and name in fields}
    before = {name: pair.made for name, pair in command.base.items()}
    stayed = any(fields[name] == before.get(name) != value for name, value in wanted.items())
    return not stayed and any(fields[name] == value for name, value in wanted.items())


def made_of(command: Command, written: Written, *, sent: bool) -> dict[str, Pair]:
    """Return base pairs, only for fields that the system shows; what was not sent now counts as sent as it shows.

    Of a parcel that became a note, or a part of its document, what was sent is all that is known. Of lines nothing is,
    where they are not as wanted: many systems show them in a form of their own, which would look like another wish.
    """
    made = project(written.facts)
    if sent and isinstance(command.facts, Shipment):
        made = {**command.fields, **(made if isinstance(written.facts, Shipment) else {})}
    return {
        name: Pair(value if sent else made[name], made[name])
        for name, value in command.fields.items()
        if name in made and (sent or name != "lines" or made[name] == value)
    }
