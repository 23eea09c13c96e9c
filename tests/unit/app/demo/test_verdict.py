from collections.abc import Mapping
from typing import Any

import pytest

from app.demo.history import Row, generated
from app.demo.verdict import differences, order_key, wanted

KEY = order_key("demo", "shop", "acme", "order", "1")
ROWS = [
    Row("2026-03-01", "SO-1", "order.created", {"total": "120.00"}),
    Row("2026-03-02", "SO-1", "payment.recorded", {"amount": "120.00"}),
]
INVOICE = {
    "kind": "invoice",
    "id": "i1",
    "mark": f"o2c1:{KEY}:{'0' * 12}",
    "total": "120.00",
    "status": "paid",
}
PAYMENT = {"kind": "payment", "id": "p1", "invoice_id": "i1", "amount": "120.00", "status": "paid"}


def _differences(*books: Mapping[str, Any]) -> list[str]:
    return differences("books", {"SO-1": KEY}, wanted(ROWS), books)


def test_equal_books_have_no_differences() -> None:
    assert _differences(INVOICE, PAYMENT) == []


@pytest.mark.parametrize(
    "books",
    [
        ({**INVOICE, "total": "120.01"}, PAYMENT),
        (INVOICE, {**PAYMENT, "amount": "119.99"}),
        (INVOICE,),
        (),
        (INVOICE, {**INVOICE, "id": "i2"}, PAYMENT),
        (INVOICE, PAYMENT, {**PAYMENT, "id": "p2"}),
        (INVOICE, PAYMENT, {**INVOICE, "id": "i3", "mark": f"o2c1:{'9' * 32}:{'0' * 12}"}),
    ],
    ids=[
        "one cent more",
        "one cent less paid",
        "payment removed",
        "all removed",
        "doubled",
        "paid twice",
        "stranger",
    ],
)
def test_every_tampering_is_seen(books: tuple[Mapping[str, Any], ...]) -> None:
    assert _differences(*books)


def test_a_generated_history_repeats_for_a_seed() -> None:
    assert generated(30, 10, seed=7) == generated(30, 10, seed=7)
    assert {row.type for row in generated(200, 20)} >= {
        "order.created",
        "order.refunded",
        "order.canceled",
        "deal.paid",
    }
