"""Merge looks at objects and results of writes into an order's state.

Both merges are idempotent, and independent of the order in which inputs arrive: an observation is three maxima (the
newest record, the last read that found the object, the last that did not), a write record keeps its newest result by
(owner epoch, journal offset).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from schemas.commands import Pair, Result
from schemas.events import ChangeEvent, Version
from schemas.projection import project
from schemas.refs import WRITE_DIGITS, read_mark
from schemas.state import NEVER, Observation, OrderState, WriteRecord

_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_STOPS = frozenset(("rejected", "unsupported"))


def merge(state: OrderState, event: ChangeEvent, share: str | None = None, share_version: int = 0) -> OrderState | None:
    """Return the state after *event*, or None when *event* changes nothing.

    Events arrive twice and out of order, so the result depends only on which events were seen, never on their sequence.
    """
    key = event.object.key
    known = state.objects.get(key)
    seen = observation(event, share, share_version)
    joined = seen if known is None else join(known, seen)
    if joined is known or joined == known:
        return None
    return msgspec.structs.replace(state, objects={**state.objects, key: joined})


def observation(event: ChangeEvent, share: str | None = None, share_version: int = 0) -> Observation:
    """Return *event* as a first look at its object."""
    look = (event.version.epoch, event.version.seq)
    look = NEVER if look == NEVER else look
    missing = event.presence == "deleted" and event.version.read
    if missing:
        return Observation(object=event.object, presence="deleted", gone=look, share=share, share_version=share_version)
    return Observation(
        object=event.object,
        version=event.version,
        presence=event.presence,
        facts=event.facts,
        mirror_of=event.mirror_of,
        anchors=event.anchors,
        changed_at=event.changed_at,
        digest=content_digest(event),
        last_read=look if event.version.read else NEVER,
        share=share,
        share_version=share_version,
    )


def content_digest(event: ChangeEvent) -> str:
    """Return a digest of what the object shows; it breaks ties of equal versions."""
    content = _ENCODE((event.facts, event.mirror_of, event.anchors))
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def join(left: Observation, right: Observation) -> Observation:
    """Return the least upper bound of two looks at one object: commutative, associative, idempotent."""
    newest = right if _content(right) > _content(left) else left
    shared = right if _share(right) > _share(left) else left
    read, gone = max(left.last_read, right.last_read), max(left.gone, right.gone)
    share, version = shared.share, shared.share_version
    if (newest.last_read, newest.gone, newest.share, newest.share_version) == (read, gone, share, version):
        return newest
    return msgspec.structs.replace(newest, last_read=read, gone=gone, share=share, share_version=version)


def _content(look: Observation) -> tuple[bool, Version, str]:
    return bool(look.digest), look.version, look.digest


def _share(look: Observation) -> tuple[int, bool, str]:
    """Rank shares: at one version, what an order has beats what it lost, since orders that became one hear both."""
    return look.share_version, look.share != "0", look.share or ""


def is_gone(look: Observation) -> bool:
    """Tell whether the object is deleted as far as anybody knows; after a 404 only a read revives it."""
    return look.gone > look.last_read or look.presence == "deleted"


def merge_result(state: OrderState, result: Result) -> OrderState | None:
    """Return the state after *result*, or None when an equal or newer one was seen, or the write is not ours."""
    record = state.writes.get(result.write) or _forgotten(state, result)
    stamp = (result.epoch, result.offset)
    if record is None or stamp <= record.result or result.generation != record.generation:
        return None
    return with_writes(state, {record.key: _after(record, result)})


def _forgotten(state: OrderState, result: Result) -> WriteRecord | None:
    """Return the record of a write that a worker asked for and died before it kept that: the answer tells of both.

    Without it what was made would look like a document of somebody else's, and nothing would keep it in step.
    """
    if not result.canonical or state.aliases or result.tenant != state.tenant:
        return None
    return WriteRecord(
        key=result.write,
        connection=result.connection,
        account=result.account,
        capability=result.capability,
        canonical=result.canonical,
        id="" if result.bound is None else result.command,
        generation=result.generation,
        digest=result.digest,
        source=result.source,
    )


def _after(record: WriteRecord, result: Result) -> WriteRecord:
    """Advance the record; the answer to an earlier wish tells what is there, but settles nothing."""
    stopped = result.digest if result.outcome in _STOPS else record.stopped
    settles = result.digest == record.digest and result.outcome != "superseded"
    return msgspec.structs.replace(
        record,
        outcome=result.outcome if settles else record.outcome,
        stale=result.shown if result.outcome == "stale" else {},
        bound=result.bound or record.bound,
        base={**record.base, **result.made},
        stopped="" if result.outcome == "confirmed" else stopped,
        reason=result.reason,
        outage=result.outage,
        look=max(record.look, result.look),
        older=_older(record, result),
        result=(result.epoch, result.offset),
    )


def _older(record: WriteRecord, result: Result) -> dict[str, tuple[int, int]]:
    """Return when the fields that *result* does not speak of were written: looks since then show more than the base."""
    if result.look <= record.look:
        return record.older
    return {name: record.older.get(name, record.look) for name in record.base if name not in result.made}


def hides(record: WriteRecord, name: str, look: Observation) -> bool:
    """Tell whether *look* is older than our last write of the field: then it shows what that write made."""
    return name in record.base and look.last_read < record.older.get(name, record.look)


def with_writes(state: OrderState, writes: Mapping[str, WriteRecord]) -> OrderState:
    """Return the state with these write records replaced."""
    return msgspec.structs.replace(state, writes={**state.writes, **writes})


def told_again(before: OrderState, after: OrderState) -> bool:
    """Tell whether *after* differs from *before* only by looks that show the same again, and no write waits for a look.

    Such a look is kept, since later ones are compared with it, but it means nothing new.
    """
    if before.objects.keys() != after.objects.keys():
        return False
    if msgspec.structs.replace(after, objects=before.objects) != before:
        return False
    again = [new for key, new in after.objects.items() if new != before.objects[key]]
    return all(_same(before.objects[new.object.key], new) and not _awaited(before, new) for new in again)


def _same(old: Observation, new: Observation) -> bool:
    return is_gone(old) == is_gone(new) and old == msgspec.structs.replace(
        new, version=old.version, last_read=old.last_read
    )


def _awaited(state: OrderState, new: Observation) -> bool:
    """Tell whether a write of ours to the object was not looked at before."""
    old = state.objects[new.object.key]
    return any(
        record.bound is not None and record.bound.key == new.object.key and old.last_read < record.look
        for record in state.writes.values()
    )


def tied(state: OrderState, event: ChangeEvent) -> bool:
    """Tell whether *event* contradicts a look of the same version: then the object must be read again."""
    known = state.objects.get(event.object.key)
    if known is None or event.presence == "deleted" or known.version != event.version or not known.digest:
        return False
    return content_digest(event) != known.digest


def advance_bases(state: OrderState) -> OrderState:
    """Return the state in which a shared field that shows the agreed value has it as its base.

    Without this an edit that everybody took over would look like an edit for ever, and beat the next one.
    """
    moved: dict[str, WriteRecord] = {}
    for record in state.writes.values():
        if record.bound is None or not record.base:
            continue
        behind = [
            (name, agreed.value)
            for name, agreed in state.agreed.items()
            if name in record.base and record.base[name].made != agreed.value
        ]
        look = state.objects.get(record.bound.key) if behind else None
        if look is None or is_gone(look) or look.last_read < record.look:
            continue
        shown = project(look.facts)
        reached = {name: Pair(value, value) for name, value in behind if shown.get(name) == value}
        if reached:
            moved[record.key] = msgspec.structs.replace(record, base={**record.base, **reached})
    return with_writes(state, moved) if moved else state


def bind_marks(state: OrderState) -> OrderState:
    """Return the state in which objects that carry the mark of a write of ours are bound to it.

    The oldest id wins when two objects carry one mark: the other is a copy, which `copies` reports.
    """
    waiting = [record for record in state.writes.values() if record.bound is None and record.id]
    marked = _marked(state) if waiting else {}
    found: dict[str, WriteRecord] = {}
    for record in waiting:
        ours = [look.object for look in marked.get(record.id[:WRITE_DIGITS], ()) if _marks(look, record)]
        if ours:
            found[record.key] = msgspec.structs.replace(record, bound=min(ours))
    return with_writes(state, found) if found else state


def first_heard(before: OrderState, after: OrderState, now: datetime) -> OrderState:
    """Return *after* in which writes whose object was not known *before* say since when it is."""
    found = {
        key: msgspec.structs.replace(record, made_at=now)
        for key, record in after.writes.items()
        if record.bound is not None and record.made_at is None and key in before.writes and _unbound(before, key)
    }
    return with_writes(after, found) if found else after


def _unbound(state: OrderState, key: str) -> bool:
    return state.writes[key].bound is None


def copies(state: OrderState) -> list[Observation]:
    """Return objects that carry the mark of a write which is bound to another object."""
    marked = _marked(state)
    return [
        look
        for record in state.writes.values()
        if record.bound is not None
        for look in marked.get(record.id[:WRITE_DIGITS], ())
        if _marks(look, record) and look.object != record.bound and not is_gone(look)
    ]


def _marked(state: OrderState) -> dict[str, list[Observation]]:
    """Return the objects that carry a mark of ours, by the beginning of the write's id that it names."""
    found: dict[str, list[Observation]] = {}
    for look in state.objects.values():
        mark = read_mark(look.mirror_of)
        if mark is not None:
            found.setdefault(mark.write, []).append(look)
    return found


def _marks(look: Observation, record: WriteRecord) -> bool:
    mark = read_mark(look.mirror_of)
    same = look.object.connection == record.connection and look.object.account == record.account
    return mark is not None and same and record.id.startswith(mark.write)
