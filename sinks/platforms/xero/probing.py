"""What Xero shows of an earlier try, and what it shows now: found by our mark, or read by id."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.core.errors import ConflictError
from app.core.talk import Talk, segment
from schemas.commands import Command
from schemas.facts import Customer, Payment
from schemas.platforms.xero import facts, wire
from schemas.refs import find_mark
from sinks.base import Written
from sinks.platforms.xero.asking import Asking, beside, quoted
from sinks.platforms.xero.written import (
    ENDED,
    contact_written,
    credit_written,
    facts_of,
    invoice_written,
    is_used_on,
    link,
    open_part,
    payment_written,
)

_FOUR = {"unitdp": "4"}
_MARKS = 25
"""Documents in one question: a page holds four times as many, and its address stays far below what servers take."""


class Probing(Asking):
    """Questions about what is there."""

    def shown(self, id_: str) -> Talk[wire.Invoice]:
        """Read the invoice that a write hangs on; ConflictError when it is gone."""
        reply = yield from self.find(f"/Invoices/{segment(id_)}", _FOUR)
        if reply is None or not reply.invoices:
            raise ConflictError("Xero: the invoice is gone.")
        return reply.invoices[0]

    def probe(self, command: Command) -> Talk[Written | None]:
        """Look for the object with the command's mark in the field that carries it; lists of Xero are up to date."""
        capability = command.capability
        if capability in {"record_payment", "record_refund"}:
            return (yield from self._marked_payment(command))
        if capability == "issue_credit":
            return (yield from self._credit_of(command))
        if capability == "apply_credit":
            note = yield from self.credit_note(command)
            return credit_written(note) if is_used_on(note, link(command, "invoice")) else None
        if capability in {"record_shipment", "add_note"}:
            return (yield from self.marked_note(command))
        if capability == "upsert_customer":
            found = yield from self.contacts_by_key([facts_of(command, Customer).party])
            return contact_written(next(iter(found.values()))) if found else None
        if capability == "request_payment":
            return (yield from self._requested(command))
        if capability == "void_invoice":
            shown = yield from self.shown(command.bound_id or link(command, "invoice"))
            return invoice_written(shown) if shown.status in ENDED else None
        return (yield from self.probe_many([command]))[0]

    def probe_many(self, commands: Sequence[Command]) -> Talk[list[Written | None]]:
        """Look for the invoices of several commands, twenty-five in a call."""
        rows: list[wire.Invoice] = []
        for start in range(0, len(commands), _MARKS):
            where = _carries(*(command.mark for command in commands[start : start + _MARKS]))
            reply = yield from self.get("/Invoices", {**_FOUR, "where": where, "page": "1"})
            rows += reply.invoices
        return [_marked(rows, command.mark) for command in commands]

    def _requested(self, command: Command) -> Talk[Written | None]:
        """Return the invoice that an earlier try asked payment for: complete once Xero shows it as sent."""
        id_ = command.bound_id or command.links.get("invoice", "")
        if not id_:
            reply = yield from self.get("/Invoices", {**_FOUR, "where": _carries(command.mark), "page": "1"})
            row = _carrying(reply.invoices, command.mark)
        else:
            row = yield from self.shown(id_)
        if row is None:
            return None
        return msgspec.structs.replace(invoice_written(row), complete=row.sent_to_contact)

    def payment_with(self, mark: str) -> Talk[Written | None]:
        """Return the payment that carries *mark*, a removed one included."""
        reply = yield from self.get("/Payments", {"where": _carries(mark), "page": "1"})
        return next((payment_written(row) for row in reply.payments if find_mark(row.reference) == mark), None)

    def payment_on(self, invoice: wire.Invoice, mark: str) -> Talk[Written | None]:
        """Return the payment with *mark* that its invoice shows, where no search shows it yet."""
        row = next((one for one in invoice.payments if find_mark(one.reference) == mark), None)
        reply = (yield from self.find(f"/Payments/{segment(row.payment_id)}")) if row is not None else None
        return payment_written(reply.payments[0]) if reply is not None and reply.payments else None

    def _marked_payment(self, command: Command) -> Talk[Written | None]:
        """Return the payment of an earlier try: complete when the overpayment beside it is there as well."""
        part = yield from self.payment_with(command.mark)
        if part is None:
            return None if command.capability == "record_refund" else (yield from self.marked_advance(command.mark))
        wanted, made = command.facts, part.facts
        if not isinstance(wanted, Payment) or not isinstance(made, Payment) or made.amount >= wanted.amount:
            return part
        extra = yield from self.marked_advance(beside(command.mark))
        also = (extra,) if extra is not None else ()
        return Written(type=part.type, id=part.id, facts=made, mark=part.mark, complete=bool(also), also=also)

    def marked_advance(self, mark: str) -> Talk[Written | None]:
        """Return the overpayment whose line carries *mark*: no filter reaches lines, the newest come first."""
        page, more = 1, True
        while more:
            params = {"page": str(page), "pageSize": "1000", "order": "UpdatedDateUTC DESC"}
            reply = yield from self.get("/Overpayments", params)
            for row in reply.overpayments:
                if facts.advance_mark(row) == mark:
                    return Written(type="overpayment", id=row.overpayment_id, facts=facts.advance_facts(row), mark=mark)
            more = reply.pagination is not None and page < reply.pagination.page_count
            page += 1
        return None

    def credit_note(self, command: Command) -> Talk[wire.CreditNote]:
        """Read the credit note that a write is about; ConflictError when it is gone."""
        reply = yield from self.find(f"/CreditNotes/{segment(link(command, 'credit'))}", _FOUR)
        if reply is None or not reply.credit_notes:
            raise ConflictError("Xero: the credit note is gone.")
        return reply.credit_notes[0]

    def marked_credit(self, mark: str) -> Talk[wire.CreditNote | None]:
        """Return the credit note that carries *mark*."""
        reply = yield from self.get("/CreditNotes", {**_FOUR, "where": _carries(mark), "page": "1"})
        return next((row for row in reply.credit_notes if find_mark(row.reference) == mark), None)

    def _credit_of(self, command: Command) -> Talk[Written | None]:
        """Return the credit of an earlier try: complete when nothing of it could still be used on the invoice."""
        note = yield from self.marked_credit(command.mark)
        if note is None:
            return None
        invoice = yield from self.shown(link(command, "invoice"))
        written = credit_written(note)
        done = open_part(note, invoice) == 0
        return Written(type=written.type, id=written.id, facts=written.facts, mark=written.mark, complete=done)

    def marked_note(self, command: Command) -> Talk[Written | None]:
        """Return the newest history record that carries the command's mark."""
        invoice = command.links.get("invoice") or facts.read_history_id(command.bound_id)[0]
        reply = yield from self.get(f"/Invoices/{segment(invoice)}/History")
        if not (text := facts.note_of(reply.history_records, command.mark)):
            return None
        id_ = facts.history_id(invoice, command.mark)
        return Written(type="history", id=id_, facts=facts.read_shipment(text), mark=command.mark)

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the object that a set is about to change."""
        if command.capability in {"record_shipment", "add_note"}:
            return (yield from self.marked_note(command))
        if command.capability == "upsert_customer":
            reply = yield from self.find(f"/Contacts/{segment(command.bound_id)}")
            return contact_written(reply.contacts[0]) if reply is not None and reply.contacts else None
        if command.capability in {"record_payment", "reverse_payment", "record_refund", "reverse_refund"}:
            reply = yield from self.find(f"/Payments/{segment(command.bound_id)}")
            return payment_written(reply.payments[0]) if reply is not None and reply.payments else None
        if command.capability == "issue_credit":
            reply = yield from self.find(f"/CreditNotes/{segment(command.bound_id)}", _FOUR)
            return credit_written(reply.credit_notes[0]) if reply is not None and reply.credit_notes else None
        reply = yield from self.find(f"/Invoices/{segment(command.bound_id)}", _FOUR)
        return invoice_written(reply.invoices[0]) if reply is not None and reply.invoices else None


def _carries(*marks: str) -> str:
    """Return the filter for a Reference that contains a mark; without its first part a null would be an error."""
    tests = " OR ".join(f"Reference.Contains({quoted(mark)})" for mark in marks)
    return f"Reference!=null AND {f'({tests})' if len(marks) > 1 else tests}"


def _carrying(rows: Sequence[wire.Invoice], mark: str) -> wire.Invoice | None:
    """Return the invoice that carries *mark*, one that is not ended if there is one."""
    found = [row for row in rows if find_mark(row.reference) == mark]
    return min(found, key=lambda row: (row.status in ENDED, row.invoice_id), default=None)


def _marked(rows: Sequence[wire.Invoice], mark: str) -> Written | None:
    best = _carrying(rows, mark)
    return None if best is None else invoice_written(best)
