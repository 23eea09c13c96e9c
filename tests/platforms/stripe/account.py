"""A simulated Stripe account with our sink and source at it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from app.core.talk import Request, Response, Talk
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.commands import Command
from schemas.facts import Invoice, Line, Party, Payment
from sinks.base import Written
from tests.platforms.conversation import send
from tests.platforms.stripe.plain import AUTH, SINK, command

BUYER = Party(name="Ada", email="ada@example.com")
DAY = date(2026, 11, 25)
Judge = Callable[[Request, Response], None]


def _lenient(_request: Request, _reply: Response) -> None:
    """Judge nothing."""


class Account:
    """What is written to the account and read from it; what was asked on the way is kept, and judged."""

    def __init__(self, sandbox: StripeSandbox, url: str, judge: Judge = _lenient) -> None:
        self.sandbox, self.url, self._session, self._judge = sandbox, url, aiohttp.ClientSession(), judge
        self.asked: list[Request] = []
        self._number = self._talks = 0

    async def close(self) -> None:
        await self._session.close()
        await self.sandbox.stop()

    def command(self, capability: str, facts: Any, **changes: Any) -> Command:
        self._number += 1
        return command(capability, facts, n=self._number, **changes)

    async def write(self, capability: str, facts: Any, **changes: Any) -> Written:
        written: Written = await self.talk(SINK.write(self.command(capability, facts, **changes)))
        return written

    async def talk(self, conversation: Talk[Any]) -> Any:
        self.asked.clear()
        self._talks += 1
        try:
            request = next(conversation)
            while True:
                self.asked.append(request)
                reply = await send(self._session, self.url, self._keyed(request), AUTH)
                self._judge(request, reply)
                request = conversation.send(reply)
        except StopIteration as done:
            return done.value

    def _keyed(self, request: Request) -> Request:
        return msgspec.structs.replace(request, key=f"{self._talks} {request.step}") if request.key_in else request

    async def bill(self, amount: str, lines: int = 1, **changes: Any) -> Written:
        return await self.write("upsert_invoice", bill(amount, lines), **changes)

    async def pay(self, invoice: str, amount: str) -> Written:
        money = Payment(amount=Decimal(amount), currency="EUR", date=DAY)
        return await self.write("record_payment", money, kind="append", links={"invoice": invoice})

    def record(self, kind: str, id_: str) -> dict[str, Any]:
        return self.sandbox.ledger.get(kind, id_)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.books() if row["kind"] == kind]


def bill(amount: str, lines: int = 1, customer: Party = BUYER) -> Invoice:
    total = Decimal(amount)
    rows = tuple(Line(name=f"Mug {n}", net_amount=total / lines) for n in range(lines))
    return Invoice(currency="EUR", payable_amount=total, customer=customer, reference="SO-1", lines=rows)
