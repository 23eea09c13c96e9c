"""Whether webhooks still tell what changes: what sweeps found against what had been told. Pure: the clock comes in."""

from __future__ import annotations

from collections.abc import Callable

from schemas.events import ChangeEvent
from schemas.facts import Customer
from schemas.refs import ObjectRef

_PROMPT = 120.0
"""Seconds within which a webhook comes, when all is well."""
_ENOUGH = 10
"""Changes, beyond as many as were told, that nobody told of: a lost delivery now and then is what sweeps are for."""
_MOST = 10_000
"""Objects of one round that are looked at."""


class Silence:
    """Compares round by round: a platform may show a subscription as active and deliver nothing.

    A round begins with a sweep and ends with the next one. By then the streams have said which of what the sweep found
    nobody had told before; what they say later counts as told, so that slow streams accuse nobody.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing found; *clock* tells the seconds since 1970."""
        self._clock, self._began = clock, clock()
        self._found: set[str] = set()
        self._untold: set[str] = set()
        self._hinted = 0
        self._score = 0

    def told(self) -> None:
        """Take note that a webhook named an object."""
        self._hinted += 1

    def found(self, event: ChangeEvent) -> None:
        """Take note of a change that a sweep published, if a webhook should have told it by now.

        What changed before this owner began may wait for it on the topic of deliveries. Of customers no order-state
        says whether a webhook told.
        """
        if event.changed_at is None or isinstance(event.facts, Customer):
            return
        due = self._began <= event.changed_at.timestamp() <= self._clock() - _PROMPT
        if due and len(self._found) < _MOST:
            self._found.add(event.object.key)

    def untold(self, ref: ObjectRef) -> None:
        """Take note that nobody had told of the change that a sweep found of *ref*; it may come before `found`."""
        if len(self._untold) < _MOST:
            self._untold.add(ref.key)

    def judged(self) -> bool:
        """End the round; tell whether webhooks count as silent, and then begin to count anew."""
        untold = len(self._found & self._untold)
        told = len(self._found) - untold + self._hinted
        self._score = max(0, self._score + untold - told)
        self._found, self._untold, self._hinted = set(), set(), 0
        if self._score < _ENOUGH:
            return False
        self._score = 0
        return True
