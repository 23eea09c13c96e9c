"""From the states of orders to the plan of an undo: what the flow itself made since some time, and its end. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime

import msgspec

from app.planning.drafting import DOCUMENTS, money
from app.planning.plan import Row, Total, Trouble, digest_of, totals_of
from app.planning.rehearsal import PLANNED, in_mode, rehearse
from schemas.commands import Command
from schemas.decisions import Decision, Named
from schemas.facts import Instant
from schemas.flow import Flow
from schemas.order_state import PublicOrder
from schemas.projection import project
from schemas.state import OrderState, WriteRecord
from streams.order.decide import decided
from streams.order.taken_back import all_ended, has_made
from streams.order.world import World

_UNANSWERED = frozenset((None, "uncertain", "deferred"))


class UndoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo would write by now."""

    flow: str
    tenant: str
    mode: str
    since: Instant
    digest: str
    planned_at: Instant
    orders: int
    """Orders for which the flow made something since."""
    unread: int
    """Orders of the flow of which something must be read again before they can be planned."""
    unanswered: int
    """Writes asked for since, of which nobody knows yet whether they were made: they are no part of this."""
    under_way: int
    """Orders of which something was undone before and has not come to its end."""
    rows: tuple[Row, ...]
    totals: tuple[Total, ...]
    findings: tuple[Trouble, ...]
    """What stays and a person has to take back."""


class Undoing:
    """The undo of one flow since some time, made from the states of all orders, one after the other."""

    def __init__(self, world: World, flow: Flow, since: datetime, now: datetime) -> None:
        """Begin with no order."""
        self._world, self._flow, self._since, self._now = world, flow, since, now
        # Stopped, only the ends of what was undone are planned.
        self._quiet = in_mode(world, [flow.name], "stopped")
        self._decisions: list[Decision] = []
        self._rows: list[Row] = []
        self._findings: list[Trouble] = []
        self._unread = self._unanswered = self._under_way = 0

    def add(self, state: OrderState) -> None:
        """Plan one order; what belongs to another flow, or is one with another order, is passed over."""
        found = self._quiet.key_giver(state)
        if found is None or state.alias_of or found[0].name != self._flow.name:
            return
        self._under_way += not all_ended(state)
        self._unanswered += sum(self._waits(record) for record in state.writes.values())
        made = tuple(_named(record) for record in state.writes.values() if self._counts(record))
        if not made:
            return
        decision = self._decision(state, made)
        rehearsed = rehearse(decided(state, decision, self._now), self._quiet, self._now)
        public = rehearsed.first.public
        if public is None:
            self._unread += 1
            return
        self._decisions.append(decision)
        self._rows += [self._row(state, command, public, follows) for command, follows in rehearsed.commands]
        named = {"order": public.key, "number": public.number}
        left = [finding for finding in public.findings if finding.code == "undo_left"]
        self._findings += [Trouble(**named, finding=finding) for finding in left]

    def plan(self) -> UndoPlan:
        """Return the plan, sorted by order number."""
        rows = tuple(sorted(self._rows, key=lambda row: (row.number, row.order)))
        flow = self._flow
        return UndoPlan(
            flow=flow.name,
            tenant=flow.tenant,
            mode=self._world.mode(flow),
            since=self._since,
            digest=digest_of(flow.tenant, f"{flow.name} undone since {self._since.isoformat()}", rows),
            planned_at=self._now,
            orders=len(self._decisions),
            unread=self._unread,
            unanswered=self._unanswered,
            under_way=self._under_way,
            rows=rows,
            totals=totals_of(rows),
            findings=tuple(sorted(self._findings, key=lambda one: (one.number, one.order, one.finding))),
        )

    def decisions(self, by: str) -> Iterator[Decision]:
        """Yield the word of *by* for each order that it is about."""
        yield from (msgspec.structs.replace(one, by=by) for one in self._decisions)

    def _counts(self, record: WriteRecord) -> bool:
        """Tell whether the flow made something by *record* since, and nobody had it undone.

        Of what an older version wrote, only the last time is known.
        """
        at = record.made_at or record.asked_at
        return has_made(record) and record.undone_at is None and at is not None and at >= self._since

    def _waits(self, record: WriteRecord) -> bool:
        asked = record.asked_at is not None and record.asked_at >= self._since and record.undone_at is None
        return asked and bool(record.id) and record.bound is None and record.outcome in _UNANSWERED

    def _decision(self, state: OrderState, made: tuple[Named, ...]) -> Decision:
        """Return the same decision for the same writes: sent twice, it counts once."""
        text = "\x1f".join(f"{one.write}|{one.object}|{one.generation}" for one in made)
        id_ = hashlib.blake2b(f"undo|{state.key}|{text}".encode(), digest_size=16).hexdigest()
        return Decision(id=id_, tenant=state.tenant, order=state.key, kind="undo", writes=made, at=self._now)

    def _row(self, state: OrderState, command: Command, public: PublicOrder, follows: bool) -> Row:  # noqa: FBT001 - a pair
        ended = command.bound_id or command.links.get("payment" if "reverse" in command.capability else "invoice", "")
        amount, currency = money(command, public)
        return Row(
            order=public.key,
            number=public.number,
            target=command.connection,
            document=DOCUMENTS[command.capability],
            action="undo",
            amount=amount,
            currency=currency,
            date=project(command.facts).get("date", "") if command.capability == "issue_credit" else "",
            reason="; ".join(part for part in (_why(command), _when(state, command.connection, ended)) if part),
            existing="" if ended.startswith(PLANNED) else ended,
            follows=follows,
            capability=command.capability,
            write=command.write,
        )


def _named(record: WriteRecord) -> Named:
    return Named(
        write=record.key, object="" if record.bound is None else record.bound.key, generation=record.generation
    )


def _why(command: Command) -> str:
    return f"shown as {command.status}" if command.status else command.text


def _when(state: OrderState, connection: str, id_: str) -> str:
    """Return when o2c made the object of that id."""
    for record in state.writes.values():
        if record.connection == connection and has_made(record) and record.bound is not None and record.bound.id == id_:
            at = record.made_at or record.asked_at
            word = "made" if record.made_at else "made at this time or before"
            return "" if at is None else f"{word}: {at:%Y-%m-%d %H:%M:%S}"
    return ""
