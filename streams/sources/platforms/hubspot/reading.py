"""HubSpot records as events, and how they are read with what lives apart: contacts, lines, stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from app.core.errors import DecodeError
from app.core.talk import Request, Talk, segment
from schemas.events import MERGED_INTO, RECHECK, ChangeEvent, Hint, Version
from schemas.facts import Facts
from schemas.platforms.hubspot import PLATFORM, facts, paths, wire
from schemas.platforms.hubspot.platform import ACCOUNT, LINKS, MARK, PROPERTIES
from schemas.platforms.hubspot.wire import Link, Links, Parts, Pipeline, Record, Stage
from schemas.refs import ObjectRef
from streams.sources.base import Source
from streams.sources.platforms.hubspot import hooks, replies

_BATCH, _MISSING = 100, 404
_PARTS_OF = {"shipments": "orders", "refunds": "commerce_payments"}
_KINDS = {"invoice": "invoices", "payment": "commerce_payments", "credit": "commerce_payments", "customer": "contacts"}


class Reading(Source):
    """A record is read by id, alone or a hundred at a time; a merged one may answer under its new id."""

    platform = PLATFORM
    read_batch = dict.fromkeys(("deals", "orders", "invoices", "commerce_payments", "contacts", "line_items"), _BATCH)

    @property
    def order_kind(self) -> str:
        """Return which object is the order here."""
        return self.connection.options.get("order_object", "deals")

    def ref(self, kind: str, id_: str) -> ObjectRef:
        """Return the name of a record of this portal."""
        return ObjectRef(self.connection.name, self.connection.account, kind, id_)

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events of a record or of a page of records."""
        if isinstance(record, dict) and isinstance(record.get("results"), list):
            return [event for row in record["results"] for event in self.parse(type_, row)]
        found = replies.record(record)
        kind = _KINDS.get(type_) or self._kind(found)
        return self._shown(kind, found, Parts())

    def _kind(self, record: Record) -> str:
        if "dealname" in record.properties or "dealstage" in record.properties:
            return "deals"
        return "orders" if "hs_order_name" in record.properties else self.order_kind

    def _shown(self, kind: str, record: Record, parts: Parts) -> list[ChangeEvent]:
        """Return what a record shows: itself, the parcels of an order, the refunds of a payment."""
        try:
            shown = facts.to_facts(self.connection, kind, record, parts)
            parcels = facts.shipments(self.connection, record) if kind == "orders" else []
            refund = facts.refund(record) if kind == "commerce_payments" else None
        except (ValueError, ArithmeticError) as error:
            raise DecodeError(f"HubSpot: {kind} {record.id} does not have the documented shape.") from error
        events = [self._event(kind, record.id, record, shown, wire.mark(record))]
        events += [self._event("shipments", id_, record, parcel, found) for id_, found, parcel in parcels]
        if refund:
            events.append(self._event("refunds", record.id, record, refund, None))
        return events

    def _event(self, kind: str, id_: str, record: Record, shown: Facts | None, found: str | None) -> ChangeEvent:
        return ChangeEvent(
            tenant=self.connection.tenant,
            object=self.ref(kind, id_),
            facts=None if record.archived else shown,
            version=Version(native=wire.native(record)),
            changed_at=wire.modified(record),
            presence="deleted" if record.archived else "present",
            mirror_of=found,
            anchors=facts.anchors(self.connection, self.order_kind, kind, record),
            origin="read",
        )

    def _gone(self, ref: ObjectRef) -> ChangeEvent:
        return ChangeEvent(tenant=self.connection.tenant, object=ref, facts=None, presence="deleted", origin="read")

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one record with its contact and lines; a merged one may answer under its new id."""
        ref = hint.object
        kind = _PARTS_OF.get(ref.type, ref.type)
        id_ = ref.id.partition("-")[0] if ref.type == "shipments" else ref.id
        if kind == "line_items":
            return (yield from self._parents([id_]))
        reply = yield self._get(kind, id_)
        if reply.status == _MISSING:
            return self._merged([hint], [self._gone(ref)])
        record = replies.record(replies.success(reply))
        parts = yield from self._parts(kind, [record])
        events = self._shown(kind, record, parts[record.id])
        if not any(event.object == ref for event in events):
            events = [self._gone(ref), *events]
            hint = msgspec.structs.replace(hint, reason=f"{MERGED_INTO}{record.id}")
        return self._merged([hint], events)

    def _merged(self, hints: Sequence[Hint], events: list[ChangeEvent]) -> list[ChangeEvent]:
        """Say of a merged order where it went, and of the one it became where that came from."""
        told = {hint.object: hint.reason for hint in hints if hint.object.type == self.order_kind}
        return [
            msgspec.structs.replace(event, facts=hooks.merged_facts(event.facts, told.get(event.object, "")))
            for event in events
        ]

    def _get(self, kind: str, id_: str) -> Request:
        params = {"properties": ",".join(self._properties(kind))}
        if LINKS[kind]:
            params["associations"] = ",".join(LINKS[kind])
        return Request(method="GET", path=paths.records(self.connection, kind, segment(id_)), params=params)

    def _properties(self, kind: str) -> list[str]:
        own = [self.connection.options.get(name, "") for name in ("number_property", "po_property")]
        extra = own if kind == self.order_kind else []
        return list(dict.fromkeys([*PROPERTIES[kind], MARK, *filter(None, extra)]))

    def _parents(self, ids: Sequence[str]) -> Talk[list[ChangeEvent]]:
        """Read each order and invoice that line items hang on, or hung on when they were deleted, once."""
        parents: dict[str, dict[str, None]] = {}
        orphans = dict.fromkeys(ids)
        for kind in (self.order_kind, *(("invoices",) if "invoices" in self.sweeps() else ())):
            found = yield from self._ends("line_items", ids, kind)
            parents[kind] = dict.fromkeys(link.id for ends in found.values() for link in ends.results)
            orphans = {id_: None for id_ in orphans if id_ not in found}
        for line in (yield from self._deleted_lines(list(orphans), list(parents))):
            for kind, known in parents.items():
                known.update(dict.fromkeys(line.linked(kind)))
        events: list[ChangeEvent] = []
        for kind, known in parents.items():
            hints = [Hint(tenant=self.connection.tenant, object=self.ref(kind, id_)) for id_ in known]
            for start in range(0, len(hints), _BATCH):
                events += yield from self.read_many(hints[start : start + _BATCH])
        return events

    def _deleted_lines(self, ids: Sequence[str], kinds: Sequence[str]) -> Talk[list[Record]]:
        """Read those lines among *ids* that are in the bin, with what they hung on.

        The deal or order itself does not look changed then. That a record in the bin still names its associations no
        document says; where it does not, the order is read again with all that are open (`recheck_seconds`).
        """
        there = (yield from self._batch("line_items", ids)) if ids else {}
        found: list[Record] = []
        for id_ in ids:
            if id_ in there:
                continue
            params = {"archived": "true", "associations": ",".join(kinds)}
            reply = yield Request(
                method="GET", path=paths.records(self.connection, "line_items", segment(id_)), params=params
            )
            if reply.status != _MISSING:
                found.append(replies.record(replies.success(reply)))
        return found

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Read up to a hundred records of one type in one call, and their parts in a few more."""
        kind = hints[0].object.type
        if kind == "line_items":
            return (yield from self._parents([hint.object.id for hint in hints]))
        if kind not in self.read_batch or len(hints) == 1:
            return (yield from super().read_many(hints))
        found = yield from self._batch(kind, [hint.object.id for hint in hints])
        for to in LINKS[kind]:
            found = yield from self._linked(kind, found, to)
        parts = yield from self._parts(kind, list(found.values()))
        events = [event for record in found.values() for event in self._shown(kind, record, parts[record.id])]
        seen = {event.object for event in events}
        lost = [hint for hint in hints if hint.object not in seen]
        again = [hint for hint in lost if kind == self.order_kind and hint.reason.startswith((RECHECK, hooks.FROM))]
        events = self._merged(hints, events + [self._gone(hint.object) for hint in lost if hint not in again])
        # Read by itself a merged deal answers under its new id, which a batch may leave out, and nobody told:
        # https://developers.hubspot.com/changelog/announcement-deals-now-support-merging
        for hint in again:
            events += yield from self.read(hint)
        return _once(events)

    def _batch(self, kind: str, ids: Sequence[str]) -> Talk[dict[str, Record]]:
        """Read records by id, a hundred at a time; those that are gone are left out."""
        found: dict[str, Record] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _BATCH):
            inputs = [{"id": id_} for id_ in wanted[start : start + _BATCH]]
            body = {"inputs": inputs, "properties": self._properties(kind), "propertiesWithHistory": []}
            reply = yield Request(method="POST", path=paths.records(self.connection, kind, "batch/read"), json=body)
            found |= {record.id: record for record in map(replies.record, replies.rows(reply))}
        return found

    def _linked(self, kind: str, records: dict[str, Record], to: str) -> Talk[dict[str, Record]]:
        """Return *records* with their associations to *to* filled in."""
        ends = yield from self._ends(kind, list(records), to)
        return {
            id_: msgspec.structs.replace(record, associations={**record.associations, to: ends.get(id_, Links())})
            for id_, record in records.items()
        }

    def _ends(self, kind: str, ids: Sequence[str], to: str) -> Talk[dict[str, Links]]:
        """Return what records of *kind* are associated with; those without an association to *to* are left out."""
        found: dict[str, Links] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _BATCH):
            body = {"inputs": [{"id": id_} for id_ in wanted[start : start + _BATCH]]}
            reply = yield Request(method="POST", path=f"/crm/v4/associations/{kind}/{to}/batch/read", json=body)
            found |= {
                str(row["from"]["id"]): Links(tuple(Link(str(end["toObjectId"])) for end in row["to"]))
                for row in replies.rows(reply)
            }
        return found

    def _parts(self, kind: str, records: Sequence[Record]) -> Talk[dict[str, Parts]]:
        """Read contacts, lines and, where something is not known yet, the pipelines and the portal's currency."""
        contacts: dict[str, Record] = {}
        lines: dict[str, Record] = {}
        if "line_items" in LINKS[kind]:
            contacts = yield from self._batch(
                "contacts", [id_ for one in records for id_ in one.linked("contacts")[:1]]
            )
            lines = yield from self._batch("line_items", [id_ for one in records for id_ in one.linked("line_items")])
        stages: dict[str, Stage] = {}
        if kind == self.order_kind and any(self._unknown(kind, record) for record in records):
            stages = yield from self._stages(kind)
        currency = ""
        if wire.lacks_currency(self.connection, kind, records):
            currency = wire.home_currency(replies.success((yield Request(method="GET", path=ACCOUNT))))
        return {
            record.id: Parts(
                contact=next((contacts[id_] for id_ in record.linked("contacts") if id_ in contacts), None),
                lines=tuple(lines[id_] for id_ in record.linked("line_items") if id_ in lines),
                stages=stages,
                currency=currency,
            )
            for record in records
        }

    def _unknown(self, kind: str, record: Record) -> bool:
        id_ = record.value("dealstage" if kind == "deals" else "hs_pipeline_stage")
        return bool(id_) and not facts.word(self.connection, kind, id_)

    def _stages(self, kind: str) -> Talk[dict[str, Stage]]:
        found = yield from self.pipelines(kind)
        return {stage.id: stage for pipeline in found for stage in pipeline.stages}

    def pipelines(self, kind: str) -> Talk[tuple[Pipeline, ...]]:
        """Read the pipelines of deals or order objects."""
        reply = yield Request(method="GET", path=f"/crm/v3/pipelines/{kind}")
        try:
            return wire.pipelines(replies.success(reply))
        except (msgspec.ValidationError, KeyError) as error:
            raise DecodeError("HubSpot: the pipelines do not have the documented shape.") from error


def _once(events: list[ChangeEvent]) -> list[ChangeEvent]:
    """Return the first event of each object: several old deals may lead to one new one."""
    return list({event.object: event for event in reversed(events)}.values())[::-1]
