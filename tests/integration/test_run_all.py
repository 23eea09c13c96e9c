"""`o2c run all`: its words reach every role, and a role that dies is started again while the others go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from app.cli.run import ROLES
from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.stack import free_port
from tests.e2e.configuring import API_KEY, SERVICE, head

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]
PATIENCE = 120.0
EVENT: dict[str, Any] = {
    "specversion": "1.0", "type": "o2c.order.changed.v1", "source": "/demo/erp/erp-1", "id": "1",
    "data": {
        "tenant": "demo", "object": {"connection": "erp", "account": "erp-1", "type": "order", "id": "4711"},
        "version": {"native": 1}, "facts": {"type": "order", "number": "4711", "currency": "EUR", "status": "open"},
    },
}  # fmt: skip


class Terminal:
    """A pseudo-terminal that somebody reads: programs believe that a person looks."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self._text = b""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: everybody hung up
            while read := os.read(self._ours, 65_536):
                self._text += read

    def lines(self) -> list[str]:
        return self._text.decode(errors="replace").splitlines()

    def close(self) -> None:
        os.close(self.theirs)
        self._reading.join()
        os.close(self._ours)


def _roles(supervisor: int) -> dict[str, int]:
    """Return the process id of each role that runs below *supervisor*."""
    found = {}
    for child in psutil.Process(supervisor).children():
        with suppress(psutil.Error):
            found |= {role: child.pid for role in ROLES if role in child.cmdline()}
    return found


async def _until(true: Callable[[], Awaitable[bool]], terminal: Terminal) -> None:
    until = time.monotonic() + PATIENCE
    while not await true():
        assert time.monotonic() < until, "\n".join(terminal.lines()[-30:])
        await asyncio.sleep(0.2)


@asynccontextmanager
async def supervised(config: Path, *words: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Terminal]]:
    """Run every role below one supervisor with a terminal for errors; all of it has ended afterwards."""
    terminal = Terminal()
    command = [sys.executable, "-m", "app", "run", "all", "--config", str(config), *words]
    process = await asyncio.create_subprocess_exec(*command, stderr=terminal.theirs)
    below = psutil.Process(process.pid)
    try:
        yield process, terminal
    finally:
        if process.returncode is None:
            left = below.children(recursive=True)
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 60)
            for one in left:
                with suppress(psutil.Error):
                    one.kill()
        terminal.close()


async def test_a_role_that_is_killed_comes_back_and_the_gateway_answers_meanwhile(kafka: str, tmp_path: Path) -> None:
    ports = {role: free_port() for role in ROLES}
    console = f"[console]\nport = {ports['console']}\n"
    text = head(kafka, f"all-{uuid.uuid4().hex[:8]}-", ports, 2) + f'{console}[[tenant]]\nname = "demo"\n' + SERVICE
    config = tmp_path / "o2c.toml"
    config.write_text(text, encoding="utf-8")
    settings = load(config, {})
    await apply_topics(settings)

    async with (
        supervised(config, "--worker", "seven", "--json") as (process, terminal),
        aiohttp.ClientSession() as session,
    ):

        async def ready(*asked: str) -> bool:
            with suppress(aiohttp.ClientError):
                for role in asked:
                    async with session.get(f"http://127.0.0.1:{ports[role]}/health/ready") as reply:
                        if reply.status != 200:
                            return False
                return True
            return False

        async def started_again() -> bool:
            return _roles(process.pid).get("streams", killed) != killed

        await _until(lambda: ready(*ROLES), terminal)
        before = _roles(process.pid)
        assert before.keys() == set(ROLES)
        killed = before["streams"]
        os.kill(killed, signal.SIGKILL)
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/cloudevents+json"}
        async with session.post(f"{settings.gateway.public_url}/events", json=EVENT, headers=headers) as reply:
            assert reply.status == 202, await reply.text()
        await _until(started_again, terminal)
        await _until(lambda: ready(*ROLES), terminal)
        after = _roles(process.pid)
        assert {role: pid for role, pid in after.items() if role != "streams"} == {
            role: pid for role, pid in before.items() if role != "streams"
        }

        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert [pid for pid in after.values() if psutil.pid_exists(pid)] == []

    said = [json.loads(line) for line in terminal.lines()]  # each, although a terminal was there
    assert [(one["event"], one["role"], one["code"]) for one in said if one["event"] == "role.died"] == [
        ("role.died", "streams", -signal.SIGKILL)
    ]
    assert {one["worker"] for one in said} == {"seven"}
    assert {one["role"] for one in said} >= {"streams", "connectors"}
    assert (settings.data_dir / "seven").is_dir()
