"""Many bills in a few calls: drafts with buyers, lines and orders, opened where HubSpot's total is the bill's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.core.errors import DuplicateError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Invoice
from schemas.platforms.hubspot.wire import Link, Links, Parts, Record
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.drafts import Draft, Drafting
from sinks.platforms.hubspot.many import Outcomes, Row


class InvoiceBatches(Drafting):
    """Bills by the fifty; one that an earlier try made is left to go on alone, where it is looked at first."""

    def invoices(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Draft the bills, give them buyers, lines and orders, open what comes out right, and read back."""
        drafts = [
            Draft(
                command,
                bodies.invoice(bill),
                bill.customer,
                bill.currency,
                bodies.positive(bodies.billed_lines(bill, self.connection.taxes)),
            )
            for command in commands
            if isinstance(bill := command.facts, Invoice)
        ]
        parts = (
            self.find_buyers,
            self._draft_bills,
            self._link_bills,
            self._bill_lines,
            self._open_bills,
            self._show_bills,
        )
        return (yield from self.drafted(drafts, parts))

    def _draft_bills(self, drafts: Sequence[Draft]) -> Talk[None]:
        rows = [bodies.made(draft.command.mark, draft.head, "invoices", []) for draft in drafts]
        made, refused = yield from self.many("invoices", "create", rows, "invoices")
        for draft in drafts:
            mark = draft.command.mark
            if mark in made:
                draft.id = str(made[mark]["id"])
            else:
                draft.error = refused.get(mark, DuplicateError())

    def _link_bills(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Associate buyers and orders; an order that is gone fails all of it, and each goes on alone."""
        buyers = [(draft.id, draft.contact.id) for draft in drafts if draft.contact]
        yield from self.link_pairs("invoices", "contacts", buyers, "link-customers")
        orders = [(draft.id, order) for draft in drafts if (order := draft.command.links.get("order"))]
        yield from self.link_pairs("invoices", self.order_kind, orders, "link-orders")

    def _bill_lines(self, drafts: Sequence[Draft]) -> Talk[None]:
        return self.make_lines("invoices", drafts)

    def _open_bills(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Open the bills of which HubSpot's total is right; others stay drafts and say why."""
        heads = yield from self._bill_heads(drafts)
        rows: list[Row] = []
        for draft in drafts:
            bill = draft.command.facts
            if not isinstance(bill, Invoice) or bill.status == "draft":
                continue
            draft.error = bodies.wrong_total(bill, draft.id, heads.get(draft.id))
            if draft.error is None:
                opened = {"hs_invoice_status": "open"}
                rows.append({"id": draft.id, "objectWriteTraceId": draft.command.mark, "properties": opened})
        if not rows:
            return
        made, refused = yield from self.many("invoices", "update", rows, "open")
        asked = {str(row["objectWriteTraceId"]) for row in rows}
        for draft in drafts:
            mark = draft.command.mark
            if mark in asked - set(made):
                draft.error = refused.get(mark, DuplicateError())

    def _bill_heads(self, drafts: Sequence[Draft]) -> Talk[dict[str, Record]]:
        return {one.id: one for one in (yield from self.batch_read("invoices", [draft.id for draft in drafts]))}

    def _show_bills(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Read what HubSpot made of the bills; they are new and hang on nothing but ours."""
        heads = yield from self._bill_heads(drafts)
        ids = dict.fromkeys(id_ for draft in drafts for id_ in draft.lines)
        lines = {one.id: one for one in (yield from self.batch_read("line_items", list(ids)))}
        for draft in drafts:
            record, order = heads.get(draft.id), draft.command.links.get("order")
            if record and order:
                record = msgspec.structs.replace(record, associations={self.order_kind: Links((Link(order),))})
            shown = tuple(lines[id_] for id_ in draft.lines if id_ in lines)
            seen = self.seen_or_error("invoices", record, Parts(draft.contact, shown))
            if isinstance(seen, Written):
                draft.written = seen
            else:
                draft.error = seen
