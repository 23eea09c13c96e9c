"""From the records of QuickBooks Online to canonical facts. Pure; shared by source and sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from schemas import facts
from schemas.facts import DocumentStatus, LineKind
from schemas.money import ZERO, rounded
from schemas.platforms.quickbooks_online import PLATFORM
from schemas.platforms.quickbooks_online.wire import Customer, Form, Line, LinkedTxn, Payment, PhysicalAddress, Record
from schemas.refs import find_mark

REFERENCE_LINE = "ref: "
VOIDED = "Voided"
KIND_ITEMS: Mapping[LineKind, str] = MappingProxyType(
    {"shipping": "Shipping", "discount": "Discount", "fee": "Fee", "rounding": "Rounding"}
)
_KINDS = MappingProxyType({**{name: kind for kind, name in KIND_ITEMS.items()}, "SHIPPING_ITEM_ID": "shipping"})
_REFERENCE_NAMES = ("p.o. number", "po number", "order", "order number", "reference")
_CODE = 2
Applied = Mapping[str, tuple[facts.Allocation, ...]]


def to_facts(
    entity: str, record: Record, home: str = "USD", applied: Sequence[facts.Allocation] = (), field: str = ""
) -> facts.Facts | None:
    """Return the facts of *record*, None for what is no object of its own.

    *home* is the currency of records that name none; *applied* says where a credit went, which its record does not;
    *field* is the id of the custom field that shows the customer's own reference.
    """
    if isinstance(record, Customer):
        return _customer(record)
    if isinstance(record, Payment):
        return None if is_set_off(record) else _payment(record, home)
    if entity in {"CreditMemo", "RefundReceipt"}:
        return _credit(entity, record, home, applied)
    if entity == "Estimate":
        return _order(record, home, field)
    return _invoice(entity, record, home, field)


def day(text: str) -> date | None:
    """Return a date, None for an empty text."""
    return date.fromisoformat(text[:10]) if text else None


def moment(text: str) -> datetime | None:
    """Return a time; offsets come with and without colon, fractions with up to nine digits."""
    if not text:
        return None
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else None


def mark(record: Record) -> str | None:
    """Return our mark in the private note."""
    return None if isinstance(record, Customer) else find_mark(record.private_note)


def is_void(record: Form | Payment) -> bool:
    """Tell whether a document was voided: zero, and the word in front of its private note."""
    return record.total_amt == 0 and record.private_note.startswith(VOIDED)


def is_set_off(payment: Payment) -> bool:
    """Tell whether a payment moves no money but only sets a credit or a journal entry off against an invoice."""
    return payment.total_amt == 0 and any(link.txn_type != "Invoice" for link in _links(payment))


def set_off(payments: Sequence[Payment]) -> dict[str, tuple[facts.Allocation, ...]]:
    """Return credit memo id -> where it was applied, as far as *payments* tell."""
    found: dict[str, tuple[facts.Allocation, ...]] = {}
    for payment in payments:
        credits_ = [
            (link, line.amount) for line in payment.line for link in line.linked_txn if link.txn_type == "CreditMemo"
        ]
        invoices: list[list[str | Decimal]] = [
            [link.txn_id, line.amount]
            for line in payment.line
            for link in line.linked_txn
            if link.txn_type == "Invoice"
        ]
        for link, amount in credits_:
            parts = _taken(invoices, amount)
            found[link.txn_id] = (*found.get(link.txn_id, ()), *parts)
    return found


def _taken(invoices: list[list[str | Decimal]], amount: Decimal) -> list[facts.Allocation]:
    """Take *amount* out of the invoice lines, first come first served, and say from which."""
    parts = []
    for line in invoices:
        part = min(Decimal(line[1]), amount)
        if part > 0:
            parts.append(facts.Allocation(type="Invoice", id=str(line[0]), amount=part))
            line[1], amount = Decimal(line[1]) - part, amount - part
    return parts


def _links(record: Form | Payment) -> list[LinkedTxn]:
    return [link for line in record.line for link in line.linked_txn]


def _currency(record: Form | Payment, home: str) -> str:
    return record.currency_ref.value or home


def reference(record: Form, definition: str = "") -> str:
    """Return the reference that people typed into the custom field *definition*; without one into any named like it."""
    for field in record.custom_field:
        wanted = field.definition_id == definition if definition else field.name.lower() in _REFERENCE_NAMES
        if wanted and field.string_value:
            return field.string_value
    return ""


def _status(record: Form) -> DocumentStatus:
    balance = record.balance if record.balance is not None else ZERO
    if is_void(record):
        return "void"
    if record.total_amt > 0 and balance >= record.total_amt:
        return "invoiced"
    if balance > 0:
        return "partially_paid"
    return "refunded" if _only_credited(record) else "paid"


def _only_credited(record: Form) -> bool:
    links = [link.txn_type for link in record.linked_txn if link.txn_type in {"Payment", "CreditMemo"}]
    return bool(links) and set(links) == {"CreditMemo"}


def _invoice(entity: str, record: Form, home: str, field: str) -> facts.Invoice:
    currency, status = _currency(record, home), _status(record)
    due = ZERO if entity == "SalesReceipt" or record.balance is None else record.balance
    settled = record.total_amt - due
    credited = settled if status == "refunded" else ZERO
    return facts.Invoice(
        document="sales_receipt" if entity == "SalesReceipt" else "invoice",
        number=record.doc_number,
        status=status,
        currency=currency,
        customer=_buyer(record),
        lines=_lines(record, currency),
        net_amount=rounded(record.total_amt - record.txn_tax_detail.total_tax, currency),
        tax_amount=rounded(record.txn_tax_detail.total_tax, currency),
        payable_amount=rounded(record.total_amt, currency),
        paid_amount=rounded(settled - credited, currency),
        credited_amount=credited or None,
        amount_due=rounded(due, currency),
        prices_include_tax=record.global_tax_calculation == "TaxInclusive",
        issue_date=day(record.txn_date),
        due_date=day(record.due_date),
        reference=reference(record),
        note=record.customer_memo.value,
        po_number=reference(record, field),
    )


def _buyer(record: Form) -> facts.Party:
    return facts.Party(
        id=record.customer_ref.value,
        name=record.customer_ref.name,
        email=record.bill_email.address,
        address=_address(record.bill_addr),
    )


def _address(found: PhysicalAddress | None) -> facts.Address | None:
    if found is None:
        return None
    return facts.Address(
        line1=found.line1,
        line2=found.line2,
        city=found.city,
        region=found.country_sub_division_code,
        postcode=found.postal_code,
        country=found.country.upper() if len(found.country) == _CODE else "",
    )


def _lines(record: Form, currency: str) -> tuple[facts.Line, ...]:
    """Return the sales lines; the tax of the form is spread over its taxed lines, the last one takes the rest."""
    rows = [line for line in record.line if line.detail_type in {"SalesItemLineDetail", "DiscountLineDetail"}]
    taxed = [
        line for line in rows if line.sales_item_line_detail and line.sales_item_line_detail.tax_code_ref.value != "NON"
    ]
    base, tax = sum((line.amount for line in taxed), ZERO), record.txn_tax_detail.total_tax
    taxes, left = {}, tax
    for line in taxed:
        part = left if line is taxed[-1] else rounded(tax * line.amount / base, currency) if base else ZERO
        taxes[id(line)], left = part, left - part
    rates = {row.tax_line_detail.tax_percent for row in record.txn_tax_detail.tax_line}
    rate = next(iter(rates)) if len(rates) == 1 else None
    return tuple(_line(line, taxes.get(id(line)), rate) for line in rows)


def _line(line: Line, tax: Decimal | None, rate: Decimal | None) -> facts.Line:
    detail = line.sales_item_line_detail
    if detail is None:
        return facts.Line(
            id=line.id, kind="discount", name=line.description, unit_price=-line.amount, net_amount=-line.amount
        )
    quantity = detail.qty or Decimal(1)
    kind = _KINDS.get(detail.item_ref.name) or _KINDS.get(detail.item_ref.value) or "goods"
    return facts.Line(
        id=line.id,
        kind=kind,
        sku="" if kind != "goods" else detail.item_ref.name,
        name=line.description or detail.item_ref.name,
        quantity=quantity,
        unit_price=detail.unit_price if detail.unit_price is not None else line.amount / quantity,
        net_amount=line.amount,
        tax_amount=tax or ZERO,
        tax_rate=rate if tax is not None else ZERO,
        tax_code=detail.tax_code_ref.value,
    )


def _cash(payment: Payment, currency: str) -> tuple[facts.Allocation, ...]:
    """Return the invoices that the money itself closes: credits in the same payment are taken off first.

    A journal entry or a cheque in it may pay as well or be paid, its line does not say which; what the lines of the
    invoices have beyond the money was not paid by it.
    """
    invoices: list[list[str | Decimal]] = [
        [link.txn_id, line.amount] for line in payment.line for link in line.linked_txn if link.txn_type == "Invoice"
    ]
    credited = sum(
        (line.amount for line in payment.line for link in line.linked_txn if link.txn_type == "CreditMemo"), ZERO
    )
    _taken(invoices, credited)
    closed = sum((Decimal(left) for _, left in invoices), ZERO)
    _taken(invoices, closed - (payment.total_amt - payment.unapplied_amt))
    return tuple(
        facts.Allocation(type="Invoice", id=str(id_), amount=rounded(Decimal(left), currency))
        for id_, left in invoices
        if Decimal(left) > 0
    )


def _payment(record: Payment, home: str) -> facts.Payment:
    currency = _currency(record, home)
    return facts.Payment(
        amount=rounded(record.total_amt, currency),
        currency=currency,
        status="reversed" if is_void(record) else "succeeded",
        method=record.payment_method_ref.name,
        date=day(record.txn_date),
        reference=_full_reference(record),
        unapplied_amount=record.unapplied_amt or None,
        allocations=_cash(record, currency),
        customer=facts.Party(id=record.customer_ref.value, name=record.customer_ref.name),
    )


def _full_reference(record: Payment) -> str:
    """Return the reference; PaymentRefNum holds 21 characters, the whole of ours stands in the private note."""
    for line in record.private_note.splitlines():
        if line.startswith(REFERENCE_LINE):
            whole = line.removeprefix(REFERENCE_LINE)
            return whole if whole.startswith(record.payment_ref_num) else record.payment_ref_num
    return record.payment_ref_num


def _credit(entity: str, record: Form, home: str, applied: Sequence[facts.Allocation]) -> facts.Credit:
    currency = _currency(record, home)
    document: Literal["credit_note", "refund"] = "refund" if entity == "RefundReceipt" else "credit_note"
    left = record.remaining_credit if record.remaining_credit is not None else record.balance
    return facts.Credit(
        document=document,
        number=record.doc_number,
        amount=rounded(record.total_amt, currency),
        tax_amount=rounded(record.txn_tax_detail.total_tax, currency),
        currency=currency,
        status="void" if is_void(record) else "issued",
        lines=_lines(record, currency),
        reason=record.customer_memo.value,
        date=day(record.txn_date),
        reference=record.payment_ref_num or reference(record),
        remaining_amount=None if document == "refund" or left is None else rounded(left, currency),
        allocations=tuple(
            facts.Allocation(type=one.type, id=one.id, amount=rounded(one.amount, currency)) for one in applied
        ),
    )


def _customer(record: Customer) -> facts.Customer:
    party = facts.Party(
        id=record.id,
        name=record.display_name,
        email=record.primary_email_addr.address,
        phone=record.primary_phone.free_form_number,
        address=_address(record.bill_addr),
    )
    return facts.Customer(party=party, status="active" if record.active else "archived")


def _order(record: Form, home: str, field: str) -> facts.Order:
    """Return an estimate as the order it stands for."""
    currency, stage = _currency(record, home), record.txn_status or "Pending"
    word = PLATFORM.statuses.get(f"Estimate:{stage}", "on_hold")
    life = "open" if word == "invoiced" else word
    return facts.Order(
        number=record.doc_number,
        status=life,  # type: ignore[arg-type]  # LifeCycle words, see statuses
        stage=stage,
        headline=word,
        currency=currency,
        customer=_buyer(record),
        lines=_lines(record, currency),
        net_amount=rounded(record.total_amt - record.txn_tax_detail.total_tax, currency),
        tax_amount=rounded(record.txn_tax_detail.total_tax, currency),
        payable_amount=rounded(record.total_amt, currency),
        note=record.customer_memo.value,
        po_number=reference(record, field),
    )
