"""What is registered against what is wanted, and the steps from one to the other; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from streams.sources.subscribing import Subscription, same_place

EARLY = timedelta(days=2)
"""How long before its end a subscription is renewed."""
Why = Literal["missing", "moved", "topics", "switched off", "altered", "expiring", "doubled", "silent"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One change at the platform: create without *found*, drop without *wanted*, else update."""

    wanted: Subscription | None = None
    found: Subscription | None = None
    why: tuple[Why, ...]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands."""

    ours: tuple[Subscription, ...] = ()
    foreign: tuple[Subscription, ...] = ()
    """Those of other addresses: never touched."""
    steps: tuple[Step, ...] = ()
    missing: tuple[str, ...] = ()
    """Wanted topics that do not come to the wanted address now."""
    extra: tuple[str, ...] = ()
    """Topics that come to our address and that nobody wants: left alone."""


def standing(
    wanted: Sequence[Subscription], found: Iterable[Subscription], now: datetime, *, silent: bool = False
) -> Standing:
    """Return how *found* differs from *wanted*; an address is ours when it ends in the same hook, on any host.

    So a gateway that moved takes its subscriptions along. Where they are *silent*, each is ended and made anew, however
    well it looks.
    """
    rows = list(found)
    addresses = {one.address for one in wanted}
    ours = [row for row in rows if not row.address or any(same_place(row.address, one) for one in addresses)]
    steps: list[Step] = []
    kept: list[Subscription] = []
    for one in wanted:
        same = sorted((row for row in ours if row.key == one.key), key=lambda row: row.address != one.address)
        if not same:
            steps.append(Step(wanted=one, why=("missing",)))
            continue
        if silent:
            steps += [Step(found=_part(row, one), why=("silent",)) for row in same]
            steps.append(Step(wanted=one, why=("silent",)))
            continue
        kept.append(same[0])
        if why := _differs(one, same[0], now):
            steps.append(Step(wanted=one, found=same[0], why=why))
        steps += [Step(found=row, why=("doubled",)) for row in same[1:]]
    told = [row for row in kept if row.active and row.address in addresses]
    topics = tuple(dict.fromkeys(topic for one in wanted for topic in one.topics))
    listed = dict.fromkeys(topic for row in ours for topic in row.topics)
    return Standing(
        ours=tuple(ours),
        foreign=tuple(row for row in rows if row not in ours),
        # What is doubled goes first: a platform may refuse an address that is taken.
        steps=tuple(sorted(steps, key=lambda step: step.wanted is not None)),
        missing=tuple(topic for topic in topics if not any(row.tells(topic) for row in told)),
        extra=tuple(topic for topic in listed if topic not in topics),
    )


def _part(found: Subscription, wanted: Subscription) -> Subscription:
    """Return what of *found* is *wanted*: others may have topics behind the same address."""
    return msgspec.structs.replace(found, topics=tuple(topic for topic in found.topics if topic in wanted.topics))


def _differs(wanted: Subscription, found: Subscription, now: datetime) -> tuple[Why, ...]:
    found_at = found.expires_at
    checks: tuple[tuple[Why, bool], ...] = (
        ("moved", found.address != wanted.address),
        ("topics", not all(found.tells(topic) for topic in wanted.topics)),
        ("switched off", not found.active),
        ("altered", not found.sound),
        ("expiring", found_at is not None and found_at - now < EARLY),
    )
    return tuple(why for why, so in checks if so)
