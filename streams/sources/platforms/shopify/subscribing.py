"""Shopify's subscriptions: one per topic and address, made in each shop; the app sees its own alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.errors import RejectedError, UncertainError
from app.core.talk import Request, Talk
from schemas.platforms.shopify import NAMESPACE, PATH, webhooks
from streams.sources.platforms.shopify import reading
from streams.sources.subscribing import Subscriber, Subscription


class ShopifySubscriber(Subscriber):
    """After eight failed deliveries Shopify deletes a subscription: then it is missing, and made again."""

    def wanted(self, address: str, topics: Sequence[str]) -> tuple[Subscription, ...]:
        """Ask for one subscription per topic."""
        return tuple(Subscription(key=topic, topics=(topic,), address=address) for topic in topics)

    def found(self) -> Talk[list[Subscription]]:
        """Read every subscription of the app in this shop."""
        rows: list[Mapping[str, Any]] = []
        after = None
        while True:
            page = (yield from reading.ask(webhooks.LIST, {"after": after}))["webhookSubscriptions"]
            rows += page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return [_subscription(row) for row in rows]
            after = page["pageInfo"]["endCursor"]

    def create(self, wanted: Subscription) -> Talk[str]:
        """Subscribe to one topic; the app's client secret signs, so none is shown."""
        (topic,) = wanted.topics
        variables = {"topic": topic, "subscription": webhooks.asked(wanted.address)}
        yield from _changed(webhooks.CREATE, variables, topic)
        return ""

    def update(self, found: Subscription, wanted: Subscription) -> Talk[str]:
        """Send it to our address, in whole and with our claims."""
        asked = {**webhooks.asked(wanted.address), "includeFields": []}
        yield from _changed(webhooks.UPDATE, {"id": found.id, "subscription": asked}, found.key)
        return ""

    def delete(self, found: Subscription, topics: Sequence[str]) -> Talk[None]:
        """Unsubscribe."""
        del topics
        yield from _changed(webhooks.DELETE, {"id": found.id}, found.key)


def _changed(query: str, variables: Mapping[str, Any], topic: str) -> Talk[None]:
    reply = yield Request(
        method="POST", path=PATH, json={"query": query, "variables": dict(variables)}, mutates=True, step=topic, cost=10
    )
    if reply.status >= 500:  # noqa: PLR2004 - HTTP
        raise UncertainError(f"Shopify answered {reply.status} to the subscription to {topic}.")
    try:
        reading.data_of(reply)
    except RejectedError as error:
        raise RejectedError(f"Shopify refuses the subscription to {topic}: {_sentence(reply.json())}.") from error


def _sentence(body: Any) -> str:  # noqa: ANN401 - a reply is any JSON
    """Return the vendor's own words: they speak of an address and a topic, never of a customer."""
    answers = (body.get("data") or {}).values() if isinstance(body, Mapping) else ()
    told = [str(one["message"]) for answer in answers if answer for one in answer.get("userErrors") or ()]
    return (told or ["no reason given"])[0].rstrip(".")


def _subscription(row: Mapping[str, Any]) -> Subscription:
    whole = row["format"] == "JSON" and not row["includeFields"] and NAMESPACE in row["metafieldNamespaces"]
    topic = str(row["topic"])
    return Subscription(id=str(row["id"]), key=topic, topics=(topic,), address=str(row["uri"]), sound=whole)
