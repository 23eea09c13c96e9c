"""A stage that somebody moves between plan and write is not written over: SCENARIOS 37, in every system with stages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from app import platforms
from app.render.studio import Studio, studio
from schemas.commands import Command
from schemas.connection import Connection
from tests.platforms.planned import Planned, order

pytestmark = pytest.mark.sandbox
SYSTEMS = {
    "deals": ("hubspot", {"order_object": "deals"}, "draft"),
    "orders": ("hubspot", {"order_object": "orders"}, "paid"),
    "shop": ("shopify", {}, ""),
}
"""A system with a word that a person sets there instead of ours; a shop's order is open, or cancelled for good."""
MOVED = [system for system, (_, _, word) in SYSTEMS.items() if word]


@asynccontextmanager
async def _open_order(system: str) -> AsyncIterator[Planned]:
    slug, options, _ = SYSTEMS[system]
    like = Connection(name="there", tenant="local", platform=slug, account="1", options=options)
    async with studio(slug, like) as bench:
        planned = Planned(bench)
        await planned.see(order("100.00"))
        yield planned


def _moving(bench: Studio, word: str) -> Callable[[Command], Awaitable[None]]:
    """Return what moves the stage of a command's order to *word* before the command is delivered."""

    async def move(command: Command) -> None:
        assert (command.capability, command.base["status"].made) == ("set_status", "open")
        theirs = msgspec.structs.replace(command, id="f" * 32, status=word, fields={"status": word}, base={})
        assert (await bench.deliver(theirs)).made["status"].made == word
        bench.recorder.sent.clear()

    return move


def test_every_system_with_stages_is_looked_at() -> None:
    able = {slug for slug in platforms.slugs() if "set_status" in platforms.load(slug).platform.capabilities}
    assert {slug for slug, _, _ in SYSTEMS.values()} == able


@pytest.mark.parametrize("system", MOVED)
async def test_a_stage_that_was_moved_meanwhile_is_told_and_then_decided_anew(system: str) -> None:
    word = SYSTEMS[system][-1]
    async with _open_order(system) as planned:
        cancelled = order("100.00", version=2, status="cancelled")
        stale, done = await planned.see(cancelled, meanwhile=_moving(planned.bench, word))
        assert (stale.outcome, stale.shown, stale.made) == ("stale", {"status": word}, {})
        assert (done.outcome, done.made["status"].made) == ("confirmed", "cancelled")
        assert len(planned.writes("set_status")) == 1


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_stage_that_a_person_set_meanwhile_as_we_would_is_not_written_again(system: str) -> None:
    async with _open_order(system) as planned:
        cancelled = order("100.00", version=2, status="cancelled")
        (done,) = await planned.see(cancelled, meanwhile=_moving(planned.bench, "cancelled"))
        assert (done.outcome, done.made["status"].made) == ("confirmed", "cancelled")
        assert planned.writes("set_status") == []


@pytest.mark.parametrize(("system", "calls"), [("deals", 5), ("orders", 7), ("shop", 5)])
async def test_what_one_stage_costs_of_a_quota(system: str, calls: int) -> None:
    async with _open_order(system) as planned:
        planned.bench.recorder.sent.clear()
        (done,) = await planned.see(order("100.00", version=2, status="cancelled"))
        assert (done.outcome, len(planned.bench.recorder.sent)) == ("confirmed", calls)
