"""Kafka takes offsets of whoever it forgot while a group has no members: such a commit lets nobody write."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError

from app.config.model import Settings
from app.connectors.lease import Lease
from app.core.metrics import new_metrics
from app.roles.connectors import Office, take

pytestmark = pytest.mark.kafka
SESSION_MS = 6_000
"""The shortest that Kafka allows."""


class Member(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """A consumer that may be stopped behind a poll for so long that its group forgets it."""

    goes_on: asyncio.Event | None = None
    """Set once it comes to what it does in the background again; None while it was never stopped."""
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def getmany(self, *given: Any, **named: Any) -> Any:
        polled = await super().getmany(*given, **named)
        if self.meanwhile is not None:
            await self.meanwhile()
        return polled

    def pause_background(self) -> None:
        self.goes_on = asyncio.Event()
        self._coordinator._do_heartbeat = self._coordinator._do_rejoin_group = self._nothing

    async def _nothing(self, *_: object) -> bool:
        assert self.goes_on is not None
        await self.goes_on.wait()
        return False

    async def stop(self) -> None:
        if self.goes_on is not None:
            self.goes_on.set()
        await super().stop()


@asynccontextmanager
async def member(kafka: str, name: str) -> AsyncIterator[Member]:
    """Provide the one member of a group that reads one empty topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
    consumer = Member(
        name, bootstrap_servers=kafka, group_id=name, enable_auto_commit=False, auto_offset_reset="earliest",
        session_timeout_ms=SESSION_MS, heartbeat_interval_ms=500,
    )  # fmt: skip
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def taken(kafka: str, group: str, offsets: dict[TopicPartition, int]) -> bool:
    """Tell whether Kafka takes *offsets* of somebody who is no member of *group*."""
    stranger = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await stranger.start()
    try:
        stranger.assign(list(offsets))
        await stranger.commit(offsets)
    except CommitFailedError:
        return False
    finally:
        await stranger.stop()
    return True


async def forget(kafka: str, consumer: Member, place: TopicPartition) -> None:
    """Have Kafka forget the one member of a group, whose offsets it then takes from anybody."""
    consumer.pause_background()
    async with asyncio.timeout(60):
        while not await taken(kafka, place.topic, {place: 0}):  # noqa: ASYNC110  Kafka forgets by itself
            await asyncio.sleep(0.5)
    consumer._coordinator.reset_generation()  # as it does once it hears of it
    await consumer.commit({place: 0})


async def test_a_commit_that_kafka_takes_of_whoever_it_forgot_is_no_lease(kafka: str, tmp_path: Path) -> None:
    name, now = f"forgotten-{uuid.uuid4().hex[:8]}", [0.0]
    place = TopicPartition(name, 0)
    office = Office(Settings(data_dir=tmp_path, key="made up"), SimpleNamespace(prefix=""), new_metrics())  # type: ignore[arg-type]
    office.lease = Lease(7.0, lambda: now[0])
    office.ready.set()
    async with member(kafka, name) as consumer:
        now[0] = 10.0
        await take(consumer, office, "")
        assert office.lease.held()
        assert not await taken(kafka, name, {place: 0}), "beside a member, a stranger is refused"

        now[0], consumer.meanwhile = 30.0, partial(forget, kafka, consumer, place)
        await take(consumer, office, "")
        assert not office.lease.held()
