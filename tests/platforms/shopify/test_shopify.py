"""Shopify: translations, deliveries as hints, reads, and the layers of errors."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import (
    AuthError,
    ConflictError,
    DecodeError,
    DuplicateError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.talk import Response
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Credit, Customer, Order, Payment
from schemas.refs import ObjectRef
from streams.sources.platforms.shopify import ShopifySource
from tests.platforms.conversation import answer
from tests.platforms.shopify.plain import DOMAIN, SINK, SOURCE, hook_of

MARK = "o2c1:" + "a" * 32 + ":" + "b" * 12


def _order(**changes: Any) -> dict[str, Any]:
    line = {"id": 11, "sku": "MUG", "title": "Mug", "quantity": 3, "current_quantity": 3, "price": "10.00"}
    taxed = {**line, "tax_lines": [{"rate": 0.2, "price": "6.00"}], "discount_allocations": []}
    return {
        "id": 100,
        "name": "#1001",
        "currency": "EUR",
        "financial_status": "pending",
        "fulfillment_status": None,
        "taxes_included": False,
        "created_at": "2026-11-22T12:00:00+01:00",
        "updated_at": "2026-11-22T12:00:00+01:00",
        "total_price": "36.00",
        "total_tax": "6.00",
        "line_items": [taxed],
        "shipping_lines": [],
        "fulfillments": [],
        "refunds": [],
        "metafields": [],
        **changes,
    }


def _events(body: Any, topic: str = "orders/updated") -> list[ChangeEvent]:
    return SOURCE.to_events(hook_of(topic, body))


def _facts(**changes: Any) -> Order:
    found = _events(_order(**changes))[0].facts
    assert isinstance(found, Order)
    return found


# ------------------------------------------------------------------------------------------------ translations


def test_an_order_is_translated_line_by_line() -> None:
    event = _events(_order(source_identifier=MARK))[0]
    facts = event.facts
    assert isinstance(facts, Order)
    assert event.mirror_of == MARK
    assert event.version.native == int(datetime(2026, 11, 22, 11, tzinfo=UTC).timestamp())
    assert event.object == ObjectRef("shop", DOMAIN, "order", "100")
    assert (facts.payable_amount, facts.tax_amount, facts.net_amount) == (Decimal(36), Decimal(6), Decimal(30))
    line = facts.lines[0]
    assert (line.quantity, line.unit_price, line.net_amount, line.tax_amount) == (3, 10, 30, 6)
    assert line.tax_rate == 20


def test_prices_with_tax_become_net_lines() -> None:
    taxed = {"id": 1, "title": "Mug", "quantity": 3, "price": "12.00", "tax_lines": [{"rate": 0.2, "price": "6.00"}]}
    facts = _facts(taxes_included=True, line_items=[taxed])
    assert (facts.lines[0].net_amount, facts.lines[0].tax_amount, facts.lines[0].unit_price) == (30, 6, 10)


def test_shipping_discounts_and_tips_are_lines_that_add_up() -> None:
    line = {
        "id": 1, "title": "Mug", "quantity": 2, "price": "10.00", "discount_allocations": [{"amount": "1.50"}],
        "tax_lines": [{"rate": 0.1, "price": "1.85"}],
    }  # fmt: skip
    shipping = {"id": 2, "title": "Post", "price": "4.90", "tax_lines": [{"rate": 0.1, "price": "0.49"}]}
    facts = _facts(line_items=[line], shipping_lines=[shipping], total_tip_received="2.00", total_price="30.74",
                   original_total_duties_set={"shop_money": {"amount": "3.00"}})  # fmt: skip
    assert [one.kind for one in facts.lines] == ["goods", "shipping", "fee", "fee"]
    assert sum(one.net_amount + one.tax_amount for one in facts.lines) == facts.payable_amount


def test_a_refund_is_a_credit_and_does_not_lower_the_order() -> None:
    line = {**_order()["line_items"][0], "current_quantity": 2}
    back = {"id": 7, "created_at": "2026-11-22T13:00:00+01:00", "note": "broken", "transactions": [
        {"id": 8, "kind": "refund", "status": "success", "amount": "12.00", "parent_id": 5},
    ], "refund_line_items": [{"line_item_id": 11, "quantity": 1, "subtotal": 10.0, "total_tax": 2.0}]}  # fmt: skip
    order, refund = _events(_order(line_items=[line], refunds=[back], current_total_price="24.00"))
    assert isinstance(order.facts, Order)
    assert order.facts.payable_amount == 36
    assert isinstance(refund.facts, Credit)
    assert (refund.facts.document, refund.facts.amount, refund.facts.tax_amount) == ("refund", 12, 2)
    assert refund.facts.allocations[0].id == "5"
    assert refund.anchors[0].ref.id == "100"


def test_an_edit_changes_the_order() -> None:
    line = {**_order()["line_items"][0], "current_quantity": 2}
    facts = _facts(line_items=[line], current_total_price="24.00")
    assert (facts.payable_amount, facts.lines[0].quantity, facts.lines[0].tax_amount) == (24, 2, 4)


def test_a_credit_without_money_is_worth_its_lines() -> None:
    record = {"id": 7, "order_id": 100, "refund_line_items": [
        {"line_item_id": 11, "quantity": 1, "subtotal": "10.00", "total_tax": "2.00"}
    ]}  # fmt: skip
    facts = SOURCE.parse("credit", record)[0].facts
    assert isinstance(facts, Credit)
    assert (facts.document, facts.amount) == ("credit_note", 12)


def test_cancelled_wins_over_every_other_word() -> None:
    facts = _facts(cancelled_at="2026-11-22T13:00:00Z", financial_status="paid")
    assert (facts.status, facts.stage) == ("cancelled", "cancelled")


def test_paid_with_something_outstanding_is_not_believed() -> None:
    assert _facts(financial_status="paid", total_outstanding="10.00").financial is None
    assert _facts(financial_status="paid", total_outstanding="0.00").financial == "paid"


def test_an_unmapped_word_holds_the_order_and_shows() -> None:
    facts = _facts(fulfillment_status="pending")
    assert (facts.status, facts.stage) == ("on_hold", "pending")
    assert (
        "order:pending" in SOURCE.platform.statuses
    )  # financial; the fulfilment word of test notifications is dropped
    assert _facts(financial_status="bartered").stage == "bartered"


def test_ids_beyond_the_exact_range_of_floats_stay_exact() -> None:
    assert _events(_order(id=820982911946154508))[0].object.id == "820982911946154508"


def test_only_payments_that_cannot_be_ours_are_taken_from_the_webhook() -> None:
    record = {"id": 5, "order_id": 100, "kind": "sale", "status": "success", "amount": "36.00", "currency": "EUR",
              "gateway": "card", "authorization": "pi_1", "processed_at": "2026-11-22T23:30:00-04:00",
              "manual_payment_gateway": False}  # fmt: skip
    hook = hook_of("order_transactions/create", record)
    event = SOURCE.to_events(hook)[0]
    facts = event.facts
    assert isinstance(facts, Payment)
    assert (facts.reference, facts.date, event.version.native) == ("pi_1", date(2026, 11, 23), 2)
    assert SOURCE.hints(hook) == []
    manual = hook_of("order_transactions/create", {**record, "manual_payment_gateway": True})
    assert SOURCE.to_events(manual) == []
    assert [hint.object.id for hint in SOURCE.hints(manual)] == ["100"]


def test_a_claim_on_the_order_marks_its_parcel() -> None:
    claim = {"namespace": "o2c", "key": "shipment_" + "b" * 12, "value": json.dumps({"mark": MARK, "tracking": "1Z"})}
    garbage = {"namespace": "o2c", "key": "shipment_x", "value": "{"}
    parcels = [{"id": 9, "status": "success", "tracking_number": "1Z"}, {"id": 10, "status": "success"}]
    body = _order(fulfillments=parcels, metafields=[garbage, claim])
    marks = [one.mirror_of for one in _events(body) if one.object.type == "fulfillment"]
    assert marks == [MARK, None]


def test_without_metafields_the_order_is_read_as_well() -> None:
    body = _order(fulfillments=[{"id": 9, "status": "success"}])
    del body["metafields"]
    assert [one.object.type for one in _events(body)] == ["order", "fulfillment"]
    assert [hint.object.id for hint in SOURCE.hints(hook_of("orders/updated", body))] == ["100"]
    assert SOURCE.hints(hook_of("orders/updated", {**body, "metafields": []})) == []


@pytest.mark.parametrize(
    ("topic", "body", "wanted"),
    [
        ("orders/delete", {"id": 100}, [("order", "100")]),
        ("orders/edited", {"order_edit": {"id": 3, "order_id": 100}}, [("order", "100")]),
        ("refunds/create", {"id": 7, "order_id": 100}, [("order", "100")]),
        ("fulfillments/update", {"id": 9, "order_id": 100}, [("order", "100")]),
        ("fulfillment_events/create", {"id": 9, "order_id": 100}, [("order", "100")]),
        ("returns/update", {"id": 1, "order": {"id": 100}}, [("order", "100")]),
        ("disputes/create", {"id": 1, "order_id": 100}, [("order", "100")]),
        (
            "fulfillment_orders/placed_on_hold",
            {"fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/6", "status": "on_hold"}},
            [("fulfillment_order", "6")],
        ),
        ("customers/delete", {"id": 4}, [("customer", "4")]),
        ("customers/redact", {"shop_id": 1}, []),
        ("shop/redact", {"shop_id": 1}, []),
        ("app/uninstalled", {"id": 1}, []),
        ("draft_orders/update", {"id": 1}, []),
        ("bulk_operations/finish", {"admin_graphql_api_id": "gid://shopify/BulkOperation/1"}, []),
    ],
)
def test_thin_deliveries_are_hints(topic: str, body: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    hook = hook_of(topic, body)
    assert SOURCE.to_events(hook) == []
    assert [(hint.object.type, hint.object.id) for hint in SOURCE.hints(hook)] == wanted


def test_a_merged_customer_says_into_whom() -> None:
    body = {
        "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/1",
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/2",
    }
    event = SOURCE.to_events(
        hook_of("customers/merge", body, **{"x-shopify-triggered-at": "2026-11-22T12:07:59.187561Z"})
    )[0]
    assert isinstance(event.facts, Customer)
    assert (event.object.id, event.facts.status, event.facts.merged_into) == ("2", "merged", "1")


def test_each_event_of_a_delivery_has_its_own_id_that_a_retry_repeats() -> None:
    body = _order(fulfillments=[{"id": 9, "status": "success"}])
    first, second = _events(body), _events(body)
    assert [one.event_id for one in first] == ["w1:order:100", "w1:fulfillment:9"]
    assert first == second


def test_holds_make_every_order_a_hint() -> None:
    careful = ShopifySource(
        Connection(name="s", tenant="t", platform="shopify", account=DOMAIN, options={"holds": "yes"})
    )
    hook = hook_of("orders/updated", _order())
    assert careful.to_events(hook) == []
    assert [hint.object.id for hint in careful.hints(hook)] == ["100"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"id": 1, "line_items": [{"price": "x"}]}'])
def test_unreadable_bytes_are_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        SOURCE.to_events(hook_of("orders/create", body))


# ------------------------------------------------------------------------------------------------------- reads


def _reply(data: Any, **more: Any) -> Response:
    return Response(status=200, body=json.dumps({"data": data, **more}).encode())


def test_a_missing_order_is_deleted() -> None:
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", "100"))
    _, events = answer(SOURCE.read(hint), _reply({"order": None}))
    assert [(event.presence, event.facts) for event in events] == [("deleted", None)]


def test_lines_beyond_the_first_page_are_fetched() -> None:
    def line(id_: int) -> dict[str, Any]:
        price = {"shopMoney": {"amount": "1.00", "currencyCode": "EUR"}}
        return {"id": f"gid://shopify/LineItem/{id_}", "title": "x", "quantity": 1, "originalUnitPriceSet": price}

    whole = {"id": "gid://shopify/Order/100", "name": "#1", "currencyCode": "EUR"}
    first = {"nodes": [line(1)], "pageInfo": {"hasNextPage": True, "endCursor": "c"}}
    rest = {"nodes": [line(2)], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", "100"))
    replies = (_reply({"order": {**whole, "lineItems": first}}), _reply({"order": {"lineItems": rest}}))
    requests, events = answer(SOURCE.read(hint), *replies)
    assert requests[1].json["variables"]["after"] == "c"
    assert isinstance(events[0].facts, Order)
    assert [one.id for one in events[0].facts.lines] == ["1", "2"]


def test_a_throttled_read_says_how_long_to_wait() -> None:
    cost = {
        "requestedQueryCost": 202,
        "throttleStatus": {"maximumAvailable": 2000, "currentlyAvailable": 118, "restoreRate": 100},
    }
    body = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], "extensions": {"cost": cost}}
    with pytest.raises(RateLimited) as caught:
        answer(SOURCE.identify(), Response(status=200, body=json.dumps(body).encode()))
    assert caught.value.retry_after == pytest.approx(0.84)


def test_another_api_version_is_reported() -> None:
    shop = {"myshopifyDomain": DOMAIN, "name": "Example", "currencyCode": "EUR", "ianaTimezone": "Europe/Berlin"}
    served = Response(
        status=200,
        headers={"x-shopify-api-version": "2026-10"},
        body=json.dumps({"data": {"shop": shop}}).encode(),
    )
    _, identity = answer(SOURCE.identify(), served)
    assert identity.account == DOMAIN
    assert "2026-10" in identity.missing[0]


# ------------------------------------------------------------------------------------------------------ errors


def _user_error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"data": {"x": {"userErrors": [{"field": ["id"], "message": message, "code": code}]}}}


def _coded(code: str) -> dict[str, Any]:
    return {"errors": [{"message": "m", "extensions": {"code": code}}]}


@pytest.mark.parametrize(
    ("body", "mutating", "kind"),
    [
        (_coded("THROTTLED"), True, RateLimited),
        (_coded("ACCESS_DENIED"), False, AuthError),
        (_coded("MAX_COST_EXCEEDED"), False, RejectedError),
        (_coded("INTERNAL_SERVER_ERROR"), True, UncertainError),
        (_coded("INTERNAL_SERVER_ERROR"), False, RetryableError),
        ({"errors": "Not Found"}, False, RejectedError),
        (_user_error("Order does not exist"), True, RejectedError),
        (_user_error("taken", "TAKEN"), True, DuplicateError),
        (_user_error("stale", "STALE_OBJECT"), True, ConflictError),
        (_user_error("Order cannot be marked as paid"), True, ConflictError),
        (_user_error("too much", "AMOUNT_EXCEEDS_BALANCE"), True, ConflictError),
        (_user_error("later", "ORDER_IS_TEMPORARILY_UNAVAILABLE"), True, RetryableError),
        ({"unexpected": 1}, True, UncertainError),
    ],
)
def test_the_three_layers_of_errors_are_told_apart(body: dict[str, Any], mutating: bool, kind: type[Exception]) -> None:  # noqa: FBT001
    assert type(SINK.classify(Response(status=200, body=json.dumps(body).encode()), mutating=mutating)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthError), (402, AuthError), (423, AuthError), (429, RateLimited), (503, UncertainError)],
)
def test_statuses_are_classified(status: int, kind: type[Exception]) -> None:
    assert type(SINK.classify(Response(status=status, body=b"{}"), mutating=True)) is kind


@pytest.mark.parametrize(("status", "words"), [(402, "frozen"), (404, "no such shop"), (423, "locked")])
def test_a_shop_that_is_gone_stops_reads_and_writes_alike(status: int, words: str) -> None:
    reply = Response(status=status, body=b"{}")
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", "100"))
    with pytest.raises(AuthError, match=words):
        answer(SOURCE.read(hint), reply)
    with pytest.raises(AuthError, match=words):
        answer(SOURCE.subscriber().found(), reply)
    for mutating in (True, False):
        error = SINK.classify(reply, mutating=mutating)
        assert isinstance(error, AuthError)
        assert words in str(error)


def test_a_proxys_page_with_200_is_uncertain_for_a_write() -> None:
    page = Response(status=200, body=b"<html>")
    assert isinstance(SINK.classify(page, mutating=True), UncertainError)
    assert isinstance(SINK.classify(page, mutating=False), RetryableError)
