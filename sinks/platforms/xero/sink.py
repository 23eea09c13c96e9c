"""Xero: an order is an approved invoice (ACCREC) whose Reference carries our mark; Xero numbers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from types import MappingProxyType

from app.core.errors import ConflictError, DuplicateError, O2CError, RejectedError
from app.core.talk import Talk, segment
from schemas.commands import Command
from schemas.facts import Credit, Customer, Facts, Invoice, Party, Payment, Shipment
from schemas.money import ZERO
from schemas.platforms.xero import facts, wire
from sinks.base import Written
from sinks.platforms.xero import bodies
from sinks.platforms.xero.asking import beside, customer_key
from sinks.platforms.xero.refusals import is_too_much
from sinks.platforms.xero.reversing import Reversing
from sinks.platforms.xero.written import (
    ENDED,
    contact_written,
    credit_written,
    dated,
    facts_of,
    invoice_written,
    is_used_on,
    link,
    matched,
    open_part,
    overpayment_written,
    payment_written,
    usable,
)

_FOUR: Mapping[str, str] = MappingProxyType({"unitdp": "4"})
_APART: Mapping[str, str] = MappingProxyType({"summarizeErrors": "false"})
_FOUR_APART: Mapping[str, str] = MappingProxyType({**_FOUR, **_APART})
_REFUSED = (ConflictError, DuplicateError, RejectedError)
_DETAILS = 2_500


class XeroSink(Reversing):
    """PUT creates, POST changes by id only: a POST with a number would overwrite a stranger's invoice."""

    batch = MappingProxyType({"upsert_invoice": 50, "record_payment": 50})
    asks = MappingProxyType({"upsert_invoice": 50})
    mappings = MappingProxyType(
        {
            "upsert_invoice": ("accounts.sales", "accounts.rounding", "taxes"),
            "request_payment": ("accounts.sales", "accounts.rounding", "taxes"),
            "issue_credit": ("accounts.sales", "taxes"),
            "record_payment": ("accounts.payments",),
            "record_refund": ("accounts.payments",),
        }
    )

    # --------------------------------------------------------------------------------------------- customers

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Find by e-mail or name, else create; a bound contact gets the new name, e-mail and address."""
        party = facts_of(command, Customer).party
        if not command.bound_id:
            return contact_written((yield from self.contact(party)))
        body = {"ContactID": command.bound_id, **bodies.contact(party, party.name or party.email)}
        reply = yield from self.put("/Contacts", {"Contacts": [body]}, "contact", _APART, method="POST")
        return contact_written(reply.contacts[0])

    # ---------------------------------------------------------------------------------------------- invoices

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        """Create an approved invoice, looked for first where it may be there; a bound one gets the changes only."""
        if command.bound_id:
            return (yield from self._change(command))
        if command.presence != "absent" and (found := (yield from self.probe(command))) is not None:
            return found
        invoice = facts_of(command, Invoice)
        contact = yield from self.contact(invoice.customer)
        body = bodies.invoice(invoice, contact.contact_id, command.mark, self.connection)
        reply = yield from self.put("/Invoices", {"Invoices": [body]}, "invoice", _FOUR_APART)
        return invoice_written(reply.invoices[0])

    def _change(self, command: Command) -> Talk[Written]:
        shown = yield from self.shown(command.bound_id)
        reference = facts.read_reference(shown.reference)
        body = bodies.changed(facts_of(command, Invoice), command.changes, reference, self.connection)
        if not body:
            return invoice_written(shown)
        sent = {"Invoices": [{"InvoiceID": command.bound_id, **body}]}
        reply = yield from self.put(f"/Invoices/{segment(command.bound_id)}", sent, "update", _FOUR, method="POST")
        return invoice_written(reply.invoices[0])

    def void_invoice(self, command: Command) -> Talk[Written]:
        """Void an approved invoice, delete a draft; what is ended already stays as it is."""
        shown = yield from self.shown(command.bound_id or link(command, "invoice"))
        if shown.status in ENDED:
            return invoice_written(shown)
        status = "DELETED" if shown.status in {"DRAFT", "SUBMITTED"} else "VOIDED"
        sent = {"Invoices": [{"InvoiceID": shown.invoice_id, "Status": status}]}
        reply = yield from self.put(f"/Invoices/{segment(shown.invoice_id)}", sent, "void", method="POST")
        return invoice_written(reply.invoices[0])

    def request_payment(self, command: Command) -> Talk[Written]:
        """Make the invoice if it is not there and let Xero e-mail it (contacts the customer).

        A change is made on the invoice alone: the customer is mailed once, a second mail is for a person to send.
        """
        if command.kind == "set":
            return (yield from self._change(command))
        if command.bound_id or command.links.get("invoice"):
            written = invoice_written((yield from self.shown(command.bound_id or command.links["invoice"])))
        else:
            written = yield from self.upsert_invoice(command)
        yield from self.put(f"/Invoices/{segment(written.id)}/Email", {}, "email", method="POST", once=True)
        yield from self._mark_as_sent(written.id)
        return written

    def _mark_as_sent(self, id_: str) -> Talk[None]:
        """Mark what was mailed as sent, unless Xero did: nothing says that it does, and whoever asks later looks there.

        "You can mark them as sent in Xero by setting SentToContact" (https://developer.xero.com/documentation/api/
        accounting/invoices). Where the invoice takes no change any more, the mail has left all the same.
        """
        if (yield from self.shown(id_)).sent_to_contact:
            return
        sent = {"Invoices": [{"InvoiceID": id_, "SentToContact": True}]}
        with suppress(ConflictError, RejectedError):
            yield from self.put(f"/Invoices/{segment(id_)}", sent, "sent", method="POST")

    # ----------------------------------------------------------------------------------------------- payments

    def record_payment(self, command: Command) -> Talk[Written]:
        """Record money received; what exceeds the open amount, or has no invoice, becomes an overpayment."""
        payment = facts_of(command, Payment)
        if command.presence != "absent" and (found := (yield from self.probe(command))) is not None:
            return found if found.complete else (yield from self._overpaid(command, payment))
        if not command.links.get("invoice"):
            contact = yield from self.contact(payment.customer)
            body = bodies.overpayment(payment, contact.contact_id, payment.amount, command.mark, self.connection)
            reply = yield from self.put("/BankTransactions", {"BankTransactions": [body]}, "advance", _APART)
            return overpayment_written(reply.bank_transactions[0])
        body = self._payment(command, payment, payment.amount)
        try:
            reply = yield from self.put("/Payments", {"Payments": [body]}, "payment", _APART)
        except RejectedError as error:
            if not is_too_much(error):
                raise
            return (yield from self._overpaid(command, payment))
        return payment_written(reply.payments[0])

    def _payment(self, command: Command, payment: Payment, amount: Decimal) -> bodies.Row:
        on = {"Invoice": {"InvoiceID": link(command, "invoice")}}
        return bodies.payment(payment, on, amount, command.mark, self.connection)

    def _overpaid(self, command: Command, payment: Payment) -> Talk[Written]:
        """Pay what is open and book the rest as an overpayment; what an earlier try did is not done again."""
        part = yield from self.payment_with(command.mark)
        begun = True
        if part is None:
            invoice = yield from self.shown(link(command, "invoice"))
            part = yield from self.payment_on(invoice, command.mark)
            if part is None:
                begun = False
                due = min(invoice.amount_due or ZERO, payment.amount)
                if invoice.status in ENDED:
                    raise RejectedError("Xero: the invoice is void; a person has to book the payment.")
                if due == 0:
                    return (yield from self._overpay(command, payment, payment.amount, command.mark))
                body = self._payment(command, payment, due)
                reply = yield from self.put("/Payments", {"Payments": [body]}, f"payment-due:{command.id}", _APART)
                part = payment_written(reply.payments[0])
        made = part.facts.amount if isinstance(part.facts, Payment) else payment.amount
        if made >= payment.amount:  # an earlier try came to all of it, and no search had shown that yet
            return part
        # The payment is made first: without it no earlier try can have come to the rest, which only a long walk finds.
        extra = (yield from self.marked_advance(beside(command.mark))) if begun else None
        if extra is None:
            extra = yield from self._overpay(command, payment, payment.amount - made, beside(command.mark))
        return Written(type=part.type, id=part.id, facts=part.facts, mark=part.mark, also=(extra,))

    def _overpay(self, command: Command, payment: Payment, amount: Decimal, mark: str) -> Talk[Written]:
        invoice = yield from self.shown(link(command, "invoice"))
        contact = invoice.contact.contact_id if invoice.contact else ""
        step, body = f"overpayment:{command.id}", bodies.overpayment(payment, contact, amount, mark, self.connection)
        reply = yield from self.put("/BankTransactions", {"BankTransactions": [body]}, step, _APART)
        return overpayment_written(reply.bank_transactions[0])

    def reverse_payment(self, command: Command) -> Talk[Written]:
        """Take back money that no longer counts; an overpayment is paid out again, since Xero removes none."""
        return (yield from self.taken_back(command))

    def reverse_refund(self, command: Command) -> Talk[Written]:
        """Remove a refund that we recorded on a credit note, which is open again; to Xero it is a payment as well."""
        return (yield from self.taken_back(command))

    # ------------------------------------------------------------------------------------------------- credits

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Credit the invoice's customer and use the credit on the invoice as far as it is open.

        Two steps, so an earlier try is always looked for: what it left undone is done.
        """
        credit = facts_of(command, Credit)
        invoice = yield from self.shown(link(command, "invoice"))
        note = yield from self.marked_credit(command.mark)
        if note is None:
            contact = invoice.contact.contact_id if invoice.contact else ""
            body = bodies.credit(credit, contact, command.mark, self.connection)
            reply = yield from self.put("/CreditNotes", {"CreditNotes": [body]}, "credit", _FOUR_APART)
            note = reply.credit_notes[0]
        return (yield from self._allocated(note, invoice, open_part(note, invoice)))

    def apply_credit(self, command: Command) -> Talk[Written]:
        """Use what a credit note has left on an invoice, as far as that is open; what is used on it already stays."""
        note = yield from self.credit_note(command)
        invoice = yield from self.shown(link(command, "invoice"))
        amount = ZERO if is_used_on(note, invoice.invoice_id) else usable(note, invoice)
        return (yield from self._allocated(note, invoice, amount))

    def _allocated(self, note: wire.CreditNote, invoice: wire.Invoice, amount: Decimal) -> Talk[Written]:
        if amount > 0:
            body = {"Invoice": {"InvoiceID": invoice.invoice_id}, "Amount": amount, **dated(note)}
            path = f"/CreditNotes/{segment(note.credit_note_id)}/Allocations"
            yield from self.put(path, {"Allocations": [body]}, "allocation", _APART)
            shown = yield from self.get(f"/CreditNotes/{segment(note.credit_note_id)}", _FOUR)
            note = shown.credit_notes[0]
        return credit_written(note)

    def record_refund(self, command: Command) -> Talk[Written]:
        """Record money paid back on the credit note that stands for it; no money moves by it."""
        refund = facts_of(command, Credit)
        if command.presence != "absent" and (found := (yield from self.probe(command))) is not None:
            return found
        note = yield from self._paid_from(command, refund.amount)
        if not note.remaining_credit:
            raise RejectedError("Xero: the credit is used up on the invoice, nothing of it was paid back.")
        on = {"CreditNote": {"CreditNoteID": note.credit_note_id}}
        amount = min(refund.amount, note.remaining_credit)
        body = bodies.payment(refund, on, amount, command.mark, self.connection)
        reply = yield from self.put("/Payments", {"Payments": [body]}, "refund", _APART)
        return payment_written(reply.payments[0])

    def _paid_from(self, command: Command, amount: Decimal) -> Talk[wire.CreditNote]:
        """Return the credit note to pay out of, taken off an invoice that the buyer paid at least as much on.

        What was paid back in cash did not lower what is open: a part-paid invoice owes as much as before.
        """
        note = yield from self.credit_note(command)
        for used in note.allocations:
            if (note.remaining_credit or ZERO) >= amount or used.invoice is None:
                break
            invoice = yield from self.shown(used.invoice.invoice_id)
            if (invoice.amount_paid or ZERO) < amount:
                break
            path = f"/CreditNotes/{segment(note.credit_note_id)}/Allocations/{segment(used.allocation_id)}"
            yield from self.delete(path, f"release:{used.allocation_id}")
            note = yield from self.credit_note(command)
        return note

    # ------------------------------------------------------------------------------------------------- history

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Write the parcel into the invoice's history, where a change is a further note: Xero has no shipments."""
        parcel = facts_of(command, Shipment)
        return (yield from self._note(command, facts.shipment_text(parcel, command.mark), parcel))

    def add_note(self, command: Command) -> Talk[Written]:
        """Write a note into the invoice's history; it cannot be changed or removed."""
        text = f"{command.text[: _DETAILS - len(command.mark) - 1]} {command.mark}".strip()
        return (yield from self._note(command, text, None))

    def _note(self, command: Command, text: str, shown: Facts | None) -> Talk[Written]:
        invoice = command.links.get("invoice") or facts.read_history_id(command.bound_id)[0]
        if not invoice:
            raise RejectedError("Xero: there is no invoice to write the note on.")
        written = Written(type="history", id=facts.history_id(invoice, command.mark), facts=shown, mark=command.mark)
        reply = yield from self.get(f"/Invoices/{segment(invoice)}/History")
        if facts.note_of(reply.history_records, command.mark) != text:
            body = {"HistoryRecords": [{"Details": text}]}
            yield from self.put(f"/Invoices/{segment(invoice)}/History", body, "note")
        return written

    # ------------------------------------------------------------------------------------------------- batches

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        """Create up to fifty invoices or payments in one call; each succeeds or fails for itself."""
        results: dict[str, Written | O2CError] = {}
        fresh = [command for command in commands if not command.bound_id and command.presence == "absent"]
        for command in commands:
            if command not in fresh:
                results[command.id] = yield from self._alone(command)
        if fresh and fresh[0].capability == "record_payment":
            yield from self._pay_many(fresh, results)
        elif fresh:
            yield from self._bill_many(fresh, results)
        return [results[command.id] for command in commands]

    def _alone(self, command: Command) -> Talk[Written | O2CError]:
        try:
            return (yield from self.write(command))
        except O2CError as error:
            return error

    def _bill_many(self, commands: Sequence[Command], results: dict[str, Written | O2CError]) -> Talk[None]:
        invoices = {command.id: facts_of(command, Invoice) for command in commands}
        contacts = yield from self._contacts_of({id_: invoice.customer for id_, invoice in invoices.items()}, results)
        rows: dict[str, bodies.Row] = {}
        for command in (one for one in commands if one.id in contacts):
            try:
                contact_id, mark = contacts[command.id].contact_id, command.mark
                rows[command.id] = bodies.invoice(invoices[command.id], contact_id, mark, self.connection)
            except RejectedError as error:
                results[command.id] = error
        if rows:
            sent = [command for command in commands if command.id in rows]
            body = {"Invoices": list(rows.values())}
            try:
                reply = yield from self.put("/Invoices", body, "invoices", _FOUR_APART)
            except _REFUSED as error:
                results.update(_only(sent, error))
            else:
                results.update(matched(sent, reply.invoices, invoice_written))

    def _contacts_of(
        self, parties: Mapping[str, Party | None], refused: dict[str, Written | O2CError]
    ) -> Talk[dict[str, wire.Contact]]:
        """Return command -> contact; those that are missing are made together, and told apart one by one."""
        named = {id_: party for id_, party in parties.items() if party is not None and (party.email or party.name)}
        known = yield from self.contacts_by_key(list(named.values()))
        known |= yield from self.new_contacts([party for party in named.values() if customer_key(party) not in known])
        found: dict[str, wire.Contact] = {}
        for id_, party in parties.items():
            key = customer_key(named[id_]) if id_ in named else ""
            try:
                if key and key not in known:
                    known[key] = yield from self.new_contact(named[id_])
                found[id_] = known[key] if key else (yield from self.contact(party))
            except O2CError as error:
                refused[id_] = error
        return found

    def _pay_many(self, commands: Sequence[Command], results: dict[str, Written | O2CError]) -> Talk[None]:
        on_account = [command for command in commands if not command.links.get("invoice")]
        if on_account:
            yield from self._keep_many(on_account, results)
        on_invoices = [command for command in commands if command.links.get("invoice")]
        if on_invoices:
            yield from self._settle_many(on_invoices, results)

    def _keep_many(self, commands: Sequence[Command], results: dict[str, Written | O2CError]) -> Talk[None]:
        """Book money that no invoice waits for."""
        payments = {command.id: facts_of(command, Payment) for command in commands}
        contacts = yield from self._contacts_of({id_: payment.customer for id_, payment in payments.items()}, results)
        sent = [command for command in commands if command.id in contacts]
        rows = [
            bodies.overpayment(
                payments[command.id], contacts[command.id].contact_id, payments[command.id].amount, command.mark,
                self.connection,
            )
            for command in sent
        ]  # fmt: skip
        if not rows:
            return
        try:
            reply = yield from self.put("/BankTransactions", {"BankTransactions": rows}, "advances", _APART)
        except _REFUSED as error:
            results.update(_only(sent, error))
        else:
            results.update(matched(sent, reply.bank_transactions, overpayment_written, facts.advance_mark))

    def _settle_many(self, commands: Sequence[Command], results: dict[str, Written | O2CError]) -> Talk[None]:
        rows = [
            self._payment(command, facts_of(command, Payment), facts_of(command, Payment).amount)
            for command in commands
        ]
        try:
            reply = yield from self.put("/Payments", {"Payments": rows}, "payments", _APART)
        except _REFUSED as error:
            results.update(_only(commands, error))
        else:
            results.update(matched(commands, reply.payments, payment_written))
        for command in commands:
            refused = results[command.id]
            if isinstance(refused, O2CError) and is_too_much(refused):
                results[command.id] = yield from self._overpaid_alone(command)

    def _overpaid_alone(self, command: Command) -> Talk[Written | O2CError]:
        try:
            return (yield from self._overpaid(command, facts_of(command, Payment)))
        except O2CError as error:
            return error


def _only(commands: Sequence[Command], error: O2CError) -> dict[str, Written | O2CError]:
    """Return the refusal of a batch of one as its element's; a refused batch of several is raised: it is split."""
    if len(commands) > 1:
        raise error
    return {commands[0].id: error}
