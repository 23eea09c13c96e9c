import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from unittest.mock import patch

import pytest

from app.gateway.intake import Endpoint, _translate, receive, secrets_of, stamped
from schemas.connection import Connection
from schemas.events import Hint
from schemas.refs import ObjectRef
from schemas.trace import new_trace, trace_id
from streams.sources.base import Hook
from streams.sources.platforms.hubspot import HubspotSource
from streams.sources.platforms.shopify.source import ShopifySource
from streams.sources.platforms.stripe import StripeSource

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "whsec_made_up"
ENDPOINT = Endpoint(
    source=StripeSource(Connection(name="pay", tenant="acme", platform="stripe", account="acct_1")),
    secrets=(SECRET,),
)


def _signed(body: bytes, secret: str = SECRET) -> Hook:
    stamp = str(int(NOW.timestamp()))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return Hook(body=body, headers={"stripe-signature": f"t={stamp},v1={digest}"})


def _event(record: Mapping[str, object]) -> bytes:
    return json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": record}}).encode()


def test_a_thin_platform_gives_hints_and_no_observation() -> None:
    record = {"object": "invoice", "id": "in_1", "currency": "eur", "status": "paid"}
    intake = receive([ENDPOINT], _signed(_event(record)), NOW)
    assert (intake.outcome, intake.events) == ("accepted", ())
    assert [hint.object.id for hint in intake.hints] == ["in_1"]


def test_a_delivery_hints_once_at_each_object_and_apart_at_what_was_merged() -> None:
    crm = HubspotSource(Connection(name="crm", tenant="acme", platform="hubspot", account="4711"))
    ref, other = (ObjectRef("crm", "4711", "deals", id_) for id_ in ("1", "2"))
    hints = [
        Hint(tenant="acme", object=ref, reason="deal.creation"),
        Hint(tenant="acme", object=ref, reason="object.associationChange"),
        Hint(tenant="acme", object=ref, reason="merged_into:2"),
        Hint(tenant="acme", object=other, reason="deal.merge"),
    ]
    with patch.object(crm, "to_events", return_value=[]), patch.object(crm, "hints", return_value=hints):
        intake = _translate([crm], Hook(body=b"[]", headers={}))
    assert [(hint.object.id, hint.reason) for hint in intake.hints] == [
        ("1", "object.associationChange"),
        ("1", "merged_into:2"),
        ("2", "deal.merge"),
    ]


def test_a_wrong_signature_is_refused_before_the_body_is_looked_at() -> None:
    intake = receive([ENDPOINT], _signed(b"not json", "whsec_wrong"), NOW)
    assert (intake.outcome, intake.reply.status, intake.unreadable) == ("refused", 400, "")


def test_signed_rubbish_goes_to_dead_letters_and_is_acknowledged() -> None:
    intake = receive([ENDPOINT], _signed(b"not json"), NOW)
    assert (intake.outcome, intake.reply.status) == ("unreadable", 200)
    assert intake.unreadable


def test_the_previous_secret_still_verifies_during_rotation() -> None:
    assert secrets_of({"webhook_secret": "new", "webhook_secret_previous": "old"}, "webhook_secret") == (
        "new",
        "old",
    )


def test_what_comes_with_one_delivery_has_one_trace_and_the_time_of_receipt() -> None:
    hook = _signed(_event({"object": "invoice", "id": "in_1", "currency": "eur", "status": "paid"}))
    intake = stamped(receive([ENDPOINT], hook, NOW), hook, NOW)
    assert trace_id(intake.trace)
    assert {(hint.trace, hint.told_at) for hint in intake.hints} == {(intake.trace, NOW)}
    theirs = new_trace()
    traced = Hook(body=hook.body, headers={**hook.headers, "traceparent": theirs})
    assert stamped(receive([ENDPOINT], traced, NOW), traced, NOW).trace == theirs


@pytest.mark.parametrize(
    "amount", ["NaN", "N_aN", " sNaN", "-Infinity", "1e9_9", "\uff11e\uff19\uff19", "9_" * 31 + "9"]
)
def test_what_is_no_amount_is_unreadable_however_it_is_written(amount: str) -> None:
    shop = ShopifySource(Connection(name="shop", tenant="acme", platform="shopify", account="a.myshopify.com"))
    body = json.dumps({"id": 1, "line_items": [], "total_price": amount}).encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    hook = Hook(body=body, headers={"x-shopify-topic": "orders/updated", "x-shopify-hmac-sha256": signature})
    intake = receive([Endpoint(source=shop, secrets=(SECRET,))], hook, NOW)
    assert (intake.outcome, intake.events) == ("unreadable", ())
