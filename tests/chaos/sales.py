"""The orders of the fault matrix: sent by an ERP, bought in the shop, won in the CRM; changed, paid, and followed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.checker import key_in, order_key
from tests.chaos.company import ACCOUNTS, FLOWS
from tests.chaos.load import TENANT, Event, Order, order_event, payment_event

_KINDS = ("erp", "erp", "edited", "erp", "shop", "erp", "edited", "deal")
_PAUSE = 2.0
_LOOK = 0.3
_BUYERS = 40
PRICE = Decimal(10)
Row = dict[str, Any]


@dataclass
class Sale(Order):
    """One order and how far each system has got with it."""

    kind: str = "erp"
    made: str = ""
    """Its id in the system where people made it."""
    bill: str = ""
    """Its invoice in the books."""
    right: set[str] = field(default_factory=set)
    """Systems that show it as it was sent last, and paid where they are told of money."""

    @property
    def giver(self) -> str:
        """Return the connection that it comes from."""
        return {"erp": "erp", "edited": "erp-edits", "shop": "shop", "deal": "crm"}[self.kind]

    @property
    def from_erp(self) -> bool:
        """Tell whether a service sends it."""
        return self.kind in {"erp", "edited"}

    @property
    def systems(self) -> tuple[str, ...]:
        """Return every system that is to hold it."""
        return (*FLOWS[self.giver], *(() if self.from_erp else (self.giver,)))

    @cached_property
    def key(self) -> str:
        """Return its order key, once it was made."""
        if self.from_erp:
            return order_key(TENANT, self.giver, self.giver, "order", self.id)
        return order_key(TENANT, self.giver, ACCOUNTS[self.giver], self.type, self.made)

    @property
    def type(self) -> str:
        """Return what an order is called where it was made."""
        return "deals" if self.kind == "deal" else "order"

    def _price(self) -> Decimal:
        return super()._price() if self.from_erp else PRICE * self.quantity

    @property
    def quantity(self) -> int:
        """Return how many were bought in the shop, or from a sales person."""
        return 1 + self.number % 7

    def row(self, kind: str) -> Row:
        """Return the line of the log for what people did in a system."""
        place = {"tenant": TENANT, "connection": self.giver, "account": ACCOUNTS[self.giver], "type": self.type}
        event = f"{self.id}-{kind}"
        return {
            **place, "event": event, "kind": kind, "order": self.id, "object": self.made, "amount": f"{self.last:.2f}",
            "systems": self.systems, "own": self.giver, "unpaid": ["crm"] if self.kind == "deal" else [],
        }  # fmt: skip


def sale(number: int) -> Sale:
    """Return the order of a number; its kind, changes and payment follow from that."""
    kind = _KINDS[number % len(_KINDS)]
    return Sale(number, "matrix", versions=3 if kind == "edited" else 1, prepaid=kind == "erp", kind=kind)


class Seller:
    """Makes orders at a rate until told to stop, changes and pays them, and sees them arrive."""

    def __init__(self, session: aiohttp.ClientSession, rig: Any, *, rate: float, window: int) -> None:
        """*rig* runs; *rate* is orders a second, *window* how many may be unfinished at once."""
        self._session, self._rig, self._rate, self._window = session, rig, rate, window
        self.open: dict[str, Sale] = {}
        self.started = self.finished = 0
        self.enough = asyncio.Event()
        """Set: no new order is made."""
        self.bodies: list[bytes] = []
        """Everything that was posted to the gateway."""
        self._seen: dict[str, int] = {}

    async def run(self, patience: float) -> bool:
        """Return once every order arrived everywhere; False when *patience* seconds brought nothing new, or no gateway."""
        began = moved = time.monotonic()
        while not self.enough.is_set() or self.open:
            before = self.finished
            await asyncio.gather(*(self._follow(name, url) for name, url in self._rig.sandboxes.items()))
            due = await self._follow_ups()
            while self._may_begin(began):
                due += await self._first(sale(self.started))
            if not await self._post(due):
                return False
            now = time.monotonic()
            moved = now if self.finished > before or due else moved
            if now - moved > patience:
                return False
            await asyncio.sleep(_LOOK)
        return True

    def _may_begin(self, began: float) -> bool:
        early = self.started > self._rate * (time.monotonic() - began)
        return not self.enough.is_set() and len(self.open) < self._window and not early

    async def _first(self, order: Sale) -> list[Event]:
        self.started += 1
        order.sent, order.next_at = 1, time.monotonic() + _PAUSE
        if order.from_erp:
            self.open[order.key] = order
            order.paying = order.prepaid
            return [order_event(order, 1), *([payment_event(order)] if order.prepaid else [])]
        lines = [{"sku": "MUG", "title": "Mug", "quantity": order.quantity, "price": str(PRICE), "tax_rate": "20"}]
        buyer = {"email": f"{order.kind}{order.number % _BUYERS}@example.com"}
        if order.kind == "shop":
            asked = {"reference": f"S-{order.number}", "currency": "EUR", "lines": lines, "name": "Ada Buyer", **buyer}
            made = await self._act("shop", "create_order", **asked)
        else:
            asked = {"name": f"D-{order.number}", "reference": f"D-{order.number}", "amount": f"{order.last:.2f}"}
            more = {"currency": "EUR", "stage": "closedwon", "lines": lines, "contact_name": "Ada Buyer", **buyer}
            made = await self._act("crm", "create_deal", **asked, **more)
        order.made = str(made["id"])
        self.open[order.key] = order
        self._log("sent", [order.row("order")])
        self._log("accepted", [order.row("order")])
        return []

    async def _follow_ups(self) -> list[Event]:
        found: list[Event] = []
        for order in list(self.open.values()):
            if time.monotonic() < order.next_at:
                continue
            if order.sent < order.versions:
                order.sent, order.next_at = order.sent + 1, time.monotonic() + _PAUSE
                found.append(order_event(order, order.sent))
            elif not order.paying and order.billed == order.last:
                order.paying = True
                if order.from_erp:
                    found.append(payment_event(order))
                else:
                    await self._pay(order)
        return found

    async def _pay(self, order: Sale) -> None:
        amount = f"{order.last:.2f}"
        if order.kind == "shop":
            await self._act(
                "shop", "pay_order", id=order.made, amount=amount, gateway="bank", reference=f"P-{order.id}"
            )
        else:
            await self._act("books", "type_payment", invoice_id=order.bill, amount=amount, reference=f"P-{order.id}")
        self._log("sent", [order.row("payment")])

    async def _act(self, system: str, verb: str, **asked: Any) -> Row:
        async with self._session.post(f"{self._rig.sandboxes[system]}/_sandbox/act/{verb}", json=asked) as reply:
            answer: Row = await reply.json()
            if reply.status != 200:
                raise RuntimeError(f"{system} {verb}: {answer}")
            return answer

    async def _follow(self, system: str, url: str) -> None:
        after = self._seen.get(system, 0)
        async with self._session.get(f"{url}/_sandbox/history", params={"after": str(after)}) as reply:
            lines = (await reply.read()).splitlines()
        self._seen[system] = after + len(lines)
        for line in lines:
            self._notice(system, json.loads(line))

    def _notice(self, system: str, row: Row) -> None:
        order = self.open.get(key_in(row)) or self._own(system, row)
        if order is None or row["kind"] not in {"order", "invoice", "payment"}:
            return
        if row["kind"] == "invoice" and system == "books" and row.get("status") != "draft":
            order.billed, order.bill = Decimal(row["total"]), str(row["id"])
        if _right(system, order, row):
            order.right.add(system)
        elif system != "crm":
            order.right.discard(system)
        if order.paying and order.right.issuperset(order.systems):
            del self.open[order.key]
            self.finished += 1

    def _own(self, system: str, row: Row) -> Sale | None:
        if row["kind"] != "order":
            return None
        return next((one for one in self.open.values() if (one.giver, one.made) == (system, str(row["id"]))), None)

    async def _post(self, events: list[Event]) -> bool:
        if not events:
            return True
        self._log("sent", [_told(event) for event in events])
        body = json.dumps([event.envelope for event in events]).encode()
        for _ in range(2 if len(self.bodies) % 10 == 0 else 1):  # a producer that heard no answer sends again
            if not await self.deliver(body):
                return False
        self.bodies.append(body)
        self._log("accepted", [_told(event) for event in events])
        return True

    async def deliver(self, body: bytes) -> bool:
        """Post until it is accepted; False when the gateway accepted nothing for three minutes."""
        headers = {"Content-Type": "application/cloudevents-batch+json", "Authorization": f"Bearer {self._rig.key}"}
        for _ in range(600):
            try:
                async with self._session.post(f"{self._rig.gateway}/events", data=body, headers=headers) as reply:
                    if reply.status == 202:
                        return True
                    if reply.status < 500:
                        raise RuntimeError(f"the gateway refused: {await reply.text()}")
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.3)
        sys.stderr.write("the gateway accepted nothing for three minutes\n")
        return False

    def _log(self, name: str, rows: list[Row]) -> None:
        folder: Path = self._rig.folder
        with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as log:
            log.writelines(json.dumps({"at": time.time(), **row}) + "\n" for row in rows)


def _told(event: Event) -> Row:
    row = dict(event.row)
    giver = row["connection"]
    del row["ledger"]
    return {**row, "type": "order", "systems": FLOWS[giver]}


def _right(system: str, order: Sale, row: Row) -> bool:
    """Tell whether *row* shows the order as it was sent last, and paid."""
    if row["kind"] == "payment":
        return system == "crm" and order.kind != "deal"
    if not row.get("total") or Decimal(row["total"]) != order.last or order.sent < order.versions:
        return False
    if system == "shop":
        return Decimal(row["paid"]) == order.last
    if system == "crm":
        return order.kind == "deal"
    return row["status"] == "paid"
