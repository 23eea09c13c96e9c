"""Many orders in a few calls: buyers, deals or order objects, lines, and what HubSpot made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import msgspec

from app.core.errors import DuplicateError, O2CError, RetryableError, UncertainError, UnsupportedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Order, Party
from schemas.platforms.hubspot.platform import ASSOCIATIONS, MARK
from schemas.platforms.hubspot.wire import Parts, Record, Stage
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.many import Many, Outcomes, Row, alone
from sinks.platforms.hubspot.talks import BATCH, stages_in

_OTHER_EMAILS = "hs_additional_emails"


class _Draft(msgspec.Struct):
    """An order on its way, as far as it got."""

    command: Command
    order: Order
    contact: Record | None = None
    stages: Mapping[str, Stage] = {}
    id: str = ""
    known: bool = False
    """An earlier try made it: buyer and lines may be there, wholly or in part."""
    lines: tuple[str, ...] = ()
    written: Written | None = None
    error: O2CError | None = None

    @property
    def buyer(self) -> str:
        """By what the contact is found, "" where nobody is named."""
        party = bodies.somebody(self.order.customer)
        return bodies.contact_key(party)[1].lower() if party else ""

    @property
    def word(self) -> str:
        return self.order.headline or self.order.status


class OrderBatches(Many):
    """Orders by the fifty."""

    def orders(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Make orders with buyers and lines, complete those that an earlier try made, and read back what is shown."""
        drafts = [_Draft(command, command.facts) for command in commands if isinstance(command.facts, Order)]
        for part in (self._find_buyers, self._make, self._find_known, self._make_lines, self._read_back):
            sound = [draft for draft in drafts if draft.error is None]
            try:
                yield from part(sound) if sound else ()
            except O2CError as error:
                for draft in sound:
                    draft.error = alone(error)
        ended = {draft.command.id: draft.written or draft.error for draft in drafts}
        return {id_: part for id_, part in ended.items() if part is not None}

    def _find_buyers(self, drafts: Sequence[_Draft]) -> Talk[None]:
        """Find the contacts of all e-mails and names, make those that are missing; a known one stays as it is."""
        parties = {draft.buyer: draft.order.customer for draft in drafts if draft.order.customer and draft.buyer}
        found: dict[str, Record] = {}
        refused: dict[str, O2CError] = {}
        for by in ("email", MARK):
            wanted = {key: party for key, party in parties.items() if bodies.contact_key(party)[0] == by}
            found |= yield from self._known_buyers(by, list(wanted))
            missing = [_new_buyer(key, party) for key, party in wanted.items() if key not in found]
            if missing:
                made, bad = yield from self._new_buyers(missing)
                found, refused = found | made, refused | bad
        for draft in drafts:
            draft.contact = found.get(draft.buyer)
            if draft.buyer and draft.contact is None:
                draft.error = refused.get(draft.buyer, DuplicateError())

    def _known_buyers(self, by: str, keys: Sequence[str]) -> Talk[dict[str, Record]]:
        """Return the contacts that are there already by what they were asked for with."""
        if by == "email":
            records = yield from self.batch_read("contacts", keys, by, _OTHER_EMAILS)
            return {email: record for record in records for email in _emails(record) if email in keys}
        return {record.value(MARK): record for record in (yield from self.named_contacts(keys))}

    def _new_buyers(self, rows: Sequence[Row]) -> Talk[tuple[dict[str, Record], dict[str, O2CError]]]:
        try:
            made, refused = yield from self.many("contacts", "upsert", rows, "customers")
        except UncertainError as error:
            # Nothing of an order left yet, and the same contact cannot be made twice.
            raise RetryableError(str(error)) from error
        keys = {str(row["id"]): key for key, row in made.items()}
        shown = yield from self.batch_read("contacts", list(keys))
        return {keys[one.id]: one for one in shown if one.id in keys}, refused

    def _make(self, drafts: Sequence[_Draft]) -> Talk[None]:
        """Make the deals or order objects, associated with their buyers."""
        kind = self.order_kind
        looked_up = any(self.is_looked_up(draft.word) for draft in drafts)
        pipelines = (yield from self.pipelines()) if looked_up else ()
        rows, stages = [], stages_in(pipelines)
        for draft in drafts:
            draft.stages = stages
            properties = bodies.order(self.connection, kind, draft.order)
            # A word without a stage must not keep the order out: it starts where the portal lets new ones start.
            with contextlib.suppress(UnsupportedError):
                properties |= self.stage_among(pipelines, draft.word)
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

    def _find_known(self, drafts: Sequence[_Draft]) -> Talk[None]:
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

    def _make_lines(self, drafts: Sequence[_Draft]) -> Talk[None]:
        """Make the lines of all orders, a hundred at a time; an order that lacks one says why."""
        for known, step in ((False, "lines"), (True, "known-lines")):
            rows = [
                (draft, self.line_row(self.order_kind, draft.id, place, line, draft.order.currency))
                for draft in drafts
                if draft.known is known
                for place, line in enumerate(bodies.positive(draft.order.lines))
            ]
            for start in range(0, len(rows), BATCH):
                yield from self._some_lines(rows[start : start + BATCH], f"{step}-{start}" if start else step)

    def _some_lines(self, rows: Sequence[tuple[_Draft, Row]], step: str) -> Talk[None]:
        try:
            made, refused = yield from self._line_batch(rows, step)
        except O2CError as error:
            made, refused = {}, {row["objectWriteTraceId"]: alone(error) for _, row in rows}
        for draft, row in rows:
            key = row["objectWriteTraceId"]
            if key in made:
                draft.lines += (str(made[key]["id"]),)
            else:
                draft.error = refused.get(key, DuplicateError())

    def _line_batch(
        self, rows: Sequence[tuple[_Draft, Row]], step: str
    ) -> Talk[tuple[dict[str, Row], dict[str, O2CError]]]:
        """Make lines and associate them: in one call where the record is new and the association type is known."""
        kind = self.order_kind
        if ("line_items", kind) in ASSOCIATIONS and not rows[0][0].known:
            linked = [{**row, "associations": bodies.associations("line_items", [(kind, one.id)])} for one, row in rows]
            return (yield from self.many("line_items", "create", linked, step))
        named = [{**row, "idProperty": MARK, "id": row["objectWriteTraceId"]} for _, row in rows]
        made, refused = yield from self.many("line_items", "upsert", named, step)
        keys = [(one.id, row["objectWriteTraceId"]) for one, row in rows]
        pairs = [(id_, str(made[key]["id"])) for id_, key in keys if key in made]
        yield from self.link_pairs(kind, "line_items", pairs, f"link-{step}")
        return made, refused

    def _read_back(self, drafts: Sequence[_Draft]) -> Talk[None]:
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


def _new_buyer(key: str, party: Party) -> Row:
    by, value = bodies.contact_key(party)
    properties = bodies.contact(party) | ({} if by == "email" else {by: value})
    return {"idProperty": by, "id": value, "objectWriteTraceId": key, "properties": properties}


def _emails(record: Record) -> list[str]:
    return [record.value("email").lower(), *record.value(_OTHER_EMAILS).lower().split(";")]
