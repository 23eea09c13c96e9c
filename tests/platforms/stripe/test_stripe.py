"""Stripe: signature vector, samples, conversations."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.errors import DecodeError, RateLimited, RejectedError, UncertainError
from app.core.talk import Response
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Credit, Invoice, Line, Party, Payment
from schemas.refs import ObjectRef
from sinks.platforms.stripe import StripeSink
from streams.sources.base import Hook
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import answer

CONNECTION = Connection(name="pay", tenant="acme", platform="stripe", account="acct_1")
SOURCE, SINK = StripeSource(CONNECTION), StripeSink(CONNECTION)
BODY = b'{"id":"evt_test_1","object":"event","type":"invoice.paid"}'
SIGNATURE = "t=1700000000,v1=3e3e661992c26c45d9105cbea450acc1a34f8c6dbafbd891f858c6fd9054fe3e"
NOW = datetime.fromtimestamp(1700000010, UTC)
MARK = "o2c1:" + "a" * 32 + ":" + "b" * 12


def _hook(body: bytes, signature: str = SIGNATURE) -> Hook:
    return Hook(body=body, headers={"stripe-signature": signature})


def _reply(record: dict[str, Any], status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(record).encode())


def test_the_documented_signature_verifies_and_a_flipped_bit_fails() -> None:
    assert SOURCE.verify(_hook(BODY), ["whsec_test_secret"], NOW)
    assert SOURCE.verify(_hook(BODY), ["whsec_other", "whsec_test_secret"], NOW)
    assert not SOURCE.verify(_hook(BODY[:-1] + b"|"), ["whsec_test_secret"], NOW)
    assert not SOURCE.verify(_hook(BODY), ["whsec_other"], NOW)


def test_an_old_delivery_is_refused() -> None:
    late = datetime.fromtimestamp(1700000301, UTC)
    assert not SOURCE.verify(_hook(BODY), ["whsec_test_secret"], late)
    assert SOURCE.refused(_hook(BODY)).status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"object":"v2.core.event"}', b'{"object":"event","data":{}}'])
def test_what_is_no_snapshot_event_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        SOURCE.hints(_hook(body))


def test_samples_parse_to_their_expect(shared: Path) -> None:
    folder = shared / "samples" / "stripe"
    for entry in json.loads((folder / "index.json").read_text()):
        body, expect = (folder / entry["file"]).read_bytes(), entry["expect"]
        if "event_id" in expect:
            events = SOURCE.to_events(_hook(body))
            assert {event.event_id for event in events} == {expect["event_id"]}
        elif "object_id" in expect:
            events = SOURCE.parse("", json.loads(body, parse_float=Decimal))
        else:
            error = SINK.classify(Response(status=429 if expect["retryable"] else 400, body=body), mutating=True)
            assert isinstance(error, RateLimited if expect["retryable"] else RejectedError)
            continue
        shown = {**_shown(events), "event_type": json.loads(body).get("type"), "event_id": events[0].event_id}
        wanted = {**UNSAID[type(events[0].facts)], **expect}
        assert {name: shown[name] for name in wanted} == {name: _amount(value) for name, value in wanted.items()}
        assert shown["event_type"] in SOURCE.topics() or "event_type" not in expect, "what is understood is asked for"


UNSAID: dict[type, dict[str, Any]] = {
    Invoice: {"paid": "0"},
    Payment: {"canonical_payment": "succeeded"},
    Credit: {"status": "pending"},
}
"""What a sample need not say that it expects."""


def _amount(value: Any) -> Any:
    return Decimal(value) if isinstance(value, str) and value.replace(".", "").isdigit() else value


def _shown(events: list[ChangeEvent]) -> dict[str, Any]:
    """Return what *events* say of the first one's object, in the words of the samples."""
    event, facts = events[0], events[0].facts
    assert isinstance(facts, Invoice | Payment | Credit)
    said: dict[str, Any] = {"object_id": event.object.id, "currency": facts.currency}
    if isinstance(facts, Invoice):
        money: dict[str, Any] = {"total": facts.payable_amount, "paid": facts.paid_amount, "open": facts.amount_due}
        return {**said, **money, "canonical_status": facts.status, "number": facts.number}
    back = sum(one.facts.amount for one in events if isinstance(one.facts, Credit) and one.facts.status == "issued")
    if isinstance(facts, Payment):
        received = facts.amount if facts.status == "succeeded" else 0
        word = facts.status if not back else "refunded" if back >= facts.amount else "partially_refunded"
        money = {"amount": facts.amount, "received": received, "refunded": back}
        return {**said, **money, "canonical_payment": facts.status, "canonical_status": word}
    place = {"invoice_id": facts.allocations[0].id, "dispute_status": facts.stage, "status": facts.status}
    return {**said, **place, "total": facts.amount, "amount": facts.amount}


def test_a_missing_object_reads_as_deleted() -> None:
    hint = Hint(tenant="acme", object=ObjectRef("pay", "acct_1", "invoice", "in_1"))
    requests, events = answer(SOURCE.read(hint), _reply({"error": {"code": "resource_missing"}}, 404))
    assert requests[0].path == "/v1/invoices/in_1"
    assert events[0].presence == "deleted"


