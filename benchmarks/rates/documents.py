"""Commands as the streams plan them: a document of each of many orders in every system, and its later changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid5

import msgspec

from app.demo.stack import SYSTEMS
from schemas.commands import Capability, Command, Pair, Result
from schemas.facts import Facts, Invoice, Line, Order, Party
from schemas.projection import digest, project
from schemas.refs import NAMESPACE, ObjectRef, mark_of, order_key, write_id

TENANT = "demo"


class Kind(NamedTuple):
    """What a system gets: which capability makes the document, and which field of it changes later."""

    capability: Capability
    canonical: str
    field: str


KINDS = {
    "shop": Kind("upsert_order", "order", "note"),
    "crm": Kind("upsert_order", "order", "note"),
    "books": Kind("upsert_invoice", "invoice", "po_number"),
    "qbo": Kind("upsert_invoice", "invoice", "note"),
    "pay": Kind("upsert_invoice", "invoice", "note"),
}
"""By connection of the demo's systems."""
ACCOUNTS = {system.connection: system.account for system in SYSTEMS}


@dataclass
class Document:
    """One document in one system: what it is called there, and what was last wished for and confirmed."""

    connection: str
    number: int
    run: str
    version: int = 0
    bound: str = ""
    made: Mapping[str, Pair] = field(default_factory=dict)
    newest: str = ""
    """Id of the newest command."""

    @property
    def key(self) -> str:
        """Return the key of its order."""
        shop = ObjectRef("shop", ACCOUNTS["shop"], "order", f"{self.run}-{self.number}")
        return order_key(TENANT, shop)

    def create(self) -> Command:
        """Return the command that makes it."""
        return self._command("create")

    def change(self) -> Command:
        """Return the command that sets the next value of its field."""
        self.version += 1
        return self._command("set")

    @property
    def value(self) -> str:
        """Return what its field should show."""
        return f"version {self.version}" if self.version else ""

    def confirmed(self, result: Result) -> None:
        """Take over what a result says."""
        if result.bound is not None:
            self.bound = result.bound.id
        self.made = {**self.made, **result.made}

    def overtaken(self, result: Result) -> None:
        """Take over what is shown instead of what a command was built on."""
        self.made = {**self.made, **{name: Pair(value, value) for name, value in result.shown.items()}}

    def _command(self, kind: str) -> Command:
        wanted = KINDS[self.connection]
        facts = self._facts(wanted)
        fields, write = dict(project(facts)), f"{self.connection}|{wanted.canonical}"
        created = write_id(self.connection, ACCOUNTS[self.connection], wanted.capability, f"{self.key}|{write}", 0)
        changes = (wanted.field,) if kind == "set" else ()
        command = Command(
            id=created if kind == "create" else uuid5(NAMESPACE, f"{created}|{self.version}").hex,
            kind="create" if kind == "create" else "set",
            tenant=TENANT,
            connection=self.connection,
            account=ACCOUNTS[self.connection],
            capability=wanted.capability,
            order=self.key,
            entity=f"{self.connection}:{self.key}",
            write=write,
            canonical=wanted.canonical,
            mark=mark_of(self.key, created),
            presence="present" if self.bound else "absent",
            bound_id=self.bound,
            facts=facts,
            changes=changes,
            fields=fields,
            base={name: pair for name, pair in self.made.items() if name in changes},
            digest=digest(fields),
            told_at=datetime.now(UTC),
        )
        self.newest = command.id
        return command

    def _facts(self, kind: Kind) -> Facts:
        buyer = Party(name=f"Buyer {self.number % 7}", email=f"buyer{self.number % 7}@example.com")
        line = Line(
            sku="MUG", name="Mug", quantity=Decimal(2), unit_price=Decimal(10), net_amount=Decimal(20),
            tax_amount=Decimal(4), tax_rate=Decimal(20),
        )  # fmt: skip
        if kind.canonical == "order":
            plain: Facts = Order(
                number=f"{self.run}-{self.number}", currency="EUR", customer=buyer, lines=(line,),
                net_amount=Decimal(20), tax_amount=Decimal(4), payable_amount=Decimal(24),
                placed_at=datetime(2026, 11, 1, 12, tzinfo=UTC),
            )  # fmt: skip
        else:
            plain = Invoice(
                currency="EUR", customer=buyer, lines=(line,), net_amount=Decimal(20), tax_amount=Decimal(4),
                payable_amount=Decimal(24), issue_date=date(2026, 11, 1), due_date=date(2026, 11, 15),
                reference=f"{self.run}-{self.number}",
            )  # fmt: skip
        return msgspec.structs.replace(plain, **{kind.field: self.value})
