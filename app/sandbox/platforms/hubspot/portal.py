"""The writes of one portal: what they change, what it computes from them, and what webhooks tell of them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from app.sandbox.platforms.hubspot import model, rules
from app.sandbox.platforms.hubspot.model import Kind
from app.sandbox.platforms.hubspot.records import Change, Record, Records, Values
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp

_LOOKS = 20
_CENT = Decimal("0.01")


class Portal(Records):
    """One account that is written to."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        tell: Callable[[Change], None],
        visible: Callable[[datetime], bool] = lambda _: False,
    ) -> None:
        """*visible* tells whether searches show a change at once, so that no older look need be kept."""
        super().__init__()
        self.clock, self._tell, self._visible = clock, tell, visible
        self.follows = False
        """A read of one merged record by its old id shows the new one, as HubSpot says of deals; else it is gone."""
        self._became: dict[str, Record] = {}
        self._last_id, self._last_at, self._invoices = 331_000_000_000, datetime.fromtimestamp(0, UTC), 1000

    def now(self) -> datetime:
        """Return the time in whole milliseconds, never earlier than before."""
        at = self.clock().astimezone(UTC)
        self._last_at = max(self._last_at, at.replace(microsecond=at.microsecond // 1000 * 1000))
        return self._last_at

    def check(self, kind: Kind, given: dict[str, Any], record: Record | None) -> None:
        """Refuse values that a write would refuse, and change nothing."""
        rules.checked(self, kind, given, record)

    def create(self, kind: Kind, given: dict[str, Any], source: str) -> Record:
        """Create a record; the refusal says which value is wrong."""
        values = rules.checked(self, kind, given, None)
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
        self.hold(record, values)
        self._settle(record, at)
        self._tell(Change("creation", kind, record.id, at, source, {"changeFlag": "CREATED"}))
        for name, value in values.items():
            self._tell(Change("propertyChange", kind, record.id, at, source, _told(name, value)))
        self._refresh(record)
        return record

    def update(self, record: Record, given: dict[str, Any], source: str) -> Record:
        """Set the given properties; only real changes are told."""
        values = rules.checked(self, record.kind, given, record)
        changed = {name: value for name, value in values.items() if record.values.get(name) != value}
        if not changed:
            return record
        rules.permit(self, record, changed)
        self.release(record, changed)
        record.values = {**record.values, **changed}
        self.hold(record, changed)
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

    def forget(self, contact: Record, source: str) -> None:
        """Delete a person for good: nobody gets the record back."""
        at = self.now()
        self._bin(contact, at)
        contact.values = {}
        contact.looks.clear()
        self._tell(Change("privacyDeletion", contact.kind, contact.id, at, source))
        self._refresh(contact)

    def restore(self, record: Record, source: str) -> None:
        """Take a record out of the bin, with what it is associated with, unless somebody has its unique values now."""
        known = self.properties[record.kind.name]
        for name, value in record.values.items():
            if value and name in known and known[name].unique:
                rules.free(self, record.kind, known[name], value, record)
        at = self.now()
        record.archived, record.archived_at = False, None
        record.values = dict(record.values)
        self.hold(record, record.values)
        self._settle(record, at)
        self._tell(Change("restore", record.kind, record.id, at, source))
        self._refresh(record)

    def _bin(self, record: Record, at: datetime) -> None:
        self.release(record, record.values)
        record.values = dict(record.values)
        record.archived, record.archived_at = True, at
        self._settle(record, at)

    def merge(self, primary: Record, other: Record, source: str) -> Record:
        """Merge two records: the result has a new id, both old ones are gone or lead to it (see `follows`)."""
        merged = self.create(primary.kind, {**_writable(self, other), **_writable(self, primary)}, source)
        merged.values[model.MERGED] = f"{primary.id};{other.id}"
        for record in (primary, other):
            for kind in model.KINDS:
                for id_ in self.linked(record, kind):
                    self.link(merged, self.records[kind.name][id_], source)
            self._bin(record, merged.created)
            self._became[record.id] = merged
        detail = {
            "primaryObjectId": int(primary.id),
            "mergedObjectIds": [int(other.id)],
            "newObjectId": int(merged.id),
            "numberOfPropertiesMoved": len(other.values),
        }
        self._tell(Change("merge", primary.kind, primary.id, merged.created, source, detail))
        return merged

    def now_of(self, id_: str) -> str:
        """Return the id under which a record answers that may have been merged."""
        became = self._became.get(id_) if self.follows else None
        return id_ if became is None else self.now_of(became.id)

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
        self.enter(record)
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


def _writable(portal: Portal, record: Record) -> Values:
    known = portal.properties[record.kind.name]
    return {
        name: value for name, value in record.values.items() if not known[name].read_only and not known[name].unique
    }


def _told(name: str, value: str | None) -> dict[str, Any]:
    return {"propertyName": name, "propertyValue": value or ""}
