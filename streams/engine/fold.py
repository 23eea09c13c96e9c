"""What a domain gives the engine: a pure fold from bytes to bytes.

What there is one of per record is a struct that the garbage collector need not look at: it holds bytes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

TICK_TOPIC = "@tick"

Headers = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of Kafka, or a tick.

    A tick has topic "@tick", the key of the state that asked for it, offset -1, and as value nothing (its time
    has come) or the label it waited for ("topic/" + broadcast key).
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Headers
    timestamp: int


class Out(msgspec.Struct, frozen=True, gc=False):
    """A record to write; without *partition* its key is hashed as Kafka's default partitioner does."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


class Folded(NamedTuple):
    """What a fold made of some records.

    `states` holds changed states, None deletes. `timers` holds when a key wants its next tick, None for never; a
    key left out keeps its time, and a time that was reached is used up. `waits` holds the broadcast entries
    (`wait_label(topic, key)`) whose changes tick the key; a key left out keeps them, also after a tick. A change
    ticks at least once, whoever owns the partition by then. Waits may also name what the key is counted as
    (`count_label`): the counts of a partition move with it.
    `dead` are (record, reason, detail). `counts` are outcomes, as "outcome" or "topic/outcome"; see also HEALED.
    Only a key with a state can have timers and waits.
    """

    states: Mapping[bytes, bytes | None]
    outs: Sequence[Out]
    dead: Sequence[tuple[Record, str, str]]
    counts: Mapping[str, int]
    timers: Mapping[bytes, datetime | None] = {}
    waits: Mapping[bytes, Sequence[bytes]] = {}


class Processor(Protocol):
    """One table: co-partitioned source topics folded into one state per key.

    Both methods must be functions of their arguments; what a batch decoded may be cached between the two calls.
    Any exception but NewerFormat quarantines the record keys that caused it.
    """

    name: str
    topics: tuple[str, ...]
    changelog: str

    def keys(self, records: Sequence[Record]) -> Sequence[bytes]:
        """Return the keys of all states that folding *records* reads or writes."""
        ...

    def fold(
        self,
        partition: int,
        records: Sequence[Record],
        states: Mapping[bytes, bytes | None],
        now: datetime,
        broadcast: Mapping[str, Mapping[bytes, bytes]],
    ) -> Folded:
        """Return what *records* do to *states*, which holds every key that `keys` named."""
        ...


class NewerFormat(Exception):
    """A stored state was written by a newer version: the partition stops rather than rewrite it."""


class Fenced(Exception):
    """Another worker owns the partition, or may by now: nothing more may be written for it."""


class Unwritable(Exception):
    """One record or state cannot be stored, whatever is tried: it is bigger than the topic allows."""


COUNTED = b"@"
HEALED = "healed"
"""As an outcome of "connection/healed": a change that a sweep found and nobody had told."""
ECHO = "echo"
"""As an outcome of "source>system/echo": what was typed in one system, written to another and told back by that."""


def count_label(metric: str, name: str) -> bytes:
    """Return the label under which a state counts as *name* of *metric* while it waits for it: no tick ever comes."""
    return COUNTED + metric.encode() + b"/" + name.encode()


def wait_label(topic: str, key: bytes) -> bytes:
    """Return the label under which a state waits for a change of *key* in broadcast *topic*."""
    return topic.encode() + b"/" + key
