"""Two workers that refresh the same tokens at once, against a token endpoint that takes a refresh token once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio
from aiohttp import web

from app.core import auth
from app.core.auth import Credential, Tokens
from app.core.errors import AuthError
from app.core.http import HttpClient, new_session
from app.roles.status_page import serve
from schemas.platform import Auth

pytestmark = pytest.mark.sandbox
SECRETS = {"client_id": "app", "client_secret": "hush", "refresh_token": "r0"}


class Endpoint:
    """Gives new tokens for the newest refresh token and none for one that was used."""

    def __init__(self) -> None:
        self.good, self.numbers, self.refused = "r0", count(1), 0
        self.alive: set[str] = set()
        self.url = ""

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        await asyncio.sleep(0)
        if form["refresh_token"] != self.good:
            self.refused += 1
            return web.json_response({"error": "invalid_grant"}, status=400)
        number = next(self.numbers)
        self.good, access = f"r{number}", f"a{number}"
        self.alive.add(access)
        return web.json_response({"access_token": access, "refresh_token": self.good, "expires_in": 1800})


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found, app = Endpoint(), web.Application()
    app.router.add_post("/token", found.token)
    runner, port = await serve(app, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{port}"
    yield found
    await runner.cleanup()


class Shelf:
    """Where all workers store tokens; storing takes a moment, as Kafka does."""

    def __init__(self, seconds: float) -> None:
        self.tokens: Tokens | None = None
        self.looks = 0
        self._seconds = seconds

    async def store(self, tokens: Tokens) -> None:
        await asyncio.sleep(self._seconds)
        self.tokens = tokens

    async def stored(self) -> Tokens | None:
        self.looks += 1
        return self.tokens


def worker(endpoint: Endpoint, http: HttpClient, shelf: Shelf) -> Credential:
    rotating = Auth(kind="oauth2", token_url=f"{endpoint.url}/token", rotates=True)
    return Credential(rotating, SECRETS, http, clock=time.time, store=shelf.store, stored=shelf.stored)


@pytest.mark.parametrize("seconds", [0.0, 0.3])
async def test_of_workers_that_refresh_at_once_one_wins_and_none_is_locked_out(
    endpoint: Endpoint, seconds: float
) -> None:
    async with new_session(allow_private=True, timeout=30) as session:
        http, shelf = HttpClient(session, endpoint.url, allow_private=True), Shelf(seconds)
        workers = [worker(endpoint, http, shelf) for _ in range(4)]
        for _ in range(2):  # and again, from what the winner stored
            headers = await asyncio.gather(*(one.headers() for one in workers))
            assert {found["Authorization"] for found in headers} == {f"Bearer a{max(endpoint.alive)[1:]}"}
            await asyncio.gather(*(one.refresh(one.access) for one in workers))
    assert shelf.tokens is not None
    assert shelf.tokens.refresh == endpoint.good
    assert endpoint.refused, "nobody raced"


async def test_who_is_refused_and_finds_nothing_newer_says_so_soon(endpoint: Endpoint) -> None:
    async with new_session(allow_private=True, timeout=30) as session:
        http, shelf = HttpClient(session, endpoint.url, allow_private=True), Shelf(0)
        endpoint.good = "taken back"
        with pytest.raises(AuthError, match="invalid_grant"):
            await worker(endpoint, http, shelf).headers()
    assert shelf.looks == 1 + len(auth._LOOKS)
    assert sum(auth._LOOKS) < 5, "what it waits for by itself; how busy the machine is it cannot know"
    assert endpoint.refused == 1
