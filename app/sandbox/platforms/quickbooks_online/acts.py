"""What people do inside QuickBooks: type, edit, void, delete, deposit, merge, close the books."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from app.sandbox.platforms.quickbooks_online.company import Company
from app.sandbox.platforms.quickbooks_online.refusals import Record, business
from app.sandbox.platforms.quickbooks_online.sales import rounded
from app.sandbox.platforms.quickbooks_online.store import plain, ref

REFERENCE_FIELD = {"DefinitionId": "1", "Name": "P.O. Number", "Type": "StringType"}
Asked = dict[str, Any]


class Acts:
    """A bookkeeper at work."""

    def __init__(self, company: Company) -> None:
        self.company = company

    def customer(self, asked: Asked) -> str:
        """Return the id of the customer of that name and currency, made when missing."""
        currency = str(asked.get("currency") or self.company.settings.home_currency)
        name = str(asked.get("customer") or asked.get("email") or "Walk-in customer")
        for wanted in (name, f"{name} ({currency})"):
            row = next(iter(self.company.store.having("Customer", "DisplayName", wanted)), None)
            if row is not None and (ref(row, "CurrencyRef") or currency) == currency:
                return str(row["Id"])
            if row is None:
                mail = {"PrimaryEmailAddr": {"Address": asked["email"]}} if asked.get("email") else {}
                made = {"DisplayName": wanted, "CurrencyRef": {"value": currency}, **mail}
                return str(self.company.write("Customer", made)["Id"])
        raise business(f"There is no customer {name} in {currency}")

    def _rows(self, entity: str) -> list[Record]:
        return list(self.company.store.rows[entity].values())

    def _form(self, asked: Asked) -> Record:
        body: Record = {
            "CustomerRef": {"value": self.customer(asked)},
            "Line": [self._line(line) for line in asked["lines"]],
        }
        if asked.get("date"):
            body["TxnDate"] = str(asked["date"])
        if asked.get("email"):
            body["BillEmail"] = {"Address": asked["email"]}
        if asked.get("reference"):
            body["CustomField"] = [{**REFERENCE_FIELD, "StringValue": str(asked["reference"])}]
        for name, field in (("due_date", "DueDate"), ("number", "DocNumber")):
            if asked.get(name):
                body[field] = str(asked[name])
        if asked.get("note"):
            body["CustomerMemo"] = {"value": str(asked["note"])}
        tax = sum((_tax(line) for line in asked["lines"]), Decimal(0))
        if self.company.settings.country == "US" and tax:
            body["TxnTaxDetail"] = {"TotalTax": rounded(tax)}
        return body

    def _line(self, line: Asked) -> Record:
        quantity, price = Decimal(str(line.get("quantity", 1))), Decimal(str(line["price"]))
        us, rate = self.company.settings.country == "US", Decimal(str(line.get("tax_rate") or 0))
        code = ("TAX" if rate else "NON") if us else self._code(rate)
        detail = {"ItemRef": {"value": "1"}, "Qty": quantity, "UnitPrice": price, "TaxCodeRef": {"value": code}}
        words = str(line.get("title") or line.get("sku") or "")
        return {
            "DetailType": "SalesItemLineDetail",
            "Description": words,
            "Amount": rounded(quantity * price),
            "SalesItemLineDetail": detail,
        }

    def _code(self, rate: Decimal) -> str:
        for code in self._rows("TaxCode"):
            if self.company.forms.percent(code["Id"]) == rate:
                return str(code["Id"])
        raise business(f"There is no tax code of {rate} percent")

    def type_invoice(self, asked: Asked) -> Record:
        """Type an invoice."""
        return _answer(self.company.write("Invoice", self._form(asked)))

    def type_sales_receipt(self, asked: Asked) -> Record:
        """Type a sale that is paid at once."""
        return _answer(self.company.write("SalesReceipt", self._form(asked)))

    def type_estimate(self, asked: Asked) -> Record:
        """Type an estimate; `status` is Pending, Accepted, Closed or Rejected."""
        stage = str(asked.get("status") or "Pending")
        return _answer(self.company.write("Estimate", {**self._form(asked), "TxnStatus": stage}))

    def type_refund(self, asked: Asked) -> Record:
        """Type a refund receipt."""
        account = {"value": self.company.forms.account("Checking")}
        return _answer(self.company.write("RefundReceipt", {**self._form(asked), "DepositToAccountRef": account}))

    def type_payment(self, asked: Asked) -> Record:
        """Take a payment for one invoice (`invoice_id`), several (`allocations`: id -> amount) or none."""
        amount = Decimal(str(asked["amount"]))
        shares = asked.get("allocations") or ({asked["invoice_id"]: amount} if asked.get("invoice_id") else {})
        lines = [self._share("Invoice", str(id_), Decimal(str(part))) for id_, part in shares.items()]
        first = next(iter(shares), None)
        customer = ref(self.company.store.get("Invoice", str(first)), "CustomerRef") if first else self.customer(asked)
        body: Record = {
            "CustomerRef": {"value": customer},
            "TotalAmt": amount,
            "Line": [line for line in lines if line["Amount"]],
        }
        if asked.get("date"):
            body["TxnDate"] = str(asked["date"])
        if asked.get("reference"):
            body["PaymentRefNum"] = str(asked["reference"])[:21]
        return _answer(self.company.write("Payment", body))

    def _share(self, kind: str, id_: str, amount: Decimal) -> Record:
        free = Decimal(self.company.store.get(kind, id_)["Balance"])
        return {"Amount": min(amount, free), "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]}

    def type_credit(self, asked: Asked) -> Record:
        """Type a credit note, from `lines` or for an `amount`; `invoice_id` applies it."""
        if asked.get("invoice_id"):
            invoice = self.company.store.get("Invoice", str(asked["invoice_id"]))
            asked = {**asked, "customer": invoice["CustomerRef"]["name"], "currency": invoice["CurrencyRef"]["value"]}
        if not asked.get("lines"):
            asked = {**asked, "lines": [{"title": str(asked.get("reason") or "Credit"), "price": asked["amount"]}]}
        credit = self.company.write("CreditMemo", self._form(asked))
        if asked.get("invoice_id"):
            self.apply_credit({"id": credit["Id"], "invoice_id": asked["invoice_id"]})
        return _answer(self.company.store.get("CreditMemo", credit["Id"]))

    def apply_credit(self, asked: Asked) -> Record:
        """Set a credit note off against an invoice: a payment of nothing with two lines."""
        credit = self.company.store.get("CreditMemo", str(asked["id"]))
        wanted = self._share("Invoice", str(asked["invoice_id"]), Decimal(credit["Balance"]))
        lines = [wanted, {**self._share("CreditMemo", credit["Id"], wanted["Amount"])}]
        body = {"CustomerRef": credit["CustomerRef"], "TotalAmt": 0, "Line": lines}
        return _answer(self.company.write("Payment", body))

    def edit_invoice(self, asked: Asked) -> Record:
        """Change what is named: note, email, reference, due_date, date, lines, number, private_note.

        And what a parcel has there: tracking, carrier, shipped (a day).
        """
        record = self.company.store.get("Invoice", str(asked["id"]))
        body: Record = {"Id": record["Id"], "SyncToken": record["SyncToken"], "sparse": True}
        for name, field in (
            ("due_date", "DueDate"),
            ("date", "TxnDate"),
            ("number", "DocNumber"),
            ("private_note", "PrivateNote"),
            ("tracking", "TrackingNum"),
            ("shipped", "ShipDate"),
        ):
            if name in asked:
                body[field] = str(asked[name])
        if "note" in asked:
            body["CustomerMemo"] = {"value": str(asked["note"])}
        if "email" in asked:
            body["BillEmail"] = {"Address": str(asked["email"])}
        if "carrier" in asked:
            body["ShipMethodRef"] = {"value": str(asked["carrier"]), "name": str(asked["carrier"])}
        if "reference" in asked:
            body["CustomField"] = [{**REFERENCE_FIELD, "StringValue": str(asked["reference"])}]
        if "lines" in asked:
            body["Line"] = [self._line(line) for line in asked["lines"]]
            body["TxnTaxDetail"] = {"TotalTax": rounded(sum((_tax(line) for line in asked["lines"]), Decimal(0)))}
        return _answer(self.company.write("Invoice", body))

    def edit_estimate(self, asked: Asked) -> Record:
        """Move an estimate to another `status`, as when the customer accepts it."""
        body = {**self._named("Estimate", asked), "sparse": True, "TxnStatus": str(asked["status"])}
        return _answer(self.company.write("Estimate", body))

    def void(self, entity: str, asked: Asked) -> Record:
        """Void a document."""
        return _answer(self.company.write(entity, self._named(entity, asked), "void"))

    def delete(self, entity: str, asked: Asked) -> Record:
        """Delete a document."""
        done = self.company.write(entity, self._named(entity, asked), "delete")
        return {"id": done["Id"], "status": "deleted"}

    def _named(self, entity: str, asked: Asked) -> Record:
        record = self.company.store.get(entity, str(asked["id"]))
        return {"Id": record["Id"], "SyncToken": record["SyncToken"]}

    def move_payment(self, asked: Asked) -> Record:
        """Re-assign a payment to another invoice of the same customer."""
        record = self.company.store.get("Payment", str(asked["id"]))
        body = {"Id": record["Id"], "SyncToken": record["SyncToken"], "sparse": True, "TotalAmt": record["TotalAmt"]}
        line = self._share("Invoice", str(asked["invoice_id"]), Decimal(record["TotalAmt"]))
        return _answer(self.company.write("Payment", {**body, "Line": [line]}))

    def deposit_payment(self, asked: Asked) -> Record:
        """Put a payment into a bank deposit: it can no longer be changed."""
        record = self.company.store.get("Payment", str(asked["id"]))
        deposit = self.company.store.new_id("Payment")
        record["LinkedTxn"] = [*record.get("LinkedTxn", []), {"TxnId": deposit, "TxnType": "Deposit"}]
        self.company.store.commit("Payment", record)
        return {"id": deposit}

    def set_lock_date(self, asked: Asked) -> Record:
        """Close the books up to a day (none opens them)."""
        self.company.settings.closed_until = date.fromisoformat(asked["date"]) if asked.get("date") else None
        return {"date": asked.get("date")}

    def count_tax(self, asked: Asked) -> Record:
        """Let the company's tax engine overrule the tax that is sent, or (`on` false) honour it again."""
        self.company.settings.own_tax = bool(asked.get("on", True))
        return {"on": self.company.settings.own_tax}

    def rename_customer(self, asked: Asked) -> Record:
        """Give a customer another name."""
        return _answer(
            self.company.write(
                "Customer", {**self._named("Customer", asked), "sparse": True, "DisplayName": asked["name"]}
            )
        )

    def archive_customer(self, asked: Asked) -> Record:
        """Make a customer inactive."""
        return _answer(
            self.company.write("Customer", {**self._named("Customer", asked), "sparse": True, "Active": False})
        )

    def merge_customers(self, asked: Asked) -> Record:
        """Merge customer `id` into customer `into`: its documents move, it goes."""
        store, old = self.company.store, str(asked["id"])
        into = store.get("Customer", str(asked["into"]))
        for entity in ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt", "Payment"):
            for row in self._rows(entity):
                if ref(row, "CustomerRef") == old:
                    row["CustomerRef"] = {"value": into["Id"], "name": into["DisplayName"]}
                    store.commit(entity, row)
        store.get("Customer", old)
        store.remove("Customer", old)
        store.changes.pop()
        store.commit("Customer", into, "Merge", old)
        return _answer(into)


