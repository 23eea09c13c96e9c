"""A US company whose tax engine makes another total of a document than was sent."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from schemas.commands import Command, Pair, Result
from schemas.projection import project
from sinks.delivery.owner import Owner
from tests.platforms.quickbooks_online.delivering import Line, MemoryLedger, deliver
from tests.platforms.quickbooks_online.rig import Rig, command, credit, invoice

pytestmark = pytest.mark.sandbox


async def delivered(rig: Rig, asked: Command) -> Result:
    ledger = MemoryLedger()
    async with aiohttp.ClientSession() as session:
        owner = Owner(rig.sink, Line(session, rig.url), ledger, epoch=1, now=time.monotonic, settle=4)
        running = asyncio.create_task(owner.run())
        try:
            (result,) = await deliver(ledger, owner, [asked])
        finally:
            while not running.done():  # wait_for of Python 3.11 may swallow one cancellation
                running.cancel()
                await asyncio.wait({running}, timeout=0.1)
    return result


@pytest.mark.parametrize("own", [False, True])
async def test_the_result_shows_what_was_sent_and_what_the_tax_engine_made_of_it(rig: Rig, own: bool) -> None:  # noqa: FBT001 - a parameter of the test
    rig.sandbox.verbs["count_tax"]({"on": own})
    bill = invoice()
    result = await delivered(rig, command("upsert_invoice", bill, fields=project(bill)))
    made = "13.89" if own else "15.41"  # eight percent of 13.78 are 1.10, not the 2.62 that were sent
    assert (result.outcome, result.made["payable_amount"]) == ("confirmed", Pair("15.41", made))
    assert rig.books("invoice")[0]["total"] == made
    assert result.bound is not None

    back = credit()
    asked = command("issue_credit", back, links={"invoice": result.bound.id}, fields=project(back), kind="append")
    result = await delivered(rig, asked)
    assert result.made["amount"] == Pair("5.95", "5.95")
