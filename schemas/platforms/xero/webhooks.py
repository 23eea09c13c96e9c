"""Xero's webhooks: one address per app, set in the developer portal, for every organisation that is connected."""

from __future__ import annotations

from schemas.webhooks import Webhooks

WEBHOOKS = Webhooks(
    topics=("INVOICE", "CREDITNOTE", "CONTACT"),
    shared=True,
    steps=(
        "Open developer.xero.com > My apps > your app > Webhooks.",
        "Tick the categories {topics}.",
        "Set the delivery URL to {address} (https on port 443).",
        "Copy the webhooks key into the connection's secrets as webhook_secret and restart the gateway.",
        "Save and send the intent to receive: the portal says OK when the gateway answered it.",
    ),
)
