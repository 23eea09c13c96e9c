"""Xero's replies as what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from app.core.errors import O2CError, RejectedError, UncertainError
from schemas.commands import Command
from schemas.money import ZERO
from schemas.platforms.xero import facts, wire
from schemas.refs import find_mark
from sinks.base import Written
from sinks.platforms.xero.refusals import meaning

ENDED = frozenset(("VOIDED", "DELETED"))
T = TypeVar("T")
Element = TypeVar("Element", wire.Invoice, wire.Payment, wire.BankTransaction)


def facts_of(command: Command, kind: type[T]) -> T:
    """Return the command's facts, which must be of the kind that its capability writes."""
    if not isinstance(command.facts, kind):
        raise RejectedError(f"Xero: {command.capability} needs facts of another kind.")
    return command.facts


def link(command: Command, name: str) -> str:
    """Return the id of the document that a write hangs on."""
    id_ = command.links.get(name, "")
    if not id_:
        raise RejectedError(f"Xero: {command.capability} needs the id of the {name}.")
    return id_


def invoice_written(row: wire.Invoice) -> Written:
    """Return an invoice as written."""
    return Written(type="invoice", id=row.invoice_id, facts=facts.invoice_facts(row), mark=find_mark(row.reference))


def payment_written(row: wire.Payment) -> Written:
    """Return money received or paid back as written."""
    shown = facts.payment_facts(row)
    type_ = "payment" if shown is None else facts.payment_type_of(shown)
    return Written(type=type_, id=row.payment_id, facts=shown, mark=find_mark(row.reference))


def credit_written(row: wire.CreditNote) -> Written:
    """Return a credit note as written."""
    return Written(
        type="credit_note", id=row.credit_note_id, facts=facts.credit_facts(row), mark=find_mark(row.reference)
    )


def contact_written(row: wire.Contact) -> Written:
    """Return a contact as written."""
    return Written(type="contact", id=row.contact_id, facts=facts.contact_facts(row))


def overpayment_written(row: wire.BankTransaction) -> Written:
    """Return the overpayment that a bank transaction made."""
    advance = wire.Advance(
        overpayment_id=row.overpayment_id,
        type=row.type,
        status=row.status,
        contact=row.contact,
        date=row.date,
        total=row.total,
        remaining_credit=row.total,
        currency_code=row.currency_code,
    )
    shown = facts.advance_facts(advance)
    return Written(type="overpayment", id=row.overpayment_id, facts=shown, mark=facts.advance_mark(row))


def open_part(note: wire.CreditNote, invoice: wire.Invoice) -> Decimal:
    """Return how much of an unused credit can go to the invoice."""
    return ZERO if note.allocations else usable(note, invoice)


def usable(note: wire.CreditNote, invoice: wire.Invoice) -> Decimal:
    """Return how much of what a credit has left can go to the invoice."""
    if note.status != "AUTHORISED" or invoice.status != "AUTHORISED":
        return ZERO
    return min(note.remaining_credit or ZERO, invoice.amount_due or ZERO)


def is_used_on(note: wire.CreditNote, invoice: str) -> bool:
    """Tell whether a part of the credit went to that invoice."""
    return any(used.invoice is not None and used.invoice.invoice_id == invoice for used in note.allocations)


def dated(note: wire.CreditNote) -> dict[str, str]:
    """Return the day of a credit as the day of its use."""
    day = facts.day(note.date)
    return {"Date": day.isoformat()} if day else {}


def matched(
    commands: Sequence[Command],
    rows: Sequence[Element],
    written: Callable[[Element], Written],
    mark_of: Callable[[Element], str | None] = lambda row: find_mark(row.reference),
) -> dict[str, Written | O2CError]:
    """Return each command's element of a batch reply: by its mark, since the order of elements is not promised."""
    by_mark = {mark_of(row): row for row in rows}
    results: dict[str, Written | O2CError] = {}
    for command in commands:
        row = by_mark.get(command.mark)
        if row is None:
            results[command.id] = UncertainError("Xero's reply does not show this element of the batch.")
        elif row.refused:
            results[command.id] = meaning(error.message for error in row.validation_errors)
        else:
            results[command.id] = written(row)
    return results
