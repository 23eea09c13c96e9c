"""SCENARIOS 1, 4, 5 and 36 over minutes and hours on the real pipeline.

Most of them live by libfaketime: it moves the clock of every process but Kafka, whose records have the true time. Waits
within a process stay as they are. Without it the fifteen minutes of situation 4 are waited for all the same, truly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from app.decisions import decision, send
from schemas.order_state import PublicOrder
from tests.e2e.apart import NEVER, Apart, Row, apart, library
from tests.e2e.configuring import flows
from tests.e2e.people import BUYER, HEAD, LINES, TOTAL

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.timeout(2_400),
    pytest.mark.asyncio(loop_scope="module"),
]
MINUTE, HOUR = 60.0, 3_600.0
LIVES_BY_IT = pytest.mark.skipif(
    library() is None, reason="no faketime on PATH; Debian has it: apt-get install faketime"
)
PARKED = "o2c_parked"
Passes = Callable[[float], Awaitable[None]]
"""Lets so many seconds pass."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Apart]:
    """Return a company of five linked systems thirty hours ago."""
    folder = tmp_path_factory.mktemp("days")
    async with apart(kafka, folder, flows(), sweep=NEVER, settle=30.0, late=30 * HOUR) as found:
        _, id_ = await order(found)  # the customer is known everywhere
        before = await written(found)
        await found.act("shop", "fulfil_order", id=id_, carrier="UPS", tracking="1Z998")

        async def shipped() -> bool:
            after = await written(found)
            return all(after[name] > before[name] for name in after)

        await found.until(shipped, "a first parcel is everywhere, and the portal knows our mark on notes")
        await found.quiet()
        yield found


async def placed(there: Apart) -> tuple[str, str]:
    """Place an order in the shop; return its key and its id there."""
    asked = {"reference": f"SO-{datetime.now(UTC):%H%M%S%f}", "currency": "EUR", "lines": LINES, **BUYER}
    id_ = str((await there.act("shop", "create_order", **asked))["id"])
    return there.key("shop", "order", id_), id_


async def order(there: Apart) -> tuple[str, str]:
    """Place an order and wait until every system holds it."""
    key, id_ = await placed(there)
    await there.until(lambda: linked(there, key, HEAD), "every system holds it")
    await there.quiet()
    return key, id_


async def linked(there: Apart, key: str, systems: Collection[str]) -> bool:
    shown = {one.connection for one in (await state(there, key)).shown if one.kind in {"order", "invoice"}}
    return set(systems) <= shown


async def state(there: Apart, key: str) -> PublicOrder:
    return (await there.states()).get(key) or PublicOrder(key=key, tenant="demo")


def holds(there: Apart, key: str, true: Callable[[PublicOrder], bool]) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return true(await state(there, key))

    return asked


async def creates(there: Apart) -> list[Row]:
    """Return the calls that made invoices in the ledger."""
    calls: list[Row] = (await there.log("books"))["requests"]
    return [one for one in calls if one["method"] == "PUT" and one["path"].startswith("/Invoices")]


@LIVES_BY_IT
async def test_01_a_retry_after_25_hours_asks_first_and_makes_no_second_invoice(there: Apart) -> None:
    await there.knobs("books", idempotency_off=1)
    before = await there.books("books", "invoice")
    await there.strikes("books", reset_after_commit=1)
    key, _ = await placed(there)

    async def lost() -> bool:
        return (await there.knobs("books"))["injected"].get("reset_after_commit", 0) == 1

    await there.until(lost, "the invoice is made, and its answer lost")
    await there.knobs("books", error_5xx=1)  # nobody can ask
    made = await creates(there)
    for _ in range(5):
        await there.forward(5 * HOUR)
        await asyncio.sleep(3)
    assert len(await there.books("books", "invoice")) == len(before) + 1
    await there.until(holds(there, key, lambda one: bool(ledgers(one))), "what nobody knows of is visible")
    assert await creates(there) == made, "nothing is written again without asking"

    await there.knobs("books", error_5xx=0)
    for one in ledgers(await state(there, key)):
        if one == "uncertain":  # given up after a day: a person says try again
            await send(there.settings, [decision(await state(there, key), "retry", "", "a person", datetime.now(UTC))])
    await there.until(holds(there, key, lambda one: not one.waiting), "the ledger was asked")
    assert await linked(there, key, HEAD)
    rows = [row for row in await there.books("books", "invoice") if key in str(row["mark"])]
    assert [row["total"] for row in rows] == [TOTAL]
    assert await creates(there) == made, "it was found by asking, not written again"
    await there.knobs("books", idempotency_off=0)


def ledgers(order: PublicOrder) -> list[str]:
    """Return what became of the writes to the ledger that are not confirmed."""
    return [one.outcome for one in order.waiting if one.connection == "books"]


