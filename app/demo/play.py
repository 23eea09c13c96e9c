"""Play a history into the sandbox systems, as people would: through the systems' own doors."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from app.core.errors import ConfigError
from app.demo.history import Row
from app.demo.rows import TYPES

_ENDS = {"order.canceled", "order.unavailable"}
_REFUSED = 400
_NO_ADDRESS = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass
class Played:
    """What was played: order -> id in the system where it started, and rows by type."""

    shop_ids: dict[str, str] = field(default_factory=dict)
    deal_ids: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    payments_to_type: list[Row] = field(default_factory=list)
    """What the bookkeeper types once the ledger has the invoice."""
    held_back: list[Row] = field(default_factory=list)
    """What happened days later: it comes when everything before it has arrived everywhere."""

    @property
    def orders(self) -> int:
        """Return how many orders and deals were accepted."""
        return len(self.shop_ids) + len(self.deal_ids)


class Player:
    """Sends rows to the sandboxes; rows of one order stay in their order, different orders overlap."""

    def __init__(
        self, session: aiohttp.ClientSession, urls: Mapping[str, str], *, at_once: int = 8, ends_late: bool = False
    ) -> None:
        """*urls*: connection name -> base URL; "shop" and "crm" are played into.

        *ends_late* holds cancellations back for `play_late`: in a history of years that passes in minutes they would
        otherwise overtake the invoice that they take back.
        """
        self._ends_late = ends_late
        self._session = session
        self._urls = urls
        self._at_once = asyncio.Semaphore(at_once)
        self.played = Played()
        self._arrived: dict[str, str] = {}
        """Orders that were delivered before anybody said that they were shipped, and when."""

    async def play(self, rows: Iterable[Row], rows_per_second: float | None = None) -> None:
        """Play *rows* in their order, at most *rows_per_second*; returns when the last was accepted.

        ConfigError tells of the first that was refused.
        """
        try:
            await self._play(rows, rows_per_second)
        except ExceptionGroup as several:
            raise (several.subgroup(ConfigError) or several).exceptions[0] from several

    async def _play(self, rows: Iterable[Row], rows_per_second: float | None) -> None:
        last: dict[str, asyncio.Task[None]] = {}
        pause = 1 / rows_per_second if rows_per_second else 0.0
        async with asyncio.TaskGroup() as group:
            for row in rows:
                if self._ends_late and row.type in _ENDS:
                    self.played.held_back.append(row)
                    continue
                await self._at_once.acquire()
                last[row.order] = group.create_task(self._one(row, last.get(row.order)))
                if pause:
                    await asyncio.sleep(pause)

    async def play_late(self) -> None:
        """Play what was held back."""
        self._ends_late = False
        rows, self.played.held_back = self.played.held_back, []
        await self.play(rows)

    async def _one(self, row: Row, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await asyncio.wait([before])
            await self._send(row)
            self.played.counts[row.type] += 1
        finally:
            self._at_once.release()

    async def _send(self, row: Row) -> None:
        played = self.played
        if row.type == "order.created":
            reply = await self._act(row, "shop", "create_order", {"placed_at": row.at, **_order(row)})
            played.shop_ids[row.order] = str(reply["id"])
        elif row.type == "deal.won":
            order = _order(row)
            deal = {**order, "name": row.order, "contact_name": order["name"], "amount": row.data["total"]}
            reply = await self._act(row, "crm", "create_deal", {**deal, "reference": row.order, "stage": "closedwon"})
            played.deal_ids[row.order] = str(reply["id"])
        elif row.type in {"deal.paid", "order.paid_in_ledger"}:
            played.payments_to_type.append(row)
        elif row.type == "deal.charged":
            paid = {"amount": row.data["amount"], "currency": row.data.get("currency", "EUR"), "email": _email(row)}
            await self._act(row, "pay", "charge", {"order_id": row.order, **paid})
        elif row.type in TYPES:
            await self._shop_change(row, played.shop_ids[row.order])

    async def _shop_change(self, row: Row, id_: str) -> None:
        data = row.data
        if row.type == "payment.recorded":
            if float(data["amount"]) > 0:
                paid = {"amount": data["amount"], "gateway": data.get("method", ""), "at": row.at}
                reference = data.get("id") or data.get("payment_id", "")
                await self._act(row, "shop", "pay_order", {"id": id_, "reference": reference, **paid})
        elif row.type == "order.shipped":
            parcel = {"carrier": data.get("carrier", ""), "tracking": data.get("tracking", "")}
            await self._act(row, "shop", "fulfil_order", {"id": id_, "at": row.at, **parcel})
            if (arrived := self._arrived.pop(row.order, "")) != "":
                await self._act(row, "shop", "deliver_order", {"id": id_, "at": arrived})
        elif row.type == "order.delivered":
            done = await self._act(row, "shop", "deliver_order", {"id": id_, "at": row.at})
            if not done["delivered"]:  # the carrier's scans come in the wrong order
                self._arrived[row.order] = row.at
        elif row.type == "order.refunded":
            await self._act(row, "shop", "refund_order", {"id": id_, "amount": data["amount"]})
        elif row.type in _ENDS:
            await self._act(row, "shop", "cancel_order", {"id": id_, "reason": data.get("reason", "OTHER")})

    async def _act(self, row: Row, system: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._urls[system]}/_sandbox/act/{verb}"
        async with self._session.post(url, json=body) as reply:
            if reply.status >= _REFUSED:
                why = (
                    f"The sandbox {system} refuses {row.type} of {row.order} at {row.at}: {(await reply.text())[:200]}"
                )
                raise ConfigError(f"{why}; correct that row of the history.")
            answer: dict[str, Any] = await reply.json()
            return answer

    async def type_payments(self, ledger: str, invoice_of: Mapping[str, str]) -> int:
        """Type the deals' payments into *ledger* on the invoices given as order -> invoice id; return how many."""
        for row in (due := [row for row in self.played.payments_to_type if row.order in invoice_of]):
            payment = {"invoice_id": invoice_of[row.order], "amount": row.data["amount"], "date": row.at[:10]}
            reference = row.data.get("reference") or f"BANK-{row.order}"
            await self._act(row, ledger, "type_payment", {**payment, "reference": reference})
        self.played.payments_to_type = [row for row in self.played.payments_to_type if row not in due]
        return len(due)


def _order(row: Row) -> dict[str, Any]:
    data = row.data
    customer = str(data.get("customer_id") or row.order)
    return {
        "reference": data.get("reference") or row.order,
        "name": data.get("name") or f"Customer {customer[:12]}",
        "email": _email(row),
        "currency": data.get("currency", "EUR"),
        "lines": data["lines"] if "lines" in data else _lines(data.get("items") or ()),
    }


def _email(row: Row) -> str:
    """Return the address, made up from the order where none is known: who pays later is to be the same person."""
    customer = str(row.data.get("customer_id") or row.order)
    return str(row.data.get("email") or f"{_NO_ADDRESS.sub('-', customer).strip('-').lower()}@example.com")


def _lines(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return two lines for each item: the thing and its freight."""
    found = []
    for item in items:
        thing, freight = (
            {"sku": item["product_id"], "title": item["product_id"]},
            {"sku": "freight", "title": "Freight"},
        )
        found += [{**thing, "quantity": 1, "price": item["price"], "tax_rate": "0"}]
        found += [{**freight, "quantity": 1, "price": item["freight"], "tax_rate": "0"}]
    return found