def test_a_sweep_hints_at_each_object_once() -> None:
    record = {"object": "invoice", "id": "in_1"}
    rows = [{"id": f"evt_{n}", "type": "invoice.updated", "data": {"object": record}} for n in range(3)]
    _, page = answer(
        SOURCE.sweep("events", "2026-11-01T00:00:00+00:00", NOW), _reply({"data": rows, "has_more": False})
    )
    assert [hint.object.id for hint in page.hints] == ["in_1"]
    assert page.complete_up_to == NOW


def test_the_charge_of_a_payment_is_no_second_payment() -> None:
    charge = {"object": "charge", "id": "ch_1", "amount": 2400, "currency": "eur", "status": "succeeded"}
    paired = {**charge, "payment_intent": "pi_1"}
    event = {"id": "evt_1", "object": "event", "type": "charge.refunded", "data": {"object": paired}}
    hook = _hook(json.dumps(event).encode())
    assert SOURCE.to_events(hook) == []
    assert [(hint.object.type, hint.object.id) for hint in SOURCE.hints(hook)] == [("payment_intent", "pi_1")]
    _, page = answer(SOURCE.sweep("events", "", NOW), _reply({"data": [event], "has_more": False}))
    assert [(hint.object.type, hint.object.id) for hint in page.hints] == [("payment_intent", "pi_1")]
    assert SOURCE.parse("", paired) == []
    assert [event.object.id for event in SOURCE.parse("", charge)] == ["ch_1"]


@pytest.mark.parametrize(
    ("outcome", "status", "amount"),
    [
        ({"amount_guaranteed": 500}, "succeeded", 5),
        ({"amount_failed": 500}, "failed", 5),
        ({"amount_canceled": 500}, "cancelled", 5),
        ({}, "pending", 7),
        ({"amount_guaranteed": 500, "amount_canceled": 200}, "succeeded", 5),
    ],
)
def test_a_payment_record_is_what_its_amounts_say(outcome: dict[str, int], status: str, amount: int) -> None:
    amounts = {
        name: {"currency": "eur", "value": value} for name, value in {"amount_requested": 700, **outcome}.items()
    }
    reference = {"type": "custom", "custom": {"payment_reference": MARK}}
    record = {"object": "payment_record", "id": "pr_1", "created": 1, **amounts, "processor_details": reference}
    (event,) = SOURCE.parse("", record)
    assert isinstance(event.facts, Payment)
    assert (event.facts.status, event.facts.amount, event.facts.currency) == (status, Decimal(amount), "EUR")
    assert (event.facts.reference, event.facts.allocations) == ("pr_1", ()), "our mark is nobody's reference"


def _command(**changes: Any) -> Command:
    invoice = Invoice(
        currency="EUR",
        payable_amount=Decimal("24.00"),
        reference="SO-1",
        customer=Party(name="Ada", email="ada@example.com"),
        lines=(Line(name="Mug", net_amount=Decimal(20), tax_amount=Decimal(4)),),
    )
    values: dict[str, Any] = {
        "id": "f" * 32,
        "kind": "create",
        "tenant": "acme",
        "connection": "pay",
        "account": "acct_1",
        "capability": "upsert_invoice",
        "order": "a" * 32,
        "entity": "invoice:1",
        "write": "w",
        "canonical": "c",
        "mark": MARK,
        "facts": invoice,
    }
    return Command(**{**values, **changes})


def test_an_invoice_is_drafted_filled_and_finalized_without_being_sent() -> None:
    made = {
        "object": "invoice",
        "id": "in_1",
        "currency": "eur",
        "total": 2400,
        "status": "open",
        "metadata": {"o2c": MARK},
    }
    requests, written = answer(
        SINK.write(_command()),
        _reply({"data": [{"object": "customer", "id": "cus_1"}]}),
        _reply({**made, "status": "draft"}),
        _reply(made),
        _reply(made),
    )
    assert [request.step for request in requests if request.mutates] == ["draft", "lines", "finalize"]
    assert requests[1].form is not None
    assert requests[1].form["metadata[o2c]"] == MARK
    assert requests[2].form == {"lines[0][description]": "Mug x 1", "lines[0][amount]": "2400"}
    assert not any("/send" in request.path for request in requests)
    assert (written.id, written.mark, written.complete) == ("in_1", MARK, True)


def test_a_probe_finds_our_mark_on_a_later_page() -> None:
    strangers = {"data": [{"object": "invoice", "id": "in_9"}], "has_more": True}
    ours = {
        "object": "invoice",
        "id": "in_1",
        "currency": "eur",
        "total": 1,
        "status": "draft",
        "metadata": {"o2c": MARK},
    }
    nameless = msgspec.structs.replace(_command(), facts=Invoice(currency="EUR", payable_amount=Decimal(24)))
    requests, written = answer(SINK.probe(nameless), _reply(strangers), _reply({"data": [ours], "has_more": False}))
    assert requests[1].params["starting_after"] == "in_9"
    assert written is not None
    assert not written.complete


def test_a_server_error_on_a_write_is_uncertain() -> None:
    assert isinstance(SINK.classify(Response(status=502, body=b"<html>"), mutating=True), UncertainError)
