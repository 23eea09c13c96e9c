"""Drive a Talk in tests: answered by hand, or sent to a sandbox over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import aiohttp

from app.core.talk import Request, Response, Talk

T = TypeVar("T")


def answer(talk: Talk[T], *replies: Response) -> tuple[list[Request], T]:
    """Return the requests that *talk* made and its result; too few replies fail the test."""
    requests: list[Request] = []
    rest = list(replies)
    try:
        request = next(talk)
        while True:
            requests.append(request)
            assert rest, f"unexpected request {request.method} {request.path}"
            request = talk.send(rest.pop(0))
    except StopIteration as done:
        assert not rest, f"{len(rest)} replies were not asked for"
        return requests, done.value


async def send(session: aiohttp.ClientSession, base_url: str, request: Request, headers: Mapping[str, str]) -> Response:
    """Send one Request as the delivery loop would, idempotency key included."""
    params, extra = dict(request.params), {**request.headers, **headers}
    place, _, name = request.key_in.partition(":")
    if place == "header":
        extra[name] = request.key or f"test-{request.step}"
    elif place == "param":
        params[name] = request.key or f"test-{request.step}"
    url = request.path if request.path.startswith("http") else base_url.rstrip("/") + request.path
    data, content_type = request.content()
    if content_type:
        extra.setdefault("Content-Type", content_type)
    async with session.request(request.method, url, params=params, headers=extra, data=data or None) as reply:
        body = await reply.read()
        return Response(status=reply.status, headers={k.lower(): v for k, v in reply.headers.items()}, body=body)


async def converse(talk: Talk[T], base_url: str, headers: Mapping[str, str]) -> T:
    """Run *talk* against the server at *base_url* and return its result."""
    async with aiohttp.ClientSession() as session:
        try:
            request = next(talk)
            while True:
                request = talk.send(await send(session, base_url, request, headers))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # StopIteration carries Any
