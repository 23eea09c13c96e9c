"""The page of a role: where it cannot be served, a person is told in one sentence."""

from __future__ import annotations

import pytest
from aiohttp import web

from app.core.errors import ConfigError
from app.roles.status_page import serve


async def test_a_port_that_is_taken_is_a_sentence() -> None:
    first, port = await serve(web.Application(), "127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} \(Address already in use\); set another port"):
            await serve(web.Application(), "127.0.0.1", port)
    finally:
        await first.cleanup()
