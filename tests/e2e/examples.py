"""The five example configurations at work: as the files lie there, in sandboxes, with one set of roles for all.

A play is what happens in one business. It yields where everything that had to happen has happened: then all systems
fall silent before it goes on, so that what is missing by then is not merely late.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app.broadcasting import send
from app.config.load import load
from app.demo.stack import Stack, free_port
from app.sandbox.__main__ import find
from schemas.broadcast import Fact
from tests.e2e.running import Row, Running, started, watched
from tests.examples import SECRETS, files

_TOKENS = {"xero": "sandbox-refresh", "quickbooks_online": "sandbox-refresh-token"}
"""What `o2c connect` would have stored."""
HEAD = """\
key = "env:O2C_KEY"
[kafka]
bootstrap = "{bootstrap}"
partitions = 4
[topics]
prefix = "{prefix}"
[gateway]
port = {gateway}
public_url = "http://127.0.0.1:{gateway}"
[streams]
port = {streams}
[connectors]
port = {connectors}
"""
_QUIET = 2.0
Held = set[tuple[str, str, str]]
Play = AsyncIterator[None]


def overlaid(text: str, urls: Mapping[str, str]) -> str:
    """Return the tenant of an example with the sandboxes' addresses and stored tokens, all else as it stands there."""
    tenant = text[text.index("[[tenant]]") :]
    for name, url in urls.items():
        section = f"[tenant.connections.{name}]\n"
        tenant = tenant.replace(section, f'{section}base_url = "{url}"\nallow_private = true\n')
    for platform, token in _TOKENS.items():
        secrets = rf'(platform = "{platform}"\n(?:.*\n)*?secrets = {{ )'
        tenant = re.sub(secrets, rf'\1refresh_token = "{token}", ', tenant)
    return tenant


@contextlib.asynccontextmanager
async def examples(bootstrap: str, folder: Path) -> AsyncIterator[Running]:
    """Start the systems of all examples and one set of roles for them, every flow taken live by a person."""
    os.environ.update(SECRETS)
    async with contextlib.AsyncExitStack() as stack:
        pipeline = Stack(folder)
        stack.push_async_callback(pipeline.stop)
        configured = {path: load(path, os.environ) for path in files()}
        sandboxes = {}
        for connection in (one.connection for settings in configured.values() for one in settings.connections):
            sandbox = sandboxes[connection.name] = find(connection.platform)(connection.account, quota_scale=50.0)
            pipeline.urls[connection.name] = await sandbox.start()
            stack.push_async_callback(sandbox.stop)
        ports = {role: free_port() for role in ("gateway", "streams", "connectors")}
        prefix = f"examples-{uuid.uuid4().hex[:8]}-"
        texts = [overlaid(path.read_text(encoding="utf-8"), pipeline.urls) for path in files()]
        path = folder / "o2c.toml"
        path.write_text(HEAD.format(bootstrap=bootstrap, prefix=prefix, **ports) + "\n".join(texts), encoding="utf-8")
        settings = load(path, os.environ)
        there = await watched(stack, pipeline, settings, sandboxes)
        await send(settings, *(Fact(kind="mode", subject=flow.name, value="live") for flow in settings.flows))
        await started(stack, there, path)
        for one in settings.connections:
            url = f"{settings.gateway.public_url}/hooks/{one.connection.tenant}/{one.connection.name}"
            sandboxes[one.connection.name].hooks.add(url, one.secrets["webhook_secret"])
        await there.idle(_QUIET)
        yield there


async def played(there: Running, plays: Mapping[str, Play]) -> dict[str, BaseException]:
    """Play all businesses at once, in silence between their parts; return what failed by name."""
    going, failed = dict(plays), {}
    while going:
        parts = await asyncio.gather(*(_part(play) for play in going.values()), return_exceptions=True)
        ended = {name: end for name, end in zip(going, parts, strict=True) if end is not None}
        failed |= {name: end for name, end in ended.items() if not isinstance(end, StopAsyncIteration)}
        going = {name: play for name, play in going.items() if name not in ended}
        if going:
            await there.silent(_QUIET)
    return failed


async def _part(play: Play) -> None:
    await anext(play)


class Business:
    """One company: where it sells, and its ledger."""

    def __init__(self, there: Running, sells: str, books: str, zone: str) -> None:
        self.there, self.sells, self.ledger, self._zone = there, sells, books, ZoneInfo(zone)

    def today(self) -> date:
        """Return the day in the zone of the books."""
        return datetime.now(UTC).astimezone(self._zone).date()

    async def act(self, verb: str, **asked: Any) -> Row:
        """Do something where it sells."""
        return await self.there.act(self.sells, verb, **asked)

    async def book(self, verb: str, **asked: Any) -> Row:
        """Do something in the ledger, as the bookkeeper does."""
        return await self.there.act(self.ledger, verb, **asked)

    def rows(self, *kinds: str) -> list[Row]:
        """Return what the ledger holds of *kinds*, customers left out."""
        return [row for row in self.there.books(self.ledger) if row["kind"] in (kinds or {row["kind"]} - {"customer"})]

    def held(self) -> Held:
        """Return kind, amount and day of every document and movement of money in the ledger."""
        rows = self.rows("invoice", "sales_receipt", "payment", "credit", "refund")
        found = [(row["kind"], str(row.get("total") or row.get("amount")), row["date"][:10]) for row in rows]
        assert len(found) == len(set(found)), f"doubled: {found}"
        return set(found)

    async def comes_to(self, wanted: Held, what: str) -> None:
        """Wait until the ledger holds exactly *wanted*."""

        def there() -> bool:
            assert self.held() == wanted
            return True

        await self.there.until(there, what)

    def one(self, kind: str) -> Row:
        """Return the only row of a kind."""
        (row,) = self.rows(kind)
        return row