def tamper(company: Company, how: str) -> Record:
    """Change one cent of a document, remove one or double one, without telling anybody."""
    entity = next((kind for kind in ("Invoice", "SalesReceipt", "Payment") if company.store.rows[kind]), "")
    if not entity:
        raise business("There is nothing to tamper with")
    rows = company.store.rows[entity]
    id_ = next((id_ for id_, row in rows.items() if row["TotalAmt"]), next(iter(rows)))
    if how == "remove":
        del rows[id_]
    elif how == "double":
        new = company.store.new_id(entity)
        rows[new] = {**rows[id_], "Id": new}
        company.store.silently(entity, new)
    elif how == "cent":
        rows[id_]["TotalAmt"] = plain(Decimal(rows[id_]["TotalAmt"]) + Decimal("0.01"))
    else:
        raise business(f"unknown way to tamper: {how}")
    company.store.silently(entity, id_)
    return {"kind": entity, "id": id_, "how": how}


def _tax(line: Asked) -> Decimal:
    amount = rounded(Decimal(str(line.get("quantity", 1))) * Decimal(str(line["price"])))
    return rounded(amount * Decimal(str(line.get("tax_rate") or 0)) / 100)


def _answer(record: Record) -> Record:
    return {
        "id": record["Id"],
        "number": record.get("DocNumber", ""),
        "total": str(record.get("TotalAmt", "")),
        "sync_token": record["SyncToken"],
    }
