"""Made-up lives of orders: what the shop and the payment service tell of each, and what must come of it.

What must come of it is reckoned here, from how the life was made up: nothing of the streams' own code takes part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec

from app.core import topics
from schemas.cloudevents import encode
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Address, Credit, Line, Order, Party, Payment, Shipment
from schemas.refs import ObjectRef, order_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from schemas.facts import Facts

TENANT = "demo"
SHOP, PAY = ("shop", "demo.myshopify.com"), ("pay", "acct_demo")
DUPLICATES, LATE = 0.10, 0.05
Kind = Literal["paid", "parts", "stripe", "edited", "refunded", "cancelled"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_WEIGHTS = (55, 10, 15, 8, 7, 5)
_CENT = Decimal("0.01")
_SHARE = Decimal("0.4")


class Record(NamedTuple):
    """One record for Kafka; *topic* without prefix."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Expected:
    """What must be shown of an order in the end; amounts in its currency."""

    life_cycle: str
    financial: str
    fulfilment: str
    payable: Decimal
    invoiced: Decimal
    paid: Decimal
    refunded: Decimal
    due: Decimal
    payments: int
    tracking: tuple[str, ...]


@dataclass
class Life:
    """One order from being placed to its end."""

    number: int
    kind: Kind
    began: datetime
    events: list[ChangeEvent] = field(default_factory=list)
    """What is told, oldest first."""
    looks: int = 0

    @property
    def ref(self) -> ObjectRef:
        """Return the shop's order."""
        return ObjectRef(*SHOP, "order", f"{5_000_000_000_000 + self.number}")

    @property
    def key(self) -> str:
        """Return the order key."""
        return order_key(TENANT, self.ref)


def lives(count: int, began: datetime, chance: Random) -> list[Life]:
    """Return *count* lives that begin at *began*."""
    kinds = chance.choices(_KINDS, _WEIGHTS, k=count)
    made = [Life(number, kind, began) for number, kind in enumerate(kinds, start=1)]
    for life in made:
        _live(life)
    return made


# ------------------------------------------------------------------------------------------------- what is told


def _live(life: Life) -> None:
    total = _total(life)
    if life.kind == "cancelled":
        _look(life, "pending")
        _look(life, "cancelled", status="cancelled")
        return
    if life.kind == "edited":
        _look(life, "pending", more=1)
        _look(life, "pending")
        _parcel(life, "shipped", "fulfilled")
        _look(life, "pending", fulfilment="fulfilled")
        return
    _look(life, "pending")
    for at, part in enumerate(_parts(life, total)):
        _payment(life, at, part)
    _look(life, "paid", financial="paid", note="" if life.number % 4 else "Leave it with the neighbours")
    _parcel(life, "shipped", "success")
    _look(life, "paid", financial="paid", fulfilment="fulfilled", note="" if life.number % 4 else "Ring twice")
    _parcel(life, "delivered", "success")
    if life.kind == "refunded":
        _refund(life)
        _look(life, "partially_refunded", financial="partially_refunded", fulfilment="delivered")


def _goods(life: Life, more: int = 0) -> tuple[Line, ...]:
    lines = []
    for part in range(1 + life.number % 3):
        quantity = 1 + (life.number + part) % 2 + more
        price = Decimal(900 + (life.number * 37 + part * 211) % 9_000) / 100
        net = price * quantity
        lines.append(
            Line(
                id=f"{13_000_000_000_000 + life.number * 10 + part}", sku=f"SKU-{(life.number + part) % 500}",
                name=f"A thing of kind {(life.number + part) % 500}", quantity=Decimal(quantity), unit_price=price,
                net_amount=net, tax_amount=(net / 5).quantize(_CENT), tax_rate=Decimal(20),
            )
        )  # fmt: skip
    sent = Line(
        id=f"{13_500_000_000_000 + life.number}", kind="shipping", name="Standard", unit_price=Decimal("5.00"),
        net_amount=Decimal("5.00"), tax_amount=Decimal("1.00"), tax_rate=Decimal(20),
    )  # fmt: skip
    return (*lines, sent)


def _total(life: Life) -> Decimal:
    return sum((line.net_amount + line.tax_amount for line in _goods(life)), Decimal(0))


def _parts(life: Life, total: Decimal) -> tuple[Decimal, ...]:
    first = (total * _SHARE).quantize(_CENT)
    return (first, total - first) if life.kind == "parts" else (total,)


def _buyer(life: Life) -> Party:
    return Party(
        name=f"Customer {life.number}", email=f"customer{life.number}@shop.example", phone="+15550100",
        id=f"{7_000_000_000_000 + life.number}",
        address=Address(
            line1=f"{life.number % 200} High Street", city="Springfield", region="Illinois", postcode="62701",
            country="US",
        ),
    )  # fmt: skip


def _look(life: Life, stage: str, *, more: int = 0, **changes: Any) -> None:  # noqa: ANN401 - fields of an order
    lines = _goods(life, more)
    tax = sum((line.tax_amount for line in lines), Decimal(0))
    net = sum((line.net_amount for line in lines), Decimal(0))
    values: dict[str, Any] = {
        "number": f"#{10_000 + life.number}", "stage": stage, "financial": "none", "currency": "EUR",
        "customer": _buyer(life), "lines": lines, "net_amount": net, "tax_amount": tax, "payable_amount": net + tax,
        "placed_at": life.began,
    }  # fmt: skip
    life.looks += 1
    _tell(life, life.ref, Order(**{**values, **changes}), Version(native=int(life.began.timestamp()) + life.looks))


