"""The call-back on this machine: one page, one answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from aiohttp import web

from app.core.errors import AuthError, ConfigError

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>o2c</title>
<p>o2c has the answer: the terminal tells what came of it. You may close this page.</p></html>"""
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def callback(port: int) -> str:
    """Return the call-back of a listener at *port*, as it is registered with the platform."""
    return f"http://localhost:{port}/callback"


class Listener:
    """Hears the first call-back."""

    def __init__(self, redirect_uri: str) -> None:
        """*redirect_uri* is what the platform sends the browser to."""
        self.redirect_uri = redirect_uri
        self._heard: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def page(self, request: web.Request) -> web.Response:
        """Take the answer and send the person back to the terminal."""
        if not self._heard.done():
            self._heard.set_result(dict(request.query))
        return web.Response(text=_PAGE, content_type="text/html", headers=_HEADERS)

    async def answer(self, connection: str, seconds: float) -> dict[str, str]:
        """Return the parameters of the call-back; AuthError when none comes within *seconds*."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._heard), seconds)
        except TimeoutError as error:
            raise AuthError(
                f"No consent came within {seconds:g} s; run `o2c connect {connection}` again, "
                "with --paste where the browser cannot reach this machine."
            ) from error


@contextlib.asynccontextmanager
async def listening(port: int, redirect_uri: str) -> AsyncIterator[Listener]:
    """Listen on 127.0.0.1; without a *redirect_uri* the call-back is this listener itself."""
    path = urlsplit(redirect_uri or callback(port)).path or "/"
    listener = Listener(redirect_uri)
    app = web.Application()
    app.router.add_get(path, listener.page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"Port {port} of this machine is taken; choose another by --port, and register that call-back."
            ) from error
        if not redirect_uri:
            listener.redirect_uri = callback(runner.addresses[0][1])
        yield listener
    finally:
        await runner.cleanup()
