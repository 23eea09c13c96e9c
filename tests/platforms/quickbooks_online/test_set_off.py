"""Payments in which a person set off more than credit memos: journal entries, cheques, bounced money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Payment
from sinks.platforms.quickbooks_online.changes import payment_changes
from tests.platforms.quickbooks_online.plain import SOURCE_OF
from tests.platforms.quickbooks_online.rig import payment

Links = list[tuple[str, str, int]]


def lines_of(links: Links) -> list[dict[str, Any]]:
    return [{"Amount": amount, "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]} for kind, id_, amount in links]


@pytest.mark.parametrize(
    ("total", "unapplied", "links", "shares"),
    [
        (60, 0, [("Invoice", "1", 100), ("JournalEntry", "5", 40)], [("1", "60.00")]),  # a part was written off
        (
            140,
            0,
            [("Invoice", "1", 100), ("JournalEntry", "5", 40)],
            [("1", "100.00")],
        ),  # a bounced cheque is paid, too
        (60, 10, [("Invoice", "1", 30), ("Invoice", "2", 40), ("Check", "5", 20)], [("1", "10.00"), ("2", "40.00")]),
        (50, 0, [("Invoice", "1", 100), ("CreditMemo", "6", 20), ("JournalEntry", "5", 30)], [("1", "50.00")]),
    ],
)
def test_no_payment_pays_more_than_its_money_whatever_else_is_set_off_in_it(
    total: int, unapplied: int, links: Links, shares: list[tuple[str, str]]
) -> None:
    record = {"Id": "9", "TotalAmt": total, "UnappliedAmt": unapplied, "Line": lines_of(links)}
    (event,) = SOURCE_OF.parse("payment", record)
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == shares


def test_what_a_rate_gained_or_lost_is_no_money_of_the_buyer() -> None:
    """Of 100 EUR the company got other dollars than were billed: QuickBooks books the difference by itself."""
    record = {"Id": "9", "TotalAmt": 100, "CurrencyRef": {"value": "EUR"}, "Line": lines_of([("Invoice", "1", 100)])}
    for rate in ("1.08", "1.1"):
        (event,) = SOURCE_OF.parse("payment", {**record, "ExchangeRate": rate, "HomeTotalAmt": 100 * float(rate)})
        assert isinstance(event.facts, Payment)
        assert (event.facts.amount, event.facts.currency) == (100, "EUR")
        assert [anchor.share for anchor in event.anchors] == ["100.00"]
    entry = {"JournalEntry": [{"Id": "7", "Line": [{"Amount": 2, "Description": "Exchange gain or loss"}]}]}
    assert SOURCE_OF.parse("", {"QueryResponse": entry}) == []


def test_a_journal_entry_that_is_set_off_against_an_invoice_is_no_payment() -> None:
    lines = lines_of([("Invoice", "1", 20), ("JournalEntry", "5", 20)])
    assert SOURCE_OF.parse("payment", {"Id": "9", "TotalAmt": 0, "Line": lines}) == []


@pytest.mark.parametrize(
    ("total", "amount", "links", "share"),
    [
        (60, "70", [("Invoice", "1", 100), ("JournalEntry", "5", 40)], "100"),  # 10 of it stay unapplied
        (60, "50", [("Invoice", "1", 100), ("JournalEntry", "5", 40)], "90"),
        (140, "120", [("Invoice", "1", 100), ("JournalEntry", "5", 40)], "80"),
        (140, "30", [("Invoice", "1", 100), ("JournalEntry", "5", 40)], None),
    ],
)
def test_a_changed_amount_leaves_a_journal_entry_in_the_payment_as_it_is(
    total: int, amount: str, links: Links, share: str | None
) -> None:
    row = {"Id": "9", "TotalAmt": total, "UnappliedAmt": 0, "Line": lines_of(links)}
    lines = payment_changes(row, payment(amount), ("amount",))["Line"]
    told = {line["LinkedTxn"][0]["TxnType"]: line["Amount"] for line in lines}
    assert told == {"JournalEntry": 40} | ({} if share is None else {"Invoice": Decimal(share)})
