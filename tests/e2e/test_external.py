"""Producers of another make (librdkafka, HTTP) publish an order and an invoice by the exported schema and its page alone."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import runpy
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from confluent_kafka import Producer

from app.broadcasting import send
from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.demo.stack import free_port
from schemas.broadcast import Fact

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]
XERO = "00000000-0000-4000-8000-000000000001"
REALM = "9130000000000001"
KEY = "whsec_" + base64.b64encode(b"a made-up key for this test").decode()
HEAD = """
data_dir = "data"
key = "made-up-key-for-tests"
[kafka]
bootstrap = "{bootstrap}"
partitions = 4
[topics]
prefix = "{prefix}"
[streams]
port = 0
[connectors]
port = 0
[[tenant]]
name = "acme"
"""
ERP = """[tenant.connections.erp]
platform = "external"
account = "erp-1"
start_at = "beginning"
"""
LEDGERS = """[tenant.connections.books]
platform = "xero"
account = "{xero}"
base_url = "{books}/api.xro/2.0"
allow_private = true
quota_share = 50
sweep_seconds = 5
secrets = {{ client_id = "sandbox-client", client_secret = "sandbox-secret", refresh_token = "sandbox-refresh" }}
accounts = {{ sales = "200", payments = "090", rounding = "860" }}
taxes = {{ "20" = "OUTPUT", "0" = "NONE" }}
[tenant.connections.qbo]
platform = "quickbooks_online"
account = "{realm}"
base_url = "{qbo}"
allow_private = true
quota_share = 50
sweep_seconds = 5
secrets = {{ client_id = "sandbox-client", client_secret = "sandbox-secret", refresh_token = "sandbox-refresh-token" }}
accounts = {{ sales = "1", payments = "35", rounding = "1" }}
taxes = {{ "20" = "TAX", "0" = "NON" }}
"""
FLOW = """[[tenant.flows]]
name = "erp"
key_giver = "erp"
mode = "live"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
[[tenant.flows.targets]]
connection = "qbo"
document = "invoice"
"""
CONFIG = HEAD + ERP + LEDGERS + FLOW
GATEWAY = """
[gateway]
port = {port}
api_keys = ["{key}"]
"""


@asynccontextmanager
async def process(folder: Path, name: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / f"{name}.log").open("ab") as log:
        running = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
            await asyncio.wait_for(running.wait(), 120)
        if running._transport:  # type: ignore[attr-defined]  # close the pipe now, not in the garbage collector
            running._transport.close()


async def url_of(running: asyncio.subprocess.Process) -> str:
    assert running.stdout is not None
    line = (await asyncio.wait_for(running.stdout.readline(), 120)).decode()
    return next(word for word in line.split() if word.startswith("http://"))


async def books(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with session.get(f"{url}/_sandbox/books") as reply:
        return [json.loads(line) for line in (await reply.text()).splitlines()]


async def looked_at(settings: Settings) -> None:
    """Say of every account what connectors say first, where none runs: nothing is planned for an account before."""
    places = [f"{one.connection.name}@{one.connection.account}" for one in settings.connections]
    await send(settings, *(Fact(kind="start", subject=place, value="2026-01-01T00:00:00+00:00") for place in places))


def publish(bootstrap: str, topic: str, kind: str, data: dict[str, Any]) -> None:
    """Publish by the exported schema alone: nothing of the project is used."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    headers = {
        "ce_specversion": "1.0",
        "ce_type": f"o2c.{kind}.changed.v1",
        "ce_source": "/acme/erp/erp-1",
        "ce_id": uuid.uuid4().hex,
        "content-type": "application/json",
    }
    key = data["object"]["id"]
    producer.produce(topic, key=key, value=json.dumps(data), headers=list(headers.items()))
    assert producer.flush(120) == 0


def order(number: str, total: str) -> dict[str, Any]:
    line = {
        "sku": "MUG",
        "name": "Mug",
        "quantity": "2",
        "unit_price": "10.00",
        "net_amount": "20.00",
        "tax_amount": "4.00",
        "tax_rate": "20",
    }
    return {
        "tenant": "acme",
        "object": {"connection": "erp", "account": "erp-1", "type": "order", "id": number},
        "version": {"native": 1},
        "facts": {
            "type": "order",
            "number": number,
            "currency": "EUR",
            "payable_amount": total,
            "net_amount": "20.00",
            "tax_amount": "4.00",
            "placed_at": "2026-03-01T10:00:00+00:00",
            "customer": {"name": "Ada Example", "email": "ada@example.com"},
            "lines": [line],
        },
    }


