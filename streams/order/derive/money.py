"""Which payments, credits and documents of an order count, and how much they add up to."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from schemas.facts import Credit, Facts, Invoice, Payment, Shipment
from schemas.flow import Flow
from schemas.money import ZERO
from schemas.platform import Platform
from schemas.refs import read_mark
from schemas.state import Observation, OrderState
from streams.order.merge import is_gone
from streams.order.once import once
from streams.order.world import World

_DEAD = frozenset(("void", "cancelled", "draft"))


class Counted(msgspec.Struct, frozen=True, dict=True):
    """One object that counts, with the part of its amount that belongs to this order."""

    look: Observation
    amount: Decimal

    @once
    def key(self) -> str:
        """Return the object's key, which is the canonical object of what is written elsewhere because of it."""
        return self.look.object.key


def written_keys(state: OrderState) -> frozenset[str]:
    """Return the objects that we wrote: mirrors, which never count a second time."""
    bound = {record.bound.key for record in state.writes.values() if record.bound is not None}
    names = (state.key, *state.aliases)
    bound |= {key for key, look in state.objects.items() if look.mirror_of and _marked(look, names)}
    return frozenset(bound)


def _marked(look: Observation, orders: tuple[str, ...]) -> bool:
    """Tell whether the object is a mirror of this order: one that a person moved here from another order counts."""
    mark = read_mark(look.mirror_of)
    return mark is not None and mark.order in orders


def originals(
    state: OrderState, flow: Flow, kind: type[Facts], ours: frozenset[str] | None = None
) -> list[Observation]:
    """Return the living objects of *kind* that started in their system and that the flow hears, in stable order.

    *ours* are the `written_keys` of the state, where they are known already.
    """
    ours = written_keys(state) if ours is None else ours
    heard = frozenset(flow.payments_from)
    found = [
        look
        for key, look in state.objects.items()
        if isinstance(look.facts, kind)
        and key not in ours
        and not is_gone(look)
        and look.share != "0"
        and (not heard or look.object.connection in heard or look.object.connection == flow.key_giver)
    ]
    return sorted(found, key=lambda look: (look.object.connection != flow.key_giver, look.object))


def payments(state: OrderState, flow: Flow, ours: frozenset[str] | None = None) -> list[Counted]:
    """Return succeeded payments; one that two systems report under a shared reference counts once.

    A payment whose mirror was moved to another order counts only as far as it stayed here.
    """
    found = _distinct(originals(state, flow, Payment, ours), _payment_counts, _reference)
    stayed = [Counted(one.look, _stayed(state, one)) for one in found]
    return [one for one in stayed if one.amount > ZERO]


def _stayed(state: OrderState, one: Counted) -> Decimal:
    mirrors = [
        state.objects.get(record.bound.key)
        for record in state.writes.values()
        if record.bound is not None and record.capability == "record_payment" and record.key.endswith("|" + one.key)
    ]
    moved = [_moved(mirror) for mirror in mirrors if mirror is not None]
    return one.amount - max(moved, default=ZERO)


def _moved(mirror: Observation) -> Decimal:
    """Return what of a mirror hangs on other orders; what its invoice did not need stays with the buyer."""
    if mirror.share is None or not isinstance(mirror.facts, Payment):
        return ZERO
    return max(ZERO, mirror.facts.amount - (mirror.facts.unapplied_amount or ZERO) - Decimal(mirror.share))


def _payment_counts(facts: Facts | None) -> bool:
    return isinstance(facts, Payment) and facts.status == "succeeded" and not facts.test and facts.amount > 0


def _reference(facts: Facts | None) -> str:
    if not isinstance(facts, (Payment, Credit)) or not facts.reference:
        return ""
    return f"{facts.reference}|{facts.amount.normalize()}|{facts.currency}"


def credited(state: OrderState, flow: Flow, ours: frozenset[str] | None = None) -> list[Counted]:
    """Return issued credits and refunds that started in their system."""
    return _distinct(originals(state, flow, Credit, ours), _credit_counts, _reference)


def _credit_counts(facts: Facts | None) -> bool:
    return isinstance(facts, Credit) and facts.status == "issued" and facts.amount > 0


def holding(state: OrderState, flow: Flow, world: World, ours: frozenset[str] | None = None) -> list[Observation]:
    """Return what somebody asks back of the order's money and is not decided yet, where that holds an order."""
    if not any(_is_pending(look.facts) for look in state.objects.values()):  # almost every order
        return []
    found = [look for look in originals(state, flow, Credit, ours) if _is_pending(look.facts)]
    return [look for look in found if look.object.type in _holds(world.platform(look.object.connection))]


def _is_pending(facts: Facts | None) -> bool:
    return isinstance(facts, Credit) and facts.status == "pending"


def _holds(platform: Platform | None) -> frozenset[str]:
    return frozenset() if platform is None else platform.holds


def shipments(state: OrderState, flow: Flow, ours: frozenset[str] | None = None) -> list[Counted]:
    """Return parcels that left; one whose numbers other systems told already is no further parcel."""
    found = _distinct(originals(state, flow, Shipment, ours), _shipment_counts, lambda _: "")
    return [one for place, one in enumerate(found) if not _told_elsewhere(one, found[:place])]


def _told_elsewhere(parcel: Counted, before: list[Counted]) -> bool:
    there = parcel.look.object.connection
    told = {number for one in before if one.look.object.connection != there for number in _numbers(one.look.facts)}
    return bool(_numbers(parcel.look.facts)) and told.issuperset(_numbers(parcel.look.facts))


def _numbers(facts: Facts | None) -> tuple[str, ...]:
    return facts.tracking_numbers if isinstance(facts, Shipment) else ()


def _shipment_counts(facts: Facts | None) -> bool:
    return isinstance(facts, Shipment) and facts.status in {"shipped", "delivered"}


def _distinct(
    looks: list[Observation], counts: Callable[[Facts | None], bool], reference: Callable[[Facts | None], str]
) -> list[Counted]:
    found: list[Counted] = []
    seen: dict[str, str] = {}
    for look in looks:
        if not counts(look.facts):
            continue
        shared = reference(look.facts)
        first = seen.setdefault(shared, look.object.connection) if shared else look.object.connection
        if first != look.object.connection:
            continue
        found.append(Counted(look, _amount(look)))
    return found


def _amount(look: Observation) -> Decimal:
    if look.share is not None:
        return Decimal(look.share)
    return look.facts.amount if isinstance(look.facts, (Payment, Credit)) else ZERO


def documents(state: OrderState) -> list[Observation]:
    """Return living, issued documents of the order in every system, ours and foreign ones."""
    found = [
        look
        for look in state.objects.values()
        if isinstance(look.facts, Invoice) and not is_gone(look) and look.facts.status not in _DEAD
    ]
    return sorted(found, key=lambda look: look.object)


def total(counted: list[Counted]) -> Decimal:
    """Return the sum of what counts."""
    return sum((one.amount for one in counted), ZERO)
