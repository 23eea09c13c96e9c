"""Parcels of order objects: fields of the order, whose tracking numbers and our marks stay in step."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import ConflictError, DuplicateError, O2CError, RejectedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Shipment
from schemas.platforms.hubspot import facts, wire
from schemas.platforms.hubspot.platform import PARCELS
from schemas.platforms.hubspot.wire import Record
from sinks.base import Written
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.many import Many, Outcomes, Row

_NO_MARK = "-"
"""Stands in the list of marks for a tracking number that a person typed."""


class Parcels(Many):
    """One parcel each of many orders, by the hundred."""

    def parcels(self, commands: Sequence[Command]) -> Talk[Outcomes]:
        """Add each parcel to its order; a second one of an order goes alone, after what the first made of it is known.

        So does what is refused: the portal may lack our property yet.
        """
        asked = {id_: one for one in reversed(commands) if (id_ := one.links.get("order"))}
        orders = yield from self._orders(list(asked))
        results: Outcomes = {}
        rows: list[Row] = []
        for id_, command in asked.items():
            if id_ not in orders:
                results[command.id] = ConflictError(f"HubSpot: order {id_} is gone.")
            elif isinstance(command.facts, Shipment):
                changed = with_parcel(self.connection, orders[id_], command, command.facts)
                rows += [{"id": id_, "objectWriteTraceId": command.mark, "properties": changed}] if changed else []
        refused = (yield from self.many("orders", "update", rows, "parcels"))[1] if rows else {}
        after = yield from self._orders(list(orders))
        for id_ in orders:
            command, record = asked[id_], after.get(id_)
            found = parcel_of(self.connection, record, command) if record else None
            bare = Written(type="shipments", id=id_, mark=command.mark)  # a parcel without a number shows nothing
            results[command.id] = _alone(refused.get(command.mark)) or found or bare
        return results

    def _orders(self, ids: Sequence[str]) -> Talk[dict[str, Record]]:
        return {one.id: one for one in (yield from self.batch_read("orders", ids))}


def _alone(error: O2CError | None) -> O2CError | None:
    return DuplicateError(str(error)) if isinstance(error, RejectedError) else error


def with_parcel(connection: Connection, record: Record, command: Command, parcel: Shipment) -> bodies.Properties:
    """Return the order's tracking numbers and marks with this parcel's among them; they stay in step.

    The one word that the order has for all its parcels is that of the whole order, not of this parcel.
    """
    numbers = [part.strip() for part in record.value("hs_shipping_tracking_number").split(",") if part.strip()]
    marks = record.value(PARCELS).split()[: len(numbers)]
    marks += [_NO_MARK] * (len(numbers) - len(marks))
    if command.mark not in marks:
        marks += [command.mark, *[_NO_MARK] * (len(parcel.tracking_numbers) - 1)] if parcel.tracking_numbers else []
        numbers += parcel.tracking_numbers
    elif parcel.tracking_numbers:
        numbers[marks.index(command.mark)] = parcel.tracking_numbers[0]
    come = command.status or ("delivered" if parcel.status == "delivered" else "fulfilled")
    values = {
        "hs_fulfillment_status": facts.fulfilment_word(connection, come),
        "hs_shipping_tracking_number": ", ".join(numbers),
        "hs_shipping_status_url": parcel.tracking_url,
        PARCELS: " ".join(marks),
    }
    return {name: value for name, value in values.items() if value and value != record.value(name)}


def parcel_of(connection: Connection, record: Record, command: Command) -> Written | None:
    """Return the parcel of *command* as the order shows it, None where it has none of it."""
    for id_, mark, parcel in facts.shipments(connection, record):
        if (command.bound_id and id_ == command.bound_id) or (mark and mark == command.mark):
            native = wire.native(record)
            return Written(type="shipments", id=id_, facts=parcel, mark=mark, native=native)
    return None
