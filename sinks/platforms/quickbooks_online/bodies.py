"""The bodies of writes: pure translations from canonical facts to the vendor's fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from app.core.errors import RejectedError
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Credit, Invoice, Line, Party, Payment, Shipment
from schemas.money import ZERO, rounded
from schemas.platforms.quickbooks_online import parcels
from schemas.platforms.quickbooks_online.translate import REFERENCE_LINE
from schemas.taxes import rate_of
from sinks.platforms.quickbooks_online.asking import Row
from sinks.platforms.quickbooks_online.finding import address, item_name

NUMBER_LENGTH = 21
TRACKING_LENGTH = 31
NOTE_LENGTH = 4000
MEMO_LENGTH = 1000


def private_note(mark: str, *lines: str) -> str:
    """Return the private note: our mark first, then what helps people."""
    return "\n".join([mark, *(line for line in lines if line)])[:NOTE_LENGTH]


def form(connection: Connection, command: Command, invoice: Invoice, customer: str, items: Mapping[str, str]) -> Row:
    """Return an Invoice or SalesReceipt. Nothing is mailed: EmailStatus is set so."""
    said = f"Order {invoice.reference}" if invoice.reference else ""
    body: Row = {
        "CustomerRef": {"value": customer},
        "CurrencyRef": {"value": invoice.currency},
        "PrivateNote": private_note(command.mark, said),
        "EmailStatus": "NotSet",
        **lines_and_tax(connection, invoice, items),
        **dates(invoice),
        **_numbers(connection, invoice),
    }
    if invoice.note:
        body["CustomerMemo"] = {"value": invoice.note[:MEMO_LENGTH]}
    party = invoice.customer or Party()
    if party.email:
        body["BillEmail"] = {"Address": party.email}
    if party.address is not None:
        body["BillAddr"] = address(party)
    return body


def dates(invoice: Invoice) -> Row:
    """Return the dates that the document has; a receipt is never due."""
    body: Row = {}
    if invoice.issue_date is not None:
        body["TxnDate"] = invoice.issue_date.isoformat()
    if invoice.due_date is not None and invoice.document != "sales_receipt":
        body["DueDate"] = invoice.due_date.isoformat()
    return body


def _numbers(connection: Connection, invoice: Invoice) -> Row:
    body: Row = {}
    wanted = invoice.number or invoice.reference
    if connection.options.get("numbers") == "order" and wanted:
        body["DocNumber"] = wanted[:NUMBER_LENGTH]
    return {**body, **own_reference(connection, invoice)}


def own_reference(connection: Connection, invoice: Invoice) -> Row:
    """Return the customer's own number in the field that the connection names for it; without one the order's."""
    definition, shown = connection.options.get("reference_field"), invoice.po_number or invoice.reference
    if not definition:
        return {}
    return {"CustomField": [{"DefinitionId": definition, "Type": "StringType", "StringValue": shown[:31]}]}


def lines_and_tax(connection: Connection, invoice: Invoice, items: Mapping[str, str]) -> Row:
    """Return the lines and the tax; together they must be the total, to the minor unit."""
    currency = invoice.currency
    tax = (
        invoice.tax_amount if invoice.tax_amount is not None else sum((line.tax_amount for line in invoice.lines), ZERO)
    )
    net = sum((rounded(line.net_amount, currency) for line in invoice.lines), ZERO)
    if net == invoice.payable_amount:
        tax = ZERO  # lines without tax of their own carry the whole total
    if net + tax != invoice.payable_amount:
        raise RejectedError(
            f"QuickBooks: lines of {net} and tax of {tax} do not make the total of {invoice.payable_amount}."
        )
    return _sales(connection, invoice.lines, currency, tax, items)


def _sales(connection: Connection, lines: Sequence[Line], currency: str, tax: Decimal, items: Mapping[str, str]) -> Row:
    # A US company's tax engine honours a tax that is sent and spreads it over the rates that it finds itself:
    # https://blogs.intuit.com/2017/12/11/using-quickbooks-online-api-automated-sales-tax/
    untold = bool(tax) and not any(line.tax_amount for line in lines)
    body: Row = {
        "Line": [_line(connection, line, currency, items, taxed=untold or bool(line.tax_amount)) for line in lines],
        "TxnTaxDetail": {"TotalTax": tax},
    }
    if connection.taxes:
        body["GlobalTaxCalculation"] = "TaxExcluded"
    return body


def _line(connection: Connection, line: Line, currency: str, items: Mapping[str, str], *, taxed: bool) -> Row:
    amount = rounded(line.net_amount, currency)
    detail: Row = {
        "ItemRef": {"value": items[item_name(line)]},
        "Qty": line.quantity,
        "TaxCodeRef": {"value": tax_code(connection, line, taxed=taxed)},
    }
    # QuickBooks refuses an amount that is not quantity times price (6070); without a price it divides by itself.
    if rounded(line.quantity * line.unit_price, currency) == amount:
        detail["UnitPrice"] = line.unit_price
    return {
        "DetailType": "SalesItemLineDetail",
        "Amount": amount,
        "Description": line.name or line.sku or item_name(line),
        "SalesItemLineDetail": detail,
    }


def tax_code(connection: Connection, line: Line, *, taxed: bool) -> str:
    """Return the code of the line's rate; without a mapping the US codes, where QuickBooks knows the rate."""
    if not connection.taxes:
        return "TAX" if taxed else "NON"
    rate = rate_of(line, connection.taxes)
    code = connection.taxes.get(line.tax_code) or connection.taxes.get(rate)
    if code is None:
        missing = f"the rate {rate}" if rate else f"a tax of {line.tax_amount:f} on {line.net_amount:f}"
        raise RejectedError(f"QuickBooks: no tax code is configured for {missing}; add it to the connection's taxes.")
    return code


