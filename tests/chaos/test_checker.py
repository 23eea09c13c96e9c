"""The checker of the kill run finds what it is there to find."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.checker import Verdict, check
from tests.chaos.load import GIVERS, TENANT, Order, order_event, orders, payment_event

LEDGER = "books"
Rows = list[dict[str, Any]]


def mark(order: Order, write: str) -> str:
    return f"o2c1:{order.key}:{write:0<12}"


def invoice(order: Order, version: int, status: str = "paid") -> dict[str, Any]:
    total = f"{order.total(version):.2f}"
    return {"kind": "invoice", "id": f"I{order.number}", "mark": mark(order, "a"), "total": total, "status": status}


def payment(order: Order) -> dict[str, Any]:
    amount = f"{order.last:.2f}"
    return {
        "kind": "payment",
        "id": f"P{order.number}",
        "mark": mark(order, "b"),
        "invoice_id": f"I{order.number}",
        "amount": amount,
        "status": "paid",
    }


class Run:
    """Four orders that went well: one of each kind, as a ledger holds and held them."""

    def __init__(self) -> None:
        self.orders = [order for order in orders(8) if order.ledger == LEDGER]
        self.sent = [event.row for order in self.orders for event in self._events(order)]
        self.books: Rows = [row for order in self.orders for row in (invoice(order, order.versions), payment(order))]
        self.books.append({"kind": "customer", "id": "C1", "customer": "a@books.example", "status": "open"})
        self.history: Rows = [row for order in self.orders for row in self._story(order)]

    def _events(self, order: Order) -> list[Any]:
        versions = [order_event(order, version + 1) for version in range(order.versions)]
        return [*versions, payment_event(order), versions[0]]

    def _story(self, order: Order) -> Rows:
        billed = [invoice(order, version + 1, "invoiced") for version in range(order.versions)]
        return [*billed, payment(order), invoice(order, order.versions)]

    def verdict(self) -> Verdict:
        return check(self.sent, {LEDGER: self.books}, {LEDGER: self.history})

    @property
    def changed(self) -> Order:
        return next(order for order in self.orders if order.versions > 1)


def test_a_run_that_went_well_is_clean() -> None:
    verdict = Run().verdict()
    assert verdict.clean, verdict
    assert verdict.counts["orders"] == 4
    assert verdict.counts["versions"] == 6


def lose_an_invoice(run: Run) -> None:
    del run.books[0]


def lose_a_payment(run: Run) -> None:
    del run.books[1]


def never_arrive(run: Run) -> None:
    run.books = [row for row in run.books if mark(run.orders[0], "")[:37] not in row.get("mark", "")]


def double_an_invoice(run: Run) -> None:
    run.books.append({**run.books[0], "id": "I-again", "mark": mark(run.orders[0], "c")})


def double_a_payment(run: Run) -> None:
    run.books.append({**run.books[1], "id": "P-again"})


def double_and_remove(run: Run) -> None:
    run.history.insert(3, {**run.books[0], "id": "I-gone"})


def double_a_customer(run: Run) -> None:
    run.books.append({**run.books[-1], "id": "C2"})


def falsify_a_cent(run: Run) -> None:
    run.books[0]["total"] = "0.01"


def void_an_invoice(run: Run) -> None:
    run.books[0]["status"] = "void"


def keep_an_old_version(run: Run) -> None:
    order = run.changed
    next(row for row in run.books if row["id"] == f"I{order.number}")["total"] = f"{order.total(1):.2f}"


def go_back_a_version(run: Run) -> None:
    order = run.changed
    after = max(place for place, row in enumerate(run.history) if row["id"] == f"I{order.number}")
    run.history[after:after] = [invoice(order, 2, "invoiced"), invoice(order, 3, "invoiced")]


def pay_before_the_last_version(run: Run) -> None:
    order = run.changed
    paid = run.history.index(payment(order))
    run.history.insert(1 + run.history.index(invoice(order, 1, "invoiced")), run.history.pop(paid))


def book_what_nobody_sent(run: Run) -> None:
    stranger = Order(999, LEDGER, 1, prepaid=False)
    run.books.append(invoice(stranger, 1))


@pytest.mark.parametrize(
    ("falsify", "name"),
    [
        (lose_an_invoice, "lost"),
        (lose_a_payment, "lost"),
        (never_arrive, "lost"),
        (double_an_invoice, "doubled"),
        (double_a_payment, "doubled"),
        (double_and_remove, "doubled"),
        (double_a_customer, "doubled"),
        (falsify_a_cent, "wrong"),
        (void_an_invoice, "wrong"),
        (keep_an_old_version, "wrong"),
        (go_back_a_version, "disorder"),
        (pay_before_the_last_version, "disorder"),
        (book_what_nobody_sent, "strangers"),
    ],
)
def test_what_went_wrong_is_found_under_its_name(falsify: Callable[[Run], None], name: str) -> None:
    run = copy.deepcopy(Run())
    falsify(run)
    verdict = run.verdict()
    assert getattr(verdict, name), verdict


def test_the_load_names_what_the_checker_expects() -> None:
    order = next(iter(orders(1)))
    row = order_event(order, 1).row
    assert (row["tenant"], row["connection"], row["ledger"]) == (TENANT, GIVERS[order.ledger], order.ledger)
    assert len({order.total(version) for version in range(1, 4)}) == 3
