"""Obtain a credential, ask whose it is, and only then store it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

import aiohttp
import msgspec

from app import platforms
from app.config.model import NO_ACCOUNT, ResolvedConnection, Settings
from app.connecting.choosing import Reached, chosen, fitting, known_grant, other, reached, wanted
from app.connecting.consent import answer, blames_client, grant, pasted, question
from app.connecting.listening import callback, listening
from app.connecting.storing import TokenShelf
from app.connectors.sending import Sending, conversed, http_of
from app.core.auth import Credential, Tokens, ask_for_tokens, origin_of, refusal, tokens_of
from app.core.errors import AuthError, ConfigError, O2CError, RetryableError
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.core.status import from_status
from app.core.talk import Request, Response
from schemas.platform import Auth, Platform
from streams.sources.base import Identity

By = Literal["consent", "key", "client_credentials", "configuration"]
_FAULTS = (AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)
_OK = 200


class Person(Protocol):
    """Whoever sits at the terminal."""

    def open(self, url: str) -> None:
        """Bring the person to the platform's consent page."""

    async def paste(self) -> str:
        """Return the call-back address that the browser was sent to."""

    async def key(self, title: str) -> str:
        """Return a plain key of the platform *title*."""

    def pick(self, there: Sequence[Reached]) -> str:
        """Return the id of one of several accounts."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How the person's answer comes back."""

    account: str = ""
    paste: bool = False
    port: int = 0
    redirect_uri: str = ""
    seconds: float = 600.0


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    connection: str
    platform: str
    account: str
    name: str
    by: By
    stored: bool
    configured: bool
    """The configuration names the account already."""
    connect_again_by: float | None
    """When the credential ends for good (seconds of the epoch), None when the platform does not say."""


def how(auth: Auth, platform: Platform, given: set[str], name: str) -> By:
    """Return how the connection proves who it is, from the secrets that are *given*; ConfigError when it cannot."""
    if auth.secret in given or auth.kind == "basic":
        return "configuration"
    missing = [one for one in ("client_id", "client_secret") if one not in given]
    if auth.kind == "client_credentials" and not missing:
        return "client_credentials"
    if auth.kind == "oauth2" and "client_id" in given and (auth.pkce or not missing):
        return "consent"
    if auth.kind in {"bearer", "header"} or (len(missing) > 1 and auth.secret in platform.secrets):
        return "key"
    raise ConfigError(
        f"{name} has no secret {missing[0]}; create an app in the console of {platform.title} and add it to secrets."
    )


async def connect(settings: Settings, resolved: ResolvedConnection, person: Person, way: Way) -> Connected:
    """Connect; any error means that nothing was stored."""
    connection = resolved.connection
    platform = platforms.load(connection.platform).platform
    auth = platform.proof(connection.options)
    known_grant(auth, platform.title, connection.name, connection.options.get("grant", ""))
    account = fitting(auth, connection.name, wanted(connection.name, connection.account, way.account))
    given = {name for name, value in resolved.secrets.items() if value}
    by = how(auth, platform, given, connection.name)
    shelf = TokenShelf(settings, connection.name) if by in {"consent", "key"} else None
    if shelf is not None:
        await shelf.ready()
    async with new_session(allow_private=resolved.allow_private, timeout=platform.limits.timeout_seconds) as session:
        attempt = _Attempt(resolved, platform, session, person, way, account)
        identity, tokens = await attempt.run(by)
    if shelf is not None:
        await shelf.keep(msgspec.structs.replace(tokens, account=identity.account))
    return Connected(
        connection=connection.name,
        platform=platform.title,
        account=identity.account,
        name=identity.name,
        by=by,
        stored=shelf is not None,
        configured=connection.account == identity.account,
        connect_again_by=tokens.refresh_expires_at or None,
    )


