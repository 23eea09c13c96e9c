"""Stripe: an order becomes an invoice in three steps (draft, lines, finalize); outside money is a payment record."""

from __future__ import annotations

from typing import Any

from app.core.errors import (
    ConflictError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.status import from_status, retry_after
from app.core.talk import Request, Response, Talk, segment
from schemas.commands import Command
from schemas.facts import Credit, Customer, Invoice, Party, Payment, Shipment
from schemas.money import to_minor
from schemas.platforms.stripe import PLATFORM
from schemas.platforms.stripe.facts import MARK, PARTS, anchors, ident, mark, to_facts
from sinks.base import Sink, Written

_KEY = "header:Idempotency-Key"
_CLIENT = 400
_CONFLICT = 409
_SERVER = 500


class StripeSink(Sink):
    """Every POST carries an idempotency key; our mark sits in metadata.o2c."""

    platform = PLATFORM

    def _written(self, record: dict[str, Any]) -> Written:
        return Written(
            type=str(record["object"]),
            id=ident(record),
            facts=to_facts(record, self.connection.time_zone),
            mark=mark(record),
            complete=record.get("object") != "invoice" or record.get("status") != "draft",
            anchors=anchors(self.connection, record),
        )

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error; `Stripe-Should-Retry` overrides every rule."""
        if response.status < _CLIENT:
            return from_status("Stripe", response, mutating=mutating)
        error = _error(response)
        text = f"Stripe answered {response.status}: {error.get('code') or error.get('type') or 'no reason given'}."
        should = response.headers.get("stripe-should-retry")
        if error.get("code") in {"rate_limit", "lock_timeout"}:
            return RateLimited(text, retry_after(response))
        if error.get("type") == "idempotency_error":
            return RejectedError(text)
        if response.status == _CONFLICT:
            return RetryableError(text)
        if error.get("code") == "resource_already_exists":
            return DuplicateError(text)
        if error.get("code") in {
            "invoice_not_editable",
            "payment_intent_unexpected_state",
            "charge_already_refunded",
        }:
            return ConflictError(text)
        if should == "true" and response.status < _SERVER:
            return RetryableError(text)
        if should == "false" and response.status >= _SERVER:
            return UncertainError(text) if mutating else RejectedError(text)
        return from_status(
            "Stripe", response, mutating=mutating, detail=str(error.get("code") or error.get("type") or "")
        )

    def _post(self, step: str, path: str, form: dict[str, str], lock: str = "") -> Talk[dict[str, Any]]:
        return (
            yield from self._ask(
                Request(method="POST", path=path, form=form, mutates=True, step=step, key_in=_KEY, lock=lock)
            )
        )

    def _ask(self, request: Request) -> Talk[dict[str, Any]]:
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        record: dict[str, Any] = reply.json()
        return record

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Find by e-mail, else create; the natural key is locked."""
        if not isinstance(command.facts, Customer):
            raise RejectedError("Stripe: upsert_customer needs a customer.")
        return self._written((yield from self._customer(command.facts.party)))

    def _customer(self, party: Party) -> Talk[dict[str, Any]]:
        if party.email:
            found = yield from self._ask(
                Request(method="GET", path="/v1/customers", params={"email": party.email, "limit": "1"})
            )
            if found["data"]:
                first: dict[str, Any] = found["data"][0]
                return first
        form = {name: value for name, value in (("email", party.email), ("name", party.name)) if value}
        return (yield from self._post("customer", "/v1/customers", form, lock=f"customer:{party.email or party.name}"))

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        """Create, fill and finalize an invoice without sending it; a bound one only changes its memo."""
        invoice = command.facts
        if not isinstance(invoice, Invoice):
            raise RejectedError("Stripe: upsert_invoice needs an invoice.")
        if command.bound_id:
            changed = {"description": invoice.note} if "note" in command.changes else {}
            path = f"/v1/invoices/{segment(command.bound_id)}"
            return self._written(
                (yield from self._post("update", path, {**changed, f"metadata[{MARK}]": command.mark}))
            )
        customer = yield from self._customer(invoice.customer or Party(name=invoice.reference))
        draft = yield from self._post("draft", "/v1/invoices", self._draft(command, invoice, str(customer["id"])))
        yield from self._post("lines", f"/v1/invoices/{segment(draft['id'])}/add_lines", _lines(invoice))
        path = f"/v1/invoices/{segment(draft['id'])}/finalize"
        return self._written((yield from self._post("finalize", path, {"auto_advance": "false"})))

    def _draft(self, command: Command, invoice: Invoice, customer: str) -> dict[str, str]:
        form = {
            "customer": customer,
            "currency": invoice.currency.lower(),
            "collection_method": "send_invoice",
            "days_until_due": self.connection.options.get("days_until_due", "30"),
            "auto_advance": "false",
            "pending_invoice_items_behavior": "exclude",
            f"metadata[{MARK}]": command.mark,
            "metadata[order_id]": invoice.reference,
        }
        return {**form, "description": invoice.note} if invoice.note else form

    def void_invoice(self, command: Command) -> Talk[Written]:
        """Void an open invoice."""
        path = f"/v1/invoices/{segment(command.bound_id or command.links['invoice'])}/void"
        return self._written((yield from self._post("void", path, {})))

    def request_payment(self, command: Command) -> Talk[Written]:
        """Send the invoice to the customer (contacts the customer)."""
        path = f"/v1/invoices/{segment(command.bound_id or command.links['invoice'])}/send"
        return self._written((yield from self._post("send", path, {})))

    def record_payment(self, command: Command) -> Talk[Written]:
        """Report money taken outside Stripe and attach it to the invoice; nothing is charged."""
        payment = command.facts
        if not isinstance(payment, Payment):
            raise RejectedError("Stripe: record_payment needs a payment.")
        record = yield from self._post("report", "/v1/payment_records/report_payment", _reported(command, payment))
        if invoice := command.links.get("invoice"):
            form = {"payment_record": str(record["id"]), "expand[0]": "payments"}
            paid = yield from self._post("attach", f"/v1/invoices/{segment(invoice)}/attach_payment", form)
            record[PARTS] = [part for part in _parts(paid.get("payments")) if _record_of(part) == record["id"]]
        return self._written(record)

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Write a credit note whose amount was returned outside Stripe; no money moves and nobody is mailed."""
        credit = _credit(command)
        units = str(to_minor(credit.amount, credit.currency))
        form = {
            "invoice": command.links["invoice"],
            "amount": units,
            "email_type": "none",  # Stripe mails the customer where nothing is said
            f"metadata[{MARK}]": command.mark,
            **({"out_of_band_amount": units} if command.links.get("payment") else {}),
        }
        return self._written((yield from self._post("credit", "/v1/credit_notes", form)))

    def record_refund(self, command: Command) -> Talk[Written]:
        """Refund at the processor (moves money)."""
        credit = _credit(command)
        form = {
            "payment_intent": command.links["payment"],
            "amount": str(to_minor(credit.amount, credit.currency)),
            f"metadata[{MARK}]": command.mark,
        }
        return self._written((yield from self._post("refund", "/v1/refunds", form)))

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Write carrier and tracking number into the invoice's metadata."""
        parcel = command.facts
        if not isinstance(parcel, Shipment):
            raise RejectedError("Stripe: record_shipment needs a shipment.")
        tracking = ", ".join(parcel.tracking_numbers)
        form = {"metadata[carrier]": parcel.carrier, "metadata[tracking_number]": tracking}
        return self._written(
            (yield from self._post("shipment", f"/v1/invoices/{segment(command.links['invoice'])}", form))
        )

    def add_note(self, command: Command) -> Talk[Written]:
        """Write a short note into the invoice's metadata (500 characters)."""
        form = {"metadata[note]": command.text[:500]}
        return self._written((yield from self._post("note", f"/v1/invoices/{segment(command.links['invoice'])}", form)))

    def probe(self, command: Command) -> Talk[Written | None]:
        """List the newest objects of the kind and compare marks: search lags, lists do not."""
        if command.capability == "record_payment":
            return (yield from self._probe_payment(command.links.get("invoice", ""), command.mark))
        path = {"issue_credit": "/v1/credit_notes", "record_refund": "/v1/refunds"}.get(
            command.capability, "/v1/invoices"
        )
        after: dict[str, str] = {}
        while True:
            page = yield from self._ask(Request(method="GET", path=path, params={"limit": "100", **after}))
            for record in page["data"]:
                if mark(record) == command.mark:
                    return self._written(record)
            if not page.get("has_more"):
                return None
            after = {"starting_after": str(page["data"][-1]["id"])}

    def _probe_payment(self, invoice: str, wanted: str) -> Talk[Written | None]:
        """Look at the payments of the invoice: there is no list of payment records."""
        params = {"invoice": invoice, "limit": "100"}
        paid = (
            (yield from self._ask(Request(method="GET", path="/v1/invoice_payments", params=params))) if invoice else {}
        )
        for part in _parts(paid):
            if id_ := _record_of(part):
                record = yield from self._ask(Request(method="GET", path=f"/v1/payment_records/{segment(id_)}"))
                if mark(record) == wanted:
                    return self._written({**record, PARTS: [part]})
        return None

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the bound invoice."""
        reply = yield Request(method="GET", path=f"/v1/invoices/{segment(command.bound_id)}")
        if reply.status == 404:  # noqa: PLR2004 - not found
            return None
        if (error := self.classify(reply, mutating=False)) is not None:
            raise error
        return self._written(reply.json())


def _parts(listed: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a list object, or none
    return [part for part in (listed or {}).get("data", []) if part.get("status") != "canceled"]


def _record_of(part: dict[str, Any]) -> str:
    """Return the payment record behind an invoice payment, "" where it is another kind of payment."""
    return ident((part.get("payment") or {}).get("payment_record"))


def _credit(command: Command) -> Credit:
    if not isinstance(command.facts, Credit):
        raise RejectedError(f"Stripe: {command.capability} needs a credit.")
    return command.facts


def _error(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except O2CError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _lines(invoice: Invoice) -> dict[str, str]:
    form: dict[str, str] = {}
    for position, line in enumerate(invoice.lines):
        amount = to_minor(line.net_amount + line.tax_amount, invoice.currency)
        form[f"lines[{position}][description]"] = f"{line.name or line.sku} x {line.quantity:f}"
        form[f"lines[{position}][amount]"] = str(amount)
    return form


def _reported(command: Command, payment: Payment) -> dict[str, str]:
    at = str(int(payment.paid_at.timestamp())) if payment.paid_at else "0"
    return {
        "amount_requested[currency]": payment.currency.lower(),
        "amount_requested[value]": str(to_minor(payment.amount, payment.currency)),
        "initiated_at": at,
        "outcome": "guaranteed",
        "guaranteed[guaranteed_at]": at,
        "payment_method_details[type]": "custom",
        "payment_method_details[custom][display_name]": payment.method or "Other",
        "processor_details[type]": "custom",
        "processor_details[custom][payment_reference]": payment.reference or command.mark,
        f"metadata[{MARK}]": command.mark,
    }


SINK = StripeSink
