"""Who may call the shop: a static token, tokens of a day for an app alone, and tokens of an hour that are renewed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import new as hmac_of
from random import Random
from typing import Any

from app.sandbox.consent import Consent

CLIENT_ID = "sandbox-client"
ALONE, ACCESS = timedelta(hours=24), timedelta(hours=1)
UNUSED, KEPT = timedelta(days=90), timedelta(days=30)
"""How long a refresh token lives, and how long one that was used is good until its successor is."""


@dataclass
class _Refresh:
    """A refresh token: the one that it came from, and until when it is good."""

    before: str
    until: datetime
    used: datetime | None = None


class Tokens:
    """One shop's tokens for one app. Of those that expire one pair is alive at a time."""

    def __init__(self, shop: str, secret: str, clock: Callable[[], datetime], random: Random) -> None:
        self._shop, self._secret, self._clock, self._random = shop, secret, clock, random
        self._alone: dict[str, datetime] = {}
        self._access: tuple[str, datetime | None] = ("", None)
        self._refresh: dict[str, _Refresh] = {}
        self.refreshes = 0
        self.keeps = True
        """A refresh token that was used stays good until its successor is used (since August 2026)."""
        self.consent = Consent(clock, CLIENT_ID, told={"shop": shop}, loose=True, seal=self._sealed)

    def good(self, token: str) -> bool:
        """Tell whether an access token is alive."""
        now, (access, end) = self._clock(), self._access
        if token and token == access:
            return end is None or now < end
        return self._alone.get(token, now) > now

    def expire(self) -> None:
        """End every access token at once."""
        self._alone.clear()
        self._access = ("", None)

    def uninstall(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Let the merchant remove the app: every token is dead until the app is installed again."""
        self.expire()
        self._refresh.clear()
        return {"installed": False}

    def keep_used(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Set whether a refresh token that was used is good until its successor is."""
        self.keeps = bool(asked["keep"])
        return {"keep": self.keeps}

    def grant(self, form: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer the token endpoint."""
        if form.get("client_secret") != self._secret:
            return 400, {"error": "invalid_client"}
        kind = form.get("grant_type", "authorization_code")
        if kind == "client_credentials":
            token = self._new("shpat")
            self._alone[token] = self._clock() + ALONE
            return 200, {"access_token": token, "scope": "write_orders,write_customers", "expires_in": 86_399}
        if kind == "refresh_token":
            return self._renewed(str(form.get("refresh_token")))
        if kind != "authorization_code" or not self.consent.good(form):
            return 400, {"error": "invalid_request", "error_description": "The authorization code was not found"}
        self._refresh.clear()  # whoever had tokens of the shop has them no more
        if form.get("expiring") == "1":
            return 200, self._pair("")
        self._access = (self._new("shpat"), None)
        return 200, {"access_token": self._access[0], "scope": "write_orders,write_customers"}

    def _renewed(self, token: str) -> tuple[int, dict[str, Any]]:
        now, found = self._clock(), self._refresh.get(token)
        if found is None or now >= found.until or (found.used is not None and not self._kept(found.used)):
            return 400, {"error": "invalid_grant"}
        self._refresh.pop(found.before, None)
        for lost in [name for name, one in self._refresh.items() if one.before == token]:
            del self._refresh[lost]
        found.used = found.used or now
        self.refreshes += 1
        return 200, self._pair(token)

    def _kept(self, used: datetime) -> bool:
        return self.keeps and self._clock() < used + KEPT

    def _pair(self, before: str) -> dict[str, Any]:
        access, refresh = self._new("shpat"), self._new("shprt")
        self._access = (access, self._clock() + ACCESS)
        self._refresh[refresh] = _Refresh(before, self._clock() + UNUSED)
        return {
            "access_token": access,
            "scope": "write_orders,write_customers",
            "expires_in": int(ACCESS.total_seconds()),
            "refresh_token": refresh,
            "refresh_token_expires_in": int(UNUSED.total_seconds()),
        }

    def _new(self, prefix: str) -> str:
        return f"{prefix}_{self._random.getrandbits(128):032x}"

    def _sealed(self, told: dict[str, str]) -> dict[str, str]:
        """Sign the call-back; a test may have put another signature there."""
        told = {**told, "timestamp": str(int(self._clock().timestamp()))}
        text = "&".join(sorted(f"{name}={value}" for name, value in told.items()))
        return {"hmac": hmac_of(self._secret.encode(), text.encode(), sha256).hexdigest(), **told}
