"""The table of links: who belongs to which order, and who waits for an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from app.core import topics
from schemas.errors import misfit
from schemas.links import ALIKE, FORMAT, LinkMessage, LinkRow
from schemas.trace import trace_headers
from streams.engine.fold import TICK_TOPIC, Folded, Out, Record, count_label
from streams.order.link import Linked, on_message, on_tick
from streams.processors.stored import Stored

_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_MESSAGE: msgspec.json.Decoder[LinkMessage] = msgspec.json.Decoder(LinkMessage)
_ROW = Stored(LinkRow, FORMAT)


class Links:
    """Folds link messages into rows; answers and placed facts go out."""

    name = "links"

    def __init__(self, prefix: str = "") -> None:
        """*prefix* stands before every topic name."""
        self._prefix = prefix
        self.topics: tuple[str, ...] = (prefix + topics.LINKS,)
        self.changelog = prefix + topics.LINKS_CHANGELOG

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        """Return the rows that *records* speak of."""
        return list(dict.fromkeys(record.key for record in records))

    def fold(
        self,
        partition: int,
        records: Sequence[Record],
        states: Mapping[bytes, bytes | None],
        now: datetime,
        broadcast: Mapping[str, Mapping[bytes, bytes]],
    ) -> Folded:
        """Apply each message to its row, in order."""
        del partition, broadcast
        rows: dict[bytes, LinkRow] = {}
        outs: list[Out] = []
        dead: list[tuple[Record, str, str]] = []
        timers: dict[bytes, datetime | None] = {}
        waits: dict[bytes, Sequence[bytes]] = {}
        counts: Counter[str] = Counter()
        for record in records:
            row = rows.get(record.key) or _row(record.key, states.get(record.key))
            try:
                linked = self._linked(row, record, now)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                dead.append((record, "unreadable", misfit(error)))
                continue
            counts[f"{record.topic}/{'duplicate' if linked.row == row else 'applied'}"] += 1
            rows[record.key] = linked.row
            timers[record.key] = linked.due_at
            waits[record.key] = _counted(linked.row)
            outs += self._outs(linked)
            if row.listed and not linked.row.listed:
                outs.append(Out(self._prefix + topics.PARKED, record.key, None))
        changed = {key: _ENCODE(row) if row != LinkRow(key=row.key) else None for key, row in rows.items()}
        return Folded(states=changed, outs=outs, dead=dead, counts=counts, timers=timers, waits=waits)

    def _linked(self, row: LinkRow, record: Record, now: datetime) -> Linked:
        if record.topic == TICK_TOPIC:
            return on_tick(row, now)
        return on_message(row, _MESSAGE.decode(record.value), now)

    def _outs(self, linked: Linked) -> list[Out]:
        prefix = self._prefix
        outs = [Out(prefix + topics.LINKS, message.key.encode(), _ENCODE(message)) for message in linked.messages]
        outs += [
            Out(prefix + topics.ORDER_FACTS, one.order.encode(), _ENCODE(one), trace_headers(one.event.trace))
            for one in linked.placed
        ]
        kind = (("o2c-kind", ALIKE),)
        outs += [Out(prefix + topics.ORDER_FACTS, one.order.encode(), _ENCODE(one), kind) for one in linked.alike]
        outs += [Out(prefix + topics.HINTS, hint.object.connection.encode(), _ENCODE(hint)) for hint in linked.hints]
        if linked.parked is not None:
            key = linked.parked.object.key.encode()
            outs.append(Out(prefix + topics.PARKED, key, _ENCODE(linked.parked)))
        return outs


def _counted(row: LinkRow) -> Sequence[bytes]:
    if row.waiting_since is None:
        return ()
    return (count_label("parked", "person" if row.listed else "parent"),)


def _row(key: bytes, stored: bytes | None) -> LinkRow:
    return LinkRow(key=key.decode()) if stored is None else _ROW.read(stored)
