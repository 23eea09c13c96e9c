"""HubSpot's limits, words and capabilities, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform, Refusal

MARK = "o2c_mark"
"""Our own unique property on deals, orders, invoices, payments, contacts, companies and line items: the upsert key."""
PARCELS = "o2c_shipments"
"""Our own property on orders: the marks of the parcels whose tracking numbers stand beside it, in order."""

_SCOPES = ("deals", "orders", "invoices", "commercepayments", "contacts", "companies", "line_items")
_OWN_PROPERTIES = ("deals", "orders", "invoices", "commercepayments", "contacts", "companies")
"""Objects whose scope lets us make our properties; that of line items has another name, notes go with contacts."""

TYPE_IDS: Mapping[str, str] = MappingProxyType(
    {
        "0-1": "contacts",
        "0-2": "companies",
        "0-3": "deals",
        "0-8": "line_items",
        "0-46": "notes",
        "0-53": "invoices",
        "0-101": "commerce_payments",
        "0-123": "orders",
    }
)
SINGULAR: Mapping[str, str] = MappingProxyType(
    {
        "contact": "contacts",
        "company": "companies",
        "deal": "deals",
        "line_item": "line_items",
        "note": "notes",
        "invoice": "invoices",
        "commerce_payment": "commerce_payments",
        "order": "orders",
    }
)
ACCOUNT = "/account-info/v3/details"
MERGED = "hs_merged_object_ids"
"""Ids of the records that were merged into one, with semicolons: whoever reads it first sees that it is no new order.

HubSpot's own property of contacts, companies and deals; an object that lacks it shows none."""

PROPERTIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "deals": (
            "dealname",
            "amount",
            "deal_currency_code",
            "dealstage",
            "pipeline",
            "closedate",
            "createdate",
            "description",
            "hs_is_closed_won",
            "hs_is_closed_lost",
            "hs_lastmodifieddate",
            MERGED,
        ),
        "orders": (
            "hs_order_name",
            "hs_currency_code",
            "hs_total_price",
            "hs_tax",
            "hs_order_note",
            "hs_pipeline",
            "hs_pipeline_stage",
            "hs_fulfillment_status",
            "hs_shipping_tracking_number",
            "hs_shipping_status_url",
            "hs_external_created_date",
            "hs_createdate",
            "hs_lastmodifieddate",
            MERGED,
            PARCELS,
        ),
        "invoices": (
            "hs_currency",
            "hs_number",
            "hs_comments",
            "hs_invoice_status",
            "hs_invoice_date",
            "hs_due_date",
            "hs_amount_billed",
            "hs_amount_paid",
            "hs_balance_due",
            "hs_lastmodifieddate",
        ),
        "commerce_payments": (
            "hs_initial_amount",
            "hs_currency_code",
            "hs_initiated_date",
            "hs_latest_status",
            "hs_refunds_amount",
            "hs_reference_number",
            "hs_payment_method_type",
            "hs_lastmodifieddate",
        ),
        "contacts": ("email", "firstname", "lastname", "phone", "company", "lastmodifieddate"),
        "line_items": ("name", "quantity", "price", "amount", "hs_sku", "hs_tax_rate", "hs_tax_amount", MARK),
    }
)
"""What a read asks for: properties that are not asked for are not returned."""
LINKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "deals": ("contacts", "line_items"),
        "orders": ("contacts", "line_items"),
        "invoices": ("contacts", "line_items", "deals", "orders"),
        "commerce_payments": ("invoices", "deals", "orders"),
        "contacts": (),
        "line_items": ("deals", "orders", "invoices"),
    }
)
"""Which associations a read asks for."""
ASSOCIATIONS: Mapping[tuple[str, str], int] = MappingProxyType(
    {
        ("deals", "contacts"): 3,
        ("orders", "contacts"): 507,
        ("line_items", "deals"): 20,
        ("notes", "deals"): 214,
    }
)
"""Association types by which a record can be made and associated in one call; all others take a second call."""
STAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "deals": MappingProxyType(
            {
                "draft": "appointmentscheduled",
                **dict.fromkeys(("open", "invoiced", "partially_paid", "paid", "overpaid", "closed"), "closedwon"),
                **dict.fromkeys(("partially_fulfilled", "fulfilled", "delivered", "returned"), "closedwon"),
                "partially_refunded": "closedwon",
                **dict.fromkeys(("cancelled", "void", "refunded"), "closedlost"),
            }
        ),
        "orders": MappingProxyType(
            {
                **dict.fromkeys(("draft", "open", "invoiced", "partially_paid"), "Open"),
                **dict.fromkeys(("paid", "overpaid"), "Paid"),
                "partially_fulfilled": "Processed",
                **dict.fromkeys(("fulfilled", "closed"), "Shipped"),
                "delivered": "Delivered",
                **dict.fromkeys(("cancelled", "void"), "Cancelled"),
                **dict.fromkeys(("returned", "refunded"), "Refunded"),
            }
        ),
    }
)
"""Object type -> canonical word -> stage id (deals) or stage label (orders, whose ids differ in every portal)."""

