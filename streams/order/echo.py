"""Echoes: a system tells of an object, and it shows nothing but what o2c wrote there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from schemas.events import ChangeEvent
from schemas.projection import project
from schemas.refs import ObjectRef
from schemas.state import Agreed, Observation, OrderState, WriteRecord
from streams.order.merge import content_digest


class Echo(NamedTuple):
    """The connection where what was written had been typed, and the one that told it back."""

    source: str
    system: str


def typed_in(names: Iterable[str], agreed: Mapping[str, Agreed], otherwise: ObjectRef) -> str:
    """Return the connection where fields of these *names* were typed: where the agreed value of each of them was."""
    written = set(names)
    sources = {agreed[name].source.partition("@")[0] for name in written} if written <= agreed.keys() else set()
    (found,) = sources if len(sources) == 1 else ("",)
    return found or otherwise.connection


def echoes(before: OrderState, after: OrderState, events: Iterable[ChangeEvent]) -> Iterator[Echo]:
    """Yield an echo for each of *events*, which made *after* of *before*, that nothing follows from.

    What the answer to a write showed is none.
    """
    for event in events:
        if event.origin != "write" and event.presence != "deleted" and (ours := _ours(before, after, event.object)):
            known = before.objects.get(event.object.key)
            same = known is not None and known.digest == content_digest(event)
            found = _first_look(known, ours) if known is not None and same else _explained(known, event, ours)
            if found is not None:
                yield Echo(found.source, event.object.connection)


def _ours(before: OrderState, after: OrderState, ref: ObjectRef) -> list[WriteRecord]:
    """Return what o2c had written to the object before it was told of."""
    bound = (key for key, record in after.writes.items() if record.bound == ref and record.source)
    return [before.writes[key] for key in bound if key in before.writes]


def _first_look(known: Observation, ours: list[WriteRecord]) -> WriteRecord | None:
    """Return the last write where nobody looked since: later the same may be somebody's edit that is told twice."""
    last = max(ours, key=lambda record: record.look)
    return last if known.version.read and (known.version.epoch, known.version.seq) <= last.look else None


def _explained(known: Observation | None, event: ChangeEvent, ours: list[WriteRecord]) -> WriteRecord | None:
    """Return a write of what changed, where writes of ours explain all of it."""
    there = project(known.facts) if known is not None else {}
    changed = {name: value for name, value in project(event.facts).items() if there.get(name) != value}
    wrote = [next((one for one in ours if _wrote(one, name, value)), None) for name, value in changed.items()]
    return wrote[0] if wrote and None not in wrote else None


def _wrote(record: WriteRecord, name: str, value: str) -> bool:
    """Tell whether the value is what a write made of the field, or may be: until its answer nobody knows."""
    if record.outcome is None and name in record.asked:
        return True
    return name in record.base and record.base[name].made == value
