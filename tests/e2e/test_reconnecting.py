"""Consent is taken back and given again: what waited meanwhile is written once, in order, and nothing is lost.

Hours are simulated in tests/simulator/test_reconnecting.py and, of every process at once, in tests/long/test_six_hours.py.
"""

from __future__ import annotations

import asyncio
import re
import threading
import webbrowser

import pytest
import requests

from app.cli import main
from tests.e2e.people import BUYER, LINES, TOTAL, head, money_everywhere, order_in_shop
from tests.e2e.running import Running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]
KIND = re.compile(r"/(Invoices|Payments)(?:/[^/?]+)?(?:\?.*)?$")
MORE_THAN_A_BATCH = 51
REST = ("shop", "crm", "qbo", "pay")
"""The systems that go on meanwhile."""


def writes(company: Running, since: int = 0) -> list[tuple[str, str]]:
    """Return method and kind of the writes that Xero took."""
    taken = [entry for entry in company.sandboxes["books"].log if entry.mutating and 200 <= entry.status < 300]
    found = [(entry.method, KIND.search(entry.path)) for entry in taken]
    return [(method, kind[1]) for method, kind in found if kind is not None][since:]


def changes(company: Running, invoice: str) -> int:
    """Return how often Xero took a change of that invoice."""
    posted = [entry for entry in company.sandboxes["books"].log if entry.method == "POST" and entry.status == 200]
    return sum(f"/Invoices/{invoice}" in entry.path for entry in posted)


async def pay_in_shop(company: Running, id_: str) -> None:
    await company.act("shop", "pay_order", id=id_, amount=TOTAL, gateway="bank transfer", reference=company.name("P"))


async def place(company: Running, count: int) -> list[str]:
    """Place orders in the shop, one after another, and wait for nothing; return their keys."""
    keys = []
    for _ in range(count):
        order = {"reference": company.name("SO"), "currency": "EUR", "lines": LINES, **BUYER}
        made = await company.act("shop", "create_order", **order)
        keys.append(company.key("shop", "order", made["id"]))
    return keys


async def test_what_waited_for_consent_is_written_once_and_in_order(
    company: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_id = await order_in_shop(company, po_number="PO-1")
    await company.silent(1)
    done, rows = len(writes(company)), company.books("books")
    before = changes(company, head(company, "books", first)["id"])

    await company.act("books", "disconnect")
    waiting = await place(company, MORE_THAN_A_BATCH)
    for number in ("PO-2", "PO-3"):
        await company.act("shop", "edit_order", id=first_id, po_number=number)
        await company.until(
            lambda number=number: head(company, "qbo", first)["order_ref"] == number, f"qbo has {number}"
        )
    await pay_in_shop(company, first_id)
    made = await company.act("shop", "create_order", reference=company.name("SO"), currency="EUR", lines=LINES, **BUYER)
    second = company.key("shop", "order", made["id"])
    await company.until(lambda: head(company, "qbo", second), "qbo has the second order")
    await pay_in_shop(company, made["id"])
    for key in (first, second):
        await money_everywhere(company, key, TOTAL, REST)
    for key in waiting:
        await company.until(lambda key=key: head(company, "qbo", key), f"qbo has {key}")
    await company.stack.kill("connectors-1")
    await company.stack.start_role("connectors", company.stack.folder / "o2c.toml", "connectors-1")
    await company.act("shop", "edit_order", id=first_id, po_number="PO-4")
    await company.until(lambda: head(company, "qbo", first)["order_ref"] == "PO-4", "qbo has PO-4")
    assert company.books("books") == rows, "nothing was written without consent"

    def browser(url: str) -> bool:
        threading.Thread(target=requests.get, args=(url,), kwargs={"timeout": 120}, daemon=True).start()
        return True

    monkeypatch.setattr(webbrowser, "open", browser)
    words = ["connect", "books", "--config", str(company.stack.folder / "o2c.toml"), "--port", "0", "--json"]
    assert await asyncio.to_thread(main, words) == 0
    for key in (first, second):
        await money_everywhere(company, key, TOTAL)
    for key in waiting:
        await company.until(lambda key=key: head(company, "books", key), f"books has {key}")
    await company.silent()
    assert head(company, "books", first)["mark"].partition(" ")[0] == "PO-4"
    assert {head(company, "books", key)["total"] for key in waiting} == {TOTAL}
    found = writes(company, done)
    bills = [one for one in found if one[1] == "Invoices"]
    assert changes(company, head(company, "books", first)["id"]) == before + 1, "of three numbers the newest"
    assert bills.count(("PUT", "Invoices")) > 1, "more than one batch"
    assert 1 <= found.count(("PUT", "Payments")) <= 2, "payments may go together"
    assert found.index(("PUT", "Invoices")) < len(found) - 1 - found[::-1].index(("PUT", "Payments"))
    assert [company.findings(key) for key in (first, second)] == [[], []]
