"""The rules that a portal's records obey: types of values, read-only and unique ones, stages, the life of invoices."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.model import Kind, Pipeline
from app.sandbox.platforms.hubspot.records import Record, Records, Values
from app.sandbox.platforms.hubspot.refusals import Refused, invalid
from app.sandbox.platforms.hubspot.times import dated

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_STATUSES = {"draft", "open", "paid", "voided"}


def checked(held: Records, kind: Kind, given: dict[str, Any], record: Record | None) -> Values:
    """Return the values as they are kept; Refused when one of them may not be written."""
    known, values = held.properties[kind.name], dict[str, str | None]()
    for name, raw in given.items():
        definition = known.get(name)
        if definition is None:
            raise invalid(name, "PROPERTY_DOESNT_EXIST", f'Property \\"{name}\\" does not exist')
        if definition.read_only:
            raise invalid(name, "READ_ONLY_VALUE", f'\\"{name}\\" is a read only property; its value cannot be set.')
        text = _text(raw)
        values[name] = None if text is None else _typed(held, kind, definition, text, record, given)
    return values


def _typed(
    held: Records, kind: Kind, definition: model.Property, text: str, record: Record | None, given: dict[str, Any]
) -> str:
    name = definition.name
    if definition.type == model.NUMBER:
        try:
            Decimal(text)
        except InvalidOperation as error:
            raise invalid(name, "INVALID_LONG", f"{text} was not a valid number.") from error
    if name == "price" and Decimal(text) < 0:
        raise invalid(name, "INVALID_NUMBER", "The price of a line item cannot be negative.")
    if name == "hs_tax_rate_group_id" and text not in held.tax_rates:
        raise invalid(name, "INVALID_OPTION", f"{text} was not one of the allowed options")
    if definition.type in {model.DATE, model.MOMENT}:
        text = dated(name, text, day=definition.type == model.DATE)
    if name == "email" and kind.name == "contacts" and not _EMAIL.match(text):
        raise invalid(name, "INVALID_EMAIL", f"Email address {text} is invalid")
    if name == "hs_invoice_status" and text not in _STATUSES:
        raise invalid(name, "INVALID_OPTION", f"{text} was not one of the allowed options")
    if kind.name in model.PIPELINE and name == model.PIPELINE[kind.name][1]:
        _stage_known(held, kind, text, {**(record.values if record else {}), **given})
    if definition.unique:
        free(held, kind, definition, text, record)
    return text


def _stage_known(held: Records, kind: Kind, text: str, values: dict[str, Any]) -> None:
    pipeline = values.get(model.PIPELINE[kind.name][0]) or held.pipelines[kind.name][0].id
    found: Pipeline | None = next((one for one in held.pipelines[kind.name] if one.id == pipeline), None)
    if found is None or all(stage.id != text for stage in found.stages):
        name = model.PIPELINE[kind.name][1]
        raise invalid(name, "INVALID_OPTION", f"{text} was not one of the allowed options")


def free(held: Records, kind: Kind, definition: model.Property, text: str, record: Record | None) -> None:
    """Refuse a unique value that another record has."""
    holder = held.find(kind, definition.name, text)
    if holder is None or holder is record:
        return
    if (kind.name, definition.name) == ("contacts", "email"):
        raise Refused(409, f"Contact already exists. Existing ID: {holder.id}", "CONFLICT")
    message = f"{holder.id} already has that value."
    raise invalid(definition.name, "CONFLICTING_UNIQUE_VALUE", message)


def permit(held: Records, record: Record, changed: Values) -> None:
    """Refuse a change that the state of the record does not allow."""
    if record.kind.name != "invoices":
        return
    status = record.values.get("hs_invoice_status")
    wanted = changed.get("hs_invoice_status")
    if status in {"voided", "paid"} and set(changed) - {"hs_invoice_status"}:
        raise Refused(400, f"Invoice is {status} and cannot be edited.")
    if status == "draft" and wanted == "open" and not _billable(held, record):
        raise Refused(400, "An invoice needs a contact and a line item before it can be opened.")


def _billable(held: Records, record: Record) -> bool:
    return all(held.linked(record, model.BY_NAME[name]) for name in ("contacts", "line_items"))


def _text(raw: object) -> str | None:
    if raw is None or raw == "":
        return None
    return str(raw).lower() if isinstance(raw, bool) else str(raw)
