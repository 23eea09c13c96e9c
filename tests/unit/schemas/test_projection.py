"""Fields of facts are found once and kept with them."""

from decimal import Decimal

import msgspec

from schemas.facts import Invoice
from schemas.projection import project


def _bill(amount: str) -> Invoice:
    return Invoice(currency="EUR", payable_amount=Decimal(amount))


def test_facts_keep_their_fields() -> None:
    bill = _bill("10")
    assert project(bill) is project(bill)
    assert project(bill)["payable_amount"] == "10.00"


def test_what_is_made_of_facts_has_fields_of_its_own() -> None:
    bill = _bill("10")
    project(bill)
    assert project(msgspec.structs.replace(bill, payable_amount=Decimal(12)))["payable_amount"] == "12.00"


def test_kept_fields_are_no_part_of_the_value() -> None:
    bill = _bill("10")
    project(bill)
    assert bill == _bill("10")
    assert msgspec.json.encode(bill) == msgspec.json.encode(_bill("10"))
