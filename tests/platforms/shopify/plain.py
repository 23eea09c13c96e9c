"""A source and a sink of a shop without options."""

import json
from typing import Any

from schemas.connection import Connection
from sinks.platforms.shopify import ShopifySink
from streams.sources.base import Hook
from streams.sources.platforms.shopify import ShopifySource

DOMAIN = "example.myshopify.com"
CONNECTION = Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN)
SOURCE, SINK = ShopifySource(CONNECTION), ShopifySink(CONNECTION)


def hook_of(topic: str, body: Any, **headers: str) -> Hook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Hook(body=raw, headers={"x-shopify-topic": topic, "x-shopify-webhook-id": "w1", **headers})
