"""Health and metrics of a role over HTTP; health tells the truth or nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from app.core.errors import ConfigError
from app.core.metrics import CONTENT_TYPE, Metrics

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Probe = Callable[[], Mapping[str, str]]
"""Return what is wrong now: subject -> one sentence. Empty = fine."""


def add_status_routes(app: web.Application, metrics: Metrics, live: Probe, ready: Probe) -> None:
    """Serve /metrics, /health/live and /health/ready; a probe that finds something answers 503 with it."""

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/metrics", metrics_page)
    app.router.add_get("/health/live", _answer(live))
    app.router.add_get("/health/ready", _answer(ready))


def _answer(probe: Probe) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def page(_: web.Request) -> web.StreamResponse:
        wrong = dict(probe())
        return web.json_response({"ok": not wrong, "wrong": wrong}, status=503 if wrong else 200)

    return page


def _quiet(record: logging.LogRecord) -> bool:
    """Log of a request that is no HTTP only that it came: aiohttp would quote its headers, credentials included."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info, record.msg, record.args = None, "A request was no HTTP (%s).", (type(error).__name__,)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return not isinstance(error, ConnectionError)


async def serve(
    app: web.Application,
    host: str,
    port: int,
    idle: float = 75.0,
    before: Callable[[Handler], Handler] = lambda handler: handler,
) -> tuple[web.AppRunner, int]:
    """Start *app* and return its runner (call cleanup() to stop) and the port; ConfigError where that is taken.

    A connection without a whole request head for *idle* seconds is closed; compressed bodies are left as they are.
    *before* may put a handler before the one of *app*, whose routing costs.
    """
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(_quiet)  # added once, however often it is given
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, keepalive_timeout=idle, logger=logger)
    await runner.setup()
    if (server := runner.server) is not None:
        server.request_handler = before(server.request_handler)  # type: ignore[assignment]  # its own are web.Request
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"Nobody can listen on {host}:{port} ({why}); set another port for this role.") from error
    address = runner.addresses[0]
    return runner, int(address[1])
