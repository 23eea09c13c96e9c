"""Properties and pipelines of a portal."""

from __future__ import annotations

from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.objects import Answer, kind_of
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp


class Settings:
    """Answers /crm/v3/properties and /crm/v3/pipelines."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal

    def properties(self, method: str, parts: list[str], asked: dict[str, Any]) -> Answer:
        """Answer /crm/v3/properties/{type}[/{name}]."""
        kind = kind_of(parts[0])
        known = self.portal.properties[kind.name]
        match method, parts[1:]:
            case "GET", []:
                return 200, {"results": [definition.shown() for definition in known.values()]}
            case "POST", []:
                return 201, self._define(kind, asked).shown()
            case "GET", [name] if name in known:
                return 200, known[name].shown()
            case "DELETE", [name] if name in known and known[name].own:
                del known[name]
                return 204, None
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def _define(self, kind: model.Kind, asked: dict[str, Any]) -> model.Property:
        known, name = self.portal.properties[kind.name], str(asked["name"])
        if name in known:
            message = f"A property named '{name}' already exists."
            raise Refused(409, message, "OBJECT_ALREADY_EXISTS", context={"name": [name]})
        if asked["groupName"] != kind.group:
            raise Refused(400, f"Property group {asked['groupName']} does not exist.")
        known[name] = model.Property(
            name,
            str(asked["type"]),
            str(asked["label"]),
            str(asked["fieldType"]),
            kind.group,
            unique=bool(asked.get("hasUniqueValue")),
            own=True,
            created=stamp(self.portal.clock()),
        )
        return known[name]

    def pipelines(self, method: str, parts: list[str], asked: dict[str, Any]) -> Answer:
        """Answer /crm/v3/pipelines/{type}[/{id}[/stages]]."""
        held = self.portal.pipelines.get(kind_of(parts[0]).name, [])
        if method == "GET" and len(parts) == 1:
            return 200, {"results": [pipeline.shown() for pipeline in held]}
        pipeline = next((one for one in held if one.id == parts[1]), None)
        match method, parts[2:]:
            case "GET", [] if pipeline:
                return 200, pipeline.shown()
            case "GET", ["stages"] if pipeline:
                return 200, {"results": pipeline.shown()["stages"]}
            case "POST", ["stages"] if pipeline:
                id_ = str(10_000_000 + sum(len(one.stages) for one in held))
                pipeline.stages.append(model.Stage(id_, str(asked["label"]), dict(asked["metadata"])))
                return 201, pipeline.shown()["stages"][-1]
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
