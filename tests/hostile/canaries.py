"""Made-up secrets and a made-up person through the whole pipeline, while much goes wrong; then everybody's words are searched.

Where they belong they may be: payloads of topics, dead letters' included, and what a person asks to see of an order. They may
be in no log line, metric, health page, header of any record, published state, and in no output of the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.core import consumers, topics
from app.demo.stack import SYSTEMS, Stack, config, free_port
from app.sandbox.__main__ import find
from app.sandbox.base import Sandbox

PATIENCE = 200.0
SETTLED = '"settle_seconds" = "1"'
"""How long a lost answer may still take effect in these sandboxes."""
NAME, EMAIL, STREET = "Adalbert Canarius", "adalbert@canary.example", "Canarienweg 17"
PERSON = {"name": NAME, "e-mail": EMAIL, "street": STREET}
KEY, API_KEY, NEW_KEY = (
    f"{kind}-of-canaries-{number:04}" for number, kind in enumerate(("vault-key", "api-key", "new-key"))
)
SECRETS = {"vault key": KEY, "API key": API_KEY, "new API key": NEW_KEY} | {
    f"{system.connection}.{name}": value
    for system in SYSTEMS
    for name, value in system.secrets.items()
    if name != "client_id"
}
ISSUED = re.compile(r"(?:access|refresh)-[0-9a-f]{8}[0-9a-f-]*")
"""What the sandboxes' token endpoints give out."""
BUYER = {"name": NAME, "email": EMAIL}
LINES = [{"sku": "MUG", "title": "Mug", "quantity": 2, "price": "10.00", "tax_rate": "20"}]
TROUBLE = {"html_200": 0.1, "expired_token": 0.1, "error_5xx": 0.1, "rate_429": 0.1, "reset_after_commit": 0.1}
TARGETS = {
    "crm": "order = true",
    "books": 'document = "invoice"',
    "qbo": 'document = "invoice"',
    "pay": 'document = "invoice"',
}
FLOW = '[[tenant.flows]]\nname = "web"\nkey_giver = "shop"\nmode = "live"\n' + "".join(
    f'[[tenant.flows.targets]]\nconnection = "{name}"\n{how}\n' for name, how in TARGETS.items()
)
ASKED = (
    ("dead-letters", "list"), ("dead-letters", "list", "--json"), ("connections", "list"), ("parked", "list"), ("flows", "list"),
    ("conflicts", "list"), ("orders", "list"), ("plan",), ("check",),
)  # fmt: skip
ROLES = ("streams", "connectors", "gateway")


class Found(msgspec.Struct):
    """What was looked at, and the canaries in it."""

    texts: int = 0
    size: int = 0
    leaks: list[str] = []
    injected: int = 0
    letters: int = 0
    orders: int = 0

    def search(self, where: str, text: str, canaries: Mapping[str, str]) -> None:
        """Look for *canaries* in *text*."""
        self.texts, self.size = self.texts + 1, self.size + len(text)
        self.leaks += [
            f"{what} in {where}: ...{_around(text, value)}..." for what, value in canaries.items() if value in text
        ]
        if (token := ISSUED.search(text)) is not None:
            self.leaks.append(f"an issued token in {where}: ...{_around(text, token[0])}...")

    @property
    def line(self) -> str:
        """Return what was done and found, in one line."""
        return (
            f"canaries: {self.orders} orders written everywhere through {self.injected} faults, {self.letters} dead letters, "
            f"{self.texts} texts of {self.size / 1e6:.1f} MB searched for {len(PERSON) + len(SECRETS)} canaries and issued tokens, "
            f"{len(self.leaks)} found where they must not be"
        )


