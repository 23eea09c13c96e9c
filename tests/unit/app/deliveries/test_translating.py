import json
from collections.abc import Mapping
from unittest.mock import patch

import pytest
from aiokafka import ConsumerRecord

from app.core.errors import DecodeError
from app.deliveries.record import decoded
from app.deliveries.translating import Meaning, meaning
from schemas.events import Hint
from schemas.refs import ObjectRef
from schemas.trace import new_trace, trace_id
from tests.made_up_deliveries import NOW, order, record, served


def _means(found: ConsumerRecord) -> Meaning:
    delivery = decoded(found)
    return meaning(served()[delivery.owner, delivery.name], delivery)


def _event(said: Mapping[str, object]) -> bytes:
    return json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": said}}).encode()


INVOICE = _event({"object": "invoice", "id": "in_1", "currency": "eur", "status": "paid"})


def test_a_thin_platform_gives_hints_and_no_observation() -> None:
    said = _means(record(INVOICE, b"acme/pay"))
    assert (said.outcome, said.events) == ("accepted", ())
    assert [hint.object.id for hint in said.hints] == ["in_1"]


def test_a_delivery_hints_once_at_each_object_and_apart_at_what_was_merged() -> None:
    address = served()["acme", "crm"]
    ref, other = (ObjectRef("crm", "4711", "deals", id_) for id_ in ("1", "2"))
    hints = [
        Hint(tenant="acme", object=ref, reason="deal.creation"),
        Hint(tenant="acme", object=ref, reason="object.associationChange"),
        Hint(tenant="acme", object=ref, reason="merged_into:2"),
        Hint(tenant="acme", object=other, reason="deal.merge"),
    ]
    (crm,) = address.sources
    with patch.object(crm, "to_events", return_value=[]), patch.object(crm, "hints", return_value=hints):
        said = meaning(address, decoded(record(b"[]", b"acme/crm")))
    assert [(hint.object.id, hint.reason) for hint in said.hints] == [
        ("1", "object.associationChange"),
        ("1", "merged_into:2"),
        ("2", "deal.merge"),
    ]


def test_what_nobody_can_read_says_why() -> None:
    said = _means(record(b"not json", b"acme/pay"))
    assert (said.outcome, "JSON" in said.unreadable) == ("unreadable", True)


def test_a_shape_that_nobody_expected_is_unreadable_and_quotes_nothing() -> None:
    said = _means(record(b'{"id": "evt_1", "data": "Ada Canary"}', b"acme/pay"))
    assert (said.outcome, bool(said.unreadable), "Ada" in said.unreadable) == ("unreadable", True, False)


def test_what_comes_with_one_delivery_has_one_trace_and_the_time_of_receipt() -> None:
    (hint,) = _means(record(INVOICE, b"acme/pay")).hints
    assert (bool(trace_id(hint.trace)), hint.told_at) == (True, NOW)
    assert _means(record(INVOICE, b"acme/pay")).hints == (hint,), "the same whenever it is read again"
    assert _means(record(INVOICE, b"acme/pay", offset=1)).hints[0].trace != hint.trace
    theirs = new_trace()
    assert _means(record(INVOICE, b"acme/pay", traceparent=theirs)).hints[0].trace == theirs
    assert trace_id(_means(record(INVOICE, b"acme/pay", traceparent="rubbish")).hints[0].trace)


def test_a_complete_record_is_an_observation() -> None:
    (event, *_) = _means(record(order(1))).events
    assert (event.object.id, event.told_at) == ("1", NOW)


def test_a_record_that_is_no_delivery_is_said_to_be_none() -> None:
    with pytest.raises(DecodeError):
        decoded(record(b"{}", b"\xff"))


@pytest.mark.parametrize(
    "amount", ["NaN", "N_aN", " sNaN", "-Infinity", "1e9_9", "\uff11e\uff19\uff19", "9_" * 31 + "9"]
)
def test_what_is_no_amount_is_unreadable_however_it_is_written(amount: str) -> None:
    said = _means(record(order(1, total_price=amount)))
    assert (said.outcome, said.events) == ("unreadable", ())
