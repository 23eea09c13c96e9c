"""What is found wrong with an order before anything is posted, word for word: people act on it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Facts, Invoice, Line, Order, Payment
from schemas.findings import Finding
from schemas.refs import order_key
from schemas.state import Observation, OrderState
from streams.order.derive.checks import check, rounding
from streams.order.world import World
from tests.unit.streams.order.sample import CONNECTIONS, FLOW, WORLD
from tests.unit.streams.order.states import look, mark, record, ref, state

MUG = Line(net_amount=Decimal(20), tax_amount=Decimal(4))


def order(**changes: Any) -> Order:
    values = {"currency": "EUR", "payable_amount": Decimal(24), "tax_amount": Decimal(4), "lines": (MUG,)}
    return Order(**{**values, **changes})


def found(known: OrderState, facts: Order | None = None, world: World = WORLD) -> list[Finding]:
    facts = facts or order()
    return list(check(known, world, look(facts), facts, FLOW))


def test_an_order_in_order_has_no_findings() -> None:
    assert found(state(look(order()))) == []


def test_a_deleted_key_giver_is_told() -> None:
    giver = look(order(), presence="deleted")
    assert list(check(state(giver), WORLD, giver, order(), FLOW)) == [
        Finding("order_deleted", "warn", "shop@s/order/1 was deleted there; nothing is created anew."),
    ]


def test_a_status_word_that_nobody_mapped_stops_the_order() -> None:
    known = [look(facts, "books") for facts in (order(), order(stage="open"))]
    odd = look(Invoice(currency="EUR", stage="odd"), "books")
    assert found(state(known[0], known[1], odd)) == [
        Finding(
            "unmapped_status",
            "block",
            "Ledgerr shows 'odd', which is not mapped.",
            "books@b/invoice/1",
            'add "odd" to the statuses of the connection books',
        )
    ]


@pytest.mark.parametrize("mapped", [{"invoice:odd": "open"}, {"odd": "open"}])
def test_a_connection_may_map_a_word_by_itself(mapped: dict[str, str]) -> None:
    books = msgspec.structs.replace(CONNECTIONS["books"], statuses=mapped)
    facts = msgspec.structs.replace(WORLD.facts, connections={**CONNECTIONS, "books": books})
    world = msgspec.structs.replace(WORLD, facts=facts)
    assert found(state(look(Invoice(currency="EUR", stage="odd"), "books")), world=world) == []


@pytest.mark.parametrize(
    ("facts", "system"),
    [
        (Payment(amount=Decimal(1), currency="EUR", stage="odd"), "books"),
        (Order(currency="EUR", stage="odd"), "nowhere"),
        (None, "books"),
    ],
)
def test_only_orders_and_documents_of_known_systems_have_words_to_map(facts: Facts | None, system: str) -> None:
    odd = look(Invoice(currency="EUR", stage="odd"), "books", "z")
    assert [one.code for one in found(state(look(facts, system), odd))] == ["unmapped_status"]
    assert found(state(look(facts, system))) == []


def _marked(id_: str, **changes: Any) -> Observation:
    return look(Invoice(currency="EUR"), "books", id_, mirror_of=mark(), **changes)


def test_a_copy_of_our_document_stops_the_order() -> None:
    bound = record("books|document", ref("books", "invoice", "1"))
    assert found(state(bound, _marked("1"), _marked("2"))) == [
        Finding(
            "copy",
            "block",
            "books@b/invoice/2 carries the mark of another document of ours.",
            "books@b/invoice/2",
            "remove the mark from the copy, or delete the copy",
        )
    ]


@pytest.mark.parametrize(("tax", "severity"), [(Decimal(4), "block"), (None, "warn")])
def test_lines_that_do_not_add_up_stop_an_order_that_knows_its_tax(tax: Decimal | None, severity: Any) -> None:
    for total in ("24.06", "23.94"):
        assert found(state(), order(payable_amount=Decimal(total), tax_amount=tax)) == [
            Finding(
                "totals_differ",
                severity,
                f"Lines add up to 24, the total is {total}.",
                "",
                "correct the order, or raise rounding_cap",
            )
        ]


@pytest.mark.parametrize(("total", "currency"), [("24.001", "EUR"), ("100.5", "JPY"), ("0.30000000000000004", "EUR")])
def test_a_total_that_nobody_can_pay_stops_the_order(total: str, currency: str) -> None:
    message = f"The total {total} is finer than {currency} allows."
    facts = order(payable_amount=Decimal(total), currency=currency, lines=())
    assert found(state(), facts) == [Finding("totals_differ", "block", message, "", "correct the order")]
    assert found(state(), order(payable_amount=Decimal("1.234"), currency="KWD", lines=())) == []


@pytest.mark.parametrize(("total", "off"), [("24.05", "0.05"), ("23.95", "-0.05"), ("24.01", "0.01")])
def test_a_small_gap_is_closed_by_a_rounding_line(total: str, off: str) -> None:
    message = f"A rounding line of {off} closes the gap to {total}."
    facts = order(payable_amount=Decimal(total))
    assert found(state(), facts) == [Finding("rounding", "warn", message)]
    assert rounding(facts) == Decimal(off)


def test_a_gap_below_the_smallest_coin_is_none() -> None:
    facts = order(payable_amount=Decimal("24.004"))
    assert (found(state(), facts), rounding(facts)) == ([], 0)
    yen = order(currency="JPY", payable_amount=Decimal("24.4"))
    assert (found(state(), yen), rounding(yen)) == ([], 0)


@pytest.mark.parametrize("facts", [order(lines=(), payable_amount=Decimal(9)), order(payable_amount=None)])
def test_without_lines_or_a_total_nothing_is_added_up(facts: Order) -> None:
    assert found(state(), facts) == []


def test_a_rounding_line_closes_every_gap_but_an_order_without_lines_has_none() -> None:
    assert rounding(order(lines=(), payable_amount=Decimal(9))) == 0
    assert rounding(order(payable_amount=None)) == -24
    assert rounding(order(lines=(MUG, MUG))) == -24


def test_a_document_in_another_currency_is_told() -> None:
    dollars = {"currency": "USD"}
    bill, note = look(Invoice(**dollars), "books"), look(Credit(amount=Decimal(1), **dollars), "books")
    no_matter = [
        look(Payment(amount=Decimal(1), **dollars), "books", "a"),
        look(Invoice(**dollars), "books", "b", presence="deleted"),
        look(None, "books", "c"),
    ]
    assert found(state(*no_matter, bill, note)) == [
        Finding(
            "currency_differs",
            "warn",
            f"{one.object.key} is in USD, the order in EUR.",
            one.object.key,
        )
        for one in (bill, note)
    ]


def test_an_order_that_others_were_merged_into_waits_until_they_have_handed_over() -> None:
    merged = order(merged_from=("2", "3"))
    giver = look(merged)
    known = state(giver, aliases=(order_key("acme", ref("shop", "order", "2")),))
    message = "shop@s/order/3 was merged into this order, which waits until its order has handed over."
    assert list(check(known, WORLD, giver, merged, FLOW)) == [
        Finding("merging", "block", message, "shop@s/order/3"),
    ]
