"""QuickBooks' webhooks: one address per app, set in the developer portal, for every company that is connected."""

from __future__ import annotations

from schemas.webhooks import Webhooks

WEBHOOKS = Webhooks(
    topics=("Customer", "Invoice", "SalesReceipt", "Payment", "CreditMemo", "RefundReceipt", "Estimate"),
    shared=True,
    steps=(
        "Open developer.intuit.com > your app > Webhooks (production and development have a page each).",
        "Set the endpoint URL to {address}.",
        "Tick every operation of the entities {topics}, and save.",
        "Copy the verifier token into the connection's secrets as webhook_secret and restart the gateway.",
    ),
)
