"""Consent is taken back and given again: what waited meanwhile is written once, in order, and nothing is lost."""

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
REST = ("shop", "crm", "qbo", "pay")
"""The systems that go on meanwhile."""


def writes(company: Running, since: int = 0) -> list[tuple[str, str]]:
    """Return method and kind of the writes that Xero took."""
    taken = [entry for entry in company.sandboxes["books"].log if entry.mutating and 200 <= entry.status < 300]
    found = [(entry.method, KIND.search(entry.path)) for entry in taken]
    return [(method, kind[1]) for method, kind in found if kind is not None][since:]


async def pay_in_shop(company: Running, id_: str) -> None:
    await company.act("shop", "pay_order", id=id_, amount=TOTAL, gateway="bank transfer", reference=company.name("P"))


async def test_what_waited_for_consent_is_written_once_and_in_order(
    company: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_id = await order_in_shop(company, po_number="PO-1")
    await company.silent(1)
    done, rows = len(writes(company)), company.books("books")

    await company.act("books", "disconnect")
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
    assert company.books("books") == rows, "nothing was written without consent"

    def browser(url: str) -> bool:
        threading.Thread(target=requests.get, args=(url,), kwargs={"timeout": 30}, daemon=True).start()
        return True

    monkeypatch.setattr(webbrowser, "open", browser)
    words = ["connect", "books", "--config", str(company.stack.folder / "o2c.toml"), "--port", "0", "--json"]
    assert await asyncio.to_thread(main, words) == 0
    for key in (first, second):
        await money_everywhere(company, key, TOTAL)
    await company.silent()
    assert head(company, "books", first)["mark"].partition(" ")[0] == "PO-3"
    found = writes(company, done)
    assert sorted(one for one in found if one[1] == "Invoices") == [("POST", "Invoices"), ("PUT", "Invoices")]
    assert 1 <= found.count(("PUT", "Payments")) <= 2, "payments may go together"
    assert found.index(("PUT", "Invoices")) < len(found) - 1 - found[::-1].index(("PUT", "Payments"))
    assert [company.order(key).findings for key in (first, second)] == [(), ()]
