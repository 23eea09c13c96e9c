"""HubSpot's app subscriptions in conversation with the sandbox, held to the vendor's OpenAPI files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from app.core.errors import AuthError, DecodeError, RejectedError
from app.core.talk import Response, Talk
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.server import CLIENT, DEVELOPER_KEY
from schemas.connection import Connection
from streams.sources.base import Hook
from streams.sources.platforms.hubspot import HubspotSource
from streams.sources.platforms.hubspot.subscribing import HubspotSubscriber
from streams.sources.subscribing import Subscription
from tests.platforms.conversation import answer
from tests.platforms.hubspot.spec import Spec
from tests.platforms.receiver import receiver

pytestmark = pytest.mark.sandbox
T = TypeVar("T")
PORTAL = "48975575"
SOURCE = HubspotSource(
    Connection(name="crm", tenant="acme", platform="hubspot", account=PORTAL, options={"app_id": "39522895"})
)
SUBSCRIBER = HubspotSubscriber("39522895")
ADDRESS = "https://hooks.example.com/hooks/hubspot/default"
(WANTED,) = SUBSCRIBER.wanted(ADDRESS, SOURCE.topics())


class App:
    """Speaks with the app's settings as o2c does; the files judge both sides."""

    def __init__(self, sandbox: HubspotSandbox, url: str, spec: Spec, session: aiohttp.ClientSession) -> None:
        self.sandbox, self._url, self._spec, self._session = sandbox, url, spec, session
        self.mutating = 0

    async def talk(self, talk: Talk[T]) -> T:
        try:
            request = next(talk)
            while True:
                self.mutating += request.mutates
                body, _ = request.content()
                self._spec.check_request(request.method, request.path, body, {})
                asked = {"params": {"hapikey": DEVELOPER_KEY}, "data": body or None}
                async with self._session.request(request.method, self._url + request.path, **asked) as reply:
                    content = await reply.read()
                self._spec.check_reply(request.method, request.path, reply.status, content)
                request = talk.send(Response(status=reply.status, body=content))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # StopIteration carries Any


@pytest.fixture
async def app(shared: Path) -> AsyncIterator[App]:
    sandbox = HubspotSandbox(quota_scale=100)
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        yield App(sandbox, url, Spec(shared / "specs" / "hubspot"), session)
    await sandbox.stop()


@pytest.mark.parametrize("options", [{}, {"order_object": "orders"}, {"commerce": "yes", "po_property": "po"}])
def test_every_topic_is_one_that_the_source_reads_for(options: dict[str, str]) -> None:
    source = HubspotSource(Connection(name="crm", tenant="a", platform="hubspot", account="7", options=options))
    topics = source.topics()
    assert len(topics) == len(set(topics)) < 1000
    for topic in topics:
        event, *rest = topic.split(" ")
        told: dict[str, Any] = {"portalId": 7, "subscriptionType": event, "objectId": 5, "fromObjectId": 5}
        told |= {"associationType": "DEAL_TO_CONTACT", "toObjectId": 6, "primaryObjectId": 5, "mergedObjectIds": [4]}
        if event.startswith("object."):
            told["objectTypeId"] = rest[0]
            told |= {"fromObjectTypeId": rest[0], "toObjectTypeId": "0-1"}
        assert source.hints(Hook(body=json.dumps([told]).encode())), topic


def test_what_a_connection_follows_decides_what_is_asked_for() -> None:
    assert {"deal.creation", "deal.propertyChange dealstage", "contact.propertyChange email"} <= set(SOURCE.topics())
    assert [topic for topic in SOURCE.topics() if "privacyDeletion" in topic] == ["contact.privacyDeletion"]
    assert not any("0-123" in topic or "hs_lastmodifieddate" in topic for topic in SOURCE.topics())
    options = {"order_object": "orders", "commerce": "yes", "number_property": "shop_number"}
    orders = HubspotSource(Connection(name="crm", tenant="a", platform="hubspot", account="7", options=options))
    wanted = {"object.creation 0-123", "object.propertyChange 0-123 shop_number", "object.deletion 0-53"}
    assert wanted <= set(orders.topics())
    assert orders.subscriber() is None


