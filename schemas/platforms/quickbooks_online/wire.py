"""The records of the Accounting API, as far as they are read. References are {"value": id, "name": text}."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from schemas.money import ZERO


class _Record(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """Base: JSON names are those of the XSD, all fields optional."""


class Ref(msgspec.Struct, frozen=True, kw_only=True):
    """A reference to another record."""

    value: str = ""
    name: str = ""


class Memo(msgspec.Struct, frozen=True, kw_only=True):
    """The text that is printed on a form."""

    value: str = ""


class Meta(_Record, frozen=True, kw_only=True):
    """When a record was made and last changed."""

    create_time: str = ""
    last_updated_time: str = ""


class Email(_Record, frozen=True, kw_only=True):
    """An e-mail address."""

    address: str = ""


class Phone(_Record, frozen=True, kw_only=True):
    """A telephone number."""

    free_form_number: str = ""


class PhysicalAddress(_Record, frozen=True, kw_only=True):
    """A postal address; Country is a name or a code as somebody typed it."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    country_sub_division_code: str = ""
    postal_code: str = ""
    country: str = ""


class LinkedTxn(_Record, frozen=True, kw_only=True):
    """A link to another transaction."""

    txn_id: str = ""
    txn_type: str = ""


class SalesItem(_Record, frozen=True, kw_only=True):
    """What a sales line sells."""

    item_ref: Ref = Ref()
    qty: Decimal | None = None
    unit_price: Decimal | None = None
    tax_code_ref: Ref = Ref()


class Line(_Record, frozen=True, kw_only=True):
    """A line of a form or of a payment; SubTotalLineDetail rows are computed."""

    id: str = ""
    description: str = ""
    amount: Decimal = ZERO
    detail_type: str = ""
    sales_item_line_detail: SalesItem | None = None
    linked_txn: tuple[LinkedTxn, ...] = ()


class TaxLineDetail(_Record, frozen=True, kw_only=True):
    """The rate behind a row of tax."""

    tax_percent: Decimal | None = None


class TaxLine(_Record, frozen=True, kw_only=True):
    """One row of tax."""

    amount: Decimal = ZERO
    tax_line_detail: TaxLineDetail = TaxLineDetail()


class TaxDetail(_Record, frozen=True, kw_only=True):
    """The tax of a form."""

    total_tax: Decimal = ZERO
    tax_line: tuple[TaxLine, ...] = ()


class CustomField(_Record, frozen=True, kw_only=True):
    """A field that the company defined."""

    definition_id: str = ""
    name: str = ""
    string_value: str = ""


class _Entity(_Record, frozen=True, kw_only=True):
    """What every record has. `status` "Deleted" comes from change data capture."""

    id: str = ""
    sync_token: str = "0"
    meta_data: Meta = Meta()
    status: str = msgspec.field(default="", name="status")


class Form(_Entity, frozen=True, kw_only=True):
    """Invoice, SalesReceipt, CreditMemo, RefundReceipt or Estimate."""

    doc_number: str = ""
    txn_date: str = ""
    due_date: str = ""
    currency_ref: Ref = Ref()
    private_note: str = ""
    linked_txn: tuple[LinkedTxn, ...] = ()
    line: tuple[Line, ...] = ()
    txn_tax_detail: TaxDetail = TaxDetail()
    customer_ref: Ref = Ref()
    customer_memo: Memo = Memo()
    total_amt: Decimal = ZERO
    balance: Decimal | None = None
    remaining_credit: Decimal | None = None
    bill_email: Email = Email()
    bill_addr: PhysicalAddress | None = None
    custom_field: tuple[CustomField, ...] = ()
    global_tax_calculation: str = ""
    payment_ref_num: str = ""
    tracking_num: str = ""
    ship_date: str = ""
    ship_method_ref: Ref = Ref()
    txn_status: str = ""


class Payment(_Entity, frozen=True, kw_only=True):
    """Money received; lines say what it closes."""

    txn_date: str = ""
    currency_ref: Ref = Ref()
    private_note: str = ""
    customer_ref: Ref = Ref()
    payment_method_ref: Ref = Ref()
    payment_ref_num: str = ""
    total_amt: Decimal = ZERO
    unapplied_amt: Decimal = ZERO
    linked_txn: tuple[LinkedTxn, ...] = ()
    line: tuple[Line, ...] = ()


class Customer(_Entity, frozen=True, kw_only=True):
    """A customer; DisplayName is unique over customers, vendors and employees."""

    display_name: str = ""
    company_name: str = ""
    active: bool = True
    primary_email_addr: Email = Email()
    primary_phone: Phone = Phone()
    bill_addr: PhysicalAddress | None = None
    currency_ref: Ref = Ref()


class Item(_Entity, frozen=True, kw_only=True):
    """A product or service."""

    name: str = ""
    sku: str = ""
    active: bool = True


Record = Form | Payment | Customer
KINDS: dict[str, type[Form | Payment | Customer]] = {
    "Invoice": Form,
    "SalesReceipt": Form,
    "CreditMemo": Form,
    "RefundReceipt": Form,
    "Estimate": Form,
    "Payment": Payment,
    "Customer": Customer,
}


def record_of(entity: str, row: Mapping[str, Any]) -> Record:
    """Return a row as the record that it is; msgspec.ValidationError when it does not fit."""
    return msgspec.convert(without_nulls(row), KINDS[entity], strict=False)


def without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return *value* without fields that are null: they say no more than fields that are missing."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
