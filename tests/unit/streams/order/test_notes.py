"""Notes: the order's own where a ledger's documents have none, and what became of a document elsewhere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Invoice, Order, Payment
from schemas.flow import Target
from schemas.platform import Effect
from schemas.projection import digest
from schemas.state import Observation, WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.notes import notes
from streams.order.plan.want import Want
from tests.unit.streams.order.sample import KEY, PLATFORMS
from tests.unit.streams.order.states import desk, look, record, ref

BILL, DEAL = ref("books", "invoice", "5"), ref("crm", "order", "7")
ABLE = {**PLATFORMS["crmm"].capabilities, "add_note": Effect.RECORDS}
MUTE = {"upsert_invoice": frozenset(("currency", "payable_amount"))}
COPY = record("crm|order", DEAL, capability="upsert_order")
SENT = record("books|document", BILL)
GIVER = "shop@s/order/1"


def crm(*parts: Any, **changes: Any) -> Desk:
    target = Target(connection="crm", order=True)
    return desk(*parts, **{"target": target, "platform": {"capabilities": ABLE}, **changes})


def books(*parts: Any, shows: Any = None, fields: tuple[str, ...] = ("note",), **changes: Any) -> Desk:
    target = Target(connection="books", document="invoice", fields=fields)
    platform = {"capabilities": ABLE, "shows": MUTE if shows is None else shows}
    values = {"target": target, "platform": platform, "facts": {"note": "ring twice"}, **changes}
    return desk(*parts, **values)


def bill(**changes: Any) -> Observation:
    facts = {"currency": "EUR", "number": "INV-1", "status": "void", **changes}
    return look(Invoice(**facts), "books", "5")


# ---------------------------------------------------------------------------------------- what became of a document
def ended(what: str, name: str = "INV-1") -> Want:
    return Want(
        write=f"crm|note|{digest({'object': BILL.key, 'what': what})}",
        connection="crm",
        capability="add_note",
        kind="append",
        canonical=f"{what} {BILL.key}+{GIVER}",
        entity=f"order:{KEY}",
        facts=Order(number="SO-1", currency="EUR"),
        links={"order": "7"},
        text=f"{name} was {what} in books.",
    )


@pytest.mark.parametrize(
    ("there", "want"),
    [
        (bill(), ended("voided")),
        (bill(status="cancelled"), ended("voided")),
        (msgspec.structs.replace(bill(status="invoiced"), gone=(1, 9)), ended("deleted")),
        (msgspec.structs.replace(bill(), gone=(1, 9)), ended("deleted")),
        (bill(number=""), ended("voided", "5")),
        (Observation(object=BILL, gone=(1, 9)), ended("deleted", "5")),
    ],
)
def test_a_crm_is_told_that_somebody_ended_our_document(there: Observation, want: Want) -> None:
    assert list(notes(crm(COPY, SENT, there))) == [want]


@pytest.mark.parametrize(
    "parts",
    [
        (COPY, SENT, bill(status="invoiced")),
        (COPY, SENT),
        (SENT, bill()),  # no copy that could be told
        (COPY, bill()),  # a person's document, not ours
        (COPY, record("books|document"), bill()),
        (COPY, record("books|payment|x", BILL, capability="record_payment"), bill()),
        (
            COPY,
            record("crm|document", ref("crm", "invoice", "5")),
            look(Invoice(currency="EUR", status="void"), "crm", "5"),
        ),
    ],
)
def test_otherwise_nothing_is_noted(parts: tuple[Any, ...]) -> None:
    assert list(notes(crm(*parts))) == []


def test_money_that_ended_is_no_document_that_ended() -> None:
    void = look(Credit(amount="1", currency="EUR", status="void"), "books", "5")  # type: ignore[arg-type]
    sent = record("books|credit|x", void.object, capability="issue_credit")
    off = look(Payment(amount="1", currency="EUR", status="cancelled"), "books", "6")  # type: ignore[arg-type]
    paid = record("books|payment|x", off.object, capability="record_payment")
    assert list(notes(crm(COPY, sent, void, paid, off))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"platform": {}},
        {"facts": {"status": "cancelled"}},
        {"target": Target(connection="crm", order=True, document="invoice", fields=())},
    ],
)
def test_who_keeps_documents_or_cannot_note_or_knows_of_the_end_is_not_told(changes: dict[str, Any]) -> None:
    assert list(notes(crm(COPY, SENT, bill(), **changes))) == []


def test_documents_are_told_in_the_order_of_their_ids() -> None:
    second = ref("books", "invoice", "4")
    more = (record("books|document|1", second), look(Invoice(currency="EUR", status="void"), "books", "4"))
    texts = [want.text for want in notes(crm(COPY, SENT, bill(), *more))]
    assert texts == ["4 was voided in books.", "INV-1 was voided in books."]


# ------------------------------------------------------------------------------------------------- the order's own
def test_a_ledger_whose_documents_have_no_note_gets_one_beside_it() -> None:
    name = digest({"note": "ring twice"})
    want = Want(
        write=f"books|note|{name}",
        connection="books",
        capability="add_note",
        kind="append",
        canonical=f"note {name}+{GIVER}",
        entity=f"document:{KEY}",
        facts=Invoice(currency="EUR"),
        links={"invoice": "5"},
        text="ring twice",
    )
    assert list(notes(books(SENT))) == [want]


def void(ref_key: str) -> WriteRecord:
    return record(f"books|void|{ref_key}", capability="void_invoice")


@pytest.mark.parametrize(
    ("parts", "changes"),
    [
        ((SENT,), {"facts": {"note": ""}}),
        ((), {}),
        ((SENT, bill()), {}),
        ((SENT, void(BILL.key)), {}),
        ((SENT,), {"fields": ("email",)}),
        ((SENT,), {"platform": {"shows": MUTE}}),
        ((SENT,), {"shows": {"upsert_invoice": frozenset(("note",))}}),
        ((SENT,), {"shows": {}}),  # where nothing is said the document may well have a note
        ((SENT, bill(status="invoiced")), {"target": Target(connection="books", fields=("note",))}),
    ],
)
def test_otherwise_no_note_is_added(parts: tuple[Any, ...], changes: dict[str, Any]) -> None:
    assert list(notes(books(*parts, **changes))) == []


def test_a_connection_may_have_a_field_for_the_note() -> None:
    able = {"capabilities": ABLE, "shows": MUTE, "shows_by_option": {"memo": {"upsert_invoice": frozenset(("note",))}}}
    known = books(SENT, platform=able)
    assert len(list(notes(known))) == 1
    kept = msgspec.structs.replace(known.connection, options={"memo": "1"})
    assert list(notes(msgspec.structs.replace(known, connection=kept))) == []
