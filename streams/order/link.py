"""Which order an object belongs to: pure rows of the link table, and a short cut for objects that say it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from schemas.events import SYNC, Anchor, ChangeEvent, Hint
from schemas.facts import Customer, Order, Payout
from schemas.links import Alike, Answer, Ask, Bind, LinkMessage, LinkRow, Parked, Place, Placed, Resemble, Say
from schemas.refs import order_key, read_mark
from schemas.state import OrderState
from streams.order import alike
from streams.order.merge import is_gone, join, observation
from streams.order.world import World

_BEFORE = re.compile(r"^(?:order\b[ :]*)?(?:(?:no|nr|number)[.:]? )?(?:# ?)?")
PATIENCE = timedelta(minutes=15)
_CHILDLESS = frozenset(("shipment", ""))
"""Nothing ever hangs on parcels and notes, so that nobody asks whose they are."""
_NOBODYS = frozenset(("customer", "payout"))
_MOVES = frozenset(("payment", "credit", "payout"))


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """What a message did to a row."""

    row: LinkRow
    messages: tuple[LinkMessage, ...] = ()
    placed: tuple[Placed, ...] = ()
    hints: tuple[Hint, ...] = ()
    parked: Parked | None = None
    alike: tuple[Alike, ...] = ()
    due_at: datetime | None = None


def route(event: ChangeEvent, world: World) -> str:
    """Return the order of *event* when the event itself tells, else "": then its home asks the anchors.

    The key-giver's order object gives the key. What lives inside the key-giver (its own payments, parcels) cannot move
    to another order, so its anchor tells. A document of ours says it by its mark; payments and credits in ledgers never
    take that short cut, since people move them.
    """
    if event.order:
        return event.order
    canonical = world.canonical(event.object)
    if world.flow_of(event.tenant, event.object) is not None:
        mark = read_mark(event.mirror_of)
        return mark.order if mark else order_key(event.tenant, event.object)
    first = event.anchors[0] if event.anchors else None
    if first is not None and first.kind == "order" and first.ref.connection == event.object.connection:
        parent = first.ref
        if world.flow_of(event.tenant, parent) is not None:
            return order_key(event.tenant, parent)
    mark = read_mark(event.mirror_of)
    return mark.order if mark is not None and canonical not in _MOVES else ""


def is_nobodys(event: ChangeEvent, world: World) -> bool:
    """Tell whether no order can be meant: a customer or a payout that names none."""
    return not event.anchors and world.canonical(event.object) in _NOBODYS


def place(event: ChangeEvent, world: World) -> Place:
    """Return the message that brings *event* to its home."""
    flow = world.orphan_flow(event.tenant, event.object)
    return Place(key=event.object.key, event=event, alone="" if flow is None else order_key(event.tenant, event.object))


def anchor_key(tenant: str, anchor: Anchor) -> str:
    """Return the row of an anchor."""
    return _number_key(tenant, anchor.ref.id) if anchor.kind == "number" else anchor.ref.key


def _number_key(tenant: str, number: str) -> str:
    return f"number/{tenant}/{plain_number(number)}"


def plain_number(typed: str) -> str:
    """Return an order number without what people put before it: "Order #1001", "# 1001" and "1001" are one."""
    words = " ".join(typed.split()).casefold()
    return _BEFORE.sub("", words) or words


def binds(state: OrderState, world: World) -> tuple[Bind, ...]:
    """Return what an order tells the link table: its number, and its and its writes' objects that others may hang on.

    What it took over from an order that it is one with it claims in a higher version.
    """
    refs = {look.object for look in state.objects.values() if look.share is None}
    refs |= {record.bound for record in state.writes.values() if record.bound is not None}
    keys = {ref.key for ref in refs if world.canonical(ref) not in _CHILDLESS}
    keys |= {_number_key(state.tenant, number) for number in _numbers(state, world)}
    version = 1 + len(state.aliases)
    return tuple(Bind(key=key, order=state.key, version=version) for key in sorted(keys))


def fresh_binds(before: OrderState, after: OrderState, world: World) -> tuple[Bind, ...]:
    """Return what *after* tells the link table that *before* did not; what is the same in both is not looked at."""
    if before.aliases != after.aliases:
        known = set(binds(before, world))
        return tuple(bind for bind in binds(after, world) if bind not in known)
    objects, writes = before.objects, before.writes
    looks = [(look, objects.get(key)) for key, look in after.objects.items() if objects.get(key) is not look]
    asked = [(record, writes.get(key)) for key, record in after.writes.items() if writes.get(key) is not record]
    refs = {look.object for look, known in looks if look.share is None and (known is None or known.share is not None)}
    refs |= {new.bound for new, old in asked if new.bound is not None and (old is None or old.bound != new.bound)}
    keys = {ref.key for ref in refs if world.canonical(ref) not in _CHILDLESS}
    if keys:
        keys -= {key for key, look in objects.items() if look.share is None}
        keys -= {record.bound.key for record in writes.values() if record.bound is not None}
    if any(isinstance(look.facts, Order) for look, _ in looks):
        told = {_number_key(before.tenant, number) for number in _numbers(before, world)}
        keys |= {_number_key(after.tenant, number) for number in _numbers(after, world)} - told
    return tuple(Bind(key=key, order=after.key, version=1 + len(after.aliases)) for key in sorted(keys))


def _numbers(state: OrderState, world: World) -> Iterable[str]:
    giver = world.key_giver(state)
    if giver is not None and isinstance(giver[1].facts, Order) and giver[1].facts.number:
        yield giver[1].facts.number


def on_message(row: LinkRow, message: LinkMessage, now: datetime) -> Linked:
    """Return what *message* does to *row*; a repeated or older message does nothing."""
    if isinstance(message, Bind):
        return _bound(row, message)
    if isinstance(message, Ask):
        return _asked(row, message)
    if isinstance(message, Answer):
        return _answered(row, message)
    if isinstance(message, Say):
        return _said(row, message, now)
    if isinstance(message, Resemble):
        after, told = alike.resembled(row, message)
        return Linked(row=after, alike=told, due_at=alike.due(after))
    return _placed(row, message, now)


def _bound(row: LinkRow, bind: Bind) -> Linked:
    if (bind.version, bind.order) <= (row.version, row.order):
        return Linked(row=row)
    after = msgspec.structs.replace(row, order=bind.order, version=bind.version)
    if bind.order:
        after = _found(after)
    return Linked(row=after, messages=tuple(_answer(after, asker) for asker in row.askers))


def _asked(row: LinkRow, ask: Ask) -> Linked:
    known = ask.asker in row.askers
    after = row if known else msgspec.structs.replace(row, askers=(*row.askers, ask.asker))
    return Linked(row=after, messages=(_answer(after, ask.asker),))


def _answer(row: LinkRow, asker: str) -> Answer:
    return Answer(key=asker, anchor=row.key, order=row.order, version=row.version)


def _placed(row: LinkRow, arrival: Place, now: datetime) -> Linked:
    event = arrival.event
    if arrival.alone != row.alone:
        row = msgspec.structs.replace(row, alone=arrival.alone)
    if row.event is not None:
        known, seen = observation(row.event), observation(event)
        if join(known, seen) == known and row.event.anchors == event.anchors:
            return Linked(row=row, due_at=_due(row))
        if join(known, seen).digest == known.digest and not is_gone(join(known, seen)):
            event = row.event
    asked = {anchor_key(event.tenant, anchor) for anchor in event.anchors}
    kept = {key: answer for key, answer in row.answers.items() if key in asked}
    since = row.waiting_since or now if not row.order and _belongs(event) and not _dismissed(row) else None
    after = msgspec.structs.replace(row, event=event, answers=kept, waiting_since=since)
    questions = tuple(Ask(key=key, asker=row.key) for key in sorted(asked - kept.keys()))
    return _settled(after, questions)


def _answered(row: LinkRow, answer: Answer) -> Linked:
    known = row.answers.get(answer.anchor)
    if row.event is None or (known is not None and (answer.version, answer.order) <= (known.version, known.order)):
        return Linked(row=row, due_at=_due(row))
    return _settled(msgspec.structs.replace(row, answers={**row.answers, answer.anchor: answer}), ())


def _settled(row: LinkRow, questions: tuple[Ask, ...]) -> Linked:
    """Send the object to its orders once every anchor has answered; the orders it left get share "0"."""
    event = row.event
    if event is None or any(anchor_key(event.tenant, anchor) not in row.answers for anchor in event.anchors):
        return Linked(row=row, messages=questions, due_at=_due(row))
    found = _shares(row, event)
    shares = found or _linked(row) or _alone(row, event)
    mark = read_mark(event.mirror_of)
    claimed = {row.order} if found else set()  # written by us and not looked at before it was moved
    claimed |= {mark.order} if mark is not None and shares else set()
    left = {*row.shares, *claimed} - {""}
    gone = dict.fromkeys(sorted(left - shares.keys()), "0")
    version = row.share_version + (shares != {key: value for key, value in row.shares.items() if value != "0"})
    after = msgspec.structs.replace(row, shares={**gone, **shares}, share_version=version)
    placed = tuple(
        Placed(
            order=order,
            event=msgspec.structs.replace(event, order=order),
            share=share or None,
            share_version=version,
        )
        for order, share in sorted(after.shares.items())
    )
    if shares:
        after = _found(after)
    return Linked(row=after, placed=placed, due_at=_due(after))


def _said(row: LinkRow, say: Say, now: datetime) -> Linked:
    """Do what a person said; to look again is to read the object and what it names, and to wait for the answers."""
    if row.said is not None and (say.at, say.word, say.order) <= (row.said.at, row.said.word, row.said.order):
        return Linked(row=row, due_at=_due(row))
    after = msgspec.structs.replace(row, said=say)
    if say.word == "link":
        return _settled(after, ())
    if say.word == "dismiss":
        return _settled(_found(after), ())
    if row.event is None:
        return Linked(row=after)
    since = None if row.order else now
    linked = _settled(msgspec.structs.replace(after, waiting_since=since, asked_source=True, listed=False), ())
    refs = (row.event.object, *(anchor.ref for anchor in row.event.anchors if anchor.kind != "number"))
    hints = tuple(Hint(tenant=row.event.tenant, object=ref, reason=SYNC) for ref in refs)
    return msgspec.structs.replace(linked, hints=hints)


def _linked(row: LinkRow) -> dict[str, str]:
    """Return the order that a person named."""
    return {row.said.order: ""} if row.said is not None and row.said.word == "link" else {}


def _dismissed(row: LinkRow) -> bool:
    return row.said is not None and row.said.word == "dismiss"


def _found(row: LinkRow) -> LinkRow:
    """Return *row* as waiting for nothing: an order has the object, or said that it is its own."""
    return msgspec.structs.replace(row, waiting_since=None, asked_source=False, listed=False)


def _belongs(event: ChangeEvent) -> bool:
    """Tell whether an order must be found: customers and payouts are nobody's as long as they name none."""
    return bool(event.anchors) or not isinstance(event.facts, (Customer, Payout))


