"""Stripe: an order becomes an invoice in three steps (draft, lines, finalize); outside money is a payment record."""

from __future__ import annotations

from app.core.errors import RejectedError, UnsupportedError
from app.core.talk import Request, Talk, segment
from schemas.commands import Command
from schemas.facts import Credit, Customer, Invoice, Party, Payment, Shipment
from schemas.platforms.stripe.facts import MARK
from schemas.platforms.stripe.integers import units
from schemas.platforms.stripe.whose import PARTS, ident
from sinks.base import Written
from sinks.platforms.stripe import bodies
from sinks.platforms.stripe.asking import Record
from sinks.platforms.stripe.bodies import Form, facts_of, link
from sinks.platforms.stripe.probing import Probing, money_of, parts_of

_FIXED = frozenset(("currency", "payable_amount", "lines"))
"""What of a finalized invoice nobody can change."""


class StripeSink(Probing):
    """Nothing here mails the customer or moves money but `request_payment` and `record_refund`."""

    # --------------------------------------------------------------------------------------------- customers

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Find by e-mail, else by name, else create; a bound one gets the new name and e-mail."""
        party = facts_of(command, Customer).party
        if not command.bound_id:
            return self.written((yield from self.customer(party)))
        path = f"/v1/customers/{segment(command.bound_id)}"
        return self.written((yield from self.post("update", path, bodies.customer(party))))

    # ---------------------------------------------------------------------------------------------- invoices

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        """Create, fill and finalize an invoice without sending it; a bound one only changes its memo."""
        if command.bound_id:
            return (yield from self._change(command))
        return (yield from self.shown((yield from self._made(command))))

    def _change(self, command: Command) -> Talk[Written]:
        invoice = facts_of(command, Invoice)
        if fixed := _FIXED & set(command.changes):
            names = ", ".join(sorted(fixed))
            raise UnsupportedError(f"Stripe: {names} of a finalized invoice stays; void it and write a new one.")
        form = {"description": invoice.note} if "note" in command.changes else {}
        path = f"/v1/invoices/{segment(command.bound_id)}"
        return (
            yield from self.shown((yield from self.post("update", path, {**form, f"metadata[{MARK}]": command.mark})))
        )

    def _made(self, command: Command) -> Talk[Record]:
        """Return the finalized invoice of the order; one that an earlier try left is gone on with."""
        invoice = facts_of(command, Invoice)
        draft = None if command.presence == "absent" else (yield from self.marked_invoice(command))
        if draft is None:
            party = invoice.customer or Party()
            known = party.email or party.id or party.name
            customer = yield from self.customer(party if known else Party(name=invoice.reference))
            form = bodies.draft(command, invoice, str(customer["id"]), self.connection)
            draft = yield from self.post("draft", "/v1/invoices", form)
        if draft.get("status") != "draft":
            return draft
        path = f"/v1/invoices/{segment(draft['id'])}"
        yield from self._filled(draft, path, bodies.lines(invoice))
        return (yield from self.post("finalize", f"{path}/finalize", {"auto_advance": "false"}))

    def _filled(self, draft: Record, path: str, lines: Form) -> Talk[None]:
        """Put *lines* on a draft; what an earlier wish put there goes where it comes to something else."""
        if (draft.get("lines") or {}).get("data"):
            if int(draft.get("subtotal") or 0) == bodies.total(lines):
                return
            there = yield from self.rows(f"{path}/lines")
            yield from self.post("unlines", f"{path}/remove_lines", bodies.removed(ident(line) for line in there))
        yield from self.post("lines", f"{path}/add_lines", lines)

    def void_invoice(self, command: Command) -> Talk[Written]:
        """Void an invoice, delete a draft; what is void already stays as it is."""
        invoice = yield from self.invoice(command.bound_id or link(command, "invoice"))
        path = f"/v1/invoices/{segment(invoice['id'])}"
        if invoice.get("status") == "draft":
            yield from self.ask(Request(method="DELETE", path=path, mutates=True, step="delete"))
            return Written(type="invoice", id=ident(invoice))
        if invoice.get("status") != "void":
            invoice = yield from self.post("void", f"{path}/void", {})
        return (yield from self.shown(invoice))

    def request_payment(self, command: Command) -> Talk[Written]:
        """Make the invoice if it is not there and let Stripe mail it (contacts the customer); a change mails nobody."""
        if command.bound_id:
            return (yield from self._change(command))
        invoice = command.links.get("invoice") or ident((yield from self._made(command)))
        return (yield from self.shown((yield from self.post("send", f"/v1/invoices/{segment(invoice)}/send", {}))))

    # ------------------------------------------------------------------------------------------------- money

    def record_payment(self, command: Command) -> Talk[Written]:
        """Report money taken outside Stripe and attach it to the invoice; nothing is charged."""
        form = bodies.reported(command, facts_of(command, Payment), self.connection)
        record = yield from self.report(command, "/v1/payment_records/report_payment", form)
        if invoice := command.links.get("invoice"):
            form = {"payment_record": str(record["id"]), "expand[0]": "payments"}
            paid = yield from self.post("attach", f"/v1/invoices/{segment(invoice)}/attach_payment", form)
            listed = paid.get("payments") or {}
            parts = (yield from self.payments(command)) if listed.get("has_more") else parts_of(listed)
            record[PARTS] = [part for part in parts if money_of(part) == ("payment_record", str(record["id"]))]
        return self.written(record)

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Write a credit note; no money moves and nobody is mailed.

        It is split by what the invoice has left to pay, so once more where somebody paid meanwhile.
        """
        form = bodies.credit(command, facts_of(command, Credit), (yield from self.invoice(link(command, "invoice"))))
        try:
            note = yield from self.post("credit", "/v1/credit_notes", form)
        except RejectedError:
            paid = bodies.credit(command, facts_of(command, Credit), (yield from self.invoice(form["invoice"])))
            if paid == form:
                raise
            note = yield from self.post("credit-again", "/v1/credit_notes", paid)
        return (yield from self.shown(note))

    def void_credit(self, command: Command) -> Talk[Written]:
        """Void a credit note, which Stripe does while its invoice is open; what is void already stays as it is."""
        note = yield from self.note(command)
        if note.get("status") != "void":
            note = yield from self.post("void", f"/v1/credit_notes/{segment(note['id'])}/void", {})
        return (yield from self.shown(note))

    def record_refund(self, command: Command) -> Talk[Written]:
        """Refund at the processor (moves money); what was taken outside Stripe is only reported as gone back."""
        credit = facts_of(command, Credit)
        amount = units(credit.amount, credit.currency)
        kind, payment = yield from self._refundable(command, amount)
        if kind == "payment_record":
            form = bodies.refunded(command, credit, self.connection)
            path = f"/v1/payment_records/{segment(payment)}/report_refund"
            return self.refund_of((yield from self.report(command, path, form)), command, bodies.told(command, form))
        form = {kind: payment, "amount": str(amount), f"metadata[{MARK}]": command.mark}
        return self.written((yield from self.post("refund", "/v1/refunds", form)))

    def _refundable(self, command: Command, amount: int) -> Talk[tuple[str, str]]:
        """Return (type, id) of a payment of the order that *amount* can come out of, best the one we recorded."""
        parts = yield from self.payments(command)
        enough = [money_of(part) for part in parts if int(part.get("amount_paid") or 0) >= amount]
        wanted = command.links.get("payment", "")
        if wanted and wanted not in {money_of(part)[1] for part in parts}:
            return bodies.kind_of(wanted), wanted
        if not enough:
            raise RejectedError("Stripe: no payment on the invoice is known that the refund can come out of.")
        return min(enough, key=lambda one: (one[1] != wanted, one[0] != "payment_record"))

    # ----------------------------------------------------------------------------------------------- metadata

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Write carrier and tracking numbers into the invoice's metadata, each parcel under a key of its own."""
        return (yield from self._note(command, bodies.parcel(command, facts_of(command, Shipment))))

    def add_note(self, command: Command) -> Talk[Written]:
        """Write a note into the invoice's metadata, under a key of its own."""
        return (yield from self._note(command, bodies.note(command, "note", command.text)))

    def _note(self, command: Command, form: Form) -> Talk[Written]:
        path = f"/v1/invoices/{segment(link(command, 'invoice'))}"
        return (yield from self.noted((yield from self.post("note", path, form))))
