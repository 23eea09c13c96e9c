"""What is kept of what a system made of a write: the base that later changes are found against."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.commands import Command, Pair
from schemas.facts import Facts, Invoice, Line, Shipment
from schemas.projection import lines_digest, project
from sinks.base import Written
from sinks.delivery.answers import made_of

PARCEL = Shipment(carrier="ups", tracking_numbers=("1Z1",))
BILL = Invoice(currency="EUR", payable_amount=Decimal(24), note="RING")


def command(facts: Facts, fields: dict[str, str] | None = None) -> Command:
    return Command(
        id="c1", kind="append", tenant="acme", connection="books", account="b", capability="record_shipment", order="o",
        entity="order:o", write="w", canonical="c", facts=facts, fields=dict(fields or project(facts)),
    )  # fmt: skip


def shown(facts: Facts | None) -> Written:
    return Written(type="invoice", id="1", facts=facts)


def test_it_is_what_was_sent_beside_what_is_shown() -> None:
    asked = command(BILL, {"note": "ring", "payable_amount": "25.00", "headline": "open"})
    there = {"note": Pair("ring", "RING"), "payable_amount": Pair("25.00", "24.00")}
    assert made_of(asked, shown(BILL), sent=True) == there
    assert made_of(asked, shown(None), sent=True) == {}


def test_what_was_not_sent_now_counts_as_sent_as_it_shows() -> None:
    asked = command(BILL, {"note": "ring", "payable_amount": "25.00"})
    there = {"note": Pair("RING", "RING"), "payable_amount": Pair("24.00", "24.00")}
    assert made_of(asked, shown(BILL), sent=False) == there


@pytest.mark.parametrize(
    ("shows", "sent", "known"), [("its own", False, None), ("ours", False, "ours"), ("its own", True, "ours")]
)
def test_what_lines_an_earlier_try_sent_is_unknown_where_they_show_in_another_form(
    shows: str, known: str | None, *, sent: bool
) -> None:
    lines = {form: (Line(name=form, net_amount=Decimal(24)),) for form in ("ours", "its own")}
    digests = {form: lines_digest(of, "EUR") for form, of in lines.items()}
    there = shown(Invoice(currency="EUR", lines=lines[shows]))
    found = made_of(command(BILL, {"lines": digests["ours"]}), there, sent=sent)
    assert found == ({} if known is None else {"lines": Pair(digests[known], digests[shows])})


@pytest.mark.parametrize("facts", [None, BILL])
def test_of_a_parcel_that_became_a_note_or_a_part_of_its_document_what_was_sent_is_kept(facts: Facts | None) -> None:
    sent = {"carrier": Pair("ups", "ups"), "tracking": Pair("1Z1", "1Z1"), "status": Pair("shipped", "shipped")}
    assert made_of(command(PARCEL), shown(facts), sent=True) == sent
    assert made_of(command(PARCEL), shown(facts), sent=False) == {}, "nobody knows what an earlier try told"


def test_a_parcel_that_is_shown_is_kept_as_it_shows() -> None:
    there = Shipment(carrier="UPS", tracking_numbers=("1Z1",), status="delivered")
    known = made_of(command(PARCEL), shown(there), sent=True)
    assert known == {
        "carrier": Pair("ups", "UPS"),
        "tracking": Pair("1Z1", "1Z1"),
        "status": Pair("shipped", "delivered"),
    }
