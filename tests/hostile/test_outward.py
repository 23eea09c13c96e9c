"""What goes out: to no address that a stranger chose, in no query that a stranger completes, and to one tenant alone."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import ConfigError, RejectedError
from app.core.http import GuardedResolver, HttpClient, new_session
from app.core.status import from_status
from app.core.talk import Request
from app.roles.status_page import serve
from schemas.platforms.quickbooks_online.query import quoted as qbo_quoted
from schemas.refs import ObjectRef, order_key
from sinks.platforms.xero.asking import quoted as xero_quoted
from tests.hostile.cases import MADE_UP, load

STRINGS = [case.body.decode() for case in load("strings", MADE_UP)] + [
    "' OR 1=1 --",
    "\\' or",
    '" or ""="',
    "%",
    "a\0b",
    "\\",
]


@pytest.mark.sandbox
async def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    arrived = []

    async def there(request: web.Request) -> web.Response:
        arrived.append(dict(request.headers))
        return web.json_response({})

    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{port}/"})

    other, app = web.Application(), web.Application()
    other.router.add_route("*", "/", there)
    app.router.add_route("*", "/", moved)
    runner, port = await serve(other, "127.0.0.1", 0)
    first, own = await serve(app, "127.0.0.1", 0)
    async with new_session(allow_private=True, timeout=5) as session:
        client = HttpClient(session, f"http://127.0.0.1:{own}", allow_private=True)
        for method in ("GET", "POST"):
            reply = await client.send(Request(method=method, path="/"), {"Authorization": "secret"}, {})
            assert reply.status == 307
            assert from_status("x", reply, mutating=method == "POST") is not None
    await runner.cleanup()
    await first.cleanup()
    assert arrived == []


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["0.0.0.0"]]  # noqa: S104
)  # fmt: skip
async def test_a_name_with_one_private_address_is_refused(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lookup(*asked: Any, **how: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    with pytest.raises(OSError, match="not a public address"):
        await GuardedResolver().resolve("api.example.com", 443)


@pytest.mark.parametrize(
    "path",
    [
        "@evil.example.net/x",
        ".evil.example.net/",
        "https://api.example.com@evil.example.net/",
        "http://api.example.com/",
    ],
)
async def test_no_path_leads_to_another_host(path: str) -> None:
    async with new_session(allow_private=False, timeout=1) as session:
        client = HttpClient(session, "https://api.example.com", allow_private=False)
        with pytest.raises((RejectedError, ConfigError)):
            await client.send(Request(method="GET", path=path), {"Authorization": "secret"}, {})


def _read(text: str, quote: str) -> list[str]:
    """Return the literals of a list as a reader of the query language takes them; ValueError when one does not end."""
    found, at = [], 0
    while at < len(text):
        if text[at] != quote:
            raise ValueError(text[at:])
        at, value = at + 1, ""
        while text[at] != quote:
            at += text[at] == "\\"
            value += text[at]
            at += 1
        found.append(value)
        at += 2 if text[at + 1 : at + 2] == "," else 1
    return found


@given(st.lists(st.one_of(st.sampled_from(STRINGS), st.text("'\\\"%,; ab", max_size=12)), min_size=1, max_size=3))
def test_no_value_ends_its_literal(values: list[str]) -> None:
    assert _read(qbo_quoted(values), "'") == values
    for value in values:
        assert _read(xero_quoted(value), '"') == ["".join(sign for sign in value if sign.isprintable())]


def test_equal_ids_of_two_tenants_are_two_orders() -> None:
    ref = ObjectRef("shop", "1", "order", "7")
    assert order_key("acme", ref) != order_key("beta", ref)
