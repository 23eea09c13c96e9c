"""Every topic, in one place: versioned names, cleanup and keying.

All partitioned topics have the same number of partitions and the same partitioner: tables and their sources must agree.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

import msgspec

Cleanup = Literal["delete", "compact"]

CRM_CHANGES = "crm-changes"
ACCOUNTING_CHANGES = "accounting-changes"
ORDER_FACTS = "order-facts"
LINKS = "links"
COMMANDS = "commands"
DELIVERIES = "deliveries"
HINTS = "hints"
RESULTS = "results"
DECISIONS = "decisions"
ORDER_STATES = "order-states"
DEAD_LETTERS = "dead-letters"
PARKED = "parked"
INBOX = "inbox"
JOURNAL = "journal"
CURSORS = "cursors"
TOKENS = "tokens"
BROADCAST = "broadcast"
ORDERS_CHANGELOG = "orders-changelog"
LINKS_CHANGELOG = "links-changelog"

ORIGIN_TOPIC = "origin-topic"
"""The header of a dead letter that names the topic it came from; stream workers write it with the prefix of topics."""
_WEEK = 7 * 24 * 3600 * 1000
_MIB = 1024 * 1024
LARGEST_LETTER = 5 * _MIB
"""Bytes of the largest dead letter: any body that the gateway takes or record of another topic, and its headers."""
LARGEST_DELIVERY = LARGEST_LETTER - 64 * 1024
"""A delivery that nobody can read becomes a dead letter, with headers more."""
LARGEST_ROW = LARGEST_DELIVERY
"""A row of the journal holds the reply to a batch: fifty invoices of 160 lines are more than Kafka's usual 1 MiB. A
result holds the object as its system shows it, a waiting command one as we want it."""
_COMPACT = MappingProxyType(
    {
        "min.cleanable.dirty.ratio": "0.2",
        "max.compaction.lag.ms": str(6 * 3600 * 1000),
        "segment.bytes": str(64 * _MIB),
    }
)
_CHANGELOG = MappingProxyType(
    {**_COMPACT, "min.compaction.lag.ms": str(5 * 60 * 1000), "delete.retention.ms": str(24 * 3600 * 1000)}
)
"""Compaction waits longer than a worker needs to repair what a late writer appended; who was away for longer than
deletions are kept begins with an empty disk."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic; `key` says in words what partitions it."""

    name: str
    key: str
    cleanup: Cleanup = "delete"
    single: bool = False
    """One partition: read whole by everybody."""
    public: bool = False
    """Part of the published contract."""
    changelog: bool = False
    """What a worker restores its state from."""
    largest: int = 0
    """Bytes of the largest record; 0 = the broker's default."""

    @property
    def config(self) -> dict[str, str]:
        """Return the topic configuration to apply."""
        size = {"max.message.bytes": str(self.largest)} if self.largest else {}
        if self.cleanup == "compact":
            return {"cleanup.policy": "compact", **(_CHANGELOG if self.changelog else _COMPACT), **size}
        return {"cleanup.policy": "delete", "retention.ms": str(_WEEK), **size}


TOPICS = (
    Topic(name=CRM_CHANGES, key="order key, else first anchor", public=True),
    Topic(name=ACCOUNTING_CHANGES, key="order key, else first anchor", public=True),
    Topic(name=ORDER_FACTS, key="order key"),
    Topic(name=LINKS, key="object or anchor"),
    Topic(name=COMMANDS, key="connection"),
    Topic(name=DELIVERIES, key="tenant and connection, or platform and app", largest=LARGEST_DELIVERY),
    Topic(name=HINTS, key="connection"),
    Topic(name=RESULTS, key="order key", largest=LARGEST_ROW),
    Topic(name=DECISIONS, key="order key", public=True),
    Topic(name=ORDER_STATES, key="order key", cleanup="compact", public=True),
    Topic(name=DEAD_LETTERS, key="origin", public=True, largest=LARGEST_LETTER),
    Topic(name=PARKED, key="object", cleanup="compact"),
    Topic(name=INBOX, key="connection and command", cleanup="compact", largest=LARGEST_ROW),
    Topic(name=JOURNAL, key="connection, write and step", cleanup="compact", largest=LARGEST_ROW),
    Topic(name=CURSORS, key="connection and sweep", cleanup="compact"),
    Topic(name=TOKENS, key="connection", cleanup="compact"),
    Topic(name=BROADCAST, key="kind and subject", cleanup="compact", single=True),
    Topic(name=ORDERS_CHANGELOG, key="order key", cleanup="compact", changelog=True),
    Topic(name=LINKS_CHANGELOG, key="object or anchor", cleanup="compact", changelog=True),
)


def side_topic(canonical: str) -> str:
    """Return the public topic that carries changes of *canonical* objects."""
    return CRM_CHANGES if canonical in {"order", "shipment", "customer"} else ACCOUNTING_CHANGES
