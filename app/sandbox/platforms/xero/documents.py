"""Invoices and credit notes: how they are made, changed and shown."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.sandbox.platforms.xero import render
from app.sandbox.platforms.xero.ledger import ZERO, InvalidError, Ledger, day_of
from app.sandbox.platforms.xero.render import Row

ENDED = frozenset(("VOIDED", "DELETED"))
_DRAFT = frozenset(("DRAFT", "SUBMITTED"))
_FREE_FIELDS = ("Reference", "Url", "SentToContact", "ExpectedPaymentDate")
_FIXED_WHEN_PAID = ("LineItems", "Date", "CurrencyCode", "LineAmountTypes", "Contact")
_NOT_VALID = "Invoice not of valid status for modification"
_HAS_MONEY = "This document cannot be edited as it has a payment or credit note allocated to it."
_MOVES = {
    "DRAFT": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "SUBMITTED": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "AUTHORISED": {"AUTHORISED", "VOIDED"},
    "PAID": {"PAID", "AUTHORISED"},
}


class Documents(Ledger):
    """Sales, bills and credit notes; statuses beyond AUTHORISED follow from the money."""

    # --------------------------------------------------------------------------------------------- invoices

    def save_invoice(self, body: Mapping[str, Any], *, create: bool, places: int = 2) -> Row:
        """Create an invoice, or update the one with that id or number."""
        existing = None if create else self.known_invoice(body)
        if existing is None:
            return self._new_invoice(body, places)
        return self._change(existing, body, places, "INVOICE")

    def known_invoice(self, named: Mapping[str, Any]) -> Row | None:
        """Return the invoice with that id, or the sale with that number."""
        if named.get("InvoiceID"):
            if (found := self.invoices.get(str(named["InvoiceID"]))) is None:
                raise InvalidError("The invoice could not be found.")
            return found
        id_ = self._numbered.get(str(named.get("InvoiceNumber") or ""))
        return self.invoices[id_] if id_ else None

    def _new_invoice(self, body: Mapping[str, Any], places: int) -> Row:
        type_ = str(body.get("Type") or "")
        if type_ not in {"ACCREC", "ACCPAY"}:
            raise InvalidError("Invoice type is not valid.")
        row = self._document(body, places)
        number = str(body.get("InvoiceNumber") or "")
        if type_ == "ACCREC" and number in self._numbered:
            raise InvalidError("Invoice # must be unique.")
        row.update(Type=type_, InvoiceID=self.new_id(), SentToContact=bool(body.get("SentToContact")))
        row["InvoiceNumber"] = number or (self.number("INV", self._numbered) if type_ == "ACCREC" else "")
        if type_ == "ACCREC":
            self._numbered[row["InvoiceNumber"]] = row["InvoiceID"]
        self.invoices[row["InvoiceID"]] = row
        self.note(row["InvoiceID"], "Created", f"{row['InvoiceNumber']} for {row['Total']}.")
        self.touch(row, "INVOICE", "CREATE")
        return row

    def _document(self, body: Mapping[str, Any], places: int) -> Row:
        contact = self.party(body.get("Contact"))
        status = str(body.get("Status") or "DRAFT")
        if status not in {"DRAFT", "SUBMITTED", "AUTHORISED"}:
            raise InvalidError(_NOT_VALID)
        kind = str(body.get("LineAmountTypes") or "Exclusive")
        row: Row = {
            "ContactID": contact["ContactID"],
            "Status": status,
            "LineAmountTypes": kind,
            "Date": day_of(body["Date"], "Date") if body.get("Date") else self.today(),
            "DueDate": day_of(body["DueDate"], "DueDate") if body.get("DueDate") else None,
            "Reference": str(body.get("Reference") or ""),
            "Url": body.get("Url"),
            "CurrencyCode": self._currency(body.get("CurrencyCode")),
            "CurrencyRate": Decimal(body.get("CurrencyRate") or 1),
        }
        self._approvable(row, body)
        self.open_period(row["Date"])
        row["LineItems"] = self.lines(body.get("LineItems") or (), kind, places=places, draft=status in _DRAFT)
        self.totals(row)
        return row

    def _currency(self, code: Any) -> str:  # noqa: ANN401 - any JSON
        chosen = str(code or self.currencies[0])
        if chosen not in self.currencies:
            raise InvalidError(f"Organisation is not subscribed to currency {chosen}")
        return chosen

    def _approvable(self, row: Row, body: Mapping[str, Any]) -> None:
        if len(row["Reference"]) > 255:
            raise InvalidError("The length of Reference must be 255 characters or less.")
        if row["Status"] != "AUTHORISED":
            return
        if body.get("Type") in {"ACCREC", "ACCPAY"} and row["DueDate"] is None:
            raise InvalidError("A due date is required to approve this document.")
        if not body.get("LineItems"):
            raise InvalidError("One or more line items must be specified.")

    def _change(self, row: Row, body: Mapping[str, Any], places: int, category: str) -> Row:
        has_money = self.paid(row) + self.credited(row) != 0
        shown, wanted = self.status(row), str(body.get("Status") or self.status(row))
        if shown in ENDED or wanted not in _MOVES.get(shown, set()):
            raise InvalidError(_HAS_MONEY if has_money and wanted in ENDED else _NOT_VALID)
        if has_money and (wanted in ENDED or any(self._differs(row, body, field) for field in _FIXED_WHEN_PAID)):
            raise InvalidError(_HAS_MONEY)
        self.open_period(row["Date"])
        fresh = dict(row)
        self._fill(fresh, body, places, draft=wanted in _DRAFT)
        fresh["Status"] = "AUTHORISED" if wanted == "PAID" else wanted
        self._approvable(fresh, {"LineItems": fresh["LineItems"], "Type": fresh["Type"]})
        row.update(fresh)
        self.note(self.id_of(row), "Voided" if wanted == "VOIDED" else "Edited", f"{shown} to {wanted}.")
        self.touch(row, category)
        return row

    def _differs(self, row: Row, body: Mapping[str, Any], field: str) -> bool:
        if field not in body or body[field] in (None, [], {}):
            return False
        if field == "Date":
            return bool(day_of(body[field], field) != row["Date"])
        if field == "Contact":
            return bool(body[field].get("ContactID", row["ContactID"]) != row["ContactID"])
        return field == "LineItems" or bool(body[field] != row[field])

    def _fill(self, row: Row, body: Mapping[str, Any], places: int, *, draft: bool) -> None:
        row.update({field: body[field] for field in _FREE_FIELDS if field in body})
        for field in ("Date", "DueDate"):
            if body.get(field):
                row[field] = day_of(body[field], field)
        if body.get("CurrencyCode"):
            row["CurrencyCode"] = self._currency(body["CurrencyCode"])
        if body.get("Contact"):
            row["ContactID"] = self.party(body["Contact"])["ContactID"]
        row["LineAmountTypes"] = str(body.get("LineAmountTypes") or row["LineAmountTypes"])
        if body.get("LineItems"):
            row["LineItems"] = self.lines(body["LineItems"], row["LineAmountTypes"], places=places, draft=draft)
            self.totals(row)
        self.open_period(row["Date"])

    # ----------------------------------------------------------------------------------------- credit notes

    def save_credit(self, body: Mapping[str, Any], *, create: bool, places: int = 2) -> Row:
        """Create a credit note, or update the one with that id."""
        if not create and body.get("CreditNoteID"):
            if (row := self.credits.get(str(body["CreditNoteID"]))) is None:
                raise InvalidError("The credit note could not be found.")
            return self._change(row, body, places, "CREDITNOTE")
        if body.get("Type") not in {"ACCRECCREDIT", "ACCPAYCREDIT"}:
            raise InvalidError("Credit note type is not valid.")
        row = self._document(body, places)
        row.update(Type=body["Type"], CreditNoteID=self.new_id(), Allocations=[])
        row["CreditNoteNumber"] = str(body.get("CreditNoteNumber") or self.number("CN"))
        self.credits[row["CreditNoteID"]] = row
        self.touch(row, "CREDITNOTE", "CREATE")
        return row

    # ------------------------------------------------------------------------------------------------ money

    def id_of(self, row: Row) -> str:
        """Return the id of any document."""
        names = ("InvoiceID", "CreditNoteID", "OverpaymentID", "PrepaymentID")
        return str(next(row[name] for name in names if name in row))

    def paid(self, row: Row) -> Decimal:
        """Return what live payments settled."""
        return sum((payment["Amount"] for payment in self.live(row)), ZERO)

    def live(self, row: Row) -> list[Row]:
        """Return the payments on a document that nobody removed."""
        return [payment for payment in row.get("payments", ()) if payment["Status"] == "AUTHORISED"]

    def credited(self, row: Row) -> Decimal:
        """Return what credit notes and money in advance settled (an invoice), or what went out (a credit note)."""
        own = sum((item["Amount"] for item in row.get("Allocations", ())), ZERO)
        return sum((item["Amount"] for item in row.get("received", ())), own)

    def due(self, row: Row) -> Decimal:
        """Return what is open: owed on an invoice, left on a credit note or an overpayment."""
        return Decimal(row["Total"]) - self.paid(row) - self.credited(row)

    def status(self, row: Row) -> str:
        """Return the status as shown: an authorised document without a rest is PAID."""
        settled = row["Status"] == "AUTHORISED" and self.due(row) == 0
        return "PAID" if settled else str(row["Status"])

    def note(self, id_: str, changes: str, details: str, user: str = "System Generated") -> Row:
        """Append to a document's history."""
        record = {"Changes": changes, "Details": details, "User": user, "DateUTC": self.clock()}
        self.history[id_].append(record)
        return record

    # ----------------------------------------------------------------------------------------------- showing

    def shown_contact(self, id_: str, *, full: bool) -> Row:
        """Return a contact as documents show it."""
        row = self.contacts[id_]
        head: Row = {name: row[name] for name in ("ContactID", "Name")}
        if full:
            head.update(ContactStatus=row["ContactStatus"], EmailAddress=row.get("EmailAddress"))
            head.update(ContactNumber=row.get("ContactNumber"))
        return {**head, "Addresses": [], "Phones": [], "ContactPersons": [], "HasValidationErrors": False}

    def shown_invoice(self, row: Row, *, full: bool = True, places: int = 4) -> Row:
        """Return an invoice as Xero does; without *full* the lines are left out."""
        paid, credited = self.paid(row), self.credited(row)
        keep = ("Type", "InvoiceID", "InvoiceNumber", "Reference", "Url", "SentToContact", "Date", "DueDate")
        return {
            **{name: row[name] for name in keep},
            **self._shown_document(row, full=full, places=places),
            "AmountDue": row["Total"] - paid - credited if row["Status"] not in ENDED else ZERO,
            "AmountPaid": paid,
            "AmountCredited": credited,
            "Payments": [self.shown_inside(payment) for payment in self.live(row)],
            "CreditNotes": [item["shown"] for item in row.get("received", ()) if "CreditNoteID" in item["shown"]],
            "Overpayments": [item["shown"] for item in row.get("received", ()) if "OverpaymentID" in item["shown"]],
            "Prepayments": [item["shown"] for item in row.get("received", ()) if "PrepaymentID" in item["shown"]],
            "IsDiscounted": False,
            "InvoiceAddresses": [],
            "InvoicePaymentServices": [],
        }

    def shown_inside(self, payment: Row) -> Row:
        """Return a payment as its document shows it."""
        keep = ("PaymentID", "Date", "Amount", "Reference", "CurrencyRate")
        return {**{name: payment[name] for name in keep}, "HasAccount": False, "HasValidationErrors": False}

    def _shown_document(self, row: Row, *, full: bool, places: int) -> Row:
        keep = ("LineAmountTypes", "SubTotal", "TotalTax", "Total", "CurrencyCode", "CurrencyRate", "UpdatedDateUTC")
        return {
            **{name: row[name] for name in keep},
            "Status": self.status(row),
            "Contact": self.shown_contact(row["ContactID"], full=full),
            "LineItems": render.lines(row["LineItems"], places=places) if full else [],
            "HasErrors": False,
            "HasAttachments": False,
        }

    def shown_credit(self, row: Row, *, full: bool = True, places: int = 4) -> Row:
        """Return a credit note as Xero does."""
        keep = ("Type", "CreditNoteID", "CreditNoteNumber", "Reference", "Date", "DueDate")
        return {
            **{name: row[name] for name in keep},
            "ID": row["CreditNoteID"],
            **self._shown_document(row, full=full, places=places),
            "RemainingCredit": self.due(row),
            "Allocations": [self.shown_allocation(item) for item in row["Allocations"]],
            "Payments": [self.shown_inside(payment) for payment in self.live(row)],
        }

    def shown_allocation(self, item: Row) -> Row:
        """Return an allocation with the head of its invoice."""
        invoice = render.head(self.invoices[item["InvoiceID"]])
        keep = ("AllocationID", "Amount", "Date")
        return {**{name: item[name] for name in keep}, "Invoice": {**invoice, "LineItems": []}}
