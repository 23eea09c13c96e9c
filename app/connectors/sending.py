"""One connection's way out: quota, credential, idempotency key, one refresh after a 401."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import msgspec
import structlog

from app.config.model import ResolvedConnection
from app.core.auth import Credential
from app.core.errors import AuthError, RetryableError, UncertainError
from app.core.faultpoints import around
from app.core.http import HttpClient
from app.core.limits import Limiter
from app.core.status import asked_to_wait
from app.core.talk import Request, Response, Talk
from schemas.connection import Connection
from schemas.platform import Platform

log = structlog.get_logger(__name__)
_REFUSED = 400
_UNAUTHORISED = 401
_SERVER = 500
T = TypeVar("T")
Before = Callable[[], Awaitable[None]]
_DEFAULT_PAUSE = 30.0
_NAME = 100
"""Characters of a platform's name for a call that are kept."""


def http_of(resolved: ResolvedConnection, platform: Platform, session: aiohttp.ClientSession) -> HttpClient:
    """Return the client of a connection: where its platform lives, unless the configuration moved it."""
    connection = resolved.connection
    base = (connection.base_url or platform.base_url).format(account=connection.account, **connection.options)
    return HttpClient(
        session,
        base,
        allow_private=resolved.allow_private,
        moved=bool(connection.base_url),
        also=(platform.auth.token_url,),
    )


async def conversed(talk: Talk[T], send: Callable[[Request], Awaitable[Response]]) -> T:
    """Return what *talk* ends with, its requests sent by *send*; errors of *send* are not told to it."""
    try:
        request = next(talk)
        while True:
            request = talk.send(await send(request))
    except StopIteration as done:
        found: T = done.value
        return found


class Sending:
    """Sends requests of sources and sinks of one connection."""

    def __init__(
        self,
        connection: Connection,
        platform: Platform,
        http: HttpClient,
        credential: Credential,
        limiter: Limiter,
        *,
        heard: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Everything belongs to the connection's owner alone; *heard* is told "" for an answer, else what failed."""
        self._heard = heard
        self.connection, self._platform = connection, platform
        self._http, self._credential, self._limiter = http, credential, limiter
        self._served = platform.version

    async def __call__(self, request: Request, key: str = "", before: Before | None = None) -> Response:
        """Return the reply; AuthError when the credential is refused twice, RateLimited where all are to wait.

        *before* is awaited right before each socket write: after the wait for quota, with a fresh token at hand.
        """
        if request.bare:
            return await self._http.send(request, {}, {})
        try:
            async with self._limiter.turn(request.cost, request.priority) as number:
                response = await self._once(request, key, before)
        except (RetryableError, UncertainError) as error:
            self._heard(str(error))
            raise
        self._heard(f"{self._platform.title} answers {response.status}." if response.status >= _SERVER else "")
        self._limiter.heard(response.body, response.headers, number)
        self._note(request, response)
        self._look_at_version(response)
        zone, own = self.connection.time_zone, self._platform.refusals
        if (wait := asked_to_wait(self._platform.title, response, own, zone)) is not None:
            self._limiter.pause(_DEFAULT_PAUSE if wait.retry_after is None else wait.retry_after)
            raise wait
        return response

    def _note(self, request: Request, response: Response) -> None:
        """Log how the platform's support finds a call that was refused; not its path or body, which may name people."""
        name = response.headers.get(self._platform.support_header.lower(), "")[:_NAME]
        if name and response.status >= _REFUSED:
            told = {"method": request.method, "status": response.status, "support_id": name}
            log.info("call.refused", connection=self.connection.name, **told)

    def _look_at_version(self, response: Response) -> None:
        """Warn when another version of the API begins to serve than is spoken: what it changed may be read wrong."""
        served = response.headers.get(self._platform.version_header, self._served)
        if served not in {self._served, self._platform.version}:
            where = {"connection": self.connection.name, "spoken": self._platform.version, "served": served}
            log.warning("platform.other_version", **where)
        self._served = served

    async def _once(self, request: Request, key: str, before: Before | None) -> Response:
        used = self._credential.access
        response = await self._signed(request, key, before)
        if response.status != _UNAUTHORISED:
            return response
        if not self._credential.refreshes:
            raise AuthError(f"{self._platform.title} refuses the credential of {self.connection.name}.")
        await self._credential.refresh(used or self._credential.access)
        response = await self._signed(request, key, before)
        if response.status == _UNAUTHORISED:
            raise AuthError(f"{self._platform.title} refuses a fresh token of {self.connection.name}.")
        return response

    async def _signed(self, request: Request, key: str, before: Before | None) -> Response:
        place, _, name = request.key_in.partition(":")
        chosen = request.key or key
        said = self._platform.said(self.connection.account, self.connection.options)
        headers = {**said, **await self._credential.headers()}
        params: dict[str, str] = {}
        if chosen and place == "header":
            headers[name] = chosen
        elif chosen and place == "param":
            params[name] = chosen
        if before is not None:
            await before()
        while (seconds := self._limiter.crowded()) > 0:
            await asyncio.sleep(seconds)
            if before is not None:
                await before()
        self._limiter.leaves()
        async with around("send" if request.mutates else "ask", self.connection.name):
            return await self._http.send(self._filled(request), headers, params)

    def _filled(self, request: Request) -> Request:
        """Put the account into paths that hold it in braces."""
        if "{account}" not in request.path:
            return request
        return msgspec.structs.replace(request, path=request.path.replace("{account}", self.connection.account))
