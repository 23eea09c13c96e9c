"""What QuickBooks Online delivers: signatures, and hints in both forms."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from app.core.errors import DecodeError
from schemas.facts import Customer
from streams.sources.base import Hook
from streams.sources.platforms.quickbooks_online import SOURCE
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.plain import NOW, SOURCE_OF, fault, ref

TOKEN = "b5771f19b12ddb4bcdb9f08bdc50bc63878a"
BODY = b'{"eventNotifications":[{"realmId":"1185883450","dataChangeEvent":{"entities":[{"name":"Customer","id":"1","operation":"Create","lastUpdated":"2015-10-05T14:42:19-0700"}]}}]}'
SIGNATURE = "JC2GUwciPmRBwEO7WvrRmKqu9tGOKL8FFallocTFi8Q="


def test_the_documented_signature_is_genuine() -> None:
    assert SOURCE_OF.verify(Hook(headers={"intuit-signature": SIGNATURE}, body=BODY), ["other", TOKEN], NOW)


@pytest.mark.parametrize("place", [0, 40, len(BODY) - 1])
def test_a_flipped_bit_is_not(place: int) -> None:
    body = bytearray(BODY)
    body[place] ^= 1
    assert not SOURCE_OF.verify(Hook(headers={"intuit-signature": SIGNATURE}, body=bytes(body)), [TOKEN], NOW)
    assert not SOURCE_OF.verify(Hook(headers={"intuit-signature": "ä" + SIGNATURE}, body=BODY), [TOKEN], NOW)


def test_a_delivery_names_its_realms_and_hints_only_at_ours() -> None:
    event = {
        "intuitentityid": "9",
        "type": "qbo.salesreceipt.voided.v1",
        "time": "2025-09-10T21:31:25.179851517Z",
        "data": {},
    }
    body = json.dumps([{**event, "intuitaccountid": "310687"}, {**event, "intuitaccountid": "4711"}]).encode()
    assert SOURCE.accounts(Hook(body=body)) == {"310687", "4711"}
    (found,) = SOURCE_OF.hints(Hook(body=body))
    assert (found.object, found.reason) == (ref("SalesReceipt", "9"), "salesreceipt.void")
    assert found.hinted_at == datetime(2025, 9, 10, 21, 31, 25, 179851, tzinfo=UTC)


def test_an_unknown_verb_still_means_read_it_again() -> None:
    body = b'[{"type":"qbo.creditmemo.polished.v1","intuitentityid":"5","intuitaccountid":"310687"}]'
    (found,) = SOURCE_OF.hints(Hook(body=body))
    assert (found.object.type, found.hinted_at) == ("CreditMemo", None)


def test_a_merge_hints_at_both_customers_and_the_gone_one_says_where_it_went() -> None:
    entity = {
        "name": "Customer",
        "id": "2",
        "operation": "Merge",
        "deletedId": "1",
        "lastUpdated": "2026-05-05T09:08:55.000Z",
    }
    body = json.dumps(
        {"eventNotifications": [{"realmId": "310687", "dataChangeEvent": {"entities": [entity]}}]}
    ).encode()
    kept, gone = SOURCE_OF.hints(Hook(body=body))
    assert (kept.object.id, gone.object.id) == ("2", "1")
    _, (event,) = answer(SOURCE_OF.read(gone), fault("610"))
    assert event.presence == "deleted"
    assert isinstance(event.facts, Customer)
    assert event.facts.merged_into == "2"


def test_strange_bodies_are_decode_errors() -> None:
    for body in (
        b"",
        b"{}",
        b"[1]",
        b'{"eventNotifications":[{}]}',
        b'[{"type":"x"}]',
        b'[{"type":"qbo.a.b.v1","time":"no","intuitaccountid":"1","intuitentityid":"1"}]',
    ):
        with pytest.raises(DecodeError):
            SOURCE_OF.hints(Hook(body=body))
