"""Xero's identity server: short access tokens, refresh tokens that rotate with a time of grace."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from app.sandbox.consent import Consent
from app.sandbox.platforms.xero.render import Row

CLIENT_ID, CLIENT_SECRET = "sandbox-client", "sandbox-secret"
FIRST_REFRESH, ALWAYS_GOOD = "sandbox-refresh", "sandbox-token"
ACCESS_TIME = timedelta(minutes=30)
GRACE = timedelta(minutes=30)
UNUSED = timedelta(days=60)
SCOPE = "offline_access accounting.transactions accounting.contacts accounting.settings.read"


class Tokens:
    """Who may call: access tokens live half an hour, a refresh token is good once (and again within its grace)."""

    def __init__(self, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._clock, self._new_id = clock, new_id
        self._access: dict[str, datetime] = {}
        self._refresh: dict[str, datetime] = {FIRST_REFRESH: clock() + UNUSED}
        self._used: set[str] = set()
        self._alone: set[str] = set()
        """Access tokens of a Custom Connection, which reaches this organisation and names none."""
        self.connected = True
        self.refreshes = 0
        self.consent = Consent(clock, CLIENT_ID, challenges=True)

    def good(self, header: str) -> bool:
        """Tell whether an Authorization header carries a living token."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not self.connected:
            return False
        return token == ALWAYS_GOOD or self._access.get(token, self._clock()) > self._clock()

    def needs_tenant(self, header: str) -> bool:
        """Tell whether a call with that Authorization header must name its organisation."""
        return header.partition(" ")[2] not in self._alone

    def expire(self) -> None:
        """End every access token at once."""
        self._access.clear()

    def disconnect(self) -> None:
        """Let the user take the permission back: every token is dead."""
        self.connected = False
        self._access.clear()
        self._refresh.clear()

    def reconnect(self) -> str:
        """Let the user give the permission again; return the new refresh token."""
        self.connected = True
        return self._new_refresh()

    def grant(self, form: Mapping[str, str], authorization: str) -> tuple[int, Row]:
        """Answer the token endpoint."""
        given = ((form.get("client_id"), form.get("client_secret")), _basic(authorization))
        grant_type = form.get("grant_type")
        public = "code_verifier" in form and given[0] == (CLIENT_ID, None)
        if (CLIENT_ID, CLIENT_SECRET) not in given and not public:
            return 400, {"error": "invalid_client"}
        if grant_type == "client_credentials":
            pair = self._pair(refresh="")
            self._alone.add(str(pair["access_token"]))
            return 200, pair
        if grant_type == "authorization_code":
            if not self.consent.good(form):
                return 400, {"error": "invalid_grant"}
            self.connected = True
            return 200, self._pair(refresh=self._new_refresh())
        if grant_type != "refresh_token":
            return 400, {"error": "unsupported_grant_type"}
        return self._rotate(form.get("refresh_token", ""))

    def _rotate(self, token: str) -> tuple[int, Row]:
        if self._refresh.get(token, self._clock()) <= self._clock():
            return 400, {"error": "invalid_grant"}
        if token not in self._used:
            self._used.add(token)
            self._refresh[token] = self._clock() + GRACE
        self.refreshes += 1
        return 200, self._pair(refresh=self._new_refresh())

    def _new_refresh(self) -> str:
        token = f"refresh-{self._new_id()}"
        self._refresh[token] = self._clock() + UNUSED
        return token

    def _pair(self, refresh: str) -> Row:
        access = f"access-{self._new_id()}"
        self._access[access] = self._clock() + ACCESS_TIME
        pair: Row = {"access_token": access, "expires_in": int(ACCESS_TIME.total_seconds()), "token_type": "Bearer"}
        return {**pair, **({"refresh_token": refresh} if refresh else {}), "scope": SCOPE}


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name, secret