def payment(number: str, amount: str) -> dict[str, Any]:
    parent = {"connection": "erp", "account": "erp-1", "type": "order", "id": number}
    return {
        "tenant": "acme",
        "object": {"connection": "erp", "account": "erp-1", "type": "payment", "id": f"{number}-p"},
        "version": {"native": 1},
        "anchors": [{"kind": "order", "ref": parent}],
        "facts": {
            "type": "payment",
            "amount": amount,
            "currency": "EUR",
            "paid_at": "2026-03-02T10:00:00+00:00",
            "reference": f"BANK-{number}",
        },
    }


def examples(page: str, language: str) -> list[str]:
    """Return the blocks of *page* in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


async def ran(program: Path, *words: str) -> str:
    """Run *program* of the page, which knows nothing of the project, and return what it prints."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-I", program, *words, stdout=asyncio.subprocess.PIPE, cwd=program.parent
    )
    printed, _ = await running.communicate()
    assert running.returncode == 0, printed
    return printed.decode()


async def test_what_another_service_publishes_by_the_page_alone_reaches_both_ledgers(
    kafka: str, root: Path, tmp_path: Path
) -> None:
    """An order and its payment, an invoice and its payment: as docs/other-services.md has them."""
    page = (root / "docs" / "other-services.md").read_text("utf-8")
    (named,), (first, second) = examples(page, "toml"), examples(page, "python")
    programs = {name: tmp_path / f"{name}.py" for name in ("publish", "send")}
    for name, text in (("publish", first), ("send", second)):
        programs[name].write_text(text, "utf-8")
    schema = json.loads((root / "schemas/generated/change_event.schema.json").read_text())
    told, later = (runpy.run_path(str(path)) for path in programs.values())
    for data in (*(data for _, data in told["EVENTS"]), later["PAYMENT"]):
        jsonschema.validate(data, schema)
    sandbox = ["-m", "app.sandbox"]
    prefix, port = f"e2e-{uuid.uuid4().hex[:8]}-", free_port()
    async with (
        process(tmp_path, "books", *sandbox, "xero", "--account", XERO, "--quota-scale", "50") as xero,
        process(tmp_path, "qbo", *sandbox, "quickbooks_online", "--account", REALM, "--quota-scale", "50") as qbo,
        aiohttp.ClientSession() as session,
    ):
        urls = {"books": await url_of(xero), "qbo": await url_of(qbo)}
        path = tmp_path / "o2c.toml"
        given = {"bootstrap": kafka, "prefix": prefix, "xero": XERO, "realm": REALM, "port": port, "key": KEY, **urls}
        path.write_text((HEAD + LEDGERS).format(**given) + named + GATEWAY.format(**given))
        await apply_topics(load(path, os.environ))
        role = ["-m", "app", "run"]
        async with (
            process(tmp_path, "streams", *role, "streams", "--config", str(path)),
            process(tmp_path, "connectors", *role, "connectors", "--config", str(path)),
            process(tmp_path, "gateway", *role, "gateway", "--config", str(path)),
        ):
            await ran(programs["publish"], kafka, prefix)
            for name, url in urls.items():
                rows = await until_billed(session, url, {"24.00": "0.00", "119.99": "119.99"})
                assert len([row for row in rows if row["kind"] == "payment"]) == 1, name
            assert json.loads((await ran(programs["send"], f"http://127.0.0.1:{port}", KEY))[4:]) == {"accepted": 1}
            for name, url in urls.items():
                rows = await until_billed(session, url, {"24.00": "0.00", "119.99": "0.00"})
                assert [row["kind"] for row in rows].count("payment") == 2, name
                assert {row["status"] for row in rows if row["kind"] == "invoice"} == {"paid"}, name


async def until_billed(session: aiohttp.ClientSession, url: str, due: dict[str, str]) -> list[dict[str, Any]]:
    """Return what a ledger holds once each total has one invoice with so much due."""
    rows: list[dict[str, Any]] = []
    for _ in range(360):
        rows = await books(session, url)
        bills = [(row["total"], row["due"]) for row in rows if row["kind"] == "invoice"]
        if sorted(bills) == sorted(due.items()):
            return rows
        await asyncio.sleep(0.5)
    raise AssertionError(f"not billed: {rows}")
