"""Many commands at once and what they leave in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
from msgspec import structs

from app.core.errors import RetryableError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Party
from sinks.base import Written
from tests.platforms.conversation import send
from tests.platforms.hubspot.desk import AUTH, ORDER, Desk, command_of

MUG = {"title": "Mug", "quantity": 1, "price": "5.00"}


def typed_deals(desk: Desk, count: int, lines: int) -> list[str]:
    act = desk.sandbox.verbs["create_deal"]
    wanted = [
        {"name": f"D{n}", "currency": "EUR", "email": f"{n}@example.com", "lines": [MUG] * lines} for n in range(count)
    ]
    return [act(one)["id"] for one in wanted]


def many_orders(count: int, first: int = 0) -> list[Command]:
    return [order_of(number) for number in range(first, first + count)]


def order_of(number: int, **changes: Any) -> Command:
    customer = Party(name=f"Buyer {number}", email=f"Buyer{number}@example.com", phone=f"+49 {number}")
    order = structs.replace(ORDER, **{"number": f"SO-{number}", "customer": customer, **changes})
    return command_of("upsert_order", order, **ids(number))


def ids(number: int) -> dict[str, str]:
    return {"id": f"{number:032x}", "mark": f"o2c1:{'a' * 32}:{number:012x}"}


async def send_many(desk: Desk, commands: Sequence[Command]) -> list[Any]:
    desk.calls.clear()
    return await desk.converse(desk.sink.write_many(commands))


async def written_in_the_end(desk: Desk, commands: Sequence[Command], refused: float) -> list[Written]:
    """Send *commands* again and again while a share of each batch, *refused*, fails in passing; return what came of it."""
    desk.sandbox.injector.faults = desk.sandbox.faults.changed({"batch_item_failure": refused})
    left, done = list(commands), list[Written]()
    for _ in range(30):
        parts = await send_many(desk, left)
        assert all(isinstance(part, Written | RetryableError) for part in parts)
        done += [part for part in parts if isinstance(part, Written)]
        left = [command for command, part in zip(left, parts, strict=True) if not isinstance(part, Written)]
        if not left:
            break
    assert desk.sandbox.injector.injected["batch_item_failure"]
    return done


def held(desk: Desk, kind: str) -> int:
    return len(desk.sandbox.portal.records[kind])


async def crashed(desk: Desk, talk: Talk[Any], after: int) -> bool:
    """Throw *talk* away after so many requests; tell whether it came to its end before."""
    async with aiohttp.ClientSession() as session:
        try:
            request = next(talk)
            for _ in range(after):
                request = talk.send(await send(session, desk.url, request, AUTH))
        except StopIteration:
            return True
    talk.close()
    return False


def notes_on(capability: str, deals: Sequence[str], facts: Any, **changes: Any) -> list[Command]:
    told = {"told_at": datetime(2026, 11, 2, 9, tzinfo=UTC), "text": "Paid", **changes}
    return [command_of(capability, facts, links={"order": id_}, **ids(n), **told) for n, id_ in enumerate(deals)]
