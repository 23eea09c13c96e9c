"""What people do in the simulated Xero."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import aiohttp

from app.sandbox.base import ActError, Verb
from app.sandbox.platforms.xero.ledger import day_of
from app.sandbox.platforms.xero.render import CENT, Row, cents

if TYPE_CHECKING:
    from app.sandbox.platforms.xero.server import XeroSandbox

_EDITS = {
    "reference": "Reference",
    "po_number": "Reference",
    "date": "Date",
    "due_date": "DueDate",
    "currency": "CurrencyCode",
    "status": "Status",
}


def verbs(sandbox: XeroSandbox) -> dict[str, Verb]:
    """Return the acts of a bookkeeper."""
    desk = Desk(sandbox)
    return {
        "type_invoice": desk.type_invoice,
        "type_bill": desk.type_bill,
        "type_payment": desk.type_payment,
        "type_prepayment": desk.type_prepayment,
        "type_credit": desk.type_credit,
        "type_quote": desk.type_quote,
        "edit_quote": desk.edit_quote,
        "edit_invoice": desk.edit_invoice,
        "void_invoice": desk.void_invoice,
        "delete_payment": desk.delete_payment,
        "set_lock_date": desk.set_lock_date,
        "count_tax": desk.count_tax,
        "archive_contact": desk.archive_contact,
        "merge_contact": desk.merge_contact,
        "rename_contact": desk.rename_contact,
        "disconnect": desk.disconnect,
        "reconnect": desk.reconnect,
        "intent_to_receive": desk.intent_to_receive,
        "tamper": desk.tamper,
    }


class Desk:
    """A bookkeeper at the screen: the same rules as the API, and the same webhooks."""

    def __init__(self, sandbox: XeroSandbox) -> None:
        self._sandbox = sandbox
        self._books = sandbox.books_of

    def type_invoice(self, asked: Row) -> Row:
        """Type a sale."""
        return self._typed(asked, "ACCREC")

    def type_bill(self, asked: Row) -> Row:
        """Type a bill of a supplier: none of our business."""
        return self._typed(asked, "ACCPAY")

    def _typed(self, asked: Row, type_: str) -> Row:
        row = self._books.save_invoice({**self._document(asked), "Type": type_}, create=True, places=4)
        return {"id": row["InvoiceID"], "number": row["InvoiceNumber"], "total": row["Total"]}

    def _document(self, asked: Row) -> Row:
        day = str(asked.get("date") or self._books.today().isoformat())[:10]
        due = str(asked.get("due_date") or (date.fromisoformat(day) + timedelta(days=30)).isoformat())
        number = {"InvoiceNumber": asked["number"]} if asked.get("number") else {}
        return {
            **number,
            "Contact": self._contact(asked),
            "Date": day,
            "DueDate": due,
            "Status": asked.get("status", "AUTHORISED"),
            "Reference": asked.get("reference", ""),
            "CurrencyCode": asked.get("currency"),
            "LineItems": _lines(asked),
        }

    def _contact(self, asked: Row) -> Row:
        email = str(asked.get("email") or "")
        name = str(asked.get("customer") or asked.get("name") or email or "Walk-in")
        ids = self._books.contact_index["EmailAddress"].get(email) if email else None
        found = self._books.contacts[min(ids)] if ids else self._books.known_contact({"Name": name})
        if found is None:
            found = self._books.save_contact({"Name": name, "EmailAddress": email}, create=True)
        return {"ContactID": found["ContactID"]}

    def type_payment(self, asked: Row) -> Row:
        """Type money received on an invoice."""
        row = self._books.save_payment(
            {
                "Invoice": {"InvoiceID": asked["invoice_id"]},
                "Account": {"Code": asked.get("account", "090")},
                "Amount": Decimal(str(asked["amount"])),
                "Date": asked.get("date"),
                "Reference": asked.get("reference", ""),
                "IsReconciled": asked.get("reconciled", False),
            }
        )
        return {"id": row["PaymentID"]}

    def type_prepayment(self, asked: Row) -> Row:
        """Type money received before there is an invoice, on the account and with the tax of what it is for."""
        bank = {"Code": asked.get("account", "090")}
        row = self._books.receive({**self._document(asked), "Type": "RECEIVE-PREPAYMENT", "BankAccount": bank})
        return {"id": row["PrepaymentID"], "total": row["Total"]}

    def type_credit(self, asked: Row) -> Row:
        """Type a credit note and use it on an invoice, as far as something is open there."""
        invoice = self._books.invoices[asked["invoice_id"]] if asked.get("invoice_id") else None
        body = self._document(asked)
        if invoice is not None:
            body.update(Contact={"ContactID": invoice["ContactID"]}, CurrencyCode=invoice["CurrencyCode"])
        row = self._books.save_credit({**body, "Type": "ACCRECCREDIT"}, create=True, places=4)
        if invoice is not None and (amount := min(self._books.due(invoice), row["Total"])) > 0:
            self._books.allocate(row, {"Invoice": {"InvoiceID": invoice["InvoiceID"]}, "Amount": amount})
        return {"id": row["CreditNoteID"], "number": row["CreditNoteNumber"]}

    def type_quote(self, asked: Row) -> Row:
        """Type an offer; `status` is one of a quote's own."""
        row = self._books.save_quote(self._document({"status": "DRAFT", **asked}))
        return {"id": row["QuoteID"], "number": row["QuoteNumber"], "total": row["Total"]}

    def edit_quote(self, asked: Row) -> Row:
        """Move an offer to another `status`, as when the customer accepts it."""
        row = self._books.save_quote({"QuoteID": asked["id"], "Status": asked["status"]})
        return {"id": row["QuoteID"], "status": row["Status"]}

    def edit_invoice(self, asked: Row) -> Row:
        """Change an invoice; `po_number` changes the words before our mark, `reference` the whole field."""
        row = self._books.invoices[asked["id"]]
        body: Row = {_EDITS[name]: value for name, value in asked.items() if name in _EDITS}
        if "po_number" in asked:
            at = row["Reference"].find("o2c1:")
            body["Reference"] = f"{asked['po_number']} {row['Reference'][at:]}" if at >= 0 else asked["po_number"]
        if asked.get("lines"):
            body["LineItems"] = _lines(asked)
        return self._changed(row, body)

    def _changed(self, row: Row, body: Row) -> Row:
        self._books.save_invoice({**body, "InvoiceID": row["InvoiceID"]}, create=False, places=4)
        return {"id": row["InvoiceID"], "status": self._books.status(row)}

    def void_invoice(self, asked: Row) -> Row:
        """Void an invoice, or delete one that is still a draft."""
        row = self._books.invoices[asked["id"]]
        return self._changed(row, {"Status": "DELETED" if row["Status"] in {"DRAFT", "SUBMITTED"} else "VOIDED"})

    def delete_payment(self, asked: Row) -> Row:
        """Remove a payment."""
        return {"id": self._books.delete_payment(str(asked["id"]))["PaymentID"]}

    def set_lock_date(self, asked: Row) -> Row:
        """Close the books up to a day; without a day open them."""
        self._books.lock_date = day_of(asked["date"], "date") if asked.get("date") else None
        return {"lock_date": str(self._books.lock_date or "")}

    def count_tax(self, asked: Row) -> Row:
        """Have the organisation compute all taxes itself, whatever clients send; `on` false ends it."""
        self._books.own_tax = bool(asked.get("on", True))
        return {"on": self._books.own_tax}

    def archive_contact(self, asked: Row) -> Row:
        """Archive a contact."""
        return self._contact_changed(str(asked["id"]), ContactStatus="ARCHIVED")

    def merge_contact(self, asked: Row) -> Row:
        """Merge a contact into another: its documents move, it stays archived."""
        held = self._books
        for rows in (held.invoices, held.credits, held.advances, held.prepayments):
            for row in rows.values():
                if row["ContactID"] == asked["id"]:
                    row["ContactID"] = asked["into"]
                    self._books.index(row)
        return self._contact_changed(str(asked["id"]), ContactStatus="ARCHIVED", MergedToContactID=str(asked["into"]))

    def rename_contact(self, asked: Row) -> Row:
        """Give a contact another name."""
        row = self._books.save_contact({"ContactID": asked["id"], "Name": asked["name"]}, create=False)
        return {"id": row["ContactID"]}

    def _contact_changed(self, id_: str, **fields: str) -> Row:
        row = self._books.contacts[id_]
        row.update(fields)
        self._books.index_contact(row)
        self._books.touch(row, "CONTACT")
        return {"id": id_}

    def disconnect(self, asked: Row) -> Row:
        """Take the permission back."""
        del asked
        self._sandbox.tokens.disconnect()
        return {"connected": False}

    def reconnect(self, asked: Row) -> Row:
        """Give the permission again; the answer carries the new refresh token."""
        del asked
        return {"refresh_token": self._sandbox.tokens.reconnect()}

    async def intent_to_receive(self, asked: Row) -> Row:
        """Send every target the handshake, rightly signed and with one character wrong; return the statuses."""
        del asked
        body = self._sandbox.delivery([])
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            answers = await asyncio.gather(
                *[
                    self._intent(session, target.url, body, self._signature(body, target.secret, right=right))
                    for target in self._sandbox.hooks.targets
                    for right in (True, False, True, False)
                ]
            )
        return {"active": all(answers), "answers": len(answers)}

    def _signature(self, body: bytes, secret: str, *, right: bool) -> str:
        signed = self._sandbox.sign(body, "", secret, self._sandbox.clock())["x-xero-signature"]
        return signed if right else ("B" if signed[0] == "A" else "A") + signed[1:]

    async def _intent(self, session: aiohttp.ClientSession, url: str, body: bytes, signature: str) -> bool:
        """Return whether the answer is the one that keeps a webhook active: empty, without cookies, 200 or 401."""
        right = any(
            signature == self._signature(body, target.secret, right=True)
            for target in self._sandbox.hooks.targets
            if target.url == url
        )
        headers = {"x-xero-signature": signature, "Content-Type": "application/json"}
        async with session.post(url, data=body, headers=headers) as reply:
            clean = not await reply.read() and "Set-Cookie" not in reply.headers
            return (reply.status == 200 and clean) if right else reply.status == 401

    def tamper(self, asked: Row) -> Row:
        """Change one cent of, remove or double one document, and tell nobody."""
        books = self._books
        tables = ((books.invoices, "InvoiceID"), (books.payments, "PaymentID"))
        rows, id_field = next((pair for pair in tables if pair[0]), (None, ""))
        if rows is None:
            raise ActError("there is nothing to tamper with")
        live = [row for row in rows.values() if row["Status"] not in {"VOIDED", "DELETED"}]
        row = (live or list(rows.values()))[0]
        if asked.get("how") == "remove":
            books.forget(row)
        elif asked.get("how") == "double":
            copy = {**row, id_field: books.new_id()}
            rows[copy[id_field]] = copy
            books.index(copy)
        else:
            row["Total" if "Total" in row else "Amount"] += CENT
            books.index(row)
        return {"id": row[id_field]}


def _lines(asked: Row) -> list[Row]:
    lines = asked.get("lines") or [{"title": "Amount", "quantity": 1, "price": asked["amount"], "tax_rate": 0}]
    found = []
    for line in lines:
        quantity, price = Decimal(str(line.get("quantity", 1))), Decimal(str(line["price"]))
        rate = Decimal(str(line.get("tax_rate") or 0))
        tax = cents(quantity * price * rate / 100)
        name = str(line.get("title") or line.get("sku") or "Sale")
        item = {"Description": name, "Quantity": quantity, "UnitAmount": price, "AccountCode": "200"}
        found.append({**item, "TaxType": "OUTPUT" if rate else "NONE", "TaxAmount": tax})
    return found
