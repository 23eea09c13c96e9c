"""Sweeps alone lead where webhooks lead: the same history twice, the same final states and the same books."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.demo.history import Row, generated
from app.demo.play import Player
from app.demo.verdict import held
from tests.e2e.running import Running, running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(900)]
NEVER = 86_400.0
ORDERS, DEALS = 8, 3
WAYS = {"told": {"webhooks": True, "sweep": NEVER}, "swept": {"webhooks": False, "sweep": 2.0}}
_OURS = re.compile(r" ?o2c1:\S+")
"""Our mark, which Xero's notes of parcels have in their text."""
_HEADS = {"order", "invoice", "sales_receipt"}
_IDS = {"id", "number", "mark", "marks", "invoice_id", "order_id", "customer", "date", "notes", "vendor_status"}
"""What a system counts or stamps by itself; which customer and which note is compared by what hangs on the order."""


async def test_the_same_states_and_books(kafka: str, tmp_path: Path) -> None:
    rows = generated(ORDERS, DEALS, seed=11)
    found = {}
    for name, how in WAYS.items():
        folder = tmp_path / name
        folder.mkdir()
        async with running(kafka, folder, f"{name}-{uuid.uuid4().hex[:8]}-", **how) as company:  # type: ignore[arg-type]
            found[name] = await _played(company, rows)
            hooked = sum(sandbox.hooks.counts["delivered"] for sandbox in company.sandboxes.values())
            assert (hooked > 0) is (name == "told"), "the two ways are really two"
    assert found["swept"][0] == found["told"][0]
    assert found["swept"][1] == found["told"][1]


async def test_what_people_do_to_lines_and_deals_is_seen(kafka: str, tmp_path: Path) -> None:
    found = {}
    for name, how in WAYS.items():
        folder = tmp_path / name
        folder.mkdir()
        seen = {"adjusted": _reread} if name == "swept" else {}
        async with running(kafka, folder, f"{name}-{uuid.uuid4().hex[:8]}-", **how, **seen) as company:  # type: ignore[arg-type]
            found[name] = await _typed(company)
    assert found["swept"] == found["told"]


def _reread(text: str) -> str:
    """Return the configuration with every open order read again by id each two seconds."""
    return text.replace("sweep_seconds", "recheck_seconds = 2\nsweep_seconds")


