"""The HTTP client against a server that drops the line: a write leaves once."""

from __future__ import annotations

import pytest
from aiohttp import web

from app.core.errors import ConfigError, RejectedError, RetryableError, UncertainError
from app.core.http import HttpClient, is_public, new_session
from app.core.talk import Request

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_a_write_on_a_dropped_line_arrives_once_and_is_uncertain(method: str) -> None:
    arrivals = []

    async def drop(request: web.Request) -> web.Response:
        arrivals.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/ok", _fine)
    app.router.add_route("*", "/drop", drop)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with new_session(allow_private=True, timeout=30) as session:
        client = HttpClient(session, url, allow_private=True)
        assert (await client.send(Request(method="GET", path="/ok"), {}, {})).status == 200
        with pytest.raises(UncertainError):
            await client.send(Request(method=method, path="/drop", mutates=True), {}, {})
        with pytest.raises(RetryableError):
            await client.send(Request(method="GET", path="/drop"), {}, {})
    await runner.cleanup()
    assert arrivals.count(method) == 1


async def _fine(_: web.Request) -> web.Response:
    return web.json_response({})


async def test_nobody_listening_is_certainly_not_done() -> None:
    async with new_session(allow_private=True, timeout=30) as session:
        client = HttpClient(session, "http://127.0.0.1:9", allow_private=True)
        with pytest.raises(RetryableError):
            await client.send(Request(method="POST", path="/", mutates=True), {}, {})


@pytest.mark.parametrize(
    "url", ["http://example.com", "https://127.0.0.1", "https://10.0.0.1", "https://[::1]", "https://169.254.169.254"]
)
async def test_private_and_plain_addresses_are_refused_unless_allowed(url: str) -> None:
    async with new_session(allow_private=False, timeout=30) as session:
        with pytest.raises(ConfigError):
            HttpClient(session, url, allow_private=False)


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    async with new_session(allow_private=False, timeout=30) as session:
        client = HttpClient(session, "https://localhost", allow_private=False)
        with pytest.raises(RetryableError):
            await client.send(Request(method="GET", path="/"), {}, {})


@pytest.mark.parametrize(
    ("address", "public"), [("8.8.8.8", True), ("192.168.0.1", False), ("::ffff:10.0.0.1", False), ("fe80::1", False)]
)
def test_public_addresses(address: str, public: bool) -> None:  # noqa: FBT001 - a table
    assert is_public(address) is public


@pytest.mark.parametrize("address", ["2002:a00:1::", "64:ff9b::a00:1", "0.0.0.0", "224.0.0.1", "100.64.0.1", "::"])  # noqa: S104 - refused
def test_private_addresses_in_other_clothes(address: str) -> None:
    assert not is_public(address)


async def test_credentials_go_to_no_other_host() -> None:
    async with new_session(allow_private=False, timeout=30) as session:
        client = HttpClient(session, "https://api.example.com", allow_private=False, also=("https://id.example.com/t",))
        for url in ("https://evil.example.net/next", "https://api.example.com.evil.example.net/"):
            with pytest.raises(RejectedError):
                await client.send(Request(method="GET", path=url), {"Authorization": "secret"}, {})


async def test_a_file_elsewhere_is_asked_for_to_the_letter_and_without_a_credential() -> None:
    asked: list[tuple[str, frozenset[str]]] = []

    async def file(request: web.Request) -> web.Response:
        asked.append((request.raw_path, frozenset(request.headers)))
        return web.Response(body=b"{}")

    app = web.Application()
    app.router.add_get("/{name:.*}", file)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    path = "/a%2Fb/1.json?X-Credential=A%2F2026&X-Signature=a%2Bb%3D%7E"
    url = f"http://localhost:{runner.addresses[0][1]}{path}"
    async with new_session(allow_private=True, timeout=30) as session:
        client = HttpClient(session, "http://127.0.0.1:9", allow_private=True)
        assert (await client.send(Request(method="GET", path=url, bare=True), {}, {})).body == b"{}"
        with pytest.raises(RejectedError):
            await client.send(Request(method="GET", path=url), {"Authorization": "secret"}, {})
    await runner.cleanup()
    ((raw, headers),) = asked
    assert raw == path
    assert not {"Authorization", "Cookie", "Referer"} & headers


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.com/1.json",
        "https://127.0.0.1/1.json",
        "https://[::1]/1.json",
        "https://169.254.169.254/latest/meta-data",
        "https://127.1/1.json",
        "https://user:word@files.example.com/1.json",
        "https://files.example.com\r\nX: y/1.json",
        "ftp://files.example.com/1.json",
        "/1.json",
        "",
    ],
)
async def test_a_file_at_no_public_address_is_not_asked_for(url: str) -> None:
    async with new_session(allow_private=False, timeout=30) as session:
        client = HttpClient(session, "https://api.example.com", allow_private=False)
        with pytest.raises(RejectedError):
            await client.send(Request(method="GET", path=url, bare=True), {}, {})


async def test_a_file_whose_host_resolves_to_a_private_address_is_not_asked_for() -> None:
    async with new_session(allow_private=False, timeout=30) as session:
        client = HttpClient(session, "https://api.example.com", allow_private=False)
        with pytest.raises(RetryableError):
            await client.send(Request(method="GET", path="https://localhost/1.json", bare=True), {}, {})
