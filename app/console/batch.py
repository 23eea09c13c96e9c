"""What a run of records comes to: the newest of what is replaced, and rows for what is added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from app.console.records import (
    Answered,
    Asked,
    Entry,
    Requested,
    decided,
    look,
    names,
    seen,
    short_id,
    stands,
    version_of,
)
from app.core import topics
from schemas.broadcast import Fact
from schemas.cloudevents import decode
from schemas.decisions import Decision
from schemas.events import ChangeEvent
from schemas.links import Parked
from schemas.order_state import PublicOrder

READ = (
    topics.ORDER_STATES,
    topics.PARKED,
    topics.BROADCAST,
    topics.CRM_CHANGES,
    topics.ACCOUNTING_CHANGES,
    topics.COMMANDS,
    topics.RESULTS,
    topics.JOURNAL,
    topics.DECISIONS,
)
"""What is read."""
_ENCODE = msgspec.json.Encoder().encode
_ORDER = msgspec.json.Decoder(PublicOrder)
_PARKED = msgspec.json.Decoder(Parked)
_FACT = msgspec.json.Decoder(Fact)
_ASKED = msgspec.json.Decoder(Asked)
_ANSWERED = msgspec.json.Decoder(Answered)
_REQUESTED = msgspec.json.Decoder(Requested)
_DECISION = msgspec.json.Decoder(Decision)


class Batch:
    """Takes records of every topic that is read, in any order among topics."""

    def __init__(self) -> None:
        self.orders: dict[str, tuple[PublicOrder, bytes] | None] = {}
        """Newest state by key; None for an order that is no more."""
        self.parked: dict[str, tuple[object, ...] | None] = {}
        self.facts: dict[str, str] = {}
        self.added: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
        self._take: Mapping[str, Callable[[Entry], None]] = {
            topics.ORDER_STATES: self._order_state,
            topics.PARKED: self._parked_object,
            topics.BROADCAST: self._fact,
            topics.CRM_CHANGES: self._change,
            topics.ACCOUNTING_CHANGES: self._change,
            topics.COMMANDS: self._command,
            topics.RESULTS: self._result,
            topics.JOURNAL: self._row,
            topics.DECISIONS: self._decision,
        }

    def take(self, entry: Entry) -> None:
        """Take one record in; an exception of msgspec or DecodeError says that it cannot be read."""
        self._take[entry.topic](entry)

    def _order_state(self, entry: Entry) -> None:
        key = entry.key.decode()
        if entry.value is None:
            self.orders[key] = None
            return
        order = _ORDER.decode(entry.value)
        self.orders[key] = (order, entry.value)
        self._hop(order.tenant, key, entry.at, "shown", text=stands(order))

    def _hop(
        self, tenant: str, subject: str, at: datetime, what: str, *, system: str = "", object_: str = "", text: str,
        trace: str = "",
    ) -> None:  # fmt: skip
        self.added["hops"].append((tenant, subject, at.timestamp(), what, system, object_, text, trace))

    def _parked_object(self, entry: Entry) -> None:
        key = entry.key.decode()
        if entry.value is None:
            self.parked[key] = None
            return
        parked = _PARKED.decode(entry.value)
        self.parked[key] = (key, parked.tenant, short_id(key), parked.object.id, entry.value)

    def _fact(self, entry: Entry) -> None:
        self.facts[entry.key.decode()] = "" if entry.value is None else _FACT.decode(entry.value).value

    def _change(self, entry: Entry) -> None:
        event = decode(entry.headers, entry.value)
        self._look(event, event.told_at or entry.at)

    def _look(self, event: ChangeEvent, at: datetime) -> None:
        key, shown = event.object.key, look(event, at)
        self.added["looks"].append((event.tenant, key, version_of(event), _ENCODE(shown)))
        # An earlier number still leads here: it may be the one on the customer's paper.
        self.added["names"] += ((event.tenant, name.casefold(), key) for name in names(event))
        self._hop(event.tenant, key, at, "seen", system=shown.connection, text=seen(event, shown), trace=event.trace)

    def _command(self, entry: Entry) -> None:
        one = _ASKED.decode(entry.value or b"")
        write = (one.write, one.connection, one.capability, one.generation, one.trace)
        self.added["asked"].append((one.tenant, one.order, one.id, *write, entry.at.timestamp()))
        self.added["commands"].append((one.tenant, one.id, one.order))
        text = f"{one.capability} {one.id}"
        self._hop(one.tenant, one.order, entry.at, "asked", system=one.connection, text=text, trace=one.trace)

    def _result(self, entry: Entry) -> None:
        one = _ANSWERED.decode(entry.value or b"")
        object_ = "" if one.bound is None else one.bound.key
        write = (one.write, one.connection, one.capability, one.generation, one.trace)
        came = (entry.at.timestamp(), one.outcome, one.reason, object_)
        self.added["answered"].append((one.tenant, one.order, one.command, *write, *came))
        text = " ".join(word for word in (one.capability, one.outcome, one.reason) if word)
        where = {"system": one.connection, "object_": object_, "trace": one.trace}
        self._hop(one.tenant, one.order, entry.at, "answered", text=text, **where)
        for event in one.events:
            self._look(event, entry.at)

    def _row(self, entry: Entry) -> None:
        if entry.value is None or b"/" not in entry.key.partition(b"|")[2]:  # dropped, or the owner's epoch
            return
        row = _REQUESTED.decode(entry.value)
        if row.method:
            sent = (row.command, row.step, row.attempt, row.at or entry.at.timestamp())
            what = (row.method, row.path, row.state, row.status)
            self.added["requests"] += ((command, *sent, *what) for command in row.members or (row.command,))

    def _decision(self, entry: Entry) -> None:
        one = _DECISION.decode(entry.value or b"")
        self._hop(one.tenant, one.order, one.at or entry.at, "decided", text=decided(one))
