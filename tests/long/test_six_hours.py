"""Consent is gone for six hours by every clock: what waited is written once, in order, when it is given again.

The clock of every process of the pipeline and of the sandboxes is set by libfaketime: six hours back when they start, an
hour on at a time, and the true time in the end. Kafka keeps the true time, and waits within a process stay as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.stack import Stack, free_port
from app.demo.watch import Watch

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]
HOURS = 6
EACH_HOUR = 11
"""Orders: in the end more wait than the ledger takes in one call (50)."""
LINE = {"sku": "MUG", "title": "Mug", "quantity": 2, "price": "10.00", "tax_rate": "20"}
BUYER = {"name": "Ada Example", "email": "ada@example.com"}
FLOW = """\
[[tenant.flows]]
name = "shop-orders"
key_giver = "shop"
mode = "live"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
"""
Row = dict[str, Any]


def _library() -> Path | None:
    """Return the library beside the command `faketime`."""
    command = shutil.which("faketime")
    found = Path(command).resolve().parent.parent.glob("lib/*/faketime/libfaketimeMT.so.1") if command else iter(())
    return next(found, None)


LIBRARY = _library()


class Days:
    """The shop, its ledger and the pipeline between them, and the clock that all of them live by."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, clock: Path) -> None:
        self.stack, self.session, self._clock = stack, session, clock

    def set(self, hours_ago: int) -> None:
        """Set every clock to so many hours before now."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"-{hours_ago}h" if hours_ago else "+0", encoding="utf-8")
        fresh.replace(self._clock)

    async def act(self, system: str, verb: str, **asked: Any) -> Row:
        url = f"{self.stack.urls[system]}/_sandbox/act/{verb}"
        async with self.session.post(url, json=asked) as reply:
            answer: Row = await reply.json()
            assert reply.status == 200, answer
            return answer

    async def look(self, system: str, what: str) -> Any:
        async with self.session.get(f"{self.stack.urls[system]}/_sandbox/{what}") as reply:
            text = await reply.text()
            return [json.loads(line) for line in text.splitlines()] if what == "books" else json.loads(text)

    async def settled(self, pages: list[str]) -> None:
        assert await Watch(self.session, self.stack.urls, pages).silence(
            3.0, 180.0, alive=lambda: not self.stack.dead()
        )

    async def until(self, true: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + 180
        while not await true():
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.5)

    async def ready(self, page: str) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.get(f"{page}/health/ready") as reply:
                return reply.status == 200
        return False

    async def bills(self) -> list[Row]:
        return [row for row in await self.look("books", "books") if row["kind"] == "invoice"]

    async def written(self, since: datetime) -> list[Row]:
        """Return the calls that changed invoices since then, of those that the ledger still remembers."""
        entries = (await self.look("books", "requests"))["requests"]
        done = [
            entry for entry in entries if entry["mutating"] and entry["status"] < 300 and "/Invoices" in entry["path"]
        ]
        return [entry for entry in done if datetime.fromisoformat(entry["at"]) >= since]

    async def consents(self, config: Path) -> None:
        """Connect the ledger again, as a person does."""
        words = ["-m", "app", "connect", "books", "--config", str(config), "--no-browser", "--port", "0"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=pipe)
        assert process.stderr is not None
        url = ""
        while not url.startswith("http"):
            url = (await process.stderr.readline()).decode().strip()
        async with self.session.get(url) as reply:
            assert reply.status == 200
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert b"books is connected" in out


@pytest.fixture
async def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Days]:
    clock = tmp_path / "clock"
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_CACHE_DURATION", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARY))
    stack = Stack(tmp_path, 50.0)
    async with aiohttp.ClientSession() as session:
        found = Days(stack, session, clock)
        found.set(HOURS)
        yield found
        await stack.stop()


@pytest.mark.skipif(LIBRARY is None, reason="no faketime on PATH; Debian has it: apt-get install faketime")
async def test_what_waited_six_hours_is_written_once_and_in_order(kafka: str, days: Days) -> None:
    stack = days.stack
    await stack.start_sandboxes()
    config = stack.write_config(kafka, free_port(), 50.0, prefix=f"hours-{uuid.uuid4().hex[:8]}-")
    config.write_text(config.read_text("utf-8").partition("[[tenant.flows]]")[0] + FLOW, encoding="utf-8")
    settings = load(config, os.environ)
    await apply_topics(settings)
    for role in ("streams", "connectors"):
        await stack.start_role(role, config, f"{role}-1")
    pages = [f"http://127.0.0.1:{role.port}" for role in (settings.streams, settings.connectors)]

    async def ordered() -> Row:
        order = {"reference": f"SO-{len(orders)}", "currency": "EUR", "lines": [LINE], **BUYER}
        made = await days.act("shop", "create_order", **order)
        orders.append(made["id"])
        return made

    async def billed(count: int) -> bool:
        return len(await days.bills()) == count

    orders: list[str] = []
    for page in pages:
        await days.until(lambda page=page: days.ready(page), f"{page} is ready")
    first = await ordered()
    await days.until(lambda: billed(1), "the first order is billed")
    shown = datetime.fromisoformat((await days.look("books", "health"))["at"])
    assert timedelta(hours=HOURS - 0.2) < datetime.now(UTC) - shown < timedelta(hours=HOURS + 0.2), "the clock is set"
    await days.settled(pages)
    before = await days.look("books", "books")
    await days.act("books", "disconnect")
    for hour in range(1, HOURS):
        await days.act("shop", "edit_order", id=first["id"], po_number=f"PO-{hour}")
        for _ in range(EACH_HOUR):
            await ordered()
        await days.act("shop", "pay_order", id=orders[-1], amount="24.00", gateway="bank transfer")
        await days.settled(pages)
        if hour == HOURS // 2:
            await stack.kill("connectors-1")
            await stack.start_role("connectors", config, "connectors-1")
        days.set(HOURS - hour)
        await days.settled(pages)
    assert await days.look("books", "books") == before, "nothing was written without consent"
    days.set(0)

    given = datetime.now(UTC)
    await days.consents(config)
    await days.until(lambda: billed(len(orders)), "every order is billed")
    await days.settled(pages)
    rows = await days.look("books", "books")
    bills = await days.bills()
    assert Counter(row["total"] for row in bills) == {"24.00": len(orders)}
    assert len({row["mark"].rpartition(":")[0] for row in bills}) == len(orders), "each order has its own"
    assert Counter(row["status"] for row in bills)["paid"] == HOURS - 1
    assert [row["amount"] for row in rows if row["kind"] == "payment"] == ["24.00"] * (HOURS - 1)
    methods = Counter(entry["method"] for entry in await days.written(given))
    assert methods["POST"] == 1, "of five customer's numbers the newest"
    assert methods["PUT"] > 1, "more waited than one call takes"
    assert [row["mark"].partition(" ")[0] for row in bills if "PO-" in row["mark"]] == [f"PO-{HOURS - 1}"]
