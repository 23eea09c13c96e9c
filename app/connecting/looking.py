"""Read how connections stand: from Kafka, and from the connectors' status page where it answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from app import platforms
from app.config.model import ResolvedConnection, Settings
from app.connecting.standing import Held, Page, Standing, page_of, standing
from app.connecting.storing import bus_of
from app.connectors.bus import Bus, group_of, partition_of
from app.connectors.reading import Cursor
from app.core import consumers, topics
from app.core.auth import Tokens, Vault
from app.core.errors import ConfigError
from app.kafka import security
from schemas.broadcast import Fact

_PATIENCE = 3.0
_POLL_MS = 300
_TRIES, _PAUSE = 60, 0.5
_SOON = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
_NEEDED = (topics.BROADCAST, topics.TOKENS, topics.CURSORS, topics.INBOX, topics.COMMANDS)


async def standings(settings: Settings, resolved: Sequence[ResolvedConnection]) -> list[Standing]:
    """Return how each of *resolved* stands; KafkaError when Kafka does not answer."""
    partitions = settings.kafka.partitions
    places = {one.connection.name: partition_of(one.connection.name, partitions) for one in resolved}
    held = await _held(settings, frozenset(places.values()))
    address = _address(settings)
    page = await _page(address, settings.topics.prefix + topics.INBOX)
    return [_one(one, places[one.connection.name], held, page, address) for one in resolved]


def _one(resolved: ResolvedConnection, partition: int, held: Held, page: Page | None, address: str) -> Standing:
    loaded = platforms.load(resolved.connection.platform)
    sweeps = loaded.source(resolved.connection).sweeps()
    auth = loaded.platform.proof(resolved.connection.options)
    return standing(resolved, auth, sweeps, partition, held, page=page, address=address)


# ------------------------------------------------------------------------------------------------------------- Kafka


async def _held(settings: Settings, partitions: Collection[int]) -> Held:
    committed = await _committed(settings)
    bus, vault = bus_of(settings), Vault(settings.key.get_secret_value())
    waiting = Counter(_owner(key) for key in await _rows(bus, topics.INBOX, partitions))
    async for record in _untaken(settings, partitions, committed):
        waiting[record] += 1
    cursors: dict[str, dict[str, Cursor]] = {}
    for key, value in (await _rows(bus, topics.CURSORS, partitions)).items():
        name, _, sweep = key.decode().partition("|")
        cursors.setdefault(name, {})[sweep] = msgspec.json.decode(value, type=Cursor)
    sealed = await _rows(bus, topics.TOKENS, partitions)
    facts = (msgspec.json.decode(value, type=Fact) for value in (await bus.read_all(topics.BROADCAST, 0)).values())
    return Held(
        paused=frozenset(fact.subject for fact in facts if fact.kind == "paused" and fact.value),
        tokens={_owner(key): _opened(vault, value) for key, value in sealed.items()},
        cursors=cursors,
        waiting=waiting,
    )


async def _rows(bus: Bus, topic: str, partitions: Collection[int]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for partition in partitions:
        found |= await bus.read_all(topic, partition)
    return found


def _owner(key: bytes) -> str:
    return key.decode().partition("|")[0]


def _opened(vault: Vault, sealed: bytes) -> Tokens | None:
    try:
        return vault.open(sealed)
    except ConfigError:
        return None


async def _committed(settings: Settings) -> Mapping[TopicPartition, int]:
    """Return how far connectors have taken each partition; ConfigError when there are no topics yet."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap, **security(settings.kafka))
    try:
        await admin.start()
        there = set(await admin.list_topics())
        if missing := [name for name in _NEEDED if settings.topics.prefix + name not in there]:
            raise ConfigError(f"The topic {missing[0]} does not exist; run `o2c topics apply`.")
        return await _offsets(admin, group_of(settings.topics.prefix))
    finally:
        await admin.close()


async def _offsets(admin: AIOKafkaAdminClient, group: str) -> Mapping[TopicPartition, int]:
    """Return what *group* committed; a broker that never had one needs a moment to name its coordinator."""
    for _ in range(_TRIES):
        try:
            found: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(group)
        except _SOON:
            await asyncio.sleep(_PAUSE)
        else:
            return {place: one.offset for place, one in found.items()}
    raise KafkaError(f"Nobody coordinates {group}.")


async def _untaken(
    settings: Settings, partitions: Collection[int], committed: Mapping[TopicPartition, int]
) -> AsyncIterator[str]:
    """Yield the connection of every command that no connector has taken yet."""
    topic = settings.topics.prefix + topics.COMMANDS
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest", **security(settings.kafka)
    )
    try:
        await consumer.start()
        for partition in partitions:
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            begin = (await consumer.beginning_offsets([place]))[place]
            at = max(begin, committed.get(place, begin))
            consumer.seek(place, at)
            while at < end:
                for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
                    yield (record.key or b"").decode("utf-8", "replace")
                at = await consumer.position(place)
    finally:
        await consumers.stop(consumer)


# ------------------------------------------------------------------------------------------------------- status page


def _address(settings: Settings) -> str:
    host = settings.connectors.host
    return f"http://{'127.0.0.1' if host in {'', '0.0.0.0'} else host}:{settings.connectors.port}"  # noqa: S104 - compared only


async def _page(address: str, inbox: str) -> Page | None:
    """Return what the connectors at *address* show, None when nobody answers there."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.get(f"{address}/health/ready") as reply:
                wrong: dict[str, str] = (await reply.json())["wrong"]
            async with session.get(f"{address}/metrics") as reply:
                return page_of(await reply.text(), wrong, inbox)
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return None
