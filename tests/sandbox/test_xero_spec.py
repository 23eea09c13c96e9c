"""A day's work with the simulated Xero: every request of ours and every reply fits the vendor's OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from openapi_schema_validator import OAS30Validator

from app.core.talk import Request, Response
from schemas.events import Hint
from schemas.facts import Credit, Customer, Party, Payment, Shipment
from schemas.refs import ObjectRef
from tests.platforms.xero.company import INVOICE, TENANT, Company, command, opened

pytestmark = pytest.mark.sandbox


class Spec:
    """The vendor's document: which operation a request is, and what it and its reply may hold."""

    def __init__(self, path: Path) -> None:
        self.document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        self.strict = {**self.document, "components": _closed(self.document["components"])}

    def operation(self, request: Request) -> dict[str, Any]:
        for template, methods in self.document["paths"].items():
            pattern = re.sub(r"\{\w+\}", "[^/]+", template)
            if re.fullmatch(pattern, request.path) and request.method.lower() in methods:
                found: dict[str, Any] = methods[request.method.lower()]
                return {**found, "parameters": [*found.get("parameters", []), *methods.get("parameters", [])]}
        raise AssertionError(f"{request.method} {request.path} is no operation")

    def resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            found: Any = self.document
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            part = found
        return part

    def check_request(self, request: Request) -> None:
        operation = self.operation(request)
        parameters = [self.resolved(part) for part in operation["parameters"]]
        query = {part["name"]: part["schema"] for part in parameters if part["in"] == "query"}
        headers = {part["name"].lower() for part in parameters if part["in"] == "header"} | {"accept"}
        assert set(request.params) <= set(query), (request.path, set(request.params) - set(query))
        for name, value in request.params.items():
            if query[name]["type"] == "integer":
                assert value.isdigit(), name
            if query[name]["type"] == "boolean":
                assert value in {"true", "false"}, name
        assert {name.lower() for name in request.headers} <= headers
        assert "xero-tenant-id" in {name.lower() for name in request.headers}
        if request.key_in:
            assert request.key_in.removeprefix("header:").lower() in headers
        if request.json is not None:
            self.check(self.resolved(operation["requestBody"])["content"], request.content()[0], self.strict)

    def check_reply(self, request: Request, reply: Response) -> None:
        answer = self.operation(request)["responses"].get(str(reply.status))
        if reply.status == 404:
            return
        assert answer is not None, (request.method, request.path, reply.status)
        if content := self.resolved(answer).get("content"):
            self.check(content, reply.body, self.document)

    def check(self, content: Mapping[str, Any], body: bytes, document: Mapping[str, Any]) -> None:
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        errors = list(OAS30Validator(schema).iter_errors(msgspec.json.decode(body)))
        assert not errors, [(list(error.absolute_path), error.message[:200]) for error in errors[:3]]


