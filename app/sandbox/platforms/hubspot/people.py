"""What people do in the portal's screens."""

from __future__ import annotations

from bisect import insort
from decimal import Decimal
from typing import Any

from app.sandbox.base import ActError, Verb
from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.model import Kind, Stage
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.records import Record
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp

USER = "CRM_UI"
REFERENCE = "reference"
"""A property this made-up company added to its deals."""
_CONTACT, _DEAL, _LINE = (model.BY_NAME[name] for name in ("contact", "deal", "line_item"))
_ORDER, _INVOICE, _PAYMENT = (model.BY_NAME[name] for name in ("order", "invoice", "commerce_payment"))
_FIELDS = {
    "name": ("dealname", "hs_order_name"),
    "amount": ("amount", "hs_total_price"),
    "currency": ("deal_currency_code", "hs_currency_code"),
    "stage": ("dealstage", "hs_pipeline_stage"),
    "note": ("description", "hs_order_note"),
    "reference": (REFERENCE, "hs_external_order_id"),
}


class People:
    """Salespeople and bookkeepers at work."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        portal.properties["deals"][REFERENCE] = model.Property(
            REFERENCE, model.TEXT, "Reference", "text", _DEAL.group, own=True
        )

    def verbs(self) -> dict[str, Verb]:
        """Return the acts by name."""
        acts = {
            "create_deal": self._create_deal,
            "create_order": self._create_order,
            "set_stage": self._set_stage,
            "edit_deal": self._edit,
            "edit_order": self._edit,
            "delete_deal": self._delete,
            "restore": self._restore,
            "forget_contact": self._forget,
            "edit_line": self._edit_line,
            "delete_line": self._delete_line,
            "merge_deals": self._merge,
            "ship_order": self._ship,
            "type_invoice": self._type_invoice,
            "void_invoice": self._void,
            "type_payment": self._pay,
            "delete_payment": self._delete,
            "tamper": self._tamper,
        }
        return {name: _acting(act) for name, act in acts.items()}

    def _create_deal(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._create(_DEAL, 0, asked)

    def _create_order(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._create(_ORDER, 1, asked)

    def _create(self, kind: Kind, place: int, asked: dict[str, Any]) -> dict[str, Any]:
        values = {names[place]: asked[key] for key, names in _FIELDS.items() if asked.get(key) is not None}
        values.setdefault(_FIELDS["name"][place], f"{kind.singular} for {asked.get('email', 'nobody')}")
        if "stage" in asked:
            values |= self._moved(kind, str(asked["stage"]))
        lines = [self._line(line) for line in asked.get("lines") or []]
        record = self.portal.create(kind, values, USER)
        for line in lines:
            self.portal.link(record, line, USER)
        if asked.get("email"):
            self.portal.link(record, self._contact(asked), USER)
        return {"id": record.id}

    def _contact(self, asked: dict[str, Any]) -> Record:
        email = str(asked["email"])
        first, _, last = str(asked.get("contact_name") or "").partition(" ")
        found = self.portal.find(_CONTACT, "email", email)
        return found or self.portal.create(_CONTACT, {"email": email, "firstname": first, "lastname": last}, USER)

    def _line(self, line: dict[str, Any]) -> Record:
        values = {
            "name": line["title"],
            "quantity": line["quantity"],
            "price": line["price"],
            "hs_sku": line.get("sku"),
        }
        if line.get("tax_rate") not in (None, ""):
            values["hs_tax_rate_group_id"] = self._tax_group(str(line["tax_rate"]))
        return self.portal.create(_LINE, values, USER)

    def _tax_group(self, rate: str) -> str:
        """Return the group of a tax rate; whoever needs a new one sets it up first."""
        percent = f"{Decimal(rate).normalize():f}"
        new = str(115_989_001 + len(self.portal.tax_rates))
        known = next((id_ for id_, held in self.portal.tax_rates.items() if held == percent), new)
        self.portal.tax_rates[known] = percent
        return known

    def _stage(self, kind: Kind, word: str) -> Stage:
        for pipeline in self.portal.pipelines[kind.name]:
            for stage in pipeline.stages:
                if word in {stage.id, stage.label}:
                    return stage
        raise ActError(f"there is no stage {word}")

    def _record(self, id_: object) -> Record:
        for kind in (_DEAL, _ORDER, _INVOICE, _PAYMENT):
            record = self.portal.records[kind.name].get(str(id_))
            if record is not None and not record.archived:
                return record
        raise ActError(f"there is no record {id_}")

    def _set_stage(self, asked: dict[str, Any]) -> dict[str, Any]:
        record = self._record(asked["id"])
        name = model.PIPELINE[record.kind.name][1]
        self.portal.update(record, self._moved(record.kind, str(asked["stage"])), USER)
        return {"id": record.id, "stage": record.values[name]}

    def _moved(self, kind: Kind, word: str) -> dict[str, str]:
        """Return what moving a record changes: the portal dates a deal that a person wins or loses."""
        stage = self._stage(kind, word)
        values = {model.PIPELINE[kind.name][1]: stage.id}
        if kind is _DEAL and stage.metadata.get("isClosed") == "true":
            values["closedate"] = stamp(self.portal.now())
        return values

    def _edit(self, asked: dict[str, Any]) -> dict[str, Any]:
        record = self._record(asked["id"])
        place = 0 if record.kind is _DEAL else 1
        values = {names[place]: asked[key] for key, names in _FIELDS.items() if key in asked}
        self.portal.update(record, values, USER)
        if "lines" in asked:
            for id_ in self.portal.linked(record, _LINE):
                self.portal.archive(self.portal.records[_LINE.name][id_], USER)
            for line in asked["lines"]:
                self.portal.link(record, self._line(line), USER)
        if "email" in asked:
            for id_ in self.portal.linked(record, _CONTACT):
                self.portal.link(record, self.portal.records[_CONTACT.name][id_], USER, removed=True)
            self.portal.link(record, self._contact(asked), USER)
        return {"id": record.id}

    def _delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        record = self._record(asked["id"])
        self.portal.archive(record, USER)
        return {"id": record.id}

    def _restore(self, asked: dict[str, Any]) -> dict[str, Any]:
        for kind in model.KINDS:
            record = self.portal.records[kind.name].get(str(asked["id"]))
            if record is not None and record.archived and record.values:
                self.portal.restore(record, USER)
                return {"id": record.id}
        raise ActError(f"there is no record {asked['id']} in the bin")

    def _forget(self, asked: dict[str, Any]) -> dict[str, Any]:
        record = self.portal.find(_CONTACT, "email", str(asked["email"]))
        if record is None:
            raise ActError(f"there is no contact {asked['email']}")
        self.portal.forget(record, USER)
        return {"id": record.id}

    def _line_of(self, asked: dict[str, Any]) -> Record:
        """Return the line of a record that has a name."""
        for id_ in self.portal.linked(self._record(asked["id"]), _LINE):
            if (line := self.portal.records[_LINE.name][id_]).values.get("name") == asked["title"]:
                return line
        raise ActError(f"there is no line {asked['title']}")

    def _edit_line(self, asked: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {name: asked[name] for name in ("quantity", "price") if name in asked}
        return {"id": self.portal.update(self._line_of(asked), values, USER).id}

    def _delete_line(self, asked: dict[str, Any]) -> dict[str, Any]:
        line = self._line_of(asked)
        self.portal.archive(line, USER)
        return {"id": line.id}

    def _merge(self, asked: dict[str, Any]) -> dict[str, Any]:
        merged = self.portal.merge(self._record(asked["id"]), self._record(asked["other"]), USER)
        return {"id": merged.id}

    def _ship(self, asked: dict[str, Any]) -> dict[str, Any]:
        values = {"hs_fulfillment_status": "Shipped", "hs_shipping_tracking_number": asked["tracking"]}
        return {"id": self.portal.update(self._record(asked["id"]), values, USER).id}

    def _type_invoice(self, asked: dict[str, Any]) -> dict[str, Any]:
        values = {"hs_currency": asked["currency"], "hs_comments": asked.get("reference")}
        values |= {"hs_invoice_date": asked.get("date"), "hs_due_date": asked.get("due_date")}
        lines = [self._line(line) for line in asked["lines"]]
        record = self.portal.create(_INVOICE, {name: value for name, value in values.items() if value}, USER)
        for line in lines:
            self.portal.link(record, line, USER)
        self.portal.link(record, self._contact(asked), USER)
        if asked.get("order_id"):
            self.portal.link(record, self._record(asked["order_id"]), USER)
        self.portal.update(record, {"hs_invoice_status": "open"}, USER)
        return {"id": record.id, "number": record.values["hs_number"]}

    def _void(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"id": self.portal.update(self._record(asked["id"]), {"hs_invoice_status": "voided"}, USER).id}

    def _pay(self, asked: dict[str, Any]) -> dict[str, Any]:
        invoice = self._record(asked["invoice_id"])
        values = {"hs_initial_amount": asked["amount"], "hs_currency_code": invoice.values["hs_currency"]}
        values |= {"hs_reference_number": asked.get("reference"), "hs_initiated_date": asked.get("date")}
        payment = self.portal.create(_PAYMENT, values, USER)
        self.portal.link(payment, invoice, USER)
        return {"id": payment.id}

    def _tamper(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Change the books behind everybody's back: no webhook, no new date."""
        names = {"invoices": "hs_amount_billed", "commerce_payments": "hs_initial_amount"}
        names |= {"orders": "hs_total_price", "deals": "amount"}
        for kind, name in names.items():
            held = [record for record in self.portal.records[kind].values() if not record.archived]
            if not held:
                continue
            record = held[0]
            if asked["how"] == "cent":
                record.values[name] = f"{Decimal(record.values.get(name) or '0') + Decimal('0.01'):f}"
            elif asked["how"] == "remove":
                record.archived = True
            elif asked["how"] == "double":
                twin = Record(record.kind, f"{record.id}9", record.created, record.updated, dict(record.values))
                self.portal.records[kind][twin.id] = twin
                insort(self.portal.order[kind], int(twin.id))
            else:
                raise ActError("how is one of cent, remove, double")
            return {"kind": kind, "id": record.id}
        raise ActError("there is nothing to tamper with")


def _acting(act: Verb) -> Verb:
    def acting(asked: dict[str, Any]) -> Any:  # noqa: ANN401 - as the act returns it
        try:
            return act(asked)
        except Refused as refused:
            raise ActError(refused.message) from refused

    return acting
