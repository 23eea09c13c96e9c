"""What goes over the line is that of the vendor's XSDs: batches, sparse changes, and the envelope of every reply."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.errors import O2CError
from app.core.talk import Request, Response
from schemas.commands import Command
from schemas.events import Hint
from schemas.facts import Customer, Party
from schemas.refs import ObjectRef
from tests.platforms.quickbooks_online.rig import ACCOUNT, ADA, Rig, billed, command, credit, invoice, payment, shipment
from tests.platforms.quickbooks_online.xsd import Schema

pytestmark = pytest.mark.sandbox
ENTITIES = ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt", "Payment", "Customer", "Item")
NAMES = {**{entity.lower(): entity for entity in ENTITIES}, "batch": "IntuitBatchRequest"}


@pytest.fixture(scope="module")
def schema(shared: Path) -> Schema:
    return Schema(shared / "specs" / "quickbooks-online")


def asked(schema: Schema, rig: Rig) -> list[str]:
    """Return what in the bodies of the writes so far is not of the XSD."""
    return [text for request in rig.writes for text in of_request(schema, request)]


def of_request(schema: Schema, request: Request) -> list[str]:
    if request.path.endswith("/send"):
        return []
    name = NAMES[request.path.split("/")[4]]
    return list(schema.complaints(name, json.loads(request.content()[0], parse_float=Decimal)))


def answered(schema: Schema, replies: list[Response]) -> list[str]:
    """Return what in the replies so far is not of the XSD."""
    bodies = [json.loads(reply.body, parse_float=Decimal) for reply in replies]
    return [text for body in bodies for text in schema.complaints("IntuitResponse", body)]


def shapes(rig: Rig) -> set[str]:
    """Return what the replies so far were."""
    return {name for reply in rig.replies for name in json.loads(reply.body) if name != "time"}


def change(capability: Any, facts: Any, id_: str, *changes: str, **more: Any) -> Command:
    return command(capability, facts, kind="set", bound_id=id_, changes=changes, presence="present", **more)


async def test_a_batch_and_its_reply_are_of_the_xsd(rig: Rig, schema: Schema) -> None:
    buyers = [Party(name=f"Buyer {n}", email=f"buyer{n}@example.com") for n in range(20)]
    bills = [command("upsert_invoice", invoice(customer=buyer), order=buyer.name) for buyer in buyers]
    bills[3] = command("upsert_invoice", invoice(customer=buyers[3], issue_date=None, note="x"), order="no day")
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({"batch_item_failure": 0.3})
    made = await rig.run(rig.sink.write_many(bills), "bills")
    rig.sandbox.injector.faults = rig.sandbox.faults
    links = [{"invoice": one.id} for one in made if not isinstance(one, O2CError)]
    money = [command("record_payment", payment("4"), links=link, what=link["invoice"]) for link in links]
    await rig.run(rig.sink.write_many(money), "money")
    items = [
        item for request in rig.writes if "batch" in request.path for item in (request.json or {})["BatchItemRequest"]
    ]
    assert {next(iter(item.keys() - {"bId", "operation"})) for item in items} == {"Customer", "Invoice", "Payment"}
    replied = [json.loads(reply.body).get("BatchItemResponse", ()) for reply in rig.replies]
    assert {name for items in replied for item in items for name in item} == {
        "bId",
        "Customer",
        "Invoice",
        "Payment",
        "Fault",
    }
    assert asked(schema, rig) == []
    assert answered(schema, rig.replies) == []


async def test_changes_of_what_is_there_are_of_the_xsd(rig: Rig, schema: Schema) -> None:
    first = await billed(rig)
    link = {"invoice": first.id}
    paid = await rig.write(command("record_payment", payment("5"), links=link))
    dearer = invoice(lines=invoice().lines[:2], payable_amount=Decimal("16.40"), note="y")
    renamed = Customer(party=msgspec.structs.replace(ADA, phone="1", email="a@example.org"))
    customer = rig.row("Invoice", first.id)["CustomerRef"]["value"]
    wanted = [
        change(
            "upsert_invoice", dearer, first.id, "note", "email", "issue_date", "due_date", "lines", "payable_amount"
        ),
        change("record_payment", payment("4"), paid.id, "amount", "date", "reference", links=link),
        change("upsert_customer", renamed, customer, "phone", "name", "email", "address"),
        change("record_shipment", shipment("1Z"), first.id, "tracking", links=link),
        command("add_note", invoice(), links=link, text="hello"),
    ]
    for number, each in enumerate(wanted):
        await rig.run(rig.sink.write(each), f"change-{number}")
    sparse = [request.path.split("/")[4] for request in rig.writes if (request.json or {}).get("sparse")]
    assert sparse == ["invoice", "payment", "customer", "invoice", "invoice"]
    assert asked(schema, rig) == []
    assert answered(schema, rig.replies) == []


async def test_every_kind_of_reply_is_of_the_xsd(rig: Rig, schema: Schema) -> None:
    first = await billed(rig)
    link = {"invoice": first.id}
    paid = await rig.write(command("record_payment", payment("5"), links=link))
    await rig.write(command("issue_credit", credit("2"), links=link))
    refund = await rig.write(command("record_refund", credit("1"), links=link))
    await rig.write(command("reverse_payment", payment("5"), links={"payment": paid.id}))
    await rig.write(command("reverse_refund", credit("1"), links={"payment": refund.id}))
    await rig.write(command("request_payment", invoice(), links=link))
    await rig.run(rig.source.identify())
    await rig.run(rig.source.setup())
    gone = Hint(tenant="acme", object=ObjectRef("books", ACCOUNT, "Invoice", "4711"))
    await rig.run(
        rig.source.read_many(
            [gone, msgspec.structs.replace(gone, object=ObjectRef("books", ACCOUNT, "Invoice", first.id))]
        )
    )
    cursor, more = "", True
    while more:
        page = await rig.run(rig.source.sweep("books", cursor, rig.sandbox.clock()))
        cursor, more = page.cursor, page.more
    await rig.write(command("void_invoice", invoice(), links=link))
    assert shapes(rig) >= {"Invoice", "Payment", "QueryResponse", "CDCResponse", "Fault", "Preferences", "CompanyInfo"}
    assert asked(schema, rig) == []
    assert answered(schema, rig.replies) == []


def test_the_check_sees_what_is_wrong_in_an_envelope(schema: Schema) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("IntuitBatchRequest", {"BatchItemRequest": [{"bId": "1", "operation": "make", "Invoice": {}}]}),
        ("IntuitBatchRequest", {"BatchItemRequest": [{"bId": "1", "Bill0": {}}]}),
        ("IntuitResponse", {"Fault": {"Error": {"Message": "m"}}}),
        ("IntuitResponse", {"Fault": {"errors": []}}),
        ("IntuitResponse", {"QueryResponse": {"Invoice": {"Id": "1"}}}),
        ("IntuitResponse", {"CDCResponse": {"QueryResponse": []}}),
        ("IntuitResponse", {"BatchItemResponse": [{"bId": "1", "Invoice": {"DocNo": "1"}}]}),
        ("IntuitResponse", {"time": "now"}),
    ]
    assert [
        list(schema.complaints(name, body)) for name, body in wrong if not list(schema.complaints(name, body))
    ] == []
