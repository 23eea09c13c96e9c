"""A ledger that computes another total than was sent says so in the reply, and the result of the write tells both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Invoice
from schemas.projection import project
from tests.platforms.xero.company import INVOICE, Company, command, opened
from tests.platforms.xero.delivering import delivered

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with opened() as found:
        yield found


@pytest.mark.parametrize(("own", "made"), [(False, "15.52"), (True, "15.53")])
async def test_a_total_that_the_ledger_computed_itself_is_told_beside_what_was_sent(
    company: Company, *, own: bool, made: str
) -> None:
    mug, *more = INVOICE.lines
    lines = (msgspec.structs.replace(mug, tax_amount=Decimal("1.75")), *more)  # 20 % of 8.78 are 1.76
    sent = msgspec.structs.replace(INVOICE, lines=lines, payable_amount=Decimal("15.52"))
    company.sandbox.verbs["count_tax"]({"on": own})
    result = await delivered(company, command("upsert_invoice", sent, fields=dict(project(sent))))
    assert result.outcome == "confirmed"
    assert result.made["payable_amount"] == Pair("15.52", made)
    (event,) = result.events
    assert isinstance(event.facts, Invoice)
    assert event.facts.payable_amount == Decimal(made)
