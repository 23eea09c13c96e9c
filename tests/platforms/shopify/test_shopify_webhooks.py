"""Shopify's subscriptions in conversation with the sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from app.core.errors import RejectedError, UncertainError
from app.core.talk import Response
from app.sandbox.platforms.shopify import ShopifySandbox
from schemas.connection import Connection
from streams.sources.platforms.shopify import ShopifySource
from streams.sources.platforms.shopify.subscribing import ShopifySubscriber
from streams.sources.subscribing import Subscription
from tests.platforms.conversation import answer, converse
from tests.platforms.receiver import receiver

pytestmark = pytest.mark.sandbox
HEADERS = {"X-Shopify-Access-Token": ShopifySandbox.token}
SOURCE = ShopifySource(Connection(name="shop", tenant="acme", platform="shopify", account="example.myshopify.com"))
SUBSCRIBER = ShopifySubscriber()
BOUGHT = {"lines": [{"sku": "MUG", "title": "Mug", "quantity": 1, "price": "19.99"}], "currency": "EUR"}


@pytest.fixture
async def shop() -> AsyncIterator[tuple[ShopifySandbox, str]]:
    sandbox = ShopifySandbox(quota_scale=100)
    yield sandbox, await sandbox.start()
    await sandbox.stop()


async def _found(url: str) -> list[Subscription]:
    return await converse(SUBSCRIBER.found(), url, HEADERS)


async def test_what_was_registered_is_delivered_genuine_with_our_claims(shop: tuple[ShopifySandbox, str]) -> None:
    sandbox, url = shop
    async with receiver() as hooks:
        for wanted in SUBSCRIBER.wanted(f"{hooks.url}/hooks/acme/shop", SOURCE.topics()):
            assert await converse(SUBSCRIBER.create(wanted), url, HEADERS) == ""
        found = await _found(url)
        assert {one.key for one in found} == set(SOURCE.topics())
        assert all(one.sound and one.active for one in found)
        sandbox.verbs["create_order"](dict(BOUGHT))
        hook = await hooks.next()
    assert hook.headers["x-shopify-topic"] == "orders/create"
    assert SOURCE.verify(hook, [ShopifySandbox.client_secret], datetime.now(UTC))
    assert "metafields" in json.loads(hook.body)


async def test_a_subscription_moves_and_ends(shop: tuple[ShopifySandbox, str]) -> None:
    sandbox, url = shop
    async with receiver() as hooks:
        old, new = (SUBSCRIBER.wanted(f"{hooks.url}/{place}", ["ORDERS_CREATE"])[0] for place in ("old", "new"))
        await converse(SUBSCRIBER.create(old), url, HEADERS)
        await converse(SUBSCRIBER.update((await _found(url))[0], new), url, HEADERS)
        (moved,) = await _found(url)
        sandbox.verbs["create_order"](dict(BOUGHT))
        assert (await hooks.next()).url == moved.address == new.address
        await converse(SUBSCRIBER.delete(moved, ()), url, HEADERS)
        assert await _found(url) == []
        assert not sandbox.hooks.wanted("orders/create")


async def test_what_somebody_cut_is_told_and_made_whole(shop: tuple[ShopifySandbox, str]) -> None:
    sandbox, url = shop
    (wanted,) = SUBSCRIBER.wanted("https://hooks.example.com/hooks/acme/shop", ["ORDERS_CREATE"])
    await converse(SUBSCRIBER.create(wanted), url, HEADERS)
    sandbox.subscriptions.rows()[0]["includeFields"] = ["id"]
    (cut,) = await _found(url)
    assert not cut.sound
    await converse(SUBSCRIBER.update(cut, wanted), url, HEADERS)
    assert (await _found(url))[0].sound


async def test_a_refusal_names_topic_and_reason(shop: tuple[ShopifySandbox, str]) -> None:
    (wanted,) = SUBSCRIBER.wanted("https://hooks.example.com/hooks/acme/shop", ["ORDERS_CREATE"])
    await converse(SUBSCRIBER.create(wanted), shop[1], HEADERS)
    with pytest.raises(RejectedError, match="ORDERS_CREATE: Address for this topic has already been taken"):
        await converse(SUBSCRIBER.create(wanted), shop[1], HEADERS)
    with pytest.raises(UncertainError, match="502"):
        answer(SUBSCRIBER.create(wanted), Response(status=502))


def test_a_long_list_is_read_to_its_end() -> None:
    row = {"id": "1", "topic": "ORDERS_CREATE", "uri": "https://x/hooks/a/b", "format": "JSON"}
    row |= {"includeFields": [], "metafieldNamespaces": ["o2c"]}
    replies = [
        Response(status=200, body=json.dumps({"data": {"webhookSubscriptions": page}}).encode())
        for page in (
            {"nodes": [row], "pageInfo": {"hasNextPage": True, "endCursor": "c1"}},
            {"nodes": [row | {"id": "2"}], "pageInfo": {"hasNextPage": False, "endCursor": None}},
        )
    ]
    asked, found = answer(SUBSCRIBER.found(), *replies)
    assert [one.id for one in found] == ["1", "2"]
    assert asked[1].json["variables"] == {"after": "c1"}
