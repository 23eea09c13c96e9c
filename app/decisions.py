"""From what a person saw of an order to a decision about it, and onto its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaProducer

from app.config.model import Settings
from app.core import topics
from app.core.errors import ConfigError
from app.kafka import security
from schemas.decisions import Decision, Kind
from schemas.order_state import PublicOrder, Shown

_ENCODE = msgspec.json.Encoder().encode
_ENDED = frozenset(("deleted", "void", "cancelled", "reversed"))
_ENDS = (["void"], ["undoing"], ["reversal"], ["status"], ["offset"])


def decision(order: PublicOrder, kind: Kind, about: str, by: str, at: datetime) -> Decision:
    """Return a decision about *order* that names what was shown of it.

    *about* is the write of a retry or recreate, the other order's key of a merge, the field of a revert, or the
    document that is adopted or disowned.
    ConfigError when there is nothing like it.
    """
    first = Decision(id=uuid4().hex, tenant=order.tenant, order=order.alias_of or order.key, kind=kind, by=by, at=at)
    if kind == "retry":
        return msgspec.structs.replace(first, write=about, digest=_refused(order, about) if about else "")
    if kind == "recreate" and not about and any(one.code == "undone" for one in order.findings):
        return _not_under_way(order, first)
    if kind == "recreate":
        shown = _ended(order, about)
        return msgspec.structs.replace(first, write=shown.write, generation=shown.generation)
    if kind == "merge":
        return msgspec.structs.replace(first, into=about)
    if kind in {"adopt", "disown"}:
        return msgspec.structs.replace(first, object=about)
    if kind == "revert":
        return msgspec.structs.replace(first, field=_lost(order, about))
    return first


def _refused(order: PublicOrder, write: str) -> str:
    for waiting in order.waiting:
        if waiting.write == write:
            return waiting.digest
    raise ConfigError(f"Order {order.number or order.key} waits for no write {write}; see `o2c orders get`.")


def _ended(order: PublicOrder, write: str) -> Shown:
    """Return our document that ended; without a name there must be exactly one."""
    found = [one for one in order.shown if one.write and one.status in _ENDED and write in ("", one.write)]
    if len(found) != 1:
        names = ", ".join(one.write for one in found) or "none"
        raise ConfigError(f"Name one document of {order.number or order.key} that ended; there is {names}.")
    return found[0]


def _not_under_way(order: PublicOrder, decided: Decision) -> Decision:
    """Return *decided*, which has all made anew that was undone, unless some of that is not ended yet."""
    if any(waiting.write.split("|")[1:2] in _ENDS for waiting in order.waiting):
        name = order.number or order.key
        raise ConfigError(f"What was undone of {name} has not come to its end yet; see `o2c orders get {name}`.")
    return decided


def _lost(order: PublicOrder, field: str) -> str:
    if not any(one.field == field for one in order.conflicts):
        raise ConfigError(f"Order {order.number or order.key} has no conflict about {field}; see `o2c orders get`.")
    return field


async def send(settings: Settings, decided: Iterable[Decision]) -> None:
    """Publish decisions; at least once, acknowledged by all in-sync replicas."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True, **security(settings.kafka)
    )
    try:
        await producer.start()
        topic = settings.topics.prefix + topics.DECISIONS
        sent = [await producer.send(topic, _ENCODE(one), key=one.order.encode()) for one in decided]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
