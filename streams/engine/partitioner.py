"""Where a key belongs, as Kafka's default partitioner decides it."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of *key* in a topic of *partitions*; kept, since the hash is slow in Python."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
