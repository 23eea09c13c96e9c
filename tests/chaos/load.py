"""What is sent: orders, their changes and their payments, as foreign CloudEvents to the gateway's POST /events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.checker import order_key

TENANT = "acme"
GIVERS = {"books": "erp-north", "qbo": "erp-south"}
"""Ledger -> the connection whose orders go there."""
_CUSTOMERS = 150
_DAYS = 300
_TAX = Decimal("0.2")
_EDIT_PAUSE = 2.0
_BATCH = 50


@dataclass
class Order:
    """One order: how often it changes, when it is paid, and how far it got."""

    number: int
    ledger: str
    versions: int
    prepaid: bool
    """The payment is sent together with the order; else the buyer pays what the ledger bills."""
    sent: int = 0
    """Versions sent."""
    next_at: float = 0.0
    paying: bool = False
    billed: Decimal = Decimal(-1)
    done: bool = False

    @property
    def id(self) -> str:
        """Return its number in the ERP."""
        return f"K-{self.number}"

    @property
    def giver(self) -> str:
        """Return the connection that it comes from."""
        return GIVERS[self.ledger]

    @cached_property
    def key(self) -> str:
        """Return its order key; the ERP's account is called like its connection."""
        return order_key(TENANT, self.giver, self.giver, "order", self.id)

    def total(self, version: int) -> Decimal:
        """Return the gross total of a version; each version has another one."""
        return (self._net(version) * (1 + _TAX)).quantize(Decimal("0.01"))

    @property
    def last(self) -> Decimal:
        """Return the total in the end."""
        return self.total(self.versions)

    def _price(self) -> Decimal:
        return Decimal(500 + 5 * (self.number % 900)) / 100

    def _net(self, version: int) -> Decimal:
        return self._price() * version

    def facts(self, version: int) -> dict[str, Any]:
        """Return a version of the order: its quantity is the version's number."""
        customer = self.number % _CUSTOMERS
        net, tax = self._net(version), self.total(version) - self._net(version)
        line = {"sku": "MUG", "name": "Mug", "quantity": str(version), "unit_price": f"{self._price():.2f}"}
        amounts = {"net_amount": f"{net:.2f}", "tax_amount": f"{tax:.2f}"}
        return {
            "type": "order",
            "number": self.id,
            "currency": "EUR",
            "payable_amount": f"{self.total(version):.2f}",
            **amounts,
            "placed_at": self._day().isoformat(),
            "customer": {"name": f"Buyer {customer}", "email": f"buyer{customer}@{self.ledger}.example"},
            "lines": [{**line, **amounts, "tax_rate": "20"}],
        }

    def _day(self) -> datetime:
        return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=self.number % _DAYS)


def orders(count: int) -> Iterator[Order]:
    """Yield *count* orders, in turn for each ledger: half prepaid, a quarter changed twice, the rest paid on receipt."""
    ledgers = list(GIVERS)
    for number in range(count):
        kind = number // len(ledgers) % 4
        yield Order(number, ledgers[number % len(ledgers)], versions=3 if kind == 2 else 1, prepaid=kind < 2)


@dataclass(frozen=True)
class Event:
    """One CloudEvent and the row of the log that says it was sent."""

    row: dict[str, Any]
    envelope: dict[str, Any]


def order_event(order: Order, version: int) -> Event:
    """Return a version of an order as an event."""
    return _event(order, "order", order.id, version, order.facts(version), f"{order.total(version):.2f}")


def payment_event(order: Order) -> Event:
    """Return the payment of the whole order as an event."""
    amount = f"{order.last:.2f}"
    facts = {
        "type": "payment",
        "amount": amount,
        "currency": "EUR",
        "paid_at": order.facts(1)["placed_at"],
        "reference": f"BANK-{order.id}",
    }
    return _event(order, "payment", f"{order.id}-P", 1, facts, amount)


def _event(order: Order, kind: str, id_: str, version: int, facts: dict[str, Any], amount: str) -> Event:
    ref = {"connection": order.giver, "account": order.giver, "type": kind, "id": id_}
    parent = {**ref, "type": "order", "id": order.id}
    data = {"tenant": TENANT, "object": ref, "version": {"native": version}, "facts": facts}
    if kind != "order":
        data["anchors"] = [{"kind": "order", "ref": parent}]
    name = f"{id_}-{version}"
    envelope = {
        "specversion": "1.0",
        "type": f"o2c.{kind}.changed.v1",
        "source": f"/{TENANT}/{order.giver}/{order.giver}",
        "id": name,
        "datacontenttype": "application/json",
        "data": data,
    }
    place = {"tenant": TENANT, "connection": order.giver, "account": order.giver, "ledger": order.ledger}
    return Event({"event": name, "kind": kind, "order": order.id, "amount": amount, **place}, envelope)


