"""The whole pipeline running: real Kafka, one process per role, five sandbox systems over HTTP, signed webhooks.

Tests act as people do (through the sandboxes' own doors) and look where people look (books, order states). That nothing
more happens is only claimed after the pipeline has read everything: see `Running.silent`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.core import consumers, topics
from app.demo.registering import register_webhooks
from app.demo.stack import SYSTEMS, Stack
from app.demo.verdict import order_key
from app.sandbox.__main__ import find
from app.sandbox.base import Sandbox
from schemas.findings import Finding
from schemas.order_state import PublicOrder
from tests.e2e.configuring import API_KEY, SERVICE, flows, written

PATIENCE = 150.0
"""Seconds to wait for something to happen: a busy machine is slow, not wrong."""
QUIET = 5.0
"""Seconds without a write that count as silence; every connection is swept twice in it."""
SWEEP = 2.5
SYSTEM = {system.connection: system for system in SYSTEMS}
_PAUSE = 0.1
_READERS = {
    "o2c-streams": (
        topics.CRM_CHANGES, topics.ACCOUNTING_CHANGES, topics.ORDER_FACTS, topics.LINKS, topics.RESULTS,
    ),
    "o2c-connectors": (topics.COMMANDS, topics.HINTS),
    "o2c-deliveries": (topics.DELIVERIES,),
}  # fmt: skip
_DECODER = msgspec.json.Decoder(PublicOrder)
Row = dict[str, Any]
Offsets = dict[TopicPartition, int]


@dataclass
class Running:
    """A started pipeline and what a test needs to act on it and to watch it."""

    stack: Stack
    settings: Settings
    session: aiohttp.ClientSession
    sandboxes: dict[str, Sandbox]
    consumer: AIOKafkaConsumer
    """Of order-states alone: assigned, in no group."""
    admin: AIOKafkaAdminClient
    hooks: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    """Connection -> every webhook it emitted, ready to be sent again."""
    states: dict[str, PublicOrder] = field(default_factory=dict)
    acts: int = 0

    # -- acting --------------------------------------------------------------------------------------------------------

    async def act(self, system: str, verb: str, **asked: Any) -> Row:
        """Do in *system* what a person does there."""
        async with self.session.post(f"{self.stack.urls[system]}/_sandbox/act/{verb}", json=asked) as reply:
            answer: Row = await reply.json()
            assert reply.status == 200, f"{system} {verb}: {answer}"
            return answer

    async def tell(self, kind: str, id_: str, facts: Row, *, native: int = 1, anchors: Iterable[Row] = ()) -> None:
        """Post an event of the company's other service, and see it accepted."""
        ref = {"connection": "erp", "account": "erp-1", "type": kind, "id": id_}
        data = {"tenant": "demo", "object": ref, "version": {"native": native}, "facts": {"type": kind, **facts}}
        event = {
            "specversion": "1.0", "type": f"o2c.{kind}.changed.v1", "source": "/demo/erp/erp-1", "id": uuid.uuid4().hex,
            "data": {**data, "anchors": list(anchors)},
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/cloudevents+json"}
        url = f"{self.settings.gateway.public_url}/events"
        async with self.session.post(url, data=json.dumps(event), headers=headers) as reply:
            assert reply.status == 202, await reply.text()

    def name(self, prefix: str) -> str:
        """Return an order number that nobody used."""
        self.acts += 1
        return f"{prefix}-{self.acts:03d}"

    def key(self, system: str, type_: str, id_: str) -> str:
        """Return the order key that an object of *system* gives."""
        return order_key("demo", system, SYSTEM[system].account, type_, id_)

    # -- looking -------------------------------------------------------------------------------------------------------

    def books(self, system: str) -> list[Row]:
        """Return what *system* really holds."""
        return sorted(self.sandboxes[system].books(), key=lambda row: (row["kind"], str(row["id"])))

    def of(self, system: str, key: str, *kinds: str) -> list[Row]:
        """Return the rows of *kinds* that belong to the order *key* in *system*: by mark, or by what they hang on."""
        rows = self.books(system)
        own = {one.id.rpartition("/")[2] for one in self.order(key).shown if one.connection == system}
        heads = {str(row["id"]) for row in rows if _marked(row, key) or str(row["id"]).rpartition("/")[2] in own}
        found = [row for row in rows if {str(row.get("invoice_id")), str(row.get("order_id")), str(row["id"])} & heads]
        return [row for row in found if row["kind"] in kinds]

    def one(self, system: str, key: str, kind: str) -> Row:
        """Return the single row of *kind* that *system* holds of the order."""
        rows = self.of(system, key, kind)
        assert len(rows) == 1, f"{system} holds {len(rows)} {kind} of {key}: {rows}"
        return rows[0]

    def order(self, key: str) -> PublicOrder:
        """Return the newest public state of an order; an empty one while there is none."""
        return self.states.get(key) or PublicOrder(key=key, tenant="demo")

    def findings(self, key: str) -> list[Finding]:
        """Return what is found about an order, but that it looks like others: one customer buys the same here all day."""
        return [one for one in self.order(key).findings if one.code != "alike"]

    def writes(self) -> dict[str, int]:
        """Return how many changing calls each system has had."""
        return {name: sandbox.counters["mutating"] for name, sandbox in self.sandboxes.items()}

    def since(self, before: Mapping[str, int]) -> dict[str, int]:
        """Return the changing calls since *before*, without the systems that had none."""
        return {name: count - before[name] for name, count in self.writes().items() if count != before[name]}

    def last_writes(self, before: Mapping[str, int]) -> dict[str, list[str]]:
        """Return the operations since *before*, for the message of a failed test."""
        found = {}
        for name, count in self.since(before).items():
            entries = [entry for entry in self.sandboxes[name].log if entry.mutating]
            found[name] = [f"{entry.method} {entry.operation} {entry.status}" for entry in entries[-count:]]
        return found

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def until(self, true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> float:
        """Wait until *true* holds and return the seconds it took; an AssertionError says what was waited for."""
        began = time.monotonic()
        why = ""
        while time.monotonic() - began < seconds:
            try:
                if true():
                    return time.monotonic() - began
            except AssertionError as error:
                why = str(error)
            await asyncio.sleep(_PAUSE)
            self._alive()
        raise AssertionError(f"not within {seconds:.0f} s: {what}. {why}")

    def _alive(self) -> None:
        if dead := self.stack.dead():
            raise AssertionError(f"{dead[0].name} ended: {dead[0].log.read_text()[-2_000:]}")

    async def ends(self, names: Iterable[str]) -> Offsets:
        """Return the end offset of every partition of the topics *names*."""
        prefix, count = self.settings.topics.prefix, self.settings.kafka.partitions
        found: Offsets = await self.consumer.end_offsets(
            [TopicPartition(prefix + name, part) for name in names for part in range(count)]
        )
        return found

    async def lag(self) -> int:
        """Return how many records of any topic a role has not finished with, and webhooks nobody has taken."""
        waiting = sum(sandbox.hooks.pending for sandbox in self.sandboxes.values())
        for group, names in _READERS.items():
            ends = await self.ends(names)
            done = await self.admin.list_consumer_group_offsets(self.settings.topics.prefix + group)
            waiting += sum(end - max(0, done[place].offset if place in done else 0) for place, end in ends.items())
        return waiting

    async def caught_up(self, seconds: float = PATIENCE) -> None:
        """Wait until every webhook was taken and every record was finished with, committed by its role's group."""
        began = time.monotonic()
        while (left := await self.lag()) and time.monotonic() - began < seconds:
            await asyncio.sleep(_PAUSE)
            self._alive()
        assert left == 0, f"{left} records were not read within {seconds:.0f} s"

    async def idle(self, seconds: float = 3.0) -> None:
        """Wait until no system was called at all for *seconds*: where nothing is swept again, first sweeps are over."""
        before, since = -1, time.monotonic()
        while time.monotonic() - since < seconds or before < len(self.sandboxes):
            now = sum(sandbox.counters["total"] for sandbox in self.sandboxes.values())
            if now != before:
                before, since = now, time.monotonic()
            await asyncio.sleep(_PAUSE)
            self._alive()

    async def silent(self, seconds: float = QUIET) -> dict[str, int]:
        """Wait for silence and return the writes until then: caught up, then *seconds* without a write, still caught up.

        A write, a command or a record that comes in between begins the wait anew, so that lateness is never silence.
        """
        began = time.monotonic()
        while time.monotonic() - began < 4 * PATIENCE:
            await self.caught_up()
            before, commands = self.writes(), await self.ends([topics.COMMANDS, topics.RESULTS])
            if await self._held(before, seconds):
                await self.caught_up()
                if (self.writes(), await self.ends([topics.COMMANDS, topics.RESULTS])) == (before, commands):
                    return before
        raise AssertionError("the pipeline never fell silent")

    async def _held(self, before: Mapping[str, int], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(_PAUSE)
            self._alive()
            if self.writes() != before:
                return False
        return True

    async def follow(self) -> None:
        """Keep `states` up to date until cancelled."""
        async for record in self.consumer:
            key = record.key.decode()
            if record.value is None:
                self.states.pop(key, None)
            else:
                self.states[key] = _DECODER.decode(record.value)


def _marked(row: Mapping[str, Any], key: str) -> bool:
    return f"o2c1:{key}:" in str(row.get("mark") or "")


# -- starting ----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(
    bootstrap: str,
    folder: Path,
    prefix: str,
    *,
    webhooks: bool = True,
    sweep: float = SWEEP,
    flow: str = "",
    start: str = "beginning",
    settle: float | None = None,
    past: Callable[[Running], Awaitable[None]] | None = None,
    adjusted: Callable[[str], str] = str,
) -> AsyncIterator[Running]:
    """Start everything and stop it: with or without webhooks, swept every *sweep* seconds.

    *adjusted* returns the configuration that counts, made of the usual one.

    *settle* is how long a lost answer may still take effect, where it is not as long as the platforms say (seconds).
    *past* is what happened in the sandboxes before any role was started, *start* every connection's `start_at`.
    """
    async with contextlib.AsyncExitStack() as stack:
        pipeline = Stack(folder)
        stack.push_async_callback(pipeline.stop)
        sandboxes = {}
        for system in SYSTEMS:
            sandbox = sandboxes[system.connection] = find(system.platform)(system.account, quota_scale=50.0)
            pipeline.urls[system.connection] = await sandbox.start()
            stack.push_async_callback(sandbox.stop)
        hooks = {name: _recorded(sandbox) for name, sandbox in sandboxes.items()}
        text = written(pipeline.urls, bootstrap, prefix, sweep=sweep, flow=flow or flows(), start=start, settle=settle)
        path = folder / "o2c.toml"
        path.write_text(adjusted(text), encoding="utf-8")
        there = await watched(stack, pipeline, load(path, os.environ), sandboxes)
        there.hooks = hooks
        if past is not None:
            await past(there)
        if webhooks:
            there.settings = await register_webhooks(pipeline.urls, path)
        if not flow:
            path.write_text(path.read_text("utf-8") + SERVICE, encoding="utf-8")
            there.settings = load(path, os.environ)
        await started(stack, there, path)
        yield there


async def watched(
    stack: contextlib.AsyncExitStack, pipeline: Stack, settings: Settings, sandboxes: dict[str, Sandbox]
) -> Running:
    """Make the topics and return a pipeline over *sandboxes* whose roles are still to be started."""
    await apply_topics(settings)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    consumer = await _states(stack, settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    stack.push_async_callback(admin.close)
    return Running(pipeline, settings, session, sandboxes, consumer, admin)


async def started(stack: contextlib.AsyncExitStack, there: Running, config_path: Path) -> None:
    """Start every role, and return when webhooks are taken."""
    for role in ("streams", "connectors", "gateway"):
        await there.stack.start_role(role, config_path, f"{role}-1")
    following = asyncio.create_task(there.follow())
    stack.push_async_callback(_ended, following)
    await _ready(there)


def _recorded(sandbox: Sandbox) -> list[Callable[[], None]]:
    """Remember every webhook of *sandbox*, ready to be signed and sent once more."""
    sent: list[Callable[[], None]] = []
    push = sandbox.hooks.push

    def recording(body: bytes, **how: Any) -> None:
        sent.append(lambda: push(body, **how))
        push(body, **how)

    sandbox.hooks.push = recording  # type: ignore[method-assign]
    return sent


async def _states(stack: contextlib.AsyncExitStack, settings: Settings) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    stack.push_async_callback(consumers.stop, consumer)
    topic = settings.topics.prefix + topics.ORDER_STATES
    consumer.assign([TopicPartition(topic, number) for number in range(settings.kafka.partitions)])
    return consumer


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _ready(there: Running) -> None:
    """Wait for the gateway, and until both other roles have committed: then they read what comes."""

    async def answers() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with there.session.get(f"{there.settings.gateway.public_url}/health/ready") as reply:
                return reply.status == 200
        return False

    await _when(answers, there)


async def _when(true: Callable[[], Awaitable[bool]], there: Running) -> None:
    began = time.monotonic()
    while not await true():
        assert time.monotonic() - began < PATIENCE, "the gateway did not become ready"
        await asyncio.sleep(_PAUSE)
        there._alive()


def plain(rows: Iterable[Row]) -> str:
    """Return rows as text, for messages."""
    return "\n".join(json.dumps(row, default=str) for row in rows)
