"""One field edited in one of four linked systems: exactly three writes, one in each of the others, then silence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from tests.e2e.people import head, order_in_shop
from tests.e2e.running import QUIET, Running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]
SYSTEMS = ("shop", "crm", "books", "qbo")
"""Those that keep the customer's own order number; Stripe holds the order as well, and has no such field."""
FIELD: dict[str, Callable[[dict[str, str]], str]] = {
    "shop": lambda row: row["po_number"],
    "crm": lambda row: row.get("order_ref", ""),
    "books": lambda row: row["mark"].partition(" ")[0],
    "qbo": lambda row: row.get("order_ref", ""),
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def key(company: Running) -> str:
    """Return an order with a number of the customer's own that all four systems show."""
    key, _ = await order_in_shop(company, po_number="PO-1")
    assert shown(company, key) == dict.fromkeys(SYSTEMS, "PO-1")
    return key


def shown(company: Running, key: str) -> dict[str, str]:
    return {system: FIELD[system](head(company, system, key)) for system in SYSTEMS}


def edit(company: Running, key: str, system: str, value: str) -> Awaitable[object]:
    id_ = str(head(company, system, key)["id"])
    verb, field = {
        "shop": ("edit_order", "po_number"),
        "crm": ("edit_deal", "reference"),
        "books": ("edit_invoice", "po_number"),
        "qbo": ("edit_invoice", "reference"),
    }[system]
    return company.act(system, verb, id=id_, **{field: value})


@pytest.mark.parametrize("system", SYSTEMS)
async def test_three_writes_and_silence(company: Running, key: str, system: str) -> None:
    value = f"PO-{SYSTEMS.index(system) + 2}"
    before = await company.silent(1)
    await edit(company, key, system, value)
    everywhere = dict.fromkeys(SYSTEMS, value)
    await company.until(lambda: shown(company, key) == everywhere, f"all show {value} after an edit in {system}")
    await company.silent(QUIET)
    others = {name: 1 for name in SYSTEMS if name != system}
    assert company.since(before) == others, company.last_writes(before)
    assert shown(company, key) == everywhere
    assert company.findings(key) == []
