"""Ask every account who it is, by harmless calls, without taking anything from the process that owns it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)

from app import platforms
from app.check.accounts import Account
from app.config.model import NO_ACCOUNT, ResolvedConnection, Settings
from app.connectors.bus import Bus, group_of, partition_of
from app.connectors.following import way
from app.connectors.sending import Sending, conversed, http_of
from app.core import topics
from app.core.auth import Credential, Tokens, Vault
from app.core.errors import AuthError, ConfigError, O2CError, RateLimited, RetryableError
from app.core.http import new_session
from app.core.limits import Limiter
from app.kafka import security
from schemas.platform import Auth, Platform
from streams.sources.base import Setup, Source

_FAULTS = (AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)
_NOBODY = frozenset(("Empty", "Dead"))
_TRIES, _PAUSE = 60, 0.5
_POLITE, _LONGEST_PAUSE = 2, 60.0
_SOON = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
Store = Callable[[Tokens], Awaitable[None]]


async def ask_accounts(
    settings: Settings, resolved: list[ResolvedConnection]
) -> tuple[dict[str, Account], dict[str, str]]:
    """Return the accounts that answered and, for the others, why not: by connection name, in one sentence each."""
    answers = await asyncio.gather(*(_asked(settings, one) for one in resolved))
    names = [one.connection.name for one in resolved]
    accounts = {name: answer for name, answer in zip(names, answers, strict=True) if isinstance(answer, Account)}
    return accounts, {name: answer for name, answer in zip(names, answers, strict=True) if isinstance(answer, str)}


async def _asked(settings: Settings, resolved: ResolvedConnection) -> Account | str:
    name = resolved.connection.name
    try:
        return await _patiently(settings, resolved)
    except ConfigError as error:
        return str(error)
    except KafkaError:
        where = settings.kafka.bootstrap
        return f"The tokens of {name} are in Kafka, which does not answer at {where}; run `o2c kafka status`."
    except AuthError as error:
        return f"{_plain(error)}; renew the secrets of {name} or connect it again."
    except RetryableError as error:
        return f"{_plain(error)}; try again, or correct base_url of {name} if it stays so."
    except (O2CError, *_FAULTS) as error:
        why = _plain(error) if isinstance(error, O2CError) else "It answered with something that it should not say"
        return f"{why}; compare base_url and account of {name} with the vendor's console."


async def _patiently(settings: Settings, resolved: ResolvedConnection) -> Account:
    """Ask, and ask again after the pause that the platform wishes: an earlier `o2c check` counts for its quota too."""
    for _ in range(_POLITE):
        try:
            return await _account(settings, resolved)
        except RateLimited as error:
            await asyncio.sleep(min(error.retry_after or 1.0, _LONGEST_PAUSE))
    return await _account(settings, resolved)


def _plain(error: O2CError) -> str:
    return str(error).rstrip(".")


@asynccontextmanager
async def opened(settings: Settings, resolved: ResolvedConnection) -> AsyncIterator[Sending]:
    """Yield a way to the account of a connection that leaves its owner's tokens alone."""
    platform = platforms.load(resolved.connection.platform).platform
    async with new_session(allow_private=resolved.allow_private, timeout=platform.limits.timeout_seconds) as session:
        auth = platform.proof(resolved.connection.options)
        tokens, store = await _tokens(settings, resolved, auth)
        resolved = _belonging(resolved, tokens)
        http = http_of(resolved, platform, session)
        credential = Credential(auth, resolved.secrets, http, clock=time.time, store=store, tokens=tokens)
        limiter = Limiter(platform.limits, time.monotonic, resolved.quota_share)
        yield Sending(resolved.connection, platform, http, credential, limiter)


def _belonging(resolved: ResolvedConnection, tokens: Tokens | None) -> ResolvedConnection:
    """Return the connection with the account that `o2c connect` found, where the configuration names none yet."""
    connection = resolved.connection
    if connection.account != NO_ACCOUNT or tokens is None or not tokens.account:
        return resolved
    named = msgspec.structs.replace(connection, account=tokens.account)
    return resolved.model_copy(update={"connection": named})


