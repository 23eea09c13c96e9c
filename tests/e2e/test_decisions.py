"""A person merges two orders on the command line: decision, hand-over and what is forwarded pass the real engine."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.console.states import read_orders
from schemas.order_state import PublicOrder
from tests.e2e.test_external import CONFIG, REALM, XERO, looked_at, order, payment, process, publish

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]
NOWHERE = {"books": "http://127.0.0.1:9", "qbo": "http://127.0.0.1:9"}
"""No connector runs here: what is planned waits."""


async def test_two_orders_that_a_person_calls_one_are_one(kafka: str, tmp_path: Path) -> None:
    prefix = f"e2e-{uuid.uuid4().hex[:8]}-"
    path = tmp_path / "o2c.toml"
    path.write_text(CONFIG.format(bootstrap=kafka, prefix=prefix, xero=XERO, realm=REALM, **NOWHERE))
    settings = load(path, os.environ)
    await apply_topics(settings)
    await looked_at(settings)
    async with process(tmp_path, "streams", "-m", "app", "run", "streams", "--config", str(path)):
        for number in ("E-1", "E-2"):
            publish(kafka, f"{prefix}crm-changes", "order", order(number, "24.00"))
        await _until(settings, lambda found: {"E-1", "E-2"} <= found.keys())
        assert await _says(path, "merge", "E-1", "E-2") == 0
        found = await _until(settings, lambda found: bool(found["E-1"].alias_of) and _codes(found["E-2"]) == {"merged"})
        assert found["E-1"].alias_of == found["E-2"].key
        publish(kafka, f"{prefix}accounting-changes", "payment", payment("E-1", "24.00"))
        await _until(settings, lambda found: found["E-2"].financial == "paid")
        assert await _says(path, "resume", "E-2") == 0
        await _until(settings, lambda found: _codes(found["E-2"]) == set())
        assert await _says(path, "resume", "E-3") == 1


async def _says(path: Path, *words: str) -> int:
    return await asyncio.to_thread(main, ["orders", *words, "--config", str(path)])


def _codes(order: PublicOrder) -> set[str]:
    return {finding.code for finding in order.findings}


async def _until(settings: Settings, done: Callable[[dict[str, PublicOrder]], bool]) -> dict[str, PublicOrder]:
    """Read order states, by number, until *done* says so."""
    found: dict[str, PublicOrder] = {}
    for _ in range(360):
        found = {one.number: one for one in (await read_orders(settings)).values()}
        if done(found):
            return found
        await asyncio.sleep(0.5)
    raise AssertionError(f"not so: {found}")