async def flown(bootstrap: str, folder: Path) -> Found:
    """Let the canaries fly and return where they were seen; AssertionError when they did not get everywhere."""
    found = Found()
    async with _running(bootstrap, folder) as (stack, path, boxes):
        boxes["shop"].hooks.add(
            f"http://127.0.0.1:{_ports(path)['gateway']}/hooks/demo/shop",
            "shpss_sandbox",
            frozenset(("orders/create", "orders/updated")),
        )
        for box in boxes.values():
            box.injector.faults = box.injector.faults.changed(TROUBLE)
        await _spoil(bootstrap, _prefix(path), path)
        numbers = [f"SO-{number}" for number in range(1, 7)]
        for number in numbers:
            await _act(stack, number, "EUR")
        await _act(stack, "SO-refused", "XAF")  # no ledger has that currency
        await asyncio.sleep(10)
        for box in boxes.values():
            found.injected += sum(box.injector.injected.values())
            box.injector.faults = box.injector.faults.changed(dict.fromkeys(TROUBLE, 0.0))
        await _until(
            lambda: all(_holds(boxes[name], len(numbers)) for name in TARGETS), stack, "every system holds every order"
        )
        found.orders = len(numbers)
        await _rotated(stack, path)
        async with aiohttp.ClientSession() as session:
            for role, port in _ports(path).items():
                for page in ("metrics", "health/live", "health/ready"):
                    async with session.get(f"http://127.0.0.1:{port}/{page}") as reply:
                        found.search(f"/{page} of {role}", await reply.text(), PERSON | SECRETS)
        await _search_topics(bootstrap, _prefix(path), found)
        for words in ASKED:
            found.search(f"o2c {' '.join(words)}", await asyncio.to_thread(_said, words, path), PERSON | SECRETS)
    for role in ROLES:
        found.search(f"the log of {role}", (folder / f"{role}-1.log").read_text(), PERSON | SECRETS)
    assert found.injected > 0
    assert found.letters >= 8, found.line
    return found


@asynccontextmanager
async def _running(bootstrap: str, folder: Path) -> AsyncIterator[tuple[Stack, Path, dict[str, Sandbox]]]:
    async with AsyncExitStack() as after:
        stack, boxes = Stack(folder), dict[str, Sandbox]()
        after.push_async_callback(stack.stop)
        for system in SYSTEMS:
            box = boxes[system.connection] = find(system.platform)(system.account, quota_scale=50.0)
            stack.urls[system.connection] = await box.start()
            after.push_async_callback(box.stop)
        text = config(stack.urls, bootstrap, free_port(), 50.0, f"canary-{uuid.uuid4().hex[:8]}-", 3.0).partition(
            "[[tenant.flows]]"
        )[0]
        text = re.sub(r'^key = ".*"$', f'key = "{KEY}"', text, flags=re.MULTILINE)
        text = text.replace("[gateway]\n", f'[gateway]\napi_keys = ["{API_KEY}"]\n')
        head, *sections = re.split(r"(?m)^(?=\[tenant\.connections\.)", text)
        text = head + "".join(map(_settled, sections))
        path = folder / "o2c.toml"
        path.write_text(text + FLOW, encoding="utf-8")
        await apply_topics(load(path, os.environ))
        for role in ROLES:
            await stack.start_role(role, path, f"{role}-1")
        await _until_ready(path, stack)
        yield stack, path, boxes


def _settled(section: str) -> str:
    """Return a connection's section with the time after which a lost answer is asked for."""
    own = section.replace("options = { ", f"options = {{ {SETTLED}, ")
    return own if own != section else f"{section}options = {{ {SETTLED} }}\n"


async def _act(stack: Stack, number: str, currency: str) -> None:
    asked: dict[str, Any] = {"reference": number, "currency": currency, "lines": LINES, "note": f"for {NAME}, {STREET}"}
    url = f"{stack.urls['shop']}/_sandbox/act/create_order"
    async with aiohttp.ClientSession() as session, session.post(url, json={**asked, **BUYER}) as reply:
        assert reply.status == 200, await reply.text()


def _holds(box: Sandbox, count: int) -> bool:
    return sum(row["kind"] in {"order", "invoice"} for row in box.books()) >= count


