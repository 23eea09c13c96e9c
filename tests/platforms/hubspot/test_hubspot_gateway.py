"""HubSpot's deliveries at the gateway: what strangers send, and the record that a workflow posts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from app.config.model import ResolvedConnection
from app.core.metrics import new_metrics
from app.deliveries.record import Delivery
from app.deliveries.translating import Meaning, meaning
from app.gateway.addresses import addresses
from app.gateway.server import Gateway
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from streams.sources.platforms.hubspot import HubspotSource
from tests.platforms.hubspot.plain import NOW, PORTAL

SECRET, PUBLIC = "made-up-secret", "https://hooks.example.com"
OWN, SHARED = "/hooks/acme/crm", "/hooks/hubspot/default"
POSTED = {"objectId": 7, "objectTypeId": "0-3", "properties": {"dealname": "Order 1001"}}


def _behind(account: str, name: str) -> ResolvedConnection:
    connection = Connection(
        name=name, tenant="acme", platform="hubspot", account=account, options={"legacy_signatures": "yes"}
    )
    return ResolvedConnection(
        connection=connection,
        secrets={"webhook_secret": SECRET},
        allow_private=False,
        sweep_seconds=300,
        quota_share=1.0,
    )


ADDRESSES = addresses([_behind(PORTAL, "crm"), _behind("33", "other")], {"hubspot": HubspotSource})


class Kept:
    """Kafka, as far as the gateway needs it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def keep(self, key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        del key, headers
        self.bodies.append(body)

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        raise NotImplementedError

    async def answers(self) -> bool:
        return True


@pytest.fixture
async def door() -> AsyncIterator[tuple[TestClient[Any, Any], Kept]]:
    kept = Kept()
    gateway = Gateway(ADDRESSES, kept, new_metrics(), public_url=PUBLIC, clock=lambda: NOW)
    async with TestClient(TestServer(gateway.app())) as client:
        yield client, kept


def _v2(path: str, body: bytes) -> Mapping[str, str]:
    signed = SECRET.encode() + b"POST" + (PUBLIC + path).encode() + body
    return {"X-HubSpot-Signature": hashlib.sha256(signed).hexdigest(), "X-HubSpot-Signature-Version": "v2"}


def _v3(path: str, body: bytes, at: datetime = NOW) -> Mapping[str, str]:
    stamp = str(round(at.timestamp() * 1000))
    digest = hmac.digest(SECRET.encode(), b"POST" + (PUBLIC + path).encode() + body + stamp.encode(), "sha256")
    return {"X-HubSpot-Signature-v3": base64.b64encode(digest).decode(), "X-HubSpot-Request-Timestamp": stamp}


def _meaning(path: str, body: bytes) -> Meaning:
    owner, _, name = path.removeprefix("/hooks/").partition("/")
    delivery = Delivery(owner=owner, name=name, received=datetime.now(UTC), trace="t", headers={}, body=body)
    return meaning(ADDRESSES[owner, name], delivery)


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1" * 400, "9" * 5000, "²", "1e3"])
@pytest.mark.parametrize("path", [OWN, SHARED])
async def test_a_time_that_is_none_is_a_strangers(
    door: tuple[TestClient[Any, Any], Kept], path: str, stamp: str
) -> None:
    client, kept = door
    headers = {"X-HubSpot-Signature-v3": "x", "X-HubSpot-Request-Timestamp": stamp}
    assert (await client.post(path, data=b"[]", headers=headers)).status == 401
    assert kept.bodies == []


@pytest.mark.parametrize("sign", [_v2, _v3])
async def test_the_record_that_a_workflow_posts_reaches_its_connection(
    door: tuple[TestClient[Any, Any], Kept], sign: Any
) -> None:
    client, kept = door
    body = json.dumps(POSTED).encode()
    assert (await client.post(OWN, data=body, headers=sign(OWN, body))).status == 200
    assert (await client.post(OWN, data=body + b" ", headers=sign(OWN, body))).status == 401
    assert kept.bodies == [body]
    (hint,) = _meaning(OWN, body).hints
    assert (hint.object.connection, hint.object.type, hint.object.id) == ("crm", "deals", "7")


async def test_a_record_without_a_portal_is_nobodys_where_several_share_an_address() -> None:
    body = json.dumps(POSTED).encode()
    assert _meaning(SHARED, body).outcome == "ignored"
    named = json.dumps({**POSTED, "portalId": 33}).encode()
    (hint,) = _meaning(SHARED, named).hints
    assert hint.object.connection == "other"
