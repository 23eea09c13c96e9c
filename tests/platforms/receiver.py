"""A server that takes webhooks and remembers them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from streams.sources.base import Hook


class Receiver:
    """Everything that was posted, in order; `url` is its address."""

    def __init__(self) -> None:
        self.url = ""
        self.hooks: asyncio.Queue[Hook] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.hooks.put_nowait(Hook(url=str(request.url), headers=headers, body=await request.read()))
        return web.Response()

    async def next(self) -> Hook:
        return await asyncio.wait_for(self.hooks.get(), 5)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a receiver that runs."""
    found, app = Receiver(), web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()
