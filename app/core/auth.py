"""Credentials of one connection: who refreshes, where new tokens are kept, what goes into a request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from app.core.errors import AuthError, ConfigError, DecodeError, RateLimited, RetryableError
from app.core.http import HttpClient
from app.core.status import retry_after
from app.core.talk import Request, Response
from schemas.platform import Auth

_EARLY = 60.0
_UNSAID = 1800.0
"""Seconds that an access token is used where its reply does not say how long it lives, and another can be had."""
_LOOKS = (0.0, 0.5, 1.0)
"""Seconds before each look whether another worker's refresh was quicker: it is stored a moment after it was granted."""
_OK = 200
_BUSY = frozenset((408, 425))
_TOO_MANY = 429
_WORD = re.compile(r"[a-z_]{1,40}")
_SERVER = 500


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a refresh gave; `expires_at` in seconds of the epoch."""

    access: str
    refresh: str = ""
    expires_at: float = 0.0
    refresh_expires_at: float = 0.0
    """When the refresh token itself expires, 0 when the platform does not say."""
    origin: str = ""
    """Digest of the configured refresh token that these descend from: a new one in the configuration wins."""
    account: str = ""
    """Whose they are, "" when `o2c connect` was not asked."""


class Vault:
    """Encrypts tokens under the configured key before they are stored anywhere."""

    def __init__(self, key: str) -> None:
        """Derive the cipher key from any long random text."""
        if not key:
            raise ConfigError('key is empty; `o2c init` writes one, or set key = "file:o2c.key".')
        self._cipher = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))

    def seal(self, tokens: Tokens) -> bytes:
        """Return *tokens* encrypted."""
        return self._cipher.encrypt(msgspec.json.encode(tokens))

    def open(self, sealed: bytes) -> Tokens:
        """Return the tokens; ConfigError when they were sealed under another key."""
        try:
            return msgspec.json.decode(self._cipher.decrypt(sealed), type=Tokens)
        except (InvalidToken, msgspec.MsgspecError) as error:
            raise ConfigError(
                "Stored tokens were encrypted under another key; restore the key or connect again."
            ) from error


class Credential:
    """The credential of one connection. Only its owner refreshes, one refresh at a time.

    A new refresh token is handed to *store* and stored durably before the new access token is used: once it was asked
    for, whoever asked may be cancelled, and a store that failed is tried again before anything else is asked for.
    """

    def __init__(
        self,
        auth: Auth,
        secrets: Mapping[str, str],
        http: HttpClient,
        *,
        clock: Callable[[], float],
        store: Callable[[Tokens], Awaitable[None]],
        tokens: Tokens | None = None,
        stored: Callable[[], Awaitable[Tokens | None]] | None = None,
    ) -> None:
        """*tokens* are the stored ones, None at the very first start; *stored* looks whether others came meanwhile."""
        self._stored = stored
        self._auth, self._secrets, self._http = auth, secrets, http
        self._clock, self._store = clock, store
        self._origin = origin_of(secrets)
        first = Tokens(
            access=secrets.get("access_token", ""), refresh=secrets.get("refresh_token", ""), origin=self._origin
        )
        self._tokens = tokens if tokens is not None and self._descend(tokens) else first
        self._refreshing = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._unstored: Tokens | None = None

    def adopt(self, stored: Tokens) -> None:
        """Take what somebody else stored meanwhile, `o2c connect` for example; ours is stored before it is used."""
        if self._descend(stored):
            self._tokens, self._unstored = stored, None

    def _descend(self, stored: Tokens) -> bool:
        """Tell whether *stored* come from the configured refresh token, or from none."""
        return not self._origin or stored.origin in {"", self._origin}

    @property
    def expires_in(self) -> float | None:
        """Return the seconds until a person must connect again, None when the platform names no end."""
        end = self._tokens.refresh_expires_at
        return end - self._clock() if end else None

    async def headers(self) -> dict[str, str]:
        """Return the headers that prove who we are, refreshed when they are about to expire."""
        auth = self._auth
        if auth.kind in {"oauth2", "client_credentials"}:
            return {auth.header: self._value(await self._access())}
        if auth.kind == "basic":
            pair = f"{self._secrets.get('user', '')}:{self._secrets.get('password', '')}"
            return {auth.header: "Basic " + base64.b64encode(pair.encode()).decode()}
        key = self._secrets.get(auth.secret) or self._tokens.access
        if not key:
            raise ConfigError(f"The secret {auth.secret} is missing; configure it, or run `o2c connect` to store it.")
        return {auth.header: self._value(key)}

    def _value(self, token: str) -> str:
        return f"Bearer {token}" if self._auth.header.lower() == "authorization" else token

    async def _access(self) -> str:
        if static := self._secrets.get("token"):
            return static
        if self._late() or not self._tokens.access:
            await self.refresh(self._tokens.access)
        return self._tokens.access

    def _late(self) -> bool:
        end = self._tokens.expires_at
        return bool(end) and self._clock() > end - _EARLY

    @property
    def refreshes(self) -> bool:
        """Tell whether a refused token can be exchanged for a new one."""
        return self._auth.kind in {"oauth2", "client_credentials"} and not self._secrets.get("token")

    async def refresh(self, used: str) -> None:
        """Exchange the token *used* for a new one, unless somebody did already; AuthError when refused for good."""
        async with self._refreshing:
            if self._renewal is None or self._renewal.done():
                if self._tokens.access and self._tokens.access != used:
                    return
                if await self._adopted():  # somebody connected again, with other rights
                    return
                self._renewal = asyncio.create_task(self._renew())
            await asyncio.shield(self._renewal)

    async def settled(self, seconds: float) -> None:
        """Wait until the tokens that were asked for are stored, but no longer than *seconds*."""
        if self._renewal is not None:
            await asyncio.wait({self._renewal}, timeout=seconds)

    async def _renew(self) -> None:
        if self._unstored is None:
            try:
                self._unstored = await self._exchange()
            except AuthError:
                if not await self._outrun():
                    raise
                return
        await self._store(self._unstored)
        self._tokens, self._unstored = self._unstored, None

    async def _adopted(self) -> bool:
        """Take what is stored where that is not ours; tell whether it can be used as it is."""
        found = await self._stored() if self._stored is not None else None
        if found is None or found.access == self._tokens.access:
            return False
        self.adopt(found)
        return self._tokens is found and bool(found.access) and not self._late()

    async def _outrun(self) -> bool:
        """Tell whether our refresh token was refused because another worker had just used it: then theirs is ours."""
        for pause in _LOOKS if self._stored is not None else ():
            await asyncio.sleep(pause)
            if await self._adopted():
                return True
        return False

    @property
    def access(self) -> str:
        """Return the access token in use."""
        return self._tokens.access

    async def _exchange(self) -> Tokens:
        grant = {"grant_type": "client_credentials", **self._auth.app_form}
        if self._auth.kind == "oauth2":
            if not self._tokens.refresh:
                raise AuthError("There are no tokens yet: `o2c connect` obtains them.")
            grant = {"grant_type": "refresh_token", "refresh_token": self._tokens.refresh}
        reply = await ask_for_tokens(self._auth, self._secrets, self._http, grant)
        if reply.status != _OK:
            word = refusal(reply)
            why = f" ({word})" if word else ""
            raise AuthError(f"The token endpoint answered {reply.status}{why}; run `o2c connect` again.")
        return tokens_of(self._auth, reply, self._tokens, self._clock())


def origin_of(secrets: Mapping[str, str]) -> str:
    """Return the digest of the configured refresh token, "" when there is none."""
    configured = secrets.get("refresh_token", "")
    return hashlib.sha256(configured.encode()).hexdigest()[:16] if configured else ""


async def ask_for_tokens(
    auth: Auth, secrets: Mapping[str, str], http: HttpClient, grant: Mapping[str, str]
) -> Response:
    """Return what the token endpoint answers to *grant*, given or refused; it may ask to try later by an error.

    A client without a secret is a public one and only names itself.
    """
    headers = dict(auth.token_headers)
    client, secret = secrets.get("client_id", ""), secrets.get("client_secret", "")
    form = dict(grant)
    if auth.basic_client and secret:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()
    else:
        form |= {"client_id": client, **({"client_secret": secret} if secret else {})}
    request = Request(method="POST", path=http.endpoint(auth.token_url), form=form)
    reply = await http.send(request, headers, {})
    if reply.status == _TOO_MANY:
        raise RateLimited("The token endpoint asks to wait.", retry_after(reply))
    if reply.status in _BUSY or reply.status >= _SERVER:
        raise RetryableError(f"The token endpoint answered {reply.status}.")
    return reply


def tokens_of(auth: Auth, reply: Response, before: Tokens, now: float) -> Tokens:
    """Return what the token endpoint gave; what it does not say stays as it was."""
    answer = reply.into(_Answer)
    left = answer.left or (auth.refresh_seconds if answer.refresh_token else 0.0)
    refresh = answer.refresh_token or before.refresh
    renewable = bool(refresh) or auth.kind == "client_credentials"
    seconds = answer.expires_in or (_UNSAID if renewable else 0.0)
    return Tokens(
        access=answer.access_token,
        refresh=refresh,
        expires_at=now + seconds if seconds else 0.0,
        refresh_expires_at=now + left if left else 0.0,
        origin=before.origin,
        account=before.account,
    )


class _Answer(msgspec.Struct):
    access_token: str
    refresh_token: str = ""
    expires_in: float | None = None
    """None where it is not said: a token that nothing renews (Shopify's old ones) lives until it is taken back."""
    refresh_token_expires_in: float = 0.0
    """Shopify says so when the refresh token ends; every refresh gives a new one."""
    x_refresh_token_expires_in: float = 0.0
    """QuickBooks says when the refresh token ends, which every refresh moves."""
    x_refresh_token_hard_expires_in: float = 0.0
    """And, where it is asked, when the consent ends, which none moves."""

    @property
    def left(self) -> float:
        """Return the seconds until the first end that is named, 0 where none is."""
        ends = (
            self.refresh_token_expires_in,
            self.x_refresh_token_expires_in,
            self.x_refresh_token_hard_expires_in,
        )
        return min((end for end in ends if end), default=0.0)


class _Refusal(msgspec.Struct):
    error: str = ""
    status: str = ""
    """HubSpot's word (BAD_CLIENT_ID)."""


def refusal(reply: Response) -> str:
    """Return the error word of a refusal (invalid_grant), never more of the body."""
    try:
        found = reply.into(_Refusal)
    except DecodeError:
        return ""
    return next((word for word in (found.error, found.status.lower()) if _WORD.fullmatch(word)), "")