async def test_what_was_registered_is_delivered_genuine(app: App) -> None:
    async with receiver() as hooks:
        (wanted,) = SUBSCRIBER.wanted(f"{hooks.url}/hooks/hubspot/default", SOURCE.topics())
        assert await app.talk(SUBSCRIBER.found()) == []
        await app.talk(SUBSCRIBER.create(wanted))
        (found,) = await app.talk(SUBSCRIBER.found())
        assert (set(found.topics), found.address) == (set(wanted.topics), wanted.address)
        made: Any = app.sandbox.verbs["create_deal"]({"name": "Order 1", "amount": "5"})
        hook = await hooks.next()
    assert SOURCE.verify(hook, [CLIENT[1]], datetime.now(UTC))
    assert {hint.object.id for hint in SOURCE.hints(hook)} == {made["id"]}


async def test_only_what_was_subscribed_to_is_told(app: App) -> None:
    async with receiver() as hooks:
        await app.talk(
            SUBSCRIBER.create(Subscription(topics=("deal.propertyChange dealname",), address=f"{hooks.url}/"))
        )
        app.sandbox.verbs["create_deal"]({"name": "Order 1", "amount": "5"})
        told = json.loads((await hooks.next()).body)
    assert [event.get("propertyName") for event in told] == ["dealname"]


async def test_paused_and_missing_topics_come_back_and_strangers_stay(app: App) -> None:
    foreign = Subscription(
        topics=("company.creation", *WANTED.topics[:3]), address="https://old.example.com/hooks/hubspot/default"
    )
    await app.talk(SUBSCRIBER.create(foreign))
    paused = app.sandbox.subscriptions.call("GET", ["1", "subscriptions"], {})[1]["results"][1]  # type: ignore[index]
    app.sandbox.subscriptions.call("PATCH", ["1", "subscriptions", paused["id"]], {"active": False})
    (found,) = await app.talk(SUBSCRIBER.found())
    assert WANTED.topics[0] not in found.topics
    await app.talk(SUBSCRIBER.update(found, WANTED))
    (now,) = await app.talk(SUBSCRIBER.found())
    assert (set(now.topics), now.address) == ({*WANTED.topics, "company.creation"}, ADDRESS)
    before = app.mutating
    await app.talk(SUBSCRIBER.update(now, WANTED))
    assert app.mutating == before
    await app.talk(SUBSCRIBER.delete(now, WANTED.topics))
    (left,) = await app.talk(SUBSCRIBER.found())
    assert (left.topics, left.address) == (("company.creation",), ADDRESS)
    await app.talk(SUBSCRIBER.delete(left, ("company.creation",)))
    assert await app.talk(SUBSCRIBER.found()) == []


async def test_the_address_of_somebody_else_is_not_taken(app: App) -> None:
    await app.talk(SUBSCRIBER.create(Subscription(topics=(), address="https://crm.example.com/in")))
    with pytest.raises(RejectedError, match=r"delivers to https://crm\.example\.com/in .*; use another app"):
        await app.talk(SUBSCRIBER.create(WANTED))
    assert (await app.talk(SUBSCRIBER.found()))[0].topics == ()


def test_a_refused_key_and_an_odd_reply_are_told() -> None:
    with pytest.raises(AuthError):
        answer(SUBSCRIBER.found(), Response(status=401, body=b"{}"))
    with pytest.raises(DecodeError):
        answer(SUBSCRIBER.found(), Response(status=404), Response(status=200, body=b'{"results": [1]}'))


def test_a_refused_subscription_names_its_topic() -> None:
    there = Response(status=200, body=b'{"targetUrl": "https://hooks.example.com/hooks/hubspot/default"}')
    none = Response(status=200, body=b'{"results": []}')
    with pytest.raises(RejectedError, match=r"HubSpot answered 400: deal\.creation\."):
        answer(SUBSCRIBER.create(WANTED), there, none, Response(status=400, body=b"{}"))


async def test_without_the_developer_key_the_settings_are_shut(app: App) -> None:
    async with app._session.get(app._url + "/app-webhooks/2026-09/1/settings") as reply:
        assert reply.status == 401
