"""HubSpot: webhooks are thin, unordered and may repeat: read the record, then say what it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from app.core.errors import DecodeError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk, segment
from schemas.errors import misfit
from schemas.events import MERGED_INTO, ChangeEvent, Hint, Version
from schemas.facts import Facts
from schemas.platforms.hubspot import PLATFORM, facts, wire
from schemas.platforms.hubspot.platform import LINKS, MARK, PROPERTIES, STAGES
from schemas.platforms.hubspot.webhooks import WEBHOOKS, topics
from schemas.platforms.hubspot.wire import Link, Links, Parts, Pipeline, Record, Stage
from schemas.refs import ObjectRef
from streams.sources.base import Hook, Identity, Page, Setup, Source
from streams.sources.platforms.hubspot import hooks
from streams.sources.platforms.hubspot.offering import currency_offer, stage_offers
from streams.sources.platforms.hubspot.subscribing import HubspotSubscriber

_BATCH, _PAGE, _MISSING = 100, 200, 404
_OVERLAP_MS, _LAG = 120_000, timedelta(seconds=60)
_ECHO = 2
_PARTS_OF = {"shipments": "orders", "refunds": "commerce_payments"}
_KINDS = {"invoice": "invoices", "payment": "commerce_payments", "credit": "commerce_payments", "customer": "contacts"}


class HubspotSource(Source):
    """An order is a deal, or an order object where `order_object` says so."""

    platform = PLATFORM
    webhooks = WEBHOOKS
    read_batch = dict.fromkeys(("deals", "orders", "invoices", "commerce_payments", "contacts", "line_items"), _BATCH)

    @property
    def _order(self) -> str:
        return self.connection.options.get("order_object", "deals")

    # -- registering ---------------------------------------------------------------------------------------------------

    def topics(self) -> tuple[str, ...]:
        """Return the events of the objects that this connection reads."""
        own = [self.connection.options.get(name, "") for name in ("number_property", "po_property")]
        return topics(self._order, filter(None, own), commerce=self.connection.options.get("commerce") == "yes")

    def subscriber(self) -> HubspotSubscriber | None:
        """Register by the API of the app, where the connection names one."""
        app = self.connection.options.get("app_id", "")
        return HubspotSubscriber(app) if app.isdigit() else None

    # -- webhooks -----------------------------------------------------------------------------------------------------

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Check v3 over method, public address, raw body and time; the old versions only when v3 is absent."""
        if hook.headers.get("x-hubspot-signature-v3"):
            return hooks.signed(hook, secrets, now)
        return self.connection.options.get("legacy_signatures") == "yes" and hooks.signed_before(hook, secrets)

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the portals whose events are in the delivery."""
        return frozenset(str(event["portalId"]) for event in hooks.events(hook) if event.get("portalId"))

    def hints(self, hook: Hook) -> list[Hint]:
        """Return each object of this portal once; our own echoes are read last."""
        found: dict[ObjectRef, Hint] = {}
        for event in hooks.events(hook):
            if str(event.get("portalId", self.connection.account)) != self.connection.account:
                continue
            for kind, id_ in self._wanted(hooks.named(event, self._order)):
                hint = self._hint(kind, id_, event)
                if hint.object not in found or hooks.merged(event, id_):
                    found[hint.object] = hint
        return list(found.values())

    def _wanted(self, named: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return what is read here; a line that is named beside its order or invoice shows nothing more."""
        other = {"deals", "orders"} - {self._order}
        wanted = [(kind, id_) for kind, id_ in named if kind in self.read_batch and kind not in other]
        return [(kind, id_) for kind, id_ in wanted if kind != "line_items"] or wanted

    def _hint(self, kind: str, id_: str, event: Mapping[str, Any]) -> Hint:
        own = self.connection.options.get("app_id", "")
        echo = bool(own) and event.get("changeSource") == "INTEGRATION" and str(event.get("sourceId")) == own
        return Hint(
            tenant=self.connection.tenant,
            object=self._ref(kind, id_),
            reason=hooks.merged(event, id_) or hooks.type_of(event),
            hinted_at=wire.instant(str(event.get("occurredAt", ""))),
            priority=_ECHO if echo else 1,
        )

    # -- records ------------------------------------------------------------------------------------------------------

    def _ref(self, kind: str, id_: str) -> ObjectRef:
        return ObjectRef(self.connection.name, self.connection.account, kind, id_)

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events of a record or of a page of records."""
        if isinstance(record, dict) and isinstance(record.get("results"), list):
            return [event for row in record["results"] for event in self.parse(type_, row)]
        found = _record(record)
        kind = _KINDS.get(type_) or self._kind(found)
        return self._shown(kind, found, Parts())

    def _kind(self, record: Record) -> str:
        if "dealname" in record.properties or "dealstage" in record.properties:
            return "deals"
        return "orders" if "hs_order_name" in record.properties else self._order

    def _shown(self, kind: str, record: Record, parts: Parts) -> list[ChangeEvent]:
        """Return what a record shows: itself, the parcels of an order, the refunds of a payment."""
        try:
            shown = facts.to_facts(self.connection, kind, record, parts)
            parcels = facts.shipments(record) if kind == "orders" else []
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
            object=self._ref(kind, id_),
            facts=None if record.archived else shown,
            version=Version(native=wire.native(record)),
            changed_at=wire.modified(record),
            presence="deleted" if record.archived else "present",
            mirror_of=found,
            anchors=facts.anchors(self.connection, self._order, kind, record),
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
        record = _record(_success(reply))
        parts = yield from self._parts(kind, [record])
        events = self._shown(kind, record, parts[record.id])
        if not any(event.object == ref for event in events):
            events = [self._gone(ref), *events]
            hint = msgspec.structs.replace(hint, reason=f"{MERGED_INTO}{record.id}")
        return self._merged([hint], events)

    def _merged(self, hints: Sequence[Hint], events: list[ChangeEvent]) -> list[ChangeEvent]:
        """Say of a merged order where it went, and of the one it became where that came from."""
        told = {hint.object: hint.reason for hint in hints if hint.object.type == self._order}
        return [
            msgspec.structs.replace(event, facts=hooks.merged_facts(event.facts, told.get(event.object, "")))
            for event in events
        ]

    def _get(self, kind: str, id_: str) -> Request:
        params = {"properties": ",".join(self._properties(kind))}
        if LINKS[kind]:
            params["associations"] = ",".join(LINKS[kind])
        return Request(method="GET", path=f"/crm/v3/objects/{kind}/{segment(id_)}", params=params)

    def _properties(self, kind: str) -> list[str]:
        own = [self.connection.options.get(name, "") for name in ("number_property", "po_property")]
        extra = own if kind == self._order else []
        return list(dict.fromkeys([*PROPERTIES[kind], MARK, *filter(None, extra)]))

    def _parents(self, ids: Sequence[str]) -> Talk[list[ChangeEvent]]:
        """Read each order and invoice that line items hang on once; those of a deleted line are found by the sweep."""
        events: list[ChangeEvent] = []
        for kind in (self._order, *(("invoices",) if "invoices" in self.sweeps() else ())):
            found = yield from self._ends("line_items", ids, kind)
            parents = dict.fromkeys(link.id for ends in found.values() for link in ends.results)
            hints = [Hint(tenant=self.connection.tenant, object=self._ref(kind, id_)) for id_ in parents]
            for start in range(0, len(hints), _BATCH):
                events += yield from self.read_many(hints[start : start + _BATCH])
        return events

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
        return self._merged(hints, events + [self._gone(hint.object) for hint in hints if hint.object not in seen])

    def _batch(self, kind: str, ids: Sequence[str]) -> Talk[dict[str, Record]]:
        """Read records by id, a hundred at a time; those that are gone are left out."""
        found: dict[str, Record] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _BATCH):
            inputs = [{"id": id_} for id_ in wanted[start : start + _BATCH]]
            body = {"inputs": inputs, "properties": self._properties(kind), "propertiesWithHistory": []}
            reply = yield Request(method="POST", path=f"/crm/v3/objects/{kind}/batch/read", json=body)
            found |= {record.id: record for record in map(_record, _rows(reply))}
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
                for row in _rows(reply)
            }
        return found

    def _parts(self, kind: str, records: Sequence[Record]) -> Talk[dict[str, Parts]]:
        """Read contacts, lines and, where a stage is unknown, the pipelines."""
        contacts: dict[str, Record] = {}
        lines: dict[str, Record] = {}
        if "line_items" in LINKS[kind]:
            contacts = yield from self._batch(
                "contacts", [id_ for one in records for id_ in one.linked("contacts")[:1]]
            )
            lines = yield from self._batch("line_items", [id_ for one in records for id_ in one.linked("line_items")])
        stages: dict[str, Stage] = {}
        if kind == self._order and any(self._unknown(kind, record) for record in records):
            stages = yield from self._stages(kind)
        return {
            record.id: Parts(
                contact=next((contacts[id_] for id_ in record.linked("contacts") if id_ in contacts), None),
                lines=tuple(lines[id_] for id_ in record.linked("line_items") if id_ in lines),
                stages=stages,
            )
            for record in records
        }

    def _unknown(self, kind: str, record: Record) -> bool:
        id_ = record.value("dealstage" if kind == "deals" else "hs_pipeline_stage")
        return bool(id_) and not facts.word(self.connection, kind, id_)

    def _stages(self, kind: str) -> Talk[dict[str, Stage]]:
        found = yield from self._pipelines(kind)
        return {stage.id: stage for pipeline in found for stage in pipeline.stages}

    def _pipelines(self, kind: str) -> Talk[tuple[Pipeline, ...]]:
        reply = yield Request(method="GET", path=f"/crm/v3/pipelines/{kind}")
        try:
            return wire.pipelines(_success(reply))
        except (msgspec.ValidationError, KeyError) as error:
            raise DecodeError("HubSpot: the pipelines do not have the documented shape.") from error

    # -- what changed since -------------------------------------------------------------------------------------------

    def sweeps(self) -> tuple[str, ...]:
        """Return the object types to walk; invoices and payments need scopes of their own."""
        commerce = facts.COMMERCE if self.connection.options.get("commerce") == "yes" else ()
        return (self._order, "contacts", *commerce)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Walk by (last change, id) upwards: pages never shift, and the window of 10,000 rows is never reached.

        The cursor is "since|id|started" in milliseconds; an id means: amid rows changed at one instant.
        """
        since, last_id, started = _cursor(cursor, now)
        changed = "lastmodifieddate" if name == "contacts" else "hs_lastmodifieddate"
        reply = yield _search(name, changed, since, last_id)
        rows = [_record(row) for row in _rows(reply)]
        hints = tuple(self._swept(name, row) for row in rows)
        if len(rows) < _PAGE and not last_id:
            done = datetime.fromtimestamp(started / 1000, UTC) - _LAG
            return Page(hints=hints, cursor=str(started - _OVERLAP_MS), complete_up_to=done)
        if len(rows) < _PAGE:
            return Page(hints=hints, cursor=f"{since + 1}||{started}", more=True)
        newest = wire.native(rows[-1])
        at_once = f"{since}|{rows[-1].id if last_id else 0}|{started}"
        return Page(
            hints=hints, cursor=f"{newest}||{started}" if newest > since and not last_id else at_once, more=True
        )

    def _swept(self, name: str, row: Record) -> Hint:
        ref = self._ref(name, row.id)
        return Hint(tenant=self.connection.tenant, object=ref, reason="sweep", priority=_ECHO, native=wire.native(row))

    def identify(self) -> Talk[Identity]:
        """Ask whose token this is."""
        account = _success((yield Request(method="GET", path="/account-info/v3/details")))
        home = str(account.get("companyCurrency") or "")
        return Identity(
            account=str(account["portalId"]),
            currencies=tuple(sorted({home, *account.get("additionalCurrencies", ())} - {""})),
            home_currency=home,
            time_zone=str(account.get("timeZone") or ""),
            offers=currency_offer(self.connection, home, account.get("additionalCurrencies", ())),
        )

    def setup(self) -> Talk[Setup]:
        """Look which stages the orders go through, and which words they cannot show."""
        pipelines = yield from self._pipelines(self._order)
        words = (self._word(stage) for pipeline in pipelines for stage in pipeline.stages)
        unshown = {
            word: f"HubSpot has no stage {stage!r} to show {word!r} with"
            for word, stage in {**STAGES[self._order], **self.connection.stages}.items()
            if not self._shows(pipelines, word, stage)
        }
        offers = stage_offers(pipelines, self._order, self._pipeline, unshown)
        return Setup(words={f"{self._order}:{word}": label for word, label in words}, unshown=unshown, offers=offers)

    @property
    def _pipeline(self) -> str:
        return self.connection.options.get("pipeline", "")

    def _shows(self, pipelines: Sequence[Pipeline], word: str, stage: str) -> bool:
        """Tell whether the sink finds the stage; HubSpot's own deal stages are written by id, unlooked."""
        if self._order == "deals" and word not in self.connection.stages and not self._pipeline:
            return any(one.id == stage for each in pipelines for one in each.stages)
        names = (stage, "Shipped") if word == "delivered" else (stage,)
        return any(wire.chosen(pipelines, self._pipeline, name) for name in names)

    def _word(self, stage: Stage) -> tuple[str, str]:
        won, lost = str(stage.won).lower(), str(stage.closed and not stage.won).lower()
        values: dict[str, str | None] = {"dealstage": stage.id, "hs_pipeline_stage": stage.id}
        if self._order == "deals":
            values |= {"hs_is_closed_won": won, "hs_is_closed_lost": lost}
        record, parts = Record(id="", properties=values), Parts(stages={stage.id: stage})
        return facts.stage_of(self.connection, self._order, record, parts)[0], stage.label


