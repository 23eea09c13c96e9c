"""What a GraphQL reply means: three layers of errors, all of them inside status 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

GONE = {402: "the shop is frozen", 404: "there is no such shop", 423: "the shop is locked"}
"""What a status says of the whole shop, to reads and writes alike: the one address of GraphQL is no record of it."""
Verdict = Literal["ok", "throttled", "denied", "refused", "broken", "duplicate", "conflict", "later"]

_DUPLICATE = frozenset(("TAKEN", "ALREADY_EXISTS"))
_CONFLICT = frozenset(("STALE_OBJECT", "INVALID_COMPARE_DIGEST", "AMOUNT_EXCEEDS_BALANCE"))
_LATER = frozenset(("ORDER_IS_TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "OPERATION_IN_PROGRESS"))
_PAID_MEANWHILE = "cannot be marked as paid"


class Meaning(NamedTuple):
    """A verdict, the vendor's code (never its sentence, which may quote data) and seconds to wait."""

    verdict: Verdict
    code: str = ""
    wait: float | None = None
    done: bool = False
    """The mutation's own answer is there although something is wrong: it may have been applied."""


def meaning(body: Any) -> Meaning:  # noqa: ANN401 - a reply is any JSON
    """Return what *body* says."""
    if not isinstance(body, Mapping) or not ({"data", "errors"} & set(body)):
        return Meaning("broken", "no GraphQL reply")
    errors, data = body.get("errors"), body.get("data")
    if errors:
        return _top(errors, body, answered=isinstance(data, Mapping) and any(data.values()))
    for answer in data.values() if isinstance(data, Mapping) else ():
        if isinstance(answer, Mapping):
            refused = [*(answer.get("userErrors") or ()), *(answer.get("orderCancelUserErrors") or ())]
            if refused:
                return _user(refused)
    return Meaning("ok")


def _top(errors: Any, body: Mapping[str, Any], *, answered: bool) -> Meaning:  # noqa: ANN401 - text or a list
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else {}
    code = str((first.get("extensions") or {}).get("code") or "no code")
    if code == "THROTTLED":
        return Meaning("throttled", code, wait_seconds(body))
    if code == "ACCESS_DENIED":
        return Meaning("denied", code, done=answered)
    if code == "INTERNAL_SERVER_ERROR":
        return Meaning("broken", code, done=answered)
    return Meaning("refused", code, done=answered)


def wait_seconds(body: Mapping[str, Any]) -> float:
    """Return when the bucket holds enough points for the same request."""
    cost = (body.get("extensions") or {}).get("cost") or {}
    status = cost.get("throttleStatus") or {}
    missing = float(cost.get("requestedQueryCost") or 0) - float(status.get("currentlyAvailable") or 0)
    return max(0.1, missing / float(status.get("restoreRate") or 50))


def _user(refused: list[Any]) -> Meaning:
    first = refused[0]
    code, sentence = str(first.get("code") or ""), str(first.get("message") or "")
    place = ".".join(str(part) for part in first.get("field") or ())
    shown = code or place or "no code"
    if code in _DUPLICATE:
        return Meaning("duplicate", shown)
    if code in _CONFLICT or _PAID_MEANWHILE in sentence:
        return Meaning("conflict", shown)
    return Meaning("later" if code in _LATER else "refused", shown)
