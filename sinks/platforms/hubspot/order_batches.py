"""Many orders in a few calls: buyers, deals or order objects, lines, and what HubSpot made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from app.core.errors import DuplicateError, UnsupportedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Order
from schemas.platforms.hubspot.platform import MARK
from schemas.platforms.hubspot.wire import Parts
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.companies import Companies
from sinks.platforms.hubspot.drafts import Draft, Drafting
from sinks.platforms.hubspot.many import Outcomes
from sinks.platforms.hubspot.talks import stages_in


class OrderBatches(Drafting, Companies):
    """Orders by the fifty."""

    def orders(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Make orders with buyers and lines, complete those that an earlier try made, and read back what is shown."""
        drafts = [
            Draft(
                command,
                bodies.order(self.connection, self.order_kind, order),
                order.customer,
                order.currency,
                bodies.positive(order.lines),
                order.headline or order.status,
            )
            for command in commands
            if isinstance(order := command.facts, Order)
        ]
        parts = (
            self.find_buyers,
            self._make,
            self._find_known,
            self._order_companies,
            self._order_lines,
            self._read_back,
        )
        return (yield from self.drafted(drafts, parts))

    def _order_companies(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Give the buyers and what they bought their companies; whom people put in a buyer's place stays without."""
        made = [(self.order_kind, draft.id, draft.customer) for draft in drafts]
        buyers = [
            ("contacts", one.contact.id, one.customer)
            for one in drafts
            if one.contact
            and (not one.known or one.buyer in {one.contact.value("email").lower(), one.contact.value(MARK)})
        ]
        return self.companies([*made, *buyers])

    def _order_lines(self, drafts: Sequence[Draft]) -> Talk[None]:
        return self.make_lines(self.order_kind, drafts)

    def _make(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Make the deals or order objects, associated with their buyers."""
        kind = self.order_kind
        looked_up = any(self.is_looked_up(draft.word) for draft in drafts)
        pipelines = (yield from self.pipelines()) if looked_up else ()
        rows, stages = [], stages_in(pipelines)
        for draft in drafts:
            draft.stages = stages
            properties = draft.head
            # A word without a stage must not keep the order out: it starts where the portal lets new ones start.
            with contextlib.suppress(UnsupportedError):
                properties = properties | self.stage_among(pipelines, draft.word)
            links = [("contacts", draft.contact.id)] if draft.contact else []
            rows.append(bodies.made(draft.command.mark, properties, kind, links))
        made, refused = yield from self.many(kind, "create", rows, "orders")
        for draft in drafts:
            mark = draft.command.mark
            if mark in made:
                draft.id = str(made[mark]["id"])
            elif isinstance(refused.get(mark, DuplicateError()), DuplicateError):
                draft.known = True
            else:
                draft.error = refused[mark]

    def _find_known(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Find what earlier tries made by its mark; whatever has no buyer gets ours."""
        kind, known = self.order_kind, {draft.command.mark: draft for draft in drafts if draft.known}
        found = {record.value(MARK): record.id for record in (yield from self.batch_read(kind, list(known), MARK))}
        for mark, draft in known.items():
            draft.id = found.get(mark, "")
            draft.error = None if draft.id else DuplicateError()
        there = [draft for draft in known.values() if draft.id]
        ends = yield from self.linked(kind, [draft.id for draft in there], "contacts")
        pairs = [(one.id, one.contact.id) for one in there if one.contact and not ends.get(one.id)]
        yield from self.link_pairs(kind, "contacts", pairs, "link-customers")
        first = {draft.id: ends[draft.id][0] for draft in there if ends.get(draft.id)}
        shown = {one.id: one for one in (yield from self.batch_read("contacts", list(dict.fromkeys(first.values()))))}
        for draft in there:
            draft.contact = shown.get(first[draft.id]) if draft.id in first else draft.contact

    def _read_back(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Read what HubSpot made of the orders; what was new has no lines but ours."""
        kind = self.order_kind
        ends = yield from self.linked(kind, [draft.id for draft in drafts if draft.known], "line_items")
        for draft in drafts:
            draft.lines = ends.get(draft.id, draft.lines)
        heads = {one.id: one for one in (yield from self.batch_read(kind, [draft.id for draft in drafts]))}
        ids = dict.fromkeys(id_ for draft in drafts for id_ in draft.lines)
        lines = {one.id: one for one in (yield from self.batch_read("line_items", list(ids)))}
        stages = drafts[0].stages
        if not stages and any(self.has_unknown_stage(kind, head) for head in heads.values()):
            stages = stages_in((yield from self.pipelines()))
        currency = yield from self.currency(kind, heads.values())
        for draft in drafts:
            shown = tuple(lines[id_] for id_ in draft.lines if id_ in lines)
            seen = self.seen_or_error(kind, heads.get(draft.id), Parts(draft.contact, shown, stages, currency))
            if isinstance(seen, Written):
                draft.written, draft.error = msgspec.structs.replace(seen, adopted=draft.known), None
            else:
                draft.written, draft.error = None, seen
