"""`o2c webhooks verify` on a real Kafka: a delivery through a real gateway counts, nothing else does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from app import platforms
from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.core.metrics import new_metrics
from app.demo.stack import free_port
from app.gateway.addresses import addresses
from app.gateway.publisher import KafkaPublisher
from app.gateway.server import Gateway
from app.roles.status_page import add_status_routes, serve
from app.sandbox.platforms.shopify import ShopifySandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.kafka]
BOUGHT = {"lines": [{"sku": "MUG", "title": "Mug", "quantity": 1, "price": "19.99"}], "currency": "EUR"}


class Shop:
    """A shop whose webhooks are registered, and the configuration of its gateway."""

    def __init__(self, sandbox: ShopifySandbox, path: Path) -> None:
        self.sandbox, self.path = sandbox, path

    @property
    def settings(self) -> Settings:
        return load(self.path, {})

    async def run(self, *words: str) -> int:
        return await asyncio.to_thread(main, ["webhooks", *words, "--config", str(self.path)])

    async def order(self) -> None:
        await asyncio.sleep(1.0)
        self.sandbox.verbs["create_order"](dict(BOUGHT))


@pytest.fixture
async def shop(kafka: str, tmp_path: Path) -> AsyncIterator[Shop]:
    sandbox = ShopifySandbox("demo.myshopify.com", quota_scale=100)
    url, port = await sandbox.start(), free_port()
    path = tmp_path / "o2c.toml"
    path.write_text(f"""
[kafka]
bootstrap = "{kafka}"
partitions = 2
[topics]
prefix = "t{uuid4().hex[:12]}."
[gateway]
port = {port}
public_url = "http://127.0.0.1:{port}"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "shopify"
account = "demo.myshopify.com"
base_url = "{url}"
allow_private = true
secrets = {{ token = "shpat_sandbox", webhook_secret = "shpss_sandbox" }}
""")
    found = Shop(sandbox, path)
    await apply_topics(found.settings)
    yield found
    await sandbox.stop()


@pytest.fixture
async def gateway(shop: Shop) -> AsyncIterator[Shop]:
    settings = shop.settings
    publisher = KafkaPublisher(settings.kafka.bootstrap, settings.topics.prefix)
    await publisher.start()
    served = addresses(settings.connections, {"shopify": platforms.load("shopify").source})
    metrics = new_metrics()
    running = Gateway(served, publisher, metrics, public_url=settings.gateway.public_url)
    app = running.app()
    add_status_routes(app, metrics, live=dict, ready=running.wrong)
    runner, _ = await serve(app, settings.gateway.host, settings.gateway.port, before=running.before)
    yield shop
    await runner.cleanup()
    await publisher.stop()


async def test_a_registered_shop_delivers_and_the_time_is_told(
    gateway: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gateway.run("register") == 0
    capsys.readouterr()
    code = await _while_ordering(gateway, "verify", "--seconds", "60", "--json")
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("{")]
    told = json.loads(line)
    assert (code, told["none"]) == (0, {})
    (delivery,) = told["delivered"]
    assert delivery["connection"] == "shop"
    assert 0 < delivery["seconds"] < 60
    assert re.fullmatch("[0-9a-f]{32}", delivery["trace"])


async def _while_ordering(shop: Shop, *words: str) -> int:
    """Run a command and order again and again until it ends: nobody knows when its waiting begins."""
    command = asyncio.create_task(shop.run(*words))
    while not command.done():
        await shop.order()
    return await command


async def test_a_wrong_secret_and_silence_are_told_apart(gateway: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert await gateway.run("verify", "--seconds", "1") == 1
    assert "shop: none. No delivery came for shop; run `o2c webhooks show shop`" in capsys.readouterr().out
    gateway.sandbox.hooks.add(f"{gateway.settings.gateway.public_url}/hooks/acme/shop", "not-the-secret")
    assert await _while_ordering(gateway, "verify", "--seconds", "8") == 1
    assert "webhook_secret of shop is not what signs it" in capsys.readouterr().out


async def test_a_connection_that_the_running_gateway_does_not_know_is_told(
    gateway: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.path.write_text(gateway.path.read_text().replace('name = "acme"', 'name = "later"'))
    assert await gateway.run("verify", "--seconds", "1") == 1
    assert "restart it with this configuration" in capsys.readouterr().out


async def test_a_gateway_that_does_not_run_is_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert await shop.run("verify", "--seconds", "1") == 1
    assert "Nobody answers at http://127.0.0.1" in capsys.readouterr().out
