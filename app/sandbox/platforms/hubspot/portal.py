"""The records of one portal and the rules they obey: validation, unique values, computed values, associations."""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.model import Kind, Pipeline, Stage
from app.sandbox.platforms.hubspot.refusals import Refused, invalid, missing
from app.sandbox.platforms.hubspot.times import dated, stamp

Values = dict[str, str | None]
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_STATUSES = {"draft", "open", "paid", "voided"}
_LOOKS = 20
_CENT = Decimal("0.01")


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


class Portal:
    """Everything one account holds."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        tell: Callable[[Change], None],
        visible: Callable[[datetime], bool] = lambda _: False,
    ) -> None:
        """*visible* tells whether searches show a change at once, so that no older look need be kept."""
        self.clock, self._tell, self._visible = clock, tell, visible
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
        self._last_id, self._last_at, self._invoices = 331_000_000_000, datetime.fromtimestamp(0, UTC), 1000

    def now(self) -> datetime:
        """Return the time in whole milliseconds, never earlier than before."""
        at = self.clock().astimezone(UTC)
        self._last_at = max(self._last_at, at.replace(microsecond=at.microsecond // 1000 * 1000))
        return self._last_at

    # ------------------------------------------------------------------------------------------- reading

    def get(self, kind: Kind, id_: str, id_property: str = "", *, archived: bool = False) -> Record:
        """Return a record by id or by a unique property; a record in the bin only when asked for."""
        record = self.find(kind, id_property, id_) if id_property else self.records[kind.name].get(id_)
        if record is None or record.archived != archived:
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

    # ------------------------------------------------------------------------------------------- writing

    def create(self, kind: Kind, given: dict[str, Any], source: str) -> Record:
        """Create a record; the refusal says which value is wrong."""
        values = self._checked(kind, given, None)
        for name in model.REQUIRED.get(kind.name, ()):
            if not values.get(name):
                message = f'Error creating {kind.singular.upper()}. Some required properties were not set: "{name}"'
                raise Refused(400, message, context={"properties": [name]})
        self._last_id += 7
        at = self.now()
        record = Record(kind, str(self._last_id), at, at, values)
        self._defaults(record)
        self.records[kind.name][record.id] = record
        insort(self.order[kind.name], self._last_id)
        self._hold(record, values)
        self._settle(record, at)
        self._tell(Change("creation", kind, record.id, at, source, {"changeFlag": "CREATED"}))
        for name, value in values.items():
            self._tell(Change("propertyChange", kind, record.id, at, source, _told(name, value)))
        self._refresh(record)
        return record

    def update(self, record: Record, given: dict[str, Any], source: str) -> Record:
        """Set the given properties; only real changes are told."""
        values = self._checked(record.kind, given, record)
        changed = {name: value for name, value in values.items() if record.values.get(name) != value}
        if not changed:
            return record
        self._may(record, changed)
        self._release(record, changed)
        record.values = {**record.values, **changed}
        self._hold(record, changed)
        at = self.now()
        self._settle(record, at)
        for name, value in changed.items():
            self._tell(Change("propertyChange", record.kind, record.id, at, source, _told(name, value)))
        self._refresh(record)
        return record

    def archive(self, record: Record, source: str) -> None:
        """Put a record into the bin."""
        at = self.now()
        self._bin(record, at)
        self._tell(Change("deletion", record.kind, record.id, at, source, {"changeFlag": "DELETED"}))
        self._refresh(record)

    def _bin(self, record: Record, at: datetime) -> None:
        self._release(record, record.values)
        record.values = dict(record.values)
        record.archived, record.archived_at = True, at
        self._settle(record, at)

    def _hold(self, record: Record, values: Values) -> None:
        """Remember who holds the unique values among *values*."""
        known = self.properties[record.kind.name]
        for name, value in values.items():
            if value and name in known and known[name].unique:
                self._holders.setdefault((record.kind.name, name), {})[value.lower()] = record

    def _release(self, record: Record, values: Iterable[str]) -> None:
        for name in values:
            held = record.values.get(name)
            if held and self._holders.get((record.kind.name, name), {}).get(held.lower()) is record:
                del self._holders[record.kind.name, name][held.lower()]

    def merge(self, primary: Record, other: Record, source: str) -> Record:
        """Merge two records: the result has a new id, both old ones are gone (deals) or lead to it (contacts)."""
        merged = self.create(primary.kind, {**_writable(self, other), **_writable(self, primary)}, source)
        for record in (primary, other):
            for kind in model.KINDS:
                for id_ in self.linked(record, kind):
                    self.link(merged, self.records[kind.name][id_], source)
            self._bin(record, merged.created)
        detail = {
            "primaryObjectId": int(primary.id),
            "mergedObjectIds": [int(other.id)],
            "newObjectId": int(merged.id),
            "numberOfPropertiesMoved": len(other.values),
        }
        self._tell(Change("merge", primary.kind, primary.id, merged.created, source, detail))
        return merged

    def link(self, one: Record, two: Record, source: str, *, removed: bool = False) -> None:
        """Associate two records, or end that; both directions are told."""
        for left, right in ((one, two), (two, one)):
            known = self.links.setdefault((left.kind.name, right.kind.name), {}).setdefault(left.id, {})
            if (right.id in known) != removed:
                continue
            known.pop(right.id, None) if removed else known.setdefault(right.id)
            detail = {
                "associationType": f"{left.kind.singular}_TO_{right.kind.singular}".upper(),
                "fromObjectId": int(left.id),
                "toObjectId": int(right.id),
                "fromObjectTypeId": left.kind.type_id,
                "toObjectTypeId": right.kind.type_id,
                "associationRemoved": removed,
                "isPrimaryAssociation": False,
            }
            self._tell(Change("associationChange", left.kind, left.id, self.now(), source, detail))
        self._refresh(one)
        self._refresh(two)

    def type_of(self, one: Kind, two: Kind) -> int:
        """Return the id of the default association type between two object types."""
        names = [kind.name for kind in model.KINDS]
        made_up = model.UNLISTED + names.index(one.name) * len(names) + names.index(two.name)
        return model.ASSOCIATIONS.get((one.name, two.name), made_up)

    # -------------------------------------------------------------------------------------------- rules

    def check(self, kind: Kind, given: dict[str, Any], record: Record | None) -> None:
        """Refuse values that a write would refuse, and change nothing."""
        self._checked(kind, given, record)

    def _checked(self, kind: Kind, given: dict[str, Any], record: Record | None) -> Values:
        known, values = self.properties[kind.name], dict[str, str | None]()
        for name, raw in given.items():
            definition = known.get(name)
            if definition is None:
                raise invalid(name, "PROPERTY_DOESNT_EXIST", f'Property \\"{name}\\" does not exist')
            if definition.read_only:
                raise invalid(
                    name, "READ_ONLY_VALUE", f'\\"{name}\\" is a read only property; its value cannot be set.'
                )
            text = _text(raw)
            values[name] = None if text is None else self._typed(kind, definition, text, record, given)
        return values

    def _typed(
        self, kind: Kind, definition: model.Property, text: str, record: Record | None, given: dict[str, Any]
    ) -> str:
        name = definition.name
        if definition.type == model.NUMBER:
            try:
                Decimal(text)
            except InvalidOperation as error:
                raise invalid(name, "INVALID_LONG", f"{text} was not a valid number.") from error
        if name == "price" and Decimal(text) < 0:
            raise invalid(name, "INVALID_NUMBER", "The price of a line item cannot be negative.")
        if name == "hs_tax_rate_group_id" and text not in self.tax_rates:
            raise invalid(name, "INVALID_OPTION", f"{text} was not one of the allowed options")
        if definition.type in {model.DATE, model.MOMENT}:
            text = dated(name, text, day=definition.type == model.DATE)
        if name == "email" and kind.name == "contacts" and not _EMAIL.match(text):
            raise invalid(name, "INVALID_EMAIL", f"Email address {text} is invalid")
        if name == "hs_invoice_status" and text not in _STATUSES:
            raise invalid(name, "INVALID_OPTION", f"{text} was not one of the allowed options")
        if kind.name in model.PIPELINE and name == model.PIPELINE[kind.name][1]:
            self._stage_known(kind, text, {**(record.values if record else {}), **given})
        if definition.unique:
            self._free(kind, definition, text, record)
        return text

    def _stage_known(self, kind: Kind, text: str, values: dict[str, Any]) -> None:
        pipeline = values.get(model.PIPELINE[kind.name][0]) or self.pipelines[kind.name][0].id
        held: Pipeline | None = next((one for one in self.pipelines[kind.name] if one.id == pipeline), None)
        if held is None or all(stage.id != text for stage in held.stages):
            name = model.PIPELINE[kind.name][1]
            raise invalid(name, "INVALID_OPTION", f"{text} was not one of the allowed options")

    def _free(self, kind: Kind, definition: model.Property, text: str, record: Record | None) -> None:
        holder = self.find(kind, definition.name, text)
        if holder is None or holder is record:
            return
        if (kind.name, definition.name) == ("contacts", "email"):
            raise Refused(409, f"Contact already exists. Existing ID: {holder.id}", "CONFLICT")
        message = f"{holder.id} already has that value."
        raise invalid(definition.name, "CONFLICTING_UNIQUE_VALUE", message)

    def _may(self, record: Record, changed: Values) -> None:
        if record.kind.name != "invoices":
            return
        status = record.values.get("hs_invoice_status")
        wanted = changed.get("hs_invoice_status")
        if status in {"voided", "paid"} and set(changed) - {"hs_invoice_status"}:
            raise Refused(400, f"Invoice is {status} and cannot be edited.")
        if status == "draft" and wanted == "open" and not self._billable(record):
            raise Refused(400, "An invoice needs a contact and a line item before it can be opened.")

    def _billable(self, record: Record) -> bool:
        return all(self.linked(record, model.BY_NAME[name]) for name in ("contacts", "line_items"))

    def _defaults(self, record: Record) -> None:
        values, kind = record.values, record.kind
        if kind.name in model.PIPELINE:
            pipeline, stage = model.PIPELINE[kind.name]
            first = self.pipelines[kind.name][0]
            values[pipeline] = values.get(pipeline) or first.id
            values[stage] = values.get(stage) or first.stages[0].id
        if kind.name == "invoices":
            self._invoices += 1
            values.setdefault("hs_invoice_status", "draft")
            values.setdefault("hs_number", f"INV-{self._invoices}")
            values.setdefault("hs_invoice_date", record.created.date().isoformat())
            values.setdefault("hs_due_date", record.created.date().isoformat())
        if kind.name == "commerce_payments":
            values.setdefault("hs_latest_status", "succeeded")
            values.setdefault("hs_initiated_date", stamp(record.created))

    def _settle(self, record: Record, at: datetime) -> None:
        """Recompute what the portal computes and remember this look for searches."""
        record.updated = at
        kind, values = record.kind, record.values
        values["hs_object_id"] = record.id
        values[kind.created], values[kind.modified] = stamp(record.created), stamp(at)
        if kind.name == "deals":
            metadata = stage.metadata if (stage := self.stage(kind, values)) else {}
            closed = metadata.get("isClosed") == "true"
            won = closed and Decimal(metadata.get("probability", "0")) == 1
            values["hs_is_closed"] = str(closed).lower()
            values["hs_is_closed_won"], values["hs_is_closed_lost"] = str(won).lower(), str(closed and not won).lower()
        if kind.name == "line_items":
            self._price(values)
        record.looks.append((at, values, record.archived))
        del record.looks[: -1 if self._visible(at) else -_LOOKS]
        for name, index in self._asked[kind.name].items():
            _enter(index, record, name, values)
        self.touched[kind.name].pop(record.id, None)
        self.touched[kind.name][record.id] = None

    def _price(self, line: Values) -> None:
        quantity, price = (Decimal(line.get(name) or "0") for name in ("quantity", "price"))
        net = (quantity * (price - Decimal(line.get("discount") or "0"))).quantize(_CENT, ROUND_HALF_UP)
        rate = self.tax_rates.get(line.get("hs_tax_rate_group_id") or "")
        tax = (net * Decimal(rate or "0") / 100).quantize(_CENT, ROUND_HALF_UP)
        line["amount"], line["hs_tax_rate"] = f"{net:f}", rate
        line["hs_tax_amount"], line["hs_post_tax_amount"] = (f"{tax:f}" if rate else None), f"{net + tax:f}"

    def _refresh(self, record: Record) -> None:
        """Bring the invoices that depend on *record* up to date."""
        invoices = model.BY_NAME["invoices"]
        ids = [record.id] if record.kind is invoices else []
        if record.kind.name in {"line_items", "commerce_payments"}:
            ids = list(self.links.get((record.kind.name, "invoices"), {}).get(record.id, {}))
        for id_ in ids:
            self._bill(self.records["invoices"][id_])

    def _bill(self, invoice: Record) -> None:
        def total(kind: str, name: str) -> Decimal:
            rows = [self.records[kind][id_].values for id_ in self.linked(invoice, model.BY_NAME[kind])]
            return sum((Decimal(row.get(name) or "0") for row in rows), Decimal(0))

        billed, paid = total("line_items", "hs_post_tax_amount"), total("commerce_payments", "hs_initial_amount")
        before = invoice.values
        values = invoice.values = dict(before)
        values["hs_amount_billed"], values["hs_amount_paid"] = f"{billed:.2f}", f"{paid:.2f}"
        values["hs_balance_due"] = f"{billed - paid:.2f}"
        status = values.get("hs_invoice_status")
        if status in {"open", "paid"} and billed:
            values["hs_invoice_status"] = "paid" if paid >= billed else "open"
        changed = [name for name, value in values.items() if before.get(name) != value]
        if changed:
            at = self.now()
            self._settle(invoice, at)
            for name in changed:
                detail = _told(name, values[name])
                self._tell(Change("propertyChange", invoice.kind, invoice.id, at, "CALCULATED", detail))


def _enter(index: dict[str, set[str]], record: Record, name: str, values: Values) -> None:
    if value := values.get(name):
        index.setdefault(value.lower(), set()).add(record.id)


def _writable(portal: Portal, record: Record) -> Values:
    known = portal.properties[record.kind.name]
    return {
        name: value for name, value in record.values.items() if not known[name].read_only and not known[name].unique
    }


def _told(name: str, value: str | None) -> dict[str, Any]:
    return {"propertyName": name, "propertyValue": value or ""}


def _text(raw: object) -> str | None:
    if raw is None or raw == "":
        return None
    return str(raw).lower() if isinstance(raw, bool) else str(raw)
