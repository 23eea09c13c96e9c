"""The Shopify sandbox, driven by ShopifyAPI: Shopify's own Python client, unchanged."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import shopify
from aiohttp import web
from pyactiveresource.connection import ClientError, ResourceNotFound, UnauthorizedAccess

from app.sandbox.platforms.shopify import ShopifySandbox

pytestmark = pytest.mark.sandbox
LINES = [
    {"sku": "MUG", "title": "Blue mug", "quantity": 3, "price": "19.99", "tax_rate": "20"},
    {"sku": "PEN", "title": "Pen", "quantity": 1, "price": "1.35", "tax_rate": "20"},
]
BUYER = {"email": "ada@example.com", "name": "Ada Example", "currency": "EUR"}
HOST, REST_OF_HOST = "127", "0.0.1"


@pytest.fixture
async def shop() -> AsyncIterator[ShopifySandbox]:
    sandbox = ShopifySandbox("example.myshopify.com", quota_scale=100)
    url = await sandbox.start()
    sandbox.url = url
    sandbox.http = aiohttp.ClientSession(url)
    session = shopify.Session
    session.setup(protocol="http", myshopify_domain=REST_OF_HOST, port=int(url.rsplit(":", 1)[1]))
    yield sandbox
    session.setup(protocol="https", myshopify_domain="myshopify.com", port=None)
    await sandbox.http.close()
    await sandbox.stop()


async def act(sandbox: ShopifySandbox, verb: str, **asked: Any) -> dict[str, Any]:
    async with sandbox.http.post(f"/_sandbox/act/{verb}", json=asked) as reply:
        body = await reply.json()
        assert reply.status == 200, body
        return body


async def books(sandbox: ShopifySandbox, kind: str) -> list[dict[str, Any]]:
    async with sandbox.http.get("/_sandbox/books") as reply:
        rows = [json.loads(line) for line in (await reply.text()).splitlines()]
    return [row for row in rows if row["kind"] == kind]


async def client(work: Callable[..., Any], *args: Any, token: str = ShopifySandbox.token, **more: Any) -> Any:
    """Run *work* in a thread of its own: the client blocks, and keeps its session by thread."""

    def run() -> Any:
        shopify.ShopifyResource.activate_session(shopify.Session(HOST, "2026-07", token))
        try:
            return work(*args, **more)
        finally:
            shopify.ShopifyResource.clear_session()

    return await asyncio.to_thread(run)


async def graphql(query: str, *, token: str = ShopifySandbox.token, **variables: Any) -> dict[str, Any]:
    return json.loads(await client(lambda: shopify.GraphQL().execute(query, variables), token=token))


async def test_the_client_reads_orders_payments_refunds_and_parcels(shop: ShopifySandbox) -> None:
    made = await act(shop, "create_order", reference="SO-1", lines=LINES, shipping="4.90", **BUYER)
    await act(shop, "pay_order", id=made["id"], gateway="card", reference="pi_1")
    await act(shop, "fulfil_order", id=made["id"], carrier="UPS", tracking="1Z9")
    await act(shop, "refund_order", id=made["id"], amount="10.00")

    def read() -> Any:
        order = shopify.Order.find(int(made["id"]))
        return order, order.transactions(), shopify.Refund.find(order_id=order.id), shopify.Shop.current()

    order, transactions, refunds, shop_record = await client(read)
    assert (order.name, order.total_price, order.total_tax) == ("SO-1", "78.48", "12.26")
    assert (order.financial_status, order.fulfillment_status) == ("partially_refunded", "fulfilled")
    assert [(one.kind, one.amount) for one in transactions] == [("sale", "78.48"), ("refund", "10.00")]
    assert refunds[0].transactions[0].parent_id == transactions[0].id
    assert order.fulfillments[0].tracking_number == "1Z9"
    assert shop_record.myshopify_domain == "example.myshopify.com"


async def test_the_client_writes_orders(shop: ShopifySandbox) -> None:
    def write() -> Any:
        order = shopify.Order.create({"line_items": [{"title": "Mug", "quantity": 2, "price": "5.00"}], "note": "a"})
        order.note = "b"
        order.save()
        order.cancel(reason="customer")
        return order

    order = await client(write)
    assert order.errors.errors == {}
    row = (await books(shop, "order"))[0]
    assert (row["note"], row["status"], row["total"]) == ("b", "cancelled", "10.00")


async def test_the_client_is_told_what_it_did_wrong(shop: ShopifySandbox) -> None:
    with pytest.raises(ResourceNotFound):
        await client(shopify.Order.find, 1)
    refused = await client(shopify.Order.create, {"line_items": []})
    assert refused.errors.full_messages()
    with pytest.raises(UnauthorizedAccess):
        await client(shopify.Order.find, token="wrong")


async def test_legacy_calls_have_a_bucket(shop: ShopifySandbox) -> None:
    shop.calls.capacity = shop.calls._points = 2
    shop.calls.per_second = 0.001
    for _ in range(2):
        await client(shopify.Shop.current)
    with pytest.raises(ClientError) as caught:
        await client(shopify.Shop.current)
    assert caught.value.code == 429
    assert caught.value.response.headers["Retry-After"] == "2.0"


async def test_graphql_runs_through_the_client(shop: ShopifySandbox) -> None:
    made = await act(shop, "create_order", reference="SO-2", lines=LINES, **BUYER)
    query = "query($id: ID!) { order(id: $id) { name canMarkAsPaid totalPriceSet { shopMoney { amount } } } }"
    answer = await graphql(query, id=f"gid://shopify/Order/{made['id']}")
    total = {"shopMoney": {"amount": "73.58"}}
    assert answer["data"]["order"] == {"name": "SO-2", "canMarkAsPaid": True, "totalPriceSet": total}
    assert answer["extensions"]["cost"]["throttleStatus"]["restoreRate"] == 100 * 100


async def test_a_field_that_does_not_exist_is_an_error(shop: ShopifySandbox) -> None:
    answer = await graphql("{ shop { nonsense } }")
    assert "nonsense" in answer["errors"][0]["message"]


async def test_a_refund_needs_a_key_and_the_same_key_refunds_once(shop: ShopifySandbox) -> None:
    made = await act(shop, "create_order", reference="SO-3", lines=LINES, **BUYER)
    paid = await act(shop, "pay_order", id=made["id"], gateway="card")
    gid = f"gid://shopify/Order/{made['id']}"
    parent = f"gid://shopify/OrderTransaction/{paid['id']}"
    move = {"orderId": gid, "parentId": parent, "gateway": "card", "kind": "REFUND", "amount": "5.00"}
    wish = {"orderId": gid, "transactions": [move]}
    keyless = "mutation($i: RefundInput!) { refundCreate(input: $i) { refund { id } userErrors { message } } }"
    assert "@idempotent" in (await graphql(keyless, i=wish))["errors"][0]["message"]
    keyed = keyless.replace("input: $i)", 'input: $i) @idempotent(key: "k1")')
    first, second = await graphql(keyed, i=wish), await graphql(keyed, i=wish)
    assert first["data"] == second["data"]
    assert len(await books(shop, "refund")) == 1
    other = await graphql(keyed, i={**wish, "note": "another"})
    assert "idempotency key" in other["errors"][0]["message"]


async def test_an_empty_bucket_answers_200_throttled(shop: ShopifySandbox) -> None:
    shop.points.capacity = shop.points._points = 5
    shop.points.per_second = 0.001
    answer = await graphql("{ orders(first: 200) { nodes { id lineItems(first: 200) { nodes { id } } } } }")
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert answer["extensions"]["cost"]["requestedQueryCost"] > 5


async def test_search_lags_and_reads_by_id_do_not(shop: ShopifySandbox) -> None:
    shop.injector.faults = shop.faults.changed({"visibility_lag_s": 60})
    made = await act(shop, "create_order", reference="SO-4", lines=LINES, **BUYER)
    found = await graphql('{ orders(first: 5, query: "name:SO-4") { nodes { id } } }')
    assert found["data"]["orders"]["nodes"] == []
    read = await graphql("query($id: ID!) { order(id: $id) { name } }", id=f"gid://shopify/Order/{made['id']}")
    assert read["data"]["order"]["name"] == "SO-4"


async def test_every_change_is_a_signed_webhook(shop: ShopifySandbox) -> None:
    got: list[tuple[Any, bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((request.headers.copy(), await request.read()))
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/in", receive)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    await shop.http.post("/_sandbox/webhooks", json={"url": url, "secret": "hush"})
    made = await act(shop, "create_order", reference="SO-5", lines=LINES, **BUYER)
    await act(shop, "pay_order", id=made["id"], gateway="card")
    await act(shop, "fulfil_order", id=made["id"], tracking="1Z")
    await act(shop, "deliver_order", id=made["id"])
    await act(shop, "refund_order", id=made["id"], lines=[{"sku": "PEN", "quantity": 1}], amount="1.62")
    await act(shop, "edit_order", id=made["id"], note="ring twice")
    await act(shop, "cancel_order", id=made["id"], reason="customer")
    await act(shop, "delete_order", id=made["id"])
    async with asyncio.timeout(60):
        while shop.hooks.pending:  # noqa: ASYNC110 - the other side is a socket
            await asyncio.sleep(0.01)
    await runner.cleanup()
    got = [one for one in got if not one[0]["X-Shopify-Topic"].startswith("customers/")]  # another key, another lane
    topics = [headers["X-Shopify-Topic"] for headers, _ in got]
    assert topics == [
        "orders/create",
        "order_transactions/create", "orders/updated", "orders/paid",
        "fulfillments/create", "orders/updated", "orders/fulfilled",
        "fulfillment_events/create", "fulfillments/update", "orders/updated",
        "order_transactions/create", "refunds/create", "orders/updated",
        "orders/updated",
        "orders/cancelled", "orders/updated",
        "orders/delete",
    ]  # fmt: skip
    for headers, body in got:
        signature = b64encode(hmac.new(b"hush", body, hashlib.sha256).digest()).decode()
        assert headers["X-Shopify-Hmac-Sha256"] == signature
    last = json.loads(got[-2][1])
    assert last["cancelled_at"]
    assert last["current_total_price"] == str(Decimal("73.58") - Decimal("1.62"))


async def test_client_credentials_give_a_token_that_works(shop: ShopifySandbox) -> None:
    form = {"grant_type": "client_credentials", "client_id": "any", "client_secret": shop.client_secret}
    async with shop.http.post("/admin/oauth/access_token", data=form) as reply:
        token = (await reply.json())["access_token"]
    assert (await graphql("{ shop { name } }", token=token))["data"] == {"shop": {"name": "example"}}


@pytest.mark.parametrize(("how", "kinds"), [("cent", 1), ("remove", 0), ("double", 2)])
async def test_tampering_is_silent(shop: ShopifySandbox, how: str, kinds: int) -> None:
    made = await act(shop, "create_order", reference="SO-6", lines=LINES, **BUYER)
    await act(shop, "pay_order", id=made["id"], gateway="card")
    shop.hooks.add("http://127.0.0.1:9/nobody", "secret")
    emitted = shop.hooks.counts["emitted"]
    await act(shop, "tamper", how=how)
    paid = await books(shop, "payment")
    assert len(paid) == kinds
    assert how != "cent" or paid[0]["amount"] == "73.59"
    assert shop.hooks.counts["emitted"] == emitted
