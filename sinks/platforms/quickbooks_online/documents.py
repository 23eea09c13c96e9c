"""Invoices and sales receipts: made, changed, voided, and mailed where a flow asks for payment."""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from app.core.errors import RejectedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Invoice, Party
from sinks.base import Written
from sinks.platforms.quickbooks_online import bodies
from sinks.platforms.quickbooks_online.asking import Row
from sinks.platforms.quickbooks_online.batching import Batching
from sinks.platforms.quickbooks_online.changes import form_changes
from sinks.platforms.quickbooks_online.probing import facts_of

_VOID_INVOICE = MappingProxyType({"operation": "void"})
_VOID_OTHER = MappingProxyType({"operation": "update", "include": "void"})


class Documents(Batching):
    """What is changed is read first, so that its SyncToken is the newest; an update is sparse."""

    def upserted(self, entity: str, command: Command) -> Talk[Written]:
        """Create a form, or change the named fields of the bound one."""
        invoice = facts_of(command, Invoice)
        if command.bound_id:
            return (yield from self._update(entity, command, invoice))
        if command.presence != "absent" and (earlier := (yield from self.probe(command))) is not None:
            return earlier
        return self.written(entity, (yield from self._made(entity, command, invoice)))

    def _made(self, entity: str, command: Command, invoice: Invoice) -> Talk[Row]:
        customer = yield from self.customer(invoice.customer or Party(), invoice.currency)
        items = yield from self.items(invoice.lines)
        body = self.form(entity, command, str(customer["Id"]), items)
        return (yield from self.save(entity, body, entity.lower()))

    def _update(self, entity: str, command: Command, invoice: Invoice) -> Talk[Written]:
        row = yield from self.existing(entity, command.bound_id)
        if "currency" in command.changes and invoice.currency != (row.get("CurrencyRef") or {}).get("value"):
            raise RejectedError(f"QuickBooks cannot change the currency of {entity} {command.bound_id}.")
        body = form_changes(self.connection, invoice, command.changes)
        if {"lines", "payable_amount"} & set(command.changes):
            items = yield from self.items(invoice.lines)
            body.update(bodies.lines_and_tax(self.connection, invoice, items))
            _keep_ids(body["Line"], row)
        row = yield from self.changed(entity, row, body)
        return self.written(entity, row)

    def changed(self, entity: str, row: Row, body: Row, step: str = "update") -> Talk[Row]:
        """Send a sparse update of *row*; nothing to send is no request."""
        if not body:
            return row
        head = {"Id": row["Id"], "SyncToken": row["SyncToken"], "sparse": True}
        needed = {"CustomerRef": row["CustomerRef"]} if "CustomerRef" in row else {}
        return (yield from self.save(entity, {**needed, **body, **head}, step))

    def voided(self, entity: str, row: Row) -> Talk[Written]:
        """Void a document or a payment, unless it is void already."""
        written = self.written(entity, row)
        if getattr(written.facts, "status", "") in {"void", "reversed"}:
            return written
        body = {"Id": row["Id"], "SyncToken": row["SyncToken"], **({} if entity == "Invoice" else {"sparse": True})}
        params = _VOID_INVOICE if entity == "Invoice" else _VOID_OTHER
        return self.written(entity, (yield from self.save(entity, body, "void", params)))

    def requested(self, command: Command) -> Talk[Written]:
        """Mail the document that is there, else make the invoice and mail it.

        Two steps, so an earlier try is always looked for: one that died before the mail is completed.
        """
        if command.bound_id or command.links.get("invoice"):
            return (yield from self._mailed(*(yield from self.document(command))))
        invoice = facts_of(command, Invoice)
        if (earlier := (yield from self.probe(command))) is not None:
            if earlier.complete:
                return earlier
            return (yield from self._mailed("Invoice", (yield from self.existing("Invoice", earlier.id))))
        if not (invoice.customer or Party()).email:
            raise RejectedError(f"QuickBooks: order {invoice.reference} has no e-mail address to be sent to.")
        return (yield from self._mailed("Invoice", (yield from self._made("Invoice", command, invoice))))

    def _mailed(self, entity: str, row: Row) -> Talk[Written]:
        mail = (row.get("BillEmail") or {}).get("Address") or ""
        if not mail:
            raise RejectedError(f"QuickBooks: {entity} {row['Id']} has no e-mail address to be sent to.")
        request = self.posting(f"{entity.lower()}/{row['Id']}/send", {}, "send", {"sendTo": mail})
        headers = {"Content-Type": "application/octet-stream"}
        reply = yield from self.ask(msgspec.structs.replace(request, json=None, body=b"", headers=headers))
        return self.written(entity, reply[entity])


def _keep_ids(lines: list[Row], row: Row) -> None:
    """Give new lines the ids of the old ones in their place: an update replaces the whole list."""
    old = [line for line in row.get("Line", ()) if line.get("DetailType") == "SalesItemLineDetail"]
    for line, before in zip(lines, old, strict=False):
        line["Id"] = before["Id"]
