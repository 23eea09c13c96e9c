"""What Xero's records mean in canonical terms: pure, shared by source and sink."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple, cast

import msgspec

from schemas.facts import (
    Allocation,
    Credit,
    CreditStatus,
    Customer,
    DocumentStatus,
    Facts,
    Invoice,
    LifeCycle,
    Line,
    Order,
    Party,
    Payment,
    PaymentStatus,
    Shipment,
)
from schemas.money import ZERO
from schemas.platforms.xero import PLATFORM, wire
from schemas.refs import find_mark

SALE, SALE_CREDIT = "ACCREC", "ACCRECCREDIT"
PAYMENT_IN, PAID_OUT = "ACCRECPAYMENT", "ARCREDITPAYMENT"
_PAID_BACK = frozenset((PAID_OUT, "AROVERPAYMENTPAYMENT", "ARPREPAYMENTPAYMENT"))
_ADVANCES_IN = frozenset(("RECEIVE-OVERPAYMENT", "AROVERPAYMENT", "RECEIVE-PREPAYMENT", "ARPREPAYMENT"))
_LONGEST_REFERENCE = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
_OURS = re.compile(r"(?P<free>.*?)\s*(?:\[(?P<order>[^\[\]]*)\])?\s*", re.DOTALL)
_PARCEL = re.compile(r"Shipment (?P<status>[a-z]+)(?:: (?P<carrier>.*?))?(?:, tracking (?P<tracking>.*?))? o2c1:\S+")
_CREDIT = {
    "DRAFT": "draft",
    "SUBMITTED": "draft",
    "AUTHORISED": "issued",
    "PAID": "issued",
    "VOIDED": "void",
    "DELETED": "void",
}


class Reference(NamedTuple):
    """The parts of a Reference field: "<free text> [<order number>] <mark>"; without a mark all is free text."""

    free: str = ""
    order: str = ""
    mark: str | None = None

    def __str__(self) -> str:
        """Return the field; what is too long for Xero is cut off the free text, never off the mark."""
        tail = " ".join(part for part in (f"[{self.order[:60]}]" if self.order else "", self.mark or "") if part)
        room = _LONGEST_REFERENCE - len(tail) - 1
        return f"{self.free[:room].strip()} {tail}".strip()


def read_reference(text: str) -> Reference:
    """Return the parts of a Reference field."""
    mark = find_mark(text)
    if mark is None:
        return Reference(free=text.strip())
    match = _OURS.fullmatch(text.replace(mark, "", 1).strip())
    return Reference(match["free"], match["order"] or "", mark) if match else Reference(mark=mark)


def instant(text: str) -> datetime | None:
    """Return a Microsoft JSON date or an ISO one as UTC; None for an empty text; ValueError when it is neither."""
    if not text:
        return None
    if match := _MS_DATE.fullmatch(text):
        try:
            return _EPOCH + timedelta(milliseconds=int(match[1]))
        except OverflowError as error:
            raise ValueError(f"{text} is no time") from error
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def day(text: str) -> date | None:
    """Return the calendar day of a Date or DueDate: it has no time zone of its own."""
    moment = instant(text)
    return None if moment is None else moment.date()


def plain(amount: Decimal | None) -> Decimal:
    """Return *amount* without trailing zeros, so that 216.5 and 216.50 are the same observation."""
    return ZERO if not amount else Decimal(f"{amount.normalize():f}")


def _maybe(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else plain(amount)


def _party(contact: wire.Contact | None) -> Party | None:
    if contact is None or not contact.contact_id:
        return None
    return Party(id=contact.contact_id, name=contact.name, email=contact.email_address, tax_id=contact.tax_number)


def _line(line: wire.LineItem, *, inclusive: bool) -> Line:
    net = line.line_amount - line.tax_amount if inclusive else line.line_amount
    return Line(
        id=line.line_item_id,
        sku=line.item_code,
        name=line.description,
        quantity=plain(line.quantity),
        unit_price=plain(line.unit_amount),
        net_amount=plain(net),
        tax_amount=plain(line.tax_amount),
        tax_code=line.tax_type,
    )


def _lines(document: wire.Invoice | wire.CreditNote | wire.Quote) -> tuple[Line, ...]:
    inclusive = document.line_amount_types.lower() == "inclusive"
    return tuple(_line(line, inclusive=inclusive) for line in document.line_items)


def invoice_facts(record: wire.Invoice) -> Invoice | None:
    """Return the facts of a sale; a bill gives None."""
    if record.type != SALE:
        return None
    reference = read_reference(record.reference)
    ours = reference.mark is not None
    return Invoice(
        number=record.invoice_number,
        status=_invoice_status(record),
        stage=record.status,
        currency=record.currency_code,
        customer=_party(record.contact),
        lines=_lines(record),
        net_amount=_maybe(record.sub_total),
        tax_amount=_maybe(record.total_tax),
        payable_amount=plain(record.total),
        paid_amount=None if record.amount_paid is None else plain(_paid_on(record)),
        credited_amount=None if record.amount_credited is None else plain(record.amount_credited - _in_advance(record)),
        amount_due=_maybe(record.amount_due),
        prices_include_tax=record.line_amount_types.lower() == "inclusive",
        issue_date=day(record.date),
        due_date=day(record.due_date),
        reference=reference.order if ours else reference.free,
        po_number=reference.free if ours else "",
    )


def _in_advance(record: wire.Invoice) -> Decimal:
    """Return the money in advance that was used on it, which AmountCredited counts among the credit notes."""
    return sum((used.applied_amount for used in (*record.overpayments, *record.prepayments)), ZERO)


def _paid_on(record: wire.Invoice) -> Decimal:
    return (record.amount_paid or ZERO) + _in_advance(record)


def _invoice_status(record: wire.Invoice) -> DocumentStatus:
    paid, credited = _paid_on(record), record.amount_credited or ZERO
    word = PLATFORM.statuses.get(f"invoice:{record.status}", "on_hold")
    if word == "invoiced" and paid + credited > 0:
        return "partially_paid" if (record.amount_due or ZERO) > 0 else "paid"
    if word == "paid" and paid == 0 and 0 < credited == (record.total or ZERO):
        return "refunded"
    return cast("DocumentStatus", word)


def payment_facts(record: wire.Payment) -> Payment | Credit | None:
    """Return the facts of money received, or of money paid back to a customer; the buying side gives None."""
    currency = next((part.currency_code for part in _paid(record) if part.currency_code), "XXX")
    gone = record.status == "DELETED"
    amount = plain(record.amount)
    reference = read_reference(record.reference).free
    if record.payment_type in _PAID_BACK:
        return Credit(
            document="refund",
            amount=amount,
            currency=currency,
            status="void" if gone else "issued",
            stage=record.status,
            date=day(record.date),
            reference=reference,
            allocations=_paid_to(record, amount),
        )
    if record.payment_type != PAYMENT_IN or (record.invoice is not None and record.invoice.type == "ACCPAY"):
        return None
    return Payment(
        amount=amount,
        currency=currency,
        status="reversed" if gone else "succeeded",
        stage=record.status,
        date=day(record.date),
        reference=reference,
        allocations=_paid_to(record, amount),
    )


def _paid(record: wire.Payment) -> Iterable[wire.Invoice | wire.CreditNote | wire.Advance]:
    return [part for part in (record.invoice, record.credit_note, record.overpayment, record.prepayment) if part]


def _paid_to(record: wire.Payment, amount: Decimal) -> tuple[Allocation, ...]:
    named = (
        ("invoice", record.invoice and record.invoice.invoice_id),
        ("credit_note", record.credit_note and record.credit_note.credit_note_id),
        ("overpayment", record.overpayment and record.overpayment.overpayment_id),
        ("prepayment", record.prepayment and record.prepayment.prepayment_id),
    )
    return tuple(Allocation(type=type_, id=id_, amount=amount) for type_, id_ in named if id_)


def nested_payments(invoice: wire.Invoice) -> list[wire.Payment]:
    """Return the payments inside an invoice as the payment records that a read by id would give."""
    head = wire.Invoice(invoice_id=invoice.invoice_id, type=invoice.type, currency_code=invoice.currency_code)
    return [
        wire.Payment(
            payment_id=payment.payment_id,
            payment_type=PAYMENT_IN,
            status=payment.status or "AUTHORISED",
            date=payment.date,
            amount=payment.amount,
            reference=payment.reference,
            invoice=head,
            updated_date_utc=payment.updated_date_utc,
        )
        for payment in invoice.payments
        if invoice.type == SALE and payment.payment_id
    ]


def _allocations(found: Iterable[wire.Allocation]) -> tuple[Allocation, ...]:
    return tuple(
        Allocation(type="invoice", id=item.invoice.invoice_id, amount=plain(item.amount))
        for item in found
        if item.invoice is not None and not item.is_deleted
    )


def credit_facts(record: wire.CreditNote) -> Credit | None:
    """Return the facts of a credit to a customer; a supplier's gives None."""
    if record.type != SALE_CREDIT:
        return None
    reference = read_reference(record.reference)
    return Credit(
        number=record.credit_note_number,
        amount=plain(record.total),
        tax_amount=_maybe(record.total_tax),
        currency=record.currency_code,
        status=cast("CreditStatus", _CREDIT.get(record.status, "pending")),
        stage=record.status,
        lines=_lines(record),
        date=day(record.date),
        reference=reference.free,
        remaining_amount=_maybe(record.remaining_credit),
        allocations=_allocations(record.allocations),
    )


