"""SCENARIOS 3 and 38 with their numbers: every process apart, and a shop that does not tell everything.

A sweep comes when the connectors start, and else never: so a test says when "the sweep interval has passed". It comes
every two and a half minutes where it is to find what no webhook tells: younger changes may still be told.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import topics
from tests.e2e.apart import NEVER, Apart, apart
from tests.e2e.people import LINES

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(1_800)]
CHANGES, LOST = 10_000, 100
HEALED, SHOP = "o2c_healed_by_sweep_total", '{connection="shop"}'
FLOW = '[[tenant.flows]]\nname = "shop-orders"\nkey_giver = "shop"\nmode = "live"\n'


@pytest.fixture
async def there(kafka: str, tmp_path: Path) -> AsyncIterator[Apart]:
    """Return a company whose shop was swept once, when it was empty."""
    async with apart(kafka, tmp_path, FLOW, sweep=NEVER) as found:
        await found.until(lambda: found.marks("shop"), "the first sweep is over")
        await found.quiet()
        yield found


async def place(there: Apart) -> str:
    """Place an order of a customer who buys once: else each is told how many others look like it."""
    number = f"SO-{uuid.uuid4().hex[:10]}"
    buyer = {"name": number, "email": f"{number}@example.com"}
    order = {"reference": number, "currency": "EUR", "lines": LINES, **buyer}
    return str((await there.act("shop", "create_order", **order))["id"])


async def healed(there: Apart) -> int:
    """Return how many changes of the shop a sweep found that nobody had told."""
    return int((await there.metric("streams", HEALED)).get(SHOP, 0))


async def test_03_ten_thousand_changes_of_which_a_hundred_were_never_told(there: Apart) -> None:
    ids, lost = [], []
    began = await there.marks("shop")
    for _ in range(LOST):
        ids += await asyncio.gather(*(place(there) for _ in range(CHANGES // LOST - 1)))
        await there.knobs("shop", webhook_lost=1)
        lost.append(await place(there))
        await there.knobs("shop", webhook_lost=0)
    keys = {there.key("shop", "order", id_) for id_ in [*ids, *lost]}
    assert len(keys) == CHANGES

    async def known(count: int) -> bool:
        return len(await there.states()) == count

    await there.until(lambda: known(CHANGES - LOST), "all that was told is known")
    await there.quiet()
    assert not {there.key("shop", "order", id_) for id_ in lost} & (await there.states()).keys()
    assert await there.marks("shop") == began, "no mark passed what was not seen"
    before = await healed(there)
    await there.dies("connectors")  # whose sweeps go on where they were
    await there.until(lambda: known(CHANGES), "the sweep found what was lost")
    await there.quiet()
    assert (await there.states()).keys() == keys
    assert await healed(there) - before == LOST
    assert max(await there.marks("shop")) > max(began), "the mark goes on with everything seen"
    published = Counter(key.decode() for key, _ in await there.records(topics.ORDER_STATES))
    assert set(published.values()) == {1}, "none is applied twice"


async def test_03_a_subscription_that_is_shown_as_active_and_tells_nothing_is_made_anew(
    kafka: str, tmp_path: Path
) -> None:
    async with apart(kafka, tmp_path, FLOW, sweep=150.0) as there:
        await there.until(lambda: there.marks("shop"), "the first sweep is over")
        ids = await asyncio.gather(*(place(there) for _ in range(20)))
        await there.quiet()
        mark = (await there.marks("shop"))[-1]
        assert (await there.act("shop", "fall_silent", topic="ORDERS_UPDATED"))["silent"] == 1

        async def swept() -> bool:
            return (await there.marks("shop"))[-1] > mark

        await there.until(swept, "a sweep is over, and the next one comes in two and a half minutes")
        before = await healed(there)
        for id_ in ids:
            await there.act("shop", "edit_order", id=id_, note="told by nobody")

        async def renewed() -> bool:
            return bool((await there.metric("connectors", "o2c_webhooks_mended_total")).get(SHOP))

        await there.until(renewed, "it is noticed by the sweep after the one that found the edits", 450)
        assert await healed(there) == before + len(ids)
        lines = [line for line in there.log_of("connectors") if line.get("connection") == "shop"]
        (silent,) = [line for line in lines if line["event"] == "webhooks.silent"]
        assert silent["why"].endswith("they are made anew.")
        assert {tuple(line["why"]) for line in lines if line["event"] == "webhooks.mended"} == {("silent",)}

        mark = (await there.marks("shop"))[-1]
        await there.act("shop", "edit_order", id=ids[0], note="told at once")

        async def told() -> bool:
            return any(b"told at once" in (value or b"") for _, value in await there.records(topics.CRM_CHANGES))

        await there.until(told, "webhooks tell again")
        assert (await there.marks("shop"))[-1] == mark, "before any sweep"


async def test_38_a_page_that_slides_while_it_is_read_hides_nothing(there: Apart) -> None:
    await there.knobs("shop", webhook_lost=1)
    ids = [await place(there) for _ in range(260)]
    await there.knobs("shop", latency_s=1.0)
    await there.dies("connectors")

    async def sweeping() -> bool:
        return len(await there.states()) > 0

    await there.until(sweeping, "the first page was read")
    for id_ in (ids[0], ids[1]):
        await there.act("shop", "edit_order", id=id_, note="moved behind the last page")
    await there.act("shop", "delete_order", id=ids[2])
    known = {there.key("shop", "order", id_) for id_ in ids}

    async def all_seen() -> bool:
        return known - {there.key("shop", "order", ids[2])} <= (await there.states()).keys()

    await there.until(all_seen, "nothing is missed")
    await there.knobs("shop", latency_s=0)
    await there.quiet()
    marks = await there.marks("shop")
    events = [value or b"" for _, value in await there.records(topics.CRM_CHANGES)]
    for id_ in (ids[0], ids[1]):
        assert any(b"moved behind the last page" in one and id_.encode() in one for one in events), "the edit was seen"
    assert marks == sorted(marks)
