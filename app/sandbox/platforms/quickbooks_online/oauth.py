"""OAuth 2.0 as Intuit does it: one hour of access, refresh tokens that change and may be refused."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from aiohttp import web

from app.sandbox.consent import Consent

TOKEN = "sandbox-access-token"
REFRESH = "sandbox-refresh-token"
CLIENT = ("sandbox-client", "sandbox-secret")
_ACCESS_SECONDS = 3600
_REFRESH_SECONDS = 8_726_400
_HARD_SECONDS = 157_680_000


class OAuth:
    """Tokens of one connection. The first access token is TOKEN, the first refresh token REFRESH."""

    def __init__(self, clock: Callable[[], datetime], random: Random, realm: str) -> None:
        self._clock, self._random = clock, random
        self._access: dict[str, datetime | None] = {TOKEN: None}
        self._refresh, self._previous, self._revoked = REFRESH, "", False
        self.refreshes = 0
        self.consent = Consent(clock, CLIENT[0], told={"realmId": realm})

    def routes(self) -> list[web.RouteDef]:
        """Return the discovery document, the token endpoint and revocation."""
        return [
            web.get("/.well-known/openid_sandbox_configuration", self._discovery),
            web.get("/connect/oauth2", self.consent.page),
            web.post("/oauth2/v1/tokens/bearer", self._token),
            web.post("/oauth2/v1/tokens/revoke", self._revocation),
        ]

    def accepts(self, header: str) -> bool:
        """Tell whether the bearer token is alive."""
        scheme, _, token = header.partition(" ")
        if self._revoked or scheme.lower() != "bearer" or token not in self._access:
            return False
        until = self._access[token]
        return until is None or self._clock() < until

    def revoke(self) -> None:
        """End every token."""
        self._revoked = True

    def expire(self) -> None:
        """Let every access token die; the refresh token lives."""
        self._access.clear()

    async def _discovery(self, request: web.Request) -> web.Response:
        base = f"{request.scheme}://{request.host}"
        return web.json_response(
            {
                "issuer": base,
                "authorization_endpoint": f"{base}/connect/oauth2",
                "token_endpoint": f"{base}/oauth2/v1/tokens/bearer",
                "userinfo_endpoint": f"{base}/v1/openid_connect/userinfo",
                "revocation_endpoint": f"{base}/oauth2/v1/tokens/revoke",
                "jwks_uri": f"{base}/op/v1/jwks",
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        if _basic(request) != CLIENT:
            return web.json_response({"error": "invalid_client"}, status=401)
        form = await request.post()
        kind = form.get("grant_type")
        if kind == "authorization_code" and self.consent.good(form):
            self._revoked = False
            return self._issued(request)
        if (
            kind == "refresh_token"
            and not self._revoked
            and form.get("refresh_token") in {self._refresh, self._previous} - {""}
        ):
            self.refreshes += 1
            return self._issued(request)
        known = kind in {"authorization_code", "refresh_token"}
        return web.json_response({"error": "invalid_grant" if known else "unsupported_grant_type"}, status=400)

    def _issued(self, request: web.Request) -> web.Response:
        """Give new tokens; the refresh token before the newest one goes on working, older ones do not."""
        access = f"access-{self._random.getrandbits(64):016x}"
        self._access[access] = self._clock() + timedelta(seconds=_ACCESS_SECONDS)
        self._previous, self._refresh = self._refresh, f"refresh-{self._random.getrandbits(64):016x}"
        answer: dict[str, str | int] = {
            "token_type": "bearer",
            "access_token": access,
            "expires_in": _ACCESS_SECONDS,
            "refresh_token": self._refresh,
            "x_refresh_token_expires_in": _REFRESH_SECONDS,
        }
        if request.headers.get("x-include-refresh-token-hard-expires-in") == "true":
            answer["x_refresh_token_hard_expires_in"] = _HARD_SECONDS
        return web.json_response(answer)

    async def _revocation(self, request: web.Request) -> web.Response:
        if _basic(request) != CLIENT:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.revoke()
        return web.Response(status=200)


def _basic(request: web.Request) -> tuple[str, str]:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, secret = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return (user, secret) if scheme.lower() == "basic" else ("", "")
