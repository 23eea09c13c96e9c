"""Wait for a real delivery: what the gateway accepted for a connection is a record on Kafka.

The gateway answers 2xx only after the record was acknowledged, so it counts more than any counter: it shows that the
platform knows the address and that the signature fits; what it means is looked at here, as the connectors will.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.config.model import ResolvedConnection, Settings
from app.core import consumers, topics
from app.core.errors import ConfigError, DecodeError
from app.deliveries.record import decoded
from app.deliveries.translating import meaning
from app.gateway.addresses import APP_OPTION, Addresses
from app.kafka import security
from app.roles.gateway import served as addresses_of
from app.subscribing.reaching import served
from schemas.trace import trace_id

_POLL_MS = 200
_PATIENCE = aiohttp.ClientTimeout(total=3)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that the gateway accepted."""

    connection: str
    seconds: float
    """Since the waiting began."""
    trace: str = ""
    """Its trace id: `grep` it in the connectors' log."""


class Waiting:
    """Looks at what comes after `start`."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nobody yet."""
        self._settings, self._served = settings, addresses_of(settings)
        self._topic = settings.topics.prefix + topics.DELIVERIES
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="latest", **security(settings.kafka)
        )
        self._began = 0.0

    async def start(self) -> None:
        """Remember where the topic ends now; ConfigError when there is none."""
        await self._consumer.start()
        if self._topic not in await self._consumer.topics():
            raise ConfigError(f"The topic {self._topic} does not exist; run `o2c topics apply`.")
        places = [TopicPartition(self._topic, number) for number in range(self._settings.kafka.partitions)]
        self._consumer.assign(places)
        for place in places:
            await self._consumer.position(place)  # waits until it is known: what comes from now on is seen
        self._began = time.monotonic()

    async def stop(self) -> None:
        """Disconnect."""
        await consumers.stop(self._consumer)

    async def deliveries(self, connections: Collection[str], seconds: float) -> AsyncIterator[Delivery]:
        """Yield the first delivery of each of *connections*, until all came or *seconds* are over."""
        left = set(connections)
        while left and time.monotonic() - self._began < seconds:
            for records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    names, trace = told(self._served, record)
                    for name in sorted(names & left):
                        left.discard(name)
                        seen = time.monotonic() - self._began
                        yield Delivery(connection=name, seconds=round(seen, 1), trace=trace_id(trace))


def told(served: Addresses, record: ConsumerRecord) -> tuple[frozenset[str], str]:
    """Return the connections that a kept delivery tells of, and its trace."""
    try:
        delivery = decoded(record)
    except DecodeError:
        return frozenset(), ""
    if (address := served.get((delivery.owner, delivery.name))) is None:
        return frozenset(), ""
    said = meaning(address, delivery)
    refs = [event.object for event in said.events] + [hint.object for hint in said.hints]
    return frozenset(ref.connection for ref in refs), delivery.trace


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says of itself: deliveries of a platform by outcome, None when it does not answer."""

    refused: float
    total: float


async def counts(settings: Settings, platform: str) -> Counts | None:
    """Ask the gateway's own page, on the address where it listens."""
    gateway = settings.gateway
    text = await _page(f"http://{gateway.host}:{gateway.port}/metrics")
    if text is None:
        return None
    rows = [
        line for line in text.splitlines() if line.startswith("o2c_hooks_total{") and f'platform="{platform}"' in line
    ]
    sums = {
        kind: sum(float(row.rpartition(" ")[2]) for row in rows if kind in row) for kind in ('"refused"', "outcome")
    }
    return Counts(refused=sums['"refused"'], total=sums["outcome"])


async def _page(url: str) -> str | None:
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as session, session.get(url) as reply:
            return await reply.text() if reply.status == 200 else None  # noqa: PLR2004 - HTTP
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def why_none(settings: Settings, resolved: ResolvedConnection, address: str, before: Counts | None) -> str:
    """Return in one sentence why no delivery came, and the next step."""
    name, platform = resolved.connection.name, resolved.connection.platform
    after, status = await asyncio.gather(counts(settings, platform), served(address))
    if after is not None and before is not None and after.refused > before.refused:
        return (
            f"The gateway refused a delivery of {platform}: webhook_secret of {name} is not what signs it; correct it "
            "and restart the gateway."
        )
    if status == 0:
        return f"Nobody answers at {address}; start the gateway and let that address reach it."
    if status == 404:  # noqa: PLR2004 - HTTP
        app = resolved.connection.options.get(APP_OPTION, "default")
        return f"The gateway knows no {name} (app {app}) at {address}; restart it with this configuration."
    if after is not None and before is not None and after.total > before.total:
        return f"Deliveries of {platform} came, but none for {name}; change an order or a document in that account."
    return f"No delivery came for {name}; run `o2c webhooks show {name}`, then change something in that account."
