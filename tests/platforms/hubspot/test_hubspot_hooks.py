"""HubSpot's deliveries: signatures, and which records they hint at."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import DecodeError
from schemas.refs import ObjectRef
from streams.sources.base import Hook
from streams.sources.platforms.hubspot import HubspotSource
from tests.platforms.hubspot.plain import NOW, PORTAL, expected, source_of

SECRET = "made-up-secret"


def _hook(*events: dict[str, Any], **headers: str) -> Hook:
    rows = [{"portalId": int(PORTAL), "occurredAt": 1782371972793, **event} for event in events]
    return Hook(url="https://hooks.example.com/hooks/app/hubspot", headers=headers, body=json.dumps(rows).encode())


def _named(source: HubspotSource, *events: dict[str, Any]) -> list[tuple[str, str]]:
    return [(hint.object.type, hint.object.id) for hint in source.hints(_hook(*events))]


# -- signatures --------------------------------------------------------------------------------------------------------


def _signed(hook: Hook, at: datetime, url: str | None = None) -> Hook:
    stamp = str(round(at.timestamp() * 1000))
    message = b"POST" + (url or hook.url).encode() + hook.body + stamp.encode()
    value = base64.b64encode(hmac.new(SECRET.encode(), message, hashlib.sha256).digest()).decode()
    headers = {"x-hubspot-signature-v3": value, "x-hubspot-request-timestamp": stamp}
    return Hook(url=hook.url, headers=headers, body=hook.body)


def test_the_vendors_vectors_verify(shared: Path) -> None:
    vectors = json.loads((shared / "samples/hubspot/signature_vectors.json").read_text())["vectors"]
    for vector in vectors:
        version = vector["version"]
        headers = {"x-hubspot-signature": vector["signature"], "x-hubspot-signature-version": version}
        if version == "v3":
            headers = {
                "x-hubspot-signature-v3": vector["signature"],
                "x-hubspot-request-timestamp": vector["timestamp"],
            }
        now = datetime.fromtimestamp(int(vector.get("timestamp", 0)) / 1000 + 1, UTC)
        hook = Hook(url=vector.get("uri", ""), headers=headers, body=vector["body"].encode())
        source = source_of(legacy_signatures="yes")
        assert source.verify(hook, ["other", vector["secret"]], now), vector["name"]
        assert not source.verify(hook, ["other"], now), vector["name"]
        changed = Hook(url=hook.url, headers=headers, body=hook.body + b" ")
        assert not source.verify(changed, [vector["secret"]], now), vector["name"]


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_that_is_too_old_or_from_the_future_is_refused(minutes: int) -> None:
    hook = _signed(_hook({"subscriptionType": "deal.creation", "objectId": 1}), NOW)
    assert source_of().verify(hook, [SECRET], NOW)
    assert not source_of().verify(hook, [SECRET], NOW + timedelta(minutes=minutes))


def test_only_the_listed_escapes_of_the_address_are_undone() -> None:
    hook = Hook(url="https://h.example.com/a%3Ab%20c?x=%2Fy%3f#top", body=b"[]")
    signed = _signed(hook, NOW, "https://h.example.com/a:b%20c?x=/y?")
    assert source_of().verify(signed, [SECRET], NOW)


def test_old_signatures_count_only_where_the_connection_allows_them() -> None:
    body = b"[]"
    headers = {"x-hubspot-signature": hashlib.sha256(SECRET.encode() + body).hexdigest()}
    hook = Hook(headers=headers, body=body)
    assert not source_of().verify(hook, [SECRET], NOW)
    assert source_of(legacy_signatures="yes").verify(hook, [SECRET], NOW)
    both = Hook(headers={**headers, "x-hubspot-signature-v3": "wrong"}, body=body)
    assert not source_of(legacy_signatures="yes").verify(both, [SECRET], NOW)


def test_a_delivery_without_a_usable_signature_is_refused() -> None:
    assert not source_of(legacy_signatures="yes").verify(Hook(body=b"[]"), [SECRET], NOW)
    odd = {"x-hubspot-signature-v3": "\udcff", "x-hubspot-request-timestamp": str(round(NOW.timestamp() * 1000))}
    assert not source_of().verify(Hook(headers=odd, body=b"[]"), [SECRET], NOW)


# -- hints -------------------------------------------------------------------------------------------------------------


def test_both_names_of_the_type_key_are_read(shared: Path) -> None:
    expect = expected(shared, "webhook_contact_mixed_eventType.json")
    body = (shared / "samples/hubspot/webhook_contact_mixed_eventType.json").read_bytes()
    hints = source_of("33").hints(Hook(body=body))
    assert [hint.reason for hint in hints] == expect["event_types"]
    assert len(hints) == expect["event_count"]
    assert {hint.object.type for hint in hints} == {"contacts"}


def test_a_recorded_stage_change_becomes_one_hint(shared: Path) -> None:
    expect = expected(shared, "webhook_deal_stage_change.json")
    hook = Hook(body=(shared / "samples/hubspot/webhook_deal_stage_change.json").read_bytes())
    (hint,) = source_of(expect["portal_id"]).hints(hook)
    assert hint.object == ObjectRef("crm", expect["portal_id"], "deals", expect["order_id"])
    assert (hint.reason, hint.hinted_at) == (expect["event_type"], datetime.fromisoformat(expect["occurred_at"]))
    assert source_of(expect["portal_id"]).to_events(hook) == []
    assert HubspotSource.accounts(hook) == {expect["portal_id"]}


def test_two_events_of_one_deal_are_one_hint(shared: Path) -> None:
    expect = expected(shared, "webhook_deal_batch_create_amount.json")
    hook = Hook(body=(shared / "samples/hubspot/webhook_deal_batch_create_amount.json").read_bytes())
    hints = source_of().hints(hook)
    assert [hint.object.id for hint in hints] == expect["distinct_order_ids"]
    assert source_of("1").hints(hook) == []


def test_ids_of_64_bits_stay_exact() -> None:
    assert _named(source_of(), {"subscriptionType": "deal.creation", "objectId": 9223372036854775807}) == [
        ("deals", "9223372036854775807")
    ]


def test_every_kind_of_event_names_its_records() -> None:
    source = source_of()
    deal = {"subscriptionType": "deal.merge", "primaryObjectId": 1, "mergedObjectIds": [2, 3], "newObjectId": 4}
    assert _named(source, deal) == [("deals", "1"), ("deals", "4"), ("deals", "2"), ("deals", "3")]
    assert _named(source, {"subscriptionType": "deal.deletion", "objectId": 5, "changeFlag": "DELETED"}) == [
        ("deals", "5")
    ]
    linked = {"subscriptionType": "deal.associationChange", "associationType": "DEAL_TO_CONTACT"}
    assert _named(source, {**linked, "fromObjectId": 6, "toObjectId": 7}) == [("deals", "6"), ("contacts", "7")]
    assert _named(source, {"subscriptionType": "line_item.propertyChange", "objectId": 8}) == [("line_items", "8")]
    assert _named(source, {"subscriptionType": "contact.privacyDeletion", "objectId": 9}) == [("contacts", "9")]
    assert _named(source, {"subscriptionType": "deal.restore", "objectId": 10}) == [("deals", "10")]


def test_a_line_that_is_told_together_with_its_order_needs_no_read_of_its_own() -> None:
    ends = {"subscriptionType": "line_item.associationChange", "fromObjectId": 1, "toObjectId": 2}
    assert _named(source_of(), {**ends, "associationType": "LINE_ITEM_TO_DEAL"}) == [("deals", "2")]
    assert _named(source_of(), {**ends, "associationType": "LINE_ITEM_TO_INVOICE"}) == [("invoices", "2")]
    elsewhere = source_of(order_object="orders")
    assert _named(elsewhere, {**ends, "associationType": "LINE_ITEM_TO_DEAL"}) == [("line_items", "1")]


def test_generic_events_are_known_by_their_type_id() -> None:
    event = {"subscriptionType": "object.propertyChange", "objectId": 1, "propertyName": "hs_invoice_status"}
    assert _named(source_of(), {**event, "objectTypeId": "0-53"}) == [("invoices", "1")]
    assert _named(source_of(order_object="orders"), {**event, "objectTypeId": "0-123"}) == [("orders", "1")]
    assert _named(source_of(), {**event, "objectTypeId": "0-123"}) == []
    assert _named(source_of(), {**event, "objectTypeId": "2-999"}) == []
    ends = {"fromObjectTypeId": "0-101", "toObjectTypeId": "0-53", "fromObjectId": 1, "toObjectId": 2}
    assert _named(source_of(), {"subscriptionType": "object.associationChange", **ends}) == [
        ("commerce_payments", "1"),
        ("invoices", "2"),
    ]


def test_events_of_other_things_are_ignored() -> None:
    assert _named(source_of(), {"subscriptionType": "conversation.newMessage", "objectId": 1}) == []
    assert _named(source_of(), {"subscriptionType": "ticket.creation", "objectId": 1}) == []


def test_our_own_echo_is_read_last() -> None:
    own = {"subscriptionType": "deal.creation", "objectId": 1, "changeSource": "INTEGRATION", "sourceId": "39522895"}
    other = {**own, "objectId": 2, "sourceId": "1"}
    priorities = [hint.priority for hint in source_of(app_id="39522895").hints(_hook(own, other))]
    assert priorities == [2, 1]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"id": "7", "properties": {"dealname": "D"}}, ("deals", "7")),
        ({"portalId": int(PORTAL), "dealId": 7, "properties": {"dealname": {"value": "D"}}}, ("deals", "7")),
        ({"objectId": 7, "objectTypeId": "0-1"}, ("contacts", "7")),
        ({"vid": 7, "properties": {}}, ("contacts", "7")),
    ],
)
def test_a_workflow_posts_the_record_itself(body: dict[str, Any], named: tuple[str, str]) -> None:
    (hint,) = source_of().hints(Hook(body=json.dumps(body).encode()))
    assert (hint.object.type, hint.object.id) == named


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"[" * 100_000])
def test_unreadable_bytes_are_named_as_such(body: bytes) -> None:
    with pytest.raises(DecodeError):
        source_of().hints(Hook(body=body))
