"""Bring the subscriptions of one connection in step, list them, or end them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from app import platforms
from app.check.asking import opened
from app.config.model import ResolvedConnection, Settings
from app.connectors.sending import conversed, http_of
from app.core.errors import AuthError, ConfigError, O2CError, RejectedError, RetryableError, UncertainError
from app.core.http import new_session
from app.core.talk import Request, Response, Talk
from app.gateway.addresses import APP_OPTION
from app.subscribing.compare import Standing, Step, standing
from streams.sources.base import Source
from streams.sources.subscribing import Subscriber, Subscription

T = TypeVar("T")
Send = Callable[[Request], Awaitable[Response]]
_FAULTS = (AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One change that was made."""

    done: str
    """created, changed or removed"""
    topics: tuple[str, ...]
    why: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How the webhooks of one connection stand, or why nobody knows."""

    connection: str
    platform: str
    address: str = ""
    wanted: tuple[str, ...] = ()
    changes: tuple[Line, ...] = ()
    standing: Standing | None = None
    """None where a person registers, or the account did not answer."""
    steps: tuple[str, ...] = ()
    """What a person has to click."""
    notes: tuple[str, ...] = ()
    kept: bool | None = None
    """Connectors look after it: what gets lost is registered again. None where nobody asked, or nobody knows."""
    secret: str = ""
    """A signing secret that the platform shows this once: for the person, never for a log."""
    errors: tuple[str, ...] = ()


def untold(report: Report) -> Report:
    """Return *report* of subscriptions that look well and tell nothing: every topic is missing."""
    if report.standing is None:
        return report
    return msgspec.structs.replace(report, standing=msgspec.structs.replace(report.standing, missing=report.wanted))


class Registrar:
    """Speaks for one connection."""

    def __init__(self, settings: Settings, resolved: ResolvedConnection, send: Send | None = None) -> None:
        """Nothing is sent before a question is asked; *send* is the owner's way to an account that it has verified."""
        self._settings, self._resolved, self._send = settings, resolved, send
        self.connection = resolved.connection
        loaded = platforms.load(self.connection.platform)
        self._platform = loaded.platform
        self.source: Source = loaded.source(self.connection)

    @property
    def address(self) -> str:
        """Return where the platform is to deliver: the connection's own address, or its app's."""
        owner, name = self.connection.tenant, self.connection.name
        if self.source.webhooks.shared:
            owner, name = self.connection.platform, self.connection.options.get(APP_OPTION, "default")
        return f"{self._settings.gateway.public_url.rstrip('/')}/hooks/{owner}/{name}"

    @property
    def subscriber(self) -> Subscriber | None:
        """Return who registers, None where the API or its credential is missing and a person does."""
        key = self.source.webhooks.key
        return None if key and not self._resolved.secrets.get(key) else self.source.subscriber()

    async def register(self) -> Report:
        """Bring the platform in step and tell how it stands then."""
        return await self._told(self._registered)

    async def mend(self) -> Report:
        """Bring the platform in step as far as that needs nobody: a secret that is shown once needs a person."""
        return await self._told(self._mended)

    async def renew(self) -> Report:
        """End what is ours and register it anew: it looks well, and delivers nothing."""
        return await self._told(self._renewed)

    async def show(self) -> Report:
        """Tell how it stands; nothing is changed."""
        return await self._told(self._shown)

    async def remove(self) -> Report:
        """End what is ours."""
        return await self._told(self._removed)

    async def _told(self, work: Callable[[Subscriber, Send], Awaitable[Report]]) -> Report:
        topics = self.source.topics()
        report = Report(
            connection=self.connection.name, platform=self.connection.platform, address=self.address, wanted=topics
        )
        if self.source.follows is not None:
            note = f"{self._platform.title}'s journal is followed instead: the connectors subscribe to it themselves."
            return msgspec.structs.replace(report, address="", wanted=(), notes=(note,))
        if not topics:
            return msgspec.structs.replace(report, address="", notes=(f"{self._platform.title} has no webhooks.",))
        try:
            self._reachable()
            if (subscriber := self.subscriber) is None:
                return msgspec.structs.replace(report, steps=self._clicks(topics), notes=self._why_by_hand())
            async with self._sending() as send:
                return await work(subscriber, send)
        except (O2CError, *_FAULTS) as error:
            return msgspec.structs.replace(report, errors=(self._sentence(error),))

    async def _mended(self, subscriber: Subscriber, send: Send) -> Report:
        return await self._registered(subscriber, send, alone=True)

    async def _renewed(self, subscriber: Subscriber, send: Send) -> Report:
        if not self.source.webhooks.secret_once:
            return await self._registered(subscriber, send, alone=True, silent=True)
        shown = await self._shown(subscriber, send)
        remove = f"`o2c webhooks remove {self.connection.name}`, then "
        return untold(msgspec.structs.replace(shown, errors=(self._secret_needed(remove),)))

    async def _registered(
        self, subscriber: Subscriber, send: Send, *, alone: bool = False, silent: bool = False
    ) -> Report:
        wanted, now = subscriber.wanted(self.address, self.source.topics()), datetime.now(UTC)
        before = standing(wanted, await conversed(subscriber.found(), send), now, silent=silent)
        lines: list[Line] = []
        errors: list[str] = []
        secret = ""
        for step in before.steps:
            if alone and step.found is None and self.source.webhooks.secret_once:
                errors.append(self._secret_needed())
                continue
            try:
                secret = await conversed(_talk(subscriber, step), send) or secret
            except RejectedError as error:  # the others may go: one right can be missing for one topic alone
                errors.append(self._sentence(error))
                continue
            lines.append(_line(step))
        after = standing(wanted, await conversed(subscriber.found(), send), now) if lines else before
        made = any(step.found is None for step in before.steps)
        notes = () if secret else self._signing(unknown=not made)
        return self._report(after, tuple(lines), notes, tuple(errors), secret)

    async def _shown(self, subscriber: Subscriber, send: Send) -> Report:
        wanted = subscriber.wanted(self.address, self.source.topics())
        found = standing(wanted, await conversed(subscriber.found(), send), datetime.now(UTC))
        return self._report(found, (), self._signing(unknown=bool(found.ours)))

    async def _removed(self, subscriber: Subscriber, send: Send) -> Report:
        topics = self.source.topics()
        wanted, now = subscriber.wanted(self.address, topics), datetime.now(UTC)
        before = standing(wanted, await conversed(subscriber.found(), send), now)
        shared = self.source.webhooks.shared  # then others may use the address, too
        gone = [one for one in before.ours if not shared or not one.topics or set(topics) & set(one.topics)]
        for one in gone:
            await conversed(subscriber.delete(one, topics), send)
        after = standing(wanted, await conversed(subscriber.found(), send), now) if gone else before
        return self._report(after, tuple(Line(done="removed", topics=one.topics, why=()) for one in gone), ())

    def _report(
        self,
        found: Standing,
        changes: tuple[Line, ...],
        notes: tuple[str, ...],
        errors: tuple[str, ...] = (),
        secret: str = "",
    ) -> Report:
        return Report(
            connection=self.connection.name,
            platform=self.connection.platform,
            address=self.address,
            wanted=self.source.topics(),
            changes=changes,
            standing=found,
            notes=notes,
            secret=secret,
            errors=errors,
        )

    # ------------------------------------------------------------------------------------------------------- sending

    @asynccontextmanager
    async def _sending(self) -> AsyncIterator[Send]:
        """Yield a way to the API of subscriptions; the account behind the connection must be the configured one."""
        hooks, resolved = self.source.webhooks, self._resolved
        if hooks.key:
            key = resolved.secrets[hooks.key]
            timeout = self._platform.limits.timeout_seconds
            async with new_session(allow_private=resolved.allow_private, timeout=timeout) as session:
                http = http_of(resolved, self._platform, session)

                async def keyed(request: Request) -> Response:
                    return await http.send(request, self._platform.headers, {hooks.key_param: key})

                yield keyed
            return
        if self._send is not None:
            yield self._send
            return
        async with opened(self._settings, resolved) as sending:
            identity = await conversed(self.source.identify(), sending)
            if identity.account != self.connection.account:
                raise ConfigError(
                    f"{self.connection.name} belongs to the account {identity.account}, not to "
                    f"{self.connection.account}; correct account or the secrets."
                )
            yield sending

    def _reachable(self) -> None:
        public = self._settings.gateway.public_url
        if urlsplit(public).scheme != "https" and not self._resolved.allow_private:
            raise ConfigError(
                f"{self._platform.title} delivers to https addresses only and gateway.public_url is {public}; set it "
                "to the address under which the internet reaches the gateway."
            )

    # --------------------------------------------------------------------------------------------------------- words

    def _clicks(self, topics: Sequence[str]) -> tuple[str, ...]:
        return tuple(step.format(address=self.address, topics=", ".join(topics)) for step in self.source.webhooks.steps)

    def _why_by_hand(self) -> tuple[str, ...]:
        hooks = self.source.webhooks
        if not hooks.key:
            return (f"{self._platform.title} has no API for this: a person registers.",)
        return (f"Without the secret {hooks.key} and the option {hooks.option} a person registers; {hooks.rights}.",)

    def _signing(self, *, unknown: bool) -> tuple[str, ...]:
        """Return what is wrong with the secret that deliveries are checked against."""
        secrets, name = self._resolved.secrets, self._platform.hook_secret
        same = self.source.webhooks.signed_with
        if same and secrets.get(same) and secrets.get(name) != secrets[same]:
            title = self._platform.title
            return (f"{title} signs with {same}, which {name} of {self.connection.name} must repeat; set it so.",)
        if unknown and not secrets.get(name):
            whose = f"{self.connection.name} has no {name}, so every delivery is refused"
            return (f"{whose}; copy it from the vendor's console, or remove and register again.",)
        return ()

    def _secret_needed(self, before: str = "") -> str:
        name = self.connection.name
        return (
            f"{self._platform.title} tells {name} nothing any more, and shows a new signing secret only once; "
            f"run {before}`o2c webhooks register {name}`."
        )

    def _sentence(self, error: Exception) -> str:
        name, rights = self.connection.name, self.source.webhooks.rights
        plain = str(error).rstrip(".")
        if isinstance(error, ConfigError):
            return str(error)
        if isinstance(error, AuthError):
            return f"{plain}; renew the secrets of {name}{f' ({rights})' if rights else ''}."
        if isinstance(error, UncertainError):
            return f"{plain}, so nobody knows what was done; run `o2c webhooks show {name}`, then register again."
        if isinstance(error, RetryableError):
            return f"{plain}; run the command again."
        if isinstance(error, O2CError):
            return f"{plain}{'' if '; ' in plain else f'; run `o2c webhooks show {name}`'}."
        return (
            f"{self._platform.title} answered {name} with something that it should not say; compare base_url with the "
            "vendor's console."
        )


def _talk(subscriber: Subscriber, step: Step) -> Talk[str]:
    if step.wanted is None:
        return _ended(subscriber, step)
    if step.found is None:
        return subscriber.create(step.wanted)
    return subscriber.update(step.found, step.wanted)


def _ended(subscriber: Subscriber, step: Step) -> Talk[str]:
    if step.found is not None:
        yield from subscriber.delete(step.found, step.found.topics)
    return ""


def _line(step: Step) -> Line:
    done = "removed" if step.wanted is None else "created" if step.found is None else "changed"
    about: Subscription | None = step.wanted or step.found
    return Line(done=done, topics=about.topics if about else (), why=step.why)