FULFILMENT: Mapping[str, str] = MappingProxyType(
    {"partially_fulfilled": "Partially shipped", "fulfilled": "Shipped", "delivered": "Delivered"}
)
"""Canonical word -> what is written into the free text `hs_fulfillment_status`, unless an option has another word."""

TAKEN = ("already has that value", "already exists", "CONFLICTING_UNIQUE_VALUE")
"""What the refusal of a unique value says."""
_REFUSALS = (
    Refusal(status=400, error="duplicate", says=TAKEN),
    Refusal(status=403, error="rejected", says=("SCOPE",)),
    Refusal(status=409, error="duplicate"),
    Refusal(status=423, error="rate_limited", least=2.0),
    # Until midnight in the portal; where nobody said when that is, whoever asks each hour begins again soon after.
    Refusal(status=429, error="rate_limited", says=('"DAILY"',), pause=3600.0, until_midnight=True, everybody=True),
    # The account moves to another data centre, which takes up to a day.
    Refusal(status=477, error="rate_limited", everybody=True),
)

PLATFORM = Platform(
    slug="hubspot",
    title="HubSpot",
    side="order",
    base_url="https://api.hubapi.com",
    docs="https://developers.hubspot.com/docs/api-reference",
    # A private app's token never expires and is used as it is; a public app refreshes what `o2c connect` stored.
    auth=Auth(
        kind="oauth2",
        secret="token",  # noqa: S106 - the name of a secret, not one
        token_url="/oauth/v1/token",  # noqa: S106 - a path
        authorize_url="https://app.hubspot.com/oauth/authorize",
        scopes=(
            *(f"crm.objects.{name}.{access}" for name in _SCOPES for access in ("read", "write")),
            *(f"crm.schemas.{name}.write" for name in _OWN_PROPERTIES),
            "e-commerce",
        ),
    ),
    limits=Limits(
        # The smallest of each: free and starter accounts. A share above 1 tells of a larger one.
        windows=(Limit(100, 10.0), Limit(250_000, 86_400.0)),
        concurrent=0,
        remaining_headers=("x-hubspot-ratelimit-remaining", "x-hubspot-ratelimit-daily-remaining"),
        timeout_seconds=30.0,
    ),
    consistency=Consistency(
        search_lag_seconds=60.0,
        settle_seconds=90.0,
        paging="keyset",
        mark_field=MappingProxyType(
            {
                **dict.fromkeys(("deals", "orders", "invoices", "commerce_payments", "notes"), MARK),
                "shipments": PARCELS,
            }
        ),
    ),
    objects=MappingProxyType(
        {
            "deals": "order",
            "orders": "order",
            "invoices": "invoice",
            "commerce_payments": "payment",
            "refunds": "credit",
            "shipments": "shipment",
            "contacts": "customer",
        }
    ),
    statuses=MappingProxyType(
        {
            "deals:appointmentscheduled": "draft",
            "deals:qualifiedtobuy": "draft",
            "deals:presentationscheduled": "draft",
            "deals:decisionmakerboughtin": "draft",
            "deals:contractsent": "draft",
            "deals:closedwon": "open",
            "deals:closedlost": "cancelled",
            # A stage of the company's own is known by what HubSpot computes from the pipeline's metadata.
            "deals:not closed": "draft",
            "deals:won": "open",
            "deals:lost": "cancelled",
            "orders:Open": "open",
            "orders:Paid": "paid",
            "orders:Processed": "partially_fulfilled",
            "orders:Shipped": "fulfilled",
            "orders:Delivered": "delivered",
            "orders:Cancelled": "cancelled",
            "orders:Refunded": "refunded",
            "invoices:draft": "draft",
            "invoices:open": "invoiced",
            "invoices:paid": "paid",
            "invoices:voided": "void",
            # Free text of an order object; these are the words that we write, and those that speak for themselves.
            "shipments:Shipped": "fulfilled",
            "shipments:Partially shipped": "partially_fulfilled",
            "shipments:Delivered": "delivered",
            "shipments:Returned": "returned",
            "shipments:Cancelled": "cancelled",
        }
    ),
    stages=STAGES["deals"],
    capabilities=MappingProxyType(
        {
            "upsert_order": Effect.RECORDS,
            "set_status": Effect.RECORDS,
            "upsert_customer": Effect.RECORDS,
            "upsert_invoice": Effect.RECORDS,
            "void_invoice": Effect.RECORDS,
            "record_payment": Effect.RECORDS,
            "reverse_payment": Effect.RECORDS,
            "issue_credit": Effect.RECORDS,
            "record_refund": Effect.RECORDS,
            "record_shipment": Effect.RECORDS,
            "add_note": Effect.RECORDS,
        }
    ),
    shows=MappingProxyType(
        {
            "upsert_order": frozenset(("number", "currency", "payable_amount", "note", "email", "status", "lines")),
            "set_status": frozenset(("status",)),
            "upsert_invoice": frozenset(
                ("currency", "payable_amount", "issue_date", "due_date", "note", "email", "lines")
            ),
            "record_payment": frozenset(("amount", "currency", "date", "reference")),
            "record_shipment": frozenset(("tracking", "status")),
        }
    ),
    shows_by_option=MappingProxyType({"po_property": MappingProxyType({"upsert_order": frozenset(("po_number",))})}),
    signature_headers=(
        "x-hubspot-signature-v3",
        "x-hubspot-request-timestamp",
        "x-hubspot-signature",
        "x-hubspot-signature-version",
    ),
    refusals=_REFUSALS,
    secrets=("token", "webhook_secret"),
    options=MappingProxyType(
        {
            "api_version": "v3, or the date of a version as 2026-09: under which path records live (default v3)",
            "order_object": "deals or orders: which object is the order (default deals)",
            "pipeline": "id of the pipeline that new deals or orders go into (default: the portal's first)",
            "currency": "currency of deals that name none (default: the portal's, for one call more per read)",
            "commerce": "yes: follow invoices and payments in HubSpot as well (needs their scopes)",
            "companies": "yes: a buyer who has a tax number gets a company, and so do the orders (needs their scopes)",
            "number_property": "property that holds the order number (default dealname or hs_order_name)",
            "po_property": "property that holds the customer's order number",
            "partially_fulfilled_word": "what an order object shows once a part has left (default Partially shipped)",
            "fulfilled_word": "what it shows once everything has left (default Shipped)",
            "delivered_word": "what it shows once everything has arrived (default Delivered)",
            "app_id": "id of our own app: its echoes are read last",
            "journal": "yes: fetch the portal's webhooks journal in place of webhooks, by the secrets client_id and "
            "client_secret; app: fetch that of the whole app",
            "journal_scopes": "what the app's token for the journal is asked for (default: what o2c uses of it)",
            "journal_seconds": "how often it is looked whether the journal has something new (default 30)",
            "journal_token_path": "where that token is asked for (default /oauth/2026-03/token)",
            "legacy_signatures": "yes: accept v1 and v2 signatures where v3 is absent",
        }
    ),
    gaps=(
        "HubSpot has no credit note: credits and refunds become notes on the order.",
        "HubSpot's API cannot send an invoice to the customer.",
        "A deal has no shipment fields: shipments become notes; order objects keep tracking numbers.",
        "An order object keeps no carrier.",
        "A line item has no negative price: a discount line is taken off others, of its tax first; the sum stays.",
    ),
)
