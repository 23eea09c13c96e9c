"""Ask whether an earlier try got through, and read what a change is about."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

import msgspec

from app.core.errors import RejectedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Credit, Customer, Facts, Invoice, Party, Payment, Shipment
from schemas.platforms.quickbooks_online.query import quoted
from sinks.base import Written
from sinks.platforms.quickbooks_online import bodies
from sinks.platforms.quickbooks_online.asking import Row
from sinks.platforms.quickbooks_online.finding import Finding, display_names

F = TypeVar("F", bound=Facts)
ENTITIES = MappingProxyType(
    {
        "upsert_customer": "Customer",
        "upsert_sales_receipt": "SalesReceipt",
        "record_payment": "Payment",
        "reverse_payment": "Payment",
        "issue_credit": "CreditMemo",
        "record_refund": "RefundReceipt",
        "reverse_refund": "RefundReceipt",
    }
)
_LINK = MappingProxyType({"reverse_payment": "payment", "reverse_refund": "payment"})


class Probing(Finding):
    """Our mark stands in a field that cannot be searched: documents are listed and compared."""

    def home(self) -> str:
        """Return the currency of a customer whose own is not known."""
        return self.connection.options.get("home_currency", "USD")

    def document(self, command: Command) -> Talk[tuple[str, Row]]:
        """Read the document that a command hangs on: an invoice, or the sales receipt in its place."""
        id_ = command.links.get("invoice") or command.bound_id
        receipt = isinstance(command.facts, Invoice) and command.facts.document == "sales_receipt"
        for entity in ("SalesReceipt", "Invoice") if receipt else ("Invoice", "SalesReceipt"):
            row = yield from self.found(entity, id_)
            if row is not None:
                return entity, row
        raise RejectedError(f"QuickBooks: document {id_} does not exist any more.")

    def probe_since(self, command: Command, since: datetime) -> Talk[Written | None]:
        """Look for our mark as `probe` does, but only among what changed since: a day may have thousands of documents.

        The customer's are enough where there is one: nobody moves a document away within the minutes since it was sent.
        """
        return self.probe(command, since)

    def probe(self, command: Command, since: datetime | None = None) -> Talk[Written | None]:
        """Look for our mark: among the documents of the day, then among those of the customer on any day.

        PrivateNote cannot be searched. What changes an existing record is probed by reading that record.
        """
        if command.capability not in ENTITIES and not _makes_invoice(command):
            return (yield from self._probe_change(command))
        if command.capability == "reverse_payment":
            written = yield from self.reread(command)
            return written if written is not None and getattr(written.facts, "status", "") == "reversed" else None
        if command.capability == "reverse_refund":
            there = yield from self.reread(command)
            id_ = command.links["payment"]
            return Written(type="RefundReceipt", id=id_, mark=command.mark) if there is None else None
        if command.capability == "upsert_customer":
            return (yield from self._probe_customer(facts_of(command, Customer).party))
        entity = ENTITIES.get(command.capability, "Invoice")

        def ours(row: Row) -> Written | None:
            if command.mark not in (row.get("PrivateNote") or ""):  # of thousands, all but one are none of ours
                return None
            mailed = command.capability != "request_payment" or row.get("EmailStatus") == "EmailSent"
            written = self.written(entity, row, complete=mailed)
            return written if written.mark == command.mark else None

        for clause in (yield from self._places(command, since)):
            if (found := (yield from self.first(entity, clause, ours))) is not None:
                return (yield from self._judged(command, entity, found))
        return None

    def _places(self, command: Command, since: datetime | None) -> Talk[list[str]]:
        facts = command.facts
        day = facts.issue_date if isinstance(facts, Invoice) else getattr(facts, "date", None)
        clauses = [f"TxnDate = '{day.isoformat()}'"] if day is not None else []
        if isinstance(facts, Invoice) or (isinstance(facts, Payment) and not command.links.get("invoice")):
            names = display_names(facts.customer or Party(), facts.currency)
            rows = yield from self.query("Customer", f"DisplayName in ({quoted(names)})")
            ids = [str(row["Id"]) for row in rows]
        else:
            _, document = yield from self.document(command)
            ids = [str(document["CustomerRef"]["value"])]
        of_customer = [f"CustomerRef in ({quoted(ids)})"] if ids else []
        if since is None:
            return [*clauses, *of_customer]
        lately = f"MetaData.LastUpdatedTime >= '{since.isoformat(timespec='seconds')}'"
        return [f"{clause} and {lately}" for clause in of_customer or clauses]

    def _judged(self, command: Command, entity: str, written: Written) -> Talk[Written]:
        """Tell a credit memo that was never set off from one that is complete."""
        credit = written.facts
        if entity != "CreditMemo" or not isinstance(credit, Credit) or credit.remaining_amount != credit.amount:
            return written
        kind, document = yield from self.document(command)
        owed = Decimal(document.get("Balance") or 0) if kind == "Invoice" else Decimal(0)
        return msgspec.structs.replace(written, complete=owed <= 0 or credit.amount <= 0)

    def _probe_customer(self, party: Party) -> Talk[Written | None]:
        rows = yield from self.query("Customer", f"DisplayName in ({quoted(display_names(party, self.home()))})")
        same = (row for row in rows if (row.get("PrimaryEmailAddr") or {}).get("Address", "") in {party.email, ""})
        row = next(same, None)
        return None if row is None else self.written("Customer", row)

    def _probe_change(self, command: Command) -> Talk[Written | None]:
        entity, row = yield from self.document(command)
        written = self.written(entity, row)
        if command.capability == "apply_credit":
            memo = yield from self.existing("CreditMemo", command.links["credit"])
            left = min(Decimal(memo["Balance"]), Decimal(row.get("Balance") or 0))
            return self.written("CreditMemo", memo) if left <= 0 else None
        if command.capability == "void_invoice":
            return written if getattr(written.facts, "status", "") == "void" else None
        if command.capability == "request_payment":
            return written if row.get("EmailStatus") == "EmailSent" else None
        if command.capability == "add_note":
            return written if bodies.noted(row, command.text) is None else None
        shipment = facts_of(command, Shipment)
        return None if bodies.parcel(row, shipment).keys() - {"ShipMethodRef"} else written

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the record that a change is about; None when it is gone."""
        id_ = command.bound_id or command.links.get(_LINK.get(command.capability, "invoice"), "")
        for entity in _kinds(command):
            row = yield from self.found(entity, id_)
            if row is not None:
                return self.written(entity, row)
        return None


def _kinds(command: Command) -> tuple[str, ...]:
    """Return what the record of a command may be: parcels and notes hang on an invoice or on a sales receipt."""
    hangs = command.capability in {"record_shipment", "add_note"}
    return ("Invoice", "SalesReceipt") if hangs else (ENTITIES.get(command.capability, "Invoice"),)


def _makes_invoice(command: Command) -> bool:
    """Tell whether an invoice of the command's own is meant, not one that is named."""
    if command.capability == "request_payment":
        return not (command.bound_id or command.links.get("invoice"))
    return command.capability == "upsert_invoice"


def facts_of(command: Command, kind: type[F]) -> F:
    """Return the command's facts as the kind that its capability needs."""
    if not isinstance(command.facts, kind):
        raise RejectedError(f"QuickBooks: {command.capability} needs a {kind.__name__.lower()}.")
    return command.facts
