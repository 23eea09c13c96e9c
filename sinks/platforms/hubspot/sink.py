"""HubSpot: every record of ours is upserted under our mark; what has no object there becomes a note."""

from __future__ import annotations

import contextlib
from typing import TypeVar

import msgspec

from app.core.errors import ConflictError, RejectedError, UnsupportedError
from app.core.talk import Request, Talk, segment
from schemas.commands import Command
from schemas.facts import Credit, Customer, Facts, Invoice, Order, Payment, Shipment
from schemas.platforms.hubspot import paths
from schemas.platforms.hubspot.platform import MARK, PARCELS
from schemas.platforms.hubspot.wire import Parts, Record
from schemas.projection import project
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.batching import Batching
from sinks.platforms.hubspot.parcels import parcel_of, with_parcel
from sinks.platforms.hubspot.talks import stages_in, time_of

F = TypeVar("F", bound=Facts)
_KINDS = {
    "upsert_invoice": "invoices",
    "void_invoice": "invoices",
    "record_payment": "commerce_payments",
    "reverse_payment": "commerce_payments",
    "add_note": "notes",
    "issue_credit": "notes",
    "record_refund": "notes",
    "upsert_customer": "contacts",
}


class HubspotSink(Batching):
    """An order is a deal, or an order object where `order_object` says so."""

    # -- orders and customers -----------------------------------------------------------------------------------------

    def upsert_order(self, command: Command) -> Talk[Written]:
        """Make the deal or order with its buyer and lines, or change what changed."""
        order = _facts(command, Order)
        kind, word = self.order_kind, order.headline or order.status
        if command.bound_id:
            return (yield from self._change_order(command, order, word))
        found = None if command.presence == "absent" else (yield from self.find(kind, command.mark, MARK))
        id_, fresh = (found.id, False) if found else (yield from self._new_order(command, order, word))
        if found and not found.linked("contacts") and (buyer := bodies.somebody(order.customer)):
            yield from self.buyer(kind, None, id_, buyer)
        yield from self.companies([(kind, id_, order.customer)])
        yield from self.lines(kind, id_, order.lines, order.currency, fresh=fresh)
        return msgspec.structs.replace((yield from self.shown(kind, id_)), adopted=not fresh)

    def _new_order(self, command: Command, order: Order, word: str) -> Talk[tuple[str, bool]]:
        kind = self.order_kind
        properties = bodies.order(self.connection, kind, order)
        # A word without a stage must not keep the order out: it starts where the portal lets new ones start.
        with contextlib.suppress(UnsupportedError):
            properties |= yield from self.stage(word)
        links: list[tuple[str, str]] = []
        if buyer := bodies.somebody(order.customer):
            links.append(("contacts", (yield from self.contact(buyer))))
            yield from self.companies([(*links[0], buyer)])
        return (yield from self.made(kind, command.mark, properties, links, "order"))

    def _change_order(self, command: Command, order: Order, word: str) -> Talk[Written]:
        kind, id_ = self.order_kind, command.bound_id
        properties = bodies.order(self.connection, kind, order, command.changes) if command.changes else {}
        if "status" in command.changes:
            properties |= yield from self.stage(word)
        yield from self.patch("order", kind, id_, properties)
        yield from self._change_parts(kind, command, order)
        return (yield from self.shown(kind, id_))

    def _change_parts(self, kind: str, command: Command, document: Order | Invoice) -> Talk[None]:
        if not {"email", "lines"} & set(command.changes):
            return
        record = yield from self.find(kind, command.bound_id)
        if record is None:
            raise ConflictError(f"HubSpot: {kind} {command.bound_id} is gone.")
        if "email" in command.changes and document.customer and document.customer.email:
            yield from self.buyer(kind, record, record.id, document.customer)
        if "lines" in command.changes:
            lines = document.lines
            if isinstance(document, Invoice):
                lines = bodies.billed_lines(document, self.connection.taxes)
            yield from self.replace_lines(kind, record, lines, document.currency)

    def set_status(self, command: Command) -> Talk[Written]:
        """Move the deal or order to the stage that shows a canonical word."""
        id_, word = command.bound_id or _link(command, "order"), command.status
        pipelines = (yield from self.pipelines()) if self.is_looked_up(word) else ()
        yield from self.patch("status", self.order_kind, id_, self.stage_among(pipelines, word))
        return (yield from self.shown(self.order_kind, id_, stages_in(pipelines)))

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Find the contact by e-mail, else make it; a bound one gets the desired data."""
        party = _facts(command, Customer).party
        if command.bound_id:
            yield from self.patch("customer", "contacts", command.bound_id, bodies.contact(party))
        elif found := (yield from self.known_contact(party)):
            yield from self.companies([("contacts", found.id, party)])
            return (yield from self.written("contacts", found))
        id_ = command.bound_id or (yield from self.new_contact(party))
        yield from self.companies([("contacts", id_, party)])
        return (yield from self.shown("contacts", id_))

    # -- invoices and payments ----------------------------------------------------------------------------------------

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        """Draft the invoice, give it buyer, lines and order, compare the total, then open it; nothing is sent."""
        invoice = _facts(command, Invoice)
        if command.bound_id:
            head = bodies.invoice(invoice, command.changes) if command.changes else {}
            yield from self.patch("invoice", "invoices", command.bound_id, head)
            yield from self._change_parts("invoices", command, invoice)
            return (yield from self.shown("invoices", command.bound_id))
        found = None if command.presence == "absent" else (yield from self.find("invoices", command.mark, MARK))
        id_ = (
            found.id
            if found
            else (yield from self.upsert("invoices", command.mark, bodies.invoice(invoice), "invoice"))
        )
        if found is None or found.value("hs_invoice_status") == "draft":
            yield from self._fill(id_, command, invoice)
        return msgspec.structs.replace((yield from self.shown("invoices", id_)), adopted=found is not None)

    def _fill(self, id_: str, command: Command, invoice: Invoice) -> Talk[None]:
        if invoice.customer:
            yield from self.buyer("invoices", None, id_, invoice.customer)
        yield from self.lines("invoices", id_, bodies.billed_lines(invoice, self.connection.taxes), invoice.currency)
        if order := command.links.get("order"):
            yield from self.link("invoices", id_, self.order_kind, [order], "link-order")
        if invoice.status == "draft":
            return
        record = yield from self.find("invoices", id_)
        if (wrong := bodies.wrong_total(invoice, id_, record)) is not None:
            raise wrong
        yield from self.patch("open", "invoices", id_, {"hs_invoice_status": "open"})

    def void_invoice(self, command: Command) -> Talk[Written]:
        """Void the invoice; it stays visible as voided."""
        id_ = command.bound_id or _link(command, "invoice")
        yield from self.patch("void", "invoices", id_, {"hs_invoice_status": "voided"})
        return (yield from self.shown("invoices", id_))

    def record_payment(self, command: Command) -> Talk[Written]:
        """Record money taken elsewhere on the invoice and the order; nothing is charged."""
        payment = _facts(command, Payment)
        found = (
            None if command.presence == "absent" else (yield from self.find("commerce_payments", command.mark, MARK))
        )
        id_ = command.bound_id or (found.id if found else "")
        adopted = bool(id_)
        if not id_:
            id_ = yield from self.upsert("commerce_payments", command.mark, bodies.payment(payment), "payment")
        for name, kind in (("invoice", "invoices"), ("order", self.order_kind)):
            if target := command.links.get(name):
                yield from self.link("commerce_payments", id_, kind, [target], f"link-{name}")
        return msgspec.structs.replace((yield from self.shown("commerce_payments", id_)), adopted=adopted)

    def reverse_payment(self, command: Command) -> Talk[Written]:
        """Archive the record of a payment; no money moves."""
        id_ = command.bound_id or _link(command, "payment")
        path = paths.records(self.connection, "commerce_payments", segment(id_))
        yield from self.ask(Request(method="DELETE", path=path, mutates=True, step="reverse"))
        return Written(type="commerce_payments", id=id_, mark=command.mark)

    # -- notes --------------------------------------------------------------------------------------------------------

    def add_note(self, command: Command) -> Talk[Written]:
        """Write a note on the order."""
        return (yield from self._note(command))

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Note the credit: HubSpot has no credit notes."""
        _facts(command, Credit)
        return (yield from self._note(command))

    def record_refund(self, command: Command) -> Talk[Written]:
        """Note the refund that happened elsewhere; no money moves."""
        _facts(command, Credit)
        return (yield from self._note(command))

    def _note(self, command: Command) -> Talk[Written]:
        name, kind = ("order", self.order_kind) if "order" in command.links else ("invoice", "invoices")
        target = _link(command, name)
        reply, record = yield from self.look(kind, target)
        if record is None:
            raise RejectedError(f"HubSpot: {kind} {target} is gone, there is nothing to write the note on.")
        properties = {"hs_note_body": bodies.note(command), "hs_timestamp": bodies.moment(time_of(reply, record))}
        id_, _ = yield from self.made("notes", command.mark, properties, [(kind, target)], "note")
        return Written(type="notes", id=id_, mark=command.mark)

    # -- shipments ----------------------------------------------------------------------------------------------------

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Add the tracking number to the order object; a deal gets a note, worded anew when the number changes.

        So does the bill where the flow keeps no order here.
        """
        parcel = _facts(command, Shipment)
        if self._is_noted(command) and command.bound_id:
            yield from self.patch("note", "notes", command.bound_id, {"hs_note_body": bodies.note(command)})
            return Written(type="notes", id=command.bound_id, mark=command.mark)
        if self._is_noted(command):
            return (yield from self._note(command))
        id_ = command.bound_id.partition("-")[0] or _link(command, "order")
        record = yield from self.find("orders", id_)
        if record is None:
            raise ConflictError(f"HubSpot: order {id_} is gone.")
        yield from self._parcel(record, with_parcel(self.connection, record, command, parcel))
        after = yield from self.find("orders", id_)
        found = parcel_of(self.connection, after, command) if after else None
        return found or Written(type="shipments", id=id_, mark=command.mark)

    def _is_noted(self, command: Command) -> bool:
        """Tell whether a parcel becomes a note: there is no order object to carry it."""
        return self.order_kind != "orders" or ("invoice" in command.links and "order" not in command.links)

    def _parcel(self, order: Record, properties: bodies.Properties) -> Talk[None]:
        try:
            yield from self.patch("shipment", "orders", order.id, properties)
        except RejectedError:
            # Another write may have made the property meanwhile: then once more suffices.
            if (yield from self.lacks("orders", PARCELS)):
                yield from self.define("orders", PARCELS, "shipment-property", unique=False)
            yield from self.patch("shipment-again", "orders", order.id, properties)

    # -- earlier tries ------------------------------------------------------------------------------------------------

    def probe(self, command: Command) -> Talk[Written | None]:
        """Ask by our mark: reads by a unique property are consistent, searches are not."""
        kind = _KINDS.get(command.capability, self.order_kind)
        if command.capability == "record_shipment" and not self._is_noted(command):
            record = yield from self.find("orders", _link(command, "order"))
            return parcel_of(self.connection, record, command) if record else None
        if command.capability == "record_shipment":
            kind = "notes"
        if command.capability == "reverse_payment":
            id_ = command.bound_id or _link(command, "payment")
            there = yield from self.find(kind, id_)
            return None if there else Written(type=kind, id=id_, mark=command.mark)
        if isinstance(command.facts, Customer) and command.facts.party.email:
            record = yield from self.find(kind, command.facts.party.email, "email")
        elif command.kind == "set":
            record = yield from self.find(kind, command.bound_id)
        else:
            record = yield from self.find(kind, command.mark, MARK)
        if record is None or kind == "notes":
            return Written(type=kind, id=record.id, mark=command.mark) if record else None
        found = yield from self.written(kind, record)
        return msgspec.structs.replace(found, complete=self._complete(kind, record, command))

    def _complete(self, kind: str, record: Record, command: Command) -> bool:
        """Tell whether an earlier try got to its end: buyer and lines there, invoice opened, payment hung on both."""
        wanted = command.facts
        if kind == "invoices" and record.value("hs_invoice_status") == "draft":
            return isinstance(wanted, Invoice) and wanted.status == "draft"
        if kind == "commerce_payments":
            ends = {"invoices": command.links.get("invoice"), self.order_kind: command.links.get("order")}
            return all(id_ in record.linked(to) for to, id_ in ends.items() if id_)
        if not isinstance(wanted, Order):
            return True
        has_buyer = bool(record.linked("contacts")) or not bodies.somebody(wanted.customer)
        return has_buyer and len(record.linked("line_items")) >= len(bodies.positive(wanted.lines))

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the bound object as it is now."""
        kind = _KINDS.get(command.capability, self.order_kind)
        if command.capability == "record_shipment" and self._is_noted(command):
            note = yield from self.find("notes", command.bound_id)
            return Written(type="notes", id=note.id, mark=command.mark) if note else None
        if command.capability == "record_shipment":
            record = yield from self.find("orders", command.bound_id.partition("-")[0])
            return parcel_of(self.connection, record, command) if record else None
        record = yield from self.find(kind, command.bound_id)
        if record is None:
            return None
        if command.capability == "set_status":
            return (yield from self._reread_stage(kind, record, command))
        return (yield from self.written(kind, record))

    def _reread_stage(self, kind: str, record: Record, command: Command) -> Talk[Written]:
        """Return what is shown, without contact and lines where no stage moved: then nobody is told of it."""
        stages = stages_in((yield from self.pipelines())) if self.has_unknown_stage(kind, record) else {}
        bare = self.seen(kind, record, Parts(stages=stages))
        before = command.base.get("status")
        if before is not None and project(bare.facts).get("status") == before.made:
            return bare
        return (yield from self.written(kind, record, stages))


def _facts(command: Command, kind: type[F]) -> F:
    if not isinstance(command.facts, kind):
        raise RejectedError(f"HubSpot: {command.capability} needs a {kind.__name__.lower()}.")
    return command.facts


def _link(command: Command, name: str) -> str:
    if not command.links.get(name):
        raise RejectedError(f"HubSpot: {command.capability} needs the {name} it belongs to.")
    return command.links[name]
