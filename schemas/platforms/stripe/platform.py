"""What Stripe is like, as data."""

from __future__ import annotations

from types import MappingProxyType

from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform
from schemas.webhooks import Webhooks

VERSION = "2026-10-28.endive"

PLATFORM = Platform(
    slug="stripe",
    title="Stripe",
    side="accounting",
    base_url="https://api.stripe.com",
    docs="https://docs.stripe.com/api",
    auth=Auth(kind="bearer", secret="token"),  # noqa: S106 - the name of a secret, not one
    headers=MappingProxyType({"Stripe-Version": VERSION}),
    headers_by_option=MappingProxyType({"connect": MappingProxyType({"Stripe-Account": "{account}"})}),
    limits=Limits(windows=(Limit(25, 1.0),), concurrent=0, timeout_seconds=80.0),
    consistency=Consistency(
        search_lag_seconds=3600.0,
        settle_seconds=140.0,
        idempotency_seconds=86_400.0,
        paging="keyset",
        mark_field=MappingProxyType(
            {
                "invoice": "metadata.o2c",
                "credit_note": "metadata.o2c",
                "refund": "metadata.o2c",
                "payment_intent": "metadata.o2c",
                "payment_record": "metadata.o2c",
            }
        ),
    ),
    objects=MappingProxyType(
        {
            "invoice": "invoice",
            "payment_intent": "payment",
            "charge": "payment",
            "payment_record": "payment",
            "refund": "credit",
            "reported_refund": "credit",
            "dispute": "credit",
            "credit_note": "credit",
            "customer": "customer",
            "payout": "payout",
        }
    ),
    statuses=MappingProxyType(
        {
            "invoice:draft": "draft",
            "invoice:open": "invoiced",
            "invoice:paid": "paid",
            "invoice:void": "void",
            "invoice:uncollectible": "on_hold",
        }
    ),
    capabilities=MappingProxyType(
        {
            "upsert_customer": Effect.RECORDS,
            "upsert_invoice": Effect.RECORDS,
            "void_invoice": Effect.RECORDS,
            "record_payment": Effect.RECORDS,
            "issue_credit": Effect.RECORDS,
            "void_credit": Effect.RECORDS,
            "record_shipment": Effect.RECORDS,
            "add_note": Effect.RECORDS,
            "record_refund": Effect.MOVES_MONEY,
            "request_payment": Effect.CONTACTS_CUSTOMER,
        }
    ),
    shows=MappingProxyType(
        {
            "upsert_invoice": frozenset(("currency", "payable_amount", "note", "lines")),
            "record_payment": frozenset(("amount", "currency")),
            "issue_credit": frozenset(("amount", "currency")),
        }
    ),
    holds=frozenset(("dispute",)),
    fixed_amounts=True,
    signature_headers=("stripe-signature",),
    secrets=("token", "webhook_secret"),
    options=MappingProxyType(
        {
            "days_until_due": "days until an invoice is due whose order names no day to come (default 30)",
            "livemode": "true or false: the world of its key (default: what a configured one says, as sk_live_)",
            "connect": "yes where the key is a Connect platform's and the account one that is connected to it",
            "checkout_reference": "order where a checkout's client_reference_id is its order's number (default: no)",
            "since": "first day to read when a connection is new (ISO 8601; default: everything)",
        }
    ),
    told_by_token=MappingProxyType(
        {
            "livemode": MappingProxyType(
                {"sk_live_": "true", "rk_live_": "true", "sk_test_": "false", "rk_test_": "false"}
            )
        }
    ),
    gaps=(
        "Stripe has no order object and no fulfilment states.",
        "A payment that was reported stays on its invoice, which stays paid: a person corrects it there.",
        "A refund that somebody else reports on a payment record is not read.",
    ),
)

EVENTS = (
    "invoice.created",
    "invoice.updated",
    "invoice.finalized",
    "invoice.sent",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.overpaid",
    "invoice.voided",
    "invoice.overdue",
    "invoice.marked_uncollectible",
    "invoice.deleted",
    "invoice_payment.paid",
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "charge.succeeded",
    "charge.captured",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.closed",
    "credit_note.created",
    "credit_note.updated",
    "credit_note.voided",
    "customer.created",
    "customer.updated",
    "payout.paid",
    "payout.failed",
)
"""What a connection subscribes to: snapshot events of the objects that are read."""
WEBHOOKS = Webhooks(
    topics=EVENTS,
    rights="a restricted key needs the permission Webhook Endpoints: Write",
    secret_once=True,
    steps=(
        "In the Connect platform's account open Developers > Webhooks and add a destination for connected accounts.",
        "Set its address to {address}, its API version to 2026-10-28.endive and its events to {topics}.",
        "Copy the signing secret into the connection's secrets as webhook_secret and restart the gateway.",
    ),
)
