"""What a person registered stays registered: the owner of a connection looks after it on a schedule."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec
import structlog
from aiokafka.errors import KafkaError

from app.broadcasting import send
from app.config.model import ResolvedConnection, Settings
from app.connecting.storing import bus_of
from app.core import topics
from app.core.errors import ConfigError
from app.subscribing.reaching import takes_deliveries
from app.subscribing.registering import Registrar, Report, Send, untold
from schemas.broadcast import Fact
from schemas.webhooks import Webhooks

log = structlog.get_logger(__name__)
_OFTEN = 5.0
_SOON = 900.0
"""Seconds until a look that failed is repeated."""


async def promise(settings: Settings, addresses: Mapping[str, str]) -> str:
    """Tell the connectors what a person registered: connection -> address, "" for none any more.

    Return "" once Kafka acknowledged it, else in one sentence why not.
    """
    try:
        await send(settings, *(Fact(kind="webhooks", subject=name, value=there) for name, there in addresses.items()))
    except KafkaError:
        return f"Kafka does not answer at {settings.kafka.bootstrap}; run `o2c kafka status`, then this again."
    except ConfigError as error:
        return f"{str(error).rstrip('.')}, then this again."
    return ""


async def promised(settings: Settings) -> Mapping[str, str] | None:
    """Return what is to stay registered, None when nobody knows."""
    try:
        rows = await bus_of(settings).read_all(topics.BROADCAST, 0)
    except KafkaError:
        return None
    facts = (msgspec.json.decode(value, type=Fact) for value in rows.values())
    return {fact.subject: fact.value for fact in facts if fact.kind == "webhooks"}


def every(resolved: ResolvedConnection, webhooks: Webhooks) -> float:
    """Return the seconds from one look at a connection's webhooks to the next; 0 = never."""
    return webhooks.look_seconds if resolved.webhooks_seconds is None else resolved.webhooks_seconds


class Kept(NamedTuple):
    """What an owner needs to look after the webhooks of its connection."""

    registrar: Callable[[Send], Registrar]
    address: Callable[[], str]
    """Where a person registered them, "" where nobody did."""


class Keeper:
    """Looks whether what a person registered is still there, and mends it."""

    def __init__(
        self,
        registrar: Registrar,
        address: Callable[[], str],
        *,
        seconds: float,
        well: asyncio.Event,
        shown: Callable[[Report | None], None],
        reached: Callable[[str], Awaitable[bool]] = takes_deliveries,
    ) -> None:
        """*shown* hears of every look, and of None once there is nothing to look after any more.

        *reached* tells whether deliveries to an address find somebody.
        """
        self._registrar, self._address = registrar, address
        self._seconds, self._well, self._shown, self._reached = seconds, well, shown, reached
        self._next: float | None = None
        """When to look again, None while nothing is looked after."""
        self._silent = False
        self._renewed_at = -math.inf

    def renew(self) -> None:
        """Register anew what tells nothing, however well it looks; once in the time between two looks."""
        self._silent = True

    async def run(self) -> None:
        """Look until cancelled: as soon as there is something to look after, and then on schedule."""
        if not self._seconds or self._registrar.subscriber is None:
            return
        while True:
            if self._address() != self._registrar.address:  # nobody registered, or the gateway moved since
                self._forget()
            elif self._silent:
                self._silent = False
                await self._well.wait()
                await self._renew()
            elif self._next is None or time.monotonic() >= self._next:
                await self._well.wait()
                self._next = time.monotonic() + await self._look()
            await asyncio.sleep(min(_OFTEN, self._seconds))

    def _forget(self) -> None:
        if self._next is not None:
            self._next = None
            self._shown(None)

    async def _renew(self) -> None:
        """Register anew and tell; where that did not help, a person must look, and it is not tried all the time."""
        name, address, now = self._registrar.connection.name, self._registrar.address, time.monotonic()
        if not await self._reached(address):
            log.warning("webhooks.silent", connection=name, why=f"No gateway answers for it at {address} from here.")
        elif now - self._renewed_at < self._seconds:
            log.warning("webhooks.silent", connection=name, why="They were registered anew lately, which did not help.")
            self._shown(untold(await self._registrar.show()))
        else:
            log.warning("webhooks.silent", connection=name, why="Sweeps find more than is told: they are made anew.")
            self._renewed_at = now
            self._next = now + self._tell(await self._registrar.renew())

    async def _look(self) -> float:
        """Look, mend and tell; return the seconds until the next look."""
        return self._tell(await self._registrar.mend())

    def _tell(self, report: Report) -> float:
        self._shown(report)
        name = self._registrar.connection.name
        for line in report.changes:
            log.warning("webhooks.mended", connection=name, done=line.done, topics=line.topics, why=line.why)
        for why in report.errors:
            log.warning("webhooks.not_mended", connection=name, why=why)
        if report.standing is not None:
            log.info("webhooks", connection=name, missing=report.standing.missing, changes=len(report.changes))
        return min(_SOON, self._seconds) if report.errors else self._seconds
