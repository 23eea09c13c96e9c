"""The records inside a reply, and what a reply means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from app.core.errors import AuthError, DecodeError, RateLimited
from app.core.status import from_status, retry_after
from app.core.talk import Response
from schemas.platforms.quickbooks_online import translate, wire
from schemas.platforms.quickbooks_online.faults import read_fault

_PAUSE = 60.0


def was_applied(entity: str, record: wire.Form) -> bool:
    """Tell whether a credit was used at least in part."""
    left = record.remaining_credit if record.remaining_credit is not None else record.balance
    return entity == "CreditMemo" and left is not None and left < record.total_amt


def is_deleted(row: Mapping[str, Any]) -> bool:
    """Tell whether change data capture says that the record was deleted."""
    return row.get("status") == "Deleted"


def is_fresh(row: Mapping[str, Any], hinted_at: datetime | None) -> bool:
    """Tell whether a listed record is as new as the webhook that speaks of it."""
    shown = moment((row.get("MetaData") or {}).get("LastUpdatedTime"))
    return hinted_at is not None and shown is not None and shown >= hinted_at.replace(microsecond=0)


def moment(text: Any) -> datetime | None:  # noqa: ANN401 - any JSON value
    """Return a time, None for anything but a text."""
    try:
        return translate.moment(text) if isinstance(text, str) else None
    except ValueError as error:
        raise DecodeError("QuickBooks: a time does not have the documented shape.") from error


def convert(entity: str, row: Mapping[str, Any]) -> wire.Record:
    """Return a record as wire model; DecodeError when it does not fit."""
    try:
        return wire.record_of(entity, row)
    except msgspec.ValidationError as error:
        raise DecodeError(f"QuickBooks: a {entity} does not have the documented shape.") from error


def records(body: Any, entity: str) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - any JSON value
    """Yield the records inside any reply; a bare record is an *entity*."""
    if isinstance(body, list):
        for part in body:
            yield from records(part, entity)
    elif isinstance(body, dict):
        if "Id" in body:
            if entity:
                yield _told_apart(entity, body), body
            return
        for name in ("QueryResponse", "CDCResponse", "BatchItemResponse"):
            yield from records(body.get(name), entity)
        for name in wire.KINDS:
            yield from records(body.get(name), name)


def _told_apart(entity: str, row: Mapping[str, Any]) -> str:
    """Name a bare record: a form that names a bank account is a refund or a receipt, not a credit or an invoice."""
    if "DepositToAccountRef" not in row:
        return entity
    return {"CreditMemo": "RefundReceipt", "Invoice": "SalesReceipt"}.get(entity, entity)


def success(reply: Response) -> dict[str, Any]:
    """Return the body of a reply; raise the error that it means."""
    fault = read_fault(reply.body)
    if fault.code == "3001":
        raise RateLimited("QuickBooks: the request limit is reached (3001).", retry_after(reply) or _PAUSE)
    if fault.code in {"120", "3100", "3200", "6190"}:
        raise AuthError(f"QuickBooks refuses this company's connection (code {fault.code}).")
    error = from_status("QuickBooks", reply, mutating=False, detail=f"code {fault.code}" if fault.code else "")
    if error is not None:
        raise error
    body = reply.json()
    if not isinstance(body, dict):
        raise DecodeError("QuickBooks answered something that is no object.")
    return body