def _payment(life: Life, at: int, amount: Decimal) -> None:
    paid = life.began + timedelta(seconds=10)
    if life.kind == "stripe":
        facts = Payment(amount=amount, currency="EUR", paid_at=paid, date=paid.date(), method="card", stage="succeeded")
        anchor = Anchor("number", ObjectRef("", "", "number", f"#{10_000 + life.number}"))
        ref = ObjectRef(*PAY, "payment_intent", f"pi_{life.number:020d}")
        _tell(life, ref, facts, Version(read=True, epoch=1, seq=life.number), anchor)
        return
    facts = Payment(
        amount=amount, currency="EUR", paid_at=paid, date=paid.date(), method="card", stage="success",
        reference=f"ch_{life.number:016d}{at}",
    )  # fmt: skip
    ref = ObjectRef(*SHOP, "transaction", f"{6_000_000_000_000 + life.number * 10 + at}")
    _tell(life, ref, facts, Version(native=2), Anchor("order", life.ref))


def _parcel(life: Life, status: Any, stage: str) -> None:  # noqa: ANN401 - a literal
    at = life.began + timedelta(minutes=1)
    facts = Shipment(
        status=status, stage=stage, carrier="UPS", tracking_numbers=_tracking(life), shipped_at=at,
        delivered_at=at if status == "delivered" else None,
    )  # fmt: skip
    ref = ObjectRef(*SHOP, "fulfillment", f"{4_000_000_000_000 + life.number}")
    version = Version(native=int(at.timestamp()) + (status == "delivered"))
    _tell(life, ref, facts, version, Anchor("order", life.ref))


def _tracking(life: Life) -> tuple[str, ...]:
    return (f"1Z{life.number:016d}",)


def _refund(life: Life) -> None:
    line = _goods(life)[0]
    facts = Credit(
        document="refund", amount=_refunded(life), tax_amount=line.tax_amount, currency="EUR", stage="success",
        lines=(line,), reason="damaged", date=(life.began + timedelta(minutes=2)).date(),
    )  # fmt: skip
    ref = ObjectRef(*SHOP, "refund", f"{8_000_000_000_000 + life.number}")
    _tell(life, ref, facts, Version(native=2), Anchor("order", life.ref))


def _refunded(life: Life) -> Decimal:
    line = _goods(life)[0]
    return line.net_amount + line.tax_amount


def _tell(life: Life, ref: ObjectRef, facts: Facts, version: Version, *anchors: Anchor) -> None:
    place = len(life.events)
    life.events.append(
        ChangeEvent(
            tenant=TENANT, object=ref, facts=facts, version=version, anchors=anchors,
            changed_at=life.began + timedelta(seconds=place), event_id=f"{ref.id}-{place}",
            origin="read" if version.read else "webhook", told_at=life.began + timedelta(seconds=place),
            trace=f"00-{life.number:032x}-{place + 1:016x}-01",
        )
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- what must come of it


def expected(life: Life) -> Expected:
    """Return what must be shown of *life* in the end."""
    total = _total(life)
    if life.kind == "cancelled":
        return Expected("cancelled", "void", "none", total, _NONE, _NONE, _NONE, _NONE, 0, ())
    if life.kind == "edited":
        return Expected("open", "invoiced", "fulfilled", total, total, _NONE, _NONE, total, 0, _tracking(life))
    refunded = _refunded(life) if life.kind == "refunded" else _NONE
    financial = "partially_refunded" if refunded else "paid"
    count = len(_parts(life, total))
    return Expected("open", financial, "delivered", total, total, total, refunded, _NONE, count, _tracking(life))


_NONE = Decimal(0)

# -------------------------------------------------------------------------------------------- in which order it comes


def told(
    made: Sequence[Life], window: int, chance: Random, routed: Callable[[ChangeEvent], ChangeEvent]
) -> Iterator[Record]:
    """Yield the records of *made*, *window* orders at a time mixed at random: with 1 an order's come one after another.

    One in ten comes twice, of the looks at an order one in twenty after the look that followed it.
    """
    for start in range(0, len(made), window):
        left = [_disturbed(life, chance) for life in made[start : start + window]]
        while left:
            at = chance.randrange(len(left))
            yield to_record(routed(left[at].pop()))
            if not left[at]:
                left[at] = left[-1]
                left.pop()


def _disturbed(life: Life, chance: Random) -> list[ChangeEvent]:
    """Return the events of *life*, the first to come last."""
    found = list(life.events)
    looks = [at for at, event in enumerate(found) if isinstance(event.facts, Order)]
    for one, other in pairwise(looks):
        if chance.random() < LATE:
            found[one], found[other] = found[other], found[one]
    for event in life.events:
        if chance.random() < DUPLICATES:
            found.insert(chance.randrange(found.index(event), len(found)) + 1, event)
    return found[::-1]


def to_record(event: ChangeEvent) -> Record:
    """Return *event* as a source publishes it."""
    canonical = type(event.facts).__name__.lower()
    key, headers, value = encode(event, canonical)
    return Record(topics.side_topic(canonical), key, value, headers)


def decoded(value: bytes) -> dict[str, Any]:
    """Return a JSON object, amounts as texts."""
    found: dict[str, Any] = msgspec.json.decode(value)
    return found