def credit_lines(credit: Credit) -> tuple[Line, ...]:
    """Return the lines of a credit; one without any, or whose lines are not all of it, gets one over the net amount."""
    if sum((line.net_amount + line.tax_amount for line in credit.lines), ZERO) == credit.amount:
        return credit.lines
    tax = credit.tax_amount or ZERO
    name = credit.reason or "Credit"
    return (
        Line(name=name, sku="Credit", unit_price=credit.amount - tax, net_amount=credit.amount - tax, tax_amount=tax),
    )


def credit_form(
    connection: Connection, command: Command, credit: Credit, customer: str, items: Mapping[str, str]
) -> Row:
    """Return a CreditMemo or RefundReceipt."""
    lines, tax = credit_lines(credit), credit.tax_amount
    tax = tax if tax is not None else sum((line.tax_amount for line in lines), ZERO)
    net = sum((rounded(line.net_amount, credit.currency) for line in lines), ZERO)
    if net + tax != credit.amount:
        raise RejectedError(f"QuickBooks: lines of {net} and tax of {tax} do not make the credit of {credit.amount}.")
    body: Row = {
        "CustomerRef": {"value": customer},
        "CurrencyRef": {"value": credit.currency},
        "PrivateNote": private_note(command.mark, credit.reference and f"{REFERENCE_LINE}{credit.reference}"),
        "EmailStatus": "NotSet",
        **_sales(connection, lines, credit.currency, tax, items),
    }
    if credit.date is not None:
        body["TxnDate"] = credit.date.isoformat()
    if credit.reason:
        body["CustomerMemo"] = {"value": credit.reason[:MEMO_LENGTH]}
    return body


def payment_form(connection: Connection, command: Command, payment: Payment, invoice: Row | None, customer: str) -> Row:
    """Return a Payment; what the invoice no longer needs stays unapplied."""
    share = min(payment.amount, Decimal(invoice["Balance"])) if invoice is not None else ZERO
    link = {"TxnId": str(invoice["Id"]), "TxnType": "Invoice"} if invoice is not None else {}
    body: Row = {
        "CustomerRef": {"value": customer},
        "CurrencyRef": {"value": payment.currency},
        "TotalAmt": payment.amount,
        "PrivateNote": private_note(command.mark, payment.reference and f"{REFERENCE_LINE}{payment.reference}"),
        "Line": [{"Amount": share, "LinkedTxn": [link]}] if share > 0 else [],
    }
    if payment.reference:
        body["PaymentRefNum"] = payment.reference[:NUMBER_LENGTH]
    if day := payment_day(connection, payment):
        body["TxnDate"] = day
    account = connection.accounts.get("clearing") or connection.accounts.get("payments")
    if account:
        body["DepositToAccountRef"] = {"value": account}
    return body


def payment_day(connection: Connection, payment: Payment) -> str:
    """Return the book date: the payment's own, else the day of the instant in the ledger's zone."""
    if payment.date is not None:
        return payment.date.isoformat()
    if payment.paid_at is None:
        return ""
    return payment.paid_at.astimezone(ZoneInfo(connection.time_zone)).date().isoformat()


def parcel(row: Row, shipment: Shipment, before: Collection[str] = ()) -> Row:
    """Return the fields of *row* that a parcel changes: numbers are added, what does not fit goes to the note.

    *before* are the numbers that this parcel had when it was last written; those of other parcels stay. The note says
    which numbers are ours, so that they are not read as a person's.
    """
    numbers = parcels.numbers(str(row.get("TrackingNum") or ""))
    wanted = list(dict.fromkeys([*(one for one in numbers if one not in before), *shipment.tracking_numbers]))
    shown = [number for place, number in enumerate(wanted) if len(", ".join(wanted[: place + 1])) <= TRACKING_LENGTH]
    body: Row = {}
    if shown != numbers:
        body["TrackingNum"] = ", ".join(shown)
    if shipment.carrier:
        body["ShipMethodRef"] = {"value": shipment.carrier, "name": shipment.carrier}
    if shipment.shipped_at is not None and not row.get("ShipDate"):
        body["ShipDate"] = shipment.shipped_at.date().isoformat()
    left = [number for number in wanted if number not in shown]
    there = str(row.get("PrivateNote") or "")
    more = noted(row, f"Parcel {shipment.carrier} {', '.join(left)}".strip()) if left else None
    kept = [one for one in parcels.ours(there) if one not in before]
    note = parcels.told(more or there, [*kept, *shipment.tracking_numbers])[:NOTE_LENGTH]
    if note != there:
        body["PrivateNote"] = note
    return body


def noted(row: Row, text: str) -> str | None:
    """Return the private note with *text* added, None when it says so already."""
    there = str(row.get("PrivateNote") or "")
    if text in there.splitlines() or text in there:
        return None
    return f"{there}\n{text}"[:NOTE_LENGTH] if there else text[:NOTE_LENGTH]
