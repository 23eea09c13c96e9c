"""The webhook subscriptions of the app in this shop: one per topic and address."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from app.sandbox.platforms.shopify.graph import at, number
from app.sandbox.platforms.shopify.rest import gid
from app.sandbox.platforms.shopify.shop import Refused

VERSION = "2026-07"
_HEADS = ("order_transactions", "fulfillment_orders", "fulfillment_events", "draft_orders", "bulk_operations")
_ADDRESS = ("webhookSubscription", "callbackUrl")
Serve = Callable[[str, frozenset[str]], None]
Row = dict[str, Any]


class Subscriptions:
    """Every change is told to *serve*: an address and the topics that it gets from now on, in their header form."""

    def __init__(self, new_id: Callable[[], int], clock: Callable[[], datetime], serve: Serve) -> None:
        self._new_id, self._clock, self._serve = new_id, clock, serve
        self._held: dict[int, Row] = {}
        self._silent: set[int] = set()

    def rows(self) -> list[Row]:
        """Return what is subscribed to."""
        return list(self._held.values())

    def mutations(self) -> dict[str, Callable[..., Row]]:
        """Return the vendor's mutations by name."""
        return {
            "webhookSubscriptionCreate": self._create,
            "webhookSubscriptionUpdate": self._update,
            "webhookSubscriptionDelete": self._delete,
        }

    def fall_silent(self, asked: Mapping[str, Any]) -> Row:
        """Deliver nothing any more for the subscriptions to asked["topic"], which are shown as ever."""
        silent = {id_: row["uri"] for id_, row in self._held.items() if row["topic"] == asked["topic"]}
        self._silent |= silent.keys()
        self._tell(*silent.values())
        return {"silent": len(silent)}

    def _create(self, topic: str, webhookSubscription: Mapping[str, Any]) -> Row:  # noqa: N803 - the vendor's name
        id_, now = self._new_id(), at(self._clock())
        made: Row = {
            "id": gid("WebhookSubscription", id_),
            "legacyResourceId": str(id_),
            "topic": topic,
            "format": "JSON",
            "includeFields": [],
            "metafieldNamespaces": [],
            "filter": None,
            "name": None,
            "createdAt": now,
            "apiVersion": {"handle": VERSION, "displayName": VERSION, "supported": True},
        }
        return self._put(id_, made, webhookSubscription)

    def _update(self, id: str, webhookSubscription: Mapping[str, Any]) -> Row:  # noqa: A002, N803 - the vendor's names
        held = self._held.get(number(id))
        if held is None:
            raise Refused("Webhook subscription not found", ("id",))
        return self._put(number(id), held, webhookSubscription)

    def _put(self, id_: int, row: Row, asked: Mapping[str, Any]) -> Row:
        uri = asked.get("uri") or asked.get("callbackUrl") or row.get("uri") or ""
        if not uri.startswith("http"):
            raise Refused("Address is invalid", _ADDRESS)
        others = ((one["topic"], one["uri"]) for key, one in self._held.items() if key != id_)
        if (row["topic"], uri) in others:
            raise Refused("Address for this topic has already been taken", _ADDRESS)
        before = str(row.get("uri") or uri)
        names = ("format", "includeFields", "metafieldNamespaces", "filter", "name")
        given = {name: asked[name] for name in names if name in asked}
        self._held[id_] = {**row, **given, "uri": uri, "callbackUrl": uri, "updatedAt": at(self._clock())}
        self._tell(before, uri)
        return {"webhookSubscription": self._held[id_], "userErrors": []}

    def _delete(self, id: str) -> Row:  # noqa: A002 - the vendor's name
        gone = self._held.pop(number(id), None)
        if gone is None:
            raise Refused("Webhook subscription not found", ("id",))
        self._tell(gone["uri"])
        return {"deletedWebhookSubscriptionId": id, "userErrors": []}

    def _tell(self, *addresses: str) -> None:
        topics: defaultdict[str, set[str]] = defaultdict(set)
        for row in (row for id_, row in self._held.items() if id_ not in self._silent):
            topics[row["uri"]].add(header_form(row["topic"]))
        for address in dict.fromkeys(addresses):
            self._serve(address, frozenset(topics[address]))


def header_form(topic: str) -> str:
    """Return a topic as deliveries name it: ORDER_TRANSACTIONS_CREATE is order_transactions/create."""
    words = topic.lower()
    head = next((head for head in _HEADS if words.startswith(f"{head}_")), words.partition("_")[0])
    return f"{head}/{words[len(head) + 1 :]}"
