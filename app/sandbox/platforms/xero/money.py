"""Payments, allocations and overpayments: money that settles documents."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.sandbox.platforms.xero import render
from app.sandbox.platforms.xero.ledger import InvalidError, day_of
from app.sandbox.platforms.xero.quotes import Quotes
from app.sandbox.platforms.xero.render import Row, cents

_TYPES = {
    "ACCREC": "ACCRECPAYMENT",
    "ACCPAY": "ACCPAYPAYMENT",
    "ACCRECCREDIT": "ARCREDITPAYMENT",
    "ACCPAYCREDIT": "APCREDITPAYMENT",
    "RECEIVE-OVERPAYMENT": "AROVERPAYMENTPAYMENT",
    "RECEIVE-PREPAYMENT": "ARPREPAYMENTPAYMENT",
}
_CATEGORY = {"Invoice": "INVOICE", "CreditNote": "CREDITNOTE", "Overpayment": "", "Prepayment": ""}
_EXCEEDS = "Payment amount exceeds the amount outstanding on this document"


class Books(Quotes):
    """The whole organisation."""

    def save_payment(self, body: Mapping[str, Any]) -> Row:
        """Put a payment on an invoice, or pay a credit note or an overpayment out."""
        kind, document = self._paid_document(body)
        account = self.bank(body.get("Account") or {})
        amount = cents(Decimal(body.get("Amount") or 0))
        if amount <= 0:
            raise InvalidError("The payment amount must be greater than zero.")
        if self.status(document) not in {"AUTHORISED", "PAID"}:
            raise InvalidError("Payments can only be made against Authorised documents")
        if amount > self.due(document):
            raise InvalidError(_EXCEEDS)
        day = day_of(body["Date"], "Date") if body.get("Date") else self.today()
        self.open_period(day)
        row: Row = {
            "PaymentID": self.new_id(),
            "Date": day,
            "Amount": amount,
            "BankAmount": amount,
            "CurrencyRate": Decimal(body.get("CurrencyRate") or 1),
            "Reference": str(body.get("Reference") or ""),
            "PaymentType": _TYPES[document["Type"]],
            "Status": "AUTHORISED",
            "IsReconciled": bool(body.get("IsReconciled")),
            "AccountCode": account["Code"],
            "kind": kind,
            "document": self.id_of(document),
        }
        self.payments[row["PaymentID"]] = row
        document.setdefault("payments", []).append(row)
        self.note(row["document"], "Paid", f"{amount} on {day.isoformat()}.")
        self.touch(row, "")
        self.touch(document, _CATEGORY[kind])
        return row

    def _paid_document(self, body: Mapping[str, Any]) -> tuple[str, Row]:
        if (named := body.get("CreditNote")) and named.get("CreditNoteID"):
            found = self.credits.get(str(named["CreditNoteID"]))
            kind = "CreditNote"
        elif (named := body.get("Overpayment")) and named.get("OverpaymentID"):
            found, kind = self.advances.get(str(named["OverpaymentID"])), "Overpayment"
        elif (named := body.get("Prepayment")) and named.get("PrepaymentID"):
            found, kind = self.prepayments.get(str(named["PrepaymentID"])), "Prepayment"
        else:
            found, kind = self.known_invoice(body.get("Invoice") or {}), "Invoice"
        if found is None:
            raise InvalidError("You must specify an invoice, credit note, prepayment or overpayment.")
        return kind, found

    def document_of(self, payment: Row) -> Row:
        """Return what a payment settles."""
        advances = {"Overpayment": self.advances, "Prepayment": self.prepayments}
        tables = {"Invoice": self.invoices, "CreditNote": self.credits, **advances}
        return tables[payment["kind"]][payment["document"]]

    def forget(self, row: Row) -> None:
        """Take an invoice, with what settled it, or a payment out of the books as if it had never been there."""
        gone = row.get("PaymentID") or row["InvoiceID"]
        for id_ in [id_ for id_, paid in self.payments.items() if gone in {id_, paid["document"]}]:
            del self.payments[id_]
        for source in (*self.credits.values(), *self.advances.values(), *self.prepayments.values()):
            source["Allocations"] = [item for item in source["Allocations"] if item["InvoiceID"] != gone]
        if self.invoices.pop(gone, None) is not None:
            self._numbered.pop(row["InvoiceNumber"], None)

    def delete_payment(self, id_: str) -> Row:
        """Remove a payment; the record stays with Status DELETED."""
        row = self.payments.get(id_)
        if row is None:
            raise InvalidError("The payment could not be found.")
        if row["Status"] == "DELETED":
            raise InvalidError("The payment has already been deleted.")
        if row["IsReconciled"]:
            raise InvalidError("The payment cannot be deleted as it is reconciled.")
        self.open_period(row["Date"])
        row["Status"] = "DELETED"
        document = self.document_of(row)
        self.note(row["document"], "Payment removed", f"{row['Amount']}.")
        self.touch(row, "")
        self.touch(document, _CATEGORY[row["kind"]])
        return row

    def allocate(self, source: Row, body: Mapping[str, Any]) -> Row:
        """Use a credit note's or an overpayment's rest on an invoice of the same contact."""
        invoice = self.known_invoice(body.get("Invoice") or {})
        amount = cents(Decimal(body.get("Amount") or 0))
        if invoice is None:
            raise InvalidError("The allocation must name an invoice.")
        if invoice["ContactID"] != source["ContactID"]:
            raise InvalidError("The allocation must be to an invoice of the same contact.")
        if amount <= 0 or amount > self.due(source):
            raise InvalidError("The allocation amount exceeds the remaining credit.")
        if amount > self.due(invoice) or self.status(invoice) != "AUTHORISED":
            raise InvalidError("The allocation amount exceeds the amount outstanding on the invoice.")
        day = day_of(body["Date"], "Date") if body.get("Date") else self.today()
        self.open_period(day)
        item: Row = {"AllocationID": self.new_id(), "Amount": amount, "Date": day, "InvoiceID": invoice["InvoiceID"]}
        source["Allocations"].append(item)
        invoice.setdefault("received", []).append({**item, "shown": self._applied(source, item)})
        self.note(invoice["InvoiceID"], "Credit Applied", f"{amount}.")
        self.touch(source, "CREDITNOTE" if "CreditNoteID" in source else "")
        self.touch(invoice, "INVOICE")
        return item

    def release(self, source: Row, id_: str) -> Row | None:
        """Take an allocation back: the invoice owes it again; None for an unknown one."""
        item: Row | None = next((item for item in source["Allocations"] if item["AllocationID"] == id_), None)
        if item is None:
            return None
        self.open_period(item["Date"])
        invoice = self.invoices[item["InvoiceID"]]
        source["Allocations"].remove(item)
        invoice["received"] = [one for one in invoice["received"] if one["AllocationID"] != id_]
        self.touch(source, "CREDITNOTE" if "CreditNoteID" in source else "")
        self.touch(invoice, "INVOICE")
        return item

    def _applied(self, source: Row, item: Row) -> Row:
        names = ("CreditNoteID", "CreditNoteNumber", "OverpaymentID", "PrepaymentID")
        head = {name: source[name] for name in names if name in source}
        return {
            **head,
            "AppliedAmount": item["Amount"],
            "Date": item["Date"],
            "Total": source["Total"],
            "LineItems": [],
        }

    def receive(self, body: Mapping[str, Any]) -> Row:
        """Take a bank transaction: RECEIVE-OVERPAYMENT makes an Overpayment, RECEIVE-PREPAYMENT a Prepayment."""
        if body.get("Type") == "RECEIVE-PREPAYMENT":
            return self._prepay(body)
        if body.get("Type") != "RECEIVE-OVERPAYMENT":
            raise InvalidError("Only RECEIVE-OVERPAYMENT and RECEIVE-PREPAYMENT are simulated.")
        account = self.bank(body.get("BankAccount") or {})
        lines = body.get("LineItems") or ()
        if len(lines) != 1:
            raise InvalidError("An overpayment must have exactly one line item.")
        row = self._document({**body, "LineAmountTypes": "NoTax", "Status": "DRAFT", "Reference": ""}, 4)
        row.update(Type="RECEIVE-OVERPAYMENT", Status="AUTHORISED", Allocations=[])
        row.update(OverpaymentID=self.new_id(), BankTransactionID=self.new_id(), AccountCode=account["Code"])
        self.advances[row["OverpaymentID"]] = row
        self.touch(row, "")
        return row

    def _prepay(self, body: Mapping[str, Any]) -> Row:
        """Book money before there is an invoice: on an account and with tax, as a sale is."""
        account = self.bank(body.get("BankAccount") or {})
        row = self._document({**body, "Status": "AUTHORISED", "Reference": ""}, 4)
        row.update(Type="RECEIVE-PREPAYMENT", Allocations=[], number=self.number("INV", self._numbered))
        row.update(PrepaymentID=self.new_id(), BankTransactionID=self.new_id(), AccountCode=account["Code"])
        self.prepayments[row["PrepaymentID"]] = row
        self.touch(row, "")
        return row

    # ----------------------------------------------------------------------------------------------- showing

    def shown_payment(self, row: Row, *, full: bool = True) -> Row:
        """Return a payment as Xero does; in lists only the head of its document is shown."""
        keep = ("PaymentID", "Date", "Amount", "BankAmount", "CurrencyRate", "Reference", "PaymentType", "Status")
        account = self.accounts[row["AccountCode"]]
        return {
            **{name: row[name] for name in keep},
            "IsReconciled": row["IsReconciled"],
            "UpdatedDateUTC": row["UpdatedDateUTC"],
            "Account": {name: account[name] for name in ("AccountID", "Code", "Name")},
            row["kind"]: self._shown_paid(row, full=full),
            "HasAccount": True,
            "HasValidationErrors": False,
        }

    def _shown_paid(self, row: Row, *, full: bool) -> Row:
        document = self.document_of(row)
        if row["kind"] == "CreditNote":
            return self.shown_credit(document, full=full)
        if row["kind"] in {"Overpayment", "Prepayment"}:
            return self.shown_advance(document)
        if full:
            return self.shown_invoice(document)
        contact = self.shown_contact(document["ContactID"], full=False)
        return {**render.head(document), "Contact": contact, "LineItems": [], "HasErrors": False}

    def shown_advance(self, row: Row) -> Row:
        """Return an overpayment or a prepayment as Xero does; the number of a prepayment is its reference, too."""
        number = {"InvoiceNumber": row["number"], "Reference": row["number"]} if "number" in row else {}
        return {
            "OverpaymentID": row.get("OverpaymentID"),
            "PrepaymentID": row.get("PrepaymentID"),
            **number,
            "Type": row["Type"],
            "Date": row["Date"],
            **self._shown_document(row, full=True, places=4),
            "RemainingCredit": self.due(row),
            "Allocations": [self.shown_allocation(item) for item in row["Allocations"]],
            "Payments": [self.shown_inside(payment) for payment in self.live(row)],
        }

    def shown_transaction(self, row: Row) -> Row:
        """Return the bank transaction behind an overpayment or a prepayment."""
        keep = ("BankTransactionID", "OverpaymentID", "PrepaymentID", "Type", "Date")
        shown = {**{name: row[name] for name in keep if name in row}, **self._shown_document(row, full=True, places=4)}
        account = self.accounts[row["AccountCode"]]
        bank = {name: account[name] for name in ("AccountID", "Code", "Name")}
        return {**shown, "Status": "AUTHORISED", "BankAccount": bank}
