"""Xero's records as events: bills and refused elements give none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from app.core.errors import DecodeError
from app.core.status import from_status
from app.core.talk import Response
from schemas.errors import misfit
from schemas.events import Anchor, ChangeEvent, allocated
from schemas.facts import Allocation, Facts
from schemas.platforms.xero import PLATFORM, facts, wire
from schemas.refs import ObjectRef, find_mark
from streams.sources.base import Source

_LISTS = {
    "InvoiceID": "Invoices",
    "PaymentID": "Payments",
    "CreditNoteID": "CreditNotes",
    "OverpaymentID": "Overpayments",
    "PrepaymentID": "Prepayments",
    "QuoteID": "Quotes",
    "ContactID": "Contacts",
}


class Parsing(Source):
    """Pure translations; what a reply to a write shows inside another record is told, too."""

    platform = PLATFORM

    def ref(self, type_: str, id_: str) -> ObjectRef:
        """Return the name of a record of this organisation."""
        return ObjectRef(self.connection.name, self.connection.account, type_, id_)

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events of a reply, a list or one record; bills, refused elements and unknown records give none."""
        del type_
        try:
            return self._events(wire.reply(_envelope(record)))
        except (ValueError, ArithmeticError) as error:
            raise DecodeError("Xero: the record does not have the documented shape.") from error

    def _events(self, reply: wire.Reply) -> list[ChangeEvent]:
        found = [
            *[self._invoice(record) for record in reply.invoices if not record.refused],
            *[event for record in reply.payments if not record.refused for event in self._payment(record)],
            *[self._credit_note(record) for record in reply.credit_notes if not record.refused],
            *[self._advance("overpayment", record.overpayment_id, record) for record in reply.overpayments],
            *[self._advance("prepayment", record.prepayment_id, record) for record in reply.prepayments],
            *[self._contact(record) for record in reply.contacts if not record.refused],
            *[self._quote(record) for record in reply.quotes if not record.refused],
        ]
        return [event for event in found if event is not None]

    def _invoice(self, record: wire.Invoice) -> ChangeEvent | None:
        shown = facts.invoice_facts(record)
        mark = find_mark(record.reference)
        typed = shown.reference if shown is not None and mark is None else ""
        return self._event("invoice", record.invoice_id, shown, record.updated_date_utc, mark, _number(typed))

    def _payment(self, record: wire.Payment) -> list[ChangeEvent | None]:
        """Return the payment, and the invoice that a reply to a write shows whole inside it."""
        shown = facts.payment_facts(record)
        if shown is None:
            return []
        type_, mark = facts.payment_type_of(shown), find_mark(record.reference)
        anchors = self._parents(shown.allocations)
        event = self._event(type_, record.payment_id, shown, record.updated_date_utc, mark, anchors)
        whole = record.invoice if record.invoice is not None and record.invoice.line_items else None
        return [event, self._invoice(whole)] if whole else [event]

    def _credit_note(self, record: wire.CreditNote) -> ChangeEvent | None:
        shown = facts.credit_facts(record)
        if shown is None:
            return None
        mark = find_mark(record.reference)
        anchors = self._parents(shown.allocations) or (_number(shown.reference) if mark is None else ())
        return self._event("credit_note", record.credit_note_id, shown, record.updated_date_utc, mark, anchors)

    def _advance(self, type_: str, id_: str, record: wire.Advance) -> ChangeEvent | None:
        shown = facts.advance_facts(record)
        anchors = self._parents(shown.allocations) if shown is not None else ()
        return self._event(type_, id_, shown, record.updated_date_utc, facts.advance_mark(record), anchors)

    def _contact(self, record: wire.Contact) -> ChangeEvent | None:
        return self._event("contact", record.contact_id, facts.contact_facts(record), record.updated_date_utc)

    def _quote(self, record: wire.Quote) -> ChangeEvent | None:
        """Return a quote; what people typed as its reference may be the number of the order that it belongs to."""
        shown = facts.quote_facts(record)
        anchors = _number(shown.po_number)
        return self._event("quote", record.quote_id, shown, record.updated_date_utc, None, anchors)

    def _parents(self, allocations: Iterable[Allocation]) -> tuple[Anchor, ...]:
        return allocated(self.connection.name, self.connection.account, allocations)

    def _event(
        self,
        type_: str,
        id_: str,
        shown: Facts | None,
        changed: str,
        mark: str | None = None,
        anchors: tuple[Anchor, ...] = (),
    ) -> ChangeEvent | None:
        if shown is None:
            return None
        if not id_:
            raise ValueError(f"a {type_} without an id")
        return ChangeEvent(
            tenant=self.connection.tenant,
            object=self.ref(type_, id_),
            facts=shown,
            changed_at=facts.instant(changed),
            mirror_of=mark,
            anchors=anchors,
            origin="read",
        )

    def with_payments(self, reply: wire.Reply) -> list[ChangeEvent]:
        """Return what a read shows: an invoice's payments have no webhook, so they come with the invoice."""
        inside = [payment for invoice in reply.invoices for payment in facts.nested_payments(invoice)]
        try:
            return self._events(msgspec.structs.replace(reply, payments=(*reply.payments, *inside)))
        except (ValueError, ArithmeticError) as error:
            raise DecodeError("Xero: a record does not have the documented shape.") from error


def _number(typed: str) -> tuple[Anchor, ...]:
    return (Anchor("number", ObjectRef("", "", "number", typed)),) if typed else ()


def _envelope(record: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the record or list as the envelope that a reply has."""
    rows = record if isinstance(record, list) else [record]
    found: dict[str, list[Any]] = {}
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError("no record")  # noqa: TRY004 - becomes a DecodeError like every other bad shape
        if any(isinstance(row.get(name), list) for name in _LISTS.values() if not any(key in row for key in _LISTS)):
            return row
        name = next((name for key, name in _LISTS.items() if isinstance(row.get(key), str)), None)
        if name is not None:
            found.setdefault(name, []).append(row)
    return found


def decoded(reply: Response) -> wire.Reply:
    """Return the envelope of a reply; raise what the reply means."""
    if (error := from_status("Xero", reply, mutating=False)) is not None:
        raise error
    try:
        return wire.read(reply.body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError(f"Xero: the reply does not have the documented shape: {misfit(error)}.") from error
