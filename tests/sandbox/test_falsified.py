"""Every way to falsify a ledger is seen by the verdict of the demo, which tests/e2e/test_demo.py runs whole for one of them."""

from __future__ import annotations

import pytest

from app.demo.history import Row
from app.demo.verdict import differences, order_key, wanted
from app.sandbox.__main__ import find

KEYS = {order: order_key("demo", "shop", "acme", "order", order) for order in ("SO-1", "SO-2")}
WANTED = wanted(
    [Row("2026-03-01", order, "order.created", {"total": "48.00"}) for order in KEYS]
    + [Row("2026-03-02", "SO-1", "payment.recorded", {"amount": "48.00"})]
)
ACCOUNTS = {"xero": "00000000-0000-4000-8000-000000000001", "quickbooks_online": "9130000000000001"}
LINE = {"title": "Mug", "price": "40.00", "tax_rate": "20"}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cent", ["order SO-1 is billed 48.01 instead of 48.00"]),
        ("remove", ["order SO-1 has 0 documents instead of 1", "order SO-1 shows 0 paid instead of 48.00"]),
        ("double", ["order SO-1 has 2 documents instead of 1"]),
    ],
)
@pytest.mark.parametrize("platform", ACCOUNTS)
def test_one_falsified_document_is_one_order_that_differs(platform: str, how: str, said: list[str]) -> None:
    ledger = find(platform)(ACCOUNTS[platform])
    for order, key in KEYS.items():
        sale = {"customer": order, "reference": f"o2c1:{key}:{'0' * 12}", "lines": [LINE]}
        invoice = ledger.verbs["type_invoice"](sale)["id"]
        if order == "SO-1":
            ledger.verbs["type_payment"]({"invoice_id": invoice, "amount": "48.00", "date": "2026-03-02"})
    assert differences("books", KEYS, WANTED, ledger.books()) == []
    ledger.verbs["tamper"]({"how": how})
    assert differences("books", KEYS, WANTED, ledger.books()) == [f"books: {one}." for one in said]
