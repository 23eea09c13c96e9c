"""Associations v4: the default association between two records, lists and batches."""

from __future__ import annotations

from typing import Any

from app.sandbox.platforms.hubspot.model import Kind
from app.sandbox.platforms.hubspot.objects import Answer, kind_of
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.records import Record
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp


class Associations:
    """Answers /crm/v4/..."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal

    def one(self, method: str, parts: list[str], asked: Any, source: str) -> Answer:  # noqa: ANN401 - any JSON
        """Answer /crm/v4/objects/{type}/{id}/associations/..."""
        match method, parts:
            case "PUT", [one, id_, "associations", "default", two, other]:
                pair = self._pair(kind_of(one), id_, kind_of(two), other)
                self.portal.link(*pair, source)
                return 200, self._done(self._default(*pair))
            case "PUT", [one, id_, "associations", two, other]:
                pair = self._pair(kind_of(one), id_, kind_of(two), other)
                if not isinstance(asked, list) or not asked:
                    raise Refused(400, "Invalid input JSON: association types are missing.")
                self.portal.link(*pair, source)
                return 201, self._labels(*pair)
            case "DELETE", [one, id_, "associations", two, other]:
                self.portal.link(*self._pair(kind_of(one), id_, kind_of(two), other), source, removed=True)
                return 204, None
            case "GET", [one, id_, "associations", two]:
                record = self.portal.get(kind_of(one), id_)
                return 200, {"results": self._rows(record, kind_of(two))}
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def batch(self, parts: list[str], asked: dict[str, Any], source: str) -> Answer:
        """Answer /crm/v4/associations/{from}/{to}/batch/..."""
        one, two = kind_of(parts[0]), kind_of(parts[1])
        match parts[2:]:
            case ["batch", "read"]:
                return self._read(one, two, asked)
            case ["batch", "associate", "default"]:
                pairs = [self._pair(one, str(row["from"]["id"]), two, str(row["to"]["id"])) for row in asked["inputs"]]
                for pair in pairs:
                    self.portal.link(*pair, source)
                return 200, self._done([entry for pair in pairs for entry in self._default(*pair)])
            case ["batch", "create"]:
                pairs = [self._pair(one, str(row["from"]["id"]), two, str(row["to"]["id"])) for row in asked["inputs"]]
                for pair in pairs:
                    self.portal.link(*pair, source)
                return 201, self._done([self._labels(*pair) for pair in pairs])
            case ["batch", "archive"]:
                for row in asked["inputs"]:
                    for to in row["to"]:
                        pair = self._pair(one, str(row["from"]["id"]), two, str(to["id"]))
                        self.portal.link(*pair, source, removed=True)
                return 204, None
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def _read(self, one: Kind, two: Kind, asked: dict[str, Any]) -> Answer:
        rows: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for given in asked["inputs"]:
            id_ = str(given["id"])
            record = self.portal.records[one.name].get(id_)
            found = self._rows(record, two) if record and not record.archived else []
            if found:
                rows.append({"from": {"id": id_}, "to": found})
            else:
                message = f"No {two.singular} is associated with {one.singular} {id_}."
                refused = Refused(404, message, "OBJECT_NOT_FOUND", context={"fromObjectId": [id_]})
                errors.append(refused.item(""))
        body = self._done(rows)
        return (207, {**body, "numErrors": len(errors), "errors": errors}) if errors else (200, body)

    def _pair(self, one: Kind, id_: str, two: Kind, other: str) -> tuple[Record, Record]:
        return self.portal.get(one, id_), self.portal.get(two, other)

    def _rows(self, record: Record, kind: Kind) -> list[dict[str, Any]]:
        type_ = {"category": "HUBSPOT_DEFINED", "typeId": self.portal.type_of(record.kind, kind), "label": None}
        return [{"toObjectId": id_, "associationTypes": [type_]} for id_ in self.portal.linked(record, kind)]

    def _default(self, one: Record, two: Record) -> list[dict[str, Any]]:
        return [
            {
                "from": {"id": left.id},
                "to": {"id": right.id},
                "associationSpec": {
                    "associationCategory": "HUBSPOT_DEFINED",
                    "associationTypeId": self.portal.type_of(left.kind, right.kind),
                },
            }
            for left, right in ((one, two), (two, one))
        ]

    def _labels(self, one: Record, two: Record) -> dict[str, Any]:
        return {
            "fromObjectTypeId": one.kind.type_id,
            "fromObjectId": one.id,
            "toObjectTypeId": two.kind.type_id,
            "toObjectId": two.id,
            "labels": [],
        }

    def _done(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        at = stamp(self.portal.clock())
        return {"status": "COMPLETE", "results": rows, "startedAt": at, "completedAt": at}
