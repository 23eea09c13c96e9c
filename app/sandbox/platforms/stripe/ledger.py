"""The rules of a Stripe account, without HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from app.sandbox.platforms.stripe.records import Emit, Record, Records, invalid


class Ledger(Records):
    """Customers, invoices and money: every change is reported to *emit* as Stripe names it."""

    def __init__(self, clock: Callable[[], datetime], emit: Emit) -> None:
        super().__init__(clock, emit)
        self.parts: defaultdict[str, list[Record]] = defaultdict(list)
        """Payment -> the invoice payments that say what it paid: the payment itself does not."""
        self._references = set[str]()

    # -- customers and invoices ---------------------------------------------------------------------------------------

    def create_customer(self, asked: Record) -> Record:
        """Create a customer; e-mails need not be unique, as at Stripe."""
        kept = {name: asked.get(name) for name in ("email", "name", "phone", "description")}
        record = self.add("customer", {**kept, "metadata": asked.get("metadata") or {}})
        self.emit("customer.created", record)
        return record

    def update_customer(self, record: Record, asked: Record) -> Record:
        """Change what is said of a customer."""
        record.update(
            {name: asked[name] or None for name in ("email", "name", "phone", "description") if name in asked}
        )
        self._metadata(record, asked.get("metadata"))
        self.emit("customer.updated", record)
        return record

    def create_invoice(self, asked: Record) -> Record:
        """Create a draft."""
        if not asked.get("customer"):
            raise invalid("Missing required param: customer.", "customer", "parameter_missing")
        customer = self.get("customer", asked["customer"])
        if asked.get("collection_method") == "send_invoice" and not (
            asked.get("days_until_due") or asked.get("due_date")
        ):
            raise invalid("send_invoice needs days_until_due or due_date.", "days_until_due", "parameter_missing")
        days, created = int(asked.get("days_until_due") or 0), int(self.clock().timestamp())
        due = int(asked.get("due_date") or 0) or (created + days * 86400 if days else None)
        record = self.add(
            "invoice",
            {
                "customer": asked["customer"],
                "customer_email": customer.get("email"),
                "customer_name": customer.get("name"),
                "currency": asked.get("currency", "usd"),
                "status": "draft",
                "number": None,
                "collection_method": asked.get("collection_method", "charge_automatically"),
                "auto_advance": False,
                "description": asked.get("description"),
                "metadata": asked.get("metadata") or {},
                "due_date": due,
                "amount_paid": 0,
                "attempted": False,
                "pre_payment_credit_notes_amount": 0,
                "post_payment_credit_notes_amount": 0,
                "total_taxes": [],
                "lines": {"object": "list", "data": [], "has_more": False, "url": ""},
                "hosted_invoice_url": None,
            },
        )
        self._sum(record)
        self.emit("invoice.created", record)
        return record

    def add_lines(self, invoice: Record, lines: list[Record]) -> Record:
        """Add lines to a draft."""
        self._draft(invoice)
        for position, line in enumerate(lines):
            units = line.get("amount")
            if units is None and (price := line.get("price_data")):
                units = int(price["unit_amount"]) * int(line.get("quantity", 1))
            if units is None:
                raise invalid("An amount is required.", f"lines[{position}][amount]", "parameter_missing")
            self.last += 1
            invoice["lines"]["data"].append(
                {
                    "id": f"il_{self.last:014d}",
                    "object": "line_item",
                    "amount": int(units),
                    "currency": invoice["currency"],
                    "description": line.get("description"),
                    "quantity": int(line.get("quantity", 1)),
                    "metadata": {},
                    "taxes": line.get("taxes") or [],
                    "discount_amounts": line.get("discount_amounts") or [],
                }
            )
        self._sum(invoice)
        self.emit("invoice.updated", invoice)
        return invoice

    def remove_lines(self, invoice: Record, lines: list[Record]) -> Record:
        """Take lines off a draft."""
        self._draft(invoice)
        gone = {line["id"] for line in lines}
        invoice["lines"]["data"] = [line for line in invoice["lines"]["data"] if line["id"] not in gone]
        self._sum(invoice)
        self.emit("invoice.updated", invoice)
        return invoice

    def finalize(self, invoice: Record) -> Record:
        """Give the draft its number and open it; an empty one is paid at once."""
        self._draft(invoice)
        self.last += 1
        invoice["number"] = f"SBX-{self.last:06d}"
        invoice["status"] = "open" if invoice["total"] > 0 else "paid"
        invoice["hosted_invoice_url"] = f"https://invoice.stripe.example/{invoice['id']}"
        self.emit("invoice.finalized", invoice)
        return invoice

    def update_invoice(self, invoice: Record, asked: Record) -> Record:
        """Change memo and metadata; other fields only in a draft."""
        free = {"description", "metadata"}
        if invoice["status"] != "draft" and (locked := sorted(set(asked) - free)):
            raise invalid("This invoice is finalized.", locked[0], "invoice_not_editable")
        if "description" in asked:
            invoice["description"] = asked["description"] or None
        self._metadata(invoice, asked.get("metadata"))
        self.emit("invoice.updated", invoice)
        return invoice

    def void(self, invoice: Record) -> Record:
        """Void an open or uncollectible invoice."""
        if invoice["status"] not in {"open", "uncollectible"}:
            raise invalid("You can only void open invoices.", code="invoice_not_editable")
        invoice["status"] = "void"
        self._sum(invoice)
        self.emit("invoice.voided", invoice)
        return invoice

    def pay(self, invoice: Record, units: int | None = None) -> Record:
        """Take *units* (default: all that is left) as paid."""
        if invoice["status"] != "open":
            raise invalid("Invoice is already paid" if invoice["status"] == "paid" else "Invoice is not open")
        invoice["amount_paid"] += invoice["amount_remaining"] if units is None else units
        self._sum(invoice)
        if invoice["amount_remaining"] <= 0:
            invoice["status"] = "paid"
            self.emit("invoice.paid", invoice)
        else:
            self.emit("invoice.updated", invoice)
        return invoice

    def _draft(self, invoice: Record) -> None:
        if invoice["status"] != "draft":
            raise invalid("This invoice is finalized.", code="invoice_not_editable")

    def _sum(self, invoice: Record) -> None:
        lines = invoice["lines"]["data"]
        taxes = [tax for line in lines for tax in line["taxes"]]
        off = sum(part["amount"] for line in lines for part in line["discount_amounts"])
        invoice["total_taxes"] = taxes
        invoice["subtotal"] = sum(line["amount"] for line in lines)
        total = invoice["subtotal"] - off + sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
        invoice["total"] = total
        invoice["amount_due"] = total - invoice["pre_payment_credit_notes_amount"]
        left = invoice["amount_due"] - invoice["amount_paid"]
        invoice["amount_remaining"] = 0 if invoice["status"] == "void" else max(0, left)

    def _metadata(self, record: Record, changes: Record | None) -> None:
        for key, value in (changes or {}).items():
            if value == "":
                record["metadata"].pop(key, None)
            else:
                record["metadata"][key] = value

    # -- money --------------------------------------------------------------------------------------------------------

    def create_intent(self, asked: Record, *, succeeded: bool) -> Record:
        """Create a payment intent, with its charge when the money came."""
        units = int(asked.get("amount") or 0)
        if units <= 0:
            raise invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
        record = self.add(
            "payment_intent",
            {
                "amount": units,
                "amount_received": units if succeeded else 0,
                "currency": asked.get("currency", "usd"),
                "status": "succeeded" if succeeded else "requires_payment_method",
                "customer": asked.get("customer"),
                "receipt_email": asked.get("receipt_email"),
                "metadata": asked.get("metadata") or {},
                "latest_charge": None,
            },
        )
        if succeeded:
            charge = self.add(
                "charge",
                {
                    "amount": units,
                    "amount_captured": units,
                    "amount_refunded": 0,
                    "refunded": False,
                    "disputed": False,
                    "currency": record["currency"],
                    "status": "succeeded",
                    "payment_intent": record["id"],
                    "metadata": dict(record["metadata"]),
                    "customer": record["customer"],
                },
            )
            record["latest_charge"] = charge["id"]
            self.emit("payment_intent.succeeded", record)
        return record

    def report_payment(self, asked: Record) -> Record:
        """Record money that was taken outside Stripe."""
        requested = asked.get("amount_requested") or {}
        for needed in ("amount_requested", "initiated_at", "payment_method_details"):
            if not asked.get(needed):
                raise invalid(f"Missing required param: {needed}.", needed, "parameter_missing")
        if int(asked["initiated_at"]) <= 0:
            raise invalid("This value must be a time.", "initiated_at", "parameter_invalid_integer")
        full = {"currency": str(requested["currency"]), "value": int(requested["value"])}
        none = {**full, "value": 0}
        outcome = asked.get("outcome", "")
        return self.add(
            "payment_record",
            {
                "amount": full,
                "amount_authorized": none,
                "amount_canceled": full if outcome == "canceled" else none,
                "amount_failed": full if outcome == "failed" else none,
                "amount_guaranteed": full if outcome == "guaranteed" else none,
                "amount_refunded": none,
                "amount_requested": full,
                "application": None,
                "customer_details": {"customer": None, "email": None, "name": None, "phone": None}
                | (asked.get("customer_details") or {}),
                "customer_presence": None,
                "description": None,
                "latest_payment_attempt_record": None,
                "metadata": asked.get("metadata") or {},
                "payment_method_details": asked["payment_method_details"],
                "processor_details": asked.get("processor_details") or {"type": "custom"},
                "reported_by": "self",
                "shipping_details": None,
            },
        )

    def report_end(self, record: Record, how: str) -> Record:
        """Record that an attempt was `canceled` or `failed`: what is guaranteed stays so, on an invoice or not."""
        if record["amount_guaranteed"]["value"]:
            raise invalid("The latest payment attempt is already guaranteed.", code="")
        record[f"amount_{how}"] = record["amount"]
        return record

    def report_refund(self, record: Record, asked: Record) -> Record:
        """Record that money taken outside Stripe went back; a reference may come once."""
        for needed in ("outcome", "processor_details", "refunded"):
            if not asked.get(needed):
                raise invalid(f"Missing required param: {needed}.", needed, "parameter_missing")
        reference = asked["processor_details"]["custom"]["refund_reference"]
        units = int((asked.get("amount") or record["amount"])["value"])
        if reference in self._references or record["amount_refunded"]["value"] + units > record["amount"]["value"]:
            raise invalid("This refund was reported already, or exceeds the payment.", "amount")
        self._references.add(reference)
        record["amount_refunded"] = {**record["amount"], "value": record["amount_refunded"]["value"] + units}
        self._metadata(record, asked.get("metadata"))
        return record

    def attach(self, invoice: Record, asked: Record) -> Record:
        """Put a payment record or intent on an invoice."""
        kind = "payment_record" if asked.get("payment_record") else "payment_intent"
        payment = self.get(kind, asked[kind])
        if kind == "payment_record" and not payment["amount_guaranteed"]["value"]:
            raise invalid("Only a guaranteed payment can be attached.", "payment_record")
        units = payment["amount_guaranteed"]["value"] if kind == "payment_record" else payment["amount_received"]
        paid = self.pay(invoice, units)
        part = self.add(
            "invoice_payment",
            {
                "amount_paid": units,
                "amount_requested": units,
                "currency": invoice["currency"],
                "invoice": invoice["id"],
                "is_default": True,
                "payment": {"type": kind, kind: payment["id"]},
                "status": "paid",
                "status_transitions": {"canceled_at": None, "paid_at": int(self.clock().timestamp())},
            },
        )
        self.parts[payment["id"]].append(part)
        self.emit("invoice_payment.paid", part)
        if "payments" not in (asked.get("expand") or []):
            return paid
        parts = list(self.having("invoice_payment", {"invoice": invoice["id"]}))[::-1]
        return {
            **paid,
            "payments": {"object": "list", "data": parts, "has_more": False, "url": "/v1/invoice_payments"},
        }

    def refund(self, asked: Record) -> Record:
        """Send money back."""
        intent = self.get("payment_intent", asked.get("payment_intent", ""))
        charge = self.get("charge", intent["latest_charge"] or "")
        units = int(asked.get("amount") or charge["amount"] - charge["amount_refunded"])
        if units <= 0 or charge["amount_refunded"] + units > charge["amount"]:
            raise invalid("Refund amount is greater than unrefunded amount.", "amount", "charge_already_refunded")
        charge["amount_refunded"] += units
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        record = self.add(
            "refund",
            {
                "amount": units,
                "currency": charge["currency"],
                "status": "succeeded",
                "charge": charge["id"],
                "payment_intent": intent["id"],
                "reason": asked.get("reason"),
                "metadata": asked.get("metadata") or {},
            },
        )
        self.emit("refund.created", record)
        self.emit("charge.refunded", charge)
        return record

    def credit(self, asked: Record) -> Record:
        """Write a credit note on a finalized invoice."""
        invoice = self.get("invoice", asked.get("invoice", ""))
        units = int(asked.get("amount") or 0)
        credited = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
        if units <= 0 or credited + units > invoice["total"]:
            raise invalid("The credit note exceeds the invoice.", "amount")
        before = min(units, invoice["amount_remaining"] if invoice["status"] == "open" else 0)
        after = units - before
        returned = sum(int(asked.get(name) or 0) for name in ("out_of_band_amount", "refund_amount", "credit_amount"))
        if returned != after:
            raise invalid(
                "refund, credit and out of band amounts must add up to the post payment amount.", "out_of_band_amount"
            )
        refunds = self._refunds(invoice, int(asked.get("refund_amount") or 0))
        invoice["pre_payment_credit_notes_amount"] += before
        invoice["post_payment_credit_notes_amount"] += after
        self._sum(invoice)
        record = self.add(
            "credit_note",
            {
                "amount": units,
                "total": units,
                "currency": invoice["currency"],
                "status": "issued",
                "type": "mixed" if before and after else "post_payment" if after else "pre_payment",
                "pre_payment_amount": before,
                "post_payment_amount": after,
                "invoice": invoice["id"],
                "customer": invoice["customer"],
                "metadata": asked.get("metadata") or {},
                "number": f"{invoice['number']}-CN-{self.last:02d}",
                "reason": asked.get("reason"),
                "out_of_band_amount": int(asked.get("out_of_band_amount") or 0) or None,
                "refunds": refunds,
                "total_taxes": asked.get("total_taxes") or [],
                "lines": {"object": "list", "data": [], "has_more": False},
            },
        )
        self.emit("credit_note.created", record)
        self.emit("invoice.updated", invoice)
        return record

    def _refunds(self, invoice: Record, units: int) -> list[Record]:
        """Send *units* back on what paid the invoice."""
        if not units:
            return []
        paid = [id_ for id_, parts in self.parts.items() if any(part["invoice"] == invoice["id"] for part in parts)]
        if not paid:
            raise invalid("This invoice has no payment to refund.", "refund_amount")
        back = self.refund({"payment_intent": paid[0], "amount": units})
        return [{"amount_refunded": units, "refund": back["id"], "type": "refund"}]

    def void_credit(self, record: Record) -> Record:
        """Take a credit note back."""
        if record["status"] == "void":
            raise invalid("This credit note is void.")
        invoice = self.get("invoice", record["invoice"])
        if invoice["status"] != "open":
            raise invalid("You can only void a credit note if its invoice is open.")
        record["status"] = "void"
        for when in ("pre", "post"):
            invoice[f"{when}_payment_credit_notes_amount"] -= record[f"{when}_payment_amount"]
        self._sum(invoice)
        self.emit("credit_note.voided", record)
        self.emit("invoice.updated", invoice)
        return record
