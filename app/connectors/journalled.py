"""The journal as earlier owners left it; a row that one of them wrote late, after its successor, does not count."""

from __future__ import annotations

import msgspec

from app.connectors.bus import Bus, partition_of
from app.core import topics
from sinks.delivery.journal import Row

EPOCH = "@epoch"
_ENCODE = msgspec.json.Encoder().encode


async def journalled(bus: Bus, connection: str) -> tuple[int, dict[str, Row]]:
    """Return the last owner's epoch and the newest row of each request; one that a late row hides is written again.

    A process that was stopped has its last batch sent when it goes on, and only its lease keeps it from writing more.
    """
    partition, prefix = partition_of(connection, bus.partitions), f"{connection}|".encode()
    epoch, rows, hidden = 0, dict[str, Row](), set[str]()
    async for key, value in bus.records(topics.JOURNAL, [partition]):
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix).decode()
        if name == EPOCH:
            epoch = max(epoch, int(value or b"0"))
            continue
        hidden.discard(name)
        if value is None:
            rows.pop(name, None)
            continue
        row = msgspec.json.decode(value, type=Row)
        if name in rows and row.epoch < rows[name].epoch:
            hidden.add(name)
        else:
            rows[name] = row
    for name in sorted(hidden):
        await bus.send(topics.JOURNAL, prefix + name.encode(), _ENCODE(rows[name]), partition=partition)
    return epoch, rows
