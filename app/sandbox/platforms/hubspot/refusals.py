"""How HubSpot says no: one body for all errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID


class Refused(Exception):
    """A call that HubSpot refuses, with everything its body says."""

    def __init__(
        self,
        status: int,
        message: str,
        category: str = "VALIDATION_ERROR",
        *,
        errors: list[dict[str, Any]] | None = None,
        context: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.category = status, message, category
        self.errors, self.context = errors or [], context or {}

    def body(self, number: int) -> dict[str, Any]:
        """Return the body of a whole refused call."""
        body: dict[str, Any] = {
            "status": "error",
            "message": self.message,
            "correlationId": str(UUID(int=number)),
            "category": self.category,
        }
        if self.errors:
            body["errors"] = self.errors
        if self.context:
            body["context"] = self.context
        return body

    def item(self, trace: str) -> dict[str, Any]:
        """Return the entry of one refused input in a 207 answer."""
        context = {**self.context, **({"objectWriteTraceId": [trace]} if trace else {})}
        return {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
            "errors": self.errors,
            "links": {},
        }


def invalid(name: str, code: str, message: str) -> Refused:
    """Return the refusal of one property value, in the form the portal uses for them."""
    listed = f'[{{"isValid":false,"message":"{message}","error":"{code}","name":"{name}","localizedErrorMessage":""}}]'
    detail = {"message": message, "code": code, "context": {"propertyName": [name]}}
    return Refused(400, f"Property values were not valid: {listed}", errors=[detail])


def missing(kind: str, id_: str) -> Refused:
    """Return the refusal of an id that is not there."""
    del kind
    return Refused(404, "resource not found", "OBJECT_NOT_FOUND", context={"id": [id_]})


def gone(ids: Iterable[str], what: str) -> Refused:
    """Return the refusal that a batch read lists for ids that are not there."""
    message = f"Could not get some {what} objects, they may be deleted or not exist. Check that ids are valid."
    return Refused(404, message, "OBJECT_NOT_FOUND", context={"ids": list(ids)})