async def _account(settings: Settings, resolved: ResolvedConnection) -> Account:
    loaded = platforms.load(resolved.connection.platform)
    async with opened(settings, resolved) as sending:
        connection = sending.connection
        identity = await conversed(loaded.source(connection).identify(), sending)
        # Somebody else's books are not looked into any further.
        mine = connection.account in {identity.account, NO_ACCOUNT}
        source = loaded.source(msgspec.structs.replace(connection, account=identity.account))
        setup = await conversed(source.setup(), sending) if mine else Setup()
    if mine and (why := await _no_journal(resolved, loaded.platform, source)):
        identity = msgspec.structs.replace(identity, missing=(*identity.missing, why))
    return Account(resolved.connection, loaded.platform, identity, setup)


async def _no_journal(resolved: ResolvedConnection, platform: Platform, source: Source) -> str:
    """Return in one sentence why the journal that a connection follows cannot be fetched, "" when it can."""
    if (journal := source.follows) is None:
        return ""
    async with new_session(allow_private=resolved.allow_private, timeout=platform.limits.timeout_seconds) as session:
        send = way(resolved, platform, journal, session)
        try:
            await conversed(source.journal_subscriber().found(), send)
            await conversed(source.entry(""), send)
        except (O2CError, *_FAULTS) as error:
            why = _plain(error) if isinstance(error, O2CError) else "It answered with something strange"
            needs = " and ".join(journal.secrets)
            return f"{platform.title}'s journal cannot be fetched ({why}); correct {needs}, or the app's rights."
    return ""


# ------------------------------------------------------------------------------------------------------------ tokens


async def _tokens(settings: Settings, resolved: ResolvedConnection, auth: Auth) -> tuple[Tokens | None, Store]:
    """Return the stored tokens, and where a fresh one goes.

    A refresh token may be good for one use, and only the owner of a connection refreshes: while connectors run, what
    they stored is used as it is; otherwise a fresh token is stored for them before it is used.
    """
    if auth.kind in {"client_credentials", "basic"} or resolved.secrets.get(auth.secret):
        return None, _forget
    return await _stored(settings, resolved)


async def _forget(tokens: Tokens) -> None:
    """Keep nothing: such a token is asked for again at any time."""
    del tokens


async def _stored(settings: Settings, resolved: ResolvedConnection) -> tuple[Tokens | None, Store]:
    kafka, name = settings.kafka, resolved.connection.name
    vault = Vault(settings.key.get_secret_value())
    owned = await _owned(settings)
    bus = Bus(kafka.bootstrap, settings.topics.prefix, kafka.partitions, security(kafka))
    partition = partition_of(name, kafka.partitions)
    sealed = (await bus.read_all(topics.TOKENS, partition)).get(f"{name}|oauth".encode())

    async def store(tokens: Tokens) -> None:
        await bus.start()
        try:
            await bus.send(topics.TOKENS, f"{name}|oauth".encode(), vault.seal(tokens), partition=partition)
        finally:
            await bus.stop()

    tokens = vault.open(sealed) if sealed else None
    if owned and (tokens is None or (tokens.expires_at and tokens.expires_at < time.time())):
        raise ConfigError(
            f"The running connectors have no valid token of {name} yet, and only they may ask for one; check again "
            "after their next sweep."
        )
    return tokens, store


async def _owned(settings: Settings) -> bool:
    """Tell whether connectors run; ConfigError when there are no topics yet."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap, **security(settings.kafka))
    await admin.start()
    try:
        if settings.topics.prefix + topics.TOKENS not in await admin.list_topics():
            raise ConfigError("The topic of tokens does not exist; run `o2c topics apply`.")
        return await _state(admin, group_of(settings.topics.prefix)) not in _NOBODY
    finally:
        await admin.close()


async def _state(admin: AIOKafkaAdminClient, group: str) -> str:
    """Return the state of a consumer group; a broker that never had one needs a moment to name its coordinator."""
    for left in reversed(range(_TRIES)):
        try:
            (reply,) = await admin.describe_consumer_groups([group])
            (error, _, state, *_), *_ = reply.groups
            if for_code(error) not in _SOON:
                return str(state)
        except _SOON:
            if not left:
                raise
        await asyncio.sleep(_PAUSE)
    raise KafkaError(f"Nobody coordinates {group}.")
