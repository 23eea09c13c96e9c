"""The system under test as processes: sandboxes, gateway, two stream workers, two connectors, and who restarts them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

from app.cli.topics import apply_topics
from app.config.load import load
from tests.chaos.load import GIVERS, TENANT

_LEDGERS = {
    "books": ("xero", "00000000-0000-4000-8000-000000000001", "/api.xro/2.0"),
    "qbo": ("quickbooks_online", "9130000000000001", ""),
}
"""Connection -> (platform, account, path); their names put them into partitions of different workers."""
_SETTINGS = {
    "books": {
        "secrets": {
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh",
        },
        "accounts": {"sales": "200", "payments": "090", "rounding": "860"},
        "taxes": {"20": "OUTPUT", "0": "NONE"},
    },
    "qbo": {
        "secrets": {
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh-token",
        },
        "accounts": {"sales": "1", "payments": "35", "rounding": "1"},
        "taxes": {"20": "TAX", "0": "NON"},
    },
}
_SCALE = 1000
_START = 180.0
"""Seconds that everything may take to start: busy machines are slow."""


class NotStartedError(Exception):
    """Something did not start, so that the run says nothing."""


@dataclass
class Worker:
    """One process that is started again whenever it ends."""

    role: str
    name: str
    process: asyncio.subprocess.Process
    log: Path
    since: int = 0
    """Where the log of the present process begins."""
    starts: int = 1
    killed: int = 0
    ended: list[int] = field(default_factory=list)
    """Exit codes of the ends that were not ours."""

    def said(self, event: str, *, now: bool = True) -> list[dict[str, Any]]:
        """Return the structured log lines of *event*: of the present process, or of all."""
        with self.log.open("rb") as log:
            log.seek(self.since if now else 0)
            lines = [line for line in log if event.encode() in line and line.startswith(b"{")]
        found = [json.loads(line) for line in lines if line.rstrip().endswith(b"}")]
        return [line for line in found if line.get("event") == event]

    def owns(self) -> list[str]:
        """Return the connections of the present process."""
        assigned = self.said("connectors.assigned")
        return list(assigned[-1]["connections"]) if assigned else []


class Rig:
    """Everything that runs; its files are in *folder*."""

    systems: ClassVar[Mapping[str, tuple[str, str, str]]] = _LEDGERS
    """Connection -> (platform, account, path)."""
    kept: ClassVar[Sequence[tuple[str, int]]] = (("streams", 2), ("connectors", 2))
    """Roles whose processes are started again whenever they end, and how many there are of each."""
    keys: ClassVar[frozenset[str]] = frozenset()
    """Connections whose sandbox obeys idempotency keys."""

    def __init__(self, folder: Path, bootstrap: str, prefix: str, *, latency: float, settle: float) -> None:
        """*latency*: how long a ledger takes for each answer; *settle*: how long a lost answer may still take effect."""
        self.folder, self.bootstrap, self.prefix = folder, bootstrap, prefix
        self.latency, self.settle = latency, settle
        self.sandboxes: dict[str, str] = {}
        self.workers: list[Worker] = []
        self.gateway = ""
        self.key = secrets.token_urlsafe(16)
        self.environment: dict[str, str] = {}
        """What the roles find in their environment beside ours."""
        self._plain: list[asyncio.subprocess.Process] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self, session: aiohttp.ClientSession, *, webhooks: bool) -> None:
        """Start all and return when the gateway is ready; webhooks of the ledgers lead to it."""
        await asyncio.gather(*(self._sandbox(session, name) for name in self.systems))
        port = _free_port()
        self.gateway = f"http://127.0.0.1:{port}"
        config = self.folder / "o2c.toml"
        config.write_text(self._config(port), encoding="utf-8")
        await apply_topics(load(config, {}))
        if webhooks:
            await self._webhooks(session, config)
        if "gateway" not in dict(self.kept):
            self._plain.append(await self._spawn("gateway", *self._words("gateway", "gateway", config)))
        for role, count in self.kept:
            for number in range(1, count + 1):
                await self._start_worker(role, f"{role}-{number}", config)
        await self._ready(session)

    async def _webhooks(self, session: aiohttp.ClientSession, config: Path) -> None:
        del config
        for name, url in self.sandboxes.items():
            hook = {"url": f"{self.gateway}/hooks/{TENANT}/{name}", "secret": f"{name}-hook"}
            async with session.post(f"{url}/_sandbox/webhooks", json=hook) as reply:
                reply.raise_for_status()

    async def _sandbox(self, session: aiohttp.ClientSession, name: str) -> None:
        platform, account, _ = self.systems[name]
        words = ("-m", "app.sandbox", platform, "--account", account, "--quota-scale", str(_SCALE))
        process = await self._spawn(name, *words, piped=True)
        self._plain.append(process)
        if process.stdout is None:
            raise RuntimeError(f"the sandbox {name} has no output")
        line = (await asyncio.wait_for(process.stdout.readline(), 90)).decode()
        self.sandboxes[name] = next(word for word in line.split() if word.startswith("http://"))
        knobs = {"idempotency_off": float(name not in self.keys), "latency_s": self.latency}
        async with session.post(f"{self.sandboxes[name]}/_sandbox/faults", json=knobs) as reply:
            reply.raise_for_status()

    def _words(self, role: str, worker: str, config: Path) -> tuple[str, ...]:
        return ("-m", "app", "run", role, "--config", str(config), "--worker", worker, "--json")

    async def _spawn(self, name: str, *words: str, piped: bool = False) -> asyncio.subprocess.Process:
        with (self.folder / f"{name}.log").open("ab") as errors:
            out = asyncio.subprocess.PIPE if piped else errors
            where = {**os.environ, **self.environment}
            return await asyncio.create_subprocess_exec(sys.executable, *words, stdout=out, stderr=errors, env=where)

    async def _start_worker(self, role: str, name: str, config: Path) -> None:
        words = self._words(role, name, config)
        worker = Worker(role, name, await self._spawn(name, *words), self.folder / f"{name}.log")
        self.workers.append(worker)
        self._keepers.append(asyncio.create_task(self._keep(worker, words)))

    async def _keep(self, worker: Worker, words: tuple[str, ...]) -> None:
        while True:
            code = await worker.process.wait()
            if self._stopping:
                return
            if code != -signal.SIGKILL:
                worker.ended.append(code)
                await asyncio.sleep(0.5)
            worker.since = worker.log.stat().st_size
            worker.starts += 1
            worker.process = await self._spawn(worker.name, *words)

    async def _ready(self, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and not any(process.returncode for process in self._plain):
            try:
                async with session.get(f"{self.gateway}/health/ready") as reply:
                    if reply.status == 200 and self._all_are_up():
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
        raise NotStartedError(f"The roles did not become ready; see the logs in {self.folder}.")

    def _all_are_up(self) -> bool:
        """Tell whether every connector owns something, and each system said whose account it is and what is closed."""
        workers = self.of("connectors")
        up = {line["connection"] for worker in workers for line in worker.said("connection.up")}
        return all(worker.owns() for worker in workers) and up >= self.sandboxes.keys()

    def of(self, role: str) -> list[Worker]:
        """Return the workers of *role*."""
        return [worker for worker in self.workers if worker.role == role]

    def alive(self) -> list[Worker]:
        """Return the workers that have a process now."""
        return [worker for worker in self.workers if worker.process.returncode is None]

    def kill(self, worker: Worker) -> None:
        """Send SIGKILL."""
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.killed += 1

    async def stop(self) -> dict[str, int]:
        """End all, workers before sandboxes; return worker -> exit code."""
        self._stopping = True
        for worker in self.alive():
            os.kill(worker.process.pid, signal.SIGCONT)
        processes = [worker.process for worker in self.workers] + self._plain[::-1]
        for process in processes:
            if process.returncode is None:
                process.terminate()
        for process in processes:
            try:
                await asyncio.wait_for(process.wait(), 40)
            except TimeoutError:
                process.kill()
                await process.wait()
            if process.stdout is not None:
                process._transport.close()  # type: ignore[attr-defined]  # now, not in the garbage collector
        await asyncio.gather(*self._keepers, return_exceptions=True)
        return {worker.name: int(worker.process.returncode or 0) for worker in self.workers}

    def _config(self, port: int) -> str:
        tables = "".join(self._connection(name) for name in _LEDGERS)
        flows = "".join(
            f'[[tenant.flows]]\nname = "{giver}"\nkey_giver = "{giver}"\nmode = "live"\n'
            f'[[tenant.flows.targets]]\nconnection = "{ledger}"\ndocument = "invoice"\nasks = "never"\n'
            for ledger, giver in GIVERS.items()
        )
        givers = "".join(
            f'[tenant.connections.{giver}]\nplatform = "external"\naccount = "{giver}"\nstart_at = "beginning"\n'
            for giver in GIVERS.values()
        )
        return (
            f'data_dir = "data"\nkey = "{secrets.token_urlsafe(32)}"\n'
            f'[kafka]\nbootstrap = "{self.bootstrap}"\npartitions = 4\n[topics]\nprefix = "{self.prefix}"\n'
            f'[gateway]\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\napi_keys = ["{self.key}"]\n'
            f'[streams]\nport = 0\n[connectors]\nport = 0\n[[tenant]]\nname = "{TENANT}"\n{givers}{tables}{flows}'
        )

    def _connection(self, name: str) -> str:
        platform, account, path = _LEDGERS[name]
        tables = {**_SETTINGS[name], "options": {"settle_seconds": f"{self.settle:g}"}}
        tables["secrets"] = {**tables["secrets"], "webhook_secret": f"{name}-hook"}
        lines = [
            f"[tenant.connections.{name}]",
            f'platform = "{platform}"',
            f'account = "{account}"',
            f'base_url = "{self.sandboxes[name]}{path}"',
            f"quota_share = {_SCALE}",
            "allow_private = true",
            "sweep_seconds = 30",
            *(f"{key} = {_inline(table)}" for key, table in tables.items()),
        ]
        return "\n".join(lines) + "\n"


def _inline(table: dict[str, str]) -> str:
    return "{ " + ", ".join(f'"{key}" = "{value}"' for key, value in table.items()) + " }"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
