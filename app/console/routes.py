"""Every route of the HTTP API as data: the server serves these, and the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from app.console.views import ConflictList, Link, Orders, OrderView, ParkedList, ParkedView, Problem, Told

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
    refusals: tuple[int, ...] = (401, 403, 503)
    """Statuses of problems; 403 where the key's role is too small, 503 while the read model is being made."""


_PAGE = (
    Query("after", "where the page before ended", {"type": "string", "default": ""}),
    Query("limit", "entries at most", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
)
_ONE = (401, 403, 404, 409, 503)
_ID = Query("id", "any id: order key, number, a system's id, tracking number, command", {"type": "string"}, True)  # noqa: FBT003 - required
ROUTES = (
    Route(
        method="GET",
        path="/api/orders",
        name="findOrders",
        summary="The orders that an id leads to",
        role="viewer",
        reply=Orders,
        query=(_ID,),
        refusals=(400, 401, 403, 503),
    ),
    Route(
        method="GET",
        path="/api/orders/{key}",
        name="getOrder",
        summary="All that is known about one order",
        role="viewer",
        reply=OrderView,
        refusals=(401, 403, 404, 503),
    ),
    Route(
        method="POST",
        path="/api/orders/{key}/sync",
        name="syncOrder",
        summary="Read every object of an order again and plan it again",
        role="operator",
        reply=Told,
        refusals=(401, 403, 404, 503),
    ),
    Route(
        method="GET",
        path="/api/conflicts",
        name="listConflicts",
        summary="Values that lost against another one",
        role="viewer",
        reply=ConflictList,
        query=_PAGE,
        refusals=(400, 401, 403, 503),
    ),
    Route(
        method="POST",
        path="/api/orders/{key}/conflicts/{field}/revert",
        name="revertConflict",
        summary="Give the newest lost value of a field back",
        role="admin",
        reply=Told,
        refusals=_ONE,
    ),
    Route(
        method="GET",
        path="/api/parked",
        name="listParked",
        summary="Objects that no order was found for",
        role="viewer",
        reply=ParkedList,
        query=_PAGE,
        refusals=(400, 401, 403, 503),
    ),
    Route(
        method="GET",
        path="/api/parked/{id}",
        name="getParked",
        summary="One parked object with the orders it may belong to",
        role="viewer",
        reply=ParkedView,
        refusals=_ONE,
    ),
    Route(
        method="POST",
        path="/api/parked/{id}/link",
        name="linkParked",
        summary="Say to which order a parked object belongs",
        role="operator",
        reply=Told,
        body=Link,
        refusals=(400, *_ONE),
    ),
    Route(
        method="POST",
        path="/api/parked/{id}/release",
        name="releaseParked",
        summary="Read a parked object again and look for its order",
        role="operator",
        reply=Told,
        refusals=_ONE,
    ),
    Route(
        method="POST",
        path="/api/parked/{id}/dismiss",
        name="dismissParked",
        summary="Say that a parked object is nobody's",
        role="operator",
        reply=Told,
        refusals=_ONE,
    ),
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
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
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
