"""The forms that Stripe is sent: pure."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TypeVar
from zoneinfo import ZoneInfo

from app.core.errors import RejectedError
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Facts, Invoice, Payment
from schemas.platforms.stripe.facts import MARK, units

F = TypeVar("F", bound=Facts)
Form = dict[str, str]


def facts_of(command: Command, kind: type[F]) -> F:
    """Return the command's facts; RejectedError when they are of another kind."""
    if not isinstance(command.facts, kind):
        raise RejectedError(f"Stripe: {command.capability} needs {kind.__name__} facts.")
    return command.facts


def draft(command: Command, invoice: Invoice, customer: str, connection: Connection) -> Form:
    """Return a draft without lines, that nobody is sent and that takes in no loose items."""
    form = {
        "customer": customer,
        "currency": invoice.currency.lower(),
        "collection_method": "send_invoice",
        "days_until_due": connection.options.get("days_until_due", "30"),
        "auto_advance": "false",
        "pending_invoice_items_behavior": "exclude",
        f"metadata[{MARK}]": command.mark,
        "metadata[order_id]": invoice.reference,
    }
    return {**form, "description": invoice.note} if invoice.note else form


def lines(invoice: Invoice) -> Form:
    """Return the lines with their tax inside."""
    form: Form = {}
    for position, line in enumerate(invoice.lines):
        amount = units(line.net_amount + line.tax_amount, invoice.currency)
        form[f"lines[{position}][description]"] = f"{line.name or line.sku} x {line.quantity:f}"
        form[f"lines[{position}][amount]"] = str(amount)
    return form


def reported(command: Command, payment: Payment, connection: Connection) -> Form:
    """Return money that was taken outside Stripe."""
    at = str(_when(command, payment.paid_at, payment.date, connection))
    return {
        "amount_requested[currency]": payment.currency.lower(),
        "amount_requested[value]": str(units(payment.amount, payment.currency)),
        "initiated_at": at,
        "outcome": "guaranteed",
        "guaranteed[guaranteed_at]": at,
        "payment_method_details[type]": "custom",
        "payment_method_details[custom][display_name]": payment.method or "Other",
        "processor_details[type]": "custom",
        "processor_details[custom][payment_reference]": payment.reference or command.mark,
        f"metadata[{MARK}]": command.mark,
    }


def _when(command: Command, moment: datetime | None, on: date | None, connection: Connection) -> int:
    """Return the Unix second of *moment*, else of the day *on* where the account is, else of when o2c was told."""
    if moment is None and on is not None:
        moment = datetime.combine(on, time(), ZoneInfo(connection.time_zone))
    moment = moment or command.told_at
    if moment is None:
        raise RejectedError(f"Stripe: {command.capability} needs the day on which the money moved.")
    return int(moment.timestamp())
