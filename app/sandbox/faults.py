"""What can go wrong on the way to a platform, switched on by probability and counted when it happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random


@dataclass(frozen=True, slots=True)
class Faults:
    """Knobs of one sandbox; a field is a probability between 0 and 1 unless its name ends in `_s` (seconds)."""

    latency_s: float = 0.0
    """Every reply waits this long."""
    reset_before_commit: float = 0.0
    """The connection of a write breaks and nothing was done."""
    reset_after_commit: float = 0.0
    """The connection of a write breaks although it was done."""
    slow_commit: float = 0.0
    """The connection of a write breaks at once and the write is done `slow_commit_s` later."""
    slow_commit_s: float = 2.0
    rate_429: float = 0.0
    error_5xx: float = 0.0
    """A server error before anything was done."""
    error_5xx_after_commit: float = 0.0
    """A server error although the write was done."""
    html_200: float = 0.0
    """A proxy's HTML page with status 200 instead of the platform's reply."""
    late_reply: float = 0.0
    """A write is done at once and answered `late_reply_s` later, when nobody listens any more."""
    late_reply_s: float = 10.0
    expired_token: float = 0.0
    expired_on_write: float = 0.0
    """The token expires between two calls: what was read with it is not written any more."""
    webhook_lost: float = 0.0
    webhook_duplicated: float = 0.0
    webhook_reordered: float = 0.0
    visibility_lag_s: float = 0.0
    """Searches and lists show a change only this long after it was made; reads by id show it at once."""
    idempotency_off: float = 0.0
    """The platform ignores an idempotency key."""
    batch_item_failure: float = 0.0
    """One item of a batch is refused while its neighbours are accepted."""

    def changed(self, knobs: Mapping[str, Any]) -> Faults:
        """Return the faults with *knobs* replaced; an unknown name is a ValueError."""
        if unknown := set(knobs) - {field.name for field in fields(self)}:
            raise ValueError(f"unknown fault: {', '.join(sorted(unknown))}")
        return replace(self, **{name: float(value) for name, value in knobs.items()})


class Injector:
    """Decides by seeded chance which fault happens now, and counts what did."""

    def __init__(self, faults: Faults, random: Random) -> None:
        self.faults = faults
        self.injected: Counter[str] = Counter()
        self.due: Counter[str] = Counter()
        """Faults that strike the next so many times, whatever their chance."""
        self._random = random

    def happens(self, name: str) -> bool:
        """Return whether the fault *name* strikes this time; a strike is counted."""
        chance = float(getattr(self.faults, name))
        strikes = self.due[name] > 0 or (chance > 0 and self._random.random() < chance)
        self.due[name] -= self.due[name] > 0
        if strikes:
            self.injected[name] += 1
        return strikes

    def first(self, *names: str) -> str:
        """Return the first of *names* that strikes, or an empty string."""
        return next((name for name in names if self.happens(name)), "")

    def as_dict(self) -> dict[str, Any]:
        """Return the knobs and how often each fault was really injected."""
        return {"faults": asdict(self.faults), "injected": dict(self.injected), "due": dict(+self.due)}
