"""What one delivery of a webhook becomes, without any I/O; only its trace id is chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from app.core.errors import DecodeError
from schemas.events import MERGED_INTO, ChangeEvent, Hint
from schemas.jsonlimits import check_json
from schemas.soundness import check_event, check_ref
from schemas.trace import HEADER, accepted, new_trace
from streams.sources.base import Hook, Reply, Source

OK = Reply(status=200)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One connection as the gateway needs it: its source and the secrets that may have signed a hook."""

    source: Source
    secrets: tuple[str, ...]


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """What must be published before *reply* may be sent."""

    reply: Reply
    outcome: str
    events: tuple[ChangeEvent, ...] = ()
    hints: tuple[Hint, ...] = ()
    trace: str = ""
    """W3C traceparent of everything that came with this delivery."""
    unreadable: str = ""
    """Why the bytes go to dead letters; the reply is still 200, since a refusal would only be retried."""


def receive(endpoints: Sequence[Endpoint], hook: Hook, now: datetime) -> Intake:
    """Return what *hook* means for the connections that share its address.

    The signature is checked on the raw bytes against every secret of the address; only then the body is looked at. A
    delivery for an account that nobody configured is answered 200 and ignored.
    """
    first = endpoints[0].source
    secrets = tuple(dict.fromkeys(secret for endpoint in endpoints for secret in endpoint.secrets))
    if (reply := first.handshake(hook, secrets)) is not None:
        return Intake(reply=reply, outcome="handshake")
    if not first.verify(hook, secrets, now):
        return Intake(reply=first.refused(hook), outcome="refused")
    try:
        read = msgspec.structs.replace(hook, said=check_json(hook.body))
        return _translate(_addressed(endpoints, read), read)
    except DecodeError as error:
        return Intake(reply=OK, outcome="unreadable", unreadable=str(error))
    except (ArithmeticError, ValueError) as error:  # a number or a time far from any that a vendor documents
        return Intake(reply=OK, outcome="unreadable", unreadable=f"A value cannot be used ({type(error).__name__}).")


def stamped(intake: Intake, hook: Hook, now: datetime) -> Intake:
    """Return *intake* with the trace of the delivery, its sender's or a new one, and when it came."""
    trace = accepted(hook.headers.get(HEADER, "")) or new_trace()
    events = tuple(msgspec.structs.replace(event, trace=trace, told_at=now) for event in intake.events)
    hints = tuple(msgspec.structs.replace(hint, trace=trace, told_at=now) for hint in intake.hints)
    return msgspec.structs.replace(intake, events=events, hints=hints, trace=trace)


def _addressed(endpoints: Sequence[Endpoint], hook: Hook) -> list[Source]:
    accounts = type(endpoints[0].source).accounts(hook)
    sources = [endpoint.source for endpoint in endpoints]
    if not accounts:
        return sources if len(sources) == 1 else []
    return [source for source in sources if source.connection.account in accounts]


def _translate(sources: Iterable[Source], hook: Hook) -> Intake:
    events: list[ChangeEvent] = []
    hints: list[Hint] = []
    for source in sources:
        events += [event for event in source.to_events(hook) if _counts(source, event)]
        hints += source.hints(hook)
    for event in events:
        check_event(event)
    for hint in hints:
        check_ref(hint.object)
    outcome = "accepted" if events or hints else "ignored"
    return Intake(reply=OK, outcome=outcome, events=tuple(events), hints=_coalesced(hints))


def _coalesced(hints: Iterable[Hint]) -> tuple[Hint, ...]:
    """Return one hint per object: a delivery names each property and association that changed, one read shows all.

    That an object was merged is told by the hint alone.
    """
    return tuple({(hint.object, hint.reason.startswith(MERGED_INTO)): hint for hint in hints}.values())


def _counts(source: Source, event: ChangeEvent) -> bool:
    """Tell whether a webhook is an observation: its record is complete and its version grows with every part."""
    return event.object.type in source.platform.consistency.monotonic


def secrets_of(secrets: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the current and the previous value of a signing secret (rotation)."""
    return tuple(secrets[key] for key in (name, f"{name}_previous") if secrets.get(key))
