"""A source and a sink of a shop without options, a delivery to the one and a command to the other."""

import json
from typing import Any

from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Facts
from sinks.platforms.shopify import ShopifySink
from streams.sources.base import Hook
from streams.sources.platforms.shopify import ShopifySource

DOMAIN = "example.myshopify.com"
ORDER_KEY = "a" * 32
CONNECTION = Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN)
SOURCE, SINK = ShopifySource(CONNECTION), ShopifySink(CONNECTION)


def hook_of(topic: str, body: Any, **headers: str) -> Hook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Hook(body=raw, headers={"x-shopify-topic": topic, "x-shopify-webhook-id": "w1", **headers})


def command(capability: Any, facts: Facts, write: str = "b" * 12, **more: Any) -> Command:
    defaults: dict[str, Any] = {
        "id": (write * 3)[:32], "kind": "append", "tenant": "acme", "connection": "shop", "account": DOMAIN, "order": ORDER_KEY,
        "entity": "order:1", "write": "w", "canonical": "x", "mark": f"o2c1:{ORDER_KEY}:{write}",
    }  # fmt: skip
    return Command(capability=capability, facts=facts, **{**defaults, **more})
