"""What a delivery means for the connections behind its address. Pure: a delivery means the same each time."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from app.core.errors import DecodeError
from app.core.mistakes import OVER_DATA
from app.deliveries.record import Delivery
from app.gateway.addresses import Address, addressed
from schemas.events import MERGED_INTO, ChangeEvent, Hint
from schemas.jsonlimits import check_json
from schemas.soundness import check_event, check_ref
from streams.sources.base import Hook, Source


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What must be published."""

    outcome: str
    """accepted, ignored or unreadable."""
    events: tuple[ChangeEvent, ...] = ()
    hints: tuple[Hint, ...] = ()
    unreadable: str = ""
    """Why the delivery goes to dead letters."""


def meaning(address: Address, delivery: Delivery) -> Meaning:
    """Return what *delivery* means; for an account that nobody configured it means nothing."""
    try:
        hook = Hook(headers=delivery.headers, body=delivery.body, said=check_json(delivery.body))
        events, hints = _told(addressed(address.sources, hook), hook)
    except DecodeError as error:
        return Meaning(outcome="unreadable", unreadable=str(error))
    except OVER_DATA as error:  # a number or a time far from any that a vendor documents, or a shape nobody expected
        return Meaning(outcome="unreadable", unreadable=f"A value cannot be used ({type(error).__name__}).")
    stamp = {"trace": delivery.trace, "told_at": delivery.received}
    return Meaning(
        outcome="accepted" if events or hints else "ignored",
        events=tuple(msgspec.structs.replace(event, **stamp) for event in events),
        hints=tuple(msgspec.structs.replace(hint, **stamp) for hint in hints),
    )


def _told(sources: Iterable[Source], hook: Hook) -> tuple[list[ChangeEvent], list[Hint]]:
    events: list[ChangeEvent] = []
    hints: list[Hint] = []
    for source in sources:
        events += [event for event in source.to_events(hook) if _counts(source, event)]
        hints += source.hints(hook)
    for event in events:
        check_event(event)
    for hint in hints:
        check_ref(hint.object)
    return events, _coalesced(hints)


def _coalesced(hints: Iterable[Hint]) -> list[Hint]:
    """Return one hint per object: a delivery names each property and association that changed, one read shows all.

    That an object was merged is told by the hint alone.
    """
    return list({(hint.object, hint.reason.startswith(MERGED_INTO)): hint for hint in hints}.values())


def _counts(source: Source, event: ChangeEvent) -> bool:
    """Tell whether a webhook is an observation: its record is complete and its version grows with every part."""
    return event.object.type in source.platform.consistency.monotonic
