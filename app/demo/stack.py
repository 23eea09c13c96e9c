"""Everything the demo runs: sandbox platforms, the configuration, and the roles as processes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.core.errors import ConfigError


@dataclass(frozen=True)
class System:
    """One sandbox system of the demo."""

    connection: str
    platform: str
    account: str
    secrets: Mapping[str, str]
    accounts: Mapping[str, str] = field(default_factory=dict)
    taxes: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    """What follows the host in the vendor's base URL."""


_CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
SYSTEMS = (
    System(
        "shop", "shopify", "demo.myshopify.com",
        {"token": "shpat_sandbox", "client_secret": "shpss_sandbox", "webhook_secret": "shpss_sandbox"},
    ),
    System(
        "crm", "hubspot", "4711",
        {"token": "pat-demo", "developer_key": "sandbox-developer-key", "webhook_secret": _CLIENT["client_secret"]},
        stages={"partially_refunded": "closedwon", "refunded": "closedwon", "returned": "closedwon"},
        options={"po_property": "reference", "app_id": "39522895"},
    ),
    System(
        "books", "xero", "00000000-0000-4000-8000-000000000001",
        {**_CLIENT, "refresh_token": "sandbox-refresh", "webhook_secret": "books-hook"},
        {"sales": "200", "payments": "090", "rounding": "860"}, {"20": "OUTPUT", "0": "NONE"},
    ),
    System(
        "qbo", "quickbooks_online", "9130000000000001",
        {**_CLIENT, "refresh_token": "sandbox-refresh-token", "webhook_secret": "qbo-hook"},
        {"sales": "1", "payments": "35", "rounding": "1"}, {"20": "TAX", "0": "NON"}, options={"reference_field": "1"},
    ),
    System("pay", "stripe", "acct_demo", {"token": "sk_test_demo", "webhook_secret": "whsec_demo"}),
)  # fmt: skip


@dataclass
class Process:
    """One running process of the demo."""

    name: str
    process: asyncio.subprocess.Process
    log: Path


class Stack:
    """Starts processes, knows their addresses, ends them all."""

    def __init__(
        self, folder: Path, quota_scale: float = 1.0, sweep_seconds: float = 5.0, *, parcels: bool = True
    ) -> None:
        """Keep logs, data and configuration in *folder*; every system is swept each *sweep_seconds*.

        *parcels* tells whether the ledgers hear of them.
        """
        self._parcels = parcels
        self._sweep_seconds = sweep_seconds
        self.folder = folder
        self.urls: dict[str, str] = {}
        self._quota_scale = quota_scale
        self._running: list[Process] = []

    async def start_sandboxes(self) -> None:
        """Start one process per sandbox system and read its address."""
        await asyncio.gather(*(self._sandbox(system) for system in SYSTEMS))

    async def _sandbox(self, system: System) -> None:
        words = ["-m", "app.sandbox", system.platform, "--account", system.account]
        process = await self._spawn(system.connection, *words, "--quota-scale", str(self._quota_scale), piped=True)
        if process.stdout is None:
            raise ConfigError(f"The sandbox {system.connection} has no output to read.")
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), 90)).decode()
        except TimeoutError:
            line = ""
        url = next((word for word in line.split() if word.startswith("http://")), "")
        if not url:
            raise ConfigError(
                f"The sandbox {system.connection} did not start; see {self.folder / system.connection}.log."
            )
        self.urls[system.connection] = url

    def write_config(
        self, bootstrap: str, gateway_port: int, quota_share: float, prefix: str = "", *, console_port: int = 0
    ) -> Path:
        """Write the demo's configuration and return its path."""
        path = self.folder / "o2c.toml"
        text = config(self.urls, bootstrap, gateway_port, quota_share, prefix, self._sweep_seconds)
        if console_port:
            text = text.replace("[[tenant]]", f"[console]\nport = {console_port}\n[[tenant]]", 1)
        if not self._parcels:
            text = text.replace('document = "invoice"\n', 'document = "invoice"\nshipments = false\n')
        path.write_text(text, encoding="utf-8")
        return path

    async def start_role(self, role: str, config_path: Path, worker: str) -> None:
        """Start one role as a process of its own."""
        await self._spawn(worker, "-m", "app", "run", role, "--config", str(config_path), "--worker", worker, "--json")

    async def _spawn(self, name: str, *words: str, piped: bool = False) -> asyncio.subprocess.Process:
        log = self.folder / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdout=asyncio.subprocess.PIPE if piped else errors, stderr=errors
            )
        self._running.append(Process(name, process, log))
        return process

    async def kill(self, name: str) -> None:
        """End the newest process of that name at once, as a power cut does; it may be started again."""
        running = next(one for one in reversed(self._running) if one.name == name)
        running.process.kill()
        await running.process.wait()
        self._running.remove(running)

    def pids(self) -> dict[str, int]:
        """Return the process id of everything that was started and runs, by its name."""
        return {one.name: one.process.pid for one in self._running if one.process.returncode is None}

    def dead(self) -> list[Process]:
        """Return the processes that ended by themselves."""
        return [running for running in self._running if running.process.returncode is not None]

    async def stop(self) -> None:
        """End every process, roles before sandboxes."""
        for running in reversed(self._running):
            if running.process.returncode is None:
                running.process.terminate()
        for running in reversed(self._running):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.process.wait(), 30)
            if running.process.returncode is None:
                running.process.kill()
                await running.process.wait()


