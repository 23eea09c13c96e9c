"""What HubSpot's replies mean, and the values that writes send."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import (
    AuthError,
    ConflictError,
    DuplicateError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.talk import Response
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Invoice, Line, Order, Payment
from schemas.money import rounded
from schemas.platforms.hubspot import PLATFORM
from sinks.platforms.hubspot import HubspotSink, bodies, replies
from tests.platforms.conversation import answer

CONNECTION = Connection(name="crm", tenant="acme", platform="hubspot", account="1")
SINK = HubspotSink(CONNECTION)
MARK = f"o2c1:{'a' * 32}:{'b' * 12}"


def _reply(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status=status, headers=headers, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body", "mutating", "error"),
    [
        (200, {}, True, type(None)),
        (204, {}, True, type(None)),
        (400, {"category": "VALIDATION_ERROR", "message": "no"}, True, RejectedError),
        (400, {"category": "VALIDATION_ERROR", "message": "123 already has that value."}, True, DuplicateError),
        (401, {"category": "EXPIRED_AUTHENTICATION"}, True, AuthError),
        (403, {"category": "MISSING_SCOPES"}, True, RejectedError),
        (403, {"category": "BANNED"}, True, AuthError),
        (404, {"category": "OBJECT_NOT_FOUND"}, True, ConflictError),
        (404, {"category": "OBJECT_NOT_FOUND"}, False, RejectedError),
        (409, {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 1"}, True, DuplicateError),
        (414, {}, False, RejectedError),
        (423, {}, True, RateLimited),
        (429, {"policyName": "TEN_SECONDLY_ROLLING"}, True, RateLimited),
        (477, {}, True, RateLimited),
        (500, {}, False, RetryableError),
        (502, {}, True, UncertainError),
        (524, {}, True, UncertainError),
    ],
)
def test_each_reply_says_what_to_do_next(status: int, body: Any, mutating: bool, error: type) -> None:  # noqa: FBT001
    assert type(SINK.classify(_reply(body, status), mutating=mutating)) is error


def test_waiting_times_are_the_platforms() -> None:
    daily = SINK.classify(_reply({"policyName": "DAILY"}, 429), mutating=True)
    locked = SINK.classify(_reply({}, 423), mutating=True)
    moving = SINK.classify(_reply({}, 477, **{"retry-after": "86400"}), mutating=True)
    assert isinstance(daily, RateLimited)
    assert isinstance(locked, RateLimited)
    assert isinstance(moving, RateLimited)
    assert (daily.retry_after, locked.retry_after, moving.retry_after) == (3600.0, 2.0, 86400.0)


def test_a_page_instead_of_json_is_no_success() -> None:
    page = Response(status=200, headers={"content-type": "text/html"}, body=b"<html>")
    assert isinstance(SINK.classify(page, mutating=True), UncertainError)
    assert isinstance(SINK.classify(page, mutating=False), RetryableError)


def test_a_partial_batch_is_split_by_trace_id(shared: Path) -> None:
    index = json.loads((shared / "samples/hubspot/index.json").read_text())
    expect = next(entry["expect"] for entry in index if entry["file"] == "error_207_batch_partial.json")
    reply = Response(status=207, body=(shared / "samples/hubspot/error_207_batch_partial.json").read_bytes())
    parts = replies.split(reply)
    assert [row["id"] for row in parts.results] == expect["success_ids"]
    assert list(parts.refused) == expect["failed_trace_ids"]
    (error,) = parts.refused.values()
    assert isinstance(error, RetryableError) == expect["retryable"]
    assert isinstance(SINK.classify(reply, mutating=True), RejectedError)


def test_a_partly_refused_batch_is_an_error_and_the_worst_of_it_counts() -> None:
    taken = {"category": "VALIDATION_ERROR", "message": "5 already has that value.", "context": {}}
    broken = {"category": "INTERNAL_ERROR", "message": "internal error", "context": {"objectWriteTraceId": ["t"]}}
    reply = _reply({"results": [{"id": "1"}], "numErrors": 2, "errors": [taken, broken]}, 207)
    assert isinstance(SINK.classify(reply, mutating=True), RetryableError)
    only = _reply({"results": [{"id": "1"}], "numErrors": 1, "errors": [taken]}, 207)
    assert isinstance(SINK.classify(only, mutating=True), DuplicateError)
    assert SINK.classify(only, mutating=False) is None


def test_no_message_of_an_error_holds_the_platforms_text() -> None:
    error = SINK.classify(_reply({"category": "CONFLICT", "message": "ada@example.com exists"}, 409), mutating=True)
    assert "ada@example.com" not in str(error)


@pytest.mark.parametrize(
    ("quantity", "price", "net"),
    [("3", "3.50", "10.00"), ("2", "5.00", "10.00"), ("7", "1.00", "6.99"), ("0", "1.00", "1.00"), ("3", "0", "0.01")],
)
def test_a_line_comes_out_to_the_cent_with_any_discount(quantity: str, price: str, net: str) -> None:
    line = Line(name="Mug", quantity=Decimal(quantity), unit_price=Decimal(price), net_amount=Decimal(net))
    sent = bodies.line(line, "EUR", {})
    assert rounded(Decimal(sent["quantity"]) * Decimal(sent["price"]), "EUR") == Decimal(net)


def test_tax_that_the_portal_has_no_rate_for_is_a_line_of_its_own() -> None:
    mug = Line(name="Mug", net_amount=Decimal(10), tax_amount=Decimal("1.90"), tax_rate=Decimal(19))
    invoice = Invoice(currency="EUR", lines=(mug,), payable_amount=Decimal("11.90"))
    assert [line.net_amount for line in bodies.billed_lines(invoice, {})] == [Decimal(10), Decimal("1.90")]
    assert bodies.billed_lines(invoice, {"19": "88"}) == (mug,)
    assert bodies.line(mug, "EUR", {"19": "88"})["hs_tax_rate_group_id"] == "88"
    bare = Invoice(currency="EUR", payable_amount=Decimal("11.90"))
    assert [line.net_amount for line in bodies.billed_lines(bare, {})] == [Decimal("11.90")]


def test_a_negative_line_is_taken_off_the_dearest_ones() -> None:
    lines = [Line(name=name, net_amount=Decimal(net)) for name, net in (("A", 3), ("B", 10), ("Coupon", -11))]
    assert [(one.name, one.net_amount) for one in bodies.positive(lines)] == [("A", Decimal(2)), ("B", Decimal(0))]
    assert bodies.positive(lines[:2]) == tuple(lines[:2])


def _nets(*wanted: tuple[str, str]) -> list[str]:
    lines = [Line(net_amount=Decimal(net), tax_rate=Decimal(rate)) for net, rate in wanted]
    return [str(one.net_amount) for one in bodies.positive(lines)]


def test_a_negative_line_is_taken_off_what_is_taxed_alike_before_anything_else() -> None:
    assert _nets(("100", "7"), ("50", "19"), ("-10.01", "19")) == ["100", "39.99"]
    assert _nets(("100", "7"), ("50", "19"), ("-60", "19")) == ["90", "0"]
    assert _nets(("100", "7"), ("50", "19"), ("-5", "7"), ("-5", "19"), ("-1", "0")) == ["94", "45"]
    assert _nets(("-10", "7"), ("3", "7"), ("3", "7")) == ["0", "0"]  # a total below zero is nothing that is sold


def _cents(count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-2_000, 5_000), min_size=1, max_size=count)


@given(_cents(8), st.data())
def test_the_sum_of_the_lines_is_kept_to_the_cent_whatever_is_negative(cents: list[int], data: st.DataObject) -> None:
    lines = [
        Line(
            quantity=Decimal(data.draw(st.integers(1, 7))),
            net_amount=Decimal(one) / 100,
            tax_rate=data.draw(st.sampled_from((None, Decimal(7), Decimal(19)))),
        )
        for one in cents
    ]
    rows = [bodies.line(one, "EUR", {}) for one in bodies.positive(lines)]
    billed = sum(rounded(Decimal(row["quantity"]) * Decimal(row["price"]), "EUR") for row in rows)
    assert billed == max(Decimal(0), Decimal(sum(cents)) / 100)
    assert all(Decimal(row["price"]) >= 0 for row in rows)


def test_all_values_are_text_and_empty_ones_are_left_out_of_a_create() -> None:
    order = Order(number="1", currency="EUR", payable_amount=Decimal("1.5"))
    sent = bodies.order(CONNECTION, "deals", order)
    assert sent == {"dealname": "1", "deal_currency_code": "EUR", "amount": "1.50"}
    assert bodies.order(CONNECTION, "deals", order, ("note",)) == {"description": ""}
    payment = bodies.payment(Payment(amount=Decimal(5), currency="JPY"))
    assert payment["hs_initial_amount"] == "5"


def test_our_own_property_is_made_at_the_first_write() -> None:
    order = Order(number="1", currency="EUR", payable_amount=Decimal(1))
    command = Command(
        id="f" * 32,
        kind="create",
        tenant="acme",
        connection="crm",
        account="1",
        capability="upsert_order",
        order="a" * 32,
        entity="e",
        write="w",
        canonical="c",
        mark=MARK,
        facts=order,
    )
    held = {"dealname": "1", "dealstage": "closedwon", "deal_currency_code": "EUR", "o2c_mark": MARK}
    record = {"id": "7", "properties": held}
    requests, written = answer(
        SINK.write(command),
        _reply({"category": "VALIDATION_ERROR", "message": "whatever it says"}, 400),
        _reply({}, 404),
        _reply({"name": "hs_object_id", "groupName": "dealinformation"}),
        _reply({"message": "exists"}, 409),
        _reply(record, 201),
        _reply(record),
    )
    steps = [request.step for request in requests if request.mutates]
    assert steps == ["order", "order-property", "order-again"]
    assert requests[3].json["hasUniqueValue"] is True
    assert (written.id, written.mark) == ("7", MARK)


def test_every_capability_of_the_platform_has_a_method() -> None:
    assert all(callable(getattr(SINK, capability)) for capability in PLATFORM.capabilities)


def test_consent_is_asked_for_whatever_is_read_or_written_and_for_every_property_of_ours(shared: Path) -> None:
    asked = set(PLATFORM.auth.scopes)
    own = {kind for kind in PLATFORM.consistency.mark_field if kind not in {"shipments", "notes"}} | {"contacts"}
    assert {f"crm.schemas.{kind.replace('_', '')}.write" for kind in own} <= asked
    files = {path: json.loads(path.read_text()) for path in (shared / "specs/hubspot").glob("crm-*-v3.json")}
    listed = {
        scope
        for document in files.values()
        for methods in document["paths"].values()
        for one in methods.values()
        if isinstance(one, dict)
        for given in one.get("security", [])
        for scope in given.get("oauth2", [])
    }
    assert asked <= listed
