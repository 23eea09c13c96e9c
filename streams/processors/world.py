"""The world of the pure core, rebuilt when a broadcast fact changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from schemas.broadcast import KINDS, Fact
from schemas.flow import NOT_BEGUN
from streams.order.world import World


class Worlds:
    """Keeps the configured world and lays broadcast facts over it; equal facts give the same object."""

    def __init__(self, configured: World) -> None:
        """Start from the configuration alone."""
        self._configured = configured
        self._seen: Mapping[bytes, bytes] | None = None
        self._world = configured

    def now(self, broadcast: Mapping[bytes, bytes]) -> World:
        """Return the world with *broadcast* (key -> encoded Fact) laid over it; unreadable facts are passed over."""
        if self._seen is None or broadcast != self._seen:
            self._seen = dict(broadcast)
            self._world = self._laid_over(self._seen)
        return self._world

    def _laid_over(self, broadcast: Mapping[bytes, bytes]) -> World:
        facts = [fact for value in broadcast.values() if (fact := _decode(value)) is not None]
        of = {kind: {fact.subject: fact for fact in facts if fact.kind == kind} for kind in KINDS}
        known = self._configured.facts
        return msgspec.structs.replace(
            self._configured,
            facts=msgspec.structs.replace(
                known,
                up={**known.up, **{name: (fact.epoch, fact.number) for name, fact in of["up"].items()}},
                lock_dates={**known.lock_dates, **{name: fact.value for name, fact in of["lock_date"].items()}},
                paused=known.paused | {name for name, fact in of["paused"].items() if fact.value},
                modes={**known.modes, **{name: fact.value for name, fact in of["mode"].items() if fact.value}},
                unseen=frozenset(name for name in known.unseen if self._place(name) not in of["start"]),
                starts={**known.starts, **self._begun(of["start"])},
                backfills={**known.backfills, **_moments(of["backfill"].items())},
            ),
        )

    def _place(self, name: str) -> str:
        return f"{name}@{self._configured.facts.connections[name].account}"

    def _begun(self, said: Mapping[str, Fact]) -> dict[str, datetime]:
        """Return when connections without a configured start began; another account behind a name begins anew."""
        known = self._configured.facts
        open_ = [name for name in known.connections if known.starts.get(name) == NOT_BEGUN]
        return _moments((name, said[place]) for name in open_ if (place := self._place(name)) in said)


def _moments(said: Iterable[tuple[str, Fact]]) -> dict[str, datetime]:
    return {name: moment for name, fact in said if (moment := fact.moment) is not None}


def _decode(value: bytes) -> Fact | None:
    try:
        return msgspec.json.decode(value, type=Fact)
    except msgspec.MsgspecError:
        return None
