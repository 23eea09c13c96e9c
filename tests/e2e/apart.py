"""A pipeline whose sandboxes are processes as well, acted on and looked at over HTTP and Kafka alone.

With libfaketime the clock of every process but Kafka and the test can be set; waits within a process stay as they are.
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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.connectors.bus import Bus
from app.console.states import read_orders
from app.core import topics
from app.demo.registering import register_webhooks
from app.demo.stack import SYSTEMS, Stack
from app.demo.verdict import order_key
from schemas.order_state import PublicOrder
from tests.e2e.configuring import API_KEY, SERVICE, written

Row = dict[str, Any]
PATIENCE = 300.0
NEVER = 86_400.0
ROLES = ("streams", "connectors", "gateway")
_ACCOUNT = {system.connection: system.account for system in SYSTEMS}


@dataclass
class Apart:
    """What a test acts on."""

    stack: Stack
    session: aiohttp.ClientSession
    settings: Settings
    config: Path
    clock: Path | None = None
    late: float = 0.0
    """How many seconds the clock is behind."""

    # -- acting --------------------------------------------------------------------------------------------------------

    async def act(self, system: str, verb: str, **asked: Any) -> Row:
        """Do in *system* what a person does there."""
        return await self._post(f"{self.stack.urls[system]}/_sandbox/act/{verb}", asked)

    async def knobs(self, system: str, **wanted: float) -> Row:
        """Turn the knobs of a sandbox; return them, and how often each fault has struck."""
        return await self._post(f"{self.stack.urls[system]}/_sandbox/faults", wanted)

    async def tell(self, kind: str, data: Row, source: str = "/demo/erp/erp-1") -> None:
        """Post an event of another service, and see it accepted."""
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/cloudevents+json"}
        event = {
            "specversion": "1.0",
            "type": f"o2c.{kind}.changed.v1",
            "source": source,
            "id": uuid.uuid4().hex,
        }
        url = f"{self.settings.gateway.public_url}/events"
        async with self.session.post(url, data=json.dumps({**event, "data": data}), headers=headers) as reply:
            assert reply.status == 202, await reply.text()

    async def _post(self, url: str, asked: Mapping[str, Any]) -> Row:
        async with self.session.post(url, json=asked) as reply:
            answer: Row = await reply.json()
            assert reply.status == 200, answer
            return answer

    async def consents(self, connection: str) -> None:
        """Connect *connection* again, as a person does."""
        words = ["-m", "app", "connect", connection, "--config", str(self.config), "--no-browser", "--port", "0"]
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
        assert f"{connection} is connected".encode() in out

    async def dies(self, role: str) -> None:
        """Kill a role as a power cut does, and start it again."""
        await self.stack.kill(f"{role}-1")
        await self.stack.start_role(role, self.config, f"{role}-1")

    async def forward(self, seconds: float) -> None:
        """Let time pass for every process."""
        assert self.clock is not None
        self.late -= seconds
        assert self.late >= 0, "the future is not simulated"
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(f"-{self.late:.0f}" if self.late else "+0", encoding="utf-8")
        fresh.replace(self.clock)
        await asyncio.sleep(1.5)  # each process looks once a second

    async def strikes(self, system: str, **times: int) -> None:
        """Let faults strike the next so many times."""
        await self._post(f"{self.stack.urls[system]}/_sandbox/strikes", times)

    # -- looking -------------------------------------------------------------------------------------------------------

    def key(self, system: str, type_: str, id_: str) -> str:
        """Return the order key that an object of *system* gives."""
        return order_key("demo", system, _ACCOUNT[system], type_, id_)

    async def books(self, system: str, *kinds: str) -> list[Row]:
        """Return what *system* really holds of *kinds*."""
        async with self.session.get(f"{self.stack.urls[system]}/_sandbox/books") as reply:
            rows = [json.loads(line) for line in (await reply.text()).splitlines()]
        return [row for row in rows if row["kind"] in kinds]

    async def log(self, system: str) -> Row:
        """Return the calls that *system* has had, and its counters."""
        async with self.session.get(f"{self.stack.urls[system]}/_sandbox/requests") as reply:
            return dict(await reply.json())

    async def states(self) -> dict[str, PublicOrder]:
        """Return every order as it is published."""
        return await read_orders(self.settings)

    async def records(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """Return every record on *topic*."""
        kafka = self.settings.kafka
        bus = Bus(kafka.bootstrap, self.settings.topics.prefix, kafka.partitions, {})
        return [pair async for pair in bus.records(topic)]

    async def marks(self, connection: str) -> list[str]:
        """Return the moments up to which sweeps of the connection said they saw everything, oldest first."""
        prefix = f"{connection}|".encode()
        rows = [
            json.loads(value) for key, value in await self.records(topics.CURSORS) if key.startswith(prefix) and value
        ]
        return sorted(row["complete_up_to"] for row in rows if row.get("complete_up_to"))

    async def metric(self, role: str, name: str) -> dict[str, float]:
        """Return the series of a metric on a role's page: labels as text -> value."""
        async with self.session.get(f"http://127.0.0.1:{getattr(self.settings, role).port}/metrics") as reply:
            lines = (await reply.text()).splitlines()
        pairs = [line.rpartition(" ") for line in lines if line.startswith(name)]
        return {series.removeprefix(name): float(value) for series, _, value in pairs}

    def log_of(self, role: str) -> list[Row]:
        """Return the lines that a role has logged so far."""
        lines = (self.stack.folder / f"{role}-1.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def lag(self) -> int:
        """Return how many webhooks and records nobody has finished with."""
        waiting = 0
        for url in self.stack.urls.values():
            async with self.session.get(f"{url}/_sandbox/webhooks") as reply:
                waiting += int((await reply.json())["pending"])
        for role in ("streams", "connectors"):
            waiting += int(sum((await self.metric(role, "o2c_lag")).values()))
        return waiting

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def until(self, true: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE) -> None:
        """Wait until *true* holds."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                if await true():
                    return
            assert not (dead := self.stack.dead()), f"{dead[0].name} ended: {dead[0].log.read_text()[-2_000:]}"
            assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
            await asyncio.sleep(0.5)

    async def quiet(self, seconds: float = 3.0) -> None:
        """Wait until nobody has anything to read and no system was written to for a while."""

        async def silent() -> bool:
            before = await self._written()
            await asyncio.sleep(seconds)
            return await self.lag() == 0 and await self._written() == before

        await self.until(silent, "silence")

    async def _written(self) -> list[int]:
        return [int((await self.log(system))["counters"]["mutating"]) for system in self.stack.urls]


@contextlib.asynccontextmanager
async def apart(
    bootstrap: str, folder: Path, flow: str, *, sweep: float, settle: float = 1.0, late: float = 0.0
) -> AsyncIterator[Apart]:
    """Start sandboxes and roles as processes, with webhooks, and stop them; *flow* as the configuration writes it.

    *late* seconds behind begins a clock that `forward` moves.
    """
    stack, prefix = Stack(folder, 50.0), f"apart-{uuid.uuid4().hex[:8]}-"
    clock = folder / "clock" if late else None
    async with aiohttp.ClientSession() as session:
        with pytest.MonkeyPatch.context() as patch:
            if clock is not None:
                _fake(patch, clock, late)
            try:
                await stack.start_sandboxes()
                path = folder / "o2c.toml"
                text = written(stack.urls, bootstrap, prefix, sweep=sweep, flow=flow, settle=settle)
                path.write_text(text, encoding="utf-8")
                await apply_topics(load(path, os.environ))
                await register_webhooks(stack.urls, path)
                path.write_text(path.read_text("utf-8") + SERVICE, encoding="utf-8")
                there = Apart(stack, session, load(path, os.environ), path, clock, late)
                for role in ROLES:
                    await stack.start_role(role, path, f"{role}-1")
                for role in ROLES:
                    await there.until(lambda role=role: _ready(there, role), f"{role} is ready")  # type: ignore[misc]
                yield there
            finally:
                await stack.stop()


async def _ready(there: Apart, role: str) -> bool:
    async with there.session.get(f"http://127.0.0.1:{getattr(there.settings, role).port}/health/ready") as reply:
        return reply.status == 200


# -- the clock ---------------------------------------------------------------------------------------------------------


def library() -> Path | None:
    """Return libfaketime, which lies beside the command `faketime`; None where it is not installed."""
    command = shutil.which("faketime")
    found = Path(command).resolve().parent.parent.glob("lib/*/faketime/libfaketimeMT.so.1") if command else iter(())
    return next(found, None)


def _fake(patch: pytest.MonkeyPatch, clock: Path, late: float) -> None:
    """Let every process started from now on live by the file *clock*."""
    clock.write_text(f"-{late:.0f}", encoding="utf-8")
    patch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    patch.setenv("FAKETIME_CACHE_DURATION", "1")
    patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    patch.setenv("LD_PRELOAD", str(library()))
