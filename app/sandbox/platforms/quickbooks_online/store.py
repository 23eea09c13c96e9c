"""The records of one company: ids, SyncTokens, times, what lists already show, what CDC remembers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from app.sandbox.platforms.quickbooks_online.query import NAME_LISTS, Condition, moment
from app.sandbox.platforms.quickbooks_online.refusals import Record, bad_number, missing, not_found, stale

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_INDEXED = ("DisplayName", "Name", "DocNumber", "CustomerRef", "TxnDate", "Sku")
PACIFIC = timezone(timedelta(hours=-7))
TRANSACTIONS = ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt", "Payment", "Estimate")
ENTITIES = (*TRANSACTIONS, *sorted(NAME_LISTS))
_FIRST = {"transaction": 101, "Customer": 1, "Item": 1, "Account": 90, "TaxCode": 2, "TaxRate": 1, "PaymentMethod": 1}


@dataclass(frozen=True)
class Change:
    """One thing that a webhook tells."""

    entity: str
    id: str
    operation: str
    at: datetime
    deleted_id: str = ""


class Look:
    """A record as it was after a change; its fields are replaced by later changes, never changed inside."""

    __slots__ = ("_encoded", "at", "record")

    def __init__(self, at: datetime, record: Record | None) -> None:
        self.at, self.record = at, None if record is None else dict(record)
        self._encoded: msgspec.Raw | None = None

    @property
    def encoded(self) -> msgspec.Raw:
        """Return the record as JSON, encoded when it is first asked for."""
        if self._encoded is None:
            self._encoded = msgspec.Raw(_ENCODER.encode(self.record))
        return self._encoded


def stamp(moment: datetime) -> str:
    """Return a time as QuickBooks writes it: seconds, Pacific offset."""
    return moment.astimezone(PACIFIC).isoformat(timespec="seconds")


def number(value: Any, element: str) -> Decimal:  # noqa: ANN401 - any JSON value
    """Return a JSON number (or the text of one) as Decimal; 2080 when it is none."""
    try:
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise bad_number(element) from error
    if not found.is_finite():
        raise bad_number(element)
    return found


def plain(value: Decimal) -> Decimal | int:
    """Return the shortest JSON number of an amount: 100, 362.07."""
    return int(value) if value == value.to_integral_value() else value.normalize()


def text(value: Decimal) -> str:
    """Return an amount with two decimals for the books."""
    return f"{value:.2f}"


def ref(record: Record, name: str) -> str:
    """Return the id in a reference field, "" without one."""
    found = record.get(name)
    return str(found.get("value") or "") if isinstance(found, dict) else ""


def cleaned(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return *value* without nulls, empty texts and empty references, as clients send them for "not set"."""
    if isinstance(value, dict):
        kept = {key: found for key, inner in value.items() if (found := cleaned(inner)) not in (None, "", {})}
        return {} if set(kept) <= {"name", "type"} and "value" in value else kept
    return [cleaned(inner) for inner in value] if isinstance(value, list) else value


