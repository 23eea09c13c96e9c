"""Stripe: an order becomes an invoice in three steps (draft, lines, finalize); outside money is a payment record."""

from __future__ import annotations

from app.core.talk import Talk, segment
from schemas.commands import Command
from schemas.facts import Credit, Customer, Invoice, Party, Payment, Shipment
from schemas.platforms.stripe.facts import MARK, PARTS, units
from sinks.base import Written
from sinks.platforms.stripe import bodies
from sinks.platforms.stripe.bodies import facts_of
from sinks.platforms.stripe.probing import Probing, parts_of, record_of


class StripeSink(Probing):
    """Nothing here mails the customer or moves money but `request_payment` and `record_refund`."""

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Find by e-mail, else create; the natural key is locked."""
        return self.written((yield from self.customer(facts_of(command, Customer).party)))

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        """Create, fill and finalize an invoice without sending it; a bound one only changes its memo."""
        invoice = facts_of(command, Invoice)
        if command.bound_id:
            changed = {"description": invoice.note} if "note" in command.changes else {}
            path = f"/v1/invoices/{segment(command.bound_id)}"
            return self.written((yield from self.post("update", path, {**changed, f"metadata[{MARK}]": command.mark})))
        customer = yield from self.customer(invoice.customer or Party(name=invoice.reference))
        form = bodies.draft(command, invoice, str(customer["id"]), self.connection)
        draft = yield from self.post("draft", "/v1/invoices", form)
        yield from self.post("lines", f"/v1/invoices/{segment(draft['id'])}/add_lines", bodies.lines(invoice))
        path = f"/v1/invoices/{segment(draft['id'])}/finalize"
        return self.written((yield from self.post("finalize", path, {"auto_advance": "false"})))

    def void_invoice(self, command: Command) -> Talk[Written]:
        """Void an open invoice."""
        path = f"/v1/invoices/{segment(command.bound_id or command.links['invoice'])}/void"
        return self.written((yield from self.post("void", path, {})))

    def request_payment(self, command: Command) -> Talk[Written]:
        """Send the invoice to the customer (contacts the customer)."""
        path = f"/v1/invoices/{segment(command.bound_id or command.links['invoice'])}/send"
        return self.written((yield from self.post("send", path, {})))

    def record_payment(self, command: Command) -> Talk[Written]:
        """Report money taken outside Stripe and attach it to the invoice; nothing is charged."""
        form = bodies.reported(command, facts_of(command, Payment), self.connection)
        record = yield from self.post("report", "/v1/payment_records/report_payment", form)
        if invoice := command.links.get("invoice"):
            form = {"payment_record": str(record["id"]), "expand[0]": "payments"}
            paid = yield from self.post("attach", f"/v1/invoices/{segment(invoice)}/attach_payment", form)
            record[PARTS] = [part for part in parts_of(paid.get("payments")) if record_of(part) == record["id"]]
        return self.written(record)

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Write a credit note whose amount was returned outside Stripe; no money moves and nobody is mailed."""
        credit = facts_of(command, Credit)
        amount = str(units(credit.amount, credit.currency))
        form = {
            "invoice": command.links["invoice"],
            "amount": amount,
            "email_type": "none",  # Stripe mails the customer where nothing is said
            f"metadata[{MARK}]": command.mark,
            **({"out_of_band_amount": amount} if command.links.get("payment") else {}),
        }
        return self.written((yield from self.post("credit", "/v1/credit_notes", form)))

    def record_refund(self, command: Command) -> Talk[Written]:
        """Refund at the processor (moves money)."""
        credit = facts_of(command, Credit)
        form = {
            "payment_intent": command.links["payment"],
            "amount": str(units(credit.amount, credit.currency)),
            f"metadata[{MARK}]": command.mark,
        }
        return self.written((yield from self.post("refund", "/v1/refunds", form)))

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Write carrier and tracking number into the invoice's metadata."""
        parcel = facts_of(command, Shipment)
        tracking = ", ".join(parcel.tracking_numbers)
        form = {"metadata[carrier]": parcel.carrier, "metadata[tracking_number]": tracking}
        return self.written(
            (yield from self.post("shipment", f"/v1/invoices/{segment(command.links['invoice'])}", form))
        )

    def add_note(self, command: Command) -> Talk[Written]:
        """Write a short note into the invoice's metadata (500 characters)."""
        form = {"metadata[note]": command.text[:500]}
        return self.written((yield from self.post("note", f"/v1/invoices/{segment(command.links['invoice'])}", form)))
