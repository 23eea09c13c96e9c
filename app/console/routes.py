"""Every route of the HTTP API as data: the server serves these, and the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from app.console.views import (
    About,
    ConflictList,
    ConnectionList,
    ConnectionView,
    FlowList,
    Into,
    Link,
    Orders,
    OrderView,
    ParkedList,
    ParkedView,
    Problem,
    Told,
)

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""What each may do includes what those before it may."""
DOCUMENT = "/api/openapi.json"


class Query(msgspec.Struct, frozen=True):
    """One query parameter."""

    name: str
    what: str
    schema: dict[str, Any]
    required: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked or told."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    role: Role
    reply: type[msgspec.Struct]
    body: type[msgspec.Struct] | None = None
    query: tuple[Query, ...] = ()

    @property
    def parts(self) -> list[str]:
        """Return the names of the path's variable parts."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def refusals(self) -> list[int]:
        """Return the statuses of problems; 403 where the key's role is too small, 503 while the model is being made."""
        wrong = [400] if self.query or self.body else []
        unknown = [404] if self.parts else []
        several = [409] if self.parts and (self.method == "POST" or "id" in self.parts) else []
        return [*wrong, 401, 403, *unknown, *several, 503]


def _asked(path: str, name: str, summary: str, reply: type[msgspec.Struct], query: tuple[Query, ...] = ()) -> Route:
    return Route(method="GET", path=path, name=name, summary=summary, role="viewer", reply=reply, query=query)


def _told(path: str, name: str, summary: str, role: Role, body: type[msgspec.Struct] | None = None) -> Route:
    return Route(method="POST", path=path, name=name, summary=summary, role=role, reply=Told, body=body)


_PAGE = (
    Query("after", "where the page before ended", {"type": "string", "default": ""}),
    Query("limit", "entries at most", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
)
_ID = Query(
    "id", "any id: order key, number, a system's id, tracking number, command", {"type": "string"}, required=True
)
_ORDER, _PARKED, _CONNECTION = "/api/orders/{key}", "/api/parked/{id}", "/api/connections/{name}"
ROUTES = (
    _asked("/api/orders", "findOrders", "The orders that an id leads to", Orders, (_ID,)),
    _asked(_ORDER, "getOrder", "All that is known about one order", OrderView),
    _told(f"{_ORDER}/sync", "syncOrder", "Read every object of an order again and plan it again", "operator"),
    _told(f"{_ORDER}/retry", "retryOrder", "Plan refused writes afresh, one or all of an order", "operator", About),
    _told(f"{_ORDER}/resume", "resumeOrder", "Plan again after orders with documents became one", "admin"),
    _told(f"{_ORDER}/recreate", "recreateDocument", "Make a document that ended once more", "admin", About),
    _told(f"{_ORDER}/merge", "mergeOrder", "Say that an order and another one are one", "admin", Into),
    _told(f"{_ORDER}/conflicts/{{field}}/revert", "revertConflict", "Give the newest lost value back", "admin"),
    _asked("/api/conflicts", "listConflicts", "Values that lost against another one", ConflictList, _PAGE),
    _asked("/api/parked", "listParked", "Objects that no order was found for", ParkedList, _PAGE),
    _asked(_PARKED, "getParked", "One parked object with the orders it may belong to", ParkedView),
    _told(f"{_PARKED}/link", "linkParked", "Say to which order a parked object belongs", "operator", Link),
    _told(f"{_PARKED}/release", "releaseParked", "Read it again and look for its order", "operator"),
    _told(f"{_PARKED}/dismiss", "dismissParked", "Say that it is nobody's", "operator"),
    _asked("/api/connections", "listConnections", "How every connection stands", ConnectionList),
    _asked(_CONNECTION, "getConnection", "How one connection stands", ConnectionView),
    _told(f"{_CONNECTION}/pause", "pauseConnection", "Write nothing to it; what is to be written waits", "operator"),
    _told(f"{_CONNECTION}/resume", "resumeConnection", "Write what waited, and go on", "operator"),
    _asked("/api/flows", "listFlows", "What every flow may do", FlowList),
    _told("/api/flows/{name}/stop", "stopFlow", "Let a flow write nothing more, at once", "operator"),
)
_MEANINGS = {
    "400": "A parameter or the body is wrong",
    "401": "No API key, or an unknown one",
    "403": "The role of the key does not reach that far",
    "404": "There is nothing like it in the key's tenant",
    "409": "Several are meant, or it is not as you saw it any more",
    "503": "The console is still reading, or Kafka does not acknowledge; try again later",
}


def openapi() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the API."""
    models = [Problem, *(route.reply for route in ROUTES), *(route.body for route in ROUTES if route.body)]
    _, components = msgspec.json.schema_components(
        list(dict.fromkeys(models)), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "o2c console",
            "version": "1.0.0",
            "description": "Where every order stands and why, what waits for a person, and what a person may say. An "
            "API key belongs to one tenant and sees nothing of another; its role is viewer, operator or admin.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {
                status: {"description": meaning, "content": _json(Problem)} for status, meaning in _MEANINGS.items()
            },
        },
    }
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return found


def _json(model: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parts
    ]
    parameters += [
        {"name": one.name, "in": "query", "required": one.required, "description": one.what, "schema": one.schema}
        for one in route.query
    ]
    status, meaning = ("200", "Done") if route.method == "GET" else ("202", "Told to the workers; they obey in seconds")
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs the role {route.role}.",
        "parameters": parameters,
        "responses": {
            status: {"description": meaning, "content": _json(route.reply)},
            **{str(code): {"$ref": f"#/components/responses/{code}"} for code in route.refusals},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
    return operation