def _closed(part: Any) -> Any:
    """Return schemas in which an unknown field is an error: a typing error must not pass as an extension."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    found = {name: _closed(item) for name, item in part.items()}
    return (
        {**found, "additionalProperties": False} if found.get("type") == "object" and "properties" in found else found
    )


@pytest.fixture(scope="module")
def spec(shared: Path) -> Spec:
    return Spec(shared / "specs" / "xero" / "xero_accounting.yaml")


async def _work(company: Company) -> None:
    """Do everything once: bill, pay, take back, credit, refund, ship, note, void, fail, read and sweep."""
    bo = msgspec.structs.replace(INVOICE, customer=Party(name="Bo"), lines=())
    invoice, other = await company.write("upsert_invoice", INVOICE), await company.write("upsert_invoice", bo, n=2)
    links = {"invoice": invoice.id}
    changes = ("currency", "due_date", "issue_date", "lines", "payable_amount", "po_number")
    await company.write("upsert_invoice", INVOICE, n=3, bound_id=invoice.id, changes=changes)
    await company.write("upsert_invoice", INVOICE, n=4, presence="unknown")
    part = Payment(amount=Decimal(5), currency="EUR", date=date(2026, 5, 2), reference="ch_1")
    paid = await company.write("record_payment", part, n=5, links=links)
    await company.write("reverse_payment", part, n=6, links={"payment": paid.id})
    much = msgspec.structs.replace(part, amount=Decimal(20))
    extra = await company.write("record_payment", much, n=7, links={"invoice": other.id})
    back = Credit(amount=Decimal(4), currency="EUR", date=date(2026, 5, 2), reason="Broken")
    await company.write("issue_credit", back, n=8, links=links)
    note = await company.write("issue_credit", back, n=9, links={"invoice": other.id})
    refund = await company.write("record_refund", back, n=10, links={"credit": note.id})
    parcel = await company.write(
        "record_shipment", Shipment(carrier="UPS", tracking_numbers=("1Z",)), n=11, links=links
    )
    await company.write("add_note", INVOICE, n=12, links=links, text="Call first")
    await company.write("request_payment", INVOICE, n=13, links=links)
    contact = await company.write("upsert_customer", Customer(party=Party(name="Cy", email="cy@example.com")), n=14)
    await company.write("upsert_customer", Customer(party=Party(name="Cy King")), n=15, bound_id=contact.id)
    ended = await company.write("upsert_invoice", INVOICE, n=16)
    await company.write("void_invoice", INVOICE, n=17, links={"invoice": ended.id})
    company.sandbox.verbs["set_lock_date"]({"date": "2026-05-01"})
    await company.talk(
        company.sink.write_many([command("upsert_invoice", INVOICE, n=18), command("upsert_invoice", bo, n=19)])
    )
    await company.talk(
        company.sink.write_many([command("record_payment", part, n=20 + n, links=links) for n in range(2)])
    )
    for capability in ("upsert_invoice", "record_payment", "issue_credit", "record_shipment"):
        await company.talk(company.sink.probe(command(capability, part, n=1, links=links)))
    company.sandbox.verbs["set_lock_date"]({})
    await company.write("reverse_refund", back, n=30, links={"payment": refund.id})
    later = await company.write("upsert_invoice", bo, n=31)
    await company.write("apply_credit", back, n=32, links={"credit": note.id, "invoice": later.id})
    settled = await company.write("record_payment", much, n=33, links={"invoice": later.id})
    await company.write("reverse_payment", much, n=34, links={"payment": settled.id})
    used = await company.write("issue_credit", back, n=35, links=links)
    await company.write("record_refund", back, n=36, links={"credit": used.id})  # taken off the invoice first
    await _in_batches(company)
    await company.talk(company.source.setup())
    early: Any = company.sandbox.verbs["type_prepayment"]({"customer": "Dee", "amount": "7", "tax_rate": 20})
    offer: Any = company.sandbox.verbs["type_quote"]({"customer": "Dee", "amount": "7", "tax_rate": 20})
    for type_, id_ in (
        ("invoice", invoice.id), ("payment", paid.id), ("overpayment", extra.also[0].id), ("credit_note", note.id),
        ("refund", refund.id), ("history", parcel.id), ("contact", contact.id), ("prepayment", "gone"),
        ("prepayment", early["id"]), ("overpayment", settled.also[0].id), ("quote", offer["id"]),
    ):  # fmt: skip
        await company.read(type_, id_)
    hints = [Hint(tenant="acme", object=ObjectRef("books", TENANT, "invoice", one.id)) for one in (invoice, other)]
    await company.talk(company.source.read_many(hints))
    for name in (*company.source.sweeps(), "quotes"):
        page = await company.talk(company.source.sweep(name, "", datetime(2026, 5, 2, tzinfo=UTC)))
        await company.talk(company.source.sweep(name, page.cursor, datetime(2026, 5, 2, tzinfo=UTC)))
    await company.talk(company.source.identify())


async def _in_batches(company: Company) -> None:
    """Make buyers together, and book money that no invoice waits for."""
    buyers = [Party(name=f"B{n}", email=f"b{n}@example.com") for n in range(3)]
    bills = [msgspec.structs.replace(INVOICE, customer=buyer) for buyer in buyers]
    made = [command("upsert_invoice", bill, n=40 + n) for n, bill in enumerate(bills)]
    await company.talk(company.sink.write_many(made))
    kept = [Payment(amount=Decimal(2), currency="EUR", customer=buyer) for buyer in buyers]
    await company.talk(
        company.sink.write_many([command("record_payment", one, n=50 + n) for n, one in enumerate(kept)])
    )
    await company.write("record_payment", kept[0], n=60)
    found = [row["id"] for row in company.books("customer")[:2]]
    hints = [Hint(tenant="acme", object=ObjectRef("books", TENANT, "contact", id_)) for id_ in found]
    await company.talk(company.source.read_many(hints))


def _calls(company: Company) -> set[tuple[str, str]]:
    """Return method and address, ids left out, of all that was asked."""
    one = re.compile(r"/[0-9a-f]{8}-[0-9a-f-]{27}")
    return {(request.method, one.sub("/*", request.path)) for request, _ in company.exchanges}


async def test_every_request_and_every_reply_fits_the_published_interface(spec: Spec) -> None:
    async with opened() as company:
        await _work(company)
        assert len(company.exchanges) > 60
        assert _calls(company) >= {
            ("GET", "/Accounts"), ("GET", "/TaxRates"), ("GET", "/Prepayments/*"), ("PUT", "/BankTransactions"),
            ("GET", "/Quotes"), ("GET", "/Quotes/*"),
            ("PUT", "/CreditNotes/*/Allocations"), ("DELETE", "/CreditNotes/*/Allocations/*"),
        }  # fmt: skip
        assert any(len(request.json.get("Contacts", ())) > 1 for request, _ in company.exchanges if request.json)
        for request, reply in company.exchanges:
            spec.check_request(request)
            spec.check_reply(request, reply)


async def test_a_typing_error_would_be_found(spec: Spec) -> None:
    request = Request(
        method="PUT", path="/Invoices", headers={"xero-tenant-id": TENANT}, json={"Invoices": [{"Kind": "ACCREC"}]}
    )
    with pytest.raises(AssertionError):
        spec.check_request(request)
    with pytest.raises(AssertionError):
        spec.check_request(msgspec.structs.replace(request, json=None, params={"pages": "1"}))
    with pytest.raises(AssertionError):
        spec.check_reply(request, Response(status=200, body=b'{"Invoices": [{"Total": "1.00"}]}'))
