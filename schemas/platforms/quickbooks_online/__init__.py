"""QuickBooks Online: an order becomes an Invoice, or a SalesReceipt when it is paid at once.

https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/invoice (minor version 75). The mark
stands in PrivateNote, which cannot be searched: a probe lists the documents of the day or the customer and compares.
"""

from __future__ import annotations

from types import MappingProxyType

from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform

MINOR_VERSION = "75"
PAGE = 1000
BATCH = 30
FORMS = ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt")
SWEPT = (*FORMS, "Payment", "Customer", "Estimate")
_OF_INVOICE = frozenset(("currency", "payable_amount", "issue_date", "due_date", "note", "email", "lines"))

PLATFORM = Platform(
    slug="quickbooks_online",
    title="QuickBooks Online",
    side="accounting",
    base_url="https://quickbooks.api.intuit.com",
    docs="https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/invoice",
    auth=Auth(
        kind="oauth2",
        token_url="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",  # noqa: S106 - an address
        basic_client=True,
        token_headers=MappingProxyType({"x-include-refresh-token-hard-expires-in": "true"}),
        rotates=True,
        authorize_url="https://appcenter.intuit.com/connect/oauth2",
        scopes=("com.intuit.quickbooks.accounting",),
        account_param="realmId",
    ),
    headers=MappingProxyType({"Accept": "application/json"}),
    support_header="intuit_tid",
    # Points count batch calls alone, of which 40 a minute are allowed: a full bucket of 20 and 20 a minute on top.
    limits=Limits(
        windows=(Limit(10, 1.0), Limit(500, 60.0)), points=Limit(20, 60.0), concurrent=10, timeout_seconds=120.0
    ),
    consistency=Consistency(
        search_lag_seconds=5.0,
        settle_seconds=125.0,
        # How long a request id is remembered is not documented; a day is what is counted on, then a probe decides.
        idempotency_seconds=86_400.0,
        paging="window",
        mark_field=MappingProxyType(dict.fromkeys((*FORMS, "Payment"), "PrivateNote")),
    ),
    objects=MappingProxyType(
        {
            "Invoice": "invoice",
            "SalesReceipt": "invoice",
            "Payment": "payment",
            "CreditMemo": "credit",
            "RefundReceipt": "credit",
            "Customer": "customer",
            "Estimate": "order",
            "Parcel": "shipment",
        }
    ),
    statuses=MappingProxyType(
        {
            "Estimate:Pending": "draft",
            "Estimate:Accepted": "open",
            "Estimate:Closed": "invoiced",
            "Estimate:Rejected": "cancelled",
        }
    ),
    capabilities=MappingProxyType(
        {
            "upsert_customer": Effect.RECORDS,
            "upsert_invoice": Effect.RECORDS,
            "upsert_sales_receipt": Effect.RECORDS,
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
            "upsert_invoice": _OF_INVOICE,
            "request_payment": _OF_INVOICE,
            "upsert_sales_receipt": frozenset(("currency", "payable_amount", "issue_date", "note", "email", "lines")),
            "record_payment": frozenset(("amount", "currency", "date", "reference")),
            "issue_credit": frozenset(("amount", "currency", "date")),
            "apply_credit": frozenset(("amount", "currency")),
            "record_refund": frozenset(("amount", "currency", "date")),
            "record_shipment": frozenset(("carrier", "tracking")),
        }
    ),
    shows_by_option=MappingProxyType(
        {
            "reference_field": MappingProxyType(
                dict.fromkeys(("upsert_invoice", "upsert_sales_receipt", "request_payment"), frozenset(("po_number",)))
            )
        }
    ),
    signature_headers=("intuit-signature",),
    body_limit=4 * 1_048_576,
    secrets=("client_id", "client_secret", "webhook_secret"),
    options=MappingProxyType(
        {
            "home_currency": "currency of documents that name none (default USD)",
            "numbers": "'order' puts the order's number into DocNumber; the default lets QuickBooks count",
            "reference_field": "DefinitionId of the custom field that shows the customer's own reference",
            "since": "first day to read when a connection is new (ISO 8601; default: everything)",
        }
    ),
    advance_payments=True,
    gaps=(
        "QuickBooks Online has no sales order and no fulfilment states; an invoice carries one tracking number.",
        "A US company's tax engine honours the tax that is sent with a document; another total made of it is told.",
        "A payment that lies in a bank deposit cannot be changed; a person has to edit the deposit.",
        "QuickBooks sends no webhook when the app is disconnected.",
        "Tracking numbers that a person types are one parcel of the whole document; taken away again, they stay known.",
        "What was deleted while o2c was away for 29 days or more is found by reading everything known once (recheck).",
    ),
)
