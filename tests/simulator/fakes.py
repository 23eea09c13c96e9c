"""A fake platform: holds documents, commits slowly, normalises, hides new records from searches for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from schemas.commands import Command
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Credit, Facts, Invoice, Order, Payment
from schemas.refs import ObjectRef
from tests.simulator.company import TENANT

_KINDS = {
    "upsert_order": "order", "upsert_invoice": "invoice", "record_payment": "payment", "issue_credit": "credit",
    "record_shipment": "shipment", "upsert_sales_receipt": "invoice", "record_refund": "credit",
}  # fmt: skip
_LIVES = frozenset(("cancelled", "closed", "draft"))
_NAMES = {"tracking": "tracking_numbers"}


def life_of(word: str) -> str:
    """Return the life cycle that a stage stands for."""
    return word if word in _LIVES else "cancelled" if word == "void" else "open"


@dataclass
class Doc:
    """One document as the platform really holds it."""

    id: str
    kind: str
    facts: Facts
    mark: str | None
    parents: dict[str, str]
    made_at: datetime
    revision: int = 1
    gone: bool = False
    changed_at: datetime | None = None


@dataclass
class FakePlatform:
    """One account of one system."""

    name: str
    lag: timedelta = timedelta(0)
    normalise: Callable[[Facts], Facts] = lambda facts: facts
    refuses: set[str] = field(default_factory=set)
    shows_paid: bool = False
    """An invoice shows what was paid on it, a payment that was taken back shows zero."""
    fixed: bool = False
    """What an issued invoice bills cannot be changed, and one that money is on cannot be voided."""
    exact: bool = False
    """An invoice takes no more money than it asks for."""
    docs: dict[str, Doc] = field(default_factory=dict)
    applied: list[tuple[str, str, Decimal]] = field(default_factory=list)
    """(credit, invoice, amount): what was set off."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(invoice, text)."""
    writes: list[tuple[str, str]] = field(default_factory=list)
    """(capability, order key) of every write that took effect."""

    def ref(self, doc: Doc) -> ObjectRef:
        return ObjectRef(self.name, self.name[0], doc.kind, doc.id)

    def of(self, kind: str) -> list[Doc]:
        return [doc for doc in self.docs.values() if doc.kind == kind and not doc.gone]

    def add(self, kind: str, facts: Facts, now: datetime, mark: str | None = None, **parents: str) -> Doc:
        doc = Doc(f"{self.name}-{len(self.docs) + 1}", kind, self.normalise(facts), mark, parents, now)
        self.docs[doc.id] = doc
        return doc

    def edit(self, doc: Doc, **changes: Any) -> Doc:
        doc.facts = self.normalise(msgspec.structs.replace(doc.facts, **changes))
        doc.revision += 1
        return doc

    def find(self, mark: str, now: datetime) -> Doc | None:
        """Search as the platform does: records younger than the lag are missed."""
        seen = [doc for doc in self.docs.values() if doc.mark == mark and doc.made_at + self.lag <= now]
        return seen[0] if seen else None

    def apply(self, command: Command, now: datetime) -> Doc:
        """Carry a write out; the platform has no idempotency of its own."""
        self.writes.append((command.capability, command.order))
        if command.capability == "set_status":
            word = command.status
            return self.edit(self.docs[command.bound_id], status=life_of(word), headline=word, stage=word)
        if command.capability == "void_invoice":
            return self.edit(self.docs[command.links["invoice"]], status="void")
        if command.capability == "add_note":
            note = (command.links["invoice"], command.text)
            self.notes += [note] if note not in self.notes else []
            return self.docs[command.links["invoice"]]
        if command.capability in {"apply_credit", "void_credit"}:
            return self._noted(self.docs[command.links["credit"]], command.links.get("invoice"))
        if command.capability in {"reverse_payment", "reverse_refund"}:
            return self._reverse(self.docs[command.links["payment"]])
        if command.kind == "set":
            assert not (self.fixed and {"payable_amount", "lines"} & set(command.changes)), command
            return self.edit(self.docs[command.bound_id], **self._changes(command))
        texts = {name: command.fields[name] for name in ("note",) if name in command.fields}
        facts = msgspec.structs.replace(command.facts, **texts) if hasattr(command.facts, "note") else command.facts
        if isinstance(facts, Order):
            facts = msgspec.structs.replace(facts, headline="open", stage="open")
        made = self.add(_KINDS[command.capability], facts, now, command.mark, **command.links)
        if command.capability == "record_refund" and "credit" in command.links:
            self._use(self.docs[command.links["credit"]], made.facts.amount)  # type: ignore[union-attr]
        self._show_paid(made)
        if isinstance(facts, Credit) and command.capability == "issue_credit" and "invoice" in command.links:
            made.facts = msgspec.structs.replace(facts, remaining_amount=facts.amount)
            self.set_off(made, command.links["invoice"])
        return made

    def _noted(self, note: Doc, invoice: str | None) -> Doc:
        """Use a credit note on an invoice, or void it: what it was used for is open again."""
        if invoice is not None:
            return self.set_off(note, invoice)
        self.applied = [one for one in self.applied if one[0] != note.id]
        return self.edit(note, status="void", remaining_amount=Decimal(0))

    def _reverse(self, money: Doc) -> Doc:
        """Take a payment or refund back: the credit note that a refund was paid out of is free again."""
        if isinstance(money.facts, Payment):
            self.edit(money, status="reversed", **({"amount": Decimal(0)} if self.shows_paid else {}))
            self._show_paid(money)
            return money
        if money.facts.status != "void" and "credit" in money.parents:  # type: ignore[union-attr]
            self._use(self.docs[money.parents["credit"]], -money.facts.amount)  # type: ignore[union-attr]
        return self.edit(money, status="void")

    def _show_paid(self, money: Doc) -> None:
        invoice = money.parents.get("invoice") if self.shows_paid and isinstance(money.facts, Payment) else None
        if invoice is not None:
            paid = [one.facts.amount for one in self.of("payment") if self._counts(one, invoice)]  # type: ignore[union-attr]
            self.edit(self.docs[invoice], paid_amount=sum(paid, Decimal(0)))

    def _use(self, credit: Doc, amount: Decimal) -> None:
        left = credit.facts.remaining_amount or Decimal(0)  # type: ignore[union-attr]
        self.edit(credit, remaining_amount=left - amount)

    def open(self, invoice: str) -> Decimal:
        """Return what an invoice still asks for."""
        facts = self.docs[invoice].facts
        if not isinstance(facts, Invoice):
            raise TypeError(invoice)
        paid = [one.facts.amount for one in self.of("payment") if self._counts(one, invoice)]  # type: ignore[union-attr]
        used = [amount for _, there, amount in self.applied if there == invoice]
        return facts.payable_amount - sum((*paid, *used), Decimal(0))

    def refused(self, command: Command) -> bool:
        """Tell whether an invoice may not be voided, since money is on it."""
        if not self.fixed or command.capability != "void_invoice":
            return False
        invoice = command.links["invoice"]
        return any(self._counts(one, invoice) for one in self.of("payment"))

    def takes(self, command: Command) -> bool:
        """Tell whether an invoice takes what a payment wants to put on it: one that was voided takes nothing."""
        invoice = self.docs.get(command.links.get("invoice", ""))
        if command.capability != "record_payment" or invoice is None:
            return True
        facts: Any = command.facts
        return invoice.facts.status != "void" and not (self.exact and facts.amount > self.open(invoice.id))  # type: ignore[union-attr]

    def _counts(self, payment: Doc, invoice: str) -> bool:
        return payment.parents.get("invoice") == invoice and payment.facts.status == "succeeded"  # type: ignore[union-attr]

    def set_off(self, credit: Doc, invoice: str) -> Doc:
        """Use a credit on an invoice as far as either has something left."""
        left = credit.facts.remaining_amount or Decimal(0)  # type: ignore[union-attr]
        used = max(Decimal(0), min(left, self.open(invoice)))
        if used:
            self.applied.append((credit.id, invoice, used))
            self.edit(credit, remaining_amount=left - used)
        return credit

    def _changes(self, command: Command) -> dict[str, Any]:
        apart = {"note", "email"}
        named = {name: _NAMES.get(name, name) for name in command.changes if name not in apart}
        wanted = {name: getattr(command.facts, name) for name in named.values()}
        if "email" in command.changes:
            wanted["customer"] = command.facts.customer  # type: ignore[union-attr]
        return {**wanted, **({"note": command.fields["note"]} if "note" in command.changes else {})}

    def event(self, doc: Doc, stamp: tuple[int, int], *, hook: bool = False, order: str = "") -> ChangeEvent:
        """Return what a look at *doc* shows; *hook* makes it a webhook with the platform's revision only."""
        version = Version(native=doc.revision if self.name == "shop" else 0, read=True, epoch=stamp[0], seq=stamp[1])
        return ChangeEvent(
            tenant=TENANT,
            object=self.ref(doc),
            facts=None if doc.gone and not getattr(doc.facts, "merged_into", "") else doc.facts,
            presence="deleted" if doc.gone else "present",
            version=Version(native=doc.revision) if hook else version,
            mirror_of=doc.mark,
            changed_at=doc.changed_at or doc.made_at,
            anchors=() if doc.gone else self._anchors(doc),
            origin="webhook" if hook else "read",
            order=order,
        )

    def _anchors(self, doc: Doc) -> tuple[Anchor, ...]:
        here = self.name[0]
        if "shares" in doc.parents:
            pairs = [pair.split("=") for pair in doc.parents["shares"].split(",")]
            return tuple(Anchor("object", ObjectRef(self.name, here, "invoice", id_), share) for id_, share in pairs)
        if "invoice" in doc.parents:
            share = f"{doc.facts.amount}" if isinstance(doc.facts, Payment) else None
            return (Anchor("object", ObjectRef(self.name, here, "invoice", doc.parents["invoice"]), share),)
        if "payment" in doc.parents:
            return (Anchor("object", ObjectRef(self.name, here, "payment", doc.parents["payment"])),)
        if "order" in doc.parents:
            return (Anchor("order", ObjectRef(self.name, here, "order", doc.parents["order"])),)
        number = doc.parents.get("number") or (doc.facts.reference if isinstance(doc.facts, Invoice) else "")
        number = number or (doc.facts.number if isinstance(doc.facts, Order) else "")
        return (Anchor("number", ObjectRef("", "", "number", number)),) if number and doc.mark is None else ()
