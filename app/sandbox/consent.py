"""The consent page of a platform: a person who says yes or no at once, and codes that are good once."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

ALWAYS_GOOD = "sandbox-code"
"""A code that needs no consent page, good as often as it is shown."""


@dataclass(frozen=True, slots=True)
class _Code:
    redirect_uri: str
    challenge: str
    until: datetime


@dataclass
class Consent:
    """What the person will say, and the codes that were given."""

    clock: Callable[[], datetime]
    client_id: str
    told: Mapping[str, str] = field(default_factory=dict)
    """Parameters that the call-back carries besides `code` and `state`."""
    challenges: bool = False
    """Whether the platform takes a code challenge."""
    deny: bool = False
    loose: bool = False
    """Neither the kind of answer nor, with the code, the call-back has to be named."""
    seal: Callable[[dict[str, str]], dict[str, str]] = dict
    """What the platform makes of the call-back's parameters before it sends them."""
    code_seconds: float = 300.0
    tenants: list[dict[str, str]] = field(default_factory=list)
    """Organisations that the login reaches besides the sandbox's own, as {"id", "name"}."""
    _codes: dict[str, _Code] = field(default_factory=dict)

    def act(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Set what the person will say: `deny`, `code_seconds`, `tenants`, `told`; return all of it."""
        for name, value in asked.items():
            if name not in {"deny", "code_seconds", "tenants", "told"}:
                raise ValueError(f"unknown knob: {name}")
            setattr(self, name, value)
        return {"deny": self.deny, "code_seconds": self.code_seconds, "tenants": self.tenants, "told": dict(self.told)}

    async def page(self, request: web.Request) -> web.Response:
        """Answer the authorisation address: the person decides at once and is sent back."""
        asked = request.query
        known = asked.get("client_id") == self.client_id
        known &= asked.get("response_type", "code" if self.loose else "") == "code"
        if not (known and asked.get("redirect_uri") and asked.get("scope")):
            return web.json_response({"error": "invalid_request"}, status=400)
        challenge = asked.get("code_challenge", "") if self.challenges else ""
        if self.deny:
            answer = {"error": "access_denied"}
        else:
            answer = {"code": self._given(asked["redirect_uri"], challenge), **self.told}
        back = {**answer, **({"state": asked["state"]} if "state" in asked else {})}
        mark = "&" if "?" in asked["redirect_uri"] else "?"
        return web.Response(status=302, headers={"Location": asked["redirect_uri"] + mark + urlencode(self.seal(back))})

    def _given(self, redirect_uri: str, challenge: str) -> str:
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(redirect_uri, challenge, self.clock() + timedelta(seconds=self.code_seconds))
        return code

    def good(self, form: Mapping[str, Any]) -> bool:
        """Tell whether *form* redeems a code: known, unused, fresh, of the same call-back and the same asker."""
        if form.get("code") == ALWAYS_GOOD:
            return True
        code = self._codes.pop(str(form.get("code", "")), None)
        if code is None or self.clock() >= code.until:
            return False
        if form.get("redirect_uri", code.redirect_uri if self.loose else None) != code.redirect_uri:
            return False
        return not code.challenge or _challenge(str(form.get("code_verifier", ""))) == code.challenge


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
