"""Canonical facts as HubSpot properties: all values are text, only what is asked for is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from app.core.errors import RejectedError
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Credit, Invoice, Line, Order, Party, Payment, Shipment
from schemas.money import ZERO, rounded, text
from schemas.platforms.hubspot import wire
from schemas.platforms.hubspot.platform import ASSOCIATIONS, MARK
from schemas.platforms.hubspot.wire import Record

Properties = dict[str, str]
_FINE = Decimal("0.000001")
ORDER_FIELDS: Mapping[str, tuple[str, str]] = {
    "number": ("dealname", "hs_order_name"),
    "currency": ("deal_currency_code", "hs_currency_code"),
    "payable_amount": ("amount", "hs_total_price"),
    "note": ("description", "hs_order_note"),
}
_INVOICE_FIELDS = {"currency": "hs_currency", "issue_date": "hs_invoice_date", "due_date": "hs_due_date"}
_INVOICE_FIELDS |= {"note": "hs_comments"}


def order(connection: Connection, kind: str, facts: Order, fields: tuple[str, ...] = ()) -> Properties:
    """Return the properties of *facts*; *fields* limits them to what changed, and then an empty one empties."""
    place = 0 if kind == "deals" else 1
    amount = "" if facts.payable_amount is None else text(facts.payable_amount, facts.currency)
    values = {
        "number": facts.number or ("" if fields else "Order"),
        "currency": facts.currency,
        "payable_amount": amount,
        "note": facts.note,
    }
    names = {field: pair[place] for field, pair in ORDER_FIELDS.items()}
    names["number"] = connection.options.get("number_property") or names["number"]
    if po := connection.options.get("po_property"):
        names["po_number"], values["po_number"] = po, facts.po_number
    sent = _chosen(names, values, fields)
    if fields:
        return sent
    name = ORDER_FIELDS["number"][place]
    sent.setdefault(name, facts.number or "Order")
    if facts.placed_at:
        sent["closedate" if kind == "deals" else "hs_external_created_date"] = moment(facts.placed_at)
    if pipeline := connection.options.get("pipeline"):
        sent["pipeline" if kind == "deals" else "hs_pipeline"] = pipeline
    return sent


def invoice(facts: Invoice, fields: tuple[str, ...] = ()) -> Properties:
    """Return the properties of an invoice's head."""
    values = {
        "currency": facts.currency,
        "note": facts.note,
        "issue_date": facts.issue_date.isoformat() if facts.issue_date else "",
        "due_date": facts.due_date.isoformat() if facts.due_date else "",
    }
    return _chosen(_INVOICE_FIELDS, values, fields)


def _chosen(names: Mapping[str, str], values: Mapping[str, str], fields: tuple[str, ...]) -> Properties:
    if fields:
        return {name: values[field] for field, name in names.items() if field in fields}
    return {name: values[field] for field, name in names.items() if values[field]}


def payment(facts: Payment) -> Properties:
    """Return the properties of a payment that was taken elsewhere: a record, nothing is charged."""
    at = facts.paid_at or (
        datetime(facts.date.year, facts.date.month, facts.date.day, tzinfo=UTC) if facts.date else None
    )
    values = {
        "hs_initial_amount": text(facts.amount, facts.currency),
        "hs_currency_code": facts.currency,
        "hs_initiated_date": moment(at) if at else "",
        "hs_reference_number": facts.reference,
        "hs_latest_status": "succeeded",
    }
    return {name: value for name, value in values.items() if value}


def note(command: Command) -> str:
    """Return the text of the note that stands for what HubSpot has no object for."""
    asked = command.facts
    if command.capability == "add_note" or not isinstance(asked, Credit | Shipment):
        return command.text
    if isinstance(asked, Shipment):
        what = " ".join(part for part in (asked.carrier, ", ".join(asked.tracking_numbers)) if part)
        return f"{asked.status.capitalize()}: {what or 'without tracking'}"
    money = f"{text(asked.amount, asked.currency)} {asked.currency}"
    if command.capability == "issue_credit":
        return f"Credit note {asked.number or asked.reference}: {money}"
    return f"Refund {asked.reference or asked.number}: {money}"


def contact_key(party: Party) -> tuple[str, str]:
    """Return the unique property by which a contact is found, and its value: our own one where there is no e-mail."""
    return ("email", party.email) if party.email else (MARK, f"customer/{party.name.strip().lower()}")


def somebody(party: Party | None) -> Party | None:
    """Return *party* unless it has neither an e-mail nor a name to be found by."""
    return party if party and (party.email or party.name.strip()) else None


def company_key(party: Party | None) -> str:
    """Return our own property of the company of *party*, "" for a person: a business is who has a tax number."""
    number = "".join(party.tax_id.split()).lower() if party and party.name.strip() else ""
    return f"company/{number}" if number else ""


