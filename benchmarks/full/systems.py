"""The systems that are written to, made up: each takes what it is asked and shows it, as the connectors would tell.

A command gets the result that `sinks.delivery.answers` gives it, with a look at what was written. What changes beside
(a ledger shows on its invoice that it was paid) the next sweep finds, and tells as a change event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from schemas.commands import Command, Pair, Result
from schemas.events import Anchor, ChangeEvent, Version, allocated
from schemas.facts import Allocation, Credit, Facts, Invoice, Order, Payment
from schemas.projection import project
from schemas.refs import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas.platform import Platform

_EPOCH = 1
Form = TypeVar("Form", bound=Order | Invoice)
_NOTE = "notes"
_TYPES: Mapping[tuple[str, str], str] = {
    ("hubspot", "upsert_order"): "deals",
    ("hubspot", "set_status"): "deals",
    ("hubspot", "record_payment"): "commerce_payments",
    ("hubspot", "record_shipment"): _NOTE,
    ("hubspot", "record_refund"): _NOTE,
    ("shopify", "record_payment"): "transaction",
    ("xero", "upsert_invoice"): "invoice",
    ("xero", "void_invoice"): "invoice",
    ("xero", "record_payment"): "payment",
    ("xero", "issue_credit"): "credit_note",
    ("xero", "record_refund"): "refund",
    ("xero", "record_shipment"): "history",
    ("xero", "add_note"): "history",
    ("quickbooks_online", "upsert_invoice"): "Invoice",
    ("quickbooks_online", "void_invoice"): "Invoice",
    ("quickbooks_online", "record_payment"): "Payment",
    ("quickbooks_online", "issue_credit"): "CreditMemo",
    ("quickbooks_online", "record_refund"): "RefundReceipt",
    ("quickbooks_online", "record_shipment"): "Invoice",
}
"""What is made of a command: a command that is not among these must not come of the lives that are played."""


class Document(msgspec.Struct, kw_only=True):
    """One document as its system keeps it; *order* is that of the command that made it."""

    object: ObjectRef
    order: str
    facts: Facts | None
    mark: str | None = None
    anchors: tuple[Anchor, ...] = ()
    writes: int = 0


@dataclass
class System:
    """One account of one platform."""

    platform: Platform
    documents: dict[str, Document] = field(default_factory=dict)
    answers: dict[str, Result] = field(default_factory=dict)
    looks: int = 0
    results: int = 0
    made: int = 0

    def answer(self, command: Command) -> tuple[Result, tuple[ChangeEvent, ...]]:
        """Return what came of *command*, and what the next sweep will tell; asked twice it answers twice the same."""
        if command.id in self.answers:
            return self.answers[command.id], ()
        document = self._written(command)
        document.writes += 1
        beside = [] if document.facts is None else self._beside(command, document.facts)
        self.results += 1
        event = self._look(command, document)
        shown = project(document.facts)
        result = Result(
            command=command.id,
            order=command.order,
            write=command.write,
            tenant=command.tenant,
            connection=command.connection,
            account=command.account,
            capability=command.capability,
            outcome="confirmed",
            digest=command.digest,
            generation=command.generation,
            bound=None if command.kind == "set" else document.object,
            made={name: Pair(value, shown[name]) for name, value in command.fields.items() if name in shown},
            look=(_EPOCH, self.looks),
            epoch=_EPOCH,
            offset=self.results,
            trace=command.trace,
            told_at=command.told_at,
            events=() if event is None else (event,),
        )
        self.answers[command.id] = result
        swept = [self._look(command, one, swept=True) for one in beside]
        return result, tuple(one for one in swept if one is not None)

    # -- what is written ----------------------------------------------------------------------------------------------

    def _written(self, command: Command) -> Document:
        type_ = _TYPES[self.platform.slug, command.capability]
        known = command.bound_id or (command.links.get("invoice", "") if self._changes_invoice(command) else "")
        if known:
            document = self.documents[f"{type_}/{known}"]
            document.facts = self._changed(document.facts, command)
            return document
        self.made += 1
        ref = ObjectRef(command.connection, command.account, type_, f"{command.connection}-{self.made:08d}")
        document = Document(object=ref, order=command.order, facts=self._new(command, type_), mark=command.mark)
        self.documents[f"{type_}/{ref.id}"] = document
        if isinstance(document.facts, Payment | Credit):
            document.anchors = allocated(command.connection, command.account, document.facts.allocations)
        return document

    def _changes_invoice(self, command: Command) -> bool:
        return command.capability == "void_invoice" or _TYPES[self.platform.slug, command.capability] == "Invoice"

    def _new(self, command: Command, type_: str) -> Facts | None:
        facts = command.facts
        if type_ in {_NOTE, "history"}:
            return None
        if isinstance(facts, Order):
            return self._staged(_texts(facts, command), command.fields.get("status", "open"))
        if isinstance(facts, Invoice):
            number = f"INV-{self.made}"
            unpaid = msgspec.structs.replace(
                facts, number=number, paid_amount=Decimal(0), amount_due=facts.payable_amount
            )
            return _texts(unpaid, command)
        on = self._on(command)
        if isinstance(facts, Payment):
            return msgspec.structs.replace(facts, allocations=on(facts.amount))
        if isinstance(facts, Credit):
            left = facts.amount if facts.document == "credit_note" else None
            return msgspec.structs.replace(facts, remaining_amount=left)
        raise TypeError(command.capability)

    def _on(self, command: Command) -> Any:  # noqa: ANN401 - a function of an amount
        type_ = _TYPES.get((self.platform.slug, "upsert_invoice"), "")
        id_ = command.links.get("invoice", "") if type_ else ""
        return lambda amount: (Allocation(type=type_, id=id_, amount=amount),) if id_ else ()

    def _staged(self, facts: Order, word: str) -> Order:
        """Return the order as it stands in the column that *word* belongs to."""
        stage = self.platform.stages[word]
        return msgspec.structs.replace(facts, stage=stage, headline=self.platform.statuses[f"deals:{stage}"])

    def _changed(self, facts: Facts | None, command: Command) -> Facts | None:
        if isinstance(facts, Order) and command.capability == "set_status":
            return self._staged(facts, command.status)
        if isinstance(facts, Invoice) and command.capability == "void_invoice":
            return msgspec.structs.replace(facts, status="void", amount_due=Decimal(0))
        if isinstance(facts, Order | Invoice) and command.kind == "set":
            apart = {"note", "po_number", "email"}
            named = {name: getattr(command.facts, name) for name in command.changes if name not in apart}
            return _texts(msgspec.structs.replace(facts, **named), command)
        return facts

    # -- what is shown ------------------------------------------------------------------------------------------------

    def _beside(self, command: Command, facts: Facts) -> list[Document]:
        """Change what a payment or refund shows on the document that it belongs to."""
        if isinstance(facts, Payment) and (bill := self._linked(command, "upsert_invoice", "invoice")) is not None:
            shown = bill.facts
            if isinstance(shown, Invoice):
                paid = (shown.paid_amount or Decimal(0)) + facts.amount
                due = shown.payable_amount - paid
                status: Any = "paid" if due <= 0 else "partially_paid"
                bill.facts = msgspec.structs.replace(shown, paid_amount=paid, amount_due=due, status=status)
            return [bill]
        if (
            command.capability == "record_refund"
            and (note := self._linked(command, "issue_credit", "credit")) is not None
        ):
            if isinstance(note.facts, Credit) and isinstance(facts, Credit):
                left = (note.facts.remaining_amount or Decimal(0)) - facts.amount
                note.facts = msgspec.structs.replace(note.facts, remaining_amount=left)
            return [note]
        return []

    def _linked(self, command: Command, capability: str, name: str) -> Document | None:
        type_ = _TYPES.get((self.platform.slug, capability), "")
        return self.documents.get(f"{type_}/{command.links.get(name, '')}")

    def _look(self, command: Command, document: Document, *, swept: bool = False) -> ChangeEvent | None:
        self.looks += 1
        if document.facts is None:
            return None
        return ChangeEvent(
            tenant=command.tenant,
            object=document.object,
            facts=document.facts,
            version=Version(read=True, epoch=_EPOCH, seq=self.looks),
            anchors=document.anchors,
            mirror_of=document.mark,
            origin="sweep" if swept else "write",
            order="" if swept else command.order,
            trace=command.trace,
            told_at=command.told_at,
        )


def _texts(facts: Form, command: Command) -> Form:
    """Return the document with the texts that the command gives it."""
    told = {name: command.fields[name] for name in ("note", "po_number") if name in command.fields}
    return msgspec.structs.replace(facts, **told)


def kept(systems: Iterable[System]) -> list[Document]:
    """Return all documents of all systems."""
    return [document for system in systems for document in system.documents.values()]
