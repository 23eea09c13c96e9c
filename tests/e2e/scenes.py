"""What the scenario tests have at hand: orders that all systems hold, faults that strike when told, and what topics say."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from app.cli import main
from app.core import consumers, topics
from app.decisions import decision, send
from app.sandbox.base import Operation, Sandbox
from schemas.decisions import Kind
from tests.e2e.people import BUYER, HEAD, LINES, TOTAL, head
from tests.e2e.running import Row, Running

STOCK = 24
BILLING = {"books": "PUT /Invoices$", "qbo": "POST (invoice|batch)$", "pay": "POST /v1/invoices$"}
"""What making an invoice is called in each ledger's log."""


@dataclass
class Stage:
    """The company with a stock of orders, each 24.00 and in all five systems."""

    company: Running
    stock: deque[tuple[str, str]] = field(default_factory=deque)
    """Keys and ids in the shop."""

    def order(self) -> tuple[str, str]:
        """Take an order from the stock: nobody else uses it."""
        return self.stock.popleft()

    async def placed(self, *, lines: Iterable[Row] = LINES, **more: Any) -> tuple[str, str]:
        """Place an order in the shop and wait for nothing; return its key and its id there."""
        asked = {"reference": self.company.name("SO"), "currency": "EUR", "lines": list(lines), **BUYER, **more}
        made = await self.company.act("shop", "create_order", **asked)
        return self.company.key("shop", "order", made["id"]), made["id"]

    async def fill(self, count: int) -> None:
        """Put *count* more orders into the stock."""
        fresh = await asyncio.gather(*(self.placed() for _ in range(count)))
        for key, _ in fresh:
            await self.everywhere(key)
        await over(self.company)
        self.stock.extend(fresh)

    async def everywhere(self, key: str, total: str = TOTAL) -> None:
        """Wait until every system holds the order once."""
        for system in HEAD:
            await self.company.until(
                lambda system=system: head(self.company, system, key)["total"] == total, f"{system} holds {key} whole"
            )

    async def pays(self, id_: str, amount: str) -> None:
        """Let the customer pay in the shop."""
        how = {"gateway": "bank transfer", "reference": self.company.name("P")}
        await self.company.act("shop", "pay_order", id=id_, amount=amount, **how)

    async def decides(self, key: str, kind: Kind, about: str = "") -> None:
        """Let a person decide about an order as it is shown."""
        decided = decision(self.company.order(key), kind, about, "a person", datetime.now(UTC))
        await send(self.company.settings, [decided])

    async def says(self, *words: str) -> int:
        """Run a command of `o2c` in the company's name."""
        return await asyncio.to_thread(main, [*words, "--config", str(self.company.stack.folder / "o2c.toml")])

    async def dies(self, role: str) -> None:
        """Kill a role as a power cut does, and start it again."""
        stack = self.company.stack
        await stack.kill(f"{role}-1")
        await stack.start_role(role, stack.folder / "o2c.toml", f"{role}-1")


# -- what is seen ------------------------------------------------------------------------------------------------------


async def over(company: Running) -> None:
    """Wait until everything was read, and nothing that was asked for waits to be written."""
    for _ in range(2):
        await company.caught_up()
        while sum((await metric(company, "connectors", "o2c_lag")).values()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


def payments(company: Running, system: str, key: str) -> list[str]:
    """Return the amounts that *system* shows as paid for the order, smallest first."""
    there = [row for row in company.of(system, key, "payment") if row.get("status") not in {"void", "deleted"}]
    return sorted((str(row["amount"]) for row in there), key=float)


def calls(company: Running, system: str, operation: str, since: int = 0) -> list[str]:
    """Return what the calls of that name since the one numbered *since* came to: status, and the fault if one struck."""
    log = list(company.sandboxes[system].log)[since:]
    return [f"{one.status} {one.fault}".strip() for one in log if one.mutating and re.search(operation, one.operation)]


async def records(company: Running, *names: str) -> list[ConsumerRecord]:
    """Return every record on the topics *names*, partition by partition in their order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=company.settings.kafka.bootstrap)
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        ends = await company.ends(names)
        consumer.assign(list(ends))
        for place, first in (await consumer.beginning_offsets(list(ends))).items():
            consumer.seek(place, first)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                found += batch
    finally:
        await consumers.stop(consumer)
    return found


async def commands(company: Running, key: str) -> list[Row]:
    """Return every command that was ever asked for about the order."""
    found = [json.loads(one.value) for one in await records(company, topics.COMMANDS)]
    return [one for one in found if one["order"] == key]


async def journal(company: Running, system: str, command: str) -> list[str]:
    """Return the states that the rows of one command went through, "gone" at their end."""
    prefix = f"{system}|{command}/".encode()
    rows = [one for one in await records(company, topics.JOURNAL) if one.key.startswith(prefix)]
    return ["gone" if one.value is None else json.loads(one.value).get("state", "intent") for one in rows]


async def metric(company: Running, role: str, name: str) -> dict[str, float]:
    """Return the series of a metric on a role's page: labels as text -> value."""
    port = getattr(company.settings, role).port
    async with company.session.get(f"http://127.0.0.1:{port}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    pairs = [line.rpartition(" ") for line in lines if line.startswith(name)]
    return {series.removeprefix(name): float(value) for series, _, value in pairs}


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def strike(sandbox: Sandbox, fault: str, operation: str, times: int = 1) -> Counter[str]:
    """Let *fault* strike the next *times* calls whose name matches *operation*; return the count of strikes."""
    usual, struck = sandbox._pick, Counter[str]()

    def pick(called: Operation, *, is_token: bool) -> str:
        if struck[fault] < times and re.search(operation, called.name):
            struck[fault] += 1
            sandbox.injector.injected[fault] += 1
            return fault
        return usual(called, is_token=is_token)

    sandbox._pick = pick  # type: ignore[method-assign]
    return struck


@asynccontextmanager
async def knobs(sandbox: Sandbox, **wanted: float) -> AsyncIterator[None]:
    """Turn knobs of a sandbox for a while."""
    before = sandbox.faults
    sandbox.injector.faults = before.changed(wanted)
    try:
        yield
    finally:
        sandbox.injector.faults = before


@asynccontextmanager
async def paused(stage: Stage, connection: str) -> AsyncIterator[None]:
    """Hold the writes of a connection for a while, as a person does: what is planned meanwhile waits."""
    assert await stage.says("connections", "pause", connection) == 0
    await asyncio.sleep(0.5)  # the connectors follow what people say, and tell nobody when they know it
    try:
        yield
    finally:
        assert await stage.says("connections", "resume", connection) == 0


def ago(seconds: float) -> Callable[[], datetime]:
    """Return a clock that is late; one of negative seconds is fast."""
    return lambda: datetime.now(UTC) - timedelta(seconds=seconds)


async def together(*acts: Awaitable[Any]) -> list[Any]:
    """Let people act in the same moment."""
    return list(await asyncio.gather(*acts))
