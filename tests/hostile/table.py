"""The orders processor and its store, as the streams run them: what a record becomes, and that nothing stops it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from app import platforms
from app.core import topics
from app.core.metrics import new_metrics
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.flow import Facts, Flow, Target
from schemas.links import Placed
from schemas.platforms.external import PLATFORM as ERP
from schemas.refs import ObjectRef, order_key
from streams.engine.broadcast import Broadcast
from streams.engine.fold import Headers, Out, Record
from streams.engine.folding import Folder, FoldFailed
from streams.engine.instruments import Instruments
from streams.engine.settings import WorkerSettings
from streams.engine.store import Store, StoreOptions
from streams.order.world import World
from streams.processors.orders import Orders
from tests.hostile.door import SLUGS, connection

PLATFORMS = {"external": ERP, **{slug: platforms.load(slug).platform for slug in SLUGS}}
CONNECTIONS = {
    "erp": Connection(name="erp", tenant="acme", platform="external", account="1"),
    "books": Connection(name="books", tenant="acme", platform="quickbooks_online", account="2"),
    **{slug: connection(slug) for slug in SLUGS},
}
TARGETS = (Target(connection="books", document="invoice"),)
GIVERS = {"erp": "erp", "shopify": "shopify", "hubspot": "hubspot"}
LEDGERS = ("quickbooks_online", "xero", "stripe")
FLOWS = (
    *(Flow(name=name, tenant="acme", key_giver=name, mode="live", targets=TARGETS) for name in GIVERS),
    *(
        Flow(
            name=f"of-{name}", tenant="acme", key_giver="erp", mode="live", orphan="create_order",
            targets=(Target(connection=name, document="invoice"), *TARGETS),
        )
        for name in LEDGERS
    ),
)  # fmt: skip
"""Orders come from a service, a shop and a CRM, and from invoices of a ledger that belong to no order."""
WORLD = World(facts=Facts(connections=CONNECTIONS, flows=FLOWS), platforms=PLATFORMS)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Table:
    """One partition in a folder; a record that the fold cannot bear is quarantined, as the batch path does."""

    def __init__(self, folder: Path) -> None:
        settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=folder)
        self._store = Store(folder / "db", StoreOptions(settings))
        broadcast = Broadcast(settings, lambda _topic: asyncio.sleep(0, 1))
        instruments = Instruments(new_metrics())
        self._folder = Folder(Orders(WORLD), broadcast, instruments, lambda: NOW, 1.0)
        self._offset = 0

    async def take(
        self, key: bytes, headers: Headers, value: bytes, *, kept: bool = True, topic: str = topics.CRM_CHANGES
    ) -> tuple[list[Out], str]:
        """Return what goes out, and why the record is a dead letter ("" when it is none); not *kept* leaves no state."""
        self._offset += 1
        record = Record(topic, 0, self._offset, key, value, headers, 1)
        try:
            gathered = await self._folder.fold(0, [record], self._store)
        except FoldFailed as error:
            return [], str(error)
        if kept:
            self._store.write(list(gathered.changes(self._store, 1, self._offset)), 1, self._offset)
        return gathered.outs, gathered.dead[0][2] if gathered.dead else ""

    def close(self) -> None:
        self._store.close()


def placed(event: ChangeEvent) -> tuple[bytes, Headers, bytes]:
    """Return *event* as the table of links places it: in the order that its object gives."""
    order = order_key(event.tenant, event.object)
    told = msgspec.structs.replace(event, order=order)
    return order.encode(), (), msgspec.json.encode(Placed(order=order, event=told))


def home(id_: str) -> bytes:
    """Return the key of the order that an object of the ERP gives."""
    return order_key("acme", ObjectRef("erp", "1", "order", id_)).encode()
