"""Conversations with a platform, as values: a generator yields Requests and receives Responses.

The delivery loop (or a test) answers them: it owns auth, quota, retry, idempotency, journal and metrics.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from app.core.errors import DecodeError
from schemas.commands import LIVE
from schemas.errors import misfit
from schemas.jsontext import read_json

T = TypeVar("T")
Talk = Generator["Request", "Response", T]
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def segment(id_: str) -> str:
    """Return an id as one segment of a path, whatever somebody put into it."""
    return quote(id_, safe="")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP call. `path` is relative to the connection's base URL, or absolute.

    `mutates` requests get a journal row of their own, under (write id, `step`); a talk that is resumed after a crash is
    run again from its start and confirmed steps are answered from the journal, so it must be deterministic.
    """

    method: str
    path: str
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    json: Any = None
    form: Mapping[str, str] | None = None
    body: bytes | None = None
    mutates: bool = False
    step: str = ""
    key: str = ""
    """The idempotency key, put where `key_in` says; empty = the loop's own: uuid5(write id, step)."""
    key_in: str = ""
    """"header:Idempotency-Key", "param:requestid" or "" when the platform has no keys."""
    lock: str = ""
    """A natural key to lock besides the command's entity, for example "customer:a@example.com"."""
    shared: bool = True
    """What is made under the lock serves every command that needs the key (find-or-create); False: this one alone."""
    once: bool = False
    """Not sent again where nobody knows whether it was done and no read tells, as of a mail: a person says so first."""
    cost: int = 1
    bare: bool = False
    """A file that a reply names, on whatever public host: asked for without a credential, in nobody's quota."""
    priority: int = LIVE
    """Of the command or hint that asks; set by whoever answers the talk."""

    def content(self) -> tuple[bytes, str]:
        """Return the exact bytes to send and their content type ("" without a body); Decimals become JSON numbers."""
        if self.json is not None:
            return _ENCODER.encode(self.json), "application/json"
        if self.form is not None:
            return urlencode(self.form).encode(), "application/x-www-form-urlencoded"
        return self.body or b"", ""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def json(self) -> Any:  # noqa: ANN401 - a reply is any JSON
        """Return the body as JSON with Decimal instead of float; DecodeError when it is none."""
        try:
            return read_json(self.body)
        except ValueError as error:
            message = f"The reply with status {self.status} is not JSON."
            raise DecodeError(message) from error

    def into(self, kind: type[T]) -> T:
        """Return the body decoded into the wire model *kind*; DecodeError when it does not fit."""
        try:
            return msgspec.json.decode(self.body, type=kind, strict=False)
        except msgspec.MsgspecError as error:
            message = f"The reply with status {self.status} does not have the documented shape: {misfit(error)}."
            raise DecodeError(message) from error