async def _spoil(bootstrap: str, prefix: str, path: Path) -> None:
    """Put canaries where somebody will have to refuse them: on every topic that is read, and before the gateway."""
    ref = {"connection": "shop", "account": "demo.myshopify.com", "type": "order", "id": "7"}
    event = {"tenant": "demo", "object": ref, "presence": EMAIL, "facts": {"type": EMAIL, "note": NAME}}
    headers = [("ce_type", b"o2c.order.changed.v1"), ("ce_specversion", b"1.0")]
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for topic in (
            topics.CRM_CHANGES,
            topics.COMMANDS,
            topics.DELIVERIES,
            topics.HINTS,
            topics.RESULTS,
            topics.LINKS,
            topics.DECISIONS,
        ):
            for body in ({**event, "capability": EMAIL, "kind": EMAIL, "outcome": EMAIL}, [EMAIL]):
                await producer.send_and_wait(prefix + topic, json.dumps(body).encode(), key=b"books", headers=headers)
    finally:
        await producer.stop()
    head = {"specversion": "1.0", "type": "o2c.order.changed.v1", "source": "/x", "id": "1", "data": event}
    sent = {"Content-Type": "application/cloudevents+json"}
    url = f"http://127.0.0.1:{_ports(path)['gateway']}"
    async with aiohttp.ClientSession() as session:
        for key, status in ((API_KEY, 400), (f"{API_KEY}x", 401)):
            authorised = {**sent, "Authorization": f"Bearer {key}"}
            async with session.post(f"{url}/events", json=head, headers=authorised) as reply:
                assert reply.status == status
                assert EMAIL not in await reply.text()


def _rewrite(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace(API_KEY, NEW_KEY), encoding="utf-8")


async def _rotated(stack: Stack, path: Path) -> None:
    """Give the service another key while the gateway runs."""
    _rewrite(path)
    next(one for one in stack._running if one.name == "gateway-1").process.send_signal(signal.SIGHUP)
    url, began = f"http://127.0.0.1:{_ports(path)['gateway']}/events", time.monotonic()
    async with aiohttp.ClientSession() as session:
        for key, status in ((NEW_KEY, 400), (API_KEY, 401)):
            answer = 0
            while answer != status:
                async with session.post(url, json={}, headers={"Authorization": f"Bearer {key}"}) as reply:
                    answer = reply.status
                assert time.monotonic() - began < PATIENCE, f"the gateway answers {answer}"


async def _search_topics(bootstrap: str, prefix: str, found: Found) -> None:
    """Look into the headers of every record, into published states, and for secrets into everything."""
    names = [prefix + topic.name for topic in topics.TOPICS]
    consumer = AIOKafkaConsumer(*names, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        heads, bodies = dict[str, list[str]](), dict[str, list[str]]()
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                topic = place.topic.removeprefix(prefix)
                for record in records:
                    heads.setdefault(topic, []).extend(value.decode("utf-8", "replace") for _, value in record.headers)
                    bodies.setdefault(topic, []).append((record.value or b"").decode("utf-8", "replace"))
    finally:
        await consumers.stop(consumer)
    found.letters = len(bodies.get(topics.DEAD_LETTERS, ()))
    for topic, values in heads.items():
        found.search(f"headers on {topic}", "\n".join(values), PERSON | SECRETS)
    for topic, values in bodies.items():
        everybody = PERSON if topic in {topics.ORDER_STATES, topics.TOKENS, topics.BROADCAST, topics.CURSORS} else {}
        found.search(f"values on {topic}", "\n".join(values), {**everybody, **SECRETS})


def _said(words: Iterable[str], path: Path) -> str:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), contextlib.suppress(SystemExit):
        main([*words, "--config", str(path)])
    return out.getvalue()


def _ports(path: Path) -> dict[str, int]:
    settings = load(path, {})
    return {role: getattr(settings, role).port for role in ROLES}


def _prefix(path: Path) -> str:
    return load(path, {}).topics.prefix


async def _until_ready(path: Path, stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:

        async def ready() -> bool:
            for port in _ports(path).values():
                try:
                    async with session.get(f"http://127.0.0.1:{port}/health/ready") as reply:
                        if reply.status != 200:
                            return False
                except aiohttp.ClientError:
                    return False
            return True

        began = time.monotonic()
        while not await ready():
            _alive(stack)
            assert time.monotonic() - began < PATIENCE, "not every role became ready"
            await asyncio.sleep(0.5)


async def _until(true: Any, stack: Stack, what: str) -> None:
    began = time.monotonic()
    while not true():
        _alive(stack)
        assert time.monotonic() - began < PATIENCE, f"not within {PATIENCE:.0f} s: {what}"
        await asyncio.sleep(0.5)


def _alive(stack: Stack) -> None:
    assert not (dead := stack.dead()), dead[0].log.read_text()[-2_000:]


def _around(text: str, value: str) -> str:
    at = text.index(value)
    return " ".join(text[max(0, at - 60) : at + len(value) + 20].split())
