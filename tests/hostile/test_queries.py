"""Every request of every platform with hostile values in it has the shape of the same request with plain ones.

A value may change values alone: no path segment, parameter, key, filter or GraphQL document. Which requests there are is
told by the platforms' own talks, answered as a platform answers that has nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app import platforms
from app.core.errors import O2CError
from app.core.mistakes import OVER_DATA
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Hint
from schemas.facts import Address, Credit, Customer, Facts, Invoice, Line, Order, Party, Payment, Shipment
from schemas.refs import ObjectRef, mark_of
from tests.hostile.cases import MADE_UP, load

SLUGS = tuple(slug for slug in platforms.slugs() if slug != "external")
PLAIN = "Azplain"
HOSTILE = [
    "' OR 1=1 --", "\\' or", '" or ""=="', '") OR Name!=("', "%", "a\0b", "\\", "\\\\", "a\nb", "a\r\nX-A: b", "../../x",
    "x/../../y", "?a=b", "#x", "&a=b", "a;b", "{account}", "{ shop { id } }", '"}){id}}', "\u2028", "' AND Id > '", "%27", "$where",
    *(case.body.decode() for case in load("strings", MADE_UP)),
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text("'\\\"%,;/?#&={}()[]\0\n\r ab", max_size=12))
EMPTY = {
    "data": [], "has_more": False, "results": [], "QueryResponse": {}, "Contacts": [], "Invoices": [], "Payments": [],
    "CreditNotes": [], "Overpayments": [], "HistoryRecords": [],
}  # fmt: skip
_NOTHING = Response(status=200, headers={"content-type": "application/json"}, body=msgspec.json.encode(EMPTY))
_GRAPH = {"customerByIdentifier": None, "orders": {"nodes": []}, "order": None, "node": None, "nodes": []}
_NO_GRAPH = Response(status=200, body=msgspec.json.encode({"data": _GRAPH}))
_LITERAL = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_MANY = re.compile(r"\?(?:,\?)+")
_QUERIES = {"query", "where", "q"}
DAY, NOON = date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC)


def _connection(slug: str) -> Connection:
    accounts = {"sales": "200", "payments": "090", "rounding": "860", "shipping": "200"}
    options = {"po_property": "reference", "reference_field": "1"}
    return Connection(
        name=slug, tenant="acme", platform=slug, account="1", accounts=accounts, taxes={"20": "T", "0": "N"}, options=options
    )  # fmt: skip


def _facts(text: str) -> dict[str, Facts]:
    address = Address(line1=text, line2=text, city=text, region=text, postcode=text, country="DE")
    party = Party(name=f"Ada {text}", email=f"{text}@example.com", phone=text, tax_id=text, address=address)
    line = Line(
        id=text, sku=text, name=text, unit_price=Decimal(10), net_amount=Decimal(10), tax_amount=Decimal(2), tax_rate=Decimal(20)
    )  # fmt: skip
    total: dict[str, Any] = {
        "currency": "EUR", "customer": party, "lines": (line,), "payable_amount": Decimal(12), "tax_amount": Decimal(2),
        "note": text, "po_number": text,
    }  # fmt: skip
    credit: dict[str, Any] = {
        "amount": Decimal(12), "tax_amount": Decimal(2), "currency": "EUR", "lines": (line,), "date": DAY, "reason": text,
    }  # fmt: skip
    order = Order(number=text, placed_at=NOON, headline="open", **total)
    invoice = Invoice(reference=text, issue_date=DAY, due_date=DAY, **total)
    payment = Payment(amount=Decimal(12), currency="EUR", paid_at=NOON, date=DAY, reference=text, method=text)
    back = Credit(**credit)
    return {
        "upsert_customer": Customer(party=party), "upsert_order": order, "set_status": order, "add_note": order,
        "upsert_invoice": invoice, "void_invoice": invoice, "request_payment": invoice,
        "upsert_sales_receipt": msgspec.structs.replace(invoice, document="sales_receipt"),
        "record_payment": payment, "reverse_payment": payment, "issue_credit": back, "void_credit": back, "apply_credit": back,
        "record_refund": Credit(document="refund", reference=text, **credit),
        "reverse_refund": Credit(document="refund", reference=text, **credit),
        "record_shipment": Shipment(carrier=text, tracking_numbers=(text,), shipped_at=NOON),
    }  # fmt: skip


def _commands(slug: str, text: str) -> Iterator[Command]:
    links = dict.fromkeys(("order", "invoice", "payment", "credit"), text)
    for capability in platforms.load(slug).platform.capabilities:
        for bound in ("", text):
            yield Command(
                id="1" * 32, kind="set" if bound else "create", tenant="acme", connection=slug, account="1",
                capability=capability, order="0" * 32, entity="e", write="w", canonical="c", mark=mark_of("0" * 32, "1" * 32),
                facts=_facts(text)[capability], bound_id=bound, links=links, text=text, status="cancelled",
                changes=("note", "po_number", "email"), fields=dict.fromkeys(("note", "po_number", "email"), text),
            )  # fmt: skip


_CARRIERS = {"Parcel": "Invoice:"}
"""What comes before the id of an object that is a part of another one."""


def _talks(slug: str, text: str) -> Iterator[tuple[str, Talk[Any]]]:
    """Yield everything that a platform can be asked and told, with *text* wherever there is text."""
    loaded, connection = platforms.load(slug), _connection(slug)
    sink, source = loaded.sink(connection), loaded.source(connection)
    for command in _commands(slug, text):
        name = f"{command.capability}{' bound' if command.bound_id else ''}"
        yield f"write {name}", sink.write(command)
        yield f"probe {name}", sink.probe(command)
        yield f"reread {name}", sink.reread(command)
        if command.capability in loaded.sink.batch and not command.bound_id:
            yield f"write many {name}", sink.write_many([command, msgspec.structs.replace(command, id="2" * 32)])
    for type_ in loaded.platform.objects:
        carrier = _CARRIERS.get(type_, "")
        hints = [Hint(tenant="acme", object=ObjectRef(slug, "1", type_, carrier + one)) for one in (text, text + "2")]
        yield f"read {type_}", source.read(hints[0])
        yield f"read many {type_}", source.read_many(hints)


def _requests(talk: Talk[Any]) -> list[Request]:
    """Return the requests of *talk* up to its end, answered by a platform that has nothing."""
    found: list[Request] = []
    with contextlib.suppress(StopIteration, O2CError, *OVER_DATA):
        request = next(talk)
        while len(found) < 12:
            found.append(request)
            request = talk.send(_NO_GRAPH if "graphql" in request.path else _NOTHING)
    talk.close()
    return found


def _shape(request: Request, text: str) -> object:
    path = request.path.replace(quote(text, safe=""), "?")
    params = {name: _query(value) if name in _QUERIES else "?" for name, value in request.params.items()}
    form = sorted(request.form or {})
    headers = sorted(request.headers)
    body = _query((request.body or b"").decode()) if "text" in request.headers.get("Content-Type", "") else ""
    return (request.method, path, params, form, headers, body, _keys(request.json), request.mutates, request.key_in)


def _query(text: str) -> str:
    """Return a query with its literals as a reader of the language takes them."""
    return _MANY.sub("?", _LITERAL.sub("?", text))


def _keys(value: Any) -> object:
    if isinstance(value, dict):
        return {key: part if key == "query" else _keys(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_keys(part) for part in value]
    return type(value).__name__ if not isinstance(value, str) else "?"


def _shapes(slug: str, text: str) -> dict[str, list[object]]:
    text = text.replace("-", "").replace(":", "")  # they stand between the parts of ids of ours
    return {name: [_shape(one, text) for one in _requests(talk)] for name, talk in _talks(slug, text)}


PLAIN_SHAPES = {slug: _shapes(slug, PLAIN) for slug in SLUGS}


@pytest.mark.parametrize("slug", SLUGS)
@given(text=TEXTS)
@example(text="' OR Id > '")
@example(text="x/../../y?a=b#c")
@settings(max_examples=40, deadline=None)
def test_a_value_changes_values_alone(slug: str, text: str) -> None:
    for name, shapes in _shapes(slug, f"Az{text}").items():
        assert shapes == PLAIN_SHAPES[slug][name], name


@pytest.mark.parametrize("slug", SLUGS)
def test_the_plain_requests_are_many_enough_to_say_something(slug: str) -> None:
    shapes = PLAIN_SHAPES[slug]
    assert sum(map(len, shapes.values())) > 20
    assert [name for name, found in shapes.items() if not found] == []
