"""Shopify: an order is an Order, a payment an OrderTransaction, a credit a Refund, a shipment a Fulfillment.

https://shopify.dev/docs/api/admin-graphql/2026-07 (webhook bodies are REST-shaped: see `wire`; reads: see `graph`).
"""

from __future__ import annotations

from types import MappingProxyType

from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform

VERSION = "2026-07"
PATH = f"/admin/api/{VERSION}/graphql.json"
NAMESPACE = "o2c"
"""Of our metafields on an order; webhook subscriptions ask for it, so that every order body carries them."""

PLATFORM = Platform(
    slug="shopify",
    title="Shopify",
    side="order",
    base_url="https://{account}",
    docs="https://shopify.dev/docs/api/admin-graphql",
    auth=Auth(
        kind="client_credentials",
        header="X-Shopify-Access-Token",
        secret="token",  # noqa: S106 - the name of a secret, not one
        token_url="/admin/oauth/access_token",  # noqa: S106 - a path
    ),
    # A leaky bucket: 20 seconds' worth at 100 points a second (standard plan).
    limits=Limits(
        points=Limit(2000, 20.0),
        left_in_body=r'"currentlyAvailable":\s*(-?\d+)',
        concurrent=10,
        timeout_seconds=30.0,
    ),
    consistency=Consistency(
        # An order's webhook carries the whole order, refunds and fulfilments included; updated_at has whole seconds, so
        # two looks of one second that differ are read again. A transaction only ever goes from pending to final.
        monotonic=frozenset(("order", "transaction", "refund", "fulfillment", "customer")),
        search_lag_seconds=30.0,
        settle_seconds=120.0,
        idempotency_seconds=86_400.0,
        paging="keyset",
        mark_field=MappingProxyType(
            {
                "order": "sourceIdentifier",
                "transaction": "metafield o2c.payment_*",
                "fulfillment": "metafield o2c.shipment_*",
                "refund": "note",
            }
        ),
    ),
    objects=MappingProxyType(
        {
            "order": "order",
            "transaction": "payment",
            "refund": "credit",
            "fulfillment": "shipment",
            "customer": "customer",
        }
    ),
    statuses=MappingProxyType(
        {
            "order:pending": "open",
            "order:expired": "open",
            "order:authorized": "open",
            "order:partially_paid": "partially_paid",
            "order:paid": "paid",
            "order:partially_refunded": "partially_refunded",
            "order:refunded": "refunded",
            "order:voided": "void",
            "order:cancelled": "cancelled",
            "order:restocked": "cancelled",
            "order:on_hold": "on_hold",
        }
    ),
    stages=MappingProxyType({"cancelled": "cancelled"}),
    capabilities=MappingProxyType(
        {
            "upsert_order": Effect.RECORDS,
            "set_status": Effect.RECORDS,
            "record_payment": Effect.RECORDS,
            "issue_credit": Effect.RECORDS,
            "record_shipment": Effect.RECORDS,
            "upsert_customer": Effect.RECORDS,
            "add_note": Effect.RECORDS,
            "record_refund": Effect.MOVES_MONEY,
            "request_payment": Effect.CONTACTS_CUSTOMER,
        }
    ),
    shows=MappingProxyType(
        {
            "upsert_order": frozenset(("number", "currency", "payable_amount", "note", "po_number", "email", "lines")),
            "record_payment": frozenset(("amount", "currency", "date")),
            "issue_credit": frozenset(("amount", "currency")),
            "record_refund": frozenset(("amount", "currency")),
            "record_shipment": frozenset(("carrier", "tracking", "status")),
        }
    ),
    version_header="x-shopify-api-version",
    version=VERSION,
    signature_headers=("x-shopify-hmac-sha256",),
    delivery_headers=("x-shopify-topic", "x-shopify-webhook-id", "x-shopify-shop-domain", "x-shopify-triggered-at"),
    body_limit=4 * 1_048_576,
    # Webhooks are signed with the app's client secret (one made by hand in the admin has a secret of its own).
    secrets=("client_id", "client_secret", "webhook_secret"),
    options=MappingProxyType(
        {
            "since": "oldest change to read, for example 2026-01-01T00:00:00Z (default: all that Shopify shows)",
            "holds": "yes: read every changed order, since webhooks do not show holds (default no)",
            "payment_terms": "yes: read every changed order and when it falls due; the app needs the scope "
            "read_payment_terms (default no)",
            "payment_method": "name of a manual payment method of the shop (default: Other)",
        }
    ),
    gaps=(
        "Shopify has no invoices; the order stands for them.",
        "Lines of an existing order are edited by a person.",
        "Money that was authorised is captured by a person.",
        "A recorded payment cannot be taken back; refund it.",
        "A credit without lines, or of another amount than theirs, is recorded as a refund of money or not at all.",
        "Goods are not put back into stock.",
        "A parcel out of several locations is entered by a person: Shopify makes a fulfilment at one.",
        "Draft orders count once they are completed.",
        'Holds are seen with the option holds = "yes" alone: no webhook shows them, so every changed order is read.',
        'Due dates are seen with the option payment_terms = "yes" alone, and overdue is for the ledger to say.',
        "Partial manual payments need Shopify Plus.",
        "Of what is paid in another currency than the shop's only the whole is recorded and given back.",
    ),
)
