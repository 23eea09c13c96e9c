"""What the gateway bounds: bodies, header lines, depth, keys, digits, time; and what it does with compressed bodies."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app import platforms
from app.gateway import server
from tests.hostile.door import KEY, SLUGS, Door, open_door, path_of, signed
from tests.hostile.wire import post, send

pytestmark = pytest.mark.sandbox
MIB = 1_048_576
BEARER = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/cloudevents+json"}


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


async def test_an_event_of_more_than_a_mebibyte_is_413_whether_it_says_so_or_not(door: Door) -> None:
    body = b" " * (MIB + 1)
    assert (await send(door.port, post("/events", BEARER, body))).status == 413
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:MIB], body[MIB:])) + b"0\r\n\r\n"
    request = post("/events", {**BEARER, "Transfer-Encoding": "chunked"}, b"").replace(b"Content-Length: 0\r\n", b"")
    assert (await send(door.port, request + chunks)).status == 413
    assert (await send(door.port, post("/events", BEARER, body[:MIB]))).status == 400


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_hook_of_more_than_its_platform_sends_is_413(door: Door, slug: str) -> None:
    body = b" " * (platforms.load(slug).platform.body_limit + 1)
    assert (await send(door.port, post(path_of(slug), signed(slug, body), body))).status == 413
    assert door.kept.taken() == ([], [], [])


async def test_a_header_line_of_more_than_8_kb_is_400_and_the_connection_ends(door: Door) -> None:
    for length, status in ((8_000, 400), (8_300, 400)):
        said = await send(door.port, post("/events", {**BEARER, "X-A": "a" * length}, b"{}"))
        assert said.status == status
        assert (b"Not a" in said.text or b"JSON" in said.text or b"specversion" in said.text) is (length == 8_000)
    assert said.closed


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper"),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(10_001)) + b"}", "keys"),
        (b'{"a":' + b"9" * 65 + b"}", "digits"),
        (b'{"a":1,"a":2}', "twice"),
    ],
)
@pytest.mark.parametrize("slug", SLUGS)
async def test_a_signed_body_beyond_a_limit_is_kept_as_dead_letter(
    door: Door, slug: str, body: bytes, why: str
) -> None:
    assert (await send(door.port, post(path_of(slug), signed(slug, body), body))).status == 200
    events, hints, dead = door.kept.taken()
    assert (events, hints) == ([], [])
    ((kept, reason, origin),) = dead
    assert (kept, why in reason, origin) == (body, True, f"hook:{slug}")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_a_compressed_body_is_refused_unread(door: Door, coding: str) -> None:
    body = gzip.compress(b" " * 20 * MIB)
    for path, headers in (("/events", BEARER), (path_of("stripe"), signed("stripe", body))):
        said = await send(door.port, post(path, {**headers, "Content-Encoding": coding}, body))
        assert said.status == 400
    assert door.kept.taken() == ([], [], [])


async def test_a_sender_that_gives_its_head_byte_by_byte_is_cut_off() -> None:
    async with open_door(idle=0.5) as door:
        for before in (b"", post("/events", BEARER, b"{}")):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(before)
            began = time.monotonic()
            while time.monotonic() - began < 5 and not reader.at_eof():
                writer.write(b"P")
                await reader.read(65_536) if reader._buffer else await asyncio.sleep(0.05)
            assert reader.at_eof() or writer.is_closing()
            writer.close()


async def test_a_body_that_comes_byte_by_byte_is_408(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SLOWEST", 0.2)
    whole = post("/events", BEARER, b"{" + b" " * 100)
    said = await send(door.port, whole[:-50], seconds=3)
    assert said.status == 408
    assert (await send(door.port, post("/events", BEARER, b"{}"))).status == 400
