"""Messages to the link table and the rows they leave, for tests of each step."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Payment
from schemas.links import Answer, LinkRow, Place
from schemas.refs import ObjectRef
from tests.unit.streams.order.sample import NOW
from tests.unit.streams.order.states import ref

PAY, BILL, OTHER = ref("books", "payment", "p"), ref("books", "invoice", "1"), ref("books", "invoice", "2")
PAID = Payment(amount=Decimal(50), currency="EUR")


def seen(*anchors: Anchor, native: int = 1, **changes: Any) -> ChangeEvent:
    values: dict[str, Any] = {"object": PAY, "facts": PAID, "version": Version(native)}
    return ChangeEvent(**{"tenant": "acme", "anchors": anchors, **values, **changes})


def on(target: ObjectRef, share: str | None = None) -> Anchor:
    return Anchor("object", target, share)


def arrived(event: ChangeEvent, alone: str = "") -> Place:
    return Place(key=event.object.key, event=event, alone=alone)


def answer(target: ObjectRef, order: str = "", version: int = 0) -> Answer:
    return Answer(key=PAY.key, anchor=target.key, order=order, version=version)


def waiting(*anchors: Anchor, **changes: Any) -> LinkRow:
    values: dict[str, Any] = {"key": PAY.key, "event": seen(*anchors), "waiting_since": NOW}
    return LinkRow(**{**values, **changes})
