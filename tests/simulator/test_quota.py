"""Situation 12 over a day of virtual time: the real limiter with Xero's limits before the vendor's own way of counting."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.core.ending import ended
from app.core.limits import Limiter
from app.sandbox.quota import Window
from schemas.commands import BACKFILL, LIVE_PAYMENT
from schemas.platforms.xero import PLATFORM
from tests.property.virtual_time import run

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
A_MINUTE, A_DAY = 60, 5_000
"""Calls that Xero allows an organisation."""
RECORDS, BULK = 50_000, 50
LATENCY = 0.3
SOON = 10.0
"""Seconds; the situation allows a minute."""


class Organisation:
    """One tenant's ledger: what leaves through our limiter, and what the vendor says to it."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self.limiter = Limiter(PLATFORM.limits, self._time)
        self._vendor = [Window(A_MINUTE, MINUTE, self._now), Window(A_DAY, DAY, self._now)]
        self.inbox = asyncio.PriorityQueue[tuple[int, float]]()
        self.took = defaultdict[int, list[float]](list)
        """How long the calls of each priority took, waiting included."""
        self.refused = 0
        self.went: list[float] = []

    def _now(self) -> datetime:
        return datetime(2026, 5, 4, tzinfo=UTC) + timedelta(seconds=self._time())

    async def call(self, priority: int) -> None:
        """Call once, when it is its turn."""
        async with self.limiter.turn(1, priority) as number:
            self.went.append(self._time())
            taken = [window.take() for window in self._vendor]
            self.refused += not all(one.allowed for one in taken)
            await asyncio.sleep(LATENCY)
            left = (f"{one.left:.0f}" for one in taken)
            self.limiter.heard(b"", dict(zip(PLATFORM.limits.remaining_headers, left, strict=False)), number)

    async def work(self) -> None:
        """Do what waits, the most urgent first, as an owner takes it from its inbox."""
        while True:
            priority, asked = await self.inbox.get()
            await self.call(priority)
            self.took[priority].append(self._time() - asked)

    async def payments(self, every: float, until: float) -> None:
        """Let live payments come."""
        while self._time() < until:
            self.inbox.put_nowait((LIVE_PAYMENT, self._time()))
            await asyncio.sleep(every)


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


async def _backfill_beside_payments() -> None:
    alpha, beta, alone = companies = [Organisation() for _ in range(3)]
    for _ in range(RECORDS // BULK):
        alpha.inbox.put_nowait((BACKFILL, 0.0))
    working = [asyncio.create_task(one.work()) for one in companies for _ in range(PLATFORM.limits.concurrent)]
    live = asyncio.gather(*(one.payments(10, HOUR) for one in companies))
    while len(alpha.took[BACKFILL]) < RECORDS // BULK:  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(1)
    used = len(alpha.went) / (asyncio.get_running_loop().time() / MINUTE)
    busy = list(alpha.took[LIVE_PAYMENT])
    await live
    assert (alpha.refused, beta.refused) == (0, 0)
    assert used >= 0.95 * A_MINUTE, f"{used:.1f} calls a minute while work waited"
    assert p95(busy) < SOON, "no payment waits for the next window"
    assert p95(beta.took[LIVE_PAYMENT]) <= 1.1 * p95(alone.took[LIVE_PAYMENT])
    await ended(working)


def test_12_a_backfill_leaves_no_payment_waiting_and_no_call_unused() -> None:
    run(_backfill_beside_payments())


async def _at_the_cap() -> None:
    alpha, time = Organisation(), asyncio.get_running_loop().time

    for number in range(2 * A_DAY):
        alpha.inbox.put_nowait((BACKFILL, float(number)))
    working = [asyncio.create_task(alpha.work()) for _ in range(PLATFORM.limits.concurrent)]
    left = []
    for _ in range(60):
        left.append(alpha.limiter.left_today() or 0)
        await asyncio.sleep(MINUTE)
    hourly = left[0] - left[-1]
    assert 0 < left[-1] < 4 * hourly, "an hour's course says, before it is so, that the day's calls will not last"
    while alpha.limiter.left_today():  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(MINUTE)
    reset_at, used = time() + alpha.limiter.wait(), len(alpha.went)
    assert used >= 0.95 * A_DAY
    assert reset_at < 1.01 * DAY
    await asyncio.sleep(reset_at - time() - 1)
    assert len(alpha.went) == used, "nothing goes before the reset that is shown"
    await asyncio.sleep(2)
    assert len(alpha.went) > used, "and then it does at once"
    await asyncio.sleep(HOUR)
    assert alpha.refused == 0
    await ended(working)


def test_12_at_the_cap_of_a_day_the_queue_waits_for_the_reset_that_is_shown() -> None:
    run(_at_the_cap())
