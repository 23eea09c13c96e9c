"""QuickBooks Online: an order is an Invoice (or SalesReceipt) whose PrivateNote begins with our mark."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType

import msgspec

from app.core.errors import UnsupportedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Credit, Customer, Line, Party, Payment, Shipment
from sinks.base import Written
from sinks.platforms.quickbooks_online import bodies
from sinks.platforms.quickbooks_online.asking import Row
from sinks.platforms.quickbooks_online.changes import customer_changes, payment_changes
from sinks.platforms.quickbooks_online.documents import Documents
from sinks.platforms.quickbooks_online.finding import customer_body
from sinks.platforms.quickbooks_online.probing import facts_of

_DELETE = MappingProxyType({"operation": "delete"})


class QuickBooksSink(Documents):
    """Creates carry a request id; what is changed is read first, so that its SyncToken is the newest."""

    mappings = MappingProxyType(
        {
            "upsert_invoice": ("accounts.sales", "accounts.rounding"),
            "upsert_sales_receipt": ("accounts.sales", "accounts.rounding", "accounts.payments"),
            "request_payment": ("accounts.sales", "accounts.rounding"),
            "issue_credit": ("accounts.sales",),
            "record_payment": ("accounts.payments",),
            "record_refund": ("accounts.payments",),
        }
    )

    # -------------------------------------------------------------------------------------------- customers

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Find by name and e-mail, else create; a bound customer gets only what changed."""
        party = facts_of(command, Customer).party
        if command.bound_id:
            row = yield from self.existing("Customer", command.bound_id)
            body = customer_changes(row, customer_body(party, party.name), command.changes)
        else:
            row = yield from self.customer(party, self.home())
            body = {}
        row = yield from self.changed("Customer", row, body)
        return self.written("Customer", row)

    # -------------------------------------------------------------------------------------------- documents

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        """Create an invoice, or change the named fields of the bound one."""
        return (yield from self.upserted("Invoice", command))

    def upsert_sales_receipt(self, command: Command) -> Talk[Written]:
        """Create a sales receipt: a sale that is paid at once."""
        return (yield from self.upserted("SalesReceipt", command))

    def void_invoice(self, command: Command) -> Talk[Written]:
        """Void a document: it stays with zeros; one that is void already is left alone."""
        entity, row = yield from self.document(command)
        return (yield from self.voided(entity, row))

    def request_payment(self, command: Command) -> Talk[Written]:
        """Make the invoice if it is not there and mail it (contacts the customer); a change is written, not mailed."""
        if command.kind == "set":
            return (yield from self.upserted("Invoice", command))
        return (yield from self.requested(command))

    # ---------------------------------------------------------------------------------------------- money

    def record_payment(self, command: Command) -> Talk[Written]:
        """Record money received against its invoice; what the invoice does not need stays unapplied."""
        payment = facts_of(command, Payment)
        if command.bound_id:
            row = yield from self.existing("Payment", command.bound_id)
            open_ = yield from self._still_open(command)
            body = payment_changes(row, payment, command.changes, open_)
            return self.written("Payment", (yield from self.changed("Payment", row, body)))
        if command.presence != "absent" and (earlier := (yield from self.probe(command))) is not None:
            return earlier
        invoice, customer = yield from self._payer(command, payment)
        body = bodies.payment_form(self.connection, command, payment, invoice, customer)
        return self.written("Payment", (yield from self.save("Payment", body, "payment")))

    def _still_open(self, command: Command) -> Talk[Row | None]:
        """Return the invoice that a changed amount may still close."""
        id_ = command.links.get("invoice") if "amount" in command.changes else None
        return (yield from self.found("Invoice", id_)) if id_ else None

    def _payer(self, command: Command, payment: Payment) -> Talk[tuple[Row | None, str]]:
        """Return the invoice and its customer, who need not be the buyer any more; without invoice the buyer's."""
        if command.links.get("invoice"):
            entity, row = yield from self.document(command)
            if entity == "SalesReceipt":
                raise UnsupportedError("A sales receipt is paid by itself; QuickBooks takes no payment for it.")
            return row, str(row["CustomerRef"]["value"])
        customer = yield from self.customer(payment.customer or Party(), payment.currency)
        return None, str(customer["Id"])

    def reverse_payment(self, command: Command) -> Talk[Written]:
        """Void a payment, which opens its invoices again; the record stays with zeros."""
        row = yield from self.existing("Payment", command.links.get("payment") or command.bound_id)
        return (yield from self.voided("Payment", row))

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Write a credit memo and set it off against what its invoice still owes."""
        credit = facts_of(command, Credit)
        # Always asked: a try that died between its two writes is completed, never begun again.
        if (earlier := (yield from self.probe(command))) is not None:
            return earlier if earlier.complete else (yield from self._set_off(command, earlier.id))
        _, document = yield from self.document(command)
        items = yield from self.items(bodies.credit_lines(credit))
        customer = str(document["CustomerRef"]["value"])
        body = bodies.credit_form(self.connection, command, credit, customer, items)
        memo = yield from self.save("CreditMemo", body, "creditmemo")
        return (yield from self._set_off(command, str(memo["Id"])))

    def apply_credit(self, command: Command) -> Talk[Written]:
        """Set off what a credit memo has left against another invoice; done again there is nothing left to do."""
        return (yield from self._set_off(command, command.links["credit"]))

    def _set_off(self, command: Command, credit: str) -> Talk[Written]:
        """Set a credit memo off against its invoice, as far as either has something left."""
        entity, document = yield from self.document(command)
        memo = yield from self.existing("CreditMemo", credit)
        amount = min(Decimal(memo["Balance"]), Decimal(document.get("Balance") or 0))
        if entity != "Invoice" or amount <= 0:
            return self.written("CreditMemo", memo)
        links = [("Invoice", document["Id"]), ("CreditMemo", memo["Id"])]
        body: Row = {
            "CustomerRef": memo["CustomerRef"],
            "TotalAmt": 0,
            "Line": [{"Amount": amount, "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]} for kind, id_ in links],
        }
        if memo.get("TxnDate"):
            body["TxnDate"] = memo["TxnDate"]
        yield from self.save("Payment", body, "apply")
        return self.written("CreditMemo", (yield from self.existing("CreditMemo", credit)))

    def record_refund(self, command: Command) -> Talk[Written]:
        """Record that money went back; nothing is paid out.

        When a credit memo was issued for it, income and tax are corrected there: the refund then goes over one line
        without tax on the clearing account.
        """
        credit = facts_of(command, Credit)
        if command.presence != "absent" and (earlier := (yield from self.probe(command))) is not None:
            return earlier
        _, document = yield from self.document(command)
        if command.links.get("credit"):
            line = Line(name="Refund", sku="Refund", unit_price=credit.amount, net_amount=credit.amount)
            credit = msgspec.structs.replace(credit, lines=(line,), tax_amount=Decimal(0))
            items = {"Refund": (yield from self._refund_item())}
        else:
            items = yield from self.items(bodies.credit_lines(credit))
        customer = str(document["CustomerRef"]["value"])
        body = bodies.credit_form(self.connection, command, credit, customer, items)
        account = self.connection.accounts.get("refunds") or self.connection.accounts.get("payments")
        body["DepositToAccountRef"] = {"value": account or (yield from self.account("AccountType = 'Bank'"))}
        if credit.reference:
            body["PaymentRefNum"] = credit.reference[: bodies.NUMBER_LENGTH]
        return self.written("RefundReceipt", (yield from self.save("RefundReceipt", body, "refund")))

    def reverse_refund(self, command: Command) -> Talk[Written]:
        """Delete a refund receipt of ours, since QuickBooks cannot void one; its audit log keeps it."""
        id_ = command.links["payment"]
        row = yield from self.found("RefundReceipt", id_)
        if row is not None:
            body: Row = {"Id": row["Id"], "SyncToken": row["SyncToken"]}
            yield from self.save("RefundReceipt", body, "delete", _DELETE)
        return Written(type="RefundReceipt", id=id_, mark=command.mark)

    def _refund_item(self) -> Talk[str]:
        rows = yield from self.query("Item", "Name = 'Refund'")
        if rows:
            return str(rows[0]["Id"])
        account = self.connection.accounts.get("clearing")
        account = account or (yield from self.account("AccountType = 'Other Current Asset'"))
        body = {"Name": "Refund", "Type": "Service", "IncomeAccountRef": {"value": account}}
        return str((yield from self.save("Item", body, "item:Refund", lock="item:refund"))["Id"])

    # ------------------------------------------------------------------------------------ shipment and notes

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Write ship date, carrier and tracking number on the document; several parcels share the field."""
        shipment = facts_of(command, Shipment)
        before = command.base["tracking"].sent.split(",") if "tracking" in command.base else ()
        entity, row = yield from self.document(command)
        row = yield from self.changed(entity, row, bodies.parcel(row, shipment, before), "shipment")
        return self.written(entity, row)

    def add_note(self, command: Command) -> Talk[Written]:
        """Add a line to the private note; one that is there already is not added again."""
        entity, row = yield from self.document(command)
        note = bodies.noted(row, command.text)
        row = yield from self.changed(entity, row, {} if note is None else {"PrivateNote": note}, "note")
        return self.written(entity, row)