def _search(kind: str, changed: str, since: int, last_id: str) -> Request:
    filters = [{"propertyName": changed, "operator": "EQ" if last_id else "GTE", "value": str(since)}]
    if last_id:
        filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": last_id})
    sort = "hs_object_id" if last_id else changed
    body = {
        "filterGroups": [{"filters": filters}],
        # The vendor's files and libraries say that a sort is text; the text is the JSON that the guide shows.
        "sorts": [json.dumps({"propertyName": sort, "direction": "ASCENDING"})],
        "properties": [changed],
        "limit": _PAGE,
        "after": "0",
    }
    # Five searches a second are allowed, half of what the common window lets through.
    return Request(method="POST", path=f"/crm/v3/objects/{kind}/search", json=body, cost=2)


def _cursor(cursor: str, now: datetime) -> tuple[int, str, int]:
    since, _, rest = cursor.partition("|")
    last_id, _, started = rest.partition("|")
    at = int(since) if since.isdigit() else _millis(since) if since else 0
    return at, last_id, int(started) if started else round(now.timestamp() * 1000)


def _millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _record(value: Any) -> Record:  # noqa: ANN401 - any JSON
    try:
        return wire.record_of(value)
    except msgspec.ValidationError as error:
        raise DecodeError(f"HubSpot: a record does not have the documented shape: {misfit(error)}.") from error


def _success(reply: Response) -> Any:  # noqa: ANN401 - any JSON
    if (error := from_status("HubSpot", reply, mutating=False)) is not None:
        raise error
    return reply.json()


def _rows(reply: Response) -> list[Any]:
    rows = _success(reply).get("results")
    if not isinstance(rows, list):
        raise DecodeError("HubSpot: the reply has no results.")
    return rows
