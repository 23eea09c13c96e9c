"""Cases as what each way takes: hostile values at the places where an order has them."""

from __future__ import annotations

import json
import re

from tests.hostile.cases import Case

_REF = b'"object":{"connection":"erp","account":"1","type":"order","id":"7"}'
_ENVELOPE = b'{"specversion":"1.0","type":"o2c.order.changed.v1","source":"/acme/erp/1","id":"e-1","data":%s}'
_CONTRACT = {
    b"total": b"payable_amount",
    b"\\u0074otal": b"\\u0070ayable_amount",
    b"issued": b"placed_at",
    b"name": b"note",
}
_SHOPIFY = {b"total": b"total_price", b"\\u0074otal": b"\\u0074otal_price", b"issued": b"created_at", b"name": b"note"}
RECORDS = {"shopify": ("order", _SHOPIFY)}
"""Whose keys a case's are, by the platform that shows an order in one record."""
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)', re.DOTALL)
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|[0-9]+)')


def with_keys(body: bytes, names: dict[bytes, bytes]) -> bytes:
    """Return *body* with other names for its keys."""
    return _KEY.sub(lambda found: b'"' + names.get(found[1], found[1]) + b'"' + found[2], body)


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
