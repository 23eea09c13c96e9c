"""Many creates in a few calls. Each element succeeds or fails for itself, and its mark keeps it from being made twice.

A record that an earlier try made is refused as a duplicate of its own mark: that command goes on alone, which finds
the record and completes what it lacks.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Generator, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from app.core.errors import (
    ConflictError,
    DecodeError,
    DuplicateError,
    O2CError,
    RejectedError,
    RetryableError,
    UncertainError,
    UnsupportedError,
)
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.facts import Order, Party, Payment
from schemas.platforms.hubspot.facts import Link, Links, Parts, Pipeline, Record
from schemas.platforms.hubspot.platform import ASSOCIATIONS, MARK
from sinks.base import Written
from sinks.platforms.hubspot import bodies, replies
from sinks.platforms.hubspot.talks import BATCH, Talks, stages_in

_MULTI = 207
_OTHER_EMAILS = "hs_additional_emails"
_ALONE = (ConflictError, DuplicateError)
"""What an element is refused with when the command has to look by itself."""
_NAMES_NOBODY = (*_ALONE, DecodeError, RejectedError)
"""What a batch is refused with as a whole."""
T = TypeVar("T")
Row = dict[str, Any]
Outcomes = dict[str, Written | O2CError]


class _Draft(msgspec.Struct):
    """An order on its way, as far as it got."""

    command: Command
    order: Order
    contact: Record | None
    id: str = ""
    lines: tuple[str, ...] = ()
    error: O2CError | None = None


class Batching(Talks):
    """What `write_many` does for each capability."""

    batch = MappingProxyType(
        {
            "upsert_order": 50,
            "record_payment": BATCH,
            "add_note": BATCH,
            "issue_credit": BATCH,
            "record_refund": BATCH,
            # Notes on a deal, but fields of an order object, which are written one by one.
            "record_shipment": 20,
        }
    )

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        """Make fresh creates together; what must be looked for, and what a batch cannot do, goes alone."""
        fresh = [command for command in commands if command.presence == "absent" and not command.bound_id]
        results: Outcomes = (yield from self._together(fresh)) if len(fresh) > 1 else {}
        for command in commands:
            if isinstance(results.get(command.id, DuplicateError()), _ALONE):
                results[command.id] = yield from _caught(_named(self.write(command), command.id))
        return [results[command.id] for command in commands]

    def _together(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        match commands[0].capability:
            case "upsert_order":
                return (yield from self._orders(commands))
            case "record_payment":
                return (yield from self._payments(commands))
            case _:
                return (yield from self._notes(commands))

    def _many(
        self, kind: str, action: str, rows: Sequence[Row], step: str
    ) -> Talk[tuple[dict[str, Row], dict[str, O2CError]]]:
        """Write up to a hundred records; return by trace id what was done and what was refused.

        Our property is made when the portal lacks it; another write may have made it meanwhile: once more suffices.
        """
        path, body = f"/crm/v3/objects/{kind}/batch/{action}", {"inputs": list(rows)}
        reply = yield Request(method="POST", path=path, json=body, mutates=True, step=step)
        error = replies.error_of(reply, mutating=True)
        nothing_done = isinstance(error, RejectedError) and not replies.split(reply).results
        if nothing_done and MARK in rows[0]["properties"]:
            if (yield from self.lacks(kind, MARK)):
                yield from self.define(kind, MARK, f"{step}-property", unique=True)
            reply = yield Request(method="POST", path=path, json=body, mutates=True, step=f"{step}-again")
            error = replies.error_of(reply, mutating=True)
        if error is not None and reply.status != _MULTI:
            raise error
        parts = replies.split(reply)
        return {_trace(row): row for row in parts.results}, parts.refused

    # -- orders -------------------------------------------------------------------------------------------------------

    def _orders(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Make the orders with buyers and lines; what is read back at the end is what HubSpot made of them."""
        results: Outcomes = {}
        orders = {command.id: command.facts for command in commands if isinstance(command.facts, Order)}
        try:
            pipelines = yield from self._pipelines_for(list(orders.values()))
            buyers = yield from self._buyers([order.customer for order in orders.values() if order.customer])
        except O2CError as error:
            return _each(commands, error)
        drafts = []
        for command in commands:
            order = orders.get(command.id)
            email = order.customer.email.lower() if order and order.customer else ""
            buyer = buyers.get(email)
            if isinstance(buyer, O2CError):
                results[command.id] = buyer
            elif order and (buyer or not email):
                drafts.append(_Draft(command, order, buyer))
        try:
            yield from self._heads(drafts, pipelines)
        except O2CError as error:
            return results | _each([draft.command for draft in drafts], error)
        yield from self._lines(drafts)
        made = [draft for draft in drafts if draft.id and draft.error is None]
        results |= {draft.command.id: draft.error for draft in drafts if draft.error is not None}
        return results | (yield from self._read_back(made, pipelines))

    def _buyers(self, parties: Sequence[Party]) -> Talk[dict[str, Record | O2CError]]:
        """Find the contacts of all e-mails, make those that are missing; the data of a known one stays as it is."""
        wanted = {party.email.lower(): party for party in reversed(parties) if party.email}
        found: dict[str, Record | O2CError] = {}
        for record in (yield from self.batch_read("contacts", list(wanted), "email", _OTHER_EMAILS)):
            found |= {email: record for email in _emails(record) if email in wanted}
        missing = [
            {"idProperty": "email", "id": party.email, "objectWriteTraceId": email, "properties": bodies.contact(party)}
            for email, party in wanted.items()
            if email not in found
        ]
        if not missing:
            return found
        try:
            made, refused = yield from self._many("contacts", "upsert", missing, "customers")
        except UncertainError as error:
            # Nothing of an order left yet, and the same contact cannot be made twice.
            raise RetryableError(str(error)) from error
        ids = {str(row["id"]): email for email, row in made.items()}
        shown = yield from self.batch_read("contacts", list(ids))
        return found | refused | {ids[record.id]: record for record in shown if record.id in ids}

    def _pipelines_for(self, orders: Sequence[Order]) -> Talk[tuple[Pipeline, ...]]:
        if any(self.is_looked_up(_word(order)) for order in orders):
            return (yield from self.pipelines())
        return ()

    def _heads(self, drafts: Sequence[_Draft], pipelines: Sequence[Pipeline]) -> Talk[None]:
        """Make the deals or order objects, associated with their buyers."""
        if not drafts:
            return
        kind, rows = self.order_kind, []
        for draft in drafts:
            properties = bodies.order(self.connection, kind, draft.order)
            # A word without a stage must not keep the order out: it starts where the portal lets new ones start.
            with contextlib.suppress(UnsupportedError):
                properties |= self.stage_among(pipelines, _word(draft.order))
            links = [("contacts", draft.contact.id)] if draft.contact else []
            rows.append(bodies.made(draft.command.mark, properties, kind, links))
        made, refused = yield from self._many(kind, "create", rows, "orders")
        for draft in drafts:
            row = made.get(draft.command.mark)
            draft.id = str(row["id"]) if row else ""
            draft.error = None if row else refused.get(draft.command.mark, DuplicateError())

    def _lines(self, drafts: Sequence[_Draft]) -> Talk[None]:
        """Make the lines of all orders, a hundred at a time; an order that lacks one says why."""
        rows = [
            (draft, self.line_row(self.order_kind, draft.id, place, line, draft.order.currency))
            for draft in drafts
            if draft.id
            for place, line in enumerate(bodies.positive(draft.order.lines))
        ]
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            try:
                made, refused = yield from self._line_batch(some, f"lines-{start}" if start else "lines")
            except O2CError as error:
                made, refused = {}, {row["objectWriteTraceId"]: _alone(error) for _, row in some}
            for draft, row in some:
                key = row["objectWriteTraceId"]
                if key in made:
                    draft.lines += (str(made[key]["id"]),)
                else:
                    draft.error = refused.get(key, DuplicateError())

    def _line_batch(
        self, rows: Sequence[tuple[_Draft, Row]], step: str
    ) -> Talk[tuple[dict[str, Row], dict[str, O2CError]]]:
        kind = self.order_kind
        if ("line_items", kind) in ASSOCIATIONS:
            linked = [{**row, "associations": bodies.associations("line_items", [(kind, one.id)])} for one, row in rows]
            return (yield from self._many("line_items", "create", linked, step))
        named = [{**row, "idProperty": MARK, "id": row["objectWriteTraceId"]} for _, row in rows]
        made, refused = yield from self._many("line_items", "upsert", named, step)
        keys = [(one.id, row["objectWriteTraceId"]) for one, row in rows]
        pairs = [(id_, str(made[key]["id"])) for id_, key in keys if key in made]
        yield from self.link_pairs(kind, "line_items", pairs, f"link-{step}")
        return made, refused

    def _read_back(self, drafts: Sequence[_Draft], pipelines: Sequence[Pipeline]) -> Talk[Outcomes]:
        kind = self.order_kind
        heads = {one.id: one for one in (yield from self.batch_read(kind, [draft.id for draft in drafts]))}
        ids = [id_ for draft in drafts for id_ in draft.lines]
        lines = {one.id: one for one in (yield from self.batch_read("line_items", ids))}
        if not pipelines and any(self.has_unknown_stage(kind, head) for head in heads.values()):
            pipelines = yield from self.pipelines()
        stages, results = stages_in(pipelines), Outcomes()
        for draft in drafts:
            shown = tuple(lines[id_] for id_ in draft.lines if id_ in lines)
            parts = Parts(contact=draft.contact, lines=shown, stages=stages)
            results[draft.command.id] = self._seen(kind, heads.get(draft.id), parts)
        return results

    def _seen(self, kind: str, record: Record | None, parts: Parts) -> Written | O2CError:
        if record is None:
            return RejectedError(f"HubSpot: one of the {kind} is gone after it was written.")
        try:
            return self.seen(kind, record, parts)
        except DecodeError as error:
            return error

    # -- payments and notes -------------------------------------------------------------------------------------------

    def _payments(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Record the payments and hang them on their invoices and orders."""
        asked = {command.mark: command for command in commands if isinstance(command.facts, Payment)}
        rows = [
            bodies.marked(mark, bodies.payment(command.facts))
            for mark, command in asked.items()
            if isinstance(command.facts, Payment)
        ]
        if not rows:
            return {}
        made, refused = yield from self._many("commerce_payments", "upsert", rows, "payments")
        results: Outcomes = {asked[mark].id: error for mark, error in refused.items() if mark in asked}
        # What was there already may hang on more than we know.
        ids = {mark: str(row["id"]) for mark, row in made.items() if mark in asked and row.get("new") is not False}
        for name, kind in (("invoice", "invoices"), ("order", self.order_kind)):
            targets = {mark: asked[mark].links.get(name, "") for mark in ids}
            pairs = [(ids[mark], target) for mark, target in targets.items() if target]
            try:
                yield from self.link_pairs("commerce_payments", kind, pairs, f"link-{name}")
            except O2CError as error:
                return results | _each([asked[mark] for mark in ids], error)
        shown = {one.id: one for one in (yield from self.batch_read("commerce_payments", list(ids.values())))}
        for mark, id_ in ids.items():
            invoice, record = asked[mark].links.get("invoice", ""), shown.get(id_)
            if record and invoice:
                record = msgspec.structs.replace(record, associations={"invoices": Links((Link(invoice),))})
            results[asked[mark].id] = self._seen("commerce_payments", record, Parts())
        return results

    def _notes(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Write the notes on deals; the time of a note is when its news came, so that no clock must be asked for."""
        kind = self.order_kind
        rows = [
            bodies.made(command.mark, properties, "notes", [(kind, command.links["order"])])
            for command in commands
            if ("notes", kind) in ASSOCIATIONS and command.links.get("order") and command.told_at
            if (properties := {"hs_note_body": bodies.note(command), "hs_timestamp": bodies.moment(command.told_at)})
        ]
        made, refused = (yield from self._many("notes", "create", rows, "notes")) if rows else ({}, {})
        results: Outcomes = {}
        for command in commands:
            if command.mark in made:
                id_ = str(made[command.mark]["id"])
                results[command.id] = Written(type="notes", id=id_, mark=command.mark)
            elif command.mark in refused:
                results[command.id] = refused[command.mark]
        return results


def _word(order: Order) -> str:
    return order.headline or order.status


def _trace(row: Row) -> str:
    """Return the trace id of a result, or the unique value that it was made of."""
    held = row.get("properties") or {}
    return str(row.get("objectWriteTraceId") or held.get(MARK) or held.get("email") or "")


def _emails(record: Record) -> list[str]:
    return [record.value("email").lower(), *record.value(_OTHER_EMAILS).lower().split(";")]


def _alone(error: O2CError) -> O2CError:
    """Return what the refusal of a whole batch means for one of it: it names nobody, so that each has to try alone."""
    return DuplicateError(str(error)) if isinstance(error, _NAMES_NOBODY) else copy.copy(error)


def _each(commands: Sequence[Command], error: O2CError) -> Outcomes:
    """Return an error of its own for each: one for all would say that nobody knows what the batch came to."""
    return {command.id: _alone(error) for command in commands}


def _named(talk: Talk[T], name: str) -> Talk[T]:
    """Make the steps of *talk* unique among those of other commands."""
    try:
        request = next(talk)
        while True:
            step = f"{name}:{request.step}" if request.step else ""
            request = talk.send((yield msgspec.structs.replace(request, step=step)))
    except StopIteration as done:
        found: T = done.value
        return found


def _caught(talk: Talk[Written]) -> Generator[Request, Response, Written | O2CError]:
    try:
        return (yield from talk)
    except O2CError as error:
        return error
