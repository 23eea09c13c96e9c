"""The HTTP API: keys, roles, tenants and problems. What is told to the workers is tested on a real Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openapi_core
import pytest
from aiohttp.test_utils import TestClient, TestServer
from openapi_core.testing import MockRequest, MockResponse
from pydantic import SecretStr

from app.config.kafka import KafkaConfig
from app.config.model import (
    ApiKeyConfig,
    ConnectionConfig,
    ConsoleConfig,
    FlowConfig,
    Settings,
    TargetConfig,
    TenantConfig,
)
from app.console.asking import ANSWERS, LOOKS
from app.console.records import short_id
from app.console.routes import DOCUMENT, ROLES, ROUTES, Route, openapi
from app.console.server import Api
from app.console.store import Store
from app.console.telling import Teller
from app.core.metrics import Metrics, new_metrics
from tests.made_up import KEY, PAYMENT, history, parked, parked_look

PATHS = {
    "{key}": KEY,
    "{field}": "note",
    "{id}": short_id(PAYMENT.key),
    "connections/{name}": "connections/books",
    "flows/{name}": "flows/web",
}
OF_THE_MODEL = [route for route in ROUTES if route.name in ANSWERS]
"""How connections stand is asked of Kafka: tests/e2e/test_console.py."""
TENANTS = tuple(
    TenantConfig(
        tenant=name,
        connections={connection: ConnectionConfig(platform=platform) for connection, platform in connections.items()},
        flows=(FlowConfig(name=flow, key_giver=next(iter(connections)), targets=(TargetConfig(connection=target),)),),
    )
    for name, flow, connections, target in (
        ("acme", "web", {"shop": "shopify", "books": "xero"}, "books"),
        ("other", "fair", {"till": "shopify", "ledger": "xero"}, "ledger"),
    )
)
BODIES = {"linkParked": {"order": "SO-1001"}, "mergeOrder": {"into": "SO-1001"}, "retryOrder": {"write": "books|pay"}}
API_KEYS = (
    *(
        ApiKeyConfig(name=role, tenant="acme", role=role, key=SecretStr(f"{role} of acme, long enough"))
        for role in ROLES
    ),
    ApiKeyConfig(name="rival", tenant="other", role="admin", key=SecretStr("admin of other, long enough")),
)


def word(who: str) -> dict[str, str]:
    key = next(key for key in API_KEYS if key.name == who)
    return {"Authorization": f"Bearer {key.key.get_secret_value()}"}


def path(route: Route) -> str:
    found = route.path
    for name, value in PATHS.items():
        found = found.replace(name, value)
    return found + ("?id=SO-1001" if route.name == "findOrders" else "")


class Stand:
    """A server whose Kafka is away: whatever is told is refused with 503."""

    def __init__(self, client: TestClient[Any, Any], metrics: Metrics) -> None:
        self.client, self.metrics, self.made = client, metrics, True

    async def ask(self, method: str, where: str, who: str = "viewer", **more: Any) -> tuple[int, Any]:
        headers = word(who) if who else {}
        async with self.client.request(method, where, headers=headers, **more) as reply:
            return reply.status, await reply.json()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    settings = Settings(
        data_dir=tmp_path,
        kafka=KafkaConfig(bootstrap="127.0.0.1:1"),
        console=ConsoleConfig(api_keys=API_KEYS),
        tenants=TENANTS,
    )
    modes = {f"mode/{flow.name}": flow.mode for flow in settings.flows}
    store, metrics = Store(tmp_path / "c.sqlite", modes), new_metrics()
    store.apply([*history(), parked(), parked_look()])
    found: list[Stand] = []
    api = Api(settings, store, Teller(settings), metrics, lambda: found[0].made)
    async with TestClient(TestServer(api.app())) as client:
        found.append(Stand(client, metrics))
        yield found[0]
    store.close()


async def test_an_order_is_told_as_the_document_says(stand: Stand) -> None:
    status, found = await stand.ask("GET", "/api/orders?id=INV-0042")
    assert (status, [order["key"] for order in found["orders"]]) == (200, [KEY])
    status, view = await stand.ask("GET", f"/api/orders/{KEY}")
    assert (status, view["order"]["number"], len(view["hops"])) == (200, "SO-1001", 7)
    assert view["writes"][0]["requests"][0]["status"] == 200


@pytest.mark.parametrize(
    "route", [route for route in OF_THE_MODEL if route.method == "GET"], ids=lambda route: route.name
)
async def test_every_answer_is_valid_by_the_published_document(stand: Stand, route: Route) -> None:
    spec = openapi_core.OpenAPI.from_dict(openapi())
    where = path(route)
    async with stand.client.get(where, headers=word("viewer")) as reply:
        body, content_type = await reply.read(), reply.headers["Content-Type"]
        assert reply.status == 200
    arguments = {"id": "SO-1001"} if "?" in where else {}
    request = MockRequest("http://x", "get", where.partition("?")[0], args=arguments, headers=word("viewer"))
    spec.validate_response(request, MockResponse(body, 200, content_type=content_type.partition(";")[0]))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_each_role_reaches_as_far_as_the_route_says(stand: Stand, route: Route) -> None:
    for role in ROLES:
        status, told = await stand.ask(route.method, path(route), role, json=BODIES.get(route.name, {}))
        allowed = ROLES.index(role) >= ROLES.index(route.role)
        assert (status == 403) is not allowed
        assert allowed or told["next_step"] == f"Use a key of role {route.role}."


@pytest.mark.parametrize("route", OF_THE_MODEL, ids=lambda route: route.name)
async def test_another_tenant_sees_and_moves_nothing(stand: Stand, route: Route) -> None:
    status, told = await stand.ask(route.method, path(route), "rival", json=BODIES.get(route.name, {}))
    own = {"flow": "fair", "mode": "shadow", "configured": "shadow", "key_giver": "till", "targets": ["ledger"]}
    nothing: tuple[Any, ...] = ({"orders": []}, {"parked": []}, {"conflicts": []}, {"flows": [own]})
    assert (status, told in nothing) == (200, True) or (
        status == 404 and not any(word in told["next_step"] for word in (KEY, "web", "books"))
    )


async def test_a_flow_is_told_with_the_mode_in_force(stand: Stand) -> None:
    assert await stand.ask("GET", "/api/flows") == (
        200,
        {
            "flows": [
                {"flow": "web", "mode": "shadow", "configured": "shadow", "key_giver": "shop", "targets": ["books"]},
            ],
        },
    )  # fmt: skip


def test_every_route_has_one_answer() -> None:
    assert sorted([*ANSWERS, *LOOKS]) == sorted(route.name for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", "Basic viewer of acme, long enough"])
async def test_nobody_gets_in_without_a_key(stand: Stand, route: Route, header: str) -> None:
    async with stand.client.request(route.method, path(route), headers={"Authorization": header}) as reply:
        assert (reply.status, set(await reply.json())) == (401, {"error", "next_step"})


async def test_an_object_may_be_named_whole(stand: Stand) -> None:
    status, told = await stand.ask("GET", f"/api/parked/{quote(PAYMENT.key, safe='')}")
    assert (status, told["id"]) == (200, short_id(PAYMENT.key))


@pytest.mark.parametrize(
    ("method", "where", "who", "status"),
    [
        ("GET", "/api/orders", "viewer", 400),
        ("GET", "/api/orders/nothing", "viewer", 404),
        ("GET", "/api/nothing", "viewer", 404),
        ("DELETE", f"/api/orders/{KEY}", "viewer", 405),
        ("GET", "/api/parked/nothing", "viewer", 404),
        ("GET", "/api/parked?limit=0", "viewer", 400),
        ("GET", "/api/conflicts?limit=ten", "viewer", 400),
        ("POST", f"/api/orders/{KEY}/conflicts/email/revert", "admin", 409),
        ("POST", f"/api/parked/{short_id(PAYMENT.key)}/link", "operator", 400),
        ("POST", f"/api/orders/{KEY}/merge", "admin", 400),
        ("POST", f"/api/orders/{KEY}/retry", "operator", 503),
        ("POST", f"/api/orders/{KEY}/recreate", "admin", 409),
        ("POST", "/api/connections/nothing/pause", "operator", 404),
        ("POST", "/api/flows/nothing/stop", "operator", 404),
        ("GET", "/api/connections", "viewer", 503),
    ],
)
async def test_a_problem_is_one_sentence_and_the_next_step(
    stand: Stand, method: str, where: str, who: str, status: int
) -> None:
    code, told = await stand.ask(method, where, who)
    assert (code, set(told)) == (status, {"error", "next_step"})
    assert all(text.endswith(".") for text in told.values())


async def test_linking_to_an_order_that_nobody_knows_is_refused(stand: Stand) -> None:
    where = f"/api/parked/{short_id(PAYMENT.key)}/link"
    status, told = await stand.ask("POST", where, "operator", json={"order": "SO-9"})
    assert (status, told["error"]) == (404, "There is no order SO-9.")


async def test_nothing_is_told_before_everything_is_read(stand: Stand) -> None:
    stand.made = False
    assert (await stand.ask("GET", f"/api/orders/{KEY}"))[0] == 503


async def test_the_document_needs_no_key_and_answers_are_timed(stand: Stand) -> None:
    assert await stand.ask("GET", DOCUMENT, "") == (200, openapi())
    await stand.ask("GET", "/api/parked")
    assert b"o2c_console_seconds_count 1.0" in stand.metrics.exposition()


async def test_an_order_is_not_one_with_itself(stand: Stand) -> None:
    status, told = await stand.ask("POST", f"/api/orders/{KEY}/merge", "admin", json={"into": "INV-0042"})
    assert (status, told["error"]) == (409, "SO-1001 is that order already.")
