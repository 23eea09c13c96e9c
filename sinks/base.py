"""A sink says how a write is made on one platform; somebody else sends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from app.core.errors import O2CError, UnsupportedError
from app.core.talk import Response, Talk
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Anchor
from schemas.facts import Facts
from schemas.platform import Platform


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform made of a write, or what a probe found."""

    type: str
    """The platform's object type, as in `Platform.objects`."""
    id: str
    facts: Facts | None = None
    """What the platform shows now, parsed by the same rules as a read (base.made comes from it)."""
    mark: str | None = None
    complete: bool = True
    """False: an earlier try died half way; running the talk again completes it."""
    adopted: bool = False
    """An earlier try made it, perhaps of older values: what it shows is not what was sent now."""
    native: int = 0
    """The platform's own version of what is shown, as its source puts it into `Version.native`; 0 = it has none."""
    anchors: tuple[Anchor, ...] = ()
    """How a read of the same object finds its order, where its facts do not say it: an equal look is told once."""
    also: tuple[Written, ...] = ()
    """Further objects made on the way (a customer)."""


class Sink:
    """Base of every platform's sink: one generator per capability, named like it.

    A capability method takes the Command and returns Written. It is deterministic: run again with the same replies it
    yields the same requests. It must be safe to run again after a crash: look before create where the platform has no
    idempotency key, always with the command's mark. It raises the errors of `app.core.errors` from `classify`.
    """

    platform: ClassVar[Platform]
    batch: ClassVar[Mapping[str, int]] = {}
    """Capability -> how many commands `write_many` takes in one request."""
    asks: ClassVar[Mapping[str, int]] = {}
    """Capability -> about how many commands `probe_many` asks at once."""
    mappings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Capability -> "accounts.<use>" or "taxes" of the connection that it looks up; without one a default is used."""

    def __init__(self, connection: Connection) -> None:
        """Remember the connection that is written to."""
        self.connection = connection

    def write(self, command: Command) -> Talk[Written]:
        """Return the talk of the command's capability; UnsupportedError when the platform has none."""
        method = getattr(self, command.capability, None)
        if method is None:
            message = f"{self.platform.title} cannot {command.capability.replace('_', ' ')}."
            raise UnsupportedError(message)
        return method(command)  # type: ignore[no-any-return]  # looked up by name

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        """Make several writes of one capability in one request, results in the order of *commands*."""
        raise NotImplementedError

    def probe(self, command: Command) -> Talk[Written | None]:
        """Ask by natural key (the mark) whether an earlier try of *command* got through; consistent reads only."""
        raise NotImplementedError

    def probe_since(self, command: Command, since: datetime) -> Talk[Written | None]:
        """Ask as `probe` does about tries that all left after *since*, which may narrow what must be looked through."""
        del since
        return self.probe(command)

    def probe_many(self, commands: Sequence[Command]) -> Talk[list[Written | None]]:
        """Ask as `probe` does about several commands of one capability; answers in the order of *commands*."""
        raise NotImplementedError

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the object that a set is about to change; None when it is gone.

        Where every field of the command's base shows as it was, nothing else of it need be read: nobody is told.
        """
        raise NotImplementedError

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error that a reply means, or None when it is a success; looks inside 200 replies too."""
        raise NotImplementedError
