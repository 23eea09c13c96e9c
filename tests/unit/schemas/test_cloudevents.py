import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import decode, decode_http, encode, key_of
from schemas.errors import DecodeError
from schemas.events import Anchor, ChangeEvent
from schemas.facts import Invoice, Order
from schemas.projection import digest, project
from schemas.refs import ObjectRef
from schemas.trace import new_trace, trace_id

REF = ObjectRef("shop", "acme", "order", "1001")
EVENT = ChangeEvent(
    tenant="acme", object=REF, facts=Order(currency="EUR", payable_amount=Decimal("12.50")), event_id="e1",
    changed_at=datetime(2026, 3, 1, tzinfo=UTC),
)  # fmt: skip
INVOICE = ChangeEvent(tenant="acme", object=REF, facts=Invoice(currency="EUR", payable_amount=Decimal(1)))


def test_binary_mode_survives_the_round_trip() -> None:
    _, headers, value = encode(EVENT, "order")
    assert decode(headers, value) == EVENT


@given(st.text(min_size=1, max_size=40), st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_any_text_and_amount_survive(text: str, amount: Decimal) -> None:
    event = ChangeEvent(
        tenant=text, object=ObjectRef(text, text, "order", text), facts=Order(currency="EUR", note=text, payable_amount=amount),
        event_id="x", origin="read",
    )  # fmt: skip
    _, headers, value = encode(event, "order")
    assert decode(headers, value) == event


def test_a_redelivery_repeats_the_id() -> None:
    assert encode(INVOICE, "invoice")[1] == encode(INVOICE, "invoice")[1]


def test_money_is_a_decimal_string_on_the_wire() -> None:
    assert json.loads(encode(EVENT, "order")[2])["facts"]["payable_amount"] == "12.50"


def test_the_key_is_the_order_then_the_anchor_then_the_object() -> None:
    anchor = Anchor("object", ObjectRef("books", "b", "invoice", "7"))
    assert key_of(EVENT) == "shop@acme/order/1001"
    assert key_of(ChangeEvent(tenant="t", object=REF, facts=None, anchors=(anchor,))) == "books@b/invoice/7"
    assert key_of(ChangeEvent(tenant="t", object=REF, facts=None, order="abc")) == "abc"


def test_structured_and_batched_mode_are_read() -> None:
    data = json.loads(encode(EVENT, "order")[2])
    envelope = {"specversion": "1.0", "type": "o2c.order.changed.v1", "source": "/x", "id": "e1", "data": data}
    headers = [("content-type", b"application/cloudevents+json; charset=utf-8")]
    assert decode(headers, json.dumps(envelope).encode()) == EVENT
    batch = {"content-type": "application/cloudevents-batch+json"}
    assert decode_http(batch, json.dumps([envelope, envelope]).encode()) == [EVENT, EVENT]


@pytest.mark.parametrize(
    ("type_", "version", "value"),
    [
        (b"o2c.order.changed.v2", b"1.0", b"{}"),
        (b"o2c.order.changed.v1", b"0.3", b"{}"),
        (b"o2c.order.changed.v1", b"1.0", b"{"),
        (b"o2c.order.changed.v1", b"1.0", None),
        (b"o2c.order.changed.v1", b"1.0", b"\xff"),
        (b"o2c.invoice.changed.v1", b"1.0", encode(EVENT, "order")[2]),
        (b"o2c.order.changed.v1", b"1.0", encode(EVENT, "order")[2].replace(b"12.50", b"abc")),
    ],
)
def test_what_breaks_the_contract_is_a_decode_error(type_: bytes, version: bytes, value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        decode([("ce_type", type_), ("ce_specversion", version)], value)


def test_equal_facts_have_equal_projections_whatever_the_number_format() -> None:
    left = Order(currency="EUR", payable_amount=Decimal("12.5"))
    right = Order(currency="EUR", payable_amount=Decimal("12.500"))
    assert project(left) == project(right)
    assert digest(project(left)) == digest(project(right))
    assert "payable_amount" not in project(Order(currency="EUR"))


def test_a_redelivery_on_another_way_repeats_the_id() -> None:
    told = msgspec.structs.replace(INVOICE, trace=new_trace(), told_at=datetime(2026, 3, 2, tzinfo=UTC))
    assert dict(encode(told, "invoice")[1])["ce_id"] == dict(encode(INVOICE, "invoice")[1])["ce_id"]


@pytest.mark.parametrize("name", ["traceparent", "ce_traceparent"])
def test_a_trace_comes_from_the_headers_of_the_record(name: str) -> None:
    _, headers, value = encode(EVENT, "order")
    trace = new_trace()
    assert decode((*headers, (name, trace.encode())), value).trace == trace
    assert decode((*headers, (name, b"x\nforged=1")), value).trace == ""


@pytest.mark.parametrize(
    "text", ["", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"]
)
def test_no_trace_id_comes_from_what_is_no_trace(text: str) -> None:
    assert trace_id(text) == ""


def test_a_new_trace_has_a_trace_id_of_its_own() -> None:
    assert len({trace_id(new_trace()) for _ in range(100)} - {""}) == 100