@dataclass
class Sender:
    """Sends orders as fast as *window* and *rate* allow, follows the ledgers' histories, and logs what was accepted."""

    session: aiohttp.ClientSession
    gateway: str
    key: str
    log: Path
    window: int
    """How many orders may be unfinished at once."""
    rate: float = 0.0
    """Orders a second, 0 = no limit."""
    open: dict[str, Order] = field(default_factory=dict)
    started: int = 0
    finished: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    async def run(self, wanted: Iterable[Order], sandboxes: dict[str, str], stalled: float) -> bool:
        """Return once every order is billed and paid as sent; False when *stalled* seconds brought nothing new."""
        coming, began, moved = iter(wanted), time.monotonic(), time.monotonic()
        exhausted = False
        while not exhausted or self.open:
            before = self.finished
            for ledger, url in sandboxes.items():
                await self.follow(ledger, url)
            due = self._follow_ups()
            while len(self.open) < self.window and not (
                self.rate and self.started > self.rate * (time.monotonic() - began)
            ):
                order = next(coming, None)
                if order is None:
                    exhausted = True
                    break
                due += self._first(order)
            await self._post(due)
            now = time.monotonic()
            moved = now if self.finished > before or due else moved
            if now - moved > stalled:
                return False
            await asyncio.sleep(0.25)
        return True

    def _first(self, order: Order) -> list[Event]:
        self.started += 1
        self.open[order.key] = order
        order.sent, order.next_at = 1, time.monotonic() + _EDIT_PAUSE
        found = [order_event(order, 1)]
        if order.versions > 2:  # the second version follows at once, the third a little later
            order.sent = 2
            found.append(order_event(order, 2))
        if order.prepaid:
            order.paying = True
            found.append(payment_event(order))
        return found

    def _follow_ups(self) -> list[Event]:
        found: list[Event] = []
        for order in self.open.values():
            if order.sent < order.versions and time.monotonic() >= order.next_at:
                order.sent += 1
                found.append(order_event(order, order.sent))
            elif not order.paying and order.billed == order.last:
                order.paying = True
                found.append(payment_event(order))
        return found

    async def follow(self, ledger: str, url: str) -> None:
        """Read what changed in a ledger since the last look."""
        after = self._seen.get(ledger, 0)
        async with self.session.get(f"{url}/_sandbox/history", params={"after": str(after)}) as reply:
            lines = (await reply.read()).splitlines()
        self._seen[ledger] = after + len(lines)
        for line in lines:
            row = json.loads(line)
            if row["kind"] == "invoice" and (order := self.open.get(_key(row))) is not None:
                order.billed = Decimal(row["total"])
                if row["status"] == "paid" and order.billed == order.last:
                    del self.open[order.key]
                    self.finished += 1

    async def _post(self, events: list[Event]) -> None:
        for start in range(0, len(events), _BATCH):
            batch = events[start : start + _BATCH]
            body = json.dumps([event.envelope for event in batch]).encode()
            twice = start == 0 and self.started % 25 == 0  # a producer that heard no answer sends again
            for _ in range(2 if twice else 1):
                await self._until_accepted(body)
            with self.log.open("a", encoding="utf-8") as log:
                log.writelines(json.dumps({"at": time.time(), **event.row}) + "\n" for event in batch)

    async def _until_accepted(self, body: bytes) -> None:
        headers = {"Content-Type": "application/cloudevents-batch+json", "Authorization": f"Bearer {self.key}"}
        for _ in range(120):
            try:
                async with self.session.post(f"{self.gateway}/events", data=body, headers=headers) as reply:
                    if reply.status == 202:
                        return
                    if reply.status < 500:
                        raise RuntimeError(f"the gateway refused: {await reply.text()}")
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.5)
        raise TimeoutError("the gateway accepted nothing for a minute")


def _key(row: dict[str, Any]) -> str:
    mark = str(row.get("mark") or "")
    start = mark.find("o2c1:")
    return mark[start + 5 : start + 37]
