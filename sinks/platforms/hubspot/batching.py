"""Many creates in a few calls. Each element succeeds or fails for itself, and its mark keeps it from being made twice.

A record that an earlier try made is refused as a duplicate of its own mark: it is found by the mark and completed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import MappingProxyType
from typing import TypeVar

import msgspec

from app.core.errors import DuplicateError, O2CError
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.facts import Payment
from schemas.platforms.hubspot.platform import ASSOCIATIONS
from schemas.platforms.hubspot.wire import Link, Links, Parts
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.invoice_batches import InvoiceBatches
from sinks.platforms.hubspot.many import ALONE, Outcomes, each
from sinks.platforms.hubspot.order_batches import OrderBatches
from sinks.platforms.hubspot.parcels import Parcels
from sinks.platforms.hubspot.talks import BATCH

T = TypeVar("T")


class Batching(OrderBatches, InvoiceBatches, Parcels):
    """What `write_many` does for each capability."""

    batch = MappingProxyType(
        {
            "upsert_order": 50,
            "upsert_invoice": 50,
            "record_payment": BATCH,
            "add_note": BATCH,
            "issue_credit": BATCH,
            "record_refund": BATCH,
            "record_shipment": BATCH,
        }
    )

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        """Make fresh creates together; what must be looked for, and what a batch cannot do, goes alone."""
        fresh = [command for command in commands if command.presence == "absent" and not command.bound_id]
        together = fresh if len(fresh) > 1 else []
        results: Outcomes = (yield from self._together(together)) if together else {}
        for command in commands:
            if isinstance(results.get(command.id, DuplicateError()), ALONE):
                # What the batch may have met of an earlier try is looked for, and gone on with.
                asks = msgspec.structs.replace(command, presence="unknown") if command in together else command
                results[command.id] = yield from _caught(_named(self.write(asks), command.id))
        return [results[command.id] for command in commands]

    def _together(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        match commands[0].capability:
            case "upsert_order":
                return (yield from self.orders(commands))
            case "upsert_invoice":
                return (yield from self.invoices(commands))
            case "record_payment":
                return (yield from self._payments(commands))
            case "record_shipment" if self.order_kind == "orders":
                return (yield from self.parcels(commands))
            case _:
                return (yield from self._notes(commands))

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
        made, refused = yield from self.many("commerce_payments", "upsert", rows, "payments")
        results: Outcomes = {asked[mark].id: error for mark, error in refused.items() if mark in asked}
        ids = {mark: str(row["id"]) for mark, row in made.items() if mark in asked}
        for name, kind in (("invoice", "invoices"), ("order", self.order_kind)):
            targets = {mark: asked[mark].links.get(name, "") for mark in ids}
            pairs = [(ids[mark], target) for mark, target in targets.items() if target]
            try:
                yield from self.link_pairs("commerce_payments", kind, pairs, f"link-{name}")
            except O2CError as error:
                return results | each([asked[mark] for mark in ids], error)
        # What an earlier try made may hang on more than we know.
        known = [ids[mark] for mark in ids if made[mark].get("new") is False]
        ends: dict[str, dict[str, tuple[str, ...]]] = {}
        for name, kind in (("invoice", "invoices"), ("order", self.order_kind)):
            asked_for = {id_: tuple(filter(None, [asked[mark].links.get(name)])) for mark, id_ in ids.items()}
            ends[kind] = asked_for | (yield from self.linked("commerce_payments", known, kind))
        shown = {one.id: one for one in (yield from self.batch_read("commerce_payments", list(ids.values())))}
        for mark, id_ in ids.items():
            record = shown.get(id_)
            if record:
                links = {kind: Links(tuple(Link(one) for one in there[id_])) for kind, there in ends.items()}
                record = msgspec.structs.replace(record, associations=links)
            results[asked[mark].id] = self.seen_or_error("commerce_payments", record, Parts())
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
        made, refused = (yield from self.many("notes", "create", rows, "notes")) if rows else ({}, {})
        results: Outcomes = {}
        for command in commands:
            if command.mark in made:
                id_ = str(made[command.mark]["id"])
                results[command.id] = Written(type="notes", id=id_, mark=command.mark)
            elif command.mark in refused:
                results[command.id] = refused[command.mark]
        return results


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
