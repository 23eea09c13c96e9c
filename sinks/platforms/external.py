"""An external service is never written to."""

from __future__ import annotations

from app.core.errors import O2CError
from app.core.status import from_status
from app.core.talk import Response, Talk
from schemas.commands import Command
from schemas.platforms.external import PLATFORM
from sinks.base import Sink, Written


class ExternalSink(Sink):
    """Has no capability: whatever is asked is unsupported."""

    platform = PLATFORM

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error of the status."""
        return from_status("The external service", response, mutating=mutating)

    def probe(self, command: Command) -> Talk[Written | None]:
        """Find nothing."""
        del command
        yield from ()
        return None

    def reread(self, command: Command) -> Talk[Written | None]:
        """Find nothing."""
        del command
        yield from ()
        return None


SINK = ExternalSink
