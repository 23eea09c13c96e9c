"""What a fresh portal knows: object types, their properties, association types and pipelines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

EPOCH = "1970-01-01T00:00:00Z"
WON, LOST = {"isClosed": "true", "probability": "1.0"}, {"isClosed": "true", "probability": "0.0"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One object type; `singular` names it in webhooks, `generic` ones come as object.* there."""

    name: str
    type_id: str
    singular: str
    group: str
    shown: tuple[str, ...]
    """The properties that a read without a `properties` parameter returns."""
    generic: bool = False
    created: str = "hs_createdate"
    modified: str = "hs_lastmodifieddate"


KINDS = (
    Kind(
        "contacts",
        "0-1",
        "contact",
        "contactinformation",
        ("email", "firstname", "lastname"),
        created="createdate",
        modified="lastmodifieddate",
    ),
    Kind("companies", "0-2", "company", "companyinformation", ("name", "domain"), created="createdate"),
    Kind(
        "deals",
        "0-3",
        "deal",
        "dealinformation",
        ("amount", "closedate", "dealname", "dealstage", "pipeline"),
        created="createdate",
    ),
    Kind("line_items", "0-8", "line_item", "lineiteminformation", ("name", "quantity", "price", "amount")),
    Kind("notes", "0-46", "note", "note", (), generic=True),
    Kind("invoices", "0-53", "invoice", "invoiceinformation", (), generic=True),
    Kind("commerce_payments", "0-101", "commerce_payment", "paymentinformation", (), generic=True),
    Kind("orders", "0-123", "order", "orderinformation", (), generic=True),
)
BY_NAME = {name: kind for kind in KINDS for name in (kind.name, kind.type_id, kind.singular)}

NUMBER, TEXT, DATE, MOMENT, CHOICE = "number", "string", "date", "datetime", "enumeration"
_COMMON = {"hs_object_id": NUMBER, "hs_object_source": TEXT, "hs_object_source_id": TEXT}
_OWN: dict[str, dict[str, str]] = {
    "contacts": {
        **dict.fromkeys(("firstname", "lastname", "phone", "company", "address", "city", "zip", "country"), TEXT),
        "email": TEXT,
        "lifecyclestage": TEXT,
    },
    "companies": dict.fromkeys(("name", "domain", "phone", "city", "zip", "country"), TEXT),
    "deals": {
        **dict.fromkeys(("dealname", "description", "deal_currency_code", "dealtype", "hubspot_owner_id"), TEXT),
        "hs_merged_object_ids": TEXT,
        **dict.fromkeys(("amount", "amount_in_home_currency", "hs_exchange_rate"), NUMBER),
        **dict.fromkeys(("hs_is_closed", "hs_is_closed_won", "hs_is_closed_lost"), "bool"),
        "closedate": MOMENT,
        "dealstage": CHOICE,
        "pipeline": CHOICE,
    },
    "line_items": {
        **dict.fromkeys(("name", "description", "hs_sku", "hs_line_item_currency_code", "hs_tax_rate_group_id"), TEXT),
        **dict.fromkeys(("quantity", "price", "amount", "discount", "hs_product_id"), NUMBER),
        **dict.fromkeys(("hs_tax_rate", "hs_tax_amount", "hs_post_tax_amount"), NUMBER),
        "hs_position_on_quote": NUMBER,
    },
    "notes": {"hs_note_body": TEXT, "hs_timestamp": MOMENT},
    "invoices": {
        **dict.fromkeys(("hs_currency", "hs_number", "hs_comments", "hs_invoice_link", "hs_tax_id"), TEXT),
        **dict.fromkeys(("hs_amount_billed", "hs_amount_paid", "hs_balance_due"), NUMBER),
        **dict.fromkeys(("hs_invoice_date", "hs_due_date"), DATE),
        "hs_invoice_status": CHOICE,
    },
    "commerce_payments": {
        **dict.fromkeys(("hs_currency_code", "hs_latest_status", "hs_payment_method_type"), TEXT),
        **dict.fromkeys(("hs_reference_number", "hs_customer_email"), TEXT),
        **dict.fromkeys(("hs_initial_amount", "hs_refunds_amount", "hs_net_amount", "hs_fees_amount"), NUMBER),
        "hs_initiated_date": MOMENT,
    },
    "orders": {
        **dict.fromkeys(("hs_order_name", "hs_currency_code", "hs_external_order_id", "hs_order_note"), TEXT),
        **dict.fromkeys(("hs_fulfillment_status", "hs_payment_status", "hs_external_order_status"), TEXT),
        **dict.fromkeys(("hs_shipping_tracking_number", "hs_shipping_status_url", "hs_source_store"), TEXT),
        **dict.fromkeys(("hs_total_price", "hs_subtotal_price", "hs_tax", "hs_shipping_cost"), NUMBER),
        "hs_external_created_date": MOMENT,
        "hs_merged_object_ids": TEXT,
        "hs_pipeline": CHOICE,
        "hs_pipeline_stage": CHOICE,
    },
}
_COMPUTED = frozenset(
    [
        "hs_object_id",
        "hs_object_source",
        "hs_object_source_id",
        "hs_merged_object_ids",
        "hs_is_closed",
        "hs_is_closed_won",
        "hs_is_closed_lost",
        "amount_in_home_currency",
        "hs_amount_billed",
        "hs_amount_paid",
        "hs_balance_due",
        "hs_net_amount",
        "hs_tax_rate",
        "hs_tax_amount",
        "hs_post_tax_amount",
        "hs_invoice_link",
    ]
)
MERGED = "hs_merged_object_ids"
PIPELINE = {"deals": ("pipeline", "dealstage"), "orders": ("hs_pipeline", "hs_pipeline_stage")}
REQUIRED = {
    "deals": ("dealname",),
    "invoices": ("hs_currency",),
    "notes": ("hs_timestamp",),
    "commerce_payments": ("hs_initial_amount", "hs_currency_code"),
}

