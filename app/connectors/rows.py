"""The rows that one connection's owner leaves to the next on compacted topics, and which of its owners wrote each."""

from __future__ import annotations

from aiokafka.structs import ConsumerRecord

from app.connectors.bus import Bus, partition_of
from app.core import topics

_WRITER = "owner-epoch"
_EPOCH = "@epoch"


class Rows:
    """Rows by topic and name, in the connection's own partition."""

    def __init__(self, bus: Bus, connection: str) -> None:
        """Nothing is written before `begin`."""
        self._bus, self._prefix = bus, f"{connection}|".encode()
        self._partition = partition_of(connection, bus.partitions)
        self.epoch = 0

    async def begin(self) -> dict[str, bytes]:
        """Take the next epoch and return the journal that earlier owners left."""
        journal = await self.left(topics.JOURNAL)
        self.epoch = 1 + int(journal.pop(_EPOCH, b"0"))
        await self.put(topics.JOURNAL, _EPOCH, str(self.epoch).encode())
        return journal

    async def put(self, topic: str, name: str, value: bytes | None) -> int:
        """Store a row, or forget it, and return its offset."""
        return await self._send(topic, name, value, self.epoch)

    async def left(self, topic: str) -> dict[str, bytes]:
        """Return the newest row of each name.

        What an owner wrote after its successor does not count, and what it hides is written again: a process that was
        stopped has its last batch sent when it goes on, and only its lease keeps it from more. Who names no epoch,
        as people's commands, is always heard.
        """
        newest = dict[str, tuple[int, bytes | None]]()
        hidden = set[str]()
        async for record in self._bus.entries(topic, [self._partition]):
            if not record.key.startswith(self._prefix):
                continue
            name = record.key.removeprefix(self._prefix).decode()
            known = newest.get(name, (0, None))[0]
            epoch = _writer(record, known)
            if epoch < known:
                hidden.add(name)
            else:
                hidden.discard(name)
                newest[name] = (epoch, record.value)
        for name in sorted(hidden):
            epoch, value = newest[name]
            await self._send(topic, name, value, epoch)
        return {name: value for name, (_, value) in newest.items() if value is not None}

    async def _send(self, topic: str, name: str, value: bytes | None, epoch: int) -> int:
        headers = ((_WRITER, str(epoch).encode()),)
        key = self._prefix + name.encode()
        return await self._bus.send(topic, key, value, partition=self._partition, headers=headers)


def _writer(record: ConsumerRecord, otherwise: int) -> int:
    return next((int(value) for name, value in record.headers if name == _WRITER), otherwise)
