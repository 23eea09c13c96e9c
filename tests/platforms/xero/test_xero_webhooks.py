"""Xero's deliveries: signatures, the handshake, and hints."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.core.errors import DecodeError
from streams.sources.base import Hook, Reply
from streams.sources.platforms.xero import XeroSource
from tests.platforms.xero.company import TENANT
from tests.platforms.xero.plain import ITR, KEY, NOW, SIGNATURE, SOURCE, hook_of


def _event(**more: Any) -> dict[str, Any]:
    return {
        "resourceUrl": "https://api.xero.com/api.xro/2.0/Invoices/i1",
        "resourceId": "i1",
        "eventDateUtc": "2026-05-04T01:15:39.902",
        "eventType": "UPDATE",
        "eventCategory": "INVOICE",
        "tenantId": TENANT,
        "tenantType": "ORGANISATION",
        **more,
    }


def _delivery(*events: dict[str, Any]) -> Hook:
    return hook_of(json.dumps({"events": events, "firstEventSequence": 76, "lastEventSequence": 76}).encode())


def test_the_documented_signature_verifies() -> None:
    assert SOURCE.verify(hook_of(), [KEY], NOW)
    assert SOURCE.verify(hook_of(), ["another", KEY], NOW)


def test_a_flipped_bit_anywhere_fails() -> None:
    for position in range(len(ITR)):
        flipped = bytes([*ITR[:position], ITR[position] ^ 1, *ITR[position + 1 :]])
        assert not SOURCE.verify(hook_of(flipped), [KEY], NOW)
    assert not SOURCE.verify(hook_of(signature="r" + SIGNATURE[1:]), [KEY], NOW)
    assert not SOURCE.verify(hook_of(signature=""), [KEY], NOW)
    assert not SOURCE.verify(hook_of(), ["another"], NOW)
    assert not SOURCE.verify(hook_of(), [], NOW)


def test_reserialised_bytes_do_not_verify() -> None:
    assert not SOURCE.verify(hook_of(json.dumps(json.loads(ITR)).encode()), [KEY], NOW)


def test_an_intent_to_receive_is_answered_empty_and_a_wrong_one_is_refused_with_401() -> None:
    assert SOURCE.handshake(hook_of(), [KEY]) == Reply(status=200)
    assert SOURCE.handshake(hook_of(signature="r" + SIGNATURE[1:]), [KEY]) is None
    assert SOURCE.refused(hook_of()) == Reply(status=401)


def test_a_signed_delivery_with_events_is_no_handshake() -> None:
    hook = _delivery(_event())
    signed = Hook(headers={"x-xero-signature": _sign(hook.body)}, body=hook.body)
    assert SOURCE.verify(signed, [KEY], NOW)
    assert SOURCE.handshake(signed, [KEY]) is None
    rubbish = Hook(headers={"x-xero-signature": _sign(b"{")}, body=b"{")
    assert SOURCE.handshake(rubbish, [KEY]) is None


def _sign(body: bytes) -> str:
    return base64.b64encode(hmac.new(KEY.encode(), body, hashlib.sha256).digest()).decode()


def test_every_category_becomes_a_hint_and_nothing_is_an_observation() -> None:
    hook = _delivery(
        _event(),
        _event(eventCategory="CONTACT", resourceId="c1"),
        _event(eventCategory="CREDITNOTE", resourceId="n1", data={"Type": "ACCRECCREDIT", "Status": "DRAFT"}),
        _event(eventCategory="CREDITNOTE", resourceId="n2", data={"Type": "ACCPAYCREDIT", "Status": "DRAFT"}),
        _event(eventCategory="SUBSCRIPTION", resourceId="s1"),
        _event(tenantId="another", resourceId="i2"),
    )
    hints = SOURCE.hints(hook)
    assert [(hint.object.type, hint.object.id) for hint in hints] == [
        ("invoice", "i1"),
        ("contact", "c1"),
        ("credit_note", "n1"),
    ]
    assert hints[0].hinted_at == datetime(2026, 5, 4, 1, 15, 39, 902_000, tzinfo=UTC)
    assert SOURCE.to_events(hook) == []
    assert XeroSource.accounts(hook) == {TENANT, "another"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"events": 1}', b"\xff", b'{"firstEventSequence":0}'])
def test_what_is_no_delivery_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        SOURCE.hints(hook_of(body))


def test_an_unreadable_time_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        SOURCE.hints(_delivery(_event(eventDateUtc="yesterday")))
