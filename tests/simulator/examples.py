"""The business of an example configuration, played quickly.

Flows, connections and what a platform can do are those of the example and of its real platforms; the systems are fakes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from app.config.load import load
from app.world import world
from schemas.facts import Credit, Facts, Invoice, Line, Order, Party, Payment, Shipment, ShipmentLine
from streams.order.world import World
from tests.examples import FOLDER, SECRETS
from tests.simulator import company
from tests.simulator.delivery import Delivery
from tests.simulator.fakes import Doc, FakePlatform
from tests.simulator.simulation import Simulation

EVENING = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
"""Already the third in Berlin, and still the second in New York."""
Documents = list[tuple[str, str, str]]


def _world(name: str) -> World:
    """Return the example's world, live, with fakes that know simple words for the objects of its platforms."""
    known = world(load(FOLDER / f"{name}.toml", SECRETS))
    platforms = {
        slug: msgspec.structs.replace(
            real,
            objects={kind: kind for kind in ("order", "invoice", "payment", "credit", "shipment")},
            statuses={
                f"{kind}:{word}": word for kind in ("order", "invoice") for word in ("draft", "open", "cancelled")
            },
        )
        for slug, real in known.platforms.items()
    }
    connections = {
        one: msgspec.structs.replace(it, tenant=company.TENANT, account=one[0])
        for one, it in known.facts.connections.items()
    }
    flows = tuple(msgspec.structs.replace(flow, tenant=company.TENANT, mode="live") for flow in known.facts.flows)
    facts = msgspec.structs.replace(known.facts, connections=connections, flows=flows, starts={})
    return World(facts=facts, platforms=platforms)


class Played(Simulation):
    """One business: where it sells, and its ledger."""

    def __init__(self, name: str, sells: str, books: str) -> None:
        super().__init__(1, _world(name))
        self.sells, self.books = sells, books
        self.systems = {name: FakePlatform(name) for name in self.world.facts.connections}
        self.owners = {name: Delivery(system, self.dice, self.emit) for name, system in self.systems.items()}

    def sale(self, total: str = "100.00", **changes: Any) -> Doc:
        """Place an order, or draft or bill what stands for one."""
        amount = Decimal(total)
        line = Line(id="l1", sku="MUG", unit_price=amount, net_amount=amount)
        shared: dict[str, Any] = {
            "currency": "EUR",
            "payable_amount": amount,
            "lines": (line,),
            "tax_amount": Decimal(0),
        }
        shared["customer"] = Party(name="Ada", email="ada@example.com")
        if self.world.facts.flows[0].order_type == "invoice":
            facts: Facts = Invoice(
                **{"number": "IN-1", "stage": "open", "issue_date": self.now.date(), **shared, **changes}
            )
            return self._told("invoice", facts)
        facts = Order(**{"number": "SO-1", "stage": "open", "placed_at": self.now, **shared, **changes})
        return self._told("order", facts)

    def _told(self, kind: str, facts: Facts, **parents: str) -> Doc:
        doc = self.systems[self.sells].add(kind, facts, self.now, **parents)
        self.look(self.sells, doc)
        return doc

    def money(self, sale: Doc, amount: str, at: datetime | None = None, **changes: Any) -> Doc:
        """Receive money for a sale."""
        facts = Payment(amount=Decimal(amount), currency="EUR", paid_at=at or self.now, **changes)
        return self._told("payment", facts, **{sale.kind: sale.id})

    def back(self, sale: Doc, amount: str, document: Any = "refund") -> Doc:
        """Pay something back, or only credit it."""
        facts = Credit(document=document, amount=Decimal(amount), currency="EUR", date=self.now.date())
        return self._told("credit", facts, **{sale.kind: sale.id})

    def cancel(self, sale: Doc) -> None:
        """Cancel a sale where it was made."""
        self.edit(self.sells, sale, status="cancelled", stage="cancelled")

    def parcel(self, sale: Doc, quantity: str, at: datetime | None = None, **changes: Any) -> Doc:
        """Send a part of the first line."""
        lines = (ShipmentLine(line="l1", quantity=Decimal(quantity)),)
        facts = Shipment(lines=lines, shipped_at=at or self.now, tracking_numbers=("T-1",), **changes)
        return self._told("shipment", facts, order=sale.id)

    def bill(self) -> Doc:
        """Return the only document of the ledger."""
        (doc,) = self.live(self.books, "invoice")
        return doc

    def there(self) -> Documents:
        """Return kind, amount and day of what the ledger holds, in order of its making."""
        found = []
        for doc in self.systems[self.books].docs.values():
            facts = doc.facts
            if isinstance(facts, Invoice):
                kind = "receipt" if facts.document == "sales_receipt" else "invoice"
                kind = "void" if facts.status == "void" else kind
                found.append((kind, f"{facts.payable_amount:f}", f"{facts.issue_date:%m-%d}"))
            elif isinstance(facts, Payment | Credit):
                kind = "payment" if isinstance(facts, Payment) else facts.document.removesuffix("_note")
                found.append((kind, f"{facts.amount:f}", f"{facts.date:%m-%d}"))
        return found


def webshop() -> Played:
    return Played("shop-invoice-on-payment", "webshop", "webshop-books")


def wholesale() -> Played:
    return Played("wholesale-invoice-on-shipment", "wholesale", "wholesale-books")


def agency() -> Played:
    return Played("services-invoice-on-deal-won", "hubspot", "agency-books")


def store() -> Played:
    return Played("store-daily-card-sales", "store", "store-books")


def saas() -> Played:
    return Played("subscriptions-by-stripe", "stripe", "saas-books")
