"""A flow in shadow on a real Kafka: planned and shown, taken live with what was shown, stopped."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.connectors.bus import Bus
from app.console.states import read_orders
from app.core import topics
from app.planning.drafting import content
from schemas.commands import Command
from schemas.order_state import PublicOrder
from tests.e2e.test_external import CONFIG, REALM, XERO, looked_at, order, payment, process, publish

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]
NOWHERE = {"books": "http://127.0.0.1:9", "qbo": "http://127.0.0.1:9"}
"""No connector runs here: what is planned stays on the topic of commands, where it is counted."""


class Office:
    """The command line of one company, and what its streams did."""

    def __init__(self, bootstrap: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bootstrap, self.capsys, self.prefix = bootstrap, capsys, f"e2e-{uuid.uuid4().hex[:8]}-"
        self.config = folder / "o2c.toml"
        text = CONFIG.format(bootstrap=bootstrap, prefix=self.prefix, xero=XERO, realm=REALM, **NOWHERE)
        assert 'mode = "live"\n' in text
        self.config.write_text(text.replace('mode = "live"\n', ""), encoding="utf-8")  # a new flow names no mode

    @property
    def settings(self) -> Settings:
        return load(self.config, os.environ)

    async def says(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it printed."""
        code = await asyncio.to_thread(main, [*words, "--config", str(self.config)])
        return code, *self.capsys.readouterr()

    async def plan(self, *words: str) -> dict[str, Any]:
        code, out, _ = await self.says("plan", "--json", *words)
        assert code == 0
        (found,) = json.loads(out)["plans"]
        return dict(found)

    async def mode(self) -> str:
        _, out, _ = await self.says("flows", "list", "--json")
        (flow,) = json.loads(out)["flows"]
        return str(flow["mode"])

    async def commands(self) -> dict[str, Command]:
        kafka = self.settings.kafka
        bus = Bus(kafka.bootstrap, self.prefix, kafka.partitions, {})
        found = [msgspec.json.decode(value or b"", type=Command) async for _, value in bus.records(topics.COMMANDS)]
        return {command.id: command for command in found}

    def sells(self, number: str) -> None:
        publish(self.bootstrap, f"{self.prefix}crm-changes", "order", order(number, "24.00"))

    async def until(self, done: Callable[[dict[str, PublicOrder]], bool]) -> None:
        """Wait until the order states, by number, are as *done* says."""
        found: dict[str, PublicOrder] = {}
        for _ in range(360):
            found = {one.number: one for one in (await read_orders(self.settings)).values()}
            if done(found):
                return
            await asyncio.sleep(0.5)
        raise AssertionError(f"not so: {found}")


async def test_a_flow_writes_what_its_plan_said_and_nothing_before_or_after(
    kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    office = Office(kafka, tmp_path, capsys)
    await apply_topics(office.settings)
    await looked_at(office.settings)
    async with process(tmp_path, "streams", "-m", "app", "run", "streams", "--config", str(office.config)):
        for number in ("=E+1", "E-2"):
            office.sells(number)
        publish(kafka, f"{office.prefix}accounting-changes", "payment", payment("E-2", "24.00"))
        await office.until(lambda found: {"=E+1", "E-2"} <= found.keys() and found["E-2"].financial == "paid")
        first = await office.plan()
        shown = {(row["number"], row["target"], row["document"], row["follows"]) for row in first["rows"]}
        invoices = {(number, target, "invoice", False) for number in ("=E+1", "E-2") for target in ("books", "qbo")}
        assert shown == invoices | {("E-2", target, "payment", True) for target in ("books", "qbo")}
        totals = {(one["target"], one["document"]): (one["amount"], one["currency"]) for one in first["totals"]}
        assert totals["books", "invoice"] == ("48.00", "EUR")
        assert totals["qbo", "payment"] == ("24.00", "EUR")
        code, out, err = await office.says("plan", "--csv")
        assert {row["number"] for row in csv.DictReader(out.splitlines())} == {"'=E+1", "E-2"}
        assert (code, err) == (0, f"erp: plan {first['digest']}\n")

        office.sells("E-3")
        await office.until(lambda found: "E-3" in found)
        code, out, err = await office.says("flows", "go-live", "erp", "--plan", first["digest"])
        assert (code, [line.split()[1] for line in out.splitlines()]) == (1, ["E-3", "E-3"])
        assert "erp stays shadow: what it would write differs by now" in err
        assert (await office.mode(), await office.commands()) == ("shadow", {})

        code, out, _ = await office.says("plan", "--diff")
        assert [line[0] for line in out.splitlines()[1:-1]] == ["+", "+"]
        code, out, _ = await office.says("flows", "go-live", "erp", "--plan", out.split()[-1])
        assert (code, await office.mode()) == (0, "live")
        second = await office.plan("--flow", "erp")
        now = {(row["write"], row["content"]) for row in second["rows"] if not row["follows"]}
        await _within(office, len([row for row in second["rows"] if not row["follows"]]))
        assert {(one.write, content(one)) for one in (await office.commands()).values()} == now

        assert (await office.says("flows", "stop", "erp"))[:2] == (0, "erp is stopped: plans and writes nothing.\n")
        await asyncio.sleep(5)
        before = await office.commands()
        office.sells("E-4")
        await office.until(lambda found: "E-4" in found)
        assert await office.commands() == before
        left = await office.plan("--flow", "erp")
        assert {row["number"] for row in left["rows"]} == {"=E+1", "E-2", "E-3", "E-4"}, "nobody has written anything"
        assert (await office.says("plan"))[0] == 1, "no flow is in shadow"


async def _within(office: Office, count: int, seconds: int = 180) -> None:
    for _ in range(2 * seconds):
        if len(await office.commands()) >= count:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"not {count} commands: {await office.commands()}")
