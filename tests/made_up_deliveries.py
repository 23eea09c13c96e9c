"""Records of deliveries, as a translator finds them on their topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from app.config.model import ResolvedConnection
from app.core.topics import DELIVERIES
from app.gateway.addresses import Address, addresses
from schemas.connection import Connection
from streams.sources.platforms.hubspot import HubspotSource
from streams.sources.platforms.shopify.source import ShopifySource
from streams.sources.platforms.stripe import StripeSource
from streams.sources.platforms.xero import XeroSource

SECRET = "whsec_made_up"
SHOP = "acme.myshopify.com"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
_SOURCES = {"shopify": ShopifySource, "stripe": StripeSource, "hubspot": HubspotSource, "xero": XeroSource}


def served(secrets: Mapping[str, str] | None = None) -> dict[tuple[str, str], Address]:
    """Return the addresses of a shop, a CRM, a payment provider and a ledger of acme."""
    accounts = {
        "shop": ("shopify", SHOP), "pay": ("stripe", "acct_1"), "crm": ("hubspot", "4711"), "books": ("xero", "org"),
    }  # fmt: skip
    resolved = [
        ResolvedConnection(
            connection=Connection(name=name, tenant="acme", platform=platform, account=account),
            secrets=secrets or {"webhook_secret": SECRET}, allow_private=True, sweep_seconds=1, quota_share=1,
        )
        for name, (platform, account) in accounts.items()
    ]  # fmt: skip
    return addresses(resolved, _SOURCES)


def order(number: int, **more: object) -> bytes:
    """Return the body of Shopify's `orders/updated`."""
    at = "2026-03-01T00:00:00+00:00"
    known = {"id": number, "name": f"#{number}", "currency": "EUR", "total_price": "1.00", "line_items": []}
    return json.dumps({**known, "created_at": at, "updated_at": at, **more}).encode()


def record(body: bytes, key: bytes = b"acme/shop", offset: int = 0, **headers: str) -> ConsumerRecord:
    """Return a delivery of the shop, or of whom *key* says; an underscore in a header's name stands for a hyphen."""
    about = {"x-shopify-topic": "orders/updated", "x-shopify-shop-domain": SHOP} if key == b"acme/shop" else {}
    named = {**about, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return as_record(key, body, [(name, value.encode()) for name, value in named.items()], offset)


def as_record(key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]], offset: int = 0) -> ConsumerRecord:
    """Return what a publisher was given as it comes off the topic."""
    return ConsumerRecord(
        topic=DELIVERIES, partition=0, offset=offset, timestamp=int(NOW.timestamp() * 1000), timestamp_type=0, key=key,
        value=body, checksum=None, serialized_key_size=len(key), serialized_value_size=len(body), headers=headers,
    )  # fmt: skip
