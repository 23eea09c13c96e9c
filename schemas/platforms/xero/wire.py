"""What Xero's JSON looks like: every field optional, unknown ones passed over, money as Decimal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from schemas.jsontext import read_json

_ABBREVIATIONS = {"id": "ID", "utc": "UTC"}


def _vendor(name: str) -> str:
    """Return Xero's spelling of a field (invoice_id -> InvoiceID, updated_date_utc -> UpdatedDateUTC)."""
    return "".join(_ABBREVIATIONS.get(part, part.capitalize()) for part in name.split("_"))


class _Record(msgspec.Struct, frozen=True, kw_only=True, rename=_vendor):
    """Base of all records."""


class Message(_Record, frozen=True, kw_only=True):
    """One sentence of a validation error or a warning: the text is the only discriminator there is."""

    message: str = ""


class _Element(_Record, frozen=True, kw_only=True):
    """What every element of a reply says about its own success."""

    status_attribute_string: str = ""
    has_errors: bool = False
    has_validation_errors: bool = False
    validation_errors: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()
    updated_date_utc: str = msgspec.field(default="", name="UpdatedDateUTC")

    @property
    def refused(self) -> bool:
        """Tell whether Xero did not do what this element asked, whatever the HTTP status says."""
        return self.status_attribute_string == "ERROR" or bool(self.validation_errors)


class Contact(_Element, frozen=True, kw_only=True):
    """A customer or supplier."""

    contact_id: str = ""
    merged_to_contact_id: str = ""
    contact_number: str = ""
    contact_status: str = ""
    name: str = ""
    email_address: str = ""
    tax_number: str = ""


class LineItem(_Record, frozen=True, kw_only=True):
    """A line; `line_amount` contains tax when the document's amounts do."""

    line_item_id: str = msgspec.field(default="", name="LineItemID")
    item_code: str = ""
    description: str = ""
    quantity: Decimal = Decimal(1)
    unit_amount: Decimal | None = None
    line_amount: Decimal = Decimal(0)
    tax_amount: Decimal = Decimal(0)
    tax_type: str = ""
    account_code: str = ""


class Allocation(_Record, frozen=True, kw_only=True):
    """How much of a credit note, overpayment or prepayment went to an invoice."""

    allocation_id: str = ""
    amount: Decimal = Decimal(0)
    date: str = ""
    invoice: Invoice | None = None
    is_deleted: bool = False


class _Document(_Element, frozen=True, kw_only=True):
    """What invoices, credit notes and money in advance have in common."""

    type: str = ""
    status: str = ""
    contact: Contact | None = None
    date: str = ""
    due_date: str = ""
    line_amount_types: str = ""
    line_items: tuple[LineItem, ...] = ()
    sub_total: Decimal | None = None
    total_tax: Decimal | None = None
    total: Decimal | None = None
    currency_code: str = ""
    reference: str = ""


class Invoice(_Document, frozen=True, kw_only=True):
    """A sale (ACCREC) or a bill (ACCPAY)."""

    invoice_id: str = ""
    invoice_number: str = ""
    amount_due: Decimal | None = None
    amount_paid: Decimal | None = None
    amount_credited: Decimal | None = None
    sent_to_contact: bool = False
    payments: tuple[Payment, ...] = ()
    overpayments: tuple[Advance, ...] = ()
    prepayments: tuple[Advance, ...] = ()


class CreditNote(_Document, frozen=True, kw_only=True):
    """A credit to a customer (ACCRECCREDIT) or from a supplier (ACCPAYCREDIT)."""

    credit_note_id: str = ""
    credit_note_number: str = ""
    remaining_credit: Decimal | None = None
    allocations: tuple[Allocation, ...] = ()
    payments: tuple[Payment, ...] = ()


class Advance(_Document, frozen=True, kw_only=True):
    """Money beyond an invoice (Overpayment) or before there is one (Prepayment)."""

    overpayment_id: str = ""
    prepayment_id: str = ""
    remaining_credit: Decimal | None = None
    applied_amount: Decimal = Decimal(0)
    """What of it went to the invoice that shows it."""
    allocations: tuple[Allocation, ...] = ()
    payments: tuple[Payment, ...] = ()
    """Paid out of it again."""


