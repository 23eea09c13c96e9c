"""What a person says by API or command line, onto the topics that the workers obey."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.console.model import Model
from app.console.records import short_id
from app.console.refused import Refused
from app.console.views import Told
from app.core import topics
from app.core.errors import ConfigError
from app.decisions import decision
from app.roles.gateway import security
from schemas.decisions import Decision, Kind
from schemas.links import Say
from schemas.order_state import PublicOrder

_ENCODE = msgspec.json.Encoder().encode
_ACKNOWLEDGED = 10.0


class Teller:
    """Writes decisions and words about parked objects; at least once, acknowledged by all in-sync replicas."""

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

    async def _send(self, topic: str, key: str, value: Decision | Say) -> None:
        if self._producer is None:
            raise RuntimeError("start() comes first")
        try:
            sending = self._producer.send_and_wait(self._prefix + topic, _ENCODE(value), key=key.encode())
            await asyncio.wait_for(sending, _ACKNOWLEDGED)
        except (KafkaError, TimeoutError) as error:
            raise Refused(503, "Kafka does not acknowledge.", "Look at `o2c kafka status` and say it again.") from error

    async def decide(self, order: PublicOrder, kind: Kind, about: str, by: str) -> Told:
        """Publish a decision about *order*."""
        try:
            decided = decision(order, kind, about, by, datetime.now(UTC))
        except ConfigError as error:
            raise Refused(409, str(error).partition(";")[0].rstrip(".") + ".", "See `o2c orders get`.") from error
        await self._send(topics.DECISIONS, decided.order, decided)
        return Told(told=kind, subject=decided.order)

    async def say(self, say: Say) -> Told:
        """Publish a word about a parked object."""
        await self._send(topics.LINKS, say.key, say)
        return Told(told=say.word, subject=say.key, order=say.order)


def one_order(model: Model, tenant: str, id_: str) -> PublicOrder:
    """Return the order that *id_* means; Refused when there is none or several."""
    found = model.find(tenant, id_)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(404, f"There is no order {id_}.", "See `o2c orders list`.")
    keys = ", ".join(order.key for order in found)
    raise Refused(409, f"{id_} is {keys}.", "Name one key.")


def one_parked(model: Model, tenant: str, id_: str) -> str:
    """Return the object that *id_* means: one on the list, or, by its whole name, one that was taken off it."""
    found = model.parked_as(tenant, id_)
    if len(found) == 1:
        return found[0].object.key
    if found:
        ids = ", ".join(short_id(one.object.key) for one in found)
        raise Refused(409, f"{id_} is {ids}.", "Name one of them.")
    if model.look(tenant, id_) is not None:
        return id_
    raise Refused(404, f"Nothing is parked as {id_}.", "See `o2c parked list`.")
