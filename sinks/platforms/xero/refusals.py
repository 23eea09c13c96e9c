"""What Xero's refusals mean: its texts are the only discriminator, and they are never quoted with names in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.core.errors import (
    AuthError,
    ConflictError,
    DecodeError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.status import from_status, retry_after
from app.core.talk import Response

_CLIENT, _TOO_MANY = 400, 429
_LISTS = ("Invoices", "Payments", "CreditNotes", "Contacts", "Allocations", "BankTransactions", "Elements")
_PRIVATE = re.compile(r"\S+@\S+|contact name .* is already")
_LONGEST = 160
_EXCEEDS = "exceeds the amount outstanding"
_MEANINGS: tuple[tuple[str, type[O2CError], str], ...] = (
    ("invoice # must be unique", DuplicateError, "the invoice number is taken"),
    ("already assigned to another contact", DuplicateError, "the contact's name or number is taken"),
    ("already been deleted", ConflictError, "it was removed before"),
    ("not of valid status", ConflictError, "its status does not allow this change"),
    ("has a payment or credit note allocated", ConflictError, "it has a payment or a credit on it"),
    ("has been archived", ConflictError, "the contact was archived or merged"),
    ("lock date", RejectedError, "the period is closed"),
    ("not subscribed to currency", RejectedError, "the organisation has not enabled the currency"),
    (_EXCEEDS, RejectedError, "the amount exceeds what is open"),
    ("account code", RejectedError, "an account code is not valid (accounts.* of the connection)"),
    ("taxtype", RejectedError, "a tax code is not valid (taxes.* of the connection)"),
    ("reconciled", RejectedError, "it is reconciled with the bank; a person has to undo that"),
)


def classify(response: Response, *, mutating: bool) -> O2CError | None:
    """Return the error of a reply; a 200 with one refused element is one as well, a mixed batch is not."""
    body = _json(response)
    if response.status == _TOO_MANY:
        window = response.headers.get("x-rate-limit-problem", "")
        return RateLimited(f"Xero answered 429 ({window or 'no window named'}).", retry_after(response))
    if response.status >= _CLIENT:
        return _refused(response, body, mutating=mutating)
    if body is None and response.body.strip():
        message = f"Xero answered {response.status} with something that is no JSON."
        return UncertainError(message) if mutating else RetryableError(message)
    rows = _rows(body)
    return element_error(rows[0]) if len(rows) == 1 else None


def _refused(response: Response, body: Mapping[str, Any] | None, *, mutating: bool) -> O2CError | None:
    if body is not None and body.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client"):
        return AuthError(f"Xero's token endpoint answered {body['error']}.")
    for row in _rows(body):
        if (error := element_error(row)) is not None:
            return error
    kind = str((body or {}).get("Type") or "")
    return from_status("Xero", response, mutating=mutating, detail=kind if kind.isalnum() else "")


def element_error(row: Mapping[str, Any]) -> O2CError | None:
    """Return the error of one element of a batch; warnings are none."""
    texts = [str(error.get("Message", "")) for error in row.get("ValidationErrors") or () if isinstance(error, dict)]
    if not texts and row.get("StatusAttributeString") != "ERROR":
        return None
    return meaning(texts)


def meaning(texts: Iterable[str]) -> O2CError:
    """Return the error that validation texts stand for."""
    joined = "; ".join(texts)
    shown = "" if _PRIVATE.search(joined) else joined[:_LONGEST].rstrip(".")
    for part, kind, words in _MEANINGS:
        if part in joined.lower():
            return kind(f"Xero refuses it: {words}{f' ({shown})' if shown else ''}.")
    return RejectedError(f"Xero refuses it: {shown or 'it gives no reason that may be shown'}.")


def is_too_much(error: O2CError) -> bool:
    """Tell whether a payment was refused because less is open on its invoice."""
    return "exceeds what is open" in str(error)


def _rows(body: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    found: list[Any] = next((body[name] for name in _LISTS if body and isinstance(body.get(name), list)), [])
    return [row for row in found if isinstance(row, dict)]


def _json(response: Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except DecodeError:
        return None
    return body if isinstance(body, dict) else None
