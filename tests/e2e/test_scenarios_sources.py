"""SCENARIOS 3, 4, 24 and 31 on the real pipeline: what systems tell late, twice, in any order, wrongly or not at all."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import permutations

import msgspec
import pytest

from app.core import topics
from app.demo.verdict import order_key
from app.sandbox.base import real_time
from app.sandbox.platforms.xero import XeroSandbox
from schemas.order_state import PublicOrder
from tests.e2e.people import BUYER, LEDGERS, LINES, head
from tests.e2e.running import Running
from tests.e2e.scenes import Stage, ago, commands, knobs, metric, over, records, together
from tests.e2e.test_one_edit import SYSTEMS, shown

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]
HEALED = "o2c_healed_by_sweep_total"
SHOP = '{connection="shop"}'


async def test_03_a_lost_webhook_is_healed_and_counted_and_nothing_is_applied_twice(
    company: Running, stage: Stage
) -> None:
    orders = [stage.order() for _ in range(4)]
    await company.caught_up()
    before = await metric(company, "streams", HEALED)
    (lost, lost_id), *told = orders
    async with knobs(company.sandboxes["shop"], webhook_lost=1):
        await company.act("shop", "edit_order", id=lost_id, po_number="PO-LOST")
    await together(*(company.act("shop", "edit_order", id=id_, po_number="PO-TOLD") for _, id_ in told))
    for key, wanted in ((lost, "PO-LOST"), *((key, "PO-TOLD") for key, _ in told)):
        await company.until(lambda key=key, wanted=wanted: set(shown(company, key).values()) == {wanted}, wanted)
    await over(company)
    healed = (await metric(company, "streams", HEALED))[SHOP] - before.get(SHOP, 0)
    assert 1 <= healed <= len(orders), "the lost one, and what a sweep happened to see before it was told"
    for key, _ in orders:
        sets = Counter(one["connection"] for one in await commands(company, key) if one["kind"] == "set")
        assert sets == {"crm": 1, "books": 1, "qbo": 1}


async def test_03_a_subscription_that_vanished_while_it_is_shown_active_loses_nothing(
    company: Running, stage: Stage
) -> None:
    (key, id_), hooks = stage.order(), company.sandboxes["shop"].hooks
    targets, hooks.targets = hooks.targets, []
    try:
        await company.act("shop", "edit_order", id=id_, po_number="PO-SWEPT")
        await company.until(lambda: set(shown(company, key).values()) == {"PO-SWEPT"}, "a sweep brought it")
    finally:
        hooks.targets = targets


async def test_04_every_order_of_events_and_every_repeat_leads_to_the_same_state(company: Running) -> None:
    found = {}
    for number, history in enumerate(permutations(("order", "payment", "sent", "delivered"))):
        name = f"PERM-{number:02d}"
        found[order_key("demo", "erp", "erp-1", "order", name)] = name
        for what in (*history, history[number % 4]):
            await _told(company, name, what)
    await company.caught_up()
    await company.until(lambda: all(_whole(company.order(key)) for key in found), "all 24 know all")
    await company.caught_up()
    states = {
        msgspec.json.encode(company.order(key)).replace(key.encode(), b"").replace(name.encode(), b"")
        for key, name in found.items()
    }
    assert len(found) == 24
    assert len(states) == 1, states
    last = dict.fromkeys(found, "")
    for record in await records(company, topics.ORDER_STATES):
        if record.key.decode() in last and record.value is not None:
            now = msgspec.json.decode(record.value, type=PublicOrder).fulfilment
            assert not (last[record.key.decode()] == "delivered" and now == "fulfilled"), "shipped again"
            last[record.key.decode()] = now
    assert set(last.values()) == {"delivered"}


async def _told(company: Running, name: str, what: str) -> None:
    anchor = {"kind": "order", "ref": {"connection": "erp", "account": "erp-1", "type": "order", "id": name}}
    if what == "order":
        await company.tell("order", name, {"number": name, "currency": "EUR", "payable_amount": "24.00"})
    elif what == "payment":
        await company.tell("payment", f"{name}-p", {"amount": "24.00", "currency": "EUR"}, anchors=[anchor])
    else:
        native, status = (1, "shipped") if what == "sent" else (2, "delivered")
        facts = {"status": status, "tracking_numbers": ["1Z999"]}
        await company.tell("shipment", f"{name}-s", facts, native=native, anchors=[anchor])


def _whole(order: PublicOrder) -> bool:
    return (order.financial, order.fulfilment) == ("overpaid", "delivered") or (
        order.paid_amount == 24 and order.fulfilment == "delivered" and order.payable_amount == 24
    )


async def test_24_three_identical_orders_of_one_minute_are_three_orders(company: Running, stage: Stage) -> None:
    order = {"currency": "EUR", "lines": LINES, **BUYER, "po_number": "EVERY-WEEK"}
    made = await together(*(company.act("shop", "create_order", **order) for _ in range(3)))
    keys = [company.key("shop", "order", one["id"]) for one in made]
    for key in keys:
        await stage.everywhere(key)
    await over(company)
    assert len(set(keys)) == 3
    for key in keys:  # a person is told, and nothing waits for them
        await company.until(lambda key=key: "alike" in {one.code for one in company.order(key).findings}, "it is told")
        assert company.findings(key) == []
    for system in LEDGERS:
        assert len({head(company, system, key)["id"] for key in keys}) == 3, system


async def test_31_the_last_state_of_the_platform_is_ours_though_its_clock_was_fast(
    company: Running, stage: Stage
) -> None:
    key, _ = stage.order()
    books, bill = company.sandboxes["books"], head(company, "books", key)["id"]
    assert isinstance(books, XeroSandbox)
    books.books_of.clock = ago(-600)
    await company.act("books", "edit_invoice", id=bill, po_number="PO-FAST")
    await company.until(lambda: set(shown(company, key).values()) == {"PO-FAST"}, "what the fast clock stamped")
    books.books_of.clock = real_time
    await company.act("books", "edit_invoice", id=bill, po_number="PO-LAST")
    await company.until(lambda: set(shown(company, key).values()) == {"PO-LAST"}, "what came last")
    await over(company)
    assert shown(company, key) == dict.fromkeys(SYSTEMS, "PO-LAST")


async def test_31_an_order_that_is_gone_is_shown_as_gone(company: Running, stage: Stage) -> None:
    key, id_ = stage.order()
    await company.act("shop", "delete_order", id=id_)
    await company.until(lambda: "order_deleted" in {one.code for one in company.order(key).findings}, "it is told")
    await asyncio.sleep(0)
    for system in LEDGERS:
        assert head(company, system, key)["status"] != "deleted", "nothing is deleted in a ledger"