class Store:
    """Rows by entity and id. Every commit raises the SyncToken and notes a change.

    A field's value is shared by the record, its looks and the body it came in: it is replaced, never changed inside.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        visible: Callable[[datetime], bool],
        settled: Callable[[datetime], bool],
    ) -> None:
        """*visible* is asked by searches, *settled* tells whether they would show all of a record's changes."""
        self.clock, self._visible, self._settled = clock, visible, settled
        self.rows: dict[str, dict[str, Record]] = {entity: {} for entity in ENTITIES}
        self.changes: list[Change] = []
        self._next = dict(_FIRST)
        self._looks: dict[str, dict[str, list[Look]]] = {entity: {} for entity in ENTITIES}
        self._changed: dict[str, dict[str, datetime]] = {entity: {} for entity in ENTITIES}
        self._index: dict[tuple[str, str, str], set[str]] = {}

    def new_id(self, entity: str) -> str:
        """Return the next id; transactions share one sequence."""
        kind = "transaction" if entity in TRANSACTIONS else entity
        self._next[kind] += 1
        return str(self._next[kind] - 1)

    def get(self, entity: str, id_: str) -> Record:
        """Return the record, 610 when there is none."""
        record = self.rows[entity].get(id_)
        if record is None:
            raise not_found()
        return record

    def current(self, entity: str, body: Record) -> Record:
        """Return the record that *body* names; 2020 without Id or SyncToken, 610 when gone, 5010 when stale."""
        for name in ("Id", "SyncToken"):
            if name not in body:
                raise missing(name)
        record = self.get(entity, str(body["Id"]))
        if str(body["SyncToken"]) != record["SyncToken"]:
            raise stale()
        return record

    def add(self, entity: str, fields: Record, id_: str = "") -> Record:
        """Store a new record."""
        now, id_ = self.clock(), id_ or self.new_id(entity)
        record = {
            **fields,
            "domain": "QBO",
            "sparse": False,
            "Id": id_,
            "SyncToken": "0",
            "MetaData": {"CreateTime": stamp(now), "LastUpdatedTime": stamp(now)},
        }
        self.rows[entity][id_] = record
        self._note(entity, id_, "Create", now)
        return record

    def commit(self, entity: str, record: Record, operation: str = "Update", deleted_id: str = "") -> Record:
        """Raise the version of a changed record and note the change."""
        now = self.clock()
        record["SyncToken"] = str(int(record["SyncToken"]) + 1)
        record["MetaData"] = {**record["MetaData"], "LastUpdatedTime": stamp(now)}
        self._note(entity, record["Id"], operation, now, deleted_id)
        return record

    def remove(self, entity: str, id_: str) -> None:
        """Take a record away; CDC goes on telling that it was deleted."""
        del self.rows[entity][id_]
        self._note(entity, id_, "Delete", self.clock())

    def shown(self, entity: str, id_: str) -> msgspec.Raw:
        """Return the record as a read by id shows it, 610 when there is none."""
        self.get(entity, id_)
        return self._looks[entity][id_][-1].encoded

    def silently(self, entity: str, id_: str) -> None:
        """Make lists show the record as it is now, without telling anybody."""
        self._looks[entity][id_] = [Look(self.clock() - timedelta(days=1), self.rows[entity].get(id_))]
        self._put_into_index(entity, id_)

    def _note(self, entity: str, id_: str, operation: str, now: datetime, deleted_id: str = "") -> None:
        self.changes.append(Change(entity, id_, operation, now, deleted_id))
        self._changed[entity].pop(id_, None)  # the newest change is always the last
        self._changed[entity][id_] = now
        self._put_into_index(entity, id_)
        looks = self._looks[entity].setdefault(id_, [])
        looks.append(Look(now, self.rows[entity].get(id_)))
        while len(looks) > 1 and self._settled(looks[1].at):
            looks.pop(0)

    def _put_into_index(self, entity: str, id_: str) -> None:
        """Remember under which values a record was ever found; who asks looks at the record itself."""
        record = self.rows[entity].get(id_, {})
        for name in _INDEXED:
            value = ref(record, name) if name.endswith("Ref") else record.get(name)
            if value:
                self._index.setdefault((entity, name, str(value).casefold()), set()).add(id_)

    def having(self, entity: str, name: str, value: str) -> list[Record]:
        """Return the records whose indexed field *name* is *value*, in any case."""
        ids = self._index.get((entity, name, value.casefold()), ())
        rows = [self.rows[entity][id_] for id_ in ids if id_ in self.rows[entity]]
        return [row for row in rows if str(row.get(name) or "").casefold() == value.casefold()]

    def listed(self, entity: str) -> Iterator[Record]:
        """Yield the records that searches show."""
        return (look.record for look in self.looks(entity) if look.record is not None)

    def looks(self, entity: str, where: Sequence[Condition] = ()) -> Iterator[Look]:
        """Yield what searches show: each record as of the last change that is visible already.

        *where* narrows the records that are looked at; it does not filter them.
        """
        kept = self._looks[entity]
        for id_ in sorted(self._candidates(entity, where), key=int):
            seen = [look for look in kept[id_] if self._visible(look.at)]
            if seen and seen[-1].record is not None:
                yield seen[-1]

    def _candidates(self, entity: str, where: Sequence[Condition]) -> Iterable[str]:
        """Return the smallest set of ids that one of the conditions leaves."""
        found: list[list[Collection[str]]] = []
        for condition in where:
            if condition.operator in {"=", "in"} and condition.name == "Id":
                found.append([{id_ for id_ in condition.values if id_ in self._looks[entity]}])
            elif condition.operator in {"=", "in"} and condition.name in _INDEXED:
                keys = [(entity, condition.name, value.casefold()) for value in condition.values]
                found.append([self._index.get(key, ()) for key in keys])
        if found:
            return set().union(*min(found, key=lambda sets: sum(map(len, sets))))
        for condition in where:
            if condition.operator in {">", ">="} and condition.name == "MetaData.LastUpdatedTime":
                return [id_ for id_, _ in self._since(entity, moment(condition.values[0]))]
        return self._looks[entity]

    def _since(self, entity: str, since: datetime) -> Iterator[tuple[str, datetime]]:
        """Yield the ids changed at or after *since*, the newest first."""
        for id_, at in reversed(self._changed[entity].items()):
            if at < since:
                return
            yield id_, at

    def changed_since(self, entity: str, since: datetime) -> Iterator[msgspec.Raw]:
        """Yield the records changed at or after *since*, the newest first, the deleted ones as stubs."""
        for id_, at in self._since(entity, since):
            if not self._visible(at):
                continue
            if id_ in self.rows[entity]:
                yield self._looks[entity][id_][-1].encoded
            else:
                gone = {"domain": "QBO", "status": "Deleted", "Id": id_, "MetaData": {"LastUpdatedTime": stamp(at)}}
                yield msgspec.Raw(_ENCODER.encode(gone))
