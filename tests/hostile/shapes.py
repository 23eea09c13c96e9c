"""Cases as what each way takes: hostile values at the places where an order has them."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from tests.hostile.cases import Case

_REF = b'"object":{"connection":"erp","account":"1","type":"order","id":"7"}'
_ENVELOPE = b'{"specversion":"1.0","type":"o2c.order.changed.v1","source":"/acme/erp/1","id":"e-1","data":%s}'
_CONTRACT = {
    b"total": b"payable_amount",
    b"\\u0074otal": b"\\u0070ayable_amount",
    b"issued": b"placed_at",
    b"name": b"note",
}

_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)', re.DOTALL)
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|[0-9]+)')


def with_keys(body: bytes, names: dict[bytes, bytes]) -> bytes:
    """Return *body* with other names for its keys."""
    return _KEY.sub(lambda found: b'"' + names.get(found[1], found[1]) + b'"' + found[2], body)


class Shape(NamedTuple):
    """How a platform shows an order, or the invoice that becomes one, in one record."""

    type: str
    total: bytes
    issued: bytes
    name: bytes
    id: bytes = b"id"
    currency: bytes = b"currency"
    around: bytes = b"{%s}"
    """The record, with %s for what a case says, and %i for its id where that stands apart."""
    within: tuple[tuple[bytes, bytes], ...] = ()
    """Patterns of members that are objects there, and what each becomes."""

    def of(self, body: bytes) -> bytes:
        """Return the record that says what *body* says; what is no object stays as it is."""
        names = {b"total": self.total, b"\\u0074otal": b"\\u00%02x" % self.total[0] + self.total[1:]}
        names |= {b"issued": self.issued, b"name": self.name, b"id": self.id, b"currency": self.currency}
        said, body = body, with_keys(body, names)
        for pattern, becomes in self.within:
            body = re.sub(pattern, becomes, body)
        if not (body.startswith(b"{") and body.endswith(b"}") and len(body) > 2):
            return body
        found = _ID.search(said)
        id_ = found[1] if found else b'"7"'
        return self.around.replace(b"%i", id_ if id_.startswith(b'"') else b'"' + id_ + b'"').replace(b"%s", body[1:-1])


_TEXT = rb'\s*:\s*("(?:[^"\\]|\\.)*")'
_QUOTED_ID = (rb'"(Id|InvoiceID)"\s*:\s*([0-9]+)', rb'"\1":"\2"')
_LINE = b'"Line":[{"Id":"1","Amount":1.00,"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{"Qty":1,"UnitPrice":1.00}}]'
RECORDS = {
    "shopify": Shape("order", b"total_price", b"created_at", b"note"),
    "hubspot": Shape(
        "deals", b"amount", b"createdate", b"description", b"hs_object_id", b"deal_currency_code",
        b'{"id":%i,"properties":{"dealname":"SO-7","dealstage":"closedwon","pipeline":"default",%s}}',
    ),
    "quickbooks_online": Shape(
        "Invoice", b"TotalAmt", b"TxnDate", b"PrivateNote", b"Id", b"CurrencyRef",
        b'{"Invoice":{"SyncToken":"0","DocNumber":"7","CustomerRef":{"value":"1","name":"Ada"},' + _LINE + b",%s}}",
        ((rb'"CurrencyRef"' + _TEXT, rb'"CurrencyRef":{"value":\1}'), _QUOTED_ID),
    ),
    "xero": Shape(
        "invoice", b"Total", b"Date", b"Contact", b"InvoiceID", b"CurrencyCode",
        b'{"Type":"ACCREC","Status":"AUTHORISED","InvoiceNumber":"INV-7","SubTotal":1.00,"TotalTax":0,'
        b'"LineItems":[{"Quantity":1,"UnitAmount":1.00,"LineAmount":1.00}],%s}',
        ((rb'"Contact"' + _TEXT, rb'"Contact":{"ContactID":"c","Name":\1}'), _QUOTED_ID),
    ),
    "stripe": Shape(
        "invoice", b"total", b"created", b"customer_name",
        around=b'{"object":"invoice","status":"open","number":"INV-7","amount_due":100,"amount_paid":0,"lines":{"data":['
        b'{"id":"il_1","amount":100,"quantity":1,"description":"Mug"}]},%s}',
    ),
}  # fmt: skip
"""How each platform shows what a case says."""


def contract(case: Case) -> bytes:
    """Return an order case as the data of a change event: its id is the object's and the order's number."""
    body = with_keys(case.body, _CONTRACT)
    found = _ID.search(body)
    id_ = found[1] if found else b'"7"'
    id_ = id_ if id_.startswith(b'"') else b'"' + id_ + b'"'
    facts = _ID.sub(lambda _: b'"number":' + id_, body, count=1)
    facts = re.sub(rb"\A\{(?=\s*\S)", b'{"type":"order",', facts) if facts.startswith(b"{") else facts
    facts = facts.replace(b'"order",}', b'"order"}')
    ref = _REF.replace(b'"id":"7"', b'"id":' + id_)
    return b'{"tenant":"acme",' + ref + b',"facts":' + facts + b"}"


def envelope(data: bytes) -> bytes:
    """Return *data* in structured mode."""
    return _ENVELOPE % data


def beside(case: Case) -> bytes:
    """Return a good event that carries the bytes of *case* under a key that nobody reads."""
    return envelope(
        b'{"tenant":"acme",' + _REF + b',"facts":{"type":"order","currency":"EUR"},"extra":' + case.body + b"}"
    )


def named(text: str) -> bytes:
    """Return an event that has *text* wherever an order has text, but in its names."""
    line = {"id": "1", "name": text, "sku": text, "tax_code": text}
    party = {"name": text, "email": text, "phone": text, "tax_id": text, "address": {"line1": text, "city": text}}
    facts = {
        "type": "order",
        "currency": "EUR",
        "payable_amount": "1.00",
        "note": text,
        "po_number": text,
        "stage": text,
    }
    ref = {"connection": "erp", "account": "1", "type": "order", "id": "7"}
    return json.dumps(
        {"tenant": "acme", "object": ref, "facts": {**facts, "customer": party, "lines": [line]}}
    ).encode()


def numbered(text: str) -> bytes:
    """Return an event whose id, number and anchor are *text*."""
    ref = {"connection": "erp", "account": "1", "type": "order", "id": text}
    anchor = {"kind": "number", "ref": {"connection": "", "account": "", "type": "number", "id": text}}
    facts = {"type": "order", "currency": "EUR", "number": text}
    return json.dumps({"tenant": "acme", "object": ref, "facts": facts, "anchors": [anchor]}).encode()
