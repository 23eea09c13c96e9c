"""What a Stripe account holds, by id and by what lists are filtered by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

Record = dict[str, Any]
Emit = Callable[[str, Record], None]
INDEXED = ("email", "customer", "invoice", "payment_intent")
"""What lists are filtered by that few records share."""
_PREFIX = {
    "customer": "cus",
    "checkout.session": "cs",
    "invoice": "in",
    "payment_intent": "pi",
    "charge": "ch",
    "payment_record": "pr",
    "refund": "re",
    "credit_note": "cn",
    "payout": "po",
    "dispute": "dp",
    "line_item": "il",
    "invoice_payment": "inpay",
    "event": "evt",
    "webhook_endpoint": "we",
}


_HELD = 10
_NONE: Record = {"data": []}
_WITHOUT = {"refund": ("livemode",), "invoice_payment": ("metadata",)}
"""What an object does not have that almost all others have."""


def shown(record: Record) -> Record:
    """Return *record* as it is answered: a list inside an object holds ten."""
    long = {name: record[name] for name in ("lines", "payments") if len((record.get(name) or _NONE)["data"]) > _HELD}
    return {**record, **{name: {**one, "data": one["data"][:_HELD], "has_more": True} for name, one in long.items()}}


class StripeError(Exception):
    """An error reply: status, type, code, message and parameter."""

    def __init__(self, status: int, type_: str, code: str, message: str, param: str = "") -> None:
        super().__init__(message)
        self.status, self.type, self.code, self.param = status, type_, code, param


def invalid(message: str, param: str = "", code: str = "parameter_invalid") -> StripeError:
    """Return the 400 that Stripe answers to wrong parameters."""
    return StripeError(400, "invalid_request_error", code, message, param)


class Records:
    """Records by id, newest last; every change is reported to *emit* as Stripe names it."""

    def __init__(self, clock: Callable[[], datetime], emit: Emit) -> None:
        self.records: dict[str, Record] = {}
        self._by_kind: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        self._having: defaultdict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
        self.clock, self.emit, self.last = clock, emit, 0

    def of(self, kind: str) -> Iterator[Record]:
        """Yield the records of *kind*, newest first."""
        return reversed(self._by_kind[kind].values())

    def having(self, kind: str, wanted: Mapping[str, str]) -> Iterator[Record]:
        """Yield the records of *kind* with all *wanted* values, newest first; nothing wanted finds all."""
        indexed = [self._having[kind, name, wanted[name]] for name in INDEXED if name in wanted]
        if not indexed:
            rows = self.of(kind)
        else:
            ids = min(indexed, key=len)
            rows = (self.records[id_] for id_ in reversed(ids) if id_ in self.records)
        return (row for row in rows if all(row.get(name) == value for name, value in wanted.items()))

    def remove(self, record: Record) -> None:
        """Take a record away."""
        del self.records[record["id"]], self._by_kind[record["object"]][record["id"]]

    def _index(self, record: Record) -> None:
        for name in INDEXED:
            if value := record.get(name):
                self._having[record["object"], name, value][record["id"]] = None

    def get(self, kind: str, id_: str) -> Record:
        """Return a record; StripeError 404 when there is none."""
        record = self.records.get(id_)
        if record is None or record["object"] != kind:
            raise StripeError(404, "invalid_request_error", "resource_missing", f"No such {kind}: '{id_}'", "id")
        return record

    def add(self, kind: str, values: Record) -> Record:
        """Store a new record with id, time and metadata."""
        self.last += 1
        record = {
            "id": f"{_PREFIX[kind]}_{self.last:014d}",
            "object": kind,
            "created": int(self.clock().timestamp()),
            "livemode": False,
            "metadata": {},
            **values,
        }
        for name in _WITHOUT.get(kind, ()):
            del record[name]
        self.records[record["id"]] = self._by_kind[kind][record["id"]] = record
        self._index(record)
        return record