def free_port() -> int:
    """Return a port that nobody uses now, none of those that outgoing connections are given meanwhile."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ConfigError("No port from 20000 to 32000 is free; end what uses them.")


def config(
    urls: Mapping[str, str],
    bootstrap: str,
    gateway_port: int,
    quota_share: float,
    prefix: str = "",
    sweep_seconds: float = 5.0,
) -> str:
    """Return the demo's configuration as TOML text."""
    head = f"""\
data_dir = "data"
key = "{secrets.token_urlsafe(32)}"
[kafka]
bootstrap = "{bootstrap}"
partitions = 4
[topics]
prefix = "{prefix}"
[gateway]
port = {gateway_port}
public_url = "http://127.0.0.1:{gateway_port}"
[streams]
port = {free_port()}
[connectors]
port = {free_port()}
[[tenant]]
name = "demo"
"""
    return (
        head
        + "".join(_section(system, urls[system.connection], quota_share, sweep_seconds) for system in SYSTEMS)
        + _FLOWS
    )


def _section(system: System, url: str, quota_share: float, sweep_seconds: float) -> str:
    lines = [
        f"[tenant.connections.{system.connection}]",
        f'platform = "{system.platform}"',
        f'account = "{system.account}"',
        f'base_url = "{url}{system.path}"',
        f"quota_share = {quota_share}",
        "allow_private = true",
        f"sweep_seconds = {sweep_seconds:g}",
        'start_at = "beginning"',  # what is played tells of days long past
        f"secrets = {_inline(system.secrets)}",
    ]
    lines += [
        f"{name} = {_inline(table)}"
        for name, table in (
            ("accounts", system.accounts),
            ("taxes", system.taxes),
            ("stages", system.stages),
            ("options", system.options),
        )
        if table
    ]
    return "\n".join(lines) + "\n"


def _inline(table: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f'"{key}" = "{value}"' for key, value in table.items()) + " }"


_FLOWS = """\
[[tenant.flows]]
name = "shop-orders"
key_giver = "shop"
mode = "live"
[[tenant.flows.targets]]
connection = "shop"
credits = false
shipments = false
[[tenant.flows.targets]]
connection = "crm"
order = true
asks = "never"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
asks = "never"
[[tenant.flows.targets]]
connection = "qbo"
document = "invoice"
asks = "never"
[[tenant.flows]]
name = "deals"
key_giver = "crm"
mode = "live"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
asks = "never"
"""
