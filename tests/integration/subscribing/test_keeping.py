"""Connectors keep registered what a person registered, and nothing else, as a process on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app import platforms
from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.stack import free_port
from tests.integration.subscribing.test_register import Company

pytestmark = [pytest.mark.sandbox, pytest.mark.kafka]
EVERY = 1


class Kept(Company):
    """The company with its connectors running."""

    process: asyncio.subprocess.Process | None = None
    port: int

    async def begin(self) -> None:
        await self.start()
        self.port = free_port()
        path = self.write()
        schedule = f"allow_private = true\nsweep_seconds = 3600\nwebhooks_seconds = {EVERY}"
        topics = f'[topics]\nprefix = "t{uuid.uuid4().hex[:8]}."\n[connectors]\nport = {self.port}\n[gateway]'
        text = path.read_text("utf-8").replace("allow_private = true", schedule).replace("[gateway]", topics)
        path.write_text(text, encoding="utf-8")
        await apply_topics(load(path, {}))
        words = ["-m", "app", "run", "connectors", "--config", str(path), "--worker", "w1", "--json"]
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self.stop()

    @property
    def log(self) -> Path:
        return self.folder / "connectors.log"

    def logged(self, event: str) -> list[dict[str, Any]]:
        rows = (json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{"))
        return [row for row in rows if row.get("event") == event]

    async def until(self, true: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 180
        while not (await found if isawaitable(found := true()) else found):
            assert time.monotonic() < deadline, f"{what}: {self.log.read_text('utf-8')[-2000:]}"
            await asyncio.sleep(0.2)

    async def show(self, name: str, wanted: list[str]) -> bool:
        """Tell whether the lines that begin so are those."""
        return sorted(await self.shown(name)) == wanted

    async def shown(self, name: str) -> list[str]:
        """Return the lines of the connectors' metrics that begin so."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            return [line for line in (await reply.text()).splitlines() if line.startswith(name)]

    def topics(self) -> set[str]:
        return {row["topic"] for row in self.shop.subscriptions.rows()}

    def forget(self, topic: str) -> None:
        """Delete a subscription, as Shopify does after eight failures."""
        (row,) = [row for row in self.shop.subscriptions.rows() if row["topic"] == topic]
        self.shop.subscriptions.mutations()["webhookSubscriptionDelete"](id=row["id"])

    def endpoints(self) -> list[dict[str, Any]]:
        return list(self.pay.ledger.of("webhook_endpoint"))


@pytest.fixture
async def kept(kafka: str, tmp_path: Path) -> AsyncIterator[Kept]:
    company = Kept(tmp_path, kafka)
    await company.begin()
    yield company
    await company.end()


async def test_what_a_person_registered_is_mended_and_what_was_removed_stays_away(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told(*words: str) -> dict[str, Any]:
        path = str(kept.folder / "o2c.toml")
        await asyncio.to_thread(main, ["webhooks", *words, "--config", path, "--json"])
        return {row["connection"]: row for row in json.loads(capsys.readouterr().out)}

    await kept.until(lambda: len(kept.logged("connection.up")) >= 3, "three systems answer")
    await asyncio.sleep(3 * EVERY)
    assert (kept.topics(), kept.endpoints()) == (set(), []), "nobody registered anything"

    first = await told("register")
    assert [first[name]["kept"] for name in ("shop", "crm", "pay", "books")] == [True, True, True, None]
    await kept.until(lambda: len({row["connection"] for row in kept.logged("webhooks")}) == 3, "a first look")
    assert kept.logged("webhooks.mended") == []
    kept.forget("ORDERS_UPDATED")
    kept.pay.endpoints.update(kept.endpoints()[0]["id"], {"disabled": "true"})
    await kept.until(lambda: len(kept.topics()) == 19 and kept.endpoints()[0]["status"] == "enabled", "both are mended")
    await kept.until(lambda: len(kept.logged("webhooks.mended")) == 2, "both are told")
    assert {(row["connection"], *row["why"]) for row in kept.logged("webhooks.mended")} == {
        ("shop", "missing"),
        ("pay", "switched off"),
    }
    none = [f'o2c_webhooks_missing{{connection="{name}"}} 0.0' for name in ("crm", "pay", "shop")]
    await kept.until(lambda: kept.show("o2c_webhooks_missing{", none), "nothing is missing any more")
    assert 'o2c_webhooks_mended_total{connection="shop"} 1.0' in await kept.shown("o2c_webhooks_mended_total")

    kept.pay.endpoints.delete(kept.endpoints()[0]["id"])
    await kept.until(lambda: kept.logged("webhooks.not_mended"), "a secret that is shown once needs a person")
    (why,) = {row["why"] for row in kept.logged("webhooks.not_mended")}
    assert why.endswith("shows a new signing secret only once; run `o2c webhooks register pay`.")
    assert kept.endpoints() == []
    settings = load(kept.folder / "o2c.toml", {})
    pay = next(one.connection for one in settings.connections if one.connection.name == "pay")
    wanted = len(platforms.load("stripe").source(pay).topics())
    assert f'o2c_webhooks_missing{{connection="pay"}} {wanted:.1f}' in await kept.shown("o2c_webhooks_missing")

    assert (await told("show", "shop"))["shop"]["kept"] is True
    assert (await told("remove", "shop"))["shop"]["kept"] is False
    await asyncio.sleep(3 * EVERY)
    assert kept.topics() == set()
    left = [none[0], f'o2c_webhooks_missing{{connection="pay"}} {wanted:.1f}']
    await kept.until(lambda: kept.show("o2c_webhooks_missing{", left), "nobody looks after the shop's any more")
    assert (await told("show", "shop"))["shop"]["kept"] is False
