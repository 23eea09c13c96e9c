"""Orders that look alike: one customer asks for the same goods within an hour. A person is told; nothing waits for it.

An order is what its system says by its id, never by its content, so that nothing is merged or held back here. Who looks
like whom is found in a row of the link table per customer and goods, which is forgotten after a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from schemas.facts import Order
from schemas.findings import Finding
from schemas.links import Alike, LinkRow, Looks, Resemble
from schemas.state import Observation, OrderState
from streams.order.world import World

WITHIN = timedelta(hours=1)
FRESH = timedelta(days=1)
"""An older order is no news: old books and late sweeps would only be lists to work through."""
_KEPT = 5
"""Of whoever looks alike the newest: each is told of those around it, and a guest who is everybody costs no more."""
_GOODS = "goods"


def resemblance(before: OrderState, after: OrderState, world: World, now: datetime) -> Resemble | None:
    """Return what the order tells of its looks, where *after* looks otherwise than *before*."""
    giver = _giver(after, world)
    if giver is None or after.alias_of:
        return None
    if before.objects.get(giver.object.key) is giver:
        return None
    known = _giver(before, world)
    found = _looks(after, giver, now)
    return None if found is None or (known is not None and _looks(before, known, now) == found) else found


def _giver(state: OrderState, world: World) -> Observation | None:
    found = world.key_giver(state)
    return None if found is None else found[1]


def _looks(state: OrderState, giver: Observation, now: datetime) -> Resemble | None:
    order = giver.facts
    if not isinstance(order, Order) or order.test or order.customer is None or order.placed_at is None:
        return None
    who = (order.customer.email or order.customer.name).casefold()
    goods = sorted(
        f"{line.sku or line.name}|{line.quantity.normalize():f}" for line in order.lines if line.kind == _GOODS
    )
    if not who or not goods or now - order.placed_at > FRESH:
        return None
    digest = hashlib.blake2b("\n".join((who, order.currency, *goods)).encode(), digest_size=12).hexdigest()
    looks = Looks(order.number or giver.object.id, order.placed_at)
    return Resemble(key=f"alike/{state.tenant}/{digest}", tenant=state.tenant, order=state.key, looks=looks)


def resembled(row: LinkRow, message: Resemble) -> tuple[LinkRow, tuple[Alike, ...]]:
    """Return the row that knows of the order, and who is told of whom; what is known already is told to nobody."""
    if row.alike.get(message.order) == message.looks:
        return row, ()
    near = {
        order: looks
        for order, looks in row.alike.items()
        if order != message.order and abs(looks.placed_at - message.looks.placed_at) <= WITHIN
    }
    known = {**row.alike, message.order: message.looks}
    newest = sorted(known.items(), key=lambda one: (one[1].placed_at, one[0]))[-_KEPT:]
    told = [Alike(order=order, tenant=message.tenant, others={message.order: message.looks.number}) for order in near]
    if near:
        others = {order: looks.number for order, looks in near.items()}
        told.append(Alike(order=message.order, tenant=message.tenant, others=others))
    return msgspec.structs.replace(row, alike=dict(newest)), tuple(told)


def forgotten(row: LinkRow, now: datetime) -> LinkRow:
    """Return the row without those that no fresh order can resemble any more."""
    left = {order: looks for order, looks in row.alike.items() if _until(looks) > now}
    return msgspec.structs.replace(row, alike=left)


def due(row: LinkRow) -> datetime | None:
    """Return when something of the row is forgotten next."""
    return min((_until(looks) for looks in row.alike.values()), default=None)


def _until(looks: Looks) -> datetime:
    return looks.placed_at + FRESH + WITHIN


def noted(state: OrderState, alike: Alike) -> OrderState:
    """Return the state that knows which orders look like it; the same again changes nothing."""
    others = {**state.alike, **alike.others}
    return state if others == state.alike else msgspec.structs.replace(state, alike=dict(sorted(others.items())))


def findings(state: OrderState, giver: Observation) -> Iterator[Finding]:
    """Yield that the order looks like others, which it was not merged with."""
    numbers = sorted(number for key, number in state.alike.items() if key not in (state.key, *state.aliases))
    if numbers:
        message = f"It looks like {', '.join(numbers)}: the same goods for the same customer within an hour."
        step = "compare them, and cancel one that was placed by mistake; nothing was merged or held back"
        yield Finding("alike", "warn", message, giver.object.key, step)
