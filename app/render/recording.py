"""A client that keeps what it sent, without what proves who sent it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from app.core.http import HttpClient
from app.core.talk import Request, Response
from schemas.platform import Platform

_JSON = "application/json"


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it left."""

    capability: str
    method: str
    path: str
    """Path and query as at the vendor's own address."""
    mutates: bool
    headers: dict[str, str]
    body: Any = None
    """Parsed where it is JSON, else text."""
    status: int = 0
    """What the sandbox answered."""


class Recorder(HttpClient):
    """Sends to the sandbox and remembers every request with the capability that is being written."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, platform: Platform) -> None:
        """Name paths as they stand behind the vendor's own base URL."""
        super().__init__(session, base_url, allow_private=True, moved=True)
        self._platform, self._prefix = platform, urlsplit(platform.base_url).path
        self.capability = ""
        self.sent: list[Rendered] = []

    async def send(self, request: Request, headers: Mapping[str, str], params: Mapping[str, str]) -> Response:
        """Send once, as `HttpClient.send` does."""
        response = await super().send(request, headers, params)
        self.sent.append(self._rendered(request, headers, params, response.status))
        return response

    def _rendered(
        self, request: Request, headers: Mapping[str, str], params: Mapping[str, str], status: int
    ) -> Rendered:
        body, content_type = request.content()
        shown = {"Accept": _JSON, **headers, **request.headers}
        if content_type:
            shown.setdefault("Content-Type", content_type)
        secret = self._platform.auth.header.lower()
        path = urlsplit(request.path).path if request.path.startswith("http") else self._prefix + request.path
        query = urlencode({**request.params, **params})
        return Rendered(
            capability=self.capability,
            method=request.method,
            path=f"{path}?{query}" if query else path,
            mutates=request.mutates,
            headers={name: value for name, value in shown.items() if name.lower() != secret},
            body=_parsed(body, shown.get("Content-Type", "")),
            status=status,
        )


def _parsed(body: bytes, content_type: str) -> Any:  # noqa: ANN401 - a body is any JSON
    if not body:
        return None
    text = body.decode("utf-8", "replace")
    return json.loads(text, parse_float=Decimal) if content_type == _JSON else text
