"""Shopify's documented signature and samples, read to what is expected of them."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import AuthError, UncertainError
from app.core.talk import Response
from schemas.facts import Credit, Order, Payment, Shipment
from schemas.platforms.shopify import wire
from schemas.platforms.shopify.replies import meaning
from streams.sources.base import Hook
from streams.sources.platforms.shopify import reading
from tests.platforms.shopify.plain import DOMAIN, SINK, SOURCE

NOW = datetime(2026, 11, 22, 12, 8, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------- signature


def test_the_documented_signature_verifies_and_a_flipped_bit_fails() -> None:
    hook = Hook(body=b'{"id":1}', headers={"x-shopify-hmac-sha256": "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="})
    assert SOURCE.verify(hook, ["hush"], NOW)
    assert not SOURCE.verify(Hook(body=b'{"id":0}', headers=hook.headers), ["hush"], NOW)
    assert not SOURCE.verify(hook, ["other"], NOW)


def test_both_secrets_are_good_during_a_rotation() -> None:
    hook = Hook(body=b'{"id":1}', headers={"x-shopify-hmac-sha256": "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="})
    assert SOURCE.verify(hook, ["new", "hush"], NOW)


def test_an_umlaut_in_the_signature_header_is_no_crash() -> None:
    assert not SOURCE.verify(Hook(body=b"{}", headers={"x-shopify-hmac-sha256": "Ü"}), ["hush"], NOW)


# --------------------------------------------------------------------------------------------------- samples


def _sample(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "samples/shopify" / name).read_text(), parse_float=Decimal)
    return found


def _expected(shared: Path, name: str) -> dict[str, Any]:
    rows = json.loads((shared / "samples/shopify/index.json").read_text())
    found: dict[str, Any] = next(row["expect"] for row in rows if row["file"] == name)
    return found


def _agree(shared: Path, name: str, told: dict[str, Any]) -> None:
    """Hold everything that the index expects of a sample to what is *told* of it; an expectation nobody tells fails."""
    expect = _expected(shared, name)
    assert {key: told.get(key, "not judged") for key in expect} == expect


def _delivery(sample: dict[str, Any]) -> Hook:
    headers = {name.lower(): value for name, value in sample["headers"].items()}
    return Hook(body=sample["body_raw"].encode(), headers=headers)


def test_the_fulfilled_order_parses_to_its_expect(shared: Path) -> None:
    name = "webhook_orders_updated_fulfilled.json"
    sample = _sample(shared, name)
    hook = _delivery(sample)
    assert SOURCE.accounts(hook) == {DOMAIN}
    order = next(event for event in SOURCE.to_events(hook) if event.object.type == "order")
    facts = order.facts
    assert isinstance(facts, Order)
    assert sum(line.net_amount + line.tax_amount for line in facts.lines) == facts.payable_amount
    # The subscription of the sample asked for no metafields: whose parcels these are is read as well.
    assert [hint.object.id for hint in SOURCE.hints(hook)] == [order.object.id]
    parcels = [one.facts for one in SOURCE.to_events(hook) if isinstance(one.facts, Shipment)]
    told = {
        "order_id": order.object.id,
        "name": facts.number,
        "financial_status": facts.stage,
        "fulfillment_status": facts.fulfilment,
        "total": str(facts.payable_amount),
        "tax": str(facts.tax_amount),
        "currency": facts.currency,
        "fulfillments": len(parcels),
        "tracking_number": parcels[0].tracking_numbers[0],
        "signature_valid": SOURCE.verify(hook, [sample["client_secret"]], NOW),
    }
    _agree(shared, name, told)


def test_the_test_notification_is_dropped(shared: Path) -> None:
    name = "webhook_test_notification.json"
    hook = _delivery(_sample(shared, name))
    assert SOURCE.to_events(hook) == []
    assert SOURCE.hints(hook) == []
    record = reading.into(reading.body_of(hook), wire.Order)
    told = {
        "order_id": wire.text(record.id),
        "test": record.test,
        "financial_status": record.financial_status,
        "cancelled": record.cancelled_at is not None,
        "total": str(record.total_price),
        "currency": record.currency,
    }
    _agree(shared, name, told)


def test_a_rest_refund_parses_to_its_expect(shared: Path) -> None:
    name = "rest_refund.json"
    (event,) = SOURCE.parse("credit", _sample(shared, name))
    assert event.version.native == 2  # its money moved
    facts = event.facts
    assert isinstance(facts, Credit)
    _agree(shared, name, {"refund_id": event.object.id, "order_id": event.anchors[0].ref.id})
    assert (facts.document, facts.status, facts.amount, facts.currency) == ("refund", "issued", Decimal(209), "USD")
    assert (facts.reason, facts.date, facts.restock) == ("it broke during shipping", date(2016, 6, 20), True)
    assert [(line.id, line.sku, line.quantity, line.tax_rate) for line in facts.lines] == [
        ("703073504", "IPOD2008BLACK", 1, 6), ("466157049", "IPOD2008GREEN", 1, 6)
    ]  # fmt: skip


def test_a_rest_fulfilment_parses_to_its_expect(shared: Path) -> None:
    name = "rest_fulfillment.json"
    (event,) = SOURCE.parse("shipment", _sample(shared, name))
    facts = event.facts
    assert isinstance(facts, Shipment)
    told = {
        "fulfillment_id": event.object.id,
        "order_id": event.anchors[0].ref.id,
        "tracking_number": facts.tracking_numbers[0],
        "status": facts.stage,
    }
    _agree(shared, name, told)
    assert (facts.status, facts.carrier, [(one.line, one.quantity) for one in facts.lines]) == (
        "pending", "null-company", [("466157049", 1)]
    )  # fmt: skip


def test_rest_transactions_parse_to_their_expect(shared: Path) -> None:
    name = "rest_transactions.json"
    events = SOURCE.parse("payment", _sample(shared, name))
    (order,) = {anchor.ref.id for event in events for anchor in event.anchors}
    _agree(shared, name, {"order_id": order})
    facts = events[0].facts
    assert isinstance(facts, Payment)
    assert (facts.status, facts.amount) == ("authorised", Decimal("409.94"))


def test_a_forbidden_answer_leaves_open_whether_the_write_was_made(shared: Path) -> None:
    name = "graphql_access_denied.json"
    recorded = _sample(shared, name)["response"]
    reply = Response(status=recorded["status"], body=json.dumps(recorded["body"]).encode())
    assert isinstance(SINK.classify(reply, mutating=True), UncertainError)  # applied or not: read again
    assert isinstance(SINK.classify(reply, mutating=False), AuthError)
    found = meaning(reply.json())
    told = {
        "http": reply.status,
        "class": {"denied": "permission"}.get(found.verdict),
        "applied": "unknown_refetch" if found.done else "no",
    }
    _agree(shared, name, told)


def test_recorded_answers_are_taken_for_what_they_are(shared: Path) -> None:
    bodies = {}
    for name in ("graphql_order_cancel.json", "graphql_webhook_subscription.json"):
        bodies[name] = _sample(shared, name)["response"]["body"]
        reply = Response(status=200, body=json.dumps(bodies[name]).encode())
        assert SINK.classify(reply, mutating=True) is None
    job = bodies["graphql_order_cancel.json"]["data"]["orderCancel"]["job"]
    _agree(shared, "graphql_order_cancel.json", {"job_id": job["id"], "done": job["done"]})
    made = bodies["graphql_webhook_subscription.json"]["data"]["webhookSubscriptionCreate"]["webhookSubscription"]
    _agree(shared, "graphql_webhook_subscription.json", {"id": made["id"]})


def test_an_expectation_that_nobody_judges_fails(shared: Path) -> None:
    with pytest.raises(AssertionError):
        _agree(shared, "rest_refund.json", {"refund_id": "509562969"})
