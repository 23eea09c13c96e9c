"""Xero's intent to receive at a real gateway: 200 to what is rightly signed, 401 to the rest, nothing but the status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import ClientSession

from app.config.model import ResolvedConnection
from app.core.metrics import new_metrics
from app.gateway.addresses import addresses
from app.gateway.server import Gateway
from app.roles.status_page import add_status_routes, serve
from app.sandbox.platforms.xero import XeroSandbox
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from streams.sources.platforms.xero import XeroSource

pytestmark = pytest.mark.sandbox
ACCOUNT, KEY = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f", "a-webhooks-key"
PATHS = ["/hooks/acme/books", "/hooks/xero/default"]


@dataclass
class Kept:
    """What the gateway kept."""

    bodies: list[bytes] = field(default_factory=list)

    async def keep(self, _key: bytes, body: bytes, _headers: Sequence[tuple[str, bytes]]) -> None:
        self.bodies.append(body)

    async def publish(self, _events: Sequence[ChangeEvent], _hints: Sequence[Hint]) -> None:
        raise AssertionError("a hook is kept, not published")

    async def answers(self) -> bool:
        return True


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, Kept]]:
    kept = Kept()
    resolved = ResolvedConnection(
        connection=Connection(name="books", tenant="acme", platform="xero", account=ACCOUNT),
        secrets={"webhook_secret": KEY}, allow_private=True, sweep_seconds=1, quota_share=1,
    )  # fmt: skip
    behind = addresses([resolved], {"xero": XeroSource})
    gateway = Gateway(behind, kept, new_metrics(), public_url="https://hooks.example.com", api_keys={})
    app = gateway.app()
    add_status_routes(app, gateway.metrics, live=dict, ready=gateway.wrong)
    runner, port = await serve(app, "127.0.0.1", 0, before=gateway.before)
    yield f"http://127.0.0.1:{port}", kept
    await runner.cleanup()


@pytest.mark.parametrize("path", PATHS)
async def test_the_portal_takes_the_gateways_answers_for_those_of_a_receiver(
    served: tuple[str, Kept], path: str
) -> None:
    sandbox = XeroSandbox(ACCOUNT)
    sandbox.hooks.add(served[0] + path, KEY)
    assert await cast("Any", sandbox.verbs["intent_to_receive"])({}) == {"active": True, "answers": 4}
    assert served[1].bodies == []


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_has_no_body_and_sets_no_cookie(served: tuple[str, Kept], path: str) -> None:
    sandbox = XeroSandbox(ACCOUNT)
    body = sandbox.delivery([])
    signature = sandbox.sign(body, "", KEY, sandbox.clock())["x-xero-signature"]
    wrong = ("B" if signature[0] == "A" else "A") + signature[1:]
    async with ClientSession() as session:
        for signed, status in ((signature, 200), (wrong, 401), (signature, 200), ("", 401)):
            headers = {"x-xero-signature": signed, "Content-Type": "application/json"}
            async with session.post(served[0] + path, data=body, headers=headers) as reply:
                assert (reply.status, await reply.read()) == (status, b"")
                assert "Set-Cookie" not in reply.headers
    assert served[1].bodies == []
