"""What the company really holds, in the words of the sandbox contract."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from app.sandbox.platforms.quickbooks_online.company import Company
from app.sandbox.platforms.quickbooks_online.refusals import Record
from app.sandbox.platforms.quickbooks_online.store import ref, text

_KINDS = {"Invoice": "invoice", "SalesReceipt": "sales_receipt", "CreditMemo": "credit", "RefundReceipt": "refund"}


def books(company: Company) -> list[Record]:
    """Return one row per document; a payment of nothing only sets a credit off and is no payment."""
    rows = [_form(company, entity, record) for entity in _KINDS for record in company.store.rows[entity].values()]
    rows += [_customer(record) for record in company.store.rows["Customer"].values()]
    return rows + list(_payments(company))


def shown(company: Company, entity: str, id_: str) -> Record | None:
    """Return one record as the books show it; a deleted one by its id alone, None for what is no document."""
    kind = {**_KINDS, "Payment": "payment", "Customer": "customer"}.get(entity)
    record = company.store.rows[entity].get(id_)
    if kind is None or record is None:
        return None if kind is None else {"kind": kind, "id": id_, "status": "deleted"}
    if entity == "Customer":
        return _customer(record)
    return _payment(record) if entity == "Payment" else _form(company, entity, record)


def _form(company: Company, entity: str, record: Record) -> Record:
    total, balance = Decimal(record["TotalAmt"]), Decimal(record.get("Balance") or 0)
    row = {
        "kind": _KINDS[entity],
        "id": record["Id"],
        "number": record.get("DocNumber", ""),
        "mark": record.get("PrivateNote", ""),
        "order_ref": _reference(record),
        "currency": ref(record, "CurrencyRef"),
        "total": text(total),
        "amount": text(total),
        "tax": text(Decimal(record["TxnTaxDetail"]["TotalTax"])),
        "date": record["TxnDate"],
        "customer": record["CustomerRef"]["name"],
        "note": (record.get("CustomerMemo") or {}).get("value", ""),
        "tracking": record.get("TrackingNum", ""),
    }
    if entity == "Invoice":
        credited = _set_off(company, record)
        paid = total - balance - credited
        row.update(paid=text(paid), credited=text(credited), due=text(balance), status=_status(record, total, balance))
    elif entity == "SalesReceipt":
        row.update(paid=text(total), due="0.00", status="void" if _voided(record) else "paid")
    elif entity == "CreditMemo":
        row.update(
            due=text(balance),
            status="void" if _voided(record) else "open" if balance else "paid",
            invoice_id=_credited(company, record),
        )
    else:
        row["status"] = "refunded"
    return row


def _reference(record: Record) -> str:
    return next((str(field.get("StringValue") or "") for field in record.get("CustomField") or []), "")


def _status(record: Record, total: Decimal, balance: Decimal) -> str:
    if _voided(record):
        return "void"
    if balance == 0 and total:
        return "paid"
    return "partially_paid" if balance < total else "invoiced"


def _voided(record: Record) -> bool:
    return not record["TotalAmt"] and str(record.get("PrivateNote") or "").startswith("Voided")


def _set_off(company: Company, invoice: Record) -> Decimal:
    link = {"TxnId": invoice["Id"], "TxnType": "Invoice"}
    rows = [row for row in _applied(company, invoice) if not row["TotalAmt"]]
    parts = (Decimal(line["Amount"]) for row in rows for line in row["Line"] if line["LinkedTxn"][0] == link)
    return sum(parts, Decimal(0))


def _credited(company: Company, credit: Record) -> str:
    links = [line["LinkedTxn"][0] for row in _applied(company, credit) for line in row["Line"]]
    return next((str(link["TxnId"]) for link in links if link["TxnType"] == "Invoice"), "")


def _applied(company: Company, document: Record) -> list[Record]:
    payments = company.store.rows["Payment"]
    links = document.get("LinkedTxn", ())
    return [payments[link["TxnId"]] for link in links if link["TxnType"] == "Payment" and link["TxnId"] in payments]


def _payments(company: Company) -> Iterator[Record]:
    for record in company.store.rows["Payment"].values():
        if record["TotalAmt"] or _voided(record):
            yield _payment(record)


def _payment(record: Record) -> Record:
    links = [line["LinkedTxn"][0]["TxnId"] for line in record["Line"] if line["LinkedTxn"][0]["TxnType"] == "Invoice"]
    return {
        "kind": "payment",
        "id": record["Id"],
        "mark": record.get("PrivateNote", ""),
        "order_ref": record.get("PaymentRefNum", ""),
        "invoice_id": links[0] if links else "",
        "currency": ref(record, "CurrencyRef"),
        "amount": text(Decimal(record["TotalAmt"])),
        "due": text(Decimal(record["UnappliedAmt"])),
        "status": "void" if _voided(record) else "paid",
        "date": record["TxnDate"],
        "customer": record["CustomerRef"]["name"],
    }


def _customer(record: Record) -> Record:
    return {
        "kind": "customer",
        "id": record["Id"],
        "customer": record["DisplayName"],
        "currency": ref(record, "CurrencyRef"),
        "status": "open" if record.get("Active", True) else "cancelled",
        "note": (record.get("PrimaryEmailAddr") or {}).get("Address", ""),
    }
