"""Replies to writes as other versions of QuickBooks word them, answered by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Invoice
from sinks.platforms.quickbooks_online import SINK
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.plain import reply
from tests.platforms.quickbooks_online.rig import command, connection, invoice, payment

SINK_OF = SINK(connection())
BARE = {
    "Id": "130", "SyncToken": "3", "TotalAmt": 15.41, "Balance": 15.41, "CustomerRef": {"value": "7", "name": None},
    "CurrencyRef": {"value": "EUR"}, "PrivateNote": None, "DueDate": None, "BillEmail": None, "TrackingNum": None,
    "LinkedTxn": None, "Line": [{"Id": "1", "Amount": 15.41, "DetailType": "SalesItemLineDetail", "Description": None}],
}  # fmt: skip


@pytest.mark.parametrize("field", ["note", "lines"])
def test_a_null_in_the_reply_to_a_write_says_nothing(field: str) -> None:
    """The change was made: refused for what the reply says, it would be a dead letter."""
    wanted = command("upsert_invoice", invoice(lines=()), kind="set", bound_id="130", changes=("note",))
    old = {**BARE, "Line": None} if field == "lines" else BARE
    requests, written = answer(SINK_OF.write(wanted), reply({"Invoice": old}), reply({"Invoice": BARE}))
    assert requests[-1].mutates
    assert isinstance(written.facts, Invoice)
    assert (written.id, written.facts.payable_amount) == ("130", Decimal("15.41"))


def test_a_null_in_what_is_written_on_says_nothing() -> None:
    record: dict[str, Any] = {"Id": "9", "TotalAmt": 5, "Line": None, "PaymentRefNum": "a", "PrivateNote": None}
    wanted = command("record_payment", payment("4"), kind="set", bound_id="9", changes=("amount", "reference"))
    requests, written = answer(
        SINK_OF.write(wanted), reply({"Payment": {**record, "SyncToken": "0"}}), reply({"Payment": record})
    )
    assert requests[-1].json is not None
    assert requests[-1].json["Line"] == []
    assert written.id == "9"
