"""What Stripe's records say in canonical terms: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from schemas.facts import (
    Allocation,
    Credit,
    CreditStatus,
    Customer,
    DocumentStatus,
    Facts,
    Invoice,
    Line,
    Party,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
)
from schemas.money import rounded
from schemas.platforms.stripe.integers import day, instant, money
from schemas.platforms.stripe.whose import PARTS, REPORTED_REFUND, billed, ident, money_of, order_anchor
from schemas.refs import find_mark, read_mark

MARK = "o2c"
REFUND = "o2c_refund"
_LINES = {"invoice": "/v1/invoices/{}/lines", "credit_note": "/v1/credit_notes/{}/lines"}
_PLACES, _EACH = 4, Decimal("0.0001")
_INVOICE: dict[str, DocumentStatus] = {
    "draft": "draft",
    "open": "invoiced",
    "paid": "paid",
    "void": "void",
    "uncollectible": "on_hold",
}
_PAYMENT: dict[str, PaymentStatus] = {
    "succeeded": "succeeded",
    "canceled": "cancelled",
    "requires_capture": "authorised",
    "failed": "failed",
    "pending": "pending",
    "processing": "pending",
    "requires_payment_method": "pending",
    "requires_action": "pending",
    "requires_confirmation": "pending",
}
_REPORTED: dict[str, PaymentStatus] = {
    "guaranteed": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
    "requested": "pending",
}
"""Which amount of a payment record tells its status, the first that is not 0."""
_REFUND: dict[str, CreditStatus] = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "issued",
    "failed": "failed",
    "canceled": "void",
}
_DISPUTE: dict[str, CreditStatus] = {"lost": "issued", "won": "void", "warning_closed": "void", "prevented": "void"}
_PAYOUT: dict[str, PayoutStatus] = {
    "paid": "paid",
    "pending": "pending",
    "in_transit": "in_transit",
    "canceled": "cancelled",
    "failed": "failed",
}


def more_lines(record: dict[str, Any]) -> str:
    """Return where the lines of an invoice or credit note are listed, "" where it holds all: at most ten it does."""
    path = _LINES.get(str(record.get("object")))
    return (
        path.format(quote(str(record["id"]), safe="")) if path and (record.get("lines") or {}).get("has_more") else ""
    )


def mark(record: dict[str, Any]) -> str | None:
    """Return our mark in the metadata."""
    return find_mark((record.get("metadata") or {}).get(MARK))


def written_key(name: str, text: str) -> str:
    """Return the metadata key of one write, known by its mark *text*; a key holds 40 characters."""
    found = read_mark(text)
    return f"{name}_{found.write if found else text[-12:]}"


def reported_refund(record: dict[str, Any], told: str) -> dict[str, Any] | None:
    """Return as a record what *told* ("<mark> <units> <second>") says went back of a payment record, if anything."""
    parts = told.split(" ")
    if len(parts) != 3 or read_mark(parts[0]) is None or not (parts[1] + parts[2]).isdecimal():  # noqa: PLR2004
        return None
    return {
        "object": REPORTED_REFUND,
        "id": f"{record['id']}:{written_key(REFUND, parts[0])}",
        "payment_record": record["id"],
        "amount": int(parts[1]),
        "currency": record["amount_requested"]["currency"],
        "status": "succeeded",
        "created": int(parts[2]),
        "metadata": {MARK: parts[0]},
    }


def to_facts(record: dict[str, Any], zone: str) -> Facts | None:
    """Return the canonical facts of any Stripe object we know, else None; days are those of *zone*."""
    translate = _TRANSLATE.get(str(record.get("object")))
    return None if translate is None else translate(record, zone)


def _invoice(record: dict[str, Any], zone: str) -> Invoice:
    currency = str(record["currency"]).upper()
    stage, total = str(record.get("status") or "draft"), money(record.get("total"), currency)
    paid, after, credited = money(record.get("amount_paid"), currency), *_credited(record, currency)
    tax = _tax(record, currency)
    status: DocumentStatus = _INVOICE.get(stage, "on_hold")
    if status == "paid" and after:
        status = "refunded" if credited >= total else "partially_refunded"
    elif status == "invoiced" and paid:
        status = "partially_paid"
    return Invoice(
        number=record.get("number") or "",
        status=status,
        stage=stage,
        currency=currency,
        customer=Party(
            id=ident(record.get("customer")),
            email=record.get("customer_email") or "",
            name=record.get("customer_name") or "",
        ),
        lines=tuple(_line(line, currency) for line in (record.get("lines") or {}).get("data", [])),
        net_amount=total - tax,
        tax_amount=tax,
        payable_amount=total,
        paid_amount=paid,
        credited_amount=credited,
        amount_due=money(record.get("amount_remaining"), currency),
        issue_date=day(record.get("effective_at") or record.get("created"), zone),
        due_date=day(record.get("due_date"), zone),
        note=record.get("description") or "",
        reference=next((anchor.ref.id for anchor in order_anchor(record)), ""),
    )


def _credited(record: dict[str, Any], currency: str) -> tuple[Decimal, Decimal]:
    """Return what was credited after the payment, which gives money back, and all that was credited."""
    before, after = (money(record.get(f"{when}_payment_credit_notes_amount"), currency) for when in ("pre", "post"))
    return after, before + after


def _tax(record: dict[str, Any], currency: str) -> Decimal:
    """Return the tax of an invoice or credit note, in the shape of any version."""
    taxes = record.get("total_taxes") or record.get("total_tax_amounts") or record.get("tax_amounts") or []
    return _sum(taxes, currency) if taxes else money(record.get("tax"), currency)


def _sum(parts: Iterable[dict[str, Any]], currency: str) -> Decimal:
    return sum((money(part.get("amount"), currency) for part in parts), Decimal(0))


def _line(line: dict[str, Any], currency: str) -> Line:
    """Return a line; its amount at Stripe is before discounts, and holds the tax where prices include it."""
    quantity = Decimal(str(line.get("quantity") or 1))
    taxes = line.get("taxes") or line.get("tax_amounts") or []
    inside = [part for part in taxes if part.get("tax_behavior") == "inclusive" or part.get("inclusive")]
    off = _sum(line.get("discount_amounts") or [], currency) + _sum(inside, currency)
    net = money(line.get("amount"), currency) - off
    each = net / quantity
    return Line(
        id=str(line.get("id", "")),
        name=line.get("description") or "",
        quantity=quantity,
        unit_price=each if -int(each.as_tuple().exponent) <= _PLACES else each.quantize(_EACH),
        net_amount=net,
        tax_amount=_sum(taxes, currency),
    )


def _reported(record: dict[str, Any], zone: str) -> Payment:
    """Return money that came outside Stripe and was reported to it."""
    units = {name: (record.get(f"amount_{name}") or {}).get("value") or 0 for name in _REPORTED}
    stage = next((name for name, value in units.items() if value), "requested")
    currency = str(record["amount_requested"]["currency"]).upper()
    amount = money(units[stage] or record["amount_requested"]["value"], currency)
    custom = ((record.get("processor_details") or {}).get("custom") or {}).get("payment_reference") or ""
    how, payer = record.get("payment_method_details") or {}, record.get("customer_details") or {}
    invoice = next((id_ for _, id_, _ in billed(record)), "")
    return Payment(
        amount=amount,
        currency=currency,
        status=_REPORTED[stage],
        stage=stage,
        method=(how.get("custom") or {}).get("display_name") or how.get("type") or "",
        paid_at=instant(_paid_at(record)),
        date=day(_paid_at(record), zone),
        reference=str(record["id"]) if find_mark(custom) else custom or str(record["id"]),
        allocations=(Allocation(type="invoice", id=invoice, amount=amount),) if invoice else (),
        customer=Party(id=ident(payer.get("customer")), name=payer.get("name") or "", email=payer.get("email") or ""),
    )


def _paid_at(record: dict[str, Any]) -> int | None:
    """Return when the first of a payment's parts was paid, else when the payment was made."""
    paid = [(part.get("status_transitions") or {}).get("paid_at") for part in record.get(PARTS) or []]
    return min((moment for moment in paid if moment), default=record.get("created"))


