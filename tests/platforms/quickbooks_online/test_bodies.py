"""Bodies of writes that need no company: the lines of a credit, and the tax code of a line."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from app.core.errors import RejectedError
from schemas.connection import Connection
from schemas.facts import Credit, Line
from sinks.platforms.quickbooks_online.bodies import credit_lines, tax_code

MUG = Line(sku="MUG", net_amount=Decimal("50.00"), tax_amount=Decimal("9.50"))
CREDIT = Credit(amount=Decimal("59.50"), tax_amount=Decimal("9.50"), currency="EUR", lines=(MUG,), reason="Broken")
GERMAN = Connection(
    name="qbo", tenant="acme", platform="quickbooks_online", account="1", taxes={"19": "4", "7": "5", "0": "6"}
)


def test_the_lines_of_a_credit_are_billed_where_they_are_all_of_it() -> None:
    assert credit_lines(CREDIT) == (MUG,)


@pytest.mark.parametrize(("amount", "lines"), [("64.40", (MUG,)), ("59.50", ())])
def test_else_it_has_one_line_over_its_net_amount(amount: str, lines: tuple[Line, ...]) -> None:
    (line,) = credit_lines(msgspec.structs.replace(CREDIT, amount=Decimal(amount), lines=lines))
    assert (line.name, line.net_amount, line.tax_amount) == (
        "Broken",
        Decimal(amount) - Decimal("9.50"),
        Decimal("9.50"),
    )


def test_a_tax_without_a_rate_tells_its_code() -> None:
    assert tax_code(GERMAN, MUG, taxed=True) == "4"
    assert tax_code(GERMAN, msgspec.structs.replace(MUG, tax_amount=Decimal(0)), taxed=False) == "6"
    with pytest.raises(RejectedError, match=r"no tax code is configured for a tax of 1\.23 on 50\.00"):
        tax_code(GERMAN, msgspec.structs.replace(MUG, tax_amount=Decimal("1.23")), taxed=True)
