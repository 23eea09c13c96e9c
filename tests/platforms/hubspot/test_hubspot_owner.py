"""The delivery loop writes to HubSpot in batches, and none of its orders is lost or made twice, whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from msgspec import structs

from app.core.http import HttpClient, new_session
from app.core.talk import Request, Response
from app.sandbox.faults import Faults
from app.sandbox.platforms.hubspot import HubspotSandbox
from schemas.commands import Command, Result
from schemas.connection import Connection
from schemas.facts import Party
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner
from sinks.delivery.row import Row, row_key
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.hubspot.desk import AUTH, LINES, ORDER, command_of

pytestmark = pytest.mark.sandbox
FASTER = 100
"""The loop's clock runs this much faster than the platform's: pauses of minutes take a moment."""
STORM = Faults(
    reset_before_commit=0.05,
    reset_after_commit=0.1,
    slow_commit=0.05,
    slow_commit_s=0.02,
    error_5xx=0.05,
    error_5xx_after_commit=0.05,
    rate_429=0.05,
    html_200=0.02,
    batch_item_failure=0.03,
)


@dataclass
class Memory:
    """What an owner leaves behind: rows, commands that wait, results."""

    rows: dict[str, Row] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    async def keep_row(self, row: Row) -> int:
        self.rows[row_key(row.command, row.step)] = row
        return 0

    async def drop_rows(self, keys: list[str]) -> None:
        for key in keys:
            self.rows.pop(key, None)

    async def keep_command(self, command: Command) -> None:
        self.commands[command.id] = command

    async def drop_command(self, command: str) -> None:
        self.commands.pop(command, None)

    async def publish_result(self, result: Result) -> None:
        self.results.append(result)

    async def dead_letter(self, command: Command, reason: str) -> None:
        self.dead.append(reason)


class Delivery:
    """A portal, the loop's memory, and owners that follow one another."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.sandbox = HubspotSandbox(quota_scale=1000, seed=3, faults=faults)
        self.memory, self.calls, self.epoch = Memory(), Counter[str](), 0
        self.connection = Connection(name="crm", tenant="acme", platform="hubspot", account=self.sandbox.account)

    async def own(self, commands: list[Command], until: Callable[[], bool]) -> None:
        """Let one owner work until *until* holds, then end it wherever it is."""
        self.epoch += 1
        url, time = self.url, asyncio.get_running_loop().time
        async with new_session(allow_private=True, timeout=5) as session:
            http = HttpClient(session, url, allow_private=True)

            async def sender(
                request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
            ) -> Response:
                del key
                if before is not None:
                    await before()
                self.calls[f"{request.method} {request.path}"] += 1
                return await http.send(request, AUTH, {})

            owner = Owner(
                HubspotSink(self.connection),
                sender,
                self.memory,
                epoch=self.epoch,
                now=lambda: FASTER * time(),
                journal=Journal(self.memory.rows.values()),
                settle=0.5 * FASTER,
            )
            for command in list(self.memory.commands.values()):
                owner.restore(command)
            for command in commands:
                await owner.accept(command)
            running = asyncio.create_task(owner.run())
            try:
                async with asyncio.timeout(120):
                    while not until():  # noqa: ASYNC110 - the loop has no event for what is waited for
                        await asyncio.sleep(0.005)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def start(self) -> None:
        self.url = await self.sandbox.start()

    def held(self, kind: str) -> int:
        return len(self.sandbox.portal.records[kind])


def _orders(count: int) -> list[Command]:
    return [
        command_of(
            "upsert_order",
            structs.replace(ORDER, number=f"SO-{n}", customer=Party(name=f"Buyer {n}", email=f"b{n // 2}@example.com")),
            mark=f"o2c1:{n:032x}:{'b' * 12}",
            id=f"{n:032x}",
            order=f"{n:032x}",
            entity=f"order:{n}",
        )
        for n in range(count)
    ]


async def test_the_loop_writes_a_hundred_and_twenty_orders_in_a_few_calls() -> None:
    delivery = Delivery()
    await delivery.start()
    await delivery.own(_orders(3), lambda: len(delivery.memory.results) == 3)
    delivery.calls.clear()
    await delivery.own(_orders(120)[3:], lambda: len(delivery.memory.results) == 120)
    await delivery.sandbox.stop()
    assert {one.outcome for one in delivery.memory.results} == {"confirmed"}
    assert len({one.bound.id for one in delivery.memory.results if one.bound}) == 120
    assert (delivery.held("deals"), delivery.held("line_items")) == (120, 120 * len(LINES))
    assert sum(delivery.calls.values()) <= 3 * 8


@pytest.mark.parametrize("crashes", [0, 6])
async def test_whatever_goes_wrong_each_order_is_there_once_with_its_lines(crashes: int) -> None:
    delivery = Delivery(STORM)
    await delivery.start()
    wanted, ends = _orders(60), range(20, 20 + 15 * crashes, 15)
    for number, calls in enumerate(ends):
        await delivery.own(wanted if number == 0 else [], lambda calls=calls: sum(delivery.calls.values()) >= calls)
    await delivery.own([] if crashes else wanted, lambda: not delivery.memory.commands)
    portal = delivery.sandbox.portal
    await delivery.sandbox.stop()
    assert delivery.memory.dead == []
    assert {one.command for one in delivery.memory.results} == {one.id for one in wanted}
    assert {one.outcome for one in delivery.memory.results} == {"confirmed"}
    assert sum(delivery.sandbox.injector.injected.values()) > 5
    assert (delivery.held("deals"), delivery.held("line_items")) == (60, 60 * len(LINES))
    assert delivery.held("contacts") == 30
    assert all(len(portal.links["deals", "line_items"][id_]) == len(LINES) for id_ in portal.records["deals"])
    assert all(len(portal.links["deals", "contacts"][id_]) == 1 for id_ in portal.records["deals"])


@pytest.mark.parametrize("count", [1, 6])
async def test_what_an_earlier_try_made_of_older_values_does_not_count_as_sent(count: int) -> None:
    delivery = Delivery()
    await delivery.start()
    old = _orders(count)
    await delivery.own(old, lambda: any("line_items" in call for call in delivery.calls))
    assert delivery.held("deals") == count
    assert delivery.memory.results == []
    dearer = Decimal("19.00")
    new = [
        structs.replace(
            one,
            facts=structs.replace(one.facts, payable_amount=dearer),
            fields={"payable_amount": "19.00"},
            digest="new",
        )
        for one in old
    ]
    delivery.memory.commands = {one.id: one for one in new}  # an owner in between took them, and died
    await delivery.own([], lambda: not delivery.memory.commands)
    portal = delivery.sandbox.portal
    await delivery.sandbox.stop()
    shown = {id_: record.values["amount"] for id_, record in portal.records["deals"].items()}
    told = {one.bound.id: one.made["payable_amount"] for one in delivery.memory.results if one.bound}
    assert len(told) == len(shown) == count
    assert {id_: pair.made for id_, pair in told.items()} == shown
    assert [id_ for id_, pair in told.items() if Decimal(shown[id_]) != dearer == Decimal(pair.sent)] == []
