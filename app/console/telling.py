"""What a person says by API or command line, onto the topics that the workers obey."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.console.answers import one_order, one_parked
from app.console.refused import Refused
from app.console.tenant import Tenant
from app.console.views import Told
from app.core import topics
from app.core.errors import ConfigError
from app.decisions import decision
from app.kafka import security
from schemas.broadcast import Fact
from schemas.decisions import Decision, Kind
from schemas.links import Say
from schemas.order_state import PublicOrder

Word = Literal["link", "dismiss", "release"]
_ENCODE = msgspec.json.Encoder().encode
_ACKNOWLEDGED = 10.0


class Message(msgspec.Struct, frozen=True):
    """Something said: what goes to the workers, and what is answered once it is acknowledged."""

    topic: str
    key: bytes
    value: Decision | Say | Fact
    told: Told


def decided(tenant: Tenant, order: PublicOrder, kind: Kind, about: str, by: str) -> Message:
    """Return a decision about *order*; *about* is a write, a field, or any id of the order that it is one with."""
    if kind == "merge":
        into = one_order(tenant, about)
        about = into.alias_of or into.key
        if about == (order.alias_of or order.key):
            raise Refused(409, f"{order.number or order.key} is that order already.", "Name another one.")
    try:
        value = decision(order, kind, about, by, datetime.now(UTC))
    except ConfigError as error:
        raise Refused(409, str(error).partition(";")[0].rstrip(".") + ".", "See `o2c orders get`.") from error
    return Message(topics.DECISIONS, value.order.encode(), value, Told(told=kind, subject=value.order))


def said(tenant: Tenant, id_: str, word: Word, order: str, by: str) -> Message:
    """Return a word about the parked object that *id_* means; *order* is any id of the one to link it to.

    Of a document that names an order already it is a decision about that order.
    """
    object_ = one_parked(tenant, id_)
    into = one_order(tenant, order) if word == "link" else None
    key = "" if into is None else into.alias_of or into.key
    named = next((one_order(tenant, one.order) for one in tenant.parked_as(object_) if one.order), None)
    if named is not None and (word == "dismiss" or (named.alias_of or named.key) == key):
        value = decision(named, "adopt" if key else "disown", object_, by, datetime.now(UTC))
        return Message(
            topics.DECISIONS, value.order.encode(), value, Told(told=word, subject=object_, order=value.order)
        )
    say = Say(key=object_, word=word, order=key, at=datetime.now(UTC), by=by)
    return Message(topics.LINKS, object_.encode(), say, Told(told=word, subject=object_, order=key))


def paused(connection: str, *, yes: bool) -> Message:
    """Return that a connection is to be written to no more, or again."""
    fact = Fact(kind="paused", subject=connection, value="yes" if yes else "")
    return Message(topics.BROADCAST, fact.key, fact, Told(told="pause" if yes else "resume", subject=connection))


def stopped(flow: str) -> Message:
    """Return that a flow is to write nothing more."""
    fact = Fact(kind="mode", subject=flow, value="stopped")
    return Message(topics.BROADCAST, fact.key, fact, Told(told="stop", subject=flow))


class Teller:
    """Writes what was said; at least once, acknowledged by all in-sync replicas."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topics.prefix
        self._kafka = settings.kafka
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect; KafkaError when Kafka does not answer."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap, acks="all", enable_idempotence=True, **security(self._kafka)
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Send what waits and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def tell(self, message: Message) -> Told:
        """Publish; Refused when Kafka does not acknowledge."""
        if self._producer is None:
            raise Refused(503, "Kafka is not connected yet.", "Try again in a moment.")
        try:
            sending = self._producer.send_and_wait(
                self._prefix + message.topic, _ENCODE(message.value), key=message.key
            )
            await asyncio.wait_for(sending, _ACKNOWLEDGED)
        except (KafkaError, TimeoutError) as error:
            raise Refused(503, "Kafka does not acknowledge.", "Look at `o2c kafka status` and say it again.") from error
        return message.told