class Quote(_Document, frozen=True, kw_only=True):
    """An offer to a customer; its LineAmountTypes are in capitals."""

    quote_id: str = ""
    quote_number: str = ""


class Payment(_Element, frozen=True, kw_only=True):
    """Money on an invoice, or paid out on a credit note."""

    payment_id: str = ""
    payment_type: str = ""
    status: str = ""
    date: str = ""
    amount: Decimal = Decimal(0)
    reference: str = ""
    invoice: Invoice | None = None
    credit_note: CreditNote | None = None
    overpayment: Advance | None = None
    prepayment: Advance | None = None


class HistoryRecord(_Record, frozen=True, kw_only=True):
    """A line in a document's history; it has no id and cannot be changed."""

    details: str = ""
    changes: str = ""
    date_utc: str = ""


class Organisation(_Record, frozen=True, kw_only=True):
    """The company."""

    organisation_id: str = ""
    name: str = ""
    base_currency: str = ""
    period_lock_date: str = ""
    end_of_year_lock_date: str = ""
    timezone: str = ""


class Currency(_Record, frozen=True, kw_only=True):
    """A currency that the company enabled."""

    code: str = ""


class Account(_Record, frozen=True, kw_only=True):
    """A ledger account."""

    code: str = ""
    name: str = ""
    type: str = ""
    class_: str = msgspec.field(default="", name="Class")
    system_account: str = ""
    status: str = ""
    enable_payments_to_account: bool = False


class TaxRate(_Record, frozen=True, kw_only=True):
    """A tax rate that lines may have."""

    tax_type: str = ""
    name: str = ""
    status: str = ""
    effective_rate: Decimal | None = None
    can_apply_to_revenue: bool = True


class Pagination(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a page stands; absent where the list was not paged."""

    page: int = 1
    page_size: int = 0
    page_count: int = 0
    item_count: int = 0


class Reply(_Record, frozen=True, kw_only=True):
    """The envelope of every reply: one of the lists is filled."""

    date_time_utc: str = msgspec.field(default="", name="DateTimeUTC")
    pagination: Pagination | None = msgspec.field(default=None, name="pagination")
    invoices: tuple[Invoice, ...] = ()
    credit_notes: tuple[CreditNote, ...] = ()
    payments: tuple[Payment, ...] = ()
    overpayments: tuple[Advance, ...] = ()
    prepayments: tuple[Advance, ...] = ()
    contacts: tuple[Contact, ...] = ()
    quotes: tuple[Quote, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    history_records: tuple[HistoryRecord, ...] = ()
    organisations: tuple[Organisation, ...] = ()
    currencies: tuple[Currency, ...] = ()
    accounts: tuple[Account, ...] = ()
    tax_rates: tuple[TaxRate, ...] = ()
    bank_transactions: tuple[BankTransaction, ...] = ()


class BankTransaction(_Document, frozen=True, kw_only=True):
    """Money on a bank account; RECEIVE-OVERPAYMENT makes an Overpayment."""

    bank_transaction_id: str = ""
    overpayment_id: str = ""


class HookData(_Record, frozen=True, kw_only=True):
    """What CREDITNOTE events say besides."""

    type: str = ""
    status: str = ""


class HookEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thin event."""

    resource_id: str = ""
    tenant_id: str = ""
    event_category: str = ""
    event_type: str = ""
    event_date_utc: str = ""
    data: HookData = HookData()


class Hooks(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One delivery; no events means: prove that you check signatures."""

    events: tuple[HookEvent, ...]
    first_event_sequence: int = 0
    last_event_sequence: int = 0


_REPLY = msgspec.json.Decoder(Reply, strict=False)


def read(body: bytes) -> Reply:
    """Return the envelope in *body*; msgspec.MsgspecError when it does not fit, ValueError when it is no JSON."""
    return reply(read_json(body)) if b"null" in body else _REPLY.decode(body)


def reply(record: Any) -> Reply:  # noqa: ANN401 - any JSON
    """Return an envelope, a list of records being none; msgspec.ValidationError when it does not fit."""
    return msgspec.convert(_without_nulls(record), Reply, strict=False)


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return *value* without fields that are null: Xero writes null and leaves out for the same thing."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
