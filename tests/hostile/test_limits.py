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
            while time.monotonic() - began < 60 and not reader.at_eof():
                writer.write(b"P")
                await reader.read(65_536) if reader._buffer else await asyncio.sleep(0.05)
            assert reader.at_eof() or writer.is_closing()
            writer.close()


async def test_a_body_that_comes_byte_by_byte_is_408(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SLOWEST", 0.2)
    whole = post("/events", BEARER, b"{" + b" " * 100)
    said = await send(door.port, whole[:-50], seconds=60)
    assert said.status == 408
    assert (await send(door.port, post("/events", BEARER, b"{}"))).status == 400


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_signature_of_other_bytes_than_text_is_no_failure_of_ours(door: Door, slug: str) -> None:
    body = b"{}"
    good = signed(slug, body)
    for name in [name for name in good if name.lower() in platforms.load(slug).platform.signature_headers]:
        request = post(path_of(slug), {**good, name: "SIGNATURE"}, body).replace(b"SIGNATURE", b"\xff\xfe\xe2\x28")
        assert (await send(door.port, request)).status in {200, 400, 401}, name  # 200: another signature counts
    assert door.kept.taken() == ([], [], [])


@pytest.mark.parametrize("header", [b"Authorization: Bearer \xff\xfe", b"webhook-signature: v1,\xff\xe2\x28"])
async def test_a_key_of_other_bytes_than_text_is_nobodys(door: Door, header: bytes) -> None:
    more = {"webhook-id": "m", "webhook-timestamp": "1772323200", "X-Place": "here"}
    said = await send(door.port, post("/events", more, b"{}").replace(b"X-Place: here", header))
    assert said.status == 401


async def test_so_many_headers_as_no_sender_has_are_400(door: Door) -> None:
    lines = {f"X-{number}": "a" * 50 for number in range(20_000)}
    said = await send(door.port, post("/events", {**BEARER, **lines}, b"{}"), 60)
    assert (said.status, b"specversion" in said.text) == (400, False), "it was read all the same"


async def test_who_keeps_hundreds_of_connections_open_keeps_nobody_out() -> None:
    async with open_door(idle=3.0) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(400)]
        for number, (_, writer) in enumerate(held):
            writer.write(post("/events", BEARER, b"{" + b" " * 50)[: 20 + number % 150])  # within the head, or the body
        began = time.thread_time()
        assert (await send(door.port, post("/events", BEARER, b"{}"), 60)).status == 400
        assert time.thread_time() - began < 1
        waiting = [asyncio.wait_for(reader.read(), 120) for reader, _ in held]
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        wrong = [end for end in ended if not isinstance(end, bytes | ConnectionResetError)]
        assert wrong == [], "each is closed in its time"
        for _, writer in held:
            writer.close()
    assert door.kept.taken() == ([], [], [])
