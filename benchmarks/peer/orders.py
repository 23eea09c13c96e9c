"""Made-up events of orders, the same for every seed, and what every order must come to.

Five events an order of about 1 kB JSON each, a tenth of them delivered twice, some newer versions before older ones.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHOP, BOOKS = "shop", "books"
TOPIC_OF = {"order": SHOP, "shipment": SHOP, "invoice": BOOKS, "payment": BOOKS, "credit": BOOKS}
_DUPLICATES, _LATE = 0.1, 0.1
_EVENTS = 5
# Orders whose events are mixed with each other: an order lives as long as so many others take to begin.
_ALIVE = 10_000
_BODY = (
    '{"id":"%s-%s-%d","order":"%s","object":"%s","kind":"%s","version":%d,"amount":%d,"cancelled":%s,'
    '"currency":"EUR","updated_at":"2026-03-%02dT%02d:%02d:%02d.000Z","source":"%s","tenant":"acme","account":"main",'
    '"customer":{"id":"customer-%06d","name":"Example Customer %d","email":"customer-%d@example.com",'
    '"phone":"+49 30 %07d"},"address":{"street":"Example Street %d","city":"Berlin","zip":"%05d","country":"DE"},'
    '"tax":%d,"discount":0,"shipping":490,"terms":"net 30","channel":"web","note":"left at the door of number %d",'
    '"tags":["spring","newsletter"],"lines":[%s]}'
)
_LINE = '{"sku":"SKU-%06d","name":"Example product no. %d","quantity":%d,"price":%d,"tax_rate":"19.0","unit":"piece"}'


class Event(NamedTuple):
    """One version of one object of an order."""

    order: int
    object: str
    version: int
    amount: int
    cancelled: bool = False

    @property
    def kind(self) -> str:
        """Return what the object is."""
        return self.object.partition(":")[0]


class Outcome(NamedTuple):
    """What an order must come to once all its events were seen."""

    status: str
    invoiced: int
    paid: int
    credited: int


def key_of(order: int) -> bytes:
    """Return the record key of an order."""
    return b"order-%08d" % order


def plan(order: int, seed: int) -> list[Event]:
    """Return the five events of *order* in the order in which they happened."""
    chance = random.Random(f"{seed}/{order}")
    amount = chance.randrange(1_000, 100_000)
    rest = [
        Event(order, "order:1", 2, amount, cancelled=chance.random() < 0.2),  # noqa: PLR2004  made up
        Event(order, "invoice:1", 2, amount + chance.randrange(500), cancelled=chance.random() < 0.1),  # noqa: PLR2004
        Event(order, "shipment:1", 1, 0),
        Event(order, "payment:1", 1, chance.choice((amount, amount // 2))),
        Event(order, "payment:2", 1, amount - amount // 2),
        Event(order, "credit:1", 1, amount // 4),
    ]
    picked = sorted(chance.sample(range(len(rest)), _EVENTS - 2))
    return [Event(order, "order:1", 1, amount), Event(order, "invoice:1", 1, amount), *(rest[at] for at in picked)]


def outcome(happened: Sequence[Event]) -> Outcome:
    """Return what *happened* comes to; written for itself, so that no worker shares its mistakes."""
    newest = {event.object: event for event in sorted(happened, key=lambda event: event.version)}

    def total(kind: str) -> int:
        return sum(event.amount for event in newest.values() if event.kind == kind and not event.cancelled)

    invoiced, paid, credited = total("invoice"), total("payment"), total("credit")
    rules = (
        ("cancelled", newest["order:1"].cancelled),
        ("settled", invoiced > 0 and paid + credited >= invoiced),
        ("part-paid", paid > 0),
        ("shipped", "shipment:1" in newest),
        ("invoiced", invoiced > 0),
        ("open", True),
    )
    return Outcome(next(status for status, holds in rules if holds), invoiced, paid, credited)


def delivered(orders: int, seed: int) -> list[Event]:
    """Return all events as they arrive: orders mixed, some late, some twice."""
    chance = random.Random(seed)
    arrivals: list[tuple[float, Event]] = []
    for order in range(orders):
        at = sorted(order + chance.random() * _ALIVE for _ in range(_EVENTS))
        if chance.random() < _LATE:
            chance.shuffle(at)
        for moment, event in zip(at, plan(order, seed), strict=True):
            arrivals.append((moment, event))
            if chance.random() < _DUPLICATES:
                arrivals.append((moment + chance.random() * _ALIVE, event))
    return [event for _, event in sorted(arrivals)]


def outcomes(orders: int, seed: int) -> dict[bytes, Outcome]:
    """Return what every order must come to."""
    return {key_of(order): outcome(plan(order, seed)) for order in range(orders)}


def body(event: Event) -> bytes:
    """Return *event* as the JSON of its record; the same event is always the same bytes."""
    order, kind, n = event.order, event.kind, event.order * 7 + event.version
    lines = ",".join(_LINE % (n % 99_991 + at, n % 991 + at, at + 1, event.amount // (at + 1)) for at in range(3))
    return (
        _BODY
        % (
            key_of(order).decode(), event.object, event.version, key_of(order).decode(), event.object, kind,
            event.version, event.amount, "true" if event.cancelled else "false",
            n % 28 + 1, n % 24, n % 60, n % 59, TOPIC_OF[kind],
            n % 99_991, n % 9_973, n % 9_973, n % 9_999_991, n % 301, n % 99_989,
            event.amount * 19 // 119, n % 89, lines,
        )
    ).encode()  # fmt: skip


def records(orders: int, seed: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield topic, key and value of every record as it arrives."""
    for event in delivered(orders, seed):
        yield TOPIC_OF[event.kind], key_of(event.order), body(event)
