"""The conversations that every HubSpot write is made of: read, upsert under our mark, associate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from app.core.errors import DecodeError, DuplicateError, O2CError, RejectedError, UnsupportedError
from app.core.talk import Request, Response, Talk, segment
from schemas.errors import misfit
from schemas.facts import Line, Party
from schemas.platforms.hubspot import PLATFORM, facts, paths, wire
from schemas.platforms.hubspot.platform import ACCOUNT, ASSOCIATIONS, LINKS, MARK, PROPERTIES, STAGES
from schemas.platforms.hubspot.wire import Parts, Pipeline, Record, Stage
from sinks.base import Sink, Written
from sinks.platforms.hubspot import bodies, replies

BATCH, _MISSING, _BAD, _CONFLICT = 100, 404, 400, 409


class Talks(Sink):
    """What the capabilities share."""

    platform = PLATFORM

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error that a reply means; a batch counts as failed when any of it was refused."""
        return replies.error_of(response, mutating=mutating)

    @property
    def order_kind(self) -> str:
        """Return which object is the order here."""
        return self.connection.options.get("order_object", "deals")

    # -- one call -----------------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> Talk[Response]:
        """Make one call; its error is raised."""
        reply = yield request
        if (error := replies.error_of(reply, mutating=request.mutates)) is not None:
            raise error
        return reply

    def post(self, step: str, path: str, body: object, *, lock: str = "") -> Talk[Response]:
        """Make one write."""
        request = Request(method="POST", path=path, json=body, mutates=True, step=step, lock=lock)
        return (yield from self.ask(request))

    def patch(self, step: str, kind: str, id_: str, properties: bodies.Properties) -> Talk[None]:
        """Change properties of one record; nothing is sent when there are none."""
        if properties:
            path, body = paths.records(self.connection, kind, segment(id_)), {"properties": properties}
            yield from self.ask(Request(method="PATCH", path=path, json=body, mutates=True, step=step))

    # -- reading ------------------------------------------------------------------------------------------------------

    def find(self, kind: str, id_: str, by: str = "") -> Talk[Record | None]:
        """Read one record by id or by a unique property, None when there is none: a consistent read."""
        _, record = yield from self.look(kind, id_, by)
        return record

    def look(self, kind: str, id_: str, by: str = "") -> Talk[tuple[Response, Record | None]]:
        """Read one record and keep the reply, whose Date header is the only clock a sink has."""
        params = {"properties": ",".join(self._properties(kind))}
        if LINKS.get(kind):
            params["associations"] = ",".join(LINKS[kind])
        if by:
            params["idProperty"] = by
        path = paths.records(self.connection, kind, segment(id_))
        reply = yield Request(method="GET", path=path, params=params)
        if by == MARK and reply.status == _BAD:
            if (yield from self.lacks(kind, MARK)):
                return reply, None
            # Another write made our property between the two questions: now the portal can answer.
            reply = yield Request(method="GET", path=path, params=params)
        if reply.status == _MISSING:
            return reply, None
        if (error := replies.error_of(reply, mutating=False)) is not None:
            raise error
        return reply, _record(reply.json())

    def _properties(self, kind: str) -> list[str]:
        own = [self.connection.options.get(name, "") for name in ("number_property", "po_property")]
        extra = own if kind == self.order_kind else []
        return list(dict.fromkeys([*PROPERTIES.get(kind, ()), MARK, *filter(None, extra)]))

    def lacks(self, kind: str, name: str) -> Talk[bool]:
        """Tell whether the portal does not know a property of ours yet, so that nothing can carry it."""
        reply = yield Request(method="GET", path=f"/crm/v3/properties/{kind}/{name}")
        if reply.status != _MISSING and (error := replies.error_of(reply, mutating=False)) is not None:
            raise error
        return reply.status == _MISSING

    def batch_read(self, kind: str, ids: Sequence[str], by: str = "", also: str = "") -> Talk[list[Record]]:
        """Read records by id or by a unique property, a hundred at a time; *also* is one more property to show."""
        found: list[Record] = []
        for start in range(0, len(ids), BATCH):
            inputs = [{"id": id_} for id_ in ids[start : start + BATCH]]
            names = [*self._properties(kind), *filter(None, [also])]
            body: dict[str, Any] = {"inputs": inputs, "properties": names, "propertiesWithHistory": []}
            body |= {"idProperty": by} if by else {}
            reply = yield from self.ask(
                Request(method="POST", path=paths.records(self.connection, kind, "batch/read"), json=body)
            )
            found += [_record(row) for row in replies.split(reply).results]
        return found

    def written(self, kind: str, record: Record, stages: Mapping[str, Stage] | None = None) -> Talk[Written]:
        """Return what the platform shows of *record*, its contact and lines included; *stages* where they are known."""
        parts = Parts(stages=stages or {})
        if "line_items" in LINKS[kind]:
            contacts = yield from self.batch_read("contacts", record.linked("contacts")[:1])
            lines = yield from self.batch_read("line_items", record.linked("line_items"))
            parts = Parts(contact=contacts[0] if contacts else None, lines=tuple(lines), stages=parts.stages)
        if not parts.stages and self.has_unknown_stage(kind, record):
            parts = msgspec.structs.replace(parts, stages=stages_in((yield from self.pipelines())))
        parts = msgspec.structs.replace(parts, currency=(yield from self.currency(kind, [record])))
        return self.seen(kind, record, parts)

    def currency(self, kind: str, records: Iterable[Record]) -> Talk[str]:
        """Return the portal's currency where one of *records* names none, else ""."""
        if not wire.lacks_currency(self.connection, kind, records):
            return ""
        reply = yield from self.ask(Request(method="GET", path=ACCOUNT))
        return wire.home_currency(reply.json())

    def has_unknown_stage(self, kind: str, record: Record) -> bool:
        """Tell whether the pipelines must be looked at to know what the record's stage means."""
        stage = record.value("dealstage" if kind == "deals" else "hs_pipeline_stage")
        return kind == self.order_kind and bool(stage) and not facts.word(self.connection, kind, stage)

    def seen(self, kind: str, record: Record, parts: Parts) -> Written:
        """Return what *record* shows together with what lives apart from it; DecodeError when it cannot be read."""
        try:
            shown = facts.to_facts(self.connection, kind, record, parts)
        except (ValueError, ArithmeticError) as error:
            raise DecodeError(f"HubSpot: {kind} {record.id} does not have the documented shape.") from error
        return Written(
            type=kind,
            id=record.id,
            facts=shown,
            mark=wire.mark(record),
            native=wire.native(record),
            anchors=facts.anchors(self.connection, self.order_kind, kind, record),
        )

    def shown(self, kind: str, id_: str, stages: Mapping[str, Stage] | None = None) -> Talk[Written]:
        """Read a record that was just written."""
        record = yield from self.find(kind, id_)
        if record is None:
            raise RejectedError(f"HubSpot: {kind} {id_} is gone after it was written.")
        return (yield from self.written(kind, record, stages))

    # -- our mark -----------------------------------------------------------------------------------------------------

    def upsert(self, kind: str, mark: str, properties: bodies.Properties, step: str) -> Talk[str]:
        """Write the one record that carries *mark* and return its id; the property is made when it is missing."""
        body = {"inputs": [bodies.marked(mark, properties)]}
        return (yield from self._upserted(kind, body, step))[0]

    def made(
        self, kind: str, mark: str, properties: bodies.Properties, links: Sequence[tuple[str, str]], step: str
    ) -> Talk[tuple[str, bool]]:
        """Make the one record that carries *mark*, associated with *links*; return its id and whether it is fresh.

        In one call where the association types are known: a second try then meets its own mark and finds the first.
        """
        if any((kind, to) not in ASSOCIATIONS for to, _ in links):
            id_ = yield from self.upsert(kind, mark, properties, step)
            for to, other in links:
                yield from self.link(kind, id_, to, [other], f"{step}-{to}")
            return id_, True
        body = {"properties": {MARK: mark, **properties}, "associations": bodies.associations(kind, links)}
        try:
            reply = yield from self._sent(kind, paths.records(self.connection, kind), body, step)
        except DuplicateError:
            found = yield from self.find(kind, mark, MARK)
            if found is None:
                raise
            return found.id, False
        return _record(reply.json()).id, True

    def _upserted(self, kind: str, body: dict[str, Any], step: str, lock: str = "") -> Talk[list[str]]:
        path = paths.records(self.connection, kind, "batch/upsert")
        return _all((yield from self._sent(kind, path, body, step, lock)), body, kind)

    def _sent(self, kind: str, path: str, body: dict[str, Any], step: str, lock: str = "") -> Talk[Response]:
        """Send a write that carries our mark; our property is made when the portal lacks it."""
        reply = yield Request(method="POST", path=path, json=body, mutates=True, step=step, lock=lock)
        error = replies.error_of(reply, mutating=True)
        if isinstance(error, RejectedError):
            # Another write may have made the property meanwhile: then it is no longer lacking, and once more suffices.
            if (yield from self.lacks(kind, MARK)):
                yield from self.define(kind, MARK, f"{step}-property", unique=True)
            return (yield from self.post(f"{step}-again", path, body, lock=lock))
        if error is not None:
            raise error
        return reply

    def define(self, kind: str, name: str, step: str, *, unique: bool) -> Talk[None]:
        """Make a property of ours beside HubSpot's own; one that exists already is fine."""
        known = yield from self.ask(Request(method="GET", path=f"/crm/v3/properties/{kind}/hs_object_id"))
        body = {
            "name": name,
            "label": name,
            "description": "Written by the order sync; do not edit.",
            "type": "string",
            "fieldType": "text",
            "groupName": str(known.json()["groupName"]),
            "hasUniqueValue": unique,
        }
        path = f"/crm/v3/properties/{kind}"
        reply = yield Request(method="POST", path=path, json=body, mutates=True, step=step)
        if reply.status != _CONFLICT and (error := replies.error_of(reply, mutating=True)) is not None:
            raise error

    # -- parts --------------------------------------------------------------------------------------------------------

    def link(self, kind: str, id_: str, to: str, ids: Sequence[str], step: str) -> Talk[None]:
        """Associate a record with others by the default type; saying it twice changes nothing."""
        yield from self.link_pairs(kind, to, [(id_, other) for other in ids], step)

    def link_pairs(self, kind: str, to: str, pairs: Sequence[tuple[str, str]], step: str) -> Talk[None]:
        """Associate the two records of every pair by the default type."""
        for start in range(0, len(pairs), BATCH):
            inputs = [{"from": {"id": one}, "to": {"id": other}} for one, other in pairs[start : start + BATCH]]
            path = f"/crm/v4/associations/{kind}/{to}/batch/associate/default"
            yield from self.post(f"{step}-{start}" if start else step, path, {"inputs": inputs})

    def contact(self, party: Party) -> Talk[str]:
        """Return the contact with that e-mail, made when there is none; its own data is never overwritten."""
        found = yield from self.known_contact(party)
        return found.id if found else (yield from self.new_contact(party))

    def known_contact(self, party: Party) -> Talk[Record | None]:
        """Return the contact with that e-mail; somebody without one is found by what we wrote for the name."""
        by, key = bodies.contact_key(party)
        if by == "email":
            return (yield from self.find("contacts", key, by))
        return next(iter((yield from self.named_contacts([key]))), None)

    def named_contacts(self, keys: Sequence[str]) -> Talk[list[Record]]:
        """Return the contacts that we made for names, asked for in a body: a path cannot hold every name."""
        if not keys or (yield from self.lacks("contacts", MARK)):
            return []
        return (yield from self.batch_read("contacts", keys, MARK))

    def new_contact(self, party: Party) -> Talk[str]:
        """Make the contact and return its id; whoever makes the same one meanwhile makes it once."""
        by, key = bodies.contact_key(party)
        properties = bodies.contact(party) | ({} if party.email else {MARK: key})
        row = {"idProperty": by, "id": key, "objectWriteTraceId": "customer", "properties": properties}
        ids = yield from self._upserted("contacts", {"inputs": [row]}, "customer", f"customer:{key.lower()}")
        return ids[0]

    def buyer(self, kind: str, record: Record | None, id_: str, party: Party) -> Talk[None]:
        """Associate the buyer, and nobody else any more when *record* shows others."""
        contact = yield from self.contact(party)
        yield from self.link(kind, id_, "contacts", [contact], "link-customer")
        others = [one for one in record.linked("contacts") if one != contact] if record else []
        for other in others:
            path = f"/crm/v4/objects/{kind}/{segment(id_)}/associations/contacts/{segment(other)}"
            yield from self.ask(Request(method="DELETE", path=path, mutates=True, step=f"unlink-{other}"))

    def lines(
        self, kind: str, id_: str, lines: Sequence[Line], currency: str, *, fresh: bool = False
    ) -> Talk[list[str]]:
        """Write the lines by position under a key of their own, so that a second try makes no second line.

        The lines of a *fresh* record are made and associated in one call where that can be said.
        """
        ids: list[str] = []
        wanted = bodies.positive(lines)
        for start in range(0, len(wanted), BATCH):
            step = f"lines-{start}" if start else "lines"
            rows = [
                self.line_row(kind, id_, place, one, currency)
                for place, one in enumerate(wanted[start:][:BATCH], start)
            ]
            if not fresh or ("line_items", kind) not in ASSOCIATIONS:
                ids += yield from self._upserted_lines(kind, id_, rows, step)
                continue
            try:
                ids += yield from self._new_lines(kind, id_, rows, step)
            except DuplicateError:
                ids += yield from self._upserted_lines(kind, id_, rows, f"{step}-known")
        return ids

    def line_row(self, kind: str, id_: str, position: int, line: Line, currency: str) -> dict[str, Any]:
        """Return one line of a batch under the key that only its place in that record has."""
        key = f"{kind}/{id_}/{position}"
        return {
            "objectWriteTraceId": key,
            "properties": {MARK: key, **bodies.line(line, currency, self.connection.taxes)},
        }

    def _new_lines(self, kind: str, id_: str, rows: Sequence[dict[str, Any]], step: str) -> Talk[list[str]]:
        parents = bodies.associations("line_items", [(kind, id_)])
        body = {"inputs": [{**row, "associations": parents} for row in rows]}
        path = paths.records(self.connection, "line_items", "batch/create")
        reply = yield from self._sent("line_items", path, body, step)
        return _all(reply, body, "line_items")

    def _upserted_lines(self, kind: str, id_: str, rows: Sequence[dict[str, Any]], step: str) -> Talk[list[str]]:
        body = {"inputs": [{**row, "idProperty": MARK, "id": row["properties"][MARK]} for row in rows]}
        ids = yield from self._upserted("line_items", body, step)
        yield from self.link(kind, id_, "line_items", ids, f"link-{step}")
        return ids

    def replace_lines(self, kind: str, record: Record, lines: Sequence[Line], currency: str) -> Talk[None]:
        """Write the lines and archive every other line of the record."""
        ids = yield from self.lines(kind, record.id, lines, currency)
        stale = [id_ for id_ in record.linked("line_items") if id_ not in ids]
        for start in range(0, len(stale), BATCH):
            body = {"inputs": [{"id": id_} for id_ in stale[start : start + BATCH]]}
            path = paths.records(self.connection, "line_items", "batch/archive")
            yield from self.post(f"stale-lines-{start}", path, body)

    # -- stages -------------------------------------------------------------------------------------------------------

    def stage(self, word: str) -> Talk[bodies.Properties]:
        """Return the properties that show a canonical word; the stage's id is looked up where portals differ."""
        pipelines = (yield from self.pipelines()) if self.is_looked_up(word) else ()
        return self.stage_among(pipelines, word)

    def is_looked_up(self, word: str) -> bool:
        """Tell whether the pipelines must be read to show *word*; HubSpot's own deal stages have fixed ids."""
        kind, own = self.order_kind, self.connection.stages.get(word, "")
        if not own and kind == "deals":
            return word in STAGES[kind] and bool(self.connection.options.get("pipeline"))
        return bool(own) or word in STAGES[kind]

    def stage_among(self, pipelines: Sequence[Pipeline], word: str) -> bodies.Properties:
        """Return the properties that show *word*; UnsupportedError when no stage does."""
        kind, pipeline = self.order_kind, self.connection.options.get("pipeline", "")
        own = self.connection.stages.get(word, "")
        if kind == "orders" and word == "partially_refunded" and not own:
            return {"hs_payment_status": "Partially refunded"}
        wanted = own or STAGES[kind].get(word, "")
        if not wanted:
            raise UnsupportedError(f"HubSpot has no stage for {word}: map it under stages.")
        if not self.is_looked_up(word):
            return {"dealstage": wanted}
        chosen = wire.chosen(pipelines, pipeline, wanted)
        if chosen is None and word == "delivered":
            chosen = wire.chosen(pipelines, pipeline, "Shipped")
        if chosen is None:
            raise UnsupportedError(f"HubSpot has no stage {wanted} for {word}: map {word} under stages.")
        if kind == "deals":
            return {"dealstage": chosen.id}
        said = facts.fulfilment_word(self.connection, word)
        return {"hs_pipeline_stage": chosen.id, **({"hs_fulfillment_status": said} if said else {})}

    def pipelines(self) -> Talk[tuple[Pipeline, ...]]:
        """Read the pipelines that the orders go through."""
        reply = yield from self.ask(Request(method="GET", path=f"/crm/v3/pipelines/{self.order_kind}"))
        try:
            return wire.pipelines(reply.json())
        except (msgspec.ValidationError, KeyError) as error:
            raise DecodeError("HubSpot: the pipelines do not have the documented shape.") from error


def stages_in(pipelines: Sequence[Pipeline]) -> dict[str, Stage]:
    """Return the stages of all pipelines by id."""
    return {stage.id: stage for pipeline in pipelines for stage in pipeline.stages}


def _record(value: Any) -> Record:  # noqa: ANN401 - any JSON
    try:
        return wire.record_of(value)
    except msgspec.ValidationError as error:
        raise DecodeError(f"HubSpot: a record does not have the documented shape: {misfit(error)}.") from error


def _all(reply: Response, body: dict[str, Any], kind: str) -> list[str]:
    """Return the ids of a batch of which nothing was refused."""
    results = replies.split(reply).results
    if len(results) != len(body["inputs"]):
        raise DecodeError(f"HubSpot listed {len(results)} of {len(body['inputs'])} written {kind}.")
    return [str(row["id"]) for row in results]


def time_of(reply: Response, record: Record) -> datetime:
    """Return when the platform answered, by its own clock."""
    try:
        return parsedate_to_datetime(reply.headers["date"])
    except (KeyError, ValueError):
        return wire.modified(record) or datetime.fromtimestamp(0, UTC)
