"""A person pauses a connection and lets it go on; a flow's mode reaches every worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal

import msgspec
import pytest

from app.cli import main
from app.connectors.bus import Bus
from app.core import topics
from schemas.broadcast import Fact
from tests.integration.connectors.test_ownership import Stand, orders, stand

__all__ = ["stand"]
pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]


async def said(stand: Stand, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    """Run a command against the stand's Kafka and return what it prints as JSON."""
    assert await asyncio.to_thread(main, [*words, "--config", str(stand.config), "--json"]) == 0
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


async def test_a_paused_connection_writes_nothing_within_five_seconds_and_loses_nothing(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    await stand.start()
    first, *others = orders(4)
    await stand.order(first)
    await stand.results(1)
    told = await said(stand, capsys, "connections", "pause", "books")
    assert told == {"connection": "books", "paused": True}
    await asyncio.sleep(5)
    await stand.order(*others[:2])
    await asyncio.sleep(3)
    assert stand.invoices() == [first.mark]
    await stand.end(signal.SIGKILL)  # the pause outlives the process
    await stand.start()
    await stand.order(others[2])
    await stand.logged("connection.up", 2)
    await asyncio.sleep(3)
    assert stand.invoices() == [first.mark]
    await said(stand, capsys, "connections", "resume", "books")
    results = await stand.results_of([first, *others])
    assert {result.outcome for result in results} == {"confirmed"}
    assert sorted(stand.invoices()) == sorted(one.mark for one in (first, *others))


@pytest.mark.timeout(600)
async def test_a_stopped_flow_writes_nothing_within_five_seconds_and_is_planned_afresh_afterwards(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = '\n[[tenant.flows]]\nname = "web"\nkey_giver = "books"\nmode = "live"\n'
    stand.config.write_text(stand.config.read_text("utf-8") + flow, encoding="utf-8")
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"latency_s": 0.4})
    await stand.start()
    *waiting, other = (msgspec.structs.replace(one, flow="web") for one in orders(61))
    await stand.order(*waiting)
    await stand.results(1)  # the others wait in the inbox
    await said(stand, capsys, "flows", "stop", "web")
    await asyncio.sleep(5)
    written = len(stand.invoices())
    assert written < len(waiting)
    await asyncio.sleep(3)
    assert len(stand.invoices()) == written
    await stand.end(signal.SIGKILL)  # the stop outlives the process, whatever the configuration names
    await stand.start()
    await stand.logged("connection.up", 2)
    await stand.order(msgspec.structs.replace(other, flow=""))
    await stand.results_of([other])
    assert len(stand.invoices()) == written + 1
    await said(stand, capsys, "flows", "mode", "web", "live")
    outcomes = {result.command: result.outcome for result in await stand.results_of(waiting)}
    assert sorted(outcomes.values()) == ["confirmed"] * (written + 1) + ["deferred"] * (len(waiting) - written)
    assert len(stand.invoices()) == written + 1


async def test_a_mode_is_a_fact_that_stays_until_the_next(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    flow = '\n[[tenant.flows]]\nname = "web"\nkey_giver = "books"\n'
    stand.config.write_text(stand.config.read_text("utf-8") + flow, encoding="utf-8")
    for mode in ("live", "stopped"):
        assert await said(stand, capsys, "flows", "mode", "web", mode) == {"flow": "web", "mode": mode}
    records = await stand.records(topics.BROADCAST, 2)
    assert [record.key for record in records] == [b"mode/web"] * 2
    assert [msgspec.json.decode(record.value, type=Fact).value for record in records] == ["live", "stopped"]


async def test_who_follows_hears_of_what_was_said_before_only_the_newest(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in ("pause", "resume", "pause"):
        await said(stand, capsys, "connections", action, "books")
    bus = Bus(stand.bootstrap, stand.prefix, 2, {})
    heard: list[bool] = []
    async with contextlib.aclosing(bus.follow(topics.BROADCAST)) as facts:
        async for _, value in facts:
            heard.append(bool(msgspec.json.decode(value or b"", type=Fact).value))
            if len(heard) == 1:
                await said(stand, capsys, "connections", "resume", "books")
            else:
                break
    assert heard == [True, False]