def advance_facts(record: wire.Advance) -> Payment | None:
    """Return the facts of money beyond or before an invoice; money that we paid in advance gives None."""
    if record.type not in _ADVANCES_IN:
        return None
    over = record.status == "VOIDED" or _is_taken_back(record)
    status: PaymentStatus = "reversed" if over else "succeeded"
    return Payment(
        amount=plain(record.total),
        currency=record.currency_code,
        status=status,
        stage=record.status,
        date=day(record.date),
        unapplied_amount=_maybe(record.remaining_credit),
        allocations=_allocations(record.allocations),
        customer=_party(record.contact),
    )


def _is_taken_back(record: wire.Advance) -> bool:
    """Tell whether we paid all of it out again to take it back; what a person paid out is a refund of theirs."""
    ours = [one.amount for one in record.payments if one.status != "DELETED" and find_mark(one.reference)]
    return bool(ours) and sum(ours, ZERO) >= (record.total or ZERO)


def advance_mark(record: wire.Advance | wire.BankTransaction) -> str | None:
    """Return our mark: Xero keeps no reference on an overpayment, so it is in its line."""
    return next((mark for line in record.line_items if (mark := find_mark(line.description))), None)


def quote_facts(record: wire.Quote) -> Order:
    """Return a quote as the order it stands for."""
    word = PLATFORM.statuses.get(f"quote:{record.status}", "on_hold")
    issued = day(record.date)
    return Order(
        number=record.quote_number,
        status=cast("LifeCycle", "open" if word == "invoiced" else word),
        stage=record.status,
        headline=word,
        currency=record.currency_code,
        customer=_party(record.contact),
        lines=_lines(record),
        net_amount=_maybe(record.sub_total),
        tax_amount=_maybe(record.total_tax),
        payable_amount=plain(record.total),
        prices_include_tax=record.line_amount_types.lower() == "inclusive",
        placed_at=None if issued is None else datetime.combine(issued, time(12), UTC),
        po_number=read_reference(record.reference).free,
    )


