"""Which connections stand behind an address of the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from app.config.model import ResolvedConnection
from app.gateway.intake import Endpoint, secrets_of
from schemas.platform import Platform
from streams.sources.base import Source

APP_OPTION = "app"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The connections that one path serves; all of one platform."""

    platform: Platform
    endpoints: tuple[Endpoint, ...]


def addresses(
    connections: Iterable[ResolvedConnection], sources: Mapping[str, type[Source]]
) -> dict[tuple[str, str], Address]:
    """Return (tenant, connection) and (platform, app) -> address.

    An app has one address for all its companies where the vendor allows no more (Xero, QuickBooks, HubSpot): every
    connection whose `options.app` names it stands behind it ("default" when the option is missing).
    """
    found: dict[tuple[str, str], list[Endpoint]] = {}
    platforms: dict[tuple[str, str], Platform] = {}
    for resolved in connections:
        connection, kind = resolved.connection, sources[resolved.connection.platform]
        secrets = secrets_of(resolved.secrets, kind.platform.hook_secret)
        endpoint = Endpoint(source=kind(connection), secrets=secrets)
        own = (connection.tenant, connection.name)
        shared = (connection.platform, connection.options.get(APP_OPTION, "default"))
        for path in (own, shared):
            found.setdefault(path, []).append(endpoint)
            platforms[path] = kind.platform
    return {path: Address(platform=platforms[path], endpoints=tuple(ends)) for path, ends in found.items()}