class _Attempt:
    """One try to connect; it stores nothing."""

    def __init__(
        self,
        resolved: ResolvedConnection,
        platform: Platform,
        session: aiohttp.ClientSession,
        person: Person,
        way: Way,
        account: str,
    ) -> None:
        """*account* is the one that it has to be, "" for any."""
        self._resolved, self._platform, self._session = resolved, platform, session
        self._person, self._way, self._account = person, way, account
        self._name, self._auth = resolved.connection.name, platform.proof(resolved.connection.options)

    async def run(self, by: By) -> tuple[Identity, Tokens]:
        """Return whose account it is, and what proves it."""
        tokens, account = Tokens(access=""), self._account
        if by == "key":
            tokens = Tokens(access=await self._person.key(self._platform.title))
        elif by == "client_credentials":
            tokens = await self._redeemed(self._http(account), {"grant_type": by})
        elif by == "consent":
            tokens, account = await self._consented()
        identity, tokens = await self._identified(tokens, account)
        if self._account and identity.account != self._account:
            shown = str(Reached(identity.account, identity.name))
            raise other(self._name, self._account, identity.account, shown)
        return identity, tokens

    def _connection(self, account: str) -> ResolvedConnection:
        """Return the connection as it is once it belongs to *account*."""
        connection = self._resolved.connection
        if not account and "{account}" in (connection.base_url or self._platform.base_url):
            raise ConfigError(
                f"The account of {self._name} is part of its address; set account to it, or add --account."
            )
        changed = msgspec.structs.replace(connection, account=account or NO_ACCOUNT)
        return self._resolved.model_copy(update={"connection": changed})

    def _http(self, account: str) -> HttpClient:
        return http_of(self._connection(account), self._platform, self._session)

    # ------------------------------------------------------------------------------------------------- consent

    async def _consented(self) -> tuple[Tokens, str]:
        """Return the tokens that a person's consent gave, and the account that they are to be used for."""
        way = self._way
        if way.paste:
            tokens, told = await self._exchanged(way.redirect_uri or callback(way.port), self._paste)
        else:
            async with listening(way.port, way.redirect_uri) as listener:
                tokens, told = await self._exchanged(
                    listener.redirect_uri, lambda: listener.answer(self._name, way.seconds)
                )
        there = (Reached(told),) if told else await self._reached(tokens)
        if there is None:
            return tokens, self._account
        return tokens, chosen(self._name, there, self._account, self._person.pick)

    async def _paste(self) -> dict[str, str]:
        return pasted(await self._person.paste())

    async def _exchanged(self, redirect_uri: str, came: Callable[[], Awaitable[dict[str, str]]]) -> tuple[Tokens, str]:
        """Ask for consent and exchange the code; return the tokens, and the account that the call-back names."""
        http, given = self._http(self._account), self._resolved.secrets
        asked = question(
            self._auth,
            http.url(Request(method="GET", path=http.endpoint(self._auth.authorize_url))),
            given["client_id"],
            connection=self._name,
            redirect_uri=redirect_uri,
            state=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
        )
        self._person.open(asked.url)
        found = answer(self._auth, asked, await came(), given.get("client_secret", ""))
        if found.account:  # another account's code is not exchanged: that would end the tokens which it has
            chosen(self._name, (Reached(found.account),), self._account, self._person.pick)
        return await self._redeemed(http, {**grant(asked, found), **self._auth.code_form}), found.account

    async def _redeemed(self, http: HttpClient, form: Mapping[str, str]) -> Tokens:
        """Return the tokens that *form* gets from the token endpoint."""
        given = self._resolved.secrets
        try:
            reply = await ask_for_tokens(self._auth, given, http, form)
        except RetryableError as error:
            raise AuthError(f"{_plain(error)}; {self._again} after a while.") from error
        if reply.status != _OK:
            raise self._refused(reply, form["grant_type"])
        return tokens_of(self._auth, reply, Tokens(access="", origin=origin_of(given)), time.time())

    @property
    def _again(self) -> str:
        return f"run `o2c connect {self._name}` again"

    def _refused(self, reply: Response, grant_type: str) -> O2CError:
        word = refusal(reply) or str(reply.status)
        title = self._platform.title
        if grant_type == "client_credentials" or blames_client(reply, word):
            return ConfigError(
                f"{title} refuses the app of {self._name} ({word}); correct client_id and client_secret in its secrets."
            )
        return AuthError(f"{title} takes this code no more ({word}); {self._again} and consent within minutes.")

    async def _reached(self, tokens: Tokens) -> tuple[Reached, ...] | None:
        """Return the accounts that *tokens* reach, None where it is always one."""
        if not self._auth.accounts_url:
            return None
        http = self._http(self._account)
        headers = {self._auth.header: f"Bearer {tokens.access}"}
        try:
            reply = await http.send(Request(method="GET", path=http.endpoint(self._auth.accounts_url)), headers, {})
        except RetryableError as error:
            raise AuthError(f"{_plain(error)}; {self._again} after a while.") from error
        if (failure := from_status(self._platform.title, reply, mutating=False)) is not None:
            raise AuthError(f"{_plain(failure)} when it was asked for accounts; {self._again}.")
        return reached(self._auth, reply)

    # ------------------------------------------------------------------------------------------------ identity

    def _credential(self, http: HttpClient, tokens: Tokens, refreshed: list[Tokens]) -> Credential:
        async def hold(fresh: Tokens) -> None:
            refreshed.append(fresh)

        given = self._resolved.secrets
        return Credential(self._auth, given, http, clock=time.time, store=hold, tokens=tokens)

    async def _identified(self, tokens: Tokens, account: str) -> tuple[Identity, Tokens]:
        """Ask whose account it is; return the newest tokens as well."""
        resolved, loaded = self._connection(account), platforms.load(self._platform.slug)
        http = http_of(resolved, self._platform, self._session)
        refreshed = [tokens]
        sending = Sending(
            resolved.connection,
            self._platform,
            http,
            self._credential(http, tokens, refreshed),
            Limiter(self._platform.limits, time.monotonic, resolved.quota_share),
        )
        try:
            identity = await conversed(loaded.source(resolved.connection).identify(), sending)
        except ConfigError:
            raise
        except O2CError as error:
            raise AuthError(
                f"{_plain(error)}; compare base_url and secrets of {self._name}, then {self._again}."
            ) from error
        except _FAULTS as error:
            raise AuthError(f"{self._platform.title} did not tell whose account it is; {self._again}.") from error
        return identity, refreshed[-1]


def _plain(error: O2CError) -> str:
    return str(error).rstrip(".")
