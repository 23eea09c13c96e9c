"""The rows that one connection's owner leaves to the next on compacted topics, and which of its owners wrote each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiokafka.structs import ConsumerRecord

from app.connectors.bus import Bus, partition_of
from app.core import topics

_WRITER = "owner-epoch"
_EPOCH = "@epoch"


def least_epoch(now: float) -> int:
    """Return the least epoch of an owner that begins at *now*, in seconds since 1970: the minute.

    Were epochs counted in the journal alone and the journal lost, the next owner would come below those in the inbox,
    in events and in order-states, and nothing that it says would count.
    """
    return int(now / 60)


class Place(Protocol):
    """Where the newest row of each name is put."""

    def hold(self, key: str, value: bytes) -> None:
        """Take a row instead of its predecessor."""

    def held(self, key: str) -> bytes | None:
        """Return a row, None where there is none."""

    def drop(self, key: str) -> None:
        """Forget a row, if there is one."""


class _Memory(dict[str, bytes]):
    """Rows that are few enough for memory."""

    hold = dict[str, bytes].__setitem__
    held = dict[str, bytes].get

    def drop(self, key: str) -> None:
        self.pop(key, None)


class Rows:
    """Rows by topic and name, in the connection's own partition."""

    def __init__(self, bus: Bus, connection: str, clock: Callable[[], float]) -> None:
        """Nothing is written before `begin`; *clock* tells the seconds since 1970."""
        self._clock = clock
        self._bus, self._prefix = bus, f"{connection}|".encode()
        self._partition = partition_of(connection, bus.partitions)
        self.epoch = 0

    async def begin(self, journal: Place) -> None:
        """Take the next epoch, and put into *journal* what earlier owners left in theirs."""
        own = _Memory()
        await self._sort(topics.JOURNAL, lambda name: own if name == _EPOCH else journal)
        self.epoch = max(1 + int(own.get(_EPOCH, b"0")), least_epoch(self._clock()))
        await self.put(topics.JOURNAL, _EPOCH, str(self.epoch).encode())

    async def put(self, topic: str, name: str, value: bytes | None) -> int:
        """Store a row, or forget it, and return its offset."""
        return await self._send(topic, name, value, self.epoch)

    async def left(self, topic: str) -> dict[str, bytes]:
        """Return the newest row of each name."""
        rows = _Memory()
        await self._sort(topic, lambda _name: rows)
        return rows

    async def _sort(self, topic: str, place: Callable[[str], Place]) -> None:
        """Put the newest row of each name into its place.

        What an owner wrote after its successor does not count, also where the successor wrote nothing of that name, and
        what it hides is written again: a process that was stopped has its last batch sent when it goes on, and only its
        lease keeps it from more. Who names no epoch, as people's commands, is always heard.
        """
        newest = 0
        hidden = set[str]()
        async for record in self._bus.entries(topic, [self._partition]):
            if not record.key.startswith(self._prefix):
                continue
            name = record.key.removeprefix(self._prefix).decode()
            epoch = _writer(record, newest)
            if epoch < newest:
                hidden.add(name)
                continue
            hidden.discard(name)
            newest = epoch
            if record.value is None:
                place(name).drop(name)
            else:
                place(name).hold(name, record.value)
        for name in sorted(hidden):
            await self._send(topic, name, place(name).held(name), newest)

    async def _send(self, topic: str, name: str, value: bytes | None, epoch: int) -> int:
        headers = ((_WRITER, str(epoch).encode()),)
        key = self._prefix + name.encode()
        return await self._bus.send(topic, key, value, partition=self._partition, headers=headers)


def _writer(record: ConsumerRecord, otherwise: int) -> int:
    return next((int(value) for name, value in record.headers if name == _WRITER), otherwise)