def _payment(record: dict[str, Any], zone: str) -> Payment:
    currency = str(record["currency"]).upper()
    stage = str(record.get("status"))
    received = record.get("amount_received") or record.get("amount_captured") or record.get("amount")
    invoice = ident(record.get("invoice")) or next((id_ for _, id_, _ in billed(record)), "")
    amount = money(received, currency)
    return Payment(
        amount=amount,
        currency=currency,
        status=_PAYMENT.get(stage, "pending"),
        stage=stage,
        method="stripe",
        paid_at=instant(_paid_at(record)),
        date=day(_paid_at(record), zone),
        reference=str(record["id"]),
        allocations=(Allocation(type="invoice", id=invoice, amount=amount),) if invoice else (),
        customer=Party(id=ident(record.get("customer")), email=record.get("receipt_email") or ""),
    )


def _refund(record: dict[str, Any], zone: str) -> Credit:
    currency, stage = str(record["currency"]).upper(), str(record.get("status"))
    kind, payment = money_of(record)
    amount = money(record.get("amount"), currency)
    return Credit(
        document="refund",
        amount=amount,
        currency=currency,
        status=_REFUND.get(stage, "pending"),
        stage=stage,
        reason=record.get("reason") or "",
        date=day(record.get("created"), zone),
        reference=str(record["id"]),
        allocations=(Allocation(type=kind, id=payment, amount=amount),),
    )


