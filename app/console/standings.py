"""How connections stand, for the API: a look asks Kafka and the connectors, which takes longer than an answer may."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import structlog
from aiokafka.errors import KafkaError

from app import platforms
from app.config.model import Settings
from app.connecting.looking import standings
from app.connecting.standing import Standing
from app.console.refused import Refused
from app.console.views import ConnectionList, ConnectionView
from app.core.errors import ConfigError

log = structlog.get_logger(__name__)
_FRESH, _OLD = 5.0, 60.0
"""Seconds after which a look is taken anew, and after which an answer waits for it."""
_REST = 4
"""Times as long as a look took, none is taken: long ones, over much that waits, leave time for answers."""


class Standings:
    """Answers with the newest look, and looks again behind it when that is not fresh; nobody asks: nobody looks."""

    def __init__(self, settings: Settings) -> None:
        """Load every platform in use now: an import error is for the start, and takes no time later."""
        for one in settings.connections:
            platforms.load(one.connection.platform)
        self._settings = settings
        self._found: list[Standing] = []
        self._seen_at = datetime.fromtimestamp(0, UTC)
        self._looked, self._due = -_OLD, 0.0
        self._looking: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def of(self, tenant: str) -> ConnectionList:
        """Return how the connections of *tenant* stand; Refused when Kafka does not answer."""
        if time.monotonic() > self._due and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look())
        if time.monotonic() - self._looked > _OLD and self._looking is not None:
            await asyncio.shield(self._looking)
        if time.monotonic() - self._looked > _OLD:
            raise Refused(503, "Kafka does not tell how connections stand.", "Look at `o2c kafka status`.")
        mine = (one for one in self._found if one.tenant == tenant)
        return ConnectionList(connections=tuple(_view(one) for one in mine), seen_at=self._seen_at)

    async def _look(self) -> None:
        began, seen_at = time.monotonic(), datetime.now(UTC)
        try:
            # In a thread of its own: it loads platforms and reads whole topics, and nobody else is to wait for that.
            found = await asyncio.to_thread(asyncio.run, standings(self._settings, self._settings.connections))
        except (KafkaError, ConfigError) as error:
            log.warning("console.standings", why=str(error))
        else:
            self._found, self._seen_at, self._looked = found, seen_at, time.monotonic()
            self._due = self._looked + min(max(_FRESH, _REST * (self._looked - began)), _OLD)


def _view(one: Standing) -> ConnectionView:
    return ConnectionView(
        connection=one.connection,
        platform=one.platform,
        state=one.state,
        why=one.why,
        paused=one.paused,
        account=one.account,
        connected_account=one.connected_account,
        credential=one.credential,
        access_expires_at=_instant(one.access_expires_at),
        connect_again_by=_instant(one.connect_again_by),
        quota_left=one.quota_left,
        complete_up_to=one.complete_up_to,
        waiting=one.waiting,
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
