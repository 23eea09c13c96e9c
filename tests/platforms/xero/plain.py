"""A source and a sink of a connection without options, for tests without a network."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from app.core.talk import Response
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.facts import Invoice, Line, Payment
from schemas.refs import mark_of
from sinks.platforms.xero import XeroSink
from streams.sources.base import Hook
from streams.sources.platforms.xero import XeroSource
from tests.platforms.xero.company import TENANT

CONNECTION = Connection(name="books", tenant="acme", platform="xero", account=TENANT)
SOURCE, SINK = XeroSource(CONNECTION), XeroSink(CONNECTION)
KEY = "made-up-xero-webhook-key"
ITR = b'{"events":[],"firstEventSequence": 0,"lastEventSequence": 0, "entropy": "S0m3r4Nd0mt3xt"}'
SIGNATURE = "qKEtPLsJpCjOrjewjPGIGmGV9Aj8mk710fgwBllr0R0="
NOW = datetime(2026, 5, 4, tzinfo=UTC)
MARK = mark_of("a" * 32, "b" * 32)


def hook_of(body: bytes = ITR, signature: str = SIGNATURE) -> Hook:
    return Hook(headers={"x-xero-signature": signature}, body=body)


def invoice_of(event: ChangeEvent) -> Invoice:
    assert isinstance(event.facts, Invoice)
    return event.facts


PAYMENT = Payment(amount=Decimal(5), currency="EUR", date=date(2026, 5, 1))
INVOICE = Invoice(
    currency="EUR",
    payable_amount=Decimal(12),
    lines=(
        Line(name="Mug", unit_price=Decimal(10), net_amount=Decimal(10), tax_amount=Decimal(2), tax_rate=Decimal(20)),
    ),
    issue_date=date(2026, 5, 1),
)


def reply_of(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status=status, headers=headers, body=json.dumps(body).encode())
