"""Two status axes, derived and never copied, and one headline word for platforms that know only one."""

from __future__ import annotations

from decimal import Decimal

from schemas.facts import Financial, Fulfilment, LifeCycle, Order, Shipment
from schemas.order_state import PublicOrder
from schemas.state import Observation
from streams.order.derive.money import Counted
from streams.order.merge import is_gone

_FULFILMENT: tuple[Fulfilment, ...] = ("none", "partially_fulfilled", "fulfilled", "delivered", "returned")
# How far an order has come, for platforms with one axis: a later word is never lowered without a cause.
HEADLINES = (
    "draft", "open", "invoiced", "partially_paid", "paid", "overpaid", "partially_fulfilled", "fulfilled", "delivered",
    "partially_refunded", "returned", "refunded", "void", "cancelled",
)  # fmt: skip


_HELD = frozenset[LifeCycle](("open", "closed"))
"""Orders that what a bank asks back puts on hold."""


def life_cycle(order: Order, look: Observation, *, held: bool = False) -> LifeCycle:
    """Return where the order stands in its life; a deleted order is cancelled, never made anew."""
    if is_gone(look):
        return "cancelled"
    return "on_hold" if held and order.status in _HELD else order.status


def financial(payable: Decimal, paid: Decimal, refunded: Decimal, *, invoiced: bool, cancelled: bool) -> Financial:
    """Return the financial status from what was really paid and returned."""
    if refunded > 0 and paid > 0:
        return "refunded" if refunded >= paid else "partially_refunded"
    if paid > 0:
        return _paid(payable, paid)
    if cancelled:
        return "void"
    return "invoiced" if invoiced else "none"


def _paid(payable: Decimal, paid: Decimal) -> Financial:
    if paid < payable:
        return "partially_paid"
    return "overpaid" if paid > payable else "paid"


def fulfilment(order: Order, parcels: list[Counted]) -> Fulfilment:
    """Return the further of what the order says and what its parcels show."""
    said = order.fulfilment or "none"
    shown = _of_parcels(order, parcels)
    return max(said, shown, key=_FULFILMENT.index)


def _of_parcels(order: Order, parcels: list[Counted]) -> Fulfilment:
    facts = [parcel.look.facts for parcel in parcels if isinstance(parcel.look.facts, Shipment)]
    if not facts:
        return "none"
    complete = order.fulfilment in {"fulfilled", "delivered"} or any(not parcel.lines for parcel in facts)
    if not complete:
        complete = _everything_left(order, facts)
    if not complete:
        return "partially_fulfilled"
    return "delivered" if all(parcel.status == "delivered" for parcel in facts) else "fulfilled"


def _everything_left(order: Order, parcels: list[Shipment]) -> bool:
    left: dict[str, Decimal] = {}
    for parcel in parcels:
        for line in parcel.lines:
            left[line.line] = left.get(line.line, Decimal(0)) + line.quantity
    goods = [line for line in order.lines if line.kind == "goods"]
    return bool(goods) and all(left.get(line.id, Decimal(0)) >= line.quantity for line in goods)


def headline(life: LifeCycle, money: Financial, goods: Fulfilment) -> str:
    """Return the one word that says most about the order."""
    if life in {"draft", "cancelled"}:
        return life
    words = {"open" if life in {"closed", "on_hold"} else life, money, goods} - {"none"}
    return max(words, key=HEADLINES.index)


def reached(public: PublicOrder, said: LifeCycle | None = None) -> frozenset[str]:
    """Return every word that the order has come to or passed: what was paid too much or paid back was paid.

    *said* is what its own system calls it, where that may be another word: what a bank holds is open all the same.
    """
    words = {public.life_cycle, public.financial, public.fulfilment, public.headline}
    words |= {"open"} if (said or public.life_cycle) in _HELD else set()
    words |= {"partially_paid"} if public.paid_amount > 0 else set()
    words |= {"paid"} if 0 < public.payable_amount <= public.paid_amount else set()
    words |= set(_FULFILMENT[1 : _FULFILMENT.index(public.fulfilment) + 1])
    return frozenset(words)
