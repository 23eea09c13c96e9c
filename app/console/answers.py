"""What the console answers, out of the read model: pure questions, the same for the API and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from app.console.records import Look, object_key, plain, short_id
from app.console.refused import Refused
from app.console.tenant import Tenant
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


def order_view(tenant: Tenant, order: PublicOrder) -> OrderView:
    """Return all that is known about *order*."""
    objects = [_object(shown) for shown in order.shown]
    writes = tenant.writes(order.key)
    happened = [*tenant.hops([order.key, *objects]), *_sent(writes)]
    return OrderView(
        order=order,
        systems=_systems(tenant, order, tenant.looks(objects)),
        writes=tuple(writes),
        stopped=tuple(_stops(tenant, order, writes)),
        hops=tuple(_told_once(sorted(happened, key=lambda hop: hop.at))),
    )


def _told_once(hops: Iterable[Hop]) -> Iterator[Hop]:
    """Yield *hops* without those that tell where the order stands and say the same as the one before."""
    stood = ""
    for hop in hops:
        if hop.what != "shown" or hop.text != stood:
            yield hop
        if hop.what == "shown":
            stood = hop.text


def _object(shown: PublicShown) -> str:
    return object_key(shown.connection, shown.account, shown.type, shown.id)


def _systems(tenant: Tenant, order: PublicOrder, looks: Mapping[str, Look]) -> tuple[SystemView, ...]:
    found: dict[tuple[str, str], list[Shown]] = {}
    for one in order.shown:
        look = looks.get(_object(one)) or Look(type=one.type, id=one.id, connection=one.connection)
        shown = Shown(
            type=one.type,
            id=one.id,
            kind=one.kind,
            number=look.number,
            status=one.status,
            amount=one.amount,
            ours=one.ours,
            write=one.write,
            seen_at=look.seen_at,
            changed_at=look.changed_at,
        )
        found.setdefault((one.connection, one.account), []).append(shown)
    return tuple(
        SystemView(connection=name, account=account, paused=bool(tenant.fact("paused", name)), objects=tuple(objects))
        for (name, account), objects in found.items()
    )


def _sent(writes: Iterable[Write]) -> Iterator[Hop]:
    """Yield the hops of requests: the journal knows them by command, not by order."""
    for write in writes:
        for request in write.requests:
            if request.at is not None:
                text = f"{request.method} {request.path} -> {request.status or request.state}, request {request.id}"
                yield Hop(at=request.at, what="sent", system=write.connection, text=text, trace=write.trace)


def _stops(tenant: Tenant, order: PublicOrder, writes: Iterable[Write]) -> Iterator[Stop]:
    name = order.number or order.key
    if order.alias_of:
        yield Stop(why="This order is one with another.", next_step=f"See `o2c orders get {order.alias_of}`.")
    mode = tenant.fact("mode", order.flow)
    if mode in {"shadow", "stopped"}:
        plan = f"`o2c plan --flow {order.flow}` shows what it would write, "
        next_step = f"{plan}`o2c flows go-live {order.flow} --plan DIGEST` lets it."
        yield Stop(why=f"The flow {order.flow} is in mode {mode}: nothing is written.", next_step=next_step)
    waiting = [*order.waiting, *_unanswered(order, writes)]
    paused = {one.connection for one in waiting if tenant.fact("paused", one.connection)}
    for connection in sorted(paused):
        next_step = f"`o2c connections resume {connection}` writes what waits."
        yield Stop(why=f"A person paused {connection}.", next_step=next_step, connection=connection)
    for finding in order.findings:
        if finding.severity == "block":
            yield Stop(why=finding.message, next_step=finding.next_step or f"See `o2c orders get {name}`.")
    yield from (_wait(name, one, paused=one.connection in paused) for one in waiting)


def _unanswered(order: PublicOrder, writes: Iterable[Write]) -> Iterator[Waiting]:
    """Yield what was asked for and has no answer yet: the state of the order does not tell of it."""
    told = {waiting.write for waiting in order.waiting}
    for write in writes:
        if not write.outcome and write.write not in told:
            yield Waiting(connection=write.connection, capability=write.capability, write=write.write)


def _wait(order: str, waiting: Waiting, *, paused: bool) -> Stop:
    what, next_step = _WAITS[waiting.outcome]
    if paused and not waiting.outcome:
        what, next_step = "waits", f"Resume {waiting.connection}."
    reason = f": {waiting.reason}" if waiting.reason else "."
    return Stop(
        why=f"{waiting.capability} in {waiting.connection} {what}{reason}",
        next_step=next_step.format(order=order, write=waiting.write),
        connection=waiting.connection,
        write=waiting.write,
    )


def parked_list(tenant: Tenant, after: str = "", limit: int = 100) -> ParkedList:
    """Return one page of what waits for a person."""
    found = tenant.parked(after, limit + 1)
    page = found[:limit]
    return ParkedList(
        parked=tuple(parked_view(tenant, one, candidates=False) for one in page),
        after=page[-1].object.key if len(found) > limit else "",
    )


def parked_view(tenant: Tenant, parked: Parked, *, candidates: bool = True) -> ParkedView:
    """Return a parked object, with the orders it may belong to where asked for."""
    key = parked.object.key
    look = tenant.look(key) or Look(type=parked.object.type, id=parked.object.id, connection=parked.object.connection)
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
        order=parked.order,
        candidates=tuple(_candidates(tenant, look, parked.order)) if candidates else (),
    )


def _candidates(tenant: Tenant, look: Look, named: str) -> Iterator[Candidate]:
    """Yield the order *named*, orders whose number it names, then those of just its amount."""
    told: set[str] = set()
    by_number = ((order, "its number is named") for number in look.numbers for order in tenant.find(number))
    amount = () if look.amount is None else tenant.with_amount(plain(look.amount), look.currency)
    first = ((order, "it names this order, and the amounts differ or it is not alone") for order in tenant.find(named))
    for order, why in (*(first if named else ()), *by_number, *((order, "the amount is the same") for order in amount)):
        if order.key not in told and not order.alias_of:
            told.add(order.key)
            yield Candidate(
                order=order.key,
                number=order.number,
                headline=order.headline,
                amount=order.payable_amount,
                amount_due=order.amount_due,
                currency=order.currency,
                why=why,
            )


def conflict_list(tenant: Tenant, after: str = "", limit: int = 100) -> ConflictList:
    """Return the conflicts of one page of orders."""
    found = tenant.with_conflicts(after, limit + 1)
    page = found[:limit]
    return ConflictList(
        conflicts=tuple(
            ConflictView(order=order.key, number=order.number, conflict=conflict)
            for order in page
            for conflict in order.conflicts
        ),
        after=page[-1].key if len(found) > limit else "",
    )


def one_order(tenant: Tenant, id_: str) -> PublicOrder:
    """Return the order that *id_* means; Refused when there is none or several."""
    found = tenant.find(id_)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(404, f"There is no order {id_}.", "See `o2c orders list`.")
    keys = ", ".join(order.key for order in found)
    raise Refused(409, f"{id_} is {keys}.", "Name one key.")


def one_parked(tenant: Tenant, id_: str) -> str:
    """Return the object that *id_* means: one on the list, or, by its whole name, one that was taken off it."""
    found = tenant.parked_as(id_)
    if len(found) == 1:
        return found[0].object.key
    if found:
        ids = ", ".join(short_id(one.object.key) for one in found)
        raise Refused(409, f"{id_} is {ids}.", "Name one of them.")
    if tenant.look(id_) is not None:
        return id_
    raise Refused(404, f"Nothing is parked as {id_}.", "See `o2c parked list`.")