def contact_facts(record: wire.Contact) -> Customer:
    """Return the facts of a contact; a merged one names its successor."""
    merged = record.merged_to_contact_id
    archived = record.contact_status in {"ARCHIVED", "GDPRREQUEST"}
    return Customer(
        party=_party(record) or Party(),
        status="merged" if merged else "archived" if archived else "active",
        merged_into=merged,
    )


def payment_type_of(facts: Facts) -> str:
    """Return the object type under which a payment record is known: money in or money paid back."""
    return "refund" if isinstance(facts, Credit) else "payment"


def history_id(invoice: str, mark: str) -> str:
    """Return the id under which a history record is known here: Xero gives it none."""
    return f"{invoice}:{mark}"


def read_history_id(id_: str) -> tuple[str, str]:
    """Return the invoice and the mark of a history record."""
    invoice, _, mark = id_.partition(":")
    return invoice, mark


def note_of(records: Iterable[wire.HistoryRecord], mark: str) -> str:
    """Return the newest note with *mark*, "" without one: what was written stays, a change is a further note."""
    ours = [record for record in records if find_mark(record.details) == mark]
    return max(ours, key=lambda record: instant(record.date_utc) or _EPOCH).details if ours else ""


def shipment_text(parcel: Shipment, mark: str) -> str:
    """Return the history note of a parcel, in words that `read_shipment` reads back."""
    carrier = f": {parcel.carrier}" if parcel.carrier else ""
    tracking = f", tracking {' '.join(parcel.tracking_numbers)}" if parcel.tracking_numbers else ""
    return f"Shipment {parcel.status}{carrier}{tracking} {mark}"


def read_shipment(text: str) -> Shipment | None:
    """Return the parcel of a history note that we wrote; None for any other text."""
    match = _PARCEL.fullmatch(text)
    if match is None:
        return None
    numbers = tuple((match["tracking"] or "").split())
    try:
        return msgspec.convert(
            {
                "type": "shipment",
                "status": match["status"],
                "carrier": match["carrier"] or "",
                "tracking_numbers": numbers,
            },
            Shipment,
        )
    except msgspec.ValidationError:
        return None
