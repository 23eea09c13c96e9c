"""The recorded samples parse to what their index expects."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import DuplicateError, RateLimited
from app.core.talk import Response
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.facts import Credit, Invoice, Line, Payment
from schemas.platforms.quickbooks_online.faults import batch_outcomes
from sinks.platforms.quickbooks_online import SINK, bodies
from streams.sources.base import Hook
from streams.sources.platforms.quickbooks_online import SOURCE
from streams.sources.platforms.quickbooks_online.notices import notices
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.rig import Rig, command


def connection(account: str = "310687") -> Connection:
    return Connection(name="books", tenant="acme", platform="quickbooks_online", account=account)


@pytest.fixture
def samples(shared: Path) -> Path:
    return shared / "samples" / "quickbooks-online"


def expected(samples: Path, name: str) -> dict[str, Any]:
    index = json.loads((samples / "index.json").read_bytes())
    found: dict[str, Any] = next(row["expect"] for row in index if row["file"] == name)
    return found


def parsed(samples: Path, name: str, type_: str) -> list[ChangeEvent]:
    record = json.loads((samples / name).read_bytes(), parse_float=Decimal)
    return SOURCE(connection()).parse(type_, record)


def invoice_of(event: ChangeEvent) -> dict[str, Any]:
    facts = event.facts
    assert isinstance(facts, Invoice)
    linked = [(anchor.ref.type, anchor.ref.id) for anchor in event.anchors]
    return {
        "invoice_id": event.object.id,
        "doc_number": facts.number,
        "status": facts.status,
        "total": f"{facts.payable_amount:.2f}",
        "balance": f"{facts.amount_due:.2f}",
        "paid": f"{facts.paid_amount:.2f}",
        "tax_total": f"{facts.tax_amount:.2f}",
        "currency": facts.currency,
        "customer_id": facts.customer.id if facts.customer else "",
        "sync_token": str(event.version.native),
        "due_date": str(facts.due_date),
        "estimate_id": next((id_ for kind, id_ in linked if kind == "Estimate"), ""),
        "payment_ids": [id_ for kind, id_ in linked if kind == "Payment"],
    }


@pytest.mark.parametrize("name", ["invoice_create_response.json", "invoice_get_response.json"])
def test_invoice_samples(samples: Path, name: str) -> None:
    (event,) = parsed(samples, name, "invoice")
    shown, want = invoice_of(event), expected(samples, name)
    assert {key: shown[key] for key in want} == want


def test_invoice_page_sample(samples: Path) -> None:
    shown = [invoice_of(event) for event in parsed(samples, "invoice_query_page.json", "invoice")]
    want = expected(samples, "invoice_query_page.json")["records"]
    assert [{key: row[key] for key in wanted} for row, wanted in zip(shown, want, strict=True)] == want


def test_payment_page_sample(samples: Path) -> None:
    shown = []
    for event in parsed(samples, "payment_query_page.json", "payment"):
        assert isinstance(event.facts, Payment)
        applied = [{"invoice_id": part.id, "amount": f"{part.amount:.2f}"} for part in event.facts.allocations]
        shown.append({"payment_id": event.object.id, "amount": f"{event.facts.amount:.2f}", "applied_to": applied})
        assert [anchor.ref.type for anchor in event.anchors] == ["Invoice"]
    assert shown == expected(samples, "payment_query_page.json")["records"]


def test_credit_memo_sample(samples: Path) -> None:
    (event,) = parsed(samples, "credit_memo_create_response.json", "credit")
    assert isinstance(event.facts, Credit)
    assert event.facts.remaining_amount is not None
    shown = {
        "credit_id": event.object.id,
        "total": f"{event.facts.amount:.2f}",
        "remaining": f"{event.facts.remaining_amount:.2f}",
    }
    assert shown == expected(samples, "credit_memo_create_response.json")


@pytest.mark.parametrize("name", ["webhook_legacy_customer.json", "webhook_cloudevents_account.json"])
def test_webhook_samples(samples: Path, name: str) -> None:
    want = expected(samples, name)
    hook = Hook(body=(samples / name).read_bytes())
    assert SOURCE.accounts(hook) == {want["realm"]}
    (hint,) = SOURCE(connection(want["realm"])).hints(hook)
    assert (hint.object.type.lower(), hint.object.id) == (want["entity"], want["id"])
    assert hint.reason == f"{want['entity']}.{want['operation']}"
    assert hint.hinted_at is not None
    assert hint.hinted_at.isoformat().replace("+00:00", "Z") == want["at"]
    (notice,) = notices(hook.body)
    assert notice.event_id == want.get("event_id", "")


def test_error_samples_in_xml_are_classified(samples: Path) -> None:
    sink = SINK(connection())
    throttled = sink.classify(
        Response(status=429, body=(samples / "too_many_requests_error.xml").read_bytes()), mutating=True
    )
    assert isinstance(throttled, RateLimited)
    taken = sink.classify(
        Response(status=400, body=(samples / "customer_duplicate_error.xml").read_bytes()), mutating=True
    )
    assert isinstance(taken, DuplicateError)


def test_the_smallest_invoice_that_we_send_holds_all_of_the_sample(samples: Path) -> None:
    sample = json.loads((samples / "invoice_create_request.json").read_bytes(), parse_float=Decimal)
    want = expected(samples, "invoice_create_request.json")
    amount = Decimal(want["line_total"])
    line = Line(sku="thing", unit_price=amount, net_amount=amount)
    bill = Invoice(currency="USD", payable_amount=amount, lines=(line,), issue_date=date(2024, 1, 15))
    body = bodies.form(connection(), command("upsert_invoice", bill), bill, want["customer_id"], {"thing": "1"})
    assert holds(body, sample)


@pytest.mark.sandbox
async def test_the_sandbox_takes_the_sample_requests(rig: Rig, samples: Path) -> None:
    rig.sandbox.company.write("Customer", {"DisplayName": "Ada"})
    create = json.loads((samples / "invoice_create_request.json").read_bytes(), parse_float=Decimal)
    made = rig.sandbox.company.write("Invoice", create)
    want = expected(samples, "invoice_create_request.json")
    assert (made["CustomerRef"]["value"], f"{made['TotalAmt']:.2f}") == (want["customer_id"], want["line_total"])
    update = json.loads((samples / "invoice_sparse_update_request.json").read_bytes())
    known = {"Id": made["Id"], "SyncToken": made["SyncToken"]}
    changed = rig.sandbox.company.write("Invoice", {**update, **known})
    assert (changed["PrivateNote"], changed["TotalAmt"]) == (update["PrivateNote"], 100)


def test_a_change_that_we_send_has_the_form_of_the_sample(samples: Path) -> None:
    want = expected(samples, "invoice_sparse_update_request.json")
    update = json.loads((samples / "invoice_sparse_update_request.json").read_bytes())
    there = {"Id": want["invoice_id"], "SyncToken": want["sync_token"], "CustomerRef": {"value": "1"}}
    asked = command("add_note", Invoice(currency="USD"), links={"invoice": want["invoice_id"]}, text="a note")
    replies = [Response(status=200, body=json.dumps({"Invoice": row}).encode()) for row in (there, there)]
    requests, _ = answer(SINK(connection()).write(asked), *replies)
    assert requests[-1].json == {**update, "PrivateNote": "a note", "CustomerRef": {"value": "1"}}


def holds(there: Any, wanted: Any) -> bool:
    """Tell whether *there* says all that *wanted* says."""
    if isinstance(wanted, dict):
        return all(name in there and holds(there[name], value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(there) == len(wanted) and all(map(holds, there, wanted))
    return bool(there == wanted)


def test_every_sample_is_held_to_what_its_index_expects(samples: Path) -> None:
    index = json.loads((samples / "index.json").read_bytes())
    named = Path(__file__).read_text(encoding="utf-8")
    assert [row["file"] for row in index if f'"{row["file"]}"' not in named] == []


def test_batch_sample_in_xml_tells_items_apart(samples: Path) -> None:
    outcomes = batch_outcomes((samples / "batch_response.xml").read_bytes())
    want = expected(samples, "batch_response.xml")
    faults = {id_: list(outcome.codes) for id_, outcome in outcomes.items() if outcome.codes}
    assert faults == want["faults"]
    for id_, wanted in want["ok"].items():
        assert {"entity": outcomes[id_].entity, "id": outcomes[id_].id} == wanted
