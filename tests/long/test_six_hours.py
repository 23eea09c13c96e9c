"""Consent is gone for six hours by every clock: what waited is written once, in order, when it is given again.

The clock of every process of the pipeline and of the sandboxes is set by libfaketime: six hours back when they start, an
hour on at a time, and the true time in the end. Kafka keeps the true time, and waits within a process stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.apart import Apart, Row, apart, library
from tests.e2e.people import BUYER, LINES

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    pytest.mark.skipif(library() is None, reason="no faketime on PATH; Debian has it: apt-get install faketime"),
]
HOURS, HOUR = 6, 3_600.0
EACH_HOUR = 11
"""Orders: in the end more wait than the ledger takes in one call (50)."""
KINDS = ("customer", "invoice", "payment", "credit")
FLOW = """\
[[tenant.flows]]
name = "shop-orders"
key_giver = "shop"
mode = "live"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
"""


@pytest.fixture
async def there(kafka: str, tmp_path: Path) -> AsyncIterator[Apart]:
    """Return a shop, its ledger and the pipeline between them, six hours ago."""
    async with apart(kafka, tmp_path, FLOW, sweep=5.0, late=HOURS * HOUR) as found:
        yield found


async def written(there: Apart, since: datetime) -> list[Row]:
    """Return the calls that changed invoices since then, of those that the ledger still remembers."""
    entries: list[Row] = (await there.log("books"))["requests"]
    done = [entry for entry in entries if entry["mutating"] and entry["status"] < 300 and "/Invoices" in entry["path"]]
    return [entry for entry in done if datetime.fromisoformat(entry["at"]) >= since]


async def test_what_waited_six_hours_is_written_once_and_in_order(there: Apart) -> None:
    orders: list[str] = []

    async def ordered() -> str:
        order = {"reference": f"SO-{len(orders)}", "currency": "EUR", "lines": LINES, **BUYER}
        orders.append(str((await there.act("shop", "create_order", **order))["id"]))
        return orders[-1]

    async def billed(count: int) -> bool:
        return len(await there.books("books", "invoice")) == count

    first = await ordered()
    await there.until(lambda: billed(1), "the first order is billed")
    async with there.session.get(f"{there.stack.urls['books']}/_sandbox/health") as reply:
        shown = datetime.fromisoformat((await reply.json())["at"])
    assert timedelta(hours=HOURS - 0.2) < datetime.now(UTC) - shown < timedelta(hours=HOURS + 0.2), "the clock is set"
    await there.quiet()
    before = await there.books("books", *KINDS)
    await there.act("books", "disconnect")
    for hour in range(1, HOURS):
        await there.act("shop", "edit_order", id=first, po_number=f"PO-{hour}")
        for _ in range(EACH_HOUR):
            await ordered()
        await there.act("shop", "pay_order", id=orders[-1], amount="24.00", gateway="bank transfer")
        await there.quiet()
        if hour == HOURS // 2:
            await there.dies("connectors")
        await there.forward(HOUR)
        await there.quiet()
    assert await there.books("books", *KINDS) == before, "nothing was written without consent"
    await there.forward(HOUR)

    given = datetime.now(UTC)
    await there.consents("books")
    await there.until(lambda: billed(len(orders)), "every order is billed")
    await there.quiet()
    bills = await there.books("books", "invoice")
    assert Counter(row["total"] for row in bills) == {"24.00": len(orders)}
    assert len({row["mark"].rpartition(":")[0] for row in bills}) == len(orders), "each order has its own"
    assert Counter(row["status"] for row in bills)["paid"] == HOURS - 1
    assert [row["amount"] for row in await there.books("books", "payment")] == ["24.00"] * (HOURS - 1)
    methods = Counter(entry["method"] for entry in await written(there, given))
    assert methods["POST"] == 1, "of five customer's numbers the newest"
    assert methods["PUT"] > 1, "more waited than one call takes"
    assert [row["mark"].partition(" ")[0] for row in bills if "PO-" in row["mark"]] == [f"PO-{HOURS - 1}"]
