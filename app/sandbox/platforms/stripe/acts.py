"""What people do in the simulated Stripe; amounts are in major units, as they say them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from app.sandbox.base import ActError, Verb
from app.sandbox.platforms.stripe import books
from app.sandbox.platforms.stripe.ledger import Ledger
from app.sandbox.platforms.stripe.records import Record


class Acts:
    """Customers, banks and clerks; answers are the records as they are then."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime], tell: Callable[[str, Record], None]) -> None:
        """*tell* hears of each event that the ledger does not tell itself."""
        self._ledger, self._clock, self._tell = ledger, clock, tell

    def verbs(self) -> dict[str, Verb]:
        """Return the acts by name."""
        return {
            "charge": self.charge,
            "checkout": self.checkout,
            "refund": self.refund,
            "payout": self.payout,
            "dispute": self.dispute,
            "close_dispute": self.close_dispute,
            "type_invoice": self.type_invoice,
            "bill_subscription": self.bill_subscription,
            "finalize_invoice": self.finalize,
            "credit_invoice": self.credit,
            "void_invoice": self.void,
            "pay_invoice": self.pay,
            "edit_invoice": self.edit,
            "tamper": self.tamper,
        }

    def charge(self, asked: Record) -> Record:
        """Take money, as a checkout or a terminal does."""
        currency = str(asked["currency"]).lower()
        metadata = dict(asked.get("metadata") or {})
        if asked.get("order_id"):
            metadata["order_id"] = str(asked["order_id"])
        values = {"amount": books.units(asked["amount"], currency), "currency": currency, "metadata": metadata}
        intent = self._ledger.create_intent({**values, "receipt_email": asked.get("email")}, succeeded=True)
        if asked.get("invoice"):
            self._ledger.attach(self._ledger.get("invoice", asked["invoice"]), {"payment_intent": intent["id"]})
        return intent

    def checkout(self, asked: Record) -> Record:
        """Buy at a checkout: it names the order in its metadata, the payment that it takes does not.

        With `invoice` it writes a bill of what was bought, which names it as little.
        """
        names = ("amount", "currency", "email", "invoice")
        intent = self.charge({name: asked[name] for name in names if asked.get(name)})
        session = self._ledger.add(
            "checkout.session",
            {
                "amount_total": intent["amount"],
                "currency": intent["currency"],
                "customer_email": asked.get("email"),
                "client_reference_id": asked.get("reference"),
                "metadata": {"order_id": str(asked["order_id"])} if asked.get("order_id") else {},
                "mode": "payment",
                "payment_intent": intent["id"],
                "invoice": asked.get("invoice"),
                "payment_status": "paid",
                "status": "complete",
            },
        )
        self._tell("checkout.session.completed", session)
        return session

    def refund(self, asked: Record) -> Record:
        """Give money back."""
        return self._ledger.refund(self._in_units(asked, "payment_intent"))

    def _in_units(self, asked: Record, kind: str) -> Record:
        currency = self._ledger.get(kind, asked[kind])["currency"]
        return {**asked, "amount": books.units(asked["amount"], currency)} if asked.get("amount") else asked

    def payout(self, asked: Record) -> Record:
        """Pay out to the bank."""
        currency = str(asked["currency"]).lower()
        arrival = int(self._clock().astimezone(UTC).timestamp())
        values = {"amount": books.units(asked["amount"], currency), "currency": currency, "arrival_date": arrival}
        record = self._ledger.add("payout", {**values, "status": asked.get("status", "paid")})
        self._tell(f"payout.{record['status']}", record)
        return record

    def dispute(self, asked: Record) -> Record:
        """Dispute a payment, as a bank does."""
        intent = self._ledger.get("payment_intent", asked["payment_intent"])
        values = {"amount": intent["amount"], "currency": intent["currency"], "payment_intent": intent["id"]}
        record = self._ledger.add(
            "dispute",
            {
                **values,
                "charge": intent["latest_charge"],
                "reason": "fraudulent",
                "status": asked.get("status", "needs_response"),
            },
        )
        self._ledger.get("charge", intent["latest_charge"])["disputed"] = True
        self._tell("charge.dispute.created", record)
        return record

    def close_dispute(self, asked: Record) -> Record:
        """Decide a dispute, as a bank does: it is won, or lost, as it is when the business accepts it."""
        record = self._ledger.get("dispute", asked["id"])
        record["status"] = asked.get("status", "lost")
        self._tell("charge.dispute.closed", record)
        return record

    def type_invoice(self, asked: Record) -> Record:
        """Type an invoice and send it."""
        currency = str(asked["currency"]).lower()
        customer = self._ledger.create_customer({"email": asked.get("email"), "name": asked.get("customer")})
        metadata = {"order_id": asked["reference"]} if asked.get("reference") else {}
        draft = {"customer": customer["id"], "currency": currency, "metadata": metadata}
        invoice = self._ledger.create_invoice({**draft, "collection_method": "send_invoice", "days_until_due": "30"})
        lines = [
            {"description": line.get("title"), "amount": books.units(_gross(line), currency)} for line in asked["lines"]
        ]
        self._ledger.add_lines(invoice, lines)
        return self._ledger.finalize(invoice)

    def bill_subscription(self, asked: Record) -> Record:
        """Draft the bill of a period, as a subscription does an hour before it charges; prices are without tax."""
        currency = str(asked["currency"]).lower()
        customer = self._ledger.create_customer({"email": asked.get("email"), "name": asked.get("customer")})
        draft = self._ledger.create_invoice({"customer": customer["id"], "currency": currency})
        return self._ledger.add_lines(draft, [_period(line, currency) for line in asked["lines"]])

    def finalize(self, asked: Record) -> Record:
        """Finalize a draft."""
        return self._ledger.finalize(self._ledger.get("invoice", asked["id"]))

    def credit(self, asked: Record) -> Record:
        """Write a credit note; what is not sent back through Stripe was returned outside it."""
        invoice = self._ledger.get("invoice", asked["invoice"])
        currency = invoice["currency"]
        amounts = {name: books.units(asked.get(name) or 0, currency) for name in ("amount", "refund_amount", "tax")}
        left = invoice["amount_remaining"] if invoice["status"] == "open" else 0
        outside = max(0, amounts["amount"] - left - amounts["refund_amount"])
        taxes = [{"amount": amounts["tax"], "tax_behavior": "exclusive"}] if amounts["tax"] else []
        return self._ledger.credit({**asked, **amounts, "out_of_band_amount": outside, "total_taxes": taxes})

    def void(self, asked: Record) -> Record:
        """Void an invoice."""
        return self._ledger.void(self._ledger.get("invoice", asked["id"]))

    def pay(self, asked: Record) -> Record:
        """Pay an invoice."""
        return self._ledger.pay(self._ledger.get("invoice", asked["id"]))

    def edit(self, asked: Record) -> Record:
        """Change the note of an invoice."""
        change = {"description": asked["note"]} if "note" in asked else {}
        return self._ledger.update_invoice(self._ledger.get("invoice", asked["id"]), change)

    def tamper(self, asked: Record) -> Record:
        """Falsify a record behind everyone's back."""
        record = next((found for kind in ("invoice", "payment_intent") for found in self._ledger.of(kind)), None)
        if record is None:
            raise ActError("there is nothing to tamper with")
        if asked["how"] == "remove":
            self._ledger.remove(record)
        elif asked["how"] == "double":
            self._ledger.add(record["object"], {**copy.deepcopy(record), "id": record["id"] + "x"})
        else:
            name = "total" if record["object"] == "invoice" else "amount_received"
            record[name] += 1
        return {"id": record["id"]}


def _gross(line: Record) -> Decimal:
    """Return what a typed line comes to with its tax; this account computes none itself."""
    net = Decimal(str(line["price"])) * Decimal(str(line.get("quantity", 1)))
    return (net * (100 + Decimal(str(line.get("tax_rate") or 0))) / 100).quantize(Decimal("0.01"))


def _period(line: Record, currency: str) -> Record:
    """Return a line of a period: what it costs, what a coupon takes off, and the tax on the rest."""
    quantity, rate = int(line.get("quantity", 1)), Decimal(str(line.get("tax_rate") or 0))
    amount, off = (books.units(Decimal(str(line.get(name) or 0)), currency) for name in ("price", "discount"))
    tax = int((Decimal(amount * quantity - off) * rate / 100).quantize(Decimal(1)))
    return {
        "description": line["title"],
        "quantity": quantity,
        "amount": amount * quantity,
        "taxes": [{"amount": tax, "tax_behavior": "exclusive"}] if tax else [],
        "discount_amounts": [{"amount": off, "discount": "di_1"}] if off else [],
    }
