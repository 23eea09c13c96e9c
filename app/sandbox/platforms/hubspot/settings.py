"""Properties and pipelines of a portal, and the webhook settings of its app."""

from __future__ import annotations

from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.objects import Answer, kind_of
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp


class Settings:
    """Answers /crm/v3/properties, /crm/v3/pipelines and /webhooks/v3."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.target: dict[str, Any] | None = None

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

    def webhooks(self, method: str, parts: list[str], asked: dict[str, Any]) -> Answer:
        """Answer /webhooks/v3/{app}/settings and .../subscriptions."""
        at = stamp(self.portal.clock())
        match method, parts[1:]:
            case "PUT", ["settings"]:
                if int(asked["throttling"]["maxConcurrentRequests"]) <= 5:
                    raise Refused(400, "maxConcurrentRequests must be greater than 5.")
                throttling = {"maxConcurrentRequests": asked["throttling"]["maxConcurrentRequests"]}
                self.target = {"targetUrl": asked["targetUrl"], "throttling": throttling, "createdAt": at}
                return 200, self.target
            case "GET", ["settings"] if self.target:
                return 200, self.target
            case "POST", ["subscriptions"]:
                id_ = str(6_500_000 + len(self.subscriptions))
                row = {"id": id_, "active": False, "createdAt": at, **asked}
                self.subscriptions[id_] = row
                return 201, row
            case "GET", ["subscriptions"]:
                return 200, {"results": list(self.subscriptions.values())}
            case "PATCH", ["subscriptions", id_] if id_ in self.subscriptions:
                self.subscriptions[id_].update(active=bool(asked["active"]), updatedAt=at)
                return 200, self.subscriptions[id_]
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
