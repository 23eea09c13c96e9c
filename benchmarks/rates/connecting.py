"""The connectors role against sandboxes: commands in, results out, and what each sandbox was asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.cli.topics import apply_topics
from app.config.load import load
from app.core import topics
from app.core.errors import ConfigError
from app.demo.stack import Stack, free_port
from benchmarks.rates.documents import Document
from benchmarks.rates.running import new_prefix
from schemas.broadcast import Fact
from schemas.commands import Command, Result

WORKER = "connectors-1"
PARTITIONS = 4
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Result).decode
_READY_SECONDS = 60.0
_FINE = 200
_TOKENS = ("/oauth", "/connect/token", "/identity", "/connections")
_SILENT = 60.0
"""Seconds without any result after which something is wrong."""


class Told(NamedTuple):
    """A result, and when it was written (seconds of the epoch)."""

    result: Result
    at: float


class Call(NamedTuple):
    """One call that a sandbox was asked for."""

    at: float
    method: str
    path: str
    mutating: bool
    status: int


@dataclass
class Rig:
    """Sandboxes, the role, and both ends of its topics."""

    bootstrap: str
    prefix: str
    stack: Stack
    session: aiohttp.ClientSession
    producer: AIOKafkaProducer
    told: dict[str, Told] = field(default_factory=dict)
    """Command -> its result."""
    due: dict[str, float] = field(default_factory=dict)
    """Command -> when it was due to be sent."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(connection, outcome) -> results so far."""
    heard: list[Callable[[Result], None]] = field(default_factory=list)
    """Called with each result."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def order(self, commands: Iterable[Command], due: float = 0.0) -> None:
        """Put *commands* on their topic; *due* is when they should have left (default: now)."""
        for command in commands:
            self.due[command.id] = due or time.time()
            key, value = command.connection.encode(), _ENCODE(command)
            await self.producer.send(self.prefix + topics.COMMANDS, value, key=key)

    async def say(self, kind: Any, subject: str, value: str) -> None:  # noqa: ANN401 - a kind of fact
        """Broadcast a fact, as people do."""
        fact = Fact(kind=kind, subject=subject, value=value)
        await self.producer.send_and_wait(self.prefix + topics.BROADCAST, _ENCODE(fact), key=fact.key)

    async def follow(self) -> None:
        """Take over every result as it comes."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self.prefix + topics.RESULTS, number) for number in range(PARTITIONS)])
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        self._take(_DECODE(record.value), record.timestamp / 1000)
        finally:
            await consumer.stop()

    def _take(self, result: Result, at: float) -> None:
        self.told[result.command] = Told(result, at)
        self.outcomes[result.connection, result.outcome] += 1
        for hear in self.heard:
            hear(result)
        self._news.set()

    async def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until *reached*; ConfigError names *what* when no result came for a minute, or the role ended."""
        while not reached():
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), _SILENT)
            except TimeoutError:
                raise ConfigError(f"No result came for {_SILENT:g} s while waiting for {what}.") from None
            if self.stack.dead():
                raise ConfigError(f"{self.stack.dead()[0].name} ended; see {self.stack.dead()[0].log}.")

    async def confirmed(self, documents: Iterable[Document], what: str) -> None:
        """Wait until the newest command of each document is confirmed, and take over what it came to.

        One that was overtaken by another write of its document is sent again on what is shown, as the streams do.
        """
        waiting = list(documents)
        while waiting:
            await self.until(partial(self._answered, waiting), what)
            again = []
            for document in waiting:
                result = self.told[document.newest].result
                if result.outcome == "stale":
                    document.overtaken(result)
                    again.append(document)
                elif result.outcome == "confirmed":
                    document.confirmed(result)
                else:
                    raise ConfigError(f"{what}: {document.connection} answered {result.outcome} ({result.reason}).")
            await self.order(document.change() for document in again)
            waiting = again

    def _answered(self, documents: Iterable[Document]) -> bool:
        return all(document.newest in self.told for document in documents)

    # -- what the sandboxes say ---------------------------------------------------------------------------------------

    async def calls(self, connection: str) -> list[Call]:
        """Return the vendor calls that a sandbox remembers, those for tokens left out."""
        async with self.session.get(f"{self.stack.urls[connection]}/_sandbox/requests") as reply:
            rows = (await reply.json())["requests"]
        return [
            Call(
                datetime.fromisoformat(row["at"]).timestamp(),
                row["method"],
                row["path"],
                row["mutating"],
                row["status"],
            )
            for row in rows
            if not row["path"].startswith(_TOKENS)
        ]

    async def refused(self, connection: str) -> int:
        """Return how often a sandbox answered that there were too many calls."""
        async with self.session.get(f"{self.stack.urls[connection]}/_sandbox/requests", params={"last": "0"}) as reply:
            return int((await reply.json())["counters"]["429"])

    async def books(self, connection: str) -> list[dict[str, Any]]:
        """Return what a system holds."""
        async with self.session.get(f"{self.stack.urls[connection]}/_sandbox/books") as reply:
            return [msgspec.json.decode(line) for line in (await reply.read()).splitlines()]

    async def faults(self, connection: str, **knobs: float) -> None:
        """Set faults of a sandbox."""
        async with self.session.post(f"{self.stack.urls[connection]}/_sandbox/faults", json=knobs) as reply:
            reply.raise_for_status()

    def logged(self, event: str) -> int:
        """Return how often the role logged *event*."""
        return (self.stack.folder / f"{WORKER}.log").read_bytes().count(f'"event": "{event}"'.encode())


@contextlib.asynccontextmanager
async def rigged(folder: Path, bootstrap: str, scale: float, shares: Mapping[str, float]) -> AsyncIterator[Rig]:
    """Run everything in *folder*; *scale* multiplies the sandboxes' quotas, *shares* are the connections' own."""
    stack, prefix = Stack(folder, scale, sweep_seconds=36_000), new_prefix()
    try:
        await stack.start_sandboxes()
        path = stack.write_config(bootstrap, free_port(), 1.0, prefix)
        path.write_text(_shared_out(path.read_text(encoding="utf-8"), shares), encoding="utf-8")
        settings = load(path, os.environ)
        await apply_topics(settings)
        await stack.start_role("connectors", path, WORKER)
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
        await producer.start()
        async with aiohttp.ClientSession() as session:
            rig = Rig(bootstrap, prefix, stack, session, producer)
            await _ready(rig, f"http://127.0.0.1:{settings.connectors.port}/health/ready")
            following = asyncio.create_task(rig.follow())
            try:
                yield rig
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                await producer.stop()
    finally:
        await stack.stop()


def _shared_out(config: str, shares: Mapping[str, float]) -> str:
    """Return *config* with each connection's own share of its quota."""
    for connection, share in shares.items():
        section = re.escape(f"[tenant.connections.{connection}]")
        config = re.sub(rf"({section}(?:\n(?!\[).*)*?\nquota_share = )[0-9.]+", rf"\g<1>{share}", config)
    return config


async def _ready(rig: Rig, url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and not rig.stack.dead():
        with contextlib.suppress(aiohttp.ClientError):
            async with rig.session.get(url) as reply:
                if reply.status == _FINE:
                    return
        await asyncio.sleep(0.2)
    raise ConfigError(f"The connectors did not become ready; see {rig.stack.folder}.")
