"""Shopify's documented signature and samples, read to what is expected of them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import UncertainError
from app.core.talk import Response
from schemas.facts import Order, Payment, Shipment
from streams.sources.base import Hook
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


def _delivery(sample: dict[str, Any]) -> Hook:
    headers = {name.lower(): value for name, value in sample["headers"].items()}
    return Hook(body=sample["body_raw"].encode(), headers=headers)


def test_the_fulfilled_order_parses_to_its_expect(shared: Path) -> None:
    name = "webhook_orders_updated_fulfilled.json"
    sample, expect = _sample(shared, name), _expected(shared, name)
    hook = _delivery(sample)
    assert SOURCE.verify(hook, [sample["client_secret"]], NOW) is expect["signature_valid"]
    assert SOURCE.accounts(hook) == {DOMAIN}
    order = next(event for event in SOURCE.to_events(hook) if event.object.type == "order")
    facts = order.facts
    assert isinstance(facts, Order)
    assert (order.object.id, facts.number) == (expect["order_id"], expect["name"])
    assert (facts.stage, facts.fulfilment) == (expect["financial_status"], expect["fulfillment_status"])
    assert (str(facts.payable_amount), str(facts.tax_amount)) == (expect["total"], expect["tax"])
    assert facts.currency == expect["currency"]
    assert sum(line.net_amount + line.tax_amount for line in facts.lines) == facts.payable_amount
    # The subscription of the sample asked for no metafields: whose parcels these are is read as well.
    assert [hint.object.id for hint in SOURCE.hints(hook)] == [expect["order_id"]]
    parcels = [one for one in SOURCE.to_events(hook) if isinstance(one.facts, Shipment)]
    assert len(parcels) == expect["fulfillments"]
    assert expect["tracking_number"] in {
        number for one in parcels if isinstance(one.facts, Shipment) for number in one.facts.tracking_numbers
    }


def test_the_test_notification_is_dropped(shared: Path) -> None:
    name = "webhook_test_notification.json"
    hook = _delivery(_sample(shared, name))
    assert _expected(shared, name)["test"] is True
    assert SOURCE.to_events(hook) == []
    assert SOURCE.hints(hook) == []


@pytest.mark.parametrize(
    ("file", "type_", "id_"),
    [
        ("rest_refund.json", "credit", "refund_id"),
        ("rest_fulfillment.json", "shipment", "fulfillment_id"),
        ("rest_transactions.json", "payment", ""),
    ],
)
def test_rest_records_parse_to_their_expect(shared: Path, file: str, type_: str, id_: str) -> None:
    expect = _expected(shared, file)
    events = SOURCE.parse(type_, _sample(shared, file))
    assert [anchor.ref.id for anchor in events[0].anchors] == [expect["order_id"]]
    assert not id_ or events[0].object.id == expect[id_]
    facts = events[0].facts
    if isinstance(facts, Shipment):
        assert (facts.stage, facts.tracking_numbers) == (expect["status"], (expect["tracking_number"],))
    if isinstance(facts, Payment):
        assert (facts.status, facts.amount) == ("authorised", Decimal("409.94"))


def test_recorded_exchanges_are_classified(shared: Path) -> None:
    denied = _sample(shared, "graphql_access_denied.json")["response"]["body"]
    reply = Response(status=200, body=json.dumps(denied).encode())
    assert isinstance(SINK.classify(reply, mutating=True), UncertainError)  # applied or not: read again
    for name in ("graphql_order_cancel.json", "graphql_webhook_subscription.json"):
        body = _sample(shared, name)["response"]["body"]
        assert SINK.classify(Response(status=200, body=json.dumps(body).encode()), mutating=True) is None
