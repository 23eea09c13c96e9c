"""An order whose invoice and payment the flow wrote into the ledger at `NOW`, for tests of its undo."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from schemas.facts import Invoice, Payment
from schemas.flow import Target
from schemas.platform import Effect
from streams.order.world import World
from tests.unit.streams.order.sample import FLOW, NOW, PLATFORMS, WORLD
from tests.unit.streams.order.states import look, mark, record, ref

BILL, PAID = ref("books", "invoice", "7"), ref("books", "payment", "8")
WROTE = record("books|document", BILL, made_at=NOW, outcome="confirmed")
MONEY = record("books|payment|shop@s/payment/p1", PAID, capability="record_payment", id="c" * 32, made_at=NOW)
SHOWS = (
    look(Invoice(currency="EUR", payable_amount=Decimal(24), issue_date=NOW.date()), "books", "7", mirror_of=mark()),
    look(Payment(amount=Decimal(24), currency="EUR"), "books", "8", mirror_of=mark(write="c" * 32)),
)


def world(mode: Any = "stopped") -> World:
    """Return a world in which the ledger can void, with the flow in *mode*."""
    able = dict.fromkeys((*PLATFORMS["ledgerr"].capabilities, "void_invoice"), Effect.RECORDS)
    platforms = {**PLATFORMS, "ledgerr": msgspec.structs.replace(PLATFORMS["ledgerr"], capabilities=able)}
    flow = msgspec.structs.replace(FLOW, mode=mode, targets=(Target(connection="books", document="invoice"),))
    return World(facts=msgspec.structs.replace(WORLD.facts, flows=(flow,)), platforms=platforms)
