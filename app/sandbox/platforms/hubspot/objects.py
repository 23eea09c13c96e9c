"""The object API: one record at a time, lists, search and batches with partial failures."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

from app.sandbox.faults import Injector
from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.model import Kind
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.records import Record, Values
from app.sandbox.platforms.hubspot.refusals import Refused, gone
from app.sandbox.platforms.hubspot.search import search
from app.sandbox.platforms.hubspot.times import stamp

BATCH, LIST = 100, 100
Answer = tuple[int, dict[str, Any] | None]
_WORDS = {"line_items": "line items"}
"""The key of line items among the associations of a read has a blank."""


class Objects:
    """Answers /crm/v3/objects/{type}/..."""

    def __init__(self, portal: Portal, injector: Injector, visible: Callable[..., bool]) -> None:
        self.portal, self.injector, self.visible = portal, injector, visible

    def call(self, method: str, parts: list[str], query: dict[str, str], asked: dict[str, Any], source: str) -> Answer:
        """Answer one call; *parts* is the path behind /objects/."""
        kind = kind_of(parts[0])
        match method, parts[1:]:
            case "GET", []:
                return 200, self._list(kind, query)
            case "POST", []:
                return 201, self._shown(self._create(kind, asked, source), [])
            case "POST", ["search"]:
                return 200, self._search(kind, asked)
            case "POST", ["merge"]:
                ids = str(asked["primaryObjectId"]), str(asked["objectIdToMerge"])
                primary, other = (self.portal.get(kind, id_) for id_ in ids)
                return 200, self._shown(self.portal.merge(primary, other, source), [])
            case "POST", ["gdpr-delete"] if kind.name == "contacts":
                by = str(asked.get("idProperty") or "")
                self.portal.forget(self.portal.get(kind, str(asked["objectId"]), by), source)
                return 204, None
            case "POST", ["batch", action]:
                return self._batch(kind, action, asked, source)
            case _, [id_]:
                return self._one(method, kind, id_, query, asked, source)
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def _one(
        self, method: str, kind: Kind, id_: str, query: dict[str, str], asked: dict[str, Any], source: str
    ) -> Answer:
        if method == "DELETE":
            record = self.portal.records[kind.name].get(id_)
            if record is not None and not record.archived:
                self.portal.archive(record, source)
            return 204, None
        id_ = self.portal.now_of(id_) if method == "GET" else id_
        record = self.portal.get(
            kind, id_, query.get("idProperty", ""), archived=query.get("archived", "").lower() == "true"
        )
        if method == "PATCH":
            return 200, self._shown(self.portal.update(record, _properties(asked), source), list(asked["properties"]))
        shown = self._shown(record, _names(query))
        wanted = [name for name in query.get("associations", "").split(",") if name]
        if links := {_WORDS.get(name, name): row for name in wanted if (row := self._linked(record, kind_of(name)))}:
            shown["associations"] = links
        return 200, shown

    def _linked(self, record: Record, kind: Kind) -> dict[str, Any] | None:
        type_ = f"{record.kind.singular}_to_{kind.singular}"
        rows = [{"id": id_, "type": type_} for id_ in self.portal.linked(record, kind)]
        return {"results": rows} if rows else None

    def _create(self, kind: Kind, asked: dict[str, Any], source: str) -> Record:
        links = [
            (kind_to, str(link["to"]["id"]))
            for link in asked.get("associations") or []
            for kind_to in self._types(kind, link)
        ]
        targets = [self.portal.get(to, id_) for to, id_ in links]
        record = self.portal.create(kind, _properties(asked), source)
        for target in targets:
            self.portal.link(record, target, source)
        return record

    def _types(self, kind: Kind, link: dict[str, Any]) -> list[Kind]:
        numbers = [int(type_["associationTypeId"]) for type_ in link["types"]]
        by_number = {self.portal.type_of(kind, to): to for to in model.KINDS}
        if unknown := [number for number in numbers if number not in by_number]:
            message = f"No association type with id {unknown[0]} starts at {kind.singular.upper()}."
            raise Refused(400, message)
        return [by_number[number] for number in numbers]

    def _list(self, kind: Kind, query: dict[str, str]) -> dict[str, Any]:
        limit, after = int(query.get("limit") or 10), int(query.get("after") or 0)
        if limit > LIST:
            raise Refused(400, f"limit must be at most {LIST}.")
        archived = query.get("archived", "").lower() == "true"
        order, held = self.portal.order[kind.name], self.portal.records[kind.name]
        candidates = (held[str(order[place])] for place in range(bisect_left(order, after), len(order)))
        found = (one for one in candidates if one.archived == archived and one.values and self.visible(one.created))
        rows = list(islice(found, limit + 1))
        answer: dict[str, Any] = {"results": [self._shown(record, _names(query)) for record in rows[:limit]]}
        if len(rows) > limit:
            answer["paging"] = {"next": {"after": rows[limit].id, "link": f"?after={rows[limit].id}"}}
        return answer

    def _search(self, kind: Kind, asked: dict[str, Any]) -> dict[str, Any]:
        page, total, after = search(self.portal, kind, asked, self.visible)
        rows = [self._shown(record, asked.get("properties") or [], values) for record, values in page]
        answer: dict[str, Any] = {"total": total, "results": rows}
        if after:
            answer["paging"] = {"next": {"after": after, "link": f"?after={after}"}}
        return answer

    # ------------------------------------------------------------------------------------------- batches

    def _batch(self, kind: Kind, action: str, asked: dict[str, Any], source: str) -> Answer:
        inputs: list[dict[str, Any]] = asked["inputs"]
        if len(inputs) > BATCH:
            raise Refused(400, f"The batch size is limited to {BATCH} inputs.")
        ids = [str(one["id"]) for one in inputs if "id" in one]
        if twice := sorted(id_ for id_, times in Counter(ids).items() if times > 1):
            raise Refused(400, f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique")
        if action == "read":
            return self._batch_read(kind, ids, asked)
        if action == "archive":
            for id_ in ids:
                self._one("DELETE", kind, id_, {}, {}, source)
            return 204, None
        if action not in {"create", "update", "upsert"}:
            raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
        return self._batch_write(kind, action, inputs, source)

    def _batch_read(self, kind: Kind, ids: list[str], asked: dict[str, Any]) -> Answer:
        found: list[Record] = []
        lost: list[str] = []
        for id_ in ids:
            try:
                found.append(self.portal.get(kind, id_, str(asked.get("idProperty") or "")))
            except Refused as refused:
                if refused.status != 404:
                    raise
                lost.append(id_)
        rows = [self._shown(record, asked.get("properties") or []) for record in found]
        return self._done(200, rows, [gone(lost, kind.singular.upper()).item("")] if lost else [])

    def _batch_write(self, kind: Kind, action: str, inputs: list[dict[str, Any]], source: str) -> Answer:
        """Write one input after the other; without trace ids one refusal refuses the whole batch."""
        rows: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        traced = any(one.get("objectWriteTraceId") for one in inputs)
        for one in [] if traced else inputs:
            name = str(one.get("idProperty") or "hs_object_id")
            held = None if action == "create" else self.portal.find(kind, name, str(one["id"]))
            self.portal.check(kind, _properties(one), held)
        for one in inputs:
            trace = str(one.get("objectWriteTraceId") or "")
            try:
                self._maybe_fail(inputs if traced else [])
                rows.append(self._written(kind, action, one, source) | ({"objectWriteTraceId": trace} if trace else {}))
            except Refused as refused:
                if not traced:
                    raise
                errors.append(refused.item(trace))
        return self._done(201 if action == "create" else 200, rows, errors)

    def _maybe_fail(self, inputs: list[dict[str, Any]]) -> None:
        """Refuse one item while its neighbours are accepted, where the fault says so."""
        if len(inputs) > 1 and self.injector.happens("batch_item_failure"):
            raise Refused(500, "internal error", "INTERNAL_ERROR")

    def _written(self, kind: Kind, action: str, one: dict[str, Any], source: str) -> dict[str, Any]:
        if action == "create":
            return self._shown(self._create(kind, one, source), [])
        name, id_, properties = str(one.get("idProperty") or "hs_object_id"), str(one["id"]), _properties(one)
        record = self.portal.find(kind, name, id_)
        if action == "update":
            record = self.portal.get(kind, id_, "" if name == "hs_object_id" else name)
            return self._shown(self.portal.update(record, properties, source), list(properties))
        if record is not None and not record.archived:
            return self._shown(self.portal.update(record, properties, source), []) | {"new": False}
        if name == "hs_object_id":
            raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
        return self._shown(self.portal.create(kind, {name: id_, **properties}, source), []) | {"new": True}

    def _done(self, status: int, rows: list[dict[str, Any]], errors: list[dict[str, Any]]) -> Answer:
        at = stamp(self.portal.clock())
        body: dict[str, Any] = {"status": "COMPLETE", "results": rows, "startedAt": at, "completedAt": at}
        if not errors:
            return status, body
        return 207, {**body, "numErrors": len(errors), "errors": errors}

    def _shown(self, record: Record, names: list[str], values: Values | None = None) -> dict[str, Any]:
        """Return a record with the asked properties, null where empty; all that are set when none are asked."""
        kind, held = record.kind, record.values if values is None else values
        always = (kind.created, kind.modified, "hs_object_id")
        known = self.portal.properties[kind.name]
        if names:
            chosen: Values = {name: held.get(name) for name in (*always, *names) if name in known}
        else:
            chosen = {name: held.get(name) for name in (*always, *kind.shown)}
        shown: dict[str, Any] = {
            "id": record.id,
            "properties": dict(sorted(chosen.items())),
            "createdAt": stamp(record.created),
            "updatedAt": held.get(kind.modified) or stamp(record.updated),
            "archived": record.archived,
        }
        if record.archived_at:
            shown["archivedAt"] = stamp(record.archived_at)
        return shown


def kind_of(name: str) -> Kind:
    """Return the object type by its name, singular or type id."""
    kind = model.BY_NAME.get(name)
    if kind is None:
        raise Refused(400, f"Unable to infer object type from: {name}")
    return kind


def _names(query: dict[str, str]) -> list[str]:
    return [name for name in query.get("properties", "").split(",") if name]


def _properties(asked: dict[str, Any]) -> dict[str, Any]:
    properties = asked.get("properties")
    if not isinstance(properties, dict):
        raise Refused(400, "Invalid input JSON: the field properties is missing.")
    return properties
