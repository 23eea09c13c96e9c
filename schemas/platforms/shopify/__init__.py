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

AUTH = Auth(
    kind="client_credentials",
    header="X-Shopify-Access-Token",
    secret="token",  # noqa: S106 - the name of a secret, not one
    token_url="/admin/oauth/access_token",  # noqa: S106 - a path
    grants=("client_credentials", "consent"),
    authorize_url="/admin/oauth/authorize",
    # Which scopes each call needs was not verified; the option `scopes` names others.
    scopes=(
        "read_orders",
        "write_orders",
        "read_customers",
        "write_customers",
        "read_fulfillments",
        "write_fulfillments",
        "write_merchant_managed_fulfillment_orders",
        "write_third_party_fulfillment_orders",
    ),
    scope_separator=",",
    # An access token of an hour and a refresh token of 90 days that every use replaces; without it a token for ever,
    # which public apps may not use any more: https://shopify.dev/docs/apps/build/authentication-authorization/
    # access-tokens/offline-access-tokens. The one before is good until its successor is used, 30 days at most:
    # https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens
    code_form=MappingProxyType({"expiring": "1"}),
    rotates=True,
    refresh_seconds=90 * 86_400.0,
    # https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant
    signed_by="hmac",
    account_param="shop",
    account_pattern=r"[a-z0-9][a-z0-9-]*\.myshopify\.com",
    account_example="NAME.myshopify.com",
)

PLATFORM = Platform(
    slug="shopify",
    title="Shopify",
    side="order",
    base_url="https://{account}",
    docs="https://shopify.dev/docs/api/admin-graphql",
    auth=AUTH,
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
            "order:open": "draft",
            "order:invoice_sent": "draft",
            "order:completed": "draft",
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
            "grant": "consent for a public app or one of another organisation: `o2c connect` asks the merchant "
            "(default client_credentials, for an app of the shop's own; beside the secret token neither)",
            "scopes": "what the merchant is asked for, comma-separated (default: orders, customers, fulfilments)",
            "since": "oldest change to read, for example 2026-01-01T00:00:00Z (default: all that Shopify shows)",
            "holds": "yes: read every changed order, since webhooks do not show holds (default no)",
            "payment_terms": "yes: read every changed order, when it falls due and whether it is overdue; the app "
            "needs the scope read_payment_terms (default no)",
            "drafts": "yes: read draft orders as orders that are drafts, which nobody bills; the app needs the scope "
            "read_draft_orders (default no)",
            "payment_method": "name of a manual payment method of the shop (default: Other)",
        }
    ),
    gaps=(
        "Shopify has no invoices and no requests for payment; the order stands for them, and a person mails it.",
        "Lines of an existing order are edited by a person.",
        "Money that was authorised is captured by a person: what is recorded as paid came some other way.",
        "A recorded payment cannot be taken back; refund it.",
        "A credit without lines, or of another amount than theirs, is recorded as a refund of money or not at all.",
        "Goods are not put back into stock.",
        "Of cash that a till rounds what was owed is booked, not the cents of rounding.",
        "A parcel out of several locations is entered by a person: Shopify makes a fulfilment at one.",
        'Drafts are seen with the option drafts = "yes" alone, else once they are completed; none is written to.',
        'Holds are seen with the option holds = "yes" alone: no webhook shows them, so every changed order is read.',
        'Due dates, and what is overdue, are seen with the option payment_terms = "yes" alone.',
        "Partial manual payments need Shopify Plus.",
        "Of what is paid in another currency than the shop's only the whole is recorded and given back.",
    ),
)
