"""Orders and bills on their way in a few calls: their buyers and lines, for which both are alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from app.core.errors import DuplicateError, O2CError, RetryableError, UncertainError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Line, Party
from schemas.platforms.hubspot.platform import ASSOCIATIONS, MARK
from schemas.platforms.hubspot.wire import Record, Stage
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.many import Many, Outcomes, Row, alone
from sinks.platforms.hubspot.talks import BATCH

_OTHER_EMAILS = "hs_additional_emails"


class Draft(msgspec.Struct):
    """An order or a bill on its way, as far as it got."""

    command: Command
    head: bodies.Properties
    customer: Party | None
    currency: str
    wanted: tuple[Line, ...]
    """The lines to be made."""
    word: str = ""
    """The canonical word that its stage shows."""
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
        party = bodies.somebody(self.customer)
        return bodies.contact_key(party)[1].lower() if party else ""


Part = Callable[[Sequence[Draft]], Talk[None]]


class Drafting(Many):
    """Part after part of all drafts; what cannot go on says why."""

    def drafted(self, drafts: Sequence[Draft], parts: Sequence[Part]) -> Talk[Outcomes]:
        """Take the drafts through *parts*, those that failed left out, and return what came of each."""
        for part in parts:
            sound = [draft for draft in drafts if draft.error is None]
            try:
                yield from part(sound) if sound else ()
            except O2CError as error:
                for draft in sound:
                    draft.error = alone(error)
        ended = {draft.command.id: draft.written or draft.error for draft in drafts}
        return {id_: part for id_, part in ended.items() if part is not None}

    def find_buyers(self, drafts: Sequence[Draft]) -> Talk[None]:
        """Find the contacts of all e-mails and names, make those that are missing; a known one stays as it is."""
        parties = {draft.buyer: draft.customer for draft in drafts if draft.customer and draft.buyer}
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
            # Nothing of an order or bill left yet, and the same contact cannot be made twice.
            raise RetryableError(str(error)) from error
        keys = {str(row["id"]): key for key, row in made.items()}
        shown = yield from self.batch_read("contacts", list(keys))
        return {keys[one.id]: one for one in shown if one.id in keys}, refused

    def make_lines(self, kind: str, drafts: Sequence[Draft]) -> Talk[None]:
        """Make the lines of all drafts, a hundred at a time; a draft that lacks one says why."""
        for known, step in ((False, "lines"), (True, "known-lines")):
            rows = [
                (draft, self.line_row(kind, draft.id, place, line, draft.currency))
                for draft in drafts
                if draft.known is known
                for place, line in enumerate(draft.wanted)
            ]
            for start in range(0, len(rows), BATCH):
                yield from self._some_lines(kind, rows[start : start + BATCH], f"{step}-{start}" if start else step)

    def _some_lines(self, kind: str, rows: Sequence[tuple[Draft, Row]], step: str) -> Talk[None]:
        try:
            made, refused = yield from self._line_batch(kind, rows, step)
        except O2CError as error:
            made, refused = {}, {row["objectWriteTraceId"]: alone(error) for _, row in rows}
        for draft, row in rows:
            key = row["objectWriteTraceId"]
            if key in made:
                draft.lines += (str(made[key]["id"]),)
            else:
                draft.error = refused.get(key, DuplicateError())

    def _line_batch(
        self, kind: str, rows: Sequence[tuple[Draft, Row]], step: str
    ) -> Talk[tuple[dict[str, Row], dict[str, O2CError]]]:
        """Make lines and associate them: in one call where the record is new and the association type is known."""
        if ("line_items", kind) in ASSOCIATIONS and not rows[0][0].known:
            linked = [{**row, "associations": bodies.associations("line_items", [(kind, one.id)])} for one, row in rows]
            return (yield from self.many("line_items", "create", linked, step))
        named = [{**row, "idProperty": MARK, "id": row["objectWriteTraceId"]} for _, row in rows]
        made, refused = yield from self.many("line_items", "upsert", named, step)
        keys = [(one.id, row["objectWriteTraceId"]) for one, row in rows]
        pairs = [(id_, str(made[key]["id"])) for id_, key in keys if key in made]
        yield from self.link_pairs(kind, "line_items", pairs, f"link-{step}")
        return made, refused


def _new_buyer(key: str, party: Party) -> Row:
    by, value = bodies.contact_key(party)
    properties = bodies.contact(party) | ({} if by == "email" else {by: value})
    return {"idProperty": by, "id": value, "objectWriteTraceId": key, "properties": properties}


def _emails(record: Record) -> list[str]:
    return [record.value("email").lower(), *record.value(_OTHER_EMAILS).lower().split(";")]