@LIVES_BY_IT
async def test_04_what_came_before_its_parent_waits_15_minutes_of_a_moved_clock(there: Apart) -> None:
    await _waits_for_its_parent(there, there.forward)


async def test_04_what_came_before_its_parent_waits_15_true_minutes(kafka: str, tmp_path: Path) -> None:
    async with apart(kafka, tmp_path, flows(), sweep=NEVER, settle=30.0) as there:
        await there.until(lambda: there.marks("books"), "the ledger was swept, when it was empty")
        await there.quiet()
        await _waits_for_its_parent(there, asyncio.sleep)


async def _waits_for_its_parent(there: Apart, passes: Passes) -> None:
    """Let a payment come whose invoice nobody told: it is parked, and after a quarter of an hour the invoice is read."""
    await there.knobs("books", webhook_lost=1)
    typed = {"customer": BUYER["name"], "email": BUYER["email"], "currency": "EUR", "lines": LINES}
    id_ = str((await there.act("books", "type_invoice", **typed))["id"])
    await there.knobs("books", webhook_lost=0)
    account = "00000000-0000-4000-8000-000000000001"
    parent = {"connection": "books", "account": account, "type": "invoice", "id": id_}
    await tell_payment(there, f"P-{id_[:8]}", parent)
    key = there.key("books", "invoice", id_)
    await there.until(lambda: parked(there, "parent", 1), "it is parked")
    await passes(14 * MINUTE)
    await there.quiet()
    assert key not in await there.states(), "it waits"
    assert await parked(there, "parent", 1)
    await passes(2 * MINUTE)
    await there.until(holds(there, key, lambda one: one.paid_amount == 5), "its parent was read, and it is placed")
    await there.until(lambda: parked(there, "parent", 0), "nothing is parked any more")
    assert not [one for one in (await state(there, key)).findings if one.severity == "block"]


async def parked(there: Apart, reason: str, count: int) -> bool:
    return (await there.metric("streams", PARKED)).get(f'{{reason="{reason}"}}') == count


@LIVES_BY_IT
async def test_36_what_no_anchor_places_is_listed_for_a_person(there: Apart) -> None:
    parent = {"connection": "", "account": "", "type": "order", "id": "NOBODYS"}
    await tell_payment(there, "P-NOBODYS", parent, kind="number")
    await there.until(lambda: parked(there, "parent", 1), "it is parked")
    for _ in range(2):  # its source is asked first, and then it has its time once more
        await there.quiet()
        await there.forward(16 * MINUTE)
        await asyncio.sleep(20)  # a tick of the streams, which no page shows
    await there.until(lambda: parked(there, "person", 1), "it is listed")


async def tell_payment(there: Apart, id_: str, parent: Row, kind: str = "object") -> None:
    """Let another service tell of a payment that hangs on *parent*."""
    ref = {"connection": "erp", "account": "erp-1", "type": "payment", "id": id_}
    facts = {"type": "payment", "amount": "5.00", "currency": "EUR"}
    anchors = [{"kind": kind, "ref": parent}]
    data = {"tenant": "demo", "object": ref, "version": {"native": 1}, "facts": facts, "anchors": anchors}
    await there.tell("payment", data)


@LIVES_BY_IT
async def test_05_ten_minutes_after_an_edit_nothing_more_was_written_and_echoes_are_counted(there: Apart) -> None:
    _, id_ = await order(there)
    before, told = await written(there), await echoes(there)
    await there.act("shop", "edit_order", id=id_, po_number="PO-5")
    await there.act("shop", "fulfil_order", id=id_, carrier="UPS", tracking="1Z999")

    async def arrived() -> bool:
        after = await written(there)
        return {name: after[name] - before[name] for name in after} == {"crm": 2, "books": 2, "qbo": 2, "pay": 1}

    await there.until(arrived, "one write for each system and edit")
    await there.quiet()
    after = await written(there)
    for _ in range(5):
        await there.forward(2 * MINUTE)
        await there.quiet(2)
    pairs = await echoes(there)
    assert {pair for pair, count in pairs.items() if count > told.get(pair, 0)} >= {'{source="shop",system="crm"}'}
    await there.dies("connectors")  # which sweep everything when they start
    await there.quiet(5)
    assert await written(there) == after


async def written(there: Apart) -> dict[str, int]:
    """Return how many changing calls each system but the shop has had."""
    return {name: (await there.log(name))["counters"]["mutating"] for name in HEAD if name != "shop"}


async def echoes(there: Apart) -> dict[str, float]:
    """Return how many echoes each pair of systems had, counted by the streams and the connectors of now."""
    found: dict[str, float] = {}
    for role in ("streams", "connectors"):
        for pair, count in (await there.metric(role, "o2c_echoes_total")).items():
            found[pair] = found.get(pair, 0) + count
    return found
