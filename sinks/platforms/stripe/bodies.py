"""The forms that Stripe is sent: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from app.core.errors import RejectedError
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Credit, Facts, Invoice, Party, Payment, Shipment
from schemas.platforms.stripe.facts import MARK, REFUND, written_key
from schemas.platforms.stripe.integers import units

F = TypeVar("F", bound=Facts)
Form = dict[str, str]
THEIR_ID = "crm_id"
_VALUE = 500


def facts_of(command: Command, kind: type[F]) -> F:
    """Return the command's facts; RejectedError when they are of another kind."""
    if not isinstance(command.facts, kind):
        raise RejectedError(f"Stripe: {command.capability} needs {kind.__name__} facts.")
    return command.facts


def link(command: Command, name: str) -> str:
    """Return the id that a write hangs on; RejectedError where the order has none here."""
    if not (id_ := command.links.get(name, "")):
        raise RejectedError(f"Stripe: {command.capability} needs the {name} that it belongs to.")
    return id_


def quoted(text: str) -> str:
    """Return *text* as a value in a search."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def customer(party: Party) -> Form:
    """Return a new customer; the e-mail in small letters, since lists tell them from capitals."""
    values = {"email": party.email.lower(), "name": party.name, f"metadata[{THEIR_ID}]": party.id}
    return {name: value for name, value in values.items() if value}


def note(command: Command, name: str, text: str) -> Form:
    """Return *text* as metadata of its own, which no other write touches: a value holds 500 characters."""
    key = written_key(name, command.mark)
    pieces = [text[start : start + _VALUE] for start in range(0, len(text), _VALUE)]
    return {f"metadata[{key}{f'_{number}' if number else ''}]": piece for number, piece in enumerate(pieces)}


def parcel(command: Command, shipment: Shipment) -> Form:
    """Return a parcel under a key of its own and, while it is the last one, under the names that people look for."""
    numbers = ", ".join(shipment.tracking_numbers)
    own = note(command, "parcel", f"{shipment.carrier} {numbers}".strip() or shipment.status)
    last = {"metadata[carrier]": shipment.carrier[:_VALUE], "metadata[tracking_number]": numbers[:_VALUE]}
    return {**own, **last}


def draft(command: Command, invoice: Invoice, customer: str, connection: Connection) -> Form:
    """Return a draft without lines, that nobody is sent and that takes in no loose items."""
    form = {
        "customer": customer,
        "currency": invoice.currency.lower(),
        "collection_method": "send_invoice",
        **_due(command, invoice, connection),
        "auto_advance": "false",
        "pending_invoice_items_behavior": "exclude",
        f"metadata[{MARK}]": command.mark,
        "metadata[order_id]": invoice.reference,
    }
    return {**form, "description": invoice.note} if invoice.note else form


def _due(command: Command, invoice: Invoice, connection: Connection) -> Form:
    """Return the last second of the day that the invoice is due on, if that was to come when o2c was told of it."""
    zone, told_at = ZoneInfo(connection.time_zone), command.told_at
    if invoice.due_date is None or told_at is None or invoice.due_date <= told_at.astimezone(zone).date():
        return {"days_until_due": connection.options.get("days_until_due", "30")}
    last = datetime.combine(invoice.due_date, time(23, 59, 59), zone)
    return {"due_date": str(int(last.timestamp()))}


def lines(invoice: Invoice) -> Form:
    """Return the lines with their tax inside."""
    form: Form = {}
    for position, line in enumerate(invoice.lines):
        amount = units(line.net_amount + line.tax_amount, invoice.currency)
        form[f"lines[{position}][description]"] = f"{line.name or line.sku} x {line.quantity:f}"
        form[f"lines[{position}][amount]"] = str(amount)
    return form


def total(lines: Form) -> int:
    """Return what *lines* come to, in the smallest unit."""
    return sum(int(value) for name, value in lines.items() if name.endswith("[amount]"))


def removed(lines: Iterable[str]) -> Form:
    """Return the removal of a draft's lines, by their ids."""
    named = enumerate(lines)
    return {f"lines[{at}][{name}]": value for at, id_ in named for name, value in (("id", id_), ("behavior", "delete"))}


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


def credit(command: Command, credit: Credit, invoice: Mapping[str, Any]) -> Form:
    """Return a credit note: what it comes to beyond what *invoice* has left to pay was returned outside Stripe.

    https://docs.stripe.com/changelog/basil/2025-05-28/partial-payments
    """
    amount = units(credit.amount, credit.currency)
    beyond = max(0, amount - int(invoice.get("amount_remaining") or 0))
    return {
        "invoice": str(invoice["id"]),
        "amount": str(amount),
        "email_type": "none",  # Stripe mails the customer where nothing is said
        f"metadata[{MARK}]": command.mark,
        **({"out_of_band_amount": str(beyond)} if beyond else {}),
    }


def refunded(command: Command, credit: Credit, connection: Connection) -> Form:
    """Return money that went back outside Stripe, on what was reported; Stripe refuses a reference it knows already.

    The record keeps the mark of its payment, so that of the refund gets a place of its own.
    """
    at = str(_when(command, None, credit.date, connection))
    amount = str(units(credit.amount, credit.currency))
    return {
        "amount[currency]": credit.currency.lower(),
        "amount[value]": amount,
        "outcome": "refunded",
        "initiated_at": at,
        "refunded[refunded_at]": at,
        "processor_details[type]": "custom",
        "processor_details[custom][refund_reference]": command.mark,
        f"metadata[{written_key(REFUND, command.mark)}]": f"{command.mark} {amount} {at}",
    }


def told(command: Command, form: Form) -> str:
    """Return what a reported refund says of itself in the metadata."""
    return form[f"metadata[{written_key(REFUND, command.mark)}]"]


def kind_of(payment: str) -> str:
    """Return the type of a payment by its id: pr_ is a payment record, ch_ and py_ are charges."""
    return {"pr": "payment_record", "ch": "charge", "py": "charge"}.get(payment.partition("_")[0], "payment_intent")


def _when(command: Command, moment: datetime | None, on: date | None, connection: Connection) -> int:
    """Return the Unix second of *moment*, else of the day *on* where the account is, else of when o2c was told."""
    if moment is None and on is not None:
        moment = datetime.combine(on, time(), ZoneInfo(connection.time_zone))
    moment = moment or command.told_at
    if moment is None:
        raise RejectedError(f"Stripe: {command.capability} needs the day on which the money moved.")
    return int(moment.timestamp())
