"""Which connections stand behind an address of the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

import msgspec

from app.config.model import ResolvedConnection
from app.deliveries.record import key_of
from schemas.platform import Platform
from schemas.trace import HEADER
from streams.sources.base import Hook, Source

APP_OPTION = "app"
Addresses = Mapping[tuple[str, str], "Address"]
"""Both parts of a path -> what stands behind it."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The connections that one path serves; all of one platform."""

    platform: Platform
    sources: tuple[Source, ...]
    secrets: tuple[str, ...]
    """Any of them may have signed a delivery."""
    own: tuple[tuple[str, ...], ...]
    """Those of each source's connection: what tells of it is signed with one of these."""
    key: bytes
    """Of its deliveries' records."""
    kept: tuple[str, ...]
    """Headers that are kept with the body: what it means, and where its trace began."""
    read: tuple[str, ...]
    """The same, and those that prove where it comes from."""


def addresses(
    connections: Iterable[ResolvedConnection], sources: Mapping[str, type[Source]]
) -> dict[tuple[str, str], Address]:
    """Return (tenant, connection) and (platform, app) -> address.

    An app has one address for all its companies where the vendor allows no more (Xero, QuickBooks, HubSpot): every
    connection whose `options.app` names it stands behind it ("default" when the option is missing).
    """
    found: dict[tuple[str, str], list[ResolvedConnection]] = {}
    for resolved in connections:
        connection = resolved.connection
        own = (connection.tenant, connection.name)
        shared = (connection.platform, connection.options.get(APP_OPTION, "default"))
        for path in (own, shared):
            found.setdefault(path, []).append(resolved)
    return {path: _address(key_of(*path), behind, sources) for path, behind in found.items()}


def _address(key: bytes, behind: Iterable[ResolvedConnection], sources: Mapping[str, type[Source]]) -> Address:
    served = [(sources[one.connection.platform](one.connection), one.secrets) for one in behind]
    platform = served[0][0].platform
    own = tuple(secrets_of(given, platform.hook_secret) for _, given in served)
    kept = (*platform.delivery_headers, HEADER)
    return Address(
        platform=platform,
        sources=tuple(source for source, _ in served),
        secrets=tuple(dict.fromkeys(chain.from_iterable(own))),
        own=own,
        key=key,
        kept=kept,
        read=(*platform.signature_headers, *kept),
    )


def addressed(sources: tuple[Source, ...], hook: Hook) -> list[Source]:
    """Return the sources that a delivery speaks of; DecodeError when that cannot be read."""
    accounts = type(sources[0]).accounts(hook)
    if not accounts:
        return list(sources) if len(sources) == 1 else []
    return [source for source in sources if source.connection.account in accounts]


def secrets_of(secrets: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the current and the previous value of a signing secret (rotation)."""
    return tuple(secrets[key] for key in (name, f"{name}_previous") if secrets.get(key))
