"""What was sent: one row per mutating request, written before the request leaves. Pure; the loop makes rows durable."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Literal
from uuid import UUID, uuid5

import msgspec

from app.core.talk import Request, Response

_NAMESPACE = UUID("1d0c0b8e-52a4-5c9d-8c64-6a2f6d0f9b42")
State = Literal["intent", "uncertain", "confirmed", "not_done"]


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One mutating request of one write."""

    command: str
    step: str
    epoch: int
    attempt: int = 0
    state: State = "intent"
    method: str = ""
    path: str = ""
    body: str = ""
    """The exact bytes, base64: the same bytes are sent again under the same key."""
    at: float = 0.0
    """When it was last sent, seconds of the epoch."""
    status: int = 0
    reply: str = ""
    """The reply's body, base64: a talk that is run again is answered from here."""


def row_key(command: str, step: str) -> str:
    """Return the key of a row below its connection."""
    return f"{command}/{step}"


def idempotency_key(command: str, step: str, attempt: int) -> str:
    """Return the key sent with a request; a refused intent (`not_done`) makes the next attempt use another one."""
    return uuid5(_NAMESPACE, f"{command}|{step}|{attempt}").hex


def intent(command: str, request: Request, epoch: int, now: float, before: Row | None) -> Row:
    """Return the row that must be durable before *request* leaves."""
    attempt = 0 if before is None else before.attempt + (before.state == "not_done")
    body, _ = request.content()
    return Row(
        command=command,
        step=request.step,
        epoch=epoch,
        attempt=attempt,
        method=request.method,
        path=request.path,
        body=base64.b64encode(body).decode(),
        at=now,
    )


def confirmed(row: Row, response: Response) -> Row:
    """Return the row of a request that was answered with success."""
    reply = base64.b64encode(response.body).decode()
    return msgspec.structs.replace(row, state="confirmed", status=response.status, reply=reply, body="")


def remembered(row: Row) -> Response:
    """Return the reply of a confirmed request."""
    return Response(status=row.status, body=base64.b64decode(row.reply))


def unresolved(rows: Mapping[str, Row], command: str) -> list[Row]:
    """Return the rows of *command* about which nobody knows whether they took effect: sent, and no answer."""
    return [row for row in rows.values() if row.command == command and row.state in {"intent", "uncertain"}]
