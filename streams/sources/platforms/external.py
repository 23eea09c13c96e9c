"""An external service publishes its events itself: there is nothing to read and no webhook to verify."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from app.core.errors import DecodeError
from app.core.talk import Talk
from schemas.errors import misfit
from schemas.events import ChangeEvent, Hint
from schemas.platforms.external import PLATFORM
from streams.sources.base import Hook, Identity, Page, Source


class ExternalSource(Source):
    """Answers every question with nothing; events come through the topics or POST /events."""

    platform = PLATFORM

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Refuse: events of services are posted to /events with a key."""
        del hook, secrets, now
        return False

    def hints(self, hook: Hook) -> list[Hint]:
        """Find nothing."""
        del hook
        return []

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the change event that *record* is."""
        del type_
        try:
            return [msgspec.convert(record, ChangeEvent, strict=False)]
        except msgspec.ValidationError as error:
            raise DecodeError(f"Not a change event: {misfit(error)}.") from error

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read nothing."""
        del hint
        yield from ()
        return []

    def sweeps(self) -> tuple[str, ...]:
        """Return no walk."""
        return ()

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Return an empty, clean page."""
        del name, cursor
        yield from ()
        return Page(complete_up_to=now)

    def identify(self) -> Talk[Identity]:
        """Return the configured account."""
        yield from ()
        return Identity(account=self.connection.account)


SOURCE = ExternalSource