def _alone(row: LinkRow, event: ChangeEvent) -> dict[str, str]:
    """Return the order that the object makes by itself: at once without anchors, else after they had their time."""
    patient = bool(event.anchors) and row.alone not in row.shares and not row.asked_source
    return {} if not row.alone or patient else {row.alone: ""}


def _shares(row: LinkRow, event: ChangeEvent) -> dict[str, str]:
    """Return order -> share; a first anchor without a share of its own gives everything to one order."""
    found: dict[str, str] = {}
    for anchor in event.anchors:
        order = row.answers[anchor_key(event.tenant, anchor)].order
        if not order:
            continue
        if anchor.share is None:
            return found or {order: ""}
        found[order] = _sum(found.get(order), anchor.share)
    return found


def _sum(known: str | None, share: str) -> str:
    return share if known is None else f"{Decimal(known) + Decimal(share):f}"


def _due(row: LinkRow) -> datetime | None:
    return None if row.waiting_since is None else row.waiting_since + PATIENCE


def on_tick(row: LinkRow, now: datetime) -> Linked:
    """Read the parents of what waited too long; what waits on is listed for a person. Orders that look alike fade."""
    if row.alike:
        after = alike.forgotten(row, now)
        return Linked(row=after, due_at=alike.due(after))
    event, since = row.event, row.waiting_since
    if event is None or since is None or now < since + PATIENCE:
        return Linked(row=row, due_at=_due(row))
    anchors = tuple(anchor_key(event.tenant, anchor) for anchor in event.anchors)
    if row.alone:
        return _settled(msgspec.structs.replace(row, asked_source=True), ())
    if not row.asked_source:
        parents = [anchor.ref for anchor in event.anchors if anchor.kind != "number"]
        hints = tuple(Hint(tenant=event.tenant, object=ref, reason="parent") for ref in parents)
        after = msgspec.structs.replace(row, asked_source=True, waiting_since=now)
        return Linked(row=after, hints=hints, due_at=now + PATIENCE)
    parked = Parked(object=event.object, tenant=event.tenant, anchors=anchors, since=since)
    return Linked(row=msgspec.structs.replace(row, listed=True), parked=parked, due_at=now + PATIENCE)
