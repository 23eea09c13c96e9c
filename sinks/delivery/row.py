"""What was sent: one row per mutating request, written before the request leaves. Pure; the loop makes rows durable."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable
from typing import Literal
from uuid import UUID, uuid5

import msgspec

from app.core.talk import Request, Response
from app.core.topics import LARGEST_ROW
from schemas.commands import Command

_NAMESPACE = UUID("1d0c0b8e-52a4-5c9d-8c64-6a2f6d0f9b42")
_OPEN = frozenset(("intent", "uncertain"))
KEPT_SECONDS = 30 * 24 * 3600.0
"""How long a write that has its result is remembered: over four times as long as the topic of commands keeps any."""
_MARGIN = 24 * 3600.0
"""Seconds before its write may be forgotten from which on a command asks first: clocks differ."""
MEMBER = "batch"
"""The step of the row that says what a batch did for one of its members."""
_MOST = LARGEST_ROW - 64 * 1024
"""Characters of a row's body and reply: what is left of the largest record for names, members and headers."""
State = Literal["intent", "uncertain", "confirmed", "not_done", "settled"]


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One mutating request of one write, or of a batch of writes."""

    command: str
    step: str
    epoch: int
    attempt: int = 0
    state: State = "intent"
    """"settled": no answer came, and asking the platform told what became of it."""
    method: str = ""
    path: str = ""
    body: str = ""
    """The exact bytes, base64: the same bytes are sent again under the same key."""
    content_type: str = ""
    at: float = 0.0
    """When it was last sent, seconds of the epoch."""
    status: int = 0
    reply: str = ""
    """The reply's body, base64: a talk that is run again is answered from here."""
    lock: str = ""
    """The natural key of a find-or-create: while the row is open, nobody else may create that thing."""
    members: tuple[str, ...] = ()
    """The commands of a batch; each of them is settled by itself."""
    look: int = 0
    """Number of the look that the reply was, within `epoch`; 0 = not numbered."""
    stamp: int = 0
    """Number of the result that tells it, within `epoch`: told again it is no newer, whatever was written meanwhile."""
    digest: str = ""
    """Of what was asked for, kept when the bytes are not: whoever is answered from here may have asked for more."""

    @property
    def is_open(self) -> bool:
        """Tell whether nobody knows what became of the request."""
        return self.state in _OPEN


def may_have_done(row: Row) -> bool:
    """Tell whether the request of *row* may have taken effect, for all that its row says."""
    return row.state not in {"not_done", "settled"}


def too_large(row: Row) -> bool:
    """Tell whether no record of the journal can hold *row*."""
    return len(row.body) + len(row.reply) > _MOST


def row_key(command: str, step: str) -> str:
    """Return the key of a row below its connection."""
    return f"{command}/{step}"


def idempotency_key(command: str, step: str, attempt: int) -> str:
    """Return the key sent with a request; a refused intent (`not_done`) makes the next attempt use another one."""
    return uuid5(_NAMESPACE, f"{command}|{step}|{attempt}").hex


def batch_id(commands: Iterable[str]) -> str:
    """Return the id under which a batch of commands is journalled: the same members, the same id."""
    return uuid5(_NAMESPACE, "batch|" + "|".join(commands)).hex


def doubted(command: Command, sent_at: float, now: float) -> Command:
    """Return *command* so that it asks first, where it may be older than what the journal remembers."""
    told = math.inf if command.told_at is None else command.told_at.timestamp()
    late = min(sent_at, told) < now - KEPT_SECONDS + _MARGIN
    return msgspec.structs.replace(command, presence="unknown") if late and command.presence == "absent" else command


def intent(
    command: str, request: Request, epoch: int, now: float, before: Row | None, members: tuple[str, ...] = ()
) -> Row:
    """Return the row that must be durable before *request* leaves.

    A row about which nobody knows keeps its attempt and its bytes: the same request goes out again.
    """
    if before is not None and before.state in {"intent", "uncertain", "settled"} and before.method:
        return msgspec.structs.replace(before, state="intent", epoch=epoch, at=now)
    body, content_type = request.content()
    return Row(
        command=command,
        step=request.step,
        epoch=epoch,
        attempt=0 if before is None else before.attempt + 1,
        method=request.method,
        path=request.path,
        body=base64.b64encode(body).decode(),
        content_type=content_type,
        at=now,
        lock=request.lock,
        members=members,
    )


def same_bytes(row: Row, request: Request) -> tuple[Request, bool]:
    """Return the request that *row* holds, and whether *request* as built now is still the same."""
    body, content_type = request.content()
    stored = base64.b64decode(row.body)
    if (row.method, row.path, stored) == (request.method, request.path, body):
        return request, True
    headers = dict(request.headers)
    if found := row.content_type or content_type:
        headers.setdefault("Content-Type", found)
    changed = msgspec.structs.replace(
        request, method=row.method, path=row.path, json=None, form=None, body=stored, headers=headers
    )
    return changed, False


def confirmed(row: Row, response: Response) -> Row:
    """Return the row of a request that was answered with success."""
    reply = base64.b64encode(response.body).decode()
    digest = _digest(row.method, row.path, base64.b64decode(row.body))
    return msgspec.structs.replace(row, state="confirmed", status=response.status, reply=reply, body="", digest=digest)


def answers(row: Row, request: Request) -> bool:
    """Tell whether a confirmed row stands for *request* as it is built now, and not for an earlier wish."""
    return row.digest == _digest(request.method, request.path, request.content()[0])


def _digest(method: str, path: str, body: bytes) -> str:
    return hashlib.blake2b(f"{method} {path} ".encode() + body, digest_size=8).hexdigest()


def remembered(row: Row) -> Response:
    """Return the reply of a confirmed request."""
    return Response(status=row.status, body=base64.b64decode(row.reply))
