"""A thousand old orders of which six hundred were typed by hand: the first day, undisturbed and with ten kills a step."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.e2e.old_books import Books, Old, disputed, old_books, rows

pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.timeout(1_800)]
BOOKS = Books(orders=1_000, typed=600, wrong=20)
_KILLS = 10
_PATIENCE = 600.0


@pytest.mark.parametrize("kills", [0, _KILLS], ids=["undisturbed", "killed"])
async def test_a_thousand_old_orders(kafka: str, tmp_path: Path, kills: int) -> None:
    async with old_books(kafka, tmp_path, f"old-{uuid.uuid4().hex[:8]}-", BOOKS, seed=7) as company:
        began = time.monotonic()
        await company.read_whole(_PATIENCE)
        before, plan = company.writes(), await company.plan()
        print(f"read whole and planned after {time.monotonic() - began:.0f} s")  # noqa: T201 - figures of a long test
        assert len(rows(plan, "create", old=True)) == BOOKS.missing == 400
        assert rows(plan, "create", old=False) == []
        assert (len(rows(plan, "adopt")), len(disputed(plan))) == (580, 20)

        killer = Killer(company, Random(7), kills)
        await killer.during(company.go_live(plan))
        await company.there.silent()
        assert (company.writes(), company.ours()) == (before, [])

        began = time.monotonic()
        await killer.during(company.backfill(plan))
        await company.there.until(lambda: len(company.ours()) >= BOOKS.missing, "the backfill", _PATIENCE)
        print(f"backfilled after {time.monotonic() - began:.0f} s, {killer.done} kills in all")  # noqa: T201
        await company.there.silent()
        company.agrees()
        code, parked = await company.o2c("parked", "list")
        assert (code, len(parked)) == (0, BOOKS.wrong)

        done, again = company.writes(), await company.plan()
        assert (again["rows"], len(disputed(again))) == (rows(again, "adopt"), BOOKS.wrong)
        await company.backfill(again)
        await company.there.silent()
        assert company.writes() == done
        assert killer.done == 2 * kills


class Killer:
    """Kills workers at random moments while something is under way, and starts them again at once."""

    def __init__(self, company: Old, dice: Random, kills: int) -> None:
        self._company, self._dice, self._kills = company, dice, kills
        self.done = 0

    async def during(self, doing: Awaitable[Any]) -> None:
        """Let *doing* begin, and kill while it works and while what it asked for is done."""
        task = asyncio.ensure_future(doing)
        for _ in range(self._kills):
            await asyncio.sleep(self._dice.uniform(0.2, 4.0))
            role = self._dice.choice(("streams", "connectors"))
            stack = self._company.there.stack
            await stack.kill(f"{role}-1")
            await stack.start_role(role, stack.folder / "o2c.toml", f"{role}-1")
            self.done += 1
        with contextlib.suppress(asyncio.CancelledError):
            await task
