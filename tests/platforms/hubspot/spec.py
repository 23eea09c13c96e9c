"""HubSpot's own OpenAPI files as a judge of requests and replies."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

FILES = (
    "crm-deals-v3",
    "crm-orders-v3",
    "crm-deals-2026-09",
    "crm-orders-2026-09",
    "crm-contacts-v3",
    "crm-companies-v3",
    "crm-line-items-v3",
    "crm-notes-v3",
    "crm-invoices-v3",
    "crm-commerce-payments-v3",
    "crm-associations-v4",
    "crm-pipelines-v3",
    "crm-properties-v3",
    "oauth-v1",
    "oauth-v3",
    "webhooks-v3",
    "webhooks-2026-09",
    "webhooks-journal-2026-03",
)
UNLISTED = ("/account-info/",)
"""Documented by the vendor, but in none of the files."""

MULTI, DATED = 207, "/crm/objects/2026-09/"


@dataclass(frozen=True)
class Operation:
    """One operation of one file."""

    document: dict[str, Any]
    pattern: re.Pattern[str]
    method: str
    spec: dict[str, Any]


class Spec:
    """Every operation that we or the sandbox may speak."""

    def __init__(self, folder: Path) -> None:
        self.operations = [
            one for name in FILES for one in _operations(json.loads((folder / f"{name}.json").read_text()))
        ]

    def find(self, method: str, path: str) -> Operation:
        """Return the operation of a call; the deals file calls the type by its id."""
        path = path.partition("?")[0].replace("/crm/v3/objects/deals", "/crm/v3/objects/0-3")
        found = [one for one in self.operations if one.method == method.lower() and one.pattern.fullmatch(path)]
        assert found, f"{method} {path} is in no file"
        return found[0]

    def check_request(self, method: str, path: str, body: bytes, params: dict[str, str]) -> None:
        """Fail when the file does not allow this call."""
        if path.startswith(UNLISTED):
            return
        operation = self.find(method, path)
        known = {one["name"] for one in operation.spec.get("parameters", [])}
        assert set(params) <= known, f"{method} {path} has no parameter {set(params) - known}"
        content = operation.spec.get("requestBody", {}).get("content", {})
        if content:
            _validate(operation.document, content["application/json"]["schema"], json.loads(body))
        else:
            assert not body

    def check_reply(self, method: str, path: str, status: int, body: bytes) -> None:
        """Fail when the file does not promise this reply; statuses it does not list are errors."""
        if path.startswith(UNLISTED):
            return
        operation = self.find(method, path)
        if status == MULTI and path.startswith(DATED):
            # The dated files leave partial failures out, and promise the bodies of the numbered ones.
            operation = self.find(method, path.replace(DATED, "/crm/v3/objects/"))
        listed = operation.spec["responses"].get(str(status)) or _untold(operation, path, status)
        if listed is None:
            assert status >= 400, f"{method} {path} may not answer {status}"
            listed = operation.document["components"]["responses"]["Error"]
        if not listed.get("content"):
            assert not body
            return
        _validate(operation.document, next(iter(listed["content"].values()))["schema"], json.loads(body))


def _untold(operation: Operation, path: str, status: int) -> dict[str, Any] | None:
    """Return what a single entry of the journal answers: the file promises errors alone, the guide these two.

    https://developers.hubspot.com/docs/api-reference/latest/webhooks-journal/journal-entries/guide
    """
    if not path.startswith("/webhooks-journal/journal") or "/batch/" in path:
        return None
    entry = {"schema": operation.document["components"]["schemas"]["JournalFetchResponse"]}
    return {200: {"content": {"application/json": entry}}, 204: {"description": "nothing new"}}.get(status)


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    _allow_null(document)
    _all_objects(document)
    paths = sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
    for template, methods in paths:
        pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template))
        for method, spec in methods.items():
            if method in {"get", "put", "post", "patch", "delete"}:
                yield Operation(document, pattern, method, spec)


def _allow_null(document: dict[str, Any]) -> None:
    """Let property values and labels be null, as every recorded reply shows them where the files forget it."""
    for schema in document["components"]["schemas"].values():
        held = schema.get("properties", {})
        values = held.get("properties", {}).get("additionalProperties")
        if isinstance(values, dict):
            values["nullable"] = True
        if "label" in held:
            held["label"]["nullable"] = True


def _all_objects(document: dict[str, Any]) -> None:
    """Let a subscription of the journal leave out the objects that it narrows itself to, as the guide does."""
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("SubscriptionUpsertRequest") and "objectIds" in schema.get("required", ()):
            schema["required"].remove("objectIds")


def _validate(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**copy.deepcopy(schema), "components": document["components"]}
    errors = [
        f"{'/'.join(map(str, error.path))}: {error.message}" for error in OAS30Validator(whole).iter_errors(value)
    ]
    assert not errors, errors
