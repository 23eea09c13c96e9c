"""Sandbox platforms as background processes of this machine: started, found again by their state file, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from app import platforms
from app.core.errors import ConfigError, O2CError
from app.sandbox import platforms as sandboxes

FOLDER = Path(".o2c-sandbox")
_STATE = "sandbox.json"
_START_SECONDS, _STOP_SECONDS, _POLL_SECONDS, _PATIENCE = 60.0, 10.0, 0.1, 5.0
_OK, _REFUSED = 200, 400


@dataclass(frozen=True)
class Facts:
    """What a sandbox account is called, and what lets somebody in."""

    account: str
    secrets: Mapping[str, str]
    key: str = ""
    """The plain key that `o2c connect` asks for."""


_APP = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
FACTS: Mapping[str, Facts] = {
    "shopify": Facts(
        "sandbox.myshopify.com",
        {"client_id": "sandbox-client", "client_secret": "shpss_sandbox", "webhook_secret": "shpss_sandbox"},
    ),
    "hubspot": Facts("4711", {"webhook_secret": "sandbox-hubspot-hook"}, key="pat-sandbox"),
    "xero": Facts("00000000-0000-4000-8000-000000000001", {**_APP, "webhook_secret": "sandbox-xero-hook"}),
    "quickbooks_online": Facts("9130000000000001", {**_APP, "webhook_secret": "sandbox-quickbooks-hook"}),
    "stripe": Facts("acct_sandbox", {}, key="sk_test_sandbox"),
}
"""Whose accounts the sandbox platforms are, where not `sandbox`; a webhook secret that is missing is told when webhooks
are registered."""


def slugs() -> tuple[str, ...]:
    """Return every platform that has a sandbox, found by where it lives; those of FACTS before the others."""
    found = {module.name for module in pkgutil.iter_modules(sandboxes.__path__)}
    return (*FACTS, *sorted(found - FACTS.keys()))


def facts_of(slug: str) -> Facts:
    """Return FACTS of *slug*; any other platform has the account `sandbox` and `sandbox-<name>` for each secret."""
    if slug in FACTS:
        return FACTS[slug]
    platform = platforms.load(slug).platform
    given = {name: f"sandbox-{name}" for name in platform.secrets}
    return Facts("sandbox", given, key=given.get(platform.auth.secret, ""))


class System(msgspec.Struct, frozen=True):
    """One running sandbox platform."""

    platform: str
    account: str
    url: str
    pid: int


class Sandboxes:
    """The sandbox platforms whose state, logs and nothing else are kept in a folder; their data dies with them."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self._folder = folder

    def known(self) -> list[System]:
        """Return what was started from here and not stopped since; it may have died."""
        try:
            return msgspec.json.decode((self._folder / _STATE).read_bytes(), type=list[System])
        except (OSError, msgspec.MsgspecError):
            return []

    async def running(self) -> list[System]:
        """Return what was started from here and answers."""
        known = self.known()
        async with _session() as session:
            answers = await asyncio.gather(*(_answers(session, system) for system in known))
        return [system for system, there in zip(known, answers, strict=True) if there]

    async def start(self, wanted: Sequence[str], quota_scale: float) -> list[System]:
        """Start what does not run yet of *wanted*, and return all of them; ConfigError when one cannot be started."""
        if unknown := [slug for slug in wanted if slug not in slugs()]:
            raise ConfigError(f"There is no sandbox of {unknown[0]}; name some of {', '.join(sorted(slugs()))}.")
        there = {system.platform: system for system in await self.running()}
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = await asyncio.gather(*(self._launch(slug, quota_scale) for slug in wanted if slug not in there))
        there |= {system.platform: system for system in fresh}
        (self._folder / _STATE).write_bytes(msgspec.json.encode(list(there.values())))
        return [there[slug] for slug in wanted]

    async def _launch(self, slug: str, quota_scale: float) -> System:
        log, address = self._folder / f"{slug}.log", self._folder / f"{slug}.url"
        account = facts_of(slug).account
        words = ["-m", "app.sandbox", slug, "--account", account, "--quota-scale", str(quota_scale)]
        pid = _spawned(words, address, log)
        deadline = time.monotonic() + _START_SECONDS
        while not (url := address.read_text(encoding="ascii").strip()):
            if _ended(pid) or time.monotonic() > deadline:
                raise ConfigError(f"The sandbox of {slug} did not start; see {log}.")
            await asyncio.sleep(_POLL_SECONDS)
        address.unlink()
        return System(slug, account, url, pid)

    async def stop(self) -> list[System]:
        """Stop what runs and return it."""
        running = await self.running()
        for system in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(system.pid, signal.SIGTERM)
        for _ in range(round(_STOP_SECONDS / _POLL_SECONDS)):
            if not await self.running() and all(_ended(system.pid) for system in running):
                break
            await asyncio.sleep(_POLL_SECONDS)
        (self._folder / _STATE).unlink(missing_ok=True)
        return running

    async def one(self, slug: str) -> System:
        """Return the running sandbox of *slug*; ConfigError when it does not run."""
        found = next((system for system in await self.running() if system.platform == slug), None)
        if found is None:
            raise ConfigError(f"The sandbox of {slug} does not run; start it with `o2c sandbox start {slug}`.")
        return found

    async def act(self, slug: str, verb: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Do in the sandbox of *slug* what a person does there, and return what came of it."""
        answer = await self.post(await self.one(slug), f"act/{verb}", asked)
        return answer if isinstance(answer, dict) else {}

    async def post(self, system: System, path: str, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Send *asked* to one of the sandbox's own routes; O2CError says why it was refused."""
        async with (
            _session() as session,
            session.post(f"{system.url}/_sandbox/{path}", data=msgspec.json.encode(asked)) as reply,
        ):
            answer = msgspec.json.decode(await reply.read())
        if reply.status >= _REFUSED:
            raise O2CError(f"The sandbox of {system.platform} refuses: {answer['error']}; correct the request.")
        return answer

    async def books(self, slug: str) -> list[dict[str, Any]]:
        """Return what the sandbox of *slug* holds, one dict per document."""
        system = await self.one(slug)
        async with _session() as session, session.get(f"{system.url}/_sandbox/books") as reply:
            return [msgspec.json.decode(line) for line in (await reply.read()).splitlines()]

    async def visit(self, url: str) -> str:
        """Open *url*, a page of a sandbox started here, as a person who is logged in; return where it led."""
        if not any(url.startswith(f"{system.url}/") for system in await self.running()):
            raise ConfigError(f"{url} is no page of a sandbox that runs here; open it in a browser.")
        async with _session() as session, session.get(url) as reply:
            await reply.read()
        if reply.status != _OK:
            raise O2CError(f"{reply.url.origin()} answers {reply.status}; run the command that sent you there again.")
        return str(reply.url.origin())


def _spawned(words: Sequence[str], output: Path, errors: Path) -> int:
    """Start Python in a session of its own, so that it outlives this command and no Ctrl-C reaches it."""
    with Path(os.devnull).open("rb") as nothing, output.open("wb") as told, errors.open("ab") as log:
        places = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number, file in enumerate((nothing, told, log))]
        command = [sys.executable, *words]
        return os.posix_spawn(sys.executable, command, os.environ, file_actions=places, setsid=True)


def _ended(pid: int) -> bool:
    """Tell whether a process is gone; a child that ended is reaped here."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE))


async def _answers(session: aiohttp.ClientSession, system: System) -> bool:
    """Tell whether that very sandbox answers: a port, like a process id, may be somebody else's after a restart."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
        async with session.get(f"{system.url}/_sandbox/health") as reply:
            told = msgspec.json.decode(await reply.read())
            return (told.get("platform"), told.get("pid")) == (system.platform, system.pid)
    return False
