"""What orders and link rows are counted as, through the real processors, stores and gauges."""

from __future__ import annotations

import ast
import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.metrics import new_metrics
from schemas.cloudevents import encode
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Line, Order, Payment
from schemas.findings import CODES
from schemas.flow import Facts, Flow, Target
from schemas.links import Bind, LinkMessage, Place
from schemas.platforms.external import PLATFORM
from schemas.refs import ObjectRef, order_key
from streams.engine.broadcast import Broadcast
from streams.engine.fold import TICK_TOPIC, Out, Processor, Record
from streams.engine.folding import Folder
from streams.engine.instruments import Instruments
from streams.engine.settings import WorkerSettings
from streams.engine.store import Store, StoreOptions
from streams.order.link import PATIENCE
from streams.order.world import World
from streams.processors.links import Links
from streams.processors.orders import Orders

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = ObjectRef("erp", "1", "order", "7")
KEY = order_key("acme", ORDER)
PAID = ObjectRef("erp", "1", "payment", "p1")
FLOW = Flow(name="main", tenant="acme", key_giver="erp", targets=(Target(connection="erp"),))
ERP = Connection(name="erp", tenant="acme", platform="external", account="1")
WORLD = World(facts=Facts(connections={"erp": ERP}, flows=(FLOW,)), platforms={"external": PLATFORM})


class Table:
    """One partition of one table: folds records and writes them to a real store, as the batch path does."""

    def __init__(self, processor: Processor, folder: Path) -> None:
        settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=folder)
        self.instruments = Instruments(new_metrics())
        self.store = Store(folder / "db", StoreOptions(settings))
        self.now = NOW
        broadcast = Broadcast(settings, lambda _topic: asyncio.sleep(0, 1))
        self._folder = Folder(processor, broadcast, self.instruments, lambda: self.now, 1.0)

    async def take(self, *records: Record) -> list[Out]:
        gathered = await self._folder.fold(0, records, self.store)
        self.store.write(list(gathered.changes(self.store, 1, 1)), 1, 1)
        self.instruments.show_counted([self.store.counted])
        return gathered.outs

    def shown(self, metric: str, label: str, value: str) -> float | None:
        return self.instruments.shared.registry.get_sample_value(metric, {label: value})


def _order(native: int, total: str) -> Record:
    line = Line(id="1", net_amount=Decimal(20), tax_amount=Decimal(4))
    facts = Order(number="7", currency="EUR", payable_amount=Decimal(total), lines=(line,), placed_at=NOW)
    event = ChangeEvent(tenant="acme", object=ORDER, facts=facts, version=Version(native), order=KEY)
    key, headers, value = encode(event, "order")
    return Record("crm-changes", 0, native, key, value, headers, 1)


async def test_an_order_counts_under_its_findings_until_they_are_gone(tmp_path: Path) -> None:
    table = Table(Orders(WORLD), tmp_path)
    await table.take(_order(1, "30.00"))
    assert table.shown("o2c_findings", "code", "totals_differ") == 1
    await table.take(_order(2, "24.00"))
    assert table.shown("o2c_findings", "code", "totals_differ") == 0
    table.store.close()


def _link(message: LinkMessage) -> Record:
    return Record("links", 0, 0, message.key.encode(), msgspec.json.encode(message), (), 1)


async def _until_answered(table: Table, *messages: LinkMessage) -> list[Out]:
    """Give *messages* and whatever the table sends itself, as the links topic would; return what else went out."""
    records, others = [_link(message) for message in messages], list[Out]()
    while records:
        outs = await table.take(*records)
        records = [
            Record("links", 0, 0, out.key or b"", out.value or b"", (), 1) for out in outs if out.topic == "links"
        ]
        others += [out for out in outs if out.topic != "links"]
    return others


async def test_a_payment_counts_as_parked_until_its_order_is_known(tmp_path: Path) -> None:
    table = Table(Links(), tmp_path)
    paid = Payment(amount=Decimal(24), currency="EUR", paid_at=NOW)
    anchors = (Anchor("order", ORDER),)
    event = ChangeEvent(tenant="acme", object=PAID, facts=paid, version=Version(1), anchors=anchors)
    await _until_answered(table, Place(key=PAID.key, event=event))
    assert (table.shown("o2c_parked", "reason", "parent"), table.shown("o2c_parked", "reason", "person")) == (1, 0)
    parked: list[Any] = []
    for _ in range(2):
        table.now += PATIENCE + timedelta(seconds=1)
        parked += await table.take(Record(TICK_TOPIC, 0, -1, PAID.key.encode(), b"", (), 1))
    assert [out.topic for out in parked] == ["hints", "parked"]
    assert (table.shown("o2c_parked", "reason", "parent"), table.shown("o2c_parked", "reason", "person")) == (0, 1)
    others = await _until_answered(table, Bind(key=ORDER.key, order=KEY))
    assert (table.shown("o2c_parked", "reason", "parent"), table.shown("o2c_parked", "reason", "person")) == (0, 0)
    assert [(out.topic, out.value) for out in others if out.topic == "parked"] == [("parked", None)]
    table.store.close()


@pytest.mark.parametrize("folder", ["derive", "plan"])
def test_every_code_has_a_series_from_the_start(folder: str, root: Path) -> None:
    codes = set()
    for path in (root / "streams/order" / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Finding", "_finding"}:
                codes |= {
                    one.value
                    for one in node.args[:2]
                    if isinstance(one, ast.Constant) and one.value not in ("warn", "block")
                }
    assert codes
    assert codes <= set(CODES)
