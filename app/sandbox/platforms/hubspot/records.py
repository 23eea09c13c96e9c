"""What a portal holds: records, their associations, who has which unique value, and what searches may still show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.model import Kind, Stage
from app.sandbox.platforms.hubspot.refusals import Refused, missing

Values = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Change:
    """Something a webhook tells."""

    event: str
    kind: Kind
    id: str
    at: datetime
    source: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """One CRM record with the looks at it that searches may still show."""

    kind: Kind
    id: str
    created: datetime
    updated: datetime
    values: Values
    archived: bool = False
    archived_at: datetime | None = None
    looks: list[tuple[datetime, Values, bool]] = field(default_factory=list)


class Records:
    """Everything one account holds, and how it is looked up."""

    def __init__(self) -> None:
        self.touched: dict[str, dict[str, None]] = {kind.name: {} for kind in model.KINDS}
        """Ids in the order of their last change."""
        self.order: dict[str, list[int]] = {kind.name: [] for kind in model.KINDS}
        """Ids in the order of their creation, which is the order of lists."""
        self._asked: dict[str, dict[str, dict[str, set[str]]]] = {kind.name: {} for kind in model.KINDS}
        self._holders: dict[tuple[str, str], dict[str, Record]] = {}
        self.records: dict[str, dict[str, Record]] = {kind.name: {} for kind in model.KINDS}
        self.links: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
        self.properties, self.pipelines = model.properties(), model.pipelines()
        self.tax_rates = dict(model.TAX_RATES)

    def get(self, kind: Kind, id_: str, id_property: str = "", *, archived: bool = False) -> Record:
        """Return a record by id or by a unique property; a record in the bin only when asked for."""
        record = self.find(kind, id_property, id_) if id_property else self.records[kind.name].get(id_)
        if record is None or record.archived != archived or not record.values:  # without any: forgotten for good
            raise missing(kind.name, id_)
        return record

    def find(self, kind: Kind, name: str, value: str) -> Record | None:
        """Return the record that holds *value* in the unique property *name*."""
        if name == "hs_object_id":
            return self.records[kind.name].get(value)
        definition = self.properties[kind.name].get(name)
        if definition is None or not definition.unique:
            raise Refused(400, f"Property {name} is not a unique property of {kind.singular}.")
        holder = self._holders.get((kind.name, name), {}).get(value.lower())
        return None if holder is None or holder.archived else holder

    def linked(self, record: Record, kind: Kind) -> list[str]:
        """Return the ids of *kind* that *record* is associated with and that still exist."""
        ids = self.links.get((record.kind.name, kind.name), {}).get(record.id, {})
        return [id_ for id_ in ids if not self.records[kind.name][id_].archived]

    def having(self, kind: Kind, name: str, texts: Iterable[str]) -> set[str]:
        """Return the ids of records that ever had one of *texts*, in any case, as property *name*.

        Who asks looks at the record itself. A property is indexed from the first question about it on.
        """
        index = self._asked[kind.name].get(name)
        if index is None:
            index = self._asked[kind.name][name] = {}
            for record in self.records[kind.name].values():
                for _, values, _ in record.looks:
                    _enter(index, record, name, values)
        return set().union(*(index.get(text.lower(), ()) for text in texts))

    def stage(self, kind: Kind, values: Values) -> Stage | None:
        """Return the stage a record is in."""
        pipeline, stage = model.PIPELINE[kind.name]
        for held in self.pipelines[kind.name]:
            if held.id == values.get(pipeline):
                return next((known for known in held.stages if known.id == values.get(stage)), None)
        return None

    def enter(self, record: Record) -> None:
        """Put the values of *record* into the index of every property that was asked about."""
        for name, index in self._asked[record.kind.name].items():
            _enter(index, record, name, record.values)

    def hold(self, record: Record, values: Values) -> None:
        """Remember who holds the unique values among *values*."""
        known = self.properties[record.kind.name]
        for name, value in values.items():
            if value and name in known and known[name].unique:
                self._holders.setdefault((record.kind.name, name), {})[value.lower()] = record

    def release(self, record: Record, values: Iterable[str]) -> None:
        """Let others have the unique values that *record* holds of the properties *values*."""
        for name in values:
            held = record.values.get(name)
            if held and self._holders.get((record.kind.name, name), {}).get(held.lower()) is record:
                del self._holders[record.kind.name, name][held.lower()]


def _enter(index: dict[str, set[str]], record: Record, name: str, values: Values) -> None:
    if value := values.get(name):
        index.setdefault(value.lower(), set()).add(record.id)
