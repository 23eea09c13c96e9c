"""Requests as bytes on a socket: no client library mends them on the way."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping

import msgspec

_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})", re.MULTILINE)


class Said(msgspec.Struct, frozen=True):
    """What came back: every status on the connection, and whether the server closed it."""

    statuses: tuple[int, ...]
    closed: bool
    text: bytes

    @property
    def status(self) -> int:
        return self.statuses[0] if self.statuses else 0


def post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a whole request."""
    lines = [f"POST {path} HTTP/1.1", "Host: hooks.example.com", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def send(port: int, request: bytes, seconds: float = 1.0, *, finish: bool = False) -> Said:
    """Send *request* and return what came within *seconds*; *finish* ends our side, as a sender that died does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found, closed = bytearray(), False
    with contextlib.suppress(ConnectionError):  # refused while we still sent
        writer.write(request)
        await writer.drain()
    if finish and writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            while not _whole(found):
                chunk = await reader.read(65_536)
                if not chunk:
                    closed = True
                    break
                found += chunk
    if not closed:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.05):
                rest = await reader.read()
                found, closed = found + rest, True
    writer.close()
    return Said(tuple(int(status) for status in _STATUS.findall(found)), closed, bytes(found))


def _whole(text: bytearray) -> bool:
    head, end, body = bytes(text).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])