def _dispute(record: dict[str, Any], zone: str) -> Credit:
    currency, stage = str(record["currency"]).upper(), str(record.get("status"))
    status = _DISPUTE.get(stage, "pending")
    kind, payment = money_of(record)
    amount = money(record.get("amount"), currency)
    return Credit(
        document="refund",
        amount=amount,
        currency=currency,
        status=status,
        stage=stage,
        reason=f"dispute: {record.get('reason') or ''}",
        date=day(record.get("created"), zone),
        reference=str(record["id"]),
        allocations=(Allocation(type=kind, id=payment, amount=amount),),
    )


def _credit_note(record: dict[str, Any], zone: str) -> Credit:
    """Return what a note credits beyond the refunds that belong to it: each of those is a credit of its own."""
    currency = str(record["currency"]).upper()
    total, tax = money(record.get("total") or record.get("amount"), currency), _tax(record, currency)
    amount = total - _refunded(record, total, currency)
    whole = amount == total
    return Credit(
        number=record.get("number") or "",
        amount=amount,
        tax_amount=(tax if whole else rounded(tax * amount / total, currency)) if tax and total else None,
        currency=currency,
        stage=str(record.get("status")),
        status="void" if record.get("status") == "void" else "issued",
        reason=record.get("reason") or "",
        date=day(record.get("created"), zone),
        reference=str(record["id"]),
        lines=tuple(_line(line, currency) for line in (record.get("lines") or {}).get("data", []) if whole),
        allocations=(Allocation(type="invoice", id=ident(record.get("invoice")), amount=amount),),
    )


def _refunded(record: dict[str, Any], total: Decimal, currency: str) -> Decimal:
    """Return what of a note was sent back; before the payment nothing is."""
    if record.get("type") == "pre_payment":
        return Decimal(0)
    if refunds := record.get("refunds"):
        return sum((money(part.get("amount_refunded"), currency) for part in refunds), Decimal(0))
    outside = money(record.get("out_of_band_amount"), currency)
    return total - outside if record.get("refund") else Decimal(0)


def _customer(record: dict[str, Any], _zone: str) -> Customer:
    party = Party(
        id=str(record["id"]),
        name=record.get("name") or "",
        email=record.get("email") or "",
        phone=record.get("phone") or "",
    )
    return Customer(party=party, status="archived" if record.get("deleted") else "active")


def _payout(record: dict[str, Any], zone: str) -> Payout:
    currency, stage = str(record["currency"]).upper(), str(record.get("status"))
    return Payout(
        amount=money(record.get("amount"), currency),
        currency=currency,
        status=_PAYOUT.get(stage, "pending"),
        stage=stage,
        arrival_date=day(record.get("arrival_date"), zone),
        reference=str(record["id"]),
    )


_TRANSLATE: Mapping[str, Callable[[dict[str, Any], str], Facts]] = MappingProxyType(
    {
        "invoice": _invoice,
        "payment_intent": _payment,
        "charge": _payment,
        "payment_record": _reported,
        "refund": _refund,
        REPORTED_REFUND: _refund,
        "dispute": _dispute,
        "credit_note": _credit_note,
        "customer": _customer,
        "payout": _payout,
    }
)
