"""A shop whose merchant consents, beside running connectors: they renew tokens and go on after a new consent."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.connecting.storing import bus_of
from app.connectors.bus import partition_of
from app.core import topics
from app.core.auth import Tokens, Vault
from app.demo.stack import free_port
from app.sandbox.platforms.shopify import ShopifySandbox

pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
CONFIG = """
key = "any long random text"
[kafka]
bootstrap = "{kafka}"
partitions = 2
[topics]
prefix = "{prefix}"
[connectors]
port = {port}
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "shopify"
account = "example.myshopify.com"
base_url = "{url}"
allow_private = true
sweep_seconds = 1
secrets = {{ client_id = "sandbox-client", client_secret = "{secret}", webhook_secret = "w" }}
options = {{ grant = "consent" }}
"""


class Shop:
    """The shop, the configuration for it, and the connectors process that is killed and started."""

    def __init__(self, folder: Path, sandbox: ShopifySandbox) -> None:
        self.config, self.sandbox = folder / "o2c.toml", sandbox
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, worker: str) -> None:
        words = ["-m", "app", "run", "connectors", "--config", str(self.config), "--worker", worker, "--json"]
        with (self.config.parent / "connectors.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def stored(self) -> Tokens:
        settings = load(self.config, {})
        rows = await bus_of(settings).read_all(topics.TOKENS, partition_of("shop", settings.kafka.partitions))
        return Vault(settings.key.get_secret_value()).open(rows[b"shop|oauth"])

    async def renewed(self, before: Tokens) -> Tokens:
        """Wait until others than *before* are stored, and return them."""
        deadline = time.monotonic() + 180
        while (found := await self.stored()).refresh == before.refresh:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.3)
        return found

    async def connect(self, capsys: pytest.CaptureFixture[str]) -> None:
        code = await asyncio.to_thread(main, ["connect", "shop", "--config", str(self.config), "--port", "0"])
        assert code == 0, capsys.readouterr().err

    async def until(
        self, capsys: pytest.CaptureFixture[str], true: Callable[[dict[str, Any]], object]
    ) -> dict[str, Any]:
        """Look how the connection stands until *true* holds, and return that."""
        capsys.readouterr()
        deadline = time.monotonic() + 180
        while True:
            words = ["connections", "show", "shop", "--config", str(self.config), "--json"]
            assert await asyncio.to_thread(main, words) == 0
            found: dict[str, Any] = json.loads(capsys.readouterr().out)
            if true(found):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.3)


def _well(now: dict[str, Any]) -> bool:
    return now["state"] == "well"


def _without_consent(now: dict[str, Any]) -> bool:
    return now["state"] == "stopped" and "`o2c connect`" in now["why"]


@pytest.fixture
async def shop(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    def open_(url: str) -> bool:
        threading.Thread(target=requests.get, args=(url,), kwargs={"timeout": 120}, daemon=True).start()
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    sandbox = ShopifySandbox("example.myshopify.com", quota_scale=100)
    shop = Shop(tmp_path, sandbox)
    values = {"kafka": kafka, "prefix": f"t{uuid4().hex[:8]}.", "url": await sandbox.start()}
    shop.config.write_text(CONFIG.format(**values, port=free_port(), secret=sandbox.client_secret), encoding="utf-8")
    await apply_topics(load(shop.config, {}))
    yield shop
    await shop.kill()
    await sandbox.stop()


async def test_connectors_renew_what_ends_wait_for_a_merchant_and_go_on_after_a_new_consent(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = shop.sandbox.tokens
    await shop.connect(capsys)
    await shop.start("w1")
    well = await shop.until(capsys, lambda now: _well(now) and now["complete_up_to"])
    assert (well["credential"], well["connected_account"]) == ("stored", "example.myshopify.com")
    end = datetime.fromisoformat(well["connect_again_by"])
    assert timedelta(days=89) < end - datetime.now(UTC) <= timedelta(days=90)
    await shop.connect(capsys)  # the tokens in use end by it
    await shop.until(capsys, lambda now: _well(now) and now["complete_up_to"] > well["complete_up_to"])
    assert tokens.refreshes == 0, "nobody renews what a new consent ended"

    first = await shop.stored()
    tokens.expire()
    second = await shop.renewed(first)
    await shop.kill()
    tokens.expire()
    await shop.start("w2")
    await shop.renewed(second)
    await shop.until(capsys, _well)
    assert tokens.refreshes == 2, "each from what was stored before"

    tokens.uninstall({})
    assert "invalid_grant" in (await shop.until(capsys, _without_consent))["why"]
    await shop.connect(capsys)
    await shop.until(capsys, _well)
