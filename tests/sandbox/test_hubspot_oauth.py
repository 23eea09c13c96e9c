"""Tokens of HubSpot as o2c asks for them, and the portal's replies, held to the vendor's own files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from openapi_schema_validator import OAS30Validator

from app.core.auth import Credential, Tokens, ask_for_tokens
from app.core.errors import AuthError
from app.core.http import HttpClient, new_session
from app.core.talk import Request, Response
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.server import CLIENT
from schemas.platforms.hubspot import PLATFORM

pytestmark = pytest.mark.sandbox
SECRETS = {"client_id": CLIENT[0], "client_secret": CLIENT[1], "refresh_token": "refresh-1"}
FORM = "application/x-www-form-urlencoded"


class Judged(HttpClient):
    """Sends as the connectors do, and holds what is sent and answered to the file."""

    file: Path

    async def send(self, request: Request, headers: Mapping[str, str], params: Mapping[str, str]) -> Response:
        reply = await super().send(request, headers, params)
        body, content_type = request.content()
        document = json.loads(self.file.read_text())
        operation = document["paths"][PLATFORM.auth.token_url]["post"]
        given = dict(parse_qsl(body.decode(), strict_parsing=True))
        schema = operation["requestBody"]["content"][content_type]["schema"]
        assert content_type == FORM
        assert set(given) <= set(schema["properties"]), "the file knows every field"
        _valid(document, schema, given)
        answer = operation["responses"].get(str(reply.status), {}).get("content")
        shape = next(iter(answer.values()))["schema"] if answer else {"$ref": "#/components/schemas/Error"}
        _valid(document, shape, reply.json())
        return reply


def _valid(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    errors = OAS30Validator({**schema, "components": document["components"]}).iter_errors(value)
    assert [error.message for error in errors] == []


@pytest.fixture
async def judged(shared: Path) -> AsyncIterator[tuple[HubspotSandbox, Judged]]:
    sandbox = HubspotSandbox()
    session = new_session(allow_private=True, timeout=10.0)
    http = Judged(session, await sandbox.start(), allow_private=True, moved=True)
    http.file = shared / "specs/hubspot/oauth-v1.json"
    yield sandbox, http
    await session.close()
    await sandbox.stop()


def _credential(http: HttpClient, stored: list[Tokens], **changes: str) -> Credential:
    async def store(tokens: Tokens) -> None:
        stored.append(tokens)

    return Credential(PLATFORM.auth, {**SECRETS, **changes}, http, clock=lambda: 0.0, store=store)


async def test_a_token_is_asked_for_and_given_as_the_file_says(judged: tuple[HubspotSandbox, Judged]) -> None:
    stored: list[Tokens] = []
    credential = _credential(judged[1], stored)
    headers = await credential.headers()
    assert headers == {"Authorization": f"Bearer {stored[0].access}"}
    assert stored[0].expires_at == 1800


async def test_a_refused_refresh_says_so_in_the_files_words(judged: tuple[HubspotSandbox, Judged]) -> None:
    for wrong in ({"refresh_token": "unknown"}, {"client_secret": "wrong"}):
        with pytest.raises(AuthError):
            await _credential(judged[1], [], **wrong).headers()


async def test_a_code_is_redeemed_as_the_file_says(judged: tuple[HubspotSandbox, Judged]) -> None:
    grant = {"grant_type": "authorization_code", "code": "unknown", "redirect_uri": "http://localhost:8400/callback"}
    reply = await ask_for_tokens(PLATFORM.auth, SECRETS, judged[1], grant)
    assert reply.status == 400


async def test_the_newer_token_endpoint_answers_as_its_file_says(shared: Path) -> None:
    sandbox = HubspotSandbox()
    url = await sandbox.start()
    document = json.loads((shared / "specs/hubspot/oauth-v3.json").read_text())
    operation = document["paths"]["/oauth/v3/token"]["post"]
    form = {"grant_type": "refresh_token", **SECRETS}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/oauth/v3/token", data=form) as reply:
        answer = await reply.json()
    schema = next(iter(operation["responses"]["200"]["content"].values()))["schema"]
    _valid(document, operation["requestBody"]["content"][FORM]["schema"], form)
    _valid(document, schema, answer)
    _valid(document, {"$ref": "#/components/schemas/AccessTokenResponse"}, answer)
    await sandbox.stop()
