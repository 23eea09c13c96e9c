"""What a command goes back to: the change that o2c was told of first and that no write has answered yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from schemas.commands import Command
from schemas.state import WriteRecord

_UNANSWERED = frozenset((None, "deferred", "stale", "uncertain"))


class Cause(msgspec.Struct, frozen=True):
    """A trace, and when o2c was told; None where only time passed."""

    trace: str = ""
    told_at: datetime | None = None


NOTHING = Cause()


def oldest(causes: Iterable[Cause]) -> Cause:
    """Return the cause that has waited longest, so that no measured way is shorter than it was."""
    found = list(causes)
    told = [(cause.told_at, cause.trace, at) for at, cause in enumerate(found) if cause.told_at is not None]
    return found[min(told)[-1]] if told else next((cause for cause in found if cause.trace), NOTHING)


def caused(
    commands: Iterable[Command], writes: Mapping[str, WriteRecord], before: Mapping[str, WriteRecord], cause: Cause
) -> tuple[tuple[Command, ...], dict[str, WriteRecord]]:
    """Return *commands* and their new records with what they go back to.

    What was asked for *before* and has no final answer yet keeps its older cause.
    """
    stamped, records = [], dict(writes)
    for command in commands:
        known = before.get(command.write)
        waits = known is not None and known.outcome in _UNANSWERED
        found = oldest((Cause(known.trace, known.told_at), cause)) if known is not None and waits else cause
        stamped.append(msgspec.structs.replace(command, trace=found.trace, told_at=found.told_at))
        if (record := records.get(command.write)) is not None:
            records[command.write] = msgspec.structs.replace(record, trace=found.trace, told_at=found.told_at)
    return tuple(stamped), records