def contact(party: Party) -> Properties:
    """Return the properties of a new contact."""
    first, _, last = party.name.strip().partition(" ")
    values = {"email": party.email, "firstname": first, "lastname": last, "phone": party.phone}
    return {name: value for name, value in values.items() if value}


def line(source: Line, currency: str, groups: Mapping[str, str]) -> Properties:
    """Return the properties of a line whose net amount comes out to the minor unit.

    *groups* maps a tax rate to the portal's tax rate group. A discount goes into the price: HubSpot's own discount is
    per unit and does not divide evenly.
    """
    quantity = source.quantity or Decimal(1)
    fits = rounded(quantity * source.unit_price, currency) == source.net_amount
    price = source.unit_price if fits else (source.net_amount / quantity).quantize(_FINE)
    if rounded(quantity * price, currency) != source.net_amount:
        quantity, price = Decimal(1), source.net_amount
    values: Properties = {
        "name": source.name or source.sku or source.kind,
        "quantity": f"{quantity.normalize():f}",
        "price": f"{price:f}",
        "hs_sku": source.sku,
        "hs_line_item_currency_code": currency,
        "hs_tax_rate_group_id": tax_group(source, groups),
    }
    return {name: value for name, value in values.items() if value}


def tax_group(source: Line, groups: Mapping[str, str]) -> str:
    """Return the portal's tax rate group for a line, empty when none is configured."""
    rate = "" if source.tax_rate is None else f"{source.tax_rate.normalize():f}"
    return groups.get(source.tax_code, "") or groups.get(rate, "")


def billed_lines(facts: Invoice, groups: Mapping[str, str]) -> tuple[Line, ...]:
    """Return the lines of an invoice plus one that carries the tax which the portal has no rate for."""
    tax = sum((one.tax_amount for one in facts.lines if not tax_group(one, groups)), ZERO)
    total = sum((one.net_amount + one.tax_amount for one in facts.lines), ZERO)
    if not facts.lines:
        return (Line(name="Total", unit_price=facts.payable_amount, net_amount=facts.payable_amount),)
    # A document whose tax stands only in its total still has to come out right.
    tax += facts.payable_amount - total
    return (*facts.lines, Line(name="Tax", kind="fee", unit_price=tax, net_amount=tax)) if tax else facts.lines


def positive(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return *lines* with what is negative among them taken off others: HubSpot refuses negative prices.

    The dearest of the same tax come first, so that HubSpot's own tax stays right as well. What is worth less than it is
    to be lowered by leaves the rest out: a bill is opened only when HubSpot's total is the bill's.
    """
    left = {position: one.net_amount for position, one in enumerate(lines) if one.net_amount >= ZERO}
    for less in (one for one in lines if one.net_amount < ZERO):
        owed = -less.net_amount
        for position in sorted(left, key=lambda place: (not _taxed_alike(lines[place], less), -left[place])):
            off = min(owed, left[position])
            left[position], owed = left[position] - off, owed - off
    return tuple(
        one if left[position] == one.net_amount else replace(one, net_amount=left[position])
        for position, one in enumerate(lines)
        if position in left
    )


def wrong_total(bill: Invoice, id_: str, drafted: Record | None) -> RejectedError | None:
    """Return why the draft of *bill* may not be opened, None when HubSpot would bill just that."""
    billed = wire.amount(drafted.value("hs_amount_billed"), bill.currency) if drafted else None
    if billed == bill.payable_amount:
        return None
    return RejectedError(
        f"HubSpot would bill {billed} instead of {bill.payable_amount}: the invoice {id_} stays a draft."
    )


def _taxed_alike(one: Line, other: Line) -> bool:
    return (one.tax_rate, one.tax_code) == (other.tax_rate, other.tax_code)


def marked(mark: str, properties: Properties) -> dict[str, object]:
    """Return one record of a batch upsert under its mark: sent twice, it is written once."""
    return {"idProperty": MARK, "id": mark, "objectWriteTraceId": mark, "properties": {MARK: mark, **properties}}


def made(mark: str, properties: Properties, kind: str, links: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Return one record of a batch create under its mark, associated with (type, id) pairs."""
    held = {MARK: mark, **properties}
    return {"objectWriteTraceId": mark, "properties": held, "associations": associations(kind, links)}


def associations(kind: str, links: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    """Return the associations of a new record of *kind* to (type, id) pairs."""
    return [
        {
            "to": {"id": id_},
            "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": ASSOCIATIONS[kind, to]}],
        }
        for to, id_ in links
    ]


def moment(at: datetime) -> str:
    """Return a time as HubSpot reads it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
