"""The records of one company: ids, SyncTokens, times, what lists already show, what CDC remembers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from app.sandbox.platforms.quickbooks_online.query import NAME_LISTS, Condition, moment
from app.sandbox.platforms.quickbooks_online.refusals import Record, bad_number, missing, not_found, stale

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
    """Rows by entity and id. Every commit raises the SyncToken and notes a change."""

    def __init__(self, clock: Callable[[], datetime], visible: Callable[[datetime], bool]) -> None:
        self.clock, self._visible = clock, visible
        self.rows: dict[str, dict[str, Record]] = {entity: {} for entity in ENTITIES}
        self.changes: list[Change] = []
        self._next = dict(_FIRST)
        self._shown: dict[tuple[str, str], list[tuple[datetime, bytes]]] = {}
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

    def silently(self, entity: str, id_: str) -> None:
        """Make lists show the record as it is now, without telling anybody."""
        self._shown[entity, id_] = [(self.clock() - timedelta(days=1), self._frozen(entity, id_))]
        self._put_into_index(entity, id_)

    def _note(self, entity: str, id_: str, operation: str, now: datetime, deleted_id: str = "") -> None:
        self.changes.append(Change(entity, id_, operation, now, deleted_id))
        self._changed[entity].pop(id_, None)  # the newest change is always the last
        self._changed[entity][id_] = now
        self._put_into_index(entity, id_)
        shown = self._shown.setdefault((entity, id_), [])
        shown.append((now, self._frozen(entity, id_)))
        while len(shown) > 1 and self._visible(shown[1][0]):
            shown.pop(0)

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

    def listed(self, entity: str, where: Iterable[Condition] = ()) -> Iterator[Record]:
        """Yield what searches show: each record as of the last change that is visible already.

        *where* narrows the records that are looked at; it does not filter them.
        """
        for id_ in sorted(self._candidates(entity, where), key=int):
            if (record := self._as_shown(entity, id_)) is not None:
                yield record

    def _candidates(self, entity: str, where: Iterable[Condition]) -> set[str]:
        for condition in where:
            if condition.operator in {"=", "in"} and condition.name == "Id":
                return {id_ for id_ in condition.values if (entity, id_) in self._shown}
            if condition.operator in {"=", "in"} and condition.name in _INDEXED:
                keys = [(entity, condition.name, value.casefold()) for value in condition.values]
                return set().union(*(self._index.get(key, set()) for key in keys))
            if condition.operator in {">", ">="} and condition.name == "MetaData.LastUpdatedTime":
                return {id_ for id_, _ in self._since(entity, moment(condition.values[0]))}
        return {id_ for kind, id_ in self._shown if kind == entity}

    def _since(self, entity: str, since: datetime) -> Iterator[tuple[str, datetime]]:
        """Yield the ids changed at or after *since*, the newest first."""
        for id_, at in reversed(self._changed[entity].items()):
            if at < since:
                return
            yield id_, at

    def _as_shown(self, entity: str, id_: str) -> Record | None:
        seen = [frozen for at, frozen in self._shown[entity, id_] if self._visible(at)]
        found: Record | None = pickle.loads(seen[-1]) if seen else None  # noqa: S301 - frozen by ourselves, never received
        return found

    def _frozen(self, entity: str, id_: str) -> bytes:
        """Return the record as it is now, small: lists show it although it changes later."""
        return pickle.dumps(self.rows[entity].get(id_), pickle.HIGHEST_PROTOCOL)

    def changed_since(self, entity: str, since: datetime) -> list[Record]:
        """Return the records changed at or after *since*, the deleted ones as stubs."""
        found: list[Record] = []
        for id_, at in self._since(entity, since):
            if not self._visible(at):
                continue
            record = self.rows[entity].get(id_)
            gone = {"domain": "QBO", "status": "Deleted", "Id": id_, "MetaData": {"LastUpdatedTime": stamp(at)}}
            found.append(copy.deepcopy(record) if record is not None else gone)
        return found
