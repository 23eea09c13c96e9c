"""Records as events, and how one is read with what its own record does not say."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from app.core.errors import DecodeError
from app.core.talk import Request, Talk, segment
from schemas.events import Anchor, ChangeEvent, Hint, Version, allocated
from schemas.facts import Allocation, Credit, Customer, Facts, Party, Payment
from schemas.platforms.quickbooks_online import BATCH, MINOR_VERSION, PAGE, PLATFORM, SWEPT, parcels, translate, wire
from schemas.platforms.quickbooks_online.faults import read_fault
from schemas.platforms.quickbooks_online.query import quoted, select
from schemas.refs import ObjectRef
from streams.sources.base import Source
from streams.sources.platforms.quickbooks_online.notices import MERGED
from streams.sources.platforms.quickbooks_online.replies import (
    convert,
    is_deleted,
    is_fresh,
    moment,
    records,
    success,
    was_applied,
)

Origin = Literal["read", "sweep"]
_GONE = "610"
_MISSING = 404
_CANONICAL = MappingProxyType(
    {"invoice": "Invoice", "payment": "Payment", "credit": "CreditMemo", "customer": "Customer", "order": "Estimate"}
)


class Reading(Source):
    """Reads by id are always current; a list may be late, so what it shows is compared with the hint."""

    platform = PLATFORM
    read_batch = MappingProxyType(dict.fromkeys(SWEPT, BATCH))

    def ref(self, entity: str, id_: str) -> ObjectRef:
        """Return the name of a record of this realm."""
        return ObjectRef(self.connection.name, self.connection.account, entity, id_)

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events in a record, a reply, a query page, a CDC or a batch reply."""
        rows = list(records(record, _CANONICAL.get(type_, "")))
        payments = [convert("Payment", row) for entity, row in rows if entity == "Payment" and not is_deleted(row)]
        applied = translate.set_off([payment for payment in payments if isinstance(payment, wire.Payment)])
        return [
            event
            for entity, row in rows
            for event in self.events(entity, row, "read", applied.get(str(row.get("Id")), ()))
        ]

    def events(
        self, entity: str, row: dict[str, Any], origin: Origin, applied: Sequence[Allocation] = ()
    ) -> list[ChangeEvent]:
        """Return a record as an event, none where it is no object of its own; and the parcel that a person typed."""
        event = self.event(entity, row, origin, applied)
        if event is None:
            return []
        record = convert(entity, row) if row.get("TrackingNum") and event.facts is not None else None
        parcel = parcels.typed(entity, record) if isinstance(record, wire.Form) else None
        if parcel is None:
            return [event]
        ref = self.ref(parcels.PARCEL, parcels.parcel_id(entity, event.object.id))
        hangs = (Anchor("object", event.object),)
        return [event, msgspec.structs.replace(event, object=ref, facts=parcel, mirror_of=None, anchors=hangs)]

    def event(
        self, entity: str, row: dict[str, Any], origin: Origin, applied: Sequence[Allocation] = ()
    ) -> ChangeEvent | None:
        """Return a record as an event, None when it is no object of its own."""
        meta = row.get("MetaData")
        changed = moment(meta.get("LastUpdatedTime")) if isinstance(meta, dict) else None
        ref = self.ref(entity, str(row.get("Id") or ""))
        tenant = self.connection.tenant
        if is_deleted(row):
            return ChangeEvent(
                tenant=tenant, object=ref, facts=None, presence="deleted", changed_at=changed, origin=origin
            )
        record, field = convert(entity, row), self.connection.options.get("reference_field", "")
        try:
            facts = translate.to_facts(entity, record, self._home(), applied, field)
            native = int(record.sync_token)
        except (ValueError, ArithmeticError) as error:
            raise DecodeError(f"QuickBooks: a {entity} does not have the documented shape.") from error
        if facts is None:
            return None
        return ChangeEvent(
            tenant=tenant,
            object=ref,
            facts=facts,
            version=Version(native=native),
            changed_at=changed,
            mirror_of=translate.mark(record),
            anchors=self._anchors(record, facts),
            origin=origin,
        )

    def _home(self) -> str:
        return self.connection.options.get("home_currency", "USD")

    def _anchors(self, record: wire.Record, facts: Facts) -> tuple[Anchor, ...]:
        """Hang a payment on its invoices, a credit on what it was applied to, a stranger on what people typed."""
        if isinstance(record, wire.Customer):
            return ()
        shares = self._shares(facts.allocations) if isinstance(facts, Payment | Credit) else ()
        if isinstance(record, wire.Payment) or shares or translate.mark(record) is not None:
            return shares
        typed = translate.reference(record)
        number = (Anchor("number", ObjectRef("", "", "number", typed)),) if typed else ()
        linked = [link for link in record.linked_txn if link.txn_type in {"Estimate", "Payment"}]
        return (*number, *(Anchor("object", self.ref(link.txn_type, link.txn_id)) for link in linked))

    def _shares(self, parts: Sequence[Allocation]) -> tuple[Anchor, ...]:
        return allocated(self.connection.name, self.connection.account, parts)

    # ------------------------------------------------------------------------------------------- reading

    def asking(self, path: str, **params: str) -> Request:
        """Return a question to this realm."""
        params["minorversion"] = MINOR_VERSION
        return Request(method="GET", path=f"/v3/company/{self.connection.account}/{path}", params=params, cost=0)

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one record; for a credit also where it went, for a payment also the credits that it set off."""
        entity, id_ = hint.object.type, hint.object.id
        if entity == parcels.PARCEL:
            return (yield from self._read_parcel(hint))
        if entity not in wire.KINDS:
            return []
        reply = yield self.asking(f"{entity.lower()}/{segment(id_)}")
        if reply.status == _MISSING or read_fault(reply.body).code == _GONE:
            merged = _merged(hint)
            return [
                ChangeEvent(tenant=hint.tenant, object=hint.object, facts=merged, presence="deleted", origin="read")
            ]
        return (yield from self._completed(entity, dict(success(reply)[entity])))

    def _read_parcel(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read the document that carries a parcel; a number that was taken away again is gone."""
        document = msgspec.structs.replace(hint, object=self.ref(*parcels.document_of(hint.object.id)))
        events = yield from self.read(document)
        if any(event.object == hint.object for event in events):
            return events
        gone = ChangeEvent(tenant=hint.tenant, object=hint.object, facts=None, presence="deleted", origin="read")
        return [*events, gone]

    def _completed(self, entity: str, row: dict[str, Any]) -> Talk[list[ChangeEvent]]:
        applied: Sequence[Allocation] = ()
        events: list[ChangeEvent] = []
        record = convert(entity, row)
        if isinstance(record, wire.Form) and was_applied(entity, record):
            applied = yield from self._applied_to(record)
        if isinstance(record, wire.Payment):
            for credit in translate.set_off([record]):
                hint = Hint(tenant=self.connection.tenant, object=self.ref("CreditMemo", credit))
                events += yield from self.read(hint)
        return [*self.events(entity, row, "read", applied), *events]

    def _applied_to(self, credit: wire.Form) -> Talk[tuple[Allocation, ...]]:
        """Ask the payments for the invoices that *credit* went to: its own record does not say."""
        ids = [link.txn_id for link in credit.linked_txn if link.txn_type == "Payment"]
        clause = f"Id in ({quoted(ids)})" if ids else f"CustomerRef = {quoted([credit.customer_ref.value])}"
        rows = yield from self.all_of("Payment", clause)
        payments = [payment for row in rows if isinstance(payment := convert("Payment", row), wire.Payment)]
        return translate.set_off(payments).get(credit.id, ())

    def all_of(self, entity: str, clause: str) -> Talk[list[dict[str, Any]]]:
        """Return every record that *clause* finds, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            reply = yield self.asking("query", query=select(entity, clause, len(found) + 1))
            rows = success(reply)["QueryResponse"].get(entity, [])
            found += rows
            if len(rows) < PAGE:
                return found

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Query many at once; what the list shows older than its hint, or not at all, is read by id."""
        entity = hints[0].object.type if hints else ""
        found: dict[str, dict[str, Any]] = {}
        if len(hints) > 1 and entity in wire.KINDS and {hint.object.type for hint in hints} == {entity}:
            rows = yield from self.all_of(entity, f"Id in ({quoted(hint.object.id for hint in hints)})")
            found = {str(row["Id"]): row for row in rows}
        events: list[ChangeEvent] = []
        for hint in hints:
            row = found.get(hint.object.id)
            if row is None or not is_fresh(row, hint.hinted_at):
                events += yield from self.read(hint)
            else:
                events += yield from self._completed(entity, row)
        return events


def _merged(hint: Hint) -> Customer | None:
    """Return what a merge left of a customer: where it went."""
    if not hint.reason.startswith(MERGED):
        return None
    into = hint.reason.removeprefix(MERGED)
    return Customer(party=Party(id=hint.object.id), status="merged", merged_into=into)
