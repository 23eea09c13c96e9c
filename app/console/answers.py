"""What the console answers, out of the read model: pure questions, the same for the API and the command line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from app.console.model import Model
from app.console.records import Asked, Look, plain, short_id
from app.console.views import (
    Candidate,
    ConflictList,
    ConflictView,
    Hop,
    OrderView,
    ParkedList,
    ParkedView,
    Shown,
    Stop,
    SystemView,
    Write,
)
from schemas.links import Parked
from schemas.order_state import PublicOrder, Waiting
from schemas.order_state import Shown as PublicShown

_WAITS = {
    "": ("was asked for and has no answer yet", "Wait; `o2c run connectors` answers it."),
    "uncertain": ("may or may not have arrived", "Wait: the platform is asked before anything is sent again."),
    "stale": ("met a value that somebody changed meanwhile", "Wait: it is planned afresh once that was read."),
    "deferred": ("waits until its system answers again", "Wait; it is planned afresh when the system is back."),
    "superseded": ("was replaced before it left", "Wait; a newer write takes its place."),
    "rejected": ("was refused", "Mend the cause, then `o2c orders retry {order} '{write}'`."),
    "unsupported": ("is nothing that this system can do", "Do it there by hand."),
}


def order_view(model: Model, order: PublicOrder) -> OrderView:
    """Return all that is known about *order*."""
    looks = {object_of(shown): model.look(order.tenant, object_of(shown)) for shown in order.shown}
    writes = _writes(model, order)
    happened = [*model.hops(order.tenant, [order.key, *looks]), *_hops(writes)]
    return OrderView(
        order=order,
        systems=_systems(model, order, looks),
        writes=tuple(writes),
        stopped=tuple(_stops(model, order, writes)),
        hops=tuple(sorted(happened, key=lambda hop: hop.at)),
    )


def object_of(shown: PublicShown) -> str:
    """Return the key of an object that an order shows."""
    return f"{shown.connection}@{shown.account}/{shown.type}/{shown.id}"


def _systems(model: Model, order: PublicOrder, looks: dict[str, Look | None]) -> tuple[SystemView, ...]:
    found: dict[tuple[str, str], list[Shown]] = {}
    for shown in order.shown:
        look = looks[object_of(shown)] or Look(type=shown.type, id=shown.id, connection=shown.connection)
        found.setdefault((shown.connection, shown.account), []).append(
            Shown(
                type=shown.type,
                id=shown.id,
                kind=shown.kind,
                number=look.number,
                status=shown.status,
                amount=shown.amount,
                ours=shown.ours,
                write=shown.write,
                seen_at=look.seen_at,
                changed_at=look.changed_at,
            )
        )
    return tuple(
        SystemView(connection=name, account=account, paused=bool(model.fact("paused", name)), objects=tuple(objects))
        for (name, account), objects in found.items()
    )


def _writes(model: Model, order: PublicOrder) -> list[Write]:
    """Return one entry per command; the newest answer counts."""
    found: dict[str, Write] = {}
    for second, told in model.commands(order.tenant, order.key):
        at = datetime.fromtimestamp(second, UTC)
        known = found.get(told.command) or Write(
            command=told.command,
            write=told.write,
            connection=told.connection,
            capability=told.capability,
            generation=told.generation,
            requests=tuple(model.requests(told.command)),
            trace=told.trace,
        )
        if isinstance(told, Asked):
            found[told.command] = msgspec.structs.replace(known, asked_at=known.asked_at or at)
        else:
            found[told.command] = msgspec.structs.replace(
                known, outcome=told.outcome, reason=told.reason, answered_at=at, object=told.object
            )
    return list(found.values())


def _hops(writes: Iterable[Write]) -> Iterable[Hop]:
    for write in writes:
        system, name = write.connection, write.capability
        if write.asked_at is not None:
            yield Hop(at=write.asked_at, what="asked", system=system, text=f"{name} {write.command}", trace=write.trace)
        for request in write.requests:
            if request.at is not None:
                text = f"{request.method} {request.path} -> {request.status or request.state}, request {request.id}"
                yield Hop(at=request.at, what="sent", system=system, text=text, trace=write.trace)
        if write.answered_at is not None:
            text = " ".join(word for word in (name, write.outcome, write.reason) if word)
            yield Hop(
                at=write.answered_at, what="answered", system=system, object=write.object, text=text, trace=write.trace
            )


def _stops(model: Model, order: PublicOrder, writes: Iterable[Write]) -> Iterable[Stop]:
    name = order.number or order.key
    if order.alias_of:
        yield Stop(why="This order is one with another.", next_step=f"See `o2c orders get {order.alias_of}`.")
    mode = model.fact("mode", order.flow)
    if mode in {"shadow", "stopped"}:
        next_step = f"`o2c flows mode {order.flow} live` lets it write."
        yield Stop(why=f"The flow {order.flow} is in mode {mode}: nothing is written.", next_step=next_step)
    for connection in sorted({one.connection for one in order.waiting}):
        if model.fact("paused", connection):
            next_step = f"`o2c connections resume {connection}` writes what waits."
            yield Stop(why=f"A person paused {connection}.", next_step=next_step, connection=connection)
    for finding in order.findings:
        if finding.severity == "block":
            yield Stop(why=finding.message, next_step=finding.next_step or f"See `o2c orders get {name}`.")
    yield from (_wait(name, waiting) for waiting in order.waiting)
    told = {waiting.write for waiting in order.waiting}
    for write in writes:
        if not write.outcome and write.write not in told:
            unanswered = Waiting(connection=write.connection, capability=write.capability, write=write.write)
            yield _wait(name, unanswered)


def _wait(order: str, waiting: Waiting) -> Stop:
    what, next_step = _WAITS[waiting.outcome]
    reason = f": {waiting.reason}" if waiting.reason else "."
    return Stop(
        why=f"{waiting.capability} in {waiting.connection} {what}{reason}",
        next_step=next_step.format(order=order, write=waiting.write),
        connection=waiting.connection,
        write=waiting.write,
    )


def parked_list(model: Model, tenant: str, after: str = "", limit: int = 100) -> ParkedList:
    """Return one page of what waits for a person."""
    found = model.parked(tenant, after, limit + 1)
    page = found[:limit]
    return ParkedList(
        parked=tuple(parked_view(model, one, candidates=False) for one in page),
        after=page[-1].object.key if len(found) > limit else "",
    )


def parked_view(model: Model, parked: Parked, *, candidates: bool = True) -> ParkedView:
    """Return a parked object, with the orders it may belong to where asked for."""
    key = parked.object.key
    look = model.look(parked.tenant, key) or Look(
        type=parked.object.type, id=parked.object.id, connection=parked.object.connection
    )
    return ParkedView(
        id=short_id(key),
        object=key,
        connection=parked.object.connection,
        type=parked.object.type,
        number=look.number,
        status=look.status,
        amount=look.amount,
        currency=look.currency,
        since=parked.since,
        anchors=parked.anchors,
        candidates=tuple(_candidates(model, parked.tenant, look)) if candidates else (),
    )


def _candidates(model: Model, tenant: str, look: Look) -> Iterable[Candidate]:
    """Return orders whose number it names, then those of just its amount."""
    told: set[str] = set()
    by_number = ((order, "its number is named") for number in look.numbers for order in model.find(tenant, number))
    amount = () if look.amount is None else model.with_amount(tenant, plain(look.amount), look.currency)
    for order, why in (*by_number, *((order, "the amount is the same") for order in amount)):
        if order.key not in told and not order.alias_of:
            told.add(order.key)
            yield Candidate(
                order=order.key,
                number=order.number,
                headline=order.headline,
                amount_due=order.amount_due,
                currency=order.currency,
                why=why,
            )


def conflict_list(model: Model, tenant: str, after: str = "", limit: int = 100) -> ConflictList:
    """Return the conflicts of one page of orders."""
    found = model.with_conflicts(tenant, after, limit + 1)
    page = found[:limit]
    return ConflictList(
        conflicts=tuple(
            ConflictView(order=order.key, number=order.number, conflict=conflict)
            for order in page
            for conflict in order.conflicts
        ),
        after=page[-1].key if len(found) > limit else "",
    )
