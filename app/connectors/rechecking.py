"""Open objects of ours, and open orders of anybody's, are read again by id on a schedule.

So a deletion is seen that no webhook and no list of changes tells: lists omit what is gone. After a time so long that a
list of deletions does not reach back, everything is read again once, whoever made it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from aiokafka.errors import KafkaError

from app.connectors.reading import Cursor
from schemas.commands import BACKFILL
from schemas.connection import Connection
from schemas.errors import misfit
from schemas.events import RECHECK, Hint
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef

log = structlog.get_logger(__name__)
CURSOR = "@recheck"
_WHOLE = "*"
"""In front of the place of a walk over everything."""
_ENDED = frozenset(("deleted", "void", "cancelled", "failed", "reversed"))
_AT_ONCE = 20
_TRIES = 3
_LONGEST_PAUSE, _LATER = 60.0, 60.0


def open_objects(order: PublicOrder, connection: Connection, *, whole: bool = False) -> tuple[ObjectRef, ...]:
    """Return what o2c wrote of *order* into *connection*, and the order itself whoever typed it there.

    Without what ended, and unless the order is done with; *whole*: what anybody made, also of an order that is done.
    """
    done = not whole and order.life_cycle in {"closed", "cancelled"} and not order.amount_due
    if done or order.alias_of or order.tenant != connection.tenant:
        return ()
    return tuple(
        ObjectRef(one.connection, one.account, one.type, one.id)
        for one in order.shown
        if (whole or one.ours or one.kind == "order")
        and (one.connection, one.account) == (connection.name, connection.account)
        if one.status not in _ENDED
    )


async def standing(
    states: AsyncIterator[tuple[bytes, bytes | None]], connection: Connection, *, whole: bool = False
) -> list[ObjectRef]:
    """Return the open objects of *connection* as the newest of *states* (key, encoded `PublicOrder`) show them.

    *whole*: all that are not over, see `open_objects`.
    """
    found: dict[bytes, tuple[ObjectRef, ...]] = {}
    decode = msgspec.json.Decoder(PublicOrder).decode
    async for key, value in states:
        try:
            objects = () if value is None else open_objects(decode(value), connection, whole=whole)
        except msgspec.MsgspecError as error:  # a newer worker's state: what was known of the order still counts
            log.warning("recheck.unreadable", connection=connection.name, why=misfit(error))
            continue
        if objects:
            found[key] = objects
        else:
            found.pop(key, None)
    return sorted({ref for objects in found.values() for ref in objects}, key=lambda ref: ref.key)


class Recheck:
    """Walks all open objects of one connection each *seconds*, spread over half of that time."""

    def __init__(
        self,
        connection: Connection,
        objects: Callable[[bool], Awaitable[Sequence[ObjectRef]]],
        read: Callable[[Sequence[Hint]], Awaitable[Iterable[Hint]]],
        *,
        keep_cursor: Callable[[str, Cursor], Awaitable[None]],
        cursor: Cursor | None,
        seconds: float,
        well: asyncio.Event,
    ) -> None:
        """*objects* is told whether all are meant, *read* returns what must be tried again.

        *cursor* is what an earlier owner kept: the walk goes on there.
        """
        self._connection, self._objects, self._read = connection, objects, read
        self._keep_cursor, self._cursor = keep_cursor, cursor
        self._seconds, self._well = seconds, well
        self._asked = asyncio.Event()

    async def everything(self) -> None:
        """Walk over everything as soon as may be, from its beginning; that is remembered."""
        self._asked.set()
        await self._keep(Cursor(_WHOLE))

    async def run(self) -> None:
        """Walk on schedule until cancelled; the first walk comes one period after the connection was first owned."""
        if not self._seconds:
            return
        if self._cursor is None:
            await self._keep(Cursor("", datetime.now(UTC)))
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._due())
            await self._well.wait()
            try:
                await self.walk()
            except KafkaError as error:
                log.info("recheck.later", connection=self._connection.name, why=type(error).__name__)
                await asyncio.sleep(_LATER)

    def _due(self) -> float:
        last = None if self._cursor is None else self._cursor.complete_up_to
        if last is None:
            return 0.0
        return max(0.0, (last + timedelta(seconds=self._seconds) - datetime.now(UTC)).total_seconds())

    async def walk(self) -> None:
        """Read every open object once, from where an earlier owner stopped; a walk over everything takes its place."""
        self._asked.clear()
        began, cursor = datetime.now(UTC), self._cursor or Cursor("")
        sign = _WHOLE if cursor.value.startswith(_WHOLE) else ""
        place = cursor.value.removeprefix(sign)
        left = [ref for ref in await self._objects(bool(sign)) if ref.key > place]
        steps = [left[start : start + _AT_ONCE] for start in range(0, len(left), _AT_ONCE)]
        for step in steps:
            await self._read_again(step)
            if self._asked.is_set():
                return
            await self._keep(Cursor(sign + step[-1].key, cursor.complete_up_to))
            await asyncio.sleep(min(_LONGEST_PAUSE, self._seconds / 2 / len(steps)))
        if self._asked.is_set():
            return
        await self._keep(Cursor("", began))
        log.info("recheck", connection=self._connection.name, objects=len(left))

    async def _read_again(self, refs: Sequence[ObjectRef]) -> None:
        tenant = self._connection.tenant
        rest: Sequence[Hint] = [Hint(tenant=tenant, object=ref, reason=RECHECK, priority=BACKFILL) for ref in refs]
        for tries in range(_TRIES):
            await self._well.wait()
            rest = list(await self._read(rest))
            if not rest:
                return
            await asyncio.sleep(_LONGEST_PAUSE if tries + 1 < _TRIES else 0)
        log.warning("recheck.skipped", connection=self._connection.name, objects=len(rest))

    async def _keep(self, cursor: Cursor) -> None:
        self._cursor = cursor
        await self._keep_cursor(CURSOR, cursor)
