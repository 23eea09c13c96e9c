"""What Stripe shows of an earlier try: found by our mark in lists, which unlike searches are up to date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from app.core.talk import Request, Talk, segment
from schemas.commands import Command
from schemas.facts import Customer, Invoice, Party
from schemas.platforms.stripe.facts import MARK, REFUND, mark, reported_refund, written_key
from schemas.platforms.stripe.whose import PARTS, ident
from sinks.base import Written
from sinks.platforms.stripe.asking import PAGE, Asking, Record
from sinks.platforms.stripe.bodies import facts_of, kind_of, link, quoted

_EVER: Mapping[str, str] = MappingProxyType({})
_NOTES = {"record_shipment": "parcel", "add_note": "note"}


class Probing(Asking):
    """Questions about what is there."""

    def probe(self, command: Command) -> Talk[Written | None]:
        """Look for the object with the command's mark, however old."""
        return self._probe(command, _EVER)

    def probe_since(self, command: Command, since: datetime) -> Talk[Written | None]:
        """Look for the object with the command's mark in what was created since."""
        return self._probe(command, {"created[gte]": str(int(since.timestamp()))})

    def _probe(self, command: Command, created: Mapping[str, str]) -> Talk[Written | None]:
        capability = command.capability
        if capability == "record_payment":
            return (yield from self._payment(command))
        if capability == "record_refund":
            return (yield from self._refund(command, created))
        if capability == "upsert_customer":
            found = yield from self.customers(facts_of(command, Customer).party)
            return self.written(found[0]) if found else None
        if capability in _NOTES:
            invoice = yield from self.invoice(link(command, "invoice"))
            there = written_key(_NOTES[capability], command.mark) in (invoice.get("metadata") or {})
            return (yield from self.noted(invoice)) if there else None
        if capability == "void_invoice":
            return (yield from self._ended(command))
        if capability == "void_credit":
            return (yield from self._voided(command))
        if capability == "issue_credit":
            note = yield from self._marked(
                "/v1/credit_notes", command, {"invoice": link(command, "invoice"), **created}
            )
            return None if note is None else (yield from self.shown(note))
        return (yield from self._bill(command, created))

    def _bill(self, command: Command, created: Mapping[str, str]) -> Talk[Written | None]:
        """Return the invoice of an earlier try; whether it was mailed as well nobody can see, so that is said again."""
        invoice = yield from self.marked_invoice(command, created)
        if invoice is None:
            return None
        written = yield from self.shown(invoice)
        return msgspec.structs.replace(written, complete=written.complete and command.capability != "request_payment")

    def marked_invoice(self, command: Command, created: Mapping[str, str] = _EVER) -> Talk[Record | None]:
        """Return the invoice that carries the command's mark.

        Of all times only the customer's are walked through, and a search finds what was moved to another since: it
        lags, but by far less than people take. Who has no e-mail may be several customers, so all invoices are.
        """
        party = facts_of(command, Invoice).customer or Party()
        if not created and party.email:
            for customer in (yield from self.customers(party)):
                found = yield from self._marked("/v1/invoices", command, {"customer": str(customer["id"])})
                if found is not None:
                    return found
            rows = yield from self.search("invoices", f"metadata['{MARK}']:{quoted(command.mark)}")
            if rows is not None:
                return next((row for row in rows if mark(row) == command.mark), None)
        return (yield from self._marked("/v1/invoices", command, created))

    def _marked(self, path: str, command: Command, params: Mapping[str, str]) -> Talk[Record | None]:
        """Walk a list until the command's mark."""
        after: dict[str, str] = {}
        while True:
            asked = {**params, "limit": PAGE, **after}
            page = yield from self.ask(Request(method="GET", path=path, params=asked))
            for record in page["data"]:
                if mark(record) == command.mark:
                    found: Record = record
                    return found
            if not page.get("has_more"):
                return None
            after = {"starting_after": str(page["data"][-1]["id"])}

    def payments(self, command: Command) -> Talk[list[Record]]:
        """Return the payments of the invoice: there is no list of payment records."""
        if not (invoice := command.links.get("invoice")):
            return []
        return parts_of({"data": (yield from self.rows("/v1/invoice_payments", {"invoice": invoice}))})

    def _payment(self, command: Command) -> Talk[Written | None]:
        for part in (yield from self.payments(command)):
            kind, id_ = money_of(part)
            if kind == "payment_record":
                record = yield from self._record(id_)
                if mark(record) == command.mark:
                    return self.written({**record, PARTS: [part]})
        return None

    def _refund(self, command: Command, created: Mapping[str, str]) -> Talk[Written | None]:
        """Look at what was reported on the payments of the order, then at the refunds of the account."""
        paid = [money_of(part) for part in (yield from self.payments(command))]
        if wanted := command.links.get("payment"):
            paid.append((kind_of(wanted), wanted))
        for id_ in dict.fromkeys(id_ for kind, id_ in paid if kind == "payment_record"):
            record = yield from self._record(id_)
            if told := (record.get("metadata") or {}).get(written_key(REFUND, command.mark)):
                return self.refund_of(record, command, str(told))
        found = yield from self._marked("/v1/refunds", command, created)
        return None if found is None else self.written(found)

    def refund_of(self, record: Record, command: Command, told: str) -> Written:
        """Return what *told* says went back of a payment *record*; an object without facts where it says nothing."""
        found = reported_refund(record, told)
        if found is None:
            return Written(type="payment_record", id=ident(record), mark=command.mark)
        return self.written(found)

    def _record(self, id_: str) -> Talk[Record]:
        return (yield from self.ask(Request(method="GET", path=f"/v1/payment_records/{segment(id_)}")))

    def _ended(self, command: Command) -> Talk[Written | None]:
        id_ = command.bound_id or link(command, "invoice")
        invoice = yield from self.find(f"/v1/invoices/{segment(id_)}")
        if invoice is None:
            return Written(type="invoice", id=id_)
        return (yield from self.shown(invoice)) if invoice.get("status") == "void" else None

    def _voided(self, command: Command) -> Talk[Written | None]:
        note = yield from self.note(command)
        return (yield from self.shown(note)) if note.get("status") == "void" else None

    def noted(self, invoice: Record) -> Talk[Written]:
        """Return the invoice that a note was written on; a person's is looked at anew, since a write's look is ours."""
        if mark(invoice) is None:
            return Written(type="invoice", id=ident(invoice))
        return (yield from self.shown(invoice))

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the object that a set is about to change."""
        kind = "customers" if command.capability == "upsert_customer" else "invoices"
        record = yield from self.find(f"/v1/{kind}/{segment(command.bound_id)}")
        return None if record is None else (yield from self.shown(record))


def parts_of(listed: Any) -> list[Record]:  # noqa: ANN401 - a list object, or none
    """Return the invoice payments of a list that count."""
    return [part for part in (listed or {}).get("data", []) if part.get("status") != "canceled"]


def money_of(part: Record) -> tuple[str, str]:
    """Return (type, id) of the payment behind an invoice payment."""
    payment = part.get("payment") or {}
    return str(payment.get("type", "")), ident(payment.get(payment.get("type")))
