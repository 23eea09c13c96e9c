"""What a stranger sends is in no log, metric or reason: neither a key in a broken head nor what a body says of people."""

from __future__ import annotations

import argparse
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from app.cli import dead_letters
from tests.hostile.door import KEY, SLUGS, open_door, path_of, signed
from tests.hostile.wire import post, send

pytestmark = pytest.mark.sandbox
CANARY = "ada.canary@example.com"


async def test_a_broken_head_is_logged_without_what_it_holds(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_door() as door:
        for header in (f"Bearer {KEY}\0", f"Bearer {KEY}{'a' * 9_000}"):
            said = await send(door.port, post("/events", {"Authorization": header}, b"{}"), 10)
            assert said.status == 400
    assert "A request was no HTTP" in caplog.text
    assert KEY not in caplog.text + "".join(capsys.readouterr())


def test_what_a_stranger_wrote_into_headers_steers_no_terminal() -> None:
    headers = (
        ("reason", b"\x1b[2J\x1b]0;owned\x07"),
        ("detail", "a\n0/1  reason=fine\r\u202e".encode()),
        ("ce_id", b"\xff"),
    )
    record: Any = SimpleNamespace(partition=0, offset=7, timestamp=1, headers=headers, value=b"")
    line = dead_letters._line(record, argparse.Namespace(action="list", json=False))
    assert line.removesuffix("\n").isprintable()
    assert line.count("reason=") == 2
    assert (
        json.loads(dead_letters._line(record, argparse.Namespace(action="list", json=True)))["reason"]
        == "\x1b[2J\x1b]0;owned\x07"
    )


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_body_that_cannot_be_read_is_told_without_what_it_says(
    slug: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    bodies = (
        b'{"email":"%s",' % CANARY.encode(),
        b'{"id":1,"line_items":[],"email":"%s","total_price":"%s"}' % (CANARY.encode(), CANARY.encode()),
        b'{"id":"%s","object":"event","type":"%s","data":{"object":{"object":"invoice","id":["%s"]}}}'
        % ((CANARY.encode(),) * 3),
    )
    async with open_door() as door:
        for body in bodies:
            assert (await send(door.port, post(path_of(slug), signed(slug, body), body), 10)).status == 200
        forged = await send(door.port, post(path_of(slug), signed(slug, bodies[0], CANARY), bodies[0]), 10)
        _, _, dead = door.kept.taken()
        shown = door.metrics.exposition().decode() + forged.text.decode() + "".join(reason for _, reason, _ in dead)
    assert dead
    assert forged.status in {400, 401}
    assert CANARY not in shown + caplog.text + "".join(capsys.readouterr())
