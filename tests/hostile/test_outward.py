"""What goes out: to no address that a stranger chose, in no query that a stranger completes, and to one tenant alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector, ThreadedResolver, web
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import ConfigError, RejectedError, RetryableError
from app.core.http import HttpClient, new_session
from app.core.status import from_status
from app.core.talk import Request
from app.roles.status_page import serve
from schemas.platforms.quickbooks_online.query import quoted as qbo_quoted
from schemas.refs import ObjectRef, order_key
from sinks.platforms.xero.asking import quoted as xero_quoted
from tests.hostile.cases import MADE_UP, load

PRIVATE = [
    "10.0.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "198.18.0.1", "240.0.0.1",  # noqa: S104 - refused
    "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:0:7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "fc00::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1",
]  # fmt: skip
"""Addresses that no platform has: local ones, reserved ones, and IPv4 in the clothes of IPv6."""
OTHERWISE_WRITTEN = [
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
    "127.0.0.1.",
    "localhost",
]
"""What an operating system, or the normalising of names, turns into 127.0.0.1."""
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
    async with new_session(allow_private=True, timeout=30) as session:
        client = HttpClient(session, f"http://127.0.0.1:{own}", allow_private=True)
        for method in ("GET", "POST"):
            reply = await client.send(Request(method=method, path="/"), {"Authorization": "secret"}, {})
            assert reply.status == 307
            assert from_status("x", reply, mutating=method == "POST") is not None
    await runner.cleanup()
    await first.cleanup()
    assert arrived == []


def _told(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> tuple[list[str], list[str]]:
    """Let names resolve to *answers*, one after another, the last for ever; return the names asked and addresses used."""
    asked: list[str] = []
    used: list[str] = []
    loop = asyncio.get_running_loop()

    async def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in answers[min(len(asked), len(answers)) - 1]
        ]

    async def connect(_: socket.socket, address: Sequence[Any]) -> None:
        used.append(str(address[0]))
        raise ConnectionRefusedError

    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    monkeypatch.setattr(loop, "sock_connect", connect)
    return asked, used


async def _ask(session: ClientSession, url: str = "https://api.example.com") -> str:
    """Return the name of the error of one request to *url*."""
    try:
        await HttpClient(session, url, allow_private=False).send(Request(method="GET", path="/"), {}, {})
    except (ConfigError, RejectedError, RetryableError) as error:
        return type(error).__name__
    return "sent"


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_private_address_is_connected_to_by_name_or_as_it_is(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, used = _told(monkeypatch, ["93.184.215.14", address])
    async with new_session(allow_private=False, timeout=2) as session:
        assert await _ask(session) == "RetryableError"
        assert await _ask(session, f"https://[{address}]" if ":" in address else f"https://{address}") == "ConfigError"
    assert used == []


@pytest.mark.parametrize("host", OTHERWISE_WRITTEN)
async def test_no_spelling_of_an_address_reaches_this_machine(host: str) -> None:
    arrived = []

    async def arrives(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(host)
        writer.close()

    server = await asyncio.start_server(arrives, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with new_session(allow_private=False, timeout=2) as session:
        assert await _ask(session, f"https://{host}:{port}") in {"ConfigError", "RetryableError"}
    server.close()
    await server.wait_closed()
    assert arrived == []


async def test_a_name_is_resolved_once_and_that_address_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, used = _told(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    async with new_session(allow_private=False, timeout=2) as session:
        assert await _ask(session) == "RetryableError"
        assert (asked, set(used)) == (["api.example.com"], {"93.184.215.14"})
        connector = session.connector
        assert isinstance(connector, TCPConnector)
        connector.clear_dns_cache()  # the name leads elsewhere by now
        assert await _ask(session) == "RetryableError"
    assert (asked, set(used)) == (["api.example.com"] * 2, {"93.184.215.14"})


async def test_what_a_resolver_lets_through_is_looked_at_before_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    _, used = _told(monkeypatch, ["127.0.0.1"])
    monkeypatch.setattr("app.core.http.GuardedResolver", ThreadedResolver)
    async with new_session(allow_private=False, timeout=2) as session:
        assert await _ask(session) == "RetryableError"
    assert used == []


@pytest.mark.parametrize(
    "path",
    [
        "@evil.example.net/x",
        ".evil.example.net/",
        ":8443/x",
        "https://api.example.com@evil.example.net/",
        "https://user:word@api.example.com/",
        "https://api.example.com:8443/",
        "https://api.example.com\\@evil.example.net/",
        "https:///evil.example.net/",
        "http://api.example.com/",
        "http://[",
        "/v1/invoices/../../admin",
        "/v1/invoices/%2e%2e/admin",
        "/v1/invoices/..%2fadmin",
        "/v1/invoices/..\\admin",
    ],
)
async def test_no_path_leads_to_another_host_or_out_of_its_own(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = _told(monkeypatch, ["93.184.215.14"])
    async with new_session(allow_private=False, timeout=1) as session:
        client = HttpClient(session, "https://api.example.com", allow_private=False)
        with pytest.raises(RejectedError, match=r"leads to another host|leads out of its path"):
            await client.send(Request(method="GET", path=path), {"Authorization": "secret"}, {})
    assert asked == []


@pytest.mark.parametrize(
    "url", ["https://user:word@api.example.com", "https://", "api.example.com", "ftp://x", "https://["]
)
async def test_a_base_url_that_is_none_is_refused_without_quoting_a_password(url: str) -> None:
    async with new_session(allow_private=True, timeout=1) as session:
        with pytest.raises(ConfigError) as refused:
            HttpClient(session, url, allow_private=True)
    assert "word" not in str(refused.value)


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
