"""Xero: an order becomes an Invoice of Type ACCREC; there is no sales order object and there are no shipments.

A quote stands for an order where the connection's `quotes` says so; none is ever written.

https://developer.xero.com/documentation/api/accounting/overview (Accounting API 2.0).
"""

from __future__ import annotations

from types import MappingProxyType

from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform

PLATFORM = Platform(
    slug="xero",
    title="Xero",
    side="accounting",
    base_url="https://api.xero.com/api.xro/2.0",
    docs="https://developer.xero.com/documentation/api/accounting/overview",
    auth=Auth(
        kind="oauth2",
        token_url="https://identity.xero.com/connect/token",  # noqa: S106 - an address
        basic_client=True,
        rotates=True,
        grants=("consent", "client_credentials"),
        refresh_seconds=60 * 86_400.0,
        authorize_url="https://login.xero.com/identity/connect/authorize",
        scopes=(
            "offline_access",
            "accounting.transactions",
            "accounting.contacts",
            "accounting.settings.read",
        ),
        pkce=True,
        accounts_url="https://api.xero.com/connections",
        account_id="tenantId",
        account_name="tenantName",
    ),
    headers=MappingProxyType({"Accept": "application/json"}),
    limits=Limits(
        windows=(Limit(60, 60.0), Limit(5_000, 86_400.0), Limit(10_000, 60.0, "app")),
        concurrent=4,  # five by the vendor, who may count one that we have the answer of for a moment longer
        remaining_headers=("x-minlimit-remaining", "x-daylimit-remaining", "x-appminlimit-remaining"),
        timeout_seconds=100.0,
    ),
    consistency=Consistency(
        settle_seconds=120.0,
        idempotency_seconds=300.0,
        paging="keyset",
        mark_field=MappingProxyType(
            {
                "invoice": "Reference",
                "credit_note": "Reference",
                "payment": "Reference",
                "refund": "Reference",
                "overpayment": "LineItems[0].Description",
                "history": "Details",
            }
        ),
    ),
    objects=MappingProxyType(
        {
            "invoice": "invoice",
            "payment": "payment",
            "overpayment": "payment",
            "prepayment": "payment",
            "credit_note": "credit",
            "refund": "credit",
            "history": "shipment",
            "contact": "customer",
            "quote": "order",
        }
    ),
    statuses=MappingProxyType(
        {
            "invoice:DRAFT": "draft",
            "invoice:SUBMITTED": "draft",
            "invoice:AUTHORISED": "invoiced",
            "invoice:PAID": "paid",
            "invoice:VOIDED": "void",
            "invoice:DELETED": "cancelled",
            "credit_note:DRAFT": "draft",
            "credit_note:SUBMITTED": "draft",
            "credit_note:AUTHORISED": "open",
            "credit_note:PAID": "closed",
            "credit_note:VOIDED": "void",
            "credit_note:DELETED": "cancelled",
            "payment:AUTHORISED": "paid",
            "payment:DELETED": "void",
            "refund:AUTHORISED": "refunded",
            "refund:DELETED": "void",
            "overpayment:AUTHORISED": "open",
            "overpayment:PAID": "closed",
            "overpayment:VOIDED": "void",
            "prepayment:AUTHORISED": "open",
            "prepayment:PAID": "closed",
            "prepayment:VOIDED": "void",
            "quote:DRAFT": "draft",
            "quote:SENT": "draft",
            "quote:ACCEPTED": "open",
            "quote:INVOICED": "invoiced",
            "quote:DECLINED": "cancelled",
            "quote:DELETED": "cancelled",
        }
    ),
    read_by_option=MappingProxyType({"quote": "quotes"}),
    capabilities=MappingProxyType(
        {
            "upsert_customer": Effect.RECORDS,
            "upsert_invoice": Effect.RECORDS,
            "void_invoice": Effect.RECORDS,
            "record_payment": Effect.RECORDS,
            "reverse_payment": Effect.RECORDS,
            "issue_credit": Effect.RECORDS,
            "apply_credit": Effect.RECORDS,
            "record_refund": Effect.RECORDS,
            "reverse_refund": Effect.RECORDS,
            "record_shipment": Effect.RECORDS,
            "add_note": Effect.RECORDS,
            "request_payment": Effect.CONTACTS_CUSTOMER,
        }
    ),
    shows=MappingProxyType(
        {
            "upsert_invoice": frozenset(("currency", "payable_amount", "issue_date", "due_date", "po_number", "lines")),
            "request_payment": frozenset(
                ("currency", "payable_amount", "issue_date", "due_date", "po_number", "lines")
            ),
            "record_payment": frozenset(("amount", "currency", "date", "reference")),
            "issue_credit": frozenset(("amount", "currency", "date", "lines")),
            "apply_credit": frozenset(("amount", "currency")),
            "record_refund": frozenset(("amount", "currency", "date", "reference")),
            "record_shipment": frozenset(("carrier", "tracking", "status")),
        }
    ),
    signature_headers=("x-xero-signature",),
    secrets=("client_id", "client_secret", "webhook_secret"),
    options=MappingProxyType(
        {
            "since": "first day to read when a connection is new (ISO 8601; default: everything)",
            "grant": "client_credentials for a Custom Connection (one organisation, nobody consents); default: consent",
            "fallback_contact": "ContactID for orders without a customer's name or e-mail",
            "quotes": "'orders' reads quotes, for a flow whose orders they are (key_giver, order_type 'quote')",
        }
    ),
    advance_payments=True,
    gaps=(
        "Xero has no sales order and no fulfilment states: a shipment is written into the invoice's history.",
        "A history note cannot be changed or removed; a change is a further note.",
        "Xero has no sales receipt: use an invoice and a payment.",
        "Money in advance is booked as an overpayment: a prepayment needs an account and a tax, and takes no currency.",
        "An overpayment cannot be removed by the API: to take it back it is paid out on its own day.",
        "A reconciled payment cannot be removed by the API: a person does it.",
        "A quote names no invoice that was made of it, and has no webhook: it is swept.",
    ),
)