ASSOCIATIONS = {
    ("contacts", "deals"): 4,
    ("deals", "contacts"): 3,
    ("deals", "companies"): 5,
    ("companies", "deals"): 6,
    ("deals", "line_items"): 19,
    ("line_items", "deals"): 20,
    ("deals", "notes"): 213,
    ("notes", "deals"): 214,
    ("contacts", "notes"): 201,
    ("notes", "contacts"): 202,
    ("orders", "contacts"): 507,
    ("orders", "companies"): 509,
    ("orders", "deals"): 512,
    ("orders", "line_items"): 513,
    ("orders", "invoices"): 518,
    ("orders", "commerce_payments"): 523,
}
TAX_RATES = {"115989001": "19", "115989002": "7", "115989003": "0"}
"""Tax rate groups that somebody set up in this portal: id -> percent."""
UNLISTED = 9000
"""Association type ids from here on are made up: no document at hand lists them."""


@dataclass(slots=True)
class Property:
    """One property definition."""

    name: str
    type: str
    label: str
    field_type: str
    group: str
    unique: bool = False
    own: bool = False
    read_only: bool = False
    created: str = EPOCH

    def shown(self) -> dict[str, Any]:
        """Return the definition as the API shows it."""
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": "",
            "groupName": self.group,
            "options": [],
            "createdAt": self.created,
            "updatedAt": self.created,
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": False,
            "archived": False,
            "hasUniqueValue": self.unique,
            "hidden": False,
            "hubspotDefined": not self.own,
            "formField": False,
            "modificationMetadata": {
                "archivable": self.own,
                "readOnlyDefinition": not self.own,
                "readOnlyValue": self.read_only,
            },
        }


@dataclass(slots=True)
class Stage:
    """One stage of a pipeline."""

    id: str
    label: str
    metadata: dict[str, str]


@dataclass(slots=True)
class Pipeline:
    """One pipeline with its stages in order."""

    id: str
    label: str
    stages: list[Stage] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return the pipeline as the API shows it."""
        times = {"createdAt": EPOCH, "updatedAt": EPOCH, "archived": False}
        stages = [
            {
                "label": stage.label,
                "displayOrder": position,
                "metadata": stage.metadata,
                "id": stage.id,
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                **times,
            }
            for position, stage in enumerate(self.stages)
        ]
        return {"label": self.label, "displayOrder": 0, "id": self.id, "stages": stages, **times}


def properties() -> dict[str, dict[str, Property]]:
    """Return the definitions of a fresh portal by object type."""
    known: dict[str, dict[str, Property]] = {}
    for kind in KINDS:
        types = {**_COMMON, **_OWN[kind.name], kind.created: MOMENT, kind.modified: MOMENT}
        known[kind.name] = {
            name: Property(
                name,
                type_,
                name,
                {"enumeration": "select", "number": "number"}.get(type_, "text"),
                kind.group,
                unique=(kind.name, name) == ("contacts", "email"),
                read_only=name in _COMPUTED or name in {kind.created, kind.modified},
            )
            for name, type_ in types.items()
        }
    return known


def pipelines() -> dict[str, list[Pipeline]]:
    """Return the pipelines of a fresh portal: stage ids of deals are words, those of orders are not."""
    deals = [
        Stage("appointmentscheduled", "Appointment Scheduled", {"isClosed": "false", "probability": "0.2"}),
        Stage("qualifiedtobuy", "Qualified To Buy", {"isClosed": "false", "probability": "0.4"}),
        Stage("presentationscheduled", "Presentation Scheduled", {"isClosed": "false", "probability": "0.6"}),
        Stage("decisionmakerboughtin", "Decision Maker Bought-In", {"isClosed": "false", "probability": "0.8"}),
        Stage("contractsent", "Contract Sent", {"isClosed": "false", "probability": "0.9"}),
        Stage("closedwon", "Closed Won", dict(WON)),
        Stage("closedlost", "Closed Lost", dict(LOST)),
    ]
    orders = [
        Stage("7a1f0c52-open", "Open", {"state": "OPEN"}),
        Stage("7a1f0c52-paid", "Paid", {"state": "OPEN"}),
        Stage("7a1f0c52-proc", "Processed", {"state": "OPEN"}),
        Stage("7a1f0c52-ship", "Shipped", {"state": "CLOSED"}),
        Stage("7a1f0c52-canc", "Cancelled", {"state": "CLOSED"}),
        Stage("7a1f0c52-refd", "Refunded", {"state": "CLOSED"}),
    ]
    return {
        "deals": [Pipeline("default", "Sales Pipeline", deals)],
        "orders": [Pipeline("7a1f0c52-0000", "Order Pipeline", orders)],
    }