async def _typed(company: Running) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Type deals, change lines of one, delete a line of another and a third as a whole; return states and books.

    The totals stay as they are, and so do the deals themselves: only their lines look changed.
    """
    lines = [
        {"title": name, "quantity": n, "price": price}
        for name, n, price in (("Mug", 2, 5), ("Pen", 1, 2), ("Gift", 1, 0))
    ]
    asked = {"stage": "closedwon", "amount": "12.00", "currency": "EUR", "email": "a@example.com", "lines": lines}
    ids = {name: (await company.act("crm", "create_deal", name=name, **asked))["id"] for name in ("D-1", "D-2", "D-3")}
    keys = {name: company.key("crm", "deals", id_) for name, id_ in ids.items()}
    full = [("Gift", 1, 0), ("Mug", 2, 5), ("Pen", 1, 2)]
    await company.until(lambda: _billed(company, keys) == dict.fromkeys(keys, full), "every deal is billed")
    await company.silent()
    await company.act("crm", "edit_line", id=ids["D-1"], title="Mug", quantity=1)
    await company.act("crm", "edit_line", id=ids["D-1"], title="Pen", price="7.00")
    await company.act("crm", "delete_line", id=ids["D-2"], title="Gift")
    await company.act("crm", "delete_deal", id=ids["D-3"])
    changed = {"D-1": [("Gift", 1, 0), ("Mug", 1, 5), ("Pen", 1, 7)], "D-2": full[1:]}
    await company.until(lambda: _billed(company, keys).items() >= changed.items(), "the bills follow the lines")
    gone = keys["D-3"]
    await company.until(lambda: "order_deleted" in {one.code for one in company.findings(gone)}, "the deletion is seen")
    await asyncio.sleep(3)
    await company.silent()
    names = {key: name for name, key in keys.items()}
    states = {name: _state(company, key) for name, key in keys.items()}
    return states, {name: _books(company.books("books"), names).get(name, []) for name in keys}


def _billed(company: Running, keys: Mapping[str, str]) -> dict[str, list[tuple[str, Decimal, Decimal]]]:
    """Return the lines that the ledger bills of each order: what, how many, at which price."""
    held = company.sandboxes["books"].books_of.invoices  # type: ignore[attr-defined]  # of Xero's alone
    found = {name: held[company.one("books", key, "invoice")["id"]]["LineItems"] for name, key in keys.items()}
    return {
        name: sorted((line["Description"], Decimal(line["Quantity"]), Decimal(line["UnitAmount"])) for line in lines)
        for name, lines in found.items()
    }


async def _played(company: Running, rows: list[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Play *rows* and what the bookkeeper types; return states and books, order -> what is left without ids and times."""
    player = Player(company.session, company.stack.urls)
    await player.play(rows)
    accepted = {**player.played.shop_ids, **player.played.deal_ids}
    keys = {company.key("shop", "order", id_): order for order, id_ in player.played.shop_ids.items()}
    keys |= {company.key("crm", "deals", id_): order for order, id_ in player.played.deal_ids.items()}
    await company.until(lambda: keys.keys() <= company.states.keys(), "every order is known", 180)
    await company.silent()
    there = held(company.books("books"))
    typed = {order: str(there[key].documents[0]["id"]) for key, order in keys.items() if there[key].documents}
    await player.type_payments("books", typed)
    await asyncio.sleep(3)  # a sweep must have had its turn before silence means anything
    await company.silent()
    assert len(accepted) == len(keys) == ORDERS + DEALS
    assert {order for system in ("books", "qbo") for order in _books(company.books(system), keys)} == set(keys.values())
    assert sum(company.order(key).paid_amount for key in keys) > 0
    states = {order: _state(company, key) for key, order in keys.items()}
    books = {system: _books(company.books(system), keys) for system in company.sandboxes}
    return states, books


def _state(company: Running, key: str) -> Mapping[str, Any]:
    """Return the public state of an order without the ids that systems count out, in their order."""
    public = msgspec.to_builtins(company.order(key))
    shown = Counter(
        (one["connection"], one["kind"], one.get("status"), _value(one.get("amount")), one.get("ours", False))
        for one in public.pop("shown")
    )
    del public["key"]
    return {**{name: _value(value) for name, value in public.items()}, "shown": shown}


def _value(value: object) -> object:
    """Return an amount as a number, so that 24 and 24.00 are the same; anything else as it is."""
    with contextlib.suppress(InvalidOperation, TypeError, ValueError):
        return Decimal(value)  # type: ignore[arg-type]
    return value


def _books(rows: list[Mapping[str, Any]], keys: Mapping[str, str]) -> dict[str, list[str]]:
    """Return order -> its documents in one system, as sorted text without ids and times."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    heads = {str(row["id"]): order for row in rows if row["kind"] in _HEADS and (order := _order(row, keys))}
    for row in rows:
        parent = str(row.get("invoice_id") or row.get("order_id") or "")
        if order := heads.get(str(row["id"])) or heads.get(parent) or _order(row, keys):
            found[order].append(
                _OURS.sub("", " ".join(f"{name}={row[name]}" for name in sorted(row) if name not in _IDS))
            )
    return {order: sorted(texts) for order, texts in found.items()}


def _order(row: Mapping[str, Any], keys: Mapping[str, str]) -> str:
    """Return the order that a row names: by our mark, by its number, or by what a person wrote."""
    marked = next((order for key, order in keys.items() if f"o2c1:{key}:" in str(row.get("mark") or "")), "")
    named = {str(row.get("number")), str(row.get("order_ref"))} & set(keys.values())
    return marked or next(iter(named), "")
