"""Whether a run came to what it must: order-states and documents against what the made-up lives foresee."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from app.core import topics
from benchmarks.full.lives import decoded, expected
from benchmarks.full.running import read
from benchmarks.full.systems import Document
from schemas.facts import Credit, Invoice, Order, Payment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.full.lives import Expected, Life
    from benchmarks.full.running import Company
    from schemas.facts import Facts

_AMOUNTS = {
    "payable": "payable_amount", "invoiced": "invoiced_amount", "paid": "paid_amount", "refunded": "refunded_amount",
    "due": "amount_due",
}  # fmt: skip
_WORDS = {"life_cycle": "open", "financial": "none", "fulfilment": "none"}
_OPEN = ("waiting", "findings", "conflicts")
_LEDGERS = ("books", "qbo")
States = dict[bytes, bytes]


def states(company: Company) -> States:
    """Return what is shown of every order."""
    return {one.key: one.value for one in read(company, topics.ORDER_STATES)}


def wrong(lives: Sequence[Life], shown: Mapping[bytes, bytes], kept: Path) -> list[str]:
    """Return what is not as foreseen, one line each."""
    documents = msgspec.json.decode(kept.read_bytes(), type=list[Document])
    of: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        of[document.order].append(document)
    found = [line for life in lives for line in _order(life, shown.get(life.key.encode()))]
    found += [line for life in lives for line in _documents(life, of[life.key])]
    strangers = len(shown.keys() - {life.key.encode() for life in lives})
    return [*found, f"{strangers} orders are shown that nobody placed"] if strangers else found


def _order(life: Life, value: bytes | None) -> list[str]:
    if value is None:
        return [f"order {life.number} ({life.kind}) is not shown"]
    wanted, seen = expected(life), decoded(value)
    there = {name: seen.get(name, default) for name, default in _WORDS.items()}
    there |= {name: Decimal(seen.get(field, 0)) for name, field in _AMOUNTS.items()}
    there["tracking"] = tuple(seen.get("tracking_numbers", ()))
    found = [_differs(life, name, got, getattr(wanted, name)) for name, got in there.items()]
    found += [_differs(life, name, seen.get(name, []), []) for name in _OPEN]
    return [line for line in found if line]


def _differs(life: Life, what: str, got: object, wanted: object) -> str:
    return "" if got == wanted else f"order {life.number} ({life.kind}): {what} is {got}, not {wanted}"


def _documents(life: Life, documents: Iterable[Document]) -> list[str]:
    """Hold what each system has of an order against what it must have; what was voided counts for nothing."""
    wanted, there = expected(life), Counter[tuple[str, str]]()
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for document in documents:
        facts = document.facts
        if facts is None or getattr(facts, "status", "") == "void":
            continue
        place = (document.object.connection, _kind(facts))
        there[place] += 1
        sums[place] += _amount(facts)
    found = [_differs(life, f"documents {place}", got, _how_many(life, wanted, place)) for place, got in there.items()]
    for ledger in _LEDGERS:
        amounts = {
            "invoice": wanted.invoiced,
            "payment": wanted.paid,
            "credit_note": wanted.refunded,
            "refund": wanted.refunded,
        }
        found += [_differs(life, f"{ledger} {name}", sums[ledger, name], amount) for name, amount in amounts.items()]
    return [line for line in found if line]


def _how_many(life: Life, wanted: Expected, place: tuple[str, str]) -> int:
    connection, kind = place
    if kind == "payment":
        elsewhere = connection != "shop" or life.kind == "stripe"
        return wanted.payments if elsewhere else 0
    if kind in {"credit_note", "refund"}:
        return int(wanted.refunded > 0)
    return 1


def _kind(facts: Facts) -> str:
    if isinstance(facts, Credit):
        return facts.document
    return type(facts).__name__.lower()


def _amount(facts: Any) -> Decimal:  # noqa: ANN401 - any facts
    if isinstance(facts, Payment | Credit):
        return facts.amount
    if isinstance(facts, Invoice | Order):
        return facts.payable_amount or Decimal(0)
    return Decimal(0)
