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
from msgspec.structs import replace

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


KEY, AT = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "1693657560000"
CALLED = "https://www.example.com/webhook_uri"
CREATED = (
    b'[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,'
    b'"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM",'
    b'"changeFlag":"NEW","appId":54321}]'
)
VECTORS = {
    "v1": (CREATED, "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"),
    "v2": (b'{"example_field":"example_value"}', "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"),
    "v3": (b"{'example_field':'example_value'}", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
}
"""What HubSpot's documents sign, by version: the body and its signature."""


def _vector(version: str) -> Hook:
    body, signature = VECTORS[version]
    headers = {"x-hubspot-signature": signature, "x-hubspot-signature-version": version}
    if version == "v3":
        headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": AT}
    return Hook(url=CALLED, headers=headers, body=body)


def _verified(hook: Hook, *secrets: str) -> bool:
    now = datetime.fromtimestamp(int(AT) / 1000 + 1, UTC)
    return source_of(legacy_signatures="yes").verify(hook, secrets, now)


def _flips(plain: bytes) -> list[bytes]:
    """Return *plain* with each of its bits flipped once."""
    return [
        plain[:place] + bytes([plain[place] ^ 1 << bit]) + plain[place + 1 :]
        for place in range(len(plain))
        for bit in range(8)
    ]


@pytest.mark.parametrize("version", VECTORS)
def test_the_vendors_vectors_verify(version: str) -> None:
    hook = _vector(version)
    assert _verified(hook, "other", KEY)
    assert not _verified(hook, "other")


def test_the_vendors_vectors_are_those_of_the_samples(shared: Path) -> None:
    held = json.loads((shared / "samples/hubspot/signature_vectors.json").read_text())["vectors"]
    assert {one["version"]: (one["body"].encode(), one["signature"]) for one in held} == VECTORS
    assert {one["secret"] for one in held} == {KEY}


@pytest.mark.parametrize("version", VECTORS)
def test_a_flipped_bit_fails(version: str) -> None:
    hook = _vector(version)
    wrong = [replace(hook, body=body) for body in _flips(hook.body)]
    for name, value in hook.headers.items():
        if name != "x-hubspot-signature-version":
            flipped = [text.decode("latin-1") for text in _flips(value.encode())]
            wrong += [replace(hook, headers={**hook.headers, name: text}) for text in flipped]
    if version != "v1":  # which covers the body alone
        wrong += [replace(hook, url=text.decode("latin-1")) for text in _flips(hook.url.encode())]
        wrong += [replace(hook, method=text.decode("latin-1")) for text in _flips(hook.method.encode())]
    assert not [one for one in wrong if _verified(one, KEY)]


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
